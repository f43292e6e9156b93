//! How streams and connections end, and what each side is told.

use std::io;
use std::time::Duration;

use super::wires::{Kind, over_each_wire, serve, stream};
use crate::cases::support::{Pattern, eventually, settled};
use crate::rt::{self, CloseReason, MuxError, StreamEnd};

over_each_wire!(
    one_direction_ends_and_the_other_goes_on,
    a_reset_is_no_end,
    a_reset_of_our_own_is_told_to_both_halves,
    a_slow_reader_delays_nobody_where_there_are_windows,
    close_sends_what_was_written,
    a_close_that_nobody_waits_for_goes_on,
    an_abort_is_no_end,
    going_away_lets_streams_live,
    whoever_waits_is_told_of_the_end,
    what_came_whole_is_accepted_and_read_behind_the_end_of_the_connection,
);

const KIB: usize = 1 << 10;

/// What lies below a handle's error.
fn source(error: &io::Error) -> MuxError {
    MuxError::of(error).unwrap_or_else(|| panic!("no source below {error:?}")).clone()
}

async fn one_direction_ends_and_the_other_goes_on(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    if !ours.abilities().half_close {
        rt::write_all(&mut ours, b"all of it").await.unwrap();
        rt::close(&mut ours).await.unwrap();
        assert_eq!(rt::read_to_end(&mut theirs).await.unwrap(), b"all of it");
        return;
    }
    rt::write_all(&mut ours, b"question").await.unwrap();
    rt::close(&mut ours).await.unwrap();
    assert_eq!(rt::read_to_end(&mut theirs).await.unwrap(), b"question");
    assert_eq!(theirs.read_end(), Some(StreamEnd::Finished));
    let answer = Pattern::new().head(700 * KIB);
    let answering = rt::spawn({
        let answer = answer.clone();
        async move {
            rt::write_all(&mut theirs, &answer).await.unwrap();
            rt::close(&mut theirs).await.unwrap();
        }
    });
    assert!(rt::read_to_end(&mut ours).await.unwrap() == answer, "other bytes");
    answering.await;
    // It says the same again.
    assert_eq!(ours.read_chunk().await.unwrap(), None);
}

async fn a_reset_is_no_end(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    rt::write_all(&mut ours, b"unread").await.unwrap();
    eventually("it is there", || server.stats().queued_in == 6).await;
    ours.reset();
    if !ours.abilities().reset {
        return;
    }
    eventually("the end is there", || theirs.read_end().is_some()).await;
    let error = theirs.read_chunk().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(
        matches!(source(&error), MuxError::Stream(StreamEnd::Reset | StreamEnd::Remote { .. })),
        "{error:?}"
    );
    let mut rest = Vec::new();
    while let Some(bytes) = theirs.drain() {
        rest.extend_from_slice(&bytes);
    }
    assert_eq!(rest, b"unread");
    assert!(rt::write_all(&mut theirs, b"x").await.is_err());
}

async fn a_reset_of_our_own_is_told_to_both_halves(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (ours, _theirs) = stream(&client, &server).await;
    let (mut reader, mut writer) = ours.into_split();
    let reading = rt::spawn(async move { reader.read_chunk().await });
    let (begun, resetting) = (rt::sleep(Duration::from_millis(5)), writer.stream());
    begun.await;
    resetting.reset();
    assert!(reading.await.is_err());
    let error = rt::write_all(&mut writer, b"x").await.unwrap_err();
    assert!(matches!(source(&error), MuxError::Stream(StreamEnd::Local(_))), "{error:?}");
}

async fn a_slow_reader_delays_nobody_where_there_are_windows(kind: Kind) {
    const COUNT: usize = 1 << 20;
    let (client, server, _line) = kind.pair();
    if !client.abilities().windows {
        return;
    }
    let (slow, unread) = stream(&client, &server).await;
    let (_kept, mut writer) = slow.into_split();
    let blocked = rt::spawn(async move {
        loop {
            if let Err(error) = rt::write_all(&mut writer, &[1; 10_000]).await {
                break error;
            }
        }
    });
    eventually("much is unread", || server.stats().queued_in > 30_000).await;
    let (fast, theirs) = stream(&client, &server).await;
    let _echo = rt::spawn(super::wires::echo(theirs));
    let (mut reader, mut writer) = fast.into_split();
    let writing = rt::spawn(async move {
        rt::write_all(&mut writer, &Pattern::new().head(COUNT)).await.unwrap();
        writer
    });
    let read = rt::read_exact(&mut reader, COUNT).await.unwrap();
    assert!(read == Pattern::new().head(COUNT), "other bytes");
    drop(writing.await);
    assert!(server.stats().queued_in > 0, "the slow one was read");
    let reset = unread.abilities().reset;
    drop(unread);
    if !reset {
        // Nothing on such a wire says that nobody reads: the writer waits for the connection's end.
        client.abort();
    }
    // Whoever wrote to it is told, and waits no longer.
    assert!(MuxError::of(&blocked.await).is_some());
}

async fn close_sends_what_was_written(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    let all = Pattern::new().head(60 * KIB);
    rt::write_all(&mut ours, &all).await.unwrap();
    rt::close(&mut ours).await.unwrap();
    assert_eq!(client.close().await, CloseReason::Local);
    assert_eq!(client.close_reason(), Some(CloseReason::Local));
    assert!(rt::read_to_end(&mut theirs).await.unwrap() == all, "other bytes");
    server.closed().await;
    let error = client.open().await.unwrap_err();
    assert_eq!(source(&error), MuxError::Connection(CloseReason::Local));
    assert!(server.accept().await.is_err() && server.ping().await.is_err());
    // Again it says the same, and at once.
    assert_eq!(client.close().await, CloseReason::Local);
    client.abort();
    assert_eq!(client.closed().await, CloseReason::Local);
}

