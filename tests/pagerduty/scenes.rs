//! On call in Slack: who is, who takes over, who is paged, and what a shift that ends takes with it.

use habops::domain::{ids::OperationId, operation::State};
use jiff::{SignedDuration, Timestamp};

use crate::world::{Setup, World, nudge::NUDGE, people::button, words};

const FROM: &str = "from = \"habops@habitat.example\"";
const SCHEDULE: &str = "PI7DH85";

/// A world that looks at who is on call every second.
fn watching() -> Setup {
    Setup::default()
        .instead(FROM, &format!("{FROM}\npoll = \"1s\""))
        .command("nudge", NUDGE)
}

async fn has_looked(world: &World) {
    world
        .eventually("the first look at who is on call", async || {
            world.store.get_state("oncall:PI7DH85").await.unwrap()
        })
        .await;
}

fn on_call(world: &World) -> String {
    world
        .sandbox
        .pagerduty
        .on_call(SCHEDULE, Timestamp::now())
        .unwrap()
}

#[test]
fn a_shift_that_changes_is_told_with_the_packet_and_taken_by_whom_it_brought() {
    watching().run(async |world| {
        has_looked(world).await;
        let (ana, bo, cyd) = (world.person("ana"), world.person("bo"), world.person("cyd"));
        ana.runs("/habops incident open \"builds are slow\"").await;
        let nudge = ana.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&nudge.operation, "awaiting").await;
        world.sandbox.pagerduty.shift_changes(SCHEDULE);

        let title = "Bo Haugen is on call for Builder on call, after Ana Lima";
        let packet = world
            .until("the packet", |slack| {
                let mut all = slack.messages("operations").into_iter();
                all.find(|message| {
                    words(message).contains(title) && button(message, "Accept").is_some()
                })
            })
            .await;
        let told = words(&packet);
        assert!(
            told.contains("builds are slow") && told.contains(&nudge.operation),
            "{told}"
        );

        // The incident hears of it, and the card that waits stands below the packet, good for as long as the first.
        let again = world
            .until("the card once more", |slack| {
                let mut all = slack.messages("operations").into_iter();
                all.find(|message| {
                    message.thread_ts.as_deref() == Some(packet.ts.as_str())
                        && button(message, "Approve").is_some()
                })
            })
            .await;
        let until = |text: &str| text.split("until ").last().map(|rest| rest[..8].to_owned());
        assert_eq!(until(&words(&again)), until(&words(&card)));
        bo.presses(&again, "Deny").await;
        world.shows(&nudge.operation, "denied").await;
        world
            .until("the copy to show it too", |slack| {
                let mut all = slack.messages("operations").into_iter();
                all.find(|message| message.ts == again.ts && words(message).contains("Denied"))
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
                all.find(|message| {
                    message.ts == packet.ts && words(message).contains("Accepted by")
                })
            })
            .await;
        assert!(button(&accepted, "Accept").is_none());
        let packets = world.slack().posts("operations").into_iter();
        let packets = packets.filter(|post| post.text.contains(title) && post.thread_ts.is_none());
        assert_eq!(packets.count(), 1, "told once, whatever restarts");
    });
}

#[test]
fn a_handoff_is_taken_only_by_whom_it_names() {
    watching().run(async |world| {
        let (ana, bo, cyd) = (world.person("ana"), world.person("bo"), world.person("cyd"));
        let said = ana
            .types("/habops handoff <@U0BO> --for 4h \"the depot is slow\"")
            .await;
        let card = world.shows(&said.operation, "awaiting").await;
        let told = words(&card);
        assert!(
            told.contains("Ana Lima")
                && told.contains("Bo Haugen")
                && told.contains("the depot is slow"),
            "{told}"
        );
        cyd.presses(&card, "Accept").await;
        cyd.hears("can accept this").await;
        assert_eq!(on_call(world), "PANA001");
        bo.presses(&card, "Accept").await;
        let done = world.shows(&said.operation, "done").await;
        assert!(
            words(&done).contains("Bo Haugen is on call for Builder on call until"),
            "{}",
            words(&done)
        );
        assert_eq!(on_call(world), "PBOH002");
        assert_eq!(world.sandbox.pagerduty.override_count(SCHEDULE), 1);
        let oncall = cyd.runs("/habops oncall").await;
        let told = words(&oncall);
        assert!(
            told.contains("Bo Haugen is on call until") && told.contains("now, override"),
            "{told}"
        );
        assert!(told.contains("Ana Lima"), "whoever comes next: {told}");
    });
}

