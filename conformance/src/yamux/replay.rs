//! Replays a session with a machine of ours at one end.

use bytes::Bytes;
use trunkline_core::CloseReason;
use trunkline_core::mux::{Mux as _, OpenRefusal, Opened, Pinged, Sent, StreamKey};

use super::end::{End, Stopped};
use super::outcome;
use super::transcripts::{Role, Step, Transcript};
use crate::case::{Check, ensure, unknown};
use crate::diff;
use crate::report::Verdict;

/// Replays a session as `role`; what the other end wrote arrives in pieces of `size`.
///
/// # Errors
///
/// [`Verdict::Fail`] when the machine writes other bytes or ends otherwise, [`Verdict::NotRun`] when
/// the session says something that is not known here.
pub fn replay(transcript: &Transcript, role: Role, size: usize) -> Check {
    let end = End::new(role.side(), transcript.settings(role)?)?;
    let mut replay = Replay {
        transcript,
        role,
        size,
        end,
        writes: Vec::new(),
        opens: 0,
        held: Vec::new(),
        blocked: Vec::new(),
        finished: Vec::new(),
    };
    for (index, step) in transcript.steps.iter().enumerate() {
        let place = |verdict| match verdict {
            Verdict::Fail(why) => Verdict::Fail(format!("step {index}: {why}")),
            other => other,
        };
        if step.from == role {
            replay.own(index, step).map_err(place)?;
        } else {
            replay.others(index, step).map_err(place)?;
        }
    }
    for bytes in std::mem::take(&mut replay.held) {
        replay.end.feed(&bytes, size);
    }
    replay.nothing_more()?;
    replay.outcome()
}

struct Replay<'a> {
    transcript: &'a Transcript,
    role: Role,
    size: usize,
    end: End,
    /// What a write could not queue yet, and how much was asked for.
    writes: Vec<Write>,
    /// Opens that wait.
    opens: usize,
    /// Frames of the other end that are still under way.
    held: Vec<Vec<u8>>,
    /// How much of a write was queued when it had to wait.
    blocked: Vec<usize>,
    /// Writes that were queued whole.
    finished: Vec<usize>,
}

struct Write {
    key: StreamKey,
    rest: Bytes,
    whole: usize,
}

