package agentguard.file.planted_test

import data.agentguard.file.planted

name(path, place) := {"action": {"kind": "file", "by": "open", "path": path, "place": place}}

ids(rules) := {rule.id | some rule in rules}

test_a_hook_is_refused_and_a_sample_is_not if {
	hook := name("sub/.git/hooks/pre-commit", "**/.git/hooks/*")
	ids(planted.deny) == {"persistence/hook"} with input as hook
	ids(planted.allow) == set() with input as hook
	sample := name("sub/.git/hooks/pre-commit.sample", "**/.git/hooks/*")
	ids(planted.deny) == set() with input as sample
	ids(planted.allow) == {"persistence/sample"} with input as sample
	bare := name("x/Hooks/update", "repository")
	ids(planted.deny) == {"persistence/hook"} with input as bare
}

test_a_repository_is_refused_by_whatever_name if {
	every case in [
		["sub/.git/config", "**/.git/config"], ["x/HEAD", "repository"], ["sub/.git", "**/.git"],
		[".git/modules/a/config", "repository"],
	] {
		ids(planted.deny) == {"persistence/repository"} with input as name(case[0], case[1])
	}
}

test_configuration_is_refused_also_when_it_is_called_like_a_sample if {
	every path in {".envrc", ".vscode/tasks.json", ".github/workflows/x.sample", ".husky/hooks/x.sample"} {
		ids(planted.deny) == {"persistence/configuration"} with input as name(path, ".vscode/**")
		ids(planted.allow) == set() with input as name(path, ".vscode/**")
	}
}

test_so_it_is_in_a_package_and_beside_another_repository if {
	every case in [
		["a/b/.envrc", "**/.envrc"], ["a/.github/hooks/x.json", "**/.github/hooks/**"],
		["sub/.github/workflows/x.yml", "**/.git/../.github/workflows/**"],
	] {
		ids(planted.deny) == {"persistence/configuration"} with input as name(case[0], case[1])
	}
}

test_what_policy_excepts_may_be if {
	every case in [
		["sub/.git/hooks/pre-commit", "**/.git/hooks/*"], ["sub/.git/config", "**/.git/config"], [".envrc", "**/.envrc"],
	] {
		one := name(case[0], case[1])
		ids(planted.deny) == set() with input as one with planted.excepted as true
		ids(planted.allow) == {"persistence/excepted"} with input as one with planted.excepted as true
	}
	ids(planted.deny) == {"persistence/repository"} with input as name("hooks", "repository")
}
