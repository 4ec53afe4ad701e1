//! The admin listener: what the operator asks and orders over HTTP.

mod access;
mod endpoints;
mod operate;
mod socket;
pub(crate) mod token;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use config::model::{Admin, Secret};
use proxy::CantListen;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::ReloadError;
use crate::run::Shared;
pub use operate::{Operated, OperatedBackend};
use socket::{Peer, Socket};
use token::TokenFile;

/// A running admin listener. Dropped, it takes no new requests; those that run end well.
#[derive(Debug)]
pub(crate) struct Server {
    configured: SocketAddr,
    address: SocketAddr,
    token: Arc<Token>,
    file: Option<TokenFile>,
    _stop: oneshot::Sender<()>,
}

/// What a request that changes something must carry; a reload may change it.
#[derive(Debug)]
struct Token(Mutex<Secret>);

impl Token {
    fn get(&self) -> Secret {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, token: Secret) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

/// What is to become of the admin listener once the plan is in force. Everything that can fail has been done.
pub(crate) enum Prepared {
    None,
    Keep(Option<Secret>),
    Open { configured: SocketAddr, socket: TcpListener, address: SocketAddr, token: Option<Secret> },
}

impl Server {
    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn open(control: &Arc<Shared>, configured: SocketAddr, socket: TcpListener, address: SocketAddr) -> Self {
        let token = Arc::new(Token(Mutex::new(control.own_token.clone())));
        let (stop, stopped) = oneshot::channel::<()>();
        let service = endpoints::router(control.clone(), token.clone()).into_make_service_with_connect_info::<Peer>();
        let serving = axum::serve(Socket::new(socket), service).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the admin listener has ended");
            }
        });
        tracing::info!("admin listener on http://{address}");
        Self { configured, address, token, file: None, _stop: stop }
    }

    /// Goes by the configured token, or by our own, which is then left in a file.
    fn set_token(&mut self, control: &Shared, token: Option<Secret>) {
        let is_own = token.is_none();
        let token = token.unwrap_or_else(|| control.own_token.clone());
        self.token.set(token);
        if !is_own {
            self.file = None;
        } else if self.file.is_none() {
            let folder = &control.runtime_dir;
            let written = TokenFile::write(folder, self.address.port(), control.own_token.expose());
            self.file = written
                .inspect_err(|error| {
                    tracing::warn!(%error, folder = %folder.display(), "can't leave the admin token in a file: `evenkeel reload` won't work, SIGHUP does");
                })
                .ok();
        }
    }
}

/// Does all that can fail: binds the address, if it is another than now.
pub(crate) async fn prepare(current: Option<&Server>, wanted: Option<&Admin>) -> Result<Prepared, ReloadError> {
    let Some(wanted) = wanted else { return Ok(Prepared::None) };
    if current.is_some_and(|current| current.configured == wanted.listen) {
        return Ok(Prepared::Keep(wanted.token.clone()));
    }
    let cant_listen = |error| ReloadError::CantListen(CantListen { address: wanted.listen, error });
    let socket = TcpListener::bind(wanted.listen).await.map_err(cant_listen)?;
    let address = socket.local_addr().map_err(cant_listen)?;
    Ok(Prepared::Open { configured: wanted.listen, socket, address, token: wanted.token.clone() })
}

/// Does what was prepared.
pub(crate) fn commit(control: &Arc<Shared>, current: Option<Server>, prepared: Prepared) -> Option<Server> {
    let (mut server, token) = match (prepared, current) {
        (Prepared::None, _) | (Prepared::Keep(_), None) => return None,
        (Prepared::Keep(token), Some(current)) => (current, token),
        (Prepared::Open { configured, socket, address, token }, _) => (Server::open(control, configured, socket, address), token),
    };
    if token.is_none() && !server.address.ip().is_loopback() {
        tracing::warn!("the admin listener is open to other machines: set `token` in `[admin]`, so that they can read it");
    }
    server.set_token(control, token);
    Some(server)
}
