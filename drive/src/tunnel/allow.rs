//! Where an agent lets forwarded connections go.

use std::fmt;
use std::str::FromStr;

/// The hosts and ports that forwarded connections may go to; nowhere by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Target>);

/// One host, and one port or all: `127.0.0.1:22`, `db.internal:*`, `[::1]:80`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: Option<u16>,
}

impl Allowed {
    /// Whether a connection there is allowed. Names are compared as they are written, without regard
    /// to case: what a name leads to is the agent's resolver's to say, and not asked before.
    #[must_use]
    pub fn allows(&self, host: &str, port: u16) -> bool {
        self.0.iter().any(|target| {
            target.host.eq_ignore_ascii_case(host) && target.port.is_none_or(|only| only == port)
        })
    }

    /// Each target, as it is written.
    pub fn iter(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(ToString::to_string)
    }
}

impl FromIterator<Target> for Allowed {
    fn from_iter<I: IntoIterator<Item = Target>>(targets: I) -> Self {
        Self(targets.into_iter().collect())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not HOST:PORT, or HOST:* for every port");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains(':') => {
                return Err(format!("{}: write [{host}]:{port}", wrong()));
            }
            None => host,
        };
        let port = match port {
            "*" => None,
            port => Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:", self.host)?,
            false => write!(f, "{}:", self.host)?,
        }
        match self.port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_is_allowed() {
        let targets = ["127.0.0.1:22", "Db.Internal:*", "[::1]:80"];
        let allowed: Allowed =
            targets.map(|text| text.parse::<Target>().unwrap()).into_iter().collect();
        assert!(allowed.allows("127.0.0.1", 22));
        assert!(allowed.allows("db.internal", 5432));
        assert!(allowed.allows("::1", 80));
        assert!(!allowed.allows("127.0.0.1", 23));
        assert!(!allowed.allows("localhost", 22));
        assert!(!allowed.allows("127.0.0.1 ", 22));
        assert!(!Allowed::default().allows("127.0.0.1", 22));
        assert_eq!(
            allowed.iter().collect::<Vec<_>>(),
            ["127.0.0.1:22", "Db.Internal:*", "[::1]:80"]
        );
    }

    #[test]
    fn what_is_no_target_is_told() {
        for text in ["", "22", ":22", "host:", "host:0", "host:70000", "::1:80", "[::1:80"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
