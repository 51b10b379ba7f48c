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
