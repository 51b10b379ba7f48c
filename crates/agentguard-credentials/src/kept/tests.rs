use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use agentguard_core::{AgentName, Binding, CredentialName, Host, Secret, Slot};

use super::*;
use crate::Error;

struct State(PathBuf);

impl State {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("agentguard-kept-{}-{count}", process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }

    fn shelf(&self) -> Shelf {
        Shelf::make(&self.0).unwrap()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn header() -> Slot {
    Slot::Header {
        name: "authorization".to_owned(),
    }
}

fn terms(source: Source) -> Terms {
    Terms {
        name: CredentialName::parse("github").unwrap(),
        bound: vec![Binding {
            host: Host::parse("api.github.com").unwrap(),
            port: 443,
            path: Vec::new(),
            methods: Vec::new(),
            slot: header(),
        }],
        variables: vec!["GITHUB_TOKEN".to_owned()],
        agents: Vec::new(),
        source,
        expires: None,
        user: None,
    }
}

fn kept_in_file() -> Source {
    Source::Kept {
        keeping: Keeping::File,
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

#[test]
fn what_cannot_stand_in_a_request_is_refused_and_not_repeated() {
    for (text, slot, is_fine) in [
        ("ghp_abc", header(), true),
        ("a b", header(), true),
        ("", header(), false),
        (" a", header(), false),
        ("a\nb", header(), false),
        ("a\r\nX-Evil: 1", header(), false),
        ("a\0b", header(), false),
        ("a\x7f", header(), false),
        ("gr\u{fc}n", header(), false),
        (&"a".repeat(16 * 1024 + 1), header(), false),
        ("AKIA:key", Slot::Aws, true),
        ("AKIA:key:token", Slot::Aws, true),
        ("AKIA", Slot::Aws, false),
        ("AKIA:", Slot::Aws, false),
        ("a:b:c:d", Slot::Aws, false),
    ] {
        let checked = check(&secret(text), &[&slot]);
        assert_eq!(checked.is_ok(), is_fine, "{text:?}");
        if let Err(error) = checked {
            assert!(text.len() < 5 || !error.to_string().contains(text));
        }
    }
    assert!(trimmed(b"a\n").is(b"a"));
    assert!(trimmed(b"a\r\n").is(b"a"));
    assert!(trimmed(b"a\n\n").is(b"a\n"));
}

#[test]
fn a_placeholder_looks_like_its_token_and_is_another() {
    for (text, kept, alphabet) in [
        (
            "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
            "sk-ant-api03-",
            "aA0",
        ),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_", "aA0"),
        (
            "github_pat_11ABCDEFG0aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
            "github_pat_",
            "aA0",
        ),
        ("glpat-abcdefghij0123456789", "glpat-", "a0"),
        ("0123456789abcdef0123456789abcdef", "", "f0"),
        ("550e8400-e29b-41d4-a716-446655440000", "", "f0"),
        ("hunter2", "", "a0"),
        ("p@ss!", "", "a"),
    ] {
        let made = placeholder(&secret(text), &[&header()]).unwrap();
        let again = placeholder(&secret(text), &[&header()]).unwrap();
        assert_ne!(made, again);
        assert_ne!(made, text);
        assert!(made.starts_with(kept), "{made}");
        assert!(made.len() >= text.len());
        let rest: BTreeSet<u8> = made.bytes().skip(kept.len()).collect();
        let known = |byte: &u8| match *byte {
            b'-' | b'_' | b'.' => true,
            b'0'..=b'9' => alphabet.contains('0'),
            b'a'..=b'f' => alphabet.contains(['a', 'f']),
            b'g'..=b'z' => alphabet.contains('a'),
            b'A'..=b'Z' => alphabet.contains('A'),
            _ => false,
        };
        assert!(rest.iter().all(known), "{made}");
    }
}

#[test]
fn a_placeholder_holds_128_random_bits_however_short_its_token() {
    for text in [
        "1",
        "ab",
        "hunter2",
        "----------------------------------------",
    ] {
        let made = placeholder(&secret(text), &[&header()]).unwrap();
        let random = made.bytes().filter(u8::is_ascii_alphanumeric).count();
        // 128 bits are 39 digits, or 28 lower-case letters.
        let least = if text == "1" { 39 } else { 25 };
        assert!(random >= least, "{text} {made}");
    }
    let aws = placeholder(&secret("AKIAIOSFODNN7EXAMPLE:abc/def"), &[&Slot::Aws]).unwrap();
    assert!(aws.starts_with("AKIA") && aws.len() == 32, "{aws}");
}

#[test]
fn a_token_is_kept_in_a_private_file_until_it_is_revoked() {
    let state = State::new();
    let shelf = state.shelf();
    let token = secret("ghp_16C7e42F292c6912E7710c838347Ae178B4a");
    let kept = shelf.add(terms(kept_in_file()), Some(&token), 10).unwrap();
    let file = state.0.join("credentials/github.token");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    let directory = fs::metadata(state.0.join("credentials")).unwrap();
    assert_eq!(directory.mode() & 0o7777, 0o700);
    let described = fs::read_to_string(state.0.join("credentials/github.json")).unwrap();
    assert!(!described.contains("ghp_"), "{described}");
    assert!(shelf.token(&kept).unwrap().is(token.danger_reveal()));
    assert_eq!(shelf.ended(&kept, 11).unwrap(), None);
    let taken = shelf.add(terms(kept_in_file()), Some(&token), 11);
    assert!(matches!(taken, Err(Error::Taken { .. })));
    shelf.revoke(&kept.terms.name, 12).unwrap();
    assert!(!file.exists());
    assert_eq!(shelf.ended(&kept, 12).unwrap(), Some(Ended::Revoked));
    assert!(shelf.token(&kept).is_err());
    let twice = shelf.revoke(&kept.terms.name, 13);
    assert!(matches!(twice, Err(Error::TakenBack { .. })));
    let never = shelf.revoke(&CredentialName::parse("gitlab").unwrap(), 13);
    assert!(matches!(never, Err(Error::NoCredential { .. })));
    // Another of the same name is not the one that was lent.
    let other = shelf.add(terms(kept_in_file()), Some(&token), 14).unwrap();
    assert_eq!(shelf.ended(&kept, 14).unwrap(), Some(Ended::Revoked));
    assert_eq!(shelf.ended(&other, 14).unwrap(), None);
}

#[test]
fn a_credential_ends_at_its_time_and_its_uses_are_counted() {
    let state = State::new();
    let shelf = state.shelf();
    let mut short = terms(kept_in_file());
    short.expires = Some(100);
    let kept = shelf.add(short, Some(&secret("token")), 10).unwrap();
    assert_eq!(shelf.ended(&kept, 99).unwrap(), None);
    assert_eq!(shelf.ended(&kept, 100).unwrap(), Some(Ended::Expired));
    shelf.count(&kept, 3, 50).unwrap();
    shelf.count(&kept, 4, 60).unwrap();
    let [listed] = shelf.list().unwrap().try_into().unwrap();
    assert_eq!((listed.uses, listed.used), (7, Some(60)));
    fs::remove_file(state.0.join("credentials/github.json")).unwrap();
    assert_eq!(shelf.ended(&kept, 20).unwrap(), Some(Ended::Revoked));
}

#[test]
fn what_is_open_to_others_or_no_description_is_not_read() {
    let state = State::new();
    let shelf = state.shelf();
    let kept = shelf
        .add(terms(kept_in_file()), Some(&secret("token")), 10)
        .unwrap();
    let described = state.0.join("credentials/github.json");
    fs::set_permissions(&described, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(shelf.ended(&kept, 11), Err(Error::Unsafe { .. })));
    fs::set_permissions(&described, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&described, "{}").unwrap();
    assert!(matches!(shelf.list(), Err(Error::Unsafe { .. })));
}

#[test]
fn a_token_is_read_from_where_it_is_when_it_is_lent() {
    let state = State::new();
    let shelf = state.shelf();
    let path = state.0.join("token");
    fs::write(&path, "first\n").unwrap();
    let kept = shelf
        .add(terms(Source::File { path: path.clone() }), None, 10)
        .unwrap();
    assert!(!state.0.join("credentials/github.token").exists());
    fs::write(&path, "second\n").unwrap();
    assert!(shelf.token(&kept).unwrap().is(b"second"));
    fs::write(&path, "two\nlines\n").unwrap();
    assert!(matches!(shelf.token(&kept), Err(Error::Token { .. })));
    let of_nobody = Source::Variable {
        name: "AGENTGUARD_TEST_NOT_SET".to_owned(),
    };
    let mut other = terms(of_nobody);
    other.name = CredentialName::parse("other").unwrap();
    assert!(matches!(
        shelf.add(other, None, 10),
        Err(Error::Absent { .. })
    ));
}

#[test]
fn a_command_is_run_without_a_shell_and_its_failure_is_told() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let search = [
        PathBuf::from("relative"),
        PathBuf::from("/usr/bin"),
        PathBuf::from("/bin"),
    ];
    let read = |typed: &[&str]| {
        let source = Source::command(&words(typed), &search)?;
        source.read(|_| unreachable!())
    };
    assert!(read(&["echo", "$HOME;id"]).unwrap().is(b"$HOME;id"));
    assert!(read(&["pwd"]).unwrap().is(b"/"));
    assert!(read(&["false"]).is_err());
    assert!(read(&["no-such-program-of-ours"]).is_err());
    assert!(read(&["./echo", "x"]).is_err());
    // More than a token has is not waited for.
    let endless = read(&["yes"]);
    assert!(endless.is_err() || check(&endless.unwrap(), &[]).is_err());
}

#[test]
fn terms_that_bind_to_nothing_or_to_what_carries_no_token_are_refused() {
    let changed = |change: &dyn Fn(&mut Terms)| {
        let mut terms = terms(kept_in_file());
        change(&mut terms);
        terms.check()
    };
    assert!(changed(&|_| ()).is_ok());
    assert!(changed(&|terms| terms.bound.clear()).is_err());
    let user = |user: &str, slot: Slot| {
        let user = user.to_owned();
        changed(&move |terms| {
            terms.user = Some(user.clone());
            terms.bound[0].slot = slot.clone();
        })
    };
    assert!(user("oauth2", Slot::Basic).is_ok());
    assert!(user("oauth2", header()).is_err());
    for name in ["", "a:b", "a b", "a\n"] {
        assert!(user(name, Slot::Basic).is_err(), "{name:?}");
    }
    assert!(changed(&|terms| terms.bound[0].port = 80).is_err());
    assert!(changed(&|terms| terms.bound[0].path = vec!["..".to_owned()]).is_err());
    assert!(changed(&|terms| terms.bound[0].methods = vec!["get".to_owned()]).is_err());
    for name in ["", "Authorization", "host", "content-length", "a b", "x:y"] {
        let name = name.to_owned();
        let slot = Slot::Header { name };
        assert!(changed(&|terms| terms.bound[0].slot = slot.clone()).is_err());
    }
    for name in [
        "",
        "1A",
        "A-B",
        "PATH",
        "LD_PRELOAD",
        "AGENTGUARD_SESSION",
        "HOME",
    ] {
        assert!(
            changed(&|terms| terms.variables = vec![name.to_owned()]).is_err(),
            "{name}"
        );
    }
    let agent = |name: &str| AgentName::parse(name).unwrap();
    let mut bound = terms(kept_in_file());
    assert!(bound.is_for(&agent("local")));
    bound.agents = vec![agent("ci-7")];
    assert!(bound.is_for(&agent("ci-7")) && !bound.is_for(&agent("local")));
}

#[test]
fn a_command_that_leaves_its_output_open_is_not_waited_for() {
    let state = State::new();
    let number = state.0.join("number");
    let shell = |script: String| {
        let words = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
        Source::Command { words }.read(|_| unreachable!())
    };
    // It holds the output for longer than anybody would wait, and says nothing any more.
    let left = shell(format!(
        "sleep 600 & echo $! > {}; echo token",
        number.display()
    ));
    let sleeping = fs::read_to_string(number).unwrap().trim().parse().unwrap();
    let sleeping = rustix::process::Pid::from_raw(sleeping).unwrap();
    rustix::process::kill_process(sleeping, rustix::process::Signal::KILL).unwrap();
    let Err(Error::Io { source, .. }) = left else {
        panic!("it was taken for a token");
    };
    assert!(
        source.to_string().contains("holds its output open"),
        "{source}"
    );
    // What is started and ends in time may say the rest.
    assert!(
        shell("(sleep 0.1; echo ken) & printf to".to_owned())
            .unwrap()
            .is(b"token")
    );
    assert!(
        shell("sleep 600 > /dev/null & echo $!".to_owned()).is_ok_and(|number| {
            let number = std::str::from_utf8(number.danger_reveal()).unwrap();
            let number = rustix::process::Pid::from_raw(number.parse().unwrap()).unwrap();
            rustix::process::kill_process(number, rustix::process::Signal::KILL).is_ok()
        })
    );
}
