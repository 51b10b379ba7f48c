//! A real server of SSH, for git to be asked by it. Whatever it is asked to run it writes down.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::git_server::refs_of;
use crate::lent::credential;
use crate::lifetime::until;
use crate::scene::{Ran, Scene};

/// Where it lies, and the directory that it wants where root starts it.
const PROGRAM: &str = "/usr/sbin/sshd";
const SEPARATION: &str = "/run/sshd";

/// How it differs from one that serves git well.
#[derive(Clone, Copy, Default)]
pub(crate) struct Differs {
    /// Says this instead of running anything.
    pub(crate) says: Option<&'static str>,
    /// Does not let the second version of git's protocol be asked for.
    pub(crate) is_first_only: bool,
    /// Cannot leave out what it is asked to leave out.
    pub(crate) is_plain: bool,
    /// Runs something that says nothing.
    pub(crate) is_silent: bool,
}

/// OpenSSH's own, on the host's loopback, and a repository behind it.
pub(crate) struct Sshd {
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) repository: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) known_hosts: PathBuf,
    ran: PathBuf,
    serving: Child,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server is started from outside"
)]
fn command(program: &str) -> Command {
    Command::new(program)
}

impl Sshd {
    pub(crate) fn start(scene: &Scene, differs: Differs) -> Self {
        let root = scene.directory("sshd");
        let user = Ran::of(command("id").arg("-un").output().unwrap()).stdout;
        if user.trim() == "root" {
            fs::create_dir_all(SEPARATION).unwrap();
        }
        for name in ["host", "user"] {
            let file = root.join(name);
            let mut keygen = command("ssh-keygen");
            keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&file);
            assert_eq!(Ran::of(keygen.output().unwrap()).code, Some(0));
        }
        let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
        let known = format!("git.test {}", read("host.pub"));
        let known_hosts = scene.write("known_hosts", &known);
        let ran = scene.write("sshd/ran", "");
        let runs = match differs.says {
            Some(says) => format!("echo '{says}'"),
            None if differs.is_silent => "exec sleep 600".to_owned(),
            None => "exec sh -c \"$SSH_ORIGINAL_COMMAND\"".to_owned(),
        };
        let shell = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" >> {}\n{runs}\n",
            ran.display()
        );
        let shell = scene.write("sshd/shell", &shell);
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
        let port = free_port();
        let config = config((&root, port, &shell), differs);
        let config = scene.write("sshd/config", &config);
        let mut sshd = command(PROGRAM);
        sshd.arg("-D")
            .arg("-f")
            .arg(config)
            .arg("-E")
            .arg(root.join("log"));
        let serving = sshd.stdin(Stdio::null()).spawn().unwrap();
        until("the server", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        let sshd = Self {
            port,
            user: user.trim().to_owned(),
            repository: scene.directory("sshd/o").join("r.git"),
            key: root.join("user"),
            known_hosts,
            ran,
            serving,
        };
        sshd.prepare(scene);
        sshd
    }

    /// A repository with two commits, here and in the workspace.
    fn prepare(&self, scene: &Scene) {
        let script = format!(
            "git init -q --bare -b main {at} && git init -q -b main . && git config user.name ann && \
             git config user.email ann@example.org && echo a > a && git add a && git commit -qm one && \
             echo b > b && git add b && git commit -qm two && git push -q {at} main && \
             git remote add origin {} && git checkout -qb work",
            self.url(),
            at = self.repository.display()
        );
        assert_eq!(scene.run_bare(&["sh", "-ec", &script]).code, Some(0));
    }

    /// As whoever uses it writes it.
    pub(crate) fn url(&self) -> String {
        format!("ssh://{}@git.test{}", self.user, self.repository.display())
    }

    /// As the gate is asked for it.
    pub(crate) fn url_at_the_gate(&self) -> String {
        format!("https://git.test:22{}", self.repository.display())
    }

    /// Hands the guard a key, for a host that is known by `known_hosts`.
    pub(crate) fn hand(&self, scene: &Scene, key: &str) -> Ran {
        let known_hosts = self.known_hosts.display().to_string();
        let words = [
            "add",
            "deploy",
            "--ssh",
            &self.user,
            "--host",
            "git.test",
            "--known-hosts",
            &known_hosts,
        ];
        credential(scene, &words, key)
    }

    /// The private key that it lets in.
    pub(crate) fn user_key(&self) -> String {
        fs::read_to_string(&self.key).unwrap()
    }

    /// What it was asked to run.
    pub(crate) fn ran(&self) -> Vec<String> {
        let ran = fs::read_to_string(&self.ran).unwrap();
        ran.lines().map(str::to_owned).collect()
    }

    /// Its refs, `name id`, in order.
    pub(crate) fn refs(&self, scene: &Scene) -> String {
        refs_of(scene, &self.repository)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.serving.kill();
        let _ = self.serving.wait();
    }
}

/// How it is told to serve.
fn config((root, port, shell): (&Path, u16, &Path), differs: Differs) -> String {
    let accept = match differs.is_first_only {
        true => "",
        false => "AcceptEnv GIT_PROTOCOL\n",
    };
    let (at, filters) = (root.display(), !differs.is_plain);
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile none\nStrictModes no\n\
         AuthorizedKeysFile {at}/user.pub\nUsePAM no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin yes\nForceCommand {}\n{accept}\
         SetEnv GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=safe.directory \"GIT_CONFIG_VALUE_0=*\" \
         GIT_CONFIG_KEY_1=uploadpack.allowFilter GIT_CONFIG_VALUE_1={filters} \
         GIT_CONFIG_KEY_2=receive.advertisePushOptions GIT_CONFIG_VALUE_2=true\n",
        shell.display()
    )
}

/// A port that nobody listens at. Another could come before us, and the server would say so.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A policy that grants what speaks SSH at a port of this machine, and the key.
pub(crate) fn granted(scene: &Scene, port: u16) -> String {
    scene.policy(&format!(
        "package agentguard.sandbox\n\nhosts contains \"git.test:22\"\n\n\
         addresses contains {{\"host\": \"git.test\", \"at\": \"127.0.0.1:{port}\"}}\n\n\
         credentials contains \"deploy\"\n"
    ))
}
