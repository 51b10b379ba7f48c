use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use agentguard_core::{Digest, Salt};

use super::*;
use crate::verify;

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("agent-keys-{}-{next}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.state().join("agents/ci").join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ci() -> AgentName {
    AgentName::parse("ci").unwrap()
}

fn chmod(path: PathBuf, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn refusal(scratch: &Scratch) -> String {
    match AgentKey::load_or_create(&scratch.state(), &ci()) {
        Ok(_) => panic!("the key was taken"),
        Err(error) => {
            assert!(matches!(error, Error::Unsafe { .. }), "{error:?}");
            error.to_string()
        }
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_helps() {
    for mode in [0o640, 0o604, 0o660, 0o620, 0o601] {
        let scratch = Scratch::new();
        AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
        chmod(scratch.file("key"), mode);
        let text = refusal(&scratch);
        assert!(text.contains(&format!("mode {mode:04o}")), "{text}");
        assert!(text.contains("`chmod 600 '"), "{text}");
    }
}

#[test]
fn a_directory_that_opens_to_others_is_refused() {
    for below in ["", "agents", "agents/ci"] {
        let scratch = Scratch::new();
        AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
        chmod(scratch.state().join(below), 0o750);
        let text = refusal(&scratch);
        assert!(text.contains("`chmod 700 '"), "{below}: {text}");
    }
}

#[test]
fn a_link_in_the_place_of_a_key_or_directory_is_refused_and_not_followed() {
    for name in ["agents", "agents/ci", "agents/ci/key"] {
        let scratch = Scratch::new();
        AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
        let (path, elsewhere) = (scratch.state().join(name), scratch.0.join("elsewhere"));
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        let text = refusal(&scratch);
        assert!(text.contains("a link or something else"), "{name}: {text}");
    }
}

#[test]
fn a_fifo_or_directory_in_the_place_of_a_key_is_refused_without_waiting() {
    let scratch = Scratch::new();
    AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
    fs::remove_file(scratch.file("key")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, scratch.file("key"), mode).unwrap();
    assert!(refusal(&scratch).contains("is not a file"));

    fs::remove_file(scratch.file("key")).unwrap();
    fs::create_dir(scratch.file("key")).unwrap();
    assert!(refusal(&scratch).contains("is not a file"));
}

#[test]
fn a_key_of_another_owner_is_refused() {
    let scratch = Scratch::new();
    AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
    let us = fs::metadata(scratch.file("key")).unwrap().uid();
    if us == 0 {
        std::os::unix::fs::chown(scratch.file("key"), Some(65_534), None).unwrap();
        assert!(refusal(&scratch).contains("belongs to uid 65534, and this is uid 0"));
    } else {
        // Nobody but root can give a file away: what another owns is the root directory.
        let error = Folder::open(std::path::Path::new("/"))
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains("belongs to uid"), "{error}");
    }
}

#[test]
fn a_key_that_was_cut_or_grew_is_refused_and_left_as_it_is() {
    for bytes in [&b""[..], &[1; 31], &[1; 33], &[1; 5000]] {
        let scratch = Scratch::new();
        AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
        fs::write(scratch.file("key"), bytes).unwrap();
        refusal(&scratch);
        assert_eq!(fs::read(scratch.file("key")).unwrap(), bytes);
    }
}

#[test]
fn a_revoked_agent_is_not_made_anew() {
    let scratch = Scratch::new();
    let old = AgentKey::load_or_create(&scratch.state(), &ci())
        .unwrap()
        .agent();
    let identity = revoke(&scratch.state(), &ci()).unwrap();
    assert_eq!((identity.agent, identity.retired), (None, vec![old.key]));
    assert!(!scratch.file("key").exists());
    for result in [
        AgentKey::load_or_create(&scratch.state(), &ci()).map(|_| ()),
        rotate(&scratch.state(), &ci()).map(|_| ()),
        revoke(&scratch.state(), &ci()).map(|_| ()),
    ] {
        assert!(matches!(result, Err(Error::Revoked { .. })), "{result:?}");
    }
    assert!(!scratch.file("key").exists());
}

#[test]
fn what_does_not_exist_is_neither_shown_nor_rotated_nor_made_by_asking() {
    let scratch = Scratch::new();
    for result in [
        show(&scratch.state(), &ci()).map(|_| ()),
        rotate(&scratch.state(), &ci()).map(|_| ()),
        revoke(&scratch.state(), &ci()).map(|_| ()),
    ] {
        assert!(matches!(result, Err(Error::Unknown { .. })), "{result:?}");
    }
    assert_eq!(list(&scratch.state()).unwrap(), []);
    assert!(!scratch.state().exists());
}

#[test]
fn a_list_of_retired_keys_that_was_tampered_with_is_refused() {
    let scratch = Scratch::new();
    AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
    rotate(&scratch.state(), &ci()).unwrap();
    let path = scratch.file("retired");
    let text = fs::read_to_string(&path).unwrap().replacen("ci+", "cj+", 1);
    fs::write(&path, text).unwrap();
    assert!(matches!(
        show(&scratch.state(), &ci()),
        Err(Error::Unsafe { .. })
    ));
}

#[test]
fn a_key_is_made_once_private_and_signs_for_its_agent() {
    let scratch = Scratch::new();
    let key = AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
    let again = AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
    assert_eq!(key.agent(), again.agent());
    assert!(verify(&key.agent(), b"text", &again.sign(b"text")));
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(scratch.file("key")), 0o600);
    for below in ["", "agents", "agents/ci"] {
        assert_eq!(mode(scratch.state().join(below)), 0o700, "{below}");
    }
    let names: Vec<_> = fs::read_dir(scratch.file("")).unwrap().collect();
    assert_eq!(names.len(), 1, "no temporary file is left");
}

#[test]
fn many_that_make_a_key_at_once_end_up_with_one() {
    let scratch = Scratch::new();
    let (state, barrier) = (scratch.state(), Barrier::new(8));
    let keys: Vec<Agent> = std::thread::scope(|scope| {
        let make = || {
            barrier.wait();
            AgentKey::load_or_create(&state, &ci()).unwrap().agent()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_rotated_key_signs_anew_and_the_old_one_still_verifies_what_it_signed() {
    let scratch = Scratch::new();
    let old = AgentKey::load_or_create(&scratch.state(), &ci()).unwrap();
    let signature = old.sign(b"text");
    let new = rotate(&scratch.state(), &ci()).unwrap();
    assert_ne!(old.agent(), new.agent());
    assert!(!verify(&new.agent(), b"text", &signature));
    let identity = show(&scratch.state(), &ci()).unwrap();
    assert_eq!(identity.agent, Some(new.agent()));
    let [retired] = &identity.retired[..] else {
        panic!("{:?}", identity.retired)
    };
    let retired = Agent {
        name: ci(),
        key: retired.clone(),
    };
    assert!(verify(&retired, b"text", &signature));
}

#[test]
fn agents_are_listed_by_name_and_strangers_are_not() {
    let scratch = Scratch::new();
    for name in ["zed", "ci", "ada"] {
        let name = AgentName::parse(name).unwrap();
        AgentKey::load_or_create(&scratch.state(), &name).unwrap();
    }
    fs::create_dir(scratch.state().join("agents/Not An Agent")).unwrap();
    let names: Vec<_> = list(&scratch.state())
        .unwrap()
        .into_iter()
        .map(|i| i.name.to_string())
        .collect();
    assert_eq!(names, ["ada", "ci", "zed"]);
}

#[test]
fn the_statement_of_a_session_is_as_the_format_says() {
    let session = SessionId::from_random([0xab; 16]);
    let text = Commitment::to(&Salt([1; 16]), b"text");
    let statement = session_statement(&session, "github:1", &text);
    let expected = format!(
        "agentguard session v1\n{}\ngithub:1\n{}\n",
        "ab".repeat(16),
        Digest::to_string(&text.0)
    );
    assert_eq!(String::from_utf8(statement).unwrap(), expected);
}
