//! Signatures of what git makes: by the agent's key, which nobody inside has, for git, and never without an entry.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use agentguard::core::{Event, Level, MessageDigest, Ruling, ssh};

use crate::pushes::{push, refused_by, with_server};
use crate::scene::{Ran, Scene, as_everyone, level};

const SIGNS: &str = "package agentguard.sandbox\n\nsigns contains \"commits\"\n";
const ATTACK: &str = include_str!("attacks/signing.py");
/// Two commits, of which nothing says that they are to be signed.
const COMMITS: &str =
    "for one in a b; do echo $one > $one; git add $one; git commit -qm $one; done";

/// How a human signs, with what no session has.
const OWN_SIGNATURE: &str = "[commit]\n\tgpgsign = true\n[gpg]\n\tformat = openpgp\n\tprogram = /opt/none\n\
    [gpg \"ssh\"]\n\tprogram = /opt/none\n[user]\n\tsigningkey = 0123456789ABCDEF\n";

/// The command by the one whose sessions they are.
fn ours(scene: &Scene, words: &[&str]) -> Ran {
    let mut command = scene.command(scene.root.join("agentguard"));
    command.args(words);
    scene.run_command(command)
}

/// What git says of the commits of the workspace, by the keys that agentguard shows: `G` is a good signature, `N` none.
fn judged(scene: &Scene) -> String {
    let lines = ours(scene, &["agent", "show", "local", "--signers"]).stdout;
    let file = scene.write("allowed", &lines);
    let allowed = format!("gpg.ssh.allowedSignersFile={}", file.display());
    let words = [
        "git",
        "-c",
        "safe.directory=*",
        "-c",
        &allowed,
        "log",
        "--format=%G? %GS",
    ];
    scene.run_bare(&words).stdout
}

/// A commit as it is signed, without its signature.
fn signed_part(scene: &Scene, commit: &str) -> Vec<u8> {
    let words = [
        "git",
        "-c",
        "safe.directory=*",
        "cat-file",
        "commit",
        commit,
    ];
    let text = scene.run_bare(&words).stdout;
    ssh::signed_part(text.as_bytes(), "gpgsig").unwrap().0
}

fn events(scene: &Scene) -> Vec<Event> {
    let mut events = Vec::new();
    scene.each_event(|event| events.push(event.clone()));
    events
}

/// What was signed, at its place among the events.
fn signatures(events: &[Event]) -> Vec<(u64, MessageDigest)> {
    let mut made = Vec::new();
    for (index, event) in (0..).zip(events) {
        if let Event::Signature {
            message: Some(message),
            ruling: Ruling::Allow { .. },
            ..
        } = event
        {
            made.push((index, *message));
        }
    }
    made
}

/// The rules by which signatures were refused, each as often as it stands in the log.
fn refusals(scene: &Scene) -> Vec<String> {
    let mut rules = Vec::new();
    for event in events(scene) {
        if let Event::Signature {
            ruling: Ruling::Deny { rule, .. },
            ..
        } = event
        {
            rules.push(rule.id.to_string());
        }
    }
    rules
}

/// The entries by which commits that appeared were signed, in order.
fn signed_by(events: &[Event]) -> Vec<Option<u64>> {
    let mut signed = Vec::new();
    for event in events {
        if let Event::Refs { commits, .. } = event {
            signed.extend(commits.iter().map(|commit| commit.signature));
        }
    }
    signed.sort();
    signed
}

/// A repository in the workspace: none is made from within.
fn repository(scene: &Scene) {
    let script = "git init -q -b main . && git config user.name ann && git config user.email ann@example.org";
    assert_eq!(scene.run_bare(&["sh", "-ec", script]).code, Some(0));
}

fn ask(scene: &Scene, cases: &[&str]) -> Ran {
    scene.write("home/work/signing.py", ATTACK);
    let words = [&["/usr/bin/python3", "signing.py"], cases].concat();
    scene.run_with(&[&scene.policy(SIGNS)], &words)
}

