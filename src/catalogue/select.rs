//! SQL that may only look: a parsed statement is walked by what is allowed, and every shape not named here is refused.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::{
    ast::{
        BinaryOperator, CastKind, Distinct, Expr, Function, FunctionArg, FunctionArgExpr,
        FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, LimitClause,
        ObjectName, ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
        Statement, TableFactor, TableWithJoins, UnaryOperator, Value,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::query::{Database, Readable};

/// Longest SQL that is read, in bytes.
const LONGEST_SQL: usize = 8_000;

/// Checks one SELECT against what may be read. Returns the numbers of the parameters it binds, or all that is wrong.
pub(super) fn check(
    sql: &str,
    database: &Database,
    readable: &Readable,
) -> Result<BTreeSet<usize>, Vec<String>> {
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
    let mut walk = Walk {
        database,
        readable,
        tables: BTreeMap::new(),
        aliases: BTreeSet::new(),
        bound: BTreeSet::new(),
        reasons: Vec::new(),
    };
    walk.query(query);
    if walk.reasons.is_empty() {
        Ok(walk.bound)
    } else {
        walk.reasons.dedup();
        Err(walk.reasons)
    }
}

struct Walk<'a> {
    database: &'a Database,
    readable: &'a Readable,
    /// What each table is called in this query → its readable columns.
    tables: BTreeMap<String, &'a BTreeSet<String>>,
    /// What the selected values are called; ORDER BY and GROUP BY may name them.
    aliases: BTreeSet<String>,
    bound: BTreeSet<usize>,
    reasons: Vec<String>,
}

