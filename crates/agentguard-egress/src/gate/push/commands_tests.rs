use agentguard_core::{RefChange, RefKind};

use super::*;

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const NONE: &str = "0000000000000000000000000000000000000000";

fn lines(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        pkt::put(&mut bytes, line.as_bytes());
    }
    pkt::flush(&mut bytes);
    bytes
}

fn push(bytes: &[u8]) -> Commands {
    match read(bytes) {
        Ok(Read::Push(commands)) => commands,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_push_says_what_becomes_of_each_ref() {
    let first =
        format!("{NONE} {NEW} refs/heads/a\0 report-status side-band-64k atomic agent=git/2");
    let bytes = lines(&[
        &first,
        &format!("{OLD} {NEW} refs/heads/b/c\n"),
        &format!("{OLD} {NONE} refs/tags/v1"),
        &format!("{OLD} {NEW} HEAD"),
    ]);
    let commands = push(&[&bytes[..], b"PACK..."].concat());
    let told: Vec<_> = commands
        .refs
        .iter()
        .map(|update| (update.kind, update.short.as_str(), update.change))
        .collect();
    assert_eq!(
        told,
        [
            (RefKind::Branch, "a", RefChange::Create),
            (RefKind::Branch, "b/c", RefChange::Update),
            (RefKind::Tag, "v1", RefChange::Delete),
            (RefKind::Other, "HEAD", RefChange::Update),
        ]
    );
    assert!(commands.atomic && commands.side_band && commands.report && !commands.signed);
    assert_eq!(commands.length, bytes.len());
}

#[test]
fn options_come_after_the_commands() {
    let first = format!("{NONE} {NEW} refs/heads/a\0report-status push-options");
    let mut bytes = lines(&[&first]);
    assert_eq!(read(&bytes), Ok(Read::Unfinished));
    bytes.extend(lines(&["ci.skip\n", "b"]));
    assert_eq!(push(&bytes).options, ["ci.skip", "b"]);
}

#[test]
fn a_certificate_holds_the_commands() {
    let bytes = lines(&[
        "push-cert\0report-status push-cert=x",
        "certificate version 0.1\n",
        "pusher key 1 +0000\n",
        "nonce x\n",
        "\n",
        &format!("{OLD} {NEW} refs/heads/main\n"),
        "-----BEGIN SSH SIGNATURE-----\n",
        &format!("{OLD} {NEW} refs/heads/other\n"),
        "-----END SSH SIGNATURE-----\n",
        "push-cert-end\n",
    ]);
    let commands = push(&bytes);
    assert!(commands.signed);
    let names: Vec<_> = commands
        .refs
        .iter()
        .map(|update| update.name.as_str())
        .collect();
    assert_eq!(names, ["refs/heads/main"]);
    let line = format!("{OLD} {NEW} refs/heads/other\n");
    let mut after = bytes;
    after.truncate(after.len() - 4);
    pkt::put(&mut after, line.as_bytes());
    pkt::flush(&mut after);
    assert!(read(&after).is_err());
}

#[test]
fn a_probe_asks_for_nothing() {
    assert_eq!(read(b"0000"), Ok(Read::Probe));
    assert!(read(b"0000PACK").is_err());
    assert_eq!(read(b""), Ok(Read::Unfinished));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let one = |line: String| read(&lines(&[&line]));
    let to = |name: &str| one(format!("{OLD} {NEW} {name}\0report-status"));
    for name in [
        "refs/heads/",
        "refs/heads/a b",
        "refs/heads/a..b",
        "refs/heads/.a",
        "refs/heads/a.lock",
        "refs/heads/a.LOCK",
        "refs/heads/a/",
        "refs/heads//a",
        "refs/heads/a~1",
        "refs/heads/a:b",
        "refs/heads/a@{0}",
        "refs/heads/a.",
        "refs/main",
        "heads/a",
        "main",
        "",
        "refs/heads/a\u{200b}",
        "refs/heads/\u{202e}a",
        "refs/heads/a\u{7f}",
        "refs/heads/*",
        "refs/heads/[a]",
        "refs/heads/a\\b",
        "@",
    ] {
        assert!(to(name).is_err(), "{name:?}");
    }
    assert!(to("refs/heads/ä/b").is_ok());
    for line in [
        format!("{NONE} {NONE} refs/heads/a"),
        format!("{OLD} {NEW}"),
        format!("{OLD}  {NEW} refs/heads/a"),
        format!(
            "{} {NEW} refs/heads/a",
            OLD.to_uppercase().replace('1', "A")
        ),
        format!("{} {NEW} refs/heads/a", OLD.strip_prefix('1').unwrap()),
        format!("{OLD} {NEW} refs/heads/a\nrefs/heads/main"),
        format!("{OLD} {NEW} refs/heads/a\0object-format=sha512"),
        "shallow x".to_owned(),
    ] {
        assert!(one(line.clone()).is_err(), "{line:?}");
    }
    let command = format!("{OLD} {NEW} refs/heads/a");
    assert!(read(&lines(&[&command, &command])).is_err());
    let twice = format!("{command}\0a");
    let other = format!("{OLD} {NEW} refs/heads/b\0a");
    assert!(read(&lines(&[&twice, &other])).is_err());
}

#[test]
fn it_is_bounded() {
    let many: Vec<_> = (0..=MOST_COMMANDS)
        .map(|number| format!("{OLD} {NEW} refs/heads/{number}"))
        .collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert!(read(&lines(&many)).is_err());
    let mut endless = Vec::new();
    while endless.len() < LONGEST {
        pkt::put(&mut endless, format!("shallow {OLD}").as_bytes());
    }
    assert!(read(&endless).is_err());
}

#[test]
fn fuzz_a_push_is_read_whole_or_not_at_all() {
    let first = format!("00a5{NONE} {NEW} refs/heads/a\0report-status side-band-64k push-options");
    let words = [
        "0000",
        "0001",
        "0004",
        "push-cert\0",
        "push-cert-end\n",
        "-----BEGIN ",
        "shallow ",
        "refs/heads/",
        "refs/tags/",
        "HEAD",
        OLD,
        NEW,
        NONE,
        "\0",
        "\n",
        " ",
        "atomic",
        "object-format=sha1",
        &first,
    ];
    crate::mutate::fuzz("push", &words, |bytes| match read(bytes) {
        Ok(Read::Unfinished) => "unfinished".to_owned(),
        Ok(Read::Probe) => "probe".to_owned(),
        Ok(Read::Push(commands)) => {
            // What follows changes nothing, and without its last byte it is no push.
            let longer = [bytes, b"PACK"].concat();
            assert_eq!(read(&longer), Ok(Read::Push(push(bytes))));
            let shorter = read(&bytes[..commands.length - 1]);
            assert!(!matches!(shorter, Ok(Read::Push(_))), "{shorter:?}");
            let names: HashSet<_> = commands.refs.iter().map(|update| &update.name).collect();
            assert_eq!(names.len(), commands.refs.len());
            assert!(
                commands
                    .refs
                    .iter()
                    .all(|update| !update.name.contains(char::is_control))
            );
            format!(
                "{} refs, {} options, {}",
                commands.refs.len().min(3),
                commands.options.len().min(2),
                commands.signed
            )
        }
        Err(why) => why.to_owned(),
    });
}

#[test]
fn names_are_as_long_as_the_push_says() {
    let new = "2".repeat(64);
    let none = "0".repeat(64);
    let long = |capabilities: &str| lines(&[&format!("{none} {new} refs/heads/a\0{capabilities}")]);
    assert_eq!(push(&long("object-format=sha256")).format, Hash::Sha256);
    let short = lines(&[&format!("{NONE} {NEW} refs/heads/a\0object-format=sha1")]);
    assert_eq!(push(&short).format, Hash::Sha1);
    for bytes in [
        long(""),
        long("object-format=sha1"),
        long("object-format=sha256 object-format=sha1"),
        long("object-format=sha1 object-format=sha256"),
        lines(&[&format!("{NONE} {NEW} refs/heads/a\0object-format=sha256")]),
        lines(&[
            &format!("{none} {new} refs/heads/a\0object-format=sha256"),
            &format!("{NONE} {NEW} refs/heads/b"),
        ]),
        lines(&[
            &format!("shallow {NEW}"),
            &format!("{none} {new} refs/heads/a\0object-format=sha256"),
        ]),
    ] {
        assert!(read(&bytes).is_err());
    }
}
