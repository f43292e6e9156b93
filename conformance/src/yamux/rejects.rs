//! `rejects.json`: what a peer may not do, or may. By default the machine does what is `required`;
//! under `Config::reference()` what the original was seen to do.

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::mux::{Mux as _, Opened, Side};
use trunkline_core::yamux::{Config, Flags, FrameType, Head, Violation as Rule};
use trunkline_core::{CloseReason, Violation};

use super::end::{End, Stopped};
use super::outcome;
use crate::case::{self, Check, ensure, unknown};
use crate::notation::{self, Hex};
use crate::report::Verdict;

#[derive(Deserialize)]
struct RejectCase {
    name: String,
    role: String,
    kind: String,
    #[serde(default)]
    setup: Vec<Hex>,
    #[serde(alias = "parts")]
    hex: Hex,
    #[serde(default)]
    eof: bool,
    #[serde(default)]
    config: Setup,
    hashicorp: Observed,
    required: String,
}

/// How the session under test is set up.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    accept: Option<bool>,
    #[serde(default)]
    local_open_after_feed: usize,
    #[serde(default)]
    local_streams_open: usize,
    #[serde(default)]
    local_goaway_sent_before: bool,
}

/// What the original did.
#[derive(Deserialize)]
struct Observed {
    session_open: bool,
    #[serde(default)]
    error: String,
    sent: Vec<String>,
    accepted_streams: usize,
    streams_in_table: usize,
    #[serde(default)]
    api: Vec<String>,
}

/// What the machine has to do by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Required {
    /// End the connection, and say that the peer broke a rule.
    Violation,
    /// End it for a frame that breaks off.
    Truncated,
    /// End it because the transport ended.
    Lost,
    /// End it because the peer said so.
    Told,
    /// Reset the stream and go on.
    ResetStream,
    /// Go on, as the original does.
    Tolerated,
    /// Go on, and show nobody a stream.
    NothingShown,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(case::read(case).and_then(|case| check(&case)))
}

fn check(case: &RejectCase) -> Check {
    let required = required(case)?;
    let long = case.hex.0.len() > 10_000;
    for size in if long { [usize::MAX, 16_384, 4_099] } else { [usize::MAX, 7, 1] } {
        let place = |verdict| match verdict {
            Verdict::Fail(why) => Verdict::Fail(format!("in pieces of {size}: {why}")),
            other => other,
        };
        by_default(case, required, size).map_err(place)?;
        as_original(case, size).map_err(place)?;
    }
    Ok(())
}

/// What the prose of a case asks for.
fn required(case: &RejectCase) -> Check<Required> {
    let text = case.required.as_str();
    let tolerated = match case.kind.as_str() {
        "tolerate" => true,
        "reject" => false,
        other => return Err(unknown("kind", other)),
    };
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    Ok(if says(&["reset that stream"]) {
        Required::ResetStream
    } else if says(&["session ends: transport closed"]) {
        Required::Lost
    } else if says(&["truncation"]) {
        Required::Truncated
    } else if says(&["session error:"]) {
        Required::Told
    } else if says(&["do not surface"]) {
        Required::NothingShown
    } else if tolerated
        && says(&[
            "ignore", "accept", "drop", "skip", "reply", "RST", "answer", "tolerate", "go on",
            "keep", "deliver",
        ])
    {
        Required::Tolerated
    } else if !tolerated && says(&["GoAway(1)", "bad version", "bad type", "version is checked"]) {
        Required::Violation
    } else {
        return Err(unknown("required", text));
    })
}

/// A machine behind the case's bytes: what it wrote, and what was shown to the application.
struct Seen {
    end: End,
    sent: Vec<Head>,
    accepted: usize,
    late_open: Option<Opened>,
}

