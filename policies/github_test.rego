package agentguard.api.github_test

import data.agentguard.api.github

ask(method, path) := with_body(method, path, {})

with_body(method, path, body) := {"action": {
	"kind": "api", "scheme": "https", "host": "api.github.com", "port": 443, "method": method, "path": split(path, "/"),
	"query": {}, "headers": {}, "body": body, "body_seen": true, "address": "192.0.2.1", "class": "public", "caller": "/usr/bin/gh",
}}

allowed contains rule.id if some rule in github.allow

asked contains rule.id if some rule in github.ask

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
		ask("PUT", "repos/o/r/issues"), ask("PUT", "repos/o/r/pulls/3"), ask("DELETE", "repos/o/r/issues/comments/7"),
		with_body("PATCH", "repos/o/r/pulls/3/reviews", {"event": "COMMENT"}),
		with_body("POST", "repos/o/r/pulls/3/x", {"event": "COMMENT"}),
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
		"PUT repos/o/r/contents/README.md": "github/contents",
		"POST repos/o/r/git/refs": "github/contents",
		"PATCH repos/o/r/git/refs/heads/main": "github/contents",
		"POST repos/o/r/statuses/0123": "github/contents",
		"POST repos/o/r/deployments": "github/contents",
		"POST repos/o/r/pulls/3/reviews/7/events": "github/approval",
		"PUT repos/o/r/pulls/3/reviews/7/dismissals": "github/approval",
		"POST user/keys": "github/account",
		"PUT orgs/o/actions/secrets/TOKEN": "github/account",
		"POST user/repos": "github/account",
		"POST gists": "github/account",
		"POST app/installations/7/access_tokens": "github/account",
		"PATCH repositories/42": "github/settings",
		"PUT repositories/42/environments/live": "github/settings",
		"PUT repositories/42/environments/live/secrets/TOKEN": "github/secrets",
		"POST repositories/42/hooks": "github/access",
		"PUT repos/o/r/environments/live": "github/settings",
		"PUT repos/o/r/actions/permissions": "github/settings",
		"PUT repos/o/r/automated-security-fixes": "github/settings",
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
	every path in [
		"repos/o/r", "repos/o/r/contents/a", "repos/o/r/actions/secrets", "user/keys", "repos/o/r/actions/runs/9/approve",
		"repos/o/r/merges", "repos/o/r/pulls/3/merge", "repos/o/r/pulls/3/reviews/7/events",
	] {
		count(denied) + count(asked) == 0 with input as ask("GET", path)
	}
	approval := with_body("GET", "repos/o/r/pulls/3/reviews", {"event": "APPROVE"})
	count(denied) == 0 with input as approval
	# What is called so where no secrets are.
	count(denied) == 0 with input as ask("POST", "repos/o/r/issues/secrets")
}

test_other_hosts_are_for_other_rules if {
	every one in [
		ask("DELETE", "repos/o/r"), ask("PUT", "repos/o/r/contents/a"), asks([mutation("deleteRef")]),
		asks([mutation("mergePullRequest")]), ask("POST", "user/keys"),
	] {
		count(denied) == 0 with input as object.union(one, {"action": {"host": "example.org"}})
	}
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
	every field in ["addComment", "createCommitOnBranch"] {
		written := object.union(asks([mutation("addComment"), query(field)]), {"action": {"pushes": true}})
		count(allowed) == 0 with input as written
	}
	commenting := {"arguments": {"input": {"event": "COMMENT"}}}
	count(allowed) == 0 with input as asks([object.union(query("addPullRequestReview"), commenting), mutation("addComment")])
	count(allowed) == 0 with input as asks([object.union(mutation("createRepository"), commenting)])
	count(denied) == 0 with input as asks([query("deleted")])
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

test_a_human_says_yes_to_merges_and_releases if {
	every path, id in {
		"repos/o/r/pulls/3/merge": "github/merge", "repos/o/r/merges": "github/merge", "repos/o/r/merge-upstream": "github/merge",
		"repositories/42/pulls/3/merge": "github/merge", "repos/o/r/releases": "github/release",
		"repos/o/r/releases/7/assets": "github/release",
	} {
		asked == {id} with input as ask("PUT", path)
		allowed == {"github/asked"} with input as ask("PUT", path)
	}
	count(asked) == 0 with input as ask("GET", "repos/o/r/releases")
	"github/approval" in denied with input as with_body("POST", "repos/o/r/pulls/3/reviews", {"event": "APPROVE"})
}

test_what_is_judged_as_a_push_is_left_to_it if {
	every method, path in {"PUT": "repos/o/r/contents/README.md", "POST": "repos/o/r/git/refs", "DELETE": "repos/o/r/git/refs/heads/x"} {
		count(denied) == 0 with input as object.union(ask(method, path), {"action": {"pushes": true}})
	}
	every path in ["repos/o/r/merges", "repos/o/r/pulls/3/merge"] {
		count(asked) == 0 with input as object.union(ask("PUT", path), {"action": {"pushes": true}})
	}
	commits := asks([mutation("createCommitOnBranch"), mutation("addComment")])
	count(allowed) == 0 with input as commits
	allowed == {"github/graphql"} with input as object.union(commits, {"action": {"pushes": true}})
	other := asks([mutation("createCommitOnBranch"), mutation("createRepository")])
	count(allowed) == 0 with input as object.union(other, {"action": {"pushes": true}})
	denied == {"github/deletion"} with input as object.union(asks([mutation("deleteRef")]), {"action": {"pushes": true}})
}
