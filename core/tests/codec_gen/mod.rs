//! Arbitrary messages, arbitrary CBOR that looks like them, and pieces in which it can arrive.

pub(crate) mod cbor;
pub(crate) mod memory;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use trunkline_core::Payload;
use trunkline_core::agentproto::{
    AgentConfig, CommandEnd, CommandStart, DirEntry, Direction, ExecRequest, FileOp, FileRequest,
    FileResponse, Frame, FrameType, LogRecord, PathEntry, PathInfo, PathQuery, Record, RecordType,
    RecordedFrame, SessionFooter, SessionHeader, Stat, Statfs,
};

/// Numbers on either side of every width of a head.
const EDGES: [u64; 16] = [
    0,
    1,
    23,
    24,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 3 => 0..30_u64, 3 => select(&EDGES[..]), 1 => any::<u64>()]
}

fn u64s() -> impl Strategy<Value = u64> {
    number()
}

fn u32s() -> impl Strategy<Value = u32> {
    number().prop_map(|number| number as u32)
}

fn u8s() -> impl Strategy<Value = u8> {
    number().prop_map(|number| number as u8)
}

fn i64s() -> impl Strategy<Value = i64> {
    number().prop_map(|number| number as i64)
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![12 => 0..12_usize, 1 => select(&[23, 24, 255, 256][..])]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => vec(any::<char>(), 0..6).prop_map(String::from_iter),
        2 => length().prop_map(|length| "a".repeat(length)),
    ]
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![9 => vec(text(), 0..4), 1 => vec(text(), 23..26)]
}

/// A payload in pieces, around the length from which it travels beside its frame too.
fn payload() -> impl Strategy<Value = Payload> {
    let length = prop_oneof![9 => length(), 1 => select(&[511, 512, 600, 4_000][..])];
    (any::<u8>(), vec(length, 0..4)).prop_map(|(seed, pieces)| {
        let mut payload = Payload::new();
        for (index, length) in pieces.into_iter().enumerate() {
            payload.push((0..length).map(|at| seed.wrapping_add((at * 7 + index) as u8)).collect());
        }
        payload
    })
}

fn exec() -> BoxedStrategy<ExecRequest> {
    (text(), option::of(texts()), vec(u32s(), 0..4), option::of(texts()), text())
        .prop_map(|(cwd, env, fds, argv, path)| ExecRequest { cwd, env, fds, argv, path })
        .boxed()
}

fn config() -> BoxedStrategy<AgentConfig> {
    (option::of(texts()), option::of(texts()))
        .prop_map(|(env_keep, env_remove)| AgentConfig { env_keep, env_remove })
        .boxed()
}

fn log() -> BoxedStrategy<LogRecord> {
    (texts(), i64s(), text())
        .prop_map(|(attributes, level, message)| LogRecord { attributes, level, message })
        .boxed()
}

fn path_query() -> BoxedStrategy<PathQuery> {
    texts().prop_map(|paths| PathQuery { paths }).boxed()
}

fn path_info() -> BoxedStrategy<PathInfo> {
    let entry = (u32s(), text(), text(), i64s(), i64s())
        .prop_map(|(mode, name, path, size, mtime)| PathEntry { mode, name, path, size, mtime });
    option::of(vec(entry, 0..4)).prop_map(|entries| PathInfo { entries }).boxed()
}

fn request() -> BoxedStrategy<FileRequest> {
    let texts = (text(), text(), payload());
    let small = (u32s(), u32s(), u32s(), u32s(), u32s(), u32s(), u8s());
    let large = (i64s(), i64s(), i64s(), i64s());
    (texts, small, large)
        .prop_map(
            |(
                (path, new_path, data),
                (handle, flags, id, mode, gid, uid, op),
                (atime, mtime, offset, size),
            )| {
                let (flags, op) = (flags as i32, FileOp(op));
                FileRequest {
                    data,
                    handle,
                    path,
                    atime,
                    flags,
                    id,
                    mode,
                    mtime,
                    new_path,
                    offset,
                    op,
                    size,
                    gid,
                    uid,
                }
            },
        )
        .boxed()
}

fn stat() -> BoxedStrategy<Stat> {
    let small = (u32s(), u32s(), u32s(), u32s(), u32s(), u32s());
    let large = (i64s(), i64s(), i64s(), i64s(), u64s(), u64s());
    (any::<bool>(), text(), small, large)
        .prop_map(
            |(
                is_dir,
                name,
                (mode, block_size, links, rdev, gid, uid),
                (size, mtime, atime, ctime, blocks, inode),
            )| {
                Stat {
                    is_dir,
                    mode,
                    name,
                    size,
                    mtime,
                    atime,
                    blocks,
                    block_size,
                    ctime,
                    links,
                    rdev,
                    gid,
                    inode,
                    uid,
                }
            },
        )
        .boxed()
}

fn statfs() -> BoxedStrategy<Statfs> {
    (u64s(), u64s(), u64s(), u64s(), u32s(), u64s(), u32s(), u32s())
        .prop_map(
            |(
                blocks,
                files,
                blocks_available,
                blocks_free,
                block_size,
                files_free,
                fragment_size,
                name_length,
            )| {
                Statfs {
                    blocks,
                    files,
                    blocks_available,
                    blocks_free,
                    block_size,
                    files_free,
                    fragment_size,
                    name_length,
                }
            },
        )
        .boxed()
}

