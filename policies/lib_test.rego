package agentguard.lib_test

import data.agentguard.lib

test_below_is_by_parts_of_a_path if {
	lib.below("/a/b", "/a")
	lib.below("/a", "/a")
	lib.below("/a/b", "/a/")
	lib.below("/a", "/")
	not lib.below("/ab", "/a")
}

test_destination_of_every_spelling if {
	lib.destination("main") == "main"
	lib.destination("a:main") == "main"
	lib.destination("+HEAD:refs/heads/main") == "main"
	lib.destination(":heads/main") == "main"
	lib.destination("main:topic") == "topic"
}

test_commands_are_found_by_tool if {
	found := lib.commands("git") with input.facts.commands as [{"tool": "git"}, {"tool": "rm"}]
	found == [{"tool": "git"}]
}

test_a_branch_is_the_sessions_own_by_its_whole_name if {
	session := {"id": "0123456789abcdef0123456789abcdef", "agent": {"name": "fixer"}}
	every name in {"agent/fixer/01234567", "agent/fixer/01234567/x"} {
		lib.is_own_branch(name) with input.session as session
	}
	every name in {"agent/fixer/012345678", "agent/fixer", "agent/other/01234567/x", "x/agent/fixer/01234567", "main"} {
		not lib.is_own_branch(name) with input.session as session
	}
}

test_what_is_named_here_is_what_a_policy_adds_to if {
	lib.protected_branches == {"main", "master", "trunk", "production", "prod", "staging"}
	lib.gitlab_hosts == {"gitlab.com"}
	lib.open_pipelines == set()
	lib.terraform_publishers == {"hashicorp", "opentofu"}
	lib.temporary_directories == {"/tmp", "/dev/shm"}
	{"metadata", "metadata.google.internal", "instance-data"} - lib.metadata_hosts == set()
	{".claude", ".envrc", ".vscode"} - lib.taken_up == set()
	{".pre-commit-config.yaml", "lefthook.yml"} - lib.taken_up_at_top == set()
	{"node_modules", "vendor"} - lib.fetched == set()
}
