//! What was lent, and taken back while the session runs.

use std::time::Duration;

use agentguard_core::{
    AddressClass, Api, Binding, CredentialAct, CredentialName, Host, Scheme, Secret, Slot,
};
use agentguard_credentials::{Keeping, Kept, Shelf, Source, Terms, digest};
use agentguard_egress::{Govern as _, Refused};

use super::*;
use crate::Silent;
use crate::approvals::Book;
use crate::lending::Lending;
use crate::supervise::Supervisor;

const TOKEN: &[u8] = b"ghp_0123456789abcdefghij0123456789abcdef";

fn name() -> CredentialName {
    CredentialName::parse("github").unwrap()
}

fn add(shelf: &Shelf, expires: Option<u64>) -> Kept {
    let slot = Slot::Header {
        name: "authorization".to_owned(),
    };
    let terms = Terms {
        name: name(),
        bound: vec![Binding {
            host: Host::parse("api.github.com").unwrap(),
            port: 443,
            path: Vec::new(),
            methods: Vec::new(),
            slot,
        }],
        variables: Vec::new(),
        agents: Vec::new(),
        source: Source::Kept {
            keeping: Keeping::File,
        },
        expires,
        user: None,
    };
    let token = Secret::new(TOKEN.to_vec());
    shelf.add(terms, Some(&token), 1).unwrap()
}

fn asks(credentials: Vec<CredentialName>) -> Api {
    Api {
        scheme: Scheme::Https,
        host: "api.github.com".to_owned(),
        port: 443,
        method: "GET".to_owned(),
        path: vec!["user".to_owned()],
        query: std::collections::BTreeMap::new(),
        headers: std::collections::BTreeMap::new(),
        caller_sha256: None,
        body_seen: true,
        graphql: None,
        pushes: false,
        ssh: false,
        upgrade: None,
        body: None,
        form: None,
        address: "192.0.2.1".to_owned(),
        class: AddressClass::Public,
        caller: "unknown".to_owned(),
        credentials,
    }
}

/// Runs `test` in a session that was lent a credential, and answers what became of credentials in its log.
fn lent(
    expires: Option<u64>,
    test: impl Fn(&Path, &Shelf, &dyn Fn(Vec<CredentialName>) -> Result<(), Refused>),
) -> Vec<CredentialAct> {
    let recorded = recorded(Evidence::Asserted, None);
    recorded.start(&recorded.session()).unwrap();
    let state = recorded.scratch.places().state;
    let shelf = Shelf::make(&state).unwrap();
    let kept = add(&shelf, expires);
    let mut lending = Lending::from(Shelf::open(&state).unwrap());
    lending.put(kept, digest(&Secret::new(TOKEN.to_vec())));
    lending.begin(&recorded.record).unwrap();
    let policy = (&recorded.judge, &recorded.confined);
    let places = recorded.scratch.places();
    let signing = (Signers::read(&places).unwrap(), Evidence::None);
    let nobody = Duration::ZERO;
    let book = Book::new(places, recorded.session(), Vec::new(), nobody, signing);
    let gate = session_gate(policy, Enforcement::Policy, &recorded.record, &book);
    let of_session = (&recorded.record, &book, &lending);
    let supervisor = Supervisor::new((&gate, &recorded.judge), of_session, &Silent);
    test(&state, &shelf, &|names| {
        supervisor.request(asks(names)).map(|_| ())
    });
    lending.end();
    let Recorded {
        scratch,
        record,
        directory,
        ..
    } = recorded;
    record.end(OutcomeOf::Exited { code: 0 }).unwrap();
    let report =
        crate::verify_session(&directory, &Keys::pinned(&scratch.places()).unwrap()).unwrap();
    assert!(report.is_verified(), "{report:?}");
    let mut acts = Vec::new();
    for event in entries(&directory) {
        if let Event::Credential {
            act,
            handle,
            token_sha256,
        } = event
        {
            assert_eq!(
                (handle.as_str(), token_sha256),
                ("github", Digest::of(TOKEN))
            );
            acts.push(act);
        }
    }
    acts
}

fn rule(refused: Result<(), Refused>) -> String {
    refused.unwrap_err().rule.id.to_string()
}

#[test]
fn what_was_lent_is_used_until_it_is_revoked_and_not_once_more() {
    let acts = lent(None, |_, shelf, request| {
        request(vec![name()]).unwrap();
        request(Vec::new()).unwrap();
        request(vec![name()]).unwrap();
        shelf.revoke(&name(), 2).unwrap();
        assert_eq!(rule(request(vec![name()])), "credential/revoked");
        assert_eq!(rule(request(vec![name()])), "credential/revoked");
        // Another that is added in its place is not the one that was lent.
        add(shelf, None);
        assert_eq!(rule(request(vec![name()])), "credential/revoked");
        request(Vec::new()).unwrap();
    });
    let expected = [
        CredentialAct::Mint,
        CredentialAct::Use,
        CredentialAct::Use,
        CredentialAct::Revoke,
    ];
    assert_eq!(acts, expected);
}

#[test]
fn what_has_expired_or_was_never_lent_or_cannot_be_looked_up_is_refused() {
    let acts = lent(Some(2), |_, _, request| {
        assert_eq!(rule(request(vec![name()])), "credential/expired");
        let other = CredentialName::parse("other").unwrap();
        assert_eq!(rule(request(vec![other])), "credential/not-lent");
    });
    assert_eq!(acts, [CredentialAct::Mint, CredentialAct::Revoke]);
    let acts = lent(None, |state, _, request| {
        request(vec![name()]).unwrap();
        let file = state.join("credentials/github.json");
        let whole = fs::read(&file).unwrap();
        fs::write(&file, "{").unwrap();
        assert_eq!(rule(request(vec![name()])), "credential/unknown");
        fs::write(&file, whole).unwrap();
        request(vec![name()]).unwrap();
    });
    let expected = [CredentialAct::Mint, CredentialAct::Use, CredentialAct::Use];
    assert_eq!(acts, expected);
}
