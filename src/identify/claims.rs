//! The payload of an access token (RFC 9068, RFC 7519): what it must say, and what is taken from it.
//!
//! Takes: the payload as JSON and what is expected of its issuer. Gives: [`Claims`]. Guarantees: nothing is
//! guessed; a claim of the wrong type refuses the token. Refuses: other audiences, times outside the leeway, lives
//! that are too long, bindings that are not checked here, several purposes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{IdentifyError, Purpose, Scopes};
use crate::clock::Now;
use crate::config::{Issuer, RequiredClaim};
use crate::fhir::json::{Kind, Value};
use crate::limits;

/// A member beside `x5t#S256` in `cnf` that Keycloak writes and that adds no binding.
const HARMLESS_CONFIRMATION: &str = "kc-jkt-type";

/// What a token says, as far as it counts.
pub(super) struct Claims {
    pub(super) client_id: String,
    pub(super) scopes: Scopes,
    /// The one purpose it states.
    pub(super) purpose: Option<Purpose>,
    pub(super) organization: Option<String>,
    pub(super) token_id: Option<String>,
    /// Seconds since the Unix epoch.
    pub(super) expires: i64,
    pub(super) not_before: Option<i64>,
    /// `cnf.x5t#S256`: the certificate it is bound to.
    pub(super) thumbprint: Option<[u8; 32]>,
}

impl Claims {
    /// Reads the payload of a token whose `iss` has named `issuer`.
    pub(super) fn read(payload: Value<'_>, issuer: &Issuer, now: Now) -> Result<Self, IdentifyError> {
        check_audience(payload, &issuer.audience)?;
        let expires = time(payload, "exp")?.ok_or(refused("exp is missing"))?;
        let not_before = time(payload, "nbf")?;
        let issued = time(payload, "iat")?;
        check_times(issuer, expires, not_before, issued, now)?;
        let token_id = text(payload, "jti", "jti is not a text")?;
        for claim in &issuer.require {
            let (there, reason) = match claim {
                RequiredClaim::Iat => (issued.is_some(), "iat is missing"),
                RequiredClaim::Jti => (token_id.is_some(), "jti is missing"),
                RequiredClaim::Nbf => (not_before.is_some(), "nbf is missing"),
            };
            if !there {
                return Err(refused(reason));
            }
        }
        text(payload, "sub", "sub is not a text")?;
        let authorized_party = text(payload, "azp", "azp is not a text")?;
        let client_id = text(payload, "client_id", "client_id is not a text")?.or(authorized_party);
        let scope = text(payload, "scope", "scope is not a text")?.unwrap_or_default();
        if scope.split(' ').count() > limits::TOKEN_SCOPES {
            return Err(refused("too many scopes"));
        }
        let context = payload.get("extensions").map(Context::read).transpose()?.unwrap_or_default();
        let mut stated = Stated(context.purpose);
        stated.add_each(payload.get("purpose_of_use"))?;
        Ok(Self {
            client_id: client_id.ok_or(refused("neither client_id nor azp"))?,
            scopes: Scopes::parse(&scope),
            purpose: stated.0,
            organization: one_organization(
                text(payload, "organization_id", "organization_id is not a text")?,
                context.organization,
            )?,
            token_id,
            expires,
            not_before,
            thumbprint: payload.get("cnf").map(confirmation).transpose()?,
        })
    }
}

fn refused(reason: &'static str) -> IdentifyError {
    IdentifyError::InvalidToken(reason)
}

fn check_audience(payload: Value<'_>, expected: &str) -> Result<(), IdentifyError> {
    let audience = payload.get("aud").ok_or(refused("aud is missing"))?;
    let mut found = false;
    for item in audience.each() {
        let item = item.text().ok_or(refused("aud is neither a text nor texts"))?;
        found |= item == expected;
    }
    if found { Ok(()) } else { Err(refused("aud does not name this gateway")) }
}

fn check_times(
    issuer: &Issuer,
    expires: i64,
    not_before: Option<i64>,
    issued: Option<i64>,
    now: Now,
) -> Result<(), IdentifyError> {
    let now = now.unix_seconds();
    let soon = now.saturating_add(limits::CLOCK_SKEW_SECONDS);
    if now >= expires.saturating_add(limits::CLOCK_SKEW_SECONDS) {
        return Err(refused("expired"));
    }
    if not_before.is_some_and(|time| time > soon) {
        return Err(refused("not valid yet"));
    }
    if issued.is_some_and(|time| time > soon) {
        return Err(refused("issued in the future"));
    }
    let from_issue = issued.map_or(0, |time| expires.saturating_sub(time));
    if from_issue > issuer.token_seconds || expires.saturating_sub(soon) > issuer.token_seconds {
        return Err(refused("lives too long"));
    }
    Ok(())
}

