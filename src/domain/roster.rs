//! Who is on call, when, and what changed since it was last looked at: pure over what PagerDuty tells.
//!
//! A change is a change of the *set* of people on call on one schedule. Where a shift begins is no key: it moves when an override is
//! cut, and one person's shift may follow their own.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Somebody PagerDuty can page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Responder {
    /// PagerDuty's id, `PT23IWX`.
    pub id: String,
    /// Their name.
    pub name: String,
    /// Their e-mail, to find the Slack person.
    #[serde(default)]
    pub email: Option<String>,
    /// Their time zone, as PagerDuty names it.
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// A schedule, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// PagerDuty's id, `PI7DH85`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its page, where PagerDuty tells it.
    #[serde(default)]
    pub url: Option<String>,
}

/// A stretch of time that somebody is on call. An end that is absent is for ever: a person targeted without a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// Who.
    pub responder: Responder,
    /// From when.
    pub start: Option<Timestamp>,
    /// Until when.
    pub end: Option<Timestamp>,
}

impl Shift {
    /// Whether it holds at that moment.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at < end)
    }
}

/// One schedule over a while, overrides included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// Which.
    pub schedule: Schedule,
    /// Its shifts, earliest first; of one person they neither touch nor overlap.
    pub shifts: Vec<Shift>,
}

impl Roster {
    /// Joins what is told several times, for each escalation policy and level, and what one person does in a row.
    pub fn new(schedule: Schedule, mut told: Vec<Shift>) -> Self {
        told.sort_by_key(|shift| (shift.start, shift.end));
        let mut shifts: Vec<Shift> = Vec::new();
        for shift in told {
            let own = shifts.iter_mut().rev();
            let before = own
                .into_iter()
                .find(|before| before.responder.id == shift.responder.id)
                .filter(|before| before.end.is_none_or(|end| Some(end) >= shift.start));
            match before {
                Some(before) => {
                    let later = before.end.zip(shift.end).map(|(one, other)| one.max(other));
                    before.end = later;
                }
                None => shifts.push(shift),
            }
        }
        Self { schedule, shifts }
    }

    /// Who is on call at that moment.
    pub fn at(&self, moment: Timestamp) -> Vec<&Shift> {
        self.shifts
            .iter()
            .filter(|shift| shift.covers(moment))
            .collect()
    }

    /// Who comes next: whoever begins first after that moment.
    pub fn next(&self, moment: Timestamp) -> Vec<&Shift> {
        let later = |shift: &&Shift| shift.start.is_some_and(|start| start > moment);
        let first = self.shifts.iter().find(later).and_then(|shift| shift.start);
        self.shifts
            .iter()
            .filter(|shift| shift.start == first && first.is_some())
            .collect()
    }

    fn people(&self, moment: Timestamp) -> Vec<Responder> {
        let people = self.at(moment).into_iter();
        people.map(|shift| shift.responder.clone()).collect()
    }
}

/// What was seen of a schedule when it was last looked at: what the next look is compared with, and what roles come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which.
    pub schedule: Schedule,
    /// When it was looked at.
    pub at: Timestamp,
    /// Since when these people have been on call, as far as habops knows: the beginning of what a packet tells.
    pub since: Timestamp,
    /// Who was on call then.
    pub on_call: Vec<Responder>,
    /// The shifts that were known then, the later ones too.
    pub shifts: Vec<Shift>,
}

/// Other people are on call than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Since when.
    pub at: Timestamp,
    /// Who was on call before.
    pub from: Vec<Responder>,
    /// Who is from then on.
    pub to: Vec<Responder>,
}

impl Seen {
    /// The first look: nothing to compare with, so nothing to announce.
    pub fn first(roster: &Roster, now: Timestamp) -> Self {
        let on_call = roster.at(now);
        let since = on_call.iter().filter_map(|shift| shift.start).max();
        Self {
            schedule: roster.schedule.clone(),
            at: now,
            since: since.unwrap_or(now),
            on_call: roster.people(now),
            shifts: coming(roster, now),
        }
    }

