//! Frames on terminals of our own dialect: `docs/protocols/agent-tunnel.md` section 12.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::tunnel::json::names;
use crate::tunnel::meta::fields;
use crate::tunnel::quote::{number, quote};

const DATA: u8 = 0;
const RESIZE: u8 = 1;
const EXIT: u8 = 2;

/// Bytes before a payload.
const HEAD: usize = 3;

/// One frame, or a piece of one with data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnFrame {
    /// Bytes of the terminal. A frame that arrives in pieces is told in pieces.
    Data(Bytes),
    /// The window has a new size; to the agent.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// How the command ended; from the agent, the last frame.
    Exit(OwnExit),
}

/// How the command on a terminal ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnExit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started, or what became of it is not known; why.
    Error(String),
}

/// Why a stream is no sequence of frames; reset it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnFrameError {
    /// A resize that has not four bytes.
    Resize,
    /// An exit that says nothing that is known.
    Exit,
    /// The stream ended within a frame.
    Torn,
}

impl fmt::Display for OwnFrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resize => "a resize that has not four bytes",
            Self::Exit => "an exit that says nothing that is known",
            Self::Torn => "the stream ended within a frame",
        })
    }
}

impl core::error::Error for OwnFrameError {}

impl OwnFrame {
    /// The frame's bytes. Data of more than 65,535 bytes is cut into several frames.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Data(bytes) => {
                let mut out = BytesMut::with_capacity(bytes.len() + HEAD);
                for part in bytes.chunks(usize::from(u16::MAX)) {
                    put(DATA, part, &mut out);
                }
                out.freeze()
            }
            Self::Resize { cols, rows } => {
                let mut payload = [0; 4];
                payload.as_mut_slice().put_u16(*cols);
                if let Some(mut rest) = payload.get_mut(2..) {
                    rest.put_u16(*rows);
                }
                framed(RESIZE, &payload)
            }
            Self::Exit(exit) => framed(EXIT, &exit.to_json()),
        }
    }

    /// The three bytes in front of a payload of `len` bytes of data, for who writes the payload
    /// without copying it.
    #[must_use]
    pub fn data_head(len: u16) -> [u8; HEAD] {
        let [high, low] = len.to_be_bytes();
        [DATA, high, low]
    }
}

impl OwnExit {
    /// The JSON text: `{"code":n}`, `{"signal":n}` or `{"error":"text"}`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        match self {
            Self::Code(code) => {
                json.extend_from_slice(b"{\"code\":");
                number(code, &mut json);
            }
            Self::Signal(signal) => {
                json.extend_from_slice(b"{\"signal\":");
                number(signal, &mut json);
            }
            Self::Error(text) => {
                json.extend_from_slice(b"{\"error\":");
                // A frame has room for 65,535 bytes, and an escape takes six for one.
                let bytes = text.as_bytes();
                quote(bytes.get(..10_000).unwrap_or(bytes), &mut json);
            }
        }
        json.push(b'}');
        json
    }

    /// Reads a JSON text; an error counts before a signal, a signal before a code.
    ///
    /// # Errors
    ///
    /// [`OwnFrameError::Exit`] where it has none of the three.
    pub fn from_json(text: &[u8]) -> Result<Self, OwnFrameError> {
        let (mut code, mut signal, mut error) = (None, None, None);
        fields(text, |reader, key| {
            if names(&key, "code") {
                code = reader.integer("code")?;
            } else if names(&key, "signal") {
                signal = reader.integer("signal")?;
            } else if names(&key, "error") {
                error = reader.string("error")?.map(Cow::into_owned);
            } else {
                reader.skip()?;
            }
            Ok(())
        })
        .map_err(|_| OwnFrameError::Exit)?;
        error
            .map(Self::Error)
            .or(signal.map(Self::Signal))
            .or(code.map(Self::Code))
            .ok_or(OwnFrameError::Exit)
    }
}

fn framed(kind: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD + payload.len());
    put(kind, payload, &mut out);
    out.freeze()
}

fn put(kind: u8, payload: &[u8], out: &mut BytesMut) {
    out.put_u8(kind);
    out.put_u16(u16::try_from(payload.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(payload);
}

/// Reads frames out of the pieces in which they arrive; data is never copied. Frames of a kind that
/// nobody knows are skipped.
#[derive(Debug, Default)]
pub struct OwnFrames {
    head: [u8; HEAD],
    have: usize,
    /// The payload so far, where it is no data.
    payload: BytesMut,
    /// Bytes of payload that are to come.
    left: usize,
}

impl OwnFrames {
    /// A reader that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next frame, or piece of data, off `input`; `None` when it is used up.
    ///
    /// # Errors
    ///
    /// See [`OwnFrameError`]; the reader is of no use behind one.
    pub fn feed(&mut self, input: &mut Bytes) -> Result<Option<OwnFrame>, OwnFrameError> {
        loop {
            if self.have < HEAD {
                let missing = self.head.get_mut(self.have..).unwrap_or_default();
                let front = input.split_to(missing.len().min(input.len()));
                for (to, from) in missing.iter_mut().zip(&front) {
                    *to = *from;
                }
                self.have += front.len();
                if self.have < HEAD {
                    return Ok(None);
                }
                let [_, high, low] = self.head;
                self.left = usize::from(u16::from_be_bytes([high, low]));
            }
            let [kind, ..] = self.head;
            let part = input.split_to(self.left.min(input.len()));
            self.left = self.left.saturating_sub(part.len());
            let ends = self.left == 0;
            if ends {
                self.have = 0;
            }
            match kind {
                DATA if !part.is_empty() => return Ok(Some(OwnFrame::Data(part))),
                RESIZE | EXIT => self.payload.extend_from_slice(&part),
                _ => {}
            }
            if !ends {
                return Ok(None);
            }
            let payload = core::mem::take(&mut self.payload);
            match kind {
                RESIZE => {
                    let Ok([c, o, r, w]) = <[u8; 4]>::try_from(payload.as_ref()) else {
                        return Err(OwnFrameError::Resize);
                    };
                    let (cols, rows) = (u16::from_be_bytes([c, o]), u16::from_be_bytes([r, w]));
                    return Ok(Some(OwnFrame::Resize { cols, rows }));
                }
                EXIT => return OwnExit::from_json(&payload).map(|exit| Some(OwnFrame::Exit(exit))),
                _ => {}
            }
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    ///
    /// [`OwnFrameError::Torn`] within a frame.
    pub fn end(&self) -> Result<(), OwnFrameError> {
        if self.have == 0 { Ok(()) } else { Err(OwnFrameError::Torn) }
    }
}
