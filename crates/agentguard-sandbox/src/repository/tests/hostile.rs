use std::os::unix::fs::symlink;
use std::path::Path;

use miniz_oxide::deflate::compress_to_vec_zlib;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;

fn id(n: u32) -> String {
    format!("{n:040x}")
}

fn fifo(path: impl AsRef<Path>) {
    mkfifoat(CWD, path.as_ref(), Mode::RUSR | Mode::WUSR).unwrap();
}

/// Puts bytes where the loose object `id` would lie.
fn plant(scratch: &Scratch, id: &str, bytes: &[u8]) {
    scratch.write(
        &format!(
            ".git/objects/{}/{}",
            &id.get(..2).unwrap(),
            id.get(2..).unwrap()
        ),
        bytes,
    );
}

fn commit_text(parents: &[String], message: &str) -> Vec<u8> {
    let parents: String = parents.iter().map(|id| format!("parent {id}\n")).collect();
    let text = format!(
        "tree {}\n{parents}author A <a> 0 +0000\ncommitter A <a> 0 +0000\n\n{message}",
        id(0)
    );
    [
        format!("commit {}\0", text.len()).as_bytes(),
        text.as_bytes(),
    ]
    .concat()
}

fn plant_commit(scratch: &Scratch, id: &str, parents: &[String]) {
    plant(
        scratch,
        id,
        &compress_to_vec_zlib(&commit_text(parents, "text"), 6),
    );
}

/// Points the branch somewhere and says what appears.
fn appears(scratch: &Scratch, before: impl FnOnce(&Scratch), tip: &str) -> NewCommits {
    let mut repository = scratch.find();
    let old = repository.refs();
    before(scratch);
    scratch.write(".git/refs/heads/main", format!("{tip}\n"));
    since(&mut repository, &old).1
}

#[test]
fn refs_that_are_links_or_fifos_are_left_out_and_said_to_be_missing() {
    let scratch = Scratch::new();
    let first = scratch.commit("first");
    let secret = scratch.base.join("secret");
    fs::write(&secret, format!("{}\n", id(7))).unwrap();
    let refs = scratch.work.join(".git/refs");
    fs::create_dir_all(scratch.base.join("elsewhere")).unwrap();
    fs::write(scratch.base.join("elsewhere/x"), id(8)).unwrap();
    type Plant<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>);
    let plants: [Plant<'_>; 5] = [
        (
            "heads/link",
            Box::new(|path| symlink(&secret, path).unwrap()),
        ),
        ("heads/fifo", Box::new(|path| fifo(path))),
        (
            "linked",
            Box::new(|path| symlink(scratch.base.join("elsewhere"), path).unwrap()),
        ),
        (
            "heads/long",
            Box::new(|path| fs::write(path, "a".repeat(5000)).unwrap()),
        ),
        (
            "heads/broken",
            Box::new(|path| fs::write(path, "not an id").unwrap()),
        ),
    ];
    assert!(scratch.find().refs().complete);
    for (name, plant) in plants {
        let path = refs.join(name);
        plant(&path);
        let read = scratch.find().refs();
        assert!(!read.complete, "{name}");
        assert_eq!(read.refs.get("refs/heads/main"), Some(&first));
        assert_eq!(read.refs.len(), 2, "{name}: {read:?}");
        fs::remove_file(path).unwrap();
    }
    assert!(scratch.find().refs().complete);
}

#[test]
fn a_head_or_packed_refs_that_is_a_fifo_or_link_or_huge_is_not_waited_for() {
    for name in ["HEAD", "packed-refs"] {
        let scratch = Scratch::new();
        let first = scratch.commit("first");
        let path = scratch.work.join(".git").join(name);
        let _ = fs::remove_file(&path);
        let repository = || scratch.try_find("work").unwrap().unwrap().refs();
        fifo(&path);
        assert!(!repository().complete, "{name}");
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        assert!(!repository().complete, "{name}");
        fs::remove_file(&path).unwrap();
        // A terabyte of nothing.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let refs = repository();
        assert!(!refs.complete, "{name}");
        assert_eq!(refs.refs.get("refs/heads/main"), Some(&first));
    }
}

