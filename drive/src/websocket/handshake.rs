//! The client's half of the WebSocket handshake: RFC 6455 section 4.1.
//!
//! It is ours, and not the library's, because that one writes the request into its log, token
//! and all, and takes an answer of any length.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::ready;

use super::{DialFault, DialOptions, Target};
use crate::Io;

/// Most bytes of the server's answer.
const MOST: usize = 16 << 10;

/// Most headers in it.
const HEADERS: usize = 100;

/// Headers that are the handshake's own.
const OWN: [&str; 8] = [
    "host",
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
];

/// What a server says to a client's key: the value of `Sec-WebSocket-Accept`.
#[must_use]
pub fn accept_key(key: &str) -> String {
    tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// The headers of a server's answer, in order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ResponseHeaders(Vec<(String, Vec<u8>)>);

impl ResponseHeaders {
    /// The value of the first header of that name, in whatever case, that is readable ASCII.
    #[must_use]
    pub fn first<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.0.iter().find_map(|header| readable(header, name))
    }

    /// The values of all headers of that name, in whatever case, that are readable ASCII.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |header| readable(header, name))
    }

    /// All of them, names as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Whether one of the values of that name, a list with commas, has that token.
    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }
}

impl std::fmt::Debug for ResponseHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A cookie is as good as a token.
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A client's handshake on its way.
pub struct Handshake {
    request: Vec<u8>,
    accept: String,
    /// A subprotocol was asked for.
    protocols: bool,
    received: Vec<u8>,
}

impl Handshake {
    /// A request to that server, with a random key.
    ///
    /// # Errors
    ///
    /// [`DialFault::Header`], when a header cannot be sent.
    pub fn new(target: &Target, options: &DialOptions) -> io::Result<Self> {
        Self::with_key(target, options, &tungstenite::handshake::client::generate_key())
            .map_err(|fault| target.error(fault))
    }

