//! What becomes of a connection whose runtime is gone while others wait for it.

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::mpsc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use trunkline_core::mux::Mux;
use trunkline_tokio::{
    CloseReason, Connection, MuxError, Side, StreamEnd, connection_over, smux, wormhole, yamux,
};

/// The runtimes that can be dropped.
fn runtimes() -> [Runtime; 2] {
    let one = Builder::new_current_thread().enable_all().build();
    let two = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    [one.unwrap(), two.unwrap()]
}

/// Something that another thread waits for, on a runtime of its own.
struct Waiting<T>(mpsc::Receiver<T>);

/// Returns once the future has been polled in vain.
fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Waiting<T> {
    let (polled, begun) = mpsc::sync_channel(1);
    let (told, result) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let value = runtime.block_on(async {
            let mut future = pin!(future);
            poll_fn(|cx| {
                let poll = future.as_mut().poll(cx);
                let _ = polled.try_send(poll.is_pending());
                poll
            })
            .await
        });
        let _ = told.send(value);
    });
    assert!(begun.recv_timeout(Duration::from_secs(20)).unwrap(), "it did not wait");
    Waiting(result)
}

impl<T> Waiting<T> {
    fn told(self) -> T {
        self.0.recv_timeout(Duration::from_secs(20)).expect("it is told")
    }
}

fn lost(error: &std::io::Error) -> bool {
    matches!(
        MuxError::of(error),
        Some(MuxError::Connection(_) | MuxError::Stream(StreamEnd::Connection(_)))
    )
}

fn a_runtime_goes<M, E>(machine: impl Fn(Side) -> Result<M, E>)
where
    M: Mux + Send + 'static,
    E: Debug,
{
    for (theirs, ours) in runtimes().into_iter().zip(runtimes()) {
        // The peer's end, which lives on, and is never read.
        let (local, remote) = std::os::unix::net::UnixStream::pair().unwrap();
        local.set_nonblocking(true).unwrap();
        remote.set_nonblocking(true).unwrap();
        let connect = |end, side| -> Connection {
            connection_over(UnixStream::from_std(end).unwrap(), machine(side).unwrap())
        };
        let _server = theirs.block_on(async { connect(remote, Side::Server) });
        let client = ours.block_on(async { connect(local, Side::Client) });
        let open = || ours.block_on(client.open()).unwrap();
        let (mut reader, mut writer) = open().into_split();
        let reading = wait(async move { reader.read_chunk().await });
        let writing = wait(async move {
            loop {
                if let Err(error) = writer.write_all(&[1; 20_000]).await {
                    break error;
                }
                // So that it is seen to wait, whether or not the peer still takes anything.
                tokio::task::yield_now().await;
            }
        });
        let watched = open();
        let watching = wait(async move { watched.closed().await });
        let accepting = wait({
            let client = client.clone();
            async move { client.accept().await.map(drop) }
        });
        let closing = wait({
            let client = client.clone();
            async move { client.closed().await }
        });
        let later = open();
        drop(ours);
        assert!(lost(&reading.told().unwrap_err()));
        assert!(lost(&writing.told()));
        assert!(matches!(watching.told(), StreamEnd::Connection(_)));
        assert!(lost(&accepting.told().unwrap_err()));
        let reason = closing.told();
        assert_ne!(reason, CloseReason::Local);
        // Who comes later is told the same, at once and without a panic.
        let now = Builder::new_current_thread().build().unwrap();
        assert!(lost(&now.block_on(client.open()).unwrap_err()));
        assert_eq!(now.block_on(client.close()), reason);
        assert_eq!(client.close_reason(), Some(reason));
        assert_eq!((client.stats().queued_in, client.opens()), (0, false));
        later.reset();
        drop((later, client));
    }
}

#[test]
fn a_runtime_that_goes_under_a_connection_ends_its_streams() {
    a_runtime_goes(|side| yamux::Connection::new(side, yamux::Config::default()));
    a_runtime_goes(|side| smux::Connection::new(side, smux::Config::default()));
    a_runtime_goes(|side| wormhole::Connection::new(side, wormhole::Config::default()));
}

#[test]
fn a_connection_made_on_a_runtime_that_is_gone_is_lost() {
    for runtime in runtimes() {
        let handle = runtime.handle().clone();
        drop(runtime);
        let _inside = handle.enter();
        let (transport, _peer) = tokio::io::duplex(1_000);
        let machine = yamux::Connection::new(Side::Client, yamux::Config::default()).unwrap();
        let connection = connection_over(transport, machine);
        assert!(connection.close_reason().is_some_and(|reason| reason != CloseReason::Local));
        let now = Builder::new_current_thread().build().unwrap();
        assert!(lost(&now.block_on(connection.open()).unwrap_err()));
    }
}
