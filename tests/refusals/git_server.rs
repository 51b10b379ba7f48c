//! A server of git, for pushes to arrive at.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use agentguard::core::Digest;
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

use crate::forge;
use crate::lent::certified;
use crate::scene::Scene;

/// Where it writes down how long each push was that arrived, and its digest.
const PUSHED: &str = "pushed";

/// git's own server behind the least of a web server, with TLS and without, on the host's loopback.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) repository: PathBuf,
    pub(crate) roots: String,
    asked: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(scene: &Scene, format: &str) -> Self {
        let root = scene.directory("server");
        let repository = root.join("o/r.git");
        let at = repository.display();
        let init = format!("git init -q --bare --object-format={format} -b main {at}");
        let made = scene.run_bare(&["sh", "-c", &init]);
        assert_eq!(made.code, Some(0));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (config, roots) = certified(&["git.test"]);
        let is_over = Arc::new(AtomicBool::new(false));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let serving = std::thread::spawn({
            let (is_over, asked) = (Arc::clone(&is_over), Arc::clone(&asked));
            move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (root, config) = (root.clone(), Arc::clone(&config));
                    let asked = Arc::clone(&asked);
                    std::thread::spawn(move || {
                        let (stream, mut first) = (stream.unwrap(), [0]);
                        // A handshake begins with this byte (RFC 8446, section 5.1).
                        if stream.peek(&mut first).is_ok() && first == [22] {
                            let tls = ServerConnection::new(config).unwrap();
                            serve(StreamOwned::new(tls, stream), (&root, &asked));
                        } else {
                            serve(stream, (&root, &asked));
                        }
                    });
                }
            }
        });
        Self {
            port,
            repository,
            roots,
            asked,
            is_over,
            serving: Some(serving),
        }
    }

    /// A policy that grants it as `git.test`.
    pub(crate) fn policy(&self, scene: &Scene) -> String {
        let port = self.port;
        scene.policy(&format!(
            "package agentguard.sandbox\n\nhosts contains \"git.test\"\n\n\
             addresses contains {{\"host\": \"git.test\", \"at\": \"127.0.0.1:{port}\"}}\n"
        ))
    }

    /// What arrived as a push: each body's length and digest.
    pub(crate) fn pushed(&self) -> Vec<(u64, String)> {
        let root = self.repository.ancestors().nth(2).unwrap();
        let text = fs::read_to_string(root.join(PUSHED)).unwrap();
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        lines
            .map(|(length, digest)| (length.parse().unwrap(), digest.to_owned()))
            .collect()
    }

    /// What it was asked by the second version of git's protocol since this was asked last.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Its refs, `name id`, in order.
    pub(crate) fn refs(&self, scene: &Scene) -> String {
        refs_of(scene, &self.repository)
    }
}

/// The refs of a repository, `name id`, in order.
pub(crate) fn refs_of(scene: &Scene, repository: &Path) -> String {
    let words = ["for-each-ref", "--format=%(refname) %(objectname)"];
    git_of(scene, repository, &words)
}

/// What git says of a repository that is somebody else's.
pub(crate) fn git_of(scene: &Scene, repository: &Path, words: &[&str]) -> String {
    let at = repository.display().to_string();
    let all = ["git", "-c", "safe.directory=*", "--git-dir", &at];
    scene.run_bare(&[&all, words].concat()).stdout
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

/// A request as `git http-backend` is handed it (RFC 3875).
#[derive(Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    query: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn read(from: &mut impl BufRead) -> Option<Self> {
        let mut request = Self::default();
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut words = line.split(' ');
        request.method = words.next()?.to_owned();
        let target = words.next()?.to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        (request.path, request.query) = (path.to_owned(), query.to_owned());
        loop {
            let mut line = String::new();
            from.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            request
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if let Some(length) = request.header("content-length") {
            request.body = vec![0; length.parse().ok()?];
            from.read_exact(&mut request.body).ok()?;
        } else if request.header("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                from.read_line(&mut line).ok()?;
                let mut piece = vec![0; usize::from_str_radix(line.trim_end(), 16).ok()?];
                from.read_exact(&mut piece).ok()?;
                from.read_line(&mut line).ok()?;
                if piece.is_empty() {
                    break;
                }
                request.body.extend(piece);
            }
        }
        Some(request)
    }

    /// The command that it asks for, where it is one of the second version of git's protocol.
    fn command(&self) -> Option<String> {
        let command = self.body.get(4..)?.strip_prefix(b"command=")?;
        let name = command
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'-');
        let mut name = String::from_utf8(name.copied().collect()).ok()?;
        // A packet line without an end is followed by the next one's length.
        name.truncate(name.trim_end_matches(|c: char| c.is_ascii_digit()).len());
        Some(name)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(one, _)| one == name)
            .map(|(_, value)| value.as_str())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the server is started from outside"
    )]
    pub(crate) fn answer(&self, root: &Path) -> Vec<u8> {
        let mut command = Command::new("git");
        command.arg("http-backend").env_clear();
        let settings = [
            ("http.receivepack", "true"),
            ("receive.advertisePushOptions", "true"),
            // Takes signed pushes, for which each request is another process.
            ("receive.certNonceSeed", "seed"),
            ("receive.certNonceSlop", "3600"),
            ("receive.denyCurrentBranch", "ignore"),
            ("uploadpack.allowFilter", "true"),
            ("safe.directory", "*"),
        ];
        for (number, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command
            .env("GIT_CONFIG_COUNT", settings.len().to_string())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("GIT_PROJECT_ROOT", root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REMOTE_USER", "agent")
            .env("REMOTE_ADDR", "127.0.0.1")
            .env("REQUEST_METHOD", &self.method)
            .env("PATH_INFO", &self.path)
            .env("QUERY_STRING", &self.query)
            .env("CONTENT_LENGTH", self.body.len().to_string())
            .env(
                "CONTENT_TYPE",
                self.header("content-type").unwrap_or_default(),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (header, variable) in [
            ("git-protocol", "GIT_PROTOCOL"),
            ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ] {
            if let Some(value) = self.header(header) {
                command.env(variable, value);
            }
        }
        let mut backend = command.spawn().unwrap();
        let mut stdin = backend.stdin.take().unwrap();
        let body = self.body.clone();
        let writing = std::thread::spawn(move || stdin.write_all(&body));
        let said = backend.wait_with_output().unwrap().stdout;
        let _ = writing.join();
        let end = said
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let (head, body) = (String::from_utf8_lossy(&said[..end]), &said[end + 4..]);
        let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
        let headers = head.lines().filter(|line| !line.starts_with("Status: "));
        let headers: String = headers.map(|line| format!("{line}\r\n")).collect();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {}\r\n{headers}Content-Length: {length}\r\n\r\n",
            status.unwrap_or("200 OK")
        );
        [answer.as_bytes(), body].concat()
    }
}

fn serve(stream: impl Read + Write, (root, asked): (&Path, &Mutex<Vec<String>>)) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream) {
        if request.method == "POST" && request.path.ends_with("/git-receive-pack") {
            let pushed = root.join(PUSHED);
            let mut pushed = File::options()
                .create(true)
                .append(true)
                .open(pushed)
                .unwrap();
            writeln!(
                pushed,
                "{} {}",
                request.body.len(),
                Digest::of(&request.body)
            )
            .unwrap();
        }
        asked.lock().unwrap().extend(request.command());
        let answer = forge::answer(&request, root).unwrap_or_else(|| request.answer(root));
        let writing = stream.get_mut();
        if writing.write_all(&answer).is_err() || writing.flush().is_err() {
            return;
        }
    }
}
