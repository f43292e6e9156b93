//! Copies between a stream of a command and a transport, without copying.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use crate::buffers::Buffers;
use crate::chunks::Chunks;
use crate::{Io, StreamReader, StreamWriter};

/// Feeds a command's input from a transport until the transport ends; then the input ends.
///
/// Says how many bytes that were. Dropping the future ends the input behind what was taken.
///
/// It also ends, in order, when the command takes no more input or the session is over.
///
/// # Errors
///
/// What reading said: the rest of the input never reached the command.
pub async fn pump_in<I: Io>(mut from: I, mut to: StreamWriter) -> io::Result<u64> {
    let mut total = 0;
    let mut buffers = Buffers::default();
    while let Some(mut bytes) = poll_fn(|cx| buffers.read(&mut from, cx)).await? {
        while !bytes.is_empty() {
            match poll_fn(|cx| to.poll_write_bytes(cx, &mut bytes)).await {
                Ok(count) => total += count as u64,
                Err(_) => return Ok(total),
            }
        }
    }
    to.finish();
    Ok(total)
}

/// Hands a command's output to a transport until the output ends; then the transport is closed.
///
/// Says how many bytes that were. What has arrived leaves in as few writes as the transport takes.
/// Dropping the future discards the rest of the output.
///
/// # Errors
///
/// What writing said, or how the session was lost before the output had ended.
pub async fn pump_out<I: Io>(mut from: StreamReader, mut to: I) -> io::Result<u64> {
    let mut total = 0;
    let mut chunks = Chunks::default();
    let mut end = None;
    loop {
        poll_fn(|cx| gather(&mut from, cx, &mut chunks, &mut end)).await;
        while !chunks.is_empty() {
            total += poll_fn(|cx| chunks.poll_write(&mut to, cx)).await? as u64;
        }
        if let Some(end) = end.take() {
            end?;
            poll_fn(|cx| to.poll_flush(cx)).await?;
            poll_fn(|cx| to.poll_close(cx)).await?;
            return Ok(total);
        }
    }
}

/// Ready once there is something: chunks, the end, or an error behind them.
fn gather(
    from: &mut StreamReader,
    cx: &mut Context<'_>,
    chunks: &mut Chunks,
    end: &mut Option<io::Result<()>>,
) -> Poll<()> {
    while chunks.has_room() && end.is_none() {
        match from.poll_chunk(cx) {
            Poll::Ready(Ok(Some(chunk))) => chunks.push(chunk),
            Poll::Ready(Ok(None)) => *end = Some(Ok(())),
            Poll::Ready(Err(error)) => *end = Some(Err(error)),
            Poll::Pending if chunks.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(())
}
