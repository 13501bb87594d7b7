//! How our values look in a row: JSON, words, and times as nanoseconds.

use jiff::Timestamp;
use rusqlite::{Error, Result, Row, types::Type};
use serde::{Serialize, de::DeserializeOwned};

/// A value as JSON text.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))
}

/// The same for one that may be absent.
pub(super) fn some_json<T: Serialize>(value: Option<&T>) -> Result<Option<String>> {
    value.map(json).transpose()
}

/// A value out of JSON text.
pub(super) fn of_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

/// A column of JSON.
pub(super) fn read<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    of_json(row.get_ref(column)?.as_str()?)
}

/// A column of JSON that may be absent.
pub(super) fn read_some<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(text) => of_json(text).map(Some),
        None => Ok(None),
    }
}

/// An enum's word, `slash`, without JSON's quotes.
pub(super) fn word<T: Serialize>(value: T) -> Result<String> {
    Ok(json(&value)?.trim_matches('"').to_owned())
}

/// The enum of a column's word.
pub(super) fn read_word<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    of_json(&format!("\"{}\"", row.get_ref(column)?.as_str()?))
}

/// A moment as nanoseconds; `i64` holds them until 2262.
pub(super) fn ns(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

/// The moment of a column.
pub(super) fn time(row: &Row<'_>, column: &str) -> Result<Timestamp> {
    at(row.get(column)?)
}

/// The moment of a column that may be empty.
pub(super) fn some_time(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(at).transpose()
}

fn at(ns: i64) -> Result<Timestamp> {
    Timestamp::from_nanosecond(i128::from(ns))
        .map_err(|error| Error::FromSqlConversionFailure(0, Type::Integer, Box::new(error)))
}

/// A number of ours as `SQLite`'s.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of `SQLite`'s as ours.
pub(super) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
