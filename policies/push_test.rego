package agentguard.push.refs_test

import data.agentguard.push.pipelines
import data.agentguard.push.refs
import data.agentguard.sandbox

session := {"id": "0123456789abcdef0123456789abcdef", "agent": {"name": "fixer"}}

update(kind, name, short, change) := {"name": name, "kind": kind, "short": short, "change": change}

branch(short, change) := update("branch", concat("", ["refs/heads/", short]), short, change)

push(updates) := {"action": {"refs": updates, "paths": []}, "session": session}

changes(path, mode) := ids if {
	paths := [
		{"path": "src/a.rs", "change": "added", "mode": "100644"},
		{"path": path, "change": "changed", "mode": mode},
	]
	asked := {"refs": [branch("agent/fixer/01234567/x", "create")], "paths": paths}
	ids := {rule.id | some rule in refs.deny} with input as {"action": asked, "session": session}
}

allowed(updates) := ids if {
	ids := {rule.id | some rule in refs.allow} with input as push(updates)
}

denied(updates) := ids if {
	ids := {rule.id | some rule in refs.deny} with input as push(updates)
}

test_a_session_changes_its_own_branches if {
	every change in {"create", "update", "delete"} {
		every short in {"agent/fixer/01234567", "agent/fixer/01234567/fix", "agent/fixer/01234567/a/b"} {
			allowed([branch(short, change)]) == {"push/own-branch"}
			denied([branch(short, change)]) == set()
		}
	}
}

test_no_other_branch_is_its_own if {
	every short in {
		"main", "feature/x", "agent", "agent/fixer", "agent/other/01234567/x", "agent/fixer/01234568/x",
		"agent/fixer/012345678", "agent/fixer/01234567x", "Agent/fixer/01234567/x",
	} {
		allowed([branch(short, "update")]) == set()
	}
}

test_one_ref_that_is_not_allowed_is_enough if {
	allowed([branch("agent/fixer/01234567/x", "create"), branch("feature/y", "create")]) == set()
}

test_protected_branches_are_told_apart if {
	every short in {"main", "Master", "release/1.2", "gh-pages", "production"} {
		"push/protected" in denied([branch(short, "update")])
	}
	denied([branch("feature/x", "create")]) == set()
	denied([branch("mainline", "create")]) == set()
}

test_a_tag_is_no_branch_whatever_it_is_called if {
	every short in {"agent/fixer/01234567/x", "main", "release/1.2"} {
		tag := update("tag", concat("", ["refs/tags/", short]), short, "create")
		allowed([tag]) == set()
		denied([tag]) == {"push/tag"}
	}
}

test_tags_and_other_refs_are_none_of_its_business if {
	denied([update("tag", "refs/tags/v1", "v1", "create")]) == {"push/tag"}
	denied([update("other", "refs/pull/1/head", "refs/pull/1/head", "update")]) == {"push/ref"}
	denied([update("other", "HEAD", "HEAD", "update")]) == {"push/ref"}
}

test_branches_of_others_are_not_deleted if {
	"push/delete" in denied([branch("feature/x", "delete")])
}

test_the_way_that_is_open_is_named if {
	rules := refs.deny with input as push([branch("main", "update")])
	some rule in rules
	contains(rule.remedy, "agent/fixer/01234567/")
}

# Whatever a session may not change where it works, it does not push either.
test_what_is_pinned_is_not_pushed if {
	pinned := {path |
		some path in sandbox.pins with input as {"request": {"git_directories": []}}
		not startswith(path, ".git/")
		not startswith(path, "**/.git/")
	}
	every path in pinned {
		asked := {"refs": [branch("agent/fixer/01234567/x", "create")], "paths": [{"path": path, "change": "added", "mode": "100644"}]}
		ids := {rule.id |
			some rule in refs.deny | pipelines.deny with input as {"action": asked, "session": session}
		}
		ids != set()
	}
}

test_what_makes_others_run_code_is_not_pushed if {
	every path in {
		".claude/settings.json", ".clinerules/hooks/PreToolUse", ".devcontainer.json", ".husky/pre-commit",
		".kiro/hooks/a.kiro.hook", ".npmrc", ".vscode/tasks.json", ".windsurf/hooks.json", "opencode.jsonc",
	} {
		changes(path, "100644") == {"push/agents"}
	}
	every path in {".claude", ".clinerules", ".yarn", ".Cursor"} {
		changes(path, "120000") == {"push/agents"}
	}
	every path in {
		"a/.vscode/tasks.json", "a/b/.envrc", "packages/web/.claude/settings.json", "a/.github/hooks/x.json",
		"vendor/.npmrc", "Vendored/c/.NPMRC", "a/flake.lock",
	} {
		changes(path, "100644") == {"push/agents"}
	}
	every path in {"a/.cargo", "a/b/.vscode"} {
		changes(path, "120000") == {"push/agents"}
	}
	changes("vendor/x", "160000") == {"push/submodule"}
	changes(".gitmodules", "100644") == {"push/submodule"}
}

