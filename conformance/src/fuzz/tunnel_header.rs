//! Any bytes, given to the decoder of stream headers.

use bytes::Bytes;
use trunkline_core::tunnel::{Header, HeaderDecoder, HeaderError, MAX_METADATA, encode_header};

/// What any bytes at all must not do to the decoder of a stream's header.
///
/// The first byte chooses nothing, the second the cuts; the rest arrives. However it is cut, the
/// same header or error comes out, behind the same bytes, and a header is written as it came.
///
/// # Panics
///
/// When one of these is broken.
pub fn tunnel_header(input: &[u8]) {
    let [_, cut, bytes @ ..] = input else { return };
    let (whole, left) = decode(bytes, bytes.len());
    for size in [usize::from(*cut) + 1, 1] {
        assert_eq!(decode(bytes, size), (whole.clone(), left), "in pieces of {size}");
    }
    let taken = bytes.len() - left;
    match whole {
        Ok(header) => {
            let written = encode_header(header.kind, &header.metadata);
            assert_eq!(written.as_deref().ok(), bytes.get(..taken), "written otherwise");
        }
        Err(HeaderError::TooLarge(length)) => assert!(length > MAX_METADATA && taken == 5),
        Err(HeaderError::NoHeader) => assert!(bytes.is_empty()),
        Err(HeaderError::TornHeader) => assert!((1..5).contains(&bytes.len())),
        Err(HeaderError::NoMetadata) => assert_eq!(bytes.len(), 5),
        Err(_) => assert!(bytes.len() > 5 && left == 0),
    }
}

/// The header, or what the end of the stream means; and how many bytes were not taken.
fn decode(bytes: &[u8], size: usize) -> (Result<Header, HeaderError>, usize) {
    let mut decoder = HeaderDecoder::new();
    let mut passed = 0;
    for piece in bytes.chunks(size.max(1)) {
        let mut left = Bytes::copy_from_slice(piece);
        passed += piece.len();
        match decoder.feed(&mut left) {
            Ok(None) => assert!(left.is_empty(), "it waits, and takes nothing"),
            Ok(Some(header)) => return (Ok(header), bytes.len() - passed + left.len()),
            Err(why) => return (Err(why), bytes.len() - passed + left.len()),
        }
    }
    (Err(decoder.end()), 0)
}
