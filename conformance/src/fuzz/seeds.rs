//! Inputs to start fuzzing from, made out of the golden vectors.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;
use trunkline_core::agentproto::FrameType;

use super::{tunnel_seeds, wormhole_seeds};
use crate::agentproto::transcripts::{Action, Mode, Side, Step, Transcript};
use crate::notation;
use crate::vectors::Suite;

/// The longest seed: what is longer costs more time than it finds.
const LONGEST: usize = 5_000;

/// One input for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The target's name.
    pub target: &'static str,
    /// The name of the case it was made of.
    pub name: String,
    /// The input.
    pub input: Vec<u8>,
}

/// The seeds of every target, from the vectors.
///
/// A frame or a record of the vectors is a seed of the codec's targets as it stands; a transcript
/// becomes operations: what one end sent is fed, what the other end did is done. Some are
/// written here.
#[must_use]
pub fn seeds(suite: &Suite) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for file in suite.files.iter().filter(|file| file.wire == "agentproto") {
        for (number, case) in file.cases.iter().flatten().enumerate() {
            let name = format!("{}-{}", file.name.trim_end_matches(".json"), case.name);
            match file.name.as_str() {
                "frames.json" | "lenient.json" | "rejects.json" | "recordings.json" => {
                    let records =
                        file.name == "recordings.json" || text(&case.value, "target") == "record";
                    let bytes = case.value.get("hex").and_then(|hex| notation::bytes(hex).ok());
                    seeds.extend(bytes.into_iter().flat_map(|b| codec(records, &name, number, &b)));
                }
                "transcripts.json" => {
                    seeds.extend(Transcript::read(&case.value).iter().flat_map(|transcript| {
                        [local(&name, transcript), agent(&name, transcript)]
                    }));
                }
                _ => {}
            }
        }
    }
    seeds.extend(nearly_canonical_data());
    let damaged: Vec<_> = seeds.iter().flat_map(damaged_recordings).collect();
    seeds.extend(damaged);
    seeds.extend(written());
    seeds.extend(served());
    seeds.extend(super::mux::seeds::seeds(suite));
    seeds.extend(wormhole_seeds::seeds(suite));
    seeds.extend(tunnel_seeds::seeds(suite));
    seeds.retain(|seed| seed.input.len() <= LONGEST);
    seeds
}

