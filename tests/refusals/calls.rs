//! System calls that lists of this kind tend to forget.

use std::io::{BufRead as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use agentguard::core::{Level, Promise};

use crate::scene::{as_everyone, level};

#[test]
fn calls_that_lists_forget_are_refused_or_do_not_exist() {
    let has_nodes = Path::new("/proc/self/numa_maps").exists();
    if !has_nodes {
        println!("this kernel moves nobody's pages: it knows no nodes of memory (CONFIG_NUMA)");
    }
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "forgotten"]).tried();
        for (name, result) in tried.all_but(&[]) {
            let expected = match name.split('-').next() {
                // It is an option of a socket, and without namespaces there are none of the network.
                Some("neighbour") if name == "neighbour-option" && level() < Level::Full => "EBADF",
                Some("neighbour") if name == "neighbour-own-pages" && !has_nodes => "ENOSYS",
                Some("neighbour") => "ok",
                Some("absent") => "ENOSYS",
                // No file system of a test's is of these kinds.
                Some("beside") if level() == Level::Full => "ENOTTY",
                Some(_) | None => "EPERM",
            };
            assert_eq!(result, expected, "{name}");
        }
    });
}

#[test]
fn a_filter_and_a_domain_of_its_own_give_nothing_back() {
    as_everyone(|scene| {
        let secret = scene.root.join("home/.ssh/id_ed25519");
        let ran = scene.run(&["./attack", "narrower", secret.to_str().unwrap()]);
        let tried = ran.tried();
        let neighbours = ["neighbour-rule", "neighbour-domain", "neighbour-filter"];
        for neighbour in neighbours {
            assert_eq!(tried.result(neighbour), "ok", "{neighbour}");
        }
        tried.all_are(&["EPERM", "EACCES", "ENOENT", "EROFS"], &neighbours);
    });
}

/// The mediator acts with the session's rights, and knows nothing of what a process gave up of them for itself.
#[test]
fn what_a_process_gave_up_is_given_back_by_no_more_than_its_session_has() {
    as_everyone(|scene| {
        for directory in ["home/work/.git", "home/work/.git/hooks"] {
            scene.directory(directory);
        }
        scene.write("home/work/notes", "as it was");
        let outside = scene.outside().join("given-up").display().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let words = ["./attack", "given_up", &outside, &port];
        let bare = scene.run_bare(&words).tried();
        for held in ["directory", "connect", "write", "remove"] {
            assert_eq!(
                bare.result(held),
                "EACCES",
                "{held}: its own domain holds it"
            );
        }
        assert_eq!(bare.result("link"), "ENOTTY");
        let tried = scene.run(&words).tried();
        if level().holds(Promise::Pins) {
            assert_eq!(tried.result("directory"), "ok");
            assert_eq!(tried.result("write"), "ok");
        }
        assert_eq!(
            tried.result("remove"),
            "EACCES",
            "what is not asked about is the kernel's"
        );
        assert_eq!(
            tried.result("link"),
            "ENOTTY",
            "a filter of its own comes first"
        );
        // Where it connects to is the session's own loopback, or nowhere.
        assert_ne!(tried.result("connect"), "ok");
        for never in ["outside", "place", "system"] {
            let refused = ["EROFS", "EACCES", "ENOENT", "EPERM"];
            assert!(refused.contains(&tried.result(never)), "{never}");
        }
        assert!(!scene.outside().join("given-up").exists());
        assert_eq!(
            listener
                .set_nonblocking(true)
                .map(|()| listener.accept().is_err())
                .ok(),
            Some(true)
        );
    });
}

#[test]
fn how_the_sessions_pid_1_runs_cannot_be_changed() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "first_process"]).tried();
        let mut neighbours = 0;
        for (name, result) in tried.all_but(&[]) {
            let is_neighbour = name.starts_with("neighbour");
            neighbours += u32::from(is_neighbour);
            assert_eq!(result, if is_neighbour { "ok" } else { "EPERM" }, "{name}");
        }
        assert_eq!(neighbours, 4);
    });
}

#[test]
fn a_file_that_may_be_read_makes_nobody_wait() {
    as_everyone(|scene| {
        let file = scene.write("home/work/leased", "text");
        let path = file.to_str().unwrap();
        let bare = scene.run_bare(&["./attack", "lease", path]).tried();
        assert_eq!(bare.result("lease"), "ok");
        let tried = scene.run(&["./attack", "lease", path]).tried();
        assert_eq!(tried.result("open"), "ok");
        // What no kernel before Linux 6.19 knows is refused by its number all the same.
        tried.all_are(&["EPERM"], &["open"]);
    });
}

#[test]
fn queues_and_semaphores_of_the_host_are_not_there() {
    as_everyone(|scene| {
        let key = 0x4148_0000 + std::process::id() % 0xffff + 7 * u32::from(scene.is_ordinary());
        let key = key.to_string();
        let mut command = scene.command(scene.work().join("attack"));
        command.args(["queues", &key, "make"]);
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = std::io::BufReader::new(holder.stdout.take().unwrap());
        let made: Vec<_> = output.lines().take(5).map(Result::unwrap).collect();
        assert!(made.iter().all(|line| line.ends_with(" ok")), "{made:?}");
        let bare = scene.run_bare(&["./attack", "queues", &key]).tried();
        bare.all_are(&["ok"], &[]);
        let tried = scene.run(&["./attack", "queues", &key]).tried();
        match level() {
            Level::Full => tried.all_are(&["ENOENT"], &[]),
            // They are the host's there, and no call and no path leads to them.
            Level::NoNamespaces | Level::OldKernel => tried.all_are(&["ENOSYS", "EACCES"], &[]),
        }
        holder.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(holder.wait().unwrap().success());
    });
}

#[test]
fn a_console_cannot_be_told_what_its_keys_are() {
    as_everyone(|scene| {
        let tried = scene.run(&["./attack", "consoles"]).tried();
        tried.all_are(&["EPERM"], &[]);
    });
}
