//! A session's network without a session: listeners on loopback, a gate behind them, and a judge that keeps
//! what it was asked.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use agentguard_core::{
    Action, Api, Bodies, Credential, CredentialName, Forcing, HostGrant, HostName, Index, Judge,
    NobodyToAsk, OutcomeOf, Permit, Place, Push, Reach, Record, Refusal, Rule, Ruling, Undecided,
    Unrecorded, Verdict,
};
use agentguard_egress::{
    Authority, Error, Gate, Govern, Listeners, Patience, Refused, Served, Settings,
};

/// Addresses of loopback that stand for names, where a session has those of a network of its own.
const STAND_INS: Ipv4Addr = Ipv4Addr::new(127, 18, 0, 0);

/// What was asked, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) action: Action,
    pub(crate) ruling: Ruling,
    pub(crate) outcome: Option<OutcomeOf>,
    pub(crate) bodies: Bodies,
}

impl Entry {
    pub(crate) fn rule(&self) -> &str {
        self.ruling.rule().id.as_str()
    }

    pub(crate) fn api(&self) -> Option<&Api> {
        let Action::Api(api) = &self.action else {
            return None;
        };
        Some(api)
    }

    pub(crate) fn reach(&self) -> Option<&Reach> {
        let Action::Reach(reach) = &self.action else {
            return None;
        };
        Some(reach)
    }
}

/// A log, and whether it is full.
#[derive(Default)]
pub(crate) struct Log {
    entries: Mutex<Vec<Entry>>,
    pub(crate) is_full: AtomicBool,
    /// The credentials of which it heard that they were misused.
    pub(crate) misused: Mutex<Vec<String>>,
    /// What it heard was let through.
    pub(crate) found: Mutex<Vec<String>>,
}

impl Record<Action> for &Log {
    fn record(&self, action: &Action, ruling: &Ruling) -> Result<Index, Unrecorded> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(Unrecorded::new("no space left on device"));
        }
        let mut entries = self.entries.lock().unwrap();
        entries.push(Entry {
            action: action.clone(),
            ruling: ruling.clone(),
            outcome: None,
            bodies: Bodies::UNKNOWN,
        });
        Ok(Index(u64::try_from(entries.len() - 1).unwrap()))
    }
}

type Says = dyn Fn(&Action) -> Verdict + Send + Sync;

struct Policy(Arc<Says>);

impl Judge<Action> for Policy {
    fn judge(&self, action: &Action) -> Result<Verdict, Undecided> {
        Ok((self.0)(action))
    }
}

/// What the facade is to a gate.
struct Guard {
    says: Arc<Says>,
    log: Arc<Log>,
}

impl Guard {
    fn admit(&self, action: Action, says: Arc<Says>) -> Result<Permit<Action>, Refused> {
        let gate = agentguard_core::Gate::new(Policy(says), NobodyToAsk, &*self.log);
        gate.admit(action).map_err(|refusal: Refusal| Refused {
            rule: refusal.rule().clone(),
            entry: refusal.index(),
            approval: None,
        })
    }
}

impl Govern for Guard {
    type Action = Action;

    fn reach(&self, reach: Reach) -> Result<Permit<Action>, Refused> {
        self.admit(Action::Reach(reach), Arc::clone(&self.says))
    }

    fn refuse(&self, reach: Reach, rule: Rule) -> Refused {
        let says = Arc::new(move |_: &Action| Verdict::Deny(rule.clone()));
        self.admit(Action::Reach(reach), says).unwrap_err()
    }

    fn misused(&self, name: &CredentialName, reach: Reach, rule: Rule) -> Refused {
        self.log.misused.lock().unwrap().push(name.to_string());
        self.refuse(reach, rule)
    }

    fn found(&self, rule: Rule) -> Result<(), Unrecorded> {
        self.log.found.lock().unwrap().push(rule.id.to_string());
        Ok(())
    }

    fn request(&self, api: Api) -> Result<Permit<Action>, Refused> {
        self.admit(Action::Api(Box::new(api)), Arc::clone(&self.says))
    }

