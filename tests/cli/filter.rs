//! What differs between two runs, replaced by a word.

use std::path::Path;

/// Replaces the home's path, times, who runs the tests, random digits and base64.
pub(crate) fn filter(text: &str, root: &Path) -> String {
    let text = text.replace(&root.display().to_string(), "[ROOT]");
    let text = replace_shape(&text, "0000-00-00T00:00:00.000000Z", "[TIME]");
    let text = replace_shape(&text, "00:00:00", "[TIME]");
    let text = replace_fact(&replace_fact(&text, "account="), "login=");
    let text = replace_took(&text);
    // Whether a cgroup can be made differs between machines.
    let text = text.replace("limits for the session as a whole", "limits for [WHOM]");
    let text = text.replace("limits for each process", "limits for [WHOM]");
    // In which order outcomes and changes are written differs.
    let text = replace_numbers(&text);
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

/// Replaces what has digits where `shape` has zeros, and is the same elsewhere.
fn replace_shape(text: &str, shape: &str, word: &str) -> String {
    let fits = |at: &str| {
        at.len() >= shape.len()
            && at
                .bytes()
                .zip(shape.bytes())
                .all(|(byte, shape)| match shape {
                    b'0' => byte.is_ascii_digit(),
                    other => byte == other,
                })
    };
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if fits(rest) {
            replaced.push_str(word);
            rest = &rest[shape.len()..];
        } else {
            replaced.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    replaced
}

/// Replaces the places of entries: `12 [TIME]`, `entry 12`, `entries 1-12`.
fn replace_numbers(text: &str) -> String {
    let is_digit = |character: char| character.is_ascii_digit();
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_digit) {
        let (before, from) = rest.split_at(at);
        let (number, after) = from.split_at(from.find(|c| !is_digit(c)).unwrap_or(from.len()));
        replaced.push_str(before);
        let so_far = replaced.as_str();
        let is_place = after.starts_with(" [TIME]")
            || so_far.ends_with("entry ")
            || so_far.ends_with("entries 1-");
        replaced.push_str(if is_place { "[N]" } else { number });
        rest = after;
    }
    replaced + rest
}

/// Replaces how long a test took: `(1.2ms)`, `"duration":1200000`.
fn replace_took(text: &str) -> String {
    let is_number = |character: char| character.is_ascii_digit() || character == '.';
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['(', ':']) {
        let (before, from) = rest.split_at(at + 1);
        let end = from.find(|c| !is_number(c)).unwrap_or(from.len());
        let after = &from[end..];
        let mut units = ["s)", "ms)", "µs)", "ns)"].iter();
        let is_time = end > 0 && before.ends_with('(') && units.any(|unit| after.starts_with(unit));
        let took = is_time || before.ends_with("\"duration\":");
        replaced.push_str(before);
        replaced.push_str(if took { "[TOOK]" } else { &from[..end] });
        rest = match after.find(')') {
            Some(close) if is_time => &after[close..],
            _ => after,
        };
    }
    replaced + rest
}

/// Replaces what a fact says: `login=root`.
fn replace_fact(text: &str, fact: &str) -> String {
    let mut parts = text.split(fact);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['"', '\n']).unwrap_or(part.len());
        replaced.push_str(fact);
        replaced.push_str("[WHO]");
        replaced.push_str(&part[end..]);
    }
    replaced
}

/// A run of letters and digits, as it is or as what it must be.
fn push_run(filtered: &mut String, run: &str) {
    let mut parts = run.split('/').peekable();
    if run.contains('/') && parts.any(|part| is_hex(part.get(..32).unwrap_or(""), 32)) {
        let (names, key) = run.split_once('+').unwrap_or((run, ""));
        let names: Vec<_> = names
            .split('/')
            .map(|name| if is_hex(name, 32) { "[ID]" } else { name })
            .collect();
        filtered.push_str(&names.join("/"));
        if !key.is_empty() {
            push_run(filtered, &format!("+{key}"));
        }
        return;
    }
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
    } else if is_hex(run, 40) {
        filtered.push_str("[COMMIT]");
    } else if is_hex(run, 32) || is_hex(run, 8) {
        filtered.push_str("[ID]");
    } else if run.len() >= 44 && run.bytes().any(|b| b.is_ascii_digit()) {
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
        (
            &format!("ssh-ed25519 {}", key.replace("hM", "//")),
            "ssh-ed25519 [BASE64]",
        ),
        ("commit 3f2a", "commit 3f2a"),
        (
            &format!("agentguard/{id}/{id}+c74f20a3+{key}", id = "0b".repeat(16)),
            "agentguard/[ID]/[ID]+[KEY]",
        ),
        ("0c0c0c0c:12 09:12:03 x", "[ID]:[N] [TIME] x"),
        (
            "entry 7, after entries 1-12 of 13",
            "entry [N], after entries 1-[N] of 13",
        ),
        ("2026-11-25T02:08:52.784171Z", "[TIME]"),
        ("x: PASS (1.5ms)\n(2 of 3)", "x: PASS ([TOOK])\n(2 of 3)"),
        ("{\"duration\":12,\"x\":3}", "{\"duration\":[TOOK],\"x\":3}"),
        ("login=root\nx", "login=[WHO]\nx"),
    ] {
        assert_eq!(filter(text, root), filtered);
    }
}
