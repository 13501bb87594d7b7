//! Numbers over time as one line of bars, the same in Slack and in a terminal.

use super::measure::grouped;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Most bars on a line; more points are drawn as the highest of each group.
const WIDEST: usize = 60;

/// Two lines: the bars with the range of values, and the first and last label below their ends.
pub(super) fn sparkline(points: &[(String, u64)]) -> String {
    let Some(highest) = points.iter().map(|(_, value)| *value).max() else {
        return "no values".to_owned();
    };
    let lowest = points
        .iter()
        .map(|(_, value)| *value)
        .min()
        .unwrap_or(highest);
    let group = points.len().div_ceil(WIDEST);
    let bars: String = points
        .chunks(group)
        .map(|group| {
            let value = group.iter().map(|(_, value)| *value).max().unwrap_or(0);
            bar(value, highest)
        })
        .collect();
    let number = |value: u64| grouped(usize::try_from(value).unwrap_or(usize::MAX));
    let (first, last) = (&points[0].0, &points[points.len() - 1].0);
    format!(
        "{bars}  {} to {}\n{first} \u{2026} {last}",
        number(lowest),
        number(highest)
    )
}

/// Zero is the lowest bar; anything above it is at least the second, so that one error among thousands is seen.
fn bar(value: u64, highest: u64) -> char {
    if value == 0 || highest == 0 {
        return BARS[0];
    }
    let steps = (BARS.len() - 1) as u128;
    let step = (u128::from(value) * steps).div_ceil(u128::from(highest));
    BARS[usize::try_from(step).unwrap_or(BARS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn bars_follow_the_numbers() {
        let points: Vec<_> = [0, 1, 4000, 8000]
            .into_iter()
            .enumerate()
            .map(|(minute, value)| (format!("03:0{minute}"), value))
            .collect();
        assert_eq!(sparkline(&points), "▁▂▅█  0 to 8,000\n03:00 … 03:03");
    }

    #[test]
    fn nothing_and_too_much_are_drawn_too() {
        assert_eq!(sparkline(&[]), "no values");
        let many: Vec<_> = (0..10_000).map(|n| (n.to_string(), u64::MAX - n)).collect();
        assert_eq!(
            sparkline(&many)
                .lines()
                .next()
                .map(|line| line.chars().take_while(|c| !c.is_whitespace()).count()),
            Some(60)
        );
    }
}
