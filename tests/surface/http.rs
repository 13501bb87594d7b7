//! Slack's requests over HTTP: heard as over a socket, and only what Slack signed just now.

use std::sync::Arc;

use habops::{
    domain::tally::Tally,
    sandbox::slack::{Deliver, Seed, sign},
    surface::slack::http,
};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::{
    Heard, Letterbox, OPERATIONS, PATIENCE, ack_text, bo_writes, client, identity, listener,
    workspace,
};

const SECRET: &str = "sandbox-signing-secret";

async fn over_http(inbox: Arc<Letterbox>) -> (Heard, String) {
    let (slack, end) = workspace(Seed::default()).await;
    let (listener, base) = listener().await;
    let router = http::router(
        inbox.clone(),
        SECRET.into(),
        client(&slack),
        identity(),
        Tally::default(),
    );
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
    });
    slack.deliver(Deliver::Http { base: base.clone() });
    let heard = Heard {
        slack,
        inbox,
        _ends: (end, stop.drop_guard()),
    };
    (heard, base)
}

async fn send(url: String, body: &str, stamp: Option<(&str, &str)>) -> (u16, String) {
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    let mut request = reqwest::Client::new()
        .post(url)
        .header("content-type", kind)
        .body(body.to_owned());
    if let Some((timestamp, signature)) = stamp {
        request = request
            .header("x-slack-request-timestamp", timestamp)
            .header("x-slack-signature", signature);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn seconds_ago(seconds: i64) -> String {
    (jiff::Timestamp::now().as_second() - seconds).to_string()
}

#[tokio::test]
async fn over_http_a_command_a_click_and_a_mention_arrive_as_over_a_socket() {
    let (it, _) = over_http(Letterbox::saying("op-17 · status api")).await;
    let typed = it
        .slack
        .types("ana", OPERATIONS, None, "/habops status “api & co”")
        .await;
    assert_eq!(ack_text(&typed), "op-17 · status api");
    let (key, words) = it.inbox.typed().await;
    assert_eq!(key, format!("slack:trigger:{}", typed.trigger_id.unwrap()));
    assert_eq!(words.text, "status “api &amp; co”");
    it.slack
        .types("ana", OPERATIONS, None, "@habops status")
        .await;
    let root = bo_writes(&it.slack).await;
    let used = it
        .slack
        .shortcut("ana", OPERATIONS, &root, "habops_message")
        .await;
    assert_eq!(used.error, None);
    assert!(
        it.slack
            .wait(PATIENCE, |slack| slack.view("ana"))
            .await
            .is_some()
    );
    let mention = it.inbox.deliveries(2).await.remove(0);
    assert!(mention.key.starts_with("slack:event:"), "{}", mention.key);
}

#[rstest]
#[case::commands(
    "commands",
    "team_id=T0SANDBOX&channel_id=C1&user_id=U1&text=status&trigger_id=1"
)]
#[case::interactions("interactions", "payload=%7B%7D")]
#[case::events("events", r#"{"type":"url_verification","challenge":"c"}"#)]
#[tokio::test]
async fn what_slack_did_not_sign_now_is_refused_without_a_reason(
    #[case] path: &str,
    #[case] body: &str,
) {
    let (it, base) = over_http(Letterbox::saying("never")).await;
    let url = || format!("{base}/slack/{path}");
    let (now, old) = (seconds_ago(0), seconds_ago(400));
    let good = sign(SECRET, &now, body);
    let stale = sign(SECRET, &old, body);
    let forged = sign("guess", &now, body);
    let of_another = sign(SECRET, &now, "something else");
    for stamp in [
        None,
        Some((now.as_str(), forged.as_str())),
        Some((now.as_str(), of_another.as_str())),
        Some((old.as_str(), stale.as_str())),
        Some((now.as_str(), "")),
    ] {
        let (status, said) = send(url(), body, stamp).await;
        assert_eq!(
            (status, said.as_str()),
            (401, "This is not signed by Slack for this app.\n")
        );
    }
    assert!(it.inbox.deliveries.lock().unwrap().is_empty());
    assert_eq!(send(url(), body, Some((&now, &good))).await.0, 200);
}

#[tokio::test]
async fn slacks_own_checks_are_answered() {
    let (_it, base) = over_http(Letterbox::saying("never")).await;
    let (now, body) = (
        seconds_ago(0),
        r#"{"type":"url_verification","challenge":"abc"}"#,
    );
    let signature = sign(SECRET, &now, body);
    let answered = send(
        format!("{base}/slack/events"),
        body,
        Some((&now, &signature)),
    )
    .await;
    assert_eq!(answered, (200, "abc".to_owned()));
    let checked = send(
        format!("{base}/slack/commands"),
        "ssl_check=1&token=x",
        None,
    )
    .await;
    assert_eq!(checked, (200, String::new()));
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(
        send(format!("{base}/slack/events"), &large, None).await.0,
        413
    );
}
