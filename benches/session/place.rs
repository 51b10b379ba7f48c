//! Where the bench works: a workspace on disk, and homes on disk and in memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, process};

use crate::agentguard;

pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Directories of this run, gone when dropped.
pub(crate) struct Place {
    pub(crate) workspace: PathBuf,
    /// A home whose state lies in memory.
    pub(crate) tmpfs: PathBuf,
    /// A home whose state lies on disk.
    pub(crate) disk: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let base = env::var_os("AGENTGUARD_BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
        let name = format!("agentguard-bench-{}", process::id());
        let place = Self {
            workspace: base.join(&name).join("work"),
            disk: base.join(&name).join("home"),
            tmpfs: Path::new("/dev/shm").join(&name),
        };
        for path in [&place.workspace, &place.disk, &place.tmpfs] {
            fs::create_dir_all(path).unwrap();
        }
        place
    }

    /// Compiles a program into the workspace.
    pub(crate) fn compile(&self, name: &str, source: &str) {
        let file = format!("{name}.c");
        fs::write(self.workspace.join(&file), source).unwrap();
        let status = self.bare(&["cc", "-O1", "-o", name, &file]).status();
        assert!(status.unwrap().success());
    }

    /// Writes a project of so many files and the script that builds it.
    pub(crate) fn project(&self, files: usize) {
        for file in 0..files {
            let functions = (0..12).map(|number| {
                format!(
                    "int f{file}_{number}(const char *text, int *into) {{\n  int sum = {number};\n  \
                     for (size_t i = 0; i < strlen(text); i++) {{\n    sum = sum * 31 + text[i];\n    \
                     if (sum % {} == 0) printf(\"%d\\n\", sum);\n    into[i % 8] ^= sum;\n  }}\n  \
                     return sum;\n}}\n",
                    number + 2
                )
            });
            let text = format!(
                "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n{}",
                functions.collect::<String>()
            );
            fs::write(self.workspace.join(format!("part{file}.c")), text).unwrap();
        }
        fs::write(
            self.workspace.join("main.c"),
            "int main(void) { return 0; }\n",
        )
        .unwrap();
        let script = "set -e\nrm -f *.o program\nfor file in part*.c main.c; do\n  \
                      cc -O2 -c \"$file\" -o \"${file%.c}.o\"\ndone\ncc -o program part*.o main.o\n";
        fs::write(self.workspace.join("build.sh"), script).unwrap();
    }

    /// The command as it is.
    pub(crate) fn bare(&self, words: &[&str]) -> Command {
        self.command(Path::new("/"), words.iter().map(Path::new).collect())
    }

    /// The command as a session, with its state in `home`.
    pub(crate) fn guarded(&self, home: &Path, words: &[&str]) -> Command {
        self.agentguard(home, &["exec", "--"], words)
    }

    /// What a session of the command would be.
    pub(crate) fn planned(&self, words: &[&str]) -> Command {
        self.agentguard(&self.tmpfs, &["exec", "--plan", "--"], words)
    }

    fn agentguard(&self, home: &Path, before: &[&str], words: &[&str]) -> Command {
        let words = before.iter().chain(words).map(Path::new);
        self.command(home, [agentguard()].into_iter().chain(words).collect())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what is measured is started from outside"
    )]
    fn command(&self, home: &Path, words: Vec<&Path>) -> Command {
        let (program, arguments) = words.split_first().unwrap();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.workspace)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", home)
            .env("TMPDIR", &self.tmpfs)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.tmpfs);
        if let Some(base) = self.disk.parent() {
            let _ = fs::remove_dir_all(base);
        }
    }
}
