//! Read buffers: pooled by the worker, given back while a connection is idle.

use std::cell::RefCell;
use std::io;

use net::Pages;

/// How many body bytes one direction of an exchange holds at most.
pub(crate) const STEP: usize = 64 * 1024;
/// A whole head (64 KiB at most) fits and leaves room for body bytes behind it.
const SIZE: usize = STEP + 16 * 1024;
/// How many free buffers a worker keeps while it's busy; a new one costs two system calls.
const KEPT: usize = 512;
/// And how many of them when it has become quiet.
const KEPT_WHEN_QUIET: usize = 32;

/// Bytes read and not yet used: `[start, end)`, with everything from `origin` on held in place.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Pages,
    origin: usize,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> io::Result<Self> {
        Ok(Self { bytes: Pages::new(SIZE)?, origin: 0, start: 0, end: 0 })
    }

    /// What was read and not yet consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Everything from the origin on: the held head and what follows it.
    pub(crate) fn held(&self) -> &[u8] {
        &self.bytes[self.origin..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks `n` unread bytes as used.
    pub(crate) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.end - self.start);
        self.start += n;
    }

    /// Holds the unread bytes from here on in place: offsets into [`Buffer::held`] stay true until [`Buffer::release`].
    pub(crate) fn hold(&mut self) {
        self.origin = self.start;
    }

    /// Goes back to where the unread bytes were when `held_after` bytes of the held ones had been consumed.
    pub(crate) fn rewind(&mut self, held_after: usize) {
        debug_assert!(self.origin + held_after <= self.start);
        self.start = self.origin + held_after;
    }

    /// Ends the hold; what is consumed may be overwritten.
    pub(crate) fn release(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        self.origin = self.start;
    }

    /// Room for reading more behind the unread bytes; empty when [`STEP`] bytes are unread or nothing can be moved up.
    ///
    /// `keep` bytes from the origin on (the head) stay where they are, the unread ones may move down behind them.
    pub(crate) fn space(&mut self, keep: usize) -> &mut [u8] {
        let floor = self.origin + keep;
        if self.start > floor && (self.start == self.end || self.bytes.len() - self.end < STEP / 4) {
            self.bytes.copy_within(self.start..self.end, floor);
            self.end = floor + (self.end - self.start);
            self.start = floor;
        }
        if self.bytes.len() - self.end < STEP / 4 {
            self.move_to_front();
        }
        let unread = self.end - self.start;
        let room = (self.bytes.len() - self.end).min(STEP.saturating_sub(unread));
        &mut self.bytes[self.end..self.end + room]
    }

    /// As [`Buffer::space`] for a head that is still being read: the whole held part moves to the front when it must.
    pub(crate) fn space_for_head(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() {
            self.move_to_front();
        }
        &mut self.bytes[self.end..]
    }

    /// Moves everything from the origin on to the front; what stands in it keeps its offset from the origin.
    fn move_to_front(&mut self) {
        if self.origin > 0 {
            self.bytes.copy_within(self.origin..self.end, 0);
            self.end -= self.origin;
            self.start -= self.origin;
            self.origin = 0;
        }
    }

    /// Whether so many bytes can be held at once.
    pub(crate) fn can_hold(bytes: usize) -> bool {
        bytes <= SIZE
    }

    /// Takes note of `n` bytes read into the space.
    pub(crate) fn filled(&mut self, n: usize) {
        self.end += n;
        debug_assert!(self.end <= self.bytes.len());
    }

    fn clear(&mut self) {
        (self.origin, self.start, self.end) = (0, 0, 0);
    }
}

/// A worker's free buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers(RefCell<Vec<Buffer>>);

impl Buffers {
    /// A free buffer, or a new one where memory is to be had.
    pub(crate) fn take(&self) -> io::Result<Buffer> {
        let free = self.0.borrow_mut().pop();
        free.map_or_else(Buffer::new, Ok)
    }

    pub(crate) fn give(&self, mut buffer: Buffer) {
        let mut free = self.0.borrow_mut();
        if free.len() < KEPT {
            buffer.clear();
            free.push(buffer);
        }
    }

