//! `transcripts.json`: whole connections, step by step, with our machine as either end.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::mux::{Mux as _, Side, StreamEnd};
use trunkline_core::wormhole::RemoteError;
use trunkline_core::{CloseReason, Machine as _, TimeoutKind};

use super::end::{End, ReadResult};
use super::grants::Grants;
use super::settings::{BothSettings, Profile};
use crate::case::{self, Check, ensure};
use crate::diff;
use crate::notation::Hex;
use crate::report::Verdict;

/// The type of a WINDOW_UPDATE.
const WINDOW_UPDATE: u8 = 2;

/// Transcripts up to this size arrive byte by byte too, larger ones in odd pieces.
const SMALL: usize = 20_000;

#[derive(Deserialize)]
struct Transcript {
    #[serde(default)]
    config: BothSettings,
    roles: Vec<Role>,
    steps: Vec<Step>,
    #[serde(default)]
    final_ops: Vec<Op>,
    #[serde(default)]
    reference_quirk: bool,
    #[serde(default)]
    note: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    Client,
    Server,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    ops: Vec<Op>,
    from: Role,
    hex: Hex,
}

/// A call, or what happened on the way; a field that is not known here is not skipped in silence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Op {
    op: String,
    at: Option<Role>,
    direction: Option<String>,
    stream: Option<u32>,
    max: Option<usize>,
    n: Option<usize>,
    data: Option<Hex>,
    error: Option<String>,
    code: Option<u32>,
    written: Option<usize>,
    result: Option<bool>,
    ms: Option<u64>,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    match case::read::<Transcript>(case) {
        Ok(transcript) if transcript.roles.is_empty() => {
            Verdict::NotRun("it is for reading only".into())
        }
        Ok(transcript) => case::verdict(replay_all(&transcript)),
        Err(verdict) => verdict,
    }
}

fn replay_all(transcript: &Transcript) -> Check {
    let bytes: usize = transcript.steps.iter().map(|step| step.hex.0.len()).sum();
    for size in [usize::MAX, if bytes < SMALL { 1 } else { 1_021 }] {
        for role in transcript.roles.iter().copied() {
            for profile in [Profile::Reference, Profile::Required] {
                if profile == Profile::Required && is_blamed(transcript, role) {
                    continue;
                }
                let replay = Replay::new(transcript, role, profile, size)?;
                replay.run().map_err(|verdict| told(verdict, role, profile, size))?;
            }
        }
    }
    Ok(())
}

/// Whether a case shows a fault of this end.
fn is_blamed(transcript: &Transcript, role: Role) -> bool {
    let side = match role {
        Role::Client => "client side",
        Role::Server => "server side",
    };
    transcript.reference_quirk && transcript.note.contains(side)
}

fn told(verdict: Verdict, role: Role, profile: Profile, size: usize) -> Verdict {
    let role = if role == Role::Client { "client" } else { "server" };
    let pieces = if size == usize::MAX { "" } else { ", input in pieces" };
    match verdict {
        Verdict::Fail(why) => Verdict::Fail(format!("as the {role}, {profile:?}{pieces}: {why}")),
        other => other,
    }
}

struct Replay<'a> {
    transcript: &'a Transcript,
    role: Role,
    profile: Profile,
    end: End,
    /// WINDOW_UPDATEs that were written, where they are not compared one by one.
    granted: VecDeque<Vec<u8>>,
    grants: Grants,
}

impl<'a> Replay<'a> {
    fn new(transcript: &'a Transcript, role: Role, profile: Profile, size: usize) -> Check<Self> {
        let side = match role {
            Role::Client => Side::Client,
            Role::Server => Side::Server,
        };
        let config = transcript.config.config(side, profile).map_err(Verdict::NotRun)?;
        let grants = Grants::new(config.window);
        let end = End::new(side, config, size)
            .map_err(|why| Verdict::Fail(format!("the configuration is refused: {why}")))?;
        Ok(Self { transcript, role, profile, end, granted: VecDeque::new(), grants })
    }

