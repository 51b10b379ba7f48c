//! Known shapes of secrets, taken out of a text before it is kept.
//!
//! It works on the text as it stands, JSON or not: what it takes out are runs of characters that need no
//! escape, so JSON stays JSON. It misses what has no known shape.

use std::borrow::Cow;

/// A prefix that begins a secret, how many characters must follow at least, and which.
struct Shape {
    prefix: &'static str,
    least: usize,
    name: &'static str,
}

const fn shape(prefix: &'static str, least: usize, name: &'static str) -> Shape {
    Shape {
        prefix,
        least,
        name,
    }
}

/// The shapes, longer prefixes before their beginnings.
const SHAPES: [Shape; 29] = [
    shape("github_pat_", 22, "github-token"),
    // The newer tokens of GitHub's apps hold dots and are some 500 characters long.
    shape("ghp_", 30, "github-token"),
    shape("gho_", 30, "github-token"),
    shape("ghu_", 30, "github-token"),
    shape("ghs_", 30, "github-token"),
    shape("ghr_", 30, "github-token"),
    shape("glpat-", 20, "gitlab-token"),
    shape("glptt-", 20, "gitlab-token"),
    shape("glrt-", 20, "gitlab-token"),
    shape("glcbt-", 20, "gitlab-token"),
    shape("xoxb-", 20, "slack-token"),
    shape("xoxa-", 20, "slack-token"),
    shape("xoxp-", 20, "slack-token"),
    shape("xoxr-", 20, "slack-token"),
    shape("xoxs-", 20, "slack-token"),
    shape("xapp-", 20, "slack-token"),
    shape("AKIA", 16, "aws-key-id"),
    shape("ASIA", 16, "aws-key-id"),
    shape("sk-ant-", 20, "anthropic-key"),
    shape("sk-proj-", 20, "openai-key"),
    shape("sk-", 32, "api-key"),
    shape("sk_live_", 16, "stripe-key"),
    shape("rk_live_", 16, "stripe-key"),
    shape("AIza", 35, "google-key"),
    shape("ya29.", 20, "google-token"),
    shape("npm_", 36, "npm-token"),
    shape("pypi-", 50, "pypi-token"),
    shape("hf_", 30, "huggingface-token"),
    shape("eyJ", 40, "jwt"),
];

const PEM: &str = "-----BEGIN ";
const PEM_KEY: &str = "PRIVATE KEY-----";
/// What kind of key it is takes no more than this.
const LABEL: usize = 32;

/// Replaces secrets of known shape by `[redacted:<what>]`.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while at < text.len() {
        match secret_at(text, at) {
            Some((start, end, name)) if start >= kept && end > start => {
                out.push_str(text.get(kept..start).unwrap_or_default());
                out.push_str("[redacted:");
                out.push_str(name);
                out.push(']');
                (kept, at) = (end, end);
            }
            Some(_) | None => at += 1,
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    Cow::Owned(out)
}

/// The secret that shows itself at `at`: where it begins, where it ends, and what it is.
fn secret_at(text: &str, at: usize) -> Option<(usize, usize, &'static str)> {
    let rest = text.get(at..)?;
    let first = *rest.as_bytes().first()?;
    match first {
        b'-' if rest.starts_with(PEM) => Some((at, at + pem_length(rest)?, "private-key")),
        b':' if rest.starts_with("://") => {
            let (start, end) = password(rest)?;
            Some((at + start, at + end, "password"))
        }
        b'B' | b'b' if follows_authorization(text, at, rest) => {
            let run = run(rest.get(7..)?);
            (run >= 8).then_some((at + 7, at + 7 + run, "bearer"))
        }
        other if !begins_a_shape(other) || is_inside_a_word(text, at) => None,
        // The letter of an escape: `\npm_` is a line break before `pm_`.
        _ if is_escaped(text, at) => None,
        other => {
            let begins = |shape: &&Shape| {
                shape.prefix.as_bytes().first() == Some(&other) && rest.starts_with(shape.prefix)
            };
            let shape = SHAPES.iter().find(begins)?;
            let run = run(rest.get(shape.prefix.len()..)?);
            let end = at + shape.prefix.len() + run;
            (run >= shape.least).then_some((at, end, shape.name))
        }
    }
}

/// Whether any shape's prefix begins so: most bytes of a text begin none.
fn begins_a_shape(byte: u8) -> bool {
    matches!(
        byte,
        b'g' | b'x' | b'A' | b's' | b'r' | b'y' | b'n' | b'p' | b'h' | b'e'
    )
}

fn follows_authorization(text: &str, at: usize, rest: &str) -> bool {
    let word = rest.get(..7).unwrap_or_default();
    word.eq_ignore_ascii_case("bearer ") && !is_inside_a_word(text, at)
}

/// How many characters a token could go on for.
fn run(rest: &str) -> usize {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"_-.~+/=".contains(&b);
    rest.bytes().take_while(|byte| is_part(*byte)).count()
}

fn is_inside_a_word(text: &str, at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| text.as_bytes().get(at));
    // In JSON, the `n` of an escaped line break stands before what begins the next line.
    let escaped = at
        .checked_sub(2)
        .and_then(|at| text.as_bytes().get(at))
        .is_some_and(|byte| *byte == b'\\');
    before.is_some_and(|byte| byte.is_ascii_alphanumeric()) && !escaped
}

