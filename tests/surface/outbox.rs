//! An outbox in memory, and a poster that takes its wishes to the sandbox's Slack.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use habops::{
    clients::slack::Client,
    domain::{
        actor::Actor,
        ids::{MessageTs, OperationId},
        message::{About, Carrier, Due, Lane, MessageKey, Posted},
        output::{Output, Status},
        records::Outbox,
    },
    sandbox::slack::{Seed, Slack},
    surface::slack::post::{Pace, Poster, PosterHealth},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{OPERATIONS, PATIENCE, client, identity, redacted, workspace};

/// One wish as this outbox keeps it.
struct Row {
    due: Due,
    state: Kept,
    due_at: Instant,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    Waiting,
    Claimed { seq: u64 },
    Sent,
    Refused(String),
}

/// The outbox in memory: newest wish a key, first of each channel first, doubtful as told.
#[derive(Default)]
pub struct Wishes {
    rows: Mutex<Vec<Row>>,
    wished: Notify,
    tries: AtomicUsize,
    pub claims: AtomicUsize,
    /// How long each transaction takes.
    takes: Duration,
    changes: watch::Sender<u64>,
}

/// How long what failed rests.
const RETRY: Duration = Duration::from_millis(50);

fn copied(due: &Due) -> Due {
    Due {
        row: due.row,
        key: due.key.clone(),
        channel: due.channel.clone(),
        thread: due.thread.clone(),
        carrier: due.carrier.clone(),
        posted: due.posted.clone(),
        seq: due.seq,
        lane: due.lane,
        output: due.output.clone(),
        about: due.about.clone(),
        doubtful: due.doubtful,
        attempts: due.attempts,
        reply: due.reply.clone(),
    }
}

pub fn due(key: &str, said: &str) -> Due {
    Due {
        row: 0,
        key: MessageKey(key.to_owned()),
        channel: OPERATIONS.into(),
        thread: None,
        carrier: Carrier::Message,
        posted: None,
        seq: 1,
        lane: Lane::Verdict,
        output: redacted(Output::new(Status::Done, said)),
        about: About {
            operation: Some(OperationId(17)),
            incident: None,
            state: "done".to_owned(),
            actor: Actor::person("T0SANDBOX", "U0ANA"),
            typed: "status api".to_owned(),
            at: jiff::Timestamp::now(),
            back_filled: false,
        },
        doubtful: false,
        attempts: 0,
        reply: None,
    }
}

impl Wishes {
    /// One whose transactions take so long each.
    pub fn taking(takes: Duration) -> Self {
        Self {
            takes,
            ..Self::default()
        }
    }

    /// A wish, or a newer one for the same key.
    pub fn wish(&self, mut due: Due) {
        let mut rows = self.rows.lock().unwrap();
        if let Some(row) = rows.iter_mut().find(|row| row.due.key == due.key) {
            row.due.output = due.output;
            row.due.about = due.about;
            row.due.lane = due.lane;
            row.due.seq += 1;
            if row.state == Kept::Sent {
                row.state = Kept::Waiting;
                row.due_at = Instant::now();
            }
        } else {
            due.row = i64::try_from(rows.len()).unwrap() + 1;
            rows.push(Row {
                due,
                state: Kept::Waiting,
                due_at: Instant::now(),
            });
        }
        drop(rows);
        self.wished.notify_one();
    }

    pub fn state(&self, key: &str) -> Kept {
        let rows = self.rows.lock().unwrap();
        rows.iter()
            .find(|row| row.due.key.0 == key)
            .unwrap()
            .state
            .clone()
    }

