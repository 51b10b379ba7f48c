//! After a crash: cutting a torn tail, and recording sessions whose guard is dead.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::Path;

use agentguard_core::{SessionId, SessionStatus};
use serde::Deserialize;

use crate::anchor::Anchor;
use crate::derive::{self, Derived};
use crate::installation::Installation;
use crate::scribe::Scribe;
use crate::wal::{self, Frames, Tail};
use crate::{Checkpoint, Error, store, texts};

/// Finds where the sound entries of a write-ahead file end, and cuts off what is torn behind them. The first
/// entry that `frames` holds is the `from`-th, and the first `signed` ones are signed.
///
/// What is torn was never acknowledged as durable. Within one boot only the last write can be torn; a
/// sound frame behind a broken one is damage then, and nothing is cut. After another boot pages may have
/// reached the disk in any order. What is signed was durable before: nothing is cut there.
pub(crate) fn tail<R: Read>(
    wal: &File,
    path: &Path,
    frames: &mut Frames<R>,
    (from, signed): (u64, u64),
    boot: &str,
) -> Result<Tail, Error> {
    let mut last = Vec::new();
    let tail = wal::scan(frames, from, |_, bytes, _| {
        last.clear();
        last.extend_from_slice(bytes);
    });
    let tail = tail.map_err(|e| Error::io("read", path, e))?;
    if !tail.torn {
        return Ok(tail);
    }
    if tail.entries < signed {
        let problem = "it is signed, and not what was written";
        return Err(Error::damaged(path, tail.entries, problem));
    }
    let is_of_boot =
        |entry: &[u8]| serde_json::from_slice(entry).is_ok_and(|lead: Lead<'_>| lead.boot == boot);
    let beyond = wal::sound_beyond(wal, tail.end, path)?;
    if beyond.is_some_and(|beyond| is_of_boot(&beyond) || is_of_boot(&last)) {
        let problem = "a broken entry lies between sound ones";
        return Err(Error::damaged(path, tail.entries, problem));
    }
    let cut = wal.set_len(tail.end).and_then(|()| wal.sync_data());
    cut.map_err(|e| Error::io("cut", path, e))?;
    Ok(Tail {
        torn: false,
        ..tail
    })
}

#[derive(Deserialize)]
struct Lead<'a> {
    boot: &'a str,
}

/// Records each session that has begun, has not ended, and whose guard is dead.
///
/// A log that is damaged stays as it is, for `verify` to tell; it keeps no other session from starting.
pub(crate) fn record_lost(installation: &Installation, scribe: &Scribe) -> Result<(), Error> {
    let marks = installation.places.open_marks();
    let listed = fs::read_dir(&marks).map_err(|e| Error::io("list", &marks, e))?;
    for mark in listed {
        let mark = mark.map_err(|e| Error::io("list", &marks, e))?;
        let Some(session) = mark
            .file_name()
            .to_str()
            .and_then(|name| SessionId::parse(name).ok())
        else {
            continue;
        };
        match record_if_lost(installation, scribe, &session) {
            Ok(true) => {}
            Err(error) if error.is_refutation() => {}
            Ok(false) => {
                let _ = fs::remove_file(mark.path());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Answers whether the session still lives; if not, it is recorded as lost.
fn record_if_lost(
    installation: &Installation,
    scribe: &Scribe,
    session: &SessionId,
) -> Result<bool, Error> {
    let directory = installation.places.sessions().join(session.as_str());
    let path = directory.join("wal");
    let Some(wal) = store::open_to_append(&path)? else {
        return Ok(false);
    };
    match wal.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(true),
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, error)),
    }
    let origin = installation.session_origin(session.as_str());
    let Some(checkpoint) = recover(installation, &wal, &directory, &origin, &scribe.boot)? else {
        return Ok(false);
    };
    let mut anchor = Anchor::lock(installation, &scribe.boot)?;
    if !anchor.is_over(&origin)? {
        let (size, root) = (checkpoint.size, checkpoint.root);
        anchor.append(scribe, &origin, size, root, SessionStatus::Lost)?;
    }
    anchor.integrate()?;
    Ok(false)
}

/// Cuts the torn tail of a dead session's log, mends its texts, and signs what is left. `None` where it has no entry.
fn recover(
    installation: &Installation,
    wal: &File,
    directory: &Path,
    origin: &str,
    boot: &str,
) -> Result<Option<Checkpoint>, Error> {
    let path = directory.join("wal");
    let length = wal
        .metadata()
        .map_err(|e| Error::io("look at", &path, e))?
        .len();
    let first = u64::try_from(wal::first_line(origin).len()).unwrap_or(u64::MAX);
    if length < first {
        return Ok(None); // it died while it made the file
    }
    let clone = wal.try_clone().map_err(|e| Error::io("read", &path, e))?;
    let (mut frames, named) = Frames::of(clone, &path)?;
    if named != origin {
        return Err(Error::damaged(&path, 0, "it is another log"));
    }
    let signed = derive::signed_checkpoint(directory, origin, &installation.key, None)?;
    let signed = signed.map_or(0, |signed| signed.size);
    let tail = tail(wal, &path, &mut frames, (0, signed), boot)?;
    if tail.entries == 0 && signed == 0 {
        return Ok(None);
    }
    texts::mend(directory)?;
    // What survived the crash in memory only is not durable yet.
    wal.sync_data().map_err(|e| Error::io("sync", &path, e))?;
    let mut derived = Derived::new(directory, origin, installation.key.clone(), first);
    derived.rebuild(tail.entries).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three entries of boot `b1`, the second broken. Answers where they lie, and the end of the first.
    fn broken() -> (crate::tests::Directory, u64) {
        let directory = crate::tests::directory();
        let mut bytes = wal::first_line("agentguard/x").into_bytes();
        let mut ends = Vec::new();
        for number in 0..3 {
            wal::frame(
                format!("{{\"boot\":\"b1\",\"n\":{number}}}").as_bytes(),
                &mut bytes,
            )
            .unwrap();
            ends.push(bytes.len());
        }
        bytes[ends[1] - 3] = 0;
        fs::write(directory.join("wal"), bytes).unwrap();
        (directory, u64::try_from(ends[0]).unwrap())
    }

    fn found(path: &Path, signed: u64, boot: &str) -> Result<Tail, Error> {
        let file = store::open_to_append(path).unwrap().unwrap();
        let (mut frames, _) = Frames::of(file.try_clone().unwrap(), path).unwrap();
        tail(&file, path, &mut frames, (0, signed), boot)
    }

    #[test]
    fn what_a_loss_of_power_left_is_cut_and_what_is_signed_or_of_this_boot_is_not() {
        let (directory, end) = broken();
        let path = directory.join("wal");
        let before = fs::read(&path).unwrap();
        for (signed, boot) in [(1, "b1"), (2, "b2"), (3, "b2"), (2, "b1")] {
            let refused = found(&path, signed, boot);
            assert!(
                matches!(refused, Err(Error::Damaged { index: 1, .. })),
                "{refused:?}"
            );
            assert_eq!(fs::read(&path).unwrap(), before, "{signed} {boot}");
        }
        let cut = found(&path, 1, "b2").unwrap();
        assert_eq!((cut.entries, cut.end, cut.torn), (1, end, false));
        assert_eq!(fs::metadata(&path).unwrap().len(), end);
    }
}
