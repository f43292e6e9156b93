//! HTTP exchanges on a stream, either end alone and both against each other.

use bytes::Bytes;
use trunkline_core::tunnel::End;
use trunkline_core::tunnel::http::{
    BodyLen, Callee, CalleeEvent, Caller, CallerEvent, Config, Dialect, Head, ResponseHead,
};

use super::ops::Ops;

/// What no peer may make of an exchange.
///
/// The first byte chooses dialect, settings and end: a caller or a callee that is fed the rest of
/// the input, or both, which talk as the rest says. The second byte chooses the cuts, the third how
/// the stream ends.
///
/// Holds: however the bytes are cut, the same events come; every exchange comes to one end, and
/// nothing comes behind it; a body is whole only where its end came in order, and as long as it was
/// announced; between our own two ends every head, byte and end arrives, and what was cut off is
/// told as such.
///
/// # Panics
///
/// When one of these is broken.
pub fn tunnel_http(input: &[u8]) {
    let [how, cut, end, rest @ ..] = input else { return };
    let dialect = if how & 1 == 0 { Dialect::Original } else { Dialect::Own };
    let config = if how & 2 == 0 { Config::default() } else { Config::reference() };
    let over = [End::Finished, End::Reset, End::Lost];
    let over = over.get(usize::from(*end) % 3).copied().unwrap_or(End::Lost);
    let size = usize::from(*cut) + 1;
    match how >> 2 & 3 {
        0 => {
            let play = |size| called(dialect, config, *end, rest, size, over);
            assert_eq!(play(usize::MAX), play(size), "in pieces of {size}");
        }
        1 => {
            let play = |size| answered(dialect, config, rest, size, over);
            assert_eq!(play(usize::MAX), play(size), "in pieces of {size}");
        }
        _ => pair(dialect, config, size, over, &mut Ops::new(rest)),
    }
}

/// What a caller is told: its events, with a body in one piece.
fn events_of_caller(caller: &mut Caller, told: &mut Vec<CallerEvent>) {
    while let Some(event) = caller.poll_event() {
        let over = |event: &CallerEvent| matches!(event, CallerEvent::End | CallerEvent::Failed(_));
        assert!(!told.iter().any(over), "{event:?} behind the end");
        match (told.last_mut(), event) {
            (_, CallerEvent::Body(piece)) if piece.is_empty() => unreachable!("a body of nothing"),
            (Some(CallerEvent::Body(all)), CallerEvent::Body(piece)) => {
                *all = [all.as_ref(), &piece].concat().into();
            }
            (_, event) => told.push(event),
        }
    }
}

fn events_of_callee(callee: &mut Callee, told: &mut Vec<CalleeEvent>) {
    while let Some(event) = callee.poll_event() {
        let failed = |event: &CalleeEvent| matches!(event, CalleeEvent::Failed(_));
        assert!(!told.iter().any(failed), "{event:?} behind the end");
        match (told.last_mut(), event) {
            (_, CalleeEvent::Body(piece)) if piece.is_empty() => unreachable!("a body of nothing"),
            (Some(CalleeEvent::Body(all)), CalleeEvent::Body(piece)) => {
                *all = [all.as_ref(), &piece].concat().into();
            }
            (_, event) => told.push(event),
        }
    }
}

/// A caller that is fed.
fn called(
    dialect: Dialect,
    config: Config,
    which: u8,
    bytes: &[u8],
    size: usize,
    over: End,
) -> Vec<CallerEvent> {
    let body = match (dialect, which >> 2 & 3) {
        (_, 0) => BodyLen::None,
        (Dialect::Own, 1) => BodyLen::Unknown,
        _ => BodyLen::Exact(10),
    };
    let method = if which & 16 == 0 { "GET" } else { "HEAD" };
    let mut headers = Vec::new();
    if which & 32 != 0 {
        headers.push(("Connection".to_owned(), Bytes::from_static(b"Upgrade")));
        headers.push(("Upgrade".to_owned(), Bytes::from_static(b"websocket")));
    }
    let head = Head { method: method.into(), path: "/".into(), headers, body };
    let Ok((mut caller, _)) = Caller::new(dialect, &head, config) else {
        unreachable!("a plain request is refused")
    };
    let mut told = Vec::new();
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        caller.handle_bytes(Bytes::copy_from_slice(piece));
        events_of_caller(&mut caller, &mut told);
    }
    caller.handle_end(over);
    events_of_caller(&mut caller, &mut told);
    match told.last() {
        Some(CallerEvent::End) => {
            assert!(over == End::Finished || is_whole(method, &told), "a loss is no end: {told:?}");
        }
        Some(CallerEvent::Failed(_)) => {}
        other => unreachable!("the stream is over, and {other:?} is the last"),
    }
    told
}

