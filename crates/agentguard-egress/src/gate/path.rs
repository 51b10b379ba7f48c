//! The one form in which a path and a query are judged and sent.
//!
//! Servers differ in what they make of escapes, of `..`, `//`, `\` and `;`. What they could differ on is
//! refused, and the rest is written in one way: escapes of what needs none are undone, others are in upper
//! case (RFC 3986, section 6.2.2). The segments that policy sees are those of the very bytes that are sent.

use std::collections::BTreeMap;

/// No server takes much more.
const LONGEST: usize = 16 << 10;

/// What a request asks for.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Target {
    /// The path's segments, decoded.
    pub(super) segments: Vec<String>,
    /// The query's values by name, decoded, in their order.
    pub(super) query: BTreeMap<String, Vec<String>>,
    /// Both, as they are sent.
    pub(super) sent: String,
}

/// What an escaped `/` is to the servers of a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Slash {
    /// Some may take it for the end of a segment.
    Unclear,
    /// Policy says that it is a part of a segment.
    InSegment,
}

/// Reads a path and a query.
pub(super) fn read(path: &str, query: Option<&str>, slash: Slash) -> Result<Target, &'static str> {
    if path.len() + query.map_or(0, str::len) > LONGEST {
        return Err("it is longer than 16 KiB");
    }
    let (segments, mut sent) = read_path(path, slash)?;
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut before = '?';
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        sent.push(before);
        before = '&';
        let name = piece(name, &mut sent, &IN_QUERY)?;
        if value.is_some() {
            sent.push('=');
        }
        let value = piece(value.unwrap_or_default(), &mut sent, &IN_QUERY)?;
        values.entry(name).or_default().push(value);
    }
    Ok(Target {
        segments,
        query: values,
        sent,
    })
}

fn read_path(path: &str, slash: Slash) -> Result<(Vec<String>, String), &'static str> {
    let rest = path
        .strip_prefix('/')
        .ok_or("its path does not begin with `/`")?;
    let (mut segments, mut sent) = (Vec::new(), String::with_capacity(path.len()));
    let last = rest.split('/').count();
    for (number, raw) in (1..).zip(rest.split('/')) {
        sent.push('/');
        // A slash at the end is the last segment, and an empty one: `/` and `/a/` are not `/a`.
        if raw.is_empty() && number < last {
            return Err("its path has an empty segment, `//`");
        }
        let segment = piece(raw, &mut sent, &IN_PATH)?;
        if segment == "." || segment == ".." {
            return Err("its path has a segment `.` or `..`");
        }
        if segment.contains('\\') {
            return Err("its path has a `\\`");
        }
        if segment.contains('/') && !(number == 1 && is_scoped(&segment)) {
            if slash == Slash::Unclear {
                return Err("its path has an escaped `/`");
            }
            is_one(&segment)?;
        }
        if slash == Slash::InSegment && is_escaped_twice(&segment) {
            return Err("its path is escaped twice");
        }
        segments.push(segment);
    }
    Ok((segments, sent))
}

/// `@scope/package`, which npm writes as one segment: the only known use of an escaped `/` that no server
/// mistakes for two.
fn is_scoped(segment: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('/');
    let parts = segment
        .strip_prefix('@')
        .and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(scope, name)| is_plain(scope) && is_plain(name))
}

/// Whether a segment with an escaped `/` in it means nothing else to a server that takes it for more than one.
fn is_one(segment: &str) -> Result<(), &'static str> {
    let mut parts = segment.split('/');
    if parts.clone().any(|part| matches!(part, "" | "." | "..")) {
        return Err("its path has an escaped `/` beside nothing, `.` or `..`");
    }
    // What git is served by ends in these, however a server finds them.
    if parts.any(|part| part.starts_with("git-")) {
        return Err("its path has an escaped `/` beside a service of git");
    }
    Ok(())
}

/// Whether what an escape means is an escape again.
fn is_escaped_twice(segment: &str) -> bool {
    segment.split('%').skip(1).any(|rest| {
        let digits = rest.get(..2).unwrap_or_default();
        digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// What is said of a byte in a part of a target.
struct Part {
    /// Besides letters, digits and `-._~`, the bytes that stand as they are.
    plain: &'static [u8],
    /// Whether `+` is a space.
    is_form: bool,
}

/// RFC 3986's `pchar`, without `;`: what follows it is a parameter to some servers, and a name to others.
const IN_PATH: Part = Part {
    plain: b"!$&'()*+,=:@",
    is_form: false,
};
/// RFC 3986's `query`, without `;`, at which some servers split; with what is written unescaped all the same.
const IN_QUERY: Part = Part {
    plain: b"!$'()*+,=:@/?[]",
    is_form: true,
};

/// Decodes a piece of a target, and adds it to what is sent.
fn piece(raw: &str, sent: &mut String, part: &Part) -> Result<String, &'static str> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let (meant, is_escaped) = match byte {
            b'%' => (escaped(&mut bytes).ok_or("it has a broken escape")?, true),
            b'+' if part.is_form => (b' ', false),
            b';' if !part.is_form => return Err("its path has a `;`"),
            _ => (byte, false),
        };
        if meant < 0x20 || meant == 0x7f {
            return Err("it has a control character");
        }
        if !is_escaped && byte >= 0x80 {
            return Err("it has bytes that are not ASCII");
        }
        let is_unreserved = meant.is_ascii_alphanumeric() || b"-._~".contains(&meant);
        if is_unreserved || (!is_escaped && part.plain.contains(&byte)) {
            sent.push(char::from(if is_escaped { meant } else { byte }));
        } else {
            sent.push('%');
            for digit in [meant >> 4, meant & 15] {
                let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
                sent.push(digit.to_ascii_uppercase());
            }
        }
        decoded.push(meant);
    }
    String::from_utf8(decoded).map_err(|_| "it is not UTF-8")
}

