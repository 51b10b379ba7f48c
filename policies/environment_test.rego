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

preloading(value, path) := {
	"session": {"workspace": "/work"},
	"action": {"environment": object.union({"LD_PRELOAD": value}, path)},
	"facts": {"commands": []},
}

test_what_an_agent_could_have_made_is_not_preloaded if {
	every value in {
		"/work/x.so", "./x.so", "x/y.so", "/usr/lib/x.so:/work/x.so", "/usr/lib/x.so /work/x.so", "/usr/lib/../../work/x.so",
		"$LIB", "$ORIGIN/x.so", "/usr", "/opt/x.so", "/usr/lib/x.so:./x.so:", "/usr/tmp/x.so", "/usr//./tmp/x.so",
	} {
		{one.id | some one in environment.deny} == {"environment/preload"} with input as preloading(value, {})
		count(environment.deny) == 1 with input as on_command("LD_PRELOAD", value)
	}
	every path in {"/work", ".", "/usr/lib:", ":/usr/lib", "/usr/lib;/work", "/usr/lib/../../work", "lib"} {
		count(environment.deny) == 1 with input as preloading("libfakeroot-sysv.so", {"LD_LIBRARY_PATH": path})
	}
}

test_what_came_with_the_system_is_preloaded if {
	every value in {
		"", "/usr/libexec/coreutils/libstdbuf.so", "/lib/x86_64-linux-gnu/libjemalloc.so.2", "libeatmydata.so",
		"/usr/libexec/valgrind/vgpreload_core-amd64-linux.so:/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so",
	} {
		count(environment.deny) == 0 with input as preloading(value, {})
		count(environment.deny) == 0 with input as preloading(value, {"LD_LIBRARY_PATH": ""})
		count(environment.deny) == 0 with input as on_command("LD_PRELOAD", value)
	}
	count(environment.deny) == 0 with input as preloading("libfakeroot-sysv.so", {"LD_LIBRARY_PATH": "/usr/lib/x86_64-linux-gnu/libfakeroot:/usr/lib64/libfakeroot"})
	count(environment.deny) == 0 with input as preloading("/usr/lib/x.so", {"LD_LIBRARY_PATH": "/work"})
}
