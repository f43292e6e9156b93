//! A process's own descriptors, of every kind there is.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use common::TempDir;
use rustix::fs::{Mode, OFlags, fcntl_getfl};
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use trunkline_host::fd::{
    Access, Detached, detach, enlarge_pipe, is_inherited, is_open, recv_nonblocking,
    send_nonblocking, take,
};

fn non_blocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

fn pollable(fd: impl AsFd, access: Access) -> OwnedFd {
    match detach(fd.as_fd(), access).unwrap() {
        Detached::Pollable(own) => {
            assert!(non_blocking(&own));
            assert!(fcntl_getfd(&own).unwrap().contains(FdFlags::CLOEXEC));
            own
        }
        other => panic!("{other:?}"),
    }
}

fn blocking(fd: impl AsFd, access: Access) -> OwnedFd {
    match detach(fd.as_fd(), access).unwrap() {
        Detached::Blocking(own) => own,
        other => panic!("{other:?}"),
    }
}

fn refused(fd: impl AsFd, access: Access) -> Option<i32> {
    detach(fd.as_fd(), access).unwrap_err().raw_os_error()
}

#[test]
fn pipes_become_non_blocking_for_nobody_else() {
    let (reader, writer) = io::pipe().unwrap();
    let own_reader = pollable(&reader, Access::Read);
    let own_writer = pollable(&writer, Access::Write);
    assert!(!non_blocking(&reader) && !non_blocking(&writer));

    let mut buffer = [0; 8];
    assert_eq!(rustix::io::read(&own_reader, &mut buffer), Err(Errno::AGAIN));
    rustix::io::write(&own_writer, b"one").unwrap();
    (&writer).write_all(b"two").unwrap();
    assert_eq!(rustix::io::read(&own_reader, &mut buffer), Ok(6));
    assert_eq!(&buffer[..6], b"onetwo");
    // The end comes when both the original and the detached one are gone.
    drop(writer);
    assert_eq!(rustix::io::read(&own_reader, &mut buffer), Err(Errno::AGAIN));
    drop(own_writer);
    assert_eq!(rustix::io::read(&own_reader, &mut buffer), Ok(0));
    // A pipe whose writers are gone can still be opened for its end.
    assert_eq!(rustix::io::read(pollable(&reader, Access::Read), &mut buffer), Ok(0));
}

#[test]
fn access_that_a_descriptor_does_not_have_is_refused() {
    let (reader, writer) = io::pipe().unwrap();
    let bad = Some(Errno::BADF.raw_os_error());
    assert_eq!(refused(&reader, Access::Write), bad);
    assert_eq!(refused(&writer, Access::Read), bad);
    assert_eq!(refused(File::open("/dev/null").unwrap(), Access::Write), bad);
}

#[test]
fn what_cannot_be_opened_anew_is_used_as_it_is() {
    let dir = TempDir::new();
    let path = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    let both = File::options().read(true).write(true).open(&path).unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    drop(both);
    // A named pipe without a reader does not open for writing.
    let own = blocking(&writer, Access::Write);
    assert_eq!(rustix::io::write(&own, b"x"), Err(Errno::PIPE));
    // One that others made non-blocking must not go to a thread that counts on blocking.
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let own = pollable(&writer, Access::Write);
    assert_eq!(rustix::io::write(&own, b"x"), Err(Errno::PIPE));
}

#[test]
fn named_pipes_even_unlinked_ones() {
    let dir = TempDir::new();
    let path = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    let both = File::options().read(true).write(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let reader = pollable(&both, Access::Read);
    rustix::io::write(pollable(&both, Access::Write), b"x").unwrap();
    assert_eq!(rustix::io::read(&reader, &mut [0; 2]), Ok(1));
    assert!(!non_blocking(&both));
}

#[test]
fn terminals() {
    let master =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)
            .unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    let slave = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();

    let own = pollable(&slave, Access::Read);
    assert!(!non_blocking(&slave));
    assert_eq!(rustix::io::read(&own, &mut [0; 8]), Err(Errno::AGAIN));
    rustix::io::write(&master, b"line\n").unwrap();
    let mut buffer = [0; 8];
    common::eventually("a line", || rustix::io::read(&own, &mut buffer) == Ok(5));
    rustix::io::write(pollable(&slave, Access::Write), b"answer").unwrap();
    // The echo of the line comes first, in the same read or in one before.
    let mut seen = Vec::new();
    while !seen.ends_with(b"answer") {
        let mut piece = [0; 64];
        let read = rustix::io::read(&master, &mut piece).unwrap();
        seen.extend_from_slice(&piece[..read]);
    }
    // To open the other side anew would make a new terminal.
    blocking(&master, Access::Read);
}

