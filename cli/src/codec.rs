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
    for (index, value) in
        serde_json::Deserializer::from_reader(input).into_iter::<Value>().enumerate()
    {
        let bad =
            |error: &dyn std::fmt::Display| Failure::input(format!("frame {}: {error}", index + 1));
        let value = value.map_err(|error| bad(&error));
        let frame = value.and_then(|value| {
            frame_of(value).transpose().map(|frame| frame.map_err(|error| bad(&error))).transpose()
        });
        let bytes = frame.and_then(|frame| {
            frame.map(|frame| frame.to_bytes().map_err(|error| bad(&error))).transpose()
        });
        match bytes {
            Ok(Some(bytes)) => {
                if let Err(error) = out.write_all(&bytes) {
                    return written(error);
                }
            }
            Ok(None) => {}
            Err(failure) => {
                let _ = out.flush();
                return Err(failure);
            }
        }
    }
    out.flush().map_or_else(written, |()| Ok(ExitCode::SUCCESS))
}

/// The frame in what decode prints, or the value itself; nothing in decode's last line.
fn frame_of(mut value: Value) -> Result<Option<Frame>, serde_json::Error> {
    if value.get("end").is_some() {
        return Ok(None);
    }
    let frame = value.get_mut("frame").map(Value::take).unwrap_or(value);
    serde_json::from_value(frame).map(Some)
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
