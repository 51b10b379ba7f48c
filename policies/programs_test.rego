package agentguard.exec.programs_test

import data.agentguard.exec.programs

program(class) := {"action": {"program": {"class": class}}}

script(class) := {"action": {"program": {"class": "system"}, "script": {"class": class}}}

test_what_is_known_runs if {
	every class in {"system", "toolchain", "workspace"} {
		count(programs.allow) == 1 with input as program(class)
		count(programs.deny) == 0 with input as program(class)
		count(programs.allow) == 1 with input as script(class)
	}
}

test_what_is_not_is_denied_by_its_rule if {
	expected := {
		"temporary": "programs/temporary",
		"memfd": "programs/memory",
		"deleted": "programs/deleted",
		"loader": "programs/loader",
		"unknown": "programs/unknown",
	}
	every class, id in expected {
		count(programs.allow) == 0 with input as program(class)
		{rule.id | some rule in programs.deny} == {id} with input as program(class)
		count(programs.allow) == 0 with input as script(class)
		{rule.id | some rule in programs.deny} == {id} with input as script(class)
	}
}
