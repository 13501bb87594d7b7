//! `/habops self`: how habops itself is.

use super::{Handler, Look, Result, Work, approvals::Nothing};
use crate::domain::{
    journey::{Cleared, Proposal},
    outcome::Outcome,
    output::{Output, Part, Status},
};

/// The word in the registry.
pub struct About;

impl Handler for About {
    type Args = Nothing;
    type Plan = Nothing;

    async fn plan(args: Nothing, _look: &Look) -> Result<Proposal<Nothing>> {
        Ok(Proposal::just(args))
    }

    async fn run(_plan: &Cleared<Nothing>, work: &Work) -> Result<Outcome> {
        let mut facts = (work.look.vitals)();
        let freezes = work.look.records.freezes().await?;
        for freeze in &freezes {
            let place = freeze
                .environment
                .as_ref()
                .map_or("everything".to_owned(), ToString::to_string);
            facts.push((
                "frozen".to_owned(),
                format!("{place}, by {}: {}", freeze.by, freeze.why),
            ));
        }
        let incidents = work.look.records.incidents(false, 50).await?;
        facts.push(("open incidents".to_owned(), incidents.len().to_string()));
        let version = env!("CARGO_PKG_VERSION");
        Ok(
            Output::new(Status::Done, format!("habops {version} is here"))
                .with(Part::Facts(facts))
                .into(),
        )
    }
}
