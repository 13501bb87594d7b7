//! The journey of a command, end to end on real parts, in the words of the people who use it.

use std::time::Duration;

use habops::domain::operation::State;

use super::{
    incident::opened,
    world::{
        Setup, World, everywhere,
        nudge::{NUDGE, confirmed_by, restarts},
        of_metadata, words,
    },
};

/// A look that waits for nobody.
const API: &str = "/habops status live-builder-api-0";

/// A world with a change in its catalogue, `nudge`, and one that needs a second person, `shove`.
fn with_changes() -> Setup {
    Setup::default()
        .command("nudge", NUDGE)
        .command("shove", &confirmed_by("second-person"))
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
fn what_waits_is_cancelled_by_whoever_may_and_never_runs() {
    World::run(async |world| {
        opened(world, "operations", "login is slow").await;
        let (second, _) = opened(world, "general", "search is down").await;
        let (ana, dee) = (world.person("ana"), world.person("dee"));
        let said = ana
            .types("/habops restart live-builder-api-0 --reason slow")
            .await;
        let question = ana.hears("Which incident").await;
        let cancel = format!("/habops cancel {} --here", said.operation);
        // Where it would be done is not known yet, so it takes the role of each place that it could be.
        dee.types(&cancel).await;
        dee.hears("Only its asker or somebody with the role operator")
            .await;
        ana.types(&cancel).await;
        assert_eq!(world.ended(&said.operation).await.state, State::Cancelled);
        ana.presses(&question, &format!("{second} search is down"))
            .await;
        ana.hears("answered already").await;
        ana.types(&cancel).await;
        ana.hears("has ended already: cancelled").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, "live-builder-api-0"), 0);
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
            ("status live/apu", "did you mean `live/api`?"),
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

#[test]
fn a_frozen_node_is_a_row_of_its_own_and_delays_no_other() {
    let setup = Setup::default().instead("connect_timeout = \"5s\"", "connect_timeout = \"8s\"");
    setup.run(async |world| {
        world.breaks("frozen");
        let ana = world.person("ana");
        let said = ana
            .types(
                "/habops status live-builder-worker-0,live-builder-worker-1,live-builder-worker-2",
            )
            .await;
        // A person sees the others, those behind the frozen one too, before that is given up.
        let early = world
            .until("the rows of those that answered", |slack| {
                everywhere(slack).find(|message| {
                    let told = words(message);
                    of_metadata(message, "key") == said.operation
                        && told.contains(
                            "2 of 3 nodes have answered; waiting for live-builder-worker-1",
                        )
                })
            })
            .await;
        assert_eq!(of_metadata(&early, "state"), "running");
        let told = words(&early);
        for node in ["live-builder-worker-0", "live-builder-worker-2"] {
            assert!(told.contains(node), "{told}");
        }
        let table = world.shows(&said.operation, "partly").await;
        let told = words(&table);
        assert!(told.contains("2 of 3 nodes are up"), "{told}");
        assert!(told.contains("live-builder-worker-1"), "{told}");
        assert!(told.contains("no answer within 8s"), "{told}");
        let entered = world.operations().await.pop().unwrap();
        let took = entered
            .ended_at
            .unwrap()
            .duration_since(entered.started_at.unwrap());
        assert!(took.as_secs() < 30, "it took {took}");
        world.mends("frozen");
        let table = ana.runs("/habops status live-builder-worker-1").await;
        assert!(words(&table).contains("live-builder-worker-1 is up"));
    });
}

#[test]
fn an_end_that_cannot_be_written_at_once_is_written_later_as_what_it_was() {
    let setup = Setup::default()
        .instead("connect_timeout = \"5s\"", "connect_timeout = \"4s\"")
        .logs("leases cannot be renewed");
    setup.run(async |world| {
        world.breaks("frozen");
        let ana = world.person("ana");
        let said = ana.types("/habops status live-builder-worker-1").await;
        let id = said.operation.parse().unwrap();
        world
            .eventually("it to run", async || {
                let operation = world.store.operation(id).await.unwrap()?;
                (operation.state == State::Running).then_some(())
            })
            .await;
        // Longer than the node is waited for, and than the store waits for another process.
        let other = rusqlite::Connection::open(world.store.path()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        tokio::time::sleep(Duration::from_secs(14)).await;
        other.execute_batch("ROLLBACK").unwrap();
        let title = world.ended(&said.operation).await.output.unwrap().title;
        assert!(title.contains("no answer within 4s"), "{title}");
        world.shows(&said.operation, "failed").await;
        world.mends("frozen");
    });
}

#[test]
fn a_changed_host_key_and_a_node_that_is_down_say_what_to_do() {
    World::run(async |world| {
        world.breaks("hostkey");
        world.breaks("down");
        let table = world
            .person("ana")
            .runs("/habops status live/jobsrv,live/sessionsrv,live/router")
            .await;
        assert_eq!(of_metadata(&table, "state"), "partly");
        let told = words(&table);
        assert!(told.contains("host key changed"), "{told}");
        assert!(
            told.contains("habops trust live-builder-jobsrv-0"),
            "{told}"
        );
        assert!(told.contains("cannot be reached"), "{told}");
        assert!(told.contains("1 of 3 nodes are up"), "{told}");
        assert!(world.sandbox.nodes.ran("live-builder-jobsrv-0").is_empty());
    });
}

#[test]
fn without_ec2_the_last_list_serves_and_is_marked_stale() {
    let setup = Setup::default().instead("refresh = \"10s\"", "refresh = \"1s\"");
    setup.run(async |world| {
        let ana = world.person("ana");
        let fresh = ana.runs(API).await;
        assert!(!words(&fresh).contains("EC2 cannot be read"));
        world.breaks("ec2-down");
        let stale = async || {
            let table = ana.runs(API).await;
            let told = words(&table);
            assert!(told.contains("live-builder-api-0 is up"), "{told}");
            told.contains("EC2 cannot be read").then_some(told)
        };
        let told = world.eventually("the list to be marked stale", stale).await;
        let age = told
            .split_once("The list is ")
            .and_then(|(_, rest)| rest.split_once(" old, from "));
        let (age, _) = age.unwrap_or_else(|| panic!("no age: {told}"));
        assert!(
            humantime::parse_duration(age).unwrap().as_secs() < 60,
            "{age}"
        );
    });
}

#[test]
fn a_change_waits_for_its_approval_and_runs_once() {
    with_changes().run(async |world| {
        let ana = world.person("ana");
        let said = ana.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        assert!(
            words(&card).contains("sudo -n systemctl restart hab-sup"),
            "{}",
            words(&card)
        );
        assert_eq!(restarts(world, "live-builder-api-0"), 0);
        // Slack's people press twice.
        let (one, other) =
            tokio::join!(ana.presses(&card, "Approve"), ana.presses(&card, "Approve"));
        assert!(one.took.is_some() && other.took.is_some());
        let done = world.shows(&said.operation, "done").await;
        assert_eq!(done.ts, card.ts, "the card itself becomes the answer");
        world.comes_to_rest().await;
        assert_eq!(restarts(world, "live-builder-api-0"), 1);
        // The buttons are gone; typing comes too late and is told so.
        assert_eq!(super::world::people::button(&done, "Approve"), None);
        ana.types(&format!("/habops approve {}", said.operation))
            .await;
        ana.hears("was approved already").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, "live-builder-api-0"), 1);
    });
}

#[test]
fn envelopes_that_come_twice_are_heard_once() {
    with_changes().run(async |world| {
        world.breaks("slack-redeliver");
        let ana = world.person("ana");
        let said = ana.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        ana.presses(&card, "Approve").await;
        world.shows(&said.operation, "done").await;
        ana.under(&card.ts)
            .types("@habops status live-builder-api-0")
            .await;
        world.sees("operations", "live-builder-api-0 is up").await;
        let copies = |slack: &habops::sandbox::slack::Slack| {
            let journal = slack.journal();
            let acks = journal.iter().filter(|entry| entry.kind == "ack").count();
            (acks >= 6).then_some(())
        };
        world
            .eventually("the copies to be acknowledged", async || {
                copies(world.slack())
            })
            .await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, "live-builder-api-0"), 1);
        assert_eq!(world.operations().await.len(), 2);
    });
}

