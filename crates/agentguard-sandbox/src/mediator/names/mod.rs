//! One name after another: what would come into being is found, judged where it is a place, and made here,
//! beneath the directory that was looked at.
//!
//! A call that makes a name is never let go on: what its pointers point to could be changed after it was
//! judged. What is made is made by this process, with the caller's user, root and Landlock rules, so that
//! the kernel's answer is the caller's. No directory moves between the look and the act: renames have the
//! tree for themselves, and whatever else makes names shares it. Each file system has a tree of its own, so that
//! one that does not answer holds nobody elsewhere.

mod call;
mod fetched;
mod look;
mod masks;
mod perform;
mod sockets;
mod trees;

use agentguard_core::{Making, OutcomeOf};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::process::Pid;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use self::call::Call;
pub(crate) use self::fetched::Fetched;
use self::look::{Coming, Places, What};
use self::masks::Masks;
use self::perform::{Existing, Opened};
use self::trees::{Tree, Trees};
use super::caller::Processes;
use super::exec::Worker;
use super::resolve::{Place, Resolver, kind};
use crate::error::Error;
use crate::plan::Plan;
use crate::root::Led;
use crate::sys::Notification;
use crate::wire::{Answer, FromWorker};

/// What is judged may be another place each time, where somebody keeps changing it.
const MOST_TRIES: usize = 8;
/// A name that is there and is not, again and again.
const MOST_TURNS: usize = 64;

/// What workers share about names.
#[derive(Debug)]
pub(super) struct Names {
    places: Places,
    masks: Masks,
    trees: Trees,
    /// The mask that the first process has.
    first_mask: u32,
    /// Whether anyone ever set another: until then everybody has the first one's.
    has_other_masks: AtomicBool,
}

impl Names {
    pub(super) fn of(plan: &Plan, led: Led, turns: Option<[OwnedFd; 2]>) -> Self {
        Self {
            places: Places::of(plan, led),
            masks: Masks::of(&plan.replaceable),
            trees: Trees::of(plan, turns),
            first_mask: own_mask(),
            has_other_masks: AtomicBool::new(false),
        }
    }

    /// Refuses a file that is masked, though no mount may cover it any more.
    pub(super) fn refuse_masked(&self, processes: &Processes, file: BorrowedFd<'_>) -> Result<()> {
        self.masks.refuse_file(processes, file)
    }

    /// Refuses a new image with such a file in it.
    pub(super) fn refuse_masked_image(&self, processes: &Processes, process: Pid) -> Result<()> {
        self.masks.refuse_image(processes, process)
    }

    /// Somebody is about to set this mask (umask(2)).
    pub(super) fn note_mask(&self, [mask, ..]: [u64; 6]) {
        const BITS: u64 = 0o777;
        if mask & BITS != u64::from(self.first_mask) {
            self.has_other_masks.store(true, Ordering::Release);
        }
    }
}

