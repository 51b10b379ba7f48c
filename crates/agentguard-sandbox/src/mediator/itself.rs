//! Calls that change how a process runs, and name it by a number: each may do so for itself, as with a zero.

use super::connect::low_and_whole;
use super::exec::Worker;
use crate::sys::Notification;

/// Which of a call's arguments is the number.
const fn numbered(call: libc::c_long) -> usize {
    match call {
        libc::SYS_setpriority | libc::SYS_ioprio_set => 1,
        _ => 0,
    }
}

impl Worker<'_> {
    /// Answers a call that names a process, or a thread, by its number.
    ///
    /// Numbers are given anew, but not those of a thread that waits, nor its process's. That of another thread could
    /// be somebody else's by the time that the call goes on.
    pub(super) fn answer_of_itself(&self, notification: &Notification) {
        let shared = self.shared;
        let argument = notification.arguments.get(numbered(notification.number));
        let named = argument.map(|argument| low_and_whole(*argument).0.cast_signed());
        let is_own = |line| {
            let number = shared.processes.inside(notification.thread, line);
            number.and_then(|number| number.parse().ok()) == named
        };
        let is_nobodys = named.is_some_and(|number: i32| number < 0);
        match is_nobodys || is_own("NSpid:") || is_own("NStgid:") {
            // The number is a register: nobody changes it.
            true => shared.listener.resume(notification),
            false => shared.listener.refuse(notification, libc::EPERM),
        }
    }
}
