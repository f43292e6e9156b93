//! `trunkline relay --demo`: relay, agent and a small web server on one machine, to try.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::RelayArgs;
use super::body::{Answer, Body, text, whole};
use crate::report::{Failure, Outcome};
use crate::tunnel::JoinArgs;

/// The agent's name.
const NAME: &str = "demo";

/// The page of the small web server.
const PAGE: &str = include_str!("../../assets/demo.html");

/// Runs all three until the process is told to end.
pub(super) async fn run(mut args: RelayArgs) -> Outcome {
    // Where the usual port is taken, any other will do.
    if args.listen == super::options::LISTEN && TcpListener::bind(&args.listen).await.is_err() {
        args.listen = "127.0.0.1:0".to_owned();
    }
    let relay = super::start(args).await?;
    let bound = TcpListener::bind("127.0.0.1:0").await;
    let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (local, listener) =
        bound.map_err(|error| Failure::local(format!("cannot listen on loopback: {error}")))?;
    tokio::spawn(serve(listener));
    let address = relay.address();
    let join = JoinArgs {
        relay: address.clone(),
        id: NAME.to_owned(),
        token_file: None,
        token_in_url: false,
        http: Some(local.to_string()),
        keep_host: false,
        shell: true,
        allow: local.to_string().parse().into_iter().collect(),
        ca_file: None,
        once: false,
    };
    println!("{}", instructions(&address, &local.to_string()));
    let agent = crate::tunnel::stay(join);
    tokio::select! {
        outcome = relay.serve() => outcome,
        outcome = agent => outcome,
    }
}

/// What to click and what to type.
fn instructions(relay: &str, local: &str) -> String {
    format!(
        "
Relay, agent and a small web server run here now, on loopback only.

  Open in a browser:
    {relay}/            the relay's page: the agent, and a terminal on it
    {relay}/{NAME}/       the web server ({local}), through the tunnel

  Type in another terminal:
    trunkline shell --relay {relay} {NAME}
    trunkline forward --relay {relay} {NAME} -L 8081:{local}
    curl {relay}/{NAME}/clock          # server-sent events
    curl -T FILE {relay}/{NAME}/count  # upload, as large as you like

Ctrl-C ends it all.
"
    )
}

async fn serve(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(async move {
            let service =
                service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Answer {
    match (request.method().clone(), request.uri().path()) {
        (Method::GET | Method::HEAD, "/") => {
            whole(StatusCode::OK, "text/html; charset=utf-8", PAGE)
        }
        (Method::GET, "/clock") => clock(),
        (Method::PUT | Method::POST, "/count") => count(request.into_body()).await,
        _ => text(StatusCode::NOT_FOUND, "there is nothing here"),
    }
}

/// Says how many bytes came.
async fn count(mut body: Incoming) -> Answer {
    let mut bytes: u64 = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return text(StatusCode::BAD_REQUEST, "the body was cut off") };
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    text(StatusCode::OK, format!("{bytes} bytes"))
}

/// A tick a second, as server-sent events.
fn clock() -> Answer {
    let (ticks, body) = mpsc::channel(1);
    tokio::spawn(async move {
        for tick in 0_u64.. {
            if ticks.send(Bytes::from(format!("data: {tick}\n\n"))).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut answer = Response::new(Body::Events(body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
