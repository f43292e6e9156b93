//! A record as a line for people.

use std::fmt::Write as _;

use jiff::Timestamp;
use trunkline_core::agentproto::{
    Direction, ExecRequest, FileRequest, FileResponse, FirstBytes, Frame, FrameType, LogRecord,
    Record, RecordType, RecordedFrame, SessionHeader, escape,
};

/// The longest summary, in bytes: a line is for reading.
const MOST: usize = 400;

/// Turns records into lines, with times since the first of them.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Option<i64>,
}

impl Lines {
    /// The line of a record, without its end.
    pub(super) fn line(&mut self, record: &Record) -> String {
        let Some((time, seq, sign, kind, summary)) = parts(record) else {
            return format!(
                "{:>14} {:>5} {:2} {:<12}",
                "",
                "",
                "",
                format!("TYPE {}", record.kind.0)
            )
            .trim_end()
            .to_owned();
        };
        let begun = *self.begun.get_or_insert(time);
        let since = i128::from(time) - i128::from(begun);
        let seconds = format!(
            "{}{}.{:06}",
            if since < 0 { "-" } else { "" },
            since.unsigned_abs() / 1_000_000_000,
            since.unsigned_abs() / 1_000 % 1_000_000
        );
        let seq = seq.map(|seq| format!("#{seq}")).unwrap_or_default();
        let line = format!("{seconds:>14} {seq:>5} {sign:2} {kind:<12} {}", cut(escape(&summary)));
        line.trim_end().to_owned()
    }
}

/// Time, number, direction, type and summary of a record; none without the body of its type.
fn parts(record: &Record) -> Option<(i64, Option<u32>, &'static str, String, String)> {
    let plain = |time, seq, kind: &str, summary| (time, seq, "", kind.to_owned(), summary);
    match record.kind {
        RecordType::HEADER => {
            let header = record.header.as_ref()?;
            Some(plain(header.start_time, None, "HEADER", about(header)))
        }
        RecordType::COMMAND_START => {
            let start = record.command_start.as_ref()?;
            Some(plain(start.start_time, Some(start.seq), "START", command(&start.exec)))
        }
        RecordType::FRAME => Some(frame(record.frame.as_ref()?)),
        RecordType::COMMAND_END => {
            let end = record.command_end.as_ref()?;
            let code = match end.exit_code {
                -1 => "-1 (no exit came)".to_owned(),
                code => code.to_string(),
            };
            Some(plain(end.end_time, Some(end.seq), "END", code))
        }
        RecordType::FOOTER => {
            let footer = record.footer.as_ref()?;
            let commands = count(footer.command_count, "command");
            Some(plain(footer.end_time, None, "FOOTER", commands))
        }
        _ => None,
    }
}

fn frame(body: &RecordedFrame) -> (i64, Option<u32>, &'static str, String, String) {
    let sign = match body.direction {
        Direction::SENT => "->",
        Direction::RECEIVED => "<-",
        _ => "??",
    };
    let frame = &body.frame;
    let (kind, summary) = match frame.kind {
        FrameType::EXEC => ("EXEC", frame.exec.as_deref().map(command)),
        FrameType::DATA => ("DATA", Some(data(frame))),
        FrameType::EOF => ("EOF", Some(stream(frame.stream))),
        FrameType::SIGNAL => ("SIGNAL", Some(frame.signal.to_string())),
        FrameType::EXIT => ("EXIT", Some(format!("{} {}", frame.code, frame.error))),
        FrameType::ERROR => ("ERROR", Some(frame.error.clone())),
        FrameType::LOG => ("LOG", frame.log.as_deref().map(log)),
        FrameType::CONFIG => (
            "CONFIG",
            frame.config.as_deref().map(|config| {
                let list = |list: &Option<Vec<String>>| brief(list.iter().flatten());
                format!("keep [{}], remove [{}]", list(&config.env_keep), list(&config.env_remove))
            }),
        ),
        FrameType::PATH_QUERY => {
            ("PATH QUERY", frame.path_query.as_deref().map(|query| brief(&query.paths)))
        }
        FrameType::PATH_INFO => (
            "PATH INFO",
            frame
                .path_info
                .as_deref()
                .map(|info| count(info.entries.as_ref().map_or(0, Vec::len), "program")),
        ),
        FrameType::FILE_REQUEST => ("FILE REQUEST", frame.file_request.as_deref().map(request)),
        FrameType::FILE_RESPONSE => ("FILE ANSWER", frame.file_response.as_deref().map(response)),
        FrameType(number) => {
            return (body.time, Some(body.seq), sign, format!("FRAME {number}"), String::new());
        }
    };
    let summary = summary.unwrap_or_else(|| "without its message".to_owned());
    (body.time, Some(body.seq), sign, kind.to_owned(), summary)
}

