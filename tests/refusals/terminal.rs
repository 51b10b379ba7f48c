//! Terminals: what somebody types there is theirs, and so is how it is set.

use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::attack::Tried;
use crate::lifetime::{PATIENCE, stop, until, with_argument};
use crate::scene::{Scene, as_everyone};
use crate::session::status;
use crate::streams::state;

/// A terminal of somebody's, and the end at which they sit.
pub(crate) struct Terminal {
    controller: OwnedFd,
    pub(crate) path: PathBuf,
}

impl Terminal {
    pub(crate) fn of(scene: &Scene) -> Self {
        let controller =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let path = ptsname(&controller, Vec::new()).unwrap();
        let path = PathBuf::from(path.into_string().unwrap());
        scene.own(&path);
        Self { controller, path }
    }

    /// Runs a script of bash's with job control, whose terminal this is.
    pub(crate) fn start(&self, scene: &Scene, script: &str) -> (File, Child) {
        let stream = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(&self.path)
            .unwrap();
        let mut command = scene.command("setsid");
        command.args(["--ctty", "--wait", "bash", "-m", "-c", script]);
        for set in [Command::stdin, Command::stdout, Command::stderr] {
            set(&mut command, stream.try_clone().unwrap());
        }
        (stream, command.spawn().unwrap())
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.controller).unwrap();
        !modes.local_modes.contains(LocalModes::ICANON)
    }

    pub(crate) fn type_in(&self, text: &str) {
        rustix::io::write(&self.controller, text.as_bytes()).unwrap();
    }

    /// Waits for a process, and reads meanwhile what comes.
    pub(crate) fn wait(&self, mut child: Child, mut also: impl FnMut()) -> String {
        let begun = Instant::now();
        let mut shown = Vec::new();
        rustix::fs::fcntl_setfl(&self.controller, OFlags::NONBLOCK).unwrap();
        loop {
            also();
            let is_over = child.try_wait().unwrap().is_some();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = rustix::io::read(&self.controller, &mut bytes) {
                shown.extend_from_slice(&bytes[..count]);
            }
            let shown = String::from_utf8_lossy(&shown);
            if is_over {
                return shown.into_owned();
            }
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("it does not end: {shown}");
            }
            // What is waited for are a process, files and a terminal that may be hung up: nothing tells of them all.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_terminal_is_left_as_it_was() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let before = state(&terminal.path);
        let modes = format!("{:?}", tcgetattr(&terminal.controller).unwrap());
        for end in ["", "; kill -9 0"] {
            let script = format!(
                "{} -- sh -c './attack standard 0 > tried{end}'; : the shell stays",
                scene.guard_words()
            );
            let (stream, child) = terminal.start(scene, &script);
            let shown = terminal.wait(child, || {});
            assert!(!fcntl_getfl(&stream).unwrap().contains(OFlags::NONBLOCK));
            let tried = fs::read_to_string(scene.work().join("tried"));
            let tried = Tried::of(&tried.expect(&shown));
            assert_eq!(tried.result("raw"), "ok");
            assert_eq!(tried.result("mode"), "EPERM");
            assert_eq!(state(&terminal.path), before, "{shown}");
            assert_eq!(
                format!("{:?}", tcgetattr(&stream).unwrap()),
                modes,
                "{shown}"
            );
        }
        let (stream, child) = terminal.start(scene, "./attack standard 0 > tried");
        terminal.wait(child, || {});
        assert_ne!(format!("{:?}", tcgetattr(&stream).unwrap()), modes);
        assert_ne!(state(&terminal.path), before);
    });
}

