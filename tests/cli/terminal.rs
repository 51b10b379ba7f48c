//! A person at a terminal: an interactive shell as a session.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::home::Home;

const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal with a session in it.
struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until something is shown that was not before.
    fn shows(&mut self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("`{words}` was never shown, only\n{}", self.shown),
            }
        }
        let end = self.shown.find(words).unwrap() + words.len();
        self.shown.drain(..end);
    }
}

impl Terminal {
    /// A terminal with a shell in it, whose process is told too.
    fn with_shell(home: &Home) -> (Self, Child) {
        let controller =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let user = File::from(open(name.as_c_str(), flags, Mode::empty()).unwrap());
        let child = start(home, &user);
        let keyboard = File::from(controller);
        let terminal = Self {
            screen: watch(keyboard.try_clone().unwrap()),
            keyboard,
            shown: String::new(),
        };
        (terminal, child)
    }
}

#[test]
fn an_interactive_shell_has_job_control_and_gives_the_terminal_back() {
    let home = Home::new();
    let (mut terminal, mut child) = Terminal::with_shell(&home);
    terminal.types("exec agentguard exec -- bash --norc --noediting -i\n");
    terminal.types("echo answer=$((40 + 2))\n");
    terminal.shows("answer=42");
    // An interrupt ends what runs in front, and not the shell. It is a loop of builtins: between a fork and
    // an exec of its own a shell would not be interruptible at once, with or without us.
    terminal.types("sh -c 'echo rea''dy; while :; do :; done'\n");
    terminal.shows("ready");
    terminal.types("\u{3}");
    terminal.types("echo after=$((1 + 1))\n");
    terminal.shows("after=2");
    // A stop hands the terminal to the shell, which can go on with what was stopped.
    terminal.types("sh -c 'echo be''gun; while :; do :; done'\n");
    terminal.shows("begun");
    terminal.types("\u{1a}");
    terminal.shows("Stopped");
    // A shell that has not yet heard of the end of a stopped job refuses to go, once.
    terminal.types("kill -9 %1; wait; exit 3; exit 3\n");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(3), "{}", terminal.shown);
}

/// Keys mean to a session what they mean to any job of a shell's, and all of its group hears of them.
#[test]
fn a_session_is_a_job_of_the_shell_that_started_it() {
    let home = Home::new();
    let (mut terminal, mut child) = Terminal::with_shell(&home);
    let loops = "sh -c \"echo be''gun; until test -e end; do :; done; echo en''ded\"";
    // Of builtins, as above. Alone, and where somebody reads what it writes, so that the terminal is not the session's alone.
    for others in ["", " | cat"] {
        terminal.types(&format!("agentguard exec -- {loops}{others}\n"));
        terminal.shows("begun");
        terminal.types("\u{1a}");
        terminal.shows("Stopped");
        terminal.types("read -r line; echo heard=$line\nwhat is typed\n");
        terminal.shows("heard=what is typed");
        terminal.types("bg; : > end; wait; echo wai''ted; rm end\n");
        terminal.shows("ended");
        terminal.shows("waited");
        let endless = "sh -c \"sh -c 'echo be''gun; while :; do :; done'; echo not\"";
        terminal.types(&format!("agentguard exec -- {endless}{others}\n"));
        terminal.shows("begun");
        terminal.types("\u{3}");
        // What is typed until then is the session's.
        terminal.shows("ended by signal 2");
        terminal.types("echo co''de=${PIPESTATUS[0]}\n");
        terminal.shows("code=130");
    }
    // Stopped, and in front again.
    terminal.types("agentguard exec -- cat\n");
    terminal.types("one\n");
    terminal.shows("one");
    terminal.shows("one");
    terminal.types("\u{1a}");
    terminal.shows("Stopped");
    terminal.types("fg\n");
    terminal.types("two\n");
    terminal.shows("two");
    terminal.shows("two");
    terminal.types("\u{4}");
    terminal.shows("ended with 0");
    terminal.types("stty -a | grep -c -w icanon; exit 3\n");
    terminal.shows("1\r\n");
    assert_eq!(child.wait().unwrap().code(), Some(3), "{}", terminal.shown);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the terminal is made around the command under test"
)]
fn start(home: &Home, terminal: &File) -> Child {
    let stdio = || Stdio::from(terminal.try_clone().unwrap());
    // What is started in the background of a script ignores interrupts, a suite of tests as well, and so would
    // all that runs at this terminal.
    let mut command = Command::new("env");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_agentguard"))
        .parent()
        .unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binary.display());
    command
        .args(["--default-signal", "setsid", "--ctty", "--wait"])
        .args(["bash", "--norc", "--noediting", "-i"])
        .current_dir(home.work());
    command
        .env_clear()
        .env("HOME", home.root().join("home"))
        .env("PATH", path)
        .env("TERM", "dumb");
    command
        .stdin(stdio())
        .stdout(stdio())
        .stderr(stdio())
        .spawn()
        .unwrap()
}

/// Reads in a thread of its own, so that a test can give up.
fn watch(mut screen: File) -> Receiver<Vec<u8>> {
    let (seen, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = screen.read(&mut buffer) {
            let bytes = buffer.iter().take(length).copied().collect();
            if seen.send(bytes).is_err() {
                return;
            }
        }
    });
    receiver
}
