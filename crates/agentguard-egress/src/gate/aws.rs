//! Requests that are signed for AWS (Signature Version 4): what the client signed with the placeholder is
//! signed anew with the key, over the request as it is sent.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::pin::Pin;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use ring::{digest, hmac};
use zeroize::Zeroizing;

use super::request::{Origin, Read};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
pub(super) const HASH: &str = "x-amz-content-sha256";
pub(super) const TOKEN: &str = "x-amz-security-token";

/// What may stand instead of a payload's hash. Where each piece is signed by itself, each would have to be
/// signed anew.
const UNSIGNED: [&str; 2] = ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"];

/// The longest body that is gathered to be signed, where the client does not say what it is.
const LONGEST: usize = 8 << 20;

/// What a client signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Signed {
    /// By whom.
    pub(super) id: String,
    date: String,
    region: String,
    service: String,
    headers: Vec<String>,
}

/// Reads an `Authorization` of this kind. `None` where it is no such thing, whole and in order.
pub(super) fn read(text: &str) -> Option<Signed> {
    let rest = text.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
    let mut parts = rest.split(',').map(str::trim);
    let credential = parts.next()?.strip_prefix("Credential=")?;
    let headers = parts.next()?.strip_prefix("SignedHeaders=")?;
    let signature = parts.next()?.strip_prefix("Signature=")?;
    let is_signature = signature.len() == 64 && signature.bytes().all(|b| b.is_ascii_hexdigit());
    // An id may have slashes where it is a placeholder; the scope has none.
    let mut scope = credential.rsplitn(5, '/');
    let is_fourth = scope.next()? == "aws4_request";
    let (service, region) = (scope.next()?, scope.next()?);
    let (date, id) = (scope.next()?, scope.next()?);
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let is_date = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
    let is_whole = is_signature && is_fourth && is_date && parts.next().is_none();
    (is_whole && is_word(service) && is_word(region)).then(|| Signed {
        id: id.to_owned(),
        date: date.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        headers: headers.split(';').map(str::to_ascii_lowercase).collect(),
    })
}

impl Signed {
    /// Whether it can be signed anew, and is for whom it is sent to.
    pub(super) fn check(&self, origin: &Origin, read: &Read) -> Result<(), String> {
        let date = only(&read.headers, DATE).ok_or("its header `x-amz-date` is missing")?;
        let is_time = date.len() == 16
            && date.get(..8) == Some(&self.date)
            && date.get(8..9) == Some("T")
            && date.ends_with('Z');
        if !is_time {
            return Err("its header `x-amz-date` is of another day than its signature".to_owned());
        }
        if read.headers.contains_key(HASH) {
            let hash = only(&read.headers, HASH).unwrap_or_default();
            let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_hash && !UNSIGNED.contains(&hash) {
                return Err(format!(
                    "its payload is `{hash}`, and pieces that are signed one by one are not signed anew"
                ));
            }
        }
        let query = read.target.sent.split_once('?');
        if query.is_some_and(|(_, query)| query.contains('+')) {
            return Err(
                "its query has a `+`, which is a space to some and none to others".to_owned(),
            );
        }
        self.is_for(&origin.host.to_string())
    }

    /// A signature for one service and region is not to go to another one's host.
    fn is_for(&self, host: &str) -> Result<(), String> {
        let differs = |what: &str, is: &str| {
            Err(format!(
                "it is signed for the {what} `{is}`, and not for `{host}`"
            ))
        };
        let suffixes = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
        let Some(labels) = suffixes.iter().find_map(|suffix| host.strip_suffix(suffix)) else {
            // Of others' hosts nothing is known but that many speak S3.
            let is_s3 = self.service == "s3";
            return if is_s3 {
                Ok(())
            } else {
                differs("service", &self.service)
            };
        };
        let mut labels: Vec<_> = labels
            .split('.')
            .filter(|one| *one != "dualstack")
            .collect();
        let region = labels.iter().rposition(|one| is_region(one));
        // An address of a region's own, or a service that is everywhere. S3 knows a bucket by its name.
        let is_region = match region.map(|at| labels.remove(at)) {
            Some(region) => region == self.region,
            None => self.service == "s3" || self.region == "us-east-1",
        };
        if !is_region {
            return differs("region", &self.region);
        }
        let label = labels.last().copied().unwrap_or_default();
        let is_service = label == self.service
            || label
                .strip_prefix(&self.service)
                .is_some_and(|rest| rest.starts_with('-'))
            || (label, self.service.as_str()) == ("email", "ses");
        if is_service {
            Ok(())
        } else {
            differs("service", &self.service)
        }
    }

