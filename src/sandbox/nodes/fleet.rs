//! The imaginary fleet: which nodes there are and how each begins (topology: HTF `terraform/instances.tf`).

use super::state::{
    Interface, LogStyle, Node, Run, SECOND, Service, StatusFormat, Step, Trouble, TroubleKind,
    invocation, mix,
};

/// How far back a journal reaches: yesterday's trouble must be in it.
const JOURNAL: i64 = 30 * 3600 * SECOND;
const HOUR: i64 = 3600 * SECOND;

/// What the table says of a node.
struct Row {
    environment: &'static str,
    role: &'static str,
    index: u8,
    /// The last number of its private address.
    address: u8,
    format: StatusFormat,
    systemd: u32,
    skew_seconds: i64,
    interface: Interface,
}

const fn row(
    environment: &'static str,
    role: &'static str,
    index: u8,
    address: u8,
    format: StatusFormat,
) -> Row {
    Row {
        environment,
        role,
        index,
        address,
        format,
        systemd: 229,
        skew_seconds: 0,
        interface: Interface::Absent,
    }
}

impl Row {
    const fn newer(self) -> Self {
        Self {
            systemd: 245,
            ..self
        }
    }

    const fn skewed(self, skew_seconds: i64) -> Self {
        Self {
            skew_seconds,
            ..self
        }
    }

    const fn ens4(self, interface: Interface) -> Self {
        Self { interface, ..self }
    }
}

const FLEET: [Row; 18] = [
    row("live", "api", 0, 147, StatusFormat::B),
    row("live", "admin", 0, 83, StatusFormat::B).newer(),
    row("live", "datastore", 0, 12, StatusFormat::B),
    row("live", "jobsrv", 0, 201, StatusFormat::B).newer(),
    row("live", "originsrv", 0, 96, StatusFormat::A),
    row("live", "sessionsrv", 0, 118, StatusFormat::C).newer(),
    row("live", "router", 0, 45, StatusFormat::B),
    row("live", "worker", 0, 242, StatusFormat::B).ens4(Interface::Namespace),
    row("live", "worker", 1, 243, StatusFormat::B)
        .newer()
        .ens4(Interface::Namespace),
    row("live", "worker", 2, 244, StatusFormat::B)
        .skewed(-41)
        .ens4(Interface::Lost),
    row("acceptance", "api", 0, 31, StatusFormat::D).newer(),
    row("acceptance", "admin", 0, 32, StatusFormat::D),
    row("acceptance", "datastore", 0, 33, StatusFormat::D).newer(),
    row("acceptance", "jobsrv", 0, 34, StatusFormat::D),
    row("acceptance", "originsrv", 0, 35, StatusFormat::D).newer(),
    row("acceptance", "sessionsrv", 0, 36, StatusFormat::D),
    row("acceptance", "router", 0, 37, StatusFormat::D).newer(),
    row("acceptance", "worker", 0, 38, StatusFormat::D).ens4(Interface::Host),
];

/// Every node as it is when the machine's clock shows `machine_now`.
pub fn fleet(machine_now: i64) -> Vec<Node> {
    FLEET.iter().map(|row| node(row, machine_now)).collect()
}

