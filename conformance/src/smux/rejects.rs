//! `rejects.json`: bad and odd input, and what becomes of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use trunkline_core::mux::{Mux as _, Opened, Sent, Side, StreamEnd, StreamKey};
use trunkline_core::smux::{Config, Connection};
use trunkline_core::{CloseReason, Instant, Machine as _, Violation};

use super::decode::everything;
use super::outcome::{self, Read};
use super::settings;
use crate::case::{self, Check, ensure, unknown};
use crate::notation::{Hex, hex};
use crate::report::Verdict;

const NOW: Instant = Instant::ORIGIN;

#[derive(Deserialize)]
struct RejectCase {
    config: Map<String, Value>,
    hex: Hex,
    kind: String,
    expect: Expect,
    #[serde(default)]
    before: Vec<String>,
    #[serde(default)]
    end_of_input: bool,
    #[serde(default = "yes")]
    application_reads: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    config_error: Option<String>,
    consumed: Option<usize>,
    #[serde(default)]
    accepted: Vec<Stream>,
    #[serde(default)]
    opened: Vec<Stream>,
    #[serde(default)]
    sent: Vec<Hex>,
    session_error: Option<String>,
    #[serde(default)]
    session_closed: bool,
    then_write: Option<Write>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    id: u32,
    read: Hex,
    end: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    stream: u32,
    tried: usize,
    written: usize,
    error: Option<String>,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(case::read(case).and_then(|case| check(&case)))
}

fn check(case: &RejectCase) -> Check {
    let side = match case.config.get("role").and_then(Value::as_str) {
        Some("client") => Side::Client,
        Some("server") => Side::Server,
        other => return Err(unknown("role", other.unwrap_or("nothing"))),
    };
    everything(&case.hex.0)?;
    for reference in [true, false] {
        let mut config = if reference { Config::reference() } else { Config::default() };
        config.keep_alive = false;
        match (settings::apply(&case.config, side, config)?, &case.expect.config_error) {
            (Err(error), Some(text)) => ensure(error.to_string() == *text, || {
                format!("the configuration is refused with \"{error}\", expected \"{text}\"")
            })?,
            (Ok(config), None) => {
                for size in [1, 7] {
                    let mut run = Run::new(case, side, config.clone())?;
                    run.feed(case, size);
                    run.judge(case, reference, size).map_err(|verdict| match verdict {
                        Verdict::Fail(why) => Verdict::Fail(format!(
                            "{}, in pieces of {size}: {why}",
                            if reference { "as the original" } else { "by default" }
                        )),
                        other => other,
                    })?;
                }
            }
            (Ok(_), Some(text)) => {
                return Err(Verdict::Fail(format!("expected to be refused: {text}")));
            }
            (Err(error), None) => {
                return Err(Verdict::Fail(format!("the configuration is refused: {error}")));
            }
        }
    }
    Ok(())
}

/// A machine, and what its application saw.
struct Run {
    machine: Connection,
    keys: BTreeMap<u32, StreamKey>,
    accepted: Vec<Stream>,
    opened: Vec<Stream>,
    consumed: usize,
}

impl Run {
    fn new(case: &RejectCase, side: Side, config: Config) -> Check<Self> {
        let machine = Connection::new(side, config)
            .map_err(|error| Verdict::Fail(format!("no machine: {error}")))?;
        let mut run = Self {
            machine,
            keys: BTreeMap::new(),
            accepted: Vec::new(),
            opened: Vec::new(),
            consumed: 0,
        };
        for step in &case.before {
            run.prepare(step)?;
        }
        while run.machine.poll_transmit(NOW).is_some() {}
        Ok(run)
    }

    fn prepare(&mut self, step: &str) -> Check {
        let words: Vec<_> = step.split(' ').collect();
        match *words.as_slice() {
            ["open", "1", "stream", "locally", "(id", id] => {
                let id: u32 =
                    id.trim_end_matches(')').parse().map_err(|_| unknown("before", step))?;
                let Opened::Stream(key) = self.machine.open(NOW) else {
                    return Err(Verdict::Fail("a stream cannot be opened".into()));
                };
                let seen = self.machine.stream_stats(key).map(|stats| stats.id);
                ensure(seen == Some(id), || format!("the stream opened is {seen:?}, not {id}"))?;
                self.keys.insert(id, key);
                self.opened.push(Stream { id, read: Hex::default(), end: None });
                Ok(())
            }
            ["write", count, "zero", "bytes", "on", "it"] => {
                let count = count.parse().map_err(|_| unknown("before", step))?;
                let key = self.opened.last().and_then(|stream| self.keys.get(&stream.id)).copied();
                let key = key.ok_or_else(|| unknown("before", step))?;
                let sent = self.machine.write(NOW, key, &mut Bytes::from(vec![0; count]));
                ensure(sent == Sent::Accepted(count), || format!("a write came to {sent:?}"))
            }
            _ => Err(unknown("before", step)),
        }
    }

    /// Feeds the case, piece by piece as far as the machine wants it; the application accepts and
    /// reads after each.
    fn feed(&mut self, case: &RejectCase, size: usize) {
        for piece in case.hex.0.chunks(size) {
            if !self.machine.wants_input() {
                return;
            }
            self.machine.handle_input(NOW, Bytes::copy_from_slice(piece));
            self.consumed += piece.len();
            self.apply(case.application_reads);
        }
        if case.end_of_input {
            self.machine.handle_eof(NOW);
            self.apply(case.application_reads);
        }
    }

