package agentguard.sandbox_persistence_test

import data.agentguard.sandbox

request(directories) := {"request": {"git_directories": directories}}

test_hooks_and_pipelines_are_pinned if {
	found := sandbox.pins with input as request([])
	every path in {".git/hooks", ".git/config", ".github/workflows", ".gitlab-ci.yml", ".vscode", ".envrc", ".agentguard"} {
		path in found
	}
}

test_so_are_those_of_modules_and_worktrees if {
	found := sandbox.pins with input as request([".git/modules/a", "sub/.git"])
	every path in {".git/modules/a/hooks", ".git/modules/a/config", "sub/.git/hooks"} {
		path in found
	}
	of_work_trees := sandbox.pins with input as {"request": {
		"git_directories": [".git", ".git/worktrees/here"],
		"other_git_directories": [".git/worktrees/elsewhere"],
	}}
	every path in {".git/worktrees/here/commondir", ".git/worktrees/here/gitdir", ".git/worktrees/here/config.worktree", ".git/worktrees/elsewhere"} {
		path in of_work_trees
	}
	not ".git/worktrees/here" in of_work_trees
}

test_what_is_not_there_yet_is_judged if {
	found := sandbox.places with input as request([])
	every path in {"**/.git/hooks/*", "**/.git", ".github/workflows/**", ".gitlab-ci.yml", "lefthook.yml", "**/.pnpmfile.cjs", "**/.windsurf/**", "**/.devcontainer.json"} {
		path in found
	}
	every path in {"**/.envrc", "**/.vscode/**", "**/.claude/**", "**/.npmrc", "**/.cargo/config.toml", "**/.git/../.github/workflows/**", "**/.git/../lefthook.yml"} {
		path in found
	}
	every path in {"src", "**/.github/workflows/**", "**/.gitlab-ci.yml"} {
		not path in found
	}
}

# As they are pinned and judged, whatever they are of.
test_so_is_what_any_agent_or_tool_reads if {
	pinned := sandbox.pins with input as request([])
	judged := sandbox.places with input as request([])
	every path in {
		".agents/plugins", ".amp", ".ghci", ".gitlab/duo", ".hg/hgrc-not-shared", ".hg/sharedpath", ".jj/repo/config.toml",
		".kilo", ".lazygit.yml", ".pdbrc", ".prototools", ".rprofile", ".tool-versions", ".vim/coc-settings.json",
		".byebugrc", ".flox", ".merlin", ".psysh.php", ".shadowenv.d", ".sourcekit-lsp", ".theia", "devenv.local.nix",
		"devenv.local.yaml", "devenv.nix", "devenv.yaml", "lean-toolchain",
		".bsp", ".bzr/branch/branch.conf", ".octaverc", "buildserver.json", "hie.yaml",
		"devshell.toml", "flake.lock", "flake.nix", "shell.nix",
		".vs/mcp.json", "codebuff.json", "gptme.toml", "rust-analyzer.toml", "kilo.jsonc", "mise.toml", "rust-toolchain.toml",
	} {
		{path, concat("/", ["**", path])} - pinned == set()
		{concat("/", ["**", path]), sprintf("**/%s/**", [path])} - judged == set()
	}
	every path in {".cmux", ".mux", "conductor.json", ".config/lefthook-local.yml", ".lefthook", ".readthedocs.yaml", ".teamcity", ".trunk", "prek.toml", ".stackblitzrc", ".gitpod/automations.yaml", ".idx/dev.nix", ".ona/automations.yaml", "devfile.yaml", "debian/gbp.conf", "buildkite/pipeline.yml", "packit.yml", ".vela.star"} {
		{path, concat("/", ["**/.git/..", path])} - pinned == set()
		{path, concat("/", ["**/.git/..", path])} - judged == set()
		not concat("/", ["**", path]) in judged
	}
	not "**/default.nix" in judged
}

# What other programs for git's repositories keep there.
test_so_is_what_lies_in_gits_directory if {
	pinned := sandbox.pins with input as request(["sub/.git"])
	judged := sandbox.places with input as request(["sub/.git"])
	every name in {"gbp.conf", "glab-cli/aliases.yml", "glab-cli/config.yml", "lazygit.yml", "sl/config"} {
		all := {concat("/", [directory, name]) | some directory in {".git", "sub/.git", "**/.git"}}
		all - (pinned & judged) == set()
	}
}

test_so_is_where_a_push_goes if {
	pinned := sandbox.pins with input as request(["sub/.git"])
	judged := sandbox.places with input as request(["sub/.git"])
	every name in {"branches", "remotes"} {
		all := {concat("/", [directory, name]) | some directory in {".git", "sub/.git", "**/.git"}}
		all - pinned == set()
		{concat("/", [path, "*"]) | some path in all} - judged == set()
	}
	"**/.jj/repo" in judged
	not "**/.jj/repo" in pinned
}

test_work_goes_on if {
	every path in {".git", ".git/objects", ".git/refs", ".gitmodules", ".gitignore", "src", "Makefile"} {
		not path in sandbox.pins with input as request([".git"])
	}
}

test_what_is_there_is_held_at_any_depth if {
	found := sandbox.pins with input as request([])
	every path in {"**/.envrc", "**/.vscode", "**/.claude", "**/.git/../.github/workflows", "**/.git/../Jenkinsfile"} {
		path in found
	}
	not "**/Jenkinsfile" in found
	"**/node_modules/*" in sandbox.fetched with input as request([])
}

test_it_is_told if {
	"persistence/pinned" in {rule.id | some rule in sandbox.covered} with input as request([])
}
