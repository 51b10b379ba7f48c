use serde_json::json;

use super::super::path;
use super::*;

/// What is asked for: kinds, fields and arguments, in one line.
fn asked(fields: &[GraphqlField]) -> String {
    let shown = fields.iter().map(|field| {
        let kind = serde_json::to_value(field.operation).unwrap();
        let arguments = serde_json::to_string(&field.arguments).unwrap();
        format!("{} {} {arguments}", kind.as_str().unwrap(), field.field)
    });
    shown.collect::<Vec<_>>().join("; ")
}

fn read(body: &Value) -> Result<String, String> {
    at("/graphql", None, Some(body))
}

fn at(path: &str, query: Option<&str>, body: Option<&Value>) -> Result<String, String> {
    let target = path::read(path, query, path::Slash::Unclear).unwrap();
    match of(&target, body, None) {
        Ok(fields) => Ok(asked(&fields.unwrap_or_default())),
        Err(fault) => Err(fault.rule.id.to_string()),
    }
}

fn document(document: &str) -> Result<String, String> {
    read(&json!({ "query": document }))
}

#[test]
fn what_is_asked_for_is_shown_whatever_it_is_called() {
    for (text, shown) in [
        ("{ viewer { login } }", "query viewer {}"),
        ("query mutation { subscription }", "query subscription {}"),
        (
            "mutation { query: deleteRef(input: {refId: \"x\"}) { id } }",
            "mutation deleteRef {\"input\":{\"refId\":\"x\"}}",
        ),
        (
            "mutation M { ...F } fragment F on Mutation { a: b ... on Mutation { c } ... @include(if: true) { d } }",
            "mutation b {}; mutation c {}; mutation d {}",
        ),
        (
            "query A { a } mutation B { b }",
            "query a {}; mutation b {}",
        ),
        (
            "# mutation { x }\n,,query{a(n:-1.5e3,t:[1,true,null,WORD],s:\"\\u0041\\\"\",b:\"\"\"x\\\"\"\"y\"\"\")}",
            "query a {\"b\":\"x\\\"\\\"\\\"y\",\"n\":-1500.0,\"s\":\"A\\\"\",\"t\":[1,true,null,\"WORD\"]}",
        ),
        (
            "subscription S @live { a @skip(if: false) }",
            "subscription a {}",
        ),
        (
            "{ a { ...F } } fragment F on X { b { ...F } }",
            "query a {}",
        ),
        ("{ ...F } fragment F on X { a ...F }", "query a {}"),
    ] {
        assert_eq!(document(text).as_deref(), Ok(shown), "{text}");
    }
}

#[test]
fn variables_are_filled_in() {
    let text = "mutation M($i: In!, $n: Int = 7, $none: String) { a(input: $i, n: $n, none: $none, l: [$n, $none], o: {x: $n, y: $none}) }";
    for variables in [json!({"i": {"id": "x"}}), json!("{\"i\": {\"id\": \"x\"}}")] {
        assert_eq!(
            read(&json!({"query": text, "variables": variables})).as_deref(),
            Ok("mutation a {\"input\":{\"id\":\"x\"},\"l\":[7,null],\"n\":7,\"o\":{\"x\":7}}")
        );
    }
    let given = json!({"query": text, "variables": {"i": 1, "n": null}});
    let shown = "mutation a {\"input\":1,\"l\":[null,null],\"n\":null,\"o\":{\"x\":null}}";
    assert_eq!(read(&given).as_deref(), Ok(shown));
}

#[test]
fn batches_and_addresses_are_read_and_nothing_is_read_twice() {
    let batch = json!([{"query": "{ a }"}, {"query": "mutation { b }"}]);
    assert_eq!(read(&batch).as_deref(), Ok("query a {}; mutation b {}"));
    let url = "query=mutation($x:I){a(x:$x)}&variables=%7B%22x%22:1%7D";
    assert_eq!(
        at("/api/GraphQL/", Some(url), None).as_deref(),
        Ok("mutation a {\"x\":1}")
    );
    // Elsewhere it is shown where it is one.
    assert_eq!(
        at("/search", Some("query=%7Ba%7D"), None).as_deref(),
        Ok("")
    );
    assert_eq!(
        at("/search", None, Some(&json!({"query": "a word"}))).as_deref(),
        Ok("")
    );
    assert_eq!(
        at("/v1", None, Some(&json!({"query": "{a}"}))).as_deref(),
        Ok("query a {}")
    );
    // What is no document is none: a rule sees nothing of it.
    assert_eq!(read(&json!({"id": "persisted"})).as_deref(), Ok(""));
    for (query, body) in [
        (Some("query={a}"), json!({"query": "mutation { b }"})),
        (Some("query={a}&query={b}"), json!(null)),
        (Some("query={a}&variables={}&variables={}"), json!(null)),
        (Some("query={a}&variables=1"), json!(null)),
        (Some("query="), json!(null)),
        (None, json!([{"query": "{ a }"}, {"id": "persisted"}])),
        (None, json!({"query": 1})),
        (None, json!({"query": "{ a }", "variables": [1]})),
        (
            None,
            json!({"query": "{ a }", "variables": "{\"a\":1,\"a\":2}"}),
        ),
    ] {
        let read = at("/graphql", query, Some(&body));
        assert_eq!(
            read.as_deref(),
            Err(&"gate/graphql".to_owned()),
            "{query:?} {body}"
        );
    }
}

