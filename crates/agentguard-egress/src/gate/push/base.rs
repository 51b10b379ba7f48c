//! What the commits hold that a push builds upon: the gate asks the server for their trees, and for no file.
//!
//! The agent's own repository could be asked as well, and would be believed then.

use gix_hash::{Kind as Hash, ObjectId};
use hyper::body::Incoming;

use super::pack::LONGEST;
use super::pkt::{self, Line, NoLine};
use crate::gate::body;

/// The band of a side band that carries the pack, and the one that carries why there is none.
const PACK: u8 = 1;
const FAILED: u8 = 3;

/// How many branches of the server are named to it.
const MOST_BRANCHES: usize = 5000;
/// How long a list of them may be.
const LONGEST_LIST: usize = 4 << 20;

/// Asks for the server's branches (gitprotocol-v2(5)).
pub(super) fn branches(format: Hash) -> Vec<u8> {
    refs(format, b"ref-prefix refs/heads/\n")
}

/// Asks for the server's own branch.
pub(super) fn own_branch(format: Hash) -> Vec<u8> {
    refs(format, b"ref-prefix HEAD\n")
}

fn refs(format: Hash, which: &[u8]) -> Vec<u8> {
    let mut bytes = command("ls-refs", format);
    pkt::put(&mut bytes, which);
    pkt::flush(&mut bytes);
    bytes
}

/// Asks for those commits that lead to `wanted` and to none of the branches: what somebody else may have put
/// there, as a pull request does.
pub(super) fn beside(wanted: &[ObjectId], branches: &[ObjectId]) -> Vec<u8> {
    let mut bytes = fetch(wanted);
    for id in branches.iter().take(MOST_BRANCHES) {
        pkt::put(&mut bytes, format!("have {id}\n").as_bytes());
    }
    pkt::put(&mut bytes, b"filter tree:0\n");
    done(bytes)
}

/// Asks for those commits that lead to `wanted` and to none of the branches, with all that they hold: what a push of
/// them would bring.
pub(super) fn brought(wanted: &[ObjectId], branches: &[ObjectId]) -> Vec<u8> {
    let mut bytes = fetch(wanted);
    for id in branches.iter().take(MOST_BRANCHES) {
        pkt::put(&mut bytes, format!("have {id}\n").as_bytes());
    }
    done(bytes)
}

/// Asks for commits with their directories, and for no file.
pub(super) fn directories(wanted: &[ObjectId]) -> Vec<u8> {
    let mut bytes = fetch(wanted);
    pkt::put(&mut bytes, b"deepen 1\n");
    pkt::put(&mut bytes, b"filter blob:none\n");
    done(bytes)
}

/// Asks for directories by themselves, with those below them, and for no file.
pub(super) fn below(wanted: &[ObjectId]) -> Vec<u8> {
    let mut bytes = fetch(wanted);
    pkt::put(&mut bytes, b"filter blob:none\n");
    done(bytes)
}

/// Asks for files.
pub(super) fn files(wanted: &[ObjectId]) -> Vec<u8> {
    done(fetch(wanted))
}

fn command(name: &str, format: Hash) -> Vec<u8> {
    let mut bytes = Vec::new();
    pkt::put(&mut bytes, format!("command={name}").as_bytes());
    pkt::put(&mut bytes, format!("object-format={format}").as_bytes());
    bytes.extend_from_slice(b"0001");
    bytes
}

fn fetch(wanted: &[ObjectId]) -> Vec<u8> {
    // The server refuses names of another kind.
    let format = wanted.first().map_or(Hash::Sha1, |id| id.kind());
    let mut bytes = command("fetch", format);
    for id in wanted {
        pkt::put(&mut bytes, format!("want {id}\n").as_bytes());
    }
    bytes
}

fn done(mut bytes: Vec<u8>) -> Vec<u8> {
    pkt::put(&mut bytes, b"ofs-delta\n");
    pkt::put(&mut bytes, b"no-progress\n");
    pkt::put(&mut bytes, b"done\n");
    pkt::flush(&mut bytes);
    bytes
}

/// What the branches in an answer point to, in order.
///
/// # Errors
///
/// Returns why it cannot be read.
pub(super) async fn listed(body: &mut Incoming, format: Hash) -> Result<Vec<ObjectId>, String> {
    let mut read = Vec::new();
    while let Some(next) = body::next(body).await {
        read.extend_from_slice(&next.map_err(|error| error.to_string())?);
        if read.len() > LONGEST_LIST {
            return Err("the server has more branches than are read".to_owned());
        }
    }
    let (mut rest, mut ids) = (read.as_slice(), Vec::new());
    loop {
        match pkt::take(&mut rest) {
            Ok(Line::Data(line)) => {
                let id = line
                    .get(..format.len_in_hex())
                    .and_then(|id| ObjectId::from_hex(id).ok());
                ids.push(id.ok_or("the server's answer names no branch")?);
            }
            Ok(Line::Flush) => break,
            Ok(Line::Delimiter | Line::End) | Err(_) => {
                return Err("the server's answer cannot be read".to_owned());
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The pack in an answer.
///
/// # Errors
///
/// Returns why there is none.
pub(super) async fn pack(body: &mut Incoming) -> Result<Vec<u8>, String> {
    let (mut read, mut answer) = (Vec::new(), Answer::default());
    loop {
        match answer.take(&mut read) {
            Ok(true) => return Ok(answer.pack),
            Ok(false) => {}
            Err(why) => return Err(why),
        }
        match body::next(body).await {
            Some(Ok(bytes)) => read.extend_from_slice(&bytes),
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the server's answer breaks off".to_owned()),
        }
    }
}

#[derive(Default)]
struct Answer {
    is_pack: bool,
    pack: Vec<u8>,
}

impl Answer {
    /// Takes the lines that have come. Returns whether it was the last.
    fn take(&mut self, read: &mut Vec<u8>) -> Result<bool, String> {
        let mut rest = read.as_slice();
        let is_over = loop {
            match pkt::take(&mut rest) {
                Ok(Line::Data(line)) => self.line(line)?,
                Ok(Line::Flush) if self.is_pack => break true,
                Ok(Line::Flush | Line::End) => {
                    return Err("the server says nothing of what it builds upon".to_owned());
                }
                Ok(Line::Delimiter) => {}
                Err(NoLine::Unfinished) => break false,
                Err(NoLine::Malformed) => {
                    return Err("the server's answer cannot be read".to_owned());
                }
            }
        };
        let taken = read.len() - rest.len();
        read.drain(..taken);
        Ok(is_over)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        if let Some(why) = line.strip_prefix(b"ERR ") {
            return Err(format!(
                "the server says: {}",
                String::from_utf8_lossy(why).trim_end()
            ));
        }
        if !self.is_pack {
            self.is_pack = line == b"packfile\n" || line == b"packfile";
            return Ok(());
        }
        match line.split_first() {
            Some((&PACK, data)) => self.pack.extend_from_slice(data),
            Some((&FAILED, why)) => {
                return Err(format!(
                    "the server says: {}",
                    String::from_utf8_lossy(why).trim_end()
                ));
            }
            Some(_) | None => {}
        }
        if self.pack.len() > LONGEST {
            return Err("what it builds upon is more than is read of a push".to_owned());
        }
        Ok(())
    }
}
