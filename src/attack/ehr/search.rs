//! What the permissive server answers: searches with chains, reverse chains and includes, reads, histories, operations.

use crate::attack::members::Members as _;
use serde_json::{Value as Json, json};

use super::decoded::{decoded, parse};
use super::store::{Store, name, written};
use super::{Behaviour, Received};

type Answer = (u16, &'static str, Vec<u8>);

const JSON: &str = "application/fhir+json";

/// Parameters whose element is not called like them.
const ELEMENTS: [(&str, &[&str]); 22] = [
    ("patient", &["patient", "subject", "beneficiary"]),
    ("date", &["effectiveDateTime", "effectivePeriod", "date", "period", "performedDateTime", "performedPeriod"]),
    ("birthdate", &["birthDate"]),
    ("family", &["name.family"]),
    ("given", &["name.given"]),
    ("phone", &["telecom.value"]),
    ("email", &["telecom.value"]),
    ("address-city", &["address.city"]),
    ("code", &["code", "medicationCodeableConcept"]),
    ("value-quantity", &["valueQuantity"]),
    ("value-string", &["valueString"]),
    ("value-concept", &["valueCodeableConcept"]),
    ("onset-date", &["onsetDateTime"]),
    ("recorded-date", &["recordedDate"]),
    ("authoredon", &["authoredOn"]),
    ("practitioner", &["participant.individual"]),
    ("participant", &["participant.individual"]),
    ("location", &["location.location"]),
    ("_security", &["meta.security"]),
    ("_tag", &["meta.tag"]),
    ("_profile", &["meta.profile"]),
    ("_source", &["meta.source"]),
];

/// Answers a request as widely as a server may.
pub(super) fn answer(store: &Store, request: &Received, behaviour: &Behaviour, base: &str) -> Answer {
    let quirks = &behaviour.quirks[..];
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let mut pairs = parse(query, quirks);
    if request.header("content-type").is_some_and(|media| media.contains("form")) {
        pairs.extend(parse(&String::from_utf8_lossy(&request.body), quirks));
    }
    let format = pairs.iter().find(|(name, _)| name == "_format").map(|(_, value)| value.as_str()).unwrap_or("");
    let path = decoded(path, quirks);
    let below = path.strip_prefix("/fhir").unwrap_or(&path).trim_matches('/').to_owned();
    let steps: Vec<&str> = below.split('/').filter(|step| !step.is_empty()).collect();
    let all = || store.all().iter().collect::<Vec<_>>();
    let (status, body) = match steps.as_slice() {
        ["metadata"] => (200, json!({"resourceType": "CapabilityStatement", "software": {"name": "SECRET-EHR"}})),
        ["_history"] => (200, bundle(store.versions(None), &[], base)),
        [step] if step.starts_with('$') => (200, bundle(all(), &[], base)),
        [] if request.method == "POST" => (200, batch(store, &request.body, behaviour, base)),
        [] => (200, search(store, None, &pairs, behaviour, base)),
        [resource_type] | [resource_type, "_search"] => {
            (200, search(store, Some(resource_type), &pairs, behaviour, base))
        }
        [_, step] if step.starts_with('$') => (200, bundle(all(), &[], base)),
        [_, "_history"] => (200, bundle(store.versions(None), &[], base)),
        [of, id, "_history"] => (200, bundle(store.versions(Some(&format!("{of}/{id}"))), &[], base)),
        [_, _, step] if step.starts_with('$') => (200, bundle(all(), &[], base)),
        [resource_type, id, "_history", version] => found(store.version(resource_type, id, version), &below),
        [resource_type, id] => found(store.find(resource_type, id), &below),
        // A compartment: everything that mentions its owner.
        [owner, id, rest] => (200, compartment(store, &format!("{owner}/{id}"), rest, base)),
        _ => (404, json!({"resourceType": "OperationOutcome"})),
    };
    let mut body = body;
    if quirks.iter().any(|quirk| quirk == "summary_drops_category_and_security")
        && pairs.iter().any(|(name, value)| name == "_summary" && value == "true")
    {
        summarise(&mut body);
    }
    let wants = request.header("accept").unwrap_or(JSON);
    if format.contains("xml") || (wants.contains("xml") && !wants.contains("json")) {
        return (status, "application/fhir+xml", format!("<x>{body}</x>").into_bytes());
    }
    (status, JSON, written(&body).into_bytes())
}

fn found(resource: Option<&Json>, asked: &str) -> (u16, Json) {
    let issue = json!({"severity": "error", "code": "not-found", "diagnostics": format!("SECRET-EHR {asked}")});
    let nothing = || (404, json!({"resourceType": "OperationOutcome", "issue": [issue]}));
    resource.map_or_else(nothing, |resource| (200, resource.clone()))
}

/// Takes away what a filter would judge by.
fn summarise(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.remove("category");
            if let Some(meta) = members.get_mut("meta").and_then(Json::as_object_mut) {
                meta.remove("security");
            }
            members.values_mut().for_each(summarise);
        }
        Json::Array(items) => items.iter_mut().for_each(summarise),
        _ => {}
    }
}

