package agentguard.push.pipelines_test

import data.agentguard.lib
import data.agentguard.push.pipelines

path(path, mode) := {"path": path, "change": "changed", "mode": mode}

push(file) := {"action": {"paths": [path(file.path, "100644")], "infrastructure": [file]}}

# Where a policy lets agents change pipelines.
open(file) := ids if {
	ids := {rule.id | some rule in pipelines.deny} with input as push(file)
		with lib.open_pipelines as {"github", "gitlab"}
}

sha := "0123456789abcdef0123456789abcdef01234567"

digest := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

work := {
	"on": {"push": {"branches": ["main"]}},
	"permissions": {"contents": "read"},
	"jobs": {
		"test": {"runs-on": "ubuntu-24.04", "steps": [{"uses": sprintf("actions/checkout@%s", [sha])}, {"run": "make test"}]},
		"release": {
			"runs-on": "ubuntu-24.04", "permissions": {"contents": "write"},
			"steps": [{"run": "make release", "env": {"TOKEN": "${{ secrets.TOKEN }}"}}],
		},
	},
}

# The workflow with something put at a place, as the gate tells it.
put(at, after) := changed(".github/workflows/ci.yml", work, at, after)

changed(path, before, at, after) := {
	"path": path,
	"before": before,
	"after": object.union(before, nest(before, parts, after)),
	"changes": [{"at": parts, "after": after}],
} if {
	parts := split(trim_left(at, "/"), "/")
}

nest(_, at, value) := {at[0]: value} if count(at) == 1

nest(_, at, value) := {at[0]: {at[1]: value}} if count(at) == 2

nest(_, at, value) := {at[0]: {at[1]: {at[2]: value}}} if count(at) == 3

nest(before, at, value) := {at[0]: {at[1]: {at[2]: steps}}} if {
	count(at) == 4
	steps := with_step(before[at[0]][at[1]][at[2]], to_number(at[3]), value)
}

nest(before, at, value) := {at[0]: {at[1]: {at[2]: steps}}} if {
	count(at) == 5
	old := before[at[0]][at[1]][at[2]]
	steps := with_step(old, to_number(at[3]), object.union(old[to_number(at[3])], {at[4]: value}))
}

with_step(steps, at, step) := array.concat(array.concat(array.slice(steps, 0, at), [step]), array.slice(steps, at + 1, count(steps)))

test_pipelines_are_for_humans if {
	every one in {".github/workflows/ci.yml", ".GitHub/Workflows/ci.yml", ".gitlab-ci.yml", ".circleci/config.yml", "Jenkinsfile"} {
		asked := {"action": {"paths": [path(one, "100644")], "infrastructure": [{"path": one, "changes": []}]}}
		"push/pipeline" in {rule.id | some rule in pipelines.deny} with input as asked
	}
	every one in {".github", ".github/workflows"} {
		asked := {"action": {"paths": [path(one, "120000")]}}
		{rule.id | some rule in pipelines.deny} == {"push/pipeline"} with input as asked
	}
}

test_what_is_open_is_a_file_that_is_read if {
	every asked in [
		{"paths": [path(".github/workflows/ci.yml", "120000")], "infrastructure": [put("/name", "x")]},
		{"paths": [path(".github/workflows/ci.yml", "100644")]},
		{"paths": [path(".github/workflows", "120000")], "infrastructure": [put("/name", "x")]},
		{"paths": [path(".circleci/config.yml", "100644")]},
	] {
		"push/pipeline" in {rule.id | some rule in pipelines.deny} with input as {"action": asked}
			with lib.open_pipelines as {"github", "gitlab"}
	}
	open({"path": ".github/workflows/ci.yml", "changes": [], "unread": "`on` stands twice"}) == {"pipelines/unread"}
	open({"path": ".github/workflows/ci.yml", "before": work, "changes": [{"at": [], "before": work}]}) == {"pipelines/removed"}
}

test_ordinary_work_on_a_workflow_is_let if {
	every row in [
		["/name", "Tests"],
		["/jobs/test/steps/1/run", "make check"],
		["/jobs/test/steps/0/uses", sprintf("actions/checkout@%s", [replace(sha, "0", "f")])],
		["/jobs/test/steps/2", {"uses": "./tools/action"}],
		["/jobs/lint", {"runs-on": "ubuntu-latest", "steps": [{"run": "make lint"}]}],
		["/jobs/test/env", {"TITLE": "${{ github.event.issue.title }}"}],
		["/jobs/test/container", sprintf("node:22@%s", [digest])],
		["/on/pull_request", {}],
		["/on/push/branches", ["main", "next"]],
	] {
		open(put(row[0], row[1])) == set()
	}
}

