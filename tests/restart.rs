//! Restarts, end to end: evidence, the card and what it is bound to, one node at a time, the verdict, and what a crash leaves.

use std::{fs, time::Duration};

use habops::{
    domain::{
        audit::Event,
        operation::{Operation, State},
    },
    sandbox::slack::Message,
    store::Change,
};
use rstest::rstest;

use super::world::{
    Setup, World, everywhere,
    nudge::restarts,
    of_metadata,
    people::button,
    program::{Running, habops},
    words,
};

const API: &str = "live-builder-api-0";
const JOBSRV: &str = "live-builder-jobsrv-0";
/// A restart with a reason, for scenes that are not about evidence.
const PLAIN: &str = "/habops restart live-builder-api-0 --reason \"a drill\"";
/// The same of two nodes.
const TWO: &str =
    "/habops restart live-builder-worker-0,live-builder-worker-1 --reason \"a drill\"";
/// A change that takes its time on the node.
const NAP: &str = r#"
summary = "Keep a node busy."
changes = true
role    = "operator"
confirm = "self"
inverse = "none"

[[arg]]
name = "target"
kind = "target"
help = "A node."

[[example]]
text = "live-builder-api-0"

[runbook]
on      = "{target}"
timeout = "60s"
steps   = [{ say = "nap", run = ["sleep", "15"] }]
"#;

/// A restart of these with that reason.
fn drill(of: &str) -> String {
    format!("/habops restart {of} --reason \"a drill\"")
}

/// Verdicts within seconds instead of a minute.
fn quick() -> Setup {
    watching("3s")
}

/// Watches for that long: a storm of the sandbox's lets some seconds pass between two errors.
fn watching(long: &str) -> Setup {
    Setup::default()
        .instead("watch = \"15s\"", &format!("watch = \"{long}\""))
        .instead("comes_up_within = \"20s\"", "comes_up_within = \"12s\"")
}

/// The same with the bot as a program of its own, which can be killed.
fn quick_without_the_app() -> Setup {
    quick().without_the_app()
}

fn starts(world: &World) -> Running {
    Running::bot(&world.config())
}

