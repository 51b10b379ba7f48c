//! Where questions and answers lie.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use agentguard_audit::Places;
use agentguard_core::SessionId;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::question::is_id;
use crate::arrange::{private_directory, random_word};
use crate::temporary;

const KIND: &str = "approvals";
/// More than a question takes: its input, which as a text in JSON is at most twice as long, and once more in words.
const LONGEST: u64 = 16 << 20;
/// Of an action that a human is asked about. What a gate asks about is shorter; a command line can be longer.
pub(crate) const LONGEST_INPUT: usize = 5 << 20;

/// A session's directory.
pub(crate) struct Place(File);

/// A directory that a guard made and holds. It is removed with this.
pub(crate) struct Own {
    place: Place,
    path: PathBuf,
}

impl Own {
    /// Makes the directory of a session, and removes those of which the guard is dead.
    pub(crate) fn make(places: &Places, session: &SessionId) -> io::Result<Self> {
        let all = private_directory(places, KIND).map_err(io::Error::other)?;
        remove_what_is_over(places);
        let word = random_word().map_err(io::Error::other)?;
        let unnamed = private_directory(places, format!("{KIND}/.{word}"));
        let unnamed = unnamed.map_err(io::Error::other)?;
        let directory = File::open(&unnamed)?;
        // Nobody sees it by its name before it is held.
        directory.lock()?;
        let path = all.join(session.as_str());
        std::fs::rename(&unnamed, &path)?;
        Ok(Self {
            place: Place(directory),
            path,
        })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        temporary::remove(&self.path);
    }
}

/// The directories of sessions whose guards live.
pub(crate) fn living(places: &Places) -> Vec<Place> {
    let is_held = |directory: &File| directory.try_lock_shared().is_err();
    let all = directories(places).into_iter();
    let opened = all.filter_map(|path| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::open(path, flags, Mode::empty()).map(File::from).ok()
    });
    opened.filter(is_held).map(Place).collect()
}

fn directories(places: &Places) -> Vec<PathBuf> {
    let all = std::fs::read_dir(places.state.join(KIND));
    let is_session = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| SessionId::parse(name).is_ok())
    };
    let all = all.into_iter().flatten().flatten();
    all.map(|entry| entry.path()).filter(is_session).collect()
}

fn remove_what_is_over(places: &Places) {
    for path in directories(places) {
        if File::open(&path).is_ok_and(|directory| directory.try_lock().is_ok()) {
            temporary::remove(&path);
        }
    }
}

pub(crate) fn question_name(id: &str) -> String {
    format!("{id}.question")
}

pub(crate) fn answer_name(id: &str) -> String {
    format!("{id}.answer")
}

impl Place {
    /// Makes a file, whole and at once. Where there is one of this name, it stays, and that is an error.
    pub(crate) fn write_once(&self, name: &str, content: &impl Serialize) -> io::Result<()> {
        let unnamed = format!(".{}", random_word().map_err(io::Error::other)?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(fs::openat(&self.0, &unnamed, flags, mode)?);
        let written = file.write_all(&serde_json::to_vec(content)?);
        let linked = written.and_then(|()| {
            Ok(fs::linkat(
                &self.0,
                &unnamed,
                &self.0,
                name,
                AtFlags::empty(),
            )?)
        });
        let _ = fs::unlinkat(&self.0, &unnamed, AtFlags::empty());
        linked
    }

    /// Reads a file, and says whose it is. `None` where there is none.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<(T, u32)>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: OwnedFd = match fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = fs::fstat(&file)?;
        let others = Mode::WGRP | Mode::WOTH;
        let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && !Mode::from_raw_mode(stat.st_mode).intersects(others);
        if !is_ours {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut content = Vec::new();
        let read = File::from(file).take(LONGEST).read_to_end(&mut content)?;
        if u64::try_from(read).is_ok_and(|read| read == LONGEST) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some((serde_json::from_slice(&content)?, stat.st_uid)))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The ids of the questions that lie here.
    pub(crate) fn questions(&self) -> io::Result<Vec<String>> {
        let mut ids = Vec::new();
        for entry in fs::Dir::read_from(&self.0)? {
            let name = entry?;
            let name = name.file_name().to_string_lossy();
            ids.extend(
                name.strip_suffix(".question")
                    .filter(|id| is_id(id))
                    .map(str::to_owned),
            );
        }
        ids.sort();
        Ok(ids)
    }

    pub(crate) fn remove(&self, name: &str) {
        let _ = fs::unlinkat(&self.0, name, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use std::fs as std_fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_made_once_and_read_where_it_is_its_makers_alone() {
        let path = std::env::temp_dir().join(format!("agentguard-place-{}", std::process::id()));
        std_fs::create_dir(&path).unwrap();
        let place = Place(File::open(&path).unwrap());
        let read = |name: &str| place.read::<String>(name);
        place.write_once("a", &"first").unwrap();
        let again = place.write_once("a", &"second").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let (content, uid) = read("a").unwrap().unwrap();
        assert_eq!(
            (content.as_str(), uid),
            ("first", rustix::process::getuid().as_raw())
        );
        assert!(read("b").unwrap().is_none());
        // Nothing is left of what was not made.
        assert_eq!(std_fs::read_dir(&path).unwrap().count(), 1);
        symlink("a", path.join("link")).unwrap();
        assert!(read("link").is_err());
        std_fs::create_dir(path.join("directory")).unwrap();
        assert!(read("directory").is_err());
        for mode in [0o620, 0o602] {
            let name = format!("{mode:o}");
            std_fs::write(path.join(&name), "\"open\"").unwrap();
            let permissions = std_fs::Permissions::from_mode(mode);
            std_fs::set_permissions(path.join(&name), permissions).unwrap();
            let refused = read(&name).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{name}");
        }
        let length = usize::try_from(LONGEST).unwrap();
        std_fs::write(
            path.join("long"),
            [b"\"a\"", &vec![b' '; length - 3][..]].concat(),
        )
        .unwrap();
        let refused = read("long").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
        std_fs::remove_dir_all(&path).unwrap();
    }
}
