//! When something may be sent: Slack's rates, and what it asked us to wait.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed, keyed::HashMapStateStore},
};
use tokio::time::sleep;

use crate::{
    clients::slack::Error,
    domain::ids::{ChannelId, MessageTs},
};

/// Slack takes one new message a second in a channel, and short bursts.
const POSTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1).expect("not zero");
const POSTS_AT_ONCE: NonZeroU32 = NonZeroU32::new(4).expect("not zero");
/// Slack takes 50 edits a minute in the whole workspace: this many, and the burst on top of them.
const EDITS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(40).expect("not zero");
const EDITS_AT_ONCE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
/// How long a message stands before it is edited again.
const BETWEEN_EDITS: Duration = Duration::from_secs(3);
/// Above so many waiting edits only ends are sent.
const CROWD: usize = 10;
/// How many channels, messages and holds are remembered before those that no longer matter are forgotten.
const FORGET_ABOVE: usize = 512;

/// How fast the poster goes; the default is what Slack takes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// New messages and files a second in one channel.
    pub posts_per_second: NonZeroU32,
    /// How many of them at once, after a rest.
    pub posts_at_once: NonZeroU32,
    /// How long a message stands before it is edited again.
    pub between_edits: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            posts_per_second: POSTS_PER_SECOND,
            posts_at_once: POSTS_AT_ONCE,
            between_edits: BETWEEN_EDITS,
        }
    }
}

/// Time since the poster was made; a function, so that tests can move it.
#[derive(Clone)]
struct Ticks(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        (self.0)()
    }
}

type Posts = RateLimiter<ChannelId, HashMapStateStore<ChannelId>, Ticks, NoOpMiddleware<Duration>>;
type Edits = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>;

/// Says whose turn it is.
pub(super) struct Pacer {
    ticks: Ticks,
    posts: Posts,
    edits: Edits,
    between_edits: Duration,
    marks: Mutex<Marks>,
}

#[derive(Default)]
struct Marks {
    edited: HashMap<(ChannelId, MessageTs), Duration>,
    /// Until when Slack wants none of a method, in a channel where it counts by channel.
    holds: HashMap<(&'static str, Option<ChannelId>), Duration>,
    all: Duration,
}

/// The method whose limit is counted by channel.
pub(super) const POST: &str = "chat.postMessage";
/// Edits.
pub(super) const UPDATE: &str = "chat.update";

impl Pacer {
    pub(super) fn new(pace: Pace) -> Self {
        let born = Instant::now();
        Self::by(Ticks(Arc::new(move || born.elapsed())), pace)
    }

    fn by(ticks: Ticks, pace: Pace) -> Self {
        let posts = Quota::per_second(pace.posts_per_second).allow_burst(pace.posts_at_once);
        let edits = Quota::per_minute(EDITS_PER_MINUTE).allow_burst(EDITS_AT_ONCE);
        Self {
            posts: RateLimiter::hashmap_with_clock(posts, ticks.clone()),
            edits: RateLimiter::direct_with_clock(edits, ticks.clone()),
            ticks,
            between_edits: pace.between_edits,
            marks: Mutex::default(),
        }
    }

    /// How long a method rests, because Slack asked for it.
    pub(super) fn held(&self, method: &'static str, channel: &ChannelId) -> Option<Duration> {
        let now = self.ticks.now();
        let until = self.with(|marks| {
            let own = marks.holds.get(&(method, scope(method, channel)));
            own.copied().unwrap_or_default().max(marks.all)
        });
        (until > now).then(|| until.saturating_sub(now))
    }

    /// Slack asked to wait.
    pub(super) fn hold(&self, error: &Error, channel: &ChannelId) {
        let Error::RateLimited {
            method,
            retry_after,
        } = error
        else {
            return;
        };
        let now = self.ticks.now();
        let until = now + *retry_after;
        self.with(|marks| {
            forget(&mut marks.holds, |until| until <= now);
            marks.holds.insert((method, scope(method, channel)), until);
        });
    }

    /// Nothing at all for a while.
    pub(super) fn hold_all(&self, pause: Duration) {
        let until = self.ticks.now() + pause;
        self.with(|marks| marks.all = until);
    }

    /// Waits until a new message or file may be sent to the channel; at most a second for each that waits before it.
    pub(super) async fn turn(&self, channel: &ChannelId) {
        while let Err(left) = self.may_post(channel) {
            sleep(left).await;
        }
    }

    fn may_post(&self, channel: &ChannelId) -> Result<(), Duration> {
        if self.posts.len() > FORGET_ABOVE {
            self.posts.retain_recent();
        }
        self.posts
            .check_key(channel)
            .map_err(|not_yet| not_yet.wait_time_from(self.ticks.now()))
    }

