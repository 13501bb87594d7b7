//! Every integration test, in one binary so that linking happens once.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod farm;
mod ssh;
mod slack_client;
mod sandbox_slack;
mod catalogue;
mod render;
mod store;
