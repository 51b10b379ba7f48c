//! A home of its own for each session, and the command run in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

/// A directory with a home and a workspace, gone when dropped.
pub(crate) struct Home {
    root: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = env::temp_dir().join(format!("agentguard-cli-{}-{count}", process::id()));
        fs::create_dir_all(root.join("home/work")).unwrap();
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where sessions are typed.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("home/work")
    }

    pub(crate) fn run(&self, variables: &[(&str, &str)], words: &[&str]) -> Output {
        let mut command = self.command(words);
        command.envs(variables.iter().copied());
        command.output().unwrap()
    }

    /// Runs with a stdout that nobody reads. Answers the exit code and stderr.
    pub(crate) fn run_unread(&self, words: &[&str]) -> (Option<i32>, String) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = self.command(words);
        let output = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// Starts the command, with a stdin that is held open.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Runs git in the workspace, as its owner does.
    #[expect(clippy::disallowed_methods, reason = "what people do beside the agent")]
    pub(crate) fn git(&self, words: &[&str]) {
        let mut command = Command::new("git");
        command
            .args(words)
            .current_dir(self.work())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.join("home"));
        assert!(command.status().unwrap().success(), "{words:?}");
    }

    /// What bash offers after `typed`.
    #[expect(clippy::disallowed_methods, reason = "bash says what it makes of it")]
    pub(crate) fn completed_by_bash(&self, typed: &str) -> String {
        let completions = self.run(&[], &["completions", "bash"]).stdout;
        let script = String::from_utf8(completions).unwrap();
        let ask = format!(
            "{script}\nCOMP_WORDS=(agentguard {typed})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _agentguard\necho \"${{COMPREPLY[@]}}\"\n"
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the command under test is started from outside"
    )]
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentguard"));
        command
            .args(words)
            .current_dir(self.work())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.join("home"))
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