/// A NumericDate as a whole number of seconds; fractions, exponents and texts are no date.
fn time(payload: Value<'_>, name: &'static str) -> Result<Option<i64>, IdentifyError> {
    let Some(value) = payload.get(name) else { return Ok(None) };
    let digits = value.raw();
    let whole = value.kind() == Kind::Number && digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.parse().ok().filter(|_| whole);
    seconds.map(Some).ok_or(refused("a time is not a whole number of seconds"))
}

fn text(object: Value<'_>, name: &str, reason: &'static str) -> Result<Option<String>, IdentifyError> {
    object.get(name).map(|value| value.text().map(|text| text.into_owned()).ok_or(refused(reason))).transpose()
}

/// The certificate a token is bound to (RFC 8705 section 3.1). A binding that nobody checks is worse than none.
fn confirmation(cnf: Value<'_>) -> Result<[u8; 32], IdentifyError> {
    if cnf.get("jkt").is_some() {
        return Err(refused("bound by DPoP and sent as a bearer token"));
    }
    let thumbprint = cnf.get("x5t#S256").ok_or(refused("cnf holds nothing that is checked here"))?;
    if cnf.members().any(|member| member.name != "x5t#S256" && member.name != HARMLESS_CONFIRMATION) {
        return Err(refused("cnf holds more than is checked here"));
    }
    let encoded = thumbprint.text().unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(encoded.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(refused("x5t#S256 is not a thumbprint"))
}

/// The purposes stated so far: none or one.
#[derive(Default)]
struct Stated(Option<Purpose>);

impl Stated {
    /// Adds a text, a coding, or an array of them.
    fn add_each(&mut self, values: Option<Value<'_>>) -> Result<(), IdentifyError> {
        let Some(values) = values else { return Ok(()) };
        let mut empty = true;
        for value in values.each() {
            empty = false;
            let purpose = match (value.text(), value.get("system"), value.get("code")) {
                (Some(text), _, _) => Purpose::parse_qualified(&text),
                (None, Some(system), Some(code)) => {
                    system.text().zip(code.text()).and_then(|(system, code)| Purpose::parse_coding(&system, &code))
                }
                _ => None,
            };
            let purpose = purpose.ok_or(IdentifyError::PurposeNotAllowed("not a code of v3-ActReason"))?;
            if self.0.is_some_and(|other| other != purpose) {
                return Err(IdentifyError::PurposeNotAllowed("the token states several"));
            }
            self.0 = Some(purpose);
        }
        if empty { Err(IdentifyError::PurposeNotAllowed("an empty list")) } else { Ok(()) }
    }
}

/// Purpose and organization from `extensions`: UDAP `hl7-b2b` and IHE IUA.
#[derive(Default)]
struct Context {
    purpose: Option<Purpose>,
    organization: Option<String>,
}

impl Context {
    fn read(extensions: Value<'_>) -> Result<Self, IdentifyError> {
        if extensions.kind() != Kind::Object {
            return Err(refused("extensions is not an object"));
        }
        let mut stated = Stated::default();
        let mut organization = None;
        if let Some(b2b) = extensions.get("hl7-b2b") {
            let purposes = b2b.get("purpose_of_use");
            if b2b.get("version").and_then(Value::text).as_deref() != Some("1") {
                return Err(refused("hl7-b2b is not of version 1"));
            }
            if purposes.is_none_or(|purposes| purposes.kind() != Kind::Array) {
                return Err(refused("hl7-b2b states no array of purposes"));
            }
            stated.add_each(purposes)?;
            organization = text(b2b, "organization_id", "organization_id is not a text")?;
        }
        stated.add_each(extensions.get("ihe_iua").and_then(|iua| iua.get("purpose_of_use")))?;
        Ok(Self { purpose: stated.0, organization })
    }
}

fn one_organization(left: Option<String>, right: Option<String>) -> Result<Option<String>, IdentifyError> {
    match (left, right) {
        (Some(left), Some(right)) if left != right => Err(refused("two organizations")),
        (left, right) => Ok(left.or(right)),
    }
}
