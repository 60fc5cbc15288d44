//! Purpose of use: the codes of v3-ActReason below `PurposeOfUse`.
//!
//! Takes: a code, alone or qualified by its code system. Gives: [`Purpose`].
//! Refuses: other code systems, the abstract root, any other code, another case.

use std::fmt;

/// The code system as a URL.
pub const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
/// The code system as an OID, the form UDAP prefers.
pub const SYSTEM_OID: &str = "urn:oid:2.16.840.1.113883.5.8";

/// Concrete codes of the value set <http://terminology.hl7.org/ValueSet/v3-PurposeOfUse>, v3-ActReason 4.0.0.
const CODES: [&str; 62] = [
    "BIORCH",
    "BTG",
    "CAREMGT",
    "CLINTRCH",
    "CLINTRCHNPC",
    "CLINTRCHPC",
    "CLINTRL",
    "CLMATTCH",
    "COC",
    "COVAUTH",
    "COVERAGE",
    "DISASTER",
    "DONAT",
    "DSRCH",
    "ELIGDTRM",
    "ELIGVER",
    "ENROLLM",
    "ERTREAT",
    "ETREAT",
    "FAMRQT",
    "FRAUD",
    "GOV",
    "HACCRED",
    "HCOMPL",
    "HDECD",
    "HDIRECT",
    "HDM",
    "HLEGAL",
    "HMARKT",
    "HOPERAT",
    "HOUTCOMS",
    "HPAYMT",
    "HPRGRP",
    "HQUALIMP",
    "HRESCH",
    "HSYSADMIN",
    "HTEST",
    "LABELING",
    "MEMADMIN",
    "METAMGT",
    "MILCDM",
    "MILDCRG",
    "MLTRAINING",
    "PATADMIN",
    "PATRQT",
    "PATSFTY",
    "PERFMSR",
    "PMTDS",
    "POARCH",
    "POPHLTH",
    "PRECLINTRCH",
    "PUBHLTH",
    "PWATRNY",
    "RECORDMGT",
    "REMITADV",
    "SUPNWK",
    "SYSDEV",
    "THREAT",
    "TRAIN",
    "TRANSRCH",
    "TREAT",
    "TREATDS",
];

/// One concrete purpose of use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Purpose(&'static str);

impl Purpose {
    /// The purpose of a bare code.
    pub fn parse(code: &str) -> Option<Self> {
        let index = CODES.binary_search(&code).ok()?;
        CODES.get(index).copied().map(Self)
    }

    /// The purpose of `system#code` or of a bare code, as tokens state it.
    pub fn parse_qualified(text: &str) -> Option<Self> {
        match text.split_once('#') {
            Some((system, code)) => Self::parse_coding(system, code),
            None => Self::parse(text),
        }
    }

    /// The purpose of a system and a code.
    pub fn parse_coding(system: &str, code: &str) -> Option<Self> {
        if system == SYSTEM || system == SYSTEM_OID { Self::parse(code) } else { None }
    }

    /// The code.
    pub fn code(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_purpose_is_the_same() {
        let payment = Purpose::parse("HPAYMT").unwrap();
        for spelling in [
            "HPAYMT",
            "urn:oid:2.16.840.1.113883.5.8#HPAYMT",
            "http://terminology.hl7.org/CodeSystem/v3-ActReason#HPAYMT",
        ] {
            assert_eq!(Purpose::parse_qualified(spelling), Some(payment), "{spelling}");
        }
        assert_eq!(payment.code(), "HPAYMT");
    }

    #[test]
    fn other_systems_and_codes_are_no_purpose() {
        for refused in [
            "",
            "#HPAYMT",
            "hpaymt",
            "HPAYMT ",
            "PurposeOfUse",
            "T-PYMNT",
            "urn:oid:2.16.840.1.113883.3.7204.1.5.2.1#T-PYMNT",
            "urn:oid:2.16.840.1.113883.5.8#HPAYMT#x",
            "http://terminology.hl7.org/CodeSystem/v3-ActCode#HPAYMT",
            "urn:oid:2.16.840.1.113883.5.8#",
        ] {
            assert_eq!(Purpose::parse_qualified(refused), None, "{refused}");
        }
    }

    #[test]
    fn every_listed_code_is_found() {
        for code in CODES {
            assert_eq!(Purpose::parse(code).map(Purpose::code), Some(code));
        }
    }
}
