# Hosts of the network. What a session was granted it reaches through its gate, where each request is judged (api.rego,
# github.rego). What it was not granted is asked about here, so that there is a rule and an entry; whatever a rule
# says, it is not reached.
#
# A policy grants hosts, for ports 80 and 443 or the one that it names, and may say where one is, with
#
#     package agentguard.sandbox
#     hosts contains "*.example.com"
#     addresses contains {"host": "packages.example.com", "at": "10.0.0.5:8443"}
#     uninspected contains "pinned.example.com"
package agentguard.reach.network

import data.agentguard.lib

allow contains {"id": "network/granted", "reason": "the session was granted this host"} if {
	input.action.granted
	input.action.by != "tunnel"
}

# What is said there nobody sees; policy names such hosts with `uninspected`.
allow contains {"id": "network/uninspected", "reason": "policy says that connections to this host are not looked into"} if {
	input.action.granted
	input.action.by == "tunnel"
}

deny contains {
	"id": "network/metadata",
	"reason": "that address tells a cloud's guests who they are, and hands out their keys",
	"remedy": "ask for a credential of the session's own",
} if {
	is_metadata
}

deny contains {
	"id": "network/not-granted",
	"reason": sprintf("the session was not granted `%s`", [input.action.host]),
	"remedy": "use a host that it was granted, or ask for a policy that grants this one",
} if {
	not input.action.granted
	not is_metadata
}

deny contains {
	"id": "network/address",
	"reason": sprintf("`%s` leads to an address that is none of the internet's", [input.action.host]),
	"remedy": "ask for a policy that says where it is, with `addresses`",
} if {
	input.action.granted
	input.action.by != "tunnel"
	input.action.class in {"local", "private", "special"}
}

is_metadata if input.action.class == "metadata"

is_metadata if input.action.host in lib.metadata_hosts
