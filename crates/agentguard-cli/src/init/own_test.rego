package agentguard.exec.own_test

import data.agentguard.exec.own

push(flags) := {"facts": {"commands": [{"tool": "git", "subcommand": ["push"], "flags": flags, "targets": ["origin"]}]}}

ids := {rule.id | some rule in own.deny}

test_tags_are_not_pushed if {
	ids == {"own/no-tags"} with input as push({"--tags": []})
}

test_branches_are if {
	ids == set() with input as push({})
}
