//! HTTP calls through a tunnel.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};

use super::web::Web;
use super::{DIALECTS, pair};
use crate::cases::support::Pattern;
use crate::cases::wire::Fate;
use crate::rt;
use crate::rt::tunnel::{AgentOptions, Dialect, LocalService, TunnelError};

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

/// A body whose length nobody knows.
struct Unknown(Vec<Bytes>);

impl Body for Unknown {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

#[test]
fn a_call_reaches_the_local_service_and_its_answer_comes_back() {
    rt::each(async || {
        let web = Web::new().await;
        for dialect in DIALECTS {
            let pair = pair(dialect, web.options());
            for length in [0, 1, 70_000, 1 << 20] {
                let sent = Bytes::from(Pattern::new().head(length));
                let request = Request::post("/echo?a=b").body(Full::new(sent.clone())).unwrap();
                let answer = pair.tunnel.open_http(request).await.unwrap();
                assert_eq!(answer.status(), 200);
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                assert!(body == sent, "{} bytes of {length}, {dialect:?}", body.len());
            }
            assert_eq!((pair.tunnel.stats().opened, pair.tunnel.stats().failed), (4, 0));
        }
    });
}

#[test]
fn many_calls_at_once_stay_apart() {
    rt::each(async || {
        let web = Web::new().await;
        let pair = pair(Dialect::Own, web.options());
        let calls: Vec<_> = (0..64_u8)
            .map(|number| {
                let tunnel = pair.tunnel.clone();
                rt::spawn(async move {
                    let body = Full::new(Bytes::from(vec![number; 3_000]));
                    let request = Request::post("/echo").body(body).unwrap();
                    let answer = tunnel.open_http(request).await.unwrap();
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(body, vec![number; 3_000]);
                })
            })
            .collect();
        for call in calls {
            call.await;
        }
    });
}

#[test]
fn headers_of_one_name_stay_several_between_our_own_ends() {
    rt::each(async || {
        let web = Web::new().await;
        for (dialect, cookies) in
            [(Dialect::Own, &["a=1", "b=2"][..]), (Dialect::Original, &["a=1"])]
        {
            let pair = pair(dialect, web.options());
            let answer = pair.tunnel.open_http(get("/cookies")).await.unwrap();
            let found: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
            assert_eq!(found, cookies, "{dialect:?}");
            // What is meant for one hop goes no further.
            assert!(answer.headers().get("x-hop").is_none(), "{:?}", answer.headers());
        }
    });
}

#[test]
fn a_body_that_is_cut_off_is_an_error_and_never_a_short_body() {
    rt::each(async || {
        let web = Web::new().await;
        for dialect in DIALECTS {
            let pair = pair(dialect, web.options());
            // It may have broken before its head was read.
            let cut = match pair.tunnel.open_http(get("/cut")).await {
                Ok(answer) => answer.into_body().collect().await.map(drop),
                Err(error) => Err(error),
            };
            assert!(matches!(cut, Err(TunnelError::Failed(_))), "{dialect:?}");
        }
    });
}

#[test]
fn a_body_of_unknown_length_is_carried_by_ours_and_refused_for_an_original() {
    rt::each(async || {
        let web = Web::new().await;
        let unknown = || {
            let body = Unknown(vec!["world".into(), "hello ".into()]);
            Request::post("/echo").body(body).unwrap()
        };
        let own = pair(Dialect::Own, web.options());
        let answer = own.tunnel.open_http(unknown()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello world");
        let original = pair(Dialect::Original, web.options());
        let refused = original.tunnel.open_http(unknown()).await.unwrap_err();
        assert!(matches!(refused, TunnelError::Refused(_)), "{refused}");
    });
}

#[test]
fn an_early_answer_to_a_large_upload_is_heard() {
    rt::each(async || {
        let web = Web::new().await;
        for dialect in DIALECTS {
            let pair = pair(dialect, web.options());
            let body = Full::new(Bytes::from(vec![7; 20 << 20]));
            let request = Request::post("/early").body(body).unwrap();
            let answer = pair.tunnel.open_http(request).await.unwrap();
            assert_eq!(answer.status(), 413, "{dialect:?}");
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "no!");
        }
    });
}

#[test]
fn events_come_as_they_happen_and_a_dropped_body_stops_them() {
    rt::each(async || {
        let web = Web::new().await;
        for dialect in DIALECTS {
            let pair = pair(dialect, web.options());
            let answer = pair.tunnel.open_http(get("/events")).await.unwrap();
            let mut body = answer.into_body();
            let first = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            assert_eq!(first.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
            drop(body);
            // The control stream may live beside it.
            crate::cases::support::eventually("the stream is gone", || {
                pair.agent.stats().streams <= 1
            })
            .await;
        }
    });
}

#[test]
fn an_upgrade_is_a_duplex_between_our_own_ends() {
    rt::each(async || {
        let web = Web::new().await;
        let pair = pair(Dialect::Own, web.options());
        let request = Request::get("/upgrade")
            .header("connection", "upgrade")
            .header("upgrade", "echo")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = pair.tunnel.open_http(request).await.unwrap();
        assert_eq!(answer.status(), 101);
        let mut duplex = answer.into_body().into_upgraded().unwrap();
        let mut data = Bytes::from_static(b" and more");
        while !data.is_empty() {
            poll_fn(|cx| duplex.poll_write(cx, &mut data)).await.unwrap();
        }
        duplex.finish();
        let mut heard = Vec::new();
        while let Some(bytes) = poll_fn(|cx| duplex.poll_read(cx)).await.unwrap() {
            heard.extend_from_slice(&bytes);
        }
        assert_eq!(heard, b"first and more");
    });
}

#[test]
fn a_service_that_is_not_there_is_told() {
    rt::each(async || {
        let (listener, port) = rt::listen().await;
        drop(listener);
        for dialect in DIALECTS {
            let mut options = AgentOptions::default();
            let service = LocalService::new(&format!("127.0.0.1:{port}"));
            options.http = Some(service.unwrap());
            let pair = pair(dialect, options);
            let answer = pair.tunnel.open_http(get("/")).await.unwrap();
            assert_eq!(answer.status(), 502, "{dialect:?}");
            let text = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(text.starts_with(b"local service error: "), "{text:?}");
        }
    });
}

#[test]
fn a_lost_link_fails_every_call_and_hangs_none() {
    rt::each(async || {
        let web = Web::new().await;
        for dialect in DIALECTS {
            let pair = pair(dialect, web.options());
            let answer = pair.tunnel.open_http(get("/events")).await.unwrap();
            let waiting = rt::spawn(answer.into_body().collect());
            pair.line.down.cut(Fate::End);
            pair.line.up.cut(Fate::End);
            assert!(waiting.await.is_err(), "{dialect:?}");
            pair.tunnel.closed().await;
            let refused = pair.tunnel.open_http(get("/")).await.unwrap_err();
            assert!(refused.never_sent() && refused.is_lost(), "{refused}");
            pair.serving.await;
        }
    });
}

#[test]
fn a_prefix_of_the_service_is_not_left() {
    rt::each(async || {
        let web = Web::new().await;
        let mut options = AgentOptions::default();
        let base = format!("http://127.0.0.1:{}/below/", web.port);
        options.http = Some(LocalService::new(&base).unwrap());
        let pair = pair(Dialect::Own, options);
        for path in ["/..", "/a/../../b", "/%2e%2E/b", "/.%2e/b", "/..%2fb", "/..%5Cb", "/..;x/b"] {
            let answer = pair.tunnel.open_http(get(path)).await.unwrap();
            assert_eq!(answer.status(), 400, "{path}");
        }
        for path in ["/", "/...", "/a..b", "/a?x=/../b"] {
            let answer = pair.tunnel.open_http(get(path)).await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
        }
    });
}
