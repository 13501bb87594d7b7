//! Accepting, stepping, leases, effects, locks.

use std::{collections::BTreeSet, time::Duration};

use habops::{
    domain::{
        audit::{Event, Verified},
        ids::{IncidentId, OperationId},
        incident::{EntryKind, Home, IncidentState},
        message::MessageKey,
        operation::State,
        outcome::{Effect, OpenAt},
        place::Place,
        records::Records,
    },
    store::{Accepted, Change, End, Locked, Stepped, Store, UseOffer},
};
use rstest::rstest;

use super::{Ground, accepted, ana, bo, button, running, said, typed, wish};

#[tokio::test]
async fn what_was_accepted_reads_back_as_it_was_written() {
    let ground = Ground::new();
    let store = ground.store("one");
    let Accepted::New { id, .. } = store.accept(typed("k", ground.now())).await.unwrap() else {
        panic!("it is new");
    };
    let found = store.operation(id).await.unwrap().unwrap();
    assert_eq!(found.text, "status");
    assert_eq!(found.actor, ana());
    assert_eq!(found.state, State::Received);
    assert_eq!(found.received_at, ground.now());
    assert_eq!(found.owner, Some("one".into()));
    assert_eq!(found.fence, 1);
    assert_eq!(
        found.lease_until,
        Some(ground.now() + Duration::from_secs(20))
    );
    assert_eq!(
        store.accept(typed("k", ground.now())).await.unwrap(),
        Accepted::Duplicate(Some(id))
    );
}

#[tokio::test]
async fn a_refused_one_is_at_its_end_with_what_was_said() {
    let ground = Ground::new();
    let store = ground.store("one");
    let mut refused = typed("k", ground.now());
    refused.state = State::Refused;
    refused.output = Some(said("no"));
    refused.wishes = Box::new(|id| vec![wish(&id.to_string(), "no")]);
    let Accepted::New { id, .. } = store.accept(refused).await.unwrap() else {
        panic!("it is new");
    };
    let found = store.operation(id).await.unwrap().unwrap();
    assert_eq!(found.output.unwrap().title, "no");
    assert_eq!(found.ended_at, Some(ground.now()));
    ground.pass(Duration::from_hours(1));
    assert!(store.lapsed().await.unwrap().is_empty());
    assert_eq!(store.waiting().await.unwrap(), 1);
}

#[tokio::test]
async fn a_button_is_delivered_once_by_its_key() {
    let ground = Ground::new();
    let store = ground.store("one");
    assert!(store.first_time("slack:trigger:1").await.unwrap());
    assert!(!store.first_time("slack:trigger:1").await.unwrap());
    let operation = store.accept(typed("slack:trigger:1", store.now())).await;
    assert_eq!(operation.unwrap(), Accepted::Duplicate(None));
}

/// Design section 7, and what follows from refusals, cancellations and crashes on the way.
const STEPS: &[(State, &[State])] = {
    use State::{
        Approved, Awaiting, Cancelled, Choosing, Denied, Done, Expired, Failed, Interrupted,
        Partly, Received, Refused, Running,
    };
    &[
        (
            Received,
            &[
                Refused,
                Choosing,
                Awaiting,
                Running,
                Failed,
                Cancelled,
                Interrupted,
            ],
        ),
        (Choosing, &[Received, Expired, Cancelled, Refused]),
        (Awaiting, &[Approved, Denied, Expired, Cancelled, Refused]),
        (
            Approved,
            &[Running, Refused, Failed, Cancelled, Interrupted],
        ),
        (
            Running,
            &[Done, Partly, Failed, Cancelled, Interrupted, Refused],
        ),
    ]
};

#[test]
fn the_states_step_as_drawn_and_no_other_way() {
    for from in State::ALL {
        let allowed = STEPS
            .iter()
            .find(|(state, _)| *state == from)
            .map_or(&[][..], |(_, to)| to);
        for to in State::ALL {
            assert_eq!(
                from.may_become(to),
                allowed.contains(&to),
                "{} → {}",
                from.word(),
                to.word()
            );
        }
        assert_eq!(from.is_end(), allowed.is_empty(), "{}", from.word());
        assert_eq!(State::of_word(from.word()), Some(from));
    }
}

