//! The opener's end of an exchange: `docs/protocols/agent-tunnel.md` sections 6 and 12.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::head::{first_values, listed};
use super::pieces::Pieces;
use super::{BodyLen, Config, Dialect, End, Fault, Head, Misuse, ResponseHead, rules};
use crate::tunnel::own::own_request_json;
use crate::tunnel::{
    Header, HeaderDecoder, HeaderError, OwnResponse, ResponseMeta, StreamType, encode_header, meta,
};

/// Bytes behind a response that has no body, such as some handlers write to a HEAD, which are let
/// pass.
const LET_PASS: u64 = 64 << 10;

/// What the agent's answer brings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerEvent {
    /// The head of the response; the first event, but for faults.
    Head(ResponseHead),
    /// Bytes of its body, never empty: a slice of what was handed in.
    Body(Bytes),
    /// The response is whole.
    End,
    /// It is not, and will not be. Reset the stream.
    Failed(Fault),
    /// Nobody will read the rest of the request's body: the response ended before it, or an upgrade
    /// was refused. Stop sending; no [`finish`](Caller::finish) is needed.
    StopUpload,
}

#[derive(Debug)]
enum State {
    Head(HeaderDecoder),
    /// So many bytes are to come; `None`: up to the end.
    Body(Option<u64>),
    /// No body is to come, and so many bytes of one came.
    NoBody(u64),
    Over,
}

/// When what came so far is the whole response.
enum Whole {
    /// It is, by its own length, however the stream ends.
    Already,
    /// If the stream ends in order.
    AtTheEnd,
    /// It is not, for this reason where the stream ends in order.
    Never(Fault),
}

/// The opener's end of one exchange.
///
/// Write what [`new`](Self::new) gives, then the body, as much as [`body`](Self::body) was told, then
/// ask [`finish`](Self::finish). At the same time hand in what the stream brings, and ask
/// [`poll_event`](Self::poll_event) until it has nothing more. Dropping it does nothing; a stream
/// that is given up before [`CallerEvent::End`] has to be reset.
#[derive(Debug)]
pub struct Caller {
    dialect: Dialect,
    config: Config,
    head_only: bool,
    upgrade: bool,
    upgraded: bool,
    /// What is left of the body to send; `None`: unknown.
    upload: Option<u64>,
    uploading: bool,
    pending: Option<CallerEvent>,
    state: State,
    received: u64,
    input: Pieces,
    end: Option<End>,
}

impl Caller {
    /// Begins an exchange, and gives the bytes that come first on the stream.
    ///
    /// # Errors
    ///
    /// What makes the head one that cannot be sent in this dialect; see [`Misuse`].
    pub fn new(dialect: Dialect, head: &Head, config: Config) -> Result<(Self, Bytes), Misuse> {
        if !rules::is_token(&head.method) {
            return Err(Misuse::Method);
        }
        if !rules::is_path(&head.method, &head.path) {
            return Err(Misuse::Path);
        }
        rules::check_headers(&head.headers)?;
        let upload = match head.body {
            BodyLen::None => Some(0),
            BodyLen::Exact(len) => Some(len),
            BodyLen::Unknown => None,
        };
        let stated = rules::content_length(&head.headers).map_err(|_| Misuse::ContentLength)?;
        // Who asks for an upgrade may say that nothing comes before it.
        let upgrade = head.is_upgrade();
        if stated.is_some() && stated != upload && !(upgrade && stated == Some(0)) {
            return Err(Misuse::ContentLength);
        }
        let first = encode(dialect, head, upload)?;
        let caller = Self {
            dialect,
            config,
            head_only: head.method == "HEAD",
            upgrade,
            upgraded: false,
            upload,
            uploading: true,
            pending: None,
            state: State::Head(HeaderDecoder::new()),
            received: 0,
            input: Pieces::default(),
            end: None,
        };
        Ok((caller, first))
    }

