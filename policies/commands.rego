# Commands that do more than their line seems to say, or whose effect leaves the workspace.
package agentguard.exec.commands

import data.agentguard.lib

deny contains {
	"id": "commands/remove-all",
	"reason": "this removes the workspace, its history, or everything around it",
	"remedy": "name the files to remove",
} if {
	some tool in {"rm", "shred"}
	some command in lib.commands(tool)
	removes_whole(command)
	some path in command.paths
	is_whole(trim_suffix(path, "/*"))
}

removes_whole(command) if command.flags["--recursive"]

removes_whole(command) if command.tool == "shred"

is_whole(path) if lib.below(input.session.workspace, path)

is_whole(path) if path == concat("/", [input.session.workspace, ".git"])

is_whole(path) if path in {"/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/opt", "/root", "/usr", "/var", "/~"}

deny contains {
	"id": "commands/host-container",
	"reason": "a container that holds the host's files, processes or rights is not confined",
	"remedy": "run the container without --privileged, host namespaces and mounts of system paths",
} if {
	some tool in {"docker", "podman", "nerdctl"}
	some command in lib.commands(tool)
	is_hosts(command)
}

is_hosts(command) if command.flags["--privileged"]

is_hosts(command) if {
	some flag in {"--pid", "--ipc", "--userns", "--network"}
	"host" in command.flags[flag]
}

is_hosts(command) if {
	some volume in command.flags["--volume"]
	is_system(split(volume, ":")[0])
}

is_hosts(command) if {
	some mount in command.flags["--mount"]
	some part in split(mount, ",")
	[key, path] := split(part, "=")
	key in {"source", "src"}
	is_system(path)
}

is_system(path) if {
	startswith(path, "/")
	not lib.below(path, input.session.workspace)
}

deny contains {
	"id": "commands/set-user-id",
	"reason": "a program with the set-user-id bit runs with another's rights",
	"remedy": "leave the bit out",
} if {
	some command in lib.commands("chmod")
	regex.match(`^(0*[2-7][0-7]{3}|[ugoa,rwxXt+=-]*[+=][rwxXt]*s.*)$`, command.targets[0])
}

# What cannot be taken back is for a human to start.
ask contains {
	"id": "commands/publish",
	"reason": "publishing cannot be taken back",
	"remedy": "leave the release to the pipeline, or ask a human to publish",
} if {
	some command in input.facts.commands
	some start in publishing[command.tool]
	array.slice(command.subcommand, 0, count(start)) == start
	not command.flags["--dry-run"]
}

publishing := {
	"bun": [["publish"]],
	"cargo": [["publish"], ["yank"]],
	"docker": [["push"]],
	"gem": [["push"], ["yank"]],
	"gh": [["release", "create"], ["release", "delete"], ["release", "upload"]],
	"glab": [["release", "create"], ["release", "delete"]],
	"npm": [["publish"], ["unpublish"], ["deprecate"], ["dist-tag"]],
	"pnpm": [["publish"]],
	"podman": [["push"]],
	"twine": [["upload"]],
	"uv": [["publish"]],
	"yarn": [["publish"], ["npm", "publish"]],
}

ask contains {
	"id": "commands/infrastructure",
	"reason": "this changes running infrastructure",
	"remedy": "propose the change in a pull request; a plan or a diff needs no approval",
} if {
	some command in input.facts.commands
	command.subcommand[0] in changing[command.tool]
	not command.flags["--dry-run"]
}

changing := {
	"helm": {"install", "upgrade", "uninstall", "rollback"},
	"kubectl": {"apply", "create", "delete", "drain", "edit", "patch", "replace", "rollout", "scale", "set"},
	"terraform": {"apply", "destroy", "import", "taint", "untaint"},
}

ask contains {
	"id": "commands/infrastructure",
	"reason": "this changes running infrastructure",
	"remedy": "propose the change in a pull request; a plan or a diff needs no approval",
} if {
	some command in lib.commands("upsun")
	some ending in {":delete", ":deactivate", ":merge", ":activate", ":pause", ":redeploy"}
	endswith(command.subcommand[0], ending)
}
