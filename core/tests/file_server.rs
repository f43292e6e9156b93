//! The server of files without a file system: the table of handles, what runs beside what, and what
//! is answered at once.

use std::collections::BTreeSet;

use proptest::prelude::*;
use trunkline_core::Limits;
use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse, FileServer, Job};

type Server = FileServer<u64>;

fn server(jobs: usize) -> Server {
    FileServer::new(&Limits::default(), jobs)
}

fn on_path(id: u32, op: FileOp, path: &str) -> FileRequest {
    FileRequest { id, op, path: path.into(), ..FileRequest::default() }
}

fn on_handle(id: u32, op: FileOp, handle: u32) -> FileRequest {
    FileRequest { id, op, handle, size: 10, data: vec![1].into(), ..FileRequest::default() }
}

fn jobs(server: &mut Server) -> Vec<Job<u64>> {
    std::iter::from_fn(|| server.poll_job()).collect()
}

/// The ids of the requests that start now.
fn starts(server: &mut Server) -> Vec<u32> {
    jobs(server).iter().map(|job| job.request.id).collect()
}

fn answers(server: &mut Server) -> Vec<FileResponse> {
    std::iter::from_fn(|| server.poll_response()).collect()
}

fn succeed(server: &mut Server, job: &Job<u64>, opened: Option<u64>) {
    server.done(job.id, FileResponse::default(), opened);
}

/// Opens a file, which is `file` to the host, and gives its number.
fn open(server: &mut Server, file: u64) -> u32 {
    server.request(on_path(1_000, FileOp::OPEN, "/srv/demo/a.txt"));
    let job = server.poll_job().unwrap();
    succeed(server, &job, Some(file));
    server.poll_response().unwrap().handle
}

/// The one answer that is there: its number and text.
#[track_caller]
fn refused(server: &mut Server, request: FileRequest) -> (u32, String) {
    let id = request.id;
    server.request(request);
    assert!(server.poll_job().is_none(), "the host is asked");
    let answers = answers(server);
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(answer.id, id);
    (answer.errno, answer.message.clone())
}

#[test]
fn handles_count_up_from_one_and_none_comes_again() {
    let mut server = server(8);
    for number in 1..=20 {
        assert_eq!(open(&mut server, 7), number);
        server.request(on_handle(5, FileOp::CLOSE, number));
        let job = server.poll_job().unwrap();
        assert_eq!((job.request.op, job.handle), (FileOp::CLOSE, Some(7)));
        succeed(&mut server, &job, None);
        assert_eq!(server.poll_response().unwrap().id, 5);
    }
    assert_eq!(server.handles(), 0);
}

#[test]
fn a_job_gets_the_file_that_its_handle_names() {
    let mut server = server(8);
    let (one, two) = (open(&mut server, 100), open(&mut server, 200));
    server.request(on_handle(1, FileOp::READ_AT, two));
    server.request(on_handle(2, FileOp::FSTAT, one));
    server.request(on_path(3, FileOp::STAT, "/"));
    let files: Vec<_> = jobs(&mut server).iter().map(|job| (job.request.id, job.handle)).collect();
    assert_eq!(files, [(1, Some(200)), (2, Some(100)), (3, None)]);
}

#[test]
fn a_handle_that_is_not_open_is_errno_9() {
    let mut server = server(8);
    let ops = [
        FileOp::CLOSE,
        FileOp::READ_AT,
        FileOp::WRITE_AT,
        FileOp::FSYNC,
        FileOp::FSTAT,
        FileOp::FTRUNCATE,
    ];
    for op in ops {
        for handle in [0, 1, u32::MAX] {
            let said = refused(&mut server, on_handle(3, op, handle));
            assert_eq!(said, (9, "bad file descriptor".to_string()), "{op:?}");
        }
    }
    let nothing = FileRequest { size: 0, ..on_handle(3, FileOp::READ_AT, 1) };
    assert_eq!(refused(&mut server, nothing).0, 9, "a read of nothing needs its handle too");
}

#[test]
fn a_read_of_nothing_succeeds_and_one_before_the_start_does_not() {
    let mut server = server(8);
    let handle = open(&mut server, 1);
    for size in [0, -1, i64::MIN] {
        let read = FileRequest { size, offset: -4, ..on_handle(3, FileOp::READ_AT, handle) };
        assert_eq!(refused(&mut server, read), (0, String::new()));
    }
    let read = FileRequest { offset: -1, ..on_handle(3, FileOp::READ_AT, handle) };
    let text = "readat /srv/demo/a.txt: negative offset".to_string();
    assert_eq!(refused(&mut server, read), (5, text));
}

