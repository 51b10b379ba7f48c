# Which programs may run at all, by where they come from.
#
# The kernel says what is executed and agentguard reads its content; the class says how much of it the
# agent could have made. What it brings itself stays confined: that is what the sandbox is for.
#
# A policy lets a program run that is refused for where it comes from, by what it contains:
#
#     package agentguard.exec.programs
#     excepted contains "sha256:..."
package agentguard.exec.programs

allow contains {"id": "programs/known", "reason": "the program comes from the system, a toolchain or the workspace"} if {
	every class in classes {
		class in {"system", "toolchain", "workspace"}
	}
}

allow contains {"id": "programs/excepted", "reason": "policy excepts the program, by what it contains"} if {
	"excepted" in classes
	every class in classes {
		class in {"excepted", "system", "toolchain", "workspace"}
	}
}

# `ldd` asks the loader about programs, and runs none.
allow contains {"id": "programs/loader-asked", "reason": "the dynamic loader is asked about a program, and runs none"} if {
	classes == {"loader"}
	loader_is_asked
}

loader_is_asked if input.action.argv[1] in {"--help", "--list", "--verify", "--version"}

# glibc's loader lists what it would load, whatever it is called with.
loader_is_asked if {
	startswith(file_name(input.action.program.path), "ld-linux")
	input.action.environment.LD_TRACE_LOADED_OBJECTS == "1"
}

file_name(path) := name if {
	parts := split(path, "/")
	name := parts[count(parts) - 1]
}

deny contains {
	"id": "programs/temporary",
	"reason": "programs in temporary directories are not run",
	"remedy": "build and run it in the workspace, or below TMPDIR as it is set",
} if {
	"temporary" in classes
}

deny contains {
	"id": "programs/memory",
	"reason": "a program that exists only in memory has no name that could be judged",
	"remedy": "write it to a file in the workspace and run that",
} if {
	"memfd" in classes
}

deny contains {
	"id": "programs/deleted",
	"reason": "a program whose file is gone cannot be looked at again",
	"remedy": "keep the file while it runs",
} if {
	"deleted" in classes
}

deny contains {
	"id": "programs/loader",
	"reason": "the dynamic loader runs what was not judged",
	"remedy": "run the program itself",
} if {
	"loader" in classes
	not loader_is_asked
}

deny contains {
	"id": "programs/unknown",
	"reason": "the program comes from a place that no rule speaks of",
	"remedy": "run programs of the system, of granted toolchains or of the workspace",
} if {
	"unknown" in classes
}

classes contains class_of(input.action.program)

classes contains class_of(input.action.script)

class_of(program) := program.class if not is_excepted(program)

class_of(program) := "excepted" if is_excepted(program)

# What the loader contains says nothing of what it runs.
is_excepted(program) if {
	program.sha256 in excepted
	program.class in {"deleted", "memfd", "temporary", "unknown"}
}

# A policy's own exceptions are further rules of this name.
excepted contains "none" if false
