//! Decisions end to end: the starter contract through `decide`, failures, reloads, the cache.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::testing::{Folder, unhurried};
use super::*;
use crate::fhir::json::Tape;
use crate::fhir::name::ResourceType;
use crate::id::Token128;
use crate::understand::{Asked, PageKey, Setting, understand};

pub(super) fn asked(path: &[&str], query: Option<&str>) -> Interaction {
    let pages = PageKey::random().unwrap();
    let setting = Setting { bases: &[], pages: &pages, client: "c", purpose: "p", now: now() };
    understand(Asked { post: false, path, query, form: None }, setting).unwrap()
}

pub(super) fn read(resource_type: &str, id: &str) -> Interaction {
    asked(&[resource_type, id], None)
}

pub(super) fn search(resource_type: &str, query: &str) -> Interaction {
    asked(&[resource_type], Some(query))
}

fn now() -> Now {
    Now::at("2026-11-23T12:00:00Z".parse().unwrap())
}

fn starter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

const ROSTER: &str = "patient,roster,member_id,start,end\n\
    p1,payer-a,MBR-P1,2024-01-01,\n\
    p2,payer-b,MBR-P2,2024-01-01,\n\
    p3,payer-a,MBR-P3,2024-01-01,2026-11-22\n";

/// The starter policies on either engine, with a roster.
static STARTER: LazyLock<[Policies; 2]> = LazyLock::new(|| {
    let folder = Folder::with(&[("roster.csv", ROSTER)]);
    [EngineSetting::Auto, EngineSetting::Interpreter].map(|engine| {
        let roster = Some(folder.path().join("roster.csv"));
        Policies::load(&starter(), PolicySettings { engine, roster, ..unhurried() }).unwrap()
    })
});

const COVERAGE: &str = r#"{"resourceType":"Coverage","status":"active","beneficiary":{"reference":"Patient/p1"},
    "payor":[{"reference":"Organization/payer-a-org"}],"period":{"start":"2024-01-01","end":"2024-12-31"}}"#;

const CONSENT: &str = r#"{"resourceType":"Consent","status":"active","patient":{"reference":"Patient/p1"},
    "scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}]},
    "provision":{"type":"deny"}}"#;

fn facts(roster: &Roster, patients: &[Id], coverage: &str, consent: Option<&str>) -> Facts {
    let known = |id: &Id| PatientFacts {
        coverage: CoverageFact::of(Tape::new().read(coverage.as_bytes()).unwrap().root()).into_iter().collect(),
        consents: consent
            .and_then(|text| ConsentFact::of(Tape::new().read(text.as_bytes()).unwrap().root()))
            .into_iter()
            .collect(),
        roster: roster.memberships(id),
    };
    Facts { patients: patients.iter().map(|id| (id.clone(), known(id))).collect() }
}

/// One request to the starter policies.
#[derive(Clone, Copy)]
struct Request<'a> {
    organization: &'a str,
    purpose: &'a str,
    patients: &'a [&'a str],
    coverage: &'a str,
    consent: Option<&'a str>,
    scopes: &'a [ScopeGrant<'a>],
}

const ALL: &[ScopeGrant<'_>] = &[ScopeGrant { resource_type: None, read: true, search: true, constraint: None }];

const GOOD: Request<'_> = Request {
    organization: "https://payer-a.example.org",
    purpose: "HPAYMT",
    patients: &["p1"],
    coverage: COVERAGE,
    consent: None,
    scopes: ALL,
};

