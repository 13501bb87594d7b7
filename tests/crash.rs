//! The program killed in the middle: each command shows one end, no change is run again, and what another process does is its own.

use habops::domain::{
    audit::Event,
    operation::{Operation, State},
};

use super::world::{
    Setup, World, everywhere,
    nudge::NUDGE,
    of_metadata,
    program::{Running, habops},
    words,
};

/// As many as the issue asks for.
const HANGING: usize = 20;
/// Long enough that nothing ends by itself while the scene goes on.
const PATIENT: (&str, &str) = ("connect_timeout = \"5s\"", "connect_timeout = \"90s\"");
fn starts(world: &World) -> Running {
    Running::bot(&world.config())
}

/// Waits until so many operations are as wanted.
async fn until(world: &World, what: &str, many: usize, wanted: impl Fn(&Operation) -> bool) {
    world
        .eventually(what, async || {
            let all = world.operations().await;
            (all.iter().filter(|it| wanted(it)).count() >= many).then_some(())
        })
        .await;
}

fn verifies(world: &World) {
    let config = world.config();
    let ran = habops(&["audit", "--config", config.to_str().unwrap(), "verify"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.starts_with("ok ") && ran.out.contains(" records, head "),
        "{ran:?}"
    );
}

#[test]
fn each_command_that_a_crash_cut_off_shows_exactly_one_end() {
    let setup = Setup::default()
        .instead(PATIENT.0, PATIENT.1)
        .without_the_app();
    setup.run(async |world| {
        world.breaks("frozen");
        let mut bot = starts(world);
        for number in 0..HANGING {
            let channel = ["operations", "general"][number % 2];
            let ana = world.person("ana").at(channel);
            ana.types("/habops status live-builder-worker-1").await;
        }
        until(world, "all to hang", HANGING, |it| it.state == State::Running).await;
        // Somebody at a terminal, on the same store, before the crash and through it.
        let config = world.config();
        let config = config.to_str().unwrap();
        let mut at_terminal = Running::start(&[
            "do", "--json", "--config", config, "--", "status", "live-builder-worker-1",
        ]);
        until(world, "the terminal's too", HANGING + 1, |it| it.state == State::Running).await;
        bot.is_killed();

        let meanwhile = habops(&["do", "--json", "--config", config, "--", "status", "live/api"]);
        assert_eq!(meanwhile.code, 0, "{meanwhile:?}");
        let mut bot = starts(world);
        let interrupted = |it: &Operation| it.state == State::Interrupted;
        until(world, "all to be interrupted", HANGING, interrupted).await;
        world.mends("frozen");
        let said: serde_json::Value = serde_json::from_str(&at_terminal.first_line()).unwrap();
        assert_ne!(said["state"], "interrupted", "{said}");
        world.comes_to_rest().await;

        let all = world.operations().await;
        assert_eq!(all.len(), HANGING + 2);
        let ends: Vec<_> = everywhere(world.slack())
            .filter(|message| of_metadata(message, "key").starts_with("op-"))
            .map(|message| (of_metadata(&message, "key"), of_metadata(&message, "state"), words(&message)))
            .collect();
        for operation in all.iter().filter(|it| interrupted(it)) {
            let id = operation.id.to_string();
            let own: Vec<_> = ends.iter().filter(|(key, ..)| *key == id).collect();
            assert!(matches!(own[..], [(_, state, told)] if state == "interrupted" && told.contains("Run again")), "{own:?}");
        }
        assert_eq!(ends.len(), HANGING);
        for record in world.audit().await {
            if let Event::Interrupted { .. } = serde_json::from_str(&record.event).unwrap() {
                let of = all.iter().find(|it| Some(it.id) == record.operation).unwrap();
                assert!(interrupted(of), "{of:?}");
            }
        }
        verifies(world);
        assert_eq!(bot.is_told_to_stop(), 0);
        assert!(!bot.err().contains("panicked"), "{}", bot.err());
    });
}

#[test]
fn a_terminal_whose_work_was_taken_over_meanwhile_ends_with_five() {
    let setup = Setup::default().instead(PATIENT.0, PATIENT.1);
    setup.run(async |world| {
        world.breaks("frozen");
        let config = world.config();
        let mut at_terminal = Running::start(&[
            "do",
            "--json",
            "--config",
            config.to_str().unwrap(),
            "--",
            "status",
            "live-builder-worker-1",
        ]);
        until(world, "it to run", 1, |it| it.state == State::Running).await;
        // As a laptop does whose lid is shut for longer than the lease.
        at_terminal.is_sent("-STOP");
        until(world, "the bot to end it", 1, |it| {
            it.state == State::Interrupted
        })
        .await;
        at_terminal.is_sent("-CONT");
        let said: serde_json::Value = serde_json::from_str(&at_terminal.first_line()).unwrap();
        assert_eq!(said["state"], "interrupted", "{said}");
        assert_eq!(at_terminal.ends(), 5);
        world.mends("frozen");
    });
}

#[test]
fn a_change_that_a_crash_cut_off_is_not_run_again() {
    let setup = Setup::default()
        .instead(PATIENT.0, PATIENT.1)
        .command("nudge", NUDGE)
        .without_the_app();
    setup.run(async |world| {
        world.breaks("frozen");
        let mut bot = starts(world);
        let ana = world.person("ana");
        let said = ana.types("/habops nudge live-builder-worker-1").await;
        let card = world.shows(&said.operation, "awaiting").await;
        ana.presses(&card, "Approve").await;
        until(world, "the change to hang", 1, |it| {
            it.state == State::Running
        })
        .await;
        bot.is_killed();
        // The buttons are from before the crash; who presses one is told where things stand.
        let mut bot = starts(world);
        let end = world.shows(&said.operation, "interrupted").await;
        assert_eq!(end.ts, card.ts);
        assert!(
            words(&end).contains("Whether it was done is unknown"),
            "{}",
            words(&end)
        );
        world.mends("frozen");
        ana.types(&format!("/habops approve {}", said.operation))
            .await;
        ana.hears("was approved already").await;
        ana.presses(&end, "Look").await;
        world
            .sees("operations", "live-builder-worker-1 is up")
            .await;
        let ran = world.sandbox.nodes.ran("live-builder-worker-1");
        assert!(!ran.iter().any(|line| line.contains("restart")), "{ran:?}");
        world.comes_to_rest().await;
        verifies(world);
        assert_eq!(bot.is_told_to_stop(), 0);
    });
}

#[test]
fn a_card_outlives_the_bot_that_posted_it() {
    let setup = Setup::default().command("nudge", NUDGE).without_the_app();
    setup.run(async |world| {
        let mut bot = starts(world);
        let ana = world.person("ana");
        let said = ana.types("/habops nudge live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        bot.is_killed();
        let mut bot = starts(world);
        ana.presses(&card, "Approve").await;
        world.shows(&said.operation, "done").await;
        let ran = world.sandbox.nodes.ran("live-builder-api-0");
        let restarts = ran
            .iter()
            .filter(|line| line.contains("systemctl restart hab-sup"));
        assert_eq!(
            restarts.filter(|line| line.starts_with("sudo")).count(),
            1,
            "{ran:?}"
        );
        world.comes_to_rest().await;
        assert_eq!(bot.is_told_to_stop(), 0);
    });
}
