//! Interleaved rounds, and their medians.

use std::process::Command;
use std::time::{Duration, Instant};

/// Runs all of them in turn, and prints each one's median and its ratio to the first.
pub(crate) fn compare(what: &str, rounds: usize, mut all: Vec<(&str, Command)>) {
    let mut times = vec![Vec::new(); all.len()];
    for round in 0..=rounds {
        for ((_, command), times) in all.iter_mut().zip(&mut times) {
            let time = run(command);
            // The first fills caches and is not counted.
            if round > 0 {
                times.push(time);
            }
        }
    }
    println!("{what}, median of {rounds}:");
    let medians: Vec<_> = times.into_iter().map(median).collect();
    let bare = medians.first().copied().unwrap_or_default();
    for ((name, _), median) in all.iter().zip(medians) {
        let ratio = median.as_secs_f64() / bare.as_secs_f64();
        let more = median.saturating_sub(bare).as_secs_f64() * 1e3;
        let milliseconds = median.as_secs_f64() * 1e3;
        println!("  {name:<26} {milliseconds:>9.2} ms  {ratio:>6.2} x  +{more:.2} ms");
    }
}

/// How long it took: by its own word, where it gives one, so that starting is not counted twice.
fn run(command: &mut Command) -> Duration {
    let started = Instant::now();
    let output = command.output().unwrap();
    let elapsed = started.elapsed();
    assert!(output.status.success(), "{command:?}: {output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.trim().parse().map_or(elapsed, Duration::from_nanos)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
