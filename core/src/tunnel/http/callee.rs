//! The agent's end of an exchange: `docs/protocols/agent-tunnel.md` sections 6 and 12.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use bytes::Bytes;

use super::head::{first_values, listed};
use super::pieces::Pieces;
use super::{
    BodyLen, Config, Dialect, End, Fault, Head, Misuse, NegativeLength, ResponseHead, rules,
};
use crate::tunnel::own::own_response_json;
use crate::tunnel::{
    Header, HeaderDecoder, OwnRequest, RequestMeta, StreamType, encode_header, meta,
};

/// What a request brings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CalleeEvent {
    /// The head of the request; the first event, but for faults.
    Head(Head),
    /// Bytes of its body, never empty: a slice of what was handed in.
    Body(Bytes),
    /// The body is whole; there is one of these also where there is no body.
    BodyEnd,
    /// The request is not whole and will not be, or (behind [`BodyEnd`](Self::BodyEnd)) nobody waits
    /// for the answer any more. Write what [`Callee::answer`] gives, or reset the stream.
    Failed(Fault),
}

#[derive(Debug)]
enum State {
    Head(HeaderDecoder),
    /// The stream header was read elsewhere.
    Given(Header),
    /// So many bytes are to come; `None`: up to the end.
    Body(Option<u64>),
    /// The body is whole.
    Whole,
    Over,
}

/// Where the answer stands.
#[derive(Debug)]
enum Answer {
    /// The head has not come, or was no head.
    Early,
    /// It may be given; an upgrade was asked for or not.
    Due {
        upgrade: bool,
    },
    Given,
}

/// The agent's end of one exchange.
///
/// Hand in what the stream brings and ask [`poll_event`](Self::poll_event) until it has nothing
/// more; write what [`respond`](Self::respond) gives, the response's body behind it, and finish the
/// stream. Dropping it does nothing.
#[derive(Debug)]
pub struct Callee {
    dialect: Dialect,
    config: Config,
    state: State,
    answer: Answer,
    received: u64,
    input: Pieces,
    end: Option<End>,
}

impl Callee {
    /// Waits for a request on a stream that the peer opened. Its bytes are handed in from the first
    /// on, the stream header included.
    #[must_use]
    pub fn new(dialect: Dialect, config: Config) -> Self {
        Self {
            dialect,
            config,
            state: State::Head(HeaderDecoder::new()),
            answer: Answer::Early,
            received: 0,
            input: Pieces::default(),
            end: None,
        }
    }

    /// Waits for nothing more than the body of a request whose stream header was read already.
    ///
    /// The first event is the head, or what is wrong with it.
    #[must_use]
    pub fn with_header(dialect: Dialect, header: &Header, config: Config) -> Self {
        Self { state: State::Given(header.clone()), ..Self::new(dialect, config) }
    }

    /// Takes bytes that the stream brought; [`poll_event`](Self::poll_event) looks at them. Nothing
    /// else bounds what waits here: poll until there is nothing before handing in more.
    pub fn handle_bytes(&mut self, bytes: Bytes) {
        if !matches!(self.state, State::Over) && self.end.is_none() {
            self.input.push(bytes);
        }
    }

    /// Takes the end of the stream's reading direction; the first counts, but for a loss or a reset
    /// behind an orderly end.
    pub fn handle_end(&mut self, end: End) {
        if self.end.is_none_or(|before| before == End::Finished) {
            self.end = Some(end);
        }
    }

    /// The next thing that happened; `None` when more has to come first.
    pub fn poll_event(&mut self) -> Option<CalleeEvent> {
        self.step().unwrap_or_else(|fault| {
            self.state = State::Over;
            self.input.clear();
            Some(CalleeEvent::Failed(fault))
        })
    }

    /// Whether the request has nothing more to bring: its body is whole, or it failed. As long as
    /// not, a stream that was answered should be read on to its end or to that of the body, and what
    /// comes be dropped: letting go of it with bytes unread resets it, and the answer may be lost.
    #[must_use]
    pub const fn is_request_over(&self) -> bool {
        matches!(self.state, State::Whole | State::Over)
    }

