//! What a session costs, as ratios to the same commands run bare, and what other sandboxes cost: starting,
//! executing, writing, building, a project of npm, a clone, and the memory of what guards. Rounds are interleaved, and medians shown, so that a busy machine
//! troubles all alike. Names of parts as arguments run only those. `docs/specification.md` says what is promised.
#![expect(clippy::unwrap_used, reason = "a bench may stop")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod memory;
mod peers;
mod place;
mod rounds;
mod work;

use std::path::Path;

use peers::Peers;
use place::Place;
use rounds::compare;

/// Programs that each do one thing a thousand times, compiled for this bench.
const EXECS: &str = include_str!("../programs/execs.c");
const WRITES: &str = include_str!("../programs/writes.c");
/// Files of the project that is built.
const FILES: usize = 40;

fn main() {
    let place = Place::new();
    place.compile("execs", EXECS);
    place.compile("writes", WRITES);
    place.project(FILES);
    let asked: Vec<_> = std::env::args().skip(1).collect();
    let names = [
        "spawn", "execs", "writes", "build", "npm", "clone", "memory",
    ];
    let peers = Peers::find(&place);
    let is_any = asked.iter().any(|one| names.contains(&one.as_str()));
    for name in names {
        if is_any && !asked.iter().any(|one| one == name) {
            continue;
        }
        match name {
            "spawn" => spawn(&place, &peers),
            "execs" => execs(&place, &peers),
            "writes" => writes(&place, &peers),
            "build" => builds(&place, &peers),
            "npm" => work::npm(&place),
            "clone" => work::clone(&place),
            _ => memory::of_an_idle_session(&place),
        }
    }
}

fn spawn(place: &Place, peers: &Peers) {
    let command = ["/bin/true"];
    let mut all = vec![
        ("bare", place.bare(&command)),
        (
            "agentguard, log on tmpfs",
            place.guarded(&place.tmpfs, &command),
        ),
        (
            "agentguard, log on disk",
            place.guarded(&place.disk, &command),
        ),
    ];
    all.extend(peers.commands(place, &command));
    compare("spawn of /bin/true", 40, all);
    println!("  with {}", limits(place));
}

/// What holds the bounds of the sessions of this run: a cgroup of a session's own costs time too.
fn limits(place: &Place) -> String {
    let mut plan = place.planned(&["/bin/true"]);
    let said = String::from_utf8(plan.output().unwrap().stdout).unwrap();
    let line = said.lines().find(|line| line.starts_with("limits"));
    line.unwrap()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn execs(place: &Place, peers: &Peers) {
    for (name, argument) in [("same", "same"), ("distinct", "distinct")] {
        let command = ["./execs", "1000", argument];
        let mut all = vec![
            ("bare", place.bare(&command)),
            ("agentguard", place.guarded(&place.tmpfs, &command)),
        ];
        all.extend(peers.commands(place, &command));
        compare(&format!("1000 execs, {name} argv"), 5, all);
    }
}

fn writes(place: &Place, peers: &Peers) {
    let command = ["./writes", "2000", "/dev/shm"];
    let mut all = vec![
        ("bare", place.bare(&command)),
        ("agentguard", place.guarded(&place.tmpfs, &command)),
    ];
    all.extend(peers.commands(place, &command));
    compare("2000 file writes on tmpfs", 11, all);
}

fn builds(place: &Place, peers: &Peers) {
    let command = ["sh", "build.sh"];
    let mut all = vec![
        ("bare", place.bare(&command)),
        ("agentguard", place.guarded(&place.tmpfs, &command)),
    ];
    all.extend(peers.commands(place, &command));
    compare(&format!("a build of {FILES} files in C"), 3, all);
}

/// The command under test.
fn agentguard() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agentguard"))
}
