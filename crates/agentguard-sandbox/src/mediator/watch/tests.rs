//! Against a repository that git makes, look by look.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentguard_core::Confinement;

use super::*;
use crate::wire::receive;

/// A workspace, gone when dropped.
struct Workspace(PathBuf);

impl Workspace {
    fn new(name: &str) -> Self {
        let name = format!("agentguard-watch-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    #[expect(clippy::disallowed_methods, reason = "git makes what is looked at")]
    fn git(&self, words: &[&str]) {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]);
        command.args(["-c", "commit.gpgSign=false", "-c", "gc.auto=0"]);
        let command = command.args(words).current_dir(&self.0);
        assert!(command.output().unwrap().status.success(), "{words:?}");
    }

    fn commit(&self) {
        self.git(&["commit", "-q", "--allow-empty", "-m", "one"]);
    }

    fn write(&self, name: &str) {
        std::fs::write(self.0.join(name), "{\"scripts\": {\"install\": \"x\"}}").unwrap();
    }

    /// Watched from now on, by one whose first look took so long.
    fn watch(&self, pin: &str, first: Duration) -> Watch {
        let directory = |path: &Path| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            fs::open(path, flags, Mode::empty()).unwrap()
        };
        let workspace = directory(&self.0);
        let root = directory(Path::new("/"));
        let limits = WalkLimits::standard();
        let snapshot = Snapshot::take(workspace.as_fd(), &limits);
        let found = Repository::find(workspace.as_fd(), &self.0, root.as_fd()).unwrap();
        let refs = found.as_ref().map(Repository::refs);
        Watch {
            scripts: Scripts::take(&snapshot, workspace.as_fd()),
            nested: Nested::new(&confinement(pin), Led::default()),
            debounce: Debounce::new(Duration::ZERO, first),
            begun: Instant::now(),
            repository: found,
            workspace,
            limits,
            snapshot,
            refs,
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn confinement(pin: &str) -> Confinement {
    let confinement = serde_json::json!({
        "level": "full", "network": "isolated", "workspace": "/w", "grants": [], "home": "/h", "home_grants": [],
        "masks": [], "pins": [pin], "places": [], "environment": [], "ports": [],
        "limits": {"processes": 1, "files": 1, "temporary_bytes": 1},
    });
    serde_json::from_value(confinement).unwrap()
}

/// What is told by whatever is done, in words: how many refs and commits, or which files, scripts and pins.
fn told(watch: &mut Watch, tell: impl Fn(&mut Watch, BorrowedFd<'_>)) -> Vec<String> {
    let (near, far) = UnixStream::pair().unwrap();
    tell(watch, near.as_fd());
    drop(near);
    let mut all = Vec::new();
    while let Some(message) = receive(&far).unwrap() {
        if let FromMediator::Moved {
            moved,
            commits,
            complete,
        } = message
        {
            let names: Vec<_> = moved.into_iter().map(|one| one.name).collect();
            all.push(format!("{names:?} {} {complete}", commits.len()));
        } else if let FromMediator::Changed(found) = message {
            let paths = found.changes.into_iter().map(|change| change.path);
            let paths: Vec<_> = paths.filter(|path| !is_gits(path)).collect();
            let (scripts, pinned) = (found.scripts, found.pinned);
            all.push(format!(
                "{paths:?} {scripts:?} {pinned:?} {}",
                found.complete
            ));
        } else {
            all.push(format!("{message:?}"));
        }
    }
    all
}

/// What git writes beside refs is its own affair.
fn is_gits(path: &str) -> bool {
    path.split('/').any(|name| name == ".git")
}

/// What a look tells that is due.
fn looked(watch: &mut Watch) -> Vec<String> {
    watch.debounce = Debounce::new(Duration::ZERO, Duration::ZERO);
    told(watch, |watch, control| watch.look(control).unwrap())
}

fn finished(watch: &mut Watch) -> Vec<String> {
    told(watch, |watch, control| watch.finish(control).unwrap())
}

#[test]
fn what_moved_is_told_once_with_the_files_and_the_rest_at_the_end() {
    const NOBODYS: &str = "none";
    let workspace = Workspace::new("moved");
    workspace.git(&["init", "-q", "-b", "main"]);
    workspace.commit();
    let mut watch = workspace.watch(NOBODYS, Duration::ZERO);
    assert_eq!(watch.start_of_session().1.as_deref(), Some("main"));
    assert_eq!(watch.start_of_session().0.len(), 2);
    assert!(looked(&mut watch).is_empty());
    workspace.write("package.json");
    assert!(looked(&mut watch).is_empty(), "no ref moved with it");
    workspace.commit();
    let moved = "[\"refs/heads/main\"] 1 true";
    let seen = looked(&mut watch);
    let scripts = "[\"package.json\"]";
    assert_eq!(
        seen,
        [
            moved.to_owned(),
            format!("[\"package.json\"] {scripts} [] true")
        ]
    );
    assert!(looked(&mut watch).is_empty(), "all of it was told");
    // A file that was written just before the last look may be told once more: its time does not tell.
    workspace.commit();
    assert_eq!(looked(&mut watch)[0], moved);
    workspace.write("b");
    workspace.commit();
    let last = finished(&mut watch);
    assert!(last.len() == 2 && last[0].contains("\"b\""), "{last:?}");
    assert_eq!(last[1], moved);
    // What looks take is counted, so that they take so much and no more.
    looked(&mut watch);
    assert!(watch.debounce.next() > Duration::ZERO);
    watch.debounce = Debounce::new(Duration::ZERO, Duration::MAX);
    workspace.commit();
    let early = told(&mut watch, |watch, control| watch.look(control).unwrap());
    assert!(early.is_empty(), "{early:?}");
}

#[test]
fn more_refs_than_an_entry_holds_are_none_and_a_look_that_was_cut_short_says_so() {
    let workspace = Workspace::new("many");
    let mut watch = workspace.watch("none", Duration::ZERO);
    assert_eq!(watch.start_of_session(), (Vec::new(), None));
    let named = |length: usize| Refs {
        refs: [("r".repeat(length), "id".to_owned())].into(),
        complete: true,
    };
    watch.refs = Some(named(PIECE - 4));
    assert_eq!(watch.start_of_session().0.len(), 1);
    watch.refs = Some(named(PIECE - 3));
    assert!(watch.start_of_session().0.is_empty());
    assert!(finished(&mut watch).is_empty());
    // Without a repository nothing is told before the end.
    workspace.write("a");
    assert!(looked(&mut watch).is_empty());
    assert_eq!(finished(&mut watch), ["[\"a\"] [] [] true"]);
    watch.limits.files = 0;
    let cut = finished(&mut watch);
    assert!(cut.len() == 1 && cut[0].ends_with("false"), "{cut:?}");
    assert_eq!(finished(&mut watch), cut, "though nothing differs");
}

#[test]
fn a_pin_beside_a_repository_is_one_whenever_that_was_there() {
    let workspace = Workspace::new("pins");
    let pin = "**/.git/../held";
    let directory = |name: &str| std::fs::create_dir_all(workspace.0.join(name)).unwrap();
    for name in ["before/.git", "other"] {
        directory(name);
    }
    let mut watch = workspace.watch(pin, Duration::ZERO);
    std::fs::remove_dir(workspace.0.join("before/.git")).unwrap();
    directory("later/.git");
    for name in ["before/held", "later/held", "other/held"] {
        workspace.write(name);
    }
    let told = finished(&mut watch);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("[\"before/held\", \"later/held\"]"),
        "{told:?}"
    );
}
