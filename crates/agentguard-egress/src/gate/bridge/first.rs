//! Servers that speak only the first version of git's protocol: what the gate asks in the second is asked of them in the
//! first (gitprotocol-pack(5)).
//!
//! They send what one of their refs leads to, and nothing that is only named. Where the gate asks for a commit behind a
//! branch, it is found by how far behind it is; what is in no branch is not found.

use std::collections::BTreeMap;
use std::sync::Arc;

use gix_hash::{Kind as Hash, ObjectId};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use tokio::sync::mpsc;

use super::Ssh;
use super::serve::{PIECES, in_words};
use super::talk::{self, Greeting, Talk};
use crate::gate::body::{self, Body};
use crate::gate::push::pkt::{self, Line, NoLine};
use crate::gate::push::{Graph, LONGEST};
use crate::ssh::Errand;

/// The longest question.
const LONGEST_QUESTION: usize = 1 << 20;
/// A file that is looked into is no longer. They come with the directories, since they cannot be asked for.
const SHORT_FILES: &str = "blob:limit=131073";
const COMMITS: &str = "tree:0";
const HEADS: &str = "refs/heads/";

/// A question in the second version (gitprotocol-v2(5)).
#[derive(Debug, Eq, PartialEq)]
enum Asked {
    /// For refs whose names begin so.
    Refs(Vec<String>),
    Objects(Wanted),
}

/// What is wanted of a server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Wanted {
    ids: Vec<ObjectId>,
    /// What leads to no more of it.
    but: Vec<ObjectId>,
    /// How many commits of a line are sent, where not all are.
    depth: Option<usize>,
    filter: Option<String>,
}

/// What the server says first: its refs, and what it can.
struct Shown {
    refs: BTreeMap<String, ObjectId>,
    can: Vec<String>,
    format: Hash,
}

/// What a server says after it was asked.
struct Pack {
    talk: Talk,
    come: Come,
}

/// What came of it and was not taken yet.
#[derive(Default)]
struct Come {
    read: Vec<u8>,
    is_begun: bool,
}

/// What stands first in what came.
#[derive(Debug, Eq, PartialEq)]
enum Next {
    /// A line of the side band.
    Line(Vec<u8>),
    End,
    /// The beginning of a line.
    More,
}

/// Answers a question.
///
/// # Errors
///
/// Returns why there is no answer.
pub(super) async fn answer(
    (ssh, errand): (&Arc<Ssh>, Errand),
    (talk, greeting): (Talk, Greeting),
    question: Option<Incoming>,
) -> Result<Response<Body>, String> {
    let asked = read(&gathered(question).await?)?;
    let shown = Shown::of(&greeting.bytes)?;
    let mut wanted = match asked {
        Asked::Refs(beginnings) => return Ok(result(Body::whole(shown.told(&beginnings).into()))),
        Asked::Objects(wanted) => wanted,
    };
    if wanted.depth.is_some() {
        wanted.filter = Some(SHORT_FILES.to_owned());
    }
    if shown.sends(&wanted.ids) {
        return shown.passed(talk, &wanted).await;
    }
    let unknown = "the server has no branch that leads to what is asked for, and speaks no second version of git's \
                   protocol: its `sshd` is to have `AcceptEnv GIT_PROTOCOL`";
    let heads = shown.heads();
    let graph = shown.graph(talk, &heads).await?;
    let (tips, depth) = graph.way(&heads, &wanted.ids).ok_or(unknown)?;
    if wanted.depth.is_none() {
        // All that is behind a branch is behind all of them together.
        let is_behind = heads.iter().all(|head| wanted.but.contains(head));
        return if is_behind {
            Ok(nothing())
        } else {
            Err(unknown.to_owned())
        };
    }
    (wanted.ids, wanted.depth) = (tips, Some(depth + 1));
    let mut talk = Talk::begin(ssh, errand).await?;
    let shown = Shown::of(&talk.greeting().await?.bytes)?;
    shown.passed(talk, &wanted).await
}

