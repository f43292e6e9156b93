//! Our machine at the agent's end, the recorded local side as a script, and a host that does what
//! the recorded one did.

use std::collections::BTreeMap;

use bytes::Bytes;
use trunkline_conformance::agentproto::transcripts::{Action, Mode, Side, Transcript};
use trunkline_conformance::laws::{Broken, hold, over_once, waits_for_something};
use trunkline_conformance::sim::{Fault, Pair, Script};
use trunkline_core::Machine as _;
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, Decoder, Frame, FrameType, LostInput, Read,
};

use super::{heard_before, whole_frames};

/// Plays a session over a link to which `break_it` was done, and checks what came of it. `read_cut`
/// says where what the machine reads was cut, if it was.
pub(crate) fn run(
    transcript: &Transcript,
    config: &Config,
    break_it: impl FnOnce(&mut Pair<Agent, Script>),
    read_cut: Option<(u64, Fault)>,
) -> Result<(), Broken> {
    let mut pair = Pair::new(Agent::new(config.clone()), script(transcript));
    break_it(&mut pair);
    let mut host = Host::new(transcript);
    pair.run(|pair| host.turn(pair)).map_err(|stuck| Broken::new("P-HANG", stuck.to_string()))?;
    over_once(&pair.a, &host.events, |event| match event {
        AgentEvent::Closed(reason) => Some(reason),
        _ => None,
    })?;
    let frames = whole_frames(transcript, Side::Local, pair.back.delivered());
    check_input(&host, &frames)?;
    check_output(&host, pair.b.heard(), &pair)?;
    let first = [FrameType::EXEC, FrameType::PATH_QUERY, FrameType::FILE_REQUEST];
    let purpose = frames.iter().any(|frame| first.contains(&frame.kind));
    let trace = || pair.trace.to_string();
    if !purpose {
        let hangs = pair.a.closed().is_none();
        let silent = pair.b.saw_end() || pair.b.saw_failure();
        hold("P-HANG", !hangs || !silent, || format!("it waits for a first frame\n{}", trace()))?;
        let refused = !hangs && pair.a.status() != 127;
        hold("P-ERR", !refused, || format!("status {}\n{}", pair.a.status(), trace()))?;
    }
    let Some((_, fault)) = read_cut else { return Ok(()) };
    if matches!(fault, Fault::Stall(None)) {
        return waits_for_something(&pair.a, |agent| agent.wants_input().then_some("its caller"));
    }
    // The original's setting keeps a command whose caller is gone (H8).
    let kept = purpose
        && transcript.mode == Mode::Exec
        && config.lost_input == LostInput::Ignore
        && !host.exited;
    hold("P-HANG", kept || pair.a.closed().is_some(), || format!("it goes on\n{}", trace()))
}

/// The local side says all of it at once; the host lets it arrive step by step.
fn script(transcript: &Transcript) -> Script {
    let steps = transcript.steps.iter().filter(|step| step.from == Side::Local);
    steps.fold(Script::new(), |script, step| match &step.action {
        Action::Write { bytes, .. } => script.send(bytes.clone()),
        Action::End => script.end(),
        Action::Cancel(_) => script,
    })
}

/// What the command read is what whole frames held, and its inputs ended for a reason.
fn check_input(host: &Host<'_>, frames: &[&Frame]) -> Result<(), Broken> {
    let mut sent: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for frame in frames.iter().filter(|frame| frame.kind == FrameType::DATA) {
        sent.entry(frame.stream).or_default().extend_from_slice(&frame.data.clone().into_bytes());
    }
    for (stream, read) in &host.input {
        let sent = sent.get(stream).map(Vec::as_slice).unwrap_or_default();
        // A command that has exited reads no more, and the original delivers behind an end.
        let fits = sent.starts_with(read);
        hold("P-LOSS", fits, || format!("stream {stream}: read {read:?} of {sent:?}"))?;
    }
    Ok(())
}

/// What it said is frames, none of which its host did not cause.
fn check_output(host: &Host<'_>, heard: &[u8], pair: &Pair<Agent, Script>) -> Result<(), Broken> {
    let mut decoder: Decoder<Frame> = Decoder::new(&Config::default());
    decoder.push(Bytes::copy_from_slice(heard));
    let mut exits = 0;
    let mut streams: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    loop {
        match decoder.poll() {
            Ok(Some(frame)) if frame.kind == FrameType::DATA => {
                hold("P-LOSS", exits == 0, || "bytes behind the exit".into())?;
                let bytes = frame.data.into_bytes();
                streams.entry(frame.stream).or_default().extend_from_slice(&bytes);
            }
            Ok(Some(frame)) if frame.kind == FrameType::EXIT => exits += 1,
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(why) => return Err(Broken::new("P-ERR", format!("it wrote no frame: {why}"))),
        }
    }
    let most = usize::from(host.exited);
    hold("P-ERR", exits <= most, || format!("{exits} exits, of {most}\n{}", pair.trace))?;
    for (stream, bytes) in &streams {
        let written = host.output.get(stream).map(Vec::as_slice).unwrap_or_default();
        let fits = if exits == 1 { written == bytes } else { written.starts_with(bytes) };
        hold("P-LOSS", fits, || format!("stream {stream}: {} bytes", bytes.len()))?;
    }
    Ok(())
}

