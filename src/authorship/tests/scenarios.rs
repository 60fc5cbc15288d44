//! Scenario by type: what becomes of a record, and for whom it would leave.

use super::*;
use crate::oauth::Purpose;
use Verdict::{AssertedByHie as Hie, AssertedBySource as Source, Contradicted, Unknown, Verified};

/// Types, and the element that names their author.
const TYPES: [(&str, &str); 4] = [
    ("Condition", r#""recorder":{"reference":"@"}"#),
    ("MedicationRequest", r#""requester":{"reference":"@"}"#),
    ("Observation", r#""performer":[{"reference":"@"}]"#),
    ("DocumentReference", r#""author":[{"reference":"@"}]"#),
];

struct Scenario {
    name: &'static str,
    /// The author by the record's own element; empty: none.
    author: &'static str,
    /// More members of the record.
    members: &'static str,
    /// About `X/1`.
    provenance: Vec<String>,
    /// Here as an original.
    originals: Vec<String>,
    /// Of an EHR without a registry, and of an exchange with one.
    expected: (Verdict, Verdict),
    /// A finding that must be there of the exchange's.
    finding: (Code, Answer),
}

fn by(targets: &[&str], agents: &[String]) -> Vec<String> {
    vec![provenance("p1", targets, agents, "")]
}

/// `X` stands for the type.
fn scenarios() -> Vec<Scenario> {
    let ada = || agent("author", "Practitioner/ada", "Organization/hospital");
    let sent = |by: &str| agent("transmitter", by, "");
    let source = r#""entity":[{"role":"source","what":{"reference":"DocumentReference/original"}}]"#;
    let original = |custodian: &str| {
        vec![resource("DocumentReference/original", &format!(r#""custodian":{{"reference":"{custodian}"}}"#))]
    };
    let made_by_hie =
        |members: &str| vec![provenance("p1", &["X/1"], &[agent("author", "Organization/hie", "")], members)];
    let none = || Scenario {
        name: "",
        author: "",
        members: r#""meta":{"versionId":"2"}"#,
        provenance: Vec::new(),
        originals: Vec::new(),
        expected: (Unknown, Unknown),
        finding: (Code::AuthorStated, Answer::CannotTell),
    };
    vec![
        Scenario { name: "author missing", ..none() },
        Scenario {
            name: "author present, and nothing says where it is from",
            author: "Practitioner/ada",
            expected: (Source, Unknown),
            finding: (Code::SourceKnown, Answer::CannotTell),
            ..none()
        },
        Scenario {
            name: "author present, source by meta.source",
            author: "Practitioner/ada",
            members: r#""meta":{"versionId":"2","source":"https://hospital.example/fhir#a1"}"#,
            expected: (Source, Hie),
            finding: (Code::SourceKnown, Answer::Match),
            ..none()
        },
        Scenario {
            name: "author that leads nowhere",
            author: "Practitioner/gone",
            finding: (Code::AuthorResolvable, Answer::CannotTell),
            ..none()
        },
        Scenario {
            name: "author via role",
            author: "PractitionerRole/ada-there",
            expected: (Source, Hie),
            finding: (Code::OrganisationNamed, Answer::Match),
            ..none()
        },
        Scenario {
            name: "author via role, and the practitioner by Provenance",
            author: "PractitionerRole/ada-there",
            provenance: by(&["X/1"], &[ada()]),
            expected: (Source, Source),
            finding: (Code::AuthorAgrees, Answer::Match),
            ..none()
        },
        Scenario {
            name: "author via organisation only",
            provenance: by(&["X/1"], &[agent("author", "Organization/hospital", "")]),
            expected: (Source, Source),
            finding: (Code::OrganisationNamed, Answer::Match),
            ..none()
        },
        Scenario {
            name: "author of an organisation that is not here",
            provenance: by(&["X/1"], &[agent("author", "Organization/gone", "")]),
            finding: (Code::AuthorResolvable, Answer::CannotTell),
            ..none()
        },
        Scenario {
            name: "author contradicting",
            author: "Practitioner/bob",
            provenance: by(&["X/1"], &[ada()]),
            expected: (Contradicted, Contradicted),
            finding: (Code::AuthorAgrees, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "contradicting, and healed by nothing else that is added",
            author: "Practitioner/bob",
            provenance: vec![
                provenance("p1", &["X/1"], &[ada()], ""),
                provenance("p2", &["X/1"], &[agent("author", "Practitioner/bob", "Organization/hospital")], ""),
            ],
            expected: (Contradicted, Contradicted),
            finding: (Code::AuthorAgrees, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "another organisation as author",
            author: "Organization/clinic",
            provenance: by(&["X/1"], &[agent("author", "Organization/hospital", "")]),
            expected: (Contradicted, Contradicted),
            finding: (Code::OrganisationAgrees, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "redistributed by the exchange",
            author: "Practitioner/ada",
            provenance: by(&["X/1"], &[ada(), sent("Organization/hie")]),
            expected: (Source, Source),
            finding: (Code::TransmitterIsUpstream, Answer::Match),
            ..none()
        },
        Scenario {
            name: "redistributed, author by Provenance alone",
            provenance: by(&["X/1"], &[ada(), sent("Organization/hie")]),
            expected: (Hie, Source),
            finding: (Code::TransmitterSpeaksForSource, Answer::Match),
            ..none()
        },
        Scenario {
            name: "redistributed by somebody who does not speak for the source",
            provenance: by(&["X/1"], &[ada(), sent("Organization/stranger")]),
            expected: (Hie, Unknown),
            finding: (Code::TransmitterSpeaksForSource, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "redistributed by somebody who is not here",
            provenance: by(&["X/1"], &[ada(), sent("Organization/gone")]),
            expected: (Hie, Hie),
            finding: (Code::TransmitterIsUpstream, Answer::CannotTell),
            ..none()
        },
        Scenario {
            name: "transformed without a source",
            provenance: made_by_hie(""),
            expected: (Source, Unknown),
            finding: (Code::OriginalKnown, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "transformed without a source, whatever the record says itself",
            author: "Practitioner/ada",
            members: r#""meta":{"source":"https://hospital.example/fhir"}"#,
            provenance: made_by_hie(""),
            expected: (Source, Unknown),
            finding: (Code::OriginalKnown, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "transformed of a source that is not here",
            provenance: made_by_hie(source),
            expected: (Source, Unknown),
            finding: (Code::OriginalKnown, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "transformed of a known original",
            provenance: made_by_hie(source),
            originals: original("Organization/hospital"),
            expected: (Source, Hie),
            finding: (Code::OriginalKnown, Answer::Match),
            ..none()
        },
        Scenario {
            name: "transformed of a stranger's original",
            provenance: made_by_hie(source),
            originals: original("Organization/stranger"),
            expected: (Source, Unknown),
            finding: (Code::OriginalKnown, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "unknown source",
            author: "Practitioner/ada",
            provenance: by(&["X/1"], &[agent("author", "Practitioner/ada", "Organization/stranger")]),
            expected: (Source, Unknown),
            finding: (Code::SourceKnown, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "source that validates nothing",
            author: "Practitioner/ada",
            provenance: by(&["X/1"], &[agent("author", "Practitioner/ada", "Organization/practice")]),
            expected: (Source, Unknown),
            finding: (Code::SourceValidatesType, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "meta.source of another source",
            members: r#""meta":{"source":"https://clinic.example/fhir"}"#,
            provenance: by(&["X/1"], &[ada()]),
            expected: (Source, Contradicted),
            finding: (Code::SourceAgrees, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "Provenance of this version",
            provenance: by(&["X/1/_history/2"], &[ada()]),
            expected: (Source, Source),
            finding: (Code::VersionBound, Answer::Match),
            ..none()
        },
        Scenario {
            name: "Provenance of no version in particular",
            provenance: by(&["https://ehr.example/fhir/X/1"], &[ada()]),
            expected: (Source, Source),
            finding: (Code::VersionBound, Answer::CannotTell),
            ..none()
        },
        Scenario {
            name: "Provenance of another version",
            provenance: by(&["X/1/_history/1"], &[ada()]),
            finding: (Code::VersionBound, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "Provenance of another version, whose author is no contradiction",
            author: "PractitionerRole/ada-there",
            provenance: by(&["X/1/_history/1"], &[agent("author", "Practitioner/bob", "Organization/hospital")]),
            expected: (Source, Hie),
            finding: (Code::VersionBound, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "Provenance of a version, and which one this is cannot be told",
            members: r#""status":"final""#,
            provenance: by(&["X/1/_history/2"], &[ada()]),
            finding: (Code::VersionBound, Answer::CannotTell),
            ..none()
        },
        Scenario {
            name: "Provenance of several targets",
            provenance: by(&["X/7", "Patient/p1", "X/1", "X/8/_history/4"], &[ada()]),
            expected: (Source, Source),
            finding: (Code::ProvenanceReadable, Answer::Match),
            ..none()
        },
        Scenario {
            name: "Provenance of others",
            provenance: by(&["X/2", "X/11", "https://other.example/fhir/X/1"], &[ada()]),
            ..none()
        },
        Scenario {
            name: "Provenance with a target that is none",
            provenance: vec![
                provenance("p1", &["X/1"], &[ada()], "").replace(r#""target":["#, r#""target":[{"display":"x"},"#),
            ],
            finding: (Code::ProvenanceReadable, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "Provenance without a time",
            author: "Practitioner/ada",
            provenance: vec![provenance("p1", &["X/1"], &[ada()], "").replace("2026-03-01T10:00:00Z", "2026-03-01")],
            finding: (Code::ProvenanceReadable, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "recorded tomorrow",
            author: "Practitioner/ada",
            provenance: vec![provenance("p1", &["X/1"], &[ada()], "").replace("2026-03-01T", "2026-11-28T")],
            expected: (Contradicted, Contradicted),
            finding: (Code::TimesPlausible, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "happened after it was recorded",
            provenance: vec![provenance("p1", &["X/1"], &[ada()], r#""occurredDateTime":"2026-03-02""#)],
            expected: (Contradicted, Contradicted),
            finding: (Code::TimesPlausible, Answer::Mismatch),
            ..none()
        },
        Scenario {
            name: "happened on the day on which it was recorded",
            provenance: vec![provenance("p1", &["X/1"], &[ada()], r#""occurredDateTime":"2026-03-01""#)],
            expected: (Source, Source),
            finding: (Code::TimesPlausible, Answer::Match),
            ..none()
        },
        Scenario {
            name: "recorded long after the record was last changed, as whoever passes it on does",
            members: r#""meta":{"lastUpdated":"2024-03-01T09:55:00Z"}"#,
            provenance: by(&["X/1"], &[ada(), sent("Organization/hospital")]),
            expected: (Source, Source),
            finding: (Code::TimesPlausible, Answer::Match),
            ..none()
        },
    ]
}

fn leaves(purpose: &str, judged: &Judged) -> bool {
    default_release(Purpose::parse(purpose).unwrap()).permits(judged)
}

#[test]
fn scenario_by_type() {
    let registry = registry(REGISTRY);
    for (resource_type, element) in TYPES {
        for scenario in scenarios() {
            let author = if scenario.author.is_empty() {
                String::new()
            } else {
                format!(",{}", element.replace('@', scenario.author))
            };
            let record = resource(&format!("{resource_type}/1"), &format!("{}{author}", scenario.members));
            let provenance: Vec<String> =
                scenario.provenance.iter().map(|text| text.replace("X/", &format!("{resource_type}/"))).collect();
            for (registry, expected) in [(None, scenario.expected.0), (Some(&registry), scenario.expected.1)] {
                let world = World { originals: scenario.originals.clone(), ..world(registry, &provenance) };
                let judged = world.judge(&record);
                let of = if registry.is_some() { "an exchange" } else { "an ehr" };
                let said = format!("{resource_type} of {of}: {}: {judged:?}", scenario.name);
                assert_eq!(judged.verdict, expected, "{said}");
                if registry.is_some() {
                    let (code, answer) = scenario.finding;
                    assert_eq!(judged.findings.get(code), Some(answer), "{said}");
                }
                // A payer, an auditor of the payer's dealings, and another provider.
                let attributed = matches!(expected, Source | Verified) || (expected == Hie && judged.exchange_allowed);
                assert_eq!(leaves("HPAYMT", &judged), attributed, "{said}");
                assert_eq!(leaves("HOPERAT", &judged), attributed, "{said}");
                assert_eq!(leaves("HCOMPL", &judged), attributed, "{said}");
                assert!(leaves("TREAT", &judged), "{said}");
            }
        }
    }
}

#[test]
fn by_default_a_purpose_gets_these_verdicts() {
    let set = |purpose: &str, allowed| -> Vec<Verdict> {
        default_release(Purpose::parse(purpose).unwrap()).verdicts(allowed).collect()
    };
    for purpose in
        ["HPAYMT", "HOPERAT", "CAREMGT", "CLMATTCH", "COVAUTH", "HCOMPL", "FRAUD", "HRESCH", "PUBHLTH", "PATRQT"]
    {
        assert_eq!(set(purpose, false), [Source, Verified], "{purpose}");
        assert_eq!(set(purpose, true), [Hie, Source, Verified], "{purpose}");
        assert!(!default_release(Purpose::parse(purpose).unwrap()).is_marked());
    }
    for purpose in ["TREAT", "ETREAT", "BTG", "COC"] {
        assert_eq!(set(purpose, false), Verdict::ALL, "{purpose}");
        assert!(default_release(Purpose::parse(purpose).unwrap()).is_marked());
    }
}

#[test]
fn a_provenance_of_withheld_targets_is_cut_only_unsigned() {
    let signed = r#""signature":[{"data":"aGVsbG8="}]"#;
    let targets = ["Condition/1", "Condition/2/_history/3", "Condition/3"];
    let of = |leaving: &[&str], members: &str| {
        let mut tape = Tape::new();
        let text = provenance("p1", &targets, &[], members);
        passage(tape.read(text.as_bytes()).unwrap().root(), |reference| leaving.contains(&reference))
    };
    assert_eq!(of(&["Condition/1", "Condition/2", "Condition/3"], ""), Passage::Whole);
    assert_eq!(of(&["Condition/1", "Condition/2", "Condition/3"], signed), Passage::Whole);
    assert_eq!(of(&["Condition/2"], ""), Passage::Without(vec![0, 2]));
    assert_eq!(of(&["Condition/2"], signed), Passage::Withheld);
    assert_eq!(of(&[], ""), Passage::Withheld);
    for text in [r#"{"target":[]}"#, r#"{}"#, r#"{"target":[{"reference":"Condition/1"},{"display":"x"}]}"#] {
        let mut tape = Tape::new();
        assert_eq!(passage(tape.read(text.as_bytes()).unwrap().root(), |_| true), Passage::Withheld, "{text}");
    }
}

#[test]
fn a_provenance_is_judged_by_its_own_agents() {
    let author = agent("author", "Practitioner/ada", "Organization/hospital");
    let good = provenance("p1", &["Condition/1"], std::slice::from_ref(&author), "");
    assert_eq!(world(None, std::slice::from_ref(&good)).judge(&good).verdict, Source);
    let nobody = provenance("p1", &["Condition/1"], &[agent("author", "Practitioner/gone", "")], "");
    assert_eq!(world(None, std::slice::from_ref(&nobody)).judge(&nobody).verdict, Unknown);
    for broken in [provenance("p1", &[], &[author], ""), provenance("p1", &["Condition/1"], &[], "")] {
        let judged = world(None, std::slice::from_ref(&broken)).judge(&broken);
        assert_eq!(judged.verdict, Unknown);
        assert_eq!(judged.findings.get(Code::ProvenanceReadable), Some(Answer::Mismatch));
    }
}
