//! What `query origins` costs beside the guide's loop of 128 psql calls: same cluster, same run, turn by turn. By hand:
//!
//! `cargo test --release -- --ignored --nocapture bench_query`

use std::{
    process::Command,
    time::{Duration, Instant},
};

use habops::{
    catalogue::Catalogue, clients::datastore::Question, domain::command::Source,
    sandbox::datastore::OWNER,
};

use super::datastore::{client, config, shared};

const ROUNDS: usize = 7;

/// The guide's own loop, on TCP because the sandbox has no socket file.
const LOOP: &str = r#"for i in {0..127}; do psql -h 127.0.0.1 -p "$1" -U "$2" -d builder_originsrv -c "SELECT 'shard_${i}' as shard, name FROM shard_${i}.origins;"; done"#;

#[test]
#[ignore = "measures, and judges nothing; run by hand"]
fn query_origins_beside_the_guides_loop() {
    let catalogue = Catalogue::embedded().unwrap();
    let spec = catalogue.commands.get("query origins").unwrap();
    let Source::Query(query) = &spec.source else {
        panic!("`query origins` is no query");
    };
    let question = Question {
        query: query.clone(),
        values: Vec::new(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ours, guides): (Vec<Duration>, Vec<Duration>) = runtime.block_on(async {
        let client = client(&config(shared(), ""));
        let ask = async || {
            let begun = Instant::now();
            let answers = client.ask_all(&question).await;
            let took = begun.elapsed();
            assert!(answers.len() == 128 && answers.iter().all(|(_, answer)| answer.is_ok()));
            took
        };
        // Warm on both sides: connections, and the server's own caches.
        for _ in 0..3 {
            ask().await;
        }
        guides_loop();
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push((ask().await, guides_loop()));
        }
        rounds.into_iter().unzip()
    });
    let (ours, guides) = (told(ours), told(guides));
    println!(
        "query origins: {:.1} ms ({:.1} to {:.1}); 128 psql calls: {:.0} ms ({:.0} to {:.0}); {:.0} times faster",
        ours[1],
        ours[0],
        ours[2],
        guides[1],
        guides[0],
        guides[2],
        guides[1] / ours[1]
    );
}

fn guides_loop() -> Duration {
    let begun = Instant::now();
    let ran = Command::new("bash")
        .args(["-c", LOOP, "bash", &shared().port().to_string(), OWNER])
        .env("PGPASSWORD", shared().reader_password())
        .output()
        .unwrap();
    let took = begun.elapsed();
    let shards = String::from_utf8_lossy(&ran.stdout).matches("row").count();
    assert!(ran.status.success() && shards >= 128, "{ran:?}");
    took
}

/// Least, median and most, in milliseconds.
fn told(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort_unstable();
    [0, times.len() / 2, times.len() - 1].map(|at| times[at].as_secs_f64() * 1_000.0)
}
