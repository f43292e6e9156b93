//! Reads recordings: `docs/protocols/agentproto.md` section 12.

use std::fmt;
use std::io::{self, Read};

use bytes::BytesMut;
use trunkline_core::agentproto::{Config, Damage, Placed, Playback};

/// Room for one read.
const READ: usize = 64 << 10;

/// The records of a recording, read step by step from a file or anything else.
///
/// An iterator. A file that is cut or damaged gives all its whole records, then one error that says
/// where and why it ends, and then nothing more. Memory is bounded by the largest record; reading
/// blocks.
#[derive(Debug)]
pub struct Records<R> {
    reader: R,
    playback: Playback,
    buffer: BytesMut,
    ended: bool,
    failed: bool,
}

/// Why nothing more can be read of a recording.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It is cut or damaged.
    Damage(Damage),
    /// It could not be read.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damage(damage) => damage.fmt(f),
            Self::Io(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl<R: Read> Records<R> {
    /// The records of what this reader gives, which needs no buffer of its own.
    pub fn new(reader: R) -> Self {
        Self::with_config(reader, &Config::default())
    }

    /// The same with other limits, or another acceptance.
    pub fn with_config(reader: R, config: &Config) -> Self {
        let playback = Playback::new(config);
        Self { reader, playback, buffer: BytesMut::new(), ended: false, failed: false }
    }

    /// Offset of what is read next; at the end the size of what was read whole.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.playback.position()
    }

    fn read(&mut self) -> io::Result<()> {
        if self.buffer.len() < READ {
            self.buffer.resize(READ, 0);
        }
        let count = loop {
            match self.reader.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if count == 0 {
            self.ended = true;
            self.playback.finish();
        }
        self.playback.push(self.buffer.split_to(count).freeze());
        Ok(())
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Placed, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let error = match self.playback.poll() {
                Ok(Some(placed)) => return Some(Ok(placed)),
                Ok(None) if self.ended => return None,
                Ok(None) => match self.read() {
                    Ok(()) => continue,
                    Err(error) => ReadError::Io(error),
                },
                Err(damage) => ReadError::Damage(damage),
            };
            self.failed = true;
            return Some(Err(error));
        }
        None
    }
}
