//! Buffers that transports are read into, used again once nobody holds what they held.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::Io;

/// Room for one read: more gains nothing, and less is more system calls.
pub(crate) const READ: usize = 128 << 10;

/// Buffers given away that are looked at again. What is read is mostly gone by the next read; a
/// buffer that was used just now is still in the cache, and a new one costs its page faults.
const KEPT: usize = 4;

/// The buffers of one reader.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The one that is read into.
    next: Vec<u8>,
    /// Those given away last, newest in front.
    given: VecDeque<Bytes>,
}

impl Buffers {
    /// Reads once; `None` is the end. A small read is copied out of the buffer, so that a few bytes
    /// never hold all of it; a large one takes the buffer along.
    pub(crate) fn read(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        if let Some(read) = io.poll_read_chunk(cx) {
            return read.map_ok(|bytes| Some(bytes).filter(|bytes| !bytes.is_empty()));
        }
        if self.next.capacity() < READ {
            self.next = self.again().unwrap_or_else(|| Vec::with_capacity(READ));
        }
        let count = std::task::ready!(io.poll_read(cx, &mut self.next))?;
        Poll::Ready(Ok(if count == 0 {
            None
        } else if count < READ / 4 {
            let bytes = Bytes::copy_from_slice(&self.next);
            self.next.clear();
            Some(bytes)
        } else {
            let bytes = Bytes::from(std::mem::take(&mut self.next));
            self.given.truncate(KEPT - 1);
            self.given.push_front(bytes.clone());
            Some(bytes)
        }))
    }

    /// A buffer given away that nobody holds any more.
    fn again(&mut self) -> Option<Vec<u8>> {
        let free = self.given.iter().position(Bytes::is_unique)?;
        let mut bytes = self.given.remove(free)?;
        // Turning it back moves what is in it to its front. (Emptying it would let go of it.)
        bytes.truncate(1);
        let mut buffer = Vec::from(bytes);
        buffer.clear();
        Some(buffer).filter(|buffer| buffer.capacity() >= READ)
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
            assert!(buf.is_empty() && buf.capacity() >= self.0);
            buf.resize(self.0, 7);
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
        bytes
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_it() {
        let mut buffers = Buffers::default();
        let first = read(&mut buffers, READ);
        let at = first.as_ptr();
        let second = read(&mut buffers, READ);
        assert_ne!(second.as_ptr(), at);
        drop(first);
        assert_eq!(read(&mut buffers, READ).as_ptr(), at);
        assert!(second.iter().all(|byte| *byte == 7));
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
    fn a_few_bytes_take_no_buffer_along() {
        let mut buffers = Buffers::default();
        let few = read(&mut buffers, 10);
        assert!(few.is_unique());
        assert!(buffers.given.is_empty());
    }
}
