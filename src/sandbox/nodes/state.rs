//! What one imaginary node is at the moment, in a file of its own folder, so that the SSH server and the tools that run
//! as children of it see the same thing.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Microseconds in a second: every time in a node's state is in microseconds of the node's own clock.
pub const SECOND: i64 = 1_000_000;
/// How many steps, runs and events a node remembers; older ones are forgotten.
const REMEMBERED: usize = 400;

/// How long a trouble has been going on when it begins to be noticed.
const BEFORE_NOTICED: i64 = 30 * SECOND;

const STATE: &str = "node.json";
const LOCK: &str = "node.lock";

/// Which of the four historic formats `hab sup status` answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatusFormat {
    /// Up to 0.39: one line a service.
    A,
    /// 0.40 to 0.55: a table with `uptime (s)` and `style`.
    B,
    /// 0.56 to 0.59: a table with `elapsed (s)`, without `style`.
    C,
    /// From 0.60: a table with `desired`.
    D,
}

/// How Builder's services wrote the head of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogStyle {
    /// `ERROR:module: message`, as in November 2017.
    Plain,
    /// `ERROR 2018-02-07T16:56:53Z: module: message`, as from February 2018.
    Dated,
}

/// Where a worker's second network interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interface {
    /// In the build namespace, as it should be.
    Namespace,
    /// There is a namespace and the interface is not in it.
    Lost,
    /// On the host: the worker has not booted up to making its namespace.
    Host,
    /// This node never had one, nor a namespace.
    Absent,
}

/// One life of the Supervisor's main process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it started.
    pub from: i64,
    /// When it ended, if it did.
    pub until: Option<i64>,
    /// Its process.
    pub pid: u32,
    /// systemd's id of this activation of the unit.
    pub invocation: String,
}

/// A change of a service: from then on it is up under this pid, or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// From when on.
    pub at: i64,
    /// The process, if it is up.
    pub pid: Option<u32>,
}

/// One service loaded in the Supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `origin/name/version/release`.
    pub ident: String,
    /// `name.group`.
    pub group: String,
    /// Whether its specification wants it up.
    pub wanted: bool,
    /// What happened to it, oldest first, and what will have happened in a moment.
    pub steps: Vec<Step>,
    /// When it came up only to crash again, oldest first.
    pub loops: Vec<CrashLoop>,
}

impl Service {
    /// The step in force at a time.
    pub fn at(&self, time: i64) -> Option<Step> {
        let looping = self.loops.iter().rev().find(|looping| looping.covers(time));
        if let Some(looping) = looping {
            return Some(looping.at(time));
        }
        self.steps
            .iter()
            .rev()
            .find(|step| step.at <= time)
            .copied()
    }

    /// The process if it is up at that time, and since when it is so.
    pub fn standing(&self, now: i64) -> (Option<u32>, i64) {
        self.at(now).map_or((None, now), |step| (step.pid, step.at))
    }

    /// Drops what has not happened yet and appends a step; a crash loop ends with it.
    pub fn then(&mut self, now: i64, step: Step) {
        for looping in &mut self.loops {
            looping.until.get_or_insert(step.at);
        }
        self.steps.retain(|known| known.at <= now);
        self.steps.push(step);
        forget(&mut self.steps);
    }

    /// The name: the second word of the ident.
    pub fn name(&self) -> &str {
        self.ident.split('/').nth(1).unwrap_or(&self.ident)
    }
}

/// A time during which a service crashes soon after each start and the Supervisor starts it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashLoop {
    /// Since when.
    pub from: i64,
    /// Until when; none while it lasts.
    pub until: Option<i64>,
    /// The process before its first crash; each start has a later one.
    pub pid: u32,
}

impl CrashLoop {
    /// From one crash to the next.
    pub const EVERY: i64 = 10 * SECOND;
    /// From a crash to the next start.
    pub const DOWN_FOR: i64 = SECOND;

    fn covers(&self, time: i64) -> bool {
        self.from <= time && self.until.is_none_or(|until| time < until)
    }

