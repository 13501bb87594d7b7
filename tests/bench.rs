//! What is measured from inside the test program, by hand: `tests/bench/run query journal`. Each prints rows of the table that
//! `tests/bench/bench.py` begins.

mod journal;
mod query;

/// How often everything is measured; `ROUNDS=5` says otherwise.
fn rounds() -> usize {
    let said = std::env::var("ROUNDS").ok();
    said.map_or(7, |said| said.parse().expect("ROUNDS is a number"))
}

/// Median, least and most.
fn spread(values: &[f64], places: usize) -> String {
    let (least, median, most) = sorted(values);
    format!("{median:.places$} [{least:.places$}–{most:.places$}]")
}

/// The one in the middle.
fn median(values: &[f64]) -> f64 {
    sorted(values).1
}

fn sorted(values: &[f64]) -> (f64, f64, f64) {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    (values[0], values[values.len() / 2], values[last])
}
