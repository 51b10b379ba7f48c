//! Connections to servers that nobody uses any more, kept for a moment: clients that make one connection after the
//! other do so within milliseconds, and a handshake with a server is what costs most.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentguard_core::{Host, Scheme};

use super::forward::Sender;
use super::leaf::Protocol;
use super::request::Origin;
use super::resolve::Vetted;

/// How long. Servers wait for longer, so that it is not they who end it meanwhile.
const KEPT_FOR: Duration = Duration::from_secs(1);
const MOST_KEPT: usize = 64;

/// What is kept, the oldest first.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<One>>);

struct One {
    scheme: Scheme,
    host: Host,
    at: Vetted,
    sender: Sender,
    since: Instant,
}

impl Kept {
    /// One that leads to `origin` at one of the addresses that were vetted for it, and on which one of `protocols` is
    /// spoken.
    pub(super) fn take(
        &self,
        origin: &Origin,
        addresses: &[Vetted],
        protocols: &[Protocol],
    ) -> Option<(Vetted, Sender)> {
        let mut all = self.lock();
        let fits = |one: &One| {
            (one.scheme, &one.host) == (origin.scheme, &origin.host)
                && addresses.contains(&one.at)
                && protocols.contains(&one.sender.protocol())
                && one.since.elapsed() < KEPT_FOR
                && one.sender.is_idle()
        };
        let found = all.iter().rposition(fits)?;
        let One { at, sender, .. } = all.remove(found);
        Some((at, sender))
    }

    /// Keeps one, if it can be used again.
    pub(super) fn give(self: &Arc<Self>, origin: &Origin, at: Vetted, sender: Sender) {
        if !sender.is_idle() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let mut all = self.lock();
        if all.is_empty() {
            runtime.spawn(sweep(Arc::clone(self)));
        }
        if all.len() >= MOST_KEPT {
            all.remove(0);
        }
        all.push(One {
            scheme: origin.scheme,
            host: origin.host.clone(),
            at,
            sender,
            since: Instant::now(),
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what was kept for long enough, until nothing is kept.
async fn sweep(kept: Arc<Kept>) {
    loop {
        // What is kept is wanted within a moment or not at all.
        tokio::time::sleep(KEPT_FOR).await;
        let mut all = kept.lock();
        all.retain(|one| one.since.elapsed() < KEPT_FOR);
        if all.is_empty() {
            return;
        }
    }
}
