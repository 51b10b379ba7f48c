//! How long and how deep an expression may be before the engine's parser sees it.
//!
//! The parser and everything after it work by recursion, and a repository's policy is anybody's: a
//! chain of fifty thousand minus signs would end the process by its stack.

/// Operators and keywords that may stand within one expression.
const MOST_SIGNS: usize = 120;
/// Brackets that may stand within one another.
const MOST_DEPTH: usize = 16;

/// Digits of a number, and of its exponent: the engine writes out every digit that is meant.
const MOST_DIGITS: usize = 100;
const MOST_OF_EXPONENT: usize = 3;

const KEYWORDS: &[&str] = &[
    "as", "default", "else", "every", "if", "in", "not", "some", "with",
];

/// The byte at which `text` goes too far, and why.
pub(crate) fn exceeded(text: &str) -> Option<(usize, &'static str)> {
    let mut scan = Scan {
        brackets: Vec::new(),
        signs: 0,
        open: false,
        line_ended: false,
    };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let length = token_length(first, rest);
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if first.is_ascii_digit() && is_huge(token, after) {
            return Some((at, "the number has too many digits"));
        }
        scan.take(first, token);
        if scan.brackets.len() > MOST_DEPTH {
            return Some((at, "brackets stand too deep within one another"));
        }
        if scan.signs > MOST_SIGNS {
            return Some((at, "the expression is too long"));
        }
        rest = after;
    }
    None
}

fn token_length(first: char, rest: &str) -> usize {
    match first {
        '#' => rest.find('\n').unwrap_or(rest.len()),
        '`' => rest
            .get(1..)
            .and_then(|inner| inner.find('`'))
            .map_or(rest.len(), |end| end + 2),
        '"' => string_length(rest),
        c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
        c => c.len_utf8(),
    }
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return at,
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Whether a number, or what stands behind the point of one, has very many digits when it is written out.
fn is_huge(token: &str, after: &str) -> bool {
    let Some((digits, exponent)) = token.split_once(['e', 'E']) else {
        return token.len() > MOST_DIGITS;
    };
    let signed = after.strip_prefix(['+', '-']).unwrap_or_default();
    let exponent = match exponent {
        "" => signed.split(|c| !is_word(c)).next().unwrap_or_default(),
        unsigned => unsigned,
    };
    digits.len() > MOST_DIGITS || exponent.trim_start_matches('0').len() > MOST_OF_EXPONENT
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Scan {
    /// Open brackets, each with the signs before it.
    brackets: Vec<(char, usize)>,
    signs: usize,
    /// Whether the last token asks for another.
    open: bool,
    line_ended: bool,
}

impl Scan {
    fn take(&mut self, first: char, token: &str) {
        if first == '\n' {
            self.line_ended = true;
        }
        if first == '#' || first.is_whitespace() {
            return;
        }
        let is_sign = "+-*/%|&.=<>!".contains(first) || KEYWORDS.contains(&token);
        // A line ends an expression where neither its last token nor the next one goes on.
        if std::mem::take(&mut self.line_ended) && !self.open && !is_sign && self.ends_by_line() {
            self.start_again();
        }
        match first {
            '(' | '[' | '{' => self.brackets.push((first, self.signs)),
            ')' | ']' | '}' => {
                self.brackets.pop();
            }
            ',' | ';' => self.start_again(),
            _ => self.signs += usize::from(is_sign),
        }
        self.open = is_sign;
    }

    fn ends_by_line(&self) -> bool {
        self.brackets
            .last()
            .is_none_or(|(bracket, _)| *bracket == '{')
    }

    fn start_again(&mut self) {
        self.signs = self.brackets.last().map_or(0, |(_, signs)| *signs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_every_kind_are_found() {
        for chain in [
            "-".repeat(5000),
            "-\n".repeat(5000),
            "not ".repeat(5000),
            "not\n".repeat(5000),
            "1 + ".repeat(5000),
            "1 +\n# x\n".repeat(5000),
            "a\n| ".repeat(5000),
            "[".repeat(5000),
            "f(\n".repeat(5000),
            "{\"a\": ".repeat(5000),
            ".b".repeat(5000),
            "(1 + ".repeat(5000),
            "1 if true\nelse := ".repeat(5000),
        ] {
            assert!(
                exceeded(&format!("package a\nx := {chain}1\n")).is_some(),
                "{chain:.20}"
            );
        }
    }

    #[test]
    fn numbers_of_very_many_digits_are_found() {
        let long = "1".repeat(101);
        for number in [
            "0e11000111",
            "1E00001000",
            "1.5e1000",
            "1e+1000",
            "1e-1000",
            "2.5E-123456",
            &long,
            &format!("0.{long}"),
            &format!("{long}e1"),
        ] {
            let said = exceeded(&format!("package a\nx := {number}\n"));
            assert_eq!(
                said.map(|(_, why)| why),
                Some("the number has too many digits"),
                "{number}"
            );
        }
        for other in [
            "1e300",
            "1e-300",
            "0.25",
            "1234567890123456789",
            "\"1e99999\"",
            "a1e99999",
            "# 1e99999",
        ] {
            assert_eq!(
                exceeded(&format!("package a\nx := {other}\n")),
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn long_policies_of_short_rules_are_not() {
        let rule = "a contains \"x-y.z\" if {\n\tsome b in input.c.d\n\tnot f(b.e, [1, 2])\n}\n";
        assert_eq!(exceeded(&rule.repeat(3000)), None);
        let list = "\"a.b.c\", {\"k\": data.a.b}, -1, ".repeat(3000);
        assert_eq!(exceeded(&format!("package a\nx := [{list}1]\n")), None);
        assert_eq!(
            exceeded("x := `-----\n` # ((((((((((((((((((((((((((((("),
            None
        );
    }
}
