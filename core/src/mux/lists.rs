//! Intrusive lists over the streams: joining and leaving one takes a few writes and no memory.

use super::streams::{Slot, Streams};

/// Links that a stream always has, one for each [`Kind`] but `Unread`: that stands in its queue.
pub(super) const LINKS: usize = 5;

/// By which of its links a stream stands in a list. By one link it stands in one list at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// In [`List::Round`].
    Turn,
    /// In [`List::Control`].
    Control,
    /// In [`List::Events`] for a `Readable`; in [`List::Backlog`] before it is accepted.
    Read,
    /// In [`List::Events`] for a `Writable`; in [`List::Writers`] while it waits for room.
    Write,
    /// In [`List::Opening`] or [`List::Closing`].
    Timer,
    /// In one of the lists of unread streams.
    Unread,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Turn, Self::Control, Self::Read, Self::Write, Self::Timer, Self::Unread];
}

/// The lists of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Streams with data (or an end) to send, in order of turn.
    Round,
    /// Streams with a control frame due (a window update, a reset), in order of asking.
    Control,
    /// Writers that wait for room in the connection's send queue, in order of asking.
    Writers,
    /// Streams of the peer that wait for accept.
    Backlog,
    /// Own streams that wait for the peer's acceptance, oldest first.
    Opening,
    /// Streams that wait for the peer's end, oldest first.
    Closing,
    /// What the user is to be told, in order.
    Events,
    /// Unread streams, by the order of magnitude of what they hold.
    Unread(u8),
}

/// Orders of magnitude of unread bytes.
pub(super) const MAGNITUDES: u8 = 32;

/// Events that belong to no stream have nodes of their own, so that all events stay in order.
pub(super) const FIXED: usize = 3 + PONGS as usize;

/// Pongs that the user may be told and has not taken.
pub(super) const PONGS: u8 = 8;

impl List {
    /// Heads, and the fixed nodes behind them.
    pub(super) const COUNT: usize = 7 + MAGNITUDES as usize + FIXED;

    const fn index(self) -> u32 {
        match self {
            Self::Round => 0,
            Self::Control => 1,
            Self::Writers => 2,
            Self::Backlog => 3,
            Self::Opening => 4,
            Self::Closing => 5,
            Self::Events => 6,
            Self::Unread(magnitude) => {
                let last = MAGNITUDES - 1;
                7 + if magnitude < last { magnitude } else { last } as u32
            }
        }
    }

    const fn head(self) -> Node {
        Node(HEADS + self.index())
    }

    pub(super) fn empty_heads() -> [Link; Self::COUNT] {
        core::array::from_fn(|index| {
            let index = u32::try_from(index).unwrap_or(0);
            if index < 7 + u32::from(MAGNITUDES) {
                let head = Node(HEADS + index);
                Link { prev: head, next: head }
            } else {
                Link::OUT
            }
        })
    }
}

/// A link of a stream, the head of a list, or a fixed node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node(pub(super) u32);

/// From here on nodes are heads and fixed nodes; below, they are slot and link.
const HEADS: u32 = u32::MAX - 255;

/// In no list.
const OUT: Node = Node(u32::MAX);

impl Node {
    fn of(slot: Slot, kind: Kind) -> Self {
        Self(slot.0.saturating_mul(8).saturating_add(kind as u32))
    }

    /// The node of an event that belongs to no stream.
    pub(super) const fn fixed(number: u8) -> Self {
        Self(HEADS + 7 + MAGNITUDES as u32 + number as u32)
    }

    /// Which stream and link, or which fixed node, it is.
    pub(super) const fn place(self) -> Place {
        if self.0 >= HEADS {
            return Place::Fixed((self.0 - HEADS).saturating_sub(7 + MAGNITUDES as u32) as u8);
        }
        let kind = match self.0 % 8 {
            0 => Kind::Turn,
            1 => Kind::Control,
            2 => Kind::Read,
            3 => Kind::Write,
            4 => Kind::Timer,
            _ => Kind::Unread,
        };
        Place::Stream(Slot(self.0 / 8), kind)
    }
}

