//! Byte strings in JSON, as the vectors write them.
//!
//! One byte string may stand as `"0a0b"`, as a list of pieces, or as an object with the one key
//! `hex`, `parts`, `concat` or `repeat`; these nest. Written on its own here, apart from the
//! notation that core reads, so that neither can hide a mistake of the other.

use std::fmt::Write as _;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// The most bytes one notation may stand for; a `repeat` is short and can ask for anything.
const MOST: usize = 1 << 28;

/// A byte string in any of the notations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        bytes(&value).map(Self).map_err(D::Error::custom)
    }
}

/// A JSON value in which every byte string stands as `{"hex": ".."}` in lower case.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain(pub Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        plain(&value).map(Self).map_err(D::Error::custom)
    }
}

/// The bytes that `value` stands for.
///
/// # Errors
///
/// What is wrong, when it is no notation of bytes or one of too many.
pub fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    let mut to = Vec::new();
    append(value, &mut to)?;
    Ok(to)
}

/// `value` with every byte string in it in the one form `{"hex": ".."}`.
///
/// # Errors
///
/// What is wrong, when something that looks like a byte string is none.
pub fn plain(value: &Value) -> Result<Value, String> {
    match value {
        Value::Array(list) => list.iter().map(plain).collect::<Result<_, _>>().map(Value::Array),
        Value::Object(map) if notation(map).is_some() => Ok(json!({ "hex": hex(&bytes(value)?) })),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| Ok((key.clone(), plain(value)?)))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        other => Ok(other.clone()),
    }
}

/// Bytes as hex digits in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The one key of an object that notes bytes, and what stands under it.
fn notation(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = map.iter();
    let (key, value) = entries.next()?;
    let known = matches!(key.as_str(), "hex" | "parts" | "concat" | "repeat");
    (known && entries.next().is_none()).then_some((key, value))
}

fn append(value: &Value, to: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Value::String(digits) => append_digits(digits, to),
        Value::Array(pieces) => pieces.iter().try_for_each(|piece| append(piece, to)),
        Value::Object(map) => match notation(map) {
            Some(("repeat", repeat)) => append_repeat(repeat, to),
            Some((_, inner)) => append(inner, to),
            None => Err("an object that is no notation of bytes".into()),
        },
        _ => Err("neither hex digits nor a notation of bytes".into()),
    }
}

fn append_digits(digits: &str, to: &mut Vec<u8>) -> Result<(), String> {
    room(digits.len() / 2, to)?;
    for pair in digits.as_bytes().chunks(2) {
        let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let byte =
            digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        to.push(byte.ok_or("text that is not hex digits in pairs")?);
    }
    Ok(())
}

fn append_repeat(repeat: &Value, to: &mut Vec<u8>) -> Result<(), String> {
    let unit = bytes(repeat.get("hex").ok_or("a `repeat` without `hex`")?)?;
    let count = repeat.get("count").and_then(Value::as_u64).ok_or("a `repeat` without `count`")?;
    let count = usize::try_from(count).map_err(|_| "a `repeat` of too many bytes")?;
    let length = unit.len().checked_mul(count).ok_or("a `repeat` of too many bytes")?;
    room(length, to)?;
    to.extend_from_slice(&unit.repeat(if unit.is_empty() { 0 } else { count }));
    Ok(())
}

fn room(more: usize, to: &[u8]) -> Result<(), String> {
    if more > MOST - to.len() { Err(format!("more than {MOST} bytes")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_read() {
        for (value, expected) in [
            (json!("0a0B"), "0a0b"),
            (json!(""), ""),
            (json!({"hex": "ff"}), "ff"),
            (json!(["01", {"repeat": {"hex": "0203", "count": 2}}, "04"]), "010203020304"),
            (json!({"parts": [{"hex": "01"}, {"repeat": {"hex": "02", "count": 1}}]}), "0102"),
            (json!({"hex": {"concat": ["01", {"hex": "02"}]}}), "0102"),
            (json!({"hex": {"repeat": {"hex": "00", "count": 3}}}), "000000"),
            (json!({"repeat": {"hex": "", "count": u64::MAX}}), ""),
        ] {
            assert_eq!(hex(&bytes(&value).unwrap()), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_notation_or_too_long_is_refused() {
        for value in [
            json!("0"),
            json!("0g"),
            json!("é"),
            json!(7),
            json!(null),
            json!({}),
            json!({"hex": "00", "more": 1}),
            json!({"repeat": {"hex": "00"}}),
            json!({"repeat": {"hex": "00", "count": -1}}),
            json!({"repeat": {"hex": "0000", "count": u64::MAX}}),
            json!({"repeat": {"hex": "00", "count": 1_u64 << 40}}),
        ] {
            assert!(bytes(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn byte_strings_become_plain_wherever_they_stand() {
        let value =
            json!({"a": [{"repeat": {"hex": "0A", "count": 2}}], "hex": {"hex": "FF"}, "n": null});
        let expected = json!({"a": [{"hex": "0a0a"}], "hex": {"hex": "ff"}, "n": null});
        assert_eq!(plain(&value), Ok(expected));
        assert!(plain(&json!({"d": {"hex": "0"}})).is_err());
    }
}
