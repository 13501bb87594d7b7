//! What runs for longer than a moment can be ended from its own message: a look is stopped, a change is cancelled between its nodes.

use super::world::{Setup, nudge::confirmed_by, of_metadata, people::button, words};

/// Long enough that nothing ends by itself while the scene goes on.
const PATIENT: (&str, &str) = ("connect_timeout = \"5s\"", "connect_timeout = \"90s\"");

#[test]
fn a_look_that_hangs_is_stopped_by_its_button() {
    let setup = Setup::default().instead(PATIENT.0, PATIENT.1);
    setup.run(async |world| {
        world.breaks("frozen");
        let ana = world.person("ana");
        let said = ana.types("/habops status live-builder-worker-1").await;
        let running = world.shows(&said.operation, "running").await;
        assert_eq!(button(&running, "Cancel"), None);
        // A guest may look at the channel, and end nothing in it.
        world.person("gus").presses(&running, "Stop").await;
        world.person("gus").hears("guests may not use habops").await;
        world.person("bo").presses(&running, "Stop").await;
        world.person("bo").hears("was asked to stop").await;
        let ended = world.shows(&said.operation, "cancelled").await;
        assert_eq!(ended.ts, running.ts, "the same message tells its end");
        assert_eq!(button(&ended, "Stop"), None);
        world.mends("frozen");
    });
}

#[test]
fn a_change_is_cancelled_between_its_nodes() {
    let setup = Setup::default()
        .instead("connect_timeout = \"5s\"", "connect_timeout = \"20s\"")
        .command("nudge", &confirmed_by("never"));
    setup.run(async |world| {
        world.breaks("frozen");
        let ana = world.person("ana");
        let nodes = "live-builder-worker-1,live-builder-worker-2";
        let said = ana.types(&format!("/habops nudge {nodes}")).await;
        let running = world.shows(&said.operation, "running").await;
        assert_eq!(button(&running, "Stop"), None);
        ana.presses(&running, "Cancel").await;
        let ended = world.shows(&said.operation, "cancelled").await;
        assert!(
            words(&ended).contains("cancelled before it began"),
            "{}",
            words(&ended)
        );
        assert!(world.sandbox.nodes.ran("live-builder-worker-2").is_empty());
        assert_eq!(of_metadata(&ended, "key"), said.operation);
        world.mends("frozen");
    });
}
