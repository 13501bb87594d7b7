//! The Slack client against small servers of its own: one that answers calls, one that holds sockets.

use std::{
    collections::HashSet,
    future::{Future, pending},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{
        WebSocketUpgrade,
        ws::{Message as Frame, WebSocket},
    },
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use habops::{
    clients::slack::{
        Ack, Client, Config, Directory, Edit, Envelope, Error, Health, Limits, LinkDisabled,
        Outcome, Post, Session, Timing, TokenKind, Upload,
    },
    domain::ids::{ChannelId, UserId},
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::{Notify, Semaphore, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Whatever is waited for comes long before this, or never.
const SOON: Duration = Duration::from_secs(20);
const BOT: &str = "xoxb-secret-bot";
const APP: &str = "xapp-secret-app";

async fn soon<F: Future>(what: &str, wait: F) -> F::Output {
    timeout(SOON, wait)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}

// --- a server that answers calls ---------------------------------------------------------------------------------------

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

fn config(at: SocketAddr) -> Config {
    Config {
        api_url: format!("http://{at}/api/"),
        ..Config::new(BOT.into(), APP.into(), "C0OPERATIONS".into())
    }
}

fn client(at: SocketAddr) -> Client {
    let config = config(at);
    assert_eq!(config.check(), Ok(()));
    Client::new(&config).unwrap()
}

fn ok(body: Value) -> Response {
    axum::Json(body).into_response()
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

// --- a server that holds sockets ---------------------------------------------------------------------------------------

/// Gives out sockets and hands them to the test, which plays Slack on them.
struct Sockets {
    at: SocketAddr,
    opened: mpsc::Receiver<WebSocket>,
}

impl Sockets {
    /// `refusals` is how often `apps.connections.open` fails first.
    async fn start(refusals: usize) -> Self {
        let (tell, opened) = mpsc::channel(16);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let open = move |headers: HeaderMap| async move {
            assert_eq!(headers[header::AUTHORIZATION], format!("Bearer {APP}"));
            if asked.fetch_add(1, Ordering::SeqCst) < refusals {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            ok(json!({"ok": true, "url": format!("ws://{at}/link/?ticket=1")}))
        };
        let link = move |upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(move |socket| async move { tell.send(socket).await.unwrap() })
        };
        let app = Router::new()
            .route("/api/apps.connections.open", axum::routing::post(open))
            .route("/link/", get(link));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { at, opened }
    }

    async fn next(&mut self) -> Slack {
        Slack(soon("a socket", self.opened.recv()).await.unwrap())
    }

    async fn next_with_hello(&mut self) -> Slack {
        let mut slack = self.next().await;
        slack.says(json!({"type": "hello"})).await;
        slack
    }
}

/// One socket, seen from Slack's side.
struct Slack(WebSocket);

impl Slack {
    async fn says(&mut self, frame: Value) {
        self.0.send(Frame::text(frame.to_string())).await.unwrap();
    }

    async fn sends(&mut self, id: &str) {
        let payload = json!({"command": "/habops", "text": id, "response_url": "https://hooks.slack.com/secret"});
        let frame = json!({"envelope_id": id, "type": "slash_commands", "payload": payload, "accepts_response_payload": true});
        self.says(frame).await;
    }

    /// The next acknowledgement; `None` when the socket is closed in good order.
    async fn hears(&mut self) -> Option<Value> {
        loop {
            match soon("an acknowledgement", self.0.recv())
                .await
                .unwrap()
                .unwrap()
            {
                Frame::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Frame::Close(_) => {
                    // Reading on is what sends the answer to it.
                    while let Some(Ok(_)) = soon("the end", self.0.recv()).await {}
                    return None;
                }
                _ => {}
            }
        }
    }
}

/// A running session.
struct Running {
    health: Health,
    stop: CancellationToken,
    end: JoinHandle<Result<(), LinkDisabled>>,
}

impl Running {
    fn start<H, F>(sockets: &Sockets, number: usize, timing: Timing, handler: H) -> Self
    where
        H: Fn(Envelope) -> F + Send + Sync + 'static,
        F: Future<Output = Ack> + Send + 'static,
    {
        let session = Session::new(client(sockets.at))
            .sockets(number)
            .timing(timing);
        let (health, stop) = (session.health(), CancellationToken::new());
        let end = tokio::spawn(session.run(handler, stop.clone()));
        Self { health, stop, end }
    }

    /// Stops once all those sockets are in use, and sees each closed in good order with nothing said before.
    async fn stop(self, slack: &mut [Slack]) {
        until(&self.health, "all hellos", |health| {
            health.greeted() == slack.len()
        })
        .await;
        self.stop.cancel();
        for socket in slack {
            assert_eq!(socket.hears().await, None);
        }
        assert_eq!(soon("the session's end", self.end).await.unwrap(), Ok(()));
        assert_eq!((self.health.connected(), self.health.greeted()), (0, 0));
    }
}

async fn until(health: &Health, what: &str, seen: impl Fn(&Health) -> bool) {
    let mut changes = health.changes();
    let wait = async {
        while !seen(health) {
            changes.changed().await.unwrap();
        }
    };
    soon(what, wait).await;
}

fn hasty() -> Timing {
    Timing {
        retry_first: Duration::from_millis(1),
        retry_most: Duration::from_millis(20),
        ..Timing::default()
    }
}

async fn echo(envelope: Envelope) -> Ack {
    Ack::with(json!({"text": envelope.payload["text"]}))
}

#[tokio::test]
async fn two_hundred_envelopes_are_each_acknowledged_once() {
    let mut sockets = Sockets::start(0).await;
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let running = Running::start(&sockets, 2, Timing::default(), move |envelope| {
        count.fetch_add(1, Ordering::SeqCst);
        echo(envelope)
    });
    let (mut one, mut two) = (
        sockets.next_with_hello().await,
        sockets.next_with_hello().await,
    );
    until(&running.health, "both hellos", |health| {
        health.greeted() == 2
    })
    .await;
    assert_eq!(running.health.connected(), 2);
    for number in 0..100 {
        one.sends(&format!("one-{number}")).await;
        two.sends(&format!("two-{number}")).await;
    }
    let mut seen = HashSet::new();
    for _ in 0..100 {
        for socket in [&mut one, &mut two] {
            let ack = socket.hears().await.unwrap();
            assert_eq!(ack["envelope_id"], ack["payload"]["text"]);
            assert!(
                seen.insert(ack["envelope_id"].to_string()),
                "acknowledged twice: {ack}"
            );
        }
    }
    running.stop(&mut [one, two]).await;
    assert_eq!((seen.len(), handled.load(Ordering::SeqCst)), (200, 200));
}

#[tokio::test]
async fn a_slow_handler_holds_nobody_up() {
    let mut sockets = Sockets::start(0).await;
    let gate = Arc::new(Notify::new());
    let open = gate.clone();
    let running = Running::start(&sockets, 1, Timing::default(), move |envelope| {
        let open = open.clone();
        async move {
            if envelope.envelope_id == "slow" {
                open.notified().await;
            }
            Ack::empty()
        }
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("slow").await;
    slack.sends("fast").await;
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "fast"})));
    gate.notify_one();
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "slow"})));
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn no_more_than_sixty_four_are_handled_at_once_and_the_rest_wait() {
    let mut sockets = Sockets::start(0).await;
    let gate = Arc::new(Semaphore::new(0));
    let (at_once, most) = (watch::Sender::new(0_usize), Arc::new(AtomicUsize::new(0)));
    let mut running_now = at_once.subscribe();
    let (open, peak) = (gate.clone(), most.clone());
    let running = Running::start(&sockets, 1, Timing::default(), move |_| {
        let (open, peak, at_once) = (open.clone(), peak.clone(), at_once.clone());
        async move {
            at_once.send_modify(|now| *now += 1);
            peak.fetch_max(*at_once.borrow(), Ordering::SeqCst);
            open.acquire().await.unwrap().forget();
            at_once.send_modify(|now| *now -= 1);
            Ack::empty()
        }
    });
    let mut slack = sockets.next_with_hello().await;
    for number in 0..400 {
        slack.sends(&number.to_string()).await;
    }
    soon(
        "sixty-four handlers",
        running_now.wait_for(|now| *now == 64),
    )
    .await
    .unwrap();
    gate.add_permits(400);
    for _ in 0..400 {
        assert!(slack.hears().await.is_some());
    }
    assert_eq!(most.load(Ordering::SeqCst), 64);
    running.stop(&mut [slack]).await;
}

