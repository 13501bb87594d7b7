//! What the status script printed, read part by part.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    clients::ssh::{End, Output},
    domain::supervisor::{self, Report, Service},
    handlers::{
        parts::{Parts, reason, well},
        supervisor::text,
    },
};

/// One node's answer; each part is there or says why not.
pub struct Reading {
    /// Loaded services.
    pub services: Result<Vec<Service>, String>,
    /// The unit's state and since when.
    pub unit: Result<String, String>,
    /// Load of one, five and fifteen minutes over the processors.
    pub load: Result<String, String>,
    /// Memory in use.
    pub memory: Result<Share, String>,
    /// The fullest of `/` and `/hab`.
    pub disk: Result<Share, String>,
    /// Seconds that the node's clock is ahead of ours.
    pub clock: Result<f64, String>,
}

/// How much of something is in use.
#[derive(Clone, Debug)]
pub struct Share {
    /// In per cent.
    pub used_percent: u64,
    /// Of how many KiB.
    pub total_kib: u64,
    /// Of what, where that needs saying.
    pub of: String,
}

impl fmt::Display for Share {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.of.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.of)
        };
        write!(
            f,
            "{}% of {:.1} GiB{of}",
            self.used_percent,
            self.total_kib as f64 / 1024.0 / 1024.0
        )
    }
}

impl Reading {
    /// Reads the script's output, heard at that moment after the command took that long.
    pub fn of(text: &str, heard: Timestamp, took: Duration) -> Self {
        let parts = Parts::of(text);
        let part = |name: &str| parts.get(name);
        Self {
            services: services(part("services")),
            unit: unit(part("unit")),
            load: load(part("load"), part("cpus")),
            memory: memory(part("memory")),
            disk: disk(part("disk")),
            clock: clock(part("date"), heard, took),
        }
    }
}

/// The services as they count: to have none is a fault.
pub fn loaded(services: Vec<Service>) -> Result<Vec<Service>, String> {
    if services.is_empty() {
        return Err("no services loaded".to_owned());
    }
    Ok(services)
}

/// What `hab` says where it was asked alone.
pub fn of_hab(answer: &Output) -> Result<Vec<Service>, String> {
    let End::Exit(exit) = answer.end else {
        return Err("no service list: hab was cut off".to_owned());
    };
    services(Some((&text(answer), exit)))
}

type Part<'a> = Option<(&'a str, u32)>;

fn services(part: Part<'_>) -> Result<Vec<Service>, String> {
    let (text, exit) = part.ok_or_else(|| "no answer about services".to_owned())?;
    match supervisor::read(text, exit) {
        Report::Services(services) => Ok(services),
        Report::Nothing => loaded(Vec::new()),
        Report::NotRunning => Err("the Supervisor is not running".to_owned()),
        Report::NotLoaded => Err("not loaded".to_owned()),
        Report::Unknown(_) => Err(format!(
            "no service list: hab sup status: {}",
            reason(text, exit)
        )),
    }
}

/// `builder-api up 1d 1h pid 40751`.
pub fn service_cell(service: &Service) -> String {
    let since = service
        .elapsed
        .map(|seconds| format!(" {}", short(seconds)))
        .unwrap_or_default();
    let pid = service
        .pid
        .map(|pid| format!(" pid {pid}"))
        .unwrap_or_default();
    format!("{} {}{since}{pid}", service.name(), service.state.word())
}

fn unit(part: Part<'_>) -> Result<String, String> {
    let text = well(part)?;
    let fields: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let state = fields.get("ActiveState").copied().unwrap_or("unknown");
    let sub = fields.get("SubState").copied().unwrap_or_default();
    if state != "active" {
        return Err(format!("{state} {sub}").trim().to_owned());
    }
    let pid = fields.get("MainPID").copied().filter(|pid| *pid != "0");
    let since = fields
        .get("ActiveEnterTimestamp")
        .copied()
        .filter(|since| !since.is_empty());
    let restarts = fields
        .get("NRestarts")
        .copied()
        .filter(|count| !matches!(*count, "" | "0"));
    let mut said = state.to_owned();
    if let Some(since) = since {
        // `Mon 2017-11-13 10:00:00 UTC`: the weekday says nothing here.
        let since = since.split_once(' ').map_or(since, |(_, rest)| rest);
        let _ = write!(said, " since {since}");
    }
    if let Some(pid) = pid {
        let _ = write!(said, ", pid {pid}");
    }
    if let Some(restarts) = restarts {
        let _ = write!(said, ", {restarts} restarts");
    }
    Ok(said)
}

fn load(part: Part<'_>, cpus: Part<'_>) -> Result<String, String> {
    let text = well(part)?;
    let averages: Vec<&str> = text.split_whitespace().take(3).collect();
    if averages.len() < 3 {
        return Err("unreadable".to_owned());
    }
    let cpus = well(cpus).ok().and_then(|text| text.parse::<u32>().ok());
    let over = cpus
        .map(|cpus| format!(" on {cpus} CPUs"))
        .unwrap_or_default();
    Ok(format!("{}{over}", averages.join(" ")))
}

