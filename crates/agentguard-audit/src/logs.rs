//! Which logs there are.

use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use agentguard_core::{SessionId, SessionStatus};
use serde::Serialize;

use crate::installation::Places;
use crate::wal::{self, Frames};
use crate::{Error, read, store};

/// Where a session's log stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogState {
    /// Its guard lives.
    Running,
    /// It has ended.
    Ended,
    /// Its guard died without ending it.
    Lost,
    /// The anchor log names it, and it is not there.
    Missing,
    /// It is there, and cannot be looked at.
    Unreadable,
}

/// A session's log.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LogInfo {
    /// The session.
    pub session: SessionId,
    /// Where its log lies.
    pub directory: PathBuf,
    /// How many entries it has.
    pub size: u64,
    /// Where it stands.
    pub state: LogState,
    /// When it began, as the anchor log says; empty where it does not.
    pub began: String,
}

impl LogInfo {
    /// Whether nothing was ever appended: a guard that dies while it makes the log's files leaves such a one.
    #[must_use]
    pub fn never_began(&self) -> bool {
        self.state == LogState::Lost && self.began.is_empty() && self.size == 0
    }

    fn may_be_latest(&self) -> bool {
        match self.state {
            LogState::Missing => false,
            LogState::Unreadable => !self.began.is_empty(),
            LogState::Running | LogState::Ended | LogState::Lost => true,
        }
    }
}

/// The sessions' logs of a user, in the order in which they began.
///
/// # Errors
///
/// Returns an error where the anchor log cannot be read, or the sessions cannot be listed.
pub fn logs(places: &Places) -> Result<Vec<LogInfo>, Error> {
    let mut found: BTreeMap<SessionId, LogInfo> = BTreeMap::new();
    let mut order: Vec<SessionId> = Vec::new();
    for anchored in read::anchored(&places.anchor())? {
        let name = anchored.log.rsplit('/').next().unwrap_or_default();
        let Ok(session) = SessionId::parse(name) else {
            continue;
        };
        let info = found.entry(session.clone()).or_insert_with(|| {
            order.push(session.clone());
            LogInfo {
                directory: places.sessions().join(session.as_str()),
                session,
                size: 0,
                state: LogState::Missing,
                began: anchored.time.clone(),
            }
        });
        info.size = anchored.size;
        info.state = match anchored.state {
            SessionStatus::Begun => continue,
            SessionStatus::Ended => LogState::Ended,
            SessionStatus::Lost => LogState::Lost,
        };
    }
    for session in unanchored(places, &found)? {
        let directory = places.sessions().join(session.as_str());
        order.push(session.clone());
        found.insert(
            session.clone(),
            LogInfo {
                session,
                directory,
                size: 0,
                state: LogState::Missing,
                began: String::new(),
            },
        );
    }
    let mut logs = Vec::new();
    for mut info in order.iter().filter_map(|session| found.remove(session)) {
        look_at(&mut info);
        logs.push(info);
    }
    Ok(logs)
}

/// The one log whose session begins with `prefix`; the latest that is there, where it is empty. One that cannot be read, and
/// of which nobody knows when it began, is not the latest.
///
/// # Errors
///
/// Returns [`Error::UnknownSession`] or [`Error::Ambiguous`] where it is not one.
pub fn find(places: &Places, prefix: &str) -> Result<LogInfo, Error> {
    let mut fitting: Vec<LogInfo> = logs(places)?
        .into_iter()
        .filter(|log| log.session.as_str().starts_with(prefix))
        .filter(|log| !prefix.is_empty() || log.may_be_latest())
        .collect();
    let count = fitting.len();
    let last = fitting.pop().ok_or_else(|| Error::UnknownSession {
        prefix: prefix.to_owned(),
    })?;
    if count > 1 && !prefix.is_empty() {
        return Err(Error::Ambiguous {
            prefix: prefix.to_owned(),
            count,
        });
    }
    Ok(last)
}

/// Whether the guard that writes the log in `directory` lives.
///
/// # Errors
///
/// Returns an error where the log cannot be looked at.
pub fn is_running(directory: &Path) -> Result<bool, Error> {
    let path = directory.join("wal");
    let Some(file) = store::open(&path)? else {
        return Ok(false);
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(Error::io("look at", &path, error)),
    }
}

fn unanchored(
    places: &Places,
    found: &BTreeMap<SessionId, LogInfo>,
) -> Result<Vec<SessionId>, Error> {
    let path = places.sessions();
    let listed = match std::fs::read_dir(&path) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", &path, error)),
    };
    let mut sessions = Vec::new();
    for entry in listed {
        let entry = entry.map_err(|e| Error::io("list", &path, e))?;
        let session = entry.file_name().to_str().map(SessionId::parse);
        sessions.extend(
            session
                .and_then(Result::ok)
                .filter(|id| !found.contains_key(id)),
        );
    }
    sessions.sort();
    Ok(sessions)
}

/// Fills in what only the log itself can tell. Why it cannot is said where it is read.
fn look_at(info: &mut LogInfo) {
    if !info.directory.exists() {
        info.state = LogState::Missing;
        return;
    }
    if matches!(info.state, LogState::Ended | LogState::Lost) {
        return;
    }
    info.state = match is_running(&info.directory) {
        Ok(true) => LogState::Running,
        Ok(false) => LogState::Lost,
        Err(_) => LogState::Unreadable,
    };
    if let Ok(Some((mut frames, _))) = Frames::open(&info.directory.join("wal")) {
        match wal::scan(&mut frames, 0, |_, _, _| {}) {
            Ok(tail) => info.size = tail.entries,
            Err(_) => info.state = LogState::Unreadable,
        }
    }
}
