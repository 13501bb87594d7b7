//! What people do in Slack, heard over its sockets: each a delivery, and what is answered to it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use habops::{
    clients::slack::Post,
    domain::{
        actor::Actor,
        ids::{MessageTs, OperationId},
        inbound::{Ack, Inbound, Via},
        output::{Output, Status},
        place::Place,
    },
    sandbox::slack::{Seed, TypedAs},
};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Heard, Letterbox, OPERATIONS, PATIENCE, ack_text, bo_writes, client, listening, redacted,
    workspace,
};

/// The workspace with the surface on its sockets.
async fn heard(inbox: Arc<Letterbox>) -> Heard {
    let (slack, end) = workspace(Seed::default()).await;
    let stop = CancellationToken::new();
    listening(&slack, &inbox, &stop).await;
    Heard {
        slack,
        inbox,
        _ends: (end, stop.drop_guard()),
    }
}

#[tokio::test]
async fn a_slash_command_is_answered_in_its_acknowledgement() {
    let it = heard(Letterbox::saying("op-17 · status api")).await;
    let typed = it
        .slack
        .types("ana", OPERATIONS, None, "/habops status api")
        .await;
    assert_eq!(typed.error, None);
    assert_eq!(ack_text(&typed), "op-17 · status api");
    let (key, words) = it.inbox.typed().await;
    assert_eq!(key, format!("slack:trigger:{}", typed.trigger_id.unwrap()));
    assert_eq!((words.text.as_str(), words.via), ("status api", Via::Slash));
    assert_eq!(words.actor, Actor::person("T0SANDBOX", "U0ANA"));
}

#[tokio::test]
async fn a_second_delivery_has_the_same_key_and_says_nothing() {
    let it = heard(Letterbox::saying("op-17")).await;
    it.slack.set_fault("slack-redeliver", true);
    it.slack
        .types("ana", OPERATIONS, None, "/habops status")
        .await;
    let deliveries = it.inbox.deliveries(2).await;
    assert_eq!(deliveries[0].key, deliveries[1].key);
    it.slack.set_fault("slack-redeliver", false);
    // The next answer comes after the second copy was acknowledged.
    it.slack
        .types("ana", OPERATIONS, None, "/habops help")
        .await;
    assert_eq!(it.slack.ephemerals("ana").len(), 2);
}

#[tokio::test]
async fn a_mention_in_a_thread_is_heard_there() {
    let it = heard(Letterbox::saying("never seen")).await;
    let root = bo_writes(&it.slack).await;
    let typed = it
        .slack
        .types("ana", OPERATIONS, Some(&root), "@habops status api")
        .await;
    assert_eq!(typed.kind, TypedAs::Mention);
    let (key, words) = it.inbox.typed().await;
    assert!(key.starts_with("slack:event:Ev"), "{key}");
    assert_eq!(
        (words.text.as_str(), words.via),
        ("status api", Via::Mention)
    );
    assert_eq!(
        words.whence.place(),
        Some(&Place::thread(OPERATIONS, root.as_str()))
    );
    assert_eq!(
        words.message.as_ref().map(MessageTs::as_str),
        typed.ts.as_deref()
    );
}

#[tokio::test]
async fn a_button_in_a_thread_is_pressed_there() {
    let it = heard(Letterbox::saying("only the clicker reads this")).await;
    let root = bo_writes(&it.slack).await;
    let button = json!({"type": "button", "action_id": "habops.approve.0", "value": "offer-1",
        "text": {"type": "plain_text", "text": "Approve"}});
    let card = Post {
        channel: OPERATIONS.into(),
        thread: Some(root.as_str().into()),
        text: "Restart?".to_owned(),
        blocks: Some(json!([{"type": "actions", "elements": [button]}])),
        metadata: None,
        reply_broadcast: false,
    };
    let ts = client(&it.slack).post(&card).await.unwrap();
    let clicked = it
        .slack
        .clicks("ana", OPERATIONS, ts.as_str(), "habops.approve.0")
        .await;
    assert_eq!((clicked.error, clicked.ack), (None, None));
    let delivery = it.inbox.deliveries(1).await.remove(0);
    let Inbound::Pressed(pressed) = delivery.inbound else {
        panic!("{delivery:?}")
    };
    assert_eq!(pressed.offer.as_str(), "offer-1");
    assert_eq!(pressed.place, Place::thread(OPERATIONS, root.as_str()));
    let whisper = it
        .slack
        .whispered("ana", PATIENCE, |it| it.text.contains("only the clicker"))
        .await;
    assert!(
        whisper.is_some(),
        "what is said of a click comes by the reply address"
    );
}

