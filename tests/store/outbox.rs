//! The outbox: coalescing, order, claims that lapse, parents, pauses.

use std::time::Duration;

use habops::{
    domain::{
        ids::OperationId,
        message::{Carrier, Due, Lane, MessageKey, Posted, Under, Wish},
        records::Outbox,
    },
    store::{Accepted, Store},
};
use rstest::rstest;
use secrecy::{ExposeSecret, SecretString};

use super::{Ground, typed, wish};

async fn claimed(store: &Store) -> Vec<Due> {
    store.claim(100).await.unwrap()
}

fn keys(due: &[Due]) -> Vec<&str> {
    due.iter().map(|due| due.key.0.as_str()).collect()
}

async fn sent(store: &Store, due: &Due, ts: &str) {
    let posted = Posted::Sent {
        ts: Some(ts.into()),
    };
    store.settle(due, posted).await.unwrap();
}

fn under(key: &str, title: &str, parent: &str) -> Wish {
    let mut wish = wish(key, title);
    wish.to.thread = Under::Key(MessageKey(parent.to_owned()));
    wish
}

#[tokio::test]
async fn fifty_wishes_for_one_message_are_one_claim_with_the_newest() {
    let ground = Ground::new();
    let store = ground.store("one");
    for n in 1..=50 {
        store
            .put(vec![wish("op-1", &format!("{n} of 50"))])
            .await
            .unwrap();
    }
    let due = claimed(&store).await;
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].output.output().title, "50 of 50");
    assert_eq!((due[0].seq, due[0].posted.as_ref()), (50, None));
    assert!(!due[0].doubtful);
    assert!(claimed(&store).await.is_empty());
}

#[tokio::test]
async fn a_wish_that_comes_while_the_message_is_posted_becomes_an_edit() {
    let ground = Ground::new();
    let store = ground.store("one");
    store.put(vec![wish("op-1", "begun")]).await.unwrap();
    let due = claimed(&store).await.remove(0);
    store.put(vec![wish("op-1", "done")]).await.unwrap();
    assert!(claimed(&store).await.is_empty());
    sent(&store, &due, "1.1").await;
    let edit = claimed(&store).await.remove(0);
    assert_eq!(edit.posted, Some("1.1".into()));
    assert_eq!((edit.output.output().title.as_str(), edit.seq), ("done", 2));
    sent(&store, &edit, "1.1").await;
    assert!(claimed(&store).await.is_empty());
    assert_eq!(store.waiting().await.unwrap(), 0);
    // The same again is nothing new.
    store.put(vec![wish("op-1", "done")]).await.unwrap();
    assert!(claimed(&store).await.is_empty());
}

#[tokio::test]
async fn a_claim_that_lapses_comes_back_doubtful_to_another_process() {
    let ground = Ground::new();
    let crashed = ground.store("crashed");
    crashed.put(vec![wish("op-1", "x")]).await.unwrap();
    assert_eq!(claimed(&crashed).await.len(), 1);
    drop(crashed);
    let store = ground.store("two");
    ground.pass(Duration::from_secs(29));
    assert!(claimed(&store).await.is_empty());
    ground.pass(Duration::from_secs(1));
    let due = claimed(&store).await.remove(0);
    assert!(due.doubtful);
    assert_eq!(due.attempts, 1);
}

#[tokio::test]
async fn a_settlement_that_comes_too_late_still_tells_where_the_message_is() {
    let ground = Ground::new();
    let (slow, fast) = (ground.store("slow"), ground.store("fast"));
    slow.put(vec![wish("op-1", "x")]).await.unwrap();
    let first = claimed(&slow).await.remove(0);
    ground.pass(Duration::from_secs(31));
    let second = claimed(&fast).await.remove(0);
    assert!(second.doubtful);
    sent(&slow, &first, "1.1").await;
    // A late failure says nothing about what happens now.
    let failed = Posted::Refused {
        advice: "x".to_owned(),
    };
    slow.settle(&first, failed).await.unwrap();
    sent(&fast, &second, "1.1").await;
    let place = store_place(&fast, "op-1").await;
    assert_eq!(place, Some(("COPS".to_owned(), "1.1".to_owned())));
    assert!(fast.dead_letters().await.unwrap().is_empty());
    assert_eq!(fast.waiting().await.unwrap(), 0);
}

