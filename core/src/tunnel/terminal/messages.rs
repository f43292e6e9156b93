//! The original's terminal messages: `docs/protocols/agent-tunnel.md` section 7.

use alloc::format;
use alloc::vec::Vec;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::tunnel::MetaError;
use crate::tunnel::json::names;
use crate::tunnel::meta::fields;

/// The longest message, in bytes, kind included: what the original's agent reads at once.
pub const MAX_MESSAGE: usize = 4096;

const DATA: u8 = 0;
const CONTROL: u8 = 1;

/// Which end a message is for; the original's two ends judge kinds differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Towards {
    /// For the agent, which takes all that is no control message for input.
    Agent,
    /// For the stream's opener, which shows output and drops all else.
    Opener,
}

/// Where one message ends and the next begins: the wire has no lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Boundaries {
    /// One Data frame is one message.
    #[default]
    Frames,
    /// What one read brought is one message, as in the original, which loses bytes where messages
    /// merge or are split.
    Reads,
}

/// A message of a terminal stream, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Bytes of the terminal.
    Data(Bytes),
    /// The window has a new size.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
}

/// Makes messages; each is to be written as one Data frame, in one write, with nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Splitter;

impl Splitter {
    /// A splitter.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Takes up to 4095 bytes off `input` and gives them as a message; `None` when it is empty.
    pub fn data(&mut self, input: &mut Bytes) -> Option<Bytes> {
        if input.is_empty() {
            return None;
        }
        let part = input.split_to(input.len().min(MAX_MESSAGE - 1));
        let mut message = BytesMut::with_capacity(1 + part.len());
        message.put_u8(DATA);
        message.extend_from_slice(&part);
        Some(message.freeze())
    }

    /// The message that tells the agent the size of the window.
    #[must_use]
    pub fn resize(&self, cols: u16, rows: u16) -> Bytes {
        format!("\u{1}{{\"type\":\"resize\",\"cols\":{cols},\"rows\":{rows}}}").into()
    }
}

/// Takes messages apart again, of the pieces in which they arrive; output is never copied.
#[derive(Debug)]
pub struct Joiner {
    towards: Towards,
    boundaries: Boundaries,
    /// The kind of the message that has begun.
    kind: Option<u8>,
    /// A control message; longer than any that is known, it is dropped whole.
    control: Vec<u8>,
}

impl Joiner {
    /// Reads messages that are for `towards`.
    #[must_use]
    pub const fn new(towards: Towards, boundaries: Boundaries) -> Self {
        Self { towards, boundaries, kind: None, control: Vec::new() }
    }

    /// Takes a piece that was read, all of it of one Data frame; `ends` says that it goes up to the
    /// frame's end. Read no more at once than
    /// [`Mux::frame_left`](crate::mux::Mux::frame_left) says; then it ends the frame where it is as
    /// long as that.
    ///
    /// `None` where the piece holds nothing to tell: an empty one, a part of a control message, or
    /// one that nobody knows.
    pub fn feed(&mut self, mut piece: Bytes, ends: bool) -> Option<Message> {
        if piece.is_empty() {
            return None;
        }
        let kind = match self.kind {
            Some(kind) => kind,
            None => *piece.split_to(1).first()?,
        };
        let ends = ends || self.boundaries == Boundaries::Reads;
        self.kind = if ends { None } else { Some(kind) };
        match (self.towards, kind) {
            (_, DATA) | (Towards::Agent, 2..) => {
                (!piece.is_empty()).then_some(Message::Data(piece))
            }
            (Towards::Agent, CONTROL) => {
                let room = MAX_MESSAGE.saturating_sub(self.control.len());
                // One byte too many tells that it is too long.
                self.control.extend(piece.iter().take(room));
                if !ends {
                    return None;
                }
                let text = core::mem::take(&mut self.control);
                if text.len() >= MAX_MESSAGE {
                    return None;
                }
                resize(&text).ok().flatten()
            }
            (Towards::Opener, _) => None,
        }
    }
}

fn resize(text: &[u8]) -> Result<Option<Message>, MetaError> {
    let (mut is_resize, mut cols, mut rows) = (false, 0, 0);
    fields(text, |reader, key| {
        let field = ["type", "cols", "rows"].into_iter().find(|field| names(&key, field));
        let Some(field) = field else { return reader.skip() };
        if reader.null()? {
            return Ok(());
        }
        match field {
            "type" => {
                if let Some(text) = reader.string(field)? {
                    is_resize = text == "resize";
                }
            }
            "cols" => cols = reader.integer(field)?.unwrap_or(cols),
            _ => rows = reader.integer(field)?.unwrap_or(rows),
        }
        Ok(())
    })?;
    Ok(is_resize.then_some(Message::Resize { cols, rows }))
}
