//! The same frame through other people's codecs.

use serde::{Deserialize, Serialize};

/// A DATA frame as a user of serde would write it down.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SerdeFrame {
    #[serde(with = "serde_bytes")]
    pub(crate) d: Vec<u8>,
    pub(crate) s: u32,
    pub(crate) t: u8,
}

/// The payload's length after decoding with ciborium, which owns what it decodes.
pub(crate) fn ciborium_decode(bytes: &[u8]) -> usize {
    let frame: SerdeFrame = ciborium::from_reader(bytes).expect("a frame");
    assert!(frame.s == 1 && frame.t == 2);
    frame.d.len()
}

/// Encodes with ciborium into a buffer that is used again.
pub(crate) fn ciborium_encode(frame: &SerdeFrame, into: &mut Vec<u8>) {
    into.clear();
    ciborium::into_writer(frame, into).expect("a vector takes everything");
}

/// The payload after decoding with minicbor: keys in any order, the payload borrowed.
pub(crate) fn minicbor_decode(bytes: &[u8]) -> (u32, u8, &[u8]) {
    fn decode(bytes: &[u8]) -> Result<(u32, u8, &[u8]), minicbor::decode::Error> {
        let mut decoder = minicbor::Decoder::new(bytes);
        let (mut stream, mut kind, mut payload) = (0, 0, &[][..]);
        for _ in 0..decoder.map()?.unwrap_or_default() {
            match decoder.str()? {
                "d" => payload = decoder.bytes()?,
                "s" => stream = decoder.u32()?,
                "t" => kind = decoder.u8()?,
                _ => decoder.skip()?,
            }
        }
        Ok((stream, kind, payload))
    }
    decode(bytes).expect("a frame")
}

/// Encodes with minicbor into a buffer that is used again.
pub(crate) fn minicbor_encode(stream: u32, payload: &[u8], into: &mut Vec<u8>) {
    fn encode(
        stream: u32,
        payload: &[u8],
        into: &mut Vec<u8>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        let mut encoder = minicbor::Encoder::new(into);
        encoder.map(3)?.str("d")?.bytes(payload)?;
        encoder.str("s")?.u32(stream)?.str("t")?.u8(2)?;
        Ok(())
    }
    into.clear();
    encode(stream, payload, into).expect("a vector takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use trunkline_core::agentproto::data_segment;

    #[test]
    fn all_codecs_write_the_same_bytes() {
        let payload = [7; 100];
        let ours = data_segment(1, Bytes::copy_from_slice(&payload)).into_bytes();
        let mut buffer = Vec::new();
        minicbor_encode(1, &payload, &mut buffer);
        assert_eq!(buffer, ours);
        ciborium_encode(&SerdeFrame { d: payload.to_vec(), s: 1, t: 2 }, &mut buffer);
        assert_eq!(buffer, ours);
    }

    #[test]
    fn all_codecs_read_the_same_frame() {
        let bytes = data_segment(1, Bytes::from_static(&[7; 100])).into_bytes();
        assert_eq!(minicbor_decode(&bytes), (1, 2, &[7; 100][..]));
        assert_eq!(ciborium_decode(&bytes), 100);
    }
}
