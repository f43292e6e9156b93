//! What the tests of hostile peers share: every session that can be attacked, memory and work
//! measured.
#![allow(dead_code)]

#[path = "../codec_gen/memory.rs"]
mod memory;

use bytes::Bytes;
use trunkline_core::agentproto::{
    Agent, Config, Decoder, FileRequest, Frame, Item as _, Local, PathQuery, Record,
};
use trunkline_core::{CloseReason, Machine, Violation};

use crate::common::{START, exec, feed, news, running_agent, running_local, sent};
pub(crate) use memory::peak;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;

/// The budget of one session.
pub(crate) const SESSION: usize = 64 * MIB;

/// A session under attack, or a recording that is read.
pub(crate) enum Victim {
    Local(Local),
    Agent(Agent),
    Recording(Decoder<Record>, Option<&'static str>),
}

impl Victim {
    /// Takes bytes in, in one piece. What it would tell or send is thrown away.
    pub(crate) fn take(&mut self, bytes: Bytes) {
        match self {
            Self::Local(local) => {
                local.handle_input(START, bytes);
                news(local);
            }
            Self::Agent(agent) => {
                agent.handle_input(START, bytes);
                news(agent);
            }
            Self::Recording(decoder, refused) => {
                decoder.push(bytes);
                while let Some(result) = decoder.poll().transpose() {
                    if let Err(violation) = result {
                        *refused = Some(violation.kind());
                        return;
                    }
                }
            }
        }
    }

    /// The rule that was broken, if one was.
    pub(crate) fn refused(&mut self) -> Option<&'static str> {
        let closed = match self {
            Self::Local(local) => local.closed(),
            // While a command runs, a violation is the end of input, and told in a record.
            Self::Agent(agent) => {
                let record = sent(agent).into_iter().filter_map(|frame| frame.log).next_back();
                if record.is_some_and(|record| record.message.contains("loop ended with error")) {
                    return Some("told");
                }
                agent.closed()
            }
            Self::Recording(_, refused) => return *refused,
        };
        match closed {
            Some(CloseReason::Violation(Violation::Agentproto(rule))) => Some(rule.kind()),
            Some(reason) => panic!("over, but not for a violation: {reason:?}"),
            None => None,
        }
    }
}

/// Every kind of session, in every state in which frames are looked at, and a recording.
pub(crate) fn victims(config: &Config) -> Vec<(&'static str, Victim)> {
    let mut paths = Local::new(config.clone());
    paths.query_paths(START, PathQuery::default(), None).unwrap();
    let mut files = Local::new(config.clone());
    files.request(FileRequest::default()).unwrap();
    let fresh = Agent::new(config.clone());
    let mut serving = Agent::new(config.clone());
    feed(&mut serving, &[Frame::file_request(FileRequest::default())]);
    for machine in [&mut paths, &mut files] {
        sent(machine);
    }
    sent(&mut serving);
    vec![
        ("local, exec", Victim::Local(running_local(config.clone(), exec("/bin/x")))),
        ("local, paths", Victim::Local(paths)),
        ("local, files", Victim::Local(files)),
        ("agent, start", Victim::Agent(fresh)),
        ("agent, running", Victim::Agent(running_agent(config.clone(), exec("/bin/x")))),
        ("recording", Victim::Recording(Decoder::new(config), None)),
        // Waits for the host's answer before it ends: its last record tells.
        ("agent, files", Victim::Agent(serving)),
    ]
}

/// Feeds every victim in pieces of each size, and expects it to refuse with this kind of rule and
/// to take at most `memory` bytes of its own.
#[track_caller]
pub(crate) fn all_refuse(bytes: &[u8], kind: &str, memory: usize) {
    let pieces = [usize::MAX, 64 * KIB, 1];
    for size in pieces.into_iter().filter(|size| *size > 1 || bytes.len() < 100_000) {
        for (name, mut victim) in victims(&Config::default()) {
            let ((), most) = peak(|| {
                for piece in bytes.chunks(size) {
                    victim.take(Bytes::copy_from_slice(piece));
                }
            });
            let refused = victim.refused();
            assert!(refused == Some(kind) || refused == Some("told"), "{name}: {refused:?}");
            assert!(most <= memory, "{name}: {most} bytes, {memory} allowed, pieces of {size}");
        }
    }
}

/// Feeds the same piece again and again to every victim until it refuses; gives how many bytes that
/// took and what they took in memory, at most.
pub(crate) fn endless(config: &Config, start: &[u8], more: &[u8]) -> (usize, usize) {
    let (mut longest, mut largest) = (0, 0);
    let more = Bytes::copy_from_slice(more);
    for (name, mut victim) in victims(config) {
        let (length, most) = peak(|| {
            victim.take(Bytes::copy_from_slice(start));
            let mut length = start.len();
            while victim.refused().is_none() {
                assert!(length < 4 * config.limits.frame, "{name}: nothing is refused");
                // Memory of its own for each piece, as a transport's would be.
                victim.take(Bytes::copy_from_slice(&more));
                length += more.len();
            }
            length
        });
        (longest, largest) = (longest.max(length), largest.max(most));
    }
    (longest, largest)
}

/// Nanoseconds of processor time that this thread has used: what others do does not count.
fn processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux /proc");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

/// The least processor time of three runs.
fn cost(mut work: impl FnMut()) -> u64 {
    let run = |()| {
        let before = processor();
        work();
        processor() - before
    };
    [(), (), ()].map(run).into_iter().min().unwrap_or_default()
}

/// Four times the size must not cost much more than four times the work: with work that grows by
/// the square it would be sixteen times. A tick of the clock is added, so that what is too quick to
/// be measured passes only if it is quick at both sizes.
#[track_caller]
pub(crate) fn is_linear(size: usize, mut work: impl FnMut(usize)) {
    const TICK: u64 = 4_000_000;
    let small = cost(|| work(size)).max(TICK);
    let large = cost(|| work(4 * size));
    assert!(large < 9 * small, "{small} ns for {size}, {large} ns for four times as much");
}

/// A frame with one more key.
pub(crate) fn with_key(key: &str, value: &[u8]) -> Vec<u8> {
    let name = [&[0x60 | key.len() as u8][..], key.as_bytes()].concat();
    [&b"\xa2\x61t\x05"[..], &name, value].concat()
}

/// An unknown frame type with one more key, which every session ignores.
pub(crate) fn ignored_with_key(key: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = with_key(key, value);
    bytes[3] = 0;
    bytes
}

/// The bytes of a frame.
pub(crate) fn bytes_of(frame: &Frame) -> Vec<u8> {
    frame.to_bytes().unwrap()
}
