//! What must hold of one answer: the reference semantics of the corpus.

use base64::Engine as _;
use serde_json::Value as Json;

use super::Seen;
use crate::attack::members::Members as _;
use crate::attack::wire::Reply;

/// Types whose records are about a patient.
const OWNED: [&str; 17] = [
    "Coverage",
    "Encounter",
    "Condition",
    "Observation",
    "MedicationRequest",
    "Procedure",
    "DocumentReference",
    "DiagnosticReport",
    "Consent",
    "Communication",
    "QuestionnaireResponse",
    "FamilyMemberHistory",
    "RelatedPerson",
    "ExplanationOfBenefit",
    "Appointment",
    "List",
    "Group",
];

/// What does not hold of `reply`; `None` for a key that is not known.
pub(super) fn judge(key: &str, want: &Json, reply: &Reply, seen: &Seen) -> Option<Vec<String>> {
    let body: Json = serde_json::from_slice(&reply.body).unwrap_or_default();
    let texts = || want.as_array().into_iter().flatten().filter_map(Json::as_str);
    let is_in = || want.as_array().is_some_and(|list| list.iter().any(|one| *one == u64::from(reply.status)));
    let headers: Vec<&str> = reply.headers.iter().map(|(_, value)| value.as_str()).collect();
    let mut failed = Vec::new();
    let mut must = |holds: bool, text: String| {
        if !holds {
            failed.push(text);
        }
    };
    match key {
        "status_in" => must(is_in(), format!("{}", reply.status)),
        "status_not_in" => must(!is_in(), format!("{}", reply.status)),
        "body_lacks" => {
            let all = format!("{}\n{}", views(reply), headers.join("\n"));
            for text in texts() {
                let text = text
                    .replace("{{attacker_host}}", &seen.attacker_host)
                    .replace("{{upstream_host}}", &seen.upstream_host);
                if text.ends_with('-') && text.starts_with("SECRET") {
                    for canary in canaries(&all).filter(|canary| !seen.said.contains(canary.as_str())) {
                        must(false, canary);
                    }
                } else {
                    must(!all.contains(&text) || seen.said.contains(&text), text);
                }
            }
        }
        "body_has" => texts().for_each(|text| must(views(reply).contains(text), format!("lacks {text}"))),
        "headers_lack" => {
            texts().for_each(|text| must(!headers.iter().any(|value| value.contains(text)), text.to_owned()))
        }
        "headers_absent" => texts().for_each(|name| must(reply.header(name).is_none(), name.to_owned())),
        "header_contains" | "header_not_equals" => {
            for (name, value) in want.as_object().into_iter().flatten() {
                let is = |text: &str| {
                    reply.headers.iter().any(|(have, own)| have.eq_ignore_ascii_case(name) && own.contains(text))
                };
                match value {
                    Json::Array(bad) => {
                        bad.iter().filter_map(Json::as_str).for_each(|bad| must(!is(bad), format!("{name}: {bad}")))
                    }
                    value if key == "header_contains" => {
                        must(value.as_str().is_some_and(is), format!("{name} lacks {value}"))
                    }
                    value => must(!value.as_str().is_some_and(is), format!("{name}: {value}")),
                }
            }
        }
        "no_resource_types" | "only_resource_types" => {
            for resource in resources(&body) {
                let listed = texts().any(|name| resource.at("resourceType") == name);
                must(listed == (key == "only_resource_types"), format!("{}", resource.at("resourceType")));
            }
        }
        "no_patient_other_than" => others(&body, want.as_str()?).into_iter().for_each(|text| must(false, text)),
        "no_references_to" => {
            for reference in references(&body) {
                must(!texts().any(|text| reference.ends_with(text)), reference.to_owned());
            }
        }
        "no_ids" => {
            let all = format!("{}\n{}", views(reply), headers.join("\n"));
            for name in texts() {
                let there = resources(&body).iter().any(|resource| self::name(resource) == name);
                let referred = references(&body).iter().any(|to| *to == name || to.ends_with(&format!("/{name}")));
                must(!there && !referred && !mentions(&all, name), format!("has {name}"));
            }
        }
        "absent_paths" => {
            for path in texts() {
                let mut steps = path.split('.');
                let of = steps.next().unwrap_or("*");
                let steps: Vec<&str> = steps.collect();
                for resource in resources(&body) {
                    let applies = of == "*" || resource.at("resourceType") == of;
                    must(!applies || !reaches(resource, &steps), format!("{} has {path}", name(resource)));
                }
            }
        }
        "bundle_total_max" => must(
            body.at("total").as_u64().is_none_or(|total| Some(total) <= want.as_u64()),
            format!("{}", body.at("total")),
        ),
        "bundle_total_lte_entries" => {
            let entries = body.at("entry").as_array().map_or(0, Vec::len) as u64;
            must(body.at("total").as_u64().is_none_or(|total| total <= entries), "more than there are entries".into());
        }
        "entries_max" => {
            let single = !["Bundle", "OperationOutcome"].iter().any(|name| body.at("resourceType") == *name)
                && body.at("resourceType").is_string();
            let count = body.at("entry").as_array().map_or(usize::from(single), Vec::len);
            must(Some(count as u64) <= want.as_u64(), format!("{count} entries"));
        }
        "links_host_only" => {
            let links = body.at("link").as_array().into_iter().flatten().filter_map(|link| link.at("url").as_str());
            let urls = links.chain(
                body.at("entry").as_array().into_iter().flatten().filter_map(|entry| entry.at("fullUrl").as_str()),
            );
            let located = ["location", "content-location", "link"].into_iter().filter_map(|name| reply.header(name));
            for url in urls.chain(located) {
                let own = url.starts_with("urn:") || (url.starts_with('/') && !url.starts_with("//"));
                must(
                    own || url.split('?').next().is_some_and(|url| url.contains(crate::attack::stage::HOST)),
                    url.to_owned(),
                );
            }
        }
        "self_link_lacks" => {
            let links = body.at("link").as_array().into_iter().flatten().filter(|link| link.at("relation") == "self");
            let own: Vec<&str> = links.filter_map(|link| link.at("url").as_str()).collect();
            texts().for_each(|text| must(!own.iter().any(|url| url.contains(text)), text.to_owned()));
        }
        "content_type_json" => {
            must(reply.header("content-type").is_some_and(|media| media.contains("json")), "not JSON".into())
        }
        "valid_json" => must(!body.is_null(), "not JSON".into()),
        "scan_base64" => {}
        "trailers_absent" => {
            must(reply.trailers.is_empty() && reply.header("trailer").is_none(), "trailers".into());
        }
        "body_is_operation_outcome_or_empty" => {
            must(reply.body.is_empty() || body.at("resourceType") == "OperationOutcome", "another body".into());
        }
        _ => return None,
    }
    Some(failed)
}

