# GitLab's API: issues, merge requests and what is said to them are an agent's to write; what makes others' code run, or
# lets somebody in, is not. A project is one segment of a path, by its number or by its whole name. Who has a GitLab
# of their own names it:
#
#     package agentguard.lib
#     gitlab_hosts contains "git.example.com"
package agentguard.api.gitlab

import data.agentguard.lib

allow contains {"id": "gitlab/issues", "reason": "issues may be written and commented on"} if {
	is_written
	is_said("issues")
}

allow contains {"id": "gitlab/merge-requests", "reason": "merge requests may be opened and commented on, and a human merges them"} if {
	is_written
	is_said("merge_requests")
}

# A new one, or what is said to one.
is_said(kind) if {
	input.action.method == "POST"
	part in {
		[kind], [kind, "#", "notes"], [kind, "#", "discussions"], [kind, "#", "discussions", "*", "notes"],
	}
}

is_said(kind) if {
	input.action.method == "PUT"
	part in {[kind, "#"], [kind, "#", "notes", "#"], [kind, "#", "discussions", "*", "notes", "#"]}
}

# All that is said is in a body that can be looked into: what is said twice, or elsewhere, is not allowed.
is_written if {
	count(input.action.query) == 0
	is_object(input.action.body)
	every name in ["body", "description", "title"] { not commands_by(object.get(input.action.body, name, "")) }
}

# In texts, GitLab obeys lines such as `/merge` and `/approve`.
commands_by(text) if not is_string(text)

commands_by(text) if {
	is_string(text)
	regex.match(`(?m)^\s*/[A-Za-z_]+(\s|$)`, text)
}

deny contains {
	"id": "gitlab/quick-action",
	"reason": "GitLab obeys a line that begins with a slash and a word, such as `/merge`",
	"remedy": "begin the line with something else",
} if {
	is_change
	some name in ["body", "description", "title"]
	commands_by(input.action.body[name])
}

deny contains {
	"id": "gitlab/quick-action",
	"reason": "GitLab obeys a line that begins with a slash and a word, such as `/merge`",
	"remedy": "say it in a body of JSON",
} if {
	is_change
	some name in ["body", "description", "title"]
	some text in input.action.query[name]
	commands_by(text)
}

# What a human is asked about is allowed by a yes, and by nothing else.
allow contains {"id": "gitlab/asked", "reason": "a human may say yes to it"} if count(ask) > 0

ask contains {
	"id": "gitlab/merge",
	"reason": "a human merges, after review",
	"remedy": "open a merge request, and ask for its review",
} if {
	is_change
	not input.action.pushes
	rest[0] == "merge_requests"
	rest[2] == "merge"
}

ask contains {
	"id": "gitlab/release",
	"reason": "a release cannot be taken back",
	"remedy": "leave the release to the pipeline, or ask a human",
} if {
	is_change
	rest[0] == "releases"
}

deny contains {
	"id": "gitlab/approval",
	"reason": "an approval is a human's word",
	"remedy": "comment, and leave the approval to a human",
} if {
	is_change
	some name in {"approve", "unapprove", "approvals", "approval_rules", "approval_settings", "reset_approvals"}
	name in rest
}

deny contains {
	"id": "gitlab/deletion",
	"reason": "nothing of a project is deleted by an agent",
	"remedy": "close it instead, or ask a human",
} if {
	is_gitlab
	input.action.method == "DELETE"
	not input.action.pushes
}

deny contains {
	"id": "gitlab/settings",
	"reason": "a project's settings, and the protection of its branches, are for humans to change",
} if {
	is_change
	is_settings
}

# They are shown to whoever may read them.
deny contains {
	"id": "gitlab/variables",
	"reason": "variables hold what is secret: humans set and read them",
	"remedy": "ask for a credential to be lent instead",
} if {
	is_gitlab
	some name in rest
	name in {"secure_files", "triggers", "variables"}
}

deny contains {
	"id": "gitlab/access",
	"reason": "hooks, keys, tokens, members and runners let others in: that is for humans",
} if {
	is_change
	rest[0] in access
}

deny contains {
	"id": "gitlab/pipelines",
	"reason": "starting pipelines and jobs runs code with other rights than the session's",
	"remedy": "push, and let the checks run by themselves",
} if {
	is_change
	rest[0] in {"environments", "jobs", "pipeline", "pipeline_schedules", "pipelines", "trigger", "triggers"}
}

deny contains {
	"id": "gitlab/contents",
	"reason": "files, branches and tags are changed by a push, which is judged",
	"remedy": "commit in the workspace",
} if {
	is_change
	not input.action.pushes
	rest[0] in {"repository", "statuses", "wikis", "packages", "registry"}
}

# Everything beside projects and groups: users, tokens, the whole of GitLab.
deny contains {
	"id": "gitlab/account",
	"reason": "accounts, tokens and GitLab itself are for humans to manage",
} if {
	is_change
	not kind in {"groups", "projects"}
	kind != "markdown"
}

access := {
	"access_requests", "access_tokens", "cluster_agents", "deploy_keys", "deploy_tokens", "hooks", "integrations",
	"invitations", "job_token_scope", "ldap_group_links", "members", "remote_mirrors", "runners", "saml_group_links",
	"service_accounts", "services", "share", "transfer", "fork", "import", "export",
}

is_settings if {
	kind in {"groups", "projects"}
	count(rest) == 0
}

is_settings if rest[0] in {
	"archive", "external_status_checks", "feature_flags", "freeze_periods", "merge_trains", "pages", "protected_branches",
	"protected_environments", "protected_tags", "push_rule", "restore", "unarchive",
}

is_gitlab if {
	is_host
	lower(input.action.path[0]) == "api"
}

is_host if input.action.host in lib.gitlab_hosts

# What others have is denied as much, and nothing is allowed to it.
is_host if startswith(input.action.host, "gitlab.")

is_change if {
	is_gitlab
	not input.action.method in {"GET", "HEAD", "OPTIONS"}
}

# What the request is about: `projects`, `groups` or something else.
kind := lower(input.action.path[2])

# What is asked of a project or a group: the segments behind its name.
rest := [lower(segment) | some segment in array.slice(input.action.path, 4, count(input.action.path))]

# The same, of a host that is known, as it is written: with numbers as `#`, and other names of discussions as `*`.
part := [shown(index, segment) | some index, segment in array.slice(input.action.path, 4, count(input.action.path))] if {
	input.action.host in lib.gitlab_hosts
	array.slice(input.action.path, 0, 3) == ["api", "v4", "projects"]
	input.action.path[3] != ""
}

shown(_, segment) := "#" if regex.match(`^[0-9]+$`, segment)

shown(index, segment) := "*" if {
	index == 3
	regex.match(`^[0-9a-f]+$`, segment)
	not regex.match(`^[0-9]+$`, segment)
}

shown(index, segment) := segment if {
	not regex.match(`^[0-9]+$`, segment)
	not is_discussion(index, segment)
}

is_discussion(index, segment) if {
	index == 3
	regex.match(`^[0-9a-f]+$`, segment)
}
