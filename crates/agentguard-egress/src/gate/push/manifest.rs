//! What Kubernetes is told, wherever it lies: known by what stands in it, as those know it who apply whole directories.

use serde_json::Value;

/// The names that stand in every document of it.
const NAMES: [&[u8]; 2] = [b"apiVersion", b"kind"];

/// Whether a file may be such, whatever else it is. What is not cannot be read as one by anybody.
pub(super) fn may_be(bytes: &[u8]) -> bool {
    // Readers of YAML know texts of 16 bits by such a mark.
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return true;
    }
    // A name can be written in another way: by escapes, or in base 64 behind a tag that says so.
    let plain = unescaped(bytes);
    let has = |word: &[u8]| plain.windows(word.len()).any(|window| window == word);
    NAMES.iter().all(|name| has(name)) || has(b"!!binary") || has(b"yaml.org,2002:") || has(b"%TAG")
}

/// Whether documents are such: one of them is.
pub(super) fn is(documents: &Value) -> bool {
    let documents = documents.as_array().map(Vec::as_slice);
    let is_one = |document: &Value| {
        let names = ["apiVersion", "kind"];
        names.iter().all(|name| document.get(name).is_some())
    };
    documents.unwrap_or_default().iter().any(is_one)
}

/// Undoes escapes of signs that names are made of, and of ends of lines.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        let Some((&escape, after)) = rest.split_first() else {
            break;
        };
        let digits = match escape {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            b'\r' | b'\n' => {
                rest = after.trim_ascii_start();
                continue;
            }
            b'\\' => {
                plain.push(b' ');
                rest = after;
                continue;
            }
            _ => continue,
        };
        let code = after.get(..digits).and_then(|code| {
            let code = std::str::from_utf8(code).ok()?;
            u8::from_str_radix(code, 16).ok()
        });
        if let Some(code) = code {
            plain.push(code);
            rest = after.get(digits..).unwrap_or_default();
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_is_known_however_its_names_are_written() {
        for text in [
            "apiVersion: v1\nkind: Pod\n",
            "{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}",
            "\"\\x61piVersion\": v1\n\"k\\u0069nd\": Pod\n",
            "? \"api\\\n   Version\"\n: v1\n\"\\U0000006bind\": Pod",
            "? \"api\\\r\n   Version\"\n: v1\n\"kin\\x64\": Pod",
            "a: &a {apiVersion: v1, kind: Pod}\n<<: *a\n",
            "!!binary YXBpVmVyc2lvbg==: v1\nkind: Pod\n",
            "!<tag:yaml.org,2002:binary> YXBpVmVyc2lvbg==: v1\nkind: Pod\n",
            "%TAG !b! tag:yaml.org,\n---\na",
        ] {
            assert!(may_be(text.as_bytes()), "{text}");
        }
        let wide: Vec<u8> = "\u{feff}kind: Pod"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert!(may_be(&wide));
        for text in [
            "apiVersion: v1\n",
            "kind: Pod\n",
            "a: \"\\\\x61piVersion kind\"\n",
            "",
            "\\",
            "\\x",
            "\\u00e9 kind",
        ] {
            assert!(!may_be(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn one_document_makes_it_one() {
        let one = json!({"apiVersion": "v1", "kind": "Pod"});
        assert!(is(&json!([null, {"a": 1}, one])));
        for other in [
            json!([]),
            json!(null),
            json!([{"apiVersion": 1}]),
            json!([[one]]),
            json!(["apiVersion kind"]),
        ] {
            assert!(!is(&other), "{other}");
        }
    }
}
