# Variables that make one program run another's code. Variables denied outright are in deny.toml.
package agentguard.exec.environment

import data.agentguard.lib

# They name code to load; builds use them with code of the workspace, which is as good as running it.
loading := {
	"BASH_ENV", "ENV", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "NODE_OPTIONS", "PERL5DB", "PERL5OPT",
	"PYTHONSTARTUP", "RUBYOPT", "_JAVA_OPTIONS",
}

deny contains {
	"id": "environment/temporary-code",
	"reason": sprintf("the variable `%s` loads code from a temporary directory", [name]),
	"remedy": "keep the code in the workspace",
} if {
	some environment in environments
	some name, value in environment
	name in loading
	some directory in lib.temporary_directories
	mentions(outside(value), directory)
}

# `stdbuf`, `fakeroot`, `faketime`, Valgrind and Firefox preload libraries that came with them, which no agent can change.
deny contains {
	"id": "environment/preload",
	"reason": "preloaded code makes a judged program do something else",
	"remedy": "link what you need instead; a library of the system may be preloaded, by its path below `/usr` or `/lib`",
} if {
	some environment in environments
	some library in parts(environment.LD_PRELOAD)
	library != ""
	not lib.is_of_the_system(library)
	not is_found_in_the_system(library, environment)
}

# By its name alone a library is looked for where `LD_LIBRARY_PATH` says, and then among the system's.
is_found_in_the_system(library, environment) if {
	is_name(library)
	object.get(environment, "LD_LIBRARY_PATH", "") == ""
}

is_found_in_the_system(library, environment) if {
	is_name(library)
	every directory in parts(environment.LD_LIBRARY_PATH) {
		lib.is_of_the_system(concat("", [directory, "/"]))
	}
}

# The loader writes paths for what follows a `$`.
is_name(library) if {
	not contains(library, "/")
	not contains(library, "$")
}

# Split as the loader does. An empty part of `LD_LIBRARY_PATH` is the working directory.
parts(value) := split(replace(replace(value, " ", ":"), ";", ":"), ":")

# A workspace may lie in a temporary directory: what is in it is no temporary code.
outside(value) := replace(value, concat("", [input.session.workspace, "/"]), "workspace/")

mentions(value, directory) if startswith(value, concat("", [directory, "/"]))

mentions(value, directory) if {
	some before in [" ", "=", ":", ",", "\""]
	contains(value, concat("", [before, directory, "/"]))
}

environments contains input.action.environment

environments contains command.environment if some command in input.facts.commands
