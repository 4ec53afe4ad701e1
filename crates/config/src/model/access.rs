//! Who may use a route.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::Networks;
use policy::auth::jwt;

use super::{Address, Secret};

/// Who may use a route.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Only clients in these networks; `None` is everyone.
    pub allow: Option<Networks>,
    /// Nobody in these networks, whatever `allow` says.
    pub deny: Networks,
    /// Only who gives a name and its password.
    pub basic: Option<BasicAuth>,
    /// Only who has a token.
    pub jwt: Option<Jwt>,
    /// Only whom a service lets in.
    pub forward: Option<ForwardAuth>,
}

/// Names and passwords.
#[derive(Clone, Debug)]
pub struct BasicAuth {
    /// Hashes that `policy::auth::basic` understands, by names of visible ASCII without colon. At least one.
    pub users: BTreeMap<String, Secret>,
    /// Visible ASCII without `"` and `\`. Default: restricted.
    pub realm: String,
    /// The field with the name towards the backend.
    pub header: Option<String>,
    /// `Authorization` does not go upstream. Default: false.
    pub strip: bool,
}

/// Tokens.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// Whose keys.
    pub keys: JwtKeys,
    /// What a token must be.
    pub rules: jwt::Rules,
    /// The field with the token. Default: `Authorization`.
    pub header: String,
    /// The cookie with the token, where the field is not there.
    pub cookie: Option<String>,
    /// Fields towards the backend and the claims in them.
    pub claims: Vec<(String, String)>,
    /// Claims, and of each the values one of which it must have.
    pub require: Vec<(String, Vec<String>)>,
    /// Requests without a token pass. Default: false.
    pub optional: bool,
    /// The field with the token does not go upstream. Default: false.
    pub strip: bool,
}

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum JwtKeys {
    /// Here.
    Fixed(jwt::Keys),
    /// There, to be fetched again and again.
    At {
        /// Where.
        url: Service,
        /// How often. Default: 10 min.
        refresh: Duration,
    },
}

/// A service that decides.
#[derive(Clone, Debug)]
pub struct ForwardAuth {
    /// Where it is asked; never https.
    pub url: Service,
    /// Fields of the request that it is sent; `None` is all. In lower case.
    pub request_headers: Option<Vec<String>>,
    /// Fields of its answer for the backend. As written.
    pub response_headers: Vec<String>,
    /// For its answer. Default: 2 s.
    pub timeout: Duration,
}

/// The place of something on another server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// By TLS.
    pub https: bool,
    /// The server.
    pub address: Address,
    /// For the `Host` field: as written, without user.
    pub authority: String,
    /// Path and query; begins with `/`.
    pub target: String,
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A query may hold a secret (D9).
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{}://{}{path}", if self.https { "https" } else { "http" }, self.authority)
    }
}
