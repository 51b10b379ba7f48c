//! What is made of the packs of random histories, compared to what git makes of them. Many histories are one
//! repository's, so that few programs have to be started for each.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fs, io::Write as _, thread};

use gix_hash::Kind as Hash;

use super::tests::{Dice, Repository, read_of, update};
use super::*;
use crate::gate::push::pack::Commit;

/// How many histories a repository has.
const TOGETHER: usize = 50;
/// How many are compared where nobody asks for more: some twenty seconds on two busy processors.
const USUALLY: usize = 600;
/// Of how many histories one is asked of git by itself, and not only with all others.
const ALONE: usize = 25;

const PLACES: [&str; 11] = [
    "a",
    "b/c",
    "b/d/e",
    "b",
    "d",
    "d/e/f",
    ".github/workflows/ci.yml",
    ".github",
    "x/.github",
    "b/d",
    "b/d/f",
];

/// Histories as git imports them (git-fast-import(1)).
pub(super) struct Stream {
    text: String,
    marks: usize,
    format: Hash,
}

impl Stream {
    pub(super) fn of(format: Hash) -> Self {
        Self {
            text: String::new(),
            marks: 0,
            format,
        }
    }

    /// Goes on with a branch from the last of what was `made`: commits that change, move and remove files, beside each
    /// other and merged.
    pub(super) fn grow(
        &mut self,
        dice: &mut Dice,
        (branch, made): (&str, &mut Vec<String>),
        commits: usize,
    ) {
        for number in 1..=commits {
            self.marks += 1;
            let mark = self.marks;
            self.text.push_str(&format!(
                "commit refs/heads/{branch}\nmark :{mark}\ncommitter a <a@example.org> {mark} +0000\ndata 1\nx\n"
            ));
            // From one of the last, and what others have is taken up: a side that is merged at some time.
            if let Some(last) = made.last() {
                self.text.push_str(&format!("from {last}\n"));
            }
            for _ in 0..2 {
                if made.len() > 3 && dice.below(3) == 0 {
                    let back = made.len() - 2 - dice.below(2);
                    self.text.push_str(&format!("merge {}\n", made[back]));
                }
            }
            for _ in 0..=dice.below(3) {
                self.change(dice);
            }
            self.text.push('\n');
            made.push(format!(":{mark}"));
            // Beside what comes next.
            if number > 2 && number < commits && dice.below(3) == 0 {
                made.swap_remove(made.len() - 2);
            }
        }
    }

    fn change(&mut self, dice: &mut Dice) {
        let place = PLACES[dice.below(PLACES.len())];
        self.text.push_str(&match dice.below(10) {
            0 | 1 => format!("D {place}\n"),
            2 => format!("M 100755 inline {place}\ndata 2\n{}\n\n", dice.below(5)),
            3 => format!("M 120000 inline {place}\ndata 1\n{}\n", dice.below(5)),
            4 => {
                let (id, digits) = (1 + dice.below(5), self.format.len_in_hex());
                format!("M 160000 {id:0digits$x} {place}\n")
            }
            _ => format!("M 100644 inline {place}\ndata 2\n{}\n\n", dice.below(5)),
        });
    }

    /// Has a branch point to something.
    fn point(&mut self, branch: &str, to: &str) {
        self.text
            .push_str(&format!("reset refs/heads/{branch}\nfrom {to}\n\n"));
    }

