//! `[query]` commands: one named SELECT in the right shard, or in all of them, with no Rust of its own.

use std::collections::BTreeMap;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Handler, Look, Result, Work};
use crate::{
    clients::datastore::{Bound, Client, Error, Question, Rows},
    domain::{
        command::{CommandSpec, Query, QueryScope, Source},
        failure::Refusal,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        shard::{self, Id, schema},
    },
};

/// What is asked, and of which shard.
#[derive(Deserialize, Serialize)]
pub struct Plan {
    question: Question,
    /// Absent: all of them.
    shard: Option<u16>,
    /// What picked the shard, to look for elsewhere.
    key: Option<String>,
}

/// Puts any query; which one, the command's own file says.
pub struct QueryHandler;

/// Rows beyond this go into a file as well: a message shows no more.
const MOST_SHOWN: usize = 90;

impl Handler for QueryHandler {
    type Args = Map<String, Value>;
    type Plan = Plan;

    async fn plan(args: Map<String, Value>, look: &Look) -> Result<Proposal<Plan>> {
        let spec = &look.asked.spec;
        let Source::Query(query) = &spec.source else {
            return Err(anyhow!("{} is not a query", spec.name).into());
        };
        let client = datastore(look)?;
        let key = query.key.as_ref().and_then(|name| text(args.get(name)));
        let shard = shard_of(query, key.as_deref(), client)?;
        let values = spec.args.iter().map(|arg| Bound {
            kind: arg.kind,
            value: text(args.get(&arg.name)),
        });
        Ok(Proposal::just(Plan {
            question: Question {
                query: query.clone(),
                values: values.collect(),
            },
            shard,
            key: key.filter(|_| query.scope == QueryScope::ByName),
        }))
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        let client = datastore(&work.look)?;
        let (plan, spec) = (plan.plan(), &work.look.asked.spec);
        let output = match plan.shard {
            Some(shard) => one(spec, plan, shard, client.ask(&plan.question, shard).await),
            None => all(spec, plan, client.ask_all(&plan.question).await),
        };
        Ok(output.into())
    }

    fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
        datastore(look)
            .map(|client| client.by_hand(&plan.question, plan.shard))
            .unwrap_or_default()
    }
}

fn datastore(look: &Look) -> std::result::Result<&Client, Refusal> {
    look.clients.datastore.as_ref().ok_or_else(|| {
        Refusal::not_now(format!(
            "`{}` asks the datastore, and there is none in the configuration: [datastore] url names it.",
            look.asked.spec.name
        ))
    })
}

/// An argument as text; absent where it was left out.
fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The shard to ask; absent where all are.
fn shard_of(
    query: &Query,
    key: Option<&str>,
    client: &Client,
) -> std::result::Result<Option<u16>, Refusal> {
    let shard = match query.scope {
        QueryScope::All if client.is_sharded(&query.database) => return Ok(None),
        QueryScope::All | QueryScope::Shard0 => 0,
        QueryScope::ByName => {
            shard::of_name(shard::origin(key.unwrap_or_default()), client.shards())
        }
        QueryScope::ById => {
            let typed = key.unwrap_or_default();
            let id = shard::id(typed).map(Id::shard);
            id.filter(|shard| *shard < client.shards()).ok_or_else(|| {
                Refusal::usage(format!(
                    "`{typed}` is not an id of Builder's: no shard has it."
                ))
                .or_else("What is it?", format!("shard {typed}"))
            })?
        }
    };
    Ok(Some(client.shard_in(&query.database, shard)))
}

/// What one shard answered.
fn one(
    spec: &CommandSpec,
    plan: &Plan,
    shard: u16,
    answer: std::result::Result<Rows, Error>,
) -> Output {
    let place = format!("{} of {}", schema(shard), plan.question.query.database);
    let rows = match answer {
        Ok(rows) => rows,
        Err(fault) if fault.is_of_a_shard() => {
            let title = format!("{}: {place} {fault}", spec.name);
            return Output::new(Status::Failed, title);
        }
        Err(fault) => return Output::new(Status::Failed, format!("{}: {fault}", spec.name)),
    };
    let title = format!(
        "{}: {} in {place}",
        spec.name,
        counted(rows.rows.len(), "row")
    );
    let mut output = Output::new(Status::Done, title);
    if rows.more {
        output = output.text("There are more; these are the first.");
    }
    if rows.rows.is_empty() {
        return match &plan.key {
            Some(key) => output.with(Part::Next {
                label: "Is it anywhere?".to_owned(),
                command: format!("shard {key}"),
            }),
            None => output,
        };
    }
    let columns = plan.question.query.columns.clone();
    let rows = rows.rows.into_iter().map(shown).collect();
    with_rows(output, spec, columns, rows)
}

