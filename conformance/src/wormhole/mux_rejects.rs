//! The cases of `rejects.json` that a running connection meets.

use serde::Deserialize;
use trunkline_core::mux::{Mux as _, MuxStats, Side, StreamEnd};
use trunkline_core::wormhole::{Config, ErrorKind, Excess};
use trunkline_core::{CloseReason, Machine as _};

use super::decode::class;
use super::end::{End, ReadResult};
use super::settings::{Profile, Settings, base};
use crate::case::{self, Check, ensure};
use crate::diff;
use crate::notation::Hex;
use crate::report::Verdict;

/// A case.
#[derive(Deserialize)]
pub struct MuxCase {
    role: String,
    #[serde(default)]
    config: Settings,
    before: Option<String>,
    hex: Hex,
    then: Option<String>,
    decoded: Outcome,
    project: String,
}

/// What became of the original.
#[derive(Deserialize)]
struct Outcome {
    mux_closed: bool,
    error_class: Option<String>,
    #[serde(default)]
    emitted: Hex,
    num_streams: Option<usize>,
    #[serde(default)]
    accepted: Vec<u32>,
}

/// What became of ours.
struct Seen {
    closed: Option<CloseReason>,
    stats: MuxStats,
    accepted: Vec<u32>,
    emitted: Vec<u8>,
    end: End,
}

/// Runs one case: the requirement by default, the original's behaviour under `reference()`.
///
/// # Errors
///
/// What does not hold, or that the case says something that is not known here.
pub fn check(case: &MuxCase) -> Check {
    for size in [usize::MAX, 1] {
        let config = case.config.config(base(Profile::Required));
        match case.project.as_str() {
            "same" => {
                let seen = perform(case, config, size)?;
                is(&seen, &case.decoded)?;
            }
            "refuse the configuration: MaxFrameSize must be at least 4" => {
                // Such a configuration is refused under every profile.
                let refused = config.check().is_err();
                return ensure(refused, || "the configuration is taken".into());
            }
            "connection closed by peer; open streams end with ConnectionClosed, not with EOF" => {
                let seen = perform(case, config, size)?;
                let clean = Some(CloseReason::Eof { mid_frame: false });
                ensure(seen.closed == clean, || format!("closed: {:?}", seen.closed))?;
            }
            "connection error InvalidStreamId (wrong parity) is as good" => {
                let seen = perform(case, config, size)?;
                let kinds = ["ErrInvalidStreamID", "ErrStreamAlreadyExist"];
                let kind = closed_class(&seen);
                ensure(kinds.contains(&kind), || format!("closed: {:?}", seen.closed))?;
            }
            "connection error InvalidStreamId at the first frame (even id sent to a server)" => {
                let seen = perform(case, config, size)?;
                let kind = closed_class(&seen);
                ensure(kind == "ErrInvalidStreamID", || format!("closed: {:?}", seen.closed))?;
                ensure(seen.stats.received == 0, || "a stream was taken".into())?;
            }
            "no connection error: tolerate up to recv_limit, beyond it reset only that stream with ERROR 413"
            | "tolerate up to recv_limit, or in strict mode reset the stream with ERROR 413; the connection stays" =>
            {
                tolerates(case, config, size)?;
            }
            other => return Err(case::unknown("project", other)),
        }
        let original = case.config.config(base(Profile::Reference));
        is(&perform(case, original, size)?, &case.decoded)?;
    }
    Ok(())
}

fn perform(case: &MuxCase, config: Config, size: usize) -> Check<Seen> {
    let side = match case.role.as_str() {
        "client" => Side::Client,
        "server" => Side::Server,
        other => return Err(case::unknown("role", other)),
    };
    let mut end = End::new(side, config, size)
        .map_err(|why| Verdict::Fail(format!("the configuration is refused: {why}")))?;
    match case.before.as_deref() {
        None => {}
        Some("client opens stream 1") => {
            ensure(end.open() == Some(1), || "stream 1 was not opened".into())?;
        }
        Some(other) => return Err(case::unknown("before", other)),
    }
    end.feed(&case.hex.0);
    match case.then.as_deref() {
        None => {}
        Some("transport_eof") => end.feed_end(),
        Some(other) => return Err(case::unknown("then", other)),
    }
    let stats = end.machine.stats();
    let accepted: Vec<u32> = std::iter::from_fn(|| end.accept()).collect();
    let emitted = std::iter::from_fn(|| end.frame()).flatten().collect();
    let closed = end.machine.closed().cloned();
    if closed == Some(CloseReason::Eof { mid_frame: false }) {
        ensure(accepted.is_empty(), || "a stream was accepted behind the end".into())?;
    }
    Ok(Seen { closed, stats, accepted, emitted, end })
}

