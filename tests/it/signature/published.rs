//! Vectors of others: HL7's signed examples, and those in the shared folder, each with the verdict and finding it must have.
//! Without the folder there is nothing to read, and the tests pass.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::clock::Now;
use portcullis::fhir::json::Tape;
use portcullis::signature::{Dialect, Omitted, Report, Rules, Trust, Verdict, canonical, verify};
use serde_json::Value;

use super::stage::{codes, instant};

fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    path.exists().then_some(path)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn pem(der: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n")
}

#[track_caller]
fn told(name: &str, report: &Report, expected: Verdict, code: Option<&str>) {
    assert_eq!(report.verdict, expected, "{name}: {report:#?}");
    if let Some(code) = code {
        assert!(codes(report).contains(&code), "{name}: {:?}", codes(report));
    }
}

/// The finding by which each of the vectors must fail.
const SIGNED_BUNDLES: [(&str, &str); 16] = [
    ("value-changed", "content-changed"),
    ("inner-meta-changed", "content-changed"),
    ("entry-removed-by-redaction", "content-changed"),
    ("when-differs-from-sigT", "when-mismatch"),
    ("expired-certificate", "certificate-expired"),
    ("no-digitalSignature-usage", "key-usage-mismatch"),
    ("untrusted-issuer", "chain-untrusted"),
    ("x5c-leaf-not-signer", "content-changed"),
    ("hs256", "algorithm-refused"),
    ("n01-tampered-entry.json", "content-changed"),
    ("n03-entry-meta-changed.json", "content-changed"),
    ("n06-no-srCms.json", "commitment-missing"),
    ("n09-untrusted-issuer.json", "chain-untrusted"),
    ("n10-alg-none.json", "algorithm-refused"),
    ("n11-attached-payload.json", "embedded-payload"),
    ("n12-signed-with-meta.json", "content-changed"),
];

#[test]
fn signed_bundles_have_the_verdict_they_must() {
    let Some(path) = shared("standards/vectors/signed-bundle-vectors.json") else { return };
    let vectors = json(&path);
    let findings = BTreeMap::from(SIGNED_BUNDLES);
    let anchors: String =
        vectors["trustAnchors"].as_array().unwrap().iter().map(|der| pem(der.as_str().unwrap())).collect();
    let rules = Rules::new(Trust::new(anchors.as_bytes()).unwrap());
    let at = instant(vectors["validationTime"].as_str().unwrap());
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 12, "{}", cases.len());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let text = case["text"].as_str().map_or_else(|| case["bundle"].to_string(), str::to_owned);
        let report = verify(text.as_bytes(), &rules, Some(at));
        assert_eq!(case["expect"], report.verdict.as_str(), "{name}: {report:#?}");
        told(name, &report, report.verdict, findings.get(name).copied());
    }
}

#[test]
fn generated_vectors_have_the_verdict_they_must() {
    let Some(folder) = shared("cdex/signatures/generated") else { return };
    let findings = BTreeMap::from(SIGNED_BUNDLES);
    let rules = Rules::new(Trust::new(&fs::read(folder.join("keys/ca.pem")).unwrap()).unwrap());
    let listed = json(&folder.join("manifest.json"));
    assert!(listed.as_array().unwrap().len() >= 10);
    for vector in listed.as_array().unwrap() {
        let name = vector["file"].as_str().unwrap();
        let report = verify(&fs::read(folder.join(name)).unwrap(), &rules, Some(instant("2026-06-01T00:00:00Z")));
        let expected = if vector["expect"] == "valid" { Verdict::Verified } else { Verdict::Failed };
        told(name, &report, expected, findings.get(name).copied());
    }
}

