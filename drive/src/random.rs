//! Randomness for machines, which have none of their own.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A number that no peer can foresee, another one with every call: the standard library's keys for
/// its hash maps, which come from the operating system, hashed.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
