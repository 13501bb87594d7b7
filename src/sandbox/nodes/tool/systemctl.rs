//! `systemctl` on a node: `show`, `is-active`, `status`, and the verbs that change a unit: `hab-sup`, and where it is `sentinel`.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;

use super::super::state::{Node, Quirk, Run};
use super::Place;

/// The Supervisor's unit.
const SUPERVISOR: &str = "hab-sup";
/// The bot that one node runs beside it.
const SENTINEL: &str = "sentinel";

/// How long systemd takes to stop or start the Supervisor: long enough to be seen, short enough for a test.
const JOB_TAKES: Duration = Duration::from_millis(200);
/// The first version whose units have an `InvocationID`.
const WITH_INVOCATION: u32 = 232;
/// The first version that counts restarts.
const WITH_RESTARTS: u32 = 235;
/// The first version that knows `--value`.
const WITH_VALUE: u32 = 230;

pub(super) fn run(place: &mut Place<'_>, args: &[String]) -> Result<i32> {
    let node = place.node()?;
    let mut words = Vec::new();
    let mut properties = Vec::new();
    let (mut values_only, mut quiet) = (false, false);
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--version" => {
                write!(place.out, "{}", version(node.systemd))?;
                return Ok(0);
            }
            "-p" | "--property" => match rest.next() {
                Some(names) => properties.extend(names.split(',').map(str::to_owned)),
                None => {
                    return place.refuse(
                        1,
                        &format!("systemctl: option '{word}' requires an argument"),
                    );
                }
            },
            "--value" if node.systemd >= WITH_VALUE => values_only = true,
            "-q" | "--quiet" => quiet = true,
            "--no-pager" | "--no-ask-password" | "-l" | "--full" => {}
            option if option.starts_with("--property=") => {
                properties.extend(option["--property=".len()..].split(',').map(str::to_owned));
            }
            option if option.starts_with("-p") && !option.starts_with("--") => {
                properties.extend(option[2..].split(',').map(str::to_owned));
            }
            option if option.starts_with("--") => {
                return place.refuse(1, &format!("systemctl: unrecognized option '{option}'"));
            }
            option if option.starts_with('-') && option.len() > 1 => {
                return place.refuse(
                    1,
                    &format!("systemctl: invalid option -- '{}'", &option[1..2]),
                );
            }
            _ => words.push(word.as_str()),
        }
    }
    match words.as_slice() {
        ["show", unit] => show(place, &node, unit, &properties, values_only),
        ["is-active", unit] => is_active(place, &node, unit, quiet),
        ["status", unit] => status(place, &node, unit),
        [verb @ ("restart" | "start" | "stop"), unit] => change(place, verb, unit),
        ["show" | "is-active" | "status" | "restart" | "start" | "stop"] => {
            place.refuse(1, "Too few arguments.")
        }
        [verb, ..] => place.refuse(1, &format!("Unknown operation {verb}.")),
        [] => place.refuse(1, "Too few arguments."),
    }
}

/// The lives of a unit's process, oldest first, where the node has that unit.
fn lives<'a>(node: &'a Node, unit: &str) -> Option<&'a [Run]> {
    match unit.strip_suffix(".service").unwrap_or(unit) {
        SUPERVISOR => Some(&node.runs),
        SENTINEL if !node.sentinel.is_empty() => Some(&node.sentinel),
        _ => None,
    }
}

fn description(unit: &str) -> &'static str {
    if unit.starts_with(SENTINEL) {
        "Sentinel bot"
    } else {
        "Habitat Supervisor"
    }
}

fn is_alive(runs: &[Run]) -> Option<&Run> {
    runs.last().filter(|run| run.until.is_none())
}

fn full_name(unit: &str) -> String {
    if unit.contains('.') {
        unit.to_owned()
    } else {
        format!("{unit}.service")
    }
}

/// What systemd says first about itself, here and in `journalctl`.
pub(super) fn version(systemd: u32) -> &'static str {
    if systemd == 229 {
        "systemd 229\n+PAM +AUDIT +SELINUX +IMA +APPARMOR +SMACK +SYSVINIT +UTMP +LIBCRYPTSETUP +GCRYPT +GNUTLS +ACL +XZ -LZ4 +SECCOMP +BLKID +ELFUTILS +KMOD -IDN\n"
    } else {
        "systemd 245 (245.4-4ubuntu3.24)\n+PAM +AUDIT +SELINUX +IMA +APPARMOR +SMACK +SYSVINIT +UTMP +LIBCRYPTSETUP +GCRYPT +GNUTLS +ACL +XZ +LZ4 +SECCOMP +BLKID +ELFUTILS +KMOD +IDN2 -IDN +PCRE2 default-hierarchy=hybrid\n"
    }
}

