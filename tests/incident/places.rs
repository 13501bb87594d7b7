//! Where an incident lives, and who is what in it.

use habops::domain::{incident::IncidentState, operation::State};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{API, card, incident, incidents, opened};
use crate::world::{World, everywhere, words};

#[test]
fn an_incident_gets_a_channel_of_its_own_with_its_card_pinned_and_its_opener_in_it() {
    World::run(async |world| {
        let ana = world.person("ana").at("general");
        let said = ana
            .types("/habops incident open \"Login is slow!\" --channel new")
            .await;
        let id = said.operation.replace("op-", "inc-");
        world.shows(&format!("{id}:card"), "open").await;
        world.comes_to_rest().await;
        let name = world
            .slack()
            .channels()
            .into_iter()
            .map(|(_, name)| name)
            .find(|name| name.ends_with("-login-is-slow"))
            .expect("a channel of its own");
        assert!(name.starts_with("inc-2"), "{name}");
        let card = card(world, &id);
        assert!(card.pinned, "the card is pinned");
        // Whoever saw it asked for where it was typed finds the way.
        let told = world.sees("general", &format!("{id} is open")).await;
        assert!(words(&told).contains(&card.channel), "{}", words(&told));
        // Ana is in it: what she types there is answered there.
        let table = world.person("ana").at(&name).runs(API).await;
        assert_eq!(table.channel, card.channel);
    });
}

#[test]
fn where_no_channel_can_be_made_the_incident_is_a_card_and_says_why() {
    World::run(async |world| {
        // Somebody has made a channel of that name already.
        let name = format!(
            "inc-{}-1-login-is-slow",
            Timestamp::now().strftime("%Y%m%d")
        );
        let made = reqwest::Client::new()
            .post(format!("{}/conversations.create", world.slack().api_url()))
            .bearer_auth("xoxb-sandbox")
            .json(&json!({ "name": name }))
            .send();
        made.await.unwrap();
        let ana = world.person("ana");
        let said = ana
            .types("/habops incident open \"login is slow\" --channel new")
            .await;
        let answer = world.shows(&said.operation, "done").await;
        let told = words(&answer);
        assert!(
            told.contains(&format!("#{name} could not be made")),
            "{told}"
        );
        let id = said.operation.replace("op-", "inc-");
        assert_eq!(card(world, &id).channel, "C0OPERATIONS");
    });
}

#[test]
fn a_channel_belongs_to_one_incident_and_a_card_in_it_to_another() {
    World::run(async |world| {
        let ana = world.person("ana").at("general");
        let said = ana
            .types("/habops incident open \"search is slow\" --channel here")
            .await;
        let first = said.operation.replace("op-", "inc-");
        world.shows(&format!("{first}:card"), "open").await;
        world.comes_to_rest().await;
        ana.types("/habops incident open \"another\" --channel here")
            .await;
        let refused = ana.hears("This channel belongs to").await;
        assert!(words(&refused).contains("--channel thread"));
        let (second, card) = opened(world, "general", "login fails").await;
        // In the second one's thread it is the second one that hears, though the channel is the first one's.
        let bo = world.person("bo").at("general").under(&card.ts);
        bo.types("@habops incident note \"in the thread\"").await;
        world.sees("general", &format!("Noted in {second}")).await;
        let bo = world.person("bo").at("general");
        bo.runs("/habops incident note \"in the channel\"").await;
        let notes = super::lines(world, &first).await;
        assert!(notes.contains(&"in the channel".to_owned()), "{notes:?}");
        assert!(!notes.contains(&"in the thread".to_owned()), "{notes:?}");
    });
}

#[test]
fn an_incident_opened_in_a_direct_message_lives_where_everybody_sees_it() {
    World::run(async |world| {
        let opening = reqwest::Client::new()
            .post(format!("{}/conversations.open", world.slack().api_url()))
            .bearer_auth("xoxb-sandbox")
            .json(&json!({ "users": "U0ANA" }));
        let direct: Value = opening.send().await.unwrap().json().await.unwrap();
        let direct = direct["channel"]["id"].as_str().unwrap();
        let ana = world.person("ana").at(direct);
        ana.types("/habops incident open \"login is slow\"").await;
        world.sees("operations", "login is slow").await;
        ana.types("/habops incident open \"mine alone\" --channel here")
            .await;
        ana.hears("Nobody else would see an incident here").await;
        assert_eq!(incidents(world).await.len(), 1);
    });
}

#[test]
fn opening_a_third_incident_asks_nobody_which_one_it_is_for() {
    World::run(async |world| {
        opened(world, "operations", "one").await;
        opened(world, "operations", "two").await;
        let (third, _) = opened(world, "operations", "three").await;
        assert_eq!(incident(world, &third).await.title, "three");
        assert_eq!(incidents(world).await.len(), 3);
    });
}

#[test]
fn the_card_names_the_lead_and_its_buttons_their_own_incident() {
    World::run(async |world| {
        let (first, _) = opened(world, "operations", "login is slow").await;
        let (second, _) = opened(world, "operations", "search is down").await;
        let ana = world.person("ana");
        ana.runs(&format!(
            "/habops incident role lead @bo --incident {first}"
        ))
        .await;
        ana.runs(&format!("/habops {} --incident {first}", &API[8..]))
            .await;
        world.comes_to_rest().await;
        let told = words(&card(world, &first));
        assert!(told.contains("lead: @bo"), "{told}");
        assert!(told.contains("status live-builder-api-0"), "{told}");
        assert!(!words(&card(world, &second)).contains("@bo"));
        // The recap is for whoever pressed, and the close for that incident, though both cards are in one channel.
        ana.presses(&card(world, &second), "Recap").await;
        let recap = ana.hears("Nothing was tried so far").await;
        assert!(words(&recap).contains("search is down"));
        world.comes_to_rest().await;
        ana.presses(&card(world, &second), "Close").await;
        world.shows(&format!("{second}:card"), "closed").await;
        world.comes_to_rest().await;
        assert_eq!(incident(world, &first).await.state, IncidentState::Open);
    });
}

#[test]
fn a_link_needs_an_operator_a_channel_of_ours_and_is_told_in_both_places() {
    World::run(async |world| {
        let (id, card) = opened(world, "operations", "login is slow").await;
        let dee = world.person("dee").at("general");
        let said = dee.types("/habops incident link").await;
        assert_eq!(world.ended(&said.operation).await.state, State::Refused);
        let ana = world.person("ana").at("partners");
        let said = ana.types("/habops incident link").await;
        ana.hears("Another organisation reads that channel").await;
        assert_eq!(world.ended(&said.operation).await.state, State::Refused);
        assert!(incident(world, &id).await.links.is_empty());
        let ana = world.person("ana").at("general");
        ana.types("/habops incident link").await;
        let here = world.sees("general", "now belongs to").await;
        assert_eq!(here.thread_ts, None);
        let there = world.sees("operations", "now belongs to").await;
        assert_eq!(there.thread_ts, Some(card.ts));
        // Linked twice it says that there is nothing to do.
        ana.types("/habops incident link").await;
        ana.hears("There is nothing to do").await;
        let nothing: Vec<_> = everywhere(world.slack())
            .filter(|message| message.channel == "C0PARTNERS" && message.bot_id.is_some())
            .collect();
        assert!(nothing.is_empty(), "{nothing:#?}");
    });
}