test_permissions_do_not_widen if {
	every row in [
		["/permissions", "write-all"],
		["/permissions", "read-all "],
		["/permissions", null],
		["/permissions/issues", "write"],
		["/permissions/id-token", "write"],
		["/permissions/actions", "read"],
		["/permissions/contents", "Write"],
		["/jobs/test/permissions", {"contents": "write"}],
		["/jobs/new", {"runs-on": "ubuntu-24.04", "permissions": {"packages": "write"}, "steps": []}],
	] {
		"pipelines/permissions" in open(put(row[0], row[1]))
	}
	unsaid := object.remove(work, ["permissions"])
	gone := {"path": ".github/workflows/ci.yml", "before": work, "after": unsaid, "changes": [{"at": ["permissions"], "before": {}}]}
	"pipelines/permissions" in open(gone)
	new := {"path": ".github/workflows/new.yml", "after": unsaid, "changes": [{"at": [], "after": unsaid}]}
	"pipelines/permissions" in open(new)
}

test_a_workflow_is_started_by_nothing_else if {
	every name in {"pull_request_target", "workflow_run", "schedule", "repository_dispatch", "issue_comment", "workflow_call", "Push"} {
		open(put(sprintf("/on/%s", [name]), {})) == {"pipelines/trigger"}
		open(put("/on", ["push", name])) == {"pipelines/trigger"}
		open(put("/on", name)) == {"pipelines/trigger"}
	}
}

test_no_secret_is_read if {
	every text in {"${{ secrets.X }}", "${{ SECRETS['X'] }}", "${{ toJSON(secrets) }}", "${{ github.token }}", "${{ toJSON(github) }}"} {
		"pipelines/secrets" in open(put("/jobs/test/steps/1", {"run": "x", "env": {"X": text}}))
		"pipelines/secrets" in open(put("/env", {"X": text}))
	}
	"pipelines/secrets" in open(put("/jobs/test/steps/1/if", "secrets.X == 'a'"))
	"pipelines/secrets" in open(put("/jobs/call", {"uses": "./.github/workflows/x.yml", "secrets": "inherit"}))
	"pipelines/secrets" in open(put("/jobs/test/environment", "production"))
}

test_what_holds_secrets_or_may_write_is_not_changed if {
	open(put("/jobs/release/steps/0/run", "make all")) == {"pipelines/trusted"}
	open(put("/jobs/release/steps/1", {"run": "env"})) == {"pipelines/trusted"}
	open(put("/env", {"LD_PRELOAD": "x.so"})) == {"pipelines/trusted"}
	open(put("/defaults", {"run": {"shell": "sh x {0}"}})) == {"pipelines/trusted"}
}

test_what_is_used_is_pinned if {
	every used in {
		"actions/checkout@v4", "actions/checkout@main", "actions/checkout", sprintf("actions/checkout@%s", [substring(sha, 0, 39)]),
		"docker://alpine:3", "../x", "./../x", "${{ matrix.action }}", 7, null,
	} {
		open(put("/jobs/test/steps/2", {"uses": used})) == {"pipelines/unpinned"}
	}
	open(put("/jobs/test/container", "node:22")) == {"pipelines/unpinned"}
	open(put("/jobs/test/container", {"image": "node:22"})) == {"pipelines/unpinned"}
	open(put("/jobs/test/services", {"db": {"image": "postgres"}})) == {"pipelines/unpinned"}
}

test_machines_are_hosted if {
	every runner in ["self-hosted", ["self-hosted"], ["self-hosted", "linux"], ["ubuntu-22.04", "ours"], {"group": "x"}, "${{ matrix.os }}", "ours-large", null] {
		open(put("/jobs/test/runs-on", runner)) == {"pipelines/runner"}
	}
	open(put("/jobs/test/runs-on", ["ubuntu-22.04"])) == set()
}

matrix(runner) := object.union(work, {"jobs": {"test": {"runs-on": runner, "strategy": {"matrix": {"os": ["ubuntu-24.04"]}}}}})

test_what_a_machine_is_named_by_is_not_changed if {
	of_matrix := matrix("${{ matrix.os }}")
	ci := ".github/workflows/ci.yml"
	open(changed(ci, of_matrix, "/jobs/test/strategy", {"matrix": {"os": ["self-hosted"]}})) == {"pipelines/runner"}
	open(changed(ci, of_matrix, "/jobs/test/steps/1/run", "make check")) == set()
	open(changed(ci, matrix("${{ needs.a.outputs.os }}"), "/jobs/test/steps/1/run", "make check")) == {"pipelines/runner"}
	open(changed(ci, matrix("ubuntu-24.04"), "/jobs/test/strategy", {"matrix": {"os": ["a"]}})) == set()
}

