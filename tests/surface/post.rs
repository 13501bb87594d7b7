//! What goes out: each wish a message once, in its order, and what becomes of what Slack does not take.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use axum::{Json, Router, extract::Path, routing::any};
use habops::{
    clients::slack::{Client, Post},
    domain::{
        ids::{ChannelId, MessageTs},
        message::{Carrier, Due, Lane, MessageKey},
        output::{Output, Status},
    },
    render,
    sandbox::slack::{Message, Seed, Slack},
};
use rstest::rstest;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Letterbox, OPERATIONS, PATIENCE, bo_writes, client, client_at, listener, listening,
    outbox::{Kept, Posting, Wishes, due, posting},
    redacted, workspace,
};

fn key_of(message: Option<&Value>) -> Option<String> {
    let payload = &message?["event_payload"];
    payload["key"].as_str().map(str::to_owned)
}

fn posts_by_key(slack: &Slack, channel: &str) -> HashMap<String, usize> {
    let mut posts = HashMap::new();
    for post in slack.posts(channel) {
        if let Some(key) = key_of(post.metadata.as_ref()) {
            *posts.entry(key).or_default() += 1;
        }
    }
    posts
}

fn count(slack: &Slack, method: &str) -> usize {
    slack
        .journal()
        .iter()
        .filter(|entry| entry.kind == "api" && entry.name == method)
        .count()
}

#[rstest]
#[case("slack-500")]
#[case("slack-reset")]
#[case("slack-429")]
#[tokio::test]
async fn on_a_bad_day_thirty_wishes_are_thirty_messages(#[case] fault: &str) {
    let (slack, posting, _end) = posting().await;
    slack.set_fault(fault, true);
    for n in 0..30 {
        posting
            .outbox
            .wish(due(&format!("op-{n}"), &format!("answer {n}")));
    }
    posting.outbox.tried(20).await;
    slack.set_fault(fault, false);
    posting.outbox.all_sent().await;
    let posts = posts_by_key(&slack, OPERATIONS);
    assert_eq!(posts.len(), 30, "{posts:?}");
    assert!(posts.values().all(|times| *times == 1), "{posts:?}");
    assert_eq!(posting.health.last_error(), None);
}

#[tokio::test]
async fn in_one_channel_what_was_wished_first_is_seen_first() {
    let (slack, posting, _end) = posting().await;
    for n in 10..30 {
        posting.outbox.wish(due(&format!("op-{n}"), "answer"));
    }
    posting.outbox.all_sent().await;
    let keys: Vec<_> = slack
        .posts(OPERATIONS)
        .iter()
        .filter_map(|post| key_of(post.metadata.as_ref()))
        .collect();
    assert!(keys.is_sorted() && keys.len() == 20, "{keys:?}");
}

#[tokio::test]
async fn many_edits_of_one_message_become_a_few_and_end_with_the_last() {
    let (slack, posting, _end) = posting().await;
    let progress = |n: usize| {
        let mut wish = due("op-1", &format!("{n} of 100"));
        wish.lane = Lane::Progress;
        wish.about.state = "running".to_owned();
        wish
    };
    posting.outbox.wish(progress(0));
    posting.outbox.all_sent().await;
    for wish in (1..100).map(progress).collect::<Vec<_>>() {
        posting.outbox.wish(wish);
        tokio::task::yield_now().await;
    }
    posting.outbox.wish(due("op-1", "all 100"));
    posting.outbox.all_sent().await;
    let [message] = <[Message; 1]>::try_from(slack.messages(OPERATIONS)).unwrap();
    assert_eq!(message.text, "all 100");
    assert_eq!(message.metadata.unwrap()["event_payload"]["state"], "done");
    assert!(
        count(&slack, "chat.update") <= 10,
        "{}",
        count(&slack, "chat.update")
    );
}

