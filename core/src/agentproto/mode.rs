//! Mode bits between unix and the wire: `docs/protocols/agentproto.md` section 8.

/// Bits of the wire and the file types they mean, `st_mode` first.
const FILE_TYPES: [(u32, u32); 7] = [
    (0o040_000, 1 << 31),           // directory
    (0o120_000, 1 << 27),           // symbolic link
    (0o010_000, 1 << 25),           // named pipe
    (0o140_000, 1 << 24),           // socket
    (0o060_000, 1 << 26),           // block device
    (0o020_000, 1 << 26 | 1 << 21), // character device
    (0o100_000, 0),                 // regular file
];

/// Set-id and sticky bits, unix first.
const SPECIAL: [(u32, u32); 3] = [(0o4_000, 1 << 23), (0o2_000, 1 << 22), (0o1_000, 1 << 20)];

/// "Irregular": a type the wire has no bit for.
const IRREGULAR: u32 = 1 << 19;

/// The wire's mode (`m` of a stat) of a file with this `st_mode`.
#[must_use]
pub fn mode_from_unix(st_mode: u32) -> u32 {
    let kind = FILE_TYPES.iter().find(|(unix, _)| st_mode & 0o170_000 == *unix);
    let special = SPECIAL.iter().filter(|(unix, _)| st_mode & unix != 0);
    special.fold(st_mode & 0o777 | kind.map_or(IRREGULAR, |(_, wire)| *wire), |mode, (_, wire)| {
        mode | wire
    })
}

/// The unix bits (0 to 0o7777) that a request's mode (`mo`) asks for.
///
/// Unix bits count as they are; the wire's own set-id and sticky bits are honoured too, all other
/// bits are dropped.
#[must_use]
pub fn mode_bits(mode: u32) -> u32 {
    SPECIAL
        .iter()
        .filter(|(_, wire)| mode & wire != 0)
        .fold(mode & 0o7_777, |bits, (unix, _)| bits | unix)
}
