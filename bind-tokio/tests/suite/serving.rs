//! The agent's side: what it does to its command when its caller or its owner goes.

use std::future::{Future as _, poll_fn};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkline_core::agentproto::{Frame, FrameType, LostInput, encode};

use crate::rt::{self, Exec, ExecRequest, Task};

use super::peer::{Peer, bytes_of};
use super::support::{
    agent_program, eventually, exited, kill, line, lost_status, options, program, runs, serve, sh,
    start, start_over,
};
use super::wire::{Fate, wire};

const SIGHUP: i32 = 1;
const SIGTERM: i32 = 15;

/// What a serving agent answers to these bytes, and its status.
async fn answer(bytes: &[u8]) -> (Vec<Frame>, u8) {
    let (local, remote, _line) = wire(1 << 16);
    let agent = serve(remote, options());
    let mut peer = Peer::new(local);
    peer.send_bytes(bytes).await;
    peer.close().await;
    let mut frames = Vec::new();
    while let Some(frame) = peer.recv().await {
        frames.push(frame);
    }
    (frames, agent.await)
}

#[test]
fn a_session_without_a_purpose_is_refused() {
    rt::each(async || {
        for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &bytes_of(&Frame::eof(0))] {
            let (frames, status) = answer(bytes).await;
            assert_eq!((frames, status), (vec![], 127), "{bytes:?}");
        }
    });
}

#[test]
fn a_command_that_cannot_be_built_is_the_agent_s_failure_too() {
    rt::each(async || {
        let request = |fds| Frame::exec(ExecRequest { fds, ..sh("true") });
        let (frames, status) = answer(&bytes_of(&request(vec![3, 2]))).await;
        assert_eq!((frames[0].kind, frames[0].code, status), (FrameType::EXIT, 127, 127));
        let (frames, status) = answer(&bytes_of(&Frame::exec(program("/no/such", &[])))).await;
        assert_eq!((frames[0].kind, frames[0].code, status), (FrameType::EXIT, 127, 0));
    });
}

#[test]
fn dropping_the_agent_kills_the_whole_group() {
    rt::each(async || {
        // One that ignores every request, and a child of it that does too.
        let script = "trap '' HUP TERM INT; sleep 1000 & echo $!; echo $$; wait; sleep 1000";
        let (mut exec, agent) = start(sh(script));
        let mut stdout = exec.take_stdout().unwrap();
        let pids = [line(&mut stdout).await, line(&mut stdout).await];
        assert!(pids.iter().all(|pid| runs(pid)));
        drop(agent);
        eventually("the group is gone", || !pids.iter().any(|pid| runs(pid))).await;
        lost_status(&exec.wait().await);
    });
}

#[test]
fn dropping_the_agent_kills_what_an_ended_command_left() {
    rt::each(async || {
        let (mut exec, agent) = start(sh("sleep 1000 & echo $!"));
        let mut stdout = exec.take_stdout().unwrap();
        let pid = line(&mut stdout).await;
        assert!(rt::timeout(Duration::from_millis(50), exec.wait()).await.is_none());
        drop(agent);
        eventually("the child is gone", || !runs(&pid)).await;
    });
}

#[test]
fn grandchildren_that_hold_an_output_hold_up_the_exit() {
    rt::each(async || {
        let script = "(sleep 0.2; echo late) & echo early; exit 3";
        let output = super::support::output(sh(script)).await;
        assert_eq!(output.stdout, b"early\nlate\n");
        assert_eq!(output.status, exited(3));
        // One that holds nothing holds nothing up, and is nobody's business.
        let script = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!";
        let output = super::support::output(sh(script)).await;
        assert_eq!(output.status, exited(0));
        let pid = String::from_utf8(output.stdout).unwrap();
        assert!(runs(pid.trim()));
        kill(pid.trim());
    });
}

