//! What a file service may do to the machine it runs on.

use std::path::PathBuf;

/// What a [`FileSystem`](super::FileSystem) permits, and how much it hands out at once.
///
/// The default serves the whole machine, as the original does, and refuses devices. With a
/// [`root`](Self::root) everything that could reach beyond it, or that would outlast it, is refused
/// unless allowed. `docs/protocols/agentproto.md` section 15.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilePolicy {
    /// The directory that is served as `/`. Nothing outside of it can be reached; relative paths
    /// start at it; absolute links and `..` above it are refused. Linux only. Default: none, paths
    /// are those of the machine.
    pub root: Option<PathBuf>,
    /// Refuses every change (30, EROFS), opening for writing included. Default: false.
    pub read_only: bool,
    /// The largest size in bytes that a file may be given; more is refused (27, EFBIG), and nothing
    /// of such a write is written. Default: no limit.
    pub max_file_size: Option<u64>,
    /// Allows opening what is neither a file nor a directory: devices, FIFOs, sockets. They are
    /// opened without blocking and stay so: where they would block, the answer is 11 (EAGAIN).
    /// Default: false (1, EPERM), with and without a root.
    pub devices: bool,
    /// Allows set-user-ID and set-group-ID bits, changes of owner and group, and writing into files
    /// that have such bits. Means something under a root only; without one all of it is allowed.
    /// Default: false (1, EPERM).
    pub set_id: bool,
    /// Allows making hard links. Means something under a root only; without one they are allowed.
    /// Default: false (1, EPERM). Links that others made are files like any other.
    pub hard_links: bool,
    /// Allows paths that lead into other mounts below the root. Means something under a root only.
    /// Default: false (18, EXDEV).
    pub mounts: bool,
    /// What happens to names that are not UTF-8, which the wire cannot carry (H1).
    pub bad_names: BadNames,
    /// The most bytes that one read gives; a larger one is answered short. Default: 1 MiB.
    pub max_read: usize,
    /// The most entries of one listing, or 75 (EOVERFLOW). Default: 131,072, what a receiver takes.
    pub max_listing: usize,
    /// The most bytes that one listing may take on the wire, or 75 (EOVERFLOW). Default: 1 KiB less
    /// than the largest frame of 16 MiB.
    pub max_listing_bytes: usize,
    /// Who resolves paths below a root.
    pub resolver: Resolver,
}

impl Default for FilePolicy {
    fn default() -> Self {
        Self {
            root: None,
            read_only: false,
            max_file_size: None,
            devices: false,
            set_id: false,
            hard_links: false,
            mounts: false,
            bad_names: BadNames::default(),
            max_read: 1 << 20,
            max_listing: 131_072,
            max_listing_bytes: (16 << 20) - 1024,
            resolver: Resolver::default(),
        }
    }
}

impl FilePolicy {
    /// The default policy for the directory `root`: everything that reaches beyond it is refused.
    #[must_use]
    pub fn confined(root: impl Into<PathBuf>) -> Self {
        Self { root: Some(root.into()), ..Self::default() }
    }

    /// Whether set-ID bits and owners may be set.
    pub(super) fn allows_set_id(&self) -> bool {
        self.set_id || self.root.is_none()
    }

    /// Whether hard links may be made.
    pub(super) fn allows_hard_links(&self) -> bool {
        self.hard_links || self.root.is_none()
    }
}

/// What a listing makes of a name that is not UTF-8: hazard H1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadNames {
    /// The listing fails (84, EILSEQ), and its text shows the name escaped.
    #[default]
    Fail,
    /// The listing leaves the entry out.
    Skip,
}

/// Who resolves paths below a root; both refuse the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolver {
    /// The kernel, by `openat2`; where it has none or a sandbox forbids it, the walk.
    #[default]
    Kernel,
    /// Step by step, one directory handle after the other, links read here.
    Walk,
}
