//! Streams whose first bytes say what they are.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::mux::StreamEnd;
use trunkline_core::tunnel::http::End;
use trunkline_core::tunnel::{Header, HeaderDecoder, StreamType, encode_header};

use super::time::within;
use crate::Runtime;
use crate::mux::{Connection, MuxError, Stream};

/// A stream of a tunnel, shared by whoever works on its two directions.
pub(crate) type Shared = Arc<Stream>;

/// How a stream ended, by the error of a read.
pub(crate) fn end_of(error: &io::Error) -> End {
    match MuxError::of(error) {
        Some(MuxError::Connection(_) | MuxError::Stream(StreamEnd::Connection(_))) => End::Lost,
        _ => End::Reset,
    }
}

/// Opens a stream and writes its header.
pub(crate) async fn open<R: Runtime>(
    connection: &Connection<R>,
    kind: StreamType,
    metadata: &[u8],
) -> io::Result<Stream> {
    let header = encode_header(kind, metadata).map_err(bad_input)?;
    let stream = connection.open_stream().await?;
    write_all(&stream, header).await?;
    Ok(stream)
}

/// Writes all of it, without a copy.
pub(crate) async fn write_all(stream: &Stream, mut data: Bytes) -> io::Result<()> {
    while !data.is_empty() {
        poll_fn(|cx| stream.poll_put(cx, &mut data)).await?;
    }
    Ok(())
}

/// The next bytes of a stream; `None` at its end.
pub(crate) async fn read(stream: &Stream) -> io::Result<Option<Bytes>> {
    poll_fn(|cx| stream.poll_chunk(cx)).await
}

/// Reads the header that a stream begins with; behind it stands what came along.
///
/// # Errors
///
/// When it is not whole within the time, is none, or the stream ends badly.
pub(crate) async fn read_header<R: Runtime>(
    stream: &Stream,
    limit: Duration,
) -> io::Result<(Header, Bytes)> {
    let read = async {
        let mut decoder = HeaderDecoder::new();
        loop {
            let Some(mut bytes) = read(stream).await? else {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, decoder.end()));
            };
            if let Some(header) = decoder.feed(&mut bytes).map_err(bad_data)? {
                return Ok((header, bytes));
            }
        }
    };
    within::<R, _>(limit, read).await.unwrap_or_else(|| Err(late_header()))
}

/// The error of a header that did not come in time.
pub(crate) fn late_header() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the header of a stream did not come in time")
}

pub(crate) fn bad_data(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

pub(crate) fn bad_input(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