#[tokio::test]
async fn the_shortcut_asks_for_words_and_types_them_in_the_messages_thread() {
    let it = heard(Letterbox::saying("never seen")).await;
    let root = bo_writes(&it.slack).await;
    let used = it
        .slack
        .shortcut("ana", OPERATIONS, &root, "habops_message")
        .await;
    assert_eq!(used.error, None);
    let view = it
        .slack
        .wait(PATIENCE, |slack| slack.view("ana"))
        .await
        .expect("no form");
    let id = view["id"].as_str().unwrap();
    let empty = it
        .slack
        .submits("ana", id, &json!({"habops_words": {"words": ""}}))
        .await;
    assert_eq!(empty.ack.unwrap()["response_action"], "errors");
    let sent = it
        .slack
        .submits("ana", id, &json!({"habops_words": {"words": "status api"}}))
        .await;
    assert_eq!((sent.error, sent.ack), (None, None));
    let (key, words) = it.inbox.typed().await;
    assert_eq!(key, format!("slack:view:{id}"));
    assert_eq!(
        (words.text.as_str(), words.via),
        ("status api", Via::Shortcut)
    );
    assert_eq!(
        words.whence.place(),
        Some(&Place::thread(OPERATIONS, root.as_str()))
    );
}

#[tokio::test]
async fn what_cannot_be_stored_is_said_at_once_and_a_look_answered_later() {
    let it = heard(Letterbox::answering(|_| {
        let later = async { redacted(Output::new(Status::Done, "api is up, unrecorded")) };
        let ack = Ack::Unstored {
            said: Output::new(Status::Running, "cannot write habops.db"),
            later: Some(later.boxed()),
        };
        async move { ack }.boxed()
    }))
    .await;
    let typed = it
        .slack
        .types("ana", OPERATIONS, None, "/habops status api")
        .await;
    assert_eq!(ack_text(&typed), "cannot write habops.db");
    let later = it
        .slack
        .whispered("ana", PATIENCE, |it| it.text.contains("unrecorded"))
        .await;
    assert!(later.is_some());
    // A mention has no reply address: the asker alone sees it in the channel.
    it.slack
        .types("bo", OPERATIONS, None, "@habops status api")
        .await;
    let later = it
        .slack
        .whispered("bo", PATIENCE, |it| it.text.contains("unrecorded"))
        .await;
    assert!(later.is_some());
}

#[tokio::test]
async fn slow_storing_is_said_in_time_and_what_came_of_it_later() {
    let stored = Arc::new(Notify::new());
    let wait = stored.clone();
    let it = heard(Letterbox::answering(move |_| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            Ack::Accepted {
                operation: Some(OperationId(17)),
                said: Some(Output::new(Status::Running, "op-17 · status api")),
            }
        }
        .boxed()
    }))
    .await;
    let typed = it
        .slack
        .types("ana", OPERATIONS, None, "/habops status api")
        .await;
    assert_eq!(typed.error, None);
    assert!(ack_text(&typed).starts_with("habops is slow to write this down"));
    stored.notify_one();
    let later = it
        .slack
        .whispered("ana", PATIENCE, |it| it.text == "op-17 · status api")
        .await;
    assert!(later.is_some());
}
