//! Which policies are admitted at all.
//!
//! Takes: parsed modules. Gives: every [`PolicyProblem`] in them, with its line. Guarantees: an admitted
//! policy cannot abort the process or outrun the evaluation's timer, because what the timer cannot stop is
//! refused here: recursion (it overflows the stack), deep call chains, and built-ins that are not on
//! [`ADMITTED`]. Refuses also: unknown functions, wrong numbers of arguments, rules that shadow built-ins, a
//! reason without a basis, expressions that Rego's implementations read in different ways, and an entry point that is missing or has no default.
//!
//! Text is built by `concat` and `sprintf` only; neither may stand inside another, and `sprintf` takes a
//! literal format of plain verbs and a literal list, so that one expression grows no more than its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regorus::unstable::{BUILTINS, Expr, Module, Ref, Rule, RuleHead, Span};

use super::certainty::{self, Certainty, Spot};
use super::syntax::{self, Scope, Target};
use crate::limits;

#[cfg(test)]
mod tests;

/// The rule that decides.
pub(super) const ENTRY: &str = "data.portcullis.decision";

/// Built-ins that policies may call, sorted: total or failing cleanly, at most linear in their arguments, without clock,
/// randomness, network or output. Left out on purpose: `numbers.range` and `strings.replace_n` (growth out of
/// proportion, and one call cannot be interrupted), `walk`, `http.send`, `opa.runtime`, `rand.intn`, `time.*` (the
/// day comes with the input), `print` and `trace` (they would carry facts about patients), `json.*` and `regex.replace`.
pub(super) const ADMITTED: &[&str] = &[
    "abs",
    "array.concat",
    "array.reverse",
    "array.slice",
    "ceil",
    "concat",
    "contains",
    "count",
    "endswith",
    "floor",
    "glob.match",
    "indexof",
    "intersection",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "lower",
    "max",
    "min",
    "object.filter",
    "object.get",
    "object.keys",
    "object.remove",
    "object.subset",
    "object.union",
    "regex.match",
    "round",
    "sort",
    "split",
    "sprintf",
    "startswith",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
    "strings.count",
    "substring",
    "sum",
    "to_number",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "type_name",
    "union",
    "upper",
];

/// Built-ins that build text.
const BUILDERS: &[&str] = &["concat", "sprintf"];

/// Something in the policies that keeps them from being loaded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyProblem {
    /// The file, relative to the folder of the policies.
    pub file: String,
    /// The line, where one can be named.
    pub line: Option<u32>,
    /// What is wrong.
    pub text: String,
}

impl PolicyProblem {
    pub(super) fn in_file(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, text: text.into() }
    }

    pub(super) fn in_registry(problem: crate::config::Problem) -> Self {
        let line = problem.line.and_then(|line| u32::try_from(line).ok());
        let text = if problem.key.is_empty() { problem.text } else { format!("{}: {}", problem.key, problem.text) };
        Self { file: problem.file.display().to_string(), line, text }
    }

    pub(super) fn at(span: &Span, text: impl Into<String>) -> Self {
        let (file, line) = syntax::place(span);
        Self { file, line: Some(line), text: text.into() }
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.text),
            None => write!(f, "{}: {}", self.file, self.text),
        }
    }
}

impl std::error::Error for PolicyProblem {}

/// A rule, over all its definitions.
struct Node<'m> {
    span: &'m Span,
    /// Static paths below `data` that it reads or calls.
    refers: BTreeSet<String>,
    /// Numbers of arguments of its definitions; empty for a rule that is no function.
    arities: BTreeSet<usize>,
}

/// Recursion in modules that need not be admitted otherwise: tests.
pub(super) fn recursion(modules: &[Ref<Module>]) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    chains(&nodes(&Scope::of(modules)), &mut problems);
    problems
}

/// Everything wrong with these modules.
pub(super) fn problems(modules: &[Ref<Module>]) -> Vec<PolicyProblem> {
    let scopes = Scope::of(modules);
    let nodes = nodes(&scopes);
    let mut problems = Vec::new();
    for scope in &scopes {
        if scope.package != "data.portcullis" && !scope.package.starts_with("data.portcullis.") {
            problems
                .push(PolicyProblem::at(&scope.module.package.span, "the package must be `portcullis` or lie in it"));
        }
        for rule in &scope.module.policy {
            if let Some(name) = syntax::head(rule).first().filter(|name| is_builtin_root(name)) {
                problems.push(PolicyProblem::at(rule.span(), format!("rule `{name}` shadows a built-in")));
            }
        }
    }
    for scope in &scopes {
        for rule in &scope.module.policy {
            syntax::walk_rule(rule, &mut |expr| {
                call(scope, expr, &nodes, &mut problems);
                reason(expr, &mut problems);
                true
            });
        }
    }
    undefined(&scopes, &mut problems);
    chains(&nodes, &mut problems);
    entry(&scopes, &mut problems);
    problems
}