/// Whether JSON reads what stands at `at` together with a backslash before it.
fn is_escaped(text: &str, at: usize) -> bool {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// How long the private key is that begins here. One that does not end goes to the end of its string.
fn pem_length(rest: &str) -> Option<usize> {
    let label = rest.get(PEM.len()..)?;
    // No further than a label reaches: a text may be megabytes of what a key begins with.
    let mut places = label.as_bytes().windows(PEM_KEY.len()).take(LABEL + 1);
    let key = places.position(|place| place == PEM_KEY.as_bytes())?;
    if label.get(..key)?.contains(['"', '\\']) {
        return None;
    }
    let body_at = PEM.len() + key + PEM_KEY.len();
    let body = rest.get(body_at..)?;
    let end = body.find(PEM_KEY).map(|at| at + PEM_KEY.len());
    let body = body.get(..end.unwrap_or(body.len()))?;
    let mut quotes = body.match_indices('"').map(|(at, _)| at);
    let quote = quotes.find(|at| !is_escaped(body, *at));
    Some(body_at + quote.unwrap_or(body.len()))
}

/// The password in `://user:password@`, from `://` on.
fn password(rest: &str) -> Option<(usize, usize)> {
    let authority = rest.get(3..)?;
    let ends = |c: char| c == '/' || c == '"' || c == '\\' || c.is_whitespace();
    let authority = authority.get(..authority.find(ends).unwrap_or(authority.len()))?;
    let (user_info, _) = authority.rsplit_once('@')?;
    let (user, password) = user_info.split_once(':')?;
    let start = 3 + user.len() + 1;
    (!password.is_empty()).then_some((start, start + password.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_begins_as_shapes_do() {
        for shape in &SHAPES {
            assert!(
                begins_a_shape(shape.prefix.as_bytes()[0]),
                "{}",
                shape.prefix
            );
        }
    }

    #[test]
    fn secrets_of_known_shape_are_taken_out() {
        let token = "a".repeat(36);
        let long = format!(
            "ghs_12345_{}.{}-{}",
            "x".repeat(200),
            "y".repeat(200),
            "z".repeat(90)
        );
        for (text, expected) in [
            (
                format!("git clone https://x:{token}@github.com/a/b"),
                "git clone https://x:[redacted:password]@github.com/a/b",
            ),
            (
                format!("GH=ghp_{token} gh"),
                "GH=[redacted:github-token] gh",
            ),
            (format!("\"{long}\""), "\"[redacted:github-token]\""),
            (
                format!("\"Authorization: Bearer {token}\""),
                "\"Authorization: Bearer [redacted:bearer]\"",
            ),
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), "[redacted:aws-key-id]"),
            (
                format!("x\\nsk-ant-{token}"),
                "x\\n[redacted:anthropic-key]",
            ),
            (
                r#"["-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"]"#
                    .to_owned(),
                r#"["[redacted:private-key]\n"]"#,
            ),
            (
                r#"["-----BEGIN PRIVATE KEY-----\nAA","b"]"#.to_owned(),
                r#"["[redacted:private-key]","b"]"#,
            ),
        ] {
            assert_eq!(redact(&text), expected);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "",
            "git push origin main",
            "ghp_short",
            "https://github.com/a/b@v1",
            "http://host:80/x",
            "task-ask-sk-",
            "-----BEGIN CERTIFICATE-----\\nAAAA",
            "ä://ü:",
        ] {
            assert!(
                matches!(redact(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }

    /// An agent may write a megabyte of what a key begins with, and its guard reads all of it.
    #[test]
    fn what_begins_like_a_key_again_and_again_is_read_once() {
        for (beginning, is_key) in [
            (PEM, false),
            ("-----BEGIN PRIVATE KEY-----", true),
            ("-----BEGIN x PRIVATE KEY-----\"", true),
        ] {
            let text = beginning.repeat((2 << 20) / beginning.len());
            let redacted = redact(&text);
            assert_eq!(redacted.starts_with("[redacted:private-key]"), is_key);
            assert_eq!(redacted == text, !is_key);
        }
    }

    #[test]
    fn json_stays_json() {
        let token = format!("ghp_{}", "b".repeat(36));
        let text = serde_json::json!({"argv": ["a\n", token, "\"q\"", "c"]}).to_string();
        let value: serde_json::Value = serde_json::from_str(&redact(&text)).unwrap();
        assert_eq!(value["argv"][1], "[redacted:github-token]");
        for odd in [
            "-----BEGIN PRIVATE KEY-----\"rest",
            "-----BEGIN PRIVATE KEY-----\\",
            "-----BEGIN \"PRIVATE KEY-----",
            &format!("\npm_{}", "b".repeat(40)),
            &format!("\rk_live_{}", "b".repeat(40)),
        ] {
            let text = serde_json::json!({"argv": [odd, "PRIVATE KEY-----", "last"]}).to_string();
            let value: serde_json::Value = serde_json::from_str(&redact(&text)).unwrap();
            assert_eq!(value["argv"][2], "last", "{text}");
        }
        let cut = serde_json::json!(["-----BEGIN ", "PRIVATE KEY-----"]).to_string();
        assert_eq!(redact(&cut), cut);
    }
}