/// Writes every seed into the folder of its target below `folder`; says how many there are.
///
/// # Errors
///
/// What the system says when a folder or a file cannot be written.
pub fn write(seeds: &[Seed], folder: &Path) -> io::Result<usize> {
    for seed in seeds {
        let folder = folder.join(seed.target);
        fs::create_dir_all(&folder)?;
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = seed.name.chars().take(100).map(plain).collect();
        fs::write(folder.join(name), &seed.input)?;
    }
    Ok(seeds.len())
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn codec(records: bool, name: &str, number: usize, bytes: &[u8]) -> [Seed; 2] {
    let cut = u8::try_from(number % 251).unwrap_or_default();
    let target = if records { "agentproto_record" } else { "agentproto_frame" };
    let with =
        |target, head: &[u8]| Seed { target, name: name.to_owned(), input: [head, bytes].concat() };
    [with(target, &[0, cut]), with("agentproto_cbor", &[u8::from(records)])]
}

/// DATA frames, which core reads by a shortcut where they are canonical: these have a head that is
/// longer than needed, here or there.
fn nearly_canonical_data() -> impl Iterator<Item = Seed> {
    let lengths = [&[0x43][..], &[0x58, 3], &[0x59, 0, 3], &[0x5a, 0, 0, 0, 3], &[0x5f, 0x43]];
    let streams = [&[2][..], &[0x18, 2], &[0x19, 0, 2], &[0]];
    lengths.into_iter().enumerate().flat_map(move |(width, length)| {
        let end = if length.first() == Some(&0x5f) { &[0xff][..] } else { &[] };
        streams.into_iter().enumerate().flat_map(move |(number, stream)| {
            let bytes =
                [b"\xa3\x61d", length, b"abc", end, b"\x61s", stream, b"\x61t\x02"].concat();
            codec(false, &format!("data-{width}-{number}"), number, &bytes)
        })
    })
}

/// A recording that was cut, lost bytes in the middle, or goes on behind its end.
fn damaged_recordings(seed: &Seed) -> Vec<Seed> {
    if seed.target != "agentproto_record" || seed.input.len() < 100 {
        return Vec::new();
    }
    let third = seed.input.len() / 3;
    let (head, tail) = seed.input.split_at(third);
    let damaged = |how: &str, input: Vec<u8>| Seed {
        target: seed.target,
        name: format!("{}-{how}", seed.name),
        input,
    };
    vec![
        damaged("cut", [head, tail.get(..third).unwrap_or_default()].concat()),
        damaged("gap", [head, tail.get(7..).unwrap_or_default()].concat()),
        damaged("twice", [&seed.input, seed.input.get(2..).unwrap_or_default()].concat()),
    ]
}

/// Feeds bytes: the operation 0, a length, as many bytes.
fn feed(to: &mut Vec<u8>, bytes: &[u8]) {
    for piece in bytes.chunks(250) {
        to.extend([0, u8::try_from(piece.len()).unwrap_or_default()]);
        to.extend(piece);
    }
}

/// A byte that stands for a size.
fn size(size: usize) -> u8 {
    u8::try_from(size).map_or(200, |size| size.min(199))
}

fn low(number: impl TryInto<u8>) -> u8 {
    number.try_into().unwrap_or_default()
}

const SETTLE: u8 = 255;

/// A transcript as a local side's operations.
fn local(name: &str, transcript: &Transcript) -> Seed {
    let purpose = match transcript.mode {
        Mode::Exec => 0,
        Mode::PathQuery => 1,
        Mode::FileOp => 2,
        Mode::Refused => 3,
    };
    let mut input = vec![1, purpose];
    for Step { from, action, .. } in &transcript.steps {
        match (from, action) {
            (Side::Agent, Action::Write { bytes, .. }) => feed(&mut input, bytes),
            (Side::Agent, Action::End) => input.extend([236, 0]),
            (Side::Agent, Action::Cancel(_)) => {}
            (Side::Local, Action::Write { frame: Some(frame), .. }) => match frame.kind {
                FrameType::DATA => input.extend([160, low(frame.stream), size(frame.data.len())]),
                FrameType::EOF => input.extend([180, low(frame.stream)]),
                FrameType::SIGNAL => input.extend([186, low(frame.signal)]),
                FrameType::FILE_REQUEST => {
                    let op = frame.file_request.as_ref().map_or(1, |request| request.op.0);
                    input.extend([192, op, 20, 0, 30, 2]);
                }
                _ => {}
            },
            (Side::Local, Action::Write { frame: None, .. }) => {}
            (Side::Local, Action::End) => input.push(241),
            (Side::Local, Action::Cancel(id)) => input.extend([212, low(*id)]),
        }
        input.push(SETTLE);
    }
    Seed { target: "agentproto_local", name: name.to_owned(), input }
}

/// A transcript as an agent's operations.
fn agent(name: &str, transcript: &Transcript) -> Seed {
    let mut input = vec![1, 1];
    for Step { from, action, .. } in &transcript.steps {
        match (from, action) {
            (Side::Local, Action::Write { bytes, .. }) => feed(&mut input, bytes),
            (Side::Local, Action::End) => input.extend([234, 0]),
            (Side::Agent, Action::Write { frame: Some(frame), .. }) => match frame.kind {
                FrameType::DATA => input.extend([155, low(frame.stream), size(frame.data.len())]),
                FrameType::EOF => input.extend([175, low(frame.stream)]),
                FrameType::EXIT => input.extend([175, 1, 175, 2, 214, low(frame.code)]),
                FrameType::FILE_RESPONSE => input.extend([190, 0, 10, 30]),
                FrameType::PATH_INFO => input.extend([205, 3]),
                _ => {}
            },
            _ => {}
        }
        input.push(SETTLE);
    }
    Seed { target: "agentproto_agent", name: name.to_owned(), input }
}

/// Sessions in which nothing is sent between a write and the end of its stream, and pairs.
fn written() -> impl Iterator<Item = Seed> {
    let start = [50, 140, 0, 0, 0, 100];
    let local = [0, 0, 160, 0, 150, 160, 3, 90, 180, 0, 180, 3, 186, 15, SETTLE];
    let outputs = [155, 1, 150, 155, 3, 90, 175, 1, 175, 3, 175, 2, 175, 4, 214, 0, SETTLE];
    let fed = [0, 0, 255, 255, 0, 0, 150, 0, 3, 90, 110, 0, 110, 3, 230, 15];
    let answering = [45, 1, 150, 45, 3, 90, 184, 1, 184, 3, 80, 2, 100, 3, 120, 60, 140, 70, 255];
    let files = [0, 1, 160, 5, 20, 9, 1, 2, 160, 6, 30, 9, 2, 3, 255, 180, 2, 255, 170, 0, 10, 40];
    let seed = |target, name: &str, input: Vec<u8>| Seed { target, name: name.to_owned(), input };
    [
        seed("agentproto_local", "rush", local.to_vec()),
        seed("agentproto_agent", "rush", [&[0, 1][..], &start, &outputs].concat()),
        seed("agentproto_pair", "command", [&fed[..], &answering].concat()),
        seed("agentproto_pair", "files", files.to_vec()),
    ]
    .into_iter()
}

/// Requests to a served directory: `op` with, in its upper bits, the slot of an open file, then what
/// that needs. A path is how many names there are (and 0x20 for a slash in front, 0x40 at the end)
/// and which.
fn served() -> impl Iterator<Item = Seed> {
    let all = |path: &[u8]| {
        let mut input = vec![0b11100];
        for op in (1..=3).chain(7..=15).chain([18, 21, 22, 23]) {
            input.push(op);
            input.extend(path);
            input.extend([0, 0, 0, 0, 0, 0, 0, 0, 255]);
        }
        // Both ways, and the file that may have been opened.
        input.extend([13, 1, 2]);
        input.extend(path);
        input.push(20);
        input.extend(path);
        input.extend([1, 14, 24, 5, 0, 20, 6, 6, 0, 0, 9, 17, 25, 0, 2, 0, 4, 16]);
        input
    };
    let link = |target: &[u8], rest: &[u8]| [&[0b11100, 19][..], target, &[1, 0], rest].concat();
    [
        ("inside", all(&[1, 2])),
        ("below", all(&[3 | 0x20, 0, 1, 14])),
        ("up", all(&[3, 7, 11, 12])),
        ("through", all(&[5 | 0x60, 0, 1, 4, 11, 12])),
        ("link", all(&[2, 5, 12])),
        ("circle", all(&[1, 6])),
        ("odd", all(&[254, 3, b'x', 0, b'y'])),
        ("made", link(&[0], &all(&[1, 0]))),
        ("made-of-proc", link(&[55], &all(&[2, 0, 12]))),
        ("files", vec![0, 2, 1, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 210, 0, 90, 5, 0, 200, 0, 4]),
    ]
    .into_iter()
    .map(|(name, input)| Seed { target: "agentproto_files", name: name.to_owned(), input })
}