#[test]
fn a_read_is_cut_to_the_limit() {
    let mut server = server(8);
    let handle = open(&mut server, 1);
    for (asked, given) in
        [(5, 5), (1 << 20, 1 << 20), ((1 << 20) + 1, 1 << 20), (i64::MAX, 1 << 20)]
    {
        server.request(FileRequest { size: asked, ..on_handle(3, FileOp::READ_AT, handle) });
        let job = server.poll_job().unwrap();
        assert_eq!(job.request.size, given);
        succeed(&mut server, &job, None);
    }
    // A size that is no read's is left alone.
    server.request(FileRequest { size: 1 << 40, ..on_handle(4, FileOp::FTRUNCATE, handle) });
    assert_eq!(server.poll_job().unwrap().request.size, 1 << 40);
}

#[test]
fn operations_that_nobody_knows_are_errno_38() {
    for op in [0, 26, 255] {
        let said = refused(&mut server(8), on_path(3, FileOp(op), "x"));
        let enosys = if cfg!(target_os = "linux") { 38 } else { 78 };
        assert_eq!(said, (enosys, "unknown file op".to_string()));
    }
}

#[test]
fn a_nul_in_a_path_is_errno_22_with_the_originals_text() {
    let cases = [
        (FileOp::OPEN, "open a\0b: invalid argument"),
        (FileOp::READ_DIR, "open a\0b: invalid argument"),
        (FileOp::MKDIR_ALL, "mkdir a\0b: invalid argument"),
        (FileOp::CHTIMES, "chtimes a\0b: invalid argument"),
        (FileOp::STATFS, "invalid argument"),
        (FileOp::RENAME, "rename a\0b new: invalid argument"),
    ];
    for (op, text) in cases {
        let request = FileRequest { new_path: "new".into(), ..on_path(3, op, "a\0b") };
        assert_eq!(refused(&mut server(8), request), (22, text.to_string()));
    }
    let request = FileRequest { new_path: "b\0".into(), ..on_path(3, FileOp::LINK, "a") };
    assert_eq!(refused(&mut server(8), request).0, 22);
    // What an operation does not use may be anything.
    let mut server = server(8);
    server.request(FileRequest { new_path: "b\0".into(), ..on_path(3, FileOp::STAT, "a") });
    server.request(on_path(4, FileOp::GETWD, "a\0"));
    assert_eq!(starts(&mut server), [3, 4]);
}

#[test]
fn opening_without_closing_ends_at_the_limit_with_errno_24() {
    let mut limits = Limits::default();
    limits.handles = 3;
    let mut server = FileServer::new(&limits, 8);
    let first = open(&mut server, 1);
    open(&mut server, 2);
    for id in 1..=3 {
        server.request(on_path(id, FileOp::CREATE, "new"));
    }
    // Two are open and one is being opened.
    assert_eq!(starts(&mut server), [1]);
    let told = answers(&mut server);
    let told: Vec<_> = told.iter().map(|it| (it.id, it.errno, it.message.as_str())).collect();
    let text = "open new: too many open files";
    assert_eq!(told, [(2, 24, text), (3, 24, text)]);
    // A Close that was sent before makes room, done or not.
    server.request(on_handle(4, FileOp::CLOSE, first));
    server.request(on_path(5, FileOp::OPEN, "again"));
    assert_eq!(starts(&mut server), [4, 5]);
}

#[test]
fn an_open_that_failed_takes_no_handle() {
    let mut limits = Limits::default();
    limits.handles = 1;
    let mut server = FileServer::new(&limits, 8);
    for _ in 0..5 {
        server.request(on_path(1, FileOp::OPEN, "none"));
        let job = server.poll_job().unwrap();
        let response = FileResponse { errno: 2, message: "x".into(), ..FileResponse::default() };
        server.done(job.id, response, None);
        assert_eq!(server.poll_response().unwrap().errno, 2);
    }
    assert_eq!(open(&mut server, 1), 1);
}

