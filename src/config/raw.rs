//! What the file says, before anything is made of it: tables whose keys are asked for one by one.
//!
//! Takes: the tree of a TOML document with the position of every value. Gives: plain values, converted by the
//! caller, and a [`Report`] of everything that was wrong. Guarantees: reading goes on after a mistake, which a
//! derived deserialiser does not; a key that nobody asked for is a mistake. Refuses: nothing by itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A name is suggested for a misspelt key when at most so many letters differ.
const SUGGESTION_DISTANCE: usize = 2;

/// Something wrong in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The configuration file.
    pub file: PathBuf,
    /// Counted from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// Path of the key, such as `listen.address`; empty where none is meant.
    pub key: String,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.text)
    }
}

/// The mistakes found so far.
pub(super) struct Report<'t> {
    file: &'t Path,
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text, problems: RefCell::default(), asked: RefCell::default() }
    }

    /// Notes a mistake at a byte of the file.
    pub(super) fn add(&self, at: Option<usize>, key: &str, text: impl fmt::Display) {
        let line = at.map(|at| 1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count());
        let problem = Problem { file: self.file.to_owned(), line, key: key.to_owned(), text: text.to_string() };
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// Paths of all keys that were asked for, whether or not they are there: what documentation must list.
    #[cfg(test)]
    pub(super) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    /// The mistakes, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|left, right| (left.line, &left.key).cmp(&(right.line, &right.key)));
        problems
    }

    /// A path in the file, which is relative to the folder of the file.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// One table. When it is dropped, keys that were not asked for are reported.
pub(super) struct Section<'t> {
    report: &'t Report<'t>,
    key: String,
    at: usize,
    table: Option<&'t DeTable<'t>>,
    known: Vec<&'static str>,
    open: bool,
}

impl<'t> Section<'t> {
    pub(super) fn root(report: &'t Report<'t>, table: &'t DeTable<'t>) -> Self {
        Self { report, key: String::new(), at: 0, table: Some(table), known: Vec::new(), open: false }
    }

    /// The table of this name, or an empty one.
    pub(super) fn section(&mut self, name: &'static str) -> Self {
        self.optional_section(name).unwrap_or_else(|| self.child(name, self.at, None))
    }