#[track_caller]
fn assert_verifies(scene: &Scene) {
    let verified = ours(scene, &["verify"]);
    assert_eq!(
        verified.code,
        Some(0),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
}

#[test]
fn commits_are_signed_by_the_agents_key_and_each_has_an_entry_that_names_it() {
    as_everyone(|scene| {
        repository(scene);
        let own = scene.write("home/.gitconfig", OWN_SIGNATURE);
        let ran = scene.run_with(&[&scene.policy(SIGNS)], &["sh", "-ec", COMMITS]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        fs::remove_file(own).unwrap();
        assert_eq!(judged(scene), "G local\nG local\n");
        let events = events(scene);
        let (first, second) = match signatures(&events)[..] {
            [first, second] => (first, second),
            ref others => panic!("{others:?}"),
        };
        assert_eq!(first.1, MessageDigest::of(&signed_part(scene, "HEAD~1")));
        assert_eq!(second.1, MessageDigest::of(&signed_part(scene, "HEAD")));
        assert_eq!(signed_by(&events), [Some(first.0), Some(second.0)]);
        assert_verifies(scene);
        let traced = ours(scene, &["trace", "HEAD"]);
        let words = format!("{} ", second.0);
        let line = traced
            .stdout
            .lines()
            .find(|line| line.trim().starts_with(&words));
        let line = line.unwrap_or_else(|| panic!("{}", traced.stdout));
        assert!(line.contains("allowed signature of sha512:"), "{line}");
        // A commit that is made outside bears none.
        let words = [
            "git",
            "-c",
            "safe.directory=*",
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-q",
        ];
        let outside = scene.run_bare(&[&words[..], &["--allow-empty", "-m", "x"]].concat());
        assert_eq!(outside.code, Some(0), "{}", outside.stderr);
        assert!(judged(scene).starts_with("N \nG local\n"));
    });
}

#[test]
fn without_a_policy_that_says_so_nothing_is_signed_and_nobody_listens() {
    as_everyone(|scene| {
        repository(scene);
        let script = format!("{COMMITS}\necho \"socket ${{SSH_AUTH_SOCK-none}}\"");
        let ran = scene.run(&["sh", "-ec", &script]);
        assert_eq!(ran.stdout, "socket none\n", "{}", ran.stderr);
        assert_eq!(judged(scene), "N \nN \n");
        assert_eq!(signatures(&events(scene)), []);
    });
}

#[test]
fn the_agents_key_signs_nothing_but_what_is_for_git() {
    as_everyone(|scene| {
        let refused = [
            "file",
            "no-namespace",
            "two-namespaces",
            "reserved",
            "sha256",
            "short",
            "other-magic",
            "more",
            "half",
            "challenge",
            "raw",
            "nothing",
        ];
        let ran = ask(scene, &refused);
        let expected: String = refused
            .iter()
            .map(|case| format!("{case} failure\n"))
            .collect();
        assert_eq!(ran.stdout, expected, "{}", ran.stderr);
        assert_eq!(signatures(&events(scene)), []);
        let rules = refusals(scene);
        assert!(
            !rules.is_empty() && rules.iter().all(|rule| rule == "signing/other"),
            "{rules:?}"
        );
        let ran = ask(scene, &["git"]);
        assert_eq!(ran.stdout, "git signature\n");
        assert_eq!(signatures(&events(scene)).len(), 1);
        assert_verifies(scene);
    });
}

#[test]
fn keys_are_listed_and_neither_added_removed_nor_locked() {
    as_everyone(|scene| {
        let asked = [
            "other-key",
            "no-flags",
            "add",
            "add-constrained",
            "add-card",
            "remove",
            "remove-all",
            "lock",
            "unlock",
            "extension",
            "old-list",
            "inner-length",
        ];
        let ran = ask(scene, &[&asked[..], &["list", "git"]].concat());
        let mut expected: String = asked
            .iter()
            .map(|case| format!("{case} failure\n"))
            .collect();
        expected.push_str("list keys\ngit signature\n");
        assert_eq!(ran.stdout, expected, "{}", ran.stderr);
        assert_eq!(signatures(&events(scene)).len(), 1);
    });
}

#[test]
fn messages_without_end_and_very_many_connections_keep_nobody_from_signing() {
    as_everyone(|scene| {
        let ran = ask(scene, &["empty", "huge", "long", "many", "crowd", "git"]);
        let expected =
            "empty closed\nhuge closed\nlong closed\nmany keys\ncrowd closed keys\ngit signature\n";
        assert_eq!(ran.stdout, expected, "{}", ran.stderr);
        assert_verifies(scene);
    });
}

/// A session that says that it is there, and goes on when it is told to.
struct Held(Child);

impl Held {
    fn start(scene: &Scene, script: &str) -> Self {
        let script = format!("echo ready; read line\n{script}");
        let mut command = scene.exec(&[&scene.policy(SIGNS)], &["sh", "-ec", &script]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = [0; 6];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        assert_eq!(&ready, b"ready\n");
        Self(child)
    }

    fn go(mut self) -> Ran {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        Ran::of(self.0.wait_with_output().unwrap())
    }
}

fn sockets(scene: &Scene) -> Vec<PathBuf> {
    let place = scene.root.join("home/.local/state/agentguard/signing");
    let entries = fs::read_dir(place).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn nobody_outside_a_session_gets_its_agents_signature() {
    as_everyone(|scene| {
        repository(scene);
        let held = Held::start(scene, COMMITS);
        let found = sockets(scene);
        let [socket] = &found[..] else {
            panic!("{found:?}");
        };
        // The user who started it, and another session of theirs, know where it lies.
        for _ in 0..2 {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let _ = stream.write_all(b"\0\0\0\x01\x0b");
            let mut answered = Vec::new();
            let ended = stream.read_to_end(&mut answered);
            // What was said and not read resets the connection.
            let is_over =
                ended.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true);
            assert!(is_over && answered.is_empty());
        }
        scene.write("home/work/signing.py", ATTACK);
        let at = format!("SSH_AUTH_SOCK={}", socket.display());
        let words = ["env", &at, "/usr/bin/python3", "signing.py", "git"];
        let other = scene.run_with(&[&scene.policy(SIGNS)], &words);
        assert!(
            !other.stdout.contains("signature") && other.code != Some(0),
            "{}",
            other.stdout
        );
        let ran = held.go();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(judged(scene), "G local\nG local\n");
        let found = |rule: &str| {
            scene
                .refusals()
                .iter()
                .filter(|found| *found == rule)
                .count()
        };
        assert_eq!(found("signing/stranger"), 1);
        assert_eq!(sockets(scene), [] as [PathBuf; 0]);
    });
}

#[test]
fn the_agents_key_is_in_no_process_of_a_session() {
    as_everyone(|scene| {
        repository(scene);
        let held = Held::start(scene, COMMITS);
        let key = fs::read(
            scene
                .root
                .join("home/.local/state/agentguard/agents/local/key"),
        )
        .unwrap();
        assert_eq!(key.len(), 32);
        let session = sockets(scene)[0]
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let (mut inside, mut holding) = (0, 0);
        for process in processes() {
            let place = PathBuf::from(format!("/proc/{process}"));
            let environment = fs::read(place.join("environ")).unwrap_or_default();
            let is_inside = has(&environment, session.as_bytes());
            let exe = fs::read_link(place.join("exe")).unwrap_or_default();
            let is_ours = exe.starts_with(&scene.root);
            // Others are none of this session's, and there are many.
            if !is_inside && !is_ours {
                continue;
            }
            let holds =
                has(&environment, &key) || memory(&place).iter().any(|area| has(area, &key));
            assert!(!(is_inside && holds), "{}", exe.display());
            inside += usize::from(is_inside);
            holding += usize::from(holds);
        }
        // The guard has it, and whoever looks for it finds it there; the mediator and the gate are the same program.
        assert!(inside > 0);
        assert_eq!(holding, 1);
        let ran = held.go();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    });
}

fn processes() -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap();
    let own = std::process::id();
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|process| *process != own)
        .collect()
}

/// What a process can write, of which the key would be a part.
fn memory(place: &std::path::Path) -> Vec<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let (Ok(maps), Ok(memory)) = (
        fs::read_to_string(place.join("maps")),
        fs::File::open(place.join("mem")),
    ) else {
        return Vec::new();
    };
    let area = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let (from, to) = (
            u64::from_str_radix(from, 16).ok()?,
            u64::from_str_radix(to, 16).ok()?,
        );
        let length = usize::try_from(to - from)
            .ok()
            .filter(|length| *length <= 256 << 20)?;
        let mut bytes = vec![0; length];
        rest.starts_with("rw").then_some(())?;
        memory.read_exact_at(&mut bytes, from).ok()?;
        Some(bytes)
    };
    maps.lines().filter_map(area).collect()
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_cannot_be_written_down_is_not_signed() {
    as_everyone(|scene| {
        scene.write("home/work/signing.py", ATTACK);
        let (state, work) = (scene.directory("home/.local/state"), scene.work());
        let policy = scene.policy(SIGNS);
        // The log's disk is filled while the one who asks is connected already.
        let script = |fill: &str| {
            format!(
                "set -e; rm -rf {state}/../../.config/agentguard
                 mount -t tmpfs -o size=8m,mode=755 none {state}; cd {work}; rm -f ready go
                 $guard {policy} -- /usr/bin/python3 signing.py waiting > {out} &
                 while [ ! -e ready ]; do sleep 0.05; done
                 {fill}
                 : > go; wait $! || true",
                state = state.display(),
                work = work.display(),
                out = scene.root.join("outside/asked").display(),
            )
        };
        let asked = |fill: &str| {
            let out = scene.write("outside/asked", "");
            scene.run_command(scene.mounting(&script(fill)));
            assert!(work.join("ready").exists());
            fs::read_to_string(out).unwrap()
        };
        if level() == Level::Full {
            assert_eq!(asked(""), "signature\n".repeat(200));
            let fill = format!(
                "dd if=/dev/zero of={}/filler bs=4k 2> /dev/null || true",
                state.display()
            );
            let filled = asked(&fill);
            let (signed, rest) =
                filled.split_at(filled.rfind("signature\n").map_or(0, |at| at + 10));
            assert_eq!(signed, "signature\n".repeat(signed.lines().count()));
            assert!(signed.lines().count() < 100, "{filled}");
            assert!(rest.lines().all(|line| line != "signature"), "{filled}");
        } else {
            // A disk can be filled with namespaces only: it is the same guard that writes and signs.
            scene.write("home/work/go", "");
            let waiting = ["/usr/bin/python3", "signing.py", "waiting"];
            let ran = scene.run_with(&[&policy], &waiting);
            assert_eq!(ran.stdout, "signature\n".repeat(200), "{}", ran.stderr);
        }
    });
}

