//! Why a start or a reload was refused, and what to do about it.

use std::fmt;
use std::io;

use proxy::CantListen;

use crate::text;

/// Why nothing was started.
#[derive(Debug)]
pub enum StartError {
    /// The configuration is faulty; the report names every fault.
    Report(config::Report),
    /// An address is not to be had.
    CantListen(CantListen),
    /// Something the system refused, with what it was for.
    Io(String, io::Error),
}

/// Why a reload changed nothing: the configuration before it is in force as a whole.
#[derive(Debug)]
pub enum ReloadError {
    /// The configuration is faulty; the report names every fault.
    Report(config::Report),
    /// An address is not to be had.
    CantListen(CantListen),
    /// Something the system refused, with what it was for.
    Io(String, io::Error),
    /// The process was started without a file.
    NoFile,
    /// The process is ending.
    ShuttingDown,
}

impl ReloadError {
    /// The word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Report(_) => "config_refused",
            Self::CantListen(_) => "cant_listen",
            Self::Io(..) => "io",
            Self::NoFile => "no_file",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(report) => report.fmt(f),
            Self::CantListen(fault) => cant_listen(fault, f),
            Self::Io(what, error) => write!(f, "{what}: {}", text::io_error(error)),
        }
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(report) => report.fmt(f),
            Self::CantListen(fault) => cant_listen(fault, f),
            Self::Io(what, error) => write!(f, "{what}: {}", text::io_error(error)),
            Self::NoFile => f.write_str("there is no file to reload: the configuration was given on the command line"),
            Self::ShuttingDown => f.write_str("the process is ending"),
        }
    }
}

impl std::error::Error for StartError {}
impl std::error::Error for ReloadError {}

/// A start goes through the same steps as a reload; the two last reasons can't arise in it.
impl From<ReloadError> for StartError {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Report(report) => Self::Report(report),
            ReloadError::CantListen(fault) => Self::CantListen(fault),
            ReloadError::Io(what, error) => Self::Io(what, error),
            other @ (ReloadError::NoFile | ReloadError::ShuttingDown) => {
                Self::Io(other.to_string(), io::ErrorKind::Interrupted.into())
            }
        }
    }
}

fn cant_listen(fault: &CantListen, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "can't listen on {}: {}", fault.address, text::io_error(&fault.error))?;
    let port = fault.address.port();
    match fault.error.kind() {
        io::ErrorKind::AddrInUse => write!(f, "\nhint: `ss -ltnp 'sport = :{port}'` shows who listens there"),
        io::ErrorKind::PermissionDenied if port < 1024 => {
            f.write_str("\nhint: ports below 1024 need root or CAP_NET_BIND_SERVICE; or choose a higher port")
        }
        io::ErrorKind::AddrNotAvailable => f.write_str("\nhint: this machine has no such address; `ip address` shows those it has"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_says_how_to_find_out_who_uses_it() {
        let fault = CantListen { address: ([127, 0, 0, 1], 8000).into(), error: io::ErrorKind::AddrInUse.into() };
        let text = StartError::CantListen(fault).to_string();
        assert!(text.starts_with("can't listen on 127.0.0.1:8000: ") && text.contains("ss -ltnp 'sport = :8000'"), "{text}");
    }
}
