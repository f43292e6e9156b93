//! Replays a session with our machine at one end, under the original's settings.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::mux::{Finished, Mux as _, OpenRefusal, Opened, Sent, Side, StreamKey};
use trunkline_core::smux::{Config, Connection};
use trunkline_core::{Instant, Machine as _};

use super::outcome::{self, Read};
use super::settings;
use super::transcripts::{Transcript, side};
use crate::case::{Check, ensure, unknown};
use crate::diff;
use crate::report::Verdict;

const CLOSED_PIPE: &str = "io: read/write on closed pipe";

/// Replays a session from one end, the other end's bytes cut into pieces of `size`.
///
/// # Errors
///
/// What differed, or why the session cannot be replayed.
pub fn replay(transcript: &Transcript, own: Side, size: usize) -> Check {
    let config = settings::apply(&transcript.config, own, Config::reference())?
        .map_err(|error| Verdict::Fail(format!("the configuration is refused: {error}")))?;
    let machine = Connection::new(own, config.clone())
        .map_err(|error| Verdict::Fail(format!("no machine: {error}")))?;
    let mut end = End {
        machine,
        interval: config.keep_alive_interval,
        name: if own == Side::Client { "client" } else { "server" },
        now: Instant::from_millis(1_000),
        streams: BTreeMap::new(),
        background: Vec::new(),
        seen: Vec::new(),
        expected: Vec::new(),
    };
    // Time begins with the session.
    end.machine.handle_timeout(end.now);
    for (index, step) in transcript.steps.iter().enumerate() {
        let place = |verdict| match verdict {
            Verdict::Fail(why) => Verdict::Fail(format!("step {index}: {why}")),
            other => other,
        };
        if side(&step.from)? == own {
            let call = step.call.as_deref();
            let observed = step.observe.as_deref();
            call.map_or(Ok(()), |call| end.call(call, observed)).map_err(place)?;
            end.pump();
            end.expected.extend_from_slice(&step.hex.0);
            if call.is_none() {
                end.wait_for_more();
            }
            continue;
        }
        end.pump();
        end.compare().map_err(place)?;
        for piece in step.hex.0.chunks(size.min(step.hex.0.len().max(1))) {
            end.machine.handle_input(end.now, Bytes::copy_from_slice(piece));
        }
        if step.call.as_deref() == Some("close session") {
            end.machine.handle_eof(end.now);
        }
    }
    end.pump();
    end.compare()
}

/// The end that our machine takes.
struct End {
    machine: Connection,
    interval: Duration,
    name: &'static str,
    now: Instant,
    streams: BTreeMap<u32, Handle>,
    /// Writes that wait for room.
    background: Vec<(StreamKey, Bytes)>,
    seen: Vec<u8>,
    expected: Vec<u8>,
}

/// A stream as the application has it.
#[derive(Clone, Copy)]
struct Handle {
    key: StreamKey,
    closed: bool,
}

impl End {
    /// Takes all that the machine sends, and goes on with writes that wait.
    fn pump(&mut self) {
        loop {
            let mut moved = false;
            while let Some(segment) = self.machine.poll_transmit(self.now) {
                self.seen.extend(segment.slices().concat());
                moved = true;
            }
            for (key, data) in &mut self.background {
                let sent = self.machine.write(self.now, *key, data);
                moved |= matches!(sent, Sent::Accepted(some) if some > 0);
            }
            self.background.retain(|(_, data)| !data.is_empty());
            if !moved {
                return;
            }
        }
    }

    /// Frames without a cause come with time: moves the clock until they are there.
    fn wait_for_more(&mut self) {
        for _ in 0..10 {
            if self.seen.len() >= self.expected.len() {
                return;
            }
            let Some(at) = self.machine.poll_timeout() else { return };
            self.advance(at);
        }
    }

