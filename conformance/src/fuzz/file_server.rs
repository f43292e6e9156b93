//! A host of files for the agent's side: the server of files, with jobs that end in any order and any
//! way. `docs/protocols/agentproto.md` sections 8 and 15.

use std::rc::{Rc, Weak};

use trunkline_core::Limits;
use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse, FileServer, Job};

use super::frames::response;
use super::ops::Ops;

/// How many jobs run at once.
const JOBS: usize = 5;

/// The server of files and the jobs that run.
///
/// Holds: no more jobs run than may; what must run alone on a handle does; a read is never larger
/// than its limit; a handle's Close gets the last of its file; no more files are open than may be,
/// and none is behind the end.
pub(super) struct Files {
    server: FileServer<Rc<()>>,
    running: Vec<Job<Rc<()>>>,
    opened: Vec<Weak<()>>,
    limits: Limits,
    over: bool,
}

impl Files {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            server: FileServer::new(limits, JOBS),
            running: Vec::new(),
            opened: Vec::new(),
            limits: limits.clone(),
            over: false,
        }
    }

    pub(super) fn request(&mut self, request: FileRequest) {
        self.server.request(request);
    }

    /// Starts what may run; gives the answers that there are.
    pub(super) fn step(&mut self) -> Vec<FileResponse> {
        while let Some(job) = self.server.poll_job() {
            assert!(!self.over || job.request.op == FileOp::CLOSE, "begun behind the end");
            let (op, size) = (job.request.op, job.request.size);
            let most = i64::try_from(self.limits.read_size).unwrap_or(i64::MAX);
            assert!(op != FileOp::READ_AT || (1..=most).contains(&size), "a read of {size}");
            if let Some(file) = &job.handle {
                self.check_order(op, file);
            }
            self.running.push(job);
            assert!(self.running.len() <= JOBS, "too many at once");
        }
        self.opened.retain(|file| file.strong_count() > 0);
        let most = self.limits.handles + self.limits.in_flight;
        assert!(self.opened.len() <= most, "{} files are open", self.opened.len());
        std::iter::from_fn(|| self.server.poll_response()).collect()
    }

    fn check_order(&self, op: FileOp, file: &Rc<()>) {
        let beside = self
            .running
            .iter()
            .filter(|job| job.handle.as_ref().is_some_and(|other| Rc::ptr_eq(other, file)));
        let shared = |op| matches!(op, FileOp::READ_AT | FileOp::FSTAT);
        let mut count = 0;
        for job in beside {
            assert!(shared(op) && shared(job.request.op), "side by side on a handle");
            count += 1;
        }
        assert!(count < JOBS / 2, "one handle has more than half");
        if op == FileOp::CLOSE {
            assert_eq!(Rc::strong_count(file), 1, "a Close that closes nothing");
        }
    }

    /// Ends one of the jobs, whichever; false when none runs.
    pub(super) fn finish(&mut self, ops: &mut Ops<'_>) -> bool {
        let which = usize::from(ops.byte());
        let Some(index) = which.checked_rem(self.running.len()) else { return false };
        let Job { id, request, handle } = self.running.swap_remove(index);
        drop(handle);
        let answer = response(ops, 0);
        let opens = matches!(request.op, FileOp::OPEN | FileOp::CREATE | FileOp::OPEN_FILE);
        let file = (opens && answer.errno == 0).then(Rc::default);
        self.opened.extend(file.as_ref().map(Rc::downgrade));
        self.server.done(id, answer, file);
        true
    }

    /// Another takes the place of one of the jobs.
    pub(super) fn set_aside(&mut self, ops: &mut Ops<'_>) {
        let which = usize::from(ops.byte());
        // One that is set aside stays among those that run here: it is ended at once.
        if let Some(index) = which.checked_rem(self.running.len())
            && let Some(job) = self.running.get(index)
        {
            self.server.set_aside(job.id);
            let Job { id, handle, .. } = self.running.swap_remove(index);
            drop(handle);
            self.server.done(id, FileResponse::default(), None);
        }
    }

    /// The session is over.
    pub(super) fn close_all(&mut self) {
        self.over = true;
        self.server.close_all();
    }

    /// Nothing may be left once every job has ended.
    pub(super) fn settled(mut self) {
        self.close_all();
        let mut ops = Ops::new(&[]);
        loop {
            assert_eq!(self.step(), [], "answers behind the end");
            if !self.finish(&mut ops) {
                break;
            }
        }
        assert!(self.server.is_idle() && self.server.handles() == 0);
        assert!(self.opened.iter().all(|file| file.strong_count() == 0), "a file stays open");
    }
}
