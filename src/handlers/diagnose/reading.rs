//! One node's journal, filtered on the node to what a known issue could be, and counted.

use jiff::Timestamp;

use super::super::{
    Look, hosts,
    journal::{self, Query},
};
use crate::{
    clients::ssh::Host,
    domain::{
        ids::NodeRole,
        known_issue::{KnownIssues, Sighting, Tally},
        output::HostState,
    },
};

/// Of so many matching lines at most are read from a node: the newest.
const MOST_LINES: usize = 4_000;
/// Bytes of messages of all nodes together, and the least of one node however many there are.
const ALL_BYTES: usize = 32 * 1024 * 1024;
const LEAST_BYTES: usize = 256 * 1024;
/// And the most.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// What a node's journal said.
pub(super) enum Read<'a> {
    /// These issues; and what was not read, and why.
    Searched {
        found: Vec<Sighting<'a>>,
        left: Option<String>,
    },
    /// Nothing, for this reason.
    Unread { state: HostState, said: String },
}

impl Read<'_> {
    /// Whether it was tried in vain.
    pub(super) fn failed(&self) -> bool {
        matches!(self, Self::Unread { state, .. } if *state != HostState::Skipped)
    }
}

/// What is asked of a node of that role, one of so many; absent where no issue is known for it.
pub(super) fn query(
    known: &KnownIssues,
    role: &NodeRole,
    since: Timestamp,
    nodes: usize,
) -> Result<Option<Query>, String> {
    let pattern = known.filter(role, &[])?;
    Ok(pattern.map(|pattern| Query {
        since: Some(since),
        pattern: Some(pattern),
        bytes: (ALL_BYTES / nodes.max(1)).clamp(LEAST_BYTES, MOST_BYTES),
        ..Query::newest(MOST_LINES)
    }))
}

/// Reads one node's.
pub(super) async fn read<'a>(look: &'a Look, host: &Host, since: Timestamp) -> Read<'a> {
    let unread = |state, said| Read::Unread { state, said };
    let nodes = &look.asked.nodes;
    let Some(node) = nodes.iter().find(|node| node.name.as_str() == host.name) else {
        return unread(HostState::Skipped, "not asked for".to_owned());
    };
    if let Some(why) = hosts::not_running(node) {
        return unread(HostState::Skipped, why);
    }
    let known = look.commands.known_issues();
    let query = match query(known, &node.role, since, nodes.len()) {
        Ok(Some(query)) => query,
        Ok(None) => {
            let why = format!("no issue is known for {}", node.role);
            return unread(HostState::Skipped, why);
        }
        Err(why) => return unread(HostState::Failed, why),
    };
    let answer = match journal::read(look, host, &query).await {
        Ok(answer) => answer,
        Err(fault) => {
            let (state, said) = fault.row();
            return unread(state, said);
        }
    };
    let mut tally = Tally::new(known, &node.role);
    for entry in &answer.entries {
        tally.line(entry.at, &entry.message);
    }
    Read::Searched {
        found: tally.found(),
        left: answer.left,
    }
}
