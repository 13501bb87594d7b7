//! `/habops shard`: which shard a name or an id is in, how that is known, and, with the datastore at hand, whether it really is there.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Handler, Look, Result, Work};
use crate::{
    clients::datastore::{Client, Found, Sought},
    domain::{
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        shard::{self, DATABASES, Id, SHARDED, SHARDS, schema},
    },
};

/// A name, an id, or `origin/package`.
#[derive(Deserialize, Serialize)]
pub struct Args {
    what: String,
}

/// The word in the registry.
pub struct Shard;

/// One way to read what was typed.
struct Reading {
    /// What it is read as, where that is not plain.
    by: &'static str,
    shard: u16,
    how: String,
    sought: Sought,
    /// Whether there is such a shard.
    real: bool,
}

/// How many shards there are, and which databases have them.
struct Layout<'a> {
    shards: u16,
    client: Option<&'a Client>,
}

impl Handler for Shard {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let what = plan.plan().what.as_str();
        let layout = Layout::of(work.look.clients.datastore.as_ref());
        let readings = layout.readings(what);
        let mut output = computed(what, &readings, &layout);
        match layout.client {
            None => {
                output = output.text("No [datastore] is configured, so no row was looked for.");
            }
            Some(client) => looked_up(&mut output, what, &readings, client).await,
        }
        Ok(output.into())
    }

    fn by_hand(plan: &Args, look: &Look) -> Vec<String> {
        let layout = Layout::of(look.clients.datastore.as_ref());
        let real = layout.readings(&plan.what).into_iter();
        real.filter(|reading| reading.real)
            .flat_map(|reading| layout.psql(reading.shard))
            .collect()
    }
}

impl<'a> Layout<'a> {
    fn of(client: Option<&'a Client>) -> Self {
        Self {
            shards: client.map_or(SHARDS, Client::shards),
            client,
        }
    }

    fn is_sharded(&self, database: &str) -> bool {
        self.client.map_or(SHARDED.contains(&database), |client| {
            client.is_sharded(database)
        })
    }

    /// Digits are an id to `op` and may still be a name: both are told.
    fn readings(&self, what: &str) -> Vec<Reading> {
        let mut readings = Vec::new();
        if let Some(id) = shard::id(what) {
            readings.push(self.of_id(id));
        }
        readings.push(self.of_name(what, !readings.is_empty()));
        readings
    }

    fn of_id(&self, id: Id) -> Reading {
        let real = id.shard() < self.shards;
        let how = if real {
            format!(
                "its low 13 bits are {}; number {} of its millisecond, made {} UTC",
                id.shard(),
                id.sequence(),
                id.made().strftime("%Y-%m-%d %H:%M:%S%.3f")
            )
        } else {
            format!(
                "its low 13 bits are {}, and no shard is over {}: not an id of Builder's, perhaps a GitHub user's",
                id.shard(),
                self.shards - 1
            )
        };
        Reading {
            by: "as an id",
            shard: id.shard(),
            how,
            sought: Sought::Id(id.0),
            real,
        }
    }

    fn of_name(&self, what: &str, digits: bool) -> Reading {
        let name = shard::origin(what);
        let number = shard::of_name(name, self.shards);
        let mut how = format!(
            "FNV-1a 64 of `{name}` is {:#018x}, modulo {} it is {number}",
            shard::hash(name),
            self.shards
        );
        let lower = name.to_ascii_lowercase();
        if lower != name {
            let lowered = schema(shard::of_name(&lower, self.shards));
            let _ = write!(how, "; capitals count, `{lower}` would be in {lowered}");
        }
        Reading {
            by: if digits { "as a name" } else { "by name" },
            shard: number,
            how,
            sought: if name == what {
                Sought::Name(what.to_owned())
            } else {
                Sought::Package(what.to_owned())
            },
            real: true,
        }
    }

    /// The lines that open each sharded database in that shard.
    fn psql(&self, shard: u16) -> Vec<String> {
        let sharded = DATABASES.into_iter().filter(|name| self.is_sharded(name));
        let lines = sharded.filter_map(|database| {
            let words = self.client.map_or_else(
                || vec!["psql".to_owned(), "-d".to_owned(), database.to_owned()],
                |client| client.psql(database),
            );
            let psql = shlex::try_join(words.iter().map(String::as_str)).ok()?;
            Some(format!(
                "PGOPTIONS='-c search_path={}' {psql}",
                schema(shard)
            ))
        });
        lines.collect()
    }
}

/// What needs no datastore.
fn computed(what: &str, readings: &[Reading], layout: &Layout<'_>) -> Output {
    let told: Vec<String> = readings
        .iter()
        .map(|reading| match (reading.real, readings.len()) {
            (true, 1) => format!("is in {}", schema(reading.shard)),
            (true, _) => format!("is in {} {}", schema(reading.shard), reading.by),
            (false, _) => "is no id of Builder's".to_owned(),
        })
        .collect();
    let mut facts: Vec<(String, String)> = readings
        .iter()
        .map(|reading| (reading.by.to_owned(), reading.how.clone()))
        .collect();
    let (sharded, whole): (Vec<&str>, Vec<&str>) = DATABASES
        .into_iter()
        .partition(|database| layout.is_sharded(database));
    facts.push(("sharded".to_owned(), sharded.join(", ")));
    facts.push((
        "not sharded".to_owned(),
        format!("{}: all of it is in shard_0", whole.join(", ")),
    ));
    facts.retain(|(_, value)| !value.starts_with(": ") && !value.is_empty());
    let mut output =
        Output::new(Status::Done, format!("{what} {}", told.join(", "))).with(Part::Facts(facts));
    for reading in readings.iter().filter(|reading| reading.real) {
        let mut lines = vec![format!("SET SEARCH_PATH TO {};", schema(reading.shard))];
        lines.extend(layout.psql(reading.shard));
        output = output.with(Part::Log {
            of: schema(reading.shard),
            text: lines.join("\n"),
        });
    }
    output
}

