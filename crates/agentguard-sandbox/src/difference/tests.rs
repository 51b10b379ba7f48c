use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agentguard_core::{ChangeKind, Digest};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, mkfifoat, utimensat};

use super::*;

/// A tree of its own, removed at the end.
struct Tree {
    root: PathBuf,
    fd: File,
}

impl Tree {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("difference-{}-{next}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir(&root).unwrap();
        let fd = File::open(&root).unwrap();
        Self { root, fd }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A snapshot long after the last change, so that no time stamp in it is doubtful.
    fn take(&self) -> Snapshot {
        self.take_with(&WalkLimits::standard())
    }

    fn take_with(&self, limits: &WalkLimits) -> Snapshot {
        let mut snapshot = Snapshot::take(self.fd.as_fd(), limits);
        snapshot.began.0 += 1000;
        snapshot
    }

    fn since(&self, old: &Snapshot) -> Difference {
        difference(old, &self.take(), self.fd.as_fd())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The changes as `+path`, `~path`, `-path`.
fn short(difference: &Difference) -> Vec<String> {
    let mark = |change| match change {
        ChangeKind::Added => '+',
        ChangeKind::Changed => '~',
        ChangeKind::Removed => '-',
    };
    difference
        .changes
        .iter()
        .map(|c| format!("{}{}", mark(c.change), c.path))
        .collect()
}

/// Watches files, and says whether any was opened since.
struct Opens(OwnedFd);

impl Opens {
    fn of(paths: &[PathBuf]) -> Self {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        for path in paths {
            let flags = WatchFlags::OPEN | WatchFlags::ACCESS | WatchFlags::DONT_FOLLOW;
            inotify::add_watch(&fd, path, flags).unwrap();
        }
        Self(fd)
    }

    fn any(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 4096]).is_ok()
    }
}

#[test]
fn what_is_no_file_is_recorded_by_kind_and_never_opened() {
    let tree = Tree::new();
    let old = tree.take();
    let outside = Tree::new();
    outside.write("secret", "secret");
    mkfifoat(CWD, tree.at("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    let _socket = UnixListener::bind(tree.at("socket")).unwrap();
    symlink(outside.at("secret"), tree.at("link")).unwrap();
    symlink(&outside.root, tree.at("linked")).unwrap();
    let opens = Opens::of(&[
        tree.at("fifo"),
        tree.at("socket"),
        outside.at("secret"),
        outside.root.clone(),
    ]);
    let found = tree.since(&old);
    assert!(!opens.any());
    assert!(found.complete);
    let kind = |path: &str| {
        let change = found
            .changes
            .iter()
            .find(|change| change.path == path)
            .unwrap();
        (change.sha256, change.mode.unwrap() & 0o170_000)
    };
    assert_eq!(kind("fifo"), (None, 0o010_000));
    assert_eq!(kind("socket"), (None, 0o140_000));
    assert_eq!(kind("link"), (None, 0o120_000));
    assert_eq!(kind("linked"), (None, 0o120_000));
    assert!(!short(&found).iter().any(|path| path.contains("linked/")));
    // The watch does see an open.
    File::open(outside.at("secret")).unwrap();
    assert!(opens.any());
}

#[test]
fn a_file_that_becomes_a_link_or_fifo_after_the_walk_is_not_read_and_not_waited_for() {
    for swap in [true, false] {
        let (tree, outside) = (Tree::new(), Tree::new());
        outside.write("secret", "secret");
        let old = tree.take();
        tree.write("file", "text");
        let new = tree.take();
        fs::remove_file(tree.at("file")).unwrap();
        if swap {
            symlink(outside.at("secret"), tree.at("file")).unwrap();
        } else {
            mkfifoat(CWD, tree.at("file"), Mode::RUSR | Mode::WUSR).unwrap();
        }
        let opens = Opens::of(&[outside.at("secret")]);
        let found = difference(&old, &new, tree.fd.as_fd());
        assert_eq!(short(&found), ["+file"]);
        assert_eq!(found.changes[0].sha256, None);
        assert!(!found.complete);
        assert!(!opens.any());
    }
}

#[test]
fn a_directory_that_becomes_a_link_is_not_followed_to_a_files_content() {
    let (tree, outside) = (Tree::new(), Tree::new());
    outside.write("file", "secret");
    let old = tree.take();
    tree.write("a/file", "text");
    let new = tree.take();
    fs::remove_dir_all(tree.at("a")).unwrap();
    symlink(&outside.root, tree.at("a")).unwrap();
    let opens = Opens::of(&[outside.at("file")]);
    let found = difference(&old, &new, tree.fd.as_fd());
    assert!(!found.complete);
    assert!(found.changes.iter().all(|change| change.sha256.is_none()));
    assert!(!opens.any());
}

#[test]
fn a_content_put_back_in_size_and_time_is_still_seen() {
    let tree = Tree::new();
    tree.write("file", "text");
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        },
        last_modification: Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        },
    };
    utimensat(CWD, tree.at("file"), &times, AtFlags::empty()).unwrap();
    let old = Snapshot::take(tree.fd.as_fd(), &WalkLimits::standard());
    tree.write("file", "hack");
    utimensat(CWD, tree.at("file"), &times, AtFlags::empty()).unwrap();
    let found = tree.since(&old);
    assert_eq!(short(&found), ["~file"]);
    assert_eq!(found.changes[0].sha256, Some(Digest::of(b"hack")));
}

