//! The vocabulary of decisions: what is understood, and what is refused.

use std::collections::BTreeSet;

use super::*;

const PERMITTED: &str = r#"{"allow":true,"reasons":[{"code":"agreed","text":"Agreed.","basis":"45 CFR 164.506"}],
    "patients":["p2","p1","p1"],
    "types":{"Observation":{"where":["category=laboratory&date=ge2024-01-01&date=le2024-12-31","category=vital-signs"],
        "elements":["code","value[x]"],"searchable":["method","status"],"authorship":["verified","asserted-by-source"]},
        "*":{"elements":["*"]}},
    "withhold_labels":["http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY","urn:s|*"],
    "includes":["Observation:performer","Provenance:target:Observation"],"page_cap":100,"cache_seconds":30}"#;

const REFUSED: &str =
    r#"{"allow":false,"reasons":[{"code":"no","text":"No.","basis":"45 CFR 164.502"}],"conceal":true}"#;

fn permitted(text: &str) -> Permitted {
    match read(text).unwrap() {
        Decided::Permitted(permitted) => permitted,
        Decided::Refused { .. } => panic!("refused"),
    }
}

fn fault(text: &str) -> DecisionError {
    match read(text) {
        Ok(_) => panic!("understood: {text}"),
        Err(fault) => fault,
    }
}