impl Request<'_> {
    fn on(&self, policies: &Policies, cache: &DecisionCache, interaction: &Interaction) -> Result<Permit, DecideError> {
        let set = policies.current();
        let patients: Vec<Id> = self.patients.iter().map(|id| Id::parse(id).unwrap()).collect();
        let facts = facts(set.roster(), &patients, self.coverage, self.consent);
        let attributes = std::collections::BTreeMap::new();
        let caller = Caller {
            id: "client",
            organization: self.organization,
            purpose: self.purpose,
            scopes: self.scopes,
            attributes: &attributes,
        };
        let lookback = LookBack::parse(["P12M"]).unwrap();
        let id = DecisionId(Token128::random().unwrap());
        let outcome = decide(&set, cache, &caller, interaction, &patients, &facts, &lookback, now(), id);
        let named = outcome.as_ref().map_or_else(DecideError::decision, Permit::decision);
        assert_eq!(named, id, "every outcome carries the decision's id");
        outcome
    }

    /// The outcome, on which both engines must agree: `allow`, or the code of the refusal and whether it is concealed.
    fn outcome(&self, interaction: &Interaction) -> String {
        let both = STARTER.each_ref().map(|policies| match self.on(policies, &DecisionCache::new(), interaction) {
            Ok(permit) => format!("allow {:?}", permit.obligations().digest()),
            Err(DecideError::Denied(denial)) => {
                format!("{}{}", denial.reasons[0].code, if denial.conceal { " concealed" } else { "" })
            }
            Err(other) => other.to_string(),
        });
        assert_eq!(both[0], both[1]);
        both[0].split(" [").next().unwrap().to_owned()
    }
}

#[test]
fn the_starter_policies_pass_their_own_tests() {
    let report = policy_tests::run(&starter()).unwrap();
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.is_success() && report.passed.len() > 50);
}

#[test]
fn the_starter_policies_run_on_the_machine() {
    let [auto, interpreter] = &*STARTER;
    assert_eq!(auto.current().engine(), Engine::Machine, "{}", auto.current().engine_reason());
    assert_eq!(interpreter.current().engine(), Engine::Interpreter);
    assert_eq!(auto.current().revision(), interpreter.current().revision());
}

