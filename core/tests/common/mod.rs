//! What the session tests share: frames as bytes, machines in a known state, and a local side and
//! an agent back to back with a small host.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{
    Agent, AgentConfig, AgentEvent, Config, Decoder, ExecRequest, FileResponse, Frame, FrameType,
    Item, Local, LocalEvent, LogRecord, OpNumbers, Read, Stats, Write,
};
use trunkline_core::{CloseReason, Instant, Machine, Segment};

pub(crate) const START: Instant = Instant::from_millis(1_000);

/// So many milliseconds after [`START`].
pub(crate) fn at(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

/// The bytes of a few frames, one behind the other.
pub(crate) fn wire(frames: &[Frame]) -> Bytes {
    frames.iter().flat_map(|frame| frame.to_bytes().unwrap()).collect::<Vec<u8>>().into()
}

/// The frames that these bytes are; they must end with a whole one.
pub(crate) fn frames_of(bytes: &[u8]) -> Vec<Frame> {
    let mut decoder = Decoder::new(&Config::default());
    decoder.push(Bytes::copy_from_slice(bytes));
    let frames = std::iter::from_fn(|| decoder.poll().unwrap()).collect();
    assert_eq!(decoder.buffered(), 0, "whole frames only");
    frames
}

/// The default settings for tests of requests: the agent's numbers are known, nobody asks for them.
pub(crate) fn numbers_known() -> Config {
    let mut config = Config::default();
    config.op_numbers = OpNumbers::Assumed;
    config
}

pub(crate) fn exec(path: &str) -> ExecRequest {
    ExecRequest { path: path.into(), argv: Some(vec![path.into()]), ..ExecRequest::default() }
}

pub(crate) fn with_fds(fds: &[u32]) -> ExecRequest {
    ExecRequest { fds: fds.to_vec(), ..exec("/bin/x") }
}

pub(crate) fn log(message: &str) -> Frame {
    Frame::log(LogRecord { message: message.into(), ..LogRecord::default() })
}

pub(crate) fn data(stream: u32, bytes: &[u8]) -> Frame {
    Frame::data(stream, bytes.to_vec())
}

/// What the two machines have in common beside [`Machine`].
pub(crate) trait Side: Machine<Input = Bytes, Output = Segment> {
    fn read(&mut self, stream: u32, max: usize) -> Read;
    fn stats(&self) -> Stats;
    fn write(&mut self, stream: u32, data: &Bytes) -> Write;
    /// Whether an event is about a wait, so that its place among the others is free.
    fn is_wake(event: &Self::Event) -> bool;
    /// Answers an event that is a file request.
    fn answer(&mut self, _event: &Self::Event) {}
}

impl Side for Local {
    fn read(&mut self, stream: u32, max: usize) -> Read {
        Self::read(self, stream, max)
    }
    fn stats(&self) -> Stats {
        Self::stats(self)
    }
    fn write(&mut self, stream: u32, data: &Bytes) -> Write {
        Self::write(self, stream, data)
    }
    fn is_wake(event: &LocalEvent) -> bool {
        matches!(event, LocalEvent::Readable(_) | LocalEvent::Writable(_))
    }
}

impl Side for Agent {
    fn read(&mut self, stream: u32, max: usize) -> Read {
        Self::read(self, stream, max)
    }
    fn stats(&self) -> Stats {
        Self::stats(self)
    }
    fn write(&mut self, stream: u32, data: &Bytes) -> Write {
        Self::write(self, stream, data)
    }
    fn is_wake(event: &AgentEvent) -> bool {
        matches!(event, AgentEvent::Readable(_) | AgentEvent::Writable(_))
    }
    fn answer(&mut self, event: &AgentEvent) {
        if let AgentEvent::FileRequest(request) = event {
            self.respond(FileResponse { id: request.id, ..FileResponse::default() });
        }
    }
}

pub(crate) fn feed(machine: &mut impl Side, frames: &[Frame]) {
    machine.handle_input(START, wire(frames));
}

/// The same frame many times over, at once.
pub(crate) fn flood(machine: &mut impl Side, frame: &Frame, count: usize) {
    machine.handle_input(START, wire(std::slice::from_ref(frame)).repeat(count).into());
}

/// Every event there is.
pub(crate) fn events<M: Side>(machine: &mut M) -> Vec<M::Event> {
    std::iter::from_fn(|| machine.poll_event()).collect()
}

/// Every event there is that is not about a wait.
pub(crate) fn news<M: Side>(machine: &mut M) -> Vec<M::Event> {
    events(machine).into_iter().filter(|event| !M::is_wake(event)).collect()
}

/// The next frame to be sent: each segment is exactly one.
pub(crate) fn send_one(machine: &mut impl Side) -> Option<Frame> {
    let segment = machine.poll_transmit(START)?;
    let mut frames = frames_of(&segment.into_bytes());
    assert_eq!(frames.len(), 1, "a segment is one frame");
    frames.pop()
}

/// Every frame there is to be sent.
pub(crate) fn sent(machine: &mut impl Side) -> Vec<Frame> {
    std::iter::from_fn(|| send_one(machine)).collect()
}

/// Every frame there is to be sent that is no log record.
pub(crate) fn sent_but_logs(machine: &mut impl Side) -> Vec<Frame> {
    sent(machine).into_iter().filter(|frame| frame.kind != FrameType::LOG).collect()
}

/// The log records among all there is to be sent.
pub(crate) fn sent_logs(machine: &mut impl Side) -> Vec<LogRecord> {
    sent(machine).into_iter().filter_map(|frame| frame.log).map(|record| *record).collect()
}

/// Everything that can be read of a stream, and what came instead of more.
pub(crate) fn read_all(machine: &mut impl Side, stream: u32) -> (Vec<u8>, Read) {
    let mut bytes = Vec::new();
    loop {
        match machine.read(stream, 1 << 20) {
            Read::Data(piece) => {
                assert!(!piece.is_empty(), "data is never nothing");
                bytes.extend_from_slice(&piece);
            }
            other => return (bytes, other),
        }
    }
}

/// How many bytes can be read of a stream, all of them `value`, and what came instead of more.
pub(crate) fn read_count(machine: &mut impl Side, stream: u32, value: u8) -> (usize, Read) {
    let (bytes, last) = read_all(machine, stream);
    assert!(bytes.iter().all(|byte| *byte == value));
    (bytes.len(), last)
}

/// Writes bytes for which there must be room.
pub(crate) fn write_all(machine: &mut impl Side, stream: u32, bytes: &[u8]) {
    let written = machine.write(stream, &Bytes::copy_from_slice(bytes));
    assert_eq!(written, Write::Accepted(bytes.len()));
}

/// A local side whose command was sent.
pub(crate) fn running_local(config: Config, request: ExecRequest) -> Local {
    let mut local = Local::new(config);
    local.exec(START, request, None).unwrap();
    assert_eq!(sent(&mut local).len(), 1);
    local
}

/// An agent whose command runs; its log records are out.
pub(crate) fn running_agent(config: Config, request: ExecRequest) -> Agent {
    let mut agent = Agent::new(config);
    feed(&mut agent, &[Frame::exec(request)]);
    assert!(matches!(agent.poll_event(), Some(AgentEvent::Exec(..))));
    agent.started(4_711);
    assert!(sent(&mut agent).iter().all(|frame| frame.kind == FrameType::LOG));
    agent
}

/// How a [`Host`] starts a command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Start {
    #[default]
    Works,
    Fails(&'static str),
    BuildFails(&'static str),
}

/// A host for an agent: a command that copies streams and exits when they have ended.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) start: Start,
    /// From which input to which output it copies; the output ends with the input.
    pub(crate) copies: Vec<(u32, u32)>,
    /// Its exit code.
    pub(crate) code: i64,
    pub(crate) exec: Option<(ExecRequest, Option<AgentConfig>)>,
    pub(crate) signals: Vec<i32>,
    /// Bytes that were read and not written yet, and whether the end was read.
    pub(crate) copied: BTreeMap<u32, (Vec<u8>, bool)>,
    pub(crate) done: bool,
}

impl Host {
    pub(crate) fn copying(copies: &[(u32, u32)], code: i64) -> Self {
        Self { copies: copies.to_vec(), code, ..Self::default() }
    }

    /// Does what there is to do; says whether that was anything.
    pub(crate) fn turn(&mut self, agent: &mut Agent) -> bool {
        let events = events(agent);
        for event in &events {
            match event {
                AgentEvent::Exec(request, config) => {
                    self.exec = Some((request.clone(), config.clone()));
                    match self.start {
                        Start::Works => agent.started(4_711),
                        Start::Fails(text) => agent.start_failed(text),
                        Start::BuildFails(text) => agent.build_failed(text),
                    }
                }
                AgentEvent::Signal(signal) => self.signals.push(*signal),
                _ => {}
            }
        }
        !events.is_empty() | (self.exec.is_some() && self.copy(agent))
    }

    fn copy(&mut self, agent: &mut Agent) -> bool {
        let mut moved = false;
        let mut all_ended = !self.copies.is_empty();
        for (from, to) in &self.copies {
            let (held, ended) = self.copied.entry(*from).or_default();
            while held.len() < 100_000 {
                match agent.read(*from, 10_000) {
                    Read::Data(piece) => held.extend_from_slice(&piece),
                    Read::End => {
                        *ended = true;
                        break;
                    }
                    _ => break,
                }
                moved = true;
            }
            if let Write::Accepted(taken @ 1..) = agent.write(*to, &Bytes::copy_from_slice(held)) {
                held.drain(..taken);
                moved = true;
            }
            if *ended && held.is_empty() {
                agent.finish(*to);
            }
            all_ended &= *ended && held.is_empty();
        }
        if all_ended && !std::mem::replace(&mut self.done, true) {
            for output in [1, 2] {
                agent.finish(output);
            }
            agent.exited(self.code);
            moved = true;
        }
        moved
    }
}

/// A local side and an agent back to back.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) local: Local,
    pub(crate) agent: Agent,
    pub(crate) host: Host,
    /// What the local side told, waits left out.
    pub(crate) told: Vec<LocalEvent>,
    /// What was read of each stream at the local side, and how that went on.
    pub(crate) read: BTreeMap<u32, (Vec<u8>, Read)>,
}

