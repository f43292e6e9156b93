//! Both ends of an exchange, and what they say, in short.

use bytes::Bytes;
use trunkline_core::tunnel::http::{
    BodyLen, Callee, CalleeEvent, Caller, CallerEvent, Config, Dialect, Head, ResponseHead,
};
use trunkline_core::tunnel::{StreamType, encode_header};

pub(crate) fn headers(list: &[(&str, &[u8])]) -> Vec<(String, Bytes)> {
    list.iter().map(|(name, value)| ((*name).into(), Bytes::copy_from_slice(value))).collect()
}

pub(crate) fn request(method: &str, path: &str, body: BodyLen) -> Head {
    Head { method: method.into(), path: path.into(), headers: Vec::new(), body }
}

pub(crate) fn response(status: u16, list: &[(&str, &[u8])]) -> ResponseHead {
    ResponseHead { status, headers: headers(list) }
}

/// A caller whose request has gone out.
pub(crate) fn caller(dialect: Dialect, head: &Head) -> Caller {
    Caller::new(dialect, head, Config::default()).unwrap().0
}

/// A callee that was given a stream header with this metadata.
pub(crate) fn callee(dialect: Dialect, metadata: &str) -> Callee {
    let kind = match dialect {
        Dialect::Original => StreamType::HTTP,
        Dialect::Own => StreamType::OWN_HTTP,
    };
    let mut callee = Callee::new(dialect, Config::default());
    callee.handle_bytes(encode_header(kind, metadata.as_bytes()).unwrap());
    callee
}

/// What an agent of the original writes in front of a body.
pub(crate) fn answered(metadata: &str) -> Bytes {
    encode_header(StreamType::HTTP, metadata.as_bytes()).unwrap()
}

pub(crate) fn caller_events(caller: &mut Caller) -> Vec<CallerEvent> {
    std::iter::from_fn(|| caller.poll_event()).collect()
}

pub(crate) fn callee_events(callee: &mut Callee) -> Vec<CalleeEvent> {
    std::iter::from_fn(|| callee.poll_event()).collect()
}

/// The head of a request that came, without a fault.
pub(crate) fn head_of(callee: &mut Callee) -> Head {
    match callee.poll_event() {
        Some(CalleeEvent::Head(head)) => head,
        other => panic!("{other:?}"),
    }
}
