//! The invented clinic: three patients, their payers, and who is on whose roster.
//!
//! Takes: nothing. Gives: Bundles to load into an [`super::ehr::Ehr`], and a roster. Guarantees: wholly synthetic;
//! codes are LOINC, SNOMED CT and ICD-10-CM.
//!
//! Maren Holt and Tobias Okafor are members of the Lanternfield Health Plan, Maren since 2024-01-01 and Tobias since
//! 2023-07-01; Maren's earlier years belong to another payer. Ines Brandt was never a member. Among Maren's records
//! some carry labels (substance use, psychiatry, HIV), one should and does not (`maren-hiv-2024`), some lie outside her
//! coverage or have no date, and some (a questionnaire, her smoking) are no part of what a payer asks for.

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

#[cfg(test)]
mod tests;
