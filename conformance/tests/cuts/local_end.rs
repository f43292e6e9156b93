//! Our machine at the local end, the recorded agent as a script.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_conformance::agentproto::transcripts::{Action, Mode, Side, Transcript};
use trunkline_conformance::laws::{Broken, hold, over_once, waits_for_something};
use trunkline_conformance::sim::{Fault, Pair, Script};
use trunkline_core::agentproto::{
    AgentConfig, Config, Frame, FrameType, LateData, Local, LocalEvent, Read,
};
use trunkline_core::{CloseReason, Instant, Machine as _};

use super::{heard_before, is_boundary, script, whole_frames};

const NOW: Instant = Instant::ORIGIN;

#[derive(Debug, Default, PartialEq)]
struct Seen {
    streams: BTreeMap<u32, Vec<u8>>,
    ended: BTreeSet<u32>,
    exit: Option<i64>,
    answers: Vec<u32>,
}

/// Plays a session over a link to which `break_it` was done, and checks what came of it. `read_cut`
/// says where what the machine reads was cut, if it was.
pub(crate) fn run(
    transcript: &Transcript,
    config: &Config,
    break_it: impl FnOnce(&mut Pair<Local, Script>),
    read_cut: Option<(u64, Fault)>,
) -> Result<(), Broken> {
    let mut pair = Pair::new(Local::new(config.clone()), script(transcript, Side::Agent));
    break_it(&mut pair);
    let mut user = User::new(transcript);
    pair.run(|pair| user.turn(pair)).map_err(|stuck| Broken::new("P-HANG", stuck.to_string()))?;
    over_once(&pair.a, &user.events, |event| match event {
        LocalEvent::Closed(reason) => Some(reason),
        _ => None,
    })?;
    let delivered = pair.back.delivered();
    let frames = whole_frames(transcript, Side::Agent, delivered);
    let mut expected = expected(transcript, config, &frames, &user);
    if expected.exit.is_some() {
        // Behind an exit every stream reads as ended, its EOF frame or not.
        (expected.ended, user.seen.ended) = Default::default();
    }
    hold("P-ERR", user.seen == expected, || {
        format!("seen {:?}, not {expected:?}\n{}", user.seen, pair.trace)
    })?;
    let requests = user.requested.iter().filter(|id| !user.cancelled.contains(id)).count();
    let lost =
        user.events.iter().filter(|event| matches!(event, LocalEvent::RequestLost(_))).count();
    let open = requests - user.seen.answers.len();
    let over = pair.a.closed().is_some();
    hold("P-ERR", lost == if over { open } else { 0 }, || {
        format!("{open} requests open, {lost} told as lost")
    })?;
    let Some((at, fault)) = read_cut else {
        // What was taken before the cut is gone, and nobody can know but by what the agent says:
        // that it waits for that is documented. What fails later it is told of.
        let silent = over || pair.a.sending_failed().is_some() || pair.a.wants_input();
        return hold("P-HANG", silent, || format!("it waits for nothing\n{}", pair.trace));
    };
    reason(transcript, &pair, &user, (at, fault), &frames)
}

/// Why the session must be over, or what it must be waiting for.
fn reason(
    transcript: &Transcript,
    pair: &Pair<Local, Script>,
    user: &User<'_>,
    (at, fault): (u64, Fault),
    frames: &[&Frame],
) -> Result<(), Broken> {
    let terminal = frames.iter().any(|frame| match transcript.mode {
        Mode::Exec | Mode::FileOp => frame.kind == FrameType::EXIT,
        Mode::PathQuery => matches!(frame.kind, FrameType::PATH_INFO | FrameType::ERROR),
        Mode::Refused => false,
    });
    let closed = pair.a.closed();
    let fits = match (closed, fault) {
        (Some(CloseReason::Peer { .. }), _) => terminal,
        _ if terminal => false,
        (Some(CloseReason::Local), _) => user.closed,
        (Some(CloseReason::Eof { mid_frame }), Fault::Eof) => {
            *mid_frame != is_boundary(transcript, Side::Agent, at)
        }
        (Some(CloseReason::Transport { os_error }), Fault::Reset) => *os_error == Some(104),
        // It ended as recorded, behind a silence.
        (Some(CloseReason::Eof { mid_frame: false }), Fault::Stall(Some(_)) | Fault::Reset) => true,
        (None, Fault::Stall(None)) => {
            return waits_for_something(&pair.a, |local| {
                local.wants_input().then_some("the agent")
            });
        }
        _ => false,
    };
    hold("P-ERR", fits, || format!("over for {closed:?}\n{}", pair.trace))
}

