//! Streams that an agent opens at a server: control streams are taken, all others refused.

use bytes::Bytes;
use serde_json::Value;
use trunkline_core::mux::{Opened, Side, StreamKey};
use trunkline_core::tunnel::{
    ControlCollector, End as StreamOver, HeaderDecoder, MAX_CONTROL, StreamType,
};
use trunkline_core::{Message, carrier, yamux};

use super::end::End;
use super::rejects::RejectCase;
use crate::case::{Check, ensure, unknown};
use crate::report::Verdict;

/// What a server makes of one stream.
struct Seen {
    /// The document, once the stream has ended.
    info: Option<Bytes>,
    /// How the agent sees the stream end.
    agent_reads: Option<StreamOver>,
    open: bool,
}

/// Runs a case: an agent opens a stream, writes `bytes` on it, and ends it or not.
///
/// # Errors
///
/// [`Verdict::Fail`] when something else becomes of it, by default or under `reference()`.
pub(super) fn check(case: &RejectCase, bytes: &[u8], size: usize, finish: bool) -> Check {
    for reference in [false, true] {
        let seen = play(bytes, size, finish, reference)?;
        let too_long = !reference && bytes.len() > MAX_CONTROL + 5;
        let refused = case.refuses_stream()? || too_long;
        // What is longer than may be is refused, and nothing is told of it.
        let told = |value: &Value, key: &str| match key {
            "on_agent_info" | "on_agent_info_bytes" if too_long => Value::Null,
            _ => value.clone(),
        };
        for (key, value) in &case.go {
            match (key.as_str(), &told(value, key)) {
                ("tunnel", Value::String(state)) => {
                    ensure(seen.open == (state == "open"), || format!("open: {}", seen.open))?;
                }
                ("on_agent_info" | "on_agent_info_bytes", Value::Null) => {
                    ensure(seen.info.is_none(), || "a document is told".into())?;
                }
                ("on_agent_info", Value::String(text)) => {
                    let same = seen.info.as_deref() == Some(text.as_bytes());
                    ensure(same, || format!("expected {text:?}, seen {:?}", seen.info))?;
                }
                ("on_agent_info_bytes", count) => {
                    let length = seen.info.as_ref().map(Bytes::len);
                    let same = length.map(Value::from).as_ref() == Some(count);
                    ensure(same, || format!("expected {count} bytes, seen {length:?}"))?;
                }
                ("agent_reads", Value::String(read)) => {
                    let expected = match read.as_str() {
                        // What the original closes in order this project resets by default.
                        "EOF" if refused && !reference => Some(StreamOver::Reset),
                        "EOF" => Some(StreamOver::Finished),
                        "i/o deadline reached" => None,
                        other => return Err(unknown("agent_reads", other)),
                    };
                    let same = seen.agent_reads == expected;
                    ensure(same, || format!("expected {expected:?}, seen {:?}", seen.agent_reads))?;
                }
                // What the original writes into its log.
                ("log", _) => {}
                (other, _) => return Err(unknown("go", other)),
            }
        }
    }
    Ok(())
}

fn play(bytes: &[u8], size: usize, finish: bool, reference: bool) -> Check<Seen> {
    let end = |side| {
        let (mux, carrier) = match reference {
            true => (yamux::Config::reference(), carrier::Config::reference(side)),
            false => (yamux::Config::default(), carrier::Config::default()),
        };
        End::new(side, mux, carrier)
    };
    let (mut agent, mut server) = (end(Side::Client)?, end(Side::Server)?);
    let Opened::Stream(key) = agent.open() else {
        return Err(Verdict::Fail("no stream can be opened".into()));
    };
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut listener = Listener::default();
    loop {
        agent.write(key, &mut rest);
        if rest.is_empty() && finish {
            agent.finish(key);
        }
        let moved = exchange(&mut agent, &mut server, size);
        if !(listener.turn(&mut server, reference) | moved) && rest.is_empty() {
            break;
        }
    }
    exchange(&mut agent, &mut server, size);
    let (_, _, agent_reads) = agent.read(key, usize::MAX);
    let open = agent.closed().is_none() && server.closed().is_none();
    Ok(Seen { info: listener.info, agent_reads, open })
}

/// Hands over what both ends have written; whether that was anything.
fn exchange(agent: &mut End, server: &mut End, size: usize) -> bool {
    let mut moved = false;
    while !agent.out.is_empty() || !server.out.is_empty() {
        moved = true;
        let messages: Vec<Message> = agent.out.drain(..).collect();
        messages.into_iter().for_each(|message| server.feed(message, size));
        let messages: Vec<Message> = server.out.drain(..).collect();
        messages.into_iter().for_each(|message| agent.feed(message, size));
    }
    moved
}

/// The server's side of the stream.
#[derive(Default)]
struct Listener {
    id: Option<u32>,
    decoder: HeaderDecoder,
    control: Option<ControlCollector>,
    over: bool,
    info: Option<Bytes>,
}

impl Listener {
    /// Reads what is there; whether that was anything.
    fn turn(&mut self, server: &mut End, reference: bool) -> bool {
        if self.id.is_none() {
            self.id = server.accept_any();
        }
        let Some(key) = self.id.and_then(|id| server.stream(id)) else { return false };
        if self.over {
            return false;
        }
        let (bytes, _, over) = server.read(key, usize::MAX);
        let mut bytes = Bytes::from(bytes);
        let moved = !bytes.is_empty() || over.is_some();
        if self.control.is_none() {
            match self.decoder.feed(&mut bytes) {
                Ok(Some(header)) if header.kind == StreamType::CONTROL => {
                    let limit = if reference { usize::MAX } else { MAX_CONTROL };
                    self.control = Some(ControlCollector::new(limit));
                }
                Ok(None) if over.is_none() => return moved,
                _ => {
                    self.refuse(server, key, reference);
                    return true;
                }
            }
        }
        let Some(control) = &mut self.control else { return moved };
        if control.feed(&bytes).is_err() {
            self.refuse(server, key, reference);
            return true;
        }
        if let Some(over) = over {
            self.over = true;
            self.info = std::mem::take(&mut self.control).and_then(|it| it.end(over).ok());
            server.finish(key);
        }
        moved
    }

    /// The stream is none that a server takes.
    fn refuse(&mut self, server: &mut End, key: StreamKey, reference: bool) {
        self.over = true;
        match reference {
            true => server.finish(key),
            false => server.reset(key),
        }
    }
}
