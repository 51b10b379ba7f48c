//! Programs: which file, what it holds, and what kind of place it lies in.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use agentguard_core::{Digest, Level, Program, ProgramClass};
use rustix::fs::{self, AtFlags, FileType, OFlags, StatVfsMountFlags, Statx, StatxTimestamp};
use rustix::io::{Errno, Result};
use sha2::{Digest as _, Sha256};

use super::caller::{Processes, STATE};
use super::places::Places;
use crate::plan::{FileKey, KnownIdentity, Plan};

const CHUNK: usize = 256 * 1024;
/// No program is larger. Reading on would hold everybody else who wants to start one.
const LARGEST: u64 = 1 << 30;
/// How much of a script's first line the kernel reads (`BINPRM_BUF_SIZE`).
const FIRST_LINE: usize = 256;
/// As many paths are remembered as one session may reasonably start programs by.
const MOST_FOUND: usize = 4096;
/// Dynamic loaders by the names that programs give them (the System V ABI's `PT_INTERP`, musl's).
const LOADERS: [&str; 5] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// A file that runs, or that is about to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Image {
    /// What policy sees of it.
    pub(super) program: Program,
    /// Which file, in which state.
    pub(super) key: FileKey,
    /// Whether nobody inside can change it, and it has been as it is for long enough to be told by its key.
    is_settled: bool,
}

impl Image {
    /// An image of which nothing is known but what policy is to see, in place of this one.
    pub(super) fn unseen(&self, program: Program) -> Self {
        Self {
            program,
            key: self.key,
            is_settled: false,
        }
    }

    /// Whether a file in this state is this one, and has this path still: no stamp of a file moves when a directory
    /// above it gets another name.
    fn is(&self, stat: &Statx, path: impl FnOnce() -> Option<String>) -> bool {
        let is_told = self.is_settled && key_from(stat).is_ok_and(|key| key == self.key);
        is_told && path().is_some_and(|path| path == self.program.path)
    }
}

/// The interpreter that a script's first line names, with its one argument.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Shebang {
    pub(super) interpreter: Vec<u8>,
    pub(super) argument: Option<Vec<u8>>,
}

/// What was found of a path, until somebody outside changes the file.
#[derive(Clone, Debug)]
struct Found {
    image: Image,
    shebang: Option<Shebang>,
}

/// Tells what files hold, and remembers it of those that nobody inside can change.
#[derive(Debug)]
pub(super) struct Images {
    places: Places,
    /// Whether Landlock alone holds what nobody inside may change.
    are_held_without_mounts: bool,
    known: Mutex<HashMap<FileKey, Digest>>,
    learnt: Mutex<Vec<KnownIdentity>>,
    loaders: HashSet<Digest>,
    /// By paths from the top as callers name them.
    found: Mutex<HashMap<Vec<u8>, Found>>,
}

impl Images {
    /// Starts from what earlier sessions learnt.
    pub(super) fn new(plan: &Plan) -> Self {
        let known = plan
            .identities
            .iter()
            .map(|identity| (identity.key, identity.sha256))
            .collect();
        let mut images = Self {
            places: Places::of(plan),
            are_held_without_mounts: plan.confinement.level != Level::Full,
            known: Mutex::new(known),
            learnt: Mutex::default(),
            loaders: HashSet::new(),
            found: Mutex::default(),
        };
        let digest = |file: OwnedFd| {
            let key = key_of(file.as_fd()).ok()?;
            images
                .identify(file.as_fd(), key, true)
                .ok()
                .map(|(digest, _)| digest)
        };
        images.loaders = loaders().filter_map(digest).collect();
        images
    }

