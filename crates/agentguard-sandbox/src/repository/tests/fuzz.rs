//! What the agent may have written into its repository.

use std::collections::BTreeMap;

use super::super::object::{Kind, inflate, parse};
use super::super::pack::apply;
use super::*;
use crate::mutate::fuzz;

const LIMIT: usize = 1 << 16;

#[test]
fn fuzz_an_object_is_read_or_is_none() {
    let like = super::super::id::Id::parse(&[b'0'; 40]).unwrap();
    let words = [
        "tree ",
        "parent ",
        "author ",
        "object ",
        "\n",
        "0000000000000000000000000000000000000000",
    ];
    fuzz("object", &words, |bytes| {
        let (inflated, is_whole) = inflate(bytes, LIMIT);
        assert!(inflated.len() <= LIMIT);
        let kinds = [Kind::Commit, Kind::Tag, Kind::Other];
        let parsed = kinds.map(|kind| parse(kind, bytes, &like).is_some());
        format!("{parsed:?} {is_whole} {}", inflated.is_empty())
    });
}

#[test]
fn fuzz_a_delta_makes_an_object_or_none() {
    fuzz("delta", &[], |bytes| {
        let (base, delta) = bytes.split_at(bytes.len() / 2);
        match apply(base, delta) {
            Some(made) => format!("made {}", made.is_empty()),
            None => format!("none {}", base.is_empty()),
        }
    });
}

/// What a walk makes of commits that appear once the repository was looked at.
fn walked(scratch: &Scratch, appear: impl FnOnce()) -> String {
    let Ok(Some(mut repository)) = scratch.try_find("work") else {
        return "no repository".to_owned();
    };
    let none = Refs {
        refs: BTreeMap::new(),
        complete: true,
    };
    appear();
    let refs = repository.refs();
    let found = repository.new_commits(&none, &refs, 100);
    let (commits, branch) = (found.commits.len().min(4), refs.branch().is_some());
    format!(
        "{} {} {} {branch}",
        "x".repeat(commits),
        found.complete,
        refs.complete
    )
}

/// A repository with a pack, and the paths of its index and the pack itself.
fn packed() -> (Scratch, [PathBuf; 2]) {
    let scratch = Scratch::new();
    for message in ["first", "second", "third"] {
        scratch.commit(message);
    }
    scratch.git(&["repack", "-adq"]);
    let packs = scratch.work.join(".git/objects/pack");
    let mut paths = fs::read_dir(packs)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let index = paths.find(|path| path.extension().is_some_and(|extension| extension == "idx"));
    let index = index.unwrap();
    let pack = index.with_extension("pack");
    (scratch, [index, pack])
}

/// The input, whose first bytes say where in the real file it stands: a whole one is never guessed.
fn patched(real: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut made = real.to_vec();
    let Some((at, patch)) = bytes.split_first_chunk::<2>() else {
        return bytes.to_vec();
    };
    let at = usize::from(u16::from_le_bytes(*at));
    if at > made.len() {
        return patch.to_vec();
    }
    let end = (at + patch.len()).min(made.len());
    made.splice(at..end, patch.iter().copied());
    made
}

/// Fuzzes the `which`-th of a pack's two files, the other being as git made it.
fn fuzz_one_of_two(name: &str, which: usize) {
    let (scratch, paths) = packed();
    let real = paths.each_ref().map(|path| fs::read(path).unwrap());
    fuzz(name, &[], |bytes| {
        for path in &paths {
            let _ = fs::remove_file(path);
        }
        walked(&scratch, || {
            for (number, (path, real)) in paths.iter().zip(&real).enumerate() {
                let changed = patched(real, bytes);
                fs::write(path, if number == which { &changed } else { real }).unwrap();
            }
        })
    });
}

#[test]
fn fuzz_an_index_of_a_pack_leads_to_commits_or_to_none() {
    fuzz_one_of_two("pack-index", 0);
}

#[test]
fn fuzz_a_pack_holds_commits_or_none() {
    fuzz_one_of_two("pack", 1);
}

#[test]
fn fuzz_refs_are_read_or_left_out() {
    let words = [
        "ref: ",
        "refs/heads/",
        "refs/remotes/",
        "HEAD",
        "^",
        "# pack-refs",
        "\n",
        " ",
        "../",
        "gitdir: ",
    ];
    let scratch = Scratch::new();
    let git = scratch.work.join(".git");
    fuzz("refs", &words, |bytes| {
        scratch.write(".git/HEAD", "ref: refs/heads/main\n");
        let _ = fs::remove_file(git.join("packed-refs"));
        walked(&scratch, || {
            let mut parts = bytes.split(|byte| *byte == 0);
            for file in [".git/HEAD", ".git/refs/heads/main", ".git/packed-refs"] {
                scratch.write(file, parts.next().unwrap_or_default());
            }
        })
    });
}

#[test]
fn fuzz_a_file_in_place_of_a_repository_leads_somewhere_or_nowhere() {
    let words = ["gitdir: ", "../", "/", ".git", "\n", "\0", "worktrees/"];
    let scratch = Scratch::empty();
    fuzz("gitdir", &words, |bytes| {
        scratch.write(".git", bytes);
        match scratch.try_find("work") {
            Ok(Some(_)) => "found".to_owned(),
            Ok(None) => "none".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        }
    });
}