#[test]
fn the_starter_contract_case_by_case() {
    let labs = search("Observation", "patient=p1&category=laboratory");
    let good = || GOOD;
    for purpose in ["HPAYMT", "CLMATTCH", "COVAUTH", "COVERAGE"] {
        assert_eq!(Request { purpose, ..good() }.outcome(&labs), "allow", "{purpose}");
    }
    for purpose in ["TREAT", "ETREAT", "BTG"] {
        assert_eq!(Request { purpose, ..good() }.outcome(&labs), "treatment-is-for-providers", "{purpose}");
    }
    for purpose in ["HMARKT", "HRESCH", "", "hpaymt"] {
        assert_eq!(Request { purpose, ..good() }.outcome(&labs), "purpose-not-agreed", "{purpose}");
    }
    assert_eq!(Request { organization: "payer-x", ..good() }.outcome(&labs), "no-contract");
    assert_eq!(Request { organization: "", ..good() }.outcome(&labs), "no-contract");
    for name in ["Patient", "Coverage", "Encounter", "Condition", "Observation", "Provenance"] {
        assert_eq!(good().outcome(&read(name, "x")), "allow", "{name}");
    }
    for name in ["DocumentReference", "MedicationRequest", "Binary", "Consent", "AuditEvent"] {
        assert_eq!(good().outcome(&read(name, "x")), "type-not-agreed", "{name}");
    }
    for patients in [&["p2"][..], &["p3"], &["p9"]] {
        assert_eq!(Request { patients, ..good() }.outcome(&labs), "not-a-member concealed", "{patients:?}");
        assert_eq!(Request { patients, ..good() }.outcome(&read("Observation", "o1")), "not-a-member concealed");
    }
    assert_eq!(Request { patients: &["p1", "p2"], ..good() }.outcome(&labs), "one-patient");
    let nobody = Request { patients: &[], ..good() };
    assert_eq!(nobody.outcome(&search("Observation", "")), "patient-needed");
    assert_eq!(nobody.outcome(&search("Patient", "family=Smith")), "patient-needed");
    assert_eq!(nobody.outcome(&search("Patient", "identifier=http://hl7.org/fhir/sid/us-ssn|1")), "patient-needed");
    assert_eq!(nobody.outcome(&search("Patient", "identifier=http://payer-a.example/member|MBR-P1")), "allow");
    assert_eq!(nobody.outcome(&read("Observation", "o1")), "not-a-member concealed");
    assert_eq!(nobody.outcome(&read("Practitioner", "pr1")), "allow");
    assert_eq!(nobody.outcome(&search("Practitioner", "")), "type-not-agreed");
    for (from, to) in [
        ("\"active\"", "\"cancelled\""),
        ("payer-a-org", "payer-b-org"),
        ("\"start\":\"2024-01-01\",", ""),
        ("\"start\":\"2024-01-01\",\"end\":\"2024-12-31\"", "\"start\":\"2027-01-01\",\"end\":\"2027-12-31\""),
        ("\"status\":\"active\",", "\"status\":\"active\",\"modifierExtension\":[{\"url\":\"x\"}],"),
    ] {
        let coverage = COVERAGE.replacen(from, to, 1);
        assert_ne!(coverage, COVERAGE);
        assert_eq!(Request { coverage: &coverage, ..good() }.outcome(&labs), "not-a-member concealed", "{to}");
    }
    assert_eq!(Request { consent: Some(CONSENT), ..good() }.outcome(&labs), "not-a-member concealed");
    let psychiatric = CONSENT.replace(
        r#""type":"deny""#,
        r#""type":"deny","securityLabel":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]"#,
    );
    assert_eq!(Request { consent: Some(&psychiatric), ..good() }.outcome(&labs), "allow");
    let unsupported = CONSENT.replace(r#""type":"deny""#, r#""type":"permit","data":[]"#);
    assert_eq!(Request { consent: Some(&unsupported), ..good() }.outcome(&labs), "not-a-member concealed");
}

#[test]
fn the_starter_release_is_the_minimum() {
    let permit = GOOD.on(&STARTER[0], &DecisionCache::new(), &search("Observation", "patient=p1")).unwrap();
    let obligations = permit.obligations();
    assert_eq!(permit.revision(), STARTER[0].current().revision());
    assert_eq!(permit.engine(), Engine::Machine);
    let names: Vec<&str> = obligations.types().map(ResourceType::as_str).collect();
    assert_eq!(
        names,
        ["Condition", "Coverage", "Encounter", "Observation", "Organization", "Patient", "Practitioner", "Provenance"]
    );
    let of_type = |name| obligations.rule(ResourceType::parse(name).unwrap()).unwrap();
    let fits = |name, text: &str| {
        let mut tape = Tape::new();
        let resource = tape.read(text.as_bytes()).unwrap().root();
        of_type(name).alternatives.iter().any(|all| all.iter().all(|criterion| criterion.matches(resource, &[])))
    };
    let observation = |category: &str, day: &str| {
        format!(
            r#"{{"resourceType":"Observation","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"{category}"}}]}}],
                "code":{{"coding":[{{"system":"http://loinc.org","code":"4548-4"}}]}},"effectiveDateTime":"{day}"}}"#
        )
    };
    assert!(fits("Observation", &observation("laboratory", "2024-05-01")));
    assert!(fits("Observation", &observation("vital-signs", "2024-12-31T23:00:00Z")));
    assert!(!fits("Observation", &observation("social-history", "2024-05-01")));
    assert!(!fits("Observation", &observation("laboratory", "2023-12-31")));
    assert!(!fits("Observation", &observation("laboratory", "2025-01-01")));
    assert!(!fits("Observation", &observation("laboratory", "2024-05-01").replace("4548-4", "7917-8")));
    assert!(!fits("Observation", &observation("laboratory", "2024-05-01").replace("effectiveDateTime", "issuedOn")));
    let two = observation("laboratory", "2024-05-01").replace(
        r#""category":["#,
        r#""category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"social-history"}]},"#,
    );
    assert!(!fits("Observation", &two));
    assert_eq!(of_type("Patient").elements.child("birthDate"), Kept::No);
    assert_eq!(of_type("Patient").elements.child("identifier"), Kept::No);
    assert_eq!(of_type("Observation").elements.child("note"), Kept::No);
    assert_eq!(of_type("Observation").elements.child("valueQuantity"), Kept::Whole);
    assert!(obligations.withholds_label("http://terminology.hl7.org/CodeSystem/v3-ActCode", "HIV"));
    assert!(!obligations.withholds_label("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N"));
    assert_eq!((obligations.page_cap(), obligations.cache()), (Some(100), Duration::from_secs(30)));
}

