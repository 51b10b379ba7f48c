//! What a client asks a server to do to its refs: the beginning of a request to `git-receive-pack`
//! (gitprotocol-pack(5), "Pushing Data To a Server").

use std::collections::HashSet;

use agentguard_core::RefUpdate;
use gix_hash::Kind as Hash;

use super::pkt::{self, Line, NoLine};

/// The longest beginning. A thousand commands take less.
pub(super) const LONGEST: usize = 1 << 20;
const MOST_COMMANDS: usize = 1000;
const MOST_OPTIONS: usize = 100;
const LONGEST_NAME: usize = 1024;
const CERTIFICATE: &[u8] = b"push-cert";
const CERTIFICATE_END: &[u8] = b"push-cert-end";

/// The beginning of a push.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::gate) struct Commands {
    pub(super) refs: Vec<RefUpdate>,
    pub(super) options: Vec<String>,
    pub(super) atomic: bool,
    pub(super) signed: bool,
    /// Whether the answer goes by the side band.
    pub(super) side_band: bool,
    /// Whether the client wants to hear what became of each ref.
    pub(super) report: bool,
    /// What the repository's objects are named by.
    pub(super) format: Hash,
    /// How long it is: the pack comes after.
    pub(super) length: usize,
}

/// What was made of the bytes so far.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Read {
    /// More is needed.
    Unfinished,
    /// It asks for nothing: git tries whether it is let in before it sends what is long.
    Probe,
    /// It is a push.
    Push(Commands),
}

/// What may be known of a push when all of its beginning is not.
#[derive(Default)]
struct Reading {
    refs: Vec<RefUpdate>,
    capabilities: Option<Vec<String>>,
    options: Vec<String>,
    signed: bool,
    /// Where it is said, or names were read by it.
    format: Option<Hash>,
}

/// Reads the beginning of a push.
///
/// # Errors
///
/// Returns why it is none that could be judged.
pub(super) fn read(bytes: &[u8]) -> Result<Read, &'static str> {
    let mut rest = bytes;
    let mut reading = Reading::default();
    loop {
        match pkt::take(&mut rest) {
            Ok(Line::Data(line)) => {
                if reading.signed {
                    return Err("something stands between its certificate and its pack");
                }
                if line.starts_with(CERTIFICATE) {
                    match reading.certificate(line, &mut rest)? {
                        Some(()) => {}
                        None => return unfinished(bytes),
                    }
                } else {
                    reading.line(line)?;
                }
            }
            Ok(Line::Flush) => break,
            Ok(Line::Delimiter | Line::End) => return Err("it is no push"),
            Err(NoLine::Unfinished) => return unfinished(bytes),
            Err(NoLine::Malformed) => return Err("its lines cannot be read"),
        }
    }
    if reading.refs.is_empty() {
        // What follows a probe would be something that nobody judged.
        let is_probe = reading.capabilities.is_none() && rest.is_empty();
        return if is_probe {
            Ok(Read::Probe)
        } else {
            Err("it changes no ref")
        };
    }
    if reading.has("push-options") {
        loop {
            match pkt::take(&mut rest) {
                Ok(Line::Data(option)) => reading.option(option)?,
                Ok(Line::Flush) => break,
                Ok(Line::Delimiter | Line::End) => return Err("it is no push"),
                Err(NoLine::Unfinished) => return unfinished(bytes),
                Err(NoLine::Malformed) => return Err("its lines cannot be read"),
            }
        }
    }
    Ok(Read::Push(Commands {
        atomic: reading.has("atomic"),
        side_band: reading.has("side-band-64k") || reading.has("side-band"),
        report: reading.has("report-status") || reading.has("report-status-v2"),
        refs: reading.refs,
        options: reading.options,
        signed: reading.signed,
        format: reading.format.unwrap_or(Hash::Sha1),
        length: bytes.len() - rest.len(),
    }))
}

fn unfinished(bytes: &[u8]) -> Result<Read, &'static str> {
    if bytes.len() < LONGEST {
        Ok(Read::Unfinished)
    } else {
        Err("it asks for more than a push may")
    }
}

impl Reading {
    fn has(&self, capability: &str) -> bool {
        let capabilities = self.capabilities.iter().flatten();
        capabilities.into_iter().any(|one| one == capability)
    }

