//! The promises, each as a test of its own, for the two machines of agentproto. Those that a fault
//! breaks or keeps stand in `faults_*.rs`; `docs/testing.md` has the table.

mod watch;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant as Wall;

use bytes::Bytes;
use trunkline_conformance::agentproto::transcripts::{Action, Side, Transcript};
use trunkline_conformance::laws::{Ending, hold, linear, same};
use trunkline_conformance::sim::{Pair, Rng, seeds};
use trunkline_conformance::vectors::Suite;
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, ExecRequest, FileOp, FileRequest, FileResponse, Frame, Item as _,
    Local, LocalEvent, LogRecord,
};
use trunkline_core::{Instant, Machine};
use watch::Watcher;

const NOW: Instant = Instant::ORIGIN;

/// All that a side says in each recorded session.
fn recorded(side: Side) -> Vec<Vec<u8>> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let suite = Suite::load(&vectors, &["agentproto".into()]).unwrap();
    let file = suite.files.into_iter().find(|file| file.name == "transcripts.json").unwrap();
    let said = file.cases.unwrap().into_iter().map(|case| {
        let steps = Transcript::read(&case.value).unwrap().steps.into_iter();
        let writes = steps.filter(|step| step.from == side).filter_map(|step| match step.action {
            Action::Write { bytes, .. } => Some(bytes),
            _ => None,
        });
        writes.flatten().take(20_000).collect()
    });
    said.collect()
}

/// What a peer may say: recorded bytes of one session or two, some of them changed, or any at all.
fn traffic(rng: &mut Rng, recorded: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = rng.pick(recorded).cloned().unwrap_or_default();
    if rng.once_in(2) {
        bytes.extend(rng.pick(recorded).cloned().unwrap_or_default());
    }
    if rng.once_in(8) {
        let count = rng.up_to(60);
        bytes = rng.bytes(count);
    }
    bytes.truncate(3_000);
    for _ in 0..rng.below(4) {
        let place = rng.up_to(bytes.len()) - 1;
        if let Some(byte) = bytes.get_mut(place) {
            *byte = rng.next() as u8;
        }
    }
    bytes
}

/// The settings of a session, perhaps with limits that are reached all the time.
fn config(rng: &mut Rng) -> Config {
    let mut config = if rng.once_in(2) { Config::default() } else { Config::reference() };
    if rng.once_in(2) {
        config.limits.stream_queue = 300;
        config.limits.session_queue = 700;
        config.limits.replies = 4;
        config.limits.frame = 2_000;
    }
    config
}

fn with_fds(fds: &[u32]) -> ExecRequest {
    ExecRequest { path: "/bin/x".into(), fds: fds.to_vec(), ..ExecRequest::default() }
}

fn ending(rng: &mut Rng) -> Ending {
    [Ending::Open, Ending::Eof, Ending::Failure][rng.below(3) as usize]
}

#[test]
fn p_same_a_local_side_sees_the_same_however_the_bytes_come() {
    let recorded = recorded(Side::Agent);
    seeds(400, |rng| {
        let (config, purpose, bytes, ending) =
            (config(rng), rng.below(3), traffic(rng, &recorded), ending(rng));
        let make = || {
            let mut local = Local::new(config.clone());
            match purpose {
                0 => local.exec(NOW, with_fds(&[3, 5]), None).unwrap(),
                1 => local.query_paths(NOW, Default::default(), None).unwrap(),
                _ => (0..9).for_each(|_| {
                    let _: u32 = local.request(FileRequest::default()).unwrap();
                }),
            }
            // What was not sent when a session ends never will be.
            while local.poll_transmit(NOW).is_some() {}
            (local, Watcher::default())
        };
        same(make, &bytes, ending, rng).map(drop)
    })
    .unwrap();
}

#[test]
fn p_same_an_agent_sees_the_same_however_the_bytes_come() {
    let recorded = recorded(Side::Local);
    seeds(400, |rng| {
        let (config, bytes, ending) = (config(rng), traffic(rng, &recorded), ending(rng));
        same(|| (Agent::new(config.clone()), Watcher::default()), &bytes, ending, rng).map(drop)
    })
    .unwrap();
}

/// What it costs a machine, in time, to take this in.
fn cost<M: Machine<Input = Bytes>>(mut machine: M, bytes: &[u8], piece: usize) -> u64 {
    let begin = Wall::now();
    for piece in bytes.chunks(piece) {
        machine.handle_input(NOW, Bytes::copy_from_slice(piece));
        while machine.poll_event().is_some() {}
        while machine.poll_transmit(NOW).is_some() {}
    }
    u64::try_from(begin.elapsed().as_nanos()).unwrap()
}

fn repeated(frame: &Frame, bytes: usize) -> Vec<u8> {
    let frame = frame.to_bytes().unwrap();
    frame.repeat(bytes / frame.len() + 1)
}

/// Inputs of about so many bytes, each of which a careless machine would work on again and again.
fn inputs(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let list = [&b"\xa2\x61t\x05\x61x\xa1\x63env\x9f"[..], &b"\x61a".repeat(bytes / 2)].concat();
    let chunks = [&b"\xa1\x61e\x7f"[..], &b"\x61a".repeat(bytes / 2)].concat();
    let unknown = [&b"\xa1\x61z\x9f"[..], &b"\xa0".repeat(bytes)].concat();
    let log = LogRecord { message: "x".into(), ..LogRecord::default() };
    vec![
        ("bytes of a stream", repeated(&Frame::data(1, b"x".to_vec()), bytes)),
        ("log records", repeated(&Frame::log(log), bytes)),
        ("signals", repeated(&Frame::signal(2), bytes)),
        ("a list without end", list),
        ("a text in chunks without end", chunks),
        ("an unknown key without end", unknown),
        ("a long text", Frame::exit(1, "x".repeat(bytes)).to_bytes().unwrap()),
    ]
}

