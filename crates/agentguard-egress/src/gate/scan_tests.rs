use base64ct::{Base64, Base64Url, Encoding as _};
use proptest::prelude::*;

use super::*;

const TEXT: &[u8] = b"ghp_0aZ/9+\"xyghp_";

fn find(pieces: &[&[u8]]) -> Option<Hit> {
    let needles = Arc::new(Needles::new(&[TEXT]).unwrap());
    let mut scanner = Scanner::new(&needles);
    pieces.iter().find_map(|piece| scanner.first_in(piece))
}

fn percent(text: &[u8], which: &[bool], is_upper: bool) -> Vec<u8> {
    let letters = text
        .iter()
        .zip(which.iter().chain(std::iter::repeat(&true)));
    let escape = |(byte, is_escaped): (&u8, &bool)| match (is_escaped, is_upper) {
        (false, _) => char::from(*byte).to_string(),
        (true, true) => format!("%{byte:02X}"),
        (true, false) => format!("%{byte:02x}"),
    };
    letters.map(escape).collect::<String>().into_bytes()
}

fn json(text: &[u8], which: &[bool]) -> Vec<u8> {
    let letters = text
        .iter()
        .zip(which.iter().chain(std::iter::repeat(&true)));
    let escape = |(byte, is_escaped): (&u8, &bool)| match (is_escaped, byte) {
        (_, b'"') => "\\\"".to_owned(),
        (true, b'/') => "\\/".to_owned(),
        (true, byte) => format!("\\u{byte:04X}"),
        (false, byte) => char::from(*byte).to_string(),
    };
    letters.map(escape).collect::<String>().into_bytes()
}

/// What the text may look like on its way.
fn forms() -> impl Strategy<Value = Vec<u8>> {
    let which = || proptest::collection::vec(any::<bool>(), TEXT.len());
    let around = || proptest::collection::vec(any::<u8>(), 0..7);
    prop_oneof![
        Just(TEXT.to_vec()),
        (which(), any::<bool>()).prop_map(|(which, upper)| percent(TEXT, &which, upper)),
        which().prop_map(|which| json(TEXT, &which)),
        (around(), around()).prop_map(|(a, b)| {
            Base64::encode_string(&[&a[..], TEXT, &b].concat()).into_bytes()
        }),
        (around(), around(), any::<bool>()).prop_map(|(a, b, upper)| {
            let text = Base64::encode_string(&[&a[..], TEXT, &b].concat());
            let signs: Vec<_> = text
                .bytes()
                .map(|byte| !byte.is_ascii_alphanumeric())
                .collect();
            percent(text.as_bytes(), &signs, upper)
        }),
        (around(), around()).prop_map(|(a, b)| {
            Base64Url::encode_string(&[&a[..], TEXT, &b].concat()).into_bytes()
        }),
    ]
}

proptest! {
    #[test]
    fn a_text_is_found_in_each_form_whatever_stands_around_it_and_however_it_is_split(
        // Beginnings of what is looked for among it, and of escapes.
        before in "([a-z%\\\\ ]|ghp_|%67|\\\\u00|\\\\u0067|%5|Z2hw){0,12}",
        form in forms(),
        splits in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        // Half of an escape takes what follows it along; so does a backslash.
        let mut all = before.into_bytes();
        all.push(b' ');
        let begin = all.len();
        all.extend(form);
        let end = all.len();
        all.extend(b" behind");
        let mut at: Vec<_> = splits.iter().map(|split| split.index(all.len())).collect();
        at.sort_unstable();
        at.push(all.len());
        let mut last = 0;
        let pieces: Vec<_> = at.iter().map(|at| {
            let piece = &all[last..*at];
            last = *at;
            piece
        }).collect();
        let hit = find(&pieces);
        prop_assert!(hit.is_some(), "{}", String::from_utf8_lossy(&all));
        let hit = hit.unwrap();
        prop_assert!(hit.start >= begin && hit.end <= end, "{hit:?} in {begin}..{end}");
    }
}

#[test]
fn what_is_no_escape_stands_for_itself() {
    for text in [
        &b"%%67hp_0aZ/9+\"xyghp_"[..],
        b"%6%67hp_0aZ/9+\"xyghp_",
        b"\\u00%ghp_0aZ/9+\"xyghp_",
        b"\\x\\u0067hp_0aZ\\/9+\\\"xyghp_",
        b"ghp_ghp_0aZ/9+%22xyghp_",
        b"ghp_0aZghp_0aZ%2f9%2B%22xy%67hp_",
    ] {
        let shown = String::from_utf8_lossy(text);
        assert!(find(&[text]).is_some(), "{shown}");
        for cut in 1..text.len() {
            assert!(
                find(&[&text[..cut], &text[cut..]]).is_some(),
                "{shown} at {cut}"
            );
        }
    }
    for text in [
        &b"ghp_0aZ/9+\"xyghp"[..],
        b"ghp_0aZ/9 \"xyghp_",
        b"%2567hp_0aZ/9+\"xyghp_",
        b"",
    ] {
        assert_eq!(find(&[text]), None, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn no_more_is_held_than_may_be_a_beginning() {
    let needles = Arc::new(Needles::new(&[TEXT]).unwrap());
    for (text, open) in [
        (&b"data: x\n\n"[..], 0),
        (b"ghp", 3),
        (b"xghp_0", 5),
        (b"%67h", 4),
        (b"a%", 1),
        (b"a%6", 2),
        (b"\\u0067h\\u00", 11),
        (b"100% fine", 0),
    ] {
        let mut scanner = Scanner::new(&needles);
        assert_eq!(scanner.first_in(text), None);
        assert_eq!(scanner.open(), open, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn what_stands_for_a_letter_is_all_of_it_and_nothing_else() {
    let found = |text: &[u8], within: &[u8]| {
        let needles = Arc::new(Needles::new(&[text]).unwrap());
        let hit = Scanner::new(&needles).first_in(within)?;
        Some((hit.start, hit.end))
    };
    // The sign that escapes is of the letter, also where the letter stands for itself.
    assert_eq!(found(b"/ab", b"x\\/ab"), Some((1, 5)));
    assert_eq!(found(b"/ab", b"\\n/ab"), Some((2, 5)));
    // The end of an escape is no letter of what follows it.
    assert_eq!(found(b"1xyzZ", b"%41xyz%5A"), None);
    assert_eq!(found(b"1xyzZ", b"%41%31xyz%5A"), Some((3, 12)));
}

#[test]
fn no_more_is_kept_of_what_came_than_a_needle_is_long() {
    let needles = Arc::new(Needles::new(&[TEXT]).unwrap());
    let mut scanner = Scanner::new(&needles);
    for _ in 0..1000 {
        assert_eq!(scanner.first_in(b"%67h\\u0067h"), None);
        for view in [&scanner.percent, &scanner.json] {
            assert!(view.widths.len() <= TEXT.len() && view.pending.len() <= 6);
        }
    }
}