impl<'a> Walk<'a> {
    fn refuse(&mut self, reason: impl Into<String>) {
        self.reasons.push(reason.into());
    }

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
                limit.iter().for_each(|limit| self.expression(limit));
                offset
                    .iter()
                    .for_each(|offset| self.expression(&offset.value));
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
        from.iter().for_each(|from| self.tables_of(from));
        from.iter()
            .flat_map(|from| &from.joins)
            .for_each(|join| self.constraint(join));
        if projection.is_empty() {
            self.refuse("selects nothing");
        }
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expression) => self.expression(expression),
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.expression(expr);
                    self.aliases.insert(name_of(alias));
                }
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                    self.refuse("may not select `*`; name the columns");
                }
                SelectItem::ExprWithAliases { .. } => {
                    self.refuse(format!("`{item}` is not allowed"))
                }
            }
        }
        match distinct {
            Some(Distinct::On(by)) => by.iter().for_each(|by| self.expression(by)),
            None | Some(Distinct::All | Distinct::Distinct) => {}
        }
        selection
            .iter()
            .for_each(|condition| self.expression(condition));
        match group_by {
            GroupByExpr::Expressions(by, modifiers) if modifiers.is_empty() => {
                by.iter().for_each(|by| self.sorted_by(by))
            }
            _ => self.refuse("GROUP BY takes expressions"),
        }
        having
            .iter()
            .for_each(|condition| self.expression(condition));
    }

    fn tables_of(&mut self, from: &'a TableWithJoins) {
        self.table(&from.relation);
        from.joins
            .iter()
            .for_each(|join| self.table(&join.relation));
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
            return self.refuse(format!("`{factor}` is not a plain table"));
        };
        if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
            return self.refuse(format!("`{factor}` is not a plain table"));
        }
        let Some(table) = single(name) else {
            return self.refuse(format!(
                "`{name}`: leave out the schema; `scope` says which shard"
            ));
        };
        let Some(columns) = self.database.tables.get(&table) else {
            return self.refuse(format!("the table `{table}` is not one that may be read"));
        };
        let called = match alias {
            // Renamed columns would hide which ones are meant.
            Some(alias) if !alias.columns.is_empty() || alias.at.is_some() => {
                return self.refuse(format!("`{factor}`: an alias may not rename columns"));
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
                self.refuse(format!("`{join}`: say ON what"))
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

    /// ORDER BY and GROUP BY: an expression, or what a selected value is called.
    fn sorted_by(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Identifier(name) if self.aliases.contains(&name_of(name)) => {}
            _ => self.expression(expression),
        }
    }

    fn expression(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Identifier(name) => self.column(&name_of(name)),
            Expr::CompoundIdentifier(parts) => self.column_of(parts),
            Expr::Value(value) => self.value(&value.value),
            Expr::Nested(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::Extract { expr: inner, .. } => self.expression(inner),
            Expr::UnaryOp {
                op: UnaryOperator::Not | UnaryOperator::Minus | UnaryOperator::Plus,
                expr,
            } => self.expression(expr),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.each([&**left, right])
            }
            Expr::BinaryOp { left, op, right } if plain(op) => self.each([&**left, right]),
            Expr::Between {
                expr, low, high, ..
            } => self.each([&**expr, low, high]),
            Expr::InList { expr, list, .. } => self.each(std::iter::once(&**expr).chain(list)),
            Expr::Like {
                any: false,
                expr,
                pattern,
                escape_char: None,
                ..
            }
            | Expr::ILike {
                any: false,
                expr,
                pattern,
                escape_char: None,
                ..
            } => self.each([&**expr, pattern]),
            Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => self.each([&**timestamp, time_zone]),
            Expr::Interval(interval) => self.expression(&interval.value),
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
            } => {
                self.cast(&data_type.to_string());
                self.expression(expr);
            }
            Expr::TypedString(typed) => {
                self.cast(&typed.data_type.to_string());
                self.value(&typed.value.value);
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                self.each(operand.as_deref().into_iter().chain(else_result.as_deref()));
                for when in conditions {
                    self.each([&when.condition, &when.result]);
                }
            }
            Expr::Function(function) => self.function(function),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                self.refuse("must be exactly one SELECT: no subquery");
            }
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                self.refuse("may not select `*`; name the columns")
            }
            _ => self.refuse(format!("`{expression}` is not allowed in a query")),
        }
    }

    fn each(&mut self, expressions: impl IntoIterator<Item = &'a Expr>) {
        for expression in expressions {
            self.expression(expression);
        }
    }

    fn column(&mut self, name: &str) {
        if self.tables.values().any(|columns| columns.contains(name)) {
            return;
        }
        if self.tables.contains_key(name) {
            return self.refuse(format!("`{name}` is a whole row; name the columns"));
        }
        self.refuse(format!("the column `{name}` is not one that may be read"));
    }

    fn column_of(&mut self, parts: &[Ident]) {
        let names: Vec<String> = parts.iter().map(name_of).collect();
        let [table, column] = names.as_slice() else {
            return self.refuse(format!("`{}`: write table.column", names.join(".")));
        };
        match self.tables.get(table) {
            None => self.refuse(format!("`{table}` is not a table of this query")),
            Some(columns) if !columns.contains(column) => {
                self.refuse(format!(
                    "the column `{table}.{column}` is not one that may be read"
                ));
            }
            Some(_) => {}
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Number(..) | Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null => {}
            Value::Placeholder(name) => match name
                .strip_prefix('$')
                .and_then(|number| number.parse().ok())
            {
                Some(number) => {
                    self.bound.insert(number);
                }
                None => self.refuse(format!("`{name}` is not a parameter like `$1`")),
            },
            _ => self.refuse(format!("`{value}` is not a plain value")),
        }
    }

    fn cast(&mut self, to: &str) {
        if !self.readable.types.contains(&to.to_ascii_lowercase()) {
            self.refuse(format!("the type `{to}` is not one that may be used"));
        }
    }

    fn function(&mut self, function: &'a Function) {
        let called = single(&function.name).filter(|name| self.readable.functions.contains(name));
        let Some(called) = called else {
            return self.refuse(format!(
                "the function `{}` is not one that may be used",
                function.name
            ));
        };
        let Function {
            name: _,
            uses_odbc_syntax: false,
            parameters: FunctionArguments::None,
            args: FunctionArguments::List(list),
            within_group,
            filter,
            null_treatment: None,
            over: None,
        } = function
        else {
            return self.refuse(format!("`{function}`: only plain calls are allowed"));
        };
        if !within_group.is_empty() || !list.clauses.is_empty() {
            return self.refuse(format!("`{function}`: only plain calls are allowed"));
        }
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                    self.expression(expression)
                }
                // `count(*)` counts rows and shows none.
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if called == "count" => {}
                _ => self.refuse(format!(
                    "`{function}`: `*` and named arguments are not allowed"
                )),
            }
        }
        filter
            .iter()
            .for_each(|condition| self.expression(condition));
    }
}

/// Operators that compute and compare; what else PostgreSQL lets people define is refused.
fn plain(operator: &BinaryOperator) -> bool {
    use BinaryOperator as Op;
    matches!(
        operator,
        Op::Plus
            | Op::Minus
            | Op::Multiply
            | Op::Divide
            | Op::Modulo
            | Op::StringConcat
            | Op::Gt
            | Op::Lt
            | Op::GtEq
            | Op::LtEq
            | Op::Eq
            | Op::NotEq
            | Op::And
            | Op::Or
    )
}

/// A name as PostgreSQL reads it: folded to lower case unless it is quoted.
fn name_of(name: &Ident) -> String {
    if name.quote_style.is_some() {
        name.value.clone()
    } else {
        name.value.to_ascii_lowercase()
    }
}

fn single(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(name_of(name)),
        _ => None,
    }
}
