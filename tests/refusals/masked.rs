//! What policy masks in a workspace, which others change while a session runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use agentguard::core::Promise;

use crate::attack;
use crate::scene::{Ran, Scene, where_held};

const ATTACK: &str = include_str!("attacks/masked.py");
const SECRET: &str = "whatever is masked\n";
const LOADER: &str = match cfg!(target_arch = "x86_64") {
    true => "/lib64/ld-linux-x86-64.so.2",
    false => "/lib/ld-linux-aarch64.so.1",
};

/// A workspace with what is masked in it, and what is not.
fn prepare(scene: &Scene) -> String {
    for directory in ["config", "secrets", "within", "first", "second", "third"] {
        scene.directory(&format!("home/work/{directory}"));
    }
    for file in [
        ".env",
        "secrets/later",
        "x (deleted)",
        "first/token",
        "first/last",
    ] {
        scene.write(&format!("home/work/{file}"), SECRET);
    }
    symlink("first", scene.work().join("current")).unwrap();
    symlink("first/last", scene.work().join("last")).unwrap();
    symlink("first", scene.work().join("way")).unwrap();
    symlink("way/token", scene.work().join("led")).unwrap();
    for file in ["plain", "plain-twin", "within/plain"] {
        scene.write(&format!("home/work/{file}"), "plain");
    }
    scene.write("home/work/script", "printf ran");
    scene.program("tool", attack::program());
    // A program that names a loader of its own, which is there for as long as nobody masks it.
    let name = LOADER.as_bytes();
    let mut led = attack::program().to_vec();
    let at = led.windows(name.len()).position(|window| window == name);
    let place = &mut led[at.unwrap()..][..name.len()];
    place.fill(0);
    place[..8].copy_from_slice(b"./loader");
    scene.program("led-by-loader", &led);
    led.splice(at.unwrap()..at.unwrap() + 8, *b"./plainl");
    scene.program("led-by-plain", &led);
    scene.program("plainl", &fs::read(LOADER).unwrap());
    scene.directory("outside/kept");
    scene.write("outside/kept/token", SECRET);
    let kept = scene.outside().join("kept").display().to_string();
    let work = scene.work().display().to_string();
    scene.policy(&format!(
        "package agentguard.sandbox\n\nwrite contains \"{kept}\"\n\nmasks contains \"{kept}/token\"\n\n\
         masks contains path if {{\n\
         \tsome name in [\".env\", \"config/later\", \"secrets\", \"gone\", \"absent/later\", \"tool\", \
         \"x (deleted)\", \"current/token\", \"last\", \"led\", \"loader\"]\n\
         \tpath := concat(\"/\", [\"{work}\", name])\n}}\n"
    ))
}

/// Notes something beside the content of a file.
fn note(path: &Path) {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(path, "user.noted", SECRET.as_bytes(), flags).unwrap();
}

/// As an editor does that writes a file anew, and whoever makes one that was not there.
fn replace(scene: &Scene) {
    let new = scene.write("outside/new", SECRET);
    note(&new);
    fs::rename(new, scene.work().join(".env")).unwrap();
    let new = scene.write("outside/new", SECRET);
    fs::rename(new, scene.work().join("x (deleted)")).unwrap();
    fs::rename(scene.work().join("secrets"), scene.outside().join("old")).unwrap();
    for directory in ["secrets", "absent"] {
        scene.directory(&format!("home/work/{directory}"));
    }
    for file in ["config/later", "secrets/later", "gone", "absent/later"] {
        scene.write(&format!("home/work/{file}"), SECRET);
    }
    let new = scene.write("outside/new", SECRET);
    fs::rename(new, scene.outside().join("kept/token")).unwrap();
    // As whoever puts a new release in the place of the last one.
    for (link, to, token) in [
        ("current", "second", "second/token"),
        ("last", "second/last", "second/last"),
        ("way", "third", "third/token"),
    ] {
        scene.write(&format!("home/work/{token}"), SECRET);
        let new = scene.outside().join("new");
        symlink(to, &new).unwrap();
        fs::rename(new, scene.work().join(link)).unwrap();
    }
    let new = scene.program("new-loader", &fs::read(LOADER).unwrap());
    fs::rename(new, scene.work().join("loader")).unwrap();
    let new = scene.program("new-tool", attack::program());
    fs::rename(new, scene.work().join("tool")).unwrap();
}

#[test]
fn what_is_masked_in_a_workspace_stays_so_whatever_is_put_in_its_place() {
    where_held(&[Promise::Names], |scene| {
        let policy = prepare(scene);
        scene.write("home/work/attack.py", ATTACK);
        let token = scene.outside().join("kept/token").display().to_string();
        let mut command = scene.exec(&[&policy], &["python3", "attack.py", &token]);
        let session = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut session = session.spawn().unwrap();
        while !scene.work().join("began").exists() {
            assert_eq!(session.try_wait().unwrap(), None, "it never began");
            // Nobody tells when a session runs.
            thread::sleep(Duration::from_millis(20));
        }
        replace(scene);
        scene.write("home/work/go", "");
        let ran = Ran::of(session.wait_with_output().unwrap());
        assert_eq!(ran.stdout, "worked\n", "{}", ran.stderr);
        for file in [
            ".env",
            "config/later",
            "secrets/later",
            "absent/later",
            "current/token",
            "second/token",
            "last",
            "third/token",
        ] {
            let text = fs::read_to_string(scene.work().join(file)).unwrap();
            assert_eq!(text, SECRET, "{file}");
        }
    });
}

/// Whoever judges looks where a mask leads by holding what is there; that it holds too much already is no answer.
#[test]
fn what_a_mask_leads_to_stays_masked_where_nobody_can_look() {
    where_held(&[Promise::Own, Promise::Names], |scene| {
        for directory in ["outside/kept", "outside/kept/first", "outside/kept/second"] {
            scene.directory(directory);
            scene.write(&format!("{directory}/token"), SECRET);
        }
        let kept = scene.outside().join("kept");
        symlink("first", kept.join("current")).unwrap();
        let policy = scene.policy(&format!(
            "package agentguard.sandbox\n\nwrite contains \"{0}\"\n\nmasks contains \"{0}/current/token\"\n",
            kept.display()
        ));
        let [token, twin] = ["second/token", "twin"].map(|name| kept.join(name));
        // As few descriptors as some service managers give.
        let script = format!(
            "ulimit -n 128 && exec {} {policy} -- ./attack starved {} {}",
            scene.guard_words(),
            token.display(),
            twin.display()
        );
        let mut command = scene.command("timeout");
        command.args(["-s", "KILL", "60", "sh", "-c", &script]);
        let session = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut session = session.spawn().unwrap();
        while !scene.work().join("began").exists() {
            assert_eq!(session.try_wait().unwrap(), None, "it never began");
            // Nobody tells when a session runs.
            thread::sleep(Duration::from_millis(20));
        }
        let new = scene.outside().join("new");
        symlink("second", &new).unwrap();
        fs::rename(new, kept.join("current")).unwrap();
        scene.write("home/work/go", "");
        let tried = Ran::of(session.wait_with_output().unwrap()).tried();
        assert_eq!(tried.result("linked"), "EACCES");
        assert!(!twin.exists());
        assert_eq!(tried.result("full"), "EAGAIN");
        assert_eq!(tried.result("works"), "ok");
    });
}
