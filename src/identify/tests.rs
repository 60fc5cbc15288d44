//! What the tests of this module stand on: an issuer that signs anything, and one that serves keys and counts.

mod bearer;
mod keys;
mod mtls;
mod vectors;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA384};
use serde_json::{Value as Json, json};

use super::keys::{KeyDocument, KeyRing};
use super::*;
use crate::config::{CertificateMatch, Issuer, KeySource};
use crate::oauth::{Algorithm, KeySet};

pub(super) const NOW: i64 = 1_790_000_000;
pub(super) const ISSUER: &str = "https://as.example.org";
pub(super) const AUDIENCE: &str = "https://gateway.example.org/fhir";

pub(super) fn now(seconds: i64) -> Now {
    Now::at(Timestamp::from_second(seconds).unwrap())
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key pair that signs tokens.
pub(super) struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    pub(super) jwk: Json,
}

impl Signer {
    pub(super) fn es384(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let (x, y) = pair.public_key_raw()[1..].split_at(48);
        let jwk = json!({"kty": "EC", "crv": "P-384", "kid": kid, "x": encode(x), "y": encode(y)});
        Self { kid, algorithm: Algorithm::Es384, key: EncodingKey::from_ec_der(pair.serialized_der()), jwk }
    }

    pub(super) fn rs384(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA384).unwrap();
        // RSAPublicKey of 2048 bits: SEQUENCE of an INTEGER of 257 bytes (a zero first) and 65537.
        let modulus = &pair.public_key_raw()[9..265];
        let jwk = json!({"kty": "RSA", "kid": kid, "n": encode(modulus), "e": "AQAB"});
        Self { kid, algorithm: Algorithm::Rs384, key: EncodingKey::from_rsa_der(&rsa_private(&pair)), jwk }
    }

    /// A token of these texts, whatever they say.
    pub(super) fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm.jws()).unwrap();
        format!("{message}.{signature}")
    }

    pub(super) fn header(&self) -> Json {
        json!({"alg": self.algorithm.as_str(), "typ": "at+jwt", "kid": self.kid})
    }

    /// A good token but for the claims given here; a null takes a claim away.
    pub(super) fn token(&self, changes: Json) -> String {
        self.sign(&self.header().to_string(), &changed(claims(), changes).to_string())
    }

    /// A good token but for the header members given here.
    pub(super) fn token_with_header(&self, changes: Json) -> String {
        self.sign(&changed(self.header(), changes).to_string(), &claims().to_string())
    }
}

/// The RSAPrivateKey inside PKCS#8: the last OCTET STRING of what rcgen writes.
fn rsa_private(pair: &KeyPair) -> Vec<u8> {
    let der = pair.serialized_der();
    let at = der.windows(2).skip(20).position(|pair| pair == [0x30, 0x82]).unwrap() + 20;
    der[at..].to_vec()
}

pub(super) fn claims() -> Json {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "f193fcd", "client_id": "payer-a", "jti": "trrtcc:1",
        "iat": NOW - 10, "exp": NOW + 290, "scope": "system/Observation.rs system/Patient.r openid",
    })
}

pub(super) fn changed(mut object: Json, changes: Json) -> Json {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Json::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
    object
}

pub(super) fn issuer(keys: &[&Json]) -> Issuer {
    let document = json!({ "keys": keys }).to_string();
    Issuer {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        keys: KeySource::File {
            path: Path::new("jwks.json").to_owned(),
            keys: KeySet::parse(document.as_bytes()).unwrap(),
        },
        algorithms: vec![Algorithm::Es384, Algorithm::Rs384],
        token_types: vec!["at+jwt".to_owned()],
        token_endpoint: None,
        scopes_supported: Vec::new(),
        require: Vec::new(),
        token_seconds: 3_600,
    }
}

/// A client known by token, who may ask for payment and claims attachment.
pub(super) fn registration(id: &str) -> Registration {
    Registration {
        id: id.to_owned(),
        organization: format!("https://{id}.example.com/org/1"),
        proof: Proof::Token { issuer: ISSUER.to_owned(), certificate: None },
        purposes: vec![Purpose::parse("HPAYMT").unwrap(), Purpose::parse("CLMATTCH").unwrap()],
        purpose: Purpose::parse("HPAYMT"),
        scopes: Scopes::parse("system/*.rs"),
        bound: false,
        signed_answers: None,
        attributes: [("line".to_owned(), "commercial".to_owned())].into(),
    }
}

pub(super) fn with_certificate(id: &str, certificate: CertificateMatch) -> Registration {
    Registration { proof: Proof::Certificate(certificate), ..registration(id) }
}

pub(super) fn identities(issuers: &[Issuer], clients: &[Registration]) -> Identities {
    let issuers = issuers.iter().map(|issuer| TrustedIssuer::new(issuer).unwrap()).collect();
    Identities::assemble(issuers, clients)
}

pub(super) async fn identify(identities: &Identities, token: &str, at: i64) -> Result<Client, IdentifyError> {
    let authorization = format!("Bearer {token}");
    identities.identify(Presented { authorization: Some(&authorization), certificate: None }, now(at)).await
}

/// Serves key sets from memory and counts how often it was asked.
#[derive(Default)]
pub(super) struct FakeIssuer {
    document: Mutex<Option<String>>,
    life: Mutex<i64>,
    fetches: AtomicUsize,
}

impl FakeIssuer {
    pub(super) fn serving(keys: &[&Json], life: i64) -> Arc<Self> {
        let fake = Arc::new(Self { life: Mutex::new(life), ..Self::default() });
        fake.serve(keys);
        fake
    }

    pub(super) fn serve(&self, keys: &[&Json]) {
        *self.document.lock().unwrap() = Some(json!({ "keys": keys }).to_string());
    }

    pub(super) fn fail(&self) {
        *self.document.lock().unwrap() = None;
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    pub(in crate::identify) fn fetch(&self) -> Option<KeyDocument> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let body = self.document.lock().unwrap().clone()?;
        Some(KeyDocument { body: body.into(), life: *self.life.lock().unwrap() })
    }
}

pub(super) fn identities_fetching(fake: &Arc<FakeIssuer>, like: &Issuer) -> Identities {
    let issuer = TrustedIssuer::with_keys(like, KeyRing::fetched_by(Arc::clone(fake)));
    Identities::assemble(vec![issuer], &[registration("payer-a")])
}