    /// Whether a message may be edited now; else after how long. `waiting` is how many edits are at hand.
    pub(super) fn edit(
        &self,
        channel: &ChannelId,
        ts: &MessageTs,
        is_end: bool,
        waiting: usize,
    ) -> Result<(), Duration> {
        if let Some(left) = self.held(UPDATE, channel) {
            return Err(left);
        }
        let now = self.ticks.now();
        let key = (channel.clone(), ts.clone());
        self.with(|marks| {
            let since = marks.edited.get(&key).map(|at| now.saturating_sub(*at));
            if let Some(left) = since.and_then(|since| self.between_edits.checked_sub(since))
                && !left.is_zero()
            {
                return Err(left);
            }
            if !is_end && waiting > CROWD {
                return Err(self.between_edits);
            }
            // An end goes out even where the bucket is empty: Slack says itself when that is too much.
            if self.edits.check().is_err() && !is_end {
                return Err(self.between_edits);
            }
            forget(&mut marks.edited, |at| {
                now.saturating_sub(at) > self.between_edits
            });
            marks.edited.insert(key, now);
            Ok(())
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Marks) -> T) -> T {
        look(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn scope(method: &'static str, channel: &ChannelId) -> Option<ChannelId> {
    (method == POST).then(|| channel.clone())
}

/// Drops moments for which it is over, once there are many.
fn forget<K>(marks: &mut HashMap<K, Duration>, is_over: impl Fn(Duration) -> bool) {
    if marks.len() > FORGET_ABOVE {
        marks.retain(|_, at| !is_over(*at));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A pacer, and the milliseconds that its clock shows.
    fn pacer() -> (Pacer, Arc<AtomicU64>) {
        let shown = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&shown);
        let ticks = Ticks(Arc::new(move || {
            Duration::from_millis(clock.load(Ordering::Relaxed))
        }));
        (Pacer::by(ticks, Pace::default()), shown)
    }

    fn pass(clock: &AtomicU64, ms: u64) {
        clock.fetch_add(ms, Ordering::Relaxed);
    }

    fn limited(method: &'static str, seconds: u64) -> Error {
        Error::RateLimited {
            method,
            retry_after: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn four_go_at_once_and_then_one_a_second_in_each_channel() {
        let (pacer, clock) = pacer();
        let (one, two) = ("C1".into(), "C2".into());
        for _ in 0..4 {
            assert_eq!(pacer.may_post(&one), Ok(()));
        }
        assert_eq!(pacer.may_post(&one), Err(Duration::from_secs(1)));
        assert_eq!(pacer.may_post(&two), Ok(()));
        for _ in 0..5 {
            pass(&clock, 1_000);
            assert_eq!(pacer.may_post(&one), Ok(()));
            assert!(pacer.may_post(&one).is_err());
        }
    }

    #[test]
    fn a_message_is_edited_every_three_seconds_at_most_its_end_included() {
        let (pacer, clock) = pacer();
        let channel = "C1".into();
        assert_eq!(pacer.edit(&channel, &"1.1".into(), false, 1), Ok(()));
        pass(&clock, 1_000);
        let left = pacer.edit(&channel, &"1.1".into(), true, 1);
        assert_eq!(left, Err(Duration::from_secs(2)));
        assert_eq!(pacer.edit(&channel, &"1.2".into(), false, 1), Ok(()));
        pass(&clock, 2_000);
        assert_eq!(pacer.edit(&channel, &"1.1".into(), true, 1), Ok(()));
    }

    #[test]
    fn in_a_crowd_only_ends_are_sent() {
        let (pacer, _) = pacer();
        let channel = "C1".into();
        assert!(pacer.edit(&channel, &"1.1".into(), false, 11).is_err());
        assert_eq!(pacer.edit(&channel, &"1.1".into(), true, 11), Ok(()));
        assert_eq!(pacer.edit(&channel, &"1.2".into(), false, 10), Ok(()));
    }

    #[test]
    fn progress_never_uses_more_than_the_workspaces_fifty_edits_a_minute() {
        let (pacer, clock) = pacer();
        let channel = ChannelId::new("C1");
        let mut sent = 0;
        for tick in 0..600 {
            let ts = MessageTs::new(format!("{tick}.0"));
            sent += u32::from(pacer.edit(&channel, &ts, false, 1).is_ok());
            pass(&clock, 100);
        }
        assert!((40..=50).contains(&sent), "{sent}");
    }

    #[test]
    fn what_slack_asks_for_holds_a_channel_or_a_method() {
        let (pacer, clock) = pacer();
        let (one, two) = ("C1".into(), "C2".into());
        pacer.hold(&limited(POST, 7), &one);
        assert_eq!(pacer.held(POST, &one), Some(Duration::from_secs(7)));
        assert_eq!(pacer.held(POST, &two), None);
        pacer.hold(&limited(UPDATE, 5), &one);
        assert_eq!(
            pacer.edit(&two, &"1.1".into(), true, 1),
            Err(Duration::from_secs(5))
        );
        pass(&clock, 8_000);
        assert_eq!(pacer.held(POST, &one), None);
        pacer.hold_all(Duration::from_secs(30));
        assert_eq!(pacer.held(POST, &two), Some(Duration::from_secs(30)));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let (pacer, clock) = pacer();
        for n in 0..3_000 {
            let channel = ChannelId::new(format!("C{n}"));
            let ts = MessageTs::new(format!("{n}.0"));
            assert_eq!(pacer.edit(&channel, &ts, true, 1), Ok(()));
            assert_eq!(pacer.may_post(&channel), Ok(()));
            pacer.hold(&limited(POST, 1), &channel);
            pass(&clock, 100);
        }
        let (edited, holds) = pacer.with(|marks| (marks.edited.len(), marks.holds.len()));
        assert!(edited <= FORGET_ABOVE + 1 && holds <= FORGET_ABOVE + 1);
        assert!(pacer.posts.len() <= FORGET_ABOVE + 1);
    }
}
