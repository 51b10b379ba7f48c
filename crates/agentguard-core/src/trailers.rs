//! Trailers by which the message of a commit names the session that it was made in.
//!
//! Whoever writes a message writes what they like: what is said there leads to a log, and proves nothing.
//!
//! # References
//!
//! - git-interpret-trailers(1)

/// The trailer that names the session.
pub const SESSION: &str = "Agentguard-Session";
/// How much is kept of what is said to be a session. A session's id is half as long.
const LONGEST: usize = 64;
/// How many are kept: more than one is already what no honest message says.
const MOST: usize = 16;

/// The sessions that a message names, each once. Wherever it says so: git takes trailers from a message's end only, and
/// people read all of it.
#[must_use]
pub fn sessions_named(message: &[u8]) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    let mut lines = message.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Some(first) = value(line) else {
            continue;
        };
        let mut said = first.to_vec();
        // A line that begins with a blank goes on with the one before.
        while let Some(next) =
            lines.next_if(|next| next.first().is_some_and(|byte| is_blank(*byte)))
        {
            said.push(b' ');
            said.extend_from_slice(next);
        }
        let words: Vec<_> = said
            .split(|byte| byte.is_ascii_whitespace())
            .filter(|word| !word.is_empty())
            .collect();
        let text = String::from_utf8_lossy(&words.join(&b' ')).into_owned();
        let text: String = text.chars().take(LONGEST).collect();
        if named.len() < MOST && !named.contains(&text) {
            named.push(text);
        }
    }
    named
}

/// What a line says the session is, where it says that.
fn value(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (key, value) = line.split_at_checked(colon)?;
    let is_it = key
        .trim_ascii_end()
        .eq_ignore_ascii_case(SESSION.as_bytes());
    is_it.then(|| value.get(1..).unwrap_or_default())
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_however_the_line_is_written_and_once() {
        for (message, named) in [
            ("x\n\nAgentguard-Session: aa\n", &["aa"][..]),
            ("agentguard-SESSION :aa \r\n", &["aa"]),
            (
                "Agentguard-Session: aa\nx\nAgentguard-Session: aa\nAgentguard-Session: bb",
                &["aa", "bb"],
            ),
            // As git reads it, which takes no other session for the one that stands first.
            ("Agentguard-Session:\n bb\n\tcc\n", &["bb cc"]),
            ("Agentguard-Session:\n", &[""]),
            (
                "Agentguard-Sessions: aa\n Agentguard-Session: aa\nof Agentguard-Session: aa",
                &[],
            ),
            ("", &[]),
        ] {
            assert_eq!(sessions_named(message.as_bytes()), named, "{message:?}");
        }
    }

    #[test]
    fn what_is_kept_of_a_message_has_a_bound() {
        let long = format!("{SESSION}: {}\n", "é".repeat(1 << 20));
        assert_eq!(sessions_named(long.as_bytes())[0].chars().count(), LONGEST);
        let many: String = (0..1000).map(|one| format!("{SESSION}: {one}\n")).collect();
        assert_eq!(sessions_named(many.as_bytes()).len(), MOST);
    }
}
