//! Rows that could be Builder's. The same on every start, but for the clock.

use std::fmt::Write as _;

use super::PLANTED;

/// SQL for each database.
pub(super) struct Rows {
    pub(super) originsrv: String,
    pub(super) sessionsrv: String,
    pub(super) jobsrv: String,
}

/// Origins that the facts name, and their owners.
const KNOWN: [(&str, &str); 8] = [
    ("core", "fnichol"),
    ("habitat", "chefsalim"),
    ("chef", "raskchanky"),
    ("neurosis", "bobo"),
    ("smartb", "smartb"),
    ("eeyun", "eeyun"),
    ("mwrock", "mwrock"),
    ("bixu", "bixu"),
];
/// Further members of `core`.
const OF_CORE: [&str; 6] = [
    "reset",
    "smartb",
    "eeyun",
    "raskchanky",
    "chefsalim",
    "bobo",
];
/// Packages of `core` that Builder itself is made of, then some that everybody knows.
const PACKAGES: [&str; 18] = [
    "builder-admin",
    "builder-admin-proxy",
    "builder-api",
    "builder-api-proxy",
    "builder-datastore",
    "builder-jobsrv",
    "builder-originsrv",
    "builder-router",
    "builder-sessionsrv",
    "builder-worker",
    "glibc",
    "hab",
    "jruby",
    "nginx",
    "openssl",
    "postgresql",
    "redis",
    "ruby",
];
const FIRST: [&str; 16] = [
    "acme", "blue", "cedar", "delta", "ember", "fjord", "grove", "harbor", "iris", "juniper",
    "kelp", "lumen", "maple", "nimbus", "orbit", "pine",
];
const LAST: [&str; 12] = [
    "apps", "cloud", "corp", "dev", "io", "labs", "ops", "sre", "studio", "systems", "team",
    "works",
];

/// FNV-1a 64 over the bytes, modulo 128: where Builder's router sends a name.
fn shard(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    hash % 128
}

/// An id made that many hours ago, as an expression: the time, a number, the shard.
fn id(hours: u64, number: u64, shard: u64) -> String {
    format!(
        "((extract(epoch FROM date_trunc('hour', now())) * 1000)::bigint - 1409266191000 - {} << 23 | {} | {shard})",
        hours * 3_600_000 - number,
        (number % 1024) << 13,
    )
}

pub(super) fn rows() -> Rows {
    let mut rows = Rows {
        originsrv: String::new(),
        sessionsrv: String::new(),
        jobsrv: jobs(),
    };
    let made: Vec<(String, String)> = FIRST
        .iter()
        .flat_map(|first| {
            LAST.iter()
                .map(move |last| (format!("{first}-{last}"), format!("{first}{last}")))
        })
        .collect();
    let known = KNOWN.map(|(origin, owner)| (origin.to_owned(), owner.to_owned()));
    for (number, (origin, owner)) in (1..).zip(known.into_iter().chain(made)) {
        rows.account(&owner, number);
        rows.origin(&origin, &owner, number);
    }
    // One that somebody restored into the wrong shard.
    let (name, wrong) = ("wanderer", (shard("wanderer") + 1) % 128);
    let _ = writeln!(
        rows.originsrv,
        "INSERT INTO shard_{wrong}.origins (name, owner_id) VALUES ('{name}', 0);"
    );
    for (number, name) in (900..).zip(OF_CORE) {
        let known = (1..).zip(KNOWN).find(|(_, (_, owner))| *owner == name);
        let number = known.map_or(number, |(number, _)| number);
        rows.account(name, number);
        rows.member("core", 1, name, number);
    }
    rows
}

impl Rows {
    /// An account with a token, which nobody may ever see.
    fn account(&mut self, name: &str, number: u64) {
        let (at, id) = (shard(name), id(9_000, number, shard(name)));
        let _ = writeln!(
            self.sessionsrv,
            "INSERT INTO shard_{at}.accounts (id, name, email, created_at) VALUES ({id}, '{name}', '{name}@example.com', now() - interval '9000 hours') ON CONFLICT DO NOTHING;\n\
             INSERT INTO shard_{at}.account_tokens (account_id, token) SELECT id, '_{PLANTED}-' || name FROM shard_{at}.accounts WHERE name = '{name}' ON CONFLICT DO NOTHING;"
        );
    }