async fn store_place(store: &Store, key: &str) -> Option<(String, String)> {
    let place = store.message_ts(&MessageKey(key.to_owned())).await.unwrap();
    place.map(|(channel, ts)| (channel.to_string(), ts.to_string()))
}

#[tokio::test]
async fn a_reply_waits_for_the_message_it_stands_under() {
    let ground = Ground::new();
    let store = ground.store("one");
    let mut elsewhere = under("op-1:end", "end", "op-1");
    elsewhere.to.channel = "CSOMEWHERE".into();
    store
        .put(vec![elsewhere, wish("op-1", "root")])
        .await
        .unwrap();
    let due = claimed(&store).await;
    assert_eq!(keys(&due), ["op-1"]);
    sent(&store, &due[0], "1.1").await;
    let due = claimed(&store).await;
    assert_eq!(keys(&due), ["op-1:end"]);
    assert_eq!(due[0].thread, Some("1.1".into()));
    // A thread is where its root is.
    assert_eq!(due[0].channel.as_str(), "COPS");
}

#[tokio::test]
async fn a_reply_whose_root_will_never_be_posted_goes_to_the_channel_and_its_pin_nowhere() {
    let ground = Ground::new();
    let store = ground.store("one");
    let mut pin = wish("op-1:pin", "");
    pin.carrier = Carrier::Pin(MessageKey("op-1".to_owned()));
    let wishes = vec![wish("op-1", "root"), under("op-1:end", "end", "op-1"), pin];
    store.put(wishes).await.unwrap();
    let root = claimed(&store).await.remove(0);
    let refused = Posted::Refused {
        advice: "invite habops to the channel".to_owned(),
    };
    store.settle(&root, refused).await.unwrap();
    let due = claimed(&store).await;
    assert_eq!(keys(&due), ["op-1:end"]);
    assert_eq!(due[0].thread, None);
    let dead = store.dead_letters().await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].advice, "invite habops to the channel");
    assert_eq!(dead[0].output.output().title, "root");
    assert!(
        store
            .bury(dead[0].row, vec![wish("op-1:told", "told")])
            .await
            .unwrap()
    );
    assert!(!store.bury(dead[0].row, Vec::new()).await.unwrap());
    assert!(store.dead_letters().await.unwrap().is_empty());
    assert_eq!(store.waiting().await.unwrap(), 2);
}

#[tokio::test]
async fn a_reply_under_what_nobody_wished_for_goes_without_after_a_minute() {
    let ground = Ground::new();
    let store = ground.store("one");
    store
        .put(vec![under("op-1:end", "end", "op-1")])
        .await
        .unwrap();
    assert!(claimed(&store).await.is_empty());
    ground.pass(Duration::from_mins(1));
    assert!(claimed(&store).await.is_empty());
    let due = claimed(&store).await;
    assert_eq!(keys(&due), ["op-1:end"]);
    assert_eq!(due[0].thread, None);
}

#[tokio::test]
async fn a_pin_is_due_once_there_is_something_to_pin() {
    let ground = Ground::new();
    let store = ground.store("one");
    let mut pin = wish("inc-1:pin", "");
    pin.carrier = Carrier::Pin(MessageKey("inc-1:card".to_owned()));
    store
        .put(vec![pin, wish("inc-1:card", "card")])
        .await
        .unwrap();
    let card = claimed(&store).await.remove(0);
    assert_eq!(card.key.0, "inc-1:card");
    sent(&store, &card, "3.3").await;
    let pin = claimed(&store).await.remove(0);
    assert_eq!(
        (pin.key.0.as_str(), pin.posted),
        ("inc-1:pin", Some("3.3".into()))
    );
}

