//! Rules that lead back to themselves. Rego has no recursion, and a function that calls itself would end
//! the engine by its stack: such policies do not load.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::Span;

use crate::ast::{self, Use};
use crate::error::Mistake;
use crate::module::Parsed;

/// Every rule's full name, with where it stands first and what it uses.
type Graph<'a> = BTreeMap<String, Node<'a>>;

struct Node<'a> {
    parsed: &'a Parsed,
    span: &'a Span,
    /// Full names of rules, or beginnings of such.
    uses: BTreeSet<String>,
}

/// The rules that lead back to themselves, each once.
pub(crate) fn find(parsed: &[Parsed]) -> Vec<Mistake> {
    let mut graph = Graph::new();
    for parsed in parsed {
        add(&mut graph, parsed);
    }
    let edges: BTreeMap<&str, Vec<&str>> = graph
        .iter()
        .map(|(name, node)| (name.as_str(), targets(&graph, node)))
        .collect();
    let circular = |name: &&str| reaches(&edges, name, name);
    let names = edges.keys().copied().filter(circular);
    let shown = names.filter_map(|name| {
        let node = graph.get(name)?;
        let message = format!("`{name}` leads back to itself");
        Some(node.parsed.mistake(node.span, message))
    });
    shown.collect()
}

fn add<'a>(graph: &mut Graph<'a>, parsed: &'a Parsed) {
    let imports: BTreeMap<&str, Vec<&str>> = ast::imports(&parsed.module).into_iter().collect();
    for uses in ast::uses(&parsed.module) {
        let name = format!("{}.{}", parsed.package, uses.head.name);
        let node = graph.entry(name).or_insert_with(|| Node {
            parsed,
            span: uses.head.span,
            uses: BTreeSet::new(),
        });
        let is_local = |name: &&Use<'_>| {
            name.path
                .first()
                .is_some_and(|root| uses.locals.contains(root))
                && name.params.is_none()
        };
        let outer = uses.names.iter().filter(|name| !is_local(name));
        node.uses
            .extend(outer.filter_map(|name| full_name(&name.path, &parsed.package, &imports)));
    }
}

/// The full name of what `path` means in `package`, without `data`.
pub(crate) fn full_name(
    path: &[&str],
    package: &str,
    imports: &BTreeMap<&str, Vec<&str>>,
) -> Option<String> {
    let (root, rest) = path.split_first()?;
    let parts: Vec<&str> = match (*root, imports.get(root)) {
        ("input", _) => return None,
        ("data", _) => rest.to_vec(),
        (_, Some(imported)) => imported.iter().chain(rest).copied().collect(),
        (name, None) => vec![package, name],
    };
    Some(parts.join("."))
}

/// The rules meant by what a node uses: the rule itself, one above the path, or all below it.
fn targets<'a>(graph: &'a Graph<'_>, node: &Node<'_>) -> Vec<&'a str> {
    let is_meant = |name: &&String| {
        node.uses
            .iter()
            // All of `data` is every rule, also the one that asks for it.
            .any(|used| used.is_empty() || is_above(name, used) || is_above(used, name))
    };
    graph.keys().filter(is_meant).map(String::as_str).collect()
}

/// Whether `above` is `below`, or a beginning of it by whole parts.
pub(crate) fn is_above(above: &str, below: &str) -> bool {
    let rest = below.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn reaches(edges: &BTreeMap<&str, Vec<&str>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        for next in edges.get(name).into_iter().flatten() {
            if *next == to {
                return true;
            }
            if seen.insert(*next) {
                open.push(next);
            }
        }
    }
    false
}
