//! Why a WebSocket could not be dialled.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why a WebSocket could not be dialled: which host, and what was wrong with it.
///
/// It stands inside the `io::Error` of `dial`: see [`of`](Self::of). Neither `Display` nor `Debug`
/// shows path, query or headers, since tokens stand in them.
#[derive(Debug)]
pub struct DialError {
    host: String,
    fault: DialFault,
}

/// What was wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialFault {
    /// The URL is none that can be dialled.
    Url(&'static str),
    /// A header that cannot be sent, or is the handshake's own; its name.
    Header(String),
    /// The certificates to trust could not be had.
    Certificates(io::Error),
    /// No connection to the host.
    Connect(io::Error),
    /// The TLS handshake failed.
    Tls(io::Error),
    /// The connection was lost during the handshake.
    Lost(io::Error),
    /// The answer is not one of a WebSocket server.
    Answer(&'static str),
    /// The server answered with another status than 101; redirects are not followed.
    Status(u16),
    /// It took longer than it may.
    Timeout(Duration),
}

impl DialError {
    /// An error about a host, as an `io::Error` of a fitting kind.
    #[must_use]
    pub fn io(host: &str, fault: DialFault) -> io::Error {
        let kind = match &fault {
            DialFault::Url(_) | DialFault::Header(_) => io::ErrorKind::InvalidInput,
            DialFault::Certificates(error)
            | DialFault::Connect(error)
            | DialFault::Tls(error)
            | DialFault::Lost(error) => error.kind(),
            DialFault::Answer(_) => io::ErrorKind::InvalidData,
            DialFault::Status(401 | 403) => io::ErrorKind::PermissionDenied,
            DialFault::Status(404) => io::ErrorKind::NotFound,
            DialFault::Status(_) => io::ErrorKind::ConnectionRefused,
            DialFault::Timeout(_) => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, Self { host: host.to_owned(), fault })
    }

    /// The one inside an error of `dial`.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The host with its port; empty where the URL has none.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What was wrong.
    #[must_use]
    pub const fn fault(&self) -> &DialFault {
        &self.fault
    }

    /// The status of the server's answer, where it was one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.fault {
            DialFault::Status(status) => Some(status),
            _ => None,
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.host.is_empty() {
            write!(f, "{}: ", self.host)?;
        }
        match &self.fault {
            DialFault::Url(why) => write!(f, "the URL cannot be dialled: {why}"),
            DialFault::Header(name) => write!(f, "the header {name} cannot be sent"),
            DialFault::Certificates(error) => write!(f, "no certificates to trust: {error}"),
            DialFault::Connect(error) => write!(f, "no connection: {error}"),
            DialFault::Tls(error) => write!(f, "no TLS connection: {error}"),
            DialFault::Lost(error) => write!(f, "lost during the handshake: {error}"),
            DialFault::Answer(why) => write!(f, "no WebSocket server: {why}"),
            DialFault::Status(status) => {
                write!(f, "the server refused: {status}")?;
                reason(*status).map_or(Ok(()), |reason| write!(f, " {reason}"))
            }
            DialFault::Timeout(time) => write!(f, "no answer within {time:?}"),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            DialFault::Certificates(error)
            | DialFault::Connect(error)
            | DialFault::Tls(error)
            | DialFault::Lost(error) => Some(error),
            _ => None,
        }
    }
}

/// Our own words: the server's might repeat what it was sent.
const fn reason(status: u16) -> Option<&'static str> {
    Some(match status {
        200 => "OK (not a WebSocket)",
        301 | 302 | 303 | 307 | 308 => "Redirect (not followed)",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return None,
    })
}
