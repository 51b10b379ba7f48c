package agentguard.api.requests_test

import data.agentguard.api.requests

ask(method, host, path) := {"action": {
	"kind": "api", "scheme": "https", "host": host, "port": 443, "method": method, "path": path, "query": {},
	"headers": {}, "address": "192.0.2.1", "class": "public", "caller": "/usr/bin/curl",
}}

allowed contains rule.id if some rule in requests.allow

asked contains rule.id if some rule in requests.ask

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
	allowed == {"api/registry-audit"} with input as ask("POST", "registry.npmjs.org", ["-", "npm", "v1", "security", "audits", "quick"])
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

test_a_human_says_yes_to_what_is_published if {
	every request in [
		ask("PUT", "registry.npmjs.org", ["left-pad"]), ask("DELETE", "registry.npmjs.org", ["left-pad", "-rev", "1"]),
		ask("POST", "registry.npmjs.org", ["-", "npm", "v1", "tokens"]), ask("POST", "upload.pypi.org", ["legacy", ""]),
		ask("PUT", "crates.io", ["api", "v1", "crates", "new"]), ask("DELETE", "crates.io", ["api", "v1", "crates", "a", "1", "yank"]),
		ask("POST", "rubygems.org", ["api", "v1", "gems"]),
	] {
		asked == {"api/publish"} with input as request
		allowed == {"api/asked"} with input as request
	}
	every request in [
		ask("GET", "registry.npmjs.org", ["left-pad"]), ask("GET", "static.crates.io", ["crates", "a", "1", "download"]),
		ask("POST", "registry.npmjs.org", ["-", "npm", "v1", "security", "audits", "quick"]), ask("POST", "a.example.org", ["x"]),
	] {
		count(asked) == 0 with input as request
	}
}

test_files_and_models_of_an_account_are_denied if {
	every request in [
		ask("POST", "api.anthropic.com", ["v1", "files"]), ask("GET", "api.anthropic.com", ["v1", "files", "f", "content"]),
		ask("POST", "api.anthropic.com", ["v1", "messages", "batches"]), ask("POST", "api.openai.com", ["v1", "fine_tuning", "jobs"]),
		ask("POST", "api.openai.com", ["v1", "FILES"]), ask("GET", "api.openai.com", ["v1", "vector_stores"]),
		ask("POST", "generativelanguage.googleapis.com", ["upload", "v1beta", "files"]),
		ask("POST", "api.mistral.ai", ["v1", "files"]),
	] {
		"api/model-data" in denied with input as request
	}
	every request in [
		ask("POST", "api.anthropic.com", ["v1", "messages"]), ask("GET", "api.openai.com", ["v1", "models"]),
		ask("GET", "a.example.org", ["files"]),
	] {
		count(denied) == 0 with input as request
	}
}

test_other_models_are_asked if {
	every request in [
		ask("POST", "api.mistral.ai", ["v1", "chat", "completions"]), ask("POST", "api.mistral.ai", ["v1", "embeddings"]),
		ask("POST", "openrouter.ai", ["api", "v1", "chat", "completions"]), ask("POST", "api.x.ai", ["v1", "responses"]),
	] {
		allowed == {"api/model"} with input as request
	}
	count(allowed) == 0 with input as ask("POST", "openrouter.ai", ["api", "v1", "keys"])
	count(allowed) == 0 with input as ask("POST", "api.mistral.ai", ["v1", "fine_tuning", "jobs"])
}

test_names_of_metadata_are_denied_wherever_they_lead if {
	"network/metadata" in denied with input as ask("GET", "metadata.google.internal", ["computeMetadata", "v1"])
	"network/metadata" in denied with input as ask("GET", "instance-data", ["latest"])
	count(denied) == 0 with input as ask("GET", "metadata.example.org", ["x"])
}

test_what_is_written_by_an_interface_is_judged_by_itself if {
	path := ["api", "v1", "repos", "o", "r", "contents", "a"]
	asked := object.union(ask("POST", "git.example.org", path), {"action": {"pushes": true}})
	allowed == {"api/written"} with input as asked
	count(allowed) == 0 with input as object.union(asked, {"action": {"pushes": false}})
	count(allowed) == 0 with input as object.union(asked, {"action": {"graphql": [{"operation": "mutation", "field": "createRef", "arguments": {}}]}})
}

