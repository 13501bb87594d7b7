//! Slack in both directions, against the sandbox's Slack: what people do becomes deliveries, wishes become messages once each.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::Path, routing::any};
use futures_util::{FutureExt as _, future::BoxFuture};
use habops::{
    clients::slack::{Client, Config, Identity, LinkDisabled, Post, Session},
    domain::{
        actor::Actor,
        ids::{ChannelId, MessageTs, OperationId},
        inbound::{Ack, Delivery, Inbound, Via},
        journey::{Redacted, redact},
        message::{About, Carrier, Due, Lane, MessageKey, Posted},
        output::{Output, Status},
        place::Place,
        records::{Inbox, Outbox},
        redact::Rules,
        tally::Tally,
    },
    render,
    sandbox::slack::{Deliver, Message, Options, Seed, Slack, Typed, TypedAs, sign},
    surface::slack::{
        http,
        post::{Pace, Poster, PosterHealth},
        socket,
    },
};
use rstest::rstest;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
const OPERATIONS: &str = "C0OPERATIONS";
const SECRET: &str = "sandbox-signing-secret";

// --- the workspace -------------------------------------------------------------------------------------------------------

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

async fn workspace(seed: Seed) -> (Slack, DropGuard) {
    let options = Options {
        seed,
        ..Options::default()
    };
    let stop = CancellationToken::new();
    let slack = Slack::start(listener().await.0, options, stop.clone());
    (slack, stop.drop_guard())
}

fn client_at(api_url: String, bot_token: &str) -> Client {
    let config = Config {
        api_url,
        ..Config::new(bot_token.into(), "xapp-sandbox".into(), OPERATIONS.into())
    };
    Client::new(&config).unwrap()
}

fn client(slack: &Slack) -> Client {
    client_at(slack.api_url(), "xoxb-sandbox")
}

fn identity() -> Identity {
    serde_json::from_value(
        json!({"team_id": "T0SANDBOX", "user_id": "U0HABOPS", "bot_id": "B0HABOPS"}),
    )
    .unwrap()
}

/// A message for others to answer under: its `ts`.
async fn bo_writes(slack: &Slack) -> String {
    let typed = slack.types("bo", OPERATIONS, None, "it is down").await;
    typed.ts.unwrap()
}

fn redacted(output: Output) -> Redacted {
    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new([]).unwrap());
    redact(output, &RULES)
}

// --- what comes in -------------------------------------------------------------------------------------------------------

type Answers = Box<dyn Fn(&Delivery) -> BoxFuture<'static, Ack> + Send + Sync>;

/// Keeps what it is given, and answers as told; a key that came before is a duplicate.
struct Letterbox {
    came: watch::Sender<usize>,
    deliveries: Mutex<Vec<Delivery>>,
    answers: Answers,
}

impl Inbox for Letterbox {
    fn accept(&self, delivery: Delivery) -> BoxFuture<'_, Ack> {
        let mut deliveries = self.deliveries.lock().unwrap();
        let again = deliveries.iter().any(|it| it.key == delivery.key);
        let answer = (self.answers)(&delivery);
        deliveries.push(delivery);
        drop(deliveries);
        self.came.send_modify(|came| *came += 1);
        async move { if again { Ack::Duplicate } else { answer.await } }.boxed()
    }
}

impl Letterbox {
    fn answering(
        answers: impl Fn(&Delivery) -> BoxFuture<'static, Ack> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            came: watch::channel(0).0,
            deliveries: Mutex::default(),
            answers: Box::new(answers),
        })
    }

    fn saying(said: &str) -> Arc<Self> {
        let said = said.to_owned();
        Self::answering(move |_| {
            let ack = Ack::Accepted {
                operation: Some(OperationId(17)),
                said: Some(Output::new(Status::Running, said.clone())),
            };
            async move { ack }.boxed()
        })
    }

    /// The deliveries once there are so many.
    async fn deliveries(&self, number: usize) -> Vec<Delivery> {
        let mut came = self.came.subscribe();
        let enough = came.wait_for(|came| *came >= number);
        tokio::time::timeout(PATIENCE, enough)
            .await
            .expect("too few deliveries")
            .unwrap();
        std::mem::take(&mut *self.deliveries.lock().unwrap())
    }

    async fn typed(&self) -> (String, habops::domain::inbound::Typed) {
        let delivery = self.deliveries(1).await.remove(0);
        match delivery.inbound {
            Inbound::Typed(typed) => (delivery.key, typed),
            other => panic!("{other:?}"),
        }
    }
}

