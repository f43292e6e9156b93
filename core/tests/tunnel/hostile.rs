//! Hostile input: `docs/protocols/agent-tunnel.md` section 11, a test for each row that is core's.

use bytes::Bytes;
use trunkline_core::mux::Side;
use trunkline_core::tunnel::http::{
    BodyLen, Callee, CalleeEvent, Caller, CallerEvent, Config, Dialect, End, Fault, NegativeLength,
};
use trunkline_core::tunnel::{
    HeaderError, MetaError, OwnRequest, RequestMeta, ResponseMeta, StreamType, encode_header,
};
use trunkline_core::yamux;

use crate::parts::{answered, callee, callee_events, caller, caller_events, headers, request};

fn failed(json: &str) -> Fault {
    let mut callee = callee(Dialect::Original, json);
    match &*callee_events(&mut callee) {
        [CalleeEvent::Failed(fault)] => fault.clone(),
        other => panic!("{other:?}"),
    }
}

fn answer_failed(bytes: Bytes, end: Option<End>) -> Fault {
    let mut caller = caller(Dialect::Original, &request("GET", "/", BodyLen::None));
    caller.handle_bytes(bytes);
    if let Some(end) = end {
        caller.handle_end(end);
    }
    match &*caller_events(&mut caller) {
        [CallerEvent::Failed(fault)] => fault.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn metadata_above_one_mebibyte_is_refused_on_five_bytes_and_reset_without_a_word() {
    let mut callee = Callee::new(Dialect::Original, Config::default());
    callee.handle_bytes(Bytes::from_static(&[1, 0, 16, 0, 1]));
    let fault = Fault::Header(HeaderError::TooLarge(1_048_577));
    assert_eq!(callee_events(&mut callee), [CalleeEvent::Failed(fault.clone())]);
    assert_eq!(callee.answer(&fault), None);
    assert_eq!(answer_failed(Bytes::from_static(&[1, 255, 255, 255, 255]), None), {
        Fault::Header(HeaderError::TooLarge(u32::MAX as usize))
    });
}

#[test]
fn a_header_that_is_never_completed_says_what_is_missing() {
    for (bytes, error) in [
        (&b""[..], HeaderError::NoHeader),
        (b"\x01\0", HeaderError::TornHeader),
        (b"\x01\0\0\0\x09", HeaderError::NoMetadata),
        (b"\x01\0\0\0\x09{}", HeaderError::TornMetadata),
    ] {
        let fault = answer_failed(Bytes::from_static(bytes), Some(End::Finished));
        assert_eq!(fault, Fault::Header(error));
        assert_eq!(answer_failed(Bytes::from_static(bytes), Some(End::Lost)), Fault::Lost);
    }
}

#[test]
fn an_unknown_stream_type_is_an_error_in_either_dialect() {
    for (dialect, kind) in [
        (Dialect::Original, StreamType(66)),
        (Dialect::Original, StreamType::OWN_HTTP),
        (Dialect::Own, StreamType::HTTP),
        (Dialect::Own, StreamType(0)),
    ] {
        let mut callee = Callee::new(dialect, Config::default());
        callee.handle_bytes(encode_header(kind, b"{}").unwrap());
        assert_eq!(callee_events(&mut callee), [CalleeEvent::Failed(Fault::Kind(kind))]);
        assert_eq!(callee.answer(&Fault::Kind(kind)), None);
    }
}

#[test]
fn deep_json_is_refused_at_64_whether_it_is_read_or_skipped() {
    let deep = |depth: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(RequestMeta::from_json(deep(63).as_bytes()).is_ok());
    assert_eq!(RequestMeta::from_json(deep(64).as_bytes()), Err(MetaError::TooDeep));
    let most = "[".repeat(1 << 20);
    assert_eq!(RequestMeta::from_json(most.as_bytes()), Err(MetaError::TooDeep));
    let objects = r#"{"headers":"#.repeat(1 << 10);
    let refused = ResponseMeta::from_json(objects.as_bytes());
    assert_eq!(refused, Err(MetaError::TooDeep));
}

#[test]
fn more_than_256_headers_are_refused() {
    let list = |count: usize, pair: fn(usize) -> String| {
        (0..count).map(pair).collect::<Vec<_>>().join(",")
    };
    let map = |count| format!(r#"{{"headers":{{{}}}}}"#, list(count, |n| format!(r#""h{n}":"""#)));
    assert!(RequestMeta::from_json(map(256).as_bytes()).is_ok());
    assert_eq!(RequestMeta::from_json(map(257).as_bytes()), Err(MetaError::TooManyHeaders));
    let own = |count| format!(r#"{{"headers":[{}]}}"#, list(count, |_| r#"["h",""]"#.into()));
    assert!(OwnRequest::from_json(own(256).as_bytes()).is_ok());
    assert_eq!(OwnRequest::from_json(own(257).as_bytes()), Err(MetaError::TooManyHeaders));
}

#[test]
fn what_metadata_decodes_to_is_bounded() {
    // Each byte that is no UTF-8 becomes three.
    let json = [b"{\"path\":\"", &vec![0xff; 400_000][..], b"\"}"].concat();
    assert_eq!(RequestMeta::from_json(&json), Err(MetaError::TooLarge));
}

#[test]
fn an_answer_of_another_type_is_an_error() {
    let bytes = encode_header(StreamType::TERMINAL, br#"{"status":200,"headers":{}}"#).unwrap();
    assert_eq!(answer_failed(bytes, None), Fault::Kind(StreamType::TERMINAL));
}

#[test]
fn an_answer_whose_metadata_is_empty_or_no_json_or_out_of_range_is_an_error() {
    let cut = Fault::Metadata(MetaError::Cut);
    assert_eq!(answer_failed(answered(""), None), cut);
    let syntax = Fault::Metadata(MetaError::Syntax { at: 0 });
    assert_eq!(answer_failed(answered("HTTP/1.1 200"), None), syntax);
    assert_eq!(answer_failed(answered(r#"{"status":99999}"#), None), Fault::Status(99_999));
}

#[test]
fn an_endless_body_is_cut_at_the_callers_limit() {
    let mut config = Config::default();
    config.max_response = 1_000;
    let head = request("GET", "/", BodyLen::None);
    let mut caller = Caller::new(Dialect::Original, &head, config).unwrap().0;
    caller.handle_bytes(answered(r#"{"status":200,"headers":null}"#));
    caller.handle_bytes(vec![0; 1_000].into());
    caller.handle_bytes(vec![0; 1].into());
    let events = caller_events(&mut caller);
    assert_eq!(events.len(), 3);
    assert_eq!(events.last(), Some(&CallerEvent::Failed(Fault::TooLong)));
    caller.handle_bytes(vec![0; 1].into());
    assert_eq!(caller.poll_event(), None);
}

#[test]
fn a_body_longer_than_its_content_length_is_an_error() {
    let mut caller = caller(Dialect::Original, &request("GET", "/", BodyLen::None));
    caller.handle_bytes(answered(r#"{"status":200,"headers":{"Content-Length":"2"}}"#));
    caller.handle_bytes(Bytes::from_static(b"HTTP/1.1 200 smuggled"));
    let events = caller_events(&mut caller);
    assert_eq!(
        events[1..],
        [CallerEvent::Body(Bytes::from_static(b"HT")), CallerEvent::Failed(Fault::Surplus)]
    );
}

#[test]
fn bytes_behind_an_answer_without_a_body_are_let_pass_but_not_for_ever() {
    let mut caller = caller(Dialect::Original, &request("HEAD", "/", BodyLen::None));
    caller.handle_bytes(answered(r#"{"status":200,"headers":null}"#));
    caller.handle_bytes(vec![0; 64 << 10].into());
    assert_eq!(caller_events(&mut caller).len(), 1);
    caller.handle_bytes(vec![0; 1].into());
    assert_eq!(caller_events(&mut caller), [CallerEvent::Failed(Fault::Surplus)]);
}

#[test]
fn a_body_len_that_is_huge_or_negative_is_refused_and_negative_is_none_where_asked() {
    let json = |len: i64| format!(r#"{{"path":"/","body_len":{len}}}"#);
    assert_eq!(failed(&json(i64::MAX)), Fault::TooLong);
    assert_eq!(failed(&json(-1)), Fault::NegativeLength(-1));
    assert_eq!(failed(&json(i64::MIN)), Fault::NegativeLength(i64::MIN));
    let mut config = Config::default();
    config.negative_length = NegativeLength::NoBody;
    let mut lenient = Callee::new(Dialect::Original, config);
    lenient.handle_bytes(encode_header(StreamType::HTTP, json(-5).as_bytes()).unwrap());
    assert!(matches!(&*callee_events(&mut lenient), [CalleeEvent::Head(_), CalleeEvent::BodyEnd]));
    let own = r#"{"method":"GET","path":"/","headers":[],"body_len":-2}"#;
    let fault = CalleeEvent::Failed(Fault::NegativeLength(-2));
    assert_eq!(callee_events(&mut callee(Dialect::Own, own)), [fault]);
}

#[test]
fn a_body_of_unknown_length_is_cut_at_the_agents_limit() {
    let mut config = Config::default();
    config.max_request = 10;
    let own = br#"{"method":"PUT","path":"/","headers":[],"body_len":-1}"#;
    let mut callee = Callee::new(Dialect::Own, config);
    callee.handle_bytes(encode_header(StreamType::OWN_HTTP, own).unwrap());
    callee.handle_bytes(vec![0; 11].into());
    let events = callee_events(&mut callee);
    assert_eq!(events.last(), Some(&CalleeEvent::Failed(Fault::TooLong)));
    assert_eq!(events.len(), 2);
}

#[test]
fn a_path_with_a_scheme_or_a_host_or_control_characters_is_refused() {
    for path in [
        "http://evil/x",
        "//evil/x",
        "evil:80",
        r"/a\u0000",
        r"/a\r\nb",
        "/a b",
        "/a#b",
        r"/a\u007f",
        "*",
    ] {
        assert_eq!(failed(&format!(r#"{{"path":"{path}"}}"#)), Fault::Path, "{path}");
    }
    let mut own = callee(Dialect::Own, r#"{"method":"GET","path":"x","headers":[],"body_len":0}"#);
    assert_eq!(callee_events(&mut own), [CalleeEvent::Failed(Fault::Path)]);
}

#[test]
fn two_lengths_and_lengths_that_lie_are_refused() {
    for (list, len, fault) in [
        (r#""Content-Length":"5","Transfer-Encoding":"chunked""#, 5, Fault::BothLengths),
        (r#""content-length":"5","Content-Length":"6""#, 5, Fault::ContentLength),
        (r#""Content-Length":"5""#, 6, Fault::ContentLength),
        (r#""Content-Length":"+5""#, 5, Fault::ContentLength),
        (r#""Content-Length":"5, 5""#, 5, Fault::ContentLength),
        (r#""Content-Length":"""#, 0, Fault::ContentLength),
        (r#""Content-Length":"18446744073709551616""#, 0, Fault::ContentLength),
    ] {
        let json = format!(r#"{{"path":"/","headers":{{{list}}},"body_len":{len}}}"#);
        assert_eq!(failed(&json), fault, "{json}");
    }
    let both =
        answered(r#"{"status":200,"headers":{"Content-Length":"1","TRANSFER-ENCODING":""}}"#);
    assert_eq!(answer_failed(both, None), Fault::BothLengths);
}

#[test]
fn a_transfer_encoding_alone_does_not_go_on() {
    let json = r#"{"path":"/","headers":{"Transfer-Encoding":"chunked","A":"b"},"body_len":0}"#;
    let mut callee = callee(Dialect::Original, json);
    let Some(CalleeEvent::Head(head)) = callee.poll_event() else { panic!("no head") };
    assert_eq!(head.headers, headers(&[("A", b"b")]));
}

#[test]
fn surplus_behind_a_body_is_an_error_in_our_own_dialect() {
    let json = r#"{"method":"PUT","path":"/","headers":[],"body_len":2}"#;
    let mut callee = callee(Dialect::Own, json);
    callee.handle_bytes(Bytes::from_static(b"abc"));
    let events = callee_events(&mut callee);
    assert_eq!(
        events[1..],
        [
            CalleeEvent::Body(Bytes::from_static(b"ab")),
            CalleeEvent::BodyEnd,
            CalleeEvent::Failed(Fault::Surplus)
        ]
    );
}

#[test]
fn the_tunnels_yamux_holds_1024_streams_and_256_that_wait() {
    for config in [
        yamux::Config::agent_tunnel(),
        yamux::Config::agent_tunnel_reference(),
        yamux::Config::agent_tunnel_v0_27_1(),
        yamux::Config::agent_tunnel_v0_27_2(),
    ] {
        assert_eq!((config.limits.streams, config.limits.backlog), (1024, 256));
        assert!(yamux::Connection::new(Side::Server, config).is_ok());
    }
    assert_eq!(yamux::Config::agent_tunnel().keep_alive, None);
    assert_eq!(yamux::Config::agent_tunnel().limits.window, 4 << 20);
    assert_eq!(yamux::Config::agent_tunnel_v0_27_2().window, 4 << 20);
}
