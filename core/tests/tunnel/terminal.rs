//! Terminal streams: `docs/protocols/agent-tunnel.md` sections 7 and 12.

use bytes::Bytes;
use trunkline_core::tunnel::terminal::{
    Boundaries, Joiner, MAX_MESSAGE, Message, OwnExit, OwnFrame, OwnFrameError, OwnFrames,
    Splitter, Towards,
};

fn piece(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn data(bytes: &[u8]) -> Option<Message> {
    Some(Message::Data(piece(bytes)))
}

#[test]
fn input_is_split_into_messages_that_the_originals_agent_reads_at_once() {
    let mut input = Bytes::from(vec![7; 10_000]);
    let (mut splitter, mut back) = (Splitter::new(), Vec::new());
    while let Some(message) = splitter.data(&mut input) {
        assert!(message.len() <= MAX_MESSAGE);
        assert_eq!(message[0], 0);
        back.extend_from_slice(&message[1..]);
    }
    assert_eq!(back, vec![7; 10_000]);
    assert_eq!(splitter.data(&mut Bytes::new()), None);
    assert_eq!(splitter.resize(80, 24), "\u{1}{\"type\":\"resize\",\"cols\":80,\"rows\":24}");
}

#[test]
fn a_message_ends_with_its_frame_however_it_arrives() {
    let mut joiner = Joiner::new(Towards::Agent, Boundaries::Frames);
    assert_eq!(joiner.feed(piece(b"\0ab"), false), data(b"ab"));
    assert_eq!(joiner.feed(piece(b"\x01c"), true), data(b"\x01c"), "the middle of the frame");
    assert_eq!(joiner.feed(piece(b"\0"), false), None);
    assert_eq!(joiner.feed(piece(b"d"), true), data(b"d"));
    let resize = Splitter::new().resize(65_535, 0);
    assert_eq!(joiner.feed(resize.slice(..9), false), None);
    assert_eq!(
        joiner.feed(resize.slice(9..), true),
        Some(Message::Resize { cols: 65_535, rows: 0 })
    );
    assert_eq!(joiner.feed(piece(b"\x07x"), true), data(b"x"), "any other kind is input");
}

#[test]
fn control_messages_that_nobody_knows_are_ignored() {
    let mut joiner = Joiner::new(Towards::Agent, Boundaries::Frames);
    for text in [
        "",
        "{}",
        "null",
        "not json",
        r#"{"type":"ping","cols":1,"rows":1}"#,
        r#"{"type":"resize","cols":65536,"rows":1}"#,
        r#"{"type":"resize","cols":-1,"rows":1}"#,
        r#"{"type":"resize","cols":"80","rows":24}"#,
    ] {
        assert_eq!(joiner.feed(piece(format!("\u{1}{text}").as_bytes()), true), None, "{text}");
    }
    let folded = joiner.feed(piece(b"\x01{\"TYPE\":\"resize\",\"Cols\":3,\"x\":[]}"), true);
    assert_eq!(folded, Some(Message::Resize { cols: 3, rows: 0 }));
}

#[test]
fn an_endless_control_message_is_dropped_and_its_memory_bounded() {
    let mut joiner = Joiner::new(Towards::Agent, Boundaries::Frames);
    assert_eq!(joiner.feed(piece(b"\x01{\"type\":\"resize\""), false), None);
    for _ in 0..100 {
        assert_eq!(joiner.feed(vec![b' '; 4096].into(), false), None);
    }
    assert_eq!(joiner.feed(piece(b"}"), true), None);
    assert_eq!(joiner.feed(piece(b"\0ok"), true), data(b"ok"));
}

#[test]
fn the_opener_shows_output_and_nothing_else() {
    let mut joiner = Joiner::new(Towards::Opener, Boundaries::Frames);
    assert_eq!(joiner.feed(piece(b"\0out"), true), data(b"out"));
    assert_eq!(joiner.feed(piece(b"\x02out"), true), None);
    assert_eq!(joiner.feed(Splitter::new().resize(1, 1), true), None);
}

#[test]
fn where_reads_are_messages_what_merges_is_lost_as_in_the_original() {
    let mut joiner = Joiner::new(Towards::Agent, Boundaries::Reads);
    assert_eq!(joiner.feed(piece(b"\0a\0b"), false), data(b"a\0b"));
    assert_eq!(joiner.feed(piece(b"cd"), false), data(b"d"));
}

#[test]
fn frames_of_our_own_are_read_from_pieces_of_any_size() {
    let frames = [
        OwnFrame::Data(piece(b"hello")),
        OwnFrame::Resize { cols: 0x0102, rows: 0x0304 },
        OwnFrame::Data(piece(b"!")),
        OwnFrame::Exit(OwnExit::Code(3)),
    ];
    let mut wire: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().to_vec()).collect();
    assert_eq!(&wire[..15], b"\0\0\x05hello\x01\0\x04\x01\x02\x03\x04");
    // One without data, and one of a kind that nobody knows, say nothing.
    wire.splice(0..0, *b"\0\0\0\x09\0\x02zz");
    for size in 1..=wire.len() {
        let (mut reader, mut seen) = (OwnFrames::new(), Vec::new());
        for chunk in wire.chunks(size) {
            let mut input = piece(chunk);
            while let Some(frame) = reader.feed(&mut input).unwrap() {
                match (seen.last_mut(), frame) {
                    (Some(OwnFrame::Data(before)), OwnFrame::Data(more)) => {
                        *before = [&before[..], &more[..]].concat().into();
                    }
                    (_, frame) => seen.push(frame),
                }
            }
            assert!(input.is_empty());
        }
        assert_eq!(seen, frames, "pieces of {size}");
        assert_eq!(reader.end(), Ok(()));
    }
}