/// A second bot beside the first: the same but for the address where it hears PagerDuty.
fn starts_beside(world: &World) -> Running {
    let config = world.config();
    let toml = fs::read_to_string(&config).unwrap();
    let other: String = toml
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some((door @ ("listen" | "admin"), _)) => format!("{door} = \"127.0.0.1:0\"\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let beside = config.with_file_name("beside.toml");
    fs::write(&beside, other).unwrap();
    Running::bot(&beside)
}

/// Somebody restarts it on the node itself.
fn restarted_by_hand(world: &World, node: &str) {
    let folder = world.sandbox.nodes.folder(node);
    let folder = folder.to_str().unwrap();
    let ran = habops(&[
        "sandbox-tool",
        folder,
        "sudo",
        "-n",
        "systemctl",
        "restart",
        "hab-sup",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Types it as ana and waits for its card: the operation and the card.
async fn card(world: &World, text: &str) -> (String, Message) {
    let said = world.person("ana").types(text).await;
    let card = world.shows(&said.operation, "awaiting").await;
    (said.operation, card)
}

/// The same, approved and waited for: the last state of the message.
async fn approved(world: &World, text: &str) -> Message {
    let (operation, card) = card(world, text).await;
    world.person("ana").presses(&card, "Approve").await;
    let ended = world.ended(&operation).await;
    world.shows(&operation, ended.state.word()).await
}

/// The card that followed the one of this operation.
async fn card_after(world: &World, operation: &str) -> Message {
    world
        .until("a fresh card", |slack| {
            everywhere(slack).find(|message| {
                of_metadata(message, "state") == "awaiting"
                    && of_metadata(message, "key") != operation
            })
        })
        .await
}

async fn events(world: &World) -> Vec<Event> {
    let records = world.audit().await.into_iter();
    records
        .map(|record| serde_json::from_str(&record.event).unwrap())
        .collect()
}

#[test]
fn a_storm_is_evidence_and_a_restart_that_helps_recovers() {
    quick().run(async |world| {
        world.breaks("timeout-storm");
        let ana = world.person("ana");
        ana.types("/habops incident open \"login is slow\"").await;
        world.comes_to_rest().await;
        let (operation, card) = card(world, &format!("/habops restart {API}")).await;
        let told = words(&card);
        for part in ["TIMEOUT net:route:3", "builder-api up", "builder-api-proxy up", "none by habops"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(restarts(world, API), 0);
        world.person("bo").presses(&card, "Approve").await;
        let done = world.shows(&operation, "done").await;
        assert_eq!(done.ts, card.ts, "on the same message");
        let told = words(&done);
        for part in ["live-builder-api-0 recovered", "its error not seen again in 3 s", "\u{2192}", "approved by"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(restarts(world, API), 1);
        let events = events(world).await;
        let touched = |event: &Event| matches!(event, Event::Touched { node, what } if node == API && what == "restart of hab-sup");
        assert!(events.iter().any(touched), "{events:?}");
        let verdict = |event: &Event| matches!(event, Event::Finished { title, .. } if title == "live-builder-api-0 recovered");
        assert!(events.iter().any(verdict), "{events:?}");
        let timeline = ana.runs("/habops incident timeline").await;
        assert!(words(&timeline).contains("live-builder-api-0 recovered"));
    });
}

#[test]
fn without_evidence_it_needs_a_reason() {
    quick().run(async |world| {
        let ana = world.person("ana");
        let said = ana.types("/habops restart live-builder-originsrv-0").await;
        ana.hears("None found on live-builder-originsrv-0").await;
        assert_eq!(world.ended(&said.operation).await.state, State::Refused);
        let (_, card) = card(
            world,
            "/habops restart live-builder-originsrv-0 --reason \"router says NO_SHARD\"",
        )
        .await;
        let told = words(&card);
        assert!(told.contains("none found: no error line"), "{told}");
        assert!(told.contains("router says NO_SHARD"), "{told}");
        world.person("ana").presses(&card, "Deny").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, "live-builder-originsrv-0"), 0);
    });
}

#[test]
fn a_journal_that_cannot_be_read_is_unavailable_and_not_empty() {
    quick().run(async |world| {
        let tool = world.sandbox.nodes.folder(API).join("bin").join("journalctl");
        std::fs::write(&tool, "#!/bin/sh\necho 'No journal files were opened due to insufficient permissions.' >&2\nexit 1\n").unwrap();
        let ana = world.person("ana");
        ana.types(&format!("/habops restart {API}")).await;
        ana.hears("The evidence on live-builder-api-0 is unavailable: No journal files").await;
        let done = approved(world, PLAIN).await;
        let told = words(&done);
        assert!(told.contains("live-builder-api-0 recovered"), "{told}");
        assert!(told.contains("its journal could not be watched"), "{told}");
    });
}

#[rstest]
#[case::same_error(&["timeout-storm", "restart-no-help"], "came back with the same error", "TIMEOUT net:route:3")]
#[case::stays_down(&["stays-down:live-builder-api-0"], "did not come up", "Address already in use")]
#[case::crashes_again(&["crash-loop:live-builder-api-0", "restart-no-help"], "did not come up", "builder-api")]
fn a_restart_that_does_not_help_says_how(
    #[case] faults: &[&str],
    #[case] verdict: &str,
    #[case] shows: &str,
) {
    watching("8s").run(async |world| {
        for fault in faults {
            world.breaks(fault);
        }
        let failed = approved(world, PLAIN).await;
        assert_eq!(of_metadata(&failed, "state"), "failed");
        let told = words(&failed);
        assert!(told.contains(&format!("{API} {verdict}")), "{told}");
        assert!(told.contains(shows), "{told}");
        assert_eq!(restarts(world, API), 1);
    });
}

#[rstest]
#[case::cured(
    None,
    "done",
    "its error not seen again in 12 s, watched on live-builder-router-0 too"
)]
#[case::not_cured(
    Some("restart-no-help:live-builder-jobsrv-0"),
    "failed",
    "came back with the same error: NO_SHARD rt:route:2 (no-shard) on live-builder-router-0"
)]
fn a_restart_against_no_shard_is_judged_by_the_routers_journal(
    #[case] also: Option<&str>,
    #[case] state: &str,
    #[case] verdict: &str,
) {
    watching("12s").run(async |world| {
        for fault in ["no-shard"].into_iter().chain(also) {
            world.breaks(fault);
        }
        // The router's errors are the evidence: no reason is needed.
        let (operation, card) = card(world, &format!("/habops restart {JOBSRV}")).await;
        let told = words(&card);
        for part in [
            "live-builder-jobsrv-0: none found",
            "live-builder-router-0 tells of it: NO_SHARD rt:route:2 (no-shard): ",
            "live-builder-router-0, newest",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        world.person("ana").presses(&card, "Approve").await;
        let ended = world.shows(&operation, state).await;
        assert!(words(&ended).contains(verdict), "{}", words(&ended));
        assert_eq!(restarts(world, JOBSRV), 1);
        assert_eq!(restarts(world, "live-builder-router-0"), 0);
    });
}

#[test]
fn what_the_router_tells_of_another_service_is_no_evidence() {
    quick().run(async |world| {
        world.breaks("no-shard-login");
        let ana = world.person("ana");
        ana.types(&format!("/habops restart {JOBSRV}")).await;
        ana.hears("None found on live-builder-jobsrv-0").await;
        let (_, card) = card(world, "/habops restart live-builder-sessionsrv-0").await;
        let told = words(&card);
        assert!(
            told.contains("live-builder-router-0 tells of it: NO_SHARD"),
            "{told}"
        );
        ana.presses(&card, "Deny").await;
    });
}

#[test]
fn a_warning_is_shown_and_spares_nobody_the_reason() {
    quick().run(async |world| {
        let requeued = "builder-jobsrv.live(O): WARN:habitat_builder_jobsrv: Requeing job: 7";
        world.says(JOBSRV, &[requeued; 3].map(str::to_owned));
        let ana = world.person("ana");
        ana.types(&format!("/habops restart {JOBSRV}")).await;
        ana.hears("Only warnings on live-builder-jobsrv-0").await;
        let (_, card) = card(world, &drill(JOBSRV)).await;
        let told = words(&card);
        assert!(
            told.contains("worker-mismatch, only a warning: 3 lines"),
            "{told}"
        );
        ana.presses(&card, "Deny").await;
    });
}

#[test]
fn a_node_whose_clock_is_off_is_judged_by_its_own() {
    quick().run(async |world| {
        // It is 41 s behind.
        let node = "live-builder-worker-2";
        let line = "builder-worker.live(O): FATAL: cannot begin";
        world.says(node, &[line.to_owned()]);
        let (operation, card) = card(world, &format!("/habops restart {node}")).await;
        let told = words(&card);
        assert!(told.contains("FATAL: cannot begin: 1 line, at "), "{told}");
        world.person("ana").presses(&card, "Approve").await;
        let done = world.shows(&operation, "done").await;
        let told = words(&done);
        assert!(told.contains("its error not seen again in 3 s"), "{told}");
    });
}

#[test]
fn a_service_in_a_crash_loop_is_said_to_be_one_and_can_be_restarted() {
    quick().run(async |world| {
        let node = "live-builder-admin-0";
        world.breaks("crash-loop");
        // The loop is evidence: no reason is needed.
        let (operation, card) = card(world, &format!("/habops restart {node}")).await;
        let told = words(&card);
        assert!(
            told.contains("builder-admin on live-builder-admin-0 is in a crash loop: "),
            "{told}"
        );
        assert!(told.contains("starts in 15 min"), "{told}");
        // Its process is another one by the time somebody presses.
        let state = world.sandbox.nodes.folder(node).join("node.json");
        let state: serde_json::Value =
            serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
        let from = state["services"][0]["loops"][0]["from"].as_i64().unwrap();
        let crashes = || (jiff::Timestamp::now().as_microsecond() - from) / 10_000_000;
        let before = crashes();
        world
            .eventually("another crash", async || (crashes() > before).then_some(()))
            .await;
        world.person("ana").presses(&card, "Approve").await;
        let done = world.shows(&operation, "done").await;
        assert!(
            words(&done).contains("live-builder-admin-0 recovered"),
            "{}",
            words(&done)
        );
    });
}

#[test]
fn however_often_and_by_whomever_it_is_pressed_it_is_one_restart() {
    quick().run(async |world| {
        world.breaks("slack-redeliver");
        let (operation, card) = card(world, PLAIN).await;
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        tokio::join!(
            ana.presses(&card, "Approve"),
            ana.presses(&card, "Approve"),
            bo.presses(&card, "Approve"),
            bo.presses(&card, "Approve"),
        );
        let done = world.shows(&operation, "done").await;
        assert_eq!(button(&done, "Approve"), None);
        world.comes_to_rest().await;
        assert_eq!(restarts(world, API), 1);
    });
}

#[test]
fn the_end_of_a_change_that_took_longer_than_a_minute_is_also_a_reply_which_notifies() {
    watching("62s").run(async |world| {
        let (operation, card) = card(world, PLAIN).await;
        world.person("ana").presses(&card, "Approve").await;
        let key = format!("{operation}:end");
        let patience = Duration::from_mins(3);
        let reply = world
            .within(patience, "the end as a reply", async || {
                everywhere(world.slack()).find(|it| of_metadata(it, "key") == key)
            })
            .await;
        assert_eq!(reply.thread_ts, Some(card.ts.clone()));
        let told = words(&reply);
        assert!(told.contains("live-builder-api-0 recovered"), "{told}");
        // The whole of it stays where it was asked for.
        let whole = world.shows(&operation, "done").await;
        assert_eq!(whole.ts, card.ts);
    });
}

#[test]
fn two_bots_on_one_store_do_it_once() {
    quick().run(async |world| {
        // The second is a process of its own, as on a machine where somebody started it twice.
        let mut other = starts_beside(world);
        let (operation, card) = card(world, PLAIN).await;
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        tokio::join!(
            ana.presses(&card, "Approve"),
            bo.presses(&card, "Approve"),
            ana.presses(&card, "Approve"),
            bo.presses(&card, "Approve"),
        );
        world.shows(&operation, "done").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, API), 1);
        assert_eq!(other.is_told_to_stop(), 0);
    });
}

