//! Ways around a gateway that were found in others: each leads nowhere.

use std::collections::BTreeSet;

use portcullis::demo::ehr::{Behaviour, Ehr};

use crate::support::{Payer, clinic, everything, gateway, permitting, starter};

/// A laboratory result of Maren's within her coverage, with these members besides. Somebody answers for it, so that nothing
/// else keeps it back than what a test is about.
fn result(id: &str, members: &str) -> String {
    let performer = r#""performer":[{"reference":"Organization/alder-creek-laboratory"}],"#;
    let performer = if members.contains("\"performer\"") { "" } else { performer };
    format!(
        r#"{{{performer}"resourceType":"Observation","id":"{id}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"attack"}}]}},"effectiveDateTime":"2025-05-05"{members}}}"#
    )
}

const MAREN: &str = r#","subject":{"reference":"Patient/maren"}"#;

/// What a payer finds, and what it can read, of what was put into the EHR.
#[track_caller]
fn assert_seen(ehr: &Ehr, payer: &Payer, seen: &[&str], unseen: &[&str]) {
    for behaviour in [Behaviour::faithful(), Behaviour::faithful().careless()] {
        ehr.behave(behaviour);
        let found: BTreeSet<String> =
            payer.every_page("/Observation?patient=maren&code=attack").iter().flat_map(|page| page.names()).collect();
        assert_eq!(found, seen.iter().map(|id| format!("Observation/{id}")).collect());
    }
    ehr.behave(Behaviour::faithful());
    for (ids, status) in [(seen, 200), (unseen, 404)] {
        for id in ids {
            let answer = payer.get(&format!("/Observation/{id}"));
            assert_eq!(answer.status(), status, "{id}: {}", answer.text());
        }
    }
}

