//! Names of files: those that an agent sends, and those of files that are not whole yet.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The longest name that file systems take, in bytes.
const LONGEST: usize = 255;

/// Whether a name that an agent sent can be that of an entry, and nothing but an entry, of a
/// directory here.
///
/// A name with a slash, or one of the two that are no entries, would lead somewhere else.
pub(super) fn is_entry(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// The name under which a file is written until it is whole: hidden, beside the target.
///
/// It holds the size and the time of the source, so that what is left of another version of it is
/// never taken up again. `.NAME.SIZE-TIME.part`, in hexadecimal; of a name that would make it too
/// long only the beginning stays, with a hash of it.
pub(super) fn part(name: &str, size: u64, mtime: i64) -> String {
    let tag = format!("{size:x}-{mtime:x}");
    let whole = format!(".{name}.{tag}.part");
    if whole.len() <= LONGEST {
        return whole;
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let rest = format!("~{:016x}.{tag}.part", hasher.finish());
    let mut cut = LONGEST - 1 - rest.len();
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!(".{}{rest}", name.get(..cut).unwrap_or_default())
}

/// The directory and the name of a path; `None` when it has no name of its own.
///
/// The directory is empty for a name alone, and ends in a slash otherwise.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let path = path.trim_end_matches('/');
    let (dir, name) = path.rfind('/').map_or(("", path), |slash| path.split_at(slash + 1));
    is_entry(name).then_some((dir, name))
}

/// A path below a directory.
pub(super) fn join(dir: &str, name: &str) -> String {
    match dir {
        "" => name.to_owned(),
        dir if dir.ends_with('/') => format!("{dir}{name}"),
        dir => format!("{dir}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_no_entry() {
        for name in ["", ".", "..", "/", "a/b", "../x", "/etc/passwd", "a/", "x\0", "\0"] {
            assert!(!is_entry(name), "{name:?}");
        }
        for name in ["a", "...", ".hidden", "a b", "-r", "\u{1b}[2J", "\\", "..a", "ü"] {
            assert!(is_entry(name), "{name:?}");
        }
    }

    #[test]
    fn a_part_belongs_to_one_version_of_one_file() {
        let part_of = part("data.bin", 4_096, 1_700_000_000_000_000_000);
        assert_eq!(part_of, ".data.bin.1000-17979cfe362a0000.part");
        assert_ne!(part("data.bin", 4_097, 1_700_000_000_000_000_000), part_of);
        assert_ne!(part("data.bin", 4_096, 1_700_000_000_000_000_001), part_of);
        assert_ne!(part("data.bin", 4_096, -1), part("data.bin", 4_096, 1));
    }

    #[test]
    fn the_part_of_a_long_name_has_a_name_that_fits_and_is_its_own() {
        let long = "ü".repeat(127);
        let other = format!("{}v", "ü".repeat(126));
        for name in [&long, &other] {
            let part = part(name, u64::MAX, i64::MIN);
            assert!(part.len() <= LONGEST, "{}", part.len());
            assert!(part.starts_with(".ü") && part.ends_with(".part"), "{part}");
        }
        assert_ne!(part(&long, 1, 1), part(&other, 1, 1));
    }

    #[test]
    fn paths_are_split_at_the_last_name() {
        assert_eq!(split("a"), Some(("", "a")));
        assert_eq!(split("/a/b"), Some(("/a/", "b")));
        assert_eq!(split("/a/b///"), Some(("/a/", "b")));
        assert_eq!(split("/a"), Some(("/", "a")));
        for path in ["", "/", "//", ".", "..", "/a/..", "/a/."] {
            assert_eq!(split(path), None, "{path:?}");
        }
        assert_eq!(join("", "a"), "a");
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/x", "a"), "/x/a");
        assert_eq!(join("/x/", "a"), "/x/a");
    }
}
