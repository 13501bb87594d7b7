//! Which nodes there are: EC2's instances and the file's nodes in one list, kept in memory and read again in the background,
//! so that no command waits for EC2 and every command works while it is down.

mod config;
mod merge;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::{
    sync::{Mutex, watch},
    time::{MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::config::{Config, NodeConfig};
use super::ec2;
use crate::domain::node::Fleet;

/// How long the first reader waits for EC2; later ones take what is there.
const FIRST_READ: Duration = Duration::from_secs(10);

/// The fleet as last read. Cheap to clone; clones share what they know.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    ec2: Option<ec2::Client>,
    /// Nothing until EC2 was read once or did not answer in time.
    current: watch::Sender<Option<Arc<Fleet>>>,
    /// Held while EC2 is read: one read at a time.
    reading: Mutex<()>,
    /// How many reads have begun.
    begun: AtomicU64,
    /// Whether the entries that fit no node have been told of: once is enough.
    told_idle: AtomicBool,
}

impl Client {
    /// With EC2, where it is configured, asked by the usual AWS credentials. Reads nothing yet.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let ec2 = config
            .ec2
            .as_ref()
            .map(ec2::Client::new)
            .transpose()
            .context("cannot set up the client for EC2")?;
        Ok(Self::build(config, ec2))
    }

    /// With an EC2 client made elsewhere, such as one with explicit credentials; `config.ec2` is then not looked at.
    pub fn with_ec2(config: &Config, ec2: ec2::Client) -> Self {
        Self::build(config, Some(ec2))
    }

    fn build(config: &Config, ec2: Option<ec2::Client>) -> Self {
        let client = Self(Arc::new(Inner {
            config: config.clone(),
            ec2,
            current: watch::Sender::new(None),
            reading: Mutex::new(()),
            begun: AtomicU64::new(0),
            told_idle: AtomicBool::new(false),
        }));
        if client.0.ec2.is_none() {
            client.0.publish(Arc::new(client.0.unread(None)));
        }
        client
    }

    /// What is known now. Only the very first reader waits, and at most ten seconds; a static fleet never waits.
    pub async fn snapshot(&self) -> Arc<Fleet> {
        if let Some(fleet) = self.0.known() {
            return fleet;
        }
        match timeout(FIRST_READ, self.0.first()).await {
            Ok(fleet) => fleet,
            Err(_) => self.0.give_up_waiting(),
        }
    }

    /// Reads EC2 now and gives what came of it. Callers at the same time share one read.
    pub async fn refresh_now(&self) -> Arc<Fleet> {
        self.0.refresh().await
    }

    /// Reads EC2 every `refresh` until stopped. For one task of the program; the first read is at once.
    pub async fn run(&self, stop: CancellationToken) {
        let Some(ec2) = &self.0.ec2 else {
            return stop.cancelled().await;
        };
        let mut ticks = tokio::time::interval(ec2.refresh());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let refresh = async {
            loop {
                ticks.tick().await;
                self.0.refresh().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = refresh => {}
        }
    }
}

impl Inner {
    fn known(&self) -> Option<Arc<Fleet>> {
        self.current.borrow().clone()
    }

    fn publish(&self, fleet: Arc<Fleet>) {
        self.current.send_replace(Some(fleet));
    }

    /// The file's nodes alone.
    fn unread(&self, stale: Option<String>) -> Fleet {
        Fleet {
            nodes: merge::nodes(&self.config, &[]),
            default_environment: Some(self.config.default_environment.clone()),
            read_at: None,
            stale,
        }
    }

    /// Waits for the first read, or does it. Whoever waits takes over when the reader is dropped.
    async fn first(&self) -> Arc<Fleet> {
        let _one = self.reading.lock().await;
        match self.known() {
            Some(fleet) => fleet,
            None => self.read().await,
        }
    }

    /// A read that began after the call, by this caller or another.
    async fn refresh(&self) -> Arc<Fleet> {
        let before = self.begun.load(Ordering::SeqCst);
        let _one = self.reading.lock().await;
        match self.known() {
            Some(fleet) if self.begun.load(Ordering::SeqCst) != before => fleet,
            _ => self.read().await,
        }
    }

    /// To be called with `reading` held.
    async fn read(&self) -> Arc<Fleet> {
        let Some(ec2) = &self.ec2 else {
            return Arc::new(self.unread(None));
        };
        self.begun.fetch_add(1, Ordering::SeqCst);
        let before = self.known();
        let fleet = match ec2.read().await {
            Ok(reading) => self.read_well(&reading),
            Err(fault) => {
                let mut fleet = before
                    .as_deref()
                    .cloned()
                    .unwrap_or_else(|| self.unread(None));
                fleet.stale = Some(fault.to_string());
                fleet
            }
        };
        let was_stale = before.and_then(|fleet| fleet.stale.clone());
        match &fleet.stale {
            // Told when it changes: a line a minute all night helps nobody.
            Some(sentence) if was_stale.as_ref() != Some(sentence) => {
                warn!(nodes = fleet.nodes.len(), "{sentence}");
            }
            None if was_stale.is_some() => {
                info!(nodes = fleet.nodes.len(), "EC2 can be read again");
            }
            _ => {}
        }
        let fleet = Arc::new(fleet);
        self.publish(Arc::clone(&fleet));
        fleet
    }

    fn read_well(&self, reading: &ec2::Reading) -> Fleet {
        let nodes = merge::nodes(&self.config, &reading.instances);
        let idle = merge::idle(&self.config, &nodes);
        if !idle.is_empty() && !self.told_idle.swap(true, Ordering::Relaxed) {
            let names: Vec<&str> = idle.iter().map(|name| name.as_str()).collect();
            warn!(
                "EC2 has no node called {}: such an entry of [[fleet.node]] needs environment, role and address",
                names.join(", ")
            );
        }
        Fleet {
            nodes,
            default_environment: Some(self.config.default_environment.clone()),
            read_at: Some(Timestamp::now()),
            stale: reading
                .without_checks
                .as_ref()
                .map(|fault| format!("the status checks are missing: {fault}")),
        }
    }

    /// From here on nobody waits: whatever the background loop reads is published when it comes.
    fn give_up_waiting(&self) -> Arc<Fleet> {
        let sentence = "EC2 has not answered yet; it is read again at the next refresh";
        let mut served = Arc::new(self.unread(Some(sentence.to_owned())));
        self.current.send_if_modified(|current| {
            let first = current.is_none();
            served = Arc::clone(current.get_or_insert_with(|| Arc::clone(&served)));
            first
        });
        served
    }
}