fn node(row: &Row, machine_now: i64) -> Node {
    let name = format!("{}-builder-{}-{}", row.environment, row.role, row.index);
    // The same on every start: only the clock moves.
    let seed = name
        .bytes()
        .fold(0x6861_626f_7073, |seed, byte| mix(seed ^ u64::from(byte)));
    let live = row.environment == "live";
    let second = if live { "10.0.0" } else { "10.0.1" };
    let skew = row.skew_seconds * SECOND;
    let now = machine_now + skew;
    let spread = |salt: u64, below: u64| i64::try_from(mix(seed ^ salt) % below).unwrap_or(0);
    let booted = now - 24 * HOUR * (12 + spread(1, 40)) - spread(2, 86_400) * SECOND;
    let started = now - 25 * HOUR - spread(3, 7200) * SECOND;
    let mut node = Node {
        host: format!("ip-{}-{}", second.replace('.', "-"), row.address),
        instance_id: format!("i-0{:016x}", mix(seed ^ 4) | (1 << 60)),
        environment: row.environment.into(),
        role: row.role.into(),
        status_format: row.format,
        log_style: if live {
            LogStyle::Plain
        } else {
            LogStyle::Dated
        },
        systemd: row.systemd,
        skew,
        booted,
        journal_from: now - JOURNAL,
        seed,
        next_pid: 3000 + u32::try_from(spread(5, 30_000)).unwrap_or(0),
        interface: row.interface,
        runs: Vec::new(),
        sentinel: Vec::new(),
        services: Vec::new(),
        troubles: Vec::new(),
        cures: Vec::new(),
        quirks: Vec::new(),
        left_locks: false,
        events: Vec::new(),
        name,
    };
    let pid = node.pid();
    node.runs.push(Run {
        from: started,
        until: None,
        pid,
        invocation: invocation(seed, started),
    });
    node.say(
        started,
        pid,
        "hab-sup(MR): Starting gossip-listener on 0.0.0.0:9638",
    );
    node.say(
        started + 1_000,
        pid,
        "hab-sup(MR): Starting http-gateway on 0.0.0.0:9631",
    );
    for (name, version) in services(row.role) {
        let process = node.pid();
        let up = started + 2 * SECOND + spread(6, 900_000);
        let version = if live { version } else { version + 37 };
        let release = if live {
            "20171115193120"
        } else {
            "20171120084512"
        };
        let ident = match name {
            "sumologic" => "core/sumologic/19.182-25/20170718011243".to_owned(),
            _ => format!("core/{name}/{version}/{release}"),
        };
        let service = Service {
            group: format!("{name}.{}", row.environment),
            ident,
            wanted: true,
            steps: vec![Step {
                at: up,
                pid: Some(process),
            }],
            loops: Vec::new(),
        };
        node.service_comes_up(up, pid, &service);
        node.services.push(service);
    }
    past(&mut node, now);
    node
}

fn services(role: &str) -> Vec<(&'static str, u32)> {
    match role {
        "api" => vec![("builder-api", 6048), ("builder-api-proxy", 6021)],
        "admin" => vec![("builder-admin", 6036), ("builder-admin-proxy", 6012)],
        "datastore" => vec![("builder-datastore", 5809)],
        "jobsrv" => vec![("builder-jobsrv", 6047)],
        "originsrv" => vec![("builder-originsrv", 6044)],
        "sessionsrv" => vec![("builder-sessionsrv", 6031)],
        "router" => vec![("builder-router", 6030)],
        _ => vec![("builder-worker", 6048), ("sumologic", 0)],
    }
}

/// The guide's known issues that already are in the journals, and who cures whom.
fn past(node: &mut Node, now: i64) {
    match node.name.as_str() {
        "live-builder-api-0" => {
            let from = now - 5 * HOUR - 20 * 60 * SECOND;
            node.troubles.push(Trouble {
                kind: TroubleKind::Timeout,
                from,
                until: Some(from + 5 * SECOND),
            });
            node.cures.push(node.name.clone());
        }
        "live-builder-router-0" => {
            let from = now - 22 * HOUR;
            node.troubles.push(Trouble {
                kind: TroubleKind::NoShard,
                from,
                until: Some(from + 9 * SECOND),
            });
        }
        "live-builder-jobsrv-0" | "live-builder-sessionsrv-0" => {
            node.cures.push("live-builder-router-0".into());
        }
        "live-builder-datastore-0" => {
            let cured = ["live-builder-originsrv-0", "live-builder-datastore-0"];
            node.cures.extend(cured.map(str::to_owned));
        }
        // The host of the bots, which this fleet has none of.
        "live-builder-admin-0" => node.turn_sentinel("start"),
        "live-builder-worker-2" => {
            let pid = node.running().map_or(1, |run| run.pid);
            let at = now - 3 * HOUR;
            node.say(
                at,
                pid,
                "builder-worker.live(O): Device \"ens4\" does not exist.",
            );
            node.say(
                at + 1_000,
                pid,
                "builder-worker.live(O): FATAL: Could not find network interface ens4",
            );
        }
        _ => {}
    }
}
