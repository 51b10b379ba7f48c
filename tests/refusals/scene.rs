//! A place of its own for each test: a home, a workspace in it, and what lies outside.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use agentguard::audit::{Entries, logs};
use agentguard::core::{Event, Level, OutcomeOf, Promise, Ruling};

use crate::attack::{self, Tried};

/// What must never be read.
pub(crate) const SECRET: &str = "never-to-be-read-inside";
/// An ordinary user without a name or a home (`nobody` on most systems).
const ORDINARY: u32 = 65_534;
/// Seconds, more than any attack takes; then it is said to hang. `AGENTGUARD_TEST_PATIENCE` names another number, for a
/// machine that is slow.
const PATIENCE: &str = "90";

/// Who starts agentguard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    Root,
    Ordinary,
}

/// The level at which the whole suite is run: what `AGENTGUARD_TEST_LEVEL` names, else `full`.
pub(crate) fn level() -> Level {
    let named = env::var("AGENTGUARD_TEST_LEVEL").ok();
    let level = named.map_or(Some(Level::Full), |word| Level::parse(&word));
    level.expect("AGENTGUARD_TEST_LEVEL is to name a level")
}

fn patience() -> String {
    env::var("AGENTGUARD_TEST_PATIENCE").unwrap_or_else(|_| PATIENCE.to_owned())
}

/// Runs a test that needs `promises` of its level as everyone that this process can be. Where one of them is
/// not made, a session has to say so.
pub(crate) fn where_held(promises: &[Promise], test: impl Fn(&Scene)) {
    where_held_or(promises, test, |_| ());
}

/// The same, with what of it other promises hold where these are not made.
pub(crate) fn where_held_or(promises: &[Promise], test: impl Fn(&Scene), rest: impl Fn(&Scene)) {
    let broken: Vec<_> = promises
        .iter()
        .filter(|promise| !level().holds(**promise))
        .collect();
    if broken.is_empty() {
        return as_everyone(test);
    }
    as_everyone(|scene| {
        let ran = scene.run(&["true"]);
        let said = scene.missing();
        for promise in &broken {
            println!("not held at this level: {}", promise.text());
            assert!(said.contains(promise), "{said:?}");
            let told = format!("not promised: {}", promise.text());
            assert!(ran.stderr.contains(&told), "{}", ran.stderr);
        }
        rest(scene);
    });
}

/// Runs a test about sessions without namespaces as one who can have one.
pub(crate) fn without_namespaces(test: impl Fn(&Scene)) {
    test(&Scene::new(Who::Ordinary));
}

/// Runs a test as everyone that this process can be, and that can have a session of this level.
pub(crate) fn as_everyone(test: impl Fn(&Scene)) {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if level() == Level::NoNamespaces {
        // That root has no such session is a test of its own.
        return test(&Scene::new(Who::Ordinary));
    }
    if !is_root {
        println!("not run as root: this shows it for an ordinary user only");
        return test(&Scene::new(Who::Ordinary));
    }
    for who in [Who::Root, Who::Ordinary] {
        println!("as {who:?}:");
        test(&Scene::new(who));
    }
}

/// A directory with everything a test needs, gone when dropped.
pub(crate) struct Scene {
    pub(crate) root: PathBuf,
    pub(crate) who: Who,
    is_root: bool,
}

/// How a session went.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let ran = Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        println!("{}{}=> {:?}", ran.stdout, ran.stderr, output.status);
        ran
    }

    /// What the attack says of itself. It must have run to its end.
    #[track_caller]
    pub(crate) fn tried(&self) -> Tried {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        Tried::of(&self.stdout)
    }
}

