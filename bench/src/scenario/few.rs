//! Is the work shared when connections are few: 8 over 2 workers.

use super::Run;
use crate::Result;
use crate::backends::Backends;
use crate::child::BOTH;
use crate::load::Load;
use crate::report::{Outcome, Row};
use crate::rounds::interleaved;
use crate::systems::{Running, Setup};

/// The busier worker's CPU time over the other's; 1 is even.
pub(super) fn run(run: &Run) -> Result<Outcome> {
    let backends = Backends::start(3, BOTH, &run.scratch)?;
    let setup = Setup { backends: &backends.addresses, routes: 0, workers: 2, cores: BOTH, connections: 64 };
    let load = Load { connections: 8, path: "/", close: false, script: None, cores: BOTH };
    let systems = run.balancers();
    let running = systems.iter().map(|system| system.start(&setup, "few", &run.scratch)).collect::<Result<Vec<Running>>>()?;
    let labels: Vec<String> = systems.iter().map(|system| system.name().to_owned()).collect();
    let values = interleaved(run.rounds, &labels, |at| {
        let Running { address, process } = &running[at];
        uneven(&load.run(*address, process.pid(), run.round, &backends, &run.scratch)?.worker_cpu_ns)
    })?;
    let rows = labels.into_iter().zip(values).map(|(label, values)| Row { label, values }).collect();
    let about = "8 keep-alive connections over 2 workers, nothing pinned: the busier worker's CPU over the other's.";
    let mut outcome = Outcome { name: "few", about: about.to_owned(), unit: "busier / other", rows, verdicts: Vec::new() };
    outcome.judge("evenkeel", Some(1.0), "even", 1.25);
    Ok(outcome)
}

fn uneven(workers: &[u64]) -> Result<f64> {
    match workers {
        // An idle worker would make it infinite: 999 says enough.
        [one, other] => Ok((*one.max(other) as f64 / (*one.min(other)).max(1) as f64).min(999.0)),
        _ => Err(format!("two workers were asked for, {} were found", workers.len()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busier_worker_is_held_against_the_other_whichever_it_is() {
        assert_eq!(uneven(&[200, 100]).expect("two"), 2.0);
        assert_eq!(uneven(&[100, 200]).expect("two"), 2.0);
        assert_eq!(uneven(&[100_000, 0]).expect("two"), 999.0);
        assert!(uneven(&[1]).is_err());
    }
}
