//! The files of the page, as answers.

use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
};

use super::body::{Answer, empty, text, whole};
use super::page;

/// The file at this path.
pub(super) fn answer(path: &str, headers: &HeaderMap) -> Answer {
    let Some(asset) = page::asset(path) else {
        return text(StatusCode::NOT_FOUND, "there is nothing here");
    };
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut answer = match known.is_some_and(|known| asset.is_known_by(known)) {
        true => empty(StatusCode::NOT_MODIFIED),
        false => whole(StatusCode::OK, asset.content_type, asset.body),
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(page::CACHE_CONTROL));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(ETAG, etag);
    }
    for (name, value) in page::SECURITY_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}
