//! The table: what is known of a record, and what becomes of it.
//!
//! Takes: nothing. Gives: [`TABLE`]. Guarantees: each outcome is stated here and computed nowhere. In Provenance, `{own}` is the
//! record, `{type}` its type, and `{hidden}` another record of the type that a label keeps back.

use std::sync::LazyLock;

/// What a reader gets of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The record, marked with this verdict.
    Marked(&'static str),
    /// Nothing, because of its authorship, on which this is the verdict.
    Withheld(&'static str),
}

use Outcome::{Marked, Withheld};

/// What becomes of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// For a payer (payment), another provider (treatment), an auditor (legal).
    pub(super) readers: [Outcome; 3],
    /// Whether the row's Provenance comes along for them, where they ask for it.
    pub(super) along: [bool; 3],
}

/// One scenario.
pub(super) struct Row {
    /// The id of its record.
    pub(super) id: &'static str,
    pub(super) scenario: &'static str,
    /// The author by the record's own element; empty: none.
    pub(super) author: &'static str,
    /// `meta.source`; empty: none.
    pub(super) meta_source: &'static str,
    /// Provenance, but for type, id and `recorded`.
    pub(super) provenance: Vec<String>,
    /// In front of an EHR, without a registry of sources.
    pub(super) ehr: Expected,
    /// In front of an exchange, with one.
    pub(super) exchange: Expected,
}

/// Everybody gets it, and knows why.
fn released(verdict: &'static str) -> Expected {
    Expected { readers: [Marked(verdict); 3], along: [true; 3] }
}

/// A payer does not get it; who treats or audits does, and is told.
fn withheld(verdict: &'static str) -> Expected {
    Expected { readers: [Withheld(verdict), Marked(verdict), Marked(verdict)], along: [false, true, true] }
}

impl Row {
    /// Whether its Provenance names a record that a label keeps back.
    pub(super) fn hides(&self) -> bool {
        self.provenance.iter().any(|text| text.contains("{hidden}"))
    }
}

impl Expected {
    fn along(self, along: [bool; 3]) -> Self {
        Self { along, ..self }
    }
}

