//! What the log has of a request: all of it, and of what could be private nothing in the entries themselves.

use std::collections::BTreeSet;
use std::fs;

use agentguard::audit::{Entries, logs};
use agentguard::core::{Digest, Event, OutcomeOf};
use serde_json::{Value, json};

use crate::gated::{Server, assert_verifies, with_server};
use crate::scene::Scene;

const PRIVATE: &str = "ada-private";

/// Of each decision about a request, and of its outcome: the entry as it stands in the log, and the text beside it.
pub(crate) fn entries(scene: &Scene) -> Vec<(Value, Option<Value>)> {
    let home = scene.root.join("home");
    let places = agentguard::Places {
        state: home.join(".local/state/agentguard"),
        config: home.join(".config/agentguard"),
    };
    let mut found = Vec::new();
    // What came of one may be written down after the next was decided.
    let mut decided = BTreeSet::new();
    for log in logs(&places).unwrap() {
        for recorded in Entries::open(&log.directory).unwrap() {
            let recorded = recorded.unwrap();
            let event = &recorded.entry.event;
            if let Event::Decision { action, .. } = event
                && action == "api"
            {
                decided.insert(recorded.index);
            } else if let Event::Outcome { of, outcome, .. } = event
                && decided.contains(of)
            {
                assert!(matches!(outcome, OutcomeOf::Answered { .. }));
            } else {
                continue;
            }
            let text = recorded
                .text
                .map(|text| serde_json::from_str(&text).unwrap());
            found.push((serde_json::to_value(&recorded.entry).unwrap(), text));
        }
    }
    found
}

/// What was asked for of the network and decided by a rule: whom it was for, of each.
pub(crate) fn reached(scene: &Scene) -> Vec<String> {
    let home = scene.root.join("home");
    let places = agentguard::Places {
        state: home.join(".local/state/agentguard"),
        config: home.join(".config/agentguard"),
    };
    let logs = logs(&places).unwrap().into_iter();
    let entries = logs.flat_map(|log| Entries::open(&log.directory).unwrap());
    let texts = entries.filter_map(|recorded| recorded.unwrap().text);
    let texts = texts.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    texts
        .filter(|text| text["action"]["kind"] == "reach")
        .map(|text| text["action"]["host"].as_str().unwrap().to_owned())
        .collect()
}

fn posting(scene: &Scene, server: &Server) -> String {
    let policy = server.policy(scene, "");
    scene.write(
        "policy/rule.rego",
        "package agentguard.api.own\n\nallow contains {\"id\": \"own/posts\", \"reason\": \"it is this test's\"} if {\n\
         \tinput.action.method == \"POST\"\n\tinput.action.body_seen\n}\n",
    );
    policy
}

#[test]
fn a_request_is_one_entry_with_all_that_it_is_and_nothing_private_in_it() {
    with_server(|scene, server| {
        let policy = posting(scene, server);
        let form = format!("owner={PRIVATE}&note=two+words");
        let script = format!(
            "/usr/bin/curl -sS -A client/1 -d '{form}' 'http://api.test/{PRIVATE}/x?key={PRIVATE}'"
        );
        let ran = scene.run_with(&[&policy], &["sh", "-c", &script]);
        assert_eq!(ran.stdout, "reached", "{}", ran.stderr);
        assert_eq!(
            server.requests(),
            [format!("POST /{PRIVATE}/x?key={PRIVATE} HTTP/1.1")]
        );
        let entries = entries(scene);
        let [(decision, Some(text)), (outcome, Some(bodies))] = &entries[..] else {
            panic!("{entries:?}");
        };
        // Who, for whom, when, in which session; the rule; and a salted digest of the rest.
        for member in ["agent", "human", "session", "time"] {
            assert!(
                decision[member]
                    .as_str()
                    .is_some_and(|said| !said.is_empty()),
                "{member}"
            );
        }
        let event = &decision["event"];
        assert_eq!(event["ruling"]["ruling"], "allow");
        assert_eq!(event["ruling"]["rule"]["id"], "own/posts");
        assert!(
            event["text"]
                .as_str()
                .is_some_and(|text| text.starts_with("sha256:"))
        );
        let action = &text["action"];
        let curl = fs::read("/usr/bin/curl").unwrap();
        let expected = json!({
            "kind": "api", "scheme": "http", "host": "api.test", "port": 80, "method": "POST",
            "path": [PRIVATE, "x"], "query": {"key": [PRIVATE]},
            "headers": {
                "accept": "*/*", "user-agent": "client/1", "content-length": form.len().to_string(),
                "content-type": "application/x-www-form-urlencoded",
            },
            "form": {"owner": [PRIVATE], "note": ["two words"]}, "body_seen": true, "pushes": false, "ssh": false,
            "address": "127.0.0.1", "class": "local",
            "caller": action["caller"], "caller_sha256": Digest::of(&curl).to_string(),
        });
        assert_eq!(*action, expected);
        assert!(
            action["caller"]
                .as_str()
                .is_some_and(|caller| caller.ends_with("curl"))
        );
        // What came of it: status, bytes both ways, how long.
        let outcome = &outcome["event"]["outcome"];
        assert_eq!(
            (&outcome["status"], &outcome["sent"], &outcome["received"]),
            (&json!(200), &json!(form.len()), &json!(7))
        );
        assert!(outcome["milliseconds"].is_u64());
        // And their digests, beside the log.
        let passed = |body: &str| json!({"bytes": body.len(), "sha256": Digest::of(body.as_bytes()).to_string()});
        let expected = json!({"sent": passed(&form), "received": passed("reached")});
        assert_eq!(*bodies, expected);
        for (entry, _) in &entries {
            assert!(!entry.to_string().contains(PRIVATE), "{entry}");
        }
        assert_verifies(scene);
    });
}

