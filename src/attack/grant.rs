//! A grant of the corpus, translated once into what a decision of this gateway can say.
//!
//! Takes: the neutral JSON of a case. Gives: the policy's data. Guarantees: what the grant withholds is withheld by
//! type, element, constraint or label. A grant of our own cases may state outright what it is translated into: `elements`,
//! `where` and `authorship` of a type, `includes`, `provenance`, and rows of a sensitivity list. Refuses: parts of a grant that it does not know.

use crate::attack::members::Members as _;
use serde_json::{Map, Value as Json, json};

const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

/// Categories that R4 knows beside those that a grant names.
const CATEGORIES: [&str; 9] =
    ["social-history", "vital-signs", "imaging", "laboratory", "procedure", "survey", "exam", "therapy", "activity"];

/// Elements that no rule of the corpus redacts, by type.
const ELEMENTS: [(&str, &[&str]); 11] = [
    (
        "Patient",
        &[
            "active",
            "identifier[system=http://hospital.example/mrn]",
            "identifier[system=http://payer-a.example/member]",
            "identifier[system=http://payer-b.example/member]",
            "name.use",
            "name.family",
            "name.given",
            "gender",
            "address.city",
            "address.state",
        ],
    ),
    (
        "Coverage",
        &[
            "identifier",
            "status",
            "type",
            "policyHolder",
            "subscriber",
            "subscriberId",
            "beneficiary",
            "relationship",
            "period",
            "payor",
        ],
    ),
    ("Encounter", &["status", "class", "type", "subject", "period", "participant", "location", "serviceProvider"]),
    ("Condition", &["clinicalStatus", "verificationStatus", "category", "code", "subject", "onset[x]", "recordedDate"]),
    (
        "Observation",
        &[
            "status",
            "category",
            "code",
            "subject",
            "focus",
            "performer",
            "hasMember",
            "derivedFrom",
            "effective[x]",
            "issued",
            "value[x]",
            "interpretation",
            "referenceRange",
            "component.code",
            "component.value[x]",
        ],
    ),
    (
        "MedicationRequest",
        &["status", "intent", "medication[x]", "subject", "authoredOn", "requester", "dosageInstruction"],
    ),
    ("Procedure", &["status", "code", "subject", "performed[x]"]),
    ("DocumentReference", &["status", "type", "category", "subject", "date", "content.attachment.contentType"]),
    ("Practitioner", &["identifier", "name.family", "name.given", "qualification"]),
    ("Organization", &["identifier", "name", "type"]),
    ("Location", &["identifier", "name", "status"]),
];

/// The date parameter of each type that has dates of service.
const DATES: [(&str, &str); 6] = [
    ("Encounter", "date"),
    ("Condition", "recorded-date"),
    ("Observation", "date"),
    ("MedicationRequest", "authoredon"),
    ("Procedure", "date"),
    ("DocumentReference", "date"),
];

const INCLUDES: [&str; 9] = [
    "Observation:performer",
    "Observation:subject",
    "Observation:patient",
    "Encounter:location",
    "Encounter:practitioner",
    "Encounter:service-provider",
    "MedicationRequest:requester",
    "Condition:asserter",
    "Coverage:payor",
];

/// One of `data.grants`, for the policy beside this file.
pub(crate) fn translate(grant: &Json) -> Json {
    let mut types = Map::new();
    for (name, rules) in grant.at("types").as_object().into_iter().flatten() {
        types.insert(name.clone(), rule(grant, name, rules));
    }
    for name in grant.at("supporting_types").as_object().into_iter().flatten().map(|(name, _)| name) {
        types.insert(name.clone(), rule(grant, name, &json!({})));
    }
    let labels = grant.at("deny_labels").as_array().into_iter().flatten().filter_map(Json::as_str);
    let system = |code: &str| if matches!(code, "R" | "V") { CONFIDENTIALITY } else { ACT_CODE };
    let includes: Vec<&str> = INCLUDES
        .into_iter()
        .filter(|include| include.split_once(':').is_some_and(|(source, _)| types.contains_key(source)))
        .collect();
    json!({
        "client": grant.at("client"),
        "purpose": grant.at("purpose"),
        "interactions": grant.at("interactions"),
        "patients": grant.at("patients"),
        "from": grant.at("valid").at("from").as_str().unwrap_or("1900-01-01"),
        "to": grant.at("valid").at("to").as_str().unwrap_or("9999-12-31"),
        "types": types,
        "withhold_labels": labels.map(|code| format!("{}|{code}", system(code))).collect::<Vec<_>>(),
        "includes": grant.get("includes").cloned().unwrap_or_else(|| json!(includes)),
        "provenance": grant.get("provenance").map_or_else(|| json!({}), |word| json!({ "provenance": word })),
        "sensitivity": grant.at("sensitivity"),
    })
}

fn rule(grant: &Json, name: &str, rules: &Json) -> Json {
    let known = ELEMENTS.iter().find(|(of, _)| *of == name);
    let elements = known.map_or(&["id"][..], |(_, elements)| elements);
    let elements = rules.get("elements").cloned().unwrap_or_else(|| json!(elements));
    let mut all = Vec::new();
    if let Some(categories) = rules.at("category_all_of").as_array() {
        let allowed: Vec<&str> = categories.iter().filter_map(Json::as_str).collect();
        let token = |code: &&str| format!("{CATEGORY}|{code}");
        let others = CATEGORIES.iter().filter(|code| !allowed.contains(code));
        all.push(format!("category={}", allowed.iter().map(token).collect::<Vec<_>>().join(",")));
        all.push(format!("category:not={}", others.map(token).collect::<Vec<_>>().join(",")));
    }
    let window = grant.at("date_window");
    let dated = window.at("applies_to").as_array().is_some_and(|types| types.iter().any(|of| of == name));
    if let Some((_, parameter)) = DATES.iter().find(|(of, _)| dated && *of == name) {
        for (prefix, end) in [("ge", window.at("from")), ("le", window.at("to"))] {
            all.push(format!("{parameter}={prefix}{}", end.as_str().unwrap_or_default()));
        }
    }
    let codes: Vec<&str> = grant.at("deny_codes").as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if matches!(name, "Condition" | "Observation" | "MedicationRequest" | "Procedure") && !codes.is_empty() {
        all.push(format!("code:not={}", codes.join(",")));
    }
    let mut rule = json!({ "elements": elements });
    if let Some(conditions) = rules.get("where") {
        rule.set("where", conditions.clone());
    } else if !all.is_empty() {
        rule.set("where", json!([all.join("&")]));
    }
    if let Some(verdicts) = rules.get("authorship") {
        rule.set("authorship", verdicts.clone());
    }
    rule
}
