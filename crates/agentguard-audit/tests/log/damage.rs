//! Damage of every kind to a finished log: `verify` finds it and names the first bad entry.

use std::fs;
use std::path::{Path, PathBuf};

use agentguard_audit::{Entries, Error, Fault, Report};
use proptest::prelude::*;

use crate::home::*;

/// Where the entries of a write-ahead file begin and end.
fn frames(wal: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut at = wal.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut frames = Vec::new();
    while at < wal.len() {
        let length = u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
        let end = at + 12 + usize::try_from(length).unwrap();
        frames.push(at..end);
        at = end;
    }
    frames
}

/// A log of 302 entries in its home.
struct Victim {
    home: Home,
    directory: PathBuf,
}

impl Victim {
    fn new() -> Self {
        let home = Home::new();
        let directory = session_of(&home, 150);
        assert!(home.verify(&directory).is_verified());
        Self { home, directory }
    }

    /// Changes a file, verifies, and puts the file back.
    fn with(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Report {
        let path = self.directory.join(file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        assert_ne!(bytes, whole, "nothing was changed");
        fs::write(&path, bytes).unwrap();
        let report = self.home.verify(&self.directory);
        fs::write(&path, whole).unwrap();
        report
    }

    fn frames(&self) -> Vec<std::ops::Range<usize>> {
        frames(&fs::read(self.directory.join("wal")).unwrap())
    }
}

/// How many entries are read, and the one that is said to be damaged.
fn read(directory: &Path) -> (usize, Option<u64>) {
    let mut read = 0;
    for recorded in Entries::open(directory).unwrap() {
        if let Err(Error::Damaged { index, .. }) = recorded {
            return (read, Some(index));
        }
        recorded.unwrap();
        read += 1;
    }
    (read, None)
}

/// A log is not taken for a shorter one: where a length is broken the rest looks like what is written just now.
#[test]
fn a_log_that_is_broken_or_cut_is_read_to_there_and_not_said_to_end_there() {
    let victim = Victim::new();
    let path = victim.directory.join("wal");
    let whole = fs::read(&path).unwrap();
    assert_eq!(read(&victim.directory), (302, None));
    for index in [0, 1, 255, 256, 300, 301] {
        let frame = frames(&whole)[index].clone();
        // No length at all, and one that goes beyond what follows, or into it.
        for (at, byte) in [(0, 0x80), (2, 0xff), (3, 0xff)] {
            let mut bytes = whole.clone();
            bytes[frame.start + at] = byte;
            fs::write(&path, bytes).unwrap();
            let expected = (index, Some(u64::try_from(index).unwrap()));
            assert_eq!(read(&victim.directory), expected, "{at}");
        }
        for end in [frame.start, frame.start + 3, frame.end - 1] {
            fs::write(&path, &whole[..end]).unwrap();
            let expected = (index, Some(u64::try_from(index).unwrap()));
            assert_eq!(read(&victim.directory), expected, "{end}");
        }
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(read(&victim.directory), (302, None));
    fs::remove_file(victim.directory.join("tile/entries/001.p/46")).unwrap();
    assert_eq!(read(&victim.directory), (256, Some(256)));
}

#[test]
fn a_flipped_bit_in_an_entry_names_it() {
    let victim = Victim::new();
    for index in [0, 1, 255, 256, 301] {
        let frame = victim.frames()[index].clone();
        for at in [frame.start + 4, frame.start + 12, frame.end - 1] {
            let report = victim.with("wal", |bytes| bytes[at] ^= 1);
            assert_eq!(report.first_bad(), u64::try_from(index).ok(), "{report:#?}");
        }
        let report = victim.with("wal", |bytes| bytes[frame.start + 3] ^= 1);
        assert_eq!(report.first_bad(), u64::try_from(index).ok(), "{report:#?}");
    }
}

#[test]
fn an_entry_that_was_forged_with_its_check_is_found_by_its_tile() {
    let victim = Victim::new();
    let frame = victim.frames()[77].clone();
    let report = victim.with("wal", |bytes| {
        let entry = String::from_utf8(bytes[frame.start + 12..frame.end].to_vec()).unwrap();
        let forged = entry.replace("\"asserted\"", "\"oidc\"");
        let mut replacement = u32::try_from(forged.len()).unwrap().to_be_bytes().to_vec();
        let leaf = agentguard_audit::merkle::leaf_hash(forged.as_bytes());
        replacement.extend_from_slice(&leaf.0[..8]);
        replacement.extend_from_slice(forged.as_bytes());
        bytes.splice(frame, replacement);
    });
    assert_eq!(report.first_bad(), Some(77), "{report:#?}");
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.fault == Fault::Root)
    );
}

#[test]
fn entries_that_were_cut_off_swapped_dropped_or_doubled_are_named() {
    let victim = Victim::new();
    let frames = victim.frames();
    let frame = |at: usize| frames[at].clone();
    let cut = victim.with("wal", |bytes| bytes.truncate(frame(200).start));
    assert_eq!(cut.first_bad(), Some(200), "{cut:#?}");
    let torn = victim.with("wal", |bytes| bytes.truncate(frame(200).end - 1));
    assert_eq!(torn.first_bad(), Some(200), "{torn:#?}");
    let dropped = victim.with("wal", |bytes| drop(bytes.drain(frame(50))));
    assert_eq!(dropped.first_bad(), Some(50), "{dropped:#?}");
    let doubled = victim.with("wal", |bytes| {
        let copy = bytes[frame(50)].to_vec();
        bytes.splice(frame(50).end..frame(50).end, copy);
    });
    assert_eq!(doubled.first_bad(), Some(51), "{doubled:#?}");
    let swapped = victim.with("wal", |bytes| {
        let (one, two) = (bytes[frame(60)].to_vec(), bytes[frame(61)].to_vec());
        bytes.splice(frame(60).start..frame(61).end, [two, one].concat());
    });
    assert_eq!(swapped.first_bad(), Some(60), "{swapped:#?}");
    let longer = victim.with("wal", |bytes| {
        let copy = bytes[frame(301)].to_vec();
        bytes.extend(copy);
    });
    assert_eq!(longer.first_bad(), Some(302), "{longer:#?}");
    let empty = victim.with("wal", Vec::clear);
    assert_eq!(empty.first_bad(), Some(0), "{empty:#?}");
}

#[test]
fn a_tile_or_bundle_that_was_changed_or_removed_names_an_entry() {
    let victim = Victim::new();
    for (file, at, expected) in [
        ("tile/0/000", 40 * 32, 40),
        ("tile/0/001.p/46", 5 * 32 + 31, 261),
        ("tile/1/000.p/1", 0, 0),
        ("tile/entries/000", 1, 0),
        ("tile/entries/001.p/46", 9, 256),
    ] {
        let report = victim.with(file, |bytes| bytes[at] ^= 1);
        assert_eq!(report.first_bad(), Some(expected), "{file}: {report:#?}");
        let path = victim.directory.join(file);
        fs::rename(&path, victim.home.path.join("away")).unwrap();
        let report = victim.home.verify(&victim.directory);
        assert!(report.first_bad().is_some(), "{file}: {report:#?}");
        fs::rename(victim.home.path.join("away"), &path).unwrap();
    }
    assert!(victim.home.verify(&victim.directory).is_verified());
}

#[test]
fn a_log_without_its_checkpoint_or_with_a_changed_one_is_not_verified() {
    let victim = Victim::new();
    let size = victim.with("checkpoint", |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replacen("\n302\n", "\n301\n", 1).into_bytes();
    });
    assert_eq!(size.findings[0].fault, Fault::Checkpoint, "{size:#?}");
    fs::remove_file(victim.directory.join("checkpoint")).unwrap();
    let gone = victim.home.verify(&victim.directory);
    assert_eq!(gone.findings[0].fault, Fault::Checkpoint, "{gone:#?}");
}

