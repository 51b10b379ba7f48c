# Requests to hosts that a session was granted. What only reads is allowed everywhere; what changes something needs a
# rule. A policy adds its own:
#
#     package agentguard.api.own
#     allow contains {"id": "own/builds", "reason": "builds may be started"} if {
#         input.action.host == "ci.example.com"
#         input.action.method == "POST"
#         input.action.path == ["builds"]
#     }
package agentguard.api.requests

allow contains {"id": "api/reading", "reason": "requests that only read are allowed"} if {
	is_reading
}

allow contains {"id": "api/model", "reason": "a model may be asked"} if {
	input.action.method == "POST"
	is_model
}

# npm asks whether versions are known to be vulnerable by naming them.
allow contains {"id": "api/registry-audit", "reason": "a registry may be asked about versions"} if {
	input.action.method == "POST"
	input.action.host == "registry.npmjs.org"
	array.slice(input.action.path, 0, 4) == ["-", "npm", "v1", "security"]
}

# What git sends to fetch says which commits are there.
allow contains {"id": "api/git-fetch", "reason": "repositories may be fetched"} if {
	input.action.method == "POST"
	last == "git-upload-pack"
}

# Which refs a push changes is for `agentguard.push` to judge, of every request that is one.
allow contains {"id": "api/git-push", "reason": "what a push changes is judged by itself"} if {
	input.action.method == "POST"
	last == "git-receive-pack"
}

deny contains {
	"id": "network/metadata",
	"reason": "that address tells a cloud's guests who they are, and hands out their keys",
	"remedy": "ask for a credential of the session's own",
} if {
	input.action.class == "metadata"
}

deny contains {
	"id": "api/account",
	"reason": "members, keys and bills of a model's account are not for an agent",
} if {
	input.action.host in {"api.anthropic.com", "api.openai.com"}
	lower(input.action.path[1]) in {"organization", "organizations"}
}

# What a server does that is asked in GraphQL is not for its method to say.
is_reading if {
	input.action.method in {"GET", "HEAD", "OPTIONS"}
	not is_graphql_change
}

is_graphql_change if {
	some asked in input.action.graphql
	asked.operation != "query"
}

last := input.action.path[count(input.action.path) - 1]

is_model if {
	input.action.host == "api.anthropic.com"
	input.action.path in {["v1", "complete"], ["v1", "messages"], ["v1", "messages", "count_tokens"]}
}

is_model if {
	input.action.host == "api.openai.com"
	input.action.path in {
		["v1", "chat", "completions"], ["v1", "completions"], ["v1", "embeddings"], ["v1", "responses"],
	}
}

is_model if {
	input.action.host == "generativelanguage.googleapis.com"
	count(input.action.path) == 3
	input.action.path[0] in {"v1", "v1beta"}
	input.action.path[1] == "models"
	some call in [":countTokens", ":embedContent", ":generateContent", ":streamGenerateContent"]
	endswith(input.action.path[2], call)
}
