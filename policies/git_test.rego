package agentguard.exec.git_test

import data.agentguard.exec.git

with_command(command, branch) := {
	"session": {"branch": branch},
	"action": {"environment": {}},
	"facts": {"commands": [object.union({"tool": "git", "flags": {}, "targets": [], "environment": {}}, command)], "git_config": []},
}

push(targets, flags) := with_command({"subcommand": ["push"], "targets": targets, "flags": flags}, "topic")

ids := {rule.id | some rule in git.deny}

test_protected_branches_are_not_pushed if {
	every refspec in {"main", "HEAD:main", "x:refs/heads/master", ":production", "+a:prod"} {
		"git/protected-branch" in ids with input as push(["origin", refspec], {})
	}
	every refspec in {"topic", "main:topic", "agent/x", "maintenance"} {
		ids == set() with input as push(["origin", refspec], {})
	}
}

test_nor_are_all_that_match if {
	every refspec in {":", "refs/heads/*:refs/heads/*", "m*:m*"} {
		"git/protected-branch" in ids with input as push(["origin", refspec], {})
	}
	every refspec in {"refs/heads/agent/*:refs/heads/agent/*", "refs/tags/*:refs/tags/*"} {
		ids == set() with input as push(["origin", refspec], {})
	}
}

test_nor_by_what_is_below_push if {
	sent := {"subcommand": ["send-pack"], "targets": ["host:repo", "x:refs/heads/main"]}
	"git/protected-branch" in ids with input as with_command(sent, "topic")
}

test_a_push_without_a_name_depends_on_where_the_session_began if {
	some_push := {"subcommand": ["push"], "targets": ["origin"]}
	ids == {"git/protected-branch"} with input as with_command(some_push, "main")
	ids == set() with input as with_command(some_push, "topic")
	named := {"subcommand": ["push"], "targets": ["origin", "HEAD:agent/x"]}
	ids == set() with input as with_command(named, "main")
	flags := {"--stateless-rpc": [], "--stdin": []}
	below := {"subcommand": ["send-pack"], "targets": ["https://host/repo"], "flags": flags}
	ids == set() with input as with_command(below, "main")
}

test_what_others_pushed_stays if {
	every flag in {"--force", "--mirror", "--prune"} {
		ids == {"git/rewrite"} with input as push(["origin", "topic"], {flag: []})
	}
	ids == {"git/rewrite"} with input as push(["origin", "+topic"], {})
	ids == set() with input as push(["origin", "topic"], {"--force-with-lease": []})
}

setting(key, value) := {
	"session": {},
	"action": {"environment": {}},
	"facts": {"commands": [], "git_config": [{"key": key, "value": value}]},
}

test_settings_do_not_run_programs if {
	every key in {"core.hookspath", "core.fsmonitor", "core.sshcommand", "diff.x.textconv", "filter.a.clean", "credential.helper", "pager.log", "remote.o.uploadpack"} {
		ids == {"git/program-by-configuration"} with input as setting(key, "/work/evil")
		ids == {"git/program-by-configuration"} with input as setting(key, null)
		ids == set() with input as setting(key, "")
		ids == set() with input as setting(key, "/dev/null")
	}
	every value in {"!gh auth git-credential", "!\"/usr/bin/gh\" auth git-credential"} {
		ids == set() with input as setting("credential.helper", value)
	}
	every value in {"!./gh auth git-credential", "!gh auth git-credential; x", "!gh auth token"} {
		ids == {"git/program-by-configuration"} with input as setting("credential.helper", value)
	}
	ids == {"git/program-by-configuration"} with input as setting("alias.x", "!sh")
	ids == set() with input as setting("alias.x", "log --oneline")
	ids == set() with input as setting("user.name", "Ann")
	ids == set() with input as setting("color.ui", "always")
}

test_nor_does_writing_them if {
	config := {"subcommand": ["config"], "targets": ["core.hooksPath", "/x"]}
	ids == {"git/program-by-configuration"} with input as with_command(config, "topic")
	reading := {"subcommand": ["config"], "targets": ["core.hooksPath"]}
	ids == set() with input as with_command(reading, "topic")
}

test_options_and_addresses_do_not if {
	fetch := {"subcommand": ["fetch"], "flags": {"--upload-pack": ["sh -c x"]}}
	ids == {"git/program-by-option"} with input as with_command(fetch, "topic")
	ext := {"subcommand": ["clone"], "targets": ["ext::sh -c x"]}
	ids == {"git/program-by-address"} with input as with_command(ext, "topic")
	rebase := {"subcommand": ["rebase"], "flags": {"--exec": ["make test"]}}
	ids == set() with input as with_command(rebase, "topic")
}

