//! Bearer tokens (RFC 6750) in the form of signed JWTs (RFC 9068), under the rules of RFC 8725.
//!
//! Takes: the `Authorization` field. Gives: [`Verified`], a client and how long that holds. Guarantees: the key is
//! chosen by issuer, `kid` and an algorithm of the issuer's list, never by anything else in the token; what costs
//! little is checked before the signature. Refuses: `crit` and keys in the header, other types, unsigned tokens.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::Claims;
use super::keys::{KeyRing, KeySnapshot};
use super::{Client, IdentifyError, PeerCertificate};
use crate::clock::Now;
use crate::config::{Issuer, Proof, Registration};
use crate::fhir::json::{Kind, Tape, Value};
use crate::limits;
use crate::oauth::Algorithm;
use crate::outbound::OutboundError;

/// Header members that name or carry a key, or change how the signature is read (RFC 8725 section 3.10, RFC 7797).
const REFUSED_HEADER_MEMBERS: [&str; 6] = ["b64", "crit", "jku", "jwk", "x5c", "x5u"];

/// An issuer, what is expected of its tokens, and its keys.
pub(super) struct TrustedIssuer {
    expected: Issuer,
    keys: Arc<KeyRing>,
}

impl TrustedIssuer {
    pub(super) fn new(issuer: &Issuer) -> Result<Self, OutboundError> {
        Ok(Self::with_keys(issuer, KeyRing::new(&issuer.keys)?))
    }

    pub(super) fn with_keys(issuer: &Issuer, keys: KeyRing) -> Self {
        Self { expected: issuer.clone(), keys: Arc::new(keys) }
    }

    pub(super) fn identifier(&self) -> &str {
        &self.expected.issuer
    }

    pub(super) fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// Checks the header; gives `kid` and algorithm.
    fn check_header(&self, header: Value<'_>) -> Result<(String, Algorithm), IdentifyError> {
        if REFUSED_HEADER_MEMBERS.iter().any(|member| header.get(member).is_some()) {
            return Err(refused("header names a key or an extension"));
        }
        let algorithm = header.get("alg").and_then(Value::text).and_then(|name| Algorithm::parse(&name));
        let algorithm = algorithm.filter(|algorithm| self.expected.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(refused("alg is not among the issuer's"))?;
        let token_type = match header.get("typ") {
            Some(value) => value.text().ok_or(refused("typ is not a text"))?.to_ascii_lowercase(),
            None => String::new(),
        };
        let token_type = token_type.strip_prefix("application/").unwrap_or(&token_type);
        if !self.expected.token_types.iter().any(|accepted| accepted == token_type) {
            return Err(refused("typ is not an access token's"));
        }
        let kid = header.get("kid").and_then(Value::text).ok_or(refused("kid is missing"))?;
        Ok((kid.into_owned(), algorithm))
    }
}

/// A token that was found good, for as long as that need not be looked at again.
pub(super) struct Verified {
    client: Client,
    registration: Arc<Registration>,
    keys: KeySnapshot,
    from: i64,
    until: i64,
    thumbprint: Option<[u8; 32]>,
}

impl Verified {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the token still counts and its key has not been withdrawn.
    pub(super) fn holds(&self, now: Now) -> bool {
        (self.from..self.until).contains(&now.unix_seconds()) && self.keys.is_current()
    }

