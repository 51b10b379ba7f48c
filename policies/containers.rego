# What starts containers: files of compose. A container that is not apart from its machine, holds its files or is somebody
# else's to change is for humans; all else is an agent's work.
package agentguard.push.containers

deny contains {
	"id": "containers/unread",
	"reason": sprintf("`%s` says what containers may do, and cannot be read: %s", [file.path, file.unread]),
	"remedy": "write it so that all readers read the same, or have a human make this change",
} if {
	some file in files
	file.unread
}

deny contains {
	"id": "containers/privileged",
	"reason": sprintf("`%s` lets `%s` have rights over its machine: `%s`", [file.path, found.service, found.what]),
	"remedy": "do without, or have a human make this change",
} if {
	some file in files
	some found in rights(file.after) - rights(before(file))
}

deny contains {
	"id": "containers/mount",
	"reason": sprintf("`%s` gives `%s` files of its machine: `%s`", [file.path, found.service, found.what]),
	"remedy": "use a volume with a name, or a directory below the repository, written as `./…`",
} if {
	some file in files
	some found in mounts(file.after) - mounts(before(file))
}

deny contains {
	"id": "containers/port",
	"reason": sprintf("`%s` lets everybody reach `%s` at `%s`", [file.path, found.service, found.what]),
	"remedy": "name the address that it is for: `127.0.0.1:8080:80`",
} if {
	some file in files
	some found in ports(file.after) - ports(before(file))
}

deny contains {
	"id": "containers/unpinned",
	"reason": sprintf("`%s` starts `%s` from `%s`, which somebody else can change", [file.path, found.service, found.what]),
	"remedy": "name an image by its digest (`@sha256:…`)",
} if {
	some file in files
	some found in images(file.after) - images(before(file))
}

deny contains {
	"id": "containers/elsewhere",
	"reason": sprintf("`%s` takes at `%s` what stands elsewhere: `%s`", [file.path, found.service, found.what]),
	"remedy": "write it out, or build from a directory and a Dockerfile of the repository",
} if {
	some file in files
	some found in elsewhere(file.after) - elsewhere(before(file))
}

files := [file | some file in input.action.infrastructure; is_compose(lower(file.path))]

is_compose(path) if regex.match(`(^|/)(docker-)?compose([._-][^/]*)?\.ya?ml$`, path)

before(file) := object.get(file, "before", null)

services(document) := document.services if is_object(document.services)

rights(document) := {finding("privileged", name, value) |
	some name, body in services(document)
	some key in {"privileged", "use_api_socket"}
	value := body[key]
	value != false
} | {finding(key, name, value) |
	some name, body in services(document)
	some key in {"cgroup", "ipc", "network_mode", "pid", "userns_mode", "uts"}
	value := body[key]
	not is_apart(value)
} | {finding(key, name, value) |
	some name, body in services(document)
	some key in {
		"cap_add", "cgroup_parent", "credential_spec", "device_cgroup_rules", "devices", "gpus", "runtime", "security_opt",
		"sysctls", "volumes_from",
	}
	value := body[key]
} | {finding("build", name, body.build[key]) |
	some name, body in services(document)
	some key in {"entitlements", "network", "privileged", "secrets", "ssh"}
	body.build[key]
} | {finding(key, name, one) |
	some name, body in services(document)
	some key in {"post_start", "pre_stop"}
	some one in body[key]
	one.privileged != false
}

# What a variable stands for is not known.
is_apart(value) if value in {"bridge", "none", "private", "shareable"}

# The service is one of the same file.
is_apart(value) if {
	is_string(value)
	regex.match(`^service:[A-Za-z0-9_.-]+$`, value)
}

mounts(document) := {finding("volumes", name, value) |
	some name, body in services(document)
	some value in body.volumes
	not is_own(value)
} | {finding("volumes", name, body.volumes) |
	some name, body in services(document)
	not is_array(body.volumes)
} | {finding("volumes", name, value) |
	some name, value in document.volumes
	some key in {"driver", "driver_opts"}
	value[key]
} | {finding(kind, name, value) |
	some kind in {"configs", "secrets"}
	some name, value in document[kind]
	not is_below(object.get(value, "file", ""))
}

is_own(value) if {
	is_string(value)
	not contains(value, "$")
	is_below(split(value, ":")[0])
}

is_own(value) if {
	value.type == "bind"
	is_below(value.source)
}

is_own(value) if {
	value.type in {"tmpfs", "volume"}
	not contains(sprintf("%v", [value]), "$")
}

# A name, or what is below the repository.
is_below(source) if regex.match(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`, source)

is_below(source) if source in {"", ".", "./"}

is_below(source) if {
	startswith(source, "./")
	not ".." in split(source, "/")
	not contains(source, "$")
}

ports(document) := {finding("ports", name, value) |
	some name, body in services(document)
	some value in body.ports
	not is_near(value)
} | {finding("ports", name, body.ports) |
	some name, body in services(document)
	not is_array(body.ports)
}

is_near(value) if {
	is_string(value)
	regex.match(`^(127\.0\.0\.1|\[::1\]):[0-9-]*:[0-9-]+(/(tcp|udp))?$`, value)
}

is_near(value) if {
	value.host_ip in {"127.0.0.1", "::1"}
}

images(document) := {finding("image", name, body.image) |
	some name, body in services(document)
	not is_pinned(body)
}

is_pinned(body) if {
	is_string(body.image)
	regex.match(`^[a-z0-9][A-Za-z0-9_.:/-]*@sha256:[0-9a-f]{64}$`, body.image)
}

# Its own, by the name that it is given.
is_pinned(body) if body.build

elsewhere(document) := {finding(key, key, value) |
	some key in {"extends", "include"}
	value := document[key]
} | {finding("extends", name, body.extends) |
	some name, body in services(document)
} | {finding("build", name, body.build[key]) |
	some name, body in services(document)
	some key in {"additional_contexts", "cache_from", "dockerfile_inline"}
} | {finding("build", name, context) |
	some name, body in services(document)
	context := body.build
	is_string(context)
	regex.match(`://|@|\$|^[^./][^/]*\.[^/]+/`, context)
} | {finding("build", name, context) |
	some name, body in services(document)
	context := body.build.context
	is_string(context)
	regex.match(`://|@|\$|^[^./][^/]*\.[^/]+/`, context)
} | {finding("provider", name, body.provider) |
	some name, body in services(document)
}

finding(key, service, value) := {"service": service, "what": sprintf("%s: %v", [key, value])}