    /// Says on both sides that an account is in an origin.
    fn member(&mut self, origin: &str, origin_number: u64, name: &str, number: u64) {
        let (home, at) = (shard(origin), shard(name));
        let origin_id = id(8_000, origin_number, home);
        let account_id = id(9_000, number, at);
        let _ = writeln!(
            self.originsrv,
            "INSERT INTO shard_{home}.origin_members VALUES ({origin_id}, '{origin}', {account_id}, '{name}') ON CONFLICT DO NOTHING;"
        );
        let _ = writeln!(
            self.sessionsrv,
            "INSERT INTO shard_{at}.account_origins SELECT id, name, {origin_id}, '{origin}' FROM shard_{at}.accounts WHERE name = '{name}' ON CONFLICT DO NOTHING;"
        );
    }

    /// An origin with its owner, its keys, its channels, its packages and, for some, a project and an integration.
    fn origin(&mut self, origin: &str, owner: &str, number: u64) {
        let at = shard(origin);
        let (origin_id, owner_id) = (id(8_000, number, at), id(9_000, number, shard(owner)));
        self.member(origin, number, owner, number);
        let sql = &mut self.originsrv;
        let _ = writeln!(
            sql,
            "INSERT INTO shard_{at}.origins (id, name, owner_id, created_at) VALUES ({origin_id}, '{origin}', {owner_id}, now() - interval '8000 hours');"
        );
        for (table, secret) in [
            ("origin_public_keys", false),
            ("origin_secret_keys", true),
            ("origin_private_encryption_keys", true),
        ] {
            let body = if secret { PLANTED } else { "SIG-PUB-1" };
            let _ = writeln!(
                sql,
                "INSERT INTO shard_{at}.{table} (origin_id, owner_id, name, revision, full_name, body) VALUES ({origin_id}, {owner_id}, '{origin}', '20171024132012', '{origin}-20171024132012', '{body}-{origin}');"
            );
        }
        let mut channel = |name: &str, place: u64| {
            let channel_id = id(8_000, number * 2 + place, at);
            let _ = writeln!(
                sql,
                "INSERT INTO shard_{at}.origin_channels (id, origin_id, owner_id, name) VALUES ({channel_id}, {origin_id}, {owner_id}, '{name}');"
            );
            channel_id
        };
        let (unstable, stable) = (channel("unstable", 0), channel("stable", 1));
        let packages: &[&str] = if origin == "core" {
            &PACKAGES
        } else {
            &["site", "api"][..usize::try_from(number % 3).unwrap_or(0)]
        };
        for (place, name) in (0..).zip(packages) {
            for (release, hours) in [(1_u64, 300_u64), (2, 26)] {
                let hours = hours + place;
                let package = id(hours, number * 64 + place * 2 + release, at);
                let version = 6_000 + place * 7 + release;
                let when = format!("now() - interval '{hours} hours'");
                let _ = writeln!(
                    sql,
                    "INSERT INTO shard_{at}.origin_packages (id, origin_id, owner_id, name, ident, target, deps, created_at) VALUES ({package}, {origin_id}, {owner_id}, '{name}', '{origin}/{name}/{version}/' || to_char({when}, 'YYYYMMDDHH24MISS'), 'x86_64-linux', '', {when});\n\
                     INSERT INTO shard_{at}.origin_channel_packages VALUES ({unstable}, {package}, {when}, {when});"
                );
                if release == 1 {
                    let _ = writeln!(
                        sql,
                        "INSERT INTO shard_{at}.origin_channel_packages VALUES ({stable}, {package}, {when}, {when});"
                    );
                }
            }
            let project = id(7_000, number * 64 + place, at);
            let _ = writeln!(
                sql,
                "INSERT INTO shard_{at}.origin_projects (id, origin_id, origin_name, package_name, name, plan_path, owner_id, vcs_type, vcs_data, vcs_auth_token, vcs_installation_id) VALUES ({project}, {origin_id}, '{origin}', '{name}', '{origin}/{name}', '{name}/plan.sh', {owner_id}, 'git', 'https://github.com/{origin}/plans.git', '{PLANTED}-{name}', 56940);"
            );
        }
        if number % 5 == 1 {
            let integration = id(6_000, number, at);
            let _ = writeln!(
                sql,
                "INSERT INTO shard_{at}.origin_integrations (id, origin, integration, name, body) VALUES ({integration}, '{origin}', 'docker', 'docker', '{PLANTED}-docker');\n\
                 INSERT INTO shard_{at}.origin_project_integrations (origin, body, integration_id) VALUES ('{origin}', '{PLANTED}-project', {integration});"
            );
        }
    }
}

