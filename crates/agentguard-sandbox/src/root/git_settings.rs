//! What git's settings name that makes it run code: a directory of hooks, programs that it runs without being told to, and
//! further settings.
//!
//! Of a command the words are taken that are paths as they stand: what a shell makes of others is not known.
//!
//! # References
//!
//! - git-config(1), "Syntax", "Includes" and "Variables"; `get_value` and `get_base_var` of git's `config.c`

use serde::{Deserialize, Serialize};

/// A path that settings of git name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Named {
    /// Hooks, or a program that git runs as unasked as these, from the top of the work tree on.
    Hooks(Vec<u8>),
    /// Settings, from the directory of the naming ones on.
    Settings(Vec<u8>),
}

/// Settings that hold a command which no human calls by its name: by the section, whatever stands after it, and the key.
const COMMANDS: &[(&str, &str)] = &[
    ("browser", "cmd"),
    ("browser", "path"),
    ("core", "alternaterefscommand"),
    ("core", "askpass"),
    ("core", "editor"),
    ("core", "fsmonitor"),
    ("core", "gitproxy"),
    ("core", "pager"),
    ("core", "sshcommand"),
    ("credential", "helper"),
    ("diff", "command"),
    ("diff", "external"),
    ("diff", "textconv"),
    ("difftool", "cmd"),
    ("difftool", "path"),
    ("filter", "clean"),
    ("filter", "process"),
    ("filter", "smudge"),
    ("gc", "recentobjectshook"),
    ("gpg", "defaultkeycommand"),
    ("gpg", "program"),
    ("guitool", "cmd"),
    ("hook", "command"),
    ("imap", "tunnel"),
    ("interactive", "difffilter"),
    ("lfs", "clean"),
    ("lfs", "path"),
    ("lfs", "smudge"),
    ("man", "cmd"),
    ("man", "path"),
    ("merge", "driver"),
    ("mergetool", "cmd"),
    ("mergetool", "path"),
    // Of a remote on this machine they run here.
    ("remote", "receivepack"),
    ("remote", "uploadpack"),
    ("sendemail", "cccmd"),
    ("sendemail", "headercmd"),
    ("sendemail", "sendmailcmd"),
    ("sendemail", "smtpserver"),
    ("sendemail", "tocmd"),
    ("sequence", "editor"),
    ("submodule", "update"),
    ("svn", "authorsprog"),
    ("tar", "command"),
    ("trailer", "cmd"),
    ("trailer", "command"),
    ("uploadpack", "packobjectshook"),
];

/// Reads what a file of settings names.
pub(super) fn named(settings: &[u8]) -> Vec<Named> {
    let mut section = Vec::new();
    let mut found = Vec::new();
    // Git skips a mark of UTF-8 too.
    let mut rest = settings.strip_prefix(b"\xef\xbb\xbf").unwrap_or(settings);
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return found;
        }
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if let Some((name, length)) = section_of(line) {
            section = name;
            rest = rest.get(length..).unwrap_or_default();
            continue;
        }
        let is_remark = matches!(line.first(), Some(b'#' | b';'));
        let equals = line.iter().position(|byte| *byte == b'=');
        let Some(at) = equals.filter(|_| !is_remark) else {
            rest = rest.get(line.len()..).unwrap_or_default();
            continue;
        };
        let (key, value) = rest.split_at_checked(at).unwrap_or_default();
        let (value, further) = value_of(value.get(1..).unwrap_or_default());
        found.extend(named_by(&section, key.trim_ascii(), value));
        rest = further;
    }
}

/// What one setting names: its section without what stands after it, its key and its value.
pub(super) fn named_by(section: &[u8], key: &[u8], value: Vec<u8>) -> Vec<Named> {
    let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
    // It may be absent (git 2.52).
    let value = value
        .strip_prefix(b":(optional)")
        .map(<[u8]>::to_vec)
        .unwrap_or(value);
    let is = |named: &(&str, &str)| {
        (named.0.as_bytes(), named.1.as_bytes()) == (section.as_slice(), key.as_slice())
    };
    match (section.as_slice(), key.as_slice()) {
        _ if value.is_empty() => Vec::new(),
        // New repositories get their hooks from there.
        (b"core", b"hookspath") | (b"init", b"templatedir") => vec![Named::Hooks(value)],
        (b"include" | b"includeif", b"path") => vec![Named::Settings(value)],
        // Each of git's commands may have a pager.
        (b"pager", _) => paths_in(&value).map(Named::Hooks).collect(),
        _ if COMMANDS.iter().any(is) => paths_in(&value).map(Named::Hooks).collect(),
        _ => Vec::new(),
    }
}

