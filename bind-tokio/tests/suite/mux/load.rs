//! Load: the sizes that every push must stand, and wake-ups that must not be lost.

use super::wires::{Kind, end, over_each_wire, serve, stream};
use crate::cases::support::{Pattern, eventually};
use crate::rt;

over_each_wire!(
    a_hundred_streams_carry_a_mebibyte_each_way,
    ten_thousand_streams_come_and_go,
    small_messages_on_many_streams_lose_no_wake_up,
    many_tasks_open_at_once,
);

async fn a_hundred_streams_carry_a_mebibyte_each_way(kind: Kind) {
    const STREAMS: usize = 100;
    const COUNT: usize = 1 << 20;
    let (client, server) = kind.sockets();
    let _serving = serve(server.clone());
    let mut tasks = Vec::new();
    for number in 0..STREAMS {
        let (mut reader, mut writer) = client.open().await.unwrap().into_split();
        let writing = rt::spawn(async move {
            let pattern = Pattern::new();
            let mut sent = 0;
            while sent < COUNT {
                let mut piece = pattern.at(sent + number, 50_000.min(COUNT - sent));
                sent += piece.len();
                writer.write_bytes(&mut piece).await.unwrap();
            }
            writer
        });
        tasks.push(rt::spawn(async move {
            let pattern = Pattern::new();
            let mut seen = 0;
            while seen < COUNT {
                let chunk = reader.read_chunk().await.unwrap().unwrap();
                pattern.check(seen + number, &chunk);
                seen += chunk.len();
            }
            end(reader, writing.await).await;
        }));
    }
    for task in tasks {
        task.await;
    }
    settle(&client, &server).await;
}

async fn settle(client: &rt::Connection, server: &rt::Connection) {
    eventually("all streams are over", || {
        client.stats().streams == 0 && server.stats().streams == 0
    })
    .await;
    for connection in [client, server] {
        let stats = connection.stats();
        assert_eq!((stats.queued_in, stats.queued_out, stats.waiting), (0, 0, 0));
        assert_eq!(connection.close_reason(), None);
    }
}

async fn ten_thousand_streams_come_and_go(kind: Kind) {
    const TASKS: usize = 50;
    const EACH: usize = 200;
    let (client, server) = kind.sockets();
    let _serving = serve(server.clone());
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let client = client.clone();
        tasks.push(rt::spawn(async move {
            for _ in 0..EACH {
                let mut stream = client.open().await.unwrap();
                rt::write_all(&mut stream, b"short").await.unwrap();
                assert_eq!(rt::read_exact(&mut stream, 5).await.unwrap(), b"short");
                let (reader, writer) = stream.into_split();
                end(reader, writer).await;
            }
        }));
    }
    for task in tasks {
        task.await;
    }
    settle(&client, &server).await;
    assert_eq!(client.stats().opened, (TASKS * EACH) as u64);
    assert_eq!(server.stats().received, (TASKS * EACH) as u64);
    assert_eq!((client.stats().reset, server.stats().refused), (0, 0));
}

async fn small_messages_on_many_streams_lose_no_wake_up(kind: Kind) {
    const STREAMS: u8 = 20;
    const MESSAGES: usize = 100;
    let (client, server) = kind.sockets();
    let mut tasks = Vec::new();
    for number in 0..STREAMS {
        let (ours, theirs) = stream(&client, &server).await;
        tasks.push(rt::spawn(super::wires::echo(theirs)));
        tasks.push(rt::spawn(async move {
            let (mut reader, mut writer) = ours.into_split();
            for message in 0..MESSAGES {
                // Now and then one that goes through at once.
                let size = if message % 9 == 0 { 6_000 } else { 60 };
                rt::write_all(&mut writer, &vec![number; size]).await.unwrap();
                let read = rt::read_exact(&mut reader, size).await.unwrap();
                assert!(read.iter().all(|byte| *byte == number));
            }
            end(reader, writer).await;
        }));
    }
    for task in tasks {
        task.await;
    }
    settle(&client, &server).await;
}

async fn many_tasks_open_at_once(kind: Kind) {
    // More than may wait for the peer, who accepts late.
    let (client, server, _line) = kind.pair();
    let opening: Vec<_> = (0..300)
        .map(|_| {
            let client = client.clone();
            rt::spawn(async move {
                let mut stream = client.open().await.unwrap();
                rt::write_all(&mut stream, b"o").await.unwrap();
                rt::read_to_end(&mut stream).await.is_ok()
            })
        })
        .collect();
    let _serving = serve_all(server.clone());
    let mut served = 0;
    for task in opening {
        served += usize::from(task.await);
    }
    // Who comes when the backlog is full is refused; nobody waits for ever.
    assert!(served >= 200, "{served}");
}

/// Reads a byte of every stream, and ends it.
fn serve_all(server: rt::Connection) -> rt::Task<()> {
    rt::spawn(async move {
        while let Ok(mut stream) = server.accept().await {
            rt::spawn(async move {
                rt::read_exact(&mut stream, 1).await.unwrap();
                rt::close(&mut stream).await.unwrap();
                // On a wire with half-close the other side has to end as well.
                let _ = rt::read_to_end(&mut stream).await;
            })
            .detach();
        }
    })
}
