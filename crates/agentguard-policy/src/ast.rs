//! What a module declares and calls, read from its syntax tree.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the engine's syntax, of which most is treated alike"
)]

use regorus::unstable::{
    AssignOp, Expr, Import, Literal, Module, Query, Ref, Rule, RuleAssign, RuleHead, Span,
};

/// What kind of rule a head makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// `name contains …`.
    Set,
    /// `name := …`, also with keys.
    Complete,
    /// `name(…) := …`.
    Function,
    /// `default name := …`.
    Default,
}

/// One head of a module.
pub(crate) struct Head<'a> {
    pub(crate) name: &'a str,
    pub(crate) shape: Shape,
    /// Whether the name is all of it: `name`, not `name.part` or `name[key]`.
    pub(crate) is_plain: bool,
    pub(crate) span: &'a Span,
}

/// Every rule's head, in the order written.
pub(crate) fn heads(module: &Module) -> Vec<Head<'_>> {
    module.policy.iter().map(|rule| head(rule)).collect()
}

fn head(rule: &Rule) -> Head<'_> {
    let (refr, shape) = match rule {
        Rule::Spec { head, .. } => match head {
            RuleHead::Set { refr, .. } => (refr, Shape::Set),
            RuleHead::Compr { refr, .. } => (refr, Shape::Complete),
            RuleHead::Func { refr, .. } => (refr, Shape::Function),
        },
        Rule::Default { refr, .. } => (refr, Shape::Default),
    };
    let (span, plain) = root(refr);
    Head {
        name: span.text(),
        shape: if plain { shape } else { Shape::Complete },
        is_plain: plain,
        span,
    }
}

/// The first name of a reference, and whether that is all there is.
pub(crate) fn root(expr: &Expr) -> (&Span, bool) {
    let mut expr = expr;
    let mut plain = true;
    loop {
        match expr {
            Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => {
                plain = false;
                expr = refr;
            }
            _ => return (expr.span(), plain),
        }
    }
}

/// What a module's sets are given, each with the set's name.
pub(crate) fn given(module: &Module) -> Vec<(&str, &Expr)> {
    module.policy.iter().filter_map(|rule| key(rule)).collect()
}

fn key(rule: &Rule) -> Option<(&str, &Expr)> {
    match rule {
        Rule::Spec {
            head: RuleHead::Set { refr, key, .. },
            ..
        } => Some((root(refr).0.text(), key.as_ref()?)),
        Rule::Spec { .. } | Rule::Default { .. } => None,
    }
}

/// The fields of an object that is written out, where their names are: each with its value. `None`
/// where it is computed.
pub(crate) fn fields(expr: &Expr) -> Option<Vec<(&Span, String, &Expr)>> {
    match expr {
        Expr::Object { fields, .. } => fields
            .iter()
            .map(|(_, key, value)| literal(key).map(|(span, name)| (span, name, value.as_ref())))
            .collect(),
        _ => None,
    }
}

/// Whether it is written out and no object.
pub(crate) fn is_no_object(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::Array { .. }
            | Expr::Set { .. }
    )
}

/// The text of a string that is written out.
pub(crate) fn literal(expr: &Expr) -> Option<(&Span, String)> {
    match expr {
        Expr::String { span, value, .. } | Expr::RawString { span, value, .. } => {
            Some((span, value.as_string().ok()?.to_string()))
        }
        _ => None,
    }
}

/// How many arguments a rule takes, where it is a function.
pub(crate) fn arity(rule: &Rule) -> Option<usize> {
    match rule {
        Rule::Spec {
            head: RuleHead::Func { args, .. },
            ..
        } => Some(args.len()),
        Rule::Default { args, .. } if !args.is_empty() => Some(args.len()),
        Rule::Spec { .. } | Rule::Default { .. } => None,
    }
}

