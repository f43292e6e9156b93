//! How a file is opened.

use trunkline_core::agentproto::{FileOp, FileRequest};

/// The numbers of open flags, which are the agent's system's: the wire does not translate them, and
/// nothing on it tells which system that is (`docs/protocols/agentproto.md` section 8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlagNumbers {
    /// Linux.
    #[default]
    Linux,
    /// macOS and FreeBSD.
    Bsd,
}

/// How a file is opened, as `std::fs::OpenOptions` says it.
#[derive(Clone, Debug)]
#[must_use]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    create: bool,
    exclusive: bool,
    truncate: bool,
    mode: u32,
    flags: i32,
    numbers: FlagNumbers,
    pub(super) window: usize,
}

/// The window of a file, unless another is set.
pub(super) const WINDOW: usize = 4 << 20;

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            read: false,
            write: false,
            append: false,
            create: false,
            exclusive: false,
            truncate: false,
            mode: 0o666,
            flags: 0,
            numbers: FlagNumbers::default(),
            window: WINDOW,
        }
    }
}

impl OpenOptions {
    /// Neither reading nor writing, nothing created.
    pub fn new() -> Self {
        Self::default()
    }

    /// For reading.
    pub const fn read(mut self, read: bool) -> Self {
        self.read = read;
        self
    }

    /// For writing.
    pub const fn write(mut self, write: bool) -> Self {
        self.write = write;
        self
    }

    /// For writing at the end, wherever that is by then. One request at a time is under way.
    pub const fn append(mut self, append: bool) -> Self {
        self.append = append;
        self
    }

    /// Created if it does not exist.
    pub const fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Created, and an error if it exists.
    pub const fn create_new(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// Emptied.
    pub const fn truncate(mut self, truncate: bool) -> Self {
        self.truncate = truncate;
        self
    }

    /// The permission bits of a new file, of which the agent's umask takes some. `0o666`.
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Further flags, as numbers of the agent's system.
    pub const fn custom_flags(mut self, flags: i32) -> Self {
        self.flags = flags;
        self
    }

    /// Which system the agent runs on. Linux, unless it is said.
    pub const fn flag_numbers(mut self, numbers: FlagNumbers) -> Self {
        self.numbers = numbers;
        self
    }

    /// The most bytes to be read ahead, or written and not answered. 4 MiB; all open files of a
    /// session together have 16 MiB, and each one always a single request.
    pub const fn window(mut self, bytes: usize) -> Self {
        self.window = bytes;
        self
    }

    pub(super) const fn appends(&self) -> bool {
        self.append
    }

    /// The request that opens a file so.
    pub(super) fn request(&self, path: String) -> FileRequest {
        // O_CREAT, O_EXCL, O_TRUNC, O_APPEND.
        let [create, exclusive, truncate, append] = match self.numbers {
            FlagNumbers::Linux => [0x40, 0x80, 0x200, 0x400],
            FlagNumbers::Bsd => [0x200, 0x800, 0x400, 0x8],
        };
        let access = match (self.read, self.write || self.append) {
            (true, true) => 2,
            (false, true) => 1,
            (_, false) => 0,
        };
        let chosen = [
            (self.create || self.exclusive, create),
            (self.exclusive, exclusive),
            (self.truncate, truncate),
            (self.append, append),
        ];
        let flags = chosen.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag);
        let flags = flags.fold(access | self.flags, |flags, flag| flags | flag);
        FileRequest {
            op: FileOp::OPEN_FILE,
            path,
            flags,
            mode: self.mode,
            ..FileRequest::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_numbers_of_the_agent_s_system() {
        let flags = |options: OpenOptions| options.request("/x".to_owned()).flags;
        assert_eq!(flags(OpenOptions::new().read(true)), 0);
        assert_eq!(flags(OpenOptions::new().read(true).write(true)), 2);
        let new = OpenOptions::new().write(true).create_new(true).truncate(true);
        assert_eq!(flags(new.clone()), 0x2c1);
        assert_eq!(flags(new.flag_numbers(FlagNumbers::Bsd)), 0xe01);
        assert_eq!(flags(OpenOptions::new().append(true).create(true)), 0x441);
        assert_eq!(flags(OpenOptions::new().custom_flags(0x20000)), 0x20000);
    }
}