fn compartment(store: &Store, owner: &str, rest: &str, base: &str) -> Json {
    let mentions = |resource: &&Json| resource.to_string().contains(&format!("{owner}\""));
    let of_type = |resource: &&Json| rest == "*" || resource.at("resourceType") == rest;
    bundle(store.all().iter().filter(of_type).filter(mentions).collect(), &[], base)
}

fn batch(store: &Store, body: &[u8], behaviour: &Behaviour, base: &str) -> Json {
    let asked: Json = serde_json::from_slice(body).unwrap_or_default();
    let entry = |entry: &Json| {
        let target =
            format!("/fhir/{}", entry.at("request").at("url").as_str().unwrap_or_default().trim_start_matches('/'));
        let request = Received { method: "GET".into(), target, ..Received::default() };
        let (status, _, body) = answer(store, &request, behaviour, base);
        json!({"response": {"status": status.to_string()}, "resource": serde_json::from_slice::<Json>(&body).ok()})
    };
    let entries: Vec<Json> = asked.at("entry").as_array().into_iter().flatten().map(entry).collect();
    json!({"resourceType": "Bundle", "type": "batch-response", "entry": entries})
}

fn search(
    store: &Store,
    resource_type: Option<&str>,
    pairs: &[(String, String)],
    behaviour: &Behaviour,
    base: &str,
) -> Json {
    let page = pairs.iter().find(|(name, _)| name == "_getpages").and_then(|(_, number)| store.remembered(number));
    if let Some((of, mut saved)) = page {
        saved.extend(pairs.iter().filter(|(name, _)| name != "_getpages" && name != "_bundletype").cloned());
        return search(store, of.as_deref(), &saved, behaviour, base);
    }
    let quirks = &behaviour.quirks[..];
    let ignored = |key: &str| {
        let plain = key.split([':', '.']).next().unwrap_or(key);
        let lenient = quirks.iter().any(|quirk| quirk == "lenient_drops_patient_param") && plain == "patient";
        lenient || quirks.iter().any(|quirk| quirk.strip_prefix("ignore_param:") == Some(plain))
    };
    let of_type = |resource: &&Json| resource_type.is_none_or(|wanted| resource.at("resourceType") == wanted);
    let fits = |resource: &&Json| {
        pairs.iter().all(|(key, value)| {
            ignored(key)
                || resolved(resource, key, &behaviour.resolves_to)
                    .unwrap_or_else(|| matches(store, resource, key, value))
        })
    };
    let mut found: Vec<&Json> = store.all().iter().filter(of_type).filter(fits).collect();
    let total = found.len();
    let wanted = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let offset: usize = wanted("_getpagesoffset").and_then(|text| text.parse().ok()).unwrap_or(0);
    let count: usize = wanted("_count").and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let is_last = offset + count >= total;
    found = found.into_iter().skip(offset).take(count).collect();
    let mut besides: Vec<&Json> = Vec::new();
    for (key, value) in pairs {
        let mut parts = value.split(':');
        let (source, parameter) = (parts.next().unwrap_or("*"), parts.next().unwrap_or("*"));
        if key.starts_with("_include") {
            let from = found.iter().filter(|resource| source == "*" || resource.at("resourceType") == source);
            let values = from.flat_map(|resource| elements(resource, parameter));
            besides.extend(values.filter_map(|value| store.follow(value.at("reference").as_str()?)));
        } else if key.starts_with("_revinclude") {
            let targets: Vec<String> = found.iter().map(|resource| name(resource)).collect();
            let refers = |resource: &&Json| {
                let text = resource.to_string();
                (source == "*" || resource.at("resourceType") == source)
                    && targets.iter().any(|target| text.contains(&format!("{target}\"")))
            };
            besides.extend(store.all().iter().filter(refers));
        }
    }
    let mut answer = bundle(found, &besides, base);
    answer.set("total", json!(total));
    if !is_last && count > 0 {
        let own = |(name, _): &&(String, String)| !["_getpagesoffset", "_count"].contains(&name.as_str());
        let number =
            store.remember((resource_type.map(ToOwned::to_owned), pairs.iter().filter(own).cloned().collect()));
        let next = offset + count;
        let query = format!("_getpages={number}&_getpagesoffset={next}&_count={count}&_bundletype=searchset");
        answer.set("link", json!([{"relation": "next", "url": format!("{base}?{query}")}]));
    }
    answer
}

