//! Metadata as the original's encoder and decoder have it: `docs/protocols/agent-tunnel.md`
//! section 5.

use proptest::prelude::*;
use std::collections::BTreeMap;
use trunkline_core::tunnel::{Headers, MetaError, RequestMeta, ResponseMeta, quote};

fn read(json: impl AsRef<[u8]>) -> Result<RequestMeta, MetaError> {
    RequestMeta::from_json(json.as_ref())
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    quote(bytes, &mut text);
    String::from_utf8(text).unwrap()
}

fn map(pairs: &[(&str, &str)]) -> Headers {
    Headers(Some(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()))
}

#[test]
fn fields_stand_in_their_order_and_none_is_left_out() {
    let json = r#"{"method":"","path":"","headers":null,"body_len":0}"#;
    assert_eq!(RequestMeta::default().to_json(), json.as_bytes());
    let json = r#"{"status":0,"headers":null}"#;
    assert_eq!(ResponseMeta::default().to_json(), json.as_bytes());
    let headers = map(&[("a", "1"), ("_", "2"), ("A", "3"), ("9", "4"), ("10", "5"), ("-x", "6")]);
    let json = r#"{"status":-1,"headers":{"-x":"6","10":"5","9":"4","A":"3","_":"2","a":"1"}}"#;
    assert_eq!(ResponseMeta { status: -1, headers }.to_json(), json.as_bytes());
    let none = ResponseMeta { status: 204, headers: map(&[]) };
    assert_eq!(none.to_json(), br#"{"status":204,"headers":{}}"#);
}

#[test]
fn strings_are_escaped_as_go_escapes_them() {
    for (bytes, text) in [
        (&b"\"\\/'"[..], r#""\"\\/'""#),
        (b"\x08\x09\x0a\x0c\x0d", r#""\b\t\n\f\r""#),
        (b"\0\x0b\x1f\x7f", "\"\\u0000\\u000b\\u001f\x7f\""),
        (b"<>&", r#""\u003c\u003e\u0026""#),
        ("\u{2028}\u{2029}\u{2027}€".as_bytes(), "\"\\u2028\\u2029\u{2027}€\""),
        ("h\u{e9}llo 😀".as_bytes(), "\"h\u{e9}llo 😀\""),
        (b"a\xff\xfeb\xe2\x82", "\"a\\ufffd\\ufffdb\\ufffd\\ufffd\""),
        (b"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""),
        ("\u{fffd}".as_bytes(), "\"\u{fffd}\""),
    ] {
        assert_eq!(quoted(bytes), text);
    }
}

#[test]
fn names_of_fields_match_without_regard_to_case_even_by_folding() {
    let meta = read(r#"{"METHOD":"GET","Path":"/p","Body_Len":3,"header\u017f":{"A":"b"}}"#);
    let meta = meta.unwrap();
    assert_eq!((&*meta.method, &*meta.path, meta.body_len), ("GET", "/p", 3));
    assert_eq!(meta.headers, map(&[("A", "b")]));
    assert_eq!(ResponseMeta::from_json("{\"\u{17f}tatu\u{17f}\":7}".as_bytes()).unwrap().status, 7);
}

#[test]
fn the_last_of_two_fields_counts_and_headers_are_merged() {
    let meta = read(r#"{"method":"GET","method":"POST","method":null}"#).unwrap();
    assert_eq!(meta.method, "POST");
    let two = r#"{"headers":{"a":"1","b":"2"},"headers":{"b":"3","c":null}}"#;
    assert_eq!(read(two).unwrap().headers, map(&[("a", "1"), ("b", "3"), ("c", "")]));
    let none = r#"{"headers":{"a":"1"},"headers":null}"#;
    assert_eq!(read(none).unwrap().headers, Headers(None));
}

#[test]
fn what_is_missing_or_null_is_empty_and_what_is_unknown_is_skipped() {
    for json in [
        "null",
        " \n\t{}\r\n ",
        r#"{"method":null,"path":null,"headers":null,"body_len":null}"#,
        r#"{"extra":{"x":[1,-2.5e+3,true,false,null,"\u0041"]},"y":[]}"#,
    ] {
        assert_eq!(read(json), Ok(RequestMeta::default()), "{json}");
    }
}

#[test]
fn surrogates_make_pairs_and_lone_ones_are_replaced() {
    for (json, path) in [
        (r#"{"path":"\ud83d\ude00"}"#, "😀"),
        (r#"{"path":"/\ud800x\udc00"}"#, "/\u{fffd}x\u{fffd}"),
        (r#"{"path":"\ud800\ud83d\ude00"}"#, "\u{fffd}😀"),
        (r#"{"path":"\ud800\u0041"}"#, "\u{fffd}A"),
        (r#"{"path":"\b\f\n\r\t\/\\\"\u00e9"}"#, "\u{8}\u{c}\n\r\t/\\\"é"),
    ] {
        assert_eq!(read(json).unwrap().path, path, "{json}");
    }
    let torn = read(b"{\"path\":\"/\xe2\x82(\xff\"}").unwrap();
    assert_eq!(torn.path, "/\u{fffd}\u{fffd}(\u{fffd}");
}

#[test]
fn what_is_no_json_is_refused_where_it_stops_being_some() {
    for (json, at) in [
        ("GET / HTTP/1.1", 0),
        ("\u{feff}{}", 0),
        ("{} x", 3),
        (r#"{"a":1,}"#, 7),
        (r#"{"method":"\x47"}"#, 12),
        ("{\"method\":\"G\u{1}T\"}", 12),
        (r#"{"body_len":05}"#, 13),
        (r#"{"body_len":+5}"#, 12),
        (r#"{"body_len":1.}"#, 14),
        (r#"{"a":truE}"#, 8),
        (r#"{"a":"\u00g0"}"#, 10),
        ("{} {}", 3),
        ("{'a':1}", 1),
        ("{/**/}", 1),
        // A wrong type before it is not told: Go looks at the syntax of all first.
        (r#"{"method":7,"a":}"#, 16),
    ] {
        assert_eq!(read(json), Err(MetaError::Syntax { at }), "{json}");
    }
    for json in ["", " ", "{", r#"{"a"#, r#"{"a":"#, r#"{"a":1"#, r#"{"a":"\"#, "nul", "-"] {
        let json = json.to_owned();
        assert_eq!(read(&json), Err(MetaError::Cut), "{json}");
    }
    assert_eq!(read("").unwrap_err().to_string(), "unexpected end of JSON input");
}

#[test]
fn a_value_of_a_wrong_type_is_an_error_of_its_field() {
    for (json, field) in [
        (r#"["GET","/"]"#, ""),
        ("7", ""),
        (r#"{"body_len":"5"}"#, "body_len"),
        (r#"{"body_len":5.0}"#, "body_len"),
        (r#"{"body_len":1e3}"#, "body_len"),
        (r#"{"body_len":true}"#, "body_len"),
        (r#"{"body_len":9223372036854775808}"#, "body_len"),
        (r#"{"method":{"a":"b"},"body_len":"5"}"#, "method"),
        (r#"{"headers":{"a":1,"b":"2"}}"#, "headers"),
        (r#"{"headers":[]}"#, "headers"),
    ] {
        assert_eq!(read(json), Err(MetaError::WrongType { field }), "{json}");
    }
    assert_eq!(read(r#"{"body_len":-0}"#).unwrap().body_len, 0);
    assert_eq!(read(r#"{"body_len":9223372036854775807}"#).unwrap().body_len, i64::MAX);
    assert_eq!(read(r#"{"body_len":-9223372036854775808}"#).unwrap().body_len, i64::MIN);
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![any::<char>(), proptest::char::range('\0', '\u{7f}'), Just('\u{2028}')],
        0..12,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_again_here_and_by_another_reader(
        method in text(),
        path in text(),
        headers in proptest::option::of(proptest::collection::btree_map(text(), text(), 0..5)),
        body_len in any::<i64>(),
    ) {
        let meta = RequestMeta { method, path, headers: Headers(headers), body_len };
        let json = meta.to_json();
        prop_assert_eq!(RequestMeta::from_json(&json), Ok(meta.clone()));
        let other: serde_json::Value = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(other["method"].as_str(), Some(&*meta.method));
        prop_assert_eq!(other["path"].as_str(), Some(&*meta.path));
        prop_assert_eq!(other["body_len"].as_i64(), Some(body_len));
        let map = other["headers"].as_object().map(|map| {
            map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
        });
        prop_assert_eq!(map as Option<BTreeMap<String, String>>, meta.headers.0);
    }

    #[test]
    fn nothing_that_another_reader_takes_for_no_json_is_read(
        json in "[\\[\\]{}\",:\\\\0-9eE.+ntrue-]{0,12}",
    ) {
        let other = serde_json::from_str::<serde_json::Value>(&json).is_ok();
        let ours = RequestMeta::from_json(json.as_bytes());
        let refused = matches!(ours, Err(MetaError::Cut | MetaError::Syntax { .. }));
        // The other one also refuses numbers that are too large for it.
        prop_assert!(other != refused || json.contains(['e', 'E']), "{json} {ours:?}");
    }
}