/// Whether a response is as long as it says, so that its end does not matter.
fn is_whole(method: &str, told: &[CallerEvent]) -> bool {
    let Some(CallerEvent::Head(head)) = told.first() else { return false };
    let body = told.iter().find_map(|event| match event {
        CallerEvent::Body(bytes) => Some(bytes.len()),
        _ => None,
    });
    let mut named =
        head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let stated = named.next().and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
    method == "HEAD" || matches!(head.status, 204 | 304) || stated == Some(body.unwrap_or(0))
}

/// A callee that is fed.
fn answered(
    dialect: Dialect,
    config: Config,
    bytes: &[u8],
    size: usize,
    over: End,
) -> Vec<CalleeEvent> {
    let mut callee = Callee::new(dialect, config);
    let mut told = Vec::new();
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        callee.handle_bytes(Bytes::copy_from_slice(piece));
        events_of_callee(&mut callee, &mut told);
    }
    callee.handle_end(over);
    events_of_callee(&mut callee, &mut told);
    match told.last() {
        Some(CalleeEvent::BodyEnd) => assert_eq!(over, End::Finished, "a loss is no end"),
        Some(CalleeEvent::Failed(fault)) => {
            if let Some((head, text)) = callee.answer(fault) {
                assert!(head.len() > 5 && !text.is_empty());
                assert_eq!(callee.answer(fault), None, "two answers");
            }
        }
        other => unreachable!("the stream is over, and {other:?} is the last"),
    }
    told
}

/// Names and values, mostly such as are allowed.
fn headers(ops: &mut Ops<'_>) -> Vec<(String, Bytes)> {
    const NAMES: [&str; 8] =
        ["accept", "X-A", "set-cookie", "Set-Cookie", "host", "te", "X-Zz", "no name"];
    (0..ops.byte() % 5)
        .map(|_| {
            let name = NAMES.get(usize::from(ops.byte() % 8)).copied().unwrap_or_default();
            (name.to_owned(), text(ops).into())
        })
        .collect()
}

/// A short text, mostly one that is allowed anywhere in a head.
fn text(ops: &mut Ops<'_>) -> String {
    let bytes = ops.bytes();
    match bytes.first() {
        Some(250..) => bytes.iter().map(|byte| char::from(byte & 0x7f)).collect(),
        _ => bytes.iter().map(|byte| char::from(b'/' + byte % 79)).collect(),
    }
}

fn method(ops: &mut Ops<'_>) -> String {
    const METHODS: [&str; 6] = ["GET", "POST", "HEAD", "get", "X!", "A B"];
    METHODS.get(usize::from(ops.byte() % 6)).copied().unwrap_or_default().to_owned()
}

