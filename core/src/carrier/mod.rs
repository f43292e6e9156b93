//! The carrier: a byte wire inside WebSocket messages.
//!
//! The rules stand in `docs/protocols/agent-tunnel.md` section 2. The sequence of data messages is
//! one stream of bytes; pings, pongs and closes are the carrier's own. [`Carrier`] is that part
//! alone, for a driver whose machine speaks bytes; [`OverMessages`] makes a message machine of a
//! byte machine.

mod config;
mod outbox;
mod over;
#[cfg(test)]
mod tests;
mod violation;

use alloc::string::{String, ToString};

use bytes::Bytes;

use crate::mux::parts::{Every, earliest};
use crate::{CloseFrame, CloseReason, Instant, Message, TimeoutKind};

pub use config::{BareEnd, Config, Farewell, Grouping, LifeSigns, Pings, Text};
pub use outbox::Outbox;
pub use over::OverMessages;
pub use violation::Violation;

/// The most bytes of a ping, a pong or the text of a close with its code (RFC 6455, 5.5).
const CONTROL: usize = 125;

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// The next bytes of the wire; never none.
    Bytes(Bytes),
    /// Nothing for the wire: a ping, a pong, an empty message, or what came behind the end.
    Nothing,
    /// The peer's direction is over.
    End {
        /// Whether the peer took its leave in order; otherwise bytes may be missing.
        clean: bool,
        /// The code of the close; `None` where it had none, or there was no close.
        code: Option<u16>,
        /// The text of the close, unescaped.
        text: String,
    },
    /// The peer broke a rule; the connection is over, and a close with that code is to be sent.
    Refused(Violation, u16),
}

/// The sans-I/O part of a connection of messages that carries bytes.
///
/// Pings, pongs and closes leave through [`poll_control`](Self::poll_control), at any time between
/// two data messages. Once that gave a close, no message may follow it. Memory is bounded: one
/// pong and one ping wait at most, and of several pings the last is answered.
#[derive(Debug)]
pub struct Carrier {
    config: Config,
    every: Every,
    /// Pings sent so far; the payload of the last one in decimal.
    count: u64,
    ping_due: bool,
    /// Since when a ping has waited for its pong.
    asked: Option<Instant>,
    last_message: Instant,
    pong: Option<Bytes>,
    close: Option<Option<CloseFrame>>,
    /// The own close was begun; over at that time at the latest.
    closing: Option<Instant>,
    reason: Option<CloseReason>,
}