fn agent(system: &str, code: &str, who: &str, on_behalf_of: &str) -> String {
    let behalf = if on_behalf_of.is_empty() {
        String::new()
    } else {
        format!(r#","onBehalfOf":{{"reference":"{on_behalf_of}"}}"#)
    };
    format!(
        r#"{{"type":{{"coding":[{{"system":"{system}","code":"{code}"}}]}},"who":{{"reference":"{who}"}}{behalf}}}"#
    )
}

fn by(who: &str, on_behalf_of: &str) -> String {
    agent("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "author", who, on_behalf_of)
}

fn ada() -> String {
    by("Practitioner/ada", "Organization/hospital")
}

fn sent_by(who: &str) -> String {
    agent("http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type", "transmitter", who, "")
}

fn about(targets: &[&str], agents: &[String], entities: &str) -> Vec<String> {
    let targets: Vec<String> = targets.iter().map(|target| format!(r#"{{"reference":"{target}"}}"#)).collect();
    vec![format!(r#"{{"target":[{}],"agent":[{}]{entities}}}"#, targets.join(","), agents.join(","))]
}

/// Made by the exchange, of this original.
fn made_of(original: &str) -> Vec<String> {
    let entity = format!(r#","entity":[{{"role":"source","what":{{"reference":"{original}"}}}}]"#);
    about(&["{own}"], &[by("Organization/hie", "")], if original.is_empty() { "" } else { &entity })
}

fn none() -> Row {
    Row {
        id: "",
        scenario: "",
        author: "",
        meta_source: "",
        provenance: Vec::new(),
        ehr: withheld("unknown"),
        exchange: withheld("unknown"),
    }
}

pub(super) static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    vec![
        Row { id: "missing", scenario: "author missing", ..none() },
        Row {
            id: "present",
            scenario: "author present, and nothing says where it is from",
            author: "Practitioner/ada",
            ehr: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "present-of-source",
            scenario: "author present, source by meta.source",
            author: "Practitioner/ada",
            meta_source: "https://hospital.example/fhir#a1",
            ehr: released("asserted-by-source"),
            exchange: released("asserted-by-hie"),
            ..none()
        },
        Row { id: "nowhere", scenario: "author that leads nowhere", author: "Practitioner/gone", ..none() },
        Row {
            id: "contradicting",
            scenario: "author contradicting",
            author: "Practitioner/bob",
            provenance: about(&["{own}"], &[ada()], ""),
            ehr: withheld("contradicted"),
            exchange: withheld("contradicted"),
            ..none()
        },
        Row {
            id: "role",
            scenario: "author via role",
            author: "PractitionerRole/ada-there",
            ehr: released("asserted-by-source"),
            exchange: released("asserted-by-hie"),
            ..none()
        },
        Row {
            id: "role-and-provenance",
            scenario: "author via role, and the practitioner by Provenance",
            author: "PractitionerRole/ada-there",
            provenance: about(&["{own}"], &[ada()], ""),
            ehr: released("asserted-by-source"),
            exchange: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "organisation",
            scenario: "author via organisation only",
            provenance: about(&["{own}"], &[by("Organization/hospital", "")], ""),
            ehr: released("asserted-by-source"),
            exchange: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "redistributed",
            scenario: "redistributed by the exchange",
            provenance: about(&["{own}"], &[ada(), sent_by("Organization/hie")], ""),
            ehr: released("asserted-by-hie"),
            exchange: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "redistributed-authored",
            scenario: "redistributed by the exchange, author present",
            author: "Practitioner/ada",
            provenance: about(&["{own}"], &[ada(), sent_by("Organization/hie")], ""),
            ehr: released("asserted-by-source"),
            exchange: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "redistributed-by-stranger",
            scenario: "redistributed by somebody who does not speak for the source",
            provenance: about(&["{own}"], &[ada(), sent_by("Organization/stranger")], ""),
            ehr: released("asserted-by-hie"),
            ..none()
        },
        Row {
            id: "transformed",
            scenario: "transformed by the exchange without a source",
            provenance: made_of(""),
            ehr: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "transformed-of-known",
            scenario: "transformed by the exchange of a known original",
            provenance: made_of("DocumentReference/original-of-hospital"),
            ehr: released("asserted-by-source"),
            exchange: released("asserted-by-hie"),
            ..none()
        },
        Row {
            id: "transformed-of-none",
            scenario: "transformed by the exchange of an original that is not there",
            provenance: made_of("DocumentReference/original-of-nobody"),
            ehr: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "transformed-of-clinic",
            scenario: "transformed by the exchange of an original whose source does not let it",
            provenance: made_of("DocumentReference/original-of-clinic"),
            ehr: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "transformed-of-stranger",
            scenario: "transformed by the exchange of a stranger's original",
            provenance: made_of("DocumentReference/original-of-stranger"),
            ehr: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "unknown-source",
            scenario: "unknown source",
            author: "Practitioner/ada",
            provenance: about(&["{own}"], &[by("Practitioner/ada", "Organization/stranger")], ""),
            ehr: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "unchecked-source",
            scenario: "source that checks nobody's authorship",
            author: "Practitioner/ada",
            provenance: about(&["{own}"], &[by("Practitioner/ada", "Organization/practice")], ""),
            ehr: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "version",
            scenario: "Provenance of this version",
            provenance: about(&["{own}/_history/2"], &[ada()], ""),
            ehr: released("asserted-by-source"),
            exchange: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "another-version",
            scenario: "Provenance of another version",
            provenance: about(&["{own}/_history/1"], &[ada()], ""),
            ..none()
        },
        Row {
            id: "several",
            scenario: "Provenance of several targets, one of them",
            provenance: about(&["{own}", "{type}/several-too"], &[ada()], ""),
            ehr: released("asserted-by-source"),
            exchange: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "several-too",
            scenario: "Provenance of several targets, another of them",
            ehr: released("asserted-by-source"),
            exchange: released("asserted-by-source"),
            ..none()
        },
        Row {
            id: "beside-hidden",
            scenario: "Provenance of a withheld target: a label keeps it back",
            provenance: about(&["{own}", "{hidden}"], &[ada()], ""),
            ehr: released("asserted-by-source").along([false; 3]),
            exchange: released("asserted-by-source").along([false; 3]),
            ..none()
        },
        Row {
            id: "beside-contradicted",
            scenario: "Provenance of a withheld target: its author contradicts",
            provenance: about(&["{own}", "{type}/contradicted-too"], &[ada()], ""),
            ehr: released("asserted-by-source").along([false, true, true]),
            exchange: released("asserted-by-source").along([false, true, true]),
            ..none()
        },
        Row {
            id: "contradicted-too",
            scenario: "contradicting the Provenance of several targets",
            author: "Practitioner/bob",
            ehr: withheld("contradicted"),
            exchange: withheld("contradicted"),
            ..none()
        },
    ]
});
