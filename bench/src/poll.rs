//! Readiness of many sockets: epoll, behind the safe calls of rustix.

use crate::Result;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub(crate) use epoll::EventFlags as Flags;

/// An epoll instance and the events it last reported.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    pub(crate) fn new() -> Result<Poll> {
        Ok(Poll { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(1024) })
    }

    /// Watches a socket until it is closed.
    pub(crate) fn add(&self, socket: impl AsFd, token: u64, flags: Flags) -> Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), flags)?)
    }

    /// Waits for events, at most `limit`; none on a timeout or an interrupted wait.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> Result<usize> {
        self.events.clear();
        let limit = limit.map(Timespec::try_from).transpose()?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(self.events.len()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The event at `i` of the last wait.
    pub(crate) fn event(&self, i: usize) -> (u64, Flags) {
        let event = self.events[i];
        (event.data.u64(), event.flags)
    }
}
