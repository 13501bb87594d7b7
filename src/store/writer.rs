//! The one thread that writes. It runs the jobs that its queue hands out together in one transaction, and lets one fsync do for all
//! of them (group commit).

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as sync,
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use super::{
    Clock,
    error::{Error, Fault},
    queue::{Door, Haste, Queue, queue},
};
use crate::domain::ids::Owner;

/// How many commits until the log is copied back into the database.
const CHECKPOINT_EVERY: u64 = 128;

/// What a job sees while it runs: the open transaction, and what is true now.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    pub(super) now: Timestamp,
    pub(super) owner: &'a Owner,
    wished: &'a Cell<bool>,
}

impl Tx<'_> {
    /// Something may be due in the outbox: wakes the poster after the commit.
    pub(super) fn wake_poster(&self) {
        self.wished.set(true);
    }
}

/// The door to the writing thread.
pub(super) struct Writer {
    path: PathBuf,
    door: Door<Box<dyn Job>>,
    commits: Arc<AtomicU64>,
}

trait Job: Send {
    /// Whether somebody still waits for it.
    fn wanted(&self) -> bool;
    /// Runs it inside its savepoint; `false` undoes it.
    fn run(&mut self, tx: &Tx<'_>, path: &Path) -> bool;
    /// Tells what came of it; a job to be done because nobody listens any more.
    fn answer(self: Box<Self>, committed: Result<(), Error>) -> Option<Box<dyn Job>>;
}

/// What to do about a result that nobody received.
pub(super) type IfLost<T> = fn(&T, &Tx<'_>) -> Result<(), Fault>;

struct Work<F, T> {
    run: Option<F>,
    outcome: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
    lost: Option<IfLost<T>>,
}

impl<F, T> Job for Work<F, T>
where
    F: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send,
    T: Send + 'static,
{
    fn wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, tx: &Tx<'_>, path: &Path) -> bool {
        let Some(run) = self.run.take() else {
            return false;
        };
        // A panic in one job must not leave the bot alive and deaf to every later one.
        let outcome = catch_unwind(AssertUnwindSafe(|| run(tx))).unwrap_or_else(|_| {
            Err(Fault::Said(Error::Fault {
                file: path.display().to_string(),
                why: "a write panicked".to_owned(),
            }))
        });
        let outcome = outcome.map_err(|fault| fault.at(path));
        let kept = outcome.is_ok();
        self.outcome = Some(outcome);
        kept
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) -> Option<Box<dyn Job>> {
        let outcome = match (self.outcome, committed) {
            // Its own fault is the better answer, also where it took the whole transaction with it.
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(outcome), Ok(())) => outcome,
            (None, Ok(())) => return None,
        };
        let unheard = self.reply.send(outcome).err()?.ok()?;
        let lost = self.lost?;
        Some(Box::new(Unheard {
            result: Some(unheard),
            lost,
        }))
    }
}

/// Puts right what a result leaves behind that nobody received.
struct Unheard<T> {
    result: Option<T>,
    lost: IfLost<T>,
}

impl<T: Send> Job for Unheard<T> {
    fn wanted(&self) -> bool {
        true
    }

    fn run(&mut self, tx: &Tx<'_>, path: &Path) -> bool {
        let Some(result) = self.result.take() else {
            return false;
        };
        let done = (self.lost)(&result, tx).map_err(|fault| fault.at(path));
        if let Err(error) = &done {
            tracing::warn!(%error, "cannot let go of what nobody waits for; its lease will lapse when habops stops");
        }
        done.is_ok()
    }

    fn answer(self: Box<Self>, _: Result<(), Error>) -> Option<Box<dyn Job>> {
        None
    }
}

type Answer<T> = oneshot::Receiver<Result<T, Error>>;

fn work<F, T>(run: F, lost: Option<IfLost<T>>) -> (Work<F, T>, Answer<T>)
where
    F: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send,
{
    let (reply, answer) = oneshot::channel();
    let work = Work {
        run: Some(run),
        outcome: None,
        reply,
        lost,
    };
    (work, answer)
}

