//! Names of code systems: one system, many spellings.
//!
//! Takes: the `system` of a coding, as records have it. Gives: the one name under which it is compared. Guarantees: the
//! spellings that R4, its predecessors, CDA and SNOMED CT's editions have for a system here are one; others stay apart.
//! Refuses: nothing; what is not known is its own name.

use std::borrow::Cow;

/// OIDs, which records that came out of CDA have, and the URIs of the systems.
const OIDS: &[(&str, &str)] = &[
    ("2.16.840.1.113883.6.96", SNOMED_CT),
    ("2.16.840.1.113883.6.1", "http://loinc.org"),
    ("2.16.840.1.113883.6.88", "http://www.nlm.nih.gov/research/umls/rxnorm"),
    ("2.16.840.1.113883.6.90", ICD_10_CM),
    ("2.16.840.1.113883.6.3", ICD_10_CM),
    ("2.16.840.1.113883.5.4", "http://terminology.hl7.org/CodeSystem/v3-ActCode"),
    ("2.16.840.1.113883.5.8", "http://terminology.hl7.org/CodeSystem/v3-ActReason"),
    ("2.16.840.1.113883.5.25", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"),
    ("2.16.840.1.113883.5.1063", "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"),
];

const SNOMED_CT: &str = "http://snomed.info/sct";

const ICD_10_CM: &str = "http://hl7.org/fhir/sid/icd-10-cm";

/// Where ICD-10 and its national extensions are: the categories mean the same.
const ICD_10: &[&str] = &[
    "http://hl7.org/fhir/sid/icd-10",
    "http://fhir.de/codesystem/bfarm/icd-10",
    "http://fhir.de/codesystem/dimdi/icd-10",
];

/// A system of procedures, whose codes look like those of ICD-10 and mean something else.
const ICD_10_PCS: &str = "http://hl7.org/fhir/sid/icd-10-pcs";

/// Where R4 has the code systems of HL7 version 3, and where its predecessors had them.
const VERSION_3: &str = "http://terminology.hl7.org/CodeSystem/v3-";
const VERSION_3_BEFORE: &str = "http://hl7.org/fhir/v3/";

/// The one name of a code system: without blanks around it, a version behind `|`, slashes at the end and the `s` of
/// `https`. What is left is compared without regard to case.
pub fn one_name(system: &str) -> Cow<'_, str> {
    let system = system.trim();
    let system = system.split_once('|').map_or(system, |(system, _)| system).trim_end().trim_end_matches('/');
    if let Some(oid) = oid(system) {
        return OIDS
            .iter()
            .find(|(known, _)| *known == oid)
            .map_or(Cow::Borrowed(oid), |(_, name)| Cow::Borrowed(*name));
    }
    let system = match after(system, "https://") {
        Some(rest) => Cow::Owned(format!("http://{rest}")),
        None => Cow::Borrowed(system),
    };
    if let Some(name) = after(&system, VERSION_3_BEFORE).filter(|name| !name.contains('/')) {
        return format!("{VERSION_3}{name}").into();
    }
    if after(&system, SNOMED_CT).is_some_and(|edition| edition.starts_with('/')) {
        return Cow::Borrowed(SNOMED_CT);
    }
    let is_icd_10 = ICD_10.iter().any(|begin| after(&system, begin).is_some()) && after(&system, ICD_10_PCS).is_none();
    if is_icd_10 { Cow::Borrowed(ICD_10_CM) } else { system }
}

/// What follows `begin`, in whatever case that is written.
fn after<'t>(text: &'t str, begin: &str) -> Option<&'t str> {
    text.get(..begin.len()).filter(|start| start.eq_ignore_ascii_case(begin))?;
    text.get(begin.len()..)
}

/// The numbers of an OID, with or without `urn:oid:`.
fn oid(system: &str) -> Option<&str> {
    let numbers = after(system, "urn:oid:").unwrap_or(system);
    let plain = numbers.starts_with(|first: char| first.is_ascii_digit());
    (plain && numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_system_are_one_name() {
        for (spelling, name) in [
            ("http://snomed.info/sct", SNOMED_CT),
            ("https://snomed.info/sct/ ", SNOMED_CT),
            ("http://snomed.info/sct/900000000000207008/version/20240901", SNOMED_CT),
            ("http://SNOMED.info/sct|2024", SNOMED_CT),
            ("2.16.840.1.113883.6.96", SNOMED_CT),
            ("URN:OID:2.16.840.1.113883.6.96", SNOMED_CT),
            ("2.16.840.1.113883.6.1", "http://loinc.org"),
            ("http://hl7.org/fhir/sid/icd-10", ICD_10_CM),
            ("http://hl7.org/fhir/sid/icd-10-cm", ICD_10_CM),
            ("http://hl7.org/fhir/sid/icd-10-us", ICD_10_CM),
            ("http://fhir.de/CodeSystem/bfarm/icd-10-gm", ICD_10_CM),
            ("http://hl7.org/fhir/v3/ActCode", "http://terminology.hl7.org/CodeSystem/v3-ActCode"),
            ("https://hl7.org/fhir/v3/ActCode/", "http://terminology.hl7.org/CodeSystem/v3-ActCode"),
            ("urn:oid:2.16.840.1.113883.5.4", "http://terminology.hl7.org/CodeSystem/v3-ActCode"),
            ("2.16.840.1.113883.5.25", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"),
            (
                "https://terminology.hl7.org/CodeSystem/v3-ActCode|8.0",
                "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            ),
        ] {
            assert!(one_name(spelling).eq_ignore_ascii_case(name), "{spelling}: {}", one_name(spelling));
        }
        for other in [
            "http://snomed.info/sctx",
            "http://hl7.org/fhir/sid/icd-10-pcs",
            "http://hl7.org/fhir/sid/icd-9-cm",
            "http://hl7.org/fhir/v3/vs/ActCode",
            "2.16.840.1.113883.6.960",
            "urn:uuid:0",
            "",
        ] {
            assert_eq!(one_name(other), other);
        }
    }
}