#[tokio::test]
async fn new_messages_of_a_lane_are_posted_in_their_order_and_urgent_lanes_go_first() {
    let ground = Ground::new();
    let store = ground.store("one");
    let mut urgent = wish("card", "sure?");
    urgent.lane = Lane::Confirm;
    let mut other = wish("other", "elsewhere");
    other.to.channel = "COTHER".into();
    let wishes = vec![wish("a", "a"), wish("b", "b"), other, urgent];
    store.put(wishes).await.unwrap();
    let due = claimed(&store).await;
    assert_eq!(keys(&due), ["card", "a", "other"]);
    assert!(claimed(&store).await.is_empty());
    sent(&store, &due[1], "1.1").await;
    assert_eq!(keys(&claimed(&store).await), ["b"]);
}

#[tokio::test]
async fn a_message_that_fails_again_and_again_holds_up_no_other() {
    let ground = Ground::new();
    let store = ground.store("one");
    store
        .put(vec![wish("a", "a"), wish("b", "b")])
        .await
        .unwrap();
    for _ in 0..5 {
        let due = claimed(&store).await;
        assert_eq!(keys(&due), ["a"]);
        let failed = Posted::NotDone {
            retry_after: None,
            why: "500".to_owned(),
        };
        store.settle(&due[0], failed).await.unwrap();
        ground.pass(Duration::from_secs(61));
    }
    assert_eq!(keys(&claimed(&store).await), ["a", "b"]);
}

#[rstest]
#[case::told_when(Posted::NotDone { retry_after: Some(Duration::from_secs(7)), why: "429".into() }, 7, false, 0)]
#[case::paced(Posted::Later { after: Duration::from_secs(3) }, 3, false, 0)]
#[case::failed(Posted::NotDone { retry_after: None, why: "refused".into() }, 1, false, 1)]
#[case::unknown(Posted::Doubtful { why: "reset".into() }, 1, true, 1)]
#[tokio::test]
async fn what_was_not_posted_is_due_again_after_its_pause(
    #[case] posted: Posted,
    #[case] seconds: u64,
    #[case] doubtful: bool,
    #[case] attempts: u32,
) {
    let ground = Ground::new();
    let store = ground.store("one");
    store
        .put(vec![wish("a", "a"), wish("b", "b")])
        .await
        .unwrap();
    let due = claimed(&store).await.remove(0);
    store.settle(&due, posted).await.unwrap();
    ground.pass(Duration::from_millis(700));
    assert!(claimed(&store).await.is_empty(), "b waits for its turn");
    ground.pass(Duration::from_secs(seconds));
    let again = claimed(&store).await.remove(0);
    assert_eq!(again.key.0, "a");
    assert_eq!((again.doubtful, again.attempts), (doubtful, attempts));
}

#[tokio::test]
async fn nothing_is_given_up_within_a_day() {
    let ground = Ground::new();
    let store = ground.store("one");
    store.put(vec![wish("a", "a")]).await.unwrap();
    let mut hours = 0;
    while store.dead_letters().await.unwrap().is_empty() {
        let due = claimed(&store).await.remove(0);
        let failed = Posted::NotDone {
            retry_after: None,
            why: "500".to_owned(),
        };
        store.settle(&due, failed).await.unwrap();
        ground.pass(Duration::from_hours(1));
        hours += 1;
        assert!(hours < 30, "it is given up at some time");
    }
    assert!(hours >= 24, "{hours}");
    // A newer wish is a new try.
    store.put(vec![wish("a", "newer")]).await.unwrap();
    assert_eq!(claimed(&store).await[0].attempts, 0);
}

#[tokio::test]
async fn a_message_that_was_gone_and_posted_anew_is_edited_from_then_on() {
    let ground = Ground::new();
    let store = ground.store("one");
    store.put(vec![wish("op-1", "first")]).await.unwrap();
    let due = claimed(&store).await.remove(0);
    sent(&store, &due, "1.1").await;
    store.put(vec![wish("op-1", "second")]).await.unwrap();
    let edit = claimed(&store).await.remove(0);
    assert_eq!(edit.posted, Some("1.1".into()));
    sent(&store, &edit, "2.2").await;
    let place = store_place(&store, "op-1").await;
    assert_eq!(place, Some(("COPS".to_owned(), "2.2".to_owned())));
    // Who was late with the old one takes nothing back.
    sent(&store, &due, "1.1").await;
    let place = store_place(&store, "op-1").await;
    assert_eq!(place, Some(("COPS".to_owned(), "2.2".to_owned())));
    store.put(vec![wish("op-1", "third")]).await.unwrap();
    assert_eq!(claimed(&store).await[0].posted, Some("2.2".into()));
}

