//! The addresses that stand for names inside.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use agentguard_core::HostName;

/// How many there are: a network of 15 bits.
const ALL: u32 = 1 << 17;
/// How many names a session looks up before it is one that tries them all.
const MOST: usize = 16 << 10;

/// One address for each name that was looked up, which stays its own.
pub(super) struct Names {
    first: Ipv4Addr,
    by_name: HashMap<HostName, u32>,
    by_number: HashMap<u32, HostName>,
}

impl Names {
    pub(super) fn new(first: Ipv4Addr) -> Self {
        Self {
            first,
            by_name: HashMap::new(),
            by_number: HashMap::new(),
        }
    }

    /// The address that stands for `name`, unless there are too many.
    ///
    /// A gate that was started again gives the same name the same address, unless two came to lie on one.
    pub(super) fn address_of(&mut self, name: &HostName) -> Option<Ipv4Addr> {
        if let Some(number) = self.by_name.get(name) {
            return Some(self.address(*number));
        }
        if self.by_name.len() >= MOST {
            return None;
        }
        // The network's own address is left out: some clients take it for none.
        let begin = hash(name.as_str()) % (ALL - 1);
        let mut numbers = (0..ALL - 1).map(|further| 1 + (begin + further) % (ALL - 1));
        let number = numbers.find(|number| !self.by_number.contains_key(number))?;
        self.by_name.insert(name.clone(), number);
        self.by_number.insert(number, name.clone());
        Some(self.address(number))
    }

    /// The name that `address` stands for.
    pub(super) fn name_at(&self, address: IpAddr) -> Option<&HostName> {
        let IpAddr::V4(address) = address.to_canonical() else {
            return None;
        };
        let number = address.to_bits().checked_sub(self.first.to_bits())?;
        self.by_number.get(&number)
    }

    fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits().wrapping_add(number))
    }
}

/// FNV-1a: it need not withstand anybody, since a name that finds its place taken takes the next.
fn hash(text: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    text.bytes().fold(0x811c_9dc5, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    #[test]
    fn a_name_keeps_its_address_and_an_address_its_name() {
        let mut names = Names::new(Ipv4Addr::new(198, 18, 0, 0));
        let addresses: Vec<_> = (0..2000)
            .map(|number| names.address_of(&name(&format!("h{number}.test"))).unwrap())
            .collect();
        for (number, address) in addresses.iter().enumerate() {
            let host = name(&format!("h{number}.test"));
            assert_eq!(names.address_of(&host), Some(*address));
            assert_eq!(names.name_at((*address).into()), Some(&host));
            assert_eq!(
                address.to_bits() >> 17,
                Ipv4Addr::new(198, 18, 0, 0).to_bits() >> 17
            );
        }
        for none in ["198.18.0.0", "198.17.255.255", "198.20.0.0", "::1"] {
            assert_eq!(names.name_at(none.parse().unwrap()), None);
        }
        let mut again = Names::new(Ipv4Addr::new(198, 18, 0, 0));
        assert_eq!(again.address_of(&name("h0.test")), Some(addresses[0]));
    }

    #[test]
    fn more_names_than_anybody_needs_are_not_answered() {
        let mut names = Names::new(Ipv4Addr::new(198, 18, 0, 0));
        for number in 0..MOST {
            assert!(
                names
                    .address_of(&name(&format!("h{number}.test")))
                    .is_some()
            );
        }
        assert_eq!(names.address_of(&name("more.test")), None);
        assert!(names.address_of(&name("h0.test")).is_some());
    }
}
