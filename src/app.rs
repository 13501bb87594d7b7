//! Wiring: the configuration becomes a running bot, or one command at a terminal.

pub mod admin;
pub mod check;
pub mod logs;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use axum::Router;
use jiff::Timestamp;
use rand::RngExt as _;
use secrecy::SecretString;
use serde_json::json;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info, warn};

use crate::{
    catalogue::Catalogue,
    clients::{Clients, builder, datastore, fleet, pagerduty, slack, ssh, supervisor},
    config::{Config, Mode, Place, Slack},
    domain::{
        actor::Actor,
        audit::Event,
        ids::Owner,
        records::{Inbox, Outbox},
        redact::Rules,
        service::Services,
        tally::Tally,
    },
    handlers::{self, Registry},
    pipeline::{Counts, Hearing, JOURNEYS_AT_ONCE, Parts, Pipeline, Settings},
    render::incident,
    store::{Clock, Store},
    surface::{
        slack::{http, post::Poster, socket},
        webhooks,
    },
    watch,
};

/// How long running commands may take to end when the program is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(20);
/// How long the poster may take to send what is left then; the rest waits in the store for the next start.
const LAST_POSTS: Duration = Duration::from_secs(5);
/// How long until Slack is asked again who we are, when it was away.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// What both the bot and a terminal need.
pub struct Core {
    /// habops' memory.
    pub store: Store,
    /// The journey.
    pub pipeline: Pipeline,
    /// What is counted on the way.
    pub counts: Counts,
    /// The outside.
    pub clients: Arc<Clients>,
    /// What the catalogue was read from.
    pub catalogue: Catalogue,
}

/// What the bot knows of Slack once it has been introduced.
pub struct Introduced {
    /// The Web API.
    pub client: slack::Client,
    /// Who we are there.
    pub identity: slack::Identity,
    /// How the sockets are.
    pub health: Option<slack::Health>,
}

/// The catalogue that this configuration asks for.
pub fn catalogue(config: &Config) -> Result<Catalogue> {
    let read = match &config.catalogue.dir {
        Some(dir) => Catalogue::with_overlay(dir, &config.catalogue.replace),
        None => Catalogue::embedded(),
    };
    let mut catalogue = read.map_err(|faults| anyhow!("{faults}"))?;
    let second = &config.policy.confirm.second_person;
    catalogue.commands = catalogue
        .commands
        .with_second_person(second)
        .map_err(|why| anyhow!("policy.confirm.second_person: {why}"))?;
    Ok(catalogue)
}

/// Puts together what a command travels through. `slack` is absent at a terminal.
pub fn core(config: &Config, slack: Option<&Introduced>, stop: &CancellationToken) -> Result<Core> {
    core_at(config, slack, stop, Arc::new(Timestamp::now))
}

/// The same at another time than now.
pub fn core_at(
    config: &Config,
    slack: Option<&Introduced>,
    stop: &CancellationToken,
    clock: Clock,
) -> Result<Core> {
    let catalogue = catalogue(config)?;
    let commands = catalogue.commands.clone();
    let commands = Arc::new(commands.of_fleet(&config.environments()));
    let rules = Rules::new(config.redact.patterns.iter().map(String::as_str))
        .context("cannot use the configured patterns")?;
    let random: [u8; 8] = rand::rng().random();
    let store = Store::open(
        &config.store,
        &config.base,
        clock,
        Owner::new(hex::encode(random)),
    )?;
    let ssh = ssh::Client::new(&config.ssh)?;
    let fleet = fleet::Client::new(&config.fleet)?;
    let datastore = config
        .datastore
        .as_ref()
        .map(|section| datastore::Client::new(section, &ssh, &fleet))
        .transpose()?;
    let clients = Arc::new(Clients {
        supervisor: config
            .fleet
            .gateway_port
            .map(|port| supervisor::Client::new(&ssh, port)),
        ssh,
        fleet,
        directory: slack.map(|slack| slack::Directory::new(slack.client.clone())),
        slack: slack.map(|slack| slack.client.clone()),
        builder: config
            .builder
            .as_ref()
            .map(builder::Client::new)
            .transpose()?,
        datastore,
        pagerduty: config
            .pagerduty
            .as_ref()
            .filter(|section| section.token.is_some())
            .map(pagerduty::Client::new)
            .transpose()?,
    });
    let of_handlers = handlers::Settings {
        services: Services::new(&config.services),
        cool_down: config.restart.cool_down,
        comes_up_within: config.restart.comes_up_within,
        watch: config.restart.watch,
        groups: config.promote.groups.clone(),
        place_is_channel: config.incidents.place == Place::Channel,
        on_call: on_call(config),
    };
    let pagerduty = config.pagerduty.as_ref();
    let settings = Settings {
        home: slack.map(|slack| slack.identity.team.clone()),
        team_url: slack.and_then(|slack| slack.identity.url.clone()),
        channel: config
            .slack
            .as_ref()
            .and_then(|slack| slack.channel.clone()),
        default_environment: config.default_environment(),
        expires: config.policy.confirm.expires,
        pin_emoji: config.incidents.pin_emoji.clone(),
        pager_targets: pagerduty
            .map(|section| section.services.clone())
            .unwrap_or_default(),
    };
    let counts = Counts::default();
    let pipeline = Pipeline::new(Parts {
        store: store.clone(),
        commands,
        registry: Registry::new(),
        clients: Arc::clone(&clients),
        of_handlers: Arc::new(of_handlers),
        policy: Arc::new(config.policy.roles()),
        rules: Arc::new(rules),
        vitals: vitals(config, &store, &clients, slack),
        counts: counts.clone(),
        settings,
        stop: stop.child_token(),
        tasks: TaskTracker::new(),
        turns: Arc::new(Semaphore::new(JOURNEYS_AT_ONCE)),
        running: Mutex::new(HashMap::new()),
        hearing: Hearing::default(),
        cards: tokio::sync::Mutex::default(),
        document: Arc::new(incident::document),
        called: Mutex::new(HashMap::new()),
    });
    Ok(Core {
        store,
        pipeline,
        counts,
        clients,
        catalogue,
    })
}