    fn run(mut self) -> Check {
        for (index, step) in self.transcript.steps.iter().enumerate() {
            let place = |verdict| match verdict {
                Verdict::Fail(why) => Verdict::Fail(format!("step {}: {why}", index + 1)),
                other => other,
            };
            step.ops.iter().try_for_each(|op| self.perform(op)).map_err(place)?;
            if step.from == self.role {
                self.compare(&step.hex.0).map_err(place)?;
            } else {
                self.nothing_more().map_err(place)?;
                self.end.feed(&step.hex.0);
                self.grants.note_fed(&step.hex.0);
            }
        }
        let place = |verdict| match verdict {
            Verdict::Fail(why) => Verdict::Fail(format!("at the end: {why}")),
            other => other,
        };
        let ops = &self.transcript.final_ops;
        ops.iter().try_for_each(|op| self.perform(op)).map_err(place)?;
        self.nothing_more().map_err(place)
    }

    /// The next frame that was written is this one.
    fn compare(&mut self, expected: &[u8]) -> Check {
        if self.profile == Profile::Required && expected.get(1) == Some(&WINDOW_UPDATE) {
            return Ok(());
        }
        let seen = self.next_frame();
        let seen = seen.ok_or_else(|| Verdict::Fail("nothing was written".into()))?;
        diff::bytes(expected, &seen)
            .map_or(Ok(()), |why| Err(Verdict::Fail(format!("written: differs at {why}"))))
    }

    /// Everything that was written has been compared.
    fn nothing_more(&mut self) -> Check {
        let more = self.next_frame();
        ensure(more.is_none(), || {
            format!("written beyond what stands here: {:02x?}", more.unwrap_or_default())
        })?;
        if self.profile == Profile::Reference {
            // Compared one by one.
            return Ok(());
        }
        let seen: Vec<Vec<u8>> = self.granted.drain(..).collect();
        self.grants.expect(&seen)
    }

    fn next_frame(&mut self) -> Option<Vec<u8>> {
        loop {
            let frame = self.end.frame()?;
            let grants = frame.get(1) == Some(&WINDOW_UPDATE);
            if !(grants && self.profile == Profile::Required) {
                return Some(frame);
            }
            self.granted.push_back(frame);
        }
    }

    fn perform(&mut self, op: &Op) -> Check {
        if op.op == "close_mux" && op.at.is_some_and(|at| at != self.role) {
            self.end.feed_end();
            return Ok(());
        }
        if op.at.is_some_and(|at| at != self.role) {
            return Ok(());
        }
        match op.op.as_str() {
            "hold" | "release" => self.hold(op),
            "advance" => {
                self.end.advance(op.ms.ok_or_else(|| lacks("ms"))?);
                Ok(())
            }
            "stall" => {
                self.end.stall();
                Ok(())
            }
            "unstall" => {
                self.end.unstall();
                Ok(())
            }
            "open" => self.open(op),
            "accept" | "accept_start" | "accept_done" => self.accept(op),
            "read" => self.read(op),
            "write" | "write_start" | "write_blocked" | "write_done" => self.write(op),
            "close" => {
                let id = op.stream.ok_or_else(|| lacks("stream"))?;
                self.end.close(id).ok_or_else(|| unknown(id))?;
                self.grants.note_closed(id);
                Ok(())
            }
            "close_mux" => {
                self.end.close_connection();
                Ok(())
            }
            "num_streams" => {
                let (seen, expected) = (self.end.machine.stats().streams, op.n.unwrap_or_default());
                ensure(seen == expected, || format!("expected {expected} streams, seen {seen}"))
            }
            "is_closed" => {
                let (seen, expected) = (self.end.machine.closed(), op.result.unwrap_or_default());
                ensure(seen.is_some() == expected, || {
                    format!("expected closed: {expected}, seen {seen:?}")
                })
            }
            other => Err(case::unknown("op", other)),
        }
    }

    /// Delivery to this end is held back, or goes on; what it sends is looked at when it is written.
    fn hold(&mut self, op: &Op) -> Check {
        let towards = match op.direction.as_deref() {
            Some("client->server") => Role::Server,
            Some("server->client") => Role::Client,
            other => return Err(case::unknown("direction", other.unwrap_or(""))),
        };
        if towards == self.role && op.op == "hold" {
            self.end.hold();
        } else if towards == self.role {
            self.end.release();
        }
        Ok(())
    }