/// Whether a record is of one of the patients that every identifier leads to, where there are such.
fn resolved(resource: &Json, key: &str, patients: &[String]) -> Option<bool> {
    let of_patient = resource.at("resourceType") == "Patient" && key == "identifier";
    let names = ["patient:identifier", "subject:identifier", "patient.identifier", "subject.identifier"];
    let chained = names.contains(&key) || key.ends_with("Patient.identifier");
    if patients.is_empty() || !(of_patient || chained) {
        return None;
    }
    let owners = elements(resource, "patient");
    Some(patients.iter().any(|id| {
        let to = format!("Patient/{id}");
        (of_patient && resource.at("id") == id.as_str())
            || owners.iter().any(|owner| owner.at("reference") == to.as_str())
    }))
}

fn bundle(matches: Vec<&Json>, besides: &[&Json], base: &str) -> Json {
    let entry = |resource: &Json, mode: &str| json!({"fullUrl": format!("{base}/{}", name(resource)), "resource": resource, "search": {"mode": mode}});
    let mut entries: Vec<Json> = matches.iter().map(|resource| entry(resource, "match")).collect();
    entries.extend(besides.iter().map(|resource| entry(resource, "include")));
    json!({"resourceType": "Bundle", "type": "searchset", "total": matches.len(), "entry": entries})
}

fn matches(store: &Store, resource: &Json, key: &str, value: &str) -> bool {
    if let Some(rest) = key.strip_prefix("_has:") {
        let mut parts = rest.splitn(3, ':');
        let (Some(of), Some(by), Some(then)) = (parts.next(), parts.next(), parts.next()) else { return true };
        let own = name(resource);
        return store.all().iter().filter(|other| other.at("resourceType") == of).any(|other| {
            let refers = elements(other, by)
                .iter()
                .any(|value| value.at("reference").as_str().is_some_and(|to| to.ends_with(&own)));
            refers && matches(store, other, then, value)
        });
    }
    if let Some((step, rest)) = key.split_once('.') {
        let step = step.split(':').next().unwrap_or(step);
        return elements(resource, step)
            .iter()
            .filter_map(|value| store.follow(value.at("reference").as_str()?))
            .any(|target| matches(store, target, rest, value));
    }
    let (parameter, modifier) = key.split_once(':').unwrap_or((key, ""));
    let alternatives = || value.split(',').filter(|text| !text.is_empty());
    if parameter == "_id" {
        return alternatives().any(|id| resource.at("id") == id);
    }
    if parameter.starts_with('_') && !["_security", "_tag", "_profile", "_source", "_lastUpdated"].contains(&parameter)
    {
        // Among them _filter, _content, _text, _list: everything fits.
        return true;
    }
    let found = elements(resource, parameter);
    let is_known = store.all().iter().any(|other| !elements(other, parameter).is_empty());
    if !is_known {
        return true;
    }
    match modifier {
        "missing" => found.is_empty() == (value == "true"),
        "not" => !found.iter().any(|have| alternatives().any(|text| fits(have, text))),
        "identifier" => found.iter().any(|have| alternatives().any(|text| fits(have.at("identifier"), text))),
        "" | "exact" | "contains" | "text" | "Patient" => {
            found.iter().any(|have| alternatives().any(|text| fits(have, text)))
        }
        _ => true,
    }
}

