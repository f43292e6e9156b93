//! Takes the content of one large file to the agent: many requests in flight, holes left out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use trunkline_core::agentproto::{FileOp, FileRequest};

use super::context::{Context, Handle, offset};
use super::crowd::Crowd;
use super::fetch::CHANGED;
use super::local;
use super::options::TransferError;
use super::window::{MOST, Window};
use crate::Runtime;

/// A run of data in a file: from where to where.
type Run = (u64, u64);

/// The next data at or behind a place; `None` when there are only holes.
pub(super) fn next_data(fd: impl AsFd, at: u64, size: u64) -> io::Result<Option<Run>> {
    if at >= size {
        return Ok(None);
    }
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        let from = match rustix::fs::seek(&fd, SeekFrom::Data(at)) {
            Ok(from) => from,
            Err(Errno::NXIO) => return Ok(None),
            // File systems that know of no holes.
            Err(_) => return Ok(Some((at, size))),
        };
        let to = rustix::fs::seek(&fd, SeekFrom::Hole(from)).unwrap_or(size);
        Ok((from < size).then_some((from.max(at), to.min(size))))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let _ = fd;
        Ok(Some((at, size)))
    }
}

/// How much of what was put is whole for sure when the agent has `there` bytes of it.
///
/// Requests reach at most [`MOST`] bytes of data beyond the first that is not confirmed. Whatever the
/// order was in which the agent wrote, only that much at the end can have gaps.
pub(super) fn whole(fd: impl AsFd, there: u64) -> io::Result<u64> {
    let (mut last, mut behind, mut at) = (VecDeque::<Run>::new(), 0, 0);
    while let Some((from, to)) = next_data(&fd, at, there)? {
        last.push_back((from, to));
        behind += to - from;
        at = to;
        while let Some((from, to)) = last.front().copied()
            && behind - (to - from) >= MOST as u64
        {
            last.pop_front();
            behind -= to - from;
        }
    }
    // Holes behind the last data were never written, and may be wherever the end is.
    Ok(match last.front() {
        Some((from, _)) if behind >= MOST as u64 => from + (behind - MOST as u64),
        _ => 0,
    })
}

/// A request whose bytes are not confirmed, or not all before it.
struct Sent {
    at: u64,
    len: usize,
    confirmed: bool,
}

/// Takes everything from `start` to the end of the local file over; says where its data ends.
pub(super) async fn send<R: Runtime>(
    cx: &Context<'_, R>,
    handle: &Handle<'_, R>,
    (fd, shown): (&Arc<OwnedFd>, &str),
    size: u64,
    start: u64,
) -> Result<u64, TransferError> {
    let mut window = Window::new(cx.now());
    let mut crowd = Crowd::new();
    // From the first that is not confirmed to the last that was asked for: what may have gaps.
    let (mut sent, mut open) = (VecDeque::<Sent>::new(), 0);
    let (mut next, mut run, mut ended) = (start, (start, start), false);
    loop {
        while !ended && window.has_room(open) {
            if next >= run.1 {
                let fd = Arc::clone(fd);
                let found = cx.local(shown, move || next_data(&fd, next, size)).await?;
                let skipped = found.map_or(size, |(from, _)| from) - next;
                cx.progress(|progress| progress.bytes += skipped);
                let Some(found) = found else {
                    ended = true;
                    break;
                };
                (run, next) = (found, found.0);
            }
            let left = usize::try_from(run.1 - next).unwrap_or(usize::MAX);
            let (at, len) = (next, window.chunk().min(left));
            crowd.push(async move {
                let _permit = cx.room.take(len).await;
                let bytes = read(cx, fd, shown, at, len).await?;
                let asked = cx.now();
                handle.write(at, bytes).await?;
                Ok::<_, TransferError>((at, len, cx.now().saturating_since(asked)))
            });
            sent.push_back(Sent { at, len, confirmed: false });
            open += len;
            next += len as u64;
        }
        let Some(confirmed) = crowd.next().await else { return Ok(run.1) };
        let (at, len, trip) = confirmed?;
        window.saw(trip);
        window.answered(len, cx.now());
        cx.progress(|progress| progress.bytes += len as u64);
        cx.count(|summary| summary.bytes += len as u64);
        if let Ok(place) = sent.binary_search_by_key(&at, |sent| sent.at)
            && let Some(sent) = sent.get_mut(place)
        {
            sent.confirmed = true;
        }
        while sent.front().is_some_and(|first| first.confirmed) {
            open -= sent.pop_front().map_or(0, |first| first.len);
        }
    }
}

async fn read<R: Runtime>(
    cx: &Context<'_, R>,
    fd: &Arc<OwnedFd>,
    shown: &str,
    at: u64,
    len: usize,
) -> Result<Bytes, TransferError> {
    let (fd, buffers) = (Arc::clone(fd), cx.buffers.clone());
    let unsent = cx.unsent.take(len).await;
    let read = cx.local(shown, move || {
        let mut buffer = buffers.take();
        let count = local::read_at(&fd, &mut buffer, len, at)?;
        Ok((buffers.lend(buffer, unsent), count))
    });
    let (bytes, count) = read.await?;
    if count < len {
        return Err(TransferError::said(shown, CHANGED));
    }
    Ok(bytes)
}

impl<R: Runtime> Handle<'_, R> {
    /// Writes all of it. The bytes are let go as soon as they have left.
    pub(super) async fn write(&self, at: u64, bytes: Bytes) -> Result<(), TransferError> {
        let len = bytes.len();
        if len == 0 {
            return Ok(());
        }
        let (op, data) = (FileOp::WRITE_AT, bytes.into());
        let request = FileRequest { op, offset: offset(at), data, ..Default::default() };
        match self.ask(request).await?.count {
            count if usize::try_from(count) == Ok(len) => Ok(()),
            // An agent that could not write all of it has to say why.
            _ => Err(TransferError::said(self.path(), "the agent wrote only a part of it")),
        }
    }
}