#[test]
fn long_data_is_cut_into_frames_that_lengths_can_tell() {
    let bytes = Bytes::from(vec![5; 70_000]);
    let mut wire = OwnFrame::Data(bytes.clone()).encode();
    assert_eq!(wire.len(), 70_006);
    let (mut reader, mut back) = (OwnFrames::new(), Vec::new());
    while let Some(OwnFrame::Data(piece)) = reader.feed(&mut wire).unwrap() {
        back.extend_from_slice(&piece);
    }
    assert_eq!(back, bytes);
    assert_eq!(OwnFrame::data_head(0x0102), [0, 1, 2]);
}

#[test]
fn the_end_of_a_command_is_told_truly() {
    for (exit, json) in [
        (OwnExit::Code(-1), r#"{"code":-1}"#),
        (OwnExit::Signal(9), r#"{"signal":9}"#),
        (OwnExit::Error("no \"shell\"".into()), r#"{"error":"no \"shell\""}"#),
    ] {
        assert_eq!(exit.to_json(), json.as_bytes());
        assert_eq!(OwnExit::from_json(json.as_bytes()), Ok(exit));
    }
    let long = OwnExit::Error("\u{1}€".repeat(20_000)).to_json();
    assert!(long.len() <= usize::from(u16::MAX), "{}", long.len());
    assert!(matches!(OwnExit::from_json(&long), Ok(OwnExit::Error(_))));
}

#[test]
fn frames_that_say_nothing_that_is_known_are_errors() {
    let read = |bytes: &[u8]| OwnFrames::new().feed(&mut piece(bytes));
    assert_eq!(read(b"\x01\0\x03\0\x50\0"), Err(OwnFrameError::Resize));
    for exit in ["", "{}", "null", r#"{"code":"0"}"#, r#"{"code":99999999999}"#] {
        let frame = [&[2, 0, exit.len() as u8], exit.as_bytes()].concat();
        assert_eq!(read(&frame), Err(OwnFrameError::Exit), "{exit}");
    }
    let mut torn = OwnFrames::new();
    assert_eq!(torn.feed(&mut piece(b"\0\0")), Ok(None));
    assert_eq!(torn.end(), Err(OwnFrameError::Torn));
    let mut torn = OwnFrames::new();
    assert_eq!(torn.feed(&mut piece(b"\0\0\x02a")), Ok(Some(OwnFrame::Data(piece(b"a")))));
    assert_eq!(torn.end(), Err(OwnFrameError::Torn));
}
