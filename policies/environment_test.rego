package agentguard.exec.environment_test

import data.agentguard.exec.environment

in_environment(name, value) := {"session": {"workspace": "/work"}, "action": {"environment": {name: value}}, "facts": {"commands": []}}

on_command(name, value) := {
	"session": {"workspace": "/work"},
	"action": {"environment": {}},
	"facts": {"commands": [{"environment": {name: value}}]},
}

test_code_is_not_loaded_from_temporary_directories if {
	every name, value in {
		"BASH_ENV": "/tmp/x.sh",
		"NODE_OPTIONS": "--max-old-space-size=1 --require /tmp/x.js",
		"RUBYOPT": "-r/home/a -I=/tmp/x",
		"JAVA_TOOL_OPTIONS": "-javaagent:/dev/shm/a.jar",
	} {
		count(environment.deny) == 1 with input as in_environment(name, value)
		count(environment.deny) == 1 with input as on_command(name, value)
	}
}

test_what_builds_use_stays if {
	every name, value in {
		"BASH_ENV": "/work/env.sh",
		"NODE_OPTIONS": "--require /work/tmp/.pnp.cjs --require /var/tmp/xfs-1/.pnp.cjs",
		"PERL5OPT": "-MDevel::Cover",
		"LD_LIBRARY_PATH": "/tmp/x",
		"ENV": "production",
	} {
		count(environment.deny) == 0 with input as in_environment(name, value)
	}
}

test_a_workspace_may_lie_in_a_temporary_directory if {
	own := object.union(in_environment("NODE_OPTIONS", "--require /tmp/w/.pnp.cjs"), {"session": {"workspace": "/tmp/w"}})
	count(environment.deny) == 0 with input as own
	other := object.union(in_environment("NODE_OPTIONS", "--require /tmp/wx/.pnp.cjs"), {"session": {"workspace": "/tmp/w"}})
	count(environment.deny) == 1 with input as other
}
