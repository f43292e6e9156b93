//! An echo over every multiplexer: many streams over one pair of sockets, over smol.
//!
//! ```sh
//! cargo run -p trunkline-smol --example echo_smol            # all wires, one after the other
//! cargo run -p trunkline-smol --example echo_smol -- yamux   # one of them
//! ```

use std::time::Instant;

use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::unix::UnixStream;
use trunkline_smol::{Connection, Side, Stream, connection_over, smux, wormhole, yamux};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The wire is chosen in one line; nothing else in this program depends on it.
fn connection(wire: &str, transport: UnixStream, side: Side) -> Result<Connection> {
    let mut smux_2 = smux::Config::default();
    smux_2.version = smux::Version::Two;
    Ok(match wire {
        "wormhole" => {
            connection_over(transport, wormhole::Connection::new(side, Default::default())?)
        }
        "yamux" => connection_over(transport, yamux::Connection::new(side, Default::default())?),
        "smux" => connection_over(transport, smux::Connection::new(side, Default::default())?),
        "smux2" => connection_over(transport, smux::Connection::new(side, smux_2)?),
        other => return Err(format!("no such wire: {other}").into()),
    })
}

/// Sends everything back until the other side ends the stream.
async fn echo(mut stream: Stream) -> Result<()> {
    while let Some(mut chunk) = stream.read_chunk().await? {
        stream.write_bytes(&mut chunk).await?;
    }
    Ok(stream.close().await?)
}

/// Accepts streams until the connection is over; each is served by a task of its own.
async fn serve(connection: Connection) {
    while let Ok(stream) = connection.accept().await {
        let echoing = smol::spawn(async move {
            if let Err(error) = echo(stream).await {
                eprintln!("a stream was lost: {error}");
            }
        });
        echoing.detach();
    }
}

/// Asks, and waits for the answer. The end comes last: on a wire without half-close it would end the
/// answer as well.
async fn ask(mut stream: Stream, number: usize) -> Result<usize> {
    let question = format!("hello {number}, ").repeat(number + 1);
    stream.write_all(question.as_bytes()).await?;
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer).await?;
    stream.close().await?;
    match answer == question.as_bytes() {
        true => Ok(answer.len()),
        false => Err("another answer".into()),
    }
}

async fn run(wire: &str) -> Result<()> {
    // Any `AsyncRead + AsyncWrite` will do: TCP, TLS, a pipe, a stream of another connection.
    let (near, far) = UnixStream::pair()?;
    let serving = smol::spawn(serve(connection(wire, far, Side::Server)?));
    let client = connection(wire, near, Side::Client)?;

    let begun = Instant::now();
    let mut asking = Vec::new();
    for number in 0..100 {
        asking.push(smol::spawn(ask(client.open().await?, number)));
    }
    let mut bytes = 0;
    for asked in asking {
        bytes += asked.await?;
    }
    let took = begun.elapsed();
    let stats = client.stats();
    println!("{wire}: {} streams, {bytes} bytes there and back in {took:?}", stats.opened);

    // In order: what was written is sent first.
    client.close().await;
    serving.await;
    Ok(())
}

fn main() -> Result<()> {
    let wires: Vec<String> = std::env::args().skip(1).collect();
    smol::block_on(async {
        if !wires.is_empty() {
            for wire in &wires {
                run(wire).await?;
            }
            return Ok(());
        }
        for wire in ["wormhole", "yamux", "smux", "smux2"] {
            run(wire).await?;
        }
        Ok(())
    })
}
