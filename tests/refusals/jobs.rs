//! Sessions as jobs of a shell's: stopped, sent on and interrupted as any other.

use std::fs;

use rustix::termios::{LocalModes, tcgetattr};

use crate::scene::{Scene, as_everyone};
use crate::terminal::Terminal;

/// Whether what is typed at a terminal goes on as it is.
fn is_raw(stream: &fs::File) -> bool {
    let modes = tcgetattr(stream).unwrap();
    !modes.local_modes.contains(LocalModes::ICANON)
}

fn is_there(scene: &Scene, name: &str) -> bool {
    scene.work().join(name).exists()
}

fn forget(scene: &Scene, names: &[&str]) {
    for name in names {
        fs::remove_file(scene.work().join(name)).unwrap();
    }
}

/// Each takes the modes that it finds for those to give back, and the second finds those of the first.
#[test]
fn a_terminal_that_two_sessions_share_is_left_as_it_was() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let guard = scene.guard_words();
        let wait_for = |name: &str| format!("until test -e {name}; do sleep 0.05; done");
        let script = format!(
            "{guard} -- sh -c 'read x < /dev/tty; {}' | \
             {guard} -- sh -c '{}; read x < /dev/tty; : > second; cat'; : > over; {}",
            wait_for("second"),
            wait_for("first"),
            wait_for("seen"),
        );
        let (stream, child) = terminal.start(scene, &script);
        let mut was_raw = false;
        let shown = terminal.wait(child, || {
            if !was_raw && is_raw(&stream) {
                was_raw = true;
                scene.write("home/work/first", "");
            }
            // Either may read it.
            if was_raw && !is_there(scene, "over") {
                terminal.type_in("a line\n");
            }
            if is_there(scene, "over") && !is_there(scene, "seen") {
                assert!(!is_raw(&stream));
                scene.write("home/work/seen", "");
            }
        });
        assert!(was_raw, "{shown}");
        forget(scene, &["first", "second", "over", "seen"]);
    });
}
