//! One user: what it does with the streams of its end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use trunkline_core::mux::{
    Mux, MuxEvent, OpenRefusal, Opened, Received, Sent, StreamEnd, StreamKey,
};
use trunkline_core::{CloseReason, Instant};

use super::{Books, Talk, Way};
use crate::laws::{Broken, hold};
use crate::model::agentproto::Supply;
use crate::sim::{End, Rng};

/// Bytes at the front of each stream that say which talk it is.
const NUMBER: usize = 4;

/// The user above one end.
#[derive(Debug)]
pub struct User {
    end: End,
    to_open: VecDeque<usize>,
    /// Was refused, and not told otherwise yet.
    open_waits: bool,
    accept_waits: bool,
    streams: BTreeMap<StreamKey, Conversation>,
    /// Streams with which something may be done.
    ready: BTreeSet<StreamKey>,
    /// Talks of others that have come, and talks that are over.
    met: usize,
    closed: Option<CloseReason>,
    /// What else it was told.
    told: Vec<MuxEvent>,
    ends: Vec<(usize, StreamEnd)>,
}

/// What one user has to do with one stream.
#[derive(Debug)]
struct Conversation {
    talk: Option<usize>,
    opener: bool,
    /// What is left to write of the number, and what has come of it.
    number: Vec<u8>,
    supply: Option<Supply>,
    to_read: u64,
    passed: u64,
    readable: bool,
    writable: bool,
    finished: bool,
    read_end: Option<StreamEnd>,
    write_end: Option<StreamEnd>,
    given_up: bool,
}

impl User {
    pub(super) const fn new(end: End, to_open: VecDeque<usize>) -> Self {
        Self {
            end,
            to_open,
            open_waits: false,
            accept_waits: false,
            streams: BTreeMap::new(),
            ready: BTreeSet::new(),
            met: 0,
            closed: None,
            told: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// It opens the talk of this number too, which was added to the plan.
    pub fn also_open(&mut self, number: usize) {
        self.to_open.push_back(number);
    }

    /// Looks at all its streams again, because the plan says something else now.
    pub fn look_again(&mut self) {
        self.ready.extend(self.streams.keys().copied());
    }

    /// Whether it has opened all it had to, and every stream it had is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.to_open.is_empty() && self.streams.is_empty()
    }

    /// Streams of the other end that it has accepted.
    #[must_use]
    pub const fn met(&self) -> usize {
        self.met
    }

    /// Why it was told that the connection is over.
    #[must_use]
    pub const fn closed(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }

    /// What it was told that concerns no stream.
    #[must_use]
    pub fn told(&self) -> &[MuxEvent] {
        &self.told
    }

    /// How the streams that are over have ended for reading, by the number of their talk.
    #[must_use]
    pub fn ends(&self) -> &[(usize, StreamEnd)] {
        &self.ends
    }

    /// Streams that are not over.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        self.streams.iter().take(20).map(|(key, it)| format!("{key:?}: {it:?}")).collect()
    }

    /// Whether all streams that are left are of talks that this user sleeps through.
    #[must_use]
    pub fn nobody_waits(&self, plan: &[Talk]) -> bool {
        self.streams.values().all(|it| it.talk(plan).is_some_and(|it| it.asleep == Some(self.end)))
    }

    /// Does all there is to do, or a part of it; says whether that was anything.
    pub(super) fn turn<M: Mux>(
        &mut self,
        mux: &mut M,
        now: Instant,
        books: &mut Books<'_>,
        mut moody: Option<&mut Rng>,
    ) -> bool {
        let mut moved = false;
        while let Some(event) = mux.poll_event() {
            moved = true;
            let noted = self.note(event);
            books.note(noted);
            if moody.as_mut().is_some_and(|rng| rng.once_in(4)) {
                break;
            }
        }
        moved |= self.open(mux, now, books);
        moved |= self.accept(mux, now);
        for key in self.ready.clone() {
            if moody.as_mut().is_some_and(|rng| rng.once_in(3)) {
                moved = true;
                continue;
            }
            let most = moody.as_mut().map_or(usize::MAX, |rng| rng.up_to(9_000));
            moved |= self.act(mux, now, key, most, books);
        }

        moved
    }

