//! File requests and responses: `docs/protocols/agentproto.md` sections 5 and 8.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

#[cfg(feature = "serde")]
use super::frame::is_zero;
use crate::Payload;

/// The number of a file operation (`op`); any number can stand on the wire.
///
/// Agents of 1.2 number them differently above 7: see hazard H2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct FileOp(pub u8);

macro_rules! file_ops {
    ($($number:literal $constant:ident $name:literal $doc:literal)*) => {
        impl FileOp {
            $(#[doc = $doc] pub const $constant: Self = Self($number);)*

            /// What the operation is called in errors, such as `open`; `None` for a number that is
            /// none.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

file_ops! {
    1 OPEN "open" "Open for reading."
    2 CREATE "create" "Open for reading and writing, created or emptied."
    3 OPEN_FILE "open" "Open with raw flags and a creation mode."
    4 CLOSE "close" "Close a handle."
    5 READ_AT "read" "Read at an offset."
    6 WRITE_AT "write" "Write at an offset; below 0: at the file position."
    7 STAT "stat" "Attributes of a file, links followed."
    8 LSTAT "lstat" "Attributes of a file, links not followed."
    9 READ_DIR "readdir" "A whole directory, sorted by name."
    10 MKDIR "mkdir" "Make a directory."
    11 MKDIR_ALL "mkdir" "Make a directory and its parents."
    12 REMOVE "remove" "Remove a file, a link or an empty directory."
    13 RENAME "rename" "Rename; a file in the way is replaced."
    14 CHMOD "chmod" "Set the mode, links followed."
    15 TRUNCATE "truncate" "Set the size of a file by path."
    16 GETWD "getwd" "The agent's working directory."
    17 FSYNC "fsync" "Flush a handle to storage."
    18 READLINK "readlink" "The target of a link."
    19 SYMLINK "symlink" "Make a symbolic link."
    20 LINK "link" "Make a hard link."
    21 CHOWN "chown" "Set owner and group, links followed."
    22 CHTIMES "chtimes" "Set access and modification time."
    23 STATFS "statfs" "Facts about a file system."
    24 FSTAT "stat" "Attributes of an open handle."
    25 FTRUNCATE "truncate" "Set the size of an open file."
}

/// A file request (`fop`). Which fields matter depends on `op`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct FileRequest {
    /// `d`: bytes to write.
    #[cfg_attr(feature = "serde", serde(rename = "d", skip_serializing_if = "is_zero"))]
    pub data: Payload,
    /// `h`: handle.
    #[cfg_attr(feature = "serde", serde(rename = "h", skip_serializing_if = "is_zero"))]
    pub handle: u32,
    /// `p`: path, or a link's target.
    #[cfg_attr(feature = "serde", serde(rename = "p", skip_serializing_if = "is_zero"))]
    pub path: String,
    /// `at`: access time in nanoseconds since 1970; absent means 1970.
    #[cfg_attr(feature = "serde", serde(rename = "at", skip_serializing_if = "is_zero"))]
    pub atime: i64,
    /// `fl`: open flags, numbers of the agent's system.
    #[cfg_attr(feature = "serde", serde(rename = "fl", skip_serializing_if = "is_zero"))]
    pub flags: i32,
    /// `id`: number of the request.
    #[cfg_attr(feature = "serde", serde(rename = "id"))]
    pub id: u32,
    /// `mo`: mode, as unix bits.
    #[cfg_attr(feature = "serde", serde(rename = "mo", skip_serializing_if = "is_zero"))]
    pub mode: u32,
    /// `mt`: modification time in nanoseconds since 1970; absent means 1970.
    #[cfg_attr(feature = "serde", serde(rename = "mt", skip_serializing_if = "is_zero"))]
    pub mtime: i64,
    /// `np`: new path.
    #[cfg_attr(feature = "serde", serde(rename = "np", skip_serializing_if = "is_zero"))]
    pub new_path: String,
    /// `of`: offset.
    #[cfg_attr(feature = "serde", serde(rename = "of", skip_serializing_if = "is_zero"))]
    pub offset: i64,
    /// `op`: operation.
    pub op: FileOp,
    /// `sz`: size.
    #[cfg_attr(feature = "serde", serde(rename = "sz", skip_serializing_if = "is_zero"))]
    pub size: i64,
    /// `gid`: group; 0xffffffff leaves it alone, absent means root's.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub gid: u32,
    /// `uid`: owner; 0xffffffff leaves it alone, absent means root.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub uid: u32,
}

/// The answer to a file request (`frp`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct FileResponse {
    /// `d`: bytes read.
    #[cfg_attr(feature = "serde", serde(rename = "d", skip_serializing_if = "is_zero"))]
    pub data: Payload,
    /// `h`: handle.
    #[cfg_attr(feature = "serde", serde(rename = "h", skip_serializing_if = "is_zero"))]
    pub handle: u32,
    /// `n`: bytes read or written; advisory for reads.
    #[cfg_attr(feature = "serde", serde(rename = "n", skip_serializing_if = "is_zero"))]
    pub count: i64,
    /// `p`: path.
    #[cfg_attr(feature = "serde", serde(rename = "p", skip_serializing_if = "is_zero"))]
    pub path: String,
    /// `em`: error text, for people. Alone it is a failure too.
    #[cfg_attr(feature = "serde", serde(rename = "em", skip_serializing_if = "is_zero"))]
    pub message: String,
    /// `en`: entries of a directory.
    #[cfg_attr(feature = "serde", serde(rename = "en", skip_serializing_if = "is_zero"))]
    pub entries: Vec<DirEntry>,
    /// `er`: error number of the agent's system; 0 is none.
    #[cfg_attr(feature = "serde", serde(rename = "er", skip_serializing_if = "is_zero"))]
    pub errno: u32,
    /// `id`: number of the request that this answers.
    #[cfg_attr(feature = "serde", serde(rename = "id"))]
    pub id: u32,
    /// `sf`: facts about a file system.
    #[cfg_attr(feature = "serde", serde(rename = "sf", skip_serializing_if = "is_zero"))]
    pub statfs: Option<Box<Statfs>>,
    /// `st`: attributes of a file.
    #[cfg_attr(feature = "serde", serde(rename = "st", skip_serializing_if = "is_zero"))]
    pub stat: Option<Box<Stat>>,
    /// `eof`: the end of the file cut the read short.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub eof: bool,
}

/// One entry of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct DirEntry {
    /// `st`: the entry's own attributes, links not followed.
    #[cfg_attr(feature = "serde", serde(rename = "st"))]
    pub stat: Stat,
}

/// Attributes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Stat {
    /// `d`: whether it is a directory.
    #[cfg_attr(feature = "serde", serde(rename = "d", skip_serializing_if = "is_zero"))]
    pub is_dir: bool,
    /// `m`: mode in Go's bits, never `st_mode`: see [`mode_from_unix`](super::mode_from_unix).
    #[cfg_attr(feature = "serde", serde(rename = "m"))]
    pub mode: u32,
    /// `n`: name.
    #[cfg_attr(feature = "serde", serde(rename = "n"))]
    pub name: String,
    /// `s`: size in bytes.
    #[cfg_attr(feature = "serde", serde(rename = "s"))]
    pub size: i64,
    /// `t`: modification time in nanoseconds since 1970.
    #[cfg_attr(feature = "serde", serde(rename = "t", skip_serializing_if = "is_zero"))]
    pub mtime: i64,
    /// `at`: access time in nanoseconds since 1970.
    #[cfg_attr(feature = "serde", serde(rename = "at", skip_serializing_if = "is_zero"))]
    pub atime: i64,
    /// `bl`: blocks of 512 bytes.
    #[cfg_attr(feature = "serde", serde(rename = "bl", skip_serializing_if = "is_zero"))]
    pub blocks: u64,
    /// `bs`: preferred block size, cut to 32 bits.
    #[cfg_attr(feature = "serde", serde(rename = "bs", skip_serializing_if = "is_zero"))]
    pub block_size: u32,
    /// `ct`: change time in nanoseconds since 1970.
    #[cfg_attr(feature = "serde", serde(rename = "ct", skip_serializing_if = "is_zero"))]
    pub ctime: i64,
    /// `nl`: links, cut to 32 bits.
    #[cfg_attr(feature = "serde", serde(rename = "nl", skip_serializing_if = "is_zero"))]
    pub links: u32,
    /// `rd`: device number of a device, cut to 32 bits.
    #[cfg_attr(feature = "serde", serde(rename = "rd", skip_serializing_if = "is_zero"))]
    pub rdev: u32,
    /// `gid`: group.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub gid: u32,
    /// `ino`: inode number.
    #[cfg_attr(feature = "serde", serde(rename = "ino", skip_serializing_if = "is_zero"))]
    pub inode: u64,
    /// `uid`: owner.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_zero"))]
    pub uid: u32,
}

