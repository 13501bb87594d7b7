//! What a node tells about its machine: uptime, load, memory, disks, clock, name. Whatever is not about the imaginary
//! node is passed to the machine's own program.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::state::{Node, SECOND, mix};
use super::Place;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How long one load stays, in seconds.
const LOAD_STAYS: i64 = 30;

pub(super) fn run(place: &mut Place<'_>, name: &str, args: &[String]) -> Result<i32> {
    let node = place.node()?;
    match name {
        "uptime" => uptime(place, &node, args),
        "df" => df(place, &node, args),
        "cat" => cat(place, &node, args),
        "date" => date(place, &node, args),
        "hostname" if args.is_empty() || args == ["-s"] => line(place, &node.host),
        "whoami" => line(place, "ubuntu"),
        "nproc" => line(place, if node.role == "worker" { "4" } else { "2" }),
        "uname" if args == ["-n"] => line(place, &node.host),
        "uname" | "hostname" => place.pass_through(&format!("/usr/bin/{name}"), args),
        _ => place.refuse(127, &format!("sh: 1: {name}: not found")),
    }
}

fn line(place: &mut Place<'_>, words: &str) -> Result<i32> {
    writeln!(place.out, "{words}")?;
    Ok(0)
}

fn up_for(node: &Node) -> i64 {
    (node.now() - node.booted) / SECOND
}

/// The three load averages, in hundredths: calm, and busy where something goes wrong.
fn load(node: &Node) -> [i64; 3] {
    let busy = i64::from(node.troubles.iter().any(|trouble| trouble.until.is_none())) * 180;
    let turn = (node.now() / SECOND / LOAD_STAYS).cast_unsigned();
    let part = |salt: u64, below: u64| {
        i64::try_from(mix(node.seed ^ turn.wrapping_add(salt)) % below).unwrap_or(0)
    };
    let base = if node.role == "worker" { 90 } else { 12 };
    [
        base + busy + part(1, 25),
        base + busy / 2 + part(2, 12),
        base + busy / 4 + part(3, 6),
    ]
}

fn hundredths(value: i64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

fn uptime(place: &mut Place<'_>, node: &Node, args: &[String]) -> Result<i32> {
    let up = up_for(node);
    let (days, hours, minutes) = (up / DAY, up % DAY / HOUR, up % HOUR / MINUTE);
    match args.first().map(String::as_str) {
        Some("-s" | "--since") => line(place, &moment(node.booted, "%Y-%m-%d %H:%M:%S")?),
        Some("-p" | "--pretty") => {
            let parts = [
                (days / 7, "week"),
                (days % 7, "day"),
                (hours, "hour"),
                (minutes, "minute"),
            ];
            let words: Vec<String> = parts
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, unit)| {
                    format!("{count} {unit}{}", if *count == 1 { "" } else { "s" })
                })
                .collect();
            line(place, &format!("up {}", words.join(", ")))
        }
        Some(option) => place.refuse(
            1,
            &format!(
                "uptime: invalid option -- '{}'",
                option.trim_start_matches('-')
            ),
        ),
        None => {
            let clock = moment(node.now(), "%H:%M:%S")?;
            let days = match days {
                0 => String::new(),
                1 => "1 day, ".into(),
                days => format!("{days} days, "),
            };
            let hours = if hours > 0 {
                format!("{hours:2}:{minutes:02}")
            } else {
                format!("{minutes} min")
            };
            let [one, five, fifteen] = load(node).map(hundredths);
            line(
                place,
                &format!(
                    " {clock} up {days}{hours},  1 user,  load average: {one}, {five}, {fifteen}"
                ),
            )
        }
    }
}

fn moment(time: i64, format: &str) -> Result<String> {
    let time = Timestamp::from_microsecond(time).context("cannot tell the time")?;
    Ok(time.to_zoned(TimeZone::UTC).strftime(format).to_string())
}

/// A disk: device, size and used space in KiB, where it is mounted.
type Disk = (&'static str, i64, i64, &'static str);

fn disks(node: &Node) -> Vec<Disk> {
    let used = |salt: u64, size: i64, least: i64, spread: u64| {
        size / 100 * (least + i64::try_from(mix(node.seed ^ salt) % spread).unwrap_or(0))
    };
    let root = 8_065_444;
    let hab = if node.role == "datastore" {
        1_548_006_400
    } else {
        51_474_912
    };
    // One disk worth looking at, so that a table sorted by worst first has something to sort.
    let least = if node.name == "live-builder-worker-0" {
        91
    } else {
        24
    };
    vec![
        ("/dev/xvda1", root, used(11, root, 31, 20), "/"),
        ("/dev/xvdf", hab, used(12, hab, least, 5), "/hab"),
    ]
}

