# Git, as far as its command line tells. Early words: what a push really does is seen on the wire.
package agentguard.exec.git

import data.agentguard.lib

pushes := [command |
	some command in lib.commands("git")
	command.subcommand[0] in {"http-push", "push", "send-pack"}
]

deny contains {
	"id": "git/protected-branch",
	"reason": sprintf("git push to `%s`, which is changed by review only", [name]),
	"remedy": "push to a branch under `agent/` and open a pull request",
} if {
	some command in pushes
	some refspec in array.slice(command.targets, 1, count(command.targets))
	name := lib.destination(refspec)
	name in lib.protected_branches
}

deny contains {
	"id": "git/protected-branch",
	"reason": "git push without a named branch, in a session that began on a protected one",
	"remedy": "name the branch: `git push origin HEAD:agent/NAME`",
} if {
	some command in pushes
	input.session.branch in lib.protected_branches
	not names_a_branch(command)
	not command.flags["--tags"]
	# git's own, below a push over HTTPS: what is pushed is said to it on its standard input.
	not command.flags["--stateless-rpc"]
}

deny contains {
	"id": "git/protected-branch",
	"reason": "git push of every branch that matches, protected ones too",
	"remedy": "name the branch: `git push origin HEAD:agent/NAME`",
} if {
	some command in pushes
	some refspec in array.slice(command.targets, 1, count(command.targets))
	is_many(lib.destination(refspec))
}

is_many(name) if name == ""

is_many(name) if {
	contains(name, "*")
	not startswith(name, "agent/")
	not startswith(name, "refs/tags/")
}

names_a_branch(command) if {
	some refspec in array.slice(command.targets, 1, count(command.targets))
	refspec != "HEAD"
}

deny contains {
	"id": "git/rewrite",
	"reason": "a forced, mirrored or pruning push destroys what others pushed",
	"remedy": "push new commits; for your own branch use --force-with-lease",
} if {
	some command in pushes
	some flag in {"--force", "--mirror", "--prune", "--all"}
	command.flags[flag]
}

deny contains {
	"id": "git/rewrite",
	"reason": "a forced, mirrored or pruning push destroys what others pushed",
	"remedy": "push new commits; for your own branch use --force-with-lease",
} if {
	some command in pushes
	some refspec in array.slice(command.targets, 1, count(command.targets))
	startswith(refspec, "+")
}

deny contains {
	"id": "git/program-by-configuration",
	"reason": sprintf("the git setting `%s` makes git run a program", [setting.key]),
	"remedy": "leave the setting out, or run the program yourself",
} if {
	some setting in input.facts.git_config
	runs_program(setting.key)
	not harmless(setting.value)
	not is_usual(setting)
}

# What git signs with by itself: a session whose commits are signed says so, whatever the human's own settings say.
is_usual(setting) if {
	setting.key == "gpg.ssh.program"
	setting.value == "ssh-keygen"
}

# The guard's own hooks, of a session whose commits name it. They start those of the repository.
is_usual(setting) if {
	setting.key == "core.hookspath"
	setting.value == "/run/agentguard/hooks"
}

deny contains {
	"id": "git/program-by-configuration",
	"reason": sprintf("the git setting `%s` makes git run a program", [key]),
	"remedy": "leave the setting out, or run the program yourself",
} if {
	some command in lib.commands("git")
	command.subcommand == ["config"]
	some i, target in command.targets
	key := lower(target)
	runs_program(key)
	value := command.targets[i + 1]
	not harmless(value)
}

runs_program(key) if {
	key in {
		"core.askpass", "core.editor", "core.fsmonitor", "core.gitproxy", "core.hookspath", "core.pager",
		"core.sshcommand", "core.alternaterefscommand", "diff.external", "gpg.program", "include.path",
		"init.templatedir", "interactive.difffilter", "protocol.ext.allow", "sequence.editor",
		"uploadpack.packobjectshook", "web.browser",
	}
}

runs_program(key) if {
	parts := split(key, ".")
	name := parts[count(parts) - 1]
	name in ending[parts[0]]
}