/// All of HL7's are self-signed, and claim 2020 with certificates of 2025: sound as far as they go, with that said.
#[test]
fn the_examples_of_the_guide_hold_or_do_not() {
    let Some(folder) = shared("cdex/signatures/hl7") else { return };
    for (name, dialect, expected, code) in [
        ("document-bundle@94da7f9.json", Dialect::Ci, Verdict::VerifiedWithWarnings, "signed-outside-validity"),
        ("parameters-example2@94da7f9.json", Dialect::Ci, Verdict::VerifiedWithWarnings, "partly-signed"),
        ("questionnaireresponse4@a122124.json", Dialect::Ci, Verdict::VerifiedWithWarnings, "signed-outside-validity"),
        ("searchset-bundle@a122124.json", Dialect::Ci, Verdict::VerifiedWithWarnings, "signed-outside-validity"),
        ("document-bundle@a122124-EXPECT-FAIL.json", Dialect::Ci, Verdict::Failed, "content-changed"),
        ("parameters-example2@a122124-EXPECT-FAIL.json", Dialect::Ci, Verdict::Failed, "content-changed"),
        ("searchset-bundle@2.1.0-EXPECT-FAIL.json", Dialect::Published, Verdict::Failed, "content-changed"),
        ("searchset-bundle@2.1.0-EXPECT-FAIL.json", Dialect::Ci, Verdict::Failed, "format-missing"),
        ("bundle-old-header-no-sigT.json", Dialect::Published, Verdict::Failed, "who-mismatch"),
        ("bundle-old-header-no-sigT.json", Dialect::Ci, Verdict::Failed, "sigt-missing"),
    ] {
        let bytes = fs::read(folder.join(name)).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let mut rules = Rules::new(Trust::new(own_certificates(&text).as_bytes()).unwrap());
        rules.dialect = dialect;
        told(name, &verify(&bytes, &rules, Some(instant("2026-06-01T00:00:00Z"))), expected, Some(code));
        // With no certificate believed that is not in the folder, or at the time that is claimed, none is.
        let stranger = Trust::new(include_bytes!("../data/signature/anchor.crt")).unwrap();
        for (trust, at) in [
            (Trust::new(own_certificates(&text).as_bytes()).unwrap(), None),
            (stranger, Some(instant("2026-06-01T00:00:00Z"))),
        ] {
            let report = verify(&bytes, &Rules { dialect, ..Rules::new(trust) }, at.map(|at: Now| at));
            assert_eq!(report.verdict, Verdict::Failed, "{name}");
        }
    }
}

/// The certificates in the headers of a file.
fn own_certificates(text: &str) -> String {
    let values = text.split('"').filter_map(|part| {
        let jws = String::from_utf8(STANDARD.decode(part).ok()?).ok()?;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jws.split('.').next()?).ok()?;
        serde_json::from_slice::<Value>(&header).ok()?["x5c"][0].as_str().map(pem)
    });
    values.collect()
}

#[test]
fn canonical_json_is_what_the_vectors_say() {
    let form = |text: &str| {
        let mut tape = Tape::new();
        let root = tape.read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}")).root();
        String::from_utf8(canonical(root, Omitted::Nothing).unwrap().bytes).unwrap()
    };
    if let Some(path) = shared("standards/vectors/jcs-vectors.json") {
        for case in json(&path)["cases"].as_array().unwrap() {
            let input = case["input"].as_str().unwrap();
            let mut tape = Tape::new();
            let text = if tape.read(input.as_bytes()).is_ok() { input.to_owned() } else { unescaped_names(input) };
            assert_eq!(form(&text), case["canonical"].as_str().unwrap(), "{input}");
        }
    }
    if let Some(path) = shared("cdex/signatures/generated/jcs-vectors.json") {
        for case in json(&path).as_array().unwrap() {
            let text = case["in"].to_string();
            let mut tape = Tape::new();
            let is_read = tape.read(text.as_bytes()).is_ok();
            // A name that cannot be written without an escape is none of FHIR's, and refused.
            assert!(is_read || text.contains("\\r"), "{text}");
            if is_read {
                assert_eq!(form(&text), case["jcs"].as_str().unwrap(), "{text}");
            }
        }
    }
}

/// The same JSON with its names written out: a name with an escape in it is refused as a disguise.
fn unescaped_names(text: &str) -> String {
    assert!(text.contains("\\u"), "{text}");
    serde_json::from_str::<Value>(text).unwrap().to_string()
}
