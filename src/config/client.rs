//! `[[client]]`: who may ask, how it proves that it is there, and the most it may be granted.
//!
//! Takes: the sections, the issuers and how client certificates are asked for. Gives: every [`Registration`].
//! Refuses: an unknown issuer, a repeated id or certificate, purposes and scopes that do not exist, and proofs
//! that can never be given because no certificate is asked for;
//! signed answers where nothing signs.

use super::load::some_text;
use super::raw::Section;
use super::signing::dialect;
use super::{CertificateMatch, ClientCertificates, Proof, Registration};
use crate::limits;
use crate::oauth::{Grant, Purpose, Scopes};

pub(super) fn clients(
    sections: Vec<Section<'_>>,
    issuers: &[String],
    certificates: Option<ClientCertificates>,
    signs: bool,
) -> Option<Vec<Registration>> {
    let mut ids = Vec::new();
    let mut matches: Vec<CertificateMatch> = Vec::new();
    let mut clients = Vec::new();
    for mut section in sections {
        let id = section.required_text("id", client_id);
        if let Some(id) = &id {
            if ids.contains(id) {
                section.problem("id", "is the id of two clients");
            }
            ids.push(id.clone());
        }
        let certificate = certificate(&mut section);
        if let Some(certificate) = &certificate {
            if matches.contains(certificate) {
                section.problem("certificate", "is the certificate of two clients");
            }
            matches.push(certificate.clone());
        }
        if section.has("certificate") && certificates == Some(ClientCertificates::Off) {
            section.problem("certificate", "can never be shown: [listen.tls] asks for no client certificates");
        }
        let signed_answers = section.text("signed_answers", dialect);
        if section.has("signed_answers") && !signs {
            section.problem("signed_answers", "cannot be given: there is no [signing] to sign with");
        }
        let client = client(section, id, certificate, issuers, certificates);
        clients.push(client.map(|client| Registration { signed_answers, ..client }));
    }
    clients.into_iter().collect()
}

fn client(
    mut section: Section<'_>,
    id: Option<String>,
    certificate: Option<CertificateMatch>,
    issuers: &[String],
    certificates: Option<ClientCertificates>,
) -> Option<Registration> {
    let organization = section.required_text("organization", uri);
    let issuer = section.text("issuer", some_text);
    let purposes = section.required_texts("purposes", purpose);
    let own_purpose = section.text("purpose", purpose);
    let scopes = section.required_texts("scopes", Grant::parse);
    let bound = section.boolean("bound").unwrap_or(false);
    let attributes = section.section("attributes").free_texts();

    if issuer.as_ref().is_some_and(|issuer| !issuers.contains(issuer)) {
        section.problem("issuer", "is not the `issuer` of any [[issuer]]");
    }
    if !section.has("issuer") && !section.has("certificate") {
        section.problem("issuer", "is missing: state issuer, certificate or both");
    }
    if bound && !section.has("issuer") {
        section.problem("bound", "is about tokens, and this client has no issuer");
    }
    if bound && certificates == Some(ClientCertificates::Off) {
        section.problem("bound", "can never be met: [listen.tls] asks for no client certificates");
    }
    if let (Some(purposes), Some(own)) = (&purposes, own_purpose)
        && !purposes.contains(&own)
    {
        section.problem("purpose", "is not among purposes");
    }
    let only = purposes.as_ref().filter(|purposes| purposes.len() == 1).and_then(|purposes| purposes.first().copied());
    let purpose = own_purpose.or(only);
    if purpose.is_none() && purposes.is_some() && !section.has("issuer") && !section.has("purpose") {
        section.problem("purpose", "is missing: without a token, one of purposes must be the one that counts");
    }
    if scopes.as_ref().is_some_and(|scopes| scopes.len() > limits::TOKEN_SCOPES) {
        section.problem("scopes", format_args!("must not be more than {}", limits::TOKEN_SCOPES));
    }
    let mut granted = Scopes::default();
    scopes?.into_iter().for_each(|grant| granted.insert(grant));
    let proof = match (issuer, certificate) {
        (Some(issuer), certificate) => Proof::Token { issuer, certificate },
        (None, certificate) => Proof::Certificate(certificate?),
    };
    Some(Registration {
        id: id?,
        organization: organization?,
        proof,
        purposes: purposes?,
        purpose,
        scopes: granted,
        bound,
        signed_answers: None,
        attributes: attributes.into_iter().collect(),
    })
}

fn certificate(section: &mut Section<'_>) -> Option<CertificateMatch> {
    let mut table = section.optional_section("certificate")?;
    let sha256 = table.text("sha256", fingerprint);
    let san_dns = table.text("san_dns", dns_name);
    let san_uri = table.text("san_uri", uri);
    let stated = ["sha256", "san_dns", "san_uri"].into_iter().filter(|name| table.has(name)).count();
    drop(table);
    if stated != 1 {
        section.problem("certificate", "must state one of sha256, san_dns and san_uri");
        return None;
    }
    let names = san_dns.map(CertificateMatch::SanDns).or(san_uri.map(CertificateMatch::SanUri));
    sha256.map(CertificateMatch::Sha256).or(names)
}

fn client_id(text: &str) -> Result<String, &'static str> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=255).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 255 visible ascii characters")
    }
}

fn purpose(text: &str) -> Result<Purpose, &'static str> {
    Purpose::parse(text).ok_or("not a purpose of use of v3-ActReason such as HPAYMT")
}

/// An absolute URI: a scheme and something after it (RFC 3986 section 3).
fn uri(text: &str) -> Result<String, &'static str> {
    let (scheme, rest) = text.split_once(':').ok_or("not an absolute uri")?;
    let scheme_ok = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let rest_ok = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
    if scheme_ok && rest_ok { Ok(text.to_owned()) } else { Err("not an absolute uri") }
}

fn dns_name(text: &str) -> Result<String, &'static str> {
    let name = rustls::pki_types::DnsName::try_from(text).map_err(|_| "not a dns name")?;
    Ok(name.as_ref().to_ascii_lowercase())
}

/// 64 hexadecimal digits, with or without the colons that tools print.
fn fingerprint(text: &str) -> Result<[u8; 32], &'static str> {
    const WRONG: &str = "not 64 hexadecimal digits";
    let digits: Vec<u32> = text
        .chars()
        .filter(|digit| *digit != ':')
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()
        .ok_or(WRONG)?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .filter_map(|pair| match pair {
            [high, low] => u8::try_from(high << 4 | low).ok(),
            _ => None,
        })
        .collect();
    if digits.len() == 64 { bytes.try_into().map_err(|_| WRONG) } else { Err(WRONG) }
}
