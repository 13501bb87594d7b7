//! Expressions of a query: which columns, functions, types and operators they may use, and what a name means.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{
    BinaryOperator, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, ObjectName, ObjectNamePart, UnaryOperator, Value,
};

use super::query::{Database, Readable};

/// What the names of one query mean, and what was found in it.
pub(super) struct Scope<'a> {
    pub(super) database: &'a Database,
    readable: &'a Readable,
    /// What each table is called in this query → its readable columns.
    pub(super) tables: BTreeMap<String, &'a BTreeSet<String>>,
    /// What the selected values are called; ORDER BY may name them.
    pub(super) aliases: BTreeSet<String>,
    /// Whether a table was refused: then its columns cannot be judged, and are not mentioned.
    pub(super) tables_unclear: bool,
    pub(super) bound: BTreeSet<usize>,
    /// The names of its tables as they stand in the text.
    pub(super) placed: Vec<Ident>,
    /// What the columns of the answer are called.
    pub(super) columns: Vec<String>,
    pub(super) reasons: Vec<String>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(database: &'a Database, readable: &'a Readable) -> Self {
        Self {
            database,
            readable,
            tables: BTreeMap::new(),
            aliases: BTreeSet::new(),
            tables_unclear: false,
            bound: BTreeSet::new(),
            placed: Vec::new(),
            columns: Vec::new(),
            reasons: Vec::new(),
        }
    }

    pub(super) fn refuse(&mut self, reason: impl Into<String>) {
        self.reasons.push(reason.into());
    }

    pub(super) fn expression(&mut self, expression: &'a Expr) {
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
                self.each([&**left, right]);
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
                self.refuse("may not select `*`; name the columns");
            }
            _ => self.refuse(format!("`{expression}` is not allowed in a query")),
        }
    }

    pub(super) fn each(&mut self, expressions: impl IntoIterator<Item = &'a Expr>) {
        for expression in expressions {
            self.expression(expression);
        }
    }

    pub(super) fn column(&mut self, name: &str) {
        if self.tables_unclear || self.tables.values().any(|columns| columns.contains(name)) {
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
            None if self.tables_unclear => {}
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
                    self.expression(expression);
                }
                // `count(*)` counts rows and shows none.
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if called == "count" => {}
                _ => self.refuse(format!(
                    "`{function}`: `*` and named arguments are not allowed"
                )),
            }
        }
        self.each(filter.as_deref());
    }
}

/// Operators that compute and compare; what else `PostgreSQL` lets people define is refused.
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

/// A name as `PostgreSQL` reads it: folded to lower case unless it is quoted.
pub(super) fn name_of(name: &Ident) -> String {
    if name.quote_style.is_some() {
        name.value.clone()
    } else {
        name.value.to_ascii_lowercase()
    }
}

pub(super) fn single(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(name_of(name)),
        _ => None,
    }
}
