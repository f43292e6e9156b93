//! The end of a connection that has just written something, to a peer that says nothing.

use std::fmt::Debug;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, duplex};
use trunkline_core::mux::{Mux, Side};
use trunkline_core::{smux, wormhole, yamux};
use trunkline_tokio::{CloseReason, connection_over};

/// A silent peer wakes nobody: the connection has to see by itself that it is through.
async fn closes_behind_a_write<E: Debug>(machine: Result<impl Mux + Send + 'static, E>) {
    let (ours, _silent) = duplex(1 << 16);
    let connection = connection_over(ours, machine.unwrap());
    let mut stream = connection.open().await.unwrap();
    stream.write_all(b"the last words").await.unwrap();
    // Before the driver gets its turn, so that the words and the end are in one.
    let closed = tokio::time::timeout(Duration::from_secs(20), connection.close()).await;
    assert_eq!(closed.unwrap(), CloseReason::Local);
}

#[tokio::test]
async fn a_close_behind_a_write_waits_for_no_peer() {
    closes_behind_a_write(yamux::Connection::new(Side::Server, yamux::Config::default())).await;
    closes_behind_a_write(smux::Connection::new(Side::Client, smux::Config::default())).await;
    let config = wormhole::Config::default();
    closes_behind_a_write(wormhole::Connection::new(Side::Client, config)).await;
}
