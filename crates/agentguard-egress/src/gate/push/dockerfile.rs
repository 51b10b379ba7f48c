//! Dockerfiles, as far as everybody reads the same in them: as the list of their instructions.

use serde_json::{Value, json};

/// How many instructions one may hold.
const MOST: usize = 5_000;
const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads one: `{"directives": {name: value}, "instructions": [{"name", "flags", "text", "documents"}]}`.
///
/// # Errors
///
/// Returns why it is none, or could be read in more than one way.
///
/// # References
///
/// <https://docs.docker.com/reference/dockerfile/>
pub(super) fn read(text: &str) -> Result<Value, String> {
    if text.starts_with('\u{feff}') {
        return Err("it begins with a mark that not all readers skip".to_owned());
    }
    let text = text.replace("\r\n", "\n");
    if text.contains([
        '\r', '\0', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}',
    ]) {
        return Err("it has ends of lines that readers differ on".to_owned());
    }
    let mut lines = text.lines().peekable();
    let mut directives = serde_json::Map::new();
    while let Some((name, value)) = lines.peek().and_then(|line| directive(line)) {
        if directives
            .insert(name.clone(), Value::from(value))
            .is_some()
        {
            return Err(format!("`{name}` stands twice"));
        }
        lines.next();
    }
    let escape = match directives.get("escape").and_then(Value::as_str) {
        None | Some("\\") => '\\',
        Some("`") => '`',
        Some(_) => return Err("what continues a line is neither of the two that do".to_owned()),
    };
    let mut instructions = Vec::new();
    while let Some(line) = logical(&mut lines, escape)? {
        let (name, flags, rest) = instruction(&line)?;
        let mut documents = Vec::new();
        for end in documents_of(&name, rest)? {
            documents.push(document(&mut lines, &end)?);
        }
        instructions
            .push(json!({"name": name, "flags": flags, "text": rest, "documents": documents}));
        if instructions.len() > MOST {
            return Err("it holds more than is read of such a file".to_owned());
        }
    }
    Ok(json!({"directives": directives, "instructions": instructions}))
}

/// `# name=value`, of the names that say how the file itself is read.
fn directive(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    matches!(name.as_str(), "check" | "escape" | "syntax").then(|| (name, value.trim().to_owned()))
}

/// The next instruction as one line, without comments.
fn logical<'t>(
    lines: &mut impl Iterator<Item = &'t str>,
    escape: char,
) -> Result<Option<String>, String> {
    let mut whole = String::new();
    let mut is_continued = false;
    for line in lines {
        let start = line.trim_start();
        if start.starts_with('#') || start.is_empty() {
            continue;
        }
        let line = if is_continued { line } else { start };
        let Some(more) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else {
            whole.push_str(line);
            return Ok(Some(whole));
        };
        // Two of them: readers differ on whether the first keeps the second from continuing the line.
        if more.ends_with(escape) {
            return Err("a line ends in two of what continues it".to_owned());
        }
        whole.push_str(more);
        is_continued = true;
    }
    if is_continued {
        return Err("its last line is continued by none".to_owned());
    }
    Ok(None)
}

