//! The 25 file operations on the real file system: `docs/protocols/agentproto.md` section 8.
//!
//! A [`FileSystem`] performs one request at a time for each thread that asks it, blocks while it
//! does, and keeps nothing between requests: handles belong to its caller, as [`Opened`]. What it
//! may do stands in a [`FilePolicy`].
//!
//! Results, error numbers and texts are those of the original. Where the policy refuses something,
//! the text says so.

mod attributes;
mod changes;
mod fault;
mod listing;
mod opened;
mod policy;
mod pool;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod root;
mod tree;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod walk;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse, mode_bits};

pub use opened::Opened;
pub use policy::{BadNames, FilePolicy, Resolver};

use attributes::{base_name, kind, kind_text, mode, stat};
use fault::{Failure, Fault};
use pool::Pool;
use tree::Tree;

/// The flags of open(2) that a peer may use below a root. Not among them: `O_PATH`, `O_TMPFILE`
/// and `O_ASYNC`, which make handles that no other operation is meant for.
const FLAGS: OFlags = OFlags::RWMODE
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOCTTY)
    .union(OFlags::TRUNC)
    .union(OFlags::APPEND)
    .union(OFlags::NONBLOCK)
    // With O_DSYNC, which is a bit of it.
    .union(OFlags::SYNC)
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The bits that let a program run as somebody else.
const SET_ID: u32 = 0o6_000;

/// Performs file requests on this machine.
///
/// It can be shared by threads; requests that run at once do not wait for each other, but for those
/// that append to one file under [`FilePolicy::max_file_size`]. Dropping it closes nothing that was
/// opened with it.
#[derive(Debug)]
pub struct FileSystem {
    policy: FilePolicy,
    tree: Tree,
    pool: Pool,
    /// Held from the look at a file's size to the write behind its end; which one, its number says.
    appending: [Mutex<()>; 16],
}

/// What came of a request.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The answer. Its `id` is 0, and so is its `handle`: both are the caller's to give.
    pub response: FileResponse,
    /// The file that was opened, when that was asked for and succeeded.
    pub opened: Option<Opened>,
}

