//! What is asked of a server of git over HTTP (gitprotocol-http(5)).

use hyper::Method;

use crate::ssh::Service;

/// One of the few requests that git makes.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Asked {
    pub(super) repository: Vec<String>,
    pub(super) service: Service,
    /// Whether only what there is, or could be taken, is asked for.
    pub(super) is_first: bool,
}

impl Asked {
    /// Reads one. `services` is what its query names so.
    pub(super) fn of(
        method: &Method,
        path: &[String],
        services: Option<&Vec<String>>,
    ) -> Option<Self> {
        let words: Vec<_> = path.iter().map(String::as_str).collect();
        let named = services.and_then(|services| match services.as_slice() {
            [one] => Some(one.as_str()),
            _ => None,
        });
        let (repository, service, is_first) = match (method, words.as_slice(), named) {
            (&Method::GET, [repository @ .., "info", "refs"], Some("git-upload-pack")) => {
                (repository, Service::Upload, true)
            }
            (&Method::GET, [repository @ .., "info", "refs"], Some("git-receive-pack")) => {
                (repository, Service::ReceiveNothing, true)
            }
            (&Method::POST, [repository @ .., "git-upload-pack"], None) => {
                (repository, Service::Upload, false)
            }
            (&Method::POST, [repository @ .., "git-receive-pack"], None) => {
                (repository, Service::Receive, false)
            }
            _ => return None,
        };
        Some(Self {
            repository: repository.iter().map(ToString::to_string).collect(),
            service,
            is_first,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &Method, path: &str, service: Option<&str>) -> Option<(String, Service, bool)> {
        let path: Vec<_> = path.split('/').map(str::to_owned).collect();
        let services = service.map(|one| one.split('+').map(str::to_owned).collect());
        let asked = Asked::of(method, &path, services.as_ref())?;
        Some((asked.repository.join("/"), asked.service, asked.is_first))
    }

    #[test]
    fn four_requests_are_gits() {
        let (get, post) = (Method::GET, Method::POST);
        let repository = || "o/r.git".to_owned();
        let refs = "o/r.git/info/refs";
        let is = |service, is_first| Some((repository(), service, is_first));
        assert_eq!(
            of(&get, refs, Some("git-upload-pack")),
            is(Service::Upload, true)
        );
        assert_eq!(
            of(&get, refs, Some("git-receive-pack")),
            is(Service::ReceiveNothing, true)
        );
        assert_eq!(
            of(&post, "o/r.git/git-upload-pack", None),
            is(Service::Upload, false)
        );
        assert_eq!(
            of(&post, "o/r.git/git-receive-pack", None),
            is(Service::Receive, false)
        );
        for (method, path, service) in [
            (&get, refs, None),
            (&get, refs, Some("git-upload-archive")),
            (&get, refs, Some("git-upload-pack+git-receive-pack")),
            (&get, "o/r.git/git-upload-pack", None),
            (&get, "o/r.git/HEAD", None),
            (&post, "o/r.git/git-upload-archive", None),
            (&post, "o/r.git/git-lfs-authenticate", None),
            (&post, "o/r.git/Git-Receive-Pack", None),
            (&post, "o/r.git/git-receive-pack/x", None),
            (&Method::PUT, "o/r.git/git-receive-pack", None),
        ] {
            assert_eq!(
                of(method, path, service),
                None,
                "{method} {path} {service:?}"
            );
        }
    }
}
