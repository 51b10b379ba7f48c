//! The calls that make names, read from whoever makes them.

use rustix::fs::OFlags;
use rustix::io::{Errno, Result};

use agentguard_core::MadeBy;

use crate::mediator::arguments::read_string;
use crate::mediator::caller::Named;
use crate::sys::{Notification, read_memory};

/// The kernel takes no longer path, its end included (`PATH_MAX`).
const LONGEST: usize = 4096;
/// `struct sockaddr_storage`: the kernel copies no more.
const LONGEST_ADDRESS: usize = 128;

/// A call, copied once: nothing of it is read again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Call {
    Open {
        named: Named,
        flags: OFlags,
        mode: u32,
    },
    Truncate {
        named: Named,
        length: u64,
    },
    Directory {
        named: Named,
        mode: u32,
    },
    Node {
        named: Named,
        mode: u32,
        device: u64,
    },
    Symlink {
        target: Vec<u8>,
        named: Named,
    },
    Link {
        from: Named,
        to: Named,
        flags: u32,
    },
    Rename {
        from: Named,
        to: Named,
        flags: u32,
    },
    Unlink {
        named: Named,
    },
    Socket(Naming),
}

/// A socket gets a name, or another address where that is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Naming {
    pub(super) number: i32,
    pub(super) named: Option<Named>,
    pub(super) address: Vec<u8>,
}

