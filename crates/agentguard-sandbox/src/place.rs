//! Keeps who asks and who answers on one processor: a question takes a few microseconds there, and many
//! times that where another processor has to be woken first.

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The processors of one thread: all that it may use, or the one it is held to.
#[derive(Debug)]
pub(crate) struct Place {
    all: Option<CpuSet>,
    held: Option<usize>,
}

impl Place {
    /// The calling thread's. Where the kernel does not say, nothing is ever changed.
    pub(crate) fn of_thread() -> Self {
        Self {
            all: sched_getaffinity(None).ok(),
            held: None,
        }
    }

    /// Where the calling thread runs now.
    pub(crate) fn now() -> usize {
        sched_getcpu()
    }

    /// Holds the calling thread to one processor. It is a matter of speed: what fails, fails silently.
    pub(crate) fn hold(&mut self, processor: usize) {
        let may = self
            .all
            .as_ref()
            .is_some_and(|all| processor < CpuSet::MAX_CPU && all.is_set(processor));
        if self.held == Some(processor) || !may {
            return;
        }
        let mut one = CpuSet::new();
        one.set(processor);
        if sched_setaffinity(None, &one).is_ok() {
            self.held = Some(processor);
        }
    }

    /// Lets the calling thread run anywhere again.
    pub(crate) fn release(&mut self) {
        if let (Some(all), Some(_)) = (&self.all, self.held.take()) {
            let _ = sched_setaffinity(None, all);
        }
    }
}
