//! Credentials: what stands for a token is inside, and the token is nowhere.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::Stdio;

use agentguard::core::{CredentialAct, Event};

use crate::lifetime::{parent, until};
use crate::scene::{Ran, Scene, as_everyone, level};

const KEPT: &str = "ghp_KEPTkept0123456789KEPTkept01234567890";
const NAMED: &str = "sk-ant-api03-NAMEDnamed0123456789NAMEDnamed0123456789";
const POLICY: &str = "package agentguard.sandbox\n\nhosts contains \"api.test\"\n\n\
                      addresses contains {\"host\": \"api.test\", \"at\": \"127.0.0.1:1\"}\n\n";

/// `agentguard credential` with these words, and a token on stdin.
fn credential(scene: &Scene, words: &[&str], token: &str) -> Ran {
    let mut command = scene.command(scene.root.join("agentguard"));
    command.arg("credential").args(words).env("NAMED", NAMED);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    if let Err(error) = child.stdin.take().unwrap().write_all(token.as_bytes()) {
        // A word that reads no token may have ended by now.
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
    Ran::of(child.wait_with_output().unwrap())
}

/// A policy that grants a host and these credentials.
fn policy(scene: &Scene, names: &[&str]) -> String {
    let names = names
        .iter()
        .map(|name| format!("credentials contains \"{name}\"\n\n"));
    let text = format!("{POLICY}{}", names.collect::<String>());
    scene.policy(&text)
}

/// Adds one that is kept, and one that is read from the guard's environment.
fn add_both(scene: &Scene) {
    let kept = [
        "add",
        "kept",
        "--host",
        "api.test",
        "--variable",
        "KEPT_TOKEN",
    ];
    assert_eq!(credential(scene, &kept, KEPT).code, Some(0));
    let named = "add named --host api.test --variable NAMED_TOKEN --from-env NAMED";
    let named: Vec<_> = named.split(' ').collect();
    assert_eq!(credential(scene, &named, "").code, Some(0));
}

/// Whether the memory of a process holds `token`, as far as we may read it.
fn holds(process: u32, token: &str) -> bool {
    let Ok(maps) = fs::File::open(format!("/proc/{process}/maps")) else {
        return false;
    };
    let Ok(mut memory) = fs::File::open(format!("/proc/{process}/mem")) else {
        return false;
    };
    BufReader::new(maps)
        .lines()
        .map_while(Result::ok)
        .any(|line| {
            let range = line.split_whitespace().next().unwrap_or_default();
            let (from, to) = range.split_once('-').unwrap();
            let from = u64::from_str_radix(from, 16).unwrap();
            let to = u64::from_str_radix(to, 16).unwrap();
            // Not what is reserved and holds nothing.
            let length = usize::try_from(to - from).unwrap();
            if !line.contains(" r") || length > (256 << 20) {
                return false;
            }
            let mut bytes = vec![0; length];
            let read = memory
                .seek(SeekFrom::Start(from))
                .and_then(|_| memory.read_exact(&mut bytes));
            // What is no text in it does not matter.
            read.is_ok() && String::from_utf8_lossy(&bytes).contains(token)
        })
}

fn processes() -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap();
    all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether `process` is `above`, or was started by it or by one that it started.
fn is_below(above: u32, process: u32) -> bool {
    let mut line = std::iter::successors(Some(process), |number| parent(*number));
    line.any(|number| number == above)
}

fn arguments(process: u32) -> String {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn inside_there_is_what_stands_for_a_token_and_the_token_nowhere() {
    as_everyone(|scene| {
        add_both(scene);
        let script = "env; cat /proc/self/environ /proc/[0-9]*/environ; cat \"$HOME\"/.local/state/agentguard/credentials/*; \
                      grep -rs -e KEPTkept -e NAMEDnamed \"$HOME\" /tmp /var/tmp /dev/shm /run . ; true";
        let policy = policy(scene, &["kept", "named"]);
        let mut command = scene.exec(&[&policy, "--env=NAMED_TOKEN"], &["sh", "-c", script]);
        // What the caller calls by such a name stays outside as well.
        command.env("NAMED", NAMED).env("NAMED_TOKEN", NAMED);
        let ran = scene.run_command(command);
        assert_eq!(ran.code, Some(0));
        for token in [KEPT, NAMED, "KEPTkept", "NAMEDnamed"] {
            assert!(!ran.stdout.contains(token), "{}", ran.stdout);
            assert!(!ran.stderr.contains(token), "{}", ran.stderr);
        }
        let value = |name: &str| {
            let mut lines = ran.stdout.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)).unwrap();
            value.to_owned()
        };
        let (kept, named) = (value("KEPT_TOKEN="), value("NAMED_TOKEN="));
        assert!(kept.starts_with("ghp_") && kept.len() == KEPT.len());
        assert!(named.starts_with("sk-ant-api03-") && named.len() == NAMED.len());
        for told in [
            "`kept` is lent, in `KEPT_TOKEN`",
            "`named` is lent, in `NAMED_TOKEN`",
        ] {
            assert!(ran.stderr.contains(told), "{}", ran.stderr);
        }
        let mut acts = Vec::new();
        let mut listed = Vec::new();
        scene.each_event(|event| {
            if let Event::Credential { act, handle, .. } = event {
                acts.push((*act, handle.clone()));
            }
            if let Event::Start { credentials, .. } = event {
                listed.extend(credentials.iter().map(ToString::to_string));
            }
        });
        assert_eq!(listed, ["kept", "named"]);
        let mint = |name: &str| (CredentialAct::Mint, name.to_owned());
        assert_eq!(acts, [mint("kept"), mint("named")]);
    });
}

