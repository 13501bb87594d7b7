//! What a query may select and on which shard, and in which words all else is refused.

use habops::{catalogue::Catalogue, domain::command::Source};
use rstest::rstest;

use super::{Break, QUERY, faults, overlay::overlay, table};

const QUERIES: &[Break] = &[
    (
        "a change",
        "changes = false",
        "changes = true\ninverse = \"none\"",
    ),
    ("an unknown database", "builder_originsrv", "builder_router"),
    ("an unknown scope", "by-name", "by_name"),
    (
        "the one shard of a sharded database",
        "\"by-name\"",
        "\"shard_0\"",
    ),
    (
        "a shard of one that is not sharded",
        "builder_originsrv",
        "builder_jobsrv",
    ),
    (
        "no key, and no argument that could be it",
        "scope = \"by-name\"\nkey = \"origin\"\n",
        "scope = \"by-id\"\n",
    ),
    (
        "a key that is no argument",
        "key = \"origin\"",
        "key = \"name\"",
    ),
    ("a key of the wrong kind", "\"by-name\"", "\"by-id\""),
    (
        "a key that may be left out",
        "help = \"The",
        "optional = true\nhelp = \"The",
    ),
    ("a key where none is needed", "\"by-name\"", "\"all\""),
    (
        "a parameter of nothing",
        "name = $1",
        "name = $1 AND id = $2",
    ),
    (
        "an argument that is not used",
        "key = \"origin\"\nsql = \"SELECT id, name, owner_id FROM origins WHERE name = $1\"",
        "key = \"origin\"\nsql = \"SELECT id FROM origins\"\n[[arg]]\nname = \"id\"\nkind = \"integer\"\nhelp = \"x\"",
    ),
    (
        "an argument that is no value",
        "kind = \"text\"",
        "kind = \"target\"",
    ),
    ("an unknown key", "sql =", "sqll ="),
];

#[test]
fn a_query_on_the_wrong_shard_or_with_loose_arguments_is_refused() {
    insta::assert_snapshot!(table(QUERY, QUERIES));
}

#[test]
fn without_a_key_the_first_argument_that_fits_picks_the_shard() {
    let text = QUERY.replace("key = \"origin\"\n", "");
    let dir = overlay(&[("find.toml", &text)]);
    let catalogue = Catalogue::with_overlay(dir.path(), &[]).unwrap();
    let Source::Query(query) = &catalogue.commands.get("find").unwrap().source else {
        panic!("it is a query");
    };
    assert_eq!(query.key.as_deref(), Some("origin"));
}

/// The same query with other SQL, over both sharded and unsharded databases.
fn sql(database: &str, sql: &str) -> String {
    let scope = if database == "builder_jobsrv" {
        "shard_0"
    } else {
        "all"
    };
    let text = format!(
        "summary = \"Look.\"\nchanges = false\nrole = \"member\"\nconfirm = \"never\"\n\
         [query]\ndatabase = \"{database}\"\nscope = \"{scope}\"\nsql = '''{sql}'''\n"
    );
    faults(&[("q.toml", &text)])
}

#[rstest]
#[case(
    "builder_jobsrv",
    "SELECT id, project_name, group_state, created_at FROM groups WHERE group_state IN ('Queued','Pending','Dispatching') ORDER BY created_at"
)]
#[case(
    "builder_jobsrv",
    "SELECT job_state, count(*) AS many FROM jobs GROUP BY 1 ORDER BY many DESC LIMIT 20"
)]
#[case(
    "builder_jobsrv",
    "SELECT b.ident, b.job_id, b.quarantined, j.project_name FROM busy_workers b LEFT JOIN jobs j ON j.id = b.job_id"
)]
#[case(
    "builder_jobsrv",
    "SELECT id FROM jobs WHERE job_state = 'Processing' AND build_started_at < now() - interval '60 minutes'"
)]
#[case(
    "builder_jobsrv",
    "SELECT id::text, date_trunc('hour', created_at), CASE WHEN archived THEN 'yes' ELSE 'no' END FROM jobs WHERE NOT scheduler_sync OR sync_count > 0"
)]
#[case(
    "builder_jobsrv",
    "SELECT extract(epoch FROM created_at) FROM jobs WHERE worker LIKE 'a%' AND id BETWEEN 1 AND 9 OFFSET 5"
)]
#[case(
    "builder_sessionsrv",
    "SELECT name, email FROM accounts WHERE lower(name) = 'reset'"
)]
#[case(
    "builder_sessionsrv",
    "SELECT count(id) FILTER (WHERE created_at > timestamp '2018-01-01') FROM account_tokens"
)]
#[case(
    "builder_originsrv",
    "SELECT DISTINCT c.name FROM origin_channels c JOIN origin_channel_packages p ON p.channel_id = c.id JOIN origin_packages k ON k.id = p.package_id WHERE k.ident = 'core/redis/4.0.1/20171014212634'"
)]
fn a_harmless_select_is_taken(#[case] database: &str, #[case] select: &str) {
    assert_eq!(sql(database, select), "none");
}

