//! One direction of a link: how it cuts, delays, holds back and breaks what it carries.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_core::Instant;

use super::freight::Freight;
use super::rng::Rng;

/// ECONNRESET, which both ends see of a reset.
const RESET: i32 = 104;

/// EPIPE, which a sender sees when nobody reads any more.
const BROKEN_PIPE: i32 = 32;

/// How bytes are cut into pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// As they were written.
    AsSent,
    /// All there are, in one piece.
    Whole,
    /// Pieces of so many bytes.
    Of(usize),
    /// Pieces of 1 to so many bytes, at random.
    Random(usize),
    /// Cut at these offsets of the direction, in rising order, and nowhere else.
    At(Vec<u64>),
}

/// What goes wrong in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends: the receiver sees an end, the sender's next write fails.
    Eof,
    /// It is reset: the receiver's read fails, and so does the sender's next write.
    Reset,
    /// Nothing arrives for so long, or never again; nobody is told.
    Stall(Option<Duration>),
}

/// How a direction behaves as long as nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The pieces that arrive.
    pub chunks: Chunks,
    /// The pieces in which the transport takes what it is given; after each it takes a pause.
    pub takes: Chunks,
    /// The time from being taken to arriving.
    pub delay: Duration,
    /// Bytes a second; `None` is no bound.
    pub rate: Option<u64>,
    /// The most bytes under way: the transport takes no more.
    pub room: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            chunks: Chunks::Whole,
            takes: Chunks::Whole,
            delay: Duration::ZERO,
            rate: None,
            room: 64 << 10,
        }
    }
}

impl Shape {
    /// A shape chosen at random: any pieces, any room from one byte up, perhaps slow.
    pub fn random(rng: &mut Rng) -> Self {
        let chunks = |rng: &mut Rng| match rng.below(6) {
            0 => Chunks::AsSent,
            1 => Chunks::Of(1),
            2 => Chunks::Random(5),
            3 => Chunks::Random(100),
            4 => Chunks::Random(40_000),
            _ => Chunks::Whole,
        };
        let room = [1, 10, 500, 5_000, 64 << 10, 1 << 20];
        Self {
            chunks: chunks(rng),
            takes: chunks(rng),
            delay: Duration::from_micros(if rng.once_in(2) { 0 } else { rng.below(100_000) }),
            rate: if rng.once_in(3) { Some(1_000 + rng.below(10_000_000)) } else { None },
            room: rng.pick(&room).copied().unwrap_or(1),
        }
    }
}

/// One direction of a link.
#[derive(Debug)]
pub struct Pipe<T> {
    /// How it behaves; may be changed at any time.
    pub shape: Shape,
    rng: Rng,
    under_way: VecDeque<(Instant, T)>,
    held: usize,
    taken: u64,
    delivered: u64,
    /// When the last byte taken will have left, and will have arrived.
    left: Instant,
    arrives: Instant,
    faults: VecDeque<(u64, Fault)>,
    /// Nothing arrives before this moment; `Some(None)`: ever.
    stalled: Option<Option<Instant>>,
    /// No more than so many bytes arrive.
    allowed: Option<u64>,
    /// The sender has ended it; the end arrives at this moment.
    shut: Option<Instant>,
    /// The receiver has been told of its end.
    over: bool,
    /// What the sender's next write fails with.
    broken: Option<i32>,
}

/// What arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival<T> {
    Piece(T),
    End,
    Failure(i32),
}

/// What became of an attempt to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Took(usize),
    Full,
    Failed(i32),
}

impl<T: Freight> Pipe<T> {
    pub(super) const fn new(shape: Shape, rng: Rng) -> Self {
        Self {
            shape,
            rng,
            under_way: VecDeque::new(),
            held: 0,
            taken: 0,
            delivered: 0,
            left: Instant::ORIGIN,
            arrives: Instant::ORIGIN,
            faults: VecDeque::new(),
            stalled: None,
            allowed: None,
            shut: None,
            over: false,
            broken: None,
        }
    }

    /// Something goes wrong once so many bytes have arrived. Add faults in the order of offsets.
    pub fn fault(&mut self, offset: u64, fault: Fault) {
        self.faults.push_back((offset, fault));
    }

