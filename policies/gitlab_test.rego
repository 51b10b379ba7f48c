package agentguard.api.gitlab_test

import data.agentguard.api.gitlab

ask(method, rest) := with_body(method, rest, {"title": "t"})

with_body(method, rest, body) := at("gitlab.com", method, array.concat(["projects", "group/project"], rest), body)

at(host, method, path, body) := {"action": {
	"kind": "api", "scheme": "https", "host": host, "port": 443, "method": method, "path": array.concat(["api", "v4"], path),
	"query": {}, "headers": {}, "body": body, "address": "192.0.2.1", "class": "public", "caller": "/usr/bin/glab",
}}

allowed contains rule.id if some rule in gitlab.allow

asked contains rule.id if some rule in gitlab.ask

denied contains rule.id if some rule in gitlab.deny

test_issues_and_merge_requests_are_written if {
	every rest in [["issues"], ["issues", "7", "notes"], ["issues", "7", "discussions"], ["issues", "7", "discussions", "6a9c17", "notes"]] {
		allowed == {"gitlab/issues"} with input as ask("POST", rest)
		count(denied) == 0 with input as ask("POST", rest)
	}
	allowed == {"gitlab/issues"} with input as ask("PUT", ["issues", "7"])
	allowed == {"gitlab/merge-requests"} with input as ask("POST", ["merge_requests"])
	allowed == {"gitlab/merge-requests"} with input as ask("PUT", ["merge_requests", "7"])
	allowed == {"gitlab/merge-requests"} with input as ask("PUT", ["merge_requests", "7", "notes", "9"])
	allowed == {"gitlab/issues"} with input as at("gitlab.com", "POST", ["projects", "42", "issues"], {"title": "t"})
	count(denied) == 0 with input as at("gitlab.com", "POST", ["projects", "42", "issues"], {"title": "t"})
}

test_a_text_that_is_obeyed_is_denied if {
	every text in ["/merge", "done\n/approve", "done\r\n  /merge now", "/MERGE", "/close\n", 7, {"a": 1}] {
		count(allowed) == 0 with input as with_body("POST", ["merge_requests", "7", "notes"], {"body": text})
		"gitlab/quick-action" in denied with input as with_body("POST", ["merge_requests", "7", "notes"], {"body": text})
		count(allowed) == 0 with input as with_body("POST", ["merge_requests"], {"description": text})
	}
	every text in ["see /merge", "/usr/bin/env", "a\n// b"] {
		allowed == {"gitlab/merge-requests"} with input as with_body("POST", ["merge_requests", "7", "notes"], {"body": text})
	}
	hidden := object.union(ask("POST", ["issues"]), {"action": {"query": {"description": ["/close"]}}})
	count(allowed) == 0 with input as hidden
	"gitlab/quick-action" in denied with input as hidden
	count(allowed) == 0 with input as with_body("POST", ["issues"], null)
	unseen := {"action": object.remove(ask("POST", ["issues"]).action, ["body"])}
	count(allowed) == 0 with input as unseen
}

test_what_is_near_is_not_allowed if {
	every asked in [
		ask("POST", ["issues", "7"]), ask("PUT", ["issues", "7", "move"]), ask("POST", ["issues", "7", "notes", "9"]),
		ask("POST", ["issues", "x", "notes"]), ask("POST", ["merge_requests", "7", "discussions", "../x", "notes"]),
		at("gitlab.example.com", "POST", ["projects", "1", "issues"], {"title": "t"}),
		at("gitlab.com.example.org", "POST", ["projects", "1", "issues"], {"title": "t"}),
		at("gitlab.com", "POST", ["groups", "1", "issues"], {"title": "t"}),
		at("gitlab.com", "POST", ["projects", "", "issues"], {"title": "t"}),
	] {
		count(allowed) == 0 with input as asked
	}
}

test_a_gitlab_of_ones_own_is_named if {
	own := at("git.example.com", "POST", ["projects", "1", "issues"], {"title": "t"})
	count(allowed) == 0 with input as own
	allowed == {"gitlab/issues"} with input as own with data.agentguard.lib.gitlab_hosts as {"git.example.com"}
	hook := at("git.example.com", "POST", ["projects", "1", "hooks"], {})
	denied == {"gitlab/access"} with input as hook with data.agentguard.lib.gitlab_hosts as {"git.example.com"}
}

test_a_human_says_yes_to_merges_and_releases if {
	asked == {"gitlab/merge"} with input as ask("PUT", ["merge_requests", "7", "merge"])
	asked == {"gitlab/release"} with input as ask("POST", ["releases"])
	allowed == {"gitlab/asked"} with input as ask("PUT", ["merge_requests", "7", "merge"])
}

