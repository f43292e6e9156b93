//! Decodes the bytes of a case in every way in which they could arrive.
//!
//! However a stream is cut, and wherever in a buffer an item lies, the same items and the same
//! error must come out. So every case of bytes is decoded many times, and the ways are compared.

use std::fmt::Debug;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trunkline_core::agentproto::{
    Acceptance, Config, Decoder, Frame, Item, Record, Violation, data_segment, encode,
};

use crate::case::{Check, ensure};
use crate::diff;
use crate::notation;
use crate::report::Verdict;

/// Sizes of pieces; one byte always, then odd ones, so that heads and payloads are cut everywhere.
const PIECES: [usize; 7] = [1, 2, 3, 7, 61, 1_021, 32_769];

/// Up to this length every cut into two is tried.
const CUT_EVERYWHERE: usize = 300;

/// From this length on only some ways are tried.
const LONG: usize = 100_000;

/// What a stream can consist of, and what the checks need of it.
pub trait Wire: Item + Clone + Debug + Serialize + DeserializeOwned {
    /// Whole canonical items of different lengths, to put before a case.
    const LEADS: &'static [&'static [u8]];

    /// Every encoding that core offers of the item, each with its name.
    ///
    /// # Errors
    ///
    /// When the item is refused.
    fn encodings(&self) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
        let bytes = self.to_bytes().map_err(|why| format!("to_bytes refuses it: {why}"))?;
        Ok(vec![("to_bytes", bytes)])
    }
}

impl Wire for Frame {
    const LEADS: &'static [&'static [u8]] =
        &[b"\xa1at\x05", b"\xa2ac\x01at\x05", b"\xa2ac\x18\x2aat\x05", b"\xa2ac\x19\x01\x00at\x05"];

    fn encodings(&self) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
        let bytes = self.to_bytes().map_err(|why| format!("to_bytes refuses it: {why}"))?;
        let segment = encode(self).map_err(|why| format!("encode refuses it: {why}"))?;
        let slices = segment.slices().concat();
        if segment.len() != slices.len() || segment.clone().into_bytes() != slices {
            return Err("encode gives a segment whose length, slices and bytes differ".into());
        }
        let mut encodings = vec![("to_bytes", bytes), ("encode", slices)];
        if !self.data.is_empty() && *self == Self::data(self.stream, self.data.clone()) {
            let segment = data_segment(self.stream, self.data.clone().into_bytes());
            encodings.push(("data_segment", segment.slices().concat()));
        }
        Ok(encodings)
    }
}

impl Wire for Record {
    const LEADS: &'static [&'static [u8]] = &[b"\xa1dtype\x09", b"\xa1dtype\x18\xff"];
}

/// What came out of a stream.
#[derive(Clone, Debug)]
pub struct Decoded<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// What ended the decoding, if anything did.
    pub error: Option<Violation>,
    /// Bytes of an item that is not whole; without meaning after an error.
    pub left: usize,
    /// Where the item begins that is not whole or is wrong.
    pub position: u64,
}

/// One way in which a stream can arrive.
#[derive(Clone, Copy, Debug)]
enum Way {
    Whole,
    Pieces(usize),
    CutAt(usize),
    Behind(&'static [u8]),
}

impl Way {
    fn told(self) -> String {
        match self {
            Self::Whole => "in one piece".into(),
            Self::Pieces(size) => format!("in pieces of {size}"),
            Self::CutAt(at) => format!("cut at byte {at}"),
            Self::Behind(lead) => format!("behind an item of {} bytes", lead.len()),
        }
    }

