//! Where the bench works, and how a client is run there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, process};

use crate::client::{self, Took};
use crate::git;
use crate::memory::Watch;
use crate::server::{NAME, Server};

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Directories of this run, gone when dropped.
pub(crate) struct Place {
    base: PathBuf,
    ports: String,
    roots: PathBuf,
}

/// What came of a client behind a gate.
pub(crate) struct Gated {
    pub(crate) took: Took,
    /// The most memory that the guard and its gate had, as it is shown.
    pub(crate) memory: String,
    /// How many requests its log tells of that were answered.
    pub(crate) requests: u64,
}

impl Place {
    /// Where the server's repositories are.
    pub(crate) fn repositories() -> PathBuf {
        Self::base().join("repositories")
    }

    fn base() -> PathBuf {
        env::temp_dir().join(format!("agentguard-bench-{}", process::id()))
    }

    pub(crate) fn new(server: &Server) -> Self {
        let base = Self::base();
        let place = Self {
            ports: format!("{} {} {}", server.clear, server.tls, server.git),
            roots: base.join("roots.pem"),
            base,
        };
        fs::create_dir_all(place.work()).unwrap();
        fs::create_dir_all(place.base.join("policy")).unwrap();
        fs::write(&place.roots, &server.roots).unwrap();
        fs::copy(env::current_exe().unwrap(), place.work().join("client")).unwrap();
        let (clear, tls, git) = (server.clear, server.tls, server.git);
        let of_git = git::NAME;
        let policy = format!(
            "package agentguard.sandbox\n\nhosts contains \"{NAME}\"\n\nhosts contains \"tls.{NAME}\"\n\n\
             addresses contains {{\"host\": \"{NAME}\", \"at\": \"127.0.0.1:{clear}\"}}\n\n\
             addresses contains {{\"host\": \"tls.{NAME}\", \"at\": \"127.0.0.1:{tls}\"}}\n\n\
             hosts contains \"{of_git}\"\n\n\
             addresses contains {{\"host\": \"{of_git}\", \"at\": \"127.0.0.1:{git}\"}}\n"
        );
        fs::write(place.base.join("policy/bench.rego"), policy).unwrap();
        place
    }

    fn work(&self) -> PathBuf {
        self.base.join("work")
    }

    fn home(&self) -> PathBuf {
        self.base.join("home")
    }

    /// Makes the repositories of pushes.
    pub(crate) fn prepare_pushes(&self) {
        git::prepare(&Self::repositories(), &self.work());
    }

    /// Runs a client that goes to the server itself.
    pub(crate) fn bare(&self, words: &[&str]) -> Took {
        let mut command = self.command(&self.work().join("client"));
        command.arg("client").args(words);
        command.env(client::PORTS, &self.ports);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Took::read(&String::from_utf8(output.stdout).unwrap())
    }

    /// Runs a client behind a gate.
    pub(crate) fn gated(&self, words: &[&str]) -> Gated {
        // Each session is the only one of its home.
        let _ = fs::remove_dir_all(self.home());
        fs::create_dir_all(self.home()).unwrap();
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_agentguard")));
        command
            .arg("exec")
            .arg("--policy")
            .arg(self.base.join("policy"));
        command.args(["--", "./client", "client"]).args(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let guard = command.spawn().unwrap();
        let watch = Watch::begin(guard.id());
        let output = guard.wait_with_output().unwrap();
        let memory = watch.end();
        assert!(output.status.success(), "{output:?}");
        Gated {
            took: Took::read(&String::from_utf8(output.stdout).unwrap()),
            memory,
            requests: self.answered(),
        }
    }

    /// How many requests the log of the one session says were answered.
    fn answered(&self) -> u64 {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_agentguard")));
        let output = command
            .args(["log", "query", "--json", "--kind", "outcome"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let count = text.matches("\"result\":\"answered\"").count();
        u64::try_from(count).unwrap()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what is measured is started from outside"
    )]
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.work())
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.home())
            .env("SSL_CERT_FILE", &self.roots)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}