impl Pair {
    pub(crate) fn new(request: ExecRequest, config: Option<AgentConfig>, host: Host) -> Self {
        let streams = [1, 2].into_iter().chain(request.fds.iter().copied());
        let read = streams.map(|stream| (stream, (Vec::new(), Read::Empty))).collect();
        let mut local = Local::new(Config::default());
        local.exec(START, request, config).unwrap();
        Self { local, agent: Agent::new(Config::default()), host, told: Vec::new(), read }
    }

    /// Moves frames one by one in both directions until nothing moves any more. When the local
    /// side is over, it hangs up.
    pub(crate) fn run(&mut self) {
        loop {
            let mut moved = self.host.turn(&mut self.agent);
            if self.agent.wants_input()
                && let Some(segment) = self.local.poll_transmit(START)
            {
                self.agent.handle_input(START, segment.into_bytes());
                moved = true;
            } else if self.local.closed().is_some() {
                self.agent.handle_eof(START);
            }
            if self.local.wants_input()
                && let Some(segment) = self.agent.poll_transmit(START)
            {
                self.local.handle_input(START, segment.into_bytes());
                moved = true;
            }
            self.told.extend(news(&mut self.local));
            for (stream, (bytes, last)) in &mut self.read {
                let (more, state) = read_all(&mut self.local, *stream);
                moved |= !more.is_empty();
                bytes.extend(more);
                *last = state;
            }
            if !moved {
                return;
            }
        }
    }

    pub(crate) fn exits(&self) -> Vec<(i64, String)> {
        let exit = |event: &LocalEvent| match event {
            LocalEvent::Exited { code, text } => Some((*code, text.clone())),
            _ => None,
        };
        self.told.iter().filter_map(exit).collect()
    }

    pub(crate) fn logs(&self) -> Vec<&str> {
        let records = self.told.iter().filter_map(|event| match event {
            LocalEvent::Log(record) => Some(record.message.as_str()),
            _ => None,
        });
        records.collect()
    }
}

/// What a machine is over for, when the input simply ended.
pub(crate) const fn eof(mid_frame: bool) -> CloseReason {
    CloseReason::Eof { mid_frame }
}

/// The kind of rule that a machine says was broken.
pub(crate) fn broken(machine: &impl Side) -> &'static str {
    match machine.closed() {
        Some(CloseReason::Violation(trunkline_core::Violation::Agentproto(rule))) => rule.kind(),
        other => panic!("no violation but {other:?}"),
    }
}
