//! What the algorithms see of the world while they pick.

use crate::Nanos;

/// The members' state now. `i` is a position in the list the balancer was built from.
///
/// Called on every pick, often for a single member: implementations read an atomic or two.
pub trait View {
    /// Whether `i` may take the attempt: up, not drained, not full, not tried before in this exchange.
    fn available(&self, i: usize) -> bool;

    /// Attempts now running at `i`, over all workers.
    fn in_flight(&self, i: usize) -> u32;

    /// Peak EWMA of the latency of `i`, decayed to now (see [`crate::measure::Ewma`]). 0 if unknown.
    fn latency(&self, i: usize) -> Nanos;

    /// How much of what its weight gives it `i` is to get now, in percent: less while it is degraded or starts slowly.
    ///
    /// Asked by consistent hashing alone, whose tables must not change with it; for all others the weights say it
    /// (see [`super::scaled`]). Default: 100.
    fn share(&self, _i: usize) -> u8 {
        100
    }

    /// The cursor that all workers share: each call gets the next number (`fetch_add(1)`), wrapping around.
    fn next_turn(&self) -> usize;

    /// Attempts now running at all `members` together; asked only for bounded load, once a pick.
    ///
    /// The default adds them up, which costs a read a member. Pools that count themselves should answer from that.
    fn total_in_flight(&self, members: usize) -> u64 {
        (0..members).map(|i| u64::from(self.in_flight(i))).sum()
    }
}
