//! A pool of connections: dials when it must, spreads streams, and gets over a connection that dies;
//! over tokio.
//!
//! ```sh
//! cargo run -p trunkline-tokio --example pool
//! ```

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use trunkline_tokio::{
    Connection, Pool, PoolConfig, PoolPolicy, Side, Stream, connection_over, yamux,
};

fn connection(transport: TcpStream, side: Side) -> io::Result<Connection> {
    let machine = yamux::Connection::new(side, yamux::Config::default());
    Ok(connection_over(transport, machine.map_err(io::Error::other)?))
}

/// A server of many connections with many streams: each sends back what comes.
async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let connection = connection(listener.accept().await?.0, Side::Server)?;
        drop(tokio::spawn(async move {
            while let Ok(mut stream) = connection.accept().await {
                drop(tokio::spawn(async move {
                    while let Ok(Some(mut chunk)) = stream.read_chunk().await {
                        if stream.write_bytes(&mut chunk).await.is_err() {
                            return;
                        }
                    }
                }));
            }
        }));
    }
}

/// One question and its answer, on a stream that stays open.
async fn ask(stream: &mut Stream, question: &[u8]) -> io::Result<()> {
    stream.write_all(question).await?;
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer).await?;
    match answer == question {
        true => Ok(()),
        false => Err(io::Error::other("another answer")),
    }
}

/// How a connection is made: whatever gives one will do.
async fn dial(address: SocketAddr) -> io::Result<Connection> {
    connection(TcpStream::connect(address).await?, Side::Client)
}

fn show(what: &str, pool: &Pool<Connection>) {
    let stats = pool.stats();
    println!(
        "{what}: {} connections, {} of them idle; {} dialled and {} streams opened so far",
        stats.active_connections,
        stats.idle_connections,
        stats.total_connections,
        stats.total_streams
    );
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    drop(tokio::spawn(serve(listener)));

    let mut config = PoolConfig::default();
    config.max_size = 4;
    config.policy = PoolPolicy::LeastStreams { grow_at: 10 };
    let pool = Pool::new(config, move || dial(address));
    // So that the first caller need not wait.
    pool.warm_up().await?;
    show("warm", &pool);

    let mut streams = Vec::new();
    for number in 0..25 {
        let mut stream = pool.open().await?;
        ask(&mut stream, format!("question {number}").as_bytes()).await?;
        streams.push(stream);
    }
    show("busy", &pool);

    // One of them dies. Its streams are lost, and say so; whoever comes next does not notice.
    pool.get().await?.abort();
    let mut lost = 0;
    for stream in &mut streams {
        lost += usize::from(ask(stream, b"still there?").await.is_err());
    }
    println!("lost: {lost} streams with the connection that was ended");
    let mut stream = pool.open().await?;
    ask(&mut stream, b"and you?").await?;
    show("mended", &pool);

    drop((stream, streams));
    pool.close().await;
    show("closed", &pool);
    Ok(())
}
