//! The words of a document (GraphQL, October 2021, section 2.1).

/// A document of more words is one that nobody writes.
const MOST: usize = 16 << 10;

/// A word of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'d> {
    /// One of `! $ & ( ) : = @ [ ] { | }`, or `.` for three dots.
    Mark(char),
    Name(&'d str),
    Number(&'d str),
    Text(String),
}

/// The words of `document`. What parsers differ on is none: bytes that are not ASCII outside of texts, marks
/// of byte order, control characters.
pub(super) fn read(document: &str) -> Result<Vec<Token<'_>>, &'static str> {
    let (mut tokens, mut rest) = (Vec::new(), document);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            ' ' | '\t' | '\n' | '\r' | ',' => 1,
            '#' => comment(rest)?,
            _ => {
                let (token, length) = token(first, rest)?;
                tokens.push(token);
                length
            }
        };
        rest = rest.get(length..).ok_or("it is cut within a character")?;
        if tokens.len() > MOST {
            return Err("it is too long");
        }
    }
    Ok(tokens)
}

fn token(first: char, rest: &str) -> Result<(Token<'_>, usize), &'static str> {
    match first {
        '!' | '$' | '&' | '(' | ')' | ':' | '=' | '@' | '[' | ']' | '{' | '|' | '}' => {
            Ok((Token::Mark(first), 1))
        }
        '.' if rest.starts_with("...") => Ok((Token::Mark('.'), 3)),
        '"' => match rest.strip_prefix("\"\"\"") {
            Some(inner) => block(inner),
            None => text(rest),
        },
        '-' | '0'..='9' => number(rest),
        'a'..='z' | 'A'..='Z' | '_' => {
            let name = span(rest, |char| char.is_ascii_alphanumeric() || char == '_');
            Ok((Token::Name(name), name.len()))
        }
        _ => Err("it has a character that is in no document"),
    }
}

fn span(text: &str, is_in: impl Fn(char) -> bool) -> &str {
    let end = text.find(|char| !is_in(char)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn comment(rest: &str) -> Result<usize, &'static str> {
    let comment = span(rest, |char| char != '\n' && char != '\r');
    // Some take these for the end of a line, and what follows for a part of the document.
    if comment.contains(|char: char| (char.is_control() && char != '\t') || is_line_end(char)) {
        return Err("it has a control character");
    }
    Ok(comment.len())
}

fn is_line_end(char: char) -> bool {
    matches!(char, '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A number is written as in JSON, and followed by nothing that could belong to it.
fn number(rest: &str) -> Result<(Token<'_>, usize), &'static str> {
    let number = span(rest, |char| {
        char.is_ascii_alphanumeric() || matches!(char, '.' | '+' | '-' | '_')
    });
    if serde_json::from_str::<serde_json::Number>(number).is_err() {
        return Err("it has a number that is none");
    }
    Ok((Token::Number(number), number.len()))
}

fn text(rest: &str) -> Result<(Token<'_>, usize), &'static str> {
    const BROKEN: &str = "it has a text without an end, or with an escape that is none";
    let (mut text, mut chars) = (String::new(), rest.char_indices().skip(1));
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((Token::Text(text), at + 1)),
            '\\' => {
                let (_, escaped) = chars.next().ok_or(BROKEN)?;
                text.push(match escaped {
                    '"' | '\\' | '/' => escaped,
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let mut code = 0;
                        for _ in 0..4 {
                            let digit = chars.next().and_then(|(_, digit)| digit.to_digit(16));
                            code = code << 4 | digit.ok_or(BROKEN)?;
                        }
                        // Halves of a character are read in more than one way.
                        char::from_u32(code).ok_or(BROKEN)?
                    }
                    _ => return Err(BROKEN),
                });
            }
            '\t' => text.push(char),
            char if char.is_control() => return Err(BROKEN),
            char => text.push(char),
        }
    }
    Err(BROKEN)
}

/// A text over several lines, after its beginning. Its indentation stays as it is written: what it says is
/// not for rules to depend on.
fn block(inner: &str) -> Result<(Token<'_>, usize), &'static str> {
    let mut from = 0;
    loop {
        let rest = inner.get(from..).unwrap_or_default();
        let end = from + rest.find("\"\"\"").ok_or("it has a text without an end")?;
        let text = inner.get(..end).unwrap_or_default();
        if !text.ends_with('\\') {
            return Ok((Token::Text(text.replace("\\\"\"\"", "\"\"\"")), end + 6));
        }
        from = end + 3;
    }
}
