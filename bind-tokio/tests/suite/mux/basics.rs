//! Streams that are opened, used and ended in order.

use bytes::Bytes;

use super::wires::{Kind, end, over_each_wire, serve, stream};
use crate::cases::support::{Pattern, eventually};
use crate::rt::{self, MuxError, StreamEnd};

over_each_wire!(
    what_is_written_comes_back,
    either_side_opens,
    large_transfers_go_both_ways_at_once,
    many_streams_at_once_stay_apart,
    vectored_writes_arrive_in_order,
    chunks_are_moved_without_a_copy,
    counters_tell_what_happened,
    a_ping_takes_some_time_or_is_not_there,
    the_incoming_streams_are_a_stream,
    real_sockets_serve,
);

async fn what_is_written_comes_back(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let _serving = serve(server);
    for text in [&b"a"[..], b"some words", &[7; 5_000], &[8; 300_000]] {
        let (mut reader, mut writer) = client.open().await.unwrap().into_split();
        let sent = text.to_vec();
        let writing = rt::spawn(async move {
            rt::write_all(&mut writer, &sent).await.unwrap();
            writer
        });
        assert_eq!(rt::read_exact(&mut reader, text.len()).await.unwrap(), text);
        end(reader, writing.await).await;
    }
}

async fn either_side_opens(kind: Kind) {
    let (client, server, _line) = kind.pair();
    for (from, to) in [(&client, &server), (&server, &client), (&client, &server)] {
        let (mut ours, mut theirs) = stream(from, to).await;
        rt::write_all(&mut theirs, b"back").await.unwrap();
        assert_eq!(rt::read_exact(&mut ours, 4).await.unwrap(), b"back");
    }
}

async fn large_transfers_go_both_ways_at_once(kind: Kind) {
    const COUNT: usize = 4 << 20;
    let (client, server, _line) = kind.pair();
    let (ours, theirs) = stream(&client, &server).await;
    let mut tasks = Vec::new();
    for (stream, chunks) in [(ours, false), (theirs, true)] {
        let (mut reader, mut writer) = stream.into_split();
        let writing = rt::spawn(async move {
            let pattern = Pattern::new();
            let mut sent = 0;
            while sent < COUNT {
                let mut piece = pattern.at(sent, 70_001.min(COUNT - sent));
                sent += piece.len();
                if chunks {
                    writer.write_bytes(&mut piece).await.unwrap();
                } else {
                    rt::write_all(&mut writer, &piece).await.unwrap();
                }
            }
            // Not dropped before both are done: on some wires that would end both directions.
            writer
        });
        let reading = rt::spawn(async move {
            let pattern = Pattern::new();
            let mut seen = 0;
            while seen < COUNT {
                let chunk = reader.read_chunk().await.unwrap().unwrap();
                pattern.check(seen, &chunk);
                seen += chunk.len();
            }
            assert_eq!(seen, COUNT);
            reader
        });
        tasks.push((writing, reading));
    }
    let mut kept = Vec::new();
    for (writing, reading) in tasks {
        kept.push((writing.await, reading.await));
    }
}

async fn many_streams_at_once_stay_apart(kind: Kind) {
    const STREAMS: usize = 100;
    const COUNT: usize = 20_000;
    let (client, server, _line) = kind.pair();
    let _serving = serve(server.clone());
    let mut tasks = Vec::new();
    for number in 0..STREAMS {
        let client = client.clone();
        tasks.push(rt::spawn(async move {
            let pattern = Pattern::new();
            let (mut reader, mut writer) = client.open().await.unwrap().into_split();
            let writing = rt::spawn(async move {
                let pattern = Pattern::new();
                for at in (0..COUNT).step_by(1_000) {
                    rt::write_all(&mut writer, &pattern.at(number * 777 + at, 1_000))
                        .await
                        .unwrap();
                }
                writer
            });
            let mut seen = 0;
            while seen < COUNT {
                let chunk = reader.read_chunk().await.unwrap().unwrap();
                pattern.check(number * 777 + seen, &chunk);
                seen += chunk.len();
            }
            end(reader, writing.await).await;
        }));
    }
    for task in tasks {
        task.await;
    }
    eventually("all streams are over", || {
        client.stats().streams == 0 && server.stats().streams == 0
    })
    .await;
    assert_eq!((client.stats().opened, server.stats().received), (100, 100));
    assert_eq!((client.stats().queued_in, client.stats().queued_out), (0, 0));
}

