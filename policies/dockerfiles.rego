# Dockerfiles: what an image is built from, by whom what is in it runs, and what a build may touch. The rest is an agent's work.
package agentguard.push.dockerfiles

deny contains {
	"id": "dockerfiles/unread",
	"reason": sprintf("`%s` says what an image is made of, and cannot be read: %s", [file.path, file.unread]),
	"remedy": "write it so that all readers read the same, or have a human make this change",
} if {
	some file in files
	file.unread
}

deny contains {
	"id": "dockerfiles/unpinned",
	"reason": sprintf("`%s` builds on `%s`, which somebody else can change", [file.path, image]),
	"remedy": "name an image by its digest (`@sha256:…`)",
} if {
	some file in files
	some image in images(file.after) - images(before(file))
	not regex.match(`^[a-z0-9][A-Za-z0-9_.:/-]*@sha256:[0-9a-f]{64}$`, image)
}

deny contains {
	"id": "dockerfiles/root",
	"reason": sprintf("`%s` has what is in the image run as root", [file.path]),
	"remedy": "end with a `USER` that is not root",
} if {
	some file in files
	is_root(file.after)
	not is_root(before(file))
}

deny contains {
	"id": "dockerfiles/fetched",
	"reason": sprintf("`%s` adds `%s`, which somebody else can change", [file.path, said]),
	"remedy": "add it with `--checksum=sha256:…`, or from the repository",
} if {
	some file in files
	some said in fetched(file.after) - fetched(before(file))
}

deny contains {
	"id": "dockerfiles/privileged",
	"reason": sprintf("`%s` has a step of the build that is not apart from its machine: `%s`", [file.path, said]),
	"remedy": "do without, or have a human make this change",
} if {
	some file in files
	some said in privileged(file.after) - privileged(before(file))
}

deny contains {
	"id": "dockerfiles/secrets",
	"reason": sprintf("`%s` is given a secret, or keeps one in the image: `%s`", [file.path, said]),
	"remedy": "have a human give it to the build",
} if {
	some file in files
	some said in secrets(file.after) - secrets(before(file))
}

# It may have said another before.
deny contains {
	"id": "dockerfiles/root",
	"reason": sprintf("`%s` has what is in the image run as root, or may take that another ran it: %s", [file.path, file.unseen]),
	"remedy": "end with a `USER` that is not root, or push it with git",
} if {
	some file in files
	file.unseen
	is_root(file.after)
}

files := [file | some file in input.action.infrastructure; is_dockerfile(lower(file.path))]

is_dockerfile(path) if regex.match(`(^|/)(dockerfile|containerfile)(\.[^/]*)?$`, path)

is_dockerfile(path) if regex.match(`(^|/)[^/]*\.(dockerfile|containerfile)$`, path)

before(file) := object.get(file, "before", {"directives": {}, "instructions": []})

# The images that stages begin from, and that files come from, but for names of stages; and what reads the file itself.
images(document) := (from | copied) | syntax if {
	stages := {lower(words[2]) |
		some one in document.instructions
		one.name == "FROM"
		words := regex.split(`\s+`, one.text)
		lower(words[1]) == "as"
	}
	from := {image |
		some one in document.instructions
		one.name == "FROM"
		image := regex.split(`\s+`, one.text)[0]
		not lower(image) in stages | {"scratch"}
	}
	copied := {image |
		some one in document.instructions
		some said in array.concat(one.flags, [one.text])
		some match in regex.find_all_string_submatch_n(`(?:--from=|[,=]from=)([^\s,]+)`, said, -1)
		image := match[1]
		not lower(image) in stages
		not regex.match(`^[0-9]+$`, image)
	}
	syntax := {image | image := document.directives.syntax}
}

users(document) := [one.name | some one in document.instructions; one.name in {"FROM", "USER"}]

last_user(document) := [one.text | some one in document.instructions; one.name == "USER"]

is_user_set(document) if {
	said := users(document)
	said[count(said) - 1] == "USER"
}

# Of a variable, it is not known whom it stands for.
is_root(document) if {
	said := last_user(document)
	regex.match(`^["']?(root|[+-]?0+)?["']?(:|$)|\$`, lower(said[count(said) - 1]))
}

is_root(document) if not is_user_set(document)

fetched(document) := {one.text |
	some one in document.instructions
	one.name in {"ADD", "ONBUILD"}
	regex.match(`(?i)(https?|ftp|git|ssh)://|git@|\$`, one.text)
	not is_checked(one)
}

is_checked(one) if {
	some flag in one.flags
	regex.match(`^--checksum=sha256:[0-9a-f]{64}$`, flag)
}

privileged(document) := {said |
	some one in document.instructions
	some said in array.concat(one.flags, [one.text])
	regex.match(`(^|\s)--(security|network)=`, said)
	not said in {"--network=default", "--network=none", "--security=sandbox"}
}

secrets(document) := {said |
	some one in document.instructions
	some said in array.concat(one.flags, [one.text])
	regex.match(`--mount=\S*type=["']?(secret|ssh)|(^|\s)--ssh`, said)
} | {one.text |
	some one in document.instructions
	one.name in {"ARG", "ENV"}
	regex.match(`(?i)(secret|token|passw|api_?key|private_?key|credential)[a-z0-9_]*[ =]`, one.text)
}
