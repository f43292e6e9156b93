//! One WebSocket message, as machines and transports hand it over.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;

/// One WebSocket message, whole.
///
/// Fragments, masks, reserved bits and the UTF-8 of text are the WebSocket library's business: what
/// reaches a machine has passed it. `Debug` shows lengths, never contents.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A binary message.
    Binary(Bytes),
    /// A text message; its bytes are not checked to be UTF-8 again.
    Text(Bytes),
    /// A ping, with at most 125 bytes that the pong repeats.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// The close: the last message of its direction, with or without a code.
    Close(Option<CloseFrame>),
}

/// The code and the text of a [`Message::Close`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code: 1000 is the orderly end.
    pub code: u16,
    /// The text, at most 123 bytes on the wire; the peer's is not escaped: do so before showing it.
    pub reason: String,
}

impl Message {
    /// The message's payload in bytes, as far as limits count it; of a close that of its text.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Binary(bytes) | Self::Text(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => {
                bytes.len()
            }
            Self::Close(frame) => frame.as_ref().map_or(0, |frame| frame.reason.len()),
        }
    }

    /// Whether it carries no payload.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Text(bytes) => write!(f, "Text({} bytes)", bytes.len()),
            Self::Ping(bytes) => write!(f, "Ping({} bytes)", bytes.len()),
            Self::Pong(bytes) => write!(f, "Pong({} bytes)", bytes.len()),
            Self::Close(frame) => f.debug_tuple("Close").field(frame).finish(),
        }
    }
}
