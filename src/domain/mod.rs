//! Pure types and rules: no I/O, no clock, no tokio, nothing of the other layers.

pub mod actor;
pub mod audit;
pub mod command;
pub mod duration;
pub mod failure;
pub mod ids;
pub mod inbound;
pub mod incident;
pub mod journey;
pub mod known_issue;
pub mod message;
pub mod nearest;
pub mod node;
pub mod operation;
pub mod output;
pub mod parse;
pub mod place;
pub mod policy;
pub mod records;
pub mod redact;
pub mod routing;
pub mod service;
pub mod supervisor;
pub mod target;
pub mod text;