impl Writer {
    /// Starts the thread on a connection that is ready; it ends when the last [`Writer`] is gone.
    pub(super) fn start(
        path: &Path,
        connection: Connection,
        checkpointer: Connection,
        clock: Clock,
        owner: Owner,
        wished: Arc<Notify>,
    ) -> std::io::Result<Self> {
        let (door, jobs) = queue();
        let commits = Arc::new(AtomicU64::new(0));
        let (tick, ticks) = sync::sync_channel(1);
        thread::Builder::new()
            .name("habops-checkpoint".to_owned())
            .spawn(move || checkpoint(&checkpointer, &ticks))?;
        let thread = Thread {
            path: path.to_owned(),
            connection,
            clock,
            owner,
            wished,
            commits: Arc::clone(&commits),
            tick,
        };
        thread::Builder::new()
            .name("habops-store".to_owned())
            .spawn(move || thread.serve(jobs))?;
        Ok(Self {
            path: path.to_owned(),
            door,
            commits,
        })
    }

    /// Runs a job and returns once it is on the disk. After `within` the answer is [`Error::Busy`]: then the job was not begun,
    /// or what came of it goes to `lost`.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        haste: Haste,
        within: Duration,
        lost: Option<IfLost<T>>,
        run: impl FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let (job, answer) = work(run, lost);
        let done = async {
            if self.door.bring(haste, Box::new(job)).await.is_err() {
                return Err(Error::closed(&self.path));
            }
            answer
                .await
                .unwrap_or_else(|_| Err(Error::closed(&self.path)))
        };
        tokio::time::timeout(within, done)
            .await
            .unwrap_or_else(|_| Err(Error::busy(&self.path, within)))
    }

    /// How many transactions were committed.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

/// Copies the log back beside the writer, so that no command waits for it. Passive: it takes what it can and blocks nobody.
fn checkpoint(connection: &Connection, ticks: &sync::Receiver<()>) {
    while ticks.recv().is_ok() {
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(%error, "cannot copy the store's log back; it is tried again");
        }
    }
}

struct Thread {
    path: PathBuf,
    connection: Connection,
    clock: Clock,
    owner: Owner,
    wished: Arc<Notify>,
    commits: Arc<AtomicU64>,
    tick: sync::SyncSender<()>,
}

impl Thread {
    fn serve(self, mut jobs: Queue<Box<dyn Job>>) {
        while let Some(batch) = jobs.next() {
            let mut left = self.commit(batch);
            // Answers that nobody heard; what they leave behind is put right before the next batch.
            while !left.is_empty() {
                left = self.commit(left);
            }
        }
    }