#[test]
fn every_state_is_reached_and_every_way_ends() {
    let mut reached = BTreeSet::from([State::Received]);
    while let Some(next) = State::ALL
        .into_iter()
        .find(|next| !reached.contains(next) && reached.iter().any(|from| from.may_become(*next)))
    {
        reached.insert(next);
    }
    assert_eq!(reached.len(), State::ALL.len());
    for from in State::ALL.into_iter().filter(|state| !state.is_end()) {
        assert!(
            State::ALL
                .into_iter()
                .any(|to| to.is_end() && from.may_become(to))
        );
    }
}

/// Brings a new operation into that state, on that store; its fence.
async fn stands(store: &Store, key: &str, state: State) -> (OperationId, u64) {
    let id = accepted(store, key).await;
    let way: &[State] = match state {
        State::Received => &[],
        State::Choosing => &[State::Choosing],
        State::Awaiting => &[State::Awaiting],
        State::Approved => &[State::Awaiting, State::Approved],
        State::Running => &[State::Running],
        other => panic!("{} is an end", other.word()),
    };
    let (mut from, mut fence) = (State::Received, 1);
    for to in way {
        let step = store.step(id, from, *to, Change::default()).await.unwrap();
        (from, fence) = (*to, step.fence().unwrap());
    }
    (id, fence)
}

#[rstest]
#[tokio::test]
async fn every_step_is_won_once_and_lost_the_second_time(
    #[values(
        State::Received,
        State::Choosing,
        State::Awaiting,
        State::Approved,
        State::Running
    )]
    from: State,
) {
    let ground = Ground::new();
    let (store, other) = (ground.store("one"), ground.store("two"));
    for to in State::ALL {
        let (id, fence) = stands(&store, to.word(), from).await;
        let change = || Change {
            fence: Some(fence),
            ..Change::default()
        };
        let waits = matches!(from, State::Choosing | State::Awaiting);
        if !from.may_become(to) {
            assert!(store.step(id, from, to, change()).await.is_err());
            continue;
        }
        if !waits {
            // What somebody works on is moved by its owner alone.
            let stranger = other.step(id, from, to, change()).await.unwrap();
            assert_eq!(stranger, Stepped::Lost { now: Some(from) });
        }
        let late = Change {
            fence: Some(fence - 1),
            ..Change::default()
        };
        assert!(!store.step(id, from, to, late).await.unwrap().won());
        assert!(store.step(id, from, to, change()).await.unwrap().won());
        let again = store.step(id, from, to, change()).await.unwrap();
        assert_eq!(again, Stepped::Lost { now: Some(to) });
        let found = store.operation(id).await.unwrap().unwrap();
        assert_eq!(found.ended_at.is_some(), to.is_end());
        let works = !to.is_end() && !matches!(to, State::Choosing | State::Awaiting);
        assert_eq!(found.lease_until.is_some(), works, "{}", to.word());
    }
}

#[tokio::test]
async fn a_running_one_is_left_only_with_a_fence() {
    let ground = Ground::new();
    let store = ground.store("one");
    let id = running(&store, "k").await;
    let step = store.step(id, State::Running, State::Done, Change::default());
    assert!(step.await.is_err());
}

#[tokio::test]
async fn a_lost_step_writes_nothing_of_what_it_would_have_said() {
    let ground = Ground::new();
    let store = ground.store("one");
    let id = running(&store, "k").await;
    let mut end = End::new(State::Done, said("done"));
    end.events = vec![Event::Refused { why: "x".into() }];
    end.wishes = vec![wish("op-1", "done")];
    end.effects = vec![Effect::Freeze {
        environment: None,
        why: "x".into(),
    }];
    end.offers = vec![button("b", id)];
    let lost = store.finish(id, State::Running, 7, end).await.unwrap();
    assert!(!lost.won());
    assert_eq!(store.audit_records(1, 10).await.unwrap().len(), 1);
    assert_eq!(store.waiting().await.unwrap(), 0);
    assert!(store.freezes().await.unwrap().is_empty());
    assert_eq!(store.offer(&"b".into()).await.unwrap(), None);
}

