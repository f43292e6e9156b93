//! The model of a session of agentproto, and the two machines that must agree with it.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use trunkline_conformance::laws::{Broken, Ledger, hold, within};
use trunkline_conformance::sim::{Fault, Pair};
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, ExecRequest, FileOp, FileRequest, FileResponse, Local, LocalEvent,
    LogRecord, LostInput, Misuse, Read, SignalNumbers, Write,
};
use trunkline_core::{CloseReason, Machine as _};

/// Something that a user, a host or the world does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Exec(Vec<u32>),
    Query,
    Request(u8),
    Cancel(usize),
    Write(u32, usize),
    Finish(u32),
    Read(u32, usize),
    Forget(u32),
    Signal(i32),
    /// Orderly, or at once.
    Close(bool),
    HostWrite(u32, usize),
    HostFinish(u32),
    HostRead(u32, usize),
    HostExit(i64),
    HostLog,
    HostAnswer(usize),
    HostPaths,
    /// So many bytes may arrive.
    There(u64),
    Back(u64),
    /// So many milliseconds pass.
    Advance(u64),
    /// There, or back.
    Cut(bool, Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Exec,
    Paths,
    Files,
}

/// Both machines, and what must be true of them.
pub(crate) struct World {
    pair: Pair<Local, Agent>,
    limits: (trunkline_core::Limits, trunkline_core::Limits),
    agent_config: Config,
    purpose: Option<Purpose>,
    /// Streams of the command, and which of them each end has ended.
    fds: Vec<u32>,
    finished: BTreeSet<u32>,
    forgotten: BTreeSet<u32>,
    there: Ledger,
    back: Ledger,
    signals: Vec<i32>,
    signals_seen: Vec<i32>,
    waiting: BTreeSet<u32>,
    cancelled: BTreeSet<u32>,
    /// A request found no room, and nobody was told of any since.
    refused: bool,
    // The host's side of it.
    started: bool,
    host_finished: BTreeSet<u32>,
    exit: Option<i64>,
    asked: Vec<u32>,
    asked_paths: bool,
    // What came to the user.
    exited: bool,
    closed: bool,
    agent_closed: bool,
    /// Somebody ended it, or the link broke: what is under way may be lost.
    disturbed: bool,
    numbers: u8,
}

impl World {
    pub(crate) fn new(local: Config, agent: Config) -> Self {
        let limits = (local.limits.clone(), agent.limits.clone());
        let mut pair = Pair::new(Local::new(local), Agent::new(agent.clone()));
        pair.there.allow(Some(0));
        pair.back.allow(Some(0));
        Self {
            pair,
            limits,
            agent_config: agent,
            purpose: None,
            fds: Vec::new(),
            finished: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            there: Ledger::default(),
            back: Ledger::default(),
            signals: Vec::new(),
            signals_seen: Vec::new(),
            waiting: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            refused: false,
            started: false,
            host_finished: BTreeSet::new(),
            exit: None,
            asked: Vec::new(),
            asked_paths: false,
            exited: false,
            closed: false,
            agent_closed: false,
            disturbed: false,
            numbers: 0,
        }
    }

    /// Does it, lets happen what follows at once, and looks at everything.
    pub(crate) fn step(&mut self, op: Op) -> Result<(), Broken> {
        self.act(op)?;
        self.settle()?;
        self.check()
    }

    fn settle(&mut self) -> Result<(), Broken> {
        for turn in 0.. {
            let moved = self.pair.step();
            let told = self.local_events()? | self.agent_events()?;
            if !moved && !told {
                break;
            }
            hold("P-HANG", turn < 100_000, || "it runs in circles".into())?;
        }
        Ok(())
    }

    fn is_input(&self, stream: u32) -> bool {
        self.purpose == Some(Purpose::Exec) && (stream == 0 || self.fds.contains(&stream))
    }

    fn is_output(&self, stream: u32) -> bool {
        self.purpose == Some(Purpose::Exec)
            && ([1, 2].contains(&stream) || self.fds.contains(&stream))
    }

