//! A file system with the handles of one peer: what the tests of files ask.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;

use trunkline_core::agentproto::{FileOp, FileRequest, FileResponse};
use trunkline_host::files::{FilePolicy, FileSystem, Opened, Resolver};

/// The flags of open(2), as numbers on the wire.
pub(crate) mod flag {
    use rustix::fs::OFlags;

    pub(crate) const WRITE: i32 = number(OFlags::WRONLY);
    pub(crate) const BOTH: i32 = number(OFlags::RDWR);
    pub(crate) const CREATE: i32 = number(OFlags::CREATE);
    pub(crate) const EXCL: i32 = number(OFlags::EXCL);
    pub(crate) const TRUNC: i32 = number(OFlags::TRUNC);
    pub(crate) const APPEND: i32 = number(OFlags::APPEND);
    pub(crate) const DIRECTORY: i32 = number(OFlags::DIRECTORY);
    pub(crate) const NOFOLLOW: i32 = number(OFlags::NOFOLLOW);

    const fn number(flags: OFlags) -> i32 {
        flags.bits().cast_signed()
    }
}

/// Both ways to resolve paths below a root.
pub(crate) const RESOLVERS: [Resolver; 2] = [Resolver::Kernel, Resolver::Walk];

/// A file system and what is open in it.
pub(crate) struct Served {
    pub(crate) files: FileSystem,
    handles: BTreeMap<u32, Opened>,
    last: u32,
}

impl Served {
    pub(crate) fn new(policy: FilePolicy) -> Self {
        Self {
            files: FileSystem::new(policy).expect("a file system"),
            handles: BTreeMap::new(),
            last: 0,
        }
    }

    /// The default policy below `root`.
    pub(crate) fn below(root: &Path, resolver: Resolver) -> Self {
        let mut policy = FilePolicy::confined(root);
        policy.resolver = resolver;
        Self::new(policy)
    }

    /// The whole machine, under the default policy.
    pub(crate) fn machine() -> Self {
        Self::new(FilePolicy::default())
    }

    pub(crate) fn handle(&self, handle: u32) -> &Opened {
        &self.handles[&handle]
    }

    /// Performs a request and keeps what it opens.
    pub(crate) fn ask(&mut self, request: &FileRequest) -> FileResponse {
        let outcome = self.files.perform(request, self.handles.get(&request.handle));
        let mut response = outcome.response;
        if request.op == FileOp::CLOSE {
            self.handles.remove(&request.handle);
        }
        if let Some(opened) = outcome.opened {
            self.last += 1;
            response.handle = self.last;
            self.handles.insert(self.last, opened);
        }
        response.id = request.id;
        response
    }

    /// Performs a request that must succeed.
    pub(crate) fn done(&mut self, request: &FileRequest) -> FileResponse {
        let response = self.ask(request);
        assert_eq!((response.errno, &*response.message), (0, ""), "{request:?}");
        response
    }

    /// Performs a request that must fail, and tells how.
    pub(crate) fn failed(&mut self, request: &FileRequest) -> (u32, String) {
        let response = self.ask(request);
        assert_ne!(response.errno, 0, "{request:?}");
        assert!(!response.message.is_empty(), "{request:?}");
        (response.errno, response.message)
    }

    /// The whole content of a file.
    pub(crate) fn content(&mut self, path: &str) -> Vec<u8> {
        let handle = self.done(&on(FileOp::OPEN, path)).handle;
        let mut content = Vec::new();
        loop {
            let response = self.done(&read(handle, content.len() as i64, 1 << 20));
            content.extend_from_slice(&response.data.into_bytes());
            if response.eof {
                break;
            }
        }
        self.done(&at(FileOp::CLOSE, handle));
        content
    }
}

/// A request about a path.
pub(crate) fn on(op: FileOp, path: &str) -> FileRequest {
    FileRequest { op, path: path.to_owned(), ..FileRequest::default() }
}

/// A request about two paths.
pub(crate) fn between(op: FileOp, path: &str, new_path: &str) -> FileRequest {
    FileRequest { new_path: new_path.to_owned(), ..on(op, path) }
}

/// A request about a path that has a mode.
pub(crate) fn moded(op: FileOp, path: &str, mode: u32) -> FileRequest {
    FileRequest { mode, ..on(op, path) }
}

/// A request about a handle.
pub(crate) fn at(op: FileOp, handle: u32) -> FileRequest {
    FileRequest { op, handle, ..FileRequest::default() }
}

pub(crate) fn open(path: &str, flags: i32, mode: u32) -> FileRequest {
    FileRequest { flags, ..moded(FileOp::OPEN_FILE, path, mode) }
}

pub(crate) fn read(handle: u32, offset: i64, size: i64) -> FileRequest {
    FileRequest { offset, size, ..at(FileOp::READ_AT, handle) }
}

pub(crate) fn write(handle: u32, offset: i64, data: &[u8]) -> FileRequest {
    FileRequest { offset, data: data.to_vec().into(), ..at(FileOp::WRITE_AT, handle) }
}

/// The names of a listing.
pub(crate) fn names(response: &FileResponse) -> Vec<&str> {
    response.entries.iter().map(|entry| entry.stat.name.as_str()).collect()
}