/// A session gives back what it was given: one that ends in the background has nothing, nor has one that is stopped
/// there, as who reads is.
#[test]
fn a_session_in_the_background_takes_the_terminal_from_nobody() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let guard = scene.guard_words();
        let reader = format!("reader-{}", std::process::id());
        let script = format!(
            "{guard} -- sh -c cat {reader} & {{ {guard} -- true; : > over; }} & \
             cat > heard && : > read; kill -KILL %1; wait"
        );
        let over = scene.work().join("over");
        let (_stream, child) = terminal.start(scene, &script);
        let mut is_typed = false;
        // They are gone once it was typed.
        let are_stopped = || {
            let readers = with_argument(&reader);
            let is_stopped = |one: &u32| status(*one, "State:").starts_with('T');
            !readers.is_empty() && readers.iter().all(is_stopped)
        };
        terminal.wait(child, || {
            if !is_typed && over.exists() && are_stopped() {
                terminal.type_in("a line\n\x04");
                is_typed = true;
            }
        });
        let heard = fs::read_to_string(scene.work().join("heard")).unwrap();
        assert_eq!(heard, "a line\n");
        for file in ["read", "over"] {
            fs::remove_file(scene.work().join(file)).unwrap();
        }
    });
}

/// Whoever reads from a terminal in the background is stopped, each time.
#[test]
fn a_session_that_is_stopped_anew_in_the_background_comes_to_the_front() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let front = scene.work().join("front");
        let script = format!(
            "stopped() {{ until jobs -s | grep -q .; do sleep 0.05; done; }}; \
             {} -- cat & stopped; bg > /dev/null; stopped; : > front; fg",
            scene.guard_words()
        );
        let (_stream, child) = terminal.start(scene, &script);
        let mut is_typed = false;
        let shown = terminal.wait(child, || {
            // What is typed earlier is shown twice.
            if front.exists() && terminal.is_raw() && !is_typed {
                terminal.type_in("a line\n\x04");
                is_typed = true;
            }
        });
        // Once as it was typed, and once by the session.
        assert_eq!(shown.matches("a line").count(), 2, "{shown}");
        fs::remove_file(front).unwrap();
    });
}

/// What is told of a terminal: its size, and each of its modes.
const TOLD: &str = "stty -a";
const LINES: &str = "one secret\nanother\na third\n";

/// Types while the shell is in front and `start` is behind. Returns what the shell heard, what the session did, and
/// whether the terminal was as before meanwhile.
fn type_behind(scene: &Scene, start: &str) -> (String, String, bool) {
    let files = [
        "ready", "asks", "typed", "heard", "stolen", "before", "after", "end",
    ];
    let [_, asks, typed, heard, stolen, before, after, _] =
        files.map(|name| scene.work().join(name));
    let terminal = Terminal::of(scene);
    let wait_for = |name: &str| format!("until test -e {name}; do sleep 0.05; done");
    let script = format!(
        "{TOLD} > before; {start}\n {}; : > asks; {}; sleep 0.5; {TOLD} > after; \
         while read -r -t 1 line; do echo \"$line\"; done > heard; : > end; kill -CONT %1; wait",
        wait_for("ready"),
        wait_for("typed"),
    );
    let (_stream, child) = terminal.start(scene, &script);
    let shown = terminal.wait(child, || {
        if asks.exists() && !typed.exists() {
            terminal.type_in(LINES);
            scene.write("home/work/typed", "");
        }
    });
    let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
    let found = (read(&heard), read(&stolen), read(&before) == read(&after));
    assert!(!read(&before).is_empty(), "{shown}");
    for file in files {
        let _ = fs::remove_file(scene.work().join(file));
    }
    found
}

#[test]
fn what_is_typed_while_a_session_is_behind_is_not_its_to_read() {
    as_everyone(|scene| {
        let guard = format!("{} --", scene.guard_words());
        for attack in ["apart", "front", "modes"] {
            for start in [
                format!("{guard} ./attack behind {attack} > tried &"),
                format!("{guard} sh -c './attack behind {attack} stop > tried'"),
            ] {
                let (heard, stolen, is_as_before) = type_behind(scene, &start);
                assert_eq!((heard.as_str(), stolen.as_str()), (LINES, ""), "{start}");
                assert!(is_as_before, "{start}");
                let tried = fs::read_to_string(scene.work().join("tried")).unwrap();
                let tried = Tried::of(&tried);
                tried.all_are(&["ok"], &[]);
            }
        }
        let start = |attack: &str| format!("./attack behind {attack} > tried &");
        let (heard, stolen, _) = type_behind(scene, &start("apart"));
        assert_eq!((heard.as_str(), stolen.as_str()), ("", LINES));
        let (.., is_as_before) = type_behind(scene, &start("modes"));
        assert!(!is_as_before);
    });
}

