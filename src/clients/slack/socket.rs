//! One open socket: reads, hands over, acknowledges in the order the handlers answer, and notices when the peer is gone.

use std::{borrow::Cow, sync::Arc, time::Duration};

use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered,
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, oneshot},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    connect::plain,
    frame::{self, Ack, Envelope, Frame},
    health::Open,
    session::Desk,
};

/// How many handlers run at once for one socket.
const AT_ONCE: usize = 64;
/// How many envelopes one socket holds, those that wait for a handler included. At this the socket is not read until one
/// is done, and what Slack sends waits in TCP.
const MOST_HELD: usize = AT_ONCE + 256;

/// Why a slot needs another socket. Told once, as soon as it is known.
#[derive(Debug)]
pub(super) enum Leaving {
    /// Slack said `disconnect`, with this reason; the socket still works.
    Asked(String),
    /// The socket is gone.
    Lost(Cow<'static, str>),
    /// The session stops.
    Stopped,
}

/// An envelope's id and what its handler said; `None` when the handler panicked.
type Answer = (String, bool, Option<Ack>);

struct Socket<S> {
    stream: WebSocketStream<S>,
    desk: Arc<Desk>,
    open: Open,
    held: FuturesUnordered<BoxFuture<'static, Answer>>,
    room: Arc<Semaphore>,
    last_frame: Instant,
    tell: Option<oneshot::Sender<Leaving>>,
}

/// Serves one socket until it is lost, has lingered, or is stopped.
pub(super) async fn serve<S>(
    stream: WebSocketStream<S>,
    desk: Arc<Desk>,
    tell: oneshot::Sender<Leaving>,
    retire: CancellationToken,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut socket = Socket {
        stream,
        open: desk.health.opened(),
        desk,
        held: FuturesUnordered::new(),
        room: Arc::new(Semaphore::new(AT_ONCE)),
        last_frame: Instant::now(),
        tell: Some(tell),
    };
    let lost = match socket.run(&retire, &stop).await {
        Ok(()) => {
            socket.leave(Leaving::Stopped);
            socket.finish().await
        }
        Err(lost) => Err(lost),
    };
    if let Err(why) = lost {
        if !socket.held.is_empty() {
            // Their handlers go on; Slack was not told, and delivers again what it delivers again.
            warn!(
                held = socket.held.len(),
                "a Slack socket went before all it brought was acknowledged"
            );
        }
        socket.leave(Leaving::Lost(why));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Until it is to be closed; an error is a socket that can no longer be used.
    async fn run(
        &mut self,
        retire: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), Cow<'static, str>> {
        let timing = self.desk.timing;
        let mut ping = interval_at(Instant::now() + timing.ping, timing.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until: Option<Instant> = None;
        loop {
            let reads = self.held.len() < MOST_HELD;
            if !reads {
                // It is we who are silent, not the peer.
                self.last_frame = Instant::now();
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = retire.cancelled(), if until.is_none() => until = Some(Instant::now() + timing.linger),
                () = sleep_until(until.unwrap_or(self.last_frame)), if until.is_some() => return Ok(()),
                () = sleep_until(self.last_frame + timing.silence), if reads => {
                    return Err(format!("nothing came for {:?}", timing.silence).into());
                }
                Some(answer) = self.held.next(), if !self.held.is_empty() => self.acknowledge(answer).await?,
                _ = ping.tick() => self.write(Message::Ping(b"habops".as_slice().into())).await?,
                message = self.stream.next(), if reads => match message {
                    None => return Err("the connection ended".into()),
                    Some(Err(error)) => return Err(plain(&error).into()),
                    Some(Ok(message)) => self.take(message).await?,
                },
            }
        }
    }

    /// Finishes what was taken, tells Slack, and closes.
    async fn finish(&mut self) -> Result<(), Cow<'static, str>> {
        let by = Instant::now() + self.desk.timing.drain;
        while !self.held.is_empty() {
            match timeout_at(by, self.held.next()).await {
                Ok(Some(answer)) => self.acknowledge(answer).await?,
                Ok(None) => break,
                Err(_) => {
                    warn!(
                        held = self.held.len(),
                        "closing a Slack socket before all it brought was handled"
                    );
                    break;
                }
            }
        }
        // Reading on until the server says that it closes too, which it does after all that it had to read: a connection
        // dropped with unread bytes is reset, and a reset can overtake the acknowledgements just written.
        let stream = &mut self.stream;
        let close = async {
            if stream.close(None).await.is_ok() {
                while let Some(Ok(message)) = stream.next().await {
                    if message.is_close() {
                        break;
                    }
                }
            }
        };
        if timeout(self.desk.timing.close, close).await.is_err() {
            debug!("a Slack socket was closed without the server's answer");
        }
        Ok(())
    }

    async fn take(&mut self, message: Message) -> Result<(), Cow<'static, str>> {
        self.last_frame = Instant::now();
        self.open.frame_came();
        match message {
            Message::Text(text) => self.take_frame(frame::read(&text)).await,
            Message::Binary(bytes) => {
                let text = std::str::from_utf8(&bytes).unwrap_or_default();
                self.take_frame(frame::read(text)).await
            }
            Message::Close(_) => {
                // The library's answer to it is queued; best effort.
                let _ = timeout(self.desk.timing.write, self.stream.flush()).await;
                Err("Slack closed it".into())
            }
            // The library answers pings.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn take_frame(&mut self, frame: Frame) -> Result<(), Cow<'static, str>> {
        match frame {
            Frame::Hello => {
                self.open.greeted();
                info!("a Slack socket is open");
                Ok(())
            }
            Frame::Disconnect(reason) => {
                self.leave(Leaving::Asked(reason));
                Ok(())
            }
            Frame::Envelope(envelope) => {
                self.hold(envelope);
                Ok(())
            }
            Frame::Unusable { why, envelope_id } => {
                warn!(
                    envelope_id,
                    "Slack sent something that cannot be used: {why}"
                );
                match envelope_id {
                    Some(id) => self.write_ack(&id, None).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Starts the envelope's handler, or lets it wait for one of the running ones.
    fn hold(&mut self, envelope: Envelope) {
        let (id, accepts) = (envelope.envelope_id.clone(), envelope.accepts_payload);
        let (desk, room) = (self.desk.clone(), self.room.clone());
        // A task of its own: it may use another core, and it ends also if this socket is lost meanwhile.
        let handled = self.desk.tasks.spawn(async move {
            let _permit = room.acquire().await;
            (desk.handler)(envelope).await
        });
        self.held
            .push(handled.map(move |ack| (id, accepts, ack.ok())).boxed());
    }

    async fn acknowledge(&mut self, (id, accepts, ack): Answer) -> Result<(), Cow<'static, str>> {
        match ack {
            Some(Ack::Ack { payload }) => {
                if payload.is_some() && !accepts {
                    warn!(
                        envelope_id = id,
                        "Slack takes no answer with this acknowledgement; it is left out"
                    );
                }
                self.write_ack(&id, payload.filter(|_| accepts)).await
            }
            Some(Ack::Withhold) => Ok(()),
            None => {
                error!(
                    envelope_id = id,
                    "a handler panicked; its envelope is not acknowledged"
                );
                Ok(())
            }
        }
    }

    async fn write_ack(
        &mut self,
        id: &str,
        payload: Option<Value>,
    ) -> Result<(), Cow<'static, str>> {
        self.write(Message::text(frame::acknowledgement(id, payload)))
            .await
    }

    async fn write(&mut self, message: Message) -> Result<(), Cow<'static, str>> {
        let limit: Duration = self.desk.timing.write;
        match timeout(limit, self.stream.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(plain(&error).into()),
            Err(_) => Err(format!("nothing could be written for {limit:?}").into()),
        }
    }

    fn leave(&mut self, leaving: Leaving) {
        if let Some(tell) = self.tell.take() {
            // The slot may be gone already, at a stop.
            let _ = tell.send(leaving);
        }
    }
}