    /// Something goes wrong now, before anything else that was to come.
    pub fn fault_now(&mut self, fault: Fault) {
        self.faults.push_front((self.delivered, fault));
    }

    /// Ends a stall.
    pub const fn resume(&mut self) {
        self.stalled = None;
    }

    /// Lets no more than this many bytes arrive, all told, and no end; `None` lets everything.
    /// Faults happen all the same.
    pub const fn allow(&mut self, total: Option<u64>) {
        self.allowed = total;
    }

    /// Bytes that the transport has taken.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes that have arrived.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Bytes under way.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Whether the transport would take something, or say that it never will.
    pub(super) const fn has_room(&self) -> bool {
        self.broken.is_some() || self.held < self.shape.room
    }

    /// Takes what there is room for off the front of `rest`.
    pub(super) fn offer(&mut self, now: Instant, rest: &mut Option<T>) -> Offer {
        if let Some(os_error) = self.broken {
            return Offer::Failed(os_error);
        }
        let room = self.shape.room.saturating_sub(self.held);
        if room == 0 {
            return Offer::Full;
        }
        let most = size(&self.shape.takes, self.taken, &mut self.rng).min(room);
        let part = match rest {
            Some(piece) if T::CUTS && piece.size() > most => Some(piece.cut(most)),
            _ => rest.take(),
        };
        let Some(part) = part else { return Offer::Full };
        let size = part.size();
        self.charge(now, size);
        if size > 0 || !T::CUTS {
            self.under_way.push_back((self.arrives, part));
        }
        Offer::Took(size)
    }

    fn charge(&mut self, now: Instant, size: usize) {
        let bytes = u64::try_from(size).unwrap_or(u64::MAX);
        self.held = self.held.saturating_add(size);
        self.taken = self.taken.saturating_add(bytes);
        let sending = self.shape.rate.map_or(Duration::ZERO, |rate| {
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        });
        self.left = self.left.max(now) + sending;
        self.arrives = self.arrives.max(self.left + self.shape.delay);
    }

    /// The sender ends the direction behind what it sent.
    pub(super) fn shut(&mut self, now: Instant) {
        let arrives = self.arrives.max(now + self.shape.delay);
        self.shut.get_or_insert(arrives);
    }

    /// Nobody reads any more: what comes is thrown away.
    pub(super) fn discard(&mut self) {
        self.over = true;
        self.held = 0;
        self.under_way.clear();
    }

    /// The next thing that arrives at this moment.
    pub(super) fn arrive(&mut self, now: Instant) -> Option<Arrival<T>> {
        if self.over {
            self.discard();
            return None;
        }
        loop {
            match self.stalled {
                Some(None) => return None,
                Some(Some(until)) if until > now => return None,
                _ => self.stalled = None,
            }
            // A message that does not fit before a fault is lost to it.
            let whole = self.under_way.front().filter(|(at, _)| !T::CUTS && *at <= now);
            let next = self.delivered.saturating_add(whole.map_or(0, |(_, it)| it.size() as u64));
            let Some(&(_, fault)) =
                self.faults.front().filter(|(at, _)| *at <= self.delivered || *at < next)
            else {
                break;
            };
            self.faults.pop_front();
            match fault {
                Fault::Stall(time) => self.stalled = Some(time.map(|time| now + time)),
                Fault::Eof => return Some(self.end(BROKEN_PIPE, Arrival::End)),
                Fault::Reset => return Some(self.end(RESET, Arrival::Failure(RESET))),
            }
        }
        if self.is_held_back() {
            return None;
        }
        if self.under_way.is_empty() {
            self.shut.filter(|at| *at <= now)?;
            return Some(self.end(BROKEN_PIPE, Arrival::End));
        }
        self.gather(now).map(Arrival::Piece)
    }

    fn end(&mut self, os_error: i32, arrival: Arrival<T>) -> Arrival<T> {
        self.discard();
        self.broken = Some(os_error);
        arrival
    }

