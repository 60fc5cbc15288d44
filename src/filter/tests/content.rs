//! The content of documents, judged beside the document that leads to it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::authorship::{Gathered, Verdict};
use crate::clock::Clock;
use crate::fhir::json::Tape;
use crate::fhir::reference::Reference;
use crate::understand::testing::content as following;

const DECISION: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"DocumentReference":{"elements":["content.attachment.url"],"where":["status=current"]},"Binary":{"elements":["data","contentType"]}},
    "withhold_labels":["http://l|X"],"includes":[]}"#;

const BINARY: &str = r#"{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"SGVs bG8="}"#;

fn asked(decision: &str) -> Question {
    let interaction = following("d", "b", Some("text/plain"), &"0".repeat(64));
    let permit = permit(decision, &interaction);
    rewrite(interaction, permit, &[Id::parse("p1").unwrap()]).unwrap().into_question()
}

fn good() -> String {
    document("p1", "Binary/b", "text/plain")
}

fn document(patient: &str, url: &str, media: &str) -> String {
    format!(
        r#"{{"resourceType":"DocumentReference","id":"d","status":"current","subject":{{"reference":"Patient/{patient}"}},
            "content":[{{"attachment":{{"url":"https://elsewhere"}}}},{{"attachment":{{"contentType":"{media}","url":"{url}"}}}}]}}"#
    )
}

