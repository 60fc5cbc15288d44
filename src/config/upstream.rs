//! `[upstream]`: the EHR, how it is trusted and how the gateway proves itself to it.
//!
//! Takes: the section. Gives: [`Upstream`]. Refuses: plaintext beyond this machine unless it is asked for, half of
//! a certificate and key, two credentials at once.

use super::load::{any_text, secure_url, some_text};
use super::raw::Section;
use super::{
    Certificates, ClientCredentials, ClientIdentity, HttpUrl, PrivateKey, ProvenanceFrom, SecretFile, Upstream,
    UpstreamCredential,
};

pub(super) fn upstream(mut section: Section<'_>) -> Option<Upstream> {
    let base_url = section.required_text("base_url", HttpUrl::parse_base);
    let allow_plaintext = section.boolean("allow_plaintext").unwrap_or(false);
    let ca = section.file("ca", Certificates::read);
    let client = client_identity(&mut section);
    let bearer = section.file("bearer_token_file", SecretFile::read);
    let credentials = section.optional_section("client_credentials").map(client_credentials);
    if let Some(url) = &base_url {
        if !url.is_https() && !url.is_loopback() && !allow_plaintext {
            let text = "is http beyond this machine: use https, or say allow_plaintext = true";
            section.problem("base_url", text);
        }
        for name in ["ca", "client_certificate"].into_iter().filter(|_| !url.is_https()) {
            if section.has(name) {
                section.problem(name, "has no use while base_url is http");
            }
        }
        if url.is_https() && allow_plaintext {
            section.problem("allow_plaintext", "has no use while base_url is https");
        }
    }
    if section.has("bearer_token_file") && section.has("client_credentials") {
        section.problem("bearer_token_file", "contradicts [upstream.client_credentials]: choose one");
    }
    let provenance = section.text("provenance", |text| match text {
        "include" => Ok(ProvenanceFrom::Include),
        "search" => Ok(ProvenanceFrom::Search),
        _ => Err("must be \"include\" or \"search\""),
    });
    let credential = match (bearer, credentials) {
        (Some(token), _) => UpstreamCredential::Bearer(token),
        (None, Some(credentials)) => UpstreamCredential::ClientCredentials(credentials?),
        (None, None) => UpstreamCredential::None,
    };
    Some(Upstream { base_url: base_url?, ca, client, credential, provenance: provenance.unwrap_or_default() })
}

fn client_identity(section: &mut Section<'_>) -> Option<ClientIdentity> {
    let certificate = section.file("client_certificate", Certificates::read);
    let key = section.file("client_key", PrivateKey::read);
    match (section.has("client_certificate"), section.has("client_key")) {
        (true, false) => section.problem("client_key", "is missing: client_certificate needs its key"),
        (false, true) => section.problem("client_certificate", "is missing: client_key needs its certificate"),
        _ => {}
    }
    let (certificate, key) = (certificate?, key?);
    if !key.is_of(&certificate) {
        section.problem("client_key", "is not the key of client_certificate");
    }
    Some(ClientIdentity { certificate, key })
}

fn client_credentials(mut section: Section<'_>) -> Option<ClientCredentials> {
    let token_endpoint = section.required_text("token_endpoint", secure_url);
    let client_id = section.required_text("client_id", some_text);
    let client_secret = section.required_file("client_secret_file", SecretFile::read);
    let scope = section.text("scope", any_text);
    Some(ClientCredentials {
        token_endpoint: token_endpoint?,
        client_id: client_id?,
        client_secret: client_secret?,
        scope,
    })
}
