//! Hazards of the agent tunnel, both ends ours, over a transport in memory:
//! `docs/protocols/agent-tunnel.md` section 10.
#![cfg(feature = "tunnel")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use trunkline_tokio::tunnel::{
    AgentOptions, Dialect, Fault, LocalService, Tunnel, TunnelBody, TunnelError, TunnelOptions,
    serve_tunnel,
};
use trunkline_tokio::{Side, connection_over, yamux};

/// Far more than any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tunnel to an agent whose local web server hands each connection to `serve`.
async fn tunnel<F>(dialect: Dialect, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Tunnel
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = target.local_addr().unwrap().to_string();
    drop(tokio::spawn(async move {
        while let Ok((socket, _)) = target.accept().await {
            drop(tokio::spawn(serve(socket)));
        }
    }));
    let (near, far) = tokio::io::duplex(64 << 10);
    let machine = |side| yamux::Connection::new(side, yamux::Config::agent_tunnel()).unwrap();
    let mut agent = AgentOptions::default();
    agent.http = Some(LocalService::new(&address).unwrap());
    let connection = connection_over(far, machine(Side::Client));
    drop(tokio::spawn(serve_tunnel(connection, dialect, Arc::new(agent))));
    let mut options = TunnelOptions::default();
    options.dialect = dialect;
    Tunnel::new(connection_over(near, machine(Side::Server)), options)
}

/// Reads the head of a request, and not a byte of its body that it can leave.
async fn read_head(socket: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(())
}

async fn call(
    tunnel: &Tunnel,
    method: &str,
    body: Bytes,
) -> Result<Response<TunnelBody>, TunnelError> {
    let request = Request::builder().method(method).uri("/x").body(Full::new(body)).unwrap();
    timeout(PATIENCE, tunnel.open_http(request)).await.expect("an answer in time")
}

async fn text(response: Response<TunnelBody>) -> Result<Bytes, TunnelError> {
    let body = timeout(PATIENCE, response.into_body().collect()).await.expect("an end in time");
    body.map(|body| body.to_bytes())
}

#[tokio::test]
async fn an_early_answer_to_a_large_upload_arrives_whole() {
    for dialect in [Dialect::Original, Dialect::Own] {
        // The service answers at once, and reads nothing of 8 MiB while anybody waits.
        let tunnel = tunnel(dialect, |mut socket| async move {
            read_head(&mut socket).await?;
            socket.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge").await?;
            std::future::pending().await
        })
        .await;
        for _ in 0..3 {
            let response = call(&tunnel, "POST", Bytes::from(vec![7; 8 << 20])).await.unwrap();
            assert_eq!(response.status(), 413, "{dialect:?}");
            assert_eq!(text(response).await.unwrap(), "large", "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn an_early_answer_that_only_its_end_delimits_arrives_whole() {
    for dialect in [Dialect::Original, Dialect::Own] {
        let tunnel = tunnel(dialect, |mut socket| async move {
            read_head(&mut socket).await?;
            socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nlarge").await?;
            socket.shutdown().await?;
            std::future::pending().await
        })
        .await;
        for _ in 0..3 {
            let response = call(&tunnel, "POST", Bytes::from(vec![7; 8 << 20])).await.unwrap();
            assert_eq!(text(response).await.unwrap(), "large", "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_a_large_upload_arrives_whole() {
    for dialect in [Dialect::Original, Dialect::Own] {
        let tunnel = tunnel(dialect, |socket| async move {
            drop(socket);
            Ok(())
        })
        .await;
        let response = call(&tunnel, "POST", Bytes::from(vec![7; 8 << 20])).await.unwrap();
        assert_eq!(response.status(), 502, "{dialect:?}");
        let text = text(response).await.unwrap();
        assert!(text.starts_with(b"local service error: "), "{text:?}");
    }
}

#[tokio::test]
async fn a_body_that_the_service_cuts_off_is_an_error_and_never_an_end() {
    for dialect in [Dialect::Original, Dialect::Own] {
        let tunnel = tunnel(dialect, |mut socket| async move {
            read_head(&mut socket).await?;
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n10 of 1000").await
        })
        .await;
        // The cut may come before or behind the head, as the machine is busy.
        let outcome = match call(&tunnel, "GET", Bytes::new()).await {
            Ok(response) => text(response).await,
            Err(error) => Err(error),
        };
        let Err(TunnelError::Failed(fault)) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(fault, Fault::Reset | Fault::Truncated(_)), "{fault:?}");
    }
}
