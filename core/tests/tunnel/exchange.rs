//! HTTP exchanges from head to end: `docs/protocols/agent-tunnel.md` sections 6 and 12.

use bytes::Bytes;
use trunkline_core::tunnel::http::{
    BodyLen, Callee, CalleeEvent, Caller, CallerEvent, Config, Dialect, End, Fault, Misuse,
    filter_hop_by_hop,
};
use trunkline_core::tunnel::{Header, RequestMeta, ResponseMeta, StreamType};

use crate::parts::{
    answered, callee, callee_events, caller, caller_events, head_of, headers, request, response,
};

#[test]
fn the_originals_request_is_its_header_its_body_and_no_end() {
    let mut head = request("POST", "/api?a=1&b=2", BodyLen::Exact(5));
    head.headers = headers(&[("content-type", b"text/plain"), ("x-a", b"first"), ("X-A", b"2")]);
    let (mut caller, first) = Caller::new(Dialect::Original, &head, Config::default()).unwrap();
    let json = br#"{"method":"POST","path":"/api?a=1\u0026b=2","headers":{"Content-Type":"text/plain","X-A":"first"},"body_len":5}"#;
    assert_eq!(&first[..], [&[1, 0, 0, 0, json.len() as u8], &json[..]].concat());
    caller.body(2).unwrap();
    assert_eq!(caller.finish(), Err(Misuse::ShortBody(3)));
    assert_eq!(caller.body(4), Err(Misuse::TooMuchBody));
    caller.body(3).unwrap();
    assert_eq!(caller.finish(), Ok(false));
    assert_eq!(caller.body(0), Err(Misuse::BodyOver));
    let meta = RequestMeta::from_json(&first[5..]).unwrap();
    assert_eq!(meta.body_len, 5);
}

