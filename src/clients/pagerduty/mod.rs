//! PagerDuty's REST API (<https://developer.pagerduty.com/api-reference>): v2, and v3 for shift-based schedules.
//!
//! Reads are tried again, writes never: what a write that got no answer did is asked of PagerDuty, not guessed.

mod call;
mod config;
mod error;
mod incident;
mod oncall;
mod overrides;
mod schedule;
mod users;

pub use self::{
    call::Client,
    config::Config,
    error::Error,
    incident::{Incident, Policy, Target},
    schedule::{Assigned, Kind, Plan, Source},
    users::ContactMethod,
};
