# Your own rules, beside the shipped ones. The strictest verdict stands: deny, then ask, then allow.
#
# Rules see `input` alone; `agentguard policy eval --entry N --query input` shows that of a recorded
# action. A rule has an id `area/name`, a reason, and a remedy: the agent reads all three.
package agentguard.exec.own

import data.agentguard.lib

# Releases are tagged by people.
deny contains {
	"id": "own/no-tags",
	"reason": "tags are pushed by people",
	"remedy": "push the branch; say that it can be tagged",
} if {
	some command in lib.commands("git")
	command.subcommand == ["push"]
	command.flags["--tags"]
}

# Protected branches of your own. The package is the shipped one: it is added to.
#
#     package agentguard.lib
#
#     protected_branches contains "release"
