//! The table of a connection's streams, in pages.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::StreamKey;
use super::ids::Ids;
use super::lists::{Kind, LINKS, Link, List, Node};
use super::parts::{ReceiveQueue, SendQueue};

/// Streams in one page: a table grows by one page, never by copying what it has.
const PAGE: usize = 32;

/// A stream's place in the table, good while the stream stands in it.
///
/// Inside a wire only: users hold a [`StreamKey`], which also knows the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot(pub(crate) u32);

/// One stream: what every wire needs, and the wire's own `state`.
///
/// Kept small on purpose: an idle stream costs this and its place in the table of ids. Queues are
/// made when something has to wait, and are kept for another when nothing does.
#[derive(Debug)]
pub(crate) struct Stream<S> {
    /// The wire's own part.
    pub(crate) state: S,
    /// What waits to be sent.
    pub(crate) outgoing: Option<Box<SendQueue>>,
    /// What waits to be read.
    pub(crate) incoming: Option<Box<ReceiveQueue>>,
    pub(super) links: [Link; LINKS],
    id: u32,
    generation: u32,
    /// A key names it.
    named: bool,
    /// Its wire id names it.
    bound: bool,
    /// This side opened it.
    ours: bool,
    /// Waits for accept.
    waiting: bool,
    /// A read answered `Blocked`, and no event told otherwise yet.
    pub(super) read_blocked: bool,
    /// A write answered `Blocked`, and no event told otherwise yet.
    pub(super) write_blocked: bool,
    /// Somebody waits for its end for writing, and no event told otherwise yet.
    pub(super) watched: bool,
    /// Was told that it can write, for the sake of room, and has not tried yet.
    pub(super) called: bool,
}

impl<S> Stream<S> {
    /// Its id on the wire.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// Whether this side opened it.
    pub(crate) const fn is_ours(&self) -> bool {
        self.ours
    }

    /// Whether it waits for accept.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether somebody holds its key.
    pub(crate) const fn is_named(&self) -> bool {
        self.named
    }

    /// Whether its wire id is still taken.
    pub(crate) const fn is_bound(&self) -> bool {
        self.bound
    }

    #[inline]
    pub(super) fn link(&self, kind: usize) -> Option<&Link> {
        self.links.get(kind).or_else(|| self.incoming.as_ref().map(|queue| &queue.link))
    }

    #[inline]
    pub(super) fn link_mut(&mut self, kind: usize) -> Option<&mut Link> {
        match self.links.get_mut(kind) {
            Some(link) => Some(link),
            None => self.incoming.as_mut().map(|queue| &mut queue.link),
        }
    }

    /// Received bytes that nobody has read.
    #[inline]
    pub(crate) fn unread(&self) -> usize {
        self.incoming.as_ref().map_or(0, |queue| queue.len())
    }

    /// Written bytes that have not been sent.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        self.outgoing.as_ref().map_or(0, |queue| queue.len())
    }
}

/// All streams of a connection.
///
/// A stream is in the table as long as a key names it or its wire id is taken: the two end in
/// either order, by [`forget`](Self::forget) and [`release`](Self::release). Before the second of
/// them its queues must be empty (`Inbox::clear`, `Lanes::clear`): what they hold is counted
/// elsewhere too. Nothing here walks.
#[derive(Debug)]
pub(crate) struct Streams<S> {
    pages: Vec<Box<[Stream<S>; PAGE]>>,
    /// The first free slot, chained through the links; [`NONE`] when all are taken.
    free: u32,
    taken: usize,
    ids: Ids,
    waiting: usize,
    pub(super) heads: [Link; List::COUNT],
}

const NONE: u32 = u32::MAX;

