//! The account: its people, schedules, policies, services and incidents as the sandbox opens.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::rota::Rota;

/// Everything in the account.
#[derive(Debug)]
pub(super) struct State {
    pub(super) users: Vec<User>,
    pub(super) schedules: Vec<Schedule>,
    pub(super) policies: Vec<Policy>,
    pub(super) services: Vec<Service>,
    pub(super) incidents: Vec<Incident>,
    pub(super) abilities: Vec<String>,
    /// What was asked of it, `GET /oncalls`, oldest first.
    pub(super) calls: Vec<String>,
    /// How the next override reply looks.
    pub(super) reply: ReplyShape,
    next: u64,
}

/// How a list of overrides is answered: PagerDuty's documents show all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyShape {
    /// `[{"status":201,"override":{…}}]`, as the reference says.
    #[default]
    Items,
    /// `{"overrides":[{…}]}`, as the upgrade guide shows.
    Wrapped,
    /// `{"override":{…}}`, of the deprecated form.
    Single,
}

#[derive(Debug)]
pub(super) struct User {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) email: &'static str,
    pub(super) time_zone: &'static str,
    pub(super) methods: &'static [&'static str],
}

#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// Shift-based: answers on `/v3` alone.
    pub(super) v3: bool,
    pub(super) rota: Rota,
}

#[derive(Debug)]
pub(super) struct Policy {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// Level by level, the schedules and users that are told.
    pub(super) levels: Vec<Vec<Target>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Schedule(&'static str),
    User(&'static str),
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) policy: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Incident {
    pub(super) id: String,
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) status: &'static str,
    pub(super) service: &'static str,
    pub(super) created: Timestamp,
    pub(super) assignees: Vec<String>,
    pub(super) priority: Option<String>,
    pub(super) notes: Vec<Value>,
    /// User and state of each responder that was asked for.
    pub(super) responders: Vec<(String, String)>,
    pub(super) log: Vec<Value>,
}

impl State {
    /// The account, with Ana a day into her turn.
    pub(super) fn seeded(now: Timestamp) -> Self {
        let rota = |users: &[&str], begun: i64| Rota {
            start: now - SignedDuration::from_hours(begun),
            turn: SignedDuration::from_hours(72),
            users: users.iter().map(ToString::to_string).collect(),
            overrides: Vec::new(),
        };
        Self {
            users: USERS.to_vec(),
            schedules: vec![
                Schedule {
                    id: "PI7DH85",
                    name: "Builder on call",
                    v3: false,
                    rota: rota(&["PANA001", "PBOH002", "PCYD003"], 24),
                },
                Schedule {
                    id: "PSECOND",
                    name: "Builder second line",
                    v3: true,
                    rota: rota(&["PBOH002", "PCYD003"], 48),
                },
            ],
            policies: vec![
                Policy {
                    id: "PT20YPA",
                    name: "Builder",
                    levels: vec![
                        vec![Target::Schedule("PI7DH85")],
                        vec![Target::Schedule("PI7DH85"), Target::Schedule("PSECOND")],
                        vec![Target::User("PCYD003")],
                    ],
                },
                Policy {
                    id: "PDEPOT1",
                    name: "Depot",
                    levels: vec![vec![Target::Schedule("PI7DH85")]],
                },
            ],
            services: vec![
                Service {
                    id: "P393ZNQ",
                    name: "Builder API",
                    policy: "PT20YPA",
                },
                Service {
                    id: "PJOBSRV",
                    name: "Builder jobs",
                    policy: "PT20YPA",
                },
            ],
            incidents: Vec::new(),
            abilities: [
                "teams",
                "coordinated_responding",
                "webhook_v3",
                "status_updates",
            ]
            .map(str::to_owned)
            .to_vec(),
            calls: Vec::new(),
            reply: ReplyShape::default(),
            next: 1,
        }
    }

    /// An id as PagerDuty's look, never given twice.
    pub(super) fn fresh(&mut self, letter: char) -> String {
        let number = self.next;
        self.next += 1;
        format!("{letter}SB{number:04}")
    }