/// Facts about a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Statfs {
    /// `b`: blocks.
    #[cfg_attr(feature = "serde", serde(rename = "b", skip_serializing_if = "is_zero"))]
    pub blocks: u64,
    /// `f`: files.
    #[cfg_attr(feature = "serde", serde(rename = "f", skip_serializing_if = "is_zero"))]
    pub files: u64,
    /// `ba`: blocks available to ordinary users.
    #[cfg_attr(feature = "serde", serde(rename = "ba", skip_serializing_if = "is_zero"))]
    pub blocks_available: u64,
    /// `bf`: blocks free.
    #[cfg_attr(feature = "serde", serde(rename = "bf", skip_serializing_if = "is_zero"))]
    pub blocks_free: u64,
    /// `bs`: block size in bytes.
    #[cfg_attr(feature = "serde", serde(rename = "bs", skip_serializing_if = "is_zero"))]
    pub block_size: u32,
    /// `ff`: files free.
    #[cfg_attr(feature = "serde", serde(rename = "ff", skip_serializing_if = "is_zero"))]
    pub files_free: u64,
    /// `fr`: fragment size in bytes.
    #[cfg_attr(feature = "serde", serde(rename = "fr", skip_serializing_if = "is_zero"))]
    pub fragment_size: u32,
    /// `nl`: longest name.
    #[cfg_attr(feature = "serde", serde(rename = "nl", skip_serializing_if = "is_zero"))]
    pub name_length: u32,
}
