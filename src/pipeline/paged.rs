//! What PagerDuty tells: an incident opens by itself with the evidence in its thread, and whatever happens to it in PagerDuty is
//! on its card and its timeline. The actor is PagerDuty, who may look and change nothing.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::{
    Pipeline,
    heard::Dealing,
    outbox::{at_place, destination_in},
};
use crate::{
    domain::{
        actor::Actor,
        ids::{IncidentId, OperationId},
        inbound::Via,
        incident::{EntryKind, Incident, IncidentState, TimelineEntry},
        journal::ONLY_ERRORS,
        message::{About, Carrier, Lane, MessageKey, Wish},
        operation::State,
        output::{Output, Part, Status},
        paging::{Event, Kind, Named, PagerDutyIncident},
        parse::parse,
        place::{Place, Whence},
        target::Target,
        text::normalise,
    },
    store::{Dealt, Heard},
};

/// A service that triggers again this soon has one storm, not two incidents.
const STORM: Duration = Duration::from_mins(15);
/// Incidents looked through for one that an event is about; closed ones too, since PagerDuty may resolve later than people close.
const LOOK_BACK: usize = 200;
/// Triggers that get a line of their own on the timeline; in a storm the rest only count.
const MOST_LINES: u64 = 50;
/// How often an incident's opening is entered again after it was cut off, broke or was refused.
const MOST_TRIES: usize = 3;
/// Longest title, in characters.
const LONGEST_TITLE: usize = 200;
/// How long it may take to find out who a responder is in Slack, while everything else that was heard waits.
const WHO_WITHIN: Duration = Duration::from_secs(10);

impl Pipeline {
    /// Deals with one webhook.
    pub(super) async fn paged(&self, heard: &Heard, event: &Event) -> anyhow::Result<Dealing> {
        let incidents = self.parts.store.incidents(true, LOOK_BACK).await?;
        let has = |incident: &&Incident| {
            let mut pages = incident.pagerduty.iter();
            pages.any(|page| page.id == event.incident.id)
        };
        let open = |incident: &&Incident| incident.state == IncidentState::Open;
        let known = incidents.iter().find(|it| open(it) && has(it));
        let known = known.or_else(|| incidents.iter().find(has));
        match (event.kind, known) {
            (Kind::Triggered, None) => {
                let open: Vec<&Incident> = incidents.iter().filter(open).collect();
                match storm(&open, event) {
                    Some(incident) => Ok(self.counted(incident, event).await),
                    None => self.opens(heard, event).await,
                }
            }
            (Kind::Triggered, Some(incident)) => {
                let text = format!("PagerDuty {}", event.line());
                let mut dealt = dealt(incident.id, event, Some(text));
                dealt.wishes = self.look_for_evidence(incident, event).await;
                Ok(Dealing::Done(Box::new(dealt)))
            }
            (_, Some(incident)) => {
                let text = format!("PagerDuty: {}", event.line());
                let mut dealt = dealt(incident.id, event, Some(text));
                if event.kind == Kind::ResponderAdded
                    && let Some(wish) = self.recap_for_responder(heard, incident, event).await
                {
                    dealt.wishes.push(wish);
                }
                Ok(Dealing::Done(Box::new(dealt)))
            }
            (_, None) => {
                info!(
                    "PagerDuty tells of {}, which belongs to no incident here",
                    event.incident.id
                );
                Ok(Dealing::nothing())
            }
        }
    }

