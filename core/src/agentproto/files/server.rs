//! The side that serves files, without a file system: which request runs when, and on what.
//! `docs/protocols/agentproto.md` sections 8 and 15.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use super::refusal::{self, Refusal};
use crate::Limits;
use crate::agentproto::fileop::{FileOp, FileRequest, FileResponse};
use crate::agentproto::log::cut;

/// One request for the host to perform, on the open file that it names, if it names one.
#[derive(Debug)]
pub struct Job<H> {
    /// Its number, for [`FileServer::done`]; never used twice.
    pub id: u64,
    /// The request, its read size cut to the limit.
    pub request: FileRequest,
    /// The open file. That of a Close is the last there is, so dropping it closes the file: it, and
    /// every other job's, must be dropped before `done` is called.
    pub handle: Option<H>,
}

/// Requests in, jobs for a host's workers out; outcomes in, answers out.
///
/// Owns the table of handles: `H` is what an open file is to the host, most often an `Arc`. It does
/// nothing itself and never waits; what needs no file system is answered at once.
///
/// - **Order.** Reads and attributes of one handle may run side by side. Everything else on a handle
///   runs alone, and all of it starts in the order of arrival, Close last. A handle is gone for later
///   requests once its Close has arrived, even if closing fails. Requests on paths, and those on
///   other handles, wait for none of that.
/// - **Fairness.** Handles and paths take turns. One handle has at most half of the jobs that run at
///   once, listings of directories a quarter, all other requests on paths three quarters. What takes
///   long is [set aside](Self::set_aside), so that no number of stuck requests stops the others.
/// - **Bounds.** As many requests wait as were put in: [`Agent`](crate::agentproto::Agent) bounds
///   them. Handles are bounded by [`Limits::handles`], reads by [`Limits::read_size`].
#[derive(Debug)]
pub struct FileServer<H> {
    handles: BTreeMap<u32, Open<H>>,
    /// The number given out last.
    last: u32,
    paths: Lane,
    lists: Lane,
    /// Lanes whose first request may start, in order of turn.
    round: VecDeque<Turn>,
    running: BTreeMap<u64, Running>,
    /// How many of those that run were set aside.
    aside: usize,
    /// Opens that run, each of which may become a handle.
    opening: usize,
    /// Handles whose Close has arrived, but has not begun.
    closing: usize,
    last_job: u64,
    answers: VecDeque<FileResponse>,
    /// Opened behind the end: nobody will close them.
    orphans: Vec<H>,
    /// The session is over; nothing is answered any more.
    over: bool,
    jobs: usize,
    most_handles: usize,
    read_size: i64,
    text: usize,
}

/// An open file, and what waits for it.
#[derive(Debug)]
struct Open<H> {
    file: H,
    /// As it was opened, for messages.
    path: String,
    /// A Close has arrived.
    closing: bool,
    lane: Lane,
}

/// Requests of which the first must start before the second.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<FileRequest>,
    running: usize,
    /// What runs must run alone.
    alone: bool,
    /// Stands in the round.
    ready: bool,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Paths,
    Lists,
    Handle(u32),
}

/// A job that was handed out.
#[derive(Debug)]
struct Running {
    request: u32,
    /// Where it counts; a Close has left its lane, which is gone.
    turn: Option<Turn>,
    /// It takes long, and counts no more among those that run at once.
    aside: bool,
    /// The path that it opens.
    opens: Option<String>,
}

impl<H: Clone> FileServer<H> {
    /// A server without handles, of which so many jobs may run at once, at least one.
    #[must_use]
    pub fn new(limits: &Limits, jobs: usize) -> Self {
        Self {
            handles: BTreeMap::new(),
            last: 0,
            paths: Lane::default(),
            lists: Lane::default(),
            round: VecDeque::new(),
            running: BTreeMap::new(),
            aside: 0,
            opening: 0,
            closing: 0,
            last_job: 0,
            answers: VecDeque::new(),
            orphans: Vec::new(),
            over: false,
            jobs: jobs.max(1),
            most_handles: limits.handles,
            read_size: i64::try_from(limits.read_size).unwrap_or(i64::MAX),
            text: limits.exit_text,
        }
    }

    /// Takes a request in; its answer comes out once. Behind [`close_all`](Self::close_all) it is
    /// dropped.
    pub fn request(&mut self, mut request: FileRequest) {
        if self.over {
            return;
        }
        let turn = match request.op {
            FileOp::READ_DIR => Turn::Lists,
            op if refusal::is_on_handle(op) => Turn::Handle(request.handle),
            _ => Turn::Paths,
        };
        match self.admit(&mut request) {
            Err(refusal) => self.refuse(request.id, refusal),
            // A read of nothing succeeds, whatever the offset.
            Ok(()) if request.op == FileOp::READ_AT && request.size <= 0 => {
                let id = request.id;
                self.answers.push_back(FileResponse { id, ..FileResponse::default() });
            }
            Ok(()) => {
                if let Some(lane) = self.lane(turn) {
                    lane.waiting.push_back(request);
                }
                self.make_ready(turn);
            }
        }
    }

