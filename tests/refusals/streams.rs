//! Standard streams: what whoever started a session shares with it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, fcntl_getfl, flock, mknodat};

use crate::lifetime::until;
use crate::scene::as_everyone;

const HISTORY: &str = "what was there before\n";

/// What of a file is not its content.
pub(crate) fn state(path: &Path) -> (u32, u32, u32, Option<Vec<u8>>) {
    let found = fs::metadata(path).unwrap();
    let mut value = [0; 16];
    let read = rustix::fs::getxattr(path, "user.agent", &mut value).ok();
    (
        found.mode(),
        found.uid(),
        found.gid(),
        read.map(|length| value[..length].to_vec()),
    )
}

/// The file's own flags, as lsattr(1) shows them.
fn flags(file: &File) -> Option<rustix::fs::IFlags> {
    rustix::fs::ioctl_getflags(file).ok()
}

/// The same output, opened as shells open it.
fn outputs(path: &Path) -> [File; 2] {
    let appending = OpenOptions::new().append(true).open(path).unwrap();
    // In the middle of a script whose output goes to a file.
    let mut shared = OpenOptions::new().write(true).open(path).unwrap();
    shared.seek(std::io::SeekFrom::End(0)).unwrap();
    [appending, shared]
}

#[test]
fn a_file_that_output_goes_to_keeps_what_it_had() {
    as_everyone(|scene| {
        let path = scene.write("outside/output", HISTORY);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let before = (state(&path), flags(&File::open(&path).unwrap()));
        for mut output in outputs(&path) {
            fs::write(&path, HISTORY).unwrap();
            let mut command = scene.exec(&[], &["./attack", "standard", "2"]);
            let ours = output.try_clone().unwrap();
            command.stderr(ours);
            let tried = scene.run_command(command).tried();
            assert_eq!(tried.result("emptied"), "EINVAL");
            output.write_all(b"what comes after\n").unwrap();
            let all = fs::read_to_string(&path).unwrap();
            assert!(all.starts_with(HISTORY), "{all}");
            assert!(all.ends_with("what comes after\n"), "{all}");
            assert!(!all.contains("forged"), "{all}");
            let file = File::open(&path).unwrap();
            assert_eq!((state(&path), flags(&file)), before);
            // The output is still open here, and nobody holds a lock by it.
            flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
            drop(file);
            assert!(!fcntl_getfl(&output).unwrap().contains(OFlags::NONBLOCK));
        }
        let [appending, _] = outputs(&path);
        let mut bare = scene.command("./attack");
        bare.args(["standard", "2"]).stderr(appending);
        let tried = scene.run_command(bare).tried();
        assert_eq!(tried.result("overwritten"), "ok");
        assert!(!fs::read_to_string(&path).unwrap().starts_with(HISTORY));
        assert_ne!(state(&path), before.0);
    });
}

#[test]
fn a_file_that_input_comes_from_is_only_read() {
    as_everyone(|scene| {
        let path = scene.write("outside/input", HISTORY);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let before = (state(&path), flags(&File::open(&path).unwrap()));
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        // Open to write as well, as `<>` opens it.
        let mut input = OpenOptions::new();
        let input = input.read(true).write(true).open(&path).unwrap();
        let mut command = scene.exec(&[], &["./attack", "standard", "0"]);
        command.stdin(input.try_clone().unwrap());
        scene.run_command(command).tried();
        assert_eq!(fs::read_to_string(&path).unwrap(), HISTORY);
        let file = File::open(&path).unwrap();
        assert_eq!((state(&path), flags(&file)), before);
        assert_eq!(file.metadata().unwrap().modified().unwrap(), changed);
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        drop(file);
        let mut bare = scene.command("./attack");
        bare.args(["standard", "0"]).stdin(input);
        scene.run_command(bare);
        assert_ne!(fs::read_to_string(&path).unwrap(), HISTORY);
    });
}

#[test]
fn a_pipe_that_is_shared_gets_its_flags_back() {
    as_everyone(|scene| {
        let (ours, _writes) = rustix::pipe::pipe().unwrap();
        let flags = fcntl_getfl(&ours).unwrap();
        let mut command = scene.exec(&[], &["./attack", "standard", "0"]);
        command.stdin(ours.try_clone().unwrap());
        let tried = scene.run_command(command).tried();
        assert_eq!(tried.result("not-appending"), "ok");
        assert_eq!(fcntl_getfl(&ours).unwrap(), flags);
        let mut bare = scene.command("./attack");
        bare.args(["standard", "0"])
            .stdin(ours.try_clone().unwrap());
        scene.run_command(bare);
        assert_ne!(fcntl_getfl(&ours).unwrap(), flags);
    });
}

#[test]
fn what_a_session_does_not_read_of_a_file_is_read_by_what_comes_next() {
    as_everyone(|scene| {
        let lines: String = (0..60_000).map(|number| format!("{number}\n")).collect();
        let path = scene.write("outside/lines", &lines);
        let mut input = File::open(&path).unwrap();
        let mut read = String::new();
        for (count, bytes) in [(100, "100"), (0, "0"), (200_000, "200000")] {
            let mut command = scene.exec(&[], &["head", "-c", bytes]);
            command.stdin(input.try_clone().unwrap());
            let ran = scene.run_command(command);
            assert_eq!(ran.stdout.len(), count, "{}", ran.stderr);
            read += &ran.stdout;
        }
        input.read_to_string(&mut read).unwrap();
        assert!(read == lines);
    });
}

