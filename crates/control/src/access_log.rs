//! The access log's far end: a thread that writes batches of lines, so that a slow disk or a stopped reader never slows traffic.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use config::model::AccessTo;
use tokio::sync::watch;

use crate::ReloadError;

/// Batches that may wait for the writer; with 16 KiB each this holds 8 MiB of lines before any is lost.
const WAITING: usize = 512;

/// The log as the rest of control knows it.
#[derive(Debug)]
pub(crate) struct AccessLog {
    sink: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
    /// Empty batches are marks; this counts those that the writer has passed.
    passed: watch::Receiver<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What is to be written to from the next batch on. The writer takes it; nobody holds the lock while writing.
    next: Mutex<Option<Target>>,
    lost: AtomicU64,
}

/// Where lines go. `None` drops them.
#[derive(Debug)]
pub(crate) struct Target(Option<File>);

impl AccessLog {
    /// Starts the writer; until the first [`AccessLog::switch`] it drops everything.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub(crate) fn start() -> io::Result<Self> {
        let (sink, batches) = sync_channel(WAITING);
        let shared = Arc::new(Shared::default());
        let (pass, passed) = watch::channel(0);
        let theirs = shared.clone();
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write(&batches, &theirs, &pass))?;
        Ok(Self { sink, shared, passed })
    }

    /// The workers' end.
    pub(crate) fn sink(&self) -> proxy::AccessLog {
        self.sink.clone()
    }

    /// Goes on to another target; the same file opened anew ends a rotation.
    pub(crate) fn switch(&self, target: Target) {
        *self.shared.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }

    /// Lines that could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.load(Relaxed)
    }

    /// Waits until everything sent so far is written, for at most `patience`.
    pub(crate) async fn flushed(&self, patience: Duration) {
        let mut passed = self.passed.clone();
        let mark = *passed.borrow_and_update() + 1;
        let reached = async {
            while self.sink.try_send(Vec::new()).is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let _ = passed.wait_for(|passed| *passed >= mark).await;
        };
        let _ = tokio::time::timeout(patience, reached).await;
    }
}

/// Opens a target, so that what can't be opened is refused before anything has changed.
pub(crate) fn open(to: &AccessTo) -> Result<Target, ReloadError> {
    let file = match to {
        AccessTo::Off => Ok(None),
        // A descriptor of our own: whoever prints does not wait for a stalled log, nor the other way round.
        AccessTo::Stdout => io::stdout().as_fd().try_clone_to_owned().map(|fd| Some(fd.into())),
        AccessTo::File(path) => OpenOptions::new().create(true).append(true).open(path).map(Some),
    };
    let what = || match to {
        AccessTo::File(path) => format!("can't open the access log {}", path.display()),
        _ => "can't write the access log to standard output".to_owned(),
    };
    file.map(Target).map_err(|error| ReloadError::Io(what(), error))
}

fn write(batches: &Receiver<Vec<u8>>, shared: &Shared, pass: &watch::Sender<u64>) {
    let mut target = Target(None);
    let mut failing = false;
    for batch in batches {
        if let Some(next) = shared.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            target = next;
        }
        if batch.is_empty() {
            pass.send_modify(|passed| *passed += 1);
            continue;
        }
        let Target(Some(file)) = &mut target else { continue };
        match file.write_all(&batch) {
            Ok(()) => failing = false,
            Err(error) => {
                let lines = batch.iter().filter(|byte| **byte == b'\n').count() as u64;
                shared.lost.fetch_add(lines, Relaxed);
                // Once for each streak: a full disk would otherwise fill the own log too.
                if !failing {
                    tracing::warn!(%error, "can't write the access log; its lines are lost and counted until it can be written again");
                }
                failing = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn lines_reach_the_file_and_after_a_rotation_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let to = AccessTo::File(path.clone());
        let log = AccessLog::start().unwrap();
        log.switch(open(&to).unwrap());
        log.sink().send(b"one\n".to_vec()).unwrap();
        log.flushed(PATIENCE).await;
        std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
        log.switch(open(&to).unwrap());
        log.sink().send(b"two\n".to_vec()).unwrap();
        log.flushed(PATIENCE).await;
        assert_eq!(std::fs::read_to_string(folder.path().join("access.log.1")).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "two\n");
        assert_eq!(log.lost(), 0);
    }

    #[tokio::test]
    async fn lines_that_cant_be_written_are_counted_and_the_writer_goes_on() {
        let log = AccessLog::start().unwrap();
        log.switch(Target(Some(OpenOptions::new().write(true).open("/dev/full").unwrap())));
        log.sink().send(b"one\ntwo\n".to_vec()).unwrap();
        log.flushed(PATIENCE).await;
        assert_eq!(log.lost(), 2);
        let mut file = tempfile::tempfile().unwrap();
        log.switch(Target(Some(file.try_clone().unwrap())));
        log.sink().send(b"three\n".to_vec()).unwrap();
        log.flushed(PATIENCE).await;
        let mut text = String::new();
        io::Seek::rewind(&mut file).unwrap();
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!((text.as_str(), log.lost()), ("three\n", 2));
    }

    #[test]
    fn a_log_that_cant_be_opened_is_named() {
        let error = open(&AccessTo::File("/no/such/folder/access.log".into())).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder/access.log: no such file"), "{error}");
    }
}