fn nodes<'m>(scopes: &'m [Scope<'m>]) -> BTreeMap<String, Node<'m>> {
    let mut nodes: BTreeMap<String, Node<'m>> = BTreeMap::new();
    for scope in scopes {
        for rule in &scope.module.policy {
            let node = nodes.entry(scope.path(rule)).or_insert_with(|| Node {
                span: rule.span(),
                refers: BTreeSet::new(),
                arities: BTreeSet::new(),
            });
            node.arities.extend(arity(rule));
            node.refers.extend(references(scope, rule));
        }
    }
    nodes
}

fn is_builtin_root(name: &str) -> bool {
    BUILTINS.keys().any(|builtin| builtin.split('.').next() == Some(name))
}

fn arity(rule: &Rule) -> Option<usize> {
    match rule {
        Rule::Spec { head: RuleHead::Func { args, .. }, .. } => Some(args.len()),
        Rule::Default { args, .. } if !args.is_empty() => Some(args.len()),
        _ => None,
    }
}

fn is_function(rule: &Rule) -> bool {
    matches!(rule, Rule::Spec { head: RuleHead::Func { .. }, .. })
}

/// The paths below `data` that a rule reads or calls.
fn references(scope: &Scope<'_>, rule: &Rule) -> BTreeSet<String> {
    fn collect(scope: &Scope<'_>, expr: &Expr, found: &mut BTreeSet<String>) {
        syntax::walk(expr, &mut |expr| {
            let reference = match expr {
                Expr::Call { fcn, .. } => {
                    found.extend(scope.reads(fcn));
                    return true;
                }
                Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => expr,
                _ => return true,
            };
            found.extend(scope.reads(reference));
            for index in syntax::indexes(reference) {
                collect(scope, index, found);
            }
            false
        });
    }
    let mut found = BTreeSet::new();
    syntax::walk_rule(rule, &mut |expr| {
        collect(scope, expr, &mut found);
        false
    });
    found
}

fn call(scope: &Scope<'_>, expr: &Expr, nodes: &BTreeMap<String, Node<'_>>, problems: &mut Vec<PolicyProblem>) {
    let Expr::Call { span, fcn, params, .. } = expr else { return };
    let name = syntax::parts(fcn).unwrap_or_default().join(".");
    let problem = if let Target::Data(path) = scope.target(fcn) {
        match nodes.get(&path) {
            Some(node) if node.arities.contains(&params.len()) => None,
            Some(node) if node.arities.is_empty() => Some(format!("`{name}` is not a function")),
            Some(_) => Some(format!("`{name}` is called with {} arguments", params.len())),
            None => Some(format!("function `{name}` is not defined")),
        }
    } else {
        match BUILTINS.get(name.as_str()) {
            None => Some(format!("`{name}` is no function that is defined here or admitted")),
            Some(_) if ADMITTED.binary_search(&name.as_str()).is_err() => {
                Some(format!("built-in `{name}` is not admitted"))
            }
            Some((_, arity)) if usize::from(*arity) != params.len() => {
                Some(format!("`{name}` is called with {} arguments", params.len()))
            }
            Some(_) => growth(&name, expr),
        }
    };
    problems.extend(problem.map(|text| PolicyProblem::at(span, text)));
}

fn growth(name: &str, call: &Expr) -> Option<String> {
    let Expr::Call { params, .. } = call else { return None };
    if !BUILDERS.contains(&name) {
        return None;
    }
    let mut nested = false;
    for param in params {
        syntax::walk(param, &mut |expr| {
            if let Expr::Call { fcn, .. } = expr {
                nested |= syntax::parts(fcn).is_some_and(|parts| BUILDERS.contains(&parts.join(".").as_str()));
            }
            true
        });
    }
    if nested {
        return Some(format!("`{name}` holds another call that builds text"));
    }
    if name == "sprintf" {
        let verbs = params.first().and_then(|format| syntax::literal(format)).and_then(|format| plain_verbs(&format));
        let listed = match params.get(1).map(|list| &**list) {
            Some(Expr::Array { items, .. }) => Some(items.len()) == verbs,
            _ => false,
        };
        if !listed {
            return Some("`sprintf` needs a literal format of %s, %d or %v and a literal list as long".to_owned());
        }
    }
    None
}

/// How many verbs a format has, where all of them are plain.
fn plain_verbs(format: &str) -> Option<usize> {
    let (mut bytes, mut verbs) = (format.bytes(), 0);
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            match bytes.next() {
                Some(b's' | b'd' | b'v') => verbs += 1,
                Some(b'%') => {}
                _ => return None,
            }
        }
    }
    Some(verbs)
}

