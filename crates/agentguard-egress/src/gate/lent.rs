//! The credentials that were lent to the session: where in a request their placeholders stand, and what is
//! sent instead.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use agentguard_core::{Binding, CredentialName, Scheme, Slot};
use base64ct::{Base64, Base64Unpadded, Encoding as _};
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::aws::{self, Signed};
use super::misplaced::Misplaced;
use super::needles::Needles;
use super::refusal::Fault;
use super::request::{Origin, Read};
use super::scan::Scanner;
use crate::wire;

/// A shorter placeholder would be found where it is not.
const SHORTEST: usize = 8;

/// All of them.
pub(super) struct Lent {
    all: Vec<wire::Lent>,
    placeholders: Arc<Needles>,
    secrets: Arc<Needles>,
    /// Whose the secret texts are: a credential of several parts has several.
    owners: Vec<usize>,
    /// Whether each secret text is as long as the placeholder.
    are_alike: bool,
}

/// Why a request that uses a credential is not sent.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It stands where it may not.
    Misplaced(Misplaced),
    /// It may go there, and not in this way.
    Fault(Fault),
}

impl From<Misplaced> for Unfit {
    fn from(found: Misplaced) -> Self {
        Self::Misplaced(found)
    }
}

/// What a request uses.
#[derive(Debug, Default)]
pub(super) struct Uses {
    credentials: BTreeSet<usize>,
    puts: Vec<Put>,
    /// The key by which it is carried on over SSH.
    key: Option<CredentialName>,
}

/// Where a secret is put.
#[derive(Debug)]
enum Put {
    Header {
        name: HeaderName,
        nth: usize,
        value: Value,
    },
    /// As the value of the query's pair of this number.
    Query { nth: usize, credential: usize },
    /// In a signature.
    Signature { signed: Signed, credential: usize },
}

/// How the value of a header is written anew.
#[derive(Debug)]
enum Value {
    /// After what stands before it.
    After {
        before: String,
        credential: usize,
    },
    Basic {
        user: Piece,
        password: Piece,
    },
}

/// One of the two that Basic authentication has.
#[derive(Debug)]
enum Piece {
    Same(Vec<u8>),
    Of(usize),
}