#[test]
fn p_panic_work_per_byte_is_constant_at_a_local_side() {
    for kind in 0..inputs(9).len() {
        for piece in [1, 4_096] {
            let name = inputs(9)[kind].0;
            let work = |bytes| {
                let mut local = Local::new(Config::default());
                local.exec(NOW, with_fds(&[]), None).unwrap();
                cost(local, &inputs(bytes)[kind].1, piece)
            };
            linear(8_000, work).map_err(|it| it.at(format_args!("{name}, by {piece}"))).unwrap();
        }
    }
}

#[test]
fn p_panic_work_per_byte_is_constant_at_an_agent() {
    for kind in 0..inputs(9).len() {
        for piece in [1, 4_096] {
            let name = inputs(9)[kind].0;
            let work = |bytes| {
                let mut agent = Agent::new(Config::default());
                let exec = Frame::exec(with_fds(&[])).to_bytes().unwrap();
                agent.handle_input(NOW, exec.into());
                cost(agent, &inputs(bytes)[kind].1, piece)
            };
            linear(8_000, work).map_err(|it| it.at(format_args!("{name}, by {piece}"))).unwrap();
        }
    }
}

/// A file service that opens handles and knows which are open.
#[derive(Default)]
struct Files {
    last: u32,
    open: BTreeSet<u32>,
    asked: Vec<FileRequest>,
}

impl Files {
    /// Answers some of what it was asked, in any order.
    fn turn(&mut self, agent: &mut Agent, rng: &mut Rng, all: bool) -> bool {
        let mut moved = false;
        while let Some(event) = agent.poll_event() {
            if let AgentEvent::FileRequest(request) = event {
                self.asked.push(request);
            }
            moved = true;
        }
        while !self.asked.is_empty() && (all || rng.once_in(3)) {
            let request = self.asked.remove(rng.up_to(self.asked.len()) - 1);
            let mut answer = FileResponse { id: request.id, ..FileResponse::default() };
            match request.op {
                FileOp::OPEN | FileOp::CREATE => {
                    self.last += 1;
                    answer.handle = self.last;
                    self.open.insert(self.last);
                }
                FileOp::CLOSE if !self.open.remove(&request.handle) => answer.errno = 9,
                _ => {}
            }
            agent.respond(answer);
            moved = true;
        }
        moved
    }
}

#[test]
fn p_cancel_a_request_given_up_at_any_moment_answers_nobody_and_leaks_nothing() {
    seeds(500, |rng| {
        let machines = (Local::new(Config::default()), Agent::new(Config::default()));
        let mut pair = Pair::random(machines.0, machines.1, rng);
        pair.there.shape.room = pair.there.shape.room.max(50);
        pair.back.shape.room = pair.back.shape.room.max(50);
        let (mut files, mut dice) = (Files::default(), rng.fork());
        let (mut waiting, mut cancelled, mut handles) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut wrong = Vec::new();
        let mut calls = 60;
        let outcome = pair.run(|pair| {
            while let Some(event) = pair.a.poll_event() {
                if let LocalEvent::Response(answer) = event {
                    wrong.extend(cancelled.contains(&answer.id).then_some("an answer to nobody"));
                    wrong.extend((answer.errno != 0).then_some("closed twice"));
                    handles.extend(Some(answer.handle).filter(|handle| *handle != 0));
                    waiting.retain(|id| *id != answer.id);
                }
            }
            if calls > 0 && dice.once_in(3) {
                calls -= 1;
                let handle = handles.first().copied().filter(|_| dice.once_in(4));
                let op = match handle {
                    Some(_) => FileOp::CLOSE,
                    None => [FileOp::OPEN, FileOp::CREATE, FileOp::STAT][dice.below(3) as usize],
                };
                let request =
                    FileRequest { op, handle: handle.unwrap_or(0), ..FileRequest::default() };
                if let Ok(id) = pair.a.request(request) {
                    waiting.push(id);
                    handle.map(|handle| handles.remove(&handle));
                }
            }
            if dice.once_in(4) && !waiting.is_empty() {
                let id = waiting.remove(dice.up_to(waiting.len()) - 1);
                wrong.extend(
                    (!pair.a.cancel(id)).then_some("was in flight, and could not be given up"),
                );
                wrong.extend(pair.a.cancel(id).then_some("given up twice"));
                cancelled.push(id);
            }
            files.turn(&mut pair.b, &mut dice, calls == 0) | (calls > 0)
        });
        outcome.map_err(|stuck| stuck.to_string())?;
        let in_flight = pair.a.in_flight();
        let open: BTreeSet<u32> = files.open;
        let sound = wrong.is_empty() && in_flight == 0 && open == handles;
        hold("P-CANCEL", sound, || {
            format!("{wrong:?}, {in_flight} in flight, open {open:?}, known {handles:?}")
        })
        .map_err(|broken| broken.to_string())
    })
    .unwrap();
}