/// The values of the elements that a parameter reads, lists opened.
fn elements<'r>(resource: &'r Json, parameter: &str) -> Vec<&'r Json> {
    let camel = {
        let mut words = parameter.split('-');
        let first = words.next().unwrap_or("").to_owned();
        words.fold(first, |text, word| {
            let (initial, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            text + &initial.to_uppercase() + rest
        })
    };
    let own = [camel.as_str()];
    let paths = ELEMENTS.iter().find(|(name, _)| *name == parameter).map_or(&own[..], |(_, paths)| paths);
    let mut found = Vec::new();
    for path in paths {
        let mut values = vec![resource];
        for step in path.split('.') {
            values = values.into_iter().filter_map(|value| value.get(step)).flat_map(opened).collect();
        }
        found.extend(values);
    }
    found
}

fn opened(value: &Json) -> Vec<&Json> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}

fn fits(have: &Json, text: &str) -> bool {
    let (prefix, rest) = match text.get(..2) {
        Some(prefix @ ("ge" | "le" | "gt" | "lt" | "eq" | "ne" | "sa" | "eb" | "ap")) => {
            (prefix, text.get(2..).unwrap_or(""))
        }
        _ => ("eq", text),
    };
    match have {
        Json::String(own) if own.as_bytes().first().is_some_and(u8::is_ascii_digit) => in_order(prefix, own, own, rest),
        Json::String(own) => own.to_lowercase().contains(&text.to_lowercase()),
        Json::Number(own) => {
            own.as_f64().zip(rest.parse().ok()).is_some_and(|(own, wanted): (f64, f64)| match prefix {
                "ge" | "gt" => own >= wanted,
                "le" | "lt" => own <= wanted,
                _ => (own - wanted).abs() < 1e-9,
            })
        }
        Json::Bool(own) => own.to_string() == text,
        Json::Object(own) => {
            if let Some(reference) = own.get("reference").and_then(Json::as_str) {
                return reference == text
                    || reference.ends_with(&format!("/{text}"))
                    || text.ends_with(&format!("/{reference}"));
            }
            if own.contains_key("start") || own.contains_key("end") {
                let side = |name: &str| own.get(name).and_then(Json::as_str).unwrap_or("");
                return in_order(prefix, side("start"), side("end"), rest);
            }
            if let Some(codings) = own.get("coding").and_then(Json::as_array) {
                return codings.iter().any(|coding| token(coding, "code", text));
            }
            if own.contains_key("code") && own.contains_key("system") && !own.contains_key("value") {
                return token(have, "code", text);
            }
            if let Some(value) = own.get("value").filter(|value| value.is_number()) {
                return fits(value, text.split('|').next().unwrap_or(text));
            }
            token(have, "value", text) || own.values().any(|value| value.is_string() && fits(value, text))
        }
        _ => false,
    }
}

fn token(coding: &Json, member: &str, text: &str) -> bool {
    match text.split_once('|') {
        Some((system, "")) => coding.at("system") == system,
        Some(("", code)) => coding.at(member) == code,
        Some((system, code)) => coding.at("system") == system && coding.at(member) == code,
        None => coding.at(member) == text,
    }
}

fn in_order(prefix: &str, start: &str, end: &str, wanted: &str) -> bool {
    let cut = |text: &str| text.get(..wanted.len().min(text.len())).unwrap_or(text).to_owned();
    match prefix {
        "ge" | "gt" | "sa" => cut(end).as_str() >= wanted,
        "le" | "lt" | "eb" => cut(start).as_str() <= wanted,
        "ne" => cut(start) != wanted,
        _ => cut(start) == wanted,
    }
}