    /// The next piece, of what has come so far.
    fn gather(&mut self, now: Instant) -> Option<T> {
        let bound = self.faults.front().map(|(at, _)| *at).into_iter().chain(self.allowed).min();
        let bound = bound.map_or(u64::MAX, |at| at.saturating_sub(self.delivered));
        let bound = usize::try_from(bound).unwrap_or(usize::MAX);
        let ready = self.under_way.front().filter(|(at, _)| *at <= now && bound > 0)?.1.size();
        if !T::CUTS {
            return if ready > bound { None } else { self.pop(ready) };
        }
        let most = match &self.shape.chunks {
            Chunks::AsSent => ready,
            chunks => size(chunks, self.delivered, &mut self.rng),
        };
        let mut left = most.min(bound);
        let mut pieces = Vec::new();
        while left > 0 && self.under_way.front().is_some_and(|(at, _)| *at <= now) {
            let Some(piece) = self.pop(left) else { break };
            left -= piece.size();
            pieces.push(piece);
        }
        if pieces.len() > 1 { Some(T::join(pieces)) } else { pieces.pop() }
    }

    /// Takes up to `most` bytes off the front.
    fn pop(&mut self, most: usize) -> Option<T> {
        let front = self.under_way.front_mut()?;
        let piece = if front.1.size() > most && T::CUTS {
            front.1.cut(most)
        } else {
            self.under_way.pop_front()?.1
        };
        let size = piece.size();
        self.held = self.held.saturating_sub(size);
        self.delivered = self.delivered.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        Some(piece)
    }

    fn is_held_back(&self) -> bool {
        self.allowed.is_some_and(|total| total <= self.delivered)
    }

    /// When something will arrive by itself, if that only takes time.
    pub(super) fn next_at(&self) -> Option<Instant> {
        if self.over || self.is_held_back() {
            return None;
        }
        let stall = match self.stalled {
            Some(None) => return None,
            Some(Some(until)) => until,
            None => Instant::ORIGIN,
        };
        let first = self.under_way.front().map(|(at, _)| *at).or(self.shut);
        // A stall that ends may end in a fault.
        let fault = self.faults.front().filter(|(at, _)| *at <= self.delivered);
        first.or(fault.map(|_| Instant::ORIGIN)).map(|at| at.max(stall))
    }
}

