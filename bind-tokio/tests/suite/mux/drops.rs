//! What dropping a handle means, in every state.

use super::wires::{Kind, over_each_wire, stream};
use crate::cases::support::{Pattern, eventually};
use crate::rt::{self, Connection, StreamEnd};

over_each_wire!(
    streams_dropped_in_any_state_leave_nothing,
    a_stream_dropped_after_its_end_was_read_ends_in_order,
    a_stream_dropped_unread_is_reset,
    what_was_written_before_a_drop_arrives,
    a_writing_half_that_is_dropped_ends_its_direction_where_that_can_be,
    a_connection_lives_as_long_as_its_streams,
    streams_that_nobody_can_accept_are_refused,
);

/// What a stream has seen when it is dropped.
const STATES: [&str; 7] =
    ["fresh", "written", "finished", "read", "unread", "finished by both", "blocked"];

async fn settle(connections: [&Connection; 2], state: &str) {
    let what = format!("no streams after {state}");
    eventually(&what, || connections.iter().all(|one| one.stats().streams == 0)).await;
    for connection in connections {
        let stats = connection.stats();
        assert_eq!((stats.queued_in, stats.queued_out), (0, 0), "{state}");
    }
}

async fn streams_dropped_in_any_state_leave_nothing(kind: Kind) {
    let (client, server, _line) = kind.pair();
    for state in STATES {
        for ours_first in [true, false] {
            let (mut ours, mut theirs) = stream(&client, &server).await;
            match state {
                "written" => rt::write_all(&mut ours, b"w").await.unwrap(),
                "finished" => ours.finish(),
                "read" => {
                    rt::write_all(&mut ours, b"r").await.unwrap();
                    rt::read_exact(&mut theirs, 1).await.unwrap();
                }
                "unread" => {
                    rt::write_all(&mut theirs, &[0; 30_000]).await.unwrap();
                    eventually("unread", || client.stats().queued_in == 30_000).await;
                }
                "finished by both" => {
                    ours.finish();
                    rt::read_to_end(&mut theirs).await.unwrap();
                    theirs.finish();
                }
                // Without resets a peer cannot be told that nobody reads: its writer waits.
                "blocked" if !ours.abilities().reset => {}
                "blocked" => {
                    let (_, mut writer) = theirs.into_split();
                    let all = Pattern::new().head(10 << 20);
                    let blocked = rt::spawn(async move {
                        // Its end is an error, or everything was dropped at the other end.
                        let _ = rt::write_all(&mut writer, &all).await;
                    });
                    rt::read_exact(&mut ours, 100_000).await.unwrap();
                    drop(ours);
                    blocked.await;
                    settle([&client, &server], state).await;
                    continue;
                }
                _ => {}
            }
            if ours_first {
                drop(ours);
                drop(theirs);
            } else {
                drop(theirs);
                drop(ours);
            }
            settle([&client, &server], state).await;
        }
    }
    assert_eq!((client.close_reason(), server.close_reason()), (None, None));
}

async fn a_stream_dropped_after_its_end_was_read_ends_in_order(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    if !ours.abilities().half_close {
        return;
    }
    rt::close(&mut ours).await.unwrap();
    assert_eq!(rt::read_to_end(&mut theirs).await.unwrap(), b"");
    rt::write_all(&mut theirs, b"the answer").await.unwrap();
    drop(theirs);
    assert_eq!(rt::read_to_end(&mut ours).await.unwrap(), b"the answer");
}

async fn a_stream_dropped_unread_is_reset(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, theirs) = stream(&client, &server).await;
    if !ours.abilities().reset {
        return;
    }
    rt::write_all(&mut ours, b"unread").await.unwrap();
    eventually("unread", || server.stats().queued_in == 6).await;
    drop(theirs);
    assert!(rt::read_to_end(&mut ours).await.is_err());
    assert_eq!(ours.read_end(), Some(StreamEnd::Reset));
}

async fn what_was_written_before_a_drop_arrives(kind: Kind) {
    let (client, server, line) = kind.pair();
    let (ours, mut theirs) = stream(&client, &server).await;
    let (mut reader, mut writer) = ours.into_split();
    rt::close(&mut theirs).await.unwrap();
    let _ = rt::read_to_end(&mut reader).await;
    if !reader.stream().abilities().half_close {
        return;
    }
    // More than the transport takes at the moment.
    line.up.hold();
    let all = Pattern::new().head(150_000);
    rt::write_all(&mut writer, &all).await.unwrap();
    drop((reader, writer));
    line.up.open();
    assert!(rt::read_to_end(&mut theirs).await.unwrap() == all, "other bytes");
}

async fn a_writing_half_that_is_dropped_ends_its_direction_where_that_can_be(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (ours, mut theirs) = stream(&client, &server).await;
    let (mut reader, mut writer) = ours.into_split();
    rt::write_all(&mut writer, b"all").await.unwrap();
    drop(writer);
    if theirs.abilities().half_close {
        assert_eq!(rt::read_to_end(&mut theirs).await.unwrap(), b"all");
    } else {
        assert_eq!(rt::read_exact(&mut theirs, 3).await.unwrap(), b"all");
    }
    rt::write_all(&mut theirs, b"more").await.unwrap();
    assert_eq!(rt::read_exact(&mut reader, 4).await.unwrap(), b"more");
}

async fn a_connection_lives_as_long_as_its_streams(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    drop(client.clone());
    drop(client);
    rt::write_all(&mut ours, b"alive").await.unwrap();
    assert_eq!(rt::read_exact(&mut theirs, 5).await.unwrap(), b"alive");
    assert_eq!(server.close_reason(), None);
    drop(ours);
    server.closed().await;
    let (client, server, _line) = kind.pair();
    drop(client);
    server.closed().await;
}

async fn streams_that_nobody_can_accept_are_refused(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    drop(server);
    let mut refused = client.open().await.unwrap();
    let _ = rt::write_all(&mut refused, b"anybody?").await;
    let read = rt::read_to_end(&mut refused).await;
    assert!(read.is_err() || !refused.abilities().reset);
    rt::write_all(&mut theirs, b"alive").await.unwrap();
    assert_eq!(rt::read_exact(&mut ours, 5).await.unwrap(), b"alive");
}
