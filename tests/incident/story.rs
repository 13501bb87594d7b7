//! The export: the whole story, in Slack and at a terminal, from the records alone.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use habops::{
    domain::{
        actor::Actor,
        audit::Event,
        ids::{IncidentId, OperationId, Owner},
        inbound::Via,
        journey::{Redacted, redact},
        operation::State,
        outcome::{Effect, OpenAt},
        output::{Output, Part, Status},
        place::Whence,
        records::Records as _,
        redact::Rules,
    },
    render::incident::{html, jsonl, markdown},
    store::{Accept, Accepted, Change, Config, End, Store},
};
use jiff::Timestamp;

use super::{card, opened};
use crate::world::{World, words};

#[test]
fn an_export_tells_the_story_with_names_verdicts_and_hashes() {
    World::run(async |world| {
        let (id, card_before) = opened(world, "operations", "login <is> slow").await;
        let ana = world.person("ana");
        ana.runs("/habops incident role lead @bo").await;
        ana.runs("/habops status live-builder-api-0").await;
        ana.runs("/habops incident note \"mended: the disk was full\"")
            .await;
        ana.runs("/habops incident close \"all is well\"").await;
        world.comes_to_rest().await;
        ana.presses(&card(world, &id), "Export").await;
        let message = world.sees("operations", "as a document").await;
        assert!(
            words(&message).contains("audit head"),
            "{}",
            words(&message)
        );
        world.comes_to_rest().await;
        let documents = world
            .until("both documents", |slack| {
                let messages = slack.messages("operations").into_iter();
                let files: Vec<(String, String)> = messages
                    .flat_map(|message| message.files)
                    .filter_map(|file| {
                        let file = serde_json::to_value(&file).unwrap();
                        let bytes = slack.file(file["id"].as_str()?)?;
                        let name = file["name"].as_str()?.to_owned();
                        Some((name, String::from_utf8(bytes).unwrap()))
                    })
                    .collect();
                (files.len() == 2).then_some(files)
            })
            .await;
        let names: Vec<&str> = documents.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [format!("{id}.md"), format!("{id}.html")]);
        let mut finished = 0;
        for (name, text) in &documents {
            for wanted in [
                "by ana",
                "bo",
                "status live-builder-api-0",
                "mended: the disk was full",
                "all is well",
                "closed",
            ] {
                let escaped = wanted.replace('-', "\\-");
                assert!(
                    text.contains(wanted) || text.contains(&escaped),
                    "{name} has no {wanted}: {text}"
                );
            }
            assert!(!text.contains("<is>"), "{name}: markup in a title is text");
            assert!(!text.contains("<@U0"), "{name}: people are called by name");
            for record in world.audit().await {
                let Event::Finished { output_sha256, .. } =
                    serde_json::from_str(&record.event).unwrap()
                else {
                    continue;
                };
                finished += usize::from(text.contains(&output_sha256));
            }
        }
        assert_eq!(
            finished, 2,
            "the look's hash in each document, as the audit has it"
        );
        assert_eq!(card_before.ts, card(world, &id).ts);
    });
}

fn said(output: Output) -> Redacted {
    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new([]).unwrap());
    redact(output, &RULES)
}

fn typed(number: u64) -> Accept {
    let text = if number == 0 {
        "incident open slow".to_owned()
    } else {
        format!("restart live-builder-worker-{number}")
    };
    let command = text.split(' ').next().unwrap_or_default();
    Accept {
        key: format!("k{number}"),
        received_at: Timestamp::now(),
        command: Some(
            if number == 0 {
                "incident open"
            } else {
                command
            }
            .into(),
        ),
        text,
        actor: Actor::person("T", "U0ANA"),
        whence: Whence::Machine,
        via: Via::Slash,
        reply: None,
        yes: false,
        state: State::Received,
        output: None,
        events: Vec::new(),
        wishes: Accept::no_wishes(),
        offers: Vec::new(),
    }
}

/// One operation from its beginning to its end.
async fn ran(store: &Store, number: u64, incident: Option<IncidentId>) -> OperationId {
    let Accepted::New { id, .. } = store.accept(typed(number)).await.unwrap() else {
        panic!("it is new");
    };
    let change = Change {
        incident,
        changes: Some(number > 0),
        ..Change::default()
    };
    let step = store.step(id, State::Received, State::Running, change);
    assert!(step.await.unwrap().won());
    let points = (0..60)
        .map(|minute| (format!("03:{minute:02}"), minute % 7))
        .collect();
    let output = Output::new(Status::Done, format!("recovered {number}"))
        .with(Part::Log {
            of: "journal".to_owned(),
            text: "2026-11-27T03:00:00Z error: see https://example.com/ <b>\n".repeat(30),
        })
        .with(Part::Chart {
            title: "errors a minute".to_owned(),
            points,
        });
    let redacted = said(output);
    let sha = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(
        serde_json::to_vec(&redacted).unwrap(),
    ));
    let mut end = End::new(State::Done, redacted);
    end.events = vec![Event::Finished {
        state: "done".to_owned(),
        title: format!("recovered {number}"),
        output_sha256: sha,
    }];
    if number == 0 {
        end.effects = vec![Effect::OpenIncident {
            title: "slow".to_owned(),
            place: OpenAt::Nowhere,
            pagerduty: None,
        }];
    }
    assert!(
        store
            .finish(id, State::Running, 1, end)
            .await
            .unwrap()
            .won()
    );
    id
}

#[tokio::test]
async fn an_incident_of_five_hundred_operations_is_told_whole_and_refers_to_nothing_outside() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Timestamp::now);
    let store = Store::open(&Config::default(), dir.path(), clock, Owner::new("one")).unwrap();
    let incident = IncidentId(ran(&store, 0, None).await.0);
    for number in 1..=500 {
        ran(&store, number, Some(incident)).await;
    }
    store.call(&"U0ANA".into(), "Ana Lima").await.unwrap();
    let begun = Instant::now();
    let story = store.story(incident).await.unwrap().unwrap();
    let read = begun.elapsed();
    let (page, text, machine) = (html(&story), markdown(&story), jsonl(&story));
    let took = begun.elapsed();
    // A second is promised; the machine may be busy.
    eprintln!(
        "a story of 500 operations: read in {read:?}, told in three ways in {:?}, {} KB of HTML",
        took.saturating_sub(read),
        page.len() / 1024
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
    for number in [1, 250, 500] {
        assert!(page.contains(&format!("recovered {number}<")), "{number}");
        assert!(text.contains(&format!("recovered {number}\n")), "{number}");
    }
    assert_eq!(machine.lines().count(), 1 + 501 + story.timeline.len());
    assert_eq!(page.matches("<svg").count(), 500);
    assert!(page.contains("Ana Lima") && !page.contains("U0ANA"));
    // What a node printed may hold an address; nothing of the page itself points anywhere.
    for reference in [
        "href", "src=", "url(", "@import", "<link", "<script", "<iframe", "<b>",
    ] {
        assert!(!page.contains(reference), "{reference}");
    }
}
