//! Where a thread runs. To wake one on another processor that is idle takes several times as long as to switch to it on
//! this one, so that whoever answers one question after the other does so best where it is asked.

use rustix::process::Pid;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

/// Where the thread runs that made it.
pub(crate) struct Seat {
    thread: Pid,
    /// Where it may run.
    anywhere: CpuSet,
    /// The one processor to which it keeps, if any.
    at: Option<u16>,
}

impl Seat {
    /// The calling thread runs wherever it may.
    pub(crate) fn new() -> Self {
        Self {
            thread: gettid(),
            // Of no processor it is known that it may run there: it stays as it is.
            anywhere: sched_getaffinity(None).unwrap_or_default(),
            at: None,
        }
    }

    /// Keeps the thread to a processor, where it may run there, or to none.
    pub(crate) fn keep_to(&mut self, to: Option<u16>) {
        if self.at == to {
            return;
        }
        let mut set = self.anywhere;
        if let Some(to) = to.map(usize::from) {
            if to >= CpuSet::MAX_CPU || !self.anywhere.is_set(to) {
                return;
            }
            set = CpuSet::new();
            set.set(to);
        }
        // Where it cannot be, nothing is lost but time.
        if sched_setaffinity(Some(self.thread), &set).is_ok() {
            self.at = to;
        }
    }

    /// To which it keeps.
    pub(crate) fn at(&self) -> Option<u16> {
        self.at
    }
}

/// What a thread does that was started by one that keeps to a processor, to run wherever that one could when this was made.
pub(crate) fn anywhere() -> impl Fn() + Send + Sync {
    let anywhere = sched_getaffinity(None);
    move || {
        if let Ok(anywhere) = &anywhere {
            let _ = sched_setaffinity(None, anywhere);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::sched_getcpu;

    use super::*;

    #[test]
    fn a_thread_keeps_to_a_processor_until_it_is_let_go() {
        let before = sched_getaffinity(None).unwrap();
        let mut seat = Seat::new();
        let all = (0..1024).filter(|cpu| before.is_set(usize::from(*cpu)));
        for cpu in all {
            seat.keep_to(Some(cpu));
            assert_eq!((seat.at(), sched_getcpu()), (Some(cpu), usize::from(cpu)));
        }
        let at = seat.at();
        for nowhere in [1023, 1024, u16::MAX] {
            seat.keep_to(Some(nowhere));
            assert_eq!(seat.at(), at);
        }
        seat.keep_to(None);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
