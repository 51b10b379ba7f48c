//! Opening files that an agent controls: beneath a descriptor, following nothing, waiting for nothing.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::{Errno, Result, read};

/// The kernel takes paths of at most 4096 bytes, their end included.
const PATH_MAX: usize = 4096;
/// How often an open is tried that a rename elsewhere disturbed (EAGAIN, see openat2(2)).
const TRIES: u8 = 4;

/// Opens a directory for reading. An empty path is `at` itself, opened anew.
pub(crate) fn open_directory(at: impl AsFd, path: &[u8]) -> Result<OwnedFd> {
    open(at, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a regular file for reading. Anything else is EINVAL, and is not waited for.
pub(crate) fn open_file(at: impl AsFd, path: &[u8]) -> Result<(OwnedFd, Stat)> {
    let fd = open(at, path, OFlags::RDONLY)?;
    let stat = fstat(&fd)?;
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if is_regular {
        Ok((fd, stat))
    } else {
        Err(Errno::INVAL)
    }
}

/// Reads a regular file of at most `limit` bytes; a longer one is EFBIG.
pub(crate) fn read_file(at: impl AsFd, path: &[u8], limit: usize) -> Result<Vec<u8>> {
    let (fd, _) = open_file(at, path)?;
    let bytes = read_up_to(fd, limit.saturating_add(1))?;
    if bytes.len() > limit {
        Err(Errno::FBIG)
    } else {
        Ok(bytes)
    }
}

/// Reads the first `limit` bytes, or as many as there are.
pub(crate) fn read_up_to(fd: impl AsFd, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    while bytes.len() < limit {
        let room = buffer.len().min(limit - bytes.len());
        let part = buffer.get_mut(..room).ok_or(Errno::INVAL)?;
        match read(&fd, &mut *part) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(part.get(..count).ok_or(Errno::IO)?),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(bytes)
}

fn open(at: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    if path.len() < PATH_MAX {
        return open_once(at, if path.is_empty() { b"." } else { path }, flags);
    }
    // Paths grow longer than a call can take. Only what lies on the way is opened by this.
    let head = path.get(..PATH_MAX - 1).ok_or(Errno::NAMETOOLONG)?;
    let cut = head
        .iter()
        .rposition(|byte| *byte == b'/')
        .ok_or(Errno::NAMETOOLONG)?;
    let (head, tail) = path.split_at_checked(cut).ok_or(Errno::NAMETOOLONG)?;
    let between = open_once(at, head, OFlags::PATH | OFlags::DIRECTORY)?;
    open(between, tail.strip_prefix(b"/").unwrap_or(tail), flags)
}

fn open_once(at: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // `O_PATH` takes fewer flags beside it, and opens nothing that could block.
    let flags = match flags.contains(OFlags::PATH) {
        true => flags & (OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC),
        false => flags,
    };
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut tries = TRIES;
    loop {
        tries = tries.saturating_sub(1);
        match openat2(&at, path, flags, Mode::empty(), rules) {
            Err(Errno::AGAIN | Errno::INTR) if tries > 0 => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_is_read_above_the_directory_or_by_a_link() {
        let name = format!("agentguard-beneath-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        create_dir_all(root.join("in/below")).unwrap();
        write(root.join("outside"), "outside").unwrap();
        write(root.join("in/below/file"), "inside").unwrap();
        symlink("below", root.join("in/link")).unwrap();
        symlink("below/file", root.join("in/last")).unwrap();
        let at = std::fs::File::open(root.join("in")).unwrap();
        let absolute = root.join("in/below/file");
        for (path, errno) in [
            (b"../outside".as_slice(), Errno::XDEV),
            (b"below/../../outside", Errno::XDEV),
            (absolute.as_os_str().as_bytes(), Errno::XDEV),
            (b"link/file", Errno::LOOP),
            (b"last", Errno::LOOP),
            (b"below", Errno::INVAL),
        ] {
            let read = read_file(&at, path, 16);
            assert_eq!(read, Err(errno), "{}", String::from_utf8_lossy(path));
        }
        assert!(open_directory(&at, b"link").is_err());
        assert_eq!(read_file(&at, b"below/file", 6).unwrap(), b"inside");
        assert_eq!(read_file(&at, b"below/file", 5), Err(Errno::FBIG));
        let (file, _) = open_file(&at, b"below/file").unwrap();
        assert_eq!(read_up_to(&file, 3).unwrap(), b"ins");
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
