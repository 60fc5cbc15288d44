//! Which expressions can be undefined.
//!
//! Takes: parsed modules. Gives: for every place where an undefined value is read in more than one way, whether
//! the expression there is certain to have a value. Guarantees: errs towards "uncertain"; a reference is certain
//! where the same body tests it. Refuses: nothing; admission and the gate draw the conclusions.
//!
//! Implementations of Rego disagree on undefined values below `not`, in the key of a partial set, and (the fast
//! engine) in assignments, comprehensions and the values of `else`. Policies that test what they use avoid all of it.

use std::collections::BTreeSet;

use regorus::unstable::{BUILTINS, BoolOp, Expr, Literal, Query, Rule, RuleHead};

use super::syntax::{self, Scope, Target};

/// Members that the gateway writes into every input.
const ALWAYS_THERE: &[&str] = &[
    "input.client.attributes",
    "input.client.id",
    "input.client.organization",
    "input.client.purpose",
    "input.facts.patients",
    "input.request.count_only",
    "input.request.elements",
    "input.request.includes",
    "input.request.interaction",
    "input.request.parameters",
    "input.request.patients",
    "input.request.type",
    "input.scopes",
    "input.time.back",
    "input.time.today",
];

/// A place where it matters whether a value is there.
#[derive(Clone, Copy)]
pub(super) enum Spot<'m> {
    /// Given to a function: the function, and the argument.
    Argument(&'m Expr, &'m Expr),
    /// Assigned to a variable.
    Assigned(&'m Expr),
    /// The value of a definition that has an `else`, or of an `else`.
    Branch(&'m Expr),
    /// Below `not`.
    Negated(&'m Expr),
    /// The key of a partial set.
    SetKey(&'m Expr),
    /// The term, key or value of an array or object comprehension.
    Term(&'m Expr),
}

/// References that a body tests, by their text.
pub(super) type Tested = BTreeSet<String>;

/// What is known of the rules.
pub(super) struct Certainty {
    /// Rules that have a value whatever the input: partial sets, constants, rules with a default.
    values: BTreeSet<String>,
    /// Functions that have a value whatever their arguments.
    functions: BTreeSet<String>,
}

impl Certainty {
    pub(super) fn of(scopes: &[Scope<'_>]) -> Self {
        let mut certainty = Self { values: BTreeSet::new(), functions: BTreeSet::new() };
        let rules: Vec<(&Scope<'_>, &Rule, String)> = scopes
            .iter()
            .flat_map(|scope| scope.module.policy.iter().map(move |rule| (scope, &**rule, scope.path(rule))))
            .collect();
        loop {
            let before = certainty.values.len() + certainty.functions.len();
            for (scope, rule, path) in &rules {
                let alone = rules.iter().filter(|(_, _, other)| other == path).count() == 1;
                match rule {
                    Rule::Spec { head: RuleHead::Set { refr, .. }, .. } if matches!(**refr, Expr::Var { .. }) => {
                        certainty.values.insert(path.clone());
                    }
                    Rule::Default { args, .. } if args.is_empty() => {
                        certainty.values.insert(path.clone());
                    }
                    Rule::Spec { head: RuleHead::Compr { refr, .. }, .. }
                        if alone && matches!(**refr, Expr::Var { .. }) && certainty.is_total(scope, rule) =>
                    {
                        certainty.values.insert(path.clone());
                    }
                    Rule::Spec { head: RuleHead::Func { args, .. }, .. }
                        if alone
                            && args.iter().all(|arg| matches!(&**arg, Expr::Var { .. }))
                            && certainty.is_total(scope, rule) =>
                    {
                        certainty.functions.insert(path.clone());
                    }
                    _ => {}
                }
            }
            if certainty.values.len() + certainty.functions.len() == before {
                return certainty;
            }
        }
    }

    /// Whether the last definition has no condition and no definition's value can be undefined.
    fn is_total(&self, scope: &Scope<'_>, rule: &Rule) -> bool {
        let unconditional = syntax::bodies(rule).last().is_none_or(|body| body.query.stmts.is_empty());
        unconditional && branches(rule).iter().all(|(value, tested)| self.is_certain(scope, value, tested))
    }

    /// Whether the expression has a value wherever it is evaluated.
    pub(super) fn is_certain(&self, scope: &Scope<'_>, expr: &Expr, tested: &Tested) -> bool {
        let certain = |expr: &Expr| self.is_certain(scope, expr, tested);
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::ArrayCompr { .. }
            | Expr::SetCompr { .. }
            | Expr::ObjectCompr { .. } => true,
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                let Some(text) = fixed(expr) else { return false };
                let is_local = matches!(expr, Expr::Var { .. }) && scope.is_local(&text);
                let is_rule = matches!(scope.target(expr), Target::Data(path) if self.values.contains(&path));
                is_local || is_rule || tested.contains(&text) || ALWAYS_THERE.contains(&text.as_str())
            }
            Expr::Call { fcn, params, .. } => {
                let total = match scope.target(fcn) {
                    Target::Data(path) => self.functions.contains(&path),
                    Target::Other => {
                        syntax::parts(fcn).is_some_and(|parts| BUILTINS.contains_key(parts.join(".").as_str()))
                    }
                };
                total && params.iter().all(|param| certain(param))
            }
            Expr::AssignExpr { .. } => false,
            Expr::Array { .. }
            | Expr::Set { .. }
            | Expr::Object { .. }
            | Expr::UnaryExpr { .. }
            | Expr::BinExpr { .. }
            | Expr::BoolExpr { .. }
            | Expr::ArithExpr { .. }
            | Expr::Membership { .. } => syntax::children(expr).into_iter().all(certain),
        }
    }

    /// Whether every implementation reads `not expr` alike when something in it is undefined: a reference, an equation of
    /// references, or something whose parts are certain.
    pub(super) fn is_negatable(&self, scope: &Scope<'_>, expr: &Expr, tested: &Tested) -> bool {
        let certain = |expr: &Expr| self.is_certain(scope, expr, tested);
        match expr {
            Expr::Call { params, .. } => params.iter().all(|param| certain(param)),
            Expr::BoolExpr { op: BoolOp::Eq, lhs, rhs, .. } => {
                [lhs, rhs].into_iter().all(|side| is_plain(side) || certain(side))
            }
            other => is_plain(other) || certain(other),
        }
    }
}

/// Whether an expression is a reference without anything computed in it but variables.
pub(super) fn is_plain(expr: &Expr) -> bool {
    let simple = |index: &&Expr| matches!(index, Expr::Var { .. }) || syntax::literal(index).is_some();
    let refers = matches!(expr, Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. });
    refers && syntax::parts(expr).is_some() && syntax::indexes(expr).iter().all(simple)
}

/// The text of a reference without anything computed in it.
fn fixed(expr: &Expr) -> Option<String> {
    let literal = syntax::indexes(expr).into_iter().all(|index| syntax::literal(index).is_some());
    if literal { syntax::parts(expr).map(|parts| parts.join(".")) } else { None }
}

/// The references that must have a value where a query is fulfilled.
fn tested(query: &Query, outer: &Tested) -> Tested {
    let mut tested = outer.clone();
    for statement in &query.stmts {
        match &statement.literal {
            Literal::Expr { expr, .. } => match &**expr {
                Expr::BoolExpr { lhs, rhs, .. } => tested.extend([lhs, rhs].into_iter().filter_map(|side| fixed(side))),
                Expr::Membership { value, collection, .. } => {
                    tested.extend([value, collection].into_iter().filter_map(|side| fixed(side)));
                }
                other => tested.extend(fixed(other)),
            },
            Literal::SomeIn { collection, .. } => tested.extend(fixed(collection)),
            Literal::SomeVars { .. } | Literal::NotExpr { .. } | Literal::Every { .. } => {}
        }
    }
    tested
}

/// The values that a rule may take, each with what its body tests.
fn branches(rule: &Rule) -> Vec<(&Expr, Tested)> {
    let Rule::Spec { head: RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. }, bodies, .. } = rule else {
        return Vec::new();
    };
    let head = assign.as_ref().map(|assign| &*assign.value);
    let mut all = Vec::new();
    for body in bodies {
        let value = body.assign.as_ref().map(|assign| &*assign.value).or(if body.is_else { None } else { head });
        all.extend(value.map(|value| (value, tested(&body.query, &Tested::new()))));
    }
    if bodies.is_empty() {
        all.extend(head.map(|value| (value, Tested::new())));
    }
    all
}

/// Calls `visit` with every [`Spot`] of a rule, and with what the bodies around it test.
pub(super) fn spots<'m>(rule: &'m Rule, visit: &mut dyn FnMut(Spot<'m>, &Tested)) {
    let Rule::Spec { head, bodies, .. } = rule else { return };
    let chained = bodies.iter().any(|body| body.is_else);
    for (value, tested) in branches(rule) {
        if chained {
            visit(Spot::Branch(value), &tested);
        }
        in_expr(value, &tested, visit);
    }
    for body in bodies {
        let tested = tested(&body.query, &Tested::new());
        if let RuleHead::Set { key: Some(key), .. } = head {
            visit(Spot::SetKey(key), &tested);
            in_expr(key, &tested, visit);
        }
        in_query(&body.query, &tested, visit);
    }
    if let (RuleHead::Set { key: Some(key), .. }, []) = (head, bodies.as_slice()) {
        visit(Spot::SetKey(key), &Tested::new());
        in_expr(key, &Tested::new(), visit);
    }
}

fn in_query<'m>(query: &'m Query, tested: &Tested, visit: &mut dyn FnMut(Spot<'m>, &Tested)) {
    for statement in &query.stmts {
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { collection, .. } => in_expr(collection, tested, visit),
            Literal::Expr { expr, .. } => in_expr(expr, tested, visit),
            Literal::NotExpr { expr, .. } => {
                visit(Spot::Negated(expr), tested);
                in_expr(expr, tested, visit);
            }
            Literal::Every { domain, query, .. } => {
                in_expr(domain, tested, visit);
                in_query(query, &self::tested(query, tested), visit);
            }
        }
    }
}

fn in_expr<'m>(expr: &'m Expr, tested: &Tested, visit: &mut dyn FnMut(Spot<'m>, &Tested)) {
    match expr {
        Expr::AssignExpr { rhs, .. } => visit(Spot::Assigned(rhs), tested),
        Expr::Call { fcn, params, .. } => params.iter().for_each(|param| visit(Spot::Argument(fcn, param), tested)),
        _ => {}
    }
    let Some(query) = syntax::query(expr) else {
        return syntax::children(expr).into_iter().for_each(|child| in_expr(child, tested, visit));
    };
    let inner = self::tested(query, tested);
    match expr {
        Expr::ArrayCompr { term, .. } => {
            visit(Spot::Term(term), &inner);
            in_expr(term, &inner, visit);
        }
        Expr::ObjectCompr { key, value, .. } => {
            for part in [key, value] {
                visit(Spot::Term(part), &inner);
                in_expr(part, &inner, visit);
            }
        }
        Expr::SetCompr { term, .. } => in_expr(term, &inner, visit),
        _ => {}
    }
    in_query(query, &inner, visit);
}
