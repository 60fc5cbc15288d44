//! `[[issuer]]`: authorization servers whose tokens are accepted, and where their keys come from.
//!
//! Takes: the sections. Gives: every [`Issuer`]. Refuses: symmetric algorithms, key sets with unsound keys, two
//! entries for one issuer, an issuer whose keys fit none of its algorithms.

use super::load::{secure_url, some_text};
use super::raw::Section;
use super::{Certificates, File, Issuer, KeySource, RequiredClaim};
use crate::limits;
use crate::oauth::key_set::KeyFault;
use crate::oauth::{Algorithm, KeySet};

/// RFC 9068 section 2.1; `application/at+jwt` is the same type.
const TOKEN_TYPE: &str = "at+jwt";
/// The longest that a site may allow: a day.
const TOKEN_SECONDS_MAX: u64 = 86_400;

/// What was read: the names even of incomplete entries, so that clients are checked against them.
pub(super) struct Issuers {
    pub(super) names: Vec<String>,
    pub(super) complete: Option<Vec<Issuer>>,
}

pub(super) fn issuers(sections: Vec<Section<'_>>, base_url: Option<&str>) -> Issuers {
    let mut names = Vec::new();
    let mut issuers = Vec::new();
    for mut section in sections {
        let name = section.required_text("issuer", identifier);
        if let Some(name) = &name {
            if names.contains(name) {
                section.problem("issuer", "has two entries");
            }
            names.push(name.clone());
        }
        issuers.push(issuer(section, name, base_url));
    }
    Issuers { names, complete: issuers.into_iter().collect() }
}

fn issuer(mut section: Section<'_>, name: Option<String>, base_url: Option<&str>) -> Option<Issuer> {
    let audience = section.text("audience", some_text).or_else(|| base_url.map(str::to_owned));
    let keys = key_source(&mut section);
    let algorithms = section.required_texts("algorithms", |text| {
        Algorithm::parse(text).ok_or("not an asymmetric signature algorithm such as RS384 or ES384")
    });
    let token_types = section.texts("token_types", token_type);
    let token_endpoint = section.text("token_endpoint", secure_url);
    let scopes_supported = section.texts("scopes_supported", some_text);
    let require = section.texts("require", |text| match text {
        "iat" => Ok(RequiredClaim::Iat),
        "jti" => Ok(RequiredClaim::Jti),
        "nbf" => Ok(RequiredClaim::Nbf),
        _ => Err("no claim to require; there are \"iat\", \"jti\" and \"nbf\""),
    });
    let seconds = section.integer("token_seconds", 1..=TOKEN_SECONDS_MAX).and_then(|value| i64::try_from(value).ok());
    if token_types.as_ref().is_some_and(Vec::is_empty) {
        section.problem("token_types", "must not be empty");
    }
    if let (Some(KeySource::File { keys, .. }), Some(algorithms)) = (&keys, &algorithms) {
        for algorithm in algorithms {
            if !keys.keys().iter().any(|key| key.fits(*algorithm)) {
                section.problem("algorithms", format_args!("no key in jwks_file fits {algorithm}"));
            }
        }
    }
    Some(Issuer {
        issuer: name?,
        audience: audience?,
        keys: keys?,
        algorithms: algorithms?,
        token_types: token_types.unwrap_or_else(|| vec![TOKEN_TYPE.to_owned()]),
        token_endpoint,
        scopes_supported: scopes_supported.unwrap_or_default(),
        require: require.unwrap_or_default(),
        token_seconds: seconds.unwrap_or(limits::TOKEN_LIFE_SECONDS),
    })
}

fn key_source(section: &mut Section<'_>) -> Option<KeySource> {
    let file = section.file("jwks_file", |path| {
        let file = File::read(path, limits::KEY_SET_BYTES as u64)?;
        let keys = KeySet::parse(file.bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
        let unsound = keys.refused().iter().find(|refused| refused.fault != KeyFault::NotForSignatures);
        match unsound {
            Some(refused) => {
                let kid = refused.kid.as_deref().unwrap_or("without kid");
                Err(format!("{}: key {kid}: {}", path.display(), refused.fault))
            }
            None => Ok(KeySource::File { path: path.to_owned(), keys }),
        }
    });
    let url = section.text("jwks_url", secure_url);
    let ca = section.file("jwks_ca", Certificates::read);
    if section.has("jwks_ca") && !url.as_ref().is_some_and(super::HttpUrl::is_https) {
        section.problem("jwks_ca", "has no use without an https jwks_url");
    }
    match (section.has("jwks_file"), section.has("jwks_url")) {
        (true, true) => section.problem("jwks_url", "contradicts jwks_file: choose one"),
        (false, false) => section.problem("jwks_file", "is missing: state jwks_file or jwks_url"),
        _ => {}
    }
    file.or_else(|| url.map(|url| KeySource::Url { url, ca }))
}

/// An issuer identifier (RFC 8414 section 2). A slash at its end is part of it.
fn identifier(text: &str) -> Result<String, &'static str> {
    secure_url(text).map(|url| url.as_str().to_owned())
}

/// The type without the prefix that RFC 7515 section 4.1.9 lets senders leave out, in lower case.
fn token_type(text: &str) -> Result<String, &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    let short = text.strip_prefix("application/").unwrap_or(text);
    if short.bytes().all(allowed) { Ok(short.to_ascii_lowercase()) } else { Err("not a media type such as at+jwt") }
}
