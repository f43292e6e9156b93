//! The decoder and the encoder: `docs/protocols/agentproto.md` sections 2, 3, 12 and 15.

use std::fmt::Debug;

use bytes::Bytes;
use trunkline_core::agentproto::{Acceptance, Config, Decoder, Frame, Item, Record, Violation};

use super::weight::Weigh;

/// Bytes as frames.
///
/// Input: a byte of settings (see `settings`), a byte that chooses the cuts, then what arrives.
///
/// Holds: the same outcome however the bytes are cut; what was taken is written and read back as
/// it was; what is canonical is written as it came; each stricter acceptance takes a part of the
/// looser one; an error stays; no item is longer, and none keeps more memory, than the limits say.
///
/// # Panics
///
/// When one of these is broken.
pub fn agentproto_frame(input: &[u8]) {
    codec::<Frame>(input);
}

/// Bytes as the records of a recording, which may be damaged.
///
/// Input and promises as for [`agentproto_frame`]; besides, a file cut anywhere gives the records
/// that lie whole in what is left, and an error or a truncation; they can be verified and written
/// again, and no secret planted in them gets through a redaction.
///
/// # Panics
///
/// When one of these is broken.
pub fn agentproto_record(input: &[u8]) {
    codec::<Record>(input);
    let Some(([_, cut], bytes)) = input.split_first_chunk::<2>() else { return };
    let config = Config::default();
    let whole = decode::<Record>(&config, [Bytes::copy_from_slice(bytes)]);
    let kept = bytes.len() * usize::from(*cut) / 256;
    let part = decode::<Record>(&config, bytes.get(..kept).map(Bytes::copy_from_slice));
    let ends = whole.items.iter().filter(|item| item.end <= kept as u64).count();
    assert_eq!(part.items, whole.items.get(..ends).unwrap_or_default(), "the whole records");
    let boundary = part.items.last().map_or(0, |item| item.end);
    match part.end {
        Ok(left) => assert_eq!(left as u64, kept as u64 - boundary, "the rest is a truncation"),
        Err((_, position)) => assert_eq!(position, boundary, "the item behind them is to blame"),
    }
    super::recording::recording(bytes, *cut);
}

/// The settings that the first byte of an input chooses: bit 0 tight limits.
fn settings(how: u8) -> Config {
    let mut config = Config::default();
    if how & 1 != 0 {
        config.limits.frame = 300;
        config.limits.frame_memory = 1_500;
        config.limits.depth = 5;
        config.limits.elements = 12;
    }
    config
}

/// One item, and where in the stream it ends.
#[derive(Clone, Debug, PartialEq)]
struct Found<T> {
    item: T,
    end: u64,
}

/// What came out of a stream.
#[derive(Debug, PartialEq)]
struct Decoded<T> {
    items: Vec<Found<T>>,
    /// The rule that was broken and the place of the item that broke it, or how much is left.
    end: Result<usize, (Violation, u64)>,
}

fn decode<T: Item + Weigh + Debug>(
    config: &Config,
    chunks: impl IntoIterator<Item = Bytes>,
) -> Decoded<T> {
    let mut decoder = Decoder::<T>::new(config);
    let mut items = Vec::new();
    let mut pushed = 0;
    for chunk in chunks {
        pushed += chunk.len();
        decoder.push(chunk);
        loop {
            let begun = decoder.position();
            match decoder.poll() {
                Ok(Some(item)) => {
                    let end = decoder.position();
                    assert!(end > begun && end <= pushed as u64, "an item of {begun} to {end}");
                    assert!(end - begun <= config.limits.frame as u64, "longer than the limit");
                    assert!(item.weight() <= config.limits.frame_memory, "heavier than the limit");
                    items.push(Found { item, end });
                }
                Ok(None) => {
                    assert_eq!(decoder.buffered() as u64 + begun, pushed as u64);
                    assert!(decoder.buffered() <= config.limits.frame, "more than a frame waits");
                    break;
                }
                Err(violation) => {
                    let position = decoder.position();
                    decoder.push(Bytes::from_static(b"\xa1\x61t\x05"));
                    assert_eq!(decoder.poll(), Err(violation.clone()), "an error stays");
                    assert_eq!(decoder.position(), position);
                    return Decoded { items, end: Err((violation, position)) };
                }
            }
        }
    }
    Decoded { items, end: Ok(decoder.buffered()) }
}

/// Bytes in pieces of sizes that `seed` chooses, mostly small ones.
pub(super) fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = Bytes> {
    let mut state = u32::from(seed).wrapping_mul(0x9e37_79b9).wrapping_add(1);
    let mut left = Bytes::copy_from_slice(bytes);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = match state >> 29 {
            0..=3 => 1 + (state >> 8) % 4,
            4..=6 => 1 + (state >> 8) % 40,
            _ => 1 + (state >> 8) % 5_000,
        };
        (!left.is_empty()).then(|| left.split_to(left.len().min(size as usize)))
    })
}

fn items<T: Clone>(decoded: &Decoded<T>) -> Vec<T> {
    decoded.items.iter().map(|found| found.item.clone()).collect()
}

fn written<T: Item>(items: &[T]) -> Vec<u8> {
    // What was read has no list longer than the limit.
    items.iter().flat_map(|item| item.to_bytes().unwrap_or_default()).collect()
}

fn codec<T: Item + Weigh + Debug + Clone>(input: &[u8]) {
    let Some(([how, cut], bytes)) = input.split_first_chunk::<2>() else { return };
    let mut config = settings(*how);
    let whole = || [Bytes::copy_from_slice(bytes)];

    let lenient = decode::<T>(&config, whole());
    assert_eq!(decode(&config, pieces(bytes, *cut)), lenient, "cut anywhere");
    if bytes.len() <= 600 {
        let bytewise = bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
        assert_eq!(decode(&config, bytewise), lenient, "byte by byte");
    }

    config.acceptance = Acceptance::Format;
    let format = decode::<T>(&config, whole());
    assert_eq!(decode(&config, pieces(bytes, *cut)), format, "Format, cut anywhere");
    config.acceptance = Acceptance::Canonical;
    let strict = decode::<T>(&config, whole());
    assert_eq!(decode(&config, pieces(bytes, *cut)), strict, "Canonical, cut anywhere");
    for (part, of) in [(&format, &lenient), (&strict, &format)] {
        assert_eq!(Some(&part.items[..]), of.items.get(..part.items.len()), "stricter takes less");
    }

    let read = items(&lenient);
    let again = written(&read);
    // An encoding with zeros left out becomes longer when written, so the limits are the usual ones.
    let mut usual = Config::default();
    usual.acceptance = Acceptance::Canonical;
    let back = decode::<T>(&usual, [Bytes::from(again.clone())]);
    assert_eq!((items(&back), &back.end), (read, &Ok(0)), "written and read back");

    let strict_bytes = written(&items(&strict));
    assert!(bytes.starts_with(&strict_bytes), "what is canonical is written as it came");
    let canonical = bytes.starts_with(&again) && lenient.items.len() > strict.items.len();
    assert!(!canonical, "the canonical encoding was refused: {:?}", strict.end);
}