fn play(case: &RejectCase, mut config: Config, size: usize) -> Check<Seen> {
    let side = match case.role.as_str() {
        "client" => Side::Client,
        "server" => Side::Server,
        other => return Err(unknown("role", other)),
    };
    let local = case.config.local_streams_open;
    if local > 0 {
        // One more than the case opens: whatever returns credit twice shows.
        config.limits.opens_waiting = local + 1;
    }
    let mut end = End::new(side, config)?;
    if case.config.local_goaway_sent_before {
        end.machine.go_away(end.now);
    }
    for _ in 0..if local > 0 { local + 1 } else { 0 } {
        ensure(matches!(end.open(), Opened::Stream(_)), || "an open was refused".into())?;
    }
    let accepts = case.config.accept != Some(false);
    let mut accepted = 0;
    let mut accept = |end: &mut End| {
        while accepts && end.accept().is_some() {
            accepted += 1;
        }
    };
    for hex in &case.setup {
        end.feed(&hex.0, size);
        accept(&mut end);
    }
    end.pump();
    end.out.clear();
    for frame in frames(&case.hex.0) {
        end.feed(frame, size);
        accept(&mut end);
    }
    if case.eof {
        end.eof();
    }
    let late_open = (case.config.local_open_after_feed > 0).then(|| end.open());
    let sent = end.heads()?;
    Ok(Seen { end, sent, accepted, late_open })
}

/// The frames of `bytes`; what is none stands at the end as it is.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    while let Some(head) = rest.first_chunk::<{ Head::LEN }>() {
        let payload = Head::parse(head).map_or(usize::MAX, |head| head.payload_len() as usize);
        let (frame, behind) = rest.split_at(payload.saturating_add(Head::LEN).min(rest.len()));
        frames.push(frame);
        rest = behind;
    }
    frames.push(rest);
    frames
}

fn by_default(case: &RejectCase, required: Required, size: usize) -> Check {
    let mut seen = play(case, Config::default(), size)?;
    let reason = seen.end.closed().cloned();
    let said = |seen: &Seen, head: Head| seen.sent.contains(&head);
    let holds = match (required, &reason) {
        (Required::Violation, Some(CloseReason::Violation(Violation::Yamux(rule)))) => {
            rule_fits(case, *rule) && said(&seen, go_away(1))
        }
        (Required::Truncated, Some(CloseReason::Eof { mid_frame: true })) => true,
        (Required::Lost, Some(CloseReason::Eof { mid_frame: false })) => true,
        (Required::Told, Some(CloseReason::Peer { code, .. })) => {
            outcome::is_told_as(
                &CloseReason::Peer { code: *code, text: String::new() },
                &case.hashicorp.error,
            ) == Some(true)
        }
        (Required::ResetStream | Required::Tolerated | Required::NothingShown, None) => true,
        _ => false,
    };
    ensure(holds, || {
        format!("expected {required:?}, the connection ended with {reason:?}, sent {:?}", seen.sent)
    })?;
    if reason.is_some() {
        // Nothing is read, surfaced or opened behind the end; no stream ended as if in order.
        let opened = seen.end.open();
        ensure(matches!(opened, Opened::Refused(_)), || format!("opened: {opened:?}"))?;
        ensure(seen.end.accept().is_none(), || "a stream is accepted behind the end".into())?;
        for (id, key) in seen.end.streams.clone() {
            let (_, stopped) = seen.end.read(key, usize::MAX);
            let finished = stopped == Some(Stopped::Finished);
            let ended = case.name.contains("fin");
            ensure(!finished || ended, || format!("stream {id} ends as if in order"))?;
        }
        return Ok(());
    }
    match required {
        Required::NothingShown => {
            ensure(seen.accepted == 0, || format!("{} streams were shown", seen.accepted))?;
        }
        Required::ResetStream => {
            let reset = |head: &Head| head.flags.has(Flags::RST) && head.stream != 0;
            ensure(seen.sent.iter().any(reset), || format!("no reset in {:?}", seen.sent))?;
            for (id, key) in seen.end.streams.clone() {
                let (bytes, stopped) = seen.end.read(key, usize::MAX);
                ensure(bytes.is_empty() && stopped == Some(Stopped::Local), || {
                    format!("stream {id} gives {} bytes, then {stopped:?}", bytes.len())
                })?;
            }
            // What else was sent must be the original's.
            seen.sent.retain(|head| !reset(head));
        }
        _ => {
            same_api(case, &mut seen, false)?;
            let count = case.hashicorp.accepted_streams;
            ensure(seen.accepted == count, || format!("{} streams were shown", seen.accepted))?;
        }
    }
    same_frames(case, seen.sent, true)
}

