//! `evenkeel check`: is this file what its author means?

use std::path::Path;
use std::process::ExitCode;

use config::model::Config;
use config::{Fault, Severity};
use serde_json::{Value, json};

use crate::cli::Check;
use crate::terminal::{self, counted};

pub(crate) fn check(args: &Check) -> anyhow::Result<ExitCode> {
    let loaded = control::load(&args.file);
    if args.json {
        terminal::print_line(&format!("{:#}", verdict(&args.file, &loaded)))?;
    } else {
        match &loaded {
            Ok(config) => {
                terminal::warnings(config);
                terminal::print_line(&format!("{} is valid: {}", args.file.display(), summary(config)))?;
            }
            Err(report) => refuse(&args.file, report),
        }
    }
    Ok(if loaded.is_ok() { ExitCode::SUCCESS } else { terminal::bad_configuration() })
}

/// Shows what is wrong with a file, and how to begin one where there is none.
pub(crate) fn refuse(file: &Path, report: &config::Report) {
    terminal::report(report);
    if file.exists() {
        return;
    }
    terminal::hint(&format!(
        "three lines are a whole configuration. Write them to {}, with your own backends:\n\n    \
         listen   = \"0.0.0.0:8000\"\n    \
         backends = [\"127.0.0.1:8001\", \"127.0.0.1:8002\"]\n    \
         admin    = {{ listen = \"127.0.0.1:9900\" }}\n\n\
         or try `evenkeel demo`, which needs no file.",
        file.display()
    ));
}

/// "2 listeners, 3 routes, 2 pools, 5 backends".
pub(crate) fn summary(config: &Config) -> String {
    let backends = config.pools.iter().map(|pool| pool.backends.len()).sum();
    [(config.listeners.len(), "listener"), (config.routes.len(), "route"), (config.pools.len(), "pool"), (backends, "backend")]
        .map(|(number, word)| counted(number, word))
        .join(", ")
}

/// The same for programs: every fault and warning with its place.
fn verdict(file: &Path, loaded: &Result<Config, config::Report>) -> Value {
    let faults = match loaded {
        Ok(config) => &config.warnings[..],
        Err(report) => report.faults(),
    };
    let mut verdict = json!({
        "file": file.display().to_string(),
        "valid": loaded.is_ok(),
        "faults": faults.iter().map(fault).collect::<Vec<_>>(),
    });
    if let Ok(config) = loaded {
        verdict["listeners"] = config.listeners.len().into();
        verdict["routes"] = config.routes.len().into();
        verdict["pools"] = config.pools.len().into();
        verdict["backends"] = config.pools.iter().map(|pool| pool.backends.len()).sum::<usize>().into();
    }
    verdict
}

/// Line and column count from 1; they are 0 for a fault of the file as a whole.
fn fault(fault: &Fault) -> Value {
    json!({
        "severity": if fault.severity == Severity::Error { "error" } else { "warning" },
        "line": fault.line,
        "column": fault.column,
        "message": fault.message,
        "hint": fault.hint,
    })
}