in_environment(name, value) := {
	"session": {},
	"action": {"environment": {name: value}},
	"facts": {"commands": [{"tool": "git", "subcommand": ["fetch"], "flags": {}, "targets": [], "environment": {}}], "git_config": []},
}

test_variables_do_not if {
	ids == {"git/program-by-environment"} with input as in_environment("GIT_EXTERNAL_DIFF", "/x")
	every path in {"/x", "/usr/../tmp/x", "/usr/lib/git-core\n/tmp/x", "/usr/tmp/x"} {
		ids == {"git/program-by-environment"} with input as in_environment("GIT_EXEC_PATH", path)
	}
	every path in {"/usr/lib/git-core", "/usr/local/libexec/git-core"} {
		ids == set() with input as in_environment("GIT_EXEC_PATH", path)
	}
	ids == {"git/program-by-environment"} with input as in_environment("GIT_SSH_COMMAND", "sh -c x")
	ids == {"git/program-by-environment"} with input as in_environment("GIT_SSH_COMMAND", "ssh -oProxyCommand=x")
	ids == set() with input as in_environment("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
	ids == set() with input as in_environment("GIT_ASKPASS", "true")
}

test_a_setting_that_does_what_git_does_anyway_is_not_refused if {
	own := "f() { git --git-dir=\"$1\" for-each-ref --format='%(objectname)'; }; f"
	ids == set() with input as setting("core.alternaterefscommand", own)
	ids == {"git/program-by-configuration"} with input as setting("core.alternaterefscommand", concat("", [own, "; x"]))
}

test_signing_is_left_to_what_git_signs_with_by_itself if {
	ids == set() with input as setting("gpg.ssh.program", "ssh-keygen")
	every value in {"./ssh-keygen", "/tmp/ssh-keygen", "sh"} {
		ids == {"git/program-by-configuration"} with input as setting("gpg.ssh.program", value)
	}
	ids == {"git/program-by-configuration"} with input as setting("gpg.program", "ssh-keygen")
}

test_hooks_are_the_repositorys_or_the_guards if {
	ids == set() with input as setting("core.hookspath", "/run/agentguard/hooks")
	every value in {"/run/agentguard/hooks/x", "/run/agentguard", "/run/agentguard/hooks/..", "hooks", "/tmp/hooks"} {
		ids == {"git/program-by-configuration"} with input as setting("core.hookspath", value)
	}
}

test_only_a_push_is_one if {
	fetch := {"subcommand": ["fetch"], "targets": ["origin", "main", "+topic"], "flags": {"--force": []}}
	ids == set() with input as with_command(fetch, "main")
}

test_tags_alone_name_no_branch_and_head_is_the_one_it_began_on if {
	tags := {"subcommand": ["push"], "targets": ["origin"], "flags": {"--tags": []}}
	ids == set() with input as with_command(tags, "main")
	head := {"subcommand": ["push"], "targets": ["origin", "HEAD"]}
	ids == {"git/protected-branch"} with input as with_command(head, "main")
}

test_what_one_setting_may_say_no_other_may if {
	ids == {"git/program-by-configuration"} with input as setting("core.fsmonitor", "/run/agentguard/hooks")
	ids == {"git/program-by-configuration"} with input as setting("alias.x", null)
	ids == set() with input as setting("core.pager", "less")
}

test_only_writing_of_settings_is_and_only_of_such if {
	every command in [
		{"subcommand": ["add"], "targets": ["core.hooksPath", "/x"]}, {"subcommand": ["config"], "targets": ["user.name", "/x"]},
		{"subcommand": ["config"], "targets": ["core.pager", "less"]},
	] {
		ids == set() with input as with_command(command, "topic")
	}
}

test_other_options_and_gits_own_programs_are_let if {
	every flags in [{"--depth": ["1"]}, {"--upload-pack": ["git-upload-pack"]}] {
		ids == set() with input as with_command({"subcommand": ["fetch"], "flags": flags}, "topic")
	}
}

test_variables_of_gits_are_for_git if {
	every name in ["GIT_EXTERNAL_DIFF", "GIT_SSH_COMMAND", "GIT_EXEC_PATH"] {
		of_git := in_environment(name, "/x y")
		ids == {"git/program-by-environment"} with input as of_git
		ids == set() with input as object.union(of_git, {"facts": {"commands": [{"tool": "ls", "environment": {}}]}})
		ids == set() with input as in_environment(name, "")
		own := with_command({"subcommand": ["fetch"], "environment": {name: "/x y"}}, "topic")
		ids == {"git/program-by-environment"} with input as own
	}
	every value in ["ssh; id", "ssh $(id)", "ssh -p 2222 | sh", "ssh `id`"] {
		ids == {"git/program-by-environment"} with input as in_environment("GIT_SSH_COMMAND", value)
	}
}
