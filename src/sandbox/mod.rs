//! The outside world in miniature: Slack, nodes, EC2 and the others, speaking their real wire protocols on loopback.
//!
//! Imports nothing of ours, so that client and stand-in cannot share one wrong idea of the wire.

pub mod builder;
pub mod datastore;
pub mod ec2;
pub mod fault;
pub mod nodes;
pub mod page;
pub mod pagerduty;
pub mod slack;

mod start;

pub use start::Sandbox;
