//! An operation's lines on the timeline of the incident that hears of it.

use super::Pipeline;
use crate::domain::{
    actor::Actor,
    incident::{EntryKind, TimelineEntry},
    journey::Redacted,
    operation::Operation,
};

impl Pipeline {
    /// A timeline line in the asker's name, where an incident hears of it.
    pub(super) fn entry(
        &self,
        operation: &Operation,
        kind: EntryKind,
        text: String,
    ) -> Vec<TimelineEntry> {
        self.entry_by(operation, &operation.actor, kind, text)
    }

    /// The line that says how an operation ended.
    pub(super) fn ended_line(&self, operation: &Operation, end: &Redacted) -> Vec<TimelineEntry> {
        let title = &end.output().title;
        let text = format!("{} {}: {title}", operation.id, operation.text);
        self.entry(operation, EntryKind::Ended, text)
    }

    pub(super) fn entry_by(
        &self,
        operation: &Operation,
        by: &Actor,
        kind: EntryKind,
        text: String,
    ) -> Vec<TimelineEntry> {
        let Some(incident) = operation.incident else {
            return Vec::new();
        };
        vec![TimelineEntry {
            incident,
            at: self.now(),
            actor: by.clone(),
            kind,
            text,
            operation: Some(operation.id),
        }]
    }
}
