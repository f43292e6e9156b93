//! P-LOSS: what was accepted arrives, in order and once.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf as _, Bytes};

use super::{Broken, hold};

const PROMISE: &str = "P-LOSS";

/// The books of one direction: what each stream's writer got rid of, and what its reader got.
///
/// It keeps what is under way (without a copy) and compares it with what comes, so that gigabytes
/// can pass through it.
///
/// ```
/// use bytes::Bytes;
/// use trunkline_conformance::laws::Ledger;
///
/// let mut books = Ledger::default();
/// books.accepted(1, Bytes::from_static(b"abc"));
/// books.finished(1);
/// books.delivered(1, b"ab").unwrap();
/// assert!(books.ended(1).is_err()); // the "c" is missing
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    streams: BTreeMap<u32, Lane>,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    under_way: VecDeque<Bytes>,
    accepted: u64,
    delivered: u64,
    finished: bool,
    ended: bool,
    /// Its reader has given it up.
    forgotten: bool,
}

impl Ledger {
    /// The writer of a stream got rid of these bytes.
    pub fn accepted(&mut self, stream: u32, bytes: Bytes) {
        let lane = self.streams.entry(stream).or_default();
        lane.accepted += bytes.len() as u64;
        lane.under_way.push_back(bytes);
    }

    /// The writer of a stream has ended it.
    pub fn finished(&mut self, stream: u32) {
        self.streams.entry(stream).or_default().finished = true;
    }

    /// The reader of a stream has given it up: what is still to come is lost, and that is all right.
    pub fn forgotten(&mut self, stream: u32) {
        self.streams.entry(stream).or_default().forgotten = true;
    }

    /// The reader of a stream got these bytes.
    ///
    /// # Errors
    ///
    /// [`Broken`] when they are not the next ones, or come behind the end.
    pub fn delivered(&mut self, stream: u32, bytes: &[u8]) -> Result<(), Broken> {
        let lane = self.streams.entry(stream).or_default();
        let place = lane.delivered;
        let wrong =
            |what: &str| Broken::new(PROMISE, format!("stream {stream}, byte {place}: {what}"));
        if lane.ended {
            return Err(wrong("it came behind the end"));
        }
        let mut left = bytes;
        while !left.is_empty() {
            let Some(next) = lane.under_way.front_mut() else {
                return Err(wrong("more came than was written"));
            };
            let most = left.len().min(next.len());
            let (piece, rest) = left.split_at(most);
            if next.get(..most) != Some(piece) {
                return Err(wrong("what came is not what was written"));
            }
            left = rest;
            next.advance(most);
            lane.delivered += most as u64;
            if next.is_empty() {
                lane.under_way.pop_front();
            }
        }
        Ok(())
    }

    /// The reader of a stream was told that it has ended in order.
    ///
    /// # Errors
    ///
    /// [`Broken`] when its writer has not ended it, or something is missing.
    pub fn ended(&mut self, stream: u32) -> Result<(), Broken> {
        let lane = self.streams.entry(stream).or_default();
        lane.ended = true;
        let (accepted, delivered) = (lane.accepted, lane.delivered);
        hold("P-ERR", lane.finished, || format!("stream {stream} ended, and its writer did not"))?;
        hold(PROMISE, accepted == delivered, || {
            format!("stream {stream} ended with {delivered} of {accepted} bytes")
        })
    }

    /// Everything is over in order: everything has arrived, and so has every end.
    ///
    /// # Errors
    ///
    /// [`Broken`] when something has not.
    pub fn settled(&self) -> Result<(), Broken> {
        for (stream, lane) in self.streams.iter().filter(|(_, lane)| !lane.forgotten) {
            let (accepted, delivered) = (lane.accepted, lane.delivered);
            hold(PROMISE, accepted == delivered, || {
                format!("stream {stream}: {delivered} of {accepted} bytes arrived")
            })?;
            hold(PROMISE, lane.ended == lane.finished, || {
                format!("stream {stream}: the end was written and did not arrive")
            })?;
        }
        Ok(())
    }

    /// Bytes of one stream that its reader got.
    #[must_use]
    pub fn got(&self, stream: u32) -> u64 {
        self.streams.get(&stream).map_or(0, |lane| lane.delivered)
    }

    /// Bytes accepted, and bytes delivered, of all streams.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let sum = |of: fn(&Lane) -> u64| self.streams.values().map(of).sum();
        (sum(|lane| lane.accepted), sum(|lane| lane.delivered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(written: &[&'static str]) -> Ledger {
        let mut books = Ledger::default();
        for text in written {
            books.accepted(1, Bytes::from_static(text.as_bytes()));
        }
        books
    }

    #[test]
    fn what_arrives_in_other_pieces_is_the_same() {
        let mut books = books(&["ab", "cde", "f"]);
        for piece in [&b"a"[..], b"bcd", b"ef"] {
            books.delivered(1, piece).unwrap();
        }
        books.finished(1);
        assert!(books.settled().is_err());
        books.ended(1).unwrap();
        books.settled().unwrap();
        assert_eq!(books.totals(), (6, 6));
    }

    #[test]
    fn loss_repetition_order_and_invention_are_noticed() {
        for wrong in [&b"b"[..], b"aa", b"abcc", b"abcd"] {
            assert!(books(&["ab", "c"]).delivered(1, wrong).is_err());
        }
        let mut late = books(&["ab"]);
        late.finished(1);
        late.delivered(1, b"ab").unwrap();
        late.ended(1).unwrap();
        assert!(late.delivered(1, b"").is_err());
        assert_eq!(books(&["ab"]).ended(1).unwrap_err().promise, "P-ERR");
        assert_eq!(books(&["ab"]).settled().unwrap_err().promise, "P-LOSS");
    }
}
