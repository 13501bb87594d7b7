//! What each of Builder's services says while all is well: made up, but in the shape of the real lines.

use super::super::state::Node;
use super::{clock, logged};

const PACKAGES: [&str; 8] = [
    "redis",
    "nginx",
    "ruby",
    "glibc",
    "openssl",
    "node",
    "postgresql",
    "curl",
];
const ORIGINS: [&str; 6] = ["core", "habitat", "neurosis", "chef", "smartb", "bobo"];
/// One line in so many is a warning.
const WARNS_EVERY: u64 = 23;

/// What a line is about.
struct About {
    package: String,
    origin: &'static str,
    /// A job's, a group's or an account's id.
    id: u64,
    /// A number below 32.
    few: u64,
    warns: bool,
    dice: u64,
}

/// One line of a service, the same for the same dice.
pub(super) fn line(node: &Node, service: &str, at: i64, dice: u64) -> String {
    let origin = pick(&ORIGINS, dice >> 8);
    let about = About {
        package: format!("{origin}/{}", pick(&PACKAGES, dice >> 16)),
        origin,
        id: 700_000_000_000_000_000 + (dice >> 8),
        few: dice >> 24 & 0x1f,
        warns: dice.is_multiple_of(WARNS_EVERY),
        dice,
    };
    let (level, module, words) = match service {
        "builder-api-proxy" | "builder-admin-proxy" => return access(at, &about),
        "builder-datastore" => return checkpoint(&about),
        "sumologic" => {
            return format!(
                "INFO   | wrapper  | {} | collector is running",
                clock(at, "%Y/%m/%d %H:%M:%S")
            );
        }
        "builder-router" => router(&about),
        "builder-jobsrv" => jobsrv(&about),
        "builder-originsrv" => (
            "INFO",
            "habitat_builder_originsrv",
            format!("package {} found in shard {}", about.package, about.few * 4),
        ),
        "builder-sessionsrv" => sessionsrv(&about),
        "builder-worker" => worker(&about),
        _ => api(&about),
    };
    logged(node, at, level, module, &words)
}

fn pick(from: &[&'static str], dice: u64) -> &'static str {
    from[usize::try_from(dice % from.len() as u64).unwrap_or(0)]
}

type Words = (&'static str, &'static str, String);

fn access(at: i64, about: &About) -> String {
    let path = match about.dice >> 32 & 3 {
        0 => format!(
            "/v1/depot/channels/{}/stable/pkgs/redis/latest",
            about.origin
        ),
        1 => format!("/v1/depot/pkgs/{}/latest", about.package),
        2 => format!("/v1/depot/origins/{}", about.origin),
        _ => "/v1/status".to_owned(),
    };
    let status = if about.dice.is_multiple_of(41) {
        404
    } else {
        200
    };
    let (stamp, host, size) = (
        clock(at, "%d/%b/%Y:%H:%M:%S +0000"),
        2 + about.few,
        120 + (about.dice >> 40 & 0xfff),
    );
    format!(
        "10.0.0.{host} - - [{stamp}] \"GET {path} HTTP/1.1\" {status} {size} \"-\" \"hab/0.40.0/20171128175957 (x86_64-linux; 4.4.0-1041-aws)\""
    )
}

fn checkpoint(about: &About) -> String {
    format!(
        "LOG:  checkpoint complete: wrote {} buffers (0.{}%); 0 transaction log file(s) added, 0 removed, 1 recycled",
        20 + about.few * 7,
        1 + about.few % 9
    )
}

fn api(about: &About) -> Words {
    if about.warns {
        let words = format!("slow response from RouteSrv, {}ms", 900 + about.few * 31);
        return ("WARN", "habitat_builder_api::server::handlers", words);
    }
    let words = format!(
        "GET /v1/depot/pkgs/{} 200 {}ms",
        about.package,
        4 + about.few
    );
    ("INFO", "habitat_builder_api::server", words)
}

fn router(about: &About) -> Words {
    let module = "habitat_builder_router::server";
    if about.warns {
        let words = format!(
            "heartbeat late by {}s from \"10.0.0.{}\"",
            about.few,
            90 + about.few
        );
        return ("WARN", module, words);
    }
    let shard = about.few * 4;
    (
        "INFO",
        module,
        format!(
            "registered server \"{:x}\", shards: {shard}-{}",
            about.id,
            shard + 3
        ),
    )
}

fn jobsrv(about: &About) -> Words {
    let module = "habitat_builder_jobsrv::server";
    let worker = 240 + about.few % 4;
    // Nothing that a known issue is told by: nobody broke this node.
    if about.warns {
        let words = format!(
            "heartbeat late by {}s from worker ip-10-0-0-{worker}",
            about.few
        );
        return ("WARN", module, words);
    }
    let words = match about.dice >> 32 & 1 {
        0 => format!(
            "scheduler: group {} ({}) is Dispatching",
            about.id, about.package
        ),
        _ => format!("worker ip-10-0-0-{worker} is Ready"),
    };
    ("INFO", module, words)
}

fn sessionsrv(about: &About) -> Words {
    let module = "habitat_builder_sessionsrv::server";
    if about.warns {
        return (
            "WARN",
            module,
            "session expired, asking GitHub again".into(),
        );
    }
    (
        "INFO",
        module,
        format!("session refreshed for account {}", about.id),
    )
}

fn worker(about: &About) -> Words {
    if about.warns {
        return (
            "WARN",
            "habitat_builder_worker::heartbeat",
            "heartbeat took longer than 1s".into(),
        );
    }
    match about.dice >> 32 & 3 {
        0 => (
            "INFO",
            "habitat_builder_worker::runner",
            format!("building {}, job {}", about.package, about.id),
        ),
        1 => {
            let words = "reusing network namespace, dir=\"/hab/svc/builder-worker/data/network/airlock-ns\"";
            ("INFO", "habitat_builder_worker::runner", words.into())
        }
        _ => (
            "INFO",
            "habitat_builder_worker::server",
            "waiting for a job".into(),
        ),
    }
}
