//! What a peer may still send for streams that are gone: `docs/protocols/wormhole.md` section 10.2.
//!
//! Nobody hears at once that a stream is over, so frames for gone streams are normal, up to what the
//! peer can have had under way. That much costs it nothing; only what goes beyond counts as useless.

/// Other frames than DATA that may come late for each stream: its CLOSE, and grants for what the peer
/// read meanwhile. An original grants half a window at a time, so few are under way.
const FRAMES: u64 = 8;

/// What may come late, over all streams.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Bytes of DATA: credit that was left when a stream ended.
    bytes: u64,
    /// Other frames.
    frames: u64,
}

impl Late {
    /// A stream ended on which the peer had `credit` bytes of credit left.
    pub(super) fn ended(&mut self, credit: u64) {
        self.bytes = self.bytes.saturating_add(credit);
        self.frames = self.frames.saturating_add(FRAMES);
    }

    /// Late DATA of `len` bytes came: whether it was to be expected.
    pub(super) fn data(&mut self, len: u64) -> bool {
        let expected = len > 0 && len <= self.bytes;
        if expected {
            self.bytes = self.bytes.saturating_sub(len);
        }
        expected
    }

    /// Another late frame came: whether it was to be expected.
    pub(super) fn frame(&mut self) -> bool {
        let expected = self.frames > 0;
        self.frames = self.frames.saturating_sub(1);
        expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_expected_than_was_under_way() {
        let mut late = Late::default();
        assert!(!late.data(1) && !late.frame());
        late.ended(10);
        assert!(late.data(4) && late.data(6) && !late.data(1) && !late.data(0));
        assert!((0..FRAMES).all(|_| late.frame()) && !late.frame());
    }
}