#[test]
fn what_a_session_does_not_read_of_a_pipe_is_read_by_what_comes_next() {
    as_everyone(|scene| {
        let lines: String = (0..60_000).map(|number| format!("{number}\n")).collect();
        let path = scene.write("outside/lines", &lines);
        let session = format!("{} --", scene.guard_words());
        let script = format!(
            "cat {} | {{ {session} head -c 100; {session} true; {session} head -c 200000; cat; }} 2> told",
            path.display()
        );
        let ran = scene.run_bare(&["sh", "-c", &script]);
        assert!(ran.stdout == lines);
        let script = format!("printf 'a\nb\nc\n' | while read line; do {session} echo $line; done");
        assert_eq!(scene.run_bare(&["sh", "-c", &script]).stdout, "a\nb\nc\n");
    });
}

/// As programs give it to those that they start, node above all.
#[test]
fn a_socket_that_is_shared_stays_as_it_was() {
    as_everyone(|scene| {
        let session = |mut command: Command| {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(b"heard\nleft\n").unwrap();
            let handed = || OwnedFd::from(ours.try_clone().unwrap());
            command.stdin(handed()).stdout(handed());
            command.args(["sh", "-c", "head -c 6; ./attack standard 0 > tried"]);
            println!("{:?}", command.output().unwrap());
            let timeout = ours.read_timeout().unwrap();
            let said = [ours.write(b"after\n").ok(), theirs.write(b"late\n").ok()];
            let mut texts = [String::new(), String::new()];
            for (end, text) in [&ours, &theirs].into_iter().zip(&mut texts) {
                end.set_nonblocking(true).unwrap();
                let mut bytes = [0; 64];
                let mut end = end;
                while let Ok(count @ 1..) = end.read(&mut bytes) {
                    *text += std::str::from_utf8(&bytes[..count]).unwrap();
                }
            }
            (timeout, said, texts)
        };
        let mut guard = scene.exec(&[], &[]);
        guard.stderr(Stdio::piped());
        let (timeout, said, [left, heard]) = session(guard);
        assert_eq!((timeout, said), (None, [Some(6), Some(5)]));
        assert_eq!(
            (left.as_str(), heard.as_str()),
            ("left\nlate\n", "heard\nafter\n")
        );
        let mut bare = scene.command("env");
        bare.stderr(Stdio::piped());
        let (timeout, said, _) = session(bare);
        assert!(timeout.is_some() && said == [None, None]);
    });
}

/// Else an agent would have the shell run what it likes that started it, where that reads its script from a pipe.
#[test]
fn nobody_who_reads_from_a_pipe_hears_a_session() {
    as_everyone(|scene| {
        let said = scene.work().join("said");
        // What waits for ever in a session is done at once without one, be it on a busy machine.
        let session = |session: &str, limit: &str| {
            let script = format!(
                "{session} timeout {limit} sh -c 'echo \"touch said\" > /dev/stdin'\necho last\n"
            );
            let script = scene.write("outside/script", &script);
            let words = format!("cat {} | bash", script.display());
            let ran = scene.run_bare(&["sh", "-c", &words]);
            assert_eq!(ran.stdout, "last\n");
            fs::remove_file(&said).is_ok()
        };
        assert!(!session(&format!("{} --", scene.guard_words()), "2"));
        assert!(session("", "60"));
    });
}

#[test]
fn what_others_wrote_to_a_pipe_is_read_by_no_session() {
    as_everyone(|scene| {
        let [got, over] = ["got", "over"].map(|name| scene.work().join(name));
        let session = |session: &str, limit: &str| {
            let script = format!(
                "{{ echo early; {session} sh -c 'timeout {limit} head -1 < /dev/stdout > got'; : > over; }} | \
                 {{ until [ -e over ]; do sleep 0.05; done; cat; }}"
            );
            let ran = scene.run_bare(&["sh", "-c", &script]);
            fs::remove_file(&over).unwrap();
            (ran.stdout, fs::read_to_string(&got).unwrap_or_default())
        };
        let guard = session(&format!("{} --", scene.guard_words()), "1");
        assert_eq!(guard, ("early\n".to_owned(), String::new()));
        let bare = session("", "60");
        assert_eq!(bare, (String::new(), "early\n".to_owned()));
        fs::remove_file(&got).unwrap();
    });
}

