//! Slack: Web API calls and the Socket Mode session, on slack-morphism's transport (<https://docs.slack.dev/apis/web-api>).
//!
//! The library's rate control stays off, because its one bucket for `chat.postMessage` would make all channels wait for
//! each other; the poster limits by channel. Bodies are our own JSON, so that what the renderer made is what Slack gets.

mod answer;
mod channels;
mod config;
mod connect;
mod directory;
mod error;
mod files;
mod frame;
mod health;
mod history;
mod messages;
mod people;
mod session;
mod signature;
mod socket;
mod tokens;
mod web;

pub use channels::Conversation;
pub use config::{Config, Mode};
pub use directory::Directory;
pub use error::{Error, Outcome, TokenKind};
pub use files::{FileId, Reserved, Upload};
pub use frame::{Ack, Envelope, Kind};
pub use health::Health;
pub use history::{Attached, History, Message};
pub use messages::{Edit, Post};
pub use people::{Group, Person};
pub use session::{LinkDisabled, Session, Timing};
pub use signature::{Forged, verify_signature};
pub use tokens::Identity;
pub use web::{Client, Limits};