    /// Nothing can be sent any more.
    fn mute(&self) -> bool {
        self.pair.a.closed().is_some() || self.pair.a.sending_failed().is_some()
    }

    fn bytes(&mut self, size: usize) -> Bytes {
        let bytes = (0..size).map(|_| {
            self.numbers = self.numbers.wrapping_add(1);
            self.numbers
        });
        bytes.collect::<Vec<u8>>().into()
    }

    fn act(&mut self, op: Op) -> Result<(), Broken> {
        match op {
            Op::Exec(fds) => self.exec(fds),
            Op::Query => {
                let expected = self.may_start(None);
                let got = self.pair.a.query_paths(self.pair.now(), Default::default(), None);
                self.purpose = self.purpose.or(got.is_ok().then_some(Purpose::Paths));
                same("query", &got, &expected)
            }
            Op::Request(op) => self.request(op),
            Op::Cancel(index) => {
                let all: Vec<u32> = self.waiting.union(&self.cancelled).copied().collect();
                let id = if all.is_empty() { 7 } else { all[index % all.len()] };
                let waits = self.waiting.remove(&id);
                if waits {
                    self.cancelled.insert(id);
                }
                same("cancel", &self.pair.a.cancel(id), &waits)
            }
            Op::Write(stream, size) => self.write(stream, size),
            Op::Finish(stream) => {
                let open =
                    self.is_input(stream) && !self.finished.contains(&stream) && !self.mute();
                let got = self.pair.a.finish(stream);
                if got {
                    self.finished.insert(stream);
                    self.there.finished(stream);
                }
                same("finish", &got, &open)
            }
            Op::Read(stream, max) => self.read(stream, max).map(drop),
            Op::Forget(stream) => {
                if self.is_output(stream) {
                    self.forgotten.insert(stream);
                    self.back.forgotten(stream);
                }
                self.pair.a.forget(stream);
                Ok(())
            }
            Op::Signal(signal) => {
                let expected = match self.purpose {
                    _ if self.mute() => Err(Misuse::Closed),
                    Some(Purpose::Exec) => Ok(()),
                    _ => Err(Misuse::NotStarted),
                };
                let got = self.pair.a.signal(signal);
                if got.is_ok() {
                    self.signals.push(signal);
                }
                if got == Err(Misuse::Busy) { Ok(()) } else { same("signal", &got, &expected) }
            }
            Op::Close(at_once) => {
                self.disturbed = true;
                if at_once {
                    self.pair.a.abort();
                } else {
                    self.pair.a.close();
                }
                Ok(())
            }
            Op::HostWrite(stream, size) => self.host_write(stream, size),
            Op::HostFinish(stream) => {
                if self.started && self.is_output(stream) && self.pair.b.closed().is_none() {
                    self.host_finished.insert(stream);
                    self.back.finished(stream);
                }
                self.pair.b.finish(stream);
                Ok(())
            }
            Op::HostRead(stream, max) => self.host_read(stream, max).map(drop),
            Op::HostExit(code) => {
                if self.started {
                    self.exit = self.exit.or(Some(code));
                }
                self.pair.b.exited(code);
                Ok(())
            }
            Op::HostLog => {
                self.pair.b.log(LogRecord { message: "hello".into(), ..LogRecord::default() });
                Ok(())
            }
            Op::HostAnswer(index) => {
                if !self.asked.is_empty() {
                    let id = self.asked.remove(index % self.asked.len());
                    let path = format!("/{id}");
                    self.pair.b.respond(FileResponse { id, path, ..FileResponse::default() });
                }
                Ok(())
            }
            Op::HostPaths => {
                if std::mem::take(&mut self.asked_paths) {
                    self.pair.b.paths(Vec::new());
                }
                Ok(())
            }
            Op::There(bytes) => {
                let total = self.pair.there.delivered() + bytes;
                self.pair.there.allow(Some(total));
                Ok(())
            }
            Op::Back(bytes) => {
                let total = self.pair.back.delivered() + bytes;
                self.pair.back.allow(Some(total));
                Ok(())
            }
            Op::Advance(millis) => {
                let outcome = self.pair.run_for(Duration::from_millis(millis), |_| false);
                outcome.map_err(|stuck| Broken::new("P-HANG", stuck.to_string()))
            }
            Op::Cut(there, fault) => {
                self.disturbed |= !matches!(fault, Fault::Stall(_));
                if there {
                    self.pair.there.fault_now(fault);
                } else {
                    self.pair.back.fault_now(fault);
                }
                Ok(())
            }
        }
    }

