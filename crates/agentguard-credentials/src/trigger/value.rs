//! Values from outside: bounded and fit for a log before anything else reads them.

use crate::Error;

/// Logins are at most 39 bytes at GitHub and 255 at GitLab.
const PERSON_LIMIT: usize = 255;
/// A fact that is longer is cut.
const FACT_LIMIT: usize = 256;
/// `u64::MAX` has 20 digits.
const NUMBER_LIMIT: usize = 20;

/// The environment, as far as it is text.
pub(super) struct Environment<'a>(pub(super) &'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// Whether the variable is `true`, which is what the platforms set.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.text(name).as_deref() == Some("true")
    }

    /// The variable, unless it is empty: a platform leaves empty what it does not know.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The variable as a person's name.
    pub(super) fn person(&self, name: &str) -> Result<Option<String>, Error> {
        self.text(name)
            .map(|value| person(name, &value))
            .transpose()
    }

    /// The variable as a number that names something.
    pub(super) fn number(&self, name: &str) -> Result<Option<String>, Error> {
        self.text(name)
            .map(|value| number(name, &value))
            .transpose()
    }

    /// The variable as a word of a platform's, such as an event's name.
    pub(super) fn word(&self, name: &str) -> Result<Option<String>, Error> {
        self.text(name).map(|value| word(name, &value)).transpose()
    }

    /// The variable as a fact, whatever it holds.
    pub(super) fn fact(&self, label: &str, name: &str) -> Option<String> {
        self.text(name).map(|value| fact(label, &value))
    }
}

/// Takes a name of a person as it is, or refuses it.
///
/// Refused rather than escaped: two names that are different must not look alike in a log. A colon
/// would read as the end of an authority (`github:`), white space as the end of the name.
pub(super) fn person(name: &str, value: &str) -> Result<String, Error> {
    if value.is_empty() {
        return Err(Error::invalid(name, "is empty"));
    }
    if value.len() > PERSON_LIMIT {
        return Err(Error::invalid(name, "is longer than 255 bytes"));
    }
    if value.chars().any(is_unprintable) {
        return Err(Error::invalid(
            name,
            "holds a control character or an invisible one",
        ));
    }
    if value.contains(|c: char| c == ':' || c.is_whitespace()) {
        return Err(Error::invalid(name, "holds a colon or white space"));
    }
    Ok(value.to_owned())
}

/// Takes 1 to 20 digits, or refuses.
pub(super) fn number(name: &str, value: &str) -> Result<String, Error> {
    let is_number =
        (1..=NUMBER_LIMIT).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    // A second way to write one number would be a second id of one person.
    let is_canonical = value == "0" || !value.starts_with('0');
    if is_number && is_canonical {
        Ok(value.to_owned())
    } else {
        Err(Error::invalid(
            name,
            "is not a number of at most 20 digits without leading zeroes",
        ))
    }
}

/// Takes 1 to 64 letters, digits, `_` and `-`, or refuses.
pub(super) fn word(name: &str, value: &str) -> Result<String, Error> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if (1..=64).contains(&value.len()) && value.bytes().all(is_plain) {
        Ok(value.to_owned())
    } else {
        Err(Error::invalid(
            name,
            "is not 1 to 64 letters, digits, `_` and `-`",
        ))
    }
}

/// Takes the name of a host, in lower case, or refuses it.
pub(super) fn host(name: &str, value: &str) -> Result<String, Error> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if (1..=253).contains(&value.len()) && value.bytes().all(is_plain) {
        Ok(value.to_ascii_lowercase())
    } else {
        Err(Error::invalid(name, "is not the name of a host"))
    }
}

/// Writes a fact, `label=value`: escaped and cut, since facts are for readers and name nobody.
pub(super) fn fact(label: &str, value: &str) -> String {
    let mut text = format!("{label}=");
    let end = text.len() + FACT_LIMIT;
    for c in value.chars() {
        let mut shown = String::new();
        if is_unprintable(c) || c == '\\' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        if text.len() + shown.len() > end {
            text.push('…');
            break;
        }
        text.push_str(&shown);
    }
    text
}

/// Whether a character cannot be seen, or changes how others are seen: controls, line and paragraph
/// separators, and Unicode's invisible and direction-changing format characters (UAX #9, UTS #36).
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}
