//! The memory of what guards a session in which nothing happens.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::place::Place;

/// Prints the memory of the guard, the mediator and the session's pid 1, each in its share (PSS, proc(5)).
pub(crate) fn of_an_idle_session(place: &Place) {
    let mut command = place.guarded(&place.tmpfs, &["sleep", "2"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut guard = command.spawn().unwrap();
    sleep(Duration::from_secs(1));
    let mediator = children(guard.id());
    let init: Vec<_> = mediator
        .iter()
        .flat_map(|parent| children(*parent))
        .collect();
    println!("memory of an idle session (PSS):");
    println!("  guard     {}", shown(share(guard.id())));
    println!(
        "  mediator  {}",
        shown(mediator.iter().map(|id| share(*id)).sum())
    );
    let own = init.iter().filter(|id| is_ours(**id)).map(|id| share(*id));
    println!("  pid 1     {}", shown(own.sum()));
    assert!(guard.wait().unwrap().success());
}

fn shown(kibibytes: u64) -> String {
    format!("{}.{} MiB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
}

/// In kibibytes.
fn share(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.map_or(0, |number| number.parse().unwrap())
}

fn is_ours(process: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    name.trim() != "sleep"
}

fn children(parent: u32) -> Vec<u32> {
    let text = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(text).unwrap();
    text.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}
