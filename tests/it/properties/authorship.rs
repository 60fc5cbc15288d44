//! Nothing that supports a verdict can be taken away to get a better one, and nothing that contradicts one can be added.
//!
//! Random evidence about one record: a directory with gaps, doubles and false identifiers; Provenance of every make; originals;
//! signatures. It is judged whole, and without each piece, under no registry, an exchange's and an EHR's.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use portcullis::authorship::{
    Code, Consequence, Evidence, Gathered, Judged, Outcome, Record, Registry, Signer, State, Trust, Verdict, judge,
};
use portcullis::clock::Now;
use portcullis::config::Sources;
use portcullis::fhir::identifier::{Identifier, NPI};
use portcullis::fhir::json::Tape;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

const ADA: &str = "1136090283";
const BOB: &str = "1621767916";
const HOSPITAL: &str = "1474179235";
const CLINIC: &str = "1917665824";
const HIE: &str = "1216407266";
const STRANGER: &str = "1100468879";

/// One resource or outcome beside the record.
#[derive(Clone, Debug)]
enum Piece {
    Resource(String),
    Original(String),
    Signature(&'static str, Outcome),
}

fn registry(kind: &str, demands: &str) -> Registry {
    let folder = std::env::temp_dir().join(format!("portcullis-properties-{}-{kind}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertificateParams::new(vec!["ca.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let npi = |value: &str| format!("\"{NPI}|{value}\"");
    let text = format!(
        "[upstream]\nkind = \"{kind}\"\nidentifiers = [{hie}]\n\
         [[source]]\nidentifiers = [{hospital}]\nname = \"Hospital\"\nvalidates_authorship = true\nspeakers = [{hie}]\n\
         meta_sources = [\"urn:hospital\"]\nagreement = \"1\"\nvalid_from = \"2025-01-01\"\n\
         [[source]]\nidentifiers = [{clinic}]\nname = \"Clinic\"\nvalidates_authorship = true\ntypes = [\"Condition\"]\nspeakers = [{hie}]\n\
         meta_sources = [\"urn:clinic\"]\nagreement = \"2\"\nvalid_from = \"2025-01-01\"\nanchors = \"ca.pem\"\nsignatures = \"{demands}\"\n",
        hie = npi(HIE),
        hospital = npi(HOSPITAL),
        clinic = npi(CLINIC),
    );
    let sources = Sources::parse(&text, &folder.join("sources.toml")).unwrap_or_else(|problems| panic!("{problems:?}"));
    std::fs::remove_dir_all(folder).unwrap();
    Registry::new(sources)
}

static REGISTRIES: LazyLock<[Registry; 3]> =
    LazyLock::new(|| [registry("exchange", "accepted"), registry("exchange", "demanded"), registry("ehr", "demanded")]);

fn directory() -> impl Strategy<Value = Vec<Piece>> {
    let person = |id: &'static str, npi: &'static str| {
        let of = move |value: &str| {
            format!(
                r#"{{"resourceType":"{}","id":"{}","identifier":[{{"system":"{NPI}","value":"{value}"}}]}}"#,
                id.split_once('/').unwrap().0,
                id.split_once('/').unwrap().1
            )
        };
        let wrong = format!("{}0", &npi[..9]);
        prop_oneof![
            8 => Just(vec![of(npi)]),
            1 => Just(Vec::new()),
            1 => Just(vec![of(&wrong)]),
            1 => Just(vec![of(npi), of(&wrong)]),
            1 => Just(vec![of(npi), of(BOB)]),
        ]
    };
    let role = Just(vec![
        r#"{"resourceType":"PractitionerRole","id":"role","practitioner":{"reference":"Practitioner/ada"},"organization":{"reference":"Organization/hospital"}}"#.to_owned(),
    ]);
    (
        person("Practitioner/ada", ADA),
        person("Practitioner/bob", BOB),
        person("Practitioner/ada2", ADA),
        person("Organization/hospital", HOSPITAL),
        person("Organization/clinic", CLINIC),
        person("Organization/hie", HIE),
        person("Organization/stranger", STRANGER),
        role,
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| {
            [a, b, c, d, e, f, g, h].concat().into_iter().map(Piece::Resource).collect()
        })
}

fn author() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("Practitioner/ada"),
        1 => Just("Practitioner/ada2"),
        1 => Just("Practitioner/bob"),
        1 => Just("Practitioner/gone"),
        2 => Just("PractitionerRole/role"),
        1 => Just("Organization/hospital"),
        1 => Just("Organization/clinic"),
        1 => Just("Organization/hie"),
    ]
}

fn organisation() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => Just(""),
        4 => Just("Organization/hospital"),
        2 => Just("Organization/clinic"),
        1 => Just("Organization/hie"),
        1 => Just("Organization/stranger"),
        1 => Just("Organization/gone"),
    ]
}

