use serde_json::json;

use super::*;

#[test]
fn what_stands_in_it_is_read_and_what_is_computed_is_its_text() {
    let text = "# c\r\nresource \"aws_db_instance\" main {\n  size = 10 // c\n  name = \"a\\tb\"\n  on = true\n  \
                who = var.who\n  why = \"a ${var.b}\"\n  n = 1.50\n  m = -1\n  list = [1, local.a, null]\n  \
                tags = { a = 1, \"b\" : \"c\" }\n  odd = { (var.k) = 1 }\n  dollar = { \"$\" = \"x\" }\n  \
                lifecycle { prevent_destroy = true }\n  ingress {\n  }\n  ingress {\n  }\n  \
                provisioner \"local-exec\" {\n    command = <<-E\n      x ${y}\n    E\n  }\n}\n\
                resource \"aws_db_instance\" \"other\" {}\nvariable \"a\" {}\n";
    assert_eq!(
        read(text).unwrap(),
        json!({
            "resource": {"aws_db_instance": {
                "main": [{
                    "size": 10, "name": "a\tb", "on": true, "who": {"$": "var.who"}, "why": {"$": "\"a ${var.b}\""},
                    "n": {"$": "1.50"}, "m": -1, "list": [1, {"$": "local.a"}, null], "tags": {"a": 1, "b": "c"},
                    "odd": {"$": "{ (var.k) = 1 }"}, "dollar": {"$": "{ \"$\" = \"x\" }"},
                    "lifecycle": [{"prevent_destroy": true}], "ingress": [{}, {}],
                    "provisioner": {"local-exec": [{"command": {"$": "<<-E\n      x ${y}\n    E"}}]},
                }],
                "other": [{}],
            }},
            "variable": {"a": [{}]},
        })
    );
    assert_eq!(read("# nothing\n").unwrap(), json!({}));
    assert_eq!(read("a = 1\n").unwrap(), json!({"a": 1}));
}

#[test]
fn templates_and_notes_in_json_are_told_from_values() {
    let text = json!({
        "resource": {"//": "a note", "a": {"//": "a note", "x": {"n": "%{ if var.a }b%{ endif }"}}},
    });
    let read = json!({"resource": {"a": {"x": [{"n": {"$": "%{ if var.a }b%{ endif }"}}]}}});
    assert_eq!(of_json(text).unwrap(), read);
}

#[test]
fn the_same_as_json_is_read_to_the_same() {
    let text = json!({
        "//": "a note",
        "resource": [
            {"a": {"x": {"n": 1, "on": "${var.on}", "//": "c"}}},
            {"a": {"x": [{"n": 2}], "y": [{}]}},
        ],
        "terraform": {"backend": {"s3": {"bucket": "b"}}},
        "locals": [{"a": {"$": 1}}],
    });
    let read = of_json(text).unwrap();
    assert_eq!(
        read["resource"],
        json!({"a": {"x": [{"n": 1, "on": {"$": "${var.on}"}}, {"n": 2}], "y": [{}]}})
    );
    assert_eq!(
        read["terraform"],
        json!([{"backend": {"s3": {"bucket": "b"}}}])
    );
    assert_eq!(read["locals"], json!([{"a": {"$": "{\"$\":1}"}}]));
    for none in [
        json!([]),
        json!({"resource": {"a": 1}}),
        json!({"module": ["x"]}),
    ] {
        assert!(of_json(none.clone()).is_err(), "{none}");
    }
}

#[test]
fn hcl_that_readers_differ_on_is_not_read() {
    for text in [
        "\u{feff}a = 1\n",
        "a = 1\rb = 2\n",
        "# c\rb = 2\n",
        "a = \"%%%{ if true }b%{ endif }\"\n",
        "a = 1 # c\u{85}b = 2\n",
        "a = 1\na = 2\n",
        "a = { b = 1, \"b\" = 2 }\n",
        "a = 1\na {}\n",
        "a \"b\" {}\na {}\n",
        "a \"b\" {}\na \"b\" \"c\" {}\n",
        "a = \"$$${b}\"\n",
        "a = <<E\nx\nEx\nE\n",
        "a = <<E\nx\nE y\nE\n",
        "a = f(<<E\nx\nE\n)\n",
        "a = [\n",
        "a = \"\\x41\"\n",
        "a {\n  b = 1 }\n",
    ] {
        assert!(read(text).is_err(), "{text:?} is {:?}", read(text));
    }
    assert!(read(&"a {}\n".repeat(MOST_VALUES + 1)).is_err());
}

