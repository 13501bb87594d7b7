//! One SELECT as it is put to PostgreSQL: in a shard's schema, with its values bound, every column as text, and no more rows than
//! were asked for.

use std::error::Error as StdError;

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use postgres_protocol::escape::escape_literal;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use super::{error::Error, pool::Connection};
use crate::domain::{
    command::{ArgKind, Query},
    shard::schema,
};

/// A named query, and what is bound in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// What the catalogue says.
    pub query: Query,
    /// `$1`, `$2` … in their order.
    pub values: Vec<Bound>,
}

/// One value of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// What kind of argument it is.
    pub kind: ArgKind,
    /// As the parser read it; NULL where it was left out.
    pub value: Option<String>,
}

/// What came back, every value as PostgreSQL writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The rows; NULL is absent.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether there would have been more.
    pub more: bool,
}

/// How much of an answer is taken.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// SQL and its values, ready to be sent.
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) values: Vec<(Literal, Type)>,
}

/// A value in PostgreSQL's own notation, which it reads as the type that goes with it.
#[derive(Clone, Debug)]
pub(super) struct Literal(Option<String>);

impl Question {
    /// In that shard. The query's own text stays as it was checked; the names of its tables get their schema.
    pub(super) fn in_shard(&self, shard: u16, most: Most) -> Statement {
        let count = self.query.columns.len();
        let columns: Vec<String> = (1..=count).map(|at| format!("c{at}")).collect();
        let texts: Vec<String> = columns.iter().map(|name| format!("{name}::text")).collect();
        Statement {
            sql: format!(
                "SELECT {} FROM ({}) AS answer({}) LIMIT {}",
                texts.join(", "),
                self.query.in_schema(&schema(shard)),
                columns.join(", "),
                most.rows + 1
            ),
            values: self.values.iter().map(Bound::typed).collect(),
        }
    }

    /// The same for a person to paste after `SET SEARCH_PATH`: values in their places.
    pub(super) fn by_hand(&self) -> String {
        let mut sql = self
            .query
            .sql
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        // From the last: `$1` begins `$12` as well.
        for (at, bound) in self.values.iter().enumerate().rev() {
            let literal = match bound.notation() {
                None => "NULL".to_owned(),
                Some(text) if bound.kind == ArgKind::Integer => text,
                Some(text) => escape_literal(&text),
            };
            let typed = format!("{literal}::{}", bound.sql_type().name());
            sql = sql.replace(&format!("${}", at + 1), &typed);
        }
        sql
    }
}

impl Bound {
    fn sql_type(&self) -> Type {
        match self.kind {
            ArgKind::Integer => Type::INT8,
            ArgKind::Time => Type::TIMESTAMPTZ,
            ArgKind::Duration => Type::INTERVAL,
            _ => Type::TEXT,
        }
    }

    /// As PostgreSQL reads it.
    fn notation(&self) -> Option<String> {
        let value = self.value.clone()?;
        match self.kind {
            ArgKind::Duration => humantime::parse_duration(&value)
                .map(|length| format!("{} seconds", length.as_secs()))
                .ok(),
            _ => Some(value),
        }
    }

    fn typed(&self) -> (Literal, Type) {
        (Literal(self.notation()), self.sql_type())
    }
}

impl Statement {
    /// SQL of this folder with texts for its values.
    pub(super) fn of(sql: String, texts: &[&str]) -> Self {
        let values = texts
            .iter()
            .map(|text| (Literal(Some((*text).to_owned())), Type::TEXT));
        Self {
            sql,
            values: values.collect(),
        }
    }

    /// Sends it and reads what comes back. Several at once on one connection are sent without waiting for one another's answers;
    /// each fails alone.
    pub(super) async fn ask(&self, connection: &Connection, most: Most) -> Result<Rows, Error> {
        let fault = |error| Error::of_statement(&error, connection.last_words());
        let values = self
            .values
            .iter()
            .map(|(value, of)| (value as &(dyn ToSql + Sync), of.clone()));
        let stream = connection.client.query_typed_raw(&self.sql, values);
        let mut stream = std::pin::pin!(stream.await.map_err(fault)?);
        let (mut answer, mut bytes) = (Rows::default(), 0);
        while let Some(row) = stream.try_next().await.map_err(fault)? {
            let cells: Result<Vec<Option<String>>, _> =
                (0..row.len()).map(|at| row.try_get(at)).collect();
            let cells = cells.map_err(fault)?;
            bytes += cells.iter().flatten().map(String::len).sum::<usize>();
            if answer.rows.len() == most.rows || bytes > most.bytes {
                answer.more = true;
                break;
            }
            answer.rows.push(cells);
        }
        Ok(answer)
    }
}

impl ToSql for Literal {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match &self.0 {
            None => Ok(IsNull::Yes),
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::command::QueryScope;

    fn question() -> Question {
        let sql = "SELECT p.ident, c.name\nFROM origin_packages p, origin_channels c\nWHERE p.name = $1 AND p.created_at > now() - $2";
        Question {
            query: Query {
                database: "builder_originsrv".to_owned(),
                scope: QueryScope::All,
                key: None,
                sql: sql.to_owned(),
                tables: ["origin_packages", "origin_channels"]
                    .map(|table| sql.find(table).unwrap())
                    .to_vec(),
                columns: vec!["ident".to_owned(), "name".to_owned()],
            },
            values: vec![
                Bound {
                    kind: ArgKind::Text,
                    value: Some("it's".to_owned()),
                },
                Bound {
                    kind: ArgKind::Duration,
                    value: Some("1h 30m".to_owned()),
                },
            ],
        }
    }

    #[test]
    fn tables_get_the_shards_schema_and_rows_a_limit() {
        let most = Most {
            rows: 100,
            bytes: 1,
        };
        insta::assert_snapshot!(question().in_shard(30, most).sql, @r"
        SELECT c1::text, c2::text FROM (SELECT p.ident, c.name
        FROM shard_30.origin_packages p, shard_30.origin_channels c
        WHERE p.name = $1 AND p.created_at > now() - $2) AS answer(c1, c2) LIMIT 101
        ");
    }

    #[test]
    fn a_person_pastes_values_that_are_quoted() {
        insta::assert_snapshot!(question().by_hand(), @"SELECT p.ident, c.name FROM origin_packages p, origin_channels c WHERE p.name = 'it''s'::text AND p.created_at > now() - '5400 seconds'::interval");
    }
}