    /// Moves the clock through every deadline on the way, the last included.
    fn advance(&mut self, until: Instant) {
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            self.pump();
        }
        self.now = self.now.max(until);
    }

    fn compare(&self) -> Check {
        match diff::bytes(&self.expected, &self.seen) {
            None => Ok(()),
            Some(why) => Err(Verdict::Fail(format!("what was written differs at {why}"))),
        }
    }

    fn call(&mut self, call: &str, observed: Option<&str>) -> Check {
        let told = self.perform(call)?;
        let Some(observed) = observed else { return Ok(()) };
        if call == "count streams" {
            let told = format!("{} has {} streams", self.name, self.machine.stats().streams);
            return ensure(observed.split(", ").any(|part| short(part) == short(&told)), || {
                format!("`{call}`: seen \"{told}\", expected \"{observed}\"")
            });
        }
        match told {
            Some(told) => ensure(told == observed, || {
                format!("`{call}`: seen \"{told}\", expected \"{observed}\"")
            }),
            None => Ok(()),
        }
    }

    /// Does what a step says, and tells in the words of the transcripts what came of it; `None`
    /// where the words are an explanation.
    fn perform(&mut self, call: &str) -> Check<Option<String>> {
        if let Some((content, rest)) = call.strip_prefix("write ").and_then(content) {
            let id = number(rest.split(' ').next().unwrap_or_default(), call)?;
            return self.write(id, content, rest.contains("(in the background)")).map(Some);
        }
        let words: Vec<_> = call.split(' ').collect();
        match *words.as_slice() {
            ["open", "stream"] => Ok(Some(self.open())),
            ["accept", "stream"] => self.accept().map(Some),
            ["read", "at", "most", most, "from", "stream", id] => {
                let most = usize::try_from(number(most, call)?).unwrap_or(usize::MAX);
                self.read(number(id, call)?, most).map(Some)
            }
            ["close", "stream", id] => self.close(number(id, call)?).map(Some),
            ["close", "the", "write", "side", "of", "stream", id] => {
                self.close_write(number(id, call)?).map(Some)
            }
            ["close", "session"] => {
                self.machine.close(self.now);
                Ok(Some("ok".into()))
            }
            ["session", "closed?"] => Ok(Some(outcome::is_closed(&self.machine).to_string())),
            ["count", "streams"] => Ok(None),
            ["wait", "two", "keep-alive", "intervals"] => {
                self.advance(self.now + self.interval * 2);
                Ok(None)
            }
            ["wait", millis, "ms", ..] => {
                self.advance(self.now + Duration::from_millis(number(millis, call)?.into()));
                let closed = outcome::is_closed(&self.machine);
                Ok(Some(format!("{} session closed: {closed}", self.name)))
            }
            _ => Err(unknown("do", call)),
        }
    }

    fn open(&mut self) -> String {
        match self.machine.open(self.now) {
            Opened::Stream(key) => {
                let id = self.machine.stream_stats(key).map_or(0, |stats| stats.id);
                self.streams.insert(id, Handle { key, closed: false });
                format!("stream {id}")
            }
            Opened::Refused(OpenRefusal::IdsExhausted) => {
                "error: stream id overflows, should start a new connection".into()
            }
            _ => format!("error: {CLOSED_PIPE}"),
        }
    }

    fn accept(&mut self) -> Check<String> {
        let Some(key) = self.machine.accept(self.now) else {
            return Err(Verdict::Fail("no stream waits for accept".into()));
        };
        let id = self.machine.stream_stats(key).map_or(0, |stats| stats.id);
        self.streams.insert(id, Handle { key, closed: false });
        Ok(format!("stream {id}"))
    }

    fn handle(&mut self, id: u32) -> Check<Handle> {
        while !self.streams.contains_key(&id) {
            self.accept()?;
        }
        self.streams.get(&id).copied().ok_or_else(|| unknown("stream", "one never opened"))
    }

    fn write(&mut self, id: u32, content: Vec<u8>, background: bool) -> Check<String> {
        let Handle { key, closed } = self.handle(id)?;
        let mut data = Bytes::from(content);
        let all = data.len();
        let mut error = closed.then_some(CLOSED_PIPE);
        while !data.is_empty() && error.is_none() {
            match self.machine.write(self.now, key, &mut data) {
                Sent::Accepted(_) => {
                    while let Some(segment) = self.machine.poll_transmit(self.now) {
                        self.seen.extend(segment.slices().concat());
                    }
                }
                Sent::Blocked if background => {
                    let written = all - data.len();
                    self.background.push((key, data));
                    return Ok(format!("blocked after {written}"));
                }
                Sent::Blocked => return Err(Verdict::Fail("the write is blocked".into())),
                Sent::End(_) | Sent::Unknown => error = Some(CLOSED_PIPE),
            }
        }
        let written = all - data.len();
        Ok(error.map_or(format!("wrote {written}"), |why| format!("wrote {written}, error: {why}")))
    }

    fn read(&mut self, id: u32, most: usize) -> Check<String> {
        let Handle { key, closed } = self.handle(id)?;
        let read = match closed {
            true => Read::End("EOF"),
            false => Read::from(self.machine.read(self.now, key, most)),
        };
        Ok(match read {
            Read::End(why) => format!("got 0, error: {why}"),
            Read::Blocked => "got 0, would block".into(),
            Read::Got(bytes) => match bytes.first() {
                Some(first) if bytes.len() > 64 && bytes.iter().all(|byte| byte == first) => {
                    format!("got {} bytes of 0x{first:02x}", bytes.len())
                }
                _ => format!("got {:?}", String::from_utf8_lossy(&bytes)),
            },
        })
    }

    fn close(&mut self, id: u32) -> Check<String> {
        let Handle { key, closed } = self.handle(id)?;
        // A stream whose two directions have ended is closed already.
        let over = self.machine.stream_stats(key).is_none()
            || (self.machine.write_end(key).is_some() && self.machine.read_end(key).is_some());
        self.machine.forget(self.now, key);
        self.streams.insert(id, Handle { key, closed: true });
        Ok(if closed || over { format!("error: {CLOSED_PIPE}") } else { "ok".into() })
    }

    fn close_write(&mut self, id: u32) -> Check<String> {
        let Handle { key, closed } = self.handle(id)?;
        Ok(match self.machine.finish(self.now, key) {
            Finished::Queued if !closed => "ok".into(),
            _ => format!("error: {CLOSED_PIPE}"),
        })
    }
}

/// `client has 0 streams` or `server has 1`: what both forms begin with.
fn short(told: &str) -> String {
    told.trim_end_matches(" streams").trim().to_owned()
}

fn number(word: &str, call: &str) -> Check<u32> {
    word.parse().map_err(|_| unknown("do", call))
}

/// `"text" to stream 3` or `250 bytes of 0x61 to stream 3`: the bytes, and what follows `stream `.
fn content(call: &str) -> Option<(Vec<u8>, &str)> {
    let (what, rest) = call.rsplit_once(" to stream ")?;
    if let Some(text) = what.strip_prefix('"').and_then(|what| what.strip_suffix('"')) {
        // The text is quoted as Go quotes it, which for what is printable is as JSON does.
        let text: String = serde_json::from_str(&format!("\"{text}\"")).ok()?;
        return Some((text.into_bytes(), rest));
    }
    let words: Vec<_> = what.split(' ').collect();
    match *words.as_slice() {
        [count, "bytes", "of", byte] => {
            let byte = u8::from_str_radix(byte.strip_prefix("0x")?, 16).ok()?;
            Some((vec![byte; count.parse().ok()?], rest))
        }
        _ => None,
    }
}
