//! The terminal in the page: a WebSocket on one side, a terminal of the tunnel on the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{Sink, SinkExt as _, StreamExt as _};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use trunkline_core::ExitStatus;
use trunkline_tokio::tunnel::{OwnTerminal, TerminalEvent, TerminalReader, TerminalWriter};

use super::body::{Answer, text};
use super::{Relay, upgrade};

/// Longest message of a browser: what somebody pastes comes in several.
const LONGEST: usize = 1 << 20;

/// How often a browser is asked for a sign of life.
const PING: Duration = Duration::from_secs(30);

/// How long it may take to give one.
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Size {
    cols: u16,
    rows: u16,
}

/// `/-/terminal/NAME?cols=..&rows=..`, for as long as what let the browser in holds.
pub(super) async fn open(
    relay: &Arc<Relay>,
    id: &str,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    pass: super::gate::Pass,
) -> Answer {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let number = |name: &str| {
        let each = query.split('&').filter_map(|pair| pair.split_once('='));
        each.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
    };
    let way = match relay.way(id).await {
        Ok(Some(way)) => way,
        Ok(None) => {
            return text(StatusCode::NOT_FOUND, format!("no agent named {id:?} has joined"));
        }
        Err(answer) => return answer,
    };
    let (answer, upgraded) = match upgrade::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(answer) => return answer,
    };
    let wanted = OwnTerminal {
        term: "xterm-256color".to_owned(),
        cols: number("cols").unwrap_or(120),
        rows: number("rows").unwrap_or(40),
        command: None,
    };
    let (relay, id) = (Arc::clone(relay), id.to_owned());
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let config = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(LONGEST))
            .max_frame_size(Some(LONGEST));
        let role = tokio_tungstenite::tungstenite::protocol::Role::Server;
        let io = hyper_util::rt::TokioIo::new(upgraded);
        let mut websocket = WebSocketStream::from_raw_socket(io, role, Some(config)).await;
        tracing::info!(agent = id, %peer, "a terminal was opened from the page");
        let end = match way.tunnel().open_terminal(wanted).await {
            Ok(terminal) => {
                let (mut reader, writer) = terminal.split();
                tokio::select! {
                    end = talk(&mut websocket, &mut reader, &writer) => end,
                    () = relay.let_go_of(&pass) => {
                        writer.reset();
                        Some(failure("the login is over"))
                    }
                }
            }
            Err(error) => Some(failure(&error.to_string())),
        };
        let farewell = async {
            if let Some(end) = end {
                let _ = websocket.send(Message::Binary(framed(2, end.as_bytes()))).await;
            }
            let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            let _ = websocket.close(Some(frame)).await;
        };
        let _ = timeout(ANSWER, farewell).await;
    });
    answer
}

/// Moves bytes both ways; what is to be told about the end, unless the browser has gone.
async fn talk(
    websocket: &mut WebSocketStream<upgrade::Io>,
    reader: &mut TerminalReader,
    writer: &TerminalWriter,
) -> Option<String> {
    let (mut sink, mut source) = websocket.split();
    // Neither direction waits for the other: a command may read only what it can answer.
    let shown = show(&mut sink, reader);
    let typed = async {
        // A browser answers pings, so one that has gone without a word is silent.
        while let Ok(Some(Ok(message))) = timeout(PING + ANSWER, source.next()).await {
            match message {
                // Why it cannot be written the other direction tells.
                Message::Binary(message) => drop(input(writer, message).await),
                Message::Ping(_) | Message::Pong(_) => {}
                _ => break,
            }
        }
    };
    tokio::select! {
        end = shown => end,
        () = typed => {
            writer.reset();
            None
        }
    }
}

/// Sends what the terminal shows; what is to be told about its end, unless the browser has gone.
async fn show(
    sink: &mut (impl Sink<Message> + Unpin),
    reader: &mut TerminalReader,
) -> Option<String> {
    let mut pings = tokio::time::interval_at(Instant::now() + PING, PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            _ = pings.tick() => Message::Ping(Bytes::new()),
            event = reader.next() => match event {
                Ok(Some(TerminalEvent::Output(output))) => Message::Binary(framed(0, &output)),
                Ok(Some(TerminalEvent::End(status))) => return Some(told(&status)),
                Ok(_) => return Some(failure("the terminal is over")),
                Err(error) => return Some(failure(&error.to_string())),
            },
        };
        sink.send(message).await.ok()?;
    }
}

async fn input(writer: &TerminalWriter, mut message: Bytes) -> std::io::Result<()> {
    if message.is_empty() {
        return Ok(());
    }
    match message.split_to(1).first() {
        Some(0) => writer.write(message).await,
        Some(1) => match serde_json::from_slice::<Size>(&message) {
            Ok(size) => writer.resize(size.cols, size.rows).await,
            Err(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

fn framed(kind: u8, payload: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(payload.len() + 1);
    message.put_u8(kind);
    message.extend_from_slice(payload);
    message.freeze()
}

fn told(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Exited { code, text, .. } if text.is_empty() => format!("{{\"code\":{code}}}"),
        ExitStatus::Exited { text, .. } => failure(text),
        ExitStatus::Signaled(signal) => format!("{{\"signal\":{signal}}}"),
        ExitStatus::Ended => "{\"code\":null}".to_owned(),
        status => failure(&status.to_string()),
    }
}

fn failure(text: &str) -> String {
    serde_json::json!({ "error": text }).to_string()
}
