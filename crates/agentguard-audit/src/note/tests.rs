use super::*;
use crate::Checkpoint;

const NOTE: &str = include_str!("../../../../tests/vectors/note/cosigned.note");
const VKEYS: &str = include_str!("../../../../tests/vectors/note/cosigned.vkeys");
/// The key pair that the documentation of Go's `golang.org/x/mod/sumdb/note` shows.
const NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NEUMANNS: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn keys() -> Vec<VerifierKey> {
    let keys = VKEYS.split_whitespace();
    keys.map(|vkey| VerifierKey::parse(vkey).unwrap()).collect()
}

#[test]
fn a_note_that_go_signed_opens() {
    let key = VerifierKey::parse(NEUMANN).unwrap();
    assert_eq!(key.to_string(), NEUMANN);
    let (text, signers) = open(NEUMANNS, std::slice::from_ref(&key)).unwrap();
    assert!(text.ends_with("what your problem is.\n"));
    assert_eq!(signers, [key]);
}

#[test]
fn a_checkpoint_and_its_witness_verify() {
    let keys = keys();
    let (_, signers) = open(NOTE, &keys).unwrap();
    assert_eq!(signers, keys);
    let checkpoint = Checkpoint::open(NOTE, &keys).unwrap();
    assert_eq!(
        (checkpoint.origin.as_str(), checkpoint.size),
        ("agentguard.test/log", 1)
    );
    let leaf = crate::merkle::leaf_hash(b"agentguard test leaf 0");
    assert_eq!(checkpoint.root, leaf);
}

#[test]
fn a_witness_alone_does_not_speak_for_the_log() {
    let witness: Vec<_> = keys().into_iter().filter(|key| !key.is_log()).collect();
    assert_eq!(witness.len(), 1);
    assert!(open(NOTE, &witness).is_ok());
    let refused = Checkpoint::open(NOTE, &witness);
    assert!(
        matches!(refused, Err(Error::NotProven { .. })),
        "{refused:?}"
    );
}

#[test]
fn any_change_to_a_note_is_refused() {
    let keys = keys();
    for at in 0..NOTE.len() {
        let mut bytes = NOTE.as_bytes().to_vec();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else {
            continue;
        };
        // A changed name or key id makes a signature of an unknown key, which is passed over.
        let believed = open(&changed, &keys).map(|(_, signers)| signers.len());
        assert!(!matches!(believed, Ok(2)), "{at}");
        let checkpoint = Checkpoint::open(&changed, &keys);
        let is_same = |c: Checkpoint| (c.origin, c.size) == ("agentguard.test/log".to_owned(), 1);
        assert!(checkpoint.is_err() || is_same(checkpoint.unwrap()), "{at}");
    }
}

#[test]
fn what_is_no_note_is_refused() {
    let (text, signatures) = NOTE.split_once("\n\n").unwrap();
    let log = signatures.lines().next().unwrap();
    for (bad, why) in [
        (String::new(), "empty"),
        (format!("{text}\n{log}\n"), "no empty line"),
        (format!("{text}\n\n{log}"), "no line break at the end"),
        (format!("{text}\r\n\n{log}\n"), "a control character"),
        (
            format!("{text}\n\n{}\n", log.replace('\u{2014}', "-")),
            "no em dash",
        ),
        (format!("{text}\n\n{log}\n{log}\n"), "a signature twice"),
        (
            format!("{text}\n\n{}", format!("{log}\n").repeat(101)),
            "too many",
        ),
        (format!("{text}\n\n\n{log}\n"), "another text"),
    ] {
        assert!(open(&bad, &keys()).is_err(), "{why}");
    }
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let name = "a/log";
    let public = [VerifierKey::of_log(name, key.verifying_key()).unwrap()];
    let root = "8aoOYpxyg9lC+L/RSrLqWOe7JpIGUVafIGMtELevUUY=";
    let signed = |text: &str| sign(text, name, &key).unwrap();
    assert!(Checkpoint::open(&signed(&format!("a/log\n7\n{root}\n")), &public).is_ok());
    for bad in [
        format!("a/log\n07\n{root}\n"),
        format!("a/log\n+7\n{root}\n"),
        format!("a/log\n-7\n{root}\n"),
        format!("\n7\n{root}\n"),
        format!("b/log\n7\n{root}\n"),
        "a/log\n7\n".to_owned(),
        "a/log\n7\nAAAA\n".to_owned(),
        format!("a/log\n7\n{root}"),
    ] {
        let text = if bad.ends_with('\n') {
            bad
        } else {
            format!("{bad}x\n")
        };
        assert!(Checkpoint::open(&signed(&text), &public).is_err(), "{text}");
    }
}

#[test]
fn a_key_speaks_for_the_logs_named_below_it_and_no_others() {
    let key = VerifierKey::parse(NEUMANN).unwrap();
    assert_eq!(key.for_log("PeterNeumann"), Some(key.clone()));
    let below = key.for_log("PeterNeumann/x").unwrap();
    assert_eq!(below.name(), "PeterNeumann/x");
    assert_ne!(below.to_string(), NEUMANN);
    for other in [
        "PeterNeumannX",
        "Peter",
        "",
        "PeterNeumann+/x",
        "PeterNeumann/ x",
    ] {
        assert_eq!(key.for_log(other), None, "{other}");
    }
}

#[test]
fn a_verifier_key_with_any_part_changed_does_not_parse() {
    for at in 0..NEUMANN.len() {
        let mut bytes = NEUMANN.as_bytes().to_vec();
        bytes[at] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(VerifierKey::parse(&changed).is_err(), "{changed}");
    }
}
