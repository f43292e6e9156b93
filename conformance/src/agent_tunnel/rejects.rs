//! `rejects.json`: what a peer may not say, or may. By default what is `required` holds; under
//! `reference()` what the original was seen to do.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use trunkline_core::tunnel::http::{Callee, CalleeEvent, Config, Dialect, Fault};
use trunkline_core::tunnel::{HeaderDecoder, HeaderError, RequestMeta, ResponseMeta};

use super::{control, headers};
use crate::case::{self, Check, ensure, unknown};
use crate::notation::Hex;
use crate::report::Verdict;

#[derive(Deserialize)]
pub(super) struct RejectCase {
    target: String,
    hex: Option<Hex>,
    parts: Option<Hex>,
    pub(super) go: BTreeMap<String, Value>,
    pub(super) required: String,
}

/// What the prose of a case asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Required {
    /// It is refused.
    Refused,
    /// It is taken as the original takes it.
    Taken,
    /// Either; where it is taken, as the original takes it.
    Either,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(case::read(case).and_then(|case| check(&case)))
}

fn check(case: &RejectCase) -> Check {
    let bytes = case.bytes();
    let pieces =
        if bytes.len() > 10_000 { [usize::MAX, 16_384, 4_099] } else { [usize::MAX, 7, 1] };
    for size in pieces {
        let outcome = match case.target.as_str() {
            "ReadStreamHeader then stream end" => header(case, bytes, size),
            "UnmarshalStreamMeta into request metadata" => metadata(case, |text| {
                let expected = headers::request(value(case)?)?;
                Ok(RequestMeta::from_json(text).map(|seen| seen == expected))
            }),
            "UnmarshalStreamMeta into response metadata" => metadata(case, |text| {
                let expected = headers::response(value(case)?)?;
                Ok(ResponseMeta::from_json(text).map(|seen| seen == expected))
            }),
            "server, stream opened by the agent, then FIN" => {
                control::check(case, bytes, size, true)
            }
            "server, stream opened by the agent, no FIN" => {
                control::check(case, bytes, size, false)
            }
            target if target.starts_with("agent") && target.contains("HTTP stream") => {
                request(case, bytes, size)
            }
            other => return Err(unknown("target", other)),
        };
        outcome.map_err(|verdict| match verdict {
            Verdict::Fail(why) => Verdict::Fail(format!("in pieces of {size}: {why}")),
            other => other,
        })?;
    }
    Ok(())
}

impl RejectCase {
    fn bytes(&self) -> &[u8] {
        self.parts.as_ref().or(self.hex.as_ref()).map_or(&[], |hex| &hex.0)
    }

    /// What is asked for by default.
    pub(super) fn required(&self) -> Check<Required> {
        const REFUSED: [&str; 8] =
            ["error", "refuse", "reject", "400", "413", "502", "go refuses", "go rejects"];
        const TAKEN: [&str; 14] = [
            "accept",
            "codec accepts",
            "go accepts",
            "go ignores",
            "go keeps",
            "go matches",
            "go merges",
            "ignore",
            "keep",
            "last wins",
            "pass",
            "tolerate",
            "treat",
            "zero value",
        ];
        let text = self.required.to_ascii_lowercase();
        let starts = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        Ok(if text.contains(" or refuse") || text.contains("strict mode") {
            Required::Either
        } else if starts(&REFUSED) {
            Required::Refused
        } else if starts(&TAKEN) {
            Required::Taken
        } else {
            return Err(unknown("required", &self.required));
        })
    }

    /// Whether a server is to refuse a stream of an agent.
    pub(super) fn refuses_stream(&self) -> Check<bool> {
        const TAKEN: [&str; 4] =
            ["bound the wait", "callback", "go has no limit", "the tunnel passes raw bytes"];
        let text = self.required.to_ascii_lowercase();
        if TAKEN.iter().any(|start| text.starts_with(start)) {
            return Ok(false);
        }
        Ok(text.starts_with("close the stream") || self.required()? == Required::Refused)
    }

    /// The original's error.
    fn error(&self) -> Option<&str> {
        self.go.get("error").and_then(Value::as_str)
    }
}

fn value(case: &RejectCase) -> Check<&Value> {
    case.go.get("value").ok_or_else(|| Verdict::NotRun("the case tells no value".into()))
}

