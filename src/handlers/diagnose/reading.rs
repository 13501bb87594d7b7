//! One node's journal, filtered on the node to what a known issue could be, and counted.

use std::time::Duration;

use jiff::Timestamp;

use super::super::{Look, hosts};
use crate::{
    clients::ssh::{Command, Host},
    domain::{
        ids::NodeRole,
        known_issue::{KnownIssues, Sighting, Tally},
        output::HostState,
    },
};

/// Of so many matching lines at most are read from a node: the newest.
pub(super) const MOST_LINES: usize = 4_000;
/// Longest a node may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of so many bytes.
const MOST_OUTPUT: usize = 2 * 1024 * 1024;

/// What a node's journal said.
pub(super) enum Read<'a> {
    /// These issues; whether lines were left out.
    Searched { found: Vec<Sighting<'a>>, cut: bool },
    /// Nothing, for this reason.
    Unread { state: HostState, said: String },
}

impl Read<'_> {
    /// Whether it was tried in vain.
    pub(super) fn failed(&self) -> bool {
        matches!(self, Self::Unread { state, .. } if *state != HostState::Skipped)
    }
}

/// `grep` on the node, so that a journalctl without `--grep` serves as well.
const SCRIPT: &str = r#"journalctl -q --no-pager --utc -o short-iso -u "$1" --since "$2" | grep -E -e "$3" | tail -n "$4""#;

/// What is run on a node of that role; absent where no issue is known for it.
pub(super) fn command(known: &KnownIssues, role: &NodeRole, since: Timestamp) -> Option<Command> {
    let filter = known.filter(role)?;
    let words = [
        "hab-sup".to_owned(),
        format!("@{}", since.as_second()),
        filter,
        MOST_LINES.to_string(),
    ];
    Some(
        Command::script(SCRIPT, words)
            .limit(MOST_OUTPUT)
            .timeout(PATIENCE),
    )
}

/// Reads one node's.
pub(super) async fn read<'a>(look: &'a Look, host: &Host, since: Timestamp) -> Read<'a> {
    let unread = |state, said| Read::Unread { state, said };
    let Some(node) = look
        .asked
        .nodes
        .iter()
        .find(|node| node.name.as_str() == host.name)
    else {
        return unread(HostState::Skipped, "not asked for".to_owned());
    };
    if let Some(why) = hosts::not_running(node) {
        return unread(HostState::Skipped, why);
    }
    let known = look.commands.known_issues();
    let Some(command) = command(known, &node.role, since) else {
        return unread(
            HostState::Skipped,
            format!("no issue is known for {}", node.role),
        );
    };
    let answer = match look.clients.ssh.run(host, &command).await {
        Ok(answer) => answer,
        Err(error) => {
            let (state, said) = hosts::unanswered(&error);
            return unread(state, said);
        }
    };
    let (text, complaint) = (answer.text(), answer.complaint());
    if let Some(why) = complaint.lines().find(|line| !line.trim().is_empty())
        && text.is_empty()
    {
        return unread(HostState::Failed, format!("journalctl: {}", why.trim()));
    }
    let mut tally = Tally::new(known, &node.role);
    let mut lines = 0;
    for (at, line) in text.lines().filter_map(stamped) {
        lines += 1;
        tally.line(at, line);
    }
    Read::Searched {
        found: tally.found(),
        cut: answer.cut || lines >= MOST_LINES,
    }
}

/// `2017-11-16T00:35:46+0000 ip-10-0-0-147 hab[40751]: …`
fn stamped(line: &str) -> Option<(Timestamp, &str)> {
    let (time, _) = line.split_once(' ')?;
    let at = Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", time).ok()?;
    Some((at, line))
}
