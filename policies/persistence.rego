# Files of the workspace that make somebody run code later, outside. What is there when a session starts
# cannot be changed. What is not there yet is judged when its name comes into being: see planted.rego.
#
# `git config`, `git remote add` and `git sparse-checkout` fail for it, and `git push -u` prints an error and
# pushes all the same.
package agentguard.sandbox

# Git's directories as they were found at the start, and where git puts them.
_git_directories contains ".git"

_git_directories contains directory if some directory in input.request.git_directories

# What hosts of repositories and their CI run by themselves, from the top of a repository.
_pipelines := [
	".appveyor.yml", ".azure-pipelines", ".build.yml", ".buildkite", ".builds", ".circleci", ".cirrus.star",
	".cirrus.yml", ".copr", ".drone.jsonnet", ".drone.star", ".drone.yaml", ".drone.yml", ".eas/workflows",
	".forgejo/workflows", ".gitea/workflows", ".github/actions", ".github/workflows", ".gitlab-ci.yml", ".harness",
	".packit.yaml", ".packit.yml", ".prow", ".prow.yaml", ".readthedocs.yaml", ".readthedocs.yml", ".semaphore", ".teamcity",
	".tekton", ".travis.yml", ".vela.py", ".vela.star", ".vela.yaml", ".vela.yml",
	".woodpecker", ".woodpecker.yaml", ".woodpecker.yml", ".zuul.d",
	".zuul.yaml", "Jenkinsfile", "appveyor.yml", "azure-pipelines.yaml", "azure-pipelines.yml",
	"bitbucket-pipelines.yml", "bitrise.yml", "buildkite.json", "buildkite.yaml", "buildkite.yml",
	"buildkite/pipeline.json", "buildkite/pipeline.yaml", "buildkite/pipeline.yml", "buildspec.yaml", "buildspec.yml", "cloudbuild.yaml",
	"cloudbuild.yml", "codefresh.yml", "codemagic.yaml", "packit.yaml", "packit.yml", "screwdriver.yaml", "wercker.yml", "zuul.d", "zuul.yaml",
]

# The workspace may be no repository, or a directory of one.
_top contains path if some path in _pipelines

_top contains path if some path in data.agentguard.lib.taken_up_at_top

# At any depth, and at the tops of repositories further down.
_nested contains concat("", ["**/", path]) if some path in data.agentguard.lib.taken_up

_nested contains concat("", ["**/.git/../", path]) if some path in data.agentguard.lib.taken_up_at_top

_nested contains concat("", ["**/.git/../", path]) if some path in _pipelines

fetched contains sprintf("**/%s/*", [path]) if some path in data.agentguard.lib.fetched

pins contains path if some path in _nested

# Of these the directories above cannot be moved either.
pins contains path if some path in data.agentguard.lib.taken_up

pins contains path if some path in _top

pins contains concat("/", [directory, name]) if {
	some directory in _git_directories
	some name in ["commondir", "config", "config.worktree", "gitdir", "hooks", "info/attributes"]
}

# Of a work tree elsewhere, somebody goes on with what git keeps there: `rebase --continue` runs what its list says.
pins contains directory if some directory in input.request.other_git_directories

# Remotes of old: a push to one on this machine runs that one's hooks.
_remotes := {"branches", "remotes"}

pins contains concat("/", [directory, name]) if {
	some directory in _git_directories | {"**/.git"}
	some name in _remotes
}

places contains sprintf("%s/%s/*", [directory, name]) if {
	some directory in _git_directories | {"**/.git"}
	some name in _remotes
}

# A file there names a repository that lies elsewhere.
places contains "**/.jj/repo"

# What other programs for git's repositories keep there, and run what it names.
_of_others := ["gbp.conf", "glab-cli/aliases.yml", "glab-cli/config.yml", "lazygit.yml", "sl/config"]

_beside_settings contains concat("/", [directory, name]) if {
	some directory in _git_directories | {"**/.git"}
	some name in _of_others
}

pins contains path if some path in _beside_settings

places contains path if some path in _beside_settings

# A name that comes into being here is judged. Git's places are places at any depth, whatever was fetched; so are,
# whatever the directory is called, the settings and hooks of what git takes for a repository.
places contains path if some path in _top

places contains concat("/", [path, "**"]) if some path in _top

places contains path if some path in _nested

places contains concat("/", [path, "**"]) if some path in _nested

places contains path if {
	some path in [
		"**/.git", "**/.git/commondir", "**/.git/config", "**/.git/config.worktree", "**/.git/hooks/*",
		"**/.git/info/attributes",
		# Git renames these to the settings: whoever has one open has those.
		"**/.git/config.lock", "**/.git/config.worktree.lock",
	]
}

covered contains {
	"id": "persistence/pinned",
	"reason": "hooks, CI, editor and agent configuration make others run code: what there is cannot be changed",
	"remedy": "propose the change to a human, for example in a file of another name",
}
