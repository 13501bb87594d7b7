//! Several stores on one file, as several processes are: of everything that may happen once, one wins.

use std::{os::unix::process::ExitStatusExt, process::Command, sync::Arc, time::Duration};

use habops::{
    domain::{
        audit::Verified,
        message::Posted,
        operation::State,
        records::{Outbox, Records},
    },
    store::{Accepted, Change, Config, End, Error, Store, UseOffer},
};
use jiff::Timestamp;
use tokio::{sync::Barrier, task::JoinSet};

use super::{Ground, accepted, ana, bo, button, running, said, typed, wish};

fn stores(ground: &Ground) -> Vec<Store> {
    (0..4).map(|n| ground.store(&format!("p{n}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_operation_comes_of_a_key_that_is_delivered_everywhere_at_once() {
    let ground = Ground::new();
    let stores = stores(&ground);
    let start = Arc::new(Barrier::new(8));
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let (store, start) = (stores[n % 4].clone(), Arc::clone(&start));
        tasks.spawn(async move {
            start.wait().await;
            let mut all = Vec::new();
            for key in 0..25 {
                let accept = typed(&format!("slack:trigger:{key}"), store.now());
                all.push(store.accept(accept).await.unwrap());
            }
            all
        });
    }
    let all = tasks.join_all().await;
    for key in 0..25 {
        let ids: Vec<_> = all
            .iter()
            .filter_map(|one| match one[key] {
                Accepted::New { id, .. } => Some(id),
                Accepted::Duplicate(_) => None,
            })
            .collect();
        assert_eq!(ids.len(), 1, "key {key}");
        assert!(all.iter().all(|one| matches!(one[key], Accepted::New { id, .. } | Accepted::Duplicate(Some(id)) if id == ids[0])));
    }
    assert_eq!(stores[0].operations(None, 1_000).await.unwrap().len(), 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_press_of_a_button_wins_and_one_step() {
    let ground = Ground::new();
    let stores = stores(&ground);
    for round in 0..10 {
        let id = accepted(&stores[0], &format!("k{round}")).await;
        let waits = Change {
            offers: vec![button(&format!("b{round}"), id)],
            ..Change::default()
        };
        let step = stores[0].step(id, State::Received, State::Awaiting, waits);
        assert!(step.await.unwrap().won());
        let start = Arc::new(Barrier::new(8));
        let mut tasks = JoinSet::new();
        for n in 0..8 {
            let (store, start) = (stores[n % 4].clone(), Arc::clone(&start));
            let by = if n % 2 == 0 { ana() } else { bo() };
            tasks.spawn(async move {
                start.wait().await;
                let offer = format!("b{round}").as_str().into();
                let pressed = store.use_offer(&offer, &by).await.unwrap();
                let to = if n % 2 == 0 {
                    State::Approved
                } else {
                    State::Denied
                };
                let step = store.step(id, State::Awaiting, to, Change::default());
                (
                    matches!(pressed, UseOffer::Won(_)),
                    step.await.unwrap().won(),
                )
            });
        }
        let won = tasks.join_all().await;
        assert_eq!(won.iter().filter(|(pressed, _)| *pressed).count(), 1);
        assert_eq!(won.iter().filter(|(_, stepped)| *stepped).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_process_recovers_a_lapsed_operation_and_one_posts_a_wish() {
    let ground = Ground::new();
    let id = running(&ground.store("crashed"), "k").await;
    ground.pass(Duration::from_mins(1));
    let stores = stores(&ground);
    stores[0].put(vec![wish("op-1", "x")]).await.unwrap();
    let start = Arc::new(Barrier::new(4));
    let mut tasks = JoinSet::new();
    for store in stores {
        let start = Arc::clone(&start);
        tasks.spawn(async move {
            start.wait().await;
            let claimed = store.claim(10).await.unwrap().len();
            (store.take_over(id, 1).await.unwrap().is_some(), claimed)
        });
    }
    let won = tasks.join_all().await;
    assert_eq!(won.iter().filter(|(recovered, _)| *recovered).count(), 1);
    assert_eq!(won.iter().map(|(_, claimed)| claimed).sum::<usize>(), 1);
}

#[tokio::test]
async fn two_hundred_commands_at_once_share_few_commits() {
    let ground = Ground::new();
    let store = ground.store("one");
    // While another process writes, all two hundred come in (one yield on a single thread lets each of them run up to its
    // place in the queue); once it is done they go to the disk together.
    let other = rusqlite::Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = store.commits();
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let store = store.clone();
        tasks.spawn(async move { store.accept(typed(&format!("k{n}"), store.now())).await });
    }
    tokio::task::yield_now().await;
    other.execute_batch("ROLLBACK").unwrap();
    for accepted in tasks.join_all().await {
        assert!(matches!(accepted.unwrap(), Accepted::New { .. }));
    }
    let commits = store.commits() - before;
    assert!(commits <= 3, "{commits} commits for 200 commands");
    assert!(matches!(
        store.verify(None).await.unwrap(),
        Verified::Whole { records: 200, .. }
    ));
}

#[tokio::test]
async fn a_job_that_fails_undoes_none_of_those_beside_it() {
    let ground = Ground::new();
    let store = ground.store("one");
    let id = accepted(&store, "k").await;
    store
        .put_with(Vec::new(), vec![button("taken", id)])
        .await
        .unwrap();
    let other = rusqlite::Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..20 {
        let store = store.clone();
        tasks.spawn(async move {
            // Every other one brings a button whose id is taken, which the tables refuse.
            let name = if n % 2 == 0 {
                "taken".to_owned()
            } else {
                format!("b{n}")
            };
            let wishes = vec![wish(&format!("w{n}"), "x")];
            (n, store.put_with(wishes, vec![button(&name, id)]).await)
        });
    }
    tokio::task::yield_now().await;
    other.execute_batch("ROLLBACK").unwrap();
    for (n, put) in tasks.join_all().await {
        assert_eq!(put.is_ok(), n % 2 == 1, "{n}: {put:?}");
    }
    assert_eq!(store.waiting().await.unwrap(), 10);
}

/// Names the directory of the database for [`another_process`].
const CHILD: &str = "HABOPS_TEST_STORE";
const PER_CHILD: usize = 40;

/// Not a test of its own: what the children of the next test run, in a process of their own. Started without them, it proves
/// that nothing is written where nobody asked for it.
#[tokio::test]
async fn another_process() {
    let ground = Ground::new();
    let Ok(dir) = std::env::var(CHILD) else {
        let store = ground.store("nobody");
        assert!(store.operations(None, 1).await.unwrap().is_empty());
        return;
    };
    let owner = format!("pid-{}", std::process::id());
    let store = Store::open(
        &Config::default(),
        dir.as_ref(),
        Arc::new(Timestamp::now),
        owner.as_str().into(),
    )
    .unwrap();
    for n in 0..PER_CHILD {
        // Half of the keys are the same in every process.
        let key = if n % 2 == 0 {
            format!("shared-{n}")
        } else {
            format!("{owner}-{n}")
        };
        // Told that it is busy, a sender delivers again: so does Slack.
        let accepted = loop {
            match store.accept(typed(&key, store.now())).await {
                Err(Error::Busy { .. }) => {}
                told => break told.unwrap(),
            }
        };
        if let Accepted::New { id, .. } = accepted {
            let step = store.step(id, State::Received, State::Running, Change::default());
            assert!(step.await.unwrap().won());
            let end = End::new(State::Done, said("done"));
            let end = store.finish(id, State::Running, 1, end).await.unwrap();
            assert!(end.won());
        }
    }
    // Ends without a word, as a killed process does, with a claim that nobody settles.
    store
        .put(vec![wish(&owner, "claimed by the dead")])
        .await
        .unwrap();
    store.claim(1).await.unwrap();
    std::process::abort();
}

#[tokio::test]
async fn processes_that_write_one_file_at_once_and_die_leave_it_whole() {
    let ground = Ground::new();
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture", "store::races::another_process"])
                .env(CHILD, ground.dir.path())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in &mut children {
        let ended = child.wait().unwrap();
        assert!(
            ended.signal().is_some(),
            "a child failed on its way: {ended}"
        );
    }
    let now = Arc::new(|| Timestamp::now() + Duration::from_mins(1));
    let store = Store::open(&Config::default(), ground.dir.path(), now, "after".into()).unwrap();
    let operations = store.operations(None, 1_000).await.unwrap();
    assert_eq!(operations.len(), PER_CHILD / 2 + 3 * PER_CHILD / 2);
    assert!(operations.iter().all(|one| one.state == State::Done));
    let Verified::Whole { records, .. } = store.verify(None).await.unwrap() else {
        panic!("the chain is broken");
    };
    assert_eq!(records, operations.len() as u64);
    let mut claimed = 0;
    while let Some(due) = store.claim(1).await.unwrap().pop() {
        claimed += 1;
        // The first of them was claimed by its own process; the order in the channel kept the others from it.
        assert!(due.doubtful || claimed > 1);
        store.settle(&due, Posted::Sent { ts: None }).await.unwrap();
    }
    assert_eq!(claimed, 3);
}