    pub fn ts(&self, key: &str) -> Option<MessageTs> {
        let rows = self.rows.lock().unwrap();
        rows.iter()
            .find(|row| row.due.key.0 == key)
            .unwrap()
            .due
            .posted
            .clone()
    }

    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        let looking = changes.wait_for(|_| is_so(self));
        let found = tokio::time::timeout(PATIENCE * 2, looking)
            .await
            .map(|_| ());
        let open: Vec<_> = self
            .rows
            .lock()
            .unwrap()
            .iter()
            .filter(|row| row.state != Kept::Sent)
            .map(|row| (row.due.key.0.clone(), row.state.clone()))
            .collect();
        assert!(found.is_ok(), "waited too long for {what}: {open:?}");
    }

    pub async fn all_sent(&self) {
        self.until("all to be sent", |it| {
            it.rows
                .lock()
                .unwrap()
                .iter()
                .all(|row| row.state == Kept::Sent)
        })
        .await;
    }

    pub async fn tried(&self, times: usize) {
        self.until("tries", |it| it.tries.load(Ordering::Relaxed) >= times)
            .await;
    }

    fn claim_now(&self, limit: usize) -> Vec<Due> {
        let mut rows = self.rows.lock().unwrap();
        let now = Instant::now();
        let mut ready: Vec<&mut Row> = rows
            .iter_mut()
            .filter(|row| row.state == Kept::Waiting && row.due_at <= now)
            .collect();
        ready.sort_by_key(|row| (row.due.lane, row.due.row));
        let claimed = ready.into_iter().take(limit).map(|row| {
            let due = copied(&row.due);
            row.due.attempts += 1;
            row.state = Kept::Claimed { seq: due.seq };
            due
        });
        claimed.collect()
    }

    fn settle_now(&self, due: &Due, posted: Posted) {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.iter_mut().find(|row| row.due.row == due.row).unwrap();
        assert_eq!(row.state, Kept::Claimed { seq: due.seq });
        row.state = Kept::Waiting;
        match posted {
            Posted::Sent { ts } => {
                if due.carrier == Carrier::Message && row.due.posted.is_none() {
                    row.due.posted = ts;
                }
                row.due.doubtful = false;
                if row.due.seq == due.seq {
                    row.state = Kept::Sent;
                }
            }
            Posted::Later { after } => row.due_at = Instant::now() + after,
            Posted::NotDone { retry_after, .. } => {
                row.due.doubtful = false;
                row.due_at = Instant::now() + retry_after.unwrap_or(RETRY);
            }
            Posted::Doubtful { .. } => {
                row.due.doubtful = true;
                row.due_at = Instant::now() + RETRY;
            }
            Posted::Refused { advice } => row.state = Kept::Refused(advice),
        }
        drop(rows);
        self.tries.fetch_add(1, Ordering::Relaxed);
        self.changes.send_modify(|changes| *changes += 1);
        self.wished.notify_one();
    }
}

impl Outbox for Wishes {
    fn claim(&self, limit: usize) -> BoxFuture<'_, anyhow::Result<Vec<Due>>> {
        async move {
            self.claims.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.takes).await;
            Ok(self.claim_now(limit))
        }
        .boxed()
    }

    fn settle<'a>(&'a self, due: &'a Due, posted: Posted) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            tokio::time::sleep(self.takes).await;
            self.settle_now(due, posted);
            Ok(())
        }
        .boxed()
    }

    fn wait(&self) -> BoxFuture<'_, ()> {
        async {
            let _ = tokio::time::timeout(RETRY, self.wished.notified()).await;
        }
        .boxed()
    }
}

pub struct Posting {
    pub outbox: Arc<Wishes>,
    pub health: PosterHealth,
    stop: CancellationToken,
    poster: Option<JoinHandle<()>>,
}

impl Posting {
    pub fn to(client: Client) -> Self {
        Self::of(client, Wishes::default())
    }

    pub fn of(client: Client, outbox: Wishes) -> Self {
        let outbox = Arc::new(outbox);
        let pace = Pace {
            posts_per_second: 50.try_into().unwrap(),
            between_edits: Duration::from_millis(400),
            ..Pace::default()
        };
        let poster = Poster::at_pace(client, outbox.clone(), identity(), pace);
        let health = poster.health();
        let stop = CancellationToken::new();
        let poster = Some(tokio::spawn(poster.run(stop.clone())));
        Self {
            outbox,
            health,
            stop,
            poster,
        }
    }

    pub async fn stopped(&mut self) {
        self.stop.cancel();
        let poster = self.poster.take().unwrap();
        tokio::time::timeout(PATIENCE, poster)
            .await
            .expect("the poster does not stop")
            .unwrap();
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The workspace without its own limit on posts, and a poster in it.
pub async fn posting() -> (Slack, Posting, DropGuard) {
    let (slack, end) = workspace(Seed {
        post_rate: None,
        ..Seed::default()
    })
    .await;
    let posting = Posting::to(client(&slack));
    (slack, posting, end)
}
