//! The messages of agentproto as tables of their own, and what a CBOR value means by them:
//! `docs/protocols/agentproto.md` sections 3 to 5 and 12.
//!
//! Written from the page and not from core, so that neither can hide a mistake of the other.

use ciborium::Value;

/// What may stand under a key.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Unsigned(u64),
    Signed(i64, i64),
    Bool,
    Text,
    Bytes,
    /// A list; true: nil and empty differ.
    List(&'static Self, bool),
    /// A message that is always there.
    Message(&'static [Field]),
    /// A message that may be absent.
    Optional(&'static [Field]),
}

/// A key, whether it is written though zero, and what stands under it.
pub(super) type Field = (&'static str, bool, Kind);

/// Why a value does not mean a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum No {
    /// The page refuses it.
    Refused,
    /// `ciborium` does not show whether an integer was one: it turns short big numbers into them.
    Doubtful,
}

use Kind::{Bool, Bytes, List, Message, Optional, Text};

const U8: Kind = Kind::Unsigned(u8::MAX as u64);
const U32: Kind = Kind::Unsigned(u32::MAX as u64);
const U64: Kind = Kind::Unsigned(u64::MAX);
const I32: Kind = Kind::Signed(i32::MIN as i64, i32::MAX as i64);
const I64: Kind = Kind::Signed(i64::MIN, i64::MAX);
const NIL_TEXTS: Kind = List(&Text, true);
const TEXTS: Kind = List(&Text, false);

/// The frame of section 4.
pub(super) const FRAME: &[Field] = &[
    ("c", false, I64),
    ("d", false, Bytes),
    ("e", false, Text),
    ("i", false, Optional(&[("entries", true, List(&Message(ENTRY), true))])),
    ("l", false, Optional(&[("a", false, TEXTS), ("lvl", true, I64), ("msg", true, Text)])),
    ("q", false, Optional(&[("paths", false, TEXTS)])),
    ("s", false, U32),
    ("t", true, U8),
    ("x", false, Optional(EXEC)),
    ("cfg", false, Optional(&[("env_keep", true, NIL_TEXTS), ("env_remove", true, NIL_TEXTS)])),
    ("fop", false, Optional(REQUEST)),
    ("frp", false, Optional(RESPONSE)),
    ("sig", false, I64),
];

const ENTRY: &[Field] = &[
    ("mode", true, U32),
    ("name", true, Text),
    ("path", true, Text),
    ("size", true, I64),
    ("mtime", false, I64),
];

const EXEC: &[Field] = &[
    ("cwd", true, Text),
    ("env", true, NIL_TEXTS),
    ("fds", false, List(&U32, false)),
    ("argv", true, NIL_TEXTS),
    ("path", true, Text),
];

const REQUEST: &[Field] = &[
    ("d", false, Bytes),
    ("h", false, U32),
    ("p", false, Text),
    ("at", false, I64),
    ("fl", false, I32),
    ("id", true, U32),
    ("mo", false, U32),
    ("mt", false, I64),
    ("np", false, Text),
    ("of", false, I64),
    ("op", true, U8),
    ("sz", false, I64),
    ("gid", false, U32),
    ("uid", false, U32),
];

const RESPONSE: &[Field] = &[
    ("d", false, Bytes),
    ("h", false, U32),
    ("n", false, I64),
    ("p", false, Text),
    ("em", false, Text),
    ("en", false, List(&Message(&[("st", true, Message(STAT))]), false)),
    ("er", false, U32),
    ("id", true, U32),
    ("sf", false, Optional(STATFS)),
    ("st", false, Optional(STAT)),
    ("eof", false, Bool),
];

const STAT: &[Field] = &[
    ("d", false, Bool),
    ("m", true, U32),
    ("n", true, Text),
    ("s", true, I64),
    ("t", false, I64),
    ("at", false, I64),
    ("bl", false, U64),
    ("bs", false, U32),
    ("ct", false, I64),
    ("nl", false, U32),
    ("rd", false, U32),
    ("gid", false, U32),
    ("ino", false, U64),
    ("uid", false, U32),
];

const STATFS: &[Field] = &[
    ("b", false, U64),
    ("f", false, U64),
    ("ba", false, U64),
    ("bf", false, U64),
    ("bs", false, U32),
    ("ff", false, U64),
    ("fr", false, U32),
    ("nl", false, U32),
];

/// The record of section 12.
pub(super) const RECORD: &[Field] = &[
    ("type", true, U8),
    (
        "frame",
        false,
        Optional(&[
            ("ts", true, I64),
            ("dir", true, U8),
            ("seq", true, U32),
            ("frame", true, Message(FRAME)),
        ]),
    ),
    ("footer", false, Optional(&[("end_time", true, I64), ("command_count", true, U32)])),
    (
        "header",
        false,
        Optional(&[
            ("version", true, Text),
            ("local_pid", true, I64),
            ("agent_path", true, Text),
            ("local_user", true, Text),
            ("start_time", true, I64),
            ("backend_addr", false, Text),
            ("backend_type", false, Text),
        ]),
    ),
    (
        "cmd_end",
        false,
        Optional(&[("seq", true, U32), ("end_time", true, I64), ("exit_code", true, I64)]),
    ),
    (
        "cmd_start",
        false,
        Optional(&[("seq", true, U32), ("exec", true, Message(EXEC)), ("start_time", true, I64)]),
    ),
];

/// Reads values by the tables, as the original's decoder does (tiers F and Q).
pub(super) struct Reader {
    /// Whether an integer may have been a big number on the wire.
    pub(super) big_numbers: bool,
}

/// A value with its tags off.
enum Bare<'a> {
    Value(&'a Value),
    /// A big number that `ciborium` left as it was.
    Big(bool, &'a Vec<u8>),
}

impl Reader {
    /// What `value` means as a message of `fields`: the value that its canonical encoding has.
    pub(super) fn message(&self, fields: &'static [Field], value: &Value) -> Result<Value, No> {
        self.read(&Message(fields), value)
    }

    fn read(&self, kind: &Kind, value: &Value) -> Result<Value, No> {
        let (bare, tagged) = self.untag(value)?;
        match (kind, bare) {
            (Optional(fields), Bare::Value(Value::Null)) if tagged => self.map(fields, &[]),
            (_, Bare::Value(Value::Null)) => Ok(zero(kind)),
            (Bool, Bare::Value(Value::Bool(_))) | (Text, Bare::Value(Value::Text(_))) => {
                Ok(bare_value(value).clone())
            }
            (Bytes, Bare::Value(Value::Bytes(bytes))) => Ok(Value::Bytes(bytes.clone())),
            // As bytes they keep the zeroes in front, which are gone here.
            (Bytes, Bare::Big(..)) => Err(No::Doubtful),
            (Bytes, Bare::Value(Value::Array(list))) => self.bytes(list),
            (Bytes, Bare::Value(Value::Integer(_))) if self.big_numbers => Err(No::Doubtful),
            (Kind::Unsigned(most), Bare::Value(Value::Integer(number))) => {
                within(i128::from(*number), 0, i128::from(*most))
            }
            (Kind::Signed(least, most), Bare::Value(Value::Integer(number))) => {
                within(i128::from(*number), i128::from(*least), i128::from(*most))
            }
            (Kind::Unsigned(most), Bare::Big(negative, bytes)) => {
                within(big(negative, bytes)?, 0, i128::from(*most))
            }
            (Kind::Signed(least, most), Bare::Big(negative, bytes)) => {
                within(big(negative, bytes)?, i128::from(*least), i128::from(*most))
            }
            (List(element, _), Bare::Value(Value::Array(list))) => {
                let read = list.iter().map(|value| self.read(element, value));
                Ok(Value::Array(read.collect::<Result<_, _>>()?))
            }
            (Message(fields) | Optional(fields), Bare::Value(Value::Map(pairs))) => {
                self.map(fields, pairs)
            }
            _ => Err(No::Refused),
        }
    }

    /// Takes the tags off, as far as each may stand where it does (D12, D13, R8).
    fn untag<'a>(&self, mut value: &'a Value) -> Result<(Bare<'a>, bool), No> {
        let mut tagged = false;
        while let Value::Tag(number, inner) = value {
            tagged = true;
            match (number, &**inner) {
                (2 | 3, Value::Bytes(bytes)) => return Ok((Bare::Big(*number == 3, bytes), true)),
                (1, Value::Integer(_)) if self.big_numbers => return Err(No::Doubtful),
                (0, Value::Text(_)) | (1, Value::Integer(_) | Value::Float(_)) | (4.., _) => {}
                _ => return Err(No::Refused),
            }
            value = inner;
        }
        Ok((Bare::Value(value), tagged))
    }

    fn bytes(&self, list: &[Value]) -> Result<Value, No> {
        let mut bytes = Vec::new();
        for element in list {
            let Value::Integer(byte) = self.read(&U8, element)? else { return Err(No::Refused) };
            bytes.push(u8::try_from(byte).map_err(|_| No::Refused)?);
        }
        Ok(Value::Bytes(bytes))
    }

    /// A map by its fields: the first of equal keys counts, strangers are passed over (D4 to D7).
    fn map(&self, fields: &'static [Field], pairs: &[(Value, Value)]) -> Result<Value, No> {
        let mut found: Vec<Option<Value>> = fields.iter().map(|_| None).collect();
        for (key, value) in pairs {
            let name = match key {
                Value::Text(name) => name,
                Value::Integer(_) if self.big_numbers => return Err(No::Doubtful),
                Value::Integer(number) if i64::try_from(i128::from(*number)).is_ok() => continue,
                _ => return Err(No::Refused),
            };
            let place = fields
                .iter()
                .position(|(known, ..)| known == name)
                .or_else(|| fields.iter().position(|(known, ..)| known.eq_ignore_ascii_case(name)));
            let Some(((_, _, kind), slot)) =
                place.and_then(|at| fields.get(at).zip(found.get_mut(at)))
            else {
                continue;
            };
            if slot.is_none() {
                *slot = Some(self.read(kind, value)?);
            }
        }
        let written = fields.iter().zip(found).filter_map(|((key, always, kind), value)| {
            let value = value.unwrap_or_else(|| zero(kind));
            let gone = value == zero(kind) || is_empty_list(kind, &value);
            (*always || !gone).then(|| (Value::from(*key), value))
        });
        Ok(Value::Map(written.collect()))
    }
}

fn bare_value(mut value: &Value) -> &Value {
    while let Value::Tag(_, inner) = value {
        value = inner;
    }
    value
}

fn within(number: i128, least: i128, most: i128) -> Result<Value, No> {
    let fits = (least..=most).contains(&number);
    let number = ciborium::value::Integer::try_from(number).map_err(|_| No::Refused)?;
    if fits { Ok(Value::Integer(number)) } else { Err(No::Refused) }
}

fn big(negative: bool, bytes: &[u8]) -> Result<i128, No> {
    let mut number = 0_i128;
    for byte in bytes {
        number = number << 8 | i128::from(*byte);
        if number > i128::from(u64::MAX) {
            return Err(No::Refused);
        }
    }
    Ok(if negative { -1 - number } else { number })
}

fn zero(kind: &Kind) -> Value {
    match kind {
        Kind::Unsigned(_) | Kind::Signed(..) => Value::from(0),
        Bool => Value::Bool(false),
        Text => Value::Text(String::new()),
        Bytes => Value::Bytes(Vec::new()),
        List(..) | Optional(_) => Value::Null,
        Message(fields) => {
            let always = fields.iter().filter(|(_, always, _)| *always);
            Value::Map(always.map(|(key, _, kind)| (Value::from(*key), zero(kind))).collect())
        }
    }
}

fn is_empty_list(kind: &Kind, value: &Value) -> bool {
    matches!((kind, value), (List(_, false), Value::Array(list)) if list.is_empty())
}