#[test]
fn packed_refs_with_broken_lines_give_the_others() {
    let scratch = Scratch::new();
    let first = scratch.commit("first");
    let lines = [
        "# pack-refs with: peeled fully-peeled sorted".to_owned(),
        format!("{first} refs/tags/v1"),
        format!("^{first}"),
        "garbage".to_owned(),
        format!("{first} ../../../etc/passwd"),
        format!("{first} refs/heads/a b"),
        format!("{} refs/heads/short", &first.get(..39).unwrap()),
        format!("{first} refs/tags/v2"),
    ];
    scratch.write(".git/packed-refs", lines.join("\n"));
    let refs = scratch.find().refs();
    assert!(!refs.complete);
    let names: Vec<_> = refs.refs.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["HEAD", "refs/heads/main", "refs/tags/v1", "refs/tags/v2"]
    );
}

#[test]
fn names_that_are_no_refs_are_left_out_as_git_leaves_them_out() {
    let scratch = Scratch::new();
    let first = scratch.commit("first");
    for name in [
        "a b",
        "x.lock",
        "~1",
        "a..b",
        "a@{b",
        ".hidden",
        "end.",
        "line\nbreak",
        "back\\slash",
    ] {
        scratch.write(&format!(".git/refs/heads/{name}"), &first);
    }
    scratch.write(".git/refs/heads/plain", &first);
    let refs = scratch.find().refs();
    assert!(refs.complete);
    let names: Vec<_> = refs.refs.keys().map(String::as_str).collect();
    assert_eq!(names, ["HEAD", "refs/heads/main", "refs/heads/plain"]);
}

#[test]
fn thousands_of_refs_are_read_and_too_deep_ones_are_not() {
    let scratch = Scratch::new();
    let first = scratch.commit("first");
    for n in 0..3000 {
        scratch.write(&format!(".git/refs/heads/many/{n}"), &first);
    }
    let refs = scratch.find().refs();
    assert_eq!((refs.refs.len(), refs.complete), (3002, true));
    scratch.write(&format!(".git/refs/{}x", "d/".repeat(40)), &first);
    let refs = scratch.find().refs();
    assert_eq!((refs.refs.len(), refs.complete), (3002, false));
}

#[test]
fn a_packed_file_with_more_refs_than_the_bound_is_cut_there() {
    use std::fmt::Write as _;
    let scratch = Scratch::new();
    let mut text = String::new();
    for n in 0..100_100 {
        writeln!(text, "{} refs/h/{n}", id(n)).unwrap();
    }
    scratch.write(".git/packed-refs", text);
    let refs = scratch.find().refs();
    assert_eq!((refs.refs.len(), refs.complete), (100_000, false));
}

#[test]
fn objects_that_are_fifos_links_or_directories_are_counted_and_not_waited_for() {
    let scratch = Scratch::new();
    let dir = scratch.work.join(".git/objects/00");
    fs::create_dir_all(&dir).unwrap();
    let real = scratch.base.join("real");
    fs::write(&real, compress_to_vec_zlib(&commit_text(&[], "text"), 6)).unwrap();
    let name = |n: u32| id(n).get(2..).unwrap().to_owned();
    let before = |_: &Scratch| {
        fifo(dir.join(name(1)));
        symlink(&real, dir.join(name(2))).unwrap();
        fs::create_dir(dir.join(name(3))).unwrap();
        plant_commit(&scratch, &id(9), &[id(1), id(2), id(3), id(4)]);
    };
    let found = appears(&scratch, before, &id(9));
    assert_eq!(ids(&found, Origin::Made), set([&id(9)]));
    assert_eq!((found.unreadable, found.complete), (4, true));
}