/// Our two ends, one exchange.
fn pair(dialect: Dialect, config: Config, size: usize, over: End, ops: &mut Ops<'_>) {
    let length = ops.size();
    let body = match (dialect, ops.byte() % 4) {
        (Dialect::Own, 0) => BodyLen::Unknown,
        _ if length == 0 => BodyLen::None,
        _ => BodyLen::Exact(length as u64),
    };
    let path = format!("/{}", text(ops));
    let head = Head { method: method(ops), path, headers: headers(ops), body };
    let upload = ops.pattern(length);
    let Ok((mut caller, first)) = Caller::new(dialect, &head, config) else { return };
    assert_eq!(caller.body(upload.len()), Ok(()));
    let finishes = caller.finish();
    assert_eq!(finishes, Ok(dialect == Dialect::Own));
    let request = [first.as_ref(), &upload].concat();

    // The request, cut off or whole.
    let keep = usize::from(ops.short()) % (request.len() + 1);
    let cut = ops.byte().is_multiple_of(3) && keep < request.len();
    let sent = if cut { request.get(..keep).unwrap_or_default() } else { &request };
    let ends = cut || finishes == Ok(true);
    let mut callee = Callee::new(dialect, config);
    let mut told = Vec::new();
    for piece in sent.chunks(size) {
        callee.handle_bytes(Bytes::copy_from_slice(piece));
        events_of_callee(&mut callee, &mut told);
    }
    if ends {
        callee.handle_end(if cut { over } else { End::Finished });
        events_of_callee(&mut callee, &mut told);
    }
    if cut {
        // Only one of unknown length can be short without showing it.
        let short = body == BodyLen::Unknown && over == End::Finished && keep >= first.len();
        let failed = matches!(told.last(), Some(CalleeEvent::Failed(_)));
        assert!(failed != short, "cut off at {keep} of {}: {told:?}", request.len());
        return;
    }
    let arrived = told.iter().find_map(|event| match event {
        CalleeEvent::Head(head) => Some(head),
        _ => None,
    });
    let Some(arrived) = arrived else { unreachable!("no head, but {told:?}") };
    assert_eq!((&arrived.method, &arrived.path, arrived.body), (&head.method, &head.path, body));
    same_headers(dialect, &head.headers, &arrived.headers);
    let bodies = told.iter().filter_map(|event| match event {
        CalleeEvent::Body(bytes) => Some(bytes.as_ref()),
        _ => None,
    });
    assert!(bodies.eq((!upload.is_empty()).then_some(upload.as_ref())), "{told:?}");
    assert_eq!(told.last(), Some(&CalleeEvent::BodyEnd));
    answer(dialect, (caller, callee), &head, size, over, ops);
}

/// The answer of one exchange.
fn answer(
    dialect: Dialect,
    (mut caller, mut callee): (Caller, Callee),
    request: &Head,
    size: usize,
    over: End,
    ops: &mut Ops<'_>,
) {
    let length = ops.size();
    let statuses = [200, 204, 304, 404, 999, 101, 0];
    let status = statuses.get(usize::from(ops.byte() % 7)).copied().unwrap_or(200);
    let mut head = ResponseHead { status, headers: headers(ops) };
    let stated = ops.byte().is_multiple_of(2);
    if stated {
        head.headers.push(("content-length".into(), length.to_string().into()));
    }
    let download = ops.pattern(length);
    let Ok(first) = callee.respond(&head) else { return };
    assert!(callee.respond(&head).is_err(), "two answers");
    let response = [first.as_ref(), &download].concat();
    let keep = usize::from(ops.short()) % (response.len() + 1);
    let cut = ops.byte().is_multiple_of(3) && keep < response.len();
    let sent = if cut { response.get(..keep).unwrap_or_default() } else { &response };
    let mut told = Vec::new();
    for piece in sent.chunks(size) {
        caller.handle_bytes(Bytes::copy_from_slice(piece));
        events_of_caller(&mut caller, &mut told);
    }
    caller.handle_end(if cut { over } else { End::Finished });
    events_of_caller(&mut caller, &mut told);
    let bodiless = request.method == "HEAD" || matches!(status, 204 | 304);
    let failed = matches!(told.last(), Some(CallerEvent::Failed(_)));
    if cut {
        // What has no body is whole with its head; a body of unknown length, where it ends in order.
        let whole = bodiless || !stated && over == End::Finished;
        let unnoticed = whole && keep >= first.len();
        assert!(failed != unnoticed, "cut off at {keep} of {}: {told:?}", response.len());
        return;
    }
    assert!(!failed, "{told:?}");
    let mut events = told.into_iter();
    let Some(CallerEvent::Head(arrived)) = events.next() else { unreachable!("no head") };
    assert_eq!(arrived.status, status);
    same_headers(dialect, &head.headers, &arrived.headers);
    if !bodiless && !download.is_empty() {
        assert_eq!(events.next(), Some(CallerEvent::Body(download)));
    }
    assert_eq!(events.next(), Some(CallerEvent::End));
}

/// Ours arrive as they are; of the original's the first of each name does.
fn same_headers(dialect: Dialect, sent: &[(String, Bytes)], seen: &[(String, Bytes)]) {
    if dialect == Dialect::Own {
        return assert_eq!(sent, seen);
    }
    let first = |name: &str| sent.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    for (name, value) in seen {
        assert_eq!(first(name).map(|(_, value)| value), Some(value), "{name}");
    }
    let arrived = |name: &str| seen.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    assert!(sent.iter().all(|(name, _)| arrived(name)), "{sent:?} became {seen:?}");
}
