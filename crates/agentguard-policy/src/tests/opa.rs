//! What the engine answers, as it is set up here, against what OPA 1.20.2 answered to the same policies.

use std::collections::BTreeMap;

use regorus::Value;
use serde::Deserialize;

use agentguard_core::Tier;

use super::tiers::Folder;
use crate::error::engine_message;
use crate::sources::{File, Source};
use crate::whole::Whole;
use crate::{Sources, check};

/// One policy a line, with a query, its input, and OPA's answer.
const VECTORS: &str = include_str!("../../../../tests/vectors/rego/opa-1.20.2.jsonl");

#[derive(Deserialize)]
struct Vector {
    name: String,
    rego: String,
    query: String,
    input: serde_json::Value,
    #[serde(default)]
    data: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    opa: String,
}

/// Differences of one kind: why there are, what is answered here, and what `policy check` says.
struct Difference {
    reason: &'static str,
    /// The beginning of the answer.
    answer: &'static str,
    /// A part of what the check says. `None` where it says nothing.
    check: Option<&'static str>,
    names: &'static [&'static str],
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "the engine does not have them",
        answer: "ERR could not find function ",
        check: Some("there is no function `"),
        names: &[
            "array.flatten",
            "crypto.hmac.equal",
            "crypto.hmac.sha256",
            "crypto.md5",
            "crypto.parse_private_keys",
            "crypto.sha1",
            "crypto.sha256",
            "graphql.is_valid",
            "internal.member_2",
            "io.jwt.decode",
            "io.jwt.encode_sign",
            "io.jwt.verify_hs256",
            "net.cidr_contains_matches",
            "net.cidr_intersects",
            "net.cidr_merge",
            "regex.globs_match",
            "rego.metadata.chain",
            "rego.metadata.rule",
            "rego.parse_module",
            "strings.render_template",
            "strings.split_n",
            "uri.is_valid",
            "uri.parse",
        ],
    },
    Difference {
        reason: "they are left out of the engine: rules have no use for them, and they bring code along",
        answer: "ERR could not find function ",
        check: Some("there is no function `"),
        names: &[
            "json.match_schema",
            "json.patch",
            "json.verify_schema",
            "time.add_date",
            "time.clock",
            "time.date",
            "time.diff",
            "time.format",
            "time.parse_duration_ns",
            "time.parse_ns",
            "time.parse_rfc3339_ns",
            "time.weekday",
            "urlquery.decode",
            "urlquery.decode_object",
            "urlquery.encode",
            "urlquery.encode_object",
            "yaml.is_valid",
            "yaml.marshal",
            "yaml.unmarshal",
        ],
    },
    Difference {
        reason: "a decision is a function of `input`",
        answer: "ERR `",
        check: Some(": rules see `input` only"),
        names: &[
            "http.send",
            "net.lookup_ip_addr",
            "opa.runtime",
            "rand.intn",
            "time.now_ns",
            "uuid.parse",
            "uuid.rfc4122",
        ],
    },
    Difference {
        reason: "the engine has no template strings",
        answer: "ERR invalid character",
        check: Some("invalid character"),
        names: &["template string $", "template string raw"],
    },
    Difference {
        reason: "the engine's formats are fewer",
        answer: "ERR number specified for format verb",
        check: Some("`sprintf` knows no `%5.`"),
        names: &["sprintf %5.2f"],
    },
    Difference {
        reason: "the engine's formats are fewer",
        answer: "OK \"00042|5s||%\"",
        check: Some("`sprintf` knows no `%-`"),
        names: &["sprintf %-5s"],
    },
    Difference {
        reason: "numbers beyond 64 bits are rounded by `+`",
        answer: "OK 1.2345678901234568e+22",
        check: None,
        names: &["bigint"],
    },
    Difference {
        reason: "the engine finds what leads back to itself when it comes to it: loading looks for it before",
        answer: "OK 4",
        check: Some("leads back to itself"),
        names: &["dynamic ref"],
    },
];

