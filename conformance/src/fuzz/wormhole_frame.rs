//! Any bytes, given to the decoder of wormhole's frames.

use bytes::Bytes;
use trunkline_core::wormhole::{Decoder, Frame, MAX_PAYLOAD, Violation};

/// What any bytes at all must not do to the decoder of wormhole's frames.
///
/// The first byte chooses the limit, the second the cuts; the rest arrives. However it is cut, the
/// same frames and the same error come out, at the same place; what came out is written as it came,
/// and is the same through JSON.
pub fn wormhole_frame(input: &[u8]) {
    let [how, cut, bytes @ ..] = input else { return };
    let limit = match how % 4 {
        0 => MAX_PAYLOAD,
        1 => 32_768,
        2 => usize::from(*cut),
        _ => 0,
    };
    let whole = decode(&[bytes], limit);
    let at = usize::from(*cut) * bytes.len() / 256;
    let (one, two) = bytes.split_at(at.min(bytes.len()));
    assert_eq!(decode(&[one, two], limit), whole);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(&single, limit), whole);
    let (frames, error, position) = whole;
    let mut written = Vec::new();
    for frame in &frames {
        assert!(frame.length() <= limit);
        written.extend_from_slice(&encoded(frame));
        let json = serde_json::to_value(frame).map_err(drop);
        let again = json.and_then(|json| serde_json::from_value::<Frame>(json).map_err(drop));
        assert_eq!(again.as_ref(), Ok(frame));
        // Accessors refuse, and never panic.
        let _ = (frame.increment(), frame.ping_id(), frame.pong_id(), frame.remote_error());
    }
    assert_eq!(bytes.get(..written.len()), Some(&*written));
    assert_eq!(position, written.len() as u64);
    if error.is_none() {
        let left = bytes.len() - written.len();
        assert!(left < 10 + limit, "a whole frame was not taken");
    }
}

type Decoded = (Vec<Frame>, Option<Violation>, u64);

fn decode(pieces: &[&[u8]], limit: usize) -> Decoded {
    let mut decoder = Decoder::new(limit);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.poll() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(violation) => return (frames, Some(violation), decoder.position()),
            }
        }
    }
    (frames, None, decoder.position())
}

fn encoded(frame: &Frame) -> Bytes {
    frame.encode().map_or_else(|_| Bytes::new(), trunkline_core::Segment::into_bytes)
}
