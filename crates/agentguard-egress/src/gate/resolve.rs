//! Where a host is: looked up once, vetted, and that is what is connected to.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentguard_core::{AddressClass, Host, HostGrant, HostName, Place};

/// How long a name's addresses are taken to be its own: as long as the shortest that names are commonly
/// given. Each lookup is vetted anew.
const KEPT_FOR: Duration = Duration::from_secs(30);
const MOST_KEPT: usize = 1024;
/// How many addresses of a name are tried.
const MOST_TRIED: usize = 4;

/// An address that may be connected to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Vetted {
    pub(super) address: SocketAddr,
    pub(super) class: AddressClass,
}

/// Why there is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Nowhere {
    /// The name could not be looked up.
    Unknown(String),
    /// What it has are addresses that nobody may reach by it. This is one.
    Forbidden(Vetted),
}

/// The system's resolver, or a test's.
type LookUp = fn(&str) -> io::Result<Vec<IpAddr>>;

/// Looks up, and vets.
pub(super) struct Resolver {
    hosts: Vec<HostGrant>,
    addresses: BTreeMap<HostName, Place>,
    patience: Duration,
    look_up: LookUp,
    kept: Mutex<HashMap<HostName, (Instant, Vec<IpAddr>)>>,
}

impl Resolver {
    pub(super) fn new(
        hosts: Vec<HostGrant>,
        addresses: BTreeMap<HostName, Place>,
        patience: Duration,
    ) -> Self {
        Self {
            hosts,
            addresses,
            patience,
            look_up,
            kept: Mutex::default(),
        }
    }

    /// Whether the session was granted anything of `host`.
    pub(super) fn names(&self, host: &Host) -> bool {
        self.hosts.iter().any(|grant| grant.names(host))
    }

    /// Whether it was granted `host` on `port`.
    pub(super) fn grants(&self, host: &Host, port: u16) -> bool {
        self.hosts.iter().any(|grant| grant.grants(host, port))
    }