impl Vector {
    /// Its name in the list of differences: that of the builtin where it is about one.
    fn short_name(&self) -> &str {
        let name = self.name.strip_prefix("B:").unwrap_or(&self.name);
        let (short, rest) = name.split_once(" :: ").unwrap_or((name, ""));
        match short {
            "sprintf" if rest.contains("%5.2f") => "sprintf %5.2f",
            "sprintf" if rest.contains("%-5s") => "sprintf %-5s",
            short => short,
        }
    }

    /// What the engine answers, in the words of the vectors. The file is one for tests, where `with` may stand.
    fn answer(&self) -> String {
        let file = |name: String, text: String| File {
            name,
            text: text.into(),
        };
        let mut files = vec![file("t_test.rego".to_owned(), self.rego.clone())];
        for (package, rules) in &self.data {
            let rules: String = rules
                .iter()
                .map(|(name, value)| format!("{name} := {value}\n"))
                .collect();
            files.push(file(
                format!("{package}.rego"),
                format!("package {package}\n{rules}"),
            ));
        }
        let source = Source {
            tier: Tier::User,
            directory: "vectors".to_owned(),
            files,
            embedded: false,
        };
        let whole = match Whole::load(&source, &[]) {
            Ok(whole) => whole,
            Err(mistakes) => return format!("ERR {}", mistakes[0].message),
        };
        let input = Value::from_json_str(&self.input.to_string()).unwrap();
        match whole.query(&self.query, input) {
            Ok(values) => values
                .first()
                .map_or("UNDEF".to_owned(), |value| format!("OK {value}")),
            Err(said) => format!("ERR {}", engine_message(&said)),
        }
    }

    fn is_answered_by(&self, answer: &str) -> bool {
        match (answer.strip_prefix("OK "), self.opa.strip_prefix("OK ")) {
            (Some(ours), Some(theirs)) => {
                let value = |text: &str| Value::from_json_str(text).unwrap();
                // Reading a long number rounds it.
                let mut words = theirs.split(|c: char| !c.is_ascii_digit());
                let is_exact = words.all(|digits| digits.len() < 17);
                ours == theirs || (is_exact && value(ours) == value(theirs))
            }
            // Each has its own words for what is wrong.
            (None, None) => answer.split(' ').next() == self.opa.split(' ').next(),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// What the check says of the policy as one that decides.
    fn check(&self) -> Vec<String> {
        let folder = Folder::new("opa", &[("t.rego", &self.rego)]);
        let checked = check(&Sources::alone(folder.path())).unwrap();
        let mistakes = checked.mistakes.into_iter();
        mistakes.map(|mistake| mistake.message).collect()
    }
}

fn vectors() -> Vec<Vector> {
    let lines = VECTORS.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn expected(vector: &Vector) -> Option<&'static Difference> {
    let mut all = DIFFERENCES.iter();
    all.find(|one| one.names.contains(&vector.short_name()))
}

#[test]
fn what_differs_from_opa_is_what_the_list_says_and_nothing_else() {
    for vector in vectors() {
        let answer = vector.answer();
        match expected(&vector) {
            None => assert!(
                vector.is_answered_by(&answer),
                "{}: {answer}, and OPA {}",
                vector.name,
                vector.opa
            ),
            Some(difference) => {
                assert!(
                    answer.starts_with(difference.answer) && !vector.is_answered_by(&answer),
                    "{}: {answer}, and OPA {} ({})",
                    vector.name,
                    vector.opa,
                    difference.reason
                );
                let said = vector.check();
                let is_said = |part: &str| said.iter().any(|one| one.contains(part));
                assert!(
                    difference.check.map_or(said.is_empty(), is_said),
                    "{}: {said:?}",
                    vector.name
                );
            }
        }
    }
}

#[test]
fn every_difference_is_of_a_vector() {
    let all = vectors();
    let vectors: Vec<&str> = all.iter().map(Vector::short_name).collect();
    for name in DIFFERENCES.iter().flat_map(|one| one.names) {
        assert!(vectors.contains(name), "{name}");
    }
    assert_eq!(vectors.len(), 210);
}

/// What an author reads of differences is this list.
#[test]
fn the_page_names_every_difference() {
    let page = include_str!("../../../../docs/policy.md");
    for difference in DIFFERENCES {
        assert!(page.contains(difference.reason), "{}", difference.reason);
    }
}
