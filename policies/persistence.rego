# Files of the workspace that make somebody run code later, outside: they cannot be changed. What is not
# there when a session starts cannot be held: that it appeared is a finding, `persistence/planted`.
#
# They are held at the workspace's top level only. `git config`, `git remote add` and
# `git sparse-checkout` fail for it, and `git push -u` prints an error and pushes all the same.
package agentguard.sandbox

# Git's directories as they were found at the start, and where git puts them.
_git_directories contains ".git"

_git_directories contains directory if some directory in input.request.git_directories

pins contains path if {
	some path in [
		".agentguard", ".buildkite", ".circleci", ".claude", ".codex", ".continue", ".cursor", ".devcontainer",
		".drone.yml", ".envrc", ".gemini", ".github/actions", ".github/copilot", ".github/hooks",
		".github/workflows", ".gitlab-ci.yml", ".husky", ".idea", ".lefthook.yml", ".mcp.json", ".opencode",
		".pre-commit-config.yaml", ".travis.yml", ".vscode", ".woodpecker.yml", ".zed", "Jenkinsfile",
		"azure-pipelines.yml", "bitbucket-pipelines.yml", "lefthook.yml", "opencode.json",
	]
}

pins contains concat("/", [directory, name]) if {
	some directory in _git_directories
	some name in ["commondir", "config", "config.worktree", "gitdir", "hooks", "info/attributes"]
}

pins contains ".git/worktrees"


covered contains {
	"id": "persistence/pinned",
	"reason": "hooks, CI, editor and agent configuration make others run code: what there is cannot be changed",
	"remedy": "propose the change to a human, for example in a file of another name",
}
