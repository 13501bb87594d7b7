//! Socket Mode: tickets, up to ten sockets, and envelopes that wait three seconds for their ack.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::extract::ws::{Message as Frame, WebSocket};
use futures_util::{SinkExt, StreamExt};
use rand::seq::IteratorRandom;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::core::Core;

/// How many sockets an app may hold.
const SOCKETS: usize = 10;
/// How long a ticket of `apps.connections.open` opens its one socket.
const TICKET_LIVES: Duration = Duration::from_secs(30);
/// How many tickets may be out at once.
const TICKETS: usize = 1_000;
/// How many frames may wait for one socket.
const QUEUE: usize = 1_024;
/// How often Slack pings its client.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long a socket stays open after its warning.
const GRACE: Duration = Duration::from_secs(10);
/// How long a frame may take to be written before the peer counts as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// All sockets, and the envelopes still in the air.
#[derive(Default)]
pub(super) struct Sockets {
    inner: Mutex<Inner>,
    next: AtomicU64,
}

#[derive(Default)]
struct Inner {
    tickets: HashMap<String, Instant>,
    open: HashMap<u64, mpsc::Sender<Out>>,
    waiting: HashMap<String, Waiting>,
}

/// An envelope without its ack. One whose socket closed, or that found none, goes out on the next that opens.
struct Waiting {
    envelope: Value,
    socket: Option<u64>,
    was_sent: bool,
    ack: oneshot::Sender<Option<Value>>,
}

#[derive(Clone, Debug)]
enum Out {
    Frame(String),
    /// A close frame, then the end.
    Close,
    /// The end, without a word.
    Drop,
}

/// An envelope on its way.
pub(super) struct Flight {
    pub(super) id: String,
    pub(super) ack: oneshot::Receiver<Option<Value>>,
}

impl Sockets {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// A ticket for one socket.
    pub(super) fn ticket(&self) -> String {
        let mut inner = self.lock();
        if inner.tickets.len() >= TICKETS {
            inner
                .tickets
                .retain(|_, made| made.elapsed() < TICKET_LIVES);
        }
        let ticket = uuid();
        inner.tickets.insert(ticket.clone(), Instant::now());
        ticket
    }

    /// Uses a ticket up.
    pub(super) fn spend(&self, ticket: &str) -> bool {
        let made = self.lock().tickets.remove(ticket);
        made.is_some_and(|made| made.elapsed() < TICKET_LIVES)
    }

    /// Sends an envelope to any one socket, now or as soon as there is one.
    pub(super) fn send(&self, mut envelope: Value) -> Flight {
        let id = uuid();
        envelope["envelope_id"] = id.clone().into();
        let (ack, receiver) = oneshot::channel();
        let mut inner = self.lock();
        let mut waiting = Waiting {
            envelope,
            socket: None,
            was_sent: false,
            ack,
        };
        waiting.go(&inner.open);
        inner.waiting.insert(id.clone(), waiting);
        Flight { id, ack: receiver }
    }

    /// Gives an envelope up; says whether it ever reached a socket.
    pub(super) fn give_up(&self, id: &str) -> bool {
        let waiting = self.lock().waiting.remove(id);
        waiting.is_some_and(|waiting| waiting.was_sent)
    }

    fn acked(&self, id: &str, payload: Option<Value>) -> bool {
        let waiting = self.lock().waiting.remove(id);
        waiting.is_some_and(|waiting| waiting.ack.send(payload).is_ok())
    }

    /// Takes a socket in, unless there are ten. The greeting goes first, then what waited for a socket.
    fn open(&self, app_id: &str) -> Result<(u64, mpsc::Receiver<Out>), usize> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.lock();
        if inner.open.len() >= SOCKETS {
            return Err(inner.open.len());
        }
        let hello = json!({
            "type": "hello", "num_connections": inner.open.len() + 1, "connection_info": {"app_id": app_id},
            "debug_info": {"host": "applink-sandbox", "build_number": 10, "approximate_connection_time": 18060},
        });
        sender.try_send(Out::Frame(hello.to_string())).ok();
        inner.open.insert(id, sender);
        inner.resend(|waiting| waiting.socket.is_none());
        Ok((id, receiver))
    }

    fn close(&self, id: u64) {
        let mut inner = self.lock();
        inner.open.remove(&id);
        inner.resend(|waiting| waiting.socket == Some(id));
    }

    /// Closes every socket without a word.
    pub(super) fn drop_all(&self) {
        self.all(&Out::Drop);
    }

    /// Warns every socket, and closes those ten seconds later.
    pub(super) fn disconnect_all(&self, core: &Arc<Core>) {
        let inner = self.lock();
        let warning = disconnect("warning", inner.open.len(), &core.bot.app_id);
        let warned: Vec<_> = inner.open.values().cloned().collect();
        drop(inner);
        for socket in &warned {
            socket.try_send(Out::Frame(warning.clone())).ok();
        }
        let stop = core.stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(tokio::time::sleep(GRACE)).await;
            for socket in warned {
                socket.try_send(Out::Close).ok();
            }
        });
    }

    fn all(&self, out: &Out) {
        for socket in self.lock().open.values() {
            socket.try_send(out.clone()).ok();
        }
    }
}

impl Inner {
    fn resend(&mut self, which: impl Fn(&Waiting) -> bool) {
        let Inner { waiting, open, .. } = self;
        for waiting in waiting.values_mut().filter(|waiting| which(waiting)) {
            waiting.go(open);
        }
    }
}