    /// Enters `incident open` once, and waits for its end. One that was cut off or broke is entered again: it writes records alone.
    async fn opens(&self, heard: &Heard, event: &Event) -> anyhow::Result<Dealing> {
        let page = &event.incident;
        let mut key = format!("pagerduty:open:{}", page.id);
        let mut tries = 0;
        loop {
            let Some(id) = self.parts.store.delivered(&key).await? else {
                self.asks(key, self.opening(page)).await?;
                break;
            };
            let operation = self.parts.store.operation(id).await?;
            match operation.map(|operation| operation.state) {
                Some(state) if !state.is_end() => break,
                // It ended since the incidents were read.
                Some(State::Done) if self.is_known(page).await? => {
                    return Box::pin(self.paged(heard, event)).await;
                }
                // Refused is also what was stored too late.
                Some(State::Interrupted | State::Failed | State::Refused) if tries < MOST_TRIES => {
                    tries += 1;
                    key = format!("{key}:after:{id}");
                }
                _ => return Ok(Dealing::Done(Box::new(self.unopened(event, id).await))),
            }
        }
        let mut waits = vec![format!("page:{}", page.id)];
        waits.extend(page.service.iter().map(|it| format!("service:{}", it.id)));
        Ok(Dealing::Later(waits))
    }

    /// Whether an incident is about it.
    async fn is_known(&self, page: &PagerDutyIncident) -> anyhow::Result<bool> {
        let incidents = self.parts.store.incidents(true, LOOK_BACK).await?;
        let mut pages = incidents.iter().flat_map(|incident| &incident.pagerduty);
        Ok(pages.any(|known| known.id == page.id))
    }

    /// Somebody is paged and there is no incident: said where habops lives, because nobody asked for it.
    async fn unopened(&self, event: &Event, tried: OperationId) -> Dealt {
        let page = &event.incident;
        error!(
            "no incident could be opened for PagerDuty's {}, see {tried}",
            page.id
        );
        let Some(channel) = self.parts.settings.channel.clone() else {
            return Dealt::default();
        };
        let output = Output::new(
            Status::Failed,
            format!("No incident could be opened for PagerDuty's {}", page.id),
        )
        .text(format!(
            "{} `why {tried}` says what became of it.",
            event.line()
        ))
        .with(Part::Next {
            label: "Open one".to_owned(),
            command: self.opening(page),
        });
        let redacted = self.redacted(output).await;
        let (output, offers) = self.pressable(&redacted, None);
        let about = About {
            operation: None,
            incident: None,
            state: "failed".to_owned(),
            actor: Actor::PagerDuty,
            typed: format!("incident open --pd {}", page.id),
            at: self.now(),
            back_filled: false,
        };
        let wish = Wish {
            key: MessageKey(format!("page:{}:unopened", page.id)),
            to: at_place(&Place::channel(channel)),
            carrier: Carrier::Message,
            lane: Lane::Confirm,
            output,
            about,
        };
        Dealt {
            wishes: vec![wish],
            offers,
            ..Dealt::default()
        }
    }

