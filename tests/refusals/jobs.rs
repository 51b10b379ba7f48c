//! Sessions as jobs of a shell's: stopped, sent on and interrupted as any other.

use std::fs;
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, tcgetattr};

use crate::lifetime::{parent, until, with_argument};
use crate::scene::{Scene, as_everyone};
use crate::session::status;
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

/// Some programs catch the signal of who reads from behind, and stop by another. Its reader is not stopped, and no shell
/// looks after it.
#[test]
fn a_session_that_stops_itself_before_a_reader_goes_on() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let script = format!(
            "{} -- sh -c 'kill -STOP $$; echo went on' | cat",
            scene.guard_words()
        );
        let (_stream, child) = terminal.start(scene, &script);
        let shown = terminal.wait(child, || {});
        assert!(shown.contains("went on"), "{shown}");
    });
}

/// Where those behind may not write (`stty tostop`). What it reads makes it no less of a job.
#[test]
fn a_session_that_writes_from_behind_is_a_stopped_job() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let script = format!(
            "stty tostop; {} -- sh -c 'echo went on' < /dev/null & \
             until jobs -s | grep -q .; do sleep 0.05; done; fg",
            scene.guard_words()
        );
        let (_stream, child) = terminal.start(scene, &script);
        let shown = terminal.wait(child, || {});
        assert!(shown.contains("went on\r\n"), "{shown}");
    });
}

/// Its guard does not stop with it where nobody would send that on.
#[test]
fn a_session_that_stopped_itself_is_ended_by_a_key() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let name = format!("itself-{}", std::process::id());
        let script = format!(
            "exec {} -- sh -c 'kill -STOP $$; sleep 80' {name}",
            scene.guard_words()
        );
        let (stream, child) = terminal.start(scene, &script);
        let mut next = None;
        let is_stopped = |one: &u32| status(*one, "State:").starts_with('T');
        let shown = terminal.wait(child, || {
            let now = Instant::now();
            if next.is_none() && with_argument(&name).iter().any(is_stopped) {
                next = Some(now + Duration::from_secs(1));
            }
            // Its guard has heard of it by then. If not, the key is the session's, and who waits types again.
            if next.is_some_and(|next| now > next) && !is_raw(&stream) {
                terminal.type_in("\x03");
                next = Some(now + Duration::from_secs(5));
            }
        });
        assert!(shown.contains("ended by signal 2"), "{shown}");
    });
}

/// Whoever stops its guard with it has no more time for that, nor has what goes on in a session of its own.
#[test]
fn a_session_whose_guard_is_stopped_ends_when_its_time_is_over() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let seconds = format!("80.{}", std::process::id());
        let script = format!(
            "{} --timeout=2 -- sh -c 'setsid sleep {seconds} & kill -STOP $$'; : > stopped; \
             until test -e dead; do sleep 0.05; done; fg",
            scene.guard_words()
        );
        let (_stream, child) = terminal.start(scene, &script);
        let shown = terminal.wait(child, || {
            let is_over = is_there(scene, "stopped") && with_argument(&seconds).is_empty();
            if is_over && !is_there(scene, "dead") {
                scene.write("home/work/dead", "");
            }
        });
        assert!(shown.contains("time was over"), "{shown}");
        forget(scene, &["stopped", "dead"]);
    });
}

