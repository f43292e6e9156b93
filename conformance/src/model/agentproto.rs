//! A caller and a command for the two machines of agentproto.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use trunkline_core::agentproto::{
    Agent, AgentEvent, ExecRequest, FileOp, FileResponse, Local, LocalEvent, Read, Write,
};
use trunkline_core::{CloseReason, Machine as _};

use crate::laws::{Broken, Ledger, over_once};
use crate::sim::Rng;

/// The bytes that are written again and again: a prime number of them, so that no power of two fits.
const BLOCK: usize = 65_521;

/// So many bytes for one stream, written as there is room.
#[derive(Clone, Debug)]
pub struct Supply {
    block: Bytes,
    given: u64,
    left: u64,
    finished: bool,
}

impl Supply {
    /// So many bytes, which differ from those of other seeds.
    #[must_use]
    pub fn new(count: u64, seed: u64) -> Self {
        let block = Rng::new(seed).bytes(BLOCK).into();
        Self { block, given: 0, left: count, finished: false }
    }

    /// The next bytes, at most so many; never more than one block.
    pub(super) fn next(&self, most: usize) -> Bytes {
        let start = usize::try_from(self.given % BLOCK as u64).unwrap_or(0);
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let end = BLOCK.min(start.saturating_add(most)).min(start.saturating_add(left));
        self.block.slice(start..end)
    }

    /// Whether everything was given.
    pub(super) const fn is_empty(&self) -> bool {
        self.left == 0
    }

    pub(super) fn gave(&mut self, count: usize) {
        self.given += count as u64;
        self.left = self.left.saturating_sub(count as u64);
    }
}

/// When the command of an [`Exchange`] exits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exits {
    /// Once it has read every input to its end and written every output.
    #[default]
    AtTheEnd,
    /// Once it has written every output, whatever input there still is.
    WhenWritten,
    /// Never, whatever signals it is sent.
    Never,
}

/// A caller above a [`Local`], a command below an [`Agent`], and the books of both.
///
/// Hand [`turn`](Self::turn) to a pair. Nothing that is wrong is passed over: the first law that is
/// broken is kept, and [`verdict`](Self::verdict) tells it.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// What the caller writes.
    pub input: BTreeMap<u32, Supply>,
    /// What the command writes.
    pub output: BTreeMap<u32, Supply>,
    /// When the command exits, and with which code.
    pub exits: Exits,
    /// The exit code.
    pub code: i64,
    /// The caller reads nothing.
    pub caller_sleeps: bool,
    /// The command reads nothing.
    pub command_sleeps: bool,
    /// Who acts does so at random, a little at a time.
    pub moody: Option<Rng>,
    /// The books of the inputs and of the outputs.
    pub there: Ledger,
    /// The books of the outputs.
    pub back: Ledger,
    /// What the caller was told of the command's end.
    pub exited: Option<(i64, String)>,
    /// Streams that the caller lost.
    pub lost: Vec<u32>,
    /// The signals that the command was sent.
    pub signals: Vec<i32>,
    told: Vec<LocalEvent>,
    asked: Vec<AgentEvent>,
    running: bool,
    exit_reported: bool,
    /// What each end waits for, or need not wait for.
    at_caller: Waits,
    at_command: Waits,
    broken: Option<Broken>,
}

/// The streams of one end: who may write, who may read, and who is through.
#[derive(Clone, Debug, Default)]
struct Waits {
    /// Refused writers, until they are told.
    blocked: BTreeSet<u32>,
    /// Streams that were announced and not found empty since.
    readable: BTreeSet<u32>,
    /// Streams that have ended, in order or not.
    ended: BTreeSet<u32>,
}

impl Exchange {
    /// So many bytes of each of these inputs and outputs, and an exit at their end with code 7.
    #[must_use]
    pub fn new(input: &[(u32, u64)], output: &[(u32, u64)]) -> Self {
        let supplies = |sizes: &[(u32, u64)]| {
            let supply =
                |(stream, size): &(u32, u64)| (*stream, Supply::new(*size, u64::from(*stream)));
            sizes.iter().map(supply).collect()
        };
        Self { input: supplies(input), output: supplies(output), code: 7, ..Self::default() }
    }

