# Unix sockets of the host. A session reaches those that policy grants, and each connection is judged here;
# sockets that its own processes listen on are its own, and not asked about.
#
# A policy grants one with
#
#     package agentguard.sandbox
#     sockets contains "/run/user/1000/ssh-agent"
package agentguard.connect.sockets

allow contains {"id": "sockets/granted", "reason": "the session was granted this socket"} if {
	input.action.granted
}

deny contains {
	"id": "sockets/not-granted",
	"reason": "a process outside the session listens there, or the kernel does not tell who does",
	"remedy": "talk to servers started in the session, which may listen below /tmp, or ask for a policy that grants the socket",
} if {
	not input.action.granted
}
