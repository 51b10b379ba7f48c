# Pipelines: machines that run what a repository says, with secrets of others. They are for humans. A policy lets agents
# change those of GitHub or GitLab, as far as none of the finer rules below is broken:
#
#     package agentguard.lib
#     open_pipelines contains "github"
package agentguard.push.pipelines

import data.agentguard.lib

deny contains {
	"id": "push/pipeline",
	"reason": sprintf("`%s` makes machines run code with secrets of others", [change.path]),
	"remedy": "have a human make this change, and push the rest without it",
} if {
	some change in input.action.paths
	is_pipeline(lower(change.path))
	not is_open(change)
}

deny contains {
	"id": "pipelines/unread",
	"reason": sprintf("`%s` cannot be read: %s", [file.path, file.unread]),
	"remedy": "write it so that all readers read the same, or have a human make this change",
} if {
	some file in array.concat(workflows, gitlab)
	file.unread
}

deny contains {
	"id": "pipelines/removed",
	"reason": sprintf("`%s` is gone, and so are its checks", [file.path]),
	"remedy": "have a human remove it",
} if {
	some file in array.concat(workflows, gitlab)
	not "after" in object.keys(file)
	not file.unread
}

deny contains {
	"id": "pipelines/permissions",
	"reason": sprintf("`%s` gives `%s` permissions that it did not have", [file.path, job]),
	"remedy": "leave `permissions` as it is; a new workflow says `contents: read`, and no more",
} if {
	some file in workflows
	some job in object.keys(jobs(file.after))
	was := permissions(before(file, {"permissions": {"contents": "read"}}), job, {})
	is := permissions(file.after, job, "write-all")
	is_wider(was, is)
	not is_unsaid(file, job)
}

deny contains {
	"id": "pipelines/trigger",
	"reason": sprintf("`%s` is started by `%s`, which runs it with more rights than a push or a pull request", [file.path, name]),
	"remedy": "have it started by `push` or `pull_request`",
} if {
	some file in workflows
	some name, how in triggers(file.after)
	not name in {"merge_group", "pull_request", "push"}
	object.get(triggers(before(file, {})), name, "none") != how
}

deny contains {
	"id": "pipelines/secrets",
	"reason": sprintf("`%s` reads a secret or a token at `%s`, or changes how", [file.path, place]),
	"remedy": "have a human give it the secret",
} if {
	some file in workflows
	some change in file.changes
	reads_secrets(change)
	place := concat(".", change.at)
}

# What a job holds is there for all that runs in it: also for the next version of an action that it uses.
deny contains {
	"id": "pipelines/trusted",
	"reason": sprintf("`%s` changes what runs in `%s`, which holds secrets or may write", [file.path, job]),
	"remedy": "put it into a job that holds nothing, or have a human make this change",
} if {
	some file in workflows
	some job in jobs_changed(file)
	is_trusted(file.after, job)
}

deny contains {
	"id": "pipelines/unpinned",
	"reason": sprintf("`%s` uses `%s`, which somebody else can change", [file.path, sprintf("%v", [used])]),
	"remedy": "name an action by its whole commit (`uses: owner/name@<40 hex digits>`), an image by its digest (`@sha256:…`)",
} if {
	some file in array.concat(workflows, gitlab)
	some used in uses(file.after) - uses(before(file, {}))
	not is_pinned(used)
}

deny contains {
	"id": "pipelines/runner",
	"reason": sprintf("`%s` runs `%s` on a machine that is not known to be fresh", [file.path, job]),
	"remedy": "use a hosted runner, by its name: `ubuntu-24.04`",
} if {
	some file in workflows
	some job, body in jobs(file.after)
	runner := object.get(body, "runs-on", "ubuntu-")
	runner != object.get(object.get(jobs(before(file, {})), job, {}), "runs-on", null)
	not is_hosted(runner)
}

# Where a machine or an image is named by an expression, what that comes to changes with what it is made of.
deny contains {
	"id": "pipelines/runner",
	"reason": sprintf("`%s` may change what `%s` of `%s` comes to", [file.path, said, job]),
	"remedy": "leave the matrix as it is, or have a human make this change",
} if {
	some file in workflows
	some job, body in jobs(file.after)
	some said in machines(body)
	some change in file.changes
	change.at[0] == "jobs"
	may_change(said, change)
}

deny contains {
	"id": "pipelines/injection",
	"reason": sprintf("`%s` puts `%s` into code at `%s`: whoever opens an issue or names a branch writes that", [file.path, text, place]),
	"remedy": "set it as a variable by `env`, and use the variable",
} if {
	some file in workflows
	some change in file.changes
	walk(change.after, [below, text])
	is_string(text)
	at := array.concat(change.at, [sprintf("%v", [part]) | some part in below])
	at[count(at) - 1] in {"run", "script"}
	regex.match(`(?is)\$\{\{.*\b(github|inputs|matrix|needs|steps|env)\b`, text)
	place := concat(".", at)
}