#[tokio::test]
async fn a_lapsed_operation_is_taken_over_by_one_and_lost_to_its_old_owner() {
    let ground = Ground::new();
    let (old, new, late) = (
        ground.store("old"),
        ground.store("new"),
        ground.store("late"),
    );
    let id = running(&old, "k").await;
    let at_work = old.at_work(id);
    assert!(old.holds(id, 1).await.unwrap());
    ground.pass(Duration::from_secs(15));
    assert_eq!(old.renew().await.unwrap(), 1);
    ground.pass(Duration::from_secs(15));
    assert!(old.holds(id, 1).await.unwrap());
    assert_eq!(new.take_over(id, 1).await.unwrap(), None);
    ground.pass(Duration::from_secs(5));
    assert!(!old.holds(id, 1).await.unwrap());
    assert_eq!(new.lapsed().await.unwrap().len(), 1);
    assert_eq!(new.take_over(id, 1).await.unwrap(), Some(2));
    assert_eq!(late.take_over(id, 1).await.unwrap(), None);
    assert_eq!(old.renew().await.unwrap(), 0);
    drop(at_work);
    assert!(!old.holds(id, 1).await.unwrap());
    let end = |title| End::new(State::Interrupted, said(title));
    let stale = old
        .finish(id, State::Running, 1, end("stale"))
        .await
        .unwrap();
    assert!(!stale.won());
    assert!(
        new.finish(id, State::Running, 2, end("new"))
            .await
            .unwrap()
            .won()
    );
    let found = old.operation(id).await.unwrap().unwrap();
    assert_eq!(found.output.unwrap().title, "new");
}

#[tokio::test]
async fn what_its_process_no_longer_works_on_lapses_though_the_process_lives() {
    let ground = Ground::new();
    let store = ground.store("one");
    let (lost, held) = (running(&store, "a").await, running(&store, "b").await);
    let (first, second) = (store.at_work(held), store.at_work(held));
    drop(first);
    ground.pass(Duration::from_secs(15));
    assert_eq!(store.renew().await.unwrap(), 1);
    ground.pass(Duration::from_secs(15));
    let lapsed = store.lapsed().await.unwrap();
    let lapsed: Vec<OperationId> = lapsed.iter().map(|operation| operation.id).collect();
    assert_eq!(lapsed, [lost]);
    assert!(store.is_at_work(held));
    drop(second);
    assert!(!store.is_at_work(held));
    assert_eq!(store.renew().await.unwrap(), 0);
}

#[tokio::test]
async fn an_approval_on_another_process_makes_that_one_the_owner() {
    let ground = Ground::new();
    let (asked, clicked) = (ground.store("asked"), ground.store("clicked"));
    let (id, fence) = stands(&asked, "k", State::Awaiting).await;
    assert_eq!(asked.awaiting().await.unwrap()[0].id, id);
    assert_eq!(asked.operation(id).await.unwrap().unwrap().owner, None);
    let yes = Change {
        by: Some(bo()),
        events: vec![Event::Decided {
            decision: "approved".into(),
        }],
        ..Change::default()
    };
    let step = clicked.step(id, State::Awaiting, State::Approved, yes);
    let won = step.await.unwrap();
    assert_eq!(won, Stepped::Won { fence: fence + 1 });
    assert!(clicked.holds(id, fence + 1).await.unwrap());
    assert!(!asked.holds(id, fence).await.unwrap());
    let decided = asked.audit_records(2, 1).await.unwrap().remove(0);
    assert_eq!(decided.actor, bo());
}

#[tokio::test]
async fn what_waits_too_long_is_overdue() {
    let ground = Ground::new();
    let store = ground.store("one");
    let id = accepted(&store, "k").await;
    let change = Change {
        waits_until: Some(ground.now() + Duration::from_mins(5)),
        ..Change::default()
    };
    let step = store.step(id, State::Received, State::Choosing, change);
    assert!(step.await.unwrap().won());
    ground.pass(Duration::from_secs(299));
    assert!(store.overdue().await.unwrap().is_empty());
    assert!(store.lapsed().await.unwrap().is_empty());
    ground.pass(Duration::from_secs(1));
    assert_eq!(store.overdue().await.unwrap()[0].id, id);
}

