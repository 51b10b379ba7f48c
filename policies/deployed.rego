# What is deployed by Upsun, or by Platform.sh as it was called, is judged by what changes in it, where it can be read. A
# service's version may be raised within its major line. What costs, what runs, and what takes another version needs a
# human's yes; what is reached, let in, connected or lost is for humans.
package agentguard.push.deployed

deny contains {
	"id": "push/infrastructure",
	"reason": sprintf("`%s` is changed at `%s`, which says what is deployed, and where", [change.path, change.place]),
	"remedy": "raise a service's version within its major line, or have a human make this change",
} if {
	some change in changes
	not is_raised(change)
	not is_denied(change)
	not is_asked(change)
}

deny contains {
	"id": "push/infrastructure",
	"reason": sprintf("`%s` says what is deployed, and cannot be read: %s", [file.path, file.unread]),
	"remedy": "write it so that all readers read the same, or have a human make this change",
} if {
	some file in input.action.infrastructure
	is_infrastructure(lower(file.path))
	file.unread
}

deny contains {
	"id": "push/infrastructure",
	"reason": sprintf("`%s` says what is deployed, and where", [change.path]),
	"remedy": "have a human make this change, and push the rest without it",
} if {
	some change in input.action.paths
	is_infrastructure(lower(change.path))
	not change.path in {file.path | some file in input.action.infrastructure}
}

deny contains {
	"id": "deployed/route",
	"reason": sprintf("`%s` changes at `%s` what the world reaches, and where it is sent", [change.path, change.place]),
	"remedy": "have a human add, open or redirect a route",
} if {
	some change in changes
	is_route(change)
}

deny contains {
	"id": "deployed/access",
	"reason": sprintf("`%s` changes at `%s` who is let in, or what an application reaches", [change.path, change.place]),
	"remedy": "have a human make this change, and push the rest without it",
} if {
	some change in changes
	is_access(change)
}

deny contains {
	"id": "deployed/variables",
	"reason": sprintf("`%s` sets at `%s` what every process of it is told", [change.path, change.place]),
	"remedy": "have a human set it, or read it from a file of the application",
} if {
	some change in changes
	is_variable(change)
}

deny contains {
	"id": "deployed/loss",
	"reason": sprintf("`%s` takes away `%s`, and with it what it holds", [change.path, change.place]),
	"remedy": "have a human remove it, after a backup",
} if {
	some change in changes
	is_loss(change)
}

ask contains {
	"id": "deployed/version",
	"reason": sprintf("`%s` takes another version at `%s`", [change.path, change.place]),
	"remedy": "raise a version within its major line",
} if {
	some change in changes
	is_version(change)
}

ask contains {
	"id": "deployed/cost",
	"reason": sprintf("`%s` changes at `%s` what it costs", [change.path, change.place]),
} if {
	some change in changes
	is_cost(change)
}

ask contains {
	"id": "deployed/commands",
	"reason": sprintf("`%s` changes at `%s` what is run where it is built or deployed", [change.path, change.place]),
	"remedy": "change a script of the application that it runs already",
} if {
	some change in changes
	is_command(change)
}

# Each change of such a file, at its place in the one form that all of them come to: `services`, `routes` or `applications`
# first, the name of one second.
changes contains {"path": file.path, "at": at, "place": concat(".", change.at), "change": change} if {
	some file in input.action.infrastructure
	path := lower(file.path)
	is_infrastructure(path)
	some change in file.changes
	at := array.concat(prefix(path), change.at)
}

prefix(path) := ["services"] if path == ".platform/services.yaml"

prefix(path) := ["routes"] if path == ".platform/routes.yaml"

prefix(path) := ["applications"] if path == ".platform/applications.yaml"

prefix(path) := ["applications", "app"] if is_application(path)

prefix(path) := [] if {
	not path in {".platform/services.yaml", ".platform/routes.yaml", ".platform/applications.yaml"}
	not is_application(path)
}