#[tokio::test]
async fn an_end_does_not_wait_for_the_pace_of_progress() {
    let ground = Ground::new();
    let store = ground.store("one");
    store.put(vec![wish("op-1", "1")]).await.unwrap();
    let due = claimed(&store).await.remove(0);
    sent(&store, &due, "1.1").await;
    store.put(vec![wish("op-1", "2")]).await.unwrap();
    let edit = claimed(&store).await.remove(0);
    let later = Posted::Later {
        after: Duration::from_secs(3),
    };
    store.settle(&edit, later).await.unwrap();
    store.put(vec![wish("op-1", "3")]).await.unwrap();
    assert!(claimed(&store).await.is_empty());
    let mut end = wish("op-1", "end");
    end.lane = Lane::Verdict;
    store.put(vec![end]).await.unwrap();
    assert_eq!(claimed(&store).await[0].output.output().title, "end");
}

/// An operation of Ana's with a reply address.
async fn with_reply(store: &Store, key: &str) -> OperationId {
    let mut typed = typed(key, store.now());
    typed.reply = Some(SecretString::from("https://hooks.example/abc"));
    match store.accept(typed).await.unwrap() {
        Accepted::New { id, .. } => id,
        Accepted::Duplicate(_) => panic!("it is new"),
    }
}

fn whisper(key: &str, to: &str, operation: OperationId) -> Wish {
    let mut wish = wish(key, "psst");
    wish.carrier = Carrier::Ephemeral(to.into());
    wish.about.operation = Some(operation);
    wish
}

#[tokio::test]
async fn a_reply_address_serves_its_owner_five_times_within_half_an_hour() {
    let ground = Ground::new();
    let store = ground.store("one");
    let id = with_reply(&store, "k").await;
    store.put(vec![whisper("to-bo", "UBO", id)]).await.unwrap();
    assert!(claimed(&store).await[0].reply.is_none(), "not for Bo");
    for n in 0..6 {
        store
            .put(vec![whisper(&format!("w{n}"), "UANA", id)])
            .await
            .unwrap();
        let due = claimed(&store).await.remove(0);
        assert_eq!(due.reply.is_some(), n < 5, "use {n}");
        if let Some(reply) = &due.reply {
            assert_eq!(reply.expose_secret(), "https://hooks.example/abc");
            assert!(!format!("{due:?}").contains("hooks.example"));
        }
        if n == 0 {
            // Not tried, so not counted.
            let after = Duration::ZERO;
            store.settle(&due, Posted::Later { after }).await.unwrap();
            let due = claimed(&store).await.remove(0);
            sent(&store, &due, "9.9").await;
        }
    }
    let late = with_reply(&store, "late").await;
    ground.pass(Duration::from_mins(30));
    store
        .put(vec![whisper("late", "UANA", late)])
        .await
        .unwrap();
    let due = claimed(&store).await;
    let due = due.iter().find(|due| due.key.0 == "late").unwrap();
    assert!(due.reply.is_none());
}

#[tokio::test]
async fn the_age_of_the_oldest_wish_is_known() {
    let ground = Ground::new();
    let store = ground.store("one");
    assert_eq!(store.oldest_waiting().await.unwrap(), None);
    store.put(vec![wish("a", "1")]).await.unwrap();
    ground.pass(Duration::from_secs(5));
    store.put(vec![wish("a", "2")]).await.unwrap();
    assert_eq!(
        store.oldest_waiting().await.unwrap(),
        Some(Duration::from_secs(5))
    );
}

#[tokio::test]
async fn the_poster_is_woken_by_a_write() {
    let ground = Ground::new();
    let store = ground.store("one");
    store.put(vec![wish("a", "1")]).await.unwrap();
    // A permit is kept even when nobody waits yet; a wait that is never woken would still end, but with nothing to claim.
    store.wait().await;
    assert_eq!(claimed(&store).await.len(), 1);
}
