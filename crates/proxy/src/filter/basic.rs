//! Names and passwords. Hashes are made to be slow, so they are checked beside the worker, and a good result is remembered.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use config::model::{BasicAuth, Secret};
use policy::Nanos;
use policy::auth::basic;

use super::{Effects, Ending, Here, Late, Step};
use crate::error::Reason;
use crate::message::Asked;

/// How long a good result is remembered: 5 minutes.
const REMEMBER: Nanos = 300_000_000_000;
/// Passwords of one worker that are checked or wait for it.
const MOST: u32 = 33;

/// Lets in who gives a name and its password.
#[derive(Debug)]
pub(crate) struct Basic {
    users: HashMap<Box<[u8]>, User>,
    /// Changes with any of the hashes.
    print: [u8; 32],
    /// Checked for a name that is nobody's, so that the time tells nothing.
    stand_in: Arc<Secret>,
    challenge: Vec<u8>,
}

#[derive(Debug)]
struct User {
    hash: Arc<Secret>,
    /// The line for the backend; may be empty.
    line: Box<[u8]>,
}

impl Basic {
    pub(crate) fn compile(auth: &BasicAuth) -> Self {
        let mut print = [0; 32];
        let mut users = HashMap::new();
        for (name, hash) in &auth.users {
            print = basic::fingerprint(&print, name.as_bytes(), hash.expose().as_bytes());
            let line = auth.header.as_ref().map(|header| format!("{header}: {name}\r\n")).unwrap_or_default();
            users.insert(name.as_bytes().into(), User { hash: Arc::new(hash.clone()), line: line.into_bytes().into() });
        }
        // What the backend is told is part of what is remembered.
        print = basic::fingerprint(&print, b"header", auth.header.as_deref().unwrap_or_default().as_bytes());
        Self {
            stand_in: Arc::new(auth.users.values().next().cloned().unwrap_or_else(|| Secret::new(""))),
            users,
            print,
            challenge: format!("WWW-Authenticate: Basic realm=\"{}\", charset=\"UTF-8\"\r\n", auth.realm).into_bytes(),
        }
    }

    pub(crate) fn request(&self, here: &Here<'_>, effects: &mut Effects) -> Step {
        let Some(value) = one_authorization(&here.asked) else { return Step::End(self.refusal()) };
        let kept = &here.worker.kept;
        let print = basic::fingerprint(&kept.secret, &self.print, value);
        if let Some((until, line)) = kept.passwords.borrow_mut().get(&print)
            && here.now < until
        {
            effects.request.extend_from_slice(&line);
            return Step::Next;
        }
        let Some((name, password)) = basic::credentials(value) else { return Step::End(self.refusal()) };
        let user = self.users.get(&name[..]);
        let hash = user.map_or_else(|| self.stand_in.clone(), |user| user.hash.clone());
        let Some(turn) = Turn::claim(&kept.checking) else { return Step::End(Ending::refuse(Reason::AuthUnavailable)) };
        let line: Option<Rc<[u8]>> = user.map(|user| user.line[..].into());
        let (worker, refusal) = (here.worker.clone(), self.refusal());
        Step::Wait(Box::pin(async move {
            let checked = tokio::task::spawn_blocking(move || {
                let is_good = basic::verify(&password, hash.expose());
                drop(turn);
                is_good
            });
            match (checked.await.unwrap_or(false), line) {
                (true, Some(line)) => {
                    let until = worker.timers.now() + REMEMBER;
                    worker.kept.passwords.borrow_mut().put(print, (until, line.clone()));
                    Late { effects: Effects { request: line.to_vec(), ..Effects::default() }, ending: None }
                }
                _ => Late { ending: Some(refusal), ..Late::default() },
            }
        }))
    }

    pub(crate) fn describe(&self, asked: &Asked<'_>) -> String {
        let told = match one_authorization(asked).and_then(basic::credentials) {
            None => "it gives none, which is 401 unauthorized",
            Some((name, _)) if self.users.contains_key(&name[..]) => {
                "it gives a name that is known; its password is not checked here"
            }
            Some(_) => "it gives a name that nobody has, which is 401 unauthorized",
        };
        format!("basic auth: asks for name and password of {} users; {told}", self.users.len())
    }

    fn refusal(&self) -> Ending {
        Ending { fields: self.challenge.clone(), ..Ending::refuse(Reason::Unauthorized) }
    }
}

/// The one `Authorization`; of two nobody knows which one the backend would take.
pub(super) fn one_authorization<'a>(asked: &Asked<'a>) -> Option<&'a [u8]> {
    let mut fields = asked.head.find_name(asked.text, b"authorization");
    let value = fields.next()?.value.of(asked.text);
    fields.next().is_none().then_some(value)
}

/// A place among those that are checked, held until the check is over, whether anybody still waits for it or not.
struct Turn(Arc<AtomicU32>);

impl Turn {
    fn claim(checking: &Arc<AtomicU32>) -> Option<Self> {
        // Only this worker adds, so it can't become more in between.
        (checking.load(Relaxed) < MOST).then(|| {
            checking.fetch_add(1, Relaxed);
            Self(checking.clone())
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
