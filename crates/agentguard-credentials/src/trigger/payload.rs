//! GitHub's event payload: facts for the reader, not evidence.
//!
//! The file lies in a directory that every step of a job may write, and nothing in it is signed. An
//! earlier step, an action from elsewhere or a script of the repository could have put anything there
//! before we started, and we cannot tell. So it adds facts, and what it names stays `asserted`.

use std::fs::File;
use std::io::Read as _;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use serde_json::Value;

use super::value::fact;

/// A payload takes 25 MB at most; those that name people take a few dozen kB.
const LIMIT: u32 = 4 << 20;

/// What was found at `GITHUB_EVENT_PATH`.
pub(super) enum Payload {
    /// A JSON value.
    Read(Value),
    /// A file that could not be read as one.
    Unreadable(&'static str),
}

impl Payload {
    /// Reads the file at `path`, which may be anything.
    pub(super) fn read(path: &str) -> Self {
        Self::read_bounded(path).map_or_else(
            Self::Unreadable,
            |bytes| match serde_json::from_slice(&bytes) {
                Ok(value) => Self::Read(value),
                Err(_) => Self::Unreadable("no JSON"),
            },
        )
    }

    /// Whether the account behind the event says of itself that it is no person.
    pub(super) fn sender_is_bot(&self, actor: &str) -> bool {
        let is_actor = self
            .text("/sender/login")
            .is_some_and(|login| login.eq_ignore_ascii_case(actor));
        is_actor && self.text("/sender/type") == Some("Bot")
    }

    /// Names of people and repositories that the payload holds.
    pub(super) fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        if let Self::Unreadable(why) = self {
            facts.push(fact("payload", why));
        }
        for (label, login, id) in [
            ("sender", "/sender/login", "/sender/id"),
            (
                "pull_request_user",
                "/pull_request/user/login",
                "/pull_request/user/id",
            ),
            ("issue_user", "/issue/user/login", "/issue/user/id"),
            ("comment_user", "/comment/user/login", "/comment/user/id"),
            (
                "upstream_actor",
                "/workflow_run/actor/login",
                "/workflow_run/actor/id",
            ),
            (
                "upstream_triggering_actor",
                "/workflow_run/triggering_actor/login",
                "/workflow_run/triggering_actor/id",
            ),
        ] {
            if let Some(login) = self.text(login) {
                let id = self.at(id).and_then(Value::as_u64);
                let id = id.map_or_else(String::new, |id| format!(" ({id})"));
                facts.push(fact(label, &format!("{login}{id}")));
            }
        }
        facts.extend(
            self.text("/workflow_run/event")
                .map(|e| fact("upstream_event", e)),
        );
        for at in ["/pull_request", "/workflow_run"] {
            facts.extend(self.fork(at));
        }
        facts
    }

    /// The fork that a pull request or an upstream run comes from.
    fn fork(&self, at: &str) -> Option<String> {
        let (head, base) = match at {
            "/pull_request" => ("/head/repo/full_name", "/base/repo/full_name"),
            _ => ("/head_repository/full_name", "/repository/full_name"),
        };
        self.at(at)?;
        let head = self.text(&format!("{at}{head}"));
        let base = self.text(&format!("{at}{base}"));
        // A fork that was deleted since is null.
        (head != base || head.is_none()).then(|| fact("fork", head.unwrap_or("deleted")))
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer).and_then(Value::as_str)
    }

    fn at(&self, pointer: &str) -> Option<&Value> {
        match self {
            Self::Read(value) => value.pointer(pointer),
            Self::Unreadable(_) => None,
        }
    }

    fn read_bounded(path: &str) -> Result<Vec<u8>, &'static str> {
        // Without blocking and without following: it could be a FIFO, a device or a link by now.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(|_| "unreadable")?;
        let stat = fstat(&fd).map_err(|_| "unreadable")?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err("no regular file");
        }
        let mut bytes = Vec::new();
        let limit = u64::from(LIMIT);
        let read = File::from(fd).take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|_| "unreadable")?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
            Ok(bytes)
        } else {
            Err("too large")
        }
    }
}
