//! A server that answers calls: what is sent to it, and what its refusals and silences mean.

use std::{
    future::{Future, pending},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use habops::{
    clients::slack::{
        Client, Config, Directory, Edit, Error, Limits, Outcome, Post, TokenKind, Upload,
    },
    domain::ids::{ChannelId, UserId},
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{APP, client, config, ok, soon};

#[derive(Clone, Debug)]
struct Call {
    path: String,
    query: String,
    authorization: Option<String>,
    body: Vec<u8>,
}

impl Call {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

struct Server {
    at: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    /// Answers each call with what `answer` says to it; `answer` is also given how many came before.
    async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Call, usize) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response> + Send,
    {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let kept = calls.clone();
        let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let authorization = headers
                .get(header::AUTHORIZATION)
                .map(|value| value.to_str().unwrap().to_owned());
            let call = Call {
                path: uri.path().to_owned(),
                query: uri.query().unwrap_or_default().to_owned(),
                authorization,
                body: body.to_vec(),
            };
            let before = {
                let mut kept = kept.lock().unwrap();
                kept.push(call.clone());
                kept.len() - 1
            };
            answer(call, before)
        });
        Self {
            at: serve(app).await,
            calls,
        }
    }

    async fn answering(status: StatusCode, body: impl Into<String>) -> Self {
        let body = body.into();
        Self::start(move |_, _| {
            let answer = (
                status,
                [(header::CONTENT_TYPE, "application/json")],
                body.clone(),
            )
                .into_response();
            async move { answer }
        })
        .await
    }

    fn client(&self) -> Client {
        client(self.at)
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    at
}

fn post() -> Post {
    Post {
        channel: "C1".into(),
        thread: None,
        text: "hello".to_owned(),
        blocks: None,
        metadata: None,
        reply_broadcast: false,
    }
}

fn assert_tells_no_secret(error: &Error) {
    let told = format!("{error} {error:?} {}", error.advice());
    for secret in ["secret-bot", "secret-app", "/secret", "<html>", "127.0.0.1"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

#[tokio::test]
async fn what_is_posted_is_what_was_rendered() {
    let server =
        Server::start(|_, _| async { ok(json!({"ok": true, "channel": "C1", "ts": "1.2"})) }).await;
    let blocks = json!([{"type": "markdown", "text": "**<&>**", "new_field": 1.50}]);
    let metadata =
        json!({"event_type": "habops_operation", "event_payload": {"operation": "op-1", "seq": 1}});
    let post = Post {
        thread: Some("1.1".into()),
        blocks: Some(blocks.clone()),
        metadata: Some(metadata.clone()),
        reply_broadcast: true,
        ..post()
    };
    assert_eq!(server.client().post(&post).await.unwrap().as_str(), "1.2");
    let [call] = server.calls().try_into().unwrap();
    assert_eq!(
        (call.path.as_str(), call.authorization.as_deref()),
        ("/api/chat.postMessage", Some("Bearer xoxb-secret-bot"))
    );
    assert_eq!(
        call.json(),
        json!({"channel": "C1", "text": "hello", "thread_ts": "1.1", "blocks": blocks, "metadata": metadata,
            "reply_broadcast": true, "parse": "none", "link_names": false, "unfurl_links": false, "unfurl_media": false})
    );
}

#[tokio::test]
async fn an_edit_without_blocks_takes_the_old_ones_away() {
    let server = Server::start(|_, _| async { ok(json!({"ok": true})) }).await;
    let edit = Edit {
        channel: "C1".into(),
        ts: "1.2".into(),
        text: "done".to_owned(),
        blocks: None,
        metadata: None,
    };
    server.client().update(&edit).await.unwrap();
    assert_eq!(server.calls()[0].json()["blocks"], json!([]));
}

#[rstest]
#[case::said(Some("7"), 7)]
#[case::unsaid(None, 1)]
#[tokio::test]
async fn a_limit_says_how_long_to_wait(
    #[case] header: Option<&'static str>,
    #[case] seconds: u64,
    #[values("application/json", "text/plain")] kind: &'static str,
) {
    let server = Server::start(move |_, _| async move {
        let body = r#"{"ok":false,"error":"ratelimited"}"#;
        let mut answer = (
            StatusCode::TOO_MANY_REQUESTS,
            [(header::CONTENT_TYPE, kind)],
            body,
        )
            .into_response();
        if let Some(value) = header {
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, value.parse().unwrap());
        }
        answer
    })
    .await;
    let error = server.client().post(&post()).await.unwrap_err();
    let retry_after = Duration::from_secs(seconds);
    assert_eq!(
        error,
        Error::RateLimited {
            method: "chat.postMessage",
            retry_after
        }
    );
    assert_eq!(
        (error.outcome(), server.calls().len()),
        (Outcome::NotDone, 1)
    );
}

#[rstest]
#[case::broken(StatusCode::INTERNAL_SERVER_ERROR, "<html>xoxb-secret-bot</html>")]
#[case::unavailable(StatusCode::SERVICE_UNAVAILABLE, "")]
#[case::a_proxys_page(StatusCode::OK, "<html>sign in</html>")]
#[case::not_slack(StatusCode::OK, "{}")]
#[case::slack_broke(StatusCode::OK, r#"{"ok":false,"error":"fatal_error"}"#)]
#[case::no_time_stamp(StatusCode::OK, r#"{"ok":true}"#)]
#[tokio::test]
async fn what_slack_may_have_done_is_unknown_and_not_sent_twice(
    #[case] status: StatusCode,
    #[case] body: &str,
) {
    let server = Server::answering(status, body).await;
    let error = server.client().post(&post()).await.unwrap_err();
    assert_eq!(
        (error.outcome(), server.calls().len()),
        (Outcome::Unknown, 1),
        "{error}"
    );
    assert_tells_no_secret(&error);
}

#[tokio::test]
async fn a_reset_after_sending_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let resets = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 64];
        stream.read_exact(&mut some).await.unwrap();
        stream.set_zero_linger().unwrap();
    });
    let error = soon("the reset", client(at).post(&post()))
        .await
        .unwrap_err();
    resets.await.unwrap();
    assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
    assert_tells_no_secret(&error);
}

