//! Who may do what.

use std::net::SocketAddr;

use http::Request;
use http::StatusCode;
use hyper::body::Incoming;

use super::Relay;
use super::body::{Answer, empty};

impl Relay {
    /// Lets a person's request in, or says why not.
    pub(super) fn admit(&self, _: &Request<Incoming>, _: SocketAddr) -> Result<(), Answer> {
        Ok(())
    }

    /// Takes the relay's own secrets out of what an agent is shown.
    pub(super) fn hide(&self, _: &mut http::HeaderMap) {}

    /// `POST /-/login`.
    pub(super) async fn login(&self, _: Request<Incoming>, _: SocketAddr) -> Answer {
        empty(StatusCode::NO_CONTENT)
    }

    /// `POST /-/logout`.
    pub(super) fn logout(&self, _: &Request<Incoming>, _: SocketAddr) -> Answer {
        empty(StatusCode::NO_CONTENT)
    }

    /// Lets an agent join under this name, or says why not.
    pub(super) fn admit_agent(
        &self,
        _: &str,
        _: &Request<Incoming>,
        _: SocketAddr,
    ) -> Result<(), Answer> {
        Ok(())
    }
}
