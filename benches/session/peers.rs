//! Other sandboxes, to be measured in the same rounds. None of them judges an exec by its arguments or records
//! it. A bench installs nothing: they are looked for in `PATH`, or where a variable says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::place::Place;

/// A name, the variable that may say where the program is, and what it is given before the command.
type Known = (&'static str, &'static str, fn(&Place) -> Vec<String>);

const KNOWN: [Known; 3] = [
    ("bwrap", "AGENTGUARD_BENCH_BWRAP", bubblewrap),
    ("sandlock", "AGENTGUARD_BENCH_SANDLOCK", sandlock),
    ("srt", "AGENTGUARD_BENCH_SRT", srt),
];

/// Those that can be started here.
pub(crate) struct Peers(Vec<Peer>);

struct Peer {
    name: &'static str,
    program: PathBuf,
    before: Vec<String>,
}

impl Peers {
    /// Looks for each, tries it, and says which are left out and why.
    pub(crate) fn find(place: &Place) -> Self {
        let mut found = Vec::new();
        for (name, variable, before) in KNOWN {
            let Some(program) = program(name, variable) else {
                println!("{name}: skipped, it is not in PATH and {variable} is not set");
                continue;
            };
            let before = before(place);
            let peer = Peer {
                name,
                program,
                before,
            };
            let tried = peer.command(place, &["/bin/true"]).output().unwrap();
            if tried.status.success() {
                found.push(peer);
            } else {
                let said = String::from_utf8_lossy(&tried.stderr);
                let last = said.trim().lines().last().unwrap_or("nothing was said");
                println!("{name}: skipped, it cannot start `/bin/true`: {last}");
            }
        }
        Self(found)
    }

    /// The command as each of them runs it.
    pub(crate) fn commands(&self, place: &Place, words: &[&str]) -> Vec<(&'static str, Command)> {
        let each = self.0.iter();
        each.map(|peer| (peer.name, peer.command(place, words)))
            .collect()
    }
}

impl Peer {
    fn command(&self, place: &Place, words: &[&str]) -> Command {
        let before = self.before.iter().map(String::as_str);
        let program = self.program.to_str().unwrap();
        let all = [program]
            .into_iter()
            .chain(before)
            .chain(words.iter().copied());
        let mut command = place.bare(&all.collect::<Vec<_>>());
        // Where a peer comes with an interpreter of its own, that lies beside it.
        let beside = self.program.parent().unwrap_or(Path::new("/"));
        command.env(
            "PATH",
            format!("{}:{}", beside.display(), crate::place::PATH),
        );
        command
    }
}

fn program(name: &str, variable: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from);
    let directories = env::var_os("PATH").unwrap_or_default();
    let mut in_path = env::split_paths(&directories).map(|directory| directory.join(name));
    named.or_else(|| in_path.find(|path| path.is_file()))
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Everything for reading, the workspace for writing, nothing shared.
fn bubblewrap(place: &Place) -> Vec<String> {
    let workspace = place.workspace.to_str().unwrap();
    texts(&[
        "--ro-bind",
        "/",
        "/",
        "--bind",
        workspace,
        workspace,
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/dev/shm",
        "--unshare-all",
        "--die-with-parent",
        "--",
    ])
}

/// The system for reading, the workspace and memory for writing, no network; its supervisor is on.
fn sandlock(place: &Place) -> Vec<String> {
    let mut words = texts(&["run"]);
    for read in ["/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/dev"] {
        words.extend(texts(&["-r", read]));
    }
    for write in [&place.workspace, &place.tmpfs, Path::new("/dev/shm")] {
        words.extend(texts(&["-w", write.to_str().unwrap()]));
    }
    words.extend(texts(&["--"]));
    words
}

/// The same by settings of its own.
fn srt(place: &Place) -> Vec<String> {
    let settings = place.disk.join("srt.json");
    let write = [&place.workspace, &place.tmpfs, Path::new("/dev/shm")];
    let write = write.map(|path| format!("\"{}\"", path.display()));
    let text = format!(
        "{{\"network\":{{\"allowedDomains\":[],\"deniedDomains\":[]}},\
         \"filesystem\":{{\"denyRead\":[],\"allowWrite\":[{}],\"denyWrite\":[]}}}}",
        write.join(",")
    );
    fs::write(&settings, text).unwrap();
    texts(&["--settings", settings.to_str().unwrap()])
}
