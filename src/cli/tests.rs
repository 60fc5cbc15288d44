use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::clock::Clock;
use crate::id::Token128;
use crate::identify::{Identities, Method, Presented};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// A folder that is gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("portcullis-cli-{}", Token128::random().unwrap()));
        fs::create_dir_all(folder.join("policies")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Certificates, and a configuration that uses them.
    fn configured() -> Self {
        let scratch = Self::new();
        assert_eq!(run_words(&["certs", "--out", &scratch.path("certs")]).0, Exit::Ok);
        fs::write(scratch.0.join("portcullis.toml"), CONFIGURATION).unwrap();
        fs::write(scratch.0.join("policies/decision.rego"), POLICY).unwrap();
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const POLICY: &str = r#"
package portcullis

default decision := {"allow": false, "reasons": [{"code": "none", "text": "Nothing is permitted.", "basis": "none"}]}
"#;

const CONFIGURATION: &str = r#"
[listen]
address = "127.0.0.1:8443"
base_url = "https://localhost:8443/fhir"
[listen.tls]
certificate = "certs/server.pem"
key = "certs/server.key"
client_ca = "certs/ca.pem"

[upstream]
base_url = "http://127.0.0.1:8080/fhir"

[policy]
path = "policies"

[audit]
directory = "audit"

[[issuer]]
issuer = "https://as.example.org"
jwks_file = "certs/issuer.jwks.json"
algorithms = ["ES384"]

[[client]]
id = "payer-a"
organization = "https://payer-a.example.org"
issuer = "https://as.example.org"
purposes = ["HPAYMT", "CLMATTCH"]
purpose = "HPAYMT"
scopes = ["system/Observation.rs", "system/Patient.rs"]

[[client]]
id = "payer-b"
organization = "https://payer-b.example.org"
certificate = { san_uri = "https://payer-b.example.org" }
purposes = ["HPAYMT"]
scopes = ["system/Coverage.rs"]
"#;

fn run_words(words: &[&str]) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("portcullis").chain(words.iter().copied()).map(OsString::from);
    let exit = run(arguments, &mut out, &mut err);
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn help_teaches_and_mistakes_are_told_apart() {
    let (exit, out, err) = run_words(&["--help"]);
    assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
    assert!(out.contains("portcullis check --config") && out.contains("Exit codes"), "{out}");
    for command in ["demo", "serve", "check", "health", "token", "certs", "provenance", "sign", "verify"] {
        let (exit, out, _) = run_words(&[command, "--help"]);
        assert!(exit == Exit::Ok && out.contains("Examples:"), "{command}: {out}");
    }
    for wrong in
        [&["serv"][..], &[], &["check", "--confg", "x"], &["token"], &["token", "--client", "a", "--minutes", "61"]]
    {
        let (exit, out, err) = run_words(wrong);
        assert_eq!((exit, out.as_str()), (Exit::Usage, ""), "{wrong:?}");
        assert!(!err.is_empty());
    }
    let (_, _, err) = run_words(&["serv"]);
    assert!(err.contains("'serve'"), "{err}");
}

#[test]
fn a_wrong_configuration_is_code_78_with_every_mistake() {
    let scratch = Scratch::configured();
    let file = scratch.path("portcullis.toml");
    fs::write(&file, CONFIGURATION.replace("ES384", "HS256").replace("\"policies\"", "\"nowhere\"")).unwrap();
    for command in ["check", "serve"] {
        let (exit, out, err) = run_words(&[command, "--config", &file]);
        assert_eq!((exit, out.as_str()), (Exit::Config, ""));
        assert!(err.contains("portcullis.toml:14: policy.path:"), "{err}");
        assert!(err.contains("portcullis.toml:22: issuer.algorithms:"), "{err}");
        assert!(err.ends_with("2 mistakes in the configuration\n"), "{err}");
    }
    assert_eq!(run_words(&["check", "--config", &scratch.path("absent.toml")]).0, Exit::Config);
}

#[test]
fn a_good_configuration_is_summed_up() {
    let scratch = Scratch::configured();
    let file = scratch.path("portcullis.toml");
    let (exit, out, err) = run_words(&["check", "--config", &file]);
    assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
    assert!(out.starts_with(&format!("{file}: configuration is good\n")), "{out}");
    for part in [
        "https://localhost:8443/fhir (tls, client certificates optional)",
        "https://as.example.org (ES384)",
        "policies: policy revision ",
        "payer-a for HPAYMT, CLMATTCH: system/Observation.rs system/Patient.rs",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
}

#[test]
fn private_keys_are_private_and_nothing_is_overwritten_unasked() {
    let scratch = Scratch::new();
    let folder = scratch.path("made");
    let (exit, out, _) = run_words(&["certs", "--out", &folder, "--client", "payer-a", "--client", "payer-b"]);
    assert_eq!((exit, out.lines().count()), (Exit::Ok, 10));
    for path in out.lines() {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.ends_with(".key") { 0o600 } else { 0o644 }, "{path}");
    }
    let before = fs::read(scratch.0.join("made/issuer.key")).unwrap();
    let (exit, _, err) = run_words(&["certs", "--out", &folder]);
    assert!(exit == Exit::Failed && err.contains("--force"), "{err}");
    assert_eq!(fs::read(scratch.0.join("made/issuer.key")).unwrap(), before);
    assert_eq!(run_words(&["certs", "--out", &folder, "--force"]).0, Exit::Ok);
    assert_ne!(fs::read(scratch.0.join("made/issuer.key")).unwrap(), before);
    for id in ["ca", "issuer", "../x", "A", ""] {
        assert_eq!(run_words(&["certs", "--out", &scratch.path("other"), "--client", id]).0, Exit::Usage, "{id}");
    }
}

#[tokio::test]
async fn a_minted_token_is_accepted_and_a_bound_one_only_over_its_certificate() {
    let scratch = Scratch::configured();
    let file = scratch.path("portcullis.toml");
    let config = Config::load(Path::new(&file)).unwrap();
    let identities = Identities::new(&config).unwrap();
    let now = Clock::System.now();
    let mint = |words: &[&str]| {
        let (exit, out, err) = run_words(&[&["token", "--config", &file, "--client", "payer-a"], words].concat());
        assert_eq!(exit, Exit::Ok, "{err}");
        format!("Bearer {}", out.trim_end())
    };

    let plain = mint(&[]);
    let client = identities.identify(Presented { authorization: Some(&plain), certificate: None }, now).await.unwrap();
    assert_eq!((client.id(), client.purpose().code(), client.method()), ("payer-a", "HPAYMT", Method::Bearer));

    let narrow = mint(&["--scope", "system/Patient.r", "--purpose", "CLMATTCH", "--minutes", "1"]);
    let client = identities.identify(Presented { authorization: Some(&narrow), certificate: None }, now).await.unwrap();
    assert_eq!((client.purpose().code(), client.scopes().to_string().as_str()), ("CLMATTCH", "system/Patient.r"));

    let certificate = scratch.path("certs/payer-a.pem");
    let bound = mint(&["--certificate", &certificate]);
    let leaf = CertificateDer::from_pem_file(&certificate).unwrap();
    let peer = identities.peer(&leaf).unwrap();
    let over = Presented { authorization: Some(&bound), certificate: Some(&peer) };
    assert_eq!(identities.identify(over, now).await.unwrap().method(), Method::BoundToken);
    assert!(identities.identify(Presented { authorization: Some(&bound), certificate: None }, now).await.is_err());
}

#[test]
fn no_token_is_minted_that_the_issuer_could_not_have_signed() {
    let scratch = Scratch::configured();
    let file = scratch.path("portcullis.toml");
    let token = |words: &[&str]| run_words(&[&["token", "--config", &file], words].concat());
    assert_eq!(token(&["--client", "nobody"]).0, Exit::Usage);
    assert_eq!(token(&["--client", "payer-b"]).0, Exit::Usage, "known by certificate");
    assert_eq!(token(&["--client", "payer-a", "--issuer", "https://other.example.org"]).0, Exit::Usage);
    assert_eq!(token(&["--client", "payer-a", "--purpose", "MONEY"]).0, Exit::Usage);
    let (exit, out, err) = token(&["--client", "payer-a", "--key", &scratch.path("certs/server.key")]);
    assert!(exit == Exit::Failed && out.is_empty() && err.contains("holds no public key of it"), "{err}");
    fs::remove_file(scratch.0.join("certs/issuer.key")).unwrap();
    assert_eq!(token(&["--client", "payer-a"]).0, Exit::Failed);
    fs::write(
        &file,
        CONFIGURATION.replace("jwks_file = \"certs/issuer.jwks.json\"", "jwks_url = \"https://as.example.org/jwks\""),
    )
    .unwrap();
    let (exit, _, err) = token(&["--client", "payer-a"]);
    assert!(exit == Exit::Usage && err.contains("publishes its keys by url"), "{err}");
}

#[test]
fn the_example_is_a_good_configuration_for_the_policies_beside_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = Scratch::new();
    assert_eq!(run_words(&["certs", "--out", &scratch.path("certs")]).0, Exit::Ok);
    fs::remove_dir(scratch.0.join("policies")).unwrap();
    std::os::unix::fs::symlink(root.join("policies"), scratch.0.join("policies")).unwrap();
    fs::copy(root.join("portcullis.example.toml"), scratch.0.join("portcullis.toml")).unwrap();
    fs::copy(root.join("roster.example.csv"), scratch.0.join("roster.csv")).unwrap();
    let (exit, out, err) = run_words(&["check", "--config", &scratch.path("portcullis.toml")]);
    assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
    assert!(out.contains("configuration is good") && out.contains("payer-a for HPAYMT, CLMATTCH"), "{out}");

    let config = Config::load(&scratch.0.join("portcullis.toml")).unwrap();
    let contracts = fs::read_to_string(root.join("policies/data/contracts.json")).unwrap();
    for client in &config.clients {
        assert!(contracts.contains(&format!("\"{}\"", client.organization)), "no contract names {}", client.id);
    }
}

/// As HAPI answers `_include` and `_revinclude`.
const SEARCHSET: &str = r##"{"resourceType":"Bundle","type":"searchset","total":2,"entry":[
  {"fullUrl":"http://localhost:8080/fhir/Condition/1","resource":{"resourceType":"Condition","id":"1",
   "meta":{"versionId":"2","lastUpdated":"2026-03-02T10:00:00.000+00:00","source":"#kQ2"},
   "recorder":{"reference":"Practitioner/ada"}},"search":{"mode":"match"}},
  {"fullUrl":"http://localhost:8080/fhir/Condition/2","resource":{"resourceType":"Condition","id":"2",
   "meta":{"versionId":"1"}},"search":{"mode":"match"}},
  {"fullUrl":"http://localhost:8080/fhir/Condition/3","resource":{"resourceType":"Condition","id":"3",
   "meta":{"versionId":"1"},"recorder":{"reference":"Practitioner/bob"}},"search":{"mode":"match"}},
  {"fullUrl":"http://localhost:8080/fhir/Practitioner/ada","resource":{"resourceType":"Practitioner","id":"ada",
   "identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1136090283"}]},"search":{"mode":"include"}},
  {"fullUrl":"http://localhost:8080/fhir/Organization/h","resource":{"resourceType":"Organization","id":"h",
   "identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1474179235"}]},"search":{"mode":"include"}},
  {"fullUrl":"http://localhost:8080/fhir/Provenance/p","resource":{"resourceType":"Provenance","id":"p",
   "target":[{"reference":"http://localhost:8080/fhir/Condition/1/_history/2"},{"reference":"Condition/3"}],
   "recorded":"2026-03-01T10:00:00Z","agent":[{"type":{"coding":[{
   "system":"http://terminology.hl7.org/CodeSystem/provenance-participant-type","code":"author"}]},
   "who":{"reference":"Practitioner/ada"},"onBehalfOf":{"reference":"Organization/h"}}]},"search":{"mode":"include"}}
]}"##;

