//! Answers in which a secret stands: it is taken out again, and its placeholder stands there instead.

use std::sync::Arc;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};

use super::lent::Lent;
use super::needles::Form;
use super::request::Origin;
use super::scan::{Escapes, Hit, Scanner};
use super::through::Through;

/// What is as short as this may be the beginning of anything, and tells nothing worth keeping.
const SHORT: usize = 7;

/// A stream in which secrets are replaced as it passes. Held back is only what could be the beginning of one.
pub(super) struct Redactor {
    lent: Arc<Lent>,
    scanner: Scanner,
    /// What was scanned and not handed on.
    held: Vec<u8>,
    /// Where that begins, as the scanner counts.
    base: usize,
    /// Whether what is handed on is to be as long as what came.
    is_measured: bool,
    /// By how much what was handed on is longer than what came.
    surplus: i64,
}

impl Redactor {
    pub(super) fn new(lent: &Arc<Lent>, is_measured: bool) -> Self {
        Self {
            lent: Arc::clone(lent),
            scanner: Scanner::new(lent.secrets()),
            held: Vec::new(),
            base: 0,
            is_measured,
            surplus: 0,
        }
    }

    /// Takes a piece, and hands on what is known to be none of a secret.
    pub(super) fn pass(&mut self, piece: &[u8]) -> Bytes {
        let mut passed = Vec::with_capacity(piece.len());
        let mut next = self.held.len();
        self.held.extend_from_slice(piece);
        while let Some(byte) = self.held.get(next) {
            next += 1;
            if let Some(hit) = self.scanner.step(*byte) {
                self.replace(&hit, &mut passed);
                // What came behind it is looked at as if it stood alone.
                next = 0;
            }
        }
        // As much, be there the beginning of a secret or not: whoever chooses what a server sends could read it by how much
        // is handed on, letter by letter.
        let unclear = self.lent.secrets().unclear(&self.held);
        let open = unclear.max(self.scanner.open());
        let known = self.held.len().saturating_sub(open);
        passed.extend(self.held.drain(..known));
        self.base += known;
        passed.into()
    }

    /// What is held back and too short to be kept from somebody who waits for it.
    pub(super) fn short(&mut self) -> Option<Bytes> {
        if self.held.is_empty() || self.held.len() > SHORT {
            return None;
        }
        self.base += self.held.len();
        Some(std::mem::take(&mut self.held).into())
    }

    /// What is held back and no beginning of a secret, or a short one.
    pub(super) fn harmless(&mut self) -> Option<Bytes> {
        let open = Some(self.scanner.open()).filter(|open| *open > SHORT);
        let known = self.held.len().saturating_sub(open.unwrap_or(0));
        self.base += known;
        let harmless: Vec<u8> = self.held.drain(..known).collect();
        (!harmless.is_empty()).then(|| harmless.into())
    }

    /// What was held back, once nothing more comes.
    pub(super) fn end(&mut self) -> Bytes {
        std::mem::take(&mut self.held).into()
    }

    pub(super) fn lent(&self) -> &Arc<Lent> {
        &self.lent
    }

    /// Whether it is to be as long as what came.
    pub(super) fn is_measured(&self) -> bool {
        self.is_measured
    }

