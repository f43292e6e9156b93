//! What an end writes on a stream that it opens.

use bytes::Bytes;
use serde_json::Value;
use trunkline_core::tunnel::http::{BodyLen, Caller, Config, Dialect, Head};
use trunkline_core::tunnel::terminal::Splitter;
use trunkline_core::tunnel::{RequestMeta, StreamType, encode_header};

use super::streams::{Listener, header_of, in_two};
use crate::case::{Check, ensure, unknown};
use crate::report::Verdict;
use crate::yamux::transcripts::Role;

/// The longest body that is made up where it never left.
const MOST_BODY: u64 = 64 << 20;

/// What is written on a stream, each piece in one write, and who listens to the answer.
pub(super) type Plan = (Vec<Bytes>, Listener);

/// What the call that `cause` tells writes, where `recorded` are the payloads of its data frames.
///
/// # Errors
///
/// [`Verdict::NotRun`] when the call is not known, [`Verdict::Fail`] when it would write other bytes.
pub(super) fn plan(role: Role, cause: &str, recorded: &[Bytes]) -> Check<Plan> {
    let own: &[&str] = if role == Role::Server { &["server: "] } else { &["agent: ", "client: "] };
    let what = own.iter().find_map(|own| cause.strip_prefix(own));
    let what = what.ok_or_else(|| unknown("cause", cause))?;
    if what.starts_with("OpenHTTPStream(") {
        exchange(what, recorded)
    } else if what.starts_with("OpenTerminalStream(") {
        let header = encode_header(StreamType::TERMINAL, b"");
        let mut pieces = in_two(&encoded(header)?, recorded)?;
        for message in recorded.iter().skip(pieces.len()) {
            pieces.push(terminal(message)?);
        }
        Ok((pieces, Listener::Raw))
    } else if what.starts_with("open stream") {
        // The calls that follow write what was recorded; the header is ours all the same.
        let mut pieces = recorded.to_vec();
        if let Ok((header, _)) = header_of(&recorded.concat()) {
            let header = encode_header(header.kind, &header.metadata);
            pieces.splice(.., in_two(&encoded(header)?, recorded)?);
            pieces.extend(recorded.iter().skip(pieces.len()).cloned());
        }
        Ok((pieces, Listener::Raw))
    } else if ["control stream", "agent info", "heartbeat"].iter().any(|it| what.contains(it)) {
        let header = encode_header(StreamType::CONTROL, b"");
        let mut pieces = in_two(&encoded(header)?, recorded)?;
        pieces.extend(recorded.iter().skip(pieces.len()).cloned());
        Ok((pieces, Listener::Raw))
    } else {
        Err(unknown("cause", cause))
    }
}

fn encoded<E: ToString>(header: Result<Bytes, E>) -> Check<Bytes> {
    header.map_err(|why| Verdict::Fail(format!("the header is refused: {}", why.to_string())))
}

/// "OpenHTTPStream(POST /echo, 14 body bytes)".
fn exchange(what: &str, recorded: &[Bytes]) -> Check<Plan> {
    let (header, body) = header_of(&recorded.concat())?;
    let meta = RequestMeta::from_json(&header.metadata)
        .map_err(|why| Verdict::Fail(format!("the request is refused: {why}")))?;
    let call = format!("OpenHTTPStream({} {}", meta.method, meta.path);
    let tail = what.strip_prefix(&call);
    let tail = tail.ok_or_else(|| Verdict::Fail(format!("{what}, seen {call})")))?;
    let size = tail.strip_prefix(", ").and_then(|tail| tail.strip_suffix(" body bytes)"));
    let same = size.is_none_or(|size| *size == meta.body_len.to_string());
    ensure(same, || format!("{what}, seen {} bytes", meta.body_len))?;
    if size.is_none() && tail != ")" {
        return Err(unknown("cause", what));
    }
    let len = u64::try_from(meta.body_len).unwrap_or(0);
    let mut body = body.to_vec();
    if len <= MOST_BODY {
        // Bytes that never left do not matter.
        body.resize(usize::try_from(len).unwrap_or(body.len()), 0);
    }
    let body = Bytes::from(body);
    let headers = meta.headers.0.iter().flatten();
    let head = Head {
        method: meta.method.clone(),
        path: meta.path.clone(),
        headers: headers.map(|(k, v)| (k.clone(), Bytes::from(v.clone()))).collect(),
        body: if len == 0 { BodyLen::None } else { BodyLen::Exact(len) },
    };
    let made = Caller::new(Dialect::Original, &head, Config::reference());
    let refused = made.is_err();
    let (mut caller, first) = match made {
        Ok(made) => made,
        // A request that the original's user may make, and ours may not, still has an answer.
        Err(_) => Caller::new(Dialect::Original, &plain_head(&head), Config::reference())
            .map_err(|why| Verdict::Fail(format!("no request can be made: {why}")))?,
    };
    // No headers and none at all are two ways to write the same.
    let same = header_of(&first).map(|(first, _)| RequestMeta::from_json(&first.metadata));
    let mut plain = meta.clone();
    plain.headers.0.get_or_insert_default();
    ensure(refused || same == Ok(Ok(plain)), || format!("another request is made: {same:?}"))?;
    let fails = |why| Verdict::Fail(format!("the body is refused: {why}"));
    caller.body(body.len()).map_err(fails)?;
    caller.finish().map_err(fails)?;
    let header = encode_header(StreamType::HTTP, &meta.to_json());
    let mut pieces = in_two(&encoded(header)?, recorded)?;
    pieces.push(body);
    pieces.retain(|piece| !piece.is_empty());
    Ok((pieces, Listener::Caller(Box::new(caller))))
}

/// The same exchange, in a request that can always be made.
fn plain_head(head: &Head) -> Head {
    Head { method: "GET".into(), path: "/".into(), headers: Vec::new(), body: head.body }
}

/// A message on a terminal, made again.
///
/// # Errors
///
/// As for [`plan`].
pub(super) fn terminal(message: &Bytes) -> Check<Bytes> {
    let made = match message.split_first() {
        Some((0, data)) => Splitter::new().data(&mut Bytes::copy_from_slice(data)),
        Some((1, control)) => {
            let told: Value = serde_json::from_slice(control)
                .map_err(|why| Verdict::NotRun(format!("a control message: {why}")))?;
            let number = |key| {
                let number = told.get(key).and_then(Value::as_u64);
                number.and_then(|number| u16::try_from(number).ok())
            };
            match (told.get("type").and_then(Value::as_str), number("cols"), number("rows")) {
                (Some("resize"), Some(cols), Some(rows)) => {
                    Some(Splitter::new().resize(cols, rows))
                }
                _ => None,
            }
        }
        _ => None,
    };
    // What our ends do not say, a test can still write.
    let Some(made) = made else { return Ok(message.clone()) };
    ensure(made == *message, || format!("the message is made as {made:?}"))?;
    Ok(made)
}
