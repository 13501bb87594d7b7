//! The audit's chain: it holds under every interleaving, and every tampering is found at its first bad record.

use habops::{
    domain::{
        actor::Actor,
        audit::{Event, Hash, Verified},
        operation::State,
    },
    store::{Change, End, Store},
};
use proptest::{prelude::*, test_runner::Config};
use rstest::rstest;
use rusqlite::Connection;

use super::{Ground, running, said, typed};

async fn noted(store: &Store, count: usize) {
    for n in 0..count {
        let event = Event::Refused {
            why: format!("reason {n}"),
        };
        store
            .audit_event(Actor::Habops, None, vec![event])
            .await
            .unwrap();
    }
}

/// What somebody with the file and sqlite3 can do.
fn tamper(store: &Store, sql: &str) {
    let connection = Connection::open(store.path()).unwrap();
    connection
        .execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut;")
        .unwrap();
    connection.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn an_untouched_chain_is_whole() {
    let ground = Ground::new();
    let store = ground.store("one");
    let empty = Verified::Whole {
        records: 0,
        head: Hash::zero(),
    };
    assert_eq!(store.verify(None).await.unwrap(), empty);
    noted(&store, 5).await;
    let newest = store.newest_audit_records(1).await.unwrap().remove(0);
    assert_eq!(newest.seq, 5);
    let whole = Verified::Whole {
        records: 5,
        head: newest.hash.clone(),
    };
    assert_eq!(store.verify(None).await.unwrap(), whole);
    noted(&store, 1).await;
    assert!(matches!(
        store.verify(Some(&newest.hash)).await.unwrap(),
        Verified::Whole { records: 6, .. }
    ));
}

#[rstest]
#[case::event(
    "UPDATE audit SET event = replace(event, 'reason', 'pretext') WHERE seq = 3",
    3
)]
#[case::actor("UPDATE audit SET actor = '\"pagerduty\"' WHERE seq = 4", 4)]
#[case::unreadable_actor("UPDATE audit SET actor = 'nobody' WHERE seq = 4", 4)]
#[case::time("UPDATE audit SET at = '2026-01-01T00:00:00Z' WHERE seq = 2", 2)]
#[case::unreadable_time("UPDATE audit SET at = 'yesterday' WHERE seq = 2", 2)]
#[case::operation("UPDATE audit SET operation = 1 WHERE seq = 5", 5)]
#[case::hash("UPDATE audit SET hash = previous WHERE seq = 3", 3)]
#[case::missing("DELETE FROM audit WHERE seq = 3", 3)]
#[case::first_missing("DELETE FROM audit WHERE seq = 1", 1)]
#[case::closed_up(
    "DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3",
    3
)]
#[case::swapped(
    "UPDATE audit SET seq = 100 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 100",
    2
)]
#[case::added(
    "INSERT INTO audit SELECT 7, at, actor, operation, event, hash, hash FROM audit WHERE seq = 6",
    7
)]
#[tokio::test]
async fn tampering_is_found_at_the_first_bad_record(#[case] sql: &str, #[case] first: u64) {
    let ground = Ground::new();
    let store = ground.store("one");
    noted(&store, 6).await;
    tamper(&store, sql);
    match store.verify(None).await.unwrap() {
        Verified::Broken { seq, .. } => assert_eq!(seq, first),
        Verified::Whole { .. } => panic!("{sql} went unnoticed"),
    }
}

#[tokio::test]
async fn a_cut_off_end_is_found_by_whoever_noted_the_head() {
    let ground = Ground::new();
    let store = ground.store("one");
    noted(&store, 6).await;
    let head = store.newest_audit_records(1).await.unwrap().remove(0).hash;
    tamper(&store, "DELETE FROM audit WHERE seq > 4");
    assert!(matches!(
        store.verify(None).await.unwrap(),
        Verified::Whole { records: 4, .. }
    ));
    assert!(matches!(
        store.verify(Some(&head)).await.unwrap(),
        Verified::Broken { seq: 5, .. }
    ));
}

#[tokio::test]
async fn by_accident_nobody_changes_or_cuts_it() {
    let ground = Ground::new();
    let store = ground.store("one");
    noted(&store, 1).await;
    let connection = Connection::open(store.path()).unwrap();
    for sql in ["UPDATE audit SET event = 'x'", "DELETE FROM audit"] {
        let refused = connection.execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains("only added to"), "{refused}");
    }
}

#[tokio::test]
async fn records_are_read_in_pages() {
    let ground = Ground::new();
    let store = ground.store("one");
    noted(&store, 7).await;
    let page = store.audit_records(3, 2).await.unwrap();
    let seqs: Vec<_> = page.iter().map(|record| record.seq).collect();
    assert_eq!(seqs, [3, 4]);
}

/// What several processes may do at the same time.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Accept,
    RunToTheEnd,
    LoseAStep,
    Note,
}

fn deed() -> impl Strategy<Value = (usize, Deed)> {
    let deeds = prop_oneof![
        Just(Deed::Accept),
        Just(Deed::RunToTheEnd),
        Just(Deed::LoseAStep),
        Just(Deed::Note)
    ];
    (0_usize..3, deeds)
}

async fn perform(store: Store, n: usize, deed: Deed) {
    let decided = || {
        vec![Event::Decided {
            decision: "approved".to_owned(),
        }]
    };
    match deed {
        // Some keys come twice; the second adds nothing.
        Deed::Accept => drop(
            store
                .accept(typed(&format!("k{}", n / 2), store.now()))
                .await,
        ),
        Deed::Note => noted(&store, 1).await,
        Deed::RunToTheEnd => {
            let id = running(&store, &format!("run{n}")).await;
            let mut end = End::new(State::Done, said("done"));
            end.events = decided();
            let end = store.finish(id, State::Running, 1, end).await;
            assert!(end.unwrap().won());
        }
        Deed::LoseAStep => {
            let change = Change {
                events: decided(),
                ..Change::default()
            };
            let none = habops::domain::ids::OperationId(1_000_000);
            let step = store.step(none, State::Awaiting, State::Approved, change);
            assert!(!step.await.unwrap().won());
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_chain_holds_whatever_several_stores_do_at_once(deeds in prop::collection::vec(deed(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let ground = Ground::new();
        let verified = runtime.block_on(async {
            let stores = [ground.store("one"), ground.store("two"), ground.store("three")];
            let mut tasks = tokio::task::JoinSet::new();
            for (n, (store, deed)) in deeds.iter().enumerate() {
                tasks.spawn(perform(stores[*store].clone(), n, *deed));
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
            let count = stores[0].audit_records(1, 10_000).await.unwrap().len() as u64;
            (stores[1].verify(None).await.unwrap(), count)
        });
        let (verified, count) = verified;
        let is_whole = matches!(verified, Verified::Whole { records, .. } if records == count);
        prop_assert!(is_whole, "{verified:?} of {count}");
        let expected = deeds.iter().enumerate().map(|(n, (_, deed))| match deed {
            Deed::Note => 1,
            Deed::RunToTheEnd => 2,
            Deed::LoseAStep => 0,
            Deed::Accept => u64::from(n % 2 == 0 || !matches!(deeds[n - 1].1, Deed::Accept)),
        }).sum::<u64>();
        prop_assert_eq!(count, expected);
    }
}
