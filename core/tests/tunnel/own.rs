//! Metadata of our own stream types: `docs/protocols/agent-tunnel.md` section 12.

use trunkline_core::tunnel::{
    MetaError, OwnForward, OwnForwardAnswer, OwnRequest, OwnResponse, OwnTerminal,
};

use crate::parts::headers;

#[test]
fn each_of_them_is_written_as_the_page_says_and_read_again() {
    let request = OwnRequest {
        method: "PUT".into(),
        path: "/a?b".into(),
        headers: headers(&[("Cookie", b"a"), ("Cookie", b"\xe9<\0")]),
        body_len: -1,
    };
    let json = "{\"method\":\"PUT\",\"path\":\"/a?b\",\"headers\":[[\"Cookie\",\"a\"],\
                [\"Cookie\",\"\u{e9}\\u003c\\u0000\"]],\"body_len\":-1}";
    assert_eq!(String::from_utf8(request.to_json()).unwrap(), json);
    assert_eq!(OwnRequest::from_json(json.as_bytes()), Ok(request));

    let response = OwnResponse { status: 200, headers: headers(&[("a", b"\x80\xff")]) };
    let json = "{\"status\":200,\"headers\":[[\"a\",\"\u{80}\u{ff}\"]]}";
    assert_eq!(String::from_utf8(response.to_json()).unwrap(), json);
    assert_eq!(OwnResponse::from_json(json.as_bytes()), Ok(response));

    let command = Some(vec!["sh".into(), "-c".into(), "a \"b\"".into()]);
    for (command, list) in [(None, "null"), (command, r#"["sh","-c","a \"b\""]"#)] {
        let terminal = OwnTerminal { term: "xterm".into(), cols: 120, rows: 40, command };
        let json = format!(r#"{{"term":"xterm","cols":120,"rows":40,"command":{list}}}"#);
        assert_eq!(String::from_utf8(terminal.to_json()).unwrap(), json);
        assert_eq!(OwnTerminal::from_json(json.as_bytes()), Ok(terminal));
    }

    let forward = OwnForward { host: "::1".into(), port: 65_535 };
    let json = br#"{"host":"::1","port":65535}"#;
    assert_eq!(forward.to_json(), json);
    assert_eq!(OwnForward::from_json(json), Ok(forward));

    for (error, json) in [(None, r#"{"error":null}"#), (Some("no".into()), r#"{"error":"no"}"#)] {
        let answer = OwnForwardAnswer { error };
        assert_eq!(answer.to_json(), json.as_bytes());
        assert_eq!(OwnForwardAnswer::from_json(json.as_bytes()), Ok(answer));
    }
}

#[test]
fn what_has_not_their_form_is_refused() {
    let wrong = |field| Err(MetaError::WrongType { field });
    for list in [r#"[["a"]]"#, r#"["a","b"]"#, r#"[["a","b","c"]]"#, r#"[["a",1]]"#, "{}"] {
        let json = format!(r#"{{"headers":{list}}}"#);
        assert_eq!(OwnRequest::from_json(json.as_bytes()), wrong("headers"), "{list}");
    }
    let wide = "{\"headers\":[[\"a\",\"\u{100}\"]]}";
    let refused = OwnResponse::from_json(wide.as_bytes());
    assert_eq!(refused, Err(MetaError::WrongType { field: "headers" }), "no byte");
    let port = OwnForward::from_json(br#"{"host":"a","port":65536}"#);
    assert_eq!(port, Err(MetaError::WrongType { field: "port" }));
    let command = OwnTerminal::from_json(br#"{"command":"sh"}"#);
    assert_eq!(command, Err(MetaError::WrongType { field: "command" }));
    assert_eq!(OwnForward::from_json(b""), Err(MetaError::Cut));
}