#[test]
fn a_file_whose_stamp_is_as_young_as_the_walk_counts_as_changed() {
    let tree = Tree::new();
    tree.write("file", "text");
    let mut old = tree.take();
    assert_eq!(short(&tree.since(&old)), [""; 0]);
    let (seconds, nanos) = old.items[0].key.ctime;
    let nanos = i64::try_from(nanos).unwrap();
    old.began = (seconds, nanos);
    assert_eq!(short(&tree.since(&old)), ["~file"]);
    // A tick later still, past it no more; also across a full second.
    let later = |by: i64| match nanos + by {
        sum if sum >= 1_000_000_000 => (seconds + 1, sum - 1_000_000_000),
        sum => (seconds, sum),
    };
    old.began = later(10_000_000);
    assert_eq!(short(&tree.since(&old)), ["~file"]);
    old.began = later(10_000_001);
    assert_eq!(short(&tree.since(&old)), [""; 0]);
}

#[test]
fn a_limit_makes_the_difference_incomplete_and_claims_nothing_it_did_not_see() {
    let tree = Tree::new();
    for path in ["a/b/c/file", "a/file", "d/file", "file"] {
        tree.write(path, "text");
    }
    let full = tree.take();
    let standard = WalkLimits::standard();
    let limits = [
        WalkLimits {
            files: 2,
            ..standard.clone()
        },
        WalkLimits {
            files: 0,
            ..standard.clone()
        },
        WalkLimits {
            depth: 0,
            ..standard.clone()
        },
        WalkLimits {
            depth: 2,
            ..standard.clone()
        },
        WalkLimits {
            path_bytes: 5,
            ..standard.clone()
        },
        WalkLimits {
            time: Duration::ZERO,
            ..standard
        },
    ];
    for limits in limits {
        let cut = tree.take_with(&limits);
        assert!(!cut.is_complete() && cut.len() < full.len(), "{limits:?}");
        let forward = difference(&full, &cut, tree.fd.as_fd());
        assert!(!forward.complete);
        assert_eq!(short(&forward), [""; 0], "{limits:?}");
        // What the cut walk may have missed is `changed` then: it could be new or not.
        let back = difference(&cut, &full, tree.fd.as_fd());
        assert!(!back.complete && !back.changes.is_empty());
        assert!(
            back.changes.iter().all(|c| c.change == ChangeKind::Changed),
            "{limits:?}"
        );
    }
    assert!(
        tree.take_with(&WalkLimits {
            depth: 3,
            ..WalkLimits::standard()
        })
        .is_complete()
    );
}

#[test]
fn a_directory_that_cannot_be_opened_does_not_hide_what_was_done_in_it() {
    let tree = Tree::new();
    tree.write("a/file", "text");
    let seen = tree.take();
    let mut blind = tree.take();
    // As a walk leaves it that had no right to the directory.
    blind.items.retain(|item| !item.path.0.starts_with(b"a/"));
    blind.unseen.insert(snapshot::Path(b"a".as_slice().into()));
    assert_eq!(short(&difference(&seen, &blind, tree.fd.as_fd())), [""; 0]);
    tree.write("a/file", "other");
    let found = difference(&blind, &tree.take(), tree.fd.as_fd());
    assert_eq!(short(&found), ["~a/file"]);
    assert_eq!(found.changes[0].sha256, Some(Digest::of(b"other")));
    assert!(!found.complete);
}

#[test]
fn another_file_system_is_not_entered_and_makes_the_walk_incomplete() {
    let tree = Tree::new();
    tree.write("a/file", "text");
    let elsewhere = Snapshot::take_on(Some(u64::MAX), tree.fd.as_fd(), &WalkLimits::standard());
    assert!(!elsewhere.is_complete());
    assert_eq!(elsewhere.len(), 1);
    assert!(elsewhere.has_not_seen(&snapshot::Path(b"a/file".as_slice().into())));
}

