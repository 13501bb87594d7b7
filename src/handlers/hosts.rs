//! What a person would type for a node, and how one that did not answer stands in its row.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    clients::ssh::{Command, Error, Host, Phase},
    domain::{
        node::{Fleet, Node},
        output::HostState,
    },
};

/// How many nodes that are still waited for are named.
const MOST_NAMED: usize = 3;

/// What came of each host, filled in as they answer.
pub struct Awaited<'a, T> {
    hosts: &'a [Host],
    answers: Vec<Option<T>>,
}

impl<'a, T> Awaited<'a, T> {
    /// Nobody has answered yet.
    pub fn of(hosts: &'a [Host]) -> Self {
        Self {
            hosts,
            answers: hosts.iter().map(|_| None).collect(),
        }
    }

    /// The host at that place has answered.
    pub fn answered(&mut self, at: usize, answer: T) {
        self.answers[at] = Some(answer);
    }

    /// What is there so far, in the order of the hosts.
    pub fn so_far(&self) -> impl Iterator<Item = &T> {
        self.answers.iter().flatten()
    }

    /// `17 of 18 nodes have answered; waiting for live-builder-api-0`: the last ones by name, for whoever wonders what hangs.
    pub fn standing(&self) -> String {
        let all = self.hosts.len();
        let hosts = self.hosts.iter().zip(&self.answers);
        let waits: Vec<&str> = hosts
            .filter(|(_, answer)| answer.is_none())
            .map(|(host, _)| host.name.as_str())
            .collect();
        let standing = format!("{} of {all} nodes have answered", all - waits.len());
        if waits.is_empty() || waits.len() > MOST_NAMED {
            return standing;
        }
        format!("{standing}; waiting for {}", waits.join(", "))
    }

    /// All answers, in the order of the hosts.
    pub fn all(self) -> Vec<T> {
        self.answers.into_iter().flatten().collect()
    }
}

/// `ssh live-builder-api-0 'sudo -n hab sup status'`; nothing where the command cannot be quoted.
pub fn by_hand(node: &Node, command: &Command) -> Option<String> {
    by_hand_piped(node, std::slice::from_ref(command))
}

/// The same for commands that read each other's output.
pub fn by_hand_piped(node: &Node, commands: &[Command]) -> Option<String> {
    let line = piped(commands)?;
    let quoted = shlex::try_quote(&line).ok()?.into_owned();
    Some(format!("ssh {} {quoted}", node.name))
}

/// `journalctl -u hab-sup | grep -e ERROR`.
pub fn piped(commands: &[Command]) -> Option<String> {
    let lines: Result<Vec<String>, Error> = commands.iter().map(Command::by_hand).collect();
    Some(lines.ok()?.join(" | "))
}

/// Why the list of nodes may be wrong, and how old it is; nothing where EC2 was read.
pub fn stale(fleet: &Fleet, now: Timestamp) -> Option<String> {
    let why = fleet.stale.as_ref()?;
    let age = |at: Timestamp| {
        let seconds = now.duration_since(at).as_secs();
        let old = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        format!(
            " The list is {} old, from {}.",
            humantime::format_duration(old),
            at.strftime("%Y-%m-%d %H:%M:%S UTC")
        )
    };
    let age = fleet.read_at.map(age).unwrap_or_default();
    Some(format!("EC2 cannot be read: {why}.{age}"))
}

/// Why a node need not be asked: EC2 says that it does not run.
pub fn not_running(node: &Node) -> Option<String> {
    let ec2 = node.ec2.as_ref().filter(|_| !node.is_running())?;
    Some(format!("{} in EC2", ec2.state))
}

/// How a node that did not answer stands in its row, and the shortest true line: the row names the node already.
pub fn unanswered(error: &Error) -> (HostState, String) {
    let state = if error.is_unreachable() || error.is_host_key() {
        HostState::Unreachable
    } else {
        HostState::Failed
    };
    let said = match error {
        Error::Timeout {
            phase: Phase::Connect,
            after,
            ..
        } => {
            format!(
                "no answer within {}; is it running, and is its SSH port open from here?",
                humantime::format_duration(*after)
            )
        }
        Error::Timeout {
            phase: Phase::Run,
            after,
            ..
        } => format!(
            "did not finish within {}",
            humantime::format_duration(*after)
        ),
        Error::Unreachable { reason, .. } => format!("cannot be reached: {reason}"),
        Error::HostKeyUnknown { name, offered, .. } => {
            format!(
                "host key unknown: offers {}; compare it, then `habops trust {name}`",
                offered.fingerprint()
            )
        }
        Error::HostKeyChanged { name, offered, .. } => {
            format!(
                "host key changed: offers {}; compare it, then `habops trust {name}`",
                offered.fingerprint()
            )
        }
        other => other.to_string(),
    };
    (state, said)
}
