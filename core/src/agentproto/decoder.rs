//! Turns pushed bytes into items: `docs/protocols/agentproto.md` sections 1 and 3.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, Bytes, BytesMut};
use core::marker::PhantomData;

use super::config::{Acceptance, Config};
use super::data::DataView;
use super::encode::{EncodeError, Output};
use super::frame::{Frame, FrameType};
use super::input::{Input, Value};
use super::record::Record;
use super::scan::{Scanner, Top};
use super::violation::Violation;
use super::wire::Message;
use crate::Payload;

/// Chunks smaller than this are copied together while a frame is incomplete, so that a frame that
/// drips in does not cost more bookkeeping than bytes.
const SMALL: usize = 2_048;

/// What a byte stream of this wire consists of: [`Frame`]s, or the [`Record`]s of a recording.
pub trait Item: sealed::Sealed + Default + PartialEq {
    /// The item's one canonical encoding.
    ///
    /// # Errors
    ///
    /// When a list is longer than any receiver takes.
    fn to_bytes(&self) -> Result<Vec<u8>, EncodeError>;
}

mod sealed {
    use super::{Bytes, Frame, Input, Message, Record, Violation};

    /// What the decoder needs of an item and nobody else does.
    pub trait Sealed: Sized {
        #[doc(hidden)]
        fn read(
            &mut self,
            size: Option<usize>,
            input: &mut Opaque<'_, '_>,
        ) -> Result<(), Violation>;

        /// An item that stands at the front of `bytes` in a well-known shape, and its length.
        #[doc(hidden)]
        fn shortcut(_bytes: &Bytes, _limit: usize) -> Option<(Self, usize)> {
            None
        }
    }

    /// Keeps the cursor out of the public interface.
    #[doc(hidden)]
    #[allow(missing_debug_implementations)]
    pub struct Opaque<'a, 'b>(pub(super) &'a mut Input<'b>);

    impl Sealed for Frame {
        fn read(
            &mut self,
            size: Option<usize>,
            input: &mut Opaque<'_, '_>,
        ) -> Result<(), Violation> {
            self.read_map(size, input.0)
        }

        fn shortcut(bytes: &Bytes, limit: usize) -> Option<(Self, usize)> {
            super::canonical_data(bytes, limit)
        }
    }

    impl Sealed for Record {
        fn read(
            &mut self,
            size: Option<usize>,
            input: &mut Opaque<'_, '_>,
        ) -> Result<(), Violation> {
            self.read_map(size, input.0)
        }
    }
}

impl Item for Frame {
    fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        whole(self)
    }
}

impl Item for Record {
    fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        whole(self)
    }
}

fn whole(message: &impl Message) -> Result<Vec<u8>, EncodeError> {
    let mut output = Output::new(false);
    message.write(&mut output);
    output.into_bytes()
}

/// A canonical DATA frame that lies whole at the front of `bytes`: the hot path, a dozen
/// comparisons and one slice. Anything else is left to the general path.
fn canonical_data(bytes: &Bytes, limit: usize) -> Option<(Frame, usize)> {
    let DataView { stream, payload, length } = DataView::at_front(bytes)?;
    if length > limit {
        return None;
    }
    let data = Payload::from(bytes.slice_ref(payload));
    Some((Frame { stream, data, ..Frame::of(FrameType::DATA) }, length))
}

/// Turns pushed bytes into [`Frame`]s or [`Record`]s.
///
/// Push what arrives, of any size and cut anywhere; pull items until there is none. Payloads are
/// slices of what was pushed, never copies. Total work is linear in the bytes pushed, memory is
/// bounded by the frame limit, and an item whose announced size exceeds it is refused from its
/// head. After an error the decoder stays with that error: the wire has no resynchronisation.
///
/// ```
/// use trunkline_core::agentproto::{Config, Decoder, Frame};
///
/// let mut decoder: Decoder<Frame> = Decoder::new(&Config::default());
/// decoder.push(b"\xa2\x61c\x18".as_slice().into());
/// assert_eq!(decoder.poll(), Ok(None));
/// decoder.push(b"\x2a\x61t\x05".as_slice().into());
/// assert_eq!(decoder.poll(), Ok(Some(Frame::exit(42, ""))));
/// ```
#[derive(Debug)]
pub struct Decoder<T> {
    config: Config,
    /// What has not been decoded. The first `scanned` chunks belong to the present item.
    chunks: VecDeque<Bytes>,
    /// For each chunk the memory that it keeps alive, which does not shrink with it.
    sizes: VecDeque<usize>,
    scanned: usize,
    buffered: usize,
    scanner: Scanner,
    position: u64,
    pinned: usize,
    /// Memory that the last item takes, what it keeps alive of the input included.
    cost: usize,
    error: Option<Violation>,
    items: PhantomData<fn() -> T>,
}