    /// Gives back to the kernel what a burst needed.
    pub(crate) fn trim(&self) {
        self.0.borrow_mut().truncate(KEPT_WHEN_QUIET);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn fill(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.space(0)[..bytes.len()].copy_from_slice(bytes);
        buffer.filled(bytes.len());
    }

    #[test]
    fn a_held_head_stays_in_place_while_the_body_moves_through() {
        let mut buffer = Buffer::new().unwrap();
        fill(&mut buffer, b"HEADbody");
        buffer.hold();
        buffer.consume(4);
        for _ in 0..1000 {
            let n = buffer.unread().len();
            buffer.consume(n);
            let space = buffer.space(4);
            assert!(space.len() >= STEP / 4);
            let n = space.len();
            space.fill(b'x');
            buffer.filled(n);
            assert_eq!(&buffer.held()[..4], b"HEAD");
        }
    }

    #[test]
    fn a_head_at_the_very_end_still_has_room_for_its_body_behind_it() {
        let mut buffer = Buffer::new().unwrap();
        let space = buffer.space_for_head();
        let n = space.len();
        space.fill(b'x');
        space[n - 4..].copy_from_slice(b"HEAD");
        buffer.filled(n);
        buffer.consume(n - 4);
        buffer.release();
        buffer.hold();
        buffer.consume(4);
        assert!(buffer.space(4).len() >= STEP / 4);
        assert_eq!(buffer.held(), b"HEAD");
    }

    #[test]
    fn no_more_than_one_step_is_ever_unread() {
        let mut buffer = Buffer::new().unwrap();
        loop {
            let n = buffer.space(0).len();
            if n == 0 {
                break;
            }
            buffer.filled(n);
        }
        assert_eq!(buffer.unread().len(), STEP);
    }

    #[test]
    fn a_pipelined_head_that_starts_late_still_gets_its_room() {
        let mut buffer = Buffer::new().unwrap();
        let n = buffer.space_for_head().len();
        buffer.filled(n);
        buffer.consume(n - 10);
        buffer.release();
        buffer.hold();
        assert_eq!(buffer.space_for_head().len(), SIZE - 10);
        assert_eq!(buffer.held().len(), 10);
    }

    /// A buffer as anybody would write it: all bytes that ever came, and how many of them are used.
    #[test]
    fn whatever_is_read_comes_out_in_order_and_what_is_held_stays() {
        for seed in 0..30 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut buffer = Buffer::new().unwrap();
            let (mut came, mut used, mut head) = (0u64, 0u64, (0u64, 0usize));
            let expect = |from: u64, bytes: &[u8]| bytes.iter().zip(from..).all(|(b, i)| *b == (i % 251) as u8);
            for step in 0..400 {
                let unread = buffer.unread().len();
                match rng.u8(..8) {
                    // A new message begins, with a head of some bytes that stays.
                    0 => {
                        buffer.release();
                        buffer.hold();
                        let len = rng.usize(..=unread.min(STEP));
                        buffer.consume(len);
                        (head, used) = ((used, len), used + len as u64);
                    }
                    1..=3 => {
                        let n = rng.usize(..=unread);
                        buffer.consume(n);
                        used += n as u64;
                    }
                    // Back to the end of the head, where nothing behind it was moved: no space was asked for with less held.
                    4 if used == head.0 + head.1 as u64 => buffer.rewind(head.1),
                    _ => {
                        let before = buffer.unread().len();
                        let space = buffer.space(head.1);
                        assert!(
                            !space.is_empty() || before >= STEP || head.1 + before >= SIZE - STEP / 4,
                            "seed {seed}, step {step}"
                        );
                        let n = [space.len(), rng.usize(..=space.len())][rng.usize(..2)];
                        space[..n].iter_mut().zip(came..).for_each(|(b, i)| *b = (i % 251) as u8);
                        buffer.filled(n);
                        came += n as u64;
                        assert!(buffer.unread().len() <= STEP.max(before));
                    }
                }
                assert_eq!(buffer.unread().len() as u64, came - used, "seed {seed}, step {step}");
                assert!(expect(used, buffer.unread()) && expect(head.0, &buffer.held()[..head.1]), "seed {seed}, step {step}");
            }
        }
    }
}