#[tokio::test]
async fn a_cancel_reaches_the_owner_on_another_process() {
    let ground = Ground::new();
    let (owner, other) = (ground.store("owner"), ground.store("other"));
    let id = running(&owner, "k").await;
    assert!(!owner.cancel_requested(id).await.unwrap());
    assert!(other.request_cancel(id).await.unwrap());
    assert!(owner.cancel_requested(id).await.unwrap());
    let end = End::new(State::Cancelled, said("stopped"));
    assert!(
        owner
            .finish(id, State::Running, 1, end)
            .await
            .unwrap()
            .won()
    );
    assert!(!other.request_cancel(id).await.unwrap());
}

#[tokio::test]
async fn an_offer_says_who_was_faster_and_when_it_is_too_late() {
    let ground = Ground::new();
    let store = ground.store("one");
    let id = accepted(&store, "k").await;
    let mut lapsing = button("lapses", id);
    lapsing.expires_at = Some(ground.now() + Duration::from_mins(1));
    let buttons = vec![button("once", id), lapsing];
    store
        .put_with(vec![wish("op-1", "sure?")], buttons)
        .await
        .unwrap();
    let once = store.use_offer(&"once".into(), &ana()).await.unwrap();
    assert!(matches!(once, UseOffer::Won(offer) if offer.used_by == Some(ana())));
    let again = store.use_offer(&"once".into(), &bo()).await.unwrap();
    assert!(matches!(again, UseOffer::Lost(offer) if offer.used_by == Some(ana())));
    ground.pass(Duration::from_mins(1));
    let late = store.use_offer(&"lapses".into(), &bo()).await.unwrap();
    assert_eq!(late, UseOffer::Expired);
    let none = store.use_offer(&"never".into(), &bo()).await.unwrap();
    assert_eq!(none, UseOffer::Unknown);
}

async fn ends(store: &Store, key: &str, effects: Vec<Effect>) -> OperationId {
    let id = running(store, key).await;
    let mut end = End::new(State::Done, said("done"));
    end.effects = effects;
    let end = store.finish(id, State::Running, 1, end).await.unwrap();
    assert!(end.won());
    id
}

#[tokio::test]
async fn an_incident_is_opened_linked_noted_and_closed_with_the_ends_that_say_so() {
    let ground = Ground::new();
    let store = ground.store("one");
    let open = Effect::OpenIncident {
        title: "login is slow".to_owned(),
        place: OpenAt::CardIn("COPS".into()),
        pagerduty: None,
    };
    let operation = ends(&store, "open", vec![open]).await;
    let id = IncidentId(operation.0);
    let incident = store.incident(id).await.unwrap().unwrap();
    assert_eq!(incident.title, "login is slow");
    assert_eq!(incident.opened_by, ana());
    let of_operation = store.operation(operation).await.unwrap().unwrap();
    assert_eq!(of_operation.incident, Some(id));
    let place = Place::channel("CWAR");
    let link = Effect::LinkIncident {
        incident: id,
        place: place.clone(),
    };
    let note = Effect::AddNote {
        incident: id,
        text: "it is the disk".to_owned(),
    };
    ends(&store, "link", vec![link.clone(), note, link]).await;
    let close = Effect::CloseIncident { incident: id };
    ends(&store, "close", vec![close.clone(), close]).await;
    let incident = store.incident(id).await.unwrap().unwrap();
    assert_eq!(incident.links, [place]);
    assert_eq!(incident.state, IncidentState::Closed);
    assert!(store.open_incidents().await.unwrap().is_empty());
    let lines = store.timeline(id).await.unwrap();
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (line.kind, line.text.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (EntryKind::Incident, "opened: login is slow"),
            (EntryKind::Incident, "linked: <#CWAR>"),
            (EntryKind::Note, "it is the disk"),
            (EntryKind::Incident, "closed"),
        ]
    );
    assert!(matches!(
        store.verify(None).await.unwrap(),
        Verified::Whole { records: 6, .. }
    ));
}

