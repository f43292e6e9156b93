//! The hazards of the original: `docs/protocols/agent-tunnel.md` section 10, by number.

use bytes::Bytes;
use trunkline_core::tunnel::http::{
    BodyLen, CalleeEvent, Caller, CallerEvent, Config, Dialect, End, Fault, Misuse,
};

use crate::parts::{
    answered, callee, callee_events, caller, caller_events, head_of, headers, request, response,
};

const GET: &str = r#"{"method":"GET","path":"/","headers":{},"body_len":0}"#;

fn answered_caller(json: &str) -> Caller {
    let mut caller = caller(Dialect::Original, &request("GET", "/", BodyLen::None));
    caller.finish().unwrap();
    caller.handle_bytes(answered(json));
    assert!(matches!(caller.poll_event(), Some(CallerEvent::Head(_))));
    caller
}

#[test]
fn hazard_1_a_body_cut_off_by_the_loss_of_the_tunnel_is_an_error() {
    for (end, fault) in [(End::Lost, Fault::Lost), (End::Reset, Fault::Reset)] {
        let mut caller = answered_caller(r#"{"status":200,"headers":{}}"#);
        caller.handle_bytes(Bytes::from_static(b"10 of 1000"));
        caller.handle_end(end);
        let body = CallerEvent::Body(Bytes::from_static(b"10 of 1000"));
        assert_eq!(caller_events(&mut caller), [body, CallerEvent::Failed(fault)]);
    }
}

#[test]
fn hazard_1_a_body_shorter_than_its_content_length_is_an_error_even_behind_an_orderly_end() {
    let mut caller = answered_caller(r#"{"status":200,"headers":{"content-length":"1000"}}"#);
    caller.handle_bytes(Bytes::from_static(b"10 of 1000"));
    caller.handle_end(End::Finished);
    let body = CallerEvent::Body(Bytes::from_static(b"10 of 1000"));
    let cut = CallerEvent::Failed(Fault::Truncated(990));
    assert_eq!(caller_events(&mut caller), [body, cut]);
    assert_eq!(caller.poll_event(), None, "nothing follows");
}

#[test]
fn hazard_1_a_body_that_reached_its_length_is_whole_however_the_stream_ends() {
    for end in [End::Finished, End::Reset, End::Lost] {
        let mut caller = answered_caller(r#"{"status":200,"headers":{"Content-Length":"3"}}"#);
        caller.handle_bytes(Bytes::from_static(b"all"));
        caller.handle_end(end);
        let body = CallerEvent::Body(Bytes::from_static(b"all"));
        assert_eq!(caller_events(&mut caller), [body, CallerEvent::End]);
        let mut caller = answered_caller(r#"{"status":204,"headers":null}"#);
        caller.handle_end(end);
        assert_eq!(caller_events(&mut caller), [CallerEvent::End]);
    }
}

#[test]
fn hazard_1_a_request_body_that_is_cut_off_never_reads_as_whole() {
    for dialect in [Dialect::Original, Dialect::Own] {
        for (end, fault) in [
            (End::Finished, Fault::Truncated(6)),
            (End::Lost, Fault::Lost),
            (End::Reset, Fault::Reset),
        ] {
            let json = match dialect {
                Dialect::Original => r#"{"method":"PUT","path":"/","headers":{},"body_len":10}"#,
                Dialect::Own => r#"{"method":"PUT","path":"/","headers":[],"body_len":10}"#,
            };
            let mut callee = callee(dialect, json);
            head_of(&mut callee);
            callee.handle_bytes(Bytes::from_static(b"four"));
            callee.handle_end(end);
            let body = CalleeEvent::Body(Bytes::from_static(b"four"));
            assert_eq!(callee_events(&mut callee), [body, CalleeEvent::Failed(fault)]);
        }
    }
    let mut endless =
        callee(Dialect::Own, r#"{"method":"PUT","path":"/","headers":[],"body_len":-1}"#);
    head_of(&mut endless);
    endless.handle_end(End::Lost);
    assert_eq!(callee_events(&mut endless), [CalleeEvent::Failed(Fault::Lost)]);
}

#[test]
fn hazard_2_an_early_answer_is_read_while_the_upload_goes_on_and_its_end_stops_it() {
    for dialect in [Dialect::Original, Dialect::Own] {
        let mut caller = caller(dialect, &request("POST", "/up", BodyLen::Exact(1 << 30)));
        caller.body(1 << 20).unwrap();
        caller.handle_bytes(match dialect {
            Dialect::Original => answered(r#"{"status":413,"headers":{}}"#),
            Dialect::Own => {
                let json = r#"{"method":"POST","path":"/up","headers":[],"body_len":9}"#;
                let mut callee = callee(dialect, json);
                head_of(&mut callee);
                callee.respond(&response(413, &[])).unwrap()
            }
        });
        caller.handle_bytes(Bytes::from_static(b"too much"));
        let body = CallerEvent::Body(Bytes::from_static(b"too much"));
        assert_eq!(caller_events(&mut caller), [CallerEvent::Head(response(413, &[])), body]);
        caller.body(1 << 20).unwrap();
        caller.handle_end(End::Finished);
        assert_eq!(caller_events(&mut caller), [CallerEvent::StopUpload, CallerEvent::End]);
        assert_eq!(caller.body(1), Err(Misuse::BodyOver));
    }
}

#[test]
fn hazard_3_an_agent_learns_that_nobody_waits_for_its_answer() {
    for end in [End::Reset, End::Lost] {
        let mut callee = callee(Dialect::Original, GET);
        head_of(&mut callee);
        callee.respond(&response(200, &[])).unwrap();
        assert_eq!(callee_events(&mut callee), [CalleeEvent::BodyEnd]);
        callee.handle_end(End::Finished);
        assert_eq!(callee_events(&mut callee), []);
        callee.handle_end(end);
        let fault = if end == End::Reset { Fault::Reset } else { Fault::Lost };
        assert_eq!(callee_events(&mut callee), [CalleeEvent::Failed(fault)]);
    }
}

#[test]
fn hazard_4_a_length_is_judged_before_a_byte_of_the_body_and_nothing_is_reserved_for_it() {
    for len in [i64::MAX, 1 << 40] {
        let json = format!(r#"{{"method":"PUT","path":"/","headers":null,"body_len":{len}}}"#);
        let mut callee = callee(Dialect::Original, &json);
        assert_eq!(callee_events(&mut callee), [CalleeEvent::Failed(Fault::TooLong)]);
        let (head, _) = callee.answer(&Fault::TooLong).unwrap();
        assert!(head.ends_with(br#"{"status":413,"headers":{"Content-Type":"text/plain"}}"#));
    }
}

#[test]
fn hazard_6_a_status_that_no_response_can_have_and_an_unasked_upgrade_are_errors() {
    for (status, fault) in [
        (99, Fault::Status(99)),
        (1000, Fault::Status(1000)),
        (-1, Fault::Status(-1)),
        (100, Fault::Status(100)),
        (103, Fault::Status(103)),
        (101, Fault::Upgrade),
    ] {
        let mut caller = caller(Dialect::Original, &request("GET", "/", BodyLen::None));
        caller.handle_bytes(answered(&format!(r#"{{"status":{status},"headers":null}}"#)));
        assert_eq!(caller_events(&mut caller), [CallerEvent::Failed(fault)], "{status}");
    }
}

#[test]
fn hazard_6_an_upgrade_cannot_be_asked_of_an_original() {
    let mut head = request("GET", "/", BodyLen::Unknown);
    head.headers = headers(&[("connection", b"upgrade"), ("upgrade", b"websocket")]);
    let refused = Caller::new(Dialect::Original, &head, Config::default()).unwrap_err();
    assert_eq!(refused, Misuse::BodyLength);
}

#[test]
fn hazard_9_line_breaks_in_heads_are_refused_before_a_message_is_built() {
    for (json, fault) in [
        (r#""path":"/","headers":{"A":"b\r\nC: d"}"#, Fault::HeaderValue),
        (r#""path":"/","headers":{"A":"b\rc"}"#, Fault::HeaderValue),
        (r#""path":"/","headers":{"A":"b\u0000"}"#, Fault::HeaderValue),
        (r#""path":"/","headers":{"A\r\nB":"c"}"#, Fault::HeaderName),
        (r#""path":"/","headers":{"":"c"}"#, Fault::HeaderName),
        (r#""path":"/","headers":{"A:":"c"}"#, Fault::HeaderName),
        (r#""path":"/ HTTP/1.1\r\nA: b","headers":{}"#, Fault::Path),
        (r#""method":"GET / HTTP/1.1\r\nX","path":"/","headers":{}"#, Fault::Method),
    ] {
        let mut callee = callee(Dialect::Original, &format!("{{{json}}}"));
        let events = callee_events(&mut callee);
        assert_eq!(events, [CalleeEvent::Failed(fault)], "{json}");
    }
    let mut caller = caller(Dialect::Original, &request("GET", "/", BodyLen::None));
    caller.handle_bytes(answered(r#"{"status":200,"headers":{"A":"b\nSet-Cookie: c"}}"#));
    assert_eq!(caller_events(&mut caller), [CallerEvent::Failed(Fault::HeaderValue)]);
}

#[test]
fn hazard_9_neither_end_sends_such_heads() {
    let with = |name: &str, value: &[u8]| {
        let mut head = request("GET", "/", BodyLen::None);
        head.headers = headers(&[(name, value)]);
        Caller::new(Dialect::Own, &head, Config::default()).map(|_| ())
    };
    assert_eq!(with("a", b"b\r\nc"), Err(Misuse::HeaderValue("a".into())));
    assert_eq!(with("a b", b"c"), Err(Misuse::HeaderName("a b".into())));
    assert_eq!(with("Transfer-Encoding", b"chunked"), Err(Misuse::TransferEncoding));
    assert_eq!(with("content-length", b"7"), Err(Misuse::ContentLength));
    assert_eq!(with("content-length", b"0"), Ok(()));
    for (head, misuse) in [
        (request("G T", "/", BodyLen::None), Misuse::Method),
        (request("GET", "//h/", BodyLen::None), Misuse::Path),
        (request("GET", "/a\r\n", BodyLen::None), Misuse::Path),
        (request("GET", "x", BodyLen::None), Misuse::Path),
    ] {
        assert_eq!(Caller::new(Dialect::Own, &head, Config::default()).unwrap_err(), misuse);
    }
    let mut callee = callee(Dialect::Original, GET);
    head_of(&mut callee);
    let split = response(200, &[("a", b"b\r\n\r\n<html>")]);
    assert_eq!(callee.respond(&split), Err(Misuse::HeaderValue("a".into())));
    assert!(callee.respond(&response(200, &[])).is_ok(), "nothing was changed by it");
}