    /// The step in force at a time that it covers.
    fn at(&self, time: i64) -> Step {
        let (round, within) = (
            (time - self.from) / Self::EVERY,
            (time - self.from) % Self::EVERY,
        );
        let crashed = self.from + round * Self::EVERY;
        if within < Self::DOWN_FOR {
            return Step {
                at: crashed,
                pid: None,
            };
        }
        let later = u32::try_from(round + 1).unwrap_or(u32::MAX);
        Step {
            at: crashed + Self::DOWN_FOR,
            pid: Some(self.pid.wrapping_add(later.wrapping_mul(7))),
        }
    }
}

/// A way in which a node takes a restart badly, until that is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quirk {
    /// What is wrong stays wrong after a restart.
    Stubborn,
    /// The first service does not come up again.
    StaysDown,
    /// The datastore's stop leaves its lock files, and the next start fails on them.
    DirtyStop,
}

/// A kind of trouble that fills the journal while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TroubleKind {
    /// `[err: TIMEOUT, msg: net:route:3]`, with the request dumped.
    Timeout,
    /// `[err: NO_SHARD, msg: rt:route:2]`.
    NoShard,
    /// The same with debug logs: the line before names the protocol.
    NoShardTold,
    /// A service gets no connection to PostgreSQL.
    NoDatastore,
    /// PostgreSQL has given out all its connections.
    TooManyClients,
}

impl TroubleKind {
    /// Whether restarting a node of that role is its cure.
    pub fn is_cured_by(self, role: &str) -> bool {
        match self {
            Self::Timeout => role == "api",
            Self::NoShard => role == "jobsrv",
            Self::NoShardTold => role == "sessionsrv",
            Self::NoDatastore | Self::TooManyClients => role == "datastore",
        }
    }
}

/// A time during which the journal fills with one kind of error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What kind.
    pub kind: TroubleKind,
    /// Since when.
    pub from: i64,
    /// Until when; none while it lasts.
    pub until: Option<i64>,
}

/// A line that somebody or something caused, as opposed to those that are made up as time passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: i64,
    /// `SYSLOG_IDENTIFIER`.
    pub identifier: String,
    /// The process.
    pub pid: u32,
    /// The unit it belongs to.
    pub unit: String,
    /// The line.
    pub message: String,
}

/// Everything there is to know of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `live-builder-api-0`.
    pub name: String,
    /// `live` or `acceptance`.
    pub environment: String,
    /// `api`, `worker` …
    pub role: String,
    /// The host name in its journal: `ip-10-0-0-147`.
    pub host: String,
    /// `i-…`.
    pub instance_id: String,
    /// The format of its `hab sup status`.
    pub status_format: StatusFormat,
    /// The format of its services' lines.
    pub log_style: LogStyle,
    /// The version of systemd: 229 (Ubuntu 16.04) or 245.
    pub systemd: u32,
    /// How far its clock is ahead of the machine's.
    pub skew: i64,
    /// When it booted.
    pub booted: i64,
    /// When its journal begins.
    pub journal_from: i64,
    /// What everything made up is made from.
    pub seed: u64,
    /// The next process id.
    pub next_pid: u32,
    /// The second interface of a worker.
    pub interface: Interface,
    /// The lives of the Supervisor, oldest first.
    pub runs: Vec<Run>,
    /// The lives of the sentinel bot, oldest first; none where the node does not run it.
    pub sentinel: Vec<Run>,
    /// Its services.
    pub services: Vec<Service>,
    /// Its troubles, past and present.
    pub troubles: Vec<Trouble>,
    /// The nodes whose present trouble ends when this one's Supervisor restarts.
    pub cures: Vec<String>,
    /// How it takes a restart badly.
    pub quirks: Vec<Quirk>,
    /// Whether a dirty stop left the datastore's lock files behind.
    pub left_locks: bool,
    /// Lines that were caused.
    pub events: Vec<Event>,
}

