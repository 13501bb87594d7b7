//! How a node's Supervisor and its services are: one small script, read into values.

use std::{collections::BTreeMap, time::Duration};

use super::host;
use crate::{
    clients::ssh::{Command, End},
    domain::{
        node::Node,
        output::HostState,
        supervisor::{self, Report, Service},
    },
    handlers::{Look, hosts, parts::Parts},
};

/// How a node is.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its unit.
    pub unit: Unit,
    /// What is loaded, or why that cannot be told.
    pub loaded: Result<Vec<Service>, String>,
    /// The node's own clock, in seconds since 1970.
    pub clock: i64,
}

/// The unit `hab-sup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// systemd's word: `active`, `inactive`, `failed` …
    pub state: String,
    /// Its process, while it has one.
    pub pid: Option<u32>,
    /// When that process started, as systemd writes it.
    pub started: String,
    /// systemd's id of this activation; absent before 232.
    pub invocation: Option<String>,
}

impl Unit {
    /// Whether it runs.
    pub fn is_active(&self) -> bool {
        self.state == "active"
    }

    /// Whether it is the same activation.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.invocation, &other.invocation) {
            (Some(one), Some(other)) => one == other,
            _ => (self.pid, &self.started) == (other.pid, &other.started),
        }
    }
}

impl Reading {
    /// The loaded services; none where they cannot be told.
    pub fn services(&self) -> &[Service] {
        self.loaded.as_deref().unwrap_or_default()
    }
}

/// Longest the node may take: `hab` on a busy node takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// A unit and a service list are a few KiB.
const MOST_OUTPUT: usize = 64 * 1024;

const SCRIPT: &str = r#"LC_ALL=C; export LC_ALL
part() { printf '\n@@%s\n' "$1"; shift; "$@" 2>&1; printf '\n@exit %s\n' "$?"; }
part unit systemctl show hab-sup -p ActiveState -p MainPID -p ExecMainStartTimestamp -p InvocationID
part services sudo -n hab sup status
part date date -u +%s
"#;

/// Reads how a node is; or how it stands in its row, and why.
pub async fn read(look: &Look, node: &Node) -> Result<Reading, (HostState, String)> {
    if let Some(ec2) = node.ec2.as_ref().filter(|ec2| ec2.state != "running") {
        return Err((HostState::Skipped, format!("{} in EC2", ec2.state)));
    }
    let command = Command::script(SCRIPT, std::iter::empty::<String>())
        .limit(MOST_OUTPUT)
        .timeout(PATIENCE);
    let answer = look.clients.ssh.run(&host(node), &command).await;
    let answer = answer.map_err(|error| hosts::unanswered(&error))?;
    if answer.end != End::Exit(0) {
        let why = "the connection closed before it had answered".to_owned();
        return Err((HostState::Unreachable, why));
    }
    of(&answer.text()).map_err(|why| (HostState::Failed, why))
}

fn of(text: &str) -> Result<Reading, String> {
    let parts = Parts::of(text);
    let unit = parts
        .well("unit")
        .map_err(|why| format!("systemctl does not answer: {why}"))?;
    let fields: BTreeMap<&str, &str> = unit
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let field = |name: &str| fields.get(name).map(|value| (*value).to_owned());
    Ok(Reading {
        unit: Unit {
            state: field("ActiveState").ok_or("systemctl knows no unit hab-sup")?,
            pid: fields
                .get("MainPID")
                .and_then(|pid| pid.parse().ok())
                .filter(|pid| *pid > 0),
            started: field("ExecMainStartTimestamp").unwrap_or_default(),
            invocation: field("InvocationID"),
        },
        loaded: loaded(&parts),
        clock: parts
            .well("date")
            .ok()
            .and_then(|seconds| seconds.parse().ok())
            .ok_or("the node does not tell the time")?,
    })
}

fn loaded(parts: &Parts) -> Result<Vec<Service>, String> {
    let (text, exit) = parts.get("services").ok_or("no answer about services")?;
    match supervisor::read(text, exit) {
        Report::Services(services) => Ok(services),
        Report::Nothing => Ok(Vec::new()),
        Report::NotRunning => Err("the Supervisor is not running".to_owned()),
        Report::NotLoaded | Report::Unknown(_) => Err(format!(
            "hab sup status: {}",
            crate::handlers::parts::reason(text, exit)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    fn text(unit: &str, services: &str, exit: u32) -> String {
        format!(
            "\n@@unit\n{unit}\n@exit 0\n\n@@services\n{services}\n@exit {exit}\n\n@@date\n1510792546\n@exit 0\n"
        )
    }

    #[test]
    fn an_old_systemd_tells_activations_apart_by_start_and_process() {
        let unit = |pid: u32, started: &str| {
            let unit =
                format!("MainPID={pid}\nExecMainStartTimestamp={started}\nActiveState=active\n");
            of(&text(&unit, "No services loaded.", 0)).unwrap().unit
        };
        let one = unit(812, "Thu 2017-11-16 00:35:46 UTC");
        assert!(one.is_active() && one.is_same(&one.clone()));
        assert!(!one.is_same(&unit(813, "Thu 2017-11-16 00:35:46 UTC")));
        assert!(!one.is_same(&unit(812, "Thu 2017-11-16 00:35:47 UTC")));
    }

    #[test]
    fn a_supervisor_that_does_not_run_is_read_all_the_same() {
        let unit = "MainPID=0\nExecMainStartTimestamp=Thu 2017-11-16 00:35:46 UTC\nActiveState=inactive\nInvocationID=";
        let reading = of(&text(unit, "The Supervisor is not running.", 3)).unwrap();
        assert_eq!((reading.unit.pid, reading.unit.is_active()), (None, false));
        assert_eq!(reading.loaded.unwrap_err(), "the Supervisor is not running");
        assert_eq!(reading.clock, 1_510_792_546);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let reading = of(&text(
            "ActiveState=active",
            "sudo: a password is required",
            1,
        ))
        .unwrap();
        assert_eq!(reading.loaded.unwrap_err(), "hab sup status: sudo refused");
        assert!(of("\n@@unit\nsystemctl: not found\n@exit 127\n").is_err());
    }
}
