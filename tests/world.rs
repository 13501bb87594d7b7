//! The world of the end-to-end scenes: the sandbox, the real app on it, people who type and click, and what must hold at the end
//! of every scene. The scene is a closure handed to [`World::run`], so that its end always comes.

mod log;
pub mod nudge;
pub mod people;
pub mod program;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    panic::{AssertUnwindSafe, resume_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use habops::{
    app,
    catalogue::{Catalogue, manifest},
    config,
    domain::{
        audit::{Event, Record, Verified},
        ids::{OperationId, Owner},
        operation::{Operation, State},
        records::Records as _,
    },
    sandbox::{
        Sandbox,
        datastore::Datastore,
        slack::{Message, Seed, Slack},
    },
    store::{Clock, Store},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{log::Log, people::Person};

/// How long anything that must come may take, on a machine busy with other tests.
pub const SOON: Duration = Duration::from_mins(1);
/// How long the program may take to be ready, or to stop: commands that hang may hold it up for 20 s.
const TURN: Duration = Duration::from_mins(1);
/// Between two looks at what tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How much of the wire's journal is printed with a failed scene.
const JOURNAL_TAIL: usize = 60;

/// What a world is like before its scene begins.
#[derive(Default)]
pub struct Setup {
    appended: String,
    replaced: Vec<(String, String)>,
    commands: Vec<(String, String)>,
    errors: Vec<String>,
    datastore: Option<Datastore>,
    no_app: bool,
}

impl Setup {
    /// Further sections of `habops.toml`.
    pub fn config(mut self, toml: &str) -> Self {
        let _ = writeln!(self.appended, "\n{toml}");
        self
    }

    /// A line of `habops.toml` otherwise than the sandbox writes it.
    pub fn instead(mut self, from: &str, to: &str) -> Self {
        self.replaced.push((from.to_owned(), to.to_owned()));
        self
    }

    /// A command of an overlay.
    pub fn command(mut self, name: &str, toml: &str) -> Self {
        self.commands.push((name.to_owned(), toml.to_owned()));
        self
    }

    /// On that PostgreSQL.
    pub fn datastore(mut self, datastore: &Datastore) -> Self {
        self.datastore = Some(datastore.clone());
        self
    }

    /// An error that is expected in the log.
    pub fn logs(mut self, words: &str) -> Self {
        self.errors.push(words.to_owned());
        self
    }

    /// Only the sandbox; the scene runs the program by itself.
    pub fn without_the_app(mut self) -> Self {
        self.no_app = true;
        self
    }

    /// Plays the scene, and then looks whether everything came to its end.
    pub fn run(self, scene: impl AsyncFnOnce(&World)) {
        let log = Log::default();
        let threads = log.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || threads.listen_for_ever())
            .enable_all()
            .build()
            .unwrap();
        let _listening = log.listen();
        runtime.block_on(self.play(log, scene));
        runtime.shutdown_timeout(TURN);
    }