impl Node {
    /// Reads a node's state.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(STATE);
        let text =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("cannot understand {}", path.display()))
    }

    /// Writes a node's state in one go: a reader sees the old one or the new one.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let fresh = dir.join("node.json.new");
        let mut file =
            File::create(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
        file.write_all(&serde_json::to_vec(self)?)
            .with_context(|| format!("cannot write {}", fresh.display()))?;
        std::fs::rename(&fresh, dir.join(STATE))
            .with_context(|| format!("cannot replace {}", fresh.display()))
    }

    /// Changes a node's state while nobody else does.
    pub fn change<T>(dir: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T> {
        let path = dir.join(LOCK);
        let lock =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        lock.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        let mut node = Self::read(dir)?;
        let result = change(&mut node);
        node.write(dir)?;
        Ok(result)
    }

    /// The node's clock.
    pub fn now(&self) -> i64 {
        machine_now() + self.skew
    }

    /// The Supervisor's present life, if it runs.
    pub fn running(&self) -> Option<&Run> {
        self.runs.last().filter(|run| run.until.is_none())
    }

    /// The Supervisor's life at a time.
    pub fn run_at(&self, time: i64) -> Option<&Run> {
        self.runs
            .iter()
            .rev()
            .find(|run| run.from <= time && run.until.is_none_or(|until| time < until))
    }

    /// A process id nobody has.
    pub fn pid(&mut self) -> u32 {
        self.next_pid += 3;
        self.next_pid
    }

    /// Adds a line of the unit `hab-sup` by the Supervisor's process.
    pub fn say(&mut self, at: i64, pid: u32, message: impl Into<String>) {
        self.event(at, "hab", pid, "hab-sup.service", message);
    }

    /// Adds a line.
    pub fn event(
        &mut self,
        at: i64,
        identifier: &str,
        pid: u32,
        unit: &str,
        message: impl Into<String>,
    ) {
        self.events.push(Event {
            at,
            identifier: identifier.into(),
            pid,
            unit: unit.into(),
            message: message.into(),
        });
        forget(&mut self.events);
    }

    /// Whether it has this quirk.
    pub fn is(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// Moves a worker's second interface, and says what the worker says of one that is gone.
    pub fn move_interface(&mut self, to: Interface) {
        self.interface = to;
        if to == Interface::Namespace {
            return;
        }
        let (now, pid) = (self.now(), self.running().map_or(1, |run| run.pid));
        let group = format!("builder-worker.{}(O)", self.environment);
        self.say(
            now,
            pid,
            format!("{group}: Device \"ens4\" does not exist."),
        );
        let words = "FATAL: Could not find network interface ens4";
        self.say(now + 1_000, pid, format!("{group}: {words}"));
    }

    /// Whether this kind of trouble lasts.
    pub fn troubled(&self, kind: TroubleKind) -> bool {
        self.troubles
            .iter()
            .any(|trouble| trouble.kind == kind && trouble.until.is_none())
    }

    /// Starts or ends a kind of trouble.
    pub fn trouble(&mut self, kind: TroubleKind, on: bool) {
        let now = self.now();
        if on && !self.troubled(kind) {
            // It has been going on for a while: whoever looks at once finds more than a line or two.
            self.troubles.push(Trouble {
                kind,
                from: now - BEFORE_NOTICED,
                until: None,
            });
            forget(&mut self.troubles);
        } else if !on {
            self.calm(|known| known == kind);
        }
    }

    /// Ends the troubles for which this holds.
    pub fn calm(&mut self, which: impl Fn(TroubleKind) -> bool) {
        let now = self.now();
        for trouble in self
            .troubles
            .iter_mut()
            .filter(|trouble| trouble.until.is_none() && which(trouble.kind))
        {
            trouble.until = Some(now);
        }
    }
}

/// The machine's clock, in microseconds.
pub fn machine_now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// 32 hexadecimal digits that depend on the two.
pub fn invocation(seed: u64, time: i64) -> String {
    let time = time.cast_unsigned();
    format!(
        "{:016x}{:016x}",
        mix(seed ^ mix(time)),
        mix(seed.wrapping_add(time) ^ 0x5bd1_e995)
    )
}

/// The finaliser of splitmix64: a cheap, even hash, the same on every run.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Drops the oldest of a list that has grown too long.
pub fn forget<T>(list: &mut Vec<T>) {
    if list.len() > REMEMBERED {
        list.drain(..list.len() - REMEMBERED);
    }
}
