//! Who may join, who may look, and who may open streams: decided by headers alone.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::limit::Limit;
use super::login::{self, Origin, Sessions};
use super::tokens::{Proof, Secret, Tokens, first_equal, read_secrets};

/// Where tokens come from, and what else decides.
#[derive(Debug, Default)]
pub(super) struct GateOptions {
    /// File of agents: `name token [owner]` on each line. Without it any agent may join.
    pub(super) agents: Option<PathBuf>,
    /// File of tokens for logging in, one on each line.
    pub(super) logins: Option<PathBuf>,
    /// One more of them, from the environment. Without both nobody has to log in.
    pub(super) login: Option<Secret>,
    /// File of the tokens by which relays of one store know each other; the first is the own one.
    pub(super) peers: Option<PathBuf>,
    /// That nobody has to log in is meant for all the world, and not for this machine only.
    pub(super) is_public: bool,
    /// The name below which agents have host names.
    pub(super) domain: Option<String>,
    /// Whether a reverse proxy in front is believed.
    pub(super) trust_forwarded: bool,
    /// Whether browsers reach the relay by TLS.
    pub(super) tls: bool,
}

/// Lets in, or says why not.
#[derive(Debug)]
pub(super) struct Gate {
    options: GateOptions,
    known: RwLock<Arc<Known>>,
    sessions: Sessions,
    wrong_agents: Limit,
    wrong_logins: Limit,
    wrong_peers: Limit,
}

#[derive(Debug, Default)]
struct Known {
    agents: Option<Tokens>,
    logins: Vec<Secret>,
    peers: Vec<Secret>,
}

/// What a person asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) is_websocket: bool,
    /// One of the relay's own addresses, and not an agent's local service.
    pub(super) is_own: bool,
}

/// What let somebody in.
#[derive(Clone, Debug)]
pub(super) enum Pass {
    /// Nobody has to log in.
    Anyone,
    /// A token, sent with the request.
    Token(Secret),
    /// A session, by the value of its cookie.
    Session(Secret),
    /// A token of the relays of one store.
    Peer(Secret),
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No token, or a wrong one.
    Unauthorised,
    /// Too many wrong ones: to wait so long.
    Wait(Duration),
    /// A page of somebody else.
    Origin,
    /// A host name that is not the relay's.
    Host,
}

impl Refused {
    /// What to answer with (`docs/protocols/agent-tunnel.md` section 1 for the first).
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::Wait(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthorised => "unauthorized",
            Self::Wait(_) => "too many wrong tokens, come back later",
            Self::Origin => "this comes from a page of another site",
            Self::Host => "the relay has no such host name",
        })
    }
}

impl Gate {
    /// Reads the tokens. The error is one line for the user.
    pub(super) fn new(options: GateOptions) -> Result<Self, String> {
        let known = Known::read(&options)?;
        Ok(Self {
            options,
            known: RwLock::new(Arc::new(known)),
            sessions: Sessions::default(),
            wrong_agents: Limit::default(),
            wrong_logins: Limit::default(),
            wrong_peers: Limit::default(),
        })
    }

    /// Reads the files again, as SIGHUP asks for. On an error, one line for the log, all stays as it
    /// was. Sessions whose token is gone are over; for agents see [`stands`](Self::stands).
    pub(super) fn reload(&self) -> Result<(), String> {
        let known = Known::read(&self.options)?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(())
    }

    /// Whether an agent may join under this name: by `Authorization: Bearer`, or by `token` in the
    /// query, as the originals have it.
    pub(super) fn agent(
        &self,
        id: &str,
        headers: &HeaderMap,
        query: &str,
        from: IpAddr,
    ) -> Result<Proof, Refused> {
        let known = self.known();
        let Some(agents) = &known.agents else {
            // A page anywhere could join from its reader's browser; under a name that leads here it
            // would look like our own.
            if !login::is_own_host(headers, self.options.domain.as_deref()) {
                return Err(Refused::Host);
            }
            self.check_page(headers)?;
            return Ok(Proof::unasked(id));
        };
        let in_query = || login::token_field(query.as_bytes());
        let given = login::bearer(headers).map(<[u8]>::to_vec).or_else(in_query);
        let given = given.ok_or(Refused::Unauthorised)?;
        guess(&self.wrong_agents, from, id, || agents.prove(id, &given))
    }