#[test]
fn killed_before_the_yes_was_written_it_waits_for_another() {
    quick_without_the_app().run(async |world| {
        let mut bot = starts(world);
        let (operation, card) = card(world, PLAIN).await;
        world.breaks(&format!("frozen:{API}"));
        let ana = world.person("ana");
        ana.presses(&card, "Approve").await;
        bot.is_killed();
        world.mends(&format!("frozen:{API}"));
        let mut bot = starts(world);
        ana.presses(&card, "Approve").await;
        world.shows(&operation, "done").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, API), 1);
        assert_eq!(bot.is_told_to_stop(), 0);
    });
}

#[test]
fn killed_between_the_yes_and_the_deed_nothing_is_done_by_itself() {
    quick().run(async |world| {
        let (operation, card) = card(world, PLAIN).await;
        // Another process takes the yes, writes it, and is never heard of again.
        let id = operation.parse().unwrap();
        let stepped = world
            .store
            .step(id, State::Awaiting, State::Approved, Change::default())
            .await
            .unwrap();
        assert!(stepped.won());
        let end = world.shows(&operation, "interrupted").await;
        assert_eq!(end.ts, card.ts);
        assert_eq!(restarts(world, API), 0);
        world.person("ana").presses(&end, "Re-check").await;
        world
            .sees("operations", "no node has changed since its card")
            .await;
        // Whoever wants it done asks again.
        approved(world, PLAIN).await;
        assert_eq!(restarts(world, API), 1);
    });
}

