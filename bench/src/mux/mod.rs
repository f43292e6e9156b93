//! Multiplexers as this benchmark sees them, and what is done with them.
//!
//! A subject implements [`Mux`] and [`Stream`]; [`scenario::run`] does the rest, the same for all.

pub mod count;
pub mod frames;
pub mod ours;
pub mod own;
pub mod queue;
pub mod raw;
pub mod runtime;
pub mod scenario;
pub mod simlink;
pub mod spec;
pub mod transport;
pub mod websocket;
pub mod wires;

mod alone;
mod idle;
mod latency;

use std::future::Future;
use std::io;

use bytes::Bytes;

/// Bytes that a subject's stream may read into, where it does not hand out buffers of its own.
pub const SCRATCH: usize = 64 << 10;

/// One end of a multiplexed connection; both ends stand in one process.
///
/// Whatever has to run beside it runs in tasks that were spawned when it was made.
pub trait Mux: Clone + Send + Sync + 'static {
    /// One of its streams.
    type Stream: Stream;

    /// Whether each stream leaves a port of the system behind for a while.
    const PORT_EACH: bool = false;

    /// Opens a stream.
    fn open(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The next stream of the other end. Several tasks may wait at once.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// One end of a stream.
pub trait Stream: Send + 'static {
    /// Whether one direction can end while the other goes on.
    fn half_close(&self) -> bool {
        true
    }

    /// Writes all of it, by the cheapest call there is for bytes that are already shared.
    fn write(&mut self, bytes: &Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// Reads some, by the cheapest call there is; 0 at the end. `scratch` is for those who copy.
    fn read(&mut self, scratch: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Ends this end's direction.
    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Reads exactly so many bytes, or fails.
pub(crate) async fn read_exact<S: Stream>(
    stream: &mut S,
    scratch: &mut [u8],
    count: usize,
) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        match stream.read(scratch).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            some => left = left.checked_sub(some).ok_or(io::ErrorKind::InvalidData)?,
        }
    }
    Ok(())
}

/// Reads to the end; how much came.
pub(crate) async fn read_to_end<S: Stream>(stream: &mut S, scratch: &mut [u8]) -> io::Result<u64> {
    let mut total = 0;
    loop {
        match stream.read(scratch).await? {
            0 => return Ok(total),
            some => total += some as u64,
        }
    }
}
