//! Every integration test, in one binary so that linking happens once.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod catalogue;
mod farm;
mod fleet;
mod page;
mod parse;
mod render;
mod sandbox_nodes;
mod sandbox_slack;
mod slack_client;
mod ssh;
mod store;
