//! The agentproto codec against ciborium, and against every way in which bytes can arrive.
#![cfg(feature = "serde")]

mod codec_gen;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ciborium::Value;
use codec_gen::cbor::{lookalike, nearly_canonical_data, noise, sloppy};
use codec_gen::memory::{Counting, peak};
use codec_gen::{frame, pieces, record, sizes, whole};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use trunkline_core::agentproto::{
    Acceptance, Config, Decoder, FileRequest, Frame, FrameType, Item, PathEntry, PathInfo, Record,
    Violation, data_segment, encode,
};

#[global_allocator]
static MEMORY: Counting = Counting;

/// What came out of a stream.
#[derive(Debug, PartialEq)]
struct Decoded<T> {
    items: Vec<T>,
    /// The rule that was broken and the offset of the item that broke it, or how much is left.
    end: Result<usize, (String, u64)>,
}

fn decode<T: Item>(chunks: impl IntoIterator<Item = Bytes>, acceptance: Acceptance) -> Decoded<T> {
    let mut config = Config::default();
    config.acceptance = acceptance;
    let mut decoder = Decoder::new(&config);
    let mut items = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.poll() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(violation) => {
                    return Decoded { items, end: Err((rule(&violation), decoder.position())) };
                }
            }
        }
    }
    Decoded { items, end: Ok(decoder.buffered()) }
}

/// The rule in words that do not depend on how much of a banner had arrived.
fn rule(violation: &Violation) -> String {
    match violation {
        Violation::NotAFrame { .. } => "not a frame".into(),
        other => format!("{other:?}"),
    }
}

fn lenient<T: Item>(chunks: impl IntoIterator<Item = Bytes>) -> Decoded<T> {
    decode(chunks, Acceptance::Lenient)
}

fn stream<T: Item>(items: &[T]) -> Vec<u8> {
    items.iter().flat_map(|item| item.to_bytes().unwrap()).collect()
}

fn agrees_with_ciborium<T: Item + Debug + Serialize + DeserializeOwned>(item: &T) {
    let mut derived = Vec::new();
    ciborium::into_writer(item, &mut derived).unwrap();
    let ours = item.to_bytes().unwrap();
    assert_eq!(derived, ours);
    assert_eq!(ciborium::from_reader::<T, _>(ours.as_slice()).unwrap(), *item);
}

/// Miri interprets, some hundred times slower: of many alike, every so manieth will do there.
const STRIDE: usize = if cfg!(miri) { 41 } else { 1 };

