//! A task that ends with its owner.

use tokio::task::JoinHandle;

/// Aborted when dropped, so that what stops being wanted stops being done.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    /// Begins at once on the runtime of the caller.
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
