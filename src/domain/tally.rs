//! Counting, for `/metrics`: what happened how often, and how long it took.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Upper bounds of the buckets that lengths of time are sorted into, in seconds; one more holds what is longer.
pub const BOUNDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];
/// Rows that a tally holds at most; past that everything new is counted in one row.
const MOST_ROWS: usize = 500;
/// The label of that row.
const OTHERS: &str = "other";

/// How often something happened, by label. Cheap to clone; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    rows: Arc<Mutex<BTreeMap<Vec<String>, Row>>>,
}

/// One row of a tally.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// How often.
    pub times: u64,
    /// How long all of them took together, in seconds, where that was told.
    pub seconds: f64,
    /// How many took no longer than each bound and longer than the one before; the last are those above all.
    pub within: [u64; BOUNDS.len() + 1],
}

impl Tally {
    /// It happened once more.
    pub fn count(&self, labels: &[&str]) {
        self.row(labels, |row| row.times += 1);
    }

    /// It happened once more, and took that long.
    pub fn took(&self, labels: &[&str], length: Duration) {
        let seconds = length.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.row(labels, |row| {
            row.times += 1;
            row.seconds += seconds;
            row.within[bucket] += 1;
        });
    }

    /// Every row so far.
    pub fn read(&self) -> BTreeMap<Vec<String>, Row> {
        self.rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn row(&self, labels: &[&str], add: impl FnOnce(&mut Row)) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if rows.len() >= MOST_ROWS && !rows.contains_key(&key) {
            key.fill(OTHERS.to_owned());
        }
        add(rows.entry(key).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, Duration, MOST_ROWS, Tally};

    #[test]
    fn clones_count_together_and_labels_apart() {
        let tally = Tally::default();
        tally.clone().count(&["status", "done"]);
        tally.count(&["status", "done"]);
        tally.count(&["status", "failed"]);
        let times: Vec<u64> = tally.read().values().map(|row| row.times).collect();
        assert_eq!(times, [2, 1]);
    }

    #[test]
    fn a_length_falls_into_the_first_bucket_that_holds_it() {
        let tally = Tally::default();
        for millis in [5, 6, 999_000] {
            tally.took(&[], Duration::from_millis(millis));
        }
        let rows = tally.read();
        let row = &rows[&Vec::new()];
        assert_eq!((row.within[0], row.within[1]), (1, 1));
        assert_eq!(row.within[BOUNDS.len()], 1);
        assert_eq!(row.times, 3);
    }

    #[test]
    fn labels_without_end_end_in_one_row() {
        let tally = Tally::default();
        for number in 0..MOST_ROWS + 7 {
            tally.count(&[&number.to_string()]);
        }
        let rows = tally.read();
        assert_eq!(rows.len(), MOST_ROWS + 1);
        assert_eq!(rows[&vec!["other".to_owned()]].times, 7);
    }
}
