//! What git is told of placeholders, so that it sends them without being asked for a password.

use std::collections::BTreeMap;

use agentguard_core::{Binding, Credential, CredentialName, Slot};
use base64ct::{Base64, Encoding as _};

/// Whom git says it is, where nobody says otherwise. GitHub wants this name; others want one, and look at none.
const USER: &str = "x-access-token";
/// What git asks with: it looks up what there is, and then fetches or sends.
const METHODS: [&str; 2] = ["GET", "POST"];

/// The settings by which git sends what stands for these credentials, as the user that `user` says, each to where it is bound as Basic
/// authentication and to nowhere else. What the human's own settings would send there is not sent beside it: two
/// answers to who asks are none.
///
/// # References
///
/// - git-config(1), `http.extraHeader` and `http.<url>.*`
#[must_use]
pub fn git_settings<'a>(
    lent: &[Credential],
    user: impl Fn(&CredentialName) -> Option<&'a str>,
) -> Vec<(String, String)> {
    let mut headers = BTreeMap::new();
    for credential in lent {
        for url in credential.bound.iter().filter_map(url) {
            let user = user(&credential.name).unwrap_or(USER);
            let both = format!("{user}:{}", credential.placeholder);
            let header = format!(
                "Authorization: Basic {}",
                Base64::encode_string(both.as_bytes())
            );
            headers.entry(url).or_insert(header);
        }
    }
    let settings = headers.into_iter().flat_map(|(url, header)| {
        let key = format!("http.{url}.extraHeader");
        // An empty one forgets those before it.
        [(key.clone(), String::new()), (key, header)]
    });
    settings.collect()
}

/// The beginning of all URLs that git may go to with it. There is none where what it is bound to is more than a
/// beginning: git would send it elsewhere too, and be refused where it would else have been let in as anybody.
fn url(bound: &Binding) -> Option<String> {
    let is_meant = |method: &&str| bound.methods.iter().any(|one| one == method);
    if bound.slot != Slot::Basic || !(bound.methods.is_empty() || METHODS.iter().all(is_meant)) {
        return None;
    }
    let first = match bound.path.split_last() {
        None => &[][..],
        Some((last, first)) if last == "**" => first,
        Some(_) => return None,
    };
    if first.iter().any(|segment| segment.contains('*')) {
        return None;
    }
    let first: Vec<_> = first.iter().map(|segment| escaped(segment)).collect();
    let host = bound.host.to_authority();
    let port = match bound.port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    Some(format!("https://{host}{port}/{}", first.join("/")))
}

/// A segment as it stands in a URL.
fn escaped(segment: &str) -> String {
    let escape = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    segment.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use agentguard_core::{Host, Secret};

    use super::*;

    fn lent(bound: &[(&str, u16, &str, &[&str], Slot)]) -> Credential {
        let binding =
            |(host, port, path, methods, slot): &(&str, u16, &str, &[&str], Slot)| Binding {
                host: Host::parse(host).unwrap(),
                port: *port,
                path: path
                    .split('/')
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect(),
                methods: methods.iter().map(ToString::to_string).collect(),
                slot: slot.clone(),
            };
        Credential {
            name: CredentialName::parse("git").unwrap(),
            placeholder: "ghp_stands".to_owned(),
            secret: Secret::new(b"ghp_secret".to_vec()),
            bound: bound.iter().map(binding).collect(),
        }
    }

    #[test]
    fn git_is_told_of_what_goes_as_basic_to_all_below_a_beginning() {
        let header = Slot::Header {
            name: "authorization".to_owned(),
        };
        let lent = [lent(&[
            ("git.example.org", 443, "", &[], Slot::Basic),
            (
                "git.example.org",
                8443,
                "acme/a b.git/**",
                &["GET", "POST"],
                Slot::Basic,
            ),
            // None of these is git's.
            ("api.example.org", 443, "", &[], header),
            ("one.example.org", 443, "acme", &[], Slot::Basic),
            ("two.example.org", 443, "*/acme/**", &[], Slot::Basic),
            ("three.example.org", 443, "", &["GET"], Slot::Basic),
        ])];
        let told = git_settings(&lent, |_| None);
        let keys: Vec<_> = told.iter().map(|(key, _)| key.as_str()).collect();
        let [whole, below] = [
            "http.https://git.example.org/.extraHeader",
            "http.https://git.example.org:8443/acme/a%20b.git.extraHeader",
        ];
        assert_eq!(keys, [whole, whole, below, below]);
        let header = format!(
            "Authorization: Basic {}",
            Base64::encode_string(b"x-access-token:ghp_stands")
        );
        let values: Vec<_> = told.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["", header.as_str(), "", header.as_str()]);
        // As another user, where the credential says so.
        let told = git_settings(&lent, |name| (name.as_str() == "git").then_some("oauth2"));
        let both = Base64::encode_string(b"oauth2:ghp_stands");
        assert_eq!(told[1].1, format!("Authorization: Basic {both}"));
    }

    #[test]
    fn one_place_is_sent_one_credential() {
        let place = ("git.example.org", 443, "", &[][..], Slot::Basic);
        let both = [(); 2].map(|()| lent(std::slice::from_ref(&place)));
        let told = git_settings(&both, |_| None);
        assert_eq!(told.len(), 2);
    }
}
