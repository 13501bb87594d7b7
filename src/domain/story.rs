//! An incident's whole story, as its export tells it: what was done, what came of it, who said yes, what the audit proves.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    actor::Actor,
    ids::UserId,
    incident::{Incident, TimelineEntry},
    operation::Operation,
};

/// Operations that a story tells at most; it says how many are left out.
pub const MOST_CHAPTERS: usize = 5_000;

/// Everything about an incident, from the records alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The incident.
    pub incident: Incident,
    /// Its operations, oldest first.
    pub chapters: Vec<Chapter>,
    /// How many older ones are left out.
    pub left_out: usize,
    /// Its timeline, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// The people in it, by name.
    pub people: BTreeMap<UserId, String>,
    /// The audit's newest hash: whoever kept it can prove that nothing before it was changed since.
    pub head: String,
    /// When it was told.
    pub told_at: Timestamp,
}

/// One operation of a story.
#[derive(Clone, Debug, PartialEq)]
pub struct Chapter {
    /// The operation, with its redacted output where that is still kept.
    pub operation: Operation,
    /// The output's sha256, as the audit has it.
    pub sha256: Option<String>,
}

impl Story {
    /// Whoever did something, by name.
    pub fn name(&self, actor: &Actor) -> String {
        self.named(&actor.to_string())
    }

    /// A text with `<@U…>` as names, where the name is known.
    pub fn named(&self, text: &str) -> String {
        let mut named = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("<@") {
            let (before, mention) = rest.split_at(at);
            named.push_str(before);
            let Some(end) = mention.find('>') else {
                rest = mention;
                break;
            };
            let id = mention[2..end].split('|').next().unwrap_or_default();
            match self.people.get(&UserId::from(id)) {
                Some(name) => named.push_str(name),
                None => named.push_str(id),
            }
            rest = &mention[end + 1..];
        }
        named.push_str(rest);
        named
    }
}

#[cfg(test)]
mod tests {
    use super::{Actor, Incident, Story, Timestamp};
    use crate::domain::{ids::IncidentId, incident::Home};

    #[test]
    fn people_are_called_by_name_and_what_only_looks_like_one_stays() {
        let at = Timestamp::UNIX_EPOCH;
        let story = Story {
            incident: Incident::opened(
                IncidentId(1),
                "slow".to_owned(),
                Actor::Habops,
                at,
                Home::Nowhere,
            ),
            chapters: Vec::new(),
            left_out: 0,
            timeline: Vec::new(),
            people: [("U0ANA".into(), "Ana Lima".to_owned())].into(),
            head: String::new(),
            told_at: at,
        };
        assert_eq!(
            story.named("<@U0ANA> told <@U0BO|bo> a <@ b"),
            "Ana Lima told U0BO a <@ b"
        );
        assert_eq!(story.name(&Actor::person("T", "U0ANA")), "Ana Lima");
        assert_eq!(story.name(&Actor::PagerDuty), "PagerDuty");
    }
}
