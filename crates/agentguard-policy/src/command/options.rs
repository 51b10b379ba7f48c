//! Options: short clusters, long names, abbreviations, values, to one spelling.

use std::collections::BTreeMap;

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    /// None: `--force`.
    Nothing,
    /// Always, attached or as the next word: `-C dir`, `--repo=x`.
    Value,
    /// Only where it is attached: `--force-with-lease=ref`.
    Perhaps,
}

/// One option: its spellings, the last one being the name rules use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    pub(super) names: &'static str,
    pub(super) takes: Takes,
}

/// An option without a value.
pub(super) const fn on(names: &'static str) -> Flag {
    Flag {
        names,
        takes: Takes::Nothing,
    }
}

/// An option with a value.
pub(super) const fn value(names: &'static str) -> Flag {
    Flag {
        names,
        takes: Takes::Value,
    }
}

/// An option with a value that may be left out.
pub(super) const fn perhaps(names: &'static str) -> Flag {
    Flag {
        names,
        takes: Takes::Perhaps,
    }
}

impl Flag {
    fn spelt(&self, name: &str) -> bool {
        self.names.split(' ').any(|spelling| spelling == name)
    }

    fn begins(&self, start: &str) -> bool {
        self.names
            .split(' ')
            .any(|spelling| spelling.starts_with("--") && spelling.starts_with(start))
    }

    /// The name rules use.
    pub(super) fn canonical(&self) -> &'static str {
        self.names.rsplit(' ').next().unwrap_or(self.names)
    }
}

/// How a tool reads its options.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Style {
    /// `getopt_long`: clusters, abbreviations, options anywhere.
    Gnu,
    /// Go's pflag and alike: clusters, `--flag=true`, no abbreviations.
    Go,
    /// One dash for whole words: `terraform -auto-approve`, `find -exec`, `java -jar`.
    OneDash,
}

/// What reading options leaves.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) flags: BTreeMap<String, Vec<String>>,
    pub(super) rest: Vec<String>,
}

/// Reads `words`. With `stop`, the first word that is no option ends them, as wrappers do it.
pub(super) fn read(words: &[String], known: &[&[Flag]], style: Style, stop: bool) -> Parsed {
    let mut reader = Reader {
        known,
        style,
        parsed: Parsed::default(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            reader.parsed.rest.extend(words.cloned());
            break;
        }
        if word.starts_with("--") || (style == Style::OneDash && is_option(word)) {
            reader.long(word, &mut words);
        } else if is_option(word) {
            reader.cluster(word, &mut words);
        } else {
            reader.parsed.rest.push(word.clone());
            if stop {
                reader.parsed.rest.extend(words.cloned());
                break;
            }
        }
    }
    reader.parsed
}

/// The name rules use for a flag as a rule's author wrote it.
pub(crate) fn canonical_flag(tool: &str, subcommand: &[String], flag: &str) -> String {
    let (known, style) = super::tools::known_flags(tool, subcommand);
    let found = find(&known, style, flag);
    found.map_or_else(|| flag.to_owned(), |flag| flag.canonical().to_owned())
}

fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

fn find<'a>(known: &[&'a [Flag]], style: Style, name: &str) -> Option<&'a Flag> {
    let all = || known.iter().flat_map(|flags| flags.iter());
    let exact = all().find(|flag| flag.spelt(name));
    if exact.is_some() {
        return exact;
    }
    match style {
        Style::Gnu if name.starts_with("--") && name.len() > 3 => {
            let mut candidates = all().filter(|flag| flag.begins(name));
            let first = candidates.next()?;
            let only = candidates.all(|other| other.canonical() == first.canonical());
            only.then_some(first)
        }
        Style::OneDash => {
            let doubled = format!("-{name}");
            let single = name.strip_prefix('-').unwrap_or(name);
            all().find(|flag| flag.spelt(&doubled) || flag.spelt(single))
        }
        Style::Gnu | Style::Go => None,
    }
}

struct Reader<'a> {
    known: &'a [&'a [Flag]],
    style: Style,
    parsed: Parsed,
}

impl Reader<'_> {
    fn long(&mut self, word: &str, words: &mut std::slice::Iter<'_, String>) {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let found = find(self.known, self.style, name);
        let canonical = found.map_or_else(
            || {
                let dashes = if name.starts_with("--") { "" } else { "-" };
                format!("{dashes}{name}")
            },
            |flag| flag.canonical().to_owned(),
        );
        let takes = found.map_or(Takes::Perhaps, |flag| flag.takes);
        let value = match (takes, attached) {
            (Takes::Value, None) => words.next().cloned(),
            (Takes::Nothing, Some(text)) if is_no(&text) => return,
            (Takes::Nothing, Some(_)) | (Takes::Nothing | Takes::Perhaps, None) => None,
            (Takes::Value | Takes::Perhaps, Some(text)) => Some(text),
        };
        self.add(canonical, value);
    }

    fn cluster(&mut self, word: &str, words: &mut std::slice::Iter<'_, String>) {
        let mut rest = word.chars();
        rest.next();
        while let Some(letter) = rest.next() {
            let short = format!("-{letter}");
            let found = find(self.known, self.style, &short);
            let canonical = found.map_or(short.as_str(), |flag| flag.canonical());
            let tail = rest.as_str().strip_prefix('=').unwrap_or(rest.as_str());
            match found.map_or(Takes::Nothing, |flag| flag.takes) {
                Takes::Nothing if rest.as_str().starts_with('=') => {
                    if !is_no(tail) {
                        self.add(canonical.to_owned(), None);
                    }
                    return;
                }
                Takes::Nothing => self.add(canonical.to_owned(), None),
                Takes::Value if tail.is_empty() => {
                    let value = words.next().cloned();
                    return self.add(canonical.to_owned(), value);
                }
                Takes::Perhaps if tail.is_empty() => return self.add(canonical.to_owned(), None),
                Takes::Value | Takes::Perhaps => {
                    return self.add(canonical.to_owned(), Some(tail.to_owned()));
                }
            }
        }
    }

    fn add(&mut self, name: String, value: Option<String>) {
        self.parsed.flags.entry(name).or_default().extend(value);
    }
}

fn is_no(text: &str) -> bool {
    matches!(text, "false" | "False" | "FALSE" | "f" | "F" | "0")
}
