//! People's own words on the timeline, and the recap for whoever comes in.

use super::{lines, opened, timeline};
use crate::world::{World, words};

#[test]
fn a_marked_message_is_kept_once_with_its_writer_and_its_time() {
    World::run(async |world| {
        let (id, card) = opened(world, "operations", "login is slow").await;
        let bo = world.person("bo").under(&card.ts);
        let ts = bo
            .types("users in <b>Europe</b> see it first")
            .await
            .typed
            .ts
            .unwrap();
        let slack = world.slack();
        slack.reacts("ana", "operations", &ts, "thumbsup").unwrap();
        slack.reacts("ana", "operations", &ts, "pushpin").unwrap();
        world
            .person("ana")
            .hears(&format!("Kept on the timeline of {id}"))
            .await;
        slack.reacts("cyd", "operations", &ts, "pushpin").unwrap();
        slack.pins("cyd", "operations", &ts).unwrap();
        world.comes_to_rest().await;
        world
            .eventually("everything heard to be dealt with", async || {
                let heard = world.store.heard(1).await.unwrap();
                heard.is_empty().then_some(())
            })
            .await;
        let kept: Vec<_> = timeline(world, &id)
            .await
            .into_iter()
            .filter(|entry| entry.text.contains("Europe"))
            .collect();
        assert_eq!(kept.len(), 1, "{kept:#?}");
        assert_eq!(kept[0].actor.to_string(), "<@U0BO>");
        assert!(
            kept[0]
                .text
                .starts_with("users in <b>Europe</b> see it first")
        );
        let written = format!("{}", kept[0].at.as_second());
        assert!(ts.starts_with(&written), "{written} is not {ts}");
    });
}

#[test]
fn a_pin_elsewhere_is_ordinary_slack_and_the_shortcut_is_not() {
    World::run(async |world| {
        let ana = world.person("ana").at("general");
        let ts = ana.types("the login page is slow").await.typed.ts.unwrap();
        let message = world.sees("general", "the login page").await;
        let slack = world.slack();
        slack.pins("ana", "general", &ts).unwrap();
        slack
            .shortcut("bo", "general", &message.ts, "habops_keep")
            .await;
        world.person("bo").hears("No incident is open").await;
        let (id, _) = opened(world, "operations", "login is slow").await;
        slack
            .shortcut("bo", "general", &message.ts, "habops_keep")
            .await;
        world
            .person("bo")
            .hears(&format!("Kept on the timeline of {id}"))
            .await;
        // A guest may not.
        slack
            .shortcut("gus", "general", &message.ts, "habops_keep")
            .await;
        world.person("gus").hears("guests may not").await;
        let kept = lines(world, &id).await;
        let count = kept.iter().filter(|it| it.contains("login page")).count();
        assert_eq!(count, 1, "{kept:#?}");
    });
}

#[test]
fn with_two_incidents_a_message_of_neither_is_kept_for_none() {
    World::run(async |world| {
        let (first, _) = opened(world, "operations", "one").await;
        let (second, _) = opened(world, "operations", "two").await;
        let ana = world.person("ana").at("general");
        ana.types("it began at noon").await;
        let message = world.sees("general", "it began at noon").await;
        world
            .slack()
            .shortcut("ana", "general", &message.ts, "habops_keep")
            .await;
        ana.hears("Several incidents are open").await;
        for id in [first, second] {
            let kept = lines(world, &id).await;
            assert!(!kept.iter().any(|it| it.contains("noon")), "{kept:?}");
        }
    });
}

#[test]
fn whoever_joins_the_incidents_channel_is_told_what_happened() {
    World::run(async |world| {
        let ana = world.person("ana");
        let said = ana
            .types("/habops incident open \"login is slow\" --channel new")
            .await;
        let id = said.operation.replace("op-", "inc-");
        let card = world.shows(&format!("{id}:card"), "open").await;
        world.comes_to_rest().await;
        let name = world.slack().channels().into_iter();
        let (_, name) = name
            .into_iter()
            .find(|(it, _)| *it == card.channel)
            .unwrap();
        ana.at(&name)
            .runs("/habops incident note \"the api node is out of memory\"")
            .await;
        world.slack().joins("bo", &name);
        let recap = world
            .person("bo")
            .hears("the api node is out of memory")
            .await;
        assert_eq!(recap.channel, card.channel);
        assert!(words(&recap).contains("Nothing was tried so far"));
        // An incident whose card is in that channel is told in its thread.
        let (second, below) = opened(world, &name, "search is slow too").await;
        world.slack().joins("cyd", &name);
        let cyd = world.person("cyd");
        cyd.hears("the api node is out of memory").await;
        let recap = cyd.hears(&second).await;
        assert_eq!(recap.thread_ts, Some(below.ts));
        // Who is none of us is told nothing.
        world.slack().joins("gus", &name);
        world
            .eventually("everything heard to be dealt with", async || {
                let heard = world.store.heard(1).await.unwrap();
                heard.is_empty().then_some(())
            })
            .await;
        world.comes_to_rest().await;
        let gus = world.slack().ephemerals("gus");
        assert!(gus.is_empty(), "{gus:#?}");
    });
}
