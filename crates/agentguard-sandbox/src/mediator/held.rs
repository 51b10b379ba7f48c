//! Execs that wait for a human: each has a thread of its own, so that no worker waits with it.

use std::sync::Arc;
use std::time::Duration;

use agentguard_core::Exec;

use super::exec::{Worker, differs};
use super::seats::Seat;
use crate::sys::Notification;
use crate::wire::{Answer, FromWorker};

/// How soon an answer, or the end of whoever asked, is seen. A human answers in seconds.
const TURN: Duration = Duration::from_millis(100);

impl Worker<'_> {
    /// Leaves a call to a thread that waits until a human has answered, or the caller is gone.
    pub(super) fn hold(&self, asked: &Notification, exec: Exec, (ticket, is_first): (u64, bool)) {
        let (shared, asked) = (Arc::clone(self.shared), *asked);
        let wait = move || {
            let worker = Worker {
                shared: &shared,
                seat: Seat::new(None),
            };
            worker.wait_for_human(&asked, exec, (ticket, is_first));
        };
        let thread = std::thread::Builder::new().name("held".to_owned());
        if thread.spawn(wait).is_err() {
            self.withdraw(ticket);
            self.shared.listener.refuse(&asked, libc::EAGAIN);
        }
    }

    fn wait_for_human(&self, asked: &Notification, exec: Exec, (ticket, is_first): (u64, bool)) {
        let shared = self.shared;
        let question = FromWorker::Waits { ticket, is_first };
        let answer = loop {
            // For the human; nobody tells that one has answered, or that a caller is gone.
            std::thread::sleep(TURN);
            if !shared.listener.still_waits(asked) {
                return self.withdraw(ticket);
            }
            match shared.seats.ask(&self.seat, &question) {
                Ok(answer) if answer.held.is_some() => {}
                Ok(answer) => break answer,
                // The guard is gone, and the session ends.
                Err(_) => return shared.listener.refuse(asked, libc::EACCES),
            }
        };
        // From here on it is at work as a worker is, and can be kept by a file system.
        self.seat.begin(asked);
        shared.seats.add(&self.seat);
        let done = match answer.entry.filter(|_| answer.allow) {
            Some(entry) => self.go_on(asked, (exec, entry), is_first),
            None => self.refuse(asked, &exec, &answer, is_first),
        };
        if done.is_err() {
            shared.listener.refuse(asked, libc::EACCES);
        }
        self.seat.end();
        shared.seats.leave(&self.seat);
    }

    fn withdraw(&self, ticket: u64) {
        self.shared.seats.tell(&FromWorker::Withdrawn { ticket });
    }
}

/// What the agent is told where what was approved is not there any more.
pub(super) fn changed(entry: u64) -> Answer {
    let rule = differs().id;
    let text = format!(
        "agentguard: refused: what a human approved changed while it waited (rule `{rule}`)\n\
         agentguard: note: entry {entry}\n"
    );
    Answer {
        allow: false,
        entry: Some(entry),
        rule: rule.as_str().to_owned(),
        text,
        held: None,
    }
}
