//! What is found out about a request before it is routed. Real requests and questions about imagined ones pass here alike.

use std::net::{IpAddr, SocketAddr};

use wire::h1::path::{Normal, normalise};
use wire::h1::{Framing, Name, Request};

use crate::error::Reason;
use crate::message::{AddressText, Asked, client, is_plain_id, new_id};
use crate::plan::Listener;

/// What is found out about a request before it's routed.
#[derive(Debug)]
pub(crate) struct Known {
    /// The normalised path where it differs from the one that came.
    path: Vec<u8>,
    rewritten: bool,
    trusted: bool,
    client: IpAddr,
    id: Vec<u8>,
}

impl Default for Known {
    fn default() -> Self {
        Self { path: Vec::new(), rewritten: false, trusted: false, client: IpAddr::from([0, 0, 0, 0]), id: Vec::new() }
    }
}

impl Known {
    /// The request with all that is known of it.
    pub(crate) fn asked<'a>(&'a self, head: &'a Request, text: &'a [u8], peer: &'a AddressText) -> Asked<'a> {
        let path = match head.path.of(text) {
            _ if self.rewritten => &self.path[..],
            b"" => b"/",
            path => path,
        };
        Asked { head, text, path, peer, trusted: self.trusted, client: self.client, id: &self.id }
    }

    /// Whose request it is.
    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    /// Whether the peer's word on that was believed.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Finds out what routing and forwarding need to know.
    ///
    /// # Errors
    /// Why the request goes no further.
    pub(crate) fn look(
        &mut self,
        head: &Request,
        text: &[u8],
        peer: SocketAddr,
        listener: &Listener,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Reason> {
        (self.trusted, self.client) = client(head, text, peer, |address| listener.trusts(address));
        self.id.clear();
        match head.find(Name::XRequestId).map(|field| field.value.of(text)).filter(|id| is_plain_id(id)) {
            Some(id) => self.id.extend_from_slice(id),
            None => self.id.extend_from_slice(&new_id(rng)),
        }
        self.rewritten = false;
        if !head.asterisk && !head.path.is_empty() {
            self.path.clear();
            let normal = normalise(head.path.of(text), listener.path, &mut self.path).map_err(|_| Reason::BadPath)?;
            self.rewritten = normal == Normal::Rewritten;
        }
        match head.framing {
            Framing::Length(n) if n > listener.max_body => Err(Reason::BodyTooLarge),
            _ => Ok(()),
        }
    }
}
