//! The agent side, between a peer that may do anything and a host: `docs/protocols/agentproto.md`
//! sections 6 to 8, 10 and 15.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, Decoder, FileResponse, Frame, FrameType, Item, Level, LogRecord,
    PathEntry,
};
use trunkline_core::{Direction, Machine};

use super::file_server::Files;
use super::frames::{EXTRA, frame, response};
use super::ops::Ops;
use super::watch::{Watch, settings};

/// An agent driven by operations.
///
/// Input: a byte of settings, a byte whose bit 0 asks for a host that answers at once and whose bit 1
/// for one that keeps its files with the server of files, then operations: bytes and frames of the
/// peer, what the host reports and does, polls in any order, time, and cuts of either direction.
///
/// Holds: what every machine promises (one canonical frame a segment, bytes out in order and once,
/// bounded queues, a closed session stays closed and is told once); what is read of a stream is
/// what the peer sent of it; the exit frame comes once and behind all output; every request is
/// handed over once and its answer leaves once; no deadline lies in the past; without its input an
/// agent ends, as soon as its host has done its part.
///
/// # Panics
///
/// When one of these is broken.
pub fn agentproto_agent(input: &[u8]) {
    let Some(([how, prompt], operations)) = input.split_first_chunk::<2>() else { return };
    let mut session = Driven::new(settings(*how), *prompt);
    let mut ops = Ops::new(operations);
    while let Some(op) = ops.next() {
        session.step(op, &mut ops);
        session.watch.check(&session.agent);
    }
    session.settle();
    session.end_input(None);
    session.settle();
    session.host_does_its_part();
    session.settle();
    assert!(session.agent.closed().is_some(), "without input, and the host is done");
    assert!(session.unanswered.is_empty());
    assert!(session.watch.muted || session.answers.is_empty(), "answers that never left");
    if let Some(files) = session.files {
        files.settled();
    }
}

/// What the peer has asked for, read apart from the machine.
struct Peer {
    decoder: Decoder<Frame>,
    streams: BTreeMap<u32, Vec<u8>>,
    ended: BTreeSet<u32>,
    requests: VecDeque<u32>,
}

impl Peer {
    fn says(&mut self, bytes: &Bytes) {
        self.decoder.push(bytes.clone());
        while let Ok(Some(frame)) = self.decoder.poll() {
            match frame.kind {
                FrameType::DATA => {
                    let stream = self.streams.entry(frame.stream).or_default();
                    stream.extend_from_slice(&frame.data.into_bytes());
                }
                FrameType::EOF => drop(self.ended.insert(frame.stream)),
                FrameType::FILE_REQUEST => {
                    self.requests.extend(frame.file_request.map(|request| request.id));
                }
                _ => {}
            }
        }
    }
}

struct Driven {
    agent: Agent,
    watch: Watch,
    peer: Peer,
    prompt: bool,
    /// The command was handed to the host, with these outputs.
    outputs: Vec<u32>,
    finished: BTreeSet<u32>,
    /// The code with which the exit frame must come, once one must.
    code: Option<i64>,
    failed: bool,
    listing: bool,
    /// Requests that the host has and did not answer.
    unanswered: VecDeque<u32>,
    /// Answers that were given and have not left, in order.
    answers: VecDeque<u32>,
    /// What performs requests, if not this.
    files: Option<Files>,
}