    fn chunks(self, bytes: &[u8]) -> Vec<Bytes> {
        match self {
            Self::Whole => vec![Bytes::copy_from_slice(bytes)],
            Self::Pieces(size) => bytes.chunks(size).map(Bytes::copy_from_slice).collect(),
            Self::CutAt(at) => {
                let mut rest = Bytes::copy_from_slice(bytes);
                vec![rest.split_to(at.min(bytes.len())), rest]
            }
            Self::Behind(lead) => vec![[lead, bytes].concat().into()],
        }
    }
}

/// Decodes `bytes` in every way, gives what came out of each to `check`, and returns what came out
/// when they arrived in one piece.
///
/// # Errors
///
/// [`Verdict::Fail`] when two ways differ or `check` fails.
pub fn every_way<T: Wire>(
    bytes: &[u8],
    acceptance: Acceptance,
    mut check: impl FnMut(&Decoded<T>) -> Check,
) -> Check<Decoded<T>> {
    let whole = decode::<T>(bytes, Way::Whole, acceptance)?;
    check(&whole)?;
    for way in ways::<T>(bytes.len(), acceptance) {
        let other = decode::<T>(bytes, way, acceptance)?;
        let place = |why| Verdict::Fail(format!("{}: {why}", way.told()));
        if let Some(why) = difference(&whole, &other) {
            return Err(place(format!("{why} in one piece")));
        }
        check(&other).map_err(|verdict| match verdict {
            Verdict::Fail(why) => place(why),
            other => other,
        })?;
    }
    Ok(whole)
}

/// Decodes `bytes` in every way and returns what came out, the same in each.
///
/// # Errors
///
/// [`Verdict::Fail`] when two ways differ.
pub fn everything<T: Wire>(bytes: &[u8], acceptance: Acceptance) -> Check<Decoded<T>> {
    every_way(bytes, acceptance, |_| Ok(()))
}

/// The ways other than in one piece.
fn ways<T: Wire>(length: usize, acceptance: Acceptance) -> Vec<Way> {
    let mut ways: Vec<Way> = if length < LONG {
        PIECES.into_iter().filter(|size| *size < length).map(Way::Pieces).collect()
    } else if acceptance == Acceptance::Lenient {
        vec![Way::Pieces(1), Way::Pieces(1_021)]
    } else {
        return vec![Way::Pieces(1_021)];
    };
    if length <= CUT_EVERYWHERE {
        ways.extend((1..length).map(Way::CutAt));
    }
    ways.extend(T::LEADS.iter().map(|lead| Way::Behind(lead)));
    ways
}

fn decode<T: Wire>(bytes: &[u8], way: Way, acceptance: Acceptance) -> Check<Decoded<T>> {
    let mut config = Config::default();
    config.acceptance = acceptance;
    let mut decoder = Decoder::<T>::new(&config);
    let mut decoded = Decoded { items: Vec::new(), error: None, left: 0, position: 0 };
    let fail = |why: &str| Err(Verdict::Fail(format!("{}: {why}", way.told())));
    for chunk in way.chunks(bytes) {
        decoder.push(chunk);
        while let Some(outcome) = decoder.poll().transpose() {
            match outcome {
                Ok(item) => decoded.items.push(item),
                Err(error) => {
                    decoded.error = Some(error);
                    break;
                }
            }
            if decoded.items.len() > bytes.len() + 1 {
                return fail("the decoder gives more items than there are bytes");
            }
        }
    }
    if let Some(error) = &decoded.error {
        decoder.push(Bytes::from_static(b"\xa1at\x05"));
        if decoder.poll().as_ref() != Err(error) {
            return fail("the decoder does not stay with its error");
        }
    }
    decoded.left = decoder.buffered();
    decoded.position = decoder.position();
    if let Way::Behind(lead) = way {
        let whole = !decoded.items.is_empty() && decoded.position >= lead.len() as u64;
        if !whole || decoded.items.remove(0).to_bytes().as_deref() != Ok(lead) {
            return fail("the item before it does not come out whole");
        }
        decoded.position -= lead.len() as u64;
    }
    Ok(decoded)
}

/// In what `other` differs from `whole`, but for bytes shown in the error.
fn difference<T: Wire>(whole: &Decoded<T>, other: &Decoded<T>) -> Option<String> {
    let kind = |decoded: &Decoded<T>| decoded.error.as_ref().map_or("no error", Violation::kind);
    if whole.items.len() != other.items.len() {
        Some(format!("{} items, but {}", other.items.len(), whole.items.len()))
    } else if let Some(at) =
        (0..whole.items.len()).find(|at| whole.items.get(*at) != other.items.get(*at))
    {
        Some(format!("item {at} is another than"))
    } else if kind(whole) != kind(other) {
        Some(format!("{}, but {}", told(other), told(whole)))
    } else if whole.position != other.position {
        Some(format!("stops at byte {}, but {}", other.position, whole.position))
    } else if whole.error.is_none() && whole.left != other.left {
        Some(format!("{} bytes left, but {}", other.left, whole.left))
    } else {
        None
    }
}

/// What came out, in words.
#[must_use]
pub fn told<T>(decoded: &Decoded<T>) -> String {
    let items = match decoded.items.len() {
        1 => "1 item".to_owned(),
        count => format!("{count} items"),
    };
    match &decoded.error {
        Some(error) => format!("{items}, then {}: {error}", error.kind()),
        None if decoded.left > 0 => {
            format!("{items}, then {} bytes of one not whole", decoded.left)
        }
        None => items,
    }
}

/// The only item that came out.
///
/// # Errors
///
/// [`Verdict::Fail`] when there is not exactly one, or anything behind it.
pub fn only<T>(decoded: &Decoded<T>) -> Check<&T> {
    match (decoded.items.as_slice(), &decoded.error, decoded.left) {
        ([item], None, 0) => Ok(item),
        _ => Err(Verdict::Fail(format!("expected 1 item, seen {}", told(decoded)))),
    }
}

/// Checks that `item` is the value `expected`, as JSON and read from it.
///
/// # Errors
///
/// [`Verdict::Fail`] when it is another value.
pub fn is_value<T: Wire>(item: &T, expected: &Value) -> Check {
    let fail = |why: String| Verdict::Fail(why);
    let seen = serde_json::to_value(item)
        .map_err(|why| fail(format!("what was decoded cannot be written as JSON: {why}")))?;
    let seen = notation::plain(&seen).map_err(fail)?;
    if let Some(why) = diff::json(expected, &seen) {
        return Err(fail(format!("decoded: {why}")));
    }
    ensure(from_value::<T>(expected)? == *item, || {
        "the value read from JSON is another than the one decoded, though they look the same".into()
    })
}

/// The item that `decoded` of a case stands for.
///
/// # Errors
///
/// [`Verdict::Fail`] when it cannot be read.
pub fn from_value<T: Wire>(decoded: &Value) -> Check<T> {
    serde_json::from_value(decoded.clone())
        .map_err(|why| Verdict::Fail(format!("the value cannot be read from JSON: {why}")))
}

/// Checks that every encoding of `item` is `expected`.
///
/// # Errors
///
/// [`Verdict::Fail`] when one is not.
pub fn encodes_to<T: Wire>(item: &T, expected: &[u8]) -> Check {
    for (name, seen) in item.encodings().map_err(Verdict::Fail)? {
        if let Some(why) = diff::bytes(expected, &seen) {
            return Err(Verdict::Fail(format!("{name} differs at {why}")));
        }
    }
    Ok(())
}

/// Whether a decoder may tell the violation at `position` as something else than a case does.
///
/// Two rules meet where an item at the top can be no frame: it is refused at its first byte, which
/// is earlier than a count, a length or a missing rest could be found
/// (`docs/protocols/agentproto.md` section 3).
#[must_use]
pub fn told_early<T>(decoded: &Decoded<T>, bytes: &[u8]) -> bool {
    let first = usize::try_from(decoded.position).ok().and_then(|at| bytes.get(at));
    let can_begin = |first: &u8| matches!(first, 0xa0..=0xdf | 0xf6 | 0xf7);
    matches!(decoded.error, Some(Violation::NotAFrame { .. })) && !first.is_none_or(can_begin)
}