#[test]
fn cut_off_in_the_middle_its_outcome_is_unknown_and_can_be_compared() {
    let setup =
        quick_without_the_app().instead("comes_up_within = \"12s\"", "comes_up_within = \"50s\"");
    setup.run(async |world| {
        world.breaks(&format!("stays-down:{API}"));
        let mut bot = starts(world);
        let (operation, card) = card(world, PLAIN).await;
        let ana = world.person("ana");
        ana.presses(&card, "Approve").await;
        world
            .eventually("the node to be restarted", async || {
                (restarts(world, API) == 1).then_some(())
            })
            .await;
        bot.is_killed();
        let mut bot = starts(world);
        let end = world.shows(&operation, "interrupted").await;
        assert!(
            words(&end).contains("Whether it was done is unknown"),
            "{}",
            words(&end)
        );
        ana.presses(&end, "Re-check").await;
        let compared = world
            .sees("operations", "1 of 1 nodes have changed since its card")
            .await;
        assert!(
            words(&compared).contains("hab-sup "),
            "{}",
            words(&compared)
        );
        world.comes_to_rest().await;
        assert_eq!(restarts(world, API), 1);
        assert_eq!(bot.is_told_to_stop(), 0);
    });
}

#[rstest]
#[case::without_invocation_ids(API)]
#[case::with_invocation_ids(JOBSRV)]
fn what_changed_since_the_card_is_refused_with_a_fresh_card(#[case] node: &str) {
    quick().run(async |world| {
        let (operation, card) = card(world, &drill(node)).await;
        restarted_by_hand(world, node);
        let bo = world.person("bo");
        bo.presses(&card, "Approve").await;
        bo.hears("has changed since it was posted").await;
        let refused = world.shows(&operation, "refused").await;
        assert_eq!(refused.ts, card.ts);
        let told = words(&refused);
        assert!(
            told.contains("hab-sup ") && told.contains("\u{2192}"),
            "{told}"
        );
        assert_eq!(button(&refused, "Approve"), None);
        assert_eq!(restarts(world, node), 1, "the one by hand");
        // The fresh one is the asker's, about how it is now; one for all clicks.
        let fresh = card_after(world, &operation).await;
        bo.types(&format!("/habops approve {operation}")).await;
        bo.hears("what it was about had changed").await;
        bo.presses(&fresh, "Approve").await;
        let again = of_metadata(&fresh, "key");
        let ended = world.ended(&again).await;
        assert_eq!(
            (ended.state, ended.actor.to_string().as_str()),
            (State::Done, "<@U0ANA>")
        );
        world.comes_to_rest().await;
        assert_eq!(restarts(world, node), 2);
        assert_eq!(
            world
                .operations()
                .await
                .iter()
                .filter(|it| it.text.starts_with("restart"))
                .count(),
            2
        );
    });
}