/// The name of an instruction, its options and the rest of it.
fn instruction(line: &str) -> Result<(String, Vec<&str>, &str), String> {
    let (name, mut rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let name = name.to_ascii_uppercase();
    if !INSTRUCTIONS.contains(&name.as_str()) {
        return Err("a line is no instruction".to_owned());
    }
    let mut flags = Vec::new();
    rest = rest.trim();
    while rest.starts_with("--") {
        let (flag, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        if flag.contains(['"', '\'', '\\', '`']) {
            return Err("an option is quoted, and readers differ on what it says".to_owned());
        }
        flags.push(flag);
        rest = after.trim_start();
    }
    Ok((name, flags, rest))
}

/// The words that end the documents which follow a line, in order.
fn documents_of(name: &str, text: &str) -> Result<Vec<String>, String> {
    let mut ends = Vec::new();
    if !matches!(name, "ADD" | "COPY" | "ONBUILD" | "RUN") {
        return Ok(ends);
    }
    let mut before = String::new();
    for word in text.split_whitespace() {
        let mark = word.trim_start_matches(|digit: char| digit.is_ascii_digit());
        if mark.starts_with("<<") && !mark.starts_with("<<<") {
            let end = mark.trim_start_matches('<').trim_start_matches('-');
            let unquoted = ["\"", "'"].iter().find_map(|quote| {
                end.strip_prefix(*quote)
                    .and_then(|end| end.strip_suffix(*quote))
            });
            let end = unquoted.unwrap_or(end);
            let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
            if end.is_empty()
                || !end.chars().all(is_name)
                || before.contains(['"', '\'', '\\', '`', '['])
            {
                return Err("readers differ on where a document in it ends".to_owned());
            }
            ends.push(format!(
                "{}{end}",
                if mark.starts_with("<<-") { "-" } else { "" }
            ));
        }
        before.push_str(word);
    }
    Ok(ends)
}

fn document<'t>(lines: &mut impl Iterator<Item = &'t str>, end: &str) -> Result<String, String> {
    let (is_indented, end) = match end.strip_prefix('-') {
        Some(end) => (true, end),
        None => (false, end),
    };
    let mut whole = String::new();
    for line in lines {
        let line = if is_indented {
            line.trim_start_matches('\t')
        } else {
            line
        };
        if line == end {
            return Ok(whole);
        }
        whole.push_str(line);
        whole.push('\n');
    }
    Err("a document in it does not end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let value = read(text).unwrap();
        let all = value["instructions"].as_array().unwrap();
        let shown = |one: &Value| {
            let (name, text) = (one["name"].as_str().unwrap(), one["text"].as_str().unwrap());
            format!("{name} {text}")
        };
        all.iter().map(shown).collect()
    }

    #[test]
    fn instructions_are_read_as_they_are_run() {
        let text = "# syntax=docker/dockerfile:1\n# c\nfrom a AS b\r\nRUN --network=host x \\\n # c\n\n  y\n\
                    RUN <<EOF\nUSER root\nEOF\nUSER app\n";
        assert_eq!(
            names(text),
            ["FROM a AS b", "RUN x   y", "RUN <<EOF", "USER app"]
        );
        let value = read(text).unwrap();
        assert_eq!(value["directives"]["syntax"], "docker/dockerfile:1");
        assert_eq!(value["instructions"][1]["flags"], json!(["--network=host"]));
        assert_eq!(
            value["instructions"][2]["documents"],
            json!(["USER root\n"])
        );
        // What continues a line is what the file says.
        assert_eq!(
            names("# escape=`\nRUN a \\\nUSER b"),
            ["RUN a \\", "USER b"]
        );
        assert_eq!(names("RUN a \\\nUSER b"), ["RUN a USER b"]);
        // Behind the first line that is none, nothing is a directive.
        assert_eq!(
            names("FROM a\n# escape=`\nRUN a \\\nUSER b"),
            ["FROM a", "RUN a USER b"]
        );
        assert_eq!(
            names("RUN echo $((1<<2)) <<< x"),
            ["RUN echo $((1<<2)) <<< x"]
        );
    }

    #[test]
    fn dockerfiles_that_readers_differ_on_are_not_read() {
        for text in [
            "\u{feff}FROM a",
            "FROM a\rUSER root",
            "FROM a\u{2028}USER root",
            "# escape=x\nFROM a",
            "# escape=`\n# escape=\\\nFROM a",
            "RUN a \\\\\nUSER b",
            "RUN a \\\n",
            "RUN <<EOF\nUSER root",
            "RUN echo \"a <<EOF\"\nUSER root\nEOF",
            "RUN <<\"A B\"\nUSER root",
            "RUN [\"a\", <<EOF ]\nEOF",
            "RUN --security=\"insecure\" x",
            "FORM a",
        ] {
            assert!(read(text).is_err(), "{text:?} is {:?}", read(text));
        }
        assert!(read(&"RUN a\n".repeat(MOST + 1)).is_err());
    }

    #[test]
    fn fuzz_what_is_read_of_a_dockerfile_is_what_stands_in_it() {
        let words = [
            "FROM a\n",
            "RUN ",
            "USER root\n",
            "# escape=`\n",
            "# syntax=a\n",
            "\\\n",
            "`\n",
            "<<EOF\n",
            "<<-E\n",
            "EOF\n",
            "\r\n",
            "--security=insecure ",
            "\"",
            "# ",
        ];
        crate::mutate::fuzz("dockerfile", &words, |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else {
                return "no text".to_owned();
            };
            match read(text) {
                Ok(value) => {
                    let all = value["instructions"].as_array().unwrap();
                    let lines = text.lines().count();
                    assert!(all.len() <= lines);
                    let documents = |one: &Value| one["documents"].as_array().unwrap().len();
                    let held: usize = all.iter().map(documents).sum();
                    format!("{} and {}", all.len().min(3), held.min(2))
                }
                Err(why) => why.split('`').next().unwrap().chars().take(30).collect(),
            }
        });
    }
}
