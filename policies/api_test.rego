package agentguard.api.requests_test

import data.agentguard.api.requests

ask(method, host, path) := {"action": {
	"kind": "api", "scheme": "https", "host": host, "port": 443, "method": method, "path": path, "query": {},
	"headers": {}, "address": "192.0.2.1", "class": "public", "caller": "/usr/bin/curl",
}}

allowed contains rule.id if some rule in requests.allow

denied contains rule.id if some rule in requests.deny

test_what_reads_is_allowed_and_what_changes_is_not if {
	every method in ["GET", "HEAD", "OPTIONS"] {
		allowed == {"api/reading"} with input as ask(method, "a.example.org", [""])
	}
	every method in ["POST", "PUT", "PATCH", "DELETE"] {
		count(allowed) == 0 with input as ask(method, "a.example.org", ["x"])
	}
}

test_a_mutation_is_none_that_reads_however_it_is_sent if {
	every operation, ids in {"query": {"api/reading"}, "mutation": set(), "subscription": set()} {
		asked := object.union(ask("GET", "a.example.org", ["graphql"]), {"action": {"graphql": [
			{"operation": "query", "field": "a", "arguments": {}},
			{"operation": operation, "field": "a", "arguments": {}},
		]}})
		allowed == ids with input as asked
	}
}

test_an_upgrade_needs_a_rule_of_its_own if {
	asked := object.union(ask("CONNECT", "a.example.org", ["x"]), {"action": {"upgrade": "websocket"}})
	count(allowed) == 0 with input as asked
	count(denied) == 0 with input as asked
}

test_registries_are_read if {
	allowed == {"api/reading"} with input as ask("GET", "registry.npmjs.org", ["left-pad"])
	allowed == {"api/reading"} with input as ask("GET", "pypi.org", ["simple", "requests", ""])
	allowed == {"api/reading"} with input as ask("GET", "index.crates.io", ["se", "rd", "serde"])
	allowed == {"api/reading"} with input as ask("GET", "proxy.golang.org", ["golang.org", "x", "net", "@v", "list"])
	count(allowed) == 0 with input as ask("PUT", "registry.npmjs.org", ["left-pad"])
	count(allowed) == 0 with input as ask("POST", "upload.pypi.org", ["legacy", ""])
	count(allowed) == 0 with input as ask("PUT", "crates.io", ["api", "v1", "crates", "new"])
	allowed == {"api/registry-audit"} with input as ask("POST", "registry.npmjs.org", ["-", "npm", "v1", "security", "audits", "quick"])
	count(allowed) == 0 with input as ask("POST", "registry.npmjs.org", ["-", "npm", "v1", "tokens"])
}

test_models_are_asked_and_nothing_else_of_theirs if {
	allowed == {"api/model"} with input as ask("POST", "api.anthropic.com", ["v1", "messages"])
	allowed == {"api/model"} with input as ask("POST", "api.openai.com", ["v1", "responses"])
	allowed == {"api/model"} with input as ask("POST", "generativelanguage.googleapis.com", ["v1beta", "models", "m:generateContent"])
	count(allowed) == 0 with input as ask("POST", "api.anthropic.com", ["v1", "files"])
	count(allowed) == 0 with input as ask("POST", "api.anthropic.com.example.org", ["v1", "messages"])
	count(allowed) == 0 with input as ask("POST", "api.openai.com", ["v1", "chat", "completions", "x"])
	denied == {"api/account"} with input as ask("GET", "api.anthropic.com", ["v1", "organizations", "users"])
}

test_git_fetches_and_what_it_pushes_is_judged_by_itself if {
	allowed == {"api/git-fetch"} with input as ask("POST", "git.example.org", ["o", "r.git", "git-upload-pack"])
	allowed == {"api/git-push"} with input as ask("POST", "git.example.org", ["o", "r.git", "git-receive-pack"])
	count(allowed) == 0 with input as ask("POST", "git.example.org", ["o", "r.git", "git-receive-pack", ""])
	count(allowed) == 0 with input as ask("PROPFIND", "git.example.org", ["o", "r.git", "info", "refs"])
}

test_metadata_is_never_asked if {
	one := object.union(ask("GET", "a.example.org", ["x"]), {"action": {"class": "metadata"}})
	denied == {"network/metadata"} with input as one
}
