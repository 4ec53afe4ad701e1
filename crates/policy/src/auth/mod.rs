//! Who somebody is: passwords against their hashes, tokens against the keys of who issued them.

pub mod basic;
pub mod jwt;
