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

loader(argv, environment) := {"action": {
	"program": {"class": "loader", "path": "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"},
	"argv": argv,
	"environment": environment,
}}

test_the_loader_may_be_asked_and_runs_nothing if {
	every argv in [["ld.so", "--verify", "/bin/ls"], ["ld.so", "--version"], ["ld.so", "--list", "x"]] {
		{rule.id | some rule in programs.allow} == {"programs/loader-asked"} with input as loader(argv, {})
		count(programs.deny) == 0 with input as loader(argv, {})
	}
	traced := loader(["ld.so", "/bin/ls"], {"LD_TRACE_LOADED_OBJECTS": "1"})
	count(programs.deny) == 0 with input as traced
	every argv in [["ld.so", "/bin/ls"], ["ld.so"], ["ld.so", "/bin/ls", "--verify"], ["ld.so", "--argv0", "--list", "/bin/ls"]] {
		count(programs.allow) == 0 with input as loader(argv, {})
		{rule.id | some rule in programs.deny} == {"programs/loader"} with input as loader(argv, {"LD_TRACE_LOADED_OBJECTS": ""})
	}
}

test_another_loader_is_not_believed if {
	musl := {"action": {
		"program": {"class": "loader", "path": "/lib/ld-musl-x86_64.so.1"},
		"argv": ["ld", "/bin/ls"],
		"environment": {"LD_TRACE_LOADED_OBJECTS": "1"},
	}}
	{rule.id | some rule in programs.deny} == {"programs/loader"} with input as musl
}

of(program, script) := {"action": {"program": program, "script": script}}

test_what_is_excepted_runs_by_what_it_contains_and_nothing_else_does if {
	sh := {"class": "system", "sha256": "sha256:1"}
	every class in {"temporary", "memfd", "deleted", "unknown"} {
		known := {"class": class, "sha256": "sha256:0"}
		other := {"class": class, "sha256": "sha256:2"}
		{rule.id | some rule in programs.allow} == {"programs/excepted"} with input as of(known, null) with programs.excepted as {"sha256:0"}
		{rule.id | some rule in programs.allow} == {"programs/excepted"} with input as of(sh, known) with programs.excepted as {"sha256:0"}
		count(programs.deny) == 0 with input as of(sh, known) with programs.excepted as {"sha256:0"}
		every wrong in [of(other, null), of(sh, other), of(known, other), of(other, known)] {
			count(programs.allow) == 0 with input as wrong with programs.excepted as {"sha256:0"}
			count(programs.deny) == 1 with input as wrong with programs.excepted as {"sha256:0"}
		}
	}
}

test_the_loader_is_not_excepted_by_what_it_contains if {
	known := {"class": "loader", "sha256": "sha256:0", "path": "/lib64/ld.so"}
	{rule.id | some rule in programs.deny} == {"programs/loader"} with input as of(known, null) with programs.excepted as {"sha256:0"}
	count(programs.allow) == 0 with input as of(known, null) with programs.excepted as {"sha256:0"}
}

test_only_the_loader_is_asked_about_programs if {
	every class in {"temporary", "unknown", "deleted"} {
		asked := {"action": {"program": {"class": class, "path": "/tmp/ld.so"}, "argv": ["ld.so", "--verify"], "environment": {}}}
		count(programs.allow) == 0 with input as asked
	}
}