    /// The request whose extra descriptors are those that have supplies.
    #[must_use]
    pub fn request(&self) -> ExecRequest {
        let named = self.input.keys().chain(self.output.keys()).copied();
        let fds: BTreeSet<u32> = named.filter(|fd| *fd > 2).collect();
        ExecRequest {
            path: "/bin/x".into(),
            fds: fds.into_iter().collect(),
            ..ExecRequest::default()
        }
    }

    /// Both ends' turn; says whether anything was done.
    pub fn turn(&mut self, local: &mut Local, agent: &mut Agent) -> bool {
        self.caller(local) | self.command(agent)
    }

    /// The caller's turn.
    pub fn caller(&mut self, local: &mut Local) -> bool {
        if self.pauses() {
            return true;
        }
        let mut moved = false;
        while let Some(event) = local.poll_event() {
            match &event {
                LocalEvent::Exited { code, text } => self.exited = Some((*code, text.clone())),
                LocalEvent::Readable(stream) => drop(self.at_caller.readable.insert(*stream)),
                LocalEvent::Writable(stream) => drop(self.at_caller.blocked.remove(stream)),
                // What is left can be read, and nothing more is announced.
                LocalEvent::Closed(_) => {
                    let streams = [1, 2].into_iter().chain(self.request().fds);
                    self.at_caller.readable.extend(streams);
                }
                _ => {}
            }
            self.told.push(event);
            moved = true;
        }
        let most = self.most();
        let blocked = &mut self.at_caller.blocked;
        for (stream, supply) in &mut self.input {
            let take = |bytes: &Bytes| local.write(*stream, bytes);
            moved |= write(supply, most, &mut self.there, *stream, blocked, take);
            if supply.left == 0 && !supply.finished && local.finish(*stream) {
                supply.finished = true;
                self.there.finished(*stream);
                moved = true;
            }
        }
        if !self.caller_sleeps {
            for stream in self.at_caller.readable.clone() {
                moved |= self.caller_reads(local, stream, most);
            }
        }
        moved
    }

    fn caller_reads(&mut self, local: &mut Local, stream: u32, most: usize) -> bool {
        if self.at_caller.ended.contains(&stream) {
            self.at_caller.readable.remove(&stream);
            return false;
        }
        match local.read(stream, most) {
            Read::Data(bytes) => {
                let booked = self.back.delivered(stream, &bytes);
                self.note(booked);
                return true;
            }
            Read::End => {
                self.at_caller.ended.insert(stream);
                let booked = self.back.ended(stream);
                self.note(booked);
                return true;
            }
            Read::Lost => {
                self.at_caller.ended.insert(stream);
                self.lost.push(stream);
            }
            _ => drop(self.at_caller.readable.remove(&stream)),
        }
        false
    }

    /// The command's turn, and its host's.
    pub fn command(&mut self, agent: &mut Agent) -> bool {
        if self.pauses() {
            return true;
        }
        let mut moved = false;
        while let Some(event) = agent.poll_event() {
            match &event {
                AgentEvent::Exec(..) => {
                    self.running = true;
                    agent.started(1);
                }
                AgentEvent::Signal(signal) => self.signals.push(*signal),
                AgentEvent::Readable(stream) => drop(self.at_command.readable.insert(*stream)),
                AgentEvent::Writable(stream) => drop(self.at_command.blocked.remove(stream)),
                AgentEvent::FileRequest(request) => {
                    agent.respond(FileResponse { id: request.id, ..FileResponse::default() });
                    // The machine's own question, which operations the agent knows.
                    if request.op == FileOp::GETWD && request.id == u32::MAX {
                        moved = true;
                        continue;
                    }
                }
                _ => {}
            }
            self.asked.push(event);
            moved = true;
        }
        if !self.running || agent.closed().is_some() {
            return moved;
        }
        let most = self.most();
        let blocked = &mut self.at_command.blocked;
        for (stream, supply) in &mut self.output {
            let take = |bytes: &Bytes| agent.write(*stream, bytes);
            moved |= write(supply, most, &mut self.back, *stream, blocked, take);
            if supply.left == 0 && !supply.finished {
                supply.finished = true;
                agent.finish(*stream);
                self.back.finished(*stream);
                moved = true;
            }
        }
        if !self.command_sleeps {
            for stream in self.at_command.readable.clone() {
                moved |= self.command_reads(agent, stream, most);
            }
        }
        moved | self.exit(agent)
    }