/// This process's mask, which the agent's first process was given. It can only be read by setting it: the caller
/// is single-threaded.
fn own_mask() -> u32 {
    let mask = rustix::process::umask(Mode::empty());
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

/// What is known to be allowed, and by which entry.
type Admitted = Vec<(Coming, u64)>;

/// What came of an attempt.
enum Attempt {
    /// It was done, or the kernel refused.
    Done(Result<Done>),
    /// These have to be judged first.
    Judge(Vec<Coming>),
    /// The caller is gone.
    Gone,
}

/// What a call returns.
enum Done {
    Nothing,
    /// A file that was made.
    New(OwnedFd),
    /// One that was there.
    File(OwnedFd),
    Waits(Existing),
}

thread_local! {
    /// The thread's mask, as last set.
    static MASK: Cell<Option<u32>> = const { Cell::new(None) };
}

impl Worker<'_> {
    /// Answers a call that makes a name.
    pub(super) fn answer_name(
        &self,
        notification: &Notification,
    ) -> std::result::Result<(), Error> {
        let call = match Call::read(notification) {
            Ok(call) => call,
            Err(errno) => {
                self.refuse_with(notification, errno);
                return Ok(());
            }
        };
        let is_open = matches!(&call, Call::Open { flags, .. } if flags.contains(OFlags::CREATE));
        if !is_open {
            self.shared.listener.wait_for_handed();
        }
        let mut admitted = Admitted::new();
        for _ in 0..MOST_TRIES {
            match self.attempt(notification, &call, &admitted) {
                Attempt::Done(result) => {
                    let told = self.tell_done(&admitted, result.as_ref().err().copied());
                    self.finish(notification, &call, result);
                    return told;
                }
                Attempt::Gone => return self.tell_done(&admitted, Some(Errno::INTR)),
                Attempt::Judge(coming) => {
                    for coming in coming {
                        match self.judge(notification.thread, &call, &coming)? {
                            Answer {
                                allow: true,
                                entry: Some(entry),
                                ..
                            } => admitted.push((coming, entry)),
                            answer => {
                                self.refuse_name(notification, &coming, &answer)?;
                                return self.tell_done(&admitted, Some(Errno::ACCESS));
                            }
                        }
                    }
                }
            }
        }
        // It was another place each time that it was looked at.
        self.refuse_with(notification, Errno::ACCESS);
        self.tell_done(&admitted, Some(Errno::ACCESS))
    }

    fn finish(&self, notification: &Notification, call: &Call, result: Result<Done>) {
        let listener = &self.shared.listener;
        let flags = match call {
            Call::Open { flags, .. } => *flags,
            Call::Truncate { .. }
            | Call::Directory { .. }
            | Call::Node { .. }
            | Call::Symlink { .. }
            | Call::Link { .. }
            | Call::Rename { .. }
            | Call::Unlink { .. }
            | Call::Socket(_) => OFlags::empty(),
        };
        match result {
            Ok(Done::Nothing) => listener.succeed(notification),
            Ok(Done::New(file)) => {
                let close_on_exec = flags.contains(OFlags::CLOEXEC);
                listener.hand_over_new(notification, file, close_on_exec);
            }
            Ok(Done::File(file)) => {
                listener.hand_over(notification, file, flags.contains(OFlags::CLOEXEC));
            }
            Ok(Done::Waits(file)) => {
                let processes = &self.shared.processes;
                let aside = file.open_aside(processes, listener, *notification, flags);
                if aside.is_err() {
                    self.refuse_with(notification, Errno::AGAIN);
                }
            }
            Err(errno) => self.refuse_with(notification, errno),
        }
    }

    fn refuse_with(&self, notification: &Notification, errno: Errno) {
        let listener = &self.shared.listener;
        listener.refuse(notification, errno.raw_os_error());
    }

    fn judge(
        &self,
        caller: Pid,
        call: &Call,
        coming: &Coming,
    ) -> std::result::Result<Answer, Error> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let program = self.shared.processes.link(caller, "exe");
        let making = Making {
            by: call.by(),
            path: text(&coming.within),
            place: coming.place.clone(),
            from: call.from().map(text),
            caller: program.unwrap_or_else(|| "unknown".to_owned()),
        };
        self.shared
            .seats
            .ask(&self.seat, &FromWorker::Name { making })
    }

    fn refuse_name(
        &self,
        notification: &Notification,
        coming: &Coming,
        answer: &Answer,
    ) -> std::result::Result<(), Error> {
        let shown = String::from_utf8_lossy(&coming.within);
        let telling = self.shared.told.tell(notification.thread, &shown, answer);
        self.refuse_with(notification, Errno::ACCESS);
        self.tell_unless_told(telling, answer)
    }

    fn tell_done(
        &self,
        admitted: &Admitted,
        failed: Option<Errno>,
    ) -> std::result::Result<(), Error> {
        for (_, entry) in admitted {
            let outcome = match failed {
                Some(errno) => OutcomeOf::Failed {
                    errno: errno.raw_os_error(),
                },
                None => OutcomeOf::Done,
            };
            self.tell_outcome(*entry, outcome)?;
        }
        Ok(())
    }

    /// Looks, and acts where nothing is left to be judged.
    fn attempt(&self, notification: &Notification, call: &Call, admitted: &Admitted) -> Attempt {
        let attempt = self.try_call(notification, call, admitted);
        match attempt {
            Ok(done) => Attempt::Done(Ok(done)),
            Err(Stopped::Errno(errno)) => Attempt::Done(Err(errno)),
            Err(Stopped::Judge(coming)) => Attempt::Judge(coming),
            Err(Stopped::Gone) => Attempt::Gone,
        }
    }

    fn try_call(
        &self,
        notification: &Notification,
        call: &Call,
        admitted: &Admitted,
    ) -> std::result::Result<Done, Stopped> {
        let attempting = Attempting {
            worker: self,
            notification,
            admitted,
        };
        let caller = notification.thread;
        let mut resolver = Resolver::new(&self.shared.processes, caller);
        match call {
            Call::Open { named, flags, mode } => {
                let place = resolver.place(named)?;
                attempting.open(&mut resolver, place, *flags, *mode)
            }
            Call::Truncate { named, length } => {
                let place = resolver.place(named)?;
                attempting.truncate(&mut resolver, place, *length)
            }
            Call::Directory { named, mode } => {
                let place = resolver.place(named)?;
                attempting.mask()?;
                let trees = attempting.trees(&place)?;
                let _held = hold(&trees, &place)?;
                attempting.may(&place, &What::Directory)?;
                perform::make_directory(&place, *mode)?;
                Ok(Done::Nothing)
            }
            Call::Node {
                named,
                mode,
                device,
            } => {
                let place = resolver.place(named)?;
                attempting.mask()?;
                let trees = attempting.trees(&place)?;
                let _held = hold(&trees, &place)?;
                attempting.may(&place, &What::File)?;
                perform::make_node(&place, *mode, *device)?;
                Ok(Done::Nothing)
            }
            Call::Symlink { target, named } => {
                let place = resolver.place(named)?;
                let trees = attempting.trees(&place)?;
                let _held = hold(&trees, &place)?;
                attempting.may(&place, &What::Link(target.clone()))?;
                perform::make_symlink(target, &place)?;
                Ok(Done::Nothing)
            }
            Call::Link { from, to, flags } => attempting.link(&mut resolver, from, to, *flags),
            Call::Rename { from, to, flags } => {
                let from = resolver.place(from)?;
                let to = resolver.place(to)?;
                attempting.rename(&from, &to, *flags)
            }
            Call::Unlink { named } => attempting.unlink(&resolver.place(named)?),
            Call::Socket(naming) => attempting.bind(&mut resolver, naming),
        }
    }
}

