//! The beginnings of objects: what they are, and what they lead to.
//!
//! # References
//!
//! - gitformat-loose(5); git-cat-file(1) for the text of commits and tags
//! - RFC 1950 and 1951 for zlib

use std::os::fd::BorrowedFd;

use agentguard_core::MessageDigest;
use agentguard_core::ssh::signed_part;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use rustix::io::Errno;

use super::id::Id;
use super::pack::Index;
use crate::difference::beneath::{open_file, read_up_to};

/// Nearly every commit's parents stand in its first kB; some 1300 parents fit into the second.
pub(super) const HEADS: [usize; 2] = [4 << 10, 64 << 10];

/// What an object leads to.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Object {
    /// A commit, with its parents.
    Commit(Vec<Id>),
    /// A tag, with what it points to.
    Tag(Id),
    /// A tree or a blob.
    Other,
}

/// Why an object could not be read.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Unread {
    /// It is not in this repository: beyond a shallow clone's edge, or in an alternate.
    Absent,
    /// It is there, and is damaged, too large, or in a form that is not read.
    Broken,
}

/// What kind an object is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Commit,
    Tag,
    Other,
}

/// An object that was found, with the pack it lies in.
pub(super) struct Found<'p> {
    pub(super) object: Result<Object, Unread>,
    pub(super) pack: Option<&'p Index>,
    /// What is signed of a commit that lies by itself.
    pub(super) signed: Option<MessageDigest>,
}

/// Finds an object: loose, then in the packs. Alternates are not looked at.
pub(super) fn find<'p>(common: BorrowedFd<'_>, packs: &'p [Index], id: &Id) -> Found<'p> {
    let found = loose(common, id);
    if !matches!(found, Err(Unread::Absent)) {
        let (object, signed) = match found {
            Ok((object, signed)) => (Ok(object), signed),
            Err(unread) => (Err(unread), None),
        };
        return Found {
            object,
            pack: None,
            signed,
        };
    }
    let mut missing = Unread::Absent;
    for pack in packs {
        match pack.find(id) {
            Ok(Some(offset)) => {
                return Found {
                    object: pack.read(common, id, offset),
                    pack: Some(pack),
                    signed: None,
                };
            }
            Ok(None) => {}
            Err(_) => missing = Unread::Broken,
        }
    }
    Found {
        object: Err(missing),
        pack: None,
        signed: None,
    }
}

fn loose(common: BorrowedFd<'_>, id: &Id) -> Result<(Object, Option<MessageDigest>), Unread> {
    let path = id.loose_path();
    let mut read = None;
    for limit in HEADS {
        let (fd, _) = match open_file(common, path.as_bytes()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Err(Unread::Absent),
            Err(_) => return Err(Unread::Broken),
        };
        let compressed = read_up_to(fd, limit).map_err(|_| Unread::Broken)?;
        let (bytes, is_whole) = inflate(&compressed, limit);
        let end = bytes
            .iter()
            .take(32)
            .position(|byte| *byte == 0)
            .ok_or(Unread::Broken)?;
        let (header, rest) = bytes.split_at_checked(end).ok_or(Unread::Broken)?;
        let kind = match header.split(|byte| *byte == b' ').next() {
            Some(b"commit") => Kind::Commit,
            Some(b"tag") => Kind::Tag,
            Some(b"tree" | b"blob") => Kind::Other,
            _ => return Err(Unread::Broken),
        };
        let rest = rest.strip_prefix(b"\0").unwrap_or(rest);
        read = parse(kind, rest, id).map(|object| (object, None)).or(read);
        if let Some((_, signed)) = &mut read {
            let of_commit = Some(rest).filter(|_| kind == Kind::Commit && is_whole);
            *signed = of_commit.and_then(|commit| digest_of_signed(commit, id));
        }
        // Of what is signed all has to be there.
        let is_enough = read.is_some() && !(kind == Kind::Commit && is_signed(rest));
        if is_enough || is_whole {
            break;
        }
    }
    read.ok_or(Unread::Broken)
}

/// A commit's message as far as it is read, where it lies by itself.
pub(super) fn message(common: BorrowedFd<'_>, id: &Id) -> Option<Vec<u8>> {
    let [_, limit] = HEADS;
    let (file, _) = open_file(common, id.loose_path().as_bytes()).ok()?;
    let (bytes, _) = inflate(&read_up_to(file, limit).ok()?, limit);
    let is_commit = bytes.starts_with(b"commit ");
    let end = bytes.windows(2).position(|two| two == b"\n\n")?;
    is_commit.then(|| bytes.get(end + 2..).unwrap_or_default().to_vec())
}

/// Whether a commit's beginning says that it is signed.
fn is_signed(commit: &[u8]) -> bool {
    let mut head = commit
        .split(|byte| *byte == b'\n')
        .take_while(|line| !line.is_empty());
    head.any(|line| line.starts_with(b"gpgsig"))
}

fn digest_of_signed(commit: &[u8], id: &Id) -> Option<MessageDigest> {
    let header = match id.bytes().len() {
        20 => "gpgsig",
        _ => "gpgsig-sha256",
    };
    let (signed, _) = signed_part(commit, header)?;
    Some(MessageDigest::of(&signed))
}

/// Reads what an object leads to from its beginning. None where it is damaged or the beginning too
/// short.
pub(super) fn parse(kind: Kind, bytes: &[u8], like: &Id) -> Option<Object> {
    // A line counts once its end is there.
    let mut lines = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n"));
    let id = |digits: &[u8]| Id::parse(digits).filter(|id| id.bytes().len() == like.bytes().len());
    match kind {
        Kind::Other => Some(Object::Other),
        Kind::Tag => id(lines.next()??.strip_prefix(b"object ")?).map(Object::Tag),
        Kind::Commit => {
            id(lines.next()??.strip_prefix(b"tree ")?)?;
            let mut parents = Vec::new();
            loop {
                let line = lines.next()??;
                match line.strip_prefix(b"parent ") {
                    Some(digits) => parents.push(id(digits)?),
                    None if line.starts_with(b"author ") => return Some(Object::Commit(parents)),
                    None => return None,
                }
            }
        }
    }
}

/// Inflates at most `limit` bytes, and says whether that was all. What is damaged ends where it is.
pub(super) fn inflate(compressed: &[u8], limit: usize) -> (Vec<u8>, bool) {
    let mut bytes = vec![0; limit];
    let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
        | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = Box::<DecompressorOxide>::default();
    let (status, _, written) = decompress(&mut state, compressed, &mut bytes, 0, flags);
    bytes.truncate(written);
    (bytes, status == TINFLStatus::Done)
}