/// What it has read may be gone there by then, and what comes next is not that.
#[test]
fn what_somebody_else_took_from_a_pipe_is_not_taken_from_what_comes_next() {
    as_everyone(|scene| {
        if !scene.is_ordinary() {
            return; // no other user's pipe is opened by its name, so that it is handed in as it is
        }
        let script = "import os, select, time\n\
                      select.select([0], [], [])\n\
                      open('shown', 'w')\n\
                      while not os.path.exists('taken'): time.sleep(0.01)\n\
                      read = os.read(0, 4)\n\
                      open('read', 'w')\n\
                      select.select([0], [], [], 20)[0] and (read := read + os.read(0, 4))\n\
                      print(read.decode())";
        // Of the agent's user, so that it is not handed in as it is.
        let path = scene.outside().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        scene.own(&path);
        let mut input = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        input.write_all(b"ours").unwrap();
        let mut command = scene.exec(&[], &["python3", "-c", script]);
        command.stdin(input.try_clone().unwrap());
        let ran = std::thread::scope(|scope| {
            let session = scope.spawn(|| scene.run_command(command));
            until("it is shown", || scene.work().join("shown").exists());
            assert_eq!(input.read(&mut [0; 8]).unwrap(), 4);
            scene.write("home/work/taken", "");
            until("it is read", || scene.work().join("read").exists());
            // Nothing tells when the guard has looked whether what was read is still there.
            std::thread::sleep(std::time::Duration::from_millis(300));
            input.write_all(b"next").unwrap();
            session.join().unwrap()
        });
        assert_eq!(ran.stdout, "oursnext\n", "{}", ran.stderr);
    });
}

/// Else a script that is read from there would run again.
#[test]
fn no_session_takes_whoever_reads_a_file_back() {
    as_everyone(|scene| {
        let path = scene.write("outside/read", &"x".repeat(10_000));
        let mut input = File::open(&path).unwrap();
        input.read_exact(&mut [0; 6000]).unwrap();
        let script = "head -c 3000 /dev/zero > /dev/stdin; ./attack standard 0";
        let mut command = scene.exec(&[], &["sh", "-c", script]);
        command.stdin(input.try_clone().unwrap());
        scene.run_command(command).tried();
        assert!(input.stream_position().unwrap() >= 6000);
    });
}

/// A session is shown what waits there, and takes it once it has read that. By then somebody else may have.
#[test]
fn what_comes_after_what_others_read_is_not_taken_for_it() {
    as_everyone(|scene| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"first\n").unwrap();
        let until = |name: &str| format!("until test -e {name}; do sleep 0.02; done");
        let script = format!(
            "head -c 1 > heard; : > began; {}; head -c 5 > heard; : > read; {}",
            until("go"),
            until("end")
        );
        let mut command = scene.exec(&[], &["sh", "-c", &script]);
        command.stdin(OwnedFd::from(ours.try_clone().unwrap()));
        let mut session = command.spawn().unwrap();
        let mut wait_for = |name: &str| {
            while !scene.work().join(name).exists() {
                assert_eq!(session.try_wait().unwrap(), None, "it ended");
                // Nobody tells what a session does.
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        };
        wait_for("began");
        let mut bytes = [0; 64];
        assert_eq!((&ours).read(&mut bytes).unwrap(), 6);
        scene.write("home/work/go", "");
        wait_for("read");
        // Nothing tells when the guard has looked whether what was read is still there, nor that it takes nothing more.
        std::thread::sleep(std::time::Duration::from_millis(300));
        theirs.write_all(b"later\n").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        ours.set_nonblocking(true).unwrap();
        let left = (&ours).read(&mut bytes).map_err(|error| error.kind());
        scene.write("home/work/end", "");
        assert!(session.wait().unwrap().success());
        assert_eq!(left, Ok(6));
        for file in ["began", "go", "read", "end"] {
            fs::remove_file(scene.work().join(file)).unwrap();
        }
    });
}

#[test]
fn what_a_session_writes_to_files_is_there_when_it_ends_and_in_its_order() {
    as_everyone(|scene| {
        let path = scene.write("outside/both", HISTORY);
        let [both, _] = outputs(&path);
        let script = "for one in $(seq 2000); do echo out$one; echo error$one >&2; done";
        let mut command = scene.exec(&["--json"], &["sh", "-c", script]);
        command.stdout(both.try_clone().unwrap()).stderr(both);
        assert!(command.status().unwrap().success());
        let text = fs::read_to_string(&path).unwrap();
        let is_its_own = |line: &&str| line.starts_with("out") || line.starts_with("error");
        let lines: Vec<_> = text.lines().filter(is_its_own).collect();
        let expected = (1..=2000).flat_map(|one| [format!("out{one}"), format!("error{one}")]);
        assert!(
            text.starts_with(HISTORY) && lines == expected.collect::<Vec<_>>(),
            "{text}"
        );
    });
}

/// Programs open their streams by these names, also where what they are belongs to root and they do not.
#[test]
fn streams_are_opened_by_their_names() {
    as_everyone(|scene| {
        let script = format!(
            "echo heard | {} -- sh -c 'cat /dev/stdin > /dev/stdout; echo told > /dev/stderr' 2>&1 | cat",
            scene.guard_words()
        );
        let ran = scene.run_bare(&["sh", "-c", &script]);
        let is_ours = |line: &&str| line.starts_with("agentguard:");
        let lines: Vec<_> = ran.stdout.lines().filter(|line| !is_ours(line)).collect();
        assert_eq!(lines, ["heard", "told"]);
    });
}