impl Scene {
    pub(crate) fn new(who: Who) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = env::temp_dir().join(format!("agentguard-refusals-{}-{count}", process::id()));
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let scene = Self { root, who, is_root };
        for directory in ["", "home", "home/work", "home/.ssh", "outside"] {
            scene.directory(directory);
        }
        scene.write("home/.ssh/id_ed25519", SECRET);
        let binary = scene.root.join("agentguard");
        let built = env!("CARGO_BIN_EXE_agentguard");
        if fs::hard_link(built, &binary).is_err() {
            copy(Path::new(built), &binary);
        }
        scene.program("attack", attack::program());
        put(&scene.hide(), attack::program());
        fs::set_permissions(scene.hide(), fs::Permissions::from_mode(0o755)).unwrap();
        scene
    }

    /// Whether an ordinary user starts the agent, which is that user inside too.
    pub(crate) fn is_ordinary(&self) -> bool {
        self.who == Who::Ordinary
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("home/work")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.root.join("outside")
    }

    /// The program that hides what the kernel has.
    fn hide(&self) -> PathBuf {
        self.root.join("hide")
    }

    pub(crate) fn own(&self, path: &Path) {
        if self.is_root && self.who == Who::Ordinary {
            chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.own(&path);
        path
    }

    /// Writes a file below the scene's root, that anybody may write where no one confines them.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self.own(&path);
        path
    }

    /// Puts a program into the workspace.
    pub(crate) fn program(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.work().join(name);
        put(&path, bytes);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.own(&path);
        path
    }

    /// A policy of the user's, for `--policy`.
    pub(crate) fn policy(&self, rego: &str) -> String {
        let directory = self.directory("policy");
        self.write("policy/extra.rego", rego);
        format!("--policy={}", directory.display())
    }

    /// A command in this scene's home, with nothing else in its environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "the command under test is started from outside"
    )]
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.work())
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.root.join("home"))
            .stdin(Stdio::null());
        if self.is_root && self.who == Who::Ordinary {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    }

    /// `agentguard exec` at a level, to which flags, `--` and a command are to be added. What runs has the number of
    /// the process that is started.
    pub(crate) fn guard_at(&self, level: Level) -> Command {
        let words = self.words_at(level);
        let mut command = self.command(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The same as a part of a shell line.
    pub(crate) fn guard_words(&self) -> String {
        self.guard_words_at(level())
    }

    pub(crate) fn guard_words_at(&self, level: Level) -> String {
        self.words_at(level).join(" ")
    }

    fn words_at(&self, level: Level) -> Vec<String> {
        let hidden = [&self.hide().display().to_string(), "hide", "namespaces"].map(str::to_owned);
        let mut words = match level {
            Level::NoNamespaces => hidden.to_vec(),
            Level::Full | Level::OldKernel => Vec::new(),
        };
        words.push(self.root.join("agentguard").display().to_string());
        words.push("exec".to_owned());
        words.push(format!("--level={}", level.as_str()));
        words
    }

    /// `agentguard exec` with these flags and this command, ended when it takes too long.
    pub(crate) fn exec(&self, flags: &[&str], words: &[&str]) -> Command {
        self.exec_at(level(), flags, words)
    }

    fn exec_at(&self, level: Level, flags: &[&str], words: &[&str]) -> Command {
        let mut command = self.command("timeout");
        command
            .args(["-s", "KILL", &patience()])
            .args(self.words_at(level))
            .args(flags)
            .arg("--")
            .args(words);
        command
    }

    pub(crate) fn run_at(&self, level: Level, flags: &[&str], words: &[&str]) -> Ran {
        Ran::of(self.exec_at(level, flags, words).output().unwrap())
    }

    /// The same at level `full`, on a kernel that seems to lack something.
    pub(crate) fn run_hiding(&self, what: &str, flags: &[&str], words: &[&str]) -> Ran {
        let mut command = self.command("timeout");
        command
            .args(["-s", "KILL", &patience()])
            .arg(self.hide())
            .args(["hide", what])
            .args(self.words_at(Level::Full))
            .args(flags)
            .arg("--")
            .args(words);
        Ran::of(command.output().unwrap())
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        self.run_with(&[], words)
    }

    pub(crate) fn run_with(&self, flags: &[&str], words: &[&str]) -> Ran {
        Ran::of(self.exec(flags, words).output().unwrap())
    }

    pub(crate) fn run_command(&self, mut command: Command) -> Ran {
        Ran::of(command.output().unwrap())
    }

    /// The same without us, by the same user.
    pub(crate) fn run_bare(&self, words: &[&str]) -> Ran {
        let mut command = self.command(words[0]);
        Ran::of(command.args(&words[1..]).output().unwrap())
    }

    /// What the last session said that it does not hold.
    pub(crate) fn missing(&self) -> Vec<Promise> {
        let mut last = Vec::new();
        self.each_event(|event| {
            if let Event::Start { missing, .. } = event {
                last.clone_from(missing);
            }
        });
        last
    }

    /// A shell that may mount, in a mount namespace that shares what is mounted with whoever is made from it.
    /// In its script `$guard` is `agentguard exec` by the one who is to start it.
    pub(crate) fn mounting(&self, script: &str) -> Command {
        let guard = self.guard_words();
        let mut command = self.command("timeout");
        command.args(["-s", "KILL", &patience(), "unshare", "--mount"]);
        command.args(["--propagation", "shared"]);
        let lower = match self.who {
            Who::Root => "",
            Who::Ordinary => {
                command.args(["--user", "--map-root-user"]);
                "unshare --user --map-user=1000 --map-group=1000 "
            }
        };
        let script = format!("guard='{lower}{guard}'; {script}");
        command.args(["sh", "-c", &script]);
        command
    }

    /// The rules of the log that refused, in its order.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let mut rules = Vec::new();
        self.each_event(|event| match event {
            Event::Decision {
                ruling: Ruling::Deny { rule, .. },
                ..
            }
            | Event::Signature {
                ruling: Ruling::Deny { rule, .. },
                ..
            }
            | Event::Outcome {
                outcome: OutcomeOf::Killed { rule },
                ..
            }
            | Event::Finding { rule, .. } => rules.push(rule.id.as_str().to_owned()),
            Event::Start { .. }
            | Event::Decision { .. }
            | Event::Signature { .. }
            | Event::Outcome { .. }
            | Event::Repeat { .. }
            | Event::Difference { .. }
            | Event::Question { .. }
            | Event::Refs { .. }
            | Event::Credential { .. }
            | Event::Anchor { .. }
            | Event::Erasure { .. }
            | Event::End { .. } => {}
        });
        rules
    }

    /// Every event of every session in this home.
    pub(crate) fn each_event(&self, mut look: impl FnMut(&Event)) {
        let home = self.root.join("home");
        let places = agentguard::Places {
            state: home.join(".local/state/agentguard"),
            config: home.join(".config/agentguard"),
        };
        for log in logs(&places).unwrap() {
            for recorded in Entries::open(&log.directory).unwrap() {
                look(&recorded.unwrap().entry.event);
            }
        }
    }
}

/// Copies by another program: what a test beside this one starts meanwhile would hold our own descriptor to
/// the copy, which then cannot be executed.
#[expect(clippy::disallowed_methods, reason = "the test's own tool")]
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Writes a program, as [`copy`] does.
#[expect(clippy::disallowed_methods, reason = "the test's own tool")]
fn put(path: &Path, bytes: &[u8]) {
    let mut tee = Command::new("tee");
    let tee = tee.arg(path).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut tee = tee.spawn().unwrap();
    tee.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(tee.wait().unwrap().success());
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
