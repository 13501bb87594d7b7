//! `approve`, `deny`, `cancel`, `recheck`, `retry`: the buttons as commands, for when buttons fail. The pipeline judges and does them.

use serde::{Deserialize, Serialize};

use super::{Handler, Look, Result, Work};
use crate::domain::{
    ids::OperationId,
    journey::{Cleared, Proposal},
    outcome::{Judgement, Outcome},
    output::{Output, Status},
};

/// Which operation.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub struct Args {
    operation: OperationId,
}

macro_rules! on_an_operation {
    ($($(#[$doc:meta])* $name:ident, $title:literal, |$operation:ident| $judgement:expr;)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Handler for $name {
            type Args = Args;
            type Plan = Args;

            async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
                Ok(Proposal::just(args))
            }

            async fn run(plan: &Cleared<Args>, _work: &Work) -> Result<Outcome> {
                let $operation = plan.plan().operation;
                // The pipeline's judgement takes the place of this title.
                Ok(Outcome::from(Output::new(Status::Done, format!($title, $operation))).judged($judgement))
            }
        }
    )+};
}

on_an_operation! {
    /// `/habops approve`: says yes to an operation that waits.
    Approve, "{} approved", |operation| Judgement::Decide { operation, yes: true };
    /// `/habops deny`: says no to it.
    Deny, "{} denied", |operation| Judgement::Decide { operation, yes: false };
    /// `/habops cancel`: asks an operation to stop.
    Cancel, "{} asked to stop", |operation| Judgement::Cancel { operation };
    /// `/habops recheck`: compares what a change was approved on with how it is now.
    Recheck, "{} compared", |operation| Judgement::Recheck { operation };
    /// `/habops retry`: enters an ended operation's command again.
    Retry, "{} entered again", |operation| Judgement::Retry { operation };
}
