//! A server that holds sockets: each envelope is acknowledged once, a lost socket is replaced, and a stop closes all in good order.

use std::{
    collections::HashSet,
    future::{Future, pending},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{
        WebSocketUpgrade,
        ws::{Message as Frame, WebSocket},
    },
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse as _,
    routing::get,
};
use habops::clients::slack::{Ack, Envelope, Health, LinkDisabled, Session, Timing};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore, mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{APP, client, ok, soon};

/// Gives out sockets and hands them to the test, which plays Slack on them.
struct Sockets {
    at: SocketAddr,
    opened: mpsc::Receiver<WebSocket>,
}

impl Sockets {
    /// `refusals` is how often `apps.connections.open` fails first.
    async fn start(refusals: usize) -> Self {
        let (tell, opened) = mpsc::channel(16);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let open = move |headers: HeaderMap| async move {
            assert_eq!(headers[header::AUTHORIZATION], format!("Bearer {APP}"));
            if asked.fetch_add(1, Ordering::SeqCst) < refusals {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            ok(json!({"ok": true, "url": format!("ws://{at}/link/?ticket=1")}))
        };
        let link = move |upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(move |socket| async move { tell.send(socket).await.unwrap() })
        };
        let app = Router::new()
            .route("/api/apps.connections.open", axum::routing::post(open))
            .route("/link/", get(link));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { at, opened }
    }

    async fn next(&mut self) -> Slack {
        Slack(soon("a socket", self.opened.recv()).await.unwrap())
    }

    async fn next_with_hello(&mut self) -> Slack {
        let mut slack = self.next().await;
        slack.says(json!({"type": "hello"})).await;
        slack
    }
}

/// One socket, seen from Slack's side.
struct Slack(WebSocket);

impl Slack {
    async fn says(&mut self, frame: Value) {
        self.0.send(Frame::text(frame.to_string())).await.unwrap();
    }

    async fn sends(&mut self, id: &str) {
        let payload = json!({"command": "/habops", "text": id, "response_url": "https://hooks.slack.com/secret"});
        let frame = json!({"envelope_id": id, "type": "slash_commands", "payload": payload, "accepts_response_payload": true});
        self.says(frame).await;
    }

    /// The next acknowledgement; `None` when the socket is closed in good order.
    async fn hears(&mut self) -> Option<Value> {
        loop {
            match soon("an acknowledgement", self.0.recv())
                .await
                .unwrap()
                .unwrap()
            {
                Frame::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Frame::Close(_) => {
                    // Reading on is what sends the answer to it.
                    while let Some(Ok(_)) = soon("the end", self.0.recv()).await {}
                    return None;
                }
                _ => {}
            }
        }
    }
}

/// A running session.
struct Running {
    health: Health,
    stop: CancellationToken,
    end: JoinHandle<Result<(), LinkDisabled>>,
}

impl Running {
    fn start<H, F>(sockets: &Sockets, number: usize, timing: Timing, handler: H) -> Self
    where
        H: Fn(Envelope) -> F + Send + Sync + 'static,
        F: Future<Output = Ack> + Send + 'static,
    {
        let session = Session::new(client(sockets.at))
            .sockets(number)
            .timing(timing);
        let (health, stop) = (session.health(), CancellationToken::new());
        let end = tokio::spawn(session.run(handler, stop.clone()));
        Self { health, stop, end }
    }

    /// Stops once all those sockets are in use, and sees each closed in good order with nothing said before.
    async fn stop(self, slack: &mut [Slack]) {
        until(&self.health, "all hellos", |health| {
            health.greeted() == slack.len()
        })
        .await;
        self.stop.cancel();
        for socket in slack {
            assert_eq!(socket.hears().await, None);
        }
        assert_eq!(soon("the session's end", self.end).await.unwrap(), Ok(()));
        assert_eq!((self.health.connected(), self.health.greeted()), (0, 0));
    }
}

async fn until(health: &Health, what: &str, seen: impl Fn(&Health) -> bool) {
    let mut changes = health.changes();
    let wait = async {
        while !seen(health) {
            changes.changed().await.unwrap();
        }
    };
    soon(what, wait).await;
}

fn hasty() -> Timing {
    Timing {
        retry_first: Duration::from_millis(1),
        retry_most: Duration::from_millis(20),
        ..Timing::default()
    }
}

async fn echo(envelope: Envelope) -> Ack {
    Ack::with(json!({"text": envelope.payload["text"]}))
}

