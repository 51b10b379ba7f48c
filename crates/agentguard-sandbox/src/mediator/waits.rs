//! Connects that may wait: each has a thread of its own, so that nobody else waits with it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::gettid;

use super::exec::Shared;
use super::seats::Seats;
use crate::sys::{self, Notification};

/// More callers than this do not wait at once: a further one is told to try again.
const MOST: usize = 512;
/// How long a caller that was killed, or has a signal, may have to wait for that to be seen.
const PAUSE: Duration = Duration::from_millis(20);
/// How often workers that a file system keeps are looked for.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Waits {
    waiting: Mutex<Vec<Wait>>,
    is_any: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    /// Our thread; none before it runs.
    thread: Option<Pid>,
    asked: Notification,
}

impl Waits {
    /// Takes a place, if there is one left.
    pub(super) fn enter(&self, asked: &Notification) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MOST {
            return false;
        }
        waiting.push(Wait {
            thread: None,
            asked: *asked,
        });
        self.is_any.notify_one();
        true
    }

    /// Says that this thread is the one that waits.
    pub(super) fn begin(&self, asked: &Notification) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = waiting.iter_mut().filter(|wait| wait.asked.id == asked.id);
        own.by_ref().for_each(|wait| wait.thread = Some(gettid()));
    }

    /// Gives the place back: this thread is woken no more.
    pub(super) fn leave(&self, asked: &Notification) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|wait| wait.asked.id != asked.id);
    }

    /// Wakes whoever waits for a caller that is gone, or that a signal calls, for as long as the session
    /// lasts. A thread that was not waiting yet is woken the next time. Workers are looked after along with it.
    pub(super) fn watch(shared: &Arc<Shared>) {
        loop {
            Seats::look(shared);
            let mut waiting = shared
                .waits
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if waiting.is_empty() {
                let waited = shared.waits.is_any.wait_timeout(waiting, LONG_PAUSE);
                (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
            }
            for Wait { thread, asked } in waiting.iter() {
                let is_over = !shared.listener.still_waits(asked)
                    || shared.processes.has_signal(asked.thread);
                if let Some(thread) = thread.filter(|_| is_over) {
                    sys::wake(thread);
                }
            }
            let is_any = !waiting.is_empty();
            drop(waiting);
            if is_any {
                // Nobody tells that a caller is gone or called: it has to be looked at again.
                std::thread::sleep(PAUSE);
            }
        }
    }
}
