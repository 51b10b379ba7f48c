# Upsun's API, which was Platform.sh's: projects, environments, activities and logs are an agent's to read. What changes
# an environment that runs needs a human's yes; who gets in, and what is lost, is for humans.
package agentguard.api.upsun

# What a human is asked about is allowed by a yes, and by nothing else.
allow contains {"id": "upsun/asked", "reason": "a human may say yes to it"} if count(ask) > 0

ask contains {
	"id": "upsun/deployment",
	"reason": "this changes running infrastructure",
	"remedy": "push to a branch of your own, and let its environment deploy by itself",
} if {
	is_change
	some name in path
	name in {
		"activate", "backups", "branch", "deploy", "deployments", "initialize", "merge", "operations", "redeploy", "resume",
		"source-operation", "synchronize",
	}
}

deny contains {
	"id": "upsun/loss",
	"reason": "environments and backups that are gone, or written over, do not come back",
	"remedy": "ask a human",
} if {
	is_change
	some name in path
	name in {"deactivate", "delete", "pause", "restore"}
}

deny contains {
	"id": "upsun/deletion",
	"reason": "nothing of a project is deleted by an agent",
	"remedy": "ask a human",
} if {
	is_upsun
	input.action.method == "DELETE"
}

# They are shown to whoever may read them.
deny contains {
	"id": "upsun/variables",
	"reason": "variables hold what is secret: humans set and read them",
	"remedy": "ask for a credential to be lent instead",
} if {
	is_upsun
	some name in path
	name in {"api-tokens", "variables"}
}

deny contains {
	"id": "upsun/access",
	"reason": "members, keys, tokens, domains, certificates and integrations let others in: that is for humans",
} if {
	is_change
	some name in path
	name in {
		"access", "api-tokens", "certificates", "connections", "deploy-key", "domains", "integrations", "invitations",
		"members", "oauth2", "project-access", "ssh_keys", "sshkeys", "team-access", "teams", "user-access", "users",
	}
}

deny contains {
	"id": "upsun/settings",
	"reason": "projects, environments, organizations and bills are for humans to change",
} if {
	is_change
	is_settings
}

# A project, an environment, or what is set for one.
is_settings if {
	path[0] == "projects"
	count(path) <= 2
}

is_settings if {
	path[0] == "projects"
	path[2] in {"capabilities", "clear_build_cache", "settings"}
}

is_settings if {
	path[0] == "projects"
	path[2] == "environments"
	count(path) <= 4
}

is_settings if {
	path[0] == "projects"
	path[4] in {"settings", "versions"}
}

is_settings if path[0] in {
	"billing", "discounts", "estimate", "me", "orders", "organizations", "payment_source", "profiles", "setup", "subscriptions",
	"vouchers",
}

is_upsun if input.action.host == "auth.api.platform.sh"

# Its own, and a region's.
is_upsun if regex.match(`^[a-z0-9-]+\.(platform\.sh|upsun\.com)$`, input.action.host)

is_change if {
	is_upsun
	not input.action.method in {"GET", "HEAD", "OPTIONS"}
}

path := [lower(segment) | some segment in input.action.path]
