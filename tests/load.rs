//! Many commands at once, and Slack on a bad day: nothing is lost, nothing is said twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use habops::{domain::operation::State, sandbox::slack::Typed};
use serde_json::Value;

use super::world::{World, everywhere, of_metadata};

/// As many as the issue asks for.
const COMMANDS: usize = 200;
/// Over how long they are typed.
const WITHIN: Duration = Duration::from_secs(5);
/// Channels they are typed in: each takes about one message a second.
const CHANNELS: usize = 10;
/// How long Slack waits for an acknowledgement.
const SLACKS_PATIENCE: Duration = Duration::from_secs(3);

/// What is typed, in turn: shared answers, private ones, refusals of three kinds.
const MIXED: [&str; 8] = [
    "incident list",
    "help",
    "status live-builder-api-0",
    "statsu",
    "incident list --all",
    "services live-builder-router-0",
    "freeze live \"dee may not\"",
    "why status",
];

/// Whether the answer to it is a message for all.
fn is_shared(text: &str) -> bool {
    ["incident", "status ", "services"]
        .iter()
        .any(|word| text.starts_with(word))
}

/// Makes channels as the app itself would, so that it is in them.
async fn channels(world: &World) -> Vec<String> {
    let client = reqwest::Client::new();
    let url = format!("{}/conversations.create", world.slack().api_url());
    let mut made = Vec::new();
    for number in 0..CHANNELS {
        let answer: Value = client
            .post(&url)
            .bearer_auth("xoxb-sandbox")
            .json(&serde_json::json!({ "name": format!("load-{number}") }))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        made.push(
            answer["channel"]["id"]
                .as_str()
                .expect("a channel")
                .to_owned(),
        );
    }
    made
}

/// Types all of it, evenly over the time, and returns what Slack saw of each, with its text.
async fn types_all(
    world: &World,
    channels: &[String],
    meanwhile: impl AsyncFn(usize),
) -> Vec<(&'static str, Typed)> {
    let mut typing = tokio::task::JoinSet::new();
    for number in 0..COMMANDS {
        let slack = world.slack().clone();
        let channel = channels[number % channels.len()].clone();
        let text = MIXED[number % MIXED.len()];
        let after = WITHIN * u32::try_from(number).unwrap() / u32::try_from(COMMANDS).unwrap();
        typing.spawn(async move {
            tokio::time::sleep(after).await;
            let typed = slack
                .types("dee", &channel, None, &format!("/habops {text}"))
                .await;
            (text, typed)
        });
    }
    let mut all = Vec::new();
    while let Some(typed) = typing.join_next().await {
        all.push(typed.unwrap());
        meanwhile(all.len()).await;
    }
    all
}

/// Every command has one operation and one end, and what all may see is one message that shows it.
async fn each_has_one_answer(world: &World, typed: &[(&str, Typed)]) {
    world.comes_to_rest().await;
    let operations = world.operations().await;
    assert_eq!(operations.len(), typed.len(), "one operation a command");
    let mut messages = BTreeMap::<String, Vec<String>>::new();
    for message in everywhere(world.slack()) {
        let key = of_metadata(&message, "key");
        if key.starts_with("op-") {
            let state = of_metadata(&message, "state");
            messages.entry(key).or_default().push(state);
        }
    }
    let mut shared = BTreeSet::new();
    for operation in &operations {
        assert!(operation.state.is_end(), "{operation:?}");
        let id = operation.id.to_string();
        if is_shared(&operation.text) {
            assert_eq!(
                operation.state,
                State::Done,
                "{}: {:?}",
                operation.text,
                operation.output
            );
            let seen = messages.get(&id).cloned().unwrap_or_default();
            assert_eq!(seen, ["done"], "{id} {}", operation.text);
            shared.insert(id);
        } else {
            assert_eq!(
                messages.get(&id),
                None,
                "{id} {} is private",
                operation.text
            );
        }
    }
    assert_eq!(messages.len(), shared.len(), "nothing else was posted");
}

/// Each private answer was shown: one acknowledgement a command, and one answer to each that was not refused in it.
fn each_was_told_once(world: &World, typed: &[(&str, Typed)]) {
    let expected: usize = typed
        .iter()
        .map(|(text, _)| match *text {
            "statsu" => 1,                // the refusal is the acknowledgement
            text if is_shared(text) => 1, // the acknowledgement says where the answer comes
            _ => 2,                       // and here it comes to the asker alone
        })
        .sum();
    assert_eq!(world.slack().ephemerals("dee").len(), expected);
}

#[test]
fn two_hundred_commands_in_five_seconds_are_each_answered_once() {
    World::run(async |world| {
        let channels = channels(world).await;
        let typed = types_all(world, &channels, async |_| {}).await;
        for (text, typed) in &typed {
            assert_eq!(typed.error, None, "{text}");
            assert!(typed.took.unwrap() < SLACKS_PATIENCE, "{text}: {typed:?}");
        }
        each_has_one_answer(world, &typed).await;
        each_was_told_once(world, &typed);
    });
}

#[test]
fn dropped_sockets_and_copies_of_envelopes_lose_and_double_nothing() {
    World::run(async |world| {
        let channels = channels(world).await;
        world.breaks("slack-redeliver");
        let typed = types_all(world, &channels, async |count| {
            if count == COMMANDS / 3 || count == COMMANDS / 2 {
                world.breaks("slack-drop");
            }
        })
        .await;
        // A command whose socket closed under it may be answered to by nobody; its copy is what remains.
        let unheard = typed.iter().filter(|(_, typed)| typed.took.is_none());
        assert!(unheard.count() < COMMANDS / 4);
        // The last copies come after a moment.
        world
            .eventually("the copies", async || {
                let journal = world.slack().journal();
                let acks = journal.iter().filter(|entry| entry.kind == "ack");
                (acks.count() >= 2 * COMMANDS - COMMANDS / 4).then_some(())
            })
            .await;
        each_has_one_answer(world, &typed).await;
    });
}

/// That fault on while commands come in, and off again a little later.
fn under(fault: &'static str) {
    World::run(async |world| {
        let channels = channels(world).await;
        let typed = types_all(world, &channels, async |count| {
            if count == COMMANDS / 8 {
                world.breaks(fault);
            }
            if count == COMMANDS * 3 / 4 {
                world.mends(fault);
            }
        })
        .await;
        for (text, typed) in &typed {
            assert_eq!(typed.error, None, "{text}");
        }
        each_has_one_answer(world, &typed).await;
    });
}

#[test]
fn while_slack_answers_429_nothing_is_lost_or_said_twice() {
    under("slack-429");
}

#[test]
fn while_slack_answers_500_nothing_is_lost_or_said_twice() {
    under("slack-500");
}

#[test]
fn while_slack_resets_connections_nothing_is_lost_or_said_twice() {
    under("slack-reset");
}
