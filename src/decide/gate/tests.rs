//! Which policies the fast engine may decide.

use crate::decide::testing::{Folder, unhurried};
use crate::decide::{Engine, EngineSetting, Policies, PolicySettings};

/// A policy that permits `a`, and tells others the value of `probe`.
const POLICY: &str = r#"package portcullis
default decision := {"allow": false, "reasons": [{"code": "none", "text": "No.", "basis": "Test"}]}
decision := permission if {
    input.client.id == "a"
    permission
}
else := told if told
told := {"allow": false, "reasons": [{"code": "told", "text": sprintf("%v", [probe]), "basis": "Test"}]} if {
    input.client.id == "b"
}
permission := {
    "allow": true, "reasons": [{"code": "a", "text": "A.", "basis": "Test"}], "patients": [],
    "types": {"Patient": {"elements": ["*"]}}, "withhold_labels": [], "includes": []
}
"#;

const TESTS: &str = r#"package portcullis_test
import data.portcullis.decision
test_a if decision.allow with input as {"client": {"id": "a"}, "list": [{"x": 1}, {"y": 2}], "e": 5}
test_b if not decision.allow with input as {"client": {"id": "b"}, "list": [{"x": 1}], "e": 5}
"#;

fn engine(policy: &str, tests: &str) -> (Engine, String) {
    let folder = Folder::with(&[("a.rego", policy), ("a_test.rego", tests)]);
    let set = Policies::load(folder.path(), unhurried())
        .unwrap_or_else(|problems| panic!("{policy}: {problems:?}"))
        .current();
    (set.engine(), set.engine_reason().to_owned())
}

fn with(probe: &str) -> (Engine, String) {
    engine(&format!("{POLICY}{probe}\n"), TESTS)
}

#[test]
fn plain_policies_run_on_the_machine() {
    for probe in [
        "probe := 1",
        "probe := {x | some x in input.list}",
        "probe := count([x | some x in input.list; x.x])",
        "probe := [x.x | some x in input.list; x.x]",
        "probe := f(input.e)\nf(x) := \"small\" if x < 9\nelse := \"large\"",
        "probe := s\ns contains x if { some y in input.list; y.x; x := y.x }",
        "probe := {k: 1 | some k, _ in input.client}",
    ] {
        let (engine, why) = with(probe);
        assert_eq!(engine, Engine::Machine, "{probe}: {why}");
    }
}

#[test]
fn constructs_on_which_the_engines_differ_stay_on_the_interpreter() {
    for (probe, why) in [
        ("probe := r\nr[k] contains v if { some k, v in {\"a\": 1} }", "a reference"),
        ("probe := q\nq.b.c := 3", "a reference"),
        ("probe := p\np[k] := v if { some k, v in {\"a\": 1} }", "a reference"),
        ("probe := f(5)\ndefault f(_) := 9\nf(1) := 1", "a default function"),
        ("probe := r\nr := 1 if input.e == 5\nr := 2 if input.list", "several definitions"),
        ("probe := r\nr := x if { some x in [1, 2]; x > 1 }", "several ways"),
        ("probe := input.list[_]", "iterates"),
        ("probe := input.list[i] if { i = 0; input.list[j] }", "iterates"),
        ("probe := x if { some x; x = 1 }", "`some` without `in`"),
        ("probe if { every x in input.list { x } }", "`every`"),
        ("probe := 1 if { r == 6 with input.e as 6 }\nr := input.e", "`with`"),
        ("probe := to_number(\"abc\")", "swallows"),
        ("probe := regex.match(\"[\", \"a\")", "swallows"),
        ("probe := glob.match(\"[\", [], \"a\")", "swallows"),
        ("probe := substring(\"abc\", -1, 1)", "swallows"),
        ("probe := 1 / 0", "a division"),
        ("probe := [x | x := input.nope]", "an assignment"),
        ("probe := 1 if { x := input.nope; 1 == 1 }", "an assignment"),
        ("probe := 1 if { x := f(1); not x == 2 }\nf(2) := 1", "an assignment"),
        ("probe := [x.x | some x in input.list]", "a comprehension of what"),
        ("probe := {x.x: 1 | some x in input.list}", "keys may conflict"),
        ("probe := {k: f(v) | some k, v in {\"a\": 1}}\nf(2) := 3", "a comprehension of what"),
        ("probe := {k: v | some k in [\"a\", \"a\"]; some v in [1, 2]}", "keys may conflict"),
        ("probe := g(f(1))\nf(2) := 3\ng(_) := \"called\"", "an argument"),
        ("probe := v\nv := input.nope if true\nelse := 5", "an `else`"),
    ] {
        let (engine, reason) = with(probe);
        assert_eq!(engine, Engine::Interpreter, "{probe}");
        assert!(reason.contains(why), "{probe}: {reason}");
    }
}