impl Lent {
    /// Takes over what the session was lent.
    pub(super) fn new(all: Vec<wire::Lent>) -> io::Result<Self> {
        let is_fit = |one: &wire::Lent| {
            one.placeholder.len() >= SHORTEST
                && one.placeholder.bytes().all(|byte| byte.is_ascii_graphic())
                && !one.secret.danger_reveal().is_empty()
        };
        if !all.iter().all(is_fit) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (mut texts, mut owners) = (Vec::new(), Vec::new());
        for (owner, one) in all.iter().enumerate() {
            for text in parts(one) {
                texts.push(text);
                owners.push(owner);
            }
        }
        let are_alike = texts.iter().zip(&owners).all(|(text, owner)| {
            all.get(*owner)
                .is_some_and(|one| one.placeholder.len() == text.len())
        });
        let placeholders: Vec<_> = all.iter().map(|one| one.placeholder.as_bytes()).collect();
        let needles = |texts: &[&[u8]]| Needles::new(texts).map(Arc::new).map_err(io::Error::other);
        Ok(Self {
            placeholders: needles(&placeholders)?,
            secrets: needles(&texts)?,
            all,
            owners,
            are_alike,
        })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn secrets(&self) -> &Arc<Needles> {
        &self.secrets
    }

    pub(super) fn placeholders(&self) -> &Arc<Needles> {
        &self.placeholders
    }

    /// What stands for a secret text.
    pub(super) fn placeholder_of(&self, text: usize) -> &str {
        let owner = self.owners.get(text).and_then(|owner| self.all.get(*owner));
        owner.map_or("", |one| &one.placeholder)
    }

    /// Whether what is put instead of a secret is as long.
    pub(super) fn keeps_lengths(&self) -> bool {
        self.are_alike
    }

    /// Whether a secret may have been sent there, so that one may come back. What a host was told at one of its
    /// ports it may say at another.
    pub(super) fn is_bound_to(&self, origin: &Origin) -> bool {
        let mut bound = self.all.iter().flat_map(|one| &one.bound);
        bound.any(|bound| bound.host == origin.host)
    }

    pub(super) fn name(&self, credential: usize) -> Option<&CredentialName> {
        self.all.get(credential).map(|one| &one.name)
    }

    pub(super) fn bound(&self, credential: usize) -> &[Binding] {
        self.all.get(credential).map_or(&[], |one| &one.bound)
    }

    /// The credential whose placeholder a name holds. Case and dots are not the client's alone to choose.
    pub(super) fn in_name(&self, name: &str) -> Option<usize> {
        let plain = |text: &str| text.replace('.', "").to_ascii_lowercase();
        let name = plain(name);
        let is_in = |one: &wire::Lent| name.contains(&plain(&one.placeholder));
        self.all.iter().position(is_in)
    }

    /// The credential whose placeholder stands somewhere in `bytes`, in whatever form.
    pub(super) fn in_bytes(&self, bytes: &[u8]) -> Option<usize> {
        let hit = Scanner::new(&self.placeholders).first_in(bytes)?;
        Some(hit.needle.text)
    }

    /// Finds the placeholders in the head of a request. All stand where they may, or it is refused.
    pub(super) fn uses(
        &self,
        origin: &Origin,
        headers: &HeaderMap,
        read: &Read,
    ) -> Result<Uses, Unfit> {
        let mut uses = Uses::default();
        if self.is_empty() {
            return Ok(uses);
        }
        let asked = Asked {
            lent: self,
            origin,
            read,
        };
        for name in headers.keys() {
            if let Some(found) = self.in_name(name.as_str()) {
                let place = "the name of a header".to_owned();
                return Err(Misplaced::in_head(found, place).into());
            }
            for (nth, value) in headers.get_all(name).iter().enumerate() {
                asked.header(name, nth, value.as_bytes(), &mut uses)?;
            }
        }
        asked.target(&mut uses)?;
        asked.token(&uses)?;
        Ok(uses)
    }

    /// Asks for answers that can be looked through, where one may hold a secret.
    pub(super) fn narrow(&self, origin: &Origin, headers: &mut HeaderMap) {
        if self.is_bound_to(origin) {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
    }

    /// Puts the secrets in, now that it was permitted. `payload` is its body, where all of it is here.
    pub(super) fn put(
        &self,
        uses: &Uses,
        origin: &Origin,
        read: &mut Read,
        payload: Option<&[u8]>,
    ) -> Result<(), String> {
        for put in &uses.puts {
            match put {
                // It is made last, over all the others.
                Put::Signature { .. } => {}
                Put::Header { name, nth, value } => {
                    let value = self.value(value)?;
                    let old = read.headers.entry(name.clone());
                    if let hyper::header::Entry::Occupied(mut old) = old
                        && let Some(old) = old.iter_mut().nth(*nth)
                    {
                        *old = value;
                    }
                }
                Put::Query { nth, credential } => {
                    let secret = self.secret(*credential)?;
                    read.target.sent = with_value(&read.target.sent, *nth, secret);
                }
            }
        }
        for put in &uses.puts {
            if let Put::Signature { signed, credential } = put {
                let secret = self.secret(*credential)?;
                signed.sign(secret, origin, read, payload)?;
            }
        }
        Ok(())
    }

    fn value(&self, value: &Value) -> Result<HeaderValue, String> {
        let bytes = match value {
            Value::After { before, credential } => {
                let secret = self.secret(*credential)?;
                let mut bytes = Vec::with_capacity(before.len() + secret.len());
                bytes.extend_from_slice(before.as_bytes());
                bytes.extend_from_slice(secret);
                Zeroizing::new(bytes)
            }
            Value::Basic { user, password } => {
                let (user, password) = (self.piece(user)?, self.piece(password)?);
                if user.contains(&b':') {
                    return Err("a name with a `:` is none for Basic authentication".to_owned());
                }
                let mut both = Zeroizing::new(Vec::with_capacity(user.len() + password.len() + 1));
                both.extend_from_slice(user);
                both.push(b':');
                both.extend_from_slice(password);
                let both = Zeroizing::new(Base64::encode_string(&both));
                Zeroizing::new(format!("Basic {}", *both).into_bytes())
            }
        };
        let mut value = HeaderValue::from_bytes(&bytes)
            .map_err(|_| "the credential has bytes that no header may have".to_owned())?;
        // It is to stand in no table of HTTP/2's, and in no text of ours.
        value.set_sensitive(true);
        Ok(value)
    }

    fn piece<'p>(&'p self, piece: &'p Piece) -> Result<&'p [u8], String> {
        match piece {
            Piece::Same(bytes) => Ok(bytes),
            Piece::Of(credential) => self.secret(*credential),
        }
    }

    fn secret(&self, credential: usize) -> Result<&[u8], String> {
        let one = self.all.get(credential);
        one.map(|one| one.secret.danger_reveal())
            .ok_or_else(|| "there is no such credential".to_owned())
    }
}

impl Uses {
    /// What the credentials are called.
    pub(super) fn names(&self, lent: &Lent) -> Vec<CredentialName> {
        let names = self.credentials.iter().filter_map(|one| lent.name(*one));
        names.cloned().chain(self.key.clone()).collect()
    }

    /// It is carried on by this key.
    pub(super) fn carry(&mut self, key: Option<CredentialName>) {
        self.key = key;
    }

    /// Whether it is carried on over SSH.
    pub(super) fn is_carried(&self) -> bool {
        self.key.is_some()
    }

    /// Whether it can be signed only once its body is known.
    pub(super) fn needs_body(&self, headers: &HeaderMap) -> bool {
        self.is_signed() && !headers.contains_key(aws::HASH)
    }

    fn is_signed(&self) -> bool {
        let is = |put: &Put| matches!(put, Put::Signature { .. });
        self.puts.iter().any(is)
    }

    fn add(&mut self, credential: usize, put: Put) {
        self.credentials.insert(credential);
        self.puts.push(put);
    }
}

/// A request that is looked through.
struct Asked<'a> {
    lent: &'a Lent,
    origin: &'a Origin,
    read: &'a Read,
}

impl Asked<'_> {
    fn header(
        &self,
        name: &HeaderName,
        nth: usize,
        value: &[u8],
        uses: &mut Uses,
    ) -> Result<(), Unfit> {
        let Some(found) = self.lent.in_bytes(value) else {
            return Ok(());
        };
        // What goes no further cannot take anything along.
        let is_sent = self.read.headers.contains_key(name);
        let text = std::str::from_utf8(value).ok().filter(|_| is_sent);
        if let Some((signed, credential)) = text.and_then(|text| self.signed(name, text)) {
            let is_fine = signed.check(self.origin, self.read);
            let fault = |why| Unfit::Fault(Fault::bad("credential/signature", why));
            is_fine.map_err(fault)?;
            uses.add(credential, Put::Signature { signed, credential });
            return Ok(());
        }
        if name == aws::TOKEN && self.is_token(value) {
            return Ok(());
        }
        let put = text.and_then(|text| self.alone(name, text).or_else(|| self.basic(name, text)));
        let Some((credentials, value)) = put else {
            return Err(Misplaced::in_head(found, format!("its header `{name}`")).into());
        };
        let name = name.clone();
        uses.credentials.extend(credentials);
        uses.puts.push(Put::Header { name, nth, value });
        Ok(())
    }