    fn may_start(&self, fds: Option<&[u32]>) -> Result<(), Misuse> {
        let sound = |fds: &[u32]| {
            let set: BTreeSet<_> = fds.iter().collect();
            set.len() == fds.len() && fds.iter().all(|fd| *fd > 2)
        };
        if !fds.is_none_or(sound) {
            Err(Misuse::Descriptors)
        } else if self.mute() {
            Err(Misuse::Closed)
        } else if self.purpose.is_some() {
            Err(Misuse::AlreadyStarted)
        } else {
            Ok(())
        }
    }

    fn exec(&mut self, fds: Vec<u32>) -> Result<(), Broken> {
        let expected = self.may_start(Some(&fds));
        let request =
            ExecRequest { path: "/bin/x".into(), fds: fds.clone(), ..ExecRequest::default() };
        let got = self.pair.a.exec(self.pair.now(), request, None);
        if got.is_ok() {
            (self.purpose, self.fds) = (Some(Purpose::Exec), fds);
        }
        same("exec", &got, &expected)
    }

    fn request(&mut self, op: u8) -> Result<(), Broken> {
        let room = self.waiting.len() < self.limits.0.in_flight;
        let expected = match self.purpose {
            _ if self.mute() => Err(Misuse::Closed),
            Some(Purpose::Exec | Purpose::Paths) => Err(Misuse::AlreadyStarted),
            _ if !room => Err(Misuse::Busy),
            _ => Ok(()),
        };
        let got = self.pair.a.request(FileRequest { op: FileOp(op), ..FileRequest::default() });
        if let Ok(id) = got {
            self.purpose = Some(Purpose::Files);
            let fresh = self.waiting.insert(id) && !self.cancelled.contains(&id);
            hold("P-LOSS", fresh, || format!("the number {id} twice"))?;
        }
        let got = got.map(drop);
        self.refused |= got == Err(Misuse::Busy);
        // Frames that wait to be sent count too.
        let unsent = got == Err(Misuse::Busy) && self.pair.a.stats().queued_out > 0;
        if unsent { Ok(()) } else { same("request", &got, &expected) }
    }

    fn write(&mut self, stream: u32, size: usize) -> Result<(), Broken> {
        let room = self.pair.a.write_room(stream);
        let expected = if !self.is_input(stream) {
            Write::Unknown
        } else if self.finished.contains(&stream) || self.mute() {
            Write::Closed
        } else if room == 0 && size > 0 {
            Write::Blocked
        } else {
            Write::Accepted(size.min(room))
        };
        let bytes = self.bytes(size);
        let got = self.pair.a.write(stream, &bytes);
        if let Write::Accepted(taken) = got {
            self.there.accepted(stream, bytes.slice(..taken));
        }
        same("write", &got, &expected)
    }

    fn read(&mut self, stream: u32, max: usize) -> Result<bool, Broken> {
        let known = self.is_output(stream) && !self.forgotten.contains(&stream);
        match self.pair.a.read(stream, max) {
            Read::Data(bytes) => {
                hold("P-LOSS", known, || format!("bytes of stream {stream}"))?;
                self.back.delivered(stream, &bytes).map(|()| true)
            }
            Read::End => self.back.ended(stream).map(|()| false),
            Read::Lost => {
                hold("P-ERR", self.closed_reason().is_some(), || "lost, and not over".into())?;
                Ok(false)
            }
            Read::Empty => {
                hold("P-ERR", self.pair.a.closed().is_none(), || "empty, and over".into())?;
                Ok(false)
            }
            Read::Unknown => {
                hold("P-ERR", !known, || format!("stream {stream} is unknown")).map(|()| false)
            }
            _ => Ok(false),
        }
    }