    pub(super) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub(super) fn user_of(&self, email: &str) -> Option<&User> {
        let mut users = self.users.iter();
        users.find(|user| user.email.eq_ignore_ascii_case(email))
    }

    pub(super) fn schedule(&self, id: &str) -> Option<&Schedule> {
        self.schedules.iter().find(|schedule| schedule.id == id)
    }

    pub(super) fn schedule_mut(&mut self, id: &str) -> Option<&mut Schedule> {
        self.schedules.iter_mut().find(|schedule| schedule.id == id)
    }

    pub(super) fn policy(&self, id: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.id == id)
    }

    pub(super) fn service(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.id == id)
    }

    pub(super) fn incident(&self, id: &str) -> Option<&Incident> {
        self.incidents.iter().find(|incident| incident.id == id)
    }

    pub(super) fn incident_mut(&mut self, id: &str) -> Option<&mut Incident> {
        self.incidents.iter_mut().find(|incident| incident.id == id)
    }

    pub(super) fn user_ref(&self, id: &str) -> Value {
        let name = self.user(id).map_or("Unknown", |user| user.name);
        reference("user", "users", id, name)
    }

    /// Whoever is told first on a policy.
    pub(super) fn first_of(&self, policy: &str, now: Timestamp) -> Vec<String> {
        let levels = self
            .policy(policy)
            .into_iter()
            .flat_map(|policy| &policy.levels);
        let first = levels.take(1).flatten();
        first
            .filter_map(|target| match target {
                Target::User(user) => Some((*user).to_owned()),
                Target::Schedule(id) => Some(self.schedule(id)?.rota.at(now)),
            })
            .collect()
    }
}

/// `{"id","type":"…_reference","summary","self","html_url"}`.
pub(super) fn reference(kind: &str, path: &str, id: &str, summary: &str) -> Value {
    json!({
        "id": id,
        "type": format!("{kind}_reference"),
        "summary": summary,
        "self": format!("https://api.pagerduty.com/{path}/{id}"),
        "html_url": format!("https://habitat.pagerduty.com/{path}/{id}"),
    })
}

impl User {
    pub(super) fn whole(&self) -> Value {
        let mut user = reference("user", "users", self.id, self.name);
        user["type"] = json!("user");
        user["name"] = json!(self.name);
        user["email"] = json!(self.email);
        user["role"] = json!("user");
        user["time_zone"] = json!(self.time_zone);
        user
    }

    pub(super) fn contact_methods(&self) -> Vec<Value> {
        let methods = self.methods.iter().enumerate();
        methods
            .map(|(number, kind)| {
                let address = if *kind == "email" {
                    self.email
                } else {
                    "5555550100"
                };
                json!({
                    "id": format!("{}M{number}", self.id),
                    "type": format!("{kind}_contact_method"),
                    "summary": kind,
                    "label": kind,
                    "address": address,
                    "enabled": true,
                    "blacklisted": false,
                })
            })
            .collect()
    }
}

impl Clone for User {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// The people of the sandbox's account, and habops' own user. Cyd never entered a telephone.
const USERS: [User; 4] = [
    User {
        id: "PANA001",
        name: "Ana Lima",
        email: "ana@habitat.example",
        time_zone: "America/Sao_Paulo",
        methods: &["email", "phone", "sms", "push_notification"],
    },
    User {
        id: "PBOH002",
        name: "Bo Haugen",
        email: "bo@habitat.example",
        time_zone: "Europe/Oslo",
        methods: &["email", "phone"],
    },
    User {
        id: "PCYD003",
        name: "Cyd Okafor",
        email: "cyd@habitat.example",
        time_zone: "America/New_York",
        methods: &["email"],
    },
    User {
        id: "PHAB004",
        name: "habops",
        email: "habops@habitat.example",
        time_zone: "Etc/UTC",
        methods: &["email"],
    },
];
