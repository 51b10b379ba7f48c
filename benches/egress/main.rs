//! What the gate costs: connections, requests, handshakes and bulk through it, as ratios to the same client and
//! server without it; and what it holds under a load of many at once. Names of parts as arguments run only
//! those; `mixed SECONDS` is a load of every kind for so long. `docs/specification.md` says what is promised.
#![expect(clippy::unwrap_used, reason = "a bench may stop")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::indexing_slicing, reason = "a bench may stop")]

mod client;
mod git;
mod memory;
mod place;
mod server;

use std::env;

use client::Took;
use place::Place;
use server::Server;

/// Of how many rounds the median is shown.
const ROUNDS: usize = 5;
/// How many requests a client makes in a round.
const REQUESTS: usize = 400;
/// How much a client loads at once.
const BULK: u64 = 1 << 30;
/// How often a client pushes in a round.
const PUSHES: u32 = 20;
/// How many connections are open at once.
const CONNECTIONS: usize = 1000;

fn main() {
    let words: Vec<_> = env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    if let Some(("client", rest)) = words
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        client::run(rest);
        return;
    }
    let server = Server::start(Place::repositories());
    let place = Place::new(&server);
    let is_asked = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let requests = REQUESTS.to_string();
    for (name, what) in [
        ("connect", "a connection and a request on it, in the clear"),
        ("keep-alive", "a request on an open connection, over TLS"),
        ("tls", "a connection and a request on it, over TLS"),
    ] {
        if is_asked(name) {
            compare(&place, what, &[name, &requests]);
        }
    }
    let bulk = BULK.to_string();
    for (name, what) in [
        ("bulk", "1 GiB in the clear"),
        ("bulk-tls", "1 GiB over TLS"),
    ] {
        if is_asked(name) {
            loaded(&place, what, &[name, &bulk]);
        }
    }
    if is_asked("many") {
        many(&place);
    }
    if is_asked("push") {
        pushes(&place);
    }
    if let Some(at) = words.iter().position(|word| word == "mixed") {
        let seconds = words.get(at + 1).map_or("600", String::as_str);
        mixed(&place, seconds);
    }
}

/// Interleaved rounds of one request after the other.
fn compare(place: &Place, what: &str, words: &[&str]) {
    let (mut bare, mut gated) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let pair = (place.bare(words), place.gated(words).took);
        // The first fills caches and is not counted.
        if round > 0 {
            bare.push(pair.0.median);
            gated.push(pair.1.median);
        }
    }
    let (bare, gated) = (middle(bare), middle(gated));
    println!("{what}, median of {ROUNDS} rounds of {REQUESTS}:");
    println!("  bare   {bare:>8.1} us");
    println!(
        "  gated  {gated:>8.1} us  {:>5.2} x  +{:.1} us",
        gated / bare,
        gated - bare
    );
}

/// One answer that is long.
fn loaded(place: &Place, what: &str, words: &[&str]) {
    let (bare, gated) = (place.bare(words), place.gated(words));
    let speed = |took: &Took| took.bytes / took.seconds / 1e9;
    println!("{what}:");
    println!("  bare   {:>6.2} GB/s", speed(&bare));
    println!(
        "  gated  {:>6.2} GB/s  guard {}",
        speed(&gated.took),
        gated.memory
    );
}

/// Pushes of one small commit, and one of a hundred files of a MiB.
fn pushes(place: &Place) {
    place.prepare_pushes();
    for (kind, number, what) in [
        ("wire", PUSHES, "a push of a commit on an open connection"),
        (
            "wire-new",
            PUSHES,
            "the same to a branch that is made by it",
        ),
        ("wire", 0, "the same, and the first of a session"),
        ("push", PUSHES, "`git push` of a commit"),
    ] {
        pushed(place, what, (kind, number));
    }
    let (bare, gated) = (place.bare(&["large", "0"]), place.gated(&["large", "0"]));
    println!("`git push` of 100 MiB, over TLS:");
    println!("  bare   {:>8.2} s", bare.seconds);
    println!(
        "  gated  {:>8.2} s  guard {}",
        gated.took.seconds, gated.memory
    );
}

/// Interleaved rounds of one push after the other.
fn pushed(place: &Place, what: &str, (kind, number): (&str, u32)) {
    let words = [kind, &number.to_string()];
    let (mut bare, mut gated, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let one = place.bare(&words);
        git::asked();
        let other = place.gated(&words).took;
        // The first makes the branch, and asks as well.
        let questions = git::asked().as_secs_f64() * 1e6 / f64::from(number + 1);
        if round > 0 {
            bare.push(one.median);
            gated.push(other.median);
            asked.push(questions);
        }
    }
    let (bare, gated, asked) = (middle(bare), middle(gated), middle(asked));
    let counted = number.max(1);
    println!("{what}, over TLS, median of {ROUNDS} rounds of {counted}:");
    println!("  bare   {:>8.1} ms", bare / 1e3);
    println!(
        "  gated  {:>8.1} ms  +{:.1} ms, of which the server takes {:.1} to answer the gate",
        gated / 1e3,
        (gated - bare) / 1e3,
        asked / 1e3
    );
}

fn many(place: &Place) {
    let gated = place.gated(&["many", &CONNECTIONS.to_string()]);
    assert_eq!(
        gated.requests, gated.took.requests,
        "entries and requests differ"
    );
    println!("{CONNECTIONS} connections at once, each with a request:");
    println!(
        "  all answered in {:.2} s; {} entries of requests, as many outcomes; guard {}",
        gated.took.seconds, gated.requests, gated.memory
    );
}

fn mixed(place: &Place, seconds: &str) {
    let gated = place.gated(&["mixed", seconds]);
    assert_eq!(
        gated.requests, gated.took.requests,
        "entries and requests differ"
    );
    println!("a mixed load for {seconds} s:");
    println!(
        "  {} requests answered, {:.2} GB; {} entries of requests, as many outcomes; guard {}",
        gated.took.requests,
        gated.took.bytes / 1e9,
        gated.requests,
        gated.memory
    );
}

fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}
