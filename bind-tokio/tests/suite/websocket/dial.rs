//! Answers to a dial that are no WebSocket.

use std::time::Duration;

use super::sockets::{Temporary, header, request, upgrade};
use crate::rt::{self, DialError, DialFault, DialOptions};

/// What a dial gives when the server says this, and then hangs up.
async fn answered(answer: &'static [u8]) -> (std::io::Error, String) {
    let (listener, port) = rt::listen().await;
    let serving = rt::spawn(async move {
        let mut socket = rt::accept(&listener).await;
        let request = request(&mut socket).await.unwrap();
        let _ = rt::write_all(&mut socket, answer).await;
        let _ = rt::close(&mut socket).await;
        // What the client says until it hangs up.
        let _ = rt::read_to_end(&mut socket).await;
        request
    });
    let url = format!("http://127.0.0.1:{port}/api/tunnel/box?token=secret");
    let options = DialOptions::new(url).header("Authorization", "Bearer secret");
    let error = rt::dial(options).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("127.0.0.1"), "{shown}");
    assert!(!shown.contains("secret") && !shown.contains("/api"), "{shown}");
    (error, serving.await)
}

#[test]
fn a_refusal_is_named_by_its_status() {
    rt::each(async || {
        let unauthorized = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\n\r\nunauthorized\n";
        let (error, request) = answered(unauthorized).await;
        assert_eq!(DialError::of(&error).unwrap().status(), Some(401));
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("401 Unauthorized"), "{error}");
        assert!(request.starts_with("GET /api/tunnel/box?token=secret HTTP/1.1\r\n"), "{request}");
        assert_eq!(header(&request, "authorization"), Some("Bearer secret"));
        assert!(header(&request, "host").unwrap().starts_with("127.0.0.1:"));
        assert_eq!(header(&request, "sec-websocket-extensions"), None);
    });
}

#[test]
fn a_redirect_is_not_followed() {
    rt::each(async || {
        let (error, _) =
            answered(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n").await;
        assert_eq!(DialError::of(&error).unwrap().status(), Some(302));
    });
}

#[test]
fn garbage_is_no_answer() {
    rt::each(async || {
        for garbage in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], &[0; 100], b"HTTP/1.1 101 Sure\r\n\r\n"] {
            let (error, _) = answered(garbage).await;
            let fault = DialError::of(&error).unwrap().fault();
            assert!(matches!(fault, DialFault::Answer(_)), "{error:?}");
        }
    });
}

#[test]
fn a_server_that_hangs_up_is_lost() {
    rt::each(async || {
        for cut in [&b""[..], b"HTTP/1.1 101 Switching Pro"] {
            let (error, _) = answered(cut).await;
            let fault = DialError::of(&error).unwrap().fault();
            assert!(matches!(fault, DialFault::Lost(_)), "{error:?}");
        }
    });
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    rt::each(async || {
        let (listener, port) = rt::listen().await;
        let serving = rt::spawn(async move {
            let mut socket = rt::accept(&listener).await;
            rt::read_to_end(&mut socket).await
        });
        let mut options = DialOptions::new(format!("ws://127.0.0.1:{port}"));
        options.timeout = Duration::from_millis(200);
        let error = rt::dial(options).await.unwrap_err();
        let fault = DialError::of(&error).unwrap().fault();
        assert!(matches!(fault, DialFault::Timeout(_)), "{error:?}");
        // And it was hung up on.
        let _ = serving.await;
    });
}

#[test]
fn what_is_not_there_cannot_be_dialled() {
    rt::each(async || {
        // Bound and let go: nobody listens there.
        let (listener, port) = rt::listen().await;
        drop(listener);
        let error = rt::dial(DialOptions::new(format!("ws://127.0.0.1:{port}"))).await.unwrap_err();
        let fault = DialError::of(&error).unwrap().fault();
        assert!(matches!(fault, DialFault::Connect(_)), "{error:?}");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    rt::each(async || {
        let (listener, port) = rt::listen().await;
        let empty = Temporary::new("no certificate\n");
        let missing = empty.0.with_extension("missing");
        for path in [empty.0.clone(), missing] {
            let mut options = DialOptions::new(format!("wss://127.0.0.1:{port}"));
            options.ca_file = Some(path);
            let error = rt::dial(options).await.unwrap_err();
            let fault = DialError::of(&error).unwrap().fault();
            assert!(matches!(fault, DialFault::Certificates(_)), "{error:?}");
        }
        drop(listener);
    });
}

#[test]
fn what_would_change_the_request_is_refused_before_anything_is_dialled() {
    rt::each(async || {
        for url in ["ws://127.0.0.1:1/\r\nX: y", "ftp://127.0.0.1:1/", "ws://a:b@127.0.0.1:1/"] {
            let error = rt::dial(DialOptions::new(url)).await.unwrap_err();
            let fault = DialError::of(&error).unwrap().fault();
            assert!(matches!(fault, DialFault::Url(_)), "{error:?}");
        }
        let options = DialOptions::new("ws://127.0.0.1:1/").header("Authorization", "a\r\nX: y");
        let error = rt::dial(options).await.unwrap_err();
        assert!(matches!(DialError::of(&error).unwrap().fault(), DialFault::Header(_)));
    });
}

#[test]
fn what_comes_with_the_answer_is_not_lost() {
    rt::each(async || {
        let (listener, port) = rt::listen().await;
        let serving = rt::spawn(async move {
            let mut socket = rt::accept(&listener).await;
            upgrade(&mut socket).await.unwrap();
            // A ping of yamux, most often in the same read as the answer.
            let ping = [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
            rt::write_all(&mut socket, &super::raw::frame(2, &ping)).await.unwrap();
            // The head of the masked answer, and all of it.
            rt::read_exact(&mut socket, 6 + 12).await.unwrap()
        });
        let (websocket, _) =
            rt::dial(DialOptions::new(format!("ws://127.0.0.1:{port}"))).await.unwrap();
        let machine = super::raw::machine(rt::Side::Client);
        let _client = rt::websocket_over(websocket, machine, super::raw::quiet());
        assert_eq!(serving.await[..2], [0x82, 0x80 | 12]);
    });
}
