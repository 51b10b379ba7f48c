# Whether a session may start at all.
package agentguard.session.start

import data.agentguard.lib

allow contains {"id": "session/start", "reason": "a session may start in a workspace of its own"}

deny contains {
	"id": "session/workspace",
	"reason": "this directory is no workspace: an agent must not hold the system or a whole home",
	"remedy": "start it in the directory of one project, or name that with --workspace",
} if {
	is_whole(input.session.workspace)
}

is_whole(path) if lib.below(input.action.confinement.home, path)

is_whole(path) if {
	path in {
		"/", "/bin", "/boot", "/dev", "/dev/shm", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run",
		"/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/tmp",
	}
}

# What a user's other programs put there: sockets by which they are told what to do.
is_whole(path) if {
	startswith(path, "/run/user/")
	not contains(trim_prefix(path, "/run/user/"), "/")
}

is_whole(path) if {
	some system in {"/bin", "/boot", "/dev", "/etc", "/proc", "/run", "/sbin", "/sys", "/usr"}
	lib.below(path, system)
	not lib.below(path, "/dev/shm")
	not startswith(path, "/run/user/")
}