#[tokio::test]
async fn half_an_answer_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let half = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 64];
        stream.read_exact(&mut some).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{\"ok\":true")
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        while stream.read(&mut some).await.unwrap() > 0 {}
    });
    let error = soon("the end", client(at).post(&post())).await.unwrap_err();
    half.await.unwrap();
    assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
}

#[tokio::test]
async fn no_answer_in_time_is_unknown() {
    let server = Server::start(|_, _| async { pending().await }).await;
    let limits = Limits {
        write: Duration::from_millis(200),
        ..Limits::default()
    };
    let error = soon(
        "the time-out",
        server.client().with_limits(limits).post(&post()),
    )
    .await
    .unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn no_connection_is_unreachable_and_surely_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let error = client(at).post(&post()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::NotDone);
    assert!(error.to_string().contains("refused"), "{error}");
    assert_tells_no_secret(&error);
}

#[tokio::test]
async fn a_refusal_keeps_what_is_useful_and_no_body() {
    let body = json!({"ok": false, "error": "missing_scope", "needed": "pins:write", "provided": "xoxb-secret-bot"});
    let server = Server::answering(StatusCode::OK, body.to_string()).await;
    let error = server
        .client()
        .pin(&"C1".into(), &"1.2".into())
        .await
        .unwrap_err();
    assert_eq!(
        error.advice(),
        "Add the scope pins:write to the Slack app and reinstall it."
    );
    assert_tells_no_secret(&error);

    let remarks =
        json!(["[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"]);
    let body =
        json!({"ok": false, "error": "invalid_blocks", "response_metadata": {"messages": remarks}});
    let server = Server::answering(StatusCode::OK, body.to_string()).await;
    let Err(Error::Api { code, messages, .. }) = server.client().post(&post()).await else {
        panic!("not refused")
    };
    assert_eq!(
        (code.as_str(), json!(messages)),
        ("invalid_blocks", remarks)
    );

    let server =
        Server::answering(StatusCode::OK, r#"{"ok":false,"error":"xoxb-secret-bot"}"#).await;
    assert_tells_no_secret(&server.client().post(&post()).await.unwrap_err());
}

#[tokio::test]
async fn done_before_is_done() {
    let server =
        Server::answering(StatusCode::OK, r#"{"ok":false,"error":"already_pinned"}"#).await;
    server
        .client()
        .pin(&"C1".into(), &"1.2".into())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bad_token_is_told_by_name() {
    let server = Server::start(|call, _| async move {
        ok(match call.path.as_str() {
            "/api/auth.test" => {
                json!({"ok": true, "team_id": "T1", "user_id": "U1", "bot_id": "B1"})
            }
            _ => json!({"ok": false, "error": "invalid_auth"}),
        })
    })
    .await;
    let error = server.client().verify(true).await.unwrap_err();
    assert_eq!(
        error,
        Error::Token {
            which: TokenKind::App,
            code: "invalid_auth".to_owned(),
            begins: None
        }
    );
    assert!(
        error.advice().contains("app token (invalid_auth)"),
        "{}",
        error.advice()
    );
    assert_eq!(
        server.client().verify(false).await.unwrap().user.as_str(),
        "U1"
    );

    let server = Server::answering(
        StatusCode::OK,
        r#"{"ok":false,"error":"not_allowed_token_type"}"#,
    )
    .await;
    let swapped = Config {
        bot_token: APP.into(),
        ..config(server.at)
    };
    let error = Client::new(&swapped)
        .unwrap()
        .auth_test()
        .await
        .unwrap_err();
    assert!(
        error
            .advice()
            .starts_with("The bot token begins with xoxb-, this one begins with xapp-"),
        "{}",
        error.advice()
    );
    assert!(!error.advice().contains(APP));
}

#[tokio::test]
async fn a_read_is_tried_again_when_slack_stumbles() {
    let server = Server::start(|_, before| async move {
        match before {
            0 => StatusCode::BAD_GATEWAY.into_response(),
            _ => ok(json!({"ok": true, "channel": {"id": "C1", "name": "operations", "is_member": true}})),
        }
    })
    .await;
    let channel = server.client().conversation(&"C1".into()).await.unwrap();
    assert_eq!(
        (
            channel.name.as_deref(),
            channel.is_member,
            channel.is_archived
        ),
        (Some("operations"), Some(true), None)
    );
    assert_eq!(
        (server.calls().len(), server.calls()[0].query.as_str()),
        (2, "channel=C1")
    );
}

#[tokio::test]
async fn addresses_that_are_credentials_get_no_token_and_take_a_bare_ok() {
    let server = Server::start(|_, before| async move {
        match before {
            0 => "ok".into_response(),
            1 => StatusCode::OK.into_response(),
            _ => axum::body::Body::from("ok").into_response(),
        }
    })
    .await;
    let url = format!("http://{}/hook/secret", server.at);
    for _ in 0..3 {
        let body = json!({"text": "hi", "response_type": "ephemeral"});
        server
            .client()
            .respond(&url.clone().into(), &body)
            .await
            .unwrap();
    }
    for call in server.calls() {
        assert_eq!(
            (call.path.as_str(), call.authorization),
            ("/hook/secret", None)
        );
    }

    let server =
        Server::answering(StatusCode::NOT_FOUND, r#"{"ok":false,"error":"used_url"}"#).await;
    let url = format!("http://{}/hook/secret", server.at);
    let error = server
        .client()
        .respond(&url.into(), &json!({"text": "hi"}))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.outcome()),
        (Some("used_url"), Outcome::NotDone)
    );
    assert_tells_no_secret(&error);

    let elsewhere = "http://hooks.example/secret";
    let error = server
        .client()
        .respond(&elsewhere.into(), &json!({"text": "hi"}))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_tells_no_secret(&error);
}

#[tokio::test]
async fn a_file_takes_three_steps() {
    let at = Arc::new(Mutex::new(String::new()));
    let known = at.clone();
    let server = Server::start(move |call, _| {
        let upload_url = format!("http://{}/upload/secret", known.lock().unwrap());
        async move {
            match call.path.as_str() {
                "/api/files.getUploadURLExternal" => {
                    ok(json!({"ok": true, "file_id": "F1", "upload_url": upload_url}))
                }
                "/upload/secret" => "OK - 4".into_response(),
                _ => ok(json!({"ok": true, "files": [{"id": "F1"}]})),
            }
        }
    })
    .await;
    *at.lock().unwrap() = server.at.to_string();
    let (channel, thread) = ("C1".into(), "1.1".into());
    let upload = Upload {
        channel: &channel,
        thread: Some(&thread),
        filename: "api.log",
        title: "the log",
        bytes: b"a\xffb\n",
        snippet_type: Some("text"),
        initial_comment: None,
    };
    assert_eq!(server.client().upload(&upload).await.unwrap().0, "F1");
    let [reserved, sent, completed] = server.calls().try_into().unwrap();
    assert_eq!(
        reserved.query,
        "filename=api.log&length=4&snippet_type=text"
    );
    assert_eq!(
        (sent.body.as_slice(), sent.authorization),
        (b"a\xffb\n".as_slice(), None)
    );
    assert_eq!(
        completed.json(),
        json!({"files": [{"id": "F1", "title": "the log"}], "channel_id": "C1", "thread_ts": "1.1"})
    );
}

#[tokio::test]
async fn a_history_is_read_by_pages_and_says_when_there_is_more() {
    let server = Server::start(|call, _| async move {
        let message = |ts: &str| json!({"ts": ts, "bot_id": "B1", "metadata": {"event_type": "habops_operation"}});
        ok(if call.query.contains("cursor=two") {
            json!({"ok": true, "messages": [message("1.0")], "has_more": false})
        } else {
            json!({"ok": true, "messages": [message("3.0"), message("2.0")], "has_more": true,
                "response_metadata": {"next_cursor": "two"}})
        })
    })
    .await;
    let channel = ChannelId::from("C1");
    let all = server
        .client()
        .history(&channel, Some(&"0.5".into()), 50)
        .await
        .unwrap();
    let seen: Vec<_> = all
        .messages
        .iter()
        .map(|message| message.ts.as_str())
        .collect();
    assert_eq!((seen, all.complete), (vec!["3.0", "2.0", "1.0"], true));
    assert_eq!(
        all.messages[0].metadata.as_ref().unwrap()["event_type"],
        "habops_operation"
    );
    assert_eq!(
        server.calls()[0].query,
        "channel=C1&oldest=0.5&limit=50&include_all_metadata=true"
    );

    let some = server
        .client()
        .replies(&channel, &"1.0".into(), None, 2)
        .await
        .unwrap();
    assert_eq!((some.messages.len(), some.complete), (2, false));
}

#[tokio::test]
async fn people_are_asked_for_once() {
    let server = Server::start(|call, _| async move {
        ok(match call.path.as_str() {
            "/api/users.info" => {
                json!({"ok": true, "user": {"id": "U1", "name": "ana", "is_bot": false}})
            }
            _ => json!({"ok": true, "users": ["U1", "U2"]}),
        })
    })
    .await;
    let directory = Directory::new(server.client());
    let ana = UserId::from("U1");
    let (one, two) = tokio::join!(directory.person(&ana), directory.person(&ana));
    assert_eq!(
        (one.unwrap().is_bot, two.unwrap().is_restricted),
        (Some(false), None)
    );
    let group = "S1".into();
    assert_eq!(
        *directory.members(&group).await.unwrap(),
        ["U1".into(), "U2".into()]
    );
    assert_eq!(
        *directory.members(&group).await.unwrap(),
        ["U1".into(), "U2".into()]
    );
    assert_eq!(server.calls().len(), 2);
}