const NONE: &[&str] = &[
    "",
    " ",
    "{",
    "}",
    "{}",
    "{a",
    "{a}}",
    "a",
    "query",
    "query {",
    "query A B {a}",
    "{ a: }",
    "{ a: b: c }",
    "{ a() }",
    "{ a(b) }",
    "{ a(b: ) }",
    "{ a(b: 1, b: 2) }",
    "{ a(b: {c: 1, c: 2}) }",
    "{ a(b: $x) }",
    "{ ...F }",
    "{ ... }",
    "{ ...F } fragment F on X {a} fragment F on X {b}",
    "fragment F on X {a}",
    "fragment on on X {a} {a}",
    "type X { a: B }",
    "{a} type X { a: B }",
    "query ($a: [Int) {a}",
    "query ($a: Int = $a) { b(c: $a) }",
    "query ($a: Int, $a: Int) {a}",
    "{ a(b: 01) }",
    "{ a(b: 1x) }",
    "{ a(b: 1e999) }",
    "{ a(b: \"x) }",
    "{ a(b: \"\n\") }",
    "{ a(b: \"\\q\") }",
    "{ a(b: \"\\ud83d\\ude00\") }",
    "{ a(b: \"\"\"x) }",
    "{ \u{feff}a }",
    "{ é }",
    "{ a # \u{2028} mutation\n }",
    "{ a ; b }",
    "{ a .. b }",
];

#[test]
fn what_is_no_document_is_refused_where_one_is_expected() {
    let deep = format!("{{a{}{}}}", "{a".repeat(100), "}".repeat(100));
    let chain: String = (0..100)
        .map(|n| format!("fragment F{n} on X {{ ...F{} }}", n + 1))
        .collect();
    let chain = format!("{{ ...F0 }} {chain} fragment F100 on X {{ a }}");
    let many = format!("{{ {} }}", "a ".repeat(1000));
    let values = format!("{{ a(x: {}1{}) }}", "[".repeat(100), "]".repeat(100));
    let made = [deep, chain, many, values];
    for text in made.iter().map(String::as_str).chain(NONE.iter().copied()) {
        assert_eq!(
            document(text).as_deref(),
            Err(&"gate/graphql".to_owned()),
            "{text:.200}"
        );
    }
}

#[test]
fn what_is_shown_does_not_grow_beyond_what_was_said() {
    let long = "x".repeat(1000);
    let fields: String = (0..400).map(|n| format!("a{n}: a(x: $x) ")).collect();
    let body = json!({"query": format!("query ($x: S) {{ {fields} }}"), "variables": {"x": long}});
    assert!(read(&body).is_err());
    let name = "n".repeat(1000);
    let operations: String = (0..400)
        .map(|n| format!("query Q{n} {{ ...F }} "))
        .collect();
    assert!(document(&format!("{operations} fragment F on X {{ {name} }}")).is_err());
}

#[test]
fn fuzz_a_document_is_read_to_its_end_or_not_at_all() {
    const WORDS: &[&str] = &[
        "{",
        "}",
        "(",
        ")",
        "...",
        "...F ",
        "fragment F on X",
        "query",
        "mutation",
        "$x",
        ":",
        "[",
        "]",
        "\"",
        "\"\"\"",
        "#",
        "@d",
        "a",
        "1",
        "=",
        "\\",
    ];
    crate::mutate::fuzz("graphql", WORDS, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return "bytes".to_owned();
        };
        let variables = json!({"x": {"y": [1, "z"]}}).as_object().cloned().unwrap();
        let mut fields = Vec::new();
        match document::read(text).and_then(|read| read.fields(&variables, &mut fields)) {
            Ok(()) => {
                let shown = serde_json::to_string(&fields).unwrap();
                assert!(shown.len() < 1 << 20);
                // Comments, commas and spaces say nothing.
                let mut again = Vec::new();
                let spaced = format!(" ,#x\n{text}\n,");
                document::read(&spaced)
                    .unwrap()
                    .fields(&variables, &mut again)
                    .unwrap();
                assert_eq!(fields, again);
                format!("read {}", fields.len().min(4))
            }
            Err(reason) => reason.to_owned(),
        }
    });
}
