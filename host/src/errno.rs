//! Error numbers in words, as the agents this project replaces put them.

use std::io;

#[cfg(unix)]
use rustix::io::Errno;

/// What people know error number `code` of this system as: lower case, without the number.
///
/// The words are those Go prints for the common numbers, since texts such as
/// `fork/exec /no/such: no such file or directory` travel in answers (`docs/protocols/agentproto.md`
/// sections 6 and 8) and get compared by eye. Other numbers have the system's own words.
#[must_use]
pub fn errno_text(code: i32) -> String {
    known(code).map_or_else(|| system_text(code), str::to_owned)
}

/// The same for an error of the standard library; one without a number speaks for itself.
#[must_use]
pub fn error_text(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), errno_text)
}

fn system_text(code: i32) -> String {
    let text = io::Error::from_raw_os_error(code).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    // An abbreviation at the beginning keeps its capitals.
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain([second]).chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// The common numbers in Go's words.
#[cfg(unix)]
const KNOWN: &[(Errno, &str)] = &[
    (Errno::PERM, "operation not permitted"),
    (Errno::NOENT, "no such file or directory"),
    (Errno::SRCH, "no such process"),
    (Errno::INTR, "interrupted system call"),
    (Errno::IO, "input/output error"),
    (Errno::TOOBIG, "argument list too long"),
    (Errno::NOEXEC, "exec format error"),
    (Errno::BADF, "bad file descriptor"),
    (Errno::AGAIN, "resource temporarily unavailable"),
    (Errno::NOMEM, "cannot allocate memory"),
    (Errno::ACCESS, "permission denied"),
    (Errno::EXIST, "file exists"),
    (Errno::NOTDIR, "not a directory"),
    (Errno::ISDIR, "is a directory"),
    (Errno::INVAL, "invalid argument"),
    (Errno::NFILE, "too many open files in system"),
    (Errno::MFILE, "too many open files"),
    (Errno::TXTBSY, "text file busy"),
    (Errno::FBIG, "file too large"),
    (Errno::NOSPC, "no space left on device"),
    (Errno::ROFS, "read-only file system"),
    (Errno::PIPE, "broken pipe"),
    (Errno::NAMETOOLONG, "file name too long"),
    (Errno::NOSYS, "function not implemented"),
    (Errno::NOTEMPTY, "directory not empty"),
    (Errno::LOOP, "too many levels of symbolic links"),
];

#[cfg(unix)]
fn known(code: i32) -> Option<&'static str> {
    // Not the other way round: any number can come, and rustix refuses some of them by a panic.
    KNOWN.iter().find(|(errno, _)| errno.raw_os_error() == code).map(|(_, text)| *text)
}

#[cfg(not(unix))]
fn known(_: i32) -> Option<&'static str> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::{errno_text, error_text};
    use std::io;

    #[test]
    fn words() {
        assert_eq!(errno_text(2), "no such file or directory");
        assert_eq!(errno_text(8), "exec format error");
        assert_eq!(errno_text(13), "permission denied");
        let other = errno_text(rustix::io::Errno::CONNREFUSED.raw_os_error());
        assert_eq!(other, "connection refused");
        for strange in [99_999, 0, -1, i32::MIN, i32::MAX] {
            assert!(!errno_text(strange).contains("os error"));
        }
        assert_eq!(error_text(&io::Error::other("x")), "x");
        assert_eq!(error_text(&io::Error::from_raw_os_error(2)), "no such file or directory");
    }
}
