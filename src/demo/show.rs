//! A comparison in plain text, for people at a terminal of eighty columns.
//!
//! Takes: a [`Comparison`] and a [`Style`]. Gives: text. Guarantees: without colour, nothing but text; numbers as the
//! EHR wrote them. Refuses: nothing.

use std::borrow::Cow;
use std::io::{self, Write};

use percent_encoding::percent_decode_str;

use super::comparison::{Comparison, Held, name, resources};
use crate::fhir::json::{Tape, Value};

/// Columns of a line.
const WIDTH: usize = 80;

/// How text is set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// By colours of the terminal.
    Colour,
    /// Not at all.
    Plain,
}

impl Style {
    /// A heading.
    pub fn heading<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.set("1", text)
    }

    /// What is there to be read once.
    pub fn quiet<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.set("2", text)
    }

    fn withheld<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.set("31", text)
    }

    fn released<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.set("32", text)
    }

    fn set<'t>(self, code: &str, text: &'t str) -> Cow<'t, str> {
        match self {
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m").into(),
            Self::Plain => text.into(),
        }
    }
}

/// Writes the three ways, one after another.
pub fn show(comparison: &Comparison, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let (mut before, mut after) = (Tape::new(), Tape::new());
    let upstream = rows(comparison.upstream.get(), &mut before);
    let released = rows(comparison.released.get(), &mut after);
    let held = |row: &Row| comparison.withheld.iter().any(|held| held.what == row.name);

    let title = format!("1. Through an open door: {} resources", upstream.len());
    writeln!(out, "\n{}\n", style.heading(&title))?;
    write_head(&upstream, style, out)?;
    for row in &upstream {
        let line = row.line();
        writeln!(out, "    {}", if held(row) { style.withheld(&line) } else { Cow::from(&line) })?;
    }

    let title = format!("2. Through the gateway: {} resources", released.len());
    writeln!(out, "\n{}\n", style.heading(&title))?;
    writeln!(out, "  The decision narrows the question before the EHR sees it:\n")?;
    write_request(&comparison.upstream_request, out)?;
    let received = comparison.received;
    writeln!(out, "\n  and judges each of the {received} resources that come back, by its own content:\n")?;
    write_head(&released, style, out)?;
    for row in &released {
        writeln!(out, "    {}", style.released(&row.line()))?;
    }

    let resources = comparison.withheld.iter().filter(|held| !held.is_element()).count();
    let elements = comparison.withheld.len() - resources;
    let title = format!("3. Withheld, and why: {resources} resources, {elements} elements of others");
    writeln!(out, "\n{}", style.heading(&title))?;
    write_reasons(&comparison.withheld, style, out)?;

    let revision = comparison.revision.get(..16).unwrap_or(&comparison.revision);
    writeln!(out, "\n  Decision  {} by policy {revision}", comparison.decision_id)?;
    writeln!(out, "  Exchange  {}, recorded before it was answered", comparison.exchange)
}

/// What a table says about a resource.
struct Row {
    name: String,
    id: String,
    date: String,
    what: String,
    result: String,
}

impl Row {
    fn line(&self) -> String {
        let Self { id, date, what, result, .. } = self;
        format!("{id:<23} {date:<10}  {what:<22} {result}").trim_end().to_owned()
    }
}

fn rows(bundle: &str, tape: &mut Tape) -> Vec<Row> {
    let Ok(document) = tape.read(bundle.as_bytes()) else { return Vec::new() };
    resources(document.root()).map(row).collect()
}

fn row(resource: Value<'_>) -> Row {
    let text = |name: &str| resource.get(name).and_then(Value::text).unwrap_or_default().into_owned();
    let date = text("effectiveDateTime");
    Row {
        name: name(resource),
        id: text("id"),
        date: date.get(..10).unwrap_or("no date").to_owned(),
        what: resource.get("code").map(concept).unwrap_or_default(),
        result: result(resource),
    }
}

fn concept(value: Value<'_>) -> String {
    let coding = value.get("coding").and_then(|codings| codings.items().next());
    let display = coding.and_then(|coding| coding.get("display")).or_else(|| value.get("text"));
    display.and_then(Value::text).unwrap_or_default().into_owned()
}

/// The value, its number as it was written.
fn result(resource: Value<'_>) -> String {
    if let Some(quantity) = resource.get("valueQuantity") {
        let text = |name: &str| quantity.get(name).and_then(Value::text).unwrap_or_default();
        let number = quantity.get("value").map(Value::raw).unwrap_or_default();
        return format!("{}{number} {}", text("comparator"), text("unit"));
    }
    resource.get("valueCodeableConcept").map(concept).unwrap_or_default()
}

fn write_head(rows: &[Row], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let resource_type = rows.first().and_then(|row| row.name.split('/').next()).unwrap_or("Resource");
    let head = Row {
        name: String::new(),
        id: resource_type.to_owned(),
        date: "date".to_owned(),
        what: "test".to_owned(),
        result: "result".to_owned(),
    };
    writeln!(out, "    {}", style.quiet(&head.line()))
}

/// A request line, decoded, with a parameter a line.
fn write_request(request: &str, out: &mut dyn Write) -> io::Result<()> {
    let (path, query) = request.split_once('?').unwrap_or((request, ""));
    writeln!(out, "    GET {path}")?;
    for (at, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let sign = if at == 0 { '?' } else { '&' };
        let pair = percent_decode_str(pair).decode_utf8_lossy();
        write_wrapped(&format!("        {sign}{pair}"), 12, out)?;
    }
    Ok(())
}

/// What was withheld, by reason.
fn write_reasons(withheld: &[Held], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut codes: Vec<&'static str> = Vec::new();
    for held in withheld.iter().filter(|held| !held.is_element()).chain(withheld) {
        if !codes.contains(&held.code) {
            codes.push(held.code);
        }
    }
    for code in codes {
        let of_code = || withheld.iter().filter(|held| held.code == code);
        let explanation = of_code().map(|held| held.explanation).next().unwrap_or_default();
        writeln!(out, "\n  {}: {explanation}\n", style.withheld(code))?;
        for held in of_code() {
            let what = held.what.split_once('/').map_or(held.what.as_str(), |(_, what)| what);
            let failed: Vec<String> = held.failed.iter().map(|text| without_systems(text)).collect();
            write_wrapped(format!("    {what:<23} {}", failed.join(", ")).trim_end(), 28, out)?;
        }
    }
    Ok(())
}

/// The text with every code system named by the last part of its URL: `v3-ActCode|HIV`.
fn without_systems(text: &str) -> String {
    let mut short = String::new();
    for part in text.split_inclusive([',', '=']) {
        let system = part.find('|').and_then(|bar| part.get(..bar)).filter(|system| system.contains("://"));
        let cut = system.and_then(|system| system.rfind('/')).map_or(0, |slash| slash + 1);
        short.push_str(part.get(cut..).unwrap_or(part));
    }
    short
}

/// A line, broken after commas where it is too long; what follows is indented.
fn write_wrapped(line: &str, indent: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut length = 0;
    for part in line.split_inclusive(',') {
        if length > indent && length + part.trim_end().len() > WIDTH {
            write!(out, "\n{:indent$}", "")?;
            length = indent;
            let part = part.trim_start();
            write!(out, "{part}")?;
            length += part.len();
        } else {
            write!(out, "{part}")?;
            length += part.len();
        }
    }
    writeln!(out)
}
