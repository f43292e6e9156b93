//! Frames out of bytes, for tools and tests.

use bytes::Bytes;

use super::frame::{Body, Command, Frame, Head, UPDATE, Update, Version};
use super::scanner::Scanner;
use super::violation::Violation;
use crate::Payload;

/// Turns bytes, cut anywhere, into whole [`Frame`]s.
///
/// Memory stays within one frame and what was pushed and not polled yet. After a violation nothing
/// more is decoded, and every poll says the same.
#[derive(Debug)]
pub struct Decoder {
    scanner: Scanner,
    version: Option<Version>,
    pending: Option<(Head, Payload)>,
    position: u64,
    broken: Option<Violation>,
}

impl Decoder {
    /// A decoder of one version; with `None` the first frame tells which.
    #[must_use]
    pub fn new(version: Option<Version>) -> Self {
        Self { scanner: Scanner::new(), version, pending: None, position: 0, broken: None }
    }

    /// Takes in bytes, of any size and cut anywhere.
    pub fn push(&mut self, bytes: Bytes) {
        if self.broken.is_none() {
            self.scanner.push(bytes);
        }
    }

    /// The next whole frame, `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The rule that the bytes break; the same for ever after.
    pub fn poll(&mut self) -> Result<Option<Frame>, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        if self.pending.is_none() {
            match self.scanner.head(self.version) {
                None => return Ok(None),
                Some(Ok(head)) => {
                    self.version = Some(head.version);
                    self.pending = Some((head, Payload::new()));
                }
                Some(Err(violation)) => {
                    self.broken = Some(violation);
                    return Err(violation);
                }
            }
        }
        if let Some((_, payload)) = &mut self.pending {
            while let Some(piece) = self.scanner.payload(usize::MAX) {
                payload.push(piece);
            }
        }
        if self.scanner.missing() > 0 {
            return Ok(None);
        }
        let Some((head, payload)) = self.pending.take() else { return Ok(None) };
        self.position = self.scanner.position();
        let body = match head.command {
            Command::Syn => Body::Syn,
            Command::Fin => Body::Fin,
            Command::Nop => Body::Nop,
            Command::Psh => Body::Psh(payload),
            Command::Upd => {
                let mut bytes = [0; UPDATE];
                bytes.iter_mut().zip(payload.into_bytes()).for_each(|(to, byte)| *to = byte);
                Body::Upd(Update::parse(bytes))
            }
        };
        Ok(Some(Frame { version: head.version, stream: head.stream, body }))
    }

    /// Where the frame begins that is not whole or is wrong, in bytes from the stream's beginning.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of frames that were not polled yet, and of one that is not whole.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let begun = self.scanner.position().saturating_sub(self.position);
        usize::try_from(begun).unwrap_or(usize::MAX).saturating_add(self.scanner.waiting())
    }
}
