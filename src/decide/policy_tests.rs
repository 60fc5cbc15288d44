//! The policies' own tests, run in the interpreter.
//!
//! Takes: the folder of the policies. Gives: a [`Report`] of every `test_…` rule in `*_test.rego`, and the inputs
//! that the tests try (for the gate). Guarantees: a test passes only by being `true`; undefined, an error, or
//! any other value fails; no tests at all is a failure of its own. Refuses: policies that do not load.

use std::path::Path;

use regorus::Value;
use regorus::unstable::{Expr, Module, Ref};
use serde_json::Value as Json;

use super::admission::{self, PolicyProblem};
use super::engine::last_line;
use super::files::Files;
use super::policy;
use super::syntax::{self, Scope};
use crate::limits;

/// What came of the tests.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Paths of the tests that passed.
    pub passed: Vec<String>,
    /// Tests that did not.
    pub failed: Vec<Failed>,
}

/// A test that did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The test's path, `data.portcullis_test.test_…`.
    pub test: String,
    /// Its file and line.
    pub at: String,
    /// What it came to instead of `true`.
    pub why: String,
}

impl Report {
    /// Whether there were tests, and all passed.
    pub fn is_success(&self) -> bool {
        !self.passed.is_empty() && self.failed.is_empty()
    }
}

/// Runs the tests of the policies in `dir`.
pub fn run(dir: &Path) -> Result<Report, Vec<PolicyProblem>> {
    policy::on_a_large_stack(|| {
        let files = Files::read(dir)?;
        let mut engine = engine(&files)?;
        let modules = engine.get_modules().clone();
        let recursion = admission::recursion(&modules);
        if !recursion.is_empty() {
            return Err(recursion);
        }
        let mut report = Report::default();
        for (path, at) in tests(&modules) {
            match engine.eval_rule(path.clone()) {
                Ok(Value::Bool(true)) => report.passed.push(path),
                Ok(Value::Undefined) => report.failed.push(Failed { test: path, at, why: "undefined".to_owned() }),
                Ok(other) => report.failed.push(Failed { test: path, at, why: other.to_string() }),
                Err(error) => report.failed.push(Failed { test: path, at, why: last_line(&error.to_string()) }),
            }
        }
        Ok(report)
    })
}

/// Policies, data and tests in one interpreter.
fn engine(files: &Files) -> Result<regorus::Engine, Vec<PolicyProblem>> {
    let mut engine = policy::engine(files)?;
    let mut problems = Vec::new();
    for (file, text) in &files.tests {
        problems.extend(policy::add(&mut engine, file, text));
    }
    if problems.is_empty() { Ok(engine) } else { Err(problems) }
}

/// Path and place of every test.
fn tests(modules: &[Ref<Module>]) -> Vec<(String, String)> {
    let mut tests = Vec::new();
    for scope in Scope::of(modules) {
        for rule in &scope.module.policy {
            let (file, line) = syntax::place(rule.span());
            let path = scope.path(rule);
            let is_test =
                file.ends_with("_test.rego") && syntax::head(rule).iter().any(|part| part.starts_with("test_"));
            if is_test && !tests.iter().any(|(known, _)| *known == path) {
                tests.push((path, format!("{file}:{line}")));
            }
        }
    }
    tests
}

/// The inputs that the tests put in with `with input as …`, as far as those expressions stand on their own.
pub(super) fn inputs(files: &Files) -> Vec<Json> {
    let Ok(mut engine) = engine(files) else { return Vec::new() };
    let modules = engine.get_modules().clone();
    let mut inputs: Vec<Json> = Vec::new();
    for scope in Scope::of(&modules) {
        if !syntax::place(&scope.module.package.span).0.ends_with("_test.rego") {
            continue;
        }
        let imports: Vec<String> = scope
            .module
            .imports
            .iter()
            .map(|import| {
                let alias = import.r#as.as_ref().map(|alias| format!(" as {}", alias.text())).unwrap_or_default();
                format!("import {}{alias}", import.refr.span().text())
            })
            .collect();
        let package = scope.module.package.refr.span().text();
        for text in texts(scope.module) {
            if inputs.len() >= limits::GATE_SEEDS {
                return inputs;
            }
            let module = format!("package {package}\n{}\ngate_input := {text}\n", imports.join("\n"));
            let mut engine = engine.clone();
            if engine.add_policy("gate.rego".to_owned(), module).is_err() {
                continue;
            }
            let Ok(value @ Value::Object(_)) = engine.eval_rule(format!("{}.gate_input", scope.package)) else {
                continue;
            };
            let input = serde_json::to_value(&value).unwrap_or_default();
            if !inputs.contains(&input) {
                inputs.push(input);
            }
        }
    }
    inputs
}

/// The text of every expression that a module puts in the place of `input`.
fn texts(module: &Module) -> Vec<&str> {
    let statements = module.policy.iter().flat_map(|rule| syntax::statements(rule));
    let with = statements.flat_map(|statement| &statement.with_mods);
    with.filter_map(|with| match &*with.refr {
        // An object's own span is not where the object is, in regorus 0.14.1; that of the `with` around it is.
        Expr::Var { span, .. } if span.text() == "input" => {
            let source = span.source.get_contents();
            source.get(span.end as usize..with.span.end as usize)?.trim_start().strip_prefix("as")
        }
        _ => None,
    })
    .collect()
}
