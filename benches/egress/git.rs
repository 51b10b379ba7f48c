//! git's own server behind the least of a web server over TLS, and a client that pushes to it, bare and inside.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::client::{self, Way};

/// What it is called inside.
pub(crate) const NAME: &str = "git.bench.test";
/// Where the client's repository is, in the directory that it works in.
pub(crate) const CLONE: &str = "push";
/// How large a push is that is large, in files of this many MiB.
const LARGE: (usize, usize) = (50, 2);
const PUSHED: &str = "application/x-git-receive-pack-request";

/// How long the server took to answer what it was asked beside pushes, in nanoseconds: by a gate, and by nobody else.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// How long that was since this was asked last.
pub(crate) fn asked() -> Duration {
    Duration::from_nanos(ASKED.swap(0, Ordering::Relaxed))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bench starts what it measures from outside"
)]
fn git(at: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(at);
    command
}

fn run(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn done(at: &Path, words: &[&str]) -> String {
    let mut command = git(at);
    command.args(words);
    run(command)
}

/// Makes a repository to push to below `root`, and one to push from in `work`.
pub(crate) fn prepare(root: &Path, work: &Path) {
    let (bare, clone) = (root.join("o/r.git"), work.join(CLONE));
    for (path, words) in [
        (&bare, &["init", "-q", "--bare", "-b", "main"][..]),
        (&clone, &["init", "-q", "-b", "main"]),
    ] {
        fs::create_dir_all(path).unwrap();
        done(path, words);
    }
    for (key, value) in [
        ("http.receivepack", "true"),
        ("uploadpack.allowFilter", "true"),
    ] {
        done(&bare, &["config", key, value]);
    }
    for (key, value) in [
        ("user.name", "bench"),
        ("user.email", "bench@example.org"),
        // The large push is of files as they are, which are compared to no others.
        ("core.compression", "0"),
        ("core.bigFileThreshold", "1m"),
    ] {
        done(&clone, &["config", key, value]);
    }
    fs::create_dir_all(clone.join("src")).unwrap();
    for number in 0..100 {
        fs::write(clone.join(format!("src/{number}")), number.to_string()).unwrap();
    }
    done(&clone, &["add", "."]);
    done(&clone, &["commit", "-qm", "one"]);
    done(
        &clone,
        &[
            "push",
            "-q",
            &bare.display().to_string(),
            "HEAD:refs/heads/main",
        ],
    );
}

/// Pushes so many times, and tells how long one took.
pub(crate) fn push(way: &Way, kind: &str, number: usize) {
    let clone = Path::new(CLONE);
    let own = match (env::var("AGENTGUARD_AGENT"), env::var("AGENTGUARD_SESSION")) {
        (Ok(agent), Ok(session)) => format!("refs/heads/agent/{agent}/{session:.8}/bench"),
        _ => format!("refs/heads/bench/{}", std::process::id()),
    };
    done(clone, &["checkout", "-q", "--detach", "main"]);
    // Each run has commits of its own.
    let begun = format!("{own} {:?}", Instant::now());
    let none = "0".repeat(40);
    let mut old = none.clone();
    let mut took = Vec::new();
    let mut stream = way.open_git();
    for one in 0..=number {
        if kind == "large" {
            for file in 0..LARGE.0 {
                let mut bytes = format!("{begun} {one} {file}").into_bytes();
                bytes.resize(LARGE.1 << 20, b'x');
                fs::write(clone.join(format!("large{file}")), bytes).unwrap();
            }
        }
        let mut name = own.clone();
        if kind == "wire-new" {
            done(clone, &["checkout", "-q", "--detach", "main"]);
            (old, name) = (none.clone(), format!("{own}-{one}"));
        }
        fs::write(clone.join("src/0"), format!("{begun} {one}")).unwrap();
        done(clone, &["add", "."]);
        done(clone, &["commit", "-qm", "next"]);
        let new = done(clone, &["rev-parse", "HEAD"]);
        let time = if kind.starts_with("wire") {
            let body = body(clone, (&old, &new, &name));
            let begun = Instant::now();
            post(&mut stream, &body);
            begun.elapsed()
        } else {
            let mut command = git(clone);
            let mut to = NAME.to_owned();
            if let Some(port) = client::port_of_git() {
                let at = format!("http.curloptResolve={NAME}:{port}:127.0.0.1");
                command.args(["-c", &at]);
                to = format!("{NAME}:{port}");
            }
            command.args(["push", "-q", &format!("https://{to}/o/r.git")]);
            command.arg(format!("HEAD:{own}"));
            command.env("GIT_SSL_CAINFO", client::roots());
            let begun = Instant::now();
            run(command);
            begun.elapsed()
        };
        old = new;
        // The first makes the branch, and whatever is made once.
        if one > 0 || number == 0 {
            took.push(time);
        }
    }
    took.sort_unstable();
    client::took(took[took.len() / 2], took.iter().sum());
}

/// A push as a client of git's sends it.
fn body(clone: &Path, (old, new, name): (&str, &str, &str)) -> Vec<u8> {
    let line = format!("{old} {new} {name}\0 report-status");
    let mut packing = git(clone);
    packing.args(["pack-objects", "--revs", "--stdout", "-q"]);
    let mut packing = packing
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let of = if old.starts_with("0000") { "main" } else { old };
    write!(packing.stdin.take().unwrap(), "{new}\n^{of}\n").unwrap();
    let pack = packing.wait_with_output().unwrap().stdout;
    [
        format!("{:04x}{line}0000", line.len() + 4).as_bytes(),
        &pack,
    ]
    .concat()
}

fn post(stream: &mut (impl Read + Write), body: &[u8]) {
    let head = format!(
        "POST /o/r.git/git-receive-pack HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: {PUSHED}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    // It ends with what became of the ref, however the answer is framed.
    while !answer.windows(5).any(|end| end == b"\n0000") {
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..length]);
    }
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("ok refs/heads/"), "{text}");
}