#[test]
fn a_built_in_error_in_a_deny_rule_is_found_by_running_both() {
    for probe in [
        "probe := count(denied)\ndenied contains \"late\" if { upper(input.e) == \"A\" }",
        "probe := count(denied)\ndenied contains \"late\" if { input.e - \"a\" == 1 }",
        "probe := count(denied)\ndenied contains \"late\" if { input.e < \"a\" }",
        "probe := f(1)\nf(x) := count(x)",
    ] {
        let (engine, reason) = with(probe);
        assert_eq!(engine, Engine::Interpreter, "{probe}");
        assert!(reason.contains("differ"), "{probe}: {reason}");
    }
}

#[test]
fn proof_by_too_little_is_none() {
    let policy = format!("{POLICY}probe := 1\n");
    assert_eq!(engine(&policy, TESTS).0, Engine::Machine);
    let only_a = "package portcullis_test\nimport data.portcullis.decision\n\
        test_a if decision.allow with input as {\"client\": {\"id\": \"a\"}}\n";
    assert!(engine(&policy, only_a).1.contains("no policy test reaches"), "{:?}", engine(&policy, only_a));
    assert!(engine(&policy, "package portcullis_test\n").1.contains("no policy test reaches"));
    let unreached = format!("{policy}hidden if {{\n    input.client.id == \"a\"\n    input.never == upper(5)\n}}\n");
    assert!(engine(&unreached, TESTS).1.contains("no policy test reaches"), "{:?}", engine(&unreached, TESTS));
    let open = "package portcullis_test\nimport data.portcullis.decision\n\
        test_a if { made := {\"client\": {\"id\": \"a\"}}; decision.allow with input as made }\n";
    assert!(
        engine(&policy, open).1.contains("no policy test reaches"),
        "inputs that hang on variables cannot be taken"
    );
}

#[test]
fn the_setting_keeps_the_interpreter() {
    let folder = Folder::with(&[("a.rego", &format!("{POLICY}probe := 1\n")), ("a_test.rego", TESTS)]);
    let settings = PolicySettings { engine: EngineSetting::Interpreter, ..unhurried() };
    assert_eq!(Policies::load(folder.path(), settings).unwrap().current().engine(), Engine::Interpreter);
    assert_eq!(EngineSetting::parse("auto"), Some(EngineSetting::Auto));
    assert_eq!(EngineSetting::parse("interpreter"), Some(EngineSetting::Interpreter));
    assert_eq!(EngineSetting::parse("machine"), None);
}

#[test]
fn inputs_grow_from_seeds_alike_each_time() {
    let seeds = [serde_json::json!({"a": [1, 2], "b": {"c/d": "x"}}), serde_json::json!({"a": [3], "b": {}})];
    let grown = super::grown(&seeds);
    assert_eq!(grown, super::grown(&seeds));
    for wanted in [
        serde_json::json!({"b": {"c/d": "x"}}),
        serde_json::json!({"a": [2], "b": {"c/d": "x"}}),
        serde_json::json!({"a": [1, 2], "b": {}}),
        serde_json::json!({"a": [3, 2], "b": {"c/d": "x"}}),
    ] {
        assert!(grown.contains(&wanted), "{wanted}");
    }
    let many: Vec<_> = (0..600).map(|n| serde_json::json!({"a": n})).collect();
    assert!((1..=2 * crate::limits::GATE_INPUTS).contains(&super::grown(&many).len()));
}
