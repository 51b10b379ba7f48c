//! What a pack holds: its commits and trees, read whole; of its blobs only how long they are.
//!
//! The pack comes from whoever pushes. It is read within bounds on all that it could grow to.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use agentguard_core::trailers::sessions_named;
use gix_hash::{Kind as Hash, ObjectId};
use gix_object::{CommitRef, Kind, TagRefIter, TreeRefIter};
use gix_pack::data::entry::Header;
use gix_pack::data::input;
use gix_pack::{cache, data, index};

use super::entries::Entries;
use super::large::{self, Large, SetAside};
use super::signer::Signature;
use super::{infrastructure, manifest};

/// The longest pack that is read in memory: what a server says of what a push builds upon.
pub(in crate::gate) const LONGEST: usize = 32 << 20;
/// What one object may take.
pub(super) const LARGEST_OBJECT: usize = 32 << 20;
/// What all that is read of it may take, so that a small pack is no large one.
const LARGEST_WHOLE: u64 = 2 << 30;
/// What all that are differences to others, and to which others are again, may take: they may be held at once.
const LARGEST_HELD: u64 = 256 << 20;
/// Of how many differences one may be made. git itself makes no longer chains (git-pack-objects(1), `--depth`).
const DEEPEST: u32 = 4095;
/// How many differences there may be where some are to others by name: each could be to the one before it, and no
/// longer chain is followed.
const MOST_NAMED: u32 = 65_000;
/// How many entries all trees may have.
const MOST_ENTRIES: usize = 2_000_000;
const MOST_OBJECTS: u32 = 500_000;
/// How long a file may be whose content is looked at, and how much of all is kept.
const LONGEST_KEPT: usize = 128 << 10;
const MOST_KEPT: usize = 16 << 20;
const GROWS: &str = "it grows to more than is read of a push";
/// Why a difference to what is not held cannot be read.
const TO_LARGE: &str = "it holds a difference to a file of more than 32 MiB: push with `git -c core.bigFileThreshold=16m push`, after `git repack -adF` with the same where packs hold such already";
/// What stands before a pack's first object. A digest stands behind its last.
pub(super) const HEADER: usize = 12;

/// What is known of objects.
pub(super) struct Objects {
    /// What they are named by.
    pub(super) format: Hash,
    pub(super) commits: HashMap<ObjectId, Commit>,
    pub(super) trees: HashMap<ObjectId, Vec<Entry>>,
    /// How long each blob is.
    pub(super) blobs: HashMap<ObjectId, u64>,
    /// What short ones hold that may say what runs where.
    pub(super) contents: HashMap<ObjectId, Vec<u8>>,
    /// Others of those that may be told to Kubernetes.
    pub(super) manifests: HashSet<ObjectId>,
    kept: usize,
    /// What tags are of.
    pub(super) tags: HashMap<ObjectId, ObjectId>,
    entries: usize,
}

/// A commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Commit {
    pub(super) tree: ObjectId,
    pub(super) parents: Vec<ObjectId>,
    pub(super) author: String,
    pub(super) committer: String,
    pub(super) signature: Signature,
    /// The sessions that its message names.
    pub(super) sessions: Vec<String>,
}

/// A name in a tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) mode: u16,
    pub(super) id: ObjectId,
}

impl Objects {
    /// The ids of all that it holds, in order.
    pub(super) fn listed(&self) -> String {
        let trees = self.trees.keys().chain(self.blobs.keys());
        let all = self.commits.keys().chain(self.tags.keys()).chain(trees);
        let mut ids: Vec<_> = all.map(ToString::to_string).collect();
        ids.sort_unstable();
        ids.join("\n")
    }

    /// Of none yet.
    pub(super) fn new(format: Hash) -> Self {
        Self {
            format,
            commits: HashMap::new(),
            trees: HashMap::new(),
            blobs: HashMap::new(),
            contents: HashMap::new(),
            manifests: HashSet::new(),
            kept: 0,
            tags: HashMap::new(),
            entries: 0,
        }
    }