impl<T: Item> Decoder<T> {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            scanner: Scanner::new(Top::Message, &config.limits),
            config: config.clone(),
            chunks: VecDeque::new(),
            sizes: VecDeque::new(),
            scanned: 0,
            buffered: 0,
            position: 0,
            pinned: 0,
            cost: 0,
            error: None,
            items: PhantomData,
        }
    }

    /// Takes in what arrived. Ignored after an error.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() && self.error.is_none() {
            self.buffered += bytes.len();
            self.sizes.push_back(bytes.len());
            self.chunks.push_back(bytes);
        }
    }

    /// The next whole item, `None` while it has not arrived whole.
    ///
    /// # Errors
    ///
    /// The rule that the bytes broke; for good, every later call says the same.
    pub fn poll(&mut self) -> Result<Option<T>, Violation> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        self.advance().inspect_err(|error| {
            self.error = Some(error.clone());
            self.chunks = VecDeque::new();
            self.sizes = VecDeque::new();
        })
    }

    /// Offset in the stream of the item that is decoded next, or that broke a rule.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Bytes pushed that belong to no decoded item yet. Not zero at the end of the stream: the
    /// stream was cut inside an item.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.buffered
    }

    /// Size of the largest chunk of the last item: what a piece of its payload keeps in memory.
    pub(super) const fn pinned(&self) -> usize {
        self.pinned
    }

    /// Memory that the last item takes.
    pub(super) const fn cost(&self) -> usize {
        self.cost
    }

    /// The payload of a canonical DATA frame that comes next and lies whole in its chunk, with its
    /// stream: what [`poll`](Self::poll) would give, without building the frame around it.
    #[inline]
    pub(super) fn poll_data(&mut self) -> Option<(u32, Bytes)> {
        if self.scanned > 0 || self.error.is_some() {
            return None;
        }
        let chunk = self.chunks.front_mut()?;
        let DataView { stream, payload, length } = DataView::at_front(chunk)?;
        if length > self.config.limits.frame {
            return None;
        }
        let data = chunk.slice_ref(payload);
        self.pinned = self.sizes.front().copied().unwrap_or_default();
        self.cost = length;
        self.buffered -= length;
        self.position += length as u64;
        if length < chunk.len() {
            chunk.advance(length);
        } else {
            self.chunks.pop_front();
            self.sizes.pop_front();
        }
        Some((stream, data))
    }

    fn advance(&mut self) -> Result<Option<T>, Violation> {
        while let Some(chunk) = self.chunks.get(self.scanned) {
            if self.scanned == 0
                && let Some((item, used)) = T::shortcut(chunk, self.config.limits.frame)
            {
                self.consume(used);
                return Ok(Some(item));
            }
            if let Some(used) = self.scanner.scan(chunk)? {
                let (item, memory) = self.decode(used)?;
                self.consume(used);
                self.cost += memory;
                return Ok(Some(item));
            }
            self.scanned += 1;
            self.join_small();
        }
        Ok(None)
    }

    /// Joins the chunk just scanned to the one before when both are small.
    fn join_small(&mut self) {
        let Some(index) = self.scanned.checked_sub(2) else { return };
        let small = |at: usize| self.chunks.get(at).is_some_and(|chunk| chunk.len() < SMALL);
        if !small(index) || !small(index + 1) {
            return;
        }
        let Some(last) = self.chunks.remove(index + 1) else { return };
        self.sizes.remove(index + 1);
        let Some(slot) = self.chunks.get_mut(index) else { return };
        let mut joined = core::mem::take(slot).try_into_mut().unwrap_or_else(|shared| {
            let mut copy = BytesMut::with_capacity(2 * SMALL);
            copy.extend_from_slice(&shared);
            copy
        });
        joined.extend_from_slice(&last);
        *slot = joined.freeze();
        if let Some(size) = self.sizes.get_mut(index) {
            *size = slot.len();
        }
        self.scanned -= 1;
    }

    /// Drops the scanned chunks and `used` bytes of the one behind them.
    fn consume(&mut self, used: usize) {
        self.pinned = self.sizes.iter().take(self.scanned + 1).copied().max().unwrap_or_default();
        self.sizes.drain(..self.scanned);
        let whole: usize = self.chunks.drain(..self.scanned).map(|chunk| chunk.len()).sum();
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.advance(used.min(chunk.len()));
            if chunk.is_empty() {
                self.chunks.pop_front();
                self.sizes.pop_front();
            }
        }
        self.scanned = 0;
        self.cost = whole + used;
        self.buffered -= whole + used;
        self.position += (whole + used) as u64;
    }

    /// Decodes the item that ends `used` bytes into the chunk at `scanned`, and says what memory it
    /// takes.
    fn decode(&self, used: usize) -> Result<(T, usize), Violation> {
        let mut chunks = self.chunks.iter();
        let Some(first) = chunks.next() else { return Ok((T::default(), 0)) };
        let mut input = Input::new(first, chunks, &self.config);
        let mut item = T::default();
        match input.value()? {
            Value::Map(Some(0)) => input.quirk("D11")?,
            Value::Map(None) if input.peek()? == 0xff => input.quirk("D11")?,
            Value::Map(size) => item.read(size, &mut sealed::Opaque(&mut input))?,
            Value::Null => input.quirk("D11")?,
            other => return Err(input.wrong(other)),
        }
        if self.config.acceptance == Acceptance::Canonical && !self.is_canonical(&item, used) {
            return Err(Violation::NotCanonical);
        }
        Ok((item, input.charged()))
    }

    fn is_canonical(&self, item: &T, used: usize) -> bool {
        let whole = self.chunks.iter().take(self.scanned).flat_map(|chunk| chunk.iter());
        let last =
            self.chunks.get(self.scanned).and_then(|chunk| chunk.get(..used)).unwrap_or_default();
        item.to_bytes().is_ok_and(|bytes| bytes.iter().eq(whole.chain(last)))
    }
}