/// The words of a command that are paths, and no options. A name alone is one where it has a dot, as a script has, and is not
/// the program, which is looked for elsewhere.
fn paths_in(command: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    const HOME: &[u8] = b"$HOME/";
    let words =
        command.split(|byte| byte.is_ascii_whitespace() || b"\"';&|(){}!<>=`".contains(byte));
    let mut is_program = true;
    let mut is_path = move |word: &[u8]| {
        if word.is_empty() {
            return false;
        }
        let is_first = std::mem::replace(&mut is_program, false);
        let is_script = !is_first && word.contains(&b'.') && word.iter().any(|byte| *byte != b'.');
        (word.contains(&b'/') || is_script)
            && !word.starts_with(b"-")
            && !word.iter().any(|byte| b"$%*?:\\".contains(byte))
    };
    let at_home = |word: &[u8]| word.strip_prefix(HOME).map(|rest| [b"~/", rest].concat());
    words.filter_map(move |word| {
        let word = at_home(word).unwrap_or_else(|| word.to_vec());
        is_path(&word).then_some(word)
    })
}

/// The section that a line begins, in small letters and without what stands after it, and where it ends.
fn section_of(line: &[u8]) -> Option<(Vec<u8>, usize)> {
    let head = line.strip_prefix(b"[")?;
    let mut marks = head.iter().filter(|byte| matches!(byte, b'"' | b']'));
    let end = match marks.next()? {
        b'"' => head.windows(2).position(|two| two == b"\"]")? + 1,
        _ => head.iter().position(|byte| *byte == b']')?,
    };
    let inner = head.get(..end)?;
    let name = inner.split(|byte| matches!(byte, b' ' | b'\t' | b'"' | b'.'));
    let name = name.into_iter().next()?.to_ascii_lowercase();
    Some((name, end + 2))
}

/// A value, which goes on in the next line where a backslash stands at the end of one, and what follows it.
fn value_of(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let (mut value, mut is_quoted, mut is_remark) = (Vec::new(), false, false);
    let start = text.iter().position(|byte| !b" \t".contains(byte));
    let text = start
        .and_then(|start| text.get(start..))
        .unwrap_or_default();
    let mut letters = text.iter().enumerate();
    while let Some((at, letter)) = letters.next() {
        match letter {
            b'\n' => {
                let rest = text.get(at..).unwrap_or_default();
                return (value.trim_ascii_end().to_vec(), rest);
            }
            _ if is_remark => {}
            b'"' => is_quoted = !is_quoted,
            b'#' | b';' if !is_quoted => is_remark = true,
            b'\\' => value.extend(letters.next().and_then(|(_, letter)| escaped(*letter))),
            letter => value.push(*letter),
        }
    }
    (value.trim_ascii_end().to_vec(), b"")
}

/// What a letter behind a backslash stands for; nothing at the end of a line.
fn escaped(letter: u8) -> Option<u8> {
    match letter {
        b'\n' | b'\r' => None,
        b'n' => Some(b'\n'),
        b't' => Some(b'\t'),
        letter => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_plainly_is_found() {
        let settings = br#"
; core.hooksPath = no \
[core]
	bare = false
	HooksPath = .githooks ; ours
[include]
	path = "../a b.config"
[includeIf "gitdir:[x]"] path = ..\\c
[submodule "x"]
	path = d
[core] hookspath="e/f"
[include "]"]
	path =
[user] [core] # hooksPath = no
	hooksPath = :(optional)a\
/b ; c \
	fsmonitor = "tools/watch" --to=x/y $HOME/z
[hook "lint"]
	event = pre-commit
	command = python3 './tools/lint.py' && sh /usr/lib/x
[filter "lfs"]
	clean = git-lfs clean -- %f
	process
[pager]
	log = tools/pager -x
[init]
	templateDir = template
[submodule "x"]
	update = !tools/update
[tar "tar.z"]
	command = $HOME/tools/z -c
[alias]
	lint = !./tools/lint
[includeIf "onbranch:x"]
	path = last"#;
        let hooks = |path: &str| Named::Hooks(path.into());
        let further = |path: &str| Named::Settings(path.into());
        assert_eq!(
            named(settings),
            [
                hooks(".githooks"),
                further("../a b.config"),
                further("..\\c"),
                hooks("e/f"),
                hooks("a/b"),
                hooks("tools/watch"),
                hooks("x/y"),
                hooks("~/z"),
                hooks("./tools/lint.py"),
                hooks("/usr/lib/x"),
                hooks("tools/pager"),
                hooks("template"),
                hooks("tools/update"),
                hooks("~/tools/z"),
                further("last"),
            ]
        );
    }

    #[test]
    fn a_script_behind_its_interpreter_needs_no_directory() {
        let settings =
            b"[filter \"x\"]\nclean = python3 clean.py --all . ..\nsmudge = smudge.sh x\n";
        assert_eq!(named(settings), [Named::Hooks(b"clean.py".to_vec())]);
    }

    #[test]
    fn fuzz_settings_of_git_are_read_or_skipped() {
        let words = [
            "[core]",
            "[include]",
            "[includeIf \"",
            "\"]",
            "hooksPath",
            "fsmonitor",
            "a/",
            "path",
            "=",
            "\\",
            "\"",
            "#",
            ";",
            "\n",
            " ",
        ];
        crate::mutate::fuzz("git-settings", &words, |bytes| {
            let found = named(bytes);
            assert!(found.len() <= bytes.len() / 2, "each takes two letters");
            "x".repeat(found.len().min(3))
        });
    }
}
