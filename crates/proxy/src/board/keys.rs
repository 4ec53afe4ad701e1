//! The public keys of an issuer of tokens, fetched by control, read by workers, kept over reloads.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use policy::auth::jwt::Keys;
use tokio::sync::Notify;

/// The public keys of an issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: ArcSwapOption<Keys>,
    /// A token named a key that is not there.
    wanted: AtomicBool,
    want: Notify,
    /// Why the last fetch failed; `None` if it did not.
    fault: Mutex<Option<String>>,
}

impl KeySet {
    pub(crate) fn of(keys: Keys) -> Self {
        Self { keys: ArcSwapOption::from_pointee(keys), ..Self::default() }
    }

    /// The keys now; `None` until they came for the first time.
    pub fn load(&self) -> Option<Arc<Keys>> {
        self.keys.load_full()
    }

    /// New keys. The same ones again change nothing, so that what was verified stays so.
    pub fn store(&self, keys: Keys) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if self.load().is_none_or(|before| *before != keys) {
            self.keys.store(Some(Arc::new(keys)));
        }
    }

    /// They could not be fetched; those before stay.
    pub fn failed(&self, why: String) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Why they could not be fetched the last time.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for newer ones. Cost: one store, however often.
    pub(crate) fn want(&self) {
        if !self.wanted.swap(true, Relaxed) {
            self.want.notify_one();
        }
    }

    /// Waits until newer ones are asked for.
    pub async fn wanted(&self) {
        self.want.notified().await;
        self.wanted.store(false, Relaxed);
    }
}