    fn push(&self, push: Push) -> Result<Permit<Action>, Refused> {
        self.admit(Action::Push(Box::new(push)), Arc::clone(&self.says))
    }

    fn outcome(&self, of: Index, outcome: OutcomeOf, bodies: &Bodies) -> Result<(), Unrecorded> {
        if self.log.is_full.load(Ordering::SeqCst) {
            return Err(Unrecorded::new("no space left on device"));
        }
        let mut entries = self.log.entries.lock().unwrap();
        let entry = &mut entries[usize::try_from(of.0).unwrap()];
        assert!(entry.outcome.replace(outcome).is_none(), "one outcome each");
        entry.bodies = bodies.clone();
        Ok(())
    }
}

/// What a scene is made of.
pub(crate) struct Plan {
    /// What is granted. `:PORT` stands for the port on which connections arrive.
    pub(crate) hosts: Vec<String>,
    pub(crate) addresses: BTreeMap<String, String>,
    pub(crate) uninspected: Vec<String>,
    pub(crate) escaped_slashes: Vec<String>,
    pub(crate) conversations: Vec<String>,
    pub(crate) roots: String,
    /// What is lent. The port of each binding is made that on which connections arrive.
    pub(crate) credentials: Vec<Credential>,
    pub(crate) says: Arc<Says>,
    pub(crate) patience: Patience,
}

impl Plan {
    /// `name` is at `server`, and all requests are allowed but deletions.
    pub(crate) fn new(name: &str, server: SocketAddr, roots: &str) -> Self {
        Self {
            hosts: vec![format!("{name}:PORT")],
            addresses: [(name.to_owned(), server.to_string())].into(),
            uninspected: Vec::new(),
            escaped_slashes: Vec::new(),
            conversations: Vec::new(),
            roots: roots.to_owned(),
            credentials: Vec::new(),
            says: Arc::new(says),
            patience: Patience {
                client: Duration::from_secs(20),
                server: Duration::from_secs(20),
                answer: Duration::from_secs(20),
            },
        }
    }

    pub(crate) fn with_credential(mut self, credential: Credential) -> Self {
        self.credentials.push(credential);
        self
    }

    pub(crate) fn with_host(mut self, host: &str) -> Self {
        self.hosts.push(host.to_owned());
        self
    }

    pub(crate) fn with_address(mut self, name: &str, address: &str) -> Self {
        self.addresses.insert(name.to_owned(), address.to_owned());
        self
    }
}

/// Asking is allowed, deleting is not, and what was not granted is not.
fn says(action: &Action) -> Verdict {
    let Action::Api(api) = action else {
        return Verdict::Deny(Rule::new("reach/not-granted", "it was not granted"));
    };
    if api.method == "DELETE" {
        let rule = Rule::new("api/no-delete", "nothing is deleted");
        return Verdict::Deny(rule.with_remedy("leave it"));
    }
    Verdict::Allow(Rule::new("api/fine", "it may"))
}

fn names(names: &[String]) -> Vec<HostName> {
    let names = names.iter().map(|name| HostName::parse(name).unwrap());
    names.collect()
}

fn places(addresses: &BTreeMap<String, String>) -> BTreeMap<HostName, Place> {
    let place = |(name, address): (&String, &String)| {
        let name = HostName::parse(name).unwrap();
        (name, Place::parse(address).unwrap())
    };
    addresses.iter().map(place).collect()
}

/// A gate and what is around it.
pub(crate) struct Scene {
    pub(crate) log: Arc<Log>,
    pub(crate) authority: String,
    pub(crate) port: u16,
    pub(crate) dns_udp: SocketAddr,
    pub(crate) dns_tcp: SocketAddr,
    stop: Option<UnixStream>,
    thread: rustix::process::Pid,
    serving: Option<JoinHandle<Result<Served, Error>>>,
}

