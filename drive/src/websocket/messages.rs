//! Streams and sinks of messages as a [`MessageIo`].

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use trunkline_core::carrier::Violation;
use trunkline_core::mux::Side;
use trunkline_core::{CloseFrame, Message};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::{Role, WebSocketConfig};

use crate::MessageIo;

/// The limits of one WebSocket, in bytes.
///
/// The library allocates its read buffer with the connection and keeps it: ten thousand idle ones
/// cost ten thousand of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message taken in; a larger one ends the connection with the code 1009, by its
    /// head. The largest window in force plus 64 KiB: 4 MiB + 64 KiB.
    pub max_message: usize,
    /// The most that one read takes. 16 KiB.
    pub read_buffer: usize,
    /// Messages below this size wait in the library until the next flush, to leave together.
    /// 16 KiB.
    pub write_buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_message: (4 << 20) + (64 << 10), read_buffer: 16 << 10, write_buffer: 16 << 10 }
    }
}

impl Limits {
    /// The same as the library has it.
    #[must_use]
    pub fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(self.read_buffer)
            .write_buffer_size(self.write_buffer)
            // No message is handed over while another one waits, so that this is never reached: it
            // holds what is gathered and one message, the largest there may be.
            .max_write_buffer_size(self.write_buffer.saturating_add(8 << 20))
            .max_message_size(Some(self.max_message))
            .max_frame_size(Some(self.max_message))
    }
}

/// This side as the library calls it.
#[must_use]
pub const fn role(side: Side) -> Role {
    match side {
        Side::Client => Role::Client,
        Side::Server => Role::Server,
    }
}

/// Any stream and sink of [`Message`]s, as a [`MessageIo`].
///
/// An error of its own becomes an [`io::Error`]; an `io::Error` in a box is taken out of it.
#[derive(Debug)]
pub struct Messages<T>(T);

impl<T> Messages<T> {
    /// Wraps a stream and sink whose WebSocket handshake is done.
    #[must_use]
    pub const fn new(messages: T) -> Self {
        Self(messages)
    }
}

impl<T, E> MessageIo for Messages<T>
where
    T: Stream<Item = Result<Message, E>> + Sink<Message> + Send + Unpin,
    E: Into<Box<dyn StdError + Send + Sync>>,
    <T as Sink<Message>>::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Message>>> {
        Pin::new(&mut self.0).poll_next(cx).map_err(io_error)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_ready(cx).map_err(io_error)
    }

    fn start_send(&mut self, message: Message) -> io::Result<()> {
        Pin::new(&mut self.0).start_send(message).map_err(io_error)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(io_error)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(io_error)
    }
}

fn io_error(error: impl Into<Box<dyn StdError + Send + Sync>>) -> io::Error {
    match error.into().downcast::<io::Error>() {
        Ok(error) => *error,
        Err(other) => io::Error::other(other),
    }
}

/// Reads raw bytes from beneath a WebSocket and drops them; 0 or an error is the end.
pub type Discard<T> = fn(&mut T, &mut Context<'_>) -> Poll<io::Result<usize>>;

/// Raw reads in one call of [`MessageIo::poll_discard`].
const DISCARDS: usize = 64;

/// A WebSocket of the tungstenite family, as a [`MessageIo`].
///
/// It answers pings and closes itself: [`Config::answers_pings`](trunkline_core::carrier::Config)
/// is to be false above it.
#[derive(Debug)]
pub struct Tungstenite<T> {
    ws: T,
    discard: Discard<T>,
    /// Nothing more will be read.
    over: bool,
}

impl<T> Tungstenite<T> {
    /// Wraps a WebSocket stream of tokio-tungstenite or async-tungstenite.
    #[must_use]
    pub const fn new(ws: T, discard: Discard<T>) -> Self {
        Self { ws, discard, over: false }
    }
}

impl<T> MessageIo for Tungstenite<T>
where
    T: Stream<Item = Result<tungstenite::Message, tungstenite::Error>>
        + Sink<tungstenite::Message, Error = tungstenite::Error>
        + Send
        + Unpin,
{
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Message>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let message = match ready!(Pin::new(&mut self.ws).poll_next(cx)) {
            Some(Ok(message)) => return Poll::Ready(Some(Ok(from_library(message)))),
            Some(Err(error)) => read_error(error).map(Err),
            None => None,
        };
        self.over = true;
        Poll::Ready(message)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ws).poll_ready(cx).map_err(write_error)
    }

    fn start_send(&mut self, message: Message) -> io::Result<()> {
        match Pin::new(&mut self.ws).start_send(to_library(message)?) {
            // The server's last message, a close that answers the peer's, leaves with this.
            Err(tungstenite::Error::ConnectionClosed) => Ok(()),
            result => result.map_err(write_error),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ws).poll_flush(cx).map_err(write_error)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..DISCARDS {
            if !matches!(ready!((self.discard)(&mut self.ws, cx)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.ws).poll_close(cx) {
            Poll::Ready(Err(tungstenite::Error::AlreadyClosed)) => Poll::Ready(Ok(())),
            result => result.map_err(write_error),
        }
    }
}

fn from_library(message: tungstenite::Message) -> Message {
    match message {
        tungstenite::Message::Binary(bytes) => Message::Binary(bytes),
        tungstenite::Message::Text(text) => Message::Text(text.into()),
        tungstenite::Message::Ping(bytes) => Message::Ping(bytes),
        tungstenite::Message::Pong(bytes) => Message::Pong(bytes),
        tungstenite::Message::Close(frame) => Message::Close(frame.map(|frame| CloseFrame {
            code: frame.code.into(),
            reason: frame.reason.as_str().to_owned(),
        })),
        // It is never read.
        tungstenite::Message::Frame(frame) => Message::Binary(frame.into_payload()),
    }
}

fn to_library(message: Message) -> io::Result<tungstenite::Message> {
    Ok(match message {
        Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
        Message::Text(bytes) => tungstenite::Message::Text(
            bytes.try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        ),
        Message::Ping(bytes) => tungstenite::Message::Ping(bytes),
        Message::Pong(bytes) => tungstenite::Message::Pong(bytes),
        Message::Close(frame) => {
            tungstenite::Message::Close(frame.map(|frame| tungstenite::protocol::CloseFrame {
                code: frame.code.into(),
                reason: frame.reason.into(),
            }))
        }
        _ => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// What went wrong with reading; `None` is the transport's end.
fn read_error(error: tungstenite::Error) -> Option<io::Error> {
    let rule = match error {
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
        // TLS that ended without its own good-bye: no more and no less than a bare end without it.
        tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return None;
        }
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            Violation::TooLarge { length: size, limit: max_size }
        }
        // Text is all that must be UTF-8.
        tungstenite::Error::Utf8(_) => Violation::Text,
        tungstenite::Error::Protocol(_) => Violation::Protocol,
        other => return Some(write_error(other)),
    };
    Some(io::Error::new(io::ErrorKind::InvalidData, rule))
}

fn write_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            io::ErrorKind::BrokenPipe.into()
        }
        other => io::Error::other(other),
    }
}
