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

#[cfg(test)]
mod tests {
    use agentguard_core::{AddressClass, Caller};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::DuplexStream;

    use super::*;
    use crate::gate::path::Slash;

    fn origin(scheme: Scheme, host: &str) -> Origin {
        Origin {
            scheme,
            host: Host::parse(host).unwrap(),
            port: 443,
            slash: Slash::Unclear,
            caller: Caller::unknown(),
        }
    }

    fn at(address: &str) -> Vetted {
        Vetted {
            address: address.parse().unwrap(),
            class: AddressClass::Public,
        }
    }

    /// One on which nothing was asked yet, and its other end.
    async fn idle() -> (Sender, DuplexStream) {
        let (near, far) = tokio::io::duplex(64);
        let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
        tokio::spawn(connection);
        sender.ready().await.unwrap();
        (Sender::Http1(sender), far)
    }

    #[tokio::test]
    async fn what_is_kept_goes_to_whom_it_leads_to_and_to_no_other() {
        const SPOKEN: &[Protocol] = &[Protocol::Http1];
        let kept = Arc::new(Kept::default());
        let (own, here) = (origin(Scheme::Https, "api.test"), at("192.0.2.1:443"));
        let (sender, _far) = idle().await;
        kept.give(&own, here, sender);
        let other = |scheme, host| origin(scheme, host);
        for (origin, addresses, protocols) in [
            (other(Scheme::Https, "other.test"), &[here][..], SPOKEN),
            (other(Scheme::Http, "api.test"), &[here], SPOKEN),
            // What it led to is not vetted for it any more.
            (own.clone(), &[at("192.0.2.2:443")], SPOKEN),
            (own.clone(), &[at("192.0.2.1:8443")], SPOKEN),
            (own.clone(), &[], SPOKEN),
            (own.clone(), &[here], &[Protocol::Http2]),
        ] {
            assert!(kept.take(&origin, addresses, protocols).is_none());
        }
        let both = [at("192.0.2.2:443"), here];
        let (found, _sender) = kept.take(&own, &both, SPOKEN).unwrap();
        assert_eq!(found, here);
        assert!(kept.take(&own, &both, SPOKEN).is_none());
    }

    #[tokio::test]
    async fn what_is_kept_for_too_long_or_was_ended_goes_to_nobody() {
        let (own, here) = (origin(Scheme::Https, "api.test"), at("192.0.2.1:443"));
        let kept = Arc::new(Kept::default());
        let (sender, _far) = idle().await;
        kept.give(&own, here, sender);
        kept.lock()[0].since = Instant::now().checked_sub(KEPT_FOR).unwrap();
        assert!(kept.take(&own, &[here], &[Protocol::Http1]).is_none());
        let kept = Arc::new(Kept::default());
        let (sender, far) = idle().await;
        kept.give(&own, here, sender);
        drop(far);
        while kept.lock()[0].sender.is_idle() {
            tokio::task::yield_now().await;
        }
        assert!(kept.take(&own, &[here], &[Protocol::Http1]).is_none());
    }
}
