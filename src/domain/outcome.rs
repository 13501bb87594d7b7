//! What came of a command: what people see, what is written into habops' own records, and what is to be judged about another operation.

use serde::Serialize;

use super::{
    ids::{ChannelId, Environment, IncidentId, OperationId, UserId},
    incident::Part,
    output::Output,
    paging::PagerDutyIncident,
    place::Place,
};

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// For people.
    pub output: Output,
    /// Applied in the transaction that writes the end state.
    pub effects: Vec<Effect>,
    /// Whose place the pipeline's judgement takes: that of [`Outcome::output`].
    pub judgement: Option<Judgement>,
    /// Said in the channel where habops lives.
    pub announcement: Option<Output>,
    /// What would be typed to undo what was done, and no more than that; offered as an Undo button where it is the catalogue's
    /// `inverse` of the command.
    pub undo: Option<String>,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            output,
            effects: Vec::new(),
            judgement: None,
            announcement: None,
            undo: None,
        }
    }
}

impl Outcome {
    /// With the command that undoes it.
    #[must_use]
    pub fn undo(mut self, command: impl Into<String>) -> Self {
        self.undo = Some(command.into());
        self
    }

    /// With one more effect.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// As the pipeline judges it.
    #[must_use]
    pub fn judged(mut self, judgement: Judgement) -> Self {
        self.judgement = Some(judgement);
        self
    }

    /// Said where habops lives, too.
    #[must_use]
    pub fn announced(mut self, output: Output) -> Self {
        self.announcement = Some(output);
        self
    }

    /// Whether it does something to habops' own records.
    pub fn writes_records(&self) -> bool {
        self.judgement.is_some() || !self.effects.is_empty()
    }
}

/// A change of habops' own records.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Effect {
    /// Opens an incident; its id carries the operation's number.
    OpenIncident {
        /// What is wrong.
        title: String,
        /// Where it was asked for.
        place: OpenAt,
        /// The PagerDuty incident it is about, as far as it is known.
        pagerduty: Option<Box<PagerDutyIncident>>,
    },
    /// Binds one more place to an incident.
    LinkIncident {
        /// Which.
        incident: IncidentId,
        /// Where.
        place: Place,
    },
    /// Adds a person's note to the timeline.
    AddNote {
        /// To which incident.
        incident: IncidentId,
        /// The note.
        text: String,
    },
    /// Says who leads an incident or keeps its notes.
    AssignPart {
        /// Which.
        incident: IncidentId,
        /// What they are from now on.
        part: Part,
        /// Who.
        user: UserId,
    },
    /// Closes an incident.
    CloseIncident {
        /// Which.
        incident: IncidentId,
    },
    /// Refuses every change from now on.
    Freeze {
        /// Where; everywhere when absent.
        environment: Option<Environment>,
        /// Why.
        why: String,
    },
    /// Allows changes again.
    Unfreeze {
        /// Where; everywhere when absent.
        environment: Option<Environment>,
    },
}

/// What is to be judged, before the end is written, about another operation or a handoff.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// A yes or a no to an operation that waits.
    Decide {
        /// Which.
        operation: OperationId,
        /// Yes or no.
        yes: bool,
    },
    /// Whether an operation may be asked to stop.
    Cancel {
        /// Which.
        operation: OperationId,
    },
    /// How what a change was approved on compares with how it is now.
    Recheck {
        /// Which.
        operation: OperationId,
    },
    /// Whether an ended operation's command can be entered again, as the asker.
    Retry {
        /// Which.
        operation: OperationId,
    },
    /// Whether the asker may take the handoff of a schedule.
    AcceptHandoff {
        /// Which schedule's.
        schedule: String,
    },
}

/// Where a new incident lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenAt {
    /// A card in that channel, whose thread is the incident's place.
    CardIn(ChannelId),
    /// That channel as a whole.
    Channel(ChannelId),
    /// A channel of its own, made for it; a card in the other where that cannot be.
    NewChannel {
        /// What to call it.
        name: String,
        /// Where the card goes instead.
        otherwise: Option<ChannelId>,
    },
    /// Nowhere in Slack.
    Nowhere,
}