impl Carrier {
    /// A connection whose WebSocket handshake is done.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        let every = match &config.pings {
            Some(pings) if !pings.interval.is_zero() => Every::new(Some(pings.interval)),
            _ => Every::new(None),
        };
        Self {
            config,
            every,
            count: 0,
            ping_due: false,
            asked: None,
            last_message: Instant::ORIGIN,
            pong: None,
            close: None,
            closing: None,
            reason: None,
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Why the connection is over, once it is; sticky. Drain [`poll_control`](Self::poll_control)
    /// before hanging up.
    ///
    /// [`CloseReason::Peer`] is the peer's close with its code (0 without one), or a bare end where
    /// [`BareEnd::Orderly`] says so; [`CloseReason::Eof`] is a loss; [`CloseReason::Local`] follows
    /// on [`close`](Self::close).
    #[must_use]
    pub const fn closed(&self) -> Option<&CloseReason> {
        self.reason.as_ref()
    }

    /// Whether this side's direction has ended: no data message may be sent any more.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.closing.is_some() || self.reason.is_some()
    }

    /// Takes in a message.
    pub fn handle_message(&mut self, now: Instant, message: Message) -> Received {
        self.note(now);
        if self.reason.is_some() {
            return Received::Nothing;
        }
        self.last_message = now;
        match message {
            Message::Binary(bytes) => self.take_data(bytes),
            Message::Text(bytes) => match self.config.text {
                Text::Refused => self.refuse(Violation::Text),
                Text::AsBytes => self.take_data(bytes),
            },
            Message::Ping(bytes) | Message::Pong(bytes) if bytes.len() > CONTROL => {
                self.refuse(Violation::Control { length: bytes.len() })
            }
            Message::Ping(bytes) => {
                if self.config.answers_pings && self.closing.is_none() {
                    self.pong = Some(bytes);
                }
                Received::Nothing
            }
            Message::Pong(bytes) => {
                if *bytes == *self.count.to_string().as_bytes() {
                    self.asked = None;
                }
                Received::Nothing
            }
            Message::Close(frame) => self.take_close(frame),
        }
    }

    /// Notes that the transport ended.
    pub fn handle_eof(&mut self, now: Instant) -> Received {
        self.note(now);
        if self.reason.is_some() {
            return Received::Nothing;
        }
        let clean = self.closing.is_some() || self.config.bare_end == BareEnd::Orderly;
        let reason = match (self.closing, self.config.bare_end) {
            (Some(_), _) => CloseReason::Local,
            (None, BareEnd::Orderly) => CloseReason::Peer { code: 0, text: String::new() },
            (None, BareEnd::Loss) => CloseReason::Eof { mid_frame: false },
        };
        self.end(reason);
        Received::End { clean, code: None, text: String::new() }
    }

    /// Notes that the transport failed; nothing is sent any more.
    pub fn handle_failure(&mut self, now: Instant, os_error: Option<i32>) {
        self.note(now);
        let reason = match self.closing {
            Some(_) => CloseReason::Local,
            None => CloseReason::Transport { os_error },
        };
        self.end(reason);
        (self.pong, self.close, self.ping_due) = (None, None, false);
    }

    /// Ends this side's direction in order, behind every data message that was sent: a close with
    /// the code 1000, and the peer's is awaited. Under [`Farewell::None`] it is over at once.
    pub fn close(&mut self, now: Instant) {
        self.close_with(now, 1000);
    }

    /// As [`close`](Self::close), with another code.
    pub fn close_with(&mut self, now: Instant, code: u16) {
        self.note(now);
        if self.is_closing() {
            return;
        }
        match self.config.close {
            Farewell::None => self.end(CloseReason::Local),
            Farewell::Close1000Wait(wait) => {
                self.closing = Some(now + wait);
                self.close = Some(Some(CloseFrame { code, reason: String::new() }));
                (self.pong, self.ping_due, self.asked) = (None, false, None);
                self.every.stop();
            }
        }
    }

    /// The next ping, pong or close to send, if any.
    pub fn poll_control(&mut self, now: Instant) -> Option<Message> {
        self.note(now);
        if let Some(frame) = self.close.take() {
            return Some(Message::Close(frame));
        }
        if let Some(bytes) = self.pong.take() {
            return Some(Message::Pong(bytes));
        }
        if !self.ping_due {
            return None;
        }
        self.ping_due = false;
        Some(Message::Ping(Bytes::from(self.count.to_string().into_bytes())))
    }

    /// Whether [`poll_control`](Self::poll_control) has something to give.
    #[must_use]
    pub const fn wants_output(&self) -> bool {
        self.close.is_some() || self.pong.is_some() || self.ping_due
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next, if ever; known from the
    /// first call with a time on.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.reason.is_some() {
            return None;
        }
        earliest([self.every.poll_timeout(), self.pong_deadline(), self.closing])
    }

    /// Acts on every deadline that `now` has reached. Where that ends the connection,
    /// [`closed`](Self::closed) says so: a missing pong is [`TimeoutKind::KeepAlive`], a missing
    /// answer to the own close is no fault.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.note(now);
        if self.reason.is_some() {
            return;
        }
        if self.closing.is_some_and(|until| until <= now) {
            return self.end(CloseReason::Local);
        }
        if self.pong_deadline().is_some_and(|at| at <= now) {
            return self.end(CloseReason::Timeout(TimeoutKind::KeepAlive));
        }
        if self.every.fires(now) && self.asked.is_none() {
            self.count = self.count.saturating_add(1);
            self.ping_due = true;
            self.asked = Some(now);
        }
    }

    fn note(&mut self, now: Instant) {
        if self.reason.is_none() && self.closing.is_none() {
            self.every.start(now);
        }
    }

    fn take_data(&mut self, bytes: Bytes) -> Received {
        let (length, limit) = (bytes.len(), self.config.max_message);
        if length > limit {
            self.refuse(Violation::TooLarge { length, limit })
        } else if bytes.is_empty() {
            Received::Nothing
        } else {
            Received::Bytes(bytes)
        }
    }

    fn take_close(&mut self, frame: Option<CloseFrame>) -> Received {
        if let Some(frame) = &frame
            && !is_sendable(frame.code)
        {
            return self.refuse(Violation::CloseCode(frame.code));
        }
        let code = frame.as_ref().map(|frame| frame.code);
        let text = frame.map(|frame| frame.reason).unwrap_or_default();
        let clean = matches!(code, None | Some(1000 | 1001));
        if self.closing.is_some() {
            self.end(CloseReason::Local);
            return Received::End { clean: true, code, text };
        }
        if self.config.answers_pings {
            self.close = Some(code.map(|code| CloseFrame { code, reason: String::new() }));
        }
        let peer = CloseReason::Peer { code: code.map_or(0, i64::from), text: text.clone() };
        self.end(peer);
        Received::End { clean, code, text }
    }

    /// Ends the connection for a rule that the peer broke, whoever found it: what messages are made
    /// of is the WebSocket library's to check.
    pub fn refuse(&mut self, rule: Violation) -> Received {
        if self.reason.is_some() {
            return Received::Nothing;
        }
        let code = rule.close_code();
        if self.config.close != Farewell::None && self.closing.is_none() {
            let reason = rule.to_string();
            self.close = Some(Some(CloseFrame { code, reason }));
        }
        self.end(CloseReason::Violation(crate::Violation::Carrier(rule)));
        Received::Refused(rule, code)
    }

    fn end(&mut self, reason: CloseReason) {
        self.reason.get_or_insert(reason);
        (self.pong, self.ping_due, self.asked, self.closing) = (None, false, None, None);
        self.every.stop();
    }

    fn pong_deadline(&self) -> Option<Instant> {
        let (asked, pings) = self.asked.zip(self.config.pings.as_ref())?;
        let since = match self.config.life_signs {
            LifeSigns::AnyMessage => asked.max(self.last_message),
            LifeSigns::Pongs => asked,
        };
        Some(since + pings.timeout)
    }
}

/// Whether a code may stand in a close (RFC 6455, 7.4).
const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