is_infrastructure(path) if {
	some directory in {".platform/", ".upsun/"}
	is_at(path, directory)
}

is_infrastructure(path) if path in {"fly.toml", "netlify.toml", "render.yaml", "vercel.json"}

is_infrastructure(path) if is_application(path)

# An application of several has its own beside its code.
is_application(path) if regex.match(`(^|/)\.platform\.app\.yaml$`, path)

# Below the directory, or a link in its place or in that of one above it: what it leads to would be what is read.
is_at(path, directory) if startswith(path, directory)

is_at(path, directory) if startswith(directory, concat("", [path, "/"]))

is_denied(change) if is_route(change)

is_denied(change) if is_access(change)

is_denied(change) if is_variable(change)

is_denied(change) if is_loss(change)

is_asked(change) if is_version(change)

is_asked(change) if is_cost(change)

is_asked(change) if is_command(change)

is_route(change) if change.at[0] == "routes"

# `authentication` and the like stand at several depths, also below what is asked about.
is_access(change) if {
	change.at[0] != "routes"
	some name in change.at
	name in access
}

is_access(change) if {
	change.at[0] != "routes"
	count(change.at) > 2
	walk(change.change.after, [at, _])
	some name in at
	name in access
}

# A service that may be asked by other applications, and by other names.
is_access(change) if {
	change.at[0] == "services"
	change.at[2] == "configuration"
}

# Source operations push to the repository.
is_access(change) if {
	change.at[0] == "applications"
	change.at[2] in {"operations", "source"}
}

access := {"access", "additional_hosts", "authentication", "firewall", "http_access", "relationships", "tls"}

is_variable(change) if {
	change.at[0] == "applications"
	change.at[2] == "variables"
}

is_loss(change) if {
	change.at[0] in {"applications", "services"}
	count(change.at) <= 2
	not "after" in object.keys(change.change)
}

is_loss(change) if {
	change.at[0] == "applications"
	change.at[2] == "mounts"
	"before" in object.keys(change.change)
}

# A service of another kind starts with nothing, and a lower version does not read what a higher one wrote.
is_loss(change) if {
	is_type(change)
	"before" in object.keys(change.change)
	not is_higher(change.change.before, change.change.after)
}

is_version(change) if {
	is_type(change)
	is_higher(change.change.before, change.change.after)
	not is_raised(change)
}

is_cost(change) if {
	change.at[0] in {"applications", "services"}
	change.at[2] in {"container_profile", "disk", "instances", "resources", "scaling", "size"}
}

is_command(change) if {
	change.at[0] == "applications"
	change.at[2] in {"build", "crons", "dependencies", "hooks", "runtime", "workers"}
	not is_access(change)
}

is_command(change) if {
	change.at[0] == "applications"
	change.at[2] == "web"
	change.at[3] == "commands"
}

# The version of a runtime goes further with each number: `php:8.3` does not run all that `php:8.2` does.
is_raised(change) if {
	is_type(change)
	change.at[0] == "services"
	version(change.change.before).major == version(change.change.after).major
	is_higher(change.change.before, change.change.after)
}

is_type(change) if {
	change.at[0] in {"applications", "services"}
	count(change.at) == 3
	change.at[2] == "type"
}

# `postgresql:16.1` to `postgresql:16.4`, not to `mysql:16.4`, nor to `postgresql:16`, which may be any of that line.
is_higher(before, after) if {
	was := version(before)
	is := version(after)
	was.name == is.name
	was.depth == is.depth
	[was.major, was.minor] < [is.major, is.minor]
}

is_higher(before, after) if {
	was := version(before)
	is := version(after)
	was.name == is.name
	was.major < is.major
}

version(type) := {"name": parts[0], "depth": count(parts), "major": to_number(parts[1]), "minor": minor} if {
	is_string(type)
	regex.match(`^[a-z][a-z0-9-]*:(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3}))?$`, type)
	parts := regex.split(`[:.]`, type)
	minor := to_number(array.concat(parts, ["0"])[2])
}