#[tokio::test]
async fn two_hundred_envelopes_are_each_acknowledged_once() {
    let mut sockets = Sockets::start(0).await;
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let running = Running::start(&sockets, 2, Timing::default(), move |envelope| {
        count.fetch_add(1, Ordering::SeqCst);
        echo(envelope)
    });
    let (mut one, mut two) = (
        sockets.next_with_hello().await,
        sockets.next_with_hello().await,
    );
    until(&running.health, "both hellos", |health| {
        health.greeted() == 2
    })
    .await;
    assert_eq!(running.health.connected(), 2);
    for number in 0..100 {
        one.sends(&format!("one-{number}")).await;
        two.sends(&format!("two-{number}")).await;
    }
    let mut seen = HashSet::new();
    for _ in 0..100 {
        for socket in [&mut one, &mut two] {
            let ack = socket.hears().await.unwrap();
            assert_eq!(ack["envelope_id"], ack["payload"]["text"]);
            assert!(
                seen.insert(ack["envelope_id"].to_string()),
                "acknowledged twice: {ack}"
            );
        }
    }
    running.stop(&mut [one, two]).await;
    assert_eq!((seen.len(), handled.load(Ordering::SeqCst)), (200, 200));
}

#[tokio::test]
async fn a_slow_handler_holds_nobody_up() {
    let mut sockets = Sockets::start(0).await;
    let gate = Arc::new(Notify::new());
    let open = gate.clone();
    let running = Running::start(&sockets, 1, Timing::default(), move |envelope| {
        let open = open.clone();
        async move {
            if envelope.envelope_id == "slow" {
                open.notified().await;
            }
            Ack::empty()
        }
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("slow").await;
    slack.sends("fast").await;
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "fast"})));
    gate.notify_one();
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "slow"})));
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn no_more_than_sixty_four_are_handled_at_once_and_the_rest_wait() {
    let mut sockets = Sockets::start(0).await;
    let gate = Arc::new(Semaphore::new(0));
    let (at_once, most) = (watch::Sender::new(0_usize), Arc::new(AtomicUsize::new(0)));
    let mut running_now = at_once.subscribe();
    let (open, peak) = (gate.clone(), most.clone());
    let running = Running::start(&sockets, 1, Timing::default(), move |_| {
        let (open, peak, at_once) = (open.clone(), peak.clone(), at_once.clone());
        async move {
            at_once.send_modify(|now| *now += 1);
            peak.fetch_max(*at_once.borrow(), Ordering::SeqCst);
            open.acquire().await.unwrap().forget();
            at_once.send_modify(|now| *now -= 1);
            Ack::empty()
        }
    });
    let mut slack = sockets.next_with_hello().await;
    for number in 0..400 {
        slack.sends(&number.to_string()).await;
    }
    soon(
        "sixty-four handlers",
        running_now.wait_for(|now| *now == 64),
    )
    .await
    .unwrap();
    gate.add_permits(400);
    for _ in 0..400 {
        assert!(slack.hears().await.is_some());
    }
    assert_eq!(most.load(Ordering::SeqCst), 64);
    running.stop(&mut [slack]).await;
}

#[rstest]
#[case("warning")]
#[case("refresh_requested")]
#[tokio::test]
async fn a_socket_that_slack_will_close_is_replaced_first_and_still_answered_on(
    #[case] reason: &str,
) {
    let mut sockets = Sockets::start(0).await;
    let timing = Timing {
        linger: Duration::from_millis(1_500),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, echo);
    let mut old = sockets.next_with_hello().await;
    old.says(json!({"type": "disconnect", "reason": reason}))
        .await;
    let mut new = sockets.next_with_hello().await;
    until(&running.health, "both sockets", |health| {
        health.connected() == 2 && health.reconnects() == 1
    })
    .await;
    old.sends("late").await;
    assert_eq!(old.hears().await.unwrap()["envelope_id"], "late");
    assert_eq!(
        old.hears().await,
        None,
        "closed in good order when it has lingered"
    );
    new.sends("next").await;
    assert_eq!(new.hears().await.unwrap()["envelope_id"], "next");
    running.stop(&mut [new]).await;
}

#[tokio::test]
async fn a_silent_server_is_noticed() {
    let mut sockets = Sockets::start(0).await;
    let timing = Timing {
        ping: Duration::from_millis(50),
        silence: Duration::from_secs(1),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, echo);
    let silent = sockets.next_with_hello().await; // nobody reads it, so nobody answers its pings
    let mut next = sockets.next_with_hello().await;
    until(
        &running.health,
        "one socket instead of the other",
        |health| health.connected() == 1,
    )
    .await;
    assert_eq!(running.health.reconnects(), 1);
    drop(silent);
    next.sends("e1").await;
    assert_eq!(next.hears().await.unwrap()["envelope_id"], "e1");
    running.stop(&mut [next]).await;
}

