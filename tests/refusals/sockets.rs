//! Unix sockets: the host's appear while a session runs, and are not reached; the session's own are.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use agentguard::core::{Event, Level, OutcomeOf, Promise, Ruling};

use crate::attack::Tried;
use crate::scene::{SECRET, Scene, as_everyone, level, where_held, where_held_or};

/// More by `AGENTGUARD_RACES`.
const TRIES: u32 = 400;
/// So often a race is run that shows nothing by chance.
const LUCK: u32 = 20;

/// A socket that anybody may connect to.
fn listen(scene: &Scene, path: &Path) -> UnixListener {
    let listener = UnixListener::bind(path).unwrap();
    open_to_all(scene, path);
    listener.set_nonblocking(true).unwrap();
    listener
}

fn open_to_all(scene: &Scene, path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    scene.own(path);
}

/// How many connected.
fn connections(listener: &UnixListener) -> usize {
    let mut count = 0;
    loop {
        match listener.accept() {
            Ok(_) => count += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Sequenced packets, which the standard library has no type for.
fn packets(scene: &Scene, path: &Path) -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let socket = socket.unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    rustix::net::listen(&socket, 128).unwrap();
    open_to_all(scene, path);
    socket
}

/// An attack that says when it is ready, and waits for a line.
struct Waiting(Child);

impl Waiting {
    fn start(scene: &Scene, flags: &[&str], words: &[&str]) -> Self {
        let mut command = scene.exec(flags, words);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::ready(child.stderr(Stdio::null()).spawn().unwrap())
    }

    fn bare(scene: &Scene, words: &[&str]) -> Self {
        let mut command = scene.command(words[0]);
        command.args(&words[1..]).stdin(Stdio::piped());
        Self::ready(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    fn ready(mut child: Child) -> Self {
        let mut byte = [0];
        let mut line = Vec::new();
        let output = child.stdout.as_mut().unwrap();
        while line.last() != Some(&b'\n') {
            output.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        assert_eq!(line, b"ready ok\n");
        Self(child)
    }

    fn go(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    }

    fn finish(mut self) -> Tried {
        if self.0.stdin.is_some() {
            self.go();
        }
        let output = self.0.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{text}=> {}", output.status);
        assert!(output.status.success(), "{}", output.status);
        Tried::of(&text)
    }
}

/// What the host listens on, in everything that a session sees.
struct Host {
    streams: Vec<UnixListener>,
    packets: std::os::fd::OwnedFd,
    datagrams: UnixDatagram,
}

impl Host {
    fn listen(scene: &Scene, others: &[PathBuf]) -> Self {
        let work = scene.work();
        let here = ["late", "late-to-move"].map(|name| work.join(name));
        let streams = here.iter().chain(others);
        let datagrams = UnixDatagram::bind(work.join("late-datagrams")).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        open_to_all(scene, &work.join("late-datagrams"));
        Self {
            streams: streams.map(|path| listen(scene, path)).collect(),
            packets: packets(scene, &work.join("late-packets")),
            datagrams,
        }
    }

    /// How many connections and datagrams came.
    fn reached(&self) -> usize {
        let streams: usize = self.streams.iter().map(connections).sum();
        let packets = std::iter::repeat_with(|| rustix::net::accept(&self.packets));
        let packets = packets.take_while(Result::is_ok).count();
        let datagrams = std::iter::repeat_with(|| self.datagrams.recv(&mut [0; 16]));
        streams + packets + datagrams.take_while(Result::is_ok).count()
    }
}

/// Those that the kernel answers on its own: no datagrams, no names with messages or where there is another end, no
/// addresses.
const ODD: [(&str, &str); 22] = [
    ("datagram", "EPERM"),
    ("datagram-sendto", "EBADF"),
    ("datagram-sendmsg", "EBADF"),
    ("datagram-sendmmsg", "EBADF"),
    ("datagram-raw", "EPERM"),
    ("pair", "ok"),
    ("pair-sendto", "ok"),
    ("pair-sendmsg", "ok"),
    ("pair-raw", "EPERM"),
    ("pair-raw-sendto", "EBADF"),
    ("pair-raw-sendmsg", "EBADF"),
    ("too-long", "EINVAL"),
    ("far-too-long", "EINVAL"),
    ("negative", "EINVAL"),
    ("without-end", "EINVAL"),
    ("cut", "EFAULT"),
    ("nowhere", "EFAULT"),
    ("other-family", "EINVAL"),
    ("no-family", "EINVAL"),
    ("abstract", "ECONNREFUSED"),
    ("no-descriptor", "EBADF"),
    ("no-socket", "ENOTSOCK"),
];
/// Those for which the kernel's versions have several errors.
const ANY: [&str; 5] = [
    "stream-sendto",
    "stream-fast",
    "packets-sendmsg",
    "empty",
    "only-a-family",
];

#[test]
fn a_socket_that_the_host_makes_during_a_session_is_not_reached() {
    let rest = |scene: &Scene| {
        let waiting = Waiting::start(scene, &[], &["./attack", "late"]);
        let host = Host::listen(scene, &[]);
        let tried = waiting.finish();
        for name in [
            "plain",
            "link",
            "hard-link",
            "moved",
            "proc-root",
            "packets",
        ] {
            assert_eq!(tried.result(name), "EACCES", "{name}");
        }
        assert_eq!(host.reached(), 0);
    };
    where_held_or(&[Promise::Own], none_is_reached_in_any_way, rest);
}

fn none_is_reached_in_any_way(scene: &Scene) {
    let other = scene.directory("other");
    let readable = scene.outside();
    let policy = scene.policy(&format!(
        "package agentguard.sandbox\n\nwrite contains {:?}\n\nread contains {:?}\n",
        other.display().to_string(),
        readable.display().to_string(),
    ));
    let home = scene.root.join("home/.local/state/agentguard/homes/local");
    let inside = [&other, &readable, &scene.root.join("home")].map(|path| path.join("socket"));
    let outside = [&other, &readable, &home].map(|path| path.join("socket"));
    let inside: Vec<_> = inside.iter().map(|path| path.to_str().unwrap()).collect();
    let words: Vec<_> = ["./attack", "late"].into_iter().chain(inside).collect();
    let waiting = Waiting::start(scene, &[&policy], &words);
    let host = Host::listen(scene, &outside);
    let tried = waiting.finish();
    assert_eq!(host.reached(), 0);
    for (name, result) in ODD {
        assert_eq!(tried.result(name), result, "{name}");
    }
    let odd: Vec<_> = ODD.iter().map(|(name, _)| *name).chain(ANY).collect();
    tried.all_are(&["EACCES"], &odd);
    for name in [
        "other-0",
        "other-1",
        "other-2",
        "moved",
        "proc-below-descriptor",
    ] {
        assert_eq!(tried.result(name), "EACCES");
    }
    ANY.iter()
        .for_each(|name| assert_ne!(tried.result(name), "ok"));
    let refusals = scene.refusals();
    assert!(refusals.iter().all(|rule| rule == "sockets/not-granted"));
    assert!(!refusals.is_empty());
    all_are_reached_without_us(scene, &host);
}

/// A pair of datagram sockets too.
fn all_are_reached_without_us(scene: &Scene, host: &Host) {
    let bare = Waiting::bare(scene, &["./attack", "late"]).finish();
    for name in [
        "plain",
        "link",
        "hard-link",
        "moved",
        "proc-root",
        "proc-below-descriptor",
    ] {
        assert_eq!(bare.result(name), "ok", "{name}");
    }
    for name in [
        "packets",
        "not-waiting",
        "without-an-end",
        "pair-sendto",
        "pair-raw-sendmsg",
    ] {
        assert_eq!(bare.result(name), "ok", "{name}");
    }
    assert!(host.reached() > 10);
}

/// What lies in the session's own directories in memory is its own; what policy has lie over them is the host's.
#[test]
fn a_grant_over_a_directory_of_the_sessions_own_makes_no_socket_of_the_hosts_its_own() {
    where_held(&[Promise::Own], |scene| {
        let name = format!("agentguard-{}-{:?}", std::process::id(), scene.who);
        for (grant, path) in [
            ("/tmp", scene.outside().join("socket")),
            ("/dev/shm", Path::new("/dev/shm").join(&name)),
        ] {
            let policy = scene.policy(&format!(
                "package agentguard.sandbox\n\nwrite contains {grant:?}\n"
            ));
            let listener = listen(scene, &path);
            let text = path.display().to_string();
            let ran = scene.run_with(&[&policy], &["./attack", "unix_stream", &text]);
            fs::remove_file(&path).unwrap();
            assert_eq!(ran.tried().result("stream"), "EACCES", "{grant}");
            assert_eq!(connections(&listener), 0, "{grant}");
            let own = format!("{text}-own");
            let ran = scene.run_with(&[&policy], &["./attack", "reach_own", &own]);
            fs::remove_file(&own).unwrap();
            ran.tried().all_are(&["ok"], &[]);
        }
        assert_eq!(scene.refusals(), ["sockets/not-granted"; 2]);
    });
}

/// There the kernel, asked who is bound to a file, would name the host's servers too.
#[test]
fn on_the_hosts_network_its_sockets_are_not_reached_either() {
    as_everyone(|scene| {
        let flags = ["--network=host"];
        let waiting = Waiting::start(scene, &flags, &["./attack", "late"]);
        let host = Host::listen(scene, &[]);
        let tried = waiting.finish();
        for name in ["plain", "link", "hard-link", "moved", "packets"] {
            assert_eq!(tried.result(name), "EACCES", "{name}");
        }
        assert_eq!(host.reached(), 0);
        if level().holds(Promise::Own) {
            let ran = scene.run_with(&flags, &["./attack", "reach_own", "/tmp/own"]);
            ran.tried().all_are(&["ok"], &[]);
        }
    });
}

#[test]
fn a_refused_connection_is_explained_and_recorded() {
    // Nor does a shadow connect what was not granted.
    for flags in [&[][..], &["--shadow"]] {
        as_everyone(|scene| is_explained_and_recorded(scene, flags));
    }
}

fn is_explained_and_recorded(scene: &Scene, flags: &[&str]) {
    let mut command = scene.exec(flags, &["./attack", "late"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut waiting = Waiting::ready(child.stderr(Stdio::piped()).spawn().unwrap());
    let host = listen(scene, &scene.work().join("late"));
    waiting.go();
    let error = BufReader::new(waiting.0.stderr.take().unwrap());
    let lines: Vec<_> = error.lines().map_while(Result::ok).collect();
    waiting.finish();
    assert_eq!(connections(&host), 0);
    let path = scene.work().join("late");
    let told = format!("agentguard: refused: connect to `{}`: ", path.display());
    assert!(
        lines.iter().any(|line| line.starts_with(&told)),
        "{lines:?}"
    );
    let mut kinds = Vec::new();
    scene.each_event(|event| {
        if let Event::Decision {
            action,
            ruling: Ruling::Deny { .. },
            ..
        } = event
        {
            kinds.push(action.clone());
        }
    });
    assert!(
        !kinds.is_empty() && kinds.iter().all(|kind| kind == "connect"),
        "{kinds:?}"
    );
}

#[test]
fn servers_and_clients_of_one_session_find_each_other() {
    where_held(&[Promise::Own], |scene| {
        let home = scene.root.join("home/own").display().to_string();
        let words = [
            "./attack",
            "own",
            "/tmp/own",
            "/var/tmp/own",
            "/dev/shm/own",
            &home,
        ];
        let tried = scene.run(&words).tried();
        let expected = |name: &str| match name.rsplit_once('-') {
            // The mediator connects: its user is the caller's, and its process has no number inside.
            Some((_, "process")) => "ESRCH",
            Some((_, "kill")) => "EINVAL",
            Some((_, "stale")) => "ECONNREFUSED",
            Some((_, "nowhere")) => "EFAULT",
            Some((_, "odd")) => "EINVAL",
            Some((_, "protocol")) => "EPROTONOSUPPORT",
            _ => "ok",
        };
        let others = [
            "file",
            "directory",
            "nothing",
            "below-a-file",
            "other-type",
            "no-mode",
        ];
        for (name, result) in tried.all_but(&others) {
            assert_eq!(result, expected(name), "{name}");
        }
        let results = others.map(|name| tried.result(name));
        let kernels = [
            "ECONNREFUSED",
            "ECONNREFUSED",
            "ENOENT",
            "ENOTDIR",
            "EPROTOTYPE",
            "EACCES",
        ];
        assert_eq!(results, kernels);
        assert!(scene.refusals().is_empty());
    });
}

const GRANT: &str = "package agentguard.sandbox\n\nsockets contains ";

#[test]
fn a_granted_socket_is_reached_by_the_mediator_and_each_connection_recorded() {
    as_everyone(|scene| {
        let path = scene.outside().join("granted");
        let listener = listen(scene, &path);
        listener.set_nonblocking(false).unwrap();
        let file = fs::File::open(scene.write("outside/handed", SECRET)).unwrap();
        let text = path.display().to_string();
        let policy = scene.policy(&format!("{GRANT}{text:?}\n"));
        let hand_in = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reached = [0; 7];
            stream.read_exact(&mut reached).unwrap();
            hand(stream.as_fd(), file.as_fd());
            reached
        });
        let tried = scene
            .run_with(&[&policy], &["./attack", "receive", &text])
            .tried();
        // What is granted may hand descriptors in: that is what a grant means.
        tried.all_are(&["ok"], &[]);
        assert_eq!(&hand_in.join().unwrap(), b"reached");
        let mut allowed = 0;
        scene.each_event(|event| {
            if let Event::Decision {
                action,
                ruling: Ruling::Allow { rule, .. },
                ..
            } = event
            {
                let is_granted = rule.id.as_str() == "sockets/granted";
                allowed += u32::from(action == "connect" && is_granted);
            }
        });
        assert_eq!(allowed, 1);
    });
}

/// What is granted may hand sockets in as well. One of the host's network is connected to nobody, sends to nobody by
/// itself, and serves nobody there.
#[test]
fn a_socket_of_the_hosts_network_that_is_handed_in_is_not_connected() {
    as_everyone(|scene| {
        let (victim, hears) = victims();
        let port = victim.local_addr().unwrap().port().to_string();
        let path = scene.outside().join("granted");
        let listener = listen(scene, &path);
        listener.set_nonblocking(false).unwrap();
        let text = path.display().to_string();
        let policy = scene.policy(&format!("{GRANT}{text:?}\n"));
        let hand_in = std::thread::spawn(move || {
            use rustix::net::{AddressFamily, SocketType, socket};
            let (stream, _) = listener.accept().unwrap();
            for kind in [SocketType::STREAM, SocketType::DGRAM] {
                let handed = socket(AddressFamily::INET, kind, None).unwrap();
                hand(stream.as_fd(), handed.as_fd());
            }
        });
        let words = ["./attack", "handed-in", &text, &port];
        let tried = scene.run_with(&[&policy], &words).tried();
        hand_in.join().unwrap();
        for received in ["received", "received-datagrams"] {
            assert_eq!(tried.result(received), "ok", "{received}");
        }
        for way in [
            "connect",
            "listen",
            "bind",
            "datagram-bind",
            "datagram-sendto",
            "datagram-sendmsg",
            "datagram-sendmmsg",
        ] {
            assert_eq!(tried.result(way), "EACCES", "{way}");
        }
        // Elsewhere it may hear, and answer nobody.
        let links = tried.result("links-elsewhere");
        assert!(links == "EACCES" || level() != Level::Full, "{links}");
        for way in ["fastopen", "fastopen-message", "fastopen-messages"] {
            assert_eq!(tried.result(way), "EOPNOTSUPP", "{way}");
        }
        assert_eq!(victim.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let heard = hears.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(heard.kind(), ErrorKind::WouldBlock);
        let own = tried.all_but(&[]);
        for (own, result) in own.filter(|(name, _)| name.starts_with("own-")) {
            // Elsewhere there is no network of its own.
            assert!(result == "ok" || level() != Level::Full, "{own} {result}");
        }
    });
}

/// Servers on one port of the host's loopback, for connections and for datagrams.
fn victims() -> (std::net::TcpListener, std::net::UdpSocket) {
    loop {
        let victim = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // The port may be somebody else's for datagrams.
        if let Ok(hears) = std::net::UdpSocket::bind(victim.local_addr().unwrap()) {
            victim.set_nonblocking(true).unwrap();
            hears.set_nonblocking(true).unwrap();
            return (victim, hears);
        }
    }
}

#[test]
fn a_connection_that_was_allowed_and_failed_is_told_of() {
    as_everyone(|scene| {
        let path = scene.outside().join("granted");
        let listener = listen(scene, &path);
        let text = path.display().to_string();
        let policy = scene.policy(&format!("{GRANT}{text:?}\n"));
        let tried = scene.run_with(&[&policy], &["./attack", "misfit", &text]);
        assert_eq!(tried.tried().result("misfit"), "EPROTOTYPE");
        assert_eq!(connections(&listener), 0);
        let mut failed = Vec::new();
        scene.each_event(|event| {
            if let Event::Outcome {
                outcome: OutcomeOf::Failed { errno },
                ..
            } = event
            {
                failed.push(*errno);
            }
        });
        assert_eq!(failed, [rustix::io::Errno::PROTOTYPE.raw_os_error()]);
    });
}

fn hand(to: std::os::fd::BorrowedFd<'_>, descriptor: std::os::fd::BorrowedFd<'_>) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    let rights = [descriptor];
    assert!(buffer.push(SendAncillaryMessage::ScmRights(&rights)));
    let text = [rustix::io::IoSlice::new(b"d")];
    sendmsg(to, &text, &mut buffer, SendFlags::empty()).unwrap();
}

#[test]
fn a_grant_is_the_socket_itself_and_no_link_to_another() {
    as_everyone(|scene| {
        let other = listen(scene, &scene.outside().join("other"));
        let path = scene.outside().join("granted");
        std::os::unix::fs::symlink("other", &path).unwrap();
        let text = path.display().to_string();
        let policy = scene.policy(&format!("{GRANT}{text:?}\n"));
        let ran = scene.run_with(&[&policy], &["./attack", "unix_stream", &text]);
        if level() != Level::Full {
            // Nothing is mounted that a link could mislead: what is granted is the link, and it is no socket.
            assert_eq!(ran.tried().result("stream"), "EACCES");
            assert_eq!(connections(&other), 0);
            return;
        }
        assert_eq!(ran.code, Some(125));
        assert!(
            ran.stderr.contains("a symbolic link leads there"),
            "{}",
            ran.stderr
        );
        fs::remove_file(&path).unwrap();
        scene.write("outside/granted", "a file");
        let ran = scene.run_with(&[&policy], &["./attack", "unix_stream", &text]);
        assert!(ran.stderr.contains("it is no socket"), "{}", ran.stderr);
        assert_eq!(connections(&other), 0);
    });
}

#[test]
fn a_rule_may_refuse_a_connection_to_what_is_granted() {
    as_everyone(|scene| {
        let path = scene.outside().join("granted");
        let listener = listen(scene, &path);
        let text = path.display().to_string();
        let policy = scene.policy(&format!("{GRANT}{text:?}\n"));
        scene.write(
            "policy/rule.rego",
            "package agentguard.connect.own\n\ndeny contains {\"id\": \"own/not-now\", \"reason\": \"not now\"} if {\n\
             \tendswith(input.action.caller, \"/attack\")\n}\n",
        );
        let tried = scene
            .run_with(&[&policy], &["./attack", "unix_stream", &text])
            .tried();
        assert_eq!(tried.result("stream"), "EACCES");
        assert_eq!(connections(&listener), 0);
        assert_eq!(scene.refusals(), ["own/not-now"]);
        // Whoever could not be told is recorded as one who was not.
        let silent = format!("./attack unix_stream {text} 2> /dev/null");
        scene.run_with(&[&policy], &["sh", "-c", &silent]);
        assert_eq!(connections(&listener), 0);
        let mut untold = 0;
        scene.each_event(|event| {
            if let Event::Outcome {
                outcome: OutcomeOf::Untold,
                ..
            } = event
            {
                untold += 1;
            }
        });
        assert_eq!(untold, 1);
    });
}

#[test]
fn whoever_waits_in_a_connect_holds_nobody_up() {
    where_held(&[Promise::Own], |scene| {
        let tried = scene.run(&["./attack", "waiting", "200"]).tried();
        assert_eq!(
            (tried.result("full"), tried.result("limit")),
            ("EAGAIN", "EAGAIN")
        );
        for name in ["signal", "signal-within-limit"] {
            assert_eq!(tried.result(name), "EINTR", "{name}");
        }
        for name in ["restarted", "exec", "others-in-time"] {
            assert_eq!(tried.result(name), "ok", "{name}");
        }
    });
}

/// Whoever waits has a thread of the mediator's, and is counted until it is gone.
#[test]
fn so_many_wait_in_a_connect_and_whoever_is_killed_makes_room() {
    where_held(&[Promise::Own], |scene| {
        // As many descriptors as a login shell has.
        let script = format!(
            "ulimit -Sn 1024 && exec {} -- ./attack queued 512",
            scene.guard_words()
        );
        let mut command = scene.command("sh");
        command.args(["-c", &script]);
        let tried = scene.run_command(command).tried();
        assert_eq!(
            (tried.result("told"), tried.result("told-then")),
            ("20", "20")
        );
    });
}

#[test]
fn connects_on_the_sessions_loopback_are_as_the_kernel_makes_them() {
    where_held(&[Promise::Own], |scene| {
        let tried = scene.run(&["./attack", "network"]).tried();
        let bare = scene.run_bare(&["./attack", "network"]).tried();
        assert_eq!(tried, bare);
        assert_eq!(
            (tried.result("begun"), tried.result("done")),
            ("EINPROGRESS", "ok")
        );
    });
}

#[test]
fn a_standard_descriptor_is_no_socket_that_reaches_others() {
    as_everyone(|scene| {
        let (ours, _theirs) = UnixDatagram::pair().unwrap();
        let network = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let network = std::net::TcpStream::connect(network.local_addr().unwrap()).unwrap();
        let (packets, _theirs) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::empty(),
            None,
        )
        .unwrap();
        let sockets: [std::os::fd::OwnedFd; 3] = [ours.into(), network.into(), packets];
        for socket in sockets {
            let mut command = scene.exec(&[], &["true"]);
            command.stdin(Stdio::from(socket));
            let ran = scene.run_command(command);
            assert_eq!(ran.code, Some(125));
            assert!(ran.stderr.contains("outside"), "{}", ran.stderr);
        }
    });
}

/// How often the host was reached, by ours and by one that looks and lets the kernel go on.
fn race(scene: &Scene, kind: &str) -> (usize, usize) {
    let tries = std::env::var("AGENTGUARD_RACES").unwrap_or(TRIES.to_string());
    let mut ours = 0;
    // Where others have the processors, its threads may take turns, and see one of both only.
    let is_seen = (0..LUCK).any(|_| {
        let mut waiting = Waiting::start(scene, &[], &["./attack", "connects", kind, &tries]);
        let host = listen(scene, &scene.work().join("late"));
        waiting.go();
        let tried = waiting.finish();
        ours += connections(&host);
        drop(host);
        for name in ["late", "mine", "mine-too", "link", "next"] {
            let _ = fs::remove_file(scene.work().join(name));
        }
        let has_own = kind == "address" || kind == "link" || kind == "exchange";
        tried.result("refused") == "ok" && (!has_own || tried.result("reached") == "ok")
    });
    assert!(is_seen, "{kind}: only the host's, or only its own was seen");
    let mut waiting = Waiting::bare(scene, &["./attack", "naive", kind, &tries]);
    let host = listen(scene, &scene.work().join("late"));
    waiting.go();
    waiting.finish();
    let naive = connections(&host);
    println!("{kind}: {ours} of {tries} reached the host; {naive} past one that only looks");
    (ours, naive)
}

/// The same where a session has no sockets of its own that it could find meanwhile.
fn reaches_nobody(scene: &Scene, kind: &str) {
    let words = ["./attack", "connects", kind, &TRIES.to_string()];
    let mut waiting = Waiting::start(scene, &[], &words);
    let host = listen(scene, &scene.work().join("late"));
    waiting.go();
    assert_eq!(waiting.finish().result("refused"), "ok", "{kind}");
    assert_eq!(connections(&host), 0, "{kind}");
}

#[test]
fn an_address_that_is_rewritten_reaches_nobody() {
    let race = |scene: &Scene| assert_eq!(race(scene, "address").0, 0);
    where_held_or(&[Promise::Own], race, |scene| {
        reaches_nobody(scene, "address")
    });
}

#[test]
fn a_link_that_is_exchanged_reaches_nobody() {
    let race = |scene: &Scene| assert_eq!(race(scene, "link").0, 0);
    where_held_or(&[Promise::Own], race, |scene| reaches_nobody(scene, "link"));
}

#[test]
fn a_socket_that_is_moved_into_place_reaches_nobody() {
    let race = |scene: &Scene| assert_eq!(race(scene, "exchange").0, 0);
    where_held_or(&[Promise::Own], race, |scene| {
        reaches_nobody(scene, "exchange")
    });
}

#[test]
fn a_socket_whose_mode_changes_reaches_nobody() {
    as_everyone(|scene| assert_eq!(race(scene, "mode").0, 0));
}

#[test]
fn a_descriptor_that_is_exchanged_reaches_nobody_and_did_past_one_that_only_looks() {
    where_held(&[Promise::Own], |scene| {
        let (ours, naive) = race(scene, "descriptor");
        assert!(ours == 0 && naive > 0, "{ours}, {naive}");
    });
}

#[test]
fn a_socket_is_not_reached_while_the_host_makes_it() {
    const BIRTHS: usize = 100;
    as_everyone(|scene| {
        let count = BIRTHS.to_string();
        let mut waiting = Waiting::start(scene, &[], &["./attack", "births", &count]);
        waiting.go();
        let mut output = BufReader::new(waiting.0.stdout.take().unwrap());
        for number in 0..BIRTHS {
            let path = scene.work().join(format!("born-{number}"));
            let listener = UnixListener::bind(&path).unwrap();
            open_to_all(scene, &path);
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line, format!("born-{number} EACCES\n"));
            listener.set_nonblocking(true).unwrap();
            assert_eq!(connections(&listener), 0);
        }
        waiting.0.wait().unwrap();
    });
}
