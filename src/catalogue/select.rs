//! SQL that may only look: a parsed statement is walked by what is allowed, and every shape not named here is refused.

use std::collections::BTreeSet;

use sqlparser::{
    ast::{
        Distinct, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, LimitClause,
        ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, Statement,
        TableFactor, TableWithJoins,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::{
    expression::{Scope, name_of, single},
    query::{Database, Readable},
};

/// Longest SQL that is read, in bytes.
const LONGEST_SQL: usize = 8_000;

/// What a SELECT that may be run is like.
#[derive(Debug)]
pub(super) struct Checked {
    /// The numbers of the parameters it binds.
    pub(super) bound: BTreeSet<usize>,
    /// Where the names of its tables begin, in bytes and in order.
    pub(super) tables: Vec<usize>,
    /// What its columns are called.
    pub(super) columns: Vec<String>,
}

/// Checks one SELECT against what may be read, and says what it is like or all that is wrong with it.
pub(super) fn check(
    sql: &str,
    database: &Database,
    readable: &Readable,
) -> Result<Checked, Vec<String>> {
    if sql.len() > LONGEST_SQL {
        return Err(vec![format!(
            "is {} bytes; {LONGEST_SQL} may be read",
            sql.len()
        )]);
    }
    // PostgreSQL and the parser used here could disagree about where these end, so what was checked would not be what runs.
    for (odd, name) in [
        ("--", "a comment"),
        ("/*", "a comment"),
        (";", "a `;`"),
        ("\\", "a backslash"),
        ("$$", "`$$`"),
    ] {
        if sql.contains(odd) {
            return Err(vec![format!("may not hold {name}")]);
        }
    }
    if !sql.is_ascii()
        || sql
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err(vec![
            "may hold plain ASCII only; bind other text as an argument".to_owned(),
        ]);
    }
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql)
        .map_err(|error| vec![format!("cannot be parsed: {error}")])?;
    let [Statement::Query(query)] = statements.as_slice() else {
        return Err(vec!["must be exactly one SELECT".to_owned()]);
    };
    let mut scope = Scope::new(database, readable);
    scope.query(query);
    let tables = placed(sql, &scope.placed);
    if tables.is_none() {
        scope.refuse("its tables cannot be found in the text again; write it more plainly");
    }
    match tables {
        Some(tables) if scope.reasons.is_empty() => Ok(Checked {
            bound: scope.bound,
            tables,
            columns: scope.columns,
        }),
        _ => {
            scope.reasons.dedup();
            Err(scope.reasons)
        }
    }
}

/// The bytes at which these names begin. Absent where the text there is not the name: a schema put in its place would be put
/// somewhere else.
fn placed(sql: &str, names: &[Ident]) -> Option<Vec<usize>> {
    let mut lines = vec![0];
    lines.extend(sql.match_indices('\n').map(|(at, _)| at + 1));
    let mut places: Vec<usize> = names
        .iter()
        .map(|name| {
            let line = usize::try_from(name.span.start.line).ok()?.checked_sub(1)?;
            let column = usize::try_from(name.span.start.column)
                .ok()?
                .checked_sub(1)?;
            let at = lines.get(line)? + column;
            sql.get(at..)?.starts_with(&name.to_string()).then_some(at)
        })
        .collect::<Option<_>>()?;
    places.sort_unstable();
    Some(places)
}

