//! `/habops audit`: the newest records of the audit.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Handler, Look, Result, Work};
use crate::domain::{
    journey::{Cleared, Proposal},
    outcome::Outcome,
    output::{Output, Part, Status},
};

/// How many records, newest first.
#[derive(Deserialize, Serialize)]
pub struct Args {
    #[serde(default)]
    limit: Option<i64>,
}

/// The word in the registry.
pub struct Audit;

/// As many as fit one table.
const MOST: i64 = 90;
const USUAL: i64 = 15;

impl Handler for Audit {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let limit = plan.plan().limit.unwrap_or(USUAL).clamp(1, MOST);
        let records = work
            .look
            .records
            .audit(usize::try_from(limit).unwrap_or(15))
            .await?;
        let head = records
            .first()
            .map(|record| record.hash.0.chars().take(12).collect::<String>())
            .unwrap_or_default();
        let rows = records
            .iter()
            .map(|record| {
                let (event, what) = told(&record.event);
                vec![
                    record.seq.to_string(),
                    record.at.strftime("%m-%d %H:%M:%S").to_string(),
                    record.actor.to_string(),
                    record
                        .operation
                        .map(|id| id.to_string())
                        .unwrap_or_default(),
                    event,
                    what,
                ]
            })
            .collect();
        let columns = ["seq", "UTC", "who", "operation", "event", "what"]
            .map(str::to_owned)
            .to_vec();
        let newest = records.first().map_or(0, |record| record.seq);
        Ok(Output::new(
            Status::Done,
            format!("{newest} audit records; head {head}…"),
        )
        .with(Part::Table { columns, rows })
        .text("`habops audit verify` checks the whole chain; `habops audit export` writes it out.")
        .into())
    }
}

/// The event's word, and what matters most in it.
fn told(event: &str) -> (String, String) {
    let Ok(Value::Object(fields)) = serde_json::from_str(event) else {
        return (event.to_owned(), String::new());
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let what = [
        "text", "why", "decision", "title", "command", "what", "confirm", "owner", "version",
    ]
    .iter()
    .find_map(|name| text(name));
    (text("event").unwrap_or_default(), what.unwrap_or_default())
}
