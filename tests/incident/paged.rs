//! What PagerDuty tells: an incident opens with its evidence before anybody asks, storms are one incident, and each thing counts once.

use habops::{
    config,
    domain::{
        actor::Actor,
        ids::{IncidentId, OperationId},
        inbound::{Signal, Via},
        incident::{EntryKind, IncidentState},
        journey::redact,
        operation::State,
        output::{Output, Status},
        paging,
        place::Whence,
        redact::Rules,
    },
    store::{Accept, Accepted, End},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{card, incidents, lines, timeline};
use crate::world::{Setup, World, everywhere, of_metadata, words};

/// As the sandbox's configuration has it.
const SECRET: &str = "sandbox-webhook-secret";

/// PagerDuty, as far as habops sees it.
pub struct Pager<'w> {
    world: &'w World,
    url: String,
}

impl<'w> Pager<'w> {
    pub fn new(world: &'w World) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listen = config::load(&world.config()).unwrap().http.listen;
        Self {
            world,
            url: format!("http://{listen}/pagerduty"),
        }
    }

    /// Sends an event, signed, and says what was answered.
    pub async fn sends(&self, hook: &str, kind: &str, data: Value) -> u16 {
        self.sends_as(hook, &format!("01-{hook}"), kind, data).await
    }

    async fn sends_as(&self, hook: &str, id: &str, kind: &str, data: Value) -> u16 {
        let agent = json!({"id": "PANA001", "type": "user_reference", "summary": "Ana Lima"});
        let body = json!({"event": {
            "id": id, "event_type": kind, "resource_type": "incident", "occurred_at": Timestamp::now(),
            "agent": agent, "client": null, "data": data,
        }});
        let body = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
        let call = reqwest::Client::new()
            .post(&self.url)
            .header("X-Webhook-Id", hook)
            .header("X-PagerDuty-Signature", signature)
            .body(body);
        call.send().await.unwrap().status().as_u16()
    }

    /// A trigger that has led to an open incident whose evidence is there: the incident's id.
    pub async fn triggers(&self, page: &str, title: &str) -> String {
        let data = described(page, "P393ZNQ", title, "triggered");
        let hook = format!("hook-{page}");
        let answered = self.sends(&hook, "incident.triggered", data).await;
        assert_eq!(answered, 202);
        let opened = self.of_page(page).await;
        self.rests().await;
        opened
    }

    /// Somebody is asked to help, and that is dealt with.
    async fn asks_for_help(&self, hook: &str, page: &str, user: &str) {
        let answered = self.sends(hook, "incident.responder.added", responder(page, user));
        assert_eq!(answered.await, 202);
        self.rests().await;
    }

    /// The incident that a page of PagerDuty's belongs to.
    pub async fn of_page(&self, page: &str) -> String {
        let what = format!("an incident for {page}");
        self.world
            .eventually(&what, async || {
                let all = incidents(self.world).await;
                let has = |it: &&habops::domain::incident::Incident| {
                    it.pagerduty.iter().any(|known| known.id == page)
                };
                all.iter().find(has).map(|it| it.id.to_string())
            })
            .await
    }

    /// Until everything that was told is dealt with.
    pub async fn rests(&self) {
        self.world
            .eventually("everything told to be dealt with", async || {
                let heard = self.world.store.heard(1).await.unwrap();
                heard.is_empty().then_some(())
            })
            .await;
        self.world.comes_to_rest().await;
    }
}

/// Waits until an incident's card tells that: it is edited after the record is.
pub async fn tells(world: &World, id: &str, wanted: &str) {
    let key = format!("{id}:card");
    world
        .until(&format!("the card to tell `{wanted}`"), |slack| {
            let mut all = everywhere(slack);
            all.find(|it| of_metadata(it, "key") == key && words(it).contains(wanted))
        })
        .await;
}

fn described(id: &str, service: &str, title: &str, status: &str) -> Value {
    json!({
        "id": id, "type": "incident", "html_url": format!("https://acme.pagerduty.com/incidents/{id}"), "number": 2,
        "status": status, "title": title, "urgency": "high", "priority": null,
        "service": {"id": service, "type": "service_reference", "summary": "API Service"},
        "assignees": [{"id": "PBOH002", "type": "user_reference", "summary": "Bo Haugen"}],
    })
}

