//! Replays a session with our machine at the agent's end.
//!
//! The local steps are fed; the replay plays the host: it reports the command as started, hands in
//! the output that the recorded frames carry, ends the streams whose EOF stands there, reports the
//! exit, and answers each request with the recorded answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, Decoder, Frame, FrameType, LogRecord, Write,
};
use trunkline_core::{Instant, Machine as _};

use super::transcripts::{Action, Side, Transcript};
use crate::case::{Check, ensure};
use crate::notation::hex;
use crate::report::Verdict;

const NOW: Instant = Instant::ORIGIN;

/// The record whose place among the ends of streams is not fixed.
const CHILD_EXITED: &str = "child exited";

/// Replays a session, the local bytes cut into pieces of `size`.
///
/// # Errors
///
/// What differed, or why the session cannot be replayed.
pub fn replay(transcript: &Transcript, size: usize) -> Check {
    let mut agent = Agent::new(Config::reference());
    let (mut seen, mut expected) = (Vec::new(), Vec::new());
    let mut asked = Asked::default();
    for (index, step) in transcript.steps.iter().enumerate() {
        match (step.from, &step.action) {
            (Side::Local, Action::Write { bytes, .. }) => {
                for piece in bytes.chunks(size) {
                    agent.handle_input(NOW, Bytes::copy_from_slice(piece));
                    drain(&mut agent, &mut seen, &mut asked);
                }
            }
            (Side::Local, Action::End) => agent.handle_eof(NOW),
            (Side::Agent, Action::Write { bytes, frame: Some(frame) }) => {
                expected.push((bytes.clone(), (**frame).clone()));
                let later = transcript.steps.get(index..).unwrap_or_default();
                let ahead = later.iter().filter_map(|step| match (step.from, &step.action) {
                    (Side::Agent, Action::Write { frame, .. }) => frame.as_deref(),
                    _ => None,
                });
                host(&mut agent, &mut asked, frame, ahead, index)?;
            }
            (Side::Agent, Action::End) => {
                drain(&mut agent, &mut seen, &mut asked);
                ensure(agent.closed().is_some(), || {
                    format!("agent, step {index}: the session goes on")
                })?;
            }
            _ => return Err(Verdict::NotRun(format!("step {index}: no agent does this"))),
        }
        drain(&mut agent, &mut seen, &mut asked);
    }
    compare(&expected, &seen)?;
    if let Some(expected) = transcript.agent_status {
        let seen = i64::from(agent.status());
        ensure(expected == seen, || format!("agent: status: expected {expected}, seen {seen}"))?;
    }
    Ok(())
}

/// What the machine has asked of its host and not been told yet.
#[derive(Debug, Default)]
struct Asked {
    exec: bool,
    query: bool,
    requests: Vec<u32>,
    signals: Vec<i32>,
}

fn drain(agent: &mut Agent, seen: &mut Vec<Vec<u8>>, asked: &mut Asked) {
    while let Some(event) = agent.poll_event() {
        match event {
            AgentEvent::Exec(..) => asked.exec = true,
            AgentEvent::PathQuery(_) => asked.query = true,
            AgentEvent::FileRequest(request) => asked.requests.push(request.id),
            AgentEvent::Signal(signal) => asked.signals.push(signal),
            _ => {}
        }
    }
    // The command takes its input as it comes.
    for stream in 0..=u32::from(u8::MAX) {
        while let trunkline_core::agentproto::Read::Data(_) = agent.read(stream, usize::MAX) {}
    }
    while let Some(segment) = agent.poll_transmit(NOW) {
        seen.push(segment.into_bytes().to_vec());
    }
}

