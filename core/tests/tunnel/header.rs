//! Stream headers: `docs/protocols/agent-tunnel.md` section 4.

use bytes::Bytes;
use trunkline_core::tunnel::{
    Header, HeaderDecoder, HeaderError, MAX_METADATA, StreamType, encode_header,
};

fn fed(bytes: &[u8]) -> HeaderDecoder {
    let mut decoder = HeaderDecoder::new();
    assert_eq!(decoder.feed(&mut Bytes::copy_from_slice(bytes)), Ok(None));
    decoder
}

#[test]
fn a_header_is_read_from_pieces_of_any_size_and_nothing_behind_it_is_taken() {
    let whole = encode_header(StreamType(77), b"some metadata").unwrap();
    assert_eq!(&whole[..5], [77, 0, 0, 0, 13]);
    let stream = [&whole[..], b"body"].concat();
    for size in 1..=stream.len() {
        let mut decoder = HeaderDecoder::new();
        let (mut header, mut rest) = (None, Vec::new());
        for piece in stream.chunks(size) {
            let mut piece = Bytes::copy_from_slice(piece);
            if header.is_none() {
                header = decoder.feed(&mut piece).unwrap();
            }
            rest.extend_from_slice(&piece);
        }
        let expected =
            Header { kind: StreamType(77), metadata: Bytes::from_static(b"some metadata") };
        assert_eq!(header, Some(expected), "pieces of {size}");
        assert_eq!(rest, b"body", "pieces of {size}");
    }
}

#[test]
fn metadata_that_came_whole_is_not_copied() {
    let whole = encode_header(StreamType::HTTP, b"metadata").unwrap();
    let header = HeaderDecoder::new().feed(&mut whole.clone()).unwrap().unwrap();
    assert_eq!(header.metadata.as_ptr(), whole[5..].as_ptr());
}

#[test]
fn a_header_without_metadata_is_whole_after_five_bytes() {
    let mut bytes = encode_header(StreamType::CONTROL, b"").unwrap();
    let header = HeaderDecoder::new().feed(&mut bytes).unwrap().unwrap();
    assert_eq!((header.kind, header.metadata.len()), (StreamType(3), 0));
}

#[test]
fn an_end_within_a_header_says_what_is_missing_in_the_words_of_the_original() {
    for (bytes, error, text) in [
        (&b""[..], HeaderError::NoHeader, "read stream header: EOF"),
        (b"\x01", HeaderError::TornHeader, "read stream header: unexpected EOF"),
        (b"\x01\0\0\0", HeaderError::TornHeader, "read stream header: unexpected EOF"),
        (b"\x01\0\0\0\x0a", HeaderError::NoMetadata, "read stream metadata: EOF"),
        (b"\x01\0\0\0\x0a1", HeaderError::TornMetadata, "read stream metadata: unexpected EOF"),
    ] {
        assert_eq!(fed(bytes).end(), error);
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn metadata_above_the_limit_is_refused_on_five_bytes_and_never_written() {
    for len in [MAX_METADATA as u32 + 1, u32::MAX] {
        let mut bytes = Bytes::from([&[1][..], &len.to_be_bytes()].concat());
        let error = HeaderDecoder::new().feed(&mut bytes).unwrap_err();
        assert_eq!(error, HeaderError::TooLarge(len as usize));
        assert_eq!(error.to_string(), format!("stream metadata too large: {len} bytes"));
    }
    let most = vec![b' '; MAX_METADATA];
    let mut bytes = encode_header(StreamType::HTTP, &most).unwrap();
    let header = HeaderDecoder::new().feed(&mut bytes).unwrap().unwrap();
    assert_eq!(header.metadata.len(), MAX_METADATA);
    let more = vec![b' '; MAX_METADATA + 1];
    let refused = encode_header(StreamType::HTTP, &more).unwrap_err();
    assert_eq!(refused, HeaderError::TooLarge(MAX_METADATA + 1));
}
