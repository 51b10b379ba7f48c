package agentguard.sandbox_files_test

import data.agentguard.sandbox

request(changes) := {"request": object.union(
	{"network": "isolated", "ports": [], "environment": [], "git_directories": [".git"], "profile": null},
	changes,
)}

test_the_system_is_read_and_nothing_is_written if {
	{"/usr", "/etc"} & sandbox.read == {"/usr", "/etc"} with input as request({})
	not "/" in sandbox.read with input as request({})
	not "/root" in sandbox.read with input as request({})
	not "/run" in sandbox.read with input as request({"network": "host"})
	not data.agentguard.sandbox.write with input as request({})
}

test_the_host_network_is_asked_for if {
	sandbox.network == {"isolated"} with input as request({})
	"host" in sandbox.network with input as request({"network": "host"})
}

test_ports_are_those_asked_for if {
	sandbox.ports == {8080} with input as request({"ports": [8080]})
	sandbox.ports == set() with input as request({})
}

test_credentials_are_not_handed_on if {
	names := sandbox.environment with input as request({})
	every name in {"GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "LD_PRELOAD"} {
		not name in names
	}
}

test_variables_are_added_by_name_but_not_the_runners if {
	names := sandbox.environment with input as request({"environment": ["MODEL_KEY", "GITHUB_ENV", "ACTIONS_RUNTIME_TOKEN"]})
	"MODEL_KEY" in names
	not "GITHUB_ENV" in names
	not "ACTIONS_RUNTIME_TOKEN" in names
}

test_a_sanitizer_looks_for_no_leaks_unless_somebody_asks if {
	{"name": "LSAN_OPTIONS", "value": "detect_leaks=0"} in sandbox.variables with input as request({})
	asked := request({"environment": ["LSAN_OPTIONS"]})
	not "LSAN_OPTIONS" in {one.name | some one in sandbox.variables} with input as asked
	"LSAN_OPTIONS" in sandbox.environment with input as asked
}

test_names_are_looked_up_where_the_host_does_on_its_network_only if {
	"/run/systemd/resolve" in sandbox.read with input as request({"network": "host"})
	not "/run/systemd/resolve" in sandbox.read with input as request({})
}

test_toolchains_are_read_and_crates_where_they_cannot_be_fetched if {
	crates := ".cargo/registry/cache/index.crates.io-1949cf8c6b5b557f"
	{".cargo/bin", crates} & sandbox.home_read == {".cargo/bin", crates} with input as request({})
	not ".cargo/registry" in sandbox.home_read with input as request({})
	not crates in sandbox.home_read with input as request({"network": "host"})
}

test_use_is_bounded_and_usual_variables_pass if {
	sandbox.processes == {4096} with input as request({})
	sandbox.files == {65536} with input as request({})
	sandbox.temporary_bytes == {4294967296} with input as request({})
	{"PATH", "LC_*"} & sandbox.environment == {"PATH", "LC_*"} with input as request({})
}

told(asked) := ids if {
	ids := {rule.id | some rule in sandbox.covered; not rule.id in {"persistence/pinned", "secrets/masked"}} with input as asked
}

test_what_keeps_a_session_is_told if {
	always := {"files/not-granted", "files/read-only", "sockets/datagram"}
	told(request({})) == always | {"network/isolated"}
	told(request({"network": "host"})) == always
	gated := {rule.id | some rule in sandbox.covered} with input as request({}) with sandbox.hosts as {"a.example.org"}
	"network/gated" in gated
	not "network/isolated" in gated
	own := {rule.id | some rule in sandbox.covered} with input as request({"network": "host"}) with sandbox.hosts as {"a.example.org"}
	not "network/gated" in own
}
