//! Conversations over SSH that are under way.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentguard_core::{Binding, Credential, CredentialName, Host, HostName, Place, Slot};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, test_kill_process};

use super::client::{self, Talk};
use super::errand::{self, Begun, Errand, Service};
use crate::guard::Open;
use crate::wire::{self, LONGEST};
use crate::{Error, Settings};

/// More conversations at once are not begun.
const MOST: usize = 16;
/// How soon it is seen that one ended by itself.
const TURN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
/// What whoever pushes says first where there is nothing to push.
const NOTHING: &[u8] = b"0000";

/// Has servers asked, by the keys that the session was lent.
pub(crate) struct Runner<'s> {
    keys: Vec<&'s Credential>,
    addresses: &'s BTreeMap<HostName, Place>,
    directory: &'s Path,
    patience: Duration,
}

/// One conversation. It ends with this.
struct Running {
    child: Child,
    /// At its end when the gate wants no more of it.
    life: UnixStream,
    _files: [Lying; 2],
}

/// A file for the client to read. It is gone with this.
struct Lying(PathBuf);

/// What the gate gets.
type Ends = Vec<OwnedFd>;

impl<'s> Runner<'s> {
    pub(crate) fn new(settings: &'s Settings) -> Self {
        let keys = settings.credentials.iter().filter(|one| one.is_ssh());
        let keys: Vec<_> = keys.collect();
        if !keys.is_empty() {
            sweep(&settings.keys);
        }
        Self {
            keys,
            addresses: &settings.addresses,
            directory: &settings.keys,
            patience: settings.patience.server,
        }
    }

    /// Does what the gate asks for on `line`, as far as `open` allows it, until that ends.
    pub(crate) fn serve(&self, open: &Open, mut line: UnixStream) -> Result<(), Error> {
        let mut running: Vec<Running> = Vec::new();
        loop {
            running.retain_mut(Running::goes_on);
            if !is_asked(&line, &running).map_err(Error::io("wait for what is to be asked"))? {
                continue;
            }
            let errand: Errand = match wire::receive(&mut line, LONGEST) {
                Ok(Some(errand)) => errand,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(Error::Garbled);
                }
                Err(error) => return Err(Error::io("hear the gate")(error)),
            };
            let begun = match running.len() < MOST {
                true => self.begin(open, &errand),
                false => Err("too many conversations over SSH are under way".to_owned()),
            };
            let (answer, ends) = match begun {
                Ok((one, ends)) => {
                    running.push(one);
                    (Begun::Talking, ends)
                }
                Err(why) => (Begun::Not(why), Ends::new()),
            };
            match answered(&mut line, &answer, &ends) {
                Ok(()) => {}
                Err(error) if wire::is_end(&error) => return Ok(()),
                Err(error) => return Err(Error::io("answer the gate")(error)),
            }
        }
    }

    /// Begins a conversation, where a verdict allowed it that is not over.
    fn begin(&self, open: &Open, errand: &Errand) -> Result<(Running, Ends), String> {
        let path = client::path(&errand.repository)?;
        let (credential, slot, at) = open.with_allowed(|allowed| {
            let way = errand::way(allowed, errand).ok_or("no verdict allows it")?;
            let key = key_for(&self.keys, way.credentials, errand);
            let (key, bound) = key.ok_or("no key is lent for it")?;
            let port = self.port_of(&bound.host, bound.port);
            Ok::<_, &str>((key, &bound.slot, SocketAddr::new(way.address, port)))
        })?;
        let Slot::Ssh { user, host_keys } = slot else {
            return Err("no key is lent for it".to_owned());
        };
        let program = client::installed().ok_or(
            "OpenSSH's client is not installed here, and git's server speaks nothing but SSH: install `ssh`",
        )?;
        let failed = |error: io::Error| format!("the client of SSH cannot be started: {error}");
        let line = |key: &String| format!("{} {key}\n", errand.host);
        let hosts: String = host_keys.iter().map(line).collect();
        let key = credential.secret.danger_reveal();
        let files = [
            Lying::write(self.directory, &[key, b"\n"]).map_err(failed)?,
            Lying::write(self.directory, &[hosts.as_bytes()]).map_err(failed)?,
        ];
        let [key, known_hosts] = &files;
        let talk = Talk {
            host: &errand.host,
            user,
            at,
            key: &key.0,
            known_hosts: &known_hosts.0,
            service: errand.service,
            repository: &path,
            is_second: errand.is_second,
            patience: self.patience,
        };
        let (child, life, ends) = start(&program, &talk).map_err(failed)?;
        let running = Running {
            child,
            life,
            _files: files,
        };
        Ok((running, ends))
    }

    /// The port that is connected to: policy may say where a name is.
    fn port_of(&self, host: &Host, port: u16) -> u16 {
        let place = match host {
            Host::Name(name) => self.addresses.get(name),
            Host::Address(_) => None,
        };
        place.map_or(port, |place| place.at(port).port())
    }
}

