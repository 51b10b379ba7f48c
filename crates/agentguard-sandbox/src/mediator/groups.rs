//! Process groups of a session without namespaces: none of those outside is joined.
//!
//! Whoever writes to a terminal from behind, or ends as the last one that holds a group to its session, has the kernel
//! send signals to all of its group (termios(3), `TOSTOP`; setpgid(2)). No rule of Landlock's is asked about these.

use rustix::process::{Pid, test_kill_process_group};

use super::connect::low_and_whole;
use super::exec::Worker;
use crate::sys::{self, Notification};

impl Worker<'_> {
    /// Lets a process join a group of the session's, or begin one.
    pub(super) fn answer_group(&self, notification: &Notification) {
        let listener = &self.shared.listener;
        let [(process, _), (group, _), ..] = notification.arguments.map(low_and_whole);
        let [process, group] = [process, group].map(u32::cast_signed);
        let is_own = || {
            let caller = (process == 0).then(|| self.group_of_threads(notification.thread));
            caller.flatten().unwrap_or(process) == group
        };
        // Its arguments are registers: nobody changes them.
        match Some(group)
            .filter(|group| *group > 0)
            .and_then(Pid::from_raw)
        {
            // One that is not there yet may be somebody's outside a moment later.
            Some(there) if !is_the_sessions(there) && !is_own() => {
                listener.refuse(notification, libc::EPERM);
            }
            Some(_) | None => listener.resume(notification),
        }
    }

    fn group_of_threads(&self, thread: Pid) -> Option<i32> {
        let found = self.shared.processes.status(thread, "Tgid:")?;
        found.parse().ok()
    }
}

/// Whether this process may signal somebody in a group, and is not in it itself, as the guard is.
fn is_the_sessions(group: Pid) -> bool {
    Some(group) != sys::process_group() && test_kill_process_group(group).is_ok()
}
