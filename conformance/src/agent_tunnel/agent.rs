//! What the agent answers on a stream that the server opened.

use bytes::Bytes;
use trunkline_core::tunnel::http::{Callee, Config, Dialect, Fault, ResponseHead};
use trunkline_core::tunnel::{ControlCollector, ResponseMeta, StreamType, encode_header};

use super::opener::terminal;
use super::streams::{Listener, Stream, header_of, in_two};
use super::transcripts::{Agent, Transcript};
use crate::case::{Check, ensure};
use crate::report::Verdict;
use crate::yamux::transcripts::Role;

/// Finds out what a stream is for, once its header is there.
pub(super) fn listen(role: Role, stream: &mut Stream) {
    let Listener::Header(decoder) = &mut stream.listener else { return };
    let mut rest = Bytes::from(stream.read.clone());
    *decoder = Default::default();
    let Ok(Some(header)) = decoder.feed(&mut rest) else { return };
    stream.listener = match (role, header.kind) {
        (Role::Client, StreamType::HTTP) => Listener::Callee(Box::new(Callee::with_header(
            Dialect::Original,
            &header,
            Config::reference(),
        ))),
        (Role::Server, StreamType::CONTROL) => Listener::Control(ControlCollector::default()),
        _ => Listener::Raw,
    };
    stream.header = Some(header);
    // What stood behind the header was read before anybody listened.
    let (over, read) = (stream.over.take(), std::mem::take(&mut stream.read));
    stream.take(&rest, over);
    stream.read = read;
}

/// Makes the answer ready, where `recorded` are the payloads of its data frames.
///
/// # Errors
///
/// [`Verdict::Fail`] when another answer is made.
pub(super) fn answer(transcript: &Transcript, stream: &mut Stream, recorded: &[Bytes]) -> Check {
    if std::mem::replace(&mut stream.answered, true) {
        return Ok(());
    }
    let kind = stream.header.as_ref().map(|header| header.kind);
    if kind == Some(StreamType::TERMINAL) {
        for message in recorded {
            stream.pieces.push_back(terminal(message)?);
        }
        return Ok(());
    }
    let Listener::Callee(callee) = &mut stream.listener else {
        return ensure(recorded.is_empty(), || "nobody answers on such a stream".into());
    };
    let Some(fault) = &stream.fault else {
        ensure(stream.request.is_some(), || "no request has come".into())?;
        let pieces = response(callee, recorded)?;
        stream.pieces.extend(pieces);
        return Ok(());
    };
    match transcript.agent()? {
        Agent::Internal => {
            let (head, text) = callee
                .answer(fault)
                .ok_or_else(|| Verdict::Fail(format!("no answer to \"{fault}\"")))?;
            stream.pieces.extend(in_two(&head, recorded)?);
            stream.pieces.push_back(text);
            Ok(())
        }
        Agent::Sdk if recorded.is_empty() => Ok(()),
        Agent::Sdk => Err(Verdict::NotRun(format!(
            "the original's package lets its handler see what is refused here: {fault}"
        ))),
    }
}

/// What the original's agent, and no local service, answers.
const REFUSALS: [&str; 4] = [
    "invalid metadata",
    "failed to read request body",
    "invalid request path",
    "failed to create request",
];

/// The answer of the local service, which is whatever was recorded.
fn response(callee: &mut Callee, recorded: &[Bytes]) -> Check<Vec<Bytes>> {
    let (header, body) = header_of(&recorded.concat())?;
    let meta = ResponseMeta::from_json(&header.metadata)
        .map_err(|why| Verdict::Fail(format!("the response is refused: {why}")))?;
    let written = encode_header(StreamType::HTTP, &meta.to_json())
        .map_err(|why| Verdict::Fail(format!("the response is too large: {why}")))?;
    let mut pieces = in_two(&written, recorded)?;
    let text = String::from_utf8_lossy(&body);
    if meta.status >= 400 && REFUSALS.contains(&text.as_ref()) {
        return Err(Verdict::Fail(format!("it takes what the original refuses: {text}")));
    }
    if let Some(reason) = text.strip_prefix("local service error: ") {
        let (head, text) = callee
            .answer(&Fault::Target(reason.to_owned()))
            .ok_or_else(|| Verdict::Fail("no answer for a dead target".into()))?;
        ensure(head == written && text == body, || "it tells of a dead target otherwise".into())?;
    } else if let Ok(status @ 100..) = u16::try_from(meta.status) {
        let headers = meta.headers.0.iter().flatten();
        let headers = headers.map(|(k, v)| (k.clone(), Bytes::from(v.clone()))).collect();
        // What our services may not answer, the original's may.
        if let Ok(made) = callee.respond(&ResponseHead { status, headers }) {
            let same = header_of(&made).map(|(made, _)| ResponseMeta::from_json(&made.metadata));
            let mut plain = meta.clone();
            plain.headers.0.get_or_insert_default();
            ensure(same == Ok(Ok(plain)), || format!("another response is made: {same:?}"))?;
        }
    }
    pieces.extend(recorded.iter().skip(pieces.len()).cloned());
    Ok(pieces)
}
