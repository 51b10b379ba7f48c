# What particular agents need besides, by `--profile`.
package agentguard.sandbox

# Claude Code keeps its state in the agent's own home. Its key is lent with `--env ANTHROPIC_API_KEY`,
# its model is reached through `--port` (a gateway on the loopback) or `--network=host`.
home_read contains path if {
	input.request.profile == "claude-code"
	some path in [".claude/local", ".local/share/claude", ".npm-global"]
}

environment contains name if {
	input.request.profile == "claude-code"
	some name in [
		"ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "BASH_DEFAULT_TIMEOUT_MS",
		"BASH_MAX_TIMEOUT_MS", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
		"DISABLE_AUTOUPDATER", "DISABLE_ERROR_REPORTING", "DISABLE_TELEMETRY", "MAX_THINKING_TOKENS",
	]
}
