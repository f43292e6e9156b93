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
    /// Without it those for logging in are used.
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
}

#[derive(Debug, Default)]
struct Known {
    agents: Option<Tokens>,
    logins: Vec<Secret>,
    peers: Vec<Secret>,
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
            // A page anywhere could join from its reader's browser.
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

    /// Whether this is another relay of the same store.
    pub(super) fn is_peer(&self, headers: &HeaderMap) -> bool {
        let known = self.known();
        let given = login::bearer(headers);
        given.is_some_and(|given| first_equal(&known.peers, given).is_some())
    }

    /// What this relay shows to others of the same store.
    pub(super) fn peer_token(&self) -> Option<Secret> {
        let known = self.known();
        known.peers.first().or(known.logins.first()).cloned()
    }

    /// Whether somebody may look, call and open streams: by `Authorization: Bearer`, as command
    /// lines have it, or by the cookie of a session.
    ///
    /// What a cookie opens, a page of another site could ask for in its name: so a WebSocket must
    /// come from a page of this relay, and nothing but a look may come from a foreign one.
    pub(super) fn person(
        &self,
        headers: &HeaderMap,
        method: &Method,
        is_websocket: bool,
        from: IpAddr,
    ) -> Result<(), Refused> {
        let known = self.known();
        let harmless = method.is_safe() && !is_websocket;
        let page = login::origin(headers, self.options.trust_forwarded);
        if known.logins.is_empty() {
            // A name that others have pointed here makes a foreign page look like our own.
            let ours = login::is_own_host(headers, self.options.domain.as_deref());
            return match page {
                _ if self.options.is_public => Ok(()),
                _ if !ours => Err(Refused::Host),
                Origin::Foreign if !harmless => Err(Refused::Origin),
                _ => Ok(()),
            };
        }
        // The session first: `Authorization` beside it is the local service's own.
        let session = self.sessions.opened_by(headers, Instant::now());
        if session.and_then(|token| first_equal(&known.logins, token.bytes()).cloned()).is_none() {
            let given = login::bearer(headers).ok_or(Refused::Unauthorised)?;
            let known = || first_equal(&known.logins, given);
            return guess(&self.wrong_logins, from, "", known).map(|_| ());
        }
        match page {
            Origin::Own => Ok(()),
            Origin::Unknown if !is_websocket => Ok(()),
            Origin::Foreign if harmless => Ok(()),
            _ => Err(Refused::Origin),
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
    fn is_secure(&self, headers: &HeaderMap) -> bool {
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
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    /// A relay's gate with one file of agents and one of users.
    struct Scene {
        gate: Gate,
        dir: PathBuf,
    }

    impl Scene {
        fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("trunkline-gate-{}-{name}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            let agents = write(&dir, "agents", "box1 agent-token-1 alice\nbox2 agent-token-2\n");
            let logins = write(&dir, "logins", "user-token-1\nuser-token-2\n");
            let options = GateOptions {
                agents: Some(agents),
                logins: Some(logins),
                login: Secret::checked("from-environment").ok(),
                ..GateOptions::default()
            };
            Self { gate: Gate::new(options).unwrap(), dir }
        }

        /// A cookie of a login with that token.
        fn cookie(&self, token: &str) -> String {
            let form = format!("token={token}");
            let header = self.gate.login(&host(&[]), form.as_bytes(), FROM).unwrap().unwrap();
            header.to_str().unwrap().split(';').next().unwrap().to_owned()
        }

        fn get(&self, pairs: &[(&'static str, &str)]) -> Result<(), Refused> {
            self.ask(Method::GET, false, pairs)
        }

        fn ask(
            &self,
            method: Method,
            is_websocket: bool,
            pairs: &[(&'static str, &str)],
        ) -> Result<(), Refused> {
            self.gate.person(&host(pairs), &method, is_websocket, FROM)
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }

    fn write(dir: &std::path::Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn host(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("relay.example"));
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn an_agent_joins_under_its_own_name_only() {
        let scene = Scene::new("agents");
        let join = |id, bearer: &str, query| {
            let headers = match bearer {
                "" => host(&[]),
                bearer => host(&[("authorization", bearer)]),
            };
            scene.gate.agent(id, &headers, query, FROM).map(|proof| proof.name)
        };
        assert_eq!(join("box1", "Bearer agent-token-1", ""), Ok("box1".to_owned()));
        assert_eq!(join("box2", "", "x=1&token=agent%2dtoken-2"), Ok("box2".to_owned()));
        for (id, bearer, query) in [
            ("box2", "Bearer agent-token-1", ""),
            ("box1", "Bearer user-token-1", ""),
            ("box3", "Bearer agent-token-1", ""),
            ("box1", "", ""),
            ("box1", "", "token="),
            // The header counts, when there is one.
            ("box1", "Bearer wrong", "token=agent-token-1"),
        ] {
            assert_eq!(join(id, bearer, query), Err(Refused::Unauthorised), "{id} {bearer}");
        }
    }

    #[test]
    fn guessing_is_slowed_down() {
        let scene = Scene::new("guessing");
        let mut right = host(&[("authorization", "Bearer user-token-1")]);
        let ask = |headers: &HeaderMap, from| scene.gate.person(headers, &Method::GET, false, from);
        let cookie = scene.cookie("user-token-2");
        for _ in 0..10 {
            let wrong = scene.gate.login(&host(&[]), b"token=wrong", FROM);
            assert_eq!(wrong, Err(Refused::Unauthorised));
        }
        let refused = ask(&right, FROM).unwrap_err();
        assert!(matches!(refused, Refused::Wait(_)), "{refused:?}");
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(ask(&right, IpAddr::from([192, 0, 2, 8])).is_ok());
        // Who is in stays in.
        right.insert("cookie", HeaderValue::from_str(&cookie).unwrap());
        assert_eq!(ask(&right, FROM), Ok(()));
    }

    #[test]
    fn a_token_or_a_session_lets_in() {
        let scene = Scene::new("login");
        assert_eq!(scene.get(&[]), Err(Refused::Unauthorised));
        for (value, lets_in) in [
            ("Bearer user-token-1", true),
            ("Bearer user-token-2", true),
            ("Bearer from-environment", true),
            ("Bearer agent-token-1", false),
            ("Bearer ", false),
            ("Basic user-token-1", false),
        ] {
            assert_eq!(scene.get(&[("authorization", value)]).is_ok(), lets_in, "{value}");
        }
        let cookie = scene.cookie("user-token-2");
        assert_eq!(scene.get(&[("cookie", &cookie)]), Ok(()));
        let gone = scene.gate.logout(&host(&[("cookie", &cookie)])).unwrap().unwrap();
        assert!(gone.to_str().unwrap().contains("Max-Age=0"));
        assert_eq!(scene.get(&[("cookie", &cookie)]), Err(Refused::Unauthorised));
    }

    #[test]
    fn relays_of_one_store_know_each_other_by_a_token_of_their_own() {
        let scene = Scene::new("peers");
        let peer = |token: &str| {
            let value = format!("Bearer {token}");
            scene.gate.is_peer(&host(&[("authorization", &value)]))
        };
        // Without one it is that of a login, which lets in, but is no relay's.
        assert!(scene.gate.peer_token().unwrap().is(b"user-token-1"));
        assert!(!peer("user-token-1"));
        let peers = write(&scene.dir, "peers", "peer-token-1");
        let options = GateOptions { peers: Some(peers), ..GateOptions::default() };
        let gate = Gate::new(options).unwrap();
        assert!(gate.peer_token().unwrap().is(b"peer-token-1"));
        assert!(gate.is_peer(&host(&[("authorization", "Bearer peer-token-1")])));
        assert!(!gate.is_peer(&host(&[("authorization", "Bearer ")])));
        assert!(!gate.is_peer(&host(&[])));
    }

    #[test]
    fn pages_of_other_sites_use_no_login_of_this_one() {
        let scene = Scene::new("origin");
        let cookie = scene.cookie("user-token-1");
        let with = |origin: Option<&str>, method: Method, is_websocket| {
            let mut pairs = vec![("cookie", cookie.as_str())];
            pairs.extend(origin.map(|origin| ("origin", origin)));
            scene.ask(method, is_websocket, &pairs)
        };
        let (own, foreign) = (Some("https://relay.example"), Some("https://evil.example"));
        assert_eq!(with(own, Method::GET, true), Ok(()));
        assert_eq!(with(own, Method::POST, false), Ok(()));
        assert_eq!(with(None, Method::POST, false), Ok(()));
        // A link from elsewhere; the browser does not send the cookie, but if it did: a look.
        assert_eq!(with(foreign, Method::GET, false), Ok(()));
        assert_eq!(with(foreign, Method::GET, true), Err(Refused::Origin));
        assert_eq!(with(None, Method::GET, true), Err(Refused::Origin));
        assert_eq!(with(foreign, Method::POST, false), Err(Refused::Origin));
        // A command line's token is no cookie.
        let bearer = [("authorization", "Bearer user-token-1")];
        assert!(scene.ask(Method::GET, true, &bearer).is_ok());
        let evil = host(&[("origin", "https://evil.example")]);
        assert_eq!(scene.gate.login(&evil, b"token=user-token-1", FROM), Err(Refused::Origin));
    }

    #[test]
    fn without_tokens_only_this_machine_is_served() {
        let gate = Gate::new(GateOptions::default()).unwrap();
        let ask = |host: &str, origin: Option<&str>, is_websocket| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_str(host).unwrap());
            if let Some(origin) = origin {
                headers.insert("origin", HeaderValue::from_str(origin).unwrap());
            }
            let joined = gate.agent("box1", &headers, "", FROM).map(|_| ());
            (gate.person(&headers, &Method::GET, is_websocket, FROM), joined)
        };
        assert_eq!(ask("127.0.0.1:1", None, true), (Ok(()), Ok(())));
        assert_eq!(ask("localhost:1", Some("http://localhost:1"), true), (Ok(()), Ok(())));
        let evil = Some("http://evil.example");
        let (refused, not) = (Err(Refused::Origin), Err(Refused::Origin));
        assert_eq!(ask("localhost:1", evil, true), (refused, not));
        // A name of theirs that leads here.
        assert_eq!(ask("evil.example", evil, false).0, Err(Refused::Host));
        for (at, fine) in [("127.0.0.1", true), ("::1", true), ("0.0.0.0", false), ("::", false)] {
            assert_eq!(gate.may_listen(at.parse().unwrap()).is_ok(), fine, "{at}");
        }
        let scene = Scene::new("listen");
        assert_eq!(scene.gate.may_listen("0.0.0.0".parse().unwrap()), Ok(()));
        assert_eq!(gate.login(&HeaderMap::new(), b"token=x", FROM), Ok(None));
    }

    #[test]
    fn tokens_that_are_gone_end_what_they_opened() {
        let scene = Scene::new("reload");
        let cookie = scene.cookie("user-token-1");
        let headers = host(&[("authorization", "Bearer agent-token-1")]);
        let proof = scene.gate.agent("box1", &headers, "", FROM).unwrap();
        assert!(scene.gate.stands(&proof));
        write(&scene.dir, "logins", "short");
        let error = scene.gate.reload().unwrap_err();
        assert!(error.ends_with("a token has 8 to 1024 visible characters"), "{error}");
        assert!(scene.get(&[("cookie", &cookie)]).is_ok());
        write(&scene.dir, "logins", "user-token-9");
        write(&scene.dir, "agents", "box1 agent-token-9 alice");
        scene.gate.reload().unwrap();
        assert_eq!(scene.get(&[("cookie", &cookie)]), Err(Refused::Unauthorised));
        assert!(!scene.gate.stands(&proof));
    }

    #[test]
    fn the_cookie_is_secure_where_the_browser_speaks_tls() {
        let is_secure = |trust_forwarded, proto| {
            let login = Secret::checked("from-environment").ok();
            let options = GateOptions { login, trust_forwarded, ..GateOptions::default() };
            let headers = host(&[("x-forwarded-proto", proto)]);
            let form = b"token=from-environment";
            let cookie = Gate::new(options).unwrap().login(&headers, form, FROM).unwrap().unwrap();
            cookie.to_str().unwrap().ends_with("; Secure")
        };
        assert!(is_secure(true, "https"));
        assert!(!is_secure(true, "http"));
        assert!(!is_secure(false, "https"), "anybody can send it");
    }

    #[test]
    fn agents_get_no_secret_of_the_relay() {
        let scene = Scene::new("strip");
        let strip = |authorization: &str| {
            let mut headers = host(&[("authorization", authorization), ("cookie", "a=b")]);
            scene.gate.strip(&mut headers);
            assert!(headers.contains_key("cookie"));
            headers.contains_key("authorization")
        };
        assert!(!strip("Bearer user-token-1"));
        assert!(strip("Bearer of-the-local-service"));
        assert!(strip("Basic dTpw"));
    }
}
