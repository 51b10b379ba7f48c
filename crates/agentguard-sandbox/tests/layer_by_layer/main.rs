//! Each layer of the confinement is switched off in turn, and the others hold.
//!
//! What is tried are the attacks of `tests/refusals`, by a session that this program guards itself: no
//! flag of the command can switch a layer off. Judged is what they did outside. Started as root it is
//! shown for root, whose agent keeps no power, and then for an ordinary user.
//!
//! It has no harness, since it is its own mediator: see `enter_if_asked`.
#![expect(clippy::unwrap_used, reason = "a test may stop")]
#![expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "a test tells what it does"
)]

mod guard;
mod place;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use agentguard_core::Network;
use agentguard_sandbox::{HeldSignals, Layer, enter_if_asked};

use place::Place;

/// Started with it, this shows it for the user that it is, and nothing else.
const ONLY: &str = "--only-as-this-user";
/// An ordinary user without a name or a home (`nobody` on most systems).
const ORDINARY: u32 = 65_534;

fn main() {
    enter_if_asked();
    let signals = HeldSignals::hold().unwrap();
    let is_root = rustix::process::getuid().is_root();
    let turns: [(&str, &[Layer]); 4] = [
        ("with every layer", &[]),
        ("without read-only mounts, masks and pins", &[Layer::Mounts]),
        ("without Landlock", &[Layer::Landlock]),
        ("without the filter", &[Layer::Filter]),
    ];
    for (name, without) in turns {
        println!(
            "{name}, as {}",
            if is_root { "root" } else { "an ordinary user" }
        );
        nothing_outside_is_changed(without, &signals);
        if without.is_empty() {
            every_attack_is_refused(&signals);
            another_session_than_was_announced_is_refused();
        }
    }
    if is_root && !std::env::args().any(|word| word == ONLY) {
        again_as_an_ordinary_user();
    } else if !is_root && !std::env::args().any(|word| word == ONLY) {
        println!("not run as root: this shows it for an ordinary user only");
    }
}

/// What root would most like to do, and what the user itself could do outside.
fn nothing_outside_is_changed(without: &[Layer], signals: &HeldSignals) {
    let place = Place::new();
    let before = place.outside();
    let mut victim = place.victim();
    let outside = place.root.join("outside").display().to_string();
    let script = format!(
        "./attack files {outside} > files; ./attack rise > rise; ./attack kernel_files > kernel; \
         ./attack devices . > devices; ./attack interfaces > interfaces; ./attack clones > clones; \
         ./attack reads /etc/shadow > reads; ./attack signals {} > signals; ./attack reach {} > reach; \
         grep Cap /proc/self/status > capabilities; ./attack pins > pins; \
         trap '' ALRM; kill -ALRM 0; echo done > done",
        victim.id(),
        victim.id(),
    );
    guard::run(&place.plan(&script, without), signals);
    let lived = victim.try_wait().unwrap().is_none();
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(lived, "a process outside was ended");
    assert_eq!(place.said("done"), "done\n", "the attacks ran to their end");
    // Landlock speaks of contents and names. Of modes and times only read-only mounts do, and whether
    // these are the agent's to change at all.
    let own_metadata = without.contains(&Layer::Mounts) && !rustix::process::getuid().is_root();
    match own_metadata {
        true => assert_eq!(place.contents(), Place::contents_of(&before)),
        false => assert_eq!(place.outside(), before),
    }
    place.none_is("rise", "ok", &[]);
    place.none_is("devices", "ok", &["open-null"]);
    place.none_is("reads", "ok", &["stat:/etc/shadow"]);
    place.none_is("signals", "ok", &[]);
    place.none_is("reach", "ok", &[]);
    for line in place.said("capabilities").lines() {
        assert!(line.ends_with("\t0000000000000000"), "{line}");
    }
    switches_stay(&place, without);
}

/// Of the machine's switches, none can be written; of its own process's, some without Landlock.
fn switches_stay(place: &Place, without: &[Layer]) {
    let own: &[&str] = &[
        "/proc/self/mem",
        "/proc/self/uid_map",
        "/proc/self/oom_score_adj",
        "/proc/self/coredump_filter",
        "/proc/self/attr/current",
    ];
    let ours = if without.contains(&Layer::Landlock) {
        own
    } else {
        &[]
    };
    place.none_is("kernel", "ok", ours);
}

/// With everything on, also that what is refused is refused as it is meant to be.
fn every_attack_is_refused(signals: &HeldSignals) {
    let place = Place::new();
    let script = "./attack interfaces > interfaces; ./attack clones > clones; ./attack pins > pins";
    guard::run(&place.plan(script, &[]), signals);
    place.none_is("interfaces", "ok", &["neighbour", "neighbour-limit"]);
    place.none_is("clones", "ok", &["neighbour"]);
    place.none_is("pins", "ok", &["neighbour", "neighbour-github"]);
}

/// Its network is made before its plan is there.
fn another_session_than_was_announced_is_refused() {
    let place = Place::new();
    let plan = place.plan("echo ran > ran", &[]);
    assert_eq!(plan.confinement.network, Network::Isolated);
    let refused = guard::refused(&plan, Network::Host).to_string();
    assert!(refused.contains("another one was announced"), "{refused}");
    assert!(!place.work().join("ran").exists());
}

#[expect(
    clippy::disallowed_methods,
    reason = "this program again, as another user"
)]
fn again_as_an_ordinary_user() {
    let place = Place::new();
    std::os::unix::fs::chown(&place.root, Some(ORDINARY), Some(ORDINARY)).unwrap();
    let copy = place.root.join("again");
    std::fs::copy("/proc/self/exe", &copy).unwrap();
    let status = Command::new(&copy)
        .arg(ONLY)
        .current_dir("/")
        .env(place::DIRECTORY, &place.root)
        .env(place::PROGRAM, place.work().join("attack"))
        .uid(ORDINARY)
        .gid(ORDINARY)
        .status();
    assert!(status.unwrap().success());
}
