//! The journey of a command, end to end on real parts, in the words of the people who use it.

use habops::{domain::operation::State, sandbox::slack::Message};

use super::world::{Setup, World, everywhere, of_metadata, words};

/// A change that its asker may confirm.
const NUDGE: &str = r#"summary = "Restart a node's Supervisor."
changes = true
role = "operator"
confirm = "self"
inverse = "none"

[runbook]
on = "{target}"
timeout = "30s"
steps = [{ say = "restart", run = ["sudo", "-n", "systemctl", "restart", "hab-sup"] }]

[[arg]]
name = "target"
kind = "target"
help = "A node."

[[example]]
text = "live-builder-api-0"
"#;

/// What the node hears of it.
const RESTART: &str = "sudo -n systemctl restart hab-sup";

/// A look that waits for nobody.
const API: &str = "/habops status live-builder-api-0";

/// A world with a change in its catalogue, `nudge`, and one that needs a second person, `shove`.
fn with_changes() -> Setup {
    Setup::default().command("nudge", NUDGE).command(
        "shove",
        &NUDGE.replace("confirm = \"self\"", "confirm = \"second-person\""),
    )
}

/// How often that node's Supervisor was restarted.
fn restarts(world: &World, node: &str) -> usize {
    let ran = world.sandbox.nodes.ran(node);
    ran.iter().filter(|line| *line == RESTART).count()
}

/// Opens an incident and waits for its card: the incident's id, and the card.
async fn opened(world: &World, channel: &str, title: &str) -> (String, Message) {
    let ana = world.person("ana").at(channel);
    let said = ana
        .types(&format!("/habops incident open \"{title}\""))
        .await;
    let incident = said.operation.replace("op-", "inc-");
    let card = world.shows(&format!("{incident}:card"), "open").await;
    world.comes_to_rest().await;
    (incident, card)
}

#[test]
fn without_an_incident_the_answer_comes_where_it_was_typed() {
    World::run(async |world| {
        let ana = world.person("ana").at("general");
        let said = ana.types("/habops status").await;
        assert!(said.ack.contains("The answer comes here"), "{}", said.ack);
        let table = world.shows(&said.operation, "done").await;
        assert_eq!(table.channel, "C0GENERAL");
        assert_eq!(table.thread_ts, None);
        let told = words(&table);
        for node in ["live-builder-api-0", "live-builder-worker-2"] {
            assert!(told.contains(node), "{told}");
        }
    });
}

#[test]
fn an_open_incident_gets_every_answer_and_the_asker_a_link() {
    World::run(async |world| {
        let (_, card) = opened(world, "operations", "login is slow").await;
        assert!(words(&card).contains("login is slow"));
        let link = format!("/archives/C0OPERATIONS/p{}", card.ts.replace('.', ""));
        for channel in ["operations", "general"] {
            let ana = world.person("ana").at(channel);
            let said = ana.types(API).await;
            assert!(said.ack.contains(&link), "{}", said.ack);
            let table = world.shows(&said.operation, "done").await;
            assert_eq!(table.channel, "C0OPERATIONS");
            assert_eq!(table.thread_ts.as_ref(), Some(&card.ts));
        }
    });
}

#[test]
fn here_keeps_the_answer_where_it_was_typed() {
    World::run(async |world| {
        opened(world, "operations", "login is slow").await;
        let bo = world.person("bo").at("general");
        let table = bo.runs(&format!("{API} --here")).await;
        assert_eq!(
            (table.channel.as_str(), table.thread_ts),
            ("C0GENERAL", None)
        );
    });
}

#[test]
fn with_two_incidents_the_asker_is_asked_which() {
    World::run(async |world| {
        let (_, first) = opened(world, "operations", "login is slow").await;
        let (second, other) = opened(world, "general", "search is down").await;
        let bo = world.person("bo");
        let said = bo.types(API).await;
        let question = bo.hears("Which incident").await;
        bo.presses(&question, &format!("{second} search is down"))
            .await;
        let table = world.shows(&said.operation, "done").await;
        assert_eq!(table.thread_ts.as_ref(), Some(&other.ts));
        // Pressed again it runs nothing, and says why.
        bo.presses(&question, &format!("{second} search is down"))
            .await;
        bo.hears("answered already").await;
        // Or it is said at once.
        let first_id = of_metadata(&first, "key").replace(":card", "");
        let table = bo.runs(&format!("{API} --incident {first_id}")).await;
        assert_eq!(table.thread_ts.as_ref(), Some(&first.ts));
    });
}

