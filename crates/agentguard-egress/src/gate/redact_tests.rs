use agentguard_core::{CredentialName, Secret};
use base64ct::{Base64, Base64Url, Encoding as _};
use proptest::prelude::*;

use super::*;
use crate::wire;

const SECRET: &str = "sk-7Qp/2+\"Zz9sk-7QxW";
const PLACEHOLDER: &str = "sk-placeholder-01234";

fn lent() -> Arc<Lent> {
    let one = wire::Lent {
        name: CredentialName::parse("one").unwrap(),
        placeholder: PLACEHOLDER.to_owned(),
        secret: Secret::new(SECRET.as_bytes().to_vec()),
        bound: Vec::new(),
    };
    Arc::new(Lent::new(vec![one]).unwrap())
}

fn redacted<'p>(
    lent: &Arc<Lent>,
    is_measured: bool,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<u8>, bool) {
    let mut redactor = Redactor::new(lent, is_measured);
    let mut all = Vec::new();
    for piece in pieces {
        all.extend(redactor.pass(piece));
    }
    let is_as_it_said = redactor.is_as_it_said();
    all.extend(redactor.end());
    (all, is_as_it_said)
}

/// Undoes the escapes of URLs as clients do, not as the scanner does.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut all, mut rest) = (Vec::new(), text);
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok());
        let meant = digits
            .filter(|two| *byte == b'%' && two.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        all.push(meant.unwrap_or(*byte));
        rest = if meant.is_some() {
            &behind[2..]
        } else {
            behind
        };
    }
    all
}

/// Whether somebody who reads `text` in one of the usual ways finds the secret.
fn tells(text: &[u8]) -> bool {
    let has = |text: &[u8], what: &[u8]| text.windows(what.len()).any(|window| window == what);
    let shown = String::from_utf8_lossy(text);
    let json = serde_json::from_str::<String>(&format!("\"{shown}\"")).unwrap_or_default();
    let ways = [text.to_vec(), unescaped(text), json.into_bytes()];
    // Of twenty bytes, the letters that hold nothing but them.
    let own = [(0, 0..26), (1, 2..28), (2, 3..29)];
    let in_base64 = own.into_iter().flat_map(|(before, letters)| {
        let whole = [&b"ab"[..before], SECRET.as_bytes()].concat();
        let own = |text: String| text.as_bytes()[letters.clone()].to_vec();
        [
            own(Base64::encode_string(&whole)),
            own(Base64Url::encode_string(&whole)),
        ]
    });
    let in_base64: Vec<_> = in_base64.collect();
    ways.iter()
        .any(|way| has(way, SECRET.as_bytes()) || in_base64.iter().any(|inner| has(way, inner)))
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let escaped = SECRET
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect::<String>();
    let some = escaped
        .replace("%73", "s")
        .replace("%2D", "-")
        .replace("%39", "9");
    let json = serde_json::to_string(SECRET).unwrap();
    let json = json.trim_matches('"').replace('/', "\\u002F");
    let forms = vec![
        SECRET.to_owned(),
        escaped,
        some,
        json,
        Base64::encode_string(SECRET.as_bytes()),
        Base64::encode_string(format!("u:{SECRET}").as_bytes()),
        Base64Url::encode_string(format!("u{SECRET}u").as_bytes()),
        // Beginnings, of it and of escapes.
        SECRET.chars().take(9).collect(),
        "%73k-".to_owned(),
        "%7".to_owned(),
        "\\u007".to_owned(),
        "sk-".to_owned(),
        "%".to_owned(),
        " ".to_owned(),
        "\n".to_owned(),
    ];
    let one = proptest::sample::select(forms).prop_map(String::into_bytes);
    proptest::collection::vec(one, 0..12).prop_map(|all| all.concat())
}

fn cut<'t>(text: &'t [u8], at: &[usize]) -> Vec<&'t [u8]> {
    let mut at: Vec<_> = at.iter().map(|at| at % (text.len() + 1)).collect();
    at.sort_unstable();
    at.push(text.len());
    let mut last = 0;
    let cut = at.iter().map(|at| {
        let piece = &text[last..*at];
        last = *at;
        piece
    });
    cut.collect()
}

proptest! {
    #[test]
    fn a_secret_is_told_in_no_form_however_it_comes(
        text in pieces(),
        at in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let lent = lent();
        let (whole, _) = redacted(&lent, false, [text.as_slice()]);
        prop_assert!(!tells(&whole), "{}", String::from_utf8_lossy(&whole));
        let (parts, _) = redacted(&lent, false, cut(&text, &at));
        prop_assert_eq!(&parts, &whole);
        // Where its length was told, it is as long, or says that it is not.
        let (measured, is_as_it_said) = redacted(&lent, true, cut(&text, &at));
        prop_assert!(!tells(&measured));
        prop_assert!(!is_as_it_said || measured.len() == text.len());
    }
}

#[test]
fn one_byte_at_a_time_is_the_same() {
    let lent = lent();
    let text = format!("a {SECRET} {SECRET}{SECRET} sk-sk-7Qp/{SECRET}");
    let (whole, is_as_it_said) = redacted(&lent, true, text.as_bytes().chunks(1));
    let expected = text.replace(SECRET, PLACEHOLDER);
    assert_eq!(String::from_utf8_lossy(&whole), expected);
    assert!(is_as_it_said);
}

