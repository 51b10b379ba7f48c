//! The vectors were written by `age` 1.1.1, to keys of `age-keygen` that are for nothing else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::{env, process};

use super::*;

const TOKEN: &[u8] = b"ghp_0123456789abcdefghij0123456789abcdef";

fn vector(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/age");
    std::fs::read(directory.join(name)).unwrap()
}

/// The identities in a file of this text and mode.
fn read(text: &[u8], mode: u32) -> Result<Vec<Key>, Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    let name = format!("agentguard-{}-{random:?}", process::id());
    let path: PathBuf = env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let read = identities(&path);
    std::fs::remove_file(path).unwrap();
    read
}

fn own() -> Vec<Key> {
    read(&vector("identity"), 0o600).unwrap()
}

fn other() -> Vec<Key> {
    read(&vector("other"), 0o400).unwrap()
}

#[test]
fn what_age_encrypted_is_opened_by_who_it_is_for() {
    let both = [own(), other()].concat();
    for name in ["one.age", "several.age"] {
        let bytes = vector(name);
        assert_eq!(open(&own(), &bytes).unwrap().as_slice(), TOKEN);
        assert_eq!(open(&both, &bytes).unwrap().as_slice(), TOKEN);
    }
    let bytes = vector("another.age");
    assert!(open(&own(), &bytes).is_err());
    assert_eq!(open(&other(), &bytes).unwrap().as_slice(), TOKEN);
}

#[test]
fn what_was_sealed_here_is_opened_here_and_by_nobody_else() {
    let sealed = seal(&own(), TOKEN).unwrap();
    assert_ne!(sealed, seal(&own(), TOKEN).unwrap());
    assert_eq!(open(&own(), &sealed).unwrap().as_slice(), TOKEN);
    assert!(open(&other(), &sealed).is_err());
    assert!(!sealed.windows(8).any(|part| TOKEN.starts_with(part)));
}

#[test]
fn what_was_changed_cut_or_lengthened_is_not_opened() {
    for bytes in [vector("several.age"), seal(&own(), TOKEN).unwrap()] {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(open(&own(), &changed).is_err(), "{at}");
            assert!(open(&own(), &bytes[..at]).is_err(), "{at}");
        }
        assert!(open(&own(), &[&bytes[..], b"x"].concat()).is_err());
    }
    // A stranger's stanza more, and one that takes every secret for the same.
    let text = String::from_utf8_lossy(&vector("one.age")).into_owned();
    let share = Base64Unpadded::encode_string(&[0; 32]);
    for line in ["-> a\n\n".to_owned(), format!("{X25519}{share}\n{share}\n")] {
        let bytes = vector("one.age");
        let (before, after) = bytes.split_at(VERSION.len());
        assert!(text.starts_with(VERSION));
        assert!(open(&own(), &[before, line.as_bytes(), after].concat()).is_err());
    }
    let endless = [VERSION.as_bytes(), &b"-> a\n\n".repeat(100_000)].concat();
    assert!(open(&own(), &endless).is_err());
}

#[test]
fn an_identity_is_for_its_owner_alone_and_has_a_key() {
    let text = vector("identity");
    for mode in [0o604, 0o620, 0o666] {
        assert!(matches!(read(&text, mode), Err(Error::Unsafe { .. })));
    }
    assert!(read(&text, 0o640).is_ok());
    let lower = String::from_utf8(text.clone()).unwrap().to_lowercase();
    for text in [
        &b""[..],
        b"# nothing\n",
        lower.as_bytes(),
        &text[..text.len() - 3],
    ] {
        assert!(matches!(read(text, 0o600), Err(Error::Unsafe { .. })));
    }
    assert!(matches!(
        identities(Path::new("/")),
        Err(Error::Unsafe { .. })
    ));
}

#[test]
fn an_identity_that_a_password_opens_is_refused_and_why_is_said() {
    for head in [
        "age-encryption.org/v1\n-> scrypt W11UTQC6HUFVQ4fuu4M2qA 18\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCg==\n",
    ] {
        let refused = read(head.as_bytes(), 0o600).unwrap_err().to_string();
        assert!(refused.contains("its password"), "{refused}");
    }
}
