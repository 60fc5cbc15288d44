//! Security labels, on a resource or within it.

use super::Dom;

const INLINE: &str = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label";

/// Whether the resource carries a label that is withheld.
pub(super) fn withheld(labels: &[(String, Option<String>)], resource: &Dom) -> bool {
    let own = resource.get("meta").map(Dom::each).unwrap_or_default().iter().filter_map(|meta| meta.get("security"));
    let content = resource.get("securityLabel").into_iter();
    let concepts = |value: &Dom| match value.get("coding") {
        Some(codings) => codings.each().iter().any(|coding| is_withheld(labels, coding)),
        None => is_withheld(labels, value),
    };
    own.flat_map(Dom::each).any(|coding| is_withheld(labels, coding))
        || content.flat_map(Dom::each).any(concepts)
        || inline(labels, resource)
}

/// A coding without system or code could mean any, and is read so; case, blanks, slashes at the end and the spelling of the
/// system do not count.
fn is_withheld(labels: &[(String, Option<String>)], coding: &Dom) -> bool {
    let plain = |name: &str| coding.text_of(name).unwrap_or_default().trim().to_ascii_lowercase();
    let (system, code) = (system(&plain("system")), plain("code"));
    labels.iter().any(|(of, withheld)| {
        let same_system = system.is_empty() || self::system(&of.to_ascii_lowercase()) == system;
        let same_code = withheld.as_ref().is_none_or(|withheld| code.is_empty() || withheld.to_lowercase() == code);
        same_system && same_code
    })
}

/// The system that a text in small letters means: versions and `https` do not count, those of HL7 version 3 have several names.
fn system(text: &str) -> String {
    let plain = text.split('|').next().unwrap_or_default().trim_end().trim_end_matches('/');
    let plain = plain.replacen("https://", "http://", usize::from(plain.starts_with("https://")));
    let oid = plain.strip_prefix("urn:oid:").unwrap_or(&plain);
    match (oid, plain.strip_prefix("http://hl7.org/fhir/v3/")) {
        ("2.16.840.1.113883.5.4", _) => "http://terminology.hl7.org/codesystem/v3-actcode".to_owned(),
        (_, Some(name)) if !name.contains('/') => format!("http://terminology.hl7.org/codesystem/v3-{name}"),
        _ => plain,
    }
}

/// Whatever has the extension's URL is taken for it, wherever it stands.
fn inline(labels: &[(String, Option<String>)], value: &Dom) -> bool {
    let values = value.members().iter().filter(|(name, _)| name.starts_with("value")).map(|(_, value)| value);
    let labelled = value.text_of("url") == Some(INLINE) && values.into_iter().any(|value| is_withheld(labels, value));
    labelled
        || value.items().iter().any(|item| inline(labels, item))
        || value.members().iter().any(|(_, member)| inline(labels, member))
}