    fn closed_reason(&self) -> Option<&CloseReason> {
        self.pair.a.closed()
    }

    fn host_write(&mut self, stream: u32, size: usize) -> Result<(), Broken> {
        let bytes = self.bytes(size);
        let over = self.host_finished.contains(&stream) || self.pair.b.closed().is_some();
        let got = self.pair.b.write(stream, &bytes);
        if let Write::Accepted(taken) = got {
            hold("P-LOSS", self.started && self.is_output(stream) && !over, || {
                format!("stream {stream} took {taken} bytes")
            })?;
            self.back.accepted(stream, bytes.slice(..taken));
        }
        Ok(())
    }

    fn host_read(&mut self, stream: u32, max: usize) -> Result<bool, Broken> {
        match self.pair.b.read(stream, max) {
            Read::Data(bytes) => self.there.delivered(stream, &bytes).map(|()| true),
            // The end of the caller is the end of every input.
            Read::End if self.disturbed => Ok(false),
            Read::End => self.there.ended(stream).map(|()| false),
            _ => Ok(false),
        }
    }

    fn local_events(&mut self) -> Result<bool, Broken> {
        let mut told = false;
        while let Some(event) = self.pair.a.poll_event() {
            told = true;
            hold("P-ERR", !self.closed, || format!("{event:?} behind the end"))?;
            let fits = match &event {
                LocalEvent::Exited { code, .. } => {
                    let first = !std::mem::replace(&mut self.exited, true);
                    let finished = [1, 2].iter().chain(&self.fds);
                    let all = finished.into_iter().all(|it| self.host_finished.contains(it));
                    first && Some(*code) == self.exit && all
                }
                LocalEvent::Response(response) => {
                    let id = response.id;
                    self.waiting.remove(&id) && response.path == format!("/{id}")
                }
                LocalEvent::RequestLost(id) => {
                    self.waiting.remove(id) && self.pair.a.closed().is_some()
                }
                LocalEvent::RequestTimedOut(id) => {
                    let waited = self.waiting.remove(id);
                    waited && self.cancelled.insert(*id)
                }
                LocalEvent::RequestRoom => std::mem::take(&mut self.refused),
                LocalEvent::Readable(stream) => self.is_output(*stream),
                LocalEvent::Writable(stream) => self.is_input(*stream),
                LocalEvent::Paths(_) => self.purpose == Some(Purpose::Paths),
                LocalEvent::Closed(reason) => {
                    self.closed = true;
                    let known = match reason {
                        CloseReason::Local | CloseReason::Transport { .. } => self.disturbed,
                        CloseReason::Eof { .. } => self.disturbed || self.agent_closed,
                        CloseReason::Peer { .. } => true,
                        // The first request was not answered in time.
                        CloseReason::Timeout(_) => self.purpose == Some(Purpose::Files),
                        _ => false,
                    };
                    known && self.pair.a.closed() == Some(reason)
                }
                LocalEvent::Log(_) => true,
                _ => false,
            };
            hold("P-ERR", fits, || format!("{event:?}"))?;
        }
        Ok(told)
    }

    fn agent_events(&mut self) -> Result<bool, Broken> {
        let mut told = false;
        while let Some(event) = self.pair.b.poll_event() {
            told = true;
            hold("P-ERR", !self.agent_closed, || format!("{event:?} behind the agent's end"))?;
            let fits = match &event {
                AgentEvent::Exec(request, None) => {
                    let first = !std::mem::replace(&mut self.started, true);
                    self.pair.b.started(1);
                    first && self.purpose == Some(Purpose::Exec) && request.fds == self.fds
                }
                AgentEvent::PathQuery(_) => {
                    self.asked_paths = true;
                    self.purpose == Some(Purpose::Paths)
                }
                AgentEvent::FileRequest(request) => {
                    let id = request.id;
                    self.asked.push(id);
                    // A close of its own is the machine's, and the question which operations the
                    // agent knows; every other was asked for.
                    let own = request.op == FileOp::CLOSE && request.handle != 0
                        || request.op == FileOp::GETWD && id == u32::MAX;
                    own || self.waiting.contains(&id) || self.cancelled.contains(&id) || self.closed
                }
                AgentEvent::Signal(signal) => {
                    self.signals_seen.push(*signal);
                    self.signals_fit()
                }
                AgentEvent::Readable(stream) => self.is_input(*stream),
                AgentEvent::Writable(stream) => self.is_output(*stream),
                AgentEvent::Closed(reason) => {
                    self.agent_closed = true;
                    self.pair.b.closed() == Some(reason)
                }
                _ => false,
            };
            hold("P-ERR", fits, || format!("the agent says {event:?}"))?;
        }
        Ok(told)
    }

