//! What lies outside a session, seen from outside: files, a process, listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use agentguard::core::Digest;

use crate::scene::Scene;

/// A tree of files, with everything about each that anybody could change.
pub(crate) type Tree = BTreeMap<PathBuf, String>;

/// Looks at `root`, past what lies below the paths of `but`.
pub(crate) fn tree(root: &Path, but: &[PathBuf]) -> Tree {
    let mut found = Tree::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        if but.contains(&path) {
            continue;
        }
        let stat = path.symlink_metadata().unwrap();
        if stat.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        }
        found.insert(path.clone(), described(&path, &stat));
    }
    found
}

/// What differs between two looks at the same tree.
pub(crate) fn changes(before: &Tree, after: &Tree) -> Vec<String> {
    let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let differing = paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path));
    let told = differing.map(|path| {
        let of = |tree: &Tree| tree.get(path).cloned().unwrap_or("absent".to_owned());
        format!("{}: {} became {}", path.display(), of(before), of(after))
    });
    told.collect()
}

fn described(path: &Path, stat: &fs::Metadata) -> String {
    let content = if stat.is_file() {
        Digest::of(&fs::read(path).unwrap()).to_hex()
    } else if stat.is_symlink() {
        fs::read_link(path).unwrap().display().to_string()
    } else {
        String::new()
    };
    format!(
        "{:o} {}:{} links {} size {} device {} modified {}.{} changed {}.{} attributes {:?} {content}",
        stat.mode(),
        stat.uid(),
        stat.gid(),
        stat.nlink(),
        stat.size(),
        stat.rdev(),
        stat.mtime(),
        stat.mtime_nsec(),
        stat.ctime(),
        stat.ctime_nsec(),
        attributes(path),
    )
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0u8; 65_536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split(|byte| *byte == 0);
    let read = |name: &[u8]| {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0u8; 65_536];
        let length = rustix::fs::lgetxattr(path, name.as_str(), &mut value[..]).unwrap_or(0);
        (name, value[..length].to_vec())
    };
    names.filter(|name| !name.is_empty()).map(read).collect()
}

/// A process of the same user that does nothing, and notices everything.
pub(crate) struct Bystander {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Bystander {
    pub(crate) fn start(scene: &Scene) -> Self {
        let mut command = scene.command(scene.work().join("attack"));
        let mut process = command
            .arg("bystander")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { process, output }
    }

    pub(crate) fn number(&self) -> u32 {
        self.process.id()
    }

    /// What has become of it.
    pub(crate) fn ask(mut self) -> String {
        // Whoever was stopped does not answer.
        let state = fs::read_to_string(format!("/proc/{}/stat", self.number())).unwrap();
        assert!(!state.contains(") T "), "{state}");
        drop(self.process.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        assert!(self.process.wait().unwrap().success());
        text
    }
}

/// Listeners of every kind, which nobody is to reach.
pub(crate) struct Listeners {
    tcp: TcpListener,
    udp: UdpSocket,
    stream: UnixListener,
    datagram: UnixDatagram,
    hidden: UnixListener,
}

impl Listeners {
    pub(crate) fn open(directory: &Path) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind(tcp.local_addr().unwrap()).unwrap();
        let stream = UnixListener::bind(directory.join("stream")).unwrap();
        let datagram = UnixDatagram::bind(directory.join("datagram")).unwrap();
        // The name by which the attack looks for it: the path of the other one.
        let name = directory.join("stream").display().to_string();
        let name = SocketAddr::from_abstract_name(name).unwrap();
        let hidden = UnixListener::bind_addr(&name).unwrap();
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        datagram.set_nonblocking(true).unwrap();
        hidden.set_nonblocking(true).unwrap();
        Self {
            tcp,
            udp,
            stream,
            datagram,
            hidden,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.tcp.local_addr().unwrap().port()
    }

    /// Which of them somebody has reached.
    pub(crate) fn reached(&self) -> Vec<&'static str> {
        let mut byte = [0; 1];
        let reached = [
            ("tcp", self.tcp.accept().is_ok()),
            ("udp", self.udp.recv(&mut byte).is_ok()),
            ("stream", self.stream.accept().is_ok()),
            ("datagram", self.datagram.recv(&mut byte).is_ok()),
            ("abstract", self.hidden.accept().is_ok()),
        ];
        let reached = reached.into_iter().filter(|(_, is_reached)| *is_reached);
        reached.map(|(name, _)| name).collect()
    }
}

/// The witness sees what it is there to see: else it would find nothing wherever nobody looks.
#[test]
fn the_witness_outside_sees_every_kind_of_change() {
    let scene = Scene::new(crate::scene::Who::Root);
    let file = scene.write("outside/file", "as it was");
    let look = || tree(&scene.outside(), &[]);
    let mut last = look();
    let mut sees = |what: &str, change: &dyn Fn()| {
        change();
        let now = look();
        assert!(!changes(&last, &now).is_empty(), "{what}");
        last = now;
    };
    use std::os::unix::fs::PermissionsExt as _;
    let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    let open = || fs::File::options().write(true).open(&file).unwrap();
    sees("content", &|| fs::write(&file, "as it is!").unwrap());
    sees("mode", &|| {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    });
    sees("time", &|| open().set_times(times).unwrap());
    sees("attribute", &|| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&file, "user.reached", b"x", flags).unwrap();
    });
    sees("link", &|| {
        fs::hard_link(&file, scene.work().join("linked")).unwrap()
    });
    sees("new", &|| {
        fs::write(scene.outside().join("new"), "").unwrap()
    });
    sees("gone", &|| {
        fs::remove_file(scene.outside().join("new")).unwrap()
    });
    let listeners = Listeners::open(&scene.outside());
    assert_eq!(listeners.reached(), Vec::<&str>::new());
    drop(std::net::TcpStream::connect(("127.0.0.1", listeners.port())).unwrap());
    assert_eq!(listeners.reached(), ["tcp"]);
    let bystander = Bystander::start(&scene);
    let process = rustix::process::Pid::from_raw(bystander.number().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::USR1).unwrap();
    assert!(!bystander.ask().starts_with("signal 0\n"));
}
