//! `docs/policy.md` shows what is. `UPDATE=1` writes it anew.
#![expect(clippy::string_slice, reason = "what is sliced was found there")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use agentguard_core::{Action, Exec};
use regorus::Engine;
use regorus::unstable::Expr;

use super::NOTHING;
use super::tiers::Folder;
use crate::deny::DenyList;
use crate::{Outcome, Policies, Sources, Suite, ast, example, shipped};

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy.md"))
}

/// Holds what stands between the first `start` after `heading` and the next `end` to what should.
fn hold(heading: &str, (start, end): (&str, &str), expected: &str) {
    let mut page = fs::read_to_string(path()).unwrap();
    let at = page
        .find(heading)
        .unwrap_or_else(|| panic!("no heading `{heading}`"));
    let from = at + page[at..].find(start).unwrap() + start.len();
    let to = from + page[from..].find(end).unwrap();
    if page[from..to] == *expected {
        return;
    }
    assert!(
        env::var_os("UPDATE").is_some(),
        "`{heading}` is not as `UPDATE=1` would write it"
    );
    page.replace_range(from..to, expected);
    fs::write(path(), page).unwrap();
}

/// One test for the whole page: it may write it.
#[test]
fn the_page_shows_every_input_and_every_rule_as_they_are() {
    for (heading, input) in [
        ("### Of an exec\n", example::exec()),
        ("### Of a name\n", example::file()),
        ("### Of a connection\n", example::connect()),
        ("### Of a host\n", example::reach()),
        ("### Of a request\n", example::api()),
        ("### Of a push\n", example::push()),
        ("### Of a session\n", example::session()),
        ("### Of a confinement\n", example::sandbox()),
    ] {
        let text = serde_json::to_string_pretty(&input).unwrap() + "\n";
        hold(heading, ("```json\n", "```\n"), &text);
    }
    hold("## What ships\n", ("|---|---|---|\n", "\n## "), &rules());
}

#[test]
fn the_examples_are_what_the_engine_sees() {
    let policies = Policies::load(&NOTHING).unwrap();
    let judge = policies.judge(example::a_session().unwrap());
    for shown in [example::exec(), example::exec_of_script()] {
        let exec: Exec = serde_json::from_value(shown["action"].clone()).unwrap();
        let question = judge.question(Action::Exec(exec));
        let seen: serde_json::Value = serde_json::from_str(question.input()).unwrap();
        assert_eq!(shown, seen);
    }
}

/// Every rule that ships, as rows of a table.
fn rules() -> String {
    let mut rows: BTreeMap<String, (String, String)> = BTreeMap::new();
    let source = shipped::source();
    let deny = DenyList::load(std::slice::from_ref(&source), 0).unwrap();
    for (verdict, rule) in deny.rules() {
        rows.insert(
            rule.id.to_string(),
            (verdict.to_owned(), rule.reason.clone()),
        );
    }
    for file in source.files.iter().filter(|f| f.name.ends_with(".rego")) {
        let mut engine = Engine::new();
        engine
            .add_policy(file.name.clone(), file.text.to_string())
            .unwrap();
        for (word, expr) in ast::given(&engine.get_modules()[0]) {
            let verdict = match word {
                "deny" | "ask" | "allow" => word,
                "covered" => "kernel",
                "switched_off" => "profile",
                _ => continue,
            };
            let fields = ast::fields(expr).unwrap();
            let text = |name: &str| {
                let field = fields.iter().find(|(_, known, _)| known == name).unwrap();
                words_of(field.2)
            };
            rows.entry(text("id"))
                .or_insert((verdict.to_owned(), text("reason")));
        }
    }
    let mut table = String::new();
    for (id, (verdict, reason)) in rows {
        writeln!(table, "| `{id}` | {verdict} | {reason} |").unwrap();
    }
    table
}

/// A text, or that of a `sprintf` with its gaps.
fn words_of(expr: &Expr) -> String {
    if let Some((_, text)) = ast::literal(expr) {
        return text;
    }
    let Expr::Call { params, .. } = expr else {
        panic!("neither written out nor formatted")
    };
    let text = ast::literal(&params[0]).unwrap().1;
    text.replace("`%s`", "…").replace("%s", "…")
}

#[test]
fn the_pages_own_policies_load_and_pass_their_test() {
    let page = fs::read_to_string(path()).unwrap();
    let fenced = |language: &str| {
        let fence = format!("```{language}\n");
        let parts = page.split(&fence).skip(1);
        let texts: Vec<String> = parts
            .map(|part| part[..part.find("```").unwrap()].to_owned())
            .collect();
        texts
    };
    let (rego, toml) = (fenced("rego"), fenced("toml"));
    let names: Vec<String> = (0..rego.len())
        .map(|number| match rego[number].contains("_test\n") {
            true => format!("own{number}_test.rego"),
            false => format!("own{number}.rego"),
        })
        .collect();
    let mut files = vec![("deny.toml", toml[0].as_str())];
    files.extend(
        names
            .iter()
            .map(String::as_str)
            .zip(rego.iter().map(String::as_str)),
    );
    let folder = Folder::new("page", &files);
    let suite = Suite::load(&Sources::alone(folder.path())).unwrap();
    let outcomes: Vec<_> = suite.run().map(|ran| ran.outcome).collect();
    assert_eq!(outcomes, [Outcome::Pass]);
}