deny contains {
	"id": "pipelines/privileged",
	"reason": sprintf("`%s` starts a container at `%s` that is not apart from its machine", [file.path, place]),
	"remedy": "do without, or have a human make this change",
} if {
	some file in array.concat(workflows, gitlab)
	some change in file.changes
	is_privileged(change)
	place := concat(".", change.at)
}

deny contains {
	"id": "pipelines/gitlab",
	"reason": sprintf("`%s` changes `%s`, by which a pipeline gets code, secrets or machines from elsewhere", [file.path, name]),
	"remedy": "change what the jobs run, or have a human make this change",
} if {
	some file in gitlab
	some change in file.changes
	some name in names(change)
	name in {
		"environment", "extends", "hooks", "id_tokens", "identity", "include", "inherit", "pages", "release", "run", "secrets",
		"spec", "tags", "trigger", "variables", "workflow",
	}
}

workflows := [file | some file in input.action.infrastructure; startswith(lower(file.path), ".github/workflows/")]

gitlab := [file | some file in input.action.infrastructure; lower(file.path) == ".gitlab-ci.yml"]

# A file that is read, of a kind that is open. A link is none.
is_open(change) if {
	"github" in lib.open_pipelines
	startswith(lower(change.path), ".github/workflows/")
	is_file(change)
}

is_open(change) if {
	"gitlab" in lib.open_pipelines
	lower(change.path) == ".gitlab-ci.yml"
	is_file(change)
}

is_file(change) if {
	change.mode == "100644"
	change.path in {file.path | some file in input.action.infrastructure}
}

# An interface that is given what a file is to hold makes it a file.
is_file(change) if {
	input.action.by in {"graphql", "rest"}
	not change.mode
	some file in input.action.infrastructure
	file.path == change.path
	file.unseen
	"after" in object.keys(file)
}

is_pipeline(path) if {
	some directory in {".buildkite/", ".circleci/", ".github/actions/", ".github/workflows/", ".gitea/workflows/", ".forgejo/workflows/",
		".azure-pipelines/", ".builds/", ".copr/", ".eas/workflows/", ".gitlab/", ".harness/", ".prow/", ".semaphore/",
		".teamcity/", ".tekton/", ".woodpecker/", ".zuul.d/", "zuul.d/",
	}
	is_at(path, directory)
}

# What others include, by what it is called.
is_pipeline(path) if regex.match(`\.gitlab-ci\.ya?ml$|(^|/)action\.ya?ml$`, path)

is_pipeline(path) if {
	path in {
		".appveyor.yml", ".build.yml", ".cirrus.star", ".cirrus.yml", ".drone.jsonnet", ".drone.star", ".drone.yaml",
		".drone.yml", ".packit.yaml", ".packit.yml", ".prow.yaml", ".readthedocs.yaml", ".readthedocs.yml", ".travis.yml",
		".vela.py", ".vela.star", ".vela.yaml", ".vela.yml", ".woodpecker.yaml", ".woodpecker.yml", ".zuul.yaml", "appveyor.yml",
		"azure-pipelines.yaml", "azure-pipelines.yml", "bitbucket-pipelines.yml", "bitrise.yml", "buildkite",
		"buildkite.json", "buildkite.yaml", "buildkite.yml", "buildkite/pipeline.json", "buildkite/pipeline.yaml",
		"buildkite/pipeline.yml", "buildspec.yaml", "buildspec.yml",
		"cloudbuild.yaml", "cloudbuild.yml", "codefresh.yml", "codemagic.yaml", "jenkinsfile", "packit.yaml", "packit.yml", "screwdriver.yaml",
		"wercker.yml", "zuul.yaml",
	}
}

# Below the directory, or a link in its place or in that of one above it: what it leads to would be what is read.
is_at(path, directory) if startswith(path, directory)

is_at(path, directory) if startswith(directory, concat("", [path, "/"]))

jobs(document) := {name: body | some name, body in document.jobs; is_object(body)} if is_object(document.jobs)

jobs(document) := {} if not is_object(document.jobs)

# What a job may do: as it says, else as the workflow says, else what the repository is set to, which is not seen.
permissions(document, job, unsaid) := object.get(
	object.get(jobs(document), job, {}), "permissions",
	object.get(document, "permissions", unsaid),
)

# Neither the workflow nor this job of it said anything, and they still do not.
is_unsaid(file, job) if {
	is_object(file.before)
	permissions(file.before, job, "unsaid") == "unsaid"
	permissions(file.after, job, "unsaid") == "unsaid"
}

is_wider(was, is) if {
	some scope in scopes(was) | scopes(is)
	rank(is, scope, 2) > rank(was, scope, 0)
}

scopes(permissions) := object.keys(permissions) if is_object(permissions)

scopes(permissions) := {"contents"} if not is_object(permissions)

