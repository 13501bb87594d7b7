//! `hab` on a node: `sup status` in the format of the node's era, `svc start|stop`, and airlock's one use.

use std::fmt::Write as _;

use anyhow::Result;

use super::super::state::{Interface, Node, SECOND, Service, StatusFormat};
use super::super::supervisor::CHANGE_TAKES;
use super::Place;

pub(super) fn run(place: &mut Place<'_>, args: &[String]) -> Result<i32> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["sup" | "svc", "status"] => status(place, None),
        ["sup" | "svc", "status", ident] if !ident.starts_with('-') => status(place, Some(ident)),
        ["sup" | "svc", verb @ ("start" | "stop"), ident] if !ident.starts_with('-') => change(place, verb, ident),
        ["pkg", "exec", "core/airlock" | "habitat/airlock", "airlock", "netns", "destroy", "--ns-dir", dir] => {
            destroy(place, dir)
        }
        ["--version" | "-V"] => {
            let version = match place.node()?.status_format {
                StatusFormat::A => "0.39.1/20171118011634",
                StatusFormat::B => "0.50.3/20171201011502",
                StatusFormat::C => "0.56.0/20180530234036",
                StatusFormat::D => "0.60.0/20180730221515",
            };
            writeln!(place.out, "hab {version}")?;
            Ok(0)
        }
        ["pkg", "exec", package, ..] => {
            let words = format!("✗✗✗\n✗✗✗ Cannot find package: {package}\n✗✗✗");
            place.refuse(1, &words)
        }
        [group @ ("sup" | "svc" | "pkg"), other, ..] => {
            let words = format!(
                "error: The subcommand '{other}' wasn't recognized\n\nUSAGE:\n    hab {group} [SUBCOMMAND]\n\nFor more information try --help"
            );
            place.refuse(1, &words)
        }
        _ => place.refuse(1, "hab: The Habitat CLI\n\nUSAGE:\n    hab [SUBCOMMAND]\n\nFor more information try --help"),
    }
}

fn status(place: &mut Place<'_>, ident: Option<&str>) -> Result<i32> {
    let node = place.node()?;
    if node.running().is_none() {
        return place.refuse(3, "The Supervisor is not running.");
    }
    let services: Vec<&Service> = node
        .services
        .iter()
        .filter(|service| ident.is_none_or(|ident| is(&service.ident, ident)))
        .collect();
    if services.is_empty() {
        if let Some(ident) = ident {
            return place.refuse(2, &format!("{ident} is not currently loaded."));
        }
        writeln!(place.out, "No services loaded.")?;
        return Ok(0);
    }
    let text = if node.status_format == StatusFormat::A {
        lines(&node, &services)
    } else {
        table(&node, &services)
    };
    place.out.write_all(text.as_bytes())?;
    Ok(0)
}

/// Format A: `core/x/1/2 (standalone), state:up, time:PT238.002019600S, pid:539, group:x.live, style:persistent`.
fn lines(node: &Node, services: &[&Service]) -> String {
    let now = node.now();
    let mut text = String::new();
    for service in services {
        let (pid, since) = service.standing(now);
        let elapsed = now - since;
        let (seconds, rest) = (elapsed / SECOND, elapsed % SECOND);
        let state = if pid.is_some() { "up" } else { "down" };
        let pid = pid.map(|pid| format!(", pid:{pid}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "{} (standalone), state:{state}, time:PT{seconds}.{:09}S{pid}, group:{}, style:persistent",
            service.ident,
            rest * 1000,
            service.group
        );
    }
    text
}

/// Formats B, C and D: columns as wide as their widest cell and two spaces.
fn table(node: &Node, services: &[&Service]) -> String {
    let now = node.now();
    let head: &[&str] = match node.status_format {
        StatusFormat::C => &["package", "type", "state", "elapsed (s)", "pid", "group"],
        StatusFormat::D => &[
            "package",
            "type",
            "desired",
            "state",
            "elapsed (s)",
            "pid",
            "group",
        ],
        StatusFormat::A | StatusFormat::B => &[
            "package",
            "type",
            "state",
            "uptime (s)",
            "pid",
            "group",
            "style",
        ],
    };
    let mut rows = vec![head.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>()];
    for service in services {
        let (pid, since) = service.standing(now);
        let state = if pid.is_some() { "up" } else { "down" };
        let elapsed = ((now - since) / SECOND).to_string();
        let mut row = vec![service.ident.clone(), "standalone".into()];
        if node.status_format == StatusFormat::D {
            row.push(if service.wanted { "up" } else { "down" }.into());
        }
        row.extend([state.into(), elapsed]);
        row.push(match (pid, node.status_format) {
            (Some(pid), _) => pid.to_string(),
            (None, StatusFormat::C) => "0".into(),
            (None, _) => "<none>".into(),
        });
        row.push(service.group.clone());
        if node.status_format == StatusFormat::B {
            row.push("persistent".into());
        }
        rows.push(row);
    }
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let last = row.len() - 1;
        for (column, cell) in row.iter().enumerate() {
            if column == last {
                let _ = writeln!(text, "{cell}");
            } else {
                let _ = write!(text, "{cell:width$}", width = widths[column] + 2);
            }
        }
    }
    text
}

