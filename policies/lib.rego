# Functions and names that the other packages share. Every tier has this file.
package agentguard.lib

# Branches that are changed by review, never by a push of an agent. A policy adds its own:
#
#     package agentguard.lib
#     protected_branches contains "release"
protected_branches contains "main"

protected_branches contains "master"

protected_branches contains "trunk"

protected_branches contains "production"

protected_branches contains "prod"

protected_branches contains "staging"

# Where GitLab is. A policy adds its own in the same way.
gitlab_hosts contains "gitlab.com"

# What the branches that a session may change are called, or what stands before a slash in their names.
own_branch := sprintf("agent/%s/%s", [input.session.agent.name, substring(input.session.id, 0, 8)])

# Whether a branch, by its name without `refs/heads/`, is one of those.
is_own_branch(name) if name == own_branch

is_own_branch(name) if startswith(name, concat("", [own_branch, "/"]))

# Pipelines that an agent may change, as far as no finer rule of `agentguard.push.pipelines` is broken: `github`, `gitlab`.
# None, if no policy adds one in the same way.
open_pipelines contains kind if some kind in set()

# Whose providers Terraform may take up. A policy adds its own in the same way.
terraform_publishers contains "hashicorp"

terraform_publishers contains "opentofu"

# Settings by which editors, agents, shells, interpreters and build tools run code, or choose the program that is run.
# Each is read in the directory where somebody opens it or works, in those above, or, by some agents, below: at any depth
# of a repository. A policy adds its own in the same way, as paths in lower case.
taken_up contains path if {
	some path in [
		".agentguard", ".agents/hooks.json", ".agents/mcp_config.json", ".agents/plugins", ".ai/mcp",
		".aider.conf.yml", ".amazonq", ".amp", ".augment", ".bazeliskrc", ".bazelrc", ".bsp", ".byebugrc", ".bzr/branch/branch.conf", ".cargo/config",
		".cargo/config.toml", ".claude", ".clinerules/hooks", ".codebuddy", ".codex", ".config/mise",
		".config/mise.toml", ".continue", ".crush.json", ".cursor", ".devcontainer", ".devcontainer.json", ".devin",
		".envrc", ".exrc", ".factory", ".flox", ".gemini", ".ghci",
		".github/copilot", ".github/extensions", ".github/hooks", ".github/lsp.json", ".github/mcp.json",
		".gitlab/duo", ".grok", ".gvimrc", ".helix", ".hg/hgrc", ".hg/hgrc-not-shared", ".hg/sharedpath", ".husky",
		".idea", ".iex.exs", ".iflow", ".irbrc", ".jj/repo/config.toml", ".jj/workspace-config.toml", ".junie",
		".kilo", ".kilocode", ".kimi-code", ".kiro/agents", ".kiro/hooks", ".kiro/settings", ".lazygit.yml",
		".lsp/config.edn", ".mcp.json", ".merlin", ".mise", ".mise.local.toml", ".mise.toml", ".npmrc", ".nvim.lua",
		".nvimrc", ".ocamlinit", ".octaverc", ".opencode", ".openhands", ".pdbrc", ".perldb", ".pi", ".pijul/config",
		".pnpmfile.cjs", ".pnpmfile.mjs", ".prototools", ".pryrc", ".psysh.php", ".qoder", ".qwen", ".renviron", ".roo", ".rovodev",
		".rprofile", ".shadowenv.d", ".sl/config", ".sl/sharedpath", ".sourcekit-lsp", ".tabnine", ".theia", ".tool-versions", ".trae", ".vibe",
		".vim/coc-settings.json", ".vimrc", ".vs/mcp.json", ".vscode", ".warp", ".windsurf", ".yarn/plugins",
		".yarn/releases", ".yarnrc", ".yarnrc.yml", ".zed", "_darcs/prefs/defaults",
		"_darcs/prefs/prefs", "buildserver.json", "bunfig.toml", "codebuff.json", "crush.json", "devenv.local.nix", "devenv.local.yaml", "devenv.nix", "devenv.yaml",
		"devshell.toml", "flake.lock", "flake.nix", "gptme.toml", "hie.yaml",
		"kilo.json", "kilo.jsonc", "lean-toolchain",
		"mise.local.toml", "mise.toml", "mise/config.toml", "opencode.json", "opencode.jsonc", "rust-analyzer.toml",
		"rust-toolchain", "rust-toolchain.toml", "shell.nix",
	]
}

# The same, read at the top of a repository only.
taken_up_at_top contains path if {
	some path in [
		".cmux", ".codesandbox", ".devfile.yaml", ".gbp.conf", ".gitpod.yml",
		".gitpod/automations.yaml", ".huskyrc", ".huskyrc.js", ".huskyrc.json", ".idx/dev.nix", ".lefthook",
		".lefthook-local", ".mux", ".ona/automations.yaml", ".pre-commit-config.yaml", ".pre-commit-config.yml", ".rusty-hook.toml",
		".stackblitzrc", ".trunk", "captainhook.json", "conductor.json", "debian/gbp.conf", "devfile.yaml", "grumphp.yml", "grumphp.yml.dist", "hk.pkl", "lsp.json",
		"prek.toml",
	]
}

# Lefthook has a name for every taste.
taken_up_at_top contains sprintf("%slefthook%s.%s", [directory, local, kind]) if {
	some directory in ["", ".", ".config/"]
	some local in ["", "-local"]
	some kind in ["json", "jsonc", "toml", "yaml", "yml"]
}

# Directories of which each in turn holds what a package manager fetched, with all the settings that its authors had.
# Nobody works in one, and an install makes it anew: in what lies below, `taken_up` is not looked for. No top of a
# repository is excused.
fetched contains path if {
	some path in [
		".cargo/git", ".cargo/registry", ".terraform/modules", ".yarn/unplugged", "_deps", "bower_components",
		"dist-packages", "node_modules", "pods", "site-packages", "target/package", "vendor",
	]
}

# Names by which a cloud's guests ask who they are.
metadata_hosts := {
	"instance-data", "instance-data.ec2.internal", "metadata", "metadata.azure.internal", "metadata.google.internal",
	"metadata.goog", "metadata.tencentyun.com",
}

# Directories that anybody can write and that nobody looks into. A session's TMPDIR is none: programs in it
# run as those of the workspace do.
temporary_directories := {"/tmp", "/dev/shm"}

# Whether `path` is `directory` or below it.
below(path, directory) if path == directory

below(path, directory) if startswith(path, concat("", [trim_right(directory, "/"), "/"]))

# Whether `path` is below a directory that came with the system, which no session can change. On some systems `/usr/tmp`
# leads to `/var/tmp`.
is_of_the_system(path) if {
	some directory in ["/lib/", "/lib32/", "/lib64/", "/usr/"]
	startswith(path, directory)
	not contains(path, "..")
	not contains(path, "\n")
	not "tmp" in split(path, "/")
}

# The commands of an exec that are `tool`, wrapped or not.
commands(tool) := [command | some command in input.facts.commands; command.tool == tool]

# The branch or tag that a refspec writes to, without its prefix.
destination(refspec) := name if {
	parts := split(trim_left(refspec, "+"), ":")
	full := parts[count(parts) - 1]
	name := trim_prefix(trim_prefix(full, "refs/heads/"), "heads/")
}