/// A Provenance about `target`.
fn provenance(id: &'static str, target: &'static str) -> impl Strategy<Value = Piece> {
    let versions = prop_oneof![3 => Just(""), 2 => Just("/_history/2"), 1 => Just("/_history/1")];
    let recorded = prop_oneof![8 => Just("2026-03-01T10:00:00Z"), 1 => Just("2027-01-01T00:00:00Z"), 1 => Just("soon")];
    let occurred = prop_oneof![3 => Just(""), 1 => Just(r#","occurredDateTime":"2026-03-01""#), 1 => Just(r#","occurredDateTime":"2026-04-01""#)];
    let entity = prop_oneof![
        Just(""),
        Just(r#","entity":[{"role":"source","what":{"reference":"DocumentReference/original"}}]"#)
    ];
    (author(), organisation(), organisation(), versions, recorded, occurred, entity, any::<bool>()).prop_map(
        move |(who, behalf, transmitter, version, recorded, occurred, entity, is_author)| {
            let behalf = if behalf.is_empty() { String::new() } else { format!(r#","onBehalfOf":{{"reference":"{behalf}"}}"#) };
            let system = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
            let code = if is_author || transmitter.is_empty() { "author" } else { "verifier" };
            let sent = if transmitter.is_empty() {
                String::new()
            } else {
                format!(r#",{{"type":{{"coding":[{{"system":"{system}","code":"transmitter"}}]}},"who":{{"reference":"{transmitter}"}}}}"#)
            };
            Piece::Resource(format!(
                r#"{{"resourceType":"Provenance","id":"{id}","target":[{{"reference":"{target}{version}"}}],"recorded":"{recorded}"{occurred},
                "agent":[{{"type":{{"coding":[{{"system":"{system}","code":"{code}"}}]}},"who":{{"reference":"{who}"}}{behalf}}}{sent}]{entity}}}"#
            ))
        },
    )
}

fn signature() -> impl Strategy<Value = Piece> {
    let on = prop_oneof![Just("Condition/1"), Just("Provenance/p1"), Just("Provenance/p2")];
    let state = prop_oneof![5 => Just(State::Verified), 1 => Just(State::VerifiedWithWarnings), 1 => Just(State::Failed), 1 => Just(State::CannotVerify)];
    let npi = |value: &'static str| Just(Identifier::of(NPI, value).unwrap());
    let signer = prop_oneof![3 => npi(ADA), 2 => npi(HOSPITAL), 2 => npi(CLINIC), 1 => npi(HIE), 1 => npi(BOB)];
    let anchored = prop_oneof![Just(None), npi(HOSPITAL).prop_map(Some), npi(CLINIC).prop_map(Some)];
    (on, state, signer, anchored).prop_map(|(on, state, signer, anchored)| {
        Piece::Signature(on, Outcome { state, signers: vec![signer], signer: Signer::Person, anchored })
    })
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let maybe = |strategy| proptest::option::weighted(0.6, strategy);
    let original = organisation().prop_map(|custodian| {
        Piece::Original(format!(
            r#"{{"resourceType":"DocumentReference","id":"original","custodian":{{"reference":"{custodian}"}}}}"#
        ))
    });
    (
        directory(),
        maybe(provenance("p1", "Condition/1").boxed()),
        maybe(provenance("p2", "Condition/1").boxed()),
        maybe(provenance("p3", "DocumentReference/original").boxed()),
        maybe(original.boxed()),
        proptest::collection::vec(signature(), 0..3),
    )
        .prop_map(|(mut all, one, two, three, four, signatures)| {
            all.extend([one, two, three, four].into_iter().flatten());
            all.extend(signatures);
            all
        })
}

fn record() -> impl Strategy<Value = String> {
    let author = proptest::option::weighted(0.7, author());
    let source =
        prop_oneof![2 => Just(""), 1 => Just(r#","source":"urn:hospital#7""#), 1 => Just(r#","source":"urn:clinic""#)];
    (author, source).prop_map(|(author, source)| {
        let author = author.map_or(String::new(), |author| format!(r#","recorder":{{"reference":"{author}"}}"#));
        format!(r#"{{"resourceType":"Condition","id":"1","meta":{{"versionId":"2"{source}}},"recordedDate":"2026-03-01"{author}}}"#)
    })
}

fn evidence<'p>(pieces: impl Iterator<Item = &'p Piece>) -> Evidence {
    let mut gathered = Gathered::new(&[]);
    let mut tape = Tape::new();
    for piece in pieces {
        match piece {
            Piece::Resource(text) => assert!(gathered.add(tape.read(text.as_bytes()).unwrap().root()), "{text}"),
            Piece::Original(text) => gathered.add_original(tape.read(text.as_bytes()).unwrap().root()),
            Piece::Signature(on, outcome) => gathered.add_signature(on, outcome.clone()),
        }
    }
    gathered.finish()
}

fn judged<'p>(record: &str, pieces: impl Iterator<Item = &'p Piece>, trust: &Trust<'_>) -> Judged {
    let mut tape = Tape::new();
    let record = Record::read(tape.read(record.as_bytes()).unwrap().root()).unwrap();
    judge(&record, &evidence(pieces), trust, Now::at("2026-11-27T12:00:00Z".parse().unwrap()))
}

/// Mismatches that count.
fn mismatches(judged: &Judged) -> BTreeSet<Code> {
    judged.findings.mismatches().filter(|code| code.consequence() != Consequence::LeftOut).collect()
}

fn trusts() -> impl Iterator<Item = Trust<'static>> {
    std::iter::once(Trust::of_the_ehr()).chain(REGISTRIES.iter().map(Trust::by))
}

proptest! {
    #![proptest_config(super::drawing(600, "tests/it/properties/regressions/authorship.txt"))]

    #[test]
    fn no_piece_can_be_taken_away_for_a_better_verdict(record in record(), pieces in pieces()) {
        for trust in trusts() {
            let whole = judged(&record, pieces.iter(), &trust);
            let against = mismatches(&whole);
            if whole.verdict > Verdict::Unknown {
                prop_assert!(against.is_empty(), "{whole:?}");
            }
            prop_assert_eq!(judged(&record, pieces.iter().rev(), &trust).verdict, whole.verdict, "in another order");
            for (place, piece) in pieces.iter().enumerate() {
                let others = pieces.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, piece)| piece);
                let without = judged(&record, others, &trust);
                let remaining = mismatches(&without);
                // Taken away: what rises was held down by a mismatch that is gone.
                prop_assert!(
                    without.verdict <= whole.verdict || against.iter().any(|code| !remaining.contains(code)),
                    "without {piece:?}\n{without:?}\nwith it {whole:?}"
                );
                // Added: what brings a mismatch and heals none does not raise.
                if against.is_superset(&remaining) && against != remaining {
                    prop_assert!(whole.verdict <= without.verdict, "{piece:?}\n{without:?}\nwith it {whole:?}");
                }
            }
        }
    }
}

#[test]
fn every_verdict_is_drawn() {
    let mut runner =
        proptest::test_runner::TestRunner::new(super::drawing(1, "tests/it/properties/regressions/authorship.txt"));
    let mut seen = [false; 5];
    for _ in 0..400 {
        let record = record().new_tree(&mut runner).unwrap().current();
        let pieces = pieces().new_tree(&mut runner).unwrap().current();
        for trust in trusts() {
            seen[judged(&record, pieces.iter(), &trust).verdict as usize] = true;
        }
    }
    assert_eq!(seen, [true; 5], "{:?}", Verdict::ALL);
}
