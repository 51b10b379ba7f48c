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
    let request = request.header("x-amz-date", "20150830T123600Z");
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

/// A signature of AWS, as it is made with what stands for its key.
fn signature(placeholder: &str, headers: &str) -> String {
    let scope = "20150830/us-east-1/s3/aws4_request";
    format!(
        "AWS4-HMAC-SHA256 Credential={placeholder}/{scope}, SignedHeaders={headers}, Signature={}",
        "0".repeat(64)
    )
}

#[test]
fn what_is_bound_to_one_place_goes_to_no_other() {
    let header = |name: &str| Slot::Header {
        name: name.to_owned(),
    };
    let query = |name: &str| Slot::Query {
        name: name.to_owned(),
    };
    let basic = format!("Basic {}", Base64::encode_string(b"x:placeholder"));
    let signed = signature("placeholder", "host;x-amz-date");
    let places = [
        (header("authorization"), "/", "Bearer placeholder"),
        (Slot::Basic, "/", basic.as_str()),
        (query("k"), "/?k=placeholder", "Bearer x"),
        (Slot::Aws, "/", signed.as_str()),
    ];
    let others = [
        header("x-key"),
        query("other"),
        Slot::Ssh {
            user: "git".to_owned(),
            host_keys: Vec::new(),
        },
    ];
    let slots = places.iter().map(|(slot, ..)| slot).chain(&others);
    for (slot, (own, target, authorization)) in
        slots.flat_map(|slot| places.iter().map(move |place| (slot, place)))
    {
        let (uses, _) = uses(&lent(std::slice::from_ref(slot)), target, authorization);
        match uses {
            Ok(_) => assert_eq!(slot, own),
            Err(Unfit::Misplaced(_)) => assert_ne!(slot, own),
            Err(Unfit::Fault(fault)) => panic!("{fault:?}"),
        }
    }
}

#[test]
fn a_token_is_of_the_credential_that_signs() {
    let one = |name: &str, placeholder: &str| wire::Lent {
        name: CredentialName::parse(name).unwrap(),
        placeholder: placeholder.to_owned(),
        secret: Secret::new(b"key-of-one:secret-of-one".to_vec()),
        bound: lent(&[Slot::Aws]).all.remove(0).bound,
    };
    let lent = Lent::new(vec![one("a", "placeholder-a"), one("b", "placeholder-b")]).unwrap();
    let signed = signature("placeholder-a", "host;x-amz-date;x-amz-security-token");
    for (authorization, token, is_fine) in [
        (signed.as_str(), "placeholder-a", true),
        (&signed, "placeholder-b", false),
        ("Bearer x", "placeholder-a", false),
    ] {
        let request = Request::get("/").header("host", "api.test");
        let request = request.header("authorization", authorization);
        let request = request.header("x-amz-date", "20150830T123600Z");
        let request = request.header("x-amz-security-token", token);
        let parts = request.body(()).unwrap().into_parts().0;
        let origin = origin("api.test", 443);
        let read = request::read(&origin, &parts).unwrap();
        let uses = lent.uses(&origin, &parts.headers, &read);
        assert_eq!(uses.is_ok(), is_fine, "{token} {uses:?}");
    }
}