/// Does what the recorded host did, each thing behind what had been heard by then.
struct Host<'a> {
    transcript: &'a Transcript,
    before: Vec<u64>,
    next: usize,
    exec: bool,
    fds: Vec<u32>,
    exited: bool,
    asked: Vec<u32>,
    input: BTreeMap<u32, Vec<u8>>,
    output: BTreeMap<u32, Vec<u8>>,
    events: Vec<AgentEvent>,
}

impl<'a> Host<'a> {
    fn new(transcript: &'a Transcript) -> Self {
        Self {
            transcript,
            before: heard_before(transcript, Side::Agent),
            next: 0,
            exec: false,
            fds: Vec::new(),
            exited: false,
            asked: Vec::new(),
            input: BTreeMap::new(),
            output: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// How much of the local side's bytes may arrive: each step behind the frames of the agent that
    /// it came behind. Log records are not as long as the recorded ones, so frames count, not bytes.
    fn allowed(&self, sent: u64) -> Option<u64> {
        let (mut frames, mut bytes) = (0, 0);
        for step in &self.transcript.steps {
            match (step.from, &step.action) {
                (Side::Agent, Action::Write { .. }) => frames += 1,
                (Side::Local, _) if frames > sent => return Some(bytes),
                (Side::Local, Action::Write { bytes: more, .. }) => bytes += more.len() as u64,
                _ => {}
            }
        }
        None
    }

    fn turn(&mut self, pair: &mut Pair<Agent, Script>) -> bool {
        pair.back.allow(self.allowed(pair.a.stats().frames_sent));
        let heard = pair.back.delivered();
        let agent = &mut pair.a;
        let mut moved = self.take_in(agent);
        while let Some(step) = self.transcript.steps.get(self.next) {
            if step.from == Side::Agent {
                let Action::Write { frame: Some(frame), .. } = &step.action else { break };
                if heard < self.before[self.next] || agent.closed().is_some() {
                    break;
                }
                self.act(agent, frame);
            }
            self.next += 1;
            moved = true;
        }
        if heard < self.before.last().copied().unwrap_or(0) {
            return moved;
        }
        moved | self.answer_the_rest(agent)
    }

    fn act(&mut self, agent: &mut Agent, frame: &Frame) {
        match frame.kind {
            FrameType::LOG if self.exec => {
                let record = frame.log.as_deref().unwrap();
                let number = |key: &str| {
                    let found = record.pairs().find(|(name, _)| *name == key);
                    found.and_then(|(_, value)| value.parse::<i64>().ok())
                };
                match record.message.as_str() {
                    "child started" => agent.started(1),
                    "child exited" => self.exit(agent, number("code").unwrap_or(0)),
                    "start command failed" => {
                        self.exited = true;
                        agent.start_failed("no");
                    }
                    "build command failed" => {
                        self.exited = true;
                        agent.build_failed("no");
                    }
                    _ => {}
                }
            }
            FrameType::LOG if record_of(frame) == "path enumeration complete" => {
                agent.paths(Vec::new());
            }
            FrameType::DATA => {
                let bytes = frame.data.clone().into_bytes();
                let taken = agent.write(frame.stream, &bytes);
                if let trunkline_core::agentproto::Write::Accepted(taken) = taken {
                    self.output.entry(frame.stream).or_default().extend_from_slice(&bytes[..taken]);
                }
            }
            FrameType::EOF => agent.finish(frame.stream),
            FrameType::FILE_RESPONSE => {
                let response = *frame.file_response.clone().unwrap();
                if let Some(place) = self.asked.iter().position(|id| *id == response.id) {
                    self.asked.remove(place);
                    agent.respond(response);
                }
            }
            _ => {}
        }
    }

    fn exit(&mut self, agent: &mut Agent, code: i64) {
        self.exited = true;
        agent.exited(code);
    }

    /// A service answers what it was asked even when nobody will hear it.
    fn answer_the_rest(&mut self, agent: &mut Agent) -> bool {
        let moved = !self.asked.is_empty();
        for id in std::mem::take(&mut self.asked) {
            agent.respond(trunkline_core::agentproto::FileResponse { id, ..Default::default() });
        }
        moved
    }

    fn take_in(&mut self, agent: &mut Agent) -> bool {
        let mut moved = false;
        while let Some(event) = agent.poll_event() {
            moved = true;
            match &event {
                AgentEvent::Exec(request, _) => {
                    self.exec = true;
                    self.fds = request.fds.clone();
                }
                AgentEvent::FileRequest(request) => self.asked.push(request.id),
                // The command ends at any signal that the end of its caller brings.
                AgentEvent::Signal(1 | 9) => {
                    for stream in [1, 2].iter().chain(&self.fds) {
                        agent.finish(*stream);
                    }
                    self.exit(agent, 129);
                }
                _ => {}
            }
            self.events.push(event);
        }
        for stream in [0].iter().chain(&self.fds) {
            while let Read::Data(bytes) = agent.read(*stream, usize::MAX) {
                self.input.entry(*stream).or_default().extend_from_slice(&bytes);
                moved = true;
            }
        }
        moved
    }
}

fn record_of(frame: &Frame) -> &str {
    frame.log.as_deref().map_or("", |record| record.message.as_str())
}
