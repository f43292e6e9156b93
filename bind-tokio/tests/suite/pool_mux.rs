//! The pool over real connections, of every wire.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::mux::wires::{Kind, over_each_wire};
use super::pool_fake::restless;
use super::support::{Pattern, cancel_at, eventually};
use super::wire::{Fate, Line};
use crate::rt::{self, CloseReason, Connection, Pool, PoolConfig, PoolPolicy, Stream};

over_each_wire!(
    streams_of_a_pool_carry_what_others_do,
    a_lost_connection_costs_its_streams_and_nobody_else,
    an_open_that_finds_its_connection_lost_takes_another,
    opens_given_up_at_any_poll_leave_no_stream,
    unused_connections_are_closed_in_order,
    closing_a_pool_sends_what_was_written,
);

/// The far ends of a pool's connections, in the order of their dials, and the wires to them.
#[derive(Clone, Default)]
struct Far(Arc<Mutex<Vec<(Connection, Line)>>>);

impl Far {
    /// A pool of connections to this side, which gives everything back.
    fn pool(&self, kind: Kind, change: impl FnOnce(&mut PoolConfig)) -> Pool<Connection> {
        let mut config = PoolConfig::default();
        (config.connect_timeout, config.max_idle_time) = (None, None);
        change(&mut config);
        let far = self.clone();
        Pool::new(config, move || {
            let far = far.clone();
            async move {
                let (client, server, line) = kind.pair();
                rt::spawn(give_back(server.clone())).detach();
                far.0.lock().unwrap().push((server, line));
                Ok(client)
            }
        })
    }