# Of what is not known, it is assumed what is worse.
rank(permissions, scope, unknown) := object.get({"none": 0, "read": 1, "write": 2}, object.get(permissions, scope, "none"), unknown) if is_object(permissions)

rank(permissions, _, unknown) := object.get({"read-all": 1, "write-all": 2}, permissions, unknown) if not is_object(permissions)

# Each with what is said of it.
triggers(document) := {sprintf("%v", [name]): null | some name in document.on} if is_array(document.on)

triggers(document) := document.on if is_object(document.on)

triggers(document) := {sprintf("%v", [document.on]): null} if {
	not is_array(document.on)
	not is_object(document.on)
}

# What it said. What was no mapping said nothing.
before(file, nothing) := file.before if is_object(file.before)

before(file, nothing) := nothing if not is_object(file.before)

# An expression is one within `${{ }}`, and all of an `if`. All that is known of a run holds its token too.
reads_secrets(change) if {
	walk(change.after, [_, text])
	is_string(text)
	regex.match(`(?i)\bsecrets\b|github\s*\.\s*token|github\s*\[|\(\s*github\s*\)|github\s*\.\s*\*`, text)
}

reads_secrets(change) if {
	walk(change.after, [at, _])
	some name in array.concat(change.at, at)
	name in {"environment", "secrets"}
}

jobs_changed(file) := {change.at[1] | some change in file.changes; change.at[0] == "jobs"; change.at[1]} |
	{name | some name in all_jobs(file); some change in file.changes; is_for_all(change)}

all_jobs(file) := object.keys(jobs(object.get(file, "after", {})))

is_for_all(change) if count(change.at) == 0

is_for_all(change) if change.at == ["jobs"]

is_for_all(change) if change.at[0] in {"defaults", "env"}

# What it needs, it believes.
is_trusted(document, job) if holds_something(document, job)

is_trusted(document, job) if {
	some name, body in jobs(document)
	job in needed(body.needs)
	holds_something(document, name)
}

needed(names) := {names} if not is_array(names)

needed(names) := {name | some name in names} if is_array(names)

holds_something(document, job) if {
	walk([jobs(document)[job], object.get(document, "env", {})], [_, text])
	is_string(text)
	regex.match(`(?i)\bsecrets\b`, text)
}

holds_something(document, job) if {
	some name in {"environment", "secrets"}
	name in object.keys(jobs(document)[job])
}

holds_something(document, job) if {
	may := permissions(document, job, "write-all")
	some scope in scopes(may)
	rank(may, scope, 2) == 2
}

# What stands at `uses`, and the images of containers.
uses(document) := {value |
	walk(document, [at, value])
	at[count(at) - 1] in {"container", "image", "uses"}
	not is_object(value)
} | {value |
	walk(document, [at, value])
	at[count(at) - 1] == "name"
	at[count(at) - 2] == "image"
} | {value |
	walk(document, [at, value])
	is_number(at[count(at) - 1])
	at[count(at) - 2] == "services"
	not is_object(value)
} | {value |
	walk(document, [at, value])
	at[count(at) - 1] == "name"
	at[count(at) - 3] == "services"
}

is_pinned(used) if {
	is_string(used)
	regex.match(`^[A-Za-z0-9_.-]+/[A-Za-z0-9_./-]+@[0-9a-f]{40}$`, used)
}

is_pinned(used) if {
	is_string(used)
	regex.match(`^(docker://)?[a-z0-9][A-Za-z0-9_.:/-]*@sha256:[0-9a-f]{64}$`, used)
}

# Of the repository itself, and of the same commit.
is_pinned(used) if {
	is_string(used)
	startswith(used, "./")
	not contains(used, "..")
}

machines(body) := {said |
	walk(body, [at, said])
	at[0] in {"container", "runs-on", "services"}
	is_string(said)
	contains(said, "${{")
}

may_change(_, change) if "strategy" in names(change)

may_change(said, _) if not regex.match(`^\$\{\{\s*matrix\.[A-Za-z0-9_-]+\s*\}\}$`, said)

is_hosted(runner) if {
	is_string(runner)
	regex.match(`^(macos|ubuntu|windows)-[a-z0-9.-]*$`, runner)
}

is_hosted(runner) if {
	is_array(runner)
	count(runner) == 1
	regex.match(`^(macos|ubuntu|windows)-[a-z0-9.-]*$`, runner[0])
}

# Options of a container are words of Docker's own.
is_privileged(change) if "options" in names(change)

is_privileged(change) if "volumes" in names(change)

is_privileged(change) if {
	walk(change.after, [_, text])
	is_string(text)
	regex.match(`(?i)--privileged|docker\.sock|\bdind\b|--network[ =]host|--pid[ =]host|--cap-add`, text)
}

# All names on the way to what is changed, and in it.
names(change) := {name | some name in change.at} |
	{name | walk(object.get(change, "after", null), [at, _]); some name in at} |
	{name | walk(object.get(change, "before", null), [at, _]); some name in at}
