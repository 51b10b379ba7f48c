//! Commands within commands: what `env`, `sudo`, `xargs`, `find -exec`, `sh -c` and alike run.

use std::collections::BTreeMap;

use super::options::{self, Flag, Style, on, value};
use super::shell;

/// What a wrapper runs.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Inner {
    /// Another command, with variables set for it.
    Command {
        argv: Vec<String>,
        environment: BTreeMap<String, String>,
    },
    /// A line for a shell.
    Shell(String),
    /// Something that cannot be known.
    Opaque,
}

/// A wrapper whose options come first, then `skip` words of its own, then the command.
struct Wrapper {
    name: &'static str,
    flags: &'static [Flag],
    skip: usize,
    assignments: bool,
}

const fn wrapper(name: &'static str, flags: &'static [Flag], skip: usize) -> Wrapper {
    Wrapper {
        name,
        flags,
        skip,
        assignments: false,
    }
}

const SUDO: &[Flag] = &[
    value("-u --user"),
    value("-g --group"),
    value("-h --host"),
    value("-p --prompt"),
    value("-C --close-from"),
    value("-T --command-timeout"),
    value("-r --role"),
    value("-t --type"),
    value("-D --chdir"),
    value("-R --chroot"),
    on("-E --preserve-env"),
    on("-n --non-interactive"),
];
const ENV: &[Flag] = &[
    value("-u --unset"),
    value("-C --chdir"),
    value("-S --split-string"),
    value("-a --argv0"),
    on("-i --ignore-environment"),
    on("-0 --null"),
];
const XARGS: &[Flag] = &[
    value("-I --replace"),
    value("-n --max-args"),
    value("-P --max-procs"),
    value("-L --max-lines"),
    value("-s --max-chars"),
    value("-d --delimiter"),
    value("-a --arg-file"),
    value("-E --eof"),
];

static WRAPPERS: &[Wrapper] = &[
    Wrapper {
        assignments: true,
        ..wrapper("env", ENV, 0)
    },
    Wrapper {
        assignments: true,
        ..wrapper("sudo", SUDO, 0)
    },
    wrapper("doas", &[value("-u"), value("-C"), value("-a")], 0),
    wrapper("nice", &[value("-n --adjustment")], 0),
    wrapper(
        "ionice",
        &[
            value("-c --class"),
            value("-n --classdata"),
            value("-p --pid"),
        ],
        0,
    ),
    wrapper("chrt", &[value("-T"), value("-P"), value("-D")], 1),
    wrapper("taskset", &[on("-c --cpu-list")], 1),
    wrapper("nohup", &[], 0),
    wrapper("setsid", &[], 0),
    wrapper(
        "timeout",
        &[value("-s --signal"), value("-k --kill-after")],
        1,
    ),
    wrapper(
        "stdbuf",
        &[
            value("-i --input"),
            value("-o --output"),
            value("-e --error"),
        ],
        0,
    ),
    wrapper("time", &[value("-f --format"), value("-o --output")], 0),
    wrapper("xargs", XARGS, 0),
    wrapper(
        "strace",
        &[
            value("-o"),
            value("-e"),
            value("-p"),
            value("-s"),
            value("-P"),
        ],
        0,
    ),
    wrapper(
        "ltrace",
        &[value("-o"), value("-e"), value("-p"), value("-s")],
        0,
    ),
    wrapper(
        "unshare",
        &[
            value("-R --root"),
            value("-w --wd"),
            value("-S --setuid"),
            value("-G --setgid"),
        ],
        0,
    ),
    wrapper(
        "nsenter",
        &[
            value("-t --target"),
            value("-S --setuid"),
            value("-G --setgid"),
        ],
        0,
    ),
    wrapper("chroot", &[value("--userspec"), value("--groups")], 1),
    wrapper(
        "runuser",
        &[
            value("-u --user"),
            value("-g --group"),
            value("-G --supp-group"),
        ],
        0,
    ),
    wrapper("setpriv", &[value("--reuid"), value("--regid")], 0),
    wrapper("watch", &[value("-n --interval")], 0),
    wrapper("catchsegv", &[], 0),
    wrapper("eatmydata", &[], 0),
    wrapper(
        "fakeroot",
        &[value("-l --lib"), value("-s"), value("-i")],
        0,
    ),
    wrapper("command", &[], 0),
    wrapper("builtin", &[], 0),
    wrapper("exec", &[value("-a")], 0),
    wrapper("busybox", &[], 0),
    wrapper("toybox", &[], 0),
    wrapper("coreutils", &[value("--coreutils-prog")], 0),
];

const SHELLS: &[&str] = &[
    "ash", "bash", "dash", "fish", "ksh", "mksh", "rbash", "sh", "zsh",
];
/// Interpreters that run the file named first: its name says more than theirs.
const INTERPRETERS: &[&str] = &[
    "bun", "deno", "lua", "node", "perl", "php", "python", "ruby",
];

