//! A proposal as Rego.

use std::collections::BTreeSet;

use super::quote::{quoted, shown};
use super::{Entries, Observed, Use};

/// What stands for the session's id in a path.
pub(super) const SESSION: &str = "SESSION";
/// Entries that a comment names, and refusals that it lists.
const MOST_ENTRIES: usize = 5;
const MOST_REFUSED: usize = 100;

const RULES: &str = r#"
deny contains {
	"id": "programs/not-observed",
	"reason": "no run that was observed started this program in this way",
	"remedy": "use what was observed, or ask a human for a line in `learned.rego`",
} if {
	not _is_observed
}

_is_observed if {
	count(_uses) > 0
	every use in _uses {
		use in observed
	}
}

# What a program is called by counts beside its own name: both are commands of the same exec.
_uses contains array.concat([_place(input.action.program), _script, command.tool], command.subcommand) if {
	some command in input.facts.commands
	command.via == []
}

default _script := ""

_script := _place(input.action.script)

_place(program) := replace(
	trim_prefix(program.path, concat("", [input.session.workspace, "/"])),
	input.session.id, "SESSION",
)
"#;

const TESTS: &str = r#"package agentguard.exec.learned_test

import data.agentguard.exec.programs

# No path holds what stands for the session's own.
exec(use) := {
	"session": {"id": "\u0000", "workspace": "\u0000"},
	"action": {"program": {"path": use[0], "class": "system"}, "script": script(use[1])},
	"facts": {"commands": [{"tool": use[2], "subcommand": array.slice(use, 3, count(use)), "via": []}]},
}

script(path) := {"path": path, "class": "system"} if path != ""

script("") := null

# As many as can be tried within a test's time.
some_observed := array.slice([use | some use in programs.observed], 0, 20)

test_what_was_observed_runs if {
	every use in some_observed {
		count(programs.deny) == 0 with input as exec(use)
	}
}

# No program is `/`, no script `//`, and no subcommand a number.
test_what_was_not_does_not if {
	is_refused(["/", "", "x"])
	every use in some_observed {
		is_refused(array.concat(["/"], array.slice(use, 1, count(use))))
		is_refused(array.concat([use[0], "//"], array.slice(use, 2, count(use))))
		is_refused(array.concat(use, [0]))
	}
}

is_refused(use) if {
	{rule.id | some rule in programs.deny} == {"programs/not-observed"} with input as exec(use)
}
"#;

const TESTS_OF_CONTENT: &str = r#"
from_elsewhere(digest) := object.union(exec(["/tmp/x", "", "x"]), {"action": {"program": {
	"class": "temporary",
	"sha256": digest,
}}})

test_what_is_excepted_by_its_content_is_refused_by_no_class if {
	every digest in array.slice([digest | some digest in programs.excepted], 0, 20) {
		{rule.id | some rule in programs.deny} - {"programs/not-observed"} == set() with input as from_elsewhere(digest)
	}
	"programs/temporary" in {rule.id | some rule in programs.deny} with input as from_elsewhere("sha256:0")
}
"#;

/// The rules, with the list that they go by.
pub(super) fn rules(observed: &Observed) -> String {
    let mut text = head(observed);
    text.push_str("package agentguard.exec.programs\n\n");
    text.push_str("# Program, script where it is one, tool, subcommand.\n");
    if observed.uses.is_empty() {
        text.push_str("observed := set()\n");
    } else {
        text.push_str("observed := {\n");
        for (used, entries) in &observed.uses {
            text.push_str(&format!("\t# {}\n\t{},\n", counted(entries), row(used)));
        }
        text.push_str("}\n");
    }
    text.push_str(RULES);
    for (digest, (path, entries)) in &observed.excepted {
        let (path, entries) = (shown(path), counted(entries));
        text.push_str(&format!(
            "\n# {path}, {entries}: refused for where it lies, excepted by what it contains.\n\
             excepted contains {} if true\n",
            quoted(digest)
        ));
    }
    text
}

/// The tests beside them.
pub(super) fn tests(observed: &Observed) -> String {
    match observed.excepted.is_empty() {
        true => TESTS.to_owned(),
        false => format!("{TESTS}{TESTS_OF_CONTENT}"),
    }
}

/// How long a use is in the list, without its comment.
pub(super) fn length(used: &Use) -> usize {
    row(used).len()
}

fn row(used: &Use) -> String {
    let words: Vec<_> = used.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

fn head(observed: &Observed) -> String {
    let mut text = format!(
        "# What session {} was seen to start, as `agentguard exec --learn` proposes it: nothing else is.\n\
         #\n\
         # Programs are compared by path, relative within the workspace, with the tool and its subcommand; arguments\n\
         # are not. It only adds to what is refused, but for what is excepted by its content: the deny-list and all\n\
         # other rules stand. Read it before you use it; in a comment, what was started is named by its entry.\n",
        observed.session
    );
    if !observed.refused.is_empty() {
        text.push_str("#\n# Refused, and not proposed:\n");
    }
    for ((rule, what), entries) in observed.refused.iter().take(MOST_REFUSED) {
        let (shown, entries) = (shown(what), counted(entries));
        text.push_str(&format!("#   {rule}, {entries}: {shown}\n"));
    }
    if let Some(more) = observed.refused.len().checked_sub(MOST_REFUSED) {
        text.push_str(&format!("#   and {more} more\n"));
    }
    if !observed.left_out.is_empty() {
        let entries = counted(&observed.left_out);
        text.push_str(&format!("#\n# Could not be taken in: {entries}\n"));
    }
    text
}

/// `entry 3`, `entries 3, 4 and 17 more`.
fn counted(entries: &Entries) -> String {
    let shown: BTreeSet<_> = entries.iter().take(MOST_ENTRIES).collect();
    let shown: Vec<_> = shown.into_iter().map(u64::to_string).collect();
    let word = if entries.len() == 1 {
        "entry"
    } else {
        "entries"
    };
    match entries.len().saturating_sub(MOST_ENTRIES) {
        0 => format!("{word} {}", shown.join(", ")),
        more => format!("{word} {} and {more} more", shown.join(", ")),
    }
}
