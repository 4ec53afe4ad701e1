//! What a process tree has used so far: CPU time and memory, read from /proc.

use crate::Result;
use std::fs;

/// CPU time of a process and all below it, in nanoseconds (user and system).
pub(crate) fn cpu_ns(pid: u32) -> Result<u64> {
    let mut total = 0;
    for pid in tree(pid)? {
        total += threads(pid)?.iter().map(|thread| thread.cpu_ns).sum::<u64>();
    }
    Ok(total)
}

/// CPU time of each worker: the threads named `worker-N`, else the child processes, else the threads.
pub(crate) fn worker_cpu_ns(pid: u32) -> Result<Vec<u64>> {
    let threads = threads(pid)?;
    let named: Vec<u64> = threads.iter().filter(|t| t.name.starts_with("worker-")).map(|t| t.cpu_ns).collect();
    if !named.is_empty() {
        return Ok(named);
    }
    let children = tree(pid)?.split_off(1);
    if children.is_empty() {
        return Ok(threads.iter().map(|t| t.cpu_ns).collect());
    }
    children.into_iter().map(cpu_ns).collect()
}

/// Proportional set size of a process and all below it, in bytes.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    let mut total = 0;
    for pid in tree(pid)? {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        total += pss(&text).ok_or("no Pss line in smaps_rollup")?;
    }
    Ok(total)
}

struct Thread {
    name: String,
    cpu_ns: u64,
}

fn threads(pid: u32) -> Result<Vec<Thread>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = entry?.path();
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(path.join("schedstat")) else {
            continue;
        };
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default().trim().to_owned();
        let cpu_ns = text.split_whitespace().next().and_then(|word| word.parse().ok()).ok_or("schedstat is empty")?;
        found.push(Thread { name, cpu_ns });
    }
    Ok(found)
}

/// The process and all below it, the process first.
fn tree(root: u32) -> Result<Vec<u32>> {
    let mut pairs = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        if let Some(parent) = fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(parent) {
            pairs.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let above = found[next];
        found.extend(pairs.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(found)
}

/// The parent in a line of /proc/PID/stat. The name in parentheses may hold anything, so we count from its end.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_an_odd_name() {
        assert_eq!(parent("12 (a) b (c)) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (a"), None);
    }

    #[test]
    fn pss_is_read_in_bytes_and_not_taken_from_its_parts() {
        assert_eq!(pss("Rss:  10 kB\nPss_Dirty: 3 kB\nPss:    7 kB\n"), Some(7168));
    }

    #[test]
    fn our_own_tree_has_used_cpu_and_memory() {
        let pid = std::process::id();
        assert!(cpu_ns(pid).is_ok_and(|ns| ns > 0));
        assert!(memory(pid).is_ok_and(|bytes| bytes > 0));
    }
}
