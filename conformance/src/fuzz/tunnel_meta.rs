//! The metadata of streams against `serde_json`: `docs/protocols/agent-tunnel.md` section 5.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use trunkline_core::tunnel::{
    AgentInfo, Headers, MetaError, OwnForward, OwnForwardAnswer, OwnRequest, OwnResponse,
    OwnTerminal, RequestMeta, ResponseMeta,
};

/// Any text as the metadata of a stream, read by core and by `serde_json`.
///
/// Input: a byte that chooses the kind of metadata, then the text.
///
/// Holds: what core takes is written and read again as the same; and for the original's two kinds,
/// what core takes `serde_json` takes too and it means the same by the page's rules, which are
/// written once more here; what core refuses as no JSON `serde_json` refuses too.
///
/// Where the two differ by intent: `serde_json` refuses text that is not UTF-8, halves of surrogate
/// pairs, and numbers beyond what a float holds, wherever they stand; core refuses what is nested
/// deeper than 64 levels, has more than 256 headers, or is too large once decoded.
///
/// # Panics
///
/// When one of these is broken.
pub fn tunnel_meta(input: &[u8]) {
    let Some((how, text)) = input.split_first() else { return };
    match how % 8 {
        0 | 6 => {
            let ours = RequestMeta::from_json(text);
            again(&ours, RequestMeta::to_json, RequestMeta::from_json);
            compare(&ours, text, request);
        }
        1 | 7 => {
            let ours = ResponseMeta::from_json(text);
            again(&ours, ResponseMeta::to_json, ResponseMeta::from_json);
            compare(&ours, text, response);
        }
        2 => again(&OwnRequest::from_json(text), OwnRequest::to_json, OwnRequest::from_json),
        3 => again(&OwnResponse::from_json(text), OwnResponse::to_json, OwnResponse::from_json),
        4 => again(&OwnTerminal::from_json(text), OwnTerminal::to_json, OwnTerminal::from_json),
        _ => {
            again(&OwnForward::from_json(text), OwnForward::to_json, OwnForward::from_json);
            let answer = OwnForwardAnswer::from_json(text);
            again(&answer, OwnForwardAnswer::to_json, OwnForwardAnswer::from_json);
            again(&AgentInfo::from_json(text), AgentInfo::to_json, AgentInfo::from_json);
        }
    }
}

/// What was read is written as JSON, and read as the same again.
fn again<T: PartialEq + fmt::Debug>(
    read: &Result<T, MetaError>,
    write: impl Fn(&T) -> Vec<u8>,
    from: impl Fn(&[u8]) -> Result<T, MetaError>,
) {
    let Ok(meta) = read else { return };
    let written = write(meta);
    let value = serde_json::from_slice::<serde_json::Value>(&written);
    assert!(value.is_ok_and(|value| value.is_object()), "no JSON is written for {meta:?}");
    assert!(!written.iter().any(|byte| b"<>&\n".contains(byte)), "not escaped: {meta:?}");
    assert_eq!(from(&written).as_ref(), Ok(meta), "read otherwise");
}

fn compare<T: PartialEq + fmt::Debug>(
    ours: &Result<T, MetaError>,
    text: &[u8],
    mean: impl Fn(&Json) -> Option<T>,
) {
    let theirs = serde_json::from_slice::<Json>(text);
    let differs = text.windows(2).any(|pair| pair == b"\\u")
        || std::str::from_utf8(text).is_err()
        || theirs.as_ref().is_err_and(|why| why.to_string().starts_with("number out of range"));
    // It takes this for a float, as it does -0.0, which is no integer.
    if text.windows(2).any(|pair| pair == b"-0") {
        return;
    }
    match (ours, &theirs) {
        (Ok(_), Err(why)) => assert!(differs, "serde_json refuses it: {why}"),
        (Err(MetaError::Cut | MetaError::Syntax { .. }), Ok(_)) => {
            unreachable!("core takes it for no JSON: {:?}", String::from_utf8_lossy(text))
        }
        (Ok(meta), Ok(json)) => assert_eq!(Some(meta), mean(json).as_ref(), "of {json:?}"),
        (Err(MetaError::WrongType { .. }), Ok(json)) => {
            assert_eq!(mean(json), None, "core refuses {json:?}");
        }
        (Err(_), _) => {}
    }
}

/// JSON that keeps what stands twice.
#[derive(Clone, Debug)]
enum Json {
    Null,
    Text(String),
    /// A number, where it is an integer of 64 bits that was written as one.
    Integer(i64),
    Map(Vec<(String, Self)>),
    Other,
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(i64::try_from(number).map_or(Json::Other, Json::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        while items.next_element::<Json>()?.is_some() {}
        Ok(Json::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Json::Map(map))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// What a value means for a request; `None` where a type is wrong.
fn request(json: &Json) -> Option<RequestMeta> {
    let mut meta = RequestMeta::default();
    for (key, value) in fields(json)? {
        match (folded(key).as_str(), value) {
            ("method" | "path" | "body_len", Json::Null) => {}
            ("method", Json::Text(text)) => meta.method.clone_from(text),
            ("path", Json::Text(text)) => meta.path.clone_from(text),
            ("body_len", Json::Integer(number)) => meta.body_len = *number,
            ("headers", value) => headers(&mut meta.headers, value)?,
            ("method" | "path" | "body_len", _) => return None,
            _ => {}
        }
    }
    Some(meta)
}

/// What a value means for a response; `None` where a type is wrong.
fn response(json: &Json) -> Option<ResponseMeta> {
    let mut meta = ResponseMeta::default();
    for (key, value) in fields(json)? {
        match (folded(key).as_str(), value) {
            ("status", Json::Null) => {}
            ("status", Json::Integer(number)) => meta.status = *number,
            ("headers", value) => headers(&mut meta.headers, value)?,
            ("status", _) => return None,
            _ => {}
        }
    }
    Some(meta)
}

fn fields(json: &Json) -> Option<&[(String, Json)]> {
    match json {
        Json::Null => Some(&[]),
        Json::Map(entries) => Some(entries),
        _ => None,
    }
}

fn headers(to: &mut Headers, value: &Json) -> Option<()> {
    let Json::Map(entries) = value else {
        *to = Headers::default();
        return matches!(value, Json::Null).then_some(());
    };
    let map: &mut BTreeMap<String, String> = to.0.get_or_insert_default();
    for (name, value) in entries {
        let value = match value {
            Json::Null => String::new(),
            Json::Text(text) => text.clone(),
            _ => return None,
        };
        map.insert(name.clone(), value);
    }
    Some(())
}

/// A name without regard to case: two letters beyond ASCII fold into it.
fn folded(name: &str) -> String {
    name.replace('\u{17f}', "s").replace('\u{212a}', "k").to_ascii_lowercase()
}