    /// The command that opens an incident for it. What PagerDuty wrote is one quoted word; what cannot be one is left out.
    fn opening(&self, page: &PagerDutyIncident) -> String {
        let title = page.title.as_deref().unwrap_or_default();
        let title: String = normalise(title)
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST_TITLE)
            .collect();
        let (title, _) = self.parts.rules.redact(&title);
        let quoted = title.replace('\\', "\\\\").replace('"', "\\\"");
        let command = format!("incident open \"{quoted}\" --pd {}", page.id);
        let understood = parse(&normalise(&command), &self.parts.commands, self.now());
        match understood {
            Ok(parsed) if parsed.args().get("pd").is_some() => command,
            _ => format!("incident open \"PagerDuty {0}\" --pd {0}", page.id),
        }
    }

    /// The status of what the service is about, its last errors with known issues marked, and what those mean: entered as commands,
    /// once. Of a service that no target is named for, the status of the whole default environment, and that it is so.
    async fn look_for_evidence(&self, incident: &Incident, event: &Event) -> Vec<Wish> {
        let opened_for_it = incident.opened_by == Actor::PagerDuty
            && incident.state == IncidentState::Open
            && incident.pagerduty.first().map(|page| &page.id) == Some(&event.incident.id);
        if !opened_for_it {
            return Vec::new();
        }
        let service = event.incident.service.as_ref();
        let target = service.and_then(|it| self.parts.settings.pager_targets.get(&it.id));
        let target = target.filter(|target| Target::parse(target).is_ok());
        let commands = match target {
            Some(target) => vec![
                format!("status {target}"),
                format!("logs {target} --since 15m --grep '{ONLY_ERRORS}'"),
                format!("diagnose {target} --since 15m"),
            ],
            None => vec![format!(
                "status {}",
                self.parts.settings.default_environment
            )],
        };
        let id = incident.id;
        for (number, command) in commands.into_iter().enumerate() {
            let key = format!("pagerduty:evidence:{}:{number}", event.incident.id);
            let command = format!("{command} --incident {id}");
            if let Err(why) = self.asks(key, command).await {
                warn!("no evidence for {id}: {why:#}");
            }
        }
        match target {
            Some(_) => Vec::new(),
            None => self.nowhere_to_look(incident, service).await,
        }
    }

    /// No target is named for the service: what is looked at instead, and how to name one.
    async fn nowhere_to_look(&self, incident: &Incident, service: Option<&Named>) -> Vec<Wish> {
        let environment = &self.parts.settings.default_environment;
        let (name, id) = service.map_or(("a service it does not name", "P…"), |service| {
            (&service.name, &service.id)
        });
        let output = Output::new(
            Status::Partly,
            format!("PagerDuty tells of {name}, and no role is named for it, so this is the status of all of {environment}"),
        )
        .text(format!(
            "`{id} = \"{environment}/api\"` under [pagerduty.services] says which role to look at, with its last errors."
        ));
        let wish = self.beside(incident, "unmapped", output).await;
        wish.into_iter().collect()
    }

    /// Enters a command in PagerDuty's name.
    async fn asks(&self, key: String, text: String) -> anyhow::Result<()> {
        let (actor, whence) = (Actor::PagerDuty, Whence::Machine);
        match self.enters(key, Via::Signal, text, actor, whence).await {
            Some(said) => anyhow::bail!("{}", said.title),
            None => Ok(()),
        }
    }

    /// One more of a storm: counted on the card, told in one message that is edited.
    async fn counted(&self, incident: &Incident, event: &Event) -> Dealing {
        let triggers = incident.triggers + 1;
        let line = (triggers <= MOST_LINES).then(|| format!("PagerDuty {}", event.line()));
        let mut dealt = dealt(incident.id, event, line);
        let service = event.incident.service.as_ref();
        let service = service.map_or("one service", |service| &service.name);
        let output = Output::new(
            Status::Partly,
            format!("PagerDuty triggered {triggers} times for {service}; it is one incident here"),
        )
        .text(format!("Latest: {}", event.line()));
        dealt
            .wishes
            .extend(self.beside(incident, "storm", output).await);
        Dealing::Done(Box::new(dealt))
    }

    /// A message in the incident's place that no operation said; what is said of the same again edits it.
    async fn beside(&self, incident: &Incident, what: &str, output: Output) -> Option<Wish> {
        let to = destination_in(incident.id, None, std::slice::from_ref(incident))?;
        Some(Wish {
            key: MessageKey(format!("{}:{what}", incident.id)),
            to,
            carrier: Carrier::Message,
            lane: Lane::Verdict,
            output: self.redacted(output).await,
            about: self.about_incident(incident, what),
        })
    }

    /// Whose message it is, where no operation said it.
    pub(super) fn about_incident(&self, incident: &Incident, typed: &str) -> About {
        About {
            operation: None,
            incident: Some(incident.id),
            state: "done".to_owned(),
            actor: Actor::PagerDuty,
            typed: typed.to_owned(),
            at: self.now(),
            back_filled: false,
        }
    }

    /// A recap for the responder who was just asked to help, where it is known who that is in Slack.
    async fn recap_for_responder(
        &self,
        heard: &Heard,
        incident: &Incident,
        event: &Event,
    ) -> Option<Wish> {
        let whom = event.whom.as_ref().filter(|_| event.is_person)?;
        let user = timeout(WHO_WITHIN, self.user_of_id(&whom.id)).await;
        let Ok(Some(user)) = user else {
            warn!(
                "a responder gets no recap: who {} is in Slack is not known",
                whom.id
            );
            return None;
        };
        let recap = self.recap_for(incident, &user, heard.row).await;
        recap
            .context("a responder gets no recap")
            .inspect_err(|why| warn!("{why:#}"))
            .ok()
            .flatten()
    }
}

