//! The invented clinic: three patients, their payers, and who is on whose roster.
//!
//! Takes: nothing. Gives: Bundles to load into an [`super::ehr::Ehr`], and a roster. Guarantees: wholly synthetic;
//! codes are LOINC, SNOMED CT and ICD-10-CM.
//!
//! Maren Holt and Tobias Okafor are members of the Lanternfield Health Plan, Maren since 2024-01-01 and Tobias since
//! 2023-07-01; Maren's earlier years belong to another payer. Ines Brandt was never a member. Among Maren's records
//! some carry labels (substance use, psychiatry, HIV), one should and does not (`maren-hiv-2024`), some lie outside her
//! coverage or have no date, and some (a questionnaire, her smoking) are no part of what a payer asks for.
//!
//! Beside them, [`ELSEWHERE`] holds what only the demonstration shows: a result that nobody answers for, and two of a laboratory
//! whose results are signed, of which one was changed by a byte after that. The laboratory's keys were thrown away; its
//! certificates are valid until 2049.

use super::ehr::{RecordError, Records};

/// Clinic, payers, laboratory and practitioners: what is not patient data.
pub const DIRECTORY: &str = include_str!("data/directory.json");

/// The member with the long record: coverage, encounters, conditions.
pub const MAREN: &str = include_str!("data/maren.json");

/// Maren's allergy, medication, report, documents, and where they came from.
pub const MAREN_CARE: &str = include_str!("data/maren-care.json");

/// Maren's observations.
pub const MAREN_OBSERVATIONS: &str = include_str!("data/maren-observations.json");

/// The second member.
pub const TOBIAS: &str = include_str!("data/tobias.json");

/// The patient who is no member.
pub const INES: &str = include_str!("data/ines.json");

/// Every Bundle of the clinic.
pub const EVERYTHING: &[&str] = &[DIRECTORY, MAREN, MAREN_CARE, MAREN_OBSERVATIONS, TOBIAS, INES];

/// Results of Maren's from elsewhere: unattributed, signed, and broken.
pub const ELSEWHERE: &str = include_str!("data/elsewhere.json");

/// The clinic's registry of sources, in which the other laboratory's signatures are demanded.
pub const SOURCES: &str = include_str!("data/sources.toml");

/// The name of a file that holds [`SOURCES`].
pub const SOURCES_FILE: &str = "sources.toml";

/// The authority of the other laboratory's certificate, as PEM.
pub const LABORATORY_AUTHORITY: &str = include_str!("data/riverbend-authority.crt");

/// The name by which [`SOURCES`] names a file that holds [`LABORATORY_AUTHORITY`].
pub const LABORATORY_AUTHORITY_FILE: &str = "riverbend-authority.crt";

/// Who is on the payer's roster, as `patient,roster,member_id,start,end`.
pub const ROSTER: &str = include_str!("data/roster.csv");

/// The name of a file that holds [`ROSTER`].
pub const ROSTER_FILE: &str = "roster.csv";

/// The whole clinic, loaded.
pub fn records() -> Result<Records, RecordError> {
    let mut records = Records::new();
    for bundle in EVERYTHING {
        records.load(bundle)?;
    }
    Ok(records)
}

/// The whole clinic and what came from elsewhere, loaded.
pub fn records_and_elsewhere() -> Result<Records, RecordError> {
    let mut records = records()?;
    records.load(ELSEWHERE)?;
    Ok(records)
}

#[cfg(test)]
mod tests;