/// Posts what the poster would have posted, and says nothing of it.
async fn posted_unseen(slack: &Slack, due: &Due) -> MessageTs {
    let rendered = render::slack::message(&due.output, &due.about, &due.key, due.seq);
    let post = Post {
        channel: due.channel.clone(),
        thread: due.thread.clone(),
        text: rendered.text,
        blocks: Some(json!(rendered.blocks)),
        metadata: Some(rendered.metadata),
        reply_broadcast: false,
    };
    client(slack).post(&post).await.unwrap()
}

#[rstest]
#[case::in_a_channel(false)]
#[case::in_a_thread(true)]
#[tokio::test]
async fn a_doubtful_message_that_is_there_is_brought_up_to_date(#[case] in_thread: bool) {
    let (slack, posting, _end) = posting().await;
    let root = bo_writes(&slack).await;
    let mut wish = due("op-1", "running");
    wish.thread = in_thread.then(|| root.as_str().into());
    let ts = posted_unseen(&slack, &wish).await;
    let other = posted_unseen(&slack, &due("op-11", "another")).await;
    wish.seq = 2;
    wish.output = redacted(Output::new(Status::Done, "api is up"));
    wish.doubtful = true;
    posting.outbox.wish(wish);
    posting.outbox.all_sent().await;
    assert_eq!(posting.outbox.ts("op-1"), Some(ts.clone()));
    let text = |ts: &MessageTs| {
        slack
            .messages(OPERATIONS)
            .into_iter()
            .find(|it| it.ts == ts.as_str())
            .unwrap()
            .text
    };
    assert_eq!(
        (text(&ts).as_str(), text(&other).as_str()),
        ("api is up", "another")
    );
    assert_eq!(posts_by_key(&slack, OPERATIONS)["op-1"], 1);
}

#[tokio::test]
async fn a_doubtful_message_that_is_not_there_is_posted() {
    let (slack, posting, _end) = posting().await;
    // Somebody else's words with the same mark are not ours.
    slack.types("bo", OPERATIONS, None, "op-1").await;
    let mut wish = due("op-1", "api is up");
    wish.doubtful = true;
    posting.outbox.wish(wish);
    posting.outbox.all_sent().await;
    assert_eq!(posts_by_key(&slack, OPERATIONS)["op-1"], 1);
}