/// The rule that was told is the one that the case is about, as far as its name tells.
fn rule_fits(case: &RejectCase, rule: Rule) -> bool {
    let about: [(&str, bool); 11] = [
        ("version", matches!(rule, Rule::Version(_))),
        ("type", matches!(rule, Rule::FrameType(_))),
        ("exceed", matches!(rule, Rule::Window { .. })),
        ("length-max-on", matches!(rule, Rule::Window { .. })),
        ("overflow", matches!(rule, Rule::Credit { .. })),
        ("duplicate", matches!(rule, Rule::DuplicateStream(_))),
        ("parity", matches!(rule, Rule::ForeignId(_))),
        ("id-0", matches!(rule, Rule::ForeignId(_))),
        ("reuse", matches!(rule, Rule::ReusedId(_))),
        ("fin-twice", matches!(rule, Rule::SecondFin(_))),
        ("unknown-stream", matches!(rule, Rule::UnknownPayload { .. })),
    ];
    let named = about.iter().filter(|(word, _)| case.name.contains(word));
    let fits: Vec<bool> = named.map(|(_, fits)| *fits).collect();
    fits.is_empty() || fits.contains(&true)
}

fn as_original(case: &RejectCase, size: usize) -> Check {
    let mut seen = play(case, Config::reference(), size)?;
    let theirs = &case.hashicorp;
    let open = seen.end.closed().is_none();
    let reason = seen.end.closed().cloned();
    ensure(open == theirs.session_open, || {
        format!("reference: open is {}, seen {reason:?}", theirs.session_open)
    })?;
    if let Some(reason) = &reason {
        match outcome::is_told_as(reason, &theirs.error) {
            None => return Err(unknown("error", &theirs.error)),
            Some(holds) => ensure(holds, || {
                format!("reference: expected \"{}\", seen {reason:?}", theirs.error)
            })?,
        }
    }
    // A stream whose first frame ends the connection is shown by the original, and not here.
    let shown = seen.accepted == theirs.accepted_streams
        || !open && seen.accepted < theirs.accepted_streams;
    ensure(shown, || {
        format!("reference: {} streams shown, not {}", seen.accepted, theirs.accepted_streams)
    })?;
    let extra = usize::from(case.config.local_streams_open > 0);
    let streams = seen.end.machine.stats().streams - extra;
    ensure(!open || streams == theirs.streams_in_table, || {
        format!("reference: {streams} streams, not {}", theirs.streams_in_table)
    })?;
    if seen.accepted == theirs.accepted_streams {
        same_api(case, &mut seen, true)?;
    }
    same_frames(case, seen.sent, false)
}