impl Driven {
    fn new(config: Config, prompt: u8) -> Self {
        Self {
            watch: Watch::new(&config),
            peer: Peer {
                decoder: Decoder::new(&config),
                streams: BTreeMap::new(),
                ended: BTreeSet::new(),
                requests: VecDeque::new(),
            },
            files: (prompt & 2 != 0).then(|| Files::new(&config.limits)),
            agent: Agent::new(config),
            prompt: prompt & 1 != 0,
            outputs: Vec::new(),
            finished: BTreeSet::new(),
            code: None,
            failed: false,
            listing: false,
            unanswered: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    fn step(&mut self, op: u8, ops: &mut Ops<'_>) {
        match op {
            0..50 => self.input(Bytes::copy_from_slice(ops.bytes())),
            50..100 => {
                let bytes = frame(ops).to_bytes().unwrap_or_default();
                let cut = ops.size().min(bytes.len());
                let (one, two) = bytes.split_at(cut);
                self.input(Bytes::copy_from_slice(one));
                self.input(Bytes::copy_from_slice(two));
            }
            100..120 => drop(self.poll_event()),
            120..140 => drop(self.transmit()),
            // Before its host has the command there is nobody to do these.
            140..182 | 230..234 if self.outputs.is_empty() => {}
            140..155 => {
                let (stream, max) = (ops.stream(), ops.size());
                self.watch.read(&mut self.agent, stream, max);
            }
            155..175 => {
                let (stream, size) = (ops.stream(), ops.size());
                let data = ops.pattern(size);
                self.watch.write(&mut self.agent, stream, &data);
            }
            175..182 => self.finish(ops.stream()),
            182..190 => self.report(ops),
            190..205 => self.respond(ops),
            205..208 => self.paths(usize::from(ops.byte())),
            208..214 => self.log(ops),
            214..220 => self.exited(i64::from(ops.byte())),
            220..230 => self.time_passes(Duration::from_millis(u64::from(ops.short()))),
            230..234 => {
                let stream = ops.stream();
                self.agent.forget(stream);
                self.watch.forget(stream);
            }
            234..237 => self.end_input(ops.byte().checked_sub(100)),
            237..239 => self.fail_output(ops.byte()),
            239 => self.agent.end(),
            240..243 => self.agent.hang_up(self.watch.now, i32::from(ops.byte() % 70)),
            243.. => self.settle(),
        }
    }

    fn input(&mut self, bytes: Bytes) {
        if !self.watch.ended {
            self.peer.says(&bytes);
        }
        self.agent.handle_input(self.watch.now, bytes);
    }

    fn end_input(&mut self, os_error: Option<u8>) {
        self.watch.ended = true;
        match os_error {
            None => self.agent.handle_eof(self.watch.now),
            Some(number) => {
                let number = Some(i32::from(number));
                self.agent.handle_failure(self.watch.now, Direction::Read, number);
            }
        }
    }

    fn fail_output(&mut self, number: u8) {
        self.watch.muted = true;
        self.watch.ended = true;
        self.agent.handle_failure(self.watch.now, Direction::Write, Some(i32::from(number)));
    }

    fn poll_event(&mut self) -> bool {
        let Some(event) = self.agent.poll_event() else { return false };
        self.watch.event(&self.agent, &event);
        match event {
            AgentEvent::Exec(request, _) => {
                assert!(self.outputs.is_empty() && !self.listing, "a second purpose");
                self.outputs = [1, 2].into_iter().chain(request.fds.clone()).collect();
                self.outputs.iter().for_each(|output| self.watch.open_out(*output));
                [0].into_iter().chain(request.fds).for_each(|input| self.watch.open_in(input));
                if self.prompt {
                    self.agent.started(7);
                    self.watch.given += 100;
                }
            }
            AgentEvent::PathQuery(_) => {
                assert!(self.outputs.is_empty() && !self.listing, "a second purpose");
                self.listing = true;
            }
            AgentEvent::FileRequest(request) => {
                assert_eq!(self.peer.requests.pop_front(), Some(request.id), "not asked for");
                self.unanswered.push_back(request.id);
                assert!(self.unanswered.len() <= self.watch.config.limits.in_flight);
                if let Some(files) = &mut self.files {
                    files.request(request);
                    self.files_step();
                }
            }
            AgentEvent::Closed(_) => {
                if let Some(files) = &mut self.files {
                    files.close_all();
                }
            }
            AgentEvent::Signal(_) => assert!(!self.outputs.is_empty(), "no command"),
            _ => {}
        }
        true
    }

    fn transmit(&mut self) -> bool {
        let Some(segment) = self.agent.poll_transmit(self.watch.now) else { return false };
        assert!(!self.watch.muted, "sent although the output has failed");
        let frame = self.watch.segment(&segment);
        match frame.kind {
            FrameType::LOG | FrameType::DATA | FrameType::EOF => {}
            FrameType::EXIT => self.exit(&frame),
            FrameType::PATH_INFO => assert_eq!(self.watch.kinds.get(&10), Some(&1)),
            // To a client of version 1.2, by the machine itself.
            FrameType::FILE_RESPONSE if self.agent.status() == 127 => {
                assert_eq!(self.watch.kinds.get(&12), Some(&1), "a second refusal");
            }
            FrameType::FILE_RESPONSE => {
                let id = frame.file_response.map(|response| response.id);
                assert_eq!(id, self.answers.pop_front(), "an answer that was not given");
            }
            kind => unreachable!("an agent sends no frame of type {}", kind.0),
        }
        true
    }

    /// The exit frame: once, with its code, behind all output.
    fn exit(&mut self, frame: &Frame) {
        assert_eq!(self.watch.kinds.get(&5), Some(&1), "a second exit frame");
        match self.code {
            Some(code) if !self.failed => {
                assert_eq!((frame.code, frame.error.as_str()), (code, ""));
                assert!(self.watch.all_sent(), "output behind the exit frame");
                let ended = self.outputs.iter().all(|output| self.finished.contains(output));
                assert!(ended, "an exit frame before the output has ended");
            }
            // What the host could not start, or what was refused before the host was asked.
            _ => assert_eq!(frame.code, 127),
        }
    }

    fn finish(&mut self, stream: u32) {
        self.watch.finish(stream);
        if self.outputs.contains(&stream) {
            self.finished.insert(stream);
        }
        self.agent.finish(stream);
    }

    fn exited(&mut self, code: i64) {
        if !self.outputs.is_empty() && !self.failed {
            self.code.get_or_insert(code);
            self.watch.given += 100;
            self.agent.exited(code);
        }
    }

    fn report(&mut self, ops: &mut Ops<'_>) {
        let kind = ops.byte();
        // Only of a command that the host was asked to start.
        if self.outputs.is_empty() {
            return;
        }
        self.watch.given += 600;
        match kind {
            0..100 => self.agent.started(u32::from(kind)),
            100..200 => self.agent.signal_failed(i32::from(kind), "x"),
            _ if self.code.is_some() || self.failed => {}
            200..230 => {
                self.failed = true;
                self.agent.start_failed("no such file");
            }
            _ => {
                self.failed = true;
                self.agent.build_failed("no such user");
            }
        }
    }

    /// Starts jobs, and gives the agent the answers that there are.
    fn files_step(&mut self) {
        let Some(files) = &mut self.files else { return };
        for response in files.step() {
            let id = response.id;
            let at = self.unanswered.iter().position(|waiting| *waiting == id);
            assert!(at.is_some(), "an answer that nobody asked for");
            at.and_then(|at| self.unanswered.remove(at));
            self.watch.given += response.data.len() + 60 * response.entries.len() + 300;
            self.answer(id, response);
        }
    }

    /// Answers one of the requests, whichever.
    fn respond(&mut self, ops: &mut Ops<'_>) {
        if let Some(files) = &mut self.files {
            if ops.byte() < 30 {
                files.set_aside(ops);
            } else {
                files.finish(ops);
            }
            return self.files_step();
        }
        let which = usize::from(ops.byte());
        let Some(index) = which.checked_rem(self.unanswered.len()) else { return };
        let Some(id) = self.unanswered.remove(index) else { return };
        let response = response(ops, id);
        self.watch.given += response.data.len() + 60 * response.entries.len() + 300;
        self.answer(id, response);
    }

    fn answer(&mut self, id: u32, response: FileResponse) {
        // Behind the end nothing more is sent.
        if self.agent.closed().is_none() {
            self.answers.push_back(id);
        }
        self.agent.respond(response);
    }

    fn paths(&mut self, count: usize) {
        let entry = PathEntry { name: "n".into(), path: "/n".into(), ..PathEntry::default() };
        self.watch.given += 60 * count + 300;
        self.agent.paths(vec![entry; count]);
    }

    fn log(&mut self, ops: &mut Ops<'_>) {
        let size = ops.size();
        self.watch.given += size + 100;
        self.agent.log(LogRecord::new(Level::INFO, "m".repeat(size)).with("k", "v"));
    }

    fn time_passes(&mut self, time: Duration) {
        self.watch.now = self.watch.now + time;
        self.agent.handle_timeout(self.watch.now);
        let next = self.agent.poll_timeout();
        assert!(next.is_none_or(|at| at > self.watch.now), "a deadline in the past");
    }

    /// Polls and reads until nothing comes any more.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            while self.poll_event() {
                moved = true;
            }
            while self.transmit() {
                moved = true;
            }
            for stream in [0].into_iter().chain(EXTRA) {
                while self.watch.read(&mut self.agent, stream, usize::MAX) {
                    moved = true;
                }
            }
            self.watch.check(&self.agent);
            if !moved {
                break;
            }
        }
        self.watch.settled(&self.agent);
        self.watch.wakes(&mut self.agent);
        if self.agent.closed().is_none() && !self.watch.ended {
            let busy = self.unanswered.len() >= self.watch.config.limits.in_flight;
            assert_eq!(self.agent.wants_input(), !busy, "nothing is in its way");
        }
        for stream in [0].into_iter().chain(EXTRA) {
            let said = self.peer.streams.get(&stream).map_or(&[][..], Vec::as_slice);
            assert!(said.starts_with(self.watch.was_read(stream)), "stream {stream} otherwise");
        }
    }

    /// Whatever a host was asked for is done, whatever runs ends.
    fn host_does_its_part(&mut self) {
        let mut ops = Ops::new(&[]);
        while self.files.as_mut().is_some_and(|files| files.finish(&mut ops)) {
            self.files_step();
            self.settle();
        }
        if self.files.is_some() && self.agent.closed().is_some() {
            // Behind the end its requests are dropped.
            self.unanswered.clear();
        }
        while let Some(id) = self.unanswered.pop_front() {
            self.watch.given += 300;
            let response = FileResponse { id, ..FileResponse::default() };
            self.answer(id, response);
            self.settle();
        }
        if self.listing {
            self.paths(1);
        }
        for output in self.outputs.clone() {
            self.finish(output);
        }
        self.exited(3);
    }
}