/// The properties in systemd's own order, which is not the order they are asked for.
fn properties_of(node: &Node, unit: &str) -> Vec<(&'static str, String)> {
    let runs = lives(node, unit);
    let ours = runs.is_some();
    let (run, last) = (runs.and_then(is_alive), runs.and_then(<[Run]>::last));
    let pid = run.map_or(0, |run| run.pid);
    let stamp = |time: Option<i64>| time.map(stamp).unwrap_or_default();
    let monotonic = |time: Option<i64>| {
        time.map_or(0, |time| (time - node.booted).max(0))
            .to_string()
    };
    let (from, until) = (last.map(|run| run.from), last.and_then(|run| run.until));
    let mut all = vec![
        ("Type", "simple".to_owned()),
        ("Restart", "no".into()),
        ("MainPID", pid.to_string()),
        ("ExecMainStartTimestamp", stamp(from)),
        ("ExecMainStartTimestampMonotonic", monotonic(from)),
        ("ExecMainExitTimestamp", stamp(until)),
        ("ExecMainPID", last.map_or(0, |run| run.pid).to_string()),
        ("ExecMainStatus", "0".into()),
        ("NRestarts", "0".into()),
        ("LimitNOFILE", "4096".into()),
        ("Id", full_name(unit)),
        ("Names", full_name(unit)),
        (
            "Description",
            if ours {
                description(unit).into()
            } else {
                full_name(unit)
            },
        ),
        (
            "LoadState",
            if ours { "loaded" } else { "not-found" }.into(),
        ),
        (
            "ActiveState",
            if run.is_some() { "active" } else { "inactive" }.into(),
        ),
        (
            "SubState",
            if run.is_some() { "running" } else { "dead" }.into(),
        ),
        ("StateChangeTimestamp", stamp(until.or(from))),
        ("StateChangeTimestampMonotonic", monotonic(until.or(from))),
        ("ActiveEnterTimestamp", stamp(from)),
        ("ActiveEnterTimestampMonotonic", monotonic(from)),
        ("InactiveEnterTimestamp", stamp(until)),
        ("InactiveEnterTimestampMonotonic", monotonic(until)),
        (
            "InvocationID",
            run.map(|run| run.invocation.clone()).unwrap_or_default(),
        ),
    ];
    all.retain(|(name, _)| match *name {
        "InvocationID" => node.systemd >= WITH_INVOCATION,
        "NRestarts" => node.systemd >= WITH_RESTARTS,
        _ => true,
    });
    all
}

fn show(
    place: &mut Place<'_>,
    node: &Node,
    unit: &str,
    wanted: &[String],
    values_only: bool,
) -> Result<i32> {
    for (name, value) in properties_of(node, unit) {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        if values_only {
            writeln!(place.out, "{value}")?;
        } else {
            writeln!(place.out, "{name}={value}")?;
        }
    }
    Ok(0)
}

fn is_active(place: &mut Place<'_>, node: &Node, unit: &str, quiet: bool) -> Result<i32> {
    let active = lives(node, unit).and_then(is_alive).is_some();
    if !quiet {
        writeln!(place.out, "{}", if active { "active" } else { "inactive" })?;
    }
    Ok(if active { 0 } else { 3 })
}

fn status(place: &mut Place<'_>, node: &Node, unit: &str) -> Result<i32> {
    let name = full_name(unit);
    let Some(runs) = lives(node, unit) else {
        return place.refuse(4, &format!("Unit {name} could not be found."));
    };
    writeln!(place.out, "● {name} - {}", description(unit))?;
    writeln!(
        place.out,
        "   Loaded: loaded (/etc/systemd/system/{name}; enabled; vendor preset: enabled)"
    )?;
    let Some(run) = is_alive(runs) else {
        writeln!(place.out, "   Active: inactive (dead)")?;
        return Ok(3);
    };
    writeln!(
        place.out,
        "   Active: active (running) since {}",
        stamp(run.from)
    )?;
    writeln!(place.out, " Main PID: {} (hab)", run.pid)?;
    Ok(0)
}

/// Stops, starts or both; a restart also ends the trouble that it is the cure of.
fn change(place: &mut Place<'_>, verb: &str, unit: &str) -> Result<i32> {
    if !place.root {
        let words = format!(
            "Failed to {verb} {unit}.service: Interactive authentication required.\nSee system logs and 'systemctl status {unit}.service' for details."
        );
        return place.refuse(1, &words);
    }
    let node = place.node()?;
    if lives(&node, unit).is_none() {
        return place.refuse(
            5,
            &format!("Failed to {verb} {0}: Unit {0} not found.", full_name(unit)),
        );
    }
    if unit.starts_with(SENTINEL) {
        Node::change(place.dir, |node| node.turn_sentinel(verb))?;
        return Ok(0);
    }
    if verb != "start" {
        Node::change(place.dir, Node::stop_supervisor)?;
        std::thread::sleep(JOB_TAKES);
    }
    if verb != "stop" {
        Node::change(place.dir, Node::start_supervisor)?;
        cure(place)?;
    }
    Ok(0)
}