    /// One transaction for all of them; the jobs that follow from answers nobody heard.
    fn commit(&self, batch: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let wished = Cell::new(false);
        let (done, committed) = match self.connection.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => self.run(batch, &wished),
            Err(error) => (batch, Err(Error::of(&self.path, &error))),
        };
        if committed.is_ok() {
            let commits = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
            if commits.is_multiple_of(CHECKPOINT_EVERY) {
                let _ = self.tick.try_send(()); // full: one is due already
            }
            if wished.get() {
                self.wished.notify_one();
            }
        }
        done.into_iter()
            .filter_map(|job| job.answer(committed.clone()))
            .collect()
    }

    fn run(
        &self,
        batch: Vec<Box<dyn Job>>,
        wished: &Cell<bool>,
    ) -> (Vec<Box<dyn Job>>, Result<(), Error>) {
        let mut done = Vec::with_capacity(batch.len());
        let mut failed = None;
        for mut job in batch {
            if failed.is_none() && job.wanted() {
                failed = self.run_one(job.as_mut(), wished).err();
            }
            done.push(job);
        }
        let committed = match failed {
            None => self.connection.execute_batch("COMMIT"),
            Some(error) => Err(error),
        };
        let committed = committed.map_err(|error| {
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK"); // gone already is as good
            }
            Error::of(&self.path, &error)
        });
        (done, committed)
    }

    /// Runs one job in its savepoint. An error is the whole transaction's: `SQLite` rolls all of it back on a full or failing disk.
    fn run_one(&self, job: &mut dyn Job, wished: &Cell<bool>) -> rusqlite::Result<()> {
        let statement = |sql| self.connection.prepare_cached(sql)?.execute([]).map(|_| ());
        statement("SAVEPOINT job")?;
        let tx = Tx {
            conn: &self.connection,
            now: (self.clock)(),
            owner: &self.owner,
            wished,
        };
        if !job.run(&tx, &self.path) {
            statement("ROLLBACK TO job")?;
        }
        statement("RELEASE job")
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use jiff::Timestamp;
    use rusqlite::Connection;
    use serde_json::json;
    use tempfile::TempDir;

    use super::{Arc, Haste, Tx};
    use crate::store::{Config, Error, Fault, Store, rows::int};

    fn store(also: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> (TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Timestamp::now);
        let store = Store::open_with(&Config::default(), dir.path(), clock, "one".into(), also);
        (dir, store.unwrap())
    }

    #[tokio::test]
    async fn what_can_wait_shares_commits_where_many_come_one_by_one() {
        let (_dir, store) = store(|_| Ok(()));
        let one = |number: usize| {
            let store = store.clone();
            async move {
                // One after the other, as no acknowledgement would come.
                tokio::time::sleep(Duration::from_millis(number as u64)).await;
                store.put_state("x", &json!(number)).await.unwrap();
            }
        };
        let before = store.commits();
        futures_util::future::join_all((0..300).map(one)).await;
        let commits = store.commits() - before;
        assert!(commits < 150, "{commits} commits for 300 writes");
    }

    #[tokio::test]
    async fn a_full_disk_is_a_sentence_and_what_was_kept_stays_readable() {
        // SQLite's own limit gives the same error as the disk's.
        let (_dir, store) = store(|connection| {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            connection.query_row(
                &format!("PRAGMA max_page_count = {}", pages + 20),
                [],
                |_| Ok(()),
            )
        });
        store.put_state("small", &json!("kept")).await.unwrap();
        let error = store
            .put_state("big", &json!("x".repeat(200_000)))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error}");
        assert!(error.to_string().contains("habops.db"), "{error}");
        assert!(error.to_string().contains("free some space"), "{error}");
        assert_eq!(store.get_state("small").await.unwrap(), Some(json!("kept")));
        assert_eq!(store.get_state("big").await.unwrap(), None);
        // Room for small things is still there, and the writer still serves.
        store.put_state("small", &json!("newer")).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_may_not_be_written_is_a_sentence() {
        let (_dir, store) = store(|connection| connection.pragma_update(None, "query_only", true));
        let error = store.check().await.unwrap_err();
        assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
        assert!(
            error.to_string().contains("habops.db is read-only"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_job_that_panics_is_undone_and_the_writer_lives() {
        let (_dir, store) = store(|_| Ok(()));
        let panics = |tx: &Tx<'_>| -> Result<(), Fault> {
            tx.conn
                .execute("INSERT INTO memos VALUES ('x', '1', 0)", [])?;
            panic!("on purpose");
        };
        let error = store.write(panics).await.unwrap_err();
        assert!(matches!(error, Error::Fault { .. }), "{error}");
        assert_eq!(store.get_state("x").await.unwrap(), None);
        store.put_state("x", &json!(2)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_kept_after_its_sender_gave_up_is_left_to_recovery() {
        let (_dir, store) = store(|_| Ok(()));
        let (go, gone) = mpsc::channel::<()>();
        let slow = move |tx: &Tx<'_>| {
            let _ = gone.recv();
            tx.conn
                .execute("INSERT INTO memos VALUES ('late', '1', 0)", [])?;
            Ok(7_u64)
        };
        let lost = |result: &u64, tx: &Tx<'_>| {
            tx.conn.execute(
                "UPDATE memos SET at = ?1 WHERE name = 'late'",
                [int(*result)],
            )?;
            Ok(())
        };
        let within = Duration::from_millis(50);
        let error = store
            .inner
            .writer
            .run(Haste::Soon, within, Some(lost), slow)
            .await;
        assert!(matches!(error.unwrap_err(), Error::Busy { .. }));
        drop(go);
        // The next job runs after what that one left behind.
        let at = store
            .write(|tx| {
                Ok(tx
                    .conn
                    .query_row("SELECT at FROM memos WHERE name = 'late'", [], |row| {
                        row.get::<_, i64>(0)
                    })?)
            })
            .await;
        assert_eq!(at.unwrap(), 7);
    }
}