    /// Counts `len` bytes of the request's body, which the caller then writes.
    ///
    /// # Errors
    ///
    /// [`Misuse::TooMuchBody`], [`Misuse::BodyOver`]; then write nothing.
    pub fn body(&mut self, len: usize) -> Result<(), Misuse> {
        if !self.uploading {
            return Err(Misuse::BodyOver);
        }
        if let Some(left) = self.upload {
            let less = left.checked_sub(len as u64).ok_or(Misuse::TooMuchBody)?;
            self.upload = Some(less);
        }
        Ok(())
    }

    /// The request's body is over: whether the stream's direction is to be finished now. The
    /// original's is not, before the response has ended.
    ///
    /// # Errors
    ///
    /// [`Misuse::ShortBody`]: reset the stream, or send the rest. [`Misuse::BodyOver`].
    pub fn finish(&mut self) -> Result<bool, Misuse> {
        if !self.uploading {
            return Err(Misuse::BodyOver);
        }
        if let Some(missing) = self.upload.filter(|left| *left > 0) {
            return Err(Misuse::ShortBody(missing));
        }
        self.uploading = false;
        Ok(self.dialect == Dialect::Own)
    }

    /// Whether the response was a 101, so that both directions carry bytes of the new protocol.
    #[must_use]
    pub const fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Whether all of the response has been told but its [`End`](CallerEvent::End): it has no body, or
    /// reached its length. However the stream ends then, it was whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let told = self.input.is_empty() && self.pending.is_none();
        told && matches!(self.state, State::Body(Some(0)) | State::NoBody(_))
    }

    /// Whether a head of the response has begun and is not there yet: from then on it can be asked
    /// for in a time that does not depend on what the other end has to do for it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        let State::Head(decoder) = &self.state else { return false };
        decoder.end() != HeaderError::NoHeader
    }

    /// Takes bytes that the stream brought; [`poll_event`](Self::poll_event) looks at them. Nothing
    /// else bounds what waits here: poll until there is nothing before handing in more.
    pub fn handle_bytes(&mut self, bytes: Bytes) {
        if !matches!(self.state, State::Over) && self.end.is_none() {
            self.input.push(bytes);
        }
    }

    /// Takes the end of the stream's reading direction; the first counts.
    pub fn handle_end(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// The next thing that happened; `None` when more has to come first.
    pub fn poll_event(&mut self) -> Option<CallerEvent> {
        if let Some(event) = self.pending.take() {
            return Some(event);
        }
        match self.step() {
            Ok(Some(CallerEvent::End)) => {
                self.state = State::Over;
                if self.upgraded || !core::mem::take(&mut self.uploading) {
                    return Some(CallerEvent::End);
                }
                self.pending = Some(CallerEvent::End);
                Some(CallerEvent::StopUpload)
            }
            Ok(event) => event,
            Err(fault) => {
                self.state = State::Over;
                self.uploading = false;
                self.input.clear();
                Some(CallerEvent::Failed(fault))
            }
        }
    }

    fn step(&mut self) -> Result<Option<CallerEvent>, Fault> {
        match &mut self.state {
            State::Head(decoder) => {
                while !self.input.is_empty() {
                    if let Some(header) = decoder.feed(self.input.front()).map_err(Fault::Header)? {
                        return self.head(&header).map(|head| Some(CallerEvent::Head(head)));
                    }
                }
                let missing = decoder.end();
                self.ended(Whole::Never(Fault::Header(missing)))
            }
            State::Body(left) => {
                let Some(bytes) = self.input.take(left.unwrap_or(u64::MAX)) else {
                    let left = *left;
                    if !self.input.is_empty() {
                        return Err(Fault::Surplus);
                    }
                    return match left {
                        Some(0) => self.ended(Whole::Already),
                        Some(missing) => self.ended(Whole::Never(Fault::Truncated(missing))),
                        None => self.ended(Whole::AtTheEnd),
                    };
                };
                let len = bytes.len() as u64;
                *left = left.map(|left| left.saturating_sub(len));
                self.received = self.received.saturating_add(len);
                if self.received > self.config.max_response {
                    return Err(Fault::TooLong);
                }
                Ok(Some(CallerEvent::Body(bytes)))
            }
            State::NoBody(passed) => {
                while let Some(bytes) = self.input.take(u64::MAX) {
                    *passed = passed.saturating_add(bytes.len() as u64);
                }
                if *passed > LET_PASS {
                    return Err(Fault::Surplus);
                }
                self.ended(Whole::Already)
            }
            State::Over => Ok(None),
        }
    }

    /// Nothing is left to look at: what an end means, if there is one.
    fn ended(&self, whole: Whole) -> Result<Option<CallerEvent>, Fault> {
        match (self.end, whole) {
            (None, _) => Ok(None),
            (Some(_), Whole::Already) | (Some(End::Finished), Whole::AtTheEnd) => {
                Ok(Some(CallerEvent::End))
            }
            (Some(End::Finished), Whole::Never(fault)) => Err(fault),
            (Some(End::Reset), _) => Err(Fault::Reset),
            (Some(End::Lost), _) => Err(Fault::Lost),
        }
    }

    fn head(&mut self, header: &Header) -> Result<ResponseHead, Fault> {
        let (status, mut headers) = decode(self.dialect, header)?;
        let status = match status {
            // The original sends a status that nobody set as 0.
            0 if self.dialect == Dialect::Original => 200,
            101 if self.upgrade => 101,
            101 => return Err(Fault::Upgrade),
            200..=999 => u16::try_from(status).unwrap_or_default(),
            _ => return Err(Fault::Status(status)),
        };
        rules::judge_headers(&headers)?;
        let stated = rules::content_length(&headers)?;
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
        self.upgraded = status == 101;
        self.state = match status {
            101 => State::Body(None),
            204 | 304 => State::NoBody(0),
            _ if self.head_only => State::NoBody(0),
            _ => State::Body(stated),
        };
        if self.upgrade && !self.upgraded {
            self.uploading = false;
            self.pending = Some(CallerEvent::StopUpload);
        }
        Ok(ResponseHead { status, headers })
    }
}

