//! What a transfer is to do, and what it tells.

use std::fmt;
use std::io;

use crate::{FileError, FileFault, SessionError};

/// How files are transferred by [`Files::get`](crate::Files::get) and
/// [`Files::put`](crate::Files::put).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferOptions {
    /// Transfer a directory with everything below it. Without it a directory is an error.
    pub recursive: bool,
    /// Where the target is a directory that exists, transfer into it, under the name of the source.
    /// Without it a file cannot take the place of a directory, and what a directory holds is
    /// transferred into the one that exists.
    pub into_dir: bool,
    /// Give what was transferred the permission bits and the times of its source. Without it new
    /// files get the permission bits of their source as far as the umask allows, files that are
    /// replaced keep their own, and all get times of now.
    /// Owners, and the set-id bits that would mean other owners, are never taken over.
    pub preserve: bool,
    /// Below a directory, transfer what a symbolic link leads to instead of the link. The path
    /// given itself is always followed.
    pub follow: bool,
    /// Go on where a broken transfer stopped, and leave alone what has the size and the time of its
    /// source already.
    pub resume: bool,
    /// Read both sides again in the end and compare them byte for byte; with `resume`, also all
    /// that was there before, instead of its last MiB. Holes that were skipped are not compared.
    pub verify: bool,
    /// When getting, turn blocks of zeros into holes. (Putting always leaves holes out.)
    pub sparse: bool,
}

/// What a transfer has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferSummary {
    /// Files that were transferred.
    pub files: u64,
    /// Directories that were made, or were there and were filled.
    pub directories: u64,
    /// Symbolic links that were made.
    pub links: u64,
    /// Bytes of content that were transferred; holes, and what was there before, are not counted.
    pub bytes: u64,
    /// Files that were left out because they are neither files nor directories nor links, each told
    /// by [`TransferEvent::Skipped`].
    pub skipped: u64,
    /// Files that were left alone because `resume` found them whole.
    pub unchanged: u64,
    /// What failed below a directory, each told by [`TransferEvent::Failed`].
    pub failed: u64,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferProgress {
    /// Bytes of content that are done; holes and what was there before count.
    pub bytes: u64,
    /// Bytes of content known so far.
    pub total_bytes: u64,
    /// Files that are done.
    pub files: u64,
    /// Files known so far.
    pub total_files: u64,
    /// Whether all there is has been found, so that the totals will not grow.
    pub complete: bool,
}

/// What a transfer tells while it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransferEvent<'a> {
    /// It moved on. Told for every piece of a file, so what is done about it must be cheap.
    Progress(TransferProgress),
    /// Something below a directory failed; the rest goes on.
    Failed(&'a TransferError),
    /// Something below a directory is nothing that can be transferred.
    Skipped {
        /// The path of it, at the side that it is on. It may hold any character: escape it before
        /// showing it.
        path: &'a str,
        /// What it is: "it is a named pipe" and the like.
        what: &'static str,
    },
}

/// Why something could not be transferred: the source of the `io::Error`s of transfers.
#[derive(Debug)]
pub struct TransferError {
    path: String,
    error: io::Error,
    /// What is left of it and can be gone on with.
    part: Option<String>,
}

impl TransferError {
    pub(super) fn new(path: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self { path: path.into(), error: error.into(), part: None }
    }

    /// An error in words of our own.
    pub(super) fn said(path: impl Into<String>, text: &'static str) -> Self {
        Self::new(path, io::Error::other(text))
    }

    /// Names the file that people know instead of the one it is written as.
    pub(super) fn of_file(self, part: &str, path: &str) -> Self {
        if self.path == part { Self { path: path.to_owned(), ..self } } else { self }
    }

    pub(super) fn with_part(self, part: String) -> Self {
        Self { part: Some(part), ..self }
    }

    /// The path of what failed, at the side where it failed. It may hold any character.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Why it failed.
    #[must_use]
    pub const fn reason(&self) -> &io::Error {
        &self.error
    }

    /// The file that holds what came before the session was lost, or a request was not answered in
    /// time, for `resume` to go on with.
    #[must_use]
    pub fn part(&self) -> Option<&str> {
        self.part.as_deref()
    }

    /// Whether the session is over, and every other transfer over it with it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let source = self.error.get_ref().and_then(|source| source.downcast_ref());
        matches!(source, Some(SessionError::Lost(_) | SessionError::NoAgent { .. }))
    }

    /// Whether what was transferred so far is worth keeping: nothing is wrong with it.
    pub(super) fn keeps_part(&self) -> bool {
        // An agent that stalls for longer than a request may take is a broken line to people.
        self.is_lost() || FileError::of(&self.error).is_some_and(|e| e.fault == FileFault::TimedOut)
    }

    /// The transfer error below an error of this crate, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match FileError::of(&self.error) {
            // It names the file itself, and what was done to it.
            Some(error) if error.path == self.path => error.fmt(f)?,
            _ => write!(f, "{}: {}", trunkline_core::agentproto::escape(&self.path), self.error)?,
        }
        match &self.part {
            Some(part) => write!(
                f,
                "; what was transferred is kept in {} for going on with it (resume)",
                trunkline_core::agentproto::escape(part)
            ),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TransferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<TransferError> for io::Error {
    fn from(error: TransferError) -> Self {
        Self::new(error.error.kind(), error)
    }
}
