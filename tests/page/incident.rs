//! An incident from PagerDuty's first call to the document about it, as people at the page live through it.

use std::panic::resume_unwind;

use fantoccini::Locator;

use super::{CHANNEL, Page, THREAD, browse, message};
use crate::world::{Setup, World};

/// What PagerDuty calls the incident that it triggers at the push of a button.
const TITLE: &str = "Builder API: error rate above 5 %";
const SHIFT: &str = "Bo Haugen is on call for Builder on call, after Ana Lima";

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

    /// Breaks something, or lets something happen in the world outside.
    async fn happens(&self, name: &str) {
        self.click(&format!("[data-testid=fault][data-name={name}]"))
            .await;
    }
}

#[test]
fn pagerduty_opens_an_incident_and_its_exported_page_tells_the_story() {
    // A verdict within seconds instead of a quarter of a minute, though longer than the storm pauses; a look at the schedule each second.
    let setup = Setup::default()
        .instead("watch = \"15s\"", "watch = \"5s\"")
        .instead("[pagerduty]", "[pagerduty]\npoll = \"1s\"");
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
    let card = page.is_called().await;
    page.works_on_it(world).await;
    page.asks_for_help(&card).await;
    page.hands_over(&card).await;
    page.ends_it().await;
}

impl Page {
    /// Users cannot log in. PagerDuty calls; before anybody asks, the evidence is in the thread.
    async fn is_called(&self) -> String {
        self.happens("timeout-storm").await;
        self.see("//*[@data-testid='node'][@data-name='live-builder-api-0'][contains(., 'timeout-storm')]")
            .await;
        self.happens("pagerduty-trigger").await;
        let card = message(CHANNEL, &[&format!("inc-1 · {TITLE} · open")]);
        let stands = [
            "inc-1",
            "triggered, Ana Lima has it",
            "Ana Lima for Builder on call",
        ];
        self.see(&message(CHANNEL, &stands)).await;
        self.opens_thread(&card).await;
        let status = ["status live/api", "live-builder-api-0"];
        self.see(&message(THREAD, &status)).await;
        let errors = ["logs live/api", "Connection recv timeout", "api-timeout"];
        self.see(&message(THREAD, &errors)).await;
        let issue = [
            "diagnose live/api",
            "Known issue: api-timeout on live-builder-api-0",
        ];
        self.see(&message(THREAD, &issue)).await;
        card
    }

    /// What is typed in the channel lands in the thread, and so does a confirmed restart with its verdict.
    async fn works_on_it(&self, world: &World) {
        self.types("/habops status live-builder-worker-0").await;
        self.see(&message(THREAD, &["live-builder-worker-0 is up"]))
            .await;
        self.types("/habops logs live-builder-router-0 --since 15m")
            .await;
        self.see(&message(THREAD, &["live-builder-router-0: ", " lines, "]))
            .await;
        self.types("/habops restart live-builder-api-0 --reason \"a drill\"")
            .await;
        let asks = message(THREAD, &["Confirm: restart live-builder-api-0"]);
        self.presses(&asks, "Approve").await;
        self.see(&message(
            CHANNEL,
            &["inc-1", "live-builder-api-0 recovered"],
        ))
        .await;
        let ran = world.sandbox.nodes.ran("live-builder-api-0");
        assert!(
            ran.iter().any(|it| it.contains("restart hab-sup")),
            "{ran:?}"
        );
        for answer in ["status live-builder-worker-0", "logs live-builder-router-0"] {
            let beside = format!(
                "{CHANNEL}//*[@data-testid='message'][.//*[@data-testid='table' or @data-testid='file']][contains(normalize-space(.), {answer:?})]"
            );
            assert_eq!(self.count(&beside).await, 0, "{answer} is in the thread");
        }
    }

    /// A second person is paged, and is told what happened so far; nobody else is.
    async fn asks_for_help(&self, card: &str) {
        self.types("/habops page <@U0BO> please look at the router")
            .await;
        let asks = message(THREAD, &["Confirm: page", "Bo Haugen"]);
        self.presses(&asks, "Approve").await;
        self.see(&message(THREAD, &["Bo Haugen: paged to help with"]))
            .await;
        let recap = message(
            THREAD,
            &[
                "Only visible to you",
                "Seen:",
                "Tried:",
                "restart live-builder-api-0",
                "recovered",
            ],
        );
        self.becomes("U0BO").await;
        self.opens_thread(card).await;
        self.see(&recap).await;
        self.becomes("U0ANA").await;
        self.opens_thread(card).await;
        self.see(&message(THREAD, &["Bo Haugen: paged to help with"]))
            .await;
        assert_eq!(self.count(&recap).await, 0, "Ana was not asked");
    }

