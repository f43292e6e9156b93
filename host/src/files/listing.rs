//! Whole directories in one answer.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use trunkline_core::agentproto::{DirEntry, FileResponse, Stat};

use super::attributes::stat;
use super::fault::{Failure, Fault};
use super::{BadNames, FileSystem};
use crate::path::clean;

/// What an entry takes on the wire besides its name and its numbers, at least.
const ENTRY: usize = 40;

/// The bits of a mode on the wire that are permissions, set-ID and sticky bits among them.
const PERMISSIONS: u32 = 0o777 | 1 << 20 | 1 << 22 | 1 << 23;

impl FileSystem {
    /// The entries of a directory by the bytes of their names, with the attributes of each.
    pub(super) fn read_dir(&self, path: &str) -> Result<FileResponse, Failure> {
        let at = |fault: Fault| fault.at("open", path);
        let flags = OFlags::RDONLY
            | OFlags::DIRECTORY
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let dir = self.tree.open(path, flags, Mode::empty()).map_err(at)?;
        let mut names = self.names(&dir).map_err(|fault| fault.at("readdir", path))?;
        names.sort_unstable();
        let mut entries = Vec::with_capacity(names.len());
        let total = names.len();
        let mut bytes = 0;
        for name in names {
            let (raw, barred) = self
                .tree
                .entry(&dir, &name)
                .map_err(|fault| fault.at("lstat", &clean(&format!("{path}/{name}"))))?;
            let mut stat = stat(&raw, name);
            if barred {
                // All there is to say without telling of what is mounted there.
                let Stat { name, is_dir, mode, .. } = stat;
                stat = Stat { name, is_dir, mode: mode & !PERMISSIONS, ..Stat::default() };
            }
            bytes += wire_length(&stat);
            if bytes > self.policy.max_listing_bytes {
                return Err(self.too_many(total).at("readdir", path));
            }
            entries.push(DirEntry { stat });
        }
        Ok(FileResponse { entries, ..FileResponse::default() })
    }

    /// The names in a directory, in its own order.
    fn names(&self, dir: &OwnedFd) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        let (mut total, mut bytes) = (0_usize, 0_usize);
        // Counted to the end, also when it is too much: the text says how many there are.
        for entry in Dir::read_from(dir.as_fd())? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            total += 1;
            bytes = bytes.saturating_add(name.len() + ENTRY);
            if total > self.policy.max_listing || bytes > self.policy.max_listing_bytes {
                names = Vec::new();
                continue;
            }
            match (str::from_utf8(name), self.policy.bad_names) {
                (Ok(name), _) => names.push(name.to_owned()),
                (Err(_), BadNames::Skip) => {}
                (Err(_), BadNames::Fail) => {
                    let shown = name.escape_ascii();
                    let text = format!("the name of its entry \"{shown}\" is not UTF-8");
                    return Err(Fault::say(Errno::ILSEQ, text));
                }
            }
        }
        if total > self.policy.max_listing || bytes > self.policy.max_listing_bytes {
            return Err(self.too_many(total));
        }
        Ok(names)
    }

    fn too_many(&self, total: usize) -> Fault {
        let most = self.policy.max_listing;
        let bytes = self.policy.max_listing_bytes;
        let text = format!(
            "it has {total} entries, and one answer carries no more than {most}, or {bytes} bytes"
        );
        Fault::say(Errno::OVERFLOW, text)
    }
}

/// How many bytes an entry takes on the wire: `docs/protocols/agentproto.md` section 5.
fn wire_length(stat: &Stat) -> usize {
    // Two maps and the key between them, then the three fields that are always there.
    let always = 5
        + (2 + head(stat.name.len() as u64) + stat.name.len())
        + (2 + signed(stat.size))
        + (2 + head(stat.mode.into()));
    let times = [(2, stat.mtime), (3, stat.atime), (3, stat.ctime)];
    let numbers = [
        (3, stat.blocks),
        (3, stat.block_size.into()),
        (3, stat.links.into()),
        (3, stat.rdev.into()),
        (4, stat.gid.into()),
        (4, stat.inode),
        (4, stat.uid.into()),
    ];
    // What is zero is left out.
    let times = times.map(|(key, time)| if time == 0 { 0 } else { key + signed(time) });
    let numbers = numbers.map(|(key, number)| if number == 0 { 0 } else { key + head(number) });
    let is_dir = if stat.is_dir { 3 } else { 0 };
    always + times.iter().sum::<usize>() + numbers.iter().sum::<usize>() + is_dir
}

/// The length of a CBOR head with this argument.
fn head(number: u64) -> usize {
    match number {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

fn signed(number: i64) -> usize {
    head(if number < 0 { !number } else { number }.cast_unsigned())
}
