//! Thousands of system calls at random, and somebody outside who notices everything.
//!
//! A short run belongs to the suite. A long one:
//!
//! ```sh
//! AGENTGUARD_SEQUENCES=100000 AGENTGUARD_SEED=$RANDOM \
//!     cargo test -p agentguard-cli --test refusals chance:: -- --nocapture
//! ```

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::{env, fs};

use agentguard::core::Promise;

use crate::outside::{Bystander, Listeners, Tree, changes, tree};
use crate::scene::{Scene, as_everyone, level};

/// Sequences of a short run, for each user.
const SEQUENCES: u64 = 400;
/// Sequences of one session: fewer than take the harness's patience.
const AT_ONCE: u64 = 400;
const SEED: u64 = 20_261_125;

/// Reads one of the numbers that make a run longer or another one.
fn asked(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Things outside, some of which a policy lets the session read.
fn furnish(scene: &Scene) -> String {
    for directory in ["granted", "granted/below", "outside/below"] {
        scene.directory(directory);
    }
    for file in [
        "granted/file",
        "granted/below/file",
        "outside/file",
        "outside/below/file",
        "home/.bash_history",
    ] {
        let path = scene.write(file, "as it was");
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&path, "user.kept", b"x", flags).unwrap();
    }
    symlink("below/file", scene.root.join("granted/link")).unwrap();
    for directory in ["home/work/.git", "home/work/.git/hooks"] {
        scene.directory(directory);
    }
    scene.write("home/work/.git/config", "[core]\n");
    scene.write("home/work/.git/HEAD", "ref: refs/heads/main\n");
    scene.write("home/work/.git/hooks/pre-commit", "#!/bin/sh\n");
    let granted = scene.root.join("granted");
    scene.policy(&format!(
        "package agentguard.sandbox\n\nread contains \"{}\"\n",
        granted.display()
    ))
}

/// What the attack did, added up from what it says.
#[derive(Default)]
struct Done {
    sequences: u64,
    calls: u64,
    succeeded: u64,
}

impl Done {
    fn add(&mut self, output: &str) {
        let number = |line: &str, name: &str| -> u64 {
            let rest = line
                .strip_prefix(name)
                .and_then(|rest| rest.trim().parse().ok());
            rest.unwrap_or(0)
        };
        for line in output.lines() {
            self.sequences += number(line, "sequences ");
            self.calls += number(line, "calls ");
            self.succeeded += number(line, "succeeded ");
        }
    }
}

#[test]
fn sequences_of_calls_at_random_change_nothing_outside() {
    let (total, seed) = (
        asked("AGENTGUARD_SEQUENCES", SEQUENCES),
        asked("AGENTGUARD_SEED", SEED),
    );
    as_everyone(|scene| {
        let policy = furnish(scene);
        let listeners = Listeners::open(&scene.outside());
        let bystander = Bystander::start(scene);
        let but = [
            // Other tests link to it.
            scene.root.join("agentguard"),
            scene.work(),
            scene.root.join("home/.local"),
            scene.root.join("home/.config"),
        ];
        // So that what a session makes of its own stands before, and what is granted can be seen.
        let granted = scene.root.join("granted/link").display().to_string();
        let ran = scene.run_with(&[&policy], &["cat", &granted]);
        assert_eq!(ran.stdout, "as it was");
        let look = || watched(scene, &but);
        let before = look();
        let mut done = Done::default();
        let mut words = vec!["./attack".to_owned(), "chance".to_owned(), seed.to_string()];
        let mut first = 0;
        while first < total {
            let count = AT_ONCE.min(total - first);
            words.truncate(3);
            words.extend([first.to_string(), count.to_string()]);
            words.extend(aims(scene, &bystander, &listeners));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let command = scene.exec(&[&policy], &words).output().unwrap();
            let output = String::from_utf8_lossy(&command.stdout);
            done.add(&output);
            let shown = format!(
                "seed {seed}, sequences {first} to {}: {}",
                first + count,
                String::from_utf8_lossy(&command.stderr)
            );
            assert_eq!(command.status.code(), Some(0), "{shown}");
            assert_eq!(changes(&before, &look()), Vec::<String>::new(), "{shown}");
            assert_eq!(listeners.reached(), Vec::<&str>::new(), "{shown}");
            renew(scene);
            first += count;
        }
        assert_eq!(
            bystander.ask(),
            "signal 0\nmemory kept\nlimits kept\nnice 0\n"
        );
        println!(
            "{} sequences, {} calls, {} of which succeeded",
            done.sequences, done.calls, done.succeeded
        );
        assert_eq!(done.sequences, total);
        // An attack of which nothing succeeds tries nothing.
        assert!(done.calls > total * 10 && done.succeeded > total);
    });
}

/// What must stay as it is: all but `but`, and what is pinned where pins hold.
fn watched(scene: &Scene, but: &[PathBuf]) -> Tree {
    let mut found = tree(&scene.root, but);
    if level().holds(Promise::Pins) {
        for pinned in [".git/config", ".git/hooks"] {
            found.extend(tree(&scene.work().join(pinned), &[]));
        }
    }
    found
}

/// What to aim at.
fn aims(scene: &Scene, bystander: &Bystander, listeners: &Listeners) -> Vec<String> {
    let mut aims = vec![
        format!("pid:{}", bystander.number()),
        format!("pid:{}", std::process::id()),
        format!("pid:{}", std::os::unix::process::parent_id()),
        format!("port:{}", listeners.port()),
    ];
    for path in [
        "granted",
        "granted/file",
        "granted/below",
        "granted/below/file",
        "granted/link",
        "outside",
        "outside/file",
        "outside/below",
        "outside/stream",
        "outside/datagram",
        "home",
        "home/.ssh",
        "home/.ssh/id_ed25519",
        "home/.bash_history",
        "home/.local/state/agentguard",
        "policy/extra.rego",
    ] {
        aims.push(scene.root.join(path).display().to_string());
    }
    aims
}

/// The workspace was the agent's: what it did to its own program is undone.
fn renew(scene: &Scene) {
    for own in ["home/work", "home/work/.git"] {
        scene.directory(own);
    }
    for entry in fs::read_dir(scene.work()).unwrap().map(Result::unwrap) {
        if entry.file_name() != ".git" {
            remove(&entry.path());
        }
    }
    scene.program("attack", crate::attack::program());
}

/// Removes what may have been closed to whoever owns it.
fn remove(path: &Path) {
    if !path.symlink_metadata().unwrap().is_dir() {
        return fs::remove_file(path).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        remove(&entry.path());
    }
    fs::remove_dir(path).unwrap();
}
