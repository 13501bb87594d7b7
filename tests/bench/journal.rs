//! What reading a 200 MB journal costs the bot in memory: the peak of a whole `habops do -- logs` beside the same on a journal of no more
//! lines than are shown at most. What is shown costs the same of both.

use std::{fs, path::Path, process::Command};

use super::{
    super::journal::{Nodes, Said, THEN},
    median, rounds,
};

/// Entries of a small journal: as many as `--lines` takes.
const FEW: i64 = 2_000;
/// Entries of a big journal: some 400 bytes each in its files, with their index.
const ENTRIES: i64 = 600_000;
/// Written at a time.
const BATCH: i64 = 50_000;
/// What the big one may cost more, in KiB.
const MOST: f64 = 4.0 * 1024.0;

/// Runs the program and prints the peak of its resident memory in KiB.
const PEAK: &str = "import resource,subprocess,sys; subprocess.run(sys.argv[1:],check=True,stdout=subprocess.DEVNULL); \
                    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";

#[test]
#[ignore = "measures, with 200 MB of disk; run by hand"]
fn a_journal_of_200_mb_costs_the_bot_less_than_4_mb() {
    let mut missed = Vec::new();
    for refuses_grep in [false, true] {
        let (small, big) = (Nodes::new(1, refuses_grep), Nodes::new(1, refuses_grep));
        write(&small, 0..FEW);
        for first in (0..ENTRIES).step_by(usize::try_from(BATCH).unwrap()) {
            write(&big, first..first + BATCH);
        }
        let size = size(&big.journal(0));
        assert!(size > 200_000_000, "only {size} bytes");
        let kind = if refuses_grep {
            "without --grep"
        } else {
            "with --grep"
        };
        for line in [
            &["logs", "live"][..],
            &["logs", "live", "--lines", "2000"],
            &["logs", "live", "--grep", "job 4242"],
            &["logs", "live", "--around", "2017-11-17 00:00"],
        ] {
            let (before, after) = (peak(&small, line), peak(&big, line));
            let more = after - before;
            let what = format!("{} of {} MB, {kind}", line.join(" "), size / 1_000_000);
            let verdict = if more < MOST { "met" } else { "missed" };
            println!(
                "| {what} | {after:.0} KiB; with {FEW} lines {before:.0} KiB; {more:+.0} KiB | {MOST:.0} KiB: {verdict} |"
            );
            if more >= MOST {
                missed.push(what);
            }
        }
    }
    assert!(missed.is_empty(), "missed by {missed:?}");
}

/// Of all its files: a full one is set aside and the next begun.
fn size(journal: &Path) -> u64 {
    let files = fs::read_dir(journal).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

fn write(nodes: &Nodes, numbers: std::ops::Range<i64>) {
    let lines: Vec<String> = numbers
        .clone()
        .map(|number| format!("builder-worker.live(O): INFO:habitat_builder_worker::runner: building core/redis, job {number}, {:x}", number * 7_919))
        .collect();
    let said = lines.iter().zip(numbers).map(|(line, number)| Said {
        micros: THEN * 1_000_000 + number * 100_000,
        message: line.as_bytes(),
    });
    nodes.says(0, &said.collect::<Vec<_>>());
}

/// The median of the peaks, in KiB.
fn peak(nodes: &Nodes, line: &[&str]) -> f64 {
    let config = nodes.config();
    let peaks: Vec<f64> = (0..rounds())
        .map(|_| {
            let output = Command::new("python3")
                .args([
                    "-c",
                    PEAK,
                    env!("CARGO_BIN_EXE_habops"),
                    "do",
                    "--json",
                    "--config",
                ])
                .arg(&config)
                .arg("--")
                .args(line)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            said.parse().unwrap_or_else(|_| panic!("{output:?}"))
        })
        .collect();
    median(&peaks)
}