impl FileSystem {
    /// A file system under `policy`.
    ///
    /// # Errors
    /// If the policy has a root that cannot be opened as a directory, or that cannot be confined on
    /// this system: anything but Linux, or a Linux that tells mounts apart neither by `statx` nor
    /// in `/proc`.
    pub fn new(policy: FilePolicy) -> io::Result<Self> {
        let tree = match &policy.root {
            None => Tree::Machine,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(path) => Tree::Below(root::Root::new(path, policy.resolver, policy.mounts)?),
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Some(_) => {
                let text = "a served directory can be confined on Linux only";
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
        };
        Ok(Self { policy, tree, pool: Pool::default(), appending: Default::default() })
    }

    /// The policy it was made with.
    #[must_use]
    pub fn policy(&self) -> &FilePolicy {
        &self.policy
    }

    /// Performs `request`; `handle` is the file that its handle stands for, if there is one.
    ///
    /// An operation on a handle without one is answered with 9 (EBADF). For [`FileOp::CLOSE`] the
    /// caller forgets the handle whatever the answer is; the file closes when the last owner of its
    /// [`Opened`] drops it. Blocks as long as the file system does.
    #[must_use]
    pub fn perform(&self, request: &FileRequest, handle: Option<&Opened>) -> Outcome {
        let done = match request.op {
            FileOp::OPEN | FileOp::CREATE | FileOp::OPEN_FILE => {
                return match self.open_request(request) {
                    Ok(opened) => Outcome { opened: Some(opened), ..Outcome::default() },
                    Err(fault) => {
                        Outcome { response: fault.at("open", &request.path).into(), opened: None }
                    }
                };
            }
            FileOp::CLOSE
            | FileOp::READ_AT
            | FileOp::WRITE_AT
            | FileOp::FSYNC
            | FileOp::FSTAT
            | FileOp::FTRUNCATE => match handle {
                Some(opened) => self.on_handle(request, opened),
                None => Err(Fault::from(Errno::BADF).plain()),
            },
            _ => self.on_path(request),
        };
        Outcome { response: done.unwrap_or_else(FileResponse::from), opened: None }
    }

    fn on_path(&self, request: &FileRequest) -> Result<FileResponse, Failure> {
        let FileRequest { path, new_path, mode, .. } = request;
        let at = |verb| move |fault: Fault| fault.at(verb, path);
        let between = |verb| move |fault: Fault| fault.between(verb, path, new_path);
        match request.op {
            FileOp::STAT => return self.stat(path, true).map_err(at("stat")),
            FileOp::LSTAT => return self.stat(path, false).map_err(at("lstat")),
            FileOp::READ_DIR => return self.read_dir(path),
            FileOp::READLINK => {
                let path = self.readlink(path).map_err(at("readlink"))?;
                return Ok(FileResponse { path, ..FileResponse::default() });
            }
            FileOp::GETWD => {
                let path =
                    self.getwd().map_err(|f| Failure::new(f.errno, format!("getwd: {f}")))?;
                return Ok(FileResponse { path, ..FileResponse::default() });
            }
            FileOp::STATFS => {
                let statfs = self.tree.statfs(path).map_err(|fault| fault.plain())?;
                return Ok(FileResponse { statfs: Some(statfs.into()), ..FileResponse::default() });
            }
            FileOp::MKDIR => self.mkdir(path, *mode).map_err(at("mkdir"))?,
            FileOp::MKDIR_ALL => self.mkdir_all(path, *mode)?,
            FileOp::REMOVE => self.remove(path).map_err(at("remove"))?,
            FileOp::RENAME => self.rename(path, new_path).map_err(between("rename"))?,
            FileOp::CHMOD => self.chmod(path, *mode).map_err(at("chmod"))?,
            FileOp::TRUNCATE => self.truncate(path, request.size).map_err(at("truncate"))?,
            FileOp::SYMLINK => self.symlink(path, new_path).map_err(between("symlink"))?,
            FileOp::LINK => self.link(path, new_path).map_err(between("link"))?,
            FileOp::CHOWN => self.chown(path, request.uid, request.gid).map_err(at("chown"))?,
            FileOp::CHTIMES => {
                self.chtimes(path, request.atime, request.mtime).map_err(at("chtimes"))?;
            }
            _ => return Err(Failure::new(Errno::NOSYS, "unknown file op".to_owned())),
        }
        Ok(FileResponse::default())
    }

    fn stat(&self, path: &str, follow: bool) -> Result<FileResponse, Fault> {
        let found = stat(&self.tree.stat(path, follow)?, base_name(path));
        Ok(FileResponse { stat: Some(found.into()), ..FileResponse::default() })
    }

    fn open_request(&self, request: &FileRequest) -> Result<Opened, Fault> {
        match request.op {
            // Its flags are ignored: H22.
            FileOp::OPEN => self.open(&request.path, OFlags::RDONLY, 0),
            // For reading too: H21.
            FileOp::CREATE => {
                self.open(&request.path, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC, 0o666)
            }
            _ => {
                let flags = OFlags::from_bits_retain(request.flags.cast_unsigned());
                self.open(&request.path, flags, mode_bits(request.mode))
            }
        }
    }

    fn open(&self, path: &str, flags: OFlags, mode: u32) -> Result<Opened, Fault> {
        let writes = flags.intersects(OFlags::RWMODE | OFlags::CREATE | OFlags::TRUNC);
        if writes {
            self.may_change()?;
        }
        // Reading and writing at once is a bit of its own; both bits together are for devices.
        let strange = !FLAGS.contains(flags) || flags.contains(OFlags::RDWR | OFlags::WRONLY);
        if self.tree.is_confined() && strange {
            return Err(Fault::told(Errno::INVAL, "flags that are not allowed here"));
        }
        let creates = flags.contains(OFlags::CREATE);
        let mode = if creates { self.mode(mode)? } else { Mode::empty() };
        if !flags.contains(OFlags::CREATE | OFlags::EXCL) {
            // Before it is opened, as opening alone can do something to a device. What cannot be
            // looked at can be opened even less, and then the better text comes of that.
            if let Ok(found) = self.tree.stat(path, !flags.contains(OFlags::NOFOLLOW)) {
                self.may_open(&found, writes)?;
            }
        }
        let always = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = self.tree.open(path, flags | always, mode)?;
        // Again, as another file may have taken the place.
        self.may_open(&rustix::fs::fstat(&file)?, writes)?;
        Ok(Opened::new(file, path, flags.contains(OFlags::APPEND)))
    }

    /// Whether a file with these attributes may be opened.
    fn may_open(&self, found: &rustix::fs::Stat, writes: bool) -> Result<(), Fault> {
        match kind(found) {
            FileType::RegularFile => {
                if writes && !self.policy.allows_set_id() && mode(found) & SET_ID != 0 {
                    let text = "it has set-ID bits, and is not written to here";
                    return Err(Fault::told(Errno::PERM, text));
                }
                Ok(())
            }
            // A link that was asked not to be followed: opening it says what is wrong with that.
            FileType::Directory | FileType::Symlink => Ok(()),
            _ if self.policy.devices => Ok(()),
            other => {
                let text = format!("it is {}, which is not opened here", kind_text(other));
                Err(Fault::say(Errno::PERM, text))
            }
        }
    }

    /// Refuses every change where there may be none.
    fn may_change(&self) -> Result<(), Fault> {
        if self.policy.read_only { Err(Errno::ROFS.into()) } else { Ok(()) }
    }

    /// Whether a file may be as long as this.
    fn may_grow(&self, size: u64) -> Result<(), Fault> {
        match self.policy.max_file_size {
            Some(most) if size > most => Err(Errno::FBIG.into()),
            _ => Ok(()),
        }
    }

    /// The mode to set for what was asked for, which has unix bits.
    fn mode(&self, bits: u32) -> Result<Mode, Fault> {
        if bits & SET_ID != 0 && !self.policy.allows_set_id() {
            return Err(Fault::told(Errno::PERM, "set-ID bits are not allowed here"));
        }
        // The type is narrower on some systems; the bits fit everywhere.
        Ok(Mode::from_raw_mode(bits as rustix::fs::RawMode))
    }

    /// Sets the size of a file, but not between another's look at it and the write behind that.
    fn cut(&self, file: &OwnedFd, inode: u64, size: u64) -> Result<(), Fault> {
        let _turn = self.policy.max_file_size.and_then(|_| self.alone(inode));
        Ok(tree::again(|| rustix::fs::ftruncate(file, size))?)
    }

    /// Lets one at a time measure and then grow the file with this number.
    fn alone(&self, inode: u64) -> Option<std::sync::MutexGuard<'_, ()>> {
        let lock = self.appending.get(usize::try_from(inode % 16).unwrap_or_default())?;
        Some(lock.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