#[test]
fn a_permission_is_understood_to_the_last_member() {
    let permitted = permitted(PERMITTED);
    assert_eq!(permitted.reasons.len(), 1);
    assert_eq!(&*permitted.reasons[0].basis, "45 CFR 164.506");
    let NamedPatients::Listed(ids) = &permitted.patients else { panic!() };
    assert_eq!(ids.iter().map(Id::as_str).collect::<Vec<_>>(), ["p1", "p2"]);
    let (resource_type, TypeRule { alternatives, elements, searchable, authorship, .. }) = &permitted.types[0];
    assert_eq!(resource_type.as_str(), "Observation");
    let written: Vec<Vec<String>> =
        alternatives.iter().map(|all| all.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(
        written,
        [vec!["category=laboratory", "date=ge2024-01-01", "date=le2024-12-31"], vec!["category=vital-signs"]]
    );
    assert!(matches!(elements, Elements::Only(_)));
    assert_eq!(searchable.iter().map(|name| &**name).collect::<Vec<_>>(), ["method", "status"]);
    let admitted = Verdict::ALL.map(|verdict| authorship.unwrap().admit(verdict));
    assert_eq!(admitted, [false, false, false, true, true]);
    let rest = permitted.every_other_type.unwrap();
    assert_eq!((&rest.elements, rest.authorship), (&Elements::All, None));
    assert_eq!((permitted.labels.len(), permitted.includes.len()), (2, 2));
    assert_eq!((permitted.page_cap, permitted.cache), (Some(100), Duration::from_secs(30)));
}

#[test]
fn what_may_be_absent_has_the_narrow_default() {
    let text = PERMITTED.replace(r#","page_cap":100,"cache_seconds":30"#, "");
    assert_ne!(text, PERMITTED);
    let permitted = permitted(&text);
    assert_eq!((permitted.page_cap, permitted.cache), (None, Duration::ZERO));
    let Decided::Refused { conceal, .. } = read(&REFUSED.replace(r#","conceal":true"#, "")).unwrap() else { panic!() };
    assert!(!conceal);
}

#[test]
fn a_roster_may_stand_for_the_patients() {
    let with = |patients: &str| PERMITTED.replace(r#"["p2","p1","p1"]"#, patients);
    assert!(
        matches!(permitted(&with(r#"{"roster":"payer-a"}"#)).patients, NamedPatients::Roster(name) if &*name == "payer-a")
    );
    assert_eq!(fault(&with(r#"{"roster":"a","also":"b"}"#)), DecisionError::Unknown("patients"));
    assert_eq!(fault(&with(r#"{}"#)), DecisionError::Missing("roster"));
    assert_eq!(fault(&with(r#"{"roster":["a"]}"#)), DecisionError::IllTyped("roster"));
}

#[test]
fn a_refusal_is_understood() {
    let Decided::Refused { reasons, conceal } = read(REFUSED).unwrap() else { panic!() };
    assert_eq!((&*reasons[0].code, conceal), ("no", true));
}

#[test]
fn every_departure_from_the_vocabulary_is_refused() {
    use DecisionError::{Empty, IllTyped, Json, Misplaced, Missing, Unknown, Value};
    let long = "x".repeat(limits::DECISION_REASON_BYTES + 1);
    let many = format!("[{}]", vec![r#""p1""#; limits::DECISION_PATIENTS + 1].join(","));
    let wheres = format!("[{}]", vec![r#""_id=a""#; limits::DECISION_ALTERNATIVES + 1].join(","));
    for (from, to, expected) in [
        (r#""allow":true"#, r#""allow":"true""#, IllTyped("allow")),
        (r#""allow":true"#, r#""allow":1"#, IllTyped("allow")),
        (r#""allow":true"#, r#""allow":null"#, IllTyped("allow")),
        (r#""allow":true,"#, "", Missing("allow")),
        (r#""allow":true"#, r#""allow":true,"allow":true"#, Json),
        (r#""allow":true"#, r#""allow":true,"mask":[]"#, Unknown("decision")),
        (r#""allow":true"#, r#""allow":true,"conceal":false"#, Misplaced("conceal")),
        (r#""code":"agreed","#, "", Missing("code")),
        (r#""text":"Agreed.","#, "", Missing("text")),
        (r#","basis":"45 CFR 164.506""#, "", Missing("basis")),
        (r#""basis":"45 CFR 164.506""#, r#""basis":" ""#, Empty("basis")),
        (r#""basis":"45 CFR 164.506""#, r#""basis":["45 CFR"]"#, IllTyped("basis")),
        (r#""basis":"45 CFR 164.506""#, r#""basis":"b","law":"x""#, Unknown("reasons")),
        (r#""code":"agreed""#, r#""code":"a b""#, Value("code")),
        ("Agreed.", long.as_str(), Value("text")),
        ("Agreed.", "<undefined>", Json),
        (r#"["p2","p1","p1"]"#, r#""p1""#, IllTyped("patients")),
        (r#"["p2","p1","p1"]"#, r#"["Patient/p1"]"#, Value("patients")),
        (r#"["p2","p1","p1"]"#, r#"[1]"#, IllTyped("patients")),
        (r#"["p2","p1","p1"]"#, many.as_str(), Value("patients")),
        (r#""patients":["p2","p1","p1"],"#, "", Missing("patients")),
        (r#""Observation":"#, r#""observation":"#, Value("types")),
        (r#""Observation":"#, r#""Resource":"#, Value("types")),
        (r#""Observation":{"#, r#""Observation":{"mask":1,"#, Unknown("types")),
        (r#""*":{"elements":["*"]}"#, r#""*":{"elements":["*"],"where":["_id=a"]}"#, Misplaced("where")),
        (r#""*":{"elements":["*"]}"#, r#""*":{"elements":["*"],"searchable":[]}"#, Misplaced("searchable")),
        (r#"["method","status"]"#, r#""status""#, IllTyped("searchable")),
        (r#"["method","status"]"#, r#"["nonsense"]"#, Value("searchable")),
        (r#"["method","status"]"#, r#"["subject.name"]"#, Value("searchable")),
        (r#"["method","status"]"#, r#"["status:not"]"#, Value("searchable")),
        (
            r#""Observation":{"#,
            r#""Binary":{"elements":["*"],"authorship":["unknown"]},"Observation":{"#,
            Misplaced("authorship"),
        ),
        (r#"["verified","asserted-by-source"]"#, r#""verified""#, IllTyped("authorship")),
        (r#"["verified","asserted-by-source"]"#, "[]", Empty("authorship")),
        (r#"["verified","asserted-by-source"]"#, "[true]", IllTyped("authorship")),
        (r#"["verified","asserted-by-source"]"#, r#"["signed"]"#, Value("authorship")),
        (r#""*":{"elements":["*"]}"#, r#""*":{}"#, Missing("elements")),
        (r#""*":{"elements":["*"]}"#, r#""*":[]"#, IllTyped("types")),
        ("category=vital-signs", "", Value("where")),
        ("category=vital-signs", "patient.name=x", Value("where")),
        ("category=vital-signs", "category=", Value("where")),
        ("category=vital-signs", "category", Value("where")),
        ("category=vital-signs", "nonsense=1", Value("where")),
        ("category=vital-signs", "date=ge2024-13-01", Value("where")),
        ("category=vital-signs", "_count=5", Value("where")),
        ("category=vital-signs", "code:in=urn:x", Value("where")),
        (r#"["category=laboratory&date=ge2024-01-01&date=le2024-12-31","category=vital-signs"]"#, "[]", Empty("where")),
        (
            r#"["category=laboratory&date=ge2024-01-01&date=le2024-12-31","category=vital-signs"]"#,
            r#""x""#,
            IllTyped("where"),
        ),
        (
            r#"["category=laboratory&date=ge2024-01-01&date=le2024-12-31","category=vital-signs"]"#,
            wheres.as_str(),
            Value("where"),
        ),
        (r#"["code","value[x]"]"#, "[]", Value("elements")),
        (r#"["code","value[x]"]"#, r#"["*","code"]"#, Value("elements")),
        (r#"["code","value[x]"]"#, r#"["code."]"#, Value("elements")),
        (r#"["code","value[x]"]"#, r#"["Code"]"#, Value("elements")),
        (r#"["code","value[x]"]"#, r#"["code where"]"#, Value("elements")),
        (r#"["code","value[x]"]"#, r#"[true]"#, IllTyped("elements")),
        ("urn:s|*", "PSY", Value("withhold_labels")),
        ("urn:s|*", "|PSY", Value("withhold_labels")),
        ("urn:s|*", "urn:s|", Value("withhold_labels")),
        ("urn:s|*", "urn:s|a|b", Value("withhold_labels")),
        (r#"Observation:performer""#, r#"Observation:*""#, Value("includes")),
        (r#"Observation:performer""#, r#"*""#, Value("includes")),
        (r#"Observation:performer""#, r#"Observation:code""#, Value("includes")),
        (r#"Observation:performer""#, r#"Observation:performer:Nobody""#, Value("includes")),
        (r#""page_cap":100"#, r#""page_cap":0"#, Value("page_cap")),
        (r#""page_cap":100"#, r#""page_cap":1001"#, Value("page_cap")),
        (r#""page_cap":100"#, r#""page_cap":1e2"#, Value("page_cap")),
        (r#""page_cap":100"#, r#""page_cap":"100""#, IllTyped("page_cap")),
        (r#""cache_seconds":30"#, r#""cache_seconds":30,"provenance":"sometimes""#, Value("provenance")),
        (r#""cache_seconds":30"#, r#""cache_seconds":30,"provenance":true"#, IllTyped("provenance")),
        (r#""cache_seconds":30"#, r#""cache_seconds":-1"#, Value("cache_seconds")),
        (r#""cache_seconds":30"#, r#""cache_seconds":3601"#, Value("cache_seconds")),
    ] {
        let text = PERMITTED.replacen(from, to, 1);
        assert_ne!(text, PERMITTED, "{from}");
        assert_eq!(fault(&text), expected, "{to}");
    }
    for text in ["", "true", "[]", "\"true\"", "null", "{}{}", "{\"allow\":true"] {
        assert!(matches!(fault(text), Json | IllTyped("decision")), "{text}");
    }
    let reasons = |reasons: &str| fault(&format!(r#"{{"allow":false,"reasons":{reasons}}}"#));
    assert_eq!(reasons("[]"), Empty("reasons"));
    assert_eq!(reasons("{}"), IllTyped("reasons"));
    assert_eq!(reasons("[\"no\"]"), IllTyped("reasons"));
    assert_eq!(fault(r#"{"allow":false}"#), Missing("reasons"));
}

#[test]
fn a_refusal_carries_nothing_of_a_permission() {
    for name in ["patients", "types", "withhold_labels", "includes", "page_cap", "cache_seconds", "provenance"] {
        let text = REFUSED.replace(r#""conceal":true"#, &format!(r#""{name}":[]"#));
        assert_eq!(fault(&text), DecisionError::Misplaced(name));
    }
    assert_eq!(fault(&REFUSED.replace("true", "\"yes\"")), DecisionError::IllTyped("conceal"));
}

#[test]
fn the_bounds_hold_on_both_sides() {
    for (from, to) in [
        (r#""page_cap":100"#, r#""page_cap":1"#),
        (r#""page_cap":100"#, r#""page_cap":1000"#),
        (r#""cache_seconds":30"#, r#""cache_seconds":0"#),
        (r#""cache_seconds":30"#, r#""cache_seconds":3600"#),
        ("Agreed.", &"x".repeat(limits::DECISION_REASON_BYTES)),
    ] {
        permitted(&PERMITTED.replacen(from, to, 1));
    }
    let padding = " ".repeat(limits::DECISION_BYTES - PERMITTED.len());
    permitted(&format!("{PERMITTED}{padding}"));
    assert_eq!(fault(&format!("{PERMITTED}{padding} ")), DecisionError::Json);
}

#[test]
fn the_published_schema_names_the_same_members_and_bounds() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/schema/decision.json");
    let schema: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let kinds = schema["oneOf"].as_array().unwrap();
    let members = |kind: &serde_json::Value| -> BTreeSet<String> {
        assert_eq!(kind["additionalProperties"], false);
        kind["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let both: BTreeSet<String> = kinds.iter().flat_map(members).collect();
    assert_eq!(both, PERMISSION.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(members(&kinds[1]), BTreeSet::from(["allow", "reasons", "conceal"].map(str::to_owned)));
    let permission = &kinds[0]["properties"];
    assert_eq!(permission["page_cap"]["maximum"], limits::DECISION_PAGE_CAP);
    assert_eq!(permission["cache_seconds"]["maximum"], limits::DECISION_CACHE_SECONDS);
    assert_eq!(permission["provenance"]["enum"], serde_json::json!(["always", "asked"]));
    assert_eq!(permission["reasons"]["maxItems"], limits::DECISION_REASONS);
    assert_eq!(permission["withhold_labels"]["maxItems"], limits::DECISION_LABELS);
    assert_eq!(permission["includes"]["maxItems"], limits::DECISION_INCLUDES);
    let of_type = &permission["types"]["additionalProperties"]["properties"];
    assert_eq!(of_type["where"]["maxItems"], limits::DECISION_ALTERNATIVES);
    assert_eq!(of_type["searchable"]["maxItems"], limits::DECISION_SEARCHABLE);
    let listed: BTreeSet<&str> =
        of_type["authorship"]["items"]["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(listed, Verdict::ALL.map(Verdict::as_str).into());
}
