//! The rows of section 15 about the bytes of one frame, each under its name, against every kind of
//! session on both sides and against a recording; with memory and work measured.
#![cfg(target_os = "linux")]

mod common;
mod hostile_common;

use bytes::Bytes;
use common::*;
use hostile_common::*;
use trunkline_core::agentproto::{Config, Decoder, Frame, Read, Record, Violation};
use trunkline_core::{CloseReason, Machine};

/// Keys of every depth and kind under which bytes or text may be announced: of frames and records,
/// known and not, and the key itself.
const STRINGS: [(&[u8], u8); 9] = [
    (b"\xa1\x61d", 0x40),
    (b"\xa1\x61e", 0x60),
    (b"\xa1\x61x\xa1\x63cwd", 0x60),
    (b"\xa1\x61x\xa1\x63env\x81", 0x60),
    (b"\xa1\x63fop\xa1\x61d", 0x40),
    (b"\xa1\x63frp\xa1\x62en\x81\xa1\x62st\xa1\x61n", 0x60),
    (b"\xa1\x65frame\xa1\x65frame\xa1\x61d", 0x40),
    (b"\xa1\x67unknown", 0x40),
    (b"\xa1", 0x60),
];

#[test]
fn announced_length_of_exabytes() {
    for (start, major) in STRINGS {
        for length in [(16 << 20) + 1, 1 << 31, 1 << 32, 1 << 40, 1 << 60, (1 << 63) - 1] {
            let head = [&[major | 27][..], &u64::to_be_bytes(length)].concat();
            all_refuse(&[start, &head].concat(), "limit", 16 * KIB);
        }
        all_refuse(&[start, &[major | 27], &[0xff; 8]].concat(), "malformed", 16 * KIB);
        // Just within the limit it waits, and has taken nothing for it.
        let head = [&[major | 26][..], &u32::to_be_bytes((16 << 20) - 1_000)].concat();
        for (name, mut victim) in victims(&Config::default()) {
            let ((), most) = peak(|| victim.take([start, &head].concat().into()));
            assert_eq!(victim.refused(), None, "{name}");
            assert!(most < 16 * KIB, "{name}: {most} bytes for a claim");
        }
    }
}

/// Feeds a frame without an end piece by piece: refused at the frame's limit, and not dearer than
/// twice that limit.
#[track_caller]
fn ends_at_the_limit(start: &[u8], more: &[u8]) {
    const LIMIT: usize = 96 * KIB;
    let mut config = Config::default();
    (config.limits.frame, config.limits.elements) = (LIMIT, 10_000);
    let more = more.repeat((8 * KIB).div_ceil(more.len()));
    let (length, memory) = endless(&config, start, &more);
    assert!(length <= LIMIT + more.len(), "refused after {length} bytes only");
    assert!(memory <= 2 * LIMIT, "{memory} bytes of memory");
}

#[test]
fn endless_indefinite_string() {
    for (start, major) in STRINGS {
        let chunks = [
            vec![major],
            vec![major | 1, b'x'],
            [&[major | 24, 200][..], &[b'x'; 200]].concat(),
            [&[major | 25, 0x80, 0][..], &[b'x'; 0x8000]].concat(),
        ];
        for chunk in chunks {
            ends_at_the_limit(&[start, &[major | 31]].concat(), &chunk);
        }
    }
}

#[test]
fn endless_indefinite_array() {
    for start in [&b"\xa1\x61z\x9f"[..], b"\xa1\x61x\xa1\x63env\x9f", b"\xa1\x61z\x9f\x9f"] {
        // Few large elements meet the limit of bytes, many small ones that of elements.
        ends_at_the_limit(start, &[&b"\x79\x10\x00"[..], &[b'x'; 4_096]].concat());
        ends_at_the_limit(start, b"\x60");
    }
    ends_at_the_limit(b"\xa1\x61z\x9f", b"\x80");
    ends_at_the_limit(b"\xa1\x61z\x9f", b"\x9f\xff");
}

#[test]
fn endless_indefinite_map() {
    for start in [&b"\xa1\x61z\xbf"[..], b"\xbf", b"\xa1\x61x\xbf"] {
        ends_at_the_limit(start, &[&b"\x61z\x79\x10\x00"[..], &[b'x'; 4_096]].concat());
        ends_at_the_limit(start, b"\x61z\x00");
        ends_at_the_limit(start, b"\x60\xa0");
    }
}

