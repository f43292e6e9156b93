//! The file service with a file system that is as slow as a test wants it to be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, PoisonError};
use std::task::{Poll, Wake};
use std::time::Instant as Time;

use bytes::Bytes;
use trunkline_core::agentproto::{AgentEvent, Config, FileOp, Frame, FrameType, Item as _};

use super::*;

/// Long enough for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file system whose paths say how it behaves: "/stuck" waits until the gate opens, "/panic"
/// panics, all others succeed. Open files of it are counted.
#[derive(Default)]
struct System {
    gate: Mutex<bool>,
    opened: Condvar,
    /// Requests that wait at the gate.
    stuck: AtomicUsize,
    files: Arc<AtomicUsize>,
}

struct File {
    path: String,
    count: Arc<AtomicUsize>,
}

impl Drop for File {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

impl System {
    fn open_gate(&self) {
        *self.gate.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn behave(&self, path: &str) {
        assert_ne!(path, "/panic", "on purpose");
        if path == "/stuck" {
            self.stuck.fetch_add(1, Ordering::SeqCst);
            let gate = self.gate.lock().unwrap();
            drop(self.opened.wait_while(gate, |open| !*open).unwrap());
        }
    }

    fn files(&self) -> usize {
        self.files.load(Ordering::SeqCst)
    }
}

impl Perform for System {
    type File = File;

    fn perform(&self, request: &FileRequest, file: Option<&File>) -> (FileResponse, Option<File>) {
        let mut response = FileResponse::default();
        if request.op == FileOp::OPEN {
            self.behave(&request.new_path);
            self.files.fetch_add(1, Ordering::SeqCst);
            let (path, count) = (request.path.clone(), Arc::clone(&self.files));
            return (response, Some(File { path, count }));
        }
        if request.op != FileOp::CLOSE {
            self.behave(file.map_or(&request.path, |file| &file.path));
        }
        if request.op == FileOp::READ_AT {
            let size = usize::try_from(request.size).unwrap();
            response.data = vec![0; size].into();
        }
        (response, None)
    }
}

/// Wakes the thread of a test.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

/// A session with its files, driven by hand.
struct Session {
    agent: Agent,
    service: Option<FileService<System>>,
    system: Arc<System>,
    bell: Arc<Bell>,
    now: Instant,
    answers: Vec<FileResponse>,
}

impl Session {
    fn new() -> Self {
        let system = Arc::new(System::default());
        let service = FileService::new(Arc::clone(&system), &Limits::default(), 8);
        Self {
            agent: Agent::new(Config::default()),
            service: Some(service),
            system,
            bell: Arc::default(),
            now: Instant::ORIGIN,
            answers: Vec::new(),
        }
    }

    fn ask(&mut self, request: FileRequest) {
        let bytes = Frame::file_request(request).to_bytes().unwrap();
        self.agent.handle_input(self.now, bytes.into());
        self.settle(true);
    }

    fn ask_of(&mut self, id: u32, op: FileOp, path: &str) {
        self.ask(FileRequest { id, op, path: path.into(), ..FileRequest::default() });
    }

    fn on(&mut self, id: u32, op: FileOp, handle: u32) {
        self.ask(FileRequest { id, op, handle, size: 1 << 20, ..FileRequest::default() });
    }

    /// Moves everything that can move without waiting.
    fn settle(&mut self, send: bool) {
        let waker = Waker::from(Arc::clone(&self.bell));
        let cx = Context::from_waker(&waker);
        let mut moved = true;
        while moved {
            moved = false;
            let Some(service) = &mut self.service else { return };
            while let Some(event) = self.agent.poll_event() {
                match event {
                    AgentEvent::FileRequest(request) => service.request(request),
                    AgentEvent::Closed(_) => service.close_all(),
                    event => panic!("{event:?}"),
                }
                moved = true;
            }
            moved |= service.step(&cx, self.now, &mut self.agent);
            while send && let Some(segment) = self.agent.poll_transmit(self.now) {
                self.sent(segment.into_bytes());
                moved = true;
            }
        }
    }

    fn sent(&mut self, bytes: Bytes) {
        let mut decoder = trunkline_core::agentproto::Decoder::<Frame>::new(&Config::default());
        decoder.push(bytes);
        while let Some(frame) = decoder.poll().unwrap() {
            if frame.kind == FrameType::FILE_RESPONSE {
                self.answers.push(*frame.file_response.unwrap());
            }
        }
    }

    /// Waits, woken by nothing but workers, until this holds.
    #[track_caller]
    fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let since = Time::now();
        loop {
            self.settle(true);
            if holds(self) {
                return;
            }
            let left = PATIENCE.checked_sub(since.elapsed());
            let left = left.unwrap_or_else(|| panic!("it never comes to this: {what}"));
            let mut rung = self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
            if !*rung {
                rung = self.bell.changed.wait_timeout(rung, left).unwrap().0;
            }
            *rung = false;
        }
    }

    #[track_caller]
    fn answered(&mut self, count: usize) {
        self.until(&format!("{count} answers"), |session| session.answers.len() >= count);
        assert_eq!(self.answers.len(), count);
    }

