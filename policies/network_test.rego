package agentguard.reach.network_test

import data.agentguard.reach.network

to(granted, class) := {"action": {
	"kind": "reach", "by": "connect", "host": "a.example.org", "port": 443, "class": class, "granted": granted, "caller": "/usr/bin/curl",
}}

lookup(granted) := {"action": {
	"kind": "reach", "by": "lookup", "host": "a.example.org", "granted": granted, "caller": "/usr/bin/curl",
}}

denied contains rule.id if some rule in network.deny

test_what_is_granted_is_allowed if {
	{rule.id | some rule in network.allow} == {"network/granted"} with input as lookup(true)
	count(denied) == 0 with input as lookup(true)
	count(denied) == 0 with input as to(true, "public")
}

test_what_is_not_is_denied if {
	every asked in [lookup(false), to(false, "public"), to(false, "private")] {
		count(network.allow) == 0 with input as asked
		denied == {"network/not-granted"} with input as asked
	}
}

test_a_connection_that_is_not_looked_into_is_allowed_where_it_was_granted if {
	tunnel := object.union(to(true, "private"), {"action": {"by": "tunnel"}})
	{rule.id | some rule in network.allow} == {"network/uninspected"} with input as tunnel
	count(denied) == 0 with input as tunnel
	metadata := object.union(to(true, "metadata"), {"action": {"by": "tunnel"}})
	denied == {"network/metadata"} with input as metadata
	elsewhere := object.union(to(false, "public"), {"action": {"by": "tunnel"}})
	count(network.allow) == 0 with input as elsewhere
	denied == {"network/not-granted"} with input as elsewhere
}

test_a_name_that_leads_home_is_denied if {
	every class in ["local", "private", "special"] {
		denied == {"network/address"} with input as to(true, class)
	}
}

test_metadata_is_denied_whatever_was_granted if {
	denied == {"network/metadata"} with input as to(true, "metadata")
	denied == {"network/metadata"} with input as to(false, "metadata")
}

test_names_of_metadata_are_denied_though_they_were_granted if {
	denied == {"network/metadata"} with input as object.union(to(true, "public"), {"action": {"host": "metadata.google.internal"}})
	denied == {"network/metadata"} with input as object.union(lookup(false), {"action": {"host": "metadata.google.internal"}})
}