#[test]
fn a_card_that_has_expired_is_of_no_use() {
    let setup = quick().config("[policy.confirm]\nexpires = \"6s\"");
    setup.run(async |world| {
        let (operation, card) = card(world, PLAIN).await;
        let expired = world.shows(&operation, "expired").await;
        assert_eq!(expired.ts, card.ts);
        let ana = world.person("ana");
        ana.types(&format!("/habops approve {operation}")).await;
        ana.hears("has expired").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, API), 0);
    });
}

#[test]
fn who_may_not_is_told_why_and_changes_nothing() {
    quick().run(async |world| {
        let outsiders = [
            ("dee", "needs the role operator"),
            ("gus", "guests may not use habops"),
            ("sol", "only people of this workspace"),
            ("pagerduty", "bots may not use habops"),
        ];
        let (operation, card) = card(world, PLAIN).await;
        for (name, why) in outsiders {
            let person = world.person(name);
            person.presses(&card, "Approve").await;
            person.hears(why).await;
            let said = person.types(PLAIN).await;
            assert_eq!(world.ended(&said.operation).await.state, State::Refused);
        }
        assert_eq!(restarts(world, API), 0);
        let still: Operation = world.operations().await.remove(0);
        assert_eq!(
            (still.id.to_string(), still.state),
            (operation, State::Awaiting)
        );
    });
}

#[test]
fn where_the_policy_says_so_it_takes_a_second_person() {
    let setup = quick().config("[policy.confirm]\nsecond_person = [\"restart\"]");
    setup.run(async |world| {
        let (operation, card) = card(world, PLAIN).await;
        assert!(
            words(&card).contains("Needs a yes from somebody other than the asker"),
            "{}",
            words(&card)
        );
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        ana.presses(&card, "Approve").await;
        ana.hears("Somebody else has to approve this").await;
        ana.types(&format!("/habops approve {operation}")).await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, API), 0);
        bo.presses(&card, "Approve").await;
        let done = world.shows(&operation, "done").await;
        assert_eq!(done.ts, card.ts);
        let told = words(&done);
        assert!(told.contains("live-builder-api-0 recovered"), "{told}");
        assert!(told.contains("approved by @bo"), "{told}");
        assert_eq!(restarts(world, API), 1);
    });
}

#[test]
fn while_frozen_it_is_neither_asked_for_nor_approved() {
    quick().run(async |world| {
        let (_, card) = card(world, PLAIN).await;
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        ana.runs("/habops freeze live \"database move\"").await;
        bo.presses(&card, "Approve").await;
        bo.hears("Changes are frozen").await;
        ana.types(PLAIN).await;
        ana.hears("Changes are frozen").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, API), 0);
    });
}