impl Scene {
    pub(crate) fn begin(mut plan: Plan) -> Self {
        // The stand-ins are many addresses of loopback; of others nobody is to answer here.
        let tcp = TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        let bound = plan.credentials.iter_mut().flat_map(|one| &mut one.bound);
        bound.for_each(|bound| bound.port = port);
        let dns_udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let dns_tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let hosts = plan.hosts.iter().map(|host| {
            let host = host.replace("PORT", &port.to_string());
            HostGrant::parse(&host).unwrap()
        });
        let now = now();
        let settings = Settings {
            hosts: hosts.collect(),
            addresses: places(&plan.addresses),
            uninspected: names(&plan.uninspected),
            escaped_slashes: names(&plan.escaped_slashes),
            conversations: names(&plan.conversations),
            credentials: plan.credentials,
            authority: Authority::new("test", now).unwrap(),
            roots: plan.roots,
            stand_ins: STAND_INS,
            patience: plan.patience,
            spool: std::env::temp_dir(),
            keys: std::env::temp_dir(),
        };
        let log = Arc::new(Log::default());
        let (stop, stopped) = UnixStream::pair().unwrap();
        let authority = settings.authority.certificate_pem().to_owned();
        let at = (dns_udp.local_addr().unwrap(), dns_tcp.local_addr().unwrap());
        let listeners = Listeners {
            forcing: Forcing::Redirect,
            tcp: vec![OwnedFd::from(tcp)],
            dns_udp: vec![OwnedFd::from(dns_udp)],
            dns_tcp: vec![OwnedFd::from(dns_tcp)],
            datagrams: Vec::new(),
            unheard: |_| Ok(0),
            callers: Vec::new(),
        };
        let guard = Guard {
            says: plan.says,
            log: Arc::clone(&log),
        };
        let gate = Gate::new(settings, listeners);
        let (sender, receiver) = std::sync::mpsc::channel();
        let serving = std::thread::spawn(move || {
            sender.send(rustix::thread::gettid()).unwrap();
            gate.serve(&guard, &stopped)
        });
        Self {
            log,
            authority,
            port,
            dns_udp: at.0,
            dns_tcp: at.1,
            stop: Some(stop),
            thread: receiver.recv().unwrap(),
            serving: Some(serving),
        }
    }

    /// What the log holds.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.log.entries.lock().unwrap().clone()
    }

    /// Waits until the log holds what `is_there` looks for.
    pub(crate) fn entry(&self, is_there: impl Fn(&Entry) -> bool) -> Entry {
        for _ in 0..2000 {
            if let Some(entry) = self.entries().into_iter().find(|entry| is_there(entry)) {
                return entry;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no such entry in {:#?}", self.entries());
    }

    /// Waits until there is an entry of this rule.
    pub(crate) fn refused_by(&self, rule: &str) -> Entry {
        self.entry(|entry| entry.rule() == rule)
    }

    /// Waits until the first request has an outcome.
    pub(crate) fn outcome(&self) -> OutcomeOf {
        let entry = self.entry(|entry| entry.api().is_some() && entry.outcome.is_some());
        entry.outcome.unwrap()
    }

    /// Ends the session.
    pub(crate) fn end(mut self) -> (Vec<Entry>, Result<Served, Error>) {
        drop(self.stop.take());
        let served = self.serving.take().unwrap().join().unwrap();
        (self.entries(), served)
    }

    /// Waits until the gate has given up by itself.
    pub(crate) fn given_up(mut self) -> Result<Served, Error> {
        self.serving.take().unwrap().join().unwrap()
    }

    /// The gate's process, if there is one: the kernel knows which thread of ours started it.
    pub(crate) fn gate(&self) -> Option<rustix::process::Pid> {
        let path = format!("/proc/self/task/{}/children", self.thread.as_raw_pid());
        // A thread that has ended has none.
        let children = std::fs::read_to_string(path).ok()?;
        let child = children.split_whitespace().next()?;
        rustix::process::Pid::from_raw(child.parse().unwrap())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

/// The time, in seconds: that at which this process began.
fn now() -> u64 {
    let now = std::fs::metadata("/proc/self").unwrap().modified().unwrap();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