    /// Checks that the token may be used over this connection.
    pub(super) fn check_connection(&self, certificate: Option<&PeerCertificate>) -> Result<(), IdentifyError> {
        let shown = certificate.map(PeerCertificate::thumbprint);
        if self.thumbprint.is_some() && self.thumbprint.as_ref() != shown {
            return Err(refused("bound to another certificate than the connection's"));
        }
        let owner = certificate.and_then(PeerCertificate::owner);
        let owned = owner.is_some_and(|owner| owner.id == self.registration.id);
        let must_own = matches!(self.registration.proof, Proof::Token { certificate: Some(_), .. });
        if (must_own || owner.is_some()) && !owned {
            return Err(refused("certificate of the connection is not the client's"));
        }
        Ok(())
    }
}

/// What an `Authorization` field offers as a token. Its characters are looked at only if it is not remembered.
pub(super) fn token(authorization: &str) -> Result<&str, IdentifyError> {
    let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > limits::TOKEN_BYTES {
        return Err(IdentifyError::Malformed);
    }
    Ok(token)
}

/// Verifies a token that is not remembered.
pub(super) async fn verify(
    issuers: &[TrustedIssuer],
    clients: &HashMap<String, Arc<Registration>>,
    token: &str,
    now: Now,
) -> Result<Verified, IdentifyError> {
    let signed = Signed::split(token)?;
    let (issuer, kid, algorithm, claims) = {
        let (header, payload) = (decode(signed.header)?, decode(signed.payload)?);
        let (mut header_tape, mut payload_tape) = (Tape::new(), Tape::new());
        let header = object(&mut header_tape, &header)?;
        let payload = object(&mut payload_tape, &payload)?;
        let named = payload.get("iss").and_then(Value::text).ok_or(refused("iss is missing"))?;
        let issuer = issuers.iter().find(|issuer| issuer.identifier() == named).ok_or(refused("unknown issuer"))?;
        let (kid, algorithm) = issuer.check_header(header)?;
        (issuer, kid, algorithm, Claims::read(payload, &issuer.expected, now)?)
    };
    let keys = issuer.keys.find(&kid, algorithm, now).await?;
    let key = keys.set().find(&kid, algorithm).ok_or(refused("no key of this kid fits"))?;
    if !key.verifies(algorithm, signed.message.as_bytes(), signed.signature) {
        return Err(refused("signature"));
    }
    accept(issuer, clients, &claims, keys, now)
}

/// Matches a token whose signature holds with the client it names.
fn accept(
    issuer: &TrustedIssuer,
    clients: &HashMap<String, Arc<Registration>>,
    claims: &Claims,
    keys: KeySnapshot,
    now: Now,
) -> Result<Verified, IdentifyError> {
    let registration = clients.get(&claims.client_id).ok_or(IdentifyError::UnknownClient)?;
    match &registration.proof {
        Proof::Token { issuer: own, .. } if own == issuer.identifier() => {}
        Proof::Token { .. } | Proof::Certificate(_) => return Err(IdentifyError::UnknownClient),
    }
    if registration.bound && claims.thumbprint.is_none() {
        return Err(refused("not bound to a certificate, as the client's must be"));
    }
    if claims.organization.as_ref().is_some_and(|organization| *organization != registration.organization) {
        return Err(refused("organization_id is not the client's"));
    }
    let looked_at = now.unix_seconds();
    let remember = i64::try_from(limits::TOKEN_CACHE_LIFE.as_secs()).unwrap_or_default();
    let until = claims.expires.saturating_add(limits::CLOCK_SKEW_SECONDS);
    let from = claims.not_before.map_or(i64::MIN, |time| time.saturating_sub(limits::CLOCK_SKEW_SECONDS));
    Ok(Verified {
        client: Client::of_token(registration, issuer.identifier(), claims)?,
        registration: Arc::clone(registration),
        from,
        until: until.min(looked_at.saturating_add(remember)).min(keys.expires()),
        thumbprint: claims.thumbprint,
        keys,
    })
}

/// The parts of a compact JWS (RFC 7515 section 3.1).
struct Signed<'t> {
    header: &'t str,
    payload: &'t str,
    signature: &'t str,
    message: &'t str,
}

impl<'t> Signed<'t> {
    fn split(token: &'t str) -> Result<Self, IdentifyError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !token.bytes().all(allowed) {
            return Err(IdentifyError::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(IdentifyError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(IdentifyError::Malformed)?;
        if payload.contains('.') {
            return Err(IdentifyError::Malformed);
        }
        Ok(Self { header, payload, signature, message })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, IdentifyError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| IdentifyError::Malformed)
}

fn object<'d>(tape: &'d mut Tape, bytes: &'d [u8]) -> Result<Value<'d>, IdentifyError> {
    let root = tape.read(bytes).map_err(|_| refused("not json without repeated names"))?.root();
    if root.kind() == Kind::Object { Ok(root) } else { Err(refused("not a json object")) }
}

fn refused(reason: &'static str) -> IdentifyError {
    IdentifyError::InvalidToken(reason)
}
