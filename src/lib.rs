//! habops: the on-call guide of Habitat Builder as Slack commands.
//!
//! Folders are layers, arrows point down only (`tests/architecture.rs` holds them): `domain` knows nothing;
//! `catalogue`, `clients`, `store` and `render` know `domain`; `handlers` and `surface` know those they need;
//! `pipeline` carries one command from the words typed to the answer posted; `watch` is what happens by the clock;
//! `app` wires; `sandbox` is the outside world in miniature and knows nothing of ours.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod app;
pub mod catalogue;
pub mod clients;
pub mod config;
pub mod domain;
pub mod handlers;
pub mod pipeline;
pub mod render;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;
pub mod surface;
pub mod watch;
