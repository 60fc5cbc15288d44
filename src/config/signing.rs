//! `[organization]` and `[signing]`: in whose name the gateway speaks, and how it signs what it answers.
//!
//! Takes: the sections. Gives: an [`Organization`], stated or made of the base URL, and a [`Signing`] whose key, certificate and
//! organisation belong together. Refuses: a key that is not that of the certificate, a certificate that is not for signatures or
//! does not name the organisation, systems of identifiers that no name in a certificate stands for.
//!
//! Whether the certificate is valid is a matter of the day: see [`crate::start`].

use std::sync::Arc;

use super::load::some_text;
use super::raw::Section;
use super::{Certificates, HttpUrl, Organization, PrivateKey, Signing};
use crate::signature::{Dialect, Identities, NameKind, Signer, SignerError};

/// The system of identifiers that are URIs.
const URIS: &str = "urn:ietf:rfc:3986";

pub(super) fn organization(mut section: Section<'_>, base_url: Option<&HttpUrl>) -> Option<Organization> {
    let identifier = section.text("identifier", identifier);
    let name = section.text("name", some_text);
    let is_readable = identifier.is_some() || !section.has("identifier");
    let base_url = base_url.filter(|_| is_readable)?;
    let (system, value) = identifier.unwrap_or_else(|| (URIS.to_owned(), base_url.as_str().to_owned()));
    Some(Organization { system, value, name: name.unwrap_or_else(|| base_url.host().to_owned()) })
}

pub(super) fn signing(mut section: Section<'_>, organization: Option<&Organization>) -> Option<Signing> {
    let certificate = section.required_file("certificate", Certificates::read);
    let key = section.required_file("key", PrivateKey::read);
    let mut identities = Some(Identities::default());
    for (system, kind) in section.section("names").free_texts() {
        let Some(kind) = NameKind::parse(&kind) else {
            section.problem("names", format_args!("{system}: must be \"uri\" or an OID such as 2.16.840.1.113883.4.6"));
            identities = None;
            continue;
        };
        identities = identities.map(|identities| identities.with(system, kind));
    }
    let identities = identities?;
    let (certificate, key, organization) = (certificate?, key?, organization?);
    let who = (organization.system.as_str(), organization.value.as_str());
    match Signer::new(key.expose_pem(), certificate.pem(), who, &identities) {
        Ok(signer) => {
            Some(Signing { certificate, key, signer: Arc::new(signer.with_display(organization.name.clone())) })
        }
        Err(error) => {
            let place = match error {
                SignerError::Key | SignerError::KeyAndCertificate => "key",
                SignerError::Chain | SignerError::KeyUsage | SignerError::Who => "certificate",
            };
            section.problem(place, error);
            None
        }
    }
}

/// `signed_answers` of a client.
pub(super) fn dialect(text: &str) -> Result<Dialect, &'static str> {
    text.parse().map_err(|_| "must be \"2.1.0\" or \"ci\"")
}

fn identifier(text: &str) -> Result<(String, String), &'static str> {
    let parts = text.split_once('|').filter(|(system, value)| !system.is_empty() && !value.trim().is_empty());
    parts.map(|(system, value)| (system.to_owned(), value.to_owned())).ok_or("must be system|value")
}
