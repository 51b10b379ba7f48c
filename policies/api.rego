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

import data.agentguard.lib

allow contains {"id": "api/reading", "reason": "requests that only read are allowed"} if {
	is_reading
}

allow contains {"id": "api/model", "reason": "a model may be asked"} if {
	input.action.method == "POST"
	is_model
}

# npm asks whether versions are known to be vulnerable by naming them.
allow contains {"id": "api/registry-audit", "reason": "a registry may be asked about versions"} if {
	is_audit
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

# So is what is written by an interface, as far as nothing else rides along: in GraphQL it may.
allow contains {"id": "api/written", "reason": "what it writes to a repository is judged by itself"} if {
	input.action.pushes
	not input.action.graphql
}

# Large files (git-lfs) are asked for by their names first, and lie beside the repository.
allow contains {"id": "api/git-fetch", "reason": "repositories may be fetched"} if {
	lfs == ["objects", "batch"]
	input.action.body.operation == "download"
}

allow contains {"id": "api/git-fetch", "reason": "repositories may be fetched"} if lfs == ["locks", "verify"]

allow contains {"id": "api/lfs-upload", "reason": "large files of a session's own branches may be uploaded"} if is_own_upload

allow contains {"id": "api/lfs-upload", "reason": "large files of a session's own branches may be uploaded"} if {
	input.action.method in {"POST", "PUT"}
	regex.match(`/(info/lfs|gitlab-lfs)/(objects/[0-9a-f]{64}(/[0-9]+)?|verify)$`, concat("/", input.action.path))
}

deny contains {
	"id": "api/lfs-upload",
	"reason": "large files are uploaded with a branch of the session's own, and this names another or none",
	"remedy": sprintf("push to `%s/…`", [lib.own_branch]),
} if {
	lfs == ["objects", "batch"]
	object.get(input.action.body, "operation", "") != "download"
	not is_own_upload
}

# What a human is asked about is allowed by a yes, and by nothing else.
allow contains {"id": "api/asked", "reason": "a human may say yes to it"} if count(ask) > 0

# What everybody may fetch cannot be taken back.
ask contains {
	"id": "api/publish",
	"reason": "publishing cannot be taken back",
	"remedy": "leave the release to the pipeline, or ask a human to publish",
} if {
	not is_reading
	is_registry
	not is_audit
}

deny contains {
	"id": "network/metadata",
	"reason": "that address tells a cloud's guests who they are, and hands out their keys",
	"remedy": "ask for a credential of the session's own",
} if {
	input.action.class == "metadata"
}

# By whatever address.
deny contains {
	"id": "network/metadata",
	"reason": "that name tells a cloud's guests who they are, and hands out their keys",
	"remedy": "ask for a credential of the session's own",
} if {
	input.action.host in lib.metadata_hosts
}

deny contains {
	"id": "api/account",
	"reason": "members, keys and bills of a model's account are not for an agent",
} if {
	input.action.host in {"api.anthropic.com", "api.openai.com"}
	lower(input.action.path[1]) in {"organization", "organizations"}
}

# Whoever has the account sees them, and so does whoever holds its key in another session.
deny contains {
	"id": "api/model-data",
	"reason": "files, batches and models of an account are not this session's",
	"remedy": "send what the model is to read in the request itself",
} if {
	input.action.host in models
	some segment in input.action.path
	lower(segment) in {
		"assistants", "batches", "cachedcontents", "corpora", "file_search_stores", "filesearchstores", "files", "fine-tuning",
		"fine_tuning", "libraries", "tunedmodels", "uploads", "vector_stores",
	}
}

# What is asked of the part of a server that keeps large files, where all of it is seen.
lfs := array.slice(path, count(path) - 2, count(path)) if {
	input.action.method == "POST"
	path := [lower(segment) | some segment in input.action.path]
	count(path) > 4
	array.slice(path, count(path) - 4, count(path) - 2) == ["info", "lfs"]
}

is_own_upload if {
	lfs == ["objects", "batch"]
	input.action.body_seen
	input.action.body.operation == "upload"
	startswith(input.action.body.ref.name, "refs/heads/")
	lib.is_own_branch(trim_prefix(input.action.body.ref.name, "refs/heads/"))
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

is_audit if {
	input.action.method == "POST"
	input.action.host == "registry.npmjs.org"
	array.slice(input.action.path, 0, 4) == ["-", "npm", "v1", "security"]
}

is_registry if input.action.host in {
	"crates.io", "index.crates.io", "npm.pkg.github.com", "proxy.golang.org", "pypi.org", "registry.npmjs.org",
	"registry.yarnpkg.com", "rubygems.org", "static.crates.io", "test.pypi.org", "upload.pypi.org",
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
	input.action.host == "api.mistral.ai"
	input.action.path in {
		["v1", "chat", "completions"], ["v1", "embeddings"], ["v1", "fim", "completions"],
	}
}

# Those that answer as OpenAI's do.
is_model if {
	array.concat([input.action.host], input.action.path) in {
		["api.deepseek.com", "chat", "completions"], ["api.deepseek.com", "v1", "chat", "completions"],
		["api.groq.com", "openai", "v1", "chat", "completions"], ["api.x.ai", "v1", "chat", "completions"],
		["api.x.ai", "v1", "responses"], ["openrouter.ai", "api", "v1", "chat", "completions"],
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

models := {
	"api.anthropic.com", "api.deepseek.com", "api.groq.com", "api.mistral.ai", "api.openai.com", "api.x.ai",
	"generativelanguage.googleapis.com", "openrouter.ai",
}
