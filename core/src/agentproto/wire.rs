//! Every message as a table of keys in wire order: `docs/protocols/agentproto.md` sections 4, 5
//! and 12.
//!
//! One table gives both directions: `always` fields are written whatever they hold, `omit` fields
//! vanish when they are zero (section 2, rules 6 and 7).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::encode::Output;
use super::fileop::{DirEntry, FileOp, FileRequest, FileResponse, Stat, Statfs};
use super::frame::{
    AgentConfig, ExecRequest, Frame, FrameType, LogRecord, PathEntry, PathInfo, PathQuery,
};
use super::input::{Input, Place, Value};
use super::record::{
    CommandEnd, CommandStart, Direction, Record, RecordType, RecordedFrame, SessionFooter,
    SessionHeader,
};
use super::violation::Violation;
use crate::Payload;

/// A map with text keys.
pub(super) trait Message: Default {
    const NAME: &'static str;
    /// The keys in wire order.
    const KEYS: &'static [&'static str];

    fn read_field(&mut self, index: usize, input: &mut Input<'_>) -> Result<(), Violation>;
    fn write(&self, output: &mut Output);

    /// Reads the map whose head was just read: the first of equal keys wins (D6, D7).
    fn read_map(&mut self, size: Option<usize>, input: &mut Input<'_>) -> Result<(), Violation> {
        let mut found = 0_u32;
        let outer = input.place;
        input.place = Place { message: Self::NAME, key: "" };
        input.map(size, |input, key| {
            let exact = Self::KEYS.iter().position(|known| known.as_bytes() == key);
            let folded =
                || Self::KEYS.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(key));
            let Some(index) = exact.or_else(folded) else {
                return input.skip();
            };
            if exact.is_none() {
                input.quirk("D6")?;
            }
            if found & 1 << index != 0 {
                input.quirk("D7")?;
                return input.skip();
            }
            found |= 1 << index;
            input.place = Place { message: Self::NAME, key: Self::KEYS.get(index).unwrap_or(&"") };
            self.read_field(index, input)?;
            input.place.key = "";
            Ok(())
        })?;
        input.place = outer;
        Ok(())
    }
}

/// A value that can stand in a message.
pub(super) trait Field {
    /// Takes the next value; null leaves the field as it is (D8, D9).
    fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation>;
    fn write(&self, output: &mut Output);
    fn is_zero(&self) -> bool;
}

macro_rules! count_if_present {
    ($self:ident always $field:ident) => {
        1
    };
    ($self:ident omit $field:ident) => {
        u64::from(!Field::is_zero(&$self.$field))
    };
}

macro_rules! write_if_present {
    ($self:ident $output:ident always $key:literal $field:ident) => {
        $output.text($key);
        Field::write(&$self.$field, $output);
    };
    ($self:ident $output:ident omit $key:literal $field:ident) => {
        if !Field::is_zero(&$self.$field) {
            $output.text($key);
            Field::write(&$self.$field, $output);
        }
    };
}

macro_rules! message {
    ($type:ident $name:literal { $($key:literal $presence:ident $field:ident,)* }) => {
        impl Message for $type {
            const NAME: &'static str = $name;
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn read_field(&mut self, index: usize, input: &mut Input<'_>) -> Result<(), Violation> {
                let fields: &mut [&mut dyn Field] = &mut [$(&mut self.$field),*];
                fields.get_mut(index).map_or(Ok(()), |field| field.read(input))
            }

            fn write(&self, output: &mut Output) {
                output.map(0 $(+ count_if_present!(self $presence $field))*);
                $(write_if_present!(self output $presence $key $field);)*
            }
        }
    };
}

message! { Frame "frame" {
    "c" omit code, "d" omit data, "e" omit error, "i" omit path_info, "l" omit log, "q" omit path_query,
    "s" omit stream, "t" always kind, "x" omit exec, "cfg" omit config, "fop" omit file_request,
    "frp" omit file_response, "sig" omit signal,
}}
message! { ExecRequest "exec" {
    "cwd" always cwd, "env" always env, "fds" omit fds, "argv" always argv, "path" always path,
}}
message! { AgentConfig "config" { "env_keep" always env_keep, "env_remove" always env_remove, }}
message! { LogRecord "log" { "a" omit attributes, "lvl" always level, "msg" always message, }}
message! { PathQuery "query" { "paths" omit paths, }}
message! { PathInfo "info" { "entries" always entries, }}
message! { PathEntry "entry" {
    "mode" always mode, "name" always name, "path" always path, "size" always size, "mtime" omit mtime,
}}
message! { FileRequest "request" {
    "d" omit data, "h" omit handle, "p" omit path, "at" omit atime, "fl" omit flags, "id" always id,
    "mo" omit mode, "mt" omit mtime, "np" omit new_path, "of" omit offset, "op" always op, "sz" omit size,
    "gid" omit gid, "uid" omit uid,
}}
message! { FileResponse "response" {
    "d" omit data, "h" omit handle, "n" omit count, "p" omit path, "em" omit message, "en" omit entries,
    "er" omit errno, "id" always id, "sf" omit statfs, "st" omit stat, "eof" omit eof,
}}
message! { DirEntry "entry" { "st" always stat, }}
message! { Stat "stat" {
    "d" omit is_dir, "m" always mode, "n" always name, "s" always size, "t" omit mtime, "at" omit atime,
    "bl" omit blocks, "bs" omit block_size, "ct" omit ctime, "nl" omit links, "rd" omit rdev, "gid" omit gid,
    "ino" omit inode, "uid" omit uid,
}}
message! { Statfs "statfs" {
    "b" omit blocks, "f" omit files, "ba" omit blocks_available, "bf" omit blocks_free, "bs" omit block_size,
    "ff" omit files_free, "fr" omit fragment_size, "nl" omit name_length,
}}
message! { Record "record" {
    "type" always kind, "frame" omit frame, "footer" omit footer, "header" omit header,
    "cmd_end" omit command_end, "cmd_start" omit command_start,
}}
message! { RecordedFrame "recorded frame" {
    "ts" always time, "dir" always direction, "seq" always seq, "frame" always frame,
}}
message! { SessionHeader "header" {
    "version" always version, "local_pid" always local_pid, "agent_path" always agent_path,
    "local_user" always local_user, "start_time" always start_time, "backend_addr" omit backend_addr,
    "backend_type" omit backend_type,
}}
message! { CommandStart "command start" { "seq" always seq, "exec" always exec, "start_time" always start_time, }}
message! { CommandEnd "command end" { "seq" always seq, "end_time" always end_time, "exit_code" always exit_code, }}
message! { SessionFooter "footer" { "end_time" always end_time, "command_count" always command_count, }}

