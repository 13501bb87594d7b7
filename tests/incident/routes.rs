//! Two and more open incidents: no output ever lands in the wrong one. A property over the routing rules, whatever is open, wherever
//! something is typed, whatever is said beside it.

use habops::domain::{
    actor::Actor,
    ids::IncidentId,
    incident::{Home, Incident},
    journey::Flags,
    place::{Place, Whence},
    routing::{Route, bound, route},
};
use jiff::Timestamp;
use proptest::prelude::*;

/// Few channels and threads, so that they meet.
const CHANNELS: [&str; 3] = ["C1", "C2", "C3"];
const THREADS: [&str; 4] = ["1.1", "2.2", "3.3", "4.4"];

fn places() -> impl Strategy<Value = Place> {
    let thread = prop::option::of(0..THREADS.len());
    (0..CHANNELS.len(), thread).prop_map(|(channel, thread)| Place {
        channel: CHANNELS[channel].into(),
        thread: thread.map(|at| THREADS[at].into()),
    })
}

/// Where an incident lives, and what else is bound to it.
fn bindings() -> impl Strategy<Value = (Home, Vec<Place>)> {
    let home = prop_oneof![
        1 => Just(Home::Nowhere),
        2 => (0..CHANNELS.len()).prop_map(|at| Home::Channel(CHANNELS[at].into())),
        4 => (0..CHANNELS.len(), prop::option::of(0..THREADS.len())).prop_map(|(at, ts)| Home::Card {
            channel: CHANNELS[at].into(),
            ts: ts.map(|at| THREADS[at].into()),
        }),
    ];
    (home, prop::collection::vec(places(), 0..3))
}

/// Open incidents as habops lets them be: a place is bound to one of them at most.
fn open() -> impl Strategy<Value = Vec<Incident>> {
    prop::collection::vec(bindings(), 0..5).prop_map(|all| {
        let mut open: Vec<Incident> = Vec::new();
        for (number, (home, links)) in all.into_iter().enumerate() {
            let own = match &home {
                Home::Card {
                    channel,
                    ts: Some(ts),
                } => Some(Place::thread(channel.clone(), ts.clone())),
                Home::Channel(channel) => Some(Place::channel(channel.clone())),
                Home::Card { ts: None, .. } | Home::Nowhere => None,
            };
            if own.is_some_and(|own| bound(&open, &own).is_some()) {
                continue;
            }
            let id = IncidentId(number as u64 + 1);
            let at = Timestamp::UNIX_EPOCH;
            let mut incident = Incident::opened(id, "slow".to_owned(), Actor::Habops, at, home);
            for link in links {
                if bound(&open, &link).is_none() {
                    incident.links.push(link);
                }
            }
            open.push(incident);
        }
        open
    })
}

/// Whose place that is, as a person would say: a thread that is bound by itself is its incident's, also in another's channel; all
/// else in a bound channel is the channel's.
fn owner(open: &[Incident], place: &Place) -> Option<IncidentId> {
    let threads = |incident: &Incident| {
        let card = match &incident.home {
            Home::Card {
                channel,
                ts: Some(ts),
            } => vec![Place::thread(channel.clone(), ts.clone())],
            _ => Vec::new(),
        };
        let linked = incident
            .links
            .iter()
            .filter(|it| it.thread.is_some())
            .cloned();
        card.into_iter().chain(linked).collect::<Vec<_>>()
    };
    let channels = |incident: &Incident| {
        let home = match &incident.home {
            Home::Channel(channel) => vec![channel.clone()],
            _ => Vec::new(),
        };
        let linked = incident.links.iter().filter(|it| it.thread.is_none());
        let linked = linked.map(|it| it.channel.clone());
        home.into_iter().chain(linked).collect::<Vec<_>>()
    };
    let of_thread = open.iter().find(|it| threads(it).contains(place));
    let of_channel = open.iter().find(|it| channels(it).contains(&place.channel));
    of_thread.or(of_channel).map(|it| it.id)
}

fn whences() -> impl Strategy<Value = Whence> {
    prop_oneof![
        1 => Just(Whence::Terminal),
        1 => Just(Whence::Machine),
        6 => places().prop_map(|place| Whence::Slack { place }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_output_lands_in_another_incident(
        open in open(),
        whence in whences(),
        here in any::<bool>(),
        personal in any::<bool>(),
        named in prop::option::of(1_u64..6),
    ) {
        let named = named.map(IncidentId);
        let flags = Flags { incident: named, here, ..Flags::default() };
        let is_open = |id: IncidentId| open.iter().any(|it| it.id == id);
        let Ok(found) = route(&whence, &flags, personal, &open) else {
            prop_assert!(named.is_some_and(|id| !is_open(id)), "only what is named and not open goes astray");
            return Ok(());
        };
        let typed_in = whence.place().and_then(|place| owner(&open, place));
        match &found {
            Route::Incident { incident, at, .. } => {
                prop_assert!(is_open(*incident));
                match (named, typed_in) {
                    (Some(named), _) => prop_assert_eq!(*incident, named, "what is named is meant"),
                    (None, Some(own)) => prop_assert_eq!(*incident, own, "typed in one, it stays in that one"),
                    (None, None) => prop_assert_eq!(open.len(), 1, "typed elsewhere, only one can be meant"),
                }
                // The very place, where there is one, is that incident's and no other's.
                if let Some(place) = at {
                    prop_assert_eq!(whence.place(), Some(place));
                    prop_assert_eq!(owner(&open, place), Some(*incident));
                }
            }
            Route::Typed(place) => {
                prop_assert_eq!(whence.place(), Some(place));
                prop_assert!(named.is_none());
                prop_assert!(here || personal || open.is_empty(), "nothing said to keep it there");
            }
            Route::Ask(which) => {
                prop_assert!(named.is_none() && typed_in.is_none() && open.len() > 1);
                prop_assert_eq!(which.len(), open.len());
            }
            Route::Terminal => prop_assert!(whence.place().is_none()),
        }
    }
}