#[tokio::test]
async fn an_effect_on_an_incident_that_is_not_there_does_not_keep_the_end_from_being_written() {
    let ground = Ground::new();
    let store = ground.store("one");
    let gone = IncidentId(99);
    let effects = vec![
        Effect::CloseIncident { incident: gone },
        Effect::AddNote {
            incident: gone,
            text: "x".into(),
        },
        Effect::LinkIncident {
            incident: gone,
            place: Place::channel("C"),
        },
    ];
    let id = ends(&store, "k", effects).await;
    assert_eq!(
        store.operation(id).await.unwrap().unwrap().state,
        State::Done
    );
}

#[tokio::test]
async fn the_posted_card_becomes_the_incidents_home() {
    use habops::domain::{message::Posted, records::Outbox};
    let ground = Ground::new();
    let store = ground.store("one");
    let open = Effect::OpenIncident {
        title: "x".into(),
        place: OpenAt::CardIn("COPS".into()),
        pagerduty: None,
    };
    let id = IncidentId(ends(&store, "k", vec![open]).await.0);
    let card = wish(&MessageKey::card(id).0, "the card");
    store.put(vec![card]).await.unwrap();
    let due = store.claim(1).await.unwrap().remove(0);
    let ts = Some("7.7".into());
    store.settle(&due, Posted::Sent { ts }).await.unwrap();
    let home = store.incident(id).await.unwrap().unwrap().home;
    let expected = Home::Card {
        channel: "COPS".into(),
        ts: Some("7.7".into()),
    };
    assert_eq!(home, expected);
}

#[tokio::test]
async fn a_freeze_holds_until_it_is_lifted_there_or_everywhere() {
    let ground = Ground::new();
    let store = ground.store("one");
    let freeze = |environment: Option<&str>| Effect::Freeze {
        environment: environment.map(Into::into),
        why: "release".into(),
    };
    let unfreeze = |environment: Option<&str>| Effect::Unfreeze {
        environment: environment.map(Into::into),
    };
    ends(
        &store,
        "1",
        vec![
            freeze(None),
            freeze(Some("live")),
            freeze(Some("acceptance")),
        ],
    )
    .await;
    assert_eq!(store.freezes().await.unwrap().len(), 3);
    ends(&store, "2", vec![unfreeze(Some("live"))]).await;
    let left = store.freezes().await.unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|freeze| freeze.environment.clone())
        .collect();
    assert_eq!(left, [None, Some("acceptance".into())]);
    ends(&store, "3", vec![unfreeze(None)]).await;
    assert!(store.freezes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lock_is_held_by_one_operation_and_freed_by_its_end() {
    let ground = Ground::new();
    let (one, two) = (ground.store("one"), ground.store("two"));
    let (first, second) = (running(&one, "a").await, running(&two, "b").await);
    let name = "restart:live-builder-api-0";
    assert_eq!(one.lock(name, first).await.unwrap(), Locked::Held);
    assert_eq!(one.lock(name, first).await.unwrap(), Locked::Held);
    assert_eq!(two.lock(name, second).await.unwrap(), Locked::By(first));
    assert_eq!(two.lock(name, first).await.unwrap(), Locked::NotYours);
    let end = End::new(State::Failed, said("x"));
    assert!(
        one.finish(first, State::Running, 1, end)
            .await
            .unwrap()
            .won()
    );
    assert_eq!(two.lock(name, second).await.unwrap(), Locked::Held);
    assert_eq!(one.lock("other", first).await.unwrap(), Locked::NotYours);
}

#[tokio::test]
async fn a_watchers_memo_is_swapped_by_one() {
    let ground = Ground::new();
    let (one, two) = (ground.store("one"), ground.store("two"));
    let (old, new) = (serde_json::json!({"b": 1, "a": 2}), serde_json::json!(3));
    assert_eq!(one.get_state("shift").await.unwrap(), None);
    assert!(one.swap_state("shift", None, &old).await.unwrap());
    assert!(!two.swap_state("shift", None, &new).await.unwrap());
    assert!(two.swap_state("shift", Some(&old), &new).await.unwrap());
    assert_eq!(one.get_state("shift").await.unwrap(), Some(new));
}
