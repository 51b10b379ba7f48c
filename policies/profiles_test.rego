package agentguard.sandbox_profiles_test

import data.agentguard.sandbox

request(profile) := at(profile, "full")

at(profile, level) := {"request": {"profile": profile, "level": level, "network": "isolated", "environment": []}}

test_claude_code_finds_its_program_but_no_key if {
	".local/share/claude" in sandbox.home_read with input as request("claude-code")
	"ANTHROPIC_BASE_URL" in sandbox.environment with input as request("claude-code")
	not "ANTHROPIC_API_KEY" in sandbox.environment with input as request("claude-code")
	not ".claude" in sandbox.home_read with input as request("claude-code")
}

test_claude_code_reaches_its_model_and_no_other_host if {
	sandbox.hosts == {"api.anthropic.com"} with input as request("claude-code")
	count(sandbox.hosts) == 0 with input as at("claude-code", "no-namespaces")
}

test_without_the_profile_nothing_is_added if {
	every profile in {null, "other"} {
		not ".local/share/claude" in sandbox.home_read with input as request(profile)
		not "ANTHROPIC_BASE_URL" in sandbox.environment with input as request(profile)
		count(sandbox.hosts) == 0 with input as request(profile)
	}
}