/// A literal object with `code` and `text` is a reason, and needs its basis (45 CFR 171: a refusal rests on law).
fn reason(expr: &Expr, problems: &mut Vec<PolicyProblem>) {
    let Expr::Object { span, fields, .. } = expr else { return };
    let field = |name: &str| {
        fields.iter().find(|(_, key, _)| syntax::literal(key).as_deref() == Some(name)).map(|(_, _, value)| &**value)
    };
    if let Some(Expr::Array { items, .. }) = field("reasons")
        && items.is_empty()
    {
        problems.push(PolicyProblem::at(span, "a decision without a reason"));
    }
    if field("code").is_none() || field("text").is_none() {
        return;
    }
    let blank = |value: &Expr| syntax::literal(value).is_some_and(|text| text.trim().is_empty());
    if field("basis").is_none_or(blank) {
        problems.push(PolicyProblem::at(span, "a reason without a basis in law or contract"));
    }
}

/// Finds the places where Rego's implementations read an undefined value in different ways: what is refused in one
/// would be permitted in the other.
fn undefined(scopes: &[Scope<'_>], problems: &mut Vec<PolicyProblem>) {
    let certainty = Certainty::of(scopes);
    for scope in scopes {
        for rule in &scope.module.policy {
            certainty::spots(rule, &mut |spot, tested| match spot {
                Spot::Negated(expr) if !certainty.is_negatable(scope, expr, tested) => {
                    let text = "what stands below `not` may be undefined in part; test or assign its parts before";
                    problems.push(PolicyProblem::at(expr.span(), text));
                }
                Spot::Branch(value) if is_function(rule) && !certainty.is_certain(scope, value, tested) => {
                    let text = "a function with `else` has a value that may be undefined; test it in the body";
                    problems.push(PolicyProblem::at(value.span(), text));
                }
                Spot::SetKey(key) if !certainty.is_certain(scope, key, tested) => {
                    let text = "the key of a partial set may be undefined; test it in the body";
                    problems.push(PolicyProblem::at(key.span(), text));
                }
                _ => {}
            });
        }
    }
}

/// Finds recursion, and chains of rules deeper than the stack is sized for.
fn chains(nodes: &BTreeMap<String, Node<'_>>, problems: &mut Vec<PolicyProblem>) {
    let edges: BTreeMap<&str, Vec<&str>> = nodes
        .iter()
        .map(|(path, node)| {
            let reached = |other: &&String| node.refers.iter().any(|refers| related(refers, other));
            (path.as_str(), nodes.keys().filter(reached).map(String::as_str).collect())
        })
        .collect();
    let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, node) in nodes {
        let mut trail = Vec::new();
        match depth(path, &edges, &mut depths, &mut trail) {
            Err(()) => {
                let at = trail.iter().position(|step| Some(step) == trail.last()).unwrap_or_default();
                let cycle = trail.get(at..).unwrap_or_default();
                if cycle.first() == Some(&path.as_str()) {
                    problems.push(PolicyProblem::at(node.span, format!("recursion: {}", cycle.join(" -> "))));
                }
            }
            Ok(depth) if depth > limits::POLICY_CALL_DEPTH => {
                problems.push(PolicyProblem::at(node.span, format!("a chain of {depth} rules starts here")));
            }
            Ok(_) => {}
        }
    }
}

/// Whether reading `reference` evaluates the rule at `rule`: one is the other, or holds it.
fn related(reference: &str, rule: &str) -> bool {
    let holds = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    holds(reference, rule) || holds(rule, reference)
}

/// The longest chain of rules from `path` on; `Err` with the trail up to the rule that comes twice.
fn depth<'n>(
    path: &'n str,
    edges: &BTreeMap<&'n str, Vec<&'n str>>,
    known: &mut BTreeMap<&'n str, usize>,
    trail: &mut Vec<&'n str>,
) -> Result<usize, ()> {
    if let Some(depth) = known.get(path) {
        return Ok(*depth);
    }
    let repeated = trail.contains(&path);
    trail.push(path);
    if repeated {
        return Err(());
    }
    let mut deepest = 0;
    for next in edges.get(path).into_iter().flatten() {
        deepest = deepest.max(depth(next, edges, known, trail)?);
    }
    trail.pop();
    known.insert(path, deepest + 1);
    Ok(deepest + 1)
}

fn entry(scopes: &[Scope<'_>], problems: &mut Vec<PolicyProblem>) {
    let mut has_default = false;
    for scope in scopes {
        for rule in &scope.module.policy {
            if scope.path(rule) != ENTRY {
                continue;
            }
            match &**rule {
                Rule::Default { args, .. } => has_default |= args.is_empty(),
                Rule::Spec { head: RuleHead::Compr { refr, .. }, .. } if matches!(**refr, Expr::Var { .. }) => {}
                Rule::Spec { span, .. } => {
                    problems.push(PolicyProblem::at(span, "`decision` must be one complete document"));
                }
            }
        }
    }
    if !has_default {
        let file = scopes.first().map_or_else(|| ".".to_owned(), |scope| syntax::place(&scope.module.package.span).0);
        problems.push(PolicyProblem::in_file(file, "package portcullis has no `default decision`"));
    }
}
