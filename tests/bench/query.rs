//! What `query origins` costs beside the guide's loop of 128 psql calls: same cluster, same run, turn by turn, both warm.

use std::{process::Command, time::Instant};

use habops::{
    catalogue::Catalogue, clients::datastore::Question, domain::command::Source,
    sandbox::datastore::OWNER,
};

use super::{
    super::datastore::{client, config, shared},
    median, rounds, spread,
};

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
    let (ours, guides): (Vec<f64>, Vec<f64>) = runtime.block_on(async {
        let client = client(&config(shared(), ""));
        let ask = async || {
            let begun = Instant::now();
            let answers = client.ask_all(&question).await;
            let took = milliseconds(begun);
            assert!(answers.len() == 128 && answers.iter().all(|(_, answer)| answer.is_ok()));
            took
        };
        // Warm on both sides: connections, and the server's own caches.
        for _ in 0..3 {
            ask().await;
        }
        guides_loop();
        let mut took = Vec::new();
        for _ in 0..rounds() {
            took.push((ask().await, guides_loop()));
        }
        took.into_iter().unzip()
    });
    println!(
        "| query origins, 128 shards, warm | {} ms; 128 psql calls {} ms; {:.0}× | 50× |",
        spread(&ours, 1),
        spread(&guides, 0),
        median(&guides) / median(&ours)
    );
}

fn guides_loop() -> f64 {
    let begun = Instant::now();
    let ran = Command::new("bash")
        .args(["-c", LOOP, "bash", &shared().port().to_string(), OWNER])
        .env("PGPASSWORD", shared().reader_password())
        .output()
        .unwrap();
    let took = milliseconds(begun);
    let shards = String::from_utf8_lossy(&ran.stdout).matches("row").count();
    assert!(ran.status.success() && shards >= 128, "{ran:?}");
    took
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}