#[test]
fn fuzz_a_stream_tells_no_secret_wherever_it_is_cut() {
    const WORDS: &[&str] = &[
        SECRET,
        "sk-",
        "7Qp",
        "%73",
        "%2F",
        "\\u0073",
        "\\/",
        "\\\"",
        "c2stN1FwLzIrIlp6OXNrLTdReFc",
        "%",
        "\\u",
    ];
    let lent = lent();
    crate::mutate::fuzz("secret", WORDS, |bytes| {
        let Some((first, text)) = bytes.split_first() else {
            return "nothing".to_owned();
        };
        let (whole, _) = redacted(&lent, false, [text]);
        assert!(!tells(&whole), "{}", String::from_utf8_lossy(&whole));
        let step = usize::from(*first % 40) + 1;
        let (parts, _) = redacted(&lent, false, text.chunks(step));
        assert_eq!(parts, whole);
        match (whole == text, whole.len() == text.len()) {
            (true, _) => "nothing in it".to_owned(),
            (false, is_as_long) => format!("as long: {is_as_long}, told: {}", tells(text)),
        }
    });
}

#[test]
fn what_is_short_is_not_kept_and_no_more_than_that_is_told() {
    let lent = lent();
    for short in 1..12 {
        let mut redactor = Redactor::new(&lent, true);
        let (first, second) = SECRET.split_at(short);
        let mut all = redactor.pass(format!("a {first}").as_bytes()).to_vec();
        assert_eq!(all, b"a ");
        let told = redactor.short();
        assert_eq!(told.is_some(), short < 8);
        all.extend(told.unwrap_or_default());
        all.extend(redactor.pass(format!("{second} b").as_bytes()));
        all.extend(redactor.end());
        let begun = if short < 8 { first } else { "" };
        let rest = PLACEHOLDER.split_at(begun.len()).1;
        assert_eq!(String::from_utf8_lossy(&all), format!("a {begun}{rest} b"));
        assert!(redactor.is_as_it_said());
    }
}

/// Who has a bound host send what they wrote would read it letter by letter.
#[test]
fn how_much_is_handed_on_does_not_tell_a_guess_that_is_right() {
    let lent = lent();
    let percent: String = SECRET.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let json: String = SECRET
        .bytes()
        .map(|byte| format!("\\u{byte:04x}"))
        .collect();
    let base64 = Base64::encode_string(SECRET.as_bytes());
    let handed_on = |guess: &[u8]| {
        let mut redactor = Redactor::new(&lent, true);
        let behind = [b"b ", guess].concat();
        let pieces = [b"a b", &behind[..], b"%", b"c d", guess];
        let lengths = pieces.map(|piece| redactor.pass(piece).len());
        (lengths, redactor.short().map(|short| short.len()))
    };
    for (form, width) in [(SECRET, 1), (&percent, 3), (&json, 6), (&base64, 1)] {
        for end in (width..form.len() - 4).step_by(width) {
            let right = &form.as_bytes()[..end];
            // In each, a letter or digit stands there, too.
            let wrong = [&right[..end - 1], b"5"].concat();
            assert_eq!(handed_on(right), handed_on(&wrong), "{form} {end}");
        }
    }
}

#[test]
fn what_is_no_beginning_is_kept_for_a_while_only() {
    let lent = lent();
    let begun = &SECRET.as_bytes()[..8];
    for (text, kept) in [
        (b"interesting".to_vec(), 0),
        (b"a sk-".to_vec(), 0),
        (begun.to_vec(), 8),
        ([b"xyz", begun].concat(), 8),
    ] {
        let mut redactor = Redactor::new(&lent, true);
        let mut all = redactor.pass(&text).to_vec();
        all.extend(redactor.short().unwrap_or_default());
        all.extend(redactor.harmless().unwrap_or_default());
        assert_eq!(all.len(), text.len() - kept, "{text:?}");
        assert!(redactor.harmless().is_none());
        all.extend(redactor.pass(&SECRET.as_bytes()[kept..]));
        all.extend(redactor.end());
        assert!(!tells(&all), "{text:?}");
    }
}

#[test]
fn what_is_compressed_in_any_way_cannot_be_read() {
    for (name, value, is_readable) in [
        ("content-encoding", "identity", true),
        ("content-encoding", "Identity", true),
        ("content-encoding", "gzip", false),
        ("content-encoding", "identity, br", false),
        ("transfer-encoding", "chunked", true),
        ("transfer-encoding", "gzip, chunked", false),
        ("content-type", "application/gzip", true),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        assert_eq!(
            unreadable(&headers).is_none(),
            is_readable,
            "{name}: {value}"
        );
    }
}

#[test]
fn who_undoes_escapes_reads_the_placeholder_whatever_its_letters() {
    const ODD: &str = "%22p/\"\\+x";
    let one = wire::Lent {
        name: CredentialName::parse("one").unwrap(),
        placeholder: ODD.to_owned(),
        secret: Secret::new(SECRET.as_bytes().to_vec()),
        bound: Vec::new(),
    };
    let lent = Arc::new(Lent::new(vec![one]).unwrap());
    let (plain, _) = redacted(&lent, false, [SECRET.as_bytes()]);
    assert_eq!(plain, ODD.as_bytes());
    let in_url = SECRET.replace('"', "%22");
    let (in_url, _) = redacted(&lent, false, [in_url.as_bytes()]);
    assert_eq!(unescaped(&in_url), ODD.as_bytes());
    let in_json = serde_json::to_vec(SECRET).unwrap();
    let (in_json, _) = redacted(&lent, false, [in_json.as_slice()]);
    assert_eq!(serde_json::from_slice::<String>(&in_json).unwrap(), ODD);
}
