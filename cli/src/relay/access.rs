//! What the gate decides, as answers to requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use http::{Extensions, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::body::{Answer, empty, text};
use super::gate::{Asked, Gate, GateOptions, Pass, Refused};
use super::guests::Guest;
use super::options::RelayArgs;
use super::tokens::{Proof, Secret};
use super::{Relay, upgrade};

/// Largest form of a login, in bytes.
const FORM: usize = 4096;

/// How long that form may take.
const FORM_TIME: Duration = Duration::from_secs(10);

/// How often it is looked whether what let somebody in still holds.
const LOOK: Duration = Duration::from_secs(1);

/// Variable of the environment with a token for logging in.
const VARIABLE: &str = "TRUNKLINE_LOGIN_TOKEN";

impl Gate {
    /// As the command line and the environment have it. The error is one line for the user.
    pub(super) fn of(args: &RelayArgs) -> Result<Self, String> {
        let login = match std::env::var(VARIABLE) {
            Ok(_) if args.no_login => None,
            Ok(token) => {
                Some(Secret::checked(&token).map_err(|error| format!("{VARIABLE}: {error}"))?)
            }
            Err(std::env::VarError::NotPresent) => None,
            Err(error) => return Err(format!("{VARIABLE}: {error}")),
        };
        Self::new(GateOptions {
            agents: args.tokens.clone(),
            logins: args.login_token_file.clone(),
            login,
            peers: args.peer_token_file.clone(),
            is_public: args.no_login,
            domain: args.domain.clone(),
            trust_forwarded: args.trust_forwarded,
            tls: args.tls_cert.is_some(),
        })
    }
}

impl Relay {
    /// Lets a person's request in, to the relay's own addresses (`is_own`) or to an agent's local
    /// service, or says why not.
    pub(super) fn admit(
        &self,
        request: &Request<Incoming>,
        is_own: bool,
        peer: SocketAddr,
    ) -> Result<Pass, Answer> {
        let headers = request.headers();
        let is_websocket = upgrade::wanted(headers);
        let asked = Asked { method: request.method(), is_websocket, is_own };
        let admitted = self.gate.person(headers, asked, self.asker(headers, peer));
        admitted.map_err(|refused| self.refuse(refused)).inspect(|_| let_in(request.extensions()))
    }

    /// Lets in another relay of the same store, or a person, to open streams.
    pub(super) fn admit_opener(
        &self,
        request: &Request<Incoming>,
        is_relay: bool,
        peer: SocketAddr,
    ) -> Result<Pass, Answer> {
        let from = self.asker(request.headers(), peer);
        match is_relay.then(|| self.gate.peer(request.headers(), from)).flatten() {
            Some(Ok(pass)) => {
                let_in(request.extensions());
                Ok(pass)
            }
            Some(Err(refused)) => {
                tracing::warn!(%from, "a relay was refused: {refused}");
                Err(self.refuse(refused))
            }
            None => self.admit(request, true, peer),
        }
    }

    /// Ready when what let somebody in holds no more: its token is gone, its session is over. What
    /// it opened is then to end. Looks once a second; cancel safe.
    pub(super) async fn let_go_of(&self, pass: &Pass) {
        while self.gate.holds(pass) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes the relay's own secrets out of what an agent is shown.
    pub(super) fn hide(&self, headers: &mut HeaderMap) {
        self.gate.strip(headers);
    }

    /// `POST /-/login`.
    pub(super) async fn login(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let (parts, body) = request.into_parts();
        let form = tokio::time::timeout(FORM_TIME, Limited::new(body, FORM).collect());
        let form = match form.await {
            Ok(Ok(form)) => form,
            Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "a login is a form with a token"),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the login took too long"),
        };
        let from = self.asker(&parts.headers, peer);
        match self.gate.login(&parts.headers, &form.to_bytes(), from) {
            Ok(cookie) => {
                tracing::info!(%from, "a login");
                let_in(&parts.extensions);
                with_cookie(cookie)
            }
            Err(refused) => {
                tracing::warn!(%from, "a login was refused: {refused}");
                self.refuse(refused)
            }
        }
    }

    /// `POST /-/logout`.
    pub(super) fn logout(&self, request: &Request<Incoming>, _: SocketAddr) -> Answer {
        match self.gate.logout(request.headers()) {
            Ok(cookie) => with_cookie(cookie),
            Err(refused) => self.refuse(refused),
        }
    }

    /// Lets an agent join under this name, or says why not.
    pub(super) fn admit_agent(
        &self,
        id: &str,
        request: &Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Proof, Answer> {
        let headers = request.headers();
        let query = request.uri().query().unwrap_or_default();
        let from = self.asker(headers, peer);
        let admitted = self.gate.agent(id, headers, query, from).map_err(|refused| {
            tracing::warn!(agent = id, %from, "an agent was refused: {refused}");
            self.refuse(refused)
        });
        admitted.inspect(|_| let_in(request.extensions()))
    }

    /// Reads the tokens again, and ends the agents and sessions whose token is gone.
    pub(super) fn reload(&self) {
        if let Err(error) = self.gate.reload() {
            tracing::warn!("the tokens stay as they were: {error}");
            return;
        }
        tracing::info!("the tokens were read again");
        for agent in self.agents.list() {
            if !self.gate.stands(&agent.proof) {
                tracing::warn!(agent = agent.id, "the agent's token is gone, its tunnel is ended");
                agent.tunnel.abort();
            }
        }
    }

    /// The address of whoever asks; behind a trusted proxy that is the last one it names.
    pub(super) fn asker(&self, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
        let named = || {
            let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
            last.rsplit(',').next()?.trim().parse().ok()
        };
        let trusted = self.options.trust_forwarded.then(named).flatten();
        trusted.unwrap_or_else(|| peer.ip())
    }

    fn refuse(&self, refused: Refused) -> Answer {
        let mut answer = text(refused.status(), refused.to_string());
        let headers = answer.headers_mut();
        match refused {
            Refused::Unauthorised => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Refused::Wait(wait) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
            }
            Refused::Origin | Refused::Host => {}
        }
        answer
    }
}

/// Notes on a request's connection that somebody was let in.
fn let_in(extensions: &Extensions) {
    if let Some(guest) = extensions.get::<Arc<Guest>>() {
        guest.let_in();
    }
}

fn with_cookie(cookie: Option<HeaderValue>) -> Answer {
    let mut answer = empty(StatusCode::NO_CONTENT);
    if let Some(cookie) = cookie {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}
