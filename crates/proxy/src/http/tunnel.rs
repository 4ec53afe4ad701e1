//! What an upgraded connection becomes: bytes both ways until both sides have said that they are done.

use std::future::poll_fn;
use std::task::{Context, Poll};

use policy::Nanos;
use wire::h1::Body;

use super::exchange::Upstream;
use super::forward::{Broken, Pump};
use super::h1::Connection;

/// Runs until both sides have closed, one of them breaks, or nothing has moved for `idle`. Returns the bytes up and down.
///
/// `keep` bytes from the head on stay in the client's buffer, for the log. What stands in the pumps and buffers already (the 101, early frames) goes first. An end on one side is passed on at once as a
/// FIN, while the other direction goes on (B7).
pub(crate) async fn run(conn: &mut Connection, up: &mut Upstream, keep: usize, idle: Nanos) -> (u64, u64) {
    // The 101 stands in the pump towards the client, and what follows it is a stream without an end of its own.
    conn.scratch.down.follow(Body::UntilClose);
    conn.scratch.up.start(Body::UntilClose, false, keep);
    let mut finished = [false; 2];
    let mut steps = u64::MAX;
    poll_fn(|cx| {
        if poll_lanes(conn, up, &mut finished, cx).is_ready() {
            return Poll::Ready(());
        }
        let now_steps = conn.scratch.up.steps.wrapping_add(conn.scratch.down.steps);
        if now_steps != steps {
            steps = now_steps;
            conn.timer.set(conn.worker.timers.now() + idle);
        }
        conn.timer.poll(cx)
    })
    .await;
    (conn.scratch.up.moved, conn.scratch.down.moved)
}

fn poll_lanes(
    conn: &mut Connection,
    up: &mut Upstream,
    finished: &mut [bool; 2],
    cx: &mut Context<'_>,
) -> Poll<Result<(), Broken>> {
    let Connection { scratch, stream, buffer, .. } = conn;
    let (to_up, to_down): (&mut Pump, &mut Pump) = (&mut scratch.up, &mut scratch.down);
    if !finished[0] {
        finished[0] = match to_up.poll(cx, stream, buffer, &mut up.stream) {
            Poll::Ready(Ok(())) => {
                up.stream.finish();
                true
            }
            // The backend takes no more, but its last words may still be on their way.
            Poll::Ready(Err(Broken::Sink)) => true,
            Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
            Poll::Pending => false,
        };
    }
    if !finished[1] && to_down.poll(cx, &mut up.stream, &mut up.buffer, stream)?.is_ready() {
        stream.finish();
        finished[1] = true;
    }
    if *finished == [true; 2] { Poll::Ready(Ok(())) } else { Poll::Pending }
}