#[test]
fn reads_run_side_by_side_and_the_rest_alone_and_in_order() {
    let mut server = server(16);
    let handle = open(&mut server, 1);
    let ops = [
        FileOp::READ_AT,
        FileOp::FSTAT,
        FileOp::WRITE_AT,
        FileOp::READ_AT,
        FileOp::FTRUNCATE,
        FileOp::FSYNC,
        FileOp::READ_AT,
        FileOp::CLOSE,
    ];
    for (id, op) in (1..).zip(ops) {
        server.request(on_handle(id, op, handle));
    }
    let mut order = Vec::new();
    loop {
        let started = jobs(&mut server);
        if started.is_empty() {
            break;
        }
        order.push(started.iter().map(|job| job.request.id).collect::<Vec<_>>());
        for job in &started {
            succeed(&mut server, job, None);
        }
    }
    assert_eq!(order, [vec![1, 2], vec![3], vec![4], vec![5], vec![6], vec![7], vec![8]]);
    assert_eq!(server.handles(), 0);
}

#[test]
fn a_handle_is_gone_once_its_close_has_arrived_though_closing_fails() {
    let mut server = server(8);
    let handle = open(&mut server, 1);
    server.request(on_handle(1, FileOp::READ_AT, handle));
    server.request(on_handle(2, FileOp::CLOSE, handle));
    server.request(on_handle(3, FileOp::READ_AT, handle));
    server.request(on_handle(4, FileOp::CLOSE, handle));
    let told: Vec<_> = answers(&mut server).iter().map(|it| (it.id, it.errno)).collect();
    assert_eq!(told, [(3, 9), (4, 9)]);
    let read = server.poll_job().unwrap();
    assert!(server.poll_job().is_none(), "closing waits for the read");
    succeed(&mut server, &read, None);
    let close = server.poll_job().unwrap();
    assert_eq!((close.request.id, close.handle), (2, Some(1)));
    let failed = FileResponse { errno: 5, ..FileResponse::default() };
    server.done(close.id, failed, None);
    assert_eq!(answers(&mut server).last().unwrap().errno, 5);
    assert_eq!(refused(&mut server, on_handle(5, FileOp::FSTAT, handle)).0, 9);
}

#[test]
fn one_handle_has_half_of_the_workers_and_paths_leave_a_quarter() {
    let mut server = server(8);
    let (slow, other) = (open(&mut server, 1), open(&mut server, 2));
    for id in 1..=20 {
        server.request(on_handle(id, FileOp::READ_AT, slow));
    }
    assert_eq!(starts(&mut server), [1, 2, 3, 4]);
    for id in 100..=120 {
        server.request(on_path(id, FileOp::READ_DIR, "/slow"));
    }
    assert_eq!(starts(&mut server), [100, 101]);
    server.request(on_handle(200, FileOp::READ_AT, other));
    server.request(on_path(201, FileOp::STAT, "/"));
    assert_eq!(starts(&mut server), [200, 201], "whatever else is stuck");

    let mut server = self::server(8);
    let other = open(&mut server, 2);
    for id in 1..=20 {
        server.request(on_path(id, FileOp::STAT, "/slow"));
    }
    assert_eq!(starts(&mut server), [1, 2, 3, 4, 5, 6]);
    server.request(on_handle(200, FileOp::READ_AT, other));
    assert_eq!(starts(&mut server), [200]);
}

#[test]
fn no_number_of_stuck_requests_stops_the_others() {
    let mut server = server(4);
    let (slow, other) = (open(&mut server, 1), open(&mut server, 2));
    let mut stuck = Vec::new();
    for id in 0..40 {
        let request = match id % 4 {
            0 => on_handle(id, FileOp::READ_AT, slow),
            1 => on_handle(id, FileOp::WRITE_AT, slow),
            2 => on_path(id, FileOp::READ_DIR, "/slow"),
            _ => on_path(id, FileOp::STAT, "/slow"),
        };
        server.request(request);
    }
    loop {
        let started = jobs(&mut server);
        if started.is_empty() {
            break;
        }
        assert!(started.len() <= 4);
        started.iter().for_each(|job| server.set_aside(job.id));
        started.iter().for_each(|job| server.set_aside(job.id));
        stuck.extend(started);
    }
    // Everything on paths, and the first of the handle.
    assert_eq!(stuck.len(), 21);
    for id in 100..104 {
        server.request(on_path(id, FileOp::STAT, "/"));
        server.request(on_handle(id + 100, FileOp::READ_AT, other));
    }
    let fresh = jobs(&mut server);
    assert_eq!(fresh.len(), 4, "as many as ever run at once");
    // What was stuck comes back to life, and all is counted as before.
    stuck.iter().chain(&fresh).for_each(|job| succeed(&mut server, job, None));
    let mut done = stuck.len() + fresh.len();
    while let Some(job) = server.poll_job() {
        succeed(&mut server, &job, None);
        done += 1;
    }
    assert_eq!((done, answers(&mut server).len()), (48, 48));
    (0..9).for_each(|id| server.request(on_path(id, FileOp::STAT, "/")));
    assert_eq!(starts(&mut server), [0, 1, 2], "three quarters of four");
}