#[test]
fn scopes_and_policy_must_both_permit() {
    let observation = ResourceType::parse("Observation").ok();
    let scope = |read, search, constraint| [ScopeGrant { resource_type: observation, read, search, constraint }];
    let labs = search("Observation", "patient=p1");
    let outcome = |scopes: &[ScopeGrant<'_>]| Request { scopes, ..GOOD }.outcome(&labs);
    let refused = "the scopes of the token do not allow the interaction";
    assert_eq!(outcome(&[]), refused);
    assert_eq!(outcome(&scope(true, false, None)), refused);
    assert_eq!(outcome(&scope(true, true, Some("nonsense=1"))), refused);
    assert_eq!(outcome(&scope(false, true, None)), "allow");
    let granted = scope(false, true, Some("code=http://loinc.org|4548-4"));
    let permit = Request { scopes: &granted, ..GOOD }.on(&STARTER[0], &DecisionCache::new(), &labs).unwrap();
    let rule = permit.obligations().rule(observation.unwrap()).unwrap();
    assert_eq!(rule.alternatives.len(), 2);
    assert!(
        rule.alternatives.iter().all(|all| all.iter().any(|one| one.to_string() == "code=http://loinc.org|4548-4"))
    );
    assert_eq!(permit.obligations().types().count(), 1, "types without a scope are not released");
}

#[test]
fn a_repeated_question_is_answered_from_the_cache_under_a_new_id() {
    let (cache, labs) = (DecisionCache::new(), search("Observation", "patient=p1"));
    let first = GOOD.on(&STARTER[0], &cache, &labs).unwrap();
    let second = GOOD.on(&STARTER[0], &cache, &labs).unwrap();
    assert_eq!((first.cached(), second.cached()), (false, true));
    assert_ne!(first.decision(), second.decision());
    assert!(Arc::ptr_eq(first.obligations(), second.obligations()));
    let other = GOOD.on(&STARTER[0], &cache, &search("Observation", "patient=p1&status=final")).unwrap();
    assert!(!other.cached());
    assert_eq!(other.obligations().digest(), first.obligations().digest());
    let refused = Request { purpose: "TREAT", ..GOOD };
    assert!(matches!(refused.on(&STARTER[0], &cache, &labs), Err(DecideError::Denied(_))));
    assert!(matches!(refused.on(&STARTER[0], &cache, &labs), Err(DecideError::Denied(_))));
}

/// A policy for one test, which decides by the purpose.
fn policy(decision: &str) -> String {
    format!(
        "package portcullis\ndefault decision := {{\"allow\": false, \"reasons\": [{{\"code\": \"none\", \"text\": \"No.\", \
         \"basis\": \"Test\"}}]}}\n{decision}\n"
    )
}

fn with(text: &str, time: Duration) -> Policies {
    let settings = PolicySettings { time, ..unhurried() };
    Policies::load(Folder::with(&[("a.rego", text)]).path(), settings).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn an_evaluation_without_end_is_a_refusal_within_bounds() {
    let slow = policy(
        "decision := {\"allow\": true} if {\n\
         \tinput.client.purpose == \"HPAYMT\"\n\
         \tcount([1 | some a in input.client.attributes; some b in digits; some c in digits; some d in digits; some e in digits;\n\
         \t\tsome f in digits; some g in digits; a == \"never\"]) == 0\n}\n\
         digits := [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]",
    )
    .replace("some a in input.client.attributes", "some a in digits");
    let policies = with(&slow, crate::limits::POLICY_TIME);
    let started = Instant::now();
    let outcome = GOOD.on(&policies, &DecisionCache::new(), &search("Observation", "patient=p1"));
    assert!(matches!(outcome, Err(DecideError::Timeout { .. })), "{outcome:?}");
    assert!(started.elapsed() < crate::limits::POLICY_TIME * 100, "{:?}", started.elapsed());
}

#[test]
fn a_result_that_comes_late_is_none() {
    let policies = with(&policy("decision := {\"allow\": false} if false"), Duration::ZERO);
    let outcome = GOOD.on(&policies, &DecisionCache::new(), &search("Observation", "patient=p1"));
    assert!(matches!(outcome, Err(DecideError::Timeout { .. })), "{outcome:?}");
}

#[test]
fn failures_are_refusals_and_are_not_remembered() {
    let labs = search("Observation", "patient=p1");
    let cache = DecisionCache::new();
    let outcome = |decision: &str| {
        let policies = with(&policy(decision), Duration::from_secs(20));
        let first = GOOD.on(&policies, &cache, &labs);
        let again = GOOD.on(&policies, &cache, &labs);
        assert_eq!(format!("{:?}", first.is_err()), format!("{:?}", again.is_err()));
        first.unwrap_err()
    };
    let when = "if input.client.purpose == \"HPAYMT\"";
    assert!(matches!(outcome(&format!("decision := count(5) {when}")), DecideError::Evaluation { .. }));
    assert!(matches!(outcome(&format!("decision := 1 {when}\ndecision := 2 {when}")), DecideError::Evaluation { .. }));
    assert!(matches!(outcome(&format!("decision := to_number(\"x\") {when}")), DecideError::Evaluation { .. }));
    let malformed = |decision: &str| match outcome(&format!("decision := {decision} {when}")) {
        DecideError::Malformed { fault, .. } => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(malformed("true"), DecisionError::IllTyped("decision"));
    assert_eq!(malformed("{\"allow\": \"true\"}"), DecisionError::IllTyped("allow"));
    assert_eq!(malformed("{\"allow\": true}"), DecisionError::Missing("reasons"));
    let whole = |types: &str, patients: &str| {
        format!(
            "{{\"allow\": true, \"reasons\": [{{\"code\": \"a\", \"text\": \"A.\", \"basis\": \"B\"}}], \"patients\": {patients}, \
             \"types\": {types}, \"withhold_labels\": [], \"includes\": []}}"
        )
    };
    assert_eq!(malformed(&whole("{\"Condition\": {\"elements\": [\"*\"]}}", "[]")), DecisionError::Unanswered);
    let unknown = whole("{\"Observation\": {\"elements\": [\"*\"]}}", "{\"roster\": \"payer-a\"}");
    assert_eq!(malformed(&unknown), DecisionError::Value("roster"), "no such roster");
}

#[test]
fn an_input_beyond_the_limit_is_a_refusal() {
    let long = "x".repeat(crate::limits::POLICY_INPUT_BYTES);
    let outcome = Request { organization: &long, ..GOOD }.on(
        &STARTER[0],
        &DecisionCache::new(),
        &search("Observation", "patient=p1"),
    );
    assert!(matches!(outcome, Err(DecideError::Input { .. })));
}

#[test]
fn a_reload_takes_effect_and_a_bad_one_changes_nothing() {
    let text = |code: &str| policy("").replace("none", code);
    let folder = Folder::with(&[("a.rego", &text("first")), ("roster.csv", "patient,roster,member_id,start,end\n")]);
    let settings = PolicySettings { roster: Some(folder.path().join("roster.csv")), ..unhurried() };
    let policies = Policies::load(folder.path(), settings).unwrap();
    let (cache, labs) = (DecisionCache::new(), search("Observation", "patient=p1"));
    let code = || match GOOD.on(&policies, &cache, &labs) {
        Err(DecideError::Denied(denial)) => denial.reasons[0].code.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(), "first");
    let held = policies.current();
    for bad in
        ["package portcullis\n", "package portcullis\np := if", "", &text("x").replace(", \"basis\": \"Test\"", "")]
    {
        folder.write("a.rego", bad);
        assert!(policies.reload(folder.path()).is_err(), "{bad}");
        assert_eq!((code().as_str(), policies.current().revision()), ("first", held.revision()));
    }
    folder.write("a.rego", &text("second"));
    folder.write("roster.csv", "nonsense\n");
    assert!(policies.reload(folder.path()).unwrap_err()[0].to_string().contains("roster.csv: line 1"));
    folder.write("roster.csv", "patient,roster,member_id,start,end\np1,a,1,,\n");
    let revision = policies.reload(folder.path()).unwrap();
    assert_eq!((code().as_str(), policies.current().revision()), ("second", &revision));
    assert_ne!(&revision, held.revision());
    assert_eq!(policies.current().roster().len(), 1);
    assert_eq!(held.roster().len(), 0, "a decision keeps the set it began with");
}

#[test]
fn the_revision_is_of_policies_and_data_and_the_roster_is_in_the_key() {
    let revision = |files: &[(&str, &str)]| {
        let folder = Folder::with(files);
        let policies = Policies::load(folder.path(), unhurried()).unwrap();
        policies.current().revision().clone()
    };
    let base = policy("");
    let plain = revision(&[("a.rego", &base)]);
    assert_eq!(plain.as_str().len(), 64);
    assert_eq!(plain, revision(&[("a.rego", &base), ("a_test.rego", "package portcullis_test\n"), ("README.md", "x")]));
    for files in [
        vec![("b.rego", base.as_str())],
        vec![("a.rego", base.as_str()), ("b.rego", "package portcullis\n")],
        vec![("a.rego", base.as_str()), ("data/x.json", "{}")],
        vec![("a.rego", base.as_str()), ("data/x.json", "{\"x\":1}")],
        vec![("a.rego", &*format!("{base}#"))],
    ] {
        assert_ne!(plain, revision(&files), "{files:?}");
    }
    let folder = Folder::with(&[("a.rego", &base), ("roster.csv", "patient,roster,member_id,start,end\n")]);
    let settings = PolicySettings { roster: Some(folder.path().join("roster.csv")), ..unhurried() };
    let policies = Policies::load(folder.path(), settings).unwrap();
    let before = policies.current();
    folder.write("roster.csv", "patient,roster,member_id,start,end\np1,a,1,,\n");
    policies.reload(folder.path()).unwrap();
    assert_eq!(before.revision(), policies.current().revision());
    assert_ne!(before.fingerprint(), policies.current().fingerprint());
}

#[test]
fn a_planted_failing_test_fails() {
    let tests = "package portcullis_test\nimport data.portcullis.decision\n\
        test_good if not decision.allow with input as {}\n\
        test_false if decision.allow with input as {}\n\
        test_value := 5\n\
        test_error if count(5) == 1\n\
        test_undefined if input.nothing\n\
        not_a_test if false\n";
    let folder = Folder::with(&[("a.rego", &policy("")), ("b/a_test.rego", tests)]);
    let report = policy_tests::run(folder.path()).unwrap();
    assert_eq!(report.passed, ["data.portcullis_test.test_good"]);
    let failed: Vec<(&str, &str)> =
        report.failed.iter().map(|failed| (failed.test.as_str(), failed.at.as_str())).collect();
    assert_eq!(
        failed,
        [
            ("data.portcullis_test.test_false", "b/a_test.rego:4"),
            ("data.portcullis_test.test_value", "b/a_test.rego:5"),
            ("data.portcullis_test.test_error", "b/a_test.rego:6"),
            ("data.portcullis_test.test_undefined", "b/a_test.rego:7"),
        ]
    );
    assert_eq!(report.failed[0].why, "undefined");
    assert!(!report.is_success());
    let none = Folder::with(&[("a.rego", &policy(""))]);
    assert!(!policy_tests::run(none.path()).unwrap().is_success(), "no tests are no success");
    let broken = Folder::with(&[("a.rego", &policy("")), ("a_test.rego", "package portcullis_test\ntest_x if {\n")]);
    assert_eq!(policy_tests::run(broken.path()).unwrap_err()[0].file, "a_test.rego");
}