    fn with_key(target: &Target, options: &DialOptions, key: &str) -> Result<Self, DialFault> {
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
            target.path,
            target.host_header(false),
        );
        let mut protocols = false;
        for (name, value) in &options.headers {
            let sendable = is_name(name)
                && value.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f);
            if !sendable || OWN.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                return Err(DialFault::Header(name.escape_debug().to_string()));
            }
            protocols |= name.eq_ignore_ascii_case("sec-websocket-protocol");
            request.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
        }
        request.push_str("\r\n");
        Ok(Self {
            request: request.into_bytes(),
            accept: accept_key(key),
            protocols,
            received: Vec::new(),
        })
    }

    /// Speaks to the server, and gives its headers and what came behind them.
    ///
    /// Dropped before it is ready, it leaves a transport that is of no use.
    ///
    /// # Errors
    ///
    /// When the transport fails or ends, the server answers with anything but 101, or with what is
    /// no answer.
    pub async fn run(
        mut self,
        io: &mut impl Io,
        target: &Target,
    ) -> io::Result<(ResponseHeaders, Vec<u8>)> {
        let lost = |error| target.error(DialFault::Lost(error));
        let mut sent = 0;
        poll_fn(|cx| {
            while let Some(rest) = self.request.get(sent..).filter(|rest| !rest.is_empty()) {
                match ready!(io.poll_write(cx, &[IoSlice::new(rest)]))? {
                    0 => return Err(io::ErrorKind::WriteZero.into()).into(),
                    count => sent += count,
                }
            }
            io.poll_flush(cx)
        })
        .await
        .map_err(lost)?;
        loop {
            let mut buf = Vec::with_capacity(1 << 10);
            let count = poll_fn(|cx| io.poll_read(cx, &mut buf)).await.map_err(lost)?;
            if count == 0 {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(done) = self.take_in(&buf).map_err(|fault| target.error(fault))? {
                return Ok(done);
            }
        }
    }

    /// Takes in what the server said; ready with its headers and what stands behind them.
    fn take_in(&mut self, bytes: &[u8]) -> Result<Option<(ResponseHeaders, Vec<u8>)>, DialFault> {
        self.received.extend_from_slice(bytes);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(&self.received) {
            Ok(httparse::Status::Complete(length)) if length <= MOST => length,
            Ok(httparse::Status::Partial) if self.received.len() <= MOST => return Ok(None),
            Ok(_) => return Err(DialFault::Answer("the answer has too many headers")),
            Err(_) => return Err(DialFault::Answer("the answer is not HTTP")),
        };
        let code = response.code.unwrap_or_default();
        if code != 101 {
            return Err(DialFault::Status(code));
        }
        let headers = ResponseHeaders(
            response
                .headers
                .iter()
                .map(|header| (header.name.to_owned(), header.value.to_vec()))
                .collect(),
        );
        if response.version != Some(1)
            || !headers.has_token("upgrade", "websocket")
            || !headers.has_token("connection", "upgrade")
        {
            return Err(DialFault::Answer("the answer is no upgrade to WebSocket"));
        }
        if headers.all("sec-websocket-accept").collect::<Vec<_>>() != [self.accept.as_str()] {
            return Err(DialFault::Answer("the answer does not belong to the request"));
        }
        if headers.first("sec-websocket-extensions").is_some()
            || !self.protocols && headers.first("sec-websocket-protocol").is_some()
        {
            return Err(DialFault::Answer("the answer agrees to what was not asked for"));
        }
        Ok(Some((headers, self.received.split_off(length))))
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

fn readable<'a>((known, value): &'a (String, Vec<u8>), name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
    text.filter(|_| known.eq_ignore_ascii_case(name))
}

/// Whether it is the name of a header (RFC 9110, 5.6.2).
fn is_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(headers: &[(&str, &str)]) -> Result<Handshake, DialFault> {
        let mut options = DialOptions::new("ws://box:81/a?b");
        for (name, value) in headers {
            options = options.header(*name, *value);
        }
        let target = Target::parse(&options.url).unwrap();
        Handshake::with_key(&target, &options, "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// The answer of the example in RFC 6455 section 1.3.
    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    fn answered(answer: &str) -> Result<Option<(ResponseHeaders, Vec<u8>)>, DialFault> {
        handshake(&[]).unwrap().take_in(answer.as_bytes())
    }

    #[test]
    fn the_request_is_that_of_the_standard() {
        let request = handshake(&[("Authorization", "Bearer x")]).unwrap().request;
        let text = String::from_utf8(request).unwrap();
        assert_eq!(
            text,
            "GET /a?b HTTP/1.1\r\nHost: box:81\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer x\r\n\r\n"
        );
    }

    #[test]
    fn headers_that_would_say_more_than_themselves_are_refused() {
        for (name, value) in [
            ("a", "b\r\nc: d"),
            ("a\r\nb", "c"),
            ("a", "\0"),
            ("", "a"),
            ("Host", "a"),
            ("a b", "c"),
        ] {
            let refused = handshake(&[(name, value)]).map(|_| ());
            assert!(matches!(refused, Err(DialFault::Header(_))), "{name:?} {value:?}");
        }
    }

    #[test]
    fn an_answer_may_come_in_any_pieces() {
        let answer = format!("{ANSWER}X-One: 1\r\nx-one: 2\r\n\r\n\u{2}more");
        let end = answer.len() - "\u{2}more".len();
        for cut in 0..answer.len() {
            let mut handshake = handshake(&[]).unwrap();
            let (front, rest) = answer.split_at(cut);
            let done = match handshake.take_in(front.as_bytes()).unwrap() {
                Some((headers, tail)) => {
                    assert!(cut >= end);
                    (headers, [tail, rest.into()].concat())
                }
                None => handshake.take_in(rest.as_bytes()).unwrap().unwrap(),
            };
            assert_eq!(done.0.first("X-ONE"), Some("1"));
            assert_eq!(done.1, b"\x02more");
        }
    }

    #[test]
    fn other_answers_are_refused_by_what_is_wrong_with_them() {
        assert!(matches!(answered("HTTP/1.1 401 No\r\n\r\n"), Err(DialFault::Status(401))));
        assert!(matches!(
            answered("HTTP/1.1 302 \r\nLocation: x\r\n\r\n"),
            Err(DialFault::Status(302))
        ));
        for wrong in [
            "SSH-2.0-OpenSSH\r\n".to_owned(),
            "\0\0\0\0".to_owned(),
            format!("{}\r\n", ANSWER.replace("websocket", "h2c")),
            format!("{}\r\n", ANSWER.replace("Upgrade\r\n", "close\r\n")),
            format!("{}\r\n", ANSWER.replace("s3p", "s3q")),
            format!("{}\r\n", ANSWER.replace("HTTP/1.1", "HTTP/1.0")),
            format!("{ANSWER}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            format!("{ANSWER}Sec-WebSocket-Protocol: chat\r\n\r\n"),
            format!("{ANSWER}a: {}", "b".repeat(MOST)),
            format!("{ANSWER}a: {}\r\n\r\n", "b".repeat(MOST)),
            format!("{ANSWER}{}", "a: b\r\n".repeat(HEADERS)),
        ] {
            let refused = answered(&wrong);
            assert!(matches!(refused, Err(DialFault::Answer(_))), "{wrong:?} {refused:?}");
        }
    }
}