#[test]
fn sql_that_could_do_or_show_more_is_refused() {
    let sessions = [
        "SELECT * FROM accounts",
        "SELECT a.* FROM accounts a",
        "SELECT accounts FROM accounts",
        "SELECT t FROM account_tokens t",
        "SELECT count(t) FROM account_tokens t",
        "SELECT count(t.*) FROM account_tokens t",
        "SELECT token FROM account_tokens",
        "SELECT \"token\" FROM account_tokens",
        "SELECT t.token FROM account_tokens t",
        "SELECT token(t) FROM account_tokens t",
        "SELECT (t).token FROM account_tokens t",
        "SELECT x.b FROM account_tokens AS x(a, b, c, d)",
        "SELECT id FROM account_tokens WHERE token LIKE 'a%'",
        "SELECT id FROM account_tokens ORDER BY token",
        "SELECT count(*) AS token FROM account_tokens GROUP BY token",
        "SELECT id AS token FROM account_tokens ORDER BY token || ''",
        "SELECT min(token) FROM account_tokens",
        "SELECT id FROM account_tokens ORDER BY id, token",
        "SELECT a.id FROM account_tokens a JOIN account_tokens b USING (token)",
        "SELECT a.id FROM account_tokens a NATURAL JOIN accounts b",
        "SELECT id FROM accounts, accounts",
        "SELECT ctid FROM accounts",
        "SELECT id FROM shard_0.accounts",
        "SELECT rolname FROM pg_roles",
        "SELECT id FROM accounts FOR UPDATE",
        "SELECT id INTO other FROM accounts",
        "SELECT id FROM accounts; DELETE FROM accounts",
        "SELECT id FROM accounts -- all",
        "SELECT id FROM accounts /* all */",
        "SELECT id FROM accounts WHERE name = E'\\x41'",
        "SELECT id FROM accounts WHERE name = $$a$$",
        "SELECT id FROM accounts WHERE name = U&'a'",
        "SELECT id FROM accounts WHERE name = 'ä'",
        "SELECT id FROM accounts WHERE id IN (SELECT account_id FROM account_tokens)",
        "SELECT id FROM accounts WHERE EXISTS (SELECT 1)",
        "SELECT (SELECT 1)",
        "SELECT id FROM (SELECT id FROM accounts) a",
        "SELECT id FROM accounts UNION SELECT id FROM account_tokens",
        "WITH gone AS (DELETE FROM accounts RETURNING id) SELECT id FROM gone",
        "WITH a AS (SELECT 1) INSERT INTO accounts SELECT 1",
        "TABLE accounts",
        "VALUES (1)",
        "COPY accounts TO STDOUT",
        "COPY (SELECT id FROM accounts) TO PROGRAM 'sh'",
        "INSERT INTO accounts (name) VALUES ('a')",
        "UPDATE accounts SET name = 'a'",
        "DELETE FROM accounts",
        "DROP TABLE accounts",
        "EXPLAIN ANALYZE DELETE FROM accounts",
        "SET search_path TO shard_1",
        "SELECT pg_sleep(60)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT nextval('accounts_id_seq')",
        "SELECT set_config('search_path', 'x', false)",
        "SELECT query_to_xml('select token from account_tokens', true, true, '')",
        "SELECT pg_catalog.count(id) FROM accounts",
        "SELECT id FROM generate_series(1, 9) id",
        "SELECT account_creation_report('2017-09-01')",
        "SELECT row_number() OVER (ORDER BY id) FROM accounts",
        "SELECT ROW(id, name) FROM accounts",
        "SELECT ARRAY[id] FROM accounts",
        "SELECT id::regclass FROM accounts",
        "SELECT current_user",
        "SELECT id FROM accounts WHERE name ~ '(a+)+$'",
        "SELECT id FROM accounts LIMIT ?",
        "SELECT id FROM accounts TABLESAMPLE SYSTEM (1)",
        "SELECT",
        "",
        "nonsense",
    ];
    let mut said = String::new();
    for select in sessions {
        let faults = sql("builder_sessionsrv", select);
        assert_ne!(faults, "none", "{select}");
        said.extend([select, "\n    ", &faults.replace('\n', "\n    "), "\n"]);
    }
    let origins = [
        "SELECT body FROM origin_secret_keys",
        "SELECT body FROM origin_private_encryption_keys",
        "SELECT body FROM origin_integrations",
        "SELECT body FROM origin_project_integrations",
        "SELECT vcs_auth_token FROM origin_projects",
    ];
    for select in origins {
        let faults = sql("builder_originsrv", select);
        assert_ne!(faults, "none", "{select}");
        said.extend([select, "\n    ", &faults, "\n"]);
    }
    insta::assert_snapshot!(said);
}