/// Every view of a body in which a canary must not appear: as sent, unescaped, and decoded from base64.
pub(super) fn views(reply: &Reply) -> String {
    let mut text = String::from_utf8_lossy(&reply.body).into_owned();
    let body: Json = serde_json::from_slice(&reply.body).unwrap_or_default();
    strings(&body, &mut |string| {
        text.push('\n');
        text.push_str(string);
        let plain: String = string.chars().filter(|character| !character.is_whitespace()).collect();
        let plain = plain.trim_end_matches('=').replace('-', "+").replace('_', "/");
        if plain.len() >= 12
            && let Ok(bytes) = base64::engine::general_purpose::STANDARD_NO_PAD.decode(plain)
        {
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    });
    text
}

pub(super) fn has_entries(page: &Reply) -> bool {
    let body: Json = serde_json::from_slice(&page.body).unwrap_or_default();
    body.at("entry").as_array().is_some_and(|entries| !entries.is_empty())
}

/// An answer without what may differ: the date, ids that the gateway made, and the literals that the requests vary.
pub(crate) fn likeness(reply: &Reply, vary: &[&str]) -> (u16, Vec<(String, String)>, String) {
    let mut literals = vary.to_vec();
    literals.sort_by_key(|literal| std::cmp::Reverse(literal.len()));
    let same_length = vary.windows(2).all(|two| matches!(two, [one, other] if one.len() == other.len()));
    let even = |text: &str| {
        let text = literals.iter().fold(text.to_owned(), |text, literal| {
            let encoded =
                percent_encoding::utf8_percent_encode(literal, percent_encoding::NON_ALPHANUMERIC).to_string();
            text.replace(literal, "VARIED").replace(&encoded, "VARIED")
        });
        without_ids(&text)
    };
    let unlike = |name: &str| name == "date" || (name == "content-length" && !same_length);
    let mut headers: Vec<(String, String)> = reply
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), even(value)))
        .filter(|(name, _)| !unlike(name))
        .collect();
    headers.sort();
    (reply.status, headers, even(&String::from_utf8_lossy(&reply.body)))
}

/// Runs of 26 digits and small letters are ids that the gateway made.
fn without_ids(text: &str) -> String {
    let (mut out, mut run) = (String::new(), String::new());
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_digit() || character.is_ascii_lowercase() {
            run.push(character);
            continue;
        }
        out.push_str(if run.len() == 26 { "ID" } else { &run });
        run.clear();
        out.push(character);
    }
    out
}

