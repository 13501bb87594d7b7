//! The sandbox's Slack against clients that nobody of this project wrote: Slack's Python SDK, slack-morphism, plain sockets.

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use futures_util::{SinkExt, StreamExt};
use habops::sandbox::slack::{Deliver, Options, Seed, Slack, TypedAs};
use serde_json::{Value, json};
use slack_morphism::prelude::*;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message as Frame};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than anything here takes, also on a busy machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

async fn slack_with(options: Options) -> (Slack, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = CancellationToken::new();
    let slack = Slack::start(listener, options, stop.clone());
    (slack, stop.drop_guard())
}

async fn slack() -> (Slack, DropGuard) {
    slack_with(Options::default()).await
}

async fn call(slack: &Slack, method: &str, args: Value) -> Value {
    let response = reqwest::Client::new()
        .post(format!("{}/{method}", slack.api_url()))
        .bearer_auth("xoxb-sandbox")
        .json(&args)
        .send();
    response.await.unwrap().json().await.unwrap()
}

async fn says(slack: &Slack, channel: &str, text: &str) -> String {
    let posted = call(
        slack,
        "chat.postMessage",
        json!({"channel": channel, "text": text}),
    )
    .await;
    assert_eq!(posted["ok"], true, "{posted}");
    posted["ts"].as_str().unwrap().to_owned()
}

/// A Socket Mode client of few words.
struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Line {
    async fn open(slack: &Slack) -> Line {
        let opened: Value = reqwest::Client::new()
            .post(format!("{}/apps.connections.open", slack.api_url()))
            .bearer_auth("xapp-sandbox")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let url = opened["url"].as_str().unwrap();
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut line = Line(socket);
        let hello = line.hears().await.unwrap();
        assert_eq!(hello["type"], "hello");
        line
    }

    /// The next JSON frame; `None` when the socket has ended.
    async fn hears(&mut self) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.0.next())
                .await
                .unwrap()?;
            match frame.ok()? {
                Frame::Text(text) => return serde_json::from_str(&text).ok(),
                Frame::Close(_) => return None,
                _ => {}
            }
        }
    }

    async fn acks(&mut self, envelope: &Value, payload: Value) {
        let ack = json!({"envelope_id": envelope["envelope_id"], "payload": payload});
        self.0.send(Frame::text(ack.to_string())).await.unwrap();
    }
}

fn python() -> PathBuf {
    std::env::var_os("HABOPS_TEST_PYTHON").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python")),
        PathBuf::from,
    )
}

#[tokio::test]
async fn slacks_own_python_sdk_runs_a_command_a_button_a_form_and_an_upload() {
    let python = python();
    let importable = Command::new(&python)
        .args(["-c", "import slack_bolt, aiohttp, websocket"])
        .output()
        .await;
    assert!(
        importable.is_ok_and(|output| output.status.success()),
        "{} cannot import slack_bolt; install it with: \
         python3 -m venv .venv && .venv/bin/pip install slack_sdk slack_bolt aiohttp websocket-client",
        python.display()
    );
    let (slack, _stop) = slack().await;
    let mut child = Command::new(&python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/python/slack_sdk_check.py"
        ))
        .args([slack.api_url(), slack.page_url()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut did = Vec::new();
    let ended = tokio::time::timeout(2 * PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let line: Value = serde_json::from_str(&line).unwrap();
            did.push(line["did"].as_str().unwrap().to_owned());
        }
        child.wait().await.unwrap()
    });
    let status = ended
        .await
        .unwrap_or_else(|_| panic!("the SDK hangs after {did:?}"));
    assert!(status.success(), "the SDK failed after {did:?}");
    assert_eq!(
        did,
        [
            "connect",
            "slash command",
            "button",
            "mention",
            "reaction",
            "shortcut and modal",
            "file upload",
            "read back",
            "refusals",
            "close",
        ]
    );
    let posts = slack.posts("operations");
    let operations = posts.iter().filter(|post| post.metadata.is_some()).count();
    assert_eq!(operations, 1);
}

type Connector = SlackClientHyperHttpsConnector;

