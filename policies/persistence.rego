# Files of the workspace that make somebody run code later, outside. What is there when a session starts
# cannot be changed. What is not there yet is judged when its name comes into being: see planted.rego.
#
# `git config`, `git remote add` and `git sparse-checkout` fail for it, and `git push -u` prints an error and
# pushes all the same.
package agentguard.sandbox

# Git's directories as they were found at the start, and where git puts them.
_git_directories contains ".git"

_git_directories contains directory if some directory in input.request.git_directories

# What runs by itself, or for whoever only looks: CI, editors, shells, package managers, other agents.
_top := [
	".agentguard", ".amazonq", ".appveyor.yml", ".azure-pipelines", ".build.yml", ".buildkite", ".builds",
	".cargo/config", ".cargo/config.toml", ".circleci", ".cirrus.star", ".cirrus.yml", ".claude",
	".clinerules/hooks", ".codex", ".continue", ".cursor", ".devcontainer", ".devcontainer.json",
	".drone.jsonnet", ".drone.star", ".drone.yaml", ".drone.yml", ".envrc", ".forgejo/workflows", ".gemini",
	".gitea/workflows", ".github/actions", ".github/copilot", ".github/hooks", ".github/workflows",
	".gitlab-ci.yml", ".gitpod.yml", ".husky", ".idea", ".kiro/agents", ".kiro/hooks", ".kiro/settings",
	".lefthook.json", ".lefthook.toml", ".lefthook.yaml", ".lefthook.yml", ".mcp.json", ".npmrc", ".opencode",
	".pnpmfile.cjs", ".pnpmfile.mjs", ".pre-commit-config.yaml", ".roo", ".semaphore", ".tekton", ".travis.yml",
	".vscode", ".windsurf", ".woodpecker", ".woodpecker.yaml", ".woodpecker.yml", ".yarn/plugins",
	".yarn/releases", ".yarnrc", ".yarnrc.yml", ".zed", "Jenkinsfile", "appveyor.yml", "azure-pipelines.yaml",
	"azure-pipelines.yml", "bitbucket-pipelines.yml", "buildspec.yaml", "buildspec.yml", "bunfig.toml",
	"cloudbuild.yaml", "cloudbuild.yml", "codefresh.yml", "lefthook.json", "lefthook.toml", "lefthook.yaml",
	"lefthook.yml", "opencode.json", "opencode.jsonc", "wercker.yml",
]

pins contains path if some path in _top

pins contains concat("/", [directory, name]) if {
	some directory in _git_directories
	some name in ["commondir", "config", "config.worktree", "gitdir", "hooks", "info/attributes"]
}

pins contains ".git/worktrees"

# A name that comes into being here is judged. Git's places are places at any depth; so are, whatever the
# directory is called, the settings and hooks of what git takes for a repository.
places contains path if some path in _top

places contains concat("/", [path, "**"]) if some path in _top

places contains path if {
	some path in [
		"**/.git", "**/.git/commondir", "**/.git/config", "**/.git/config.worktree", "**/.git/hooks/*",
		"**/.git/info/attributes",
	]
}

covered contains {
	"id": "persistence/pinned",
	"reason": "hooks, CI, editor and agent configuration make others run code: what there is cannot be changed",
	"remedy": "propose the change to a human, for example in a file of another name",
}
