//! Parameter types of active health checks.

use std::time::Duration;

/// When a backend is probed and how many results change its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Between two probes.
    pub interval: Duration,
    /// Longest time for one probe.
    pub timeout: Duration,
    /// Spread of the interval, as a fraction of it.
    pub jitter: f64,
    /// Passes that bring it up.
    pub rise: u32,
    /// Failures that take it down.
    pub fall: u32,
    /// Between two probes while a streak against the state runs.
    pub edge_interval: Duration,
    /// Longest hold-down of a flapping backend.
    pub hold_down_max: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            jitter: 0.1,
            rise: 2,
            fall: 3,
            edge_interval: Duration::from_secs(1),
            hold_down_max: Duration::from_secs(60),
        }
    }
}