/// Somebody who was asked to help, as PagerDuty tells of them.
fn responder(page: &str, user: &str) -> Value {
    json!({
        "type": "incident_responder", "message": "please look", "state": "pending",
        "incident": {"id": page, "type": "incident_reference", "summary": "login fails"},
        "user": {"id": user, "type": "user_reference", "summary": "Bo Haugen"},
    })
}

#[test]
fn a_trigger_opens_an_incident_with_the_evidence_in_its_thread() {
    World::run(async |world| {
        let pager = Pager::new(world);
        let id = pager.triggers("Q1", "login \"fails\" for <b>all</b>").await;
        let card = card(world, &id);
        assert_eq!(card.channel, "C0OPERATIONS");
        let told = words(&card);
        for wanted in [
            "login \"fails\" for <b>all</b>",
            "Bo Haugen has it",
            "incidents/Q1",
        ] {
            assert!(told.contains(wanted), "no {wanted}: {told}");
        }
        let thread = world.slack().thread("operations", &card.ts);
        let of = |command: &str| {
            let mut answers = thread.iter();
            let found = answers.find(|message| {
                of_metadata(message, "key").starts_with("op-") && words(message).contains(command)
            });
            found.unwrap_or_else(|| panic!("no {command} in the thread"))
        };
        let status = of("status live/api");
        assert!(words(status).contains("live-builder-api-0"));
        for look in [
            "status live/api",
            "logs live/api --since 15m",
            "diagnose live/api --since 15m",
        ] {
            assert_eq!(of_metadata(of(look), "state"), "done", "{look}");
        }
        for operation in world.operations().await {
            assert_eq!(operation.actor, Actor::PagerDuty);
            assert!(!operation.changes, "PagerDuty changes nothing");
        }
        let lines = lines(world, &id).await;
        assert!(
            lines
                .iter()
                .any(|it| it.starts_with("PagerDuty triggered: login")),
            "{lines:?}"
        );
    });
}

#[test]
fn of_a_service_without_a_role_the_whole_fleet_is_looked_at_and_that_is_said() {
    World::run(async |world| {
        let pager = Pager::new(world);
        let data = described("Q1", "PSEARCH", "search is down", "triggered");
        assert_eq!(pager.sends("h1", "incident.triggered", data).await, 202);
        let id = pager.of_page("Q1").await;
        pager.rests().await;
        let root = card(world, &id).ts;
        let thread = world.slack().thread("operations", &root);
        let said = |wanted: &str| thread.iter().any(|it| words(it).contains(wanted));
        assert!(said(
            "no role is named for it, so this is the status of all of live"
        ));
        assert!(said("PSEARCH = \"live/api\""));
        let looks: Vec<String> = world
            .operations()
            .await
            .into_iter()
            .map(|it| it.text)
            .collect();
        assert_eq!(looks[1..], [format!("status live --incident {id}")]);
        assert!(said("live-builder-worker-0") && !said("acceptance-builder-api-0"));
    });
}

#[test]
fn a_responder_is_found_by_the_table_before_the_e_mail() {
    let setup = Setup::default().config("[pagerduty.users]\nU0CYD = \"PBOH002\"");
    setup.run(async |world| {
        let pager = Pager::new(world);
        let id = pager.triggers("Q1", "login fails").await;
        pager.asks_for_help("h1", "Q1", "PBOH002").await;
        let recap = world.person("cyd").hears("Nothing was tried so far").await;
        assert_eq!(recap.thread_ts, Some(card(world, &id).ts));
        assert!(world.slack().ephemerals("bo").is_empty());
    });
}

#[test]
fn each_webhook_counts_once_however_often_it_comes() {
    World::run(async |world| {
        let pager = Pager::new(world);
        let id = pager.triggers("Q1", "login fails").await;
        let again = described("Q1", "P393ZNQ", "login fails", "triggered");
        let acknowledged = described("Q1", "P393ZNQ", "login fails", "acknowledged");
        for _ in 0..3 {
            // The same delivery again, and the same event under another delivery.
            let first = pager.sends("hook-Q1", "incident.triggered", again.clone());
            assert_eq!(first.await, 202);
            let other = pager.sends_as("other", "01-hook-Q1", "incident.triggered", again.clone());
            assert_eq!(other.await, 202);
            let third = pager.sends("hook-2", "incident.acknowledged", acknowledged.clone());
            assert_eq!(third.await, 202);
        }
        pager.rests().await;
        assert_eq!(incidents(world).await.len(), 1);
        let lines = lines(world, &id).await;
        let count = |words: &str| lines.iter().filter(|it| it.contains(words)).count();
        assert_eq!(count("acknowledged by Ana Lima"), 1, "{lines:?}");
        assert_eq!(count("PagerDuty triggered"), 1, "{lines:?}");
        tells(world, &id, "acknowledged").await;
    });
}

