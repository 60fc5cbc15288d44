//! What of a resource leaves.

use super::super::stage::{EHR, GATEWAY};
use super::closure::{Closure, is_reference, leads_to_record};
use super::{Dom, subject_element};

const SUBSETTED: [(&str, &str); 3] = [
    ("system", "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"),
    ("code", "SUBSETTED"),
    ("display", "subsetted"),
];

/// The types that choice elements of R4's resources have, as their names end in them; not those that only knowledge
/// artefacts and extensions have.
const CHOICES: [&str; 41] = [
    "Base64Binary",
    "Boolean",
    "Canonical",
    "Code",
    "Date",
    "DateTime",
    "Decimal",
    "Id",
    "Instant",
    "Integer",
    "Markdown",
    "Oid",
    "PositiveInt",
    "String",
    "Time",
    "UnsignedInt",
    "Uri",
    "Url",
    "Uuid",
    "Address",
    "Age",
    "Annotation",
    "Attachment",
    "CodeableConcept",
    "Coding",
    "ContactPoint",
    "Count",
    "Distance",
    "Duration",
    "HumanName",
    "Identifier",
    "Money",
    "Period",
    "Quantity",
    "Range",
    "Ratio",
    "Reference",
    "SampledData",
    "Signature",
    "Timing",
    "Dosage",
];