/// What the application saw: reads, windows, credits.
fn same_api(case: &RejectCase, seen: &mut Seen, reference: bool) -> Check {
    let mut keys = seen.end.streams.clone().into_iter();
    for line in &case.hashicorp.api {
        if line.starts_with("OpenStream -> stream") {
            let same = matches!(seen.late_open, Some(Opened::Stream(_)));
            ensure(same, || format!("\"{line}\", seen {:?}", seen.late_open))?;
            continue;
        }
        let (what, told) = line.split_once(": Read -> ").ok_or_else(|| unknown("api", line))?;
        let id: u32 = what
            .rsplit(' ')
            .next()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| unknown("api", line))?;
        let key = keys
            .find(|(known, _)| *known == id)
            .ok_or_else(|| Verdict::Fail(format!("\"{line}\": there is no stream {id}")))?;
        let key = key.1;
        let stats = seen.end.machine.stream_stats(key);
        let (bytes, stopped) = seen.end.read(key, usize::MAX);
        let lost = seen.end.closed().is_some();
        for part in told.split("; ") {
            let part = part.strip_prefix("next Read -> ").unwrap_or(part);
            if let Some(window) = part.strip_prefix("send window ") {
                let seen = stats.as_ref().and_then(|stats| stats.send_window).unwrap_or_default();
                ensure(window == seen.to_string(), || format!("\"{line}\", seen {seen}"))?;
            } else if let Some(text) = error_of(part) {
                let holds = stopped.and_then(|stopped| stopped.is_told_as(text, lost));
                let holds = holds.ok_or_else(|| unknown("api", line))?;
                ensure(holds, || format!("\"{line}\", seen {stopped:?}"))?;
            } else if let Some(read) = part.strip_prefix("n=") {
                let count = read.split(' ').next().unwrap_or_default();
                ensure(count == bytes.len().to_string(), || {
                    format!("\"{line}\", seen {} bytes", bytes.len())
                })?;
            } else if part.starts_with("SYN credits in use before feed 1, after 0") {
                credits(seen, reference)?;
            } else {
                return Err(unknown("api", line));
            }
        }
    }
    Ok(())
}

/// The second acknowledgement returned a credit in the original, and none by default: of the two
/// that were taken one is free, or both are.
fn credits(seen: &mut Seen, reference: bool) -> Check {
    let free = std::iter::from_fn(|| matches!(seen.end.open(), Opened::Stream(_)).then_some(()));
    let free = free.take(3).count();
    let expected = if reference { 2 } else { 1 };
    ensure(free == expected, || format!("{free} opens are free, not {expected}"))
}

/// The text between `err="` and the quote behind it.
fn error_of(part: &str) -> Option<&str> {
    part.split_once("err=\"")?.1.strip_suffix('"')
}

fn go_away(code: u32) -> Head {
    Head { kind: FrameType::GoAway, flags: Flags::NONE, stream: 0, length: code }
}

/// Whether the frames are those that the original sent. By default there may be acknowledgements of
/// streams that were finished before, and measurements of the round trip.
fn same_frames(case: &RejectCase, mut sent: Vec<Head>, by_default: bool) -> Check {
    let mut theirs = Vec::new();
    for text in &case.hashicorp.sent {
        if let Some(count) = text.strip_prefix("... ") {
            let count = count.split(' ').next().and_then(|count| count.parse::<usize>().ok());
            let pongs = (0..u32::try_from(sent.len()).unwrap_or(0)).map(pong);
            let in_order = pongs.eq(sent.iter().copied());
            return ensure(count == Some(sent.len()) && in_order, || {
                format!("expected {count:?} answers in order, seen {sent:?}")
            });
        }
        let hex = text.split(' ').next().unwrap_or_default();
        let bytes = notation::bytes(&Value::from(hex)).map_err(|_| unknown("sent", text))?;
        let head = bytes.first_chunk().and_then(|head| Head::parse(head).ok());
        theirs.push(head.ok_or_else(|| unknown("sent", text))?);
    }
    if by_default {
        let extra = |head: &Head| {
            head.kind == FrameType::WindowUpdate && head.flags == Flags::ACK
                || head.kind == FrameType::Ping && head.flags == Flags::SYN
        };
        sent.retain(|head| !extra(head));
        theirs.retain(|head| !extra(head));
    }
    ensure(sent == theirs, || format!("expected {theirs:?}, seen {sent:?}"))
}

const fn pong(value: u32) -> Head {
    Head { kind: FrameType::Ping, flags: Flags::ACK, stream: 0, length: value }
}
