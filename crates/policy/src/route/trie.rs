//! The rules of one host, found by path.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::balance::hash_key;

/// A map from text. Its keys are the operator's, so the hash need not be keyed against collisions.
pub(super) type TextMap<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<TextHasher>>;

/// [`hash_key`] as a `Hasher`.
#[derive(Default)]
pub(super) struct TextHasher(u64);

impl Hasher for TextHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= hash_key(bytes);
    }

    // The length of a slice: `hash_key` has it already.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Positions in the ranked rules, lowest first.
pub(super) type Ranks = Vec<u32>;

/// Prefixes as a tree of segments.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    parent: Option<u32>,
    ranks: Ranks,
    children: TextMap<u32>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    /// Adds a rule; ranks must come in rising order.
    pub(super) fn insert(&mut self, prefix: &str, rank: u32) {
        let mut at = 0;
        for segment in segments(prefix.trim_end_matches('/').as_bytes()) {
            let next = self.nodes.len() as u32;
            let parent = at;
            at = *self.nodes[at as usize].children.entry(segment.into()).or_insert(next);
            if at == next {
                self.nodes.push(Node::below(parent));
            }
        }
        self.nodes[at as usize].ranks.push(rank);
    }

    /// Offers the rules of every prefix of the path, the longest first.
    pub(super) fn deepest_first(&self, path: &[u8], mut offer: impl FnMut(&[u32])) {
        let mut node = &self.nodes[0];
        for segment in segments(path) {
            if node.children.is_empty() {
                break;
            }
            match node.children.get(segment) {
                Some(&child) => node = &self.nodes[child as usize],
                None => break,
            }
        }
        loop {
            offer(&node.ranks);
            match node.parent {
                Some(parent) => node = &self.nodes[parent as usize],
                None => return,
            }
        }
    }
}

impl Node {
    fn below(parent: u32) -> Self {
        Self { parent: Some(parent), ..Self::default() }
    }
}

/// Without the slashes around them; none at the root.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    path.split(|&b| b == b'/').filter(move |_| !path.is_empty())
}
