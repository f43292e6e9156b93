//! What becomes of a connection when an executor that used it is gone. The one that drives it is
//! smol's own, which nobody can drop.

use std::time::Duration;

use futures_lite::future::{block_on, or, poll_once};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use trunkline_smol::{Connection, Side, connection_over, yamux};

fn pair() -> (Connection, Connection) {
    let (local, remote) = smol::net::unix::UnixStream::pair().unwrap();
    let machine = |side| yamux::Connection::new(side, yamux::Config::default()).unwrap();
    let client = connection_over(local, machine(Side::Client));
    (client, connection_over(remote, machine(Side::Server)))
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let late = async {
        smol::Timer::after(Duration::from_secs(20)).await;
        panic!("nobody was told");
    };
    or(future, late).await
}

#[test]
fn an_executor_that_goes_lets_go_of_its_streams_and_of_nothing_else() {
    let (client, server) = pair();
    let executor = smol::Executor::new();
    let (mut reader, mut writer) = block_on(async {
        let mut mine = client.open().await.unwrap();
        mine.write_all(b"mine").await.unwrap();
        let mut kept = client.open().await.unwrap();
        kept.write_all(b"kept").await.unwrap();
        // One that waits on the executor, for the stream as well as for the connection.
        let waiting = client.clone();
        executor
            .spawn(async move {
                let mut byte = [0];
                let _ = or(async { mine.read(&mut byte).await.is_ok() }, async {
                    waiting.accept().await.is_ok()
                })
                .await;
            })
            .detach();
        while executor.try_tick() {}
        kept.into_split()
    });
    let mut theirs = block_on(server.accept()).unwrap();
    let mut others = block_on(server.accept()).unwrap();
    drop(executor);
    // The one that it had is let go, which on this wire is a reset.
    block_on(in_time(async {
        let mut bytes = [0; 4];
        let _ = theirs.read_exact(&mut bytes).await;
        assert!(theirs.read(&mut bytes).await.is_err());
    }));
    // Everything else goes on; nobody has kept the place of who accepted.
    block_on(in_time(async {
        let mut bytes = [0; 4];
        others.read_exact(&mut bytes).await.unwrap();
        others.write_all(&bytes).await.unwrap();
        reader.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"kept");
        writer.write_all(b"more").await.unwrap();
        others.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"more");
        assert!(poll_once(client.accept()).await.is_none());
        let _opened = server.open().await.unwrap();
        client.accept().await.unwrap();
    }));
}
