//! Frames in JSON, in the notation of the golden vectors (feature `serde`).

use alloc::format;
use alloc::string::String;

use super::frame::{Body, Command, Frame, Update, Version};
use crate::notation::HexText;

/// A frame as JSON has it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Noted {
    version: u8,
    cmd: Command,
    stream: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<HexText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consumed: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<u32>,
}

impl From<Frame> for Noted {
    fn from(frame: Frame) -> Self {
        let (version, cmd, stream) = (frame.version.number(), frame.command(), frame.stream);
        let bare = Self {
            version,
            cmd,
            stream,
            length: Some(0),
            payload: None,
            consumed: None,
            window: None,
        };
        match frame.body {
            Body::Syn | Body::Fin | Body::Nop => bare,
            Body::Psh(payload) => {
                Self { length: Some(payload.len()), payload: Some(HexText(payload)), ..bare }
            }
            Body::Upd(Update { consumed, window }) => {
                Self { length: Some(8), consumed: Some(consumed), window: Some(window), ..bare }
            }
        }
    }
}

impl TryFrom<Noted> for Frame {
    type Error = String;

    fn try_from(noted: Noted) -> Result<Self, String> {
        let Noted { version, cmd, stream, length, payload, consumed, window } = noted;
        let version = Version::new(version)
            .map_err(|_| format!("there is no version {version}, only 1 and 2"))?;
        let (body, meant) = match (cmd, payload, consumed, window) {
            (Command::Syn, None, None, None) => (Body::Syn, 0),
            (Command::Fin, None, None, None) => (Body::Fin, 0),
            (Command::Nop, None, None, None) => (Body::Nop, 0),
            (Command::Psh, payload, None, None) => {
                let payload = payload.map_or_else(Default::default, |HexText(payload)| payload);
                let meant = payload.len();
                (Body::Psh(payload), meant)
            }
            (Command::Upd, None, Some(consumed), Some(window)) => {
                (Body::Upd(Update { consumed, window }), 8)
            }
            (Command::Upd, ..) => return Err("UPD has `consumed` and `window`".into()),
            (cmd, ..) => return Err(format!("{cmd} has none of these fields")),
        };
        match length {
            Some(length) if length != meant => {
                Err(format!("`length` is {length}, where it must be {meant}"))
            }
            _ => Ok(Self { version, stream, body }),
        }
    }
}