/// Answers requests until there are no more.
pub(crate) fn serve(stream: impl Read + Write, root: &Path) {
    let mut stream = BufReader::new(stream);
    while let Some(answer) = answer(&mut stream, root) {
        let writing = stream.get_mut();
        if writing.write_all(&answer).is_err() || writing.flush().is_err() {
            return;
        }
    }
}

/// Hands a request to git's server (RFC 3875).
fn answer(from: &mut impl BufRead, root: &Path) -> Option<Vec<u8>> {
    let mut line = String::new();
    from.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let (method, rest) = line.split_once(' ')?;
    let target = rest.split(' ').next()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = git(root);
    backend.arg("http-backend").env_clear();
    backend
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "bench")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let length = hand_head(from, &mut backend)?;
    let begun = Instant::now();
    let mut backend = backend.spawn().unwrap();
    let mut into = backend.stdin.take().unwrap();
    let handed = hand_body(from, length, &mut into);
    drop(into);
    let said = backend.wait_with_output().unwrap().stdout;
    handed?;
    if method == "POST" && path.ends_with("upload-pack") {
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap();
        ASKED.fetch_add(took, Ordering::Relaxed);
    }
    framed(&said)
}

/// Hands on a request's head, and returns how long its body is where it says so.
fn hand_head(from: &mut impl BufRead, backend: &mut Command) -> Option<Option<u64>> {
    let mut length = Some(0);
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Some(length);
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse().ok()?),
            "transfer-encoding" => length = None,
            "content-type" => drop(backend.env("CONTENT_TYPE", value)),
            "content-encoding" => drop(backend.env("HTTP_CONTENT_ENCODING", value)),
            "git-protocol" => drop(backend.env("GIT_PROTOCOL", value)),
            _ => {}
        }
    }
}

/// Hands on its body, which comes in chunks where its length is not known.
fn hand_body(from: &mut impl BufRead, length: Option<u64>, into: &mut impl Write) -> Option<()> {
    if let Some(length) = length {
        std::io::copy(&mut from.take(length), into).ok()?;
        return Some(());
    }
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        let size = u64::from_str_radix(line.trim_end(), 16).ok()?;
        std::io::copy(&mut from.by_ref().take(size), into).ok()?;
        from.read_line(&mut line).ok()?;
        if size == 0 {
            return Some(());
        }
    }
}

/// What a program of CGI said, as HTTP.
fn framed(said: &[u8]) -> Option<Vec<u8>> {
    let end = said.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (String::from_utf8_lossy(&said[..end]), &said[end + 4..]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
    let headers: String = head
        .lines()
        .filter(|line| !line.starts_with("Status: "))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let (status, length) = (status.unwrap_or("200 OK"), body.len());
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    Some([head.as_bytes(), body].concat())
}