/// How habops knows who is on call; nothing is watched without PagerDuty.
fn on_call(config: &Config) -> handlers::OnCall {
    let section = config.pagerduty.as_ref();
    let mut on_call = handlers::OnCall {
        accept_within: config.handoff.accept_within,
        remind: config.handoff.remind,
        ..handlers::OnCall::default()
    };
    if let Some(section) = section {
        on_call.schedules.clone_from(&section.schedules);
        on_call.people.clone_from(&section.users);
        on_call.poll = section.poll;
    }
    on_call
}

/// Looks at who is on call, where there is somebody to ask.
fn watcher(core: &Core, inbox: &Arc<dyn Inbox>, config: &Config) -> Option<watch::oncall::OnCall> {
    let handlers::OnCall {
        schedules,
        poll,
        accept_within,
        remind,
        ..
    } = on_call(config);
    let client = core.clients.pagerduty.clone()?;
    (!schedules.is_empty()).then(|| watch::oncall::OnCall {
        store: core.store.clone(),
        client,
        inbox: Arc::clone(inbox),
        schedules,
        poll,
        accept_within,
        remind,
    })
}

/// What happens by the clock and enters as signals.
fn by_the_clock(
    core: &Core,
    inbox: &Arc<dyn Inbox>,
    config: &Config,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let (store, inbox) = (core.store.clone(), Arc::clone(inbox));
    if let Some(watcher) = watcher(core, &inbox, config) {
        tasks.spawn(watcher.run(stop.clone()));
    }
    tasks.spawn(watch::clock(store, inbox, stop.clone()));
}

/// What `self` tells.
fn vitals(
    config: &Config,
    store: &Store,
    clients: &Arc<Clients>,
    slack: Option<&Introduced>,
) -> Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync> {
    let begun = Timestamp::now();
    let path = store.path().display().to_string();
    let clients = Arc::clone(clients);
    let health = slack.and_then(|slack| slack.health.clone());
    let mode = config.slack.as_ref().map(|slack| slack.mode);
    Arc::new(move || {
        let up =
            u64::try_from(Timestamp::now().duration_since(begun).as_secs()).unwrap_or_default();
        let mut facts = vec![
            (
                "up".to_owned(),
                humantime::format_duration(Duration::from_secs(up)).to_string(),
            ),
            ("store".to_owned(), path.clone()),
            (
                "SSH connections".to_owned(),
                clients.ssh.connections().to_string(),
            ),
        ];
        match (&health, mode) {
            (Some(health), _) => {
                let age = health
                    .last_frame_age()
                    .map_or("none yet".to_owned(), |age| {
                        format!("{} s ago", age.as_secs())
                    });
                facts.push((
                    "Slack".to_owned(),
                    format!(
                        "{} sockets, last frame {age}, {} reconnects",
                        health.connected(),
                        health.reconnects()
                    ),
                ));
            }
            (None, Some(Mode::Http)) => facts.push(("Slack".to_owned(), "over HTTP".to_owned())),
            (None, _) => facts.push(("Slack".to_owned(), "not connected".to_owned())),
        }
        facts
    })
}

