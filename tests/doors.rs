//! The program's own doors: `/healthz`, `/readyz` and `/metrics` for whoever looks after it, and Slack's requests in `http` mode.

use std::{fs, time::Duration};

use habops::{
    config,
    domain::{
        actor::Actor,
        journey::redact,
        message::{About, Carrier, Destination, Lane, MessageKey, Under, Wish},
        output::{Output, Status},
        redact::Rules,
    },
    sandbox::slack::{Deliver, sign},
};
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value;

use super::world::{Setup, World, of_metadata, words};

const README: &str = include_str!("../README.md");
/// Longer than the store waits for another process.
const HELD: Duration = Duration::from_secs(5);

/// What `/readyz` says, and whether it says that habops is ready.
async fn readiness(world: &World) -> (bool, Value) {
    let (status, body) = world.asks_admin("/readyz").await;
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        status,
        if said["ready"] == true { 200 } else { 503 },
        "{said}"
    );
    (status == 200, said)
}

async fn becomes(world: &World, ready: bool) -> Value {
    let what = if ready {
        "habops to be ready"
    } else {
        "habops to be unready"
    };
    world
        .eventually(what, async || {
            let (is_ready, said) = readiness(world).await;
            (is_ready == ready).then_some(said)
        })
        .await
}

#[test]
fn who_looks_after_habops_is_told_whether_it_hears_keeps_and_speaks() {
    World::run(async |world| {
        let alive =
            async || assert_eq!(world.asks_admin("/healthz").await, (200, "ok\n".to_owned()));
        let said = becomes(world, true).await;
        assert_eq!(said["slack"]["hello_seen"], true);
        assert_eq!(said["store"]["writable"], true);
        assert_eq!(said["outbox"]["oldest_waiting_seconds"], Value::Null);
        let metrics = world
            .eventually("both sockets", async || {
                let metrics = world.metrics().await;
                metrics
                    .contains("habops_slack_sockets 2")
                    .then_some(metrics)
            })
            .await;
        assert_in_the_readme(&metrics);

        // It is deaf.
        world.breaks("slack-down");
        let said = becomes(world, false).await;
        assert_eq!(said["slack"]["hello_seen"], false, "{said}");
        assert_eq!(said["store"]["writable"], true, "{said}");
        alive().await;
        assert!(world.metrics().await.contains("habops_slack_sockets 0"));

        // What it says is not seen: as it would be after more than two minutes.
        world.store.put(vec![wish()]).await.unwrap();
        let file = Connection::open(world.store.path()).unwrap();
        let older = "UPDATE outbox SET wished_at = wished_at - 180000000000";
        assert_eq!(file.execute(older, []).unwrap(), 1);
        let (_, said) = readiness(world).await;
        let waits = said["outbox"]["oldest_waiting_seconds"].as_f64().unwrap();
        assert!(waits > 180.0, "{said}");
        let age = |metrics: &str| -> f64 {
            let mut lines = metrics.lines();
            let line =
                lines.find_map(|line| line.strip_prefix("habops_outbox_oldest_age_seconds "));
            line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
        };
        assert!(age(&world.metrics().await) > 180.0);
        world.mends("slack-down");
        becomes(world, true).await;
        world.sees("operations", "waited for Slack").await;

        // It cannot keep anything.
        file.execute_batch("BEGIN IMMEDIATE").unwrap();
        let held = tokio::time::Instant::now();
        let said = becomes(world, false).await;
        assert_eq!(said["store"]["writable"], false, "{said}");
        assert!(held.elapsed() < HELD * 4);
        alive().await;
        file.execute_batch("ROLLBACK").unwrap();
        becomes(world, true).await;
        let (status, _) = world.asks_admin("/nowhere").await;
        assert_eq!(status, 404);
    });
}

/// Every metric has its place in the README's table, under the name that Prometheus sees.
fn assert_in_the_readme(metrics: &str) {
    let families = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE habops_"));
    for family in families {
        let (name, kind) = family.split_once(' ').unwrap();
        let total = if kind == "counter" { "_total" } else { "" };
        let named = format!("`{name}{total}`");
        assert!(
            README.contains(&named),
            "the README does not tell of {named}"
        );
    }
}

