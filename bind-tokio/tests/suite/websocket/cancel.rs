//! Dials that are given up.

use super::sockets::{certificate, served};
use crate::cases::support::cancel_at;
use crate::rt::{self, DialOptions};

/// Dials again and again, given up at the first poll, the second and so on, until one is done.
/// Dialling, given up here, and what a WebSocket is read and written with, which only the driver of a
/// connection polls: its tests are those of the multiplexers, which run inside WebSockets as well.
/// `accept_upgraded` is ready at its first poll.
pub(crate) const FUTURES: [&str; 7] = [
    "websocket.rs accept_upgraded",
    "websocket.rs dial",
    "websocket.rs poll_flush",
    "websocket.rs poll_read",
    "websocket.rs poll_shutdown",
    "websocket.rs poll_write",
    "websocket.rs poll_write_vectored",
];

async fn dial_given_up(tls: bool) {
    let (listener, port) = rt::listen().await;
    let (file, config) = certificate();
    let serving = rt::spawn(async move {
        loop {
            let socket = rt::accept(&listener).await;
            let config = config.clone();
            rt::spawn(async move {
                // Those that were given up end somewhere in here.
                let served = match tls {
                    true => served(rt::tls(socket, config).await?).await,
                    false => served(socket).await,
                };
                served.map(drop)
            })
            .detach();
        }
    });
    let scheme = if tls { "wss" } else { "ws" };
    for at in 1.. {
        assert!(at < 10_000, "it is never ready");
        let mut options = DialOptions::new(format!("{scheme}://127.0.0.1:{port}"));
        options.ca_file = Some(file.0.clone());
        if let Some(dialled) = cancel_at(at, rt::dial(options)).await {
            dialled.unwrap();
            break;
        }
    }
    drop(serving);
}

#[test]
fn a_dial_given_up_at_any_poll_leaves_nothing_behind() {
    rt::each(async || dial_given_up(false).await);
}

#[test]
fn a_dial_with_tls_given_up_at_any_poll_leaves_nothing_behind() {
    rt::each(async || dial_given_up(true).await);
}