    /// A line before the first flush: `shallow ID`, or a command.
    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let (line, capabilities) = halves(line);
        if let Some(capabilities) = capabilities {
            self.capabilities(capabilities)?;
        }
        let line = text(line)?;
        if let Some(id) = line.strip_prefix("shallow ") {
            // What is cut off is never seen, and so are the commits behind it.
            return self
                .is_id(id)
                .then_some(())
                .ok_or("it names no commit where it is shallow");
        }
        self.command(line)
    }

    /// A certificate, which holds the commands. `None` where it has not all come.
    fn certificate(&mut self, first: &[u8], rest: &mut &[u8]) -> Result<Option<()>, &'static str> {
        let (word, capabilities) = halves(first);
        if word != CERTIFICATE || !self.refs.is_empty() {
            return Err("its certificate does not come first");
        }
        self.capabilities(capabilities.ok_or("its certificate cannot be read")?)?;
        self.signed = true;
        // Its head, its commands after an empty line, and its signature.
        let (mut is_head, mut is_signature) = (true, false);
        loop {
            let line = match pkt::take(rest) {
                Ok(Line::Data(line)) => line,
                Ok(Line::Flush | Line::Delimiter | Line::End) => {
                    return Err("its certificate does not end");
                }
                Err(NoLine::Unfinished) => return Ok(None),
                Err(NoLine::Malformed) => return Err("its lines cannot be read"),
            };
            if line.strip_suffix(b"\n").unwrap_or(line) == CERTIFICATE_END {
                return Ok(Some(()));
            }
            let line = text(line)?;
            match line {
                "" if is_head => is_head = false,
                _ if is_head => {}
                line if line.starts_with("-----BEGIN ") => is_signature = true,
                _ if is_signature => {}
                line => self.command(line)?,
            }
        }
    }

    fn capabilities(&mut self, text: &[u8]) -> Result<(), &'static str> {
        if self.capabilities.is_some() {
            return Err("it says twice what it can");
        }
        let text = std::str::from_utf8(text).map_err(|_| "what it can is no text")?;
        let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        // Names are of one length only where both sides mean the same.
        let mut formats = words
            .iter()
            .filter_map(|word| word.strip_prefix("object-format="));
        let format = match formats.next() {
            None | Some("sha1") => Hash::Sha1,
            Some("sha256") => Hash::Sha256,
            Some(_) => return Err("its objects have names of a kind that is not read"),
        };
        if formats.next().is_some() || self.format.is_some_and(|read| read != format) {
            return Err("it says in two ways what its objects are named by");
        }
        self.format = Some(format);
        self.capabilities = Some(words);
        Ok(())
    }

    /// Whether it names an object. What is not said before the first name is SHA-1.
    fn is_id(&mut self, text: &str) -> bool {
        let format = *self.format.get_or_insert(Hash::Sha1);
        text.len() == format.len_in_hex()
            && text
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// `OLD NEW NAME`.
    fn command(&mut self, line: &str) -> Result<(), &'static str> {
        let mut words = line.splitn(3, ' ');
        let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Err("one of its commands cannot be read");
        };
        if !self.is_id(old) || !self.is_id(new) {
            return Err("one of its commands names no commit");
        }
        if !is_ref_name(name) {
            return Err("one of its commands names no ref");
        }
        let id = |id: &str| id.bytes().any(|digit| digit != b'0').then(|| id.to_owned());
        let update = RefUpdate::new(id(old), id(new), name);
        self.refs
            .push(update.ok_or("one of its commands does nothing")?);
        if self.refs.len() > MOST_COMMANDS {
            return Err("it changes more refs than a push may");
        }
        let names: HashSet<_> = self.refs.iter().map(|update| &update.name).collect();
        if names.len() < self.refs.len() {
            return Err("it changes one ref twice");
        }
        Ok(())
    }

    fn option(&mut self, option: &[u8]) -> Result<(), &'static str> {
        self.options.push(text(option)?.to_owned());
        if self.options.len() > MOST_OPTIONS {
            return Err("it has more options than a push may");
        }
        Ok(())
    }
}

/// What stands before the first NUL, and what after it.
fn halves(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match line.iter().position(|byte| *byte == 0) {
        Some(at) => {
            let (line, rest) = line.split_at(at);
            (line, rest.get(1..))
        }
        None => (line, None),
    }
}

fn text(line: &[u8]) -> Result<&str, &'static str> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| "one of its lines is no text")?;
    if text
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err("one of its lines holds what is no text");
    }
    Ok(text)
}

/// Whether it is a name that git takes (git-check-ref-format(1)), below `refs/` or `HEAD` itself.
pub(super) fn is_ref_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.to_ascii_lowercase().ends_with(".lock")
    };
    let is_bad = |c: char| c.is_control() || " ~^:?*[\\".contains(c) || is_unseen(c);
    name == "HEAD"
        || (name.starts_with("refs/")
            && name.len() <= LONGEST_NAME
            && name.split('/').count() > 2
            && name.split('/').all(is_part)
            && !name.ends_with('.')
            && !name.contains("..")
            && !name.contains("@{")
            && !name.contains(is_bad))
}

/// Whether a human would not see that it is there, or which way the text goes on.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
