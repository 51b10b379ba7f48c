//! Datagrams that went nowhere: noted where they are refused, and told with the next look around.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

use agentguard_core::{AddressClass, Reach, ReachedBy};

/// Between two looks no more of them are told apart: whoever floods is seen to.
const MOST: usize = 64;
/// What stands for names inside. Clients find their routes to hosts by connecting a socket of datagrams, and send nothing
/// on it.
const STAND_INS: (Ipv4Addr, u32) = (Ipv4Addr::new(198, 18, 0, 0), 15);

/// What was noted and not told yet, and how many besides were not told apart.
#[derive(Debug, Default)]
pub(super) struct Nowhere(Mutex<(Vec<Reach>, u64)>);

impl Nowhere {
    /// One was for this address, or would have been, by the program that `caller` looks up.
    pub(super) fn note(&self, (to, port): (IpAddr, u16), caller: impl FnOnce() -> Option<String>) {
        if is_stand_in(to) {
            return;
        }
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (noted, unseen) = &mut *guard;
        if noted.len() == MOST {
            *unseen += 1;
            return;
        }
        let reach = Reach {
            by: ReachedBy::Connect,
            host: to.to_string(),
            port: Some(port),
            class: Some(AddressClass::of(to)),
            granted: false,
            caller: caller().unwrap_or_else(|| "unknown".to_owned()),
            caller_sha256: None,
        };
        if !noted.contains(&reach) {
            noted.push(reach);
        }
    }

    /// What was noted since the last time.
    pub(super) fn take(&self) -> (Vec<Reach>, u64) {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_stand_in(address: IpAddr) -> bool {
    let (first, length) = STAND_INS;
    let network = |address: Ipv4Addr| address.to_bits() >> (32 - length);
    match address.to_canonical() {
        IpAddr::V4(address) => network(address) == network(first),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_datagrams_were_for_is_noted_once_and_not_without_end() {
        let nowhere = Nowhere::default();
        let to = |text: &str, port| nowhere.note((text.parse().unwrap(), port), || None);
        for stand_in in ["198.18.0.9", "198.19.255.255", "::ffff:198.18.0.9"] {
            to(stand_in, 443);
        }
        to("203.0.113.9", 443);
        to("203.0.113.9", 443);
        to("198.20.0.1", 1);
        let (noted, unseen) = nowhere.take();
        assert_eq!(unseen, 0);
        let hosts: Vec<_> = noted.iter().map(|reach| reach.host.as_str()).collect();
        assert_eq!(hosts, ["203.0.113.9", "198.20.0.1"]);
        for port in 0..1000 {
            to("127.0.0.1", port);
        }
        let (noted, unseen) = nowhere.take();
        assert_eq!((noted.len(), unseen), (MOST, 1000 - 64));
        assert_eq!(nowhere.take(), (Vec::new(), 0));
    }
}
