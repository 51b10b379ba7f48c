//! The commits that a push brings, as its entry names them: in the leaf itself, so that a receipt of the entry
//! proves them without the text beside it.

use serde::{Deserialize, Serialize};

use crate::{Digest, Push};

/// What the ids may take of an entry, which is at most 65,535 bytes long.
const LONGEST: usize = 40_000;
/// Quotes and a comma around each.
const AROUND: usize = 3;

/// The commits of a push.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Brought {
    /// Their ids, as many as fit.
    pub commits: Vec<String>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more: u64,
    /// Where there are more, the digest over all ids with a line feed behind each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_sha256: Option<Digest>,
}

impl Brought {
    /// What a push brings.
    #[must_use]
    pub fn by(push: &Push) -> Self {
        let mut length = 0;
        let fits = |id: &&str| {
            length += id.len() + AROUND;
            length <= LONGEST
        };
        let ids = || push.commits.iter().map(|commit| commit.id.as_str());
        let commits: Vec<_> = ids().take_while(fits).map(str::to_owned).collect();
        let more = ids().count().saturating_sub(commits.len());
        let all = || ids().flat_map(|id| [id, "\n"]).collect::<String>();
        Self {
            commits,
            more: u64::try_from(more).unwrap_or(u64::MAX),
            all_sha256: (more > 0).then(|| Digest::of(all().as_bytes())),
        }
    }

    /// Whether a commit of this whole id is named.
    #[must_use]
    pub fn names(&self, id: &str) -> bool {
        self.commits.iter().any(|commit| commit == id)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PushedBy, PushedCommit};

    fn push(count: usize, width: usize) -> Push {
        let commit = |number: usize| PushedCommit {
            id: format!("{number:0width$x}"),
            author: "a@example.org".to_owned(),
            committer: "a@example.org".to_owned(),
            parents: 1,
            signed: false,
            signer: None,
            sessions: Vec::new(),
        };
        Push {
            by: PushedBy::Git,
            host: "git.test".to_owned(),
            port: 443,
            repository: vec!["r".to_owned()],
            refs: Vec::new(),
            commits: (0..count).map(commit).collect(),
            paths: Vec::new(),
            infrastructure: Vec::new(),
            unseen: None,
            merges: None,
            options: Vec::new(),
            atomic: false,
            signed: false,
            caller: "unknown".to_owned(),
            caller_sha256: None,
            credentials: Vec::new(),
        }
    }

    #[test]
    fn a_commit_is_named_by_its_whole_id_only() {
        let brought = Brought::by(&push(3, 40));
        assert!(brought.names(&format!("{:040x}", 2)));
        assert!(!brought.names(&format!("{:039x}", 2)) && !brought.names(""));
        assert_eq!((brought.more, brought.all_sha256), (0, None));
    }

    #[test]
    fn of_very_many_some_are_named_and_a_digest_holds_all() {
        for width in [40, 64] {
            let push = push(2_000, width);
            let brought = Brought::by(&push);
            let length = serde_json::to_string(&brought).unwrap().len();
            assert!(length < LONGEST + 200, "{length}");
            let named = u64::try_from(brought.commits.len()).unwrap();
            assert!(named > 500 && named + brought.more == 2_000);
            let all: String = push.commits.iter().map(|c| c.id.clone() + "\n").collect();
            assert_eq!(brought.all_sha256, Some(Digest::of(all.as_bytes())));
        }
    }
}
