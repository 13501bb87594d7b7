//! What is to be written next. An acknowledgement's goes at once; what nobody waits for at the door waits a moment for company where
//! there is much of it, so that a command costs about one commit however many steps it takes.

use std::{
    num::NonZeroU32,
    sync::{Arc, mpsc},
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many jobs may wait; past it a caller waits, and then is told that the store is busy.
const ROOM: usize = 1_024;
/// How many jobs of either haste share one transaction at most, so that the first never waits for many hundreds.
const BATCH: usize = 256;
/// How many commits of what can wait may follow one another at once, and how many a second then: a single command never waits for
/// company, and a wait is 20 ms at most.
const COMMITS_AT_ONCE: NonZeroU32 = NonZeroU32::new(16).expect("not zero");
const COMMITS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("not zero");

/// When a job is to be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// At once: an acknowledgement waits for it.
    Now,
    /// With others, where there are many.
    Soon,
}

/// A queue, and the door to it.
pub(super) fn queue<T>() -> (Door<T>, Queue<T>) {
    let (jobs, queued) = mpsc::channel();
    let door = Door {
        jobs,
        room: Arc::new(Semaphore::new(ROOM)),
    };
    let queue = Queue {
        queued,
        waiting: Waiting::default(),
        pace: RateLimiter::direct(
            Quota::per_second(COMMITS_PER_SECOND).allow_burst(COMMITS_AT_ONCE),
        ),
    };
    (door, queue)
}

/// Where jobs come in.
pub(super) struct Door<T> {
    jobs: mpsc::Sender<Queued<T>>,
    room: Arc<Semaphore>,
}

/// Nobody takes jobs any more.
#[derive(Debug)]
pub(super) struct Closed;

impl<T> Door<T> {
    /// Brings a job, once there is room for it.
    pub(super) async fn bring(&self, haste: Haste, job: T) -> Result<(), Closed> {
        let place = Arc::clone(&self.room).acquire_owned().await;
        let queued = Queued {
            job,
            haste,
            _place: place.map_err(|_| Closed)?,
        };
        self.jobs.send(queued).map_err(|_| Closed)
    }
}

/// A job and its place.
struct Queued<T> {
    job: T,
    haste: Haste,
    _place: OwnedSemaphorePermit,
}

/// Where jobs are taken out.
pub(super) struct Queue<T> {
    queued: mpsc::Receiver<Queued<T>>,
    waiting: Waiting<T>,
    pace: DefaultDirectRateLimiter,
}

impl<T> Queue<T> {
    /// Waits for the jobs of the next transaction; none when the door is gone and nothing waits.
    pub(super) fn next(&mut self) -> Option<Vec<T>> {
        if self.waiting.soon.is_empty() {
            self.waiting.add(self.queued.recv().ok()?);
        }
        loop {
            while self.waiting.has_room()
                && let Ok(next) = self.queued.try_recv()
            {
                self.waiting.add(next);
            }
            let pause = match self.waiting.take(|| pause(&self.pace)) {
                Ok(batch) => return Some(batch),
                Err(pause) => pause,
            };
            match self.queued.recv_timeout(pause) {
                Ok(next) => self.waiting.add(next),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Some(std::mem::take(&mut self.waiting.soon));
                }
            }
        }
    }
}

/// How long what can wait has to; where it need not, its turn is taken.
fn pause(pace: &DefaultDirectRateLimiter) -> Duration {
    match pace.check() {
        Ok(()) => Duration::ZERO,
        Err(not_yet) => not_yet.wait_time_from(pace.clock().now()),
    }
}

/// What is in no transaction yet.
struct Waiting<T> {
    now: Vec<T>,
    soon: Vec<T>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            now: Vec::new(),
            soon: Vec::new(),
        }
    }
}

impl<T> Waiting<T> {
    fn add(&mut self, queued: Queued<T>) {
        match queued.haste {
            Haste::Now => self.now.push(queued.job),
            Haste::Soon => self.soon.push(queued.job),
        }
    }

    fn has_room(&self) -> bool {
        self.now.len() < BATCH && self.soon.len() < BATCH
    }

    /// What the next transaction takes, or how long to wait for more. What can wait goes along when its `pause` is over, which is
    /// asked only where it matters, or when it fills a transaction by itself.
    fn take(&mut self, pause: impl FnOnce() -> Duration) -> Result<Vec<T>, Duration> {
        let pause = match self.soon.len() {
            0 | BATCH.. => Duration::ZERO,
            _ => pause(),
        };
        let mut batch = std::mem::take(&mut self.now);
        if pause.is_zero() {
            batch.append(&mut self.soon);
        }
        if batch.is_empty() {
            return Err(pause);
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::{BATCH, Waiting};

    #[rstest]
    // Nobody at the door: it waits for company, until its pause is over.
    #[case::waits(0, 3, 10, None, 3)]
    #[case::is_due(0, 3, 0, Some(3), 0)]
    // An acknowledgement waits for nobody, and is held up by nobody.
    #[case::goes_alone(2, 3, 10, Some(2), 3)]
    #[case::goes_with_what_is_due(2, 3, 0, Some(5), 0)]
    #[case::is_all_there_is(2, 0, 10, Some(2), 0)]
    // What fills a transaction has company enough.
    #[case::is_full(0, BATCH, 10, Some(BATCH), 0)]
    fn what_can_wait_waits_for_company_and_holds_up_nobody(
        #[case] now: usize,
        #[case] soon: usize,
        #[case] pause: u64,
        #[case] taken: Option<usize>,
        #[case] left: usize,
    ) {
        let pause = Duration::from_millis(pause);
        let mut waiting = Waiting {
            now: vec![(); now],
            soon: vec![(); soon],
        };
        let batch = waiting.take(|| pause).map(|batch| batch.len());
        assert_eq!(batch, taken.ok_or(pause));
        assert_eq!((waiting.now.len(), waiting.soon.len()), (0, left));
    }
}
