//! Who neither reads nor writes learns of a stream's end.

use std::future::Future as _;
use std::pin::pin;
use std::task::Poll;

use super::cancel::remembered;
use super::wires::{Kind, over_each_wire, stream};
use crate::cases::support::{Pattern, cancel_at, eventually, turn};
use crate::cases::wire::Fate;
use crate::rt::{self, CloseReason, StreamEnd};

over_each_wire!(
    who_waits_is_told_when_the_peer_has_given_up,
    everybody_is_told_of_an_end_of_our_own,
    everybody_is_told_of_the_connection_s_end,
    credit_is_no_end,
    waiting_for_an_end_piles_nothing_up,
    a_writer_that_waits_is_told_that_its_direction_was_ended,
);

async fn who_waits_is_told_when_the_peer_has_given_up(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (ours, theirs) = stream(&client, &server).await;
    let can = ours.abilities();
    let ours = std::sync::Arc::new(ours);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let ours = std::sync::Arc::clone(&ours);
            rt::spawn(async move { ours.closed().await })
        })
        .collect();
    turn().await;
    // Our end was not read, so that it is a reset where there is one.
    drop(theirs);
    if can.half_close && !can.reset {
        // On such a wire it looks like the end of the peer's own direction.
        eventually("it has ended its own", || ours.read_end().is_some()).await;
        assert_eq!((cancel_at(1, ours.closed()).await, ours.write_end()), (None, None));
        ours.finish();
    }
    for task in waiting {
        let end = task.await;
        let peers = can.reset || !can.half_close;
        assert_eq!(end, if peers { StreamEnd::Reset } else { StreamEnd::Finished });
        assert_eq!(ours.write_end(), Some(end));
    }
    assert_eq!(Some(ours.closed().await), ours.write_end());
}

async fn everybody_is_told_of_an_end_of_our_own(kind: Kind) {
    for by_force in [false, true] {
        let (client, server, _line) = kind.pair();
        let (ours, _theirs) = stream(&client, &server).await;
        let (reader, writer) = ours.into_split();
        let mut of_reader = pin!(reader.closed());
        let mut of_writer = pin!(writer.closed());
        let both = std::future::poll_fn(|cx| {
            // Both wait in one task, and neither takes the other's place.
            assert!(of_reader.as_mut().poll(cx).is_pending());
            assert!(of_writer.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        });
        both.await;
        if by_force {
            reader.stream().reset();
        } else {
            writer.finish();
        }
        let ends = [of_reader.await, of_writer.await];
        assert_eq!(ends[0], ends[1]);
        assert_eq!(ends[0] == StreamEnd::Finished, !by_force, "{ends:?}");
    }
}

async fn everybody_is_told_of_the_connection_s_end(kind: Kind) {
    for how in ["close", "abort", "lost"] {
        let (client, server, line) = kind.pair();
        let (ours, _theirs) = stream(&client, &server).await;
        let waiting = rt::spawn(async move { ours.closed().await });
        turn().await;
        match how {
            "close" => drop(client.close()),
            "abort" => client.abort(),
            _ => line.down.cut(Fate::Reset),
        }
        match (how, waiting.await) {
            ("lost", StreamEnd::Connection(reason)) => assert_ne!(reason, CloseReason::Local),
            (_, end) => assert_eq!(end, StreamEnd::Connection(CloseReason::Local), "{how}"),
        }
    }
}

async fn credit_is_no_end(kind: Kind) {
    const COUNT: usize = 1 << 20;
    let (client, server, _line) = kind.pair();
    let (ours, theirs) = stream(&client, &server).await;
    let (reader, mut writer) = ours.into_split();
    let waiting = rt::spawn(async move { reader.closed().await });
    let (mut theirs, answering) = theirs.into_split();
    let reading = rt::spawn(async move { rt::read_exact(&mut theirs, COUNT).await.unwrap() });
    rt::write_all(&mut writer, &Pattern::new().head(COUNT)).await.unwrap();
    assert!(reading.await == Pattern::new().head(COUNT), "other bytes");
    assert_eq!(writer.stream().write_end(), None);
    rt::close(&mut writer).await.unwrap();
    assert_eq!(waiting.await, StreamEnd::Finished);
    drop(answering);
}

async fn waiting_for_an_end_piles_nothing_up(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (ours, _theirs) = stream(&client, &server).await;
    let left = remembered(|cx| assert!(pin!(ours.closed()).poll(cx).is_pending()));
    assert_eq!(left, 0, "waiters are remembered");
    // Those that gave up are in nobody's way.
    let mut waiting = pin!(ours.closed());
    assert!(cancel_at(1, waiting.as_mut()).await.is_none());
    ours.finish();
    assert_eq!(waiting.await, StreamEnd::Finished);
}

async fn a_writer_that_waits_is_told_that_its_direction_was_ended(kind: Kind) {
    let (client, server, line) = kind.pair();
    let (ours, _theirs) = stream(&client, &server).await;
    let (reader, mut writer) = ours.into_split();
    line.up.hold();
    let writing = rt::spawn(async move {
        loop {
            if let Err(error) = rt::write_all(&mut writer, &[1; 10_000]).await {
                break error;
            }
        }
    });
    crate::cases::support::settled(|| client.stats().queued_out).await;
    reader.stream().finish();
    assert!(rt::MuxError::of(&writing.await).is_some());
}
