//! Everything of a user: the anchor log, and each session that it or a directory names.

use agentguard::Places;
use agentguard::audit::{self, Keys, LogInfo, LogState};
use agentguard::verify_session;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::voice::{Voice, Word};

use super::answer;

/// Verifies every log. One that does not verify outweighs one that cannot be checked.
pub(crate) fn run(
    places: &Places,
    keys: &Keys,
    json: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let logs = audit::logs(places)?;
    let is_begun = audit::is_begun(places)?;
    if !is_begun && logs.is_empty() {
        return Err(Failure::new("nothing was recorded yet")
            .with_hint("`agentguard exec -- COMMAND` records a session"));
    }
    let is_running = logs.iter().any(|log| log.state == LogState::Running);
    let mut all = All {
        keys,
        json,
        voice,
        exit: Exit::Done,
    };
    // A guard that dies at its first log's first entry has not come to the anchor log yet.
    if is_begun || logs.iter().any(is_beyond_its_start) {
        all.anchor(places, is_running)?;
    }
    for log in &logs {
        all.session(log)?;
    }
    Ok(all.exit)
}

/// Whether more was recorded than the entry that is anchored before anything else is.
fn is_beyond_its_start(log: &LogInfo) -> bool {
    log.size > 1
}

struct All<'a> {
    keys: &'a Keys,
    json: bool,
    voice: &'a mut Voice,
    exit: Exit,
}

impl All<'_> {
    fn anchor(&mut self, places: &Places, is_running: bool) -> Result<(), Failure> {
        let directory = places.anchor();
        match verify_session(&directory, self.keys) {
            Ok(report) if is_running && answer::is_unsigned(&report) => {
                let text = "not signed yet: the anchor log, while its first session runs";
                self.tell(
                    text,
                    json!({"log": directory, "verified": null, "running": true}),
                )
            }
            Ok(report) => {
                let exit = answer::tell(&directory, &report, self.json, self.voice)?;
                self.settle(exit);
                Ok(())
            }
            Err(audit::Error::NotALog { .. }) => {
                self.settle(Exit::No);
                let text = "not verified: the anchor log is missing";
                self.tell(
                    text,
                    json!({"log": directory, "verified": false, "missing": true}),
                )
            }
            Err(error) => {
                self.fail(error);
                Ok(())
            }
        }
    }

    fn session(&mut self, log: &LogInfo) -> Result<(), Failure> {
        let (directory, session) = (&log.directory, &log.session);
        if log.state == LogState::Missing {
            self.settle(Exit::No);
            let size = log.size;
            let text = format!(
                "not verified: session {session} is missing, which had {size} entries at least"
            );
            let object = json!({
                "log": directory, "verified": false, "missing": true, "entries": size,
            });
            return self.tell(&text, object);
        }
        if log.never_began() {
            let text = format!("never began: session {session}");
            return self.tell(
                &text,
                json!({"log": directory, "verified": null, "entries": 0}),
            );
        }
        if log.began.is_empty() && is_beyond_its_start(log) {
            self.settle(Exit::No);
            let text = format!("not verified: session {session} is not in the anchor log");
            let object = json!({"log": directory, "verified": false, "anchored": false});
            return self.tell(&text, object);
        }
        match verify_session(directory, self.keys) {
            Ok(report) if log.state == LogState::Running && answer::is_unsigned(&report) => {
                let text = format!("not signed yet: session {session}, which runs");
                self.tell(
                    &text,
                    json!({"log": directory, "verified": null, "running": true}),
                )
            }
            Ok(report) => {
                let exit = answer::tell(directory, &report, self.json, self.voice)?;
                self.settle(exit);
                if log.state == LogState::Lost && answer::is_unsigned(&report) {
                    let text = "its guard died before anything was signed; the next `agentguard \
                                exec` signs what is there";
                    self.voice.flush()?;
                    self.voice.say(Word::Hint, text);
                }
                Ok(())
            }
            Err(error) => {
                self.fail(error);
                Ok(())
            }
        }
    }

    fn tell(&mut self, text: &str, object: serde_json::Value) -> Result<(), Failure> {
        match self.json {
            true => self.voice.json(&object),
            false => self.voice.line(text),
        }
    }

    fn fail(&mut self, error: audit::Error) {
        self.settle(match error.is_refutation() {
            true => Exit::No,
            false => Exit::Failed,
        });
        // What was found so far stands before what went wrong.
        let _ = self.voice.flush();
        self.voice.fail(&Failure::from(error));
    }

    fn settle(&mut self, exit: Exit) {
        self.exit = match (self.exit, exit) {
            (Exit::No, _) | (_, Exit::No) => Exit::No,
            (Exit::Failed, _) | (_, Exit::Failed) => Exit::Failed,
            (sofar, _) => sofar,
        };
    }
}
