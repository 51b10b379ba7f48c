# GitHub's API: issues and pull requests are an agent's to write, and what makes others' code run, or lets somebody in,
# is not. It counts what a request says, whoever's token it carries.
package agentguard.api.github

allow contains {"id": "github/issues", "reason": "issues may be written and commented on"} if {
	input.action.method in {"PATCH", "POST"}
	part in {
		["issues"], ["issues", "#"], ["issues", "#", "comments"], ["issues", "#", "labels"],
		["issues", "#", "assignees"], ["issues", "comments", "#"],
	}
}

allow contains {"id": "github/pull-requests", "reason": "pull requests may be opened and reviewed, and a human merges them"} if {
	input.action.method in {"PATCH", "POST"}
	part in {
		["pulls"], ["pulls", "#"], ["pulls", "#", "comments"], ["pulls", "#", "comments", "#", "replies"],
		["pulls", "#", "requested_reviewers"], ["pulls", "comments", "#"],
	}
}

# A review that only comments: an approval would be a human's word.
allow contains {"id": "github/pull-requests", "reason": "pull requests may be opened and reviewed, and a human merges them"} if {
	input.action.method == "POST"
	part == ["pulls", "#", "reviews"]
	input.action.body_seen
	input.action.body.event == "COMMENT"
}

allow contains {"id": "github/query", "reason": "queries that only read are allowed"} if {
	is_graphql
	every asked in input.action.graphql { asked.operation == "query" }
}

allow contains {"id": "github/graphql", "reason": "issues and pull requests may be written, and a human merges them"} if {
	is_graphql
	every asked in input.action.graphql { is_written(asked) }
}

deny contains {
	"id": "github/deletion",
	"reason": "nothing of a repository is deleted by an agent",
	"remedy": "close it instead, or ask a human",
} if {
	is_github
	input.action.method == "DELETE"
	not input.action.pushes
}

# What a human is asked about is allowed by a yes, and by nothing else.
allow contains {"id": "github/asked", "reason": "a human may say yes to it"} if count(ask) > 0

ask contains {
	"id": "github/merge",
	"reason": "a human merges, after review",
	"remedy": "open a pull request, and ask for its review",
} if {
	is_change
	not input.action.pushes
	parts[0] in {"merges", "merge-upstream"}
}

ask contains {
	"id": "github/merge",
	"reason": "a human merges, after review",
	"remedy": "open a pull request, and ask for its review",
} if {
	is_change
	not input.action.pushes
	parts[0] == "pulls"
	parts[2] == "merge"
}

ask contains {
	"id": "github/release",
	"reason": "a release cannot be taken back",
	"remedy": "leave the release to the pipeline, or ask a human",
} if {
	is_change
	parts[0] == "releases"
}

deny contains {
	"id": "github/approval",
	"reason": "an approval is a human's word",
	"remedy": "comment, and leave the approval to a human",
} if {
	is_change
	parts[0] == "pulls"
	parts[2] == "reviews"
	input.action.body.event == "APPROVE"
}

deny contains {
	"id": "github/approval",
	"reason": "an approval is a human's word",
	"remedy": "comment, and leave the approval to a human",
} if {
	is_change
	parts[0] == "pulls"
	parts[2] == "reviews"
	parts[4] in {"dismissals", "events"}
}

deny contains {
	"id": "github/contents",
	"reason": "files, branches and tags are changed by a push, which is judged",
	"remedy": "commit in the workspace",
} if {
	is_change
	not input.action.pushes
	parts[0] in {"check-runs", "check-suites", "contents", "deployments", "git", "statuses"}
}

# Everything beside repositories: users, organizations, apps, gists.
deny contains {
	"id": "github/account",
	"reason": "accounts, organizations and what is theirs are for humans to manage",
} if {
	is_change
	not lower(input.action.path[0]) in {"graphql", "markdown", "repos", "repositories"}
}

deny contains {
	"id": "github/settings",
	"reason": "a repository's settings, branches' protection and rules are for humans to change",
} if {
	is_change
	is_settings
}

