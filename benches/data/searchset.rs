//! Searchsets as an EHR sends them: laboratory Observations of one patient, from one template.
//!
//! `benches/compare.py` fills the same template, so that micro-benchmarks and the gateway's see the same bytes.

/// One entry, laid out, with what varies as `{name}`.
const TEMPLATE: &str = include_str!("observation.json");
/// What a laboratory writes beside a result; cut where a note is long enough.
const NOTE: &str = include_str!("note.txt");
/// Bytes of the note in one entry: with it a compact entry has 3 KB, and a page of 100 has 300 KB.
const NOTE_BYTES: usize = 672;

/// The base URL that absolute references begin with.
pub(crate) const EHR: &str = "http://127.0.0.1:18300/fhir";
/// The patient whose results these are.
pub(crate) const PATIENT: &str = "p1";

/// How the sender writes JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// Without white space.
    Compact,
    /// On lines, indented.
    Pretty,
}

/// A searchset with so many entries.
pub(crate) fn searchset(entries: usize, layout: Layout) -> String {
    let entries: Vec<String> = (0..entries).map(|number| entry(number, Layout::Pretty)).collect();
    let text = format!(
        "{{\n  \"resourceType\": \"Bundle\",\n  \"id\": \"6b1f5c0a-2f0e-4a35-9f5e-1d7c2b0f9a11\",\n  \"type\": \"searchset\",\n  \
         \"link\": [\n    {{\n      \"relation\": \"self\",\n      \"url\": \"{EHR}/Observation?category=laboratory&patient={PATIENT}\"\n    \
         }}\n  ],\n  \"entry\": [\n{}\n  ]\n}}\n",
        entries.join(",\n")
    );
    laid_out(&text, layout)
}

/// One entry of it.
pub(crate) fn entry(number: usize, layout: Layout) -> String {
    let filled = TEMPLATE
        .replace("{base}", EHR)
        .replace("{id}", &format!("lab-{number:06}"))
        .replace("{number}", &format!("{:08}", 40_000_000 + number * 7))
        .replace("{mm}", &format!("{:02}", number % 60))
        .replace("{value}", &format!("{}.{:02}", 3 + number % 2, number * 37 % 100))
        .replace("{patient}", PATIENT)
        .replace("{note}", NOTE.trim_end().get(..NOTE_BYTES).unwrap_or(NOTE));
    let lines: Vec<String> = filled.lines().map(|line| format!("    {line}")).collect();
    laid_out(&lines.join("\n"), layout)
}

/// Drops the white space between tokens where it is not wanted.
fn laid_out(pretty: &str, layout: Layout) -> String {
    match layout {
        Layout::Pretty => pretty.to_owned(),
        Layout::Compact => pretty.lines().map(|line| line.trim_start().replacen("\": ", "\":", 1)).collect(),
    }
}