    /// Signs what is sent. The secret is `id:key` or `id:key:token`; `payload` is the body, where all of it is
    /// here.
    pub(super) fn sign(
        &self,
        secret: &[u8],
        origin: &Origin,
        read: &mut Read,
        payload: Option<&[u8]>,
    ) -> Result<(), String> {
        let not_one = "the credential is not `id:key`";
        let secret = std::str::from_utf8(secret).map_err(|_| not_one)?;
        let mut parts = secret.splitn(3, ':');
        let (id, key) = (parts.next().ok_or(not_one)?, parts.next().ok_or(not_one)?);
        read.headers.remove(TOKEN);
        if let Some(token) = parts.next() {
            let token = HeaderValue::from_str(token);
            let mut token = token.map_err(|_| "its token has bytes that no header may have")?;
            token.set_sensitive(true);
            read.headers.insert(TOKEN, token);
        }
        let hash = match only(&read.headers, HASH) {
            Some(hash) => hash.to_owned(),
            None => hex(digest::digest(
                &digest::SHA256,
                payload.ok_or("its body is too long to be signed; send `x-amz-content-sha256`")?,
            )
            .as_ref()),
        };
        let names = self.names(&read.headers);
        let request = self.canonical(origin, read, &names, &hash)?;
        let signature = self.signature(key, &read.headers, &request)?;
        let scope = self.scope();
        let text = Zeroizing::new(format!(
            "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={}, Signature={signature}",
            names.join(";")
        ));
        let value = HeaderValue::from_str(&text);
        let mut value = value.map_err(|_| "its id has bytes that no header may have")?;
        value.set_sensitive(true);
        read.headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// The headers that are signed: those that the client signed and that are sent, and those that must be.
    fn names(&self, headers: &HeaderMap) -> Vec<String> {
        let is_signed =
            |name: &&str| self.headers.iter().any(|one| one == name) || name.starts_with("x-amz-");
        let names = headers
            .keys()
            .map(hyper::header::HeaderName::as_str)
            .filter(is_signed);
        let mut names: Vec<_> = names.chain(["host"]).map(ToOwned::to_owned).collect();
        names.retain(|name| name != AUTHORIZATION.as_str());
        names.sort_unstable();
        names.dedup();
        names
    }

    fn canonical(
        &self,
        origin: &Origin,
        read: &Read,
        names: &[String],
        hash: &str,
    ) -> Result<String, String> {
        let target = &read.target;
        let path = if self.service.starts_with("s3") {
            // S3 reads a path, and writes it in its own way.
            let segments = target
                .segments
                .iter()
                .map(|one| encoded(one.as_bytes(), b"/"));
            segments.fold(String::new(), |all, one| all + "/" + &one)
        } else {
            // All others write in their own way what they were sent, as it was sent.
            let sent = target.sent.split('?').next().unwrap_or_default();
            encoded(sent.as_bytes(), b"/")
        };
        let mut pairs = Vec::new();
        for (name, values) in &target.query {
            for value in values {
                pairs.push((
                    encoded(name.as_bytes(), b""),
                    encoded(value.as_bytes(), b""),
                ));
            }
        }
        pairs.sort_unstable();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = format!("{}\n{path}\n{}\n", read.method, pairs.join("&"));
        for name in names {
            let value = match name == HOST.as_str() {
                true => origin.authority(),
                false => joined(&read.headers, name)?,
            };
            let _ = writeln!(request, "{name}:{value}");
        }
        let _ = write!(request, "\n{}\n{hash}", names.join(";"));
        Ok(request)
    }

    fn signature(&self, key: &str, headers: &HeaderMap, request: &str) -> Result<String, String> {
        let date = only(headers, DATE).ok_or("its header `x-amz-date` is missing")?;
        let request = digest::digest(&digest::SHA256, request.as_bytes());
        let scope = self.scope();
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(request.as_ref()));
        let first = Zeroizing::new(format!("AWS4{key}"));
        let steps = [
            &*self.date,
            &self.region,
            &self.service,
            "aws4_request",
            &text,
        ];
        let mut last = Zeroizing::new(first.as_bytes().to_vec());
        for step in steps {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &last);
            last = Zeroizing::new(hmac::sign(&key, step.as_bytes()).as_ref().to_vec());
        }
        Ok(hex(&last))
    }

    fn scope(&self) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        )
    }
}

/// Gathers a body. Returns whether all of it is here.
pub(super) async fn gather(
    first: &mut VecDeque<Bytes>,
    rest: &mut Incoming,
) -> Result<bool, &'static str> {
    let mut length: usize = first.iter().map(Bytes::len).sum();
    while length <= LONGEST {
        let next = std::future::poll_fn(|context| Pin::new(&mut *rest).poll_frame(context));
        match next.await {
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    length += bytes.len();
                    first.push_back(bytes);
                }
            }
            Some(Err(_)) => return Err("its body breaks off"),
            None => return Ok(true),
        }
    }
    Ok(false)
}

/// `us-east-1`, `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    let parts: Vec<_> = label.split('-').collect();
    let is_word = |part: &&str| part.len() > 1 && part.bytes().all(|b| b.is_ascii_lowercase());
    let Some((number, words)) = parts.split_last() else {
        return false;
    };
    words.len() > 1 && words.iter().all(is_word) && number.bytes().all(|b| b.is_ascii_digit())
}

/// The one value of a header.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

/// A header's values as they are signed: in one line, with single spaces.
fn joined(headers: &HeaderMap, name: &str) -> Result<String, String> {
    let mut joined = Vec::new();
    for value in headers.get_all(name) {
        let value = value.to_str();
        let value = value.map_err(|_| format!("its header `{name}` is signed, and no text"))?;
        let words: Vec<_> = value.split(' ').filter(|word| !word.is_empty()).collect();
        joined.push(words.join(" "));
    }
    Ok(joined.join(","))
}

/// Everything but letters, digits, `-._~` and what is `plain` in escapes.
fn encoded(text: &[u8], plain: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || plain.contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "{byte:02x}");
        all
    })
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
