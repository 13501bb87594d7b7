//! Who people are and which groups they are in, remembered for minutes so that a busy incident does not ask Slack for
//! the same person at every click.
//!
//! An answer is never given past its time, also not when Slack cannot be asked: rights are read from it, and a right
//! that was taken away must not live on because of an outage.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::time::Instant;

use super::{error::Error, people::Person, web::Client};
use crate::domain::ids::{ChannelId, GroupId, UserId};

/// How long a person's entry is good.
const PERSON_FOR: Duration = Duration::from_mins(5);
/// How long a group's members are good.
const MEMBERS_FOR: Duration = Duration::from_mins(2);
/// How many people are remembered.
const MOST_PEOPLE: usize = 2_000;
/// How many groups are remembered.
const MOST_GROUPS: usize = 200;

/// People and groups, asked once by however many want to know at the same time.
#[derive(Clone)]
pub struct Directory {
    client: Client,
    people: Arc<Cache<UserId, Person>>,
    groups: Arc<Cache<GroupId, Vec<UserId>>>,
}

impl Directory {
    /// An empty directory of that workspace.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            people: Arc::new(Cache::new(PERSON_FOR, MOST_PEOPLE)),
            groups: Arc::new(Cache::new(MEMBERS_FOR, MOST_GROUPS)),
        }
    }

    /// That person as of the last five minutes.
    pub async fn person(&self, user: &UserId) -> Result<Arc<Person>, Error> {
        let (client, id) = (self.client.clone(), user.clone());
        self.people
            .get(user, async move { client.user(&id).await }.boxed())
            .await
    }

    /// Whoever has that e-mail; asked anew each time, for it is asked seldom.
    pub async fn found_by_email(&self, email: &str) -> Result<UserId, Error> {
        Ok(self.client.user_by_email(email).await?.id)
    }

    /// The conversation of the bot and that person.
    pub async fn direct(&self, user: &UserId) -> Result<ChannelId, Error> {
        self.client.open_dm(user).await
    }

    /// A group's members as of the last two minutes.
    pub async fn members(&self, group: &GroupId) -> Result<Arc<Vec<UserId>>, Error> {
        let (client, id) = (self.client.clone(), group.clone());
        self.groups
            .get(
                group,
                async move { client.group_members(&id).await }.boxed(),
            )
            .await
    }
}

type Answer<V> = Shared<BoxFuture<'static, Result<Arc<V>, Error>>>;

struct Entry<V> {
    /// Counted from the question, not from the answer: what we know is no newer than that.
    asked: Instant,
    answer: Answer<V>,
}

struct Cache<K, V> {
    good_for: Duration,
    most: usize,
    entries: Mutex<HashMap<K, Entry<V>>>,
}

impl<K: Hash + Eq + Clone, V: Send + Sync + 'static> Cache<K, V> {
    fn new(good_for: Duration, most: usize) -> Self {
        Self {
            good_for,
            most,
            entries: Mutex::new(HashMap::new()),
        }
    }

    /// The remembered answer, the one that is being fetched, or a new one. A failure is told to all who wait for it and
    /// then forgotten.
    async fn get(
        &self,
        key: &K,
        fetch: BoxFuture<'static, Result<V, Error>>,
    ) -> Result<Arc<V>, Error> {
        let answer = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entries.get(key).filter(|entry| self.is_good(entry)) {
                entry.answer.clone()
            } else {
                self.make_room(&mut entries);
                let answer = fetch.map(|answer| answer.map(Arc::new)).boxed().shared();
                let (asked, kept) = (Instant::now(), answer.clone());
                entries.insert(
                    key.clone(),
                    Entry {
                        asked,
                        answer: kept,
                    },
                );
                answer
            }
        };
        answer.await
    }

    fn is_good(&self, entry: &Entry<V>) -> bool {
        entry.asked.elapsed() < self.good_for && !matches!(entry.answer.peek(), Some(Err(_)))
    }

    fn make_room(&self, entries: &mut HashMap<K, Entry<V>>) {
        if entries.len() < self.most {
            return;
        }
        entries.retain(|_, entry| self.is_good(entry));
        while entries.len() >= self.most {
            let oldest = entries
                .iter()
                .min_by_key(|(_, entry)| entry.asked)
                .map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::{FutureExt as _, future::join_all};
    use tokio::sync::Notify;

    use super::{Cache, Duration, Error};

    fn failure() -> Error {
        Error::Unreachable {
            method: "users.info",
            why: "refused".to_owned(),
        }
    }

    #[tokio::test]
    async fn many_who_ask_at_once_ask_slack_once() {
        let cache = Cache::new(Duration::from_mins(1), 10);
        let (asked, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let lookups = (0..20).map(|_| {
            let (asked, open) = (asked.clone(), open.clone());
            let fetch = async move {
                asked.fetch_add(1, Ordering::SeqCst);
                open.notified().await;
                Ok(7)
            };
            cache.get(&"U1", fetch.boxed())
        });
        let (answers, ()) = tokio::join!(join_all(lookups), async { open.notify_one() });
        assert!(answers.into_iter().all(|answer| answer == Ok(Arc::new(7))));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn past_its_time_an_answer_is_not_given_even_if_slack_is_away() {
        let cache = Cache::new(Duration::ZERO, 10);
        assert_eq!(
            cache.get(&"U1", async { Ok(1) }.boxed()).await,
            Ok(Arc::new(1))
        );
        assert_eq!(
            cache.get(&"U1", async { Err(failure()) }.boxed()).await,
            Err(failure())
        );
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let cache = Cache::new(Duration::from_mins(1), 10);
        assert_eq!(
            cache.get(&"U1", async { Err(failure()) }.boxed()).await,
            Err(failure())
        );
        assert_eq!(
            cache.get(&"U1", async { Ok(2) }.boxed()).await,
            Ok(Arc::new(2))
        );
        assert_eq!(
            cache.get(&"U1", async { Err(failure()) }.boxed()).await,
            Ok(Arc::new(2)),
            "still good"
        );
    }

    #[tokio::test]
    async fn no_more_is_remembered_than_agreed() {
        let cache = Cache::new(Duration::from_mins(1), 2);
        for key in 0..5 {
            assert_eq!(
                cache.get(&key, async move { Ok(key) }.boxed()).await,
                Ok(Arc::new(key))
            );
        }
        assert_eq!(cache.entries.lock().unwrap().len(), 2);
        assert_eq!(
            cache.get(&4, async { Err(failure()) }.boxed()).await,
            Ok(Arc::new(4)),
            "the newest stay"
        );
    }
}