#[test]
#[cfg(target_os = "linux")]
fn what_has_left_the_group_does_not_keep_an_agent_whose_caller_is_gone() {
    rt::each(async || {
        // Out of reach of every signal to the group, and with the output in its hands.
        let (mut exec, agent) = start(sh("setsid sleep 1000 & echo $!; wait"));
        let mut stdout = exec.take_stdout().unwrap();
        let pid = line(&mut stdout).await;
        drop((exec, stdout));
        let status = rt::timeout(Duration::from_secs(5), agent).await;
        kill(&pid);
        assert_eq!(status, Some(0), "hung up and killed, the command is still waited for");
    });
}

/// A command on an agent that stops when told to.
async fn stoppable(script: &str) -> (Exec, Task<u8>, String, impl FnOnce(i32)) {
    let (local, remote, _line) = wire(1 << 16);
    let (stop, stopped) = sync_channel(1);
    let served = rt::serve(rt::Over(remote), options()).stop_when(told(stopped));
    let agent = rt::spawn(served);
    let mut exec = rt::exec_over(rt::Over(local), sh(script)).unwrap();
    let mut stderr = exec.take_stderr().unwrap();
    let pid = line(&mut stderr).await;
    (exec, agent, pid, move |signal| stop.send(signal).unwrap())
}