/// The resource as it leaves; `None` where removing something would change what the rest means.
pub(super) fn redacted(
    closure: &Closure<'_>,
    resource_type: &str,
    resource: &Dom,
    elements: Option<&[String]>,
    asked: &[String],
) -> Option<Dom> {
    let cuts = closure.cuts(resource);
    if elements.is_none() && asked.is_empty() && !cuts {
        return Some(addressed(resource));
    }
    if modifies(resource) && elements.is_some() {
        return None;
    }
    let mut kept = Vec::new();
    let mut meta = Dom::Null;
    for (name, value) in resource.members() {
        match name.as_str() {
            "resourceType" | "id" => kept.push((name.clone(), value.clone())),
            "meta" => meta = value.clone(),
            // Narrative tells what the elements say, those that are cut among them.
            "text" if elements.is_none() && cuts => {}
            name => {
                let value = match elements {
                    None if !cuts => asked_for(resource_type, name, asked).then(|| value.clone()),
                    _ => member(closure, resource_type, name, value, elements, asked),
                };
                kept.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
    }
    kept.push(("meta".to_owned(), meta_of(closure, &meta, elements.is_none(), cuts)));
    Some(addressed(&Dom::Object(kept)))
}

/// One element of the resource.
fn member(
    closure: &Closure<'_>,
    resource_type: &str,
    name: &str,
    value: &Dom,
    elements: Option<&[String]>,
    asked: &[String],
) -> Option<Dom> {
    let names_patient = subject_element(resource_type) == Some(name.strip_prefix('_').unwrap_or(name));
    let wanted = asked_for(resource_type, name, asked);
    let Some(elements) = elements else {
        return if wanted { spared(closure, value) } else { None };
    };
    let paths: Vec<Vec<&str>> = elements.iter().map(|path| path.split('.').collect()).collect();
    let listed = if wanted { part(closure, name, value, &paths) } else { None };
    match listed {
        Some(listed) if names_patient => Some(with_reference(closure, listed, value)),
        None if names_patient => bare(closure, value),
        listed => listed,
    }
}

/// Whether the client asks for an element; it always does for the one that names the patient.
fn asked_for(resource_type: &str, name: &str, asked: &[String]) -> bool {
    let plain = name.strip_prefix('_').unwrap_or(name);
    let names_patient = subject_element(resource_type) == Some(plain);
    names_patient || asked.is_empty() || asked.iter().any(|asked| asked == plain || chosen(plain, asked))
}

/// What these paths keep of the member `name`; `None` where nothing is left. Its own name counts before that of the choice
/// that it is one of.
fn part(closure: &Closure<'_>, name: &str, value: &Dom, paths: &[Vec<&str>]) -> Option<Dom> {
    if name.contains('_') || closure.bars_link(name, value) {
        return None;
    }
    let below = |first: &dyn Fn(&str) -> bool| -> Vec<Vec<&str>> {
        paths.iter().filter(|path| first(path[0])).map(|path| path[1..].to_vec()).collect()
    };
    let own = below(&|first| first == name);
    let choice = || below(&|first| first.strip_suffix("[x]").is_some_and(|base| chosen(name, base)));
    let below = if own.is_empty() { choice() } else { own };
    if below.is_empty() {
        return None;
    }
    if below.iter().any(Vec::is_empty) {
        return cleaned(closure, name, value);
    }
    inside(closure, value, &|name, value| part(closure, name, value, &below))
}

/// The value of the element `of` without extensions of any kind, without narrative, and without what a reference says beside
/// where it leads.
fn cleaned(closure: &Closure<'_>, of: &str, value: &Dom) -> Option<Dom> {
    match value {
        Dom::Array(items) => {
            let items: Vec<Dom> = items.iter().filter_map(|item| cleaned(closure, of, item)).collect();
            (!items.is_empty()).then_some(Dom::Array(items))
        }
        Dom::Object(_) => {
            let is_reference = is_reference(of, value);
            inside(closure, value, &|name, member| match name {
                "extension" => None,
                "text" if matches!(member, Dom::Object(_)) => None,
                "identifier" if is_reference => None,
                "display" if is_reference && closure.display_repeats(value) => None,
                name if name.contains('_') || closure.bars_link(name, member) => None,
                name => cleaned(closure, name, member),
            })
        }
        Dom::Null => None,
        other => Some(other.clone()),
    }
}

/// A value as it is, but for what must not be led to.
fn spared(closure: &Closure<'_>, value: &Dom) -> Option<Dom> {
    if value.items().is_empty() && value.members().is_empty() {
        return Some(value.clone());
    }
    match value {
        Dom::Array(items) => {
            let items: Vec<Dom> = items.iter().filter_map(|item| spared(closure, item)).collect();
            (!items.is_empty()).then_some(Dom::Array(items))
        }
        value if closure.bars_reference(value) => None,
        Dom::Object(members) => {
            let is_narrative = |name: &str, value: &Dom| name == "text" && matches!(value, Dom::Object(_));
            let stays =
                members.iter().filter(|(name, value)| !closure.bars_link(name, value) && !is_narrative(name, value));
            let members: Vec<(String, Dom)> =
                stays.filter_map(|(name, value)| Some((name.clone(), spared(closure, value)?))).collect();
            (!members.is_empty()).then_some(Dom::Object(members))
        }
        other => Some(other.clone()),
    }
}

/// Members that stay, at whatever level of arrays; what is empty then goes too, and what a reference says of a record.
fn inside(closure: &Closure<'_>, value: &Dom, keep: &dyn Fn(&str, &Dom) -> Option<Dom>) -> Option<Dom> {
    match value {
        Dom::Array(items) => {
            let items: Vec<Dom> = items.iter().filter_map(|item| inside(closure, item, keep)).collect();
            (!items.is_empty()).then_some(Dom::Array(items))
        }
        Dom::Object(_) if closure.bars_reference(value) => None,
        Dom::Object(members) => {
            let reference = value.text_of("reference");
            let repeats = |name: &str| match name {
                "display" => reference.is_some_and(leads_to_record),
                "identifier" => reference.is_some(),
                _ => false,
            };
            let member = |(name, value): &(String, Dom)| {
                let value = if repeats(name) { None } else { keep(name, value) };
                Some((name.clone(), value?))
            };
            let members: Vec<(String, Dom)> = members.iter().filter_map(member).collect();
            (!members.is_empty()).then_some(Dom::Object(members))
        }
        _ => None,
    }
}

/// Whether `name` is the choice element `base` with a type.
fn chosen(name: &str, base: &str) -> bool {
    name.strip_prefix(base).is_some_and(|suffix| CHOICES.contains(&suffix))
}

/// A reference to the patient and nothing beside it.
fn bare(closure: &Closure<'_>, value: &Dom) -> Option<Dom> {
    match value {
        Dom::Array(items) => {
            let items: Vec<Dom> = items.iter().filter_map(|item| bare(closure, item)).collect();
            (!items.is_empty()).then_some(Dom::Array(items))
        }
        value => {
            let reference = value.get("reference").filter(|_| closure.names_patient(value))?;
            Some(Dom::Object(vec![("reference".to_owned(), reference.clone())]))
        }
    }
}

/// What is kept of the element that names the patient, the reference in any case.
fn with_reference(closure: &Closure<'_>, kept: Dom, value: &Dom) -> Dom {
    let (Dom::Object(mut members), Some(reference)) = (kept.clone(), value.get("reference")) else { return kept };
    if closure.names_patient(value) && !members.iter().any(|(name, _)| name == "reference") {
        members.push(("reference".to_owned(), reference.clone()));
    }
    Dom::Object(members)
}

/// Version, time and labels stay of `meta`, of a whole resource everything; the tag says that it is not complete.
fn meta_of(closure: &Closure<'_>, meta: &Dom, whole: bool, cuts: bool) -> Dom {
    let stays = |name: &str| name != "tag" && (whole || ["versionId", "lastUpdated", "security"].contains(&name));
    let mut kept = Vec::new();
    for (name, value) in meta.members().iter().filter(|(name, _)| stays(name)) {
        let value = match (whole, cuts) {
            (true, true) => spared(closure, value),
            (true, false) => Some(value.clone()),
            (false, _) => cleaned(closure, name, value),
        };
        kept.extend(value.map(|value| (name.clone(), value)));
    }
    let mut tags: Vec<Dom> = meta.get("tag").map(Dom::items).filter(|_| whole).unwrap_or_default().to_vec();
    tags.push(Dom::Object(SUBSETTED.map(|(name, text)| (name.to_owned(), Dom::Text(text.to_owned()))).to_vec()));
    kept.push(("tag".to_owned(), Dom::Array(tags)));
    Dom::Object(kept)
}

/// Whether something in it holds a modifier extension.
fn modifies(value: &Dom) -> bool {
    value.get("modifierExtension").is_some()
        || value.items().iter().any(modifies)
        || value.members().iter().any(|(_, value)| modifies(value))
}

/// The EHR's address becomes the gateway's.
pub(super) fn addressed(value: &Dom) -> Dom {
    match value {
        Dom::Text(text) => Dom::Text(readdressed(text)),
        Dom::Array(items) => Dom::Array(items.iter().map(addressed).collect()),
        Dom::Object(members) => {
            Dom::Object(members.iter().map(|(name, value)| (name.clone(), addressed(value))).collect())
        }
        other => other.clone(),
    }
}

/// The base counts where it ends as a URL's base does: `http://ehr/r4` is not in `http://ehr/r42`.
fn readdressed(text: &str) -> String {
    let mut pieces = text.split(EHR);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let goes_on = piece.starts_with(|next: char| next.is_ascii_alphanumeric() || "-_.%~".contains(next));
        out.push_str(if goes_on { EHR } else { GATEWAY });
        out.push_str(piece);
    }
    out
}
