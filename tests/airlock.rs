//! The workers' build network, and the guide's remaining procedures as runbooks.

use super::world::{World, people::button, words};

#[test]
fn each_worker_gets_a_verdict_and_the_remedy_is_a_button_with_a_confirmation() {
    World::run(async |world| {
        let ana = world.person("ana");
        let probed = ana.runs("/habops airlock").await;
        let told = words(&probed);
        assert!(
            told.contains("The build network of 2 of 4 workers is not as it should be"),
            "{told}"
        );
        for wanted in [
            "live-builder-worker-2",
            "ISSUE: namespace without interface",
            "WARN: worker not booted",
        ] {
            assert!(told.contains(wanted), "{told}");
        }
        let nodes = &world.sandbox.nodes;
        assert!(
            nodes.ran("live-builder-api-0").is_empty(),
            "only workers are asked"
        );

        ana.presses(&probed, "airlock destroy live-builder-worker-2")
            .await;
        let card = world.sees("operations", "One node after the other").await;
        let probes = nodes.ran("live-builder-worker-2").len();
        assert!(button(&card, "Approve").is_some(), "{}", words(&card));
        ana.presses(&card, "Approve").await;
        let done = world
            .sees("operations", "airlock destroy: 1 of 1 nodes done")
            .await;
        assert_eq!(
            nodes.ran("live-builder-worker-2")[probes..],
            [
                "sudo -n hab pkg exec core/airlock airlock netns destroy --ns-dir /hab/svc/builder-worker/data/network/airlock-ns",
                "sudo -n systemctl restart hab-sup",
            ]
        );
        ana.presses(&done, "airlock live-builder-worker-2").await;
        world
            .sees(
                "operations",
                "The build network of live-builder-worker-2 is as it should be",
            )
            .await;
    });
}

#[test]
fn where_there_is_no_worker_nothing_is_probed() {
    World::run(async |world| {
        let bo = world.person("bo");
        bo.types("/habops airlock live/api").await;
        bo.hears("There is no worker among these nodes").await;
    });
}

#[test]
fn a_frozen_worker_is_a_row_and_the_others_have_their_verdicts() {
    World::run(async |world| {
        world.breaks("down:live-builder-worker-0");
        let ana = world.person("ana");
        let told = words(&ana.runs("/habops airlock live").await);
        assert!(
            told.contains("1 of 2 workers is not as it should be"),
            "{told}"
        );
        assert!(told.contains("cannot be reached"), "{told}");
    });
}

#[test]
fn the_guides_small_looks_are_commands() {
    World::run(async |world| {
        let ana = world.person("ana");
        for (typed, wanted) in [
            ("supervisor lock live-builder-api-0", "hab-sup run"),
            ("supervisor limits live-builder-api-0", "LimitNOFILE="),
            ("datastore locks live/datastore", "/tmp/.s.PGSQL.5432.lock"),
            (
                "datastore connections live/datastore",
                "max_connections = 100",
            ),
            ("disk live-builder-worker-0", "/hab"),
        ] {
            let told = words(&ana.runs(&format!("/habops {typed}")).await);
            assert!(told.contains(wanted), "{typed}: {told}");
            assert!(told.contains("1 of 1 nodes done"), "{typed}: {told}");
        }
        // A node that runs the bot, and its restart.
        let unit = async || {
            let shown = ana
                .runs("/habops sentinel status live-builder-admin-0")
                .await;
            let told = words(&shown);
            let pid = told.lines().find_map(|line| line.split_once("MainPID="));
            let (_, pid) = pid.unwrap_or_else(|| panic!("{told}"));
            pid.to_owned()
        };
        let before = unit().await;
        ana.types("/habops sentinel restart live-builder-admin-0")
            .await;
        let card = world.sees("operations", "restart the bot").await;
        ana.presses(&card, "Approve").await;
        let done = world
            .sees("operations", "sentinel restart: 1 of 1 nodes done")
            .await;
        assert!(button(&done, "sentinel status live-builder-admin-0").is_some());
        assert_ne!(unit().await, before);
        let ran = world.sandbox.nodes.ran("live-builder-admin-0");
        let restarts = ran
            .iter()
            .filter(|line| *line == "sudo -n systemctl restart sentinel");
        assert_eq!(restarts.count(), 1, "{ran:?}");
        // A node that does not run the bot says so.
        let told = words(&ana.runs("/habops sentinel status live-builder-api-0").await);
        assert!(
            told.contains("its output does not hold `ActiveState=active`"),
            "{told}"
        );
    });
}
