//! Names that lead elsewhere: judged by what a resolver was asked, and a server that stands at every address heard.

use std::fs;

use serde_json::{Value, json};

use crate::gated::{assert_verifies, network_decisions};
use crate::scene::{Ran, Scene, as_everyone, level};
use crate::turned::leads_to_the_same_gate;
use agentguard::core::Level;

const INTERNET: &str = include_str!("attacks/internet.py");
/// One that is nobody's here, and everybody's to reach.
const PUBLIC: &str = "93.184.216.34";

/// A network of its own with a resolver that says `names`, and a server at every address. `granted` is what the session
/// may reach; each script is a session of its own.
fn play(scene: &Scene, names: &Value, granted: &str, scripts: &[&str]) -> Ran {
    let directory = scene.directory("internet");
    scene.write("internet/internet.py", INTERNET);
    scene.write("internet/names.json", &names.to_string());
    scene.write(
        "internet/resolv.conf",
        "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n",
    );
    scene.write("internet/nsswitch.conf", "hosts: dns\n");
    for file in ["asked", "heard"] {
        scene.write(&format!("internet/{file}"), "");
    }
    let _ = fs::remove_file(directory.join("ready"));
    let policy = scene.policy(&format!(
        "package agentguard.sandbox\n\nhosts contains \"{granted}\"\n"
    ));
    let mut sessions = String::new();
    for (number, script) in scripts.iter().enumerate() {
        let file = scene.write(&format!("home/work/session-{number}.sh"), script);
        sessions += &format!("$guard {policy} -- sh {}; ", file.display());
    }
    // It is there when it says so; a second is for a machine that does much else.
    let within = format!(
        "mount --bind $d/resolv.conf /etc/resolv.conf && mount --bind $d/nsswitch.conf /etc/nsswitch.conf && \
         {{ python3 $d/internet.py $d & }} && for i in $(seq 60); do [ -e $d/ready ] || sleep 0.5; done && \
         [ -e $d/ready ] && {sessions} kill $!"
    );
    scene.write("internet/play.sh", &within);
    let outside = format!(
        "export guard d={}; exec unshare --net sh $d/play.sh",
        directory.display()
    );
    let ran = scene.run_command(scene.mounting(&outside));
    assert!(directory.join("ready").exists(), "{}", ran.stderr);
    ran
}

fn lines(scene: &Scene, file: &str) -> Vec<String> {
    let text = fs::read_to_string(scene.root.join("internet").join(file)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Asks for a page of each, and says the status.
fn asks<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let one = |name| {
        format!(
            "curl -sS -o /dev/null --max-time 30 -w '{name} %{{http_code}}\\n' http://{name}/\n"
        )
    };
    names.into_iter().map(one).collect()
}

fn with_internet(test: impl Fn(&Scene)) {
    as_everyone(|scene| match level() {
        Level::Full => test(scene),
        Level::NoNamespaces | Level::OldKernel => leads_to_the_same_gate(scene),
    });
}

/// What a granted name may not lead to, by the rule that says so.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("loopback", "127.0.0.1", "network/address"),
    ("unspecified", "0.0.0.0", "network/address"),
    ("private", "10.0.0.5", "network/address"),
    ("private-b", "172.16.0.1", "network/address"),
    ("private-c", "192.168.1.1", "network/address"),
    ("link-local", "169.254.1.1", "network/address"),
    ("shared", "100.64.0.1", "network/address"),
    ("tests", "192.0.2.1", "network/address"),
    ("fake", "198.18.0.1", "network/address"),
    ("multicast", "224.0.0.1", "network/address"),
    ("reserved", "240.0.0.1", "network/address"),
    ("broadcast", "255.255.255.255", "network/address"),
    ("metadata", "169.254.169.254", "network/metadata"),
    ("metadata-alibaba", "100.100.100.200", "network/metadata"),
    ("metadata-azure", "168.63.129.16", "network/metadata"),
    ("loopback6", "::1", "network/address"),
    ("mapped", "::ffff:127.0.0.1", "network/address"),
    (
        "mapped-metadata",
        "::ffff:169.254.169.254",
        "network/metadata",
    ),
    ("compatible", "::7f00:1", "network/address"),
    ("nat64", "64:ff9b::7f00:1", "network/address"),
    ("nat64-metadata", "64:ff9b::a9fe:a9fe", "network/metadata"),
    ("6to4", "2002:7f00:1::", "network/address"),
    ("6to4-metadata", "2002:a9fe:a9fe::", "network/metadata"),
    ("unique-local", "fc00::1", "network/address"),
    ("link-local6", "fe80::1", "network/address"),
    ("metadata6", "fd00:ec2::254", "network/metadata"),
    ("documented6", "2001:db8::1", "network/address"),
];