/// What a node in a list stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Stream(Slot, Kind),
    Fixed(u8),
}

/// The neighbours of a node. A list is a ring through its head, so that leaving needs no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) prev: Node,
    pub(super) next: Node,
}

impl Link {
    pub(super) const OUT: Self = Self { prev: OUT, next: OUT };
}

impl<S: Default> Streams<S> {
    /// Puts a stream at the end of a list; false, and nothing changes, when it stands in one by
    /// that link already.
    #[inline]
    pub(crate) fn push(&mut self, list: List, slot: Slot, kind: Kind) -> bool {
        self.push_node(list, Node::of(slot, kind))
    }

    /// Puts a stream at the front of a list; false, and nothing changes, when it stands in one by
    /// that link already.
    pub(crate) fn push_front(&mut self, list: List, slot: Slot, kind: Kind) -> bool {
        let head = list.head();
        let first = self.head(list).next;
        self.insert_between(head, Node::of(slot, kind), first)
    }

    /// The first stream of a list.
    #[inline]
    pub(crate) fn front(&self, list: List) -> Option<Slot> {
        match self.front_node(list)?.place() {
            Place::Stream(slot, _) => Some(slot),
            Place::Fixed(_) => None,
        }
    }

    /// Takes the first stream off a list.
    #[inline]
    pub(crate) fn pop(&mut self, list: List) -> Option<Slot> {
        let node = self.front_node(list)?;
        self.unlink_node(node);
        match node.place() {
            Place::Stream(slot, _) => Some(slot),
            Place::Fixed(_) => None,
        }
    }

    /// Whether a list has no stream.
    #[inline]
    pub(crate) fn is_empty(&self, list: List) -> bool {
        self.front_node(list).is_none()
    }

    /// Whether a stream stands in a list by that link.
    #[inline]
    pub(crate) fn is_linked(&self, slot: Slot, kind: Kind) -> bool {
        let stream = self.slot(slot.0);
        stream.and_then(|stream| stream.link(kind as usize)).is_some_and(|link| *link != Link::OUT)
    }

    /// Takes a stream out of the list in which it stands by that link, if it does.
    #[inline]
    pub(crate) fn unlink(&mut self, slot: Slot, kind: Kind) {
        if self.is_linked(slot, kind) {
            self.unlink_node(Node::of(slot, kind));
        }
    }

    #[inline]
    pub(super) fn front_node(&self, list: List) -> Option<Node> {
        let first = self.head(list).next;
        (first != list.head()).then_some(first)
    }

    #[inline]
    pub(super) fn push_node(&mut self, list: List, node: Node) -> bool {
        let last = self.head(list).prev;
        self.insert_between(last, node, list.head())
    }

    pub(super) fn unlink_node(&mut self, node: Node) {
        let Some(own) = self.link_mut(node) else { return };
        let Link { prev, next } = core::mem::replace(own, Link::OUT);
        if let Some(link) = self.link_mut(prev) {
            link.next = next;
        }
        if let Some(link) = self.link_mut(next) {
            link.prev = prev;
        }
    }

    fn insert_between(&mut self, prev: Node, node: Node, next: Node) -> bool {
        let Some(own) = self.link_mut(node).filter(|own| **own == Link::OUT) else { return false };
        *own = Link { prev, next };
        if let Some(link) = self.link_mut(prev) {
            link.next = node;
        }
        if let Some(link) = self.link_mut(next) {
            link.prev = node;
        }
        true
    }

    #[inline]
    fn head(&self, list: List) -> Link {
        self.heads.get(list.index() as usize).copied().unwrap_or(Link::OUT)
    }

    /// The link of a node; [`OUT`] has none.
    #[inline]
    fn link_mut(&mut self, node: Node) -> Option<&mut Link> {
        if node.0 >= HEADS {
            return self.heads.get_mut((node.0 - HEADS) as usize);
        }
        self.slot_mut(node.0 / 8)?.link_mut(node.0 as usize % 8)
    }
}
