//! Every shard at once: one statement each, several under way on each of a few warm connections. A shard that is broken costs its own
//! answer, one that is slow delays the few behind it on its connection, and a connection that is cut is made up for once.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    error::{Error, STATEMENT},
    pool::{CONNECTIONS, Leased, Pool, lease},
    question::{Most, Rows, Statement},
};

/// Statements under way on one connection: enough that it never waits for the next one, few enough that a slow one delays few.
const UNDER_WAY: usize = 8;
/// A connection that answers nothing for longer than its server lets any statement run is dead.
pub(super) const SILENCE: Duration = STATEMENT.saturating_add(Duration::from_secs(3));
/// How long all shards have together.
const WHOLE: Duration = Duration::from_secs(30);

/// What each shard answered.
pub(super) type Answers = BTreeMap<u16, Result<Rows, Error>>;

/// Asks every one of these shards.
pub(super) async fn shard(
    pool: &Pool,
    shards: impl IntoIterator<Item = u16>,
    statement: impl Fn(u16) -> Statement,
    most: Most,
) -> Answers {
    let deadline = Instant::now() + WHOLE;
    let mut answers = Answers::new();
    let mut left: Vec<u16> = shards.into_iter().collect();
    for last in [false, true] {
        let round = Round {
            queue: Mutex::new(left.drain(..).collect()),
            drained: CancellationToken::new(),
            deadline,
            most,
        };
        for (shard, answer) in round.run(pool, &statement).await {
            match answer {
                Err(error) if error.is_gone() && !last => left.push(shard),
                answer => {
                    answers.insert(shard, answer);
                }
            }
        }
        if left.is_empty() {
            break;
        }
    }
    answers
}

/// Shards that wait for their turn on one of the connections.
struct Round {
    queue: Mutex<VecDeque<u16>>,
    /// Nobody waits any more; whoever still waits for a connection need not.
    drained: CancellationToken,
    deadline: Instant,
    most: Most,
}

/// How it stands on one connection.
struct Course {
    heard: Instant,
    under_way: BTreeSet<u16>,
    answers: Vec<(u16, Result<Rows, Error>)>,
}

impl Round {
    async fn run(
        self,
        pool: &Pool,
        statement: &impl Fn(u16) -> Statement,
    ) -> Vec<(u16, Result<Rows, Error>)> {
        let on_each = (0..CONNECTIONS).map(|_| self.on_one(pool, statement));
        let (mut answers, mut faults) = (Vec::new(), Vec::new());
        for (answered, fault) in join_all(on_each).await {
            answers.extend(answered);
            faults.extend(fault);
        }
        let why = faults.into_iter().next().unwrap_or(Error::Late(WHOLE));
        let unasked = self
            .queue
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        answers.extend(unasked.into_iter().map(|shard| (shard, Err(why.clone()))));
        answers
    }

    /// One connection's share, and why it could not go on if it could not.
    async fn on_one(
        &self,
        pool: &Pool,
        statement: &impl Fn(u16) -> Statement,
    ) -> (Vec<(u16, Result<Rows, Error>)>, Option<Error>) {
        let connection: Leased = tokio::select! {
            biased;
            () = self.drained.cancelled() => return (Vec::new(), None),
            () = sleep_until(self.deadline) => return (Vec::new(), None),
            leased = lease(pool) => match leased {
                Ok(connection) => connection,
                Err(fault) => return (Vec::new(), Some(fault)),
            },
        };
        let course = Mutex::new(Course {
            heard: Instant::now(),
            under_way: BTreeSet::new(),
            answers: Vec::new(),
        });
        let one_after_the_other = || async {
            while let Some(shard) = self.next() {
                held(&course).under_way.insert(shard);
                let answer = statement(shard).ask(&connection, self.most).await;
                let mut course = held(&course);
                course.heard = Instant::now();
                course.under_way.remove(&shard);
                let gone = answer.as_ref().is_err_and(Error::is_gone);
                course.answers.push((shard, answer));
                if gone {
                    break;
                }
            }
        };
        let all = join_all((0..UNDER_WAY).map(|_| one_after_the_other()));
        let fault = tokio::select! {
            _ = all => None,
            () = silence(&course) => Some(Error::Silent(SILENCE)),
            () = sleep_until(self.deadline) => Some(Error::Late(WHOLE)),
        };
        let mut course = course.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = &fault {
            // What is still under way on it would be in the way of whoever used it next.
            drop(Leased::take(connection));
            let unanswered = std::mem::take(&mut course.under_way).into_iter();
            course
                .answers
                .extend(unanswered.map(|shard| (shard, Err(fault.clone()))));
        }
        let gone = course.answers.iter().find_map(|(_, answer)| match answer {
            Err(error) if error.is_gone() => Some(error.clone()),
            _ => None,
        });
        (course.answers, fault.or(gone))
    }

    fn next(&self) -> Option<u16> {
        let next = held(&self.queue).pop_front();
        if next.is_none() {
            self.drained.cancel();
        }
        next
    }
}

/// Returns once nothing was heard for too long.
async fn silence(course: &Mutex<Course>) {
    loop {
        let heard = held(course).heard;
        sleep_until(heard + SILENCE).await;
        if held(course).heard == heard {
            return;
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
