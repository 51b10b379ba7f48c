use agentguard_core::Tier;

use super::*;
use crate::sources::File;

fn source(tier: Tier, text: &str) -> Source {
    Source {
        tier,
        directory: "dir".to_owned(),
        files: vec![File {
            name: "deny.toml".to_owned(),
            text: text.to_owned().into(),
        }],
        embedded: false,
    }
}

fn load(text: &str) -> Result<DenyList, Error> {
    DenyList::load(&[source(Tier::Shipped, text)], 0)
}

fn mistake(text: &str) -> Mistake {
    load(text).unwrap_err().mistakes()[0].clone()
}

const ENTRY: &str = r#"schema = 1
[[command]]
id = "git/force"
reason = "history"
tools = ["git"]
subcommands = ["push"]
flags = ["-f"]
match = ["git push -f", "git -C x push --force"]
not_match = ["git push", "git fetch -f"]
"#;

#[test]
fn an_entry_matches_every_spelling() {
    let list = load(ENTRY).unwrap();
    for (words, denied) in [
        ("git push -qf o", true),
        ("sh -c 'true; git push --force'", true),
        ("git push --force-with-lease", false),
    ] {
        let argv = split(words);
        let commands = crate::command::parse(&argv, "/");
        let rule = list.exec(&[], &commands, &BTreeMap::new());
        assert_eq!(rule.is_some(), denied, "{words}");
    }
}

fn split(line: &str) -> Vec<String> {
    crate::command::split_plain(line).unwrap().remove(0).argv
}

#[test]
fn an_example_that_does_not_hold_is_shown_in_its_place() {
    let wrong = mistake(&ENTRY.replace("\"git push -f\"", "\"git push -n\""));
    assert_eq!((wrong.line, wrong.column, wrong.width), (8, 10, 13));
    assert_eq!(wrong.message, "the entry does not match this example");
    let wrong = mistake(&ENTRY.replace("\"git push\"", "\"git push --force\""));
    assert_eq!(wrong.message, "the entry matches what it must not");
    let wrong = mistake(&ENTRY.replace("\"git push\"", "\"git $x\""));
    assert_eq!(wrong.message, "the example cannot be read");
}

#[test]
fn what_is_not_known_is_a_mistake() {
    for (text, message) in [
        (
            "schema = 1\n[[host]]\nid = \"a/b\"\n",
            "unknown field `host`",
        ),
        ("schema = 1\n[[command]]\nidd = 1\n", "unknown field `idd`"),
        ("schema = 2\n", "schema 2 is not known"),
        ("schema = 1\n[[command]\n", ""),
        (&ENTRY.replace("git/force", "force"), "not of the form"),
        (&ENTRY.replace("history", " "), "the reason is empty"),
        (&ENTRY.replace("[\"git\"]", "[]"), "names nothing"),
        (&ENTRY.replace("not_match", "not_matched"), "unknown field"),
    ] {
        let wrong = mistake(text);
        assert!(wrong.message.contains(message), "{text}: {wrong}");
    }
}

#[test]
fn only_the_highest_tier_lifts_what_ships() {
    let lift = "schema = 1\nlift = [\"git/force\"]\n";
    let sources = [
        source(Tier::User, lift),
        source(Tier::Repository, lift),
        source(Tier::Shipped, ENTRY),
    ];
    let wrong = DenyList::load(&sources, 0).unwrap_err();
    assert!(
        wrong.to_string().contains("only the highest tier"),
        "{wrong}"
    );
    let list = DenyList::load(&[sources[0].clone(), sources[2].clone()], 0).unwrap();
    assert!(list.commands.is_empty());
}

#[test]
fn what_does_not_ship_is_not_lifted() {
    let lift = "schema = 1\nlift = [\"git/force\", \"git/forse\"]\n";
    // One of its own is taken out by its author.
    let own = lift.replace("git/forse", "own/rule");
    let own = format!(
        "{own}{}",
        ENTRY
            .replace("git/force", "own/rule")
            .replace("schema = 1\n", "")
    );
    for (text, column) in [(lift, 22), (own.as_str(), 22)] {
        let sources = [source(Tier::User, text), source(Tier::Shipped, ENTRY)];
        let wrong = DenyList::load(&sources, 0).unwrap_err().to_string();
        assert!(
            wrong.contains("no entry that ships is called so")
                && wrong.contains(&format!(":2:{column}")),
            "{wrong}"
        );
    }
    // What ships is by commands, programs, paths and variables.
    let shipped = crate::shipped::source();
    let text = |ids: &[&str]| format!("schema = 1\nlift = {ids:?}\n");
    let all = DenyList::load(std::slice::from_ref(&shipped), 0).unwrap();
    for id in all.rules().iter().map(|(_, rule)| rule.id.as_str()) {
        let sources = [source(Tier::User, &text(&[id])), shipped.clone()];
        let list = DenyList::load(&sources, 0).unwrap();
        assert!(!list.rules().iter().any(|(_, rule)| rule.id.as_str() == id));
    }
}

#[test]
fn globs_have_stars_only() {
    for (pattern, text, same) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c*e", "abcde", true),
        ("a*c*e", "abde", false),
        ("*", "", true),
        ("a*a", "a", false),
        ("?", "x", false),
    ] {
        assert_eq!(glob(pattern, text), same, "{pattern} {text}");
    }
}
