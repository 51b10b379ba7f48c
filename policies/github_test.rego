package agentguard.api.github_test

import data.agentguard.api.github

ask(method, path) := with_body(method, path, {})

with_body(method, path, body) := {"action": {
	"kind": "api", "scheme": "https", "host": "api.github.com", "port": 443, "method": method, "path": split(path, "/"),
	"query": {}, "headers": {}, "body": body, "body_seen": true, "address": "192.0.2.1", "class": "public", "caller": "/usr/bin/gh",
}}

allowed contains rule.id if some rule in github.allow

denied contains rule.id if some rule in github.deny

test_issues_and_pull_requests_are_written if {
	every asked in [
		ask("POST", "repos/o/r/issues"), ask("PATCH", "repos/o/r/issues/12"), ask("POST", "repos/o/r/issues/12/comments"),
		ask("PATCH", "repos/o/r/issues/comments/7"),
	] {
		allowed == {"github/issues"} with input as asked
		count(denied) == 0 with input as asked
	}
	every asked in [
		ask("POST", "repos/o/r/pulls"), ask("PATCH", "repos/o/r/pulls/3"), ask("POST", "repos/o/r/pulls/3/comments"),
		with_body("POST", "repos/o/r/pulls/3/reviews", {"event": "COMMENT"}),
	] {
		allowed == {"github/pull-requests"} with input as asked
		count(denied) == 0 with input as asked
	}
}

test_what_is_near_is_not_allowed if {
	every asked in [
		ask("PUT", "repos/o/r/issues/12/lock"), ask("POST", "repos/o/r/issues/12/comments/x"), ask("POST", "user/repos"),
		with_body("POST", "repos/o/r/pulls/3/reviews", {"event": "APPROVE"}), ask("POST", "repos/o/r/git/refs"),
		ask("PUT", "repos/o/r/contents/README.md"), ask("POST", "repos/o/r/forks"),
	] {
		count(allowed) == 0 with input as asked
	}
	elsewhere := object.union(ask("POST", "repos/o/r/issues"), {"action": {"host": "api.github.com.example.org"}})
	count(allowed) == 0 with input as elsewhere
}

test_what_is_for_humans_is_denied if {
	every asked, id in {
		"DELETE repos/o/r": "github/deletion",
		"DELETE repos/o/r/git/refs/heads/x": "github/deletion",
		"PUT repos/o/r/pulls/3/merge": "github/merge",
		"POST repos/o/r/merges": "github/merge",
		"PATCH repos/o/r": "github/settings",
		"PUT repos/o/r/branches/main/protection": "github/settings",
		"POST repos/o/r/rulesets": "github/settings",
		"PUT repos/o/r/actions/secrets/TOKEN": "github/secrets",
		"POST repos/o/r/actions/variables": "github/secrets",
		"POST repos/o/r/hooks": "github/access",
		"POST repos/o/r/keys": "github/access",
		"PUT repos/o/r/collaborators/eve": "github/access",
		"POST repos/O/R/HOOKS": "github/access",
		"POST repos/o/r/actions/workflows/9/dispatches": "github/workflows",
		"POST repos/o/r/dispatches": "github/workflows",
		"POST repos/o/r/actions/runs/9/approve": "github/workflows",
	} {
		[method, path] := split(asked, " ")
		count(allowed) == 0 with input as ask(method, path)
		id in denied with input as ask(method, path)
	}
}

test_reading_them_is_not if {
	count(denied) == 0 with input as ask("GET", "repos/o/r/hooks")
	count(denied) == 0 with input as ask("GET", "repos/o/r")
}

asks(fields) := object.union(with_body("POST", "graphql", {"query": "...", "variables": {}}), {"action": {"graphql": fields}})

query(field) := {"operation": "query", "field": field, "arguments": {}}

mutation(field) := {"operation": "mutation", "field": field, "arguments": {"input": {}}}

test_a_query_reads if {
	allowed == {"github/query"} with input as asks([query("viewer"), query("repository")])
	every other in [
		object.union(asks([query("viewer")]), {"action": {"method": "PUT"}}),
		object.union(asks([query("viewer")]), {"action": {"host": "api.github.com.example.org"}}),
		object.union(asks([query("viewer")]), {"action": {"path": ["graphql", "x"]}}),
		object.union(asks([query("viewer")]), {"action": {"body_seen": false}}),
		object.union(asks([query("viewer")]), {"action": {"body": {"extensions": {}}}}),
		with_body("POST", "graphql", {"extensions": {"persistedQuery": {"sha256Hash": "00"}}}),
		with_body("POST", "graphql", {"query": "query { a }"}),
		asks([]),
		asks([{"operation": "subscription", "field": "x", "arguments": {}}]),
	] {
		count(allowed) == 0 with input as other
	}
}

test_issues_and_pull_requests_are_written_in_graphql if {
	every field in ["createIssue", "addComment", "createPullRequest", "closeIssue", "requestReviews"] {
		allowed == {"github/graphql"} with input as asks([mutation(field), mutation("addComment")])
		count(denied) == 0 with input as asks([mutation(field)])
	}
	comment := {"operation": "mutation", "field": "addPullRequestReview", "arguments": {"input": {"event": "COMMENT"}}}
	allowed == {"github/graphql"} with input as asks([comment])
}

test_no_other_mutation_is_allowed if {
	every field in [
		"createCommitOnBranch", "createRef", "updateRef", "addPullRequestReview", "submitPullRequestReview",
		"createRepository", "updateRepository", "updateBranchProtectionRule", "addSshKey", "x",
	] {
		count(allowed) == 0 with input as asks([mutation(field)])
		count(allowed) == 0 with input as asks([mutation("addComment"), mutation(field)])
	}
	count(allowed) == 0 with input as asks([query("addComment"), mutation("addComment")])
	approval := {"operation": "mutation", "field": "addPullRequestReview", "arguments": {"input": {"event": "APPROVE"}}}
	count(allowed) == 0 with input as asks([approval])
	denied == {"github/merge"} with input as asks([mutation("addComment"), mutation("mergePullRequest")])
	denied == {"github/merge"} with input as asks([mutation("enablePullRequestAutoMerge")])
	denied == {"github/deletion"} with input as asks([mutation("deleteRef")])
}

test_a_review_that_is_not_seen_is_not_allowed if {
	review := with_body("POST", "repos/o/r/pulls/3/reviews", {"event": "COMMENT"})
	allowed == {"github/pull-requests"} with input as review
	count(allowed) == 0 with input as object.union(review, {"action": {"body_seen": false}})
}