#[test]
fn files_and_devices_block() {
    let dir = TempDir::new();
    let path = dir.path().join("file");
    fs::write(&path, "text").unwrap();
    let file = File::open(&path).unwrap();
    let mut text = String::new();
    // The position is shared, as it is for whoever redirected to it.
    File::from(blocking(&file, Access::Read)).read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");
    assert_eq!((&file).read(&mut [0; 1]).unwrap(), 0);
    blocking(File::open("/dev/null").unwrap(), Access::Read);
    blocking(File::open("/dev/zero").unwrap(), Access::Read);
}

#[test]
fn sockets_do_not_block_although_their_flag_is_untouched() {
    let (one, two) = UnixStream::pair().unwrap();
    let Detached::Socket(own) = detach(one.as_fd(), Access::Read).unwrap() else {
        panic!("not a socket");
    };
    let mut buffer = [0; 1 << 16];
    let error = recv_nonblocking(own.as_fd(), &mut buffer).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    (&two).write_all(b"hello").unwrap();
    assert_eq!(recv_nonblocking(own.as_fd(), &mut buffer).unwrap(), 5);

    let slices = [IoSlice::new(b"gathered "), IoSlice::new(b"text")];
    assert_eq!(send_nonblocking(own.as_fd(), &slices).unwrap(), 13);
    let many = vec![IoSlice::new(b"x"); 3000];
    assert_eq!(send_nonblocking(own.as_fd(), &many).unwrap(), 1024);
    let full = loop {
        if let Err(error) = send_nonblocking(own.as_fd(), &[IoSlice::new(&buffer)]) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    assert!(!non_blocking(&one) && !non_blocking(&two));
    drop(two);
    let error = send_nonblocking(own.as_fd(), &slices).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    drop(one);

    let (one, two) = UnixStream::pair().unwrap();
    drop(two);
    assert_eq!(recv_nonblocking(one.as_fd(), &mut buffer).unwrap(), 0);
}

#[test]
fn inherited_descriptors_can_be_taken_and_own_ones_cannot() {
    let bad = Some(Errno::BADF.raw_os_error());
    let (reader, writer) = io::pipe().unwrap();
    let own = u32::try_from(reader.as_raw_fd()).unwrap();
    assert!(is_open(own) && !is_inherited(own));
    assert_eq!(take(own).unwrap_err().raw_os_error(), bad);

    // As if handed over: open across exec.
    let handed = rustix::io::dup(&writer).unwrap().into_raw_fd();
    drop(writer);
    let number = u32::try_from(handed).unwrap();
    assert!(is_open(number) && is_inherited(number));
    let taken = take(number).unwrap();
    assert!(fcntl_getfd(&taken).unwrap().contains(FdFlags::CLOEXEC));
    let target = fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
    assert_eq!(target.to_str(), Some("/dev/null"));
    assert!(is_open(number) && !is_inherited(number));
    assert_eq!(take(number).unwrap_err().raw_os_error(), bad);

    // Dropping what was taken is the end for the other side.
    rustix::io::write(&taken, b"x").unwrap();
    drop(taken);
    let mut bytes = Vec::new();
    (&reader).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"x");

    for number in [u32::MAX, 1 << 31, 12_345] {
        assert!(!is_open(number) && !is_inherited(number));
        assert_eq!(take(number).unwrap_err().raw_os_error(), bad);
    }
}

#[test]
fn pipes_grow() {
    let (reader, _writer) = io::pipe().unwrap();
    let before = rustix::pipe::fcntl_getpipe_size(&reader).unwrap();
    enlarge_pipe(reader.as_fd());
    assert!(rustix::pipe::fcntl_getpipe_size(&reader).unwrap() >= before);
    enlarge_pipe(File::open("/dev/null").unwrap().as_fd());
}
