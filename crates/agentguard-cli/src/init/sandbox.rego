# What sessions see besides what every session sees. Nothing that is not named exists inside;
# `agentguard exec --plan -- COMMAND` shows what would.
package agentguard.sandbox

# A session ends after two hours.
seconds contains 7200

# Package caches, read-only, relative to your home:
#
#     home_read contains ".cargo/registry"

# A directory outside the workspace:
#
#     read contains "/srv/datasets"

# A file of the workspace that cannot be changed:
#
#     pins contains "Makefile"

# A variable that passes from your environment:
#
#     environment contains "EDITOR"

# A loopback port of the host, without asking by `--port`:
#
#     ports contains 5432

# Hosts, reached through a gate that judges each request (`agentguard.api`) and records it:
#
#     hosts contains "*.crates.io"

# Commits that are signed by the agent's key, which nobody inside has:
#
#     signs contains "commits"

# Commits whose messages name the session and its log:
#
#     trailers contains "session"

# A unix socket of the host. Each connection to it is recorded; what its server does is out of our hands:
#
#     sockets contains "/run/user/1000/ssh-agent"

# Nobody starts a session whom the platform does not name:
#
#     require_evidence contains "event"