/// A name that a rule uses.
pub(crate) struct Use<'a> {
    /// Its parts as far as they are written out: `["data", "a", "b"]` for `data.a.b[x].c`.
    pub(crate) path: Vec<&'a str>,
    /// Where its first part stands.
    pub(crate) span: &'a Span,
    /// What it is called with, where it is called.
    pub(crate) params: Option<&'a [Ref<Expr>]>,
}

/// What one rule uses.
pub(crate) struct Uses<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) names: Vec<Use<'a>>,
    /// Names that the rule itself declares.
    pub(crate) locals: Vec<&'a str>,
}

/// What every rule of a module uses.
pub(crate) fn uses(module: &Module) -> Vec<Uses<'_>> {
    let of = |rule| {
        let mut walker = Walker::default();
        walker.rule(rule);
        Uses {
            head: head(rule),
            names: walker.names,
            locals: walker.locals,
        }
    };
    module.policy.iter().map(|rule| of(rule)).collect()
}

/// Every `with` of a module.
pub(crate) fn replacements(module: &Module) -> Vec<&Span> {
    let mut walker = Walker::default();
    for rule in &module.policy {
        walker.rule(rule);
    }
    walker.withs
}

/// The module's imports: the name in it, and the path without `data`.
pub(crate) fn imports(module: &Module) -> Vec<(&str, Vec<&str>)> {
    let mut all = Vec::new();
    for import in &module.imports {
        let path = path(&import.refr);
        let Some((root, rest)) = path.split_first() else {
            continue;
        };
        if *root != "data" {
            continue;
        }
        let last = rest.last().copied().unwrap_or(root);
        let name = import.r#as.as_ref().map_or(last, Span::text);
        all.push((name, rest.to_vec()));
    }
    all
}

/// An import, of whatever kind.
pub(crate) struct Imported<'a> {
    /// What it is called in its file.
    pub(crate) name: &'a str,
    /// The path, with its root.
    pub(crate) target: String,
    /// All of it.
    pub(crate) span: &'a Span,
}

/// Every import of a module.
pub(crate) fn imported(module: &Module) -> Vec<Imported<'_>> {
    module.imports.iter().map(one_import).collect()
}

fn one_import(import: &Import) -> Imported<'_> {
    let path = path(&import.refr);
    let last = path.last().copied().unwrap_or("");
    Imported {
        name: import.r#as.as_ref().map_or(last, Span::text),
        target: path.join("."),
        span: &import.span,
    }
}

/// The parts of a reference, up to the first that is computed.
fn path(expr: &Expr) -> Vec<&str> {
    match expr {
        Expr::Var { span, .. } => vec![span.text()],
        Expr::RefDot { refr, field, .. } => {
            let mut parts = path(refr);
            if is_static(refr) {
                parts.push(field.0.text());
            }
            parts
        }
        Expr::RefBrack { refr, index, .. } => {
            let mut parts = path(refr);
            if let (true, Expr::String { span, .. }) = (is_static(refr), index.as_ref()) {
                parts.push(span.text());
            }
            parts
        }
        _ => Vec::new(),
    }
}

fn is_static(expr: &Expr) -> bool {
    match expr {
        Expr::Var { .. } => true,
        Expr::RefDot { refr, .. } => is_static(refr),
        Expr::RefBrack { refr, index, .. } => {
            is_static(refr) && matches!(index.as_ref(), Expr::String { .. })
        }
        _ => false,
    }
}

#[derive(Default)]
struct Walker<'a> {
    withs: Vec<&'a Span>,
    names: Vec<Use<'a>>,
    locals: Vec<&'a str>,
}

impl<'a> Walker<'a> {
    fn rule(&mut self, rule: &'a Rule) {
        match rule {
            Rule::Spec { head, bodies, .. } => {
                self.head(head);
                for body in bodies {
                    self.assign(body.assign.as_ref());
                    self.query(&body.query);
                }
            }
            Rule::Default { value, args, .. } => {
                self.all(args);
                self.expr(value);
            }
        }
    }

