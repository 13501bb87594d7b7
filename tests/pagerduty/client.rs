//! The client against the stand-in: each refusal a sentence, each shape of a reply read, both kinds of schedules.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use habops::{
    clients::pagerduty::{Client, Config, Error, Kind, Plan, Target},
    domain::paging::PagerDutyStatus,
    sandbox::pagerduty::{Fate, PagerDuty, ReplyShape},
};
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// An account and a client of it.
pub struct Account {
    pub pagerduty: PagerDuty,
    pub client: Client,
    _stop: DropGuard,
}

impl Account {
    pub async fn open() -> Self {
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pagerduty = PagerDuty::start(listener, Arc::new(Timestamp::now), stop.clone());
        Self {
            client: Client::new(&config(url)).unwrap(),
            pagerduty,
            _stop: stop.drop_guard(),
        }
    }

    /// How the schedule of the sandbox stands.
    async fn plan(&self, now: Timestamp) -> Plan {
        let plan = self.client.schedule("PI7DH85", now, now + hours(8));
        plan.await.unwrap()
    }

    /// An override of four hours.
    async fn hands_over(
        &self,
        plan: &Plan,
        from: &str,
        to: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let until = now + hours(4);
        self.client.add_override(plan, from, to, now, until).await
    }
}

pub fn config(url: String) -> Config {
    Config {
        url,
        token: Some("y_NbAkKc66ryYTWUXYEu".into()),
        from: Some("habops@habitat.example".to_owned()),
        schedules: vec!["PI7DH85".to_owned()],
        webhook_secrets: Vec::new(),
        poll: Duration::from_mins(1),
        users: BTreeMap::new(),
        services: BTreeMap::new(),
    }
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

#[rstest]
#[case::unpaid(&[Fate::Gone], "PagerDuty does not know the incident PNONE (404); see whether its id is right and the token may see it")]
#[case::limited(&[Fate::Limited(600)], "PagerDuty takes no more calls now (429); try again in 600 s")]
#[case::broken(&[Fate::Broken, Fate::Broken, Fate::Broken], "PagerDuty is broken (500); see status.pagerduty.com and try again")]
#[case::limited_bare(&[Fate::LimitedBare, Fate::LimitedBare, Fate::LimitedBare], "PagerDuty takes no more calls now (429); try again in a minute")]
#[tokio::test]
async fn a_refusal_is_a_sentence(#[case] fates: &[Fate], #[case] said: &str) {
    let account = Account::open().await;
    account.pagerduty.meets(fates);
    let error = account.client.incident("PNONE").await.unwrap_err();
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn a_read_is_tried_again_when_pagerduty_says_and_a_write_never() {
    let account = Account::open().await;
    let id = account.pagerduty.triggers("P393ZNQ", "slow").unwrap();
    account.pagerduty.meets(&[Fate::Limited(0), Fate::Broken]);
    assert_eq!(account.client.incident(&id).await.unwrap().title, "slow");
    account.pagerduty.meets(&[Fate::Broken]);
    let error = account.client.note(&id, "hello", None).await.unwrap_err();
    assert!(error.is_doubtful(), "{error}");
    let notes = account.pagerduty.calls().into_iter();
    assert_eq!(notes.filter(|call| call.starts_with("POST")).count(), 1);
}

#[tokio::test]
async fn a_slow_pagerduty_is_given_up_and_what_was_sent_is_in_doubt() {
    let account = Account::open().await;
    let id = account.pagerduty.triggers("P393ZNQ", "slow").unwrap();
    account.pagerduty.meets(&[Fate::Slow]);
    let error = account.client.note(&id, "hello", None).await.unwrap_err();
    assert!(error == Error::TimedOut && error.is_doubtful(), "{error:?}");
    assert_eq!(
        error.to_string(),
        "PagerDuty did not answer in time; try again, or use PagerDuty's own page"
    );
    let calls = account.pagerduty.calls();
    assert_eq!(calls.len(), 1, "a write is sent once: {calls:?}");
}

#[tokio::test]
async fn what_a_plan_lacks_and_who_asks_are_told_apart() {
    use habops::sandbox::fault::Fault as _;
    let account = Account::open().await;
    let id = account.pagerduty.triggers("P393ZNQ", "slow").unwrap();
    let bo = [Target::User("PBOH002".to_owned())];
    let ask = async |requester: &str| {
        let asked = account
            .client
            .ask_responders(&id, requester, "help", &bo, None);
        asked.await.map_err(|error| error.to_string())
    };
    assert_eq!(ask("PANA001").await.unwrap(), ["Bo Haugen"]);
    assert!(ask("").await.unwrap_err().contains("set pagerduty.from"));
    assert!(
        ask("PNOBODY")
            .await
            .unwrap_err()
            .contains("[pagerduty.users]")
    );
    account.pagerduty.set("pagerduty-402", true);
    assert!(
        ask("PANA001")
            .await
            .unwrap_err()
            .contains("plan lacks this (402")
    );
}

#[rstest]
#[tokio::test]
async fn an_override_is_read_in_each_shape_and_counts(
    #[values(ReplyShape::Items, ReplyShape::Wrapped, ReplyShape::Single)] shape: ReplyShape,
) {
    let account = Account::open().await;
    account.pagerduty.replies_with(shape);
    let now = Timestamp::now();
    let plan = account.plan(now).await;
    assert_eq!(plan.kind, Kind::Layers);
    let made = account.hands_over(&plan, "PANA001", "PBOH002", now).await;
    made.unwrap();
    let at = now + hours(1);
    assert_eq!(
        account.pagerduty.on_call("PI7DH85", at).as_deref(),
        Some("PBOH002")
    );
    let rosters = account
        .client
        .rosters(&["PI7DH85".to_owned()], at, at + hours(1))
        .await
        .unwrap();
    assert_eq!(rosters[0].at(at)[0].responder.name, "Bo Haugen");
}

#[tokio::test]
async fn a_201_that_hides_a_400_is_a_refusal() {
    let account = Account::open().await;
    let now = Timestamp::now();
    let plan = account.plan(now).await;
    account.pagerduty.meets(&[Fate::Hidden]);
    let made = account.hands_over(&plan, "PANA001", "PBOH002", now).await;
    let error = made.unwrap_err();
    assert!(!error.is_doubtful() && matches!(error, Error::Refused { status: 400, .. }));
    assert!(
        error
            .to_string()
            .contains("Override must end after its start"),
        "{error}"
    );
    assert_eq!(account.pagerduty.override_count("PI7DH85"), 0);
}

#[tokio::test]
async fn a_shift_based_schedule_is_read_and_overridden_over_v3() {
    let account = Account::open().await;
    let now = Timestamp::now();
    let plan = account
        .client
        .schedule("PSECOND", now, now + hours(48))
        .await
        .unwrap();
    assert!(matches!(plan.kind, Kind::Shifts(_)));
    let (current, next) = (plan.roster.at(now), plan.roster.next(now));
    assert_eq!(current[0].responder.name, "Bo Haugen");
    assert_eq!(next[0].responder.name, "Cyd Okafor");
    assert_eq!(current[0].end, next[0].start);
    // Of two rotations one is meant, and the override outlives the present shift by six hours.
    let (end, bo) = (current[0].end.unwrap() + hours(6), "PBOH002");
    let made = account
        .client
        .add_override(&plan, bo, "PANA001", now, end)
        .await;
    made.unwrap();
    assert_eq!(account.pagerduty.override_count("PSECOND"), 2);
    let on_call = |at| account.pagerduty.on_call("PSECOND", at);
    for moment in [now + hours(1), end - hours(1)] {
        assert_eq!(on_call(moment).as_deref(), Some("PANA001"), "{moment}");
    }
    assert_eq!(on_call(end + hours(1)).as_deref(), Some("PCYD003"));
    let nobody = account
        .client
        .add_override(&plan, "PCYD003", "PANA001", now, end)
        .await;
    let said = nobody.unwrap_err().to_string();
    assert!(
        said.contains("make the override on PagerDuty's own page"),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_acknowledged_or_resolved_already_is_no_error() {
    let account = Account::open().await;
    let id = account.pagerduty.triggers("P393ZNQ", "slow").unwrap();
    for status in [
        PagerDutyStatus::Acknowledged,
        PagerDutyStatus::Acknowledged,
        PagerDutyStatus::Resolved,
        PagerDutyStatus::Resolved,
    ] {
        account.client.set_status(&id, status, None).await.unwrap();
    }
    assert_eq!(
        account.client.incident(&id).await.unwrap().status,
        PagerDutyStatus::Resolved
    );
}

#[tokio::test]
async fn a_pagerduty_that_is_not_there_is_a_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&config(url.clone())).unwrap();
    let error = client.note("PT4KHLK", "hello", None).await.unwrap_err();
    assert!(error.is_passing() && !error.is_doubtful(), "{error:?}");
    let said = error.to_string();
    assert!(
        said.starts_with("PagerDuty cannot be reached") && !said.contains(&url),
        "{said}"
    );
}
