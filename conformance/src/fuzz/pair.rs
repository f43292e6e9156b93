//! A local side and an agent joined by two pipes: `docs/protocols/agentproto.md` sections 6 to 8.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use trunkline_core::agentproto::{Agent, AgentEvent, FileResponse, Local, LocalEvent, OpNumbers};
use trunkline_core::{CloseReason, Machine};

use super::frames::{EXTRA, exec, request, response};
use super::ops::Ops;
use super::watch::{Session, Watch, settings};

/// Bytes in a pipe before its writer must wait.
const PIPE: usize = 5_000;

/// The code with which the command ends.
const CODE: i64 = 42;

/// A local side and an agent that run one session with each other.
///
/// Input: a byte of settings, a byte whose bit 0 asks for files instead of a command, then
/// operations: writes, ends and reads at both ends, requests, answers and cancels, and bytes moved
/// through either pipe, cut anywhere.
///
/// Holds: every byte arrives once and in order at both ends, and so does every end; signals arrive;
/// the command's exit code arrives, behind all output; every request has its own answer; neither
/// end blames the other.
///
/// # Panics
///
/// When one of these is broken.
pub fn agentproto_pair(input: &[u8]) {
    let Some(([how, files], operations)) = input.split_first_chunk::<2>() else { return };
    // A deadline or a hang-up is another matter than a session that runs.
    let mut session = Pair::new(how & 3, files & 1 != 0);
    let mut ops = Ops::new(operations);
    while let Some(op) = ops.next() {
        session.step(op, &mut ops);
        session.check();
    }
    session.complete();
}

struct Pair {
    local: Local,
    agent: Agent,
    at_local: Watch,
    at_agent: Watch,
    to_agent: VecDeque<u8>,
    to_local: VecDeque<u8>,
    files: bool,
    running: bool,
    /// The local side has closed the session.
    hung_up: bool,
    /// What was taken of each stream, at the end that wrote it.
    up: BTreeMap<u32, Vec<u8>>,
    down: BTreeMap<u32, Vec<u8>>,
    signals: VecDeque<i32>,
    exited: Option<i64>,
    /// Requests that the local side waits for, and those that the agent has.
    waiting: BTreeSet<u32>,
    unanswered: VecDeque<u32>,
    answers: BTreeMap<u32, FileResponse>,
}

fn inputs() -> impl Iterator<Item = u32> {
    [0].into_iter().chain(EXTRA)
}

fn outputs() -> impl Iterator<Item = u32> {
    [1, 2].into_iter().chain(EXTRA)
}

impl Pair {
    fn new(how: u8, files: bool) -> Self {
        let mut config = settings(how);
        // The answers here are any answers; which of them an agent that knows the operations could
        // give is `agentproto_local`'s to try.
        config.op_numbers = OpNumbers::Assumed;
        let (mut at_local, mut at_agent) = (Watch::new(&config), Watch::new(&config));
        let mut local = Local::new(config.clone());
        if !files {
            inputs().for_each(|stream| at_local.open_out(stream));
            outputs().for_each(|stream| at_local.open_in(stream));
            inputs().for_each(|stream| at_agent.open_in(stream));
            outputs().for_each(|stream| at_agent.open_out(stream));
            assert_eq!(local.exec(at_local.now, exec(), None), Ok(()));
        }
        (at_local.given, at_agent.given) = (1_000, 1_000);
        Self {
            local,
            agent: Agent::new(config),
            at_local,
            at_agent,
            to_agent: VecDeque::new(),
            to_local: VecDeque::new(),
            files,
            running: false,
            hung_up: false,
            up: BTreeMap::new(),
            down: BTreeMap::new(),
            signals: VecDeque::new(),
            exited: None,
            waiting: BTreeSet::new(),
            unanswered: VecDeque::new(),
            answers: BTreeMap::new(),
        }
    }