    fn head(&mut self, head: &'a RuleHead) {
        match head {
            RuleHead::Compr { refr, assign, .. } => {
                self.indices(refr);
                self.assign(assign.as_ref());
            }
            RuleHead::Set { refr, key, .. } => {
                self.indices(refr);
                self.all(key.as_slice());
            }
            RuleHead::Func { args, assign, .. } => {
                for arg in args {
                    self.declare(arg);
                }
                self.assign(assign.as_ref());
            }
        }
    }

    fn assign(&mut self, assign: Option<&'a RuleAssign>) {
        if let Some(assign) = assign {
            self.expr(&assign.value);
        }
    }

    fn query(&mut self, query: &'a Query) {
        for statement in &query.stmts {
            self.literal(&statement.literal);
            for with in &statement.with_mods {
                self.withs.push(&with.span);
                self.expr(&with.r#as);
            }
        }
    }

    fn literal(&mut self, literal: &'a Literal) {
        match literal {
            Literal::SomeVars { vars, .. } => self.locals.extend(vars.iter().map(Span::text)),
            Literal::SomeIn {
                key,
                value,
                collection,
                ..
            } => {
                for declared in key.iter().chain([value]) {
                    self.declare(declared);
                }
                self.expr(collection);
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expr(expr),
            Literal::Every {
                key,
                value,
                domain,
                query,
                ..
            } => {
                self.locals
                    .extend(key.iter().chain([value]).map(Span::text));
                self.expr(domain);
                self.query(query);
            }
        }
    }

    fn all(&mut self, exprs: &'a [Ref<Expr>]) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => {}
            Expr::Var { .. } => self.name(expr, None),
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.all(items),
            Expr::Object { fields, .. } => {
                for (_, key, value) in fields {
                    self.expr(key);
                    self.expr(value);
                }
            }
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.expr(term);
                self.query(query);
            }
            Expr::ObjectCompr {
                key, value, query, ..
            } => {
                self.expr(key);
                self.expr(value);
                self.query(query);
            }
            Expr::Call { fcn, params, .. } => {
                self.name(fcn, Some(params));
                self.all(params);
            }
            Expr::UnaryExpr { expr, .. } => self.expr(expr),
            Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                self.name(expr, None);
                self.indices(expr);
            }
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. } => {
                self.expr(lhs);
                self.expr(rhs);
            }
            Expr::AssignExpr { op, lhs, rhs, .. } => {
                match op {
                    AssignOp::ColEq => self.declare(lhs),
                    AssignOp::Eq => self.expr(lhs),
                }
                self.expr(rhs);
            }
            Expr::Membership {
                key,
                value,
                collection,
                ..
            } => {
                self.all(key.as_slice());
                self.expr(value);
                self.expr(collection);
            }
        }
    }

    fn name(&mut self, expr: &'a Expr, params: Option<&'a [Ref<Expr>]>) {
        let path = path(expr);
        if path.is_empty() {
            return;
        }
        self.names.push(Use {
            path,
            span: root(expr).0,
            params,
        });
    }

    /// What stands in the brackets of a reference, and what it is a reference into.
    fn indices(&mut self, expr: &'a Expr) {
        match expr {
            Expr::RefDot { refr, .. } => self.indices(refr),
            Expr::RefBrack { refr, index, .. } => {
                self.indices(refr);
                self.expr(index);
            }
            Expr::Var { .. } => {}
            other => self.expr(other),
        }
    }

    /// Takes the names of a pattern as declared here.
    fn declare(&mut self, pattern: &'a Expr) {
        match pattern {
            Expr::Var { span, .. } => self.locals.push(span.text()),
            Expr::Array { items, .. } => {
                for item in items {
                    self.declare(item);
                }
            }
            Expr::Object { fields, .. } => {
                for (_, _, value) in fields {
                    self.declare(value);
                }
            }
            other => self.expr(other),
        }
    }
}