async fn gathered(question: Option<Incoming>) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let Some(mut question) = question else {
        return Ok(all);
    };
    while let Some(next) = body::next(&mut question).await {
        all.extend_from_slice(&next.map_err(|error| error.to_string())?);
        if all.len() > LONGEST_QUESTION {
            return Err("what is asked does not end".to_owned());
        }
    }
    Ok(all)
}

fn read(question: &[u8]) -> Result<Asked, String> {
    let unread = || {
        "the server speaks the first version of git's protocol, in which this is not asked"
            .to_owned()
    };
    let (mut rest, mut command) = (question, String::new());
    let (mut refs, mut wanted) = (Vec::new(), Wanted::default());
    let id = |text: &str| ObjectId::from_hex(text.as_bytes()).map_err(|_| unread());
    loop {
        let line = match pkt::take(&mut rest) {
            Ok(Line::Data(line)) => std::str::from_utf8(line).map_err(|_| unread())?,
            Ok(Line::Delimiter) => continue,
            Ok(Line::Flush) => break,
            Ok(Line::End) | Err(_) => return Err(unread()),
        };
        let line = line.trim_end_matches('\n');
        match line.split_once([' ', '=']) {
            Some(("command", name)) => command = name.to_owned(),
            Some(("ref-prefix", beginning)) => refs.push(beginning.to_owned()),
            Some(("want", one)) => wanted.ids.push(id(one)?),
            Some(("have", one)) => wanted.but.push(id(one)?),
            Some(("deepen", "1")) => wanted.depth = Some(1),
            Some(("filter", filter)) => wanted.filter = Some(filter.to_owned()),
            Some(("object-format" | "agent", _)) => {}
            None if ["ofs-delta", "no-progress", "done"].contains(&line) => {}
            Some(_) | None => return Err(unread()),
        }
    }
    match command.as_str() {
        "ls-refs" => Ok(Asked::Refs(refs)),
        "fetch" if !wanted.ids.is_empty() => Ok(Asked::Objects(wanted)),
        _ => Err(unread()),
    }
}

impl Shown {
    fn of(greeting: &[u8]) -> Result<Self, String> {
        let unread = "what the server says first cannot be read";
        let mut shown = Self {
            refs: BTreeMap::new(),
            can: Vec::new(),
            format: Hash::Sha1,
        };
        let mut rest = greeting;
        while let Ok(Line::Data(line)) = pkt::take(&mut rest) {
            let line = std::str::from_utf8(line).map_err(|_| unread)?;
            let line = line.trim_end_matches('\n');
            let (line, can) = line.split_once('\0').unwrap_or((line, ""));
            shown.can.extend(can.split(' ').map(str::to_owned));
            let (id, name) = line.split_once(' ').ok_or(unread)?;
            let is_one = name.starts_with("refs/") && !name.ends_with("^{}");
            if let (Ok(id), true) = (ObjectId::from_hex(id.as_bytes()), is_one) {
                shown.refs.insert(name.to_owned(), id);
            }
        }
        if shown.can("object-format=sha256") {
            shown.format = Hash::Sha256;
        }
        if shown.can("side-band-64k") && shown.can("shallow") {
            Ok(shown)
        } else {
            Err("the server is older than any that is asked".to_owned())
        }
    }

    fn can(&self, what: &str) -> bool {
        self.can.iter().any(|one| one == what)
    }

    /// Refs, as the second version tells them.
    fn told(&self, beginnings: &[String]) -> Vec<u8> {
        let is_asked = |name: &str| beginnings.iter().any(|one| name.starts_with(one.as_str()));
        let mut told = Vec::new();
        for (name, id) in self.refs.iter().filter(|(name, _)| is_asked(name)) {
            pkt::put(&mut told, format!("{id} {name}\n").as_bytes());
        }
        pkt::flush(&mut told);
        told
    }

    fn heads(&self) -> Vec<ObjectId> {
        let heads = self.refs.iter().filter(|(name, _)| name.starts_with(HEADS));
        let mut heads: Vec<_> = heads.map(|(_, id)| *id).collect();
        heads.sort_unstable();
        heads.dedup();
        heads
    }

