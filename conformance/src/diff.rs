//! Where two values differ first, in a few words.

use std::ops::Range;

use serde_json::Value;

use crate::notation::hex;

/// The longest stretch of a value that is shown.
const SHOWN: usize = 60;

/// Where `seen` differs from `expected` first; `None` when they are equal.
#[must_use]
pub fn json(expected: &Value, seen: &Value) -> Option<String> {
    inside(expected, seen, "")
}

/// Where `seen` differs from `expected` first; `None` when they are equal.
#[must_use]
pub fn bytes(expected: &[u8], seen: &[u8]) -> Option<String> {
    if expected == seen {
        return None;
    }
    let at = expected.iter().zip(seen).take_while(|(expected, seen)| expected == seen).count();
    let around = |bytes: &[u8]| {
        let Range { start, end } = window(at, bytes.len(), SHOWN / 4);
        let cut = bytes.get(start..end).map(hex).unwrap_or_default();
        format!(
            "{}{cut}{}",
            if start > 0 { ".." } else { "" },
            if end < bytes.len() { ".." } else { "" }
        )
    };
    let (seen, all) = (around(seen), seen.len());
    Some(format!(
        "byte {at}: expected {} of {}, seen {seen} of {all}",
        around(expected),
        expected.len()
    ))
}

fn inside(expected: &Value, seen: &Value, path: &str) -> Option<String> {
    match (expected, seen) {
        _ if expected == seen => None,
        (Value::Object(expected), Value::Object(seen)) => {
            let below =
                |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            for (key, value) in expected {
                match seen.get(key) {
                    Some(other) => {
                        if let Some(found) = inside(value, other, &below(key)) {
                            return Some(found);
                        }
                    }
                    None => return Some(told(&below(key), &show(value), "nothing")),
                }
            }
            let extra = seen.iter().find(|(key, _)| !expected.contains_key(*key));
            extra.map(|(key, value)| told(&below(key), "nothing", &show(value)))
        }
        (Value::Array(expected), Value::Array(seen)) if expected.len() == seen.len() => {
            let pairs = expected.iter().zip(seen).enumerate();
            pairs
                .into_iter()
                .find_map(|(at, (expected, seen))| inside(expected, seen, &format!("{path}[{at}]")))
        }
        (Value::Array(expected), Value::Array(seen)) => {
            Some(told(path, &format!("{} elements", expected.len()), &seen.len().to_string()))
        }
        (Value::String(expected), Value::String(seen)) => Some(strings(expected, seen, path)),
        _ => Some(told(path, &show(expected), &show(seen))),
    }
}

fn strings(expected: &str, seen: &str, path: &str) -> String {
    let same =
        expected.chars().zip(seen.chars()).take_while(|(expected, seen)| expected == seen).count();
    let around = |text: &str| {
        let length = text.chars().count();
        let Range { start, end } = window(same, length, SHOWN / 2);
        let cut: String = text.chars().skip(start).take(end - start).collect();
        format!(
            "{}{cut:?}{}",
            if start > 0 { ".." } else { "" },
            if end < length { ".." } else { "" }
        )
    };
    told(path, &around(expected), &around(seen))
}

fn told(path: &str, expected: &str, seen: &str) -> String {
    let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
    format!("{place}expected {expected}, seen {seen}")
}

/// The stretch of `reach` on either side of `at`, within `length`.
fn window(at: usize, length: usize, reach: usize) -> Range<usize> {
    at.saturating_sub(reach).min(length)..at.saturating_add(reach).min(length)
}

/// A value on one line, cut when long.
#[must_use]
pub fn show(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(2 * SHOWN) {
        Some((cut, _)) => format!("{}..", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_difference_is_told_by_its_path() {
        let expected = json!({"t": 1, "x": {"env": null, "argv": ["a", "b"]}});
        for (seen, told) in [
            (
                json!({"t": 1, "x": {"env": [], "argv": ["a", "b"]}}),
                "x.env: expected null, seen []",
            ),
            (
                json!({"t": 1, "x": {"env": null, "argv": ["a", "c"]}}),
                "x.argv[1]: expected \"b\", seen \"c\"",
            ),
            (
                json!({"t": 1, "x": {"env": null, "argv": ["a"]}}),
                "x.argv: expected 2 elements, seen 1",
            ),
            (json!({"t": 1, "x": {"argv": ["a", "b"]}}), "x.env: expected null, seen nothing"),
            (
                json!({"t": 1, "e": "", "x": {"env": null, "argv": ["a", "b"]}}),
                "e: expected nothing, seen \"\"",
            ),
            (json!([]), "expected {\"t\":1,\"x\":{\"argv\":[\"a\",\"b\"],\"env\":null}}, seen []"),
        ] {
            assert_eq!(json(&expected, &seen).as_deref(), Some(told));
        }
        assert_eq!(json(&expected, &expected), None);
    }

    #[test]
    fn long_values_are_cut_around_the_difference() {
        let (a, b) = ("é".repeat(500), format!("{}x", "é".repeat(499)));
        let found = json(&json!({ "e": a }), &json!({ "e": b })).unwrap();
        assert!(found.len() < 400 && found.contains("x\""), "{found}");

        let mut changed = vec![7; 100_000];
        changed[50_000] = 8;
        let found = bytes(&vec![7; 100_000], &changed).unwrap();
        assert!(found.starts_with("byte 50000: expected ..07") && found.len() < 200, "{found}");
        assert_eq!(bytes(b"ab", b"ab"), None);
        assert_eq!(bytes(b"ab", b"a").unwrap(), "byte 1: expected 6162 of 2, seen 61 of 1");
    }
}
