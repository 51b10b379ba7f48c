//! Who would be connected to: a process of the session, or one of the host.
//!
//! A unix socket in a directory is one inode, which the kernel makes when a socket is bound to it, and no
//! other socket is ever bound to that inode. So who listens is asked of a pinned inode once, and the answer
//! holds: it is the socket bound there, or nobody any more. A socket belongs to the network namespace it
//! was made in, and in the session's own there are no sockets but the session's.
//!
//! # References
//!
//! - unix(7); `unix_bind_bsd` and `unix_find_bsd` in net/unix/af_unix.c
//! - sock_diag(7), for what `UDIAG_SHOW_VFS` tells

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use agentguard_core::{Level, Network};
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with, sockopt};

use super::diagnosis::{self, Bound};
use crate::error::{Failure, Step};
use crate::plan::Plan;
use crate::sys;

/// The kernel tells inodes by the low 32 bits of their numbers. File systems on which these are enough:
/// ext2 to ext4, tmpfs and f2fs (linux/magic.h).
const SHORT_NUMBERS: [i64; 3] = [0xef53, 0x0102_1994, 0xf2f5_2010];
/// XFS, and overlays, which may lie on it: enough where they are no larger than this.
const LONG_NUMBERS: [i64; 2] = [0x5846_5342, 0x794c_7630];
const LARGEST: u64 = 1 << 40;
/// `AF_UNSPEC`: a datagram socket with this peer has none.
const NOBODY: [u8; 2] = [0, 0];

/// Who would be connected to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Peer {
    /// Nobody whom the caller may reach, with the error that the kernel has for that. It is an answer, and no
    /// reason to try: a moment later somebody may listen there, or the mode be another.
    Nobody(Errno),
    /// A process of the session.
    Session,
    /// Whoever listens at a path that policy grants.
    Granted,
    /// A process of the host, or one of which nothing is known.
    Host,
}

/// Tells whom a socket leads to.
#[derive(Debug)]
pub(super) struct Peers {
    /// The mediator's own network namespace, which is the session's.
    network: u64,
    /// Whether that is nobody's but the session's.
    is_own: bool,
    /// Whether the session has sockets of a network at all.
    has_network: bool,
    /// The devices of directories in memory that nobody has but the session.
    in_memory: Vec<u64>,
    /// What policy grants, held so that their inodes' numbers stay theirs.
    granted: Vec<(OwnedFd, (u64, u64))>,
    /// The devices of all mounts, by the mounts' numbers. None is added later: nothing inside may mount.
    devices: HashMap<u64, u32>,
    /// Asks the kernel about sockets, where it can be asked: one question after the other. Nothing is asked of a file
    /// system meanwhile, which may not answer.
    diagnosis: Option<Mutex<OwnedFd>>,
    probe: Probe,
}

/// A datagram socket: connected to one of another kind it is refused, and with no other word. It is made before the
/// filter forbids that.
#[derive(Debug)]
struct Probe(OwnedFd);

impl Peers {
    /// Looks around in the session that was built. The process is to stand in `proc`, the caller's `/proc`,
    /// from now on: that is where descriptors have names.
    pub(super) fn of(
        plan: &Plan,
        in_memory: Vec<u64>,
        proc: BorrowedFd<'_>,
    ) -> Result<Self, Failure> {
        const STEP: &str = "look after unix sockets";
        rustix::process::fchdir(proc).step(STEP)?;
        let make =
            |family, kind, protocol| socket_with(family, kind, SocketFlags::CLOEXEC, protocol);
        let probe = make(AddressFamily::UNIX, SocketType::DGRAM, None).step(STEP)?;
        let protocol = Some(netlink::SOCK_DIAG);
        let diagnosis = make(AddressFamily::NETLINK, SocketType::RAW, protocol).ok();
        // Without namespaces the network that the kernel would be asked about is the host's.
        let has_own = plan.confinement.level == Level::Full;
        let granted = plan.confinement.sockets.iter().cloned();
        let granted = granted.chain(plan.signing_inside());
        Ok(Self {
            network: sys::network_of(probe.as_fd()).step(STEP)?,
            is_own: has_own && plan.confinement.network.is_own(),
            has_network: has_own || plan.confinement.network != Network::Isolated,
            in_memory,
            granted: granted.filter_map(hold).collect(),
            devices: devices(&read("self/mountinfo").step(STEP)?),
            diagnosis: diagnosis.map(Mutex::new),
            probe: Probe(probe),
        })
    }