# A file that is read, for each place.
test_settings_of_agents_and_tools_are_not_pushed if {
	every path in {
		".agents/hooks.json", ".agents/mcp_config.json", ".agents/plugins/x/hooks/hooks.json", ".ai/mcp/mcp.json",
		".amp/settings.json", ".augment/settings.json", ".codebuddy/settings.json", ".devin/config.json",
		".factory/hooks.json", ".github/extensions/x/extension.mjs", ".github/lsp.json", ".github/mcp.json",
		".gitlab/duo/mcp.json", ".grok/config.toml", ".iflow/settings.json", ".junie/mcp/mcp.json",
		".kilo/setup-script", ".kilocode/mcp.json", ".kimi-code/mcp.json", ".openhands/setup.sh",
		".pi/extensions/x.ts", ".vs/mcp.json", "codebuff.json", "gptme.toml", ".qoder/settings.json", ".qwen/settings.json", ".rovodev/mcp.json",
		".tabnine/agent/settings.json", ".trae/mcp.json", ".vibe/config.toml", ".warp/.mcp.json", "kilo.json",
		"kilo.jsonc",
	} {
		changes(path, "100644") == {"push/agents"}
		changes(sprintf("a/b/%s", [path]), "100644") == {"push/agents"}
	}
	every path in {
		".bazeliskrc", ".bazelrc", ".config/mise/conf.d/a.toml", ".config/mise.toml",
		".exrc", ".ghci", ".gvimrc", ".hg/hgrc", ".iex.exs", ".irbrc", ".lazygit.yml",
		".lsp/config.edn", ".ocamlinit", ".pdbrc", ".perldb", ".pijul/config", ".prototools", ".pryrc",
		".vim/coc-settings.json", "rust-analyzer.toml",
		".mise/config.toml", ".mise.local.toml", ".mise.toml", ".nvim.lua", ".nvimrc", ".Renviron", ".Rprofile",
		".tool-versions", ".vimrc", "mise.local.toml", "mise.toml", "mise/config.toml", "rust-toolchain",
		"rust-toolchain.toml",
	} {
		changes(path, "100644") == {"push/agents"}
		changes(sprintf("a/b/%s", [path]), "100644") == {"push/agents"}
	}
	every path in {
		".huskyrc", ".huskyrc.js", ".huskyrc.json", ".rusty-hook.toml",
		".trunk/trunk.yaml", "captainhook.json", "grumphp.yml", "grumphp.yml.dist",
		".codesandbox/tasks.json", ".config/lefthook-local.toml", ".lefthook-local.jsonc", ".lefthook/pre-push/x.sh",
		".lefthook-local/pre-push/x.sh", ".pre-commit-config.yml", ".stackblitzrc", "hk.pkl", "lefthook-local.yml",
		"lefthook.jsonc", "lsp.json", "prek.toml",
	} {
		changes(path, "100644") == {"push/agents"}
		changes(sprintf("a/b/%s", [path]), "100644") == set()
	}
	every path in {
		".agents/skills/x/SKILL.md", ".ai/notes.md", ".config/x.toml", ".github/instructions/x.md",
		".gitlab/issue_templates/x.md", ".hgignore", ".kilocodeignore", ".piskel/a.png", "mise.toml.example", "mise/x.md",
	} {
		changes(path, "100644") == set()
	}
}

test_what_was_fetched_and_what_is_read_at_the_top_only_is_pushed if {
	every path in {
		"vendor/serde/.vscode/tasks.json", "a/node_modules/p/.npmrc", "templates/app/lefthook.yml", "a/.vscode.md",
		"docs/.claude-notes", "a/bunfig.toml.example",
	} {
		changes(path, "100644") == set()
	}
}

told(options) := ids if {
	asked := {"refs": [branch("agent/fixer/01234567/x", "create")], "paths": [], "options": options}
	ids := {rule.id | some rule in refs.deny} with input as {"action": asked, "session": session}
}

test_a_server_is_told_nothing_that_humans_decide if {
	every option in {
		"ci.skip", "ci.variable=TOKEN=x", "merge_request.merge_when_pipeline_succeeds", "merge_request.auto_merge",
		"secret_push_protection.skip_all", "security_policy.bypass_reason=x", "repo.private=false",
		"merge_request.targets=x", "merge_request", "Merge_Request.Create", "environment.activate", "",
	} {
		told([option]) == {"push/option"}
		told(["merge_request.create", option]) == {"push/option"}
	}
}

test_a_request_is_opened_with_a_push if {
	told(["merge_request.create", "merge_request.target=main", "merge_request.title=a = b", "merge_request.draft"]) == set()
	told([]) == set()
}

test_work_is_pushed if {
	every path in {"README.md", ".github/ISSUE_TEMPLATE.md", "docs/.github/workflows.md", "Cargo.toml", "package.json", ".gitignore"} {
		changes(path, "100644") == set()
	}
}

test_what_is_not_shown_is_not_pushed if {
	asked := {"refs": [branch("agent/fixer/01234567/x", "update")], "paths": [], "unseen": "it is only named"}
	ids := {rule.id | some rule in refs.deny} with input as {"action": asked, "session": session}
	ids == {"push/unseen"}
}

test_a_human_merges_whatever_branch_it_is_into if {
	pull := {"name": "refs/pull/1/merge", "kind": "other", "short": "refs/pull/1/merge", "change": "update", "forward": true}
	every update in [pull, branch("agent/fixer/01234567/x", "update")] {
		asked := {"by": "rest", "refs": [update], "paths": [], "merges": "0123456789abcdef0123456789abcdef01234567"}
		{rule.id | some rule in refs.ask} == {"push/merge"} with input as {"action": asked, "session": session}
		count(refs.deny) == 0 with input as {"action": asked, "session": session}
	}
	by_git := {"by": "git", "refs": [pull], "paths": []}
	{rule.id | some rule in refs.deny} == {"push/ref"} with input as {"action": by_git, "session": session}
	every name in {"refs/notes/x", "refs/pull/1", "refs/pull/1/merge/x", "refs/pull/1/x"} {
		other := {"by": "rest", "refs": [update("other", name, name, "update")], "paths": []}
		{rule.id | some rule in refs.deny} == {"push/ref"} with input as {"action": other, "session": session}
	}
	into_main := {"by": "rest", "refs": [branch("main", "update")], "paths": [], "merges": "0123456789abcdef0123456789abcdef01234567"}
	{rule.id | some rule in refs.deny} == {"push/protected"} with input as {"action": into_main, "session": session}
}