#[test]
fn a_whole_log_that_was_rolled_back_is_found_by_the_anchor() {
    let home = Home::new();
    let log = home.log();
    begin(&log);
    act(&log, agentguard_core::Class::Normal, "make");
    // The first checkpoint is signed after a second.
    let directory = log.directory().to_owned();
    let checkpoint = directory.join("checkpoint");
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !checkpoint.exists() {
        assert!(std::time::Instant::now() < patience, "no checkpoint came");
        std::thread::yield_now();
    }
    let before = home.path.join("before");
    copy(&directory, &before);
    act(&log, agentguard_core::Class::Normal, "make more");
    log.end().unwrap();
    fs::remove_dir_all(&directory).unwrap();
    copy(&before, &directory);
    let report = home.verify(&directory);
    let finding = report.findings.first().unwrap();
    assert_eq!((finding.fault, finding.index), (Fault::RolledBack, Some(3)));
}

#[test]
fn a_log_that_was_written_anew_is_found_by_what_is_known() {
    let home = Home::new();
    let directory = session_of(&home, 2);
    let mut keys = home.keys();
    let other = session_of(&home, 2);
    // The same key signs another history for the same name: only who knew the first one sees it.
    let text = fs::read_to_string(directory.join("checkpoint")).unwrap();
    let mut known = agentguard_audit::Checkpoint::danger_unverified(&text).unwrap();
    let theirs = fs::read_to_string(other.join("checkpoint")).unwrap();
    known.root = agentguard_audit::Checkpoint::danger_unverified(&theirs)
        .unwrap()
        .root;
    keys.know(&known);
    let report = agentguard_audit::verify(&directory, &keys).unwrap();
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.fault == Fault::RolledBack)
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A way to damage bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: usize, bit: u8 },
    Cut { at: usize },
    Remove { at: usize, count: usize },
    Insert { at: usize, bytes: Vec<u8> },
    Repeat { at: usize, count: usize },
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: usize| at % bytes.len().max(1);
        match self {
            Self::Flip { at, bit } => {
                let at = place(*at);
                bytes[at] ^= 1 << bit;
            }
            Self::Cut { at } => bytes.truncate(place(*at)),
            Self::Remove { at, count } => {
                let at = place(*at);
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Self::Insert { at, bytes: more } => {
                let at = place(*at);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Repeat { at, count } => {
                let at = place(*at);
                let copy = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
}

#[test]
fn texts_that_are_doubled_or_swapped_and_lines_that_are_none_are_found() {
    let victim = Victim::new();
    let path = victim.directory.join("texts");
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    for damaged in [
        [&[lines[0], lines[0]], &lines[1..]].concat(),
        [&[lines[1], lines[0]], &lines[2..]].concat(),
        [&lines[..], &[lines[0]]].concat(),
        [&lines[..], &["{\"seq\":9999}"]].concat(),
        [&lines[..], &["none"]].concat(),
    ] {
        fs::write(&path, damaged.join("\n") + "\n").unwrap();
        assert!(!victim.home.verify(&victim.directory).is_verified());
    }
    fs::write(&path, whole).unwrap();
    assert!(victim.home.verify(&victim.directory).is_verified());
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0usize..1 << 20;
    prop_oneof![
        (at.clone(), 0u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        at.clone().prop_map(|at| Damage::Cut { at }),
        (at.clone(), 1usize..600).prop_map(|(at, count)| Damage::Remove { at, count }),
        (at.clone(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        (at, 1usize..600).prop_map(|(at, count)| Damage::Repeat { at, count }),
    ]
}

#[test]
fn no_damage_anywhere_goes_unseen() {
    let victim = Victim::new();
    let files = [
        "wal",
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/46",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/46",
        "texts",
    ];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = (prop::sample::select(files.to_vec()), damage());
    let result = runner.run(&strategy, |(file, damage)| {
        let path = victim.directory.join(file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        damage.apply(&mut bytes);
        prop_assume!(bytes != whole);
        fs::write(&path, &bytes).unwrap();
        let report = victim.home.verify(&victim.directory);
        fs::write(&path, &whole).unwrap();
        // Texts may be erased, which is noted: the log does not depend on them.
        let is_seen = !report.is_verified() || (file == "texts" && !report.notes.is_empty());
        // A torn line at the end of the texts is one that was being written.
        let is_tail = file == "texts" && bytes.starts_with(&whole);
        prop_assert!(is_seen || is_tail, "{file} {damage:?}");
        Ok(())
    });
    result.unwrap();
}