fn settings() -> ProptestConfig {
    let cases = if cfg!(miri) { 3 } else { 256 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn frames_are_written_as_ciborium_writes_them(frame in frame()) {
        agrees_with_ciborium(&frame);
        let segment = encode(&frame).unwrap();
        prop_assert_eq!(segment.len(), segment.slices().concat().len());
        prop_assert_eq!(segment.into_bytes(), frame.to_bytes().unwrap());
        if frame.kind == FrameType::DATA && !frame.data.is_empty() {
            let plain = Frame::data(frame.stream, frame.data.clone());
            let segment = data_segment(frame.stream, frame.data.into_bytes());
            prop_assert_eq!(segment.slices().concat(), plain.to_bytes().unwrap());
        }
    }

    #[test]
    fn records_are_written_as_ciborium_writes_them(record in record()) {
        agrees_with_ciborium(&record);
    }

    #[test]
    fn what_is_written_is_read_back_however_it_arrives(
        frames in vec(frame(), 0..5), records in vec(record(), 0..3), sizes in sizes(),
    ) {
        for acceptance in [Acceptance::Lenient, Acceptance::Format, Acceptance::Canonical] {
            let decoded = decode::<Frame>(pieces(&stream(&frames), &sizes), acceptance);
            prop_assert_eq!(&decoded, &Decoded { items: frames.clone(), end: Ok(0) });
            let decoded = decode::<Record>(pieces(&stream(&records), &sizes), acceptance);
            prop_assert_eq!(&decoded, &Decoded { items: records.clone(), end: Ok(0) });
        }
    }

    #[test]
    fn any_legal_encoding_of_a_frame_is_that_frame(
        frame in frame(), whims in vec(any::<u8>(), 1..40), sizes in sizes(),
    ) {
        let mut bytes = Vec::new();
        let value = Value::serialized(&frame).unwrap();
        sloppy(&value, &mut whims.into_iter().cycle(), &mut bytes);
        let expected = Decoded { items: vec![frame], end: Ok(0) };
        prop_assert_eq!(&lenient::<Frame>(pieces(&bytes, &sizes)), &expected);
        prop_assert_eq!(&decode::<Frame>(whole(&bytes), Acceptance::Format), &expected);
        let strict = decode::<Frame>(pieces(&bytes, &sizes), Acceptance::Canonical);
        prop_assert_eq!(strict.end.is_ok(), stream(&expected.items) == bytes);
    }

    #[test]
    fn a_prefix_gives_the_whole_frames_in_it(frames in vec(frame(), 1..4)) {
        let bytes = stream(&frames);
        let mut ends = vec![0];
        for frame in &frames {
            ends.push(ends[ends.len() - 1] + frame.to_bytes().unwrap().len());
        }
        let step = STRIDE + bytes.len() / 500;
        for length in (0..=bytes.len()).step_by(step) {
            let before = ends.iter().rposition(|end| *end <= length).unwrap();
            let expected = Decoded { items: frames[..before].to_vec(), end: Ok(length - ends[before]) };
            prop_assert_eq!(lenient::<Frame>(whole(&bytes[..length])), expected);
        }
    }

    #[test]
    fn noise_means_the_same_however_it_arrives(bytes in noise(), sizes in sizes()) {
        means_the_same::<Frame>(&bytes, &sizes);
        means_the_same::<Record>(&bytes, &sizes);
    }

    #[test]
    fn lookalikes_mean_the_same_however_they_arrive(bytes in lookalike(), sizes in sizes()) {
        let decoded = means_the_same::<Frame>(&bytes, &sizes);
        // They are well-formed and whole: one item, or a rule about its content.
        match decoded.end {
            Ok(left) => prop_assert_eq!((decoded.items.len(), left), (1, 0)),
            Err((rule, position)) => {
                prop_assert!(!rule.starts_with("Malformed") && rule != "not a frame", "{}", rule);
                prop_assert_eq!(position, 0);
            }
        }
    }

    #[test]
    fn flipped_bits_mean_the_same_however_they_arrive(
        frames in vec(frame(), 1..3), flips in vec(any::<prop::sample::Index>(), 1..4), sizes in sizes(),
    ) {
        let mut bytes = stream(&frames);
        for flip in flips {
            let bit = flip.index(8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        means_the_same::<Frame>(&bytes, &sizes);
    }
}

/// Checks what must hold of any bytes: the same outcome under any chunking; stricter acceptances
/// take a part of what looser ones take; what was taken is stable when written and read again.
fn means_the_same<T: Item + Debug>(bytes: &[u8], sizes: &[usize]) -> Decoded<T> {
    let decoded = lenient::<T>(whole(bytes));
    assert_eq!(lenient::<T>(pieces(bytes, sizes)), decoded);
    assert_eq!(lenient::<T>(pieces(bytes, &[1])), decoded);
    let again = stream(&decoded.items);
    assert_eq!(decode::<T>(whole(&again), Acceptance::Canonical).items, decoded.items);

    let format = decode::<T>(whole(bytes), Acceptance::Format);
    assert_eq!(decode::<T>(pieces(bytes, sizes), Acceptance::Format), format);
    assert_eq!(format.items[..], decoded.items[..format.items.len()]);
    let strict = decode::<T>(whole(bytes), Acceptance::Canonical);
    assert_eq!(strict.items[..], format.items[..strict.items.len()]);
    assert!(bytes.starts_with(&stream(&strict.items)));
    decoded
}

#[test]
fn every_single_flipped_bit_is_survived() {
    let frames = [
        Frame::exit(42, "gone"),
        Frame::data(3, Bytes::from_static(b"hello, world, and all the rest of it")),
        Frame::path_info(PathInfo { entries: Some(vec![entry(0), entry(1)]) }),
    ];
    let bytes = stream(&frames);
    for bit in (0..8 * bytes.len()).step_by(STRIDE) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        means_the_same::<Frame>(&flipped, &[3]);
    }
}

/// What cannot begin a frame is told alike whether its head comes whole or in pieces.
#[test]
fn a_head_that_breaks_two_rules_is_told_alike_however_it_arrives() {
    for bytes in
        [&b"\x5b\x80\0\0\0\0\0\0\0"[..], b"\x9b\xff\0\0\0\0\0\0\0", b"\xf8\x18", b"\x1c", b"\xff"]
    {
        means_the_same::<Frame>(bytes, &[2]);
    }
}

#[test]
fn the_quick_way_for_data_takes_what_the_general_way_takes() {
    let lengths = [0, 1, 22, 23, 24, 255, 256];
    let streams = [None, Some(0), Some(1), Some(23), Some(24), Some(255), Some(256)];
    let cases = lengths.into_iter().flat_map(|length| streams.map(|of| (length, of)));
    for (length, stream) in cases.step_by(1 + STRIDE / 8) {
        for (odd, width) in (0..=3).flat_map(|odd| (1..=4).map(move |width| (odd, width))) {
            let bytes = nearly_canonical_data(length, stream, odd, width);
            let expected = Frame::data(stream.unwrap_or(0) as u32, vec![0xa5; length]);
            let decoded = lenient::<Frame>(whole(&bytes));
            assert_eq!(decoded, Decoded { items: vec![expected], end: Ok(0) });
            assert_eq!(lenient::<Frame>(pieces(&bytes, &[3])), decoded);
            let strict = decode::<Frame>(whole(&bytes), Acceptance::Canonical);
            assert_eq!(strict.end.is_ok(), self::stream(&decoded.items) == bytes);
        }
    }
}

#[test]
fn rules_are_told_where_the_vectors_do_not_reach() {
    let stranger = |value: &[u8]| [b"\xa2at\x05czzz", value].concat();
    let list = |elements: usize| [b"\x9f", &vec![0xf6; elements][..], b"\xff"].concat();
    let map = |pairs: usize| [b"\xbf", &b"\x60\x00".repeat(pairs)[..], b"\xff"].concat();
    let mut config = Config::default();
    if cfg!(miri) {
        config.limits.elements = 300;
    }
    let most = config.limits.elements;
    for (bytes, expected) in [
        (b"\xa2at\x02ad\xc1\x41a".to_vec(), "tag"),
        (b"\xa2at\x02ad\xc0\x41a".to_vec(), "tag"),
        (b"\xa2at\x06ae\xc2\x61a".to_vec(), "tag"),
        (b"\xa2at\x06ae\xc1\xf9\x45\x00".to_vec(), "type"),
        (b"\xbfat\x05ac\xff".to_vec(), "malformed"),
        (stranger(b"\xbf\x61a\xff"), "malformed"),
        (stranger(b"\x9f\xc6\xff"), "malformed"),
        (stranger(b"\x7f\x7f\xff\xff"), "malformed"),
        (stranger(&list(most)), "none"),
        (stranger(&list(most + 1)), "limit"),
        (stranger(&map(most)), "none"),
        (stranger(&map(most + 1)), "limit"),
    ] {
        let mut decoder = Decoder::<Frame>::new(&config);
        decoder.push(Bytes::from(bytes.clone()));
        let seen = decoder.poll().map_or_else(|violation| violation.kind(), |_| "none");
        assert_eq!(seen, expected, "{:02x?}", &bytes[..bytes.len().min(20)]);
        if bytes.len() < 200 {
            means_the_same::<Frame>(&bytes, &[2]);
        }
    }
}

#[test]
fn a_frame_as_long_as_the_limit_is_taken_and_a_longer_one_refused_from_its_head() {
    for data in [0, 20, 30, 300] {
        for frame in [Frame::data(1, vec![7; data]), Frame::exit(1, "e".repeat(data))] {
            let bytes = frame.to_bytes().unwrap();
            let mut config = Config::default();
            config.limits.frame = bytes.len();
            let mut decoder = Decoder::new(&config);
            decoder.push(bytes.repeat(2).into());
            assert_eq!(decoder.poll().as_ref(), Ok(&Some(frame.clone())));
            assert_eq!(decoder.poll().as_ref(), Ok(&Some(frame.clone())));

            config.limits.frame -= 1;
            let mut decoder = Decoder::<Frame>::new(&config);
            decoder.push(bytes.into());
            assert_eq!(decoder.poll(), Err(Violation::FrameSize { limit: config.limits.frame }));
        }
    }
    let mut decoder = Decoder::<Frame>::new(&Config::default());
    decoder.push(Bytes::from_static(b"\xa2ad\x5a\x01\0\0\0"));
    assert_eq!(decoder.poll(), Err(Violation::FrameSize { limit: 16 << 20 }));
}

#[test]
fn payloads_are_never_copied() {
    let body = Bytes::from(vec![7; 5_000]);
    let frame = Frame::data(1, body.clone());
    assert_eq!(encode(&frame).unwrap().slices()[1].as_ptr(), body.as_ptr());
    assert_eq!(data_segment(1, body.clone()).slices()[1].as_ptr(), body.as_ptr());

    let request = FileRequest { data: body.into(), path: "p".into(), ..FileRequest::default() };
    for frame in [frame, Frame::file_request(request)] {
        let chunk = Bytes::from(frame.to_bytes().unwrap());
        for cut in [chunk.len(), 3_000] {
            let mut rest = chunk.clone();
            let decoded = lenient::<Frame>([rest.split_to(cut), rest]);
            let frame = &decoded.items[0];
            let data = frame.file_request.as_ref().map_or(&frame.data, |request| &request.data);
            assert!(data.pieces().all(|piece| chunk.as_ptr_range().contains(&piece.as_ptr())));
        }
    }
}

fn entry(number: u64) -> PathEntry {
    let name = format!("tool-{number}");
    PathEntry {
        mode: 0o755,
        path: format!("/usr/bin/{name}"),
        name,
        size: 4_096,
        mtime: number as i64,
    }
}

/// A mebibyte, or what takes as long under Miri.
const MEBIBYTE: usize = if cfg!(miri) { 1 << 12 } else { 1 << 20 };

/// Bytes that come one by one cost the same each, in time and in memory: a decoder that began anew
/// each time would take hours here, and one that kept every piece thirty times the frame.
fn drips(bytes: &[u8]) -> Frame {
    let begun = Instant::now();
    let drops = bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
    let (decoded, memory) = peak(|| lenient::<Frame>(drops));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(memory < 6 * bytes.len() + (16 << 10), "{memory} bytes for a frame of {}", bytes.len());
    assert_eq!((decoded.items.len(), decoded.end), (1, Ok(0)));
    decoded.items.into_iter().next().unwrap()
}

#[test]
fn a_claim_takes_no_memory() {
    for head in [
        &b"\xa2at\x02ad\x5a\x00\xf0\x00\x00"[..],
        b"\xa2at\x06ae\x7a\x00\xf0\x00\x00",
        b"\xa2at\x01ax\xa1dargv\x9a\x00\x02\x00\x00",
        b"\xa2at\x05czzz\xba\x00\x02\x00\x00",
    ] {
        let (decoded, memory) = peak(|| lenient::<Frame>(whole(head)));
        assert_eq!(decoded, Decoded { items: vec![], end: Ok(head.len()) });
        assert!(memory < 4_096, "{memory} bytes for {head:02x?}");
    }
}

#[test]
fn a_payload_that_drips_in_is_kept_in_few_pieces() {
    let data = Frame::data(1, vec![7; MEBIBYTE]);
    let seen = drips(&data.to_bytes().unwrap());
    assert!(
        seen.data.pieces().count() <= MEBIBYTE / 1_024,
        "{} pieces",
        seen.data.pieces().count()
    );
    assert!(seen == data);
}

#[test]
fn a_long_list_that_drips_in_is_read() {
    let info = PathInfo { entries: Some((0..MEBIBYTE as u64 / 60).map(entry).collect()) };
    let bytes = Frame::path_info(info.clone()).to_bytes().unwrap();
    assert!(bytes.len() > MEBIBYTE / 2, "{}", bytes.len());
    assert!(drips(&bytes) == Frame::path_info(info));
}

#[test]
fn a_stranger_that_drips_in_is_passed_over() {
    // {"t": 5, "new": [_ [[], [], ..], [[], [], ..], ..]} with four lists of 131,072 elements.
    let count = MEBIBYTE / 8;
    let list = [&b"\x9a"[..], &(count as u32).to_be_bytes(), &vec![0x80; count]].concat();
    let bytes = [b"\xa2at\x05cnew\x9f", &list.repeat(4)[..], b"\xff"].concat();
    assert!(drips(&bytes) == Frame::exit(0, ""));
}

#[test]
fn a_payload_in_tiny_chunks_costs_its_bytes_and_is_charged_for_them() {
    // {"t": 2, "d": (_ h'61', h'61', ..)}: each chunk would cost more memory than it brings.
    let count = MEBIBYTE / 4;
    let bytes = [b"\xa2at\x02ad\x5f", &b"\x41a".repeat(count)[..], b"\xff"].concat();
    let (decoded, memory) = peak(|| lenient::<Frame>(whole(&bytes)));
    assert!(decoded.items == [Frame::data(0, vec![b'a'; count])]);
    assert!(memory < 4 * bytes.len(), "{memory} bytes for a frame of {}", bytes.len());

    let mut config = Config::default();
    config.limits.frame_memory = count - 1;
    let mut decoder = Decoder::<Frame>::new(&config);
    decoder.push(bytes.into());
    assert_eq!(decoder.poll(), Err(Violation::FrameMemory { limit: count - 1 }));
}

#[test]
fn large_chunks_of_a_payload_are_not_copied_among_small_ones() {
    let large = [&b"\x59\x02\x00"[..], &[7; 512]].concat();
    let bytes = [&b"\xa2at\x02ad\x5f\x41a\x40\x42bc"[..], &large, b"\x41d\xff"].concat();
    let chunk = Bytes::from(bytes);
    let mut decoder = Decoder::<Frame>::new(&Config::default());
    decoder.push(chunk.clone());
    let data = decoder.poll().unwrap().unwrap().data;
    let pieces: Vec<&Bytes> = data.pieces().collect();
    assert_eq!((&pieces[0][..], pieces[1].len(), &pieces[2][..]), (&b"abc"[..], 512, &b"d"[..]));
    assert!(chunk.as_ptr_range().contains(&pieces[1].as_ptr()));
}
