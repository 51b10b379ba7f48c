//! Signatures of what git makes in a session, by the key of its agent, which the session never holds.
//!
//! git has `ssh-keygen` sign, and that asks an agent of SSH's, on a socket. The guard is that agent: it knows one key,
//! signs nothing but what is for git, and writes down each signature before it hands it out.

mod protocol;
mod serve;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use agentguard_audit::Places;
use agentguard_core::{
    Confinement, Gate, Judge, Level, NobodyToAsk, Rule, SessionId, Undecided, Verdict,
};
use agentguard_credentials::Signing;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use crate::arrange::private_directory;
use crate::lending::tell_git;
use crate::run::Told;
use crate::supervise::Supervisor;
use crate::{Arranged, Error, Tell, environment, workspace};
use protocol::{Request, failure, keys, signed};
use serve::Answer;

/// Where the sockets of sessions lie, below the state.
const KIND: &str = "signing";
/// Where SSH's programs look for an agent (ssh-agent(1)).
const VARIABLE: &str = "SSH_AUTH_SOCK";
/// What git has sign (git-config(1), "gpg.ssh.program").
const PROGRAM: &str = "ssh-keygen";
/// `sun_path` of unix(7), with its end.
const LONGEST_PATH: usize = 108;
/// Anybody may connect who gets there: the directory is the guard's alone, and inside it may be another user who does.
const MODE: u32 = 0o666;

/// Where the session's commits are signed.
pub(crate) struct Signer {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Signer {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Switches signing off where git could not sign inside: every commit would fail. Returns why.
pub(crate) fn look(
    places: &Places,
    session: &SessionId,
    confinement: &mut Confinement,
    search: &[PathBuf],
) -> Option<Rule> {
    if !confinement.signs_commits {
        return None;
    }
    let is_there = search
        .iter()
        .any(|directory| is_inside(confinement, &directory.join(PROGRAM)));
    let path = place(places, session);
    let is_short = confinement.level == Level::Full || path.as_os_str().len() < LONGEST_PATH;
    let why = match (is_there, is_short) {
        (true, true) => return None,
        (false, _) => format!("there is no `{PROGRAM}` in the session"),
        (true, false) => format!("`{}` is too long for a socket", path.display()),
    };
    confinement.signs_commits = false;
    Some(Rule::new(
        "signing/off",
        format!("commits are not signed: {why}"),
    ))
}

/// Whether a program can be started inside.
fn is_inside(confinement: &Confinement, path: &Path) -> bool {
    let is_program = |path: &Path| {
        path.metadata()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let real = workspace::real(path);
    is_program(&real)
        && environment::is_seen(confinement, &real)
        && !confinement.masks.iter().any(|mask| real.starts_with(mask))
}

fn place(places: &Places, session: &SessionId) -> PathBuf {
    places.state.join(KIND).join(session.as_str())
}

/// Removes the socket of a session that is over.
pub(crate) fn remove_of(places: &Places, session: &SessionId) {
    remove(&place(places, session));
}

fn remove(path: &Path) {
    // Most sessions have none; what stays is removed with what is left of the session.
    let _ = std::fs::remove_file(path);
}

impl Signer {
    /// Makes the place where the session's commits are signed, and has git inside go there.
    ///
    /// # Errors
    ///
    /// Returns what keeps the socket from being made.
    pub(crate) fn of(
        places: &Places,
        arranged: &mut Arranged,
        tell: &dyn Tell,
    ) -> Result<Option<Self>, Error> {
        for rule in &arranged.off {
            tell.note(&rule.reason);
        }
        if !arranged.confined.confinement.signs_commits {
            return Ok(None);
        }
        let failed = || Error::doing("make a place where commits are signed");
        private_directory(places, KIND)?;
        let path = place(places, &arranged.session.id);
        let listener = bind(&path).map_err(failed())?;
        let signer = Self { listener, path };
        let plan = &mut arranged.plan;
        plan.signing = Some(signer.path.clone());
        let inside = plan.signing_inside().unwrap_or_default();
        plan.environment
            .retain(|line| !line.starts_with(format!("{VARIABLE}=").as_bytes()));
        plan.environment
            .push(format!("{VARIABLE}={}", inside.display()).into_bytes());
        let settings = [
            ("gpg.format", "ssh".to_owned()),
            // A human's own may ask a desktop that is not there.
            ("gpg.ssh.program", PROGRAM.to_owned()),
            (
                "user.signingkey",
                format!("key::{}", arranged.key.ssh_word()),
            ),
            ("commit.gpgsign", "true".to_owned()),
        ];
        tell_git(
            &mut plan.environment,
            &settings.map(|(key, value)| (key.to_owned(), value)),
        );
        Ok(Some(signer))
    }
}

/// Binds a socket at a path of whatever length, by the directory that holds it.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::fd::AsRawFd as _;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let directory = std::fs::File::open(directory)?;
    let short = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name);
    let listener = UnixListener::bind(&short)?;
    std::fs::set_permissions(&short, std::fs::Permissions::from_mode(MODE))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Runs a session with whoever signs beside it, for as long as it lasts.
pub(crate) fn beside<T>(
    (signer, mediator): (Option<Signer>, Pid),
    supervisor: &Supervisor<'_>,
    session: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(signer) = signer else {
        return session();
    };
    let failed = || Error::doing("start what signs commits");
    let (stop, running) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed()(error.into()))?;
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("signing".to_owned())
            .spawn_scoped(scope, || {
                // Where it cannot go on nothing is signed any more, and git says so.
                let _ = serve::serve(&signer.listener, mediator, &stop, supervisor);
            })
            .map_err(failed())?;
        let ended = session();
        drop(running);
        ended
    })
}

/// Allows what is for git, and nothing else.
struct ForGit;

impl Judge<Signing> for ForGit {
    fn judge(&self, signing: &Signing) -> Result<Verdict, Undecided> {
        Ok(match signing.message() {
            Ok(_) => Verdict::Allow(Rule::new(
                "signing/git",
                "what git makes in the session is signed by its agent",
            )),
            Err(why) => Verdict::Deny(
                Rule::new("signing/other", format!("this is not signed: {why}"))
                    .with_remedy("the agent's key signs for git only"),
            ),
        })
    }
}

impl Answer for Supervisor<'_> {
    fn answer(&self, message: &[u8]) -> Vec<u8> {
        let key = self.record.key();
        match Request::read(message) {
            Request::Keys => keys(&key.ssh_key(), key.agent().name.as_str()),
            Request::Sign { key: asked, data } if asked == key.ssh_key() => self.sign(data),
            Request::Sign { .. } | Request::Other => failure(),
        }
    }

    fn stranger(&self) {
        let rule = Rule::new(
            "signing/stranger",
            "a process outside the session asked for its agent's signature, and got none",
        );
        // Once: whoever can get there could fill the log.
        if self.record.note_found(&rule) && self.record.finding(rule.clone()).is_ok() {
            self.tell(
                format!("a signature by `{}`", self.record.key().agent().name),
                &rule,
                None,
            );
        }
    }
}

impl Supervisor<'_> {
    fn sign(&self, data: &[u8]) -> Vec<u8> {
        let gate = Gate::new(ForGit, NobodyToAsk, self.record);
        let signature = match gate.admit(Signing::of(data)) {
            Ok(permit) => self.record.key().sign_for_git(permit),
            Err(refusal) => {
                let words = "sign what is not git's".to_owned();
                let told = Told::new(words, refusal.rule().clone(), refusal.index(), false);
                self.tell.refused(&told);
                None
            }
        };
        signature.map_or_else(failure, |signature| signed(&signature))
    }
}
