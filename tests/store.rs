//! The store as the other layers use it: several of them on one file, time moved by hand.

#[path = "store/audit.rs"]
mod audit;
#[path = "store/opening.rs"]
mod opening;
#[path = "store/operations.rs"]
mod operations;
#[path = "store/outbox.rs"]
mod outbox;
#[path = "store/races.rs"]
mod races;
#[path = "store/sweeping.rs"]
mod sweeping;

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use habops::{
    domain::{
        actor::Actor,
        audit::Event,
        ids::OperationId,
        inbound::Via,
        journey::{Redacted, redact},
        message::{About, Carrier, Destination, Lane, MessageKey, Under, Wish},
        operation::{Offer, State},
        output::{Action, Output, Status},
        place::{Place, Whence},
        redact::Rules,
    },
    store::{Accept, Accepted, Change, Config, Store},
};
use jiff::Timestamp;
use tempfile::TempDir;

/// A directory with one database, a clock that is moved by hand, and as many stores on it as wanted.
struct Ground {
    dir: TempDir,
    now: Arc<Mutex<Timestamp>>,
}

impl Ground {
    fn new() -> Self {
        let start = "2026-11-23T03:00:00.123456789Z".parse().unwrap();
        Self {
            dir: tempfile::tempdir().unwrap(),
            now: Arc::new(Mutex::new(start)),
        }
    }

    /// A store of its own, as another process would have it.
    fn store(&self, owner: &str) -> Store {
        self.open(&Config::default(), owner)
    }

    fn open(&self, config: &Config, owner: &str) -> Store {
        let now = Arc::clone(&self.now);
        let clock = Arc::new(move || *now.lock().unwrap());
        Store::open(config, self.dir.path(), clock, owner.into()).unwrap()
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }
}

fn ana() -> Actor {
    Actor::person("THOME", "UANA")
}

fn bo() -> Actor {
    Actor::person("THOME", "UBO")
}

fn said(title: &str) -> Redacted {
    // Built once: a dozen regular expressions take longer to compile than everything else here.
    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new([]).unwrap());
    redact(Output::new(Status::Done, title), &RULES)
}

/// `/habops status`, typed by Ana in #operations.
fn typed(key: &str, at: Timestamp) -> Accept {
    Accept {
        key: key.to_owned(),
        received_at: at,
        text: "status".to_owned(),
        command: Some("status".into()),
        actor: ana(),
        whence: Whence::Slack {
            place: Place::channel("COPS"),
        },
        via: Via::Slash,
        reply: None,
        yes: false,
        state: State::Received,
        output: None,
        events: vec![Event::Received {
            text: "status".to_owned(),
            command: Some("status".to_owned()),
        }],
        wishes: Accept::no_wishes(),
        offers: Vec::new(),
    }
}

async fn accepted(store: &Store, key: &str) -> OperationId {
    match store.accept(typed(key, store.now())).await.unwrap() {
        Accepted::New { id, .. } => id,
        Accepted::Duplicate(of) => panic!("{key} was there already: {of:?}"),
    }
}

/// An operation that runs on that store, with fence 1.
async fn running(store: &Store, key: &str) -> OperationId {
    let id = accepted(store, key).await;
    let step = store.step(id, State::Received, State::Running, Change::default());
    assert!(step.await.unwrap().won());
    id
}

fn button(id: &str, operation: OperationId) -> Offer {
    Offer {
        id: id.into(),
        action: Action::Approve,
        operation: Some(operation),
        command: None,
        incident: None,
        expires_at: None,
        used_by: None,
    }
}

/// A message in #operations.
fn wish(key: &str, title: &str) -> Wish {
    Wish {
        key: MessageKey(key.to_owned()),
        to: Destination {
            channel: "COPS".into(),
            thread: Under::Channel,
        },
        carrier: Carrier::Message,
        lane: Lane::Progress,
        output: said(title),
        about: About {
            operation: None,
            incident: None,
            state: "running".to_owned(),
            actor: ana(),
            typed: "status".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            back_filled: false,
        },
    }
}
