//! `/habops diagnose`: known issues in the journals, what they mean, and the command that comes next. It suggests and never runs it.

mod reading;

use std::{collections::BTreeSet, time::Duration};

use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::reading::Read;
use super::{Handler, Look, Result, Work, hosts};
use crate::{
    clients::ssh::Host,
    domain::{
        failure::Refusal,
        ids::Environment,
        journey::{Cleared, Proposal},
        known_issue::{KnownIssues, Sighting, Symptom},
        node::Node,
        outcome::Outcome,
        output::{HostOutcome, HostState, Output, Part, Status},
    },
};

/// Which nodes, how far back; or what people notice.
#[derive(Deserialize, Serialize)]
pub struct Args {
    #[serde(default)]
    target: Option<String>,
    since: Timestamp,
    #[serde(default)]
    symptom: Option<String>,
}

/// The word in the registry.
pub struct Diagnose;

/// Most issues that are explained; the rest are rows.
const MOST_EXPLAINED: usize = 6;
/// Most next steps offered: more would hide the likeliest.
const MOST_NEXT: usize = 8;

impl Handler for Diagnose {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let (args, look) = (plan.plan(), &work.look);
        let known = look.commands.known_issues();
        if let Some(word) = &args.symptom {
            let environments = environments(args, look).await;
            return Ok(symptom(word, known, &environments)?.into());
        }
        let targets: Vec<Host> = look.asked.nodes.iter().map(Host::from).collect();
        let reads = |host| reading::read(look, host, args.since);
        let mut answers = std::pin::pin!(look.clients.ssh.fan_out(&targets, reads));
        let mut read = hosts::Awaited::of(&targets);
        while let Some((at, answer)) = answers.next().await {
            read.answered(at, (&look.asked.nodes[at], answer));
            work.report(Output::new(Status::Running, progress(&read)));
        }
        Ok(diagnosis(&read.all(), args.since, look).into())
    }

    fn by_hand(plan: &Args, look: &Look) -> Vec<String> {
        if plan.symptom.is_some() {
            return Vec::new();
        }
        let (nodes, known) = (&look.asked.nodes, look.commands.known_issues());
        let lines = nodes.iter().filter_map(|node| {
            let query = reading::query(known, &node.role, plan.since, nodes.len());
            hosts::by_hand_piped(node, &query.ok()??.by_hand())
        });
        lines.collect()
    }
}

/// `12 of 40 nodes have answered; known issues on 2 so far`.
fn progress(read: &hosts::Awaited<'_, (&Node, Read<'_>)>) -> String {
    let is_ill = |read: &Read<'_>| match read {
        Read::Searched { found, .. } => found.iter().any(|sighting| sighting.reached),
        Read::Unread { .. } => false,
    };
    let ill = read.so_far().filter(|(_, answer)| is_ill(answer)).count();
    let standing = read.standing();
    match ill {
        0 => standing,
        ill => format!("{standing}; known issues on {ill} so far"),
    }
}

/// The environments that are meant: those of the nodes that were named, else the one of a bare role.
async fn environments(args: &Args, look: &Look) -> BTreeSet<Environment> {
    if args.target.is_none()
        && let Some(default) = &look.clients.fleet.snapshot().await.default_environment
    {
        return BTreeSet::from([default.clone()]);
    }
    let nodes = look.asked.nodes.iter();
    nodes.map(|node| node.environment.clone()).collect()
}

/// What to do about something that people notice.
fn symptom(
    word: &str,
    known: &KnownIssues,
    environments: &BTreeSet<Environment>,
) -> std::result::Result<Output, Refusal> {
    let Some(symptom) = known.symptom(word) else {
        let words: Vec<&str> = known.symptoms.iter().map(|one| one.word.as_str()).collect();
        let near = known.nearest_symptom(word);
        let meant = near
            .map(|near| format!(" Did you mean `{near}`?"))
            .unwrap_or_default();
        let said = format!(
            "There is no symptom `{word}`.{meant} Known are `{}`.",
            words.join("`, `")
        );
        let refusal = Refusal::usage(said);
        return Err(match near {
            Some(near) => refusal.or_else(near, format!("diagnose --symptom {near}")),
            None => refusal,
        });
    };
    let commands = environments
        .iter()
        .flat_map(|environment| symptom.suggestions(environment));
    let output = Output::new(Status::Done, symptom.seen.clone())
        .text(symptom.look_at.clone())
        .with(Part::Facts(vec![(
            "known from".to_owned(),
            symptom.source.clone(),
        )]));
    Ok(offering(output, commands))
}

