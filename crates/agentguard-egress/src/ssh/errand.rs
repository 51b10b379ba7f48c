//! What is asked of a server over SSH, and what of it a verdict allowed.

use std::net::IpAddr;

use agentguard_core::{Action, CredentialName};
use serde::{Deserialize, Serialize};

/// What a repository's services are called, in paths and as commands.
const UPLOAD: &str = "git-upload-pack";
const RECEIVE: &str = "git-receive-pack";
/// What asks which refs there are.
const REFS: [&str; 2] = ["info", "refs"];

/// What the gate wants to have asked. The guard answers it by [`Begun`], and by the descriptors of a conversation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Errand {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The segments of the repository's path.
    pub(crate) repository: Vec<String>,
    pub(crate) service: Service,
    /// Whether the server is asked for the second version of git's protocol.
    pub(crate) is_second: bool,
}

/// What is to be run there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Service {
    /// What tells and sends what there is.
    Upload,
    /// What takes a push, asked only what it could take: nothing can be said to it.
    ReceiveNothing,
    /// What takes a push.
    Receive,
}

/// What becomes of an errand.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Begun {
    /// It has begun: its input, output and errors follow, and what ends it when it is closed.
    Talking,
    /// It has not.
    Not(String),
}

/// What a verdict allowed that is not over.
#[derive(Debug)]
pub(crate) enum Allowed {
    /// A request that goes over SSH.
    Request {
        host: String,
        port: u16,
        /// Where that is, as it was judged.
        address: String,
        repository: Vec<String>,
        /// Whether it is to bring a push.
        is_push: bool,
        credentials: Vec<CredentialName>,
    },
    /// Refs are changed.
    Push {
        host: String,
        port: u16,
        /// As pushes name it.
        repository: Vec<String>,
    },
}

/// A key by which a host is asked, and the address at which it was vetted.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Way<'a> {
    pub(crate) credentials: &'a [CredentialName],
    pub(crate) address: IpAddr,
}

impl Service {
    /// The command's word.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Upload => UPLOAD,
            Self::Receive | Self::ReceiveNothing => RECEIVE,
        }
    }
}

/// The path of a repository as pushes name it: without the ending that servers do without.
fn repository(segments: &[String]) -> Vec<String> {
    let mut repository = segments.to_vec();
    if let Some(last) = repository.last_mut()
        && let Some(plain) = last.strip_suffix(".git")
    {
        *last = plain.to_owned();
    }
    repository
}

impl Allowed {
    /// What of an action concerns SSH.
    pub(crate) fn of(action: &Action) -> Option<Self> {
        match action {
            Action::Api(api) if api.ssh => {
                let (last, first) = api.path.split_last()?;
                let (before, is_refs) = match first.split_last() {
                    Some((info, before)) if [info.as_str(), last.as_str()] == REFS => {
                        (before, true)
                    }
                    Some(_) | None => (first, false),
                };
                let is_service = [UPLOAD, RECEIVE].contains(&last.as_str());
                (is_refs || is_service).then(|| Self::Request {
                    host: api.host.clone(),
                    port: api.port,
                    address: api.address.clone(),
                    repository: before.to_vec(),
                    is_push: last == RECEIVE,
                    credentials: api.credentials.clone(),
                })
            }
            Action::Push(push) => Some(Self::Push {
                host: push.host.clone(),
                port: push.port,
                repository: push.repository.clone(),
            }),
            Action::Api(_)
            | Action::Session(_)
            | Action::Exec(_)
            | Action::File(_)
            | Action::Connect(_)
            | Action::Reach(_) => None,
        }
    }

    /// The way of an errand, where this is what it is for.
    fn way(&self, errand: &Errand) -> Option<Way<'_>> {
        let Self::Request {
            host,
            port,
            address,
            repository,
            is_push,
            credentials,
        } = self
        else {
            return None;
        };
        let is_same = *host == errand.host
            && *port == errand.port
            && *repository == errand.repository
            && (*is_push || errand.service != Service::Receive);
        let address = address.parse().ok().filter(|_| is_same)?;
        Some(Way {
            credentials,
            address,
        })
    }

    fn is_push_of(&self, errand: &Errand) -> bool {
        match self {
            Self::Request { .. } => false,
            Self::Push {
                host,
                port,
                repository: pushed,
            } => {
                *host == errand.host
                    && *port == errand.port
                    && *pushed == repository(&errand.repository)
            }
        }
    }
}

