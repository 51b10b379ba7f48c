//! What the guard is told and does not answer: it goes along with the next question, so that the guard is woken once for
//! both. Where none comes, it is told a moment later.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::wire::Asked;

/// How long it is kept. Whoever asks one request after the other does so within that; and no record waits for longer, nor
/// would be lost if the gate were killed.
const MOMENT: Duration = Duration::from_millis(5);

/// What is to be told.
#[derive(Default)]
pub(super) struct Later {
    told: Mutex<Vec<Asked>>,
    some: Notify,
}

impl Later {
    /// Keeps it until there is something with which it can go along.
    pub(super) fn add(&self, asked: Asked) {
        self.lock().push(asked);
        self.some.notify_one();
    }

    /// All that goes along with what is asked now.
    pub(super) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.lock())
    }

    /// Waits for something with which nothing was asked for a moment. The rest goes along with it.
    pub(super) async fn due(&self) -> Asked {
        loop {
            self.some.notified().await;
            // Until then the next question may take it along: see `MOMENT`.
            tokio::time::sleep(MOMENT).await;
            if let Some(asked) = self.lock().pop() {
                return asked;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Asked>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use agentguard_core::Rule;

    use super::*;

    #[tokio::test]
    async fn what_goes_along_with_nothing_is_told_by_itself() {
        let later = Later::default();
        let found = || Asked::Found(Rule::new("a/b", "c"));
        later.add(found());
        assert_eq!(later.take().len(), 1);
        // What was taken is not told again.
        let none = tokio::time::timeout(10 * MOMENT, later.due()).await;
        assert!(none.is_err());
        later.add(found());
        later.add(found());
        later.due().await;
        assert_eq!(later.take().len(), 1);
        later.add(found());
        later.due().await;
    }
}
