//! Every integration test, in one binary so that linking happens once.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod airlock;
mod architecture;
mod bench;
mod builder;
mod by_hand;
mod catalogue;
mod cli;
mod crash;
mod datastore;
mod diagnose;
mod disk;
mod docs;
mod emulate;
mod farm;
mod fleet;
mod habitat;
mod incident;
mod journal;
mod journey;
mod load;
mod page;
mod pagerduty;
mod parse;
mod pattern;
mod redaction;
mod render;
mod restart;
mod sandbox_nodes;
mod sandbox_slack;
mod slack_client;
mod ssh;
mod stop;
mod store;
mod surface;
mod world;
