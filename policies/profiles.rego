# What particular agents need besides, by `--profile`: where their programs may lie in the human's home, which
# settings pass, what keeps them from calling home, and what of their own protection is turned off.
#
# Their state is their own: it stays in the agent's home from session to session, and nothing of the human's
# (`.claude`, `.codex`, `.copilot`, `.gemini`, `.config/opencode`) is seen. A key is lent as a credential of the model's
# name (`agentguard credential add anthropic --for anthropic`), or handed over with `--env NAME`. Where
# the model has one host, that is reached through the gate; else, and at a weaker level, through `--port` (a gateway on
# the loopback) or `--network=host`.
package agentguard.sandbox

profiles contains name if some name, _ in _profiles

_profiles := {
	"claude-code": {
		"command": "claude",
		"credentials": {"anthropic": {"ANTHROPIC_API_KEY"}},
		"hosts": ["api.anthropic.com"],
		"programs": [".claude/local", ".local/share/claude"],
		"settings": [
			"ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL",
			"BASH_DEFAULT_TIMEOUT_MS", "BASH_MAX_TIMEOUT_MS", "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
			"MAX_THINKING_TOKENS",
		],
		"variables": {
			"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
			"DISABLE_AUTOUPDATER": "1",
			"DISABLE_ERROR_REPORTING": "1",
			"DISABLE_TELEMETRY": "1",
		},
		"arguments": [],
	},
	"codex": {
		"command": "codex",
		"credentials": {"openai": {"OPENAI_API_KEY"}},
		"hosts": ["api.openai.com"],
		"programs": [".codex/packages"],
		"settings": [],
		"variables": {},
		# It has no variables for these.
		"arguments": [
			["--config", "analytics.enabled=false"],
			["--config", "check_for_update_on_startup=false"],
		],
	},
	"copilot": {
		"command": "copilot",
		"credentials": {"github": {"COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"}},
		"hosts": [],
		"programs": [],
		"settings": [
			"COPILOT_MODEL", "COPILOT_OFFLINE", "COPILOT_PROVIDER_BASE_URL",
			"COPILOT_PROVIDER_MAX_OUTPUT_TOKENS", "COPILOT_PROVIDER_MAX_PROMPT_TOKENS",
			"COPILOT_PROVIDER_MODEL_ID", "COPILOT_PROVIDER_TYPE", "COPILOT_PROVIDER_WIRE_API",
			"COPILOT_PROVIDER_WIRE_MODEL",
		],
		"variables": {"COPILOT_AUTO_UPDATE": "false"},
		"arguments": [["--disable-client-telemetry"]],
	},
	"gemini-cli": {
		"command": "gemini",
		"credentials": {"gemini": {"GEMINI_API_KEY"}},
		"hosts": ["generativelanguage.googleapis.com"],
		"programs": [],
		"settings": [
			"GEMINI_MODEL", "GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_PROJECT", "GOOGLE_GEMINI_BASE_URL",
			"GOOGLE_GENAI_USE_VERTEXAI",
		],
		"variables": {"GEMINI_TELEMETRY_ENABLED": "false"},
		"arguments": [],
	},
	"opencode": {
		"command": "opencode",
		# It asks whichever model it is told to.
		"credentials": {
			"anthropic": {"ANTHROPIC_API_KEY"},
			"gemini": {"GEMINI_API_KEY"},
			"openai": {"OPENAI_API_KEY"},
		},
		"hosts": [],
		"programs": [".opencode/bin"],
		"settings": [],
		"variables": {
			"OPENCODE_DISABLE_AUTOUPDATE": "1",
			"OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
			"OPENCODE_DISABLE_MODELS_FETCH": "1",
		},
		"arguments": [],
	},
}

_profile := _profiles[input.request.profile]

# npm's global packages, for whoever keeps them in their home: each of these agents comes from npm, too.
home_read contains path if some path in array.concat([".npm-global"], _profile.programs)

environment contains name if some name in _profile.settings

# A weaker level has no gate.
hosts contains host if {
	input.request.level == "full"
	some host in _profile.hosts
}

# An agent that reads what stands for its key says it to its model from then on.
conversations contains host if {
	input.request.level == "full"
	some host in _profile.hosts
}

# Whoever hands the key itself over needs nothing that stands for it.
credentials contains name if {
	input.request.level == "full"
	some name, names in _profile.credentials
	count(names & {given | some given in input.request.environment}) == 0
}

# What is named with `--env` is the human's to set.
variables contains {"name": name, "value": value} if {
	some name, value in object.union(_profile.variables, _switch.variables)
	not name in input.request.environment
}

arguments contains words if {
	_is_started
	some words in array.concat(_profile.arguments, _switch.arguments)
}

# Words are for the agent's own command; what `sh -c` or `npx` starts gets none.
_is_started if {
	names := split(input.request.command[0], "/")
	_profile.command == names[count(names) - 1]
}

# They gather what a child says, and drop it where the child could not be started.
mute contains _profile.command if input.request.profile in {"copilot", "opencode"}

# What turns an agent's own sandbox off, unless whoever starts it asks for that by one of these words. It would
# need user namespaces and mounts, which a session does not have: each of its commands would fail, or in some run
# without it and without a word. This session's confinement holds what it would have held.
_switches := {
	"claude-code": {
		"variables": {},
		"arguments": [["--settings", `{"sandbox":{"enabled":false}}`]],
		"unless": {"--settings"},
	},
	"codex": {
		"variables": {},
		"arguments": [["--config", "sandbox_mode=danger-full-access"]],
		"unless": {"--approve-for-me", "--sandbox", "-s"},
	},
	"copilot": {"variables": {}, "arguments": [["--no-sandbox"]], "unless": {"--sandbox"}},
	"gemini-cli": {
		"variables": {"GEMINI_SANDBOX": "false"},
		"arguments": [],
		"unless": {"--sandbox", "-s"},
	},
}

default _switch := {"variables": {}, "arguments": []}

_switch := _switches[input.request.profile] if not _is_asked_for

_is_asked_for if {
	some word in input.request.command
	split(word, "=")[0] in _switches[input.request.profile].unless
}

switched_off contains {
	"id": "profile/own-sandbox",
	"reason": sprintf("the own sandbox of `%s` needs namespaces and mounts, which a session does not have", [input.request.profile]),
	"remedy": "rely on this session's confinement, which holds for everything the agent starts",
} if {
	_turns_off
}

_turns_off if {
	_is_started
	count(_switch.arguments) > 0
}

_turns_off if {
	some name, _ in _switch.variables
	not name in input.request.environment
}
