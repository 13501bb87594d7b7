//! Incidents: read, acknowledged, resolved, noted, and more people asked to help.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{call::Client, error::Error, users::Reference};
use crate::domain::paging::{Named, PagerDutyIncident, PagerDutyStatus};

/// An incident, as much of it as is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// `PT4KHLK`.
    pub id: String,
    /// What is wrong.
    pub title: String,
    /// How it stands.
    pub status: PagerDutyStatus,
    /// Its page.
    pub url: Option<String>,
    /// The service it is about.
    pub service: Option<Named>,
    /// `high` or `low`.
    pub urgency: Option<String>,
    /// `P1`, where the account uses priorities.
    pub priority: Option<String>,
    /// Who has it, by name.
    pub assignees: Vec<String>,
    /// When it began.
    pub created_at: Option<Timestamp>,
}

impl From<Incident> for PagerDutyIncident {
    fn from(incident: Incident) -> Self {
        Self {
            title: Some(incident.title),
            url: incident.url,
            status: Some(incident.status),
            service: incident.service,
            urgency: incident.urgency,
            priority: incident.priority,
            assignees: incident.assignees,
            triggered_at: incident.created_at,
            id: incident.id,
        }
    }
}

/// An escalation policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `PT20YPA`.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Who is asked to help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One user.
    User(String),
    /// Whoever an escalation policy tells.
    Policy(String),
}

#[derive(Deserialize)]
struct Told {
    id: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    summary: Option<String>,
    status: PagerDutyStatus,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    service: Option<Reference>,
    #[serde(default)]
    urgency: Option<String>,
    #[serde(default)]
    priority: Option<Reference>,
    #[serde(default)]
    assignments: Vec<Assignment>,
    #[serde(default)]
    created_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Assignment {
    assignee: Reference,
}

impl From<Told> for Incident {
    fn from(told: Told) -> Self {
        Self {
            title: told.title.or(told.summary).unwrap_or_default(),
            status: told.status,
            url: told.html_url,
            service: told.service.map(|service| Named {
                name: service.name(),
                id: service.id,
            }),
            urgency: told.urgency,
            priority: told.priority.map(|priority| priority.name()),
            assignees: told
                .assignments
                .iter()
                .map(|assigned| assigned.assignee.name())
                .collect(),
            created_at: told.created_at,
            id: told.id,
        }
    }
}

/// 1001 and 1002: it is resolved, or acknowledged, already, which is what was wanted.
const ALREADY: [u32; 2] = [1001, 1002];

impl Client {
    /// One incident.
    pub async fn incident(&self, id: &str) -> Result<Incident, Error> {
        #[derive(Deserialize)]
        struct Answer {
            incident: Told,
        }
        let what = format!("the incident {id}");
        let answer: Answer = self
            .get(&what, &format!("/incidents/{id}"), &Vec::new())
            .await?;
        Ok(answer.incident.into())
    }

    /// The incidents that are not resolved.
    pub async fn open_incidents(&self) -> Result<Vec<Incident>, Error> {
        let query = ["triggered", "acknowledged"]
            .map(|status| ("statuses[]", status.to_owned()))
            .to_vec();
        let told: Vec<Told> = self
            .list("the incidents", "/incidents", "incidents", &query)
            .await?;
        Ok(told.into_iter().map(Incident::from).collect())
    }

    /// Acknowledges or resolves it. Read its status first: on a resolved one *any* status opens it again and pages people.
    pub async fn set_status(
        &self,
        id: &str,
        status: PagerDutyStatus,
        from: Option<&str>,
    ) -> Result<(), Error> {
        let body = json!({ "incident": { "type": "incident_reference", "status": status.word() } });
        let what = format!("the incident {id}");
        let path = format!("/incidents/{id}");
        let sent: Result<Value, Error> = self.send(Method::PUT, &what, &path, from, &body).await;
        match sent {
            Err(error) if ALREADY.contains(&error.code()) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Writes a note on it.
    pub async fn note(&self, id: &str, text: &str, from: Option<&str>) -> Result<(), Error> {
        let body = json!({ "note": { "content": text } });
        let what = format!("the note on {id}");
        let path = format!("/incidents/{id}/notes");
        let sent: Result<Value, Error> = self.send(Method::POST, &what, &path, from, &body).await;
        sent.map(drop)
    }

    /// Asks more people to help. *Pages them, at any hour.* The names PagerDuty says it asked.
    pub async fn ask_responders(
        &self,
        incident: &str,
        requester: &str,
        message: &str,
        targets: &[Target],
        from: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let targets: Vec<Value> = targets
            .iter()
            .map(|target| {
                let (id, kind) = match target {
                    Target::User(id) => (id, "user_reference"),
                    Target::Policy(id) => (id, "escalation_policy_reference"),
                };
                json!({ "responder_request_target": { "id": id, "type": kind } })
            })
            .collect();
        let body = json!({
            "requester_id": requester, "message": message, "responder_request_targets": targets,
        });
        let path = format!("/incidents/{incident}/responder_requests");
        let reply: Value = self
            .send(Method::POST, "the request for help", &path, from, &body)
            .await?;
        Ok(asked(&reply))
    }

    /// The escalation policies whose names hold that word.
    pub async fn policies(&self, query: &str) -> Result<Vec<Policy>, Error> {
        let query = vec![("query", query.to_owned())];
        let found: Vec<Reference> = self
            .list(
                "the escalation policies",
                "/escalation_policies",
                "escalation_policies",
                &query,
            )
            .await?;
        let policy = |found: Reference| Policy {
            name: found.name(),
            id: found.id,
        };
        Ok(found.into_iter().map(policy).collect())
    }
}

/// Whom a reply says that it asked. The schema says `incident_responders`, its example `incidents_responders`.
fn asked(reply: &Value) -> Vec<String> {
    let targets = reply["responder_request"]["responder_request_targets"].as_array();
    let targets = targets.into_iter().flatten();
    targets
        .map(|target| &target["responder_request_target"])
        .flat_map(|target| {
            ["incidents_responders", "incident_responders"]
                .into_iter()
                .filter_map(|name| target[name].as_array())
                .flatten()
        })
        .filter_map(|responder| responder["user"]["summary"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::asked;

    #[test]
    fn both_spellings_of_the_responders_are_read() {
        for name in ["incidents_responders", "incident_responders"] {
            let reply = json!({ "responder_request": { "responder_request_targets": [
                { "responder_request_target": { name: [{ "state": "pending", "user": { "summary": "Bo" } }] } }
            ] } });
            assert_eq!(asked(&reply), ["Bo"], "{name}");
        }
    }
}
