//! What a replayed session came to, as the originals told it.

use bytes::Bytes;
use trunkline_core::mux::{OpenRefusal, Opened};
use trunkline_core::tunnel::terminal::{Boundaries, Joiner, Message, Towards};
use trunkline_core::tunnel::{End as StreamOver, ResponseMeta};

use super::replay::Replay;
use super::streams::{Frame, Listener, Stream, frames, header_of};
use crate::case::{Check, ensure, unknown};
use crate::report::Verdict;
use crate::yamux::transcripts::Role;

/// Every line of the outcome that is about this end.
pub(super) fn check(replay: &mut Replay<'_>) -> Check {
    let mut told =
        Told { theirs: frames(replay.transcript, replay.role.other())?, exchanges: 0, terminal: 0 };
    for line in &replay.transcript.outcome {
        told.line(replay, line)?;
    }
    Ok(())
}

/// Sizes of the originals' buffers on terminals: the agent's and the server's.
const READS: [usize; 2] = [4_096, LONGEST_READ];

/// The most that one of them reads at once.
const LONGEST_READ: usize = 32_768;

/// Where the lines stand that are told in order.
struct Told {
    /// What the other end wrote.
    theirs: Vec<Frame>,
    exchanges: usize,
    /// Bytes of the terminal that were told.
    terminal: usize,
}

impl Told {
    fn line(&mut self, replay: &mut Replay<'_>, line: &str) -> Check {
        let is_agents = line.starts_with("agent") || line.starts_with("client");
        if is_agents != (replay.role == Role::Client) {
            return Ok(());
        }
        if let Some(rest) = after(line, &["server terminal read ", "agent terminal read "]) {
            return self.terminal(replay, line, rest);
        }
        if let Some(count) = between(line, "server OnAgentInfo called with ", " bytes") {
            return control(replay, line, count);
        }
        if let Some(rest) = line.strip_prefix("server reads: type ") {
            return answer(replay, line, rest);
        }
        if line.starts_with("server reads ") {
            let stream = last(replay)?;
            let told = format!("server reads {} bytes {}", stream.read.len(), quote(&stream.read));
            return ended(line, &told, stream.over == Some(StreamOver::Finished));
        }
        if line == "ws.Ping -> <nil>" {
            // An answer was fed, and it was taken for one.
            return ensure(replay.transcript.steps.iter().any(|step| step.ws == "pong"), || {
                format!("\"{line}\", and no pong was seen")
            });
        }
        if let Some(error) =
            after(line, &["OpenHTTPStream after Close -> ", "OpenTerminalStream after Close -> "])
        {
            ensure(error == "session shutdown", || format!("\"{line}\""))?;
            let opened = replay.end.open();
            let refused = opened == Opened::Refused(OpenRefusal::Closed);
            return ensure(refused, || format!("\"{line}\", seen {opened:?}"));
        }
        if let Some(rest) = after(line, &["OpenHTTPStream -> ", ""])
            .filter(|rest| ["status ", "error "].iter().any(|start| rest.starts_with(start)))
        {
            return self.exchange(replay, line, rest);
        }
        Err(unknown("outcome", line))
    }