    fn note(&mut self, event: MuxEvent) -> Result<(), Broken> {
        let end = self.end;
        let twice = |what: &str| Broken::new("P-SAME", format!("{end:?} is told {what} unasked"));
        hold("P-ERR", self.closed.is_none(), || {
            format!("{end:?} is told {event:?} after its end")
        })?;
        match &event {
            MuxEvent::Acceptable if !self.accept_waits => return Err(twice("Acceptable")),
            MuxEvent::Acceptable => self.accept_waits = false,
            MuxEvent::Openable if !self.open_waits => return Err(twice("Openable")),
            MuxEvent::Openable => self.open_waits = false,
            MuxEvent::Readable(key) => {
                let Some(it) = self.streams.get_mut(key) else {
                    return Err(twice("of a stream it has forgotten"));
                };
                if core::mem::replace(&mut it.readable, true) {
                    return Err(twice("Readable"));
                }
                self.ready.insert(*key);
            }
            MuxEvent::Writable(key) => {
                let Some(it) = self.streams.get_mut(key) else {
                    return Err(twice("of a stream it has forgotten"));
                };
                if core::mem::replace(&mut it.writable, true) {
                    return Err(twice("Writable"));
                }
                self.ready.insert(*key);
            }
            MuxEvent::Closed(reason) => self.closed = Some(reason.clone()),
            _ => self.told.push(event),
        }
        Ok(())
    }

    fn open<M: Mux>(&mut self, mux: &mut M, now: Instant, books: &mut Books<'_>) -> bool {
        let mut moved = false;
        while !self.open_waits
            && let Some(number) = self.to_open.front().copied()
            && let Some(talk) = books.plan.get(number)
        {
            match mux.open(now) {
                Opened::Stream(key) => {
                    let mut it = Conversation::new(true);
                    it.number = u32::try_from(number).unwrap_or(0).to_le_bytes().to_vec();
                    it.begin(number, talk, self.end);
                    self.streams.insert(key, it);
                    self.ready.insert(key);
                    self.to_open.pop_front();
                    moved = true;
                }
                Opened::Blocked => self.open_waits = true,
                // Ended streams make room; look again in the next turn.
                Opened::Refused(OpenRefusal::Budget) => return moved,
                Opened::Refused(_) => self.to_open.clear(),
            }
        }
        moved
    }

    fn accept<M: Mux>(&mut self, mux: &mut M, now: Instant) -> bool {
        let mut moved = false;
        while !self.accept_waits {
            let Some(key) = mux.accept(now) else {
                self.accept_waits = true;
                break;
            };
            self.streams.insert(key, Conversation::new(false));
            self.ready.insert(key);
            self.met += 1;
            moved = true;
        }
        moved
    }

    /// Does with one stream what can be done now.
    fn act<M: Mux>(
        &mut self,
        mux: &mut M,
        now: Instant,
        key: StreamKey,
        most: usize,
        books: &mut Books<'_>,
    ) -> bool {
        let half_close = mux.abilities().half_close;
        let Some(it) = self.streams.get_mut(&key) else { return false };
        let asleep = it.talk(books.plan).is_some_and(|talk| talk.asleep == Some(self.end));
        let mut moved = it.write(mux, now, key, most, books);
        moved |= !asleep && it.read(mux, now, key, most, books, self.end);
        moved |= it.finish(mux, now, key, half_close, books);
        moved |= it.give_up(mux, now, key, self.end, books);
        if it.is_over(asleep) {
            if let Some((talk, end)) = it.talk.zip(it.read_end.clone()) {
                self.ends.push((talk, end));
            }
            mux.forget(now, key);
            self.streams.remove(&key);
            self.ready.remove(&key);
            return true;
        }
        if !it.can_act(asleep) {
            self.ready.remove(&key);
        }
        moved
    }
}