    fn dials(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn at(&self, number: usize) -> (Connection, Line) {
        self.0.lock().unwrap()[number].clone()
    }
}

/// Gives back what comes on every stream; whatever is lost here is looked at by the pool's side.
async fn give_back(server: Connection) {
    while let Ok(mut stream) = server.accept().await {
        let giving = async move {
            while let Ok(Some(mut chunk)) = stream.read_chunk().await {
                if stream.write_bytes(&mut chunk).await.is_err() {
                    return;
                }
            }
        };
        rt::spawn(giving).detach();
    }
}

/// Asks for an answer that is what was asked.
async fn ask(stream: &mut Stream, length: usize) -> io::Result<()> {
    let question = Pattern::new().head(length);
    rt::write_all(stream, &question).await?;
    assert!(rt::read_exact(stream, length).await? == question, "another answer");
    Ok(())
}

fn spread(grow_at: usize) -> impl FnOnce(&mut PoolConfig) {
    move |config| config.policy = PoolPolicy::LeastStreams { grow_at }
}

async fn streams_of_a_pool_carry_what_others_do(kind: Kind) {
    let far = Far::default();
    let pool = far.pool(kind, spread(5));
    let mut streams = Vec::new();
    for number in 0..20 {
        let mut stream = pool.open().await.unwrap();
        ask(&mut stream, 1 + number * 1_000).await.unwrap();
        streams.push(stream);
    }
    assert_eq!((far.dials(), pool.len()), (4, 4));
    let stats = pool.stats();
    assert_eq!((stats.total_streams, stats.idle_connections), (20, 0));
    drop(streams);
    eventually("all are idle", || pool.stats().idle_connections == 4).await;
    pool.close().await;
    for number in 0..4 {
        let (server, _) = far.at(number);
        server.closed().await;
    }
}

async fn a_lost_connection_costs_its_streams_and_nobody_else(kind: Kind) {
    for fate in [Fate::End, Fate::Reset] {
        let far = Far::default();
        let pool = far.pool(kind, spread(1));
        let mut first = pool.open().await.unwrap();
        ask(&mut first, 10).await.unwrap();
        let mut second = pool.open().await.unwrap();
        ask(&mut second, 10).await.unwrap();
        assert_eq!(far.dials(), 2);
        far.at(0).1.down.cut(fate);
        let error = rt::read_to_end(&mut first).await.unwrap_err();
        assert!(rt::MuxError::of(&error).is_some(), "{error:?}");
        eventually("it is out of the pool", || pool.len() == 1).await;
        ask(&mut second, 100).await.unwrap();
        let mut third = pool.open().await.unwrap();
        ask(&mut third, 100).await.unwrap();
        assert_eq!(far.dials(), 3);
        pool.close().await;
    }
}

async fn an_open_that_finds_its_connection_lost_takes_another(kind: Kind) {
    let far = Far::default();
    let pool = far.pool(kind, |_| ());
    // The connection is ended between the moments in which it is given and used: open after open,
    // while somebody ends one after the other.
    for _ in 0..20 {
        let held = pool.get().await.unwrap();
        let opening = rt::spawn({
            let pool = pool.clone();
            async move { pool.open().await }
        });
        held.abort();
        // Either it was opened before the end, and is lost like any, or it is on another one.
        drop(opening.await.unwrap());
    }
    let mut stream = pool.open().await.unwrap();
    ask(&mut stream, 1_000).await.unwrap();
    assert_eq!(pool.len(), 1);
    pool.close().await;
}

async fn opens_given_up_at_any_poll_leave_no_stream(kind: Kind) {
    let far = Far::default();
    let pool = far.pool(kind, |_| ());
    pool.warm_up().await.unwrap();
    for polls in 1..8 {
        if let Some(stream) = cancel_at(polls, restless(pool.open())).await {
            ask(&mut stream.unwrap(), 10).await.unwrap();
        }
        let (pool, far) = (&pool, &far);
        eventually("it has none", || {
            pool.stats().waiting == 0
                && pool.len() == pool.stats().idle_connections
                && (0..far.dials()).all(|number| far.at(number).0.stats().streams == 0)
        })
        .await;
    }
    assert_eq!(far.dials(), 1);
    pool.close().await;
}

async fn unused_connections_are_closed_in_order(kind: Kind) {
    let far = Far::default();
    let pool = far.pool(kind, |config| {
        (config.min_size, config.max_idle_time) = (0, Some(Duration::from_millis(20)));
    });
    let mut stream = pool.open().await.unwrap();
    ask(&mut stream, 10).await.unwrap();
    let ours = pool.get().await.unwrap();
    assert!(ours.close_reason().is_none());
    drop(stream);
    // By this side and by nothing that came in between, so the peer finds an end and no break.
    assert_eq!(ours.closed().await, CloseReason::Local);
    far.at(0).0.closed().await;
    eventually("the pool is empty", || pool.is_empty()).await;
    drop(pool.get().await.unwrap());
    assert_eq!(far.dials(), 2);
}

async fn closing_a_pool_sends_what_was_written(kind: Kind) {
    let (client, server, _line) = kind.pair();
    let client = Mutex::new(Some(client));
    let pool = Pool::new(PoolConfig::default(), move || {
        let client = client.lock().unwrap().take();
        async move { client.ok_or_else(|| io::Error::other("only one")) }
    });
    let mut stream = pool.open().await.unwrap();
    let all = Pattern::new().head(100_000);
    rt::write_all(&mut stream, &all).await.unwrap();
    rt::close(&mut stream).await.unwrap();
    let mut stream = server.accept().await.unwrap();
    pool.close().await;
    // All of it has come, its end as well, and outlives the connection.
    server.closed().await;
    assert!(rt::read_to_end(&mut stream).await.unwrap() == all);
}

#[test]
fn a_peer_that_wants_no_more_streams_is_out_of_the_pool_and_its_streams_go_on() {
    rt::each(async || {
        let far = Far::default();
        let pool = far.pool(Kind::Yamux, |_| ());
        let mut old = pool.open().await.unwrap();
        ask(&mut old, 10).await.unwrap();
        far.at(0).0.go_away();
        eventually("it is out of the pool", || pool.is_empty()).await;
        let mut new = pool.open().await.unwrap();
        ask(&mut new, 100).await.unwrap();
        ask(&mut old, 100).await.unwrap();
        assert_eq!(far.dials(), 2);
        pool.close().await;
        // It was not the pool's any more.
        ask(&mut old, 100).await.unwrap();
    });
}