#[test]
fn an_override_that_pagerduty_did_not_make_is_not_told_as_made() {
    watching().run(async |world| {
        has_looked(world).await;
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        let said = ana.types("/habops handoff <@U0BO> --for 4h").await;
        let card = world.shows(&said.operation, "awaiting").await;
        world.breaks("pagerduty-201-400");
        bo.presses(&card, "Accept").await;
        let failed = world.shows(&said.operation, "failed").await;
        let told = words(&failed);
        assert!(
            told.contains("Nobody was handed anything")
                && told.contains("Override must end after its start"),
            "{told}"
        );
        assert_eq!(on_call(world), "PANA001");
        world.mends("pagerduty-201-400");
        let all = world.slack().messages("operations");
        assert!(
            !all.iter()
                .any(|message| words(message).contains("is on call for"))
        );
    });
}

#[test]
fn the_role_ends_with_the_shift() {
    let setup = watching().instead(
        "operator = [\"U0ANA\", \"group:S0OPS\"]",
        "operator = [\"pagerduty:oncall\"]",
    );
    setup.run(async |world| {
        has_looked(world).await;
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        let said = ana.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        bo.presses(&card, "Approve").await;
        bo.hears("needs the role operator").await;
        world.sandbox.pagerduty.shift_changes(SCHEDULE);
        world.sees("operations", "Bo Haugen is on call for").await;
        ana.presses(&card, "Approve").await;
        ana.hears("needs the role operator").await;
        bo.presses(&card, "Approve").await;
        world.shows(&said.operation, "done").await;
    });
}

#[test]
fn somebody_is_paged_for_the_incident_or_it_is_said_why_not() {
    watching().run(async |world| {
        let ana = world.person("ana");
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
        let said = ana.types("/habops page <@U0BO> \"please look\"").await;
        let card = world.shows(&said.operation, "awaiting").await;
        assert!(words(&card).contains("Bo Haugen"), "{}", words(&card));
        ana.presses(&card, "Approve").await;
        let done = world.shows(&said.operation, "done").await;
        assert!(
            words(&done).contains("Bo Haugen: paged"),
            "{}",
            words(&done)
        );
        let incident = world.sandbox.pagerduty.incident(&id).unwrap();
        assert_eq!(incident["incidents_responders"][0]["user"]["id"], "PBOH002");
    });
}

#[test]
fn a_resolved_incident_is_not_opened_again() {
    watching().run(async |world| {
        let ana = world.person("ana");
        let pagerduty = &world.sandbox.pagerduty;
        let id = pagerduty.triggers("P393ZNQ", "the API is slow").unwrap();
        let acked = ana.runs("/habops incident ack").await;
        assert!(
            words(&acked).contains("is acknowledged in PagerDuty"),
            "{}",
            words(&acked)
        );
        ana.runs("/habops incident annotate \"the datastore is back\"")
            .await;
        assert_eq!(pagerduty.notes(&id)[0]["content"], "the datastore is back");
        let said = ana.types("/habops incident resolve").await;
        let card = world.shows(&said.operation, "awaiting").await;
        ana.presses(&card, "Approve").await;
        world.shows(&said.operation, "done").await;
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
    setup.run(async |world| {
        has_looked(world).await;
        world.sandbox.pagerduty.shift_changes(SCHEDULE);
        let words_of_it = "Nobody has accepted on call for Builder on call yet";
        world.sees("operations", words_of_it).await;
        world.comes_to_rest().await;
        let direct = crate::world::everywhere(world.slack())
            .filter(|message| words(message).contains(words_of_it))
            .count();
        assert_eq!(direct, 3, "in #operations, to Bo, to Ana");
    });
}

#[test]
fn whoever_is_next_is_reminded_with_what_they_lack() {
    let setup = watching().config("[handoff]\nremind = \"50h\"");
    setup.run(async |world| {
        let told = world
            .until("the reminder", |slack| {
                crate::world::everywhere(slack).find(|message| {
                    words(message).contains("Bo Haugen is on call for Builder on call from")
                })
            })
            .await;
        let told = words(&told);
        assert!(
            told.contains("role in habops") && told.contains("1Password"),
            "{told}"
        );
        let cyd = world.person("cyd");
        cyd.types("/habops access").await;
        let own = cyd.hears("lacks").await;
        assert!(words(&own).contains("add a telephone"), "{}", words(&own));
    });
}

#[test]
fn when_pagerduty_is_down_the_last_look_is_told_as_such() {
    watching().run(async |world| {
        has_looked(world).await;
        world.breaks("pagerduty-500");
        let ana = world.person("ana");
        let said = ana.types("/habops oncall").await;
        let ended = world.ended(&said.operation).await;
        assert_eq!(ended.state, State::Failed);
        let shown = world.shows(&said.operation, "failed").await;
        let told = words(&shown);
        assert!(
            told.contains("Ana Lima is on call until") && told.contains("as of"),
            "{told}"
        );
        world.mends("pagerduty-500");
        let until = Timestamp::now() + SignedDuration::from_hours(1);
        assert_eq!(
            world.sandbox.pagerduty.on_call(SCHEDULE, until).unwrap(),
            "PANA001"
        );
        assert!(
            world
                .store
                .operation(OperationId(1))
                .await
                .unwrap()
                .is_some()
        );
    });
}