    fn command_reads(&mut self, agent: &mut Agent, stream: u32, most: usize) -> bool {
        match agent.read(stream, most) {
            Read::Data(bytes) => {
                let booked = self.there.delivered(stream, &bytes);
                self.note(booked);
                true
            }
            Read::End => {
                self.at_command.readable.remove(&stream);
                self.at_command.ended.insert(stream);
                // The end of the link ends every input: that is no promise that all has come.
                if self.signals.is_empty() && agent.poll_timeout().is_none() {
                    let booked = self.there.ended(stream);
                    self.note(booked);
                }
                true
            }
            _ => {
                self.at_command.readable.remove(&stream);
                false
            }
        }
    }

    fn exit(&mut self, agent: &mut Agent) -> bool {
        let written = self.output.values().all(|supply| supply.finished);
        let read = self.input.keys().all(|stream| self.at_command.ended.contains(stream));
        let due = match self.exits {
            Exits::AtTheEnd => written && read,
            Exits::WhenWritten => written,
            Exits::Never => return false,
        } || !self.signals.is_empty();
        if !due || std::mem::replace(&mut self.exit_reported, true) {
            return false;
        }
        for stream in [1, 2].into_iter().chain(self.request().fds) {
            agent.finish(stream);
            self.back.finished(stream);
        }
        agent.exited(self.code);
        true
    }

    /// The first law that was broken, or that is at the end.
    ///
    /// # Errors
    ///
    /// [`Broken`], with the law.
    pub fn verdict(&self, local: &Local, agent: &Agent) -> Result<(), Broken> {
        self.broken.clone().map_or(Ok(()), Err)?;
        over_once(local, &self.told, |event| match event {
            LocalEvent::Closed(reason) => Some(reason),
            _ => None,
        })?;
        over_once(agent, &self.asked, |event| match event {
            AgentEvent::Closed(reason) => Some(reason),
            _ => None,
        })
    }

    /// The exchange went through: everything has arrived, the exit code too, and both ends are over.
    ///
    /// # Errors
    ///
    /// [`Broken`] when something is missing, and as for [`verdict`](Self::verdict).
    pub fn went_through(&self, local: &Local, agent: &Agent) -> Result<(), Broken> {
        self.verdict(local, agent)?;
        self.back.settled()?;
        if self.exits == Exits::AtTheEnd {
            self.there.settled()?;
        }
        let expected = (self.code, String::new());
        let over = matches!(local.closed(), Some(CloseReason::Peer { .. }))
            && matches!(agent.closed(), Some(CloseReason::Eof { .. }));
        crate::laws::hold("P-LOSS", over && self.exited.as_ref() == Some(&expected), || {
            format!("ended as {:?}, {:?} and {:?}", self.exited, local.closed(), agent.closed())
        })
    }

    /// Everything that the caller was told, in order.
    #[must_use]
    pub fn told(&self) -> &[LocalEvent] {
        &self.told
    }

    fn note(&mut self, outcome: Result<(), Broken>) {
        if let Err(broken) = outcome {
            self.broken.get_or_insert(broken);
        }
    }

    fn pauses(&mut self) -> bool {
        self.moody.as_mut().is_some_and(|rng| rng.once_in(2))
    }

    fn most(&mut self) -> usize {
        self.moody.as_mut().map_or(usize::MAX, |rng| {
            let most = if rng.once_in(2) { 9 } else { 100_000 };
            rng.up_to(most)
        })
    }
}

/// Writes what a stream takes, unless its writer waits for room; says whether it took anything.
fn write(
    supply: &mut Supply,
    most: usize,
    books: &mut Ledger,
    stream: u32,
    blocked: &mut BTreeSet<u32>,
    take: impl FnOnce(&Bytes) -> Write,
) -> bool {
    if supply.left == 0 || blocked.contains(&stream) {
        return false;
    }
    let bytes = supply.next(most);
    let outcome = take(&bytes);
    let taken = if let Write::Accepted(taken) = outcome { taken } else { 0 };
    if taken < bytes.len() {
        blocked.insert(stream);
    }
    books.accepted(stream, bytes.slice(..taken));
    supply.gave(taken);
    taken > 0
}
