//! Logins of browsers: a session by a random cookie, and the headers that tell who asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN};

use super::tokens::Secret;

/// Name of the cookie.
pub(super) const COOKIE_NAME: &str = "trunkline_session";

/// How long a login lasts.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// Most sessions at once; the oldest ends when there are more.
const MOST: usize = 10_000;

/// Who has logged in, by the value of their cookie.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<String, Session>>);

struct Session {
    /// What opened it.
    token: Secret,
    since: Instant,
}

impl Sessions {
    /// Starts one, and gives the value of its cookie; `None` when the system has no randomness.
    pub(super) fn start(&self, token: Secret, now: Instant) -> Option<String> {
        let value = random_value()?;
        let mut sessions = self.lock();
        if sessions.len() >= MOST {
            sessions.retain(|_, session| now.duration_since(session.since) < LASTS);
        }
        if sessions.len() >= MOST
            && let Some(oldest) = sessions
                .iter()
                .min_by_key(|(_, session)| session.since)
                .map(|(value, _)| value.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(value.clone(), Session { token, since: now });
        Some(value)
    }

    /// The session of the headers' cookie: its value, and the token that opened it.
    pub(super) fn opened_by(&self, headers: &HeaderMap, now: Instant) -> Option<(Secret, Secret)> {
        // An evil sibling domain can set a cookie of the same name beside the true one.
        cookies(headers).find_map(|value| {
            let value = Secret::checked(std::str::from_utf8(value).ok()?).ok()?;
            let token = self.token(&value, now)?;
            Some((value, token))
        })
    }

    /// The token that opened the session of this value, while it lasts.
    pub(super) fn token(&self, value: &Secret, now: Instant) -> Option<Secret> {
        let sessions = self.lock();
        let session = sessions.get(value.expose())?;
        (now.duration_since(session.since) < LASTS).then(|| session.token.clone())
    }

    /// Ends the session of the headers' cookie.
    pub(super) fn end(&self, headers: &HeaderMap) {
        let mut sessions = self.lock();
        for value in cookies(headers).filter_map(|value| std::str::from_utf8(value).ok()) {
            sessions.remove(value);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("count", &self.lock().len()).finish()
    }
}

/// The header that sets the cookie; an empty value takes it away.
///
/// With a domain it is also sent to the host names of the agents below it, which else would ask for
/// a login each.
pub(super) fn set_cookie(value: &str, tls: bool, domain: Option<&str>) -> Option<HeaderValue> {
    let mut header = format!("{COOKIE_NAME}={value}; HttpOnly; SameSite=Strict; Path=/");
    let seconds = if value.is_empty() { 0 } else { LASTS.as_secs() };
    let _ = write!(header, "; Max-Age={seconds}");
    if let Some(domain) = domain {
        let _ = write!(header, "; Domain={domain}");
    }
    if tls {
        header.push_str("; Secure");
    }
    let mut header = HeaderValue::from_str(&header).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Takes the relay's cookie out of a request that goes on to an agent, and leaves all others.
///
/// As bytes: a cookie of somebody else may be of any.
pub(super) fn strip(headers: &mut HeaderMap) {
    if cookies(headers).next().is_none() {
        return;
    }
    let ours = |pair: &&[u8]| name_and_value(pair).0 == COOKIE_NAME.as_bytes();
    let kept: Vec<HeaderValue> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| {
            let pairs = value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let kept: Vec<_> = pairs.filter(|pair| !ours(pair)).collect();
            HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok()
        })
        .filter(|value| !value.is_empty())
        .collect();
    headers.remove(COOKIE);
    for value in kept {
        headers.append(COOKIE, value);
    }
}

/// The token that a command line sends.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// The field `token` of a query or of a form.
pub(super) fn token_field(form: &[u8]) -> Option<Vec<u8>> {
    let fields = form.split(|byte| *byte == b'&');
    fields.filter_map(|field| field.strip_prefix(b"token=")).map(unescaped).next()
}

/// Where a request comes from, by what its browser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// No page of a browser; or an old one.
    Unknown,
    /// A page of the same host, or one that is allowed.
    Own,
    /// A page of somebody else.
    Foreign,
}

/// Looks at `Origin`: its host and port are to be those that the request itself is for.
///
/// Not the scheme, since TLS may end at a reverse proxy in front. Of one that is trusted
/// `X-Forwarded-Host` counts before `Host`.
pub(super) fn origin(headers: &HeaderMap, trust_forwarded: bool) -> Origin {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Origin::Unknown };
    if origins.next().is_some() {
        return Origin::Foreign;
    }
    let Ok(origin) = origin.to_str() else { return Origin::Foreign };
    let (plain, secure) = (origin.strip_prefix("http://"), origin.strip_prefix("https://"));
    let Some(authority) = plain.or(secure) else { return Origin::Foreign };
    let port = if secure.is_some() { ":443" } else { ":80" };
    let forwarded = headers.get("x-forwarded-host").filter(|_| trust_forwarded);
    let host = forwarded.or_else(|| headers.get(HOST)).and_then(|host| host.to_str().ok());
    let without_port = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    match host {
        Some(host) if without_port(host) == without_port(authority) => Origin::Own,
        _ => Origin::Foreign,
    }
}

