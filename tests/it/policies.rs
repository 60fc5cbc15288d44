//! Policies: the good one stays in force, and what is no decision denies.

use crate::support::{Policy, clinic, everything, gateway, permitting, policy};

/// A decision about Patients, its members written as Rego.
fn deciding(members: &str) -> Policy {
    policy(&format!("default decision := {{{members}}}"))
}

const DENIAL: &str = r#""allow": false, "reasons": [{"code": "closed", "text": "Closed for now.", "basis": "none"}]"#;

#[test]
fn a_good_policy_applies_to_the_next_request() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    assert_eq!(payer.get("/Patient/maren").status(), 200);
    let closed = gateway.reload(&deciding(DENIAL)).unwrap();
    let refusal = payer.get("/Patient/maren").refusal();
    assert_eq!((refusal.status, refusal.reason.as_str(), refusal.text.as_str()), (403, "closed", "Closed for now."));
    let open = gateway.reload(&everything()).unwrap();
    assert_ne!(closed, open);
    assert_eq!(payer.get("/Patient/maren").status(), 200);
}

#[test]
fn a_bad_policy_leaves_the_good_one_in_force() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let recursive = "default decision := f(1)\n\nf(x) := g(x)\n\ng(x) := f(x)";
    for bad in [
        policy("decision := {"),
        policy("other := 1"),
        policy("decision := true"),
        policy("default decision := true"),
        policy(&format!("decision := {{{DENIAL}}}")),
        policy(recursive),
        policy(
            "default decision := {\"allow\": false}\n\ndecision := {\"allow\": http.send({\"method\": \"get\", \"url\": \"http://evil.example\"})}",
        ),
        deciding(r#""allow": false, "reasons": []"#),
        deciding(r#""allow": "true", "reasons": [{"code": "x", "text": "x", "basis": "x"}]"#),
        Policy::default(),
    ] {
        let problems = gateway.reload(&bad).unwrap_err();
        assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.is_empty()));
        assert_eq!(payer.get("/Patient/maren").status(), 200, "{bad:?}");
    }
}

#[test]
fn a_gateway_does_not_start_with_a_bad_policy() {
    let ehr = clinic();
    for bad in [policy("decision := {"), policy("other := 1"), deciding(r#""allow": false"#), Policy::default()] {
        let problems = gateway().with_policy(bad.clone()).try_in_front_of(&ehr).err();
        assert!(problems.is_some_and(|problems| !problems.is_empty()), "{bad:?}");
    }
}

#[test]
fn what_is_no_decision_denies() {
    let ehr = clinic();
    // Well-formed for strangers, who are asked about when policies are loaded; for the payer, something else.
    let patients = permitting;
    let mut of_observations = permitting("");
    of_observations.files[0].1 = of_observations.files[0].1.replace("\"*\": {", "\"Observation\": {");
    let also = |rule: &str| {
        let mut both = permitting("");
        both.files.push(("more.rego".to_owned(), format!("package portcullis\n\n{rule}\n")));
        both
    };
    let endless = "decision := object.union(permission, {\"page_cap\": n}) if {\n\tinput.client.id != \"\"\n\tn := count([1 | some a in xs; some b in xs; some c in xs; some d in xs; some e in xs])\n}\n\nxs := split(\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\", \"\")";
    let failing = "decision := object.union(permission, {\"page_cap\": 1 / count(input.request.includes)}) if input.client.id != \"\"";
    let cases = [
        ("permitted", patients(""), 200),
        ("the string true", patients(r#""allow": "true", "reasons": [{"code": "t", "text": "t", "basis": "t"}]"#), 403),
        ("one", patients(r#""allow": 1, "reasons": [{"code": "t", "text": "t", "basis": "t"}]"#), 403),
        ("unknown member", patients(r#""mask": ["birthDate"]"#), 403),
        ("misspelt member", patients(r#""with_hold_labels": []"#), 403),
        ("unknown type", patients(r#""types": {"Patients": {"elements": ["*"]}}"#), 403),
        ("no rule for the type", of_observations, 403),
        ("no elements", patients(r#""types": {"Patient": {"elements": []}}"#), 403),
        (
            "constraint not understood",
            patients(r#""types": {"Patient": {"elements": ["*"], "where": ["bogus=1"]}}"#),
            403,
        ),
        ("empty constraints", patients(r#""types": {"Patient": {"elements": ["*"], "where": []}}"#), 403),
        ("label without code", patients(r#""withhold_labels": ["R"]"#), 403),
        ("include of nothing", patients(r#""includes": ["*"]"#), 403),
        ("page cap of zero", patients(r#""page_cap": 0"#), 403),
        ("cache time below zero", patients(r#""cache_seconds": -1"#), 403),
        ("unknown roster", patients(r#""patients": {"roster": "nobodys"}"#), 403),
        ("a patient that is no id", patients(r#""patients": ["ma ren"]"#), 403),
        ("a runtime error", also(failing), 403),
        (
            "two decisions",
            also("decision := object.union(permission, {\"page_cap\": 7}) if input.client.id != \"\""),
            403,
        ),
        ("endless", also(endless), 403),
    ];
    let gateway = gateway().in_front_of(&ehr);
    for (name, policy, status) in cases {
        gateway.reload(&policy).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        ehr.reset();
        let answer = gateway.payer("lanternfield").get("/Patient/maren");
        assert_eq!(answer.status(), status, "{name}: {}", answer.text());
        if status == 403 {
            let refusal = answer.refusal();
            assert!(refusal.diagnostics.contains("Decision "), "{name}: {refusal:?}");
            assert!(ehr.requests().is_empty(), "{name}");
            let log = gateway.log();
            let record = log.exchange(answer.header("x-request-id"));
            assert_eq!(record.outcome.as_ref().unwrap().fault.as_deref(), Some("policy-error"), "{name}");
        }
    }
}

#[test]
fn pages_are_no_larger_than_the_policy_allows() {
    let ehr = clinic();
    let capped = permitting(r#""page_cap": 3"#);
    let gateway = gateway().with_policy(capped).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for target in ["/Observation?patient=maren", "/Observation?patient=maren&_count=1000"] {
        let pages = payer.every_page(target);
        assert!(pages.iter().all(|page| page.entries.len() <= 3), "{target}");
        assert!(pages.len() > 5, "{target}");
    }
}