#[test]
fn in_the_incidents_thread_a_mention_is_answered_there() {
    World::run(async |world| {
        let (_, card) = opened(world, "operations", "login is slow").await;
        let bo = world.person("bo").under(&card.ts);
        bo.types("@habops status live-builder-api-0").await;
        let table = world.sees("operations", "live-builder-api-0 is up").await;
        assert_eq!(table.thread_ts.as_ref(), Some(&card.ts));
        bo.types("@habops status live-builder-apo-0").await;
        let refused = bo.hears("live-builder-api-0`?").await;
        assert_eq!(refused.thread_ts.as_ref(), Some(&card.ts));
    });
}

#[test]
fn a_mention_elsewhere_is_answered_in_the_incident_with_a_link() {
    World::run(async |world| {
        let (incident, card) = opened(world, "operations", "login is slow").await;
        let bo = world.person("bo").at("general");
        bo.types("@habops status live-builder-api-0").await;
        let table = world.sees("operations", "live-builder-api-0 is up").await;
        assert_eq!(table.thread_ts.as_ref(), Some(&card.ts));
        let link = bo.hears(&format!("The answer is in {incident}")).await;
        assert!(words(&link).contains("/archives/C0OPERATIONS/"));
    });
}

#[test]
fn the_message_shortcut_runs_a_command_in_the_messages_thread() {
    World::run(async |world| {
        let ana = world.person("ana").at("general");
        let said = ana.types("is the api node all right?").await;
        let ts = said.typed.ts.unwrap();
        let message = world.sees("general", "is the api node").await;
        world
            .person("bo")
            .asks_about(&message, "status live-builder-api-0")
            .await;
        let table = world.sees("general", "live-builder-api-0 is up").await;
        assert_eq!(table.thread_ts, Some(ts));
    });
}

#[test]
fn help_and_refusals_are_for_the_asker_alone() {
    World::run(async |world| {
        let dee = world.person("dee");
        dee.types("/habops help").await;
        dee.hears("incident open").await;
        dee.types("/habops why freeze").await;
        dee.hears("operator").await;
        dee.types("/habops audit").await;
        dee.types("/habops self").await;
        dee.types("/habops approvals").await;
        dee.hears("Nothing waits").await;
        let said = dee.types("/habops freeze live \"no reason\"").await;
        dee.hears("needs the role operator; you hold member").await;
        assert_eq!(world.ended(&said.operation).await.state, State::Refused);
        // So are refusals that only the handler can find.
        let said = dee.types("/habops incident note \"nobody is here\"").await;
        dee.hears("No incident is open").await;
        assert_eq!(world.ended(&said.operation).await.state, State::Refused);
        world.comes_to_rest().await;
        let shared: Vec<String> = everywhere(world.slack())
            .filter(|message| message.bot_id.is_some())
            .map(|message| words(&message))
            .collect();
        assert!(shared.is_empty(), "{shared:#?}");
    });
}

#[test]
fn a_slip_of_the_keyboard_is_answered_with_the_nearest_name() {
    World::run(async |world| {
        let ana = world.person("ana");
        for (typed, meant) in [
            ("statsu", "Did you mean `status`?"),
            ("status --hree", "did you mean `--here`?"),
            (
                "status live-builder-apo-0",
                "did you mean `live-builder-api-0`?",
            ),
            ("status live/apu", "did you mean `api`?"),
            ("incident opne x", "Did you mean `incident open`?"),
            ("help statsu", "Did you mean `status`?"),
        ] {
            ana.types(&format!("/habops {typed}")).await;
            ana.hears(meant).await;
        }
    });
}

#[test]
fn only_full_members_of_the_workspace_are_heard_and_the_others_told_why() {
    World::run(async |world| {
        for (name, why) in [
            ("gus", "guests may not use habops"),
            ("sol", "only people of this workspace"),
            ("pagerduty", "bots may not use habops"),
        ] {
            let somebody = world.person(name);
            let said = somebody.types(API).await;
            somebody.hears(why).await;
            assert_eq!(world.ended(&said.operation).await.state, State::Refused);
        }
        assert!(world.sandbox.nodes.ran("live-builder-api-0").is_empty());
    });
}