/// Policy says what is private: it is judged and sent, and stands neither in the log nor beside it.
#[test]
fn what_policy_says_is_private_is_sent_and_not_written_down() {
    with_server(|scene, server| {
        let policy = posting(scene, server);
        scene.write(
            "policy/private.rego",
            "package agentguard.sandbox\n\nprivate contains \"owner\"\n\nprivate contains \"KEY\"\n\nprivate contains \"/people/*\"\n",
        );
        // What is started is recorded as well: nothing private is said on a command line here.
        let python = format!(
            "import json, urllib.request as u\n\
             for body, kind in [(b'owner={PRIVATE}&n=1', 'application/x-www-form-urlencoded'),\n\
             \x20    (json.dumps({{'n': [{{'owner': '{PRIVATE}'}}]}}).encode(), 'application/json')]:\n\
             \x20   request = u.Request('http://api.test/people/{PRIVATE}/notes?key={PRIVATE}&n=2', body, {{'Content-Type': kind}})\n\
             \x20   print(u.urlopen(request).read().decode())\n"
        );
        scene.write("home/work/ask.py", &python);
        let ran = scene.run_with(&[&policy], &["/usr/bin/python3", "ask.py"]);
        assert_eq!(ran.stdout, "reached\nreached\n", "{}", ran.stderr);
        let sent = format!("POST /people/{PRIVATE}/notes?key={PRIVATE}&n=2 HTTP/1.1");
        assert_eq!(server.requests(), [sent.as_str(); 2]);
        let entries = entries(scene);
        let texts: Vec<_> = entries
            .iter()
            .filter_map(|(_, text)| text.as_ref())
            .collect();
        // What could be found by the digest of all that was sent has none.
        let (texts, bodies): (Vec<_>, Vec<_>) = texts
            .into_iter()
            .partition(|text| text.get("action").is_some());
        assert_eq!(bodies.len(), 2);
        for bodies in bodies {
            assert!(bodies["sent"].is_null() && bodies["received"]["sha256"].is_string());
        }
        let instead = "[redacted:policy]";
        for text in &texts {
            assert_eq!(text["action"]["path"], json!(["people", instead, "notes"]));
            assert_eq!(text["action"]["query"], json!({"key": instead, "n": ["2"]}));
        }
        assert_eq!(
            texts[0]["action"]["form"],
            json!({"owner": instead, "n": ["1"]})
        );
        assert_eq!(
            texts[1]["action"]["body"],
            json!({"n": [{"owner": instead}]})
        );
        for (entry, text) in &entries {
            assert!(
                !format!("{entry} {text:?}").contains(PRIVATE),
                "{entry} {text:?}"
            );
        }
        assert_verifies(scene);
    });
}

/// Marks that turn what is read around, and are no control characters.
const TURNING: [char; 4] = ['\u{202e}', '\u{2066}', '\u{2028}', '\u{200f}'];

#[test]
fn what_is_asked_for_writes_no_lines_and_controls_no_terminal() {
    with_server(|scene, server| {
        let policy = server.policy(scene, "");
        let script = "/usr/bin/curl -sS -o /dev/null 'http://api.test/%E2%80%AEevil%C2%9b2J%E2%80%A8x'; \
                      ./attack http api.test 80 GET / \"$(printf 'a\\033[2J')\"; \
                      ./attack resolve 127.0.0.1 \"$(printf 'a\\033[2J\\nevil.test')\"";
        let ran = scene.run_with(&[&policy], &["sh", "-c", script]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(server.requests().len(), 1);
        let mut show = scene.command(scene.root.join("agentguard"));
        show.args(["log", "show"]);
        let shown = scene.run_command(show).stdout;
        assert!(shown.contains("evil"), "{shown:?}");
        for line in shown.lines() {
            let odd = line
                .chars()
                .find(|char| char.is_control() || TURNING.contains(char));
            assert_eq!(odd, None, "{line:?}");
            assert!(!line.starts_with("evil"), "{line:?}");
        }
        assert_verifies(scene);
    });
}