fn about(header: &SessionHeader) -> String {
    let when = Timestamp::from_nanosecond(header.start_time.into()).unwrap_or_default();
    let mut text = format!("begun {when}, process {}", header.local_pid);
    for (name, value) in [
        ("user", &header.local_user),
        ("version", &header.version),
        ("agent", &header.agent_path),
        ("backend", &header.backend_type),
        ("at", &header.backend_addr),
    ] {
        if !value.is_empty() {
            let _ = write!(text, ", {name} {value}");
        }
    }
    text
}

fn command(exec: &ExecRequest) -> String {
    if *exec == ExecRequest::default() {
        // As which queries and file sessions are recorded.
        return "no command".to_owned();
    }
    let mut text = exec.path.clone();
    let argv = exec.argv.as_deref().unwrap_or_default();
    let _ = write!(text, " [{}]", brief(argv));
    if !exec.cwd.is_empty() {
        let _ = write!(text, " in {}", exec.cwd);
    }
    if let Some(env) = &exec.env {
        let _ = write!(text, " with {}", count(env.len(), "variable"));
    }
    if !exec.fds.is_empty() {
        let _ = write!(text, " and descriptors {:?}", exec.fds);
    }
    text
}

/// A list, as much of it as a line can show.
fn brief<'a>(list: impl IntoIterator<Item = &'a String>) -> String {
    let mut text = String::new();
    for item in list {
        if text.len() > MOST {
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(item.get(..item.floor_char_boundary(MOST)).unwrap_or_default());
    }
    text
}

fn stream(number: u32) -> String {
    match number {
        0 => "stdin".to_owned(),
        1 => "stdout".to_owned(),
        2 => "stderr".to_owned(),
        number => format!("stream {number}"),
    }
}

fn data(frame: &Frame) -> String {
    format!("{}, {}", stream(frame.stream), bytes(&frame.data))
}

/// How many bytes, and how they begin.
fn bytes(payload: &trunkline_core::Payload) -> String {
    let mut first = FirstBytes::of(&[]);
    payload.pieces().for_each(|piece| first.extend(piece));
    let more = if payload.len() > first.as_slice().len() { ".." } else { "" };
    format!("{} \"{first}\"{more}", count(payload.len(), "byte"))
}

fn log(log: &LogRecord) -> String {
    let mut text = format!("{} {}", log.level, log.message);
    for attribute in log.attributes.iter().take(MOST) {
        text.push(' ');
        text.push_str(attribute);
    }
    text
}

fn request(request: &FileRequest) -> String {
    let name = request.op.name().map_or_else(|| request.op.0.to_string(), str::to_owned);
    let mut text = format!("{} {name}", request.id);
    for path in [&request.path, &request.new_path] {
        if !path.is_empty() {
            let _ = write!(text, " {path}");
        }
    }
    for (name, value) in [
        ("handle", i64::from(request.handle)),
        ("offset", request.offset),
        ("size", request.size),
        ("flags", request.flags.into()),
    ] {
        if value != 0 {
            let _ = write!(text, " {name} {value}");
        }
    }
    if !request.data.is_empty() {
        let _ = write!(text, ", {}", bytes(&request.data));
    }
    text
}

fn response(response: &FileResponse) -> String {
    let mut text = response.id.to_string();
    if response.errno != 0 || !response.message.is_empty() {
        let _ = write!(text, " errno {} {}", response.errno, response.message);
    }
    if response.handle != 0 {
        let _ = write!(text, " handle {}", response.handle);
    }
    if !response.path.is_empty() {
        let _ = write!(text, " {}", response.path);
    }
    if let Some(stat) = &response.stat {
        let _ = write!(text, " {} of {}", stat.name, count(stat.size, "byte"));
    }
    if !response.entries.is_empty() {
        let _ = write!(text, " {} entries", response.entries.len());
    }
    if !response.data.is_empty() {
        let _ = write!(text, ", {}", bytes(&response.data));
    } else if response.count != 0 {
        let _ = write!(text, " {}", count(response.count, "byte"));
    }
    if response.eof {
        text.push_str(" (end of the file)");
    }
    text
}

fn count<N: std::fmt::Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    let one = number == N::from(1);
    format!("{number} {what}{}", if one { "" } else { "s" })
}

/// What was escaped, cut where a line becomes too long.
fn cut(text: impl ToString) -> String {
    let mut text = text.to_string();
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST));
        text.push_str("..");
    }
    text
}
