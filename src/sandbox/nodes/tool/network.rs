//! `ip` and `nsenter` on a node, and `test -d` of the build namespace: what the airlock probe asks a worker.

use anyhow::Result;

use super::super::state::{Interface, Node};
use super::Place;

/// Where a worker keeps its build namespace.
pub(super) const NAMESPACE: &str = "/hab/svc/builder-worker/data/network/airlock-ns";

pub(super) fn run(place: &mut Place<'_>, name: &str, args: &[String]) -> Result<i32> {
    let node = place.node()?;
    if name == "ip" {
        return ip(place, &node, args, false);
    }
    let command = args
        .iter()
        .position(|word| !word.starts_with('-'))
        .unwrap_or(args.len());
    let (options, command) = args.split_at(command);
    if !place.root {
        return place.refuse(
            1,
            &format!("nsenter: cannot open {NAMESPACE}/userns: Permission denied"),
        );
    }
    for option in options {
        let path = option.split_once('=').map_or("", |(_, path)| path);
        if !path.starts_with(NAMESPACE) || !has_namespace(&node) {
            return place.refuse(
                1,
                &format!("nsenter: cannot open {path}: No such file or directory"),
            );
        }
    }
    match command {
        [program, arguments @ ..] if program == "ip" => ip(place, &node, arguments, true),
        [program, ..] => place.refuse(
            127,
            &format!("nsenter: failed to execute {program}: No such file or directory"),
        ),
        [] => place.refuse(1, "nsenter: no command given"),
    }
}

/// `test -d` of something in the build namespace's directory.
pub(super) fn test(place: &mut Place<'_>, args: &[String]) -> Result<i32> {
    let node = place.node()?;
    let there = match args {
        [flag, path] if path == NAMESPACE => {
            matches!(flag.as_str(), "-d" | "-e") && has_namespace(&node)
        }
        [flag, path] if path.starts_with(NAMESPACE) => {
            matches!(flag.as_str(), "-f" | "-e") && has_namespace(&node)
        }
        _ => false,
    };
    Ok(i32::from(!there))
}

fn has_namespace(node: &Node) -> bool {
    matches!(node.interface, Interface::Namespace | Interface::Lost)
}

fn ip(place: &mut Place<'_>, node: &Node, args: &[String], inside: bool) -> Result<i32> {
    let words: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let device = match words.as_slice() {
        ["address" | "addr" | "a", "show", "dev", device]
        | ["address" | "addr" | "a", "show", device] => Some(*device),
        ["address" | "addr" | "a"] | ["address" | "addr" | "a", "show"] => None,
        _ => {
            return place.refuse(
                255,
                "Command line is not understood, try \"ip address show dev DEVICE\".",
            );
        }
    };
    let mut there = vec!["lo"];
    if !inside {
        there.push("ens3");
    }
    let holds = if inside {
        Interface::Namespace
    } else {
        Interface::Host
    };
    if node.interface == holds {
        there.push("ens4");
    }
    if let Some(device) = device {
        if !there.contains(&device) {
            return place.refuse(1, &format!("Device \"{device}\" does not exist."));
        }
        there.retain(|known| *known == device);
    }
    for (number, device) in there.iter().enumerate() {
        let number = number + 1;
        let last = node.host.rsplit('-').next().unwrap_or("9");
        let third = i32::from(node.environment != "live");
        let (kind, address) = match *device {
            "lo" => ("LOOPBACK,UP,LOWER_UP", "127.0.0.1/8".to_owned()),
            "ens3" => (
                "BROADCAST,MULTICAST,UP,LOWER_UP",
                format!("10.0.{third}.{last}/24"),
            ),
            _ => (
                "BROADCAST,MULTICAST,UP,LOWER_UP",
                format!("10.0.{}.{last}/24", third + 2),
            ),
        };
        writeln!(
            place.out,
            "{number}: {device}: <{kind}> mtu 9001 qdisc mq state UP group default qlen 1000"
        )?;
        writeln!(place.out, "    inet {address} scope global {device}")?;
        writeln!(place.out, "       valid_lft forever preferred_lft forever")?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::Fleet;
    use super::NAMESPACE;

    fn probe(fleet: &Fleet, node: &str) -> (i32, i32, i32) {
        let inside = format!("--user={NAMESPACE}/userns --net={NAMESPACE}/netns");
        (
            fleet.run(node, &format!("sudo -n test -d {NAMESPACE}")).0,
            fleet
                .run(
                    node,
                    &format!("sudo -n nsenter {inside} ip address show dev ens4"),
                )
                .0,
            fleet.run(node, "sudo -n ip address show dev ens4").0,
        )
    }

    #[test]
    fn the_workers_give_three_verdicts() {
        let fleet = Fleet::new();
        assert_eq!(
            probe(&fleet, "live-builder-worker-0"),
            (0, 0, 1),
            "as it should be"
        );
        assert_eq!(
            probe(&fleet, "live-builder-worker-2"),
            (0, 1, 1),
            "a namespace without its interface"
        );
        assert_eq!(
            probe(&fleet, "acceptance-builder-worker-0"),
            (1, 1, 0),
            "not booted up"
        );
    }

    #[test]
    fn the_two_remedies_bring_the_interface_back() {
        let fleet = Fleet::new();
        let worker = "live-builder-worker-2";
        let destroy =
            format!("sudo -n hab pkg exec core/airlock airlock netns destroy --ns-dir {NAMESPACE}");
        assert_eq!(fleet.run(worker, &destroy).0, 0);
        assert_eq!(probe(&fleet, worker), (1, 1, 0));
        assert_eq!(fleet.run(worker, "sudo -n systemctl restart hab-sup").0, 0);
        assert_eq!(probe(&fleet, worker), (0, 0, 1));
        assert!(fleet.run(worker, &destroy).1.contains("destroyed"));
    }
}
