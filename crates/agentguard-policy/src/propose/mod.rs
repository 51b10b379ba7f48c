//! From what a session was seen to do to the narrowest policy that lets it do that again.
//!
//! A proposal only tightens: it lists what was started, and refuses the rest. The one thing that it lifts is
//! that a program is refused for where it comes from, and that for what the program contains. What the
//! deny-list, any other rule, or a socket's absence refused is named in a comment and not proposed.

mod quote;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use agentguard_core::{Action, Exec, Program, ProgramClass, Rule, Ruling, SessionId};
use serde::Deserialize;

/// The rules that refuse a program for where it comes from, or because an earlier proposal has not seen it.
const BY_PLACE: [&str; 5] = [
    "programs/deleted",
    "programs/memory",
    "programs/not-observed",
    "programs/temporary",
    "programs/unknown",
];
/// What a proposal may hold, a line of it, and the comment above that, in bytes: a policy's file is at most 1 MiB
/// long, and the engine takes lines of 1,024.
const MOST_BYTES: usize = 256 << 10;
const MOST_OF_A_LINE: usize = 1000;
const OF_A_COMMENT: usize = 80;

/// What a session was seen to do.
#[derive(Debug)]
pub struct Observed {
    session: SessionId,
    workspace: String,
    uses: BTreeMap<Use, Entries>,
    excepted: BTreeMap<String, (String, Entries)>,
    refused: BTreeMap<(String, String), Entries>,
    left_out: Entries,
    bytes: usize,
}

/// A program, the script that it interprets or nothing, a tool and its subcommand.
type Use = Vec<String>;
type Entries = BTreeSet<u64>;

/// A file of a proposal, by name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proposed {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub text: String,
}

/// The text of a decision, as far as it is read.
#[derive(Deserialize)]
struct Text {
    action: Action,
    facts: Facts,
}

#[derive(Deserialize)]
struct Facts {
    commands: Vec<Command>,
}

#[derive(Deserialize)]
struct Command {
    tool: String,
    subcommand: Vec<String>,
    via: Vec<String>,
}

impl Observed {
    /// Nothing yet, of a session in `workspace`.
    #[must_use]
    pub fn new(session: SessionId, workspace: String) -> Self {
        Self {
            session,
            workspace,
            uses: BTreeMap::new(),
            excepted: BTreeMap::new(),
            refused: BTreeMap::new(),
            left_out: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Takes in a decision, with the text that its entry commits to.
    pub fn see(&mut self, entry: u64, ruling: &Ruling, text: Option<&str>) {
        let Some(text) = text.and_then(|text| serde_json::from_str::<Text>(text).ok()) else {
            self.left_out.insert(entry);
            return;
        };
        match (&text.action, refusal(ruling)) {
            (Action::Exec(exec), None) => self.exec(entry, exec, &text.facts.commands),
            (
                Action::Session(_)
                | Action::File(_)
                | Action::Connect(_)
                | Action::Reach(_)
                | Action::Api(_)
                | Action::Push(_),
                None,
            ) => {}
            (action, Some(rule)) => self.refusal(entry, rule, action),
        }
    }

    /// The files of a policy that starts what was seen, and nothing else.
    #[must_use]
    pub fn propose(&self) -> Vec<Proposed> {
        vec![
            Proposed {
                name: "learned.rego",
                text: write::rules(self),
            },
            Proposed {
                name: "learned_test.rego",
                text: write::tests(self),
            },
        ]
    }

    /// How many ways to start programs were seen.
    #[must_use]
    pub fn uses(&self) -> usize {
        self.uses.len()
    }

    /// How many different things were refused that are not proposed.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.len()
    }

    fn exec(&mut self, entry: u64, exec: &Exec, commands: &[Command]) {
        let script = exec.script.as_ref().map(|script| self.place(script));
        let start = [self.place(&exec.program), script.unwrap_or_default()];
        for command in commands.iter().filter(|command| command.via.is_empty()) {
            let tool = std::iter::once(&command.tool).chain(&command.subcommand);
            let used: Use = start.iter().chain(tool).cloned().collect();
            self.add(entry, used);
        }
        if self.left_out.contains(&entry) {
            return;
        }
        let programs = std::iter::once(&exec.program).chain(&exec.script);
        for program in programs.filter(|program| is_excepted_by_content(program.class)) {
            self.except(entry, program);
        }
    }

    fn add(&mut self, entry: u64, used: Use) {
        let length = write::length(&used);
        let is_known = self.uses.contains_key(&used);
        if length <= MOST_OF_A_LINE && (is_known || self.has_room(length)) {
            self.uses.entry(used).or_default().insert(entry);
        } else {
            self.left_out.insert(entry);
        }
    }

    fn except(&mut self, entry: u64, program: &Program) {
        let digest = program.sha256.to_string();
        if self.excepted.contains_key(&digest) || self.has_room(MOST_OF_A_LINE) {
            let first = || (program.path.clone(), Entries::new());
            let (_, entries) = self.excepted.entry(digest).or_insert_with(first);
            entries.insert(entry);
        } else {
            self.left_out.insert(entry);
        }
    }

    /// Takes room for a line of this length, with its comment, where there is some.
    fn has_room(&mut self, length: usize) -> bool {
        let bytes = self.bytes + length + OF_A_COMMENT;
        let has_room = bytes <= MOST_BYTES;
        if has_room {
            self.bytes = bytes;
        }
        has_room
    }

    fn refusal(&mut self, entry: u64, rule: &Rule, action: &Action) {
        let what = match action {
            Action::Session(start) => start.command.join(" "),
            Action::Exec(exec) => exec.argv.join(" "),
            Action::File(making) => making.path.clone(),
            Action::Connect(connect) => format!("connect to {}", connect.path),
            Action::Reach(reach) => format!("reach {}", reach.host),
            Action::Api(api) => format!("{} {}", api.method, api.url()),
            Action::Push(push) => push.words(),
        };
        let key = (rule.id.to_string(), what);
        self.refused.entry(key).or_default().insert(entry);
    }

    /// A program's path as `learned.rego` reads it: relative within the workspace, and the same in every session.
    fn place(&self, program: &Program) -> String {
        let workspace = format!("{}/", self.workspace);
        let path = program.path.strip_prefix(&workspace);
        let path = path.unwrap_or(&program.path);
        path.replace(self.session.as_str(), write::SESSION)
    }
}

/// The rule that refused, where what it refused is not to be proposed.
fn refusal(ruling: &Ruling) -> Option<&Rule> {
    match ruling {
        Ruling::Allow { .. } => None,
        Ruling::Deny { rule, .. } | Ruling::Unenforced { rule, .. } => {
            (!BY_PLACE.contains(&rule.id.as_str())).then_some(rule)
        }
    }
}

/// Whether a program of this class runs only where its content is excepted. The loader runs what it is given:
/// what it contains itself says nothing.
fn is_excepted_by_content(class: ProgramClass) -> bool {
    match class {
        ProgramClass::Temporary
        | ProgramClass::Memfd
        | ProgramClass::Deleted
        | ProgramClass::Unknown => true,
        ProgramClass::System
        | ProgramClass::Toolchain
        | ProgramClass::Workspace
        | ProgramClass::Loader => false,
    }
}
