//! Files in pieces, many of which are under way at once.

/// How much of a file is read at once. As many as are under way stay below 8 MiB.
pub(crate) const PIECE: usize = 128 << 10;

/// Where the pieces of a file of this size begin: one more than it has if its last one is full, for
/// what may have been added since.
pub(crate) fn pieces(size: i64) -> impl Iterator<Item = u64> {
    let piece = PIECE as u64;
    (0..=u64::try_from(size).unwrap_or(0) / piece).map(move |number| number * piece)
}
