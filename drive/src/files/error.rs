//! Why a file request failed.

use std::fmt;
use std::io;

use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse, Stalled, escape};

use crate::SessionError;

/// A file request that failed although the session goes on: the source of its `io::Error`.
///
/// The error's kind follows the errno; the error as this system would make it is
/// [`os_error`](Self::os_error).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileError {
    /// What was asked for.
    pub op: FileOp,
    /// The path it was asked for; of a handle, the path that was opened, if it is known.
    pub path: String,
    /// The new path of a rename or a link, else empty.
    pub new_path: String,
    /// The number of the error at the agent's system; 0 when it gave none.
    pub errno: u32,
    /// The agent's own words, possibly none. The text is the peer's: escape it before showing it.
    pub message: String,
    /// What went wrong.
    pub fault: FileFault,
}

/// What went wrong with a file request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFault {
    /// The agent could not, or would not, do it.
    Refused,
    /// The agent answered without what was asked for, such as a stat without attributes.
    EmptyResult,
    /// The agent transferred nothing at all, although the file does not end there.
    Stalled,
    /// The answer did not come in time. The agent may have done it, or do it yet.
    TimedOut,
}

impl FileError {
    /// The file error below an error of this crate, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The error as a system call of this system would have given it; `None` without a number.
    ///
    /// Numbers are the agent's system's: it is the same error where both systems are the same.
    #[must_use]
    pub fn os_error(&self) -> Option<io::Error> {
        let errno = i32::try_from(self.errno).ok().filter(|errno| *errno > 0)?;
        Some(io::Error::from_raw_os_error(errno))
    }

    fn kind(&self) -> io::ErrorKind {
        match (self.fault, self.errno) {
            (FileFault::EmptyResult | FileFault::Stalled, _) => io::ErrorKind::InvalidData,
            (FileFault::TimedOut, _) => io::ErrorKind::TimedOut,
            (FileFault::Refused, 2) => io::ErrorKind::NotFound,
            (FileFault::Refused, 13) => io::ErrorKind::PermissionDenied,
            (FileFault::Refused, 17) => io::ErrorKind::AlreadyExists,
            (FileFault::Refused, 22) => io::ErrorKind::InvalidInput,
            _ => self.os_error().map_or(io::ErrorKind::Other, |error| error.kind()),
        }
    }

    /// The agent's words without the verb and the paths that they mostly begin with.
    fn reason(&self) -> &str {
        let last = if self.new_path.is_empty() { &self.path } else { &self.new_path };
        let behind = |(begin, _): (usize, _)| self.message.get(begin + last.len() + 2..);
        self.message.match_indices(&format!("{last}: ")).next().and_then(behind).unwrap_or_default()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "operation {}", self.op.0)?,
        }
        for path in [&self.path, &self.new_path].into_iter().filter(|path| !path.is_empty()) {
            write!(f, " {}", escape(path))?;
        }
        f.write_str(": ")?;
        match self.fault {
            FileFault::EmptyResult => f.write_str("the agent answered with an empty result"),
            FileFault::Stalled => f.write_str("the agent transfers nothing, and tells no end"),
            FileFault::TimedOut => f.write_str("no answer in time"),
            FileFault::Refused => match (self.reason(), self.os_error()) {
                ("", Some(error)) if self.message.is_empty() => error.fmt(f),
                ("", _) => escape(&self.message).fmt(f),
                (reason, _) => escape(reason).fmt(f),
            },
        }
    }
}

impl std::error::Error for FileError {}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// What was asked, as far as errors tell it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    op: FileOp,
    path: String,
    new_path: String,
}

impl Asked {
    /// A request, with the path that its handle was opened by if it has none of its own.
    pub(crate) fn new(request: &FileRequest, opened: &str) -> Self {
        let path = if request.path.is_empty() { opened } else { &request.path };
        Self { op: request.op, path: path.to_owned(), new_path: request.new_path.clone() }
    }

    /// The answer if it is a success.
    pub(crate) fn check(self, response: FileResponse) -> io::Result<FileResponse> {
        if response.errno == 0 && response.message.is_empty() {
            return Ok(response);
        }
        Err(FileError {
            errno: response.errno,
            message: response.message,
            ..self.failed(FileFault::Refused)
        }
        .into())
    }

    /// The error of an answer that lacks what was asked for.
    pub(crate) fn failed(self, fault: FileFault) -> FileError {
        let Self { op, path, new_path } = self;
        FileError { op, path, new_path, errno: 0, message: String::new(), fault }
    }
}

/// Why reading ahead or writing behind failed, to be told more than once.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    File(FileError),
    Session(SessionError),
    Stalled,
    Other(io::ErrorKind, String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let source = error.get_ref();
        if let Some(file) = source.and_then(|source| source.downcast_ref::<FileError>()) {
            return Self::File(file.clone());
        }
        match source.and_then(|source| source.downcast_ref::<SessionError>()) {
            Some(session) => Self::Session(session.clone()),
            None => Self::Other(error.kind(), error.to_string()),
        }
    }
}

impl From<Stalled> for Fault {
    fn from(_: Stalled) -> Self {
        Self::Stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(op: FileOp, paths: [&str; 2], errno: u32, message: &str) -> FileError {
        let [path, new_path] = paths.map(str::to_owned);
        let asked = Asked { op, path, new_path };
        FileError { errno, message: message.to_owned(), ..asked.failed(FileFault::Refused) }
    }

    #[test]
    fn an_error_tells_the_operation_the_paths_and_the_reason_once() {
        let shown = [
            (error(FileOp::OPEN, ["/x", ""], 2, "open /x: no such file"), "open /x: no such file"),
            (error(FileOp::OPEN, ["/x", ""], 2, "nothing there"), "open /x: nothing there"),
            (error(FileOp::STAT, ["/\x1b", ""], 0, "bad \n"), r"stat /\u{1b}: bad \n"),
            (
                error(FileOp::RENAME, ["a", "b"], 17, "rename a b: file exists"),
                "rename a b: file exists",
            ),
            (error(FileOp(99), ["", ""], 38, "unknown file op"), "operation 99: unknown file op"),
        ];
        for (error, expected) in shown {
            assert_eq!(error.to_string(), expected);
        }
        let bare = error(FileOp::OPEN, ["/x", ""], 2, "").to_string();
        assert!(bare.starts_with("open /x: ") && bare.len() > 12, "{bare}");
    }

    #[test]
    fn numbers_become_kinds_and_stay_readable() {
        for (errno, kind) in [
            (2, io::ErrorKind::NotFound),
            (13, io::ErrorKind::PermissionDenied),
            (17, io::ErrorKind::AlreadyExists),
            (22, io::ErrorKind::InvalidInput),
            (0, io::ErrorKind::Other),
            (28, io::Error::from_raw_os_error(28).kind()),
        ] {
            let error = io::Error::from(error(FileOp::OPEN, ["/x", ""], errno, "why"));
            assert_eq!(error.kind(), kind);
            assert_eq!(FileError::of(&error).unwrap().errno, errno);
        }
        assert!(FileError::of(&io::Error::other("else")).is_none());
    }
}