#[test]
fn bombs_are_not_inflated_past_the_bound() {
    let scratch = Scratch::new();
    let zeroes = vec![0; 64 << 20];
    let bomb = compress_to_vec_zlib(&zeroes, 9);
    assert!(bomb.len() < 1 << 20);
    let endless = [&b"commit 999999999\0"[..], &vec![b'x'; 64 << 20]].concat();
    let long_message = commit_text(&[id(1)], &"m".repeat(32 << 20));
    let many_parents: Vec<_> = (100..3000).map(id).collect();
    let before = |scratch: &Scratch| {
        plant(scratch, &id(1), &bomb);
        plant(scratch, &id(2), &compress_to_vec_zlib(&endless, 9));
        plant(scratch, &id(3), &compress_to_vec_zlib(&long_message, 9));
        plant_commit(scratch, &id(4), &many_parents);
        plant_commit(scratch, &id(9), &[id(2), id(3), id(4)]);
    };
    let found = appears(&scratch, before, &id(9));
    // The commit with the long message is read: its parents stand at its beginning.
    assert_eq!(ids(&found, Origin::Made), set([&id(9), &id(3)]));
    assert_eq!(found.unreadable, 3);
    for limit in object::HEADS {
        let (bytes, is_whole) = object::inflate(&bomb, limit);
        assert_eq!((bytes.len(), is_whole), (limit, false));
    }
}

#[test]
fn circles_end() {
    let scratch = Scratch::new();
    let before = |scratch: &Scratch| {
        plant_commit(scratch, &id(1), &[id(1)]);
        plant_commit(scratch, &id(2), &[id(3), id(2)]);
        plant_commit(scratch, &id(3), &[id(2), id(1)]);
        let tag = format!("tag 50\0object {}\ntype tag\ntag x\n", id(5));
        plant(scratch, &id(5), &compress_to_vec_zlib(tag.as_bytes(), 6));
        scratch.write(".git/refs/tags/x", id(5));
        scratch.write(".git/refs/heads/a", "ref: refs/heads/b\n");
        scratch.write(".git/refs/heads/b", "ref: refs/heads/a\n");
    };
    let found = appears(&scratch, before, &id(3));
    assert_eq!(ids(&found, Origin::Made), set([&id(1), &id(2), &id(3)]));
    assert_eq!((found.unreadable, found.complete), (0, true));
}

#[test]
fn an_object_cut_anywhere_is_read_right_or_not_at_all() {
    let scratch = Scratch::new();
    let parents = [id(1), id(2)];
    let whole = compress_to_vec_zlib(&commit_text(&parents, "text"), 6);
    let (mut read, like) = (0, id::Id::parse(id(0).as_bytes()).unwrap());
    let repository = scratch.find();
    for length in 0..whole.len() {
        plant(&scratch, &id(9), whole.get(..length).unwrap());
        let tip = id::Id::parse(id(9).as_bytes()).unwrap();
        match object::find(repository.common.as_fd(), &[], &tip).object {
            Ok(object::Object::Commit(found)) => {
                assert_eq!(
                    found.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    parents
                );
                read += 1;
            }
            object => assert_eq!(object, Err(object::Unread::Broken), "{length}"),
        }
    }
    assert!(read > 0 && read < whole.len());
    // Nor where the text itself is.
    let text = commit_text(&parents, "text");
    let text = text.split(|byte| *byte == 0).nth(1).unwrap();
    let until = text.len() - "text".len() - "\n\ncommitter A <a> 0 +0000".len();
    for length in 0..until {
        assert_eq!(
            object::parse(object::Kind::Commit, text.get(..length).unwrap(), &like),
            None
        );
    }
}