#[tokio::test]
async fn a_quiet_server_that_answers_pings_is_left_alone() {
    let mut sockets = Sockets::start(0).await;
    let timing = Timing {
        ping: Duration::from_millis(50),
        silence: Duration::from_secs(1),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, echo);
    let mut slack = sockets.next_with_hello().await;
    for _ in 0..30 {
        let frame = soon("a ping", slack.0.recv()).await.unwrap().unwrap();
        assert!(matches!(frame, Frame::Ping(_)), "{frame:?}");
    }
    assert_eq!(
        (running.health.connected(), running.health.reconnects()),
        (1, 0)
    );
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn a_lost_socket_is_replaced_and_its_handler_ends_all_the_same() {
    let mut sockets = Sockets::start(0).await;
    let (gate, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (open, tell) = (gate.clone(), ended.clone());
    let running = Running::start(&sockets, 1, hasty(), move |_| {
        let (open, tell) = (open.clone(), tell.clone());
        async move {
            tell.notify_one();
            open.notified().await;
            tell.notify_one();
            Ack::empty()
        }
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("e1").await;
    soon("the handler's start", ended.notified()).await;
    drop(slack);
    let next = sockets.next_with_hello().await;
    gate.notify_one();
    soon("the handler's end", ended.notified()).await;
    running.stop(&mut [next]).await;
}

#[tokio::test]
async fn opening_is_tried_until_it_works() {
    let mut sockets = Sockets::start(3).await;
    let running = Running::start(&sockets, 1, hasty(), echo);
    let slack = sockets.next_with_hello().await;
    until(&running.health, "the hello", |health| health.greeted() == 1).await;
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn a_switched_off_link_ends_the_session() {
    let mut sockets = Sockets::start(0).await;
    let running = Running::start(&sockets, 2, hasty(), echo);
    let (mut one, mut two) = (
        sockets.next_with_hello().await,
        sockets.next_with_hello().await,
    );
    one.says(json!({"type": "disconnect", "reason": "link_disabled"}))
        .await;
    assert_eq!(one.hears().await, None);
    assert_eq!(two.hears().await, None);
    assert_eq!(
        soon("the session's end", running.end).await.unwrap(),
        Err(LinkDisabled)
    );
}

#[tokio::test]
async fn too_many_sockets_make_us_wait() {
    let mut sockets = Sockets::start(0).await;
    let timing = Timing {
        linger: Duration::from_millis(1),
        retry_most: Duration::from_millis(40),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, echo);
    let mut one = sockets.next_with_hello().await;
    one.says(json!({"type": "disconnect", "reason": "too_many_websockets"}))
        .await;
    assert_eq!(one.hears().await, None, "given up at once");
    let next = sockets.next_with_hello().await;
    running.stop(&mut [next]).await;
}

#[tokio::test]
async fn what_cannot_be_used_is_acknowledged_by_its_id() {
    let mut sockets = Sockets::start(0).await;
    let running = Running::start(&sockets, 1, Timing::default(), |_| async {
        panic!("nothing to handle")
    });
    let mut slack = sockets.next_with_hello().await;
    slack.0.send(Frame::text("{")).await.unwrap();
    slack
        .says(json!({"envelope_id": "e1", "type": "interactive"}))
        .await;
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "e1"})));
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn what_is_withheld_or_panics_is_not_acknowledged_and_hurts_nobody() {
    let mut sockets = Sockets::start(0).await;
    let running = Running::start(&sockets, 1, Timing::default(), |envelope| async move {
        match envelope.envelope_id.as_str() {
            "withheld" => Ack::Withhold,
            "panics" => panic!("on purpose"),
            _ => echo(envelope).await,
        }
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("withheld").await;
    slack.sends("panics").await;
    slack.sends("good").await;
    assert_eq!(slack.hears().await.unwrap()["envelope_id"], "good");
    running.stop(&mut [slack]).await; // and hears nothing more
}

#[tokio::test]
async fn an_answer_goes_only_where_slack_takes_one() {
    let mut sockets = Sockets::start(0).await;
    let running = Running::start(&sockets, 1, Timing::default(), echo);
    let mut slack = sockets.next_with_hello().await;
    slack
        .says(json!({"envelope_id": "e1", "type": "events_api", "payload": {}, "accepts_response_payload": false}))
        .await;
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "e1"})));
    running.stop(&mut [slack]).await;
}

#[tokio::test]
async fn a_stop_finishes_what_was_taken_and_closes() {
    let mut sockets = Sockets::start(0).await;
    let (started, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, open) = (started.clone(), gate.clone());
    let running = Running::start(&sockets, 1, Timing::default(), move |_| {
        let (tell, open) = (tell.clone(), open.clone());
        async move {
            tell.notify_one();
            open.notified().await;
            Ack::empty()
        }
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("taken").await;
    soon("the handler's start", started.notified()).await;
    running.stop.cancel();
    gate.notify_one();
    assert_eq!(slack.hears().await, Some(json!({"envelope_id": "taken"})));
    assert_eq!(slack.hears().await, None);
    assert_eq!(
        soon("the session's end", running.end).await.unwrap(),
        Ok(())
    );
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_handler_that_hangs() {
    let mut sockets = Sockets::start(0).await;
    let started = Arc::new(Notify::new());
    let tell = started.clone();
    let timing = Timing {
        drain: Duration::from_millis(50),
        write: Duration::from_millis(200),
        ..hasty()
    };
    let running = Running::start(&sockets, 1, timing, move |_| {
        tell.notify_one();
        pending()
    });
    let mut slack = sockets.next_with_hello().await;
    slack.sends("hangs").await;
    soon("the handler's start", started.notified()).await;
    running.stop(&mut [slack]).await;
}