ending := {
	"browser": {"cmd", "path"},
	"credential": {"helper"},
	"diff": {"command", "textconv"},
	"difftool": {"cmd", "path"},
	"filter": {"clean", "process", "smudge"},
	"gpg": {"program", "defaultkeycommand"},
	"includeif": {"path"},
	"man": {"cmd", "path"},
	"merge": {"driver"},
	"mergetool": {"cmd", "path"},
	"remote": {"receivepack", "uploadpack", "vcs"},
	"trailer": {"cmd", "command"},
}

runs_program(key) if startswith(key, "pager.")

# Values that run nothing, which tools use to switch such settings off.
harmless(value) if {
	value in {"", "/dev/null", ":", "0", "1", "cat", "false", "never", "no", "off", "on", "true", "yes"}
}

# Pagers and editors by their names alone.
harmless(value) if value in {"less", "more", "nano", "vi", "vim"}

# Platforms' own programs have git ask them for credentials: `gh pr checkout` does.
harmless(value) if {
	is_string(value)
	regex.match(`^!"?(/usr/bin/|/usr/local/bin/)?(gh|glab)"? auth git-credential$`, value)
}

# Claude Code sets `core.alternateRefsCommand` to this, so that no file can: it is what git does by itself.
harmless(value) if value == "f() { git --git-dir=\"$1\" for-each-ref --format='%(objectname)'; }; f"

deny contains {
	"id": "git/program-by-configuration",
	"reason": "a git alias that begins with `!` runs a program",
	"remedy": "run the program yourself",
} if {
	some setting in input.facts.git_config
	startswith(setting.key, "alias.")
	not startswith_safe(setting.value)
}

startswith_safe(value) if {
	is_string(value)
	not startswith(value, "!")
}

deny contains {
	"id": "git/program-by-option",
	"reason": "this git option names a program to run",
	"remedy": "leave the option out",
} if {
	some command in lib.commands("git")
	some flag in {"--upload-pack", "--exec", "--exec-path"}
	not command.subcommand == ["rebase"]
	some value in command.flags[flag]
	not value in {"git-upload-pack", "git upload-pack", "git-receive-pack", "git receive-pack"}
}

deny contains {
	"id": "git/program-by-address",
	"reason": "an address that begins with `ext::` or `fd::` runs a program",
	"remedy": "use an https or ssh address",
} if {
	some command in lib.commands("git")
	some target in command.targets
	some start in {"ext::", "fd::"}
	startswith(target, start)
}

deny contains {
	"id": "git/program-by-environment",
	"reason": sprintf("the variable `%s` makes git run a program", [name]),
	"remedy": "unset the variable",
} if {
	count(lib.commands("git")) > 0
	some environment in environments
	some name in {"GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_SSH", "GIT_TEMPLATE_DIR", "GIT_ASKPASS"}
	value := environment[name]
	not harmless(value)
}

deny contains {
	"id": "git/program-by-environment",
	"reason": "the variable `GIT_SSH_COMMAND` makes git run a program",
	"remedy": "set it to plain `ssh` with options, or unset it",
} if {
	count(lib.commands("git")) > 0
	some environment in environments
	value := environment.GIT_SSH_COMMAND
	not is_plain_ssh(value)
}

is_plain_ssh(value) if harmless(value)

is_plain_ssh(value) if {
	words := split(value, " ")
	words[0] in {"ssh", "/usr/bin/ssh"}
	not contains(lower(value), "command")
	not regex.match("[;&|<>$`()]", value)
}

# Git sets it for what it starts, to where its own programs lie.
deny contains {
	"id": "git/program-by-environment",
	"reason": "the variable `GIT_EXEC_PATH` makes git run programs from another place than its own",
	"remedy": "unset the variable",
} if {
	count(lib.commands("git")) > 0
	some environment in environments
	value := environment.GIT_EXEC_PATH
	not harmless(value)
	not lib.is_of_the_system(value)
}

environments contains input.action.environment

environments contains command.environment if some command in lib.commands("git")
