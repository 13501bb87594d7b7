//! The datastore on a real PostgreSQL: 128 shards in two of its databases, everything that can break broken.
//!
//! One cluster a run is only read, by as many tests at once as like; another one is broken, by one test at a time.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, OnceLock, mpsc},
};

use habops::{
    catalogue::Catalogue,
    clients::{
        datastore::{Client, Config, Error},
        fleet, ssh,
    },
    domain::{
        command::Source,
        operation::{Operation, State},
        output::Part,
        shard::DATABASES,
    },
    sandbox::datastore::{Datastore, OWNER, PLANTED, READER},
};
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;
use tokio_util::sync::CancellationToken;

use super::{
    farm::Farm,
    world::{Setup, World, everywhere, program::habops, words},
};

/// Ends every connection of habops.
const CUT: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'habops'";

/// A cluster that lives as long as the tests; its keeper ends it after them.
fn cluster() -> Datastore {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap().keep();
            let started = Datastore::start(&dir, CancellationToken::new()).await;
            tell.send(started).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let started = told.recv().unwrap().unwrap();
    started.expect("PostgreSQL is not installed: apt-get install -y postgresql")
}

/// The one that is only read.
pub fn shared() -> &'static Datastore {
    static SHARED: OnceLock<Datastore> = OnceLock::new();
    SHARED.get_or_init(cluster)
}

/// The one that may be broken, and is whole again when it is given back; a new one after a test that failed with it.
pub fn breakable() -> MutexGuard<'static, Datastore> {
    static BREAKABLE: OnceLock<Mutex<Datastore>> = OnceLock::new();
    let shared = BREAKABLE.get_or_init(|| Mutex::new(cluster()));
    shared.lock().unwrap_or_else(|left_broken| {
        let mut anew = left_broken.into_inner();
        *anew = cluster();
        shared.clear_poison();
        anew
    })
}

pub fn config(datastore: &Datastore, more: &str) -> Config {
    let port = datastore.port();
    let mut config: Config = toml::from_str(&format!(
        "url = \"postgres://{READER}@127.0.0.1:{port}\"\n{more}"
    ))
    .unwrap();
    config.password = Some(datastore.reader_password().into());
    config
}

pub fn client(config: &Config) -> Client {
    let ssh = ssh::Config {
        agent: true,
        agent_socket: Some("never-asked".into()),
        ..ssh::Config::default()
    };
    let ssh = ssh::Client::new(&ssh).unwrap();
    let fleet = fleet::Client::new(&fleet::Config::default()).unwrap();
    Client::new(config, &ssh, &fleet).unwrap()
}

/// A world on that datastore.
fn on(datastore: &Datastore) -> Setup {
    Setup::default().datastore(datastore)
}

async fn run(datastore: &Datastore, sql: &str) {
    let client = datastore.connect("builder_originsrv").await.unwrap();
    client.batch_execute(sql).await.unwrap();
}

/// Everything an operation's output says.
fn said(operation: &Operation) -> String {
    let Some(output) = &operation.output else {
        return String::new();
    };
    let mut output = output.clone();
    let mut said = Vec::new();
    output.each_text(&mut |text| said.push(text.clone()));
    said.join("\n")
}

fn table(operation: &Operation) -> Vec<Vec<String>> {
    let output = operation.output.as_ref().unwrap();
    let table = output.parts.iter().rev().find_map(|part| match part {
        Part::Table { rows, .. } => Some(rows.clone()),
        _ => None,
    });
    table.unwrap_or_default()
}

/// Types a command and gives its end.
async fn asks(world: &World, line: &str) -> Operation {
    let typed = world.person("ana").types(&format!("/habops {line}")).await;
    assert!(!typed.operation.is_empty(), "{line}: {}", typed.ack);
    world.ended(&typed.operation).await
}

