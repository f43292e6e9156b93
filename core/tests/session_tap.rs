//! What a local side keeps of its frames for a recorder.

mod common;

use bytes::Bytes;
use common::{at, data, exec, frames_of, log, wire};
use trunkline_core::agentproto::{
    Config, Direction, FileOp, FileRequest, Frame, Local, LocalEvent, Read, Tapped,
};
use trunkline_core::{Instant, Machine};

fn started(config: Config) -> Local {
    let mut local = Local::new(config);
    local.tap();
    local.exec(at(0), exec("/bin/x"), None).unwrap();
    local
}

fn taken(local: &mut Local) -> Vec<Tapped> {
    std::iter::from_fn(|| local.poll_tapped()).collect()
}

fn frames(tapped: &[Tapped], direction: Direction) -> Vec<Frame> {
    let of = tapped.iter().filter(|tapped| tapped.direction == direction);
    of.flat_map(|tapped| frames_of(&tapped.frame.clone().into_bytes())).collect()
}

fn send_all(local: &mut Local, now: Instant) {
    while local.poll_transmit(now).is_some() {}
}

#[test]
fn frames_are_kept_as_they_leave_and_as_they_are_taken_in() {
    let mut local = started(Config::default());
    assert!(taken(&mut local).is_empty(), "what is queued was not sent");
    let payload = Bytes::from(vec![7; 5_000]);
    local.write(0, &payload);
    local.finish(0);
    send_all(&mut local, at(1));
    local.signal(15).unwrap();
    send_all(&mut local, at(2));
    let tapped = taken(&mut local);
    let sent = [Frame::exec(exec("/bin/x")), data(0, &payload), Frame::eof(0), Frame::signal(15)];
    assert_eq!(frames(&tapped, Direction::SENT), sent);
    let times: Vec<Instant> = tapped.iter().map(|tapped| tapped.at).collect();
    assert_eq!(times, [at(1), at(1), at(1), at(2)]);
    assert!(std::ptr::eq(tapped[1].frame.slices()[1], &*payload), "shared, not copied");

    let said = [data(1, b"out"), log("m"), Frame::eof(1), data(9, b"nobody's"), Frame::exit(3, "")];
    local.handle_input(at(3), wire(&said));
    local.handle_input(at(4), wire(&[data(1, b"behind the exit")]));
    let tapped = taken(&mut local);
    assert_eq!(frames(&tapped, Direction::RECEIVED), said);
    assert!(tapped.iter().all(|tapped| tapped.at == at(3)));
    assert_eq!((local.exit_code(), local.has_unsent()), (Some(3), false));
}

#[test]
fn however_frames_are_cut_and_written_they_are_kept_canonical() {
    // A long head, another order, and a frame that drips in.
    let bytes = b"\xa3\x61t\x02\x61s\x18\x01\x61d\x58\x02hi\xa2\x61d\x42hi\x61t\x02";
    let mut local = started(Config::default());
    for byte in bytes.chunks(1) {
        local.handle_input(at(1), Bytes::copy_from_slice(byte));
    }
    let tapped = taken(&mut local);
    assert_eq!(frames(&tapped, Direction::RECEIVED), [data(1, b"hi"), data(0, b"hi")]);
    assert_eq!(tapped[0].frame.clone().into_bytes(), wire(&[data(1, b"hi")]));
}

#[test]
fn what_nobody_takes_stops_the_session_and_not_its_memory() {
    let mut local = started(Config::default());
    let piece = wire(&[data(1, &[7; 32_768])]);
    let all = piece.repeat(100);
    local.handle_input(at(1), all.into());
    let mut read = 0;
    let mut kept = 0;
    let mut ended = false;
    for _ in 0..1_000 {
        while let Some(event) = local.poll_event() {
            ended |= matches!(event, LocalEvent::Exited { .. });
        }
        while let Read::Data(bytes) = local.read(1, usize::MAX) {
            read += bytes.len();
        }
        let tapped = taken(&mut local);
        let bytes: usize = tapped.iter().map(|tapped| tapped.frame.len()).sum();
        assert!(bytes < 300 << 10, "{bytes} bytes were kept at once");
        assert!(!tapped.is_empty() || local.wants_input() || ended, "it goes on");
        kept += tapped.len();
        if local.wants_input() {
            local.handle_input(at(2), wire(&[Frame::exit(0, "")]));
        }
    }
    assert!(ended);
    assert_eq!((read, kept), (100 * 32_768, 101));
}

#[test]
fn times_do_not_go_back_where_frames_are_taken_in_late() {
    let mut local = started(Config::default());
    let fill = wire(&[data(1, &[7; 32_768])]).repeat(40);
    local.handle_input(at(1), fill.into());
    let mut last = at(0);
    let mut count = 0;
    for turn in 2..60 {
        local.write(0, &Bytes::from_static(b"x"));
        send_all(&mut local, at(turn));
        while let Read::Data(_) = local.read(1, usize::MAX) {}
        while local.poll_event().is_some() {}
        for tapped in taken(&mut local) {
            assert!(tapped.at >= last);
            last = tapped.at;
            count += usize::from(tapped.direction == Direction::RECEIVED);
        }
    }
    assert_eq!(count, 40);
}

#[test]
fn the_machines_own_question_is_kept_too() {
    let mut local = Local::new(Config::default());
    local.tap();
    let stat = FileRequest { op: FileOp::STAT, path: "/".into(), ..FileRequest::default() };
    local.request(stat).unwrap();
    send_all(&mut local, at(1));
    let sent = frames(&taken(&mut local), Direction::SENT);
    let ops: Vec<FileOp> =
        sent.iter().map(|frame| frame.file_request.as_ref().unwrap().op).collect();
    assert_eq!(ops, [FileOp::GETWD, FileOp::STAT]);
}

#[test]
fn nothing_is_kept_where_nobody_asked_or_wants_it_any_more() {
    let mut local = Local::new(Config::default());
    local.exec(at(0), exec("/bin/x"), None).unwrap();
    send_all(&mut local, at(1));
    assert!(local.poll_tapped().is_none());
    local.tap();
    local.handle_input(at(2), wire(&[data(1, b"x")]));
    local.untap();
    local.handle_input(at(3), wire(&[data(1, b"y")]));
    assert!(local.poll_tapped().is_none());
    assert_eq!(local.read(1, 9), Read::Data(Bytes::from_static(b"x")));
}