/// Nor is there more than its mediator can tell a guard that does not listen.
#[test]
fn a_session_that_moves_all_its_refs_while_its_guard_is_stopped_ends_all_the_same() {
    as_everyone(|scene| {
        scene.run_bare(&["git", "init", "-q"]);
        let terminal = Terminal::of(scene);
        let seconds = format!("81.{}", std::process::id());
        let refs = |digit: &str| -> String {
            let lines = (0..9999).map(|one| format!("{} refs/heads/{one}\n", digit.repeat(40)));
            lines.collect()
        };
        scene.write("home/work/.git/packed-refs", &refs("1"));
        scene.write("home/work/others", &refs("2"));
        let flood = "import os, time\n\
                     file = os.open('.git/packed-refs', os.O_RDWR)\n\
                     all = [open(one, 'rb').read() for one in ('others', '.git/packed-refs')]\n\
                     open('ready', 'w')\n\
                     while True:\n\
                     \tfor one in all: os.pwrite(file, one, 0); time.sleep(0.3)";
        scene.write("home/work/flood.py", flood);
        let script = format!(
            "{} --timeout=4 -- sh -c 'python3 flood.py & setsid sleep {seconds} & \
             until test -e ready; do sleep 0.05; done; kill -STOP $$'; : > stopped; \
             until test -e dead; do sleep 0.05; done; fg",
            scene.guard_words()
        );
        let (_stream, child) = terminal.start(scene, &script);
        let shown = terminal.wait(child, || {
            let is_over = is_there(scene, "stopped") && with_argument(&seconds).is_empty();
            if is_over && !is_there(scene, "dead") {
                scene.write("home/work/dead", "");
            }
        });
        assert!(shown.contains("time was over"), "{shown}");
        forget(scene, &["ready", "stopped", "dead", "others", "flood.py"]);
        fs::remove_dir_all(scene.work().join(".git")).unwrap();
    });
}

/// What it wrote last is not shown yet, nothing more comes of it, and its terminal says so as often as it is asked.
#[test]
fn a_guard_waits_for_a_terminal_that_nobody_reads_and_does_nothing_else() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let word = format!("endless-{}", std::process::id());
        let script = format!("{} --timeout=1 -- yes {word}", scene.guard_words());
        let (_stream, child) = terminal.start(scene, &script);
        let inside = || {
            let all = with_argument(&word).into_iter();
            all.filter(|one| {
                fs::read_to_string(format!("/proc/{one}/comm")).is_ok_and(|name| name == "yes\n")
            })
            .collect::<Vec<_>>()
        };
        until("it writes", || !inside().is_empty());
        until("it is over", || inside().is_empty());
        let guards = with_argument(&word);
        let guard = guards.iter().find(|one| parent(**one) != Some(1)).unwrap();
        let spent = || {
            let stat = fs::read_to_string(format!("/proc/{guard}/stat")).unwrap();
            let (_, fields) = stat.rsplit_once(')').unwrap();
            let fields = fields.split_whitespace().skip(11).take(2); // proc_pid_stat(5): utime, stime
            fields.map(|one| one.parse::<u64>().unwrap()).sum::<u64>()
        };
        let before = spent();
        // What is looked for is what does not happen meanwhile.
        std::thread::sleep(Duration::from_secs(1));
        // Hundredths of a second.
        assert!(spent() - before < 20);
        terminal.wait(child, || {});
    });
}

/// By the kernel alone nobody hears of it: who waits for a child that is no program yet is not stopped.
#[test]
fn a_session_that_is_stopped_while_a_program_begins_is_a_stopped_job() {
    as_everyone(|scene| {
        let terminal = Terminal::of(scene);
        let script = format!(
            "{} -- ./attack unborn; jobs -s > stopped; fg",
            scene.guard_words()
        );
        let (_stream, child) = terminal.start(scene, &script);
        let shown = terminal.wait(child, || {});
        let stopped = fs::read_to_string(scene.work().join("stopped")).unwrap();
        assert!(stopped.contains("unborn"), "{stopped} {shown}");
        assert!(shown.contains("child ok"), "{shown}");
        forget(scene, &["stopped"]);
    });
}

/// The kernel shares processors out among sessions of processes first, each of which says how nice it is.
#[test]
fn a_session_is_as_nice_as_whoever_started_it() {
    as_everyone(|scene| {
        if !std::path::Path::new("/proc/self/autogroup").exists() {
            println!("NOT TRIED: this kernel has no groups of sessions");
            return;
        }
        let session = format!("{} --", scene.guard_words());
        let script = format!("nice -n 7 {session} cat /proc/self/autogroup");
        let ran = scene.run_bare(&["sh", "-c", &script]);
        // The kernel takes that ten times a second, of whoever is not root.
        assert!(
            ran.stdout.contains(" nice "),
            "{} {}",
            ran.stdout,
            ran.stderr
        );
        assert!(ran.stdout.trim_end().ends_with(" 7"), "{}", ran.stdout);
    });
}
