package agentguard.connect.sockets_test

import data.agentguard.connect.sockets

to(granted) := {"action": {"kind": "connect", "path": "/run/x", "granted": granted, "caller": "/usr/bin/ssh"}}

test_what_is_granted_is_allowed if {
	{rule.id | some rule in sockets.allow} == {"sockets/granted"} with input as to(true)
	count(sockets.deny) == 0 with input as to(true)
}

test_what_is_not_is_denied if {
	count(sockets.allow) == 0 with input as to(false)
	{rule.id | some rule in sockets.deny} == {"sockets/not-granted"} with input as to(false)
}
