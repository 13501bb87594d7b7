//! Who is on call when: a rotation of equal turns, and overrides laid over it, the later one on top.

use jiff::{SignedDuration, Timestamp};

/// A rotation and what was laid over it.
#[derive(Clone, Debug)]
pub(super) struct Rota {
    /// When the first turn of the first user began.
    pub(super) start: Timestamp,
    /// How long a turn is.
    pub(super) turn: SignedDuration,
    /// Whose turn it is, over and over.
    pub(super) users: Vec<String>,
    /// In the order they were made.
    pub(super) overrides: Vec<Override>,
}

/// Somebody stands in for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// A stretch of time with one person on call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) user: String,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The override that made it, if one did.
    pub(super) by: Option<String>,
}

impl Rota {
    fn turn_at(&self, at: Timestamp) -> i64 {
        let since = at.duration_since(self.start).as_secs();
        since.div_euclid(self.turn.as_secs())
    }

    fn turn_start(&self, number: i64) -> Timestamp {
        let seconds = number.saturating_mul(self.turn.as_secs());
        self.start + SignedDuration::from_secs(seconds)
    }

    fn user_of(&self, number: i64) -> &str {
        let many = i64::try_from(self.users.len()).unwrap_or(1).max(1);
        let at = usize::try_from(number.rem_euclid(many)).unwrap_or(0);
        self.users.get(at).map_or("", String::as_str)
    }

    /// The turns alone that overlap the window, whole.
    pub(super) fn turns(&self, since: Timestamp, until: Timestamp) -> Vec<Entry> {
        let (first, last) = (self.turn_at(since), self.turn_at(until));
        (first..=last)
            .map(|number| Entry {
                user: self.user_of(number).to_owned(),
                start: self.turn_start(number),
                end: self.turn_start(number + 1),
                by: None,
            })
            .filter(|entry| entry.start < until && entry.end > since)
            .collect()
    }

    /// The turns with the overrides laid over them: what counts. Whole entries that overlap the window.
    pub(super) fn entries(&self, since: Timestamp, until: Timestamp) -> Vec<Entry> {
        let overlapping = |start: Timestamp, end: Timestamp| start < until && end > since;
        // As far as an override that sticks out of the window reaches.
        let reach = |pick: fn(&Override) -> Timestamp| {
            let touching = self.overrides.iter();
            touching
                .filter(|it| overlapping(it.start, it.end))
                .map(pick)
                .collect::<Vec<_>>()
        };
        let from = reach(|it| it.start)
            .into_iter()
            .min()
            .map_or(since, |it| it.min(since));
        let to = reach(|it| it.end)
            .into_iter()
            .max()
            .map_or(until, |it| it.max(until));
        let turns = self.turns(from, to);
        let (from, to) = (
            turns.first().map_or(from, |turn| turn.start),
            turns.last().map_or(to, |turn| turn.end),
        );
        let mut edges: Vec<Timestamp> = turns
            .iter()
            .flat_map(|turn| [turn.start, turn.end])
            .collect();
        edges.extend(self.overrides.iter().flat_map(|it| [it.start, it.end]));
        edges.retain(|edge| *edge >= from && *edge <= to);
        edges.sort_unstable();
        edges.dedup();
        let mut entries: Vec<Entry> = Vec::new();
        for pair in edges.windows(2) {
            let (start, end) = (pair[0], pair[1]);
            let over = self.overrides.iter().rev();
            let over = over.clone().find(|it| it.start <= start && it.end >= end);
            let entry = match over {
                Some(over) => Entry {
                    user: over.user.clone(),
                    start,
                    end,
                    by: Some(over.id.clone()),
                },
                None => Entry {
                    user: self.user_of(self.turn_at(start)).to_owned(),
                    start,
                    end,
                    by: None,
                },
            };
            match entries.last_mut() {
                Some(last)
                    if last.by.is_some()
                        && last.by == entry.by
                        && last.user == entry.user
                        && last.end == entry.start =>
                {
                    last.end = entry.end;
                }
                _ => entries.push(entry),
            }
        }
        entries.retain(|entry| overlapping(entry.start, entry.end));
        entries
    }

    /// Who is on call at that moment.
    pub(super) fn at(&self, moment: Timestamp) -> String {
        let soon = moment + SignedDuration::from_nanos(1);
        self.entries(moment, soon)
            .into_iter()
            .find(|entry| entry.start <= moment && entry.end > moment)
            .map(|entry| entry.user)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}Z").parse().unwrap()
    }

    fn rota(overrides: &[(&str, &str, &str)]) -> Rota {
        Rota {
            start: at("02T09:00:00"),
            turn: SignedDuration::from_hours(72),
            users: ["A", "B", "C"].map(str::to_owned).to_vec(),
            overrides: overrides
                .iter()
                .enumerate()
                .map(|(number, (user, start, end))| Override {
                    id: format!("O{number}"),
                    user: (*user).to_owned(),
                    start: at(start),
                    end: at(end),
                })
                .collect(),
        }
    }

    fn told(entries: &[Entry]) -> Vec<String> {
        let told = entries.iter().map(|entry| {
            format!(
                "{} {} {}",
                entry.user,
                entry.start.strftime("%dT%H"),
                entry.end.strftime("%dT%H")
            )
        });
        told.collect()
    }

    #[test]
    fn turns_follow_each_other_for_ever() {
        let entries = rota(&[]).entries(at("04T00:00:00"), at("12T00:00:00"));
        assert_eq!(
            told(&entries),
            [
                "A 02T09 05T09",
                "B 05T09 08T09",
                "C 08T09 11T09",
                "A 11T09 14T09"
            ]
        );
        assert_eq!(
            rota(&[]).at(at("01T00:00:00")),
            "C",
            "before the first turn too"
        );
    }

    #[test]
    fn an_override_cuts_the_turn_and_the_later_one_wins() {
        let rota = rota(&[
            ("C", "03T00:00:00", "03T12:00:00"),
            ("B", "03T06:00:00", "03T08:00:00"),
        ]);
        let entries = rota.entries(at("02T12:00:00"), at("04T00:00:00"));
        assert_eq!(
            told(&entries),
            [
                "A 02T09 03T00",
                "C 03T00 03T06",
                "B 03T06 03T08",
                "C 03T08 03T12",
                "A 03T12 05T09"
            ]
        );
        assert_eq!(rota.at(at("03T07:00:00")), "B");
    }
}