test_what_a_trusted_job_needs_is_not_changed if {
	every needs in ["test", ["test"]] {
		needing := object.union(work, {"jobs": {"release": {"needs": needs}}})
		open(changed(".github/workflows/ci.yml", needing, "/jobs/test/steps/1/run", "make all")) == {"pipelines/trusted"}
	}
}

test_nothing_of_others_is_put_into_code if {
	every text in {
		"echo ${{ github.event.issue.title }}", "echo ${{ github.head_ref }}", "a\n${{\ngithub\n.event.x }}", "${{ GitHub.event.x }}",
		"${{ env.TITLE }}",
	} {
		open(put("/jobs/test/steps/1/run", text)) == {"pipelines/injection"}
		open(put("/jobs/test/steps/2", {"run": text})) == {"pipelines/injection"}
	}
}

test_containers_are_apart_from_their_machine if {
	pinned := sprintf("node@%s", [digest])
	every container in [
		{"image": pinned, "options": "--privileged"}, {"image": pinned, "options": "--device=/dev/kvm"}, {"image": pinned, "volumes": ["/:/host"]},
	] {
		open(put("/jobs/test/container", container)) == {"pipelines/privileged"}
	}
	open(put("/jobs/test/steps/1/run", "docker run --privileged x")) == {"pipelines/privileged"}
}

gitlab(at, after) := open(changed(".gitlab-ci.yml", {"test": {"script": ["make"], "image": sprintf("a@%s", [digest])}}, at, after))

test_gitlab_gets_nothing_from_elsewhere if {
	every row in [
		["/include", "https://example.org/x.yml"], ["/variables", {"A": "b"}], ["/test/tags", ["ours"]],
		["/test/id_tokens", {}], ["/test/secrets", {}], ["/test/environment", "production"], ["/test/trigger", "a/b"],
		["/other", {"script": ["x"], "variables": {"A": "b"}}], ["/workflow", {}],
	] {
		gitlab(row[0], row[1]) == {"pipelines/gitlab"}
	}
	every row in [["/test/image", "alpine"], ["/test/image", {"name": "alpine"}], ["/test/services", ["postgres:16"]], ["/test/services", [{"name": "x"}]]] {
		gitlab(row[0], row[1]) == {"pipelines/unpinned"}
	}
	"pipelines/privileged" in gitlab("/test/services", ["docker:dind"])
	gitlab("/test/script", ["make test"]) == set()
	gitlab("/lint", {"script": ["make lint"], "image": sprintf("b@%s", [digest])}) == set()
}

test_what_a_pipeline_includes_is_one if {
	every path in {
		".gitlab/ci/build.yml", "ci/build.gitlab-ci.yml", "tools/x/action.yml", ".cirrus.yml", ".woodpecker/a.yaml", ".gitlab",
		".copr/Makefile", ".eas/workflows/a.yml", ".harness/a.yaml", ".packit.yaml", ".prow.yaml", ".prow/a.yaml",
		"buildkite", "buildkite.json", "buildkite/pipeline.yml", "packit.yml", ".vela.yaml",
		".readthedocs.yaml", ".readthedocs.yml", ".teamcity/settings.kts", ".vela.yml", ".zuul.d/a.yaml", ".zuul.yaml",
		"bitrise.yml", "codemagic.yaml", "screwdriver.yaml", "zuul.d/a.yaml", "zuul.yaml",
	} {
		action := {"paths": [{"path": path, "change": "changed", "mode": "100644"}], "infrastructure": []}
		{rule.id | some rule in pipelines.deny} == {"push/pipeline"} with input as {"action": action}
	}
	every path in {"gitlab/a.yml", "transaction.yml", "src/action.ts"} {
		action := {"paths": [{"path": path, "change": "changed", "mode": "100644"}], "infrastructure": []}
		{rule.id | some rule in pipelines.deny} == set() with input as {"action": action}
	}
}

test_one_kind_that_is_open_opens_no_other if {
	every row in [
		["github", ".gitlab-ci.yml", "100644"], ["gitlab", ".github/workflows/ci.yml", "100644"], ["gitlab", ".gitlab-ci.yml", "120000"],
	] {
		[kind, path, mode] := row
		asked := {"action": {"paths": [path(path, mode)], "infrastructure": [{"path": path, "after": {}, "changes": []}]}}
		"push/pipeline" in {rule.id | some rule in pipelines.deny} with input as asked with lib.open_pipelines as {kind}
	}
}