#[test]
fn a_path_too_long_for_one_call_is_read_all_the_same() {
    let tree = Tree::new();
    let old = tree.take();
    let name = "d".repeat(200);
    let mut at: OwnedFd = tree.fd.try_clone().unwrap().into();
    for _ in 0..60 {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = beneath::open_directory(&at, name.as_bytes()).unwrap();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let file = rustix::fs::openat(&at, "file", flags, Mode::RUSR).unwrap();
    rustix::io::write(file, b"deep").unwrap();
    let found = tree.since(&old);
    assert!(found.complete);
    let last = found.changes.last().unwrap();
    assert_eq!(
        (last.path.len(), last.sha256),
        (60 * 201 + 4, Some(Digest::of(b"deep")))
    );
}

#[test]
fn names_that_are_no_text_are_escaped_and_read() {
    let tree = Tree::new();
    let old = tree.take();
    fs::write(tree.root.join(OsStr::from_bytes(b"\xff\n\\")), "odd").unwrap();
    let found = tree.since(&old);
    assert_eq!(short(&found), ["+\\xff\\x0a\\x5c"]);
    assert_eq!(found.changes[0].sha256, Some(Digest::of(b"odd")));
}

#[test]
fn objects_are_left_out_at_the_top_only_and_hooks_are_not() {
    let tree = Tree::new();
    let old = tree.take();
    let paths = [
        ".git/objects/ab/cd",
        ".git/objects2",
        ".git/hooks/pre-commit",
        "sub/.git/objects/ab",
    ];
    for path in paths {
        tree.write(path, "text");
    }
    let found = tree.since(&old);
    assert!(found.complete);
    let files: Vec<_> = found
        .changes
        .iter()
        .filter(|c| c.sha256.is_some())
        .map(|c| &*c.path)
        .collect();
    assert_eq!(
        files,
        [
            ".git/hooks/pre-commit",
            ".git/objects2",
            "sub/.git/objects/ab"
        ]
    );
}

#[test]
fn a_mask_is_not_entered_and_not_missed() {
    let tree = Tree::new();
    tree.write("secrets/key", "text");
    let masks = vec![PathBuf::from("secrets")];
    let snapshot = tree.take_with(&WalkLimits {
        masks,
        ..WalkLimits::standard()
    });
    assert!(snapshot.is_complete());
    assert_eq!(snapshot.len(), 1);
}

#[test]
fn a_large_file_is_recorded_without_a_digest() {
    let tree = Tree::new();
    let old = tree.take();
    File::create(tree.at("large"))
        .unwrap()
        .set_len((64 << 20) + 1)
        .unwrap();
    let found = tree.since(&old);
    assert!(found.complete);
    assert_eq!(
        (short(&found), found.changes[0].sha256),
        (vec!["+large".to_owned()], None)
    );
}

#[test]
fn modes_kinds_and_empty_directories_are_changes_too() {
    let tree = Tree::new();
    for path in ["mode", "kind", "moved", "same", "dir/file"] {
        tree.write(path, "text");
    }
    let old = tree.take();
    fs::set_permissions(tree.at("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(tree.at("kind")).unwrap();
    fs::create_dir(tree.at("kind")).unwrap();
    fs::rename(tree.at("moved"), tree.at("new")).unwrap();
    fs::set_permissions(tree.at("dir"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(tree.at("empty")).unwrap();
    let found = tree.since(&old);
    assert_eq!(
        short(&found),
        ["~dir", "+empty", "~kind", "~mode", "-moved", "+new"]
    );
    assert!(found.complete);
}

#[test]
fn everything_comes_back_from_its_text() {
    let tree = Tree::new();
    tree.write("a/file", "text");
    fs::write(tree.root.join(OsStr::from_bytes(b"\xfe")), "odd").unwrap();
    let empty = Tree::new().take();
    let snapshot = tree.take_with(&WalkLimits {
        depth: 0,
        ..WalkLimits::standard()
    });
    let text = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot);
    let found = tree.since(&empty);
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Difference>(&text).unwrap(), found);
}

/// Walks with plain library calls: what a difference has to agree with.
fn contents(root: &Path, below: &Path, found: &mut BTreeMap<String, Option<Digest>>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if path.is_dir() {
            found.insert(name, None);
            contents(root, &path, found);
        } else {
            found.insert(name, Some(Digest::of(&fs::read(&path).unwrap())));
        }
    }
}

#[test]
fn random_changes_are_found_as_a_plain_walk_finds_them() {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let tree = Tree::new();
    let (mut old, mut before) = (tree.take(), BTreeMap::new());
    for round in 0..60 {
        for change in 0..random(8) {
            let top = format!("d{}", random(3));
            let path = format!("{top}/e{}/f{}", random(3), random(4));
            match random(3) {
                0 => drop(fs::remove_file(tree.at(&path))),
                1 => drop(fs::remove_dir_all(tree.at(&top))),
                _ => tree.write(&path, &format!("{round} {change}")),
            }
        }
        let new = tree.take();
        let found = difference(&old, &new, tree.fd.as_fd());
        let mut after = BTreeMap::new();
        contents(&tree.root, &tree.root, &mut after);
        let mut seen = before.clone();
        for change in &found.changes {
            match change.change {
                ChangeKind::Added => {
                    assert_eq!(seen.insert(change.path.clone(), change.sha256), None)
                }
                ChangeKind::Changed => {
                    assert!(seen.insert(change.path.clone(), change.sha256).is_some())
                }
                ChangeKind::Removed => assert!(seen.remove(&change.path).is_some()),
            }
        }
        assert!(found.complete);
        assert_eq!(seen, after, "round {round}");
        (old, before) = (new, after);
    }
}

#[test]
fn the_settings_of_repositories_below_are_known() {
    let tree = Tree::new();
    for path in [
        ".git/HEAD",
        ".git/config",
        "a/b/.git/HEAD",
        "a/b/.git/config",
        "a/b/.git/hooks/x",
        "a/b/.git/objects/x",
        "a/b/.git/refs/x",
        "bare/HEAD",
        "bare/config",
        "bare/objects/x",
        "bare/refs/x",
        "bare/remotes/x",
        "tree/.git",
        "no/HEAD",
        "no/config",
        "no/objects/x",
    ] {
        tree.write(path, "x");
    }
    let mut found = tree.take().settings_of_repositories();
    found.sort();
    let expected = [
        "a/b/.git/config",
        "a/b/.git/hooks",
        "bare/config",
        "bare/remotes",
        "tree/.git",
    ];
    assert_eq!(found, expected.map(PathBuf::from));
}

/// A tree of one manifest each, and what is told of them after `change`.
fn scripts_after(before: &[(&str, &str)], change: impl FnOnce(&Tree)) -> Vec<String> {
    let tree = Tree::new();
    for (path, text) in before {
        tree.write(path, text);
    }
    let old = tree.take();
    let mut scripts = Scripts::take(&old, tree.fd.as_fd());
    change(&tree);
    scripts.differ(&tree.since(&old).changes, tree.fd.as_fd())
}

#[test]
fn a_script_that_runs_unasked_is_told_of_however_it_comes() {
    let plain = r#"{"scripts": {"test": "true", "prepare": "true"}}"#;
    let before = [("package.json", plain), ("plain", "")];
    for now in [
        r#"{"scripts": {"test": "true", "prepare": "evil"}}"#,
        r#"{"scripts": {"prepare": "true", "postinstall": "evil"}}"#,
        "\u{feff}{\"scripts\": {\"preinstall\": \"evil\"}}",
        r#"{"scripts": {"prepare": "true", "prep\u0061re": "evil"}}"#,
        // JSON to JavaScript, and not to everybody.
        r#"{"scripts": {"postinstall": "evil"}, "name": "\ud800"}"#,
        r#"{"scripts": {"postinstall": "evil"}, "n": 1e999}"#,
    ] {
        let told = scripts_after(&before, |tree| tree.write("package.json", now));
        assert_eq!(told, ["package.json"], "{now}");
    }
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep = format!(r#"{{"a": {nested}, "scripts": {{"prepare": "true"}}}}"#);
    let large = format!("{plain}{}", " ".repeat(2 << 20));
    for (path, now) in [
        ("a/package.json", plain),
        ("package.json", &deep),
        ("package.json", &large),
        ("binding.gyp", ""),
    ] {
        let told = scripts_after(&before, |tree| tree.write(path, now));
        assert_eq!(told, [path]);
    }
    let told = scripts_after(&before, |tree| {
        fs::remove_file(tree.at("package.json")).unwrap();
        tree.write("elsewhere", plain);
        symlink("elsewhere", tree.at("package.json")).unwrap();
    });
    assert_eq!(told, ["package.json"]);
}

#[test]
fn a_manifest_that_changes_otherwise_is_not_told_of() {
    let plain = r#"{"scripts": {"test": "true", "prepare": "true"}}"#;
    let before = [("package.json", plain), ("binding.gyp", "{}")];
    for (path, now) in [
        (
            "package.json",
            r#"{"version": "2", "scripts": {"prepare": "true", "test": "evil"}}"#,
        ),
        ("package.json", r#"{"scripts": {"build": "evil"}}"#),
        ("package.json", r#"{"scripts": "evil"}"#),
        ("binding.gyp", "{}"),
        ("node_modules/a/package.json", plain),
        ("a/node_modules/b/package.json", plain),
        ("package.json.bak", plain),
        ("a/package.json", r#"{"name": "a"}"#),
    ] {
        let told = scripts_after(&before, |tree| tree.write(path, now));
        assert_eq!(told, Vec::<String>::new(), "{path} {now}");
    }
    let told = scripts_after(&before, |tree| {
        fs::remove_file(tree.at("package.json")).unwrap()
    });
    assert_eq!(told, Vec::<String>::new());
}
