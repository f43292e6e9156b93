//! Byte strings in JSON, in the notation of the golden vectors (feature `serde`).
//!
//! `{"hex": "0a0b"}` is what is written. Read are also `{"repeat": {"hex": .., "count": n}}`,
//! `{"parts": [..]}`, `{"concat": [..]}`, and a bare string or list where `hex` may hold one. In
//! formats that are not for people a payload is a byte string.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::Payload;

/// The most bytes that one notation may stand for; a `repeat` is short and can ask for anything.
const MOST: usize = 1 << 28;

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Notation {
    Text(String),
    List(Vec<Self>),
    Map(MapNotation),
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum MapNotation {
    Hex(Box<Notation>),
    Parts(Vec<Notation>),
    Concat(Vec<Notation>),
    Repeat { hex: Box<Notation>, count: u64 },
}

impl Notation {
    fn write(&self, to: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Self::Text(text) => hex(text, to),
            Self::List(parts)
            | Self::Map(MapNotation::Parts(parts) | MapNotation::Concat(parts)) => {
                parts.iter().try_for_each(|part| part.write(to))
            }
            Self::Map(MapNotation::Hex(inner)) => inner.write(to),
            Self::Map(MapNotation::Repeat { hex, count }) => {
                let mut unit = Vec::new();
                hex.write(&mut unit)?;
                let count = usize::try_from(*count).map_err(|_| "too many bytes")?;
                let fits = unit.len().checked_mul(count).is_some_and(|len| len <= MOST - to.len());
                if !fits {
                    return Err("too many bytes");
                }
                to.extend_from_slice(&unit.repeat(if unit.is_empty() { 0 } else { count }));
                Ok(())
            }
        }
    }
}

fn hex(text: &str, to: &mut Vec<u8>) -> Result<(), &'static str> {
    if text.len() / 2 > MOST - to.len() {
        return Err("too many bytes");
    }
    let digits = text.as_bytes().chunks(2);
    for pair in digits {
        let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("not a string of hex digits in pairs");
        };
        to.push((high << 4 | low) as u8);
    }
    Ok(())
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(&self.clone().into_bytes());
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("hex", &digits(self))?;
        map.end()
    }
}

/// A payload that stands as bare hex digits, and may be read in any notation.
pub(crate) struct HexText(pub(crate) Payload);

impl Serialize for HexText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        serializer.serialize_str(&digits(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Payload::deserialize(deserializer).map(Self)
    }
}

fn digits(payload: &Payload) -> String {
    let mut text = String::with_capacity(2 * payload.len());
    for byte in payload.pieces().flat_map(|piece| piece.iter()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return deserializer.deserialize_byte_buf(Bytes);
        }
        let mut bytes = Vec::new();
        Notation::deserialize(deserializer)?.write(&mut bytes).map_err(de::Error::custom)?;
        Ok(bytes.into())
    }
}

struct Bytes;

impl de::Visitor<'_> for Bytes {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Payload, E> {
        Ok(bytes.to_vec().into())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Payload, E> {
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::from_str::<Payload>(json).map(|payload| payload.into_bytes().to_vec())
    }

    #[test]
    fn every_notation_is_read() {
        assert_eq!(read(r#"{"hex":"0a0B"}"#).unwrap(), [10, 11]);
        assert_eq!(read(r#""ff""#).unwrap(), [255]);
        assert_eq!(read(r#"["01",{"repeat":{"hex":"02","count":3}}]"#).unwrap(), [1, 2, 2, 2]);
        assert_eq!(read(r#"{"hex":{"concat":["01","02"]}}"#).unwrap(), [1, 2]);
        assert_eq!(read(r#"{"parts":[{"hex":"01"}]}"#).unwrap(), [1]);
        assert!(read(r#"{"hex":""}"#).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_notation_or_too_long_is_refused() {
        for json in [
            r#"{"hex":"0"}"#,
            r#"{"hex":"zz"}"#,
            r#"{"hex":"é"}"#,
            r#"7"#,
            r#"{"other":"00"}"#,
            r#"{"repeat":{"hex":"00","count":18446744073709551615}}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