macro_rules! integer_field {
    ($($type:ty: $read:ident($($bound:expr),*), $write:ident as $wide:ty;)*) => {$(
        impl Field for $type {
            fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation> {
                if let Some(number) = input.$read($($bound),*)? {
                    // Cannot fail: the bounds are the type's own.
                    *self = Self::try_from(number).unwrap_or_default();
                }
                Ok(())
            }

            fn write(&self, output: &mut Output) {
                output.$write(<$wide>::from(*self));
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )*};
}

integer_field! {
    u8: unsigned(u64::from(u8::MAX)), unsigned as u64;
    u32: unsigned(u64::from(u32::MAX)), unsigned as u64;
    u64: unsigned(u64::MAX), unsigned as u64;
    i32: signed(i64::from(i32::MIN), i64::from(i32::MAX)), signed as i64;
    i64: signed(i64::MIN, i64::MAX), signed as i64;
}

macro_rules! number_field {
    ($($type:ident)*) => {$(
        impl Field for $type {
            fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation> {
                self.0.read(input)
            }

            fn write(&self, output: &mut Output) {
                self.0.write(output);
            }

            fn is_zero(&self) -> bool {
                self.0 == 0
            }
        }
    )*};
}

number_field! { FrameType FileOp RecordType Direction }

impl Field for bool {
    fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation> {
        *self = input.bool()?.unwrap_or(*self);
        Ok(())
    }

    fn write(&self, output: &mut Output) {
        output.bool(*self);
    }

    fn is_zero(&self) -> bool {
        !self
    }
}

impl Field for String {
    fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation> {
        if let Some(text) = input.text()? {
            *self = text;
        }
        Ok(())
    }

    fn write(&self, output: &mut Output) {
        output.text(self);
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl Field for Payload {
    fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation> {
        *self = input.payload()?.unwrap_or_default();
        Ok(())
    }

    fn write(&self, output: &mut Output) {
        output.payload(self);
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// A list whose nil and empty forms differ.
impl<T: Field + Default> Field for Option<Vec<T>> {
    fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation> {
        let size = match input.value()? {
            Value::Array(size) => size,
            Value::Null => return Ok(()),
            other => return Err(input.wrong(other)),
        };
        let list = self.insert(Vec::new());
        input.list(size, |input| {
            let mut element = T::default();
            element.read(input)?;
            input.charge(size_of::<T>())?;
            list.push(element);
            Ok(())
        })
    }

    fn write(&self, output: &mut Output) {
        match self {
            Some(list) => Field::write(list, output),
            None => output.null(),
        }
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

/// A list that vanishes when empty, so that nil and empty are one.
impl<T: Field + Default> Field for Vec<T> {
    fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation> {
        let mut list = None;
        Field::read(&mut list, input)?;
        *self = list.unwrap_or_default();
        Ok(())
    }

    fn write(&self, output: &mut Output) {
        output.list(self.len());
        for element in self {
            element.write(output);
        }
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// A message in place: null leaves it all zero.
impl<M: Message> Field for M {
    fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation> {
        match input.value()? {
            Value::Map(size) => self.read_map(size, input),
            Value::Null => Ok(()),
            other => Err(input.wrong(other)),
        }
    }

    fn write(&self, output: &mut Output) {
        Message::write(self, output);
    }

    fn is_zero(&self) -> bool {
        false
    }
}

/// An optional message: a bare null is none, a tagged one is all zero (D9, D18).
impl<M: Message> Field for Option<Box<M>> {
    fn read(&mut self, input: &mut Input<'_>) -> Result<(), Violation> {
        let size = match input.value()? {
            Value::Map(size) => Some(size),
            Value::Null if input.was_tagged() => {
                input.quirk("D18")?;
                None
            }
            Value::Null => return Ok(()),
            other => return Err(input.wrong(other)),
        };
        input.charge(size_of::<M>())?;
        let message = self.insert(Box::default());
        size.map_or(Ok(()), |size| message.read_map(size, input))
    }

    fn write(&self, output: &mut Output) {
        if let Some(message) = self {
            Message::write(&**message, output);
        }
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }
}