#[test]
fn hostile_words_are_words() {
    quick().run(async |world| {
        let ana = world.person("ana");
        for hostile in [
            "live-builder-api-0;touch${IFS}x",
            "$(touch x)",
            "`touch x`",
            "\"live-builder-api-0\nlive-builder-router-0\"",
            "'live-builder-api-0; touch x'",
            "\"live-builder-api-0' 'x\"",
            "-rf",
            "--force=yes live-builder-api-0",
            "../../etc/passwd",
            "live/api/0",
            "/etc",
            "live-builder-api-0 builder-api;reboot",
            "live-builder-api-0 $(reboot)",
            "live-builder-api-0 -- -n",
            "live-builder-api-0 core/builder-api/../../x",
            "live-builder-api-0 'builder-api x'",
        ] {
            let said = ana
                .types(&format!("/habops restart {hostile} --reason x"))
                .await;
            let last = world.operations().await.pop().unwrap();
            assert!(said.operation.is_empty() || said.operation == last.id.to_string());
            assert_eq!(
                world.ended(&last.id.to_string()).await.state,
                State::Refused,
                "{hostile}"
            );
        }
        world.comes_to_rest().await;
        for node in world.sandbox.nodes.list() {
            let ran = world.sandbox.nodes.ran(&node.name);
            assert!(ran.is_empty(), "{}: {ran:?}", node.name);
        }
        // A reason is free text: kept and shown, never sent to a node.
        let reason = "$(touch x); `touch x` && \\\"rm\\\" <!channel>";
        let done = approved(
            world,
            &format!("/habops restart {API} --reason \"{reason}\""),
        )
        .await;
        assert!(words(&done).contains("recovered"), "{}", words(&done));
        for line in world.sandbox.nodes.ran(API) {
            assert!(
                !line.contains("touch") && !line.contains("channel"),
                "{line}"
            );
        }
        assert!(!world.sandbox.nodes.folder(API).join("x").exists());
    });
}

#[test]
fn a_node_cools_down_before_the_next_restart() {
    quick().run(async |world| {
        approved(world, PLAIN).await;
        let ana = world.person("ana");
        ana.types(PLAIN).await;
        ana.hears("Not within 5m of the last change. live-builder-api-0: restart of hab-sup")
            .await;
        ana.types(&format!("/habops restart {API} --force")).await;
        ana.hears("`--force` needs `--reason").await;
        let forced = approved(world, &format!("{PLAIN} --force")).await;
        let told = words(&forced);
        assert!(
            told.contains("--force overrode the cool-down of 5m"),
            "{told}"
        );
        assert_eq!(restarts(world, API), 2);
        let forced =
            |event: &Event| matches!(event, Event::Forced { reason, .. } if reason == "a drill");
        assert!(events(world).await.iter().any(forced));
    });
}

#[test]
fn a_node_at_which_somebody_is_already_names_them() {
    quick().run(async |world| {
        world.breaks(&format!("stays-down:{API}"));
        let (operation, card) = card(world, PLAIN).await;
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        // Both cards are there before either is approved.
        let other = bo
            .types(&format!(
                "/habops restart {API} builder-api --reason \"me too\""
            ))
            .await;
        let others = world.shows(&other.operation, "awaiting").await;
        ana.presses(&card, "Approve").await;
        world
            .eventually("the node to be restarted", async || {
                (restarts(world, API) == 1).then_some(())
            })
            .await;
        bo.types(&format!("{PLAIN} --force")).await;
        let told = bo.hears(&format!("{operation} by")).await;
        assert!(words(&told).contains("is at it since"), "{}", words(&told));
        assert!(button(&told, &format!("why {operation}")).is_some());
        // The holder's own message is a click away.
        let message = format!("/archives/{}/p{}", card.channel, card.ts.replace('.', ""));
        assert!(words(&told).contains(&message), "{}", words(&told));
        // A runbook that changes the node is held off by the same lock.
        let start = bo.types(&format!("/habops supervisor start {API}")).await;
        let refused = world.ended(&start.operation).await;
        assert_eq!(refused.state, State::Refused);
        let title = refused.output.unwrap().title;
        assert!(title.contains(&format!("{operation} by ")), "{title}");
        // The card from before is about another activation by now.
        bo.presses(&others, "Approve").await;
        world.shows(&other.operation, "refused").await;
        world.shows(&operation, "failed").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, API), 1);
    });
}

