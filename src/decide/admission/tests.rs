//! What is refused when policies are loaded, one reason at a time.

use super::*;
use crate::decide::policy_tests;
use crate::decide::testing::{Folder, unhurried};
use crate::decide::{DecisionError, Policies};

const DEFAULT: &str = r#"package portcullis
default decision := {"allow": false, "reasons": [{"code": "none", "text": "No.", "basis": "Test"}]}
"#;

fn load(files: &[(&str, &str)]) -> Result<Policies, Vec<PolicyProblem>> {
    Policies::load(Folder::with(files).path(), unhurried())
}

/// The problems of the default policy with more in it.
fn problems(more: &str) -> Vec<String> {
    match load(&[("a.rego", &format!("{DEFAULT}{more}"))]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn refused(more: &str, line: u32, text: &str) {
    let problems = problems(more);
    let place = format!("a.rego:{line}: ");
    assert!(
        problems.iter().any(|problem| problem.starts_with(&place) && problem.contains(text)),
        "{more}: {problems:?}"
    );
}

#[test]
fn a_default_alone_is_a_policy() {
    assert_eq!(problems(""), Vec::<String>::new());
    assert!(ADMITTED.is_sorted());
    assert!(ADMITTED.iter().all(|name| BUILTINS.contains_key(name)));
}

#[test]
fn recursion_is_refused_before_it_can_abort() {
    refused("f(x) := f(x + 1)", 3, "recursion: data.portcullis.f -> data.portcullis.f");
    refused("f(x) := g(x)\ng(x) := f(x)", 3, "recursion");
    refused("p if q\nq if r\nr if p", 3, "recursion");
    refused("p contains x if some x in p", 3, "recursion");
    refused("p if data.portcullis[input.client.id]", 3, "recursion");
    refused("p if data[input.client.id]", 3, "recursion");
    refused("p if count([1 | q]) == 1\nq if p", 3, "recursion");
    refused("p if { every x in [1] { q(x) } }\nq(x) if { x == 1; p }", 3, "recursion");
    refused("p if input.scopes[q]\nq := 1 if p", 3, "recursion");
}

#[test]
fn packages_that_import_one_another_are_recursion_to_the_interpreter() {
    let problems = load(&[
        ("a.rego", DEFAULT),
        ("b.rego", "package portcullis.b\nimport data.portcullis.c\np if c.q\nr := 1\n"),
        ("c.rego", "package portcullis.c\nimport data.portcullis.b\nq if true\ns := b.r\n"),
    ])
    .unwrap_err();
    assert!(problems.iter().any(|problem| problem.text.starts_with("recursion: ")), "{problems:?}");
}

#[test]
fn recursion_in_tests_is_refused_too() {
    let folder = Folder::with(&[
        ("a.rego", DEFAULT),
        ("a_test.rego", "package portcullis_test\nf(x) := f(x + 1)\ntest_f if f(1) == 1\n"),
    ]);
    assert!(policy_tests::run(folder.path()).unwrap_err()[0].text.starts_with("recursion: "));
}

#[test]
fn long_chains_are_refused_and_the_longest_admitted_one_runs_on_a_small_stack() {
    let chain = |length: usize| {
        let steps: Vec<String> = (1..length).map(|step| format!("f{step}(x) := f{}(x)", step + 1)).collect();
        format!("{}\nf{length}(x) := x\n", steps.join("\n"))
    };
    assert_eq!(problems(&chain(limits::POLICY_CALL_DEPTH)), Vec::<String>::new());
    refused(&chain(limits::POLICY_CALL_DEPTH + 1), 3, "a chain of 33 rules");

    let with_decision = format!(
        "{DEFAULT}decision := {{\"allow\": false, \"reasons\": [{{\"code\": \"x\", \"text\": f1(\"Deep.\"), \"basis\": \"b\"}}]}}\n{}",
        chain(limits::POLICY_CALL_DEPTH - 1)
    );
    let policies = load(&[("a.rego", &with_decision)]).unwrap();
    let deep = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || {
        let set = policies.current();
        set.evaluate(br#"{"client":{}}"#).unwrap()
    });
    assert!(deep.unwrap().join().unwrap().contains("Deep."));
}

#[test]
fn built_ins_that_are_not_admitted_are_refused() {
    for call in [
        "numbers.range(1, 100000000)",
        "numbers.range_step(1, 9, 1)",
        "rand.intn(\"x\", 5)",
        "time.now_ns()",
        "http.send({})",
        "opa.runtime()",
        "walk(input)",
        "strings.replace_n({\"a\": \"b\"}, \"a\")",
        "replace(\"a\", \"a\", \"aa\")",
        "regex.replace(\"a\", \"a\", \"aa\")",
        "json.marshal(input)",
        "bits.lsh(1, 1000000)",
        "product([1])",
        "print(\"x\")",
        "trace(\"x\")",
        "io.jwt.decode(\"x\")",
    ] {
        refused(&format!("p := {call}"), 3, "admitted");
        refused(&format!("p if {{ not {call} }}"), 3, "admitted");
        refused(&format!("p := [x | some x in [{call}]]"), 3, "admitted");
    }
}

#[test]
fn misspelt_functions_and_wrong_arguments_are_refused_even_where_they_are_not_reached() {
    refused("p := 1 if { false; lenght(input) > 1 }", 3, "no function");
    refused("p := data.portcullis.nothing(1)", 3, "is not defined");
    refused("p := q(1)\nq := 1", 3, "is not a function");
    refused("p := q(1, 2)\nq(x) := x", 3, "is called with 2 arguments");
    refused("p := count(1, 2)", 3, "is called with 2 arguments");
    refused("count := 1", 3, "shadows a built-in");
    refused("regex := 1", 3, "shadows a built-in");
}

#[test]
fn text_grows_no_more_than_its_parts() {
    refused("p := concat(\"\", [concat(\"\", [\"a\"])])", 3, "holds another call that builds text");
    refused("p := sprintf(\"%s\", [sprintf(\"%s\", [\"a\"])])", 3, "holds another call that builds text");
    refused("p := sprintf(\"%999999999d\", [1])", 3, "`sprintf` needs");
    refused("p := sprintf(\"%s %s\", [1])", 3, "`sprintf` needs");
    refused("p := sprintf(input.client.id, [1])", 3, "`sprintf` needs");
    refused("p := sprintf(\"%s\", input.scopes)", 3, "`sprintf` needs");
    assert_eq!(problems("p := sprintf(\"%s%% of %d %v\", [\"a\", 1, []])"), Vec::<String>::new());
    assert_eq!(problems("p := concat(\",\", [x | some x in [\"a\"]])"), Vec::<String>::new());
}

#[test]
fn a_reason_needs_its_basis() {
    refused(r#"p := {"code": "x", "text": "X."}"#, 3, "without a basis");
    refused(r#"p := {"code": "x", "text": "X.", "basis": " "}"#, 3, "without a basis");
    refused(r#"p := {"allow": false, "reasons": []}"#, 3, "without a reason");
    assert_eq!(problems(r#"p := {"code": "x", "text": "X.", "basis": data.basis}"#), Vec::<String>::new());
}

#[test]
fn what_implementations_read_differently_is_refused() {
    for negated in [
        "upper(input.a) == \"A\"",
        "startswith(input.a, \"x\")",
        "input.a in [1]",
        "1 in input.a",
        "input.a < 1",
        "input.a + 1 == 2",
        "f(1) == 2",
        "f(g(1))",
        "[input.a] == [1]",
        "input.a[count(input.b)]",
        "f(1).a",
    ] {
        refused(&format!("p if {{ not {negated} }}\nf(2) := 3\ng(2) := 3"), 3, "below `not`");
    }
    for negated in [
        "input.a",
        "input.a[input.b] == 1 } q if { input.b",
        "input.a == 1",
        "f(1)",
        "f(input.client.id)",
        "startswith(input.client.id, \"x\")",
        "count([x | some x in input.a]) == 0",
        "1 in s",
    ] {
        let more = format!("p if {{ not {} }}\nf(2) := 3\ns contains 1", negated.split(" }").next().unwrap());
        let known = negated.contains("input.b]");
        assert_eq!(problems(&more).is_empty(), !known, "{negated}: {:?}", problems(&more));
    }
    assert_eq!(problems("p if { input.a; not startswith(input.a, \"x\") }"), Vec::<String>::new());
    refused("p contains x.a if { some x in [{}] }", 3, "partial set");
    refused("p contains f(x) if { some x in [1] }\nf(2) := 3", 3, "partial set");
    assert_eq!(problems("p contains x.a if { some x in [{}]; x.a }"), Vec::<String>::new());
    refused("f(x) := x.a if { x.b } else := 1", 3, "a function with `else`");
    assert_eq!(problems("f(x) := x.a if { x.a } else := 1"), Vec::<String>::new());
}

#[test]
fn the_entry_point_must_be_there_with_a_default() {
    let text = |files: &[(&str, &str)]| load(files).unwrap_err()[0].to_string();
    assert_eq!(
        text(&[("a.rego", "package portcullis\np := 1\n")]),
        "a.rego: package portcullis has no `default decision`"
    );
    assert!(text(&[("a.rego", "package other\ndefault decision := 1\n")]).contains("the package must be `portcullis`"));
    assert!(
        text(&[("a.rego", "package portcullis\ndefault decision := {\"allow\": false}\n")])
            .contains("`reasons` is missing")
    );
    assert!(
        text(&[("a.rego", "package portcullis\ndefault decision := false\n")])
            .contains("`decision` is of the wrong type")
    );
    refused("decision contains 1", 3, "one complete document");
    refused("decision[x] := 1 if some x in [1]", 3, "one complete document");
    assert!(text(&[("b.rego", &format!("{DEFAULT}decision := 5\n"))]).contains("stranger"));
    assert!(text(&[("b.rego", &format!("{DEFAULT}decision := 1 - \"a\"\n"))]).contains("the evaluation fails"));
    assert_eq!(DecisionError::Missing("reasons").to_string(), "`reasons` is missing");
}

#[test]
fn every_problem_is_told_at_once_by_file_and_line() {
    let problems =
        load(&[("a.rego", "package portcullis\n\np := if\n"), ("b/c.rego", "package portcullis\nq := \"\n")]);
    let problems: Vec<String> = problems.unwrap_err().iter().map(ToString::to_string).collect();
    assert!(problems[0].starts_with("a.rego:3: ") && problems[1].starts_with("b/c.rego:2: "), "{problems:?}");
    let two = self::problems("p := lenght(1)\nq := rand.intn(\"x\", 5)");
    assert_eq!(two.len(), 2, "{two:?}");
}

#[test]
fn data_is_read_without_ambiguity() {
    let with = |name: &str, data: &str| {
        load(&[("a.rego", DEFAULT), (name, data)]).map(|_| ()).map_err(|all| all[0].to_string())
    };
    assert_eq!(with("data/x.json", r#"{"x": {"a": 1}}"#), Ok(()));
    assert!(
        with("data/x.json", r#"{"x": {"a": 1, "a": 2}}"#).unwrap_err().starts_with("data/x.json: member name repeated")
    );
    assert!(with("data/x.json", "[1]").is_err());
    assert!(with("data/x.json", r#"{"portcullis": 1}"#).is_err());
    assert!(with("x.json", "{}").unwrap_err().contains("must lie in `data/`"));
    assert!(with("data/x.rego", "package portcullis").unwrap_err().contains("a policy among the data"));
    assert!(load(&[("a.rego", DEFAULT), ("data/x.json", r#"{"x":1}"#), ("data/y.json", r#"{"x":2}"#)]).is_err());
    assert!(load(&[("README.md", "")]).is_err());
    assert!(Policies::load(std::path::Path::new("/nonexistent/policies"), unhurried()).is_err());
}