#[test]
fn a_session_is_told_how_large_its_terminal_is() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let size = |ws_row, ws_col| Winsize {
            ws_row,
            ws_col,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal.controller, size(33, 99)).unwrap();
        let script = format!(
            "{} -- bash -c 'trap \"stty size > second\" WINCH; stty size > first; \
             until test -e second; do sleep 0.05; done'",
            scene.guard_words()
        );
        let (_stream, child) = terminal.start(scene, &script);
        let [first, second] = ["first", "second"].map(|name| scene.work().join(name));
        let mut is_resized = false;
        let shown = terminal.wait(child, || {
            let told = fs::read_to_string(&first).unwrap_or_default();
            if told == "33 99\n" && !is_resized {
                is_resized = true;
                tcsetwinsize(&terminal.controller, size(44, 88)).unwrap();
            }
        });
        assert_eq!(fs::read_to_string(&second).expect(&shown), "44 88\n");
        for file in [first, second] {
            fs::remove_file(file).unwrap();
        }
    });
}

/// Also one that hears no signal of it.
#[test]
fn a_session_whose_terminal_is_gone_reads_its_end() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let name = format!("hung-up-{}", std::process::id());
        let script = format!(
            "trap '' HUP; {} -- sh -c 'trap \"\" HUP; : > ready; cat' {name}",
            scene.guard_words()
        );
        let (stream, mut child) = terminal.start(scene, &script);
        let ready = scene.work().join("ready");
        until("it reads", || ready.exists());
        drop((stream, terminal));
        until("it has ended", || with_argument(&name).is_empty());
        child.wait().unwrap();
        fs::remove_file(ready).unwrap();
    });
}

/// A guard that was stopped by somebody, and not with its agent, has not given the terminal back.
#[test]
fn a_session_whose_guard_was_stopped_has_the_terminal_again() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let name = format!("halted-{}", std::process::id());
        let script = format!(
            "{} -- sh -c ': > ready; cat > heard' {name}; stty sane; : > sent; fg",
            scene.guard_words()
        );
        let [ready, sent, heard] = ["ready", "sent", "heard"].map(|name| scene.work().join(name));
        let (_stream, child) = terminal.start(scene, &script);
        let (mut is_halted, mut is_typed) = (false, false);
        let shown = terminal.wait(child, || {
            if ready.exists() && !is_halted && terminal.is_raw() {
                let is_guard = |one: &u32| {
                    let name = fs::read_to_string(format!("/proc/{one}/comm"));
                    name.is_ok_and(|name| name.trim_end() == "agentguard")
                };
                let all = with_argument(&name).into_iter();
                all.filter(is_guard).for_each(stop);
                is_halted = true;
            }
            if sent.exists() && terminal.is_raw() && !is_typed {
                terminal.type_in("a line\n\x04");
                is_typed = true;
            }
        });
        assert_eq!(fs::read_to_string(&heard).unwrap(), "a line\n", "{shown}");
        assert!(!terminal.is_raw());
        for file in [ready, sent, heard] {
            fs::remove_file(file).unwrap();
        }
    });
}

/// With its end, which is no byte.
#[test]
fn what_was_typed_before_a_session_came_forward_is_heard_there() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let script = format!(
            ": > asks; until test -e typed; do sleep 0.05; done; {} -- cat > heard",
            scene.guard_words()
        );
        let [asks, typed, heard] = ["asks", "typed", "heard"].map(|name| scene.work().join(name));
        let (_stream, child) = terminal.start(scene, &script);
        terminal.wait(child, || {
            if asks.exists() && !typed.exists() {
                terminal.type_in("one\n\ntwo\n\x04");
                scene.write("home/work/typed", "");
            }
        });
        assert_eq!(fs::read_to_string(&heard).unwrap(), "one\n\ntwo\n");
        for file in [asks, typed, heard] {
            fs::remove_file(file).unwrap();
        }
    });
}