/// Every column with secrets (`facts/habitat.md` 2.1), and one that can carry some.
const SECRETS: [(&str, &str, &str); 7] = [
    ("builder_sessionsrv", "account_tokens", "token"),
    ("builder_originsrv", "origin_secret_keys", "body"),
    (
        "builder_originsrv",
        "origin_private_encryption_keys",
        "body",
    ),
    ("builder_originsrv", "origin_integrations", "body"),
    ("builder_originsrv", "origin_project_integrations", "body"),
    ("builder_originsrv", "origin_projects", "vcs_auth_token"),
    ("builder_jobsrv", "jobs", "vcs_arguments"),
];

/// Whether some shard has the planted secret in that column.
async fn is_planted(database: &str, table: &str, column: &str) -> bool {
    let owner = shared().connect(database).await.unwrap();
    let shards = if database == "builder_jobsrv" { 1 } else { 128 };
    for shard in 0..shards {
        // A bytea's letters are themselves in the notation `escape`.
        let found = format!(
            "SET bytea_output = escape; SELECT FROM shard_{shard}.{table} WHERE {column}::text LIKE '%{PLANTED}%'"
        );
        let answer = owner.simple_query(&found).await.unwrap();
        if answer
            .iter()
            .any(|one| matches!(one, SimpleQueryMessage::Row(_)))
        {
            return true;
        }
    }
    false
}

#[test]
fn every_query_answers_and_no_secret_is_in_anything_posted_stored_or_logged() {
    // As the owner, whom nothing in the database keeps from reading secrets: what keeps them is the catalogue alone.
    let as_owner = (format!("//{READER}@"), format!("//{OWNER}@"));
    let setup = on(shared()).instead(&as_owner.0, &as_owner.1);
    setup.run(async |world| {
        for (database, table, column) in SECRETS {
            assert!(
                is_planted(database, table, column).await,
                "{table}.{column}"
            );
        }
        for spec in Catalogue::embedded().unwrap().commands.iter() {
            if !matches!(spec.source, Source::Query(_)) {
                continue;
            }
            let mut lines: Vec<String> = spec
                .examples
                .iter()
                .map(|example| format!("{} {example}", spec.name))
                .collect();
            if spec
                .args
                .iter()
                .all(|arg| arg.optional || arg.default.is_some())
            {
                lines.push(spec.name.to_string());
            }
            for line in lines {
                let ended = asks(world, &line).await;
                assert_eq!(ended.state, State::Done, "{line}: {}", said(&ended));
                let failed = spec.name.as_str() == "query jobs" && line.ends_with("Failed");
                let empty = table(&ended).is_empty();
                assert!(
                    !empty || failed || line.contains("20171014212634"),
                    "{line} finds nothing"
                );
            }
        }
        for line in ["shard core", "shard core/redis", "shard reset"] {
            let ended = asks(world, line).await;
            assert_eq!(ended.state, State::Done, "{line}: {}", said(&ended));
        }
        world.comes_to_rest().await;
        let (mut posted, mut attached) = (String::new(), String::new());
        for message in everywhere(world.slack()) {
            posted.push_str(&words(&message));
            let ids = message.files.iter().filter_map(|file| file["id"].as_str());
            for file in ids.filter_map(|id| world.slack().file(id)) {
                attached.push_str(&String::from_utf8_lossy(&file));
            }
        }
        assert!(posted.contains("shard_30"), "{posted}");
        assert!(attached.contains("shard_30"), "{attached}");
        let kept = fs::read(world.dir().join("habops.db")).unwrap();
        let beside = fs::read(world.dir().join("habops.db-wal")).unwrap_or_default();
        let kept = String::from_utf8_lossy(&[kept, beside].concat()).into_owned();
        assert!(kept.contains("shard_30"));
        for (place, text) in [
            ("posted", posted),
            ("attached", attached),
            ("kept", kept),
            ("logged", world.logged()),
        ] {
            assert!(!text.contains(PLANTED), "{place}");
        }
    });
}

