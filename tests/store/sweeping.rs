//! What is forgotten, and what never is.

use std::time::Duration;

use habops::{
    domain::{message::Posted, operation::State, records::Outbox},
    store::{Accepted, Config, End, Store, Swept},
};
use secrecy::SecretString;

use super::{Ground, accepted, button, running, said, typed, wish};

const DAY: Duration = Duration::from_hours(24);

fn keeps(ground: &Ground, keep: Duration) -> Store {
    let config = Config {
        keep,
        ..Config::default()
    };
    ground.open(&config, "one")
}

#[tokio::test]
async fn old_outputs_messages_and_buttons_go_and_operations_and_audit_stay() {
    let ground = Ground::new();
    let store = keeps(&ground, DAY * 30);
    let id = running(&store, "k").await;
    let mut end = End::new(State::Done, said("done"));
    end.wishes = vec![wish("op-1", "done"), wish("inc-1:card", "card")];
    end.offers = vec![button("b", id)];
    assert!(
        store
            .finish(id, State::Running, 1, end)
            .await
            .unwrap()
            .won()
    );
    while let Some(due) = store.claim(1).await.unwrap().pop() {
        let ts = Some("1.1".into());
        store.settle(&due, Posted::Sent { ts }).await.unwrap();
    }
    store.put(vec![wish("op-2", "never posted")]).await.unwrap();
    ground.pass(DAY * 29);
    assert_eq!(store.sweep().await.unwrap(), Swept::default());
    ground.pass(DAY * 2);
    let swept = store.sweep().await.unwrap();
    let expected = Swept {
        outputs: 1,
        deliveries: 1,
        reply_addresses: 0,
        messages: 1,
        offers: 1,
    };
    assert_eq!(swept, expected);
    let operation = store.operation(id).await.unwrap().unwrap();
    assert_eq!((operation.output, operation.state), (None, State::Done));
    assert_eq!(store.audit_records(1, 10).await.unwrap().len(), 1);
    assert_eq!(store.waiting().await.unwrap(), 1);
    // The card is edited for as long as its incident lives.
    store.put(vec![wish("inc-1:card", "closed")]).await.unwrap();
    let due = store.claim(10).await.unwrap();
    assert!(due.iter().any(|due| due.posted == Some("1.1".into())));
}

#[tokio::test]
async fn what_was_given_up_is_forgotten_like_what_was_seen() {
    let ground = Ground::new();
    let store = keeps(&ground, DAY * 30);
    store.put(vec![wish("op-1", "for nobody")]).await.unwrap();
    let due = store.claim(1).await.unwrap().remove(0);
    let refused = Posted::Refused {
        advice: "the channel is archived".to_owned(),
    };
    store.settle(&due, refused).await.unwrap();
    ground.pass(DAY * 31);
    assert_eq!(store.sweep().await.unwrap().messages, 1);
}

#[tokio::test]
async fn keys_are_kept_as_long_as_their_senders_may_repeat_them() {
    let ground = Ground::new();
    let store = keeps(&ground, Duration::from_mins(1));
    accepted(&store, "slack:trigger:1").await;
    accepted(&store, "pagerduty:1").await;
    ground.pass(Duration::from_hours(23));
    assert_eq!(store.sweep().await.unwrap().deliveries, 0);
    ground.pass(Duration::from_hours(1));
    assert_eq!(store.sweep().await.unwrap().deliveries, 1);
    accepted(&store, "slack:trigger:1").await;
    assert!(!store.first_time("pagerduty:1").await.unwrap());
    ground.pass(DAY * 6);
    assert_eq!(store.sweep().await.unwrap().deliveries, 2);
    assert!(store.first_time("pagerduty:1").await.unwrap());
}

#[tokio::test]
async fn a_reply_address_is_forgotten_after_half_an_hour() {
    let ground = Ground::new();
    let store = ground.store("one");
    let mut with_reply = typed("k", ground.now());
    with_reply.reply = Some(SecretString::from("https://hooks.example/abc"));
    assert!(!format!("{with_reply:?}").contains("hooks.example"));
    let accepted = store.accept(with_reply).await.unwrap();
    assert!(matches!(accepted, Accepted::New { .. }));
    assert_eq!(store.sweep().await.unwrap().reply_addresses, 0);
    ground.pass(Duration::from_mins(30));
    assert_eq!(store.sweep().await.unwrap().reply_addresses, 1);
}
