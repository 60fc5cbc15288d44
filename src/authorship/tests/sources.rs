//! Who somebody is, what a document says, and what a signature changes.

use super::*;
use Verdict::{AssertedByHie, AssertedBySource, Contradicted, Unknown, Verified};

fn condition(members: &str) -> String {
    resource("Condition/1", members)
}

#[test]
fn an_author_is_one_that_can_be_looked_up() {
    let recorded_by = |reference: &str| condition(&format!(r#""recorder":{reference}"#));
    let contained = |members: &str| {
        condition(&format!(
            r##""recorder":{{"reference":"#a"}},"contained":[{{"resourceType":"Practitioner","id":"a"{members}}}]"##
        ))
    };
    let good = r#","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1136090283"}]"#;
    let bad = good.replace("1136090283", "1136090284");
    for (record, verdict, code, answer) in [
        (
            recorded_by(r#"{"reference":"Practitioner/ada"}"#),
            AssertedBySource,
            Code::IdentifierWellFormed,
            Answer::Match,
        ),
        (contained(good), AssertedBySource, Code::IdentifierWellFormed, Answer::Match),
        (contained(&bad), Unknown, Code::IdentifierWellFormed, Answer::Mismatch),
        (contained(""), Unknown, Code::IdentifierWellFormed, Answer::CannotTell),
        (recorded_by(r##"{"reference":"#b"}"##), Unknown, Code::AuthorResolvable, Answer::Mismatch),
        (
            recorded_by(r#"{"identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"1136090283"}}"#),
            AssertedBySource,
            Code::AuthorResolvable,
            Answer::Match,
        ),
        (recorded_by(r#"{"display":"Dr. Ada"}"#), Unknown, Code::AuthorResolvable, Answer::Mismatch),
        (
            recorded_by(r#"{"reference":"Practitioner/ada","type":"Organization"}"#),
            Unknown,
            Code::AuthorResolvable,
            Answer::Mismatch,
        ),
        (
            recorded_by(
                r#"{"reference":"Practitioner/ada","identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"1621767916"}}"#,
            ),
            Unknown,
            Code::AuthorResolvable,
            Answer::Mismatch,
        ),
        (
            recorded_by(r#"{"reference":"Practitioner/ada","identifier":{"system":"urn:oid:1.2.9","value":"7"}}"#),
            AssertedBySource,
            Code::AuthorResolvable,
            Answer::Match,
        ),
    ] {
        let judged = world(None, &[]).judge(&record);
        assert_eq!((judged.verdict, judged.findings.get(code)), (verdict, Some(answer)), "{record}");
    }
    let twice = resource("Practitioner/ada", r#""active":true"#);
    let judged = world(None, &[twice]).judge(&recorded_by(r#"{"reference":"Practitioner/ada"}"#));
    assert_eq!((judged.verdict, judged.findings.get(Code::AuthorUnambiguous)), (Contradicted, Some(Answer::Mismatch)));
}

#[test]
fn two_resources_of_one_person_do_not_disagree() {
    let again = resource(
        "Practitioner/ada2",
        r#""identifier":[{"system":"urn:oid:2.16.840.1.113883.4.6","value":"1136090283"}]"#,
    );
    let told = provenance("p1", &["Condition/1"], &[agent("author", "Practitioner/ada2", "Organization/hospital")], "");
    let record = condition(r#""recorder":{"reference":"Practitioner/ada"}"#);
    assert_eq!(world(None, &[again, told.clone()]).judge(&record).verdict, AssertedBySource);
    assert_eq!(world(None, &[told]).judge(&record).verdict, Contradicted);
}

#[test]
fn creation_agrees_within_a_day() {
    for (recorded, verdict) in [
        ("2026-02-28", AssertedBySource),
        ("2026-03-02T09:00:00Z", AssertedBySource),
        ("2026-02-26", Contradicted),
        ("2025", Contradicted),
        ("2026", AssertedBySource),
    ] {
        let told = provenance(
            "p1",
            &["Condition/1"],
            &[agent("author", "Practitioner/ada", "Organization/hospital")],
            r#""occurredPeriod":{"start":"2026-03-01T09:00:00Z","end":"2026-03-01T09:30:00Z"}"#,
        );
        let judged = world(None, &[told]).judge(&condition(&format!(r#""recordedDate":"{recorded}""#)));
        assert_eq!(judged.verdict, verdict, "{recorded} {judged:?}");
    }
}

#[test]
fn an_attachment_is_what_is_stated_of_it() {
    let document = |attachment: &str| {
        resource(
            "DocumentReference/1",
            &format!(r#""author":[{{"reference":"Practitioner/ada"}}],"content":[{{"attachment":{{{attachment}}}}}]"#),
        )
    };
    let judged = |attachment: &str, content: Option<&[u8]>| {
        let mut gathered = Gathered::new(&["https://ehr.example/fhir"]);
        let mut tape = Tape::new();
        for text in directory() {
            gathered.add(tape.read(text.as_bytes()).unwrap().root());
        }
        content.into_iter().for_each(|bytes| gathered.add_content("Binary/b", bytes));
        let text = document(attachment);
        let record = Record::read(tape.read(text.as_bytes()).unwrap().root()).unwrap();
        judge(&record, &gathered.finish(), &Trust::of_the_ehr(), now())
    };
    let by = |npi: &str| {
        format!(
            r#"<ClinicalDocument xmlns="urn:hl7-org:v3"><author><assignedAuthor><id root="2.16.840.1.113883.4.6" extension="{npi}"/></assignedAuthor></author></ClinicalDocument>"#
        )
    };
    for (attachment, content, verdict, code, answer) in [
        (
            r#""data":"aGVs bG8=","hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00=","size":5"#,
            None,
            AssertedBySource,
            Code::AttachmentHash,
            Answer::Match,
        ),
        (
            r#""data":"aGVsbG8=","hash":"qvTGHdzF6KLavt4PO0gs2a6pQ01=""#,
            None,
            Contradicted,
            Code::AttachmentHash,
            Answer::Mismatch,
        ),
        (r#""data":"aGVsbG8=","size":6"#, None, Contradicted, Code::AttachmentSize, Answer::Mismatch),
        (r#""data":"aGVsbG8=","size":5e0"#, None, Contradicted, Code::AttachmentSize, Answer::Mismatch),
        (r#""data":"?""#, None, Unknown, Code::DocumentReadable, Answer::Mismatch),
        (
            r#""url":"Binary/b","hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00=""#,
            None,
            AssertedBySource,
            Code::AttachmentHash,
            Answer::CannotTell,
        ),
        (
            r#""url":"https://ehr.example/fhir/Binary/b","hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00=""#,
            Some("hello".to_owned()),
            AssertedBySource,
            Code::AttachmentHash,
            Answer::Match,
        ),
        (r#""url":"Binary/b","size":5"#, Some("hell".to_owned()), Contradicted, Code::AttachmentSize, Answer::Mismatch),
        (
            r#""url":"Binary/b","contentType":"application/xml""#,
            Some(by("1136090283")),
            AssertedBySource,
            Code::DocumentAgrees,
            Answer::Match,
        ),
        (r#""url":"Binary/b""#, Some(by("1621767916")), Contradicted, Code::DocumentAgrees, Answer::Mismatch),
        (r#""url":"Binary/b""#, Some(by("1621767917")), Contradicted, Code::IdentifierWellFormed, Answer::Mismatch),
        (
            r#""url":"Binary/b""#,
            Some(by("1136090283").replace("/Clin", "/clin")),
            Unknown,
            Code::DocumentReadable,
            Answer::Mismatch,
        ),
        (
            r#""url":"Binary/b""#,
            Some(format!("<!DOCTYPE x []>{}", by("1136090283"))),
            Unknown,
            Code::DocumentReadable,
            Answer::Mismatch,
        ),
        (
            r#""url":"Binary/b","contentType":"text/xml""#,
            Some("hello".to_owned()),
            Unknown,
            Code::DocumentReadable,
            Answer::Mismatch,
        ),
    ] {
        let judged = judged(attachment, content.as_deref().map(str::as_bytes));
        assert_eq!((judged.verdict, judged.findings.get(code)), (verdict, Some(answer)), "{attachment} {judged:?}");
    }
}

#[test]
fn a_document_says_who_wrote_it() {
    let xml = r#"<ClinicalDocument xmlns='urn:hl7-org:v3'><author><assignedAuthor><id root='2.16.840.1.113883.4.6' extension='1136090283'/></assignedAuthor></author><custodian><assignedCustodian><representedCustodianOrganization><id root='2.16.840.1.113883.4.6' extension='1474179235'/></representedCustodianOrganization></assignedCustodian></custodian></ClinicalDocument>"#;
    let data = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, xml);
    let record = resource("DocumentReference/1", &format!(r#""content":[{{"attachment":{{"data":"{data}"}}}}]"#));
    assert_eq!(world(None, &[]).judge(&record).verdict, AssertedBySource);
    assert_eq!(world(Some(&registry(REGISTRY)), &[]).judge(&record).verdict, AssertedByHie);
}

/// A registry in which the hospital has anchors and demands signatures.
fn demanding() -> Registry {
    let folder = std::env::temp_dir().join(format!("portcullis-anchors-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["ca.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
    let text = REGISTRY.replacen("agreement", "signatures = \"demanded\"\nanchors = \"ca.pem\"\nagreement", 1);
    let sources = Sources::parse(&text, &folder.join("sources.toml")).unwrap();
    Registry::new(sources)
}

#[test]
fn a_signature_binds_to_the_author_or_says_nothing() {
    let told = provenance(
        "p1",
        &["Condition/1"],
        &[agent("author", "Practitioner/ada", "Organization/hospital"), agent("transmitter", "Organization/hie", "")],
        r#""signature":[{"data":"aGVsbG8="}]"#,
    );
    let (plain, demanding) = (registry(REGISTRY), demanding());
    let (ada, hospital, hie, bob) = ("1136090283", "1474179235", "1216407266", "1621767916");
    let clinic = "1917665824";
    use State::{CannotVerify, Failed, VerifiedWithWarnings};
    for (on, outcome, by_plain, by_demanding) in [
        ("", None, AssertedBySource, Unknown),
        ("Provenance/p1", Some((State::Verified, ada, Some(hospital))), Verified, Verified),
        ("Provenance/p1", Some((State::Verified, hospital, Some(hospital))), Verified, Verified),
        ("Condition/1", Some((State::Verified, hospital, Some(hospital))), Verified, Verified),
        ("Provenance/p1", Some((VerifiedWithWarnings, ada, Some(hospital))), Verified, Verified),
        // Checked against somebody else's anchors, or nobody's in particular.
        ("Provenance/p1", Some((State::Verified, ada, Some(clinic))), Verified, Unknown),
        ("Provenance/p1", Some((State::Verified, ada, None)), Verified, Unknown),
        ("Provenance/p1", Some((CannotVerify, ada, Some(hospital))), AssertedBySource, Unknown),
        ("Provenance/p1", Some((Failed, ada, Some(hospital))), Contradicted, Contradicted),
        // The exchange's own signature is no author's; another person's is wrong.
        ("Provenance/p1", Some((State::Verified, hie, Some(hospital))), AssertedBySource, Unknown),
        ("Provenance/p1", Some((State::Verified, bob, Some(hospital))), Unknown, Unknown),
        // Of something else.
        ("Condition/2", Some((State::Verified, ada, Some(hospital))), AssertedBySource, Unknown),
    ] {
        for (registry, expected) in [(&plain, by_plain), (&demanding, by_demanding)] {
            let mut world = world(Some(registry), std::slice::from_ref(&told));
            world.signatures.extend(outcome.map(|(state, signer, anchored)| (on, signature(state, signer, anchored))));
            let judged = world.judge(&condition(""));
            assert_eq!(judged.verdict, expected, "{on} {outcome:?} {judged:?}");
        }
    }
}

#[test]
fn a_careless_ehr_cannot_forge() {
    let registry = demanding();
    let forged = |organisation: &str| {
        provenance("f", &["Condition/1"], &[agent("author", "Practitioner/ada", organisation)], "")
    };
    for record in [
        condition(""),
        condition(r#""recorder":{"reference":"Practitioner/ada"},"meta":{"source":"https://hospital.example/fhir"}"#),
        condition(r#""recorder":{"reference":"PractitionerRole/ada-there"}"#),
    ] {
        let judged = world(Some(&registry), &[forged("Organization/hospital")]).judge(&record);
        assert_eq!(judged.findings.get(Code::SignatureDemanded), Some(Answer::Mismatch), "{record}");
        assert!(judged.verdict <= Unknown, "{record}");
        // As another source's, which demands none.
        if record != condition("") {
            let judged = world(Some(&registry), &[forged("Organization/clinic")]).judge(&record);
            assert!(judged.verdict <= Unknown, "{record} {judged:?}");
        }
    }
}

#[test]
fn a_source_is_held_to_its_type_and_agreement() {
    let told = |of: &str| provenance("p1", &[of], &[agent("author", "Practitioner/ada", "Organization/hospital")], "");
    let other = resource("Goal/1", "");
    let judged = world(Some(&registry(REGISTRY)), &[told("Goal/1")]).judge(&other);
    assert_eq!((judged.verdict, judged.findings.get(Code::SourceValidatesType)), (Unknown, Some(Answer::Mismatch)));
    for (from, to, verdict) in [
        ("2026-11-27", "2026-11-27", AssertedBySource),
        ("2026-11-28", "2027-01-01", Unknown),
        ("2020-01-01", "2026-11-26", Unknown),
    ] {
        let text =
            REGISTRY.replace("\"2025-04-01\"\nvalid_to = \"2027-03-31\"", &format!("\"{from}\"\nvalid_to = \"{to}\""));
        let judged = world(Some(&registry(&text)), &[told("Condition/1")]).judge(&condition(""));
        assert_eq!(judged.verdict, verdict, "{from} {to}");
    }
    let silent = REGISTRY.replacen("speakers = [\"http://hl7.org/fhir/sid/us-npi|1216407266\"]", "", 1);
    let judged = world(Some(&registry(&silent)), &[told("Condition/1")]).judge(&condition(""));
    assert_eq!(judged.findings.get(Code::TransmitterSpeaksForSource), Some(Answer::Mismatch));
    assert_eq!(judged.verdict, Unknown);
}

#[test]
fn every_code_is_one_and_says_where_it_comes_from() {
    for code in Code::ALL {
        assert!(code.basis().iter().all(|basis| basis.starts_with("PRV-")) && !code.basis().is_empty());
    }
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Code::ALL.len());
}

#[test]
fn what_is_wanted_is_told() {
    let mut gathered = Gathered::new(&[]);
    let mut tape = Tape::new();
    let told = provenance(
        "p1",
        &["Condition/1"],
        &[agent("author", "PractitionerRole/r", "Organization/o")],
        r#""entity":[{"role":"source","what":{"reference":"DocumentReference/d/_history/1"}}]"#,
    );
    gathered.add(tape.read(told.as_bytes()).unwrap().root());
    let mut wanted = gathered.wanted();
    wanted.sort_unstable();
    assert_eq!(wanted, ["DocumentReference/d", "Organization/o", "PractitionerRole/r"]);
    let role = resource("PractitionerRole/r", r#""practitioner":{"reference":"Practitioner/p"}"#);
    gathered.add(tape.read(role.as_bytes()).unwrap().root());
    gathered.add_original(tape.read(resource("DocumentReference/d", "").as_bytes()).unwrap().root());
    let mut wanted = gathered.wanted();
    wanted.sort_unstable();
    assert_eq!(wanted, ["Organization/o", "Practitioner/p"]);
}
