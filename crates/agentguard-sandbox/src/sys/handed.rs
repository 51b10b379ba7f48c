//! Files that callers have already, and this process still holds for a moment.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A file whose file system does not answer is closed when that does, and not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// By the kernel's names for the questions that they answer.
#[derive(Debug, Default)]
pub(super) struct Handed {
    held: Mutex<Held>,
    let_go: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    questions: Vec<u64>,
    waiting: usize,
}

impl Handed {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is handed over from now on.
    pub(super) fn hold(&self, question: u64) {
        self.lock().questions.push(question);
    }

    /// It is held no more.
    pub(super) fn let_go(&self, question: u64) {
        let mut held = self.lock();
        held.questions.retain(|other| *other != question);
        if held.waiting > 0 {
            self.let_go.notify_all();
        }
    }

    /// Waits until none is held of those that are by now.
    pub(super) fn wait(&self) {
        let mut held = self.lock();
        if held.questions.is_empty() {
            return;
        }
        let these = held.questions.clone();
        let is_held = |held: &mut Held| held.questions.iter().any(|one| these.contains(one));
        held.waiting += 1;
        let waited = self.let_go.wait_timeout_while(held, PATIENCE, is_held);
        let (mut held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        held.waiting -= 1;
        // What hangs is waited for once.
        held.questions.retain(|one| !these.contains(one));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_held_by_now_is_waited_for_and_what_hangs_only_once() {
        let handed = Arc::new(Handed::default());
        handed.wait();
        handed.hold(1);
        let other = Arc::clone(&handed);
        let waiting = std::thread::spawn(move || other.wait());
        while handed.lock().waiting == 0 {
            std::thread::yield_now();
        }
        // Whoever comes later is not waited for.
        handed.hold(2);
        handed.let_go(1);
        waiting.join().unwrap();
        assert_eq!(handed.lock().questions, [2]);
        let began = Instant::now();
        handed.wait();
        assert!(began.elapsed() >= PATIENCE);
        assert_eq!(handed.lock().questions, [0; 0]);
        handed.let_go(2);
    }
}
