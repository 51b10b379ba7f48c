//! What a session costs, as ratios to the same commands run bare: starting, executing, writing, building,
//! and the memory of what guards. Rounds are interleaved, and medians shown, so that a busy machine
//! troubles all alike. Names of parts as arguments run only those. `docs/specification.md` says what is promised.
#![expect(clippy::unwrap_used, reason = "a bench may stop")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod memory;
mod place;
mod rounds;

use std::path::Path;

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
    let names = ["spawn", "execs", "writes", "build", "memory"];
    let is_any = asked.iter().any(|one| names.contains(&one.as_str()));
    for name in names {
        if is_any && !asked.iter().any(|one| one == name) {
            continue;
        }
        match name {
            "spawn" => spawn(&place),
            "execs" => execs(&place),
            "writes" => writes(&place),
            "build" => builds(&place),
            _ => memory::of_an_idle_session(&place),
        }
    }
}

fn spawn(place: &Place) {
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
    if let Some(bubblewrap) = place.bubblewrap(&command) {
        all.push(("bubblewrap", bubblewrap));
    }
    compare("spawn of /bin/true", 40, all);
}

fn execs(place: &Place) {
    for (name, argument) in [("same", "same"), ("distinct", "distinct")] {
        let command = ["./execs", "1000", argument];
        let mut all = vec![
            ("bare", place.bare(&command)),
            ("agentguard", place.guarded(&place.tmpfs, &command)),
        ];
        if let Some(bubblewrap) = place.bubblewrap(&command) {
            all.push(("bubblewrap", bubblewrap));
        }
        compare(&format!("1000 execs, {name} argv"), 5, all);
    }
}

fn writes(place: &Place) {
    let command = ["./writes", "2000", "/dev/shm"];
    let all = vec![
        ("bare", place.bare(&command)),
        ("agentguard", place.guarded(&place.tmpfs, &command)),
    ];
    compare("2000 file writes on tmpfs", 11, all);
}

fn builds(place: &Place) {
    let command = ["sh", "build.sh"];
    let all = vec![
        ("bare", place.bare(&command)),
        ("agentguard", place.guarded(&place.tmpfs, &command)),
    ];
    compare(&format!("a build of {FILES} files in C"), 3, all);
}

/// The command under test.
fn agentguard() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agentguard"))
}