    async fn play(self, log: Log, scene: impl AsyncFnOnce(&World)) {
        let (errors, no_app) = (self.errors.clone(), self.no_app);
        let world = World::new(self, log).await;
        if !no_app {
            world.start().await;
        }
        let played = async {
            scene(&world).await;
            world.comes_to_rest().await;
            world.is_consistent().await;
        };
        let played = AssertUnwindSafe(played).catch_unwind().await;
        let stopped = AssertUnwindSafe(world.stop()).catch_unwind().await;
        let logged = AssertUnwindSafe(async { world.logged_nothing_else(&errors) });
        let logged = logged.catch_unwind().await;
        world.sandbox_stop.cancel();
        let gone = timeout(TURN, world.sandbox.nodes.ended()).await;
        let failed = [played, stopped, logged].into_iter().find_map(Result::err);
        if let Some(why) = failed {
            world.tells();
            resume_unwind(why);
        }
        assert!(gone.is_ok(), "a command still runs on a node");
    }
}

/// Slack as it is for a bot that was given what its manifest asks for, and no more.
fn as_the_manifest_asks() -> Seed {
    let manifest = manifest::manifest(&Catalogue::embedded().unwrap().commands);
    let words = |pointer| -> Vec<String> {
        let list = manifest.pointer(pointer).and_then(Value::as_array).unwrap();
        let words = list.iter().map(|word| word.as_str().unwrap().to_owned());
        words.collect()
    };
    let mut seed = Seed::default();
    seed.bot.scopes = words("/oauth_config/scopes/bot");
    seed.bot.events = words("/settings/event_subscriptions/bot_events");
    seed
}

/// The sandbox, the app and their store.
pub struct World {
    /// The stand-ins.
    pub sandbox: Sandbox,
    /// habops' memory, read by another process as it were.
    pub store: Store,
    log: Log,
    dir: TempDir,
    sandbox_stop: CancellationToken,
    app: Mutex<Option<App>>,
}

struct App {
    admin: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl World {
    /// Plays a scene in the world as the sandbox makes it.
    pub fn run(scene: impl AsyncFnOnce(&World)) {
        Setup::default().run(scene);
    }

    async fn new(setup: Setup, log: Log) -> Self {
        let dir = tempfile::Builder::new().prefix("world").tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sandbox_stop = CancellationToken::new();
        let sandbox = Sandbox::start(
            listener,
            dir.path(),
            Path::new(env!("CARGO_BIN_EXE_habops")),
            as_the_manifest_asks(),
            Value::Null,
            setup.datastore.clone(),
            sandbox_stop.clone(),
        )
        .await
        .unwrap();
        configure(&sandbox.config, &setup);
        let config = config::load(&sandbox.config).unwrap();
        let clock: Clock = Arc::new(Timestamp::now);
        let store = Store::open(&config.store, &config.base, clock, Owner::new("scene")).unwrap();
        Self {
            sandbox,
            store,
            log,
            dir,
            sandbox_stop,
            app: Mutex::new(None),
        }
    }

    /// Starts the bot and waits until it takes commands.
    pub async fn start(&self) {
        let config = config::load(&self.sandbox.config).unwrap();
        let listeners = app::Listeners::bind(&config).await.unwrap();
        let admin = listeners.admin.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (tell, ready) = oneshot::channel();
        let running = app::start(config, listeners, stop.clone(), move || {
            let _ = tell.send(());
        });
        let task = tokio::spawn(running);
        *self.app.lock().unwrap() = Some(App { admin, stop, task });
        let ready = timeout(TURN, ready).await;
        assert!(
            matches!(ready, Ok(Ok(()))),
            "the bot is not ready within {TURN:?}"
        );
    }

    /// Stops the bot as SIGTERM does, if it runs.
    pub async fn stop(&self) {
        let app = self
            .app
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(App { stop, task, .. }) = app else {
            return;
        };
        stop.cancel();
        let ended = timeout(TURN, task).await.expect("the bot does not stop");
        ended.expect("the bot panicked").expect("the bot failed");
    }

    /// What the bot tells Prometheus.
    pub async fn metrics(&self) -> String {
        self.asks_admin("/metrics").await.1
    }

    /// What the bot's own door answers there: the status and the body.
    pub async fn asks_admin(&self, path: &str) -> (u16, String) {
        let admin = self.app.lock().unwrap().as_ref().map(|app| app.admin);
        let url = format!("http://{}{path}", admin.expect("the bot runs"));
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The stand-in for Slack.
    pub fn slack(&self) -> &Slack {
        &self.sandbox.slack
    }

    /// Where everything is kept.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration that points at the sandbox.
    pub fn config(&self) -> PathBuf {
        self.sandbox.config.clone()
    }

    /// What was logged so far.
    pub fn logged(&self) -> String {
        self.log.text()
    }

    /// Somebody, in #operations until they go elsewhere.
    pub fn person(&self, name: &str) -> Person<'_> {
        Person::new(self, name)
    }

    /// Breaks something, by the name it has on the page.
    pub fn breaks(&self, fault: &str) {
        assert!(self.slack().set_fault(fault, true), "no fault {fault}");
    }

    /// Mends it again.
    pub fn mends(&self, fault: &str) {
        assert!(self.slack().set_fault(fault, false), "no fault {fault}");
    }

    /// Puts lines into the journal of a node, as its Supervisor's of a minute ago.
    pub fn says(&self, node: &str, lines: &[String]) {
        let file = self.sandbox.nodes.folder(node).join("node.json");
        let mut state: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let now = Timestamp::now().as_microsecond() + state["skew"].as_i64().unwrap();
        let events = state["events"].as_array_mut().unwrap();
        for (line, number) in lines.iter().zip(0..) {
            events.push(json!({
                "at": now - 60_000_000 + number * 1_000,
                "identifier": "hab",
                "pid": 40751,
                "unit": "hab-sup.service",
                "message": line,
            }));
        }
        let fresh = file.with_extension("fresh");
        fs::write(&fresh, state.to_string()).unwrap();
        fs::rename(fresh, file).unwrap();
    }

    /// Looks after every change in Slack until `look` finds something.
    pub async fn until<T>(&self, what: &str, look: impl FnMut(&Slack) -> Option<T>) -> T {
        let found = self.slack().wait(SOON, look).await;
        found.unwrap_or_else(|| panic!("waited {SOON:?} for {what}"))
    }

    /// Waits for a message of a channel that holds these words.
    pub async fn sees(&self, channel: &str, wanted: &str) -> Message {
        self.until(&format!("`{wanted}` in #{channel}"), |slack| {
            let mut messages = slack.messages(channel).into_iter();
            messages.find(|message| words(message).contains(wanted))
        })
        .await
    }

    /// Waits for an operation's message in a channel to show that state.
    pub async fn shows(&self, operation: &str, state: &str) -> Message {
        self.until(&format!("{operation} to be {state}"), |slack| {
            everywhere(slack).find(|message| {
                of_metadata(message, "key") == operation && of_metadata(message, "state") == state
            })
        })
        .await
    }

    /// Waits until an operation has ended, whatever it showed, and says how.
    pub async fn ended(&self, operation: &str) -> Operation {
        let id: OperationId = operation.parse().unwrap();
        let what = format!("{operation} to end");
        self.eventually(&what, async || {
            let found = self.store.operation(id).await.unwrap();
            found.filter(|operation| operation.state.is_end())
        })
        .await
    }

    /// Looks again and again at what tells nobody when it changes.
    pub async fn eventually<T>(&self, what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
        self.within(SOON, what, look).await
    }

    /// The same for what may take longer.
    pub async fn within<T>(
        &self,
        patience: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let looking = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        timeout(patience, looking)
            .await
            .unwrap_or_else(|_| panic!("waited {patience:?} for {what}"))
    }

    /// Every operation so far, oldest first.
    pub async fn operations(&self) -> Vec<Operation> {
        let mut all = self.store.operations(None, 10_000).await.unwrap();
        all.reverse();
        all
    }

    /// The whole audit.
    pub async fn audit(&self) -> Vec<Record> {
        self.store.audit_records(1, 1_000_000).await.unwrap()
    }

    /// Waits until nothing is under way and everything wished for is to be seen.
    pub async fn comes_to_rest(&self) {
        self.comes_to_rest_within(SOON).await;
    }

    /// The same where there is much to say.
    pub async fn comes_to_rest_within(&self, patience: Duration) {
        let what = "everything to end and to be posted";
        self.within(patience, what, async || {
            let under_way = self.operations().await.into_iter().any(|operation| {
                matches!(
                    operation.state,
                    State::Received | State::Approved | State::Running
                )
            });
            let waiting = self.store.waiting().await.unwrap();
            (!under_way && waiting == 0).then_some(())
        })
        .await;
    }

    /// What holds at the end of every scene.
    async fn is_consistent(&self) {
        let verified = self.store.verify(None).await.unwrap();
        assert!(matches!(verified, Verified::Whole { .. }), "{verified:?}");
        let (mut begun, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for record in self.audit().await {
            match serde_json::from_str(&record.event).unwrap() {
                Event::Started { .. } => begun.insert(record.operation),
                Event::Finished { .. } | Event::Interrupted { .. } => {
                    ended.insert(record.operation)
                }
                Event::Refused { .. } => ended.insert(record.operation),
                _ => continue,
            };
        }
        let open: Vec<_> = begun.difference(&ended).collect();
        assert!(open.is_empty(), "begun and never ended: {open:?}");
        self.nothing_was_posted_twice();
        self.every_end_is_seen().await;
    }

    fn nothing_was_posted_twice(&self) {
        let mut posted = BTreeMap::<String, Vec<String>>::new();
        for (channel, _) in self.slack().channels() {
            for post in self.slack().posts(&channel) {
                let metadata = post.metadata.unwrap_or_default();
                if let Some(key) = metadata["event_payload"]["key"].as_str() {
                    posted.entry(key.to_owned()).or_default().push(post.text);
                }
            }
        }
        posted.retain(|_, posts| posts.len() > 1);
        assert!(posted.is_empty(), "posted more than once: {posted:#?}");
    }

    /// Law 3: what ran in sight of all shows its end in one message, and none says that it still runs. A press that nobody waited
    /// for may be judged only now.
    async fn every_end_is_seen(&self) {
        self.eventually(
            "every message to show how its operation stands",
            async || {
                let mut shown = BTreeMap::<String, String>::new();
                for message in everywhere(self.slack()) {
                    let key = of_metadata(&message, "key");
                    if key.starts_with("op-") && !key.contains(':') {
                        shown.insert(key, of_metadata(&message, "state"));
                    }
                }
                let operations = self.operations().await;
                let all = operations.iter().all(|operation| {
                    let state = shown.get(&operation.id.to_string());
                    state.is_none_or(|state| state == operation.state.word())
                });
                all.then_some(())
            },
        )
        .await;
    }

    fn logged_nothing_else(&self, expected: &[String]) {
        let text = self.log.text();
        let unexpected: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(" ERROR ") || line.contains("panicked"))
            .filter(|line| !expected.iter().any(|known| line.contains(known)))
            .collect();
        assert!(unexpected.is_empty(), "logged: {unexpected:#?}");
    }

    /// What helps to see why a scene failed.
    fn tells(&self) {
        let journal = self.slack().journal();
        eprintln!("--- the wire, newest last");
        for entry in &journal[journal.len().saturating_sub(JOURNAL_TAIL)..] {
            let detail: String = entry.detail.to_string().chars().take(300).collect();
            eprintln!("{:9.3} {} {} {detail}", entry.at, entry.kind, entry.name);
        }
        eprintln!("--- the channels");
        for message in everywhere(self.slack()) {
            let told: String = words(&message).chars().take(300).collect();
            let (key, state) = (of_metadata(&message, "key"), of_metadata(&message, "state"));
            eprintln!(
                "{} {} {:?} [{key} {state}] {told}",
                message.channel, message.ts, message.thread_ts
            );
        }
        eprintln!("--- what only one sees");
        for name in ["ana", "bo", "cyd", "dee", "gus", "sol"] {
            for message in self.slack().ephemerals(name) {
                let told: String = words(&message).chars().take(300).collect();
                eprintln!("{name} {} {told}", message.channel);
            }
        }
        eprintln!("--- the log\n{}", self.log.text());
    }
}

fn configure(file: &Path, setup: &Setup) {
    let mut toml = fs::read_to_string(file).unwrap();
    for (from, to) in &setup.replaced {
        assert!(toml.contains(from), "habops.toml has no `{from}`");
        toml = toml.replace(from, to);
    }
    // Unoptimised, and beside other tests, eighteen key exchanges at once take longer than 5 s.
    toml = toml.replace("connect_timeout = \"5s\"", "connect_timeout = \"30s\"");
    toml.push_str(&setup.appended);
    if !setup.commands.is_empty() {
        let dir = file.with_file_name("commands.d");
        overlay(&dir, &setup.commands);
        toml.push_str("\n[catalogue]\ndir = \"commands.d\"\n");
    }
    fs::write(file, toml).unwrap();
}

/// Writes commands as an overlay must be: writable by its owner alone.
pub fn overlay(dir: &Path, commands: &[(String, String)]) {
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir_all(dir).unwrap();
    mode(dir, 0o755);
    for (name, toml) in commands {
        let file = dir.join(format!("{name}.toml"));
        fs::write(&file, toml).unwrap();
        mode(&file, 0o644);
    }
}

/// Every message of every channel.
pub fn everywhere(slack: &Slack) -> impl Iterator<Item = Message> {
    let channels = slack.channels().into_iter();
    let messages: Vec<Message> = channels.flat_map(|(id, _)| slack.messages(&id)).collect();
    messages.into_iter()
}

/// A word of a message's metadata; empty where it has none.
pub fn of_metadata(message: &Message, name: &str) -> String {
    let payload = message
        .metadata
        .as_ref()
        .map(|it| &it["event_payload"][name]);
    payload
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Everything that a message says, as a person reads it: its text, its blocks, its links.
pub fn words(message: &Message) -> String {
    let mut said = vec![message.text.clone()];
    if let Some(blocks) = &message.blocks {
        gather(blocks, &mut said);
    }
    said.join("\n")
}

/// The same of a payload, such as an acknowledgement's.
pub fn words_of(payload: &Value) -> String {
    let mut said = Vec::new();
    gather(payload, &mut said);
    said.join("\n")
}

/// One element of a line, with the marks of code as they were typed.
fn in_a_line(element: &Value) -> String {
    let text = element["text"].as_str().unwrap_or_default();
    if element["style"]["code"] == true {
        return format!("`{text}`");
    }
    let mut said = vec![text.to_owned()];
    if let Some(url) = element["url"].as_str() {
        said.push(format!(" {url}"));
    }
    if let Some(user) = element["user_id"].as_str() {
        said.push(format!("<@{user}>"));
    }
    said.concat()
}

fn gather(value: &Value, said: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, said)),
        Value::Object(fields)
            if fields
                .get("type")
                .is_some_and(|it| it == "rich_text_section") =>
        {
            let elements = value["elements"].as_array().into_iter().flatten();
            said.push(elements.map(in_a_line).collect());
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "text" || name == "url" => {
                        said.push(text.clone());
                    }
                    other => gather(other, said),
                }
            }
        }
        _ => {}
    }
}
