//! Memory straight from the kernel, which goes straight back.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{NonNull, null_mut};

/// A block of zeroed memory of its own mapping.
///
/// An allocator keeps what is freed, so that the buffers of 20,000 connections that were busy for a moment would stay in the process
/// for good. Dropping this returns its pages at once; pages never written to cost nothing.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is private to this value, which has no thread of its own.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps `len` bytes, which the kernel rounds up to whole pages.
    ///
    /// # Errors
    /// Out of memory or of mappings.
    pub fn new(len: usize) -> io::Result<Self> {
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no memory that exists.
        let start = unsafe {
            libc::mmap(null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast()).map(|start| Self { start, len }).ok_or_else(|| io::Error::other("mapped at zero"))
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is `len` bytes long, readable, initialised with zeroes, and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`, and writable; `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it outlives `self`. It can't fail for a whole mapping.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.len);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pages_start_zeroed_and_hold_what_is_written() {
        let mut pages = Pages::new(100_000).unwrap();
        assert_eq!(pages.len(), 100_000);
        assert!(pages.iter().all(|b| *b == 0));
        pages[99_999] = 7;
        assert_eq!(pages[99_999], 7);
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(Pages::new(usize::MAX / 2).is_err());
    }
}
