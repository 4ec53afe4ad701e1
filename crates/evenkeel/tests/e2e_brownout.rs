//! One good backend of three is enough: one fails half of the time, one stalls, and clients notice for less than two seconds.
#![allow(clippy::unwrap_used)]

mod chaos;
mod verb;

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use chaos::{Backend, Ledger};
use testkit::Evenkeel;
use testkit::client::Load;
use verb::{EVENKEEL, ask, lasting_address};

#[test]
fn with_a_breaker_one_client_in_a_thousand_sees_an_error_two_seconds_after_two_of_three_backends_go_bad() {
    let (addresses, ledger) = ([(); 3].map(|()| lasting_address()), Arc::<Ledger>::default());
    let backends = addresses.map(|at| Backend::start(at, &ledger));
    let list = addresses.map(|at| format!("\"{at}\"")).join(", ");
    // Defaults, but for the breaker and for how long clients are made to wait.
    let evenkeel = Evenkeel::start(
        EVENKEEL,
        &format!(
            "[admin]\nlisten = \"ADMIN\"\n[log]\naccess = \"off\"\n[listener.web]\nlisten = \"LISTEN\"\n\
             [[route]]\npool = \"app\"\ntimeout = {{ response = \"500ms\" }}\n\
             [pool.app]\nbackends = [{list}]\nbreaker = {{ error_rate = \"30%\", window = \"2s\" }}\n"
        ),
    );
    // Enough clients that those who wait for the stalled backend do not lower the rate.
    let load = Load::start(evenkeel.address(), "/", 1_000, 250, 500);
    sleep(Duration::from_secs(1));
    let [_, flaky, stalled] = &backends;
    flaky.fail(50);
    stalled.stall();
    sleep(Duration::from_secs(2));
    let before = load.tally();
    sleep(Duration::from_secs(6));
    let after = load.stop();
    let (errors, good) = (after.errors.len() - before.errors.len(), after.ok - before.ok);
    let kinds: std::collections::BTreeSet<&String> = after.errors[before.errors.len()..].iter().collect();
    assert!(!before.errors.is_empty(), "nothing went wrong at first: the test tests nothing");
    assert!(good > 3_000, "{good} in six seconds");
    assert!(errors as u64 * 1_000 <= good, "{errors} errors, {good} good answers: {kinds:?}");
    let status = ask(evenkeel.admin(), "/status").text();
    assert!(status.contains("\"open\""), "no breaker is open: {status}");
    evenkeel.stop();
}
