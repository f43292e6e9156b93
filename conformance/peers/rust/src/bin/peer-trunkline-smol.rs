//! Trunkline itself as a peer, on smol: any wire, everything at its default.

use std::io;
use std::time::Duration;

use futures::future::BoxFuture;
use smol::net::{TcpListener, TcpStream};
use trunkline_peers::{Ours, Run, Trouble, WireName, machine, options, play};
use trunkline_smol::connection_over;

fn main() {
    let run = Run::start(options("trunkline-smol", "trunkline-smol", &WireName::ALL));
    smol::block_on(async {
        let outcome = match connect(run).await {
            Ok(socket) => play_over(run, socket).await,
            Err(error) => Err(Trouble::io("connecting", 0)(error)),
        };
        run.end(outcome)
    });
}

async fn connect(run: &Run) -> io::Result<TcpStream> {
    if run.options.is_client() {
        return TcpStream::connect(&run.options.address).await;
    }
    let listener = TcpListener::bind(&run.options.address).await?;
    run.listening(listener.local_addr()?);
    Ok(listener.accept().await?.0)
}

async fn play_over(run: &Run, socket: TcpStream) -> Result<&'static str, Trouble> {
    let connection = match run.options.wire {
        WireName::Yamux => connection_over(socket, machine::yamux(run)?),
        WireName::Smux1 | WireName::Smux2 => connection_over(socket, machine::smux(run)?),
        WireName::Wormhole => connection_over(socket, machine::wormhole(run)?),
    };
    play(run, &Ours::new(connection, |stream| stream, sleep)).await
}

fn sleep(time: Duration) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        smol::Timer::after(time).await;
    })
}