async fn told(stopped: Receiver<i32>) -> i32 {
    loop {
        if let Ok(signal) = stopped.try_recv() {
            return signal;
        }
        rt::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn an_agent_that_is_asked_to_stop_hangs_its_command_up() {
    rt::each(async || {
        let (mut exec, agent, pid, stop) = stoppable("echo $$ >&2; exec sleep 1000").await;
        stop(SIGHUP);
        // The caller still learns of it.
        assert_eq!(exec.wait().await, exited(129));
        assert_eq!(agent.await, 0);
        assert!(!runs(&pid));
        let (mut exec, agent, _pid, stop) = stoppable("echo $$ >&2; exec sleep 1000").await;
        stop(SIGTERM);
        assert_eq!(exec.wait().await, exited(143));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_command_that_ignores_the_hang_up_is_killed_after_the_grace() {
    rt::each(async || {
        let script = "trap '' HUP; echo $$ >&2; while :; do sleep 0.01; done";
        let (mut exec, agent, pid, stop) = stoppable(script).await;
        let begun = Instant::now();
        stop(SIGHUP);
        assert_eq!(exec.wait().await, exited(137));
        assert!(begun.elapsed() >= Duration::from_millis(100));
        assert_eq!(agent.await, 0);
        assert!(!runs(&pid));
    });
}

#[test]
fn a_command_that_takes_its_leave_in_time_says_how_it_ended() {
    rt::each(async || {
        let script = "trap 'echo bye; exit 12' HUP; echo $$ >&2; while :; do sleep 0.01; done";
        let (exec, agent, _pid, stop) = stoppable(script).await;
        stop(SIGHUP);
        let output = exec.output().await.unwrap();
        assert_eq!((&output.stdout[..], output.status), (&b"bye\n"[..], exited(12)));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn an_idle_agent_that_is_asked_to_stop_ends() {
    rt::each(async || {
        let (local, remote, _line) = wire(1 << 16);
        let agent = rt::serve(rt::Over(remote), options()).stop_when(async { SIGTERM });
        assert_eq!(rt::spawn(agent).await, 0);
        assert!(Peer::new(local).recv().await.is_none());
    });
}

#[test]
fn a_lost_caller_is_hung_up_as_the_settings_say() {
    rt::each(async || {
        let grace = Duration::from_millis(50);
        for (policy, stays) in [
            (LostInput::HangUp { grace }, false),
            (LostInput::EndStreams, true),
            (LostInput::Ignore, true),
        ] {
            let mut options = options();
            options.config.lost_input = policy;
            let (mut exec, agent, wire) =
                start_over(sh("echo $$; exec sleep 1000"), options.clone());
            let mut stdout = exec.take_stdout().unwrap();
            let pid = line(&mut stdout).await;
            wire.up.cut(Fate::End);
            if stays {
                rt::sleep(4 * grace).await;
                assert!(runs(&pid), "{policy:?}");
            } else {
                assert_eq!(exec.wait().await, exited(129));
                assert_eq!(agent.await, 0);
                continue;
            }
            drop(agent);
            eventually("the command is gone", || !runs(&pid)).await;

            // One that reads its input: does that end?
            let (mut exec, agent, wire) = start_over(sh("echo $$; cat; exit 5"), options);
            let mut stdout = exec.take_stdout().unwrap();
            line(&mut stdout).await;
            wire.up.cut(Fate::End);
            let stdin = exec.take_stdin();
            if policy == LostInput::EndStreams {
                assert_eq!(exec.wait().await, exited(5));
            } else {
                assert!(rt::timeout(4 * grace, exec.wait()).await.is_none());
            }
            drop((agent, stdin));
        }
    });
}

#[test]
fn a_caller_that_ends_its_half_only_is_lost_too() {
    rt::each(async || {
        let (local, remote, _line) = wire(1 << 16);
        let agent = serve(remote, options());
        let mut peer = Peer::new(local);
        peer.send(&Frame::exec(sh("echo out; exec sleep 1000"))).await;
        // It runs: a hang-up that came before it does is another matter.
        assert_eq!(peer.expect(FrameType::DATA).await.stream, 1);
        peer.close().await;
        let mut kinds = Vec::new();
        while let Some(frame) = peer.recv().await {
            kinds.push((frame.kind, frame.stream, frame.code));
        }
        assert_eq!(*kinds.last().unwrap(), (FrameType::EXIT, 0, 129));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn an_agent_whose_output_nobody_takes_ends_with_its_caller() {
    rt::each(async || {
        let (mut exec, agent, wire) = start_over(sh("echo $$; exec cat /dev/zero"), options());
        let mut stdout = exec.take_stdout().unwrap();
        let pid = line(&mut stdout).await;
        wire.down.hold();
        rt::sleep(Duration::from_millis(20)).await;
        wire.up.cut(Fate::Reset);
        eventually("the command is gone", || !runs(&pid)).await;
        // Nobody takes what is left; the agent does not wait for that for ever.
        drop((exec, stdout));
        assert_eq!(agent.await, 0);
    });
}

#[test]
fn a_gone_caller_is_noticed_behind_input_that_the_command_does_not_read() {
    // Needs descriptors that can tell, so it is a process; and it takes the default grace.
    let mut agent =
        Command::new(agent_program()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = agent.stdin.take().unwrap();
    stdin.write_all(&bytes_of(&Frame::exec(sh("exec sleep 1000")))).unwrap();
    // More than the command's pipe, what waits for it and the agent's queue hold together: from
    // here on the agent does not read.
    rustix::io::ioctl_fionbio(&stdin, true).unwrap();
    let data = encode(&Frame::data(0, Bytes::from(vec![0; 32_768]))).unwrap().into_bytes();
    let mut stuck_since = None::<Instant>;
    let mut rest = data.clone();
    while stuck_since.is_none_or(|since| since.elapsed() < Duration::from_millis(300)) {
        match stdin.write(&rest) {
            Ok(count) => {
                stuck_since = None;
                rest = if count == rest.len() { data.clone() } else { rest.slice(count..) };
            }
            Err(_) => {
                stuck_since.get_or_insert_with(Instant::now);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    drop((stdin, agent.stdout.take()));
    let begun = Instant::now();
    while agent.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the agent and its command stay");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_agent_needs_nobody_to_be_polled_again_once_it_is_over() {
    rt::each(async || {
        let (local, remote, _line) = wire(1 << 16);
        let mut agent = Box::pin(rt::serve(rt::Over(remote), options()));
        drop(local);
        assert_eq!(agent.as_mut().await, 127);
        // Polled once more it says the same, or waits; it does not panic.
        poll_fn(|cx| Poll::Ready(agent.as_mut().poll(cx))).await.is_ready();
    });
}
