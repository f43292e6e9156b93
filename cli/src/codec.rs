//! `trunkline decode` and `trunkline encode`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_core::agentproto::{Acceptance, Config, Decoder, Frame, Item as _, Violation};

use crate::args::{Decode, Encode, Strictness, Wire};
use crate::report::{Failure, Outcome};

/// Room for one read.
const READ: usize = 64 << 10;

/// Prints the frames of a byte stream.
pub(crate) fn decode(args: &Decode) -> Outcome {
    let Wire::Agentproto = args.wire;
    let mut config = Config::default();
    config.acceptance = match args.accept {
        Strictness::Lenient => Acceptance::Lenient,
        Strictness::Format => Acceptance::Format,
        Strictness::Canonical => Acceptance::Canonical,
    };
    let mut input = open(args.file.as_deref())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let end = match frames(&mut input, &config, &mut out) {
        Ok(end) => end,
        Err(failure) => {
            // What was decoded is shown, whatever came after it.
            let _ = out.flush();
            return failure;
        }
    };
    let last = if args.json { writeln!(out, "{}", end.to_json()) } else { Ok(()) };
    if let Err(error) = last.and_then(|()| out.flush()) {
        return written(error);
    }
    match end.trouble() {
        Some(trouble) => Err(Failure::input(trouble)),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Where and why decoding stopped.
enum End {
    Clean { at: u64 },
    Truncated { at: u64, left: usize },
    Broken { at: u64, violation: Violation },
}

impl End {
    fn to_json(&self) -> Value {
        match self {
            Self::Clean { at } => json!({"offset": at, "end": "clean"}),
            Self::Truncated { at, left } => json!({"offset": at, "end": "truncated", "left": left}),
            Self::Broken { at, violation } => {
                json!({"offset": at, "end": "violation", "kind": violation.kind(), "error": violation.to_string()})
            }
        }
    }

    fn trouble(&self) -> Option<String> {
        match self {
            Self::Clean { .. } => None,
            Self::Truncated { at, left } => Some(format!(
                "the stream ends in the middle of a frame that begins at offset {at} ({left} bytes of it)"
            )),
            Self::Broken { at, violation } => Some(format!("stopped at offset {at}: {violation}")),
        }
    }
}

fn frames(input: &mut dyn Read, config: &Config, out: &mut impl Write) -> Result<End, Outcome> {
    let mut decoder: Decoder<Frame> = Decoder::new(config);
    let mut buffer = vec![0; READ];
    loop {
        let count = match input.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Err(Failure::input(format!("cannot read the stream: {error}"))));
            }
        };
        if count == 0 {
            let at = decoder.position();
            return Ok(match decoder.buffered() {
                0 => End::Clean { at },
                left => End::Truncated { at, left },
            });
        }
        decoder.push(Bytes::copy_from_slice(&buffer[..count]));
        loop {
            let offset = decoder.position();
            match decoder.poll() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let length = decoder.position() - offset;
                    let line = json!({"offset": offset, "length": length, "frame": frame});
                    writeln!(out, "{line}").map_err(written)?;
                }
                Err(violation) => return Ok(End::Broken { at: offset, violation }),
            }
        }
        // Somebody may be watching a live stream.
        out.flush().map_err(written)?;
    }
}

/// What a failed write to stdout means: nothing when the reader has seen enough.
fn written(error: io::Error) -> Outcome {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::local(format!("cannot write to stdout: {error}")))
}

/// Turns JSON frames into their canonical bytes.
pub(crate) fn encode(args: &Encode) -> Outcome {
    let Wire::Agentproto = args.wire;
    let input = BufReader::new(open(args.file.as_deref())?);
    let mut out = BufWriter::new(io::stdout().lock());
    let values = serde_json::Deserializer::from_reader(input).into_iter::<Value>();
    for (index, value) in values.enumerate() {
        let bytes = value.map_err(|error| error.to_string()).and_then(encode_one);
        let written = match bytes {
            // Somebody may be typing: what is entered is sent.
            Ok(bytes) => out.write_all(&bytes).and_then(|()| out.flush()),
            Err(error) => return Err(Failure::input(format!("frame {}: {error}", index + 1))),
        };
        if let Err(error) = written {
            return self::written(error);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The bytes of a frame, bare or as decode prints it; none for decode's last line.
fn encode_one(mut value: Value) -> Result<Vec<u8>, String> {
    const END: [&str; 5] = ["end", "error", "kind", "left", "offset"];
    const LINE: [&str; 3] = ["frame", "length", "offset"];
    let only = |keys: &[&str]| {
        value.as_object().is_some_and(|map| map.keys().all(|key| keys.contains(&key.as_str())))
    };
    if value.get("end").is_some() && only(&END) {
        return Ok(Vec::new());
    }
    let value =
        if value.get("frame").is_some() && only(&LINE) { value["frame"].take() } else { value };
    let frame: Frame = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    let again = serde_json::to_value(&frame).map_err(|error| error.to_string())?;
    check_maps(&again, &value)?;
    frame.to_bytes().map_err(|error| error.to_string())
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

fn open(file: Option<&Path>) -> Result<Box<dyn Read>, Failure> {
    match file {
        Some(path) if path.as_os_str() != "-" => match File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(Failure::input(format!("cannot open {}: {error}", path.display()))),
        },
        _ => Ok(Box::new(io::stdin().lock())),
    }
}
