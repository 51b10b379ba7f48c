package agentguard.push.containers_test

import data.agentguard.push.containers

digest := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

old := {"services": {"web": {"build": ".", "volumes": ["/srv:/srv"], "ports": ["80:80"]}, "db": {"image": "postgres:16"}}}

compose(before, after) := denied({"path": "compose.yaml", "before": before, "after": after, "changes": []})

denied(file) := ids if {
	ids := {rule.id | some rule in containers.deny} with input as {"action": {"infrastructure": [file]}}
}

web(key, value) := compose(old, object.union(old, {"services": {"web": {key: value}}}))

test_what_was_there_may_stay if {
	compose(old, old) == set()
	web("environment", {"A": "b"}) == set()
	web("command", ["serve"]) == set()
	compose(old, {"services": {"web": old.services.web}}) == set()
	compose(old, null) == set()
}

test_a_container_gets_no_rights_over_its_machine if {
	every row in [
		["privileged", true], ["privileged", "yes"], ["privileged", "${X}"], ["network_mode", "host"], ["pid", "host"],
		["ipc", "host"], ["userns_mode", "host"], ["pid", 1], ["network_mode", "container:x"], ["pid", "${X}"], ["cap_add", ["SYS_ADMIN"]],
		["devices", ["/dev/kvm"]], ["security_opt", ["seccomp:unconfined"]], ["volumes_from", ["container:x"]],
		["use_api_socket", true], ["build", {"context": ".", "privileged": true}],
		["build", {"context": ".", "entitlements": ["security.insecure"]}],
	] {
		web(row[0], row[1]) == {"containers/privileged"}
	}
	every row in [["privileged", false], ["network_mode", "none"], ["network_mode", "service:db"], ["ipc", "private"]] {
		web(row[0], row[1]) == set()
	}
}

test_a_container_gets_no_files_of_its_machine if {
	every volume in [
		"/:/host", "/var/run/docker.sock:/var/run/docker.sock", "../..:/x", "./../x:/x", "~/.ssh:/x", "${HOME}:/x", "./$X:/x", "data:${X}", {"type": "bind", "source": "./$X", "target": "/x"},
		{"type": "bind", "source": "/", "target": "/x"}, {"type": "bind", "source": "./a/../../b", "target": "/x"},
		{"type": "npipe", "source": "x"}, {"type": "volume", "source": "${X}"}, 1,
	] {
		web("volumes", [volume]) == {"containers/mount"}
	}
	every volume in ["data:/x", "./src:/src:ro", ".:/src", {"type": "bind", "source": "./src", "target": "/x"}, {"type": "tmpfs", "target": "/x"}] {
		web("volumes", [volume]) == set()
	}
	compose(old, object.union(old, {"volumes": {"x": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}}})) == {"containers/mount"}
	compose(old, object.union(old, {"volumes": {"x": null}})) == set()
	compose(old, object.union(old, {"secrets": {"x": {"file": "/etc/shadow"}}})) == {"containers/mount"}
	compose(old, object.union(old, {"configs": {"x": {"file": "./x"}}})) == set()
}

test_nobody_is_let_in if {
	every port in ["8080:80", "80", 80, "0.0.0.0:80:80", "[::]:80:80", "${IP}:80:80", {"target": 80, "published": "80"}, {"target": 80, "host_ip": "0.0.0.0"}] {
		web("ports", [port]) == {"containers/port"}
	}
	every port in ["127.0.0.1:8080:80", "127.0.0.1::80", "[::1]:80:80/tcp", {"target": 80, "host_ip": "127.0.0.1"}] {
		web("ports", [port]) == set()
	}
}

test_images_are_pinned if {
	every image in ["redis", "redis:7", "redis@sha256:1", "${IMAGE}", sprintf("redis@%s ", [digest]), 7] {
		compose(old, object.union(old, {"services": {"cache": {"image": image}}})) == {"containers/unpinned"}
	}
	compose(old, object.union(old, {"services": {"cache": {"image": sprintf("redis:7@%s", [digest])}}})) == set()
	web("image", "ours/web") == set()
}

test_nothing_is_taken_from_elsewhere if {
	compose(old, object.union(old, {"include": ["https://example.org/x.git"]})) == {"containers/elsewhere"}
	web("extends", {"file": "../x.yaml", "service": "y"}) == {"containers/elsewhere"}
	web("provider", {"type": "x"}) == {"containers/elsewhere"}
}

test_what_cannot_be_read_is_refused if {
	every path in {"compose.yml", "docker-compose.yml", "a/Docker-Compose.override.yaml", "compose.prod.yaml"} {
		denied({"path": path, "changes": [], "unread": "`a` stands twice"}) == {"containers/unread"}
	}
	denied({"path": "composer.yaml", "changes": [], "unread": "x"}) == set()
}

test_nothing_is_built_from_elsewhere if {
	every build in [
		"https://example.org/a.git", "github.com/a/b/", "git@example.org:a", {"context": "https://example.org/a.git"}, {"context": "${X}"},
		{"context": ".", "dockerfile_inline": "FROM a"}, {"context": ".", "additional_contexts": {"a": "docker-image://b"}},
	] {
		after := {"services": {"web": {"build": build}}}
		one := {"path": "docker-compose-dev.yml", "after": after, "changes": []}
		{rule.id | some rule in containers.deny} == {"containers/elsewhere"} with input as {"action": {"infrastructure": [one]}}
	}
	every build in [".", "./web", "web/app", {"context": "./web", "dockerfile": "Dockerfile"}] {
		one := {"path": "compose.yaml", "after": {"services": {"web": {"build": build}}}, "changes": []}
		{rule.id | some rule in containers.deny} == set() with input as {"action": {"infrastructure": [one]}}
	}
}

test_what_is_run_in_it_later_gets_no_rights_either if {
	one := {"path": "compose.yaml", "after": {"services": {"web": {"build": ".", "post_start": [{"command": "x", "privileged": true}]}}}, "changes": []}
	{rule.id | some rule in containers.deny} == {"containers/privileged"} with input as {"action": {"infrastructure": [one]}}
}

test_what_says_no_gives_no_rights if {
	web("build", {"context": ".", "privileged": false}) == set()
	web("build", {"context": null}) == set()
	web("post_start", [{"command": "x", "privileged": false}, {"command": "x"}]) == set()
	compose(old, object.union(old, {"volumes": {"x": {"labels": {"a": "b"}}}})) == set()
}

test_what_is_no_service_starts_nothing if {
	every services in [null, "x", ["x"], {"web": null}, {"web": "x"}, {"web": ["x"]}] {
		compose(old, {"services": services}) == set()
		compose(null, {"services": services}) == set()
	}
	compose(null, {"services": {"web": {"image": "redis", "privileged": true}}}) == {"containers/privileged", "containers/unpinned"}
}