fn canaries(text: &str) -> impl Iterator<Item = String> {
    let found = text.match_indices("SECRET-").map(|(at, _)| {
        let rest = text.get(at..).unwrap_or_default();
        let end =
            rest.find(|character: char| !(character.is_ascii_alphanumeric() || character == '-')).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().trim_end_matches('-').to_owned()
    });
    found.collect::<std::collections::BTreeSet<String>>().into_iter()
}

fn strings(value: &Json, visit: &mut dyn FnMut(&str)) {
    match value {
        Json::String(text) => visit(text),
        Json::Array(items) => items.iter().for_each(|item| strings(item, visit)),
        Json::Object(members) => members.iter().for_each(|(name, member)| {
            visit(name);
            strings(member, visit);
        }),
        _ => {}
    }
}

fn resources(value: &Json) -> Vec<&Json> {
    let mut found = Vec::new();
    match value {
        Json::Object(members) => {
            if members.get("resourceType").is_some_and(Json::is_string) {
                found.push(value);
            }
            members.values().for_each(|member| found.extend(resources(member)));
        }
        Json::Array(items) => items.iter().for_each(|item| found.extend(resources(item))),
        _ => {}
    }
    found
}

fn references(value: &Json) -> Vec<&str> {
    let mut found = Vec::new();
    match value {
        Json::Object(members) => {
            found.extend(members.get("reference").and_then(Json::as_str));
            members.values().for_each(|member| found.extend(references(member)));
        }
        Json::Array(items) => items.iter().for_each(|item| found.extend(references(item))),
        _ => {}
    }
    found
}

fn name(resource: &Json) -> String {
    format!("{}/{}", resource.at("resourceType").as_str().unwrap_or(""), resource.at("id").as_str().unwrap_or(""))
}

/// The patient that a reference leads to.
fn patient_of(reference: &str) -> Option<&str> {
    let (before, rest) = reference.split_once("Patient/")?;
    if !(before.is_empty() || before.ends_with('/')) {
        return None;
    }
    let end = rest.find(|character: char| !(character.is_ascii_alphanumeric() || character == '-' || character == '.'));
    rest.get(..end.unwrap_or(rest.len()))
}

fn others(body: &Json, patient: &str) -> Vec<String> {
    let mut failed = Vec::new();
    for resource in resources(body) {
        let of = resource.at("resourceType").as_str().unwrap_or("");
        if of == "Patient" && resource.at("id") != patient {
            failed.push(name(resource));
        }
        if OWNED.contains(&of) && !references(resource).iter().any(|to| patient_of(to) == Some(patient)) {
            failed.push(format!("{} is not about {patient}", name(resource)));
        }
    }
    let strange = references(body).into_iter().filter(|to| patient_of(to).is_some_and(|of| of != patient));
    failed.extend(strange.map(|to| format!("reference {to}")));
    failed
}

fn mentions(text: &str, name: &str) -> bool {
    let name = format!("/{name}");
    text.match_indices(&name).any(|(at, _)| {
        let next = text.get(at + name.len()..).and_then(|rest| rest.chars().next());
        !next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '.' || next == '-')
    })
}

/// A resource of an answer.
pub(crate) struct Given {
    /// `Type/id`
    pub(crate) name: String,
    pub(crate) resource_type: String,
    /// Patients whose record it may be: itself, or whom it refers to; none where it is no patient's.
    pub(crate) patients: Vec<String>,
}

/// The resources that an answer gives: it itself, or what its entries hold; not what these contain.
pub(crate) fn released(reply: &Reply) -> Vec<Given> {
    let body: Json = serde_json::from_slice(&reply.body).unwrap_or_default();
    let entries = body.at("entry").as_array().into_iter().flatten().map(|entry| entry.at("resource"));
    let given: Vec<&Json> = if body.at("resourceType") == "Bundle" { entries.collect() } else { vec![&body] };
    let one = |resource: &Json| {
        let of = resource.at("resourceType").as_str()?.to_owned();
        let patients = match of.as_str() {
            "Patient" => vec![resource.at("id").as_str().unwrap_or_default().to_owned()],
            _ if OWNED.contains(&of.as_str()) => {
                references(resource).into_iter().filter_map(patient_of).map(ToOwned::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Some(Given { name: name(resource), resource_type: of, patients })
    };
    given.into_iter().filter_map(one).collect()
}

/// Whether something is at a path below a value; lists are looked through.
fn reaches(value: &Json, steps: &[&str]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    match value {
        Json::Array(items) => items.iter().any(|item| reaches(item, steps)),
        Json::Object(members) => members.get(*step).is_some_and(|member| reaches(member, rest)),
        _ => false,
    }
}