struct Heard {
    slack: Slack,
    inbox: Arc<Letterbox>,
    _ends: (DropGuard, DropGuard),
}

/// The surface on the workspace's sockets, until it is stopped.
async fn listening(
    slack: &Slack,
    inbox: &Arc<Letterbox>,
    stop: &CancellationToken,
) -> JoinHandle<Result<(), LinkDisabled>> {
    let client = client(slack);
    let session = Session::new(client.clone());
    let run = socket::run(session, client, identity(), inbox.clone(), stop.clone());
    let run = tokio::spawn(run);
    assert!(slack.connected(2, PATIENCE).await);
    run
}

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

fn ack_text(typed: &Typed) -> String {
    let ack = typed
        .ack
        .as_ref()
        .unwrap_or_else(|| panic!("no payload: {typed:?}"));
    assert_eq!(ack["response_type"], "ephemeral");
    assert!(
        ack["blocks"]
            .as_array()
            .is_some_and(|blocks| !blocks.is_empty())
    );
    ack["text"].as_str().unwrap().to_owned()
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

// --- over HTTP -----------------------------------------------------------------------------------------------------------

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

// --- what goes out -------------------------------------------------------------------------------------------------------

/// One wish as this outbox keeps it.
struct Row {
    due: Due,
    state: Kept,
    due_at: Instant,
}

#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Waiting,
    Claimed { seq: u64 },
    Sent,
    Refused(String),
}

/// The outbox in memory: newest wish a key, first of each channel first, doubtful as told.
#[derive(Default)]
struct Wishes {
    rows: Mutex<Vec<Row>>,
    wished: Notify,
    tries: AtomicUsize,
    claims: AtomicUsize,
    /// How long each transaction takes.
    takes: Duration,
    changes: watch::Sender<u64>,
}

/// How long what failed rests.
const RETRY: Duration = Duration::from_millis(50);

fn copied(due: &Due) -> Due {
    Due {
        row: due.row,
        key: due.key.clone(),
        channel: due.channel.clone(),
        thread: due.thread.clone(),
        carrier: due.carrier.clone(),
        posted: due.posted.clone(),
        seq: due.seq,
        lane: due.lane,
        output: due.output.clone(),
        about: due.about.clone(),
        doubtful: due.doubtful,
        attempts: due.attempts,
        reply: due.reply.clone(),
    }
}

fn due(key: &str, said: &str) -> Due {
    Due {
        row: 0,
        key: MessageKey(key.to_owned()),
        channel: OPERATIONS.into(),
        thread: None,
        carrier: Carrier::Message,
        posted: None,
        seq: 1,
        lane: Lane::Verdict,
        output: redacted(Output::new(Status::Done, said)),
        about: About {
            operation: Some(OperationId(17)),
            incident: None,
            state: "done".to_owned(),
            actor: Actor::person("T0SANDBOX", "U0ANA"),
            typed: "status api".to_owned(),
            at: jiff::Timestamp::now(),
            back_filled: false,
        },
        doubtful: false,
        attempts: 0,
        reply: None,
    }
}

impl Wishes {
    /// A wish, or a newer one for the same key.
    fn wish(&self, mut due: Due) {
        let mut rows = self.rows.lock().unwrap();
        if let Some(row) = rows.iter_mut().find(|row| row.due.key == due.key) {
            row.due.output = due.output;
            row.due.about = due.about;
            row.due.lane = due.lane;
            row.due.seq += 1;
            if row.state == Kept::Sent {
                row.state = Kept::Waiting;
                row.due_at = Instant::now();
            }
        } else {
            due.row = i64::try_from(rows.len()).unwrap() + 1;
            rows.push(Row {
                due,
                state: Kept::Waiting,
                due_at: Instant::now(),
            });
        }
        drop(rows);
        self.wished.notify_one();
    }

    fn state(&self, key: &str) -> Kept {
        let rows = self.rows.lock().unwrap();
        rows.iter()
            .find(|row| row.due.key.0 == key)
            .unwrap()
            .state
            .clone()
    }

    fn ts(&self, key: &str) -> Option<MessageTs> {
        let rows = self.rows.lock().unwrap();
        rows.iter()
            .find(|row| row.due.key.0 == key)
            .unwrap()
            .due
            .posted
            .clone()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        let looking = changes.wait_for(|_| is_so(self));
        let found = tokio::time::timeout(PATIENCE * 2, looking)
            .await
            .map(|_| ());
        let open: Vec<_> = self
            .rows
            .lock()
            .unwrap()
            .iter()
            .filter(|row| row.state != Kept::Sent)
            .map(|row| (row.due.key.0.clone(), row.state.clone()))
            .collect();
        assert!(found.is_ok(), "waited too long for {what}: {open:?}");
    }