    /// The table of this name, if there is one.
    pub(super) fn optional_section(&mut self, name: &'static str) -> Option<Self> {
        let value = self.entry(name)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.child(name, at, Some(table))),
            _ => {
                self.problem(name, "must be a table");
                None
            }
        }
    }

    /// The table of this name, whose absence is a mistake.
    pub(super) fn required_section(&mut self, name: &'static str) -> Option<Self> {
        self.require(name);
        self.optional_section(name)
    }

    /// The tables of an array of tables.
    pub(super) fn sections(&mut self, name: &'static str) -> Vec<Self> {
        let Some(value) = self.entry(name) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.problem(name, format_args!("must be an array of tables: write [[{name}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => sections.push(self.child(name, item.span().start, Some(table))),
                _ => self.report.add(Some(item.span().start), &self.path(name), "must be a table"),
            }
        }
        sections
    }

    /// A text, converted.
    pub(super) fn text<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        convert: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.entry(name)?;
        let Some(text) = value.get_ref().as_str() else {
            self.problem(name, "must be a text in quotes");
            return None;
        };
        convert(text).map_err(|error| self.problem(name, error)).ok()
    }

    /// A text whose absence is a mistake.
    pub(super) fn required_text<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        convert: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.require(name);
        self.text(name, convert)
    }

    /// An array of texts, each converted.
    pub(super) fn texts<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        mut convert: impl FnMut(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let value = self.entry(name)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.problem(name, "must be an array of texts");
            return None;
        };
        let mut converted = Vec::new();
        for item in items.iter() {
            let result = match item.get_ref().as_str() {
                Some(text) => convert(text).map_err(|error| format!("\"{text}\": {error}")),
                None => Err("must be an array of texts".to_owned()),
            };
            match result {
                Ok(good) => converted.push(good),
                Err(text) => self.report.add(Some(item.span().start), &self.path(name), text),
            }
        }
        (converted.len() == items.len()).then_some(converted)
    }

    /// An array of texts that must be there and hold something.
    pub(super) fn required_texts<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        convert: impl FnMut(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        self.require(name);
        let texts = self.texts(name, convert)?;
        if texts.is_empty() {
            self.problem(name, "must not be empty");
        }
        (!texts.is_empty()).then_some(texts)
    }

    /// An integer within bounds.
    pub(super) fn integer(&mut self, name: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let value = self.entry(name)?;
        let number = integer(value.get_ref(), &bounds);
        number.map_err(|text| self.problem(name, text)).ok()
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let value = self.entry(name)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.problem(name, "must be true or false");
        }
        boolean
    }

    /// A file, read and converted. Its path is relative to the folder of the configuration.
    pub(super) fn file<T>(&mut self, name: &'static str, read: impl FnOnce(&Path) -> Result<T, String>) -> Option<T> {
        let report = self.report;
        let path = self.text(name, |text| Ok::<_, Infallible>(report.resolve(text)))?;
        read(&path).map_err(|error| self.problem(name, error)).ok()
    }

    /// A file whose absence is a mistake.
    pub(super) fn required_file<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Path) -> Result<T, String>,
    ) -> Option<T> {
        self.require(name);
        self.file(name, read)
    }

    /// Every key of a table whose keys are data, with its text.
    pub(super) fn free_texts(mut self) -> Vec<(String, String)> {
        self.open = true;
        let mut pairs = Vec::new();
        for (key, value) in self.members() {
            match value.get_ref().as_str() {
                Some(text) => pairs.push((key.get_ref().to_string(), text.to_owned())),
                None => {
                    self.report.add(Some(value.span().start), &self.path(key.get_ref()), "must be a text in quotes")
                }
            }
        }
        pairs
    }

    /// Every key of a table whose keys are data, converted, with its integer.
    pub(super) fn free_integers<K, E: fmt::Display>(
        mut self,
        bounds: RangeInclusive<u64>,
        convert: impl Fn(&str) -> Result<K, E>,
    ) -> Vec<(K, u64)> {
        self.open = true;
        let mut pairs = Vec::new();
        for (name, value) in self.members() {
            let path = self.path(name.get_ref());
            let key = convert(name.get_ref()).map_err(|error| self.report.add(Some(name.span().start), &path, error));
            let number = integer(value.get_ref(), &bounds)
                .map_err(|error| self.report.add(Some(value.span().start), &path, error));
            if let (Ok(key), Ok(number)) = (key, number) {
                pairs.push((key, number));
            }
        }
        pairs
    }

    /// Whether the key is there, well or ill.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.get(name).is_some())
    }

    /// Notes a mistake at this key, or at the head of the table where the key is absent.
    pub(super) fn problem(&self, name: &str, text: impl fmt::Display) {
        let at = self.table.and_then(|table| table.get(name)).map_or(self.at, |value| value.span().start);
        self.report.add(Some(at), &self.path(name), text);
    }

    fn require(&self, name: &str) {
        if !self.has(name) {
            self.problem(name, "is missing");
        }
    }

    fn entry(&mut self, name: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(name);
        self.report.asked.borrow_mut().insert(self.path(name));
        self.table?.get(name)
    }

    fn members(&self) -> impl Iterator<Item = (&'t Spanned<toml::de::DeString<'t>>, &'t Spanned<DeValue<'t>>)> {
        self.table.into_iter().flat_map(|table| table.iter())
    }

    fn child(&self, name: &str, at: usize, table: Option<&'t DeTable<'t>>) -> Self {
        Self { report: self.report, key: self.path(name), at, table, known: Vec::new(), open: false }
    }

    fn path(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if self.open {
            return;
        }
        for (key, _) in self.members() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let likely = self.known.iter().map(|known| (distance(known, name), known)).min();
            let text = match likely.filter(|(distance, _)| *distance <= SUGGESTION_DISTANCE) {
                Some((_, known)) => format!("unknown key; did you mean `{known}`?"),
                None => "unknown key".to_owned(),
            };
            self.report.add(Some(key.span().start), &self.path(name), text);
        }
    }
}

fn integer(value: &DeValue<'_>, bounds: &RangeInclusive<u64>) -> Result<u64, String> {
    let number = value.as_integer().and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
    number
        .filter(|number| bounds.contains(number))
        .ok_or_else(|| format!("must be a number from {} to {}", bounds.start(), bounds.end()))
}

/// Insertions, deletions and substitutions between two names.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, own) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut last = index + 1;
        for (slot, other) in row.iter_mut().skip(1).zip(right.chars()) {
            let cost = diagonal + usize::from(own != other);
            diagonal = *slot;
            last = cost.min(diagonal + 1).min(last + 1);
            *slot = last;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