    /// "status 200 headers map[A:b]; body 13 bytes "Hello, World!" err=<nil>".
    fn exchange(&mut self, replay: &mut Replay<'_>, line: &str, rest: &str) -> Check {
        let is_exchange = |id: &&u32| {
            let stream = replay.streams.get(id);
            stream.is_some_and(|stream| matches!(stream.listener, Listener::Caller(_)))
        };
        let id = replay.order.iter().filter(is_exchange).nth(self.exchanges).copied();
        let id = id.ok_or_else(|| unknown("outcome", line))?;
        self.exchanges += 1;
        let stream = replay.stream(id)?;
        if rest.starts_with("error ") {
            let failed = stream.fault.is_some() || stream.over.is_some() && stream.status.is_none();
            return ensure(failed, || format!("\"{line}\", seen {:?}", stream.status));
        }
        let (header, body) = header_of(&stream.read)?;
        let meta = ResponseMeta::from_json(&header.metadata)
            .map_err(|why| Verdict::Fail(format!("\"{line}\": {why}")))?;
        let headers: Vec<String> =
            meta.headers.0.iter().flatten().map(|(k, v)| format!("{k}:{v}")).collect();
        let status = format!("status {}", meta.status);
        let mapped = format!("{status} headers map[{}]; body {}", headers.join(" "), body.len());
        let bare = format!("{status}, body {}", body.len());
        let says = |text: &str| {
            rest.strip_prefix(text)
                .and_then(|rest| rest.strip_prefix(" bytes"))
                .map(|rest| rest.trim_start_matches([',', ' ']))
        };
        let rest = says(&mapped).or_else(|| says(&bare));
        let rest = rest.ok_or_else(|| Verdict::Fail(format!("\"{line}\", seen {mapped}")))?;
        let quoted = quote(&body);
        let (text, error) = rest.split_once("err=").ok_or_else(|| unknown("outcome", line))?;
        let text = text.trim();
        ensure(text.is_empty() || text == quoted, || format!("\"{line}\", seen {quoted}"))?;
        // The original takes a loss for the end of a body; this project never does.
        let lost = stream.over != Some(StreamOver::Finished);
        let seen_whole = stream.whole && stream.fault.is_none();
        let status = stream.status.map(i64::from);
        let same = stream.fault.is_some() || status == Some(meta.status.max(200));
        ensure(same, || format!("\"{line}\", seen status {status:?}"))?;
        let cut = stream.fault.is_some() && (lost || is_short(&meta, body.len()));
        let holds = if error == "<nil>" && !cut { seen_whole } else { !seen_whole };
        ensure(holds, || format!("\"{line}\", seen {:?} {:?}", stream.over, stream.fault))
    }

    /// What a terminal's end read, message by message.
    fn terminal(&mut self, replay: &mut Replay<'_>, line: &str, rest: &str) -> Check {
        let is_terminal = |id: &&u32| {
            let stream = replay.streams.get(id);
            stream.is_some_and(|stream| matches!(stream.listener, Listener::Raw))
        };
        let id = replay.order.iter().find(is_terminal).copied();
        let id = id.ok_or_else(|| unknown("outcome", line))?;
        let header = if replay.role == Role::Client { 5 } else { 0 };
        let of_stream = |frame: &&Frame| frame.head.stream == id && !frame.payload.is_empty();
        let ends: Vec<usize> = self
            .theirs
            .iter()
            .filter(of_stream)
            .scan(0, |passed, frame| {
                *passed += frame.payload.len();
                Some(*passed)
            })
            .collect();
        let role = replay.role;
        let stream = replay.stream(id)?;
        let seen = &stream.frame_ends;
        ensure(*seen == ends, || format!("its data frames end at {ends:?}, seen {seen:?}"))?;
        // Frames of the header are no messages.
        let ends: Vec<usize> = ends.into_iter().filter(|end| *end > header).collect();
        let said = stream.read.get(header..).unwrap_or_default();
        if rest == "-> EOF" {
            let all = self.terminal == said.len() && stream.over == Some(StreamOver::Finished);
            return ensure(all, || format!("\"{line}\", seen {:?}", stream.over));
        }
        // One read of the original takes all that is there, up to its buffer: messages merge, or
        // are cut. Ours end where frames do.
        let left = said.get(self.terminal..).unwrap_or_default();
        let told = (0..=left.len().min(LONGEST_READ))
            .filter(|length| ends.contains(&(self.terminal + length + header)))
            .chain(READS.into_iter().filter(|length| *length <= left.len()))
            .find(|length| left.get(..*length).is_some_and(|read| quote(read) == rest));
        let shown = left.get(..left.len().min(200)).unwrap_or_default();
        let length =
            told.ok_or_else(|| Verdict::Fail(format!("\"{line}\", seen {}..", quote(shown))))?;
        let begin = self.terminal + header;
        self.terminal += length;
        let mut from = begin;
        for end in ends.into_iter().filter(|end| (begin..=begin + length).contains(end)) {
            joined(role, stream.read.get(from..end).unwrap_or_default())?;
            from = end;
        }
        Ok(())
    }
}

