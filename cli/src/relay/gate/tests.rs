//! Who is let in by what, and who is not.

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
        let asked = Asked { method: &method, is_websocket, is_own: true };
        self.gate.person(&host(pairs), asked, FROM).map(|_| ())
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
    let asked = Asked { method: &Method::GET, is_websocket: false, is_own: true };
    let ask = |headers: &HeaderMap, from| scene.gate.person(headers, asked, from).map(|_| ());
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
    // Without one they are people, and show nobody a person's token.
    assert!(scene.gate.peer(&host(&[]), FROM).is_none());
    assert!(scene.gate.peer_token().is_none());
    let peers = write(&scene.dir, "peers", "peer-token-1");
    let options = GateOptions { peers: Some(peers), ..GateOptions::default() };
    let gate = Gate::new(options).unwrap();
    assert!(gate.peer_token().unwrap().is(b"peer-token-1"));
    let peer = |pairs: &[(&'static str, &str)]| {
        gate.peer(&host(pairs), FROM).unwrap().map(|pass| gate.holds(&pass))
    };
    assert_eq!(peer(&[("authorization", "Bearer peer-token-1")]), Ok(true));
    assert_eq!(peer(&[]), Err(Refused::Unauthorised));
    for _ in 0..10 {
        let wrong = peer(&[("authorization", "Bearer peer-token-2")]);
        assert_eq!(wrong, Err(Refused::Unauthorised));
    }
    let guessed = peer(&[("authorization", "Bearer peer-token-1")]);
    assert!(matches!(guessed, Err(Refused::Wait(_))), "{guessed:?}");
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
        let asked = Asked { method: &Method::GET, is_websocket, is_own: true };
        (gate.person(&headers, asked, FROM).map(|_| ()), joined)
    };
    assert_eq!(ask("127.0.0.1:1", None, true), (Ok(()), Ok(())));
    assert_eq!(ask("localhost:1", Some("http://localhost:1"), true), (Ok(()), Ok(())));
    let evil = Some("http://evil.example");
    let (refused, not) = (Err(Refused::Origin), Err(Refused::Origin));
    assert_eq!(ask("localhost:1", evil, true), (refused, not));
    // A name of theirs that leads here.
    let elsewhere = (Err(Refused::Host), Err(Refused::Host));
    assert_eq!(ask("evil.example", evil, false), elsewhere);
    assert_eq!(ask("evil.example", None, true), elsewhere);
    for (at, fine) in [("127.0.0.1", true), ("::1", true), ("0.0.0.0", false), ("::", false)] {
        assert_eq!(gate.may_listen(at.parse().unwrap()).is_ok(), fine, "{at}");
    }
    let scene = Scene::new("listen");
    assert_eq!(scene.gate.may_listen("0.0.0.0".parse().unwrap()), Ok(()));
    assert_eq!(gate.login(&HeaderMap::new(), b"token=x", FROM), Ok(None));
}

#[test]
fn a_relay_for_all_the_world_is_no_tool_of_foreign_pages() {
    let options = GateOptions { is_public: true, ..GateOptions::default() };
    let gate = Gate::new(options).unwrap();
    let ask = |origin: &str, method: &Method, is_websocket, is_own| {
        let asked = Asked { method, is_websocket, is_own };
        gate.person(&host(&[("origin", origin)]), asked, FROM).map(|_| ())
    };
    let (own, evil) = ("https://relay.example", "https://evil.example");
    assert_eq!(ask(own, &Method::GET, true, true), Ok(()));
    assert_eq!(ask(evil, &Method::GET, false, true), Ok(()));
    assert_eq!(ask(evil, &Method::GET, true, true), Err(Refused::Origin));
    assert_eq!(ask(evil, &Method::POST, false, true), Err(Refused::Origin));
    // An agent's local service has rules of its own.
    assert_eq!(ask(evil, &Method::POST, false, false), Ok(()));
    assert_eq!(ask(evil, &Method::GET, true, false), Ok(()));
}

#[test]
fn tokens_that_are_gone_end_what_they_opened() {
    let scene = Scene::new("reload");
    let cookie = scene.cookie("user-token-1");
    let asked = Asked { method: &Method::GET, is_websocket: false, is_own: true };
    let passes = [
        scene.gate.person(&host(&[("cookie", &cookie)]), asked, FROM).unwrap(),
        scene.gate.person(&host(&[("authorization", "Bearer user-token-2")]), asked, FROM).unwrap(),
    ];
    assert!(passes.iter().all(|pass| scene.gate.holds(pass)));
    let other = scene.cookie("user-token-1");
    let ended = scene.gate.person(&host(&[("cookie", &other)]), asked, FROM).unwrap();
    scene.gate.logout(&host(&[("cookie", &other)])).unwrap();
    assert!(!scene.gate.holds(&ended), "a logout ends it");
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
    assert!(!passes.iter().any(|pass| scene.gate.holds(pass)));
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

#[test]
fn no_two_agents_have_one_host_name() {
    let scene = Scene::new("hosts");
    let agents = Some(write(&scene.dir, "agents", "Box1 agent-token-1\nbox1 agent-token-2"));
    let options = |domain| GateOptions { agents: agents.clone(), domain, ..GateOptions::default() };
    assert!(Gate::new(options(None)).is_ok());
    let error = Gate::new(options(Some("relay.example".to_owned()))).unwrap_err();
    assert_eq!(error, "two agents would be box1.relay.example");
}
