//! Whether the fast engine may decide.
//!
//! Takes: admitted policies and the inputs of their tests. Gives: a [`Machine`], or why not. Guarantees: the
//! interpreter is the reference; the machine serves only policies that avoid every construct on which the
//! two are known to differ, and on which both gave the same for every input of the tests and for inputs grown
//! from them. Refuses: proof by too little; the inputs must reach a permission and a refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regorus::Value;
use regorus::unstable::{ArithOp, Expr, Literal, LiteralStmt, Module, Ref, Rule, RuleHead};
use serde_json::Value as Json;

use super::admission::ENTRY;
use super::certainty::{self, Certainty, Spot};
use super::decision::{self, Decided};
use super::engine::{Interpreter, Machine, json};
use super::syntax::{self, Scope, Target};
use crate::limits;

#[cfg(test)]
mod tests;

/// Built-ins that may fail on arguments of the right type. The machine takes an error for `undefined`, so that a `not`
/// before it turns true; that arguments are of the right type, the tests show by reaching every line.
const FALLIBLE: &[&str] = &["glob.match", "regex.match", "substring", "to_number"];

/// The machine, where it is proved equal to the interpreter on these policies; otherwise the reason.
pub(super) fn prove(modules: &[Ref<Module>], interpreter: &Interpreter, seeds: &[Json]) -> Result<Machine, String> {
    if let Some(construct) = known_difference(modules) {
        return Err(construct);
    }
    let compiled =
        |rules: &[&str]| interpreter.machine(rules).map_err(|why| format!("the machine's compiler refuses: {why}"));
    let machine = compiled(&[ENTRY])?;
    let inputs: Vec<Value> = seeds.iter().filter_map(value).collect();
    if let Some(line) = interpreter.unreached(&inputs, &files(modules)) {
        return Err(format!("{line}: no policy test reaches this line"));
    }
    let rules = rules(modules);
    let paths: Vec<&str> = rules.iter().map(String::as_str).collect();
    let of_rules = compiled(&paths)?;
    let (mut permissions, mut refusals) = (0_u32, 0_u32);
    for input in &inputs {
        for (at, path) in paths.iter().enumerate() {
            if interpreter.evaluate(path, input.clone(), PATIENCE) != of_rules.evaluate(at, input.clone(), PATIENCE) {
                return Err(format!("the engines differ on `{path}` for an input of the policy tests"));
            }
        }
        match compare(interpreter, &machine, input)? {
            Some(true) => permissions += 1,
            Some(false) => refusals += 1,
            None => {}
        }
    }
    if permissions == 0 || refusals == 0 {
        return Err("the policy tests reach no permission, or no refusal".to_owned());
    }
    for input in grown(seeds).iter().filter_map(value) {
        compare(interpreter, &machine, &input)?;
    }
    Ok(machine)
}

/// Whether both engines do the same; tells whether they permit, where they decide at all.
fn compare(interpreter: &Interpreter, machine: &Machine, input: &Value) -> Result<Option<bool>, String> {
    let reference = interpreter.evaluate(ENTRY, input.clone(), PATIENCE);
    if reference != machine.evaluate(0, input.clone(), PATIENCE) {
        return Err("the engines differ on an input grown from those of the policy tests".to_owned());
    }
    let Ok(value) = reference else { return Ok(None) };
    let decided = json(&value).ok().and_then(|text| decision::read(&text).ok());
    Ok(decided.map(|decided| matches!(decided, Decided::Permitted(_))))
}

fn value(input: &Json) -> Option<Value> {
    Value::from_json_str(&input.to_string()).ok()
}

/// The files that hold rules.
fn files(modules: &[Ref<Module>]) -> Vec<&str> {
    let with_rules = modules.iter().filter(|module| !module.policy.is_empty());
    with_rules.map(|module| module.package.span.source.get_path().as_str()).collect()
}

/// The paths of all rules that are no functions.
fn rules(modules: &[Ref<Module>]) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for scope in Scope::of(modules) {
        let values = scope.module.policy.iter().filter(|rule| match &***rule {
            Rule::Spec { head, .. } => !matches!(head, RuleHead::Func { .. }),
            Rule::Default { args, .. } => args.is_empty(),
        });
        rules.extend(values.map(|rule| scope.path(rule)));
    }
    rules
}

/// Loading is not serving: a busy machine must not make the engines look different.
const PATIENCE: Duration = limits::POLICY_TRIAL;

