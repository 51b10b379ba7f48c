package agentguard.exec.commands_test

import data.agentguard.exec.commands

with_command(command) := {
	"session": {"workspace": "/home/ann/work"},
	"facts": {"commands": [command]},
}

remove(path) := with_command({"tool": "rm", "subcommand": [], "flags": {"--recursive": []}, "paths": [path]})

test_the_whole_is_not_removed if {
	every path in {"/", "/*", "/home", "/home/ann/work", "/home/ann/work/*", "/home/ann/work/.git", "/usr"} {
		{rule.id | some rule in commands.deny} == {"commands/remove-all"} with input as remove(path)
	}
}

test_a_part_is if {
	every path in {"/home/ann/work/target", "/home/ann/work/src/x", "/home/ann/other"} {
		count(commands.deny) == 0 with input as remove(path)
	}
}

run(flags) := with_command({"tool": "docker", "subcommand": ["run"], "flags": flags, "paths": []})

test_a_container_does_not_get_the_host if {
	every flags in [
		{"--privileged": []},
		{"--pid": ["host"]},
		{"--volume": ["/:/host"]},
		{"--volume": ["/var/run/docker.sock:/s"]},
		{"--mount": ["type=bind,source=/etc,target=/e"]},
	] {
		{rule.id | some rule in commands.deny} == {"commands/host-container"} with input as run(flags)
	}
	count(commands.deny) == 0 with input as run({"--volume": ["/home/ann/work:/w", "cache:/c"]})
}

command(tool, subcommand, flags) := with_command({"tool": tool, "subcommand": subcommand, "flags": flags, "paths": []})

test_publishing_asks if {
	count(commands.ask) == 1 with input as command("npm", ["publish"], {})
	count(commands.ask) == 1 with input as command("gh", ["release", "create"], {})
	count(commands.ask) == 0 with input as command("npm", ["publish"], {"--dry-run": []})
	count(commands.ask) == 0 with input as command("gh", ["release", "list"], {})
	count(commands.ask) == 0 with input as command("cargo", ["build"], {})
}

test_infrastructure_asks if {
	count(commands.ask) == 1 with input as command("terraform", ["apply"], {})
	count(commands.ask) == 1 with input as command("kubectl", ["delete"], {})
	count(commands.ask) == 1 with input as command("upsun", ["environment:delete"], {})
	count(commands.ask) == 0 with input as command("terraform", ["plan"], {})
	count(commands.ask) == 0 with input as command("kubectl", ["get"], {})
}

chmod(mode) := with_command({"tool": "chmod", "subcommand": [], "flags": {}, "targets": [mode, "x"], "paths": []})

test_no_program_gets_another_users_rights if {
	every mode in {"u+s", "+s", "4755", "02755", "a+rxs", "u=rws,g+x"} {
		{rule.id | some rule in commands.deny} == {"commands/set-user-id"} with input as chmod(mode)
	}
	every mode in {"755", "0644", "+x", "u+rwx,g-s", "1777", "u-s"} {
		count(commands.deny) == 0 with input as chmod(mode)
	}
}

test_what_removes_one_file_is_let_and_what_overwrites_is_not if {
	count(commands.deny) == 0 with input as with_command({"tool": "rm", "flags": {}, "paths": ["/home/ann/work"]})
	shred := with_command({"tool": "shred", "flags": {}, "paths": ["/home/ann/work"]})
	{rule.id | some rule in commands.deny} == {"commands/remove-all"} with input as shred
}

test_a_container_may_be_called_host_and_have_the_workspace if {
	every flags in [{"--name": ["host"]}, {"--mount": ["type=bind,source=/home/ann/work/src,target=/e"]}] {
		count(commands.deny) == 0 with input as run(flags)
	}
}

test_what_only_shows_asks_nobody if {
	count(commands.ask) == 0 with input as command("kubectl", ["apply"], {"--dry-run": ["server"]})
	count(commands.ask) == 0 with input as command("upsun", ["environment:list"], {})
}
