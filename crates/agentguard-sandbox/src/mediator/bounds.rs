//! Watches which of its bounds a session comes to, where the kernel counts for nobody else.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use agentguard_core::{Held, Level};

use crate::plan::Plan;
use crate::wire::Reached;

/// Private directories that lie in memory, each with a size of its own.
const IN_MEMORY: [&str; 2] = ["/tmp", "/dev/shm"];
/// How often processes are counted: it costs as much as there are.
const TURN: Duration = Duration::from_secs(1);

/// What the session has come to.
pub(super) struct Bounds {
    /// Whether the directories and `/proc` are the session's own: without namespaces they are everybody's, and
    /// tell nothing of it.
    are_own: bool,
    /// The bound on processes, where no cgroup tells of them.
    processes: Option<u64>,
    counted: Option<Instant>,
    reached: Reached,
}

impl Bounds {
    pub(super) fn of(plan: &Plan) -> Self {
        let limits = &plan.confinement.limits;
        Self {
            are_own: plan.confinement.level == Level::Full,
            processes: (limits.held == Held::Process).then_some(limits.processes),
            counted: None,
            reached: Reached::default(),
        }
    }

    /// Looks again. What was reached once stays reached.
    pub(super) fn look(&mut self) {
        if !self.are_own {
            return;
        }
        self.reached.temporary |= IN_MEMORY.into_iter().any(is_full);
        let is_due = |last: Instant| last.elapsed() >= TURN;
        if let Some(most) = self.processes
            && self.counted.is_none_or(is_due)
        {
            self.reached.processes |= processes() >= most;
            self.counted = Some(Instant::now());
        }
    }

    pub(super) fn reached(mut self) -> Reached {
        self.look();
        self.reached
    }
}

fn is_full(path: &str) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|stat| stat.f_bavail == 0 || stat.f_favail == 0)
}

/// Processes of the session, its pid 1 aside. Threads are not told apart here.
fn processes() -> u64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let count = entries
        .filter(|entry| is_process(&entry.file_name()))
        .count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn is_process(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name != "1" && name.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(are_own: bool, processes: Option<u64>) -> Bounds {
        Bounds {
            are_own,
            processes,
            counted: None,
            reached: Reached::default(),
        }
    }

    #[test]
    fn what_was_reached_once_stays_reached_and_is_looked_for_at_the_end() {
        assert!(bounds(true, Some(0)).reached().processes);
        assert!(!bounds(true, Some(u64::MAX)).reached().processes);
        assert!(!bounds(true, None).reached().processes);
        assert!(!bounds(false, Some(0)).reached().processes);
        let mut bounds = bounds(true, Some(u64::MAX));
        bounds.reached.processes = true;
        bounds.reached.temporary = true;
        let reached = bounds.reached();
        assert!(reached.processes && reached.temporary);
    }

    #[test]
    fn processes_are_all_numbers_but_that_of_who_reaps_them() {
        for (name, is_one) in [
            ("2", true),
            ("10", true),
            ("1", false),
            ("self", false),
            ("tty1", false),
            ("1a", false),
        ] {
            assert_eq!(is_process(OsStr::new(name)), is_one, "{name}");
        }
    }
}
