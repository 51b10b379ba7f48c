//! What differs between two runs, replaced by a word.

use std::path::Path;

/// Replaces the home's path, random digits and base64, and durations.
pub(crate) fn filter(text: &str, root: &Path) -> String {
    let text = text.replace(&root.display().to_string(), "[ROOT]");
    let mut filtered = String::with_capacity(text.len());
    let mut run = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || "+/=".contains(character) {
            run.push(character);
        } else {
            push_run(&mut filtered, &run);
            run.clear();
            filtered.push(character);
        }
    }
    push_run(&mut filtered, &run);
    filtered
}

/// A run of letters and digits, as it is or as what it must be.
fn push_run(filtered: &mut String, run: &str) {
    // A verifier key: `name+hash+base64`.
    if let [.., hash, key] = run.splitn(3, '+').collect::<Vec<_>>().as_slice()
        && is_hex(hash, 8)
        && key.len() >= 40
    {
        let name = run.find('+').map_or("", |end| &run[..end]);
        filtered.push_str(name);
        filtered.push_str("+[KEY]");
    } else if is_hex(run, 64) {
        filtered.push_str("[HEX]");
    } else if run.len() >= 44 && run.bytes().any(|b| b.is_ascii_digit()) && !run.contains("//") {
        filtered.push_str("[BASE64]");
    } else {
        filtered.push_str(run);
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
}

#[test]
fn what_differs_between_runs_is_replaced_and_nothing_else() {
    let root = Path::new("/tmp/x-1");
    let key = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    for (text, filtered) in [
        ("cannot read `/tmp/x-1/home`", "cannot read `[ROOT]/home`"),
        (&format!("key  ci-7+c74f20a3+{key}"), "key  ci-7+[KEY]"),
        (&format!("sha256:{}", "0a".repeat(32)), "sha256:[HEX]"),
        ("commit 3f2a", "commit 3f2a"),
    ] {
        assert_eq!(filter(text, root), filtered);
    }
}