    /// Reads a pack, and adds what it holds.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be read, or is not.
    pub(super) fn read(&mut self, pack: &[u8], late: &AtomicBool) -> Result<(), String> {
        let format = self.format;
        let count = count(pack, format)?;
        if count == 0 {
            return Ok(());
        }
        let (index, large) = index(pack, (format, count), late)?;
        let index = index::File::from_data(index, PathBuf::new(), format).map_err(said)?;
        let data = data::File::from_data(pack, PathBuf::new(), format).map_err(said)?;
        let data = data.with_alloc_limit_bytes(Some(LARGEST_OBJECT));
        let mut inflate = gix_zlib::Inflate::default();
        let (mut bytes, mut whole) = (Vec::new(), 0);
        // No object is outside of it: the gate asks for packs that are so.
        let within = |id: &gix_hash::oid| {
            let place = index.lookup(id)?;
            data.entry(index.pack_offset_at_index(place)).ok()
        };
        let resolve = |id: &gix_hash::oid, _: &mut Vec<u8>| {
            Ok(within(id).map(data::decode::entry::ResolvedBase::InPack))
        };
        let (mut files, known) = (Vec::new(), self.trees.len());
        for place in index.iter() {
            in_time(late)?;
            let entry = data.entry(place.pack_offset).map_err(said)?;
            let resolve_header =
                |id: &gix_hash::oid| Ok(within(id).map(data::decode::header::ResolvedBase::InPack));
            let header = data
                .decode_header(entry, &mut inflate, &resolve_header)
                .map_err(said)?;
            whole += header.object_size;
            if whole > LARGEST_WHOLE {
                return Err(GROWS.to_owned());
            }
            if header.kind == Kind::Blob {
                self.blobs.insert(place.oid, header.object_size);
                files.push((place.oid, place.pack_offset));
                continue;
            }
            let entry = data.entry(place.pack_offset).map_err(said)?;
            let decoded =
                data.decode_entry(entry, &mut bytes, &mut inflate, &resolve, &mut cache::Never);
            decoded.map_err(said)?;
            self.add(place.oid, header.kind, &bytes)?;
        }
        whole += self.name(&large, pack, late)?;
        if whole > LARGEST_WHOLE {
            return Err(GROWS.to_owned());
        }
        // Only then it is known what they are called. A pack that calls nothing so was asked for, file by file.
        let called = (self.trees.len() > known).then(|| self.called());
        files.retain(|(id, _)| called.as_ref().is_none_or(|called| called.contains(id)));
        for (id, offset) in files {
            in_time(late)?;
            let entry = data.entry(offset).map_err(said)?;
            let decoded =
                data.decode_entry(entry, &mut bytes, &mut inflate, &resolve, &mut cache::Never);
            decoded.map_err(said)?;
            self.keep(id, &bytes);
        }
        Ok(())
    }

    /// Adds files that are too large to be held, and returns how long all of them are.
    fn name(&mut self, large: &[Large], pack: &[u8], late: &AtomicBool) -> Result<u64, String> {
        for one in large {
            let id = one.id(pack, self.format, late)?;
            self.blobs.insert(id, one.size);
            // What it may be is not looked for in that much.
            self.manifests.insert(id);
        }
        Ok(large.iter().map(|one| one.size).sum())
    }

    /// What is called so that it may say what runs where.
    fn called(&self) -> HashSet<ObjectId> {
        let entries = self.trees.values().flatten();
        let called = entries.filter(|entry| infrastructure::is_called_so(&entry.name));
        called.map(|entry| entry.id).collect()
    }

    fn keep(&mut self, id: ObjectId, bytes: &[u8]) {
        if bytes.len() <= LONGEST_KEPT && self.kept + bytes.len() <= MOST_KEPT {
            self.kept += bytes.len();
            self.contents.insert(id, bytes.to_vec());
        } else if manifest::may_be(bytes) {
            self.manifests.insert(id);
        }
    }

    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.commits.is_empty()
            && self.trees.is_empty()
            && self.blobs.is_empty()
            && self.tags.is_empty()
    }

    fn add(&mut self, id: ObjectId, kind: Kind, bytes: &[u8]) -> Result<(), String> {
        match kind {
            Kind::Commit => {
                self.commits.insert(id, commit(bytes, self.format)?);
            }
            Kind::Tree => {
                let tree = tree(bytes, self.format)?;
                self.entries += tree.len();
                if self.entries > MOST_ENTRIES {
                    return Err("it names more files than are read of a push".to_owned());
                }
                self.trees.insert(id, tree);
            }
            Kind::Tag => {
                let target = TagRefIter::from_bytes(bytes, self.format).target_id();
                self.tags.insert(id, target.map_err(said)?);
            }
            // Kept where it is called so.
            Kind::Blob => {}
        }
        Ok(())
    }
}

/// How many objects a pack is said to hold.
fn count(pack: &[u8], format: Hash) -> Result<u32, String> {
    let header = pack
        .first_chunk::<HEADER>()
        .filter(|_| pack.len() >= HEADER + format.len_in_bytes());
    let header = header.ok_or("its pack breaks off")?;
    let (_, count) = data::header::decode(header).map_err(said)?;
    if count > MOST_OBJECTS {
        return Err("it holds more objects than are read of a push".to_owned());
    }
    Ok(count)
}

/// Makes the index of a pack: where each object stands, by its name, which is computed. Files that are too large to be
/// held are not in it.
fn index(
    pack: &[u8],
    (format, count): (Hash, u32),
    late: &AtomicBool,
) -> Result<(Vec<u8>, Vec<Large>), String> {
    let mut entries = Entries::new(pack, format, count, late);
    let mut index = Vec::new();
    let mut growth = Growth::of(pack, format)?;
    let bounded = entries.by_ref().map(|entry| {
        let grown = entry.and_then(|entry| Ok(growth.add(&entry).map(|()| entry)?));
        grown.map_err(|why| gix_error::Message::new(why).into())
    });
    let mut set_aside = SetAside::new(bounded);
    index::write_data_iter_to_stream(
        index::Version::default(),
        || {
            Ok((
                slice as for<'r> fn(data::EntryRange, &'r &[u8]) -> Option<&'r [u8]>,
                pack,
            ))
        },
        &mut set_aside,
        Some(1),
        &mut gix_utils::progress::Discard,
        &mut index,
        late,
        format,
        Some(LARGEST_OBJECT),
        data::Version::V2,
    )
    .map_err(said)?;
    let large = set_aside.large;
    if !entries.is_at_end() {
        return Err("something stands behind its pack".to_owned());
    }
    Ok((index, large))
}