/// Asks Slack who we are. A bad token fails here, with a sentence; while Slack is away it is asked again. Absent when told to
/// stop meanwhile.
async fn introduce(config: &Config, stop: &CancellationToken) -> Result<Option<Introduced>> {
    loop {
        let section = config
            .slack
            .as_ref()
            .context("[slack] is missing; `habops start` needs it")?;
        let client = slack::Client::new(&section.client()).context("cannot make a Slack client")?;
        match client.verify(section.mode == Mode::Socket).await {
            Ok(identity) => {
                return Ok(Some(Introduced {
                    client,
                    identity,
                    health: None,
                }));
            }
            Err(error) if error.is_passing() => {
                warn!("Slack cannot be asked who we are, trying again: {error}");
            }
            Err(error) => return Err(anyhow!("{}", error.advice())),
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// The memo that holds which files the audit knows as loaded.
const LOADED: &str = "loaded";

/// The program's start and what it was made of, for the audit.
async fn note_start(core: &Core) -> Result<()> {
    let loaded = loaded(core);
    let files = json!(loaded);
    core.store
        .audit_event(Actor::Habops, None, vec![loaded])
        .await
        .context("cannot write the audit")?;
    core.store
        .put_state(LOADED, &files)
        .await
        .context("cannot write the store")
}

/// The same for a program that runs one command: written where the audit does not end with these files already. A store that
/// cannot be written is not worth a word here: the command says so itself.
pub async fn note_files(core: &Core) {
    let noted = async {
        let known = core.store.get_state(LOADED).await?;
        if known == Some(json!(loaded(core))) {
            return Ok(());
        }
        note_start(core).await
    };
    if let Err(error) = noted.await {
        debug!("the files of the catalogue cannot be noted: {error:#}");
    }
}

fn loaded(core: &Core) -> Event {
    Event::Loaded {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        files: core.catalogue.files.clone(),
    }
}

/// The listeners that the caller owns.
pub struct Listeners {
    /// `[http] listen`; needed in `http` mode, and for PagerDuty's webhooks.
    pub http: Option<TcpListener>,
    /// `[http] admin`.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds what the configuration asks for.
    pub async fn bind(config: &Config) -> Result<Self> {
        let bind = |address: std::net::SocketAddr, key: &'static str| async move {
            TcpListener::bind(address).await.with_context(|| {
                format!("cannot listen on {address}; set http.{key} to a free address")
            })
        };
        let over_http = config
            .slack
            .as_ref()
            .is_some_and(|slack| slack.mode == Mode::Http);
        Ok(Self {
            http: if over_http || !webhook_secrets(config).is_empty() {
                Some(bind(config.http.listen, "listen").await?)
            } else {
                None
            },
            admin: bind(config.http.admin, "admin").await?,
        })
    }
}

/// What PagerDuty signs its webhooks with; none where they are not configured.
fn webhook_secrets(config: &Config) -> &[SecretString] {
    let section = config.pagerduty.as_ref();
    section.map_or(&[], |section| &section.webhook_secrets)
}

/// Runs the bot until told to stop. `ready` is called once a command would be accepted.
pub async fn start(
    config: Config,
    listeners: Listeners,
    stop: CancellationToken,
    ready: impl FnOnce() + Send + 'static,
) -> Result<()> {
    let Some(mut introduced) = introduce(&config, &stop).await? else {
        return Ok(()); // told to stop before Slack answered
    };
    let section = config.slack.as_ref().context("[slack] is missing")?;
    let session =
        (section.mode == Mode::Socket).then(|| slack::Session::new(introduced.client.clone()));
    introduced.health = session.as_ref().map(slack::Session::health);
    let core = core(&config, Some(&introduced), &stop)?;
    note_start(&core).await?;
    let inbox: Arc<dyn Inbox> = Arc::new(core.pipeline.clone());
    let outbox: Arc<dyn Outbox> = Arc::new(core.store.clone());
    // The parts end one after the other: first what comes in, then what runs, then what goes out.
    let (incoming, clock, outgoing) = (
        stop.child_token(),
        CancellationToken::new(),
        CancellationToken::new(),
    );
    let tasks = TaskTracker::new();
    let fleet = core.clients.fleet.clone();
    let fleet_stop = clock.clone();
    tasks.spawn(async move { fleet.run(fleet_stop).await });
    tasks.spawn(watch::leases(core.store.clone(), clock.clone()));
    by_the_clock(&core, &inbox, &config, &tasks, &incoming);
    let poster = Poster::new(
        introduced.client.clone(),
        outbox,
        introduced.identity.clone(),
    );
    let poster_health = poster.health();
    let posting = tasks.spawn(poster.run(outgoing.clone()));
    let webhooks = Arc::new(webhooks::Counts::default());
    let unsigned = Tally::default();
    let state = admin::State::new(
        core.store.clone(),
        Arc::clone(&core.clients),
        introduced.health.clone(),
        poster_health,
        Arc::clone(&webhooks),
        core.counts.clone(),
        unsigned.clone(),
    );
    let admin = listeners.admin.local_addr();
    let admin = admin.context("the admin listener has no address")?;
    tasks.spawn(admin::serve(listeners.admin, state, clock.clone()));
    let failed = CancellationToken::new();
    if let Some(listener) = listeners.http {
        let router = doors(&config, section, &introduced, &inbox, webhooks, unsigned)?;
        let stop = incoming.clone();
        tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, router)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await
            {
                error!("the HTTP listener ended: {error}");
            }
        });
    }
    if let Some(session) = session {
        let health = session.health();
        let (token, failed) = (incoming.clone(), failed.clone());
        let (client, identity) = (introduced.client.clone(), introduced.identity.clone());
        let inbox = Arc::clone(&inbox);
        tasks.spawn(async move {
            if let Err(error) = socket::run(session, client, identity, inbox, token.clone()).await {
                error!("{error}");
            }
            if !token.is_cancelled() {
                failed.cancel();
            }
        });
        tasks.spawn(greeted(health, incoming.clone(), ready));
    } else {
        ready();
    }
    info!(
        "habops {} is up, store {}, /readyz on {admin}",
        env!("CARGO_PKG_VERSION"),
        core.store.path().display()
    );
    until_either(&stop, &failed).await;
    incoming.cancel();
    stop.cancel();
    let ends = Ends {
        outgoing,
        clock,
        posting,
    };
    ends.in_order(&core, tasks).await;
    if failed.is_cancelled() {
        Err(anyhow!(
            "Slack has closed Socket Mode for this app; see the log"
        ))
    } else {
        Ok(())
    }
}

