# Names that come into being, while a session runs, at places that make somebody run code later: see
# `places` in persistence.rego. What is in the file cannot be known when its name is made.
#
# A policy lets some of them be:
#
#     package agentguard.file.planted
#     excepted if startswith(input.action.path, "target/")
package agentguard.file.planted

allow contains {"id": "persistence/sample", "reason": "git runs no hook whose name ends in `.sample`"} if {
	_is_hook
	endswith(input.action.path, ".sample")
}

allow contains {"id": "persistence/excepted", "reason": "policy excepts this place"} if excepted

deny contains {
	"id": "persistence/hook",
	"reason": "git would run it for whoever works here next",
	"remedy": "leave the script under another name, for a human to install",
} if {
	_is_hook
	not endswith(input.action.path, ".sample")
	not excepted
}

deny contains {
	"id": "persistence/repository",
	"reason": "git runs what the settings of a repository name: none comes into being within the workspace",
	"remedy": "make or clone it below $TMPDIR; a work tree, a submodule or `git init` here is a human's to make",
} if {
	_is_repository
	not _is_hook
	not excepted
}

deny contains {
	"id": "persistence/configuration",
	"reason": "CI, an editor, a shell or another agent would run what it says",
	"remedy": "propose it to a human, for example in a file of another name",
} if {
	not _is_repository
	not excepted
}

# A policy's own exceptions are further rules of this name.
excepted if false

_is_repository if input.action.place == "repository"

_is_repository if input.action.place == "**/.git"

_is_repository if {
	startswith(input.action.place, "**/.git/")
	not startswith(input.action.place, "**/.git/../")
}

_parts := split(lower(input.action.path), "/")

_is_hook if {
	_is_repository
	_parts[count(_parts) - 2] == "hooks"
}