#[test]
fn a_storm_is_one_incident_and_another_service_another() {
    World::run(async |world| {
        let pager = Pager::new(world);
        let storm = (0..25).map(|n| {
            let (pager, page) = (&pager, format!("QS{n}"));
            async move {
                let data = described(&page, "P393ZNQ", &format!("error {n}"), "triggered");
                pager
                    .sends(&format!("hook-{page}"), "incident.triggered", data)
                    .await
            }
        });
        let answers = futures_util::future::join_all(storm).await;
        assert!(answers.iter().all(|status| *status == 202), "{answers:?}");
        let id = pager.of_page("QS0").await;
        let data = described("QB1", "PSEARCH", "search is down", "triggered");
        assert_eq!(pager.sends("hook-b", "incident.triggered", data).await, 202);
        let other = pager.of_page("QB1").await;
        pager.rests().await;
        let all = incidents(world).await;
        assert_eq!(all.len(), 2, "{all:#?}");
        assert_eq!(all[0].triggers, 25);
        let told = world.sees("operations", "triggered 25 times").await;
        assert_eq!(told.thread_ts, Some(card(world, &id).ts));
        assert_ne!(id, other);
        let evidence = world.operations().await.into_iter();
        let looks = evidence.filter(|it| it.text.starts_with("status "));
        assert_eq!(
            looks.count(),
            2,
            "the evidence is looked for once an incident"
        );
    });
}