    /// Whether what an agent was let in by still holds: asked of joined agents after a reload.
    pub(super) fn stands(&self, proof: &Proof) -> bool {
        self.known().agents.as_ref().is_none_or(|agents| agents.still(proof))
    }

    /// Lets in another relay of the same store; `None` where those have no tokens, and are let in as
    /// people are.
    pub(super) fn peer(&self, headers: &HeaderMap, from: IpAddr) -> Option<Result<Pass, Refused>> {
        let known = self.known();
        if known.peers.is_empty() {
            return None;
        }
        let Some(given) = login::bearer(headers) else { return Some(Err(Refused::Unauthorised)) };
        let token = guess(&self.wrong_peers, from, "", || first_equal(&known.peers, given));
        Some(token.map(|token| Pass::Peer(token.clone())))
    }

    /// What this relay shows to others of the same store. Never a login token: the store says where
    /// it is sent.
    pub(super) fn peer_token(&self) -> Option<Secret> {
        self.known().peers.first().cloned()
    }

    /// Whether people have to log in.
    pub(super) fn asks(&self) -> bool {
        !self.known().logins.is_empty()
    }

    /// Whether somebody may look, call and open streams: by `Authorization: Bearer`, as command
    /// lines have it, or by the cookie of a session.
    ///
    /// What a cookie opens, a page of another site could ask for in its name: so a WebSocket must
    /// come from a page of this relay, and nothing but a look may come from a foreign one. Where the
    /// world needs no login that holds for the relay's own addresses (`is_own`) alone: which pages
    /// may call an agent's local service is then the service's own business.
    ///
    /// What opened is returned, for connections that last: see [`holds`](Self::holds).
    pub(super) fn person(
        &self,
        headers: &HeaderMap,
        asked: Asked<'_>,
        from: IpAddr,
    ) -> Result<Pass, Refused> {
        let known = self.known();
        let is_websocket = asked.is_websocket;
        let harmless = asked.method.is_safe() && !is_websocket;
        let page = login::origin(headers, self.options.trust_forwarded);
        if known.logins.is_empty() {
            // A name that others have pointed here makes a foreign page look like our own.
            let ours = login::is_own_host(headers, self.options.domain.as_deref());
            return match page {
                _ if self.options.is_public && !asked.is_own => Ok(Pass::Anyone),
                _ if !ours && !self.options.is_public => Err(Refused::Host),
                Origin::Foreign if !harmless => Err(Refused::Origin),
                _ => Ok(Pass::Anyone),
            };
        }
        // The session first: `Authorization` beside it is the local service's own.
        let session = self.sessions.opened_by(headers, Instant::now());
        let session =
            session.filter(|(_, token)| first_equal(&known.logins, token.bytes()).is_some());
        let Some((session, _)) = session else {
            let given = login::bearer(headers).ok_or(Refused::Unauthorised)?;
            let known = || first_equal(&known.logins, given);
            let token = guess(&self.wrong_logins, from, "", known)?;
            return Ok(Pass::Token(token.clone()));
        };
        match page {
            Origin::Own => Ok(Pass::Session(session)),
            Origin::Unknown if !is_websocket => Ok(Pass::Session(session)),
            Origin::Foreign if harmless => Ok(Pass::Session(session)),
            _ => Err(Refused::Origin),
        }
    }

    /// Whether what let somebody in still does: its token is still there, its session neither ended
    /// nor too old.
    pub(super) fn holds(&self, pass: &Pass) -> bool {
        let known = self.known();
        match pass {
            Pass::Anyone => known.logins.is_empty(),
            Pass::Token(token) => first_equal(&known.logins, token.bytes()).is_some(),
            Pass::Session(session) => {
                let token = self.sessions.token(session, Instant::now());
                token.is_some_and(|token| first_equal(&known.logins, token.bytes()).is_some())
            }
            Pass::Peer(token) => first_equal(&known.peers, token.bytes()).is_some(),
        }
    }