#[test]
fn handles_take_turns() {
    let mut server = server(1);
    let (one, two) = (open(&mut server, 1), open(&mut server, 2));
    for id in 0..3 {
        server.request(on_handle(10 + id, FileOp::WRITE_AT, one));
    }
    for id in 0..3 {
        server.request(on_handle(20 + id, FileOp::READ_AT, two));
    }
    let mut order = Vec::new();
    while let Some(job) = server.poll_job() {
        order.push(job.request.id);
        succeed(&mut server, &job, None);
    }
    assert_eq!(order, [10, 20, 11, 21, 12, 22]);
}

#[test]
fn the_end_closes_every_handle_once_what_runs_on_it_is_done() {
    let mut server = server(8);
    let (one, two) = (open(&mut server, 1), open(&mut server, 2));
    for id in 1..=10 {
        server.request(on_handle(id, FileOp::READ_AT, one));
    }
    server.request(on_path(20, FileOp::OPEN, "late"));
    let running = jobs(&mut server);
    server.request(on_handle(30, FileOp::CLOSE, two));
    server.close_all();
    server.request(on_path(21, FileOp::STAT, "behind the end"));
    let closed: Vec<_> = jobs(&mut server).iter().map(|job| job.handle).collect();
    assert_eq!(closed, [Some(2)], "the other is still in use");
    for job in &running {
        let opened = (job.request.op == FileOp::OPEN).then_some(3);
        succeed(&mut server, job, opened);
    }
    let late = jobs(&mut server);
    assert!(late.iter().all(|job| job.request.op == FileOp::CLOSE));
    let files: BTreeSet<_> = late.iter().filter_map(|job| job.handle).collect();
    assert_eq!(files, [1, 3].into());
    assert!(!server.is_idle());
    late.iter().for_each(|job| succeed(&mut server, job, None));
    assert_eq!(answers(&mut server), []);
    assert_eq!(server.handles(), 0);
}

#[test]
fn files_can_be_taken_without_jobs() {
    let mut server = server(8);
    for file in 1..=5 {
        open(&mut server, file);
    }
    assert_eq!(server.take_files(), [1, 2, 3, 4, 5]);
    assert!(server.poll_job().is_none() && server.is_idle());
}

#[test]
fn an_outcome_too_many_is_dropped() {
    let mut server = server(8);
    server.request(on_path(1, FileOp::STAT, "/"));
    let job = server.poll_job().unwrap();
    succeed(&mut server, &job, Some(9));
    succeed(&mut server, &job, Some(9));
    server.done(77, FileResponse::default(), None);
    assert_eq!((answers(&mut server).len(), server.handles()), (1, 0));
}

#[test]
fn a_text_as_long_as_a_frame_is_cut() {
    let path = format!("{}\0", "x".repeat(1 << 20));
    assert!(refused(&mut server(8), on_path(1, FileOp::STAT, &path)).1.len() <= 8 << 10);
}

/// What may happen to a server.
#[derive(Clone, Debug)]
enum Step {
    Open,
    /// An operation on the handle of this place among those known, or on one that never was.
    Use(FileOp, usize),
    Path(FileOp),
    Start,
    /// One of the running jobs ends, whichever, well or badly.
    Finish(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let on_handle = prop_oneof![
        Just(FileOp::READ_AT),
        Just(FileOp::WRITE_AT),
        Just(FileOp::FSTAT),
        Just(FileOp::CLOSE),
    ];
    let on_path = prop_oneof![Just(FileOp::STAT), Just(FileOp::READ_DIR)];
    prop_oneof![
        2 => Just(Step::Open),
        5 => (on_handle, any::<usize>()).prop_map(|(op, at)| Step::Use(op, at)),
        1 => on_path.prop_map(Step::Path),
        4 => Just(Step::Start),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(at, well)| Step::Finish(at, well)),
    ]
}

