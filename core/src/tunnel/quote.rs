//! JSON strings as Go's `encoding/json` writes them: `docs/protocols/agent-tunnel.md` section 5.

use alloc::vec::Vec;

use super::class::{Class, class};

/// First bytes of characters that may be written otherwise than they are; 0xe2 begins the two
/// separators, and others.
static CHANGES: Class = class!(0..0x20 | b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);

/// Appends the JSON string that stands for any bytes, byte by byte as the original's encoder makes
/// it.
///
/// `"` and `\` get a backslash; U+0008, tab, line feed, U+000C and carriage return their short
/// forms; other control characters, `<`, `>`, `&`, U+2028 and U+2029 a `\u` with lower-case digits.
/// Each byte that is no UTF-8 becomes `\ufffd`. All else stands as it is.
pub fn quote(bytes: &[u8], to: &mut Vec<u8>) {
    to.reserve(bytes.len() + 2);
    to.push(b'"');
    if bytes.is_ascii() {
        push_ascii(bytes, to);
    } else {
        for chunk in bytes.utf8_chunks() {
            push_text(chunk.valid(), to);
            for _ in chunk.invalid() {
                to.extend_from_slice(b"\\ufffd");
            }
        }
    }
    to.push(b'"');
}

/// As [`quote`], for bytes that each stand for the character of their number (Latin-1).
pub(super) fn quote_latin1(bytes: &[u8], to: &mut Vec<u8>) {
    to.push(b'"');
    if bytes.is_ascii() {
        push_ascii(bytes, to);
    } else {
        bytes.iter().for_each(|byte| push(char::from(*byte), to));
    }
    to.push(b'"');
}

/// As [`push_text`], where each byte is a character.
fn push_ascii(mut bytes: &[u8], to: &mut Vec<u8>) {
    while let Some(at) = bytes.iter().position(|byte| CHANGES.has(*byte)) {
        let (plain, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
        to.extend_from_slice(plain);
        let Some((first, rest)) = rest.split_first() else { return };
        push(char::from(*first), to);
        bytes = rest;
    }
    to.extend_from_slice(bytes);
}

/// Appends text by runs of what stands as it is.
fn push_text(mut text: &str, to: &mut Vec<u8>) {
    while let Some(at) = text.bytes().position(|byte| CHANGES.has(byte)) {
        let (plain, rest) = text.split_at_checked(at).unwrap_or((text, ""));
        to.extend_from_slice(plain.as_bytes());
        let mut chars = rest.chars();
        if let Some(char) = chars.next() {
            push(char, to);
        }
        text = chars.as_str();
    }
    to.extend_from_slice(text.as_bytes());
}

fn push(char: char, to: &mut Vec<u8>) {
    match char {
        '"' => to.extend_from_slice(b"\\\""),
        '\\' => to.extend_from_slice(b"\\\\"),
        '\u{8}' => to.extend_from_slice(b"\\b"),
        '\t' => to.extend_from_slice(b"\\t"),
        '\n' => to.extend_from_slice(b"\\n"),
        '\u{c}' => to.extend_from_slice(b"\\f"),
        '\r' => to.extend_from_slice(b"\\r"),
        '\0'..'\u{20}' | '<' | '>' | '&' => {
            let byte = char as u8;
            to.extend_from_slice(b"\\u00");
            to.extend([byte >> 4, byte & 15].map(|digit| match digit {
                0..10 => b'0' + digit,
                _ => b'a' + digit - 10,
            }));
        }
        '\u{2028}' => to.extend_from_slice(b"\\u2028"),
        '\u{2029}' => to.extend_from_slice(b"\\u2029"),
        _ => to.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Appends a whole number.
pub(super) fn number(value: impl core::fmt::Display, to: &mut Vec<u8>) {
    to.extend_from_slice(alloc::format!("{value}").as_bytes());
}