    /// Whether all of these can be asked for by name.
    fn sends(&self, ids: &[ObjectId]) -> bool {
        self.can("allow-reachable-sha1-in-want")
            || ids.iter().all(|id| self.refs.values().any(|one| one == id))
    }

    /// Which commit follows which in all branches.
    async fn graph(&self, talk: Talk, heads: &[ObjectId]) -> Result<Graph, String> {
        if heads.is_empty() {
            return Err("the server has no branch".to_owned());
        }
        let all = Wanted {
            ids: heads.to_vec(),
            filter: Some(COMMITS.to_owned()),
            ..Wanted::default()
        };
        let (mut coming, mut pack) = (self.ask(talk, &all).await?, Vec::new());
        while let Some(line) = coming.next().await? {
            if let Some((1, bytes)) = line.split_first() {
                pack.extend_from_slice(bytes);
            }
            if pack.len() > LONGEST {
                return Err("its branches hold more than is read of them".to_owned());
            }
        }
        Graph::read(pack, self.format).await
    }

    /// What is wanted, as the first version says it. What the server cannot leave out it sends.
    fn words(&self, wanted: &Wanted) -> Vec<u8> {
        let filter = wanted.filter.as_ref().filter(|_| self.can("filter"));
        let mut can = "side-band-64k ofs-delta no-progress".to_owned();
        if filter.is_some() {
            can.push_str(" filter");
        }
        if self.format == Hash::Sha256 {
            can.push_str(" object-format=sha256");
        }
        let mut words = Vec::new();
        for (place, id) in wanted.ids.iter().enumerate() {
            let line = match place {
                0 => format!("want {id} {can}\n"),
                _ => format!("want {id}\n"),
            };
            pkt::put(&mut words, line.as_bytes());
        }
        if let Some(depth) = wanted.depth {
            pkt::put(&mut words, format!("deepen {depth}\n").as_bytes());
        }
        if let Some(filter) = filter {
            pkt::put(&mut words, format!("filter {filter}\n").as_bytes());
        }
        pkt::flush(&mut words);
        for id in &wanted.but {
            pkt::put(&mut words, format!("have {id}\n").as_bytes());
        }
        pkt::put(&mut words, b"done\n");
        words
    }

    async fn ask(&self, mut talk: Talk, wanted: &Wanted) -> Result<Pack, String> {
        let mut input = talk.input.take().ok_or("nothing can be said to it")?;
        let said = talk::say(&mut input, &self.words(wanted)).await;
        said.map_err(|error| error.to_string())?;
        Ok(Pack {
            talk,
            come: Come::default(),
        })
    }

    /// Hands back what is wanted, as the second version does.
    async fn passed(&self, talk: Talk, wanted: &Wanted) -> Result<Response<Body>, String> {
        let mut coming = self.ask(talk, wanted).await?;
        let mut next = coming.next().await?;
        let (says, heard) = mpsc::channel(PIECES);
        tokio::spawn(async move {
            let mut piece = begun();
            while let Some(line) = next {
                pkt::put(&mut piece, &line);
                if says
                    .send(Bytes::from(std::mem::take(&mut piece)))
                    .await
                    .is_err()
                {
                    return;
                }
                // Where it breaks off, the answer has no end.
                let Ok(line) = coming.next().await else {
                    return;
                };
                next = line;
            }
            pkt::flush(&mut piece);
            let _ = says.send(piece.into()).await;
        });
        Ok(result(Body::Told(heard)))
    }
}

impl Pack {
    /// The next line of the side band. `None` at its end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            match self.come.take()? {
                Next::Line(line) => return Ok(Some(line)),
                Next::End => return Ok(None),
                Next::More => match self.talk.next().await {
                    Some(next) => self.come.read.extend_from_slice(&next),
                    None => {
                        let why = self.talk.why().await;
                        return Err(why.unwrap_or_else(|| "the conversation breaks off".to_owned()));
                    }
                },
            }
        }
    }
}

