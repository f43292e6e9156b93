//! Whoever uses a stream that is always ready lets the others of its thread run.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use trunkline_tokio::{Connection, Side, Stream, connection_over, smux, yamux};

/// Runs a test on a thread of its own: one that keeps its thread to itself fails all the same.
fn on_one_thread<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, over) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
        done.send(()).unwrap();
    });
    over.recv_timeout(Duration::from_secs(40)).expect("the others had their turn");
}

fn yamux_pair() -> (Connection, Connection) {
    let (local, remote) = duplex(64 << 10);
    let machine = |side| yamux::Connection::new(side, yamux::Config::default()).unwrap();
    let client = connection_over(local, machine(Side::Client));
    (client, connection_over(remote, machine(Side::Server)))
}

/// A transport that takes everything, and gives nothing.
struct Sink;

impl AsyncRead for Sink {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection without windows over that.
fn endless() -> Connection {
    connection_over(Sink, smux::Connection::new(Side::Client, smux::Config::default()).unwrap())
}

/// A task that is ready for ever, and how often it had its turn.
fn other() -> Arc<AtomicUsize> {
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    turns
}

/// Reads what is all there, byte by byte.
async fn reads(mut read: impl AsyncFnMut(&mut Stream)) {
    const COUNT: usize = 20_000;
    let (client, server) = yamux_pair();
    let mut ours = client.open().await.unwrap();
    ours.write_all(&[1; COUNT]).await.unwrap();
    let mut theirs = server.accept().await.unwrap();
    while server.stats().queued_in < COUNT {
        tokio::task::yield_now().await;
    }
    let turns = other();
    while theirs.stats().unwrap().queued_in > 0 {
        read(&mut theirs).await;
    }
    assert!(turns.load(Ordering::Relaxed) > 50, "{turns:?}");
}

#[test]
fn a_reader_of_what_is_there_lets_others_run() {
    on_one_thread(|| {
        reads(async |stream| {
            let _byte = stream.read_u8().await.unwrap();
        })
    });
}

#[test]
fn a_reader_at_the_end_lets_others_run() {
    on_one_thread(async || {
        let (client, server) = yamux_pair();
        let mut ours = client.open().await.unwrap();
        ours.shutdown().await.unwrap();
        let mut theirs = server.accept().await.unwrap();
        let turns = other();
        // Whoever overlooks the end.
        while turns.load(Ordering::Relaxed) < 10 {
            assert_eq!(theirs.read_chunk().await.unwrap(), None);
        }
    });
}

#[test]
fn a_writer_without_end_lets_others_run() {
    on_one_thread(async || {
        let connection = endless();
        let mut stream = connection.open().await.unwrap();
        let turns = other();
        while turns.load(Ordering::Relaxed) < 10 {
            stream.write_all(&[0; 8 << 10]).await.unwrap();
        }
        while turns.load(Ordering::Relaxed) < 20 {
            stream.write_bytes(&mut Bytes::from_static(&[0; 8 << 10])).await.unwrap();
        }
    });
}

#[test]
fn who_opens_without_end_lets_others_run() {
    on_one_thread(async || {
        let connection = endless();
        let turns = other();
        while turns.load(Ordering::Relaxed) < 10 {
            drop(connection.open().await.unwrap());
        }
    });
}