    pub(super) fn import(&self, repository: &Repository) {
        let mut importing = repository
            .command(&["fast-import", "--quiet", "--force"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = importing.stdin.take().unwrap();
        stdin.write_all(self.text.as_bytes()).unwrap();
        drop(stdin);
        assert!(importing.wait().unwrap().success(), "{}", self.text);
    }
}

/// What a commit makes of a path: the path, what is done to it, and the mode that it has then.
type Made = (String, &'static str, Option<String>);

/// What git tells of a repository.
struct Told {
    format: Hash,
    parents: HashMap<String, Vec<String>>,
    made: HashMap<String, BTreeSet<Made>>,
    commits: HashMap<ObjectId, Commit>,
    trees: HashMap<ObjectId, Vec<Entry>>,
}

impl Told {
    fn of(repository: &Repository, format: Hash) -> Self {
        let mut told = Self::nothing(format);
        told.hear_changes(&logged(repository, &["--all"]));
        told.hear_objects(repository);
        told
    }

    fn nothing(format: Hash) -> Self {
        Self {
            format,
            parents: HashMap::new(),
            made: HashMap::new(),
            commits: HashMap::new(),
            trees: HashMap::new(),
        }
    }

    fn hear_changes(&mut self, said: &str) {
        let mut fields = said.split('\0').map(|field| field.trim_start_matches('\n'));
        let mut commit = String::new();
        while let Some(field) = fields.next() {
            if let Some(ids) = field.strip_prefix('>') {
                let mut ids = ids.split_whitespace().map(str::to_owned);
                commit = ids.next().unwrap();
                self.parents.insert(commit.clone(), ids.collect());
                self.made.insert(commit.clone(), BTreeSet::new());
            } else if field.starts_with(':') {
                let path = fields.next().unwrap().to_owned();
                self.made
                    .get_mut(&commit)
                    .unwrap()
                    .insert(made(field, path));
            }
        }
    }

    /// All commits and trees, of one process.
    fn hear_objects(&mut self, repository: &Repository) {
        let words = ["cat-file", "--batch-all-objects", "--batch", "--unordered"];
        let all = repository.command(&words).output().unwrap().stdout;
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
            let head = std::str::from_utf8(&rest[..end]).unwrap();
            let words: Vec<_> = head.split(' ').collect();
            let (id, size): (_, usize) = (named(words[0]), words[2].parse().unwrap());
            let content = &rest[end + 1..][..size];
            match words[1] {
                "commit" => {
                    self.commits.insert(id, commit(content));
                }
                "tree" => {
                    self.trees.insert(id, tree(content, self.format));
                }
                _ => {}
            }
            rest = &rest[end + 1 + size + 1..];
        }
    }

    /// What leads to a commit, and it.
    fn reach(&self, from: &str) -> HashSet<&str> {
        let mut waiting: Vec<_> = self.parents.get_key_value(from).into_iter().collect();
        let mut seen = HashSet::new();
        while let Some((id, parents)) = waiting.pop() {
            if seen.insert(id.as_str()) {
                waiting.extend(
                    parents
                        .iter()
                        .filter_map(|id| self.parents.get_key_value(id)),
                );
            }
        }
        seen
    }

    /// Adds a directory and all below it, as a server sends them.
    fn send(&self, tree: ObjectId, into: &mut Objects) {
        let entries = &self.trees[&tree];
        if into.trees.insert(tree, entries.clone()).is_none() {
            for entry in entries.iter().filter(|entry| entry.mode == TREE) {
                self.send(entry.id, into);
            }
        }
    }
}

fn named(id: &str) -> ObjectId {
    ObjectId::from_hex(id.as_bytes()).unwrap()
}

fn logged(repository: &Repository, of: &[&str]) -> String {
    let words = [
        "log",
        "-c",
        "--raw",
        "--root",
        "--no-renames",
        "--no-abbrev",
        "--format=>%H %P",
        "-z",
    ];
    repository.git(&[&words[..], of].concat())
}

/// Reads a line like `::100644 000000 100755 ID ID ID MA`.
fn made(line: &str, path: String) -> Made {
    let fields = line.trim_start_matches(':');
    let count = line.len() - fields.len();
    let modes: Vec<_> = fields.split(' ').take(count + 1).collect();
    let (before, after) = modes.split_at(count);
    let is_none = |mode: &&str| *mode == "000000";
    if is_none(&after[0]) {
        return (path, "Removed", None);
    }
    let change = if before.iter().all(is_none) {
        "Added"
    } else {
        "Changed"
    };
    (path, change, Some(after[0].to_owned()))
}

fn commit(content: &[u8]) -> Commit {
    let text = String::from_utf8_lossy(content);
    let (head, _) = text.split_once("\n\n").unwrap();
    let ids = |word: &str| -> Vec<_> {
        let lines = head.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(named).collect()
    };
    Commit {
        tree: ids("tree ")[0],
        parents: ids("parent "),
        author: String::new(),
        committer: String::new(),
        signature: Default::default(),
        sessions: Vec::new(),
    }
}

fn tree(mut content: &[u8], format: Hash) -> Vec<Entry> {
    let mut entries = Vec::new();
    while !content.is_empty() {
        let end = content.iter().position(|byte| *byte == 0).unwrap();
        let (mode, name) = std::str::from_utf8(&content[..end])
            .unwrap()
            .split_once(' ')
            .unwrap();
        let (id, rest) = content[end + 1..].split_at(format.len_in_bytes());
        entries.push(Entry {
            name: name.as_bytes().to_vec(),
            mode: u16::from_str_radix(mode, 8).unwrap(),
            id: ObjectId::from_bytes_or_panic(id),
        });
        content = rest;
    }
    entries
}

/// The objects of a pack, as git indexes it (gitformat-pack(5), version 2).
fn strictly(repository: &Repository, pack: &[u8], format: Hash) -> BTreeSet<ObjectId> {
    fs::write(repository.0.join(".git/one.pack"), pack).unwrap();
    repository.git(&[
        "index-pack",
        "--strict",
        "-o",
        ".git/one.idx",
        ".git/one.pack",
    ]);
    let index = fs::read(repository.0.join(".git/one.idx")).unwrap();
    let names = &index[8 + 4 * 256..];
    let count = u32::from_be_bytes(index[8 + 4 * 255..][..4].try_into().unwrap());
    let names = names
        .chunks(format.len_in_bytes())
        .take(count.try_into().unwrap());
    names.map(ObjectId::from_bytes_or_panic).collect()
}

fn ids(objects: &Objects) -> BTreeSet<ObjectId> {
    let all = objects.commits.keys().chain(objects.trees.keys());
    all.chain(objects.blobs.keys())
        .chain(objects.tags.keys())
        .copied()
        .collect()
}

/// Compares what is made of the pack of a history to what git makes of it. Where it is `lean`, the pack lacks what the
/// server has, as that of some clients.
fn compare(
    repository: &Repository,
    told: &Told,
    (new, old): (&str, Option<&str>),
    is_lean: bool,
) -> (usize, usize) {
    let olds: Vec<_> = old.into_iter().collect();
    let pack = repository.pack(&[new], &olds);
    let mut objects = read_of(&pack, told.format).unwrap();
    assert_eq!(
        ids(&objects),
        strictly(repository, &pack, told.format),
        "from {old:?}"
    );
    let (reached, known) = (
        told.reach(new),
        old.map_or_else(HashSet::new, |old| told.reach(old)),
    );
    let mut server = Objects::new(told.format);
    for id in &known {
        told.send(told.commits[&named(id)].tree, &mut server);
    }
    if is_lean {
        objects.trees.retain(|id, _| !server.trees.contains_key(id));
    }
    let refs = [update(old, new)];
    let walk = Walk::over(&objects, &refs).unwrap();
    let mut ground = Objects::new(told.format);
    for parent in walk.parents(&objects) {
        let commit = &told.commits[&parent];
        told.send(commit.tree, &mut ground);
        ground.commits.insert(parent, commit.clone());
    }
    // git itself leaves out some that no parent has.
    for id in walk.taken_up(&objects, &ground).unwrap() {
        assert!(server.trees.contains_key(&id), "{id} from {old:?}");
        told.send(id, &mut ground);
    }
    let changes = walk.changes(&objects, &ground).unwrap();
    let brought: BTreeSet<_> = reached
        .difference(&known)
        .map(|id| (*id).to_owned())
        .collect();
    let said: BTreeSet<Made> = brought
        .iter()
        .flat_map(|id| told.made[id].clone())
        .collect();
    let own = changes.paths.iter().map(|one| {
        let change = match one.change {
            PathChanged::Added => "Added",
            PathChanged::Changed => "Changed",
            PathChanged::Removed => "Removed",
        };
        (one.path.clone(), change, one.mode.clone())
    });
    assert_eq!(own.collect::<BTreeSet<_>>(), said, "{new} from {old:?}");
    let commits: BTreeSet<_> = changes.commits.iter().map(|one| one.id.clone()).collect();
    assert_eq!(commits, brought);
    let is_above = old.is_some_and(|old| reached.contains(old));
    assert_eq!(walk.is_forward(&objects, &refs[0]), is_above);
    (changes.commits.len(), changes.paths.len())
}

/// What is put together of all that git says is what it says of a history alone.
fn asked_alone(repository: &Repository, told: &Told, (new, old): (&str, &str)) {
    let mut alone = Told::nothing(told.format);
    alone.hear_changes(&logged(repository, &[new, "--not", old]));
    let known = told.reach(old);
    let brought: HashSet<_> = told
        .reach(new)
        .difference(&known)
        .map(|id| (*id).to_owned())
        .collect();
    assert_eq!(alone.made.keys().cloned().collect::<HashSet<_>>(), brought);
    for (id, made) in &alone.made {
        assert_eq!(made, &told.made[id], "{id}");
    }
    let words = ["merge-base", "--is-ancestor", old, new];
    let is_above = repository.command(&words).status().unwrap().success();
    assert_eq!(told.reach(new).contains(old), is_above);
}

/// Compares the histories of one repository. Each is pushed as new, upon what was there, and over something beside it.
fn compare_together(round: usize) -> usize {
    let format = if round % 4 == 3 {
        Hash::Sha256
    } else {
        Hash::Sha1
    };
    let repository = Repository::of(&format!("histories-{round}"), format);
    // Far from each other, since what follows upon neighbours is alike.
    let mut dice = Dice(
        u64::try_from(round)
            .unwrap()
            .wrapping_mul(0x9e37_79b9_7f4a_7c15),
    );
    let mut stream = Stream::of(format);
    for number in 0..TOGETHER {
        let mut made = Vec::new();
        let first = stream.marks;
        stream.grow(&mut dice, (&format!("new{number}"), &mut made), 8);
        stream.point(&format!("old{number}"), made.last().unwrap());
        stream.grow(&mut dice, (&format!("new{number}"), &mut made), 6);
        let beside = first + 1 + dice.below(14);
        stream.point(&format!("beside{number}"), &format!(":{beside}"));
    }
    stream.import(&repository);
    let refs = repository.git(&["for-each-ref", "--format=%(refname:short) %(objectname)"]);
    let refs: HashMap<_, _> = refs
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let told = Told::of(&repository, format);
    for number in 0..TOGETHER {
        let end = |name: &str| refs[format!("{name}{number}").as_str()];
        let new = end("new");
        for old in [None, Some(end("old")), Some(end("beside"))] {
            // What it already holds brings nothing: there is no pack then.
            if old != Some(new) {
                compare(&repository, &told, (new, old), number % 2 == 1);
            }
        }
        if number % ALONE == 0 {
            asked_alone(&repository, &told, (new, end("beside")));
        }
    }
    TOGETHER
}

#[test]
fn what_a_push_changes_is_what_git_says() {
    // For long runs.
    let asked = env::var("AGENTGUARD_HISTORIES");
    let asked = asked.map_or(USUALLY, |asked| asked.parse().unwrap());
    let (next, compared, begun) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round * TOGETHER >= asked {
                        return;
                    }
                    compared.fetch_add(compare_together(round), Ordering::Relaxed);
                }
            });
        }
    });
    let compared = compared.into_inner();
    println!(
        "{compared} histories in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    assert!(compared >= asked);
}

/// What it is compared on lies wherever who runs it says, so that no run of the whole suite has it.
#[test]
#[ignore = "takes a repository: AGENTGUARD_HISTORY_OF=PATH"]
fn what_the_history_of_a_repository_changes_is_what_git_says() {
    let of = env::var("AGENTGUARD_HISTORY_OF").unwrap();
    let repository = Repository::of("real", Hash::Sha1);
    repository.git(&[
        "-c",
        "safe.directory=*",
        "fetch",
        "-q",
        &of,
        "HEAD:refs/heads/real",
    ]);
    let new = repository.id("real");
    let told = Told::of(&repository, Hash::Sha1);
    let (commits, paths) = compare(&repository, &told, (&new, None), false);
    println!("{commits} commits, {paths} paths");
}
