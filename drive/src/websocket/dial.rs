//! Where to dial, and how.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{DialError, DialFault, Limits};

/// Where and how a WebSocket is dialled.
///
/// `Debug` shows neither path nor query nor the values of headers: tokens stand in them.
#[derive(Clone)]
#[non_exhaustive]
pub struct DialOptions {
    /// `ws://` or `wss://`, host, port (80 and 443 by default), path and query; `http` and `https`
    /// mean the same. Names and passwords in it are refused.
    pub url: String,
    /// Headers beyond the handshake's own, in order: authorization, agreements.
    pub headers: Vec<(String, String)>,
    /// A file with certificates in PEM form that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How long all of it may take, from the name's resolution to the server's answer. 30 s.
    pub timeout: Duration,
    /// The limits of the WebSocket.
    pub limits: Limits,
}

impl DialOptions {
    /// A URL, without further headers and with the system's certificates.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            ca_file: None,
            timeout: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// What the URL says.
    ///
    /// # Errors
    ///
    /// [`DialFault::Url`], when it is none that can be dialled.
    pub fn target(&self) -> io::Result<Target> {
        Target::parse(&self.url).map_err(|why| DialError::io("", DialFault::Url(why)))
    }
}

impl fmt::Debug for DialOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = Target::parse(&self.url);
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("DialOptions")
            .field("host", &target.map(|target| target.authority()))
            .field("headers", &headers)
            .field("ca_file", &self.ca_file)
            .field("timeout", &self.timeout)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A URL in its parts.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// A name or an address; one of IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query; secrets may stand in it.
    pub path: String,
}

impl Target {
    /// Takes a URL apart; says why where that is not possible.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err("its scheme is neither ws nor wss"),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("a name or password stands in it");
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("its path has characters that must be escaped");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("its address is not closed")?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err("its address is none");
                }
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').ok_or("its port is none")?),
                };
                (host, port)
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || !host.contains(':') && !host.bytes().all(name) {
            return Err("its host is none");
        }
        let port = match port {
            None | Some("") if tls => 443,
            None | Some("") => 80,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().map_err(|_| "its port is none")?
            }
            Some(_) => return Err("its port is none"),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { tls, host: host.to_owned(), port, path: format!("{slash}{path}") })
    }

    /// Host and port, as errors name it.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host_header(true), self.port)
    }

    /// The host as a `Host` header has it; without the port where that is the scheme's own.
    pub(super) fn host_header(&self, alone: bool) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.tls { 443 } else { 80 };
        if alone || self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// An error about this host.
    #[must_use]
    pub fn error(&self, fault: DialFault) -> io::Error {
        DialError::io(&self.authority(), fault)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port, path: _ } = self;
        f.debug_struct("Target")
            .field("tls", tls)
            .field("host", host)
            .field("port", port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<(bool, String, u16, String), &'static str> {
        Target::parse(url).map(|target| (target.tls, target.host, target.port, target.path))
    }

    #[test]
    fn a_url_is_taken_apart() {
        let ours = |tls, host: &str, port, path: &str| Ok((tls, host.into(), port, path.into()));
        assert_eq!(parse("ws://box"), ours(false, "box", 80, "/"));
        assert_eq!(parse("WSS://a.b:1/x?y=z#w"), ours(true, "a.b", 1, "/x?y=z"));
        assert_eq!(parse("https://a?q"), ours(true, "a", 443, "/?q"));
        assert_eq!(parse("http://[::1]:8080/"), ours(false, "::1", 8080, "/"));
        assert_eq!(Target::parse("ws://[::1]:8080").unwrap().authority(), "[::1]:8080");
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for url in [
            "",
            "box",
            "ftp://box",
            "ws://",
            "ws:///x",
            "ws://me:secret@box/",
            "ws://box:x",
            "ws://box:+1",
            "ws://box:65536",
            "ws://[::1",
            "ws://[1::2::3]/",
            "ws://[::1]x",
            "ws://b\u{f6}x/",
            "ws://box/a b",
            "ws://box/a\r\nx: y",
            "ws://box\r\n/",
        ] {
            assert!(Target::parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let options =
            DialOptions::new("wss://box/api?token=secret").header("Authorization", "secret");
        let shown = format!("{options:?} {:?}", options.target().unwrap());
        assert!(shown.contains("box:443") && shown.contains("Authorization"), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("api"), "{shown}");
    }
}
