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

# A workspace may lie in a temporary directory: what is in it is no temporary code.
outside(value) := replace(value, concat("", [input.session.workspace, "/"]), "workspace/")

mentions(value, directory) if startswith(value, concat("", [directory, "/"]))

mentions(value, directory) if {
	some before in [" ", "=", ":", ",", "\""]
	contains(value, concat("", [before, directory, "/"]))
}

environments contains input.action.environment

environments contains command.environment if some command in input.facts.commands