#[test]
fn a_change_can_be_denied_cancelled_or_forgotten() {
    let setup = with_changes().config("[policy.confirm]\nexpires = \"8s\"");
    setup.run(async |world| {
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        let said = ana.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        bo.presses(&card, "Deny").await;
        let denied = world.shows(&said.operation, "denied").await;
        assert!(words(&denied).contains("@bo said no"), "{}", words(&denied));

        let said = ana.types("/habops nudge live-builder-api-0").await;
        world.shows(&said.operation, "awaiting").await;
        ana.types(&format!("/habops deny {}", said.operation)).await;
        world.shows(&said.operation, "denied").await;

        let said = ana.types("/habops nudge live-builder-api-0").await;
        world.shows(&said.operation, "awaiting").await;
        ana.types(&format!("/habops cancel {}", said.operation))
            .await;
        world.shows(&said.operation, "cancelled").await;

        let said = ana.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        let expired = world.shows(&said.operation, "expired").await;
        assert_eq!(expired.ts, card.ts);
        ana.types(&format!("/habops approve {}", said.operation))
            .await;
        ana.hears("has expired").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, "live-builder-api-0"), 0);
    });
}

#[test]
fn a_second_person_is_somebody_else_who_may() {
    with_changes().run(async |world| {
        let (ana, bo, dee) = (world.person("ana"), world.person("bo"), world.person("dee"));
        let said = ana.types("/habops shove live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        assert!(words(&card).contains("somebody other than the asker"));
        ana.presses(&card, "Approve").await;
        ana.hears("Somebody else has to approve this").await;
        dee.presses(&card, "Approve").await;
        dee.hears("needs the role operator").await;
        world.person("gus").presses(&card, "Approve").await;
        world.person("gus").hears("guests may not").await;
        assert_eq!(restarts(world, "live-builder-api-0"), 0);
        bo.types(&format!("/habops approve {}", said.operation))
            .await;
        let done = world.shows(&said.operation, "done").await;
        assert_eq!(done.ts, card.ts);
        assert_eq!(restarts(world, "live-builder-api-0"), 1);
        dee.types(&format!("/habops why {}", said.operation)).await;
        dee.hears("approved by").await;
    });
}

#[test]
fn who_lost_the_role_since_the_card_was_posted_may_not_approve_it() {
    with_changes().run(async |world| {
        let bo = world.person("bo");
        let said = bo.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        world.slack().administer(|seed| {
            let ops = seed.groups.iter_mut().find(|group| group.handle == "ops");
            ops.unwrap().users.retain(|user| user != "U0BO");
        });
        world.stop().await;
        world.start().await;
        bo.presses(&card, "Approve").await;
        bo.hears("needs the role operator").await;
        assert_eq!(restarts(world, "live-builder-api-0"), 0);
    });
}

#[test]
fn while_frozen_every_change_is_refused_and_looking_works() {
    with_changes().run(async |world| {
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        let said = bo.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        ana.runs("/habops freeze live \"database move\"").await;
        let refused = ana.types("/habops nudge live-builder-api-0").await;
        ana.hears("Changes are frozen: live").await;
        assert_eq!(world.ended(&refused.operation).await.state, State::Refused);
        // A card from before is not approved either.
        bo.presses(&card, "Approve").await;
        bo.hears("Changes are frozen").await;
        ana.runs(API).await;
        ana.types("/habops nudge acceptance-builder-api-0").await;
        world
            .sees("operations", "Confirm: nudge acceptance-builder-api-0")
            .await;
        ana.runs("/habops unfreeze live").await;
        let said = ana.types("/habops nudge live-builder-api-0").await;
        world.shows(&said.operation, "awaiting").await;
        assert_eq!(restarts(world, "live-builder-api-0"), 0);
    });
}

#[test]
fn an_ended_operation_can_be_entered_again() {
    World::run(async |world| {
        let ana = world.person("ana").at("general");
        let said = ana.types(API).await;
        world.shows(&said.operation, "done").await;
        world
            .person("bo")
            .at("general")
            .types(&format!("/habops retry {}", said.operation))
            .await;
        world
            .until("a second table", |slack| {
                let tables =
                    everywhere(slack).filter(|it| words(it).contains("live-builder-api-0 is up"));
                (tables.count() == 2).then_some(())
            })
            .await;
        let again = world.operations().await.pop().unwrap();
        assert_eq!(again.text, "status live-builder-api-0");
        assert_eq!(again.actor.to_string(), "<@U0BO>");
    });
}

#[test]
fn a_running_look_is_cancelled_by_its_asker() {
    World::run(async |world| {
        world.breaks("frozen");
        let ana = world.person("ana");
        let said = ana.types("/habops status live-builder-worker-1").await;
        world.shows(&said.operation, "running").await;
        ana.types(&format!("/habops cancel {}", said.operation))
            .await;
        let ended = world.shows(&said.operation, "cancelled").await;
        assert!(words(&ended).contains("Cancelled"), "{}", words(&ended));
        world.mends("frozen");
    });
}

#[test]
fn an_incident_keeps_notes_links_and_its_timeline_until_it_is_closed() {
    World::run(async |world| {
        let (incident, card) = opened(world, "operations", "login is slow").await;
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        let note = bo.runs("/habops incident note \"the queue grows\"").await;
        assert_eq!(note.thread_ts.as_ref(), Some(&card.ts));
        let listed = bo.runs("/habops incident list").await;
        assert!(
            words(&listed).contains("login is slow"),
            "{}",
            words(&listed)
        );
        ana.at("general").runs("/habops incident link").await;
        world
            .sees("general", &format!("This place now belongs to {incident}"))
            .await;
        ana.runs(API).await;
        let timeline = ana.runs("/habops incident timeline").await;
        let told = words(&timeline);
        for line in ["the queue grows", "live-builder-api-0 is up"] {
            assert!(told.contains(line), "{line}: {told}");
        }
        ana.runs("/habops incident close \"a restart mended it\"")
            .await;
        let closed = world.shows(&format!("{incident}:card"), "closed").await;
        assert_eq!(closed.ts, card.ts);
        // Answers go where they are typed again.
        let table = bo.at("general").runs(API).await;
        assert_eq!(
            (table.channel.as_str(), table.thread_ts),
            ("C0GENERAL", None)
        );
        bo.types("/habops incident note \"too late\"").await;
        bo.hears("No incident is open").await;
    });
}

#[test]
fn a_channel_can_be_the_place_of_an_incident() {
    World::run(async |world| {
        let ana = world.person("ana").at("general");
        ana.types("/habops incident open \"search is slow\" --channel here")
            .await;
        world.sees("general", "search is slow").await;
        world.comes_to_rest().await;
        let table = world.person("bo").runs(API).await;
        assert_eq!(
            (table.channel.as_str(), table.thread_ts),
            ("C0GENERAL", None)
        );
        let table = ana.runs(API).await;
        assert_eq!(
            (table.channel.as_str(), table.thread_ts),
            ("C0GENERAL", None)
        );
    });
}

#[test]
fn a_secret_that_was_typed_is_refused_and_kept_nowhere() {
    World::run(async |world| {
        opened(world, "operations", "login is slow").await;
        let token = ["xoxb", "1234567890", "abcdefghijklmnop"].join("-");
        let ana = world.person("ana");
        ana.types(&format!("/habops incident note \"use {token}\""))
            .await;
        ana.hears("That holds a secret").await;
        let dsn = "postgres://hab:hunter2hunter2@db.example/builder";
        ana.types(&format!("/habops incident note {dsn}")).await;
        world
            .person("bo")
            .types(&format!("@habops incident note {token}"))
            .await;
        world.person("bo").hears("That holds a secret").await;
        world.comes_to_rest().await;
        world.stop().await;
        for entry in std::fs::read_dir(world.dir()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with("habops.db") {
                continue;
            }
            let kept = std::fs::read(&path).unwrap();
            for secret in [token.as_bytes(), b"hunter2hunter2"] {
                let found = kept.windows(secret.len()).any(|window| window == secret);
                assert!(!found, "{name} holds a secret");
            }
        }
        let posted: Vec<String> = everywhere(world.slack())
            .filter(|message| message.bot_id.is_some())
            .map(|message| words(&message))
            .collect();
        let posted = posted.join("\n");
        assert!(
            !posted.contains(&token) && !posted.contains("hunter2"),
            "{posted}"
        );
    });
}

#[test]
fn what_people_type_can_ping_nobody() {
    World::run(async |world| {
        let title = "<!channel> <!here> *bold* `x` </> &amp; @everyone";
        let (_, card) = opened(world, "operations", title).await;
        let ana = world.person("ana");
        ana.runs("/habops incident note \"<!everyone> see <https://evil.example|here>\"")
            .await;
        world.comes_to_rest().await;
        for message in everywhere(world.slack()).filter(|message| message.bot_id.is_some()) {
            let raw = serde_json::to_string(&message).unwrap();
            for live in ["<!channel", "<!here", "<!everyone", "\"broadcast\""] {
                assert!(!message.text.contains(live), "{raw}");
                assert!(!raw.contains("\"mrkdwn\",\"text\":\"<!ch"), "{raw}");
            }
            assert!(!raw.contains("\"type\":\"broadcast\""), "{raw}");
        }
        assert!(words(&card).contains("<!channel>") || words(&card).contains("&lt;!channel&gt;"));
    });
}

#[test]
fn what_was_approved_is_what_runs() {
    with_changes().run(async |world| {
        let ana = world.person("ana");
        let said = ana.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        world.stop().await;
        // Meanwhile the node is another machine: the same name at another port.
        let toml = std::fs::read_to_string(world.config()).unwrap();
        let port = |name: &str| world.sandbox.nodes.get(name).unwrap().port.to_string();
        let (api, router) = (port("live-builder-api-0"), port("live-builder-router-0"));
        let swapped = toml.replacen(&format!("port = {api}"), &format!("port = {router}"), 1);
        assert_ne!(toml, swapped);
        std::fs::write(world.config(), swapped).unwrap();
        world.start().await;
        ana.presses(&card, "Approve").await;
        ana.hears("has changed since it was posted").await;
        for node in ["live-builder-api-0", "live-builder-router-0"] {
            assert_eq!(restarts(world, node), 0);
        }
    });
}

#[test]
fn a_mention_in_the_middle_of_a_sentence_is_looked_at_and_never_changes_anything() {
    World::run(async |world| {
        let ana = world.person("ana");
        ana.types("hello @habops status live-builder-api-0").await;
        world.sees("operations", "live-builder-api-0 is up").await;
        // Words that are no command are left alone, and what would change something is not run by accident.
        ana.types("thanks @habops for that").await;
        ana.types("please don't, @habops freeze live just yet")
            .await;
        ana.hears("begin the message with the mention").await;
        world.comes_to_rest().await;
        let texts: Vec<String> = world
            .operations()
            .await
            .into_iter()
            .map(|it| it.text)
            .collect();
        assert_eq!(texts, ["status live-builder-api-0", "freeze live just yet"]);
        assert!(world.store.freezes().await.unwrap().is_empty());
    });
}

#[test]
fn where_an_answer_comes_is_told_to_those_who_may_ask_and_to_nobody_else() {
    World::run(async |world| {
        let ana = world.person("ana");
        ana.runs("/habops incident open login is slow").await;
        let told = ana
            .at("general")
            .types("/habops status live-builder-api-0")
            .await;
        assert!(
            told.ack.contains("The answer comes in inc-"),
            "{}",
            told.ack
        );
        for stranger in ["gus", "sol"] {
            let told = world.person(stranger).types("/habops status").await;
            assert!(!told.ack.contains("inc-"), "{stranger}: {}", told.ack);
        }
    });
}

#[test]
fn what_happened_is_counted_for_prometheus() {
    World::run(async |world| {
        let ana = world.person("ana");
        ana.runs("/habops status live-builder-api-0").await;
        ana.types("/habops statsu").await;
        ana.types("/habops status nowhere-at-all").await;
        world.comes_to_rest().await;
        let told = world.metrics().await;
        for line in [
            r#"habops_commands_total{command="status",state="done"} 1"#,
            r#"habops_commands_total{command="-",state="refused"} 1"#,
            r#"habops_commands_total{command="status",state="refused"} 1"#,
            r#"habops_commands_duration_seconds_count{command="status",state="done"} 1"#,
            r#"habops_refusals_total{kind="usage"} 2"#,
            r#"habops_ssh_connects_total{result="connected"} 1"#,
            r#"habops_ssh_connects_duration_seconds_bucket{le="+Inf",result="connected"} 1"#,
            r#"habops_slack_posts_total{result="sent"}"#,
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        assert!(told.ends_with("# EOF\n"));
    });
}