fn df(place: &mut Place<'_>, node: &Node, args: &[String]) -> Result<i32> {
    let (mut human, mut posix, mut paths) = (false, false, Vec::new());
    for word in args {
        match word.strip_prefix('-') {
            Some("-portability") => posix = true,
            Some("-human-readable") => human = true,
            Some("-") => {}
            Some(letters)
                if !letters.is_empty()
                    && letters.chars().all(|letter| "Pkhlx".contains(letter)) =>
            {
                human |= letters.contains('h');
                posix |= letters.contains('P');
            }
            Some(other) => {
                return place.refuse(
                    1,
                    &format!("df: invalid option -- '{}'", other.trim_start_matches('-')),
                );
            }
            None => paths.push(word.as_str()),
        }
    }
    let disks = disks(node);
    let shown: Vec<Disk> = if paths.is_empty() {
        disks
    } else {
        let of = |path: &str| {
            if path == "/hab" || path.starts_with("/hab/") {
                disks[1]
            } else {
                disks[0]
            }
        };
        paths.into_iter().map(of).collect()
    };
    let (size, percent) = match (human, posix) {
        (true, _) => ("Size", "Use%"),
        (false, true) => ("1024-blocks", "Capacity"),
        (false, false) => ("1K-blocks", "Use%"),
    };
    let (used, free) = if human {
        ("Used", "Avail")
    } else {
        ("Used", "Available")
    };
    writeln!(
        place.out,
        "{:<15} {size:>11} {used:>10} {free:>10} {percent:>8} Mounted on",
        "Filesystem"
    )?;
    for (device, size, used, mount) in shown {
        // ext4 keeps a part for root: size is more than used and free together, as on a real disk.
        let free = size - used - size / 20;
        let percent = format!("{}%", (used * 100 + used + free - 1) / (used + free));
        let [size, used, free] = [size, used, free].map(|kib| {
            if human {
                human_size(kib)
            } else {
                kib.to_string()
            }
        });
        writeln!(
            place.out,
            "{device:<15} {size:>11} {used:>10} {free:>10} {percent:>8} {mount}"
        )?;
    }
    Ok(0)
}

fn human_size(kib: i64) -> String {
    let gib = kib / 1024 / 1024;
    if gib >= 1024 {
        format!("{}.{}T", gib / 1024, gib % 1024 * 10 / 1024)
    } else {
        format!("{gib}G")
    }
}

/// Serves the three files of `/proc` that tell about the node; reads the others as they are.
fn cat(place: &mut Place<'_>, node: &Node, args: &[String]) -> Result<i32> {
    if !args.iter().any(|path| imaginary(node, path).is_some()) {
        return place.pass_through("/bin/cat", args);
    }
    let mut code = 0;
    for path in args {
        if let Some(text) = imaginary(node, path) {
            place.out.write_all(text.as_bytes())?;
        } else {
            code = code.max(place.pass_through("/bin/cat", std::slice::from_ref(path))?);
        }
    }
    Ok(code)
}

fn imaginary(node: &Node, path: &str) -> Option<String> {
    match path {
        "/proc/uptime" => {
            let up = (node.now() - node.booted) / (SECOND / 100);
            Some(format!("{} {}\n", hundredths(up), hundredths(up / 10 * 19)))
        }
        "/proc/loadavg" => {
            let [one, five, fifteen] = load(node).map(hundredths);
            Some(format!("{one} {five} {fifteen} 1/187 {}\n", node.next_pid))
        }
        "/proc/meminfo" => {
            let total: i64 = if node.role == "worker" {
                16_424_644
            } else {
                8_175_076
            };
            let free = total / 100 * (9 + i64::try_from(mix(node.seed ^ 0x15) % 30).unwrap_or(0));
            let rows = [
                ("MemTotal", total),
                ("MemFree", free),
                ("MemAvailable", free + total / 4),
                ("Buffers", 182_344),
                ("Cached", total / 4),
                ("SwapCached", 0),
                ("SwapTotal", 0),
                ("SwapFree", 0),
            ];
            let mut text = String::new();
            for (name, kib) in rows {
                let _ = writeln!(text, "{:<16}{kib:>8} kB", format!("{name}:"));
            }
            Some(text)
        }
        path => super::files::content(node, path),
    }
}

/// The node's clock: the machine's `date` told what time it is there, unless the caller says which time to show.
fn date(place: &mut Place<'_>, node: &Node, args: &[String]) -> Result<i32> {
    let chooses = |word: &String| {
        ["-d", "--date", "-f", "--file", "-r", "--reference"]
            .iter()
            .any(|option| word.starts_with(option))
    };
    if args.iter().any(chooses) {
        return place.pass_through("/bin/date", args);
    }
    let now = node.now();
    let mut words = vec![
        "-d".to_owned(),
        format!("@{}.{:06}", now / SECOND, now % SECOND),
    ];
    words.extend_from_slice(args);
    place.pass_through("/bin/date", &words)
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::Fleet;

    #[test]
    fn uptime_reads_like_the_real_one() {
        let fleet = Fleet::new();
        let text = fleet.run("live-builder-api-0", "uptime").1;
        let pattern = r"^ \d\d:\d\d:\d\d up \d+ days, ([ \d]\d:\d\d|\d+ min),  1 user,  load average: \d+\.\d\d, \d+\.\d\d, \d+\.\d\d\n$";
        assert!(
            regex::Regex::new(pattern).unwrap().is_match(&text),
            "{text}"
        );
        assert!(
            fleet
                .run("live-builder-api-0", "uptime -p")
                .1
                .starts_with("up ")
        );
    }

    #[test]
    fn df_gives_whole_columns_for_the_disks_asked() {
        let fleet = Fleet::new();
        let (code, text, _) = fleet.run("live-builder-worker-0", "df -P -k / /hab");
        assert_eq!(code, 0);
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows[0],
            [
                "Filesystem",
                "1024-blocks",
                "Used",
                "Available",
                "Capacity",
                "Mounted",
                "on"
            ]
        );
        assert_eq!((rows[1][5], rows[2][5], rows.len()), ("/", "/hab", 3));
        assert!(rows[2][4].trim_end_matches('%').parse::<u32>().unwrap() > 90);
    }

    #[test]
    fn proc_files_are_the_nodes_own() {
        let fleet = Fleet::new();
        let text = fleet
            .run("live-builder-api-0", "cat /proc/loadavg /proc/uptime")
            .1;
        assert_eq!(
            text.lines()
                .map(|line| line.split(' ').count())
                .collect::<Vec<_>>(),
            [5, 2]
        );
        assert!(
            fleet
                .run("live-builder-api-0", "cat /proc/meminfo")
                .1
                .contains("MemAvailable:")
        );
    }
}