fn header(case: &RejectCase, bytes: &[u8], size: usize) -> Check {
    let required = case.required()?;
    let mut decoder = HeaderDecoder::new();
    let mut found = None;
    let mut taken = 0;
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        let mut piece = Bytes::copy_from_slice(piece);
        taken += piece.len();
        match decoder.feed(&mut piece) {
            Ok(None) => {}
            Ok(Some(header)) => found = Some(Ok(header)),
            Err(why) => found = Some(Err(why)),
        }
        taken -= piece.len();
        if found.is_some() {
            break;
        }
    }
    let seen = found.unwrap_or_else(|| Err(decoder.end()));
    match (&seen, required) {
        (Err(why), Required::Refused | Required::Either) => {
            let told = case.error().ok_or_else(|| unknown("go", "no error"))?;
            // The decoder tells its errors in the original's words.
            ensure(why.to_string() == told, || format!("expected \"{told}\", seen \"{why}\""))?;
            if matches!(why, HeaderError::TooLarge(_)) {
                ensure(taken <= 5, || format!("refused behind {taken} bytes"))?;
            }
            Ok(())
        }
        (Ok(header), Required::Taken | Required::Either) => {
            for (key, value) in &case.go {
                let seen = match key.as_str() {
                    "type" => Value::from(header.kind.0),
                    "metadata_len" => Value::from(header.metadata.len()),
                    other => return Err(unknown("go", other)),
                };
                ensure(*value == seen, || format!("{key} is {value}, seen {seen}"))?;
            }
            Ok(())
        }
        _ => Err(Verdict::Fail(format!("expected {required:?}, seen {seen:?}"))),
    }
}

fn metadata<E: ToString>(
    case: &RejectCase,
    read: impl FnOnce(&[u8]) -> Check<Result<bool, E>>,
) -> Check {
    let required = case.required()?;
    match (read(case.bytes())?, required) {
        (Err(_), Required::Refused | Required::Either) => Ok(()),
        (Ok(same), Required::Taken | Required::Either) => {
            ensure(case.error().is_none(), || "the original refuses it".into())?;
            ensure(same, || "it is read as something else".into())
        }
        (Ok(_), Required::Refused) => Err(Verdict::Fail("it is taken".into())),
        (Err(why), Required::Taken) => {
            Err(Verdict::Fail(format!("it is refused: {}", why.to_string())))
        }
    }
}

/// What an agent makes of a request: by default refused with a status that is told, or taken.
fn request(case: &RejectCase, bytes: &[u8], size: usize) -> Check {
    let required = case.required()?;
    let (head, fault, status) = play(Config::default(), bytes, size)?;
    let statuses: Vec<u16> = case
        .required
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .filter(|status| (100..=999).contains(status))
        .collect();
    match required {
        Required::Refused => {
            ensure(fault.is_some(), || "it is taken".into())?;
            let fits = statuses.is_empty() || status.is_some_and(|it| statuses.contains(&it));
            ensure(fits, || format!("expected {statuses:?}, answered {status:?}"))?;
        }
        Required::Taken => ensure(fault.is_none() && head, || format!("refused: {fault:?}"))?,
        Required::Either => {}
    }
    // A crash of the original is nothing to repeat.
    let told = case.go.get("status").and_then(Value::as_u64);
    let Some(told) = told else { return Ok(()) };
    let (_, fault, status) = play(Config::reference(), bytes, size)?;
    let same = match status {
        Some(status) => u64::from(status) == told,
        None => fault.is_none(),
    };
    ensure(same, || format!("the original answers {told}, seen {status:?} for {fault:?}"))
}

/// Whether a head came, what was wrong, and the status that answers it.
fn play(config: Config, bytes: &[u8], size: usize) -> Check<(bool, Option<Fault>, Option<u16>)> {
    let mut callee = Callee::new(Dialect::Original, config);
    let (mut head, mut fault) = (false, None);
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        callee.handle_bytes(Bytes::copy_from_slice(piece));
        while let Some(event) = callee.poll_event() {
            match event {
                CalleeEvent::Head(_) => head = true,
                CalleeEvent::Failed(why) => fault = Some(why),
                _ => {}
            }
        }
    }
    let Some(why) = &fault else { return Ok((head, None, None)) };
    let Some((header, _)) = callee.answer(why) else { return Ok((head, fault, None)) };
    let mut header = header;
    let header = HeaderDecoder::new().feed(&mut header);
    let header = header.ok().flatten().ok_or_else(|| Verdict::Fail("no header".into()))?;
    let meta = ResponseMeta::from_json(&header.metadata)
        .map_err(|why| Verdict::Fail(format!("the answer is no response: {why}")))?;
    Ok((head, fault, u16::try_from(meta.status).ok()))
}