# By an interface that is given what a file is to hold.
written(action) := ids if {
	file := {"path": ".github/workflows/ci.yml", "after": {"name": "x"}, "changes": [], "unseen": "so"}
	asked := {"action": object.union({"by": "rest", "paths": [{"path": file.path, "change": "changed"}], "infrastructure": [file]}, action)}
	ids := {rule.id | some rule in pipelines.deny} with input as asked with lib.open_pipelines as {"github"}
}

test_what_an_interface_makes_is_a_file if {
	not "push/pipeline" in written({})
	not "push/pipeline" in written({"by": "graphql"})
	other := {"path": ".github/workflows/other.yml", "after": {}, "changes": [], "unseen": "so"}
	gone := {"path": ".github/workflows/ci.yml", "changes": [], "unseen": "so"}
	seen := {"path": ".github/workflows/ci.yml", "after": {}, "changes": []}
	every action in [
		{"by": "wire"}, {"paths": [path(".github/workflows/ci.yml", "120000")]}, {"infrastructure": [other]},
		{"infrastructure": [gone]}, {"infrastructure": [seen]},
	] {
		"push/pipeline" in written(action)
	}
}

test_what_was_there_may_stay if {
	unsaid := object.remove(work, ["permissions"])
	ci := ".github/workflows/ci.yml"
	open(changed(ci, unsaid, "/name", "Tests")) == set()
	"pipelines/permissions" in open(changed(ci, unsaid, "/permissions", "write-all"))
	started := object.union(work, {"on": {"schedule": [{"cron": "0 0 * * *"}]}})
	open(changed(ci, started, "/name", "Tests")) == set()
	open(changed(ci, started, "/on/schedule", [])) == {"pipelines/trigger"}
	open(changed(ci, matrix("${{ needs.a.outputs.os }}"), "/name", "Tests")) == set()
}

test_what_was_no_workflow_said_nothing if {
	new := {"path": ".github/workflows/ci.yml", "before": null, "after": object.remove(work, ["permissions"]), "changes": [{"at": [], "after": work}]}
	{"pipelines/permissions", "pipelines/trusted"} - open(new) == set()
}

test_what_is_no_job_holds_nothing if {
	every jobs in [[], "x", null, {"test": null}, {"test": ["x"]}] {
		after := object.union(object.remove(work, ["jobs"]), {"jobs": jobs})
		open({"path": ".github/workflows/ci.yml", "before": work, "after": after, "changes": [{"at": ["jobs"], "after": jobs}]}) == set()
	}
}

# A workflow whose only job is this one, of which a step is changed.
alone(more) := open(changed(".github/workflows/ci.yml", workflow, "/jobs/only/steps/0", {"run": "make all"})) if {
	job := object.union({"runs-on": "ubuntu-24.04", "steps": [{"run": "make"}]}, object.get(more, "job", {}))
	workflow := object.union({"on": "push", "permissions": {"contents": "read"}, "jobs": {"only": job}}, object.remove(more, ["job"]))
}

test_a_job_holds_secrets_in_any_of_these_ways if {
	alone({}) == set()
	every more in [
		{"job": {"environment": "production"}}, {"job": {"secrets": "inherit"}}, {"job": {"env": {"A": "${{ secrets.A }}"}}},
		{"env": {"A": "${{ secrets.A }}"}}, {"permissions": {"issues": "write"}}, {"job": {"permissions": "write-all"}},
		{"job": {"permissions": {"contents": "admin"}}},
	] {
		"pipelines/trusted" in alone(more)
	}
}

test_what_all_jobs_share_is_each_ones if {
	every at, after in {"/env": {"A": "b"}, "/env/A": "b", "/defaults/run": {"shell": "sh"}, "/jobs": {}} {
		"pipelines/trusted" in open(put(at, after))
	}
	open(put("/jobs/test/env", {"A": "b"})) == set()
}

test_what_an_untrusted_job_needs_is_not_trusted if {
	needing := object.union(work, {"jobs": {"lint": {"runs-on": "ubuntu-24.04", "needs": "test", "steps": []}}})
	open(changed(".github/workflows/ci.yml", needing, "/jobs/test/steps/1/run", "make all")) == set()
}

test_names_are_images_of_containers_only if {
	pinned := sprintf("a@%s", [digest])
	gitlab("/test/image", {"name": pinned, "entrypoint": [""]}) == set()
	gitlab("/test/services", [{"name": pinned, "alias": "db"}]) == set()
	open(put("/jobs/test/steps/2", {"name": "Test", "run": "make"})) == set()
	open(put("/jobs/services", {"runs-on": "ubuntu-24.04", "steps": [{"name": "Test", "run": "make"}]})) == set()
	open(put("/jobs/test/services", {"db": {"image": pinned}})) == set()
}