/// Whether the request's host cannot be a name that somebody else has pointed to this machine:
/// an address, `localhost`, or `domain` and what is below it.
pub(super) fn is_own_host(headers: &HeaderMap, domain: Option<&str>) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        // No browser leaves it out.
        return true;
    };
    let host = match host.strip_prefix('[') {
        Some(rest) => return rest.split(']').next().is_some_and(is_address),
        None => host.split(':').next().unwrap_or_default().to_ascii_lowercase(),
    };
    let below = |name: &str| {
        host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    is_address(&host)
        || below("localhost")
        || domain.is_some_and(|domain| below(&domain.to_ascii_lowercase()))
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs = values.flat_map(|value| value.split(|byte| *byte == b';')).map(name_and_value);
    pairs.filter(|(name, _)| *name == COOKIE_NAME.as_bytes()).map(|(_, value)| value)
}

/// The two sides of a cookie; what has no `=` is a name alone.
fn name_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let mut sides = pair.splitn(2, |byte| *byte == b'=');
    let mut side = || sides.next().unwrap_or_default().trim_ascii();
    (side(), side())
}

/// 256 bits that nobody can foresee, as text.
fn random_value() -> Option<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).ok()?;
    let mut text = String::with_capacity(64);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

/// `+` and `%xx` of a form's field; what is no escape stays as it is.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', ..) => bytes.push(b' '),
            (byte, ..) => bytes.push(*byte),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_session_lasts_twelve_hours_or_until_the_logout() {
        let sessions = Sessions::default();
        let now = Instant::now();
        let token = |text: &str| Secret::checked(text).unwrap();
        let value = sessions.start(token("user-token"), now).unwrap();
        assert_eq!(value.len(), 64);
        assert_ne!(sessions.start(token("user-token"), now), Some(value.clone()));
        let cookie = format!("a=b; {COOKIE_NAME}=0000 ;{COOKIE_NAME}={value}; c=d");
        let headers_of = |cookie: &str| headers(&[("cookie", cookie)]);
        let open = |cookie: &str, at| {
            let session = sessions.opened_by(&headers_of(cookie), at);
            session.is_some_and(|(_, token)| token.is(b"user-token"))
        };
        assert!(open(&cookie, now));
        assert!(!open(&cookie, now + LASTS));
        for wrong in ["", &value, "trunkline_session=", "trunkline_session", &cookie[..40]] {
            assert!(!open(wrong, now), "{wrong}");
        }
        sessions.end(&headers_of(&cookie));
        assert!(!open(&cookie, now));
        let text = format!("{sessions:?}");
        assert!(!text.contains(&value), "{text}");
    }

    #[test]
    fn sessions_are_bounded() {
        let sessions = Sessions::default();
        let now = Instant::now();
        let token = Secret::checked("user-token").unwrap();
        let first = sessions.start(token.clone(), now).unwrap();
        for _ in 0..MOST {
            sessions.start(token.clone(), now + Duration::from_secs(1)).unwrap();
        }
        assert_eq!(sessions.lock().len(), MOST);
        assert!(!sessions.lock().contains_key(&first));
    }

    #[test]
    fn the_cookie_is_for_this_site_and_no_script() {
        let text = |value, tls, domain| {
            let header = set_cookie(value, tls, domain).unwrap();
            assert_eq!(format!("{header:?}"), "Sensitive");
            header.to_str().unwrap().to_owned()
        };
        assert_eq!(
            text("ab", false, None),
            "trunkline_session=ab; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"
        );
        assert_eq!(
            text("", true, Some("example.org")),
            "trunkline_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0; \
             Domain=example.org; Secure"
        );
    }

    #[test]
    fn agents_do_not_get_the_relays_cookie() {
        let mut map = headers(&[
            ("cookie", "a=b; trunkline_session=secret; c=d"),
            ("cookie", "trunkline_session=secret"),
            ("cookie", "trunkline_session2=x"),
        ]);
        strip(&mut map);
        let left: Vec<_> = map.get_all(COOKIE).iter().collect();
        assert_eq!(left, ["a=b; c=d", "trunkline_session2=x"]);
        // Somebody else's bytes hide nothing, in front of it or behind.
        let mut map = HeaderMap::new();
        for value in [&b"a=\xff; trunkline_session=secret"[..], b"trunkline_session=x; b=\xc3\xa9"]
        {
            map.append(COOKIE, HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(cookies(&map).collect::<Vec<_>>(), [&b"secret"[..], b"x"]);
        strip(&mut map);
        let left: Vec<_> = map.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(left, [&b"a=\xff"[..], b"b=\xc3\xa9"]);
        let mut map = headers(&[("cookie", "a=\"b;c\";  d")]);
        strip(&mut map);
        assert_eq!(map.get(COOKIE).unwrap(), "a=\"b;c\";  d");
    }

    #[test]
    fn tokens_are_found_where_they_may_stand() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("", None),
        ] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(bearer(&headers), token.map(str::as_bytes), "{value}");
        }
        for (form, token) in [
            ("token=a%2Bb+c", Some("a+b c")),
            ("x=1&token=%zz%4", Some("%zz%4")),
            ("token=", Some("")),
            ("token=a&token=b", Some("a")),
            ("mytoken=a", None),
            ("", None),
        ] {
            let found = token_field(form.as_bytes());
            assert_eq!(found.as_deref(), token.map(str::as_bytes), "{form}");
        }
    }

    #[test]
    fn origins_are_compared_with_the_host() {
        for (origins, host, expected) in [
            (&[][..], "relay.example", Origin::Unknown),
            (&["https://relay.example"], "relay.example", Origin::Own),
            (&["https://Relay.example:443"], "relay.example", Origin::Own),
            (&["http://127.0.0.1:8080"], "127.0.0.1:8080", Origin::Own),
            (&["http://relay.example"], "relay.example:8080", Origin::Foreign),
            (&["http://relay.example:443"], "relay.example", Origin::Foreign),
            (&["https://evil.example"], "relay.example", Origin::Foreign),
            (&["https://relay.example.evil"], "relay.example", Origin::Foreign),
            (&["relay.example"], "relay.example", Origin::Foreign),
            (&["null"], "null", Origin::Foreign),
            (&[""], "", Origin::Foreign),
            (&["https://relay.example", "https://relay.example"], "relay.example", Origin::Foreign),
        ] {
            let mut pairs = vec![("host", host)];
            pairs.extend(origins.iter().map(|origin| ("origin", *origin)));
            assert_eq!(origin(&headers(&pairs), false), expected, "{origins:?} {host}");
        }
        assert_eq!(origin(&headers(&[("origin", "http://")]), false), Origin::Foreign);
        let behind = headers(&[
            ("host", "127.0.0.1:8080"),
            ("x-forwarded-host", "relay.example"),
            ("origin", "https://relay.example"),
        ]);
        assert_eq!(origin(&behind, true), Origin::Own);
        assert_eq!(origin(&behind, false), Origin::Foreign);
    }

    #[test]
    fn names_that_others_may_point_here_are_told_apart() {
        for (host, own) in [
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("localhost", true),
            ("box1.localhost:80", true),
            ("box1.relay.example", true),
            ("RELAY.example:1", true),
            ("evil.example", false),
            ("evillocalhost", false),
            ("localhost.evil.example", false),
            ("relay.example.evil", false),
            ("[evil]", false),
            ("", false),
        ] {
            let headers = headers(&[("host", host)]);
            assert_eq!(is_own_host(&headers, Some("relay.example")), own, "{host}");
        }
    }
}
