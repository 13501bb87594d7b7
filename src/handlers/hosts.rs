//! What a person would type for a node, and how one that did not answer stands in its row.

use crate::{
    clients::ssh::{Command, Error, Phase},
    domain::{node::Node, output::HostState},
};

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

/// Why a node need not be asked: EC2 says that it does not run.
pub fn not_running(node: &Node) -> Option<String> {
    let state = &node.ec2.as_ref()?.state;
    (state != "running").then(|| format!("{state} in EC2"))
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