/// What `tool` runs when it gets `words`.
pub(super) fn unwrap(tool: &str, words: &[String]) -> Vec<Inner> {
    if SHELLS.contains(&tool) {
        return shell_line(words).into_iter().collect();
    }
    if INTERPRETERS.contains(&tool) {
        return script(tool, words).into_iter().collect();
    }
    if tool.starts_with("ld-linux") || tool.starts_with("ld-musl") || tool == "ld.so" {
        let flags = &[
            value("--library-path"),
            value("--preload"),
            value("--audit"),
            value("--argv0"),
        ];
        return command(options::read(words, &[flags], Style::Gnu, true).rest);
    }
    match tool {
        "find" => find_exec(words),
        "eval" => vec![Inner::Shell(words.join(" "))],
        "su" | "script" | "flock" => command_string(words),
        _ => WRAPPERS
            .iter()
            .find(|wrapper| wrapper.name == tool)
            .map(|wrapper| plain(wrapper, words))
            .unwrap_or_default(),
    }
}

fn plain(wrapper: &Wrapper, words: &[String]) -> Vec<Inner> {
    let parsed = options::read(words, &[wrapper.flags], Style::Gnu, true);
    let split = parsed
        .flags
        .get("--split-string")
        .and_then(|lines| lines.first());
    let mut rest = parsed.rest;
    if let Some(line) = split {
        let Some(mut simple) = shell::split_plain(line) else {
            return vec![Inner::Opaque];
        };
        let mut argv = simple
            .drain(..)
            .flat_map(|one| one.argv)
            .collect::<Vec<_>>();
        argv.append(&mut rest);
        return command(argv);
    }
    if wrapper.skip > rest.len() {
        return Vec::new();
    }
    let mut argv = rest.split_off(wrapper.skip);
    let mut environment = BTreeMap::new();
    while wrapper.assignments && argv.first().is_some_and(|word| word.contains('=')) {
        let word = argv.remove(0);
        if let Some((name, value)) = word.split_once('=') {
            environment.insert(name.to_owned(), value.to_owned());
        }
    }
    if argv.is_empty() {
        return Vec::new();
    }
    vec![Inner::Command { argv, environment }]
}

fn command(argv: Vec<String>) -> Vec<Inner> {
    if argv.is_empty() {
        return Vec::new();
    }
    vec![Inner::Command {
        argv,
        environment: BTreeMap::new(),
    }]
}

/// The line after `-c`, also in a cluster such as `-lc`.
fn shell_line(words: &[String]) -> Option<Inner> {
    let mut words = words.iter();
    let mut wants_line = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--" => return wants_line.then(|| words.next().cloned().map(Inner::Shell))?,
            "--rcfile" | "--init-file" | "-o" | "+o" | "-O" | "+O" => {
                words.next();
            }
            long if long.starts_with("--") => {}
            cluster
                if cluster.len() > 1 && (cluster.starts_with('-') || cluster.starts_with('+')) =>
            {
                wants_line |= cluster.starts_with('-') && cluster.contains('c');
                if cluster.ends_with('o') || cluster.ends_with('O') {
                    words.next();
                }
            }
            first if wants_line => return Some(Inner::Shell(first.to_owned())),
            _ => return None,
        }
    }
    None
}

/// The script an interpreter runs, as a command of its own; a module with `python -m`.
fn script(tool: &str, words: &[String]) -> Option<Inner> {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let module = match word.strip_prefix("-m") {
            Some("") if tool == "python" => rest.next().cloned(),
            Some(name) if tool == "python" => Some(name.to_owned()),
            Some(_) | None => None,
        };
        let name = match module {
            Some(name) => name,
            None if matches!(
                word.as_str(),
                "-c" | "-e" | "-p" | "-r" | "--eval" | "--print"
            ) =>
            {
                return Some(Inner::Opaque);
            }
            None if matches!(word.as_str(), "-W" | "-X" | "--require" | "--import" | "-I") => {
                rest.next();
                continue;
            }
            None if word.starts_with('-') => continue,
            None => word.clone(),
        };
        let argv = std::iter::once(name).chain(rest.cloned()).collect();
        return command(argv).pop();
    }
    None
}

/// What `find` runs for each file: the words up to `;` or `+`.
fn find_exec(words: &[String]) -> Vec<Inner> {
    let mut inner = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if matches!(word.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir") {
            let argv: Vec<String> = rest
                .by_ref()
                .take_while(|word| !matches!(word.as_str(), ";" | "+"))
                .cloned()
                .collect();
            inner.extend(command(argv));
        }
    }
    inner
}

/// `su -c LINE`, `script -c LINE`, `flock FILE -c LINE`, `flock FILE COMMAND`.
fn command_string(words: &[String]) -> Vec<Inner> {
    let flags = &[
        value("-c --command"),
        value("-w --timeout"),
        value("-E --conflict-exit-code"),
        value("-s --shell"),
    ];
    let anywhere = options::read(words, &[flags], Style::Gnu, false);
    if let Some(line) = anywhere
        .flags
        .get("--command")
        .and_then(|lines| lines.first())
    {
        return vec![Inner::Shell(line.clone())];
    }
    let mut rest = options::read(words, &[flags], Style::Gnu, true).rest;
    if rest.len() < 2 {
        return Vec::new();
    }
    command(rest.split_off(1))
}