impl<S: Default> Streams<S> {
    /// An empty table, which holds no memory yet. `seed` should be random: peers choose ids.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            pages: Vec::new(),
            free: NONE,
            taken: 0,
            ids: Ids::new(seed),
            waiting: 0,
            heads: List::empty_heads(),
        }
    }

    /// Seeds a table that was made without a seed (0), as long as no id is in it.
    pub(crate) const fn seed(&mut self, seed: u64) {
        self.ids.seed(seed);
    }

    /// Puts a stream into the table under `id`; `None` when the id is taken. It has no key that
    /// anybody knows yet; [`key`](Self::key) tells it.
    pub(crate) fn insert(&mut self, id: u32, ours: bool, state: S) -> Option<Slot> {
        let slot = self.vacant();
        if !self.ids.insert(id, slot) {
            return None;
        }
        let stream = self.slot_mut(slot)?;
        let next = stream.links.first().map_or(NONE, |link| link.next.0);
        if let Some(link) = stream.links.first_mut() {
            *link = Link::OUT;
        }
        stream.state = state;
        stream.id = id;
        stream.ours = ours;
        stream.named = true;
        stream.bound = true;
        self.free = next;
        self.taken += 1;
        Some(Slot(slot))
    }

    /// The stream that a frame for `id` concerns.
    #[inline]
    pub(crate) fn find(&self, id: u32) -> Option<Slot> {
        self.ids.get(id).map(Slot)
    }

    /// The stream that a user's key names.
    #[inline]
    pub(crate) fn named(&self, key: StreamKey) -> Option<Slot> {
        let stream = self.slot(key.slot)?;
        (stream.named && stream.generation == key.generation).then_some(Slot(key.slot))
    }

    /// The key of a stream.
    #[inline]
    pub(crate) fn key(&self, slot: Slot) -> StreamKey {
        let generation = self.slot(slot.0).map_or(0, |stream| stream.generation);
        StreamKey { slot: slot.0, generation }
    }

    /// The stream itself; `None` once it is gone.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&Stream<S>> {
        self.slot(slot.0).filter(|stream| stream.named || stream.bound)
    }

    /// The stream itself; `None` once it is gone.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Stream<S>> {
        self.slot_mut(slot.0).filter(|stream| stream.named || stream.bound)
    }

    /// Lets the key name nothing any more; the stream goes once its id is free too.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.leave_backlog(slot);
        let Some(stream) = self.get_mut(slot).filter(|stream| stream.named) else { return };
        stream.named = false;
        stream.read_blocked = false;
        stream.write_blocked = false;
        stream.watched = false;
        // From here on nothing has the old key, whatever becomes of the slot.
        stream.generation = stream.generation.saturating_add(1);
        self.unlink(slot, Kind::Read);
        self.unlink(slot, Kind::Write);
        self.vacate(slot);
    }

    /// Frees the wire id, which may then name another stream; this one goes once its key is
    /// forgotten too.
    pub(crate) fn release(&mut self, slot: Slot) {
        let Some(stream) = self.get_mut(slot).filter(|stream| stream.bound) else { return };
        stream.bound = false;
        let id = stream.id;
        self.ids.remove(id);
        self.vacate(slot);
    }

    /// Streams in the table.
    pub(crate) const fn len(&self) -> usize {
        self.taken
    }

    /// Streams whose wire id is taken.
    pub(crate) const fn bound(&self) -> usize {
        self.ids.len()
    }

    /// Memory the table holds, in bytes, without queues.
    pub(crate) fn memory(&self) -> usize {
        let page = PAGE * size_of::<Stream<S>>() + size_of::<Box<[Stream<S>; PAGE]>>();
        self.pages.len() * page + self.ids.memory()
    }

    // The backlog.

    /// Puts a stream of the peer at the end of those that wait for accept.
    pub(crate) fn await_accept(&mut self, slot: Slot) {
        if self.push(List::Backlog, slot, Kind::Read)
            && let Some(stream) = self.get_mut(slot)
        {
            stream.waiting = true;
            self.waiting += 1;
        }
    }

    /// The stream that has waited longest for accept; it waits no longer.
    pub(crate) fn accept(&mut self) -> Option<Slot> {
        let slot = self.front(List::Backlog)?;
        self.leave_backlog(slot);
        Some(slot)
    }

    /// Takes a stream out of the backlog; harmless where it is not in it.
    pub(crate) fn leave_backlog(&mut self, slot: Slot) {
        if let Some(stream) = self.get_mut(slot).filter(|stream| stream.waiting) {
            stream.waiting = false;
            self.waiting = self.waiting.saturating_sub(1);
            self.unlink(slot, Kind::Read);
        }
    }

    /// Streams that wait for accept.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    // Slots.

    #[inline]
    pub(super) fn slot(&self, slot: u32) -> Option<&Stream<S>> {
        let slot = slot as usize;
        self.pages.get(slot / PAGE)?.get(slot % PAGE)
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, slot: u32) -> Option<&mut Stream<S>> {
        let slot = slot as usize;
        self.pages.get_mut(slot / PAGE)?.get_mut(slot % PAGE)
    }

    /// The number of slots there are, taken and free.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.pages.len() * PAGE).unwrap_or(NONE)
    }

    /// The first free slot, in a new page when there is none.
    fn vacant(&mut self) -> u32 {
        if self.free == NONE {
            let first = self.slots();
            let last = first + (PAGE as u32 - 1);
            let page = (first..=last).map(|slot| {
                let next = if slot == last { NONE } else { slot + 1 };
                Stream::vacant(0, next)
            });
            self.pages.extend(page.collect::<Box<[_]>>().try_into().ok());
            self.free = first;
        }
        self.free
    }

    /// Frees the slot once neither key nor id names the stream.
    fn vacate(&mut self, slot: Slot) {
        let free = self.free;
        let Some(stream) = self.slot(slot.0).filter(|stream| !stream.named && !stream.bound) else {
            return;
        };
        let generation = stream.generation;
        debug_assert!(stream.incoming.is_none(), "what is unread was not cleared");
        debug_assert!(stream.outgoing.is_none(), "what is unsent was not cleared");
        for kind in Kind::ALL {
            self.unlink(slot, kind);
        }
        self.taken = self.taken.saturating_sub(1);
        if let Some(stream) = self.slot_mut(slot.0) {
            *stream = Stream::vacant(generation, free);
            // A slot whose generations are used up is not given again: a key never comes back.
            if generation < u32::MAX {
                self.free = slot.0;
            }
        }
    }
}

impl<S: Default> Stream<S> {
    fn vacant(generation: u32, next: u32) -> Self {
        let mut links = [Link::OUT; LINKS];
        if let Some(link) = links.first_mut() {
            link.next = Node(next);
        }
        Self {
            state: S::default(),
            outgoing: None,
            incoming: None,
            links,
            id: 0,
            generation,
            named: false,
            bound: false,
            ours: false,
            waiting: false,
            read_blocked: false,
            write_blocked: false,
            watched: false,
            called: false,
        }
    }
}