impl Conversation {
    const fn new(opener: bool) -> Self {
        Self {
            talk: None,
            opener,
            number: Vec::new(),
            supply: None,
            to_read: 0,
            passed: 0,
            readable: true,
            writable: true,
            finished: false,
            read_end: None,
            write_end: None,
            given_up: false,
        }
    }

    /// The talk is known.
    fn begin(&mut self, number: usize, talk: &Talk, _: End) {
        let (write, read) =
            if self.opener { (talk.there, talk.back) } else { (talk.back, talk.there) };
        let seed = (number as u64) * 2 + u64::from(self.opener);
        self.talk = Some(number);
        self.supply = Some(Supply::new(write, seed));
        self.to_read = read;
    }

    fn talk<'a>(&self, plan: &'a [Talk]) -> Option<&'a Talk> {
        self.talk.and_then(|talk| plan.get(talk))
    }

    fn id(&self) -> u32 {
        self.talk.and_then(|talk| u32::try_from(talk).ok()).unwrap_or(u32::MAX)
    }

    fn write<M: Mux>(
        &mut self,
        mux: &mut M,
        now: Instant,
        key: StreamKey,
        most: usize,
        books: &mut Books<'_>,
    ) -> bool {
        let mut moved = false;
        while self.writable && self.write_end.is_none() && !self.finished && !self.given_up {
            let numbering = self.opener && !self.number.is_empty();
            let Some(supply) = self.supply.as_mut().filter(|it| numbering || !it.is_empty()) else {
                break;
            };
            let offered =
                if numbering { Bytes::copy_from_slice(&self.number) } else { supply.next(most) };
            let mut data = offered.clone();
            match mux.write(now, key, &mut data) {
                Sent::Accepted(count) => {
                    let sound = count > 0 && data.len() + count == offered.len();
                    books.note(hold("P-LOSS", sound, || {
                        format!("accepted {count} of {}, {} left", offered.len(), data.len())
                    }));
                    moved = true;
                    if numbering {
                        self.number.drain(..count.min(self.number.len()));
                    } else {
                        supply.gave(count);
                        let (id, opener) = (self.id(), self.opener);
                        books.ledger(opener).accepted(id, offered.slice(..count));
                        self.passed += count as u64;
                        if most < usize::MAX {
                            break;
                        }
                    }
                }
                Sent::Blocked => self.writable = false,
                Sent::End(end) => {
                    moved = true;
                    self.write_end = Some(end);
                }
                Sent::Unknown => {
                    books.note(Err(Broken::new("P-CANCEL", format!("{key:?} is unknown"))));
                    return false;
                }
            }
        }
        moved
    }

    fn read<M: Mux>(
        &mut self,
        mux: &mut M,
        now: Instant,
        key: StreamKey,
        most: usize,
        books: &mut Books<'_>,
        end: End,
    ) -> bool {
        let mut moved = false;
        while self.readable && self.read_end.is_none() && !self.given_up {
            let numbering = !self.opener && self.talk.is_none();
            let most = if numbering { NUMBER - self.number.len() } else { most };
            match mux.read(now, key, most) {
                Received::Data(bytes) => {
                    moved = true;
                    books.note(hold("P-SAME", !bytes.is_empty() && bytes.len() <= most, || {
                        format!("a read of at most {most} brought {}", bytes.len())
                    }));
                    if numbering {
                        self.number.extend_from_slice(&bytes);
                        if let Ok(number) = <[u8; NUMBER]>::try_from(self.number.as_slice()) {
                            self.meet(u32::from_le_bytes(number) as usize, books, end);
                        }
                        continue;
                    }
                    self.passed += bytes.len() as u64;
                    self.to_read = self.to_read.saturating_sub(bytes.len() as u64);
                    let (id, opener) = (self.id(), self.opener);
                    let booked = books.ledger(!opener).delivered(id, &bytes);
                    books.note(booked);
                    if most < usize::MAX {
                        break;
                    }
                }
                Received::Blocked => self.readable = false,
                Received::End(why) => {
                    moved = true;
                    // Where a wire has no resets, one that was given up seems to end in order; one
                    // that is forgotten may do so anywhere.
                    let given_up = self.talk(books.plan).and_then(|talk| talk.gives_up);
                    let seems = given_up
                        .is_some_and(|(_, _, way)| way == Way::Forget || !mux.abilities().reset);
                    if why == StreamEnd::Finished && self.talk.is_some() && !seems {
                        let (id, opener) = (self.id(), self.opener);
                        let booked = books.ledger(!opener).ended(id);
                        books.note(booked);
                    }
                    self.read_end = Some(why);
                }
                _ => {
                    books.note(Err(Broken::new("P-CANCEL", format!("{key:?} is unknown"))));
                    return false;
                }
            }
        }
        moved
    }

    fn meet(&mut self, number: usize, books: &mut Books<'_>, end: End) {
        match books.plan.get(number) {
            Some(talk) if talk.opener != end => {
                let talk = talk.clone();
                self.begin(number, &talk, end);
            }
            _ => books.note(Err(Broken::new("P-LOSS", format!("a stream of talk {number}")))),
        }
    }

    /// Ends its direction, behind everything written. Where that ends the other one too, the opener
    /// does it once it has all it waits for.
    fn finish<M: Mux>(
        &mut self,
        mux: &mut M,
        now: Instant,
        key: StreamKey,
        half_close: bool,
        books: &mut Books<'_>,
    ) -> bool {
        let written = self.supply.as_ref().is_some_and(Supply::is_empty) && self.number_is_out();
        let mine = half_close || (self.opener && self.to_read == 0) || self.read_end.is_some();
        if self.finished || !written || !mine || self.write_end.is_some() || self.given_up {
            return false;
        }
        self.finished = true;
        if half_close || self.opener {
            let (id, opener) = (self.id(), self.opener);
            books.ledger(opener).finished(id);
        }
        mux.finish(now, key);
        if !half_close {
            // Whatever comes now is dropped, and nothing more is told.
            self.read_end.get_or_insert(StreamEnd::Finished);
        }
        true
    }

    fn give_up<M: Mux>(
        &mut self,
        mux: &mut M,
        now: Instant,
        key: StreamKey,
        end: End,
        books: &mut Books<'_>,
    ) -> bool {
        let plan = self.talk(books.plan).and_then(|talk| talk.gives_up);
        let Some((_, _, way)) = plan.filter(|(who, after, _)| *who == end && self.passed >= *after)
        else {
            return false;
        };
        if core::mem::replace(&mut self.given_up, true) {
            return false;
        }
        let id = self.id();
        books.there.forgotten(id);
        books.back.forgotten(id);
        if way == Way::Reset {
            mux.reset(now, key);
        }
        true
    }

    fn number_is_out(&self) -> bool {
        !self.opener || self.number.is_empty()
    }

    fn is_over(&self, asleep: bool) -> bool {
        let read = self.read_end.is_some();
        let written = self.finished || self.write_end.is_some() || self.talk.is_none();
        // One that never reads goes on until the other end has had enough.
        self.given_up || (read && written) || (asleep && self.write_end.is_some())
    }

    fn can_act(&self, asleep: bool) -> bool {
        let reads = self.readable && self.read_end.is_none() && !asleep;
        let written = self.supply.as_ref().is_some_and(Supply::is_empty) && self.number_is_out();
        let writes = self.writable && self.supply.is_some() && !written;
        !self.given_up && self.write_end.is_none() && (reads || writes)
            || self.write_end.is_some() && reads
    }
}