#[test]
fn what_the_shards_say_is_in_one_table_with_the_shard_first() {
    on(shared()).run(async |world| {
        let ended = asks(world, "query origins").await;
        let rows = table(&ended);
        let core = rows.iter().find(|row| row[1] == "core").unwrap();
        assert_eq!((core[0].as_str(), core[3].as_str()), ("shard_30", "fnichol"));
        let title = &ended.output.as_ref().unwrap().title;
        assert_eq!(*title, format!("query origins: {} rows from 128 shards", rows.len()));
        let file = ended.output.as_ref().unwrap().files().pop().unwrap();
        assert_eq!(file.1.lines().count(), rows.len() + 1, "{}", file.0);

        let ended = asks(world, "query members core").await;
        assert!(said(&ended).contains("query members: 7 rows in shard_30 of builder_originsrv"), "{}", said(&ended));
        let ended = asks(world, "query origin nobody-has-it").await;
        assert!(said(&ended).contains("no row") && said(&ended).contains("shard nobody-has-it"), "{}", said(&ended));
        let by_hand = asks(world, "query origin core --by-hand").await;
        let line = format!("psql -h 127.0.0.1 -p {} -U {READER} -d builder_originsrv -c 'SET SEARCH_PATH TO shard_30'", shared().port());
        assert!(said(&by_hand).contains(&line), "{}", said(&by_hand));
        // A person pastes it and gets the row.
        let lines = said(&by_hand);
        let pasted = lines.lines().find(|line| line.contains("SEARCH_PATH")).unwrap();
        let psql = Command::new("sh").args(["-c", pasted]).env("PGPASSWORD", shared().reader_password()).output().unwrap();
        let printed = String::from_utf8_lossy(&psql.stdout).into_owned();
        assert!(printed.contains("core") && printed.contains("fnichol"), "{psql:?}");
    });
}

#[test]
fn a_shard_is_computed_and_the_row_looked_for_there_and_elsewhere() {
    on(shared()).run(async |world| {
        let core = asks(world, "shard core").await;
        assert!(
            said(&core).starts_with("core is in shard_30; found: origin"),
            "{}",
            said(&core)
        );
        let id = table(&core)[0][4].clone();
        let by_id = asks(world, &format!("shard {id}")).await;
        assert!(
            said(&by_id).contains("as an id") && said(&by_id).contains("found: origin"),
            "{}",
            said(&by_id)
        );
        let lost = asks(world, "shard wanderer").await;
        assert!(
            said(&lost).contains("the row is not there but in shard_"),
            "{}",
            said(&lost)
        );
        let none = asks(world, "shard nobody-has-it").await;
        assert!(
            said(&none).contains("there is no such row in any shard"),
            "{}",
            said(&none)
        );
        let package = asks(world, "shard core/redis").await;
        assert!(
            said(&package).contains("found: project, newest package"),
            "{}",
            said(&package)
        );
        let bogus = asks(world, "shard 274700").await;
        assert!(
            said(&bogus).contains("no shard is over 127"),
            "{}",
            said(&bogus)
        );
    });
}

#[test]
fn without_a_datastore_queries_say_what_is_missing_and_shards_are_computed() {
    World::run(async |world| {
        let ana = world.person("ana");
        let core = asks(world, "shard core").await;
        assert!(
            said(&core).starts_with("core is in shard_30\n")
                && said(&core).contains("No [datastore] is configured"),
            "{}",
            said(&core)
        );
        ana.types("/habops query origins").await;
        ana.hears("there is none in the configuration").await;
    });
}