#[tokio::test]
async fn a_file_comes_into_the_thread_once() {
    let (slack, posting, _end) = posting().await;
    let root = bo_writes(&slack).await;
    let file = |doubtful| {
        let mut wish = due(&format!("op-1:file:{}", u8::from(doubtful)), "log");
        wish.thread = Some(root.as_str().into());
        wish.carrier = Carrier::File {
            name: "api.log".to_owned(),
            text: "line 1\nline 2\n".to_owned(),
        };
        wish.doubtful = doubtful;
        wish
    };
    posting.outbox.wish(file(false));
    posting.outbox.wish(file(true));
    posting.outbox.all_sent().await;
    let shown = slack.wait(PATIENCE, |slack| {
        let thread = slack.thread(OPERATIONS, &root);
        let files: Vec<Value> = thread.iter().flat_map(|it| it.files.clone()).collect();
        (files.len() == 2).then_some(files)
    });
    let files = shown.await.expect("no files");
    assert_eq!(files[0]["name"], "api.log");
    let bytes = slack.file(files[0]["id"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, b"line 1\nline 2\n");
    // The same file again, of unknown outcome: it is there.
    let again = Posting::to(client(&slack));
    again.outbox.wish({
        let mut wish = file(false);
        wish.doubtful = true;
        wish
    });
    again.outbox.all_sent().await;
    assert_eq!(count(&slack, "files.completeUploadExternal"), 2);
}

#[tokio::test]
async fn a_pin_pins() {
    let (slack, posting, _end) = posting().await;
    let ts = bo_writes(&slack).await;
    let mut wish = due("inc-1:pin", "");
    wish.carrier = Carrier::Pin(MessageKey("inc-1:card".to_owned()));
    wish.posted = Some(ts.as_str().into());
    posting.outbox.wish(wish);
    posting.outbox.all_sent().await;
    assert!(
        slack
            .messages(OPERATIONS)
            .iter()
            .any(|it| it.ts == ts && it.pinned)
    );
}

async fn direct_messages(slack: &Slack, person: &str) -> Vec<Message> {
    let direct = client(slack).open_dm(&person.into()).await.unwrap();
    slack.messages(direct.as_str())
}

#[tokio::test]
async fn what_an_archived_channel_does_not_take_reaches_the_asker() {
    let (slack, posting, _end) = posting().await;
    let mut wish = due("op-1", "api is up");
    wish.channel = "C0ARCHIVED".into();
    posting.outbox.wish(wish);
    let mut progress = due("op-2", "running");
    progress.channel = "C0ARCHIVED".into();
    progress.lane = Lane::Progress;
    progress.about.state = "running".to_owned();
    posting.outbox.wish(progress);
    posting
        .outbox
        .until("the refusals", |it| {
            matches!(
                (it.state("op-1"), it.state("op-2")),
                (Kept::Refused(_), Kept::Refused(_))
            )
        })
        .await;
    let advice = "This channel is archived: unarchive it, or use another one.";
    assert_eq!(
        posting.outbox.state("op-1"),
        Kept::Refused(advice.to_owned())
    );
    let told = direct_messages(&slack, "U0ANA").await;
    let [told] = <[Message; 1]>::try_from(told).expect("told once, of the end alone");
    assert!(
        told.text.contains("api is up") && told.text.contains("archived"),
        "{}",
        told.text
    );
}

#[tokio::test]
async fn a_private_channel_without_habops_gives_advice() {
    let (slack, posting, _end) = posting().await;
    let mut wish = due("op-1", "api is up");
    wish.channel = "C0PRIVATE".into();
    posting.outbox.wish(wish);
    posting
        .outbox
        .until("the refusal", |it| {
            matches!(it.state("op-1"), Kept::Refused(_))
        })
        .await;
    let Kept::Refused(advice) = posting.outbox.state("op-1") else {
        unreachable!()
    };
    assert!(advice.contains("/invite @habops"), "{advice}");
    assert_eq!(direct_messages(&slack, "U0ANA").await.len(), 1);
}

#[tokio::test]
async fn a_public_channel_is_joined_where_that_is_needed() {
    let mut seed = Seed {
        post_rate: None,
        ..Seed::default()
    };
    seed.bot.scopes.retain(|scope| scope != "chat:write.public");
    for channel in &mut seed.channels {
        channel
            .members
            .retain(|member| member != "U0HABOPS" || channel.id != "C0GENERAL");
    }
    let (slack, _end) = workspace(seed).await;
    let posting = Posting::to(client(&slack));
    let mut wish = due("op-1", "api is up");
    wish.channel = "C0GENERAL".into();
    posting.outbox.wish(wish);
    posting.outbox.all_sent().await;
    assert_eq!(posts_by_key(&slack, "C0GENERAL")["op-1"], 1);
    assert_eq!(count(&slack, "conversations.join"), 1);
}

/// A reply address of a slash command of this person's.
async fn reply_address(slack: &Slack, person: &str) -> SecretString {
    let inbox = Letterbox::saying("ack");
    let stop = CancellationToken::new();
    let run = listening(slack, &inbox, &stop).await;
    slack.types(person, OPERATIONS, None, "/habops help").await;
    let (_, typed) = inbox.typed().await;
    stop.cancel();
    run.await.unwrap().unwrap();
    typed.reply.unwrap()
}

#[tokio::test]
async fn a_private_answer_goes_by_the_reply_address_then_ephemerally_then_directly() {
    let (slack, posting, _end) = posting().await;
    let reply = reply_address(&slack, "ana").await;
    let private = |key: &str, person: &str, reply: Option<SecretString>| {
        let mut wish = due(key, key);
        wish.carrier = Carrier::Ephemeral(person.into());
        wish.reply = reply;
        wish
    };
    posting
        .outbox
        .wish(private("op-1:answer", "U0ANA", Some(reply)));
    posting.outbox.all_sent().await;
    assert_eq!(count(&slack, "chat.postEphemeral"), 0);
    let gone = format!(
        "{}/commands/T0SANDBOX/none",
        slack.api_url().trim_end_matches("/api")
    );
    posting
        .outbox
        .wish(private("op-2:answer", "U0ANA", Some(gone.into())));
    posting.outbox.all_sent().await;
    assert_eq!(count(&slack, "chat.postEphemeral"), 1);
    let said: Vec<_> = slack
        .ephemerals("ana")
        .into_iter()
        .map(|it| it.text)
        .collect();
    assert_eq!(said, ["ack", "op-1:answer", "op-2:answer"]);
    let mut elsewhere = private("op-3:answer", "U0DEE", None);
    elsewhere.channel = "C0PRIVATE".into();
    posting.outbox.wish(elsewhere);
    posting.outbox.all_sent().await;
    let direct = direct_messages(&slack, "U0DEE").await;
    assert_eq!(direct.len(), 1);
    assert_eq!(direct[0].text, "op-3:answer");
}

/// What goes by itself waits for no other and is claimed many at a time, so that a store that takes its time holds nobody up.
#[tokio::test]
async fn many_private_answers_are_few_claims_where_the_store_takes_its_time() {
    let (slack, _end) = workspace(Seed {
        post_rate: None,
        ..Seed::default()
    })
    .await;
    let outbox = Wishes::taking(Duration::from_millis(20));
    for n in 0..120 {
        let mut wish = due(&format!("op-{n}:answer"), "so it is");
        wish.carrier = Carrier::Ephemeral("U0ANA".into());
        outbox.wish(wish);
    }
    let posting = Posting::of(client(&slack), outbox);
    posting.outbox.all_sent().await;
    assert_eq!(slack.ephemerals("ana").len(), 120);
    let claims = posting.outbox.claims.load(Ordering::Relaxed);
    assert!(claims < 60, "{claims} claims for 120 answers");
}

#[tokio::test]
async fn a_private_answer_of_unknown_outcome_is_not_sent_twice() {
    let (slack, posting, _end) = posting().await;
    let mut wish = due("op-1:answer", "once");
    wish.carrier = Carrier::Ephemeral("U0ANA".into());
    wish.doubtful = true;
    posting.outbox.wish(wish);
    posting.outbox.all_sent().await;
    assert!(slack.ephemerals("ana").is_empty());
}

/// A Slack that answers each method in turn with these words, `ok` when there are no more.
async fn refusing(
    words: &[(&'static str, &[&'static str])],
) -> (Client, Arc<Mutex<Vec<(String, Value)>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let kept = calls.clone();
    let words: HashMap<&str, VecDeque<&'static str>> = words
        .iter()
        .map(|(method, words)| (*method, words.iter().copied().collect()))
        .collect();
    let words = Arc::new(Mutex::new(words));
    let (listener, base) = listener().await;
    let upload = format!("{base}/upload");
    let api = any(move |Path(method): Path<String>, body: String| {
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        kept.lock().unwrap().push((method.clone(), body));
        let word = words
            .lock()
            .unwrap()
            .get_mut(method.as_str())
            .and_then(VecDeque::pop_front);
        let answer = match word {
            Some(word) => json!({"ok": false, "error": word}),
            None => {
                json!({"ok": true, "ts": "5.1", "channel": {"id": "D1"}, "file_id": "F1", "upload_url": upload, "messages": []})
            }
        };
        async move { Json(answer) }
    });
    let router = Router::new()
        .route("/api/{method}", api)
        .route("/upload", any(|| async { "OK" }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (client_at(format!("{base}/api"), "xoxb-sandbox"), calls)
}

fn methods(calls: &Mutex<Vec<(String, Value)>>) -> Vec<String> {
    calls
        .lock()
        .unwrap()
        .iter()
        .map(|(method, _)| method.clone())
        .collect()
}

#[tokio::test]
async fn a_refused_layout_becomes_plain_text() {
    let (client, calls) = refusing(&[("chat.postMessage", &["invalid_blocks"])]).await;
    let posting = Posting::to(client);
    posting.outbox.wish(due("op-1", "api is up"));
    posting.outbox.all_sent().await;
    let calls = calls.lock().unwrap();
    assert!(calls[0].1["blocks"].is_array() && calls[1].1.get("blocks").is_none());
    assert_eq!(calls[1].1["text"], "api is up");
    assert_eq!(key_of(calls[1].1.get("metadata")).as_deref(), Some("op-1"));
}

#[tokio::test]
async fn a_refused_text_becomes_a_file() {
    let (client, calls) =
        refusing(&[("chat.postMessage", &["msg_blocks_too_long", "msg_too_long"])]).await;
    let posting = Posting::to(client);
    posting.outbox.wish(due("op-1", "api is up"));
    posting.outbox.all_sent().await;
    let expected = [
        "chat.postMessage",
        "chat.postMessage",
        "files.getUploadURLExternal",
        "files.completeUploadExternal",
    ];
    assert_eq!(methods(&calls), expected);
}

#[tokio::test]
async fn an_edit_whose_message_is_gone_becomes_a_message_where_it_is_an_end() {
    let (client, calls) =
        refusing(&[("chat.update", &["message_not_found", "message_not_found"])]).await;
    let posting = Posting::to(client);
    let mut progress = due("op-1", "running");
    progress.posted = Some("4.1".into());
    progress.lane = Lane::Progress;
    progress.about.state = "running".to_owned();
    posting.outbox.wish(progress);
    posting.outbox.all_sent().await;
    assert_eq!(methods(&calls), ["chat.update"]);
    posting.outbox.wish(due("op-1", "api is up"));
    posting.outbox.all_sent().await;
    assert_eq!(
        methods(&calls),
        ["chat.update", "chat.update", "chat.postMessage"]
    );
}

#[tokio::test]
async fn a_thread_whose_root_is_gone_is_answered_in_the_channel() {
    let (client, calls) = refusing(&[("chat.postMessage", &["thread_not_found"])]).await;
    let posting = Posting::to(client);
    let mut wish = due("op-1", "api is up");
    wish.thread = Some("4.1".into());
    posting.outbox.wish(wish);
    posting.outbox.all_sent().await;
    assert!(calls.lock().unwrap()[1].1.get("thread_ts").is_none());
}

#[tokio::test]
async fn a_refused_token_stops_everything_and_is_told() {
    let (slack, _end) = workspace(Seed::default()).await;
    let posting = Posting::to(client_at(slack.api_url(), "xoxb-wrong"));
    posting.outbox.wish(due("op-1", "api is up"));
    posting.outbox.wish(due("op-2", "api is up"));
    posting.outbox.tried(2).await;
    assert!(posting.health.token_refused());
    assert!(posting.health.last_error().unwrap().contains("token"));
    assert_eq!(posting.outbox.state("op-1"), Kept::Waiting);
    assert_eq!(count(&slack, "chat.postMessage"), 1);
}

#[tokio::test]
async fn what_was_wished_before_the_stop_is_still_sent() {
    let (slack, mut posting, _end) = posting().await;
    let channels: [ChannelId; 2] = [OPERATIONS.into(), "C0GENERAL".into()];
    for n in 0..20 {
        let mut wish = due(&format!("op-{n}"), "answer");
        wish.channel = channels[n % 2].clone();
        posting.outbox.wish(wish);
    }
    posting.stopped().await;
    posting.outbox.all_sent().await;
    assert_eq!(
        posts_by_key(&slack, OPERATIONS).len() + posts_by_key(&slack, "C0GENERAL").len(),
        20
    );
}
