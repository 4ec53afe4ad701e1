//! Bytes from one socket to another without a copy: through a pipe that holds pages, not bytes.

use std::cell::RefCell;
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// How many free pipes a worker keeps.
const KEPT: usize = 32;
/// How many pipes a worker has at most: each takes two descriptors, which connections want too.
const MOST: usize = 128;

/// A pipe for splice(2). Empty whenever it is not lent to a transfer.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Pipe {
    pub(crate) output: OwnedFd,
    pub(crate) input: OwnedFd,
}

/// There is no splice(2) here; nobody can make one of these.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub enum Pipe {}

impl Pipe {
    /// Opens a pipe that never blocks.
    ///
    /// # Errors
    /// Out of descriptors; or the system has no splice(2).
    #[cfg(target_os = "linux")]
    fn open() -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: the pointer is to two integers, which the call fills.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us both descriptors; nobody else owns them.
        let [output, input] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        Ok(Self { output, input })
    }

    #[cfg(not(target_os = "linux"))]
    fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A worker's pipes.
#[derive(Debug, Default)]
pub struct Pipes {
    free: RefCell<Vec<Pipe>>,
    lent: std::cell::Cell<usize>,
}

impl Pipes {
    /// A free pipe, or `None` when there are enough or none is to be had; then the bytes are copied.
    pub fn take(&self) -> Option<Pipe> {
        if self.lent.get() >= MOST {
            return None;
        }
        let free = self.free.borrow_mut().pop();
        let pipe = free.map_or_else(Pipe::open, Ok).ok()?;
        self.lent.set(self.lent.get() + 1);
        Some(pipe)
    }

    /// Takes a pipe back, `None` for one that is closed because bytes were left in it.
    pub fn give(&self, pipe: Option<Pipe>) {
        self.lent.set(self.lent.get().saturating_sub(1));
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT {
            free.extend(pipe);
        }
    }
}

/// One splice(2) that does not wait.
#[cfg(target_os = "linux")]
pub(crate) fn splice(from: RawFd, to: RawFd, most: usize) -> io::Result<usize> {
    // SAFETY: null offsets mean "at the position", as sockets and pipes need it; both descriptors are open as long as their owners live.
    let n = unsafe {
        libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), most, libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK)
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

#[cfg(target_os = "linux")]
impl Pipe {
    pub(crate) fn fill(&self, from: &impl AsRawFd, most: usize) -> io::Result<usize> {
        splice(from.as_raw_fd(), self.input.as_raw_fd(), most)
    }

    pub(crate) fn empty(&self, to: &impl AsRawFd, most: usize) -> io::Result<usize> {
        splice(self.output.as_raw_fd(), to.as_raw_fd(), most)
    }
}

#[cfg(not(target_os = "linux"))]
impl Pipe {
    pub(crate) fn fill<T>(&self, _: &T, _: usize) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn empty<T>(&self, _: &T, _: usize) -> io::Result<usize> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_worker_has_only_so_many_pipes_and_uses_them_again() {
        let pipes = Pipes::default();
        let lent: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).collect();
        assert_eq!(lent.len(), MOST);
        for pipe in lent {
            pipes.give(Some(pipe));
        }
        assert_eq!(pipes.free.borrow().len(), KEPT);
        let again = pipes.take();
        assert!(again.is_some() && pipes.free.borrow().len() == KEPT - 1);
        pipes.give(None);
        assert_eq!(pipes.lent.get(), 0);
    }
}
