# What particular agents need besides, by `--profile`.
package agentguard.sandbox

# Claude Code keeps its state in the agent's own home. Its key is lent with `--env ANTHROPIC_API_KEY`,
# its model is reached through the gate; at a weaker level there is none, and `--network=host` reaches it.
hosts contains "api.anthropic.com" if {
	input.request.profile == "claude-code"
	input.request.level == "full"
}

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
