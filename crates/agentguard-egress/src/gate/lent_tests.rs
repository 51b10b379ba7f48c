use agentguard_core::{Host, Secret};
use hyper::Request;

use super::*;
use crate::gate::request;

fn lent(slots: &[Slot]) -> Lent {
    lent_as("placeholder", slots)
}

fn lent_as(placeholder: &str, slots: &[Slot]) -> Lent {
    let bound = |slot: &Slot| Binding {
        host: Host::parse("api.test").unwrap(),
        port: 443,
        path: Vec::new(),
        methods: Vec::new(),
        slot: slot.clone(),
    };
    Lent::new(vec![wire::Lent {
        name: CredentialName::parse("one").unwrap(),
        placeholder: placeholder.to_owned(),
        secret: Secret::new(b"a secret:word".to_vec()),
        bound: slots.iter().map(bound).collect(),
    }])
    .unwrap()
}

fn origin(host: &str, port: u16) -> Origin {
    Origin {
        scheme: Scheme::Https,
        host: Host::parse(host).unwrap(),
        port,
        slash: crate::gate::path::Slash::Unclear,
        caller: agentguard_core::Caller::unknown(),
    }
}

fn uses(lent: &Lent, target: &str, authorization: &str) -> (Result<Uses, Unfit>, Read) {
    let request = Request::get(target).header("host", "api.test");
    let request = request.header("authorization", authorization);
    let parts = request.body(()).unwrap().into_parts().0;
    let origin = origin("api.test", 443);
    let read = request::read(&origin, &parts).unwrap();
    (lent.uses(&origin, &parts.headers, &read), read)
}

fn put(slot: Slot, target: &str, authorization: &str) -> Result<Read, String> {
    let (origin, lent) = (origin("api.test", 443), lent(&[slot]));
    let (uses, mut read) = uses(&lent, target, authorization);
    let uses = uses.unwrap();
    lent.put(&uses, &origin, &mut read, None).map(|()| read)
}

#[test]
fn what_is_put_into_a_header_is_kept_in_no_table() {
    let name = "authorization".to_owned();
    let read = put(Slot::Header { name }, "/", "Bearer placeholder").unwrap();
    assert_eq!(read.headers["authorization"], "Bearer a secret:word");
    assert!(read.headers["authorization"].is_sensitive());
}

#[test]
fn what_does_not_fit_is_not_put() {
    let user = Base64::encode_string(b"placeholder:x");
    assert!(put(Slot::Basic, "/", &format!("Basic {user}")).is_err());
    let password = Base64::encode_string(b"x:placeholder");
    let read = put(Slot::Basic, "/", &format!("Basic {password}")).unwrap();
    let expected = Base64::encode_string(b"x:a secret:word");
    assert_eq!(read.headers["authorization"], format!("Basic {expected}"));
    let name = "k".to_owned();
    let read = put(Slot::Query { name }, "/?k=placeholder", "Bearer x").unwrap();
    assert_eq!(read.target.sent, "/?k=a%20secret%3Aword");
}

#[test]
fn a_credential_that_cannot_be_told_apart_is_none() {
    for (placeholder, secret) in [
        ("short", "secret"),
        ("place holder", "s"),
        ("placeholder", ""),
    ] {
        let one = wire::Lent {
            name: CredentialName::parse("one").unwrap(),
            placeholder: placeholder.to_owned(),
            secret: Secret::new(secret.as_bytes().to_vec()),
            bound: Vec::new(),
        };
        assert!(Lent::new(vec![one]).is_err(), "{placeholder}");
    }
}

#[test]
fn what_a_host_was_told_it_may_say_at_any_port() {
    let lent = lent(&[Slot::Basic]);
    assert!(lent.is_bound_to(&origin("api.test", 443)));
    assert!(lent.is_bound_to(&origin("api.test", 8443)));
    assert!(!lent.is_bound_to(&origin("other.test", 443)));
}

#[test]
fn a_placeholder_across_pairs_of_a_query_is_one() {
    let lent = lent_as("place=hold&er", &[Slot::Basic]);
    for (target, is_fine) in [
        ("/?place=hold&er=1", false),
        ("/x?aplace=hold&er", false),
        ("/?place=hold&e", true),
    ] {
        let (uses, _) = uses(&lent, target, "Bearer x");
        assert_eq!(uses.is_ok(), is_fine, "{target}");
    }
}
