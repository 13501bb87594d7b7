//! The Socket Mode session: keeps some sockets open to Slack for as long as it is asked to (<https://docs.slack.dev/apis/events-api/using-socket-mode>).
//!
//! Its own loop over tokio-tungstenite instead of slack-morphism's listener, because that one acknowledges an envelope
//! only after its callback has ended and reads the next one only then; closes the old socket before it opens the new one
//! when Slack says `disconnect`, so that what arrives meanwhile is lost; waits a fixed time between tries, for ever also
//! when Slack switched the connection off; notices a silent peer late; and tells neither a lost socket nor the age of the
//! last frame.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use super::{
    connect,
    frame::{Ack, Envelope},
    health::Health,
    socket::{self, Leaving},
    web::Client,
};

/// How many sockets are open; Slack allows ten for an app, and two bots may share it.
const SOCKETS: usize = 2;
/// The session's waits; the defaults are what to use outside of tests.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long opening a socket may take, TLS and all.
    pub connect: Duration,
    /// How often we ping.
    pub ping: Duration,
    /// How long a socket may be silent, pongs included, before it counts as dead.
    pub silence: Duration,
    /// How long a replaced socket is still read and answered on.
    pub linger: Duration,
    /// The longest first pause before trying again; doubles.
    pub retry_first: Duration,
    /// The longest pause before trying again.
    pub retry_most: Duration,
    /// How long what was taken may still take when the session is stopped.
    pub drain: Duration,
    /// How long one frame may take to be written.
    pub write: Duration,
    /// How long the server may take to answer that we close.
    pub close: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            ping: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            linger: Duration::from_secs(10),
            retry_first: Duration::from_millis(500),
            retry_most: Duration::from_secs(30),
            drain: Duration::from_secs(3),
            write: Duration::from_secs(5),
            close: Duration::from_secs(1),
        }
    }
}

/// Slack has switched Socket Mode off for the app: no socket will be given again until a person switches it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Slack has switched Socket Mode off for this app (link_disabled): switch it on in the app's settings, then start again"
)]
pub struct LinkDisabled;

/// Takes an envelope and says what Slack is told.
pub(super) type Handler =
    dyn Fn(Envelope) -> Pin<Box<dyn Future<Output = Ack> + Send>> + Send + Sync;

/// What all sockets of a session share.
pub(super) struct Desk {
    pub(super) handler: Box<Handler>,
    pub(super) health: Health,
    pub(super) timing: Timing,
    /// Sockets and what they have taken, so that a stop can wait for all of it.
    pub(super) tasks: TaskTracker,
}

/// Some sockets to Slack, kept open.
#[derive(Debug)]
pub struct Session {
    client: Client,
    sockets: usize,
    timing: Timing,
    health: Health,
}

impl Session {
    /// A session of two sockets. Check the tokens with [`Client::verify`] first: the session itself tries for ever.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            sockets: SOCKETS,
            timing: Timing::default(),
            health: Health::default(),
        }
    }

    /// So many sockets instead of two; at least one.
    #[must_use]
    pub fn sockets(self, sockets: usize) -> Self {
        Self {
            sockets: sockets.max(1),
            ..self
        }
    }

    /// With these waits.
    #[must_use]
    pub fn timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// How it is.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Hands every envelope to `handler`, many at once, until stopped. Each is acknowledged as soon as its handler has
    /// answered. On a stop nothing new is taken, what was taken is finished within [`Timing::drain`], and the sockets are
    /// closed.
    pub async fn run<H, F>(self, handler: H, stop: CancellationToken) -> Result<(), LinkDisabled>
    where
        H: Fn(Envelope) -> F + Send + Sync + 'static,
        F: Future<Output = Ack> + Send + 'static,
    {
        let desk = Arc::new(Desk {
            handler: Box::new(move |envelope| Box::pin(handler(envelope))),
            health: self.health,
            timing: self.timing,
            tasks: TaskTracker::new(),
        });
        let stop = stop.child_token();
        let mut slots = JoinSet::new();
        for number in 1..=self.sockets {
            let slot = Slot {
                number,
                client: self.client.clone(),
                desk: desk.clone(),
                stop: stop.clone(),
            };
            slots.spawn(slot.keep());
        }
        let mut end = Ok(());
        while let Some(slot) = slots.join_next().await {
            match slot {
                Ok(Ok(())) => {}
                Ok(Err(disabled)) => end = Err(disabled),
                Err(broken) => error!("a Slack socket's keeper ended: {broken}"),
            }
            stop.cancel();
        }
        desk.tasks.close();
        // The sockets bound themselves; this bound is for handlers whose socket was lost before they ended.
        let bound = self.timing.drain + self.timing.write + self.timing.close;
        if timeout(bound, desk.tasks.wait()).await.is_err() {
            warn!("stopped before all that Slack had sent was handled");
        }
        end
    }
}