impl Waiting {
    /// Goes out on any open socket at random; an event that went out before says so.
    fn go(&mut self, open: &HashMap<u64, mpsc::Sender<Out>>) {
        self.socket = None;
        if self.was_sent && self.envelope["type"] == "events_api" {
            self.envelope["retry_attempt"] = 1.into();
            self.envelope["retry_reason"] = "timeout".into();
        }
        let Some((id, socket)) = open.iter().choose(&mut rand::rng()) else {
            return;
        };
        if socket
            .try_send(Out::Frame(self.envelope.to_string()))
            .is_ok()
        {
            self.socket = Some(*id);
            self.was_sent = true;
        }
    }
}

/// Serves one socket until either side closes it.
pub(super) async fn serve(core: Arc<Core>, mut socket: WebSocket) {
    let (id, mut out) = match core.sockets.open(&core.bot.app_id) {
        Ok(opened) => opened,
        Err(open) => {
            let refusal = disconnect("too_many_websockets", open, &core.bot.app_id);
            core.journal
                .note("socket", "too_many_websockets", json!({"open": open}));
            socket.send(Frame::text(refusal)).await.ok();
            return;
        }
    };
    core.journal.note("socket", "open", json!({"socket": id}));
    core.tell_connected();
    let (mut sink, mut frames) = socket.split();
    // Reading goes on while a frame is written, so that a slow reader at the other end cannot stop acks from being heard.
    let write = async {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.tick().await;
        loop {
            let frame = tokio::select! {
                next = out.recv() => match next {
                    Some(Out::Frame(text)) => Frame::text(text),
                    Some(Out::Close) => {
                        sink.send(Frame::Close(None)).await.ok();
                        return "closed";
                    }
                    Some(Out::Drop) | None => return "dropped",
                },
                _ = ping.tick() => Frame::Ping("applink".into()),
            };
            match tokio::time::timeout(WRITE_TIMEOUT, sink.send(frame)).await {
                Ok(Ok(())) => {}
                _ => return "lost",
            }
        }
    };
    let read = async {
        while let Some(Ok(frame)) = frames.next().await {
            match frame {
                Frame::Text(text) => heard(&core, id, text.as_str()),
                Frame::Close(_) => return "left",
                _ => {}
            }
        }
        "lost"
    };
    let end = tokio::select! {
        end = write => end,
        end = read => end,
        () = core.stop.cancelled() => "stopped",
    };
    core.sockets.close(id);
    core.journal.note("socket", end, json!({"socket": id}));
    core.tell_connected();
}

fn heard(core: &Core, socket: u64, text: &str) {
    let Ok(mut ack) = serde_json::from_str::<Value>(text) else {
        core.journal
            .note("ack", "unreadable", json!({"socket": socket}));
        return;
    };
    let Some(id) = ack["envelope_id"].as_str().map(str::to_owned) else {
        core.journal
            .note("ack", "without an envelope", json!({"socket": socket}));
        return;
    };
    let payload = ack.get_mut("payload").map(Value::take);
    let note = json!({"envelope_id": id, "socket": socket, "payload": payload});
    let in_time = core.sockets.acked(&id, payload);
    core.journal
        .note("ack", if in_time { "in time" } else { "late" }, note);
}

fn disconnect(reason: &str, open: usize, app_id: &str) -> String {
    json!({
        "type": "disconnect", "reason": reason, "num_connections": open, "connection_info": {"app_id": app_id},
        "debug_info": {"host": "applink-sandbox"},
    })
    .to_string()
}

/// A random UUID, version 4.
pub(super) fn uuid() -> String {
    let bits = rand::random::<u128>() & !(0xF << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_one_socket() {
        let sockets = Sockets::default();
        let ticket = sockets.ticket();
        assert!(sockets.spend(&ticket));
        assert!(!sockets.spend(&ticket));
        assert!(!sockets.spend("made up"));
    }

    #[test]
    fn an_eleventh_socket_is_refused() {
        let sockets = Sockets::default();
        let kept: Vec<_> = (0..10).map(|_| sockets.open("A1").unwrap()).collect();
        assert_eq!(sockets.open("A1").err(), Some(10));
        sockets.close(kept[0].0);
        assert!(sockets.open("A1").is_ok());
    }

    #[test]
    fn an_envelope_whose_socket_closed_goes_out_on_the_next() {
        let sockets = Sockets::default();
        let (first, mut heard) = sockets.open("A1").unwrap();
        let flight = sockets.send(json!({"type": "events_api", "payload": {}}));
        assert!(matches!(heard.try_recv(), Ok(Out::Frame(hello)) if hello.contains("hello")));
        assert!(matches!(heard.try_recv(), Ok(Out::Frame(event)) if event.contains(&flight.id)));
        sockets.close(first);
        let (_, mut heard) = sockets.open("A1").unwrap();
        heard.try_recv().unwrap();
        let Ok(Out::Frame(again)) = heard.try_recv() else {
            panic!("the envelope was lost");
        };
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again["envelope_id"], flight.id);
        assert_eq!(again["retry_attempt"], 1);
        assert!(sockets.acked(&flight.id, None));
    }

    #[test]
    fn a_uuid_has_its_shape() {
        let uuid = uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
    }
}