large(path, body) := {
	"action": object.union(ask("POST", "git.example.org", path).action, {"body": body, "body_seen": true}),
	"session": {"id": "0123456789abcdef0123456789abcdef", "agent": {"name": "fixer"}},
}

test_large_files_go_with_branches_of_the_sessions_own if {
	batch := ["o", "r.git", "info", "lfs", "objects", "batch"]
	allowed == {"api/git-fetch"} with input as large(batch, {"operation": "download"})
	own := {"operation": "upload", "ref": {"name": "refs/heads/agent/fixer/01234567/x"}}
	allowed == {"api/lfs-upload"} with input as large(batch, own)
	count(denied) == 0 with input as large(batch, own)
	every body in [
		{"operation": "upload"}, {"operation": "upload", "ref": {"name": "refs/heads/main"}}, {},
		{"operation": "upload", "ref": {"name": "agent/fixer/01234567/x"}}, {"operation": ["download"]},
	] {
		count(allowed) == 0 with input as large(batch, body)
		denied == {"api/lfs-upload"} with input as large(batch, body)
	}
	allowed == {"api/git-fetch"} with input as large(["o", "r.git", "info", "lfs", "locks", "verify"], {})
	count(allowed) == 0 with input as large(["o", "r.git", "info", "lfs", "locks"], {"path": "a"})
	allowed == {"api/lfs-upload"} with input as ask("PUT", "git.example.org", stored("0123456789012345678901234567890123456789012345678901234567890123"))
	count(allowed) == 0 with input as ask("PUT", "git.example.org", stored("x"))
}

stored(name) := ["o", "r.git", "info", "lfs", "objects", name]

test_what_is_asked_with_a_post_is_asked_with_no_other if {
	every request in [
		ask("PUT", "api.anthropic.com", ["v1", "messages"]), ask("PUT", "git.example.org", ["o", "r.git", "git-upload-pack"]),
		ask("PUT", "git.example.org", ["o", "r.git", "git-receive-pack"]),
		ask("DELETE", "git.example.org", stored("0123456789012345678901234567890123456789012345678901234567890123")),
	] {
		count(allowed) == 0 with input as request
	}
	"api/publish" in asked with input as ask("PUT", "registry.npmjs.org", ["-", "npm", "v1", "security", "audits"])
}

test_a_model_is_asked_at_its_own_host_only if {
	every path in [
		["v1", "messages"], ["v1", "chat", "completions"], ["v1", "fim", "completions"], ["v1beta", "models", "m:generateContent"],
		["-", "npm", "v1", "security", "audits", "quick"],
	] {
		count(allowed) == 0 with input as ask("POST", "a.example.org", path)
	}
	every path in [
		["v1beta", "models", "m:generateContent", "x"], ["v9", "models", "m:generateContent"], ["v1", "files", "m:generateContent"],
		["v1", "models", "m:delete"],
	] {
		count(allowed) == 0 with input as ask("POST", "generativelanguage.googleapis.com", path)
	}
	count(denied) == 0 with input as ask("GET", "a.example.org", ["v1", "organizations", "users"])
}

test_large_files_are_asked_for_where_they_are_kept if {
	own := {"operation": "upload", "ref": {"name": "refs/heads/agent/fixer/01234567/x"}}
	every body in [{"operation": "download"}, own] {
		every path in [
			["o", "r.git", "info", "lfs", "objects", "x"], ["o", "r.git", "x", "lfs", "objects", "batch"],
			["o", "r.git", "info", "lfs", "x", "batch"], ["info", "lfs", "objects", "batch"],
		] {
			count(allowed) == 0 with input as large(path, body)
			count(denied) == 0 with input as large(path, body)
		}
	}
	batch := ["o", "r.git", "info", "lfs", "objects", "batch"]
	count(denied) == 0 with input as large(batch, {"operation": "download"})
	count(allowed) == 0 with input as object.union(large(batch, {"operation": "download"}), {"action": {"method": "PUT"}})
	every changed in [{"body_seen": false}, {"body": {"operation": "verify"}}] {
		count(allowed) == 0 with input as object.union(large(batch, own), {"action": changed})
		denied == {"api/lfs-upload"} with input as object.union(large(batch, own), {"action": changed})
	}
}
