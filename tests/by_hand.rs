//! The lines to type by hand: shown for every command that runs something, true, and without doing anything.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use habops::{
    catalogue::Catalogue,
    domain::{
        command::{ArgKind, CommandSpec},
        output::{Output, Part},
    },
};

use super::world::{World, words};

/// What `--by-hand` showed.
fn lines(output: &Output) -> Vec<String> {
    let logs = output.parts.iter().filter_map(|part| match part {
        Part::Log { of, text } if of == "by hand" => Some(text),
        _ => None,
    });
    logs.flat_map(|text| text.lines())
        .map(str::to_owned)
        .collect()
}

/// What to type for a command on the live fleet: its first example that names nodes which are there.
fn example(spec: &CommandSpec) -> Option<&String> {
    spec.args.iter().find(|arg| arg.kind == ArgKind::Target)?;
    spec.examples
        .iter()
        .find(|example| example.contains("live"))
}

/// An `ssh` that knows the sandbox's nodes by name, as the guide's `update-habitat-ssh` makes it.
fn ssh_that_knows_the_nodes(world: &World, dir: &Path) {
    let nodes = &world.sandbox.nodes;
    let hosts = dir.join("known_hosts");
    nodes.write_known_hosts(&hosts).unwrap();
    let mut config: Vec<String> = nodes
        .list()
        .iter()
        .map(|node| {
            format!(
                "Host {}\n  HostName {}\n  Port {}\n",
                node.name, node.address, node.port
            )
        })
        .collect();
    config.push(format!(
        "Host *\n  User ubuntu\n  IdentitiesOnly yes\n  IdentityFile {}\n  UserKnownHostsFile {}\n  StrictHostKeyChecking yes\n  BatchMode yes\n  LogLevel ERROR\n",
        nodes.identity_file().display(),
        hosts.display()
    ));
    fs::write(dir.join("config"), config.concat()).unwrap();
    let program = dir.join("ssh");
    fs::write(
        &program,
        format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F {}/config \"$@\"\n",
            dir.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn every_command_on_nodes_shows_lines_that_a_person_can_type() {
    World::run(async |world| {
        let dir = tempfile::tempdir().unwrap();
        ssh_that_knows_the_nodes(world, dir.path());
        let path = format!(
            "{}:{}",
            dir.path().display(),
            std::env::var("PATH").unwrap()
        );
        let ana = world.person("ana");
        let commands = Catalogue::embedded().unwrap().commands;
        let mut tried = 0;
        for spec in commands.iter() {
            let Some(example) = example(spec) else {
                continue;
            };
            let typed = format!("{} --by-hand {example}", spec.name);
            let said = ana.types(&format!("/habops {typed}")).await;
            let ended = world.ended(&said.operation).await;
            let output = ended
                .output
                .unwrap_or_else(|| panic!("{typed} has no output"));
            let lines = lines(&output);
            assert!(!lines.is_empty(), "{typed}: {}", output.title);
            for line in &lines {
                let split = shlex::split(line).unwrap_or_else(|| panic!("{typed}: {line}"));
                assert!(split.len() > 1, "{typed}: {line}");
            }
            tried += 1;
            // A look is typed for real, on the first node.
            let first = lines
                .iter()
                .find(|line| line.starts_with("ssh "))
                .filter(|_| !spec.changes);
            let Some(line) = first.filter(|_| spec.name.as_str() != "tail") else {
                continue;
            };
            let ran = Command::new("sh")
                .arg("-c")
                .arg(line)
                .env("PATH", &path)
                .output();
            let ran = tokio::task::spawn_blocking(move || ran)
                .await
                .unwrap()
                .unwrap();
            let complaint = String::from_utf8_lossy(&ran.stderr).into_owned();
            let code = ran.status.code();
            assert!(
                !matches!(code, None | Some(126 | 127 | 255)),
                "{line}: {complaint}"
            );
            assert!(!complaint.contains("Syntax error"), "{line}: {complaint}");
        }
        assert!(tried >= 8, "{tried}");
    });
}

#[test]
fn a_result_has_a_button_that_shows_its_lines_to_whoever_presses_it() {
    World::run(async |world| {
        let (ana, bo) = (world.person("ana"), world.person("bo"));
        let result = ana.runs("/habops services live/api").await;
        bo.presses(&result, "By hand").await;
        let shown = world
            .sees(
                "operations",
                "ssh live-builder-api-0 'sudo -n hab sup status'",
            )
            .await;
        assert!(
            words(&shown).contains("<@U0BO>") || words(&shown).contains("bo"),
            "{}",
            words(&shown)
        );
        // There are no lines for what habops does alone, and no button either.
        let list = ana.runs("/habops incident list --here").await;
        assert!(super::world::people::button(&list, "By hand").is_none());
    });
}

#[test]
fn a_change_by_hand_needs_no_yes_holds_in_a_freeze_and_does_nothing() {
    World::run(async |world| {
        let ana = world.person("ana");
        ana.types("/habops freeze live \"a database is moved\"")
            .await;
        world.comes_to_rest().await;
        let shown = ana
            .runs("/habops airlock destroy --by-hand live-builder-worker-2")
            .await;
        let told = words(&shown);
        assert!(told.contains("airlock netns destroy --ns-dir"), "{told}");
        assert!(told.contains("systemctl restart hab-sup"), "{told}");
        assert_eq!(
            world.sandbox.nodes.ran("live-builder-worker-2"),
            Vec::<String>::new()
        );
        ana.types("/habops unfreeze live").await;
        world.comes_to_rest().await;
    });
}
