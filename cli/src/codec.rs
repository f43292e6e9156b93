//! `trunkline decode` and `trunkline encode`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::args::{Decode, Encode, Wire};
use crate::report::{Failure, Outcome};
use crate::wires::{self, Broken, Frames};

/// Room for one read.
const READ: usize = 64 << 10;

/// Prints the frames of a byte stream.
pub(crate) fn decode(args: &Decode) -> Outcome {
    let mut decoder = wires::decoder(args)?;
    let mut input = open(args.file.as_deref())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let end = match frames(&mut input, &mut *decoder, &mut out) {
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
    Broken { at: u64, why: Broken },
}

impl End {
    fn to_json(&self) -> Value {
        match self {
            Self::Clean { at } => json!({"offset": at, "end": "clean"}),
            Self::Truncated { at, left } => json!({"offset": at, "end": "truncated", "left": left}),
            Self::Broken { at, why: Broken { kind, text } } => {
                json!({"offset": at, "end": "violation", "kind": kind, "error": text})
            }
        }
    }

    fn trouble(&self) -> Option<String> {
        match self {
            Self::Clean { .. } => None,
            Self::Truncated { at, left } => Some(format!(
                "the stream ends in the middle of a frame that begins at offset {at} ({left} bytes of it)"
            )),
            Self::Broken { at, why } => Some(format!("stopped at offset {at}: {}", why.text)),
        }
    }
}

fn frames(
    input: &mut dyn Read,
    decoder: &mut dyn Frames,
    out: &mut impl Write,
) -> Result<End, Outcome> {
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
                Err(why) => return Ok(End::Broken { at: offset, why }),
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
    let input = BufReader::new(open(args.file.as_deref())?);
    let mut out = BufWriter::new(io::stdout().lock());
    let values = serde_json::Deserializer::from_reader(input).into_iter::<Value>();
    for (index, value) in values.enumerate() {
        let bytes =
            value.map_err(|error| error.to_string()).and_then(|value| encode_one(args.wire, value));
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
fn encode_one(wire: Wire, mut value: Value) -> Result<Vec<u8>, String> {
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
    wires::encode(wire, value)
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