fn wish() -> Wish {
    let output = Output::new(Status::Done, "This waited for Slack");
    Wish {
        key: MessageKey("waits".to_owned()),
        to: Destination {
            channel: "C0OPERATIONS".into(),
            thread: Under::Channel,
        },
        carrier: Carrier::Message,
        lane: Lane::Verdict,
        output: redact(output, &Rules::new([]).unwrap()),
        about: About {
            operation: None,
            incident: None,
            state: "done".to_owned(),
            actor: Actor::Habops,
            typed: String::new(),
            at: Timestamp::now(),
            back_filled: false,
        },
    }
}

#[test]
fn in_http_mode_signed_requests_are_answered_and_others_are_not() {
    let setup = Setup::default().instead("mode = \"socket\"", "mode = \"http\"");
    setup.run(async |world| {
        let listen = config::load(&world.config()).unwrap().http.listen;
        let base = format!("http://{listen}");
        world.slack().deliver(Deliver::Http { base: base.clone() });
        assert!(readiness(world).await.0);
        assert_eq!(world.slack().sockets(), 0);

        // A slash command, a button, a mention in a thread, a shortcut on a message.
        let ana = world.person("ana");
        let table = ana.runs("/habops status live-builder-api-0").await;
        assert!(words(&table).contains("live-builder-api-0 is up"));
        ana.types("/habops statsu").await;
        ana.hears("Did you mean").await;
        ana.types("/habops incident list --json").await;
        ana.hears("is for the terminal").await;
        let (operation, card) = ana
            .proposes("/habops restart live-builder-api-0 --reason slow")
            .await;
        ana.presses(&card, "Deny").await;
        world.shows(&operation, "denied").await;
        ana.under(&table.ts).types("@habops incident list").await;
        world.sees("operations", "No incident is open").await;
        ana.asks_about(&table, "services live-builder-api-0").await;
        world
            .until("the answer in the thread", |slack| {
                let mut messages = slack.messages("operations").into_iter();
                messages.find(|message| {
                    message.thread_ts.as_deref() == Some(&table.ts)
                        && words(message).contains("builder-api")
                        && of_metadata(message, "state") == "done"
                })
            })
            .await;

        // A refusal is nowhere but in its acknowledgement: where that is lost and the command comes again, so does the refusal.
        let secret = fs::read_to_string(world.dir().join("files/signing-secret")).unwrap();
        let body = "command=%2Fhabops&text=statsu&user_id=U0ANA&team_id=T0SANDBOX&channel_id=C0OPERATIONS&trigger_id=1.2.3";
        let before = world.operations().await.len();
        for _ in 0..2 {
            let now = Timestamp::now().as_second().to_string();
            let sent = reqwest::Client::new()
                .post(format!("{base}/slack/commands"))
                .header("X-Slack-Signature", sign(secret.trim(), &now, body))
                .header("X-Slack-Request-Timestamp", now)
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(body);
            let answer = sent.send().await.unwrap().text().await.unwrap();
            assert!(answer.contains("Did you mean"), "{answer}");
        }
        assert_eq!(world.operations().await.len(), before + 1);

        // Nobody else is heard.
        let before = world.operations().await.len();
        for path in ["commands", "interactions", "events"] {
            let forged = reqwest::Client::new()
                .post(format!("{base}/slack/{path}"))
                .header("X-Slack-Request-Timestamp", Timestamp::now().as_second())
                .header("X-Slack-Signature", format!("v0={}", "0".repeat(64)))
                .body("command=%2Fhabops&text=freeze+live+now&user_id=U0ANA");
            assert_eq!(forged.send().await.unwrap().status(), 401, "{path}");
        }
        assert_eq!(world.operations().await.len(), before);
        let metrics = world.metrics().await;
        assert!(
            metrics.contains("habops_signatures_refused_total"),
            "{metrics}"
        );
        assert_in_the_readme(&metrics);
    });
}
