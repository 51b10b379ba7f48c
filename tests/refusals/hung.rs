//! File systems that never answer: who asks them waits, and nobody else.
//!
//! The file system is a process of the test's (fuse(4)), which only root may mount for others.

use std::fs;
use std::process::Stdio;

use agentguard::core::Level;

use crate::scene::{Scene, Who, level};

/// The session is another user's, and the file system is granted to it.
const OUTSIDE: &str = r#"
./attack hung "$slow" attack > mounted & server=$!
./attack hung above/hooks attack > mounted-below & below=$!
for file in mounted mounted-below; do
    while ! grep -q mounted $file; do kill -0 $server $below || exit 9; sleep 0.01; done
done
setpriv --reuid 65534 --regid 65534 --clear-groups $guard "$policy" -- sh -c "$inside" < /dev/null & session=$!
while ! grep -rqs guard/too-late "$HOME/.local"; do kill -0 $session || exit 8; sleep 0.1; done
touch seen
while ! [ -e told ]; do sleep 0.1; done
kill $server $below
wait $session
"#;

const INSIDE: &str = r#"
./attack run "$slow/never" say x > exec & exec=$!
./attack make_file "$slow/below/new" > name & name=$!
./attack make_file "$slow/below/other" > other & other=$!
./attack run "$slow/once" say x > later &
mv above .git > move 2>&1 && echo moved
./attack reach_own above/hooks/socket > socket & socket=$!
while ! grep -q listen socket; do sleep 0.01; done
for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true && echo > a && mv a b && mkdir d && rmdir d || exit 3; done
./attack reach_own here
wait $exec $name $other $socket
cat exec name other socket
while ! [ -e seen ]; do sleep 0.1; done
touch told
"#;

/// Without mounts of their own, sessions ask about programs and not about names.
const INSIDE_WITHOUT_MOUNTS: &str = r#"
./attack run "$slow/never" say x > exec & exec=$!
./attack run "$slow/once" say x > later &
for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true && echo > a && mv a b && mkdir d && rmdir d || exit 3; done
wait $exec
cat exec
while ! [ -e seen ]; do sleep 0.1; done
touch told
"#;

/// Runs a session in which a file system is granted that never answers. `None` where there can be none.
fn beside_a_file_system_that_hangs(inside: &str) -> Option<(Scene, String, String)> {
    if fs::metadata("/dev/fuse").is_err() || !rustix::process::getuid().is_root() {
        println!("NOT TRIED: it takes root and /dev/fuse to mount a file system that hangs");
        return None;
    }
    let scene = Scene::new(Who::Ordinary);
    let slow = scene.directory("slow").display().to_string();
    scene.directory("home/work/above");
    scene.directory("home/work/above/hooks");
    let policy = scene.policy(&format!(
        "package agentguard.sandbox\n\nwrite contains \"{slow}\"\n"
    ));
    let mut command = Scene::new(Who::Root).command("timeout");
    command
        .current_dir(scene.work())
        .args([
            "-s", "KILL", "90", "unshare", "--mount", "sh", "-c", OUTSIDE,
        ])
        .env("HOME", scene.root.join("home"))
        .env("guard", scene.guard_words())
        .env("policy", policy)
        .env("slow", &slow)
        .env("inside", format!("slow={slow}; {inside}"));
    let session = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = session.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{told}{said}=> {:?}", output.status);
    assert_eq!(output.status.code(), Some(0));
    Some((scene, told, said))
}

#[test]
fn a_file_system_that_never_answers_keeps_only_those_who_ask_it() {
    let has_mounts = level() == Level::Full;
    let inside = if has_mounts {
        INSIDE
    } else {
        INSIDE_WITHOUT_MOUNTS
    };
    let Some((scene, told, said)) = beside_a_file_system_that_hangs(inside) else {
        return;
    };
    let expected = match has_mounts {
        true => {
            "listen ok\nreach ok\nrun ETIMEDOUT\nmake ETIMEDOUT\nmake ETIMEDOUT\nlisten ok\nreach ETIMEDOUT\n"
        }
        false => "run ETIMEDOUT\n",
    };
    assert_eq!(told, expected);
    // Of programs the entry says it.
    let is_told = said.contains("a file system did not answer in time");
    assert_eq!(is_told, has_mounts, "{said}");
    // What was not looked at is nobody's program.
    let mut expected = vec!["guard/too-late", "programs/unknown"];
    // And what is mounted in a directory that is moved is not looked into, but taken for what it could be.
    expected.extend(has_mounts.then_some("persistence/repository"));
    expected.sort_unstable();
    let mut refusals = scene.refusals();
    refusals.sort();
    // Whose socket it is that hung may be asked still when the file system is gone, if the session is not.
    refusals.retain(|rule| rule != "sockets/not-granted");
    assert_eq!(refusals, expected);
    // What was looked at, and let go, is ended before it runs. Whoever began it may still hear how it ended, if the
    // session does not end first.
    let later = fs::read_to_string(scene.work().join("later")).unwrap();
    assert!(["", "run signal-9\n"].contains(&later.as_str()), "{later}");
}