/// Whether the joiner takes a message for what it is.
fn joined(role: Role, message: &[u8]) -> Check {
    let towards = match role {
        Role::Client => Towards::Agent,
        Role::Server => Towards::Opener,
    };
    let whole = Bytes::copy_from_slice(message);
    let seen = Joiner::new(towards, Boundaries::Frames).feed(whole, true);
    let holds = match (message.split_first(), role, &seen) {
        (Some((1, _)), Role::Server, seen) => seen.is_none(),
        (Some((1, _)), Role::Client, seen) => !matches!(seen, Some(Message::Data(_))),
        (Some((_, data)), _, Some(Message::Data(seen))) => data == *seen,
        (Some((_, data)), ..) => data.is_empty(),
        (None, ..) => true,
    };
    ensure(holds, || format!("the joiner makes {seen:?} of {}", quote(message)))
}

/// Whether a response is shorter than it says.
fn is_short(meta: &ResponseMeta, body: usize) -> bool {
    let headers = meta.headers.0.iter().flatten();
    let mut lengths = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.any(|(_, value)| value.parse().is_ok_and(|length: usize| length > body))
}

/// "server OnAgentInfo called with 330 bytes".
fn control(replay: &mut Replay<'_>, line: &str, count: usize) -> Check {
    let omitted = replay.transcript.config.contains_key("omitted");
    let listens = |stream: &&Stream| matches!(stream.listener, Listener::Control(_));
    let streams: Vec<&Stream> = replay.streams.values().filter(listens).collect();
    if streams.is_empty() && omitted {
        return Ok(());
    }
    let seen: Vec<usize> = streams
        .iter()
        .filter(|stream| stream.over == Some(StreamOver::Finished) && stream.fault.is_none())
        .map(|stream| stream.read.len().saturating_sub(header_len(stream)))
        .collect();
    ensure(seen.contains(&count), || format!("\"{line}\", seen {seen:?}"))
}

fn header_len(stream: &Stream) -> usize {
    stream.header.as_ref().map_or(0, |header| 5 + header.metadata.len())
}

/// `1 metadata "{..}" body "invalid metadata" then err=<nil>`: the stream that a server opened by
/// hand.
fn answer(replay: &mut Replay<'_>, line: &str, rest: &str) -> Check {
    let stream = last(replay)?;
    let (header, body) = header_of(&stream.read)?;
    let told =
        format!("{} metadata {} body {}", header.kind.0, quote(&header.metadata), quote(&body));
    ended(line, &format!("server reads: type {told}"), stream.over == Some(StreamOver::Finished))?;
    ensure(line.contains(rest), || line.to_owned())
}

/// Whether the line is what was seen, up to the error behind it, which is none at an orderly end.
fn ended(line: &str, seen: &str, orderly: bool) -> Check {
    let (told, error) = line.split_once(" then err=").ok_or_else(|| unknown("outcome", line))?;
    ensure(told == seen, || format!("\"{line}\", seen {seen}"))?;
    ensure(orderly == (error == "<nil>"), || format!("\"{line}\", orderly: {orderly}"))
}

fn last<'a>(replay: &'a mut Replay<'_>) -> Check<&'a mut Stream> {
    let id = replay.order.last().copied().unwrap_or_default();
    replay.stream(id)
}

fn after<'a>(line: &'a str, starts: &[&str]) -> Option<&'a str> {
    starts.iter().find_map(|start| line.strip_prefix(start))
}

fn between(line: &str, before: &str, behind: &str) -> Option<usize> {
    line.strip_prefix(before)?.split_once(behind)?.0.trim().parse().ok()
}

/// Bytes as the original's language quotes them.
fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\u{7}' => text.push_str("\\a"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{b}' => text.push_str("\\v"),
                c if c < ' ' || c == '\u{7f}' => text.push_str(&format!("\\x{:02x}", c as u32)),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.push('"');
    text
}
