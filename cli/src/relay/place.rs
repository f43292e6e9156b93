//! A place as text: the store keeps it, other relays read it.

use trunkline_tokio::tunnel::{Dialect, Place};

/// Longest value that is read.
const LONGEST: usize = 4096;

/// The number of a tunnel as the store compares it: sixteen digits.
pub(super) fn epoch_text(epoch: u64) -> String {
    format!("{epoch:016x}")
}

/// The number, and a line for each of the rest.
pub(super) fn encode(place: &Place) -> String {
    let Place { epoch, relay, url, dialect, since_ms } = place;
    let dialect = if *dialect == Dialect::Own { "own" } else { "original" };
    format!("{}\n{dialect}\n{since_ms}\n{}\n{}", epoch_text(*epoch), line(relay), line(url))
}

/// What was encoded, by this relay or by a later one that says more.
pub(super) fn decode(value: &[u8]) -> Option<Place> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= LONGEST)?;
    let mut lines = text.split('\n');
    let epoch = lines.next().filter(|digits| digits.len() == 16)?;
    let epoch = u64::from_str_radix(epoch, 16).ok()?;
    let dialect = match lines.next()? {
        "own" => Dialect::Own,
        "original" => Dialect::Original,
        _ => return None,
    };
    let since_ms = lines.next()?.parse().ok()?;
    let (relay, url) = (lines.next()?.to_owned(), lines.next()?.to_owned());
    Some(Place { epoch, relay, url, dialect, since_ms })
}

fn line(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(1000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for dialect in [Dialect::Own, Dialect::Original] {
            let place = Place {
                epoch: 0xab,
                relay: "north".to_owned(),
                url: "http://10.0.0.1:8080".to_owned(),
                dialect,
                since_ms: 1_732_000_000_000,
            };
            let text = encode(&place);
            assert!(text.starts_with("00000000000000ab\n"));
            assert_eq!(decode(text.as_bytes()), Some(place.clone()));
            // And by those before a change that adds to it.
            assert_eq!(decode(format!("{text}\nmore").as_bytes()), Some(place));
        }
    }

    #[test]
    fn what_others_wrote_there_is_no_place() {
        let fits = "00000000000000ab\nown\n1\na\nb";
        assert!(decode(fits.as_bytes()).is_some());
        for wrong in [
            "",
            "ab\nown\n1\na\nb",
            "00000000000000zz\nown\n1\na\nb",
            "00000000000000ab\nother\n1\na\nb",
            "00000000000000ab\nown\n-1\na\nb",
            "00000000000000ab\nown\n1\na",
            &format!("{fits}{}", "x".repeat(LONGEST)),
        ] {
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(decode(b"\xff"), None);
        // A name cannot bring lines of its own.
        let place = decode(fits.as_bytes()).unwrap();
        let odd = Place { relay: "a\nb\r".to_owned(), ..place };
        assert_eq!(decode(encode(&odd).as_bytes()).unwrap().relay, "ab");
    }
}
