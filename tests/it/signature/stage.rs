//! Authorities and signers made for one run, and signatures made otherwise than the gateway makes them.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis::clock::Now;
use portcullis::fhir::json::Tape;
use portcullis::signature::{Identities, Omitted, Report, Rules, Signer, Trust, Verdict, canonical, verify};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, OtherNameValue, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256,
    RevokedCertParams, RsaKeySize, SanType, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};

pub(crate) const AT: &str = "2026-11-27T12:00:00.000Z";
pub(crate) const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
pub(crate) const ORGANISATION: (&str, &str) = (NPI, "1234567893");
pub(crate) const SEARCHSET: &str = r#"{"resourceType":"Bundle","id":"set-1","type":"searchset","total":1,"link":[{"relation":"self","url":"https://gateway.example.org/fhir/Observation?patient=p1"}],"entry":[{"fullUrl":"https://gateway.example.org/fhir/Observation/o1","resource":{"resourceType":"Observation","id":"o1","meta":{"versionId":"1"},"status":"final","code":{"text":"glucose, \u00e4rztlich \"geprüft\""},"valueQuantity":{"value":13.2,"unit":"g/dL"}},"search":{"mode":"match"}}]}"#;

/// What one instant is to the gateway.
pub(crate) fn instant(text: &str) -> Now {
    Now::at(text.parse().expect("an instant"))
}

/// Somebody with a key and certificates.
pub(crate) struct Party {
    pub(crate) key: Arc<KeyPair>,
    pub(crate) params: CertificateParams,
    /// DER, its own first, without the root.
    pub(crate) chain: Vec<Vec<u8>>,
    is_root: bool,
}

/// A certificate of the years 2026 to 2030.
pub(crate) fn params(organisation: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names yet");
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    params.serial_number = Some(SerialNumber::from(7_u64));
    params.distinguished_name.push(DnType::OrganizationName, organisation);
    params
}

pub(crate) fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Names of a signer: an NPI as `otherName`, and a URI.
pub(crate) fn named(mut params: CertificateParams, npi: &str, uri: &str) -> CertificateParams {
    let oid = vec![2, 16, 840, 1, 113_883, 4, 6];
    params.subject_alt_names = vec![
        SanType::OtherName((oid, OtherNameValue::Utf8String(npi.to_owned()))),
        SanType::URI(Ia5String::try_from(uri).expect("a URI")),
    ];
    params
}

pub(crate) fn leaf_params() -> CertificateParams {
    let mut params = named(params("Invented clinic"), ORGANISATION.1, "https://clinic.example.org/fhir/Organization/1");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment];
    params
}

pub(crate) fn p256() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

impl Party {
    pub(crate) fn self_signed(params: CertificateParams) -> Self {
        let key = p256();
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        Self { key: Arc::new(key), params, chain: vec![der], is_root: true }
    }

    /// A party whose certificate is of this one.
    pub(crate) fn issue(&self, params: CertificateParams, key: KeyPair) -> Self {
        let issuer = Issuer::from_params(&self.params, &*self.key);
        let der = params.signed_by(&key, &issuer).expect("a certificate").der().to_vec();
        let above = if self.is_root { Vec::new() } else { self.chain.clone() };
        Self { key: Arc::new(key), params, chain: [vec![der], above].concat(), is_root: false }
    }

    pub(crate) fn new() -> Self {
        authority().issue(leaf_params(), p256())
    }

    pub(crate) fn on_p384() -> Self {
        authority().issue(leaf_params(), KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key"))
    }

    pub(crate) fn with_rsa() -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        authority().issue(leaf_params(), key)
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(crate) fn chain_pem(&self) -> String {
        let block = |der: &Vec<u8>| {
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
        };
        self.chain.iter().map(block).collect()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::new(self.chain_pem().as_bytes()).expect("authorities")
    }

    pub(crate) fn signer(&self) -> Signer {
        let (key, chain) = (self.key_pem(), self.chain_pem());
        Signer::new(key.as_bytes(), chain.as_bytes(), ORGANISATION, &Identities::default()).expect("a signer")
    }
}

static AUTHORITY: LazyLock<Party> = LazyLock::new(|| Party::self_signed(authority_params("Invented authority")));

/// The authority that is believed.
pub(crate) fn authority() -> &'static Party {
    &AUTHORITY
}

