//! Why an exchange did not end with a backend's answer: ONE table from the reason to status, word and fault.

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client's.
    Client,
    /// The backend's.
    Upstream,
    /// A limit was reached.
    Limit,
    /// Ours.
    Own,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident: $word:literal, $status:literal, $fault:ident, $text:literal;)*) => {
        /// Why an exchange ended without a backend's whole answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word for the client, log and metrics.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The status the client gets, where it can still get one.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Whose fault it is.
            pub fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }

            /// One sentence for a person.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// No backend of the pool is up.
    NoHealthyBackend: "no_healthy_backend", 503, Upstream, "no backend of this service is healthy";
    /// Every backend is at its `max_connections`, and the queue holds as many as it may.
    QueueFull: "queue_full", 503, Limit, "every backend of this service is at its limit";
    /// No backend came free while the request stood in the queue.
    QueueTimeout: "queue_timeout", 503, Limit, "no backend of this service came free in time";
    /// The breakers of the pool or of all its backends are open.
    BreakerOpen: "breaker_open", 503, Upstream, "this service fails too often and is left alone for a while";
    /// The pool's adaptive limit of concurrent exchanges is reached.
    Overloaded: "overloaded", 503, Limit, "this service has as much to do as it can";
    /// A rate limit is reached.
    RateLimited: "rate_limited", 429, Limit, "too many requests";
    /// A limit of concurrent requests is reached.
    ConcurrencyLimited: "concurrency_limited", 429, Limit, "too many requests at one time";
    /// Not allowed to this client.
    Denied: "denied", 403, Client, "access is denied";
    /// No credentials, or wrong ones.
    Unauthorized: "unauthorized", 401, Client, "credentials are missing or wrong";
    /// The service that decides on access did not.
    AuthUnavailable: "auth_unavailable", 503, Upstream, "access can't be decided at the moment";
    /// A fault injected on purpose.
    FaultInjected: "fault_injected", 503, Own, "a fault injected for a test";
    /// No backend took a connection.
    ConnectFailed: "connect_failed", 502, Upstream, "no backend took the connection";
    /// The backend closed or reset the connection.
    UpstreamReset: "upstream_reset", 502, Upstream, "the backend closed the connection before its answer";
    /// The backend's answer breaks the rules of HTTP.
    UpstreamMalformed: "upstream_malformed", 502, Upstream, "the backend's answer is not valid HTTP";
    /// No backend took a connection in time.
    ConnectTimeout: "connect_timeout", 504, Upstream, "no backend took the connection in time";
    /// The answer's head did not come in time.
    ResponseTimeout: "response_timeout", 504, Upstream, "the backend did not answer in time";
    /// The exchange took longer than it may in all.
    TotalTimeout: "total_timeout", 504, Upstream, "the exchange took longer than it may";
    /// The answer broke off.
    UpstreamTruncated: "upstream_truncated", 502, Upstream, "the backend broke off its answer";
    /// Nothing came for too long while an answer was under way.
    UpstreamIdle: "upstream_idle", 504, Upstream, "the backend stalled in its answer";
    /// No route takes the request.
    NoRoute: "no_route", 404, Client, "nothing is served here";
    /// The path is ambiguous or climbs out of its root.
    BadPath: "bad_path", 400, Client, "the path can be read in more than one way";
    /// The request breaks the rules of HTTP.
    Malformed: "malformed", 400, Client, "the request is not valid HTTP";
    /// The request can be read in more than one way.
    BadFraming: "bad_framing", 400, Client, "the length of the request is not clear";
    /// CONNECT or TRACE.
    MethodNotAllowed: "method_not_allowed", 405, Client, "this method is not served";
    /// The head did not come in time.
    HeaderTimeout: "header_timeout", 408, Client, "the request's head did not come in time";
    /// The body did not come in time.
    BodyTimeout: "body_timeout", 408, Client, "the request's body did not come in time";
    /// The body is larger than allowed.
    BodyTooLarge: "body_too_large", 413, Limit, "the request's body is too large";
    /// The target is longer than allowed.
    TargetTooLong: "target_too_long", 414, Limit, "the request's target is too long";
    /// `Expect` asks for something we don't know.
    ExpectationFailed: "expectation_failed", 417, Client, "only 100-continue can be expected";
    /// A WebSocket version we don't know.
    UpgradeRequired: "upgrade_required", 426, Client, "only version 13 of WebSocket is served";
    /// The head is larger than allowed.
    HeadTooLarge: "head_too_large", 431, Limit, "the request's head is too large";
    /// A transfer coding we don't know.
    NotImplemented: "not_implemented", 501, Client, "this transfer coding is not served";
    /// Not HTTP/1.0 or 1.1.
    VersionNotSupported: "version_not_supported", 505, Client, "this version of HTTP is not served";
    /// The client went away; 499 stands in the log only.
    ClientGone: "client_gone", 499, Client, "the client went away";
    /// A fault of ours.
    Internal: "internal", 500, Own, "an internal fault";
}

impl Reason {
    /// Seconds for `Retry-After`, where trying again helps.
    pub fn retry_after(self) -> Option<u32> {
        matches!(self.status(), 429 | 503).then_some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own_and_stands_at_its_index() {
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, i);
            assert!(Reason::ALL[..i].iter().all(|before| before.word() != reason.word()), "{}", reason.word());
        }
    }
}
