//! The session as a job of whoever started it: in front or behind at a terminal, stopped, and sent on.
//!
//! A shell stops, sends on and interrupts a job by its group, in which we are. The agent is in a session of its own, and
//! hears of it from here.

use std::cell::{Cell, OnceCell, RefCell};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::Error;
use crate::streams::Terminal;
use crate::sys::{self, Held, Signals};
use crate::wire::{FromGuard, send};

/// What of a session its job is about.
pub(crate) struct Job<'s> {
    control: BorrowedFd<'s>,
    signals: &'s Signals,
    terminal: Option<&'s Terminal>,
    /// The agent's first process, once it is there.
    agent: OnceCell<OwnedFd>,
    /// Signals that came before.
    early: RefCell<Vec<Held>>,
    /// Whether whoever has us as a job wants it stopped.
    is_to_stop: Cell<bool>,
}

impl<'s> Job<'s> {
    /// The job of a session whose mediator is at the other end of `control`.
    pub(crate) fn new(
        control: BorrowedFd<'s>,
        signals: &'s Signals,
        terminal: Option<&'s Terminal>,
    ) -> Self {
        Self {
            control,
            signals,
            terminal,
            agent: OnceCell::new(),
            early: RefCell::default(),
            is_to_stop: Cell::new(false),
        }
    }

    /// The agent's first process is this one. Whoever is in front by now hears what is typed: a key that stops or ends
    /// it would be lost before.
    pub(crate) fn begins(&self, agent: Pid) -> Result<(), Error> {
        if let Ok(handle) = pidfd_open(agent, PidfdFlags::empty()) {
            let _ = self.agent.set(handle);
        }
        for held in self.early.take() {
            self.pass(held)?;
        }
        match self.terminal.map(Terminal::come_forward) {
            // What it was told before may be true no more.
            Some(false) => self.tell(&FromGuard::Behind),
            Some(true) | None => Ok(()),
        }
    }

    /// The agent's first process, where it was there.
    pub(crate) fn into_agent(self) -> Option<OwnedFd> {
        self.agent.into_inner()
    }

    /// Can be read once signals came for us.
    pub(crate) fn signals(&self) -> BorrowedFd<'s> {
        self.signals.as_fd()
    }

    /// Can be read once somebody else was found in front.
    pub(crate) fn fallen(&self) -> Option<BorrowedFd<'s>> {
        self.terminal.map(Terminal::fallen)
    }

    /// Somebody else was found in front, so nobody of the session is.
    pub(crate) fn fall_behind(&self) -> Result<(), Error> {
        self.terminal
            .iter()
            .for_each(|terminal| terminal.forget_fallen());
        self.tell(&FromGuard::Behind)
    }

    /// Passes the signals on that came for us.
    pub(crate) fn pass_on(&self) -> Result<(), Error> {
        while let Some(held) = self.signals.next() {
            match held.number {
                libc::SIGCONT => self.go_on()?,
                libc::SIGWINCH => self.terminal.iter().for_each(|terminal| terminal.resize()),
                // They say who may use our terminal, which is no business of the agent's.
                libc::SIGTTIN | libc::SIGTTOU => {}
                number => {
                    if number == libc::SIGTSTP {
                        self.is_to_stop.set(true);
                    }
                    self.pass(held)?;
                }
            }
        }
        Ok(())
    }

    fn pass(&self, held: Held) -> Result<(), Error> {
        let Some(agent) = self.agent.get() else {
            self.early.borrow_mut().push(held);
            return Ok(());
        };
        if held.is_from_terminal {
            return self.tell(&FromGuard::Signal(held.number));
        }
        if let Some(signal) = Signal::from_named_raw(held.number) {
            let _ = pidfd_send_signal(agent, signal);
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), Error> {
        self.is_to_stop.set(false);
        let in_front = self.terminal.is_some_and(Terminal::come_forward);
        self.tell(&FromGuard::GoOn { in_front })
    }

    /// The agent was stopped: so are we, after giving the terminal back. Without a terminal of ours nobody is there to
    /// wake us: an agent could stop its guard, and the clock of its session with it.
    pub(crate) fn stop_too(&self, signal: Option<i32>) -> Result<(), Error> {
        let Some(terminal) = self.terminal else {
            return Ok(());
        };
        // Whom nobody outside wanted to stop asks for the terminal: by which signal says nothing, since some programs
        // catch those of the kernel, and stop by another.
        if !self.is_to_stop.take() {
            terminal.want();
            // Others may read what it writes, and it asks for the first time.
            if !terminal.is_forward() && terminal.come_forward() {
                return self.go_on();
            }
        }
        // Whoever reads at it is told its end, and would be stopped by nobody.
        if terminal.is_hung_up() && matches!(signal, Some(libc::SIGTTIN | libc::SIGTTOU)) {
            return self.go_on();
        }
        terminal.fall_back();
        // One that was not stopped has a terminal without a shell, at which the agent would not have been stopped by
        // this signal either.
        match sys::stop().map_err(Error::io("stop with the agent"))? {
            true => Ok(()), // it is told with the signal by which we went on
            false if signal == Some(libc::SIGTSTP) => self.go_on(),
            false => self.tell(&FromGuard::Behind),
        }
    }

    /// A mediator that is gone hears nothing more, and says so by its line.
    fn tell(&self, message: &FromGuard) -> Result<(), Error> {
        send(self.control, message).or_else(Error::unless_gone)
    }
}