/// What every shard answered, the ones that did not first.
fn all(
    spec: &CommandSpec,
    plan: &Plan,
    answers: Vec<(u16, std::result::Result<Rows, Error>)>,
) -> Output {
    let asked = answers.len();
    let (mut rows, mut full) = (Vec::new(), Vec::new());
    let mut silent: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    for (shard, answer) in answers {
        match answer {
            Ok(answer) => {
                full.extend(answer.more.then_some(shard));
                rows.extend(answer.rows.into_iter().map(|row| {
                    let mut cells = vec![schema(shard)];
                    cells.extend(shown(row));
                    cells
                }));
            }
            Err(fault) => silent.entry(fault.to_string()).or_default().push(shard),
        }
    }
    let missing: usize = silent.values().map(Vec::len).sum();
    if let (true, Some((why, _))) = (
        missing == asked && silent.len() == 1,
        silent.first_key_value(),
    ) {
        return Output::new(Status::Failed, format!("{}: {why}", spec.name));
    }
    let (status, from) = match missing {
        0 => (Status::Done, counted(asked, "shard")),
        all if all == asked => (Status::Failed, format!("none of {asked} shards")),
        some => (
            Status::Partly,
            format!("{} of {asked} shards; {some} did not answer", asked - some),
        ),
    };
    let title = format!("{}: {} from {from}", spec.name, counted(rows.len(), "row"));
    let mut output = Output::new(status, title);
    if !silent.is_empty() {
        let mut silent: Vec<_> = silent.into_iter().collect();
        silent.sort_by_key(|(_, shards)| shards.first().copied());
        output = output.with(Part::Table {
            columns: ["shard", "why"].map(str::to_owned).to_vec(),
            rows: silent
                .into_iter()
                .map(|(why, shards)| vec![ranges(&shards), why])
                .collect(),
        });
    }
    if !full.is_empty() {
        output = output.text(format!("More rows than are shown: {}.", ranges(&full)));
    }
    if rows.is_empty() {
        return output;
    }
    let mut columns = vec!["shard".to_owned()];
    columns.extend(plan.question.query.columns.clone());
    with_rows(output, spec, columns, rows)
}

/// The table, and the same as a file where a message cannot show all of it.
fn with_rows(
    output: Output,
    spec: &CommandSpec,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
) -> Output {
    let file = (rows.len() > MOST_SHOWN).then(|| {
        let lines = std::iter::once(&columns).chain(&rows);
        let text: Vec<String> = lines
            .map(|cells| {
                let plain = cells
                    .iter()
                    .map(|cell| cell.replace(['\t', '\n', '\r'], " "));
                plain.collect::<Vec<_>>().join("\t")
            })
            .collect();
        Part::File {
            name: format!("{}.tsv", spec.name.as_str().replace(' ', "-")),
            text: text.join("\n") + "\n",
        }
    });
    let output = output.with(Part::Table { columns, rows });
    match file {
        Some(file) => output.with(file),
        None => output,
    }
}

/// NULL is a dash.
fn shown(row: Vec<Option<String>>) -> Vec<String> {
    row.into_iter()
        .map(|cell| cell.unwrap_or_else(|| "–".to_owned()))
        .collect()
}

fn counted(number: usize, thing: &str) -> String {
    match number {
        0 => format!("no {thing}"),
        1 => format!("1 {thing}"),
        many => format!("{many} {thing}s"),
    }
}

/// `shard_3, shard_5–shard_9`
fn ranges(shards: &[u16]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for &shard in shards {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == shard => *last = shard,
            _ => runs.push((shard, shard)),
        }
    }
    let told = runs.into_iter().map(|(first, last)| match last - first {
        0 => schema(first),
        1 => format!("{}, {}", schema(first), schema(last)),
        _ => format!("{}–{}", schema(first), schema(last)),
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_in_a_row_are_told_as_one() {
        assert_eq!(
            ranges(&[0, 1, 2, 5, 7, 8]),
            "shard_0–shard_2, shard_5, shard_7, shard_8"
        );
    }
}