    /// What can be said about a request without a file system.
    fn admit(&mut self, request: &mut FileRequest) -> Result<(), Refusal> {
        if !refusal::is_on_handle(request.op) {
            return refusal::of_paths(request);
        }
        let open = self.handles.get_mut(&request.handle).filter(|open| !open.closing);
        let open = open.ok_or_else(refusal::unknown_handle)?;
        if request.op == FileOp::READ_AT && request.size > 0 {
            if request.offset < 0 {
                return Err(refusal::negative_offset(&open.path));
            }
            request.size = request.size.min(self.read_size);
        } else if request.op == FileOp::CLOSE {
            open.closing = true;
            self.closing += 1;
        }
        Ok(())
    }

    /// The next job that may run now. Ask until there is none, after every
    /// [`request`](Self::request), [`done`](Self::done) and [`close_all`](Self::close_all).
    pub fn poll_job(&mut self) -> Option<Job<H>> {
        if self.running.len().saturating_sub(self.aside) >= self.jobs {
            return None;
        }
        if let Some(file) = self.orphans.pop() {
            return Some(self.close(FileRequest::default(), file));
        }
        while let Some(turn) = self.round.pop_front() {
            let most = self.most(turn);
            let Some(lane) = self.lane(turn) else { continue };
            lane.ready = false;
            if !lane.may_start(most) {
                continue;
            }
            let Some(request) = lane.waiting.pop_front() else { continue };
            if request.op == FileOp::CLOSE {
                let Turn::Handle(number) = turn else { continue };
                let Some(open) = self.handles.remove(&number) else { continue };
                self.closing = self.closing.saturating_sub(1);
                return Some(self.close(request, open.file));
            }
            let opens = refusal::opens(request.op).then(|| request.path.clone());
            // Those that are about to be closed make room.
            let open = self.handles.len().saturating_sub(self.closing).saturating_add(self.opening);
            if opens.is_some() && open >= self.most_handles {
                self.make_ready(turn);
                self.refuse(request.id, refusal::too_many_handles(&request.path));
                continue;
            }
            self.opening += usize::from(opens.is_some());
            let handle = self.begin(turn, refusal::is_shared(request.op));
            let running = Running { request: request.id, turn: Some(turn), aside: false, opens };
            return Some(self.job(request, handle, running));
        }
        None
    }

    /// Counts what starts in a lane, and gives the file it is about.
    fn begin(&mut self, turn: Turn, shared: bool) -> Option<H> {
        if let Some(lane) = self.lane(turn) {
            lane.running += 1;
            lane.alone = !shared;
        }
        self.make_ready(turn);
        match turn {
            Turn::Handle(number) => self.handles.get(&number).map(|open| open.file.clone()),
            Turn::Paths | Turn::Lists => None,
        }
    }

    fn close(&mut self, request: FileRequest, file: H) -> Job<H> {
        let request = FileRequest { op: FileOp::CLOSE, ..request };
        let running = Running { request: request.id, turn: None, aside: false, opens: None };
        self.job(request, Some(file), running)
    }

    fn job(&mut self, request: FileRequest, handle: Option<H>, running: Running) -> Job<H> {
        self.last_job += 1;
        self.running.insert(self.last_job, running);
        Job { id: self.last_job, request, handle }
    }

    /// What became of a job: the answer, whose id is set here, and the file that it opened.
    ///
    /// A second outcome of one job is dropped, and so is a file that nobody asked to open.
    pub fn done(&mut self, job: u64, mut response: FileResponse, opened: Option<H>) {
        let Some(Running { request, turn, aside, opens }) = self.running.remove(&job) else {
            return;
        };
        self.aside = self.aside.saturating_sub(usize::from(aside));
        self.leave(turn);
        response.id = request;
        response.handle = 0;
        self.opening = self.opening.saturating_sub(usize::from(opens.is_some()));
        if let (Some(path), Some(file)) = (opens, opened) {
            if self.over {
                self.orphans.push(file);
            } else {
                response.handle = self.enter(file, path);
            }
        }
        self.answer(response);
    }

    /// Lets another job run in the place of one that takes long: it may never end. Requests on the
    /// same handle go on waiting for it, as their order asks.
    pub fn set_aside(&mut self, job: u64) {
        let Some(running) = self.running.get_mut(&job).filter(|running| !running.aside) else {
            return;
        };
        running.aside = true;
        self.aside += 1;
        if matches!(running.turn, Some(Turn::Paths | Turn::Lists)) {
            let turn = running.turn.take();
            self.leave(turn);
        }
    }

