//! A TOML file read key by key, so that every fault carries its line and one fault does not hide the next.

use std::cell::RefCell;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::fault::Fault;
use crate::domain::nearest::nearest;

/// A file that is being read, and what was found wrong with it so far.
pub(super) struct Page<'t> {
    name: &'t str,
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
}

/// A value and the line it stands on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// One table of the file.
#[derive(Clone)]
pub(super) struct Section<'p> {
    page: &'p Page<'p>,
    table: &'p DeTable<'p>,
    /// `arg`, `runbook.steps`; empty for the file's own keys.
    name: String,
    pub(super) line: usize,
}

impl<'t> Page<'t> {
    pub(super) fn new(name: &'t str, text: &'t str) -> Self {
        Self {
            name,
            text,
            faults: RefCell::default(),
        }
    }

    /// Parses the text. Where that fails, every place is named and nothing is read: guesses about the rest would mislead.
    pub(super) fn table(&self) -> Option<DeTable<'t>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let line = self.line_of(error.span().map_or(0, |span| span.start));
            self.fault(line, "", format!("not TOML: {}", error.message()));
        }
        errors.is_empty().then(|| table.into_inner())
    }

    pub(super) fn section<'p>(&'p self, table: &'p DeTable<'p>) -> Section<'p> {
        Section {
            page: self,
            table,
            name: String::new(),
            line: 1,
        }
    }

    pub(super) fn fault(&self, line: usize, key: &str, reason: impl Into<String>) {
        let fault = Fault::at(self.name, line, key, reason);
        self.faults.borrow_mut().push(fault);
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }

    fn line_of(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        1 + before.matches('\n').count()
    }
}

impl<'p> Section<'p> {
    /// Says that something is wrong with a key of this table.
    pub(super) fn fault(&self, line: usize, key: &str, reason: impl Into<String>) {
        self.page.fault(line, &self.full(key), reason);
    }

    /// `run` of `runbook.steps` is `runbook.steps.run`.
    pub(super) fn full(&self, key: &str) -> String {
        match (self.name.as_str(), key) {
            ("", key) => key.to_owned(),
            (name, "") => name.to_owned(),
            (name, key) => format!("{name}.{key}"),
        }
    }

    /// Refuses keys that are not known, with the nearest that is.
    pub(super) fn only(&self, known: &[&str]) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let near = nearest(name, known.iter().copied())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            let line = self.page.line_of(key.span().start);
            self.fault(line, name, format!("no such key{near}"));
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The line of a key's value, or of the table where there is no such key.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.get(key).map_or(self.line, |value| self.at(value))
    }

    /// Says that a key must be there, where it is not.
    pub(super) fn needs(&self, key: &str, what: &str) {
        if !self.has(key) {
            self.fault(self.line, key, format!("missing; {what}"));
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<At<String>> {
        let value = self.get(key)?;
        self.read(key, value, "a text in quotes", |value| {
            value.as_str().map(str::to_owned)
        })
    }

    pub(super) fn yes_or_no(&self, key: &str) -> Option<At<bool>> {
        let value = self.get(key)?;
        self.read(key, value, "true or false", DeValue::as_bool)
    }

    pub(super) fn number(&self, key: &str) -> Option<At<i64>> {
        let value = self.get(key)?;
        self.read(key, value, "a whole number", whole)
    }

    pub(super) fn numbers(&self, key: &str) -> Option<Vec<At<i64>>> {
        let value = self.get(key)?;
        let wanted = "a list of whole numbers";
        let items = self.read(key, value, wanted, DeValue::as_array)?.value;
        items
            .iter()
            .map(|item| self.read(key, item, wanted, whole))
            .collect()
    }

    pub(super) fn texts(&self, key: &str) -> Option<Vec<At<String>>> {
        let value = self.get(key)?;
        let wanted = "a list of texts in quotes";
        let items = self.read(key, value, wanted, DeValue::as_array)?.value;
        items
            .iter()
            .map(|item| self.read(key, item, wanted, |item| item.as_str().map(str::to_owned)))
            .collect()
    }

    pub(super) fn section(&self, key: &str) -> Option<Section<'p>> {
        let value = self.get(key)?;
        let table = self.read(key, value, "a table", DeValue::as_table)?;
        Some(self.below(key, &table))
    }

    /// The tables of `[[key]]` or `key = [{ … }]`.
    pub(super) fn sections(&self, key: &str) -> Vec<Section<'p>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Some(items) = self.read(key, value, "a list of tables", DeValue::as_array) else {
            return Vec::new();
        };
        items
            .value
            .iter()
            .filter_map(|item| self.read(key, item, "a table", DeValue::as_table))
            .map(|table| self.below(key, &table))
            .collect()
    }

    /// Names and texts of a table whose keys are free.
    pub(super) fn entries(&self) -> Vec<(String, At<String>)> {
        self.table
            .iter()
            .filter_map(|(key, value)| {
                let name: &str = key.get_ref();
                let text = self.read(name, value, "a text in quotes", |value| {
                    value.as_str().map(str::to_owned)
                })?;
                Some((name.to_owned(), text))
            })
            .collect()
    }

    pub(super) fn is_table(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value.get_ref().is_table())
    }

    fn below(&self, key: &str, table: &At<&'p DeTable<'p>>) -> Section<'p> {
        Section {
            page: self.page,
            table: table.value,
            name: self.full(key),
            line: table.line,
        }
    }

    fn get(&self, key: &str) -> Option<&'p Spanned<DeValue<'p>>> {
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    fn at(&self, value: &Spanned<DeValue<'_>>) -> usize {
        self.page.line_of(value.span().start)
    }

    fn read<T>(
        &self,
        key: &str,
        value: &'p Spanned<DeValue<'p>>,
        wanted: &str,
        read: impl FnOnce(&'p DeValue<'p>) -> Option<T>,
    ) -> Option<At<T>> {
        let line = self.at(value);
        let Some(read) = read(value.get_ref()) else {
            let is = value.get_ref().type_str();
            self.fault(line, key, format!("must be {wanted}, but is of type {is}"));
            return None;
        };
        Some(At { value: read, line })
    }
}

fn whole(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
