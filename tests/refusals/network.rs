//! Sockets: the host's network, its unix sockets, and kinds that no rule would see.

use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use agentguard::core::{Level, Promise};

use crate::scene::{Scene, as_everyone, level};

/// What came in, if anything did.
fn taken(listener: &UnixListener) -> Option<String> {
    listener.set_nonblocking(true).unwrap();
    match listener.accept() {
        Ok((mut stream, _)) => {
            let mut text = String::new();
            stream.set_nonblocking(false).unwrap();
            stream.read_to_string(&mut text).unwrap();
            Some(text)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// A network that is new has `lo`, and one device for each kind of tunnel that its kernel has built in or loaded.
/// What was told has to end with these, as `/proc/net/dev` lists them.
pub(crate) fn assert_no_devices_but_a_new_ones(scene: &Scene, told: &str) {
    let devices = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '";
    let network = ["unshare", "--user", "--map-root-user", "--net"];
    let new = scene.run_bare(&[&network[..], &["sh", "-c", devices]].concat());
    assert!(new.stdout.starts_with("lo\n"), "{}", new.stderr);
    let (_, listed) = told.split_once("\nreached no\n").unwrap();
    assert_eq!(listed, new.stdout);
}

fn reachable_by_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
}

fn abstract_listener(scene: &Scene) -> (String, UnixListener) {
    let name = format!("agentguard-{}-{:?}", std::process::id(), scene.who);
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    (name, UnixListener::bind_addr(&address).unwrap())
}

#[test]
fn the_hosts_loopback_and_everything_beyond_it_is_not_there() {
    as_everyone(|scene| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).unwrap();
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let tried = scene.run(&["./attack", "tcp", &port.to_string()]).tried();
        // A datagram goes to the session's own loopback, where nobody is.
        if level() == Level::Full {
            tried.all_are(&["ECONNREFUSED", "ENETUNREACH", "EPERM"], &["udp"]);
        } else {
            // Without a network of its own a session has no such socket.
            tried.all_are(&["EAFNOSUPPORT", "EBADF"], &[]);
        }
        udp.set_nonblocking(true).unwrap();
        for listener in [&listener, &six] {
            listener.set_nonblocking(true).unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert_eq!(
            udp.recv(&mut [0; 16]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let bare = scene
            .run_bare(&["./attack", "tcp", &port.to_string()])
            .tried();
        assert_eq!((bare.result("tcp"), bare.result("udp")), ("ok", "ok"));
        assert!(listener.accept().is_ok() && udp.recv(&mut [0; 16]).is_ok());
    });
}

#[test]
fn a_granted_port_is_reached_and_no_other() {
    as_everyone(|scene| {
        if level() != Level::Full {
            return no_port_is_granted(scene);
        }
        let granted = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = granted.local_addr().unwrap().port().to_string();
        let flag = format!("--port={port}");
        let tried = scene
            .run_with(&[&flag], &["./attack", "tcp", &port])
            .tried();
        assert_eq!(tried.result("tcp"), "ok");
        assert_eq!(tried.result("mptcp"), "EPERM");
        let (mut stream, _) = granted.accept().unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "reached");
        let closed = other.local_addr().unwrap().port().to_string();
        let tried = scene
            .run_with(&[&flag], &["./attack", "tcp", &closed])
            .tried();
        assert_eq!(tried.result("tcp"), "ECONNREFUSED");
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

/// What cannot be held is refused before anything runs.
fn no_port_is_granted(scene: &Scene) {
    let ran = scene.run_with(&["--port=9"], &["sh", "-c", "echo ran > ran"]);
    assert_eq!(ran.code, Some(125));
    assert!(
        ran.stderr
            .contains("no loopback on which a port could appear")
    );
    assert!(!scene.work().join("ran").exists());
}

#[test]
fn sockets_that_no_network_rule_would_see_cannot_be_made() {
    as_everyone(|scene| {
        let neighbours = [
            "neighbour-tcp",
            "neighbour-unix",
            "neighbour-route",
            "neighbour-interfaces",
        ];
        for flags in [&[][..], &["--network=host"]] {
            let tried = scene.run_with(flags, &["./attack", "sockets"]).tried();
            if level() != Level::Full && flags.is_empty() {
                tried.all_are(&["EAFNOSUPPORT"], &["neighbour-unix"]);
                continue;
            }
            for neighbour in neighbours {
                assert_eq!(tried.result(neighbour), "ok");
            }
            tried.all_are(&["EPERM", "EAFNOSUPPORT", "EPROTONOSUPPORT"], &neighbours);
            for refused in [
                "mptcp",
                "mptcp6",
                "sctp",
                "raw",
                "raw6",
                "old-packet",
                "netlink-audit",
                "netlink-raw",
            ] {
                assert_eq!(tried.result(refused), "EPERM", "{refused}");
            }
            for refused in ["packet", "vsock", "alg", "smc", "xdp"] {
                assert_eq!(tried.result(refused), "EAFNOSUPPORT", "{refused}");
            }
        }
    });
}

#[test]
fn a_session_has_an_address_of_each_family_for_who_looks_up_by_that() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "lookups"]).tried();
        assert_eq!(tried.result("four"), "ok");
        assert_eq!(tried.result("localhost"), "ok");
        let six = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        if !six.is_empty() {
            assert_eq!(tried.result("six"), "ok");
        }
    });
}