    /// The shift changes while a card waits: whoever comes reads the packet, answers the card there, and accepts.
    async fn hands_over(&self, card: &str) {
        self.types("/habops restart live-builder-worker-0 --reason \"a drill\"")
            .await;
        self.see(&message(
            THREAD,
            &["Confirm: restart live-builder-worker-0", "Approve"],
        ))
        .await;
        self.happens("pagerduty-shift").await;
        let packet = message(CHANNEL, &[SHIFT, TITLE, "please accept"]);
        self.see(&packet).await;
        self.see(&message(THREAD, &[SHIFT])).await;
        self.becomes("U0BO").await;
        self.opens_thread(&packet).await;
        let again = message(THREAD, &["Confirm: restart live-builder-worker-0"]);
        self.presses(&again, "Deny").await;
        self.see(&message(
            THREAD,
            &["Denied: restart live-builder-worker-0", "@bo said no"],
        ))
        .await;
        self.presses(&packet, "Accept").await;
        self.see(&message(CHANNEL, &[SHIFT, "Accepted by"])).await;
        assert_eq!(self.count(&packet).await, 0, "nobody can accept it twice");
        let whose = ["inc-1", "Bo Haugen for Builder on call"];
        self.see(&message(CHANNEL, &whose)).await;
        self.opens_thread(card).await;
        self.see(&message(
            THREAD,
            &["Denied: restart live-builder-worker-0", "@bo said no"],
        ))
        .await;
    }

    /// It is over; the document is a page of its own, and tells all of it.
    async fn ends_it(&self) {
        self.types("/habops incident close \"the Supervisor hung\"")
            .await;
        let closed = message(CHANNEL, &[&format!("inc-1 · {TITLE} · closed")]);
        self.presses(&closed, "Export").await;
        let exported = message(CHANNEL, &[&format!("inc-1: {TITLE}, as a document")]);
        self.opens_thread(&exported).await;
        let file = format!("{THREAD}//*[@data-testid='file'][contains(., 'inc-1.html')]//a");
        let link = self.see(&file).await.attr("href").await.unwrap().unwrap();
        let here = self.client.current_url().await.unwrap();
        let document = here.join(&link).unwrap();
        self.client.goto(document.as_str()).await.unwrap();
        for told in [
            format!("//h1[contains(., 'inc-1: {TITLE}')]"),
            format!(
                "//a[starts-with(@href, 'https://habitat.pagerduty.com/incidents/')][contains(., '{TITLE}')]"
            ),
            format!("//td[contains(., 'PagerDuty triggered: {TITLE}')]"),
            "//h3[contains(., 'diagnose live/api')]".to_owned(),
            "//pre[contains(., 'Connection recv timeout')]".to_owned(),
            "//pre[contains(., 'live-builder-worker-0')]".to_owned(),
            "//h3[contains(., 'restart live-builder-api-0')]".to_owned(),
            "//dd[contains(., 'ana, 20')]".to_owned(),
            "//dd[contains(., 'live-builder-api-0 recovered')]".to_owned(),
            "//td[contains(., 'Bo Haugen was asked to help')]".to_owned(),
            format!("//td[contains(., '{SHIFT}')]"),
            "//td[contains(., 'bo accepted the handoff of Builder on call')]".to_owned(),
            "//td[contains(., 'denied: restart live-builder-worker-0')]".to_owned(),
            "//td[contains(., 'the Supervisor hung')]".to_owned(),
            "//p[contains(., 'audit chain')]".to_owned(),
        ] {
            self.see(&told).await;
        }
        // Opened from a file it is the same: it loads nothing, and its one link is PagerDuty's page.
        for (what, count) in [
            ("[src]", 0),
            ("script", 0),
            ("link", 0),
            ("iframe", 0),
            ("[href]", 1),
        ] {
            let all = self.client.find_all(Locator::Css(what)).await.unwrap();
            assert_eq!(all.len(), count, "{what}");
        }
    }
}
