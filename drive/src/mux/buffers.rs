//! Buffers that a multiplexed transport is read into, used again once nobody holds what they held.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use crate::Io;

/// Room for one read: more gains nothing, and less is more system calls.
const READ: usize = 128 << 10;

/// Buffers given away that are looked at again. What is read is mostly gone by the next read; a
/// buffer that was used just now is still in the cache, and a new one costs its page faults.
const KEPT: usize = 4;

/// A read below this size is copied out, so that a few bytes never hold a whole buffer.
const SMALL: usize = READ / 4;

/// A read below this size shares memory with others. Whoever keeps such pieces joins them at the
/// end of the turn, so they pin it for no longer.
const TINY: usize = 512;

/// Memory that tiny reads share.
const SHARED: usize = 16 << 10;

/// The buffers of one connection. All their memory is initialized, once, so that they serve
/// transports of every kind without a copy and without zeros for each read.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// The one that is read into.
    next: BytesMut,
    /// Those given away last, newest in front.
    given: VecDeque<Bytes>,
    tiny: BytesMut,
}

impl Buffers {
    /// Reads once; `None` is the end.
    pub(super) fn read(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        if let Some(read) = io.poll_read_chunk(cx) {
            return read.map_ok(|bytes| Some(bytes).filter(|bytes| !bytes.is_empty()));
        }
        if self.next.is_empty() {
            self.next = self.again().unwrap_or_else(|| BytesMut::zeroed(READ));
        }
        let count = ready!(io.poll_read_slice(cx, &mut self.next))?;
        let Some(read) = self.next.get(..count) else {
            // A transport that claims more than it was given room for.
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        };
        Poll::Ready(Ok(match count {
            0 => None,
            1..TINY => {
                if self.tiny.capacity() < count {
                    self.tiny.reserve(SHARED);
                }
                self.tiny.extend_from_slice(read);
                Some(self.tiny.split().freeze())
            }
            TINY..SMALL => Some(Bytes::copy_from_slice(read)),
            _ => {
                let whole = std::mem::take(&mut self.next).freeze();
                let bytes = whole.slice(..count);
                self.given.truncate(KEPT - 1);
                self.given.push_front(whole);
                Some(bytes)
            }
        }))
    }

    /// A buffer given away that nobody holds any more.
    fn again(&mut self) -> Option<BytesMut> {
        let free = self.given.iter().position(Bytes::is_unique)?;
        self.given.remove(free)?.try_into_mut().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;
    use std::task::Waker;

    /// Gives as many bytes as it is told.
    struct Source(usize);

    impl Io for Source {
        fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
            buf.resize(self.0, 7);
            Poll::Ready(Ok(self.0))
        }

        fn poll_read_slice(
            &mut self,
            _: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            assert_eq!(buf.len(), READ);
            if let Some(front) = buf.get_mut(..self.0) {
                front.fill(7);
            }
            Poll::Ready(Ok(self.0))
        }

        fn poll_write(
            &mut self,
            _: &mut Context<'_>,
            _: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    fn read(buffers: &mut Buffers, count: usize) -> Bytes {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(Some(bytes))) = buffers.read(&mut Source(count), &mut cx) else {
            panic!("nothing was read");
        };
        assert_eq!(bytes.len(), count);
        assert!(bytes.iter().all(|byte| *byte == 7));
        bytes
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_it() {
        let mut buffers = Buffers::default();
        let first = read(&mut buffers, READ);
        let at = first.as_ptr();
        let second = read(&mut buffers, READ - 5);
        assert_ne!(second.as_ptr(), at);
        drop(first);
        assert_eq!(read(&mut buffers, READ).as_ptr(), at);
    }

    #[test]
    fn a_part_that_is_held_keeps_its_buffer() {
        let mut buffers = Buffers::default();
        let part = read(&mut buffers, READ).slice(10..20);
        for _ in 0..2 * KEPT {
            let bytes = read(&mut buffers, READ / 2);
            assert!(bytes.as_ptr_range().end <= part.as_ptr() || bytes.as_ptr() > part.as_ptr());
        }
    }

    #[test]
    fn tiny_reads_share_memory_and_use_it_again() {
        let mut buffers = Buffers::default();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..10 * SHARED / 64 {
            seen.insert(read(&mut buffers, 64).as_ptr() as usize / SHARED);
        }
        assert!(seen.len() <= 2, "{} memories", seen.len());
    }

    #[test]
    fn a_transport_that_claims_too_much_is_an_error() {
        let mut buffers = Buffers::default();
        let mut cx = Context::from_waker(Waker::noop());
        let read = buffers.read(&mut Source(READ + 1), &mut cx);
        assert!(matches!(read, Poll::Ready(Err(_))));
    }
}