#[test]
fn a_locked_and_a_missing_shard_cost_two_rows() {
    let datastore = breakable();
    on(&datastore).run(async |world| {
        let owner = datastore.connect("builder_originsrv").await.unwrap();
        owner
            .batch_execute("ALTER SCHEMA shard_97 RENAME TO hidden")
            .await
            .unwrap();
        owner
            .batch_execute("BEGIN; LOCK TABLE shard_41.origins IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        let partly = asks(world, "query origins").await;
        assert_eq!(partly.state, State::Partly, "{}", said(&partly));
        let told = said(&partly);
        assert!(
            told.contains("from 126 of 128 shards; 2 did not answer"),
            "{told}"
        );
        assert!(
            told.contains("shard_41\nis locked: somebody else has held a lock on it"),
            "{told}"
        );
        assert!(
            told.contains("shard_97\nis missing: relation \"shard_97.origins\" does not exist"),
            "{told}"
        );
        let answered: std::collections::BTreeSet<String> = table(&partly)
            .into_iter()
            .map(|row| row[0].clone())
            .collect();
        assert!(
            answered.contains("shard_30") && !answered.contains("shard_41"),
            "{answered:?}"
        );

        owner
            .batch_execute("ROLLBACK; ALTER SCHEMA hidden RENAME TO shard_97")
            .await
            .unwrap();
        let whole = asks(world, "query counts").await;
        assert_eq!(whole.state, State::Done, "{}", said(&whole));
        assert_eq!(table(&whole).len(), 128);
    });
}

#[test]
fn a_slow_shard_costs_its_own_row_and_rows_beyond_what_is_taken_are_said_to_be_there() {
    let datastore = breakable();
    on(&datastore).run(async |world| {
        let owner = datastore.connect("builder_originsrv").await.unwrap();
        let many = "INSERT INTO shard_12.origins (name, owner_id) SELECT 'many-' || n, 1 FROM generate_series(1, 501) n;
            INSERT INTO shard_30.origin_members (origin_id, origin_name, account_id, account_name)
            SELECT o.id, o.name, n, 'many-' || n FROM shard_30.origins o, generate_series(1, 1001) n WHERE o.name = 'core'";
        owner.batch_execute(many).await.unwrap();
        let members = asks(world, "query members core").await;
        assert!(said(&members).contains("query members: 1000 rows in shard_30"), "{}", said(&members));
        assert!(said(&members).contains("There are more; these are the first."), "{}", said(&members));
        let origins = asks(world, "query origins").await;
        let of_one = table(&origins).into_iter().filter(|row| row[0] == "shard_12").count();
        assert_eq!(of_one, 500);
        assert!(said(&origins).contains("More rows than are shown: shard_12."), "{}", said(&origins));
        let few = "DELETE FROM shard_12.origins WHERE name LIKE 'many-%'; DELETE FROM shard_30.origin_members WHERE account_name LIKE 'many-%'";
        owner.batch_execute(few).await.unwrap();

        // Whoever reads the table waits for longer than a statement may run.
        let slow = format!("ALTER TABLE shard_12.origins RENAME TO hidden;
            CREATE VIEW shard_12.origins AS SELECT h.* FROM pg_sleep(60) LEFT JOIN shard_12.hidden h ON true;
            GRANT SELECT ON shard_12.origins TO {READER}");
        owner.batch_execute(&slow).await.unwrap();
        let partly = asks(world, "query origins").await;
        assert_eq!(partly.state, State::Partly, "{}", said(&partly));
        let told = said(&partly);
        assert!(told.contains("from 127 of 128 shards; 1 did not answer"), "{told}");
        assert!(told.contains("shard_12\ntook longer than 5 s"), "{told}");
        owner.batch_execute("DROP VIEW shard_12.origins; ALTER TABLE shard_12.hidden RENAME TO origins").await.unwrap();
        let whole = asks(world, "query origins").await;
        assert_eq!(whole.state, State::Done, "{}", said(&whole));
    });
}

#[test]
fn each_fault_of_the_page_is_told_in_the_channel_until_it_is_mended() {
    let datastore = breakable();
    on(&datastore).run(async |world| {
        let ana = world.person("ana");
        // A fault comes about, and ends, in its own time.
        let asked_until = async |what: &str, told: &[&str]| {
            world
                .eventually(what, async || {
                    let said = words(&ana.runs("/habops query origins").await);
                    told.iter().all(|part| said.contains(part)).then_some(())
                })
                .await;
        };
        let whole = &["rows from 128 shards"];
        let refused = "cannot be reached: Connection refused";
        let locked = [
            "127 of 128 shards",
            "shard_41",
            "is locked: somebody else has held a lock",
        ];
        let missing = ["127 of 128 shards", "shard_97", "is missing: relation"];
        asked_until("a sound datastore", whole).await;
        for (fault, told) in [
            ("datastore-down", &[refused][..]),
            ("shard-locked", &locked),
            ("shard-missing", &missing),
        ] {
            world.breaks(fault);
            asked_until(fault, told).await;
            world.mends(fault);
            asked_until(&format!("{fault} to end"), whole).await;
        }

        // Two at once, and the one that was there first ends last.
        world.breaks("shard-missing");
        asked_until("shard-missing", &missing).await;
        world.breaks("datastore-down");
        asked_until("datastore-down", &[refused]).await;
        world.mends("datastore-down");
        asked_until("the other fault", &missing).await;
        world.mends("shard-missing");
        asked_until("a sound datastore", whole).await;
    });
}

#[test]
fn a_datastore_that_goes_away_cuts_or_refuses_is_a_sentence_and_then_over() {
    let datastore = breakable();
    on(&datastore).run(async |world| {
        let works = async |what: &str| {
            let ended = asks(world, "query origins").await;
            assert_eq!(ended.state, State::Done, "{what}: {}", said(&ended));
        };
        works("at first").await;

        // In the middle: one shard waits for a lock while the server is stopped. It ends everybody at once; where the lock's holder
        // is gone first, the statement still gets through, and it is tried again.
        let mut tries = 0;
        let cut = loop {
            let owner = datastore.connect("builder_originsrv").await.unwrap();
            owner.batch_execute("BEGIN; LOCK TABLE shard_41.origins IN ACCESS EXCLUSIVE MODE").await.unwrap();
            let typed = world.person("ana").types("/habops query origins").await;
            let watcher = datastore.connect("postgres").await.unwrap();
            world.eventually("a statement to wait for the lock", async || {
                let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'habops' AND wait_event_type = 'Lock'";
                let waiting: i64 = watcher.query_one(waiting, &[]).await.unwrap().get(0);
                (waiting > 0).then_some(())
            })
            .await;
            datastore.goes_down().await.unwrap();
            let ended = world.ended(&typed.operation).await;
            tries += 1;
            if ended.state != State::Done || tries == 5 {
                break ended;
            }
            datastore.comes_back().await.unwrap();
        };
        assert!(matches!(cut.state, State::Partly | State::Failed), "{}", said(&cut));
        assert!(said(&cut).contains("cannot be reached") || said(&cut).contains("broke off"), "{}", said(&cut));

        let down = asks(world, "query origin core").await;
        assert_eq!(down.state, State::Failed);
        assert!(said(&down).contains("cannot be reached: Connection refused"), "{}", said(&down));
        datastore.comes_back().await.unwrap();
        works("after it came back").await;

        run(&datastore, CUT).await;
        works("after every pooled connection was cut").await;
    });
}

#[test]
fn a_password_that_changed_is_a_sentence_until_its_file_is_written_and_needs_no_restart() {
    const OTHER: &str = "another-password";
    let datastore = breakable();
    on(&datastore).run(async |world| {
        let works = async |what: &str| {
            let ended = asks(world, "query origins").await;
            assert_eq!(ended.state, State::Done, "{what}: {}", said(&ended));
        };
        // No session outlives its password here, as after a restart of the server.
        let changes = async |password: &str| {
            let change = format!("ALTER ROLE {READER} PASSWORD '{password}'; {CUT}");
            run(&datastore, &change).await;
        };
        let file = world.dir().join("files/datastore-password");
        works("at first").await;

        changes(OTHER).await;
        for line in ["query origins", "query origin core"] {
            let refused = asks(world, line).await;
            assert_eq!(refused.state, State::Failed, "{line}");
            let told = said(&refused);
            let why = format!("does not let `{READER}` in: password authentication failed");
            assert!(
                told.contains(&why) && told.contains("its file is read again"),
                "{told}"
            );
        }
        fs::write(&file, format!("{OTHER}\n")).unwrap();
        works("after its file was written").await;

        // The other way round nobody is refused.
        fs::write(&file, datastore.reader_password()).unwrap();
        works("on the sessions that there are").await;
        changes(datastore.reader_password()).await;
        works("after it was put back").await;

        // What cannot be read is as it was.
        fs::remove_file(&file).unwrap();
        run(&datastore, CUT).await;
        works("without the file").await;
        let logged = world.logged();
        assert!(
            logged.contains("the datastore's password is the one of the start"),
            "{logged}"
        );
        assert!(!logged.contains(OTHER), "{logged}");
    });
}

#[tokio::test]
async fn sessions_cannot_write_and_the_role_cannot_read_secrets() {
    let url = format!(
        "postgres://{READER}:{}@127.0.0.1:{}/builder_sessionsrv",
        shared().reader_password(),
        shared().port()
    );
    let (reader, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    for sql in [
        "SELECT token FROM shard_0.account_tokens",
        "UPDATE shard_0.accounts SET name = ''",
        "SELECT * FROM shard_0.account_tokens",
    ] {
        let refused = reader.batch_execute(sql).await.unwrap_err();
        let code = refused.code().unwrap().code().to_owned();
        assert!(
            ["42501", "25006"].contains(&code.as_str()),
            "{sql}: {refused}"
        );
    }
    reader
        .batch_execute("SELECT id, account_id, created_at FROM shard_0.account_tokens")
        .await
        .unwrap();
}

#[tokio::test]
async fn builds_in_flight_and_groups_that_dispatch_are_told() {
    let client = client(&config(shared(), ""));
    let builds = client.builds_in_flight().await.unwrap();
    let told: Vec<_> = builds
        .iter()
        .map(|build| (build.project.as_deref().unwrap(), build.worker.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("core/jruby", Some("live-builder-worker-1")),
            ("core/redis", Some("live-builder-worker-0")),
            ("core/redis", None),
        ]
    );
    assert!(
        builds
            .iter()
            .all(|build| build.since.is_some() && !build.quarantined)
    );
    let groups = client.groups("Dispatching").await.unwrap();
    let told: Vec<_> = groups.iter().map(|group| group.project.as_str()).collect();
    assert_eq!(told, ["core/jruby", "core/redis"]);
    assert_eq!(client.groups("No such state").await.unwrap(), []);
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_named_with_what_to_do() {
    let mut other = config(shared(), "");
    other.password = Some("wrong".into());
    let refused = client(&other).login("builder_jobsrv").await.unwrap_err();
    assert!(matches!(refused, Error::Login { .. }), "{refused}");
    assert!(!refused.to_string().contains("wrong"), "{refused}");
    let nobody: Config = toml::from_str("url = \"postgres://a@127.0.0.1:1\"").unwrap();
    let refused = client(&nobody).login("builder_jobsrv").await.unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("the datastore at 127.0.0.1:1 cannot be reached: "),
        "{refused}"
    );
    let via = config(shared(), "via = \"live-builder-datastore-0\"");
    let refused = client(&via).login("builder_jobsrv").await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("no node of the fleet is called that"),
        "{refused}"
    );
}

/// A certificate for 127.0.0.1, signed by itself, and its key. Not of an authority: a server may not show one of those.
fn certificate(dir: &Path, name: &str) -> (String, String) {
    let file = |ending: &str| {
        dir.join(format!("{name}.{ending}"))
            .to_str()
            .unwrap()
            .to_owned()
    };
    let (key, crt) = (file("key"), file("crt"));
    let words = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let made = Command::new("openssl")
        .args(words.split(' '))
        .args(["-keyout", &key, "-out", &crt])
        .output();
    let made = made.expect("openssl is not installed: apt-get install -y openssl");
    assert!(made.status.success(), "{made:?}");
    (key, crt)
}

#[tokio::test]
#[expect(
    clippy::await_holding_lock,
    reason = "the cluster is this test's alone until its end"
)]
async fn tls_is_used_where_it_is_offered_and_looked_at_where_it_is_required() {
    let datastore = breakable();
    let dir = tempfile::tempdir().unwrap();
    let (key, crt) = certificate(dir.path(), "server");
    let (_, other) = certificate(dir.path(), "other");
    let plain = client(&config(&datastore, ""))
        .login("builder_jobsrv")
        .await
        .unwrap();
    assert!(!plain.tls, "{plain:?}");
    let required = config(&datastore, &format!("tls = \"require\"\nca_file = {crt:?}"));
    let refused = client(&required).login("builder_jobsrv").await.unwrap_err();
    assert!(matches!(refused, Error::Tls { .. }), "{refused}");

    let owner = datastore.connect("postgres").await.unwrap();
    let home: String = owner
        .query_one("SHOW data_directory", &[])
        .await
        .unwrap()
        .get(0);
    let home = Path::new(&home);
    let whose = fs::metadata(home).unwrap();
    for (name, file) in [("server.key", &key), ("server.crt", &crt)] {
        let copy = home.join(name);
        fs::copy(file, &copy).unwrap();
        // The server refuses a key that is not its own, or that others may read.
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&copy, Some(whose.uid()), Some(whose.gid())).unwrap();
    }
    run(&datastore, "ALTER SYSTEM SET ssl = on").await;
    run(&datastore, "SELECT pg_reload_conf()").await;
    // The server takes note in its own time.
    let encrypted = async || {
        client(&required)
            .login("builder_jobsrv")
            .await
            .is_ok_and(|login| login.tls)
    };
    let begun = std::time::Instant::now();
    while !encrypted().await {
        assert!(
            begun.elapsed() < super::world::SOON,
            "TLS does not come about"
        );
        tokio::task::yield_now().await;
    }
    let preferred = client(&config(&datastore, ""))
        .login("builder_jobsrv")
        .await
        .unwrap();
    assert!(preferred.tls, "{preferred:?}");
    let disabled = client(&config(&datastore, "tls = \"disable\""))
        .login("builder_jobsrv")
        .await
        .unwrap();
    assert!(!disabled.tls, "{disabled:?}");
    let stranger = config(
        &datastore,
        &format!("tls = \"require\"\nca_file = {other:?}"),
    );
    let refused = client(&stranger).login("builder_jobsrv").await.unwrap_err();
    assert!(matches!(refused, Error::Tls { .. }), "{refused}");
    run(&datastore, "ALTER SYSTEM SET ssl = off").await;
    run(&datastore, "SELECT pg_reload_conf()").await;
}