    /// A signature that was made with a placeholder.
    fn signed(&self, name: &HeaderName, text: &str) -> Option<(Signed, usize)> {
        let signed = aws::read(text).filter(|_| name == AUTHORIZATION)?;
        let credential = self.exactly(signed.id.as_bytes())?;
        let is_bound = self.may(credential, |slot| *slot == Slot::Aws);
        is_bound.then_some((signed, credential))
    }

    /// Whether a value is the placeholder of what signs: signing puts another there.
    fn is_token(&self, value: &[u8]) -> bool {
        let credential = self.exactly(value);
        credential.is_some_and(|one| self.may(one, |slot| *slot == Slot::Aws))
    }

    /// A token without a signature stays where it is, and may not; so does one with another's.
    fn token(&self, uses: &Uses) -> Result<(), Misplaced> {
        let mut tokens = self.read.headers.get_all(aws::TOKEN).iter();
        let stray = tokens.find_map(|value| {
            let found = self.lent.in_bytes(value.as_bytes())?;
            let is_own = uses.is_signed() && uses.credentials.contains(&found);
            (!is_own).then_some(found)
        });
        match stray {
            Some(found) => Err(Misplaced::in_head(
                found,
                format!("its header `{}`", aws::TOKEN),
            )),
            None => Ok(()),
        }
    }

    /// A header's value that is a placeholder, or one after a scheme.
    fn alone(&self, name: &HeaderName, text: &str) -> Option<(Vec<usize>, Value)> {
        let begin = text.rfind(' ').map_or(0, |space| space + 1);
        let (before, last) = text.split_at_checked(begin)?;
        let credential = self.exactly(last.as_bytes())?;
        let scheme = before.trim_end_matches(' ');
        let is_scheme = scheme.bytes().all(is_of_token) && before.len() <= scheme.len() + 1;
        let is_bound = self.may(credential, |slot| match slot {
            Slot::Header { name: bound } => bound.eq_ignore_ascii_case(name.as_str()),
            Slot::Basic | Slot::Query { .. } | Slot::Aws | Slot::Ssh { .. } => false,
        });
        let is_plain = is_scheme && self.lent.in_bytes(scheme.as_bytes()).is_none();
        (is_plain && is_bound).then(|| {
            let before = before.to_owned();
            (vec![credential], Value::After { before, credential })
        })
    }

