//! Completions for three shells, from the table.

use std::fmt::Write as _;

use super::{COMMANDS, Command, Flag, GROUPS, Operands, Value};

/// Writes the completions for `shell`, where we know it.
pub(crate) fn completions(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

/// The words that may follow these: names of commands, each with what it is about.
fn following(words: &[&str]) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    for command in COMMANDS {
        match (words, command.words) {
            ([], [word]) => found.push((*word, command.summary)),
            ([], [word, ..]) if !found.iter().any(|(known, _)| known == word) => {
                let group = GROUPS.iter().find(|group| group.word == *word);
                found.push((*word, group.map_or("", |group| group.summary)));
            }
            ([first], [word, second]) if first == word => found.push((*second, command.summary)),
            _ => {}
        }
    }
    found
}

/// Each sequence of words that has a meaning, with a space before each word: ` log`, ` log show`.
fn sequences() -> Vec<String> {
    let groups = GROUPS.iter().map(|group| format!(" {}", group.word));
    let commands = COMMANDS
        .iter()
        .map(|command| format!(" {}", command.name()));
    groups.chain(commands).collect()
}

fn patterns() -> String {
    let quoted: Vec<_> = sequences()
        .iter()
        .map(|words| format!("'{words}'"))
        .collect();
    quoted.join("|")
}

fn bash() -> String {
    let mut script = format!(
        "# bash completion for agentguard\n_agentguard() {{\n    \
             local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
             local typed='' offered='' index\n    \
             COMPREPLY=()\n    \
             for ((index = 1; index < COMP_CWORD; index++)); do\n        \
                 [[ ${{COMP_WORDS[index]}} == -- ]] && return\n        \
                 case \"$typed ${{COMP_WORDS[index]}}\" in\n            \
                     {}) typed=\"$typed ${{COMP_WORDS[index]}}\" ;;\n        \
                 esac\n    \
             done\n    \
             case \"$typed $before\" in\n",
        patterns()
    );
    for command in COMMANDS {
        for flag in command.flags {
            let generated = match flag.value {
                Value::Choice(_, words) => format!("-W '{}'", words.join(" ")),
                Value::Directory => "-d".to_owned(),
                Value::Text(_) | Value::Number(..) => "-W ''".to_owned(),
                Value::None => continue,
            };
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                script,
                "        ' {} --{}') COMPREPLY=($(compgen {generated} -- \"$word\")); return ;;",
                command.name(),
                flag.long
            );
        }
    }
    script.push_str("    esac\n    case $typed in\n");
    for (typed, offered) in offers() {
        let _ = writeln!(script, "        '{typed}') offered='{offered}' ;;");
    }
    script.push_str(
        "    esac\n    COMPREPLY=($(compgen -W \"$offered\" -- \"$word\"))\n}\n\
         complete -o default -F _agentguard agentguard\n",
    );
    script
}

/// After each sequence of words: the words and flags that may come next.
fn offers() -> Vec<(String, String)> {
    let mut offers = vec![(String::new(), names(&[]))];
    offers.extend(
        GROUPS
            .iter()
            .map(|group| (format!(" {}", group.word), names(&[group.word]))),
    );
    for command in COMMANDS {
        let flags = command.flags.iter().map(|flag| format!("--{}", flag.long));
        let flags: Vec<_> = flags.chain(["--help".to_owned()]).collect();
        offers.push((format!(" {}", command.name()), flags.join(" ")));
    }
    offers
}

fn names(words: &[&str]) -> String {
    let names: Vec<_> = following(words).into_iter().map(|(name, _)| name).collect();
    names.join(" ")
}

fn zsh() -> String {
    let mut script = format!(
        "#compdef agentguard\n_agentguard() {{\n    \
             local typed='' index\n    \
             local -a offered\n    \
             for ((index = 2; index < CURRENT; index++)); do\n        \
                 case \"$typed ${{words[index]}}\" in\n            \
                     ({}) typed=\"$typed ${{words[index]}}\" ;;\n        \
                 esac\n    \
             done\n    \
             case $typed in\n",
        patterns()
    );
    let nothing = (String::new(), following(&[]));
    let groups = GROUPS
        .iter()
        .map(|group| (format!(" {}", group.word), following(&[group.word])));
    for (typed, words) in std::iter::once(nothing).chain(groups) {
        let described: Vec<_> = words
            .iter()
            .map(|(name, about)| format!("'{name}:{}'", zsh_text(about)))
            .collect();
        let _ = writeln!(
            script,
            "        ('{typed}') offered=({}); _describe command offered ;;",
            described.join(" ")
        );
    }
    for command in COMMANDS {
        push_zsh_command(&mut script, command);
    }
    script.push_str("    esac\n}\n_agentguard \"$@\"\n");
    script
}

fn push_zsh_command(script: &mut String, command: &Command) {
    let depth = command.words.len();
    let _ = write!(
        script,
        "        (' {}') shift {depth} words; ((CURRENT -= {depth})); _arguments",
        command.name()
    );
    for flag in command.flags {
        let star = if flag.repeats { "*" } else { "" };
        let value = match flag.value {
            Value::None => String::new(),
            Value::Directory => ":DIR:_files -/".to_owned(),
            Value::Text(name) | Value::Number(name, _) => format!(":{name}:"),
            Value::Choice(name, words) => format!(":{name}:({})", words.join(" ")),
        };
        let about = zsh_text(flag.help);
        let _ = write!(script, " '{star}--{}[{about}]{value}'", flag.long);
    }
    let operands = match command.operands {
        Operands::None => "",
        Operands::Some { .. } => " '*:operand:_files'",
        Operands::Command => " '*:: :_normal'",
    };
    let _ = writeln!(script, " '--help[show this help]'{operands} ;;");
}

fn zsh_text(text: &str) -> String {
    text.replace('\'', "'\\''")
        .replace(':', "\\:")
        .replace('[', "\\[")
        .replace(']', "\\]")
}

fn fish() -> String {
    let mut script = String::from("# fish completion for agentguard\n");
    for (name, about) in following(&[]) {
        let about = fish_text(about);
        let _ = writeln!(
            script,
            "complete -c agentguard -f -n __fish_use_subcommand -a {name} -d '{about}'"
        );
    }
    for group in GROUPS {
        let word = group.word;
        let members = names(&[word]);
        for (name, about) in following(&[word]) {
            let about = fish_text(about);
            let _ = writeln!(
                script,
                "complete -c agentguard -f -n '__fish_seen_subcommand_from {word}; and not \
                 __fish_seen_subcommand_from {members}' -a {name} -d '{about}'"
            );
        }
    }
    for command in COMMANDS {
        let conditions = command
            .words
            .iter()
            .map(|word| format!("__fish_seen_subcommand_from {word}"));
        let when = conditions.collect::<Vec<_>>().join("; and ");
        for flag in command.flags {
            push_fish_flag(&mut script, &when, flag);
        }
    }
    script
}

fn push_fish_flag(script: &mut String, when: &str, flag: &Flag) {
    let value = match flag.value {
        Value::None => String::new(),
        Value::Directory => " -x -a '(__fish_complete_directories)'".to_owned(),
        Value::Text(_) | Value::Number(..) => " -x".to_owned(),
        Value::Choice(_, words) => format!(" -x -a '{}'", words.join(" ")),
    };
    let (long, about) = (flag.long, fish_text(flag.help));
    let _ = writeln!(
        script,
        "complete -c agentguard -n '{when}' -l {long}{value} -d '{about}'"
    );
}

fn fish_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