#[test]
fn ids_and_lines_that_do_not_fit_are_no_commit() {
    let like = id::Id::parse(id(0).as_bytes()).unwrap();
    let (good, long) = (id(1), "1".repeat(64));
    for text in [
        format!("parent {good}\nauthor \n"),
        format!("tree {good}\nparent {long}\nauthor \n"),
        format!("tree {long}\nauthor \n"),
        format!("tree {good}\nparent  {good}\nauthor \n"),
        format!("tree {good}\nother {good}\nauthor \n"),
        format!("tree {good}\nparent {good}\n"),
        format!("tree {good}\nauthor "),
    ] {
        assert_eq!(
            object::parse(object::Kind::Commit, text.as_bytes(), &like),
            None,
            "{text}"
        );
    }
    let text = format!("tree {good}\nauthor \n");
    let read = object::parse(object::Kind::Commit, text.as_bytes(), &like);
    assert_eq!(read, Some(object::Object::Commit(Vec::new())));
}

#[test]
fn packs_and_indexes_damaged_anywhere_neither_panic_nor_hang() {
    let scratch = Scratch::new();
    let long = "one line of the message and another one\n".repeat(20);
    for n in 0..12 {
        scratch.commit(&format!("{n}\n\n{long}"));
    }
    scratch.git(&["repack", "-q", "-a", "-d", "-f"]);
    let packs = scratch.work.join(".git/objects/pack");
    let files: Vec<_> = fs::read_dir(&packs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let kept: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    let tips = scratch.find().refs();
    let mut state: u64 = 42;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state).unwrap() % below
    };
    let mut outcomes = BTreeSet::new();
    for round in 0..400 {
        for (path, bytes) in files.iter().zip(&kept) {
            let mut bytes = bytes.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = u8::try_from(random(256)).unwrap();
            }
            if round % 4 == 0 {
                bytes.truncate(random(bytes.len()));
            }
            fs::remove_file(path).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let nothing = Refs {
            refs: [].into(),
            complete: true,
        };
        let mut repository = scratch.find();
        repository.inventory = Inventory::none();
        let found = repository.new_commits(&nothing, &tips, 100);
        assert!(found.commits.len() <= 100);
        outcomes.insert((found.commits.len().min(1), found.unreadable.min(1)));
    }
    assert!(
        outcomes.contains(&(1, 1)) && outcomes.contains(&(0, 1)),
        "{outcomes:?}"
    );
}

#[test]
fn an_index_changed_since_does_not_pass_new_commits_for_old() {
    let scratch = Scratch::new();
    let first = scratch.commit("first");
    scratch.git(&["repack", "-q", "-a", "-d"]);
    scratch.commit("second");
    let mut repository = scratch.find();
    let empty = Refs {
        refs: [].into(),
        complete: true,
    };
    let tips = Refs {
        refs: [("refs/heads/main".to_owned(), first.clone())].into(),
        complete: true,
    };
    assert_eq!(repository.new_commits(&empty, &tips, 10).commits, []);
    let packs = scratch.work.join(".git/objects/pack");
    for entry in fs::read_dir(packs).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(path, mode).unwrap();
    }
    let found = repository.new_commits(&empty, &tips, 10);
    assert_eq!(found.commits.len(), 1);
}

#[test]
fn one_bad_index_does_not_hide_the_other_packs() {
    let scratch = Scratch::new();
    let base = scratch.find();
    let first = scratch.commit("first");
    scratch.git(&["repack", "-q", "-a", "-d"]);
    let packs = scratch.work.join(".git/objects/pack");
    fifo(packs.join("aaa.idx"));
    fs::write(packs.join("bbb.idx"), "garbage").unwrap();
    symlink("/etc/passwd", packs.join("ccc.idx")).unwrap();
    let mut repository = base;
    let found = repository.new_commits(
        &Refs {
            refs: [].into(),
            complete: true,
        },
        &repository.refs(),
        10,
    );
    assert_eq!(ids(&found, Origin::Received), set([&first]));
    assert!(!found.complete);
}

