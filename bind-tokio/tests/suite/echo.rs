//! Large amounts in both directions at once.

use bytes::Bytes;

use crate::rt::{self, Exec, ExecRequest, Reader, Task, Writer};

use super::support::{self, Pattern, exited, options, program, sh_with_fds};
use super::wire::wire;

/// `cat` on a real agent, over a pair of sockets.
fn over_sockets(request: ExecRequest) -> (Exec, Task<u8>) {
    let (local, remote) = rt::socket_pair();
    let agent = rt::spawn(rt::serve(remote, options()));
    (rt::exec_over(local, request).unwrap(), agent)
}

/// Writes so many bytes by the runtime's own trait, in pieces of odd sizes, and ends the stream.
fn feed(mut writer: Writer, count: usize) -> Task<()> {
    rt::spawn(async move {
        let pattern = Pattern::new();
        let (mut sent, mut size) = (0, 1);
        while sent < count {
            let piece = pattern.at(sent, size.min(count - sent));
            rt::write_all(&mut writer, &piece).await.unwrap();
            sent += piece.len();
            size = size * 5 % 99_991;
        }
        rt::close(&mut writer).await.unwrap();
    })
}

/// The same without a copy.
fn feed_bytes(mut writer: Writer, count: usize) -> Task<()> {
    rt::spawn(async move {
        let pattern = Pattern::new();
        let mut sent = 0;
        while sent < count {
            let mut piece = pattern.at(sent, count - sent);
            sent += piece.len();
            writer.write_bytes(&mut piece).await.unwrap();
            assert!(piece.is_empty());
        }
        writer.finish();
    })
}

/// Reads to the end by the runtime's own trait and checks every byte.
async fn check(mut reader: Reader, count: usize) {
    let pattern = Pattern::new();
    let mut buf = vec![0; 77_777];
    let mut seen = 0;
    loop {
        let length = rt::read(&mut reader, &mut buf).await.unwrap();
        if length == 0 {
            break;
        }
        pattern.check(seen, &buf[..length]);
        seen += length;
    }
    assert_eq!(seen, count);
    // An end stays an end.
    assert_eq!(rt::read(&mut reader, &mut buf).await.unwrap(), 0);
}

async fn check_chunks(mut reader: Reader, count: usize) {
    let pattern = Pattern::new();
    let mut seen = 0;
    while let Some(chunk) = reader.read_chunk().await.unwrap() {
        assert!(!chunk.is_empty());
        pattern.check(seen, &chunk);
        seen += chunk.len();
    }
    assert_eq!(seen, count);
    assert_eq!(reader.read_chunk().await.unwrap(), None);
}

#[test]
fn sixty_four_mebibytes_pass_through_cat_both_ways_at_once() {
    const COUNT: usize = 64 << 20;
    rt::each(async || {
        let (mut exec, agent) = over_sockets(program("cat", &[]));
        let feeding = feed(exec.take_stdin().unwrap(), COUNT);
        let reading = rt::spawn(check(exec.take_stdout().unwrap(), COUNT));
        feeding.await;
        reading.await;
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(exec.stats().bytes_received, COUNT as u64);
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn sixty_four_mebibytes_pass_without_a_copy() {
    const COUNT: usize = 64 << 20;
    rt::each(async || {
        let (mut exec, agent) = over_sockets(program("cat", &[]));
        let feeding = feed_bytes(exec.take_stdin().unwrap(), COUNT);
        let reading = rt::spawn(check_chunks(exec.take_stdout().unwrap(), COUNT));
        feeding.await;
        reading.await;
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_small_wire_in_memory_carries_as_much() {
    const COUNT: usize = 4 << 20;
    rt::each(async || {
        for capacity in [700, 4_096, 1 << 20] {
            let (local, remote, _line) = wire(capacity);
            let agent = support::serve(remote, options());
            let mut exec = rt::exec_over(rt::Over(local), program("cat", &[])).unwrap();
            let feeding = feed(exec.take_stdin().unwrap(), COUNT);
            check_chunks(exec.take_stdout().unwrap(), COUNT).await;
            feeding.await;
            assert_eq!(exec.wait().await, exited(0));
            assert_eq!(agent.await, 0);
        }
    });
}

#[test]
fn every_stream_carries_its_own_bytes_both_ways_at_once() {
    const COUNT: usize = 3 << 20;
    rt::each(async || {
        let script = "cat <&3 >&3 & cat <&4 >&4 & cat <&9 >&9 & cat; wait";
        let (mut exec, agent) = over_sockets(sh_with_fds(script, &[3, 4, 9]));
        let mut tasks = vec![
            feed(exec.take_stdin().unwrap(), COUNT),
            rt::spawn(check(exec.take_stdout().unwrap(), COUNT)),
        ];
        for fd in [3, 4, 9] {
            let (reader, writer) = exec.take_stream(fd).unwrap().into_split();
            tasks.push(feed_bytes(writer, COUNT + fd as usize));
            tasks.push(rt::spawn(check_chunks(reader, COUNT + fd as usize)));
        }
        for task in tasks {
            task.await;
        }
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn one_large_write_is_taken_in_parts_and_loses_nothing() {
    const COUNT: usize = 12 << 20;
    rt::each(async || {
        let (mut exec, agent) = over_sockets(program("cat", &[]));
        let mut stdin = exec.take_stdin().unwrap();
        let writing = rt::spawn(async move {
            let mut whole = Bytes::from(Pattern::new().head(COUNT));
            stdin.write_bytes(&mut whole).await.unwrap();
            assert!(whole.is_empty());
        });
        check(exec.take_stdout().unwrap(), COUNT).await;
        writing.await;
        assert_eq!(exec.wait().await, exited(0));
        assert_eq!(agent.await, 0);
    });
}