impl Call {
    /// Reads the call that waits.
    pub(super) fn read(notification: &Notification) -> Result<Self> {
        let [a, b, c, d, e, _] = notification.arguments;
        let reader = Reader(notification);
        let here = libc::AT_FDCWD;
        match notification.number {
            libc::SYS_openat => reader.open(number(a), b, bits(c), bits(d)),
            libc::SYS_truncate => reader.truncate(a, b),
            libc::SYS_mkdirat => reader.directory(number(a), b, bits(c)),
            libc::SYS_mknodat => reader.node(number(a), b, bits(c), d),
            libc::SYS_symlinkat => reader.symlink(a, number(b), c),
            libc::SYS_linkat => reader.link((number(a), b), (number(c), d), bits(e)),
            libc::SYS_renameat => reader.rename((number(a), b), (number(c), d), 0),
            libc::SYS_renameat2 => reader.rename((number(a), b), (number(c), d), bits(e)),
            // With `AT_REMOVEDIR` nobody asks.
            libc::SYS_unlinkat => reader.unlink(number(a), b),
            libc::SYS_bind => reader.socket(number(a), b, number(c)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => reader.open(here, a, bits(b), bits(c)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_creat => {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC;
                reader.open(here, a, flags.bits(), bits(b))
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir => reader.directory(here, a, bits(b)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mknod => reader.node(here, a, bits(b), c),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_symlink => reader.symlink(a, here, b),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_link => reader.link((here, a), (here, b), 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => reader.rename((here, a), (here, b), 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_unlink => reader.unlink(here, a),
            _ => Err(Errno::NOSYS),
        }
    }

    /// The word for what it does.
    pub(super) fn by(&self) -> MadeBy {
        match self {
            Self::Open { .. } | Self::Truncate { .. } => MadeBy::Open,
            Self::Directory { .. } => MadeBy::Mkdir,
            Self::Node { .. } | Self::Socket(_) => MadeBy::Mknod,
            Self::Symlink { .. } => MadeBy::Symlink,
            Self::Link { .. } => MadeBy::Link,
            // No place comes into being where one is taken away: of that nobody is told.
            Self::Rename { .. } | Self::Unlink { .. } => MadeBy::Rename,
        }
    }

    /// What the name is made from: the path it had, or where the link points.
    pub(super) fn from(&self) -> Option<&[u8]> {
        match self {
            Self::Symlink { target, .. } => Some(target),
            Self::Link { from, .. } | Self::Rename { from, .. } => Some(&from.path),
            Self::Open { .. }
            | Self::Truncate { .. }
            | Self::Directory { .. }
            | Self::Node { .. }
            | Self::Unlink { .. }
            | Self::Socket(_) => None,
        }
    }
}

struct Reader<'n>(&'n Notification);

impl Reader<'_> {
    /// As `unix_mkname_bsd` in net/unix/af_unix.c reads the name: from the family to the first zero.
    fn socket(&self, number: i32, address: u64, length: i32) -> Result<Call> {
        let length = usize::try_from(length).map_err(|_| Errno::INVAL)?;
        if length > LONGEST_ADDRESS {
            return Err(Errno::INVAL);
        }
        let mut copied = vec![0; length];
        match read_memory(self.0.thread, address, &mut copied) {
            Ok(read) if read == length => {}
            Ok(_) | Err(_) => return Err(Errno::FAULT),
        }
        let family = copied
            .first_chunk()
            .map(|family| u16::from_ne_bytes(*family));
        let is_unix = family.is_some_and(|family| i32::from(family) == libc::AF_UNIX);
        let name = copied.get(size_of::<u16>()..).filter(|_| is_unix);
        let path = name.and_then(|name| name.split(|byte| *byte == 0).next());
        let path = path.filter(|path| !path.is_empty()).map(<[u8]>::to_vec);
        Ok(Call::Socket(Naming {
            number,
            named: path.map(|path| Named { at: None, path }),
            address: copied,
        }))
    }

    fn open(&self, at: i32, path: u64, flags: u32, mode: u32) -> Result<Call> {
        Ok(Call::Open {
            named: self.named(at, path)?,
            flags: OFlags::from_bits_retain(flags),
            mode,
        })
    }

    fn truncate(&self, path: u64, length: u64) -> Result<Call> {
        let named = self.named(libc::AT_FDCWD, path)?;
        // The kernel takes it as a signed number (truncate(2), EINVAL).
        match i64::try_from(length) {
            Ok(_) => Ok(Call::Truncate { named, length }),
            Err(_) => Err(Errno::INVAL),
        }
    }

    fn directory(&self, at: i32, path: u64, mode: u32) -> Result<Call> {
        let named = self.named(at, path)?;
        Ok(Call::Directory { named, mode })
    }

    fn node(&self, at: i32, path: u64, mode: u32, device: u64) -> Result<Call> {
        Ok(Call::Node {
            named: self.named(at, path)?,
            mode,
            device,
        })
    }

    fn symlink(&self, target: u64, at: i32, path: u64) -> Result<Call> {
        let target = self.path(target)?;
        if target.is_empty() {
            return Err(Errno::NOENT);
        }
        let named = self.named(at, path)?;
        Ok(Call::Symlink { target, named })
    }

    fn link(&self, from: (i32, u64), to: (i32, u64), flags: u32) -> Result<Call> {
        Ok(Call::Link {
            from: self.named(from.0, from.1)?,
            to: self.named(to.0, to.1)?,
            flags,
        })
    }

    fn rename(&self, from: (i32, u64), to: (i32, u64), flags: u32) -> Result<Call> {
        Ok(Call::Rename {
            from: self.named(from.0, from.1)?,
            to: self.named(to.0, to.1)?,
            flags,
        })
    }

    fn unlink(&self, at: i32, path: u64) -> Result<Call> {
        let named = self.named(at, path)?;
        Ok(Call::Unlink { named })
    }

    fn named(&self, at: i32, path: u64) -> Result<Named> {
        Ok(Named {
            at: Some(at).filter(|number| *number != libc::AT_FDCWD),
            path: self.path(path)?,
        })
    }

    fn path(&self, address: u64) -> Result<Vec<u8>> {
        let read = read_string(self.0.thread, address);
        let path = read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::FAULT))?;
        if path.len() >= LONGEST {
            return Err(Errno::NAMETOOLONG);
        }
        Ok(path)
    }
}

/// The kernel takes descriptors, flags and modes as 32-bit numbers.
fn bits(register: u64) -> u32 {
    u32::try_from(register & 0xffff_ffff).unwrap_or(0)
}

fn number(register: u64) -> i32 {
    bits(register).cast_signed()
}
