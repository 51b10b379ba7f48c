package agentguard.sandbox_profiles_test

import data.agentguard.sandbox

request(profile, command) := asked(profile, command, [])

asked(profile, command, environment) := {"request": {
	"profile": profile,
	"command": command,
	"level": "full",
	"network": "isolated",
	"environment": environment,
}}

known := {"claude-code", "codex", "copilot", "gemini-cli", "opencode"}

test_known_agents_have_a_profile if {
	sandbox.profiles == known with input as request(null, ["true"])
}

test_claude_code_finds_its_program_but_no_key if {
	asking := request("claude-code", ["claude"])
	".local/share/claude" in sandbox.home_read with input as asking
	"ANTHROPIC_BASE_URL" in sandbox.environment with input as asking
	not "ANTHROPIC_API_KEY" in sandbox.environment with input as asking
	not ".claude" in sandbox.home_read with input as asking
}

test_each_finds_npm_s_packages_and_nothing_of_the_human_s_state if {
	every profile in known {
		".npm-global" in sandbox.home_read with input as request(profile, ["x"])
		every place in {".claude", ".codex", ".copilot", ".gemini", ".config/opencode", ".local/share/opencode"} {
			not place in sandbox.home_read with input as request(profile, ["x"])
		}
	}
}

test_each_reaches_its_model_and_no_other_host if {
	hosts := {
		"claude-code": {"api.anthropic.com"},
		"codex": {"api.openai.com"},
		"copilot": set(),
		"gemini-cli": {"generativelanguage.googleapis.com"},
		"opencode": set(),
	}
	every profile, expected in hosts {
		sandbox.hosts == expected with input as request(profile, ["x"])
		sandbox.conversations == expected with input as request(profile, ["x"])
		weaker := object.union(request(profile, ["x"]), {"request": {"level": "no-namespaces"}})
		sandbox.hosts == set() with input as weaker
		sandbox.conversations == set() with input as weaker
	}
}

test_each_is_lent_the_key_of_its_model if {
	names := {
		"claude-code": {"anthropic"},
		"codex": {"openai"},
		"copilot": {"github"},
		"gemini-cli": {"gemini"},
		"opencode": {"anthropic", "gemini", "openai"},
	}
	every profile, expected in names {
		sandbox.credentials == expected with input as request(profile, ["x"])
		weaker := object.union(request(profile, ["x"]), {"request": {"level": "no-namespaces"}})
		sandbox.credentials == set() with input as weaker
	}
}

test_a_key_that_is_handed_over_is_not_lent_as_well if {
	given := object.union(request("claude-code", ["x"]), {"request": {"environment": ["ANTHROPIC_API_KEY"]}})
	sandbox.credentials == set() with input as given
}

test_no_key_passes_by_a_profile if {
	every profile in known {
		names := sandbox.environment with input as request(profile, ["x"])
		every name in names {
			not regex.match(`_KEY|TOKEN$|SECRET`, name)
		}
	}
}

test_each_is_kept_from_calling_home if {
	{"name": "DISABLE_TELEMETRY", "value": "1"} in sandbox.variables with input as request("claude-code", ["claude"])
	["--config", "analytics.enabled=false"] in sandbox.arguments with input as request("codex", ["codex", "exec"])
	["--disable-client-telemetry"] in sandbox.arguments with input as request("copilot", ["copilot"])
	{"name": "GEMINI_TELEMETRY_ENABLED", "value": "false"} in sandbox.variables with input as request("gemini-cli", ["gemini"])
	{"name": "OPENCODE_DISABLE_AUTOUPDATE", "value": "1"} in sandbox.variables with input as request("opencode", ["opencode"])
}

test_a_variable_that_is_asked_for_is_the_human_s if {
	asking := asked("claude-code", ["claude"], ["DISABLE_TELEMETRY"])
	variables := sandbox.variables with input as asking
	every variable in variables {
		variable.name != "DISABLE_TELEMETRY"
	}
	"DISABLE_TELEMETRY" in sandbox.environment with input as asking
}

off(asking) := ids if {
	ids := {rule.id | some rule in sandbox.switched_off} with input as asking
}

test_an_agent_s_own_sandbox_is_off_and_it_is_said if {
	["--settings", `{"sandbox":{"enabled":false}}`] in sandbox.arguments with input as request("claude-code", ["/opt/bin/claude"])
	["--config", "sandbox_mode=danger-full-access"] in sandbox.arguments with input as request("codex", ["codex"])
	["--no-sandbox"] in sandbox.arguments with input as request("copilot", ["copilot"])
	{"name": "GEMINI_SANDBOX", "value": "false"} in sandbox.variables with input as request("gemini-cli", ["gemini"])
	every profile, command in {"claude-code": "claude", "codex": "codex", "copilot": "copilot", "gemini-cli": "gemini"} {
		off(request(profile, [command])) == {"profile/own-sandbox"}
	}
	off(request("opencode", ["opencode"])) == set()
}

test_an_own_sandbox_that_is_asked_for_by_name_is_left_and_nothing_else_is_said if {
	asking := {
		"claude-code": ["claude", "--settings", "{}"],
		"codex": ["codex", "exec", "--sandbox=workspace-write"],
		"copilot": ["copilot", "--sandbox"],
		"gemini-cli": ["gemini", "-s"],
	}
	every profile, command in asking {
		off(request(profile, command)) == set()
		every words in {["--no-sandbox"], ["--config", "sandbox_mode=danger-full-access"], ["--settings", `{"sandbox":{"enabled":false}}`]} {
			not words in sandbox.arguments with input as request(profile, command)
		}
	}
	off(asked("gemini-cli", ["gemini"], ["GEMINI_SANDBOX"])) == set()
}

test_words_are_for_the_agent_s_own_command if {
	every command in {["sh", "-c", "codex"], ["npx", "codex"], ["./codex-fake"]} {
		added := sandbox.arguments with input as request("codex", command)
		count(added) == 0
		off(request("codex", command)) == set()
	}
}

test_without_a_profile_nothing_is_added if {
	every profile in {null, "other"} {
		asking := request(profile, ["claude"])
		not ".local/share/claude" in sandbox.home_read with input as asking
		not "ANTHROPIC_BASE_URL" in sandbox.environment with input as asking
		set_anyway := {{"name": "LSAN_OPTIONS", "value": "detect_leaks=0"}}
		added := [sandbox.variables - set_anyway, sandbox.arguments, sandbox.switched_off, sandbox.mute, sandbox.hosts, sandbox.credentials] with input as asking
		every set in added {
			count(set) == 0
		}
	}
}

test_who_drops_a_child_s_words_is_known if {
	sandbox.mute == {"copilot"} with input as request("copilot", ["copilot"])
	sandbox.mute == {"opencode"} with input as request("opencode", ["opencode"])
	quiet := sandbox.mute with input as request("codex", ["codex"])
	count(quiet) == 0
}
