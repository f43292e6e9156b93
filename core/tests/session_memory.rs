//! What a hostile other side can make a session machine keep in memory, measured by an allocator
//! that counts. Each test runs in a thread of its own, and the counts are the thread's.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use common::*;
use trunkline_core::agentproto::{
    Agent, AgentEvent, Config, ExecRequest, FileOp, FileRequest, FileResponse, FileServer, Frame,
    Item, Local, LocalEvent, LogRecord, Read,
};
use trunkline_core::{CloseReason, Limits, Machine};

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    let _ = USED.try_with(|used| {
        used.set(used.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(used.get())));
    });
}

// SAFETY: every call goes on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new exist at once, at worst.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `run` held at any one time, and what it gives.
fn peak_of<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = USED.get();
    PEAK.set(before);
    let result = run();
    (usize::try_from(PEAK.get() - before).unwrap(), result)
}

/// The most bytes that `run` held at any one time must be `most`.
#[track_caller]
fn within<T>(most: usize, run: impl FnOnce() -> T) -> T {
    let (peak, result) = peak_of(run);
    assert!(peak <= most, "{peak} bytes at the peak, {most} allowed");
    result
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// What a session may take, whatever comes.
const SESSION: usize = 64 * MIB;

fn small_queue() -> Config {
    let mut config = Config::default();
    config.limits.stream_queue = 64 * KIB;
    config
}

/// Chunks as a driver reads them: 64 KiB at most, each in memory of its own.
fn feed_chunks(machine: &mut impl Side, bytes: &[u8]) {
    for chunk in bytes.chunks(64 * KIB) {
        machine.handle_input(START, Bytes::copy_from_slice(chunk));
    }
}

#[test]
fn a_million_frames_of_one_byte_on_an_unread_stream() {
    let frames = wire(&[data(1, b"x")]).repeat(8 * KIB);
    within(8 * MIB, || {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        let mut turns = 0;
        while local.wants_input() {
            feed_chunks(&mut local, &frames);
            turns += 1;
        }
        assert_eq!(turns, 128);
        assert_eq!(local.stats().queued_in, MIB);
        assert_eq!(read_count(&mut local, 1, b'x').0, MIB);
    });
}

#[test]
fn frames_of_one_byte_that_arrive_each_by_itself() {
    within(8 * 64 * KIB, || {
        let mut local = running_local(small_queue(), exec("/bin/x"));
        while local.wants_input() {
            local.handle_input(START, Bytes::copy_from_slice(b"\xa3\x61d\x41x\x61s\x01\x61t\x02"));
        }
        assert_eq!(local.stats().queued_in, 64 * KIB);
    });
}

#[test]
fn frames_of_a_few_bytes_that_arrive_each_by_itself() {
    let frame = wire(&[data(1, &[7; 12])]);
    within(8 * 64 * KIB, || {
        let mut local = running_local(small_queue(), exec("/bin/x"));
        while local.wants_input() {
            local.handle_input(START, Bytes::copy_from_slice(&frame));
        }
    });
}

/// Chunks of 64 KiB that hold a large frame of no use and end with `tail`.
fn padded(tail: &[u8]) -> Bytes {
    let filler = data(99, &vec![0; 64 * KIB - 15 - tail.len()]).to_bytes().unwrap();
    [&filler, tail].concat().into()
}

#[test]
fn a_small_payload_at_the_end_of_a_large_chunk_does_not_keep_the_chunk() {
    let tail = wire(&[data(1, &[7; 20])]);
    within(2 * MIB, || {
        let mut local = running_local(small_queue(), exec("/bin/x"));
        for _ in 0..500 {
            local.handle_input(START, padded(&tail));
        }
        assert_eq!(local.stats().queued_in, 10_000);
        assert_eq!(read_count(&mut local, 1, 7).0, 10_000);
    });
}

#[test]
fn a_payload_that_begins_in_a_large_chunk_does_not_keep_the_chunk() {
    let frame = wire(&[data(1, &[7; 20])]);
    within(2 * MIB, || {
        let mut local = running_local(small_queue(), exec("/bin/x"));
        for _ in 0..500 {
            local.handle_input(START, padded(&frame[..16]));
            local.handle_input(START, Bytes::copy_from_slice(&frame[16..]));
        }
        assert_eq!(local.stats().queued_in, 10_000);
    });
}

#[test]
fn a_large_payload_that_is_read_slowly_frees_its_chunks() {
    let frames = data(1, &vec![7; 15 * MIB]).to_bytes().unwrap();
    within(36 * MIB, || {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        feed_chunks(&mut local, &frames);
        let mut count = 0;
        while let Read::Data(piece) = local.read(1, 100_000) {
            count += piece.len();
        }
        assert_eq!(count, 15 * MIB);
    });
}

#[test]
fn a_frame_that_drips_in_costs_little_more_than_its_bytes() {
    let frame = data(1, &vec![7; 256 * KIB]).to_bytes().unwrap();
    within(MIB, || {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        for byte in frame.chunks(1) {
            local.handle_input(START, Bytes::copy_from_slice(byte));
        }
        assert_eq!(read_count(&mut local, 1, 7).0, 256 * KIB);
    });
}

#[test]
fn an_announced_exbibyte_allocates_nothing() {
    within(64 * KIB, || {
        for start in [&b"\xa1\x61d\x5b"[..], b"\xa1\x61e\x7b", b"\xa1\x61z\x9b", b"\xa1\x61z\xbb"] {
            let mut local = running_local(Config::default(), exec("/bin/x"));
            let head = [start, &(1_u64 << 60).to_be_bytes()].concat();
            local.handle_input(START, head.into());
            assert!(matches!(local.closed(), Some(CloseReason::Violation(_))));
        }
    });
}

#[test]
fn strange_streams_and_useless_frames_leave_nothing_behind() {
    within(MIB, || {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        for n in 0..8_000 {
            feed(&mut local, &[data(n * 7 + 3, b"x"), Frame::eof(n * 3 + 5), data(2, b"")]);
            feed(&mut local, &[Frame::file_response(FileResponse { id: n, ..Default::default() })]);
        }
        assert_eq!(local.stats().frames_dropped, 32_000);
    });
}

#[test]
fn records_that_nobody_takes() {
    for record in [
        LogRecord { message: "x".repeat(MIB), ..LogRecord::default() },
        LogRecord { attributes: vec!["a=b".into(); 131_072], ..LogRecord::default() },
        LogRecord { attributes: vec![String::new(); 131_072], ..LogRecord::default() },
    ] {
        let bytes = Frame::log(record).to_bytes().unwrap();
        within(12 * MIB, || {
            let mut local = running_local(Config::default(), exec("/bin/x"));
            for _ in 0..6 {
                feed_chunks(&mut local, &bytes);
            }
            assert_eq!(local.stats().frames_received, 6);
        });
    }
}

#[test]
fn events_taken_one_by_one_do_not_pile_up_input() {
    let records = wire(&vec![log("x"); 4_000]);
    within(4 * MIB, || {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        for _ in 0..200 {
            if local.wants_input() {
                feed_chunks(&mut local, &records);
            }
            assert!(local.poll_event().is_some());
        }
    });
}

#[test]
fn large_requests_that_the_host_has_not_taken() {
    let write =
        FileRequest { op: FileOp::WRITE_AT, data: vec![0; 15 * MIB].into(), ..Default::default() };
    let bytes = Frame::file_request(write).to_bytes().unwrap();
    within(SESSION, || {
        let mut agent = Agent::new(Config::default());
        for _ in 0..8 {
            if agent.wants_input() {
                feed_chunks(&mut agent, &bytes);
            }
        }
    });
}

#[test]
fn large_answers_that_the_caller_has_not_taken() {
    // Each entry in one byte: an empty map.
    let list = |id: u8| {
        let head = b"\xa2\x63frp\xa2\x62en\x9a\x00\x02\x00\x00";
        [&head[..], &[0xa0; 131_072], b"\x62id", &[id], b"\x61t\x0c"].concat()
    };
    within(SESSION, || {
        let mut local = Local::new(numbers_known());
        for id in 1..=8_u8 {
            assert_eq!(local.request(FileRequest::default()), Ok(u32::from(id)));
        }
        for id in 1..=8 {
            if local.wants_input() {
                feed_chunks(&mut local, &list(id));
            }
        }
        assert!(matches!(local.poll_event(), Some(LocalEvent::Response(_))));
    });
}

#[test]
fn one_frame_of_the_largest_size() {
    let exit = Frame::exit(1, "x".repeat(15 * MIB)).to_bytes().unwrap();
    within(SESSION, || {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        feed_chunks(&mut local, &exit);
        assert_eq!(events(&mut local).len(), 2);
    });
}

#[test]
fn one_command_of_the_largest_size() {
    let argv = Some(vec!["x".repeat(MIB); 15]);
    let request = Frame::exec(ExecRequest { argv, ..exec("/bin/x") }).to_bytes().unwrap();
    within(SESSION, || {
        let mut agent = Agent::new(Config::default());
        feed_chunks(&mut agent, &request);
        assert_eq!(events(&mut agent).len(), 1);
    });
}

#[test]
fn a_flood_of_large_reads_takes_what_may_wait_and_what_is_performed_at_once() {
    const JOBS: usize = 8;
    let mut agent = Agent::new(Config::default());
    let mut server = FileServer::<()>::new(&Limits::default(), JOBS);
    server.request(FileRequest { op: FileOp::OPEN, ..Default::default() });
    let open = server.poll_job().unwrap();
    server.done(open.id, FileResponse::default(), Some(()));
    let handle = server.poll_response().unwrap().handle;
    let read = FileRequest { op: FileOp::READ_AT, handle, size: 1 << 40, ..Default::default() };
    let ask = |id| Frame::file_request(FileRequest { id, ..read.clone() });
    let requests = wire(&(1..=1_000).map(ask).collect::<Vec<_>>());
    let mut answered = 0;
    within((8 + JOBS + 1) * MIB, || {
        feed_chunks(&mut agent, &requests);
        loop {
            while let Some(AgentEvent::FileRequest(request)) = agent.poll_event() {
                server.request(request);
            }
            let mut jobs = Vec::new();
            while agent.takes_answers()
                && let Some(job) = server.poll_job()
            {
                jobs.push(job);
            }
            let progress = !jobs.is_empty();
            for job in jobs {
                assert_eq!(job.request.size, 1 << 20);
                let data = vec![7; MIB].into();
                server.done(job.id, FileResponse { data, ..Default::default() }, None);
            }
            while let Some(response) = server.poll_response() {
                agent.respond(response);
            }
            // Nobody takes an answer as long as more can be made.
            if !progress {
                let Some(answer) = agent.poll_transmit(START) else { break };
                answered += usize::from(answer.len() > MIB);
            }
        }
    });
    assert_eq!(answered, 1_000);
}
