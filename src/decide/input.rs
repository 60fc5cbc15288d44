//! The input document of one evaluation (`policies/schema/input.json` states the same).
//!
//! Takes: caller, interaction, patients, facts and the day. Gives: JSON in one member order. Guarantees: equal
//! questions are equal bytes, which the decision cache is keyed by; every value is typed here, so that policies
//! compare and never parse; no `null`, absent members are absent; nothing of the clock but the day.
//! Refuses: more than [`limits::POLICY_INPUT_BYTES`].

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;

use jiff::ToSpan;
use jiff::civil::Date;

use super::facts::{Code, ConsentFact, CoverageFact, Facts, PatientFacts, Provision};
use super::roster::Membership;
use super::scope::ScopeGrant;
use crate::fhir::json::write_string;
use crate::fhir::name::Id;
use crate::fhir::search::{Criterion, Operand};
use crate::limits;
use crate::understand::{Include, Interaction};

#[cfg(test)]
mod tests;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The client's id.
    pub id: &'a str,
    /// The organization that answers for the client.
    pub organization: &'a str,
    /// Purpose of use.
    pub purpose: &'a str,
    /// Resource scopes of the token.
    pub scopes: &'a [ScopeGrant<'a>],
    /// What else the registration says, for policies to compare.
    pub attributes: &'a BTreeMap<String, String>,
}

/// Days before today that policies may look back to, as ISO 8601 durations (`P12M`).
#[derive(Clone, Debug, Default)]
pub struct LookBack(BTreeMap<String, jiff::Span>);

impl LookBack {
    /// Reads durations of whole days, weeks, months or years. `None` where one is not, or is longer than a century.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<Self> {
        let span = |text: &'t str| {
            let digits = text.strip_prefix('P')?.strip_suffix(['D', 'W', 'M', 'Y'])?;
            let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            let count: i64 = plain.then(|| digits.parse().ok()).flatten()?;
            let (days, span) = match text.bytes().last()? {
                b'D' => (1, jiff::Span::new().try_days(count)),
                b'W' => (7, jiff::Span::new().try_weeks(count)),
                b'M' => (30, jiff::Span::new().try_months(count)),
                _ => (365, jiff::Span::new().try_years(count)),
            };
            (count * days <= 36_525).then_some((text.to_owned(), span.ok()?))
        };
        texts.into_iter().map(span).collect::<Option<_>>().map(Self)
    }

    fn days(&self, today: Date) -> impl Iterator<Item = (&str, Date)> {
        let earliest = today.saturating_sub(200.years());
        self.0.iter().map(move |(text, span)| (text.as_str(), today.checked_sub(*span).unwrap_or(earliest)))
    }
}

/// What one decision is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) caller: &'a Caller<'a>,
    pub(super) interaction: &'a Interaction,
    pub(super) patients: &'a [Id],
    pub(super) facts: &'a Facts,
    pub(super) lookback: &'a LookBack,
    pub(super) today: Date,
}

/// Writes the document. `None` where it would be too large.
pub(super) fn shape(question: &Question<'_>) -> Option<Vec<u8>> {
    let mut out = Writer { bytes: Vec::with_capacity(2_048), first: true };
    out.object(|out| {
        out.member("client", |out| client(out, question.caller));
        out.member("scopes", |out| out.array(question.caller.scopes, scope));
        out.member("request", |out| request(out, question));
        out.member("facts", |out| out.object(|out| out.member("patients", |out| facts(out, question.facts))));
        out.member("time", |out| {
            out.object(|out| {
                out.member("today", |out| out.plain(question.today));
                out.member("back", |out| {
                    out.object(|out| {
                        for (text, day) in question.lookback.days(question.today) {
                            out.member(text, |out| out.plain(day));
                        }
                    });
                });
            });
        });
    });
    (out.bytes.len() <= limits::POLICY_INPUT_BYTES).then_some(out.bytes)
}

fn client(out: &mut Writer, caller: &Caller<'_>) {
    out.object(|out| {
        out.text("id", caller.id);
        out.text("organization", caller.organization);
        out.text("purpose", caller.purpose);
        out.member("attributes", |out| {
            out.object(|out| caller.attributes.iter().for_each(|(name, value)| out.text(name, value)));
        });
    });
}

fn scope(out: &mut Writer, grant: &ScopeGrant<'_>) {
    out.object(|out| {
        out.text("type", grant.resource_type.map_or("*", |resource_type| resource_type.as_str()));
        out.flag("read", grant.read);
        out.flag("search", grant.search);
        out.optional("constraint", grant.constraint);
    });
}

fn request(out: &mut Writer, question: &Question<'_>) {
    let interaction = question.interaction;
    out.object(|out| {
        out.text("interaction", interaction.code());
        out.text("type", interaction.resource_type().as_str());
        if let Interaction::Read(read) = interaction {
            out.text("id", read.id().as_str());
        }
        out.member("patients", |out| out.array(question.patients, |out, id| out.string(id.as_str())));
        let search = interaction.search();
        let criteria = search.map(|search| search.criteria()).unwrap_or_default();
        out.member("parameters", |out| out.array(criteria, parameter));
        let includes = search.map(|search| search.includes()).unwrap_or_default();
        out.member("includes", |out| out.array(includes, include));
        out.member("elements", |out| {
            out.array(&interaction.shape().elements, |out, element| out.string(element));
        });
        out.flag("count_only", interaction.shape().count_only);
    });
}

fn parameter(out: &mut Writer, criterion: &Criterion) {
    out.object(|out| {
        out.text("name", &criterion.definition().name);
        if criterion.modifier().is_some() {
            let key = criterion.key();
            out.optional("modifier", key.split_once(':').map(|(_, modifier)| modifier));
        }
        out.member("values", |out| out.array(criterion.operands(), operand));
    });
}