/// How many bytes the next piece may have, at this offset.
fn size(chunks: &Chunks, offset: u64, rng: &mut Rng) -> usize {
    match chunks {
        Chunks::AsSent | Chunks::Whole => usize::MAX,
        Chunks::Of(count) => (*count).max(1),
        Chunks::Random(most) => rng.up_to(*most),
        Chunks::At(offsets) => {
            let next = offsets.iter().find(|at| **at > offset);
            next.map_or(usize::MAX, |at| usize::try_from(at - offset).unwrap_or(usize::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const NOW: Instant = Instant::ORIGIN;

    fn pipe(shape: Shape) -> Pipe<Bytes> {
        Pipe::new(shape, Rng::new(1))
    }

    fn sent(shape: Shape, text: &'static str) -> Pipe<Bytes> {
        let mut pipe = pipe(shape);
        assert_eq!(offer(&mut pipe, text), Offer::Took(text.len()));
        pipe
    }

    fn offer(pipe: &mut Pipe<Bytes>, text: &'static str) -> Offer {
        pipe.offer(NOW, &mut Some(Bytes::from_static(text.as_bytes())))
    }

    fn arrivals(pipe: &mut Pipe<Bytes>, now: Instant) -> Vec<Arrival<Bytes>> {
        std::iter::from_fn(|| pipe.arrive(now)).collect()
    }

    fn pieces(texts: &[&'static str]) -> Vec<Arrival<Bytes>> {
        texts.iter().map(|text| Arrival::Piece(Bytes::from_static(text.as_bytes()))).collect()
    }

    #[test]
    fn pieces_are_cut_as_asked() {
        for (chunks, expected) in [
            (Chunks::Whole, &["abcdef"][..]),
            (Chunks::Of(4), &["abcd", "ef"]),
            (Chunks::At(vec![1, 5]), &["a", "bcde", "f"]),
        ] {
            let mut pipe = sent(Shape { chunks, ..Shape::default() }, "abcdef");
            assert_eq!(arrivals(&mut pipe, NOW), pieces(expected));
        }
    }

    #[test]
    fn pieces_that_were_sent_apart_are_joined_only_where_asked() {
        for (chunks, expected) in
            [(Chunks::Whole, &["abcdef"][..]), (Chunks::AsSent, &["abc", "def"])]
        {
            let mut pipe = sent(Shape { chunks, ..Shape::default() }, "abc");
            offer(&mut pipe, "def");
            assert_eq!(arrivals(&mut pipe, NOW), pieces(expected));
        }
    }

    #[test]
    fn no_more_is_taken_than_there_is_room() {
        let shape = Shape { room: 4, takes: Chunks::Of(3), ..Shape::default() };
        let (mut pipe, mut bytes) = (pipe(shape), Some(Bytes::from_static(b"abcdef")));
        assert_eq!(pipe.offer(NOW, &mut bytes), Offer::Took(3));
        assert_eq!(pipe.offer(NOW, &mut bytes), Offer::Took(1));
        assert_eq!(pipe.offer(NOW, &mut bytes), Offer::Full);
        assert_eq!((bytes, pipe.held()), (Some(Bytes::from_static(b"ef")), 4));
        let arrived: Vec<u8> = arrivals(&mut pipe, NOW)
            .into_iter()
            .flat_map(|arrival| match arrival {
                Arrival::Piece(bytes) => bytes,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(arrived, b"abcd");
        assert_eq!(pipe.held(), 0);
    }

    #[test]
    fn a_fault_comes_behind_exactly_its_offset() {
        let mut link = sent(Shape::default(), "abcdef");
        link.fault(2, Fault::Eof);
        let mut expected = pieces(&["ab"]);
        expected.push(Arrival::End);
        assert_eq!(arrivals(&mut link, NOW), expected);
        assert_eq!(offer(&mut link, "x"), Offer::Failed(BROKEN_PIPE));

        let mut link = pipe(Shape::default());
        link.fault(0, Fault::Reset);
        assert_eq!(arrivals(&mut link, NOW), [Arrival::Failure(RESET)]);
    }

    #[test]
    fn a_stall_ends_when_it_should_and_what_was_under_way_arrives() {
        let mut pipe = sent(Shape::default(), "abcd");
        pipe.fault(1, Fault::Stall(Some(Duration::from_secs(60))));
        pipe.shut(NOW);
        assert_eq!(arrivals(&mut pipe, NOW), pieces(&["a"]));
        assert_eq!(pipe.next_at(), Some(Instant::from_millis(60_000)));
        assert_eq!(arrivals(&mut pipe, Instant::from_millis(59_999)), []);
        let mut expected = pieces(&["bcd"]);
        expected.push(Arrival::End);
        assert_eq!(arrivals(&mut pipe, Instant::from_millis(60_000)), expected);

        let mut pipe = sent(Shape::default(), "abcd");
        pipe.fault(0, Fault::Stall(None));
        assert_eq!(
            (arrivals(&mut pipe, Instant::from_nanos(u64::MAX)), pipe.next_at()),
            (vec![], None)
        );
        pipe.resume();
        assert_eq!(arrivals(&mut pipe, NOW), pieces(&["abcd"]));
    }

    #[test]
    fn delay_and_rate_say_when_a_piece_arrives() {
        let delay = Duration::from_millis(100);
        let mut pipe = sent(Shape { delay, rate: Some(4), ..Shape::default() }, "ab");
        offer(&mut pipe, "c");
        assert_eq!(pipe.next_at(), Some(Instant::from_millis(600)));
        assert_eq!(arrivals(&mut pipe, Instant::from_millis(599)), []);
        assert_eq!(arrivals(&mut pipe, Instant::from_millis(600)), pieces(&["ab"]));
        assert_eq!(arrivals(&mut pipe, Instant::from_millis(850)), pieces(&["c"]));
    }

    #[test]
    fn no_more_arrives_than_is_allowed() {
        let mut pipe = sent(Shape::default(), "abcd");
        pipe.allow(Some(3));
        pipe.shut(NOW);
        assert_eq!(arrivals(&mut pipe, NOW), pieces(&["abc"]));
        assert_eq!(pipe.next_at(), None);
        pipe.allow(Some(4));
        assert_eq!(arrivals(&mut pipe, NOW), pieces(&["d"]));
        pipe.allow(None);
        assert_eq!(arrivals(&mut pipe, NOW), [Arrival::End]);
    }
}
