//! How often the parser of HCL would begin anew.
//!
//! Where an expression fails behind two operators, the parser reads it twice, and so it does with each that stands
//! within: the time doubles with every bracket. It bounds neither, so this is looked at before.

/// In how many brackets behind two operators anything may stand.
const MOST: usize = 6;
/// In how much anything may stand at all: brackets, of which the parser takes 64, and texts, which it does not count and of
/// which each takes more of its stack.
const DEEPEST: usize = 64;

/// What something stands in.
enum Level<'t> {
    /// Behind this bracket, with so many operators behind the last that ended an expression.
    Code {
        bracket: u8,
        operators: usize,
        is_twice: bool,
    },
    Quoted,
    /// A text up to a line that is its end.
    Heredoc(&'t str),
}

impl Level<'_> {
    fn code(bracket: u8, is_twice: bool) -> Self {
        Self::Code {
            bracket,
            operators: 0,
            is_twice,
        }
    }

    fn is_twice(&self) -> bool {
        matches!(self, Self::Code { is_twice: true, .. })
    }

    /// Whether a line's end ends what is computed there.
    fn has_lines(&self) -> bool {
        matches!(self, Self::Code { bracket: b'{', .. })
    }
}

/// Whether the parser may take very long for a text.
pub(super) fn is_steep(text: &str) -> bool {
    let mut walk = Walk {
        text,
        at: 0,
        levels: vec![Level::code(b'{', false)],
    };
    while let Some(sign) = walk.sign(0) {
        walk.step(sign);
        let twice = walk.levels.iter().filter(|level| level.is_twice());
        if walk.levels.len() > DEEPEST || twice.count() > MOST {
            return true;
        }
    }
    false
}

struct Walk<'t> {
    text: &'t str,
    at: usize,
    levels: Vec<Level<'t>>,
}

impl<'t> Walk<'t> {
    fn sign(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn step(&mut self, sign: u8) {
        match self.levels.last() {
            Some(Level::Quoted) => self.quoted(sign),
            Some(Level::Heredoc(end)) => {
                let end = *end;
                self.heredoc(sign, end);
            }
            Some(Level::Code { .. }) | None => self.code(sign),
        }
        self.at += 1;
    }

    /// A text with expressions in it.
    fn quoted(&mut self, sign: u8) {
        match sign {
            b'\\' => self.at += 1,
            b'"' => drop(self.levels.pop()),
            _ => self.template(sign),
        }
    }

    fn heredoc(&mut self, sign: u8, end: &str) {
        let is_first = self.at == 0 || self.text.as_bytes().get(self.at - 1) == Some(&b'\n');
        let line = self.line();
        if is_first && line.trim_ascii() == end.as_bytes() {
            self.at += line.len().saturating_sub(1);
            self.levels.pop();
        } else {
            self.template(sign);
        }
    }

    fn template(&mut self, sign: u8) {
        if !matches!(sign, b'$' | b'%') {
            return;
        }
        if self.sign(1) == Some(sign) && self.sign(2) == Some(b'{') {
            self.at += 2;
        } else if self.sign(1) == Some(b'{') {
            self.at += 1;
            self.opened(b'$');
        }
    }

    fn code(&mut self, sign: u8) {
        let next = self.sign(1);
        match sign {
            b'#' => self.at += self.line().len().saturating_sub(1),
            b'/' if next == Some(b'/') => self.at += self.line().len().saturating_sub(1),
            b'/' if next == Some(b'*') => {
                let inner = self.text.get(self.at + 2..).unwrap_or_default();
                let length = inner.find("*/").map_or(inner.len(), |length| length + 2);
                self.at += 1 + length;
            }
            b'"' => self.levels.push(Level::Quoted),
            b'<' if next == Some(b'<') => self.opened_text(),
            b'(' | b'[' | b'{' => self.opened(sign),
            b')' | b']' | b'}' if self.levels.len() > 1 => drop(self.levels.pop()),
            b',' => self.ended(),
            b'\n' if self.levels.iter().all(Level::has_lines) => self.ended(),
            b'=' if next == Some(b'>') => {
                self.ended();
                self.at += 1;
            }
            b'=' if next != Some(b'=') => self.ended(),
            b'=' | b'!' | b'<' | b'>' | b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' => {
                self.counted();
                let is_more = next == Some(b'=') && matches!(sign, b'=' | b'!' | b'<' | b'>');
                if is_more || (next == Some(sign) && matches!(sign, b'&' | b'|')) {
                    self.at += 1;
                }
            }
            _ => {}
        }
    }