fn memory(part: Part<'_>) -> Result<Share, String> {
    let text = well(part)?;
    let field = |name: &str| -> Option<u64> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    let total = field("MemTotal")
        .filter(|total| *total > 0)
        .ok_or("unreadable")?;
    let available = field("MemAvailable")
        .or_else(|| field("MemFree"))
        .ok_or("unreadable")?;
    Ok(Share {
        used_percent: total.saturating_sub(available) * 100 / total,
        total_kib: total,
        of: String::new(),
    })
}

/// `df` may end badly because one of the two is missing; the rows it did print count.
fn disk(part: Part<'_>) -> Result<Share, String> {
    let (text, exit) = part.ok_or_else(|| "no answer".to_owned())?;
    let shares = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [_, total, used, _, percent, mount @ ..] = cells.as_slice() else {
            return None;
        };
        let _: u64 = used.parse().ok()?;
        Some(Share {
            used_percent: percent.strip_suffix('%')?.parse().ok()?,
            total_kib: total.parse().ok()?,
            of: mount.first().copied().unwrap_or_default().to_owned(),
        })
    });
    shares
        .max_by_key(|share| share.used_percent)
        .ok_or_else(|| reason(text, exit))
}

/// The node's clock against ours at the middle of the exchange.
fn clock(part: Part<'_>, heard: Timestamp, took: Duration) -> Result<f64, String> {
    let text = well(part)?;
    // A `date` without %N prints it as it stands.
    let seconds: f64 = text
        .trim_end_matches(".%N")
        .trim_end_matches(".N")
        .parse()
        .map_err(|_| "unreadable".to_owned())?;
    let middle = heard.as_duration().as_secs_f64() - took.as_secs_f64() / 2.0;
    let skew = seconds - middle;
    // Within the exchange's own length nothing can be told.
    Ok(if skew.abs() <= took.as_secs_f64() / 2.0 {
        0.0
    } else {
        skew
    })
}

/// `45 s`, `12 min`, `3h 10m`, `2d 4h`.
fn short(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m", seconds / 60),
        3_600..=86_399 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::Reading;

    const WELL: &str = "\n@@date\n1000000005.5\n\n@exit 0\n\n@@unit\nActiveState=active\nSubState=running\nMainPID=812\n\
        ActiveEnterTimestamp=Mon 2017-11-13 10:00:00 UTC\nNRestarts=0\n\n@exit 0\n\n@@services\n\
        package  type  state  elapsed (s)  pid  group\ncore/builder-api/1/2  standalone  up  90215  40751  builder-api.live\n\n@exit 0\n\
        \n@@uptime\n90000.1 1.0\n\n@exit 0\n\n@@load\n0.10 0.20 0.30 1/200 9\n\n@exit 0\n\n@@cpus\n4\n\n@exit 0\n\
        \n@@memory\nMemTotal: 8000000 kB\nMemFree: 100 kB\nMemAvailable: 2000000 kB\n\n@exit 0\n\
        \n@@disk\nFilesystem 1024-blocks Used Available Capacity Mounted on\n/dev/xvda1 8000000 4000000 4000000 50% /\n/dev/xvdb 8000000 7600000 400000 95% /hab\n\n@exit 0\n";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_healthy_node_is_read_whole() {
        let reading = Reading::of(WELL, at(1_000_000_000), Duration::from_millis(20));
        let services = reading.services.unwrap();
        assert_eq!(
            super::service_cell(&services[0]),
            "builder-api up 1d 1h pid 40751"
        );
        assert_eq!(
            reading.unit.unwrap(),
            "active since 2017-11-13 10:00:00 UTC, pid 812"
        );
        assert_eq!(reading.load.unwrap(), "0.10 0.20 0.30 on 4 CPUs");
        assert_eq!(reading.memory.unwrap().used_percent, 75);
        assert_eq!(reading.disk.unwrap().to_string(), "95% of 7.6 GiB (/hab)");
        assert!((reading.clock.unwrap() - 5.51).abs() < 0.001);
    }

    #[test]
    fn what_is_missing_says_why() {
        let text = "\n@@services\nsh: 1: sudo: not found\n\n@exit 127\n\n@@unit\nsystemctl: not found\n\n@exit 127\n\n@@load\n\n@exit 1\n";
        let reading = Reading::of(text, at(0), Duration::ZERO);
        assert_eq!(
            reading.services.unwrap_err(),
            "no service list: hab sup status: not on this node"
        );
        assert_eq!(reading.unit.unwrap_err(), "not on this node");
        assert_eq!(reading.load.unwrap_err(), "exit 1");
        assert_eq!(reading.memory.unwrap_err(), "no answer");
        assert_eq!(reading.clock.unwrap_err(), "no answer");
    }
}