/// With a button for each command, once.
fn offering(mut output: Output, commands: impl IntoIterator<Item = String>) -> Output {
    let mut offered = BTreeSet::new();
    for command in commands {
        if offered.len() < MOST_NEXT && offered.insert(command.clone()) {
            output.parts.push(Part::Next {
                label: command.clone(),
                command,
            });
        }
    }
    output
}

/// A signature on one node.
struct Hit<'a> {
    node: &'a Node,
    sighting: &'a Sighting<'a>,
    /// The fleet's service that a line before told of.
    service: Option<&'a str>,
}

fn diagnosis(read: &[(&Node, Read<'_>)], since: Timestamp, look: &Look) -> Output {
    let mut hits: Vec<Hit<'_>> = Vec::new();
    for (node, answer) in read {
        let Read::Searched { found, .. } = answer else {
            continue;
        };
        hits.extend(found.iter().map(|sighting| Hit {
            node,
            sighting,
            service: sighting.service.as_deref().and_then(|told| {
                let service = look.settings.services.get(told)?;
                Some(service.role.as_str())
            }),
        }));
    }
    // The worst first, and of two as bad the latest.
    hits.sort_by_key(|hit| {
        let of = hit.sighting;
        (!of.reached, of.signature.level, std::cmp::Reverse(of.last))
    });
    let issues = hits.iter().filter(|hit| hit.sighting.reached).count();
    let (issues, few) = hits.split_at(issues);
    let silent = read
        .iter()
        .filter(|(_, answer)| matches!(answer, Read::Unread { .. }))
        .count();
    // A node that does not run was not tried, so it did not fail.
    let failed = read.iter().filter(|(_, answer)| answer.failed()).count();
    let status = match failed {
        0 => Status::Done,
        _ if silent == read.len() => Status::Failed,
        _ => Status::Partly,
    };
    let mut output = Output::new(
        status,
        title(issues, read.len(), silent, since, look.asked.now),
    );
    for hit in issues.iter().take(MOST_EXPLAINED) {
        output = explained(output, hit);
    }
    let rest = issues.iter().skip(MOST_EXPLAINED).chain(few);
    let rows: Vec<Vec<String>> = rest.map(row).collect();
    if !rows.is_empty() {
        let columns = ["also seen", "node", "lines", "last", ""]
            .map(str::to_owned)
            .to_vec();
        output = output.with(Part::Table { columns, rows });
    }
    for (node, answer) in read {
        if let Read::Searched {
            left: Some(left), ..
        } = answer
        {
            output = output.text(format!("{}: {left}: only the newest count.", node.name));
        }
    }
    if silent > 0 {
        output = output.with(Part::Hosts(
            read.iter()
                .map(|(node, answer)| host(node, answer))
                .collect(),
        ));
    }
    let next = issues.iter().flat_map(|hit| {
        let signature = hit.sighting.signature;
        signature.suggestions(&hit.node.name, &hit.node.environment, hit.service)
    });
    if issues.is_empty() && silent < read.len() {
        return symptoms(output, look.commands.known_issues());
    }
    offering(output, next)
}

fn title(
    issues: &[Hit<'_>],
    nodes: usize,
    silent: usize,
    since: Timestamp,
    now: Timestamp,
) -> String {
    let looked_back = Duration::from_secs(now.duration_since(since).as_secs().unsigned_abs());
    let looked_back = humantime::format_duration(looked_back);
    let read = nodes - silent;
    if read == 0 {
        return format!("No journal could be read: none of {nodes} nodes answered");
    }
    let nodes = if read == 1 {
        "1 node".to_owned()
    } else {
        format!("{read} nodes")
    };
    let named = |hit: &Hit<'_>| format!("{} on {}", hit.sighting.signature.name, hit.node.name);
    match issues {
        [] => format!("No known issue in the last {looked_back} on {nodes}"),
        [one] => format!("Known issue: {}", named(one)),
        [first, rest @ ..] => format!(
            "{} known issues: {}, and {} more",
            issues.len(),
            named(first),
            rest.len()
        ),
    }
}

/// The evidence, and what it means.
fn explained(output: Output, hit: &Hit<'_>) -> Output {
    let Sighting {
        signature,
        lines,
        example,
        last,
        ..
    } = hit.sighting;
    let told = match (hit.service, &hit.sighting.service) {
        (Some(service), _) => format!(" The lines before name {service}."),
        (None, Some(unknown)) => {
            format!(" The lines before name {unknown}, which is no service of this fleet.")
        }
        (None, None) => String::new(),
    };
    output
        .text(format!(
            "{} ({}) on {}: {lines} {}, {}",
            signature.name,
            signature.level.word(),
            hit.node.name,
            if *lines == 1 { "line" } else { "lines" },
            span(hit.sighting),
        ))
        .with(Part::Log {
            of: hit.node.name.to_string(),
            text: format!("{} {example}", last.strftime("%Y-%m-%dT%H:%M:%SZ")),
        })
        .text(format!(
            "{}{told} Look at: {}",
            signature.means, signature.look_at
        ))
}

/// `2017-11-16 00:35:46 to 00:41:02 UTC`
fn span(sighting: &Sighting<'_>) -> String {
    let day = "%Y-%m-%d";
    let (first, last) = (sighting.first, sighting.last);
    if first == last {
        return first.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    }
    let same_day = first.strftime(day).to_string() == last.strftime(day).to_string();
    let until = if same_day {
        "%H:%M:%S UTC"
    } else {
        "%Y-%m-%d %H:%M:%S UTC"
    };
    format!(
        "{} to {}",
        first.strftime("%Y-%m-%d %H:%M:%S"),
        last.strftime(until)
    )
}

fn row(hit: &Hit<'_>) -> Vec<String> {
    let signature = hit.sighting.signature;
    let below = match signature.within {
        _ if hit.sighting.reached => signature.means.clone(),
        Some(within) => format!(
            "no issue below {} in {}",
            signature.at_least,
            humantime::format_duration(within)
        ),
        None => format!("no issue below {}", signature.at_least),
    };
    vec![
        signature.name.clone(),
        hit.node.name.to_string(),
        hit.sighting.lines.to_string(),
        hit.sighting
            .last
            .strftime("%Y-%m-%d %H:%M:%S UTC")
            .to_string(),
        below,
    ]
}

fn host(node: &Node, answer: &Read<'_>) -> HostOutcome {
    let (state, said) = match answer {
        Read::Unread { state, said } => (*state, said.clone()),
        Read::Searched { found, .. } => {
            let issues = found.iter().filter(|sighting| sighting.reached).count();
            let said = match issues {
                0 => "no known issue".to_owned(),
                1 => "1 known issue".to_owned(),
                more => format!("{more} known issues"),
            };
            (HostState::Done, said)
        }
    };
    HostOutcome::new(node.name.as_str(), state, said)
}

/// What people may notice, for when the journals say nothing.
fn symptoms(output: Output, known: &KnownIssues) -> Output {
    let row = |symptom: &Symptom| vec![symptom.word.clone(), symptom.seen.clone()];
    let mut output = output.text("What do people notice?").with(Part::Table {
        columns: vec!["symptom".to_owned(), "seen".to_owned()],
        rows: known.symptoms.iter().map(row).collect(),
    });
    output
        .parts
        .extend(known.symptoms.iter().map(|symptom| Part::Next {
            label: symptom.word.clone(),
            command: format!("diagnose --symptom {}", symptom.word),
        }));
    output
}