    fn basic(&self, name: &HeaderName, text: &str) -> Option<(Vec<usize>, Value)> {
        let (scheme, letters) = text.split_once(' ')?;
        if name != AUTHORIZATION || !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let letters = letters.trim_matches(' ').trim_end_matches('=');
        let both = Base64Unpadded::decode_vec(letters).ok()?;
        let colon = both.iter().position(|byte| *byte == b':')?;
        let (user, password) = (both.get(..colon)?, both.get(colon + 1..)?);
        let mut credentials = Vec::new();
        let mut piece = |bytes: &[u8]| match self.exactly(bytes) {
            Some(credential) if self.may(credential, |slot| *slot == Slot::Basic) => {
                credentials.push(credential);
                Some(Piece::Of(credential))
            }
            Some(_) => None,
            None if self.lent.in_bytes(bytes).is_some() => None,
            None => Some(Piece::Same(bytes.to_vec())),
        };
        let (user, password) = (piece(user)?, piece(password)?);
        Some((credentials, Value::Basic { user, password })).filter(|(all, _)| !all.is_empty())
    }

    /// Looks through the path and the query, as they are sent.
    fn target(&self, uses: &mut Uses) -> Result<(), Misplaced> {
        let sent = self.read.target.sent.as_str();
        let (path, query) = sent.split_once('?').unwrap_or((sent, ""));
        let find = |text: &str, place: &str| match self.lent.in_bytes(text.as_bytes()) {
            Some(found) => Err(Misplaced::in_head(found, place.to_owned())),
            None => Ok(()),
        };
        find(path, "its path")?;
        let mut is_used = false;
        for (nth, pair) in query.split('&').enumerate() {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            find(name, "a name of its query")?;
            let is_bound = |slot: &Slot| match slot {
                Slot::Query { name: bound } => decoded(name) == bound.as_bytes(),
                Slot::Header { .. } | Slot::Basic | Slot::Aws | Slot::Ssh { .. } => false,
            };
            match self.exactly(&decoded(value)) {
                Some(credential) if self.may(credential, is_bound) => {
                    is_used = true;
                    uses.add(credential, Put::Query { nth, credential });
                }
                Some(_) | None => find(value, "its query")?,
            }
        }
        // What stands across the two, or across two pairs.
        if is_used {
            Ok(())
        } else {
            find(sent, "its target")
        }
    }

    /// The credential of which `bytes` is the placeholder.
    fn exactly(&self, bytes: &[u8]) -> Option<usize> {
        let is = |one: &wire::Lent| one.placeholder.as_bytes() == bytes;
        self.lent.all.iter().position(is)
    }

    /// Whether a credential may go with this request, in a slot that `is_slot` says it stands in. In the clear
    /// nothing may.
    fn may(&self, credential: usize, is_slot: impl Fn(&Slot) -> bool) -> bool {
        let (origin, read) = (self.origin, self.read);
        let covers = |bound: &&Binding| {
            let path = &read.target.segments;
            bound.covers(&origin.host, origin.port, read.method.as_str(), path)
        };
        origin.scheme == Scheme::Https
            && self
                .lent
                .bound(credential)
                .iter()
                .filter(covers)
                .any(|bound| is_slot(&bound.slot))
    }
}

/// The texts that are secret. One for AWS has parts, of which each is sent by itself.
fn parts(one: &wire::Lent) -> Vec<&[u8]> {
    let secret = one.secret.danger_reveal();
    if one.bound.iter().any(|bound| bound.slot == Slot::Aws) {
        // What is left of a mistake is not to be found everywhere.
        let parts = secret.splitn(3, |byte| *byte == b':');
        parts.filter(|part| part.len() >= SHORTEST).collect()
    } else {
        vec![secret]
    }
}

/// RFC 9110, section 5.6.2.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a piece of a query means. It was read before, so that its escapes are whole.
fn decoded(piece: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(piece.len());
    let mut bytes = piece.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (digit().unwrap_or(0), digit().unwrap_or(0));
                u8::try_from(high << 4 | low).unwrap_or_default()
            }
            b'+' => b' ',
            _ => byte,
        });
    }
    decoded
}

/// A target with another value in the pair of this number.
fn with_value(sent: &str, nth: usize, value: &[u8]) -> String {
    let (path, query) = sent.split_once('?').unwrap_or((sent, ""));
    let mut with = String::with_capacity(sent.len() + 3 * value.len());
    with.push_str(path);
    for (number, pair) in query.split('&').enumerate() {
        with.push(if number == 0 { '?' } else { '&' });
        if number != nth {
            with.push_str(pair);
            continue;
        }
        with.push_str(pair.split_once('=').map_or(pair, |(name, _)| name));
        with.push('=');
        for byte in value {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                with.push(char::from(*byte));
            } else {
                with.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    with
}

#[cfg(test)]
#[path = "lent_tests.rs"]
mod tests;