    /// The bytes to write in front of the response's body.
    ///
    /// # Errors
    ///
    /// What makes it one that cannot be sent; see [`Misuse`]. Nothing was changed then.
    pub fn respond(&mut self, head: &ResponseHead) -> Result<Bytes, Misuse> {
        let upgrade = match self.answer {
            Answer::Early => return Err(Misuse::NoRequest),
            Answer::Given => return Err(Misuse::Answered),
            Answer::Due { upgrade } => upgrade,
        };
        match head.status {
            101 if upgrade => {}
            101 => return Err(Misuse::Upgrade),
            200..=999 => {}
            status => return Err(Misuse::Status(status)),
        }
        rules::check_headers(&head.headers)?;
        rules::content_length(&head.headers).map_err(|_| Misuse::ContentLength)?;
        let bytes = encode(self.dialect, head)?;
        self.answer = Answer::Given;
        Ok(bytes)
    }

    /// The answer to a request with a fault, as head and body to be written and finished; `None`
    /// where the stream is to be reset without a word, which it always is once it was answered.
    pub fn answer(&mut self, fault: &Fault) -> Option<(Bytes, Bytes)> {
        let (status, text) = words(fault)?;
        if matches!(self.answer, Answer::Given) {
            return None;
        }
        let mut headers = vec![("Content-Type".into(), Bytes::from_static(b"text/plain"))];
        if self.dialect == Dialect::Own {
            headers.push(("Content-Length".into(), Bytes::from(format!("{}", text.len()))));
        }
        let head = encode(self.dialect, &ResponseHead { status, headers }).ok()?;
        self.answer = Answer::Given;
        Some((head, text.into()))
    }

    fn step(&mut self) -> Result<Option<CalleeEvent>, Fault> {
        match &mut self.state {
            State::Given(header) => {
                let header = header.clone();
                self.head(&header).map(|head| Some(CalleeEvent::Head(head)))
            }
            State::Head(decoder) => {
                while !self.input.is_empty() {
                    if let Some(header) = decoder.feed(self.input.front()).map_err(Fault::Header)? {
                        return self.head(&header).map(|head| Some(CalleeEvent::Head(head)));
                    }
                }
                let missing = decoder.end();
                self.ended(Err(Fault::Header(missing)))
            }
            State::Body(Some(0)) => {
                self.state = State::Whole;
                Ok(Some(CalleeEvent::BodyEnd))
            }
            State::Body(left) => {
                let Some(bytes) = self.input.take(left.unwrap_or(u64::MAX)) else {
                    let whole = left.map_or(Ok(()), |missing| Err(Fault::Truncated(missing)));
                    return self.ended(whole);
                };
                let len = bytes.len() as u64;
                *left = left.map(|left| left.saturating_sub(len));
                self.received = self.received.saturating_add(len);
                if self.received > self.config.max_request {
                    return Err(Fault::TooLong);
                }
                Ok(Some(CalleeEvent::Body(bytes)))
            }
            State::Whole => {
                if !self.input.is_empty() {
                    if self.dialect == Dialect::Own {
                        return Err(Fault::Surplus);
                    }
                    // The original's agents leave them unread, whatever they are.
                    self.input.clear();
                }
                match self.end {
                    Some(End::Reset) => Err(Fault::Reset),
                    Some(End::Lost) => Err(Fault::Lost),
                    Some(End::Finished) | None => Ok(None),
                }
            }
            State::Over => Ok(None),
        }
    }

    /// Nothing is left to look at: what an end, if there is one, means where an orderly one would
    /// mean `finished`.
    fn ended(&mut self, finished: Result<(), Fault>) -> Result<Option<CalleeEvent>, Fault> {
        match self.end {
            None => Ok(None),
            Some(End::Finished) => {
                finished?;
                self.state = State::Whole;
                Ok(Some(CalleeEvent::BodyEnd))
            }
            Some(End::Reset) => Err(Fault::Reset),
            Some(End::Lost) => Err(Fault::Lost),
        }
    }