/// The incident that a trigger belongs to because its service is in trouble already.
fn storm<'a>(open: &[&'a Incident], event: &Event) -> Option<&'a Incident> {
    let service = event.incident.service.as_ref()?;
    let recent = |at: Option<Timestamp>| {
        at.is_some_and(|at| event.at.duration_since(at).unsigned_abs() <= STORM)
    };
    let same = |page: &PagerDutyIncident| {
        page.service.as_ref().map(|it| &it.id) == Some(&service.id)
            && (!page.is_resolved() || recent(page.triggered_at))
    };
    open.iter()
        .copied()
        .find(|incident| incident.pagerduty.iter().any(same))
}

/// What an event writes: what is known of the page, and a line where one is wanted.
fn dealt(incident: IncidentId, event: &Event, line: Option<String>) -> Dealt {
    let knows = event.kind.describes_the_incident();
    Dealt {
        pagerduty: knows.then(|| {
            let triggered = event.kind == Kind::Triggered;
            (incident, event.incident.clone(), triggered)
        }),
        timeline: line
            .map(|text| TimelineEntry {
                incident,
                at: event.at,
                actor: Actor::PagerDuty,
                kind: match event.kind {
                    Kind::Annotated => EntryKind::Note,
                    _ => EntryKind::PagerDuty,
                },
                text,
                operation: None,
            })
            .into_iter()
            .collect(),
        ..Dealt::default()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Event, Incident, IncidentId, Kind, PagerDutyIncident, storm};
    use crate::domain::{
        actor::Actor,
        incident::Home,
        paging::{Named, PagerDutyStatus},
    };

    fn page(id: &str, service: &str, status: PagerDutyStatus, at: &str) -> PagerDutyIncident {
        PagerDutyIncident {
            service: Some(Named {
                id: service.to_owned(),
                name: service.to_owned(),
            }),
            status: Some(status),
            triggered_at: Some(at.parse().unwrap()),
            ..PagerDutyIncident::of_id(id)
        }
    }

    #[rstest]
    #[case::still_on("P1", PagerDutyStatus::Acknowledged, "2026-11-27T01:00:00Z", true)]
    #[case::just_resolved("P1", PagerDutyStatus::Resolved, "2026-11-27T14:50:00Z", true)]
    #[case::long_over("P1", PagerDutyStatus::Resolved, "2026-11-27T14:00:00Z", false)]
    #[case::another_service("P2", PagerDutyStatus::Triggered, "2026-11-27T14:59:00Z", false)]
    fn a_trigger_joins_the_incident_of_its_service(
        #[case] service: &str,
        #[case] status: PagerDutyStatus,
        #[case] at: &str,
        #[case] joins: bool,
    ) {
        let mut incident = Incident::opened(
            IncidentId(3),
            "slow".to_owned(),
            Actor::PagerDuty,
            "2026-11-27T00:00:00Z".parse().unwrap(),
            Home::Nowhere,
        );
        incident.pagerduty.push(page("Q1", service, status, at));
        let event = Event {
            id: "01".to_owned(),
            kind: Kind::Triggered,
            at: "2026-11-27T15:00:00Z".parse().unwrap(),
            by: None,
            incident: page(
                "Q2",
                "P1",
                PagerDutyStatus::Triggered,
                "2026-11-27T15:00:00Z",
            ),
            text: None,
            whom: None,
            is_person: false,
            state: None,
        };
        assert_eq!(storm(&[&incident], &event).is_some(), joins);
    }
}