fn escaped(bytes: &mut std::str::Bytes<'_>) -> Option<u8> {
    let mut digit = || char::from(bytes.next()?).to_digit(16);
    let value = digit()? << 4 | digit()?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<Target, &'static str> {
        match text.split_once('?') {
            Some((path, query)) => read(path, Some(query), Slash::Unclear),
            None => read(text, None, Slash::Unclear),
        }
    }

    #[test]
    fn what_servers_differ_on_is_refused() {
        for text in [
            "",
            "*",
            "a",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/%2e%2e/b",
            "/a/.%2E/b",
            "/a%2fb",
            "/a/b%2F..%2fc",
            "/@a%2f..",
            "/@a%2fb%2fc",
            "/x/@a%2fb",
            "/a\\b",
            "/a%5cb",
            "/a;b=c",
            "/..;/a",
            "/a%00b",
            "/a%0d%0ab",
            "/a\u{7f}",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/%ff",
            "/%c0%af",
            "/%c0%ae%c0%ae/",
            "/\u{e4}",
            "/?a=%00",
            "/?%zz",
            "/?a=%ff",
        ] {
            assert!(target(text).is_err(), "{text:?}");
        }
        assert!(read(&format!("/{}", "a".repeat(LONGEST)), None, Slash::Unclear).is_err());
    }

    #[test]
    fn what_is_sent_is_what_was_judged() {
        for (text, segments, sent) in [
            ("/", &[""][..], "/"),
            ("/a/b", &["a", "b"], "/a/b"),
            ("/a/", &["a", ""], "/a/"),
            ("/%61%2d%7E", &["a-~"], "/a-~"),
            ("/%d8%a7", &["\u{627}"], "/%D8%A7"),
            ("/a%20b%3bc", &["a b;c"], "/a%20b%3Bc"),
            ("/a:b@c%40d+e", &["a:b@c@d+e"], "/a:b@c%40d+e"),
            ("/@types%2fnode", &["@types/node"], "/@types%2Fnode"),
            ("/{a}\"<>|^`", &["{a}\"<>|^`"], "/%7Ba%7D%22%3C%3E%7C%5E%60"),
            ("/...", &["..."], "/..."),
        ] {
            let target = target(text).unwrap();
            assert_eq!(target.segments, segments, "{text}");
            assert_eq!(target.sent, sent);
        }
    }

    #[test]
    fn a_query_is_read_in_its_order() {
        let target = target("/?b=1&a=x%20y+z&&b=2&c&a%5b%5D=%3d&q=a;b").unwrap();
        assert_eq!(target.sent, "/?b=1&a=x%20y+z&b=2&c&a%5B%5D=%3D&q=a%3Bb");
        let values = |name: &str| target.query.get(name).cloned().unwrap();
        assert_eq!(values("b"), ["1", "2"]);
        assert_eq!(values("a"), ["x y z"]);
        assert_eq!(values("c"), [""]);
        assert_eq!(values("a[]"), ["="]);
        assert_eq!(values("q"), ["a;b"]);
        assert_eq!(read("/", Some(""), Slash::Unclear).unwrap().sent, "/");
    }

    #[test]
    fn an_escaped_slash_is_in_one_segment_where_policy_says_so() {
        let read = |text| read(text, None, Slash::InSegment);
        for (text, segments, sent) in [
            (
                "/api/group%2fproject/issues",
                &["api", "group/project", "issues"][..],
                "/api/group%2Fproject/issues",
            ),
            (
                "/files/lib%2Fa%2erb",
                &["files", "lib/a.rb"],
                "/files/lib%2Fa.rb",
            ),
            ("/a%25", &["a%"], "/a%25"),
            ("/@a%2fb/c", &["@a/b", "c"], "/@a%2Fb/c"),
        ] {
            let target = read(text).unwrap();
            assert_eq!(
                (&target.segments[..], target.sent.as_str()),
                (
                    &segments.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    sent
                )
            );
        }
        for text in [
            "/a%2f",
            "/%2fa",
            "/a%2f%2fb",
            "/a%2f..%2fb",
            "/a%2f%2e%2e",
            "/.%2fb",
            "/a%252fb",
            "/a%2fb%252e",
            "/a%255cb",
            "/a%2fb%5cc",
            "/a%2fb%00",
            "/a%2fb;c",
            "/a/../b%2fc",
            "/a//b%2fc",
            "/g%2fr.git%2fgit-receive-pack",
            "/g%2fgit-upload-pack",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fuzz_what_is_sent_is_read_as_the_same_again() {
        const WORDS: &[&str] = &[
            "/", "//", "%2f", "%2e", "..", "%", "?", "&", "=", "+", ";", "\\",
        ];
        crate::mutate::fuzz("target", WORDS, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (path, query) = match text.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (&*text, None),
            };
            // A host on which it is in a segment refuses no more than others but what is escaped twice.
            let within = read(path, query, Slash::InSegment);
            match target(&text) {
                Ok(read) => {
                    assert!(
                        within.as_ref() == Ok(&read) || within == Err("its path is escaped twice")
                    );
                    assert_eq!(target(&read.sent).as_ref(), Ok(&read));
                    assert!(read.sent.bytes().all(|byte| byte.is_ascii_graphic()));
                    format!("{} segments", read.segments.len().min(3))
                }
                Err(why) => why.to_owned(),
            }
        });
    }
}
