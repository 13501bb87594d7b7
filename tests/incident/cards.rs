//! What an incident's card tells whoever comes by: one message, edited in place.

use super::{card, paged::Pager};
use crate::world::{Setup, World, words};

const TITLE: &str = "login fails";

/// Waits until the card tells it, and gives all it tells.
async fn tells(world: &World, id: &str, wanted: &str) -> String {
    super::paged::tells(world, id, wanted).await;
    words(&card(world, id))
}

#[test]
fn the_card_tells_where_the_incident_stands() {
    let setup = Setup::default().instead("[pagerduty]", "[pagerduty]\npoll = \"1s\"");
    setup.run(async |world| {
        world
            .eventually("the first look at who is on call", async || {
                world.store.get_state("oncall:PI7DH85").await.unwrap()
            })
            .await;
        let pager = Pager::new(world);
        let page = world.sandbox.pagerduty.triggers("P393ZNQ", TITLE).unwrap();
        let id = pager.of_page(&page).await;
        pager.rests().await;
        let ana = world.person("ana");
        ana.runs("/habops incident role lead @bo").await;
        for node in ["worker-0", "router-0", "api-0"] {
            ana.runs(&format!("/habops status live-builder-{node}"))
                .await;
        }
        let (restart, waits) = ana
            .proposes("/habops restart live-builder-worker-0 --reason drill")
            .await;
        let told = tells(world, &id, &format!("waits for a yes: {restart} restart")).await;
        let opened = super::incident(world, &id).await.opened_at;
        for wanted in [
            format!("{id} · {TITLE} · open"),
            opened.strftime("since: %Y-%m-%d %H:%M UTC").to_string(),
            "lead: @bo".to_owned(),
            "on call: Ana Lima for Builder on call".to_owned(),
            "PagerDuty: triggered, Ana Lima has it, high urgency".to_owned(),
            format!("PagerDuty: {TITLE}"),
            format!("https://habitat.pagerduty.com/incidents/{page}"),
            "status live-builder-api-0: live-builder-api-0 is up".to_owned(),
            "restart live-builder-worker-0 --reason drill: awaiting".to_owned(),
        ] {
            assert!(told.contains(&wanted), "no {wanted}: {told}");
        }
        assert!(
            !told.contains(" --incident inc-1:"),
            "it is known whose card it is: {told}"
        );
        // Of the seven operations the last five, newest first.
        let (_, latest) = told.split_once("Latest:\n").unwrap();
        let is_a_line = |line: &&str| line.as_bytes().get(2) == Some(&b':');
        let latest: Vec<&str> = latest.lines().take_while(is_a_line).collect();
        assert_eq!(latest.len(), 5, "{told}");
        assert!(latest[1].contains("status live-builder-api-0"), "{told}");
        assert!(!told.contains("status live/api"), "{told}");

        ana.presses(&waits, "Deny").await;
        let told = tells(world, &id, "Denied: restart live-builder-worker-0").await;
        assert!(!told.contains("waits for a yes"), "{told}");
        world.sandbox.pagerduty.shift_changes("PI7DH85");
        tells(world, &id, "on call: Bo Haugen for Builder on call").await;
        ana.runs("/habops incident close").await;
        let told = tells(world, &id, &format!("{TITLE} · closed")).await;
        assert!(
            told.contains("closed: 20") && !told.contains("on call"),
            "{told}"
        );
    });
}