/// The first construct on which the engines are known to differ (regorus 0.14.1), with its place.
fn known_difference(modules: &[Ref<Module>]) -> Option<String> {
    let scopes = Scope::of(modules);
    let certainty = Certainty::of(&scopes);
    let mut definitions: BTreeMap<String, Vec<&Rule>> = BTreeMap::new();
    for scope in &scopes {
        for rule in &scope.module.policy {
            definitions.entry(scope.path(rule)).or_default().push(rule);
            let difference = in_head(rule)
                .or_else(|| in_statements(rule))
                .or_else(|| in_expressions(scope, rule))
                .or_else(|| in_values(rule))
                .or_else(|| of_undefined(scope, rule, &certainty));
            if let Some(why) = difference {
                let (file, line) = syntax::place(rule.span());
                return Some(format!("{file}:{line}: {why}"));
            }
        }
    }
    definitions.values().find_map(|rules| {
        let rule = rules.iter().find(|rule| !only_true(rule))?;
        let several = rules.iter().filter(|rule| matches!(rule, Rule::Spec { .. })).count() > 1
            || rules.iter().any(|rule| syntax::bodies(rule).iter().filter(|body| !body.is_else).count() > 1);
        let (file, line) = syntax::place(rule.span());
        several.then(|| format!("{file}:{line}: several definitions may conflict"))
    })
}

/// Whether a rule can have no other value than `true` or membership in a set, so that its definitions cannot conflict.
fn only_true(rule: &Rule) -> bool {
    let is_true = |expr: &Expr| matches!(expr, Expr::Bool { value: Value::Bool(true), .. });
    matches!(rule, Rule::Default { .. } | Rule::Spec { head: RuleHead::Set { .. }, .. })
        || syntax::values(rule).into_iter().all(is_true)
}

fn in_head(rule: &Rule) -> Option<&'static str> {
    let refr = match rule {
        Rule::Default { args, .. } if !args.is_empty() => return Some("a default function"),
        Rule::Default { refr, .. } => refr,
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => refr,
        },
    };
    (!matches!(**refr, Expr::Var { .. })).then_some("a rule whose name is a reference")
}

fn in_statements(rule: &Rule) -> Option<&'static str> {
    syntax::statements(rule).into_iter().find_map(|statement| match statement.literal {
        _ if !statement.with_mods.is_empty() => Some("`with`"),
        Literal::Every { .. } => Some("`every`"),
        Literal::SomeVars { .. } => Some("`some` without `in`"),
        _ => None,
    })
}

fn in_expressions(scope: &Scope<'_>, rule: &Rule) -> Option<&'static str> {
    let bound = syntax::bound(rule);
    let mut found = None;
    syntax::walk_rule(rule, &mut |expr| {
        found = found.or_else(|| match expr {
            Expr::Call { fcn, .. } => {
                let name = syntax::parts(fcn)?.join(".");
                FALLIBLE.contains(&name.as_str()).then_some("a built-in whose errors the machine swallows")
            }
            Expr::ArithExpr { op: ArithOp::Div | ArithOp::Mod, .. } => Some("a division"),
            Expr::ObjectCompr { key, query, .. } => {
                (!is_key_of_one_collection(key, &query.stmts)).then_some("a comprehension whose keys may conflict")
            }
            Expr::RefBrack { index, .. } => match &**index {
                Expr::Var { span, .. } if scope.is_local(span.text()) && !bound.contains(span.text()) => {
                    Some("a reference that iterates")
                }
                _ => None,
            },
            _ => None,
        });
        true
    });
    found
}

/// Whether an object comprehension takes its keys from the keys of one collection, which are different.
fn is_key_of_one_collection(key: &Expr, statements: &[LiteralStmt]) -> bool {
    let name = |expr: &Expr| match expr {
        Expr::Var { span, .. } => Some(span.text().to_owned()),
        _ => None,
    };
    let mut collections = statements.iter().filter_map(|statement| match &statement.literal {
        Literal::SomeIn { key, .. } => Some(key.as_ref().and_then(|key| name(key))),
        _ => None,
    });
    match (collections.next(), collections.next()) {
        (Some(Some(of_collection)), None) => name(key) == Some(of_collection),
        _ => false,
    }
}

/// A rule that is found in several ways has several values, which is an error only to the interpreter.
fn in_values(rule: &Rule) -> Option<&'static str> {
    let iterates = syntax::bodies(rule)
        .iter()
        .flat_map(|body| &body.query.stmts)
        .any(|statement| matches!(statement.literal, Literal::SomeIn { .. }));
    if !iterates || matches!(rule, Rule::Spec { head: RuleHead::Set { .. }, .. }) {
        return None;
    }
    let mut varies = false;
    for value in syntax::values(rule) {
        syntax::walk(value, &mut |expr| {
            varies |=
                matches!(expr, Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } | Expr::Call { .. });
            true
        });
    }
    varies.then_some("a value that may be found in several ways")
}

