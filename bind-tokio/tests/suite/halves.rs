//! The two directions of one descriptor: blocked at once, dropped in every state, asked again.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use trunkline_core::agentproto::{Frame, FrameType};

use crate::rt::{self, Duplex, ExecOptions};

use super::peer::{self, Peer};
use super::support::{
    Pattern, eventually, exited, lost, lost_status, program, settled, sh_with_fds, start, turn,
};

const KIB: usize = 1 << 10;

/// A command with descriptor 3, and small queues.
fn three() -> ExecOptions {
    let mut options = ExecOptions::new(sh_with_fds("", &[3]));
    options.config.limits.stream_queue = 64 * KIB;
    options
}

#[test]
fn both_halves_blocked_in_two_tasks_both_wake() {
    rt::each(async || {
        let (mut exec, mut peer, line) = peer::exec(three());
        peer.expect(FrameType::EXEC).await;
        line.up.hold();
        let (mut reader, mut writer) = exec.take_stream(3).unwrap().into_split();
        const COUNT: usize = 900 * KIB;
        let writing = rt::spawn(async move {
            rt::write_all(&mut writer, &Pattern::new().head(COUNT)).await.unwrap();
        });
        let reading = rt::spawn(async move { rt::read_to_end(&mut reader).await.unwrap() });
        // Both wait, and whoever came last has not taken the other's place: first one is let go,
        // then the other.
        let queued = settled(|| exec.stats().queued_out).await;
        assert!(queued > 32 * KIB, "{queued}");
        line.up.open();
        let mut seen = 0;
        while seen < COUNT {
            let data = peer.expect(FrameType::DATA).await.data.into_bytes();
            Pattern::new().check(seen, &data);
            seen += data.len();
        }
        writing.await;
        assert_eq!(peer.expect(FrameType::EOF).await.stream, 3);
        peer.send(&Frame::data(3, Bytes::from_static(b"and back"))).await;
        peer.send(&Frame::eof(3)).await;
        assert_eq!(reading.await, b"and back");
        peer.send(&Frame::exit(0, "")).await;
        assert_eq!(exec.wait().await, exited(0));
    });
}

/// What a two-way stream has seen when it is dropped.
const STATES: [&str; 7] = [
    "fresh",
    "unread",
    "peer blocked",
    "writer blocked",
    "ended by the command",
    "ended here",
    "ended by both",
];

/// Says more than the queues hold, and hands the peer back once all of it is taken.
async fn say(mut peer: Peer) -> Peer {
    for _ in 0..20 {
        peer.send(&Frame::data(3, Bytes::from(vec![b'x'; 30 * KIB]))).await;
    }
    peer
}

/// Brings descriptor 3 into a state; says how many bytes were taken for it, and gives the peer
/// unless it is blocked.
async fn bring(
    state: &str,
    exec: &rt::Exec,
    duplex: &mut Duplex,
    mut peer: Peer,
    line: &super::wire::Line,
) -> (usize, rt::Task<Peer>) {
    let mut taken = 0;
    match state {
        "unread" => {
            peer.send(&Frame::data(3, Bytes::from_static(b"unread"))).await;
            eventually("it has arrived", || exec.stats().queued_in == 6).await;
        }
        "peer blocked" => {
            let saying = rt::spawn(say(peer));
            eventually("the link stops", || exec.stats().stalled == Some(3)).await;
            return (0, saying);
        }
        "writer blocked" => {
            line.up.hold();
            let pattern = Pattern::new().head(100 * KIB);
            loop {
                let writing = rt::write(duplex, &pattern);
                match rt::timeout(Duration::from_millis(50), writing).await {
                    Some(count) => taken += count.unwrap(),
                    None => break,
                }
            }
        }
        "ended by the command" => peer.send(&Frame::eof(3)).await,
        "ended here" => rt::close(duplex).await.unwrap(),
        "ended by both" => {
            peer.send(&Frame::eof(3)).await;
            rt::close(duplex).await.unwrap();
            assert_eq!(rt::read_to_end(duplex).await.unwrap(), b"");
        }
        _ => {}
    }
    (taken, rt::spawn(async move { peer }))
}

