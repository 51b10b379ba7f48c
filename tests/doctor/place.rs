//! A person's home and workspace, and the command run there.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

use serde_json::Value;

use crate::filter::Filter;
use crate::machine::Machine;

/// An ordinary user, where the tests are run by root.
const NOBODY: u32 = 65534;

/// Who runs the command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Person {
    Root,
    Ordinary,
}

/// A directory with a home, a workspace and the command, gone when dropped.
pub(crate) struct Place {
    root: PathBuf,
    person: Person,
    /// The user to become, where the tests are run by root.
    user: Option<u32>,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    /// One for each kind of person that the one who runs the tests can be.
    pub(crate) fn for_everyone() -> impl Iterator<Item = Self> {
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| {
            use std::os::unix::fs::MetadataExt as _;
            own.uid() == 0
        });
        let persons = if is_root {
            vec![(Person::Root, None), (Person::Ordinary, Some(NOBODY))]
        } else {
            vec![(Person::Ordinary, None)]
        };
        persons
            .into_iter()
            .map(|(person, user)| Self::new(person, user))
    }

    fn new(person: Person, user: Option<u32>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = env::temp_dir().join(format!("agentguard-doctor-{}-{count}", process::id()));
        fs::create_dir_all(root.join("home/work")).unwrap();
        let (built, inside) = (
            env!("CARGO_BIN_EXE_agentguard"),
            root.join("home/work/agentguard"),
        );
        // A link is quicker than a copy of it all, where there can be one.
        if fs::hard_link(built, &inside).is_err() {
            copy(Path::new(built), &inside);
        }
        if let Some(user) = user {
            for path in ["home", "home/work"] {
                chown(root.join(path), Some(user), Some(user)).unwrap();
            }
        }
        Self { root, person, user }
    }

    pub(crate) fn person(&self) -> Person {
        self.person
    }

    pub(crate) fn doctor(&self, machine: &Machine, filter: Option<&Filter>) -> Told {
        self.run(machine, filter, &["doctor", "--json"])
    }

    pub(crate) fn exec(&self, machine: &Machine, filter: Option<&Filter>) -> Told {
        self.run(machine, filter, &["exec", "--", "touch", "ran"])
    }

    /// As [`Self::exec`], without namespaces.
    pub(crate) fn exec_beside(&self, machine: &Machine, filter: Option<&Filter>) -> Told {
        let words = ["exec", "--level=no-namespaces", "--", "touch", "ran"];
        self.run(machine, filter, &words)
    }

    /// As [`Self::exec`], under a policy that grants a host.
    pub(crate) fn exec_gated(&self, machine: &Machine, filter: Option<&Filter>) -> Told {
        let policy = self.root.join("policy");
        fs::create_dir_all(&policy).unwrap();
        let hosts = "package agentguard.sandbox\n\nhosts contains \"api.test\"\n";
        fs::write(policy.join("hosts.rego"), hosts).unwrap();
        let policy = format!("--policy={}", policy.display());
        self.run(machine, filter, &["exec", &policy, "--", "touch", "ran"])
    }

    pub(crate) fn doctor_inside(&self) -> Told {
        let words = ["exec", "--", "./agentguard", "doctor", "--json"];
        self.run(&Machine::as_it_is(), None, &words)
    }

    pub(crate) fn exec_inside(&self) -> Told {
        let words = ["exec", "--", "./agentguard", "exec", "--", "touch", "ran"];
        self.run(&Machine::as_it_is(), None, &words)
    }

    /// Whether a command of `exec` ran.
    pub(crate) fn has_run(&self) -> bool {
        self.root.join("home/work/ran").exists()
    }

    /// Every path below.
    pub(crate) fn everything(&self) -> Vec<PathBuf> {
        let mut found = vec![self.root.clone()];
        let mut next = 0;
        while let Some(path) = found.get(next).cloned() {
            next += 1;
            let below = fs::read_dir(path).into_iter().flatten();
            found.extend(below.map(|entry| entry.unwrap().path()));
        }
        found.sort();
        found
    }

    /// The filter holds for one thread, and for what that starts.
    fn run(&self, machine: &Machine, filter: Option<&Filter>, words: &[&str]) -> Told {
        let mut command = self.command(machine, words);
        let run = || {
            if let Some(filter) = filter {
                filter.hold();
            }
            command.output().unwrap()
        };
        let output = thread::scope(|scope| scope.spawn(run).join().unwrap());
        Told::from(output)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the command under test is started from outside"
    )]
    fn command(&self, machine: &Machine, words: &[&str]) -> Command {
        let before = machine.before();
        let program = self.root.join("home/work/agentguard");
        let mut all: Vec<_> = before.iter().map(Path::new).collect();
        all.push(&program);
        all.extend(words.iter().map(Path::new));
        let (first, rest) = all.split_first().unwrap();
        let mut command = Command::new(first);
        command
            .args(rest)
            .current_dir(self.root.join("home/work"))
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.root.join("home"))
            .stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
}

/// Copies by another program: what a test beside this one starts meanwhile would hold our own descriptor to
/// the copy, which then cannot be executed.
#[expect(clippy::disallowed_methods, reason = "the test's own tool")]
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Told {
    fn said(&self) -> Vec<Value> {
        let said = self.stdout.lines().map(serde_json::from_str);
        said.collect::<Result<_, _>>().unwrap()
    }

    fn findings(&self) -> Vec<Value> {
        let mut findings = self.said();
        findings.retain(|one| !one["what"].is_null());
        findings
    }

    /// Whether a level can be enforced; null where that could not be found out.
    pub(crate) fn level(&self, level: &str) -> Value {
        let said = self.said().into_iter().find(|one| one["level"] == level);
        said.unwrap_or_else(|| panic!("nothing is said of level `{level}`: {self:#?}"))["holds"]
            .clone()
    }

    /// The finding about `what`.
    pub(crate) fn about(&self, what: &str) -> Value {
        let found = self.findings().into_iter().find(|one| one["what"] == what);
        found.unwrap_or_else(|| panic!("nothing is said of `{what}`: {self:#?}"))
    }

    /// What is missing first of what level `full` needs.
    pub(crate) fn first_missing(&self) -> String {
        let mut findings = self.findings().into_iter();
        let missing = findings.find(|one| one["holds"] == false && needed(one, "full"));
        missing.unwrap()["what"].as_str().unwrap().to_owned()
    }

    /// What follows `before` on the first line that begins so.
    pub(crate) fn line(&self, before: &str) -> &str {
        self.line_with(before, "")
    }

    /// What follows `before` on the first line that begins so and contains `within`.
    pub(crate) fn line_with(&self, before: &str, within: &str) -> &str {
        let mut lines = self
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix(before));
        let found = lines.find(|line| line.contains(within));
        found.unwrap_or_else(|| panic!("no line begins `{before}`: {self:#?}"))
    }
}

fn needed(finding: &Value, level: &str) -> bool {
    let levels = finding["levels"].as_array().unwrap();
    levels.iter().any(|one| one == level)
}

/// The mounts of this process.
pub(crate) fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}
