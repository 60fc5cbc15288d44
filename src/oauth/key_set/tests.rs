use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use serde_json::{Value as Json, json};

use super::*;

/// An RSA modulus of 2048 bits; only its size matters here.
const MODULUS: &str = "lA4en7f_zH7139DI8rXfK5vLd6jUShVHcjE2yom3fOgmtML5SCVGKjxjwYtmRWdSfECRGU86OOWTEZwPqW6eqsbUrvqYfZ8g2iDx5z0A4tdjeqvJa99GeZR_9AJMVylfG2oODzGcqEV6bpXDLEkvQgwjk4p8XKn_shiRSGXeCA2VLwqOlqMpc2NkFQB-RoBQ1zm6DyoksECe9-0G8vpPiDSlznunyQEwP1JPrxusRzOtdFBKd9odmHMglYw35whqBLnNTT7_YHfp_3hCIfBVU8CjCNp6BJ7IMUCJqE_gvdAwsI427ZETqtO6W2YYnKSO5bXMPjUJs97CqovFHcualw";

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ec(kid: &str) -> Json {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let point = pair.public_key_raw();
    json!({"kty": "EC", "crv": "P-384", "kid": kid, "x": encode(&point[1..49]), "y": encode(&point[49..])})
}

fn rsa(kid: &str) -> Json {
    json!({"kty": "RSA", "kid": kid, "alg": "RS384", "use": "sig", "n": MODULUS, "e": "AQAB"})
}

fn with(mut jwk: Json, name: &str, value: Json) -> Json {
    jwk[name] = value;
    jwk
}

fn parse(keys: &[Json]) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn finds_a_key_by_name_and_fitting_algorithm() {
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let point = p256.public_key_raw();
    let set = parse(&[
        ec("es"),
        rsa("rs"),
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(ed.public_key_raw())}),
        json!({"kty": "EC", "crv": "P-256", "kid": "p256", "x": encode(&point[1..33]), "y": encode(&point[33..])}),
    ])
    .unwrap();
    assert!(set.refused().is_empty());
    for (kid, algorithm, found) in [
        ("es", Algorithm::Es384, true),
        ("es", Algorithm::Es256, false),
        ("es", Algorithm::Rs384, false),
        ("rs", Algorithm::Rs384, true),
        ("rs", Algorithm::Rs256, false),
        ("rs", Algorithm::Ps384, false),
        ("ed", Algorithm::EdDsa, true),
        ("p256", Algorithm::Es256, true),
        ("p256", Algorithm::Es384, false),
        ("ES", Algorithm::Es384, false),
        ("", Algorithm::Es384, false),
    ] {
        assert_eq!(set.find(kid, algorithm).is_some(), found, "{kid} {algorithm}");
    }
    assert!(set.names("rs") && !set.names("other"));
}

#[test]
fn unsound_keys_are_left_out_and_the_others_stay() {
    let short = encode(&[0xff; 255]);
    let off_curve = encode(&[1; 48]);
    let cases = [
        (json!({"kty": "oct", "kid": "bad", "k": "AAAA"}), KeyFault::Symmetric),
        (with(ec("bad"), "d", json!("AAAA")), KeyFault::Private),
        (with(rsa("bad"), "p", json!("AAAA")), KeyFault::Private),
        (with(rsa("bad"), "n", json!(short)), KeyFault::WeakRsa),
        (with(rsa("bad"), "n", json!("")), KeyFault::Malformed),
        (with(rsa("bad"), "e", json!("AA")), KeyFault::Malformed),
        (with(rsa("bad"), "n", json!(7)), KeyFault::Malformed),
        (with(rsa("bad"), "alg", json!("HS256")), KeyFault::Unsupported),
        (with(rsa("bad"), "alg", json!("ES384")), KeyFault::Unsupported),
        (with(rsa("bad"), "use", json!("enc")), KeyFault::NotForSignatures),
        (with(rsa("bad"), "key_ops", json!(["encrypt"])), KeyFault::NotForSignatures),
        (with(ec("bad"), "x", json!(off_curve)), KeyFault::Malformed),
        (with(ec("bad"), "crv", json!("P-256")), KeyFault::Malformed),
        (with(ec("bad"), "crv", json!("secp256k1")), KeyFault::Unsupported),
        (with(ec("bad"), "kty", json!("XX")), KeyFault::Unsupported),
        (with(ec("bad"), "kid", json!("")), KeyFault::NoKid),
        (json!("bad"), KeyFault::Malformed),
    ];
    for (bad, fault) in cases {
        let set = parse(&[bad.clone(), ec("good")]).unwrap();
        assert_eq!(set.refused().iter().map(|refused| refused.fault).collect::<Vec<_>>(), [fault], "{bad}");
        assert!(set.find("good", Algorithm::Es384).is_some());
        assert_eq!(parse(&[bad]).err(), Some(KeySetError::Empty));
    }
}

#[test]
fn a_repeated_kid_names_no_key() {
    let set = parse(&[ec("twice"), rsa("twice"), ec("once")]).unwrap();
    assert!(set.find("twice", Algorithm::Es384).is_none() && set.find("twice", Algorithm::Rs384).is_none());
    assert!(set.find("once", Algorithm::Es384).is_some());
    let beside_refused = parse(&[ec("twice"), json!({"kty": "oct", "kid": "twice", "k": "AAAA"}), ec("once")]).unwrap();
    assert!(beside_refused.find("twice", Algorithm::Es384).is_none());
}

#[test]
fn documents_that_are_no_key_set_are_refused() {
    assert_eq!(KeySet::parse(b"{\"keys\":7}").err(), Some(KeySetError::NotAKeySet));
    assert_eq!(KeySet::parse(b"[]").err(), Some(KeySetError::NotAKeySet));
    assert_eq!(parse(&[]).err(), Some(KeySetError::Empty));
    assert!(matches!(KeySet::parse(b"{\"keys\":[],\"keys\":[]}"), Err(KeySetError::Json(JsonError::Duplicate(_)))));
    assert_eq!(KeySet::parse(&vec![b' '; limits::KEY_SET_BYTES + 1]).err(), Some(KeySetError::TooLarge));
}
