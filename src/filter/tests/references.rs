//! Spellings of references and links, what is said without one, and the narrative that repeats them.

use super::closure::{Links, WHOLE, decision, of, whole};
use super::*;

const LISTED: &str = r#""Observation":{"elements":["code","hasMember","performer"],"where":["category=laboratory"]},
    "Practitioner":{"elements":["name"]},"Organization":{"elements":["name"]}"#;

const WHOLE_LABS: &str = r#""Observation":{"elements":["*"],"where":["category=laboratory"]},"*":{"elements":["*"]}"#;

/// A record that is withheld, wherever it comes along.
fn withheld() -> String {
    lab("secret", "p1", "").replace("laboratory", "social-history")
}

#[test]
fn a_reference_whose_destination_cannot_be_told_goes() {
    for odd in [
        "../Observation/secret",
        "./Observation/secret",
        "/Observation/secret",
        "/fhir/Observation/secret",
        "Observation/%73ecret",
        "Observation/secret?x=y",
        "Observation/secret#a",
        "Observation/secret/",
        " Observation/secret",
        "observation/secret",
        "Observation?_id=secret",
        "http://ehr/fhir/Observation/secret?_format=json",
        "http://ehr/fhir/Observation/%73ecret",
        "http://ehr/fhir//Observation/secret",
        "HTTP://ehr/fhir/Observation/secret",
        "//ehr/fhir/Observation/secret",
        "http://localhost:8080/fhir/Observation/secret",
        "https://other.example/fhir/Observation/secret/_history/1",
        "http://u@other.example/fhir/Practitioner/secret",
        "http://other.example/Practitioner/secret?patient=p2",
        "urn:uuid:5ec2e700-0000-4000-8000-000000000000",
        "5ec2e7",
        "Foo/5ec2e7",
        "",
    ] {
        let entry = lab(
            "a",
            "p1",
            &format!(
                r#","hasMember":[{{"reference":"{odd}","display":"SECRET"}}],"performer":[{{"reference":"Practitioner/kept"}}]"#
            ),
        );
        for types in [LISTED, WHOLE_LABS] {
            let (text, tally) = of(types, "Observation?patient=p1", &[&entry]);
            let gone = !text.contains("hasMember") && !text.contains("SECRET") && !text.contains("secret");
            assert!(gone && text.contains("Practitioner/kept") && text.contains("SUBSETTED"), "{odd} {text}");
            assert_eq!(tally.redacted, 1);
        }
    }
    let several = lab("a", "p1", r#","hasMember":{"reference":["Observation/SECRET"],"display":"SECRET"}"#);
    for types in [LISTED, WHOLE_LABS] {
        let (text, _) = of(types, "Observation?patient=p1", &[&several]);
        assert!(!text.contains("SECRET"), "{text}");
    }
}

#[test]
fn what_is_nobodys_record_may_be_elsewhere() {
    let entry =
        lab("a", "p1", r#","performer":[{"reference":"https://directory.example/Practitioner/dr","display":"SAID"}]"#);
    let (text, _) = of(LISTED, "Observation?patient=p1", &[&entry]);
    assert!(text.contains("https://directory.example/Practitioner/dr") && !text.contains("SAID"), "{text}");
    let (text, tally) = of(WHOLE_LABS, "Observation?patient=p1", &[&entry]);
    assert!(text.contains("SAID") && tally.redacted == 0, "{text}");
    let types = format!(r#"{LISTED},"Practitioner":{{"elements":["*"],"where":["active=true"]}}"#)
        .replace(r#""Practitioner":{"elements":["name"]},"#, "");
    let hidden = r#"{"resourceType":"Practitioner","id":"dr","active":false}"#;
    for entries in [[hidden, &entry], [&entry, hidden]] {
        let asked = "Observation?patient=p1&_include=Observation:performer";
        let text = whole(asked, &decision(&types), &bundle(&entries));
        assert!(text.contains("4548-4") && !text.contains("directory.example"), "{text}");
    }
}

#[test]
fn links_lead_to_nothing_that_is_withheld() {
    for url in [
        "Patient/p2",
        "http://ehr/fhir/Patient/p2",
        "http://localhost/fhir/Patient/p2",
        "Observation/secret",
        "http://ehr/fhir/Observation/secret",
        "https://other.example/fhir/Observation/secret/_history/1",
        "../Patient/p2",
        "Patient/p2?x=y",
        "patient/p2",
        "PAT|Patient/p2",
        "http://localhost/fhir/Patient/p2?_format=json",
        "http://localhost/fhir/Patient/p2/$everything",
        "http://localhost/fhir//Patient/p2",
        "HTTP://EHR/fhir/Patient%2Fp2",
        "../Observation/secret",
        "/fhir/Observation/secret?x=y",
        "http://ehr/fhir/Observation/secret?x=y",
        "http://ehr/fhir/Observation/%73ecret",
        "http://ehr/fhir/Obser%76ation/%73ecret",
        "Binary/secret",
        "http://ehr/fhir/Binary/secret",
        "Binary?_id=secret",
        "Binary/secret?a=b",
        "binary/secret",
        "http://other.example/fhir/Binary/secret",
        "http://ehr/fhir/Bin%61ry/secret",
        "../Binary/secret",
        "%2542inary%252Fsecret",
    ] {
        let link = format!(
            r#","extension":[{{"url":"http://e","valueAttachment":{{"title":"KEPT","url":"{url}"}}}},{{"url":"http://e","valueUri":"{url}"}},
                {{"url":"http://e","valueUrl":"{url}"}},{{"url":"http://e","valueCanonical":["{url}"]}}],"instantiatesUri":["{url}"],
                "implicitRules":"{url}"{}"#,
            ""
        );
        let entry = lab("a", "p1", &link);
        for entries in [[entry.as_str(), &withheld()], [&withheld(), &entry]] {
            let text = whole("Observation?patient=p1", &decision(WHOLE_LABS), &bundle(&entries));
            assert!(text.contains("KEPT") && !text.contains(url) && !text.contains("secret"), "{url} {text}");
        }
    }
    for url in [
        "https://elsewhere.example/binary-files/x.pdf",
        "http://hl7.org/fhir/StructureDefinition/Patient",
        "files/x.pdf",
        "http://ehr/fhir/StructureDefinition/x|1.0",
        "http://example.org/profiles/Patient#a",
        "Patient/p1",
        "urn:x",
    ] {
        let entry = lab("a", "p1", &format!(r#","extension":[{{"url":"{url}","valueUri":"{url}"}}]"#));
        let (text, tally) = of(WHOLE, "Observation?patient=p1", &[&entry]);
        assert!(text.matches(&url.replace("http://ehr", "https://gw")).count() >= 2 && tally.redacted == 0, "{text}");
    }
}

#[test]
fn content_elsewhere_is_no_content_of_ours() {
    let document = |url: &str| {
        format!(
            r#"{{"resourceType":"DocumentReference","id":"d","status":"current","subject":{{"reference":"Patient/p1"}},
                "content":[{{"attachment":{{"contentType":"text/plain","url":"{url}"}}}}]}}"#
        )
    };
    let listed = r#""DocumentReference":{"elements":["content"]},"Binary":{"elements":["*"]}"#;
    for types in [listed, WHOLE] {
        let question = question("DocumentReference/d", &decision(types));
        for url in [
            "http://localhost/fhir/Binary/b",
            "Binary/b?x=y",
            "Binary?_id=b",
            "http://ehr/fhir/Binary/b?_format=json",
            "BINARY/b",
        ] {
            let filtered = read_linking(document(url).as_bytes(), &question, BASES, &Links, None).unwrap();
            let text = String::from_utf8(filtered.into_body().unwrap().as_bytes().to_vec()).unwrap();
            assert!(!text.contains("url") && text.contains("text/plain"), "{url} {text}");
        }
    }
}

#[test]
fn what_is_said_of_nobody_knows_what_follows_the_rule_for_names() {
    let entry = |said: &str| lab("a", "p1", &format!(r#","performer":[{said}]"#));
    for (said, stays) in [
        (r#"{"display":"SAID"}"#, false),
        (r#"{"type":"Practitioner","display":"SAID"}"#, true),
        (r#"{"type":"http://hl7.org/fhir/StructureDefinition/Practitioner","display":"SAID"}"#, true),
        (r#"{"type":"Observation","display":"SAID"}"#, false),
        (r#"{"type":"Location","display":"SAID"}"#, false),
        (r#"{"type":"RelatedPerson","display":"SAID"}"#, false),
        (r#"{"identifier":{"value":"SAID"}}"#, false),
        (r#"{"type":"Practitioner","identifier":{"value":"SAID"}}"#, false),
    ] {
        let (text, _) = of(LISTED, "Observation?patient=p1", &[&entry(said)]);
        assert!(text.contains("SAID") == stays && text.contains("4548-4"), "{said} {text}");
        let (text, tally) = of(WHOLE, "Observation?patient=p1", &[&entry(said)]);
        assert!(text.contains("SAID") && tally.redacted == 0, "{said} {text}");
    }
    let other = entry(r#"{"type":"Patient","display":"SAID"}"#);
    for types in [LISTED, WHOLE] {
        let (text, _) = of(types, "Observation?patient=p1", &[&other]);
        assert!(!text.contains("SAID"), "{text}");
    }
    let named = LISTED.replace(r#""performer""#, r#""performer.display""#);
    let (text, _) = of(&named, "Observation?patient=p1", &[&entry(r#"{"display":"SAID"}"#)]);
    assert!(text.contains("SAID"), "{text}");
    let never = LISTED.replace(r#""performer""#, r#""performer.identifier","performer.reference""#);
    let beside = entry(r#"{"reference":"Practitioner/dr","identifier":{"value":"SECRET"}}"#);
    let (text, _) = of(&never, "Observation?patient=p1", &[&beside]);
    assert!(text.contains("Practitioner/dr") && !text.contains("SECRET"), "{text}");
    let coded = lab("a", "p1", r#","performer":[{"display":"SECRET"}]"#)
        .replace(r#""coding":[{"system":"http://loinc.org","code":"4548-4"}]"#, r#""coding":[{"display":"SAID"}]"#);
    let (text, _) = of(LISTED, "Observation?patient=p1", &[&coded]);
    assert!(text.contains("SAID") && !text.contains("SECRET"), "{text}");
}

#[test]
fn narrative_inside_a_composition_goes_with_what_it_tells_of() {
    let composition = r#"{"resourceType":"Composition","id":"c","status":"final","subject":{"reference":"Patient/p1"},"section":[
        {"title":"KEPT","text":{"status":"generated","div":"SECRET"},"entry":[{"reference":"Observation/secret"}],"code":{"text":"KEPT"}}]}"#;
    let listed =
        r#""Composition":{"elements":["section"]},"Observation":{"elements":["*"],"where":["category=laboratory"]}"#;
    let all = listed.replace(r#"["section"]"#, r#"["*"]"#);
    for types in [listed, &all] {
        for entries in [[&withheld(), composition], [composition, &withheld()]] {
            let types = decision(types).replace("Observation:encounter", "Composition:entry");
            let text = whole("Composition?patient=p1&_include=Composition:entry", &types, &bundle(&entries));
            assert!(
                text.matches("KEPT").count() == 2 && !text.contains("SECRET") && !text.contains("secret"),
                "{text}"
            );
        }
    }
    let plain = composition.replace(r#""entry":[{"reference":"Observation/secret"}],"#, "");
    let (text, _) = of(listed, "Composition?patient=p1", &[&plain]);
    assert!(text.matches("KEPT").count() == 2 && !text.contains("SECRET"), "{text}");
    let (text, tally) = of(WHOLE, "Composition?patient=p1", &[composition]);
    assert!(text.contains("SECRET") && tally.redacted == 0, "{text}");
    let (text, _) =
        of(r#""Composition":{"elements":["section.title","section.text"]}"#, "Composition?patient=p1", &[composition]);
    assert!(text.contains("SECRET"), "{text}");
}