    fn apply(&mut self, reads: bool) {
        while let Some(key) = self.machine.accept(NOW) {
            let id = self.machine.stream_stats(key).map_or(u32::MAX, |stats| stats.id);
            self.keys.insert(id, key);
            self.accepted.push(Stream { id, read: Hex::default(), end: None });
        }
        for stream in self.accepted.iter_mut().chain(&mut self.opened).filter(|_| reads) {
            let Some(key) = self.keys.get(&stream.id) else { continue };
            while stream.end.is_none() {
                match Read::from(self.machine.read(NOW, *key, 100)) {
                    Read::Got(bytes) => stream.read.0.extend(bytes),
                    Read::End(end) => stream.end = Some(end.into()),
                    Read::Blocked => break,
                }
            }
        }
    }

    fn judge(mut self, case: &RejectCase, reference: bool, size: usize) -> Check {
        let expect = &case.expect;
        // A piece may reach beyond the byte at which the machine stops.
        let (seen, consumed) = (self.consumed, expect.consumed);
        ensure(consumed.is_none_or(|all| seen >= all && seen < all + size), || {
            format!("consumed {seen}, expected {consumed:?}")
        })?;
        let error = self.machine.input_end().map(outcome::reason);
        ensure(error == expect.session_error.as_deref(), || {
            format!("the session's error is {error:?}, expected {:?}", expect.session_error)
        })?;
        match (reference, case.kind.as_str()) {
            (true, "protocol-error" | "read-error" | "write-error")
            | (_, "ignored" | "accepted" | "stalled") => {
                let closed = outcome::is_closed(&self.machine);
                ensure(closed == expect.session_closed, || format!("session closed: {closed}"))?;
            }
            // By default an error ends the connection, with the reason, told once.
            (false, "protocol-error") => {
                let broken = matches!(
                    self.machine.closed(),
                    Some(CloseReason::Violation(Violation::Smux(_)))
                );
                ensure(broken, || format!("ended with {:?}", self.machine.closed()))?;
            }
            (false, "read-error") => {
                let end = matches!(self.machine.closed(), Some(CloseReason::Eof { .. }));
                ensure(end, || format!("ended with {:?}", self.machine.closed()))?;
            }
            (false, "write-error") => return self.judge_overclaim(case),
            (_, other) => return Err(unknown("kind", other)),
        }
        self.streams_are("accepted", &self.accepted, &expect.accepted, reference)?;
        self.streams_are("opened", &self.opened, &expect.opened, reference)?;
        if let Some(write) = &expect.then_write {
            self.then_write(write)?;
        }
        let mut sent = Vec::new();
        while let Some(segment) = self.machine.poll_transmit(NOW) {
            sent.push(Hex(segment.slices().concat()));
        }
        ensure(sent == expect.sent, || {
            let all = |list: &[Hex]| list.iter().map(|Hex(b)| hex(b)).collect::<Vec<_>>().join(" ");
            format!("sent {}, expected {}", all(&sent), all(&expect.sent))
        })?;
        if case.kind == "ignored" && !reference {
            let useless = self.machine.stats().useless;
            ensure(useless > 0, || "the odd frame was not counted".into())?;
        }
        Ok(())
    }

    /// By default a stream whose peer claims too much is ended at once, with FIN; all else goes on.
    fn judge_overclaim(mut self, case: &RejectCase) -> Check {
        let Some(write) = &case.expect.then_write else { return Ok(()) };
        let Some(key) = self.keys.get(&write.stream).copied() else {
            return Err(unknown("then_write", "a stream that is not there"));
        };
        let end = self.machine.write_end(key);
        let violation = trunkline_core::mux::LocalEnd::Violation;
        ensure(end == Some(StreamEnd::Local(violation)), || {
            format!("the stream's end is {end:?}")
        })?;
        ensure(self.machine.closed().is_none(), || "the connection ended".into())?;
        self.streams_are("accepted", &self.accepted, &case.expect.accepted, false)?;
        let fin = self.machine.poll_transmit(NOW).map(|segment| segment.slices().concat());
        ensure(fin.as_ref().and_then(|fin| fin.get(1)) == Some(&1), || format!("sent {fin:?}"))
    }

    /// The streams are those expected; of a frame that was cut, what came of it may be there.
    fn streams_are(
        &self,
        what: &str,
        seen: &[Stream],
        expected: &[Stream],
        reference: bool,
    ) -> Check {
        let cut = !reference && matches!(self.machine.closed(), Some(CloseReason::Eof { .. }));
        let same = seen.len() == expected.len()
            && seen.iter().zip(expected).all(|(seen, expected)| {
                let read = if cut {
                    seen.read.0.starts_with(&expected.read.0)
                } else {
                    seen.read == expected.read
                };
                read && seen.id == expected.id && seen.end == expected.end
            });
        ensure(same, || format!("{what}: seen {seen:?}, expected {expected:?}"))
    }

    fn then_write(&mut self, write: &Write) -> Check {
        let Some(key) = self.keys.get(&write.stream).copied() else {
            return Err(unknown("then_write", "a stream that is not there"));
        };
        let sent = self.machine.write(NOW, key, &mut Bytes::from(vec![0; write.tried]));
        let (written, error) = match sent {
            Sent::Accepted(written) => (written, None),
            Sent::Blocked => (0, Some("blocked by the window")),
            Sent::End(end) => (0, Some(outcome::end(&end))),
            Sent::Unknown => (0, Some("no such stream")),
        };
        ensure((written, error) == (write.written, write.error.as_deref()), || {
            format!(
                "a write came to {written} and {error:?}, expected {} and {:?}",
                write.written, write.error
            )
        })
    }
}