#[test]
fn a_two_way_stream_dropped_in_any_state_ends_once_and_disturbs_nobody() {
    rt::each(async || {
        for state in STATES {
            for order in 0..3 {
                let (mut exec, mut peer, line) = peer::exec(three());
                peer.expect(FrameType::EXEC).await;
                let mut duplex = exec.take_stream(3).unwrap();
                let (taken, peer) = bring(state, &exec, &mut duplex, peer, &line).await;
                let (reader, writer) = duplex.into_split();
                match order {
                    0 => drop((reader, writer)),
                    1 => {
                        drop(reader);
                        turn().await;
                        drop(writer);
                    }
                    _ => {
                        drop(writer);
                        turn().await;
                        drop(reader);
                    }
                }
                let (mut stdout, mut stdin) =
                    (exec.take_stdout().unwrap(), exec.take_stdin().unwrap());
                line.up.open();
                // A peer that was blocked is let go: what it says goes nowhere.
                let mut peer = peer.await;
                rt::write_all(&mut stdin, b"after").await.unwrap();
                drop(stdin);
                let (mut seen, mut ends, mut input) = (0, 0, Vec::new());
                while ends < 2 {
                    let frame = peer.recv().await.unwrap();
                    let what = format!("{state}, {order}: {frame:?}");
                    match (frame.kind, frame.stream) {
                        (FrameType::EOF, _) => ends += 1,
                        (FrameType::DATA, 0) => input.extend(frame.data.into_bytes()),
                        (FrameType::DATA, 3) => seen += frame.data.len(),
                        _ => panic!("{what}"),
                    }
                }
                assert_eq!((seen, &input[..]), (taken, &b"after"[..]), "{state}, {order}");
                // Nothing of it is kept, and nothing that still comes for it is.
                peer.send(&Frame::data(3, Bytes::from_static(b"late"))).await;
                peer.send(&Frame::data(1, Bytes::from_static(b"out"))).await;
                peer.send(&Frame::eof(1)).await;
                assert_eq!(rt::read_to_end(&mut stdout).await.unwrap(), b"out");
                let stats = exec.stats();
                assert_eq!((stats.queued_in, stats.queued_out, stats.stalled), (0, 0, None));
                peer.send(&Frame::exit(8, "")).await;
                assert_eq!(exec.wait().await, exited(8));
                // Neither a second end nor anything else.
                assert_eq!(peer.recv().await, None, "{state}, {order}");
            }
        }
    });
}

#[test]
fn what_is_over_says_the_same_however_often_it_is_asked() {
    rt::each(async || {
        let (mut exec, agent) = start(program("cat", &[]));
        let mut stdin = exec.take_stdin().unwrap();
        let mut stdout = exec.take_stdout().unwrap();
        for _ in 0..3 {
            rt::close(&mut stdin).await.unwrap();
            rt::flush(&mut stdin).await.unwrap();
            let error = rt::write(&mut stdin, b"x").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
        for _ in 0..3 {
            assert_eq!(rt::read(&mut stdout, &mut [0; 9]).await.unwrap(), 0);
            assert_eq!(stdout.read_chunk().await.unwrap(), None);
            assert_eq!(exec.wait().await, exited(0));
        }
        assert_eq!(agent.await, 0);

        let (mut exec, peer, _line) = peer::exec(three());
        let (mut reader, mut writer) = exec.take_stream(3).unwrap().into_split();
        drop(peer);
        let reason = lost_status(&exec.wait().await);
        for _ in 0..3 {
            let errors = [
                reader.read_chunk().await.unwrap_err(),
                rt::read(&mut reader, &mut [0; 9]).await.unwrap_err(),
                rt::write(&mut writer, b"x").await.unwrap_err(),
                writer.write_bytes(&mut Bytes::from_static(b"x")).await.unwrap_err(),
            ];
            for error in errors {
                assert_eq!(lost(&error), reason);
            }
            assert_eq!(lost_status(&exec.wait().await), reason);
        }
    });
}