/// A stack is no larger where a push is judged.
fn on_a_small_stack(text: String) -> Result<Value, String> {
    let small = std::thread::Builder::new().stack_size(2 << 20);
    small.spawn(move || read(&text)).unwrap().join().unwrap()
}

/// Found by fuzzing: texts in templates in texts, which the parser does not count.
const TEXTS: &str = include_str!("../../../../../tests/fuzz/corpus/hcl/ae37f7b64e8f3db7");

#[test]
fn texts_within_one_another_are_bounded_too() {
    for (end, _) in TEXTS.char_indices() {
        let text = TEXTS.get(..end).unwrap();
        let _ = on_a_small_stack(text.to_owned());
    }
}

#[test]
fn what_is_nested_is_bounded_before_it_is_parsed() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{ a = ", "}"),
        ("f(", ")"),
        ("\"${", "}\""),
        ("a[", "]"),
        ("[for a in ", ": a]"),
        ("{for a in ", ": a => a}"),
        ("!", ""),
        ("-", ""),
        ("a ? ", ": 1"),
        ("a ? 1 : ", ""),
        ("\"%{if ", "}%{endif}\""),
    ] {
        for times in [10, 38, 64, 5000] {
            let text = format!("a = {}1{}\n", open.repeat(times), close.repeat(times));
            let read = on_a_small_stack(text);
            assert!(times <= 64 || read.is_err(), "{open} {times}");
            assert!(times > 10 || read.is_ok(), "{open} {times}");
        }
    }
    // As deep as both bounds let it be.
    let deep = "{for a in ".repeat(38) + &"!".repeat(25) + "1" + &": a => a}".repeat(38);
    assert!(on_a_small_stack(format!("a = {deep}\n")).is_ok());
    let blocks = |times: usize| "a {\n".repeat(times) + &"}\n".repeat(times);
    assert!(on_a_small_stack(blocks(30)).is_ok());
    assert!(on_a_small_stack(blocks(5000)).is_err());
    assert!(read(&format!("a = {{{}}}\n", "k = 1, ".repeat(501))).is_err());
    let names = |count: usize| {
        (0..count)
            .map(|n| format!("k{n} = 1\n"))
            .collect::<String>()
    };
    let many = |n: usize| format!("a{n} = {{\n{}}}\n", names(490));
    for (wide, is_read) in [
        ((0..40).map(many).collect::<String>(), true),
        (format!("a = {{\n{}}}\n", names(501)), false),
        (names(9000), true),
        (format!("a = 1{}\n", " + 1".repeat(30_000)), false),
        (format!("a = a{}\n", ".a".repeat(60_000)), true),
        (format!("a = <<E\n{}E\n", "\n  ".repeat(40_000)), true),
    ] {
        let read = on_a_small_stack(wide);
        assert_eq!(read.is_ok(), is_read, "{:?}", read.err());
    }
}

/// Each of these doubles the time with every repetition, and would outlast whoever waits.
#[test]
fn what_the_parser_would_read_very_often_is_not_read() {
    for unit in [
        "x%w%{",
        "x%w%(",
        "x%w%[",
        "x%w%{/*}*/",
        "x /*,*/ % w /*=*/ % {",
        "(x\n%w\n%(",
    ] {
        for times in [6, 30, 60] {
            let read = on_a_small_stack(format!("a = {}\n", unit.repeat(times)));
            assert!(read.is_err(), "{unit} {times}");
        }
    }
}

#[test]
fn fuzz_what_is_read_of_hcl_is_what_stands_in_it() {
    let words = [
        "a = ",
        "b {\n",
        "}\n",
        "\"x\" ",
        "resource \"a\" \"b\" {",
        "[",
        "]",
        "(",
        ")",
        "${",
        "%{if ",
        "<<E\n",
        "<<-E\n",
        "E\n",
        "# ",
        "//",
        "/*",
        "*/",
        "\r\n",
        "\\u0041",
        "? ",
        ": ",
        "for a in ",
        "=> ",
        "...",
        ".*",
        "null",
        "1e3",
        "$$",
    ];
    crate::mutate::fuzz("hcl", &words, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return "no text".to_owned();
        };
        match read(text) {
            Ok(value) => {
                let all = value.as_object().unwrap();
                // Each name stands in it.
                assert!(all.keys().all(|name| text.contains(name.as_str())));
                let computed = value.to_string().matches("{\"$\":").count();
                format!("{} and {}", all.len().min(3), computed.min(2))
            }
            Err(why) => why.split('`').next().unwrap().chars().take(30).collect(),
        }
    });
}