    /// The next look, and every change since this one, oldest first. The roster must reach back to this look.
    pub fn follow(&self, roster: &Roster, now: Timestamp) -> (Self, Vec<Change>) {
        if now <= self.at {
            return (self.clone(), Vec::new()); // another bot's clock is ahead, and it has looked already
        }
        let mut changes: Vec<Change> = Vec::new();
        let mut on_call = self.on_call.clone();
        for moment in self.moments(roster, now) {
            let people = roster.people(moment);
            if same(&on_call, &people) {
                continue;
            }
            changes.push(Change {
                at: moment,
                from: std::mem::replace(&mut on_call, people.clone()),
                to: people,
            });
        }
        let next = Self {
            schedule: roster.schedule.clone(),
            at: now,
            since: changes.last().map_or(self.since, |change| change.at),
            on_call: roster.people(now),
            shifts: coming(roster, now),
        };
        (next, changes)
    }

    /// Every moment since this look at which somebody may have come or gone.
    fn moments(&self, roster: &Roster, now: Timestamp) -> Vec<Timestamp> {
        let edges = roster.shifts.iter();
        let mut moments: Vec<Timestamp> = edges
            .flat_map(|shift| [shift.start, shift.end])
            .flatten()
            .filter(|edge| *edge > self.at && *edge <= now)
            .chain([self.at])
            .collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// Whether somebody is on call now, as far as this look can tell. A stale one counts only until the end of the shift that it
    /// saw; what it foresaw counts only while it is fresh.
    pub fn is_on_call(
        &self,
        is_them: impl Fn(&Responder) -> bool,
        now: Timestamp,
        fresh_for: Duration,
    ) -> bool {
        let fresh = now.duration_since(self.at).unsigned_abs() <= fresh_for;
        self.shifts.iter().any(|shift| {
            let foreseen = shift.start.is_some_and(|start| start > self.at);
            let endless = shift.end.is_none();
            shift.covers(now) && is_them(&shift.responder) && (fresh || !(foreseen || endless))
        })
    }
}

fn coming(roster: &Roster, now: Timestamp) -> Vec<Shift> {
    let shifts = roster.shifts.iter();
    shifts
        .filter(|shift| shift.end.is_none_or(|end| end > now))
        .cloned()
        .collect()
}

fn same(one: &[Responder], other: &[Responder]) -> bool {
    let ids = |people: &[Responder]| -> BTreeSet<String> {
        people.iter().map(|person| person.id.clone()).collect()
    };
    ids(one) == ids(other)
}

/// Their names, for a sentence.
pub fn names(people: &[Responder]) -> String {
    match people {
        [] => "nobody".to_owned(),
        [one] => one.name.clone(),
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(|person| person.name.as_str()).collect();
            format!("{} and {}", most.join(", "), last.name)
        }
    }
}

