//! Who may use a route by where they come from.

use std::net::IpAddr;

use config::model::Access;
use policy::Networks;

use super::{Ending, Step};
use crate::error::Reason;
use crate::message::Asked;

/// Lets in whom `allow` names and `deny` does not.
#[derive(Debug)]
pub(crate) struct Origin {
    allow: Option<Networks>,
    deny: Networks,
}

impl Origin {
    /// `None` where everyone may.
    pub(crate) fn compile(access: &Access) -> Option<Self> {
        let (allow, deny) = (access.allow.clone(), access.deny.clone());
        (allow.is_some() || !deny.is_empty()).then_some(Self { allow, deny })
    }

    pub(crate) fn request(&self, asked: &Asked<'_>) -> Step {
        match self.verdict(asked.client) {
            Ok(_) => Step::Next,
            Err(_) => Step::End(Ending::refuse(Reason::Denied)),
        }
    }

    pub(crate) fn describe(&self, asked: &Asked<'_>) -> String {
        let client = asked.client;
        match self.verdict(client) {
            Ok(why) => format!("allow/deny: {client} may, {why}"),
            Err(why) => format!("allow/deny: {client} gets 403 denied, {why}"),
        }
    }

    fn verdict(&self, client: IpAddr) -> Result<&'static str, &'static str> {
        match &self.allow {
            _ if self.deny.contains(client) => Err("as `deny` names it"),
            Some(allow) if allow.contains(client) => Ok("as `allow` names it"),
            Some(_) => Err("as `allow` does not name it"),
            None => Ok("as `deny` does not name it"),
        }
    }
}
