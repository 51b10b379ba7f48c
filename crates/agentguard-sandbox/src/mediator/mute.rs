//! Refusing what is started by a program that shows nothing of a child which it could not start.
//!
//! Most programs hand on what a refused child wrote on its standard error. Some gather it, and drop it where
//! the start itself fails, so that only the error's number is seen, and nobody learns the reason. For these the
//! start succeeds, and what it started is ended before its first instruction.

use rustix::process::{Pid, Signal, kill_process};

use super::exec::{Came, Worker};
use crate::sys::{Notification, Tracee};

impl Worker<'_> {
    /// Whether a caller's image is such a program.
    pub(super) fn is_mute(&self, caller: &str) -> bool {
        let name = caller.rsplit('/').next().unwrap_or(caller);
        self.shared.mute.iter().any(|mute| mute == name)
    }

    /// Lets the kernel go on with a call that is refused, traced, and ends what comes of it. Whatever image
    /// stands then is ended, also another one than was refused: nobody has to look at it.
    pub(super) fn end_as_it_starts(&self, notification: &Notification) {
        let listener = &self.shared.listener;
        let Ok(tracee) = Tracee::seize(notification.thread) else {
            listener.refuse(notification, libc::EACCES);
            return;
        };
        // Should the exec fail, it stops before it can ask again, and sees the kernel's own error.
        let _ = tracee.interrupt();
        listener.resume(notification);
        match self.wait(notification.thread) {
            Came::Image(process) => self.let_die(process),
            Came::Gone | Came::Back { .. } => {}
        }
    }

    /// Ends a process that stands before its first instruction, untraced: of one that dies traced some parents
    /// never learn, who look for its end only once. The signal is met before any instruction; where it is
    /// blocked or ignored, there is none to come to.
    fn let_die(&self, process: Pid) {
        if Tracee::strand(process).is_err() {
            return self.end(process);
        }
        let _ = kill_process(process, Signal::TERM);
        self.detach(process, 0);
    }
}
