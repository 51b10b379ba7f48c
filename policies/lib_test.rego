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
