//! Whether the fast engine may decide.
//!
//! Takes: admitted policies and the inputs of their tests. Gives: a [`Machine`], or why not. Guarantees: the
//! interpreter is the reference; the machine serves only policies that avoid every construct on which the
//! two are known to differ, and on which both gave the same for every input of the tests and for inputs grown
//! from them. Refuses: proof by too little; the inputs must reach a permission and a refusal.

use std::collections::BTreeMap;

use regorus::Value;
use regorus::unstable::{ArithOp, AssignOp, Expr, Literal, Module, Ref, Rule, RuleHead};
use serde_json::Value as Json;

use super::decision::{self, Decided};
use super::engine::{Interpreter, Machine, json};
use super::syntax::{self, Scope};
use crate::limits;

/// Built-ins whose errors the machine takes for `undefined`, so that a `not` before them turns true.
const FALLIBLE: &[&str] = &["regex.match", "to_number"];

/// The machine, where it is proved equal to the interpreter on these policies; otherwise the reason.
pub(super) fn prove(modules: &[Ref<Module>], interpreter: &Interpreter, seeds: &[Json]) -> Result<Machine, String> {
    if let Some(construct) = known_difference(modules) {
        return Err(construct);
    }
    let machine = interpreter.machine().map_err(|why| format!("the machine's compiler refuses: {why}"))?;
    let (mut permissions, mut refusals) = (0_u32, 0_u32);
    for input in seeds {
        match compare(interpreter, &machine, input)? {
            Some(true) => permissions += 1,
            Some(false) => refusals += 1,
            None => {}
        }
    }
    if permissions == 0 || refusals == 0 {
        return Err("the policy tests reach no permission, or no refusal".to_owned());
    }
    for input in grown(seeds) {
        compare(interpreter, &machine, &input)?;
    }
    Ok(machine)
}

/// Whether both engines do the same; tells whether they permit, where they decide at all.
fn compare(interpreter: &Interpreter, machine: &Machine, input: &Json) -> Result<Option<bool>, String> {
    let value = Value::from_json_str(&input.to_string()).map_err(|_| "a test input is not JSON".to_owned())?;
    let time = limits::POLICY_TIME.saturating_mul(GATE_PATIENCE);
    let reference = interpreter.evaluate(value.clone(), time);
    let fast = machine.evaluate(value, time);
    if reference != fast {
        return Err("the machine decides an input of the tests, or one grown from them, differently".to_owned());
    }
    let Ok(value) = reference else { return Ok(None) };
    let decided = json(&value).ok().and_then(|text| decision::read(&text).ok());
    Ok(decided.map(|decided| matches!(decided, Decided::Permitted(_))))
}

/// Loading is not serving: a busy machine must not make the engines look different.
const GATE_PATIENCE: u32 = 40;

/// The first construct on which the engines are known to differ (regorus 0.14.1), with its place.
fn known_difference(modules: &[Ref<Module>]) -> Option<String> {
    let mut definitions: BTreeMap<String, Vec<&Rule>> = BTreeMap::new();
    for scope in Scope::of(modules) {
        for rule in &scope.module.policy {
            definitions.entry(scope.path(rule)).or_default().push(rule);
            if let Some(why) = in_rule(rule) {
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
    match rule {
        Rule::Default { .. } | Rule::Spec { head: RuleHead::Set { .. }, .. } => true,
        Rule::Spec { head: RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. }, bodies, .. } => {
            assign.as_ref().is_none_or(|assign| is_true(&assign.value))
                && bodies.iter().all(|body| body.assign.as_ref().is_none_or(|assign| is_true(&assign.value)))
        }
    }
}

fn in_rule(rule: &Rule) -> Option<&'static str> {
    match rule {
        Rule::Default { args, .. } if !args.is_empty() => return Some("a default function"),
        Rule::Default { refr, .. } if !is_plain(refr) => return Some("a rule whose name is a reference"),
        Rule::Default { .. } => {}
        Rule::Spec { head, .. } => {
            let (RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. }) = head;
            if !is_plain(refr) {
                return Some("a rule whose name is a reference");
            }
        }
    }
    let mut found = None;
    syntax::walk_rule(rule, &mut |expr| {
        found = found.or_else(|| in_expression(expr));
        true
    });
    found.or_else(|| {
        syntax::statements(rule).into_iter().find_map(|statement| {
            let every = matches!(statement.literal, Literal::Every { .. });
            if !statement.with_mods.is_empty() {
                Some("`with`")
            } else if every {
                Some("`every`")
            } else {
                None
            }
        })
    })
}

fn is_plain(refr: &Expr) -> bool {
    matches!(refr, Expr::Var { .. })
}

fn in_expression(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Call { fcn, .. } => {
            let name = syntax::parts(fcn)?.join(".");
            FALLIBLE.contains(&name.as_str()).then_some("a built-in whose errors the machine swallows")
        }
        Expr::ArithExpr { op: ArithOp::Div | ArithOp::Mod, .. } => Some("a division"),
        // `[x | x := input.absent]` holds a value that is not there.
        Expr::ArrayCompr { query, .. } | Expr::SetCompr { query, .. } | Expr::ObjectCompr { query, .. } => {
            let assigns = query.stmts.iter().any(|statement| match &statement.literal {
                Literal::Expr { expr, .. } => {
                    matches!(&**expr, Expr::AssignExpr { op: AssignOp::ColEq | AssignOp::Eq, .. })
                }
                _ => false,
            });
            assigns.then_some("an assignment in a comprehension")
        }
        _ => None,
    }
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