/// Places where the machine takes an undefined value for a value.
fn of_undefined(scope: &Scope<'_>, rule: &Rule, certainty: &Certainty) -> Option<&'static str> {
    let mut found = None;
    certainty::spots(rule, &mut |spot, tested| {
        let certain = |expr: &Expr| certainty.is_certain(scope, expr, tested);
        found = found.or(match spot {
            Spot::Assigned(expr) if !certain(expr) => Some("an assignment of what may be undefined"),
            Spot::Term(expr) if !certain(expr) => Some("a comprehension of what may be undefined"),
            Spot::Branch(expr) if !certain(expr) => Some("an `else` with values that may be undefined"),
            Spot::SetKey(expr) if !certain(expr) => Some("a set of what may be undefined"),
            Spot::Argument(function, expr) if !certain(expr) && !certainty::is_plain(expr) => {
                let of_policies = matches!(scope.target(function), Target::Data(_));
                of_policies.then_some("an argument that may be undefined")
            }
            _ => None,
        });
    });
    found
}

/// Inputs grown from the tests': single members removed, and values exchanged with those that other inputs have in the
/// same place. The same seeds grow the same inputs; at most [`limits::GATE_INPUTS`], spread evenly.
fn grown(seeds: &[Json]) -> Vec<Json> {
    let mut pool: BTreeMap<String, Vec<&Json>> = BTreeMap::new();
    for seed in seeds {
        for pointer in pointers(seed) {
            let Some(value) = seed.pointer(&pointer) else { continue };
            let values = pool.entry(kind_of_place(&pointer)).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    let mut candidates: Vec<(&Json, String, Option<&Json>)> = Vec::new();
    for seed in seeds {
        for pointer in pointers(seed) {
            let others = pool.get(&kind_of_place(&pointer)).into_iter().flatten();
            candidates.extend(
                others
                    .filter(|other| seed.pointer(&pointer) != Some(**other))
                    .map(|other| (seed, pointer.clone(), Some(*other))),
            );
            candidates.push((seed, pointer, None));
        }
    }
    let step = (candidates.len() / limits::GATE_INPUTS).max(1);
    candidates.into_iter().step_by(step).filter_map(|(seed, pointer, other)| changed(seed, &pointer, other)).collect()
}

/// JSON pointers to everything inside a document.
fn pointers(document: &Json) -> Vec<String> {
    fn collect(value: &Json, at: &str, found: &mut Vec<String>) {
        let step = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        let children: Vec<(String, &Json)> = match value {
            Json::Object(members) => members.iter().map(|(name, value)| (step(name), value)).collect(),
            Json::Array(items) => items.iter().enumerate().map(|(at, value)| (step(&at.to_string()), value)).collect(),
            _ => Vec::new(),
        };
        for (pointer, child) in children {
            collect(child, &pointer, found);
            found.push(pointer);
        }
    }
    let mut found = Vec::new();
    collect(document, "", &mut found);
    found
}

/// A pointer without its indexes.
fn kind_of_place(pointer: &str) -> String {
    let step =
        |step: &str| if step.bytes().all(|byte| byte.is_ascii_digit()) { "*".to_owned() } else { step.to_owned() };
    pointer.split('/').map(step).collect::<Vec<_>>().join("/")
}

fn changed(seed: &Json, pointer: &str, other: Option<&Json>) -> Option<Json> {
    let mut grown = seed.clone();
    match other {
        Some(other) => *grown.pointer_mut(pointer)? = other.clone(),
        None => {
            let (parent, name) = pointer.rsplit_once('/')?;
            match grown.pointer_mut(parent)? {
                Json::Object(members) => {
                    members.remove(&name.replace("~1", "/").replace("~0", "~"))?;
                }
                Json::Array(items) => {
                    let at: usize = name.parse().ok()?;
                    (at < items.len()).then(|| items.remove(at))?;
                }
                _ => return None,
            }
        }
    }
    Some(grown)
}