    /// Whether a socket is of the session's network, and not one that was handed in. Where that is the host's, and the
    /// session is to have none, only unix sockets are.
    pub(super) fn is_of_network(&self, socket: BorrowedFd<'_>) -> bool {
        let is_unix = || sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX);
        let is_of_session = self.has_network || is_unix();
        is_of_session && sys::network_of(socket).is_ok_and(|network| network == self.network)
    }

    /// Whom a socket in a directory leads to. `pinned` holds it, and is what is to be connected to after.
    pub(super) fn of_socket(&self, pinned: BorrowedFd<'_>) -> Result<Peer, Errno> {
        let stat = fs::fstat(pinned)?;
        if let Some(errno) = self.probe.cannot(pinned) {
            return Ok(Peer::Nobody(errno));
        }
        let inode = (stat.st_dev, stat.st_ino);
        if self.granted.iter().any(|(_, granted)| *granted == inode) {
            return Ok(Peer::Granted);
        }
        if self.in_memory.contains(&stat.st_dev) {
            return Ok(Peer::Session);
        }
        if !self.is_own || !is_told_by_number(pinned) {
            return Ok(Peer::Host);
        }
        let told = read(&format!("self/fdinfo/{}", pinned.as_raw_fd()))?;
        let Some(bound) = self.bound(&told) else {
            return Ok(Peer::Host);
        };
        let Some(diagnosis) = &self.diagnosis else {
            return Ok(Peer::Host);
        };
        let diagnosis = diagnosis.lock().unwrap_or_else(PoisonError::into_inner);
        let is_bound = diagnosis::is_bound(diagnosis.as_fd(), bound);
        match is_bound.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))? {
            true => Ok(Peer::Session),
            false => Ok(Peer::Host),
        }
    }

    /// How the kernel tells this inode, by what it says of a descriptor of it (proc_pid_fdinfo(5)).
    fn bound(&self, told: &str) -> Option<Bound> {
        let number = |name| {
            let line = told.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        Some(Bound {
            inode: u32::try_from(number("ino:")?).ok()?,
            device: *self.devices.get(&number("mnt_id:")?)?,
        })
    }
}

impl Probe {
    /// Why nobody could be connected to at what `pinned` holds; none where somebody can. Nobody hears of this:
    /// the kernel compares the kinds of sockets first, and a datagram socket only notes its peer. Several may try at
    /// once: what each is told does not depend on that peer.
    fn cannot(&self, pinned: BorrowedFd<'_>) -> Option<Errno> {
        let probe = self.0.as_fd();
        let tried = sys::connect(probe, &address_of(pinned));
        if tried.is_ok() {
            let _ = sys::connect(probe, &NOBODY);
        }
        match Errno::from_io_error(&tried.err()?)? {
            // Another kind of socket; one that takes datagrams from its own peer only.
            Errno::PROTOTYPE | Errno::PERM => None,
            errno => Some(errno),
        }
    }
}

/// Whether the kernel's word for an inode tells it from every other.
fn is_told_by_number(pinned: BorrowedFd<'_>) -> bool {
    let size = |system: &fs::StatFs| {
        let block = u64::try_from(system.f_bsize).ok()?;
        block.checked_mul(system.f_blocks)
    };
    fs::fstatfs(pinned).is_ok_and(|system| {
        size(&system).is_some_and(|size| are_numbers_short(system.f_type, size))
    })
}

/// Whether the low bits of inodes' numbers are all that there are on a file system of this kind and size.
fn are_numbers_short(kind: i64, size: u64) -> bool {
    let is_small = LONG_NUMBERS.contains(&kind) && size <= LARGEST;
    is_small || SHORT_NUMBERS.contains(&kind)
}

/// An address that leads to what a descriptor of ours holds, wherever that lies now.
pub(super) fn address_of(pinned: BorrowedFd<'_>) -> Vec<u8> {
    let family = u16::try_from(libc::AF_UNIX).unwrap_or(1);
    let path = format!("self/fd/{}\0", pinned.as_raw_fd());
    [family.to_ne_bytes().as_slice(), path.as_bytes()].concat()
}

/// What policy grants at a path; nothing where nothing is.
fn hold(path: impl rustix::path::Arg) -> Option<(OwnedFd, (u64, u64))> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let held = fs::openat(CWD, path, flags, Mode::empty()).ok()?;
    let stat = fs::fstat(&held).ok()?;
    Some((held, (stat.st_dev, stat.st_ino)))
}

fn read(path: &str) -> Result<String, Errno> {
    let file = fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match rustix::io::read(&file, &mut piece)? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            length => text.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
}

/// Reads `/proc/PID/mountinfo`: a mount's number comes first, its `major:minor` third.
fn devices(mounts: &str) -> HashMap<u64, u32> {
    let device = |line: &str| {
        let mut words = line.split(' ');
        let mount = words.next()?.parse().ok()?;
        let (major, minor) = words.nth(1)?.split_once(':')?;
        let (major, minor) = (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?);
        Some((mount, major << 20 | minor))
    };
    mounts.lines().filter_map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_no_number_is_longer_are_inodes_told_by_what_the_kernel_shows_of_it() {
        let (xfs, btrfs, ext4, nfs) = (0x5846_5342, 0x9123_683e, 0xef53, 0x6969);
        for (kind, size, are_short) in [
            (ext4, u64::MAX, true),
            (xfs, LARGEST, true),
            (xfs, LARGEST + 1, false),
            (btrfs, 1, false),
            (nfs, 1, false),
        ] {
            assert_eq!(are_numbers_short(kind, size), are_short, "{kind:#x} {size}");
        }
    }

    #[test]
    fn a_mounts_device_is_as_the_kernel_counts() {
        let read = devices(
            "27 1 254:3 / / rw,relatime - ext4 /dev/vda rw\nx\n30 25 0:27 / /a rw - tmpfs t rw\n",
        );
        assert_eq!(read, HashMap::from([(27, 254 << 20 | 3), (30, 27)]));
    }
}