impl Replay<'_> {
    /// The other end wrote.
    fn others(&mut self, index: usize, step: &Step) -> Check {
        self.nothing_more()?;
        let bytes = &step.hex.0;
        let ends = bytes.get(3).is_some_and(|flags| flags & 4 != 0);
        let more = self.transcript.steps.iter().skip(index + 1).any(|next| next.from == self.role);
        if self.transcript.holds_ends() && ends && more {
            self.held.push(bytes.clone());
            return Ok(());
        }
        self.end.feed(bytes, self.size);
        self.retry();
        Ok(())
    }

    /// This end wrote: the call is made, and the bytes must come.
    fn own(&mut self, index: usize, step: &Step) -> Check {
        if let Some(cause) = &step.cause {
            self.call(index, cause)?;
        }
        self.retry();
        while self.end.out.len() < step.hex.0.len() {
            // What no call makes, time makes.
            ensure(step.cause.is_none() && self.end.next_deadline(), || {
                format!("expected {} bytes, seen {}", step.hex.0.len(), self.end.out.len())
            })?;
        }
        let rest = self.end.out.split_off(step.hex.0.len());
        let seen = std::mem::replace(&mut self.end.out, rest);
        match diff::bytes(&step.hex.0, &seen) {
            Some(why) => Err(Verdict::Fail(format!("it writes other bytes, at {why}"))),
            None => Ok(()),
        }
    }

    fn nothing_more(&self) -> Check {
        let out = &self.end.out;
        ensure(out.is_empty(), || {
            format!("it wrote {} bytes more: {:02x?}", out.len(), out.get(..12))
        })
    }

    /// Goes on with what had to wait.
    fn retry(&mut self) {
        self.end.pump();
        for _ in 0..std::mem::take(&mut self.opens) {
            if self.end.open() == Opened::Blocked {
                self.opens += 1;
            }
        }
        for mut write in std::mem::take(&mut self.writes) {
            while let Sent::Accepted(1..) =
                self.end.machine.write(self.end.now, write.key, &mut write.rest)
            {
                self.end.pump();
            }
            if write.rest.is_empty() {
                self.finished.push(write.whole);
            } else {
                self.blocked.push(write.whole - write.rest.len());
                self.writes.push(write);
            }
        }
    }

    /// Makes the call that a cause tells.
    fn call(&mut self, index: usize, cause: &str) -> Check {
        let cause = cause.trim();
        let own = self.role.name();
        let what = cause.strip_prefix(own).ok_or_else(|| unknown("cause", cause))?;
        if what.ends_with("expires") {
            // Through every deadline on the way, the first one that makes it write included.
            while self.end.out.is_empty() && self.end.next_deadline() {}
            return Ok(());
        }
        match what {
            ".OpenStream()" => match self.end.open() {
                Opened::Stream(_) => return Ok(()),
                Opened::Blocked => self.opens += 1,
                other => return Err(Verdict::Fail(format!("{cause}: {other:?}"))),
            },
            ".AcceptStream()" => {
                let accepted = self.end.accept();
                ensure(accepted.is_some(), || format!("{cause}: no stream waits"))?;
            }
            ".Ping()" => drop(self.end.machine.ping(self.end.now)),
            ".GoAway()" => self.end.machine.go_away(self.end.now),
            ".Close()" | ".Session.Close()" => self.end.machine.close(self.end.now),
            _ => self.stream_call(index, cause)?,
        }
        self.end.pump();
        Ok(())
    }

    fn stream_call(&mut self, index: usize, cause: &str) -> Check {
        let (id, what) = parse_stream(cause).ok_or_else(|| unknown("cause", cause))?;
        let key = self.stream(id)?;
        if what == ".Close()" {
            self.end.machine.finish(self.end.now, key);
        } else if let Some(count) = number_between(what, ".Write(", " bytes)") {
            let rest = Bytes::from(self.content(index, id, count));
            self.writes.push(Write { key, whole: rest.len(), rest });
        } else if let Some(count) = number_between(what, " reads ", " bytes") {
            self.read_before(key)?;
            let (bytes, stopped) = self.end.read(key, count);
            ensure(bytes.len() == count, || {
                format!("{cause}: {} bytes are there, then {stopped:?}", bytes.len())
            })?;
        } else {
            return Err(unknown("cause", cause));
        }
        Ok(())
    }

    /// "131071 bytes read: no update yet": what was read before the first read that is told.
    fn read_before(&mut self, key: StreamKey) -> Check {
        let told = self.transcript.outcome.iter();
        let before = told.filter_map(|line| number_between(line, "", " bytes read: no update yet"));
        let already = self.end.machine.stream_stats(key).map_or(0, |stats| stats.queued_in);
        for count in before.filter(|count| *count < already) {
            self.end.read(key, count);
            self.end.pump();
            self.nothing_more()?;
        }
        Ok(())
    }

    /// What a write of `count` bytes carried: the payload of the data frames that follow.
    fn content(&self, index: usize, id: u32, count: usize) -> Vec<u8> {
        let mut content = Vec::with_capacity(count);
        for step in self.transcript.steps.iter().skip(index).filter(|step| step.from == self.role) {
            let bytes = &step.hex.0;
            let data = bytes.get(1) == Some(&0) && bytes.get(4..8) == Some(&id.to_be_bytes());
            if data && content.len() < count {
                content.extend(bytes.iter().skip(12));
            }
        }
        // Bytes that never left do not matter.
        content.resize(count, 0);
        content
    }

    /// A stream by its id; one that was not accepted yet is.
    fn stream(&mut self, id: u32) -> Check<StreamKey> {
        while self.end.stream(id).is_none() {
            let accepted = self.end.accept();
            ensure(accepted.is_some(), || format!("there is no stream {id}"))?;
        }
        self.end.stream(id).ok_or_else(|| Verdict::Fail(format!("there is no stream {id}")))
    }

    // What it came to.

    fn outcome(&mut self) -> Check {
        let lines = &self.transcript.outcome;
        let own = self.role.name();
        let interop = self.transcript.config.get(own).is_some();
        let ending = |line: &&String| {
            line.starts_with(&format!("end: {own} "))
                || interop && line.starts_with("end: go session")
        };
        let ending = lines.iter().find(ending).ok_or_else(|| unknown("outcome", "no end"))?;
        let open = ending.contains("open=true");
        let error = ending.split_once("error=\"").map(|(_, rest)| rest.trim_end_matches('"'));
        if !open {
            self.finish(error.unwrap_or("EOF"))?;
        }
        let counted = number_between(ending, "", "").or_else(|| {
            ending.split_once("streams=").and_then(|(_, rest)| {
                rest.split(' ').next().and_then(|count| count.parse::<usize>().ok())
            })
        });
        for line in lines {
            self.told(line, open)?;
        }
        let streams = self.end.machine.stats().streams;
        ensure(counted == Some(streams), || format!("\"{ending}\", seen {streams} streams"))?;
        ensure(open == self.end.closed().is_none(), || {
            format!("\"{ending}\", seen {:?}", self.end.closed())
        })
    }

    /// The connection ends as it is told.
    fn finish(&mut self, error: &str) -> Check {
        match error {
            "session shutdown" => {
                let times = self.transcript.config.keys();
                let own = format!("{}_stream_open_timeout_ms", self.role.name());
                if times.into_iter().any(|key| *key == own) {
                    while self.end.closed().is_none() && self.end.next_deadline() {}
                } else {
                    self.end.machine.close(self.end.now);
                }
            }
            _ => self.end.eof(),
        }
        self.end.pump();
        self.nothing_more()?;
        let reason = self.end.closed().cloned().unwrap_or(CloseReason::Local);
        match outcome::is_told_as(&reason, error) {
            Some(holds) => ensure(holds, || format!("ends with \"{error}\", seen {reason:?}")),
            None => Err(unknown("outcome", error)),
        }
    }

    /// One line of the outcome, if it is about this end.
    fn told(&mut self, line: &str, open: bool) -> Check {
        let (own, other) = (self.role.name(), self.role.other().name());
        let theirs = [&format!("{other}."), &format!("{other} "), "rust ", "end: "];
        if theirs.iter().any(|start| line.starts_with(*start)) || line.contains("(a race") {
            return Ok(());
        }
        let says = |holds: bool, seen: String| ensure(holds, || format!("\"{line}\", seen {seen}"));
        if let Some(count) = number_between(line, "client write still blocked after ", " bytes")
            .or_else(|| number_between(line, "server write still blocked after ", " bytes"))
        {
            return says(self.blocked.contains(&count), format!("{:?}", self.blocked));
        }
        if line.contains(" write") && line.contains(": n=") && line.ends_with("err=<nil>") {
            let count = number_between(line, ": n=", " err=");
            let holds = count.is_some_and(|count| self.finished.contains(&count));
            return says(holds, format!("{:?}", self.finished));
        }
        if line.ends_with("bytes read: no update yet") {
            return Ok(());
        }
        if line.contains("OpenStream() (third) blocks") || line.starts_with("third OpenStream") {
            return says(self.opens == 0, format!("{} opens wait", self.opens));
        }
        if let Some(error) = line.strip_prefix(&format!("{own}.OpenStream() -> error \"")) {
            let opened = self.end.open();
            let expected = match error.trim_end_matches('"') {
                "session shutdown" => OpenRefusal::Closed,
                "remote end is not accepting connections" => OpenRefusal::GoneAway,
                "streams exhausted" => OpenRefusal::IdsExhausted,
                other => return Err(unknown("outcome", other)),
            };
            return says(opened == Opened::Refused(expected), format!("{opened:?}"));
        }
        if line.starts_with(&format!("{own}.AcceptStream() -> error")) {
            return says(!open && self.end.accept().is_none(), "a stream".into());
        }
        if line.starts_with(&format!("{own}.Ping() -> error \"session shutdown\"")) {
            let answer = self.end.machine.ping(self.end.now);
            return says(answer == Pinged::Closed, format!("{answer:?}"));
        }
        if line == format!("{own}.Ping() -> ok") {
            let pongs = self.end.machine.stats().pongs;
            return says(pongs > 0, format!("{pongs} answers"));
        }
        let (id, what) = parse_stream(line).ok_or_else(|| unknown("outcome", line))?;
        if let Some(read) = what.strip_prefix(".Read -> ") {
            return self.told_read(line, id, read, open);
        }
        if let Some(count) = number_between(what, ".Write(", " bytes)") {
            let key = self.stream(id)?;
            let sent = self.end.machine.write(self.end.now, key, &mut Bytes::from(vec![0; count]));
            self.end.pump();
            let stopped = match &sent {
                Sent::End(end) => Some(Stopped::of(end)),
                _ => None,
            };
            let holds =
                match what.split_once("error \"").map(|(_, text)| text.trim_end_matches('"')) {
                    // "Write(0 bytes) -> n=0, no frame": it may be told behind the end of its stream.
                    None => sent == Sent::Accepted(0) || stopped.is_some(),
                    Some(text) => {
                        stopped.and_then(|stopped| stopped.is_told_as(text, !open)) == Some(true)
                    }
                };
            says(holds, format!("{sent:?}"))?;
            return self.nothing_more();
        }
        Err(unknown("outcome", line))
    }

    fn told_read(&mut self, line: &str, id: u32, read: &str, open: bool) -> Check {
        let key = self.stream(id)?;
        let (seen, holds) = if let Some(text) = read.strip_prefix("n=0 error \"") {
            let (bytes, stopped) = self.end.read(key, usize::MAX);
            let text = text.trim_end_matches('"');
            let holds = stopped.and_then(|stopped| stopped.is_told_as(text, !open));
            let holds = holds.ok_or_else(|| unknown("outcome", line))?;
            // What was read before an orderly end is not always told.
            let read = bytes.is_empty() || text == "EOF";
            (format!("{} bytes, then {stopped:?}", bytes.len()), holds && read)
        } else {
            let count =
                number_between(read, "", " bytes").ok_or_else(|| unknown("outcome", line))?;
            let (bytes, stopped) = self.end.read(key, count);
            let text = read.split_once('"').map(|(_, text)| text.trim_end_matches('"'));
            let same = text.is_none_or(|text| text.as_bytes() == bytes);
            let seen = format!("{} bytes, then {stopped:?}", bytes.len());
            (seen, bytes.len() == count && same)
        };
        self.end.pump();
        ensure(holds, || format!("\"{line}\", seen {seen}"))?;
        self.nothing_more()
    }
}

/// The id in "client.stream(3).Close()", and what stands behind it.
fn parse_stream(text: &str) -> Option<(u32, &str)> {
    let (id, rest) = text.split_once(".stream(")?.1.split_once(')')?;
    Some((id.parse().ok()?, rest))
}

/// The number between two texts.
fn number_between(text: &str, before: &str, behind: &str) -> Option<usize> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(behind).map(|(number, _)| number)?.trim().parse().ok()
}