/// What must have been seen of these frames.
fn expected(transcript: &Transcript, config: &Config, frames: &[&Frame], user: &User<'_>) -> Seen {
    let mut seen = Seen::default();
    for frame in frames {
        let known = user.streams.contains(&frame.stream);
        match (transcript.mode, frame.kind) {
            (Mode::Exec, FrameType::DATA) if known && !frame.data.is_empty() => {
                let late = seen.ended.contains(&frame.stream);
                if !late || config.late_data == LateData::Deliver {
                    let bytes = frame.data.clone().into_bytes();
                    seen.streams.entry(frame.stream).or_default().extend_from_slice(&bytes);
                }
            }
            (Mode::Exec, FrameType::EOF) if known => drop(seen.ended.insert(frame.stream)),
            (Mode::Exec | Mode::FileOp, FrameType::EXIT) => {
                seen.exit = Some(frame.code);
                break;
            }
            (Mode::FileOp, FrameType::FILE_RESPONSE) => {
                let id = frame.file_response.as_ref().map_or(0, |response| response.id);
                let waits = user.requested.contains(&id) && !user.cancelled.contains(&id);
                if waits && !seen.answers.contains(&id) {
                    seen.answers.push(id);
                }
            }
            _ => {}
        }
    }
    seen
}

/// Makes the calls of the recorded local side, each behind what it had heard.
struct User<'a> {
    transcript: &'a Transcript,
    before: Vec<u64>,
    next: usize,
    config: Option<AgentConfig>,
    streams: Vec<u32>,
    requested: Vec<u32>,
    cancelled: Vec<u32>,
    closed: bool,
    seen: Seen,
    events: Vec<LocalEvent>,
}

impl<'a> User<'a> {
    fn new(transcript: &'a Transcript) -> Self {
        Self {
            transcript,
            before: heard_before(transcript, Side::Local),
            next: 0,
            config: None,
            streams: Vec::new(),
            requested: Vec::new(),
            cancelled: Vec::new(),
            closed: false,
            seen: Seen::default(),
            events: Vec::new(),
        }
    }

    fn turn(&mut self, pair: &mut Pair<Local, Script>) -> bool {
        let mut moved = self.take_in(&mut pair.a);
        while let Some(step) = self.transcript.steps.get(self.next) {
            let heard = pair.back.delivered() >= self.before[self.next];
            let over = pair.a.closed().is_some();
            match (step.from, &step.action) {
                (Side::Agent, Action::End) if !over => break,
                (Side::Agent, _) => {}
                (Side::Local, _) if !heard => break,
                (Side::Local, Action::Write { frame: Some(frame), .. }) => {
                    self.call(&mut pair.a, frame);
                }
                (Side::Local, Action::Cancel(id)) => {
                    if pair.a.cancel(*id) {
                        self.cancelled.push(*id);
                    }
                }
                (Side::Local, Action::End) => {
                    self.closed |= !over;
                    pair.a.close();
                }
                (Side::Local, Action::Write { .. }) => panic!("no local call writes this"),
            }
            self.next += 1;
            moved = true;
        }
        moved
    }

    fn call(&mut self, local: &mut Local, frame: &Frame) {
        // What comes too late is refused, and that is all right.
        match frame.kind {
            FrameType::CONFIG => self.config = frame.config.as_deref().cloned(),
            FrameType::EXEC => {
                let exec = *frame.exec.clone().unwrap();
                let streams = [1, 2].into_iter().chain(exec.fds.iter().copied()).collect();
                if local.exec(NOW, exec, self.config.take()).is_ok() {
                    self.streams = streams;
                }
            }
            FrameType::PATH_QUERY => {
                let query = *frame.path_query.clone().unwrap();
                let _ = local.query_paths(NOW, query, self.config.take());
            }
            FrameType::DATA => {
                let _ = local.write(frame.stream, &frame.data.clone().into_bytes());
            }
            FrameType::EOF => {
                let _ = local.finish(frame.stream);
            }
            FrameType::SIGNAL => {
                let _ = local.signal(i32::try_from(frame.signal).unwrap());
            }
            FrameType::FILE_REQUEST => {
                let request = *frame.file_request.clone().unwrap();
                self.requested.extend(local.request(request));
            }
            other => panic!("no local call writes {other:?}"),
        }
    }

    fn take_in(&mut self, local: &mut Local) -> bool {
        let mut moved = false;
        for stream in self.streams.clone() {
            loop {
                match local.read(stream, usize::MAX) {
                    Read::Data(bytes) => {
                        self.seen.streams.entry(stream).or_default().extend_from_slice(&bytes);
                        moved = true;
                    }
                    Read::End => {
                        self.seen.ended.insert(stream);
                        break;
                    }
                    _ => break,
                }
            }
        }
        while let Some(event) = local.poll_event() {
            match &event {
                LocalEvent::Exited { code, .. } => self.seen.exit = Some(*code),
                LocalEvent::Response(response) => self.seen.answers.push(response.id),
                _ => {}
            }
            self.events.push(event);
            moved = true;
        }
        moved
    }
}