#[test]
fn no_process_of_a_session_has_a_token_in_its_memory() {
    as_everyone(|scene| {
        add_both(scene);
        let policy = policy(scene, &["kept", "named"]);
        let script =
            "echo $KEPT_TOKEN > lent; mv lent began; while ! test -e over; do sleep 0.05; done";
        let mut command = scene.guard_at(level());
        command
            .args([&policy, "--", "sh", "-c", script])
            .env("NAMED", NAMED);
        let mut guard = command.spawn().unwrap();
        let began = scene.work().join("began");
        until("a session lives", || began.exists());
        let placeholder = fs::read_to_string(&began).unwrap();
        let mediators: Vec<_> = processes()
            .into_iter()
            .filter(|number| parent(*number) == Some(guard.id()))
            .filter(|number| arguments(*number).contains("agentguard-mediator"))
            .collect();
        let inside: Vec<_> = processes()
            .into_iter()
            .filter(|number| mediators.iter().any(|above| is_below(*above, *number)))
            .collect();
        let found: Vec<_> = inside
            .iter()
            .filter(|number| holds(**number, "KEPTkept") || holds(**number, "NAMEDnamed"))
            .collect();
        // The look itself sees what is there.
        let seen = inside
            .iter()
            .any(|number| holds(*number, placeholder.trim()));
        let of_guard = holds(guard.id(), "NAMEDnamed");
        scene.write("home/work/over", "");
        guard.wait().unwrap();
        assert!(inside.len() >= 3, "{inside:?}");
        assert!(seen, "nobody has what stands for it");
        assert!(of_guard, "not even the guard has the token");
        assert!(found.is_empty(), "{found:?} of {inside:?}");
    });
}

#[test]
fn what_cannot_be_lent_is_told_and_the_session_goes_without_it() {
    as_everyone(|scene| {
        for (name, host, more) in [
            ("others", "api.test", "--agent=ci-7"),
            ("far", "other.test", "--variable=FAR"),
            ("unread", "api.test", "--from-env=NAMED"),
            ("back", "api.test", "--variable=BACK"),
        ] {
            let words = ["add", name, "--host", host, more];
            assert_eq!(credential(scene, &words, KEPT).code, Some(0));
        }
        assert_eq!(credential(scene, &["revoke", "back"], "").code, Some(0));
        let policy = policy(scene, &["missing", "others", "far", "unread", "back"]);
        let ran = scene.run_with(&[&policy], &["sh", "-c", "env"]);
        assert_eq!(ran.code, Some(0));
        for told in [
            "`missing` is not lent: there is none",
            "`others` is not lent: it is for other agents than `local`",
            "`far` is not lent: the session is granted none of the hosts",
            "`unread` is not lent: the token is in the variable `NAMED`, which is not set",
            "`back` is not lent: it was revoked",
        ] {
            assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
        }
        for variable in ["FAR=", "BACK="] {
            assert!(!ran.stdout.contains(variable), "{}", ran.stdout);
        }
        let mut events = 0;
        scene.each_event(|event| events += u32::from(matches!(event, Event::Credential { .. })));
        assert_eq!(events, 0);
    });
}