    /// Signals arrive in order and once; those of a hang-up come last.
    fn signals_fit(&self) -> bool {
        let any = self.agent_config.signal_numbers == SignalNumbers::Any;
        let hang_up = matches!(self.agent_config.lost_input, LostInput::HangUp { .. });
        let most = if hang_up && self.disturbed { 2 } else { 0 };
        // One that was sent and lost may look like that of a hang-up.
        (0..=most.min(self.signals_seen.len())).any(|count| {
            let (seen, last) = self.signals_seen.split_at(self.signals_seen.len() - count);
            let mut sent = self.signals.iter().filter(|it| any || (0..=64).contains(*it));
            [1, 9].starts_with(last) && seen.iter().all(|seen| sent.any(|sent| sent == seen))
        })
    }

    /// What is true at any time.
    fn check(&self) -> Result<(), Broken> {
        let (local, agent) = (self.pair.a.stats(), self.pair.b.stats());
        for (name, stats, limits) in
            [("local", local, &self.limits.0), ("agent", agent, &self.limits.1)]
        {
            // One frame may come on top, and control frames: each is small here.
            let slack = 64 << 10;
            within(&format!("{name}, unread"), stats.queued_in, limits.session_queue + slack)?;
            within(&format!("{name}, unsent"), stats.queued_out, limits.session_queue + slack)?;
        }
        same("requests in flight", &self.pair.a.in_flight(), &self.waiting.len())?;
        same("local over", &self.pair.a.closed().is_some(), &self.closed)?;
        same("agent over", &self.pair.b.closed().is_some(), &self.agent_closed)
    }

    /// Lets everything go through, and looks whether it has.
    pub(crate) fn finish(&mut self) -> Result<(), Broken> {
        self.pair.there.allow(None);
        self.pair.back.allow(None);
        // What the user does in one round may come to something in the next.
        let mut quiet = 0;
        while quiet < 4 {
            self.settle()?;
            let mut moved = false;
            for stream in [0, 1, 2, 3, 5] {
                moved |= self.read(stream, usize::MAX)? | self.host_read(stream, usize::MAX)?;
                let (finish, host_finish) = (Op::Finish(stream), Op::HostFinish(stream));
                self.act(finish)?;
                self.act(host_finish)?;
            }
            moved |= !self.asked.is_empty();
            while !self.asked.is_empty() {
                self.act(Op::HostAnswer(0))?;
            }
            self.act(Op::HostExit(3))?;
            self.act(Op::HostPaths)?;
            self.settle()?;
            self.check()?;
            quiet = if moved || self.pair.advance() { 0 } else { quiet + 1 };
        }
        if self.disturbed {
            return Ok(());
        }
        self.back.settled()?;
        match self.purpose {
            Some(Purpose::Exec) => hold("P-LOSS", self.exited && self.agent_closed, || {
                format!("it never exited\n{}", self.pair.trace)
            }),
            Some(Purpose::Files) => {
                hold("P-LOSS", self.waiting.is_empty(), || format!("{:?} wait", self.waiting))
            }
            Some(Purpose::Paths) => {
                hold("P-LOSS", self.closed && self.agent_closed, || "no answer".into())
            }
            None => Ok(()),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, expected: &T) -> Result<(), Broken> {
    hold("P-ERR", got == expected, || format!("{what}: {got:?}, expected {expected:?}"))
}