/// The organisation that signs.
pub(crate) fn party() -> Party {
    Party::new()
}

/// Somebody else with a certificate of the same authority.
pub(crate) fn other_person() -> Party {
    let mut params = named(params("Another clinic"), "1992999999", "https://other.example.org/fhir/Organization/9");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    authority().issue(params, p256())
}

pub(crate) fn rules() -> Rules {
    Rules::new(authority().trust())
}

/// The codes of all findings that are more than notes.
pub(crate) fn codes(report: &Report) -> Vec<&'static str> {
    let single = report.signatures.iter().flat_map(|signature| &signature.findings);
    let all = report.findings.iter().chain(single);
    all.filter(|finding| finding.weight != portcullis::signature::Weight::Note || finding.code.starts_with("who-"))
        .map(|finding| finding.code)
        .collect()
}

/// What is found under the usual rules.
pub(crate) fn examined(bytes: &[u8]) -> Report {
    verify(bytes, &rules(), Some(instant(AT)))
}

/// The verdict, and one of the codes that are more than notes.
#[track_caller]
pub(crate) fn told(name: &str, report: &Report, expected: Verdict, code: &str) {
    assert_eq!(report.verdict, expected, "{name}: {report:#?}");
    assert!(codes(report).contains(&code), "{name}: {:?}", codes(report));
}

/// A signature by ES256, every part of which can be made otherwise.
pub(crate) struct Forge {
    pub(crate) header: Value,
    pub(crate) element: Value,
    pub(crate) payload: String,
    pub(crate) omitted: Omitted,
    pub(crate) content: String,
    key: Arc<KeyPair>,
}

impl Forge {
    /// As the gateway would sign `content`.
    pub(crate) fn new(party: &Party, content: &str) -> Self {
        let x5c: Vec<String> = party.chain.iter().map(|der| STANDARD.encode(der)).collect();
        Self {
            header: json!({
                "alg": "ES256",
                "x5c": x5c,
                "sigT": AT,
                "srCms": [{"commId": {"id": "urn:oid:1.2.840.10065.1.12.1.5"}}],
            }),
            element: json!({
                "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.5"}],
                "when": AT,
                "who": {"identifier": {"system": NPI, "value": ORGANISATION.1}},
                "targetFormat": "application/fhir+json;canonicalization=http://hl7.org/fhir/canonicalization/json#document",
                "sigFormat": "application/jose",
            }),
            payload: String::new(),
            omitted: Omitted::Bundle,
            content: content.to_owned(),
            key: Arc::clone(&party.key),
        }
    }

    /// Header and signature value, base64url.
    pub(crate) fn parts(&self, header: &str) -> (String, String) {
        let mut tape = Tape::new();
        let root = tape.read(self.content.as_bytes()).expect("JSON").root();
        let form = canonical(root, self.omitted).expect("a canonical form").bytes;
        let header = URL_SAFE_NO_PAD.encode(header);
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(form));
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, self.key.serialized_der()).expect("P-256");
        let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).expect("a signature");
        (header, URL_SAFE_NO_PAD.encode(signature))
    }

    /// The Signature with `data` in it.
    pub(crate) fn signed_element(&self) -> Value {
        let (header, signature) = self.parts(&self.header.to_string());
        self.with_jws(&format!("{header}.{}.{signature}", self.payload))
    }

    /// The Signature with another JWS.
    pub(crate) fn with_jws(&self, jws: &str) -> Value {
        let mut element = self.element.clone();
        element["data"] = json!(STANDARD.encode(jws));
        element
    }

    /// The content with this Signature.
    pub(crate) fn place(&self, element: &Value) -> Vec<u8> {
        let open = self.content.strip_suffix('}').expect("an object");
        format!("{open},\"signature\":{element}}}").into_bytes()
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.place(&self.signed_element())
    }
}

/// What an issuer says of these serial numbers, until the first day of a month.
pub(super) fn revocation_list(issuer: &Party, revoked: &[u64], (year, month): (i32, u8)) -> String {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2026, 11, 2),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 10, 1),
        next_update: date_time_ymd(year, month, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&Issuer::from_params(&issuer.params, &*issuer.key)).unwrap().pem().unwrap()
}