fn morphism(slack: &Slack) -> Arc<SlackClient<Connector>> {
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_native_roots()
        .unwrap()
        .https_or_http()
        .enable_http1()
        .build();
    let connector = SlackClientHyperConnector::from(https).with_slack_api_url(&slack.api_url());
    Arc::new(SlackClient::new(connector))
}

#[tokio::test]
async fn slack_morphism_reads_every_answer() {
    let (slack, _stop) = slack().await;
    let client = morphism(&slack);
    let token = SlackApiToken::new("xoxb-sandbox".into());
    let session = client.open_session(&token);
    let me = session.auth_test().await.unwrap();
    assert_eq!(me.user_id.0, "U0HABOPS");
    let channel = SlackChannelId("C0OPERATIONS".into());
    let content = || SlackMessageContent::new().with_text("root".into());
    let post = SlackApiChatPostMessageRequest::new(channel.clone(), content());
    let root = session.chat_post_message(&post).await.unwrap();
    let blocks = slack_blocks![
        some_into(SlackSectionBlock::new().with_text(md!("*ok*"))),
        some_into(SlackActionsBlock::new(slack_blocks![some_into(
            SlackBlockButtonElement::new(pt!("Stop")).with_action_id("habops.stop".into())
        )]))
    ];
    let reply = SlackApiChatPostMessageRequest::new(channel.clone(), content().with_blocks(blocks))
        .with_thread_ts(root.ts.clone());
    let reply = session.chat_post_message(&reply).await.unwrap();
    let edit = SlackApiChatUpdateRequest::new(
        channel.clone(),
        SlackMessageContent::new().with_text("edited".into()),
        reply.ts.clone(),
    );
    session.chat_update(&edit).await.unwrap();
    let replies = SlackApiConversationsRepliesRequest::new(channel.clone(), root.ts.clone());
    let replies = session.conversations_replies(&replies).await.unwrap();
    assert_eq!(replies.messages.len(), 2);
    assert_eq!(replies.messages[1].content.text.as_deref(), Some("edited"));
    let history = SlackApiConversationsHistoryRequest::new().with_channel(channel.clone());
    let history = session.conversations_history(&history).await.unwrap();
    assert_eq!(history.messages[0].parent.reply_count, Some(1));
    let info = SlackApiConversationsInfoRequest::new(channel.clone());
    assert!(session.conversations_info(&info).await.is_ok());
    let stranger = SlackApiUsersInfoRequest::new(SlackUserId("U0SOL".into()));
    let stranger = session.users_info(&stranger).await.unwrap();
    assert_eq!(stranger.user.flags.is_stranger, Some(true));
    let group = SlackApiUserGroupsUsersListRequest::new(SlackUserGroupId("S0OPS".into()));
    let group = session.usergroups_users_list(&group).await.unwrap();
    assert_eq!(group.users.len(), 2);
    let groups = session
        .usergroups_list(&SlackApiUserGroupsListRequest::new())
        .await;
    assert_eq!(groups.unwrap().usergroups.len(), 2);
    let link = SlackApiChatGetPermalinkRequest::new(channel.clone(), reply.ts.clone());
    assert!(session.chat_get_permalink(&link).await.is_ok());
    let url = SlackApiFilesGetUploadUrlExternalRequest::new("log.txt".into(), 5);
    let url = session.get_upload_url_external(&url).await.unwrap();
    let bytes = SlackApiFilesUploadViaUrlRequest::new(
        url.upload_url,
        b"hello".to_vec(),
        "text/plain".into(),
    );
    session.files_upload_via_url(&bytes).await.unwrap();
    let files = vec![SlackApiFilesComplete::new(url.file_id)];
    let share = SlackApiFilesCompleteUploadExternalRequest::new(files)
        .with_channel_id(channel.clone())
        .with_thread_ts(root.ts.clone());
    session
        .files_complete_upload_external(&share)
        .await
        .unwrap();
    let shared = slack
        .sees("operations", PATIENCE, |message| !message.files.is_empty())
        .await;
    let id = shared.unwrap().files[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(slack.file(&id).as_deref(), Some(&b"hello"[..]));
    let create = SlackApiConversationsCreateRequest::new("inc-20261123-api".into());
    let created = session.conversations_create(&create).await.unwrap();
    let users = vec![SlackUserId("U0ANA".into())];
    let invite = SlackApiConversationsInviteRequest::new(created.channel.id, users);
    assert!(session.conversations_invite(&invite).await.is_ok());
}

#[tokio::test]
async fn slack_morphism_takes_commands_clicks_and_mentions_by_socket() {
    let (slack, _stop) = slack().await;
    let (heard, mut inbox) = mpsc::unbounded_channel::<String>();
    let mut callbacks = SlackSocketModeListenerCallbacks::<Connector>::new();
    let tell = heard.clone();
    callbacks.command_callback = Box::new(move |event: SlackCommandEvent, _, _| {
        tell.send(format!("command {}", event.text.unwrap()))
            .unwrap();
        Box::pin(async {
            let content = SlackMessageContent::new().with_text("working".into());
            Ok(SlackCommandEventResponse::new(content))
        })
    });
    let tell = heard.clone();
    callbacks.interaction_callback = Box::new(move |event: SlackInteractionEvent, _, _| {
        if let SlackInteractionEvent::BlockActions(event) = event {
            let action = event.actions.unwrap().remove(0);
            tell.send(format!("click {}", action.value.unwrap()))
                .unwrap();
        }
        Box::pin(async { Ok(().into()) })
    });
    callbacks.push_events_callback = Box::new(move |event: SlackPushEventCallback, _, _| {
        if let SlackEventCallbackBody::AppMention(event) = event.event {
            heard
                .send(format!("mention {}", event.content.text.unwrap()))
                .unwrap();
        }
        Box::pin(async { Ok(()) })
    });
    let environment = Arc::new(SlackClientEventsListenerEnvironment::new(morphism(&slack)));
    let config = SlackClientSocketModeConfig::new().with_max_connections_count(1);
    let listener = SlackClientSocketModeListener::new(&config, environment, callbacks);
    let token = SlackApiToken::new("xapp-sandbox".into());
    listener.listen_for(&token).await.unwrap();
    listener.start().await;
    assert!(slack.connected(1, PATIENCE).await);
    let typed = slack
        .types("ana", "operations", None, "/habops status")
        .await;
    assert_eq!(typed.kind, TypedAs::Slash);
    assert_eq!(typed.ack.unwrap()["text"], "working");
    assert_eq!(inbox.recv().await.unwrap(), "command status");
    assert_eq!(slack.ephemerals("ana")[0].text, "working");
    let button = json!([{"type": "actions", "elements": [
        {"type": "button", "text": {"type": "plain_text", "text": "Go"}, "action_id": "habops.approve", "value": "o1"}
    ]}]);
    let posted = json!({"channel": "C0OPERATIONS", "text": "card", "blocks": button});
    let card = call(&slack, "chat.postMessage", posted).await;
    let clicked = slack
        .clicks(
            "bo",
            "operations",
            card["ts"].as_str().unwrap(),
            "habops.approve",
        )
        .await;
    assert_eq!(clicked.error, None);
    assert_eq!(inbox.recv().await.unwrap(), "click o1");
    slack.types("dee", "general", None, "@habops help").await;
    assert_eq!(inbox.recv().await.unwrap(), "mention <@U0HABOPS> help");
    listener.shutdown().await;
}

#[tokio::test]
async fn a_command_without_an_ack_fails_after_three_seconds() {
    let (slack, _stop) = slack().await;
    let mut line = Line::open(&slack).await;
    let (typed, envelope) = tokio::join!(
        slack.types("ana", "operations", None, "/habops status"),
        line.hears()
    );
    assert_eq!(envelope.unwrap()["type"], "slash_commands");
    assert_eq!(typed.error.as_deref(), Some("operation_timeout"));
    let said = &slack.ephemerals("ana")[0].text;
    assert_eq!(
        said,
        "`/habops` failed with the error \"operation_timeout\""
    );
}

#[tokio::test]
async fn an_event_without_an_ack_comes_again_and_says_so() {
    let (slack, _stop) = slack().await;
    let mut line = Line::open(&slack).await;
    slack
        .types("ana", "operations", None, "@habops status")
        .await;
    let first = line.hears().await.unwrap();
    assert_eq!(first["retry_attempt"], 0);
    let second = line.hears().await.unwrap();
    assert_eq!(second["retry_attempt"], 1);
    assert_eq!(second["retry_reason"], "timeout");
    assert_eq!(second["payload"]["event_id"], first["payload"]["event_id"]);
    assert_ne!(second["envelope_id"], first["envelope_id"]);
    line.acks(&second, json!({})).await;
}

#[tokio::test]
async fn an_envelope_in_the_air_survives_a_dropped_socket() {
    let (slack, _stop) = slack().await;
    let mut line = Line::open(&slack).await;
    let bot = async {
        let first = line.hears().await.unwrap();
        slack.set_fault("slack-drop", true);
        assert!(line.hears().await.is_none());
        let mut line = Line::open(&slack).await;
        let again = line.hears().await.unwrap();
        assert_eq!(
            again["payload"]["trigger_id"],
            first["payload"]["trigger_id"]
        );
        line.acks(&again, json!({"text": "here"})).await;
    };
    let (typed, ()) = tokio::join!(
        slack.types("ana", "operations", None, "/habops status"),
        bot
    );
    assert_eq!(typed.error, None);
    assert_eq!(slack.ephemerals("ana")[0].text, "here");
}

#[tokio::test]
async fn a_warned_socket_still_delivers() {
    let (slack, _stop) = slack().await;
    let mut line = Line::open(&slack).await;
    slack.set_fault("slack-disconnect", true);
    let warning = line.hears().await.unwrap();
    assert_eq!(
        (&warning["type"], &warning["reason"]),
        (&json!("disconnect"), &json!("warning"))
    );
    let bot = async {
        let envelope = line.hears().await.unwrap();
        line.acks(&envelope, json!({})).await;
    };
    let (typed, ()) = tokio::join!(
        slack.types("ana", "operations", None, "/habops status"),
        bot
    );
    assert!(typed.took.is_some());
}

#[tokio::test]
async fn while_slack_delivers_twice_the_same_payload_comes_in_two_envelopes() {
    let (slack, _stop) = slack().await;
    let mut line = Line::open(&slack).await;
    slack.set_fault("slack-redeliver", true);
    let bot = async {
        let first = line.hears().await.unwrap();
        line.acks(&first, json!({})).await;
        let second = line.hears().await.unwrap();
        line.acks(&second, json!({})).await;
        (first, second)
    };
    let (typed, (first, second)) = tokio::join!(
        slack.types("ana", "operations", None, "/habops status"),
        bot
    );
    assert_eq!(typed.error, None);
    assert_eq!(first["payload"], second["payload"]);
    assert_ne!(first["envelope_id"], second["envelope_id"]);
}

#[tokio::test]
async fn a_slash_command_in_a_thread_is_refused() {
    let (slack, _stop) = slack().await;
    let root = says(&slack, "C0OPERATIONS", "root").await;
    let typed = slack
        .types("ana", "operations", Some(&root), "/habops status")
        .await;
    assert_eq!(typed.error.as_deref(), Some("not_supported_in_threads"));
    assert_eq!(
        slack.ephemerals("ana")[0].text,
        "/habops is not supported in threads. Sorry!"
    );
}

#[tokio::test]
async fn a_private_channel_is_unknown_to_the_bot_until_a_person_invites_it() {
    let (slack, _stop) = slack().await;
    let post = json!({"channel": "C0PRIVATE", "text": "x"});
    let refused = call(&slack, "chat.postMessage", post.clone()).await;
    assert_eq!(refused["error"], "channel_not_found");
    slack
        .types("ana", "security", None, "/invite @habops")
        .await;
    assert_eq!(call(&slack, "chat.postMessage", post).await["ok"], true);
}

#[tokio::test]
async fn a_message_can_be_read_by_pages_and_by_time() {
    let seed = Seed {
        post_rate: None,
        ..Seed::default()
    };
    let (slack, _stop) = slack_with(Options {
        seed,
        ..Options::default()
    })
    .await;
    let mut stamps = Vec::new();
    for n in 0..5 {
        stamps.push(says(&slack, "C0GENERAL", &n.to_string()).await);
    }
    let read = async |more: Value| {
        let mut args = json!({"channel": "C0GENERAL", "limit": 2});
        args.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        call(&slack, "conversations.history", args).await
    };
    let texts = |page: &Value| -> Vec<String> {
        let messages = page["messages"].as_array().unwrap();
        messages
            .iter()
            .map(|message| message["text"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = read(json!({})).await;
    assert_eq!(texts(&first), ["4", "3"]);
    let second = read(json!({"cursor": first["response_metadata"]["next_cursor"]})).await;
    assert_eq!(texts(&second), ["2", "1"]);
    assert_eq!(second["has_more"], true);
    let since = read(json!({"oldest": stamps[3]})).await;
    assert_eq!(texts(&since), ["4"]);
    let until = read(json!({"oldest": stamps[1], "latest": stamps[2], "inclusive": true})).await;
    assert_eq!(texts(&until), ["2", "1"]);
}

#[tokio::test]
async fn a_fault_of_the_web_api_fails_calls_and_sometimes_does_them() {
    let seed = Seed {
        post_rate: None,
        ..Seed::default()
    };
    let (slack, _stop) = slack_with(Options {
        seed,
        ..Options::default()
    })
    .await;
    let client = reqwest::Client::new();
    let post = async || {
        let request = client
            .post(format!("{}/chat.postMessage", slack.api_url()))
            .bearer_auth("xoxb-sandbox")
            .json(&json!({"channel": "C0GENERAL", "text": "x"}));
        request.send().await
    };
    slack.set_fault("slack-500", true);
    for _ in 0..40 {
        assert_eq!(post().await.unwrap().status(), 500);
    }
    let done = slack.posts("general").len();
    assert!((1..40).contains(&done), "{done} of 40 were done");
    slack.set_fault("slack-500", false);
    slack.set_fault("slack-reset", true);
    for _ in 0..40 {
        assert!(post().await.is_err());
    }
    assert!(slack.posts("general").len() > done);
    slack.set_fault("slack-reset", false);
    slack.set_fault("slack-429", true);
    let mut refused = 0;
    for _ in 0..40 {
        let response = post().await.unwrap();
        if response.status() == 429 {
            assert_eq!(response.headers()["retry-after"], "1");
            refused += 1;
        }
    }
    assert!((1..40).contains(&refused), "{refused} of 40 were refused");
    slack.set_fault("slack-429", false);
    assert!(post().await.unwrap().status().is_success());
}

#[derive(Clone)]
struct Inbox(mpsc::UnboundedSender<(HeaderMap, String)>);

#[tokio::test]
async fn over_http_everything_is_signed_and_the_body_is_the_ack() {
    let take = |said: &'static str| {
        post(
            async move |State(Inbox(sender)): State<Inbox>, headers: HeaderMap, body: Bytes| {
                let body = String::from_utf8(body.to_vec()).unwrap();
                sender.send((headers, body)).unwrap();
                said
            },
        )
    };
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let app = Router::new()
        .route("/slack/commands", take("working on it"))
        .route("/slack/interactions", take(""))
        .route("/slack/events", take(""))
        .with_state(Inbox(sender));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let (slack, _stop) = slack_with(Options {
        signing_secret: "8f742231b10e8888abcd99yyyzzz85a5".into(),
        deliver: Deliver::Http { base },
        ..Options::default()
    })
    .await;
    let typed = slack
        .types("ana", "operations", None, "/habops status api")
        .await;
    assert_eq!(typed.error, None);
    assert_eq!(slack.ephemerals("ana")[0].text, "working on it");
    slack
        .types("ana", "operations", None, "@habops status")
        .await;
    let verifier = slack_morphism::signature_verifier::SlackEventSignatureVerifier::new(
        &SlackSigningSecret("8f742231b10e8888abcd99yyyzzz85a5".into()),
    );
    for wanted in ["text=status%20api", "\"type\":\"app_mention\""] {
        let (headers, body) = inbox.recv().await.unwrap();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let signature = header("x-slack-signature");
        let stamp = header("x-slack-request-timestamp");
        assert!(verifier.verify(&signature, &body, &stamp).is_ok());
        assert!(
            verifier
                .verify(&signature, &format!("{body} "), &stamp)
                .is_err()
        );
        assert!(body.contains(wanted), "{body}");
    }
    serving.abort();
}

#[tokio::test]
async fn a_response_url_answers_five_times_and_can_replace_what_it_said() {
    let (slack, _stop) = slack().await;
    let mut line = Line::open(&slack).await;
    let bot = async {
        let envelope = line.hears().await.unwrap();
        line.acks(&envelope, json!({"text": "first"})).await;
        envelope["payload"]["response_url"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (_, url) = tokio::join!(
        slack.types("ana", "operations", None, "/habops status"),
        bot
    );
    let client = reqwest::Client::new();
    let respond = async |body: Value| {
        client
            .post(&url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(
        respond(json!({"text": "second", "replace_original": true})).await,
        200
    );
    assert_eq!(slack.ephemerals("ana").len(), 1);
    assert_eq!(slack.ephemerals("ana")[0].text, "second");
    assert_eq!(
        respond(json!({"text": "for all", "response_type": "in_channel"})).await,
        200
    );
    assert!(
        slack
            .messages("operations")
            .iter()
            .any(|message| message.text == "for all")
    );
    assert_eq!(respond(json!({"delete_original": true})).await, 200);
    assert!(slack.ephemerals("ana").is_empty());
    assert_eq!(respond(json!({})).await, 400);
    assert_eq!(respond(json!({"text": "fifth"})).await, 200);
    assert_eq!(respond(json!({"text": "sixth"})).await, 404);
}

#[tokio::test]
async fn the_page_hears_of_messages_as_they_come() {
    let (slack, _stop) = slack().await;
    let origin = slack.page_url();
    let mut events = reqwest::get(format!("{origin}sandbox/events"))
        .await
        .unwrap();
    let hello = events.chunk().await.unwrap().unwrap();
    assert!(hello.starts_with(b"data: {\"type\":\"hello\"}"));
    let ts = says(&slack, "C0OPERATIONS", "hello, page").await;
    let told = String::from_utf8(events.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let told: Value = serde_json::from_str(told.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(
        (&told["type"], &told["message"]["ts"]),
        (&json!("message"), &json!(ts))
    );
    let state: Value = reqwest::get(format!("{origin}sandbox/state"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(state["messages"][0]["text"], "hello, page");
    assert_eq!(state["bot"]["connected"], false);
    let page = reqwest::get(&origin).await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
}

/// A bot that acks everything at once and connects again whenever its socket ends.
async fn faithful_bot(slack: Slack) {
    loop {
        let mut line = Line::open(&slack).await;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(PATIENCE, line.0.next()).await {
            if let Frame::Text(text) = frame {
                let envelope: Value = serde_json::from_str(&text).unwrap();
                let ack = json!({"envelope_id": envelope["envelope_id"]}).to_string();
                if envelope["envelope_id"].is_string()
                    && line.0.send(Frame::text(ack)).await.is_err()
                {
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_is_lost_though_every_socket_drops_again_and_again() {
    let (slack, _stop) = slack().await;
    let bots: Vec<_> = (0..2)
        .map(|_| tokio::spawn(faithful_bot(slack.clone())))
        .collect();
    assert!(slack.connected(2, PATIENCE).await);
    let commands = (0..200).map(|n| {
        let slack = slack.clone();
        tokio::spawn(async move {
            if n % 50 == 25 {
                slack.set_fault("slack-drop", true);
            }
            slack
                .types("ana", "operations", None, &format!("/habops status {n}"))
                .await
        })
    });
    for command in commands.collect::<Vec<_>>() {
        let typed = command.await.unwrap();
        assert_eq!(typed.error, None);
    }
    for bot in bots {
        bot.abort();
    }
}

#[tokio::test]
async fn while_slack_is_down_nothing_answers_and_afterwards_everything_does() {
    let (slack, _stop) = slack().await;
    let mut line = Line::open(&slack).await;
    slack.set_fault("slack-down", true);
    assert!(line.hears().await.is_none());
    let asked = reqwest::Client::new()
        .post(format!("{}/auth.test", slack.api_url()))
        .bearer_auth("xoxb-sandbox")
        .send();
    assert!(asked.await.is_err());
    assert!(
        reqwest::get(slack.page_url())
            .await
            .unwrap()
            .status()
            .is_success()
    );
    slack.set_fault("slack-down", false);
    assert_eq!(call(&slack, "auth.test", json!({})).await["ok"], true);
    Line::open(&slack).await;
}

#[tokio::test]
async fn an_edit_with_text_alone_takes_the_buttons_away() {
    let (slack, _stop) = slack().await;
    let blocks = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "*card*"}}]);
    let post = json!({"channel": "C0OPERATIONS", "text": "card", "blocks": blocks, "metadata":
        {"event_type": "habops_operation", "event_payload": {"operation": "op1"}}});
    let card = call(&slack, "chat.postMessage", post).await;
    let ts = card["ts"].as_str().unwrap();
    let edit = json!({"channel": "C0OPERATIONS", "ts": ts, "text": "done"});
    assert_eq!(call(&slack, "chat.update", edit).await["ok"], true);
    let message = &slack.messages("operations")[0];
    assert_eq!((message.text.as_str(), &message.blocks), ("done", &None));
    assert_eq!(
        message.metadata.as_ref().unwrap()["event_payload"]["operation"],
        "op1"
    );
    let long = json!({"channel": "C0OPERATIONS", "ts": ts, "text": "ü".repeat(2_001)});
    assert_eq!(
        call(&slack, "chat.update", long).await["error"],
        "msg_too_long"
    );
    let own = says(&slack, "C0OPERATIONS", "x").await;
    slack.types("ana", "operations", None, "hello").await;
    let hers = slack.messages("operations").pop().unwrap().ts;
    let others = json!({"channel": "C0OPERATIONS", "ts": hers, "text": "x"});
    assert_eq!(
        call(&slack, "chat.update", others).await["error"],
        "cant_update_message"
    );
    call(
        &slack,
        "chat.delete",
        json!({"channel": "C0OPERATIONS", "ts": own}),
    )
    .await;
    assert_eq!(slack.messages("operations").len(), 2);
    assert_eq!(slack.posts("operations").len(), 2);
}

#[tokio::test]
async fn a_method_without_its_scope_says_which_one_is_missing() {
    let mut seed = Seed::default();
    seed.bot.scopes.retain(|scope| scope != "files:write");
    let (slack, _stop) = slack_with(Options {
        seed,
        ..Options::default()
    })
    .await;
    let args = json!({"filename": "a.log", "length": 1});
    let refused = call(&slack, "files.getUploadURLExternal", args).await;
    assert_eq!(refused["error"], "missing_scope");
    assert_eq!(refused["needed"], "files:write");
}

#[tokio::test]
async fn whoever_joins_pins_and_archives_is_seen_to() {
    let (slack, _stop) = slack().await;
    let mut line = Line::open(&slack).await;
    let created = call(&slack, "conversations.create", json!({"name": "inc-1"})).await;
    let channel = created["channel"]["id"].as_str().unwrap();
    let taken = call(&slack, "conversations.create", json!({"name": "inc-1"})).await;
    assert_eq!(taken["error"], "name_taken");
    let invite = json!({"channel": channel, "users": "U0ANA,U0BO"});
    call(&slack, "conversations.invite", invite.clone()).await;
    assert_eq!(
        call(&slack, "conversations.invite", invite).await["error"],
        "already_in_channel"
    );
    let joined = line.hears().await.unwrap();
    assert_eq!(joined["payload"]["event"]["type"], "member_joined_channel");
    let ts = says(&slack, channel, "root").await;
    let pin = json!({"channel": channel, "timestamp": ts});
    call(&slack, "pins.add", pin.clone()).await;
    assert_eq!(
        call(&slack, "pins.add", pin).await["error"],
        "already_pinned"
    );
    let topic = json!({"channel": channel, "topic": "api is down"});
    assert_eq!(
        call(&slack, "conversations.setTopic", topic).await["topic"],
        "api is down"
    );
    let bookmark = json!({"channel_id": channel, "title": "runbook", "type": "link", "link": "https://x.example"});
    assert_eq!(
        call(&slack, "bookmarks.add", bookmark).await["bookmark"]["title"],
        "runbook"
    );
    slack.archives("ana", channel);
    let post = json!({"channel": channel, "text": "late"});
    assert_eq!(
        call(&slack, "chat.postMessage", post).await["error"],
        "is_archived"
    );
}