    fn step(&mut self, op: u8, ops: &mut Ops<'_>) {
        match op {
            0..40 => {
                let (stream, data) = self.data(ops);
                let taken = self.at_local.write(&mut self.local, stream, &data);
                self.up
                    .entry(stream)
                    .or_default()
                    .extend_from_slice(data.get(..taken).unwrap_or(&[]));
            }
            40..80 if self.running => {
                let (stream, data) = self.data(ops);
                let taken = self.at_agent.write(&mut self.agent, stream, &data);
                let known = self.down.entry(stream).or_default();
                known.extend_from_slice(data.get(..taken).unwrap_or(&[]));
            }
            80..100 => fill(&mut self.local, &mut self.at_local, &mut self.to_agent, ops.size()),
            100..110 => fill(&mut self.agent, &mut self.at_agent, &mut self.to_local, ops.size()),
            110..120 => {
                let stream = ops.stream();
                if self.local.finish(stream) {
                    self.at_local.finish(stream);
                }
            }
            120..140 => drain(&mut self.agent, &self.at_agent, &mut self.to_agent, ops.size()),
            140..160 => drain(&mut self.local, &self.at_local, &mut self.to_local, ops.size()),
            160..170 if self.files => self.request(ops),
            170..180 => self.respond(ops),
            180..184 => self.cancel(u32::from(ops.byte())),
            184..190 if self.running => {
                let stream = ops.stream();
                self.at_agent.finish(stream);
                self.agent.finish(stream);
            }
            190..200 => {
                let (stream, max) = (ops.stream(), ops.size());
                self.at_local.read(&mut self.local, stream, max);
            }
            200..210 => {
                let (stream, max) = (ops.stream(), ops.size());
                self.at_agent.read(&mut self.agent, stream, max);
            }
            210..220 => drop(self.agent_event()),
            220..230 => drop(self.local_event()),
            230..235 => {
                let signal = i32::from(ops.byte() % 65);
                if self.local.signal(signal).is_ok() {
                    self.signals.push_back(signal);
                }
            }
            250.. => drop(self.turn()),
            _ => {}
        }
    }

    fn data(&self, ops: &mut Ops<'_>) -> (u32, Bytes) {
        let (stream, size) = (ops.stream(), ops.size());
        (stream, ops.pattern(size))
    }

    fn check(&mut self) {
        self.at_local.check(&self.local);
        self.at_agent.check(&self.agent);
        let ours = self.hung_up && self.local.closed() == Some(&CloseReason::Local);
        let peers = matches!(self.local.closed(), None | Some(CloseReason::Peer { .. }));
        assert!(ours || peers, "{:?}", self.local.closed());
    }

    fn request(&mut self, ops: &mut Ops<'_>) {
        let request = request(ops);
        self.at_local.given += request.data.len() + request.path.len() + 200;
        if let Ok(id) = self.local.request(request) {
            self.waiting.insert(id);
        }
    }

    fn respond(&mut self, ops: &mut Ops<'_>) {
        let which = usize::from(ops.byte());
        let Some(index) = which.checked_rem(self.unanswered.len()) else { return };
        let Some(id) = self.unanswered.remove(index) else { return };
        let mut response = response(ops, id);
        // What is no answer to a request is another matter: it would be cut.
        (response.count, response.data) = (0, Default::default());
        self.answer(response);
    }

    fn answer(&mut self, response: FileResponse) {
        self.at_agent.given += 60 * response.entries.len() + 300;
        self.answers.insert(response.id, response.clone());
        self.agent.respond(response);
    }

    fn cancel(&mut self, id: u32) {
        if self.local.cancel(id) {
            assert!(self.waiting.remove(&id));
        }
    }

    fn local_event(&mut self) -> bool {
        let Some(event) = self.local.poll_event() else { return false };
        self.at_local.event(&self.local, &event);
        match event {
            LocalEvent::Response(response) => {
                assert!(self.waiting.remove(&response.id), "nobody waits for {}", response.id);
                let given = self.answers.remove(&response.id);
                let fits = given.as_ref() == Some(&response) || response.errno == 75;
                assert!(fits, "{given:?} became {response:?}");
            }
            LocalEvent::Exited { code, .. } => assert_eq!(self.exited.replace(code), None),
            LocalEvent::RequestLost(id) => unreachable!("request {id} is lost"),
            _ => {}
        }
        true
    }