#[test]
fn a_granted_name_leads_to_nothing_but_the_internet() {
    with_internet(|scene| {
        let name = |kind: &str| format!("{kind}.names.test");
        let mut names = serde_json::Map::new();
        for (kind, address, _) in FORBIDDEN {
            names.insert(name(kind), json!([[address]]));
        }
        names.insert(name("public"), json!([[PUBLIC]]));
        names.insert(name("mixed"), json!([["127.0.0.1", "10.0.0.5", PUBLIC]]));
        // An alias leads where it leads: its own address counts, and it may be a name that was not granted.
        names.insert(name("alias"), json!([["=inner.denied.test", PUBLIC]]));
        names.insert(
            name("alias-in"),
            json!([["=metadata.denied.test", "169.254.169.254"]]),
        );
        let mut all: Vec<String> = FORBIDDEN.iter().map(|(kind, ..)| name(kind)).collect();
        all.extend(["alias-in", "public", "mixed", "alias"].map(name));
        let script = asks(all.iter().map(String::as_str));
        let ran = play(scene, &names.into(), "**.names.test", &[&script]);
        let statuses: Vec<_> = ran.stdout.lines().collect();
        assert_eq!(statuses.len(), all.len(), "{}", ran.stderr);
        for (line, kind) in statuses.iter().zip(&all) {
            let status = if kind.starts_with("public")
                || kind.starts_with("mixed")
                || kind == "alias.names.test"
            {
                "200"
            } else {
                "403"
            };
            assert_eq!(*line, format!("{kind} {status}"));
        }
        let heard =
            ["public", "mixed", "alias"].map(|kind| format!("{PUBLIC} {kind}.names.test /"));
        assert_eq!(lines(scene, "heard"), heard);
        let refused: Vec<_> = FORBIDDEN
            .iter()
            .map(|(.., rule)| (*rule).to_owned())
            .collect();
        assert_eq!(
            scene.refusals(),
            [&refused[..], &["network/metadata".to_owned()]].concat()
        );
        assert_verifies(scene);
    });
}

/// The first answer is vetted and dialled; what a resolver says later of the name is vetted anew.
#[test]
fn a_name_that_is_given_another_address_is_not_followed_there() {
    with_internet(|scene| {
        let names = json!({"moves.names.test": [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]]});
        let twice = asks(["moves.names.test"; 2]);
        let once = asks(["moves.names.test"]);
        let ran = play(scene, &names, "moves.names.test", &[&twice, &once, &once]);
        let statuses = ["200", "200", "403", "403"].map(|code| format!("moves.names.test {code}"));
        assert_eq!(
            ran.stdout.lines().collect::<Vec<_>>(),
            statuses,
            "{}",
            ran.stderr
        );
        assert_eq!(
            lines(scene, "heard"),
            vec![format!("{PUBLIC} moves.names.test /"); 2]
        );
        // Once for each session, however often it is connected to.
        let asked = lines(scene, "asked");
        let of_its_address = asked.iter().filter(|line| *line == "1 moves.names.test");
        assert_eq!(of_its_address.count(), 3, "{asked:?}");
        assert_eq!(scene.refusals(), ["network/address", "network/metadata"]);
    });
}

/// Names that were not granted: as messages in their labels, as resolvers of their own, as what others are called.
const DENIED: &[&str] = &[
    "c2VjcmV0LXRoYXQtaXMtbGVha2Vk.0001.tunnel.test",
    "dns.google",
    "cloudflare-dns.com",
    "mozilla.cloudflare-dns.com",
    "use-application-dns.net",
    "metadata.google.internal",
    "denied.test",
    "granted.test.denied.test",
    "notgranted.test",
    "x.granted.test",
    "xn--grnted-6ta.test",
    "_acme-challenge.granted.test",
];

#[test]
fn a_name_that_was_not_granted_is_asked_of_nobody() {
    with_internet(|scene| {
        let mut names = serde_json::Map::new();
        for name in DENIED.iter().chain(&["granted.test"]) {
            names.insert((*name).to_owned(), json!([[PUBLIC]]));
        }
        let looked_up = DENIED
            .iter()
            .map(|name| format!("getent hosts {name}; ./attack resolve 192.0.2.53 {name}\n"));
        let script: String = looked_up
            .chain([
                asks(DENIED.iter().copied()),
                // Whoever knows where a resolver is finds the gate there, and no DNS over HTTPS.
                "curl -sS -o /dev/null -w 'doh %{http_code}\\n' -H 'Host: dns.google' 'http://8.8.8.8/dns-query?dns=AAAB'\n".to_owned(),
                asks(["granted.test", "GRANTED.test.", "user:secret@granted.test"]),
            ])
            .collect();
        let ran = play(scene, &names.into(), "granted.test", &[&script]);
        let met: Vec<_> = ran
            .stdout
            .lines()
            .filter(|line| line.ends_with(" 200"))
            .collect();
        assert_eq!(
            met,
            [
                "granted.test 200",
                "GRANTED.test. 200",
                "user:secret@granted.test 200"
            ],
            "{}",
            ran.stderr
        );
        let heard = lines(scene, "heard");
        assert_eq!(heard, vec![format!("{PUBLIC} granted.test /"); 3]);
        for line in lines(scene, "asked") {
            assert!(line.ends_with(" granted.test"), "{line}");
        }
        let decided = network_decisions(scene);
        assert_eq!(decided.iter().filter(|(_, allowed, _)| *allowed).count(), 3);
        assert!(decided.iter().filter(|(_, allowed, _)| !allowed).count() > DENIED.len());
        assert_verifies(scene);
    });
}
