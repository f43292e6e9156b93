//! Replays a session with our machine at the local end.
//!
//! The agent's steps are fed in order; the local calls follow from the local steps. Before each of
//! the agent's steps our machine has written exactly the local steps that stand before it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use trunkline_core::agentproto::{
    AgentConfig, Config, FileOp, FileResponse, Frame, FrameType, Item as _, Local, LocalEvent,
    Misuse, OpNumbers, Read, Write,
};
use trunkline_core::{CloseReason, Instant, Machine as _};

use super::transcripts::{Action, Expect, Side, Transcript};
use crate::case::{Check, ensure};
use crate::diff;
use crate::report::Verdict;

const NOW: Instant = Instant::ORIGIN;

/// Replays a session, the agent's bytes cut into pieces of `size`.
///
/// # Errors
///
/// What differed, or why the session cannot be replayed.
pub fn replay(transcript: &Transcript, size: usize) -> Check {
    let mut session = Session::new(Config::reference(), size);
    session.play(transcript)?;
    session.check(&transcript.expect)?;
    if transcript.expect.leaked_handles.is_empty() {
        return Ok(());
    }
    // By default the handles that the original leaks are closed.
    let mut config = Config::default();
    config.op_numbers = OpNumbers::Assumed;
    let mut session = Session::new(config, size);
    session.written_late = true;
    session.play(transcript)?;
    session.check_closes(&transcript.expect.leaked_handles)
}

struct Session {
    local: Local,
    size: usize,
    /// What our machine has written, and what it must have.
    written: Vec<u8>,
    expected: Vec<u8>,
    /// Our machine may write more than the original did.
    written_late: bool,
    config: Option<AgentConfig>,
    streams: Vec<u32>,
    got: BTreeMap<u32, Vec<u8>>,
    ended: BTreeSet<u32>,
    exit: Option<(i64, String)>,
    logs: u64,
    responses: u64,
    results: BTreeMap<u32, String>,
    query_error: Option<String>,
    closed: Option<CloseReason>,
}

impl Session {
    fn new(config: Config, size: usize) -> Self {
        Self {
            local: Local::new(config),
            size,
            written: Vec::new(),
            expected: Vec::new(),
            written_late: false,
            config: None,
            streams: Vec::new(),
            got: BTreeMap::new(),
            ended: BTreeSet::new(),
            exit: None,
            logs: 0,
            responses: 0,
            results: BTreeMap::new(),
            query_error: None,
            closed: None,
        }
    }

    fn play(&mut self, transcript: &Transcript) -> Check {
        for (index, step) in transcript.steps.iter().enumerate() {
            match (step.from, &step.action) {
                (Side::Local, Action::Write { bytes, frame: Some(frame) }) => {
                    self.expected.extend_from_slice(bytes);
                    self.call(frame, index)?;
                }
                (Side::Local, Action::Write { frame: None, .. }) => {
                    return Err(Verdict::NotRun(format!(
                        "step {index}: no local call writes this"
                    )));
                }
                (Side::Local, Action::End) => self.local.close(),
                (Side::Local, Action::Cancel(id)) => {
                    ensure(self.local.cancel(*id), || {
                        format!("step {index}: request {id} was not in flight")
                    })?;
                    self.results.insert(*id, "cancelled".into());
                }
                (Side::Agent, Action::Write { bytes, .. }) => {
                    self.compare(index)?;
                    for piece in bytes.chunks(self.size) {
                        self.local.handle_input(NOW, Bytes::copy_from_slice(piece));
                        self.take_in();
                    }
                }
                (Side::Agent, Action::End) => {
                    self.compare(index)?;
                    self.local.handle_eof(NOW);
                }
                (Side::Agent, Action::Cancel(_)) => {
                    return Err(Verdict::NotRun(format!("step {index}: an agent cancels nothing")));
                }
            }
            self.take_in();
        }
        self.compare(transcript.steps.len())
    }