/// Whether something of `open` allows an errand, and by which key and to which address it goes. What changes refs is
/// allowed twice: as a request and as a push.
pub(crate) fn way<'a>(open: &[&'a Allowed], errand: &Errand) -> Option<Way<'a>> {
    let is_pushed = || open.iter().any(|one| one.is_push_of(errand));
    if errand.service == Service::Receive && !is_pushed() {
        return None;
    }
    open.iter().find_map(|one| one.way(errand))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    fn errand(path: &str, service: Service) -> Errand {
        Errand {
            host: "git.test".to_owned(),
            port: 22,
            repository: words(path),
            service,
            is_second: true,
        }
    }

    fn request(is_push: bool) -> Allowed {
        Allowed::Request {
            host: "git.test".to_owned(),
            port: 22,
            address: "203.0.113.7".to_owned(),
            repository: words("o/r.git"),
            is_push,
            credentials: Vec::new(),
        }
    }

    /// What a request that was allowed allows of `o/r.git`, where a push to it was allowed as well.
    fn allowed_by(ssh: bool, path: &str) -> Vec<Service> {
        let api = serde_json::json!({
            "scheme": "https", "host": "git.test", "port": 22, "method": "POST", "path": words(path), "ssh": ssh,
            "address": "203.0.113.7", "class": "public", "caller": "/usr/bin/git",
        });
        let api = Action::Api(serde_json::from_value(api).unwrap());
        let push = Allowed::Push {
            host: "git.test".to_owned(),
            port: 22,
            repository: words("o/r"),
        };
        let Some(request) = Allowed::of(&api) else {
            return Vec::new();
        };
        let all = [Service::Upload, Service::ReceiveNothing, Service::Receive];
        let is_allowed =
            |service: &Service| way(&[&request, &push], &errand("o/r.git", *service)).is_some();
        all.into_iter().filter(is_allowed).collect()
    }

    #[test]
    fn only_what_git_asks_over_ssh_allows_anything_there() {
        let reading = [Service::Upload, Service::ReceiveNothing];
        assert_eq!(allowed_by(true, "o/r.git/info/refs"), reading);
        assert_eq!(allowed_by(true, "o/r.git/git-upload-pack"), reading);
        let all = [reading[0], reading[1], Service::Receive];
        assert_eq!(allowed_by(true, "o/r.git/git-receive-pack"), all);
        for path in ["info/refs", "git-upload-pack", "git-receive-pack"] {
            assert_eq!(allowed_by(false, &format!("o/r.git/{path}")), []);
        }
        for path in ["o/r.git/x", "o/r.git/x/refs", "o/r.git/info/x", "o/r.git"] {
            assert_eq!(allowed_by(true, path), [], "{path}");
        }
    }

    #[test]
    fn nothing_is_asked_but_what_is_allowed_of_this_repository() {
        let (push_request, read) = (request(true), request(false));
        for service in [Service::Upload, Service::ReceiveNothing] {
            assert!(way(&[&read], &errand("o/r.git", service)).is_some());
            assert_eq!(way(&[&read], &errand("o/other.git", service)), None);
            assert_eq!(way(&[&read], &errand("o/r", service)), None);
            let other = Errand {
                port: 2222,
                ..errand("o/r.git", service)
            };
            assert_eq!(way(&[&read], &other), None);
            let other = Errand {
                host: "git.other".to_owned(),
                ..errand("o/r.git", service)
            };
            assert_eq!(way(&[&read], &other), None);
            assert_eq!(way(&[], &errand("o/r.git", service)), None);
        }
        // A push is one only where its refs were allowed as well.
        let receives = errand("o/r.git", Service::Receive);
        assert_eq!(way(&[&push_request], &receives), None);
        let push = |path| Allowed::Push {
            host: "git.test".to_owned(),
            port: 22,
            repository: words(path),
        };
        assert!(way(&[&push_request, &push("o/r")], &receives).is_some());
        assert_eq!(way(&[&push_request, &push("o/x")], &receives), None);
        assert_eq!(way(&[&read, &push("o/r")], &receives), None);
        assert_eq!(way(&[&push("o/r")], &receives), None);
        // One of another server is none, whatever its repository is called.
        for (host, port) in [("git.other", 22), ("git.test", 2222)] {
            let elsewhere = Allowed::Push {
                host: host.to_owned(),
                port,
                repository: words("o/r"),
            };
            assert_eq!(way(&[&push_request, &elsewhere], &receives), None, "{host}");
        }
    }
}