#[tokio::test]
async fn a_database_is_reached_through_a_node() {
    let farm = Farm::of(1);
    let host = farm.host().clone();
    let node = format!(
        "[[node]]\nname = \"{}\"\nenvironment = \"live\"\nrole = \"datastore\"\naddress = \"{}\"\nport = {}\n",
        host.name, host.address, host.port
    );
    let fleet = fleet::Client::new(&toml::from_str(&node).unwrap()).unwrap();
    let via = config(shared(), &format!("via = \"{}\"", host.name));
    let client = Client::new(&via, &farm.client(), &fleet).unwrap();
    for database in DATABASES {
        let login = client.login(database).await.unwrap();
        assert_eq!((login.user.as_str(), login.superuser), (READER, false));
        assert_eq!(login.secrets, Vec::<String>::new());
        assert_eq!(
            login.shards,
            if database == "builder_jobsrv" { 1 } else { 128 }
        );
    }
    assert_eq!(farm.logins(), DATABASES.len());
    // The node reboots: the next question finds a new way.
    farm.cut_connections();
    client.login("builder_jobsrv").await.unwrap();
}

#[test]
fn check_tells_a_superuser_and_a_reader_apart() {
    let findings = |setup: Setup| {
        let mut found = Vec::new();
        setup.without_the_app().run(async |world| {
            let config = world.config();
            let ran = habops(&["check", "--json", "--config", config.to_str().unwrap()]);
            let all: Vec<Value> =
                serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
            found = all
                .into_iter()
                .filter(|one| one["name"].as_str().unwrap().starts_with("datastore "))
                .collect();
        });
        found
    };
    let reader = findings(on(shared()));
    assert_eq!(reader.len(), 3);
    assert!(
        reader
            .iter()
            .all(|one| one["ok"] == true && one["fix"] == ""),
        "{reader:?}"
    );
    assert_eq!(reader[0]["detail"], "a SELECT as habops_ro, 128 shards");
    let owner = findings(on(shared()).instead(&format!("//{READER}@"), &format!("//{OWNER}@")));
    assert!(owner.iter().all(|one| one["ok"] == true && one["fix"].as_str().unwrap().contains("as a superuser")), "{owner:?}");
}
