//! A stateful stand-in for Slack: Web API, Socket Mode, signed HTTP delivery, response URLs, files, modals, and the rules
//! that make Slack what it is (three-second acks, single-use triggers, limits, rates). People are driven from Rust by
//! [`Slack`] or from the page; the app under test sees nothing but Slack's own protocols.

mod args;
mod blocks;
mod channel;
mod chat;
mod clicks;
mod conversations;
mod core;
mod delivery;
mod elements;
mod faults;
mod files;
mod grants;
mod handle;
mod journal;
mod marks;
mod message;
mod people;
mod posting;
mod response_url;
mod seed;
mod signature;
mod socket;
mod state;
mod typing;
mod users;
mod views;
mod web;
mod wire;

use std::sync::{Arc, Mutex, atomic::Ordering};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{any, get, post},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
};
use tokio_util::sync::CancellationToken;

use self::{core::Core, faults::Once, state::State, wire::Wire};
use crate::sandbox::{
    fault::{Fault, FaultState, NodeState},
    page,
};

pub use self::{
    clicks::Clicked,
    journal::Entry,
    message::{Message, Post, Reaction},
    people::{Typed, TypedAs},
    seed::{Bot, ChannelSeed, Group, Kind, Person, PostRate, Seed},
    signature::sign,
};

/// The largest body of a Web API call.
const LARGEST_CALL: usize = 2 << 20;

/// How the sandbox starts.
pub struct Options {
    /// Signs what is delivered over HTTP.
    pub signing_secret: String,
    /// The commands, for the page's composer: opaque JSON, may be an empty array.
    pub commands: Value,
    /// The workspace at the start.
    pub seed: Seed,
    /// Other stand-ins' faults, to be shown on the page too.
    pub faults: Vec<Arc<dyn Fault>>,
    /// How the app hears of things.
    pub deliver: Deliver,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            signing_secret: "sandbox-signing-secret".into(),
            commands: json!([]),
            seed: Seed::default(),
            faults: Vec::new(),
            deliver: Deliver::Socket,
        }
    }
}

/// How the app hears of commands, clicks and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// By Socket Mode.
    Socket,
    /// By signed POSTs to `BASE/slack/commands`, `/slack/interactions` and `/slack/events`.
    Http {
        /// The app's base URL, without a slash at its end.
        base: String,
    },
}

/// A handle on the running stand-in; clones share it.
#[derive(Clone)]
pub struct Slack(Arc<Core>);

impl Slack {
    /// Serves Slack and its page on this listener until `stop` is cancelled.
    ///
    /// # Panics
    /// When called outside a Tokio runtime, or with a listener that has no address.
    pub fn start(listener: TcpListener, options: Options, stop: CancellationToken) -> Slack {
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let origin = format!("http://{address}");
        // reqwest panics without a process-wide provider, plain http or not; an error means that there is one already.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let core = Arc::new(Core {
            bot: options.seed.bot.clone(),
            team_id: options.seed.team_id.clone(),
            team_domain: options.seed.team_domain.clone(),
            signing_secret: options.signing_secret,
            commands: options.commands,
            other_faults: options.faults,
            told: Mutex::default(),
            deliver: Mutex::new(options.deliver),
            http: reqwest::Client::new(),
            faults: faults::Faults::default(),
            journal: journal::Journal::new(),
            sockets: socket::Sockets::default(),
            pages: broadcast::Sender::new(core::LAG),
            changed: watch::Sender::new(0),
            stop: stop.clone(),
            state: Mutex::new(State::new(options.seed, &origin)),
            origin,
        });
        let slack = Slack(core.clone());
        for changes in core.other_faults.iter().filter_map(|it| it.changes()) {
            tokio::spawn(slack.clone().tell_what_changes(changes));
        }
        let router = Router::new()
            .route("/api/{method}", any(web::call))
            .layer(DefaultBodyLimit::max(LARGEST_CALL))
            .merge(
                Router::new()
                    .route("/upload/v1/{id}", post(web::upload))
                    .layer(DefaultBodyLimit::max(files::LARGEST + 4_096)),
            )
            .route("/link/", get(web::link))
            .route("/commands/{team}/{id}", post(web::respond))
            .route("/actions/{team}/{id}", post(web::respond))
            .route("/app/{team}/{id}", post(web::respond))
            .with_state(core)
            .merge(page::router(slack.clone()));
        let service = router.into_make_service_with_connect_info::<wire::Reset>();
        tokio::spawn(async move {
            let serving =
                axum::serve(Wire(listener), service).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "the sandbox's Slack stopped serving");
            }
        });
        slack
    }
}

impl Fault for Slack {
    fn list(&self) -> Vec<FaultState> {
        let others = self.0.other_faults.iter();
        let others = others.flat_map(|other| other.list());
        self.0.faults.list().into_iter().chain(others).collect()
    }

    fn set(&self, name: &str, on: bool) -> bool {
        if let Some(switch) = self.0.faults.switch(name) {
            switch.store(on, Ordering::Relaxed);
            if name == "slack-down" && on {
                self.0.sockets.drop_all();
            }
            return true;
        }
        match faults::Faults::once(name) {
            Some(Once::Drop) if on => self.0.sockets.drop_all(),
            Some(Once::Disconnect) if on => self.0.sockets.disconnect_all(&self.0),
            Some(_) => {}
            None => return false,
        }
        true
    }

    fn nodes(&self) -> Vec<NodeState> {
        let others = self.0.other_faults.iter();
        others.flat_map(|other| other.nodes()).collect()
    }
}
