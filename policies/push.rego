# Pushes, as they stand on the wire: whatever client sends them, and whatever words made it, and what is written to a
# repository by the interface of whoever hosts it. The request that carries one was allowed by `agentguard.api` before. A session changes branches of its own, and no other ref; a policy allows
# others by a rule of its own:
#
#     package agentguard.push.own
#     allow contains {"id": "own/features", "reason": "features are worked on by all"} if {
#         every update in input.action.refs {
#             update.kind == "branch"
#             startswith(update.short, "feature/")
#         }
#     }
package agentguard.push.refs

import data.agentguard.lib

allow contains {"id": "push/own-branch", "reason": "a session may change branches of its own"} if {
	every update in input.action.refs {
		is_own(update)
	}
}

deny contains {
	"id": "push/protected",
	"reason": sprintf("`%s` is for humans, or for what they have merged", [update.name]),
	"remedy": remedy,
} if {
	some update in input.action.refs
	is_protected(update)
}

deny contains {
	"id": "push/tag",
	"reason": sprintf("`%s` is a tag, and tags are what releases are made of", [update.name]),
	"remedy": "have a human tag what was merged",
} if {
	some update in input.action.refs
	update.kind == "tag"
}

deny contains {
	"id": "push/ref",
	"reason": sprintf("`%s` is neither a branch nor a tag", [update.name]),
	"remedy": remedy,
} if {
	some update in input.action.refs
	update.kind == "other"
	not is_request(update)
}

# Without it, whoever is refused would hear only that no rule allows it.
deny contains {
	"id": "push/delete",
	"reason": sprintf("`%s` is no branch of this session, and may not be deleted by it", [update.name]),
	"remedy": "have a human delete it",
} if {
	some update in input.action.refs
	update.change == "delete"
	not is_own(update)
}

# A request can have a ref point to what is nowhere in it.
deny contains {
	"id": "push/unseen",
	"reason": sprintf("what `%s` would hold is not known: %s", [update.name, input.action.unseen]),
	"remedy": "name it by its whole id and the repository by its name, or push it with git",
} if {
	input.action.unseen
	some update in input.action.refs
}

# What comes of a merge only the server knows, and of which branch often, too.
allow contains {"id": "push/asked", "reason": "a human may say yes to it"} if count(ask) > 0

ask contains {
	"id": "push/merge",
	"reason": sprintf("`%s` would be merged, and a human merges, after review", [input.action.merges]),
	"remedy": "open a pull request, and ask for its review",
} if {
	input.action.merges
}

# Every commit is looked at: what one adds and the next removes ran in between, or can be checked out.
deny contains {
	"id": "push/agents",
	"reason": sprintf("`%s` makes other agents, editors or package managers run code", [change.path]),
	"remedy": "have a human make this change, and push the rest without it",
} if {
	some change in input.action.paths
	is_taken_up(lower(change.path))
}

deny contains {
	"id": "push/submodule",
	"reason": sprintf("`%s` has others fetch and run what stands elsewhere", [change.path]),
	"remedy": "have a human add or move a submodule",
} if {
	some change in input.action.paths
	is_submodule(change)
}

# A server does more than change refs where it is told to: it merges, lets checks be, gives pipelines other variables.
deny contains {
	"id": "push/option",
	"reason": sprintf("the push option `%s` has the server do more than change refs", [option]),
	"remedy": "push without it; `merge_request.create`, `.target`, `.title`, `.description`, `.draft` and `.label` may be used",
} if {
	some option in input.action.options
	not is_about_request(option)
}

# What GitLab takes of a request that humans decide on.
is_about_request(option) if option in {"merge_request.create", "merge_request.draft"}

is_about_request(option) if {
	some name in {"description", "label", "target", "title"}
	startswith(option, sprintf("merge_request.%s=", [name]))
}

remedy := sprintf("push to `%s/…`, and open a pull request from there", [lib.own_branch])

# Whatever branch a request to merge is for, where an interface is asked to change that.
is_request(update) if {
	input.action.by in {"graphql", "rest"}
	regex.match(`^refs/(merge-requests|pull)/[^/]+/(head|merge)$`, update.name)
}

is_own(update) if {
	update.kind == "branch"
	lib.is_own_branch(update.short)
}

# Servers on file systems that know no case take `Main` for `main`.
is_protected(update) if {
	update.kind == "branch"
	lower(update.short) in {
		"dev", "develop", "development", "gh-pages", "main", "master", "prod", "production", "release", "stable",
		"staging", "trunk",
	}
}

is_protected(update) if {
	update.kind == "branch"
	regex.match(`^(release|releases|hotfix|stable|production)/`, lower(update.short))
}

# At the place, below it, or a link in its place or in that of a directory above it: what it leads to would be what is
# read.
is_at(path, place) if path == place

is_at(path, place) if startswith(path, concat("", [place, "/"]))

is_at(path, place) if startswith(place, concat("", [path, "/"]))

is_taken_up(path) if {
	some place in lib.taken_up_at_top
	is_at(path, place)
}

is_taken_up(path) if {
	parts := split(path, "/")
	some start, part in parts
	part in first_of_taken_up
	some place in lib.taken_up
	is_at(concat("/", array.slice(parts, start, count(parts))), place)
	not is_fetched(array.slice(parts, 0, start))
}

first_of_taken_up contains split(place, "/")[0] if some place in lib.taken_up

is_fetched(above) if {
	some directory in lib.fetched
	contains(sprintf("/%s", [concat("/", above)]), sprintf("/%s/", [directory]))
}

is_submodule(change) if change.mode == "160000"

is_submodule(change) if lower(change.path) == ".gitmodules"