#[test]
fn alternates_are_not_followed() {
    let scratch = Scratch::new();
    let first = scratch.commit("first");
    scratch.git_in(".", &["init", "-q", "-b", "main", "borrower"]);
    let objects = scratch.work.join(".git/objects");
    fs::write(
        scratch.base.join("borrower/.git/objects/info/alternates"),
        format!("{}\n", objects.display()),
    )
    .unwrap();
    let mut repository = scratch.try_find("borrower").unwrap().unwrap();
    let old = repository.refs();
    scratch.git_in("borrower", &["update-ref", "refs/heads/main", &first]);
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let fan = objects.join(first.get(..2).unwrap());
    for path in [
        &objects,
        &objects.join("pack"),
        &fan,
        &fan.join(first.get(2..).unwrap()),
    ] {
        inotify::add_watch(&watch, path, WatchFlags::OPEN | WatchFlags::ACCESS).unwrap();
    }
    let (_, found) = since(&mut repository, &old);
    assert_eq!((found.commits.len(), found.unreadable), (0, 1));
    assert!(
        rustix::io::read(&watch, &mut [0; 4096]).is_err(),
        "nothing was opened there"
    );
}

#[test]
fn no_more_commits_are_answered_than_asked_for() {
    let scratch = Scratch::new();
    let before = |scratch: &Scratch| {
        for n in 1..50 {
            plant_commit(scratch, &id(n), &[id(n + 1)]);
        }
    };
    let mut repository = scratch.find();
    let old = repository.refs();
    before(&scratch);
    scratch.write(".git/refs/heads/main", id(1));
    let new = repository.refs();
    let found = repository.new_commits(&old, &new, 10);
    assert_eq!((found.commits.len(), found.complete), (10, false));
}

#[test]
fn what_leads_out_of_the_workspace_is_not_taken_for_its_repository() {
    let scratch = Scratch::new();
    scratch.commit("first");
    scratch.git(&["worktree", "add", "-q", "../linked"]);
    let linked = fs::read(scratch.base.join("linked/.git")).unwrap();
    let git = scratch.work.join(".git");
    // A copy of another work tree's pointer, a pointer to a plain repository, nonsense.
    let pointers = [
        linked,
        format!("gitdir: {}\n", git.display()).into_bytes(),
        b"gitdir: ../work/.git\n".to_vec(),
        b"gitdir: /nonexistent\n".to_vec(),
        b"nonsense".to_vec(),
        vec![b'x'; 10_000],
    ];
    fs::create_dir(scratch.base.join("forged")).unwrap();
    for pointer in pointers {
        fs::write(scratch.base.join("forged/.git"), &pointer).unwrap();
        assert!(
            scratch.try_find("forged").is_err(),
            "{}",
            String::from_utf8_lossy(&pointer)
        );
    }
    fs::remove_file(scratch.base.join("forged/.git")).unwrap();
    symlink(&git, scratch.base.join("forged/.git")).unwrap();
    assert!(scratch.try_find("forged").is_err());
    fs::remove_file(scratch.base.join("forged/.git")).unwrap();
    fifo(scratch.base.join("forged/.git"));
    assert!(scratch.try_find("forged").is_err());
    assert!(scratch.try_find("linked").unwrap().is_some());
    scratch.write(".git/commondir", "/elsewhere");
    assert!(scratch.try_find("work").is_err());
}

#[test]
fn a_submodule_and_refs_in_another_format_are_said_not_to_be_read() {
    let scratch = Scratch::new();
    scratch.commit("first");
    scratch.git_in(".", &["clone", "-q", "work", "library"]);
    scratch.git(&["submodule", "--quiet", "add", "../library", "library"]);
    assert!(scratch.try_find("work/library").is_err());
    assert!(scratch.try_find("work").unwrap().is_some());
    scratch.git_in(".", &["init", "-q", "--ref-format=reftable", "tables"]);
    let error = scratch.try_find("tables").map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("reftable"), "{error}");
}