#[test]
fn where_git_could_not_sign_commits_are_made_without_and_it_is_said() {
    as_everyone(|scene| {
        repository(scene);
        let hidden = format!("{SIGNS}\nmasks contains \"/usr/bin/ssh-keygen\"\n");
        let ran = scene.run_with(&[&scene.policy(&hidden)], &["sh", "-ec", COMMITS]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(
            ran.stderr
                .contains("commits are not signed: there is no `ssh-keygen`"),
            "{}",
            ran.stderr
        );
        assert_eq!(judged(scene), "N \nN \n");
        assert!(scene.refusals().contains(&"signing/off".to_owned()));
        assert_verifies(scene);
    });
}

/// Asks for a signature of the agent's on each commit.
const REQUIRED: &str = "package agentguard.push.own

deny contains {\"id\": \"own/unsigned\", \"reason\": \"a commit is not signed by this session's agent\"} if {
\tsome commit in input.action.commits
\tnot is_signed(commit)
}

is_signed(commit) if commit.signer == input.facts.signer
";

#[test]
fn policy_can_have_pushes_hold_only_commits_that_the_agent_signed() {
    with_server(|scene, server| {
        let run = |script: &str| {
            server.policy(scene);
            scene.write("policy/signs.rego", SIGNS);
            scene.write("policy/own.rego", REQUIRED);
            push(scene, server, script)
        };
        let tried = run(
            "ssh-keygen -q -t ed25519 -N '' -f /tmp/own
             echo c > c; git add c
             git -c commit.gpgsign=false commit -qm none; wire HEAD:refs/heads/$own/none
             git -c user.signingkey=/tmp/own -c core.abbrev=7 commit -q --amend -S -m other; wire HEAD:refs/heads/$own/other
             git commit -q --amend -m three
             git cat-file commit HEAD | sed 's/^three/four/' > /tmp/four
             wire $(git hash-object -t commit -w /tmp/four):refs/heads/$own/forged
             git push -q origin HEAD:refs/heads/$own/signed",
        );
        assert_eq!(tried.code, Some(0), "{}", tried.stderr);
        assert_eq!(refused_by(scene), ["own/unsigned"; 3]);
        let refs = server.refs(scene);
        let names: Vec<_> = refs
            .lines()
            .filter(|line| line.contains("/agent/"))
            .collect();
        assert!(
            matches!(names[..], [name] if name.contains("/signed ")),
            "{refs}"
        );
    });
}