/// What a selected value is called where it is given no name, as PostgreSQL does it.
fn column_name(expression: &Expr) -> String {
    match expression {
        Expr::Identifier(name) => name_of(name),
        Expr::CompoundIdentifier(parts) => parts.last().map(name_of).unwrap_or_default(),
        Expr::Function(function) => single(&function.name).unwrap_or_default(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => column_name(expr),
        _ => String::new(),
    }
}

impl<'a> Scope<'a> {
    fn query(&mut self, query: &'a Query) {
        // Every field is named, so that a new version of the parser cannot bring a clause that nobody looked at.
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if with.is_some() {
            self.refuse("must be one SELECT without WITH");
        }
        if !locks.is_empty() {
            self.refuse("may not lock rows: leave out FOR UPDATE and FOR SHARE");
        }
        let foreign = for_clause.is_some()
            || settings.is_some()
            || format_clause.is_some()
            || !pipe_operators.is_empty();
        if fetch.is_some() || foreign {
            self.refuse("may end in ORDER BY, LIMIT and OFFSET only");
        }
        let SetExpr::Select(select) = body.as_ref() else {
            return self.refuse(
                "must be exactly one SELECT: no UNION, VALUES or TABLE, and nothing that writes",
            );
        };
        self.select(select);
        if let Some(order) = order_by {
            match &order.kind {
                OrderByKind::Expressions(by) if order.interpolate.is_none() => self.order(by),
                _ => self.refuse("ORDER BY takes expressions"),
            }
        }
        match limit_clause {
            None => {}
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) if limit_by.is_empty() => {
                self.each(limit);
                self.each(offset.as_ref().map(|offset| &offset.value));
            }
            Some(_) => self.refuse("write LIMIT n OFFSET m"),
        }
    }

    fn select(&mut self, select: &'a Select) {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor: _,
        } = select;
        if into.is_some() {
            self.refuse("may not write: leave out INTO");
        }
        let foreign = !optimizer_hints.is_empty()
            || select_modifiers.is_some()
            || top.is_some()
            || exclude.is_some()
            || !lateral_views.is_empty()
            || prewhere.is_some()
            || !connect_by.is_empty()
            || !cluster_by.is_empty()
            || !distribute_by.is_empty()
            || !sort_by.is_empty()
            || !named_window.is_empty()
            || qualify.is_some()
            || value_table_mode.is_some();
        if foreign {
            self.refuse("may have DISTINCT, FROM, WHERE, GROUP BY and HAVING only");
        }
        // Tables first: they say what a column's name means.
        for from in from {
            self.tables_of(from);
        }
        for join in from.iter().flat_map(|from| &from.joins) {
            self.constraint(join);
        }
        if projection.is_empty() {
            self.refuse("selects nothing");
        }
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expression) => {
                    self.expression(expression);
                    self.columns.push(column_name(expression));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.expression(expr);
                    self.aliases.insert(name_of(alias));
                    self.columns.push(name_of(alias));
                }
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                    self.refuse("may not select `*`; name the columns");
                }
                SelectItem::ExprWithAliases { .. } => {
                    self.refuse(format!("`{item}` is not allowed"));
                }
            }
        }
        match distinct {
            Some(Distinct::On(by)) => self.each(by),
            None | Some(Distinct::All | Distinct::Distinct) => {}
        }
        self.each(selection);
        match group_by {
            // Not what a value is called: there a column's own name would win, also of one that may not be read.
            GroupByExpr::Expressions(by, modifiers) if modifiers.is_empty() => self.each(by),
            _ => self.refuse("GROUP BY takes expressions"),
        }
        self.each(having);
    }

    fn tables_of(&mut self, from: &'a TableWithJoins) {
        self.table(&from.relation);
        for join in &from.joins {
            self.table(&join.relation);
        }
    }

    fn refuse_table(&mut self, reason: String) {
        self.tables_unclear = true;
        self.refuse(reason);
    }

    fn table(&mut self, factor: &'a TableFactor) {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
        } = factor
        else {
            return self.refuse_table(format!("`{factor}` is not a plain table"));
        };
        if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
            return self.refuse_table(format!("`{factor}` is not a plain table"));
        }
        let Some(table) = single(name) else {
            return self.refuse_table(format!(
                "`{name}`: leave out the schema; `scope` says which shard"
            ));
        };
        let Some(columns) = self.database.tables.get(&table) else {
            return self.refuse_table(format!("the table `{table}` is not one that may be read"));
        };
        if let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() {
            self.placed.push(ident.clone());
        }
        let called = match alias {
            // Renamed columns would hide which ones are meant.
            Some(alias) if !alias.columns.is_empty() || alias.at.is_some() => {
                return self.refuse_table(format!("`{factor}`: an alias may not rename columns"));
            }
            Some(alias) => name_of(&alias.name),
            None => table,
        };
        if self.tables.insert(called.clone(), columns).is_some() {
            self.refuse(format!(
                "two tables are called `{called}`; give one an alias"
            ));
        }
    }

    fn constraint(&mut self, join: &'a Join) {
        use JoinOperator::{
            CrossJoin, FullOuter, Inner, Join as Plain, Left, LeftOuter, Right, RightOuter,
        };
        let (Plain(constraint)
        | Inner(constraint)
        | Left(constraint)
        | LeftOuter(constraint)
        | Right(constraint)
        | RightOuter(constraint)
        | FullOuter(constraint)
        | CrossJoin(constraint)) = &join.join_operator
        else {
            return self.refuse(format!("`{join}` is not a join that may be used"));
        };
        match constraint {
            JoinConstraint::On(condition) => self.expression(condition),
            JoinConstraint::Using(columns) => {
                for column in columns {
                    match single(column) {
                        Some(column) => self.column(&column),
                        None => self.refuse(format!("`{column}` is not a column")),
                    }
                }
            }
            JoinConstraint::None if matches!(join.join_operator, CrossJoin(_)) => {}
            // A natural join compares whatever columns two tables share, also those that may not be read.
            JoinConstraint::Natural | JoinConstraint::None => {
                self.refuse(format!("`{join}`: say ON what"));
            }
        }
    }

    fn order(&mut self, by: &'a [OrderByExpr]) {
        for by in by {
            if by.with_fill.is_some() {
                self.refuse("ORDER BY takes expressions");
            }
            self.sorted_by(&by.expr);
        }
    }

    /// An expression, or what a selected value is called: in ORDER BY that wins over a column.
    fn sorted_by(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Identifier(name) if self.aliases.contains(&name_of(name)) => {}
            _ => self.expression(expression),
        }
    }
}
