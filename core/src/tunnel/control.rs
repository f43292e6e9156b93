//! What an agent tells about itself, as it arrives: `docs/protocols/agent-tunnel.md` section 8.

use core::fmt;

use bytes::{Bytes, BytesMut};

use super::End;

/// The longest document that a control stream may bring, in bytes.
pub const MAX_CONTROL: usize = 1 << 20;

/// Why a control stream brought no document; reset it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CollectError {
    /// It is longer than this side takes.
    TooLong,
    /// The stream was ended by force.
    Reset,
    /// The tunnel was lost.
    Lost,
}

impl fmt::Display for CollectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the document is too long",
            Self::Reset => "the stream was reset by the other side",
            Self::Lost => "the tunnel was lost",
        })
    }
}

impl core::error::Error for CollectError {}

/// Collects the document of one control stream, behind its header, up to the stream's end.
///
/// It knows no time: give up a stream that has not ended after 30 s.
#[derive(Debug)]
pub struct ControlCollector {
    bytes: BytesMut,
    limit: usize,
}

impl Default for ControlCollector {
    fn default() -> Self {
        Self::new(MAX_CONTROL)
    }
}

impl ControlCollector {
    /// Takes at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), limit }
    }

    /// Takes a piece of the document.
    ///
    /// # Errors
    ///
    /// [`CollectError::TooLong`]; what was collected is gone.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), CollectError> {
        if piece.len() > self.limit.saturating_sub(self.bytes.len()) {
            (self.bytes, self.limit) = (BytesMut::new(), 0);
            return Err(CollectError::TooLong);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The stream has ended: its bytes, raw, which may be none and need not be JSON.
    ///
    /// # Errors
    ///
    /// Where it did not end in order.
    pub fn end(self, end: End) -> Result<Bytes, CollectError> {
        match end {
            End::Finished => Ok(self.bytes.freeze()),
            End::Reset => Err(CollectError::Reset),
            End::Lost => Err(CollectError::Lost),
        }
    }
}
