//! What a stat tells, in letters and in JSON.

use serde_json::{Value, json};
use trunkline_core::agentproto::{Stat, mode_bits, mode_from_unix};

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Fifo,
    Socket,
    Block,
    Character,
    Unknown,
}

/// The kinds, with the type in a `st_mode`.
const KINDS: [(Kind, u32); 7] = [
    (Kind::File, 0o100_000),
    (Kind::Directory, 0o040_000),
    (Kind::Link, 0o120_000),
    (Kind::Fifo, 0o010_000),
    (Kind::Socket, 0o140_000),
    (Kind::Block, 0o060_000),
    (Kind::Character, 0o020_000),
];

impl Kind {
    /// The kind that a stat tells.
    pub(crate) fn of(stat: &Stat) -> Self {
        // All bits of the wire that make a type, from those of a type that there is not.
        let types =
            KINDS.iter().fold(mode_from_unix(0), |bits, (_, st)| bits | mode_from_unix(*st));
        let found = KINDS.iter().find(|(_, st)| mode_from_unix(*st) == stat.mode & types);
        found.map_or(Self::Unknown, |(kind, _)| *kind)
    }

    /// The letter of a listing.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::File => '-',
            Self::Directory => 'd',
            Self::Link => 'l',
            Self::Fifo => 'p',
            Self::Socket => 's',
            Self::Block => 'b',
            Self::Character => 'c',
            Self::Unknown => '?',
        }
    }

    /// The word in JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Block => "block",
            Self::Character => "character",
            Self::Unknown => "unknown",
        }
    }

    /// What `stat` calls it.
    pub(crate) const fn description(self, size: i64) -> &'static str {
        match self {
            Self::File if size == 0 => "regular empty file",
            Self::File => "regular file",
            Self::Directory => "directory",
            Self::Link => "symbolic link",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Block => "block special file",
            Self::Character => "character special file",
            Self::Unknown => "weird file",
        }
    }

    /// Whether it has a device number instead of a size.
    pub(crate) const fn is_device(self) -> bool {
        matches!(self, Self::Block | Self::Character)
    }
}

/// The mode as a listing shows it, such as `drwxr-sr-x`.
pub(crate) fn mode_letters(stat: &Stat) -> String {
    let mode = mode_bits(stat.mode);
    let mut text = String::from(Kind::of(stat).letter());
    for (shift, special, letter) in [(6, 0o4_000, 's'), (3, 0o2_000, 's'), (0, 0o1_000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, false) => letter.to_ascii_uppercase(),
            (true, true) => letter,
        });
    }
    text
}

/// Major and minor of a device, by the numbers of Linux.
pub(crate) const fn device(rdev: u32) -> (u32, u32) {
    ((rdev >> 8) & 0xfff, rdev & 0xff | (rdev >> 12) & 0xf_ff00)
}

/// Everything a stat tells, with the path it was asked by, and the target of a link where known.
pub(crate) fn json(path: &str, stat: &Stat, target: Option<&str>) -> Value {
    let mut value = json!({
        "path": path,
        "name": stat.name,
        "type": Kind::of(stat).word(),
        "mode": mode_bits(stat.mode),
        "size": stat.size,
        "mtime": stat.mtime,
        "atime": stat.atime,
        "ctime": stat.ctime,
        "uid": stat.uid,
        "gid": stat.gid,
        "links": stat.links,
        "inode": stat.inode,
        "blocks": stat.blocks,
        "block_size": stat.block_size,
        "rdev": stat.rdev,
    });
    if let (Some(target), Some(object)) = (target, value.as_object_mut()) {
        object.insert("target".to_string(), target.into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(st_mode: u32) -> String {
        mode_letters(&Stat { mode: mode_from_unix(st_mode), ..Stat::default() })
    }

    #[test]
    fn modes_are_shown_as_a_listing_does() {
        for (st_mode, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o041_777, "drwxrwxrwt"),
            (0o041_776, "drwxrwxrwT"),
            (0o120_777, "lrwxrwxrwx"),
            (0o106_755, "-rwsr-sr-x"),
            (0o106_644, "-rwSr-Sr--"),
            (0o010_000, "p---------"),
            (0o140_700, "srwx------"),
            (0o060_660, "brw-rw----"),
            (0o020_666, "crw-rw-rw-"),
            (0o030_644, "?rw-r--r--"),
        ] {
            assert_eq!(letters(st_mode), text, "{st_mode:o}");
        }
    }

    #[test]
    fn a_device_number_has_two_parts() {
        assert_eq!(device(0x0103), (1, 3));
        assert_eq!(device(0x0010_0803), (8, 259));
    }
}
