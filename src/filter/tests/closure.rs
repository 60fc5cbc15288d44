//! What is removed is removed everywhere, and nothing that leaves leads to what does not.

use super::*;

/// A decision for one patient, with these elements of the types.
pub(super) fn decision(types: &str) -> String {
    format!(
        r#"{{"allow":true,"reasons":[{{"code":"c","text":"t","basis":"b"}}],"patients":["p1"],"types":{{{types}}},
            "withhold_labels":["http://l|X"],"includes":["Observation:performer","Observation:has-member","Observation:encounter"]}}"#
    )
}

pub(super) fn of(types: &str, asked: &str, entries: &[&str]) -> (String, Tally) {
    filtered(asked, &decision(types), &bundle(entries))
}

pub(super) const WHOLE: &str = r#""*":{"elements":["*"]}"#;

#[test]
fn repetitions_leave_by_what_they_say() {
    let patient = r#"{"resourceType":"Patient","id":"p1","identifier":[{"system":"http://mrn","value":"MRN","type":{"text":"t"}},
        {"system":"http://hl7.org/fhir/sid/us-ssn","value":"SECRET"},{"value":"SECRET"},{"system":"http://payer","value":"7","period":{"start":"SECRET"}}],
        "_active":{"extension":[{"url":"SECRET"}]},"active":true}"#;
    let listed =
        r#""Patient":{"elements":["active","identifier[system=http://mrn]","identifier[system=http://payer].value"]}"#;
    let (text, tally) = of(listed, "Patient?_id=p1", &[patient]);
    let kept = r#""identifier":[{"system":"http://mrn","value":"MRN","type":{"text":"t"}},{"value":"7"}]"#;
    assert!(text.contains(kept) && !text.contains("SECRET") && !text.contains("_active"), "{text}");
    assert_eq!((tally.released, tally.redacted), (1, 1));
    let (text, _) =
        of(r#""Patient":{"elements":["active","identifier[system=http://none]"]}"#, "Patient?_id=p1", &[patient]);
    assert!(!text.contains("identifier"), "{text}");
    let single = patient.replace(
        r#""identifier":[{"system":"http://mrn","value":"MRN","type":{"text":"t"}},"#,
        r#""identifier":{"system":"http://mrn"},"x":["#,
    );
    let (text, _) = of(listed, "Patient?_id=p1", &[&single]);
    assert!(text.contains(r#""identifier":{"system":"http://mrn"}"#), "{text}");
}

#[test]
fn extensions_can_be_listed_one_by_one() {
    let patient = r#"{"resourceType":"Patient","id":"p1","extension":[{"url":"http://sex","valueCode":"F","extension":[{"url":"SECRET"}]},
        {"url":"http://other","valueString":"SECRET"}]}"#;
    let (text, _) = of(r#""Patient":{"elements":["extension[url=http://sex]"]}"#, "Patient?_id=p1", &[patient]);
    assert!(
        text.contains(r#""extension":[{"url":"http://sex","valueCode":"F"}]"#) && !text.contains("SECRET"),
        "{text}"
    );
}

#[test]
fn names_that_fhir_has_not_go_wherever_they_stand() {
    let code = r#""code":{"x_note":"SECRET","fhir_comments":["SECRET"],"#;
    let entry = lab("a", "p1", r#","x_internal":"SECRET","_status":{"fhir_comments":["SECRET"],"id":"SECRET"}"#);
    let (text, _) = filtered("Observation?patient=p1", LABS, &bundle(&[&entry.replace(r#""code":{"#, code)]));
    assert!(text.contains("4548-4") && !text.contains("SECRET"), "{text}");
}

#[test]
fn labels_leave_without_their_extensions() {
    let meta = r#""security":[{"system":"http://l","code":"N","extension":[{"url":"u","valueString":"SECRET"}]}]"#;
    let entry = lab("a", "p1", "").replace(r#""versionId":"2""#, meta);
    let (text, _) = filtered("Observation?patient=p1", LABS, &bundle(&[&entry]));
    assert!(text.contains(r#""security":[{"system":"http://l","code":"N"}]"#) && !text.contains("SECRET"), "{text}");
}

#[test]
fn references_to_other_patients_go_whatever_is_listed() {
    for other in [
        r#"{"reference":"Patient/p2","display":"SECRET"}"#,
        r#"{"reference":"Patient/p10","display":"SECRET"}"#,
        r#"{"reference":"Patient/p2/_history/3","display":"SECRET"}"#,
        r#"{"reference":"http://ehr/fhir/Patient/p2","display":"SECRET"}"#,
        r#"{"reference":"http:\/\/ehr/fhir/Patient\/p2","display":"SECRET"}"#,
        r#"{"reference":"http://other/fhir/Patient/p1","display":"SECRET"}"#,
        r#"{"reference":"Patient?identifier=SECRET","display":"SECRET"}"#,
        r#"{"type":"Patient","identifier":{"value":"SECRET"},"display":"SECRET"}"#,
        r#"{"type":"http://hl7.org/fhir/StructureDefinition/Patient","identifier":{"value":"SECRET"},"display":"SECRET"}"#,
        r#"{"reference":"patient/p2","display":"SECRET"}"#,
        r#"{"reference":"PATIENT%2Fp2","display":"SECRET"}"#,
    ] {
        let coverage = format!(
            r#"{{"resourceType":"Coverage","id":"c","text":{{"div":"SECRET"}},"beneficiary":{{"reference":"Patient/p1"}},"subscriber":{other},
                "payor":[{other},{{"reference":"Organization/o","display":"KEPT"}}],"class":[{{"name":null,"value":"v"}}]}}"#
        );
        for types in [
            r#""Coverage":{"elements":["subscriber","payor","beneficiary","class"]},"Organization":{"elements":["name"]}"#,
            WHOLE,
        ] {
            let (text, tally) = of(types, "Coverage?patient=p1", &[&coverage]);
            let kept = r#""payor":[{"reference":"Organization/o","display":"KEPT"}]"#;
            assert!(!text.contains("SECRET") && text.contains(kept) && text.contains("SUBSETTED"), "{text}");
            assert!(
                text.contains(r#""beneficiary":{"reference":"Patient/p1"}"#) && text.contains(r#""value":"v""#),
                "{text}"
            );
            assert_eq!((tally.released, tally.redacted), (1, 1), "{text}");
        }
        let parts = r#""Coverage":{"elements":["subscriber.reference","subscriber.display"]}"#;
        let (text, _) = of(parts, "Coverage?patient=p1", &[&coverage]);
        assert!(!text.contains("SECRET") && !text.contains("subscriber"), "{text}");
    }
    let link = r#"{"resourceType":"Patient","id":"p1","link":[{"other":{"reference":"Patient/p2"},"type":"seealso"}],"active":true}"#;
    let (text, tally) = of(WHOLE, "Patient?_id=p1", &[link]);
    assert!(!text.contains("p2") && text.contains(r#""active":true"#), "{text}");
    assert_eq!(tally.redacted, 1);
    let own = r#"{"resourceType":"Coverage","id":"c","beneficiary":{"reference":"Patient/p1"},"subscriber":{"reference":"http://ehr/fhir/Patient/p1/_history/1"},
        "payor":[{"identifier":{"value":"KEPT"}}]}"#;
    let (text, tally) = of(WHOLE, "Coverage?patient=p1", &[own]);
    assert!(text.contains("subscriber") && text.contains("KEPT") && tally.redacted == 0, "{text}");
}

#[test]
fn contained_references_to_other_patients_go_too() {
    let holder = r#"{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p1"},"contained":[
        {"resourceType":"Practitioner","id":"i","active":true,"extension":[{"url":"u","valueReference":{"reference":"Patient/p2"}}]}]}"#;
    let (text, _) = of(WHOLE, "Observation?patient=p1", &[holder]);
    assert!(!text.contains("p2") && text.contains(r#""active":true"#), "{text}");
}

#[test]
fn a_contained_patient_is_nobody_by_its_id() {
    let holder = r##"{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p1"},
        "contained":[{"resourceType":"Patient","id":"p1","name":[{"family":"SECRET"}]}],"performer":[{"reference":"#p1"}]}"##;
    let (text, tally) = of(WHOLE, "Observation?patient=p1", &[holder]);
    assert!(!text.contains("SECRET"), "{text}");
    assert_eq!((tally.released, tally.redacted), (1, 1));
}

#[test]
fn references_say_no_more_than_what_they_lead_to() {
    let entry = lab(
        "a",
        "p1",
        r##","performer":[{"reference":"Practitioner/dr","display":"SHOWN","identifier":{"value":"SECRET"}},{"reference":"#c","display":"SECRET"},
            {"reference":"Organization/o","display":"SECRET"}]"##,
    );
    let with = |practitioner: &str| {
        let types = r#""Observation":{"elements":["performer"]},"Practitioner":{"elements":["E"]}"#;
        of(&types.replace('E', practitioner).replace("\"\"*\"\"", "*"), "Observation?patient=p1", &[&entry]).0
    };
    for (elements, shown) in [("name", true), ("*", true), ("name.family", false), ("gender", false)] {
        let text = with(elements);
        assert!(text.contains("SHOWN") == shown && !text.contains("SECRET"), "{elements} {text}");
        assert!(!text.contains("#c"), "{text}");
    }
    let member = lab("a", "p1", r#","hasMember":[{"reference":"Observation/b","display":"SECRET"}]"#);
    let (text, _) = of(r#""Observation":{"elements":["hasMember","code"]}"#, "Observation?patient=p1", &[&member]);
    assert!(text.contains(r#"{"reference":"Observation/b"}"#) && !text.contains("SECRET"), "{text}");
    let explicit = r#""Observation":{"elements":["performer.reference","performer.display"]}"#;
    let (text, _) = of(explicit, "Observation?patient=p1", &[&entry]);
    assert!(text.contains("SHOWN") && !text.contains("identifier"), "{text}");
    let entry = lab(
        "a",
        "p1",
        r#","performer":[{"reference":"Organization/o","display":"SHOWN","identifier":{"value":"SHOWN"}}]"#,
    );
    let (text, tally) = of(WHOLE, "Observation?patient=p1", &[&entry]);
    assert!(text.matches("SHOWN").count() == 2 && tally.redacted == 0, "{text}");
}

#[test]
fn references_say_nothing_of_records_that_are_not_in_the_answer() {
    let entry = lab(
        "a",
        "p1",
        r#","derivedFrom":[{"reference":"Observation/elsewhere","display":"SECRET"}],"encounter":{"reference":"Encounter/e","display":"SECRET"}"#,
    );
    let types = r#""Observation":{"elements":["code","derivedFrom","encounter"]},"Encounter":{"elements":["*"]}"#;
    let (text, _) = of(types, "Observation?patient=p1", &[&entry]);
    assert!(
        !text.contains("SECRET") && text.contains("Observation/elsewhere") && text.contains("Encounter/e"),
        "{text}"
    );
}

#[test]
fn nothing_leads_to_what_was_withheld_from_the_same_answer() {
    let types = r#""Observation":{"elements":["*"],"where":["category=laboratory"]},"Encounter":{"elements":["*"]}"#;
    let member = |id: &str| {
        format!(
            r#","hasMember":[{{"reference":"Observation/{id}","display":"SECRET"}}],"encounter":{{"reference":"Encounter/e"}}"#
        )
    };
    let panel = lab("panel", "p1", &member("secret"));
    let other =
        lab("secret", "p1", "").replace(r#""versionId":"2""#, r#""security":[{"system":"http://l","code":"X"}]"#);
    let encounter = r#"{"resourceType":"Encounter","id":"e","subject":{"reference":"Patient/p1"}}"#;
    let asked = "Observation?patient=p1&_include=Observation:encounter";
    let body = bundle(&[&panel, encounter, &other]);
    let text = whole(asked, &decision(types), &body);
    assert!(!text.contains("Observation/secret") && !text.contains("SECRET") && text.contains("Encounter/e"), "{text}");
    let (text, tally) = of(types, asked, &[&other, &panel, encounter]);
    assert!(!text.contains("Observation/secret") && text.contains("SUBSETTED"), "{text}");
    assert_eq!((tally.released, tally.redacted), (2, 1));
    let unmatched = lab("secret", "p1", "").replace("4548-4", "1-1");
    let text = whole("Observation?patient=p1&code=4548-4", &decision(types), &bundle(&[&panel, &unmatched]));
    assert!(text.contains("Observation/secret") && !text.contains("SUBSETTED"), "{text}");
}

/// Filters an answer that is held whole.
pub(super) fn whole(asked: &str, decision: &str, body: &str) -> String {
    let question = question(asked, decision);
    let (filter, _) = searchset(body.as_bytes(), BundleFilter::new(&question, BASES)).unwrap();
    String::from_utf8(filter.close("https://gw/fhir/self", None).0.as_bytes().to_vec()).unwrap()
}

pub(super) struct Links;

impl ContentLinks for Links {
    fn link(&self, document: &Id, binary: &Id, media: Option<&str>) -> Option<String> {
        (binary.as_str() != "unsealed")
            .then(|| format!("https://gw/sealed/{document}/{binary}/{}", media.unwrap_or("none")))
    }
}

fn document(url: &str) -> String {
    format!(
        r#"{{"resourceType":"DocumentReference","id":"d","status":"current","subject":{{"reference":"Patient/p1"}},
            "content":[{{"attachment":{{"contentType":"application/pdf","url":"{url}","title":"t"}}}}]}}"#
    )
}

#[test]
fn content_is_linked_by_sealed_links_only() {
    let read = |types: &str, url: &str| {
        let question = question("DocumentReference/d", &decision(types));
        let text = |filtered: Filtered| String::from_utf8(filtered.into_body().unwrap().as_bytes().to_vec()).unwrap();
        let document = document(url);
        (
            text(read_linking(document.as_bytes(), &question, BASES, &Links, None).unwrap()),
            text(read(document.as_bytes(), &question, BASES).unwrap()),
        )
    };
    let listed = r#""DocumentReference":{"elements":["content.attachment.url","content.attachment.contentType"]},"Binary":{"elements":["*"]}"#;
    for types in
        [listed, &listed.replace(r#""content.attachment.url","content.attachment.contentType""#, r#""content""#), WHOLE]
    {
        for url in ["Binary/b", "http://ehr/fhir/Binary/b", "http:\\/\\/ehr\\/fhir\\/Binary\\/b", "Binary/b/_history/2"]
        {
            let (linked, bare) = read(types, url);
            assert!(linked.contains(r#""url":"https://gw/sealed/d/b/application/pdf""#), "{linked}");
            for text in [&linked, &bare] {
                assert!(
                    !text.contains("Binary") && text.contains("application/pdf") && text.contains("SUBSETTED"),
                    "{text}"
                );
            }
        }
        let (linked, _) = read(types, "Binary/unsealed");
        assert!(!linked.contains("url") && linked.contains("application/pdf"), "{linked}");
        let (linked, _) = read(types, "https://elsewhere.example/x.pdf");
        assert!(linked.contains("https://elsewhere.example/x.pdf"), "{linked}");
    }
    let (linked, _) = read(r#""DocumentReference":{"elements":["content"]}"#, "Binary/b");
    assert!(!linked.contains("url"), "content of a type that is not permitted: {linked}");
    let (linked, _) = read(r#""DocumentReference":{"elements":["content.attachment.title"]}"#, "Binary/b");
    assert!(!linked.contains("url") && linked.contains("title"), "{linked}");
}

#[test]
fn content_is_linked_from_documents_only() {
    let patient = r#"{"resourceType":"Patient","id":"p1","photo":[{"url":"Binary/b","contentType":"image/png"}],"generalPractitioner":[{"reference":"Binary/b"}]}"#;
    let question = question("Patient/p1", &decision(WHOLE));
    let filtered = read_linking(patient.as_bytes(), &question, BASES, &Links, None).unwrap();
    let text = String::from_utf8(filtered.into_body().unwrap().as_bytes().to_vec()).unwrap();
    assert!(!text.contains("Binary") && !text.contains("sealed") && text.contains("image/png"), "{text}");
}

#[test]
fn what_a_reference_says_of_a_record_stays_out_however_it_is_listed() {
    let procedure = r#"{"resourceType":"Procedure","id":"p","subject":{"reference":"Patient/p1"},"reasonReference":
        [{"reference":"Condition/c","display":"SECRET"}],"performer":[{"actor":{"reference":"Practitioner/dr","display":"Dr. D"}}]}"#;
    let condition = r#"{"resourceType":"Condition","id":"c","meta":{"security":[{"system":"http://l","code":"X"}]},"subject":{"reference":"Patient/p1"}}"#;
    let listed = r#""Procedure":{"elements":["reasonReference.display","performer.actor.display"]},"Condition":{"elements":["*"]}"#;
    for entries in [&[procedure][..], &[procedure, condition], &[condition, procedure]] {
        let (text, _) = of(listed, "Procedure?patient=p1", entries);
        assert!(!text.contains("SECRET") && text.contains("Dr. D"), "{text}");
    }
}

#[test]
fn a_logical_reference_repeats_nothing() {
    let listed = r#""Observation":{"elements":["status","code","subject","performer","category"]}"#;
    for logical in [
        r#"{"type":"RelatedPerson","identifier":{"value":"SECRET"},"display":"SECRET"}"#,
        r#"{"identifier":{"value":"SECRET"},"display":"SECRET"}"#,
    ] {
        let entry = lab("a", "p1", &format!(r#","performer":[{logical}]"#));
        let (text, _) = of(listed, "Observation?patient=p1", &[&entry]);
        assert!(text.contains("\"status\"") && !text.contains("SECRET"), "{text}");
    }
    let coded = lab("a", "p1", "").replace(r#""code":"4548-4""#, r#""code":"4548-4","display":"SAID""#);
    let (text, _) = of(listed, "Observation?patient=p1", &[&coded]);
    assert!(text.contains("SAID"), "{text}");
}

#[test]
fn a_provenance_is_no_match_of_its_own() {
    let provenance = |id: &str, target: &str| {
        format!(r#"{{"resourceType":"Provenance","id":"{id}","target":[{target}],"recorded":"2024-01-01T00:00:00Z"}}"#)
    };
    let others = provenance("v", r#"{"reference":"Observation/of-p2"}"#);
    let both = provenance("w", r#"{"reference":"Patient/p1"},{"reference":"Observation/of-p2"}"#);
    let whole = decision(WHOLE).replace(r#""Observation:encounter""#, r#""Observation:encounter","Provenance:target""#);
    for asked in [
        "Provenance?recorded=ge2000&_revinclude=Provenance:target",
        "Provenance?target=Observation/of-p2&_revinclude=Provenance:target",
        "Provenance?_id=v&_revinclude=Provenance:target",
        "Provenance?patient=p1&_revinclude=Provenance:target",
    ] {
        let (text, tally) = filtered(asked, &whole, &bundle(&[&others, &both]));
        assert_eq!((tally.released, tally.matches), (0, 0), "{asked} {text}");
    }
}
