//! The heads of requests and responses, as both dialects carry them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::rules;
use crate::tunnel::Headers;

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLen {
    /// There is none.
    None,
    /// So many bytes.
    Exact(u64),
    /// As long as it turns out to be, up to the end of the direction. Our own dialect only; also
    /// what an upgrade needs, whose bytes follow the answer 101.
    Unknown,
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method, a token.
    pub method: String,
    /// Path and query, from the first `/` on.
    pub path: String,
    /// Names and values in their order. The original's dialect carries the first value of a name.
    pub headers: Vec<(String, Bytes)>,
    /// The body that follows.
    pub body: BodyLen,
}

impl Head {
    /// Whether it asks for an upgrade: by `Upgrade`, by `Connection`, and with a body of unknown
    /// length, which is what becomes of the stream behind a 101.
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.body == BodyLen::Unknown && rules::asks_upgrade(&self.headers)
    }
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status, 200 to 999, or 101.
    pub status: u16,
    /// Names and values in their order. The original's dialect carries the first value of a name.
    pub headers: Vec<(String, Bytes)>,
}

/// Headers as the original sends them: its spelling of names, the first value of each, in order.
pub(super) fn first_values(headers: &[(String, Bytes)]) -> BTreeMap<String, &[u8]> {
    let mut map = BTreeMap::new();
    for (name, value) in headers {
        map.entry(rules::canonical(name)).or_insert(value.as_ref());
    }
    map
}

/// Headers as the original sent them, as a list.
pub(super) fn listed(headers: Headers) -> Vec<(String, Bytes)> {
    let map = headers.0.unwrap_or_default();
    map.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect()
}