fn operand(out: &mut Writer, operand: &Operand) {
    out.object(|out| match operand {
        Operand::Date { prefix, text, span } => {
            out.text("prefix", prefix.map_or("eq", |prefix| prefix.as_str()));
            out.text("text", text);
            if let Some(start) = span.start {
                out.member("start", |out| out.plain(start));
            }
            if let Some(end) = span.end {
                out.member("end", |out| out.plain(end));
            }
        }
        Operand::Number { prefix, .. } | Operand::Quantity { prefix, .. } => {
            out.text("prefix", prefix.map_or("eq", |prefix| prefix.as_str()));
            let written = operand.to_string();
            let text = prefix.and_then(|prefix| written.strip_prefix(prefix.as_str())).unwrap_or(&written);
            out.text("text", text);
        }
        Operand::Reference { resource_type, id } => {
            out.optional("type", resource_type.map(|resource_type| resource_type.as_str()));
            out.text("id", id.as_str());
        }
        Operand::Canonical { .. } => out.text("text", &operand.to_string()),
        Operand::String(text) | Operand::Uri(text) => out.text("text", text),
        Operand::Token { system, code } => {
            out.optional("system", system.as_deref());
            out.optional("code", code.as_deref());
        }
    });
}

fn include(out: &mut Writer, include: &Include) {
    out.object(|out| {
        out.text("direction", include.direction.as_str());
        out.text("source", include.source.as_str());
        out.text("parameter", &include.parameter);
        out.optional("target", include.target.map(|target| target.as_str()));
    });
}

fn facts(out: &mut Writer, facts: &Facts) {
    out.object(|out| {
        for (patient, known) in &facts.patients {
            out.member(patient.as_str(), |out| patient_facts(out, known));
        }
    });
}

fn patient_facts(out: &mut Writer, known: &PatientFacts) {
    out.object(|out| {
        out.member("coverage", |out| out.array(&known.coverage, coverage));
        out.member("consents", |out| out.array(&known.consents, consent));
        out.member("roster", |out| out.array(&known.roster, membership));
    });
}

fn coverage(out: &mut Writer, fact: &CoverageFact) {
    out.object(|out| {
        out.text("status", &fact.status);
        out.codes("payor_references", &fact.payor_references);
        out.codes("payor_identifiers", &fact.payor_identifiers);
        out.optional("subscriber_id", fact.subscriber_id.as_deref());
        out.codes("types", &fact.types);
        out.day("start", fact.start);
        out.day("end", fact.end);
    });
}

fn consent(out: &mut Writer, fact: &ConsentFact) {
    out.object(|out| {
        out.text("status", &fact.status);
        out.codes("scope", &fact.scope);
        out.codes("category", &fact.category);
        out.day("date", fact.date);
        out.codes("policy", &fact.policy);
        out.flag("supported", fact.supported);
        out.member("provisions", |out| out.array(&fact.provisions, provision));
    });
}

fn provision(out: &mut Writer, provision: &Provision) {
    out.object(|out| {
        out.member("level", |out| out.bare(provision.level));
        out.text("type", &provision.decision);
        out.day("start", provision.start);
        out.day("end", provision.end);
        out.codes("actors", &provision.actors);
        out.codes("actions", &provision.actions);
        out.codes("labels", &provision.labels);
        out.codes("purposes", &provision.purposes);
        out.codes("classes", &provision.classes);
        out.codes("codes", &provision.codes);
        out.day("data_start", provision.data_start);
        out.day("data_end", provision.data_end);
    });
}

fn membership(out: &mut Writer, membership: &Membership) {
    out.object(|out| {
        out.text("roster", &membership.roster);
        out.text("member_id", &membership.member_id);
        out.day("start", membership.start);
        out.day("end", membership.end);
    });
}

/// JSON, written member by member into one buffer.
struct Writer {
    bytes: Vec<u8>,
    /// Whether the next member or item is the first of its object or array.
    first: bool,
}

impl Writer {
    fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.bytes.push(b'{');
        self.first = true;
        members(self);
        self.bytes.push(b'}');
        self.first = false;
    }

    fn array<T>(&mut self, items: &[T], item: impl Fn(&mut Self, &T)) {
        self.bytes.push(b'[');
        self.first = true;
        for one in items {
            self.comma();
            item(self, one);
        }
        self.bytes.push(b']');
        self.first = false;
    }

    fn member(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        self.comma();
        self.string(name);
        self.bytes.push(b':');
        value(self);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.member(name, |out| out.string(value));
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.member(name, |out| out.bare(value));
    }

    fn day(&mut self, name: &str, value: Option<Date>) {
        if let Some(day) = value {
            self.member(name, |out| out.plain(day));
        }
    }

    fn codes(&mut self, name: &str, codes: &[Code]) {
        self.member(name, |out| out.array(codes, |out, code| out.string(code)));
    }

    /// A string that needs no escapes.
    fn plain(&mut self, value: impl Display) {
        self.bytes.push(b'"');
        self.bare(value);
        self.bytes.push(b'"');
    }

    fn bare(&mut self, value: impl Display) {
        // Writing to memory does not fail.
        let _ = write!(self.bytes, "{value}");
    }

    fn string(&mut self, text: &str) {
        if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.bytes.push(b'"');
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.push(b'"');
        } else {
            write_string(text, &mut self.bytes);
        }
    }

    fn comma(&mut self) {
        if !self.first {
            self.bytes.push(b',');
        }
        self.first = false;
    }
}
