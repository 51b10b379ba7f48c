//! The terminal that we have, and the session's own.
//!
//! The kernel asks who is in front only of whoever has the terminal for its own, and holds no signal of it: a process that
//! left the terminal's session reads what is typed there, be it meant for others, and turns its modes. So the agent never
//! has ours. While we are in front, and the session asks for it, what is typed goes on to a terminal of its own as it
//! is; what each key means is for that one to say. What the session writes there is shown on ours.
//!
//! # References
//!
//! - pty(7); termios(3), "Raw mode"; ioctl_tty(2)
//! - credentials(7), "Process group and session"

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::{Errno, read, write};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

use super::carry::{Ends, Unwritten};

/// So much is read at once.
const MOST: usize = 4096;
/// So often what a session wrote is shown before it stops, at most: it may write for ever.
const LAST: usize = 64;
/// So many lines are taken at once: each is a byte at least of what a terminal keeps.
const LINES: usize = 4096;

/// Both terminals.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// Ours, opened for us alone, so that its flags are nobody else's.
    outer: OwnedFd,
    /// Tells whoever carries that there is something else to wait for.
    changed: OwnedFd,
    /// Can be read once somebody else was found in front.
    fallen: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The end of the session's at which somebody would sit; none once ours was hung up.
    inner: Option<Arc<OwnedFd>>,
    /// What was typed and is not there yet.
    typed: Vec<u8>,
    /// What was written and is not here yet.
    written: Vec<u8>,
    /// Whether what is typed is the session's.
    is_forward: bool,
    /// Whether it is to be, where we are in front.
    is_wanted: bool,
    /// The modes of ours, as they were, and as they were made of that.
    modes: Option<(Termios, Termios)>,
}

/// What came of moving what can be moved.
#[derive(Eq, PartialEq)]
enum Moved {
    /// There may be more.
    Some,
    /// All that was written is shown.
    Dry,
    /// Ours is gone, and so is the session's by now.
    HungUp,
}