#[test]
fn what_happens_in_pagerduty_is_on_the_card_and_the_timeline() {
    World::run(async |world| {
        let pager = Pager::new(world);
        let id = pager.triggers("Q1", "login fails").await;
        let mut data = described("Q1", "P393ZNQ", "login fails", "acknowledged");
        data["assignees"] = json!([{"id": "PCYD003", "summary": "Cyd Okafor"}]);
        pager.sends("h1", "incident.reassigned", data.clone()).await;
        data["priority"] = json!({"id": "P1", "summary": "P1"});
        pager
            .sends("h2", "incident.priority_updated", data.clone())
            .await;
        pager.sends("h3", "incident.escalated", data.clone()).await;
        let reference = json!({"id": "Q1", "type": "incident_reference", "summary": "login fails"});
        let note = json!({"id": "N1", "type": "incident_note", "incident": reference, "content": "restarted <@U0ANA>"});
        pager.sends("h4", "incident.annotated", note).await;
        pager.asks_for_help("h5", "Q1", "PBOH002").await;
        // Whoever is asked to help is told what happened so far, and nobody else is.
        let recap = world.person("bo").hears("Nothing was tried so far").await;
        assert_eq!(recap.thread_ts, Some(card(world, &id).ts));
        let mut joined = responder("Q1", "PBOH002");
        joined["state"] = json!("joined");
        pager
            .sends("h6", "incident.responder.replied", joined)
            .await;
        data["status"] = json!("resolved");
        pager.sends("h7", "incident.resolved", data).await;
        pager.rests().await;
        tells(world, &id, "resolved, P1, Cyd Okafor has it").await;
        let entries = timeline(world, &id).await;
        let of_pagerduty: Vec<String> = entries
            .iter()
            .filter(|it| it.actor == Actor::PagerDuty && it.kind != EntryKind::Ended)
            .map(|it| it.text.clone())
            .collect();
        insta::assert_snapshot!(of_pagerduty.join("\n"), @r"
        PagerDuty triggered: login fails
        opened: login fails
        PagerDuty: reassigned by Ana Lima; Cyd Okafor has it
        PagerDuty: priority P1 by Ana Lima
        PagerDuty: escalated by Ana Lima; Cyd Okafor has it
        PagerDuty: note by Ana Lima: restarted <@U0ANA>
        PagerDuty: Bo Haugen was asked to help by Ana Lima: please look
        PagerDuty: Bo Haugen answered: joined: please look
        PagerDuty: resolved by Ana Lima
        ");
        assert!(world.slack().ephemerals("cyd").is_empty());
        // A page that no incident knows changes nothing.
        let stranger = described("QX", "P393ZNQ", "unknown", "resolved");
        assert_eq!(pager.sends("h8", "incident.resolved", stranger).await, 202);
        pager.rests().await;
        assert_eq!(incidents(world).await.len(), 1);
    });
}

#[test]
fn a_person_binds_an_incident_to_a_page_and_hears_of_it() {
    World::run(async |world| {
        let pager = Pager::new(world);
        let ana = world.person("ana");
        ana.types("/habops incident open \"login fails\" --pd QNONE")
            .await;
        ana.hears("PagerDuty does not know the incident QNONE (404)")
            .await;
        ana.types("/habops incident open \"login fails\" --pd Q/1")
            .await;
        ana.hears("is not the id of an incident in PagerDuty").await;
        assert!(incidents(world).await.is_empty());

        // It was opened and closed too early; now a person opens it again.
        let page = world
            .sandbox
            .pagerduty
            .triggers("P393ZNQ", "error rate")
            .unwrap();
        let early = pager.of_page(&page).await;
        pager.rests().await;
        ana.runs(&format!("/habops incident close --incident {early}"))
            .await;
        ana.types(&format!(
            "/habops incident open \"login fails\" --pd {page}"
        ))
        .await;
        let id = world
            .eventually("the second incident", async || {
                let all = incidents(world).await;
                all.get(1).map(|it| it.id.to_string())
            })
            .await;
        tells(world, &id, "triggered, Ana Lima has it, high urgency").await;
        tells(world, &id, "PagerDuty: error rate").await;
        tells(
            world,
            &id,
            &format!("https://habitat.pagerduty.com/incidents/{page}"),
        )
        .await;
        assert!(world.sandbox.pagerduty.acknowledges(&page, "PANA001"));
        tells(world, &id, "acknowledged, Ana Lima has it").await;
        ana.types(&format!("/habops incident open \"again\" --pd {page}"))
            .await;
        ana.hears("belongs to").await;
        // It may be over in PagerDuty only after it was closed here: the record still hears of it.
        ana.runs("/habops incident close").await;
        assert!(world.sandbox.pagerduty.resolves(&page, "PANA001"));
        world
            .eventually("the closed incident to hear that it is over", async || {
                let all = incidents(world).await;
                let heard = all.iter().any(|it| it.pagerduty[0].is_resolved());
                (heard && all.iter().all(|it| it.state == IncidentState::Closed)).then_some(())
            })
            .await;
        assert_eq!(incidents(world).await.len(), 2);
        pager.rests().await;
    });
}

#[test]
fn while_pagerduty_is_down_an_incident_is_opened_without_what_it_knows() {
    World::run(async |world| {
        world.breaks("pagerduty-500");
        let ana = world.person("ana");
        let said = ana
            .runs("/habops incident open \"login fails\" --pd Q9")
            .await;
        let told = words(&said);
        assert!(
            told.contains("What PagerDuty knows of it is not on the card: PagerDuty"),
            "{told}"
        );
        let all = incidents(world).await;
        assert_eq!(all[0].pagerduty[0].id, "Q9");
        world.mends("pagerduty-500");
    });
}

#[test]
fn what_was_heard_before_a_crash_is_dealt_with_after_it() {
    Setup::default().without_the_app().run(async |world| {
        let event = paging::Event {
            id: "01".to_owned(),
            kind: paging::Kind::Triggered,
            at: Timestamp::now(),
            by: None,
            incident: paging::PagerDutyIncident {
                title: Some("login fails".to_owned()),
                ..paging::PagerDutyIncident::of_id("Q1")
            },
            text: None,
            whom: None,
            is_person: false,
            state: None,
        };
        let signal = Signal::PagerDuty {
            event: Box::new(event),
        };
        let keys = vec!["pagerduty:hook".to_owned()];
        assert!(
            world
                .store
                .hear(keys.clone(), Timestamp::now(), &signal)
                .await
                .unwrap()
        );
        assert!(
            !world
                .store
                .hear(keys, Timestamp::now(), &signal)
                .await
                .unwrap()
        );
        world.start().await;
        let pager = Pager::new(world);
        let id = pager.of_page("Q1").await;
        pager.rests().await;
        assert_eq!(
            id.parse::<IncidentId>().unwrap(),
            incidents(world).await[0].id
        );
        assert!(words(&card(world, &id)).contains("login fails"));
    });
}

/// An `incident open` for that page, entered under this key, that ended so.
async fn opening_ended(world: &World, key: &str, as_what: State) -> OperationId {
    let accept = Accept {
        key: key.to_owned(),
        received_at: Timestamp::now(),
        text: "incident open lost".to_owned(),
        command: Some("incident open".into()),
        actor: Actor::PagerDuty,
        whence: Whence::Machine,
        via: Via::Signal,
        reply: None,
        yes: false,
        state: State::Received,
        output: None,
        events: Vec::new(),
        wishes: Accept::no_wishes(),
        offers: Vec::new(),
    };
    let Accepted::New { id, .. } = world.store.accept(accept).await.unwrap() else {
        panic!("it is new");
    };
    let output = Output::new(Status::Interrupted, "habops ended in the middle");
    let end = End::new(as_what, redact(output, &Rules::new([]).unwrap()));
    let ended = world.store.finish(id, State::Received, 1, end).await;
    assert!(ended.unwrap().won());
    id
}

#[test]
fn an_opening_that_a_crash_cut_off_is_entered_again_and_one_that_cannot_be_is_said() {
    let setup = Setup::default().logs("no incident could be opened for PagerDuty's Q2");
    setup.run(async |world| {
        let pager = Pager::new(world);
        let first = opening_ended(world, "pagerduty:open:Q1", State::Interrupted).await;
        let again = format!("pagerduty:open:Q1:after:{first}");
        let second = opening_ended(world, &again, State::Failed).await;
        // As one ends that a slow disk kept after PagerDuty had been told that it cannot be kept.
        let again = format!("{again}:after:{second}");
        opening_ended(world, &again, State::Refused).await;
        let id = pager.triggers("Q1", "login fails").await;
        assert!(words(&card(world, &id)).contains("login fails"));

        opening_ended(world, "pagerduty:open:Q2", State::Cancelled).await;
        let data = described("Q2", "PSEARCH", "search is down", "triggered");
        assert_eq!(pager.sends("h1", "incident.triggered", data).await, 202);
        let said = world
            .sees(
                "operations",
                "No incident could be opened for PagerDuty's Q2",
            )
            .await;
        assert!(words(&said).contains("search is down"), "{}", words(&said));
        // The button enters the command as it stands there; this page is none that the stand-in for PagerDuty has.
        let ana = world.person("ana");
        ana.presses(&said, "Open one").await;
        ana.hears("PagerDuty does not know the incident Q2").await;
    });
}

#[test]
fn secrets_in_what_people_write_in_pagerduty_are_kept_nowhere() {
    World::run(async |world| {
        let pager = Pager::new(world);
        let token = format!("xoxb-{}", "1234567890-abcdefghij");
        let id = pager
            .triggers("Q1", &format!("login fails with {token}"))
            .await;
        let reference = json!({"id": "Q1", "type": "incident_reference", "summary": "login fails"});
        let content = format!("it is postgres://hab:hunter2secret@10.0.0.5/builder and {token}");
        let note =
            json!({"id": "N1", "type": "incident_note", "incident": reference, "content": content});
        pager.sends("h1", "incident.annotated", note).await;
        pager.rests().await;
        tells(world, &id, "login fails").await;
        let noted = lines(world, &id).await;
        assert!(
            noted.iter().any(|line| line.contains("note by Ana Lima")),
            "{noted:?}"
        );
        let audit = world.audit().await.into_iter().map(|record| record.event);
        let kept: Vec<String> = audit.chain(noted).collect();
        let seen = everywhere(world.slack()).map(|message| words(&message));
        for text in kept.into_iter().chain(seen) {
            assert!(
                !text.contains(&token) && !text.contains("hunter2secret"),
                "{text}"
            );
        }
    });
}

#[test]
fn what_nobody_asked_for_and_slack_cannot_show_comes_to_whoever_is_on_call() {
    let setup = Setup::default().instead("channel = \"C0OPERATIONS\"", "channel = \"C0ARCHIVED\"");
    setup.run(async |world| {
        let pager = Pager::new(world);
        let data = described("Q1", "P393ZNQ", "login fails", "triggered");
        assert_eq!(pager.sends("h1", "incident.triggered", data).await, 202);
        let id = pager.of_page("Q1").await;
        let told = world
            .until("the card in a direct message", |slack| {
                let mut all = everywhere(slack);
                all.find(|it| of_metadata(it, "key").starts_with(&format!("{id}:card:instead:")))
            })
            .await;
        let said = words(&told);
        assert!(said.contains("This was meant for"), "{said}");
        assert!(said.contains("login fails"), "{said}");
        pager.rests().await;
    });
}