/// The key by which an errand goes: one of those that were judged, where it is bound to this repository.
fn key_for<'k>(
    keys: &[&'k Credential],
    judged: &[CredentialName],
    errand: &Errand,
) -> Option<(&'k Credential, &'k Binding)> {
    let lent = keys.iter().filter(|key| judged.contains(&key.name));
    let mut bound = lent.flat_map(|key| key.bound.iter().map(move |bound| (*key, bound)));
    bound.find(|(_, bound)| is_bound(bound, errand))
}

/// Whether a key is for this repository.
fn is_bound(bound: &Binding, errand: &Errand) -> bool {
    let mut path = errand.repository.clone();
    path.push(errand.service.command().to_owned());
    bound.slot.is_ssh()
        && bound.host.to_string() == errand.host
        && bound.covers(&bound.host, errand.port, "", &path)
}

/// Starts the client, and makes what the gate talks by. What takes a push and was asked what it could take is told that
/// there is nothing, and by nobody anything else.
fn start(program: &Path, talk: &Talk<'_>) -> io::Result<(Child, UnixStream, Ends)> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC);
    let (stdin, input) = pipe()?;
    let (output, stdout) = pipe()?;
    let (errors, stderr) = pipe()?;
    let (life, held) = UnixStream::pair()?;
    let mut ends = vec![output, errors, held.into()];
    match talk.service {
        Service::ReceiveNothing => fs::File::from(input).write_all(NOTHING)?,
        Service::Receive | Service::Upload => ends.push(input),
    }
    let child = client::start(program, talk, [stdin, stdout, stderr])?;
    Ok((child, life, ends))
}

/// Waits until something is asked, or something else may have happened.
fn is_asked(line: &UnixStream, running: &[Running]) -> io::Result<bool> {
    let lives = running.iter().map(|one| one.life.as_fd());
    let mut polled: Vec<_> = std::iter::once(line.as_fd())
        .chain(lives)
        .map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN))
        .collect();
    let turn = (!running.is_empty()).then_some(&TURN);
    match poll(&mut polled, turn) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    Ok(polled
        .first()
        .is_some_and(|line| !line.revents().is_empty()))
}

fn answered(line: &mut UnixStream, answer: &Begun, ends: &Ends) -> io::Result<()> {
    wire::send(line, answer)?;
    if ends.is_empty() {
        return Ok(());
    }
    let ends: Vec<_> = ends.iter().map(AsFd::as_fd).collect();
    wire::send_descriptors(line, &ends)
}

