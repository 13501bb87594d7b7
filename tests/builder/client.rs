//! Each of Builder's refusals and silences is a sentence that says where to look, and nothing is said twice that changes something.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use habops::{
    clients::builder::{Client, Config, Error},
    domain::release::{Channel, FullIdent},
};
use insta::assert_snapshot;
use rstest::rstest;
use tokio::net::TcpListener;

const TOKEN: &str = "_Qk9VTkRFRA-secret";
const IDENT: &str = "core/redis/4.0.1/20171014212634";

/// What was heard of a call: method, path, User-Agent, whether there was the token.
type Heard = (String, String, Option<String>, bool);

/// One server that answers everything alike, and what it heard.
struct Server {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    async fn start(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let router = Router::new().fallback(async move |request: Request| {
            let of = |name| {
                let value = request.headers().get(name)?;
                Some(value.to_str().unwrap().to_owned())
            };
            let token = of(header::AUTHORIZATION) == Some(format!("Bearer {TOKEN}"));
            let line = (
                request.method().to_string(),
                request.uri().path().to_owned(),
                of(header::USER_AGENT),
                token,
            );
            hears.lock().unwrap().push(line);
            answer()
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, heard }
    }

    fn client(&self) -> Client {
        client(&self.url, Duration::from_secs(20))
    }

    fn heard(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

fn client(url: &str, timeout: Duration) -> Client {
    Client::new(&Config {
        url: url.to_owned(),
        token: Some(TOKEN.to_owned().into()),
        timeout,
    })
    .unwrap()
}

fn ident() -> FullIdent {
    IDENT.parse().unwrap()
}

fn stable() -> Channel {
    "stable".parse().unwrap()
}

const PAGE: &str = "<html>\r\n<head><title>…</title></head><body>nginx/1.13.5</body></html>";

/// What Builder may answer to a promotion: status, body.
const ANSWERS: [(u16, &str); 20] = [
    (401, ""),
    (
        401,
        r#"{"code":7,"msg":"core:promote-package-to-channel:0"}"#,
    ),
    (401, r#"{"code":8,"msg":"ss:session-get:5"}"#),
    (403, ""),
    (403, r#"{"code":12,"msg":"net:auth:bad-token"}"#),
    (404, ""),
    (404, r#"{"code":4,"msg":"vt:origin-channel-get:0"}"#),
    (404, PAGE),
    (409, r#"{"code":9,"msg":"vt:origin-channel-create:1"}"#),
    (422, r#"{"code":3000,"msg":"hg:promote-job-group:1"}"#),
    (500, "Internal Habitat error"),
    (500, r#"{"code":11,"msg":"vt:origin-get:1"}"#),
    (500, r#"{"code":4711,"msg":"xx:what:1"}"#),
    (502, PAGE),
    (503, r#"{"code":6,"msg":"rt:route:2"}"#),
    (503, r#"{"code":13,"msg":"jb:job-group-create:2"}"#),
    (504, r#"{"code":1,"msg":"net:route:3"}"#),
    (504, ""),
    (301, ""),
    (200, PAGE),
];

#[tokio::test]
async fn each_refusal_is_a_sentence_that_says_where_to_look() {
    let mut said = Vec::new();
    for (status, body) in ANSWERS {
        let server =
            Server::start(move || (StatusCode::from_u16(status).unwrap(), body).into_response())
                .await;
        let error = server.client().promote(&ident(), &stable()).await;
        let error = error.expect_err("no answer of these is a yes");
        let role = error.suspect().unwrap_or("–");
        said.push(format!("{role:10} {error}"));
        // A change is said once, whatever came of it.
        assert_eq!(server.heard(), 1, "{status} {body}");
    }
    assert_snapshot!(said.join("\n"));
}

#[tokio::test]
async fn an_answer_that_holds_nothing_is_not_taken_for_one() {
    for (body, wanted) in [
        ("", "answered 200 and nothing that could be read"),
        (PAGE, "a web page answered (200)"),
        (r#"{"ok":true}"#, "something else than was asked for"),
        ("[\"../../etc\"]", "something else than was asked for"),
    ] {
        let server = Server::start(move || body.into_response()).await;
        let error = server.client().channels_of(&ident()).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_page_of_the_proxy_does_not_say_that_there_is_no_such_package() {
    let server = Server::start(|| (StatusCode::NOT_FOUND, PAGE).into_response()).await;
    let error = server.client().package(&ident()).await.unwrap_err();
    assert!(
        error.to_string().contains("is builder.url right?"),
        "{error}"
    );
    let server = Server::start(|| StatusCode::NOT_FOUND.into_response()).await;
    assert_eq!(server.client().package(&ident()).await.unwrap(), None);
}

#[rstest]
#[case::no_shard(503, r#"{"code":6,"msg":"rt:route:2"}"#, 3)]
#[case::proxy(502, PAGE, 3)]
#[case::took_15_seconds_already(504, r#"{"code":1,"msg":"net:route:3"}"#, 1)]
#[case::refused(403, "", 1)]
#[tokio::test]
async fn only_a_question_is_asked_again_and_only_where_that_helps(
    #[case] status: u16,
    #[case] body: &'static str,
    #[case] asked: usize,
) {
    let answer = move || (StatusCode::from_u16(status).unwrap(), body).into_response();
    let server = Server::start(answer).await;
    server.client().channels_of(&ident()).await.unwrap_err();
    assert_eq!(server.heard(), asked);
    server
        .client()
        .cancel_group("7".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(server.heard(), asked + 1);
}

#[tokio::test]
async fn every_call_names_itself_and_the_token_is_in_no_error() {
    let server = Server::start(|| (StatusCode::FORBIDDEN, "").into_response()).await;
    let client = server.client();
    let (ident, stable, group) = (ident(), stable(), "7".parse().unwrap());
    let package = "core/redis".parse().unwrap();
    let errors: Vec<Error> = [
        client.status().await.err(),
        client.package(&ident).await.err(),
        client.latest(&package, &stable).await.err(),
        client.channels_of(&ident).await.err(),
        client.releases_in(&ident, &stable).await.err(),
        client.create_channel("core", &stable).await.err(),
        client.promote(&ident, &stable).await.err(),
        client.demote(&ident, &stable).await.err(),
        client.group(group).await.err(),
        client.groups_of("core").await.err(),
        client.schedule(&package, true).await.err(),
        client.promote_group(group, &stable, &[]).await.err(),
        client.cancel_group(group).await.err(),
        client.job(7).await.err(),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert_eq!(errors.len(), 14);
    let told = format!("{errors:?} {client:?} {errors:#?}");
    assert!(!told.contains(TOKEN), "{told}");
    let heard = server.heard.lock().unwrap();
    for (method, path, agent, token) in heard.iter() {
        let agent = agent.as_deref().unwrap_or_default();
        assert!(agent.starts_with("habops/"), "{method} {path}: {agent}");
        // What changes something carries the token; what anybody may read does not.
        let open = path == "/v1/status" || (method == "GET" && path.contains("/schedule/"));
        assert_eq!(*token, !open, "{method} {path}");
    }
    let agents: std::collections::BTreeSet<_> = heard.iter().map(|line| line.2.clone()).collect();
    assert_eq!(
        agents.len(),
        heard.len(),
        "the proxy would answer out of its memory"
    );
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_that_needs_one() {
    let server = Server::start(|| StatusCode::OK.into_response()).await;
    let client = Client::new(&Config {
        url: server.url.clone(),
        token: None,
        timeout: Duration::from_secs(20),
    })
    .unwrap();
    let error = client.promote(&ident(), &stable()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("builder.token is not configured")
    );
    assert_eq!(server.heard(), 0);
}

#[tokio::test]
async fn silence_a_closed_door_a_flood_and_a_broken_line_are_told_apart() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let error = client(&url, Duration::from_millis(300))
        .channels_of(&ident())
        .await;
    let error = error.unwrap_err();
    assert!(
        error.to_string().contains("did not answer within 300ms"),
        "{error}"
    );
    assert!(error.leaves_doubt());
    assert_eq!(error.suspect(), Some("api"));

    // Nobody listens there.
    drop(silent);
    let error = client(&url, Duration::from_secs(20))
        .promote(&ident(), &stable())
        .await;
    let error = error.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot be reached at http://127.0.0.1"),
        "{error}"
    );
    assert!(!error.leaves_doubt(), "nothing was sent");

    // An answer without end.
    let server = Server::start(|| {
        let piece = axum::body::Bytes::from(vec![b' '; 1 << 20]);
        let endless =
            futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
        Response::new(Body::from_stream(endless))
    })
    .await;
    let error = server.client().channels_of(&ident()).await.unwrap_err();
    assert!(error.to_string().contains("longer than 8 MiB"), "{error}");

    // Half an answer.
    let server = Server::start(|| {
        let half = [Ok(&b"[\"unst"[..]), Err(std::io::Error::other("cut"))];
        Response::new(Body::from_stream(futures_util::stream::iter(half)))
    })
    .await;
    let error = server
        .client()
        .promote(&ident(), &stable())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("broke before its answer was whole"),
        "{error}"
    );
    assert!(error.leaves_doubt());
}
