package agentguard.session.start_test

import data.agentguard.session.start

at(workspace) := {
	"session": {"workspace": workspace},
	"action": {"confinement": {"home": "/home/ann"}},
}

test_a_project_may_be_worked_on if {
	every workspace in {"/home/ann/work", "/srv/project", "/tmp/x", "/workspace", "/root/x", "/dev/shm/x", "/run/user/1000/x"} {
		count(start.allow) == 1 with input as at(workspace)
		count(start.deny) == 0 with input as at(workspace)
	}
}

test_a_system_or_a_home_may_not if {
	every workspace in {"/", "/home", "/home/ann", "/etc", "/etc/nginx", "/usr/local/src", "/tmp", "/dev/shm", "/run/user", "/run/user/1000", "/run/x"} {
		{rule.id | some rule in start.deny} == {"session/workspace"} with input as at(workspace)
	}
}
