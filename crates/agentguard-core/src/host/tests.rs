use super::*;

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn grant(text: &str) -> HostGrant {
    HostGrant::parse(text).unwrap()
}

#[test]
fn a_name_has_one_form_whatever_its_spelling() {
    for text in ["api.example.com", "API.Example.COM", "api.example.com."] {
        assert_eq!(HostName::parse(text).unwrap().as_str(), "api.example.com");
    }
    assert_eq!(
        host("xn--bcher-kva.example").to_string(),
        "xn--bcher-kva.example"
    );
    assert_eq!(host("_dmarc.example.com").to_string(), "_dmarc.example.com");
    assert_eq!(host("a.0xyz").to_string(), "a.0xyz");
}

#[test]
fn what_is_no_name_and_no_plain_address_is_no_host() {
    let long = format!("{}.com", "a".repeat(64));
    let longer = vec!["abcdefgh"; 30].join(".");
    for text in [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a.b..",
        "a b",
        "a\0.example.com",
        "a\r\n.example.com",
        "user@example.com",
        "example.com:443",
        "example.com/",
        "example.com#.allowed.com",
        "exämple.com",
        // Cyrillic letters that look like Latin ones.
        "\u{430}pple.com",
        "a%2eb",
        "*.example.com",
        "-a.com",
        "a-.com",
        "[1.2.3.4]",
        "[::1",
        "::1",
        &long,
        &longer,
        // Spellings of 127.0.0.1 that `inet_aton` takes, and one too many.
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.01",
        "127.0.0.1.",
        "1.2.3.4.5",
        "a.0x",
    ] {
        assert!(Host::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_address_that_holds_an_older_one_is_that_one() {
    for (text, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("[::ffff:10.0.0.1]", "10.0.0.1"),
        ("[2001:DB8::1]", "2001:db8::1"),
    ] {
        assert_eq!(host(text), Host::Address(address.parse().unwrap()));
    }
}

#[test]
fn a_grant_holds_for_its_hosts_and_ports_only() {
    for (text, granted, not_granted) in [
        (
            "api.example.com",
            &[
                "api.example.com:443",
                "api.example.com:80",
                "API.EXAMPLE.COM.:443",
            ][..],
            &[
                "api.example.com:8443",
                "example.com:443",
                "x.api.example.com:443",
                "api.example.com.evil.net:443",
                "evil-api.example.com:443",
            ][..],
        ),
        (
            "*.example.com:8443",
            &["a.example.com:8443"],
            &[
                "a.example.com:443",
                "example.com:8443",
                "a.b.example.com:8443",
                "evilexample.com:8443",
            ],
        ),
        (
            "**.example.com",
            &["a.example.com:443", "a.b.example.com:80"],
            &[
                "example.com:443",
                "evilexample.com:443",
                "a.example.com.net:443",
            ],
        ),
        (
            "10.1.0.0/16:5432",
            &["10.1.2.3:5432", "[::ffff:10.1.2.3]:5432"],
            &["10.2.0.1:5432", "10.1.2.3:443", "[2001:db8::1]:5432"],
        ),
        (
            "[2001:db8::1]:443",
            &["[2001:db8::1]:443"],
            &["[2001:db8::2]:443"],
        ),
    ] {
        let grant = grant(text);
        let is_granted = |place: &&str| {
            let (host, port) = split_port(place).unwrap();
            grant.grants(&Host::parse(host).unwrap(), port.unwrap())
        };
        assert!(granted.iter().all(is_granted), "{text}");
        assert!(!not_granted.iter().any(is_granted), "{text}");
        assert_eq!(HostGrant::parse(&grant.to_string()).unwrap(), grant);
    }
}

#[test]
fn what_grants_everybody_or_nobody_is_refused() {
    for text in [
        "",
        "*",
        "**",
        "*.",
        "*.com",
        "**.com",
        "*.co.uk",
        "*.github.io",
        "foo.*.com",
        "foo.**.example.com",
        "*foo.example.com",
        "a.com:0",
        "a.com:65536",
        "a.com:+1",
        "a.com:080",
        "a.com:",
        "a.com/8",
        "0.0.0.0/0",
        "10.0.0.0/7",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "127.0.0.1",
        "127.0.0.1:8443",
        "[::1]:8443",
        "[::ffff:127.0.0.1]:8443",
        "169.254.169.254",
        "[fd00:ec2::254]:80",
        "https://a.com",
        "a.com:443:443",
    ] {
        assert!(HostGrant::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_place_is_an_address_and_never_the_metadata_service() {
    let place = Place::parse("127.0.0.1:8443").unwrap();
    assert_eq!(place.at(443).to_string(), "127.0.0.1:8443");
    assert_eq!(
        Place::parse("[fd00::5]").unwrap().at(443).to_string(),
        "[fd00::5]:443"
    );
    for text in [
        "localhost:1",
        "127.1:80",
        "169.254.169.254",
        "[::ffff:169.254.169.254]:80",
        "",
    ] {
        assert!(Place::parse(text).is_err(), "{text:?}");
    }
}

/// A grant of both grants what each does and no more, whichever comes first.
#[test]
fn two_grants_together_grant_what_each_of_them_does() {
    let grants = [
        "example.com",
        "a.example.com",
        "a.example.com:443",
        "a.example.com:8443",
        "b.a.example.com",
        "*.example.com",
        "*.example.com:8443",
        "*.a.example.com",
        "**.example.com",
        "**.a.example.com:443",
        "**.b.example.com",
        "*.b.example.com",
        "**.example.org",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "10.1.2.3:8443",
        "[2001:db8::]/32",
        "[2001:db8::1]",
    ];
    let hosts = [
        "example.com",
        "a.example.com",
        "b.example.com",
        "b.a.example.com",
        "c.b.a.example.com",
        "a.b.example.com",
        "a.example.org",
        "10.1.2.3",
        "10.1.9.9",
        "10.9.9.9",
        "[2001:db8::1]",
        "[2001:db8::2]",
    ];
    for (one, two) in grants.iter().flat_map(|one| grants.map(|two| (*one, two))) {
        let both = grant(one).both(&grant(two));
        for (place, port) in hosts
            .iter()
            .flat_map(|host| [80, 443, 8443].map(|port| (*host, port)))
        {
            let is_granted = |grant: &HostGrant| grant.grants(&host(place), port);
            assert_eq!(
                both.as_ref().is_some_and(is_granted),
                is_granted(&grant(one)) && is_granted(&grant(two)),
                "{one} and {two}: {place}:{port}"
            );
        }
    }
}

#[test]
fn a_host_is_known_by_its_name_where_https_is() {
    for (text, name) in [
        ("example.com", Some("example.com")),
        ("example.com:443", Some("example.com")),
        ("example.com:8443", None),
        ("*.example.com", None),
        ("10.0.0.0/8", None),
    ] {
        let grant = grant(text);
        assert_eq!(grant.by_name().map(HostName::as_str), name, "{text}");
    }
}
