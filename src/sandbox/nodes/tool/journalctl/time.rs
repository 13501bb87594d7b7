//! How `journalctl` reads a time: systemd.time(7), in UTC.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::super::super::state::SECOND;

/// A time as systemd takes it: absolute, `@seconds`, `now`, `today`, `yesterday`, `-15m`, `15 min ago`. UTC.
pub(super) fn time(text: &str, now: i64) -> Result<i64, String> {
    parse_time(text.trim(), now).ok_or_else(|| format!("Failed to parse timestamp: {text}"))
}

fn parse_time(text: &str, now: i64) -> Option<i64> {
    let today = Timestamp::from_microsecond(now)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .date();
    let at = |moment: DateTime| {
        moment
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|moment| moment.timestamp().as_microsecond())
    };
    match text {
        "now" => return Some(now),
        "today" => return at(today.to_datetime(Time::midnight())),
        "yesterday" => {
            return at(today
                .checked_sub(1.day())
                .ok()?
                .to_datetime(Time::midnight()));
        }
        "tomorrow" => {
            return at(today
                .checked_add(1.day())
                .ok()?
                .to_datetime(Time::midnight()));
        }
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('@') {
        let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
        let part: i64 = format!("{part:0<6}").get(..6)?.parse().ok()?;
        return Some(whole.parse::<i64>().ok()? * SECOND + part);
    }
    if let Some(ago) = text.strip_prefix('-').or_else(|| text.strip_suffix("ago")) {
        return Some(now - span(ago)?);
    }
    if let Some(ahead) = text.strip_prefix('+') {
        return Some(now + span(ahead)?);
    }
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(moment) = DateTime::strptime(format, text) {
            return at(moment);
        }
    }
    if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        return at(date.to_datetime(Time::midnight()));
    }
    for format in ["%H:%M:%S", "%H:%M"] {
        if let Ok(clock) = Time::strptime(format, text) {
            return at(today.to_datetime(clock));
        }
    }
    None
}

/// `1h30min`, `15m`, `2 days`.
fn span(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let number: i64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "us" | "usec" => 1,
            "ms" | "msec" => 1000,
            "" | "s" | "sec" | "second" | "seconds" => SECOND,
            "m" | "min" | "minute" | "minutes" => 60 * SECOND,
            "h" | "hr" | "hour" | "hours" => 3600 * SECOND,
            "d" | "day" | "days" => 86_400 * SECOND,
            "w" | "week" | "weeks" => 7 * 86_400 * SECOND,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total += number.checked_mul(unit)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_systemd_reads_them() {
        let now = 1_510_792_546 * SECOND; // 2017-11-16 00:35:46 UTC
        let seconds = |text: &str| parse_time(text, now).map(|time| time / SECOND);
        assert_eq!(seconds("2017-11-13 10:00:00"), Some(1_510_567_200));
        assert_eq!(seconds("2017-11-13 10:00:00 UTC"), Some(1_510_567_200));
        assert_eq!(seconds("2017-11-13"), Some(1_510_531_200));
        assert_eq!(seconds("@1510567200"), Some(1_510_567_200));
        assert_eq!(seconds("today"), Some(1_510_790_400));
        assert_eq!(seconds("yesterday"), Some(1_510_704_000));
        assert_eq!(seconds("-15m"), Some(1_510_791_646));
        assert_eq!(seconds("15 min ago"), Some(1_510_791_646));
        assert_eq!(seconds("-1h30min"), Some(1_510_787_146));
        assert_eq!(seconds("00:10"), Some(1_510_791_000));
        for wrong in ["2017-11-13T10:00:00Z", "soon", "-", "-15x", "2017-13-01"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