async fn vectored_writes_arrive_in_order(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    for parts in
        [vec![3, 0, 5, 1_000], vec![4_000, 4_000], vec![10, 60_000, 7], vec![1; 40], vec![500; 30]]
    {
        let total: usize = parts.iter().sum();
        let bytes = Pattern::new().head(total);
        let mut rest = &bytes[..];
        let mut slices = Vec::new();
        for part in parts {
            let (front, back) = rest.split_at(part);
            slices.push(std::io::IoSlice::new(front));
            rest = back;
        }
        let mut slices = &mut slices[..];
        let mut sent = 0;
        let reading = rt::spawn(async move {
            let bytes = rt::read_exact(&mut theirs, total).await.unwrap();
            (theirs, bytes)
        });
        while sent < total {
            let count = rt::write_vectored(&mut ours, slices).await.unwrap();
            std::io::IoSlice::advance_slices(&mut slices, count);
            sent += count;
        }
        let (back, read) = reading.await;
        theirs = back;
        assert!(read == bytes, "other bytes");
    }
}

async fn chunks_are_moved_without_a_copy(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    let whole = Bytes::from(vec![5; 10_000]);
    let mut data = whole.clone();
    ours.write_bytes(&mut data).await.unwrap();
    assert!(data.is_empty());
    let mut seen = 0;
    while seen < whole.len() {
        let chunk = theirs.read_chunk().await.unwrap().unwrap();
        assert!(!chunk.is_empty() && chunk.iter().all(|byte| *byte == 5));
        seen += chunk.len();
    }
    assert_eq!(seen, whole.len());
}

async fn counters_tell_what_happened(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let (mut ours, mut theirs) = stream(&client, &server).await;
    rt::write_all(&mut ours, &[1; 1_000]).await.unwrap();
    rt::read_exact(&mut theirs, 400).await.unwrap();
    eventually("the rest is there", || server.stats().queued_in == 600).await;
    assert_eq!(theirs.stats().unwrap().queued_in, 600);
    assert!(ours.stats().unwrap().ours && !theirs.stats().unwrap().ours);
    assert_eq!(ours.stats().unwrap().id, theirs.stats().unwrap().id);
    let (out, into) = (client.stats(), server.stats());
    assert_eq!((out.streams, out.opened, out.bytes_out), (1, 1, 1_001));
    assert_eq!((into.streams, into.received, into.bytes_in), (1, 1, 1_001));
    assert!(out.frames_out > 0 && into.frames_in > 0 && into.memory > 0);
    assert_eq!(ours.read_end(), None);
    assert_eq!(ours.write_end(), None);
    ours.finish();
    assert_eq!(ours.write_end(), Some(StreamEnd::Finished));
    let error = rt::write_all(&mut ours, b"x").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(MuxError::of(&error), Some(&MuxError::Stream(StreamEnd::Finished)));
}

async fn a_ping_takes_some_time_or_is_not_there(kind: Kind) {
    let (client, server, _line) = kind.pair();
    for connection in [&client, &server] {
        let ping = connection.ping().await;
        if connection.abilities().ping {
            let took = ping.unwrap();
            assert_eq!(connection.stats().pongs, 1);
            assert!(took < std::time::Duration::from_secs(40), "{took:?}");
        } else {
            assert_eq!(MuxError::of(&ping.unwrap_err()), Some(&MuxError::Unsupported));
        }
    }
}

async fn the_incoming_streams_are_a_stream(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let mut incoming = server.incoming();
    let opening = rt::spawn({
        let client = client.clone();
        async move {
            for number in 0..3_u8 {
                let mut stream = client.open().await.unwrap();
                rt::write_all(&mut stream, &[number; 10]).await.unwrap();
                rt::close(&mut stream).await.unwrap();
                let _ = rt::read_to_end(&mut stream).await;
            }
        }
    });
    for number in 0..3_u8 {
        let mut stream = rt::next(&mut incoming).await.unwrap().unwrap();
        assert_eq!(rt::read_exact(&mut stream, 10).await.unwrap(), [number; 10]);
        drop(stream);
    }
    opening.await;
    let closed = server.close();
    assert!(rt::next(&mut incoming).await.is_none());
    closed.await;
}

async fn real_sockets_serve(kind: Kind) {
    const COUNT: usize = 3 << 20;
    let (client, server) = kind.sockets();
    let _serving = serve(server);
    let (mut reader, mut writer) = client.open().await.unwrap().into_split();
    let writing = rt::spawn(async move {
        rt::write_all(&mut writer, &Pattern::new().head(COUNT)).await.unwrap();
        writer
    });
    let read = rt::read_exact(&mut reader, COUNT).await.unwrap();
    assert!(read == Pattern::new().head(COUNT), "other bytes");
    drop(writing.await);
}
