//! On call in Slack: who is, who takes over, who is paged, and what a shift that ends takes with it.

use habops::{domain::operation::State, sandbox::slack::Message};
use jiff::Timestamp;

use crate::world::{
    Setup, World, everywhere,
    nudge::NUDGE,
    people::{Person, button},
    words,
};

const FROM: &str = "from = \"habops@habitat.example\"";
const SCHEDULE: &str = "PI7DH85";
const SHIFT: &str = "Bo Haugen is on call for Builder on call, after Ana Lima";
const RESTART: &str = "/habops nudge live-builder-api-0";

/// A world that looks at who is on call every second.
fn watching() -> Setup {
    Setup::default()
        .instead(FROM, &format!("{FROM}\npoll = \"1s\""))
        .command("nudge", NUDGE)
}

/// Ana is on call, Bo is next, Cyd has nothing to do with it.
struct People<'w> {
    ana: Person<'w>,
    bo: Person<'w>,
    cyd: Person<'w>,
}

/// Plays a scene once habops knows who is on call.
fn plays(setup: Setup, scene: impl AsyncFnOnce(&World, People<'_>)) {
    setup.run(async |world| {
        world
            .eventually("the first look at who is on call", async || {
                world.store.get_state("oncall:PI7DH85").await.unwrap()
            })
            .await;
        let people = People {
            ana: world.person("ana"),
            bo: world.person("bo"),
            cyd: world.person("cyd"),
        };
        scene(world, people).await;
    });
}

fn on_call(world: &World) -> String {
    world
        .sandbox
        .pagerduty
        .on_call(SCHEDULE, Timestamp::now())
        .unwrap()
}

/// The next person's shift begins: the packet, with its button.
async fn shift_changes(world: &World) -> Message {
    world.sandbox.pagerduty.shift_changes(SCHEDULE);
    world
        .until("the packet", |slack| {
            let mut all = slack.messages("operations").into_iter();
            all.find(|it| words(it).contains(SHIFT) && button(it, "Accept").is_some())
        })
        .await
}

/// A message below another one.
async fn below(
    world: &World,
    root: &Message,
    what: &str,
    is_it: impl Fn(&Message) -> bool,
) -> Message {
    world
        .until(what, |slack| {
            let mut all = slack.messages("operations").into_iter();
            all.find(|it| it.thread_ts.as_deref() == Some(root.ts.as_str()) && is_it(it))
        })
        .await
}

#[test]
fn a_shift_that_changes_is_told_with_the_packet_and_taken_by_whom_it_brought() {
    plays(watching(), async |world, People { ana, bo, cyd }| {
        ana.runs("/habops incident open \"builds are slow\"").await;
        let (nudge, card) = ana.proposes(RESTART).await;
        let packet = shift_changes(world).await;
        let told = words(&packet);
        assert!(
            told.contains("builds are slow") && told.contains(&nudge),
            "{told}"
        );

        // The incident hears of it, and the card that waits stands below the packet, good for as long as the first.
        let again = below(world, &packet, "the card once more", |it| {
            button(it, "Approve").is_some()
        })
        .await;
        let until = |text: &str| text.split("until ").last().map(|rest| rest[..8].to_owned());
        assert_eq!(until(&words(&again)), until(&words(&card)));
        bo.presses(&again, "Deny").await;
        world.shows(&nudge, "denied").await;
        below(world, &packet, "the copy to show it too", |it| {
            it.ts == again.ts && words(it).contains("Denied")
        })
        .await;

        cyd.presses(&packet, "Accept").await;
        cyd.hears("Only whoever came on call can accept this: Bo Haugen")
            .await;
        world.stop().await;
        world.start().await;
        bo.presses(&packet, "Accept").await;
        let accepted = world
            .until("the packet to be accepted", |slack| {
                let mut all = slack.messages("operations").into_iter();
                all.find(|it| it.ts == packet.ts && words(it).contains("Accepted by"))
            })
            .await;
        assert!(button(&accepted, "Accept").is_none());
        let packets = world.slack().posts("operations").into_iter();
        let packets = packets.filter(|post| post.text.contains(SHIFT) && post.thread_ts.is_none());
        assert_eq!(packets.count(), 1, "told once, whatever restarts");
    });
}

#[test]
fn the_packet_tells_what_was_changed_what_is_not_live_yet_and_which_nodes_to_watch() {
    let release = "core/builder-api/6085/20171120084512";
    plays(watching(), async |world, People { ana, cyd, .. }| {
        let (promoted, card) = cyd
            .proposes(&format!("/habops promote {release} acceptance"))
            .await;
        cyd.presses(&card, "Approve").await;
        world.shows(&promoted, "done").await;
        assert!(
            world
                .sandbox
                .builder
                .channels_of(release)
                .contains(&"acceptance".to_owned())
        );
        let (nudged, card) = ana.proposes(RESTART).await;
        ana.presses(&card, "Approve").await;
        world.shows(&nudged, "done").await;
        world.breaks("down");
        let down = "live-builder-sessionsrv-0";
        let (failed, card) = ana.proposes(&format!("/habops nudge {down}")).await;
        ana.presses(&card, "Approve").await;
        let state = world.ended(&failed).await.state;
        assert_ne!(state, State::Done);
        world.mends("down");

        let told = words(&shift_changes(world).await);
        for wanted in [
            "not promoted to live yet",
            release,
            "acceptance",
            "changed",
            &nudged,
            &failed,
            "node to watch",
            &format!("{failed} nudge {down}: {}", state.word()),
        ] {
            assert!(told.contains(wanted), "no {wanted}: {told}");
        }
        // What went on to live is not to be promoted any more.
        let (live, card) = cyd
            .proposes(&format!("/habops promote {release} stable"))
            .await;
        cyd.presses(&card, "Approve").await;
        world.shows(&live, "done").await;
        let packet = words(&ana.runs("/habops handoff packet").await);
        assert!(!packet.contains("not promoted to live yet"), "{packet}");
    });
}

#[test]
fn a_handoff_is_taken_only_by_whom_it_names() {
    plays(watching(), async |world, People { ana, bo, cyd }| {
        let (handoff, card) = ana
            .proposes("/habops handoff <@U0BO> --for 4h \"the depot is slow\"")
            .await;
        let told = words(&card);
        for wanted in ["Ana Lima", "Bo Haugen", "the depot is slow"] {
            assert!(told.contains(wanted), "no {wanted}: {told}");
        }
        cyd.presses(&card, "Accept").await;
        cyd.hears("can accept this").await;
        assert_eq!(on_call(world), "PANA001");
        bo.presses(&card, "Accept").await;
        let done = words(&world.shows(&handoff, "done").await);
        assert!(
            done.contains("Bo Haugen is on call for Builder on call until"),
            "{done}"
        );
        assert_eq!(on_call(world), "PBOH002");
        assert_eq!(world.sandbox.pagerduty.override_count(SCHEDULE), 1);
        let told = words(&cyd.runs("/habops oncall").await);
        assert!(
            told.contains("Bo Haugen is on call until") && told.contains("now, override"),
            "{told}"
        );
        assert!(told.contains("Ana Lima"), "whoever comes next: {told}");
    });
}

#[test]
fn on_a_bad_day_of_pagerdutys_nobody_is_handed_anything_and_each_refusal_is_a_sentence() {
    plays(watching(), async |world, People { ana, bo, .. }| {
        let (handoff, card) = ana.proposes("/habops handoff <@U0BO> --for 4h").await;
        for (fault, said) in [
            ("pagerduty-404", "PagerDuty does not know "),
            (
                "pagerduty-429",
                "PagerDuty takes no more calls now (429); try again in 1 s",
            ),
            (
                "pagerduty-429-bare",
                "PagerDuty takes no more calls now (429); try again in a minute",
            ),
            (
                "pagerduty-500",
                "PagerDuty is broken (500); see status.pagerduty.com",
            ),
            (
                "pagerduty-slow",
                "PagerDuty did not answer in time; try again",
            ),
        ] {
            world.breaks(fault);
            bo.presses(&card, "Accept").await;
            bo.hears(said).await;
            world.mends(fault);
        }
        // PagerDuty takes it, and refuses it inside.
        world.breaks("pagerduty-201-400");
        bo.presses(&card, "Accept").await;
        let told = words(&world.shows(&handoff, "failed").await);
        assert!(
            told.contains("Nobody was handed anything")
                && told.contains("Override must end after its start"),
            "{told}"
        );
        world.mends("pagerduty-201-400");
        assert_eq!(on_call(world), "PANA001");
        assert_eq!(world.sandbox.pagerduty.override_count(SCHEDULE), 0);
        let mut all = everywhere(world.slack());
        assert!(!all.any(|message| words(&message).contains("is on call for")));
    });
}

#[test]
fn the_role_ends_with_the_shift() {
    let setup = watching().instead(
        "operator = [\"U0ANA\", \"group:S0OPS\"]",
        "operator = [\"pagerduty:oncall\"]",
    );
    plays(setup, async |world, People { ana, bo, .. }| {
        let (nudge, card) = ana.proposes(RESTART).await;
        bo.presses(&card, "Approve").await;
        bo.hears("needs the role operator").await;
        shift_changes(world).await;
        ana.presses(&card, "Approve").await;
        ana.hears("needs the role operator").await;
        bo.presses(&card, "Approve").await;
        world.shows(&nudge, "done").await;
    });
}

#[test]
fn somebody_is_paged_for_the_incident_or_it_is_said_why_not() {
    plays(watching(), async |world, People { ana, .. }| {
        ana.types("/habops page <@U0BO> help").await;
        ana.hears("No incident is open in PagerDuty").await;
        let id = world
            .sandbox
            .pagerduty
            .triggers("P393ZNQ", "the API is slow")
            .unwrap();
        world.breaks("pagerduty-402");
        ana.types("/habops page <@U0BO> help").await;
        ana.hears("has no responders").await;
        world.mends("pagerduty-402");
        let (paged, card) = ana.proposes("/habops page <@U0BO> \"please look\"").await;
        assert!(words(&card).contains("Bo Haugen"), "{}", words(&card));
        ana.presses(&card, "Approve").await;
        let done = words(&world.shows(&paged, "done").await);
        assert!(done.contains("Bo Haugen: paged"), "{done}");
        let incident = world.sandbox.pagerduty.incident(&id).unwrap();
        assert_eq!(incident["incidents_responders"][0]["user"]["id"], "PBOH002");
    });
}

#[test]
fn a_resolved_incident_is_not_opened_again() {
    plays(watching(), async |world, People { ana, .. }| {
        let pagerduty = &world.sandbox.pagerduty;
        let id = pagerduty.triggers("P393ZNQ", "the API is slow").unwrap();
        let acked = words(&ana.runs("/habops incident ack").await);
        assert!(acked.contains("is acknowledged in PagerDuty"), "{acked}");
        ana.runs("/habops incident annotate \"the datastore is back\"")
            .await;
        assert_eq!(pagerduty.notes(&id)[0]["content"], "the datastore is back");
        let (resolve, card) = ana.proposes("/habops incident resolve").await;
        ana.presses(&card, "Approve").await;
        world.shows(&resolve, "done").await;
        assert_eq!(pagerduty.incident(&id).unwrap()["status"], "resolved");
        let late = ana.runs(&format!("/habops incident ack --pd {id}")).await;
        assert!(
            words(&late).contains("is resolved already"),
            "{}",
            words(&late)
        );
        assert_eq!(pagerduty.incident(&id).unwrap()["status"], "resolved");
    });
}

#[test]
fn a_handoff_that_nobody_accepts_is_told_to_both_and_to_all() {
    let setup = watching().config("[handoff]\naccept_within = \"1s\"");
    plays(setup, async |world, _| {
        world.sandbox.pagerduty.shift_changes(SCHEDULE);
        let words_of_it = "Nobody has accepted on call for Builder on call yet";
        world.sees("operations", words_of_it).await;
        world.comes_to_rest().await;
        let direct = everywhere(world.slack())
            .filter(|message| words(message).contains(words_of_it))
            .count();
        assert_eq!(direct, 3, "in #operations, to Bo, to Ana");
    });
}

#[test]
fn whoever_is_next_is_reminded_with_what_they_lack() {
    let setup = watching().config("[handoff]\nremind = \"50h\"");
    plays(setup, async |world, People { cyd, .. }| {
        let told = world
            .until("the reminder", |slack| {
                everywhere(slack).find(|message| {
                    words(message).contains("Bo Haugen is on call for Builder on call from")
                })
            })
            .await;
        let told = words(&told);
        assert!(
            told.contains("role in habops") && told.contains("1Password"),
            "{told}"
        );
        cyd.types("/habops access").await;
        let own = cyd.hears("lacks").await;
        assert!(words(&own).contains("add a telephone"), "{}", words(&own));
    });
}

#[test]
fn when_pagerduty_is_down_the_last_look_is_told_as_such() {
    plays(watching(), async |world, People { ana, .. }| {
        world.breaks("pagerduty-500");
        let said = ana.types("/habops oncall").await;
        assert_eq!(world.ended(&said.operation).await.state, State::Failed);
        let told = words(&world.shows(&said.operation, "failed").await);
        assert!(
            told.contains("Ana Lima is on call until") && told.contains("as of"),
            "{told}"
        );
        world.mends("pagerduty-500");
    });
}