    /// A bracket, or a part of a text that is computed.
    fn opened(&mut self, bracket: u8) {
        let operators = self.levels.iter().rev().find_map(|level| match level {
            Level::Code { operators, .. } => Some(*operators),
            Level::Quoted | Level::Heredoc(_) => None,
        });
        let is_twice = operators.is_some_and(|operators| operators >= 2);
        self.levels.push(Level::code(bracket, is_twice));
    }

    /// `<<` or `<<-`, and what ends the text that begins on the next line.
    fn opened_text(&mut self) {
        let line = self
            .text
            .get(self.at..)
            .and_then(|rest| rest.lines().next());
        let named = line.and_then(|line| line.strip_prefix("<<"));
        let end = named.map(|named| named.strip_prefix('-').unwrap_or(named).trim_end());
        let is_name = |end: &&str| {
            !end.is_empty()
                && end
                    .chars()
                    .all(|sign| sign.is_alphanumeric() || "_-".contains(sign))
        };
        match end.filter(is_name) {
            Some(end) => {
                self.at += self.line().len();
                self.levels.push(Level::Heredoc(end));
            }
            None => self.counted(),
        }
    }

    /// What is left of the line.
    fn line(&self) -> &'t [u8] {
        let mut lines = self.rest().split(|sign| *sign == b'\n');
        lines.next().unwrap_or_default()
    }

    fn counted(&mut self) {
        if let Some(Level::Code { operators, .. }) = self.levels.last_mut() {
            *operators += 1;
        }
    }

    fn ended(&mut self) {
        if let Some(Level::Code { operators, .. }) = self.levels.last_mut() {
            *operators = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_read_very_often_is_steep() {
        for unit in [
            "x%w%{",
            "x%w%(",
            "x%w%[",
            "x==w=={",
            "x&&w&&{",
            "-x%-w%{",
            "x%w%[for a in {",
            "x%w%\"${",
            "{x=x%w%{",
            "x%w%x[",
            "(x)%(w)%(",
            "{for x,y in z : x => x%w%{",
            "(x\n%w\n%(",
            "x%w%!{",
            // What ends a bracket for those who do not look where it stands.
            "x%w%{/*}*/",
            "x%w%(#)\n",
            "x%w%[\"]\"%",
            "x /*,*/ % w /*=*/ % {",
            "x%w%{//}\n",
            "x%w%(\"${\"}\"}\"%",
            "x%w%[<<E\n]\nE\n%",
            "x%w%(\"\\\")\"%",
            "x%w%(\"$${\"%",
        ] {
            let text = |times: usize| format!("a = {}\n", unit.repeat(times));
            assert!(is_steep(&text(60)), "{unit}");
            assert!(!is_steep(&text(3)), "{unit}");
        }
    }

    #[test]
    fn what_is_very_deep_is_not_looked_through() {
        for unit in ["(/*)*/", "\"${", "[#]\n", "{\"}\"="] {
            assert!(is_steep(&unit.repeat(200_000)), "{unit}");
            assert!(!is_steep(&unit.repeat(31)), "{unit}");
        }
    }

    #[test]
    fn what_people_write_is_not() {
        let deep =
            "spec {\n a = x - y - z\n b = \"${c}-${d}-${e}\"\n".repeat(20) + &"}\n".repeat(20);
        for text in [
            deep.as_str(),
            "a = x && y && (b || c || (d && e && f(g + h + i[j * k * (l)])))\n",
            "a = <<E\n( - - ( - - ( - - ( - - ( - - ( - - ( - - (\nE\n",
            "a = <<-E\n  x\n  E\nb = [c - d - e, [f - g - h, [i]]]\n",
            "# - - ( - - ( - - ( - - ( - - ( - - ( - - ( - - (\n",
            "/* - - ( - - ( - - (\n - - ( - - ( */ // - - ( - - ( - - (\n",
            "a = \"- - ( - - ( - - ( - - ( - - ( - - ( - - ( - - (\"\n",
            "a = \"arn:aws:s3:::${b}/x-*/y\"\nc = {\n d = e\n}\n",
            "a = { b = { c = { d = { e = { f = { g = { h = 1 - 2 - 3 } } } } } } }\n",
            "a = b << c\n",
        ] {
            assert!(!is_steep(text), "{text}");
            assert!(!is_steep(&text.repeat(50)), "{text}");
        }
    }
}