/// Why nothing was done.
enum Stopped {
    Errno(Errno),
    Judge(Vec<Coming>),
    Gone,
}

impl From<Errno> for Stopped {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// One attempt at one call.
struct Attempting<'a> {
    worker: &'a Worker<'a>,
    notification: &'a Notification,
    admitted: &'a Admitted,
}

impl Attempting<'_> {
    /// Goes on where everything that would come into being is allowed, and the caller still waits: what was
    /// read of it was then read of it.
    fn may(&self, place: &Place, what: &What) -> std::result::Result<(), Stopped> {
        let shared = self.worker.shared;
        shared
            .names
            .masks
            .refuse_name(&shared.processes, place, what)?;
        let mut coming = shared.names.places.coming(&shared.processes, place, what)?;
        coming.retain(|coming| !self.admitted.iter().any(|(known, _)| known == coming));
        if !coming.is_empty() {
            return Err(Stopped::Judge(coming));
        }
        if !shared.listener.still_waits(self.notification) {
            return Err(Stopped::Gone);
        }
        Ok(())
    }

    /// What a name at `place` shares, and a rename there has to itself.
    fn trees(&self, place: &Place) -> Result<Vec<Tree>> {
        let shared = self.worker.shared;
        let trees = &shared.names.trees;
        trees.around(&shared.processes, &[place.parent.as_fd()])
    }

    /// Takes on the caller's mask. The thread has one of its own.
    fn mask(&self) -> Result<()> {
        let shared = self.worker.shared;
        let mask = match shared.names.has_other_masks.load(Ordering::Acquire) {
            false => shared.names.first_mask,
            true => {
                let mask = shared.processes.umask(self.notification.thread);
                mask.ok_or(Errno::SRCH)?
            }
        };
        if MASK.get() != Some(mask) {
            rustix::process::umask(Mode::from_raw_mode(mask));
            MASK.set(Some(mask));
        }
        Ok(())
    }

    /// Before anything is made: what could not be handed in would stay behind.
    fn room(&self) -> Result<()> {
        let processes = &self.worker.shared.processes;
        match processes.has_room(self.notification.thread)? {
            true => Ok(()),
            false => Err(Errno::MFILE),
        }
    }

    fn open(
        &self,
        resolver: &mut Resolver<'_>,
        mut place: Place,
        flags: OFlags,
        mode: u32,
    ) -> std::result::Result<Done, Stopped> {
        self.room()?;
        if !flags.contains(OFlags::CREATE) {
            return self.open_there(resolver, place, flags);
        }
        self.mask()?;
        for _ in 0..MOST_TURNS {
            let trees = self.trees(&place)?;
            let held = hold(&trees, &place)?;
            self.may(&place, &What::File)?;
            match perform::create(&place, flags, mode) {
                Err(Errno::EXIST) if !flags.contains(OFlags::EXCL) => {}
                created => return Ok(Done::New(created?)),
            }
            // What is there gets no name by being opened.
            drop(held);
            let existing = match Existing::at(&place) {
                Ok(existing) => existing,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno.into()),
            };
            match self.follow(resolver, (place, existing), flags)? {
                ControlFlow::Break(done) => return Ok(done),
                ControlFlow::Continue(further) => place = further,
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Opens what is there, and makes nothing.
    fn open_there(
        &self,
        resolver: &mut Resolver<'_>,
        mut place: Place,
        flags: OFlags,
    ) -> std::result::Result<Done, Stopped> {
        loop {
            let existing = Existing::at(&place)?;
            match self.follow(resolver, (place, existing), flags)? {
                ControlFlow::Break(done) => return Ok(done),
                ControlFlow::Continue(further) => place = further,
            }
        }
    }

    fn truncate(
        &self,
        resolver: &mut Resolver<'_>,
        place: Place,
        length: u64,
    ) -> std::result::Result<Done, Stopped> {
        match self.open_there(resolver, place, OFlags::WRONLY)? {
            Done::File(file) => fs::ftruncate(&file, length)?,
            Done::New(_) | Done::Waits(_) | Done::Nothing => return Err(Errno::INVAL.into()),
        }
        Ok(Done::Nothing)
    }

    /// Opens what is at a place, or says where the link leads that is there.
    fn follow(
        &self,
        resolver: &mut Resolver<'_>,
        (place, existing): (Place, Existing),
        flags: OFlags,
    ) -> std::result::Result<ControlFlow<Done, Place>, Stopped> {
        if !existing.is_link() {
            return self.open_existing(existing, flags).map(ControlFlow::Break);
        }
        if flags.contains(OFlags::NOFOLLOW) {
            return Err(Errno::LOOP.into());
        }
        if existing.is_of_proc()? {
            let held = Existing::of(resolver.held(place.parent.as_fd(), &place.name)?)?;
            return self.open_existing(held, flags).map(ControlFlow::Break);
        }
        Ok(ControlFlow::Continue(resolver.place_of_link(place)?))
    }

    /// Opens what is there, whatever path led to it. What is written to may be at a place and held by nothing: a mount
    /// goes with the file that it holds, when somebody outside puts another in its place (rename(2) of Linux 3.18).
    fn open_existing(
        &self,
        existing: Existing,
        flags: OFlags,
    ) -> std::result::Result<Done, Stopped> {
        let shared = self.worker.shared;
        let names = &shared.names;
        names.refuse_masked(&shared.processes, existing.as_fd())?;
        if (flags & OFlags::ACCMODE).is_empty() && !flags.contains(OFlags::TRUNC) {
            return self.open_held(existing, flags);
        }
        for _ in 0..MOST_TURNS {
            let Some(place) = self.place_of(&existing)? else {
                return self.open_held(existing, flags);
            };
            let trees = self.trees(&place)?;
            let _together = trees::share(&trees)?;
            if existing.is_at(&place) == Ok(true) {
                self.may(&place, &What::File)?;
                return self.open_held(existing, flags);
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Where in the workspace a file is, where it is one that a mount may have held and does not.
    fn place_of(&self, existing: &Existing) -> Result<Option<Place>> {
        let shared = self.worker.shared;
        for _ in 0..MOST_TURNS {
            if !existing.is_unheld()? {
                return Ok(None);
            }
            let path = shared.processes.path_of_bytes(existing.as_fd())?;
            if !shared.names.places.has(&path) {
                return Ok(None);
            }
            match Resolver::place_of(&path) {
                // It got another name meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                place => return place.map(Some),
            }
        }
        Err(Errno::AGAIN)
    }

    fn open_held(&self, existing: Existing, flags: OFlags) -> std::result::Result<Done, Stopped> {
        let processes = &self.worker.shared.processes;
        match existing.open(processes, self.notification.thread, flags)? {
            Opened::Here(file) => Ok(Done::File(file)),
            Opened::Waits(existing) => Ok(Done::Waits(existing)),
        }
    }

    fn link(
        &self,
        resolver: &mut Resolver<'_>,
        from: &super::caller::Named,
        to: &super::caller::Named,
        flags: u32,
    ) -> std::result::Result<Done, Stopped> {
        let flags = AtFlags::from_bits_retain(flags);
        let known = AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH;
        if !(flags - known).is_empty() {
            return Err(Errno::INVAL.into());
        }
        let processes = &self.worker.shared.processes;
        let file = match (from.path.is_empty(), flags.contains(AtFlags::EMPTY_PATH)) {
            (true, true) => {
                let number = from.at.ok_or(Errno::ISDIR)?;
                let link = format!("fd/{number}");
                let opened = processes.follow(self.notification.thread, &link, OFlags::PATH);
                opened.map_err(|_| Errno::BADF)?
            }
            (true, false) => return Err(Errno::NOENT.into()),
            (false, _) => resolver.file(from, flags.contains(AtFlags::SYMLINK_FOLLOW))?,
        };
        let place = resolver.place(to)?;
        let names = &self.worker.shared.names;
        names.refuse_masked(processes, file.as_fd())?;
        let file = Existing::of(file)?;
        if let Some(from) = self.place_of(&file)?
            && self.may(&from, &What::File).is_err()
        {
            // As over the mount that held it: by another name its content could be changed.
            return Err(Errno::XDEV.into());
        }
        let what = match kind(file.as_fd())? {
            FileType::Symlink => link_at(file.as_fd())?,
            FileType::RegularFile
            | FileType::Directory
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => What::File,
        };
        let trees = self.trees(&place)?;
        let _held = hold(&trees, &place)?;
        self.may(&place, &what)?;
        perform::link_held(processes, file.as_fd(), &place)?;
        Ok(Done::Nothing)
    }

    fn unlink(&self, place: &Place) -> std::result::Result<Done, Stopped> {
        let shared = self.worker.shared;
        let masks = &shared.names.masks;
        masks.refuse_removal(&shared.processes, place)?;
        if !shared.listener.still_waits(self.notification) {
            return Err(Stopped::Gone);
        }
        perform::unlink(place)?;
        Ok(Done::Nothing)
    }

    fn rename(&self, from: &Place, to: &Place, flags: u32) -> std::result::Result<Done, Stopped> {
        let shared = self.worker.shared;
        let parents = [from.parent.as_fd(), to.parent.as_fd()];
        let trees = shared.names.trees.around(&shared.processes, &parents)?;
        let _alone = trees::have(&trees)?;
        let masks = &shared.names.masks;
        masks.refuse_move(&shared.processes, from)?;
        match flags & libc::RENAME_EXCHANGE {
            0 => masks.refuse_removal(&shared.processes, to)?,
            _ => masks.refuse_move(&shared.processes, to)?,
        }
        if let Some(what) = what_is(from)? {
            self.may(to, &what)?;
        }
        if flags & libc::RENAME_EXCHANGE != 0
            && let Some(what) = what_is(to)?
        {
            self.may(from, &what)?;
        }
        perform::rename(from, to, flags)?;
        Ok(Done::Nothing)
    }
}

/// Shares the trees with others that make names. Where a directory could become a repository by the name, they are had
/// alone: of two parts that are made at the same moment, neither would be the last one to whoever looks.
fn hold<'t>(trees: &'t [Tree], place: &Place) -> Result<trees::Held<'t>> {
    trees::hold(trees, look::is_part(place.plain_name()))
}

/// What a name stands for; nothing where the kernel will say that it does not.
fn what_is(place: &Place) -> Result<Option<What>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = super::resolve::os(place.plain_name());
    let found = match fs::openat(&place.parent, name, flags, Mode::empty()) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    Ok(Some(match kind(found.as_fd())? {
        FileType::Directory => What::Tree(found),
        FileType::Symlink => link_at(found.as_fd())?,
        FileType::RegularFile
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => What::File,
    }))
}

/// A link that is held, with where it points.
fn link_at(link: BorrowedFd<'_>) -> Result<What> {
    let target = fs::readlinkat(link, "", Vec::new())?;
    Ok(What::Link(target.into_bytes()))
}