/// Ends the trouble that a restart here is the cure of, unless restarts do not help here.
pub(super) fn cure(place: &mut Place<'_>) -> Result<()> {
    let node = place.node()?;
    for cured in node.cures.iter().filter(|_| !node.is(Quirk::Stubborn)) {
        if let Some(dir) = place.dir.parent().map(|nodes| nodes.join(cured)) {
            Node::change(&dir, |cured| {
                cured.calm(|kind| kind.is_cured_by(&node.role));
            })?;
        }
    }
    Ok(())
}

/// A time as systemd writes it: `Thu 2017-11-16 00:35:46 UTC`.
pub(super) fn stamp(time: i64) -> String {
    Timestamp::from_microsecond(time)
        .map(|time| time.strftime("%a %Y-%m-%d %H:%M:%S UTC").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::state::TroubleKind;
    use super::super::tests_support::Fleet;

    fn property(fleet: &Fleet, node: &str, name: &str) -> String {
        let (code, out, _) = fleet.run(node, &format!("systemctl show hab-sup -p {name}"));
        assert_eq!(code, 0);
        out
    }

    #[test]
    fn an_old_systemd_has_no_invocation_id() {
        let fleet = Fleet::new();
        assert_eq!(property(&fleet, "live-builder-api-0", "InvocationID"), "");
        assert_eq!(
            property(&fleet, "live-builder-jobsrv-0", "InvocationID")
                .trim()
                .len(),
            "InvocationID=".len() + 32
        );
        let (code, _, err) = fleet.run("live-builder-api-0", "systemctl show hab-sup --value");
        assert_eq!(
            (code, err.as_str()),
            (1, "systemctl: unrecognized option '--value'\n")
        );
    }

    #[test]
    fn properties_come_in_systemds_order() {
        let fleet = Fleet::new();
        let (_, out, _) = fleet.run(
            "live-builder-api-0",
            "systemctl show hab-sup -p SubState,ActiveState --property=MainPID",
        );
        let names: Vec<&str> = out
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["MainPID", "ActiveState", "SubState"]);
    }

    #[test]
    fn a_restart_makes_a_new_life_and_new_processes() {
        let fleet = Fleet::new();
        let node = "live-builder-jobsrv-0";
        let before = fleet.node(node);
        assert_eq!(
            fleet.run(node, "sudo -n systemctl restart hab-sup"),
            (0, String::new(), String::new())
        );
        let after = fleet.node(node);
        let (old, new) = (before.running().unwrap(), after.running().unwrap());
        assert!(new.pid != old.pid && new.invocation != old.invocation && new.from > old.from);
        let now = after.now();
        assert_eq!(after.services[0].at(now).unwrap().pid, None, "not up yet");
        let later = now + super::super::super::supervisor::CHANGE_TAKES;
        let pid = after.services[0].at(later).unwrap().pid;
        assert!(pid.is_some() && pid != before.services[0].steps[0].pid);
        let (_, journal, _) = fleet.run(node, "journalctl -u hab-sup -o cat -n 30 --no-pager");
        assert!(
            journal.contains("Stopped Habitat Supervisor.")
                && journal.contains("Started Habitat Supervisor.")
        );
    }

    #[test]
    fn a_restart_cures_what_it_is_the_cure_of_and_nothing_else() {
        let fleet = Fleet::new();
        let (api, router, jobsrv) = (
            "live-builder-api-0",
            "live-builder-router-0",
            "live-builder-jobsrv-0",
        );
        fleet.change(api, |node| node.trouble(TroubleKind::Timeout, true));
        fleet.change(router, |node| node.trouble(TroubleKind::NoShard, true));
        fleet.run(router, "sudo -n systemctl restart hab-sup");
        assert!(
            fleet.node(router).troubled(TroubleKind::NoShard),
            "the router is not where it comes from"
        );
        fleet.run(jobsrv, "sudo -n systemctl restart hab-sup");
        assert!(!fleet.node(router).troubled(TroubleKind::NoShard));
        assert!(fleet.node(api).troubled(TroubleKind::Timeout));
        fleet.run(api, "sudo -n systemctl restart hab-sup");
        assert!(!fleet.node(api).troubled(TroubleKind::Timeout));
    }

    #[test]
    fn changing_needs_root_and_a_unit_that_exists() {
        let fleet = Fleet::new();
        assert_eq!(
            fleet
                .run("live-builder-api-0", "systemctl restart hab-sup")
                .0,
            1
        );
        assert_eq!(
            fleet
                .run("live-builder-api-0", "sudo -n systemctl restart nope")
                .0,
            5
        );
        assert_eq!(
            fleet.run("live-builder-api-0", "systemctl is-active nope"),
            (3, "inactive\n".into(), String::new())
        );
    }
}
