//! A place of its own for each turn: a workspace with the attacks in it, and what lies outside.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use agentguard_core::{Access, Confinement, Grant, Held, Level, Limits, Network};
use agentguard_sandbox::{Layer, Plan, User};

/// Names the compiled attacks, for a user who cannot read where they are compiled.
pub(crate) const PROGRAM: &str = "AGENTGUARD_TEST_ATTACK";

const TARGETS: [&str; 15] = [
    "written",
    "appended",
    "truncated",
    "truncated-on-open",
    "unlinked",
    "renamed",
    "moved-out",
    "exchanged",
    "linked-out",
    "mode",
    "mode2",
    "owner",
    "times",
    "attribute",
    "flags",
];

/// Names a directory for the places of this test.
pub(crate) const DIRECTORY: &str = "AGENTGUARD_TEST_DIRECTORY";

/// Where places are made. Not in temporary directories, since inside all below these may be written as
/// far as Landlock is concerned, and only the read-only mount would hold.
pub(crate) fn directory() -> PathBuf {
    let named = env::var_os(DIRECTORY).map(PathBuf::from);
    let is_root = rustix::process::getuid().is_root();
    let found = [
        named,
        is_root.then(|| PathBuf::from("/var")),
        Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR"))),
        env::var_os("HOME").map(PathBuf::from),
    ];
    let is_private = |path: &PathBuf| {
        ["/tmp", "/var/tmp", "/dev/shm"]
            .iter()
            .any(|temporary| path.starts_with(temporary))
    };
    match found.into_iter().flatten().find(|path| !is_private(path)) {
        Some(path) => path,
        None => panic!("name a directory of yours that is no temporary one: {DIRECTORY}"),
    }
}

/// A directory, gone when dropped.
pub(crate) struct Place {
    pub(crate) root: PathBuf,
}

const LIMITS: Limits = Limits {
    processes: 512,
    files: 1024,
    temporary_bytes: 1 << 20,
    memory_bytes: None,
    seconds: Some(60),
    held: Held::Process,
};

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = directory().join(format!("agentguard-layers-{}-{count}", process::id()));
        for directory in [
            "work/.git/hooks",
            "work/.github/workflows",
            "home",
            "temporary",
            "outside/directory",
        ] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        let place = Self { root };
        for target in TARGETS {
            fs::write(place.root.join("outside").join(target), "as it was").unwrap();
        }
        for pinned in [
            ".git/config",
            ".git/hooks/post-merge",
            ".github/workflows/ci.yml",
        ] {
            fs::write(place.work().join(pinned), "as it was").unwrap();
        }
        let program = place.work().join("attack");
        match env::var_os(PROGRAM) {
            Some(compiled) => drop(fs::copy(compiled, &program).unwrap()),
            None => compile(&program),
        }
        place
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// A plan as policy would make it, with what is outside granted for reading.
    pub(crate) fn plan(&self, script: &str, without: &[Layer]) -> Plan {
        let read = ["/usr", "/etc", "/bin", "/lib", "/lib64"].map(PathBuf::from);
        let grants = read.into_iter().chain([self.root.join("outside")]);
        let is_root = rustix::process::getuid().is_root();
        Plan {
            confinement: Confinement {
                level: Level::Full,
                network: Network::Isolated,
                workspace: self.work(),
                grants: grants
                    .map(|path| Grant {
                        path,
                        access: Access::Read,
                    })
                    .collect(),
                home: "/home/agent".into(),
                home_grants: Vec::new(),
                masks: vec!["/etc/shadow".into()],
                pins: [".git/hooks", ".git/config", ".github/workflows"]
                    .map(PathBuf::from)
                    .to_vec(),
                places: Vec::new(),
                fetched: Vec::new(),
                variables: BTreeMap::new(),
                mute: Vec::new(),
                environment: Vec::new(),
                ports: Vec::new(),
                sockets: Vec::new(),
                signs_commits: false,
                names_session: false,
                hosts: Vec::new(),
                addresses: BTreeMap::new(),
                credentials: Vec::new(),
                uninspected: Vec::new(),
                escaped_slashes: Vec::new(),
                conversations: Vec::new(),
                ends_on: Vec::new(),
                limits: LIMITS,
            },
            signing: None,
            private_home: self.root.join("home"),
            temporary: self.root.join("temporary"),
            human_home: self.root.join("human"),
            directory: self.work(),
            command: ["/bin/sh", "-c", script]
                .map(|word| word.as_bytes().to_vec())
                .to_vec(),
            environment: vec![b"PATH=/usr/bin:/bin".to_vec()],
            become_user: is_root.then_some(User {
                uid: 61_500,
                gid: 61_500,
            }),
            files: Vec::new(),
            hooks: None,
            turns: None,
            replaceable: Vec::new(),
            named: Vec::new(),
            identities: Vec::new(),
            without: without.to_vec(),
        }
    }

    /// A process outside, of the same user.
    #[expect(clippy::disallowed_methods, reason = "it is what is attacked")]
    pub(crate) fn victim(&self) -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    /// Everything about what lies outside that any attack could change.
    pub(crate) fn outside(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.root.join("outside"))
            .unwrap()
            .map(Result::unwrap);
        let state = |path: &Path| {
            let stat = path.symlink_metadata().unwrap();
            // Whoever opens a FIFO waits.
            let content = match stat.is_file() {
                true => fs::read_to_string(path).unwrap(),
                false => String::new(),
            };
            format!(
                "{content}\n{:o} {} {} {}.{}",
                stat.mode(),
                stat.uid(),
                stat.nlink(),
                stat.ctime(),
                stat.ctime_nsec()
            )
        };
        entries
            .map(|entry| {
                (
                    entry.file_name().to_string_lossy().into_owned(),
                    state(&entry.path()),
                )
            })
            .collect()
    }

    /// Only which files there are, and what they hold.
    pub(crate) fn contents(&self) -> BTreeMap<String, String> {
        Self::contents_of(&self.outside())
    }

    pub(crate) fn contents_of(state: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let content = |text: &String| text.lines().next().unwrap_or_default().to_owned();
        state
            .iter()
            .map(|(name, text)| (name.clone(), content(text)))
            .collect()
    }

    /// What an attack said into a file of the workspace.
    pub(crate) fn said(&self, file: &str) -> String {
        fs::read_to_string(self.work().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Of what an attack tried, nothing but these came to `result`, and something was tried.
    pub(crate) fn none_is(&self, file: &str, result: &str, but: &[&str]) {
        let said = self.said(file);
        let lines: Vec<_> = said
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        assert!(!lines.is_empty(), "{file}: nothing was tried");
        for (name, came_to) in lines {
            assert!(
                came_to != result || but.contains(&name),
                "{file}: `{name}` came to `{came_to}`"
            );
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the compiler is the test's own tool"
)]
fn compile(to: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/refusals/attacks");
    let files = fs::read_dir(sources)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let status = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-pthread", "-o"])
        .arg(to)
        .args(files.filter(|path| path.extension().is_some_and(|extension| extension == "c")))
        .status()
        .unwrap_or_else(|error| {
            panic!("the attacks are C, and need a compiler named `cc`: {error}")
        });
    assert!(status.success());
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
