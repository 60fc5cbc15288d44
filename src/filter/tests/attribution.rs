//! Who is responsible for a record decides whether it leaves, and is said of what does.

use std::sync::Arc;

use super::*;
use crate::authorship::Gathered;
use crate::clock::Clock;
use crate::fhir::json::Tape;

const ATTRIBUTED: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"Condition":{"elements":["*"],"authorship":["asserted-by-source","verified"]},"Patient":{"elements":["*"]}},
    "withhold_labels":[],"includes":[]}"#;

const DOCTOR: &str = r#"{"resourceType":"Practitioner","id":"d1","name":[{"family":"Doe"}],
    "identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1234567893"}]}"#;

fn known(evidence: &[&str]) -> Option<Arc<Attribution>> {
    let (mut gathered, mut tape) = (Gathered::new(&[BASES.ehr]), Tape::new());
    for text in evidence {
        assert!(gathered.add(tape.read(text.as_bytes()).unwrap().root()));
    }
    Some(Arc::new(Attribution::new(gathered.finish(), true, None, Clock::System.now())))
}

fn judged(condition: &str, evidence: Option<Arc<Attribution>>) -> (Option<String>, Tally) {
    let question = question("Condition?patient=p1", ATTRIBUTED);
    let mut filter = BundleFilter::new(&question, BASES);
    filter.attribute(evidence);
    let bundle = bundle(&[condition]);
    let (filter, _) = searchset(bundle.as_bytes(), filter).unwrap();
    let tally = filter.tally().clone();
    let text = String::from_utf8(filter.close("own", None).0.as_bytes().to_vec()).unwrap();
    (text.contains("\"entry\"").then_some(text), tally)
}

fn condition(more: &str) -> String {
    format!(
        r#"{{"resourceType":"Condition","id":"c1","subject":{{"reference":"Patient/p1"}},"recorder":{{"reference":"Practitioner/d1"}}{more}}}"#
    )
}

#[test]
fn a_record_leaves_with_the_verdicts_that_are_listed_and_says_its_own() {
    let (text, tally) = judged(&condition(""), known(&[DOCTOR]));
    let tag = r#""tag":[{"system":"urn:portcullis:authorship","code":"asserted-by-source"}]"#;
    assert!(text.unwrap().contains(&format!("\"meta\":{{{tag}}}")));
    assert_eq!(tally.verdicts, [(crate::authorship::Verdict::AssertedBySource, 1)].into());
    for evidence in [known(&[]), None] {
        let (text, tally) = judged(&condition(""), evidence);
        assert_eq!(text, None);
        assert_eq!(tally.withheld, [(Withheld::Authorship, 1)].into());
        assert_eq!(tally.verdicts, [(crate::authorship::Verdict::Unknown, 1)].into());
    }
}

#[test]
fn the_mark_is_the_gateways_alone() {
    let forged = r#"{"system":"urn:portcullis:authorship","code":"verified"}"#;
    for (meta, kept) in [
        (format!(r#"{{"versionId":"3","tag":[{forged},{{"system":"urn:t","code":"k"}}]}}"#), "\"code\":\"k\""),
        (format!(r#"{{"tag":{forged}}}"#), "asserted-by-source"),
        (r#"{"tag":[{"system":" URN:portcullis:authorship ","code":"verified"}]}"#.to_owned(), "asserted-by-source"),
        (r#"{"tag":[[{"system":"urn:portcullis:authorship","code":"verified"}]]}"#.to_owned(), "asserted-by-source"),
        (r#"{"tag":[{"system":["urn:portcullis:authorship"],"code":"verified"}]}"#.to_owned(), "asserted-by-source"),
        (format!("[{{\"tag\":[{forged}]}}]"), "asserted-by-source"),
    ] {
        let (text, _) = judged(&condition(&format!(r#","meta":{meta}"#)), known(&[DOCTOR]));
        let text = text.unwrap();
        assert!(text.contains(kept) && !text.contains("verified"), "{text}");
        assert_eq!(text.matches("asserted-by-source").count(), 1, "{text}");
        assert_eq!(text.matches("\"meta\"").count(), 1, "{text}");
    }
    let inside = format!(
        r#"{{"resourceType":"Observation","id":"o","status":"final","code":{{"text":"t"}},"meta":{{"tag":[{forged}]}}}}"#
    );
    for resource in [
        format!(
            r#"{{"resourceType":"Observation","id":"o1","subject":{{"reference":"Patient/p1"}},"meta":{{"tag":[{forged}]}}}}"#
        ),
        format!(
            r#"{{"resourceType":"Observation","id":"o1","subject":{{"reference":"Patient/p1"}},"contained":[{inside}]}}"#
        ),
    ] {
        let question = question("Observation?patient=p1", EVERYTHING);
        let (filter, _) = searchset(bundle(&[&resource]).as_bytes(), BundleFilter::new(&question, BASES)).unwrap();
        let text = String::from_utf8(filter.close("own", None).0.as_bytes().to_vec()).unwrap();
        assert!(text.contains("Observation/o1") && !text.contains("verified"), "{text}");
    }
}

#[test]
fn what_is_contained_leaves_with_whoever_answers_for_the_whole() {
    let decision = ATTRIBUTED.replace(r#""Patient":{"elements":["*"]}"#, r#""Observation":{"elements":["*"]}"#);
    let inside = r#"{"resourceType":"Condition","id":"c","code":{"text":"SECRET"}}"#;
    let text = |name: &str, more: &str, evidence| {
        let resource = format!(
            r#"{{"resourceType":"{name}","id":"x","subject":{{"reference":"Patient/p1"}},"contained":[{inside}]{more}}}"#
        );
        let question = question(&format!("{name}?patient=p1"), &decision);
        let mut filter = BundleFilter::new(&question, BASES);
        filter.attribute(evidence);
        let (filter, _) = searchset(bundle(&[&resource]).as_bytes(), filter).unwrap();
        String::from_utf8(filter.close("own", None).0.as_bytes().to_vec()).unwrap()
    };
    let of_nobody = text("Observation", "", known(&[]));
    assert!(of_nobody.contains("Observation/x") && !of_nobody.contains("SECRET"), "{of_nobody}");
    let recorded = r#","recorder":{"reference":"Practitioner/d1"}"#;
    assert!(text("Condition", recorded, known(&[DOCTOR])).contains("SECRET"));
}
