//! What a decoded item takes of memory, counted from outside the decoder.

use trunkline_core::Payload;
use trunkline_core::agentproto::{
    AgentConfig, CommandEnd, CommandStart, DirEntry, ExecRequest, FileRequest, FileResponse, Frame,
    LogRecord, PathEntry, PathInfo, PathQuery, Record, RecordedFrame, SessionFooter, SessionHeader,
    Stat, Statfs,
};

/// Something that keeps memory beside its own size.
pub(super) trait Weigh {
    /// Bytes on the heap that hold content. Room that a growing list has kept over is not counted:
    /// at most as much again.
    fn weight(&self) -> usize;
}

impl Weigh for String {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Weigh for Payload {
    /// Its pieces: the bytes are slices of what arrived, and were paid for there.
    fn weight(&self) -> usize {
        self.pieces().skip(1).count() * size_of::<bytes::Bytes>()
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn weight(&self) -> usize {
        self.iter().map(|element| size_of::<T>() + element.weight()).sum()
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, Weigh::weight)
    }
}

impl<T: Weigh> Weigh for Box<T> {
    fn weight(&self) -> usize {
        size_of::<T>() + (**self).weight()
    }
}

macro_rules! weigh {
    ($($type:ident { $($field:ident)* })*) => {$(
        impl Weigh for $type {
            fn weight(&self) -> usize {
                0 $(+ self.$field.weight())*
            }
        }
    )*};
}

weigh! {
    u32 {}
    CommandEnd {}
    SessionFooter {}
    Statfs {}
    Stat { name }
    DirEntry { stat }
    PathEntry { name path }
    PathInfo { entries }
    PathQuery { paths }
    LogRecord { attributes message }
    AgentConfig { env_keep env_remove }
    ExecRequest { cwd env fds argv path }
    FileRequest { data path new_path }
    FileResponse { data path message entries statfs stat }
    Frame { data error path_info log path_query exec config file_request file_response }
    RecordedFrame { frame }
    CommandStart { exec }
    SessionHeader { version agent_path local_user backend_addr backend_type }
    Record { frame footer header command_end command_start }
}