#[test]
fn a_response_goes_through_uncopied_and_ends_with_the_stream() {
    let mut caller = caller(Dialect::Original, &request("GET", "/", BodyLen::None));
    assert_eq!(caller.finish(), Ok(false));
    let head = answered(r#"{"status":200,"headers":{"Content-Type":"text/plain"}}"#);
    let all = Bytes::from([&head[..], b"the body"].concat());
    caller.handle_bytes(all.slice(..20));
    assert_eq!(caller.poll_event(), None);
    caller.handle_bytes(all.slice(20..));
    let head = response(200, &[("Content-Type", b"text/plain")]);
    assert_eq!(caller.poll_event(), Some(CallerEvent::Head(head)));
    let Some(CallerEvent::Body(body)) = caller.poll_event() else { panic!("no body") };
    assert_eq!(body, "the body");
    assert_eq!(body.as_ptr(), all[all.len() - 8..].as_ptr());
    assert_eq!(caller.poll_event(), None);
    caller.handle_end(End::Finished);
    assert_eq!(caller_events(&mut caller), [CallerEvent::End]);
}

#[test]
fn the_originals_agent_reads_what_was_announced_and_answers_with_the_first_values() {
    let json = r#"{"method":"","path":"no-slash","headers":{"X":"y"},"body_len":4}"#;
    let mut callee = callee(Dialect::Original, json);
    callee.handle_bytes(Bytes::from_static(b"bodysurplus"));
    let head = head_of(&mut callee);
    assert_eq!((&*head.method, &*head.path, head.body), ("GET", "/no-slash", BodyLen::Exact(4)));
    let body = Bytes::from_static(b"body");
    assert_eq!(callee_events(&mut callee), [CalleeEvent::Body(body), CalleeEvent::BodyEnd]);
    let head = response(302, &[("set-cookie", b"a"), ("location", b"/<"), ("Set-Cookie", b"b")]);
    let bytes = callee.respond(&head).unwrap();
    assert_eq!(bytes[0], 1);
    let json = br#"{"status":302,"headers":{"Location":"/\u003c","Set-Cookie":"a"}}"#;
    assert_eq!(&bytes[5..], json);
    assert_eq!(callee.respond(&head), Err(Misuse::Answered));
    assert_eq!(callee.answer(&Fault::Path), None);
}

#[test]
fn repeated_headers_raw_bytes_and_unknown_lengths_go_through_our_own_dialect() {
    let mut head = request("PUT", "/x", BodyLen::Unknown);
    head.headers = headers(&[("cookie", b"a"), ("cookie", b"b"), ("x", b"\xff\xe9\t\"")]);
    let (mut caller, first) = Caller::new(Dialect::Own, &head, Config::default()).unwrap();
    assert_eq!(first[0], 0x81);
    let mut callee = Callee::new(Dialect::Own, Config::default());
    callee.handle_bytes(first);
    assert_eq!(head_of(&mut callee), head);
    callee.handle_bytes(Bytes::from_static(b"part"));
    assert_eq!(callee.poll_event(), Some(CalleeEvent::Body(Bytes::from_static(b"part"))));
    assert_eq!(callee.poll_event(), None);
    caller.body(4).unwrap();
    assert_eq!(caller.finish(), Ok(true));
    callee.handle_end(End::Finished);
    assert_eq!(callee_events(&mut callee), [CalleeEvent::BodyEnd]);

    let head = response(200, &[("set-cookie", b"a=1"), ("set-cookie", b"b=\xfc")]);
    caller.handle_bytes(callee.respond(&head).unwrap());
    assert_eq!(caller_events(&mut caller), [CallerEvent::Head(head)]);
    caller.handle_end(End::Finished);
    assert_eq!(caller_events(&mut caller), [CallerEvent::End]);
}

#[test]
fn an_upgrade_makes_both_directions_raw_until_each_ends() {
    let mut head = request("GET", "/socket", BodyLen::Unknown);
    head.headers = headers(&[("Connection", b"keep-alive, Upgrade"), ("Upgrade", b"websocket")]);
    assert!(head.is_upgrade());
    let (mut caller, first) = Caller::new(Dialect::Own, &head, Config::default()).unwrap();
    let mut callee = Callee::new(Dialect::Own, Config::default());
    callee.handle_bytes(first);
    assert!(head_of(&mut callee).is_upgrade());
    let switch = response(101, &[("Upgrade", b"websocket"), ("Connection", b"Upgrade")]);
    caller.handle_bytes(callee.respond(&switch).unwrap());
    caller.handle_bytes(Bytes::from_static(b"raw down"));
    let raw = CallerEvent::Body(Bytes::from_static(b"raw down"));
    assert_eq!(caller_events(&mut caller), [CallerEvent::Head(switch), raw]);
    assert!(caller.is_upgraded());
    caller.handle_end(End::Finished);
    assert_eq!(caller_events(&mut caller), [CallerEvent::End], "the other direction goes on");
    caller.body(100).unwrap();
    callee.handle_bytes(Bytes::from_static(b"raw up"));
    callee.handle_end(End::Finished);
    let raw = CalleeEvent::Body(Bytes::from_static(b"raw up"));
    assert_eq!(callee_events(&mut callee), [raw, CalleeEvent::BodyEnd]);
    assert_eq!(caller.finish(), Ok(true));
}

#[test]
fn a_refused_upgrade_stops_the_upload_and_is_an_answer_like_others() {
    let mut head = request("GET", "/socket", BodyLen::Unknown);
    head.headers = headers(&[("connection", b"upgrade"), ("upgrade", b"websocket")]);
    let mut caller = caller(Dialect::Own, &head);
    let mut callee = Callee::new(Dialect::Own, Config::default());
    callee.handle_bytes(Caller::new(Dialect::Own, &head, Config::default()).unwrap().1);
    head_of(&mut callee);
    let no = response(403, &[]);
    caller.handle_bytes(callee.respond(&no).unwrap());
    assert_eq!(caller_events(&mut caller), [CallerEvent::Head(no), CallerEvent::StopUpload]);
    assert_eq!(caller.body(1), Err(Misuse::BodyOver));
}

#[test]
fn a_request_without_an_upgrade_cannot_be_answered_with_one() {
    let json = r#"{"method":"GET","path":"/","headers":[],"body_len":-1}"#;
    let mut callee = callee(Dialect::Own, json);
    assert_eq!(callee.respond(&response(200, &[])), Err(Misuse::NoRequest));
    head_of(&mut callee);
    assert_eq!(callee.respond(&response(101, &[])), Err(Misuse::Upgrade));
    assert_eq!(callee.respond(&response(199, &[])), Err(Misuse::Status(199)));
    assert!(callee.respond(&response(999, &[])).is_ok());
}

#[test]
fn a_callee_can_begin_behind_a_stream_header_that_was_read_already() {
    let metadata = Bytes::from_static(br#"{"method":"PUT","path":"/","headers":[],"body_len":2}"#);
    let header = Header { kind: StreamType::OWN_HTTP, metadata };
    let mut callee = Callee::with_header(Dialect::Own, &header, Config::default());
    callee.handle_bytes(Bytes::from_static(b"ab"));
    callee.handle_end(End::Finished);
    assert_eq!(head_of(&mut callee), request("PUT", "/", BodyLen::Exact(2)));
    let body = CalleeEvent::Body(Bytes::from_static(b"ab"));
    assert_eq!(callee_events(&mut callee), [body, CalleeEvent::BodyEnd]);
    let mut other = Callee::with_header(Dialect::Original, &header, Config::default());
    let fault = CalleeEvent::Failed(Fault::Kind(StreamType::OWN_HTTP));
    assert_eq!(callee_events(&mut other), [fault]);
}

#[test]
fn a_status_that_nobody_set_is_200() {
    let mut caller = caller(Dialect::Original, &request("GET", "/", BodyLen::None));
    caller.handle_bytes(answered(r#"{"headers":null}"#));
    assert_eq!(caller_events(&mut caller), [CallerEvent::Head(response(200, &[]))]);
}

#[test]
fn answers_without_a_body_have_none_whatever_their_length_says() {
    let length: &[(&str, &[u8])] = &[("Content-Length", b"70")];
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let mut caller = caller(Dialect::Original, &request(method, "/", BodyLen::None));
        caller.finish().unwrap();
        let json = format!(r#"{{"status":{status},"headers":{{"Content-Length":"70"}}}}"#);
        caller.handle_bytes(answered(&json));
        caller.handle_bytes(Bytes::from_static(b"written all the same"));
        assert_eq!(caller_events(&mut caller), [CallerEvent::Head(response(status, length))]);
        caller.handle_end(End::Finished);
        assert_eq!(caller_events(&mut caller), [CallerEvent::End]);
    }
}

#[test]
fn faults_are_answered_as_the_original_answers_them() {
    for (fault, status, text) in [
        (Fault::Path, 400, "invalid request path"),
        (Fault::Truncated(7), 502, "failed to read request body"),
        (Fault::Method, 502, "failed to create request"),
        (Fault::TooLong, 413, "request body too large"),
        (Fault::Target("refused".into()), 502, "local service error: refused"),
    ] {
        let json = r#"{"method":"GET","path":"/","headers":null,"body_len":0}"#;
        let mut callee = callee(Dialect::Original, json);
        head_of(&mut callee);
        let (head, body) = callee.answer(&fault).unwrap();
        let json = format!(r#"{{"status":{status},"headers":{{"Content-Type":"text/plain"}}}}"#);
        assert_eq!(&head[5..], json.as_bytes());
        assert_eq!(ResponseMeta::from_json(&head[5..]).unwrap().status, status);
        assert_eq!(body, text);
        assert_eq!(callee.answer(&fault), None, "once");
    }
    for fault in [Fault::Reset, Fault::Lost] {
        assert_eq!(callee(Dialect::Original, "{}").answer(&fault), None);
    }
}

#[test]
fn hop_by_hop_headers_are_removed_with_those_that_connection_names() {
    let list: &[(&str, &[u8])] = &[
        ("Host", b"h"),
        ("Connection", b"close, X-Hop"),
        ("x-hop", b"1"),
        ("Keep-Alive", b"5"),
        ("TE", b"trailers"),
        ("Transfer-Encoding", b"chunked"),
        ("Upgrade", b"h2c"),
        ("Proxy-Authorization", b"secret"),
        ("Accept", b"*/*"),
    ];
    let mut all = headers(list);
    filter_hop_by_hop(&mut all, true);
    assert_eq!(all, headers(&[("Host", b"h"), ("Accept", b"*/*")]), "Connection names no upgrade");
    let mut all = headers(&[("Connection", b"Upgrade"), ("Upgrade", b"websocket"), ("A", b"b")]);
    let kept = headers(&[("Upgrade", b"websocket"), ("A", b"b"), ("Connection", b"Upgrade")]);
    let mut without = all.clone();
    filter_hop_by_hop(&mut all, true);
    assert_eq!(all, kept);
    filter_hop_by_hop(&mut without, false);
    assert_eq!(without, headers(&[("A", b"b")]));
}

#[test]
fn any_cuts_of_the_same_bytes_bring_the_same() {
    let head = answered(r#"{"status":201,"headers":{"Content-Length":"9"}}"#);
    let all = Bytes::from([&head[..], b"nine byte"].concat());
    for size in 1..=all.len() {
        let mut caller = caller(Dialect::Original, &request("GET", "/", BodyLen::None));
        caller.finish().unwrap();
        let (mut body, mut rest) = (Vec::new(), Vec::new());
        let pieces = all.chunks(size).map(Bytes::copy_from_slice);
        for (at, piece) in pieces.enumerate() {
            caller.handle_bytes(piece);
            // Sometimes several wait.
            if at % 3 != 0 {
                continue;
            }
            rest.extend(caller_events(&mut caller));
        }
        caller.handle_end(End::Finished);
        rest.extend(caller_events(&mut caller));
        rest.retain(|event| match event {
            CallerEvent::Body(bytes) => {
                body.extend_from_slice(bytes);
                false
            }
            _ => true,
        });
        let head = response(201, &[("Content-Length", b"9")]);
        assert_eq!(rest, [CallerEvent::Head(head), CallerEvent::End], "pieces of {size}");
        assert_eq!(body, b"nine byte");
    }
}