#[rstest]
#[case("warning")]
#[case("refresh_requested")]
#[tokio::test]
async fn a_socket_that_slack_will_close_is_replaced_first_and_still_answered_on(
    #[case] reason: &str,
) {
    let mut sockets = Sockets::start(0).await;
    let timing = Timing {
        linger: Duration::from_millis(1_500),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, echo);
    let mut old = sockets.next_with_hello().await;
    old.says(json!({"type": "disconnect", "reason": reason}))
        .await;
    let mut new = sockets.next_with_hello().await;
    until(&running.health, "both sockets", |health| {
        health.connected() == 2 && health.reconnects() == 1
    })
    .await;
    old.sends("late").await;
    assert_eq!(old.hears().await.unwrap()["envelope_id"], "late");
    assert_eq!(
        old.hears().await,
        None,
        "closed in good order when it has lingered"
    );
    new.sends("next").await;
    assert_eq!(new.hears().await.unwrap()["envelope_id"], "next");
    running.stop(&mut [new]).await;
}

#[tokio::test]
async fn a_silent_server_is_noticed() {
    let mut sockets = Sockets::start(0).await;
    let timing = Timing {
        ping: Duration::from_millis(50),
        silence: Duration::from_secs(1),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, echo);
    let silent = sockets.next_with_hello().await; // nobody reads it, so nobody answers its pings
    let mut next = sockets.next_with_hello().await;
    until(
        &running.health,
        "one socket instead of the other",
        |health| health.connected() == 1,
    )
    .await;
    assert_eq!(running.health.reconnects(), 1);
    drop(silent);
    next.sends("e1").await;
    assert_eq!(next.hears().await.unwrap()["envelope_id"], "e1");
    running.stop(&mut [next]).await;
}

