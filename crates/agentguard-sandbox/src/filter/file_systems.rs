//! What file systems do by `ioctl`, past the calls that make names, and for others than whoever asks.
//!
//! # References
//!
//! - `btrfs_ioctl`, fs/btrfs/ioctl.c: a subvolume, with all that a snapshot has in it, is made by whoever may write in
//!   the directory; no hook of Landlock's sees it
//! - `ocfs2_reflink_ioctl`, fs/ocfs2/refcounttree.c: another name with the content of a file, both given by paths; no hook
//!   of Landlock's sees it
//! - `bch2_ioctl_subvolume_create`, fs/bcachefs/fs-ioctl.c (until Linux 6.17, and outside of it since): as btrfs
//! - Documentation/filesystems/fscrypt.rst: keys are added and removed by any user, for all of a file system

use super::{Refused, When, when};

const SUBVOLUMES: &str = "btrfs makes names by it, with all that is in a snapshot, and tells names that lie elsewhere: \
    nobody is asked";
const SNAPSHOTS: &str =
    "bcachefs makes names by it, with all that is in a snapshot: nobody is asked";
const REFLINKS: &str =
    "ocfs2 makes a name by it, with what a file holds that may be named anywhere: nobody is asked";
const ENCRYPTION: &str = "keys of an encrypted file system are the user's, in the session and outside: without \
    theirs, directories outside are closed";

/// The kinds of requests that btrfs has, three of which every file system knows: sharing what files hold.
pub(super) const OF_BTRFS: u64 = 0x9400;
pub(super) const KIND: u64 = 0xff00;
const CLONE: u64 = 0x4004_9409; // FICLONE, linux/fs.h
const CLONE_RANGE: u64 = 0x4020_940d; // FICLONERANGE
const DEDUPE_RANGE: u64 = 0xc018_9436; // FIDEDUPERANGE

/// The kind of requests that bcachefs has.
const OF_BCACHEFS: u64 = 0xbc00;
/// `OCFS2_IOC_REFLINK`.
const REFLINK: u64 = 0x6f04;

/// A request's kind and number, without the size of what it is about (linux/fscrypt.h).
const KIND_AND_NUMBER: u64 = 0xffff;
const SET_POLICY: u64 = 0x6613;
const ADD_KEY: u64 = 0x6617;
/// One's own, and with the last bit everybody's.
const REMOVE_KEY: u64 = 0x6618;

pub(super) const NO_SUBVOLUMES: Refused = when(
    libc::SYS_ioctl,
    &[
        When::Bits(1, KIND, OF_BTRFS),
        When::Not(1, CLONE),
        When::Not(1, CLONE_RANGE),
        When::Not(1, DEDUPE_RANGE),
    ],
    SUBVOLUMES,
);

pub(super) const NO_SNAPSHOTS: Refused = when(
    libc::SYS_ioctl,
    &[When::Bits(1, KIND, OF_BCACHEFS)],
    SNAPSHOTS,
);

pub(super) const NO_REFLINKS: Refused = when(
    libc::SYS_ioctl,
    &[When::Bits(1, KIND_AND_NUMBER, REFLINK)],
    REFLINKS,
);

pub(super) const NO_ENCRYPTION: Refused = when(
    libc::SYS_ioctl,
    &[When::Bits(1, KIND_AND_NUMBER, SET_POLICY)],
    ENCRYPTION,
);

pub(super) const NO_KEYS_ADDED: Refused = when(
    libc::SYS_ioctl,
    &[When::Bits(1, KIND_AND_NUMBER, ADD_KEY)],
    ENCRYPTION,
);

pub(super) const NO_KEYS_REMOVED: Refused = when(
    libc::SYS_ioctl,
    &[When::Bits(1, KIND_AND_NUMBER & !1, REMOVE_KEY)],
    ENCRYPTION,
);
