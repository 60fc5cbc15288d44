//! The faults that a case injects, read from their text.

use jiff::civil::Date;
use serde_json::{Value as Json, json};

use crate::attack::ehr::Store;
use crate::attack::members::Members as _;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The audit writer's next write fails.
    AuditFull,
    /// The audit writer does not come back from its next write.
    AuditHang,
    /// The gateway is killed while the EHR answers, and started again.
    Kill,
    /// A client may no longer ask about a patient.
    Revoke { client: String, patient: String },
    /// The EHR refuses connections.
    UpstreamDown,
    /// The policy says something else from now on.
    PolicyUpdate(String),
    /// A record is changed at the EHR.
    UpstreamUpdate(String),
    /// Another policy is in place from the start.
    Pack(String),
    /// The policy is replaced by one that cannot be read, while the gateway runs.
    CorruptReload,
    /// What is granted cannot be found out.
    NoGrants,
    /// An identifier leads to several patients.
    Resolves(Vec<String>),
    /// It is another day.
    Clock(Date),
    /// The log is changed after the run.
    Tamper(String),
    /// Two policies take turns, a hundred times a second.
    ReloadLoop,
}

/// Reads the faults of a case or step; what is not known is named.
pub(crate) fn read(text: &str) -> Result<Vec<Fault>, String> {
    let (name, rest) = text.split_once([' ', ':']).unwrap_or((text, ""));
    let rest = rest.trim();
    // Free text may follow these.
    match name {
        "set_clock" => {
            let day = rest.get(..10).and_then(|day| day.parse().ok()).ok_or_else(|| format!("fault {text}"))?;
            Ok(vec![Fault::Clock(day)])
        }
        "tamper_audit_after_run" => Ok(vec![Fault::Tamper(rest.to_owned())]),
        _ => text.split(';').map(|part| one(part.trim())).collect(),
    }
}

fn one(text: &str) -> Result<Fault, String> {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let words: Vec<&str> = rest.split([' ', ',', '[', ']']).filter(|word| !word.is_empty()).collect();
    Ok(match (name, words.as_slice()) {
        ("audit_sink_enospc", _) => Fault::AuditFull,
        ("audit_sink_hang", _) => Fault::AuditHang,
        ("kill_-9_after_first_response_byte", _) => Fault::Kill,
        ("revoke_grant", [client, patient, ..]) => {
            Fault::Revoke { client: (*client).to_owned(), patient: (*patient).to_owned() }
        }
        ("upstream_down", _) => Fault::UpstreamDown,
        ("policy_update", [_, ..]) => Fault::PolicyUpdate(rest.to_owned()),
        ("upstream_update", [_, ..]) => Fault::UpstreamUpdate(rest.to_owned()),
        ("policy_pack", ["corrupt_reload", ..]) | ("corrupt_reload", _) => Fault::CorruptReload,
        ("policy_pack", [pack, ..]) => Fault::Pack((*pack).to_owned()),
        ("grant_store_unavailable", _) => Fault::NoGrants,
        ("patient_resolver_returns_two_ids", ids) => Fault::Resolves(match ids {
            [] => vec!["p1".to_owned(), "p2".to_owned()],
            ids => ids.iter().map(|id| (*id).to_owned()).collect(),
        }),
        ("policy_reload_loop", _) => Fault::ReloadLoop,
        _ => return Err(format!("fault {text}")),
    })
}

/// Takes a patient out of a client's grants, and with the last patient the grant.
pub(crate) fn revoke(grants: &mut Vec<Json>, client: &str, patient: &str) {
    grants.retain_mut(|grant| {
        let mine = grant.at("client") == client;
        let Some(patients) = grant.list_at(&["patients"]).filter(|_| mine) else { return true };
        patients.retain(|have| have != patient);
        !patients.is_empty()
    });
}

/// Changes translated grants as `path += value` or `path -= value` says.
pub(crate) fn update_policy(grants: &mut [Json], text: &str) -> Result<(), String> {
    let unknown = || format!("fault policy_update {text}");
    let mut words = text.split_whitespace();
    let (Some(path), Some(sign), Some(value)) = (words.next(), words.next(), words.next()) else {
        return Err(unknown());
    };
    for grant in grants {
        match (path, sign) {
            ("redact", "+=") => {
                let (of, element) = value.split_once('.').ok_or_else(unknown)?;
                if let Some(elements) = grant.list_at(&["types", of, "elements"]) {
                    let below = format!("{element}.");
                    elements
                        .retain(|have| have.as_str().is_some_and(|have| have != element && !have.starts_with(&below)));
                }
            }
            ("deny_labels", "+=") => {
                if let Some(labels) = grant.list_at(&["withhold_labels"]) {
                    labels.push(json!(label(value)));
                }
            }
            ("types", "-=") => {
                if let Some(types) = grant.object_at(&["types"]) {
                    types.remove(value);
                }
            }
            ("patients", "-=") => {
                if let Some(patients) = grant.list_at(&["patients"]) {
                    patients.retain(|have| have != value);
                }
            }
            _ => return Err(unknown()),
        }
    }
    Ok(())
}

/// Changes a record: `Type/id += meta.security CODE`, `Type/id path = value`, `Type/id deleted`.
pub(crate) fn update_upstream(store: &mut Store, text: &str) -> Result<(), String> {
    let unknown = || format!("fault upstream_update {text}");
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [of, "+=", "meta.security", code] => {
            let label = label(code);
            let (system, code) = label.split_once('|').ok_or_else(unknown)?;
            let record = store.find_mut(of).ok_or_else(unknown)?;
            let label = json!({"system": system, "code": code});
            match record.list_at(&["meta", "security"]) {
                Some(labels) => labels.push(label),
                None => {
                    let mut meta = record.at("meta").clone();
                    meta.set("security", json!([label]));
                    record.set("meta", meta);
                }
            }
        }
        [of, "deleted" | "delete"] | ["delete", of] => store.delete(of),
        [of, path, "=", value] | [of, "=", path, value] => {
            let record = store.find_mut(of).ok_or_else(unknown)?;
            let mut steps: Vec<&str> = path.split('.').collect();
            let last = steps.pop().ok_or_else(unknown)?;
            let mut place = record.there(&steps).ok_or_else(unknown)?;
            if let Some(first) = place.get(0).cloned() {
                // Lists are looked through.
                *place = first;
                place = record.there(&steps).ok_or_else(unknown)?;
            }
            place.set(last, serde_json::from_str(value).unwrap_or_else(|_| json!(value)));
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

/// A label's code with its system.
fn label(code: &str) -> String {
    let system = if matches!(code, "R" | "V" | "N" | "L" | "M" | "U") { "v3-Confidentiality" } else { "v3-ActCode" };
    format!("http://terminology.hl7.org/CodeSystem/{system}|{code}")
}

/// Moves the days of validity, as if today were another day.
pub(crate) fn move_clock(grants: &mut [Json], to: Date, today: Date) {
    let Ok(span) = today.since(to) else { return };
    for grant in grants {
        for end in ["from", "to"] {
            let day = grant.at(end).as_str().and_then(|day| day.parse::<Date>().ok());
            let moved = day.map(|day| day.saturating_add(span));
            if let Some(moved) = moved {
                grant.set(end, json!(moved.to_string()));
            }
        }
    }
}