    async fn all_sent(&self) {
        self.until("all to be sent", |it| {
            it.rows
                .lock()
                .unwrap()
                .iter()
                .all(|row| row.state == Kept::Sent)
        })
        .await;
    }

    async fn tried(&self, times: usize) {
        self.until("tries", |it| it.tries.load(Ordering::Relaxed) >= times)
            .await;
    }

    fn claim_now(&self, limit: usize) -> Vec<Due> {
        let mut rows = self.rows.lock().unwrap();
        let now = Instant::now();
        let mut ready: Vec<&mut Row> = rows
            .iter_mut()
            .filter(|row| row.state == Kept::Waiting && row.due_at <= now)
            .collect();
        ready.sort_by_key(|row| (row.due.lane, row.due.row));
        let claimed = ready.into_iter().take(limit).map(|row| {
            let due = copied(&row.due);
            row.due.attempts += 1;
            row.state = Kept::Claimed { seq: due.seq };
            due
        });
        claimed.collect()
    }

    fn settle_now(&self, due: &Due, posted: Posted) {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.iter_mut().find(|row| row.due.row == due.row).unwrap();
        assert_eq!(row.state, Kept::Claimed { seq: due.seq });
        row.state = Kept::Waiting;
        match posted {
            Posted::Sent { ts } => {
                if due.carrier == Carrier::Message && row.due.posted.is_none() {
                    row.due.posted = ts;
                }
                row.due.doubtful = false;
                if row.due.seq == due.seq {
                    row.state = Kept::Sent;
                }
            }
            Posted::Later { after } => row.due_at = Instant::now() + after,
            Posted::NotDone { retry_after, .. } => {
                row.due.doubtful = false;
                row.due_at = Instant::now() + retry_after.unwrap_or(RETRY);
            }
            Posted::Doubtful { .. } => {
                row.due.doubtful = true;
                row.due_at = Instant::now() + RETRY;
            }
            Posted::Refused { advice } => row.state = Kept::Refused(advice),
        }
        drop(rows);
        self.tries.fetch_add(1, Ordering::Relaxed);
        self.changes.send_modify(|changes| *changes += 1);
        self.wished.notify_one();
    }
}

impl Outbox for Wishes {
    fn claim(&self, limit: usize) -> BoxFuture<'_, anyhow::Result<Vec<Due>>> {
        async move {
            self.claims.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.takes).await;
            Ok(self.claim_now(limit))
        }
        .boxed()
    }

    fn settle<'a>(&'a self, due: &'a Due, posted: Posted) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            tokio::time::sleep(self.takes).await;
            self.settle_now(due, posted);
            Ok(())
        }
        .boxed()
    }

    fn wait(&self) -> BoxFuture<'_, ()> {
        async {
            let _ = tokio::time::timeout(RETRY, self.wished.notified()).await;
        }
        .boxed()
    }
}

struct Posting {
    outbox: Arc<Wishes>,
    health: PosterHealth,
    stop: CancellationToken,
    poster: Option<JoinHandle<()>>,
}

impl Posting {
    fn to(client: Client) -> Self {
        Self::of(client, Wishes::default())
    }

    fn of(client: Client, outbox: Wishes) -> Self {
        let outbox = Arc::new(outbox);
        let pace = Pace {
            posts_per_second: 50.try_into().unwrap(),
            between_edits: Duration::from_millis(400),
            ..Pace::default()
        };
        let poster = Poster::at_pace(client, outbox.clone(), identity(), pace);
        let health = poster.health();
        let stop = CancellationToken::new();
        let poster = Some(tokio::spawn(poster.run(stop.clone())));
        Self {
            outbox,
            health,
            stop,
            poster,
        }
    }

    async fn stopped(&mut self) {
        self.stop.cancel();
        let poster = self.poster.take().unwrap();
        tokio::time::timeout(PATIENCE, poster)
            .await
            .expect("the poster does not stop")
            .unwrap();
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The workspace without its own limit on posts, and a poster in it.
async fn posting() -> (Slack, Posting, DropGuard) {
    let (slack, end) = workspace(Seed {
        post_rate: None,
        ..Seed::default()
    })
    .await;
    let posting = Posting::to(client(&slack));
    (slack, posting, end)
}

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
    assert_eq!(posting.health.waiting_age(), None);
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
    let outbox = Wishes {
        takes: Duration::from_millis(20),
        ..Wishes::default()
    };
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
