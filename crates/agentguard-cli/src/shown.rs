//! What a question is about, in lines for whoever answers it.

use agentguard::core::{Exec, FileChange, Push, PushedCommit, RefUpdate, ValueChange};
use serde_json::Value;

/// More of a kind are counted.
const MOST: usize = 20;

/// Names and texts, one a line.
pub(crate) fn parts(action: &Value) -> Vec<(&'static str, String)> {
    match action.get("kind").and_then(Value::as_str) {
        Some("push") => {
            serde_json::from_value(action.clone()).map_or_else(unread, |push| of(&push))
        }
        Some("exec") => {
            serde_json::from_value(action.clone()).map_or_else(unread, |exec| run(&exec))
        }
        Some(_) | None => {
            let body = action.get("body").filter(|body| !body.is_null());
            body.map(|body| ("body", body.to_string()))
                .into_iter()
                .collect()
        }
    }
}

fn unread(_: serde_json::Error) -> Vec<(&'static str, String)> {
    vec![(
        "what",
        "it cannot be shown here; `--json` says it".to_owned(),
    )]
}

/// What a push would change.
fn of(push: &Push) -> Vec<(&'static str, String)> {
    let mut parts = some("ref", &push.refs, update);
    parts.extend(some("commit", &push.commits, commit));
    parts.extend(some("path", &push.paths, |path| {
        let mode = path.mode.as_deref().unwrap_or("gone");
        format!("`{}` {mode}", path.path)
    }));
    let places: Vec<_> = push.infrastructure.iter().flat_map(places).collect();
    parts.extend(some("deploys", &places, String::clone));
    parts.extend(some("option", &push.options, |option| {
        format!("`{option}`")
    }));
    parts
}

fn some<T>(
    name: &'static str,
    all: &[T],
    text: impl Fn(&T) -> String,
) -> Vec<(&'static str, String)> {
    let shown = all.iter().take(MOST).map(|one| (name, text(one)));
    let more = all.len().saturating_sub(MOST);
    let rest = (more > 0).then(|| (name, format!("and {more} more; `--json` lists all")));
    shown.chain(rest).collect()
}

fn update(update: &RefUpdate) -> String {
    let id = |id: &Option<String>| id.as_deref().map_or("nothing".to_owned(), short);
    let (old, new) = (id(&update.old), id(&update.new));
    let lost = match update.old.is_some() && !update.forward {
        true => ", and what it pointed to may be lost",
        false => "",
    };
    format!("`{}` {old}..{new}{lost}", update.name)
}

fn commit(commit: &PushedCommit) -> String {
    format!("{} by {}", short(&commit.id), commit.author)
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// Where files differ that say what runs where.
fn places(file: &FileChange) -> Vec<String> {
    let value = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or("nothing".to_owned(), Value::to_string)
    };
    let one = |change: &ValueChange| {
        let (at, before, after) = (
            change.at.join("."),
            value(&change.before),
            value(&change.after),
        );
        format!("`{}` at `{at}`: {before} -> {after}", file.path)
    };
    match &file.unread {
        Some(why) => vec![format!("`{}`, which cannot be read: {why}", file.path)],
        None => file.changes.iter().map(one).collect(),
    }
}

/// What would be started.
fn run(exec: &Exec) -> Vec<(&'static str, String)> {
    let argv = serde_json::to_string(&exec.argv).unwrap_or_default();
    vec![
        ("argv", argv),
        ("in", format!("`{}`", exec.cwd)),
        (
            "program",
            format!("`{}` {}", exec.program.path, exec.program.sha256),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_push_is_shown_as_what_it_changes() {
        let push = json!({
            "kind": "push", "host": "git.test", "port": 443, "repository": ["o", "r"], "atomic": false, "signed": false,
            "caller": "unknown",
            "refs": [{
                "name": "refs/heads/x", "kind": "branch", "short": "x", "change": "update", "forward": false,
                "old": "0123456789abcdef", "new": "fedcba9876543210",
            }],
            "commits": [{"id": "fedcba9876543210", "author": "a@b", "committer": "a@b", "parents": 1, "signed": false}],
            "paths": (0..22).map(|n| json!({"path": format!("p{n}"), "change": "removed"})).collect::<Vec<_>>(),
            "infrastructure": [{
                "commit": "fedcba9876543210", "path": ".upsun/config.yaml",
                "changes": [{"at": ["services", "db", "type"], "before": "postgresql:16", "after": "postgresql:17"}],
            }],
        });
        let parts = parts(&push);
        let has = |name: &str, text: &str| parts.contains(&(name, text.to_owned()));
        assert!(
            has(
                "ref",
                "`refs/heads/x` 0123456789ab..fedcba987654, and what it pointed to may be lost"
            ),
            "{parts:?}"
        );
        assert!(has("commit", "fedcba987654 by a@b"), "{parts:?}");
        assert!(
            has("path", "`p19` gone") && has("path", "and 2 more; `--json` lists all"),
            "{parts:?}"
        );
        let deploys =
            "`.upsun/config.yaml` at `services.db.type`: \"postgresql:16\" -> \"postgresql:17\"";
        assert!(has("deploys", deploys), "{parts:?}");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert_eq!(parts(&json!({"kind": "push"})).len(), 1);
        assert_eq!(parts(&json!({"kind": "api"})), []);
    }
}