impl Terminal {
    /// Makes a terminal for the session that is as ours, where one controls us. Returns the agent's end too.
    pub(super) fn make(is_wanted: bool) -> Result<Option<(Self, OwnedFd)>, Errno> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Without a terminal, or a name of it: whether a stream is one all the same is looked at there.
        let Ok(outer) = open("/dev/tty", flags, Mode::empty()) else {
            return Ok(None);
        };
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let inner = openpt(flags)?;
        unlockpt(&inner)?;
        let theirs = ioctl_tiocgptpeer(&inner, flags)?;
        tcsetattr(&theirs, OptionalActions::Now, &tcgetattr(&outer)?)?;
        tcsetwinsize(&inner, tcgetwinsize(&outer)?)?;
        fcntl_setfl(&inner, OFlags::RDWR | OFlags::NONBLOCK)?;
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let terminal = Self {
            outer,
            changed: event()?,
            fallen: event()?,
            state: Mutex::new(State {
                inner: Some(Arc::new(inner)),
                typed: Vec::new(),
                written: Vec::new(),
                is_forward: false,
                is_wanted,
                modes: None,
            }),
        };
        Ok(Some((terminal, theirs)))
    }

    /// Whether what is typed can be the session's: it is to be, and we are in front.
    pub(crate) fn can_come_forward(&self) -> bool {
        self.is_there(&self.lock())
    }

    /// Lets what is typed be the session's, where it can be. Returns whether it is.
    pub(crate) fn come_forward(&self) -> bool {
        let mut state = self.lock();
        // Somebody may have stopped us and set it as it was since.
        if !self.is_there(&state) || self.make_raw(&mut state).is_err() {
            return false;
        }
        state.is_forward = true;
        self.copy_size(&state);
        drop(state);
        tell(&self.changed);
        true
    }

    /// The session asks for it, from here on.
    pub(crate) fn want(&self) {
        self.lock().is_wanted = true;
    }

    /// Shows what the session wrote, and gives ours back as it was.
    pub(crate) fn fall_back(&self) {
        let mut state = self.lock();
        for _ in 0..LAST {
            if self.move_written(&mut state) != Moved::Some {
                break;
            }
        }
        // Modes that are not what we made of them are somebody else's by now: another session's that has it too.
        if std::mem::take(&mut state.is_forward)
            && self.is_in_front()
            && let Some((before, ours)) = &state.modes
            && tcgetattr(&self.outer).is_ok_and(|now| is_same(&now, ours))
        {
            let _ = tcsetattr(&self.outer, OptionalActions::Now, before);
        }
    }

    pub(crate) fn is_forward(&self) -> bool {
        self.lock().is_forward
    }

    /// Can be read once somebody else was found in front.
    pub(crate) fn fallen(&self) -> BorrowedFd<'_> {
        self.fallen.as_fd()
    }

    /// It is known that somebody else is in front.
    pub(crate) fn forget_fallen(&self) {
        hear(&self.fallen);
    }

    /// Makes the session's as large as ours.
    pub(crate) fn resize(&self) {
        self.copy_size(&self.lock());
    }

    /// Carries until everything inside is dead and what it wrote is shown, or ours is hung up.
    pub(super) fn carry(&self, ends: &Ends) -> Result<(), Unwritten> {
        let (mut is_over, mut is_left) = (false, false);
        loop {
            let (inner, at_outer, at_inner) = {
                let mut state = self.lock();
                match self.move_all(&mut state) {
                    Moved::Dry if is_over => return Ok(()),
                    Moved::HungUp => return Ok(()),
                    Moved::Some | Moved::Dry => {}
                }
                let Some(inner) = state.inner.clone() else {
                    return Ok(());
                };
                let (at_outer, at_inner) = state.waited_for();
                (inner, at_outer, at_inner)
            };
            let end = match is_over {
                true => &ends.patience,
                false => &ends.session,
            };
            // One that everybody left says so for ever.
            let asked = match at_inner.is_empty() || is_left {
                true => PollFd::new(&self.changed, PollFlags::empty()),
                false => PollFd::new(&inner, at_inner),
            };
            let mut polled = [
                PollFd::new(&self.outer, at_outer),
                asked,
                PollFd::new(&self.changed, PollFlags::IN),
                PollFd::new(end, PollFlags::empty()),
            ];
            let waited = poll(&mut polled, None);
            let [outer, inner, changed, end] = polled.map(|one| one.revents());
            match waited {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(unwritten(error)),
            }
            if !changed.is_empty() {
                hear(&self.changed);
            }
            is_left |= at_inner.contains(PollFlags::IN) && inner == PollFlags::HUP;
            if outer.intersects(PollFlags::HUP | PollFlags::ERR) {
                self.lock().hang_up();
                return Ok(());
            }
            if !end.is_empty() {
                if is_over {
                    return Err(unwritten(Errno::TIMEDOUT));
                }
                is_over = true;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_there(&self, state: &State) -> bool {
        state.is_wanted && state.inner.is_some() && self.is_in_front()
    }

    /// Asked of the kernel, whatever numbers there are here for groups: who reads from behind gets an error, since the
    /// signal that says so is held.
    fn is_in_front(&self) -> bool {
        read(&self.outer, &mut [0_u8; 0]) != Err(Errno::IO)
    }

    /// Whether nobody can sit at ours any more.
    pub(crate) fn is_hung_up(&self) -> bool {
        let mut polled = [PollFd::new(&self.outer, PollFlags::empty())];
        let polled = poll(&mut polled, Some(&Timespec::default())).map(|_| polled[0].revents());
        polled.is_ok_and(|events| events.intersects(PollFlags::HUP | PollFlags::ERR))
    }

    fn make_raw(&self, state: &mut State) -> Result<(), Errno> {
        let now = tcgetattr(&self.outer)?;
        // Where nobody put them back since, they are not what they were.
        let before = match state.modes.take() {
            Some((before, ours)) if is_same(&now, &ours) => before,
            Some(_) | None => now,
        };
        self.take_lines(state, &before);
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&self.outer, OptionalActions::Now, &raw)?;
        // As its driver took them.
        let ours = tcgetattr(&self.outer).unwrap_or(raw);
        state.modes = Some((before, ours));
        Ok(())
    }

    /// Takes what was typed so far, line by line: once it is raw an end that was typed is a zero among the others.
    fn take_lines(&self, state: &mut State, before: &Termios) {
        if !before.local_modes.contains(LocalModes::ICANON) {
            return;
        }
        for _ in 0..LINES {
            match read_to(&self.outer, &mut state.typed) {
                Ok(0) => state
                    .typed
                    .push(before.special_codes[SpecialCodeIndex::VEOF]),
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn copy_size(&self, state: &State) {
        if let (Some(inner), Ok(size)) = (&state.inner, tcgetwinsize(&self.outer)) {
            let _ = tcsetwinsize(inner, size);
        }
    }

    fn move_all(&self, state: &mut State) -> Moved {
        if state.is_forward && state.typed.is_empty() {
            let typed = read_to(&self.outer, &mut state.typed);
            if typed == Err(Errno::IO) {
                // One that is being hung up says the same as one at which somebody else is in front.
                if self.is_hung_up() {
                    state.hang_up();
                    return Moved::HungUp;
                }
                state.is_forward = false;
                tell(&self.fallen);
            }
        }
        if let Some(inner) = &state.inner {
            match write(inner, &state.typed) {
                Ok(count) => drop(state.typed.drain(..count)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Nobody has it any more.
                Err(_) => state.typed.clear(),
            }
        }
        self.move_written(state)
    }

    fn move_written(&self, state: &mut State) -> Moved {
        let Some(inner) = state.inner.clone() else {
            return Moved::HungUp;
        };
        let has_more = match state.written.is_empty() {
            true => matches!(
                read_to(&inner, &mut state.written),
                Ok(1..) | Err(Errno::INTR)
            ),
            false => true,
        };
        match write(&self.outer, &state.written) {
            Ok(count) => drop(state.written.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                state.hang_up();
                return Moved::HungUp;
            }
        }
        match has_more {
            true => Moved::Some,
            false => Moved::Dry,
        }
    }
}

impl State {
    /// What to wait for at ours, and at the session's.
    fn waited_for(&self) -> (PollFlags, PollFlags) {
        let (mut outer, mut inner) = (PollFlags::empty(), PollFlags::empty());
        match self.typed.is_empty() {
            true => outer.set(PollFlags::IN, self.is_forward),
            false => inner |= PollFlags::OUT,
        }
        match self.written.is_empty() {
            true => inner |= PollFlags::IN,
            false => outer |= PollFlags::OUT,
        }
        (outer, inner)
    }

    /// The kernel tells the session, once nobody holds this end.
    fn hang_up(&mut self) {
        self.inner = None;
    }
}

fn read_to(from: &OwnedFd, waiting: &mut Vec<u8>) -> Result<usize, Errno> {
    let mut bytes = [0; MOST];
    let count = read(from, &mut bytes)?;
    waiting.extend_from_slice(bytes.get(..count).unwrap_or_default());
    Ok(count)
}

fn is_same(one: &Termios, other: &Termios) -> bool {
    let modes = |of: &Termios| {
        (
            of.input_modes,
            of.output_modes,
            of.control_modes,
            of.local_modes,
        )
    };
    modes(one) == modes(other)
}

fn tell(event: &OwnedFd) {
    let _ = write(event, &1_u64.to_ne_bytes());
}

fn hear(event: &OwnedFd) {
    let _ = read(event, &mut [0_u8; 8]);
}

fn unwritten(error: Errno) -> Unwritten {
    Unwritten {
        stream: "the terminal",
        error: error.into(),
    }
}
