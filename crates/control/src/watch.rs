//! `--watch`: reloads when the file has changed. Looks at it now and then, which works on every file system and through every kind
//! of replacement (rename, symlink, mount).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::run::Shared;

/// How often the file is looked at. A change counts once it has been the same for two looks, so that half-written files are left alone.
const EVERY: Duration = Duration::from_millis(500);

/// By what a change is seen.
type Look = (SystemTime, u64, u64);

/// A file that is about to be loaded.
pub(crate) struct Watched {
    path: PathBuf,
    changes: Changes,
}

impl Watched {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { changes: Changes::new(look(&path)), path }
    }

    /// Watches until it is aborted.
    pub(crate) async fn run(mut self, control: Arc<Shared>) {
        loop {
            tokio::time::sleep(EVERY).await;
            if self.changes.is_settled(look(&self.path)) {
                tracing::info!(file = %self.path.display(), "the file has changed");
                // How it went is in the log, in status and in the metrics.
                let _ = control.reload().await;
            }
        }
    }
}

/// `None` while there is no such file: someone is about to replace it.
fn look(path: &Path) -> Option<Look> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len(), about.ino()))
}

/// Sees changes in a row of looks.
struct Changes {
    loaded: Option<Look>,
    before: Option<Look>,
}

impl Changes {
    fn new(loaded: Option<Look>) -> Self {
        Self { loaded, before: loaded }
    }

    /// Whether the file is another than the one loaded, and at rest.
    fn is_settled(&mut self, now: Option<Look>) -> bool {
        let before = std::mem::replace(&mut self.before, now);
        let settled = now.is_some() && now == before && now != self.loaded;
        if settled {
            self.loaded = now;
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_and_only_when_the_file_is_at_rest() {
        let at = |size| Some((SystemTime::UNIX_EPOCH, size, 7));
        let mut changes = Changes::new(at(1));
        let looks = [at(1), at(2), at(3), at(3), at(3), None, None, at(3), at(3), at(4), at(4)];
        let seen = looks.map(|look| changes.is_settled(look));
        assert_eq!(seen, [false, false, false, true, false, false, false, false, false, false, true]);
    }
}