/// One place for a socket. It holds one at a time, but for the while in which one is replaced by the next.
struct Slot {
    number: usize,
    client: Client,
    desk: Arc<Desk>,
    stop: CancellationToken,
}

impl Slot {
    async fn keep(self) -> Result<(), LinkDisabled> {
        let timing = self.desk.timing;
        let mut pause = Pause::none();
        // The socket to be replaced; it goes on until the next one stands.
        let mut before: Option<CancellationToken> = None;
        let mut first = true;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                () = sleep(pause.draw(&timing)) => {}
            }
            let opened = tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                opened = connect::open(&self.client, timing.connect) => opened,
            };
            let socket = match opened {
                Ok(socket) => socket,
                Err(why) => {
                    pause = pause.longer(why.at_least());
                    warn!(
                        socket = self.number,
                        "cannot open a Slack socket, trying again: {why}"
                    );
                    continue;
                }
            };
            if let Some(before) = before.take() {
                before.cancel();
            }
            if !std::mem::take(&mut first) {
                self.desk.health.replaced();
            }
            let began = Instant::now();
            let (tell, told) = oneshot::channel();
            let retire = CancellationToken::new();
            let serve = socket::serve(
                socket,
                self.desk.clone(),
                tell,
                retire.clone(),
                self.stop.clone(),
            );
            self.desk.tasks.spawn(serve);

            let leaving = told.await.unwrap_or(Leaving::Lost("its task ended".into()));
            if began.elapsed() > timing.silence {
                pause = Pause::none(); // it was a good one
            }
            match leaving {
                Leaving::Stopped => return Ok(()),
                Leaving::Lost(why) => {
                    warn!(
                        socket = self.number,
                        "lost a Slack socket, opening another: {why}"
                    );
                    pause = pause.longer(None);
                }
                Leaving::Asked(reason) => match reason.as_str() {
                    "link_disabled" => {
                        error!("{LinkDisabled}");
                        return Err(LinkDisabled);
                    }
                    "too_many_websockets" => {
                        retire.cancel();
                        warn!(
                            "too many sockets are open for this app (Slack allows ten): is habops running elsewhere?"
                        );
                        pause = pause.longer(Some(timing.retry_most / 2));
                    }
                    _ => {
                        info!(
                            socket = self.number,
                            "Slack will close a socket ({reason}), opening another first"
                        );
                        before = Some(retire);
                        pause = pause.longer(None);
                    }
                },
            }
        }
    }
}

/// How long to wait before the next try: exponential with full jitter, so that many clients do not come back in step.
#[derive(Clone, Copy)]
struct Pause {
    /// Tries in a row that did not last; the first of them waits for nothing.
    tries: u32,
    at_least: Duration,
}

impl Pause {
    fn none() -> Self {
        Self {
            tries: 0,
            at_least: Duration::ZERO,
        }
    }

    fn longer(self, at_least: Option<Duration>) -> Self {
        Self {
            tries: self.tries.saturating_add(1),
            at_least: at_least.unwrap_or_default(),
        }
    }

    fn draw(self, timing: &Timing) -> Duration {
        let Some(doublings) = self.tries.checked_sub(2) else {
            return self.at_least;
        };
        let most = timing
            .retry_first
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(timing.retry_most);
        self.at_least + rand::random_range(Duration::ZERO..=most)
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Pause, Timing};

    #[test]
    fn the_first_try_comes_at_once_and_later_ones_stay_under_the_most() {
        let timing = Timing::default();
        let mut pause = Pause::none().longer(None);
        assert_eq!(pause.draw(&timing), Duration::ZERO);
        for tries in 0..40 {
            pause = pause.longer(None);
            let most = (timing.retry_first * 2_u32.pow(tries.min(10))).min(timing.retry_most);
            assert!(pause.draw(&timing) <= most);
        }
    }

    #[test]
    fn what_slack_asks_for_is_waited_at_least() {
        let asked = Duration::from_secs(7);
        assert!(Pause::none().longer(Some(asked)).draw(&Timing::default()) >= asked);
    }
}