test_what_is_for_humans_is_denied if {
	every row in [
		["DELETE", [], "gitlab/deletion"], ["DELETE", ["issues", "7"], "gitlab/deletion"],
		["DELETE", ["repository", "branches", "x"], "gitlab/deletion"],
		["PUT", [], "gitlab/settings"], ["POST", ["protected_branches"], "gitlab/settings"],
		["PATCH", ["protected_branches", "main"], "gitlab/settings"], ["PUT", ["push_rule"], "gitlab/settings"],
		["POST", ["variables"], "gitlab/variables"], ["GET", ["variables"], "gitlab/variables"],
		["GET", ["VARIABLES", "KEY"], "gitlab/variables"], ["GET", ["pipelines", "7", "variables"], "gitlab/variables"],
		["POST", ["hooks"], "gitlab/access"], ["POST", ["deploy_keys"], "gitlab/access"],
		["POST", ["deploy_tokens"], "gitlab/access"], ["POST", ["access_tokens"], "gitlab/access"],
		["POST", ["members"], "gitlab/access"], ["POST", ["runners"], "gitlab/access"],
		["PUT", ["integrations", "slack"], "gitlab/access"], ["POST", ["share"], "gitlab/access"],
		["POST", ["pipeline"], "gitlab/pipelines"], ["POST", ["trigger", "pipeline"], "gitlab/pipelines"],
		["POST", ["jobs", "7", "play"], "gitlab/pipelines"], ["POST", ["pipelines", "7", "retry"], "gitlab/pipelines"],
		["POST", ["merge_requests", "7", "approve"], "gitlab/approval"],
		["POST", ["repository", "commits"], "gitlab/contents"], ["PUT", ["repository", "files", "a/b"], "gitlab/contents"],
		["PUT", ["packages", "generic", "a", "1", "f"], "gitlab/contents"],
	] {
		[method, rest, id] := row
		every project in ["42", "group/project"] {
			request := at("gitlab.com", method, array.concat(["projects", project], rest), {})
			count(allowed) == 0 with input as request
			id in denied with input as request
		}
		id in denied with input as at("gitlab.example.org", method, array.concat(["projects", "42"], rest), {})
	}
	every path in [["personal_access_tokens"], ["user", "keys"], ["admin", "ci", "variables"], ["applications"], ["projects"]] {
		count(allowed) == 0 with input as at("gitlab.com", "POST", path, {})
	}
	"gitlab/account" in denied with input as at("gitlab.com", "POST", ["user", "keys"], {})
}

test_reading_is_not if {
	every rest in [[], ["issues"], ["merge_requests", "7", "notes"], ["pipelines"], ["jobs", "7", "trace"], ["hooks"]] {
		count(denied) == 0 with input as ask("GET", rest)
	}
}

test_what_is_judged_as_a_push_is_left_to_it if {
	every method, rest in {"POST": ["repository", "commits"], "PUT": ["repository", "files", "a/b"], "DELETE": ["repository", "branches", "x"]} {
		count(denied) > 0 with input as ask(method, rest)
		count(denied) == 0 with input as object.union(ask(method, rest), {"action": {"pushes": true}})
	}
}

test_what_is_shown_of_a_path_is_all_of_it if {
	every asked in [
		ask("PATCH", ["issues"]), ask("POST", ["issues", "abc"]), ask("POST", ["issues", "7", "notes", "zz"]),
		{"action": object.union(ask("POST", ["issues"]).action, {"path": ["api", "v3", "projects", "1", "issues"]})},
	] {
		count(allowed) == 0 with input as asked
	}
}

test_only_what_is_written_is_looked_into if {
	every asked in [
		with_body("GET", ["issues"], {"body": "/merge"}), with_body("POST", ["issues"], {"title": "t", "labels": "/merge", "weight": 7}),
		object.union(ask("GET", ["issues"]), {"action": {"query": {"description": ["/close"]}}}),
		object.union(ask("POST", ["issues"]), {"action": {"query": {"labels": ["/close"]}}}),
		object.union(ask("POST", ["issues"]), {"action": {"query": {"description": ["a"]}}}),
	] {
		count(denied) == 0 with input as asked
	}
}

test_what_reads_a_merge_or_a_release_asks_nobody if {
	every request in [
		ask("GET", ["merge_requests", "7", "merge"]), ask("POST", ["issues", "7", "merge"]), ask("GET", ["releases"]),
		object.union(ask("PUT", ["merge_requests", "7", "merge"]), {"action": {"pushes": true}}),
	] {
		count(asked) == 0 with input as request
	}
	every rest in [["approvals"], ["merge_requests", "7", "approvals"], ["repository", "files", "a"], ["protected_branches"]] {
		count(denied) == 0 with input as ask("GET", rest)
	}
	count(denied) == 0 with input as at("gitlab.com", "GET", ["user"], {})
	count(denied) == 0 with input as at("gitlab.com", "POST", ["markdown"], {"text": "a"})
	denied == {"gitlab/account"} with input as at("gitlab.com", "POST", ["user"], {})
}

test_other_hosts_and_other_paths_are_none_of_gitlabs if {
	every row in [["DELETE", []], ["PUT", []], ["GET", ["variables"]], ["POST", ["hooks"]]] {
		count(denied) == 0 with input as at("git.example.org", row[0], array.concat(["projects", "1"], row[1]), {})
		beside := object.union(ask(row[0], []), {"action": {"path": array.concat(["group", "x", "y", "z"], row[1])}})
		count(denied) == 0 with input as beside
	}
}
