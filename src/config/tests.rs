use std::collections::BTreeSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SanType};
use toml::de::DeTable;

use super::*;
use crate::id::Token128;
use crate::oauth::Permission;

/// A folder with what a configuration may name, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("portcullis-config-{}", Token128::random().unwrap()));
        fs::create_dir_all(folder.join("policies")).unwrap();
        let scratch = Self(folder);
        let (certificate, key) = certificate_pair();
        let (_, other_key) = certificate_pair();
        scratch.write("server.pem", &certificate);
        scratch.write("server.key", &key);
        scratch.write("other.key", &other_key);
        let (certificate, key) = signing_pair();
        scratch.write("signing.pem", &certificate);
        scratch.write("signing.key", &key);
        scratch.write("token", "  s3cr3t-token\n");
        scratch.write("jwks.json", &jwks());
        scratch.write("roster.json", "{}");
        scratch
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn parse(&self, text: &str) -> Result<Config, Vec<Problem>> {
        Config::parse(text, &self.0.join("portcullis.toml"))
    }

    /// The mistakes as `line key: text`.
    fn problems(&self, text: &str) -> Vec<String> {
        let problems = self.parse(text).err().unwrap_or_default();
        problems.iter().map(|p| format!("{} {}: {}", p.line.unwrap_or_default(), p.key, p.text)).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn certificate_pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// The certificate of `https://clinic.example.org`.
fn signing_pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::URI("https://clinic.example.org".try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn jwks() -> String {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let (x, y) = pair.public_key_raw()[1..].split_at(48);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    format!(r#"{{"keys":[{{"kty":"EC","crv":"P-384","kid":"k1","x":"{x}","y":"{y}"}}]}}"#)
}

const MINIMAL: &str = r#"
[listen]
address = "127.0.0.1:8443"
base_url = "https://gateway.example.org/fhir"

[upstream]
base_url = "http://127.0.0.1:8080/fhir"

[policy]
path = "policies"

[audit]
directory = "audit"

[[issuer]]
issuer = "https://as.example.org"
jwks_file = "jwks.json"
algorithms = ["ES384"]

[[client]]
id = "payer-a"
organization = "https://payer-a.example.com/org/1"
issuer = "https://as.example.org"
purposes = ["HPAYMT"]
scopes = ["system/Observation.rs"]
"#;

const FULL: &str = r#"
[listen]
address = "0.0.0.0:8443"
base_url = "https://gateway.example.org/fhir"
allowed_hosts = ["gateway.example.org", "gateway.internal:8443"]
threads = 2
[listen.tls]
certificate = "server.pem"
key = "server.key"
client_ca = "server.pem"
client_certificates = "required"

[admin]
address = "127.0.0.1:9999"

[upstream]
base_url = "https://ehr.example.org/fhir"
ca = "server.pem"
client_certificate = "server.pem"
client_key = "server.key"
[upstream.client_credentials]
token_endpoint = "https://ehr.example.org/token"
client_id = "portcullis"
client_secret_file = "token"
scope = "system/*.rs"

[cache]
bytes = 1_000_000
seconds = 30
[cache.seconds_by_type]
Observation = 60
Consent = 0

[policy]
path = "policies"
engine = "interpreter"
facts = ["roster", "coverage", "consent"]
lookback = ["P12M", "P2Y"]
roster = "roster.json"

[audit]
directory = "audit"

[[issuer]]
issuer = "https://as.example.org"
audience = "https://other.example.org"
jwks_url = "https://as.example.org/jwks"
jwks_ca = "server.pem"
algorithms = ["RS384", "ES384"]
token_types = ["JWT", "application/at+jwt"]
token_endpoint = "https://as.example.org/token"
scopes_supported = ["system/*.rs"]
require = ["nbf", "jti"]
token_seconds = 600

[[client]]
id = "payer-a"
organization = "urn:oid:2.16.840.1.113883.4.4"
issuer = "https://as.example.org"
purposes = ["HPAYMT", "CLMATTCH"]
scopes = ["system/Observation.rs?category=laboratory", "system/Patient.r"]
bound = true
signed_answers = "2.1.0"
[client.attributes]
line = "commercial"

[[client]]
id = "payer-b"
organization = "https://payer-b.example.com"
certificate = { sha256 = "00:01:02:03:04:05:06:07:08:09:0A:0b:0c:0d:0e:0f:00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f" }
purposes = ["HPAYMT"]
scopes = ["system/Coverage.rs"]

[log]
level = "debug"

[organization]
identifier = "http://clinics.example.org|https://clinic.example.org"
name = "Clinic"

[signing]
certificate = "signing.pem"
key = "signing.key"
[signing.names]
"http://clinics.example.org" = "uri"
"#;

#[test]
fn a_minimal_file_gets_every_default() {
    let scratch = Scratch::new();
    let config = scratch.parse(MINIMAL).unwrap();
    assert_eq!(config.listen.allowed_hosts, ["gateway.example.org"]);
    assert!(config.listen.tls.is_none() && config.listen.threads.get() >= 1);
    assert_eq!(config.organization.value, "https://gateway.example.org/fhir");
    assert_eq!(
        (config.organization.name.as_str(), config.organization.system.as_str()),
        ("gateway.example.org", "urn:ietf:rfc:3986")
    );
    assert!(config.signing.is_none() && config.clients[0].signed_answers.is_none());
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9090");
    assert!(matches!(config.upstream.credential, UpstreamCredential::None));
    assert_eq!((config.cache.bytes, config.cache.seconds), (crate::limits::ANSWER_CACHE_BYTES, 60));
    assert_eq!(config.policy.engine, Engine::Auto);
    assert_eq!(config.policy.path, scratch.0.join("policies"));
    assert_eq!(config.log.level, LogLevel::Info);
    let issuer = &config.issuers[0];
    assert_eq!(issuer.audience, "https://gateway.example.org/fhir");
    assert_eq!(issuer.token_types, ["at+jwt"]);
    assert_eq!(issuer.token_seconds, 3_600);
    let client = &config.clients[0];
    assert_eq!(client.purpose.map(Purpose::code), Some("HPAYMT"));
    assert!(!client.bound && client.attributes.is_empty());
    assert!(client.scopes.may(ResourceType::parse("Observation").unwrap(), Permission::Search));
}

#[test]
fn a_full_file_is_read_to_the_last_key() {
    let scratch = Scratch::new();
    let config = scratch.parse(FULL).unwrap();
    let tls = config.listen.tls.unwrap();
    assert_eq!(tls.client_certificates, ClientCertificates::Required);
    assert_eq!((tls.certificate.chain().len(), config.listen.threads.get()), (1, 2));
    let UpstreamCredential::ClientCredentials(credentials) = &config.upstream.credential else { panic!() };
    assert_eq!(credentials.client_secret.secret.expose(), "s3cr3t-token");
    assert_eq!(config.cache.seconds_for(ResourceType::parse("Observation").unwrap()), 60);
    assert_eq!(config.cache.seconds_for(ResourceType::parse("Consent").unwrap()), 0);
    assert_eq!(config.cache.seconds_for(ResourceType::parse("Patient").unwrap()), 30);
    assert_eq!(config.policy.facts, [Fact::Roster, Fact::Coverage, Fact::Consent]);
    assert_eq!(config.policy.lookback.iter().map(|back| back.text.as_str()).collect::<Vec<_>>(), ["P12M", "P2Y"]);
    assert_eq!(config.policy.roster.unwrap().bytes(), b"{}");
    let issuer = &config.issuers[0];
    assert_eq!(issuer.token_types, ["jwt", "at+jwt"]);
    assert_eq!(issuer.require, [RequiredClaim::Nbf, RequiredClaim::Jti]);
    assert!(matches!(&issuer.keys, KeySource::Url { url, ca: Some(_) } if url.host() == "as.example.org"));
    assert_eq!(config.clients[0].purpose, None);
    assert_eq!(config.clients[0].attributes["line"], "commercial");
    assert_eq!(config.clients[0].signed_answers, Some(Dialect::Published));
    assert!(config.clients[1].signed_answers.is_none() && config.signing.is_some());
    assert_eq!(
        (config.organization.value.as_str(), config.organization.name.as_str()),
        ("https://clinic.example.org", "Clinic")
    );
    let Proof::Certificate(CertificateMatch::Sha256(thumbprint)) = config.clients[1].proof else { panic!() };
    assert_eq!(thumbprint[10], 10);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line() {
    let scratch = Scratch::new();
    let text = r#"[listen]
adress = "127.0.0.1:8443"
base_url = "http://gateway.example.org/fhir/"
threads = 0

[upstream]
base_url = "http://ehr.example.org/fhir"
ca = "nowhere.pem"
bearer_token_file = "token"
client_key = "server.key"
[upstream.client_credentials]
client_id = 7

[cache]
seconds = "sixty"
[cache.seconds_by_type]
Observations = 60

[policy]
path = "nowhere"
facts = ["roster", "weather"]
lookback = ["12 months", "PT5M", "P12M"]

[[issuer]]
issuer = "https://as.example.org"
jwks_file = "jwks.json"
algorithms = ["RS384", "HS256"]

[[issuer]]
issuer = "https://as.example.org"
algorithms = ["ES384"]

[[client]]
id = "payer-a"
organization = "payer-a"
issuer = "https://as.example.com"
purposes = ["HPAYMT", "MONEY"]
scopes = ["patient/Observation.rs"]

[[client]]
id = "payer-a"
organization = "https://payer-a.example.com"
certificate = { sha256 = "00" }
purposes = ["HPAYMT", "CLMATTCH"]
scopes = []

[logs]
"#;
    let nowhere = scratch.0.join("nowhere");
    let expected = [
        "1 audit: is missing".to_owned(),
        "1 listen.address: is missing".to_owned(),
        "2 listen.adress: unknown key; did you mean `address`?".to_owned(),
        "3 listen.base_url: ends with a slash; leave it out".to_owned(),
        "4 listen.threads: must be a number from 1 to 1024".to_owned(),
        "6 upstream.client_certificate: is missing: client_key needs its certificate".to_owned(),
        "7 upstream.base_url: is http beyond this machine: use https, or say allow_plaintext = true".to_owned(),
        format!("8 upstream.ca: cannot read {}.pem: No such file or directory (os error 2)", nowhere.display()),
        "8 upstream.ca: has no use while base_url is http".to_owned(),
        "9 upstream.bearer_token_file: contradicts [upstream.client_credentials]: choose one".to_owned(),
        "11 upstream.client_credentials.client_secret_file: is missing".to_owned(),
        "11 upstream.client_credentials.token_endpoint: is missing".to_owned(),
        "12 upstream.client_credentials.client_id: must be a text in quotes".to_owned(),
        "15 cache.seconds: must be a number from 0 to 86400".to_owned(),
        "17 cache.seconds_by_type.Observations: not a resource type of r4".to_owned(),
        "19 policy.roster: is missing: the fact \"roster\" is looked up in it".to_owned(),
        format!("20 policy.path: {} is not a folder", nowhere.display()),
        "21 policy.facts: \"weather\": no such fact; there are \"roster\", \"coverage\" and \"consent\"".to_owned(),
        "22 policy.lookback: \"12 months\": not an ISO 8601 period such as P12M".to_owned(),
        "22 policy.lookback: \"PT5M\": must be years, months, weeks or days, more than none".to_owned(),
        "27 issuer.algorithms: \"HS256\": not an asymmetric signature algorithm such as RS384 or ES384".to_owned(),
        "29 issuer.jwks_file: is missing: state jwks_file or jwks_url".to_owned(),
        "30 issuer.issuer: has two entries".to_owned(),
        "35 client.organization: not an absolute uri".to_owned(),
        "36 client.issuer: is not the `issuer` of any [[issuer]]".to_owned(),
        "37 client.purposes: \"MONEY\": not a purpose of use of v3-ActReason such as HPAYMT".to_owned(),
        "38 client.scopes: \"patient/Observation.rs\": level is not system".to_owned(),
        "40 client.purpose: is missing: without a token, one of purposes must be the one that counts".to_owned(),
        "41 client.id: is the id of two clients".to_owned(),
        "43 client.certificate: can never be shown: [listen.tls] asks for no client certificates".to_owned(),
        "43 client.certificate.sha256: not 64 hexadecimal digits".to_owned(),
        "45 client.scopes: must not be empty".to_owned(),
        "47 logs: unknown key; did you mean `log`?".to_owned(),
    ];
    let found = scratch.problems(text);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected);
}

#[test]
fn a_problem_reads_as_one_line() {
    let problem = Problem {
        file: "portcullis.toml".into(),
        line: Some(12),
        key: "listen.address".into(),
        text: "not good".into(),
    };
    assert_eq!(problem.to_string(), "portcullis.toml:12: listen.address: not good");
    let whole = Problem { line: None, key: String::new(), ..problem };
    assert_eq!(whole.to_string(), "portcullis.toml: not good");
}

#[test]
fn contradictions_between_sections_are_mistakes() {
    let scratch = Scratch::new();
    for (from, to, expected) in [
        ("127.0.0.1:8443", "0.0.0.0:8443", "2 listen.tls: is missing: tokens and"),
        ("https://gateway", "http://gateway", "4 listen.base_url: must be https"),
        ("[policy]", "[admin]\naddress = \"127.0.0.1:8443\"\n[policy]", "9 admin: has the same address"),
        ("path = \"policies\"", "path = \"policies\"\nroster = \"roster.json\"", "11 policy.roster: has no use"),
        ("jwks_file = \"jwks.json\"", "jwks_url = \"http://as.example.org/jwks\"", "17 issuer.jwks_url: must be https"),
        ("[\"ES384\"]", "[\"ES384\", \"RS384\"]", "18 issuer.algorithms: no key in jwks_file fits RS384"),
        ("algorithms = [\"ES384\"]", "", "15 issuer.algorithms: is missing"),
        ("purposes = [\"HPAYMT\"]", "purposes = [\"HPAYMT\"]\nbound = true", "25 client.bound: can never be met"),
        (
            "purposes = [\"HPAYMT\"]",
            "purposes = [\"HPAYMT\"]\npurpose = \"TREAT\"",
            "25 client.purpose: is not among purposes",
        ),
        ("directory = \"audit\"", "directory = \"a/b/c\"", "13 audit.directory: "),
    ] {
        let found = scratch.problems(&MINIMAL.replace(from, to));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}\n{found:?}");
    }
    let plaintext = MINIMAL.replace("127.0.0.1:8443\"", "0.0.0.0:8443\"\nallow_plaintext = true");
    assert!(scratch.problems(&plaintext).is_empty());
    let upstream = MINIMAL.replace("127.0.0.1:8080/fhir\"", "ehr:8080/fhir\"\nallow_plaintext = true");
    assert!(scratch.problems(&upstream).is_empty());
}

#[test]
fn files_must_hold_what_they_are_for() {
    let scratch = Scratch::new();
    scratch.write("private.json", &jwks().replace("\"kty\"", "\"d\":\"AAAA\",\"kty\""));
    scratch.write("two words", "a b");
    for (from, to, expected) in [
        ("key = \"server.key\"\nclient_ca", "key = \"other.key\"\nclient_ca", "is not the key of the certificate"),
        ("key = \"signing.key\"", "key = \"other.key\"", "signing.key: the first certificate is not that of the key"),
        ("key = \"signing.key\"", "key = \"token\"", "holds no private key in pem"),
        ("\"signing.pem\"", "\"server.pem\"", "signing.certificate: no name in the certificate"),
        ("\"http://clinics.example.org\" = \"uri\"", "", "signing.certificate: no name in the certificate"),
        ("= \"uri\"", "= \"dns\"", "signing.names: http://clinics.example.org: must be \"uri\" or an OID"),
        ("example.org|https://clinic.example.org\"", "example.org\"", "organization.identifier: must be system|value"),
        ("\"2.1.0\"", "\"3.0.0\"", "client.signed_answers: must be \"2.1.0\" or \"ci\""),
        ("key = \"server.key\"\nclient_ca", "key = \"server.pem\"\nclient_ca", "holds no private key in pem"),
        ("certificate = \"server.pem\"\nkey", "certificate = \"token\"\nkey", "holds no certificate"),
        ("client_key = \"server.key\"", "client_key = \"other.key\"", "is not the key of client_certificate"),
        ("client_secret_file = \"token\"", "client_secret_file = \"two words\"", "does not hold one word"),
        (
            "jwks_url = \"https://as.example.org/jwks\"\njwks_ca = \"server.pem\"",
            "jwks_file = \"private.json\"",
            "key set holds no usable key",
        ),
    ] {
        let found = scratch.problems(&FULL.replace(from, to));
        assert!(found.len() == 1 && found[0].contains(expected), "{expected}\n{found:?}");
    }
}

#[test]
fn what_is_not_toml_is_reported_where_it_breaks() {
    let scratch = Scratch::new();
    let found = scratch.problems("[listen]\naddress = 127.0.0.1\n\n[upstream\n");
    assert!(found.len() >= 2, "{found:?}");
    assert!(found[0].starts_with("2 :") && found.last().unwrap().starts_with("4 :"), "{found:?}");
    let absent = Config::load(&scratch.0.join("absent.toml")).err().unwrap();
    assert_eq!((absent.len(), absent[0].line), (1, None));
}

#[test]
fn debug_shows_no_secret() {
    let scratch = Scratch::new();
    let config = scratch.parse(FULL).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cr3t") && !shown.contains("PRIVATE KEY"), "{shown}");
    assert!(shown.contains("server.key"));
}

/// What stands between the two marks of README.md: a table whose first column holds the paths of keys.
fn documented_keys(table: &str) -> BTreeSet<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(readme).unwrap();
    let (_, rest) = text.split_once(&format!("<!-- {table} -->")).unwrap();
    let (table, _) = rest.split_once(&format!("<!-- /{table} -->")).unwrap();
    let key = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    table.lines().filter_map(key).collect()
}

#[test]
fn the_readme_lists_every_key_and_no_other() {
    let scratch = Scratch::new();
    let path = scratch.0.join("portcullis.toml");
    let report = raw::Report::new(&path, FULL);
    let (document, _) = DeTable::parse_recoverable(FULL);
    load::config(raw::Section::root(&report, document.get_ref())).unwrap();
    let asked = report.asked();
    let is_section = |key: &String| asked.iter().any(|other| other.starts_with(&format!("{key}.")));
    let keys: BTreeSet<String> = asked.iter().filter(|key| !is_section(key)).cloned().collect();
    assert_eq!(documented_keys("configuration"), keys);
}

#[test]
fn the_readme_lists_every_key_of_a_registry_and_no_other() {
    let path = Path::new("sources.toml");
    let text = "[upstream]\n[[source]]\n";
    let report = raw::Report::new(path, text);
    let (document, _) = DeTable::parse_recoverable(text);
    assert!(sources::sources(raw::Section::root(&report, document.get_ref())).is_none());
    let sections = ["upstream".to_owned(), "source".to_owned()];
    let keys: BTreeSet<String> = report.asked().into_iter().filter(|key| !sections.contains(key)).collect();
    assert_eq!(documented_keys("sources"), keys);
}
