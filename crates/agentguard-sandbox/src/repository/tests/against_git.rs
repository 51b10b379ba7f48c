use std::collections::BTreeMap;

use super::*;

/// All refs as git lists them, symbolic ones by name.
fn refs_by_git(scratch: &Scratch) -> BTreeMap<String, String> {
    let format =
        "--format=%(refname) %(if)%(symref)%(then)ref: %(symref)%(else)%(objectname)%(end)";
    let listed = scratch.git(&["for-each-ref", format]);
    let mut refs: BTreeMap<_, _> = listed
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let head = std::fs::read_to_string(scratch.work.join(".git/HEAD")).unwrap();
    refs.insert("HEAD".to_owned(), head.trim().to_owned());
    refs
}

/// All commits that refs lead to, as git walks them.
fn commits_by_git(scratch: &Scratch) -> BTreeSet<String> {
    scratch
        .git(&["rev-list", "--all", "HEAD"])
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn random_histories_are_read_as_git_reads_them() {
    for (seed, format) in [(1_u64, "sha1"), (2, "sha1"), (3, "sha256")] {
        let scratch = Scratch::empty();
        scratch.git(&[
            "init",
            "-q",
            "-b",
            "main",
            &format!("--object-format={format}"),
        ]);
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut repository = scratch.find();
        let (mut old, mut ever) = (repository.refs(), BTreeSet::new());
        scratch.commit("first");
        for round in 0..25 {
            for step in 0..=random(4) {
                change(&scratch, random(10), &format!("{round}-{step}"));
            }
            let (new, found) = since(&mut repository, &old);
            assert_eq!(new.refs, refs_by_git(&scratch), "{format} {seed} {round}");
            assert!(
                new.complete && found.complete && found.unreadable == 0,
                "{found:?}"
            );
            let now = commits_by_git(&scratch);
            let answered: BTreeSet<_> = found.commits.iter().map(|c| c.id.clone()).collect();
            assert_eq!(answered.len(), found.commits.len(), "none twice");
            assert_eq!(answered, &now - &ever, "{format} {seed} {round}");
            ever.extend(now);
            old = new;
        }
    }
}

/// One of the things that people do.
fn change(scratch: &Scratch, kind: u64, name: &str) {
    match kind {
        0..=2 => drop(scratch.commit(name)),
        3 => drop(scratch.git(&["checkout", "-q", "-b", &format!("side/{name}")])),
        4 => {
            scratch.git(&["checkout", "-q", "--detach"]);
            scratch.commit(name);
            scratch.git(&["checkout", "-q", "-B", "main"]);
        }
        5 => {
            scratch.git(&["checkout", "-q", "-b", &format!("merge/{name}"), "HEAD"]);
            scratch.commit(name);
            scratch.git(&["checkout", "-q", "-"]);
            scratch.git(&[
                "merge",
                "-q",
                "--no-ff",
                "-m",
                name,
                &format!("merge/{name}"),
            ]);
        }
        6 => drop(scratch.git(&["tag", "-a", "-m", name, &format!("v{name}")])),
        7 => drop(scratch.git(&["pack-refs", "--all"])),
        8 => drop(scratch.git(&["repack", "-q", "-a", "-d"])),
        _ => {
            scratch.commit(name);
            scratch.git(&["update-ref", &format!("refs/odd/{name}"), "HEAD"]);
            scratch.git(&["reset", "-q", "--hard", "HEAD~1"]);
        }
    }
}

#[test]
fn what_was_there_is_not_new_however_refs_move_back() {
    let scratch = Scratch::new();
    let first = scratch.commit("first");
    for name in ["second", "third"] {
        scratch.commit(name);
    }
    scratch.git(&["repack", "-q", "-a", "-d"]);
    let dangling = scratch.commit("dangling");
    scratch.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let mut repository = scratch.find();
    let old = repository.refs();
    for to in [first, dangling] {
        scratch.git(&["reset", "-q", "--hard", &to]);
        let (_, found) = since(&mut repository, &old);
        assert_eq!(found.commits, []);
        assert!(found.complete);
    }
    let new = scratch.commit("new");
    let (_, found) = since(&mut repository, &old);
    assert_eq!(ids(&found, Origin::Made), set([&new]));
    let (_, again) = since(&mut repository, &old);
    assert_eq!(again.commits, [], "answered once");
}

#[test]
fn commits_in_chains_of_deltas_are_read() {
    let scratch = Scratch::new();
    let mut repository = scratch.find();
    let old = repository.refs();
    let long: String = (0..200)
        .map(|n| format!("line {} of a long message\n", n * n))
        .collect();
    for n in 0..60 {
        scratch.commit(&format!("{n}\n\n{long}"));
    }
    scratch.git(&[
        "repack",
        "-q",
        "-a",
        "-d",
        "-f",
        "--depth=50",
        "--window=60",
    ]);
    let listed = scratch.git(&["verify-pack", "-v", &pack(&scratch)]);
    let deltas = listed
        .lines()
        .filter(|l| l.contains(" commit ") && l.split(' ').count() > 6);
    assert!(
        deltas.count() > 20,
        "the test needs commits that are deltas"
    );
    let (_, found) = since(&mut repository, &old);
    assert_eq!(
        (found.commits.len(), found.unreadable, found.complete),
        (60, 0, true)
    );
}

fn pack(scratch: &Scratch) -> String {
    let mut entries = std::fs::read_dir(scratch.work.join(".git/objects/pack")).unwrap();
    let is_index = |path: &PathBuf| path.extension().is_some_and(|e| e == "idx");
    let path = entries
        .find_map(|entry| Some(entry.unwrap().path()).filter(is_index))
        .unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_is_fetched_is_received_and_what_is_made_on_top_is_made() {
    for unpack_limit in ["1", "1000"] {
        let scratch = Scratch::new();
        let base = scratch.commit("base");
        scratch.git_in(".", &["clone", "-q", "work", "other"]);
        scratch.git(&["remote", "add", "origin", "../other"]);
        let mut repository = scratch.find();
        let old = repository.refs();
        scratch.git_in("other", &["commit", "-q", "--allow-empty", "-m", "theirs"]);
        let theirs = scratch
            .git_in("other", &["rev-parse", "HEAD"])
            .trim()
            .to_owned();
        let limit = format!("fetch.unpackLimit={unpack_limit}");
        scratch.git(&["-c", &limit, "fetch", "-q", "origin"]);
        scratch.git(&["merge", "-q", "--ff-only", "origin/main"]);
        let ours = scratch.commit("ours");
        let (new, found) = since(&mut repository, &old);
        assert_eq!(
            ids(&found, Origin::Received),
            set([&theirs]),
            "{unpack_limit}"
        );
        assert_eq!(ids(&found, Origin::Made), set([&ours]));
        let moves: Vec<_> = moved_refs(&old, &new)
            .into_iter()
            .map(|m| (m.name, m.old, m.new))
            .collect();
        let main = ("refs/heads/main".to_owned(), Some(base), Some(ours));
        let remote = ("refs/remotes/origin/main".to_owned(), None, Some(theirs));
        assert_eq!(moves, [main, remote]);
    }
}

#[test]
fn what_comes_by_a_bundle_is_received() {
    let scratch = Scratch::new();
    scratch.commit("base");
    scratch.git_in(".", &["clone", "-q", "work", "other"]);
    scratch.git_in("other", &["commit", "-q", "--allow-empty", "-m", "theirs"]);
    scratch.git_in(
        "other",
        &["bundle", "create", "-q", "../b", "origin/main..main"],
    );
    let theirs = scratch
        .git_in("other", &["rev-parse", "HEAD"])
        .trim()
        .to_owned();
    let mut repository = scratch.find();
    let old = repository.refs();
    // No remote's ref moves: `FETCH_HEAD` alone leads to it.
    scratch.git(&["fetch", "-q", "../b", "main"]);
    let (new, found) = since(&mut repository, &old);
    assert_eq!(moved_refs(&old, &new), []);
    assert_eq!(ids(&found, Origin::Received), set([&theirs]));
}

#[test]
fn what_is_made_and_pushed_before_a_look_stays_made() {
    let scratch = Scratch::new();
    scratch.commit("base");
    scratch.git_in(".", &["clone", "-q", "--bare", "work", "bare"]);
    scratch.git(&["remote", "add", "origin", "../bare"]);
    scratch.git(&["fetch", "-q", "origin"]);
    let mut repository = scratch.find();
    let old = repository.refs();
    let ours = scratch.commit("ours");
    scratch.git(&["push", "-q", "origin", "main"]);
    let (new, found) = since(&mut repository, &old);
    assert_eq!(new.refs.get("refs/remotes/origin/main"), Some(&ours));
    assert_eq!(ids(&found, Origin::Made), set([&ours]));
}

#[test]
fn a_linked_work_tree_has_its_own_head_and_the_shared_refs() {
    let scratch = Scratch::new();
    let base = scratch.commit("base");
    scratch.git(&["worktree", "add", "-q", "-b", "side", "../linked"]);
    scratch.git_in("linked", &["update-ref", "refs/worktree/own", "HEAD"]);
    scratch.git(&["update-ref", "refs/worktree/mains", "HEAD"]);
    let mut repository = scratch.try_find("linked").unwrap().unwrap();
    let old = repository.refs();
    let get = |name: &str| old.refs.get(name).map(String::as_str);
    assert!(old.complete);
    assert_eq!(old.branch(), Some("side"));
    assert_eq!(get("refs/heads/main"), Some(&*base));
    assert_eq!(get("main-worktree/HEAD"), Some("ref: refs/heads/main"));
    assert_eq!(get("worktrees/linked/HEAD"), Some("ref: refs/heads/side"));
    assert_eq!(get("refs/worktree/own"), Some(&*base));
    assert_eq!(get("refs/worktree/mains"), None);
    scratch.git_in("linked", &["commit", "-q", "--allow-empty", "-m", "new"]);
    let new = scratch
        .git_in("linked", &["rev-parse", "HEAD"])
        .trim()
        .to_owned();
    assert_eq!(
        ids(&since(&mut repository, &old).1, Origin::Made),
        set([&new])
    );
    assert_eq!(
        scratch
            .find()
            .refs()
            .refs
            .get("worktrees/linked/HEAD")
            .unwrap(),
        "ref: refs/heads/side"
    );
}

#[test]
fn a_shallow_clone_ends_where_it_is_cut() {
    let scratch = Scratch::new();
    for name in ["one", "two", "three"] {
        scratch.commit(name);
    }
    let url = format!("file://{}", scratch.work.display());
    scratch.git_in(".", &["clone", "-q", "--depth=1", &url, "shallow"]);
    let mut repository = scratch.try_find("shallow").unwrap().unwrap();
    let old = repository.refs();
    scratch.git_in("shallow", &["commit", "-q", "--allow-empty", "-m", "new"]);
    let (_, found) = since(&mut repository, &old);
    assert_eq!(
        (found.commits.len(), found.unreadable, found.complete),
        (1, 0, true)
    );
}

#[test]
fn a_directory_without_a_repository_has_none() {
    let scratch = Scratch::empty();
    assert!(scratch.try_find("work").unwrap().is_none());
    std::fs::create_dir(scratch.work.join(".git")).unwrap();
    assert!(scratch.try_find("work").unwrap().is_none());
}

#[test]
fn a_new_repository_has_a_branch_and_no_commits() {
    let scratch = Scratch::new();
    let mut repository = scratch.find();
    let refs = repository.refs();
    assert_eq!(
        (refs.branch(), refs.refs.len(), refs.complete),
        (Some("main"), 1, true)
    );
    let found = repository.new_commits(&refs, &refs, 10);
    assert_eq!(
        (found.commits.len(), found.unreadable, found.complete),
        (0, 0, true)
    );
}

#[test]
fn everything_comes_back_from_its_text() {
    let scratch = Scratch::new();
    let mut repository = scratch.find();
    let old = repository.refs();
    scratch.commit("one");
    let (new, found) = since(&mut repository, &old);
    let text = serde_json::to_string(&(&new, &found)).unwrap();
    assert_eq!(
        serde_json::from_str::<(Refs, NewCommits)>(&text).unwrap(),
        (new, found)
    );
}