#[test]
fn deep_nesting_and_tag_chains() {
    for nest in [&b"\x81"[..], b"\x9f", b"\xc1", b"\xd9\xd9\xf7", b"\xa1\x60", b"\xbf\x00"] {
        for start in [&b"\xa1\x61z"[..], b"\xa1\x61x", b"\xa1\x61x\xa1\x63env"] {
            all_refuse(&[start, &nest.repeat(40)].concat(), "limit", 16 * KIB);
        }
        // A million levels, also where the frame itself stands: depth is counted, not recursed.
        let kind = if nest[0] < 0xa0 { "type" } else { "limit" };
        all_refuse(&nest.repeat(1_000_000 / nest.len()), kind, 16 * MIB);
    }
}

#[test]
fn huge_element_counts() {
    for start in [&b"\xa1\x61z"[..], b"\xa1\x61x\xa1\x64argv", b"\xa1\x61i\xa1\x67entries"] {
        for count in [131_073, 1 << 31, u32::MAX] {
            for major in [0x80, 0xa0] {
                let head = [&[major | 26][..], &u32::to_be_bytes(count)].concat();
                all_refuse(&[start, &head].concat(), "limit", 16 * KIB);
            }
        }
        all_refuse(&[start, b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff"].concat(), "limit", 16 * KIB);
        all_refuse(&[start, b"\x9b\x80\0\0\0\0\0\0\0"].concat(), "malformed", 16 * KIB);
        // The most that is allowed reserves nothing before it comes.
        for (name, mut victim) in victims(&Config::default()) {
            let head = [start, b"\x9a\x00\x02\x00\x00"].concat();
            let ((), most) = peak(|| victim.take(head.into()));
            assert_eq!(victim.refused(), None, "{name}");
            assert!(most < 16 * KIB, "{name}: {most} bytes for a claim");
        }
    }
}

/// Every list that a frame can hold, each with as many elements of one byte as it may have.
fn every_list() -> Vec<u8> {
    let list = |element: u8| [&b"\x9a\x00\x02\x00\x00"[..], &[element; 131_072]].concat();
    let lists = |keys: &[(&[u8], u8)]| {
        let parts = keys.iter().flat_map(|(key, element)| [key.to_vec(), list(*element)]);
        [vec![0xa0 | keys.len() as u8], parts.collect::<Vec<_>>().concat()].concat()
    };
    let messages: [(&[u8], Vec<u8>); 7] = [
        (b"\x61x", lists(&[(b"\x63env", 0x60), (b"\x63fds", 0x00), (b"\x64argv", 0x60)])),
        (b"\x63cfg", lists(&[(b"\x68env_keep", 0x60), (b"\x6aenv_remove", 0x60)])),
        (b"\x61l", lists(&[(b"\x61a", 0x60)])),
        (b"\x61q", lists(&[(b"\x65paths", 0x60)])),
        (b"\x61i", lists(&[(b"\x67entries", 0xa0)])),
        (b"\x63frp", lists(&[(b"\x62en", 0xa0)])),
        (b"\x61t", vec![0]),
    ];
    let parts = messages.into_iter().flat_map(|(key, value)| [key.to_vec(), value]);
    [vec![0xa7], parts.collect::<Vec<_>>().concat()].concat()
}

#[test]
fn small_elements_of_large_structs() {
    let bytes = every_list();
    assert!(bytes.len() < 2 * MIB);
    for (name, mut victim) in victims(&Config::default()).into_iter().step_by(3) {
        let ((), most) = peak(|| victim.take(bytes.clone().into()));
        assert!(most <= SESSION, "{name}: {most} bytes for {}", bytes.len());
    }
    // The budget is charged for each element while it is read.
    let mut config = Config::default();
    config.limits.frame_memory = MIB;
    let mut decoder = Decoder::<Frame>::new(&config);
    let (result, most) = peak(|| {
        decoder.push(bytes.into());
        decoder.poll()
    });
    assert_eq!(result, Err(Violation::FrameMemory { limit: MIB }));
    assert!(most <= 4 * MIB, "{most} bytes");
}

#[test]
fn unknown_keys_full_of_data() {
    // They count: a frame of useless keys is refused at the limit like any other.
    let filler = [&b"\x79\x80\x00"[..], &[b'x'; 0x8000]].concat();
    ends_at_the_limit(b"\xbf", &[&b"\x61z"[..], &filler].concat());
    // They are validated, and leave nothing behind.
    all_refuse(&with_key("z", b"\x82\x01\x1c"), "malformed", 16 * KIB);
    let useless = ignored_with_key("z", &[&b"\x99\x01\x00"[..], &filler.repeat(256)].concat());
    for (name, mut victim) in victims(&Config::default()) {
        if name == "agent, start" {
            continue; // The frame is no purpose, and refused for that.
        }
        victim.take(useless.clone().into());
        let ((), most) = peak(|| victim.take(ignored_with_key("y", b"\x00").into()));
        assert_eq!(victim.refused(), None, "{name}");
        assert!(most < 16 * KIB, "{name}: {most} bytes are left");
    }
    // Skipping is linear in their number and in their size.
    is_linear(16_000, |count| {
        let pairs = b"\x61z\x82\x00\x00".repeat(count);
        let head = [&b"\xba"[..], &u32::to_be_bytes(count as u32)].concat();
        let mut decoder = Decoder::<Frame>::new(&Config::default());
        decoder.push([head, pairs].concat().into());
        assert!(decoder.poll().unwrap().is_some());
    });
}

/// A frame that comes byte by byte.
fn drip(bytes: &[u8]) {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    for byte in bytes {
        local.handle_input(START, Bytes::copy_from_slice(&[*byte]));
    }
    assert_eq!((local.closed(), local.stats().frames_received), (None, 1));
}

#[test]
fn slow_drip_of_one_frame() {
    // One long string, many small elements, many pairs, many chunks.
    is_linear(30_000, |size| drip(&bytes_of(&data(1, &vec![7; size]))));
    let list = |size: usize, unit: &[u8]| {
        ignored_with_key("z", &[&b"\x9f"[..], &unit.repeat(size), b"\xff"].concat())
    };
    is_linear(20_000, |size| drip(&list(size, b"\x80")));
    is_linear(6_000, |size| drip(&list(size, b"\xbf\x60\xf6\xff")));
    is_linear(12_000, |size| {
        drip(&ignored_with_key("d", &[&b"\x5f"[..], &b"\x41x".repeat(size), b"\xff"].concat()));
    });
    // What has come takes little more than its bytes, whatever the pieces.
    let frame = bytes_of(&data(1, &vec![7; MIB / 4]));
    let (read, most) = peak(|| {
        let mut local = running_local(Config::default(), exec("/bin/x"));
        for byte in &frame {
            local.handle_input(START, Bytes::copy_from_slice(&[*byte]));
        }
        read_count(&mut local, 1, 7)
    });
    assert_eq!(read, (MIB / 4, Read::Empty));
    assert!(most < 2 * MIB, "{most} bytes");
}

#[test]
fn frames_of_no_meaning_cost_the_same_each() {
    for unit in [&b"\xf6"[..], b"\xa0", b"\xa1\x61t\x00", b"\xa1\x61s\x00"] {
        is_linear(20_000, |count| {
            let mut agent = running_agent(Config::default(), exec("/bin/x"));
            agent.handle_input(START, unit.repeat(count).into());
            assert_eq!(agent.stats().frames_dropped, count as u64);
        });
    }
}

#[test]
fn recording_file_as_attack_input() {
    // The rows above feed a recording like a session; what comes before the damage is kept.
    let mut decoder = Decoder::<Record>::new(&Config::default());
    decoder.push(b"\xa1\x64type\x03".repeat(3).into());
    decoder.push(b"\xa1\x65frame\x5b\x7f\xff\xff\xff\xff\xff\xff\xff".as_slice().into());
    for _ in 0..3 {
        assert!(decoder.poll().unwrap().is_some());
    }
    assert_eq!(decoder.poll(), Err(Violation::FrameSize { limit: 16 << 20 }));
    assert_eq!(decoder.position(), 21);
    // Records within records cannot nest; a frame within one has the limits of a frame.
    let frame = ignored_with_key("z", &b"\x81".repeat(40));
    let record = [&b"\xa2\x64type\x03\x65frame\xa1\x65frame"[..], &frame].concat();
    all_refuse(&record, "limit", 16 * KIB);
}

#[test]
fn an_end_inside_a_claim_is_a_truncation() {
    let mut local = running_local(Config::default(), exec("/bin/x"));
    local.handle_input(START, Bytes::from_static(b"\xa1\x61d\x5a\x00\xf0\x00\x00abc"));
    local.handle_eof(START);
    assert_eq!(local.closed(), Some(&CloseReason::Eof { mid_frame: true }));
    assert_eq!(local.stats().frames_dropped, 0);
}
