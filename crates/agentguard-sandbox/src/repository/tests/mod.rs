//! Against git itself, and against repositories that git would never make.

mod against_git;
mod fuzz;
mod hostile;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use agentguard_core::Origin;

use super::*;

/// A directory of its own with a work tree in it, removed at the end.
struct Scratch {
    base: PathBuf,
    work: PathBuf,
}

impl Scratch {
    /// Without a repository.
    fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir().join(format!("repository-{}-{next}", std::process::id()));
        let work = base.join("work");
        fs::create_dir_all(&work).unwrap();
        Self { base, work }
    }

    /// With a new repository.
    fn new() -> Self {
        let scratch = Self::empty();
        scratch.git(&["init", "-q", "-b", "main"]);
        scratch
    }

    /// Runs git in the work tree; it must succeed.
    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        self.git_in("work", arguments)
    }

    #[track_caller]
    #[expect(
        clippy::disallowed_methods,
        reason = "git is the oracle, on repositories of our own"
    )]
    fn git_in(&self, directory: &str, arguments: &[&str]) -> String {
        let mut command = std::process::Command::new("git");
        command.current_dir(self.base.join(directory)).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", &self.base)
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for (role, name) in [("AUTHOR", "Ada"), ("COMMITTER", "Charles")] {
            command.env(format!("GIT_{role}_NAME"), name);
            command.env(format!("GIT_{role}_EMAIL"), "a@example.com");
        }
        for setting in [
            "gc.auto=0",
            "protocol.file.allow=always",
            "commit.gpgSign=false",
        ] {
            command.args(["-c", setting]);
        }
        let output = command.args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn commit(&self, message: &str) -> String {
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.work.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn try_find(&self, directory: &str) -> std::io::Result<Option<Repository>> {
        let place = self.base.join(directory);
        let (workspace, root) = (File::open(&place).unwrap(), File::open("/").unwrap());
        Repository::find(workspace.as_fd(), &place, root.as_fd())
    }

    #[track_caller]
    fn find(&self) -> Repository {
        self.try_find("work").unwrap().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// The ids of one origin.
fn ids(found: &NewCommits, origin: Origin) -> BTreeSet<String> {
    let of_origin = found
        .commits
        .iter()
        .filter(|commit| commit.origin == origin);
    of_origin.map(|commit| commit.id.clone()).collect()
}

/// What appeared since, with the refs as they are now.
fn since(repository: &mut Repository, old: &Refs) -> (Refs, NewCommits) {
    let new = repository.refs();
    let found = repository.new_commits(old, &new, 10_000);
    (new, found)
}

fn set<const N: usize>(ids: [&String; N]) -> BTreeSet<String> {
    ids.into_iter().cloned().collect()
}