/// What is served on `[http] listen`: Slack's requests in `http` mode, PagerDuty's where they can be told from others'.
fn doors(
    config: &Config,
    section: &Slack,
    introduced: &Introduced,
    inbox: &Arc<dyn Inbox>,
    counts: Arc<webhooks::Counts>,
    unsigned: Tally,
) -> Result<Router> {
    let mut router = Router::new();
    if section.mode == Mode::Http {
        let secret = section
            .signing_secret
            .clone()
            .context("slack.signing_secret is missing")?;
        router = router.merge(http::router(
            Arc::clone(inbox),
            secret,
            introduced.client.clone(),
            introduced.identity.clone(),
            unsigned,
        ));
    }
    let secrets = webhook_secrets(config);
    if !secrets.is_empty() {
        router = router.merge(webhooks::router(
            Arc::clone(inbox),
            secrets.to_vec(),
            counts,
        ));
    }
    Ok(router)
}

async fn until_either(one: &CancellationToken, other: &CancellationToken) {
    tokio::select! {
        () = one.cancelled() => {}
        () = other.cancelled() => {}
    }
}

/// What ends after what runs.
struct Ends {
    outgoing: CancellationToken,
    clock: CancellationToken,
    posting: tokio::task::JoinHandle<()>,
}

impl Ends {
    /// First what runs, then what goes out, then the clock and the connections; each in bounded time.
    async fn in_order(self, core: &Core, tasks: TaskTracker) {
        if timeout(LAST_WORDS, core.pipeline.settled()).await.is_err() {
            warn!(
                "some commands did not end in {} s; they will be shown as interrupted",
                LAST_WORDS.as_secs()
            );
        }
        self.outgoing.cancel();
        let _ = timeout(LAST_POSTS, self.posting).await;
        self.clock.cancel();
        tasks.close();
        let _ = timeout(LAST_POSTS, tasks.wait()).await;
        if let Some(datastore) = &core.clients.datastore {
            datastore.close();
        }
        core.clients.ssh.shutdown().await;
    }
}

/// Calls `ready` once a socket has said hello.
async fn greeted(health: slack::Health, stop: CancellationToken, ready: impl FnOnce() + Send) {
    let mut changes = health.changes();
    while health.greeted() == 0 {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
    ready();
}
