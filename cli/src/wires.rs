//! What `decode` and `encode` know of each wire.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trunkline_core::agentproto::{self, Acceptance, Item as _};
use trunkline_core::fixed::{FixedFrame, FrameDecoder};
use trunkline_core::{Limits, smux, wormhole, yamux};

use crate::args::{Decode, Strictness, Wire};
use crate::report::Failure;

/// The frames of one byte stream, of any wire.
pub(crate) trait Frames {
    /// Hands in what arrived.
    fn push(&mut self, bytes: Bytes);
    /// The next whole frame; `None` when more bytes are needed.
    fn poll(&mut self) -> Result<Option<Value>, Broken>;
    /// Where the frame begins that is not whole, or is wrong.
    fn position(&self) -> u64;
    /// How many bytes of a frame that is not whole are there.
    fn buffered(&self) -> usize;
}

/// Why a byte stream cannot be read on.
pub(crate) struct Broken {
    /// The class of the rule that was broken.
    pub(crate) kind: &'static str,
    /// The rule, for people.
    pub(crate) text: String,
}

/// A decoder of the wire that was asked for.
pub(crate) fn decoder(args: &Decode) -> Result<Box<dyn Frames>, Failure> {
    if args.accept.is_some() && !matches!(args.wire, Wire::Agentproto) {
        return Err(Failure::usage("--accept is for --wire agentproto: other wires have one way"));
    }
    Ok(match args.wire {
        Wire::Agentproto => {
            let mut config = agentproto::Config::default();
            config.acceptance = match args.accept {
                None | Some(Strictness::Lenient) => Acceptance::Lenient,
                Some(Strictness::Format) => Acceptance::Format,
                Some(Strictness::Canonical) => Acceptance::Canonical,
            };
            Box::new(agentproto::Decoder::<agentproto::Frame>::new(&config))
        }
        Wire::Smux => fixed::<smux::Frame>(Limits::default().frame),
        Wire::Yamux => fixed::<yamux::Frame>(Limits::default().frame),
        Wire::Wormhole => fixed::<wormhole::Frame>(wormhole::MAX_PAYLOAD),
    })
}

/// The bytes of one frame.
pub(crate) fn encode(wire: Wire, value: Value) -> Result<Vec<u8>, String> {
    match wire {
        Wire::Agentproto => {
            let frame: agentproto::Frame = read(value)?;
            frame.to_bytes().map_err(|error| error.to_string())
        }
        Wire::Smux => encode_fixed::<smux::Frame>(value),
        Wire::Yamux => encode_fixed::<yamux::Frame>(value),
        Wire::Wormhole => encode_fixed::<wormhole::Frame>(value),
    }
}

impl Frames for agentproto::Decoder<agentproto::Frame> {
    fn push(&mut self, bytes: Bytes) {
        self.push(bytes);
    }

    fn poll(&mut self) -> Result<Option<Value>, Broken> {
        match self.poll() {
            Ok(frame) => frame.map(|frame| told(&frame)).transpose(),
            Err(why) => Err(Broken { kind: why.kind(), text: why.to_string() }),
        }
    }

    fn position(&self) -> u64 {
        self.position()
    }

    fn buffered(&self) -> usize {
        self.buffered()
    }
}

/// A decoder of a wire whose frames have a head of a fixed length.
fn fixed<F: FixedFrame + Serialize + 'static>(most: usize) -> Box<dyn Frames> {
    Box::new(FrameDecoder::<F>::new(most))
}

impl<F: FixedFrame + Serialize> Frames for FrameDecoder<F> {
    fn push(&mut self, bytes: Bytes) {
        self.push(bytes);
    }

    fn poll(&mut self) -> Result<Option<Value>, Broken> {
        match self.poll() {
            Ok(frame) => frame.map(|frame| told(&frame)).transpose(),
            Err(why) => Err(Broken { kind: F::kind(&why), text: why.to_string() }),
        }
    }

    fn position(&self) -> u64 {
        self.position()
    }

    fn buffered(&self) -> usize {
        self.buffered()
    }
}

fn encode_fixed<F>(value: Value) -> Result<Vec<u8>, String>
where
    F: FixedFrame + Serialize + DeserializeOwned,
{
    let frame: F = read(value)?;
    let segment = frame.encode().map_err(|error| error.to_string())?;
    Ok(segment.into_bytes().into())
}

fn told(frame: &impl Serialize) -> Result<Value, Broken> {
    serde_json::to_value(frame).map_err(|error| Broken { kind: "json", text: error.to_string() })
}

fn read<T: Serialize + DeserializeOwned>(value: Value) -> Result<T, String> {
    let frame: T = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    let again = serde_json::to_value(&frame).map_err(|error| error.to_string())?;
    check_maps(&again, &value)?;
    Ok(frame)
}

/// Refuses a list where a message belongs, which the reader takes for its fields in order.
fn check_maps(meant: &Value, given: &Value) -> Result<(), String> {
    match (meant, given) {
        (Value::Object(meant), Value::Object(given)) => meant
            .iter()
            // The one place where a list is meant: pieces of a byte string.
            .filter(|(key, _)| key.as_str() != "d")
            .filter_map(|(key, meant)| given.get(key).map(|given| (meant, given)))
            .try_for_each(|(meant, given)| check_maps(meant, given)),
        (Value::Object(_), _) => Err(format!("expected an object, found {given}")),
        (Value::Array(meant), Value::Array(given)) => {
            meant.iter().zip(given).try_for_each(|(meant, given)| check_maps(meant, given))
        }
        _ => Ok(()),
    }
}
