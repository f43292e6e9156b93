//! `recordings.json`: whole recording files, damaged ones among them.

use serde::Deserialize;
use serde_json::Value;
use trunkline_core::agentproto::{
    Acceptance, Item, Record, RecordType, Recorder, Redaction, Violation, encode,
};

use super::decode::{Decoded, everything, from_value, is_value, told, told_early};
use crate::case::{self, Check, ensure};
use crate::diff;
use crate::notation::{Hex, Plain};
use crate::report::Verdict;

#[derive(Deserialize)]
struct RecordingCase {
    hex: Hex,
    decoded: Vec<Plain>,
    len: Option<usize>,
    error: Option<String>,
    error_kind: Option<String>,
    roundtrip: Option<bool>,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(check(case))
}

fn check(value: &Value) -> Check {
    let case: RecordingCase = case::read(value)?;
    let bytes = &case.hex.0;
    ensure(case.len.is_none_or(|len| len == bytes.len()), || {
        format!("`hex` is {} bytes long, `len` says {}", bytes.len(), case.len.unwrap_or_default())
    })?;
    let decoded = everything::<Record>(bytes, Acceptance::Lenient)?;
    ensure(decoded.items.len() == case.decoded.len(), || {
        format!("expected {} records, seen {}", case.decoded.len(), told(&decoded))
    })?;
    for (index, (record, value)) in decoded.items.iter().zip(&case.decoded).enumerate() {
        is_value(record, &value.0).map_err(|verdict| match verdict {
            Verdict::Fail(why) => Verdict::Fail(format!("record {index}: {why}")),
            other => other,
        })?;
    }
    ends_as(&case, &decoded)?;
    if case.error.is_none() && case.roundtrip != Some(false) {
        is_written_again(&case)?;
    }
    recorded(value)?;
    Ok(())
}

fn ends_as(case: &RecordingCase, decoded: &Decoded<Record>) -> Check {
    let kind = decoded.error.as_ref().map(Violation::kind);
    let (holds, expected) = match (&case.error, case.error_kind.as_deref()) {
        (None, None) => (kind.is_none() && decoded.left == 0, "the end of the file".to_owned()),
        (None, Some(_)) | (Some(_), None) => {
            return Err(Verdict::NotRun("`error` and `error_kind` do not come together".into()));
        }
        (Some(_), Some("incomplete")) => {
            (kind.is_none() && decoded.left > 0, "a record that is cut".to_owned())
        }
        (Some(_), Some(expected)) => {
            let early =
                told_early(decoded, &case.hex.0) && matches!(expected, "limit" | "malformed");
            (kind == Some(expected) || early, format!("an error of kind {expected}"))
        }
    };
    ensure(holds, || format!("expected {expected} after the records, seen {}", told(decoded)))
}

/// The records give the file again, and so does the strictest reading of it.
fn is_written_again(case: &RecordingCase) -> Check {
    let mut written = Vec::new();
    for (index, value) in case.decoded.iter().enumerate() {
        let record: Record = from_value(&value.0)?;
        let bytes = record
            .to_bytes()
            .map_err(|why| Verdict::Fail(format!("record {index} cannot be written: {why}")))?;
        written.extend(bytes);
    }
    if let Some(why) = diff::bytes(&case.hex.0, &written) {
        return Err(Verdict::Fail(format!("the records written again differ at {why}")));
    }
    let strict = everything::<Record>(&case.hex.0, Acceptance::Canonical)?;
    ensure(strict.error.is_none() && strict.items.len() == case.decoded.len(), || {
        format!("Canonical acceptance: expected the same records, seen {}", told(&strict))
    })
}

/// What the recorder writes for what the records of a case say: their bytes, where they are what a
/// recorder can write (`None` otherwise).
///
/// # Errors
///
/// [`Verdict::Fail`] when it writes other bytes than the case's.
pub fn recorded(case: &Value) -> Check<Option<Vec<u8>>> {
    let case: RecordingCase = case::read(case)?;
    if case.error.is_some() || case.roundtrip == Some(false) {
        return Ok(None);
    }
    let mut recorder = Recorder::new(Redaction::default());
    let mut written = Vec::new();
    for value in &case.decoded {
        let Some(record) = again(&mut recorder, from_value(&value.0)?)? else { return Ok(None) };
        written.extend(record);
    }
    match diff::bytes(&case.hex.0, &written) {
        Some(why) => Err(Verdict::Fail(format!("what the recorder writes differs at {why}"))),
        None => Ok(Some(written)),
    }
}

/// The record as the recorder writes it, if it can.
fn again(recorder: &mut Recorder, record: Record) -> Check<Option<Vec<u8>>> {
    let long = |why| Verdict::Fail(format!("a record cannot be written: {why}"));
    let bytes = match record.kind {
        RecordType::HEADER => record.header.map(|header| recorder.header(*header)),
        RecordType::COMMAND_START => match record.command_start {
            Some(start) => {
                let (seq, bytes) = recorder.command_start(start.start_time, &start.exec);
                ensure(seq == start.seq, || format!("command {} got the number {seq}", start.seq))?;
                Some(bytes.map_err(long)?)
            }
            None => None,
        },
        RecordType::FRAME => match record.frame {
            Some(body) => {
                let frame = encode(&body.frame).map_err(long)?;
                Some(recorder.frame(body.time, body.direction, body.seq, frame))
            }
            None => None,
        },
        RecordType::COMMAND_END => record.command_end.map(|end| {
            let code = Some(end.exit_code).filter(|code| *code != -1);
            recorder.command_end(end.end_time, end.seq, code)
        }),
        RecordType::FOOTER => record.footer.map(|footer| recorder.footer(footer.end_time)),
        _ => None,
    };
    Ok(bytes.map(|bytes| bytes.slices().concat()))
}
