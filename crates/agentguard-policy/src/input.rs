//! What Rego sees as `input`, and nothing else.

use std::collections::BTreeMap;

use serde::Serialize;

use agentguard_core::ssh::fingerprint_of;
use agentguard_core::{Action, Exec, Session};

use crate::command::{Command, parse, tool_name};

/// The version of `input`. It changes when a rule written for the old one could mean something else.
pub const SCHEMA: u32 = 1;

/// What rules see when they are asked about an action.
#[derive(Serialize)]
pub(crate) struct Input<'a> {
    pub(crate) schema: u32,
    pub(crate) action: &'a Action,
    pub(crate) facts: &'a Facts,
}

/// What was computed from the action, so that rules need not.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Facts {
    /// The names the program goes by: its file's, the script's, and the one it was called by.
    pub(crate) names: Vec<String>,
    /// The commands it is, wrappers taken apart.
    pub(crate) commands: Vec<Command>,
    /// Git's configuration given with the command: by `-c`, `--config-env`, or the environment.
    pub(crate) git_config: Vec<Setting>,
    /// Whose signatures the session's agent makes, about a push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signer: Option<String>,
}

/// One setting.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Setting {
    /// Its key, in lower case but for the middle part.
    pub(crate) key: String,
    /// Its value, or none where only the run would tell.
    pub(crate) value: Option<String>,
}

impl Facts {
    /// The facts about an action.
    pub(crate) fn of(action: &Action, session: &Session) -> Self {
        match action {
            Action::Exec(exec) => Self::of_exec(exec),
            Action::Session(start) => Self::of_argv(&start.command, &session.workspace),
            Action::File(_) | Action::Connect(_) | Action::Reach(_) | Action::Api(_) => {
                Self::default()
            }
            Action::Push(_) => Self {
                signer: fingerprint_of(&session.agent.key),
                ..Self::default()
            },
        }
    }

    fn of_argv(argv: &[String], cwd: &str) -> Self {
        let commands = parse(argv, cwd);
        let names = argv
            .first()
            .map(|first| tool_name(first).0)
            .into_iter()
            .collect();
        let git_config = git_config(&commands, &BTreeMap::new());
        Self {
            names,
            commands,
            git_config,
            signer: None,
        }
    }

    fn of_exec(exec: &Exec) -> Self {
        let mut facts = Self::default();
        let called = exec.argv.first().map_or("", String::as_str);
        for name in [exec.program.path.as_str(), called] {
            facts.name(name);
        }
        if let Some(script) = &exec.script {
            facts.name(&script.path);
            facts.commands = parse(&script_argv(exec, &script.path), &exec.cwd);
        } else {
            let rest = exec.argv.get(1..).unwrap_or(&[]);
            let mut read: Vec<String> = Vec::new();
            for name in [exec.program.path.as_str(), called] {
                let (tool, _) = tool_name(name);
                if name.is_empty() || read.contains(&tool) {
                    continue;
                }
                read.push(tool);
                let argv: Vec<String> = std::iter::once(name.to_owned())
                    .chain(rest.iter().cloned())
                    .collect();
                facts.commands.extend(parse(&argv, &exec.cwd));
            }
        }
        facts.git_config = git_config(&facts.commands, &exec.environment);
        facts
    }

    fn name(&mut self, path: &str) {
        let base = path.rsplit('/').next().unwrap_or(path);
        let (tool, _) = tool_name(path);
        for name in [base, tool.as_str()] {
            if !name.is_empty() && !self.names.iter().any(|known| known == name) {
                self.names.push(name.to_owned());
            }
        }
    }
}

/// A script's own words: after the interpreter, its one argument if any, and the script's path.
fn script_argv(exec: &Exec, path: &str) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_script = |word: &String| word.rsplit('/').next().is_some_and(|base| base == name);
    let place = exec.argv.iter().skip(1).take(2).position(is_script);
    let rest = place.map_or(1, |place| place + 2);
    let words = exec.argv.get(rest..).unwrap_or(&[]);
    std::iter::once(path.to_owned())
        .chain(words.iter().cloned())
        .collect()
}

fn git_config(commands: &[Command], environment: &BTreeMap<String, String>) -> Vec<Setting> {
    let mut all = Vec::new();
    for command in commands.iter().filter(|command| command.tool == "git") {
        for text in command.flags.get("-c").into_iter().flatten() {
            let (key, value) = text.split_once('=').unwrap_or((text, "true"));
            all.push(setting(key, Some(value)));
        }
        for text in command.flags.get("--config").into_iter().flatten() {
            let (key, value) = text.split_once('=').unwrap_or((text, "true"));
            all.push(setting(key, Some(value)));
        }
        for text in command.flags.get("--config-env").into_iter().flatten() {
            let key = text.split('=').next().unwrap_or(text);
            all.push(setting(key, None));
        }
        all.extend(from_environment(&command.environment));
    }
    all.extend(from_environment(environment));
    all
}

/// `GIT_CONFIG_KEY_0` with `GIT_CONFIG_VALUE_0`, and git's own `GIT_CONFIG_PARAMETERS`.
fn from_environment(environment: &BTreeMap<String, String>) -> Vec<Setting> {
    let mut all = Vec::new();
    for (name, key) in environment {
        if let Some(number) = name.strip_prefix("GIT_CONFIG_KEY_") {
            let value = environment.get(&format!("GIT_CONFIG_VALUE_{number}"));
            all.push(setting(key, value.map(String::as_str)));
        }
    }
    let parameters = environment
        .get("GIT_CONFIG_PARAMETERS")
        .map_or("", String::as_str);
    for part in quoted(parameters) {
        let (key, value) = part.split_once('=').unwrap_or((&part, "true"));
        all.push(setting(key, Some(value)));
    }
    all
}

/// The words of `'key'='value' 'key=value'`, quotes removed.
fn quoted(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut inside = false;
    for c in text.chars() {
        match c {
            '\'' => inside = !inside,
            ' ' if !inside => {
                words.push(std::mem::take(&mut word));
            }
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Git's keys have no case, but for the part between the first and the last dot.
fn setting(key: &str, value: Option<&str>) -> Setting {
    let key = match (key.split_once('.'), key.rsplit_once('.')) {
        (Some((section, _)), Some((_, name))) if section.len() + name.len() + 1 < key.len() => {
            let middle = key.get(section.len()..key.len() - name.len()).unwrap_or("");
            format!("{}{middle}{}", section.to_lowercase(), name.to_lowercase())
        }
        _ => key.to_lowercase(),
    };
    Setting {
        key,
        value: value.map(str::to_owned),
    }
}