#[test]
fn a_runbook_that_changes_a_node_has_it_to_itself() {
    let setup = quick().command("nap", NAP);
    setup.run(async |world| {
        let (napping, nap) = card(world, &format!("/habops nap {API}")).await;
        let (_, late) = card(world, PLAIN).await;
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        ana.presses(&nap, "Approve").await;
        world
            .eventually("the node to be touched", async || {
                let events = events(world).await;
                let touched = |event: &Event| {
                    matches!(event, Event::Touched { node, what } if node == API && what == "nap")
                };
                events.iter().any(touched).then_some(())
            })
            .await;
        // Neither a card that is approved now nor one that is asked for now.
        ana.presses(&late, "Approve").await;
        let refused = world
            .sees("operations", &format!("{napping} by @ana is at it"))
            .await;
        assert_eq!(of_metadata(&refused, "state"), "refused");
        bo.types(PLAIN).await;
        bo.hears(&format!("{napping} by @ana is at it")).await;
        world.shows(&napping, "done").await;
        assert_eq!(restarts(world, API), 0);
        // What changed the node is its last change.
        bo.types(PLAIN).await;
        bo.hears("Not within 5m of the last change. live-builder-api-0: nap ")
            .await;
    });
}

#[test]
fn a_cancel_takes_hold_between_two_nodes_and_the_rest_can_be_asked_for() {
    let setup = quick().instead("watch = \"3s\"", "watch = \"30s\"");
    setup.run(async |world| {
        let (operation, card) = card(world, TWO).await;
        let ana = world.person("ana");
        ana.presses(&card, "Approve").await;
        world
            .until("the first node to be watched", |slack| {
                everywhere(slack).find(|message| {
                    of_metadata(message, "key") == operation
                        && words(message).contains("its journal is watched")
                })
            })
            .await;
        ana.types(&format!("/habops cancel {operation}")).await;
        let cancelled = world.shows(&operation, "cancelled").await;
        let told = words(&cancelled);
        assert!(
            told.contains("Cancelled after 1 of 2 nodes: live-builder-worker-0 recovered"),
            "{told}"
        );
        assert!(told.contains("of 30 s only"), "{told}");
        ana.presses(&cancelled, "Retry what failed").await;
        let again = card_after(world, &operation).await;
        assert!(
            words(&again).contains("Confirm: restart live-builder-worker-1 --reason"),
            "{}",
            words(&again)
        );
        ana.presses(&again, "Deny").await;
        world.comes_to_rest().await;
        assert_eq!(restarts(world, "live-builder-worker-0"), 1);
        assert_eq!(restarts(world, "live-builder-worker-1"), 0);
    });
}

#[test]
fn the_first_node_that_does_not_come_back_is_the_last() {
    quick().run(async |world| {
        world.breaks("stays-down:live-builder-worker-0");
        let failed = approved(world, TWO).await;
        assert_eq!(of_metadata(&failed, "state"), "failed");
        let told = words(&failed);
        assert!(
            told.contains("live-builder-worker-0 did not come up; 1 not begun"),
            "{told}"
        );
        assert!(
            told.contains("not begun: live-builder-worker-0 did not come up"),
            "{told}"
        );
        assert_eq!(restarts(world, "live-builder-worker-1"), 0);
    });
}

#[test]
fn a_retry_leaves_alone_what_was_done() {
    quick().run(async |world| {
        world.breaks("stays-down:live-builder-worker-1");
        let (operation, card) = card(world, TWO).await;
        let ana = world.person("ana");
        ana.presses(&card, "Approve").await;
        let partly = world.shows(&operation, "partly").await;
        world.mends("stays-down:live-builder-worker-1");
        ana.presses(&partly, "Retry what failed").await;
        let again = card_after(world, &operation).await;
        // What is down need not cool down.
        ana.presses(&again, "Approve").await;
        let done = world.shows(&of_metadata(&again, "key"), "done").await;
        assert!(
            words(&done).contains("live-builder-worker-1 recovered"),
            "{}",
            words(&done)
        );
        assert_eq!(restarts(world, "live-builder-worker-0"), 1);
        assert_eq!(restarts(world, "live-builder-worker-1"), 2);
    });
}

