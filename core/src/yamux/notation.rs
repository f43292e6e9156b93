//! Frames in the notation of the golden vectors (feature `serde`).
//!
//! Numbers say everything; names are written beside them for people, and read where the number is
//! missing. Where both stand they must agree.

use alloc::string::String;
use alloc::vec::Vec;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::{Flags, Frame, FrameType, Head};
use crate::Payload;
use crate::notation::HexText;

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Head { kind, flags, stream, length } = self.head;
        let mut fields = serializer.serialize_struct("Frame", 8)?;
        fields.serialize_field("version", &0)?;
        fields.serialize_field("type", &(kind as u8))?;
        fields.serialize_field("type_name", kind.name())?;
        fields.serialize_field("flags", &flags.0)?;
        let names: Vec<&str> = named(flags).collect();
        fields.serialize_field("flag_names", &names)?;
        fields.serialize_field("stream_id", &stream)?;
        fields.serialize_field("length", &length)?;
        if kind == FrameType::Data {
            fields.serialize_field("payload_hex", &HexText(self.payload.clone()))?;
        }
        fields.end()
    }
}

fn named(flags: Flags) -> impl Iterator<Item = &'static str> {
    Flags::NAMED.into_iter().filter(move |(flag, _)| flags.has(*flag)).map(|(_, name)| name)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    #[serde(default)]
    version: u8,
    r#type: Option<u8>,
    type_name: Option<String>,
    flags: Option<u16>,
    flag_names: Option<Vec<String>>,
    #[serde(default)]
    stream_id: u32,
    length: Option<u32>,
    payload_hex: Option<HexText>,
}

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Noted::deserialize(deserializer)?.frame().map_err(D::Error::custom)
    }
}

impl Noted {
    fn frame(self) -> Result<Frame, &'static str> {
        if self.version != 0 {
            return Err("there is no version but 0");
        }
        let kind = self.kind()?;
        let flags = self.flags()?;
        let payload = match self.payload_hex {
            Some(_) if kind != FrameType::Data => return Err("only Data frames have a payload"),
            Some(HexText(payload)) => payload,
            None => Payload::new(),
        };
        let length = match self.length {
            Some(length) => length,
            None if kind == FrameType::Data => {
                u32::try_from(payload.len()).map_err(|_| "a payload of too many bytes")?
            }
            None => 0,
        };
        if kind == FrameType::Data && u32::try_from(payload.len()) != Ok(length) {
            return Err("length is not that of payload_hex");
        }
        Ok(Frame { head: Head { kind, flags, stream: self.stream_id, length }, payload })
    }

    fn kind(&self) -> Result<FrameType, &'static str> {
        const KINDS: [FrameType; 4] =
            [FrameType::Data, FrameType::WindowUpdate, FrameType::Ping, FrameType::GoAway];
        let number = match self.r#type {
            Some(number) => Some(FrameType::from_number(number).ok_or("no such type")?),
            None => None,
        };
        let name = match &self.type_name {
            Some(name) => Some(
                KINDS.into_iter().find(|kind| kind.name() == name).ok_or("no such type_name")?,
            ),
            None => None,
        };
        match (number, name) {
            (Some(one), Some(two)) if one != two => Err("type and type_name differ"),
            (Some(kind), _) | (None, Some(kind)) => Ok(kind),
            (None, None) => Err("type is missing"),
        }
    }

    fn flags(&self) -> Result<Flags, &'static str> {
        let Some(names) = &self.flag_names else { return Ok(Flags(self.flags.unwrap_or(0))) };
        let mut set = Flags::NONE;
        for name in names {
            let mut all = Flags::NAMED.into_iter();
            let (flag, _) = all.find(|(_, known)| known == name).ok_or("no such flag")?;
            set = set | flag;
        }
        match self.flags {
            None => Ok(set),
            Some(flags) if Flags(flags & 0xf) == set => Ok(Flags(flags)),
            Some(_) => Err("flags and flag_names differ"),
        }
    }
}