    /// What ran in a lane runs there no more.
    fn leave(&mut self, turn: Option<Turn>) {
        let Some(turn) = turn else { return };
        if let Some(lane) = self.lane(turn) {
            lane.running = lane.running.saturating_sub(1);
            lane.alone = false;
        }
        self.make_ready(turn);
    }

    /// Gives a file the next number that is free: from 1 up, never one again before all had their
    /// turn, and never 0.
    fn enter(&mut self, file: H, path: String) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.handles.contains_key(&self.last) {
                break;
            }
        }
        let open = Open { file, path, closing: false, lane: Lane::default() };
        self.handles.insert(self.last, open);
        self.last
    }

    /// The next answer.
    pub fn poll_response(&mut self) -> Option<FileResponse> {
        self.answers.pop_front()
    }

    /// The session is over: what waits is dropped, nothing is answered any more, and every handle is
    /// closed by a job of its own, once what runs on it is done. So is what is still being opened.
    pub fn close_all(&mut self) {
        self.over = true;
        self.answers.clear();
        self.round.clear();
        for lane in [&mut self.paths, &mut self.lists] {
            lane.waiting.clear();
            lane.ready = false;
        }
        self.closing = self.handles.len();
        let numbers: Vec<u32> = self.handles.keys().copied().collect();
        for number in numbers {
            if let Some(open) = self.handles.get_mut(&number) {
                open.closing = true;
                open.lane.waiting.clear();
                open.lane.ready = false;
                let op = FileOp::CLOSE;
                open.lane.waiting.push_back(FileRequest { op, ..FileRequest::default() });
            }
            self.make_ready(Turn::Handle(number));
        }
    }

    /// Takes every file out of the table, for a host that must let go of them without jobs. Ends the
    /// service as [`close_all`](Self::close_all) does.
    pub fn take_files(&mut self) -> Vec<H> {
        self.close_all();
        let files = core::mem::take(&mut self.handles).into_values().map(|open| open.file);
        files.chain(self.orphans.drain(..)).collect()
    }

    /// Whether nothing runs and nothing waits to.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.round.is_empty() && self.orphans.is_empty()
    }

    /// Handles that are open, those included whose Close has not begun.
    #[must_use]
    pub fn handles(&self) -> usize {
        self.handles.len()
    }

    fn refuse(&mut self, id: u32, refusal: Refusal) {
        let Refusal { errno, message } = refusal;
        self.answer(FileResponse { id, errno, message, ..FileResponse::default() });
    }

    fn answer(&mut self, mut response: FileResponse) {
        if !self.over {
            cut(&mut response.message, self.text);
            self.answers.push_back(response);
        }
    }

    fn lane(&mut self, turn: Turn) -> Option<&mut Lane> {
        match turn {
            Turn::Paths => Some(&mut self.paths),
            Turn::Lists => Some(&mut self.lists),
            Turn::Handle(number) => self.handles.get_mut(&number).map(|open| &mut open.lane),
        }
    }

    /// How many jobs of a lane may run at once.
    fn most(&self, turn: Turn) -> usize {
        let most = match turn {
            Turn::Handle(_) => self.jobs / 2,
            Turn::Lists => self.jobs / 4,
            Turn::Paths => self.jobs - self.jobs / 4,
        };
        most.max(1)
    }

    fn make_ready(&mut self, turn: Turn) {
        let most = self.most(turn);
        if let Some(lane) = self.lane(turn)
            && lane.may_start(most)
            && !core::mem::replace(&mut lane.ready, true)
        {
            self.round.push_back(turn);
        }
    }
}

impl Lane {
    fn may_start(&self, most: usize) -> bool {
        match self.waiting.front() {
            Some(first) if refusal::is_shared(first.op) => !self.alone && self.running < most,
            Some(_) => self.running == 0,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(server: &mut FileServer<()>) -> u32 {
        server.request(FileRequest { op: FileOp::OPEN, ..FileRequest::default() });
        let job = server.poll_job().unwrap();
        server.done(job.id, FileResponse::default(), Some(()));
        server.poll_response().unwrap().handle
    }

    #[test]
    fn numbers_that_wrap_skip_zero_and_what_is_still_open() {
        let mut server = FileServer::new(&Limits::default(), 1);
        assert_eq!([(); 3].map(|()| open(&mut server)), [1, 2, 3]);
        server.request(FileRequest { op: FileOp::CLOSE, handle: 2, ..FileRequest::default() });
        let close = server.poll_job().unwrap();
        server.done(close.id, FileResponse::default(), close.handle);
        assert!(server.poll_response().is_some());
        server.last = u32::MAX - 1;
        assert_eq!([(); 4].map(|()| open(&mut server)), [u32::MAX, 2, 4, 5]);
    }
}