#[test]
fn a_whole_role_goes_down_only_where_that_was_said() {
    quick().run(async |world| {
        let ana = world.person("ana");
        ana.types(&drill("live/worker")).await;
        ana.hears("nodes of live/worker. Name those you mean").await;
        let (_, card) = card(world, &drill("live/worker --all")).await;
        let told = words(&card);
        assert!(told.contains("nodes of live/worker."), "{told}");
        assert!(told.contains("One node after the other"), "{told}");
        ana.presses(&card, "Deny").await;
    });
}

#[test]
fn one_service_is_stopped_and_started_while_the_others_go_on() {
    quick().run(async |world| {
        let ana = world.person("ana");
        ana.types(&format!("/habops restart {API} builder-apo --reason x"))
            .await;
        ana.hears("Did you mean `builder-api`?").await;
        ana.types("/habops restart live-builder-router-0 builder-api --reason x")
            .await;
        ana.hears("builder-api is not loaded on live-builder-router-0")
            .await;
        let done = approved(world, &drill(&format!("{API} api"))).await;
        assert!(
            words(&done).contains("live-builder-api-0 recovered"),
            "{}",
            words(&done)
        );
        let ran = world.sandbox.nodes.ran(API);
        let changes: Vec<&String> = ran
            .iter()
            .filter(|line| line.starts_with("sudo") && !line.ends_with("status"))
            .collect();
        assert_eq!(
            changes,
            [
                "sudo -n hab svc stop core/builder-api",
                "sudo -n hab svc start core/builder-api"
            ]
        );
        let services = ana.runs(&format!("/habops services {API}")).await;
        assert!(
            words(&services).contains("All 2 services are up"),
            "{}",
            words(&services)
        );
    });
}

#[test]
fn a_datastore_shows_the_lock_files_of_a_dirty_stop() {
    quick().run(async |world| {
        world.breaks("dirty-stop");
        let (operation, card) = card(world, &drill("live-builder-datastore-0")).await;
        let told = words(&card);
        for file in [
            "/hab/svc/builder-datastore/data/postmaster.pid",
            ".s.PGSQL.5432.lock",
        ] {
            assert!(told.contains(file), "{told}");
        }
        world.person("ana").presses(&card, "Approve").await;
        let failed = world.shows(&operation, "failed").await;
        let told = words(&failed);
        assert!(
            told.contains("live-builder-datastore-0 did not come up"),
            "{told}"
        );
        assert!(
            told.contains(
                "Left on live-builder-datastore-0: /hab/svc/builder-datastore/data/postmaster.pid"
            ),
            "{told}"
        );
        assert!(
            told.contains("lock file \"postmaster.pid\" already exists"),
            "{told}"
        );
    });
}

#[test]
fn a_node_that_cannot_be_reached_is_a_row_and_is_not_tried() {
    quick().run(async |world| {
        world.breaks("down:live-builder-worker-1");
        let ana = world.person("ana");
        ana.types("/habops restart live-builder-worker-1 --reason x")
            .await;
        ana.hears("Nothing can be restarted there. live-builder-worker-1: cannot be reached")
            .await;
        let partly = approved(world, TWO).await;
        assert_eq!(of_metadata(&partly, "state"), "partly");
        let told = words(&partly);
        assert!(told.contains("left out: cannot be reached"), "{told}");
        assert_eq!(restarts(world, "live-builder-worker-0"), 1);
        assert_eq!(restarts(world, "live-builder-worker-1"), 0);
    });
}

#[test]
fn at_a_terminal_it_is_the_same_with_yes() {
    quick_without_the_app().run(async |world| {
        let config = world.config();
        let config = config.to_str().unwrap();
        let open = habops(&[
            "do", "--json", "--config", config, "--", "restart", API, "--reason", "a drill",
        ]);
        assert_eq!(open.code, 4, "{open:?}");
        let ran = habops(&[
            "do", "--json", "--yes", "--config", config, "--", "restart", API, "--reason",
            "a drill",
        ]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(said["title"], "live-builder-api-0 recovered");
        assert_eq!(said["hosts"][0]["state"], "done");
        assert_eq!(restarts(world, API), 1);
    });
}

#[test]
fn builds_that_a_restart_would_cut_off_are_on_the_card() {
    quick()
        .datastore(super::datastore::shared())
        .run(async |world| {
            let (_, card) = card(world, &drill("live-builder-worker-0")).await;
            let told = words(&card);
            assert!(
                told.contains("Builds in flight, which may be cut off: "),
                "{told}"
            );
            world.person("ana").presses(&card, "Deny").await;
        });
}
