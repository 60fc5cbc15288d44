//! Walks over parsed Rego, for the checks made when policies are loaded.
//!
//! Takes: regorus' syntax tree. Gives: every expression of a rule, static paths of references, rules by
//! path. Guarantees: over-approximates; a local variable that shares a rule's name counts as the rule.
//! Refuses: nothing.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Rc;
use regorus::unstable::{Expr, Import, Literal, LiteralStmt, Module, Query, Ref, Rule, RuleBody, RuleHead, Span};

/// A module and what its names mean.
pub(super) struct Scope<'m> {
    pub(super) module: &'m Module,
    /// `data.portcullis`
    pub(super) package: String,
    /// Import alias to path.
    imports: BTreeMap<String, String>,
    /// Names of the package's rules, in whatever module.
    names: BTreeSet<String>,
}

/// What a name in a module leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Something below `data`; the rest of the path may be dynamic.
    Data(String),
    /// The input, a local variable, or a built-in namespace.
    Other,
}

impl<'m> Scope<'m> {
    /// The scopes of all modules, whose packages may be spread over several.
    pub(super) fn of(modules: &'m [Ref<Module>]) -> Vec<Self> {
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for module in modules {
            let package = package(module);
            for rule in &module.policy {
                names.entry(package.clone()).or_default().extend(head(rule).first().cloned());
            }
        }
        let scope = |module: &'m Ref<Module>| {
            let package = package(module);
            let names = names.get(&package).cloned().unwrap_or_default();
            let imports = module.imports.iter().filter_map(import).collect();
            Self { module: &**module, package, imports, names }
        };
        modules.iter().map(scope).collect()
    }

    /// The path of a rule of this module.
    pub(super) fn path(&self, rule: &Rule) -> String {
        [std::slice::from_ref(&self.package), &head(rule)].concat().join(".")
    }

    /// Every path that reading a reference may evaluate. Through an import that is all of what was imported: the
    /// interpreter evaluates an imported package whole.
    pub(super) fn reads(&self, reference: &Expr) -> Vec<String> {
        let root = parts(reference).and_then(|parts| parts.into_iter().next());
        let imported = root.and_then(|root| self.imports.get(&root)).filter(|path| path.starts_with("data."));
        let mut paths: Vec<String> = imported.cloned().into_iter().collect();
        if let Target::Data(path) = self.target(reference) {
            paths.push(path);
        }
        paths
    }

    /// Whether a name is a variable: neither the input, nor data, an import or a rule.
    pub(super) fn is_local(&self, name: &str) -> bool {
        !matches!(name, "input" | "data") && !self.imports.contains_key(name) && !self.names.contains(name)
    }

    /// What a reference leads to.
    pub(super) fn target(&self, reference: &Expr) -> Target {
        let Some(parts) = parts(reference) else { return Target::Other };
        let Some((root, rest)) = parts.split_first() else { return Target::Other };
        let base = if root == "data" {
            root.clone()
        } else if let Some(path) = self.imports.get(root) {
            path.clone()
        } else if self.names.contains(root) {
            format!("{}.{root}", self.package)
        } else {
            return Target::Other;
        };
        if base != "data" && !base.starts_with("data.") {
            return Target::Other;
        }
        Target::Data([std::slice::from_ref(&base), rest].concat().join("."))
    }
}

/// `data.a.b` of `package a.b`.
fn package(module: &Module) -> String {
    format!("data.{}", parts(&module.package.refr).unwrap_or_default().join("."))
}

fn import(import: &Import) -> Option<(String, String)> {
    let parts = parts(&import.refr)?;
    let alias = match &import.r#as {
        Some(alias) => alias.text().to_owned(),
        None => parts.last()?.clone(),
    };
    Some((alias, parts.join(".")))
}

/// The static parts of a rule's name, without the package.
pub(super) fn head(rule: &Rule) -> Vec<String> {
    let refr = match rule {
        Rule::Default { refr, .. } => refr,
        Rule::Spec {
            head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. },
            ..
        } => refr,
    };
    parts(refr).unwrap_or_default()
}

/// The static parts from the root of a reference on, up to the first that is computed.
pub(super) fn parts(reference: &Expr) -> Option<Vec<String>> {
    fn collect(reference: &Expr, parts: &mut Vec<String>) -> Option<bool> {
        match reference {
            Expr::Var { span, .. } => {
                parts.push(span.text().to_owned());
                Some(true)
            }
            Expr::RefDot { refr, field: (span, _), .. } => {
                let fixed = collect(refr, parts)?;
                if fixed {
                    parts.push(span.text().to_owned());
                }
                Some(fixed)
            }
            Expr::RefBrack { refr, index, .. } => {
                let fixed = collect(refr, parts)?;
                match &**index {
                    Expr::String { value, .. } | Expr::RawString { value, .. } if fixed => {
                        parts.push(value.as_string().ok()?.to_string());
                        Some(true)
                    }
                    _ => Some(false),
                }
            }
            _ => None,
        }
    }
    let mut parts = Vec::new();
    collect(reference, &mut parts)?;
    Some(parts)
}

/// The expressions inside the brackets of a reference.
pub(super) fn indexes(reference: &Expr) -> Vec<&Expr> {
    match reference {
        Expr::RefDot { refr, .. } => indexes(refr),
        Expr::RefBrack { refr, index, .. } => {
            let mut all = indexes(refr);
            all.push(index);
            all
        }
        Expr::Var { .. } => Vec::new(),
        other => vec![other],
    }
}

/// Calls `visit` with the expression and, where that answers `true`, with those inside it.
pub(super) fn walk(expr: &Expr, visit: &mut dyn FnMut(&Expr) -> bool) {
    if visit(expr) {
        for child in children(expr) {
            walk(child, visit);
        }
    }
}

