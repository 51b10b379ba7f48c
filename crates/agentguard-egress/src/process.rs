//! The gate's process, as the guard has it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use agentguard_core::{Credential, Secret};

use crate::Error;
use crate::gate::NAME;
use crate::guard::Listeners;
use crate::settings::Settings;
use crate::wire::{self, Bound, LINES, Lent, Plan};

/// A test's program has no `main` of ours: it runs the test of this name, which becomes the gate.
const TEST: &str = "agentguard_gate_entry";

/// A gate that runs. It ends with this.
pub(crate) struct Process {
    child: Child,
    control: UnixStream,
    lines: Vec<UnixStream>,
    held: Option<UnixStream>,
    ssh: Option<UnixStream>,
}

impl Process {
    /// Starts this program again as a gate, and hands it what it needs.
    pub(crate) fn start(settings: &Settings, listeners: &Listeners) -> Result<Self, Error> {
        let (mut control, theirs) = UnixStream::pair().map_err(Error::io("make a line"))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "it is this very program, and no action of an agent"
        )]
        let mut command = Command::new("/proc/self/exe");
        let child = command
            .arg0(NAME)
            .args([TEST, "--nocapture"])
            .env_clear()
            .current_dir("/")
            // A key that ends the guard is not for it to hear: the guard's end is.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("start the gate"))?;
        let mut process = Self {
            child,
            control: control.try_clone().map_err(Error::io("make a line"))?,
            lines: Vec::new(),
            held: None,
            ssh: None,
        };
        let handing = |error| Error::io("tell the gate what to do")(error);
        wire::send(&mut control, &plan(settings, listeners)).map_err(handing)?;
        let mut theirs = Vec::new();
        for _ in 0..LINES {
            let (ours, other) = UnixStream::pair().map_err(Error::io("make a line"))?;
            process.lines.push(ours);
            theirs.push(other);
        }
        let (ours, other) = UnixStream::pair().map_err(Error::io("make a line"))?;
        process.held = Some(ours);
        theirs.push(other);
        let (ours, other) = UnixStream::pair().map_err(Error::io("make a line"))?;
        process.ssh = Some(ours);
        theirs.push(other);
        let lines = theirs.iter().map(|line| line.as_fd());
        let descriptors: Vec<_> = listeners
            .all()
            .chain(listeners.callers())
            .chain(lines)
            .collect();
        wire::send_descriptors(&control, &descriptors).map_err(handing)?;
        Ok(process)
    }

    /// The lines on which it asks.
    pub(crate) fn take_lines(&mut self) -> Vec<UnixStream> {
        std::mem::take(&mut self.lines)
    }

    /// The line on which it is told what came of requests that were held.
    pub(crate) fn take_held(&mut self) -> Option<UnixStream> {
        self.held.take()
    }

    /// The line on which it says what is to be asked over SSH.
    pub(crate) fn take_ssh(&mut self) -> Option<UnixStream> {
        self.ssh.take()
    }

    /// What ends when it does.
    pub(crate) fn control(&self) -> Result<UnixStream, Error> {
        self.control.try_clone().map_err(Error::io("make a line"))
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn plan(settings: &Settings, listeners: &Listeners) -> Plan {
    let authority = &settings.authority;
    Plan {
        hosts: settings.hosts.clone(),
        addresses: settings.addresses.clone(),
        uninspected: settings.uninspected.clone(),
        escaped_slashes: settings.escaped_slashes.clone(),
        conversations: settings.conversations.clone(),
        session: authority.session.clone(),
        not_before: authority.not_before,
        key: copy(&authority.key),
        credentials: settings
            .credentials
            .iter()
            .filter(|one| !one.is_ssh())
            .map(lent)
            .collect(),
        ssh: settings.credentials.iter().filter_map(bound).collect(),
        roots: settings.roots.clone(),
        stand_ins: settings.stand_ins,
        patience: settings.patience,
        forcing: listeners.forcing,
        tcp: listeners.tcp.len(),
        dns_udp: listeners.dns_udp.len(),
        dns_tcp: listeners.dns_tcp.len(),
        datagrams: listeners.datagrams.len(),
        callers: listeners.callers.len(),
        spool: settings.spool.clone(),
    }
}

/// A key of SSH stays with the guard.
fn bound(credential: &Credential) -> Option<Bound> {
    credential.is_ssh().then(|| Bound {
        name: credential.name.clone(),
        bound: credential.bound.clone(),
    })
}

fn lent(credential: &Credential) -> Lent {
    Lent {
        name: credential.name.clone(),
        placeholder: credential.placeholder.clone(),
        secret: copy(&credential.secret),
        bound: credential.bound.clone(),
    }
}

/// As long as it takes to send it. It is wiped like the one it is of.
fn copy(secret: &Secret) -> Secret {
    Secret::new(secret.danger_reveal().to_vec())
}
