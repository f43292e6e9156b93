//! What is known about a file request without a file system: `docs/protocols/agentproto.md`
//! section 8.

use alloc::format;
use alloc::string::{String, ToString};

use crate::agentproto::fileop::{FileOp, FileRequest};

const EIO: u32 = 5;
const EBADF: u32 = 9;
const EINVAL: u32 = 22;
const EMFILE: u32 = 24;
/// The number of this system: on the wire an errno is the agent's.
const ENOSYS: u32 = if cfg!(target_os = "linux") { 38 } else { 78 };

/// A failure: its number, and its text in the original's shape.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) errno: u32,
    pub(super) message: String,
}

impl Refusal {
    fn new(errno: u32, message: impl Into<String>) -> Self {
        Self { errno, message: message.into() }
    }
}

/// Whether an operation is about an open file, and not about a path.
pub(super) const fn is_on_handle(op: FileOp) -> bool {
    matches!(
        op,
        FileOp::CLOSE
            | FileOp::READ_AT
            | FileOp::WRITE_AT
            | FileOp::FSYNC
            | FileOp::FSTAT
            | FileOp::FTRUNCATE
    )
}

/// Whether an operation may run beside others in its lane.
pub(super) const fn is_shared(op: FileOp) -> bool {
    !is_on_handle(op) || matches!(op, FileOp::READ_AT | FileOp::FSTAT)
}

/// Whether an operation gives a handle.
pub(super) const fn opens(op: FileOp) -> bool {
    matches!(op, FileOp::OPEN | FileOp::CREATE | FileOp::OPEN_FILE)
}

pub(super) fn unknown_handle() -> Refusal {
    Refusal::new(EBADF, "bad file descriptor")
}

pub(super) fn negative_offset(path: &str) -> Refusal {
    Refusal::new(EIO, format!("readat {path}: negative offset"))
}

pub(super) fn too_many_handles(path: &str) -> Refusal {
    Refusal::new(EMFILE, format!("open {path}: too many open files"))
}

/// Refuses a request on paths whose operation is unknown, or whose paths no system takes.
pub(super) fn of_paths(request: &FileRequest) -> Result<(), Refusal> {
    let FileRequest { path, new_path, .. } = request;
    let verb = match request.op {
        FileOp::OPEN | FileOp::CREATE | FileOp::OPEN_FILE | FileOp::READ_DIR => "open",
        FileOp::STAT => "stat",
        FileOp::LSTAT => "lstat",
        FileOp::MKDIR | FileOp::MKDIR_ALL => "mkdir",
        FileOp::REMOVE => "remove",
        FileOp::RENAME => "rename",
        FileOp::CHMOD => "chmod",
        FileOp::TRUNCATE => "truncate",
        FileOp::GETWD => return Ok(()),
        FileOp::READLINK => "readlink",
        FileOp::SYMLINK => "symlink",
        FileOp::LINK => "link",
        FileOp::CHOWN => "chown",
        FileOp::CHTIMES => "chtimes",
        FileOp::STATFS => "",
        _ => return Err(Refusal::new(ENOSYS, "unknown file op")),
    };
    let two = matches!(request.op, FileOp::RENAME | FileOp::SYMLINK | FileOp::LINK);
    let has_nul = path.contains('\0') || two && new_path.contains('\0');
    if !has_nul {
        return Ok(());
    }
    let text = "invalid argument";
    let message = match request.op {
        FileOp::STATFS => text.to_string(),
        _ if two => format!("{verb} {path} {new_path}: {text}"),
        _ => format!("{verb} {path}: {text}"),
    };
    Err(Refusal::new(EINVAL, message))
}
