package agentguard.push.dockerfiles_test

import data.agentguard.push.dockerfiles

image := "alpine@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

# Lines as the gate tells them, each a name, flags and a text.
document(lines) := {"directives": {}, "instructions": [{"name": line[0], "flags": line[1], "text": line[2], "documents": []} | some line in lines]}

old := [["FROM", [], "debian:12 AS build"], ["RUN", [], "make"], ["FROM", [], image], ["COPY", ["--from=build"], "/x /x"], ["USER", [], "app"]]

denied(file) := ids if {
	ids := {rule.id | some rule in dockerfiles.deny} with input as {"action": {"infrastructure": [file]}}
}

changed(lines) := denied({"path": "Dockerfile", "before": document(old), "after": document(lines), "changes": []})

with_line(line) := changed(array.concat(old, [line]))

test_ordinary_work_is_let if {
	changed(old) == set()
	every line in [
		["RUN", [], "make test"], ["RUN", ["--mount=type=cache,target=/x"], "make"], ["RUN", ["--network=none"], "make"],
		["COPY", ["--from=build"], "/y /y"], ["COPY", ["--from=0"], "/y /y"], ["ADD", [], "a b"], ["ENV", [], "A=b"], ["USER", [], "other"],
		["ADD", ["--checksum=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"], "https://example.org/a /a"],
	] {
		with_line(line) == set()
	}
	denied({"path": "a/web.Dockerfile", "after": document([["FROM", [], image], ["RUN", [], "make"]]), "changes": []}) == set()
}

test_images_are_pinned if {
	every line in [
		["COPY", ["--from=ours/tools"], "/y /y"], ["RUN", ["--mount=type=bind,from=busybox,target=/x"], "x"], ["ONBUILD", [], "COPY --from=nginx /a /a"],
	] {
		with_line(line) == {"dockerfiles/unpinned"}
	}
	every from in ["alpine", "alpine:3", "$IMAGE", "${IMAGE}", "alpine@sha256:1"] {
		changed(array.concat([["FROM", [], from]], old)) == {"dockerfiles/unpinned"}
	}
	read_by := object.union(document(old), {"directives": {"syntax": "example.org/frontend"}})
	denied({"path": "Dockerfile", "before": document(old), "after": read_by, "changes": []}) == {"dockerfiles/unpinned"}
}

test_nothing_comes_to_run_as_root if {
	every user in ["root", "0", "0:0", "root:app", "\"root\"", "ROOT", "$USER", "00"] {
		with_line(["USER", [], user]) == {"dockerfiles/root"}
	}
	changed(array.slice(old, 0, 4)) == {"dockerfiles/root"}
	with_line(["FROM", [], image]) == {"dockerfiles/root"}
}

test_a_build_stays_apart_and_gets_no_secret if {
	every flag in ["--security=insecure", "--network=host"] {
		with_line(["RUN", [flag], "x"]) == {"dockerfiles/privileged"}
		with_line(["ONBUILD", [], sprintf("RUN %s x", [flag])]) == {"dockerfiles/privileged"}
	}
	every flag in ["--mount=type=secret,id=x", "--mount=id=x,type=ssh", "--mount=type=ssh"] {
		with_line(["RUN", [flag], "x"]) == {"dockerfiles/secrets"}
	}
	every text in ["API_TOKEN=x", "PASSWORD x", "A=b DB_PASSWORD=x", "API_KEY=x"] {
		with_line(["ENV", [], text]) == {"dockerfiles/secrets"}
		with_line(["ARG", [], text]) == {"dockerfiles/secrets"}
	}
}

test_what_is_fetched_is_checked if {
	every text in ["https://example.org/a /a", "HTTP://example.org/a /a", "git@example.org:a/b.git /a", "$URL /a"] {
		with_line(["ADD", [], text]) == {"dockerfiles/fetched"}
	}
}

test_what_cannot_be_read_is_refused if {
	every path in {"Dockerfile", "a/dockerfile.dev", "web.Dockerfile", "Containerfile"} {
		denied({"path": path, "changes": [], "unread": "a line is no instruction"}) == {"dockerfiles/unread"}
	}
	denied({"path": "mydockerfile", "changes": [], "unread": "x"}) == set()
}

written(user) := {"path": "Dockerfile", "unseen": "so", "changes": [], "after": {
	"directives": {},
	"instructions": [{"name": "USER", "flags": [], "text": user, "documents": []}],
}}

test_what_is_written_by_an_interface_says_who_runs_it if {
	every user, ids in {"root": {"dockerfiles/root"}, "+0:1": {"dockerfiles/root"}, "app": set()} {
		{rule.id | some rule in dockerfiles.deny} == ids with input as {"action": {"infrastructure": [written(user)]}}
	}
}

test_who_ran_as_root_may_stay_so if {
	of_root := array.concat(array.slice(old, 0, 4), [["USER", [], "root"]])
	every before in [of_root, array.slice(old, 0, 4)] {
		after := array.concat(before, [["RUN", [], "make"]])
		denied({"path": "Dockerfile", "before": document(before), "after": document(after), "changes": []}) == set()
	}
}

test_only_what_begins_a_stage_names_one if {
	every line in [["RUN", [], "echo as alpine"], ["FROM", [], sprintf("%s x alpine", [image])]] {
		denied({"path": "Dockerfile", "after": document([line, ["FROM", [], "alpine"]]), "changes": []}) == {"dockerfiles/unpinned"}
	}
	stages := [["FROM", [], sprintf("%s AS Build", [image])], ["FROM", [], "build AS test"], ["FROM", [], "scratch"], ["COPY", ["--from=BUILD"], "/x /x"]]
	denied({"path": "Dockerfile", "after": document(stages), "changes": []}) == set()
}

test_what_says_no_digest_checks_nothing if {
	every flag in ["--checksum=sha256:x", "--chown=app", "--checksum=md5:0123456789abcdef0123456789abcdef"] {
		with_line(["ADD", [flag], "https://example.org/a /a"]) == {"dockerfiles/fetched"}
	}
	with_line(["RUN", [], "TOKEN=x make"]) == set()
}