#[test]
fn a_record_of_somebody_who_is_named_alike_is_not_hers() {
    let ehr = clinic();
    let base = ehr.base();
    ehr.put(r#"{"resourceType":"Patient","id":"maren2"}"#).unwrap();
    let others = [
        ("longer", r#","subject":{"reference":"Patient/maren2"}"#.to_owned()),
        ("elsewhere", r#","subject":{"reference":"http://evil.example/fhir/Patient/maren"}"#.to_owned()),
        ("beside", format!(r#","subject":{{"reference":"{base}2/Patient/maren"}}"#)),
        (
            "contained",
            r##","subject":{"reference":"#maren"},"contained":[{"resourceType":"Patient","id":"maren"}]"##.to_owned(),
        ),
        ("logical", r#","subject":{"identifier":{"value":"maren"},"display":"Patient/maren"}"#.to_owned()),
        ("group", r#","subject":{"reference":"Group/maren"}"#.to_owned()),
        ("nobodys", String::new()),
        (
            "otherwise",
            r#","focus":[{"reference":"Patient/maren"}],"performer":[{"reference":"Patient/maren"}]"#.to_owned(),
        ),
        ("typed", r#","subject":{"reference":"Patient/maren","type":"Group"}"#.to_owned()),
    ];
    ehr.put(&result("hers", MAREN)).unwrap();
    ehr.put(&result("hers-absolute", &format!(r#","subject":{{"reference":"{base}/Patient/maren"}}"#))).unwrap();
    ehr.put(&result("hers-versioned", r#","subject":{"reference":"Patient/maren/_history/3"}"#)).unwrap();
    for (id, subject) in &others {
        ehr.put(&result(id, subject)).unwrap();
    }
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let unseen: Vec<&str> = others.iter().map(|(id, _)| *id).collect();
    assert_seen(&ehr, &gateway.payer("lanternfield"), &["hers", "hers-absolute", "hers-versioned"], &unseen);
}

#[test]
fn a_label_is_seen_wherever_it_is() {
    let ehr = clinic();
    let act = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    let inline = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label";
    let labelled = [
        ("plain", format!(r#","meta":{{"security":[{{"system":"{act}","code":"HIV"}}]}}"#)),
        (
            "second",
            format!(
                r#","meta":{{"security":[{{"system":"{act}","code":"DEMO"}},{{"system":"{act}","code":"ETHUD"}}]}}"#
            ),
        ),
        ("without-system", r#","meta":{"security":[{"code":"HIV"}]}"#.to_owned()),
        ("without-code", format!(r#","meta":{{"security":[{{"system":"{act}"}}]}}"#)),
        ("escaped", format!(r#","meta":{{"security":[{{"system":"{act}","code":"\u0048IV"}}]}}"#)),
        ("single", format!(r#","meta":{{"security":{{"system":"{act}","code":"HIV"}}}}"#)),
        (
            "inline",
            format!(
                r#","valueQuantity":{{"value":1,"extension":[{{"url":"{inline}","valueCoding":{{"system":"{act}","code":"HIV"}}}}]}}"#
            ),
        ),
    ];
    ehr.put(&result("open", &format!(r#"{MAREN},"meta":{{"security":[{{"system":"{act}","code":"DEMO"}}]}}"#)))
        .unwrap();
    for (id, label) in &labelled {
        ehr.put(&result(id, &format!("{MAREN}{label}"))).unwrap();
    }
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let unseen: Vec<&str> = labelled.iter().map(|(id, _)| *id).collect();
    assert_seen(&ehr, &gateway.payer("lanternfield"), &["open"], &unseen);
}

#[test]
fn what_is_redacted_is_gone_everywhere() {
    let ehr = clinic();
    let hiding = r##","text":{"status":"generated","div":"<div>canary-1</div>"},"contained":[{"resourceType":"Patient","id":"p","name":[{"family":"canary-2"}]}],
        "extension":[{"url":"urn:x","valueString":"canary-3"}],"_status":{"extension":[{"url":"urn:x","valueString":"canary-4"}]},
        "note":[{"text":"canary-5"}],"unknown":"canary-6","hasMember":[{"reference":"Observation/canary-7"}],"derivedFrom":[{"display":"canary-8"}],
        "valueQuantity":{"value":6.30,"unit":"%","extension":[{"url":"urn:x","valueString":"canary-9"}],"_unit":{"id":"canary-10"}},
        "component":[{"code":{"text":"kept"},"extension":[{"url":"canary-11"}],"note":"canary-12"}],"specimen":{"reference":"#p","display":"canary-13"}"##;
    ehr.put(&result("hiding", &format!("{MAREN}{hiding}"))).unwrap();
    ehr.put(&result(
        "modified",
        &format!(r#"{MAREN},"modifierExtension":[{{"url":"urn:negated","valueBoolean":true}}]"#),
    ))
    .unwrap();
    let nested = r#","component":[{"code":{"text":"x"},"modifierExtension":[{"url":"urn:x"}]}]"#;
    ehr.put(&result("modified-within", &format!("{MAREN}{nested}"))).unwrap();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    assert_seen(&ehr, &payer, &["hiding"], &["modified", "modified-within"]);
    for target in [
        "/Observation/hiding",
        "/Observation?patient=maren&code=attack",
        "/Observation/hiding?_elements=note,contained,value",
    ] {
        let text = payer.get(target).text().to_owned();
        assert!(!text.contains("canary"), "{target}: {text}");
        assert!(text.contains("6.30"), "{target}");
    }
}

#[test]
fn two_places_for_one_parameter_are_read_together() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for (query, form) in [
        ("patient=maren", "patient=ines"),
        ("patient=maren&patient=ines", ""),
        ("", "patient=ines&subject=Patient/maren"),
        ("patient:Patient=maren", "subject=Patient/ines"),
    ] {
        let mark = if query.is_empty() { "" } else { "?" };
        let found = payer.post(&format!("/Observation/_search{mark}{query}"), form).searchset();
        assert_eq!((found.entries.len(), found.total), (0, Some(0)), "{query} {form}");
    }
    assert!(ehr.requests().is_empty());
    let with_group = payer.search("/Observation?subject=Patient/maren,Group/all&code=4548-4");
    assert!(with_group.entries.iter().all(|entry| entry.name.contains("maren")) && with_group.entries.len() == 3);
}

#[test]
fn the_ehr_is_asked_in_the_gateways_own_words() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let asked = payer
        .ask("POST", "/Observation/_search?%70atient=Patient%2Fmaren")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("cookie", "canary=1")
        .header("x-forwarded-user", "canary")
        .header("accept", "application/json;canary=1")
        .header("if-none-match", "canary")
        .header("user-agent", "canary")
        .header("prefer", "canary")
        .body("code=attack&_format=json&_pretty=true");
    assert_eq!(asked.send().status(), 200);
    let requests = ehr.requests();
    assert!(!requests.is_empty());
    for request in requests {
        let text = format!("{request:?}");
        assert!(!text.contains("canary") && !text.contains(payer.token()), "{text}");
        assert!(request.headers.get("authorization").is_none() && request.body.is_empty(), "{text}");
        assert!(request.target.starts_with("/fhir/"), "{text}");
    }
}

#[test]
fn what_cannot_be_read_in_one_way_is_not_read() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let open = r#"{"resourceType":"Observation","id":"x","status":"final","subject":{"reference":"Patient/ines"}"#;
    for (name, text) in [
        ("two subjects", format!(r#"{open},"subject":{{"reference":"Patient/maren"}}}}"#)),
        ("two ids", format!(r#"{open},"id":"y"}}"#)),
        ("escaped twin", format!(r#"{open},"\u0073ubject":{{"reference":"Patient/maren"}}}}"#)),
        ("lone surrogate", format!(r#"{open},"note":"\ud800"}}"#)),
        ("control character", format!("{open},\"note\":\"a\nb\"}}")),
        ("not a number", format!(r#"{open},"value":NaN}}"#)),
        ("leading zero", format!(r#"{open},"value":007}}"#)),
        ("comment", format!("{open}/* */}}")),
        ("trailing comma", format!("{open},}}")),
        ("byte order mark", format!("\u{feff}{open}}}")),
    ] {
        let bundle = format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{{"resource":{text}}}]}}"#);
        for (target, body) in [("/Observation/x", &text), ("/Observation?patient=maren", &bundle)] {
            ehr.behave(Behaviour::faithful().status(200, body));
            assert_eq!(payer.get(target).status(), 502, "{name} {target}");
        }
    }
}

#[test]
fn an_include_brings_nobody_elses_record() {
    let ehr = clinic();
    ehr.put(&result(
        "linked",
        &format!(r#"{MAREN},"performer":[{{"reference":"Patient/ines"}},{{"reference":"Practitioner/sethi"}}]"#),
    ))
    .unwrap();
    ehr.put(
        r#"{"resourceType":"Provenance","id":"of-both","recorded":"2025-05-05T00:00:00Z","target":[{"reference":"Observation/linked"},{"reference":"Observation/ines-hba1c-2025"}],"agent":[{"who":{"reference":"Practitioner/sethi"}}]}"#,
    )
    .unwrap();
    let payer_of = |policy| gateway().with_policy(policy).in_front_of(&ehr);
    for gateway in [
        payer_of(starter()),
        payer_of(everything()),
        payer_of(permitting(r#""includes": ["Observation:performer", "Provenance:target"]"#)),
    ] {
        let payer = gateway.payer("lanternfield");
        for behaviour in [Behaviour::faithful(), Behaviour::faithful().careless()] {
            ehr.behave(behaviour);
            let found = payer.search(
                "/Observation?patient=maren&_id=linked&_include=Observation:performer&_revinclude=Provenance:target",
            );
            assert_eq!(found.matches(), ["Observation/linked"]);
            assert_eq!(found.included(), ["Practitioner/sethi"]);
        }
    }
}
