//! Access tokens, valid ones and such as attackers make.

use crate::attack::members::Members as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Map, Value as Json, json};

pub(crate) const ISSUER: &str = "https://as.example.org";
const KEY_ID: &str = "as-key-1";
const SCOPE: &str = "system/*.rs";

/// The keys of a run.
pub(crate) struct Keys {
    trusted: KeyPair,
    attacker: KeyPair,
    attacker_ec: EcdsaKeyPair,
    /// With which a client proves itself to the issuer, not to the gateway.
    client: KeyPair,
}

/// What a token says beside what every token says.
#[derive(Clone, Debug)]
pub(crate) struct Subject<'s> {
    pub(crate) client: &'s str,
    pub(crate) purpose: &'s str,
    pub(crate) audience: &'s str,
    /// `x5t#S256` of the certificate that it is bound to.
    pub(crate) bound_to: Option<&'s str>,
    /// Seconds by which points of time that a case writes out are moved.
    pub(crate) shift: i64,
}

impl Keys {
    pub(crate) fn new() -> Result<Self, String> {
        let key = || KeyPair::generate(KeySize::Rsa2048).map_err(|_| "no RSA key".to_owned());
        let attacker_ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| "no EC key")?;
        Ok(Self { trusted: key()?, attacker: key()?, attacker_ec, client: key()? })
    }

    /// The issuer's key set.
    pub(crate) fn key_set(&self) -> String {
        json!({"keys": [jwk(&self.trusted)]}).to_string()
    }

    pub(crate) fn attacker_jwk(&self) -> Json {
        jwk(&self.attacker)
    }

    /// A valid token.
    pub(crate) fn token(&self, subject: &Subject<'_>) -> Result<String, String> {
        let (header, claims) = plain(subject);
        self.signed(&header.to_string(), &claims.to_string(), "as-key-1")
    }

    /// The token that a case describes, from a valid one. What cannot be made is named.
    pub(crate) fn forged(&self, wish: &Json, subject: &Subject<'_>) -> Result<String, String> {
        const KNOWN: [&str; 5] = ["literal", "header", "claims", "claims_raw", "sign"];
        let members = wish.as_object().into_iter().flatten().map(|(name, _)| name);
        if let Some(unknown) = members.into_iter().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("jwt.{unknown}"));
        }
        if let Some(literal) = wish.at("literal").as_str() {
            return Ok(literal.to_owned());
        }
        let (mut header, mut claims) = plain(subject);
        change(&mut header, wish.at("header"), 0);
        change(&mut claims, wish.at("claims"), subject.shift);
        if header.at("jwk") == "{{attacker_jwk}}" {
            header.set("jwk", self.attacker_jwk());
        }
        let soon = (now() + 300).to_string();
        let raw = wish.at("claims_raw").as_str().map(|raw| {
            raw.replace("{{iss}}", ISSUER).replace("{{aud}}", subject.audience).replace("{{now+300}}", &soon)
        });
        let claims = raw.unwrap_or_else(|| claims.to_string());
        self.signed(&header.to_string(), &claims, wish.at("sign").as_str().unwrap_or("as-key-1"))
    }

    fn signed(&self, header: &str, claims: &str, sign: &str) -> Result<String, String> {
        let text = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = match sign {
            "as-key-1" | "keep-valid-signature" => rs256(&self.trusted, &text),
            "attacker-rsa" => rs256(&self.attacker, &text),
            "payer-a-client-key" => rs256(&self.client, &text),
            "attacker-ec" => match self.attacker_ec.sign(&SystemRandom::new(), text.as_bytes()) {
                Ok(signature) => signature.as_ref().to_vec(),
                Err(_) => return Err("no signature".to_owned()),
            },
            "none" => Vec::new(),
            "raw-zero-64" => vec![0; 64],
            _ => match sign.strip_prefix("hmac:") {
                Some("empty") => hs256(b"", &text),
                Some("public-pem:as-key-1") => hs256(pem(&self.trusted).as_bytes(), &text),
                Some("jwks-json") => hs256(self.key_set().as_bytes(), &text),
                Some(secret) => hs256(secret.as_bytes(), &text),
                None => return Err(format!("jwt.sign {sign}")),
            },
        };
        Ok(format!("{text}.{}", BASE64.encode(signature)))
    }
}

fn plain(subject: &Subject<'_>) -> (Json, Json) {
    let now = now();
    let number = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos());
    let header = json!({"alg": "RS256", "typ": "at+jwt", "kid": KEY_ID});
    let mut claims = json!({
        "iss": ISSUER, "aud": subject.audience, "sub": subject.client, "client_id": subject.client,
        "purpose_of_use": subject.purpose, "scope": SCOPE, "iat": now, "exp": now + 300, "jti": number.to_string(),
    });
    if let Some(thumbprint) = subject.bound_to {
        claims.set("cnf", json!({"x5t#S256": thumbprint}));
    }
    (header, claims)
}

fn change(object: &mut Json, changes: &Json, shift: i64) {
    let empty = Map::new();
    for (name, value) in changes.as_object().unwrap_or(&empty) {
        let Some(members) = object.as_object_mut() else { return };
        let is_time = ["iat", "exp", "nbf", "auth_time"].contains(&name.as_str());
        match value {
            Json::Null => {
                members.remove(name);
            }
            Json::String(text) if text.starts_with("now") => {
                let offset: i64 = text.trim_start_matches("now").parse().unwrap_or(0);
                members.insert(name.clone(), json!(now() + offset));
            }
            Json::Number(time) if is_time && time.as_i64().is_some_and(|time| time > 1_000_000_000) => {
                members.insert(name.clone(), json!(time.as_i64().unwrap_or(0) + shift));
            }
            _ => {
                members.insert(name.clone(), value.clone());
            }
        }
    }
}

pub(crate) fn now() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(0))
}

fn rs256(key: &KeyPair, text: &str) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    match key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature) {
        Ok(()) => signature,
        Err(_) => Vec::new(),
    }
}

fn hs256(secret: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes()).as_ref().to_vec()
}

/// The modulus of a key with 2048 bits, out of its `RSAPublicKey` (RFC 8017 A.1.1).
fn modulus(key: &KeyPair) -> Vec<u8> {
    key.public_key().as_ref().get(9..265).unwrap_or_default().to_vec()
}

fn jwk(key: &KeyPair) -> Json {
    json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": BASE64.encode(modulus(key)), "e": "AQAB"})
}

fn pem(key: &KeyPair) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(key.public_key().as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or("")).collect();
    format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", lines.join("\n"))
}