impl Come {
    fn take(&mut self) -> Result<Next, String> {
        loop {
            let mut rest = self.read.as_slice();
            let line = pkt::take(&mut rest);
            let taken = self.read.len() - rest.len();
            let (line, is_over) = match line {
                Ok(Line::Data(line)) => (line.to_vec(), false),
                Ok(Line::Flush) => (Vec::new(), self.is_begun),
                Ok(Line::Delimiter | Line::End) => (Vec::new(), false),
                Err(NoLine::Malformed) => {
                    return Err("what the server says is not git's".to_owned());
                }
                Err(NoLine::Unfinished) => return Ok(Next::More),
            };
            self.read.drain(..taken);
            if is_over {
                return Ok(Next::End);
            }
            if let Some(why) = line.strip_prefix(b"ERR ") {
                return Err(format!("the server says: {}", talk::plain(why)));
            }
            // Before it stands what the two have in common, and where lines are cut.
            if let Some(1..=3) = line.first() {
                self.is_begun = true;
                return Ok(Next::Line(line));
            }
        }
    }
}

fn begun() -> Vec<u8> {
    let mut begun = Vec::new();
    pkt::put(&mut begun, b"packfile\n");
    begun
}

/// An answer with a pack of nothing.
fn nothing() -> Response<Body> {
    let mut answer = begun();
    // Whoever reads it needs no digest of nothing.
    let pack = [&b"PACK\0\0\0\x02\0\0\0\0"[..], &[0; 32]].concat();
    pkt::put_in_band(&mut answer, 1, &pack);
    pkt::flush(&mut answer);
    result(Body::whole(answer.into()))
}