fn response() -> BoxedStrategy<FileResponse> {
    let entries = vec(stat().prop_map(|stat| DirEntry { stat }), 0..3);
    let plain = (payload(), u32s(), i64s(), text(), text(), u32s(), u32s(), any::<bool>());
    (plain, entries, option::of(statfs()), option::of(stat()))
        .prop_map(
            |((data, handle, count, path, message, errno, id, eof), entries, statfs, stat)| {
                FileResponse {
                    data,
                    handle,
                    count,
                    path,
                    message,
                    entries,
                    errno,
                    id,
                    statfs: statfs.map(Box::new),
                    stat: stat.map(Box::new),
                    eof,
                }
            },
        )
        .boxed()
}

/// A frame of every type, and frames that carry what does not belong to their type.
pub(crate) fn frame() -> BoxedStrategy<Frame> {
    let mixed =
        (frame_of_its_type(), frame_of_its_type(), u8s()).prop_map(|(one, other, kind)| Frame {
            kind: FrameType(kind),
            code: one.code,
            data: one.data,
            error: other.error,
            path_info: one.path_info,
            log: other.log,
            path_query: one.path_query,
            stream: other.stream,
            exec: other.exec,
            config: one.config,
            file_request: other.file_request,
            file_response: one.file_response,
            signal: other.signal,
        });
    prop_oneof![4 => frame_of_its_type(), 1 => mixed].boxed()
}

fn frame_of_its_type() -> BoxedStrategy<Frame> {
    prop_oneof![
        exec().prop_map(Frame::exec),
        (u32s(), payload()).prop_map(|(stream, data)| Frame::data(stream, data)),
        u32s().prop_map(Frame::eof),
        i64s().prop_map(Frame::signal),
        (i64s(), text()).prop_map(|(code, error)| Frame::exit(code, error)),
        text().prop_map(|error| Frame { error, ..Frame::of(FrameType::ERROR) }),
        log().prop_map(Frame::log),
        config().prop_map(Frame::config),
        path_query().prop_map(Frame::path_query),
        path_info().prop_map(Frame::path_info),
        request().prop_map(Frame::file_request),
        response().prop_map(Frame::file_response),
        u8s().prop_map(|kind| Frame::of(FrameType(kind))),
    ]
    .boxed()
}

/// A record of every type.
pub(crate) fn record() -> BoxedStrategy<Record> {
    let of = |kind, record: Record| Record { kind, ..record };
    let header = (text(), i64s(), text(), text(), i64s(), text(), text()).prop_map(
        |(version, local_pid, agent_path, local_user, start_time, backend_addr, backend_type)| {
            SessionHeader {
                version,
                local_pid,
                agent_path,
                local_user,
                start_time,
                backend_addr,
                backend_type,
            }
        },
    );
    let start = (u32s(), exec(), i64s()).prop_map(|(seq, exec, start_time)| CommandStart {
        seq,
        exec,
        start_time,
    });
    let recorded = (i64s(), u8s(), u32s(), frame()).prop_map(|(time, direction, seq, frame)| {
        RecordedFrame { time, direction: Direction(direction), seq, frame }
    });
    let end = (u32s(), i64s(), i64s()).prop_map(|(seq, end_time, exit_code)| CommandEnd {
        seq,
        end_time,
        exit_code,
    });
    let footer = (i64s(), u32s())
        .prop_map(|(end_time, command_count)| SessionFooter { end_time, command_count });
    prop_oneof![
        header.prop_map(move |body| of(
            RecordType::HEADER,
            Record { header: Some(Box::new(body)), ..Record::default() }
        )),
        start.prop_map(move |body| of(
            RecordType::COMMAND_START,
            Record { command_start: Some(Box::new(body)), ..Record::default() }
        )),
        recorded.prop_map(move |body| of(
            RecordType::FRAME,
            Record { frame: Some(Box::new(body)), ..Record::default() }
        )),
        end.prop_map(move |body| of(
            RecordType::COMMAND_END,
            Record { command_end: Some(Box::new(body)), ..Record::default() }
        )),
        footer.prop_map(move |body| of(
            RecordType::FOOTER,
            Record { footer: Some(Box::new(body)), ..Record::default() }
        )),
        u8s().prop_map(move |kind| of(RecordType(kind), Record::default())),
    ]
    .boxed()
}

/// `bytes` in one piece.
pub(crate) fn whole(bytes: &[u8]) -> [Bytes; 1] {
    [Bytes::copy_from_slice(bytes)]
}

/// `bytes` in pieces of these sizes, over and over.
pub(crate) fn pieces(bytes: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut pieces = Vec::new();
    for (index, size) in sizes.iter().cycle().enumerate() {
        if rest.is_empty() {
            break;
        }
        let piece = rest.split_to((*size).min(rest.len()));
        // Some pieces are slices of one buffer, some have memory of their own.
        pieces.push(if index % 2 == 0 { piece } else { Bytes::copy_from_slice(&piece) });
    }
    pieces
}

/// Sizes of pieces, from drops to gulps.
pub(crate) fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1..9_usize, 1..6), vec(1..3_000_usize, 1..4)]
}