async fn a_close_that_nobody_waits_for_goes_on(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    rt::write_all(&mut ours, b"the last").await.unwrap();
    rt::close(&mut ours).await.unwrap();
    drop(client.close());
    assert_eq!(rt::read_to_end(&mut theirs).await.unwrap(), b"the last");
    assert_eq!(client.closed().await, CloseReason::Local);
    server.closed().await;
}

async fn an_abort_is_no_end(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    rt::write_all(&mut ours, b"some").await.unwrap();
    eventually("it is there", || server.stats().queued_in == 4).await;
    client.abort();
    assert_eq!(client.closed().await, CloseReason::Local);
    let error = rt::read_to_end(&mut ours).await.unwrap_err();
    assert_eq!(source(&error), MuxError::Stream(StreamEnd::Connection(CloseReason::Local)));
    let error = rt::read_to_end(&mut theirs).await.unwrap_err();
    let MuxError::Stream(StreamEnd::Connection(reason)) = source(&error) else {
        panic!("{error:?}");
    };
    assert_eq!(server.closed().await, reason);
    assert!(rt::write_all(&mut theirs, &[0; 100]).await.is_err());
    assert!(server.open().await.is_err() && server.accept().await.is_err());
}

async fn going_away_lets_streams_live(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    client.go_away();
    if client.abilities().go_away {
        let refused = async {
            loop {
                match server.open().await {
                    // It has not heard yet.
                    Ok(stream) => drop(stream),
                    Err(error) => break error,
                }
                rt::sleep(Duration::from_millis(2)).await;
            }
        };
        let error = rt::timeout(Duration::from_secs(20), refused).await.expect("a refusal");
        assert_eq!(source(&error), MuxError::Open(rt::OpenRefusal::GoneAway));
    }
    rt::write_all(&mut ours, b"still").await.unwrap();
    assert_eq!(rt::read_exact(&mut theirs, 5).await.unwrap(), b"still");
    // Whoever went away may open.
    let (mut ours, mut theirs) = stream(&client, &server).await;
    rt::write_all(&mut theirs, b"too").await.unwrap();
    assert_eq!(rt::read_exact(&mut ours, 3).await.unwrap(), b"too");
}

async fn whoever_waits_is_told_of_the_end(kind: Kind) {
    let (client, server, line) = kind.pair();
    let (ours, theirs) = stream(&client, &server).await;
    let (mut reader, mut writer) = ours.into_split();
    let reading = rt::spawn(async move { reader.read_chunk().await.err() });
    let writing = rt::spawn(async move {
        loop {
            if let Err(error) = rt::write_all(&mut writer, &[1; 100_000]).await {
                break Some(error);
            }
        }
    });
    let mut waiting = vec![reading, writing];
    for _ in 0..2 {
        let (one, two) = (client.clone(), client.clone());
        waiting.push(rt::spawn(async move { one.accept().await.err() }));
        waiting.push(rt::spawn(async move {
            two.closed().await;
            Some(io::Error::other("closed"))
        }));
    }
    settled(|| client.stats().bytes_out).await;
    if client.abilities().ping {
        line.down.hold();
        let client = client.clone();
        waiting.push(rt::spawn(async move { client.ping().await.err() }));
    }
    server.abort();
    line.down.cut(crate::cases::wire::Fate::Reset);
    // Not before: a wire without resets would tell of an orderly end.
    drop(theirs);
    for task in waiting {
        assert!(task.await.is_some());
    }
    let _serving = serve(server);
}

async fn what_came_whole_is_accepted_and_read_behind_the_end_of_the_connection(kind: Kind) {
    const COUNT: u64 = 3;
    let (client, server) = kind.sockets();
    // One that is met before the end, and not read.
    let (mut ours, mut met) = stream(&client, &server).await;
    rt::write_all(&mut ours, b"met").await.unwrap();
    rt::close(&mut ours).await.unwrap();
    for number in 0..COUNT {
        let mut unmet = client.open().await.unwrap();
        rt::write_all(&mut unmet, format!("unmet {number}").as_bytes()).await.unwrap();
        rt::close(&mut unmet).await.unwrap();
    }
    let waiting = || server.stats().waiting as u64 == COUNT && server.stats().queued_in == 3 + 21;
    eventually("all of it is there", waiting).await;
    assert_eq!(client.close().await, CloseReason::Local);
    let reason = server.closed().await;
    // On wormhole the answer behind the end is the error, always.
    let count = if server.abilities().name == "wormhole" { 0 } else { COUNT };
    for number in 0..count {
        let mut unmet = server.accept().await.unwrap();
        assert_eq!(
            rt::read_to_end(&mut unmet).await.unwrap(),
            format!("unmet {number}").as_bytes()
        );
        assert_eq!(unmet.read_end(), Some(StreamEnd::Finished));
    }
    let error = server.accept().await.unwrap_err();
    assert_eq!(source(&error), MuxError::Connection(reason));
    assert_eq!(rt::read_to_end(&mut met).await.unwrap(), b"met");
    assert_eq!(met.read_end(), Some(StreamEnd::Finished));
    drop(met);
    if count > 0 {
        assert_eq!(server.stats().queued_in, 0);
    }
}