impl Running {
    /// Whether it goes on. Where the gate wants no more of it, it does not.
    fn goes_on(&mut self) -> bool {
        let mut polled = [PollFd::new(&self.life, PollFlags::IN)];
        let is_left = poll(&mut polled, Some(&Timespec::default())) != Ok(0);
        !is_left && matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lying {
    fn write(directory: &Path, pieces: &[&[u8]]) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{}-{number}", std::process::id()));
        // One of a guard that was killed, which had this number.
        let _ = fs::remove_file(&path);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let lying = Self(path);
        pieces.iter().try_for_each(|piece| file.write_all(piece))?;
        Ok(lying)
    }
}

impl Drop for Lying {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Takes away what guards left behind that were killed.
fn sweep(directory: &Path) {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    for file in files {
        let name = file.file_name();
        let number = name.to_str().and_then(|name| name.split_once('-'));
        let guard = number.and_then(|(guard, _)| Pid::from_raw(guard.parse().ok()?));
        if guard.is_some_and(|guard| test_kill_process(guard) == Err(Errno::SRCH)) {
            // Where it cannot be taken away, the next one tries.
            let _ = fs::remove_file(file.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use agentguard_core::Secret;

    use super::*;

    #[test]
    fn what_a_killed_guard_left_is_taken_away_and_nothing_else() {
        let name = format!("agentguard-keys-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let own = Lying::write(&directory, &[b"key"]).unwrap();
        let mode = fs::metadata(&own.0).unwrap().permissions().mode();
        #[expect(clippy::disallowed_methods, reason = "a process that is gone")]
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        child.wait().unwrap();
        let left = directory.join(format!("{}-0", child.id()));
        let other = directory.join("other");
        for path in [&left, &other] {
            fs::write(path, "key").unwrap();
        }
        sweep(&directory);
        let is_there = [&left, &own.0, &other].map(|path| path.exists());
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(is_there, [false, true, true]);
        assert_eq!(mode & 0o777, 0o600);
    }

    /// By one more descriptor a push could be brought that was only asked about.
    #[test]
    fn who_asks_what_a_push_could_bring_has_nothing_to_say_it_by() {
        for (service, ends) in [
            (Service::ReceiveNothing, 3),
            (Service::Receive, 4),
            (Service::Upload, 4),
        ] {
            let talk = Talk {
                host: "git.test",
                user: "git",
                at: ([203, 0, 113, 7], 22).into(),
                key: Path::new("/none"),
                known_hosts: Path::new("/none"),
                service,
                repository: "/o/r",
                is_second: false,
                patience: Duration::from_secs(1),
            };
            let (mut child, _life, got) = start(Path::new("/bin/true"), &talk).unwrap();
            child.wait().unwrap();
            assert_eq!(got.len(), ends, "{service:?}");
        }
    }

    #[test]
    fn a_conversation_that_the_gate_wants_no_more_of_ends_and_leaves_no_key() {
        let name = format!("agentguard-talk-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let begin = |seconds: &str| {
            let (life, held) = UnixStream::pair().unwrap();
            #[expect(clippy::disallowed_methods, reason = "it stands for the client")]
            let child = std::process::Command::new("/bin/sleep")
                .arg(seconds)
                .spawn()
                .unwrap();
            let write = || Lying::write(&directory, &[b"key"]).unwrap();
            let _files = [write(), write()];
            let running = Running {
                child,
                life,
                _files,
            };
            (running, held)
        };
        let (mut wanted, held) = begin("600");
        assert!(wanted.goes_on());
        held.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(!wanted.goes_on());
        let client = Pid::from_child(&wanted.child);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        drop(wanted);
        assert_eq!(test_kill_process(client), Err(Errno::SRCH));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        // One that ended by itself does not go on either.
        let (mut ended, _held) = begin("0");
        ended.child.wait().unwrap();
        assert!(!ended.goes_on());
        drop(ended);
        fs::remove_dir(&directory).unwrap();
    }

    /// A gate that was taken over may ask for anything.
    #[test]
    fn a_key_opens_what_was_judged_with_it_and_what_it_is_bound_to() {
        let name = |text: &str| CredentialName::parse(text).unwrap();
        let words = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let bound = |slot| Binding {
            host: Host::Name(HostName::parse("git.test").unwrap()),
            port: 22,
            path: words("o/**"),
            methods: Vec::new(),
            slot,
        };
        let key = |called, slot| Credential {
            name: name(called),
            placeholder: String::new(),
            secret: Secret::new(Vec::new()),
            bound: vec![bound(slot)],
        };
        let ssh = Slot::Ssh {
            user: "git".to_owned(),
            host_keys: Vec::new(),
        };
        let mut reads = key("reads", ssh.clone());
        reads.bound[0].path = words("o/r.git/git-upload-pack");
        let keys = [key("deploy", ssh), key("token", Slot::Basic), reads];
        let keys: Vec<_> = keys.iter().collect();
        let errand = |host: &str, port, path| Errand {
            host: host.to_owned(),
            port,
            repository: words(path),
            service: Service::Upload,
            is_second: true,
        };
        let own = errand("git.test", 22, "o/r.git");
        let found = |judged: &[&str], errand: &Errand| {
            let judged: Vec<_> = judged.iter().map(|one| name(one)).collect();
            key_for(&keys, &judged, errand).map(|(key, _)| key.name.as_str().to_owned())
        };
        assert_eq!(found(&["token", "deploy"], &own).as_deref(), Some("deploy"));
        assert_eq!(found(&[], &own), None);
        assert_eq!(found(&["other"], &own), None);
        assert_eq!(found(&["token"], &own), None);
        // One that is bound to what is read opens nothing that is written.
        assert_eq!(found(&["reads"], &own).as_deref(), Some("reads"));
        for service in [Service::Receive, Service::ReceiveNothing] {
            let errand = Errand {
                service,
                ..own.clone()
            };
            assert_eq!(found(&["reads"], &errand), None, "{service:?}");
            assert_eq!(found(&["deploy"], &errand).as_deref(), Some("deploy"));
        }
        for (host, port, path) in [
            ("git.other", 22, "o/r.git"),
            ("git.test", 2222, "o/r.git"),
            ("git.test", 22, "p/r.git"),
        ] {
            assert_eq!(
                found(&["deploy"], &errand(host, port, path)),
                None,
                "{host} {port}"
            );
        }
    }
}
