//! Ten days of two rotations in a second: overrides made ahead, at once, cut short and taken back, two bots on one store, three
//! restarts and a night asleep. Every real change is told exactly once, and none is invented.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use habops::{
    app::{self, Core},
    clients::pagerduty::Client,
    config,
    domain::{
        actor::Actor,
        audit::Event,
        inbound::{Ack, Delivery, Inbound, Typed, Via},
        message::Posted,
        place::Whence,
        records::{Inbox, Outbox as _},
    },
    sandbox::pagerduty::PagerDuty,
    store::Clock,
    watch::oncall::OnCall,
};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SCHEDULES: [&str; 2] = ["PI7DH85", "PSECOND"];
/// Between two looks.
const STEP: SignedDuration = SignedDuration::from_mins(30);
/// Ten days of them.
const STEPS: i64 = 10 * 48;

fn configure(dir: &Path, url: &str) -> config::Config {
    for (name, text) in [
        ("bot", "xoxb-1"),
        ("app", "xapp-1"),
        ("pagerduty", "y_NbAkKc66ryYTWUXYEu"),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
    let toml = format!(
        r#"
[slack]
app_token = {{ file = "app" }}
bot_token = {{ file = "bot" }}
channel = "C0OPERATIONS"
[ssh]
agent = true
agent_socket = "none"
[pagerduty]
url = "{url}"
token = {{ file = "pagerduty" }}
schedules = ["PI7DH85", "PSECOND"]
"#
    );
    let file = dir.join("habops.toml");
    fs::write(&file, toml).unwrap();
    config::load(&file).unwrap()
}

/// One process: it can be ended and started again on the same store.
struct Bot {
    core: Core,
    watch: OnCall,
}

impl Bot {
    fn start(config: &config::Config, clock: &Clock) -> Self {
        let stop = CancellationToken::new();
        let core = app::core_at(config, None, &stop, Arc::clone(clock)).unwrap();
        let inbox: Arc<dyn Inbox> = Arc::new(core.pipeline.clone());
        let watch = OnCall {
            store: core.store.clone(),
            client: Client::new(config.pagerduty.as_ref().unwrap()).unwrap(),
            inbox,
            schedules: SCHEDULES.map(str::to_owned).to_vec(),
            poll: Duration::from_mins(1),
            accept_within: Duration::from_mins(15),
            remind: Duration::from_hours(24),
        };
        Self { core, watch }
    }

    async fn looks(&self) {
        self.watch.look().await;
    }

    /// What was told while it looked is written by now.
    async fn settles(&self) {
        self.core.pipeline.settled().await;
    }
}

async fn opens_an_incident(bot: &Bot, now: Timestamp) {
    let typed = Typed {
        in_passing: false,
        text: "incident open \"builds are slow\"".to_owned(),
        actor: Actor::Console {
            login: "tester".to_owned(),
        },
        whence: Whence::Terminal,
        via: Via::Terminal,
        reply: None,
        message: None,
        yes: false,
    };
    let delivery = Delivery {
        key: "terminal:1".to_owned(),
        received: now,
        inbound: Inbound::Typed(typed),
    };
    assert!(matches!(
        bot.core.pipeline.accept(delivery).await,
        Ack::Accepted { .. }
    ));
    bot.settles().await;
}

/// What is done in PagerDuty at a step.
fn plays(
    pagerduty: &PagerDuty,
    step: i64,
    now: Timestamp,
    made: &mut BTreeMap<&'static str, String>,
) {
    let hours = |hours: i64| now + SignedDuration::from_hours(hours);
    let mut add = |name, schedule, user, start, end| {
        made.insert(
            name,
            pagerduty.overrides(schedule, user, start, end).unwrap(),
        );
    };
    match step {
        // Ahead of its time, and it happens.
        20 => add("ahead", "PI7DH85", "PCYD003", hours(10), hours(14)),
        // At once.
        60 => add("at once", "PI7DH85", "PBOH002", now, hours(5)),
        // Cut while it runs.
        150 => add("cut", "PI7DH85", "PANA001", now, hours(20)),
        // Taken back before it begins: nobody ever changed.
        200 => add("taken back", "PSECOND", "PANA001", hours(6), hours(12)),
        // While every bot sleeps, begun and over.
        305 => add("unseen", "PI7DH85", "PHAB004", now, hours(3)),
        // Over the end of a shift, and of somebody who is on call anyway.
        340 => add("nothing new", "PSECOND", "PCYD003", now, hours(100)),
        170 => assert!(pagerduty.cuts("PI7DH85", &made["cut"])),
        205 => assert!(pagerduty.cuts("PSECOND", &made["taken back"])),
        _ => {}
    }
}

#[tokio::test]
async fn ten_days_of_two_rotations_are_told_exactly_once() {
    let dir = tempfile::tempdir().unwrap();
    let begin: Timestamp = "2026-11-23T03:00:00Z".parse().unwrap();
    let now = Arc::new(Mutex::new(begin));
    let of = Arc::clone(&now);
    let clock: Clock = Arc::new(move || *of.lock().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let pagerduty = PagerDuty::start(listener, Arc::clone(&clock), stop.clone());
    let _stop = stop.drop_guard();
    let config = configure(dir.path(), &url);

    let mut bots = vec![Bot::start(&config, &clock), Bot::start(&config, &clock)];
    opens_an_incident(&bots[0], begin).await;
    let mut truth: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    let mut on_call: BTreeMap<&str, String> = BTreeMap::new();
    let mut made = BTreeMap::new();
    for step in 0..=STEPS {
        let moment = begin + STEP * i32::try_from(step).unwrap();
        *now.lock().unwrap() = moment;
        plays(&pagerduty, step, moment, &mut made);
        for schedule in SCHEDULES {
            let is = pagerduty.on_call(schedule, moment).unwrap();
            if let Some(was) = on_call.insert(schedule, is.clone())
                && was != is
            {
                truth.entry(schedule).or_default().push((was, is));
            }
        }
        match step {
            100 => bots[0] = Bot::start(&config, &clock),
            // A night without any bot.
            300 => bots.clear(),
            250 | 330 => bots = vec![Bot::start(&config, &clock), Bot::start(&config, &clock)],
            _ => {}
        }
        // Both look at once, and each handles what it saw.
        futures_util::future::join_all(bots.iter().map(Bot::looks)).await;
        futures_util::future::join_all(bots.iter().map(Bot::settles)).await;
    }

    let mut told: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    let mut messages = 0;
    let store = &bots[0].core.store;
    for record in store.audit_records(1, 1_000_000).await.unwrap() {
        if let Event::OnCall {
            schedule, from, to, ..
        } = serde_json::from_str(&record.event).unwrap()
        {
            let schedule = SCHEDULES
                .into_iter()
                .find(|known| *known == schedule)
                .unwrap();
            told.entry(schedule)
                .or_default()
                .push((from.join(","), to.join(",")));
        }
    }
    assert_eq!(told, truth);
    assert!(
        truth["PI7DH85"].len() >= 11 && truth["PSECOND"].len() >= 2,
        "{truth:#?}"
    );

    // What would be posted: for each telling one message where habops lives, and one in the incident.
    let mut keys = BTreeSet::new();
    let (mut packets, mut in_incident) = (0, 0);
    loop {
        let due = store.claim(100).await.unwrap();
        if due.is_empty() {
            break;
        }
        for due in due {
            messages += 1;
            assert!(
                keys.insert(due.key.clone()),
                "{:?} is posted twice",
                due.key
            );
            if due.key.0.starts_with("handoff:") && !due.key.0.contains("unaccepted") {
                if due.about.incident.is_some() {
                    in_incident += 1;
                } else {
                    packets += 1;
                }
            }
            let ts = Some(format!("1764000000.{messages:06}").as_str().into());
            store.settle(&due, Posted::Sent { ts }).await.unwrap();
        }
    }
    let changes: usize = truth.values().map(Vec::len).sum();
    // What happened in the night is one message with the changes in it, on each schedule.
    assert_eq!(packets, in_incident);
    assert!(
        packets <= changes && packets >= changes - 3,
        "{packets} for {changes}"
    );
}
