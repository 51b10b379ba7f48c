//! Refusing what is started by a program that shows nothing of a child which it could not start.
//!
//! Most programs hand on what a refused child wrote on its standard error. Some gather it, and drop it where
//! the start itself fails, so that only the error's number is seen, and nobody learns the reason. For these the
//! start succeeds, and what it started is ended before its first instruction.

use rustix::process::Pid;

use super::exec::{Came, Worker};
use crate::sys::{Notification, Tracee};

impl Worker<'_> {
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
            Came::Image(process) => self.let_exit(process),
            Came::Gone | Came::Back { .. } => {}
        }
    }

    /// Lets a process that stands before its first instruction exit in its place, untraced, as it would where a
    /// shell could not execute its program. Of one that a signal ends not everybody shows what it had said.
    fn let_exit(&self, process: Pid) {
        match Tracee::replace_by_exit(process) {
            Ok(()) => self.detach(process, 0),
            Err(_) => self.end(process),
        }
    }
}