fn encode(dialect: Dialect, head: &Head, body: Option<u64>) -> Result<Bytes, Misuse> {
    let len = body.map(i64::try_from).transpose().map_err(|_| Misuse::BodyLength)?;
    let (kind, json) = match (dialect, len) {
        (Dialect::Original, None) => return Err(Misuse::BodyLength),
        (Dialect::Original, Some(len)) => {
            let headers = first_values(&head.headers);
            let headers = headers.iter().map(|(name, value)| (name.as_bytes(), *value));
            let (method, path) = (head.method.as_bytes(), head.path.as_bytes());
            (StreamType::HTTP, meta::request_json(method, path, Some(headers), len))
        }
        (Dialect::Own, len) => {
            let len = len.unwrap_or(-1);
            let json = own_request_json(&head.method, &head.path, &head.headers, len);
            (StreamType::OWN_HTTP, json)
        }
    };
    encode_header(kind, &json).map_err(|_| Misuse::TooLarge)
}

fn decode(dialect: Dialect, header: &Header) -> Result<(i64, Vec<(String, Bytes)>), Fault> {
    match (dialect, header.kind) {
        (Dialect::Original, StreamType::HTTP) => {
            let meta = ResponseMeta::from_json(&header.metadata).map_err(Fault::Metadata)?;
            Ok((meta.status, listed(meta.headers)))
        }
        (Dialect::Own, StreamType::OWN_HTTP) => {
            let meta = OwnResponse::from_json(&header.metadata).map_err(Fault::Metadata)?;
            Ok((meta.status.into(), meta.headers))
        }
        (_, kind) => Err(Fault::Kind(kind)),
    }
}
