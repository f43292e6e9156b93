//! Attributes of files as the wire has them: `docs/protocols/agentproto.md` section 8.

use rustix::fs::{FileType, RawMode};
use rustix::fs::{Stat as Raw, Timespec, Timestamps};
#[cfg(any(target_os = "linux", target_os = "android"))]
use trunkline_core::agentproto::Statfs;
use trunkline_core::agentproto::{Stat, mode_from_unix};

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// The attributes `raw` of a file called `name`.
// The widths of these fields differ from system to system.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(super) fn stat(raw: &Raw, name: String) -> Stat {
    Stat {
        is_dir: kind(raw) == FileType::Directory,
        mode: mode_from_unix(mode(raw)),
        name,
        size: raw.st_size as i64,
        mtime: nanoseconds(raw.st_mtime as i64, raw.st_mtime_nsec as i64),
        atime: nanoseconds(raw.st_atime as i64, raw.st_atime_nsec as i64),
        blocks: raw.st_blocks as u64,
        block_size: raw.st_blksize as u32,
        ctime: nanoseconds(raw.st_ctime as i64, raw.st_ctime_nsec as i64),
        links: raw.st_nlink as u32,
        rdev: raw.st_rdev as u32,
        gid: raw.st_gid,
        inode: raw.st_ino as u64,
        uid: raw.st_uid,
    }
}

/// The `st_mode` of these attributes.
// Narrower on some systems.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(super) fn mode(raw: &Raw) -> u32 {
    raw.st_mode as u32
}

/// What kind of file these are the attributes of.
pub(super) fn kind(raw: &Raw) -> FileType {
    FileType::from_raw_mode(raw.st_mode as RawMode)
}

/// What people call a file that is neither regular nor a directory.
pub(super) fn kind_text(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Symlink => "a symbolic link",
        _ => "no regular file",
    }
}

/// Times of access and modification, given in nanoseconds since 1970.
pub(super) fn timestamps(atime: i64, mtime: i64) -> Timestamps {
    let [last_access, last_modification] = [atime, mtime]
        .map(|time| Timespec { tv_sec: time.div_euclid(SECOND), tv_nsec: time.rem_euclid(SECOND) });
    Timestamps { last_access, last_modification }
}

/// Facts about a file system.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(clippy::unnecessary_cast)]
pub(super) fn statfs(raw: &rustix::fs::StatFs) -> Statfs {
    Statfs {
        blocks: raw.f_blocks as u64,
        files: raw.f_files as u64,
        blocks_available: raw.f_bavail as u64,
        blocks_free: raw.f_bfree as u64,
        block_size: raw.f_bsize as u32,
        files_free: raw.f_ffree as u64,
        fragment_size: raw.f_frsize as u32,
        name_length: raw.f_namelen as u32,
    }
}

/// The last element of a path as sent: "/a/b/" gives "b", "/" gives "/", "x/.." gives "..".
pub(super) fn base_name(path: &str) -> String {
    let path = match path.trim_end_matches('/') {
        "" => path.get(..1).unwrap_or_default(),
        path => path,
    };
    match path.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name.to_owned(),
        _ => path.to_owned(),
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(SECOND).saturating_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_names() {
        for (path, name) in [
            ("/a/b/", "b"),
            ("/", "/"),
            ("//", "/"),
            (".", "."),
            ("x/..", ".."),
            ("a", "a"),
            ("a//", "a"),
            ("/a", "a"),
            ("", ""),
        ] {
            assert_eq!(base_name(path), name, "{path}");
        }
    }

    #[test]
    fn times_before_1970() {
        let times = timestamps(-1, -2 * SECOND);
        assert_eq!((times.last_access.tv_sec, times.last_access.tv_nsec), (-1, SECOND - 1));
        assert_eq!((times.last_modification.tv_sec, times.last_modification.tv_nsec), (-2, 0));
        assert_eq!(nanoseconds(-1, SECOND - 1), -1);
        assert_eq!(nanoseconds(i64::MAX, 5), i64::MAX);
    }
}
