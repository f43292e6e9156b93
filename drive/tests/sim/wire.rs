//! Transports that take and give what they like.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use trunkline_drive::Io;

use super::{few, hesitates, wake};

/// What a reader finds behind the last byte it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    End,
    Reset,
}

#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    /// How many bytes may still be read before its fate comes.
    left: usize,
    fate: Fate,
    /// The writer is gone.
    ended: bool,
    /// The reader is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One direction, shared by its two ends.
#[derive(Clone, Debug)]
pub struct Way(Arc<Mutex<Pipe>>);

impl Way {
    fn new(room: usize) -> Self {
        Self(Arc::new(Mutex::new(Pipe {
            bytes: VecDeque::new(),
            room,
            left: usize::MAX,
            fate: Fate::End,
            ended: false,
            abandoned: false,
            reader: None,
            writer: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap()
    }

    /// The reader finds this behind so many bytes.
    pub fn cut(&self, left: usize, fate: Fate) {
        (self.lock().left, self.lock().fate) = (left, fate);
    }

    fn change(&self, change: impl FnOnce(&mut Pipe)) {
        let mut pipe = self.lock();
        change(&mut pipe);
        let wakers = [pipe.reader.take(), pipe.writer.take()];
        drop(pipe);
        wakers.into_iter().for_each(wake);
    }
}

/// One end of a two-way transport.
#[derive(Debug)]
pub struct End {
    reader: Way,
    writer: Way,
}

/// A transport: its two ends, and the ways from the first to the second and back.
pub fn wire(room: usize) -> (End, End, [Way; 2]) {
    let (up, down) = (Way::new(room), Way::new(room));
    let near = End { reader: down.clone(), writer: up.clone() };
    let far = End { reader: up.clone(), writer: down.clone() };
    (near, far, [up, down])
}

impl Io for End {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        if hesitates(cx) {
            return Poll::Pending;
        }
        let mut pipe = self.reader.lock();
        if pipe.left == 0 {
            return Poll::Ready(match pipe.fate {
                Fate::End => Ok(0),
                Fate::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            });
        }
        let most = pipe.bytes.len().min(pipe.left).min(buf.capacity() - buf.len());
        if most == 0 {
            if pipe.ended {
                return Poll::Ready(Ok(0));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = few(most).min(most);
        buf.extend(pipe.bytes.drain(..count));
        pipe.left -= count;
        let waker = pipe.writer.take();
        drop(pipe);
        wake(waker);
        Poll::Ready(Ok(count))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if hesitates(cx) {
            return Poll::Pending;
        }
        let mut pipe = self.writer.lock();
        if pipe.ended || pipe.abandoned {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = pipe.room - pipe.bytes.len();
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = few(room).min(room);
        let before = pipe.bytes.len();
        let taken = bufs.iter().flat_map(|buf| buf.iter().copied()).take(most);
        pipe.bytes.extend(taken);
        let count = pipe.bytes.len() - before;
        let waker = pipe.reader.take();
        drop(pipe);
        wake(waker);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if hesitates(cx) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if hesitates(cx) {
            return Poll::Pending;
        }
        self.writer.change(|pipe| pipe.ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.writer.change(|pipe| pipe.ended = true);
        self.reader.change(|pipe| pipe.abandoned = true);
    }
}