/// Whether an ident of one to four words names this package.
fn is(full: &str, ident: &str) -> bool {
    full == ident
        || full
            .strip_prefix(ident)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// Writes the wish down and returns at once, as in 2017: the Supervisor follows, and nobody says when.
fn change(place: &mut Place<'_>, verb: &str, ident: &str) -> Result<i32> {
    if !place.root {
        return place.refuse(1, "✗✗✗\n✗✗✗ Permission denied (os error 13)\n✗✗✗");
    }
    let up = verb == "start";
    let found = Node::change(place.dir, |node| wish(node, ident, up))?;
    if up && found.is_some() {
        super::systemctl::cure(place)?;
    }
    match (found, up) {
        (Some(ident), true) => {
            writeln!(
                place.out,
                "hab-sup(MN): Supervisor starting {ident}. See the Supervisor output for more details."
            )?;
            Ok(0)
        }
        (Some(ident), false) => {
            writeln!(
                place.out,
                "hab-sup(MN): Supervisor stopping {ident}. See the Supervisor output for more details."
            )?;
            Ok(0)
        }
        (None, false) => Ok(0),
        (None, true) => place.refuse(
            1,
            &format!("hab-sup(ER)[src/error.rs:463:8]: Cannot find package: {ident}"),
        ),
    }
}

fn wish(node: &mut Node, ident: &str, up: bool) -> Option<String> {
    let now = node.now();
    let index = node
        .services
        .iter()
        .position(|service| is(&service.ident, ident))?;
    node.services[index].wanted = up;
    let is_up = node.services[index]
        .at(now)
        .is_some_and(|step| step.pid.is_some());
    if let Some(supervisor) = node.running().map(|run| run.pid)
        && is_up != up
    {
        let at = now + CHANGE_TAKES;
        if up {
            node.start_service(index, at, supervisor);
        } else {
            node.stop_service(index, at, supervisor);
        }
    }
    Some(node.services[index].ident.clone())
}

fn destroy(place: &mut Place<'_>, dir: &str) -> Result<i32> {
    if !place.root {
        return place.refuse(1, "airlock: Operation not permitted (os error 1)");
    }
    let done = Node::change(place.dir, |node| {
        let there = matches!(node.interface, Interface::Namespace | Interface::Lost)
            && dir == super::network::NAMESPACE;
        if there {
            node.interface = Interface::Host;
        }
        there
    })?;
    if !done {
        return place.refuse(
            1,
            &format!("airlock: namespace directory {dir} does not exist"),
        );
    }
    writeln!(place.out, "Network namespace destroyed: {dir}")?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::Fleet;
    use super::*;

    #[test]
    fn each_era_has_its_format() {
        let fleet = Fleet::new();
        let a = fleet
            .run("live-builder-originsrv-0", "sudo -n hab sup status")
            .1;
        let pattern = r"^core/builder-originsrv/6044/20171115193120 \(standalone\), state:up, time:PT\d+\.\d{9}S, pid:\d+, group:builder-originsrv\.live, style:persistent\n$";
        assert!(regex::Regex::new(pattern).unwrap().is_match(&a), "{a}");

        let heads = [
            (
                "live-builder-api-0",
                vec![
                    "package",
                    "type",
                    "state",
                    "uptime (s)",
                    "pid",
                    "group",
                    "style",
                ],
            ),
            (
                "live-builder-sessionsrv-0",
                vec!["package", "type", "state", "elapsed (s)", "pid", "group"],
            ),
            (
                "acceptance-builder-api-0",
                vec![
                    "package",
                    "type",
                    "desired",
                    "state",
                    "elapsed (s)",
                    "pid",
                    "group",
                ],
            ),
        ];
        let gap = regex::Regex::new(" {2,}").unwrap();
        for (node, head) in heads {
            let text = fleet.run(node, "sudo -n hab sup status").1;
            let rows: Vec<Vec<&str>> = text.lines().map(|line| gap.split(line).collect()).collect();
            assert_eq!(rows[0], head);
            assert!(rows.iter().all(|row| row.len() == head.len()), "{text}");
        }
    }

    #[test]
    fn the_two_refusals_have_their_exit_codes() {
        let fleet = Fleet::new();
        let (code, out, err) = fleet.run("live-builder-api-0", "sudo -n hab sup status core/redis");
        assert_eq!(
            (code, out.as_str(), err.as_str()),
            (2, "", "core/redis is not currently loaded.\n")
        );
        fleet.run("live-builder-api-0", "sudo -n systemctl stop hab-sup");
        let (code, _, err) = fleet.run("live-builder-api-0", "sudo -n hab sup status");
        assert_eq!(
            (code, err.as_str()),
            (3, "The Supervisor is not running.\n")
        );
    }

    #[test]
    fn a_stopped_service_goes_down_a_moment_later() {
        let fleet = Fleet::new();
        let (code, _, _) = fleet.run(
            "live-builder-api-0",
            "sudo -n hab svc stop core/builder-api",
        );
        assert_eq!(code, 0);
        let node = fleet.node("live-builder-api-0");
        let now = node.now();
        assert!(
            node.services[0].at(now).unwrap().pid.is_some(),
            "still up just after the wish"
        );
        assert_eq!(node.services[0].at(now + CHANGE_TAKES).unwrap().pid, None);
        assert!(
            node.services[1]
                .at(now + CHANGE_TAKES)
                .unwrap()
                .pid
                .is_some(),
            "the other service stays"
        );
    }

    #[test]
    fn an_unknown_service_is_stopped_in_silence_and_not_started() {
        let fleet = Fleet::new();
        assert_eq!(
            fleet.run("live-builder-api-0", "sudo -n hab svc stop core/nope"),
            (0, String::new(), String::new())
        );
        assert_eq!(
            fleet
                .run("live-builder-api-0", "sudo -n hab svc start core/nope")
                .0,
            1
        );
    }

    #[test]
    fn an_ident_names_whole_words_only() {
        assert!(is("core/builder-api/6048/2017", "core/builder-api"));
        assert!(!is("core/builder-api-proxy/6021/2017", "core/builder-api"));
    }
}
