//! Both ends of an agent tunnel, and a web server behind one of them, over tokio.
//!
//! The agent dials, as from behind NAT; whoever it dialled makes HTTP calls to the agent's web
//! server through the connection.
//!
//! ```sh
//! cargo run -p trunkline-tokio --example tunnel
//! ```

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use trunkline_tokio::tunnel::{
    AgentOptions, Dialect, LocalService, Registry, Tunnel, TunnelOptions, serve_tunnel,
};
use trunkline_tokio::{
    Connection, DialOptions, Side, WebSocketLimits, accept_key, accept_upgraded, carrier, dial,
    websocket_over, yamux,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The web server behind the agent: says hello to everybody.
async fn web_server(listener: TcpListener) -> Result<()> {
    loop {
        let (mut socket, _) = listener.accept().await?;
        let head = head(&mut socket).await?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        let body = format!("hello from {path}");
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        socket.write_all(answer.as_bytes()).await?;
    }
}

/// The head of a request.
async fn head(socket: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

/// Makes a WebSocket of a request by hand; with axum or hyper theirs would do.
async fn accept(listener: &TcpListener) -> Result<Connection> {
    let (mut socket, _) = listener.accept().await?;
    let head = head(&mut socket).await?;
    let keys = head.lines().filter_map(|line| line.split_once(": "));
    let key = keys.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = key.map(|(_, key)| key).next().ok_or("no WebSocket")?;
    let accepted = accept_key(key);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accepted}\r\n\r\n"
    );
    socket.write_all(answer.as_bytes()).await?;
    let websocket = accept_upgraded(socket, Side::Server, WebSocketLimits::default()).await;
    let machine = yamux::Connection::new(Side::Server, yamux::Config::agent_tunnel())?;
    Ok(websocket_over(websocket, machine, carrier::Config::default()))
}

/// The agent: dials, and serves what is opened.
async fn agent(relay: String, web: String) -> Result<()> {
    let (websocket, _) = dial(DialOptions::new(relay)).await?;
    let machine = yamux::Connection::new(Side::Client, yamux::Config::agent_tunnel())?;
    let connection = websocket_over(websocket, machine, carrier::Config::default());
    let mut options = AgentOptions::default();
    options.http = Some(LocalService::new(&web)?);
    let reason = serve_tunnel(connection, Dialect::Own, Arc::new(options)).await;
    eprintln!("the tunnel is over: {reason}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let (web, relay) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let (web_at, relay_at) = (web.local_addr()?, relay.local_addr()?);
    tokio::spawn(web_server(web));
    let agent = tokio::spawn(agent(format!("ws://{relay_at}/join"), web_at.to_string()));

    let registry = Registry::new();
    let mut options = TunnelOptions::default();
    options.dialect = Dialect::Own;
    registry.register("box1", Tunnel::new(accept(&relay).await?, options));

    let tunnel = registry.get("box1").ok_or("nobody has joined")?;
    for path in ["/a", "/b?c=d"] {
        let request = http::Request::get(path).body(Full::default())?;
        let answer = tunnel.open_http(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        println!("{status}: {}", String::from_utf8_lossy(&body));
    }
    tunnel.close().await;
    agent.await?
}
