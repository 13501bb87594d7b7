//! Nodes whose journals tell of a fault elsewhere: a router's NO_SHARD is a back-end service's, and ends when that is restarted.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AT_ONCE, What,
    evidence::{self, Sign},
    host,
};
use crate::{
    domain::{
        ids::NodeRole,
        journal::Entry,
        known_issue::{self, Signature, Told},
        node::Node,
    },
    handlers::{Look, hosts, journal},
};

/// What another node's journal tells of the node that is to be restarted.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Whose journal.
    pub node: String,
    /// The errors, most frequent first; or why they cannot be told.
    pub errors: Result<Vec<Sign>, String>,
}

/// What is watched for in another node's journal after the restart, as it is kept with the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watched {
    /// Whose journal.
    pub node: String,
    /// Which errors, by [`Sign::key`].
    pub errors: Vec<String>,
}

/// Longest a node may take to search its journal for a card.
const PATIENCE: Duration = Duration::from_secs(5);

impl Witness {
    /// What to watch for, where it told of errors.
    pub fn watched(&self) -> Option<Watched> {
        let errors = self.errors.as_ref().ok()?;
        (!errors.is_empty()).then(|| Watched {
            node: self.node.clone(),
            errors: errors.iter().map(|sign| sign.key.clone()).collect(),
        })
    }
}

/// Asks every node that could tell of this one.
pub async fn witnesses(look: &Look, node: &Node, what: &What) -> Vec<Witness> {
    let role = role(look, node, what);
    let asked: Vec<Node> = others(look, node, &role).await;
    let answers = asked.iter().map(async |other| Witness {
        node: other.name.to_string(),
        errors: told(look, other, &role, evidence::last_minutes(look), PATIENCE).await,
    });
    let answers: Vec<_> = answers.collect();
    stream::iter(answers).buffered(AT_ONCE).collect().await
}

/// What those of the plan tell from a moment on.
pub async fn since(
    look: &Look,
    node: &Node,
    what: &What,
    watched: &[Watched],
    since: Timestamp,
    patience: Duration,
) -> Vec<Witness> {
    if watched.is_empty() {
        return Vec::new();
    }
    let role = role(look, node, what);
    let fleet = look.clients.fleet.snapshot().await;
    let answers = watched.iter().map(async |it| {
        let other = fleet
            .nodes
            .iter()
            .find(|other| other.name.as_str() == it.node);
        let errors = match other {
            Some(other) => told(look, other, &role, since, patience).await,
            None => Err("the fleet does not know it any more".to_owned()),
        };
        let seen = |sign: &Sign| it.errors.contains(&sign.key);
        Witness {
            node: it.node.clone(),
            errors: errors.map(|signs| signs.into_iter().filter(seen).collect()),
        }
    });
    let answers: Vec<_> = answers.collect();
    stream::iter(answers).buffered(AT_ONCE).collect().await
}

/// The role of what goes down.
fn role(look: &Look, node: &Node, what: &What) -> NodeRole {
    match what {
        What::Supervisor => node.role.clone(),
        What::Service(name) => {
            let service = look.settings.services.get(name);
            service.map_or_else(|| node.role.clone(), |it| it.role.as_str().into())
        }
    }
}

/// Running nodes of its environment whose journals show what a restart of that role cures.
async fn others(look: &Look, node: &Node, role: &NodeRole) -> Vec<Node> {
    let known = look.commands.known_issues();
    let fleet = look.clients.fleet.snapshot().await;
    let others = fleet.nodes.iter().filter(|other| {
        other.name != node.name
            && other.environment == node.environment
            && hosts::not_running(other).is_none()
            && known.cured_on(role).any(|issue| issue.is_on(&other.role))
    });
    others.cloned().collect()
}

async fn told(
    look: &Look,
    other: &Node,
    role: &NodeRole,
    since: Timestamp,
    patience: Duration,
) -> Result<Vec<Sign>, String> {
    let known = look.commands.known_issues();
    let issues: Vec<&Signature> = known
        .cured_on(role)
        .filter(|issue| issue.is_on(&other.role))
        .collect();
    let pattern = known_issue::filter(issues.iter().copied(), &[])?;
    let query = evidence::newest(pattern, since, patience);
    let answer = journal::read(look, &host(other), &query).await;
    let entries = answer.map_err(|fault| fault.row().1)?.entries;
    let role_of = |service: &str| {
        let service = look.settings.services.get(service)?;
        Some(NodeRole::from(service.role.as_str()))
    };
    let about = about(entries, &issues, role, role_of);
    Ok(evidence::of(&about, known, &other.role).0)
}

/// The lines of these issues that lines before do not tell to be about another role.
fn about(
    entries: Vec<Entry>,
    issues: &[&Signature],
    role: &NodeRole,
    role_of: impl Fn(&str) -> Option<NodeRole>,
) -> Vec<Entry> {
    let mut told: Vec<Told> = issues.iter().map(|_| Told::default()).collect();
    let mut is_about = |entry: &Entry| {
        issues.iter().zip(&mut told).any(|(issue, told)| {
            told.hear(issue, entry.at, &entry.message);
            let service = told.at(entry.at).and_then(&role_of);
            issue.pattern.is_match(&entry.message) && service.is_none_or(|service| service == *role)
        })
    };
    entries
        .into_iter()
        .filter(|entry| is_about(entry))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::{Entry, Signature, about};
    use crate::domain::known_issue::Level;

    #[test]
    fn a_line_that_names_another_service_is_not_about_this_one() {
        let issue = Signature {
            name: "no-shard".to_owned(),
            roles: vec!["router".into()],
            cured_on: vec!["jobsrv".into(), "sessionsrv".into()],
            pattern: regex::Regex::new("NO_SHARD").unwrap(),
            before: Some(regex::Regex::new("protocol=([a-z]+)").unwrap()),
            at_least: 1,
            within: Some(Duration::from_mins(1)),
            level: Level::Error,
            means: String::new(),
            look_at: String::new(),
            next: Vec::new(),
            source: String::new(),
        };
        let lines = [
            (0, "NO_SHARD nobody told"),
            (10, "protocol=sessionsrv"),
            (10, "NO_SHARD one"),
            (20, "protocol=jobsrv"),
            (20, "NO_SHARD two"),
            (30, "protocol=stranger"),
            (30, "NO_SHARD three"),
        ];
        let entries = lines.map(|(second, message)| Entry {
            at: Timestamp::from_second(second).unwrap(),
            process: "hab".to_owned(),
            pid: None,
            message: message.to_owned(),
        });
        let of = |role: &str| -> Vec<String> {
            let known = |service: &str| (service != "stranger").then(|| service.into());
            let kept = about(entries.to_vec(), &[&issue], &role.into(), known).into_iter();
            kept.map(|entry| entry.message).collect()
        };
        let untold = ["NO_SHARD nobody told", "NO_SHARD three"];
        assert_eq!(of("jobsrv"), [untold[0], "NO_SHARD two", untold[1]]);
        assert_eq!(of("sessionsrv"), [untold[0], "NO_SHARD one", untold[1]]);
        assert_eq!(of("originsrv"), untold);
    }
}
