//! Foreign text made safe to show: nothing that moves a cursor, hides, or reorders what is read.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal or a reader could be deceived by `character` standing as it is.
///
/// # References
///
/// - Unicode Standard Annex #9, "Explicit directional formatting characters"
/// - <https://trojansource.codes>
pub fn is_deceiving(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Direction: marks, embeddings, overrides, isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Width zero, and separators that break lines.
            | '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}'
            | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            // Tags and variation selectors, which carry text that nobody sees.
            | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e01ff}')
}

/// Writes each deceiving character as its escape, `\n` or `\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceiving) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        push_visible(&mut shown, character);
    }
    Cow::Owned(shown)
}

/// Writes each deceiving character of a JSON text as `\u` and its UTF-16 units. It stays the same JSON:
/// such characters occur within strings only.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_deceiving) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_deceiving(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Writes a command so that its words can be told apart, as a shell would read them.
pub fn command_line<T: AsRef<str>>(argv: &[T]) -> String {
    let words: Vec<_> = argv.iter().map(|word| quoted(word.as_ref())).collect();
    words.join(" ")
}

fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "_@%+=:,./-".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    if !word.contains(is_deceiving) {
        return Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")));
    }
    let mut shown = String::from("$'");
    for character in word.chars() {
        match character {
            '\'' | '\\' => shown.extend(['\\', character]),
            other => push_visible(&mut shown, other),
        }
    }
    shown.push('\'');
    Cow::Owned(shown)
}

fn push_visible(shown: &mut String, character: char) {
    if character.is_control() {
        shown.extend(character.escape_default());
    } else if is_deceiving(character) {
        shown.extend(character.escape_unicode());
    } else {
        shown.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_hides_or_reorders_is_shown_as_it_is() {
        for (text, shown) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            (
                "a\u{2066}b\u{2069}c\u{200b}",
                "a\\u{2066}b\\u{2069}c\\u{200b}",
            ),
            ("x\u{e0041}\u{fe0f}", "x\\u{e0041}\\u{fe0f}"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert!(matches!(visible("grün 木"), Cow::Borrowed("grün 木")));
    }

    #[test]
    fn json_stays_the_same_value_and_holds_nothing_deceiving() {
        let value = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{e0041}\\u202e\"\n木";
        let json = serde_json::to_string(value).unwrap();
        let shown = visible_json(&json);
        assert!(!shown.contains(is_deceiving), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), value);
    }

    #[test]
    fn the_words_of_a_command_can_be_told_apart() {
        let argv = ["git", "commit", "-m", "it's done", "", "a\nb\\n", "${x}"];
        assert_eq!(
            command_line(&argv),
            r"git commit -m 'it'\''s done' '' $'a\nb\\n' '${x}'"
        );
    }
}
