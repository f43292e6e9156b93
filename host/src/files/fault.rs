//! What went wrong, on its way into an answer.

use std::borrow::Cow;
use std::fmt;

use rustix::io::Errno;
use trunkline_core::agentproto::FileResponse;

use crate::errno_text;

/// A path is cut in texts behind so many bytes, twice what any file can have.
const SHOWN: usize = 8192;

/// An error number, and its text where it is not the number's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) errno: Errno,
    text: Option<Cow<'static, str>>,
}

impl Fault {
    /// A path that leaves the served directory.
    pub(super) const OUTSIDE: Self =
        Self::told(Errno::ACCESS, "leads outside of the served directory");

    /// A path that crosses a mount point.
    pub(super) const MOUNT: Self =
        Self::told(Errno::XDEV, "leads across a mount point, which is not allowed here");

    /// A fault with a text of its own.
    pub(super) const fn told(errno: Errno, text: &'static str) -> Self {
        Self { errno, text: Some(Cow::Borrowed(text)) }
    }

    /// The same, with a text that is made on the spot.
    pub(super) fn say(errno: Errno, text: String) -> Self {
        Self { errno, text: Some(Cow::Owned(text)) }
    }

    /// Whether the path was refused for where it leads.
    pub(super) fn is_refusal(&self) -> bool {
        [Self::OUTSIDE, Self::MOUNT].contains(self)
    }

    /// `verb path: text`.
    pub(super) fn at(&self, verb: &str, path: &str) -> Failure {
        Failure::new(self.errno, format!("{verb} {}: {self}", shown(path)))
    }

    /// `verb old new: text`.
    pub(super) fn between(&self, verb: &str, old: &str, new: &str) -> Failure {
        Failure::new(self.errno, format!("{verb} {} {}: {self}", shown(old), shown(new)))
    }

    /// The text alone.
    pub(super) fn plain(&self) -> Failure {
        Failure::new(self.errno, self.to_string())
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self { errno, text: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => f.write_str(&errno_text(self.errno.raw_os_error())),
        }
    }
}

/// An answer that tells of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    errno: Errno,
    message: String,
    /// Bytes that were written before it.
    pub(super) count: i64,
}

impl Failure {
    /// A failure whose text is complete.
    pub(super) fn new(errno: Errno, message: String) -> Self {
        Self { errno, message, count: 0 }
    }
}

impl From<Failure> for FileResponse {
    fn from(failure: Failure) -> Self {
        Self {
            errno: failure.errno.raw_os_error().unsigned_abs(),
            message: failure.message,
            count: failure.count,
            ..Self::default()
        }
    }
}

/// `path`, or as much of it as a text should hold.
fn shown(path: &str) -> Cow<'_, str> {
    let Some(mut end) = (path.len() > SHOWN).then_some(SHOWN) else { return path.into() };
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", path.get(..end).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let fault = Fault::from(Errno::NOENT);
        let response = FileResponse::from(fault.at("open", "/x"));
        assert_eq!((response.errno, &*response.message), (2, "open /x: no such file or directory"));
        let failure = Fault::from(Errno::EXIST).between("rename", "a", "b");
        assert_eq!(failure.message, "rename a b: file exists");
        assert_eq!(fault.plain().message, "no such file or directory");
        assert_eq!(Fault::MOUNT.errno, Errno::XDEV);
    }

    #[test]
    fn endless_paths_are_cut() {
        let failure = Fault::from(Errno::NAMETOOLONG).at("stat", &"ä".repeat(50_000));
        assert!(failure.message.len() < 8_300, "{}", failure.message.len());
        assert!(failure.message.ends_with("ä...: file name too long"));
    }
}