/// Whether the row is where it should be, and where it is instead.
async fn looked_up(output: &mut Output, what: &str, readings: &[Reading], client: &Client) {
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for reading in readings.iter().filter(|reading| reading.real) {
        for database in reading.sought.databases() {
            let number = client.shard_in(database, reading.shard);
            match client.look_up(&reading.sought, database, number).await {
                Ok(found) => rows.extend(found.iter().map(|found| row(database, number, found))),
                Err(fault) => faults.push((*database, schema(number), fault.to_string())),
            }
        }
    }
    if rows.is_empty() && faults.is_empty() {
        for reading in readings {
            for database in reading.sought.databases() {
                for (number, found) in client.look_everywhere(&reading.sought, database).await {
                    match found {
                        Ok(found) => {
                            rows.extend(found.iter().map(|found| row(database, number, found)));
                        }
                        Err(fault) => faults.push((*database, schema(number), fault.to_string())),
                    }
                }
            }
        }
        let others: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
        let instead = match (others.is_empty(), faults.is_empty()) {
            (false, _) => format!("the row is not there but in {}", others.join(", ")),
            (true, true) => "there is no such row in any shard".to_owned(),
            (true, false) => "no shard that answered has such a row".to_owned(),
        };
        output.title = format!("{}; {instead}", output.title);
    } else if rows.is_empty() {
        output.title = format!("{}; whether its row is there is unknown", output.title);
    } else {
        let kinds: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        output.title = format!("{}; found: {}", output.title, kinds.join(", "));
    }
    if !rows.is_empty() {
        let columns = ["kind", "database", "shard", "name", "id"];
        output.parts.insert(
            0,
            Part::Table {
                columns: columns.map(str::to_owned).to_vec(),
                rows,
            },
        );
    }
    if let Some((database, shard, why)) = faults.first() {
        output.status = Status::Partly;
        let more = match faults.len() {
            1 => String::new(),
            many => format!(" ({} more did not answer)", many - 1),
        };
        output
            .parts
            .insert(0, Part::Text(format!("{database} {shard}: {why}{more}.")));
        output.parts.push(Part::Next {
            label: "Look again".to_owned(),
            command: format!("shard {what}"),
        });
    }
}

fn row(database: &str, number: u16, found: &Found) -> Vec<String> {
    vec![
        found.kind.clone(),
        database.to_owned(),
        schema(number),
        found.name.clone(),
        found.id.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(what: &str) -> String {
        let layout = Layout::of(None);
        let readings = layout.readings(what);
        let output = computed(what, &readings, &layout);
        let mut lines = vec![output.title];
        for part in output.parts {
            match part {
                Part::Facts(facts) => {
                    lines.extend(
                        facts
                            .into_iter()
                            .map(|(name, value)| format!("{name}: {value}")),
                    );
                }
                Part::Log { text, .. } => lines.push(text),
                other => panic!("{other:?}"),
            }
        }
        lines.join("\n")
    }

    #[test]
    fn a_name_is_told_with_its_hash_and_the_lines_to_type() {
        insta::assert_snapshot!(told("core"), @r"
        core is in shard_30
        by name: FNV-1a 64 of `core` is 0x0bf2fb911980759e, modulo 128 it is 30
        sharded: builder_originsrv, builder_sessionsrv
        not sharded: builder_jobsrv: all of it is in shard_0
        SET SEARCH_PATH TO shard_30;
        PGOPTIONS='-c search_path=shard_30' psql -d builder_originsrv
        PGOPTIONS='-c search_path=shard_30' psql -d builder_sessionsrv
        ");
    }

    #[test]
    fn a_package_is_with_its_origin() {
        assert!(told("core/redis").starts_with("core/redis is in shard_30\n"));
    }

    #[test]
    fn digits_are_told_both_ways() {
        let told = told("721096872374083614");
        assert!(
            told.starts_with("721096872374083614 is in shard_30 as an id, is in shard_"),
            "{told}"
        );
        assert!(
            told.contains("number 5 of its millisecond, made 2017-05-19 21:00:36.853 UTC"),
            "{told}"
        );
    }

    #[test]
    fn a_number_that_is_no_shard_is_said_to_be_none() {
        let told = told("274700");
        assert!(
            told.contains("its low 13 bits are 4364, and no shard is over 127"),
            "{told}"
        );
        assert!(!told.contains("shard_4364"), "{told}");
    }

    #[test]
    fn capitals_count() {
        assert!(told("Core").contains("`core` would be in shard_30"));
    }
}