/// Whether that PagerDuty user is a Slack person of that e-mail: what the table in the configuration tells of the person goes before it.
pub fn is_same_person(responder: &Responder, email: Option<&str>, told: Option<&String>) -> bool {
    match (told, email, &responder.email) {
        (Some(id), ..) => *id == responder.id,
        (None, Some(theirs), Some(of_pagerduty)) => theirs.eq_ignore_ascii_case(of_pagerduty),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_764_000_000 + minutes * 60).unwrap()
    }

    fn responder(name: &str) -> Responder {
        Responder {
            id: format!("P{name}"),
            name: name.to_owned(),
            email: None,
            time_zone: None,
        }
    }

    fn shift(name: &str, start: i64, end: i64) -> Shift {
        Shift {
            responder: responder(name),
            start: Some(at(start)),
            end: Some(at(end)),
        }
    }

    fn roster(shifts: &[Shift]) -> Roster {
        let schedule = Schedule {
            id: "PI7DH85".to_owned(),
            name: "Builder".to_owned(),
            url: None,
        };
        Roster::new(schedule, shifts.to_vec())
    }

    fn told(changes: &[Change]) -> Vec<String> {
        let told = changes.iter().map(|change| {
            format!(
                "{}: {} → {}",
                change.at.duration_since(at(0)).as_mins(),
                names(&change.from),
                names(&change.to)
            )
        });
        told.collect()
    }

    #[test]
    fn a_shift_told_for_each_policy_and_level_is_one() {
        let rows = [
            shift("A", 0, 60),
            shift("A", 0, 60),
            shift("A", 60, 90),
            shift("B", 90, 99),
        ];
        assert_eq!(
            roster(&rows).shifts,
            [shift("A", 0, 90), shift("B", 90, 99)]
        );
    }

    #[test]
    fn an_override_seen_from_before_it_began_is_two_changes_and_its_cut_none_of_its_own() {
        let before = Seen::first(&roster(&[shift("A", 0, 600)]), at(10));
        let cut = roster(&[shift("A", 0, 20), shift("B", 20, 30), shift("A", 30, 600)]);
        let (_, changes) = before.follow(&cut, at(40));
        assert_eq!(told(&changes), ["20: A → B", "30: B → A"]);
        let (during, changes) = before.follow(&cut, at(25));
        assert_eq!(told(&changes), ["20: A → B"]);
        assert_eq!(told(&during.follow(&cut, at(40)).1), ["30: B → A"]);
    }

    #[test]
    fn whoever_follows_themselves_changes_nothing_and_a_gap_is_a_change() {
        let before = Seen::first(&roster(&[shift("A", 0, 60)]), at(10));
        let after = roster(&[shift("A", 0, 60), shift("A", 60, 120), shift("B", 130, 140)]);
        let (_, changes) = before.follow(&after, at(135));
        assert_eq!(told(&changes), ["120: A → nobody", "130: nobody → B"]);
    }

    #[test]
    fn a_stale_look_counts_until_the_end_of_the_shift_it_saw() {
        let seen = Seen::first(&roster(&[shift("A", 0, 60), shift("B", 60, 120)]), at(10));
        let fresh = Duration::from_mins(2);
        let is = |name: &'static str, now| {
            let id = format!("P{name}");
            seen.is_on_call(|responder| responder.id == id, at(now), fresh)
        };
        assert!(is("A", 11) && is("A", 59) && !is("A", 60));
        assert!(
            !is("B", 61),
            "what was foreseen an hour ago may have changed"
        );
        let seen = Seen::first(&roster(&[shift("A", 0, 60), shift("B", 60, 120)]), at(59));
        assert!(seen.is_on_call(|responder| responder.id == "PB", at(60), fresh));
    }

    #[test]
    fn a_person_on_call_for_ever_counts_while_the_look_is_fresh() {
        let ever = Shift {
            end: None,
            start: None,
            ..shift("A", 0, 1)
        };
        let seen = Seen::first(&roster(&[ever]), at(10));
        let is = |now| seen.is_on_call(|_| true, at(now), Duration::from_mins(2));
        assert!(is(11) && !is(20));
    }

    proptest! {
        /// However often it is looked at, and whatever the bot slept through, the changes told are the same.
        #[test]
        fn every_change_is_told_once_however_often_it_is_looked_at(
            turns in proptest::collection::vec((0..4_u8, 1..200_i64), 1..12),
            looks in proptest::collection::btree_set(1..2_000_i64, 0..40),
        ) {
            let mut from = 0;
            let shifts: Vec<Shift> = turns.iter().map(|(who, length)| {
                let start = from;
                from += length;
                shift(&who.to_string(), start, from)
            }).collect();
            let roster = roster(&shifts);
            let first = Seen::first(&roster, at(0) + SignedDuration::from_secs(1));
            let end = at(2_001);
            let (_, at_once) = first.follow(&roster, end);
            let mut seen = first;
            let mut told = Vec::new();
            for look in looks.into_iter().map(at).chain([end]) {
                let (next, changes) = seen.follow(&roster, look);
                told.extend(changes);
                let (again, none) = next.follow(&roster, look);
                prop_assert!(none.is_empty() && again == next);
                seen = next;
            }
            prop_assert_eq!(told, at_once);
        }
    }
}
