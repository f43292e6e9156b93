//! Frames in JSON, in the notation of the golden vectors (feature `serde`).
//!
//! `version`, `type`, `stream_id` and `payload` say everything. The rest is written for people, and
//! read where what it stands for is missing; where both stand they must agree.

use alloc::string::{String, ToString as _};

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::{Frame, FrameType, VERSION};
use crate::Payload;
use crate::notation::HexText;

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Frame", 8)?;
        fields.serialize_field("version", &self.version)?;
        fields.serialize_field("type", &self.kind)?;
        fields.serialize_field("type_name", &self.kind.to_string())?;
        fields.serialize_field("stream_id", &self.stream)?;
        fields.serialize_field("length", &self.length())?;
        fields.serialize_field("payload", &HexText(self.payload.clone()))?;
        if let Ok(increment) = self.increment() {
            fields.serialize_field("increment", &increment)?;
        }
        if let Ok(number) = self.ping_id().or_else(|_| self.pong_id()) {
            fields.serialize_field("ping_id", &number)?;
        }
        if let Ok(error) = self.remote_error() {
            fields.serialize_field("code", &error.code)?;
            match str::from_utf8(&error.message) {
                Ok(text) => fields.serialize_field("message", text)?,
                Err(_) => {
                    let bytes = HexText(error.message.into());
                    fields.serialize_field("message_bytes", &bytes)?;
                }
            }
        }
        fields.end()
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    version: Option<u8>,
    r#type: Option<u8>,
    type_name: Option<String>,
    #[serde(default)]
    stream_id: u32,
    length: Option<usize>,
    payload: Option<HexText>,
    increment: Option<u32>,
    ping_id: Option<u32>,
    code: Option<u32>,
    message: Option<String>,
    message_bytes: Option<HexText>,
    connection_level: Option<bool>,
    total_size: Option<usize>,
    display: Option<String>,
}

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Noted::deserialize(deserializer)?.frame().map_err(D::Error::custom)
    }
}

impl Noted {
    fn frame(self) -> Result<Frame, &'static str> {
        let kind = self.kind()?;
        let payload = match &self.payload {
            Some(HexText(payload)) => payload.clone(),
            None => self.said(kind)?,
        };
        let frame = Frame {
            version: self.version.unwrap_or(VERSION),
            kind,
            stream: self.stream_id,
            payload,
        };
        self.agrees(&frame)?;
        Ok(frame)
    }

    fn kind(&self) -> Result<FrameType, &'static str> {
        let number = self.r#type.map(FrameType);
        let Some(name) = &self.type_name else { return number.ok_or("type is missing") };
        let named = match number {
            Some(kind) => (kind.to_string() == *name).then_some(kind),
            None => (1..=7).map(FrameType).find(|kind| kind.to_string() == *name),
        };
        match number {
            Some(_) => named.ok_or("type and type_name differ"),
            None => named.ok_or("no such type_name"),
        }
    }

    /// The payload that the other fields say.
    fn said(&self, kind: FrameType) -> Result<Payload, &'static str> {
        let frame = match (kind, self.increment, self.ping_id, self.code) {
            (FrameType::WINDOW_UPDATE, Some(increment), None, None) => {
                Frame::window_update(0, increment)
            }
            (FrameType::PING | FrameType::PONG, None, Some(number), None) => Frame::ping(number),
            (FrameType::ERROR, None, None, Some(code)) => {
                let text = self.message.as_ref().map(|text| text.as_bytes().to_vec());
                let bytes = self.message_bytes.as_ref().map(|hex| hex.0.clone().into_bytes());
                let bytes = bytes.map(|bytes| bytes.to_vec());
                Frame::error(0, code, &text.or(bytes).unwrap_or_default())
            }
            _ => return Ok(Payload::new()),
        };
        Ok(frame.payload)
    }

    /// Whether everything that is said is so.
    fn agrees(&self, frame: &Frame) -> Result<(), &'static str> {
        fn same<T: PartialEq>(said: Option<T>, is: Option<T>) -> bool {
            said.is_none() || said == is
        }
        let number = frame.ping_id().or_else(|_| frame.pong_id()).ok();
        let error = frame.remote_error().ok();
        let message = error.as_ref().map(|error| error.message.clone());
        let said = self.message_bytes.as_ref().map(|hex| hex.0.clone().into_bytes());
        let text = message.as_ref().and_then(|bytes| str::from_utf8(bytes).ok());
        let rules = [
            (same(self.length, Some(frame.length())), "length is not that of payload"),
            (same(self.increment, frame.increment().ok()), "increment is not what payload says"),
            (same(self.ping_id, number), "ping_id is not what payload says"),
            (
                same(self.code, error.as_ref().map(|error| error.code)),
                "code is not what payload says",
            ),
            (same(self.message.as_deref(), text), "message is not what payload says"),
            (same(said, message.clone()), "message_bytes is not what payload says"),
            (
                same(self.connection_level, Some(frame.is_connection_level())),
                "connection_level is not what stream_id says",
            ),
            (same(self.total_size, Some(frame.total_size())), "total_size is not that of payload"),
            (
                same(self.display.clone(), self.display.as_ref().map(|_| frame.to_string())),
                "display is not that of the frame",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(why),
            None => Ok(()),
        }
    }
}
