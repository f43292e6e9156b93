//! DATA frames read in place: `docs/protocols/agentproto.md` sections 2 and 4.

/// A DATA frame that was read where it lies: nothing of it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataView<'a> {
    /// The stream.
    pub stream: u32,
    /// The payload; never empty.
    pub payload: &'a [u8],
    /// How many bytes the whole frame takes.
    pub length: usize,
}

impl<'a> DataView<'a> {
    /// The canonical DATA frame that lies whole at the front of `bytes`, if one does.
    ///
    /// A dozen comparisons, whatever the payload's size. `None` says nothing about the bytes: they
    /// may be another frame, another encoding of this one, or a part of it. A
    /// [`Decoder`](super::Decoder) tells.
    #[must_use]
    pub fn at_front(bytes: &'a [u8]) -> Option<Self> {
        let (with_stream, rest) = match bytes {
            [0xa2, 0x61, b'd', rest @ ..] => (false, rest),
            [0xa3, 0x61, b'd', rest @ ..] => (true, rest),
            _ => return None,
        };
        let (length, rest) = match rest {
            [0x59, a, b, rest @ ..] if *a > 0 => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            [0x58, a, rest @ ..] if *a > 23 => (usize::from(*a), rest),
            [0x5a, a, b, c, d, rest @ ..] if *a > 0 || *b > 0 => {
                (usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?, rest)
            }
            [a @ 0x41..=0x57, rest @ ..] => (usize::from(a & 31), rest),
            _ => return None,
        };
        let (payload, rest) = rest.split_at_checked(length)?;
        let (stream, rest) = match (with_stream, rest) {
            (false, rest) => (0, rest),
            (true, [0x61, b's', stream @ 1..=23, rest @ ..]) => (u32::from(*stream), rest),
            (true, [0x61, b's', 0x18, stream, rest @ ..]) if *stream > 23 => {
                (u32::from(*stream), rest)
            }
            _ => return None,
        };
        let [0x61, b't', 2, rest @ ..] = rest else { return None };
        Some(Self { stream, payload, length: bytes.len() - rest.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_frame_is_read_where_it_lies() {
        let bytes = b"\xa3\x61d\x42hi\x61s\x01\x61t\x02and more";
        let view = DataView::at_front(bytes).unwrap();
        assert_eq!(view, DataView { stream: 1, payload: b"hi", length: 12 });
        assert!(core::ptr::eq(view.payload.as_ptr(), &raw const bytes[4]));
    }

    #[test]
    fn what_is_not_whole_or_not_canonical_is_left_to_the_decoder() {
        let whole = b"\xa2\x61d\x42hi\x61t\x02";
        assert!((0..whole.len()).all(|cut| DataView::at_front(&whole[..cut]).is_none()));
        for other in [
            &b"\xa2\x61d\x58\x02hi\x61t\x02"[..],
            b"\xa2\x61d\x40\x61t\x02",
            b"\xa3\x61d\x42hi\x61s\x00\x61t\x02",
            b"\xa2\x61t\x02\x61d\x42hi",
            b"\xa1\x61t\x03",
        ] {
            assert_eq!(DataView::at_front(other), None);
        }
    }
}
