//! Slack in both directions, against the sandbox's Slack: what people do becomes deliveries, wishes become messages once each.

#[path = "surface/heard.rs"]
mod heard;
#[path = "surface/http.rs"]
mod http;
#[path = "surface/outbox.rs"]
mod outbox;
#[path = "surface/post.rs"]
mod post;

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use habops::{
    clients::slack::{Client, Config, Identity, LinkDisabled, Session},
    domain::{
        ids::OperationId,
        inbound::{Ack, Delivery, Inbound},
        journey::{Redacted, redact},
        output::{Output, Status},
        records::Inbox,
        redact::Rules,
    },
    sandbox::slack::{Options, Seed, Slack, Typed},
    surface::slack::socket,
};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
const OPERATIONS: &str = "C0OPERATIONS";

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