/// What a pack grows to, as far as its entries say it: a difference says how long what comes of it is.
struct Growth<'p> {
    data: data::File<&'p [u8]>,
    inflate: gix_zlib::Inflate,
    whole: u64,
    held: u64,
    /// The places of files that are too large to be held.
    large: HashSet<u64>,
    /// How much comes of each difference to which there is no other yet, by its place.
    differences: HashMap<u64, u64>,
    /// Of how many differences each is made, by its place.
    depths: HashMap<u64, u32>,
    /// How many differences there are, and whether one is to another by name.
    count: u32,
    is_named: bool,
}

impl<'p> Growth<'p> {
    fn of(pack: &'p [u8], format: Hash) -> Result<Self, String> {
        Ok(Self {
            data: data::File::from_data(pack, PathBuf::new(), format).map_err(said)?,
            inflate: gix_zlib::Inflate::default(),
            whole: 0,
            held: 0,
            large: HashSet::new(),
            differences: HashMap::new(),
            depths: HashMap::new(),
            count: 0,
            is_named: false,
        })
    }

    fn add(&mut self, input: &input::Entry) -> Result<(), &'static str> {
        let broken = "one of its differences cannot be read";
        let size = match input.header {
            Header::OfsDelta { base_distance } => {
                let base = input.pack_offset.checked_sub(base_distance).ok_or(broken)?;
                if self.large.contains(&base) {
                    return Err(TO_LARGE);
                }
                let depth = self.depths.get(&base).map_or(1, |depth| depth + 1);
                if depth > DEEPEST {
                    return Err(
                        "one of its differences is made of more others than is read of a push",
                    );
                }
                self.depths.insert(input.pack_offset, depth);
                self.held += self.differences.remove(&base).unwrap_or(0);
                let size = self.comes_of(input).ok_or(broken)?;
                self.differences.insert(input.pack_offset, size);
                size
            }
            // To what it is one is found only later; it may be to any other.
            Header::RefDelta { .. } => {
                let size = self.comes_of(input).ok_or(broken)?;
                self.held += size;
                self.is_named = true;
                size
            }
            Header::Commit | Header::Tree | Header::Blob | Header::Tag => input.decompressed_size,
        };
        if large::is(input) {
            self.large.insert(input.pack_offset);
        }
        self.count += u32::from(input.header.is_delta());
        if self.is_named && self.count > MOST_NAMED {
            return Err("it holds more differences than are read of a push");
        }
        self.whole += size.max(input.decompressed_size);
        if self.whole > LARGEST_WHOLE || self.held > LARGEST_HELD {
            return Err(GROWS);
        }
        Ok(())
    }

    /// How long what comes of a difference is, of whatever it is one.
    fn comes_of(&mut self, input: &input::Entry) -> Option<u64> {
        let mut entry = self.data.entry(input.pack_offset).ok()?;
        entry.header = Header::RefDelta {
            base_id: self.data.object_hash().null(),
        };
        let elsewhere = data::decode::header::ResolvedBase::OutOfPack {
            kind: Kind::Blob,
            num_deltas: None,
        };
        let resolve = |_: &gix_hash::oid| Ok(Some(elsewhere.clone()));
        let header = self.data.decode_header(entry, &mut self.inflate, &resolve);
        header.ok().map(|header| header.object_size)
    }
}

fn slice<'r>(range: data::EntryRange, pack: &'r &[u8]) -> Option<&'r [u8]> {
    let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
    pack.get(range)
}

fn commit(bytes: &[u8], format: Hash) -> Result<Commit, String> {
    let commit = CommitRef::from_bytes(bytes, format).map_err(said)?;
    let address = |mail: &[u8]| String::from_utf8_lossy(mail).into_owned();
    let author = commit.author().map_err(said)?;
    let committer = commit.committer().map_err(said)?;
    Ok(Commit {
        tree: commit.tree(),
        parents: commit.parents().collect(),
        author: address(author.email),
        committer: address(committer.email),
        signature: Signature::of(bytes, format),
        sessions: sessions_named(commit.message),
    })
}

fn tree(bytes: &[u8], format: Hash) -> Result<Vec<Entry>, String> {
    let entries = TreeRefIter::from_bytes(bytes, format).map(|entry| {
        let entry = entry.map_err(said)?;
        Ok(Entry {
            name: entry.filename.to_vec(),
            mode: entry.mode.value(),
            id: entry.oid.to_owned(),
        })
    });
    entries.collect()
}

/// A small pack can make for much work, by long chains of differences.
pub(super) fn in_time(late: &AtomicBool) -> Result<(), String> {
    if late.load(Ordering::Relaxed) {
        Err("it takes too long to be read".to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