    /// Makes the local call that writes this frame.
    fn call(&mut self, frame: &Frame, index: usize) -> Check {
        let refused = |misuse: Misuse| Verdict::Fail(format!("step {index}: refused: {misuse}"));
        let unknown = || Verdict::NotRun(format!("step {index}: no local call writes this"));
        match frame.kind {
            FrameType::CONFIG => self.config = Some(*frame.config.clone().ok_or_else(unknown)?),
            FrameType::EXEC => {
                let exec = *frame.exec.clone().ok_or_else(unknown)?;
                self.streams = [1, 2].into_iter().chain(exec.fds.iter().copied()).collect();
                self.local.exec(NOW, exec, self.config.take()).map_err(refused)?;
            }
            FrameType::PATH_QUERY => {
                let query = *frame.path_query.clone().ok_or_else(unknown)?;
                let config = self.config.take();
                self.local.query_paths(NOW, query, config).map_err(refused)?;
            }
            FrameType::DATA => {
                let data = frame.data.clone().into_bytes();
                let write = self.local.write(frame.stream, &data);
                ensure(write == Write::Accepted(data.len()), || {
                    format!("step {index}: a write gave {write:?}")
                })?;
            }
            FrameType::EOF => {
                ensure(self.local.finish(frame.stream), || {
                    format!("step {index}: no such stream")
                })?;
            }
            FrameType::SIGNAL => {
                let signal = i32::try_from(frame.signal).map_err(|_| unknown())?;
                self.local.signal(signal).map_err(refused)?;
            }
            FrameType::FILE_REQUEST => {
                let request = *frame.file_request.clone().ok_or_else(unknown)?;
                let wanted = request.id;
                let id = self.local.request(request).map_err(refused)?;
                ensure(id == wanted, || {
                    format!("step {index}: request {wanted} was given the number {id}")
                })?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// Drains everything that the machine has to say.
    fn take_in(&mut self) {
        while let Some(segment) = self.local.poll_transmit(NOW) {
            segment.slices().into_iter().for_each(|part| self.written.extend_from_slice(part));
        }
        for stream in self.streams.clone() {
            loop {
                match self.local.read(stream, usize::MAX) {
                    Read::Data(bytes) => {
                        self.got.entry(stream).or_default().extend_from_slice(&bytes);
                    }
                    // After the exit every stream reads as ended, its EOF frame or not.
                    Read::End if self.local.closed().is_none() => {
                        self.ended.insert(stream);
                        break;
                    }
                    _ => break,
                }
            }
        }
        while let Some(event) = self.local.poll_event() {
            match event {
                LocalEvent::Log(_) => self.logs += 1,
                LocalEvent::Exited { code, text } => self.exit = Some((code, text)),
                LocalEvent::QueryFailed(text) => {
                    self.query_error = Some(format!("agent error: {text}"));
                }
                LocalEvent::Response(response) => {
                    self.responses += 1;
                    self.results.insert(response.id, result(&response));
                }
                LocalEvent::RequestLost(id) => {
                    self.results.insert(id, "unexpected end".into());
                }
                LocalEvent::Closed(reason) => self.closed = Some(reason),
                _ => {}
            }
        }
    }

    /// Compares what was written so far.
    fn compare(&self, index: usize) -> Check {
        let written = match self.written_late {
            true => self.written.get(..self.expected.len()).unwrap_or(&self.written),
            false => &self.written,
        };
        match diff::bytes(&self.expected, written) {
            Some(difference) => {
                Err(Verdict::Fail(format!("local, before step {index}: {difference}")))
            }
            None => Ok(()),
        }
    }

    fn check(&self, expect: &Expect) -> Check {
        let same = |what: &str, expected: &dyn std::fmt::Debug, seen: &dyn std::fmt::Debug| {
            let (expected, seen) = (format!("{expected:?}"), format!("{seen:?}"));
            ensure(expected == seen, || format!("local: {what}: expected {expected}, seen {seen}"))
        };
        let code = self.exit.as_ref().map(|(code, _)| *code);
        if let Some(expected) = expect.exit_code {
            same("exit code", &expected, &code)?;
        }
        if let Some(expected) = &expect.exit_error {
            same("exit text", &Some(expected), &self.exit.as_ref().map(|(_, text)| text))?;
        }
        for (stream, expected) in &expect.streams {
            let seen = self.got.get(stream).map(Vec::as_slice).unwrap_or_default();
            if let Some(difference) = diff::bytes(&expected.0, seen) {
                return Err(Verdict::Fail(format!("local: stream {stream}: {difference}")));
            }
        }
        if !expect.streams.is_empty() {
            let strays: Vec<_> =
                self.got.keys().filter(|stream| !expect.streams.contains_key(stream)).collect();
            same("other streams with bytes", &Vec::<&u32>::new(), &strays)?;
        }
        if let Some(expected) = &expect.eof_set {
            same("streams that ended", expected, &self.ended)?;
        }
        if let Some(expected) = expect.logs {
            same("log records", &expected, &self.logs)?;
        }
        if let Some(expected) = expect.file_responses {
            same("answers", &expected, &self.responses)?;
        }
        if !expect.results.is_empty() {
            same("results", &expect.results, &self.results)?;
        }
        let stats = self.local.stats();
        let dropped = expect.dropped_responses.last().copied();
        same("dropped answers", &expect.dropped_responses.len(), &stats.responses_dropped)?;
        same("last dropped answer", &dropped, &stats.last_dropped_response)?;
        same("error of the query", &expect.error, &self.query_error)?;
        if let Some(expected) = expect.loop_result {
            same("loop result", &expected, &code.unwrap_or(-1))?;
        }
        if let Some(expected) = &expect.loop_error {
            let fits = match (expected.as_str(), &self.closed) {
                ("EOF", Some(CloseReason::Eof { mid_frame })) => !mid_frame,
                ("unexpected EOF", Some(CloseReason::Eof { mid_frame })) => *mid_frame,
                (text, Some(CloseReason::Violation(_))) => text.starts_with("cbor:"),
                (text, _)
                    if !text.starts_with("cbor:") && text != "EOF" && text != "unexpected EOF" =>
                {
                    return Err(crate::case::unknown("loop_error", text));
                }
                _ => false,
            };
            ensure(fits, || {
                format!("local: loop error: expected {expected}, seen {:?}", self.closed)
            })?;
        }
        if expect.runner_status.is_some() && code.is_none() {
            // Our own status for it is 255; what matters is that it is no end in order.
            let lost =
                !matches!(self.closed, None | Some(CloseReason::Peer { .. } | CloseReason::Local));
            ensure(lost, || format!("local: a lost session was told as {:?}", self.closed))?;
        }
        Ok(())
    }

    /// Checks that behind the recorded bytes these handles were closed, and nothing else was done.
    fn check_closes(&self, handles: &[u32]) -> Check {
        let closes = handles.iter().zip(1..).map(|(handle, behind)| {
            let last = self.results.keys().max().copied().unwrap_or_default();
            let request = trunkline_core::agentproto::FileRequest {
                id: last + behind,
                op: FileOp::CLOSE,
                handle: *handle,
                ..Default::default()
            };
            Frame::file_request(request).to_bytes().unwrap_or_default()
        });
        let expected: Vec<u8> = closes.flatten().collect();
        let seen = self.written.get(self.expected.len()..).unwrap_or_default();
        match diff::bytes(&expected, seen) {
            Some(difference) => Err(Verdict::Fail(format!(
                "local, by default: closing leaked handles: {difference}"
            ))),
            None => Ok(()),
        }
    }
}

/// What an answer came to, as the vectors say it.
fn result(response: &FileResponse) -> String {
    match response.errno {
        0 if response.message.is_empty() => response.path.clone(),
        errno => format!("errno {errno}"),
    }
}