    /// Whether something is to come of it yet, be it that it is not as long as it said.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty() || !self.is_as_it_said()
    }

    /// Whether it is as long as it is to be.
    pub(super) fn is_as_it_said(&self) -> bool {
        !self.is_measured || self.surplus == 0
    }

    fn replace(&mut self, hit: &Hit, passed: &mut Vec<u8>) {
        let start = hit.start.saturating_sub(self.base).min(self.held.len());
        let end = hit.end.saturating_sub(self.base).min(self.held.len());
        let before = passed.len();
        // What was handed on already, since it was short, is not said twice.
        let gone = self.base.saturating_sub(hit.start);
        passed.extend(self.held.drain(..end).take(start));
        self.write(hit, gone, passed);
        let written = i64::try_from(passed.len() - before).unwrap_or(i64::MAX);
        let taken = i64::try_from(end).unwrap_or(i64::MAX);
        self.surplus = self.surplus.saturating_add(written.saturating_sub(taken));
        self.base = 0;
        self.scanner.restart();
    }

    /// Writes the placeholder in the form in which the secret stood. Where it is to be as long, its letters are
    /// escaped where those of the secret were.
    fn write(&self, hit: &Hit, gone: usize, to: &mut Vec<u8>) {
        let placeholder = self.lent.placeholder_of(hit.needle.text);
        let letters = hit.needle.form.of(placeholder.as_bytes());
        let widths = hit.widths.iter().chain(std::iter::repeat(&1));
        let mut begin = 0;
        for (letter, width) in letters.iter().zip(widths) {
            begin += usize::from(*width);
            if begin <= gone {
                continue;
            }
            let is_escaped = self.is_measured && *width > 2 || !is_plain(hit.needle.form, *letter);
            match hit.escapes {
                Escapes::Percent if is_escaped => to.extend(format!("%{letter:02X}").bytes()),
                Escapes::Json if is_escaped => to.extend(format!("\\u{letter:04x}").bytes()),
                Escapes::None | Escapes::Percent | Escapes::Json => to.push(*letter),
            }
        }
    }
}

/// Whether a letter stands for itself wherever it stands.
fn is_plain(form: Form, letter: u8) -> bool {
    form != Form::Plain || letter.is_ascii_alphanumeric() || b"-._~".contains(&letter)
}

/// What is done to an answer of a server that may hold a secret: its headers now, its body as it comes.
pub(super) fn through(
    lent: &Arc<Lent>,
    origin: &Origin,
    received: &HeaderMap,
    headers: &mut HeaderMap,
    body: &Incoming,
) -> Result<Through, &'static str> {
    if !lent.is_bound_to(origin) {
        return Ok(Through::Unchanged);
    }
    self::headers(lent, headers);
    if body.is_end_stream() {
        return Ok(Through::Unchanged);
    }
    if let Some(why) = unreadable(received) {
        return Err(why);
    }
    let is_measured = lent.keeps_lengths() && headers.contains_key(CONTENT_LENGTH);
    if !is_measured {
        headers.remove(CONTENT_LENGTH);
    }
    Ok(Through::Redacted(Redactor::new(lent, is_measured)))
}

/// Why an answer cannot be looked through, if it cannot.
pub(super) fn unreadable(headers: &HeaderMap) -> Option<&'static str> {
    let has_other = |name: HeaderName, plain: &str| {
        let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let mut codings = values.flat_map(|value| value.split(|byte| *byte == b','));
        codings.any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(plain.as_bytes()))
    };
    (has_other(CONTENT_ENCODING, "identity") || has_other(TRANSFER_ENCODING, "chunked")).then_some(
        "its answer is compressed, though it was asked not to be, and cannot be looked through for secrets",
    )
}

/// A text of ours, which may have words of a server's in it: what it says as it ends a connection, above all.
pub(super) fn text(lent: &Arc<Lent>, text: &str) -> String {
    let mut redactor = Redactor::new(lent, false);
    let mut redacted = redactor.pass(text.as_bytes()).to_vec();
    redacted.extend(redactor.end());
    String::from_utf8_lossy(&redacted).into_owned()
}

/// Takes secrets out of headers.
pub(super) fn headers(lent: &Arc<Lent>, headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let mut scanner = Scanner::new(lent.secrets());
        if scanner.first_in(value.as_bytes()).is_none() {
            continue;
        }
        let mut redactor = Redactor::new(lent, false);
        let mut redacted = redactor.pass(value.as_bytes()).to_vec();
        redacted.extend(redactor.end());
        // A placeholder is made of what may stand in a header; one that is not leaves nothing.
        *value = HeaderValue::from_bytes(&redacted).unwrap_or(HeaderValue::from_static(""));
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