    /// Looks at an open file, reached by `name`: what it is, and what it names if it is a script.
    pub(super) fn look(
        &self,
        processes: &Processes,
        file: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(Image, Option<Shebang>)> {
        let stat = fs::statx(file, "", AtFlags::EMPTY_PATH, STATE)?;
        let known = || self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let path = || processes.path_of(file).ok();
        let found = known().get(name).cloned();
        if let Some(Found { image, shebang }) = found.filter(|found| found.image.is(&stat, path)) {
            return Ok((image, shebang));
        }
        let image = self.image(processes.path_of(file)?, file, &stat)?;
        let shebang = shebang(file)?;
        if image.is_settled && name.first() == Some(&b'/') && known().len() < MOST_FOUND {
            let found = Found {
                image: image.clone(),
                shebang: shebang.clone(),
            };
            known().insert(name.to_vec(), found);
        }
        Ok((image, shebang))
    }

    /// What a process runs, looked at anew where it is not `expected`. The file cannot be written while it runs
    /// (execve(2), ETXTBSY), so that what is read of it is what runs.
    pub(super) fn running(
        &self,
        processes: &Processes,
        process: rustix::process::Pid,
        expected: Option<&Image>,
    ) -> Result<Image> {
        let stat = processes.state(process, "exe")?;
        let path = || processes.link(process, "exe");
        if let Some(expected) = expected.filter(|expected| expected.is(&stat, path)) {
            return Ok(expected.clone());
        }
        let file = processes.follow(process, "exe", OFlags::RDONLY)?;
        let path = processes.link(process, "exe").ok_or(Errno::NOENT)?;
        let stat = fs::statx(&file, "", AtFlags::EMPTY_PATH, STATE)?;
        self.image(path, file.as_fd(), &stat)
    }

    /// What was learnt in this session about files that stay as they are.
    pub(super) fn learnt(&self) -> Vec<KnownIdentity> {
        std::mem::take(&mut *self.learnt.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn image(&self, path: String, file: BorrowedFd<'_>, stat: &Statx) -> Result<Image> {
        let key = key_from(stat)?;
        let mut class = self.places.class(&path, stat.stx_nlink);
        let (sha256, is_fixed) = self.identify(file, key, is_of_others(class))?;
        let has_name = !matches!(class, ProgramClass::Memfd | ProgramClass::Deleted);
        if has_name && self.loaders.contains(&sha256) {
            class = ProgramClass::Loader;
        }
        let program = Program {
            path,
            sha256,
            class,
        };
        Ok(Image {
            program,
            key,
            is_settled: is_fixed && is_settled(&key),
        })
    }

    /// What a file holds, and whether nobody inside can change it.
    ///
    /// A file that `may_be_fixed` is so on a read-only mount, or where Landlock holds it alone. What lies where an
    /// agent can write is not, not even where it is pinned: another name of it may lead past the pin.
    fn identify(
        &self,
        file: BorrowedFd<'_>,
        key: FileKey,
        may_be_fixed: bool,
    ) -> Result<(Digest, bool)> {
        let is_read_only = fs::fstatvfs(file)?
            .f_flag
            .contains(StatVfsMountFlags::RDONLY);
        let is_fixed = may_be_fixed && (is_read_only || self.are_held_without_mounts);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known().get(&key).filter(|_| is_fixed) {
            return Ok((*digest, true));
        }
        let digest = digest_of(file)?;
        if is_fixed && is_settled(&key) {
            known().insert(key, digest);
            let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
            learnt.push(KnownIdentity {
                key,
                sha256: digest,
            });
        }
        Ok((digest, is_fixed))
    }
}

/// Whether files of this class lie where no agent writes.
fn is_of_others(class: ProgramClass) -> bool {
    match class {
        ProgramClass::System | ProgramClass::Toolchain | ProgramClass::Loader => true,
        ProgramClass::Workspace
        | ProgramClass::Temporary
        | ProgramClass::Memfd
        | ProgramClass::Deleted
        | ProgramClass::Unknown => false,
    }
}

/// Whether a file has been as it is for longer than a time stamp is coarse: somebody outside could change
/// it again under the same one before that.
pub(super) fn is_settled(key: &FileKey) -> bool {
    const LONG_ENOUGH: i64 = 2_000_000_000;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let now = now
        .tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec);
    key.changed.saturating_add(LONG_ENOUGH) < now
}

/// Which file this is, and in which state. Only regular files are programs.
fn key_of(file: BorrowedFd<'_>) -> Result<FileKey> {
    key_from(&fs::statx(file, "", AtFlags::EMPTY_PATH, STATE)?)
}

pub(super) fn key_from(stat: &Statx) -> Result<FileKey> {
    if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    let nanos = |time: StatxTimestamp| {
        time.tv_sec
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec.into())
    };
    Ok(FileKey {
        device: fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        size: stat.stx_size,
        modified: nanos(stat.stx_mtime),
        changed: nanos(stat.stx_ctime),
    })
}

fn shebang(file: BorrowedFd<'_>) -> Result<Option<Shebang>> {
    let mut buffer = [0; FIRST_LINE];
    let length = rustix::io::pread(file, &mut buffer, 0)?;
    Ok(parse_shebang(buffer.get(..length).unwrap_or_default()))
}

/// What a file holds.
///
/// # Errors
///
/// Returns what the system said.
pub fn content_of(file: BorrowedFd<'_>) -> std::io::Result<Digest> {
    Ok(digest_of(file)?)
}

/// Which file this is, in which state.
///
/// # Errors
///
/// Returns what the system said, and `EACCES` for what is no regular file.
pub fn content_key(file: BorrowedFd<'_>) -> std::io::Result<FileKey> {
    Ok(key_of(file)?)
}

fn digest_of(file: BorrowedFd<'_>) -> Result<Digest> {
    if fs::fstat(file)?.st_size.unsigned_abs() > LARGEST {
        return Err(Errno::FBIG);
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut at = 0u64;
    loop {
        if at > LARGEST {
            return Err(Errno::FBIG);
        }
        match rustix::io::pread(file, buffer.as_mut_slice(), at) {
            Ok(0) => return Ok(Digest(hasher.finalize().into())),
            Ok(length) => {
                hasher.update(buffer.get(..length).unwrap_or_default());
                at = at.saturating_add(u64::try_from(length).map_err(|_| Errno::INVAL)?);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn loaders() -> impl Iterator<Item = OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    LOADERS
        .iter()
        .filter_map(move |path| fs::open(*path, flags, fs::Mode::empty()).ok())
}

fn parse_shebang(start: &[u8]) -> Option<Shebang> {
    let line = start.strip_prefix(b"#!")?;
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let is_end = |byte: &u8| *byte == b'\n' || *byte == 0;
    let is_whole = start.len() < FIRST_LINE || line.contains(&b'\n');
    let line = match is_whole {
        true => line,
        // The kernel runs no interpreter whose path may be cut, and leaves the last byte out of an argument that is.
        false => {
            let path = line.iter().position(|byte| !is_blank(byte))?;
            let mut rest = line.get(path..)?.iter();
            rest.find(|byte| is_blank(byte) || is_end(byte))?;
            line.split_last()?.1
        }
    };
    let line = line.split(is_end).next()?;
    let line = trim(line, is_blank);
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at_checked(end)?;
    let argument = trim(rest, is_blank);
    (!interpreter.is_empty()).then(|| Shebang {
        interpreter: interpreter.to_vec(),
        argument: (!argument.is_empty()).then(|| argument.to_vec()),
    })
}

fn trim(bytes: &[u8], is_blank: impl Fn(&u8) -> bool) -> &[u8] {
    let start = bytes
        .iter()
        .position(|byte| !is_blank(byte))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|byte| !is_blank(byte))
        .map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(path: &std::path::Path) -> Statx {
        fs::statx(fs::CWD, path, AtFlags::empty(), STATE).unwrap()
    }

    fn image(path: &std::path::Path) -> Image {
        let stat = state(path);
        Image {
            program: Program {
                path: path.display().to_string(),
                sha256: Digest::of(b""),
                class: ProgramClass::System,
            },
            key: key_from(&stat).unwrap(),
            is_settled: true,
        }
    }

    #[test]
    fn a_file_is_told_by_its_state_and_its_path() {
        let name = format!("agentguard-image-{}", std::process::id());
        let (path, other) = (
            std::env::temp_dir().join(&name),
            std::env::temp_dir().join(name + "-other"),
        );
        std::fs::write(&path, "one").unwrap();
        let alone = image(&path);
        let at = |path: &std::path::Path| Some(path.display().to_string());
        assert!(alone.is(&state(&path), || at(&path)));
        std::fs::hard_link(&path, &other).unwrap();
        let linked = image(&path);
        assert!(linked.is(&state(&path), || at(&path)));
        assert!(!linked.is(&state(&path), || at(&other)));
        assert!(!linked.is(&state(&path), || None));
        std::fs::remove_file(&other).unwrap();
        std::fs::write(&path, "longer").unwrap();
        assert!(!alone.is(&state(&path), || at(&path)), "it changed");
        let unsettled = Image {
            is_settled: false,
            ..image(&path)
        };
        assert!(!unsettled.is(&state(&path), || at(&path)));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_first_line_is_read_as_the_kernel_reads_it() {
        let parsed = |line: &str| parse_shebang(line.as_bytes());
        let found = |interpreter: &str, argument: Option<&str>| {
            Some(Shebang {
                interpreter: interpreter.as_bytes().to_vec(),
                argument: argument.map(|text| text.as_bytes().to_vec()),
            })
        };
        assert_eq!(parsed("\x7fELF"), None);
        assert_eq!(parsed("#!"), None);
        assert_eq!(parsed("#!  \n/bin/sh"), None);
        assert_eq!(parsed("#!/bin/sh"), found("/bin/sh", None));
        assert_eq!(parsed("#! /bin/sh -e \nexit"), found("/bin/sh", Some("-e")));
        assert_eq!(
            parsed("#!/usr/bin/env -S a  b\n"),
            found("/usr/bin/env", Some("-S a  b"))
        );
    }

    #[test]
    fn an_interpreter_whose_path_is_cut_is_none() {
        let read = |line: String| {
            let bytes = line.as_bytes();
            parse_shebang(bytes.get(..FIRST_LINE).unwrap_or(bytes))
        };
        let path = |length| format!("/{}", "x".repeat(length - 1));
        for (length, rest, is_script) in [
            (252, "\n", true),
            (253, "\n", true),
            (253, " x\n", true),
            (253, "", true),
            (254, "\n", false),
            (254, "", false),
            (300, "\n", false),
        ] {
            let found = read(format!("#!{}{rest}", path(length)));
            assert_eq!(found.is_some(), is_script, "{length}{rest:?}");
            let found = found.map(|found| (found.interpreter.len(), found.argument));
            assert_eq!(
                found,
                is_script.then_some((length, None)),
                "{length}{rest:?}"
            );
        }
        let argument = |text: String| read(text).unwrap().argument.unwrap().len();
        assert_eq!(argument(format!("#!/x {}\n", "y".repeat(250))), 250);
        assert_eq!(argument(format!("#!/x {}\n", "y".repeat(251))), 250);
        assert_eq!(argument(format!("#!/x {}\n", "y".repeat(300))), 250);
        assert_eq!(read(format!("#!{}", " ".repeat(300))), None);
    }

    #[test]
    fn fuzz_a_first_line_names_an_interpreter_or_none() {
        let words = ["#!", " ", "\t", "\n", "/bin/sh", "-e"];
        crate::mutate::fuzz("first-line", &words, |bytes| {
            let bytes = bytes.get(..FIRST_LINE).unwrap_or(bytes);
            let found = parse_shebang(bytes);
            if let Some(found) = &found {
                assert!(!found.interpreter.is_empty() && bytes.starts_with(b"#!"));
            }
            let argument = found.as_ref().and_then(|found| found.argument.as_ref());
            let has = |byte| bytes.contains(&byte);
            let has = (has(0), has(b'\t'));
            format!("{} {} {has:?}", found.is_some(), argument.is_some())
        });
    }
}
