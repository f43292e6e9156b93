//! `headers.json`: what the first bytes of a stream say, and the metadata in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use trunkline_core::tunnel::{
    Header, HeaderDecoder, Headers, RequestMeta, ResponseMeta, StreamType, encode_header, quote,
};

use crate::case::{self, Check, ensure, unknown};
use crate::diff;
use crate::notation::Hex;
use crate::report::Verdict;

/// Sizes of pieces in which the bytes arrive.
const PIECES: [usize; 5] = [usize::MAX, 1, 4, 5, 4_099];

#[derive(Deserialize)]
struct HeaderCase {
    hex: Option<Hex>,
    parts: Option<Hex>,
    decoded: Map<String, Value>,
    #[serde(default)]
    decode_only: bool,
}

/// Runs one case.
#[must_use]
pub fn run(case: &Value) -> Verdict {
    case::verdict(case::read(case).and_then(|case| check(&case)))
}

fn check(case: &HeaderCase) -> Check {
    let bytes = case.parts.as_ref().or(case.hex.as_ref());
    let bytes = &bytes.ok_or_else(|| Verdict::NotRun("the case has no bytes".into()))?.0;
    for size in PIECES.into_iter().filter(|size| bytes.len() / size < 10_000) {
        let header = only(bytes, size)?;
        for (key, value) in &case.decoded {
            says(&header, key, value, case.decode_only)?;
        }
        if !case.decode_only {
            let encoded = encode_header(header.kind, &header.metadata);
            same_bytes(bytes, &encoded.map_err(|why| Verdict::Fail(why.to_string()))?)?;
        }
    }
    Ok(())
}

/// The header that the bytes are; what stands behind it stays.
fn only(bytes: &[u8], size: usize) -> Check<Header> {
    let mut decoder = HeaderDecoder::new();
    let behind = [bytes, b"behind"].concat();
    let mut found = None;
    let mut left = Vec::new();
    for piece in behind.chunks(size.min(behind.len())) {
        let mut piece = Bytes::copy_from_slice(piece);
        if found.is_none() {
            found = decoder.feed(&mut piece).map_err(|why| Verdict::Fail(why.to_string()))?;
        }
        left.extend_from_slice(&piece);
    }
    ensure(left == b"behind", || format!("{} bytes are left of what stands behind", left.len()))?;
    found.ok_or_else(|| Verdict::Fail("it is no whole header".into()))
}

/// Whether a header says what stands under `key`.
fn says(header: &Header, key: &str, value: &Value, decode_only: bool) -> Check {
    let metadata = &header.metadata;
    let seen = match key {
        "type" => Value::from(header.kind.0),
        "type_name" => Value::from(match header.kind {
            StreamType::HTTP => "http",
            StreamType::TERMINAL => "terminal",
            StreamType::CONTROL => "control",
            _ => "",
        }),
        "metadata_len" => Value::from(metadata.len()),
        "metadata_text" => Value::from(String::from_utf8_lossy(metadata)),
        "value" => return means(metadata, value, decode_only),
        other => return Err(unknown("decoded", other)),
    };
    ensure(&seen == value, || format!("{key} is {value}, seen {seen}"))
}

/// Whether the metadata means `value`, and `value` is written as the metadata.
fn means(metadata: &[u8], value: &Value, decode_only: bool) -> Check {
    let fields = value.as_object().ok_or_else(|| unknown("value", &value.to_string()))?;
    for (key, value) in fields {
        let (seen, written) = match key.as_str() {
            "request" => {
                let told = request(value)?;
                let seen = RequestMeta::from_json(metadata).map_err(refused)?;
                (seen == told, told.to_json())
            }
            "response" => {
                let told = response(value)?;
                let seen = ResponseMeta::from_json(metadata).map_err(refused)?;
                (seen == told, told.to_json())
            }
            other => return Err(unknown("value", other)),
        };
        ensure(seen, || format!("it does not mean {value}"))?;
        if decode_only {
            continue;
        }
        if metadata.windows(6).any(|part| part == b"\\ufffd") {
            // A byte that is no UTF-8, which no value here can hold.
            same_bytes(metadata, &raw(value))?;
        } else {
            same_bytes(metadata, &written)?;
        }
    }
    Ok(())
}

fn refused(why: impl ToString) -> Verdict {
    Verdict::Fail(format!("refused: {}", why.to_string()))
}

/// A request's metadata as a case tells it.
///
/// # Errors
///
/// [`Verdict::NotRun`] when it tells something else.
pub(super) fn request(value: &Value) -> Check<RequestMeta> {
    let told: Request = case::read(value)?;
    let headers = Headers(told.headers);
    Ok(RequestMeta { method: told.method, path: told.path, headers, body_len: told.body_len })
}

/// A response's metadata as a case tells it.
///
/// # Errors
///
/// [`Verdict::NotRun`] when it tells something else.
pub(super) fn response(value: &Value) -> Check<ResponseMeta> {
    let told: Response = case::read(value)?;
    Ok(ResponseMeta { status: told.status, headers: Headers(told.headers) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    path: String,
    headers: Option<BTreeMap<String, String>>,
    body_len: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    status: i64,
    headers: Option<BTreeMap<String, String>>,
}

/// JSON of a value in whose strings U+FFFD stands for a byte that is no UTF-8.
fn raw(value: &Value) -> Vec<u8> {
    let mut json = Vec::new();
    match value {
        Value::String(text) => quote(&broken(text), &mut json),
        Value::Object(map) => {
            // The fields of a request or response have an order of their own.
            let order = ["method", "path", "status", "headers", "body_len"];
            let is_meta = map.contains_key("headers");
            let place =
                |key: &String| order.iter().position(|known| known == key).filter(|_| is_meta);
            let mut entries: Vec<_> = map.iter().map(|(k, v)| (place(k), broken(k), v)).collect();
            entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            for (at, (_, key, value)) in entries.iter().enumerate() {
                json.push(if at == 0 { b'{' } else { b',' });
                quote(key, &mut json);
                json.push(b':');
                json.extend(raw(value));
            }
            json.extend_from_slice(if map.is_empty() { b"{}" } else { b"}" });
        }
        other => json.extend_from_slice(other.to_string().as_bytes()),
    }
    json
}

/// The text with a byte that is no UTF-8 for each U+FFFD.
fn broken(text: &str) -> Vec<u8> {
    let pieces: Vec<&[u8]> = text.split('\u{fffd}').map(str::as_bytes).collect();
    pieces.join(&0xff)
}

fn same_bytes(expected: &[u8], seen: &[u8]) -> Check {
    match diff::bytes(expected, seen) {
        Some(why) => Err(Verdict::Fail(format!("encode differs at {why}"))),
        None => Ok(()),
    }
}
