//! Requests that wait for a human, on the guard's side: they keep no line, and are told of on one of their own.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use agentguard_core::Permit;

use crate::guard::{Govern, Open, Refused};
use crate::wire::{self, Answer, Settled};
use crate::{Error, Ticket};

/// How soon an answer is seen. A human answers in seconds, and while nothing waits nobody looks.
const TURN: Duration = Duration::from_millis(100);

/// What waits of one gate's requests.
pub(crate) struct Held {
    line: Mutex<UnixStream>,
    waiting: Mutex<BTreeSet<Ticket>>,
}

impl Held {
    /// `line` leads to the gate.
    pub(crate) fn new(line: UnixStream) -> Self {
        Self {
            line: Mutex::new(line),
            waiting: Mutex::default(),
        }
    }

    /// A request waits. Whoever watches hears of it by `wake`.
    pub(crate) fn hold(&self, ticket: Ticket, wake: &Sender<()>) {
        self.waiting().insert(ticket);
        // Nobody watches any more only where the gate is being ended.
        let _ = wake.send(());
    }

    /// Whoever sent it does not wait any more.
    pub(crate) fn withdraw<G: Govern>(
        &self,
        (govern, open): (&G, &Open),
        ticket: Ticket,
    ) -> Result<(), Error> {
        match govern.withdraw(ticket) {
            Some(refused) => self.tell((govern, open), ticket, Err(refused)),
            None => Ok(()),
        }
    }

    /// Tells the gate what was settled, until nobody is left who could hold anything.
    pub(crate) fn watch<G: Govern>(
        &self,
        (govern, open): (&G, &Open),
        woken: &Receiver<()>,
    ) -> Result<(), Error> {
        loop {
            let is_idle = self.waiting().is_empty();
            let woken = match is_idle {
                true => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => woken.recv_timeout(TURN),
            };
            if woken == Err(RecvTimeoutError::Disconnected) {
                return Ok(());
            }
            for (ticket, settled) in govern.settled() {
                self.tell((govern, open), ticket, settled)?;
            }
        }
    }

    /// The gate is gone, and nobody waits any more.
    pub(crate) fn withdraw_all<G: Govern>(&self, govern: &G) {
        for ticket in std::mem::take(&mut *self.waiting()) {
            let _ = govern.withdraw(ticket);
        }
    }

    fn tell<G: Govern>(
        &self,
        (govern, open): (&G, &Open),
        ticket: Ticket,
        settled: Result<Permit<G::Action>, Refused>,
    ) -> Result<(), Error> {
        self.waiting().remove(&ticket);
        let answer = match settled {
            Ok(permit) => Answer::Permitted {
                entry: open.add(govern, permit),
            },
            Err(refused) => refused.into(),
        };
        let Ticket(ticket) = ticket;
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        match wire::send(&mut *line, &Settled { ticket, answer }) {
            Ok(()) => Ok(()),
            Err(error) if wire::is_end(&error) => Ok(()),
            Err(error) => Err(Error::io("answer the gate")(error)),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeSet<Ticket>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