/// One job: number, group, project, state, minutes ago, worker, whether the scheduler has heard.
type Job = (
    u64,
    u64,
    &'static str,
    &'static str,
    u64,
    Option<&'static str>,
    bool,
);

/// Groups: number, state, project, minutes ago. The second has dispatched for more than a day and holds up the third.
const GROUPS: [(u64, &str, &str, u64); 8] = [
    (1, "Dispatching", "core/redis", 12),
    (2, "Dispatching", "core/jruby", 26 * 60),
    (3, "Queued", "core/jruby", 40),
    (4, "Pending", "core/nginx", 1),
    (5, "Complete", "core/openssl", 180),
    (6, "Failed", "core/ruby", 240),
    (7, "Canceled", "core/glibc", 300),
    (8, "Complete", "core/builder-api", 22 * 60),
];
const JOBS: [Job; 9] = [
    (
        1,
        1,
        "core/redis",
        "Processing",
        11,
        Some("live-builder-worker-0"),
        true,
    ),
    (
        2,
        2,
        "core/jruby",
        "Processing",
        26 * 60,
        Some("live-builder-worker-1"),
        true,
    ),
    (3, 1, "core/redis", "Dispatched", 2, None, true),
    (4, 4, "core/nginx", "Pending", 1, None, true),
    (
        5,
        5,
        "core/openssl",
        "Complete",
        170,
        Some("live-builder-worker-2"),
        true,
    ),
    (
        6,
        6,
        "core/ruby",
        "Failed",
        230,
        Some("live-builder-worker-0"),
        true,
    ),
    (7, 7, "core/glibc", "CancelComplete", 290, None, true),
    (
        8,
        8,
        "core/builder-api",
        "Complete",
        22 * 60,
        Some("live-builder-worker-0"),
        true,
    ),
    (
        9,
        2,
        "core/jruby",
        "Complete",
        25 * 60,
        Some("live-builder-worker-2"),
        false,
    ),
];

fn jobs() -> String {
    let mut sql = String::new();
    for (number, state, project, minutes) in GROUPS {
        let (group, when) = (id(minutes / 60 + 1, number, 0), ago(minutes));
        let _ = writeln!(
            sql,
            "INSERT INTO shard_0.groups VALUES ({group}, '{state}', '{project}', {when}, {when});"
        );
    }
    for (number, group, project, state, minutes, worker, synced) in JOBS {
        let of = GROUPS.iter().find(|row| row.0 == group);
        let group = of.map_or("0".to_owned(), |row| id(row.3 / 60 + 1, group, 0));
        let job = id(minutes / 60 + 1, 500 + number, 0);
        let when = ago(minutes);
        let ident = worker.map_or("NULL".to_owned(), |worker| format!("'{worker}'"));
        let begun = worker.map_or("NULL".to_owned(), |_| when.clone());
        let error = match state {
            "Failed" => "'wk:run:build'",
            _ => "NULL",
        };
        let (of_project, finished) = match state {
            "Complete" => ("Success", format!("{when} + interval '9 minutes'")),
            "Failed" => ("Failure", format!("{when} + interval '4 minutes'")),
            "CancelComplete" => ("Canceled", format!("{when} + interval '1 minute'")),
            "Pending" => ("NotStarted", "NULL".to_owned()),
            _ => ("InProgress", "NULL".to_owned()),
        };
        let _ = writeln!(
            sql,
            "INSERT INTO shard_0.jobs (id, owner_id, job_state, project_name, vcs, vcs_arguments, net_error_msg, scheduler_sync, sync_count, created_at, build_started_at, build_finished_at, worker) VALUES ({job}, {group}, '{state}', '{project}', 'git', ARRAY['https://github.com/core/plans.git', '{PLANTED}'], {error}, {synced}, {}, {when}, {begun}, {finished}, {ident});\n\
             INSERT INTO shard_0.group_projects (owner_id, project_name, project_ident, project_state, job_id) VALUES ({group}, '{project}', '{project}', '{of_project}', {job});",
            u8::from(!synced) * 3
        );
        if state == "Processing" {
            let _ = writeln!(
                sql,
                "INSERT INTO shard_0.busy_workers VALUES ({ident}, {job}, false, {when}, {when});"
            );
        }
    }
    sql
}

fn ago(minutes: u64) -> String {
    format!("now() - interval '{minutes} minutes'")
}