    fn agent_event(&mut self) -> bool {
        let Some(event) = self.agent.poll_event() else { return false };
        self.at_agent.event(&self.agent, &event);
        match event {
            AgentEvent::Exec(request, config) => {
                assert_eq!((request, config), (exec(), None));
                assert!(!std::mem::replace(&mut self.running, true));
                self.agent.started(7);
            }
            AgentEvent::FileRequest(request) => self.unanswered.push_back(request.id),
            AgentEvent::Signal(signal) => assert_eq!(self.signals.pop_front(), Some(signal)),
            _ => {}
        }
        true
    }

    /// Does everything once, except what the user or the host decides; says whether anything moved.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        while self.local_event() || self.agent_event() {
            moved = true;
        }
        for stream in outputs() {
            while self.at_local.read(&mut self.local, stream, usize::MAX) {
                moved = true;
            }
        }
        for stream in inputs() {
            while self.at_agent.read(&mut self.agent, stream, usize::MAX) {
                moved = true;
            }
        }
        let before = (self.to_agent.len(), self.to_local.len());
        fill(&mut self.local, &mut self.at_local, &mut self.to_agent, usize::MAX);
        fill(&mut self.agent, &mut self.at_agent, &mut self.to_local, usize::MAX);
        moved |= before != (self.to_agent.len(), self.to_local.len());
        let before = (self.to_agent.len(), self.to_local.len());
        drain(&mut self.agent, &self.at_agent, &mut self.to_agent, usize::MAX);
        drain(&mut self.local, &self.at_local, &mut self.to_local, usize::MAX);
        moved || before != (self.to_agent.len(), self.to_local.len())
    }

    fn settle(&mut self) {
        while self.turn() {
            self.check();
        }
        self.at_local.settled(&self.local);
        self.at_agent.settled(&self.agent);
    }

    /// Runs the session to its end.
    fn complete(&mut self) {
        self.settle();
        if self.files {
            while let Some(id) = self.unanswered.pop_front() {
                self.answer(FileResponse { id, ..FileResponse::default() });
                self.settle();
            }
            assert!(self.waiting.is_empty(), "requests without an answer");
            self.hung_up = true;
            self.local.close();
            self.settle();
        } else {
            assert!(self.running, "the command was not started");
            for stream in inputs() {
                self.local.finish(stream);
                self.at_local.finish(stream);
            }
            self.settle();
            for stream in inputs() {
                let wrote = self.up.get(&stream).map_or(&[][..], Vec::as_slice);
                assert!(self.at_agent.was_read(stream) == wrote, "stream {stream} to the agent");
            }
            assert!(self.signals.is_empty(), "signals on the way");
            self.agent.exited(CODE);
            for stream in outputs() {
                self.at_agent.finish(stream);
                self.agent.finish(stream);
            }
            self.settle();
            assert_eq!(self.exited, Some(CODE));
            for stream in outputs() {
                let wrote = self.down.get(&stream).map_or(&[][..], Vec::as_slice);
                assert!(
                    self.at_local.was_read(stream) == wrote,
                    "stream {stream} to the local side"
                );
            }
        }
        assert!(self.local.closed().is_some());
        self.at_agent.ended = true;
        self.agent.handle_eof(self.at_agent.now);
        self.settle();
        assert!(self.agent.closed().is_some(), "the caller has hung up");
        let begun = self.running || self.at_agent.kinds.contains_key(&12);
        assert!(self.agent.status() == 0 || !begun, "refused its purpose");
    }
}

/// Puts up to `count` segments into a pipe that has room.
fn fill(machine: &mut impl Session, watch: &mut Watch, pipe: &mut VecDeque<u8>, count: usize) {
    for _ in 0..count {
        if pipe.len() >= PIPE {
            return;
        }
        let Some(segment) = machine.poll_transmit(watch.now) else { return };
        watch.segment(&segment);
        pipe.extend(segment.slices().concat());
    }
}

/// Hands up to `count` bytes of a pipe to the machine at its end, if it wants any.
fn drain(machine: &mut impl Session, watch: &Watch, pipe: &mut VecDeque<u8>, count: usize) {
    if machine.wants_input() {
        let count = count.min(pipe.len());
        let bytes: Bytes = pipe.drain(..count).collect::<Vec<u8>>().into();
        machine.handle_input(watch.now, bytes);
    }
}