/// Calls `visit` as [`walk`] does with every expression of a rule: arguments, keys, values and bodies.
pub(super) fn walk_rule(rule: &Rule, visit: &mut dyn FnMut(&Expr) -> bool) {
    for expr in expressions(rule) {
        walk(expr, visit);
    }
}

/// The statements of a rule, nested ones included.
pub(super) fn statements(rule: &Rule) -> Vec<&LiteralStmt> {
    let mut all = Vec::new();
    let mut queries: Vec<&Query> = bodies(rule).iter().map(|body| &*body.query).collect();
    let mut pending: Vec<&Expr> = expressions(rule);
    while let Some(expr) = pending.pop() {
        queries.extend(query(expr));
        pending.extend(children(expr));
    }
    for query in queries {
        for statement in &query.stmts {
            all.push(statement);
            if let Literal::Every { query, .. } = &statement.literal {
                all.extend(&query.stmts);
            }
        }
    }
    all
}

/// The bodies of a rule.
pub(super) fn bodies(rule: &Rule) -> &[RuleBody] {
    match rule {
        Rule::Spec { bodies, .. } => bodies,
        Rule::Default { .. } => &[],
    }
}

/// The values that a rule may take, where they are written.
pub(super) fn values(rule: &Rule) -> Vec<&Expr> {
    match rule {
        Rule::Default { value, .. } => vec![value],
        Rule::Spec { head, bodies, .. } => {
            let (RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. }) = head else { return Vec::new() };
            let of_bodies = bodies.iter().filter_map(|body| body.assign.as_ref());
            assign.iter().chain(of_bodies).map(|assign| &*assign.value).collect()
        }
    }
}

/// The variables that a rule binds: arguments, `some … in` and assignments.
pub(super) fn bound(rule: &Rule) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut bind = |expr: &Expr| {
        walk(expr, &mut |expr| {
            if let Expr::Var { span, .. } = expr {
                names.insert(span.text().to_owned());
            }
            true
        });
    };
    if let Rule::Spec { head: RuleHead::Func { args, .. }, .. } = rule {
        args.iter().for_each(|arg| bind(arg));
    }
    for statement in statements(rule) {
        match &statement.literal {
            Literal::SomeIn { key, value, .. } => {
                key.iter().for_each(|key| bind(key));
                bind(value);
            }
            Literal::Expr { expr, .. } => {
                if let Expr::AssignExpr { lhs, .. } = &**expr {
                    bind(lhs);
                }
            }
            _ => {}
        }
    }
    names
}

/// The query of a comprehension.
pub(super) fn query(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::ArrayCompr { query, .. } | Expr::SetCompr { query, .. } | Expr::ObjectCompr { query, .. } => Some(query),
        _ => None,
    }
}

fn expressions(rule: &Rule) -> Vec<&Expr> {
    let mut all: Vec<&Expr> = Vec::new();
    match rule {
        Rule::Default { args, value, .. } => {
            all.extend(args.iter().map(|arg| &**arg));
            all.push(value);
        }
        Rule::Spec { head, bodies, .. } => {
            match head {
                RuleHead::Compr { refr, assign, .. } => {
                    all.extend(indexes(refr));
                    all.extend(assign.iter().map(|assign| &*assign.value));
                }
                RuleHead::Set { refr, key, .. } => {
                    all.extend(indexes(refr));
                    all.extend(key.iter().map(|key| &**key));
                }
                RuleHead::Func { args, assign, .. } => {
                    all.extend(args.iter().map(|arg| &**arg));
                    all.extend(assign.iter().map(|assign| &*assign.value));
                }
            }
            for body in bodies {
                all.extend(body.assign.iter().map(|assign| &*assign.value));
                all.extend(of_query(&body.query));
            }
        }
    }
    all
}

/// The expressions directly inside a query.
fn of_query(query: &Query) -> Vec<&Expr> {
    let mut all: Vec<&Expr> = Vec::new();
    for statement in &query.stmts {
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                all.extend(key.iter().map(|key| &**key));
                all.extend([&**value, &**collection]);
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => all.push(expr),
            Literal::Every { domain, query, .. } => {
                all.push(domain);
                all.extend(of_query(query));
            }
        }
        all.extend(statement.with_mods.iter().map(|with| &*with.r#as));
    }
    all
}

/// The expressions directly inside an expression; the name of a called function is not one.
pub(super) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => Vec::new(),
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().map(|item| &**item).collect(),
        Expr::Object { fields, .. } => fields.iter().flat_map(|(_, key, value)| [&**key, &**value]).collect(),
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            [vec![&**term], of_query(query)].concat()
        }
        Expr::ObjectCompr { key, value, query, .. } => [vec![&**key, &**value], of_query(query)].concat(),
        Expr::Call { params, .. } => params.iter().map(|param| &**param).collect(),
        Expr::UnaryExpr { expr, .. } => vec![expr],
        Expr::RefDot { refr, .. } => vec![refr],
        Expr::RefBrack { refr, index, .. } => vec![refr, index],
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => vec![lhs, rhs],
        Expr::Membership { key, value, collection, .. } => {
            let mut all: Vec<&Expr> = key.iter().map(|key| &**key).collect();
            all.extend([&**value, &**collection]);
            all
        }
    }
}

/// The file and line of a piece of syntax.
pub(super) fn place(span: &Span) -> (String, u32) {
    (span.source.get_path().clone(), span.line)
}

/// A literal string.
pub(super) fn literal(expr: &Expr) -> Option<Rc<str>> {
    match expr {
        Expr::String { value, .. } | Expr::RawString { value, .. } => value.as_string().ok().cloned(),
        _ => None,
    }
}