/// Does what a host did that led to this frame.
fn host<'a>(
    agent: &mut Agent,
    asked: &mut Asked,
    frame: &Frame,
    mut ahead: impl Iterator<Item = &'a Frame>,
    index: usize,
) -> Check {
    let unasked = |what: &str| {
        Verdict::Fail(format!("agent, step {index}: the host was never asked for {what}"))
    };
    match frame.kind {
        FrameType::LOG => {
            let record = frame
                .log
                .as_deref()
                .ok_or_else(|| Verdict::NotRun("a record without one".into()))?;
            let number = |key: &str| {
                value(record, key).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default()
            };
            let mut reason =
                || ahead.find(|frame| frame.kind == FrameType::EXIT).map_or("", |exit| &exit.error);
            match record.message.as_str() {
                "child started" => {
                    ensure(asked.exec, || format!("agent, step {index}: nothing was asked for"))?;
                    agent.started(u32::try_from(number("pid")).unwrap_or_default());
                }
                CHILD_EXITED => agent.exited(number("code")),
                "start command failed" => agent.start_failed(reason()),
                "build command failed" if asked.exec => agent.build_failed(reason()),
                "failed to send signal to child group" if !asked.signals.is_empty() => {
                    let signal = asked.signals.remove(0);
                    agent.signal_failed(signal, value(record, "error").unwrap_or_default());
                }
                "path enumeration complete" => {
                    let info = ahead
                        .find_map(|frame| frame.path_info.as_deref())
                        .cloned()
                        .unwrap_or_default();
                    if !std::mem::take(&mut asked.query) {
                        return Err(unasked("its programs"));
                    }
                    agent.paths(info.entries.unwrap_or_default());
                }
                // The rest the machine says by itself.
                _ => {}
            }
        }
        FrameType::DATA => {
            let data = frame.data.clone().into_bytes();
            let write = agent.write(frame.stream, &data);
            ensure(write == Write::Accepted(data.len()), || {
                format!("agent, step {index}: a write gave {write:?}")
            })?;
        }
        FrameType::EOF => agent.finish(frame.stream),
        FrameType::FILE_RESPONSE => {
            let response = frame.file_response.as_deref().cloned().unwrap_or_default();
            let place = asked.requests.iter().position(|id| *id == response.id);
            asked.requests.remove(place.ok_or_else(|| unasked("this operation"))?);
            agent.respond(response);
        }
        _ => {}
    }
    Ok(())
}

fn value<'a>(record: &'a LogRecord, key: &str) -> Option<&'a str> {
    record.pairs().find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// Compares what was written. Of a log record level, message and the attributes' keys count. Ends of
/// different streams and the record of the child's exit may change places with each other.
fn compare(expected: &[(Vec<u8>, Frame)], seen: &[Vec<u8>]) -> Check {
    let fixed: Vec<_> = expected.iter().filter(|(_, frame)| !floats(frame)).collect();
    let floating: Vec<_> = expected.iter().filter(|(_, frame)| floats(frame)).collect();
    let seen: Vec<_> = seen
        .iter()
        .map(|bytes| decoded(bytes).map(|frame| (bytes, frame)))
        .collect::<Result<_, _>>()?;
    let mut fixed = fixed.into_iter();
    let mut left = floating;
    let mut ended = BTreeMap::new();
    for (place, (bytes, frame)) in seen.iter().enumerate() {
        let wrong = |why: String| Verdict::Fail(format!("agent, frame {place}: {why}"));
        if frame.kind == FrameType::DATA && ended.contains_key(&frame.stream) {
            return Err(wrong(format!("bytes of stream {} behind its end", frame.stream)));
        }
        if frame.kind == FrameType::EXIT && !left.is_empty() {
            return Err(wrong("the exit before the end of every stream".into()));
        }
        if floats(frame) {
            let found = left.iter().position(|(bytes_expected, expected)| {
                same(bytes_expected, expected, bytes, frame)
            });
            left.remove(found.ok_or_else(|| wrong(format!("unexpected {}", hex(bytes))))?);
            if frame.kind == FrameType::EOF {
                ended.insert(frame.stream, place);
            }
            continue;
        }
        let Some((bytes_expected, expected)) = fixed.next() else {
            return Err(wrong(format!("one more frame than recorded: {}", hex(bytes))));
        };
        if !same(bytes_expected, expected, bytes, frame) {
            return Err(wrong(format!("expected {}, seen {}", hex(bytes_expected), hex(bytes))));
        }
    }
    match fixed.next().or(left.first().copied()) {
        Some((bytes, _)) => Err(Verdict::Fail(format!("agent: never wrote {}", hex(bytes)))),
        None => Ok(()),
    }
}

fn floats(frame: &Frame) -> bool {
    let exited = |record: &LogRecord| record.message == CHILD_EXITED;
    frame.kind == FrameType::EOF || frame.log.as_deref().is_some_and(exited)
}

fn same(bytes_expected: &[u8], expected: &Frame, bytes: &[u8], seen: &Frame) -> bool {
    let shape = |record: &LogRecord| {
        let keys: Vec<String> = record.pairs().map(|(key, _)| key.to_string()).collect();
        (record.level, record.message.clone(), keys)
    };
    match (&expected.log, &seen.log) {
        (Some(expected), Some(seen)) => shape(expected) == shape(seen),
        _ => bytes_expected == bytes,
    }
}

fn decoded(bytes: &[u8]) -> Result<Frame, Verdict> {
    let mut decoder: Decoder<Frame> = Decoder::new(&Config::default());
    decoder.push(Bytes::copy_from_slice(bytes));
    match decoder.poll() {
        Ok(Some(frame)) if decoder.buffered() == 0 => Ok(frame),
        other => {
            Err(Verdict::Fail(format!("agent: wrote {}, which is no frame: {other:?}", hex(bytes))))
        }
    }
}
