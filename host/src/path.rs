//! Which programs a list of directories offers: `docs/protocols/agentproto.md` section 7.

use std::collections::HashSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use trunkline_core::agentproto::PathEntry;

/// The most entries an answer can carry: a receiver refuses longer lists.
///
/// `docs/protocols/agentproto.md` section 14, H3.
pub const MAX_ENTRIES: usize = 131_072;

/// What [`scan`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scan {
    /// The programs, in the order of the directories and by the bytes of their names within one.
    pub entries: Vec<PathEntry>,
    /// Programs left out because their name or path is not UTF-8, or beyond [`MAX_ENTRIES`].
    pub skipped: usize,
}

/// Lists the programs in `dirs`, or, when that is empty, in the directories of `search_path`.
///
/// A program is a regular file, links followed, with any execute bit set. Of several with one name
/// the first counts. Empty and unreadable directories are passed over, and so is every file that
/// cannot be looked at: there is no error. Blocks on the file system, which can be a slow one.
///
/// A name that is not UTF-8 would make the receiver refuse the whole answer (H1): it is counted in
/// [`Scan::skipped`] instead, like everything beyond [`MAX_ENTRIES`] (H3).
///
/// `docs/protocols/agentproto.md` section 7.
#[must_use]
pub fn scan(dirs: &[String], search_path: Option<&OsStr>) -> Scan {
    scan_at_most(dirs, search_path, MAX_ENTRIES)
}

fn scan_at_most(dirs: &[String], search_path: Option<&OsStr>, limit: usize) -> Scan {
    let dirs: Vec<PathBuf> = if dirs.is_empty() {
        search_path.map(|path| env::split_paths(path).collect()).unwrap_or_default()
    } else {
        dirs.iter().map(PathBuf::from).collect()
    };
    let mut scan = Scan::default();
    let mut listed = HashSet::new();
    // The same directory again cannot add anything, and a peer may name it 131072 times.
    let mut visited = HashSet::new();
    for dir in &dirs {
        if !dir.as_os_str().is_empty() && visited.insert(dir.as_os_str()) {
            scan_dir(dir, limit, &mut listed, &mut scan);
        }
    }
    scan
}

fn scan_dir(dir: &Path, limit: usize, listed: &mut HashSet<String>, scan: &mut Scan) {
    for name in sorted_names(dir) {
        if name.to_str().is_some_and(|name| listed.contains(name)) {
            continue;
        }
        let Ok(metadata) = fs::metadata(dir.join(&name)) else { continue };
        if !metadata.is_file() || !is_executable(&metadata, &name) {
            continue;
        }
        match (dir.to_str(), name.into_string()) {
            (Some(dir), Ok(name)) if scan.entries.len() < limit => {
                scan.entries.push(entry(dir, name.clone(), &metadata));
                listed.insert(name);
            }
            _ => scan.skipped += 1,
        }
    }
}

/// The names in `dir` by their bytes; what could be read of it, when reading fails on the way.
fn sorted_names(dir: &Path) -> Vec<OsString> {
    let Ok(listing) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<OsString> =
        listing.map_while(Result::ok).map(|entry| entry.file_name()).collect();
    // On Unix an `OsString` orders by its bytes.
    names.sort_unstable();
    names
}

fn entry(dir: &str, name: String, metadata: &Metadata) -> PathEntry {
    let path = clean(&format!("{dir}/{name}"));
    PathEntry {
        mode: permissions(metadata),
        name,
        path,
        size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
        mtime: modified(metadata),
    }
}

/// The shortest path equal to `path` by its text alone, as Go's `path.Clean` forms it.
///
/// Links are not looked at; what is empty becomes a dot.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata, _: &OsStr) -> bool {
    permissions(metadata) & 0o111 != 0
}

#[cfg(unix)]
fn permissions(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o777
}

#[cfg(unix)]
fn modified(metadata: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// Without execute bits the name has to tell.
#[cfg(not(unix))]
fn is_executable(_: &Metadata, name: &OsStr) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    ["exe", "com", "bat", "cmd"].iter().any(|known| known.eq_ignore_ascii_case(extension))
}

#[cfg(not(unix))]
fn permissions(metadata: &Metadata) -> u32 {
    if metadata.permissions().readonly() { 0o555 } else { 0o777 }
}

#[cfg(not(unix))]
fn modified(metadata: &Metadata) -> i64 {
    use std::time::UNIX_EPOCH;
    let Ok(time) = metadata.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn cleaning() {
        for (path, expected) in [
            ("", "."),
            (".", "."),
            ("/", "/"),
            ("//", "/"),
            ("a/b/../c", "a/c"),
            ("a/..", "."),
            ("../../a", "../../a"),
            ("a/../../b", "../b"),
            ("/../a", "/a"),
            ("/a//b/./c/", "/a/b/c"),
            ("./x", "x"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_exceeds_the_limit_is_counted() {
        let all = super::scan(&["/bin".to_owned()], None);
        let total = all.entries.len();
        assert!(total > 3);
        let cut = super::scan_at_most(&["/bin".to_owned()], None, 3);
        assert_eq!(cut.entries, all.entries[..3]);
        assert_eq!(cut.skipped, total - 3);
    }
}