#[test]
fn a_document_offers_what_it_may_leave_with() {
    let good = document("p1", "Binary/b", "text/plain");
    let offered = |decision: &str, text: &str| offers(text.as_bytes(), &asked(decision), BASES, None).unwrap().0;
    assert!(offered(DECISION, &good));
    for other in [
        document("p2", "Binary/b", "text/plain"),
        document("p1", "Binary/b2", "text/plain"),
        document("p1", "Binary/b", "text/html"),
        good.replace("current", "superseded"),
    ] {
        assert!(!offered(DECISION, &other), "{other}");
    }
    for narrower in [
        DECISION.replace("content.attachment.url", "status"),
        DECISION.replace(r#","Binary":{"elements":["data","contentType"]}"#, ""),
    ] {
        assert!(!offered(&narrower, &good), "{narrower}");
    }
    let (_, tally) = offers(good.as_bytes(), &asked(DECISION), BASES, None).unwrap();
    assert_eq!((tally.received, tally.released, tally.patients.len()), (1, 0, 1));
}

#[test]
fn content_leaves_where_nothing_in_it_says_otherwise() {
    let judged = |decision: &str, text: &str| {
        content(text.as_bytes(), good().as_bytes(), &asked(decision), BASES, None).unwrap()
    };
    let (attached, tally) = judged(DECISION, BINARY);
    let attached = attached.unwrap();
    assert_eq!((attached.bytes.as_bytes(), &*attached.media), (&b"Hello"[..], "text/plain"));
    assert_eq!((tally.received, tally.released), (1, 1));
    let with = |more: &str| BINARY.replace(r#""id":"b","#, &format!(r#""id":"b",{more},"#));
    for context in [
        r#"{"reference":"Patient/p1"}"#,
        r#"{"reference":"Patient/p1","type":"Patient"}"#,
        r#"{"reference":"http://ehr/fhir/DocumentReference/d","type":"DocumentReference"}"#,
    ] {
        assert!(judged(DECISION, &with(&format!(r#""securityContext":{context}"#))).0.is_some(), "{context}");
    }
    for (text, reason) in [
        (with(r#""securityContext":{"reference":"Patient/p2"}"#), Withheld::Patient),
        (with(r#""securityContext":{"reference":"DocumentReference/d2"}"#), Withheld::Patient),
        (with(r#""securityContext":{"reference":"Encounter/d"}"#), Withheld::Patient),
        (with(r#""securityContext":{"reference":"Patient/p1","identifier":{"value":"2"}}"#), Withheld::Patient),
        (with(r#""securityContext":{"identifier":{"value":"1"}}"#), Withheld::Patient),
        (with(r#""securityContext":{"reference":"Patient/p1","type":"DocumentReference"}"#), Withheld::Patient),
        (with(r#""securityContext":{"reference":"DocumentReference/d","type":"Patient"}"#), Withheld::Patient),
        (with(r#""securityContext":{"reference":"Patient/p1","type":["Patient"]}"#), Withheld::Patient),
        (with(r#""meta":{"security":[{"system":"http://l","code":"X"}]}"#), Withheld::Label),
        (BINARY.replace("text/plain", "text/html"), Withheld::Malformed),
        (BINARY.replace(r#""contentType":"text/plain","#, ""), Withheld::Malformed),
        (BINARY.replace("SGVs", "%"), Withheld::Malformed),
        (BINARY.replace(r#","data":"SGVs bG8=""#, ""), Withheld::Malformed),
    ] {
        let (attached, tally) = judged(DECISION, &text);
        assert!(attached.is_none(), "{text}");
        assert_eq!(tally.withheld.into_iter().collect::<Vec<_>>(), [(reason, 1)], "{text}");
    }
    let narrower = DECISION.replace(r#""data","contentType""#, r#""contentType""#);
    assert_eq!(judged(&narrower, BINARY).1.withheld.get(&Withheld::Type), Some(&1));
    for other in [BINARY.replace(r#""b""#, r#""c""#), BINARY.replace("Binary", "Basic")] {
        let judged = content(other.as_bytes(), good().as_bytes(), &asked(DECISION), BASES, None);
        assert_eq!(judged.unwrap_err(), FilterError::Mismatch);
    }
    let interaction = interaction("DocumentReference/d");
    let plain = rewrite(interaction.clone(), permit(DECISION, &interaction), &[Id::parse("p1").unwrap()]);
    let judged = content(BINARY.as_bytes(), good().as_bytes(), &plain.unwrap().into_question(), BASES, None);
    assert_eq!(judged.unwrap_err(), FilterError::Mismatch);
}

const ATTRIBUTED: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"DocumentReference":{"elements":["*"],"authorship":["asserted-by-source","verified"]},"Binary":{"elements":["*"]}},
    "withhold_labels":[],"includes":[]}"#;

const DOCTOR: &str = r#"{"resourceType":"Practitioner","id":"d1","name":[{"family":"Doe"}],
    "identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1234567893"}]}"#;

/// A C-CDA document by the author of this NPI.
fn ccda(npi: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><author><assignedAuthor><id root="2.16.840.1.113883.4.6" extension="{npi}"/></assignedAuthor></author><component/></ClinicalDocument>"#
    )
}

#[test]
fn content_is_looked_into_where_somebody_must_answer_for_it() {
    let judged = |media: &str, stated: &str, bytes: &str, attribution: Option<&Attribution>| {
        let interaction = following("d", "b", Some(media), &"0".repeat(64));
        let permit = permit(ATTRIBUTED, &interaction);
        let question = rewrite(interaction, permit, &[Id::parse("p1").unwrap()]).unwrap().into_question();
        let document = format!(
            r#"{{"resourceType":"DocumentReference","id":"d","status":"current","subject":{{"reference":"Patient/p1"}},
                "author":[{{"reference":"Practitioner/d1"}}],"content":[{{"attachment":{{"contentType":"{media}","url":"Binary/b"{stated}}}}}]}}"#
        );
        let data = STANDARD.encode(bytes);
        let binary = format!(r#"{{"resourceType":"Binary","id":"b","contentType":"{media}","data":"{data}"}}"#);
        let known =
            attribution.map(|known| Arc::new(known.with_content(&Reference::parse("Basic/x", &[]).unwrap(), b"")));
        let offered = offers(document.as_bytes(), &question, BASES, known).unwrap().0;
        let (attached, tally) = content(binary.as_bytes(), document.as_bytes(), &question, BASES, attribution).unwrap();
        let is_withheld = tally.withheld.get(&Withheld::Authorship) == Some(&1);
        assert_ne!(attached.is_some(), is_withheld);
        (offered, attached.is_some(), tally.verdicts.into_keys().next())
    };
    let (mut gathered, mut tape) = (Gathered::new(&[BASES.ehr]), Tape::new());
    assert!(gathered.add(tape.read(DOCTOR.as_bytes()).unwrap().root()));
    let known = Attribution::new(gathered.finish(), true, None, Clock::System.now());
    let good = ccda("1234567893");
    for (media, stated, bytes) in [
        ("text/plain", r#","hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00=","size":5"#, "hello"),
        ("text/plain", "", "hello"),
        ("text/xml", "", &*good),
    ] {
        assert_eq!(judged(media, stated, bytes, Some(&known)), (true, true, None), "{stated} {bytes}");
        assert_eq!(judged(media, stated, bytes, None), (false, false, Some(Verdict::Unknown)), "{stated} {bytes}");
    }
    for (media, stated, bytes, verdict) in [
        ("text/plain", r#","hash":"qvTGHdzF6KLavt4PO0gs2a6pQ00=""#, "hullo", Verdict::Contradicted),
        ("text/plain", r#","size":6"#, "hello", Verdict::Contradicted),
        ("text/xml", "", &*ccda("1003000126"), Verdict::Contradicted),
        ("text/xml", "", good.trim_end_matches("</ClinicalDocument>"), Verdict::Unknown),
        ("text/xml", "", "no xml", Verdict::Unknown),
    ] {
        assert_eq!(judged(media, stated, bytes, Some(&known)), (true, false, Some(verdict)), "{stated} {bytes}");
    }
}