fn closed_class(seen: &Seen) -> &'static str {
    seen.closed.as_ref().map_or("none", |reason| match reason {
        // The original has one word for a clean end and for its own close.
        CloseReason::Eof { mid_frame: false } => "ErrMuxClosed",
        reason => class(ErrorKind::of_close(reason)),
    })
}

fn is(seen: &Seen, expected: &Outcome) -> Check {
    ensure(seen.closed.is_some() == expected.mux_closed, || format!("closed: {:?}", seen.closed))?;
    if let Some(expected) = &expected.error_class {
        let seen = closed_class(seen);
        ensure(seen == expected, || format!("expected {expected}, seen {seen}"))?;
    }
    if let Some(why) = diff::bytes(&expected.emitted.0, &seen.emitted) {
        return Err(Verdict::Fail(format!("written: differs at {why}")));
    }
    let expected_streams = expected.num_streams.unwrap_or(seen.stats.streams);
    ensure(seen.stats.streams == expected_streams, || {
        format!("expected {expected_streams} streams, seen {}", seen.stats.streams)
    })?;
    ensure(seen.accepted == expected.accepted, || {
        format!("expected {:?}, accepted {:?}", expected.accepted, seen.accepted)
    })
}

/// Section 5.4: bytes beyond the window are held up to `recv_limit`; beyond it, or in strict mode,
/// the stream ends with ERROR 413, and the connection lives.
fn tolerates(case: &MuxCase, config: Config, size: usize) -> Check {
    let mut seen = perform(case, config.clone(), size)?;
    ensure(seen.closed.is_none() && seen.emitted.is_empty(), || {
        format!("closed: {:?}, written: {:02x?}", seen.closed, seen.emitted)
    })?;
    ensure(seen.accepted == [1], || format!("accepted {:?}", seen.accepted))?;
    let frame = [&[1, 1, 0, 0, 0, 1, 0, 0, 0x80, 0][..], &[b'z'; 0x8000]].concat();
    let frames = config.effective_recv_limit() / 0x8000 + 1;
    for _ in 0..frames {
        seen.end.feed(&frame);
    }
    is_too_much(&mut seen.end)?;
    // Whoever sends beyond what it was granted can be told so at once.
    let mut strict = config;
    strict.excess = Excess::Strict;
    let beyond = case.hex.0.len() > strict.window.try_into().unwrap_or(usize::MAX);
    if beyond {
        let mut seen = perform(case, strict, size)?;
        let error = std::mem::take(&mut seen.emitted);
        is_error(&error)?;
        ensure(seen.closed.is_none(), || format!("closed: {:?}", seen.closed))?;
    }
    Ok(())
}

fn is_too_much(end: &mut End) -> Check {
    let error = end.frame().unwrap_or_default();
    is_error(&error)?;
    ensure(end.frame().is_none(), || "something more was written".into())?;
    let closed = end.machine.closed();
    ensure(closed.is_none(), || format!("closed: {closed:?}"))?;
    loop {
        match end.read(1, usize::MAX) {
            Some(ReadResult::Data(_)) => {}
            Some(ReadResult::End(StreamEnd::Local(_))) => return Ok(()),
            other => return Err(Verdict::Fail(format!("behind what was held: {other:?}"))),
        }
    }
}

fn is_error(frame: &[u8]) -> Check {
    let head = [1, 7, 0, 0, 0, 1];
    let code = 413_u32.to_be_bytes();
    let holds = frame.get(..6) == Some(&head) && frame.get(10..14) == Some(&code);
    ensure(holds, || format!("expected ERROR 413, seen {frame:02x?}"))
}