const SOURCES: &str = r#"
[upstream]
kind = "exchange"
identifiers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]

[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|1474179235"]
name = "Hospital"
validates_authorship = true
speakers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]
agreement = "2025-04"
valid_from = "2025-04-01"
valid_to = "2025-05-01"
"#;

#[test]
fn provenance_says_who_answers_for_each_record() {
    let scratch = Scratch::new();
    let (bundle, sources) = (scratch.path("bundle.json"), scratch.path("sources.toml"));
    fs::write(&bundle, SEARCHSET).unwrap();
    fs::write(&sources, SOURCES).unwrap();
    let (exit, out, err) = run_words(&["provenance", &bundle]);
    assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["Condition/1", "asserted-by-source", "leaves"]);
    assert_eq!(lines[2][..4], ["Condition/2", "unknown", "stays", "?author-stated"]);
    assert_eq!(lines[3][..4], ["Condition/3", "contradicted", "stays", "!author-agrees"]);
    assert!(out.contains("contradicted        1"), "{out}");

    let (exit, out, _) = run_words(&["provenance", &bundle, "--json", "--all", "--sources", &sources]);
    assert_eq!(exit, Exit::Ok);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let resources = report["resources"].as_array().unwrap();
    assert_eq!((resources.len(), resources[0]["verdict"].as_str()), (6, Some("unknown")));
    assert_eq!(resources[0]["version"], "2");
    assert_eq!(resources[0]["leaves"], serde_json::json!({"payment": false, "treatment": true}));
    let force = serde_json::json!({"code": "agreement-in-force", "answer": "mismatch", "requirements": ["PRV-28"]});
    assert!(resources[0]["findings"].as_array().unwrap().contains(&force), "{out}");

    for wrong in ["{", r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Conditon"}}]}"#, "[]"] {
        fs::write(&bundle, wrong).unwrap();
        let (exit, out, err) = run_words(&["provenance", &bundle]);
        assert!(exit == Exit::Failed && out.is_empty() && !err.is_empty(), "{wrong}");
    }
    assert_eq!(run_words(&["provenance", &scratch.path("none")]).0, Exit::Failed);
}

