//! What Builder holds when the sandbox starts: the releases that the nodes run, and groups in every state that a page is about.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::state::{Depot, Group, Project, Release};

/// Builder's own packages: name, and the version in `stable`. `unstable` has one 37 commits newer, as the nodes of the sandbox do.
const SERVICES: [(&str, u32); 10] = [
    ("builder-api", 6048),
    ("builder-api-proxy", 6021),
    ("builder-admin", 6036),
    ("builder-admin-proxy", 6012),
    ("builder-datastore", 5809),
    ("builder-jobsrv", 6047),
    ("builder-originsrv", 6044),
    ("builder-sessionsrv", 6031),
    ("builder-router", 6030),
    ("builder-worker", 6048),
];
const LIVE: &str = "20171115193120";
const ACCEPTANCE: &str = "20171120084512";

/// Other packages: ident, and whether it is in `stable` too.
const OTHERS: [(&str, bool); 9] = [
    ("core/glibc/2.22/20170513201042", true),
    ("core/openssl/1.0.2l/20171014213633", true),
    ("core/openssl/1.0.2l/20171119112004", false),
    ("core/libsodium/1.0.13/20170905223149", true),
    ("core/redis/4.0.1/20171014212634", true),
    ("core/redis/4.0.2/20171118054402", false),
    ("core/jruby/9.1.2.0/20171101175256", true),
    ("core/nginx/1.13.5/20171012081233", true),
    ("neurosis/np-mongodb/3.2.9/20171013092907", false),
];

/// Everything, with ages counted from now.
pub(super) fn depot(now: Timestamp) -> Depot {
    let mut depot = Depot {
        origins: BTreeMap::from([
            ("core".to_owned(), true),
            ("habitat".to_owned(), true),
            ("neurosis".to_owned(), false),
        ]),
        channels: BTreeMap::new(),
        packages: Vec::new(),
        groups: Vec::new(),
        made: 0,
    };
    for origin in depot.origins.keys() {
        let own = ["stable", "unstable"].map(str::to_owned);
        depot.channels.insert(origin.clone(), own.into());
    }
    for (ident, stable) in OTHERS {
        depot.packages.push(release(ident.to_owned(), stable, &[]));
    }
    for (name, version) in SERVICES {
        let deps = ["core/glibc/2.22/20170513201042"];
        let old = ["core/openssl/1.0.2l/20171014213633", deps[0]];
        let new = ["core/openssl/1.0.2l/20171119112004", deps[0]];
        let ident = |version: u32, release: &str| format!("core/{name}/{version}/{release}");
        depot
            .packages
            .push(release(ident(version, LIVE), true, &old));
        let newer = ident(version + 37, ACCEPTANCE);
        depot.packages.push(release(newer, false, &new));
    }
    groups(&mut depot, now);
    depot
}

fn release(ident: String, stable: bool, deps: &[&str]) -> Release {
    let channels: &[&str] = if stable {
        &["unstable", "stable"]
    } else {
        &["unstable"]
    };
    Release {
        ident,
        deps: deps.iter().map(|dep| (*dep).to_owned()).collect(),
        channels: channels.iter().map(|it| (*it).to_owned()).collect(),
    }
}

/// A package of a group: ident as far as it is known, state.
type Row = (&'static str, &'static str);

/// Project, state, minutes ago, packages.
const GROUPS: [(&str, &str, i64, &[Row]); 7] = [
    (
        "core/builder-api",
        "Complete",
        26 * 60,
        &[
            ("core/builder-api/6085/20171120084512", "Success"),
            ("core/builder-api-proxy/6058/20171120084512", "Success"),
            ("core/builder-router/6067/20171120084512", "Success"),
        ],
    ),
    (
        "core/redis",
        "Complete",
        9 * 60,
        &[
            ("core/redis/4.0.2/20171118054402", "Success"),
            ("neurosis/np-mongodb/3.2.9/20171013092907", "Success"),
        ],
    ),
    (
        "core/nginx",
        "Complete",
        5 * 60,
        &[("core/nginx/1.13.6", "Failure")],
    ),
    (
        "core/jruby",
        "Dispatching",
        190,
        &[
            ("core/jruby/9.1.2.0/20171101175256", "InProgress"),
            ("core/logstash", "NotStarted"),
        ],
    ),
    (
        "neurosis/np-mongodb",
        "Dispatching",
        42,
        &[("neurosis/np-mongodb", "InProgress")],
    ),
    (
        "core/openssl",
        "Dispatching",
        25,
        &[
            ("core/openssl/1.0.2l/20171119112004", "Success"),
            ("core/curl/7.54.1", "InProgress"),
            ("core/git", "NotStarted"),
            ("core/postgresql", "NotStarted"),
        ],
    ),
    (
        "core/jruby",
        "Queued",
        12,
        &[("core/jruby/9.1.2.0/20171101175256", "NotStarted")],
    ),
];

fn groups(depot: &mut Depot, now: Timestamp) {
    for (project, state, minutes, rows) in GROUPS {
        let created = now
            .checked_sub(SignedDuration::from_mins(minutes))
            .unwrap_or(now);
        let id = depot.id(created);
        let mut projects = Vec::new();
        for (ident, state) in rows {
            let mut words = ident.split('/');
            let origin = words.next().unwrap_or_default();
            let name = words.next().unwrap_or_default();
            projects.push(Project {
                name: format!("{origin}/{name}"),
                ident: (*ident).to_owned(),
                state: (*state).to_owned(),
                job: match *state {
                    "NotStarted" => 0,
                    _ => depot.id(created),
                },
                error: (*state == "Failure").then_some((1004, "wk:run:build")),
            });
        }
        depot.groups.push(Group {
            id,
            state: state.to_owned(),
            project: project.to_owned(),
            created,
            projects,
            moves: false,
        });
    }
}