    /// The addresses of `host` that may be connected to, the first to be tried first.
    pub(super) async fn find(
        self: &Arc<Self>,
        host: &Host,
        port: u16,
    ) -> Result<Vec<Vetted>, Nowhere> {
        let vetted = |address: SocketAddr| Vetted {
            address,
            class: class(address.ip()),
        };
        let addresses = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => match self.addresses.get(name) {
                Some(place) => {
                    // Where policy says it is, it may be; but never that.
                    let place = vetted(place.at(port));
                    return match place.class {
                        AddressClass::Metadata => Err(Nowhere::Forbidden(place)),
                        AddressClass::Public
                        | AddressClass::Private
                        | AddressClass::Local
                        | AddressClass::Special => Ok(vec![place]),
                    };
                }
                None => self.addresses_of(name).await?,
            },
        };
        let all = addresses
            .into_iter()
            .map(|address| vetted(SocketAddr::new(address, port)));
        let (fit, unfit): (Vec<_>, Vec<_>) = all.partition(|one| self.is_fit(one));
        match (fit.is_empty(), unfit.first()) {
            (false, _) => Ok(fit.into_iter().take(MOST_TRIED).collect()),
            (true, Some(unfit)) => Err(Nowhere::Forbidden(*unfit)),
            (true, None) => Err(Nowhere::Unknown("it has no address".to_owned())),
        }
    }

    /// Anybody's name may be given any address. So what is not public is reached by its own grant only.
    fn is_fit(&self, one: &Vetted) -> bool {
        match one.class {
            AddressClass::Public => true,
            AddressClass::Private | AddressClass::Special => {
                self.grants(&Host::Address(one.address.ip()), one.address.port())
            }
            AddressClass::Local | AddressClass::Metadata => false,
        }
    }

    async fn addresses_of(self: &Arc<Self>, name: &HostName) -> Result<Vec<IpAddr>, Nowhere> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, addresses)) = lock().get(name)
            && since.elapsed() < KEPT_FOR
        {
            return Ok(addresses.clone());
        }
        let (look_up, asked) = (self.look_up, name.to_string());
        let looked_up = tokio::task::spawn_blocking(move || look_up(&asked));
        let addresses = match tokio::time::timeout(self.patience, looked_up).await {
            Ok(Ok(Ok(addresses))) => addresses,
            Ok(Ok(Err(error))) => return Err(Nowhere::Unknown(error.to_string())),
            Ok(Err(_)) | Err(_) => {
                return Err(Nowhere::Unknown("nobody answers for it".to_owned()));
            }
        };
        let mut kept = lock();
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(name.clone(), (Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    // The dot keeps the system from looking for it below its own domains. Its own file of names knows none
    // with a dot, nor does it need one; what comes of it is vetted all the same.
    let whole = (format!("{name}.").as_str(), 0).to_socket_addrs();
    let found = whole.or_else(|_| (name, 0).to_socket_addrs())?;
    Ok(found.map(|address| address.ip().to_canonical()).collect())
}

/// What kind of address it is, this machine's own among the local ones.
fn class(address: IpAddr) -> AddressClass {
    let class = AddressClass::of(address);
    if class != AddressClass::Metadata && is_own(address) {
        AddressClass::Local
    } else {
        class
    }
}

/// Whether it is an address of this machine: then what would be sent there would come from there.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // Connecting such a socket sends nothing.
    let near = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    near.is_ok_and(|near| near.ip() == address)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn resolver(hosts: &[&str], look_up: LookUp) -> Arc<Resolver> {
        let hosts = hosts.iter().map(|text| HostGrant::parse(text).unwrap());
        let places = [("place.test", "127.0.0.1:8443"), ("inner.test", "10.9.9.9")];
        let places = places
            .map(|(name, place)| (HostName::parse(name).unwrap(), Place::parse(place).unwrap()));
        Arc::new(Resolver {
            look_up,
            ..Resolver::new(hosts.collect(), places.into(), Duration::from_secs(5))
        })
    }

    fn find(resolver: &Arc<Resolver>, host: &str, port: u16) -> Result<Vec<String>, Nowhere> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let found = runtime.block_on(resolver.find(&Host::parse(host).unwrap(), port));
        Ok(found?.iter().map(|one| one.address.to_string()).collect())
    }

    fn forbidden(found: Result<Vec<String>, Nowhere>) -> AddressClass {
        match found {
            Err(Nowhere::Forbidden(one)) => one.class,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_leads_to_no_address_but_public_ones() {
        let resolver = resolver(&["**.x.test"], |name| {
            Ok(vec![
                name.split_once('.')
                    .unwrap()
                    .0
                    .replace('_', ".")
                    .replace('-', ":")
                    .parse()
                    .unwrap(),
            ])
        });
        for (name, class) in [
            ("127_0_0_1.x.test", AddressClass::Local),
            ("10_0_0_1.x.test", AddressClass::Private),
            ("169_254_169_254.x.test", AddressClass::Metadata),
            ("198_18_0_1.x.test", AddressClass::Special),
            ("64-ff9b--a9fe-a9fe.x.test", AddressClass::Metadata),
            ("0--ffff-7f00-1.x.test", AddressClass::Local),
        ] {
            assert_eq!(forbidden(find(&resolver, name, 443)), class, "{name}");
        }
        assert_eq!(
            find(&resolver, "8_8_8_8.x.test", 443).unwrap(),
            ["8.8.8.8:443"]
        );
    }

    #[test]
    fn of_several_addresses_those_that_may_be_reached_are() {
        let look_up = |_: &str| {
            Ok(["127.0.0.1", "10.1.2.3", "8.8.8.8", "10.2.2.2"]
                .map(|text| text.parse().unwrap())
                .into())
        };
        let found = find(&resolver(&["a.test"], look_up), "a.test", 443);
        assert_eq!(found.unwrap(), ["8.8.8.8:443"]);
        let found = find(
            &resolver(&["a.test", "10.1.0.0/16"], look_up),
            "a.test",
            443,
        );
        assert_eq!(found.unwrap(), ["10.1.2.3:443", "8.8.8.8:443"]);
    }

    #[test]
    fn a_name_that_moves_is_where_it_was_found() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let resolver = resolver(&["a.test"], |_| {
            let first = ASKED.fetch_add(1, Ordering::Relaxed) == 0;
            Ok(vec![
                if first { "8.8.8.8" } else { "127.0.0.1" }.parse().unwrap(),
            ])
        });
        for _ in 0..3 {
            assert_eq!(find(&resolver, "a.test", 443).unwrap(), ["8.8.8.8:443"]);
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        // And once it is looked up again, what it leads to is vetted again.
        resolver.kept.lock().unwrap().clear();
        assert_eq!(
            forbidden(find(&resolver, "a.test", 443)),
            AddressClass::Local
        );
    }

    #[test]
    fn where_policy_says_a_name_is_it_is_not_looked_up() {
        let resolver = resolver(&["place.test", "inner.test"], |_| {
            panic!("it is not looked up")
        });
        assert_eq!(
            find(&resolver, "place.test", 443).unwrap(),
            ["127.0.0.1:8443"]
        );
        assert_eq!(
            find(&resolver, "inner.test", 443).unwrap(),
            ["10.9.9.9:443"]
        );
    }

    #[test]
    fn an_address_is_reached_by_its_own_grant() {
        let resolver = resolver(&["10.0.0.0/8:5432"], |_| panic!("it is not looked up"));
        assert_eq!(
            find(&resolver, "10.1.1.1", 5432).unwrap(),
            ["10.1.1.1:5432"]
        );
        assert_eq!(
            forbidden(find(&resolver, "10.1.1.1", 443)),
            AddressClass::Private
        );
        assert_eq!(
            forbidden(find(&resolver, "127.0.0.1", 5432)),
            AddressClass::Local
        );
        assert_eq!(
            forbidden(find(&resolver, "169.254.169.254", 5432)),
            AddressClass::Metadata
        );
    }

    #[test]
    fn this_machine_is_known_by_any_of_its_addresses() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("8.8.8.8".parse().unwrap()));
        // Each address of the kernel's table stands before what it is.
        let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap();
        let mut own = 0;
        let mut address = None;
        for line in table.lines().map(str::trim) {
            if let Some(next) = line.strip_prefix("|-- ") {
                address = Some(next.parse::<IpAddr>().unwrap());
            } else if line == "/32 host LOCAL" {
                assert_eq!(class(address.unwrap()), AddressClass::Local, "{address:?}");
                own += 1;
            }
        }
        assert!(own > 0);
    }
}
