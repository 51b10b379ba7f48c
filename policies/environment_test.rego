package agentguard.exec.environment_test

import data.agentguard.exec.environment

in_environment(name, value) := {"action": {"environment": {name: value}}, "facts": {"commands": []}}

on_command(name, value) := {
	"action": {"environment": {}},
	"facts": {"commands": [{"environment": {name: value}}]},
}

test_code_is_not_loaded_from_temporary_directories if {
	every name, value in {
		"BASH_ENV": "/tmp/x.sh",
		"NODE_OPTIONS": "--max-old-space-size=1 --require /tmp/x.js",
		"RUBYOPT": "-r/home/a -I=/var/tmp/x",
		"JAVA_TOOL_OPTIONS": "-javaagent:/dev/shm/a.jar",
	} {
		count(environment.deny) == 1 with input as in_environment(name, value)
		count(environment.deny) == 1 with input as on_command(name, value)
	}
}

test_what_builds_use_stays if {
	every name, value in {
		"BASH_ENV": "/work/env.sh",
		"NODE_OPTIONS": "--require /work/tmp/.pnp.cjs",
		"PERL5OPT": "-MDevel::Cover",
		"LD_LIBRARY_PATH": "/tmp/x",
		"ENV": "production",
	} {
		count(environment.deny) == 0 with input as in_environment(name, value)
	}
}