    /// Opens a file and gives its handle.
    fn open(&mut self, path: &str) -> u32 {
        let before = self.answers.len();
        self.ask_of(999, FileOp::OPEN, path);
        self.answered(before + 1);
        self.answers.pop().unwrap().handle
    }
}

/// Waits for what other threads do.
#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let since = Time::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "it never comes to this: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_stalled_file_does_not_stop_others() {
    let mut session = Session::new();
    let (stuck, other) = (session.open("/stuck"), session.open("/x"));
    for id in 0..20 {
        session.on(id, FileOp::READ_AT, stuck);
    }
    for id in 100..200 {
        session.on(id, FileOp::FSTAT, other);
        session.ask_of(id + 100, FileOp::STAT, "/");
    }
    session.answered(200);
    let system = Arc::clone(&session.system);
    assert!(session.answers.iter().all(|answer| answer.id >= 100));
    assert!(system.stuck.load(Ordering::SeqCst) <= 4, "half of the workers");
    system.open_gate();
    session.answered(220);
}

#[test]
fn stalled_paths_do_not_stop_others_however_many() {
    let mut session = Session::new();
    for id in 0..50 {
        session.ask_of(id, FileOp::STAT, "/stuck");
    }
    session.ask_of(100, FileOp::STAT, "/");
    assert!(session.answers.is_empty());
    let mut seconds = 0;
    while session.answers.is_empty() {
        seconds += 1;
        let due = session.service.as_ref().unwrap().timeout().expect("a deadline");
        assert_eq!(due, Instant::ORIGIN + Duration::from_secs(seconds));
        session.now = due;
        session.service.as_mut().unwrap().handle_timeout(due);
        session.settle(true);
        if seconds == 8 {
            // Six at once were stuck, eight times: the last are two and the one that is not.
            session.answered(1);
        }
    }
    assert_eq!(session.answers[0].id, 100);
    let system = Arc::clone(&session.system);
    system.open_gate();
    session.answered(51);
}

#[test]
fn a_service_dropped_in_the_middle_finishes_what_runs_and_closes_everything() {
    let mut session = Session::new();
    for _ in 0..10 {
        session.open("/x");
    }
    let stuck = session.open("/stuck");
    session.on(1, FileOp::READ_AT, stuck);
    session.on(2, FileOp::CLOSE, stuck);
    let late = FileRequest { op: FileOp::OPEN, new_path: "/stuck".into(), ..Default::default() };
    session.ask(late);
    let system = Arc::clone(&session.system);
    eventually("both run", || system.stuck.load(Ordering::SeqCst) == 2);
    assert_eq!(system.files(), 11);
    session.service = None;
    eventually("what nobody uses is closed", || system.files() == 1);
    system.open_gate();
    eventually("all is closed", || system.files() == 0 && Arc::strong_count(&system) == 2);
    assert_eq!(session.answers, []);
}

#[test]
fn the_end_of_the_session_closes_every_file() {
    let mut session = Session::new();
    for _ in 0..100 {
        session.open("/x");
    }
    assert_eq!(session.system.files(), 100);
    session.agent.handle_eof(session.now);
    let idle = |session: &Session| session.service.as_ref().is_some_and(FileService::is_idle);
    session.until("nothing runs", idle);
    assert_eq!(session.system.files(), 0);
}

#[test]
fn a_stuck_request_does_not_keep_the_others_from_being_closed_at_the_end() {
    let mut session = Session::new();
    for _ in 0..20 {
        session.open("/x");
    }
    for id in 0..30 {
        session.ask_of(id, FileOp::STAT, "/stuck");
    }
    session.agent.end();
    session.settle(true);
    let system = Arc::clone(&session.system);
    session.until("closed", |session| session.system.files() == 0);
    assert!(!session.service.as_ref().unwrap().is_idle(), "some are still stuck");
    system.open_gate();
}

#[test]
fn a_request_at_which_the_agent_panics_is_answered() {
    let mut session = Session::new();
    for id in 0..20 {
        session.ask_of(id, FileOp::STAT, "/panic");
    }
    session.ask_of(20, FileOp::STAT, "/");
    session.answered(21);
    let failed = session.answers.iter().filter(|answer| answer.errno == EIO).count();
    assert_eq!(failed, 20);
}

#[test]
fn nothing_is_performed_while_nobody_takes_answers() {
    let mut session = Session::new();
    let handle = session.open("/x");
    let big = FileRequest { op: FileOp::READ_AT, handle, size: 1 << 20, ..Default::default() };
    for id in 0..100 {
        let bytes = Frame::file_request(FileRequest { id, ..big.clone() }).to_bytes().unwrap();
        session.agent.handle_input(session.now, bytes.into());
    }
    let waker = Waker::from(Arc::clone(&session.bell));
    let mut stalled = std::pin::pin!(std::future::poll_fn(|_| {
        session.settle(false);
        if session.agent.takes_answers() { Poll::Pending } else { Poll::Ready(()) }
    }));
    let since = Time::now();
    while stalled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        assert!(since.elapsed() < PATIENCE, "answers never pile up");
        std::thread::yield_now();
    }
    let queued = session.agent.stats().queued_out;
    assert!(queued <= 16 << 20, "{queued} bytes of answers wait");
    session.answered(100);
}