#[test]
fn abstract_sockets_outside_cannot_be_reached() {
    as_everyone(|scene| {
        let (name, listener) = abstract_listener(scene);
        let bare = scene.run_bare(&["./attack", "abstract", &name]).tried();
        assert_eq!(bare.result("stream"), "ok");
        assert_eq!(taken(&listener).as_deref(), Some("reached"));
        let tried = scene.run(&["./attack", "abstract", &name]).tried();
        let refused = match level() {
            Level::Full => "ECONNREFUSED",
            Level::NoNamespaces | Level::OldKernel => "EPERM",
        };
        assert_eq!(tried.result("stream"), refused);
        // On the host's network only Landlock holds it.
        let tried = scene
            .run_with(&["--network=host"], &["./attack", "abstract", &name])
            .tried();
        assert_eq!(tried.result("stream"), "EPERM");
        assert_eq!(taken(&listener), None);
    });
}

#[test]
fn unix_sockets_outside_are_not_there() {
    as_everyone(|scene| {
        let path = scene.outside().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let datagrams = scene.outside().join("datagrams");
        let receiver = UnixDatagram::bind(&datagrams).unwrap();
        reachable_by_all(&path);
        reachable_by_all(&datagrams);
        let (path, datagrams) = (path.display().to_string(), datagrams.display().to_string());
        for flags in [&[][..], &["--network=host"]] {
            let tried = scene
                .run_with(flags, &["./attack", "unix_stream", &path])
                .tried();
            // What has a name there is refused as a connection.
            let refused = match level().holds(Promise::Names) {
                true => ["ENOENT", "ENOENT"],
                false => ["EACCES", "EPERM"],
            };
            tried.all_are(&refused, &[]);
            let tried = scene
                .run_with(flags, &["./attack", "unix_datagram", &datagrams])
                .tried();
            tried.all_are(&["EPERM", "EBADF"], &[]);
        }
        receiver.set_nonblocking(true).unwrap();
        assert_eq!(
            receiver.recv(&mut [0; 16]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(taken(&listener), None);
        let bare = scene
            .run_bare(&["./attack", "unix_datagram", &datagrams])
            .tried();
        bare.all_are(&["ok"], &[]);
        assert!(receiver.recv(&mut [0; 16]).is_ok());
    });
}

#[test]
fn a_socket_that_lay_in_the_workspace_is_covered() {
    as_everyone(|scene| {
        let path = scene.work().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        reachable_by_all(&path);
        let tried = scene.run(&["./attack", "unix_stream", "socket"]).tried();
        assert_ne!(tried.result("stream"), "ok");
        assert_eq!(taken(&listener), None);
        let bare = scene
            .run_bare(&["./attack", "unix_stream", "socket"])
            .tried();
        assert_eq!(bare.result("stream"), "ok");
    });
}

#[test]
fn sockets_of_the_systems_services_are_not_there() {
    as_everyone(|scene| {
        let script = "find / -type s 2>/dev/null; ls /run /var /var/run /var/lib/docker";
        let ran = scene.run(&["sh", "-c", script]);
        let seen: Vec<_> = ran.stdout.lines().collect();
        if !level().holds(Promise::Names) {
            assert!(seen.is_empty(), "{seen:?}");
            return;
        }
        // What distributions keep elsewhere is granted where it is: `policies/files.rego`.
        let granted = ["cache", "lib"];
        let rest = seen.into_iter().filter(|line| !granted.contains(line));
        let rest: Vec<_> = rest.collect();
        assert_eq!(rest, ["/run:", "agentguard", "", "/var:", "tmp"]);
    });
}