    /// Logs in by the form of the page: the header that sets the cookie. When no login is asked for
    /// there is none.
    pub(super) fn login(
        &self,
        headers: &HeaderMap,
        form: &[u8],
        from: IpAddr,
    ) -> Result<Option<HeaderValue>, Refused> {
        self.check_page(headers)?;
        let known = self.known();
        if known.logins.is_empty() {
            return Ok(None);
        }
        let given = login::token_field(form).ok_or(Refused::Unauthorised)?;
        let check = || first_equal(&known.logins, given.trim_ascii());
        let token = guess(&self.wrong_logins, from, "", check)?;
        let session = self.sessions.start(token.clone(), Instant::now());
        let value = session.ok_or(Refused::Unauthorised)?;
        Ok(login::set_cookie(&value, self.is_secure(headers), self.options.domain.as_deref()))
    }

    /// Logs out: the header that takes the cookie away.
    pub(super) fn logout(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refused> {
        self.check_page(headers)?;
        self.sessions.end(headers);
        Ok(login::set_cookie("", self.is_secure(headers), self.options.domain.as_deref()))
    }

    /// Takes out of a request what is meant for the relay and not for an agent: the session's
    /// cookie, and a token of a login. `Authorization` of any other kind is left.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        login::strip(headers);
        let known = self.known();
        let given = login::bearer(headers);
        if given.is_some_and(|given| first_equal(&known.logins, given).is_some()) {
            headers.remove(AUTHORIZATION);
        }
    }

    /// Whether the relay may listen there. The error is one line for the user.
    pub(super) fn may_listen(&self, at: IpAddr) -> Result<(), String> {
        let known = self.known();
        let login = !known.logins.is_empty() || self.options.is_public;
        let missing = match (&known.agents, login) {
            _ if at.to_canonical().is_loopback() => return Ok(()),
            (Some(_), true) => return Ok(()),
            (None, true) => "tokens of agents (--tokens)",
            (Some(_), false) => "a login token (--login-token-file)",
            (None, false) => "tokens of agents and a login token (--tokens, --login-token-file)",
        };
        Err(format!("will not listen on {at} without {missing}: use a loopback address instead"))
    }

    /// Whether the browser speaks TLS, to this relay or to a trusted proxy in front of it.
    pub(super) fn is_secure(&self, headers: &HeaderMap) -> bool {
        let proxied = || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        self.options.tls || (self.options.trust_forwarded && proxied())
    }

    fn check_page(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match login::origin(headers, self.options.trust_forwarded) {
            Origin::Foreign => Err(Refused::Origin),
            Origin::Own | Origin::Unknown => Ok(()),
        }
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn read(options: &GateOptions) -> Result<Self, String> {
        let secrets = |path: &Option<PathBuf>| match path {
            Some(path) => read_secrets(path),
            None => Ok(Vec::new()),
        };
        let mut logins = secrets(&options.logins)?;
        logins.extend(options.login.clone());
        let agents = options.agents.as_deref().map(Tokens::read).transpose()?;
        if let (Some(domain), Some(name)) =
            (&options.domain, agents.as_ref().and_then(Tokens::alike))
        {
            // Hosts have no case: while the one is away the other would have its pages.
            return Err(format!("two agents would be {}.{domain}", name.to_ascii_lowercase()));
        }
        Ok(Self { agents, logins, peers: secrets(&options.peers)? })
    }
}

/// Tries a token, unless too many were wrong; a wrong one counts.
fn guess<T>(
    limit: &Limit,
    from: IpAddr,
    at: &str,
    check: impl FnOnce() -> Option<T>,
) -> Result<T, Refused> {
    let now = Instant::now();
    if let Some(wait) = limit.wait(from, at, now) {
        return Err(Refused::Wait(wait));
    }
    check().ok_or_else(|| {
        limit.wrong(from, at, now);
        Refused::Unauthorised
    })
}

#[cfg(test)]
mod tests;