deny contains {
	"id": "github/secrets",
	"reason": "secrets and variables of a repository are for humans to set",
} if {
	is_change
	some name in parts
	name in {"secrets", "variables"}
	parts[0] in {"actions", "agents", "codespaces", "dependabot", "environments"}
}

deny contains {
	"id": "github/access",
	"reason": "hooks, keys, collaborators and invitations let others in: that is for humans",
} if {
	is_change
	parts[0] in {"collaborators", "forks", "generate", "hooks", "import", "invitations", "keys", "teams", "transfer"}
}

deny contains {
	"id": "github/workflows",
	"reason": "starting or approving workflows runs code with other rights than the session's",
	"remedy": "push, and let the checks run by themselves",
} if {
	is_change
	some name in parts
	name in {"approve", "dispatches", "rerun", "rerun-failed-jobs"}
}

deny contains {
	"id": "github/merge",
	"reason": "a human merges, after review",
	"remedy": "open a pull request, and ask for its review",
} if {
	is_github
	some asked in input.action.graphql
	asked.field in {
		"enablePullRequestAutoMerge", "enqueuePullRequest", "mergeBranch", "mergePullRequest", "updatePullRequestBranch",
	}
}

deny contains {
	"id": "github/deletion",
	"reason": "nothing of a repository is deleted by an agent",
	"remedy": "close it instead, or ask a human",
} if {
	is_github
	some asked in input.action.graphql
	asked.operation == "mutation"
	startswith(asked.field, "delete")
}

is_graphql if {
	input.action.host == "api.github.com"
	input.action.method == "POST"
	input.action.path == ["graphql"]
	input.action.body_seen
	is_object(input.action.body)
	object.keys(input.action.body) - {"operationName", "query", "variables"} == set()
	count(input.action.graphql) > 0
}

is_written(asked) if {
	asked.operation == "mutation"
	asked.field in {
		"addAssigneesToAssignable", "addComment", "addLabelsToLabelable", "addPullRequestReviewThreadReply", "closeIssue",
		"closePullRequest", "convertPullRequestToDraft", "createIssue", "createPullRequest",
		"markPullRequestReadyForReview", "removeAssigneesFromAssignable", "removeLabelsFromLabelable", "reopenIssue",
		"reopenPullRequest", "requestReviews", "updateIssue", "updateIssueComment", "updatePullRequest",
	}
}

# What it writes is judged as a push, as `api/written` says of the rest.
is_written(asked) if {
	input.action.pushes
	asked.operation == "mutation"
	asked.field in {"createCommitOnBranch", "createRef", "updateRefs"}
}

# A review that only comments, as above.
is_written(asked) if {
	asked.operation == "mutation"
	asked.field in {"addPullRequestReview", "submitPullRequestReview"}
	asked.arguments.input.event == "COMMENT"
}

is_github if input.action.host in {"api.github.com", "uploads.github.com"}

is_change if {
	is_github
	not input.action.method in {"GET", "HEAD", "OPTIONS"}
}

is_settings if {
	is_repository
	count(parts) == 0
}

is_settings if parts[0] in {
	"actions", "automated-security-fixes", "autolinks", "branches", "code-scanning", "environments", "immutable-releases",
	"interaction-limits", "pages", "private-vulnerability-reporting", "properties", "rulesets", "secret-scanning", "tags",
	"topics", "vulnerability-alerts",
}

is_repository if behind

# How many segments name the repository: by its owner and its name, or by its number.
behind := 3 if {
	lower(input.action.path[0]) == "repos"
	count(input.action.path) >= 3
}

behind := 2 if {
	lower(input.action.path[0]) == "repositories"
	count(input.action.path) >= 2
}

# What is asked of a repository: the segments behind its name.
parts := [lower(segment) | some segment in array.slice(input.action.path, behind, count(input.action.path))]

# The same, of the one host whose API it is, with numbers as `#`.
part := [shown(segment) | some segment in array.slice(input.action.path, 3, count(input.action.path))] if {
	input.action.host == "api.github.com"
	input.action.path[0] == "repos"
}

shown(segment) := "#" if regex.match(`^[0-9]+$`, segment)

shown(segment) := segment if not regex.match(`^[0-9]+$`, segment)