#[tokio::test]
async fn a_quiet_server_that_answers_pings_is_left_alone() {
    let mut sockets = Sockets::start(0).await;
    let timing = Timing {
        ping: Duration::from_millis(50),
        silence: Duration::from_secs(1),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, echo);
    let mut slack = sockets.next_with_hello().await;
    for _ in 0..30 {
        let frame = soon("a ping", slack.0.recv()).await.unwrap().unwrap();
        assert!(matches!(frame, Frame::Ping(_)), "{frame:?}");
    }
    assert_eq!(
        (running.health.connected(), running.health.reconnects()),
        (1, 0)
    );
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn a_lost_socket_is_replaced_and_its_handler_ends_all_the_same() {
    let mut sockets = Sockets::start(0).await;
    let (gate, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (open, tell) = (gate.clone(), ended.clone());
    let running = Running::start(&sockets, 1, hasty(), move |_| {
        let (open, tell) = (open.clone(), tell.clone());
        async move {
            tell.notify_one();
            open.notified().await;
            tell.notify_one();
            Ack::empty()
        }
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("e1").await;
    soon("the handler's start", ended.notified()).await;
    drop(slack);
    let next = sockets.next_with_hello().await;
    gate.notify_one();
    soon("the handler's end", ended.notified()).await;
    running.stop(&mut [next]).await;
}

#[tokio::test]
async fn opening_is_tried_until_it_works() {
    let mut sockets = Sockets::start(3).await;
    let running = Running::start(&sockets, 1, hasty(), echo);
    let slack = sockets.next_with_hello().await;
    until(&running.health, "the hello", |health| health.greeted() == 1).await;
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn a_switched_off_link_ends_the_session() {
    let mut sockets = Sockets::start(0).await;
    let running = Running::start(&sockets, 2, hasty(), echo);
    let (mut one, mut two) = (
        sockets.next_with_hello().await,
        sockets.next_with_hello().await,
    );
    one.says(json!({"type": "disconnect", "reason": "link_disabled"}))
        .await;
    assert_eq!(one.hears().await, None);
    assert_eq!(two.hears().await, None);
    assert_eq!(
        soon("the session's end", running.end).await.unwrap(),
        Err(LinkDisabled)
    );
}

#[tokio::test]
async fn too_many_sockets_make_us_wait() {
    let mut sockets = Sockets::start(0).await;
    let timing = Timing {
        linger: Duration::from_millis(1),
        retry_most: Duration::from_millis(40),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, echo);
    let mut one = sockets.next_with_hello().await;
    one.says(json!({"type": "disconnect", "reason": "too_many_websockets"}))
        .await;
    assert_eq!(one.hears().await, None, "given up at once");
    let next = sockets.next_with_hello().await;
    running.stop(&mut [next]).await;
}

#[tokio::test]
async fn what_cannot_be_used_is_acknowledged_by_its_id() {
    let mut sockets = Sockets::start(0).await;
    let running = Running::start(&sockets, 1, Timing::default(), |_| async {
        panic!("nothing to handle")
    });
    let mut slack = sockets.next_with_hello().await;
    slack.0.send(Frame::text("{")).await.unwrap();
    slack
        .says(json!({"envelope_id": "e1", "type": "interactive"}))
        .await;
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "e1"})));
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn what_is_withheld_or_panics_is_not_acknowledged_and_hurts_nobody() {
    let mut sockets = Sockets::start(0).await;
    let running = Running::start(&sockets, 1, Timing::default(), |envelope| async move {
        match envelope.envelope_id.as_str() {
            "withheld" => Ack::Withhold,
            "panics" => panic!("on purpose"),
            _ => echo(envelope).await,
        }
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("withheld").await;
    slack.sends("panics").await;
    slack.sends("good").await;
    assert_eq!(slack.hears().await.unwrap()["envelope_id"], "good");
    running.stop(&mut [slack]).await; // and hears nothing more
}

#[tokio::test]
async fn an_answer_goes_only_where_slack_takes_one() {
    let mut sockets = Sockets::start(0).await;
    let running = Running::start(&sockets, 1, Timing::default(), echo);
    let mut slack = sockets.next_with_hello().await;
    slack
        .says(json!({"envelope_id": "e1", "type": "events_api", "payload": {}, "accepts_response_payload": false}))
        .await;
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "e1"})));
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn a_stop_finishes_what_was_taken_and_closes() {
    let mut sockets = Sockets::start(0).await;
    let (started, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, open) = (started.clone(), gate.clone());
    let running = Running::start(&sockets, 1, Timing::default(), move |_| {
        let (tell, open) = (tell.clone(), open.clone());
        async move {
            tell.notify_one();
            open.notified().await;
            Ack::empty()
        }
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("taken").await;
    soon("the handler's start", started.notified()).await;
    running.stop.cancel();
    gate.notify_one();
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "taken"})));
    assert_eq!(slack.hears().await, None);
    assert_eq!(
        soon("the session's end", running.end).await.unwrap(),
        Ok(())
    );
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_handler_that_hangs() {
    let mut sockets = Sockets::start(0).await;
    let started = Arc::new(Notify::new());
    let tell = started.clone();
    let timing = Timing {
        drain: Duration::from_millis(50),
        write: Duration::from_millis(200),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, move |_| {
        tell.notify_one();
        pending()
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("hangs").await;
    soon("the handler's start", started.notified()).await;
    running.stop(&mut [slack]).await;
}
