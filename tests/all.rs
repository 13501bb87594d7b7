//! Every integration test, in one binary so that linking happens once.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod sandbox_nodes;
mod farm;
mod sandbox_slack;
mod catalogue;
mod slack_client;
mod ssh;
mod store;
