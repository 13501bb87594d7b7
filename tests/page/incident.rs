//! An incident from PagerDuty's first call to the document about it, as people at the page live through it.

use std::panic::resume_unwind;

use fantoccini::Locator;
use serde_json::json;

use super::{CHANNEL, Page, THREAD, browse, message};
use crate::{
    incident::paged::Pager,
    world::{Setup, World},
};

impl Page {
    /// Opens the thread below a message.
    async fn opens_thread(&self, path: &str) {
        let replies = format!("{path}//*[@data-testid='replies']");
        self.see(&replies).await.click().await.unwrap();
        self.see(THREAD).await;
    }

    async fn becomes(&self, person: &str) {
        self.click(&format!("[data-testid=person][data-id={person}]"))
            .await;
    }
}

#[test]
fn pagerduty_opens_an_incident_and_its_exported_page_tells_the_story() {
    // A verdict within seconds instead of a quarter of a minute.
    let setup = Setup::default()
        .with_webhooks()
        .instead("watch = \"15s\"", "watch = \"3s\"");
    setup.run(async |world| {
        let profile = world.dir().join("profile");
        let url = world.slack().page_url();
        let lived = browse(&url, &profile, |page| lives_through(page, world)).await;
        lived.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

async fn lives_through(page: Page, world: &World) {
    page.see("//*[@data-testid='connection'][contains(., 'connected')]")
        .await;
    // PagerDuty calls; before anybody asks, the evidence is in the thread.
    let pager = Pager::new(world);
    let id = pager.triggers("Q1", "login fails").await;
    let card = message(
        CHANNEL,
        &[&format!("{id} · login fails · open"), "Bo Haugen has it"],
    );
    page.opens_thread(&card).await;
    page.see(&message(THREAD, &["status live/api", "live-builder-api-0"]))
        .await;
    page.see(&message(THREAD, &["diagnose live/api"])).await;

    // What is typed in the channel lands in the thread, and so does a confirmed restart.
    page.types("/habops status live-builder-worker-0").await;
    page.see(&message(THREAD, &["live-builder-worker-0 is up"]))
        .await;
    page.types("/habops restart live-builder-api-0 --reason \"a drill\"")
        .await;
    let asks = message(THREAD, &["Confirm: restart live-builder-api-0"]);
    page.presses(&asks, "Approve").await;
    page.see(&message(CHANNEL, &[&id, "live-builder-api-0 recovered"]))
        .await;
    let ran = world.sandbox.nodes.ran("live-builder-api-0");
    assert!(
        ran.iter().any(|it| it.contains("restart hab-sup")),
        "{ran:?}"
    );

    // Somebody is asked to help, and is told what happened so far; nobody else is.
    let reference = json!({"id": "Q1", "type": "incident_reference", "summary": "login fails"});
    let user = json!({"id": "PBOH002", "type": "user_reference", "summary": "Bo Haugen"});
    let asked = json!({"type": "incident_responder", "incident": reference, "user": user, "state": "pending"});
    assert_eq!(
        pager.sends("h1", "incident.responder.added", asked).await,
        202
    );
    pager.rests().await;
    let recap = message(
        "",
        &[
            "Only visible to you",
            "Tried:",
            "restart live-builder-api-0",
        ],
    );
    assert_eq!(page.count(&recap).await, 0, "Ana was not asked");
    page.becomes("U0BO").await;
    page.opens_thread(&card).await;
    page.see(&recap).await;

    // It is over; the document is a page of its own.
    page.becomes("U0ANA").await;
    page.types("/habops incident close \"the Supervisor hung\"")
        .await;
    let closed = message(CHANNEL, &[&format!("{id} · login fails · closed")]);
    page.presses(&closed, "Export").await;
    let exported = message(CHANNEL, &[&format!("{id}: login fails, as a document")]);
    page.opens_thread(&exported).await;
    let file = format!("{THREAD}//*[@data-testid='file'][contains(., '{id}.html')]//a");
    let link = page.see(&file).await.attr("href").await.unwrap().unwrap();
    let here = page.client.current_url().await.unwrap();
    let document = here.join(&link).unwrap();
    page.client.goto(document.as_str()).await.unwrap();
    for told in [
        format!("//h1[contains(., '{id}: login fails')]"),
        "//td[contains(., 'PagerDuty triggered: login fails')]".to_owned(),
        "//h3[contains(., 'restart live-builder-api-0')]".to_owned(),
        "//dd[contains(., 'ana, 20')]".to_owned(),
        "//td[contains(., 'the Supervisor hung')]".to_owned(),
        "//td[contains(., 'Bo Haugen was asked to help')]".to_owned(),
        "//pre[contains(., 'live-builder-worker-0')]".to_owned(),
    ] {
        page.see(&told).await;
    }
    // Opened from a file it is the same: it asks for nothing.
    for asks in ["[src]", "[href]", "script", "link", "iframe"] {
        let all = page.client.find_all(Locator::Css(asks)).await.unwrap();
        assert!(all.is_empty(), "{asks}");
    }
}
