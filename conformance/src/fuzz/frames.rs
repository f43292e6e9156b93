//! Frames that a peer may send, out of the operands of an operation.

use trunkline_core::agentproto::{
    AgentConfig, DirEntry, ExecRequest, FileOp, FileRequest, FileResponse, Frame, FrameType,
    LogRecord, PathEntry, PathInfo, PathQuery, Stat,
};

use super::ops::Ops;

/// Extra descriptors of the commands here.
pub(super) const EXTRA: [u32; 2] = [3, 4];

/// A command with the extra descriptors.
pub(super) fn exec() -> ExecRequest {
    ExecRequest {
        path: "/bin/x".into(),
        argv: Some(vec!["x".into()]),
        fds: EXTRA.to_vec(),
        ..ExecRequest::default()
    }
}

/// A frame of any type with the fields that belong to it, mostly.
pub(super) fn frame(ops: &mut Ops<'_>) -> Frame {
    match ops.byte() {
        0..80 => {
            let (stream, size) = (ops.stream(), ops.size());
            Frame::data(stream, ops.pattern(size))
        }
        80..100 => Frame::eof(ops.stream()),
        100..115 => Frame::signal(i64::from(ops.byte()) - 100),
        115..120 => Frame::exit(i64::from(ops.byte()), ops.text()),
        120..135 => Frame::log(log(ops)),
        135..140 => {
            Frame::config(AgentConfig { env_keep: Some(vec![ops.text()]), env_remove: None })
        }
        140..150 => Frame::exec(exec_request(ops)),
        150..155 => Frame::path_query(PathQuery { paths: vec![ops.text()] }),
        155..160 => Frame::path_info(PathInfo { entries: Some(entries(ops)) }),
        160..165 => Frame { error: ops.text(), ..Frame::of(FrameType::ERROR) },
        165..200 => Frame::file_request(request(ops)),
        200..240 => {
            let id = u32::from(ops.byte());
            Frame::file_response(response(ops, id))
        }
        kind => Frame { stream: ops.stream(), ..Frame::of(FrameType(kind - 240)) },
    }
}

fn log(ops: &mut Ops<'_>) -> LogRecord {
    let (message, size) = (ops.text(), ops.size());
    LogRecord {
        message,
        level: i64::from(ops.byte()) - 10,
        attributes: vec!["k=v".repeat(size / 3); usize::from(ops.byte() % 4)],
    }
}

fn exec_request(ops: &mut Ops<'_>) -> ExecRequest {
    let fds = match ops.byte() {
        0..200 => EXTRA.to_vec(),
        200..240 => ops.bytes().iter().map(|fd| u32::from(*fd)).collect(),
        _ => vec![u32::MAX],
    };
    ExecRequest { fds, path: ops.text(), ..exec() }
}

fn entries(ops: &mut Ops<'_>) -> Vec<PathEntry> {
    let name = ops.text();
    vec![PathEntry { name, mode: 0o755, ..PathEntry::default() }; usize::from(ops.byte())]
}

/// A request for a file.
pub(super) fn request(ops: &mut Ops<'_>) -> FileRequest {
    let op = FileOp(ops.byte() % 28);
    let size = ops.size();
    FileRequest {
        op,
        id: u32::from(ops.byte()),
        size: i64::from(ops.byte()) * 100 - 1_000,
        data: if op == FileOp::WRITE_AT { ops.pattern(size).into() } else { Default::default() },
        path: "/x".repeat(usize::from(ops.byte() % 9)),
        handle: u32::from(ops.byte() % 5),
        offset: i64::from(ops.byte()) - 9,
        ..FileRequest::default()
    }
}

/// An answer to the request `id`.
pub(super) fn response(ops: &mut Ops<'_>, id: u32) -> FileResponse {
    let shape = ops.byte();
    let size = ops.size();
    FileResponse {
        id,
        errno: u32::from(shape & 1),
        handle: u32::from(shape & 2),
        count: if shape & 4 == 0 { 0 } else { size as i64 },
        data: if shape & 8 == 0 { Default::default() } else { ops.pattern(size).into() },
        entries: match shape & 48 {
            48 => {
                let stat = Stat { name: "n".repeat(9), ..Stat::default() };
                vec![DirEntry { stat }; size.min(200)]
            }
            _ => Vec::new(),
        },
        eof: shape & 64 != 0,
        ..FileResponse::default()
    }
}
