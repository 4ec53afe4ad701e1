//! An attempt's place at a backend: counted while it lasts.

use std::rc::Rc;

use super::exchange::Place;
use crate::board::Health;
use crate::upstream::queue;
use crate::worker::Local;

/// Counts an attempt at a backend until it is dropped.
pub(super) struct InFlight {
    local: Rc<Local>,
    at: Place,
}

impl InFlight {
    /// Counts an attempt if the backend may have one more.
    pub(super) fn claim(local: &Rc<Local>, at: Place) -> Option<Self> {
        let backend = local.backend(at);
        backend.state.begin_within(backend.max_connections).then(|| Self { local: local.clone(), at })
    }

    /// For one more attempt at a backend that has just had one, whatever its limits.
    pub(super) fn again(local: &Rc<Local>, at: Place) -> Self {
        local.backend(at).state.begin();
        Self { local: local.clone(), at }
    }

    /// Takes over a place that was handed on, if the plan has that backend and it may be used.
    pub(super) fn take(local: &Rc<Local>, pool: usize, place: queue::Place) -> Option<Self> {
        let backends = &local.pools[pool].pool.backends;
        let backend = backends.iter().position(|backend| place.is_at(&backend.state) && backend.state.health() != Health::Down)?;
        place.take();
        Some(Self { local: local.clone(), at: Place { pool, backend } })
    }

    pub(super) fn at(&self) -> Place {
        self.at
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let backend = self.local.backend(self.at);
        if backend.max_connections == u32::MAX {
            return backend.state.end();
        }
        backend.state.leave(backend.max_connections, || self.local.timers.now());
    }
}
