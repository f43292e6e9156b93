//! Brings the content of one large file here: many requests in flight, written in order.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use trunkline_core::Payload;
use trunkline_core::agentproto::Stat;

use super::context::{Context, Handle};
use super::crowd::Crowd;
use super::get::Source;
use super::local;
use super::options::TransferError;
use super::read::Content;
use super::room::Permit;
use super::window::Window;
use crate::Runtime;

/// Pieces begin at multiples of this, so that blocks of zeros are seen whole.
const ALIGNED: u64 = 64 << 10;

/// As much may wait to be written without being a sign of a disk that is slower than the link.
const WAITING: usize = 4 << 20;

/// What must not happen to a file meanwhile.
pub(super) const CHANGED: &str = "it changed while it was read";

struct Piece {
    content: Content,
    permit: Permit,
}

enum Event {
    Read(u64, Duration, Piece),
    Wrote(usize),
    Checked(Stat),
}

/// One file on its way.
///
/// Answers come in any order and are written in that of the file: so the size of what is written
/// tells how much of it is whole, whatever ends the transfer, and going on needs no other record.
struct Fetch {
    window: Window,
    /// The next byte to ask for.
    next: u64,
    /// The next byte to write.
    written: u64,
    /// Bytes asked for and not written.
    under_way: usize,
    /// Requests not answered.
    unanswered: usize,
    /// Bytes answered and not written.
    unwritten: usize,
    /// Answered, and waiting for their turn.
    ready: BTreeMap<u64, Piece>,
    writing: bool,
}

/// Brings everything from `start` to the end of the file, whose attributes must stay as they are.
pub(super) async fn fetch<R: Runtime>(
    cx: &Context<'_, R>,
    handle: &Handle<'_, R>,
    source: &Source,
    (fd, shown): (&Arc<OwnedFd>, &str),
    start: u64,
) -> Result<(), TransferError> {
    let mut fetch = Fetch {
        window: Window::new(cx.now()),
        next: start,
        written: start,
        under_way: 0,
        unanswered: 0,
        unwritten: 0,
        ready: BTreeMap::new(),
        writing: false,
    };
    let mut crowd = Crowd::new();
    // What the file is in the end: an answer counts when it comes behind all the others.
    let (mut checking, mut checked) = (false, None);
    loop {
        while let Some((at, len)) = fetch.ask(source.size) {
            crowd.push(async move {
                let permit = cx.room.take(len).await;
                let asked = cx.now();
                let content = handle.read(at, len).await?;
                if content.len < len {
                    return Err(TransferError::said(handle.path(), CHANGED));
                }
                let trip = cx.now().saturating_since(asked);
                Ok(Event::Read(at, trip, Piece { content, permit }))
            });
        }
        if fetch.next >= source.size && !checking && checked.is_none() {
            checking = true;
            crowd.push(async move { Ok(Event::Checked(handle.stat().await?)) });
        }
        if let Some((at, pieces)) = fetch.write() {
            let (fd, sparse) = (Arc::clone(fd), cx.options.sparse);
            crowd.push(async move { write(cx, fd, shown, at, pieces, sparse).await });
        }
        let Some(event) = crowd.next().await else { break };
        match event? {
            Event::Read(at, trip, piece) => {
                fetch.window.saw(trip);
                fetch.unanswered -= 1;
                fetch.unwritten += piece.content.len;
                fetch.ready.insert(at, piece);
            }
            Event::Wrote(count) => {
                fetch.writing = false;
                fetch.window.answered(count, cx.now());
                fetch.under_way -= count;
                fetch.unwritten -= count;
                let bytes = count as u64;
                fetch.written += bytes;
                cx.progress(|progress| progress.bytes += bytes);
                cx.count(|summary| summary.bytes += bytes);
            }
            Event::Checked(stat) => {
                checking = false;
                checked = (fetch.unanswered == 0).then_some(stat);
            }
        }
    }
    match checked {
        Some(stat) if source.is_still(&stat) && fetch.written == source.size => Ok(()),
        _ => Err(TransferError::said(handle.path(), CHANGED)),
    }
}

impl Fetch {
    /// What to ask for next, if there is room for more under way.
    fn ask(&mut self, end: u64) -> Option<(u64, usize)> {
        // What a slow disk leaves in memory counts for more, so that it does not fill the window.
        let waiting = self.unwritten.saturating_sub(WAITING) * 3;
        if self.next >= end || !self.window.has_room(self.under_way + waiting) {
            return None;
        }
        let at = self.next;
        let aligned = match usize::try_from(at % ALIGNED) {
            Ok(rest @ 1..) => ALIGNED as usize - rest,
            _ => self.window.chunk(),
        };
        let len = aligned.min(usize::try_from(end - at).unwrap_or(usize::MAX));
        self.next += len as u64;
        self.under_way += len;
        self.unanswered += 1;
        Some((at, len))
    }

    /// What can be written now: all that is there without a gap.
    fn write(&mut self) -> Option<(u64, Vec<Piece>)> {
        if self.writing {
            return None;
        }
        let (mut pieces, mut end) = (Vec::new(), self.written);
        while let Some(piece) = self.ready.remove(&end) {
            end += piece.content.len as u64;
            pieces.push(piece);
        }
        self.writing = !pieces.is_empty();
        self.writing.then_some((self.written, pieces))
    }
}

async fn write<R: Runtime>(
    cx: &Context<'_, R>,
    fd: Arc<OwnedFd>,
    shown: &str,
    at: u64,
    pieces: Vec<Piece>,
    sparse: bool,
) -> Result<Event, TransferError> {
    let done = move || {
        let mut payloads = Vec::new();
        let mut permits = Vec::new();
        let mut wrote = 0;
        for Piece { content, permit } in pieces {
            payloads.extend(content.payloads);
            wrote += content.len;
            permits.push(permit);
        }
        store(&fd, payloads, at, sparse)?;
        // They bound what is in memory, which it is until here.
        drop(permits);
        Ok(Event::Wrote(wrote))
    };
    cx.local(shown, done).await
}

/// Writes what was read, with holes for blocks of zeros if that is wanted.
pub(super) fn store(
    fd: &OwnedFd,
    payloads: Vec<Payload>,
    mut at: u64,
    sparse: bool,
) -> std::io::Result<()> {
    if !sparse {
        return local::write_at(fd, &payloads, at);
    }
    for payload in payloads {
        let bytes = payload.into_bytes();
        local::write_sparse(fd, &bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}
