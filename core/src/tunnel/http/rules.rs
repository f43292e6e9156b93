//! What may stand in a head: `docs/protocols/agent-tunnel.md` sections 6, 10 and 11.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Fault, Misuse};
use crate::tunnel::MAX_HEADERS;
use crate::tunnel::class::{Class, class};

/// What a token is made of.
static TOKEN: Class = class!(
    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*'
    | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
);

/// What the value of a header is made of.
static VALUE: Class = class!(b'\t' | 0x20..=0x7e | 0x80..);

type List = [(String, Bytes)];

/// Headers that belong to one connection and not to the message.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Removes the headers that belong to one connection: the known ones, and those that `Connection`
/// names.
///
/// With `upgrade`, `Upgrade` stays where `Connection` names it, and a `Connection: Upgrade` alone is
/// put behind it.
pub fn filter_hop_by_hop(headers: &mut Vec<(String, Bytes)>, upgrade: bool) {
    let keeps = upgrade && asks_upgrade(headers);
    let named: Vec<String> =
        tokens(headers, "connection").map(|token| lossy(token).to_ascii_lowercase()).collect();
    headers.retain(|(name, _)| {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if keeps && is("upgrade") {
            return true;
        }
        !HOP_BY_HOP.iter().any(|hop| is(hop)) && !named.iter().any(|hop| is(hop))
    });
    if keeps {
        headers.push(("Connection".into(), Bytes::from_static(b"Upgrade")));
    }
}

/// Whether there is an `Upgrade` that `Connection` names.
pub(super) fn asks_upgrade(headers: &List) -> bool {
    values(headers, "upgrade").next().is_some()
        && tokens(headers, "connection").any(|token| token.eq_ignore_ascii_case(b"upgrade"))
}

pub(super) fn values<'a>(headers: &'a List, wanted: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.as_ref())
}

fn tokens<'a>(headers: &'a List, wanted: &'a str) -> impl Iterator<Item = &'a [u8]> {
    values(headers, wanted)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| TOKEN.has(byte))
}

fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| VALUE.has(*byte))
}

/// Whether a path can stand in a request line as it is; `*` can, for OPTIONS.
pub(super) fn is_path(method: &str, path: &str) -> bool {
    let clean = path.bytes().all(|byte| byte > 0x20 && byte != 0x7f && byte != b'#');
    let local = path.starts_with('/') && !path.starts_with("//");
    clean && (local || (path == "*" && method == "OPTIONS"))
}

/// Whether a text that does not begin with `/` begins with a scheme.
pub(super) fn has_scheme(path: &str) -> bool {
    let scheme = path.split([':', '/', '?', '#']).next().unwrap_or_default();
    path.get(scheme.len()..).is_some_and(|rest| rest.starts_with(':'))
}

/// The headers of the peer.
pub(super) fn judge_headers(headers: &List) -> Result<(), Fault> {
    if headers.iter().any(|(name, _)| !is_token(name)) {
        return Err(Fault::HeaderName);
    }
    if headers.iter().any(|(_, value)| !is_value(value)) {
        return Err(Fault::HeaderValue);
    }
    let (mut lengths, mut encodings) =
        (values(headers, "content-length"), values(headers, "transfer-encoding"));
    if lengths.next().is_some() && encodings.next().is_some() {
        return Err(Fault::BothLengths);
    }
    Ok(())
}

/// The headers of this side.
pub(super) fn check_headers(headers: &List) -> Result<(), Misuse> {
    if headers.len() > MAX_HEADERS {
        return Err(Misuse::TooManyHeaders);
    }
    for (name, value) in headers {
        if !is_token(name) {
            return Err(Misuse::HeaderName(name.clone()));
        }
        if !is_value(value) {
            return Err(Misuse::HeaderValue(name.clone()));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Misuse::TransferEncoding);
        }
    }
    Ok(())
}

/// What `Content-Length` says, where there is one; several that say the same are one.
pub(super) fn content_length(headers: &List) -> Result<Option<u64>, Fault> {
    let mut found = None;
    for value in values(headers, "content-length") {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = core::str::from_utf8(value).ok().filter(|_| digits);
        let len = text.and_then(|text| text.parse().ok()).ok_or(Fault::ContentLength)?;
        if found.replace(len).is_some_and(|before| before != len) {
            return Err(Fault::ContentLength);
        }
    }
    Ok(found)
}

/// A name in the original's spelling: `content-type` is `Content-Type`.
pub(super) fn canonical(name: &str) -> String {
    let mut upper = true;
    let spell = |char: char| {
        let spelt = if upper { char.to_ascii_uppercase() } else { char.to_ascii_lowercase() };
        upper = char == '-';
        spelt
    };
    name.chars().map(spell).collect()
}