#[test]
fn a_registry_is_checked_as_a_whole() {
    let scratch = Scratch::new();
    let file = scratch.path("sources.toml");
    fs::write(&file, SOURCES).unwrap();
    let (exit, out, _) = run_words(&["sources", "check", &file]);
    assert!(exit == Exit::Ok && out.contains("Hospital: validates all types; agreement no longer in force"), "{out}");
    assert!(run_words(&["sources", "check", "--help"]).1.contains("[[source]]"));

    let twice = format!("{SOURCES}{}", SOURCES.split_once("\n\n").unwrap().1);
    for (text, mistakes) in [
        (String::new(), &["upstream: is missing", "source: no source is registered"] as &[_]),
        (twice, &["15: source.identifiers: name another source as well"]),
        (
            SOURCES.replace("1474179235", "1474179234").replace("name =", "nmae =").replace("2025-05-01", "2025-03-01"),
            &[
                "6: source.name: is missing",
                "7: source.identifiers: \"http://hl7.org/fhir/sid/us-npi|1474179234\": not a National Provider",
                "8: source.nmae: unknown key; did you mean `name`?",
                "13: source.valid_to: is before valid_from",
            ],
        ),
        (
            SOURCES.replace(
                "agreement",
                "signatures = \"demanded\"\ntypes = [\"Conditon\"]\nmeta_sources = [\"a#b\"]\nagreement",
            ),
            &["6: source.anchors: is missing", "12: source.types: \"Conditon\"", "13: source.meta_sources: \"a#b\""],
        ),
        (SOURCES.replace("validates_authorship = true", ""), &["6: source.validates_authorship: is missing"]),
        (SOURCES.replace("= true", "= false\ntypes = [\"Goal\"]"), &["10: source.types: has no use"]),
        (SOURCES.replace("\"exchange\"", "\"hie\""), &["3: upstream.kind: must be"]),
        (
            SOURCES.replace("identifiers = [\"http://hl7.org/fhir/sid/us-npi|1216407266\"]", ""),
            &["2: upstream.identifiers: is missing"],
        ),
        (SOURCES.replace("speakers", "anchors = \"none.pem\"\nspeakers"), &["10: source.anchors: cannot read"]),
        (
            SOURCES.replace("speakers", "signature_dialect = \"2\"\nspeakers"),
            &["10: source.signature_dialect: must be", "10: source.signature_dialect: has no use"],
        ),
        (
            SOURCES.replace("speakers", "revocation_lists = \"none.pem\"\nspeakers"),
            &["10: source.revocation_lists: cannot read", "10: source.revocation_lists: has no use"],
        ),
        ("[upstream".to_owned(), &["sources.toml:1:"]),
    ] {
        fs::write(&file, &text).unwrap();
        let (exit, out, err) = run_words(&["sources", "check", &file]);
        assert!(exit == Exit::Config && out.is_empty(), "{text}");
        for mistake in mistakes {
            assert!(err.contains(mistake), "{mistake}\n{err}");
        }
    }
}
