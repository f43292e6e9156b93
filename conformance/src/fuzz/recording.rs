//! Recordings read, verified, written and redacted: `docs/protocols/agentproto.md` section 12.

use bytes::Bytes;
use trunkline_core::agentproto::{
    Config, Damage, ExecRequest, Frame, Item as _, Placed, Playback, Record, RecordType, Recorder,
    Redaction, Verifier, encode,
};

use super::codec::pieces;

/// What must not be in a redacted recording.
const SECRET: &str = "S3CRET";

/// Bytes as a recording, which mostly is a damaged one.
pub(super) fn recording(bytes: &[u8], cut: u8) {
    let (records, damage) = read([Bytes::copy_from_slice(bytes)]);
    assert_eq!(read(pieces(bytes, cut)), (records.clone(), damage.clone()), "cut anywhere");
    let whole = records.last().map_or(0, |last| last.offset + last.length);
    match &damage {
        None => assert_eq!(whole, bytes.len() as u64),
        Some(Damage::Truncated { offset, left }) => {
            assert_eq!((*offset, *left as u64), (whole, bytes.len() as u64 - whole));
        }
        Some(damage) => assert_eq!(damage.offset(), whole),
    }
    verify(&records);
    for Placed { record, .. } in records {
        is_written_as_it_is(&record);
        is_redacted(record);
    }
}

fn read(chunks: impl IntoIterator<Item = Bytes>) -> (Vec<Placed>, Option<Damage>) {
    let mut playback = Playback::new(&Config::default());
    let mut records = Vec::new();
    let mut chunks = chunks.into_iter();
    loop {
        match playback.poll() {
            Ok(Some(placed)) => {
                let end = records.last().map_or(0, |last: &Placed| last.offset + last.length);
                assert_eq!(placed.offset, end, "one behind the other");
                records.push(placed);
            }
            Ok(None) => match chunks.next() {
                Some(chunk) => playback.push(chunk),
                None => {
                    playback.finish();
                    match playback.poll() {
                        Ok(Some(record)) => records.push(record),
                        end => return (records, end.err()),
                    }
                }
            },
            Err(damage) => {
                assert_eq!(playback.poll(), Err(damage.clone()), "for good");
                return (records, Some(damage));
            }
        }
    }
}

fn verify(records: &[Placed]) {
    let mut verifier = Verifier::default();
    for Placed { record, .. } in records {
        let found = verifier.record(record);
        assert!(found.len() <= 5, "so much is not wrong with one record: {found:?}");
        assert!(found.iter().all(|finding| !finding.to_string().is_empty()));
    }
    assert!(verifier.finish().len() <= records.len() + 2);
}

/// The record of a frame comes out of a recorder as the tables write it.
fn is_written_as_it_is(record: &Record) {
    let Some(body) = record.frame.as_deref() else { return };
    let plain =
        Record { kind: RecordType::FRAME, frame: record.frame.clone(), ..Record::default() };
    // What was read has no list longer than the limit.
    let (Ok(expected), Ok(frame)) = (plain.to_bytes(), encode(&body.frame)) else { return };
    let recorder = Recorder::new(Redaction::default());
    let record = recorder.frame(body.time, body.direction, body.seq, frame);
    assert_eq!(record.slices().concat(), expected);
    assert_eq!(record.len(), expected.len());
}

/// Whatever secret stands where one can, a redaction takes it out and leaves the shape.
fn is_redacted(mut record: Record) {
    let shows = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|it| it == SECRET.as_bytes());
    // An input that spells the secret where all is kept, in a path say, proves nothing.
    if shows(&record.to_bytes().unwrap_or_default()) {
        return;
    }
    if let Some(start) = &mut record.command_start {
        plant_in_command(&mut start.exec);
    }
    if let Some(body) = &mut record.frame {
        plant(&mut body.frame);
    }
    let mut redacted = record.clone();
    Redaction::ALL.record(&mut redacted);
    let shown = shows(&redacted.to_bytes().unwrap_or_default());
    assert!(!shown, "a secret is shown: {redacted:?}");
    if let (Some(before), Some(after)) = (&record.frame, &redacted.frame) {
        // The other way round: written with a redaction, and redacted by whoever has the record.
        if let Ok(frame) = encode(&before.frame) {
            let mut recorder = Recorder::new(Redaction::ALL);
            let record = recorder.frame(before.time, before.direction, before.seq, frame);
            let body = record.slices().concat();
            let expected = after.frame.to_bytes().unwrap_or_default();
            assert!(body.ends_with(&expected), "two redactions differ");
            if let Some(exec) = &before.frame.exec {
                let (_, start) = recorder.command_start(0, exec);
                let start = start.map(|start| start.slices().concat()).unwrap_or_default();
                assert!(!shows(&start), "a secret is shown in a start");
            }
        }
        has_the_shape_of(before.frame.exec.as_deref(), after.frame.exec.as_deref());
    }
    if let (Some(before), Some(after)) = (&record.command_start, &redacted.command_start) {
        has_the_shape_of(Some(&before.exec), Some(&after.exec));
    }
}

fn plant_in_command(exec: &mut ExecRequest) {
    for argument in exec.argv.iter_mut().flatten() {
        argument.push_str(SECRET);
    }
    for variable in exec.env.iter_mut().flatten().filter(|variable| variable.contains('=')) {
        variable.push_str(SECRET);
    }
}

fn plant(frame: &mut Frame) {
    if let Some(exec) = &mut frame.exec {
        plant_in_command(exec);
    }
    if let Some(log) = &mut frame.log {
        log.attributes.push(format!("argv=[{SECRET}]"));
        log.attributes.push(format!("group.ARGV={SECRET}"));
    }
    let payloads = [
        Some(&mut frame.data),
        frame.file_request.as_mut().map(|request| &mut request.data),
        frame.file_response.as_mut().map(|response| &mut response.data),
    ];
    for payload in payloads.into_iter().flatten() {
        payload.push(Bytes::from_static(SECRET.as_bytes()));
    }
}

fn has_the_shape_of(before: Option<&ExecRequest>, after: Option<&ExecRequest>) {
    let lengths = |exec: &ExecRequest| {
        let count = |list: &Option<Vec<String>>| list.as_ref().map(Vec::len);
        (count(&exec.argv), count(&exec.env), exec.fds.clone(), exec.path.clone(), exec.cwd.clone())
    };
    assert_eq!(before.map(lengths), after.map(lengths), "another shape");
    let names = |exec: Option<&ExecRequest>| -> Vec<String> {
        let env = exec.and_then(|exec| exec.env.as_ref()).into_iter().flatten();
        env.map(|text| text.split('=').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(before), names(after), "other names");
}
