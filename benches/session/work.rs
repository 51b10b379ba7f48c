//! Work as it is done in a day: a project of npm that is installed, checked, tested and built; a repository that
//! is cloned.

use std::path::{Path, PathBuf};
use std::{env, fmt::Write as _, fs};

use crate::place::Place;
use crate::rounds::compare;

/// The project of npm, as it lies in this repository.
const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/npm");
/// Where npm finds all that the project needs, without a network.
const CACHE: &str = "AGENTGUARD_BENCH_NPM_CACHE";
const NPM: &str = "set -e
cd npm
{
  npm ci --offline --no-audit --no-fund --no-update-notifier --cache ../npm-cache
  npm run check
  npm run lint
  npm test
  npm run build
} > log 2>&1 || { cat log >&2; exit 1; }
";

/// Files and commits of the repository that is cloned.
const FILES: usize = 6000;
const COMMITS: usize = 20;
/// Cloned to where a session may make a repository: its own temporary directory, in memory for all.
const CLONE: &str = "set -e
git clone -q \"file://$PWD/whole.git\" \"$TMPDIR/clone\"
test \"$(find \"$TMPDIR/clone\" -name '*.txt' | wc -l)\" = 6000
rm -rf \"$TMPDIR/clone\"
";

pub(crate) fn npm(place: &Place) {
    let Some(cache) = env::var_os(CACHE).map(PathBuf::from) else {
        println!(
            "npm: skipped, {CACHE} is not set; benches/npm/fill DIRECTORY makes what it may name"
        );
        return;
    };
    copy(Path::new(PROJECT), &place.workspace.join("npm"));
    copy(&cache, &place.workspace.join("npm-cache"));
    fs::write(place.workspace.join("npm.sh"), NPM).unwrap();
    let command = ["sh", "npm.sh"];
    let all = vec![
        ("bare", place.bare(&command)),
        ("agentguard", place.guarded(&place.tmpfs, &command)),
    ];
    compare("npm ci, types, lint, tests and build of a page", 3, all);
    fs::remove_dir_all(place.workspace.join("npm")).unwrap();
    fs::remove_dir_all(place.workspace.join("npm-cache")).unwrap();
}

pub(crate) fn clone(place: &Place) {
    repository(place);
    fs::write(place.workspace.join("clone.sh"), CLONE).unwrap();
    let command = ["sh", "clone.sh"];
    let all = vec![
        ("bare", place.bare(&command)),
        ("agentguard", place.guarded(&place.tmpfs, &command)),
    ];
    compare(&format!("git clone of {FILES} files in one pack"), 7, all);
    fs::remove_dir_all(place.workspace.join("whole.git")).unwrap();
}

/// A bare repository in the workspace, packed once.
fn repository(place: &Place) {
    fs::write(place.workspace.join("history"), history()).unwrap();
    let script = "git init -q --bare -b main whole.git && cd whole.git \
                  && git fast-import --quiet < ../history && git repack -adq && rm ../history";
    let status = place.bare(&["sh", "-c", script]).status().unwrap();
    assert!(status.success());
}

/// A history for git-fast-import(1): files of 200 bytes to 8 KiB in directories of twenty, each commit adding its share.
fn history() -> String {
    let mut text = String::new();
    for commit in 0..COMMITS {
        let message = format!("part {commit}\n");
        let head = "commit refs/heads/main\ncommitter A <a@example.org>";
        let size = message.len();
        writeln!(
            text,
            "{head} {} +0000\ndata {size}\n{message}",
            1_700_000_000 + commit
        )
        .unwrap();
        for file in (commit..FILES).step_by(COMMITS) {
            let line = format!("{file} of {commit}: {:x}\n", file.wrapping_mul(0x9e37_79b9));
            let content = line.repeat(8 + file * 7919 % 300);
            let path = format!("part{}/of{}/{file}.txt", file % 15, file / 20 % 20);
            let size = content.len();
            writeln!(text, "M 100644 inline {path}\ndata {size}\n{content}").unwrap();
        }
    }
    text
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}
