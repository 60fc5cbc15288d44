//! Bearer tokens: nothing unsigned is accepted, and what is signed only if it says what it must.

use std::fs;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use portcullis::cli::certs;
use portcullis::config::Config;
use portcullis::identify::{Client, IdentifyError, Identities, Presented};
use portcullis::limits;
use tokio::runtime::{Builder, Runtime};

use super::dom::Dom;
use super::stage::{Folder, GATEWAY, now};

const ISSUER: &str = "https://as.example.org";
const KEY_ID: &str = "development-1";

const CONFIG: &str = r#"
[listen]
address = "127.0.0.1:0"
base_url = "https://gateway.example.org/fhir"
allow_plaintext = true

[upstream]
base_url = "http://127.0.0.1:1/r4"

[policy]
path = "."

[audit]
directory = "audit"

[[issuer]]
issuer = "https://as.example.org"
jwks_file = "issuer.jwks.json"
algorithms = ["ES384"]

[[client]]
id = "payer-a"
organization = "https://payer-a.example.org"
issuer = "https://as.example.org"
purposes = ["HPAYMT", "CLMATTCH"]
purpose = "HPAYMT"
scopes = ["system/*.rs"]
"#;

struct Stage {
    identities: Identities,
    key: EncodingKey,
    strange: EncodingKey,
    runtime: Runtime,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let (folder, key) = issuer();
    let config = Config::parse(CONFIG, &folder.path().join("portcullis.toml")).expect("a configuration");
    Stage {
        identities: Identities::new(&config).expect("keys of a file"),
        key,
        strange: issuer().1,
        runtime: Builder::new_current_thread().build().unwrap(),
    }
});

fn issuer() -> (Folder, EncodingKey) {
    let folder = Folder::empty();
    certs::make(folder.path(), &[], &[], false, now()).expect("an issuer");
    let pem = fs::read_to_string(folder.path().join(certs::ISSUER_KEY)).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    (folder, EncodingKey::from_ec_der(&STANDARD.decode(der).unwrap()))
}

/// The first byte chooses. `0`: the rest is an `Authorization` field. Else: a header, a line feed and a payload, signed
/// by the issuer.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first % 4 == 0 {
        if let Ok(field) = std::str::from_utf8(rest) {
            assert!(identify(field).is_err(), "nobody signed this");
        }
        return;
    }
    let at = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (header, payload) = (&rest[..at], rest.get(at + 1..).unwrap_or_default());
    let signed = token(header, payload, &STAGE.key);
    let Ok(client) = identify(&format!("Bearer {signed}")) else { return };
    assert_eq!(client.id(), "payer-a");
    must_say(header, payload, &client);
    changed(header, payload, &signed, usize::from(*first));
}

fn token(header: &[u8], payload: &[u8], key: &EncodingKey) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = crypto::sign(message.as_bytes(), key, Algorithm::ES384).expect("a signature");
    format!("{message}.{signature}")
}

fn identify(authorization: &str) -> Result<Client, IdentifyError> {
    let presented = Presented { authorization: Some(authorization), certificate: None };
    STAGE.runtime.block_on(STAGE.identities.identify(presented, now()))
}

/// What RFC 9068 and the registration demand, found with another reader.
fn must_say(header: &[u8], payload: &[u8], client: &Client) {
    let read = |bytes| Dom::read(std::str::from_utf8(bytes).expect("text")).expect("JSON");
    let (header, payload) = (read(header), read(payload));
    assert!(!header.repeats_a_name() && !payload.repeats_a_name());
    assert_eq!((header.text_of("alg"), header.text_of("kid")), (Some("ES384"), Some(KEY_ID)));
    let typ = header.text_of("typ").expect("a type").to_ascii_lowercase();
    assert!(matches!(typ.as_str(), "at+jwt" | "application/at+jwt"), "{typ}");
    for member in ["b64", "crit", "jku", "jwk", "x5c", "x5u"] {
        assert!(header.get(member).is_none(), "{member}");
    }
    assert_eq!(payload.text_of("iss"), Some(ISSUER));
    let audience = payload.get("aud").expect("an audience").each();
    assert!(audience.iter().any(|item| item.text() == Some(GATEWAY)));
    assert!(payload.get("cnf").is_none(), "bound to a certificate, and there is none");
    let seconds = |name: &str| match payload.get(name) {
        Some(Dom::Number(text)) => Some(text.parse::<i64>().expect("a whole number")),
        Some(other) => panic!("{name} is {other}"),
        None => None,
    };
    let (skew, today) = (limits::CLOCK_SKEW_SECONDS, now().unix_seconds());
    let expires = seconds("exp").expect("an end");
    assert!(today < expires + skew && expires - skew - today <= limits::TOKEN_LIFE_SECONDS, "{expires}");
    assert!(seconds("nbf").is_none_or(|from| from <= today + skew));
    assert!(seconds("iat").is_none_or(|from| from <= today + skew && expires - from <= limits::TOKEN_LIFE_SECONDS));
    let named = payload.text_of("client_id").or_else(|| payload.text_of("azp"));
    assert_eq!(named, Some(client.id()));
    assert!(payload.text_of("organization_id").is_none_or(|organization| organization == client.organization()));
    assert!(["HPAYMT", "CLMATTCH"].contains(&client.purpose().code()));
}

/// The same token with less of a signature, or another, is refused.
fn changed(header: &[u8], payload: &[u8], signed: &str, place: usize) {
    let (message, signature) = signed.rsplit_once('.').expect("three parts");
    let other = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let unsigned = |algorithm: &str| {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"{KEY_ID}"}}"#);
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    };
    for bad in [
        message.to_owned(),
        format!("{message}."),
        format!("{message}.{}", &signature[..signature.len() / 2]),
        format!("{message}.{signature}.{signature}"),
        format!("{message}.{}", other(signature, place)),
        format!("{}.{signature}", other(message, place * 7)),
        token(header, payload, &STAGE.strange),
        format!("{}.", unsigned("none")),
        format!("{}.{signature}", unsigned("None")),
        format!("{}.{signature}", unsigned("HS384")),
        format!("{}.{signature}", unsigned("ES256")),
    ] {
        assert!(bad == signed || identify(&format!("Bearer {bad}")).is_err(), "{bad}");
    }
}
