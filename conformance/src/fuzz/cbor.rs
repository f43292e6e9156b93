//! The codec against `ciborium`: `docs/protocols/agentproto.md` sections 2 and 3.

use std::fmt::Debug;

use bytes::Bytes;
use ciborium::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use trunkline_core::agentproto::{Config, Decoder, Frame, Item, Malformed, Record, Violation};

use super::schema::{FRAME, Field, No, RECORD, Reader};

/// Bytes as CBOR, read by `ciborium` and by core.
///
/// Input: a byte whose bit 0 asks for a record instead of a frame, then what arrives.
///
/// Holds: what `ciborium` reads as a value, and the page takes, core takes, in the same length and
/// with the same meaning (the tables here are written from the page); what the page refuses, core
/// refuses; what core takes, `ciborium` finds whole; what core writes, `ciborium` reads as the same
/// item, and writes alike.
///
/// Where the two differ by intent: `ciborium` takes simple values below 32 in two bytes and chunks
/// that are themselves of indefinite length (R1), nesting to 256 levels and lists of any length
/// (limits), text that is UTF-8 only when its chunks
/// are joined (R6); it refuses unassigned simple values (D17), text that is not UTF-8 within what
/// is passed over (D4), and big numbers beyond 128 bits; short big numbers become integers, and long
/// ones lose the zeroes in front, so that where only core sees the difference nothing is compared.
///
/// # Panics
///
/// When one of these is broken.
pub fn agentproto_cbor(input: &[u8]) {
    let Some((how, bytes)) = input.split_first() else { return };
    if how & 1 == 0 {
        compare::<Frame>(FRAME, bytes);
    } else {
        compare::<Record>(RECORD, bytes);
    }
}

fn compare<T>(fields: &'static [Field], bytes: &[u8])
where
    T: Item + Debug + Serialize + DeserializeOwned,
{
    let mut decoder = Decoder::<T>::new(&Config::default());
    decoder.push(Bytes::copy_from_slice(bytes));
    let ours = decoder.poll();
    let mut rest = bytes;
    let theirs = ciborium::from_reader::<Value, _>(&mut rest);
    let length = (bytes.len() - rest.len()) as u64;

    if let Ok(Some(item)) = &ours {
        assert!(!matches!(theirs, Err(ciborium::de::Error::Io(_))), "longer than core took it for");
        written(item);
    }
    let Ok(value) = theirs else { return };
    let big_numbers = bytes.iter().any(|byte| matches!(byte, 0xc2 | 0xc3 | 0xd8..=0xdb));
    match (Reader { big_numbers }.message(fields, &value), &ours) {
        (Err(No::Doubtful), _) | (Err(No::Refused), Err(_)) => {}
        (Ok(meant), Ok(Some(item))) => {
            assert_eq!(decoder.position(), length, "the item's end");
            assert_eq!(Value::serialized(item).ok(), Some(meant), "the meaning of {value:?}");
        }
        (Ok(_), Err(violation)) => {
            assert!(differs_by_intent(violation, bytes), "{violation:?} for {value:?}");
        }
        (meant, ours) => unreachable!("{ours:?}, though {value:?} means {meant:?}"),
    }
}

/// Whether core refuses by a rule that `ciborium` does not know, and that these bytes may break.
fn differs_by_intent(violation: &Violation, bytes: &[u8]) -> bool {
    match violation {
        Violation::Malformed(Malformed::Simple(_)) => bytes.contains(&0xf8),
        // The same where a frame should begin.
        Violation::NotAFrame { .. } => bytes.first() == Some(&0xf8),
        Violation::Malformed(Malformed::ChunkIndefinite) => {
            bytes.iter().filter(|byte| matches!(byte, 0x5f | 0x7f)).count() > 1
        }
        Violation::Depth { limit } | Violation::Elements { limit } => bytes.len() > *limit,
        Violation::Utf8 { .. } => bytes.contains(&0x7f),
        _ => false,
    }
}

/// What core writes is what `ciborium` writes and reads.
fn written<T>(item: &T)
where
    T: Item + Debug + Serialize + DeserializeOwned,
{
    // What was read has no list longer than the limit.
    let ours = item.to_bytes().unwrap_or_default();
    let mut theirs = Vec::new();
    let done = ciborium::into_writer(item, &mut theirs);
    assert!(done.is_ok() && ours == theirs, "written otherwise: {item:?}");
    let back = ciborium::from_reader::<T, _>(ours.as_slice());
    assert_eq!(back.ok().as_ref(), Some(item), "read otherwise");
}
