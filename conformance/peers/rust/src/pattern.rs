//! The bytes that every peer sends, and every receiver compares.

use std::sync::OnceLock;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{Run, Trouble};

const PERIOD: usize = 65_521;
pub(crate) const CHUNK: usize = 256 << 10;

/// The table, often enough that a chunk from anywhere is one slice of it.
fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut x = 1_u32;
        let once = std::iter::repeat_with(|| {
            x = x.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            (x >> 24) as u8
        });
        let once: Vec<u8> = once.take(PERIOD).collect();
        once.repeat(CHUNK / PERIOD + 2)
    })
}

/// So many bytes of the direction with this salt, from an offset on; at most a chunk.
fn expected(salt: u64, offset: u64, len: usize) -> &'static [u8] {
    let start = (offset + salt * 257) % PERIOD as u64;
    &table()[start as usize..][..len]
}

impl Run {
    /// Writes so many bytes of a salt.
    pub(crate) async fn send<W>(&self, to: &mut W, salt: u64, total: u64) -> Result<(), Trouble>
    where
        W: AsyncWrite + Unpin,
    {
        let mut offset = 0;
        while offset < total {
            let len = (total - offset).min(CHUNK as u64) as usize;
            let written = to.write(expected(salt, offset, len)).await;
            let written = written.map_err(Trouble::io("writing", offset))?;
            if written == 0 {
                return Err(Trouble::Other(format!("nothing more was taken at {offset}")));
            }
            self.count_sent(written);
            offset += written as u64;
        }
        to.flush().await.map_err(Trouble::io("flushing", offset))
    }

    /// Reads so many bytes of a salt, compares each, and tells `seen` after each read how many came.
    pub(crate) async fn take<R>(
        &self,
        from: &mut R,
        salt: u64,
        total: u64,
        mut seen: impl FnMut(u64),
    ) -> Result<(), Trouble>
    where
        R: AsyncRead + Unpin,
    {
        let mut buffer = vec![0; total.clamp(1, CHUNK as u64) as usize];
        let mut offset = 0;
        while offset < total {
            let room = (total - offset).min(buffer.len() as u64) as usize;
            let len = from.read(&mut buffer[..room]).await;
            let len = len.map_err(Trouble::io("reading", offset))?;
            if len == 0 {
                return Err(Trouble::End { at: offset, of: total });
            }
            if buffer[..len] != *expected(salt, offset, len) {
                return Err(Trouble::Wrong { at: offset, len });
            }
            self.count_received(len);
            offset += len as u64;
            seen(offset);
        }
        Ok(())
    }

    /// Sends back what comes, until the end.
    pub(crate) async fn echo<S>(&self, stream: &mut S) -> Result<(), Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut buffer = vec![0; 64 << 10];
        let mut offset = 0;
        loop {
            let len = stream.read(&mut buffer).await.map_err(Trouble::io("reading", offset))?;
            if len == 0 {
                return Ok(());
            }
            self.count_received(len);
            stream.write_all(&buffer[..len]).await.map_err(Trouble::io("echoing", offset))?;
            stream.flush().await.map_err(Trouble::io("flushing", offset))?;
            self.count_sent(len);
            offset += len as u64;
        }
    }
}

/// Reads the end of a stream.
pub(crate) async fn take_end<R: AsyncRead + Unpin>(from: &mut R) -> Result<(), Trouble> {
    match from.read(&mut [0]).await.map_err(Trouble::io("reading the end", 0))? {
        0 => Ok(()),
        _ => Err(Trouble::Other("more bytes instead of the end".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_begins_as_the_page_says() {
        assert_eq!(expected(0, 0, 3), [0x41, 0x96, 0x27]);
    }

    #[test]
    fn a_salt_is_an_offset_and_the_table_repeats() {
        assert_eq!(expected(1, 0, CHUNK), expected(0, 257, CHUNK));
        assert_eq!(expected(3, PERIOD as u64 - 1, CHUNK), expected(0, 770, CHUNK));
    }
}
