//! What stands for a token inside: as it looks, and worth nothing.

use agentguard_core::{Secret, Slot};
use zeroize::Zeroizing;

use crate::Error;
use crate::store::random_error;

/// How tokens begin by which programs tell them apart. The longer stand before those they begin with.
const PREFIXES: &[&str] = &[
    "sk-ant-admin01-",
    "sk-ant-api03-",
    "sk-ant-oat01-",
    "sk-ant-ort01-",
    "sk-ant-",
    "sk-or-v1-",
    "sk-proj-",
    "sk-svcacct-",
    "sk-",
    "github_pat_",
    "gho_",
    "ghp_",
    "ghr_",
    "ghs_",
    "ghu_",
    "glpat-",
    "gldt-",
    "AIza",
    "npm_",
    "pypi-",
    "hf_",
    "xoxb-",
    "xoxp-",
];
/// How the id of an AWS access key begins.
const AWS: &str = "AKIA";
/// What is not known cannot be guessed: so many bits of it are random, at least.
const BITS: f64 = 128.0;
/// What divides a token into parts stays where it is, since programs look for it.
const DIVIDERS: &[u8] = b"-_.";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";

/// Makes what stands for `token`: as long, of the same kinds of characters, with the same known beginning, and
/// else random. A token too short to hold 128 random bits gets a longer one.
///
/// # Errors
///
/// Returns [`Error::Random`] where the system gives no random bytes.
pub fn placeholder(token: &Secret, slots: &[&Slot]) -> Result<String, Error> {
    if slots.iter().any(|slot| matches!(slot, Slot::Aws)) {
        let alphabet = [UPPER, b"234567"].concat();
        return random(AWS.to_owned(), &[false; 28], &alphabet);
    }
    if slots.iter().any(|slot| slot.is_ssh()) {
        // It stands for nothing that could be sent: it is to be told from others, and no more.
        return random("ssh-key-".to_owned(), &[false; 28], LOWER);
    }
    let bytes = token.danger_reveal();
    let prefix = PREFIXES
        .iter()
        .find(|prefix| bytes.starts_with(prefix.as_bytes()));
    let prefix = prefix.copied().unwrap_or_default();
    let rest = bytes.get(prefix.len()..).unwrap_or_default();
    let alphabet = alphabet(rest);
    let stays: Vec<_> = rest.iter().map(|byte| DIVIDERS.contains(byte)).collect();
    let mut made = random(prefix.to_owned(), &stays, &alphabet)?;
    // Dividers are put back afterwards, so that nothing else of the token is ever looked at.
    made = made
        .chars()
        .enumerate()
        .map(|(at, made)| match bytes.get(at) {
            Some(divider) if at >= prefix.len() && DIVIDERS.contains(divider) => {
                char::from(*divider)
            }
            _ => made,
        })
        .collect();
    Ok(made)
}

/// The kinds of characters that occur: only hexadecimal ones where there are no others.
fn alphabet(rest: &[u8]) -> Vec<u8> {
    let mut letters = rest.iter().filter(|byte| !DIVIDERS.contains(byte));
    let is_hex = rest.len() >= 16
        && letters.all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
        && rest.iter().any(u8::is_ascii_lowercase);
    if is_hex {
        return [DIGITS, b"abcdef"].concat();
    }
    let occurs = |all: &[u8]| rest.iter().any(|byte| all.contains(byte));
    let kinds = [LOWER, UPPER, DIGITS];
    let occurring = kinds.into_iter().filter(|all| occurs(all));
    let alphabet: Vec<u8> = occurring.flatten().copied().collect();
    match alphabet.is_empty() {
        true => LOWER.to_vec(),
        false => alphabet,
    }
}

/// Random characters behind `text`: as many as `stays` has, and more until those that do not stay hold enough bits.
fn random(mut text: String, stays: &[bool], alphabet: &[u8]) -> Result<String, Error> {
    let size = u8::try_from(alphabet.len()).unwrap_or(u8::MAX);
    let each = f64::from(size).log2();
    let (mut bits, mut stays) = (0.0, stays.iter());
    loop {
        let stays = stays.next();
        if stays.is_none() && bits >= BITS {
            return Ok(text);
        }
        let index = below(size)?;
        text.extend(
            alphabet
                .get(usize::from(index))
                .map(|byte| char::from(*byte)),
        );
        if stays != Some(&true) {
            bits += each;
        }
    }
}

/// A random number below `size`, each as likely as any other.
fn below(size: u8) -> Result<u8, Error> {
    let fair = u8::MAX - u8::MAX % size.max(1);
    loop {
        let mut byte = Zeroizing::new([0; 1]);
        getrandom::fill(byte.as_mut_slice()).map_err(random_error)?;
        let [byte] = *byte;
        if byte < fair {
            return Ok(byte % size.max(1));
        }
    }
}
