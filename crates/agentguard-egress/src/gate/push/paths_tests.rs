//! What is made of a pack, compared to what git makes of it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::{env, fs, io::Write as _, process};

use gix_hash::Kind as Hash;

use super::histories::Stream;
use super::*;

/// A repository of this test's own, gone when dropped.
pub(super) struct Repository(pub(super) PathBuf);

impl Repository {
    fn new(name: &str) -> Self {
        Self::of(name, Hash::Sha1)
    }

    pub(super) fn of(name: &str, format: Hash) -> Self {
        let path = env::temp_dir().join(format!("agentguard-pushed-{}-{name}", process::id()));
        fs::create_dir_all(&path).unwrap();
        let repository = Self(path);
        let format = format!("--object-format={format}");
        repository.git(&["init", "-q", &format, "-b", "main"]);
        repository
    }

    #[expect(clippy::disallowed_methods, reason = "git is what it is compared to")]
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@example.org",
                "-c",
                "commit.gpgsign=false",
                "-c",
                "core.fsync=none",
                "-c",
                "pack.threads=1",
            ])
            .args(words)
            .current_dir(&self.0)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stderr(Stdio::null());
        command
    }

    pub(super) fn git(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The pack of what `new` leads to and `old` does not, complete in itself.
    pub(super) fn pack(&self, new: &[&str], old: &[&str]) -> Vec<u8> {
        let mut command = self.command(&[
            "pack-objects",
            "--revs",
            "--stdout",
            "-q",
            "--delta-base-offset",
        ]);
        let mut packing = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = packing.stdin.take().unwrap();
        for one in new {
            writeln!(stdin, "{one}").unwrap();
        }
        for one in old {
            writeln!(stdin, "^{one}").unwrap();
        }
        drop(stdin);
        let output = packing.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        let above = path.parent().unwrap();
        // A file may stand where there is to be a directory.
        let mut one = above;
        while one.starts_with(&self.0) && one != self.0 {
            if one.is_file() {
                fs::remove_file(one).unwrap();
            }
            one = one.parent().unwrap();
        }
        fs::create_dir_all(above).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn id(&self, name: &str) -> String {
        self.git(&["rev-parse", name]).trim().to_owned()
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(pack: &[u8]) -> Result<Objects, String> {
    read_of(pack, Hash::Sha1)
}

pub(super) fn read_of(pack: &[u8], format: Hash) -> Result<Objects, String> {
    let mut objects = Objects::new(format);
    objects.read(pack, &AtomicBool::new(false))?;
    Ok(objects)
}

pub(super) fn update(old: Option<&str>, new: &str) -> RefUpdate {
    let own = |id: &str| id.to_owned();
    RefUpdate::new(old.map(own), Some(own(new)), "refs/heads/x").unwrap()
}

/// A small number that depends on nothing but how often it was asked for.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// Commits that change, move and remove files, on branches that are merged: `main` goes on from where it is.
fn history(repository: &Repository, dice: &mut Dice, commits: usize) {
    let mut made: Vec<String> = Vec::new();
    let begun = repository
        .command(&["rev-parse", "-q", "--verify", "main"])
        .output()
        .unwrap();
    if begun.status.success() {
        made.push(String::from_utf8(begun.stdout).unwrap().trim().to_owned());
    }
    let mut stream = Stream::of(Hash::Sha1);
    stream.grow(dice, ("main", &mut made), commits);
    stream.import(repository);
}

#[test]
fn a_branch_that_is_thrown_back_is_not_forward() {
    let repository = Repository::new("force");
    let mut dice = Dice(1);
    history(&repository, &mut dice, 3);
    let old = repository.id("HEAD");
    repository.git(&["reset", "-q", "--hard", "HEAD~1"]);
    repository.write("a", "other");
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-m", "other"]);
    let new = repository.id("HEAD");
    let objects = read(&repository.pack(&[&new], &[&old])).unwrap();
    let refs = [update(Some(&old), &new)];
    let walk = Walk::over(&objects, &refs).unwrap();
    assert!(!walk.is_forward(&objects, &refs[0]));
}

#[test]
fn files_that_are_too_large_to_be_held_are_called_as_git_calls_them() {
    for format in [Hash::Sha1, Hash::Sha256] {
        let repository = Repository::of(&format!("large-{format}"), format);
        let mut ids = Vec::new();
        for number in 1..3 {
            // In between, and last, stand others that are held.
            let name = format!("{number}");
            let text = name.repeat((32 << 20) + number);
            repository.write(&name, &text);
            repository.write(&format!("small{number}"), "x");
            ids.push((
                repository.git(&["hash-object", &name]).trim().to_owned(),
                text.len(),
            ));
        }
        repository.git(&["add", "-A"]);
        repository.git(&["commit", "-q", "-m", "one"]);
        let head = repository.id("HEAD");
        let mut objects = Objects::new(format);
        let pack = repository.pack(&[&head], &[]);
        objects.read(&pack, &AtomicBool::new(false)).unwrap();
        for (id, length) in ids {
            let id = ObjectId::from_hex(id.as_bytes()).unwrap();
            assert_eq!(
                objects.blobs.get(&id),
                Some(&u64::try_from(length).unwrap())
            );
        }
        assert_eq!((objects.blobs.len(), objects.commits.len()), (3, 1));
        // What is not looked into may be anything. One of the three is short.
        assert_eq!(objects.manifests.len(), 2);
        // What is only said to be complete is not read.
        let late = AtomicBool::new(true);
        assert!(Objects::new(format).read(&pack, &late).is_err());
    }
}

#[test]
fn only_a_branch_that_is_changed_vouches_for_what_it_is_said_to_hold() {
    let repository = Repository::new("vouches");
    let mut dice = Dice(1);
    history(&repository, &mut dice, 2);
    let old = repository.id("HEAD");
    repository.write("a", "other");
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-m", "other"]);
    let new = repository.id("HEAD");
    let objects = read(&repository.pack(&[&new], &[&old])).unwrap();
    let upon = ObjectId::from_hex(old.as_bytes()).unwrap();
    let named = |name: &str, old: Option<&str>| {
        RefUpdate::new(old.map(str::to_owned), Some(new.clone()), name).unwrap()
    };
    let own = named("refs/heads/x", Some(&old));
    let walk = Walk::over(&objects, std::slice::from_ref(&own)).unwrap();
    assert_eq!(walk.built_upon, [upon]);
    assert!(walk.ground(&objects, std::slice::from_ref(&own)).is_empty());
    for others in [
        vec![named("refs/heads/y", None)],
        vec![own.clone(), named("refs/heads/y", None)],
        vec![named("refs/tags/x", Some(&old))],
        vec![named("refs/heads/x", Some(&"1".repeat(40)))],
    ] {
        assert_eq!(walk.ground(&objects, &others), [upon], "{others:?}");
    }
}

#[test]
fn a_directory_that_nobody_knows_is_not_taken_for_one_without_changes() {
    let repository = Repository::new("unknown");
    repository.write("x/workflows/ci.yml", "on: push");
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-m", "one"]);
    let old = repository.id("HEAD");
    repository.git(&["mv", "x", ".github"]);
    repository.git(&["commit", "-q", "-m", "two"]);
    let new = repository.id("HEAD");
    let objects = read(&repository.pack(&[&new], &[&old])).unwrap();
    let walk = Walk::over(&objects, &[update(Some(&old), &new)]).unwrap();
    let why = walk
        .changes(&objects, &Objects::new(Hash::Sha1))
        .unwrap_err();
    assert_eq!(why, "what it builds upon is not known");
    // The commit is known, and what its directories hold is not.
    let mut ground = read(&repository.pack(&[&old], &[])).unwrap();
    ground.trees.clear();
    let why = walk.changes(&objects, &ground).unwrap_err();
    assert!(why.contains("only the server knows"), "{why}");
    let moved = repository.id("HEAD~1:x");
    let taken_up = walk.taken_up(&objects, &ground).unwrap();
    assert_eq!(taken_up, [ObjectId::from_hex(moved.as_bytes()).unwrap()]);
}

#[test]
fn commits_that_no_ref_leads_to_are_not_brought_along() {
    let repository = Repository::new("stowaway");
    history(&repository, &mut Dice(3), 2);
    let new = repository.id("HEAD~1");
    let pack = repository.pack(&["HEAD"], &[]);
    let objects = read(&pack).unwrap();
    let why = Walk::over(&objects, &[update(None, &new)])
        .map(drop)
        .unwrap_err();
    assert!(why.contains("none of its refs"), "{why}");
}

#[test]
fn names_that_some_system_takes_for_the_repository_are_none() {
    for name in [
        ".git",
        ".GIT",
        ".git ",
        ".git.",
        "git~1",
        "GIT~1",
        ".git::$INDEX_ALLOCATION",
        ".g\u{200c}it",
        "..",
        ".",
        "",
        "a/b",
        "a\\b",
    ] {
        assert!(!is_name(name.as_bytes()), "{name:?}");
    }
    for name in [
        ".github",
        ".gitignore",
        ".gitmodules",
        "git",
        "a.git",
        "..a",
        "ä",
    ] {
        assert!(is_name(name.as_bytes()), "{name:?}");
    }
}

#[test]
fn versions_of_files_are_bounded() {
    let id = |n: u32| ObjectId::from_hex(format!("{n:040x}").as_bytes()).unwrap();
    let changes = |last: u32| {
        let mut objects = Objects::new(Hash::Sha1);
        for tree in 0..2 {
            let entry = |n: u32| Entry {
                name: format!("Dockerfile.{n:03}").into_bytes(),
                mode: 0o100_644,
                id: id(tree + 10),
            };
            objects
                .trees
                .insert(id(tree), (0..200).map(entry).collect());
        }
        for n in 1000..=last {
            let commit = crate::gate::push::pack::Commit {
                tree: id(n % 2),
                parents: (n > 1000).then(|| id(n - 1)).into_iter().collect(),
                author: String::new(),
                committer: String::new(),
                signature: Default::default(),
                sessions: Vec::new(),
            };
            objects.commits.insert(id(n), commit);
        }
        let walk = Walk::over(&objects, &[update(None, &id(last).to_string())])?;
        walk.changes(&objects, &Objects::new(Hash::Sha1))
    };
    assert_eq!(changes(1199).unwrap().files.len(), 200 * 200);
    assert!(changes(1299).is_err());
}

#[test]
fn a_pack_that_is_none_is_not_read() {
    let repository = Repository::new("broken");
    history(&repository, &mut Dice(5), 4);
    let pack = repository.pack(&["HEAD"], &[]);
    assert!(read(&pack).is_ok());
    for length in [0, 4, 12, 31, pack.len() / 2, pack.len() - 1] {
        assert!(read(&pack[..length]).is_err(), "{length}");
    }
    assert!(read(&[&pack[..], b"x"].concat()).is_err());
    for at in 0..pack.len() {
        let mut other = pack.clone();
        other[at] ^= 0x55;
        assert!(read(&other).is_err(), "byte {at}");
    }
}

#[test]
fn fuzz_a_pack_is_read_or_is_none() {
    let words = [
        "PACK\0\0\0\x02",
        "\0\0\0\x01",
        "tree ",
        "parent ",
        "author a <a@b> 1 +0000\n",
        "100644 a\0",
        "x\u{9c}",
    ];
    crate::mutate::fuzz("pushed-pack", &words, |bytes| {
        // Its digest stands behind it; nothing would get past it otherwise.
        let mut hasher = gix_hash::hasher(Hash::Sha1);
        hasher.update(bytes);
        let digest = hasher.try_finalize().unwrap();
        match read(&[bytes, digest.as_slice()].concat()) {
            Ok(objects) => {
                let refs: Vec<_> = objects
                    .commits
                    .keys()
                    .map(|id| update(None, &id.to_string()))
                    .collect();
                let changes = Walk::over(&objects, &refs)
                    .and_then(|walk| walk.changes(&objects, &Objects::new(Hash::Sha1)));
                let said = changes
                    .map_or_else(|why| why, |changes| changes.paths.len().min(3).to_string());
                format!(
                    "{} commits, {} trees: {said}",
                    objects.commits.len().min(2),
                    objects.trees.len().min(2)
                )
            }
            Err(why) => why
                .split([':', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
                .next()
                .unwrap()
                .to_owned(),
        }
    });
}
