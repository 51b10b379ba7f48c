//! What a log may hold that somebody else wrote.

use crate::mutate::fuzz;
use crate::note::{self, VerifierKey};
use crate::redact::redact;
use crate::verify::lean::{Lean, LeanEvent, Middle};
use crate::wal::{self, Frames};
use crate::{Checkpoint, Keys, tile, verify_receipt};

/// An error in its words.
fn said<T>(result: Result<T, crate::Error>) -> String {
    match result {
        Ok(_) => "well".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn fuzz_a_note_is_opened_or_refused() {
    let words = [
        "\n\n",
        "\u{2014} ",
        "agentguard/",
        "+",
        "=",
        "AAAA",
        "\n",
        "0",
        "18446744073709551616",
    ];
    fuzz("note", &words, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let split = said(note::split(&text));
        let opened = said(note::open(&text, &[]));
        let checkpoint = said(Checkpoint::danger_unverified(&text));
        let key = said(VerifierKey::parse(&text));
        format!("{split} {opened} {checkpoint} {key}")
    });
}

#[test]
fn fuzz_a_tile_is_decoded_or_is_none() {
    fuzz("tile", &[], |bytes| {
        let widths = [0, 1, 2, 255, 256, 257, usize::MAX];
        let decoded = widths.map(|width| match tile::decode(bytes, width) {
            Some(hashes) => {
                assert!(hashes.len() == width && tile::encode(&hashes) == bytes);
                true
            }
            None => false,
        });
        format!("{decoded:?}")
    });
}

#[test]
fn fuzz_a_write_ahead_file_ends_where_it_is_torn() {
    let words = ["{", "}", "\"v\":1", "agentguard log v1 ", "\n"];
    fuzz("write-ahead", &words, |bytes| {
        let mut frames = Frames::of_bytes(bytes);
        let mut visited = 0u64;
        let tail = wal::scan(&mut frames, 0, |_, _, _| visited += 1).unwrap();
        assert!(tail.entries == visited && tail.end <= bytes.len() as u64);
        format!(
            "{} {}",
            tail.torn,
            "x".repeat(usize::try_from(visited.min(3)).unwrap())
        )
    });
}

#[test]
fn fuzz_a_receipt_is_verified_or_refused() {
    let keys = Keys::given([]).unwrap();
    let words = [
        "c2sp.org/tlog-proof@v1",
        "extra ",
        "index ",
        "\n",
        "\n\n",
        "\u{2014} ",
        "AAAA",
        "=",
        "0",
    ];
    fuzz("receipt", &words, |bytes| {
        said(verify_receipt(bytes, &keys))
    });
}

#[test]
fn fuzz_a_text_without_its_secrets_has_none_left() {
    let words = [
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "://u:p@",
        "bearer ",
        "ghp_",
        "sk-ant-",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJ",
        "\\n",
        "\"",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    fuzz("text", &words, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let quoted = serde_json::to_string(&text).unwrap();
        let redacted = redact(&quoted);
        // What was JSON is JSON.
        let kept: String = serde_json::from_str(&redacted).unwrap();
        let found = redacted.matches("[redacted:").count().min(3);
        format!("{} {}", "x".repeat(found), kept == text)
    });
}

#[test]
fn fuzz_an_entry_is_one_or_none() {
    let words = [
        "\"kind\"",
        "\"session.start\"",
        "\"decision\"",
        "\"outcome\"",
        "\"refs\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "-1",
    ];
    fuzz("entry", &words, |bytes| {
        match serde_json::from_slice::<agentguard_core::Entry>(bytes) {
            Ok(entry) => {
                // What was read is written, and read again, as the same.
                let written = serde_json::to_vec(&entry).unwrap();
                let again = serde_json::from_slice::<agentguard_core::Entry>(&written).unwrap();
                assert_eq!(entry, again);
                "entry".to_owned()
            }
            Err(error) => error.to_string(),
        }
    });
}

#[test]
fn fuzz_a_quickly_read_entry_is_what_serde_reads() {
    let words = [
        "{\"v\":1,\"seq\":",
        ",\"time\":\"2026-11-24T08:55:19.123456Z\",\"mono\":",
        ",\"event\":{\"kind\":\"",
        ",\"event\":",
        "\\\"",
        "}}\n{",
    ];
    // Two entries, one a line: the first says what all of a session have in common.
    fuzz("two-entries", &words, |bytes| {
        let at = bytes.iter().position(|byte| *byte == b'\n');
        let (first, second) = bytes.split_at(at.unwrap_or(bytes.len()));
        let second = second.get(1..).unwrap_or_default();
        let mut middle = Middle::default();
        if serde_json::from_slice::<Lean<'_>>(first).is_err() {
            return "no entry".to_owned();
        }
        middle.learn(first);
        let Some(quick) = middle.read(second) else {
            return "not quickly".to_owned();
        };
        let Ok(event) = serde_json::from_slice::<LeanEvent<'_>>(quick.event) else {
            return "no event".to_owned();
        };
        let slow: Lean<'_> = serde_json::from_slice(second).unwrap();
        assert_eq!(
            (quick.seq, quick.time, quick.mono),
            (slow.seq, slow.time, slow.mono)
        );
        assert_eq!(
            (event.kind, event.of, event.text),
            (slow.event.kind, slow.event.of, slow.event.text)
        );
        "quickly".to_owned()
    });
}