    fn head(&mut self, header: &Header) -> Result<Head, Fault> {
        let (mut head, len) = decode(self.dialect, header)?;
        if !rules::is_token(&head.method) {
            return Err(Fault::Method);
        }
        if !rules::is_path(&head.method, &head.path) {
            return Err(Fault::Path);
        }
        rules::judge_headers(&head.headers)?;
        head.body = match (self.dialect, len) {
            (_, 0) => BodyLen::None,
            (Dialect::Own, -1) => BodyLen::Unknown,
            (Dialect::Original, ..0) if self.config.negative_length == NegativeLength::NoBody => {
                BodyLen::None
            }
            (_, 1..) => BodyLen::Exact(len.unsigned_abs()),
            _ => return Err(Fault::NegativeLength(len)),
        };
        let left = match head.body {
            BodyLen::None => Some(0),
            BodyLen::Exact(len) => Some(len),
            BodyLen::Unknown => None,
        };
        if left.is_some_and(|left| left > self.config.max_request) {
            return Err(Fault::TooLong);
        }
        let upgrade = head.is_upgrade();
        let stated = rules::content_length(&head.headers)?;
        if stated.is_some() && stated != left && !(upgrade && stated == Some(0)) {
            return Err(Fault::ContentLength);
        }
        head.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
        self.state = State::Body(left);
        self.answer = Answer::Due { upgrade };
        Ok(head)
    }
}

/// The head, whose body is still to be judged, and its length as it stands there.
fn decode(dialect: Dialect, header: &Header) -> Result<(Head, i64), Fault> {
    let body = BodyLen::None;
    match (dialect, header.kind) {
        (Dialect::Original, StreamType::HTTP) => {
            let meta = RequestMeta::from_json(&header.metadata).map_err(Fault::Metadata)?;
            let method = if meta.method.is_empty() { "GET".into() } else { meta.method };
            // The original's agent puts a missing slash in front, and refuses a host.
            let path = match meta.path.starts_with('/') || meta.path == "*" {
                true => meta.path,
                false if rules::has_scheme(&meta.path) => return Err(Fault::Path),
                false => format!("/{}", meta.path),
            };
            let headers = listed(meta.headers);
            Ok((Head { method, path, headers, body }, meta.body_len))
        }
        (Dialect::Own, StreamType::OWN_HTTP) => {
            let meta = OwnRequest::from_json(&header.metadata).map_err(Fault::Metadata)?;
            let OwnRequest { method, path, headers, body_len } = meta;
            Ok((Head { method, path, headers, body }, body_len))
        }
        (_, kind) => Err(Fault::Kind(kind)),
    }
}

fn encode(dialect: Dialect, head: &ResponseHead) -> Result<Bytes, Misuse> {
    let (kind, json) = match dialect {
        Dialect::Original => {
            let headers = first_values(&head.headers);
            let headers = headers.iter().map(|(name, value)| (name.as_bytes(), *value));
            (StreamType::HTTP, meta::response_json(head.status.into(), Some(headers)))
        }
        Dialect::Own => (StreamType::OWN_HTTP, own_response_json(head.status, &head.headers)),
    };
    encode_header(kind, &json).map_err(|_| Misuse::TooLarge)
}

/// Status and text for a fault: the original's where it has one.
fn words(fault: &Fault) -> Option<(u16, String)> {
    let (status, text) = match fault {
        Fault::Metadata(_) => (400, "invalid metadata"),
        Fault::Path => (400, "invalid request path"),
        Fault::Method => (502, "failed to create request"),
        Fault::HeaderName | Fault::HeaderValue => (400, "invalid header"),
        Fault::ContentLength | Fault::BothLengths => (400, "invalid content length"),
        Fault::NegativeLength(_) => (400, "invalid body length"),
        Fault::TooLong => (413, "request body too large"),
        Fault::Surplus => (400, "request body longer than announced"),
        Fault::Truncated(_) => (502, "failed to read request body"),
        Fault::Target(reason) => return Some((502, format!("local service error: {reason}"))),
        Fault::Header(_)
        | Fault::Kind(_)
        | Fault::Status(_)
        | Fault::Upgrade
        | Fault::Reset
        | Fault::Lost => return None,
    };
    Some((status, text.into()))
}