/// A table of handles as simple as can be, beside the server.
struct Model {
    server: Server,
    limit: usize,
    jobs: usize,
    running: Vec<Job<u64>>,
    /// Handles as the peer knows them, with the file of each, and whether a Close was sent.
    known: Vec<(u32, u64, bool)>,
    next_file: u64,
    asked: u32,
    expected: BTreeSet<u32>,
}

impl Model {
    fn ask(&mut self, request: FileRequest) {
        self.asked += 1;
        self.expected.insert(self.asked);
        self.server.request(FileRequest { id: self.asked, ..request });
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Open => self.ask(on_path(0, FileOp::OPEN, "f")),
            Step::Path(op) => self.ask(on_path(0, op, "f")),
            Step::Use(op, at) => {
                let found = at.checked_rem(self.known.len() + 1).unwrap_or(0);
                let handle = match self.known.get_mut(found) {
                    Some((number, _, closed)) => {
                        *closed |= op == FileOp::CLOSE;
                        *number
                    }
                    None => 999,
                };
                self.ask(on_handle(0, op, handle));
            }
            Step::Start => self.start(),
            Step::Finish(at, well) => self.finish(at, well),
        }
        self.take_answers();
    }

    fn start(&mut self) {
        let Some(job) = self.server.poll_job() else { return };
        let op = job.request.op;
        if let Some(file) = job.handle {
            let same = self.running.iter().filter(|other| other.handle == Some(file));
            let alone = |op| !matches!(op, FileOp::READ_AT | FileOp::FSTAT);
            let mut count = 0;
            for other in same {
                assert!(!alone(op) && !alone(other.request.op), "{op:?} beside another");
                assert!(other.request.id < job.request.id, "out of order");
                count += 1;
            }
            assert!(count < (self.jobs / 2).max(1), "more than half for one handle");
        }
        self.running.push(job);
        assert!(self.running.len() <= self.jobs);
    }

    fn finish(&mut self, at: usize, well: bool) {
        let Some(at) = at.checked_rem(self.running.len()) else { return };
        let job = self.running.swap_remove(at);
        let errno = if well { 0 } else { 5 };
        let opened = (well && job.request.op == FileOp::OPEN).then(|| {
            self.next_file += 1;
            self.next_file
        });
        self.server.done(job.id, FileResponse { errno, ..FileResponse::default() }, opened);
        if let Some(file) = opened {
            let answer = self.server.poll_response().expect("an open is answered");
            assert!(self.expected.remove(&answer.id));
            let last = self.known.last().map_or(0, |(number, ..)| *number);
            assert_eq!(answer.handle, last + 1, "numbers count up");
            self.known.push((answer.handle, file, false));
            assert!(self.known.iter().filter(|(.., closed)| !closed).count() <= self.limit);
        }
    }

    fn take_answers(&mut self) {
        while let Some(answer) = self.server.poll_response() {
            assert!(self.expected.remove(&answer.id), "answered twice, or unasked");
            assert_eq!(answer.handle, 0);
        }
    }

    fn settle(&mut self) {
        while !self.expected.is_empty() {
            let before = self.running.len();
            self.start();
            self.take_answers();
            if self.running.len() == before && !self.expected.is_empty() {
                assert!(before > 0, "requests wait, and nothing runs");
                self.finish(0, true);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_in_whatever_order_it_ends_every_request_is_answered_once(
        steps in proptest::collection::vec(step(), 0..120),
        jobs in 1_usize..10,
        limit in 1_usize..6,
    ) {
        let mut limits = Limits::default();
        limits.handles = limit;
        let mut model = Model {
            server: FileServer::new(&limits, jobs),
            limit,
            jobs,
            running: Vec::new(),
            known: Vec::new(),
            next_file: 0,
            asked: 0,
            expected: BTreeSet::new(),
        };
        for step in &steps {
            model.step(step);
        }
        model.settle();
        let open = model.known.iter().filter(|(.., closed)| !closed).count();
        while !model.running.is_empty() {
            model.finish(0, false);
        }
        model.server.close_all();
        let mut closed = 0;
        while let Some(job) = model.server.poll_job() {
            prop_assert_eq!(job.request.op, FileOp::CLOSE);
            model.server.done(job.id, FileResponse::default(), None);
            closed += 1;
        }
        prop_assert_eq!(closed, open);
        prop_assert!(model.server.is_idle() && model.server.handles() == 0);
    }
}
