//! What people and monitors do in PagerDuty: it changes the account, and every subscriber hears of it.

use serde_json::{Value, json};

use super::{PagerDuty, incidents::shown, state::Incident};

impl PagerDuty {
    /// A monitor triggers an incident of a service; its id, where the service exists.
    pub fn triggers(&self, service: &str, title: &str) -> Option<String> {
        let now = self.now();
        let id = {
            let mut state = self.state();
            let (service, policy) = {
                let service = state.service(service)?;
                (service.id, service.policy)
            };
            let assignees = state.first_of(policy, now);
            let id = state.fresh('Q');
            let number = 1 + state.incidents.len() as u64;
            state.incidents.push(Incident {
                id: id.clone(),
                number,
                title: title.to_owned(),
                status: "triggered",
                service,
                created: now,
                assignees,
                priority: None,
                notes: Vec::new(),
                responders: Vec::new(),
                log: Vec::new(),
            });
            id
        };
        self.tells_of(&id, "triggered", None);
        Some(id)
    }

    /// Somebody acknowledges it.
    pub fn acknowledges(&self, id: &str, by: &str) -> bool {
        self.becomes(id, "acknowledged", "acknowledged", Some(by))
    }

    /// Somebody resolves it.
    pub fn resolves(&self, id: &str, by: &str) -> bool {
        self.becomes(id, "resolved", "resolved", Some(by))
    }

    /// It goes to other people.
    pub fn reassigns(&self, id: &str, to: &[&str], by: &str) -> bool {
        self.changes(id, "reassigned", Some(by), |incident| {
            incident.assignees = to.iter().map(ToString::to_string).collect();
        })
    }

    /// Nobody answered, so the next level is told.
    pub fn escalates(&self, id: &str, to: &[&str]) -> bool {
        self.changes(id, "escalated", None, |incident| {
            incident.assignees = to.iter().map(ToString::to_string).collect();
        })
    }

    /// It is more, or less, urgent than it was.
    pub fn sets_priority(&self, id: &str, priority: &str, by: &str) -> bool {
        self.changes(id, "priority_updated", Some(by), |incident| {
            incident.priority = Some(priority.to_owned());
        })
    }

    /// Somebody writes a note; the note as the API shows it.
    pub fn annotates(&self, id: &str, by: &str, content: &str) -> Option<Value> {
        let (note, incident) = {
            let now = self.now();
            let mut state = self.state();
            let (note_id, user) = (state.fresh('N'), state.user_ref(by));
            let note =
                json!({ "id": note_id, "user": user, "content": content, "created_at": now });
            let incident = state.incident_mut(id)?;
            incident.notes.push(note.clone());
            let incident = incident.clone();
            (note, reference_of(&incident))
        };
        let data = json!({
            "type": "incident_note", "id": note["id"], "incident": incident,
            "content": content, "trimmed": false,
        });
        self.emit("incident.annotated", Some(by), &data);
        Some(note)
    }

    /// Somebody is asked to help.
    pub fn responder_added(&self, id: &str, user: &str, by: &str, message: &str) -> bool {
        self.responder(
            id,
            user,
            "pending",
            Some(by),
            message,
            "incident.responder.added",
        )
    }

    /// Somebody who was asked says `joined` or `declined`.
    pub fn responder_replies(&self, id: &str, user: &str, state: &str) -> bool {
        self.responder(
            id,
            user,
            state,
            Some(user),
            "",
            "incident.responder.replied",
        )
    }

    fn responder(
        &self,
        id: &str,
        user: &str,
        word: &str,
        by: Option<&str>,
        message: &str,
        event: &str,
    ) -> bool {
        let data = {
            let mut state = self.state();
            let of_user = state.user_ref(user);
            let Some(incident) = state.incident_mut(id) else {
                return false;
            };
            incident.responders.retain(|(known, _)| known != user);
            incident.responders.push((user.to_owned(), word.to_owned()));
            json!({
                "type": "incident_responder", "incident": reference_of(incident), "user": of_user,
                "escalation_policy": null, "message": message, "state": word,
            })
        };
        self.emit(event, by, &data);
        true
    }

    pub(super) fn becomes(
        &self,
        id: &str,
        status: &'static str,
        event: &str,
        by: Option<&str>,
    ) -> bool {
        self.changes(id, event, by, |incident| incident.status = status)
    }

    fn changes(
        &self,
        id: &str,
        event: &str,
        by: Option<&str>,
        change: impl FnOnce(&mut Incident),
    ) -> bool {
        let found = self.state().incident_mut(id).map(change).is_some();
        if found {
            self.tells_of(id, event, by);
        }
        found
    }

    /// Notes it in the incident's log, and tells the subscribers.
    fn tells_of(&self, id: &str, event: &str, by: Option<&str>) {
        let data = {
            let now = self.now();
            let mut state = self.state();
            let entry = json!({
                "id": state.fresh('L'), "type": format!("{event}_log_entry"), "created_at": now,
                "agent": by.map(|by| state.user_ref(by)),
            });
            let Some(incident) = state.incident_mut(id) else {
                return;
            };
            incident.log.push(entry);
            let incident = incident.clone();
            shown(&state, &incident)
        };
        self.emit(&format!("incident.{event}"), by, &data);
    }
}

fn reference_of(incident: &Incident) -> Value {
    super::state::reference("incident", "incidents", &incident.id, &incident.title)
}