fn result(body: Body) -> Response<Body> {
    in_words("git-upload-pack", "result", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111";

    fn lines(all: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in all {
            pkt::put(&mut bytes, line.as_bytes());
        }
        pkt::flush(&mut bytes);
        bytes
    }

    #[test]
    fn what_the_gate_asks_is_asked_in_older_words() {
        let question = lines(&[
            "command=fetch",
            "object-format=sha1",
            &format!("want {ID}\n"),
            &format!("have {ID}\n"),
            "deepen 1\n",
            "filter blob:none\n",
            "ofs-delta\n",
            "done\n",
        ]);
        let Ok(Asked::Objects(wanted)) = read(&question) else {
            panic!("it is not read");
        };
        let greeting = |can: &str| {
            lines(&[
                &format!("{ID} refs/heads/main\0{can}\n"),
                &format!("{ID} refs/tags/v1^{{}}\n"),
            ])
        };
        let shown = Shown::of(&greeting("side-band-64k shallow filter")).unwrap();
        let words = String::from_utf8(shown.words(&wanted)).unwrap();
        let plain: String = words
            .split("\n00")
            .map(|line| line.get(2..).unwrap_or(line))
            .collect::<Vec<_>>()
            .join("|");
        assert!(words.contains("filter blob:none"), "{plain}");
        assert!(
            words.ends_with("0009done\n") && words.contains("deepen 1\n0015filter"),
            "{words}"
        );
        let shown = Shown::of(&greeting("side-band-64k shallow")).unwrap();
        assert!(
            !String::from_utf8(shown.words(&wanted))
                .unwrap()
                .contains("filter")
        );
        assert_eq!(
            shown.told(&["refs/".to_owned()]),
            lines(&[&format!("{ID} refs/heads/main\n")])
        );
        assert!(
            shown.sends(&wanted.ids) && !shown.sends(&[ObjectId::from_hex(&[b'2'; 40]).unwrap()])
        );
        assert!(Shown::of(&greeting("side-band")).is_err());
        for bad in [
            &["command=object-info", "size"][..],
            &["command=fetch"],
            &["command=fetch", "want x"],
        ] {
            assert!(read(&lines(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_answer_ends_behind_its_pack_and_not_before() {
        let mut come = Come::default();
        let shallow = lines(&[&format!("shallow {ID}")]);
        let pack = lines(&["\u{1}a", "\u{2}b"]);
        come.read = [&shallow[..], b"0008NAK\n", &pack, b"0006\x01z"].concat();
        let mut next = || come.take().unwrap();
        assert_eq!(next(), Next::Line(b"\x01a".to_vec()));
        assert_eq!(next(), Next::Line(b"\x02b".to_vec()));
        assert_eq!(next(), Next::End);
        let mut come = Come {
            read: lines(&["ERR no\n"]),
            is_begun: false,
        };
        assert_eq!(come.take(), Err("the server says: no".to_owned()));
    }

    /// Whatever is said to a server, its lines are those that were meant.
    fn of_lines(bytes: &[u8]) -> Vec<String> {
        let (mut rest, mut all) = (bytes, Vec::new());
        while !rest.is_empty() {
            match pkt::take(&mut rest).unwrap() {
                Line::Data(line) => all.push(String::from_utf8(line.to_vec()).unwrap()),
                Line::Flush => all.push(String::new()),
                Line::Delimiter | Line::End => panic!("nobody said that"),
            }
        }
        all
    }

    fn asked(question: &[u8]) -> String {
        match read(question) {
            Ok(Asked::Refs(beginnings)) => format!("refs {}", beginnings.len().min(4)),
            Ok(Asked::Objects(wanted)) => {
                let can = "side-band-64k shallow filter".to_owned();
                let shown = Shown {
                    refs: BTreeMap::new(),
                    can: can.split(' ').map(str::to_owned).collect(),
                    format: Hash::Sha1,
                };
                let lines = of_lines(&shown.words(&wanted));
                let but = wanted.but.len();
                let more = usize::from(wanted.depth.is_some() || wanted.filter.is_some());
                let all = wanted.ids.len() + but + 2;
                assert!((all + more..=all + 2).contains(&lines.len()), "{lines:?}");
                format!("objects {} {} {more}", wanted.ids.len().min(4), but.min(4))
            }
            Err(_) => "asked nothing".to_owned(),
        }
    }

    fn shown(greeting: &[u8]) -> String {
        let shown = match Shown::of(greeting) {
            Ok(shown) => shown,
            Err(why) => return why,
        };
        let told = of_lines(&shown.told(&["refs/".to_owned()]));
        assert_eq!(told.len(), shown.refs.len() + 1);
        let heads = shown.heads();
        assert!(shown.sends(&heads));
        format!(
            "{} {} {}",
            told.len().min(4),
            heads.len().min(4),
            shown.can.len().min(4)
        )
    }

    /// What comes is told in the same lines, in whatever pieces it came.
    fn heard(bytes: &[u8]) -> String {
        let taken = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let (mut come, mut lines) = (Come::default(), Vec::new());
            loop {
                match come.take() {
                    Ok(Next::Line(line)) => lines.push(line),
                    Ok(Next::End) => return (lines, "end".to_owned()),
                    Err(why) => return (lines, why),
                    Ok(Next::More) => match pieces.next() {
                        Some(piece) => come.read.extend_from_slice(piece),
                        None => return (lines, "more".to_owned()),
                    },
                }
            }
        };
        let whole = taken(&mut std::iter::once(bytes));
        assert_eq!(taken(&mut bytes.chunks(3)), whole);
        let (lines, end) = whole;
        assert!(lines.iter().all(|line| (1..=3).contains(&line[0])));
        let end: String = end.chars().take(20).collect();
        format!("{} {end}", lines.len().min(4))
    }

    #[test]
    fn fuzz_the_first_version_is_read_or_not() {
        let words = [
            "0000",
            "0001",
            "0008NAK\n",
            "0005\u{1}",
            "0005\u{2}",
            "0032want ",
            "0032have ",
            "000cdeepen 1",
            "0011command=fetch",
            "0013command=ls-refs",
            "000eversion 1\n",
            "ERR ",
            "shallow ",
            " side-band-64k shallow",
            "object-format=sha256",
            "filter ",
            " refs/heads/a",
            "^{}",
            "\0",
            ID,
        ];
        crate::mutate::fuzz("first-version", &words, |bytes| {
            format!("{} / {} / {}", asked(bytes), shown(bytes), heard(bytes))
        });
    }
}