    fn open(&mut self, op: &Op) -> Check {
        let opened = self.end.open();
        let Some(error) = &op.error else {
            return ensure(opened == op.stream, || {
                format!("expected stream {:?}, opened {opened:?}", op.stream)
            });
        };
        ensure(opened.is_none(), || format!("expected \"{error}\", opened {opened:?}"))?;
        let reason = self.end.machine.closed();
        let as_told = match reason {
            Some(CloseReason::Timeout(TimeoutKind::KeepAlive)) => {
                error.starts_with("keep-alive timeout")
            }
            Some(CloseReason::Local | CloseReason::Eof { mid_frame: false }) => {
                error == "tunnel: mux closed"
            }
            _ => false,
        };
        ensure(as_told, || format!("expected \"{error}\", seen {reason:?}"))
    }

    fn accept(&mut self, op: &Op) -> Check {
        let accepted = self.end.accept();
        let expected = match op.error.as_deref() {
            Some("would block") => None,
            Some(other) => return Err(case::unknown("error", other)),
            None => op.stream,
        };
        ensure(accepted == expected, || format!("expected {expected:?}, accepted {accepted:?}"))
    }

    fn read(&mut self, op: &Op) -> Check {
        let id = op.stream.ok_or_else(|| lacks("stream"))?;
        let max = op.max.ok_or_else(|| lacks("max"))?;
        let read = self.end.read(id, max).ok_or_else(|| unknown(id))?;
        let fits = match (&read, op.error.as_deref()) {
            (ReadResult::Data(pieces), None) => {
                let bytes = pieces.concat();
                self.grants.note_read(id, bytes.len());
                let expected = op.data.as_ref().ok_or_else(|| lacks("data"))?;
                bytes == expected.0 && op.n == Some(bytes.len())
            }
            (ReadResult::Blocked, Some("would block")) => true,
            (ReadResult::End(end), Some("EOF")) => {
                // By default an end that the peer did not send is told as what it was.
                let own = matches!(end, StreamEnd::Local(_) | StreamEnd::Connection(_));
                *end == StreamEnd::Finished || own && self.profile == Profile::Required
            }
            (ReadResult::End(end), Some(text)) => RemoteError::of(end)
                .is_some_and(|error| error.to_string() == text && Some(error.code) == op.code),
            _ => false,
        };
        ensure(fits, || {
            let expected = op.error.clone().unwrap_or(format!("{} bytes", op.n.unwrap_or(0)));
            format!("read from {id}: expected {expected}, seen {}", short(&read))
        })
    }

    fn write(&mut self, op: &Op) -> Check {
        let id = op.stream.ok_or_else(|| lacks("stream"))?;
        if matches!(op.op.as_str(), "write" | "write_start") {
            let data = op.data.as_ref().ok_or_else(|| lacks("data"))?;
            self.end.write(id, &data.0).ok_or_else(|| unknown(id))?;
        }
        let (written, end, waits) = self.end.written(id).ok_or_else(|| unknown(id))?;
        let holds = match op.op.as_str() {
            "write" => end.is_none() && !waits,
            "write_blocked" => waits,
            "write_done" => {
                let failed = op.error.is_some();
                Some(written) == op.written && !waits && end.is_some() == failed
            }
            _ => true,
        };
        ensure(holds, || {
            format!("{} to {id}: {written} written, waits: {waits}, ended: {end:?}", op.op)
        })
    }
}

fn lacks(field: &str) -> Verdict {
    Verdict::NotRun(format!("an op lacks `{field}`"))
}

fn unknown(id: u32) -> Verdict {
    Verdict::Fail(format!("there is no stream {id}"))
}

fn short(read: &ReadResult) -> String {
    match read {
        ReadResult::Data(pieces) => format!("{} bytes", pieces.concat().len()),
        other => format!("{other:?}"),
    }
}
